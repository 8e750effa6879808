"""What an account is worth, what its cross positions leave, and where it stands in the queue: exact."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.valuation import (
    SCORE_MAX,
    Pool,
    Terms,
    account_value,
    adl_rank,
    adl_score,
    cross_threshold_ticks,
    leverage_of,
    maintenance_ppm,
    money_e6,
    notional_e6,
    percent_text,
    pnl_unrealised_e6,
    pool_of,
    position_valued,
)
from shared.units import E6, PPM, money_text

ACCOUNT = {"free": "4993.970000", "reserved": "1.000000"}
LONG = {"market": "B", "position_id": 1, "qty": "0.00100", "cost": "60.000000", "margin": "6.000000"}
SHORT = {"market": "B", "position_id": 2, "qty": "-0.00100", "cost": "-60.000000", "margin": "6.000000"}
FLAT = ((0, 10_000),)
TIERED = ((0, 10_000), (100_000 * E6, 50_000))
NOBODY: dict[bool, list[int]] = {True: [], False: []}


def terms(
    mark: str, tiers: tuple[tuple[int, int], ...] = FLAT, leverage: int = 10, tick: str = "1", **more: Any
) -> Terms:
    """Return the terms of a market."""
    return Terms(mark, tick, leverage, tiers, more.get("scores", NOBODY))


def crossed(market: str, qty: str, cost: str) -> dict[str, Any]:
    """Return a cross position as the view has it."""
    return {"market": market, "position_id": 1, "qty": qty, "cost": cost, "margin": "0.000000", "mode": "cross"}


def pool(free: str, *held: tuple[dict[str, Any], Terms]) -> Pool:
    """Return the pool of an account with these cross positions and no orders."""
    found = {position["market"]: each for position, each in held}
    return pool_of({"free": free}, [position for position, _ in held], [], dict.fromkeys(found, "cross"), found)


def test_pnl_of_both_directions() -> None:
    """A long wins what a short of the same size loses."""
    assert pnl_unrealised_e6(LONG, "61000.0") == 1_000_000
    assert pnl_unrealised_e6(SHORT, "61000.0") == -1_000_000


def test_equity_is_the_sum_of_its_parts() -> None:
    """Equity is free, reserved, margin and unrealised PnL, to the micro-dollar."""
    value = account_value(ACCOUNT, [LONG], {"B": "59000.0"})
    assert value.equity_e6() == 4_993_970_000 + 1_000_000 + 6_000_000 - 1_000_000
    shown = position_valued(LONG, terms("59000.0"), pool("0"))
    assert (shown["pnl_unrealised"], shown["notional"], shown["price_mark"]) == ("-1.000000", "59.000000", "59000.0")
    assert (shown["mode"], shown["equity"], shown["margin_maintenance"]) == ("isolated", "5.000000", "0.590000")
    assert not {"adl_rank", "price_liquidation_estimate"} & shown.keys()


@given(st.integers(-(10**10), 10**10), st.integers(1, 10**8))
def test_notional_on_a_market_grid_is_exact(lots: int, ticks: int) -> None:
    """On the grid of a market nothing is rounded: ticks × lots × unit."""
    qty = f"{'-' if lots < 0 else ''}{abs(lots) // 100_000}.{abs(lots) % 100_000:05d}"
    assert notional_e6(qty, f"{ticks // 10}.{ticks % 10}") == Fraction(lots * ticks)


@pytest.mark.parametrize(
    ("mark", "equity", "available", "leave", "needed"),
    [
        ("1000", "10000", "9000", "9000", "100"),
        ("1800", "18000", "16200", "10000", "180"),
        ("600", "6000", "5400", "5400", "60"),
        ("13", "130", "117", "117", "1.3"),
        ("1", "10", "9", "9", "0.1"),
    ],
)
def test_a_long_pools_what_the_account_has(mark: str, equity: str, available: str, leave: str, needed: str) -> None:
    """Ten bought at 1000 with 10000 free: profit raises available, never what may leave above what is free."""
    found = pool("10000", (crossed("M", "10", "10000"), terms(mark)))
    shown = (found.equity_e6, found.available_e6, found.leave_e6, found.maintenance_e6)
    assert shown == tuple(map(money_e6, (equity, available, leave, needed)))


def test_what_orders_in_cross_markets_reserve_is_cash_and_not_available() -> None:
    """Their reserves back the positions and are spent for new orders; those of isolated markets have left the pool."""
    orders: list[dict[str, Any]] = [
        {"market": "M", "reserved": "30.000000"},
        {"market": "I", "reserved": "7.000000"},
        {"market": "M", "order_id": 5},
    ]
    found = pool_of({"free": "100"}, [crossed("M", "1", "100")], orders, {"M": "cross"}, {"M": terms("110")})
    assert (found.cash_e6, found.equity_e6) == (130 * E6, 140 * E6)
    assert (found.initial_e6, found.available_e6) == (11 * E6, 99 * E6)


def test_without_cross_positions_everything_free_is_available() -> None:
    """An account that holds none may use and move all that is free; of a negative free nothing."""
    assert (pool("55").available_e6, pool("55").leave_e6, pool("55").maintenance_e6) == (55 * E6, 55 * E6, 0)
    assert pool("-1").leave_e6 == 0


def test_what_leaves_never_liquidates() -> None:
    """Where the mark has lifted a position into a tier of less leverage, maintenance bounds what may leave."""
    found = pool("12000", (crossed("M", "-10000", "-100000"), terms("10.8", TIERED, leverage=50)))
    assert found.maintenance_e6 == 108_000 * E6 // 20 - 4_000 * E6
    assert found.available_e6 == (12_000 - 8_000 - 2_160) * E6
    assert found.leave_e6 == min(found.available_e6, found.equity_e6 - found.maintenance_e6 - 1)


@pytest.mark.parametrize(
    ("notional", "needed"),
    [("99990", "999.9"), ("100000", "1000"), ("103789.62", "1189.481"), ("103899.61", "1194.9805"), ("0", "0")],
)
def test_maintenance_rises_without_a_step(notional: str, needed: str) -> None:
    """A tier's amount takes off what its higher rate would charge below its floor."""
    assert maintenance_ppm(money_e6(notional), TIERED) == money_e6(needed) * PPM


