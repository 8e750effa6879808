"""What became of an instruction: the stored outcome, NOT_ACCEPTED when that is certain, else UNKNOWN; never a guess."""

import re
from typing import Any

from starlette.responses import Response

from gateway.answers import ENVIRONMENT, OK, outcome_body
from gateway.calls import Call, json_answer
from gateway.errors import GatewayCode, Refusal
from gateway.identity import request_id_of_order, request_ids_of_path
from gateway.instructions import CHUNKS_MAX, first_cause
from gateway.tail import Cause, Position

DECIDED_AFTER_US = 5_000_000  # an instruction that log time has left this far behind is refused for certain
TS_DIGITS = 16
NAMING = ("trade_create", "order_place")  # the operations that take the caller's own name for an order
_NAME = re.compile(r"[\x20-\x7e]{1,64}", re.ASCII)


async def request_show(call: Call) -> Response:
    """Answer what became of one request of the caller's account."""
    ts_us = ts_read(call.query("ts").get("ts"))
    return await outcome_show(call, request_ids_of_path(call.request.path_params["request_id"]), ts_us)


async def request_named_show(call: Call) -> Response:
    """Answer what became of the newest order that the caller gave a name, whichever operation made it."""
    query = call.query("client_order_id", "ts")
    name = query.get("client_order_id")
    if name is None or _NAME.fullmatch(name) is None:
        expected = "the name of an order: 1 to 64 printable ASCII characters"
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "client_order_id", "expected": expected})
    return await outcome_show(call, [request_id_of_order(op, name) for op in NAMING], ts_read(query.get("ts")))


async def outcome_show(call: Call, request_ids: list[str], ts_us: int | None) -> Response:
    """Answer what became of a request that may have any of these ids: what was accepted goes before a refusal."""
    cursor: Position | None = None
    rebuilt_us = 0
    known: list[tuple[bool, int, str, dict[str, Any]]] = []
    for request_id in request_ids:
        read = await call.desk.views.outcome(call.account_id, request_id)
        # The older cursor counts: what was absent then is all that is certain of all names.
        cursor = read.cursor if cursor is None else min(cursor, read.cursor)
        rebuilt_us = max(rebuilt_us, read.rebuilt_us)
        call.request_id = request_id
        if read.outcome is not None and await answers(call, read.outcome, ts_us):
            accepted = read.outcome["response"]["result"] == OK
            known.append((accepted, int(read.outcome["seq"]), request_id, read.outcome))
    if known:
        call.request_id, outcome = max(known, key=lambda each: each[:2])[2:]
        return json_answer(call, await stored_body(call, outcome))
    assert cursor is not None, "somebody asked about no request"
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
