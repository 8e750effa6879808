"""
Auto-deleveraging: the ranking of opposite positions, and one fill after the other at the bankruptcy price.

A task of the liquidation whose order stands in hand: a fill a step, so that an entry whose events fill the buffer goes
on where it stood. Until its last step nothing else may use the order in hand, the taker and the steps of its walk.

The ranking is made once in a market's turn and outlives the liquidations of that turn: two heaps in the cells, longs
from the front, shorts from the end. What one auto-deleveraging has taken out of a heap stands right behind its end, and
goes back when that ends; behind it whoever is gone for good. Source: docs/risk.md#auto-deleveraging
"""

from numpy import int64

from engine.core import closing, cross, events, execution, fitting, orders, plans, positions, tables
from engine.core.integers import SATURATED, mul_div_saturate
from engine.core.kernel import kernel
from engine.core.limits import ADL_PASSED_MAX, BUY_SIGN, ORDER_IN_HAND, ORDER_MET, POSITIONS_CAPACITY, PPM, ROW_NONE
from shared.codes import ACCOUNT_FIRST, CloseReason, OrderKind, ResultCode, Tif

# The sides of the ranking.
LONGS = 0
SHORTS = 1


@kernel
def adl_score(state, position_row):
    """
    Return how soon a position is asked: its return on its cost, times its leverage when it wins, divided when it loses.

    Saturates: at ± SATURATED, which also is the score of a position without equity. Writes: pool.
    """
    position = state.positions[position_row]
    market = state.markets[int64(position.market_id) - 1]
    value_e6 = position.lots * market.mark_ticks * market.config.unit_e6
    result_e6 = value_e6 - position.cost_e6
    equity_e6 = position.margin_e6 + result_e6
    if position.cross != 0:
        account_row = tables.account_row(int64(position.account_id))
        cross.account_sum(state, account_row)
        equity_e6 = cross.cash_e6(state, account_row) + state.pool.results_e6
    if equity_e6 <= 0:
        return int64(SATURATED)
    equity_e6 = min(equity_e6, int64(SATURATED))
    rate = mul_div_saturate(abs(result_e6), int64(PPM), abs(position.cost_e6))
    if result_e6 > 0:
        return mul_div_saturate(rate, abs(value_e6), equity_e6)
    return -mul_div_saturate(rate, equity_e6, abs(value_e6))


@kernel
def adl_begin(state, lots, price_ticks):
    """Begin to close at a price the lots that the walk of the liquidation in hand has left."""
    take = state.taker
    task = state.adl
    if task.ranked != take.market_row + 1:
        ranking_make(state, take.market_row)
    task.position_id = state.positions[take.position_row].position_id
    task.market_row = take.market_row
    task.lots = lots
    task.price_ticks = price_ticks
    task.order_id = state.orders[ORDER_IN_HAND].order_id
    task.passed = 0
    task.heap_count = task.counts[asked_side(state)]


@kernel
def ranking_make(state, market_row):
    """Rank all users' positions in a market, of either side by itself, as they stand."""
    task = state.adl
    task.ranked = market_row + 1
    task.counts[LONGS] = 0
    task.counts[SHORTS] = 0
    row = state.market_links[market_row].position_first
    while row != ROW_NONE:
        position = state.positions[row]
        if position.account_id >= ACCOUNT_FIRST:
            rank_put(state, row, adl_score(state, row))
        row = int64(state.position_links[row].market_next)


@kernel
def rank_put(state, position_row, points):
    """Put a position with its score into the ranking of its side."""
    task = state.adl
    position = state.positions[position_row]
    side = int64(SHORTS) if position.lots < 0 else int64(LONGS)
    cell = state.adl_cells[cell_at(side, task.counts[side])]
    cell.position_id = position.position_id
    cell.score = points
    cell.row = position_row
    rank_rise(state, side, task.counts[side])
    task.counts[side] += 1


@kernel
def asked_side(state):
    """Return which side the auto-deleveraging in hand asks: the one that the liquidation's order trades against."""
    return int64(LONGS) if state.taker.side_sign == BUY_SIGN else int64(SHORTS)


