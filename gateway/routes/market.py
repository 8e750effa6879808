"""
What everybody may see: the markets' parameters, quotes and marks as the leading engine states them, liquidations, and
what the insurance fund holds.
"""

from typing import Any

from starlette.responses import Response

from gateway.calls import Call, json_answer
from gateway.errors import Refusal
from gateway.routes.paging import cursor_following, history_of, page, page_wanted
from shared.codes import ResultCode

ASSET = "USDC"
TICKER_TEXTS = ("bid", "ask", "bid_qty", "ask_qty", "mark", "index", "funding_rate", "state", "open_interest")
TICKER_NUMBERS = ("funding_next_ms", "quote_us", "mark_us", "log_time_us")


async def markets_show(call: Call) -> Response:
    """Answer all markets."""
    call.query()
    return json_answer(call, page(call.desk.markets.all()))


async def market_show(call: Call) -> Response:
    """Answer one market's parameters and filters."""
    call.query()
    return json_answer(call, dict(market_named(call)))


async def ticker_show(call: Call) -> Response:
    """Answer the last accepted quote and mark with their age; never a price that the engine refused."""
    call.query()
    market = market_named(call)["market"]
    view = await call.desk.views.market(market)
    now_us = call.gateway.parts.now_us()
    body: dict[str, Any] = {"market": market}
    body |= {name: view[name] for name in TICKER_TEXTS if view.get(name)}
    body |= {name: int(view[name]) for name in TICKER_NUMBERS if view.get(name, "").isdigit()}
    for name in ("quote", "mark"):
        if body.get(f"{name}_us"):
            body[f"{name}_age_ms"] = max(0, now_us - body[f"{name}_us"]) // 1_000
    body["fresh"] = view.get("fresh") == "1"
    body["seq"] = view.get("seq", "0")
    return json_answer(call, body)


async def liquidations_show(call: Call) -> Response:
    """Answer a market's liquidations, newest first, and the positions that had to take the other side of one."""
    query = call.query("limit", "cursor", "wait_seq")
    wanted, wait_seq = page_wanted(query, market_named(call)["market"])
    complete_to_seq, rows = await history_of(call).liquidations(wanted, wait_seq)
    items = [row.data | {"seq": str(row.place[0])} for row in rows[: wanted.limit]]
    body = page(items) | {"next_cursor": cursor_following(rows, wanted), "complete_to_seq": str(complete_to_seq)}
    return json_answer(call, body)


async def insurance_show(call: Call) -> Response:
    """Answer what the insurance fund holds."""
    call.query()
    insurance = await call.desk.views.insurance()
    body = {"balance": insurance["balance"], "asset": ASSET, "log_time_us": insurance["log_time_us"]}
    return json_answer(call, body | {"seq": str(insurance["seq"])})


def market_named(call: Call) -> dict[str, Any]:
    """Return the market that the address names; raises Refusal."""
    name = call.request.path_params["market"]
    market = call.desk.markets.one(name)
    if market is None:
        raise Refusal(ResultCode.MARKET_UNKNOWN.name, {"market": name[:64]})
    return market
