"""
Everything that a changed market sets off: resting orders, triggers, liquidations, again and again until nothing fires.

Levels, not edges: what fires is read from the state alone, so an entry whose events fill the buffer is simply gone on
with in the next call.
"""

from numpy import int64

from engine.core import events, execution, ladder, liquidation, prices, triggers
from engine.core.kernel import kernel
from engine.core.limits import LADDERS_COUNT, ROW_NONE
from shared.codes import MarketState


@kernel
def settle(state):
    """Settle every touched market, lowest id first; returns False when the events buffer is full before the end."""
    while state.touched != 0:
        market_row = int64(ladder.lowest_bit(state.touched))
        if not triggers.anything_fires(state, market_row) or not tradable(state, market_row):
            state.touched &= ~(int64(1) << market_row)
            continue
        if not events.room(state):
            return False
        state.touched &= ~(int64(1) << market_row)
        if not market_settle(state, market_row):
            state.touched |= int64(1) << market_row
            return False
    return True


@kernel
def tradable(state, market_row):
    """Return whether fills, triggers and liquidations may happen in a market now."""
    return state.markets[market_row].state != MarketState.HALTED and prices.fresh(state, market_row)


@kernel
def market_settle(state, market_row):
    """Fire what fires in one market, in the order of docs/risk.md#settling; False when the buffer is full."""
    for number in (triggers.REST_BUY, triggers.REST_SELL):
        while triggers.ladder_fires(state, market_row, int64(number)):
            if not events.room(state):
                return False
            execution.maker_execute(state, state.ladders[market_row * LADDERS_COUNT + number].best_node)
    fired = True
    while fired:
        fired = False
        for below in (1, 0):
            row = triggers.trigger_next(state, market_row, int64(below))
            while row != ROW_NONE:
                if not events.room(state):
                    return False
                execution.trigger_execute(state, row)
                fired = True
                row = triggers.trigger_next(state, market_row, int64(below))
        row = liquidation.liquidation_next(state, market_row)
        while row != ROW_NONE:
            if not events.room(state):
                return False
            liquidation.liquidate(state, row)
            fired = True
            row = liquidation.liquidation_next(state, market_row)
    return True
