"""
What the outside quote offers a taker, how much and at what cost: any size, levels of its own size, or nothing.

`quote_sized`: level k offers the displayed size at touch ± k·spread; one budget a side, used from the touch outward.
Source: docs/risk.md#liquidity
"""

from numpy import int64

from engine.core.kernel import kernel
from engine.core.limits import BUY_SIGN, PRICE_TICKS_MAX
from shared.codes import Liquidity


@kernel
def touch_ticks(market, side_sign):
    """Return the outside price a taker meets: the ask to buy, the bid to sell."""
    return market.ask_ticks if side_sign == BUY_SIGN else market.bid_ticks


@kernel
def extreme_ticks(side_sign):
    """Return the worst price there is for a taker: what "no bound" means."""
    return int64(PRICE_TICKS_MAX) if side_sign == BUY_SIGN else int64(1)


@kernel
def used_lots(market, side_sign):
    """Return how many lots of the quote's side that a taker meets have been used since the quote came."""
    return market.ask_used_lots if side_sign == BUY_SIGN else market.bid_used_lots


@kernel
def used_add(market, side_sign, lots):
    """Use lots of the quote's side that a taker meets, at most what is left of it; only `quote_sized` counts them."""
    if market.config.liquidity != Liquidity.QUOTE_SIZED:
        return
    offered = levels_count(market, side_sign) * size_lots(market, side_sign)
    lots = min(lots, max(int64(0), offered - used_lots(market, side_sign)))
    if side_sign == BUY_SIGN:
        market.ask_used_lots += lots
    else:
        market.bid_used_lots += lots


@kernel
def size_lots(market, side_sign):
    """Return the size of one level."""
    displayed = market.ask_lots if side_sign == BUY_SIGN else market.bid_lots
    return min(displayed, market.config.order_lots_max)


@kernel
def levels_count(market, side_sign):
    """Return how many levels there are inside the price window, at least 1."""
    spread = market.ask_ticks - market.bid_ticks
    room = PRICE_TICKS_MAX - market.ask_ticks if side_sign == BUY_SIGN else market.bid_ticks - 1
    return min(market.config.depth_levels, room // spread + 1)


@kernel
def level_last_ticks(market, side_sign):
    """Return the price of the last level, where a liquidation takes what no level holds."""
    spread = market.ask_ticks - market.bid_ticks
    return touch_ticks(market, side_sign) + side_sign * spread * (levels_count(market, side_sign) - 1)


@kernel
def quote_lots(market, side_sign, used, bound_ticks, wanted):
    """
    Return how many of the wanted lots the quote still offers at prices no worse than a bound.

    Units:  used is how many lots of this side have been used already.
    """
    liquidity = market.config.liquidity
    reach = side_sign * (bound_ticks - touch_ticks(market, side_sign))
    if liquidity == Liquidity.BOOK or reach < 0:
        return int64(0)
    if liquidity == Liquidity.QUOTE:
        return wanted
    level = min(levels_count(market, side_sign) - 1, reach // (market.ask_ticks - market.bid_ticks))
    return min(wanted, max(int64(0), (level + 1) * size_lots(market, side_sign) - used))


@kernel
def forced_lots(market, side_sign, used, bound_ticks, wanted):
    """Return how many of the wanted lots the quote offers a liquidation: to it the last level is endless."""
    if market.config.liquidity == Liquidity.QUOTE_SIZED:
        if side_sign * (bound_ticks - level_last_ticks(market, side_sign)) >= 0:
            return wanted
    return quote_lots(market, side_sign, used, bound_ticks, wanted)


@kernel
def levels_sum(lots, size, last):
    """Return Σ of the levels of the first lots: Σ min(⌊x ÷ size⌋, last) for x = 0 … lots − 1, in closed form."""
    endless = max(int64(0), lots - last * size)
    lots -= endless
    full = lots // size if size > 0 else int64(0)
    return size * (full * (full - 1) // 2) + full * (lots - full * size) + last * endless


@kernel
def quote_cost_e6(market, side_sign, used, lots):
    """
    Return what lots cost when they are taken from the quote, whose first `used` lots are gone.

    Units:  money of the lots, exact; what the levels do not hold costs the last one's price.
    """
    ticks = lots * touch_ticks(market, side_sign)
    if market.config.liquidity == Liquidity.QUOTE_SIZED:
        size = size_lots(market, side_sign)
        last = levels_count(market, side_sign) - 1
        levels = levels_sum(used + lots, size, last) - levels_sum(used, size, last)
        ticks += side_sign * (market.ask_ticks - market.bid_ticks) * levels
    return ticks * market.config.unit_e6


@kernel
def quote_affordable_lots(market, side_sign, used, lots, money_e6):
    """Return the most of these lots that cost no more than an amount."""
    low = int64(0)
    high = lots
    while low < high:
        middle = (low + high + 1) // 2
        if quote_cost_e6(market, side_sign, used, middle) <= money_e6:
            low = middle
        else:
            high = middle - 1
    return low
