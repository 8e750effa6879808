"""What became of an instruction: the stored outcome, NOT_ACCEPTED when that is certain, else UNKNOWN; never a guess."""

from typing import Any

from starlette.responses import Response

from gateway.answers import ENVIRONMENT, OK, outcome_body
from gateway.calls import Call, json_answer
from gateway.errors import GatewayCode, Refusal
from gateway.identity import request_ids_of_path
from gateway.instructions import CHUNKS_MAX, first_cause
from gateway.tail import Cause, Position

DECIDED_AFTER_US = 5_000_000  # an instruction that log time has left this far behind is refused for certain
TS_DIGITS = 16


async def request_show(call: Call) -> Response:
    """Answer what became of one request of the caller's account."""
    ts_us = ts_read(call.query("ts").get("ts"))
    cursor: Position | None = None
    rebuilt_us = 0
    for request_id in request_ids_of_path(call.request.path_params["request_id"]):
        read = await call.desk.views.outcome(call.account_id, request_id)
        # The older cursor counts: what was absent then is all that is certain of both names.
        cursor = read.cursor if cursor is None else min(cursor, read.cursor)
        rebuilt_us = max(rebuilt_us, read.rebuilt_us)
        call.request_id = request_id
        if read.outcome is not None and await answers(call, read.outcome, ts_us):
            return json_answer(call, await stored_body(call, read.outcome))
    assert cursor is not None
    if ts_us is not None and await not_accepted(call, cursor, rebuilt_us, ts_us):
        return json_answer(call, {"status": "NOT_ACCEPTED", "ts": ts_us, "env": ENVIRONMENT})
    return json_answer(call, {"status": "UNKNOWN", "env": ENVIRONMENT} | ({"ts": ts_us} if ts_us is not None else {}))


def ts_read(text: str | None) -> int | None:
    """Return the time of the sending that is asked about."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) == TS_DIGITS):
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "ts", "expected": "microseconds since 1970"})
    return int(text)


async def answers(call: Call, outcome: dict[str, Any], ts_us: int | None) -> bool:
    """Return whether a stored outcome answers: a refusal only when it is not of an earlier sending."""
    if outcome["response"]["result"] == OK or ts_us is None:
        return True
    ts_refused_us = outcome.get("ts")
    if ts_refused_us is None:
        ts_refused_us = await ts_of_entry(call, int(outcome["seq"]))
    return ts_refused_us is not None and int(ts_refused_us) >= ts_us


async def ts_of_entry(call: Call, seq: int) -> int | None:
    """Return the time that a log entry's sender stamped, None when the log no longer holds it."""
    entries = await call.desk.parts.streams.range_log(call.desk.keys, seq, seq, 1)
    for entry in entries:
        for name, value in entry.fields:
            if name == b"ts" and value.isdigit():
                return int(value)
    return None


async def stored_body(call: Call, outcome: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a stored outcome, with its events while the stream holds them."""
    seq = int(outcome["seq"])
    response = outcome["response"]
    desk = call.desk
    entries = await desk.parts.streams.range_events(desk.keys, (seq, 0), (seq, CHUNKS_MAX), CHUNKS_MAX)
    cause = first_cause(entries, response["request_id"]) or Cause(seq, int(outcome["log_time_us"]), response, [])
    status = "ACCEPTED" if response["result"] == OK else "REFUSED"
    op = {"op": response["op"]} if "op" in response else {}
    return {"status": status} | op | outcome_body(cause)


async def not_accepted(call: Call, cursor: Position, rebuilt_us: int, ts_us: int) -> bool:
    """
    Return whether the sending was certainly not accepted; raises Refusal when it is too late to tell.

    Too late is after the request window, and for what was sent before the log time of the snapshot from which the views
    were last rebuilt: outcomes older than it may have been lost with what was rebuilt.
    """
    desk = call.desk
    entries = await desk.parts.streams.range_events(desk.keys, cursor, cursor, 1) if cursor[0] > 0 else []
    if not entries:
        return False
    log_time_us = entries[0].log_time_us
    if log_time_us >= ts_us + desk.markets.request_window_ms * 1_000:
        raise Refusal(GatewayCode.OUTCOME_EXPIRED, {"ts": ts_us, "log_time_us": log_time_us})
    if ts_us + DECIDED_AFTER_US >= log_time_us:
        return False
    if ts_us <= rebuilt_us:
        raise Refusal(GatewayCode.OUTCOME_EXPIRED, {"ts": ts_us, "rebuilt_us": rebuilt_us})
    return True
