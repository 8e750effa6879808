"""
What became of an instruction -> the answer to its sender, over HTTP or a WebSocket alike; pure.

An accepted instruction answers with what happened to the account in the same log entry, a refused one with its row of
the error table, an unanswered one with the id and the time to ask by.
"""

from typing import Any, NamedTuple

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


class Reply(NamedTuple):
    """An answer: HTTP's status, body and headers, of which a WebSocket shows the first two."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]
    replay: bool = False


def outcome_reply(instruction: Instruction, outcome: Outcome, account_own: int) -> Reply:
    """Return the answer to an instruction that was sent; raises Refusal for what the engine refused."""
    if outcome.cause is None:
        return unknown_reply(instruction, outcome, account_own)
    if outcome.cause.response["result"] != OK:
        raise result_refusal(outcome.cause)
    headers = {"Idempotent-Replay": "true"} if outcome.replay else {}
    return Reply(200, outcome_body(outcome.cause), headers, outcome.replay)


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


def unknown_reply(instruction: Instruction, outcome: Outcome, account_own: int) -> Reply:
    """Return 202: it may have happened; the body says how to ask, and the same id makes sending again safe."""
    request_id, ts_us = instruction.request_id, instruction.ts_us
    body: dict[str, Any] = {"status": "UNKNOWN", "request_id": request_id, "ts": ts_us, "env": ENVIRONMENT}
    if outcome.seq:
        body["seq"] = str(outcome.seq)
    place = f"/api/v1/requests/{request_id}?ts={ts_us}"
    if instruction.account != account_own:
        place += f"&account={instruction.account}"
    return Reply(202, body, {"Location": place, "Retry-After": "1"})
