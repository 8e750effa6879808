"""
The life of a market, of the venue's parameters and of an account's whole book: halt, resume, settle, configure, reset.

What ends many positions or the orders of many accounts is a task: it does one of them a step, so that an entry whose
events fill the buffer goes on where it stood. Every function runs after the checks have said OK and the answer is told.
"""

from enum import IntEnum

from numpy import int64

from engine.core import accounts, closing, depth, events, events_venue, funding, stale, sweep, tables, triggers
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from engine.core.validate_markets import ACCOUNTS, STARTING_BALANCE, config_copy
from shared.codes import ACCOUNT_FIRST, CloseReason, LedgerReason, MarketState, OrderKind
from shared.records import VENUE_PARAMETERS


class TaskKind(IntEnum):
    """What an accepted instruction does one position or account at a time."""

    NONE = 0
    POSITIONS_CLOSE_ALL = 1
    ACCOUNT_RESET = 2
    MARKET_REDUCE_ONLY = 3
    MARKET_SETTLE = 4


STAGE_ORDERS = 0
STAGE_POSITIONS = 1

REQUEST_WINDOW = 1 << VENUE_PARAMETERS.index("request_window_ms")
ORDERS = 1 << VENUE_PARAMETERS.index("orders_max")
POSITIONS = 1 << VENUE_PARAMETERS.index("positions_max")
REQUESTS = 1 << VENUE_PARAMETERS.index("requests_max")
ORDERS_OPEN = 1 << VENUE_PARAMETERS.index("orders_open_max")
TRIGGERS_OPEN = 1 << VENUE_PARAMETERS.index("triggers_open_max")
POSITIONS_OPEN = 1 << VENUE_PARAMETERS.index("positions_open_max")
SUBACCOUNTS = 1 << VENUE_PARAMETERS.index("subaccounts_max")
STP_OWNER = 1 << VENUE_PARAMETERS.index("stp_owner")


@kernel
def market_state_set(state, market_state):
    """Move the market in hand to a state of its life cycle and tell it."""
    market_row = state.ask.market_row
    state.markets[market_row].state = market_state
    events_venue.emit_market_changed(state, market_row)


@kernel
def market_halt(state, command):
    """Let nothing but cancels and added margin happen in a market."""
    market_state_set(state, int64(MarketState.HALTED))


@kernel
def market_resume(state, command):
    """Open a market; what waited for it acts in this entry."""
    market_state_set(state, int64(MarketState.OPEN))
    state.touched |= int64(1) << state.ask.market_row


@kernel
def market_reduce_only(state, command):
    """Let a market only shrink; the task ends the orders that rest or are delayed in it to open."""
    market_state_set(state, int64(MarketState.REDUCE_ONLY))
    state.touched |= int64(1) << state.ask.market_row
    task_begin(state, int64(TaskKind.MARKET_REDUCE_ONLY), int64(tables.USER_ROW_FIRST))


@kernel
def market_settle(state, command):
    """Halt a market for good; the task ends its orders and closes its positions at ask.price_ticks."""
    market_row = state.ask.market_row
    funding.funding_next_set(state, market_row, int64(0))
    market_state_set(state, int64(MarketState.HALTED))
    task_begin(state, int64(TaskKind.MARKET_SETTLE), int64(tables.USER_ROW_FIRST))
    state.task.price_ticks = state.ask.price_ticks


@kernel
def account_reset(state, command):
    """Begin an account anew: the task ends its orders, closes its positions and restores the starting balance."""
    task_begin(state, int64(TaskKind.ACCOUNT_RESET), int64(ROW_NONE))


@kernel
def positions_close_all(state, command):
    """Close an account's positions, in ask.market_row if it names one: the task takes them by id."""
    task_begin(
        state,
        int64(TaskKind.POSITIONS_CLOSE_ALL),
        int64(state.account_links[state.ask.account_row].position_first),
    )
    state.task.stage = STAGE_POSITIONS


