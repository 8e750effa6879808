"""
One fill onto one position: open, increase, reduce, close, flip; and every move of money that it causes.
"""

from dataclasses import dataclass
from fractions import Fraction

from tests.reference.markets import Market
from tests.reference.orders import order_close
from tests.reference.state import (
    EXTERNAL,
    FEES,
    FIRST_USER,
    HOUSE,
    INSURANCE,
    Account,
    Order,
    Position,
    State,
    position_event,
    price_average_text,
)
from tests.reference.texts import ceil_of, floor_of, money_text

PPM = 1_000_000
COUNTERS = {EXTERNAL: "external", HOUSE: "house", FEES: "fees", INSURANCE: "insurance"}


@dataclass
class Plan:
    """What one fill would do to one position; amounts in micro-USDC, nothing written yet."""

    sign: int
    lots: int
    ticks: int
    notional: int
    fee: int
    close_lots: int = 0
    cost_part: int = 0
    released: int = 0
    pnl: int = 0
    cash: int = 0
    open_lots: int = 0
    open_notional: int = 0
    margin: int = 0
    loss: int = 0
    deficit: int = 0  # what the venue pays of a closing that lacks cash
    from_free: int = 0  # what free pays of it: the share of a flip's fee that its opening part caused


def fill_plan(
    market: Market, position: Position | None, sign: int, lots: int, ticks: int, rate: str, leverage: int
) -> Plan:
    """Return what a fill of `lots` at `ticks` would do; `rate` names the fee, the liquidation's among them."""
    notional = lots * ticks * market.unit
    plan = Plan(sign, lots, ticks, notional, ceil_of(Fraction(notional * market.rates[rate], PPM)))
    held = position.lots if position is not None else 0
    if position is not None and held * sign < 0:
        plan.close_lots = min(lots, abs(held))
        plan.cost_part = ceil_of(Fraction(position.cost * plan.close_lots, abs(held)))
        plan.released = floor_of(Fraction(position.margin * plan.close_lots, abs(held)))
        plan.pnl = -sign * plan.close_lots * ticks * market.unit - plan.cost_part
        if rate == "fee_liquidation_ppm":
            plan.fee = min(plan.fee, max(0, plan.released + plan.pnl))
        plan.cash = plan.released + plan.pnl - plan.fee
    plan.open_lots = lots - plan.close_lots
    if plan.open_lots:
        plan.open_notional = plan.open_lots * ticks * market.unit
        plan.margin = ceil_of(Fraction(plan.open_notional, leverage))
        if plan.close_lots and plan.cash < 0:
            own_fee = ceil_of(Fraction(plan.close_lots * ticks * market.unit * market.rates[rate], PPM))
            plan.deficit = max(0, own_fee - plan.released - plan.pnl)
            plan.from_free = -plan.cash - plan.deficit
        plan.loss = max(0, sign * (plan.open_notional - plan.open_lots * market.mark * market.unit))
    elif plan.close_lots == abs(held):
        plan.deficit = max(0, -plan.cash)
    return plan


def plan_needs(plan: Plan) -> int:
    """Return how much free money the opening part takes, less what the closing part brings."""
    fee = 0 if plan.close_lots else plan.fee
    return plan.margin + plan.loss + fee + plan.from_free - max(0, plan.cash)


def plan_liquidatable(market: Market, position: Position | None, plan: Plan) -> bool:
    """Return whether the position that the opening part leaves would be liquidatable at once."""
    if not plan.open_lots:
        return False
    lots, cost, margin = plan.sign * plan.open_lots, plan.sign * plan.open_notional, plan.margin + plan.loss
    if position is not None and not plan.close_lots:
        lots, cost, margin = lots + position.lots, cost + position.cost, margin + position.margin
    return market.liquidatable(lots, cost, margin)


def leg(state: State, account: Account, amount: int, counter: str, reason: str, reference: int) -> None:
    """Add `amount` to the account's free money and tell a user of it."""
    if not amount:
        return
    account.free += amount
    if account.account_id >= FIRST_USER:
        state.emit(
            "ledger",
            account=account.account_id,
            amount=money_text(amount),
            counter=counter,
            reason=reason,
            ref=reference,
            free_after=money_text(account.free),
        )


def transfer(state: State, source: int, target: int, amount: int, reason: str, reference: int) -> None:
    """Move money between two accounts, both legs at once."""
    leg(state, state.accounts[source], -amount, COUNTERS.get(target, ""), reason, reference)
    leg(state, state.accounts[target], amount, COUNTERS.get(source, ""), reason, reference)


def margin_move(state: State, position: Position, amount: int, reference: int) -> None:
    """Move money from the account's free cell into the margin of its position; negative brings it back."""
    position.margin += amount
    account = state.accounts[position.account_id]
    leg(state, account, -amount, f"position:{position.position_id}", "margin", reference)


def house_fill(state: State, market: Market, sign: int, lots: int, ticks: int) -> None:
    """Book the other side of a fill on the house, against the house's own cost."""
    held = state.house[market.name]
    notional = lots * ticks * market.unit
    if held.lots * sign < 0:
        close_lots = min(lots, abs(held.lots))
        cost_part = ceil_of(Fraction(held.cost * close_lots, abs(held.lots)))
        state.accounts[HOUSE].free += -sign * close_lots * ticks * market.unit - cost_part
        held.lots += sign * close_lots
        held.cost -= cost_part
        lots -= close_lots
        notional = lots * ticks * market.unit
    held.lots += sign * lots
    held.cost += sign * notional


