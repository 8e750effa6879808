"""
The walk of a taker through users' orders and the quote: who, how much, at what price; imagined only, nothing written.
"""

from dataclasses import dataclass, field

from tests.reference.fills import Holding, Plan, Slices, fill_plan, holding_after, notional_of
from tests.reference.markets import WINDOW_TICKS, Market
from tests.reference.orders import reserve_freed
from tests.reference.state import Order, Position, State

STEPS_MAX = 512
LIVE_MAX = 30_000
ENDLESS = 10**30
Offer = list[list[int]]  # [ticks, lots] of each level, the best first


@dataclass
class Taker:
    """What an order that executes now wants."""

    account_id: int
    market: Market
    sign: int
    lots: int
    bound: int | None
    stp: str
    whole: bool
    position: Position | None
    leverage: int
    fee_ppm: int
    forced: bool = False
    cap: int | None = None
    offer: Offer | None = None  # instead of what the market's mode offers


@dataclass
class Step:
    """One step of a walk: lots of the quote, lots of a user's order, or a user's order that is cancelled."""

    slices: Slices = field(default_factory=list)
    maker: Order | None = None
    reason: str | None = None


@dataclass
class Walk:
    """Where a walk would lead: its steps, what is filled, why it ended, and the books as they would be then."""

    steps: list[Step] = field(default_factory=list)
    filled: int = 0
    spent: int = 0
    opened: int = 0
    opens_new: bool = False
    cut: bool = False  # by self-trade prevention
    capped: bool = False  # by the money cap
    tired: bool = False  # by the most steps
    beyond: bool = False  # more would be there beyond the bound
    holding: Holding = field(default_factory=Holding)
    free: int = 0


def better(sign: int, price: int, other: int) -> bool:
    """Return whether a taker of this side prefers `price` to `other`."""
    return sign * (other - price) > 0


def offer_of(market: Market, sign: int, forced: bool = False) -> Offer:
    """Return what the outside quote offers a taker of this side; to a forced one its last level has no end."""
    if market.liquidity == "book":
        return []
    if market.liquidity == "quote":
        return [[market.touch(sign), ENDLESS]]
    size = min(market.ask_size if sign > 0 else market.bid_size, market.limits["order_lots"])
    spread = market.ask - market.bid
    found: Offer = []
    for level in range(market.limits["depth_levels"]):
        price = market.touch(sign) + sign * level * spread
        if not 1 <= price < WINDOW_TICKS:
            break
        found.append([price, max(0, min(size, (level + 1) * size - market.used[sign]))])
    if forced:
        found[-1][1] = ENDLESS
    return found


def makers_of(state: State, market: Market, sign: int) -> list[Order]:
    """Return users' resting orders that a taker of this side may meet, the best price first, then the oldest."""
    found = [
        order
        for order in state.orders.values()
        if order.market is market
        and order.status == "resting"
        and order.sign == -sign
        and market.in_band(order.price or 0)
    ]
    return sorted(found, key=lambda order: (sign * (order.price or 0), order.priority))


