"""
What the order calculator is asked: an instruction, and all that the views say of its account and its markets; pure.

Everything stands as the views and the bodies state it; preview_rows.py turns it into the core's own figures.
"""

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from gateway.valuation import CROSS, is_cross

if TYPE_CHECKING:  # the worker reads this file too, and needs no client of a server
    from gateway.markets import Markets
    from gateway.views import AccountView

# Orders whose whole state no image tells: they are counted, and what is answered beside them is an estimate.
STATUSES_UNTOLD = ("attached", "delayed")
RESTING = ("resting", "delayed")


class Question(Struct, kw_only=True):
    """One question; the market of the instruction is the first of `markets`."""

    op: str
    fields: dict[str, Any]
    markets: list[dict[str, Any]]  # as configured
    venue: dict[str, Any]  # the venue's parameters
    account: dict[str, Any]
    leverages: dict[str, int]
    modes: dict[str, str]
    guards: dict[str, Any]
    positions: list[dict[str, Any]]  # in these markets
    orders: list[dict[str, Any]]  # in these markets, those without an untold state
    elsewhere: dict[str, int]  # what else counts against an account's bounds: positions_open, …
    untold: bool  # whether orders in the instruction's market were left out
    names_taken: list[str]  # the instruction's own names for orders that an order not put has already
    now_us: int
    prices: dict[str, dict[str, str]] = field(default_factory=dict)  # the markets' views
    number: int = 0  # an answer names it
    size: dict[str, str] | None = None  # what stands in place of a quantity: {"percent": …} or {"usd": …}

    def names(self) -> list[str]:
        """Return the names of its markets."""
        return [market["market"] for market in self.markets]


def market_of(fields: dict[str, Any], view: "AccountView") -> str | None:
    """Return the market that an operation is in: named, or that of the position named; None: it has none of that id."""
    if "market" in fields:
        return str(fields["market"])
    mine = [position for position in view.positions if position["position_id"] == fields["position_id"]]
    return str(mine[0]["market"]) if mine else None


def question_of(
    op: str, fields: dict[str, Any], market: str, view: "AccountView", markets: "Markets", now_us: int
) -> Question:
    """Return the question about an operation in a market that is configured; its prices are still to be read."""
    names = [market, *markets_beside(market, view)]
    positions = [position for position in view.positions if position["market"] in names]
    inside = [order for order in view.orders if order["market"] in names]
    concerned = {fields.get("position_id", 0)} | {each["position_id"] for each in positions if each["kind"] == "net"}
    orders = [order for order in inside if matters(order, concerned)]
    put = {order["order_id"] for order in orders}
    others = [order for order in view.orders if order["order_id"] not in put]
    resting = sum(order["status"] in RESTING for order in others)
    named = {fields.get("client_order_id"), fields.get("oco", {}).get("client_order_id")} - {None}
    return Question(
        op=op,
        fields=fields,
        markets=[found for found in map(markets.one, names) if found is not None],
        venue=markets.venue,
        account=view.account,
        leverages=view.leverages,
        modes=view.modes,
        guards=view.guards,
        positions=positions,
        orders=orders,
        elsewhere={
            "positions_open": len(view.positions) - len(positions) + len(openings(view) - set(names)),
            "orders_resting": resting,
            "orders_dormant": len(others) - resting,
        },
        untold=any(order["market"] == market for order in inside if order["status"] in STATUSES_UNTOLD),
        names_taken=sorted(named & {order.get("client_order_id") for order in others}),
        now_us=now_us,
    )


def openings(view: "AccountView") -> set[str]:
    """Return the markets in which a live order may open a net position that is not there yet."""
    held = {position["market"] for position in view.positions if position["kind"] == "net"}
    return {order["market"] for order in view.orders if not order["reduce_only"]} - held


def matters(order: dict[str, Any], concerned: set[int]) -> bool:
    """Return whether an order is put: not one with an untold state, nor the SL or TP of a ticket left alone."""
    if order["status"] in STATUSES_UNTOLD:
        return False
    follows = order["reduce_only"] and "qty" not in order and "close_percent" not in order
    return not follows or order.get("position_id", 0) in concerned


def markets_beside(market: str, view: "AccountView") -> list[str]:
    """Return the other markets whose cross positions and orders stand behind an account's money."""
    if not any(map(is_cross, view.positions)) and view.modes.get(market) != CROSS:
        return []
    named = {position["market"] for position in view.positions if is_cross(position)}
    named |= {order["market"] for order in view.orders if view.modes.get(order["market"]) == CROSS}
    return sorted(named - {market})
