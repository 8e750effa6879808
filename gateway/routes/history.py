"""What an account has done: closed orders and positions, fills, funding, movements of money; as JSON or as CSV."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from gateway.answers import ENVIRONMENT
from gateway.calls import Call, json_answer
from gateway.history import ACCOUNT_FEEDS, Row
from gateway.limits import LimitName
from gateway.routes.paging import (
    LIMIT_MAX,
    PAGE_QUERY,
    count_more,
    cursor_following,
    page,
    page_wanted,
    wait_seq_read,
)
from gateway.tables import MEDIA_TYPE, csv_text, csv_wanted

CSV_LIMIT_MAX = 5_000
PLACE_COLUMNS = ("time_us", "seq", "at")
# A column that is there stays where it is: programs read them by number.
COLUMNS = {
    "orders": (
        *("market", "order_id", "position_id", "client_order_id", "side", "kind", "tif", "reason", "result", "qty"),
        *("qty_filled", "price", "price_trigger", "trigger_by", "trail_ticks", "trail_ppm", "price_activation"),
        *("price_peak", "close_percent", "price_average", "fee", "pnl_realised", "placed_us", "closed_us"),
    ),
    "positions": (
        *("market", "position_id", "kind", "direction", "qty", "price_entry", "price_exit", "pnl_realised", "fees"),
        *("funding", "reason", "opened_us", "closed_us"),
    ),
    "fills": (
        *("market", "order_id", "position_id", "fill_id", "side", "maker", "price", "qty", "notional", "fee"),
        "pnl_realised",
    ),
    "funding": ("market", "position_id", "rate", "price_mark", "amount", "due_ms"),
    "ledger": ("amount", "counter", "reason", "ref", "free_after"),
}


def history_show(name: str) -> Callable[[Call], Awaitable[Response]]:
    """Return the route of one history."""

    async def show(call: Call) -> Response:
        return await history_answer(call, name)

    show.__name__ = f"history_{name}_show"
    return show


async def history_answer(call: Call, name: str) -> Response:
    """Answer a page of one history of the caller's account, newest first."""
    feed = ACCOUNT_FEEDS[name]
    filters = tuple(feed.filters)
    query = call.query(*PAGE_QUERY, *filters)
    as_csv = csv_wanted(call.request.headers.get("accept"))
    wanted = page_wanted(call, query, filters, CSV_LIMIT_MAX if as_csv else LIMIT_MAX)
    count_more(call, LimitName.READ, str(call.caller.account_id), (wanted.limit - 1) // LIMIT_MAX)
    complete_to_seq, rows = await call.desk.history.rows(feed, call.account_id, wanted, wait_seq_read(query))
    following, rows = cursor_following(rows, wanted.limit), rows[: wanted.limit]
    if as_csv:
        return await csv_answer(call, name, rows, following, complete_to_seq)
    body = page([item_of(row) for row in rows]) | {
        "next_cursor": following,
        "complete_to_seq": str(complete_to_seq),
        "env": ENVIRONMENT,
    }
    return json_answer(call, body)


def item_of(row: Row) -> dict[str, Any]:
    """Return one event of the account as its history shows it."""
    event = {name: value for name, value in row.data.items() if name not in ("e", "account")}
    return event | {"seq": row.seq, "at": row.at, "time_us": row.time_us}


async def csv_answer(call: Call, name: str, rows: list[Row], following: str | None, complete_to_seq: int) -> Response:
    """Return a page as a file for spreadsheets; what stands beside the items in JSON is in the headers."""
    headers = {
        "Complete-To-Seq": str(complete_to_seq),
        "Content-Disposition": f'attachment; filename="{name}.csv"',
        "Cache-Control": "no-store",
        "Request-Id": call.request_id,
    }
    if following is not None:
        headers["Next-Cursor"] = following
    columns = (*PLACE_COLUMNS, *COLUMNS[name])
    # In a thread: thousands of rows would keep everybody else waiting.
    text = await asyncio.to_thread(lambda: csv_text(columns, map(item_of, rows)))
    return Response(text, 200, headers, f"{MEDIA_TYPE}; charset=utf-8")


orders_show = history_show("orders")
positions_show = history_show("positions")
fills_show = history_show("fills")
funding_show = history_show("funding")
ledger_show = history_show("ledger")
