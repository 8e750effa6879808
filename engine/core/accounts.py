"""What an accepted instruction about an account's own money, leverage or switches does; it has been answered."""

from numpy import int64

from engine.core import cross, events, events_venue, guards, ledger, margin, orders, reserves, sweep, timers, triggers
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from engine.core.schema import GUARD_LEVERAGE, GUARD_LOSS, GUARD_SLIPPAGE, GUARD_STP
from shared.codes import ACCOUNT_EXTERNAL, CloseReason, DeadmanScope, LedgerReason, MarginMode
from shared.records import (
    PRESENT_LEVERAGE_MOST,
    PRESENT_LEVERAGE_MOST_NULL,
    PRESENT_LOSS_MOST,
    PRESENT_LOSS_MOST_NULL,
    PRESENT_SLIPPAGE,
    PRESENT_SLIPPAGE_NULL,
    PRESENT_STP,
    PRESENT_STP_NULL,
)


@kernel
def margin_change(state, command):
    """Move ask.amount_e6 from free money into a position's margin; a negative amount moves it back."""
    position_row = state.ask.position_row
    margin_move(state, position_row, state.ask.amount_e6)
    events.emit_position_changed(state, position_row)
    events.emit_account_changed(state, state.ask.account_row)


@kernel
def margin_move(state, position_row, amount_e6):
    """Move free money into the margin of a position of the account in hand, its threshold with it."""
    triggers.threshold_drop(state, position_row)
    ledger.margin_add(state, state.ask.account_row, position_row, amount_e6, int64(0))
    triggers.threshold_push(state, position_row)
    state.touched |= int64(1) << (int64(state.positions[position_row].market_id) - 1)


@kernel
def leverages_cap(state, account_row):
    """Lower every leverage that an account has set, or 10, to what its owner now allows himself; no margin moves."""
    account = state.accounts[account_row]
    for market_row in range(state.venue.markets_count):
        if orders.leverage_stored(state, account_row, int64(market_row)) > account.leverage_most:
            account.leverage[market_row] = account.leverage_most
            events_venue.emit_account_market_changed(state, account_row, int64(market_row))
            net_row = int64(state.account_links[account_row].markets[market_row].net)
            if net_row != ROW_NONE:
                leverage_show(state, net_row, account.leverage_most)


@kernel
def leverage_show(state, position_row, leverage):
    """Tell a net position with another leverage; it may be told another margin call."""
    if state.positions[position_row].leverage != leverage:
        triggers.threshold_drop(state, position_row)
        triggers.threshold_push(state, position_row)
        state.positions[position_row].leverage = leverage
        state.touched |= int64(1) << (int64(state.positions[position_row].market_id) - 1)
    events.emit_position_changed(state, position_row)


@kernel
def leverage_set(state, command):
    """
    Set the leverage of an account's net position in a market: less takes margin from free, more moves none.

    A cross position has no margin to take to. The reserves of its resting orders follow.
    """
    ask = state.ask
    account = state.accounts[ask.account_row]
    lacking_e6 = leverage_margin_e6(state, ask.account_row, ask.market_row, command.leverage)
    account.leverage[ask.market_row] = command.leverage
    events_venue.emit_account_market_changed(state, ask.account_row, ask.market_row)
    net_row = int64(state.account_links[ask.account_row].markets[ask.market_row].net)
    if net_row != ROW_NONE:
        if lacking_e6 > 0:
            margin_move(state, net_row, lacking_e6)
        leverage_show(state, net_row, command.leverage)
    reserves.reserves_refresh(state, ask.account_row, ask.market_row)
    events.emit_account_changed(state, ask.account_row)


@kernel
def leverage_margin_e6(state, account_row, market_row, leverage):
    """
    Return what another leverage takes from free into the net position's margin; none unless it is lower than now.

    Nor of a cross position, which has none.

    Source: docs/risk.md#leverage
    """
    net_row = int64(state.account_links[account_row].markets[market_row].net)
    if net_row == ROW_NONE or cross.chosen(state, account_row, market_row):
        return int64(0)
    if leverage >= orders.leverage_net(state, account_row, market_row):
        return int64(0)
    position = state.positions[net_row]
    return max(int64(0), margin.margin_initial_e6(abs(position.cost_e6), leverage) - position.margin_e6)


@kernel
def margin_mode_set(state, command):
    """Choose for a market, in which an account has neither a net position nor an order that may open one, its mode."""
    ask = state.ask
    account = state.accounts[ask.account_row]
    bit = int64(1) << ask.market_row
    if command.mode == MarginMode.CROSS:
        account.cross |= bit
    else:
        account.cross &= ~bit
    events_venue.emit_account_market_changed(state, ask.account_row, ask.market_row)
    events.emit_account_changed(state, ask.account_row)