@kernel
def task_begin(state, kind, cursor):
    """Begin the task of the instruction in hand; the cursor is the row that is looked at first."""
    task = state.task
    assert task.kind == TaskKind.NONE
    task.kind = kind
    task.stage = STAGE_ORDERS
    task.market_row = state.ask.market_row
    task.account_row = state.ask.account_row
    task.cursor = cursor
    task.price_ticks = 0


@kernel
def task_run(state):
    """Do what is left of the task in hand; returns False when the events buffer is full before the end."""
    task = state.task
    while task.kind != TaskKind.NONE:
        if not events.room(state):
            return False
        if task.kind == TaskKind.POSITIONS_CLOSE_ALL:
            close_all_step(state)
        elif task.kind == TaskKind.ACCOUNT_RESET:
            reset_step(state)
        else:
            market_step(state)
    return True


@kernel
def close_all_step(state):
    """Close the next position of the account, if it lies in the market that was named."""
    task = state.task
    if task.cursor == ROW_NONE:
        task.kind = int64(TaskKind.NONE)
        return
    row = task.cursor
    task.cursor = int64(state.position_links[row].next)
    position = state.positions[row]
    if task.market_row == sweep.EVERY_MARKET or position.market_id == task.market_row + 1:
        closing.position_close_order(state, row, abs(position.lots))


@kernel
def reset_step(state):
    """End all orders of the account, then close its next position at the outside price, then restore its balance."""
    task = state.task
    if task.stage == STAGE_ORDERS:
        sweep.orders_sweep(
            state, task.account_row, int64(sweep.EVERY_MARKET), int64(sweep.EVERY), int64(CloseReason.RESET)
        )
        task.cursor = int64(state.account_links[task.account_row].position_first)
        task.stage = STAGE_POSITIONS
    elif task.cursor != ROW_NONE:
        row = task.cursor
        task.cursor = int64(state.position_links[row].next)
        position = state.positions[row]
        market = state.markets[int64(position.market_id) - 1]
        side_sign = int64(-1) if position.lots > 0 else int64(1)
        price_ticks = depth.touch_ticks(market, side_sign)
        kind = int64(OrderKind.MARKET)
        closing.house_close(state, row, price_ticks, kind, market.config.fee_taker_ppm, int64(CloseReason.RESET))
    else:
        reset_end(state)
        task.kind = int64(TaskKind.NONE)


@kernel
def reset_end(state):
    """
    Restore the starting balance of the account whose orders and positions are gone, and count the reset.

    A sub-account began with nothing: else resets and transfers together would make money.
    """
    account_row = state.task.account_row
    account = state.accounts[account_row]
    assert account.reserved_e6 == 0
    starting_e6 = state.venue.starting_balance_e6 if account.main_id == 0 else int64(0)
    lacking_e6 = starting_e6 - account.free_e6
    accounts.external_move(state, account_row, lacking_e6, int64(LedgerReason.RESET))
    account.resets += 1
    events.emit_account_changed(state, account_row)


@kernel
def market_step(state):
    """End the orders in the market of the next account that has any, or close the next position there."""
    task = state.task
    if task.stage == STAGE_POSITIONS:
        settle_step(state)
        return
    settles = task.kind == TaskKind.MARKET_SETTLE
    which = int64(sweep.EVERY) if settles else int64(sweep.ENTERING)
    reason = int64(CloseReason.MARKET_SETTLED) if settles else int64(CloseReason.MARKET_REDUCE_ONLY)
    while task.cursor <= state.accounts_table.top:
        account_row = task.cursor
        task.cursor += 1
        if state.account_links[account_row].order_first == ROW_NONE:
            continue
        if sweep.orders_sweep(state, account_row, task.market_row, which, reason) > 0:
            events.emit_account_changed(state, account_row)
            return
    if settles:
        task.stage = STAGE_POSITIONS
        task.cursor = state.market_links[task.market_row].position_first
    else:
        task.kind = int64(TaskKind.NONE)


