"""
A fill is written: onto the position, with every leg, end and bracket that it causes, in the order they are told.
"""

from tests.reference.brackets import bound_end, bracket_follow
from tests.reference.fills import Plan
from tests.reference.images import SIDES, position_event
from tests.reference.ledger import deficit_pay, leg, margin_move, transfer
from tests.reference.markets import Market
from tests.reference.state import FEES, INSURANCE, Order, Position, State
from tests.reference.texts import money_text

LIFE_MAX = 2**58  # micro-USDC of a position's openings, or closings, that are remembered


def fill_begin(state: State, order: Order, position: Position | None, plan: Plan, new_id: int, maker: bool) -> None:
    """Count a fill on its order and tell it; `new_id` is the position that the fill opens, if it opens one."""
    opens = plan.open_lots and (position is None or plan.close_lots)
    assert opens or position is not None
    order.position_id = new_id if opens or position is None else position.position_id
    order.lots_filled += plan.lots
    order.notional_filled += plan.notional
    order.fee += plan.fee
    order.pnl += plan.pnl
    market = order.market
    market.touched = True
    state.emit(
        "fill",
        account=order.account_id,
        market=market.name,
        order_id=order.order_id,
        position_id=order.position_id,
        fill_id=state.next_id("fill"),
        side=SIDES[plan.sign],
        maker=maker,
        price=market.exact_text(plan.notional, plan.lots),
        qty=market.qty_text(plan.lots),
        notional=money_text(plan.notional),
        fee=money_text(plan.fee),
        pnl_realised=money_text(plan.pnl),
    )


def trade_event(state: State, market: Market, plan: Plan, sign: int) -> None:
    """Tell the public trade; its side is the taker's."""
    state.emit(
        "trade",
        market=market.name,
        price=market.exact_text(plan.notional, plan.lots),
        qty=market.qty_text(plan.lots),
        side=SIDES[sign],
    )


def fill_end(
    state: State, order: Order, position: Position | None, plan: Plan, leverage: int, reason: str
) -> Position | None:
    """Write a fill onto its position, closing then opening, then its bracket; return the position that is open then."""
    after = position
    if position is not None and plan.close_lots:
        position_reduce(state, order, position, plan)
        if not position.lots:
            position_end(state, position, order, "flipped" if plan.open_lots else reason)
            after = None
    if plan.open_lots:
        if after is None:
            kind, direction = "ticket" if order.ticket else "net", "long" if plan.sign > 0 else "short"
            now = state.log_time_us
            after = Position(order.position_id or 0, order.account_id, order.market, kind, direction, leverage, now)
            after.cross = plan.cross
            state.positions[after.position_id] = after
        position_increase(state, order, after, plan)
    bracket_follow(state, order, after, plan.lots)
    return after


def life_sums(lots: int, notional: int, lots_more: int, notional_more: int) -> tuple[int, int]:
    """Return what a position was opened or closed with after one more fill; halved before it would be too much."""
    if notional + notional_more > LIFE_MAX:
        lots, notional = lots // 2, notional // 2
    return lots + lots_more, notional + notional_more


def position_increase(state: State, order: Order, position: Position, plan: Plan) -> None:
    """Write the opening part of a fill."""
    position.called = False
    position.lots += plan.sign * plan.open_lots
    position.cost += plan.sign * plan.open_notional
    sums = life_sums(position.lots_opened, position.notional_opened, plan.open_lots, plan.open_notional)
    position.lots_opened, position.notional_opened = sums
    if not plan.close_lots:
        position.fees += plan.fee
        transfer(state, order.account_id, FEES, plan.fee, "fee", order.order_id)
    margin_move(state, position, plan.moved, order.order_id)


def position_reduce(state: State, order: Order, position: Position, plan: Plan) -> None:
    """Write the closing part of a fill: release margin, book the result, take the fee, cover what is missing."""
    account = state.accounts[position.account_id]
    forced = order.kind == "liquidation"
    position.called = False
    position.lots += plan.sign * plan.close_lots
    position.cost -= plan.cost_part
    position.pnl += plan.pnl
    position.fees += plan.fee
    sums = life_sums(position.lots_closed, position.notional_closed, plan.close_lots, plan.close_notional)
    position.lots_closed, position.notional_closed = sums
    margin_move(state, position, -plan.released, order.order_id)
    leg(state, account, plan.pnl, f"position:{position.position_id}", "pnl", order.order_id)
    target, fee_reason = (INSURANCE, "liquidation_fee") if forced else (FEES, "fee")
    transfer(state, account.account_id, target, plan.fee, fee_reason, order.order_id)
    if plan.cash < 0 and position.lots and not plan.cross:
        margin_move(state, position, plan.cash, order.order_id)
    else:
        deficit_pay(state, position, plan.deficit, order.order_id)


def position_end(state: State, position: Position, cause: Order, reason: str) -> None:
    """Take a position without lots off the table, what is bound to it with it, and tell its whole life."""
    market = position.market
    assert position.lots == 0
    assert position.cost == 0
    assert position.margin == 0
    bound_end(state, position, cause)
    state.emit(
        "closed_position",
        account=position.account_id,
        market=market.name,
        position_id=position.position_id,
        kind=position.kind,
        direction=position.direction,
        qty=market.qty_text(position.lots_closed),
        price_entry=market.average_text(position.notional_opened, position.lots_opened),
        price_exit=market.average_text(position.notional_closed, position.lots_closed),
        pnl_realised=money_text(position.pnl),
        fees=money_text(position.fees),
        funding=money_text(position.funding),
        reason=reason,
        opened_us=position.opened_us,
        closed_us=state.log_time_us,
    )
    position_event(state, position)
    if position.cross:
        state.accounts[position.account_id].ended = position
    del state.positions[position.position_id]