@kernel
def adl_step(state):
    """Make the next fill of the auto-deleveraging in hand; when nothing is left, end the liquidation."""
    task = state.adl
    side = asked_side(state)
    if task.lots == 0:
        ranking_restore(state, side)
        task.position_id = 0
        execution.taker_finish(state, int64(CloseReason.LIQUIDATION))
        return
    while task.heap_count > 0 and task.passed < ADL_PASSED_MAX:
        heap_take(state, side)
        cell = state.adl_cells[cell_at(side, task.heap_count)]
        row = cell.row
        position_id = cell.position_id
        if state.positions[row].position_id != position_id:
            # It has ended since the ranking; its row may be another's.
            gone_drop(state, side)
            continue
        lots = min(task.lots, abs(state.positions[row].lots))
        if asked_plan(state, row, lots):
            liquidated_plan(state, lots)
            asked_fill(state, row, lots)
            task.lots -= lots
            if state.positions[row].position_id != position_id:
                gone_drop(state, side)
            return
        task.passed += 1
    liquidated_plan(state, task.lots)
    rest_fill(state, task.lots)
    task.lots = 0


@kernel
def fill_e6(state, lots):
    """Return the notional of lots at the price of the auto-deleveraging in hand."""
    return lots * state.adl.price_ticks * state.markets[state.adl.market_row].config.unit_e6


@kernel
def close_plan(state, plan, position_row, lots):
    """Plan, without a fee yet, to close lots of a position at the price of the auto-deleveraging in hand."""
    position = state.positions[position_row]
    account_row = tables.account_row(int64(position.account_id))
    plan.cross = int64(position.cross)
    plan.backing_e6 = 0
    sign = orders.side_sign(orders.closing_side(position.lots))
    notional_e6 = fill_e6(state, lots)
    plans.plan_close(plan, position.lots, position.cost_e6, position.margin_e6, sign, lots, notional_e6, notional_e6)
    plan.fee_e6 = 0
    return state.accounts[account_row].free_e6


@kernel
def asked_plan(state, position_row, lots):
    """
    Plan, without a fee, to close lots of a position; returns whether it may be asked, and can bear the price.

    A cross liquidation never touches its account's isolated positions; an isolated one asks its account's own, too.
    What the others of a cross position need is not for it.
    Writes: plan_maker, pool.
    """
    plan = state.plan_maker
    account_row = tables.account_row(int64(state.positions[position_row].account_id))
    if state.taker.cross != 0 and account_row == state.taker.account_row:
        return False
    free_e6 = close_plan(state, plan, position_row, lots)
    if plan.cross != 0:
        cash_e6 = cross.cash_e6(state, account_row)
        plan.backing_e6 = cross.backing_e6(state, account_row, state.adl.market_row, cash_e6)
    plans.plan_cash(plan, free_e6, int64(0))
    return plan.alone_e6 >= 0


@kernel
def liquidated_plan(state, lots):
    """
    Plan to close lots of the position that is liquidated; what rounding leaves an isolated one is the insurance fund's.

    Writes: plan.
    """
    plan = state.plan
    free_e6 = close_plan(state, plan, state.taker.position_row, lots)
    if plan.cross == 0:
        plan.fee_e6 = max(int64(0), plan.released_e6 + plan.pnl_e6)
    plans.plan_cash(plan, free_e6, int64(0))


@kernel
def liquidated_note(state, lots):
    """Tell the planned fill of the liquidation's order."""
    positions.fill_note(state, state.plan, int64(ORDER_IN_HAND), state.adl.position_id, int64(0), lots)


@kernel
def liquidated_book(state):
    """Book the planned fill of the position that is liquidated."""
    take = state.taker
    position = state.positions[take.position_row]
    take.position_row = positions.fill_book(
        state,
        state.plan,
        int64(ORDER_IN_HAND),
        take.position_row,
        int64(position.kind),
        int64(position.leverage),
        int64(0),
        int64(CloseReason.LIQUIDATION),
    )


