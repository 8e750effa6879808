"""What an account is worth is exact."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.valuation import account_value, notional_e6, pnl_unrealised_e6, position_valued

ACCOUNT = {"free": "4993.970000", "reserved": "1.000000"}
LONG = {"market": "B", "qty": "0.00100", "cost": "60.000000", "margin": "6.000000"}
SHORT = {"market": "B", "qty": "-0.00100", "cost": "-60.000000", "margin": "6.000000"}


def test_pnl_of_both_directions() -> None:
    """A long wins what a short of the same size loses."""
    assert pnl_unrealised_e6(LONG, "61000.0") == 1_000_000
    assert pnl_unrealised_e6(SHORT, "61000.0") == -1_000_000


def test_equity_is_the_sum_of_its_parts() -> None:
    """Equity is free, reserved, margin and unrealised PnL, to the micro-dollar."""
    value = account_value(ACCOUNT, [LONG], {"B": "59000.0"})
    assert value.equity_e6() == 4_993_970_000 + 1_000_000 + 6_000_000 - 1_000_000
    shown = position_valued(LONG, "59000.0")
    assert (shown["pnl_unrealised"], shown["notional"], shown["price_mark"]) == ("-1.000000", "59.000000", "59000.0")


@given(st.integers(-(10**10), 10**10), st.integers(1, 10**8))
def test_notional_on_a_market_grid_is_exact(lots: int, ticks: int) -> None:
    """On the grid of a market nothing is rounded: ticks × lots × unit."""
    qty = f"{'-' if lots < 0 else ''}{abs(lots) // 100_000}.{abs(lots) % 100_000:05d}"
    assert notional_e6(qty, f"{ticks // 10}.{ticks % 10}") == Fraction(lots * ticks)