@kernel
def guards_set(state, command):
    """Set and remove what an owner forbids himself; one who has lost too much today is locked at once."""
    account_row = state.ask.account_row
    account = state.accounts[account_row]
    present = command.present
    if present & PRESENT_LEVERAGE_MOST:
        account.leverage_most = command.leverage_most
    if present & PRESENT_LOSS_MOST:
        account.loss_most_e6 = state.ask.amount_e6
    if present & PRESENT_SLIPPAGE:
        account.slippage_bps = command.slippage_bps
    if present & PRESENT_STP:
        account.stp = command.stp
    guard_note(account, int64(GUARD_LEVERAGE), present & PRESENT_LEVERAGE_MOST, present & PRESENT_LEVERAGE_MOST_NULL)
    guard_note(account, int64(GUARD_LOSS), present & PRESENT_LOSS_MOST, present & PRESENT_LOSS_MOST_NULL)
    guard_note(account, int64(GUARD_SLIPPAGE), present & PRESENT_SLIPPAGE, present & PRESENT_SLIPPAGE_NULL)
    guard_note(account, int64(GUARD_STP), present & PRESENT_STP, present & PRESENT_STP_NULL)
    ledger.day_judge(state, account_row)
    events_venue.emit_account_guards_changed(state, account_row)
    if present & PRESENT_LEVERAGE_MOST:
        leverages_cap(state, account_row)
    if guards.locked(state, account_row):
        sweep.orders_sweep(
            state, account_row, int64(sweep.EVERY_MARKET), int64(sweep.OPENING), int64(CloseReason.LOSS_LOCK)
        )
    events.emit_account_changed(state, account_row)


@kernel
def guard_note(account, bit, given, removed):
    """Note that a guard is set or removed; a removed one leaves no number behind."""
    if given:
        account.guards |= bit
    if removed == 0:
        return
    account.guards &= ~bit
    if bit == GUARD_LEVERAGE:
        account.leverage_most = 0
    elif bit == GUARD_LOSS:
        account.loss_most_e6 = 0
    elif bit == GUARD_SLIPPAGE:
        account.slippage_bps = 0
    else:
        account.stp = 0


@kernel
def account_transfer(state, command):
    """Move ask.amount_e6 to another account of the same owner."""
    ask = state.ask
    ledger.transfer(state, ask.account_row, ask.target_row, ask.amount_e6, int64(LedgerReason.TRANSFER), int64(0))
    events.emit_account_changed(state, ask.account_row)
    events.emit_account_changed(state, ask.target_row)


@kernel
def deadman_set(state, command):
    """Arm the account's dead-man's switch anew, or turn it off when the timeout is 0."""
    account_row = state.ask.account_row
    account = state.accounts[account_row]
    deadman_off(state, account_row)
    if command.timeout_ms != 0:
        account.deadman_us = state.header.log_time_us + command.timeout_ms * 1000
        account.deadman_scope = command.scope
        if command.scope == DeadmanScope.NONE:
            account.deadman_scope = int64(DeadmanScope.OPENING)
        timers.deadman_add(state, account_row)
    events.emit_account_changed(state, account_row)


@kernel
def deadman_off(state, account_row):
    """Turn an account's switch off, if it is armed."""
    account = state.accounts[account_row]
    if account.deadman_us == 0:
        return
    timers.deadman_remove(state, account_row)
    account.deadman_us = 0
    account.deadman_scope = int64(DeadmanScope.NONE)


@kernel
def deadman_fire(state, account_row):
    """End the orders that an account's switch names; it is off then."""
    everything = state.accounts[account_row].deadman_scope == DeadmanScope.ALL
    deadman_off(state, account_row)
    which = int64(sweep.EVERY) if everything else int64(sweep.OPENING)
    sweep.orders_sweep(state, account_row, int64(sweep.EVERY_MARKET), which, int64(CloseReason.DEADMAN))
    events.emit_account_changed(state, account_row)


@kernel
def account_credit(state, command):
    """Give an account ask.amount_e6 from outside; a negative amount takes it away."""
    external_move(state, state.ask.account_row, state.ask.amount_e6, int64(LedgerReason.CREDIT))
    events.emit_account_changed(state, state.ask.account_row)


@kernel
def external_move(state, account_row, amount_e6, reason):
    """Move money from EXTERNAL to an account, or back when the amount is negative."""
    if amount_e6 >= 0:
        ledger.transfer(state, int64(ACCOUNT_EXTERNAL), account_row, amount_e6, reason, int64(0))
    else:
        ledger.transfer(state, account_row, int64(ACCOUNT_EXTERNAL), -amount_e6, reason, int64(0))


@kernel
def account_freeze(state, command):
    """Let an account place nothing until it is unfrozen."""
    state.accounts[state.ask.account_row].frozen = 1
    events.emit_account_changed(state, state.ask.account_row)


@kernel
def account_unfreeze(state, command):
    """Let an account trade again."""
    state.accounts[state.ask.account_row].frozen = 0
    events.emit_account_changed(state, state.ask.account_row)
