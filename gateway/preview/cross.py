"""
What a cross position would be liquidated at after a tried instruction, as the account's own routes reckon it; pure.

The core gives a cross position no such price: it moves with every market of the account. So it is an estimate, made of
the account as the events leave it.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from gateway.preview.question import Question
from gateway.valuation import cross_threshold_ticks, is_cross, pool_of, terms_of


class After(NamedTuple):
    """An account as events leave it."""

    account: Mapping[str, Any]
    positions: dict[int, Mapping[str, Any]]
    orders: dict[int, Mapping[str, Any]]


def after_of(asked: Question, events: Iterable[Mapping[str, Any]], caller: int) -> After:
    """Return the caller's account after these events."""
    account: Mapping[str, Any] = asked.account
    positions: dict[int, Mapping[str, Any]] = {row["position_id"]: row for row in asked.positions}
    orders: dict[int, Mapping[str, Any]] = {row["order_id"]: row for row in asked.orders}
    for event in events:
        if event.get("account") != caller:
            continue
        match event["e"]:
            case "account_changed":
                account = event
            case "position_changed" if Fraction(event["qty"]):
                positions[event["position_id"]] = event
            case "position_changed" | "closed_position":
                positions.pop(event["position_id"], None)
            case "order_changed":
                orders[event["order_id"]] = event
            case "closed_order":
                orders.pop(event["order_id"], None)
    return After(account, positions, orders)


def liquidation_ticks(asked: Question, after: After, position_id: int, assumed: str | None) -> int:
    """Return the mark, in ticks, at which a cross position's account is liquidated if no other mark moves; 0: none."""
    crossed = [dict(row) for row in after.positions.values() if is_cross(row)]
    configs = {config["market"]: config for config in asked.markets}
    prices = {name: dict(view) for name, view in asked.prices.items()}
    if assumed is not None:
        prices[asked.markets[0]["market"]]["mark"] = assumed
    guard = asked.guards.get("leverage_max")
    terms = {
        row["market"]: terms_of(
            configs[row["market"]], prices[row["market"]], asked.leverages.get(row["market"]), guard
        )
        for row in crossed
    }
    pool = pool_of(after.account, crossed, [dict(row) for row in after.orders.values()], asked.modes, terms)
    position = after.positions[position_id]
    return cross_threshold_ticks(position, terms[position["market"]], pool)
