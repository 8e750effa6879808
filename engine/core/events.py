"""
The output buffer: one `emit_*` per event kind; reads the state, writes `events` and the fill counter.

An event carries its market's scales, so that it can be printed long after the state has moved on. Accounts below 100
(the venue's own) have no post-images and no ledger legs.
"""

from numpy import int64

from engine.core import guards, margin, tables, trailing
from engine.core.kernel import kernel
from engine.core.limits import EVENTS_CAPACITY, PRICE_TICKS_MAX
from shared.codes import ACCOUNT_FIRST, EventKind, MarginMode, OrderKind, OrderStatus, ResultCode
from shared.records import CLIENT_ID_WORDS

MARKET_NONE = -1


@kernel
def room(state):
    """Return whether one more step of an entry fits into the buffer."""
    return state.events_count <= state.events_room


@kernel
def event_begin(state, kind, market_row):
    """Return the next event, its cause, time, kind and market filled in."""
    assert state.events_count < EVENTS_CAPACITY
    event = state.events[state.events_count]
    state.events_count += 1
    state.entry_events += 1
    event.seq = state.header.seq
    event.log_time_us = state.header.log_time_us
    event.kind = kind
    event.market = MARKET_NONE
    if market_row >= 0:
        market = state.markets[market_row]
        event.market = market.market_id
        event.tick_e12 = market.config.tick_e12
        event.lot_e12 = market.config.lot_e12
    return event


@kernel
def emit_order_response(state, command, account_id, result, order_id, position_id, first_seq):
    """Answer one instruction; ids are 0 when there are none."""
    event = event_begin(state, int64(EventKind.ORDER_RESPONSE), int64(MARKET_NONE))
    event.account = account_id
    event.request_hi = command.request_hi
    event.request_lo = command.request_lo
    event.op = command.op
    event.result = result
    event.order_id = order_id
    event.position_id = position_id
    event.first_seq = first_seq
    event.parts = 0


@kernel
def emit_answer(state, command, account_id, order_id, position_id):
    """Answer an accepted instruction, or a command of a batch; ids are 0 when there are none."""
    if state.ask.batch != 0:
        emit_batch_result(state, command, int64(ResultCode.OK), order_id, position_id)
    else:
        emit_order_response(state, command, account_id, int64(ResultCode.OK), order_id, position_id, int64(0))


@kernel
def emit_batch_answer(state, command):
    """Answer a batch; the results of its commands follow, each where it runs."""
    emit_order_response(state, command, command.account, int64(ResultCode.OK), int64(0), int64(0), int64(0))
    state.events[state.events_count - 1].parts = command.parts_count


@kernel
def emit_batch_result(state, command, result, order_id, position_id):
    """State the result of one command of a batch; printed in the batch's answer, so it counts as no event."""
    event = event_begin(state, int64(EventKind.BATCH_RESULT), int64(MARKET_NONE))
    state.entry_events -= 1
    event.account = command.account
    event.op = command.op
    event.result = result
    event.order_id = order_id
    event.position_id = position_id


@kernel
def order_put(event, order):
    """Copy what both order events say of an order."""
    event.account = order.account_id
    event.order_id = order.order_id
    event.position_id = order.position_id
    event.side = order.side
    event.order_kind = order.kind
    event.tif = order.tif
    event.status = order.status
    event.qty_lots = order.qty_lots
    event.qty_filled_lots = order.qty_filled_lots
    event.price_ticks = order.price_ticks
    event.price_trigger_ticks = order.price_trigger_ticks
    event.trigger_by = order.trigger_by
    event.trail_ticks = order.trail_ticks
    event.trail_ppm = order.trail_ppm
    event.price_activation_ticks = order.price_activation_ticks
    event.price_peak_ticks = 0
    event.close_percent = order.close_percent
    event.slippage_bps = order.slippage_bps
    event.oco_id = order.oco_id
    event.stp = order.stp
    event.expires_us = order.expires_us
    event.post_only = order.post_only
    event.reduce_only = order.reduce_only
    event.reserved_e6 = order.reserved_e6
    event.opened_us = order.placed_us
    for word in range(CLIENT_ID_WORDS):
        event.client_order_id[word] = order.client_order_id[word]


@kernel
def trail_put(state, event, order_row):
    """Copy a trailing stop's peak and present trigger, once it follows its price."""
    order = state.orders[order_row]
    if order.kind != OrderKind.TRAILING_STOP or order.active == 0:
        return
    peak_ticks = int64(order.peak_ticks)
    if order.active == trailing.TRAILS:
        peak_ticks = trailing.trailing_peak(state, order_row)
    event.price_peak_ticks = peak_ticks
    trigger_ticks = trailing.trailing_trigger_ticks(
        int64(order.side), peak_ticks, int64(order.trail_ticks), int64(order.trail_ppm)
    )
    event.price_trigger_ticks = trigger_ticks if 1 <= trigger_ticks <= PRICE_TICKS_MAX else 0


