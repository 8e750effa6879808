"""
Worth and risk of an account from views, exact: decimal text in, micro-USDC in whole numbers, text out; pure.

The one place where the gateway computes money. A position's cost is signed like its quantity, so its PnL is quantity
times mark less cost for both directions. What the core computes, in the core's own rounding, is computed the same here.
Source: docs/risk.md
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from shared.units import E6, E12, PPM, decimal_e12, decimal_text, decimals_of, money_text

LEVERAGE_DEFAULT = 10
NOTIONAL_MAX_E6 = 10**17  # of one position: a tier that begins above it is never reached
PRICE_TICKS_MAX = 2**23 - 1
SCORE_MAX = 2**62 - 1
CROSS = "cross"
_e12 = lru_cache(maxsize=16_384)(decimal_e12)  # one valuation reads the same few texts again and again


class Valuation(NamedTuple):
    """What an account is worth, in micro-USDC."""

    free_e6: int
    reserved_e6: int
    margin_e6: int
    pnl_unrealised_e6: int

    def equity_e6(self) -> int:
        """Return the balance and the unrealised PnL together."""
        return self.free_e6 + self.reserved_e6 + self.margin_e6 + self.pnl_unrealised_e6


class Terms(NamedTuple):
    """What a position's risk depends on beside itself: its market's mark and parameters, the account's leverage."""

    price_mark: str
    tick: str
    leverage: int  # of the account's net position there
    tiers: tuple[tuple[int, int], ...]  # (floor_e6, mmr_ppm)
    scores: dict[bool, list[int]]  # long? -> the lowest score of each fifth but the last; empty: nobody is ranked


class Pool(NamedTuple):
    """An account's cross positions taken together, in micro-USDC."""

    free_e6: int
    cash_e6: int  # free and what orders in cross markets reserve
    results_e6: int  # unrealised
    initial_e6: int
    maintenance_ppm: int  # exact: micro-USDC × 10⁶

    @property
    def equity_e6(self) -> int:
        """Return what backs the cross positions."""
        return self.cash_e6 + self.results_e6

    @property
    def available_e6(self) -> int:
        """Return what may back new cross orders, beside free money itself."""
        return self.free_e6 + self.results_e6 - self.initial_e6

    @property
    def maintenance_e6(self) -> int:
        """Return the maintenance margin. Rounds: down, as the core compares it."""
        return self.maintenance_ppm // PPM

    @property
    def leave_e6(self) -> int:
        """Return the most that may leave: for isolated margin, or to another account."""
        if not self.maintenance_ppm:
            return max(0, self.free_e6)
        return max(0, min(self.free_e6, self.available_e6, self.equity_e6 - self.maintenance_e6 - 1))


