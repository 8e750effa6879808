"""
What a cross position would be liquidated at after a tried instruction, as the account's own routes reckon it; pure.

The core gives a cross position no such price: it moves with every market of the account. So it is an estimate, made of
the account as the events leave it.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from gateway.preview.question import Question
from gateway.valuation import Pool, Terms, cross_threshold_ticks, is_cross, money_e6, pool_of, terms_of


class After(NamedTuple):
    """An account as events leave it."""

    account: Mapping[str, Any]
    positions: dict[int, Mapping[str, Any]]
    orders: dict[int, Mapping[str, Any]]


def after_of(asked: Question, events: Iterable[Mapping[str, Any]], caller: int) -> After:
    """Return the caller's account after these events."""
    account, positions, orders = standing_of(asked)
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


def standing_of(asked: Question) -> After:
    """Return the caller's account as it stands before the instruction."""
    return After(
        asked.account,
        {row["position_id"]: row for row in asked.positions},
        {row["order_id"]: row for row in asked.orders},
    )


def spendable_e6(asked: Question, after: After) -> int:
    """Return what of an account may go into a new order: free, and with cross positions available money too."""
    free_e6 = money_e6(after.account["free"])
    if not any(map(is_cross, after.positions.values())):
        return free_e6
    return min(free_e6, pooled(asked, after, None)[1].available_e6)


def pooled(asked: Question, after: After, assumed: str | None) -> tuple[dict[str, Terms], Pool]:
    """Return the terms of the markets with cross positions, and these taken together."""
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
    return terms, pool_of(after.account, crossed, [dict(row) for row in after.orders.values()], asked.modes, terms)


def liquidation_ticks(asked: Question, after: After, position_id: int, assumed: str | None) -> int:
    """Return the mark, in ticks, at which a cross position's account is liquidated if no other mark moves; 0: none."""
    terms, pool = pooled(asked, after, assumed)
    position = after.positions[position_id]
    return cross_threshold_ticks(position, terms[position["market"]], pool)