@kernel
def emit_order_changed(state, order_row):
    """State an order as it stands."""
    order = state.orders[order_row]
    event = event_begin(state, int64(EventKind.ORDER_CHANGED), int64(order.market_id) - 1)
    order_put(event, order)
    trail_put(state, event, order_row)
    if order.status == OrderStatus.RESTING:
        event.slippage_bps = -1


@kernel
def emit_closed_order(state, order_row, reason, code):
    """State an order's whole life at its end; code is the rule that kept a woken or delayed one from executing."""
    order = state.orders[order_row]
    market_row = int64(order.market_id) - 1
    event = event_begin(state, int64(EventKind.CLOSED_ORDER), market_row)
    order_put(event, order)
    trail_put(state, event, order_row)
    event.oco_id = 0
    event.slippage_bps = -1
    event.reason = reason
    event.result = code
    event.fee_e6 = order.fee_e6
    event.pnl_e6 = order.pnl_e6
    event.closed_us = state.header.log_time_us
    event.price_average_e4 = margin.price_average_e4(
        order.filled_e6, order.qty_filled_lots, state.markets[market_row].config.unit_e6
    )


@kernel
def emit_fill(state, order_row, position_id, maker, lots, notional_e6, fee_e6, pnl_e6):
    """State one execution of a user's order; takes the next fill id."""
    order = state.orders[order_row]
    market_row = int64(order.market_id) - 1
    event = event_begin(state, int64(EventKind.FILL), market_row)
    event.account = order.account_id
    event.order_id = order.order_id
    event.position_id = position_id
    event.fill_id = state.venue.fill_next
    state.venue.fill_next += 1
    event.side = order.side
    event.maker = maker
    event.qty_lots = lots
    event.notional_e6 = notional_e6
    event.price_average_e4 = margin.price_average_e4(notional_e6, lots, state.markets[market_row].config.unit_e6)
    event.fee_e6 = fee_e6
    event.pnl_e6 = pnl_e6


@kernel
def emit_trade(state, market_row, lots, notional_e6, side):
    """State one execution as the market sees it; `side` is the taker's."""
    event = event_begin(state, int64(EventKind.TRADE), market_row)
    event.qty_lots = lots
    event.price_average_e4 = margin.price_average_e4(notional_e6, lots, state.markets[market_row].config.unit_e6)
    event.side = side


@kernel
def emit_position_changed(state, position_row):
    """State a position as it stands, with its SL, TP and liquidation price."""
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    unit_e6 = state.markets[market_row].config.unit_e6
    event = event_begin(state, int64(EventKind.POSITION_CHANGED), market_row)
    event.account = position.account_id
    event.position_id = position.position_id
    event.position_kind = position.kind
    event.mode = int64(MarginMode.CROSS) if position.cross != 0 else int64(MarginMode.ISOLATED)
    event.qty_lots = position.lots
    event.leverage = position.leverage
    event.price_average_e4 = margin.price_average_e4(abs(position.cost_e6), abs(position.lots), unit_e6)
    event.cost_e6 = position.cost_e6
    event.margin_e6 = position.margin_e6
    # A cross position's would be old at the next tick of any of its account's markets.
    event.price_liquidation_ticks = int64(0) if position.cross != 0 else margin.threshold_ticks(state, position_row)
    event.take_profit_id = position.take_profit_id
    event.stop_loss_id = position.stop_loss_id
    if position.take_profit_id != 0:
        order = state.orders[
            tables.index_find(state.orders_index, state.index_seed, position.take_profit_id, int64(0), int64(0))
        ]
        event.take_profit_ticks = order.price_trigger_ticks
        event.take_profit_price_ticks = order.price_ticks
        event.take_profit_by = order.trigger_by
    if position.stop_loss_id != 0:
        order = state.orders[
            tables.index_find(state.orders_index, state.index_seed, position.stop_loss_id, int64(0), int64(0))
        ]
        event.stop_loss_ticks = order.price_trigger_ticks
        event.stop_loss_price_ticks = order.price_ticks
        event.stop_loss_by = order.trigger_by
    event.pnl_e6 = position.pnl_e6
    event.fee_e6 = position.fees_e6
    event.funding_e6 = position.funding_e6
    event.opened_us = position.opened_us


@kernel
def emit_closed_position(state, position_row, direction_sign, reason):
    """State a position's whole life at its end; direction_sign is what it was."""
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    unit_e6 = state.markets[market_row].config.unit_e6
    event = event_begin(state, int64(EventKind.CLOSED_POSITION), market_row)
    event.account = position.account_id
    event.position_id = position.position_id
    event.position_kind = position.kind
    event.side = direction_sign
    event.qty_lots = position.exit_lots
    event.price_average_e4 = margin.price_average_e4(position.entry_e6, position.entry_lots, unit_e6)
    event.price_exit_e4 = margin.price_average_e4(position.exit_e6, position.exit_lots, unit_e6)
    event.pnl_e6 = position.pnl_e6
    event.fee_e6 = position.fees_e6
    event.funding_e6 = position.funding_e6
    event.reason = reason
    event.opened_us = position.opened_us
    event.closed_us = state.header.log_time_us