def money_e6(text: str) -> int:
    """Return micro-USDC; the text has at most six decimals that matter."""
    value, rest = divmod(_e12(text), E12 // E6)
    assert rest == 0, "money finer than a micro"
    return value


def notional_e6(qty: str, price: str) -> int:
    """
    Return signed quantity times price.

    Rounds: down, against the account; on a market's own grid the product is whole and nothing is rounded.
    """
    return _e12(qty) * _e12(price) // (E12 * E12 // E6)


def percent_text(part: int, whole: int) -> str:
    """Return part ÷ whole in percent with two decimals. Rounds: towards zero."""
    hundredths = abs(part) * 10_000 // abs(whole)
    sign = "-" if hundredths and (part < 0) != (whole < 0) else ""
    return f"{sign}{hundredths // 100}.{hundredths % 100:02d}"


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


def is_cross(position: Mapping[str, Any]) -> bool:
    """Return whether a position is margined across its account."""
    return position.get("mode") == CROSS


def amounts(tiers: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Return (mmr_ppm, what it takes off, in micro-USDC × 10⁶) of each tier that a position can reach."""
    found: list[tuple[int, int]] = []
    off_ppm = mmr_before_ppm = 0
    for floor_e6, mmr_ppm in tiers:
        if floor_e6 > NOTIONAL_MAX_E6:
            break
        off_ppm += floor_e6 * (mmr_ppm - mmr_before_ppm)
        mmr_before_ppm = mmr_ppm
        found.append((mmr_ppm, off_ppm))
    return found


def maintenance_ppm(notional: int, tiers: tuple[tuple[int, int], ...]) -> int:
    """Return the maintenance margin of a notional in micro-USDC × 10⁶. Rounds: nothing."""
    return max(notional * mmr_ppm - off_ppm for mmr_ppm, off_ppm in amounts(tiers))


def position_maintenance_ppm(position: Mapping[str, Any], terms: Terms) -> int:
    """Return a position's maintenance margin at the mark in micro-USDC × 10⁶."""
    return maintenance_ppm(abs(notional_e6(position["qty"], terms.price_mark)), terms.tiers)


def pool_of(
    account: Mapping[str, Any],
    positions: list[dict[str, Any]],
    orders: list[dict[str, Any]],
    modes: Mapping[str, str],
    terms: Mapping[str, Terms],
) -> Pool:
    """
    Return an account's cross positions taken together; `terms` holds the market of each of them.

    Rounds: each initial margin up.
    """
    crossed = [position for position in positions if is_cross(position)]
    reserved = [order["reserved"] for order in orders if modes.get(order["market"]) == CROSS and "reserved" in order]
    free_e6 = money_e6(account["free"])
    results_e6 = initial_e6 = needed_ppm = 0
    for position in crossed:
        market = terms[position["market"]]
        results_e6 += pnl_unrealised_e6(position, market.price_mark)
        initial_e6 += -(-abs(notional_e6(position["qty"], market.price_mark)) // market.leverage)
        needed_ppm += position_maintenance_ppm(position, market)
    return Pool(free_e6, free_e6 + sum(map(money_e6, reserved)), results_e6, initial_e6, needed_ppm)


def leverage_of(leverage_set: int | None, leverage_max: int, leverage_guard: int | None) -> int:
    """Return the leverage of a net position: what was set or the default, within the market's and the owner's bound."""
    leverage = min(leverage_set or LEVERAGE_DEFAULT, leverage_max)
    return leverage if leverage_guard is None else min(leverage, leverage_guard)


def terms_of(
    market: Mapping[str, Any], prices: Mapping[str, str], leverage_set: int | None, leverage_guard: int | None
) -> Terms:
    """Return the terms of a market for an account, from its configuration, its view and what the account has set."""
    return Terms(
        prices["mark"],
        market["tick"],
        leverage_of(leverage_set, market["leverage_max"], leverage_guard),
        tuple((money_e6(tier["floor"]), tier["mmr_ppm"]) for tier in market["tiers"]),
        {True: orjson.loads(prices.get("adl_long", "[]")), False: orjson.loads(prices.get("adl_short", "[]"))},
    )


def position_valued(position: Mapping[str, Any], terms: Terms, pool: Pool) -> dict[str, Any]:
    """Return the position with its mark, worth, maintenance margin and place in the queue of deleveraging, as text."""
    notional = abs(notional_e6(position["qty"], terms.price_mark))
    pnl_e6 = pnl_unrealised_e6(position, terms.price_mark)
    equity_e6 = pool.equity_e6 if is_cross(position) else money_e6(position["margin"]) + pnl_e6
    shown = {
        "mode": "isolated",
        **position,
        "price_mark": terms.price_mark,
        "notional": money_text(notional),
        "pnl_unrealised": money_text(pnl_e6),
        "pnl_percent": pnl_percent(position, pnl_e6, terms.leverage),
        "equity": money_text(equity_e6),
        "margin_maintenance": money_text(position_maintenance_ppm(position, terms) // PPM),
    }
    if is_cross(position):
        ticks = cross_threshold_ticks(position, terms, pool)
        if ticks:
            tick_e12 = decimal_e12(terms.tick)
            shown["price_liquidation_estimate"] = decimal_text(ticks * tick_e12, decimals_of(tick_e12))
    lowest = terms.scores[notional_e6(position["qty"], terms.price_mark) > 0]
    if lowest:
        shown["adl_rank"] = adl_rank(adl_score(pnl_e6, abs(money_e6(position["cost"])), notional, equity_e6), lowest)
    return shown


def pnl_percent(position: Mapping[str, Any], pnl_e6: int, leverage: int) -> str:
    """
    Return unrealised PnL in percent of what opening the position took: its cost ÷ its leverage, the default given.

    Margin that was put in or taken out since then changes nothing. Rounds: towards zero.
    """
    return percent_text(pnl_e6 * (position.get("leverage") or leverage), max(1, abs(money_e6(position["cost"]))))


def cross_threshold_ticks(position: Mapping[str, Any], terms: Terms, pool: Pool) -> int:
    """
    Return the mark at which the account would be liquidated if no other price moved, 0 when there is none.

    The isolated threshold with, in the place of margin, what the rest of the account leaves to this position.
    """
    tick_e6 = notional_e6(position["qty"], terms.tick)  # signed: what one tick up changes
    cost_e6 = money_e6(position["cost"])
    pnl_e6 = pnl_unrealised_e6(position, terms.price_mark)
    others_ppm = pool.maintenance_ppm - position_maintenance_ppm(position, terms)
    backing_ppm = (pool.equity_e6 - pnl_e6) * PPM - others_ppm
    if tick_e6 > 0:
        ticks = max(
            (cost_e6 * PPM - backing_ppm - off_ppm) // (tick_e6 * (PPM - mmr_ppm))
            for mmr_ppm, off_ppm in amounts(terms.tiers)
        )
        return max(0, ticks)
    ticks = min(
        -(-(-cost_e6 * PPM + backing_ppm + off_ppm) // (-tick_e6 * (PPM + mmr_ppm)))
        for mmr_ppm, off_ppm in amounts(terms.tiers)
    )
    return max(1, ticks) if ticks <= PRICE_TICKS_MAX else 0


def adl_score(pnl_e6: int, cost_e6: int, notional: int, equity_e6: int) -> int:
    """Return how early a position takes the other side of a liquidation that nobody else takes: higher is earlier."""
    if equity_e6 <= 0:
        return SCORE_MAX
    gain = min(abs(pnl_e6) * PPM // max(cost_e6, 1), SCORE_MAX)
    if pnl_e6 > 0:
        return min(gain * notional // equity_e6, SCORE_MAX)
    return -min(gain * equity_e6 // notional, SCORE_MAX)


def adl_rank(score: int, lowest: list[int]) -> int:
    """Return the fifth of the queue that a score stands in: 5 goes first, 1 last."""
    return next((5 - index for index, bound in enumerate(lowest) if score >= bound), 1)
