"""
An account and its positions with what they are worth, as answers and messages show them; pure.

Figures come from valuation.py; here they get their names.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.markets import Markets
from gateway.valuation import (
    CROSS,
    Pool,
    Terms,
    Valuation,
    account_value,
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


def terms_by_market(markets: Markets, view: AccountView, prices: Mapping[str, Mapping[str, str]]) -> dict[str, Terms]:
    """Return the terms of each market that there are prices of, for an account; each has a mark."""
    terms = {}
    for name, priced in prices.items():
        market = markets.one(name)
        assert market is not None, "a position is in a market of this venue"
        terms[name] = terms_of(market, priced, view.leverages.get(name), view.guards.get("leverage_max"))
    return terms


def valued_of(view: AccountView, terms: dict[str, Terms]) -> Valued:
    """Return what an account is worth; `terms` holds each market that it has a position in."""
    value = account_value(view.account, view.positions, {market: each.price_mark for market, each in terms.items()})
    return Valued(view, value, pool_of(view.account, view.positions, view.orders, view.modes, terms), terms)


def worth_body(valued: Valued) -> dict[str, Any]:
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


def account_body(account_id: int, valued: Valued, environment: str) -> dict[str, Any]:
    """Return the account in one body: its worth, what it has chosen, whose it is."""
    view = valued.view
    body = {"account_id": account_id, "mode": view.account.get("mode", "isolated")} | worth_body(valued)
    body |= {"positions_count": len(view.positions), "orders_count": len(view.orders), "asset": ASSET}
    body |= {name: view.account[name] for name in ACCOUNT_OPTIONAL if name in view.account}
    body |= {"leverages": view.leverages, "modes": view.modes, "guards": view.guards}
    if view.margin_call is not None:
        body["margin_call"] = view.margin_call
    if view.main is not None:
        body |= {"main": view.main[0], "sub": view.main[1]}
    else:
        body["subaccounts"] = [{"account_id": number, "sub": sub} for number, sub in sorted(view.subaccounts.items())]
    return body | {"env": environment}


def positions_body(
    view: AccountView, rows: Iterable[dict[str, Any]], terms: Mapping[str, Terms], pool: Pool
) -> list[dict[str, Any]]:
    """Return positions with their worth and risk, each with the newest warning of its margin."""
    items = [position_valued(position, terms[position["market"]], pool) for position in rows]
    for item in items:
        if item["position_id"] in view.margin_calls:
            item["margin_call"] = view.margin_calls[item["position_id"]]
    return items
