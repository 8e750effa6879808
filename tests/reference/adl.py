"""
Auto-deleveraging: what a liquidation in a market without a house could not sell is closed against the opposite side.
"""

from tests.reference.booking import fill_begin, fill_end, trade_event
from tests.reference.cross import equity_of, position_backing
from tests.reference.drafts import closing_draft
from tests.reference.fills import Plan, Slices, fill_plan
from tests.reference.fitting import account_fit
from tests.reference.images import position_event
from tests.reference.ledger import house_fill
from tests.reference.markets import Market
from tests.reference.orders import order_close
from tests.reference.state import Order, Position, State

SCORE_MAX = 2**62 - 1
PASSED_MAX = 512  # that one deleveraging may pass over
PPM = 1_000_000


def deleverage(state: State, order: Order, position: Position, price: int) -> Position | None:
    """Close what is left of a liquidation at its bankruptcy price: position by position, the house at last."""
    left: Position | None = position
    passed = 0
    for asked in candidates(state, position):
        if not order.lots_open or left is None or passed == PASSED_MAX:
            break
        slices = [(min(order.lots_open, abs(asked.lots)), price)]
        theirs = fill_plan(asked.market, asked, -order.sign, slices, 0, 1, backing=position_backing(state, asked))
        if theirs.close_alone < 0 or (position.cross and asked.account_id == position.account_id):
            passed += 1
        else:
            left = asked_close(state, order, left, asked, theirs, slices)
    if left is not None and order.lots_open:
        left = house_close(state, order, left, [(order.lots_open, price)])
    return left


def candidates(state: State, position: Position) -> list[Position]:
    """Return the live positions on the opposite side as the market's turn has ranked them."""
    if state.ranking is None or state.ranking[0] is not position.market:
        state.ranking = position.market, {sign: ranked(state, position.market, sign) for sign in (1, -1)}
    opposite = state.ranking[1][-1 if position.lots > 0 else 1]
    return [state.positions[position_id] for position_id in opposite if position_id in state.positions]


def ranked(state: State, market: Market, sign: int) -> list[int]:
    """Return the ids of users' positions of one side of a market, the highest score first, then the lowest id."""
    found = [row for row in state.positions.values() if row.market is market and row.lots * sign > 0]
    return [row.position_id for row in sorted(found, key=lambda row: (-score(state, row), row.position_id))]


def score(state: State, row: Position) -> int:
    """Return the rank of a position: what it has won on its cost, times its leverage on its equity."""
    value = row.lots * row.market.mark * row.market.unit
    won, notional = value - row.cost, abs(value)
    equity = equity_of(state, row.account_id) if row.cross else row.margin + won
    if equity <= 0:
        return SCORE_MAX
    ratio = min(abs(won) * PPM // max(1, abs(row.cost)), SCORE_MAX)
    if won > 0:
        return min(ratio * notional // equity, SCORE_MAX)
    return -min(ratio * equity // notional, SCORE_MAX)


def liquidated_plan(state: State, order: Order, position: Position, slices: Slices) -> Plan:
    """Return what a fill at the bankruptcy price does to the liquidated position; what rounding leaves is its fee."""
    backing = position_backing(state, position)
    plan = fill_plan(position.market, position, order.sign, slices, 0, 1, backing=backing)
    if backing is None and plan.cash > 0:
        plan.fee, plan.cash = plan.cash, 0
    return plan


def asked_close(
    state: State, order: Order, position: Position, asked: Position, theirs: Plan, slices: Slices
) -> Position | None:
    """Close lots of the liquidated position and of the one that is asked against each other; return what is left."""
    market, price = asked.market, slices[0][1]
    plan = liquidated_plan(state, order, position, slices)
    other = closing_draft(state, asked, theirs.lots)
    other.order_id, other.priority = state.next_id("order"), state.next_id("priority")
    other.kind, other.tif, other.price, other.status = "adl", None, price, "filling"
    fill_begin(state, order, position, plan, 0, maker=False)
    fill_begin(state, other, asked, theirs, 0, maker=False)
    trade_event(state, market, plan, order.sign)
    state.emit(
        "adl",
        account=asked.account_id,
        market=market.name,
        position_id=asked.position_id,
        order_id=other.order_id,
        liquidation_order_id=order.order_id,
        qty=market.qty_text(theirs.lots),
        price=market.price_text(price),
    )
    after = fill_end(state, order, position, plan, 1, "liquidation")
    their_after = fill_end(state, other, asked, theirs, 1, "adl")
    if their_after is not None:
        position_event(state, their_after)
    order_close(state, other, "adl")
    account_fit(state, asked.account_id, market)
    return after


def house_close(state: State, order: Order, position: Position, slices: Slices) -> Position | None:
    """Close what nobody could be asked for against the house; return what is left of the position."""
    plan = liquidated_plan(state, order, position, slices)
    fill_begin(state, order, position, plan, 0, maker=False)
    trade_event(state, position.market, plan, order.sign)
    after = fill_end(state, order, position, plan, 1, "liquidation")
    house_fill(state, position.market, -order.sign, slices)
    return after
