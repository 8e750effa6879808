"""
Everything that a changed market sets off: delayed orders, resting orders, triggers, liquidations, until nothing fires.

Levels, not edges: what fires is read from the state alone, so an entry whose events fill the buffer is simply gone on
with in the next call. Source: docs/risk.md#settling
"""

from numpy import int64

from engine.core import events, execution, ladder, liquidation, prices, trailing, triggers, waking
from engine.core.kernel import kernel
from engine.core.limits import LADDERS_COUNT, ROW_NONE
from shared.codes import MarketState

FULL = -(2**40)  # of a count: the events buffer is full


@kernel
def settle(state):
    """Settle every touched market, lowest id first; returns False when the events buffer is full before the end."""
    while state.touched != 0:
        market_row = int64(ladder.lowest_bit(state.touched))
        state.markets[market_row].unsettled = 0
        if not anything_fires(state, market_row) or not tradable(state, market_row):
            state.touched &= ~(int64(1) << market_row)
            state.market_links[market_row].quoted = 0
            state.settle_step = 0
            continue
        if not events.room(state):
            return False
        state.touched &= ~(int64(1) << market_row)
        if not market_fire(state, market_row):
            state.touched |= int64(1) << market_row
            return False
    return True


@kernel
def tradable(state, market_row):
    """Return whether fills, triggers and liquidations may happen in a market now."""
    return state.markets[market_row].state != MarketState.HALTED and prices.fresh(state, market_row)


@kernel
def anything_fires(state, market_row):
    """Return whether anything waits for the market as it stands; the whole cost of a quiet tick."""
    for number in range(triggers.QUOTE_SELL, LADDERS_COUNT):
        if triggers.ladder_fires(state, market_row, int64(number)):
            return True
    return (
        resting_next(state, market_row) != ROW_NONE
        or trailing.trailing_fires(state, market_row)
        or delayed_due(state, market_row) != ROW_NONE
    )


@kernel
def delayed_due(state, market_row):
    """Return the row of the delayed order that executes next, or ROW_NONE: only a new quote lets one."""
    if state.market_links[market_row].quoted == 0 or state.market_links[market_row].delayed_first == ROW_NONE:
        return int64(ROW_NONE)
    return waking.delayed_next(state, market_row)


@kernel
def resting_next(state, market_row):
    """Return the row of the resting order that the quote fills next, buys first, or ROW_NONE."""
    for number in (triggers.REST_BUY, triggers.REST_SELL):
        if triggers.ladder_fires(state, market_row, int64(number)):
            row = state.ladders[market_row * LADDERS_COUNT + number].best_node
            if execution.resting_fires(state, market_row, row):
                return row
    return int64(ROW_NONE)


@kernel
def market_fire(state, market_row):
    """Fire what fires in one market, step by step; False when the buffer is full before the end."""
    if state.settle_step == 0:
        row = delayed_due(state, market_row)
        while row != ROW_NONE:
            if not events.room(state):
                return False
            waking.delayed_execute(state, row)
            row = delayed_due(state, market_row)
        state.market_links[market_row].quoted = 0
        row = resting_next(state, market_row)
        while row != ROW_NONE:
            if not events.room(state):
                return False
            execution.resting_fill(state, row)
            row = resting_next(state, market_row)
        state.settle_step = 1
    fired = True
    while fired:
        fired = triggers_fire(state, market_row) + liquidations_fire(state, market_row)
        if fired < 0:
            return False
    state.settle_step = 0
    return True


@kernel
def triggers_fire(state, market_row):
    """Wake every trigger that fires; returns how many, or a large negative number when the buffer is full."""
    count = int64(0)
    while True:
        trailing.trailing_release(state, market_row)
        row = triggers.trigger_next(state, market_row, int64(1))
        if row == ROW_NONE:
            row = triggers.trigger_next(state, market_row, int64(0))
        if row == ROW_NONE:
            return count
        if not events.room(state):
            return int64(FULL)
        waking.trigger_execute(state, row)
        count += 1


@kernel
def liquidations_fire(state, market_row):
    """Liquidate every position that its threshold shows; returns as `triggers_fire` does."""
    count = int64(0)
    row = liquidation.liquidation_next(state, market_row)
    while row != ROW_NONE:
        if not events.room(state):
            return int64(FULL)
        liquidation.liquidate(state, row)
        count += 1
        row = liquidation.liquidation_next(state, market_row)
    return count