class Planner:
    """Imagines one walk; its books start as the venue's and change with every step."""

    def __init__(self, state: State, taker: Taker) -> None:
        self.state, self.taker, self.walk = state, taker, Walk()
        self.market, self.sign = taker.market, taker.sign
        offer = taker.offer if taker.offer is not None else offer_of(self.market, self.sign, taker.forced)
        self.offer = [list(level) for level in offer]
        self.makers = makers_of(state, self.market, self.sign)
        self.holdings: dict[int, Holding] = {
            row.position_id: Holding(row.lots, row.cost, row.margin)
            for row in state.positions.values()
            if row.market is self.market
        }
        self.nets: dict[int, int] = {
            row.account_id: row.position_id
            for row in state.positions.values()
            if row.market is self.market and row.kind == "net"
        }
        self.free = {key: account.free for key, account in state.accounts.items()}
        self.house = state.house[self.market.name].lots
        self.mine = Holding()
        if taker.position is not None:
            self.mine = self.holdings.pop(taker.position.position_id)
        self.pending: Slices = []
        self.users = True
        self.met = 0
        self.accounts_met: set[int] = set()

    def left(self) -> int:
        """Return the lots still wanted."""
        return self.taker.lots - self.walk.filled - sum(lots for lots, _ in self.pending)

    def room(self, price: int) -> int:
        """Return the lots that the money cap still pays for at a price."""
        if self.taker.cap is None:
            return ENDLESS
        return (self.taker.cap - self.walk.spent - notional_of(self.market, self.pending)) // (price * self.market.unit)

    def within(self, price: int) -> bool:
        """Return whether the taker may trade at a price."""
        return self.taker.bound is None or not better(self.sign, self.taker.bound, price)

    def run(self) -> Walk:
        """Return the whole walk."""
        going = True
        while going and self.left():
            maker = self.maker_next()
            going = self.quote_take(maker) and maker is not None and self.left() > 0 and self.maker_meet(maker)
        self.flush()
        walk = self.walk
        walk.holding, walk.free = self.mine, self.free[self.taker.account_id]
        quoted = any(lots and not self.within(price) for price, lots in self.offer)
        posted = any(not self.within(maker.price or 0) and self.there(maker) for maker in self.makers)
        walk.beyond = quoted or (self.users and posted)
        return walk

    def maker_next(self) -> Order | None:
        """Return the next order of a user within the bound; those without a position left to reduce are passed over."""
        while self.users and self.makers and self.within(self.makers[0].price or 0):
            maker = self.makers[0]
            if self.there(maker):
                return maker
            self.makers.pop(0)
        return None

    def there(self, maker: Order) -> bool:
        """Return whether an order of a user has something to fill: a reduce-only one needs its position."""
        return not maker.reduce_only or maker.account_id == self.taker.account_id or bool(self.reducible(maker))

    def reducible(self, maker: Order) -> int:
        """Return the lots of the position that a reduce-only order may still close."""
        held = self.holdings.get(maker.position_id or 0)
        return max(0, -maker.sign * held.lots) if held is not None else 0

    def quote_take(self, maker: Order | None) -> bool:
        """Take what the quote offers better than the maker, or all within the bound; return False at the cap's end."""
        for level in self.offer:
            price = level[0]
            if not self.within(price) or (maker is not None and not better(self.sign, price, maker.price or 0)):
                break
            lots = min(level[1], self.left(), self.room(price))
            if lots:
                self.pending.append((lots, price))
                level[1] -= lots
            if self.left() and level[1]:
                self.walk.capped = True
                return False
        return True

    def flush(self) -> None:
        """Book the pending lots of the quote as one fill."""
        if self.pending:
            plan = self.mine_plan(self.pending, self.mine)
            self.mine_book(plan)
            self.house -= self.sign * plan.lots
            self.walk.steps.append(Step(slices=self.pending))
            self.pending = []

    def mine_plan(self, slices: Slices, held: Holding) -> Plan:
        """Return what a fill does to the taker."""
        taker = self.taker
        return fill_plan(self.market, held, self.sign, slices, taker.fee_ppm, taker.leverage, taker.forced)

    def mine_book(self, plan: Plan) -> None:
        """Put a fill of the taker into its imagined books."""
        self.walk.opens_new = self.walk.opens_new or bool(plan.open_lots and self.mine.lots * self.sign <= 0)
        self.mine = holding_after(self.mine, plan)
        self.free[self.taker.account_id] += plan.free_change
        self.walk.filled += plan.lots
        self.walk.spent += plan.notional
        self.walk.opened += plan.open_lots

    def maker_meet(self, maker: Order) -> bool:
        """Fill, cancel or give up a user's order; return whether the walk goes on."""
        price = maker.price or 0
        if not self.room(price):
            self.walk.capped = True
            return False
        if self.too_many(maker):
            self.users = False
            return True
        self.makers.pop(0)
        if maker.account_id == self.taker.account_id:
            return self.own_meet(maker)
        wanted = min(self.left(), maker.lots_open)
        if maker.reduce_only:
            wanted = min(wanted, self.reducible(maker))
        lots = min(wanted, self.room(price))
        seen = holding_after(self.mine, self.mine_plan(self.pending, self.mine)) if self.pending else self.mine
        plan = self.mine_plan([(lots, price)], seen)
        if plan.close_lots and not self.taker.forced and plan.close_alone < 0:
            self.users = False
            return True
        self.flush()
        self.count(maker)
        reason, theirs, released = self.maker_test(maker, lots)
        if reason is not None:
            self.cancel(maker, reason)
            return True
        self.mine_book(self.mine_plan([(lots, price)], self.mine))
        self.maker_book(maker, theirs, released)
        self.walk.steps.append(Step(slices=[(lots, price)], maker=maker))
        self.walk.capped = lots < wanted
        return not self.walk.capped

    def too_many(self, maker: Order) -> bool:
        """Return whether the walk has met as many orders, or as large accounts, as one entry may."""
        accounts = {*self.accounts_met, maker.account_id}
        live = sum(order.account_id in accounts for order in self.state.orders.values())
        if self.met >= STEPS_MAX or live > LIVE_MAX:
            self.walk.tired = True
        return self.walk.tired

    def count(self, maker: Order) -> None:
        """Count a user's order that is filled or cancelled."""
        self.met += 1
        self.accounts_met.add(maker.account_id)

    def own_meet(self, maker: Order) -> bool:
        """Let the taker's way of preventing self-trades decide; return whether the walk goes on."""
        if self.taker.stp != "cancel_taker" and not (self.taker.whole and self.taker.stp == "cancel_both"):
            self.flush()
            self.count(maker)
            self.cancel(maker, "self_trade")
        self.walk.cut = self.taker.stp != "cancel_maker"
        return not self.walk.cut

    def cancel(self, maker: Order, reason: str) -> None:
        """Take a user's order out of the way."""
        self.free[maker.account_id] += maker.reserved
        self.walk.steps.append(Step(maker=maker, reason=reason))

    def maker_test(self, maker: Order, lots: int) -> tuple[str | None, Plan, int]:
        """Return why a resting order cannot be filled, or None, with its plan and the reserve that is set free."""
        market, price = self.market, maker.price or 0
        held = self.maker_holding(maker)
        leverage = self.state.leverage_net(maker.account_id, market)
        plan = fill_plan(market, held, maker.sign, [(lots, price)], maker.fee_maker_ppm, leverage)
        released = reserve_freed(self.state, maker, lots)
        if plan.close_lots and plan.close_alone < 0:
            return "margin_insufficient_at_fill", plan, released
        if not plan.open_lots:
            return None, plan, released
        after = holding_after(held if not plan.close_lots else None, plan.opening)
        if leverage > market.leverage_allowed(abs(after.lots) * price * market.unit):
            return "leverage_above_tier_at_fill", plan, released
        if self.interest_after(maker, lots, price) > market.limits["open_interest_lots"]:
            return "open_interest_above_max_at_fill", plan, released
        lacking = -(self.free[maker.account_id] + released + plan.free_change)
        if lacking > 2:
            return "margin_insufficient_at_fill", plan, released
        plan.margin -= max(0, lacking)
        after.margin -= max(0, lacking)
        if market.liquidatable(after.lots, after.cost, after.margin):
            return "would_be_liquidated", plan, released
        return None, plan, released

    def maker_holding(self, maker: Order) -> Holding | None:
        """Return the position that a resting order acts on, as imagined so far."""
        key = maker.position_id if maker.reduce_only else self.nets.get(maker.account_id)
        return self.holdings.get(key or 0)

    def interest_after(self, maker: Order, lots: int, price: int) -> int:
        """Return the open interest after a fill between the taker and this maker."""
        mine = holding_after(self.mine, self.mine_plan([(lots, price)], self.mine))
        held = self.maker_holding(maker)
        others = sum(max(0, row.lots) for row in self.holdings.values() if row is not held)
        theirs = (held.lots if held is not None else 0) + maker.sign * lots
        return others + max(0, self.house) + max(0, mine.lots) + max(0, theirs)

    def maker_book(self, maker: Order, plan: Plan, released: int) -> None:
        """Put a fill of a maker into its imagined books; a position that ends takes its id with it."""
        self.free[maker.account_id] += released + plan.free_change
        key = maker.position_id if maker.reduce_only else self.nets.get(maker.account_id)
        held = self.holdings.pop(key or 0, None)
        after = holding_after(held, plan)
        if not after.lots:
            self.nets = {account: net for account, net in self.nets.items() if net != key}
            return
        if held is None or (plan.close_lots and plan.open_lots):
            key = -maker.account_id
            self.nets[maker.account_id] = key
        self.holdings[key or 0] = after


def walk_plan(state: State, taker: Taker) -> Walk:
    """Return where a taker's walk would lead."""
    return Planner(state, taker).run()