@kernel
def emit_account_changed(state, account_row):
    """State a user's balances as they stand; every market in which it holds a cross position is settled again."""
    account = state.accounts[account_row]
    if account.account_id < ACCOUNT_FIRST:
        return
    state.touched |= state.account_links[account_row].cross_markets
    event = event_begin(state, int64(EventKind.ACCOUNT_CHANGED), int64(MARKET_NONE))
    event.account = account.account_id
    event.free_e6 = account.free_e6
    event.reserved_e6 = account.reserved_e6
    event.mode = int64(MarginMode.CROSS) if account.cross != 0 else int64(MarginMode.ISOLATED)
    event.locked_until_ms = guards.locked_until_ms(state, account_row)
    event.frozen = account.frozen
    event.deadman_us = account.deadman_us
    event.resets = account.resets


@kernel
def emit_account_opened(state, account_row):
    """State a new account."""
    account = state.accounts[account_row]
    event = event_begin(state, int64(EventKind.ACCOUNT_OPENED), int64(MARKET_NONE))
    event.account = account.account_id
    event.owner_hi = account.owner_hi
    event.owner_lo = account.owner_lo
    event.account_main = account.main_id
    event.sub = account.sub


@kernel
def emit_ledger(state, account_row, amount_e6, counter, reason, reference):
    """State one leg of a move; `counter` is an account id, or a position's id negated."""
    account = state.accounts[account_row]
    if account.account_id < ACCOUNT_FIRST or amount_e6 == 0:
        return
    event = event_begin(state, int64(EventKind.LEDGER), int64(MARKET_NONE))
    event.account = account.account_id
    event.amount_e6 = amount_e6
    event.counter = counter
    event.reason = reason
    event.reference = reference
    event.free_e6 = account.free_e6


@kernel
def emit_trigger_fired(state, order_row, price_ticks):
    """State that a dormant order woke at a price of its source."""
    order = state.orders[order_row]
    event = event_begin(state, int64(EventKind.TRIGGER_FIRED), int64(order.market_id) - 1)
    event.account = order.account_id
    event.order_id = order.order_id
    event.position_id = order.position_id
    event.price_trigger_ticks = order.price_trigger_ticks
    event.trigger_by = order.trigger_by
    event.price_ticks = price_ticks


@kernel
def emit_liquidation(state, position_row, order_id, lots, price_ticks, price_bankruptcy_ticks):
    """State that lots of a position are closed by force; a bankruptcy price of 0 is not told."""
    event = position_begin(state, int64(EventKind.LIQUIDATION), position_row)
    event.order_id = order_id
    event.qty_lots = lots
    event.price_ticks = price_ticks
    event.price_bankruptcy_ticks = price_bankruptcy_ticks


@kernel
def position_begin(state, kind, position_row):
    """Return the next event of a position, its names and its market's mark filled in."""
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    event = event_begin(state, kind, market_row)
    event.account = position.account_id
    event.position_id = position.position_id
    event.price_mark_ticks = state.markets[market_row].mark_ticks
    return event


@kernel
def emit_margin_call_position(state, position_row, equity_e6, maintenance_e6):
    """State that an isolated position comes near its liquidation."""
    event = position_begin(state, int64(EventKind.MARGIN_CALL), position_row)
    event.mode = int64(MarginMode.ISOLATED)
    event.equity_e6 = equity_e6
    event.maintenance_e6 = maintenance_e6


@kernel
def emit_margin_call_account(state, account_row, equity_e6, maintenance_e6):
    """State that an account's cross positions together come near liquidation."""
    event = event_begin(state, int64(EventKind.MARGIN_CALL), int64(MARKET_NONE))
    event.account = state.accounts[account_row].account_id
    event.mode = int64(MarginMode.CROSS)
    event.equity_e6 = equity_e6
    event.maintenance_e6 = maintenance_e6


@kernel
def emit_adl(state, position_row, order_id, liquidation_order_id, lots, price_ticks):
    """State that lots of a position are closed to take the other side of a liquidation."""
    event = position_begin(state, int64(EventKind.ADL), position_row)
    event.order_id = order_id
    event.liquidation_id = liquidation_order_id
    event.qty_lots = lots
    event.price_ticks = price_ticks


@kernel
def emit_deficit(state, account_row, position_id, market_row, payer, amount_e6):
    """State what the venue paid for a position, or for cross positions, that lost more than was there."""
    event = event_begin(state, int64(EventKind.DEFICIT), market_row)
    event.account = state.accounts[account_row].account_id
    event.position_id = position_id
    event.counter = payer
    event.amount_e6 = amount_e6


@kernel
def emit_candle(state, market_row, minute_ms):
    """State the minute that log time has left."""
    market = state.markets[market_row]
    event = event_begin(state, int64(EventKind.CANDLE), market_row)
    event.minute_ms = minute_ms
    event.open_x2 = market.candle_open_x2
    event.high_x2 = market.candle_high_x2
    event.low_x2 = market.candle_low_x2
    event.close_x2 = market.candle_close_x2
    event.quotes = market.candle_quotes
