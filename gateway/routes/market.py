"""The markets: parameters, and the last accepted quote and mark as the leading engine states them."""

from typing import Any

from starlette.responses import Response

from gateway.calls import Call, json_answer
from gateway.errors import Refusal
from gateway.routes.account import page
from shared.codes import ResultCode

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


def market_named(call: Call) -> dict[str, Any]:
    """Return the market that the address names; raises Refusal."""
    name = call.request.path_params["market"]
    market = call.desk.markets.one(name)
    if market is None:
        raise Refusal(ResultCode.MARKET_UNKNOWN.name, {"market": name[:64]})
    return market
