"""How the wallet balance of the caller's account went over time, and what the account is worth now."""

from typing import Any

from starlette.responses import Response

from gateway.answers import ENVIRONMENT
from gateway.calls import Call, json_answer
from gateway.candles import TIME_MAX_MS
from gateway.equity import INTERVALS_US, Range
from gateway.errors import GatewayCode, Refusal
from gateway.limits import LimitName
from gateway.routes.account import account_valued
from gateway.routes.paging import count_more, number_read, page, wait_seq_read
from shared.units import money_text

REQUESTS = 10  # as so many it counts: it looks at every movement of the account


async def history_equity_show(call: Call) -> Response:
    """Answer the wallet balance after each step of time, newest first; of now the equity too."""
    query = call.query("interval", "from_ms", "to_ms", "wait_seq")
    wanted = range_wanted(query)
    count_more(call, LimitName.READ, str(call.caller.account_id), REQUESTS - 1)
    desk, now_us = call.desk, call.gateway.parts.now_us()
    # The cursor is read first: the legs are at least as new as it says.
    complete_to_seq = await desk.history.complete_to(wait_seq_read(query))
    curve = await desk.curves.read(call.account_id, wanted, now_us)
    items: list[dict[str, Any]] = [
        {"time_us": point.time_us, "balance": money_text(point.balance_e6)} for point in reversed(curve.points)
    ]
    if wanted.from_us <= now_us < wanted.to_us:
        newest_us = curve.points[-1].time_us if curve.points else 0
        items.insert(0, await point_of_now(call, max(now_us, newest_us)))
    body = page(items) | {"interval": curve.interval, "complete_to_seq": str(complete_to_seq), "env": ENVIRONMENT}
    return json_answer(call, body)


def range_wanted(query: dict[str, str]) -> Range:
    """Return which part of the account's life is asked for; raises Refusal."""
    interval = query.get("interval")
    if interval is not None and interval not in INTERVALS_US:
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "interval", "expected": ", ".join(INTERVALS_US)})
    from_ms = number_read("from_ms", query.get("from_ms"), 0, TIME_MAX_MS, 0)
    to_ms = number_read("to_ms", query.get("to_ms"), 0, TIME_MAX_MS, TIME_MAX_MS)
    return Range(from_ms * 1_000, to_ms * 1_000, interval)


async def point_of_now(call: Call, time_us: int) -> dict[str, Any]:
    """Return what the wallet holds now, out of the account's view, and what the account is worth at the marks."""
    value = (await account_valued(call)).value
    balance_e6 = value.free_e6 + value.reserved_e6 + value.margin_e6
    return {"time_us": time_us, "balance": money_text(balance_e6), "equity": money_text(value.equity_e6())}
