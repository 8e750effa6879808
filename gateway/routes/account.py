"""The caller's account: balances, what is on offer, open positions and orders."""

from typing import Any, NamedTuple

from starlette.responses import Response

from gateway.answers import ENVIRONMENT
from gateway.calls import Call, json_answer
from gateway.routes.paging import market_read, page
from gateway.valuation import (
    CROSS,
    Pool,
    Terms,
    Valuation,
    account_value,
    is_cross,
    pool_of,
    position_maintenance_ppm,
    position_valued,
    terms_of,
)
from gateway.views import AccountView
from shared.units import PPM, money_text

ASSET = "USDC"
ACCOUNT_OPTIONAL = ("frozen", "deadman_us", "resets", "locked_until_ms")


class Valued(NamedTuple):
    """An account with what it is worth, and the terms of the markets that it has positions in."""

    view: AccountView
    value: Valuation
    pool: Pool
    terms: dict[str, Terms]


async def account_show(call: Call) -> Response:
    """Answer the account in one body."""
    call.query()
    valued = await account_valued(call)
    view = valued.view
    body = {"account_id": call.account_id, "mode": view.account.get("mode", "isolated")} | value_body(valued)
    body |= {"positions_count": len(view.positions), "orders_count": len(view.orders), "asset": ASSET}
    body |= {name: view.account[name] for name in ACCOUNT_OPTIONAL if name in view.account}
    body |= {"leverages": view.leverages, "modes": view.modes, "guards": view.guards}
    if view.margin_call is not None:
        body["margin_call"] = view.margin_call
    if view.main is not None:
        body |= {"main": view.main[0], "sub": view.main[1]}
    else:
        body["subaccounts"] = [{"account_id": number, "sub": sub} for number, sub in sorted(view.subaccounts.items())]
    return json_answer(call, body | view.stamp() | {"env": ENVIRONMENT})


async def balance_show(call: Call) -> Response:
    """Answer all balances; there is one asset."""
    call.query()
    valued = await account_valued(call)
    return json_answer(call, page([{"asset": ASSET} | value_body(valued)]) | valued.view.stamp())


async def balance_usd_show(call: Call) -> Response:
    """Answer what the account is worth in USD; USDC counts as one."""
    call.query()
    valued = await account_valued(call)
    body = {"asset": "USD", "equity": money_text(valued.value.equity_e6())}
    body["available"] = money_text(valued.pool.available_e6)
    return json_answer(call, body | valued.view.stamp())


async def assets_show(call: Call) -> Response:
    """Answer the instruments on offer."""
    call.query()
    return json_answer(call, page(call.desk.markets.all()))


async def positions_show(call: Call) -> Response:
    """Answer the open positions with mark, unrealised PnL, maintenance margin and rank of deleveraging."""
    market = market_read(call, call.query("market"))
    view = await call.desk.views.account(call.account_id)
    rows = [position for position in view.positions if market in (None, position["market"])]
    # One cross position's risk is that of all.
    pooled = [position for position in view.positions if is_cross(position)] if any(map(is_cross, rows)) else []
    terms = await terms_read(call, view, {position["market"] for position in rows + pooled})
    pool = pool_of(view.account, pooled, view.orders, view.modes, terms)
    items = [position_valued(position, terms[position["market"]], pool) for position in rows]
    for item in items:
        if item["position_id"] in view.margin_calls:
            item["margin_call"] = view.margin_calls[item["position_id"]]
    return json_answer(call, page(items) | view.stamp() | {"env": ENVIRONMENT})


async def orders_show(call: Call) -> Response:
    """Answer the live orders: resting ones and dormant triggers."""
    market = market_read(call, call.query("market"))
    view = await call.desk.views.account(call.account_id)
    items = [order for order in view.orders if market in (None, order["market"])]
    return json_answer(call, page(items) | view.stamp() | {"env": ENVIRONMENT})


async def account_valued(call: Call) -> Valued:
    """Return the caller's account and what it is worth."""
    view = await call.desk.views.account(call.account_id)
    terms = await terms_read(call, view, {position["market"] for position in view.positions})
    value = account_value(view.account, view.positions, {market: each.price_mark for market, each in terms.items()})
    return Valued(view, value, pool_of(view.account, view.positions, view.orders, view.modes, terms), terms)


async def terms_read(call: Call, view: AccountView, names: set[str]) -> dict[str, Terms]:
    """Return the terms of markets for an account; raises Refusal when a mark is missing."""
    terms = {}
    for name, prices in (await call.desk.views.priced(names)).items():
        market = call.desk.markets.one(name)
        assert market is not None, "a position is in a market of this venue"
        terms[name] = terms_of(market, prices, view.leverages.get(name), view.guards.get("leverage_max"))
    return terms


def value_body(valued: Valued) -> dict[str, Any]:
    """Return a valuation as text; the cross positions taken together stand apart where the account has chosen so."""
    view, value, pool, terms = valued
    needed_ppm = sum(position_maintenance_ppm(position, terms[position["market"]]) for position in view.positions)
    body: dict[str, Any] = {
        "equity": money_text(value.equity_e6()),
        "free": money_text(value.free_e6),
        "reserved": money_text(value.reserved_e6),
        "margin": money_text(value.margin_e6),
        "pnl_unrealised": money_text(value.pnl_unrealised_e6),
        "available": money_text(pool.available_e6),
        "transferable": money_text(pool.leave_e6),
        "margin_maintenance": money_text(needed_ppm // PPM),
    }
    if view.account.get("mode") == CROSS:
        body["cross"] = {
            "equity": money_text(pool.equity_e6),
            "cash": money_text(pool.cash_e6),
            "pnl_unrealised": money_text(pool.results_e6),
            "margin_initial": money_text(pool.initial_e6),
            "margin_maintenance": money_text(pool.maintenance_e6),
        }
    return body