def test_a_tier_beyond_every_notional_is_not_reached() -> None:
    """A tier that begins above 10¹⁷ micro is passed over, as in the core."""
    assert maintenance_ppm(10**17, ((0, 10_000), (10**17 + 1, 500_000))) == 10**17 * 10_000


@pytest.mark.parametrize(
    ("stated", "most", "guard", "leverage"),
    [(None, 50, None, 10), (0, 50, None, 10), (20, 50, None, 20), (20, 8, None, 8), (None, 5, 7, 5), (20, 50, 3, 3)],
)
def test_leverage_in_force(stated: int | None, most: int, guard: int | None, leverage: int) -> None:
    """What was set or ten, never above the market's bound or the owner's."""
    assert leverage_of(stated, most, guard) == leverage


@given(
    st.integers(1, 50),
    st.booleans(),
    st.integers(-2_000, 20_000),
    st.integers(500, 1_500),
    st.sampled_from([FLAT, ((0, 10_000), (9_000 * E6, 50_000), (30_000 * E6, 200_000))]),
)
def test_the_estimate_is_where_the_account_would_fall(
    lots: int, is_long: bool, free: int, mark: int, tiers: tuple[tuple[int, int], ...]
) -> None:
    """With the other price fixed, the account is liquidatable from the estimate on and not one tick before it."""
    sign = 1 if is_long else -1
    position = crossed("M", str(sign * lots), str(sign * lots * 1_000))
    other = (crossed("N", "-3", "-300"), terms("104", FLAT))

    def health_e6(at: int) -> int:
        found = pool(str(free), (position, terms(str(at), tiers)), other)
        return found.equity_e6 - found.maintenance_e6

    ticks = cross_threshold_ticks(
        position, terms(str(mark), tiers), pool(str(free), (position, terms(str(mark), tiers)), other)
    )
    if is_long:
        assert ticks == 0 or health_e6(ticks) <= 0
        assert health_e6(ticks + 1) > 0
    elif ticks:
        assert health_e6(ticks) <= 0
        assert ticks == 1 or health_e6(ticks - 1) > 0


