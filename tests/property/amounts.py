"""
Prices, sizes and sums near what matters: the touch, the book, the band, and what an account can carry.
"""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.reference.markets import WINDOW_TICKS, Market
from tests.reference.texts import MICRO, decimals_of, number_text

if TYPE_CHECKING:
    from tests.property.histories import History


def price_text(market: Market, ticks: int) -> str:
    """Return whole ticks, at least one, as price text."""
    return number_text(max(1, ticks) * market.tick, decimals_of(market.tick))


def off_grid(market: Market, ticks: int, quarters: int) -> str:
    """Return a price some quarters of a tick off the grid."""
    return number_text((ticks + Fraction(quarters, 4)) * market.tick, decimals_of(market.tick) + 2)


def qty_text(market: Market, lots: int) -> str:
    """Return whole lots as quantity text."""
    return number_text(lots * market.lot, decimals_of(market.lot))


def money_text(amount_e6: int) -> str:
    """Return micro-USDC as text, now and then in its shortest form."""
    text = number_text(Fraction(amount_e6, MICRO), 6)
    return text[:-7] if text.endswith(".000000") else text


def touch_near(history: "History", market: Market, sign: int) -> int:
    """Return the touch of a taker's side, or where it would be if there were a quote."""
    return market.touch(sign) or max(1, history.ticks_of(market))


def limit_ticks(history: "History", market: Market, sign: int) -> int:
    """Return a limit: inside the spread, at the touch, some ticks around it, upon another's, or at the band's edge."""
    chance = history.chance
    touch, other = touch_near(history, market, sign), touch_near(history, market, -sign)
    roll = chance.random()
    if roll < 0.25:
        return max(1, (touch + other + chance.choice([-1, 0, 1])) // 2)
    if roll < 0.5:
        standing = [order.price for order in history.orders_in(market) if order.price]
        if standing:
            return max(1, chance.choice(standing) + chance.choice([0, 0, 0, 1, -1]))
    if roll < 0.58 and market.mark:
        band = market.mark * market.rates["price_band_ppm"] // 1_000_000
        return max(1, market.mark + sign * band * chance.choice([1, 1, -1]) + chance.choice([-1, 0, 1]))
    away = chance.choice([0, 0, 1, -1, 2, 3, 10, touch // 500, touch // 100, touch // 30, touch // 15, -touch // 300])
    return max(1, touch - sign * away)


def trigger_ticks(history: "History", market: Market, sign: int) -> int:
    """Return a trigger beyond the touch in direction `sign`, near enough to fire; rarely on the wrong side."""
    chance = history.chance
    touch = touch_near(history, market, sign)
    away = chance.choice([1, 1, 2, 5, touch // 2000, touch // 1000, touch // 300, touch // 100, touch // 30])
    if chance.random() < 0.06:
        away = chance.choice([0, -1, -2, -touch // 100])
    return min(WINDOW_TICKS - 1, max(1, touch + sign * away))


def trigger_value(history: "History", market: Market, ticks: int, price_likely: float = 0.2) -> Any:
    """Return an SL or TP as bare text or as an object that may name its source and a limit."""
    chance = history.chance
    text = price_text(market, ticks)
    if chance.random() < 0.4:
        return text
    value = {"price_trigger": text}
    if chance.random() < 0.7:
        value["trigger_by"] = chance.choice(["quote", "mark", "mark", "index"])
    if chance.random() < price_likely:
        value["price"] = price_text(market, ticks + chance.choice([0, 0, 1, -1, 5, -5, ticks // 100, -ticks // 100]))
    return value


def bracket_add(history: "History", market: Market, sign: int, values: dict[str, Any], likely: float = 0.4) -> None:
    """Add a take-profit and a stop-loss around the touch, sometimes on the wrong side."""
    chance = history.chance
    touch = touch_near(history, market, sign)
    if "price" in values and chance.random() < 0.7:
        touch = int(Fraction(values["price"]) / market.tick)
    for name, way in (("take_profit", 1), ("stop_loss", -1)):
        if chance.random() < likely:
            away = chance.choice([1, 2, 5, touch // 1000, touch // 200, touch // 50, touch // 50, -2])
            ticks = min(WINDOW_TICKS - 1, touch + sign * way * away)
            values[name] = trigger_value(history, market, ticks)


def lots_affordable(history: "History", account_id: int, market: Market, leverage: int) -> int:
    """Return the lots that an account's free money carries at the touch."""
    free = max(0, history.twin.state.accounts[account_id].free)
    return max(1, free * leverage // (touch_near(history, market, 1) * market.unit))


def lots_near(history: "History", account_id: int, market: Market, leverage: int) -> int:
    """Return a size: dust, what the account can carry or a little more, or what rests in the book."""
    chance = history.chance
    roll = chance.random()
    if roll < 0.2:
        standing = [order.lots - order.lots_filled for order in history.orders_in(market) if order.status == "resting"]
        if standing:
            lots = chance.choice(standing)
            return max(1, chance.choice([lots, lots, lots // 2, lots // 3, lots + 1, 2 * lots, sum(standing)]))
    price = touch_near(history, market, 1) * market.unit
    most = lots_affordable(history, account_id, market, leverage)
    part = chance.choice([0.01, 0.02, 0.05, 0.1, 0.3, 0.5, 0.9, 0.98, 0.99, 0.995, 1.0, 1.2])
    smallest = -(-market.limits["notional_min"] // price)
    chosen = max(1, round(most * part))
    if chance.random() < 0.95:
        chosen = min(chosen, market.limits["order_lots"])
    return chance.choice([chosen, chosen, chosen, smallest, 2 * smallest, max(1, smallest - 1), 7])


def held_share(history: "History", lots: int) -> int:
    """Return a part of a position's size, or more than it."""
    chance = history.chance
    return max(1, abs(lots) * chance.choice([1, 1, 1, 1, 2, 3]) // chance.choice([1, 1, 2, 3, 5]))


def margin_near(history: "History", account_id: int) -> str:
    """Return a sum of money, from almost nothing to all that is free."""
    chance = history.chance
    free = max(0, history.twin.state.accounts[account_id].free)
    return money_text(max(1, round(free * chance.choice([0.0001, 0.01, 0.05, 0.1, 0.5, 0.9, 0.97, 1.0]))))
