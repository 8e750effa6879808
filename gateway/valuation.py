"""
Unrealised PnL and equity from views, exact: decimal text in, micro-USDC in whole numbers, text out; pure.

The one place where the gateway computes money. A position's cost is signed like its quantity, so its PnL is quantity
times mark less cost for both directions.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.units import E6, E12, decimal_e12, money_text


class Valuation(NamedTuple):
    """What an account is worth, in micro-USDC."""

    free_e6: int
    reserved_e6: int
    margin_e6: int
    pnl_unrealised_e6: int

    def equity_e6(self) -> int:
        """Return the balance and the unrealised PnL together."""
        return self.free_e6 + self.reserved_e6 + self.margin_e6 + self.pnl_unrealised_e6


def money_e6(text: str) -> int:
    """Return micro-USDC; the text has at most six decimals that matter."""
    value, rest = divmod(decimal_e12(text), E12 // E6)
    assert rest == 0, "money finer than a micro"
    return value


def notional_e6(qty: str, price: str) -> int:
    """
    Return signed quantity times price.

    Rounds: down, against the account; on a market's own grid the product is whole and nothing is rounded.
    """
    return decimal_e12(qty) * decimal_e12(price) // (E12 * E12 // E6)


def pnl_unrealised_e6(position: Mapping[str, Any], price_mark: str) -> int:
    """Return what closing the position at the mark would book, before fees."""
    return notional_e6(position["qty"], price_mark) - money_e6(position["cost"])


def account_value(
    account: Mapping[str, Any], positions: list[dict[str, Any]], price_marks: Mapping[str, str]
) -> Valuation:
    """Return what an account is worth; `price_marks` holds the mark of each market with a position."""
    return Valuation(
        money_e6(account["free"]),
        money_e6(account["reserved"]),
        sum(money_e6(position["margin"]) for position in positions),
        sum(pnl_unrealised_e6(position, price_marks[position["market"]]) for position in positions),
    )


def position_valued(position: Mapping[str, Any], price_mark: str) -> dict[str, Any]:
    """Return the position with its mark, notional and unrealised PnL as text."""
    return dict(position) | {
        "price_mark": price_mark,
        "notional": money_text(abs(notional_e6(position["qty"], price_mark))),
        "pnl_unrealised": money_text(pnl_unrealised_e6(position, price_mark)),
    }