def test_a_cross_position_shows_the_accounts_equity() -> None:
    """Its equity is what backs all of them, its liquidation price an estimate on the market's grid."""
    position = crossed("M", "1.0", "100.000000")
    here = terms("110.50", tick="0.05")
    shown = position_valued(position, here, pool("20", (position, here)))
    assert (shown["mode"], shown["equity"]) == ("cross", "30.500000")
    assert shown["price_liquidation_estimate"] == "80.80"


@pytest.mark.parametrize(
    ("pnl", "cost", "notional", "equity", "score"),
    [
        (100, 1_000, 1_100, 200, 100_000 * 1_100 // 200),
        (-100, 1_000, 900, 50, -(100_000 * 50 // 900)),
        (0, 1_000, 1_000, 10, 0),
        (5, 1, 10**17, 1, SCORE_MAX),
        (-(10**17), 1, 1, 10**17, -SCORE_MAX),
        (-10, 100, 90, 0, SCORE_MAX),
        (10, 100, 110, -1, SCORE_MAX),
    ],
)
def test_score(pnl: int, cost: int, notional: int, equity: int, score: int) -> None:
    """Return on cost times leverage when it wins, divided when it loses; without equity the highest there is."""
    assert adl_score(pnl, cost, notional, equity) == score


def test_rank_is_the_fifth_that_a_score_stands_in() -> None:
    """Each bound is the lowest score of its fifth; a position alone stands in the one that goes first."""
    lowest = [90, 70, 50, 30]
    assert [adl_rank(score, lowest) for score in (95, 90, 89, 70, 50, 49, 30, 29, -5)] == [5, 5, 4, 4, 3, 2, 2, 1, 1]
    assert adl_rank(7, [7, 7, 7, 7]) == 5
    here = terms("61000.0", scores={True: [5, 4, 3, 2], False: []})
    assert position_valued(LONG, here, pool("0"))["adl_rank"] == 5
    assert "adl_rank" not in position_valued(SHORT, here, pool("0"))


def test_money_text_of_a_negative_pool() -> None:
    """What an account has lost beyond its money is shown with its sign."""
    assert money_text(pool("-5", (crossed("M", "1", "100"), terms("90"))).equity_e6) == "-15.000000"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 3, "33.33"), (-1, 3, "-33.33"), (2, 3, "66.66"), (-2, 3, "-66.66"), (1, -3, "-33.33"), (0, 5, "0.00"),
        (-1, 10**9, "0.00"), (10**9, 1, "100000000000.00"), (5, 100_000, "0.00"), (10, 100_000, "0.01"),
        (-10, 100_000, "-0.01"),
    ],
)  # fmt: skip
def test_percentages_are_cut_towards_nought(part: int, whole: int, text: str) -> None:
    """Two decimals, cut and never rounded up; what is cut to nought has no sign."""
    assert percent_text(part, whole) == text


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**15))
def test_percentages_are_within_a_hundredth(part: int, whole: int) -> None:
    """The text is less than a hundredth of a percent nearer to nought than the ratio."""
    shown, exact = Fraction(percent_text(part, whole)), Fraction(part * 100, whole)
    assert abs(shown) <= abs(exact) < abs(shown) + Fraction(1, 100)
    assert shown * exact >= 0


def test_pnl_in_percent_is_of_what_opening_took() -> None:
    """Margin put in later changes nothing; a ticket has its own leverage, a position without one the market's."""
    here = terms("61000.0", leverage=5)
    for position, percent in (
        (LONG, "8.33"),  # 60 ÷ 5 = 12
        (LONG | {"margin": "50.000000"}, "8.33"),
        (LONG | {"leverage": 20}, "33.33"),
        (SHORT | {"leverage": 20}, "-33.33"),
        (crossed("B", "0.00100", "60.000000"), "8.33"),
    ):
        assert position_valued(position, here, pool("20"))["pnl_percent"] == percent
