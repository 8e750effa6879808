"""
Margin calls, told once: of isolated positions by their ladder, of cross accounts by id.

They move nothing and no order: a call says that equity is at or below five quarters of the maintenance margin.
Source: docs/risk.md#margin-calls
"""

from numpy import int64

from engine.core import cross, events, guards, margin, stale, triggers
from engine.core.kernel import kernel
from engine.core.limits import LADDERS_COUNT, ORDERS_CAPACITY, POSITIONS_CAPACITY, ROW_NONE


@kernel
def isolated_next(state, market_row):
    """Return the row of the isolated position that is called next, longs by descending threshold first, or ROW_NONE."""
    for number in (triggers.CALL, triggers.CALL + 1):
        if triggers.ladder_fires(state, market_row, int64(number)):
            node = state.ladders[market_row * LADDERS_COUNT + number].best_node
            return node - ORDERS_CAPACITY - POSITIONS_CAPACITY
    return int64(ROW_NONE)


@kernel
def isolated_call(state, position_row):
    """Tell the margin call of an isolated position; another follows only when its lots, margin or leverage change."""
    position = state.positions[position_row]
    market = state.markets[int64(position.market_id) - 1]
    triggers.call_drop(state, position_row)
    position.called = 1
    value_e6 = position.lots * market.mark_ticks * market.config.unit_e6
    equity_e6 = position.margin_e6 + value_e6 - position.cost_e6
    maintenance_e6 = margin.maintenance_floor_e6(market.config, abs(value_e6))
    events.emit_margin_call_position(state, position_row, equity_e6, maintenance_e6)


@kernel
def account_call(state, account_row):
    """Tell the margin call of an account's cross positions; another follows on another UTC day at the earliest."""
    cross.account_sum(state, account_row)
    equity_e6 = cross.cash_e6(state, account_row) + state.pool.results_e6
    maintenance_e6 = cross.maintenance_e6(state.pool)
    state.accounts[account_row].called_day = guards.day(state)
    stale.note(state, account_row)
    events.emit_margin_call_account(state, account_row, equity_e6, maintenance_e6)
