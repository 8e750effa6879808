"""The caller's account: balances, what is on offer, open positions and orders, closed orders."""

import base64
import binascii
from typing import Any

from starlette.responses import Response

from gateway.answers import ENVIRONMENT
from gateway.calls import Call, json_answer
from gateway.errors import GatewayCode, Refusal
from gateway.history import History, Page
from gateway.valuation import Valuation, account_value, position_valued
from gateway.views import AccountView
from shared.units import money_text

ASSET = "USDC"
LIMIT_DEFAULT = 100
LIMIT_MAX = 500


async def account_show(call: Call) -> Response:
    """Answer the account in one body."""
    call.query()
    view, value = await valued(call)
    body = {"account_id": call.session.account_id} | value_body(value)
    body |= {"positions_count": len(view.positions), "orders_count": len(view.orders), "asset": ASSET}
    body |= {name: view.account[name] for name in ("frozen", "deadman_us", "resets") if name in view.account}
    body["leverages"] = view.leverages
    return json_answer(call, body | view.stamp() | {"env": ENVIRONMENT})


async def balance_show(call: Call) -> Response:
    """Answer all balances; there is one asset."""
    call.query()
    view, value = await valued(call)
    return json_answer(call, page([{"asset": ASSET} | value_body(value)]) | view.stamp())


async def balance_usd_show(call: Call) -> Response:
    """Answer what the account is worth in USD; USDC counts as one."""
    call.query()
    view, value = await valued(call)
    body = {"asset": "USD", "equity": money_text(value.equity_e6()), "available": money_text(value.free_e6)}
    return json_answer(call, body | view.stamp())


async def assets_show(call: Call) -> Response:
    """Answer the instruments on offer."""
    call.query()
    return json_answer(call, page(call.desk.markets.all()))


async def positions_show(call: Call) -> Response:
    """Answer the open positions with mark and unrealised PnL."""
    market = market_read(call, call.query("market"))
    view = await call.desk.views.account(call.session.account_id)
    rows = [position for position in view.positions if market in (None, position["market"])]
    marks = await call.desk.views.price_marks({position["market"] for position in rows})
    items = [position_valued(position, marks[position["market"]]) for position in rows]
    return json_answer(call, page(items) | view.stamp() | {"env": ENVIRONMENT})


async def orders_show(call: Call) -> Response:
    """Answer the live orders: resting ones and dormant triggers."""
    market = market_read(call, call.query("market"))
    view = await call.desk.views.account(call.session.account_id)
    items = [order for order in view.orders if market in (None, order["market"])]
    return json_answer(call, page(items) | view.stamp() | {"env": ENVIRONMENT})


async def history_orders_show(call: Call) -> Response:
    """Answer the closed orders, newest first."""
    query = call.query("limit", "cursor", "market", "wait_seq")
    wanted = Page(
        limit=number_read("limit", query.get("limit"), 1, LIMIT_MAX, LIMIT_DEFAULT),
        before=cursor_read(query.get("cursor")),
        market=market_read(call, query),
    )
    wait_seq = number_read("wait_seq", query.get("wait_seq"), 0, 2**62, 0)
    parts = call.desk.parts
    history = History(parts.database, call.desk.venue, parts.monotonic_s)
    complete_to_seq, rows = await history.orders(call.session.account_id, wanted, wait_seq)
    shown = rows[: wanted.limit]
    following = cursor_text(shown[-1].place) if len(rows) > wanted.limit else None
    items = [
        {name: value for name, value in row.data.items() if name not in ("e", "account")} | {"seq": str(row.place[0])}
        for row in shown
    ]
    body = page(items) | {"next_cursor": following, "complete_to_seq": str(complete_to_seq), "env": ENVIRONMENT}
    return json_answer(call, body)


async def valued(call: Call) -> tuple[AccountView, Valuation]:
    """Return the caller's account and what it is worth."""
    view = await call.desk.views.account(call.session.account_id)
    marks = await call.desk.views.price_marks({position["market"] for position in view.positions})
    return view, account_value(view.account, view.positions, marks)


def value_body(value: Valuation) -> dict[str, Any]:
    """Return a valuation as text."""
    return {
        "equity": money_text(value.equity_e6()),
        "free": money_text(value.free_e6),
        "reserved": money_text(value.reserved_e6),
        "margin": money_text(value.margin_e6),
        "pnl_unrealised": money_text(value.pnl_unrealised_e6),
    }


def page(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a whole list as one page."""
    return {"items": items, "next_cursor": None}


def market_read(call: Call, query: dict[str, str]) -> str | None:
    """Return the market that the query names, None without one; raises Refusal when this venue has no such market."""
    market = query.get("market")
    if market is not None and call.desk.markets.one(market) is None:
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "market", "expected": "a market of this venue"})
    return market


def number_read(name: str, text: str | None, low: int, high: int, default: int) -> int:
    """Return a whole number from the query; raises Refusal."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": name, "expected": f"a whole number, {low} to {high}"})
    return int(text)


def cursor_text(place: tuple[int, int]) -> str:
    """Return a place in history as the opaque text that callers hand back."""
    return base64.urlsafe_b64encode(f"{place[0]}.{place[1]}".encode()).decode().rstrip("=")


def cursor_read(text: str | None) -> tuple[int, int] | None:
    """Return the place that a cursor means; raises Refusal."""
    if text is None:
        return None
    try:
        seq, _, position = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).partition(b".")
    except (binascii.Error, ValueError):
        seq, position = b"", b""
    if not (seq.isdigit() and position.isdigit() and len(seq) < 19 and len(position) < 19):
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "cursor", "expected": "next_cursor of an answer"})
    return int(seq), int(position)
