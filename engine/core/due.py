"""
What the passing of log time brings, in order: requests are forgotten, then by due time orders expire, dead-man's
switches fire and fundings are settled, then the candle of a minute that has ended; with the day, its margin calls.

One thing at a time, each before the next by (time; expiry, dead-man, funding; id). What fires is read from the state
alone, and a funding that is under way stands in `due`: so an entry whose events fill the buffer goes on where it stood.
"""

from numpy import int64

from engine.core import (
    accounts,
    events,
    fitting,
    funding,
    guards,
    orders,
    requests,
    reserves,
    stale,
    tables,
    timers,
)
from engine.core.kernel import kernel
from engine.core.limits import DAY_US, KEYFRAME_US, MINUTE_US, ROW_NONE, TICK_JUMP_US, TICK_LEAD_US
from shared.codes import CloseReason, EntryKind

# In the order in which things of one time happen.
NOTHING = 0
EXPIRY = 1
DEADMAN = 2
FUNDING = 3


@kernel
def time_move(state, command):
    """
    Move log time: max(previous, min(ts, tick time + 2 s)), tick time being that of the last accepted clock_tick.

    A tick more than five seconds ahead takes effect when the next one confirms it. An unreadable entry has no time.
    """
    header = state.header
    if command.kind == EntryKind.MALFORMED:
        return
    if command.kind == EntryKind.CLOCK_TICK:
        tick_accept(header, command.ts_us)
    header.log_time_us = max(header.log_time_us, min(command.ts_us, header.tick_time_us + TICK_LEAD_US))


@kernel
def tick_accept(header, ts_us):
    """Accept a clock tick, or keep one that jumps until the next agrees with it."""
    pending_us = header.tick_pending_us
    if ts_us - header.tick_time_us <= TICK_JUMP_US:
        header.tick_pending_us = 0
        header.tick_time_us = max(header.tick_time_us, ts_us)
    elif pending_us != 0 and abs(ts_us - pending_us) <= TICK_JUMP_US:
        header.tick_pending_us = 0
        header.tick_time_us = ts_us
    else:
        header.tick_pending_us = ts_us


@kernel
def due_run(state):
    """Do everything that is due at or before log time; returns False when the events buffer is full before the end."""
    header = state.header
    requests.requests_expire(state)
    kind = due_next(state)
    while kind != NOTHING:
        if not events.room(state):
            return False
        due_do(state, kind)
        kind = due_next(state)
    minute = header.log_time_us // MINUTE_US
    if minute != header.minute:
        if not events.room(state):
            return False
        for market_row in range(state.venue.markets_count):
            candle_end(state, int64(market_row))
        if guards.day(state) != header.minute * MINUTE_US // DAY_US:
            day_begin(state)
        header.minute = minute
    return True


@kernel
def day_begin(state):
    """Let the accounts that were told a margin call on an earlier UTC day be watched for another."""
    today = guards.day(state)
    for account_row in range(1, state.accounts_table.top + 1):
        if 0 < state.accounts[account_row].called_day < today:
            stale.note(state, int64(account_row))


@kernel
def due_next(state):
    """Return the class of what is due next, or NOTHING; a funding that has begun is ended first."""
    if state.due.funding_market != 0:
        return int64(FUNDING)
    kind = int64(NOTHING)
    soonest_us = state.header.log_time_us + 1
    order_row = timers.expiry_first(state)
    if order_row != ROW_NONE and state.orders[order_row].expires_us < soonest_us:
        soonest_us = state.orders[order_row].expires_us
        kind = int64(EXPIRY)
    account_row = timers.deadman_first(state)
    if account_row != ROW_NONE and state.accounts[account_row].deadman_us < soonest_us:
        soonest_us = state.accounts[account_row].deadman_us
        kind = int64(DEADMAN)
    if state.due.funding_us != 0 and state.due.funding_us < soonest_us:
        kind = int64(FUNDING)
    return kind


@kernel
def due_do(state, kind):
    """Do the next thing of a class: one expiry, one account's switch, or one step of a funding."""
    if kind == EXPIRY:
        order_expire(state, timers.expiry_first(state))
    elif kind == DEADMAN:
        accounts.deadman_fire(state, timers.deadman_first(state))
    elif state.due.funding_market != 0:
        account_row = funding.funding_step(state)
        if account_row != ROW_NONE:
            fitting.money_fit(state, account_row)
    else:
        funding.funding_settle_begin(state, funding.funding_first(state))


@kernel
def order_expire(state, row):
    """End an order whose time has come, and let the others of its account have its cover."""
    order = state.orders[row]
    account_row = tables.account_row(int64(order.account_id))
    market_row = int64(order.market_id) - 1
    orders.order_close(state, row, int64(CloseReason.EXPIRED))
    reserves.reserves_refresh(state, account_row, market_row)
    events.emit_account_changed(state, account_row)


@kernel
def candle_end(state, market_row):
    """Emit the candle of the minute that was running and begin the next at its close."""
    events.emit_candle(state, market_row, state.header.minute * (MINUTE_US // 1000))
    market = state.markets[market_row]
    market.candle_open_x2 = market.candle_close_x2
    market.candle_high_x2 = market.candle_close_x2
    market.candle_low_x2 = market.candle_close_x2
    market.candle_quotes = 0


@kernel
def keyframe_enter(header):
    """Return whether this entry is the first of a new ten-second slot, and remember the slot."""
    slot = header.log_time_us // KEYFRAME_US
    if slot == header.keyframe_slot:
        return False
    header.keyframe_slot = slot
    return True
