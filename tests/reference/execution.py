"""
A walk is carried out: step after step, then what the taker and its makers owe their positions, orders and accounts.
"""

from collections.abc import Callable

from tests.reference.booking import fill_begin, fill_end, trade_event
from tests.reference.cross import backing_of, fills_cross, health, holds_cross, pool_of, reserved_cross, spare_of
from tests.reference.fills import Backing, Plan, Slices, fill_plan, holding_after
from tests.reference.fitting import account_fit
from tests.reference.images import order_event, position_event
from tests.reference.ledger import house_fill
from tests.reference.makers import MICROS_LACKING
from tests.reference.markets import Market
from tests.reference.orders import (
    cover_left,
    order_close,
    reserve_freed,
    reserve_move,
    reserve_of,
    sibling_cut,
)
from tests.reference.state import Order, Position, State
from tests.reference.trial import Trial
from tests.reference.walk import Step, Taker, Walk, offer_of

FORCED = {"liquidation": "liquidation"}


def execute(
    state: State, order: Order, trial: Trial, reason: str = "filled",
    rest: Callable[[Position], Position | None] | None = None,
) -> None:  # fmt: skip
    """
    Carry out a trial of an order that is in the table and awake; `reason` is why a position ends by it.

    What the walk leaves of a liquidation is closed by `rest`, which returns what is left of the position then.
    """
    market, walk = order.market, trial.walk
    order.status = "filling"
    new_id = state.next_id("position") if walk.opens_new else 0
    position, before = trial.taker.position, order.lots_filled
    accounts: list[int] = []
    for step in walk.steps:
        if step.maker is not None and step.maker.account_id not in accounts:
            accounts.append(step.maker.account_id)
        if step.maker is not None and step.reason is not None:
            order_close(state, step.maker, step.reason)
        else:
            position = step_fill(state, order, trial.taker, step, position, new_id, reason)
    if rest is not None and position is not None and order.lots_open:
        position = rest(position)
    if position is not None and (order.lots_filled > before or order.reduce_only):
        position_event(state, position)
    order_settle(state, order, trial, order.lots_filled - before)
    for account_id in dict.fromkeys([order.account_id, *accounts]):
        account_fit(state, account_id, market)


def order_rests(state: State, order: Order) -> None:
    """Let an order rest as the youngest of its side, and tell it with what it keeps back, its bracket after it."""
    if not order.reduce_only:
        cover = cover_left(state, order.account_id, order.market, order.sign)
        order.uncovered = max(0, order.lots_open - cover)
        reserve_move(state, order, reserve_of(state, order, order.uncovered))
    order.status = "resting"
    order_event(state, order)
    for child in state.children(order.order_id):
        order_event(state, child)


def order_settle(state: State, order: Order, trial: Trial, filled: int) -> None:
    """Let a taker rest or end once its walk is over."""
    if trial.rest or trial.trimmed:
        order.lots = order.lots_filled + trial.rest
    sibling_cut(state, order, filled)
    if trial.rest:
        order_rests(state, order)
    elif order.lots_open:
        order_close(state, order, unfilled_reason(order, trial.walk))
    else:
        order_close(state, order, FORCED.get(order.kind, "filled"))


def unfilled_reason(order: Order, walk: Walk) -> str:
    """Return why an order that may not rest ended before it was full."""
    if walk.cut:
        return "self_trade"
    if not walk.beyond or (walk.tired and order.tif in ("GTC", "GTD")):
        return "liquidity_exhausted"
    return "ioc_unfilled" if order.limited else "slippage_exceeded"


def step_fill(
    state: State, order: Order, taker: Taker, step: Step, position: Position | None, new_id: int, reason: str
) -> Position | None:
    """Fill one step with the house or a user; return the taker's position afterwards."""
    market, maker = order.market, step.maker
    backing = backing_of(state, order.account_id, market) if taker.cross else None
    plan = fill_plan(market, position, order.sign, step.slices, taker.fee_ppm, taker.leverage, taker.forced, backing)
    fill_begin(state, order, position, plan, new_id, maker=False)
    if maker is None:
        trade_event(state, market, plan, order.sign)
        after = fill_end(state, order, position, plan, taker.leverage, reason)
        house_fill(state, market, -order.sign, step.slices)
        budget_use(market, order.sign, plan.lots)
        return after
    theirs = maker_position(state, maker)
    their_plan = maker_plan(state, maker, theirs, step.slices)
    opens = their_plan.open_lots and (theirs is None or their_plan.close_lots)
    leverage = state.leverage_net(maker.account_id, market)
    fill_begin(state, maker, theirs, their_plan, state.next_id("position") if opens else 0, maker=True)
    trade_event(state, market, plan, order.sign)
    after = fill_end(state, order, position, plan, taker.leverage, reason)
    maker_release(state, maker)
    their_after = fill_end(state, maker, theirs, their_plan, leverage, "filled")
    maker_settle(state, maker, their_after, plan.lots)
    return after


