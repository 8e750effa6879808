"""
A walk is carried out: step after step, then what the taker and its makers owe their positions, orders and accounts.
"""

from tests.reference.booking import fill_begin, fill_end, trade_event
from tests.reference.brackets import positions_shrink
from tests.reference.fills import Plan, Slices, fill_plan, holding_after
from tests.reference.images import account_event, order_event, position_event
from tests.reference.ledger import house_fill
from tests.reference.markets import Market
from tests.reference.orders import (
    cover_left,
    order_close,
    reserve_freed,
    reserve_move,
    reserve_of,
    reserves_update,
    sibling_cut,
)
from tests.reference.state import Order, Position, State
from tests.reference.trial import Trial
from tests.reference.walk import Step, Taker, Walk, offer_of

MICROS_LACKING = 2  # what ceilings may lack of a maker's margin
FORCED = {"liquidation": "liquidation"}


def execute(state: State, order: Order, trial: Trial, reason: str = "filled") -> None:
    """Carry out a trial of an order that is in the table and awake; `reason` is why a position ends by it."""
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
    if position is not None and (order.lots_filled > before or order.reduce_only):
        position_event(state, position)
    order_settle(state, order, trial, order.lots_filled - before)
    for account_id in dict.fromkeys([order.account_id, *accounts]):
        account_follow(state, account_id, market)


def account_follow(state: State, account_id: int, market: Market) -> None:
    """Bring an account's reduce-only orders and reserves in a market up to date, and tell what it has."""
    positions_shrink(state, account_id, market)
    reserves_update(state, account_id, market)
    account_event(state, account_id)


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
    plan = fill_plan(market, position, order.sign, step.slices, taker.fee_ppm, taker.leverage, taker.forced)
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
    plan = fill_plan(market, position, maker.sign, slices, maker.fee_maker_ppm, leverage)
    if plan.open_lots:
        free = state.accounts[maker.account_id].free + reserve_freed(state, maker, plan.lots)
        plan.margin -= max(0, -(free + plan.free_change))
    return plan


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
    market, account = maker.market, state.accounts[maker.account_id]
    position = maker_position(state, maker)
    leverage = state.leverage_net(maker.account_id, market)
    slices = [(lots, maker.price or 0)]
    plan = fill_plan(market, position, maker.sign, slices, maker.fee_maker_ppm, leverage)
    if plan.open_lots:
        left = account.free + reserve_freed(state, maker, lots) + plan.free_change + plan.margin + plan.loss
        lacking = plan.margin - left
        plan.margin = min(plan.margin, left)
        plan.loss = min(plan.loss, left - plan.margin)
        after = holding_after(None if plan.close_lots else position, plan.opening)
        poor = lacking > MICROS_LACKING
        if poor or market.liquidatable(after.lots, after.cost, after.margin):
            order_close(state, maker, "margin_insufficient" if poor else "would_be_liquidated")
            account_follow(state, account.account_id, market)
            return
    opens = plan.open_lots and (position is None or plan.close_lots)
    fill_begin(state, maker, position, plan, state.next_id("position") if opens else 0, maker=True)
    trade_event(state, market, plan, -maker.sign)
    maker_release(state, maker)
    their_after = fill_end(state, maker, position, plan, leverage, "filled")
    house_fill(state, market, -maker.sign, slices)
    budget_use(market, maker.sign, lots)
    maker_settle(state, maker, their_after, lots)
    account_follow(state, account.account_id, market)
