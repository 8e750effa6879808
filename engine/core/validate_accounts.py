"""
May margin, leverage, switch or balance of an account change so? Checks in the order of docs/commands.md.

Reads the state and fills `ask`.
"""

from numpy import int64

from engine.core import accounts, cross, limits, margin, orders, owners, prices, reserves, validate
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from engine.core.validate import OK
from shared.codes import ACCOUNT_EXTERNAL, MarketState, OrderStatus, PositionKind, ResultCode, Side


@kernel
def amount_convert(state, command):
    """Return AMOUNT_OUT_OF_RANGE for zero, more than six decimals or 10⁹ and more; fills ask.amount_e6, signed."""
    units, e12 = command.amount_units, command.amount_e12
    if (units == 0 and e12 == 0) or e12 % 1_000_000 != 0 or abs(units) >= limits.AMOUNT_UNITS_MAX:
        return int64(ResultCode.AMOUNT_OUT_OF_RANGE)
    state.ask.amount_e6 = units * 1_000_000 + e12 // 1_000_000
    return int64(OK)


@kernel
def margin_change_validate(state, command):
    """
    Return the first rule that a change of a position's margin breaks; fills ask.position_row and ask.amount_e6.

    Codes:  POSITION_UNKNOWN, POSITION_NOT_ISOLATED, AMOUNT_OUT_OF_RANGE; adding: MARGIN_INSUFFICIENT; removing:
            MARKET_HALTED, PRICE_STALE, MARGIN_BELOW_REQUIRED.
    """
    ask = state.ask
    code = validate.position_validate(state, command)
    if code == OK and state.positions[ask.position_row].cross != 0:
        code = int64(ResultCode.POSITION_NOT_ISOLATED)
    if code == OK:
        code = amount_convert(state, command)
    if code != OK:
        return code
    if ask.amount_e6 > 0:
        return leave_validate(state, ask.amount_e6)
    code = market_trades_validate(state, ask.market_row)
    if code == OK and not margin_suffices(state, ask.position_row, ask.amount_e6):
        code = int64(ResultCode.MARGIN_BELOW_REQUIRED)
    return code


@kernel
def leave_validate(state, amount_e6):
    """Return MARGIN_INSUFFICIENT unless so much may leave what backs the cross positions of the account in hand."""
    if amount_e6 > 0 and amount_e6 > cross.leave_e6(state, state.ask.account_row):
        return int64(ResultCode.MARGIN_INSUFFICIENT)
    return int64(OK)


@kernel
def market_trades_validate(state, market_row):
    """Return MARKET_HALTED or PRICE_STALE unless a market can trade now."""
    if state.markets[market_row].state == MarketState.HALTED:
        return int64(ResultCode.MARKET_HALTED)
    if not prices.fresh(state, market_row):
        return int64(ResultCode.PRICE_STALE)
    return int64(OK)


@kernel
def margin_suffices(state, position_row, amount_e6):
    """
    Return whether a position's margin, changed by an amount, may stand: maintenance without the profit, and with it
    what its leverage asks at mark.

    Source: docs/risk.md#removing-margin
    """
    position = state.positions[position_row]
    market_row = int64(position.market_id) - 1
    market = state.markets[market_row]
    leverage = int64(position.leverage)
    if position.kind == PositionKind.NET:
        leverage = orders.leverage_net(state, state.ask.account_row, market_row)
    value_e6 = position.lots * market.mark_ticks * market.config.unit_e6
    margin_e6 = position.margin_e6 + amount_e6
    if margin_e6 < margin.maintenance_ceil_e6(market.config, abs(value_e6)):
        return False
    return margin_e6 + value_e6 - position.cost_e6 >= margin.margin_initial_e6(abs(value_e6), leverage)


@kernel
def leverage_set_validate(state, command):
    """
    Return the first rule that a leverage of the net position breaks.

    Codes:  LEVERAGE_OUT_OF_RANGE, PRICE_STALE, LEVERAGE_ABOVE_GUARD, LEVERAGE_ABOVE_TIER, MARGIN_INSUFFICIENT.
    """
    ask = state.ask
    config = state.markets[ask.market_row].config
    leverage = command.leverage
    if leverage < 1 or leverage > config.leverage_max:
        return int64(ResultCode.LEVERAGE_OUT_OF_RANGE)
    if not prices.fresh(state, ask.market_row):
        return int64(ResultCode.PRICE_STALE)
    code = validate.leverage_guard_validate(state, leverage)
    if code != OK:
        return code
    held = exposure_lots(state, ask.account_row, ask.market_row)
    mark_ticks = state.markets[ask.market_row].mark_ticks
    if leverage > margin.leverage_max(config, held * mark_ticks * config.unit_e6):
        return int64(ResultCode.LEVERAGE_ABOVE_TIER)
    reserves_e6 = reserves.reserves_due_e6(state, ask.account_row, ask.market_row, leverage)
    reserves_e6 -= reserves_held_e6(state, ask.account_row, ask.market_row)
    if cross.chosen(state, ask.account_row, ask.market_row):
        return leverage_pool_validate(state, leverage, reserves_e6)
    needed_e6 = reserves_e6 + accounts.leverage_margin_e6(state, ask.account_row, ask.market_row, leverage)
    return leave_validate(state, needed_e6)


