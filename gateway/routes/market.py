"""
What everybody may see: the markets' parameters, quotes and marks as the leading engine states them, the orders' depth,
candles, trades, funding and liquidations, and what the insurance fund holds.
"""

from typing import Any

from starlette.responses import Response

from gateway import candles
from gateway.calls import Call, json_answer, json_public
from gateway.errors import GatewayCode, Refusal
from gateway.history import MARKET_FEEDS, Row
from gateway.limits import LimitName, network_of
from gateway.prices import LEVELS_MAX, depth_body, ticker_body
from gateway.routes.paging import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    PAGE_QUERY,
    count_more,
    cursor_following,
    cursor_read,
    cursor_text,
    number_read,
    page,
    page_wanted,
    wait_seq_read,
)
from shared.codes import ResultCode

ASSET = "USDC"


async def markets_show(call: Call) -> Response:
    """Answer all markets."""
    call.query()
    return json_public(call, page(call.desk.markets.all()))


async def market_show(call: Call) -> Response:
    """Answer one market's parameters and filters."""
    call.query()
    return json_answer(call, dict(market_named(call)))


async def ticker_show(call: Call) -> Response:
    """Answer the last accepted quote and mark with their age; never a price that the engine refused."""
    call.query()
    market = market_named(call)["market"]
    view = await call.desk.views.market(market)
    opened = await call.desk.day_opens.look(market)
    return json_answer(call, ticker_body(market, view, call.gateway.parts.now_us(), opened))


async def depth_show(call: Call) -> Response:
    """Answer users' resting orders by price, the best first, and beside them the outside quote."""
    query = call.query("levels")
    market = market_named(call)["market"]
    levels = number_read("levels", query.get("levels"), 1, LEVELS_MAX, LEVELS_MAX)
    view = await call.desk.views.market(market)
    return json_answer(call, {"market": market} | depth_body(view, levels))


async def candles_show(call: Call) -> Response:
    """Answer a market's candles of one width, newest first, the running one at the top."""
    query = call.query("interval", "from_ms", "to_ms", "limit", "cursor")
    market = market_named(call)["market"]
    wanted, first_page = candles_wanted(query)
    client = call.request.client
    count_more(call, LimitName.PUBLIC, network_of(client.host if client else None), wanted.requests() - 1)
    # The view first: what its minute was is stored at the earliest afterwards.
    running = candles.running_of(await view_beside(call, market)) if first_page else None
    database = call.desk.parts.database
    found = await candles.candles_read(database, call.desk.venue, market, wanted, running)
    following = None if found.before_ms is None else cursor_text(found.before_ms)
    return json_public(call, page(found.items) | {"next_cursor": following})


async def view_beside(call: Call, market: str) -> dict[str, str]:
    """Return a market's view to go beside its history, empty while the engine has not written it."""
    try:
        return await call.desk.views.market(market)
    except Refusal:
        return {}


def candles_wanted(query: dict[str, str]) -> tuple[candles.Wanted, bool]:
    """Return which candles are wanted, and whether the page is the first; raises Refusal."""
    width_ms = candles.INTERVALS.get(query.get("interval", "1m"))
    if width_ms is None:
        expected = ", ".join(candles.INTERVALS)
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "interval", "expected": expected})
    latest = candles.TIME_MAX_MS
    to_ms = number_read("to_ms", query.get("to_ms"), 0, latest, latest)
    before = cursor_read(query.get("cursor"), 1)
    wanted = candles.Wanted(
        width_ms,
        number_read("from_ms", query.get("from_ms"), 0, latest, 0),
        to_ms if before is None else min(to_ms, before[0]),
        number_read("limit", query.get("limit"), 1, LIMIT_MAX, LIMIT_DEFAULT),
    )
    return wanted, before is None


async def trades_show(call: Call) -> Response:
    """Answer a market's trades, newest first."""
    complete_to_seq, rows, following = await market_rows(call, "trades")
    items = [
        {name: row.data[name] for name in ("price", "qty", "side")}
        | {"time_us": row.time_us, "at": row.at, "seq": row.seq}
        for row in rows
    ]
    return json_answer(call, page(items) | {"next_cursor": following, "complete_to_seq": str(complete_to_seq)})


async def funding_show(call: Call) -> Response:
    """Answer what each due time of a market brought, newest first, and what comes next."""
    complete_to_seq, rows, following = await market_rows(call, "funding")
    body = page([funding_item(row) for row in rows])
    body |= {"next_cursor": following, "complete_to_seq": str(complete_to_seq)}
    view = await view_beside(call, market_named(call)["market"])
    if view.get("funding_rate") and view.get("funding_next_ms", "").isdigit():
        body["next"] = {"rate": view["funding_rate"], "due_ms": int(view["funding_next_ms"])}
    return json_answer(call, body)


def funding_item(row: Row) -> dict[str, Any]:
    """Return what one due time brought: what was paid, or why nothing was."""
    item = {"due_ms": row.data["due_ms"], "at": row.at, "seq": row.seq}
    if "reason" in row.data:
        return item | {"skipped": row.data["reason"]}
    return item | {name: row.data[name] for name in ("rate", "price_mark", "positions", "amount")}


async def market_rows(call: Call, name: str) -> tuple[int, list[Row], str | None]:
    """Return up to which seq a market's history is complete, a page of its rows, and the next page's cursor."""
    query = call.query(*PAGE_QUERY)
    market = market_named(call)["market"]
    wanted = page_wanted(call, query)
    complete_to_seq, rows = await call.desk.history.rows(MARKET_FEEDS[name], market, wanted, wait_seq_read(query))
    return complete_to_seq, rows[: wanted.limit], cursor_following(rows, wanted.limit)


async def liquidations_show(call: Call) -> Response:
    """Answer a market's liquidations, newest first, and the positions that had to take the other side of one."""
    query = call.query("limit", "cursor", "wait_seq")
    market = market_named(call)["market"]
    limit = number_read("limit", query.get("limit"), 1, LIMIT_MAX, LIMIT_DEFAULT)
    before = cursor_read(query.get("cursor"), 2)
    place = None if before is None else (before[0], before[1])
    complete_to_seq, rows = await call.desk.history.liquidations(market, limit, place, wait_seq_read(query))
    following = cursor_text(*rows[limit - 1].place[1:]) if len(rows) > limit else None
    items = [row.data | {"seq": row.seq} for row in rows[:limit]]
    return json_answer(call, page(items) | {"next_cursor": following, "complete_to_seq": str(complete_to_seq)})


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
