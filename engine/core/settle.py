"""
Everything that a changed market sets off: delayed and resting orders, triggers, liquidations, margin calls.

Touched markets have their turn in ascending id, pass after pass: one touched meanwhile comes in this pass if its id is
higher, else in the next. Levels, not edges: what fires is read from the state, so an entry whose events fill the buffer
goes on in the next call with the market and the step it was in (`settle_cursor`, `settle_step`). Source:
docs/risk.md#settling
"""

from numpy import int64

from engine.core import adl, bands, calls, events, execution, ladder, liquidation, prices, trailing, triggers, waking
from engine.core.kernel import kernel
from engine.core.limits import LADDERS_COUNT, ROW_NONE

# settle_step: where the market in hand, the one before the cursor, goes on when the events buffer was full.
NO_MARKET = 0
RESTING = 1  # delayed and resting orders
TRIGGERS = 2
LIQUIDATIONS = 3
CALLS = 4


@kernel
def settle(state):
    """Settle every touched market, pass after pass; returns False when the events buffer is full before the end."""
    # Marks move in the command alone. Whoever a mark has brought near is looked at before the first market is settled:
    # one with a lower id must already see who became due by a higher one.
    bands.stale_flush(state)
    bits = state.touched
    while bits != 0:
        bands.market_follow(state, int64(ladder.lowest_bit(bits)))
        bits &= bits - 1
    while state.settle_step != NO_MARKET or market_take(state):
        if not market_fire(state, state.settle_cursor - 1):
            return False
        state.settle_step = NO_MARKET
        state.adl.ranked = 0
    return True


@kernel
def market_take(state):
    """Take the next touched market in hand in which something fires and may; returns False when there is none."""
    while state.touched != 0:
        bits = state.touched >> state.settle_cursor
        if bits == 0:
            state.settle_cursor = 0
            continue
        market_row = state.settle_cursor + int64(ladder.lowest_bit(bits))
        state.touched &= ~(int64(1) << market_row)
        state.settle_cursor = market_row + 1
        state.markets[market_row].unsettled = 0
        if anything_fires(state, market_row) and prices.tradable(state, market_row):
            state.settle_step = RESTING
            return True
        state.market_links[market_row].quoted = 0
    state.settle_cursor = 0
    return False


@kernel
def anything_fires(state, market_row):
    """Return whether anything waits for the market as it stands."""
    if triggers.ladders_quiet(state, market_row):
        return trailing.trailing_fires(state, market_row) or delayed_due(state, market_row) != ROW_NONE
    return (
        dormant_fires(state, market_row)
        or calls_fire(state, market_row)
        or resting_next(state, market_row) != ROW_NONE
        or delayed_due(state, market_row) != ROW_NONE
    )


@kernel
def dormant_fires(state, market_row):
    """Return whether a trigger, a trailing stop or a liquidation threshold fires, or an account may be liquidated."""
    for number in range(triggers.QUOTE_SELL, triggers.CALL):
        if triggers.ladder_fires(state, market_row, int64(number)):
            return True
    if triggers.due_node(state, market_row, int64(triggers.BAND)) != ladder.NODE_NONE:
        return True
    return trailing.trailing_fires(state, market_row)


@kernel
def calls_fire(state, market_row):
    """Return whether a margin call of a position is due, or one of an account may be."""
    return (
        triggers.ladder_fires(state, market_row, int64(triggers.CALL))
        or triggers.ladder_fires(state, market_row, int64(triggers.CALL + 1))
        or triggers.due_node(state, market_row, int64(triggers.BAND + 1)) != ladder.NODE_NONE
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
    """Fire what fires in the market in hand, step by step; False when the buffer is full before the end."""
    if state.settle_step == RESTING:
        if not orders_fire(state, market_row):
            return False
        state.settle_step = TRIGGERS
    while state.settle_step != CALLS:
        if state.settle_step == TRIGGERS:
            if not triggers_fire(state, market_row):
                return False
            state.settle_step = LIQUIDATIONS
        if not liquidations_fire(state, market_row):
            return False
        state.settle_step = TRIGGERS if dormant_fires(state, market_row) else CALLS
    return calls_tell(state, market_row)


@kernel
def orders_fire(state, market_row):
    """Execute the delayed orders that a new quote lets, then what rests and it meets; False: the buffer is full."""
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
    """
    Liquidate step by step who is liquidatable, isolated positions first; False: the buffer is full before the end.

    An auto-deleveraging that a step has begun is ended before the next. Whoever the steps before have changed is looked
    at here: nothing else asks the bands.
    """
    while True:
        while state.adl.position_id != 0:
            if not events.room(state):
                return False
            adl.adl_step(state)
        bands.stale_flush(state)
        row = liquidation.liquidation_next(state, market_row)
        account_row = int64(ROW_NONE)
        if row == ROW_NONE:
            account_row = bands.due_account(state, market_row)
            if account_row == ROW_NONE:
                return True
        if not events.room(state):
            return False
        if row != ROW_NONE:
            liquidation.liquidate(state, row)
        else:
            liquidation.account_liquidate(state, account_row)


@kernel
def calls_tell(state, market_row):
    """Tell the margin calls that are due, of isolated positions first; False: the buffer is full before the end."""
    while True:
        row = calls.isolated_next(state, market_row)
        account_row = int64(ROW_NONE)
        if row == ROW_NONE:
            account_row = bands.call_account(state, market_row)
            if account_row == ROW_NONE:
                return True
        if not events.room(state):
            return False
        if row != ROW_NONE:
            calls.isolated_call(state, row)
        else:
            calls.account_call(state, account_row)
            bands.stale_flush(state)