@kernel
def asked_fill(state, position_row, lots):
    """Fill the liquidation and a position that is asked, by an order of its own, from each other."""
    task = state.adl
    position = state.positions[position_row]
    position_id = position.position_id
    account_row = tables.account_row(int64(position.account_id))
    closing.close_order_start(state, int64(ORDER_MET), position_row, lots, int64(OrderKind.ADL))
    order = state.orders[ORDER_MET]
    order.tif = Tif.NONE
    order.price_ticks = task.price_ticks
    liquidated_note(state, lots)
    positions.fill_note(state, state.plan_maker, int64(ORDER_MET), position_id, int64(0), lots)
    side = int64(state.orders[ORDER_IN_HAND].side)
    events.emit_trade(state, task.market_row, lots, fill_e6(state, lots), side)
    events.emit_adl(state, position_row, order.order_id, task.order_id, lots, task.price_ticks)
    liquidated_book(state)
    after = positions.fill_book(
        state,
        state.plan_maker,
        int64(ORDER_MET),
        position_row,
        int64(position.kind),
        int64(position.leverage),
        int64(0),
        int64(CloseReason.ADL),
    )
    if after != ROW_NONE:
        events.emit_position_changed(state, after)
    events.emit_closed_order(state, int64(ORDER_MET), int64(CloseReason.ADL), int64(ResultCode.OK))
    fitting.account_fit(state, account_row, task.market_row, after)


@kernel
def rest_fill(state, lots):
    """Fill the liquidation from the house: nobody is left who can be asked."""
    task = state.adl
    sign = state.taker.side_sign
    notional_e6 = fill_e6(state, lots)
    liquidated_note(state, lots)
    events.emit_trade(state, task.market_row, lots, notional_e6, int64(state.orders[ORDER_IN_HAND].side))
    liquidated_book(state)
    execution.house_take(state, task.market_row, sign, int64(0), task.price_ticks, lots, notional_e6)


@kernel
def cell_at(side, place):
    """Return the cell of a place in a side's ranking."""
    return place if side == LONGS else POSITIONS_CAPACITY - 1 - place


@kernel
def heap_before(state, side, left, right):
    """Return whether one place of a heap is asked before another: the higher score, then the older position."""
    one = state.adl_cells[cell_at(side, left)]
    other = state.adl_cells[cell_at(side, right)]
    if one.score != other.score:
        return one.score > other.score
    return one.position_id < other.position_id


@kernel
def heap_swap(state, side, left, right):
    """Exchange two places of a heap."""
    one = state.adl_cells[cell_at(side, left)]
    other = state.adl_cells[cell_at(side, right)]
    position_id = one.position_id
    points = one.score
    row = one.row
    one.position_id = other.position_id
    one.score = other.score
    one.row = other.row
    other.position_id = position_id
    other.score = points
    other.row = row


@kernel
def rank_rise(state, side, place):
    """Let what stands right behind a heap's end rise into it."""
    while place > 0 and heap_before(state, side, place, (place - 1) // 2):
        heap_swap(state, side, place, (place - 1) // 2)
        place = (place - 1) // 2


@kernel
def heap_take(state, side):
    """Take the position that is asked next out of the heap: it then stands right behind its end."""
    task = state.adl
    task.heap_count -= 1
    last = task.heap_count
    heap_swap(state, side, int64(0), last)
    place = int64(0)
    while 2 * place + 1 < last:
        child = 2 * place + 1
        if child + 1 < last and heap_before(state, side, child + 1, child):
            child += 1
        if not heap_before(state, side, child, place):
            break
        heap_swap(state, side, place, child)
        place = child


@kernel
def gone_drop(state, side):
    """Put the position that was taken out last, which has ended, behind all that go back."""
    task = state.adl
    task.counts[side] -= 1
    heap_swap(state, side, task.heap_count, task.counts[side])


@kernel
def ranking_restore(state, side):
    """Put back all that was taken out of a heap and has not ended."""
    task = state.adl
    while task.heap_count < task.counts[side]:
        rank_rise(state, side, task.heap_count)
        task.heap_count += 1
