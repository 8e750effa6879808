"""
An order meets the house: it is filled whole, and everything follows that hangs on its position.
"""

from tests.reference.fills import Plan, fill_commit, fill_plan, plan_liquidatable
from tests.reference.orders import bracket_attach, leverage_net, order_close, reserves_update
from tests.reference.state import Order, Position, State, account_event, position_event


def execute(
    state: State, order: Order, position: Position | None, plan: Plan, leverage: int, maker: bool, reason: str
) -> Position | None:
    """Fill an order whole by plan, end it, and let everything follow that hangs on the position."""
    after = fill_commit(state, order, position, plan, leverage, maker, reason)
    bracket_attach(state, order, after)
    if after is not None:
        position_event(state, after)
    order_close(state, order, "liquidation" if order.kind == "liquidation" else "filled")
    reserves_update(state, order.account_id, order.market)
    account_event(state, order.account_id)
    return after


def execute_maker(state: State, order: Order) -> None:
    """Fill a resting order that the quote has met, at its limit, or cancel it when it would be liquidated at once."""
    market, account = order.market, state.accounts[order.account_id]
    position = state.position_net(order.account_id, market)
    leverage = leverage_net(market)
    plan = fill_plan(market, position, order.sign, order.lots, order.price or 0, "fee_maker_ppm", leverage)
    if plan.open_lots:
        fee = 0 if plan.close_lots else plan.fee
        left = account.free + order.reserved + max(0, plan.cash) - fee - plan.from_free
        plan.margin = min(plan.margin, left)
        plan.loss = min(plan.loss, left - plan.margin)
        if plan_liquidatable(market, position, plan):
            order_close(state, order, "would_be_liquidated")
            reserves_update(state, account.account_id, market)
            account_event(state, account.account_id)
            return
    kept, order.reserved = order.reserved, 0
    account.free += kept
    account.reserved -= kept
    order.status = "filling"
    execute(state, order, position, plan, leverage, maker=True, reason="filled")
