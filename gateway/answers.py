"""
What became of an instruction -> the answer to its sender; pure but for the Response objects.

An accepted instruction answers with what happened to the account in the same log entry, a refused one with its row of
the error table, an unanswered one with the id and the time to ask by.
"""

from typing import Any

from starlette.responses import Response

from gateway.calls import Call, json_answer, refuse
from gateway.errors import ERRORS, ErrorRow, Refusal, Retry
from gateway.instructions import Instruction, Outcome
from gateway.tail import Cause
from shared.codes import ResultCode

ENVIRONMENT = "paper"
OK = ResultCode.OK.name
# Event kind -> where the answer lists it.
LISTS = {
    "fill": "fills",
    "position_changed": "positions",
    "closed_position": "closed_positions",
    "order_changed": "orders",
    "closed_order": "closed_orders",
    "account_market_changed": "leverages",
}
# Event kind -> where the answer shows the last one.
SINGLES = {"account_changed": "balance", "account_guards_changed": "guards"}
_CODE_FOREIGN = ErrorRow(422, "The venue refused the instruction.", Retry.NEVER)


def outcome_answer(call: Call, instruction: Instruction, outcome: Outcome) -> Response:
    """Return the answer to an instruction that was sent."""
    if outcome.cause is None:
        return unknown_answer(call, instruction.request_id, instruction.ts_us, outcome.seq)
    result = outcome.cause.response["result"]
    if result != OK:
        return refuse(call, result_refusal(outcome.cause))
    headers = {"Idempotent_Replay": "true"} if outcome.replay else {}
    return json_answer(call, outcome_body(outcome.cause), 200, **headers)


def outcome_body(cause: Cause) -> dict[str, Any]:
    """Return what happened: result, ids, seq, and the account's own events of the same entry."""
    response = cause.response
    body: dict[str, Any] = {"result": response["result"], "request_id": response["request_id"]}
    for name in ("results", "order_id", "position_id", "rebuilt"):
        if name in response:
            body[name] = response[name]
    body["seq"] = str(cause.seq)
    body["log_time_us"] = cause.log_time_us
    for name in LISTS.values():
        body[name] = []
    for event in cause.events:
        if event["e"] in LISTS:
            body[LISTS[event["e"]]].append({key: value for key, value in event.items() if key not in ("e", "account")})
        elif event["e"] in SINGLES:
            body[SINGLES[event["e"]]] = {key: value for key, value in event.items() if key not in ("e", "account")}
        elif event["e"] == "account_opened" and "main" in event:
            body["subaccount"] = {"account_id": event["account"], "sub": event["sub"]}
    body["env"] = ENVIRONMENT
    return body


def result_refusal(cause: Cause) -> Refusal:
    """Return the refusal that the engine's result means."""
    response = cause.response
    # An outcome that was rebuilt does not know its operation.
    detail = {name: response[name] for name in ("order_id", "position_id", "first_seq", "op") if name in response}
    result = response["result"]
    if result not in ERRORS:
        # An engine of newer rules; its word is passed on rather than lost.
        ERRORS[result] = _CODE_FOREIGN
    return Refusal(result, detail | {"env": ENVIRONMENT}, request_id=response["request_id"], seq=cause.seq)


def unknown_answer(call: Call, request_id: str, ts_us: int, seq: int) -> Response:
    """Return 202: it may have happened; the body says how to ask, and the same id makes sending again safe."""
    body: dict[str, Any] = {"status": "UNKNOWN", "request_id": request_id, "ts": ts_us, "env": ENVIRONMENT}
    if seq:
        body["seq"] = str(seq)
    place = f"/api/v1/requests/{request_id}?ts={ts_us}"
    if call.account_id != call.session.account_id:
        place += f"&account={call.account_id}"
    return json_answer(call, body, 202, Location=place, Retry_After="1")
