"""
May an owner open an account, set margin modes or guards so, move money? Checks in the order of docs/commands.md.

Reads the state and fills `ask`.
"""

from numpy import int64

from engine.core import cross, drafts, guards, limits, owners, tables, validate
from engine.core.kernel import kernel
from engine.core.limits import ROW_NONE
from engine.core.schema import GUARD_LOSS
from engine.core.validate import OK
from shared.codes import ACCOUNT_FIRST, MarginMode, ResultCode
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

LEVERAGE_MOST_MAX = 1_000
GUARDS_SET = PRESENT_LEVERAGE_MOST | PRESENT_LOSS_MOST | PRESENT_SLIPPAGE | PRESENT_STP
GUARDS_REMOVED = PRESENT_LEVERAGE_MOST_NULL | PRESENT_LOSS_MOST_NULL | PRESENT_SLIPPAGE_NULL | PRESENT_STP_NULL


@kernel
def account_open_validate(state, command):
    """Return ACCOUNT_SLOTS_EXHAUSTED when a new owner finds no room."""
    if owners.account_find(state, command.owner_hi, command.owner_lo, int64(0)) != ROW_NONE:
        return int64(OK)
    return account_room_validate(state)


@kernel
def account_room_validate(state):
    """Return ACCOUNT_SLOTS_EXHAUSTED when there are as many accounts as there may be."""
    if state.venue.account_next - ACCOUNT_FIRST >= state.venue.accounts_max:
        return int64(ResultCode.ACCOUNT_SLOTS_EXHAUSTED)
    return int64(OK)


@kernel
def margin_mode_set_validate(state, command):
    """Return MARGIN_MODE_IN_USE for another mode where a net position is, or an order that may open one."""
    ask = state.ask
    if cross.chosen(state, ask.account_row, ask.market_row) == (command.mode == MarginMode.CROSS):
        return int64(OK)
    there = state.account_links[ask.account_row].markets[ask.market_row]
    if there.net != ROW_NONE or there.opening > 0:
        return int64(ResultCode.MARGIN_MODE_IN_USE)
    return int64(OK)


@kernel
def guards_set_validate(state, command):
    """
    Return the first rule that an account's new guards break; fills ask.amount_e6 with the loss, 0 if none is given.

    Codes:  FIELD_MISSING, LEVERAGE_OUT_OF_RANGE, AMOUNT_OUT_OF_RANGE, SLIPPAGE_OUT_OF_RANGE, ACCOUNT_LOCKED.
    """
    ask = state.ask
    present = command.present
    if present & (GUARDS_SET | GUARDS_REMOVED) == 0:
        return int64(ResultCode.FIELD_MISSING)
    if present & PRESENT_LEVERAGE_MOST:
        if command.leverage_most < 1 or command.leverage_most > LEVERAGE_MOST_MAX:
            return int64(ResultCode.LEVERAGE_OUT_OF_RANGE)
    ask.amount_e6 = 0
    if present & PRESENT_LOSS_MOST:
        ask.amount_e6 = drafts.amount_e6(command.loss_most_units, command.loss_most_e12)
        if ask.amount_e6 <= 0:
            return int64(ResultCode.AMOUNT_OUT_OF_RANGE)
    if present & PRESENT_SLIPPAGE:
        code = validate.slippage_validate(command)
        if code != OK:
            return code
    if ask.by_user != 0 and guards.locked(state, ask.account_row) and loss_loosened(state, command):
        return int64(ResultCode.ACCOUNT_LOCKED)
    return int64(OK)


@kernel
def loss_loosened(state, command):
    """Return whether the limit of an account's daily loss, if it has one, would be removed or raised."""
    account = state.accounts[state.ask.account_row]
    if account.guards & GUARD_LOSS == 0:
        return False
    return command.present & PRESENT_LOSS_MOST_NULL != 0 or state.ask.amount_e6 > account.loss_most_e6


@kernel
def subaccount_open_validate(state, command):
    """Return SUBACCOUNTS_MAX when the owner has as many as he may, ACCOUNT_SLOTS_EXHAUSTED when there is no room."""
    main = state.accounts[owners.main_row(state, state.ask.account_row)]
    if main.subs >= state.venue.subaccounts_max:
        return int64(ResultCode.SUBACCOUNTS_MAX)
    return account_room_validate(state)


@kernel
def account_transfer_validate(state, command):
    """
    Return the first rule that a transfer between an owner's accounts breaks; fills ask.target_row and ask.amount_e6.

    Codes:  AMOUNT_OUT_OF_RANGE, ACCOUNT_TARGET_UNKNOWN, MARGIN_INSUFFICIENT.
    """
    ask = state.ask
    ask.amount_e6 = drafts.amount_e6(command.amount_units, command.amount_e12)
    if ask.amount_e6 <= 0:
        return int64(ResultCode.AMOUNT_OUT_OF_RANGE)
    if command.account_to < ACCOUNT_FIRST or command.account_to >= state.venue.account_next:
        return int64(ResultCode.ACCOUNT_TARGET_UNKNOWN)
    ask.target_row = tables.account_row(command.account_to)
    if ask.target_row == ask.account_row or not owners.related(state, ask.account_row, ask.target_row):
        return int64(ResultCode.ACCOUNT_TARGET_UNKNOWN)
    if state.accounts[ask.target_row].free_e6 + ask.amount_e6 > limits.BALANCE_E6_MAX:
        return int64(ResultCode.AMOUNT_OUT_OF_RANGE)
    if ask.amount_e6 > cross.leave_e6(state, ask.account_row):
        return int64(ResultCode.MARGIN_INSUFFICIENT)
    return int64(OK)
