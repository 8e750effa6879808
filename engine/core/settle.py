"""
Everything that a changed market sets off: delayed orders, resting orders, triggers, liquidations, until nothing fires.

Levels, not edges: what fires is read from the state, so an entry whose events fill the buffer goes on in the next call
with the step it was in (`settle_step`). Source: docs/risk.md#settling
"""

from numpy import int64

from engine.core import events, execution, ladder, liquidation, prices, trailing, triggers, waking
from engine.core.kernel import kernel
from engine.core.limits import LADDERS_COUNT, ROW_NONE
from shared.codes import MarketState

# settle_step: where the market in hand goes on when the events buffer was full.
RESTING = 0  # delayed and resting orders
TRIGGERS = 1
LIQUIDATIONS = 2


@kernel
def settle(state):
    """Settle every touched market, lowest id first; returns False when the events buffer is full before the end."""
    while state.touched != 0:
        market_row = int64(ladder.lowest_bit(state.touched))
        state.markets[market_row].unsettled = 0
        if not anything_fires(state, market_row) or not tradable(state, market_row):
            state.touched &= ~(int64(1) << market_row)
            state.market_links[market_row].quoted = 0
            state.settle_step = RESTING
        elif not market_fire(state, market_row):
            return False
    return True


@kernel
def tradable(state, market_row):
    """Return whether fills, triggers and liquidations may happen in a market now."""
    return state.markets[market_row].state != MarketState.HALTED and prices.fresh(state, market_row)


@kernel
def anything_fires(state, market_row):
    """Return whether anything waits for the market as it stands; the whole cost of a quiet tick."""
    return (
        dormant_fires(state, market_row)
        or resting_next(state, market_row) != ROW_NONE
        or delayed_due(state, market_row) != ROW_NONE
    )


@kernel
def dormant_fires(state, market_row):
    """Return whether a trigger, a trailing stop or a liquidation threshold of a market fires."""
    for number in range(triggers.QUOTE_SELL, LADDERS_COUNT):
        if triggers.ladder_fires(state, market_row, int64(number)):
            return True
    return trailing.trailing_fires(state, market_row)


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
    if state.settle_step == RESTING:
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
        state.settle_step = TRIGGERS
    while dormant_fires(state, market_row):
        if state.settle_step == TRIGGERS:
            if not triggers_fire(state, market_row):
                return False
            state.settle_step = LIQUIDATIONS
        if not liquidations_fire(state, market_row):
            return False
        state.settle_step = TRIGGERS
    state.settle_step = RESTING
    return True


@kernel
def triggers_fire(state, market_row):
    """Wake every trigger that fires; False when the buffer is full before the end."""
    while True:
        trailing.trailing_release(state, market_row)
        row = triggers.trigger_next(state, market_row, int64(1))
        if row == ROW_NONE:
            row = triggers.trigger_next(state, market_row, int64(0))
        if row == ROW_NONE:
            return True
        if not events.room(state):
            return False
        waking.trigger_execute(state, row)


@kernel
def liquidations_fire(state, market_row):
    """Liquidate every position that its threshold shows; False when the buffer is full before the end."""
    row = liquidation.liquidation_next(state, market_row)
    while row != ROW_NONE:
        if not events.room(state):
            return False
        liquidation.liquidate(state, row)
        row = liquidation.liquidation_next(state, market_row)
    return True