@kernel
def settle_step(state):
    """Close the next user's position of the market at the stated price, without a fee."""
    task = state.task
    while task.cursor != ROW_NONE:
        row = task.cursor
        task.cursor = int64(state.position_links[row].market_next)
        if state.positions[row].account_id >= ACCOUNT_FIRST:
            kind = int64(OrderKind.SETTLEMENT)
            reason = int64(CloseReason.MARKET_SETTLED)
            closing.house_close(state, row, task.price_ticks, kind, int64(0), reason)
            return
    task.kind = int64(TaskKind.NONE)


@kernel
def market_set(state, command, configs):
    """
    Let a market have the configuration that the checks have merged; it settles nothing in this entry.

    A new tick or lot, which only a market without orders and positions gets, leaves no price of the old grid behind.
    """
    market_row = state.ask.market_row
    market = state.markets[market_row]
    regrids = state.merged.tick_e12 != market.config.tick_e12 or state.merged.lot_e12 != market.config.lot_e12
    thresholds_drop(state, market_row)
    config_copy(market.config, state.merged)
    thresholds_push(state, market_row)
    market.unsettled = 1
    if regrids:
        prices_clear(state, market_row)
    events_venue.emit_market_changed(state, market_row)


@kernel
def thresholds_drop(state, market_row):
    """Take the thresholds of a market's positions out of their ladders, before its tiers change."""
    row = state.market_links[market_row].position_first
    while row != ROW_NONE:
        triggers.threshold_lift(state, row)
        row = int64(state.position_links[row].market_next)


@kernel
def thresholds_push(state, market_row):
    """Put the thresholds of a market's positions into their ladders, by its new tiers; a cross one's bands are anew."""
    row = state.market_links[market_row].position_first
    while row != ROW_NONE:
        triggers.threshold_push(state, row)
        if state.positions[row].cross != 0:
            stale.note(state, tables.account_row(int64(state.positions[row].account_id)))
        row = int64(state.position_links[row].market_next)


@kernel
def prices_clear(state, market_row):
    """Forget every price of a market, as if no quote had come yet."""
    market = state.markets[market_row]
    market.bid_ticks = 0
    market.ask_ticks = 0
    market.bid_lots = 0
    market.ask_lots = 0
    market.bid_used_lots = 0
    market.ask_used_lots = 0
    market.quote_us = 0
    market.quote_term = 0
    market.mark_ticks = 0
    market.mark_us = 0
    market.index_ticks = 0
    market.candle_open_x2 = 0
    market.candle_high_x2 = 0
    market.candle_low_x2 = 0
    market.candle_close_x2 = 0
    market.candle_quotes = 0
    feed = state.feeds[market_row]
    feed.candidate_x2 = 0
    feed.candidate_count = 0
    feed.mark_candidate_ticks = 0
    feed.mark_candidate_count = 0


@kernel
def venue_set(state, command):
    """Change the venue's parameters that are given; nothing in use is evicted."""
    venue = state.venue
    given = command.parameters
    if given & STARTING_BALANCE:
        venue.starting_balance_e6 = command.starting_balance_e6
    if given & REQUEST_WINDOW:
        venue.request_window_ms = command.request_window_ms
    if given & ACCOUNTS:
        venue.accounts_max = command.accounts_max
    if given & ORDERS:
        venue.orders_max = command.orders_max
    if given & POSITIONS:
        venue.positions_max = command.positions_max
    if given & REQUESTS:
        venue.requests_max = command.requests_max
    if given & ORDERS_OPEN:
        venue.orders_open_max = command.orders_open_max
    if given & TRIGGERS_OPEN:
        venue.triggers_open_max = command.triggers_open_max
    if given & POSITIONS_OPEN:
        venue.positions_open_max = command.positions_open_max
    if given & SUBACCOUNTS:
        venue.subaccounts_max = command.subaccounts_max
    if given & STP_OWNER:
        venue.stp_owner = command.stp_owner
    events_venue.emit_venue_changed(state)