def fill_commit(
    state: State, order: Order, position: Position | None, plan: Plan, leverage: int, maker: bool, reason: str
) -> Position | None:
    """Write a planned fill: money, position, house, order; returns the position that is open afterwards, if any."""
    market = order.market
    flips = plan.close_lots > 0 and plan.open_lots > 0
    ticket = order.position_id == -1
    order.position_id = state.counters["position"] + 1
    if position is not None and not flips:
        order.position_id = position.position_id
    order.lots_filled += plan.lots
    order.notional_filled += plan.notional
    order.fee += plan.fee
    order.pnl += plan.pnl
    fill_events(state, order, plan, state.next_id("fill"), maker)
    after = position
    if position is not None and plan.close_lots:
        position_reduce(state, order, position, plan)
        if not position.lots:
            position_end(state, position, order, "flipped" if flips else reason)
            after = None
    if plan.open_lots:
        if after is None:
            position_id = state.next_id("position")
            kind, direction = "ticket" if ticket else "net", "long" if plan.sign > 0 else "short"
            after = Position(position_id, order.account_id, market, kind, direction, leverage, state.log_time_us)
            state.positions[position_id] = after
        position_increase(state, order, after, plan)
    house_fill(state, market, -plan.sign, plan.lots, plan.ticks)
    return after


def fill_events(state: State, order: Order, plan: Plan, fill_id: int, maker: bool) -> None:
    """Emit the fill and the public trade; the side of a trade is the taker's."""
    market = order.market
    sides = {1: "buy", -1: "sell"}
    state.emit(
        "fill",
        account=order.account_id,
        market=market.name,
        order_id=order.order_id,
        position_id=order.position_id,
        fill_id=fill_id,
        side=sides[plan.sign],
        maker=maker,
        price=market.price_text(plan.ticks),
        qty=market.qty_text(plan.lots),
        fee=money_text(plan.fee),
        pnl_realised=money_text(plan.pnl),
    )
    state.emit(
        "trade",
        market=market.name,
        price=market.price_text(plan.ticks),
        qty=market.qty_text(plan.lots),
        side=sides[-plan.sign if maker else plan.sign],
    )


def position_increase(state: State, order: Order, position: Position, plan: Plan) -> None:
    """Write the opening part of a fill."""
    position.lots += plan.sign * plan.open_lots
    position.cost += plan.sign * plan.open_notional
    position.lots_opened += plan.open_lots
    position.notional_opened += plan.open_notional
    if not plan.close_lots:
        position.fees += plan.fee
        transfer(state, order.account_id, FEES, plan.fee, "fee", order.order_id)
    margin_move(state, position, plan.margin + plan.loss, order.order_id)


def position_reduce(state: State, order: Order, position: Position, plan: Plan) -> None:
    """Write the closing part of a fill: release margin, book the result, take the fee, cover what is missing."""
    account = state.accounts[position.account_id]
    forced = order.kind == "liquidation"
    position.lots += plan.sign * plan.close_lots
    position.cost -= plan.cost_part
    position.pnl += plan.pnl
    position.fees += plan.fee
    position.lots_closed += plan.close_lots
    position.notional_closed += plan.close_lots * plan.ticks * position.market.unit
    margin_move(state, position, -plan.released, order.order_id)
    leg(state, account, plan.pnl, f"position:{position.position_id}", "pnl", order.order_id)
    target, fee_reason = (INSURANCE, "liquidation_fee") if forced else (FEES, "fee")
    transfer(state, account.account_id, target, plan.fee, fee_reason, order.order_id)
    if plan.cash < 0 and position.lots:
        margin_move(state, position, plan.cash, order.order_id)
    else:
        missing = plan.deficit
        for payer in (INSURANCE, HOUSE):
            paid = min(missing, state.accounts[INSURANCE].free) if payer == INSURANCE else missing
            missing -= paid
            if paid:
                transfer(state, payer, account.account_id, paid, "deficit", order.order_id)
                state.emit(
                    "deficit",
                    account=account.account_id,
                    market=position.market.name,
                    position_id=position.position_id,
                    payer=COUNTERS[payer],
                    amount=money_text(paid),
                )


def position_end(state: State, position: Position, cause: Order, reason: str) -> None:
    """Take a position without lots off the table, its SL and TP with it, and tell its whole life."""
    market = position.market
    assert position.lots == 0
    assert position.cost == 0
    assert position.margin == 0
    for name in ("take_profit_market", "stop_market"):
        bound = state.bound_orders(position).get(name)
        if bound is not None and bound is not cause:
            order_close(state, bound, "position_closed")
    state.emit(
        "closed_position",
        account=position.account_id,
        market=market.name,
        position_id=position.position_id,
        kind=position.kind,
        direction=position.direction,
        qty=market.qty_text(position.lots_closed),
        price_entry=price_average_text(market, position.notional_opened, position.lots_opened),
        price_exit=price_average_text(market, position.notional_closed, position.lots_closed),
        pnl_realised=money_text(position.pnl),
        fees=money_text(position.fees),
        reason=reason,
        opened_us=position.opened_us,
        closed_us=state.log_time_us,
    )
    position_event(state, position)
    del state.positions[position.position_id]