def budget_use(market: Market, sign: int, lots: int) -> None:
    """Count lots of the quote that a side has taken, as far as they were on offer."""
    if market.liquidity == "quote_sized":
        left = sum(lots for _, lots in offer_of(market, sign))
        market.used[sign] += min(lots, left)


def maker_position(state: State, maker: Order) -> Position | None:
    """Return the position that a resting order acts on."""
    if maker.reduce_only:
        return state.positions.get(maker.position_id or 0)
    return state.position_net(maker.account_id, maker.market)


def maker_plan(state: State, maker: Order, position: Position | None, slices: Slices) -> Plan:
    """Return what a fill against another user does to a maker; the last micro that is lacking comes off the margin."""
    market = maker.market
    leverage = state.leverage_net(maker.account_id, market)
    backing = maker_backing(state, maker)
    plan = fill_plan(market, position, maker.sign, slices, maker.fee_maker_ppm, leverage, backing=backing)
    if plan.open_lots and not plan.cross:
        free = state.accounts[maker.account_id].free + reserve_freed(state, maker, plan.lots)
        plan.margin -= max(0, -(free + plan.free_change))
    return plan


def maker_backing(state: State, maker: Order) -> Backing | None:
    """Return what stands behind the position that a resting order fills if it is a cross one."""
    return backing_of(state, maker.account_id, maker.market) if fills_cross(state, maker) else None


def maker_release(state: State, maker: Order) -> None:
    """Set free what a fill, counted already, no longer needs."""
    reserve_move(state, maker, maker.reserved - reserve_freed(state, maker, 0))
    maker.uncovered = min(maker.uncovered, maker.lots_open)


def maker_settle(state: State, maker: Order, after: Position | None, lots: int) -> None:
    """Tell what a fill made of a resting order and of its position."""
    if after is not None:
        position_event(state, after)
    sibling_cut(state, maker, lots)
    if maker.order_id not in state.orders:
        return
    if maker.lots_open:
        order_event(state, maker)
    else:
        order_close(state, maker, "filled")


def house_takes(state: State, maker: Order, lots: int) -> None:
    """Fill a resting order that the quote has met, at its own limit, or end it when it would be liquidated at once."""
    market = maker.market
    position = maker_position(state, maker)
    leverage = state.leverage_net(maker.account_id, market)
    slices = [(lots, maker.price or 0)]
    backing = maker_backing(state, maker)
    plan = fill_plan(market, position, maker.sign, slices, maker.fee_maker_ppm, leverage, backing=backing)
    carried = house_cross if plan.cross else house_isolated
    reason = carried(state, maker, position, plan) if plan.open_lots else None
    if reason is not None:
        order_close(state, maker, reason)
        account_fit(state, maker.account_id, market)
        return
    opens = plan.open_lots and (position is None or plan.close_lots)
    fill_begin(state, maker, position, plan, state.next_id("position") if opens else 0, maker=True)
    trade_event(state, market, plan, -maker.sign)
    maker_release(state, maker)
    their_after = fill_end(state, maker, position, plan, leverage, "filled")
    house_fill(state, market, -maker.sign, slices)
    budget_use(market, maker.sign, lots)
    maker_settle(state, maker, their_after, lots)
    account_fit(state, maker.account_id, market)


def house_isolated(state: State, maker: Order, position: Position | None, plan: Plan) -> str | None:
    """Return why a resting order that the house meets must end; else bring of margin and open loss what there is."""
    market, account = maker.market, state.accounts[maker.account_id]
    left = account.free + reserve_freed(state, maker, plan.lots) + plan.free_change + plan.margin + plan.loss
    lacking = plan.margin - left
    plan.margin = min(plan.margin, left)
    reach = left - plan.margin
    spare = 0
    if holds_cross(state, account.account_id):
        spare = spare_of(state, account.account_id, reserved_cross(state, account.account_id))
    plan.loss = min(plan.loss, max(0, min(reach, reach + spare)))
    after = holding_after(None if plan.close_lots else position, plan.opening)
    if lacking > MICROS_LACKING or (reach - plan.loss < account.free and reach - plan.loss + spare < 0):
        return "margin_insufficient"
    return "would_be_liquidated" if market.liquidatable(after.lots, after.cost, after.margin) else None


def house_cross(state: State, maker: Order, position: Position | None, plan: Plan) -> str | None:
    """Return why a resting order of a cross position that the house meets must end, None when it is filled."""
    account = state.accounts[maker.account_id]
    if account.free + reserve_freed(state, maker, plan.lots) + plan.free_change < plan.need - MICROS_LACKING:
        return "margin_insufficient"
    cash = backing_of(state, maker.account_id, maker.market).cash + plan.free_change
    pool = pool_of(state, maker.account_id, maker.market, holding_after(position, plan))
    return "would_be_liquidated" if health(cash, pool) <= 0 else None