@kernel
def leverage_pool_validate(state, leverage, reserves_e6):
    """
    Return MARGIN_INSUFFICIENT when free or available money lacks for a leverage in a cross market.

    Units:  reserves_e6 is what its resting orders would hold back more.
    Source: docs/risk.md#leverage
    """
    ask = state.ask
    market = state.markets[ask.market_row]
    lots = reserves.net_lots(state, ask.account_row, ask.market_row)
    value_e6 = abs(lots * market.mark_ticks * market.config.unit_e6)
    initial_e6 = margin.margin_initial_e6(value_e6, leverage)
    initial_e6 -= margin.margin_initial_e6(value_e6, orders.leverage_net(state, ask.account_row, ask.market_row))
    if initial_e6 + reserves_e6 <= 0:
        return int64(OK)
    left_e6 = state.accounts[ask.account_row].free_e6 - reserves_e6
    cross.account_sum(state, ask.account_row)
    available_e6 = left_e6 + state.pool.results_e6 - state.pool.initial_e6 - initial_e6
    return int64(OK) if min(left_e6, available_e6) >= 0 else int64(ResultCode.MARGIN_INSUFFICIENT)


@kernel
def exposure_lots(state, account_row, market_row):
    """Return the larger of both sides: the net position if it is of that side, with the side's resting orders."""
    lots = reserves.net_lots(state, account_row, market_row)
    buys = max(int64(0), lots) + reserves.resting_lots(state, account_row, market_row, int64(Side.BUY), int64(ROW_NONE))
    sells = max(int64(0), -lots) + reserves.resting_lots(
        state, account_row, market_row, int64(Side.SELL), int64(ROW_NONE)
    )
    return max(buys, sells)


@kernel
def reserves_held_e6(state, account_row, market_row):
    """Return Σ of what an account's resting orders in a market hold back."""
    total_e6 = int64(0)
    row = int64(state.account_links[account_row].order_first)
    while row != ROW_NONE:
        order = state.orders[row]
        if order.status == OrderStatus.RESTING and order.market_id == market_row + 1:
            total_e6 += order.reserved_e6
        row = int64(state.order_links[row].next)
    return total_e6


@kernel
def deadman_set_validate(state, command):
    """Return TIMEOUT_OUT_OF_RANGE unless the timeout is 0 or from five seconds to a day."""
    timeout_ms = command.timeout_ms
    if timeout_ms != 0 and not limits.TIMEOUT_MIN_MS <= timeout_ms <= limits.TIMEOUT_MAX_MS:
        return int64(ResultCode.TIMEOUT_OUT_OF_RANGE)
    return int64(OK)


@kernel
def account_credit_validate(state, command):
    """
    Return the first rule that an operator's credit breaks; fills ask.amount_e6.

    Codes:  AMOUNT_OUT_OF_RANGE, MARGIN_INSUFFICIENT.
    """
    ask = state.ask
    code = amount_convert(state, command)
    if code != OK:
        return code
    free_e6 = state.accounts[ask.account_row].free_e6
    outside_e6 = state.accounts[ACCOUNT_EXTERNAL].free_e6
    too_much = free_e6 + ask.amount_e6 > limits.BALANCE_E6_MAX or ask.amount_e6 - outside_e6 > limits.OUTSIDE_E6_MAX
    if ask.amount_e6 > 0 and too_much:
        return int64(ResultCode.AMOUNT_OUT_OF_RANGE)
    return leave_validate(state, -ask.amount_e6)


@kernel
def account_reset_validate(state, command):
    """
    Return the first rule that beginning an account anew breaks.

    Codes:  MARKET_HALTED, PRICE_STALE; of a main account SUBACCOUNT_NOT_EMPTY: or resets and transfers together would
            make money.
    """
    code = positions_trade_validate(state, int64(prices.MARKET_NONE))
    if code == OK and not owners.subs_empty(state, state.ask.account_row):
        code = int64(ResultCode.SUBACCOUNT_NOT_EMPTY)
    return code


@kernel
def close_all_validate(state, command):
    """
    Return the first rule that closing the account's positions, in ask.market_row if it names one, breaks.

    Codes:  MARKET_HALTED, PRICE_STALE; where takers are delayed ORDERS_OPEN_MAX, ORDER_SLOTS_EXHAUSTED.
    """
    ask = state.ask
    code = positions_trade_validate(state, ask.market_row)
    if code != OK:
        return code
    delayed = int64(0)
    row = int64(state.account_links[ask.account_row].position_first)
    while row != ROW_NONE:
        own_row = int64(state.positions[row].market_id) - 1
        named = ask.market_row == prices.MARKET_NONE or own_row == ask.market_row
        delayed += int64(named and state.markets[own_row].config.taker_delay_ms > 0)
        row = int64(state.position_links[row].next)
    if delayed == 0:
        return int64(OK)
    if state.account_links[ask.account_row].orders_resting + delayed > state.venue.orders_open_max:
        return int64(ResultCode.ORDERS_OPEN_MAX)
    if state.orders_table.live + delayed > state.venue.orders_max:
        return int64(ResultCode.ORDER_SLOTS_EXHAUSTED)
    return int64(OK)


@kernel
def positions_trade_validate(state, market_row):
    """Return what stands against trading an account's positions now, in one market or in all; by position id."""
    row = int64(state.account_links[state.ask.account_row].position_first)
    while row != ROW_NONE:
        own_row = int64(state.positions[row].market_id) - 1
        if market_row == prices.MARKET_NONE or own_row == market_row:
            code = market_trades_validate(state, own_row)
            if code != OK:
                return code
        row = int64(state.position_links[row].next)
    return int64(OK)
