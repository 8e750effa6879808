"""
The walk of a taker through users' orders and the quote: who, how much, at what price; imagined only, nothing written.
"""

from dataclasses import dataclass, field

from tests.reference.fills import Backing, Holding, Plan, Slices, fill_plan, holding_after, notional_of
from tests.reference.makers import Books
from tests.reference.markets import WINDOW_TICKS, Market
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
    cross: bool = False  # the position that it fills is margined across the account


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
    opened_notional: int = 0
    need: int = 0  # initial margin of what is opened
    loss: int = 0  # what that loses at once against the mark
    released: int = 0  # reserves of own orders that gave way: they stand in free
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
        self.offer = offer_of(self.market, self.sign, taker.forced)
        self.makers = makers_of(state, self.market, self.sign)
        self.books = Books(state, self.market)
        self.mine = Holding()
        if taker.position is not None:
            self.mine = self.books.holdings.pop(taker.position.position_id)
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
        walk.holding, walk.free = self.mine, self.books.free[self.taker.account_id]
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
        return not maker.reduce_only or self.own(maker) or bool(self.books.reducible(maker))

    def own(self, maker: Order) -> bool:
        """Return whether an order is the taker's own: its account's, or by the venue's setting its owner's."""
        if self.state.settings["stp_owner"]:
            accounts = self.state.accounts
            return accounts[maker.account_id].owner == accounts[self.taker.account_id].owner
        return maker.account_id == self.taker.account_id

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
            self.books.house -= self.sign * plan.lots
            self.walk.steps.append(Step(slices=self.pending))
            self.pending = []

    def mine_backing(self) -> Backing | None:
        """Return what stands behind the taker's position if it is a cross one."""
        return self.books.backing(self.taker.account_id) if self.taker.cross else None

    def mine_plan(self, slices: Slices, held: Holding, backing: Backing | None = None) -> Plan:
        """Return what a fill does to the taker."""
        taker, behind = self.taker, backing or self.mine_backing()
        return fill_plan(self.market, held, self.sign, slices, taker.fee_ppm, taker.leverage, taker.forced, behind)

    def mine_book(self, plan: Plan) -> None:
        """Put a fill of the taker into its imagined books."""
        self.walk.opens_new = self.walk.opens_new or bool(plan.open_lots and self.mine.lots * self.sign <= 0)
        self.mine = holding_after(self.mine, plan)
        self.books.free[self.taker.account_id] += plan.free_change
        self.walk.filled += plan.lots
        self.walk.spent += plan.notional
        self.walk.opened += plan.open_lots
        self.walk.opened_notional += plan.open_notional
        self.walk.need += plan.need
        self.walk.loss += plan.loss

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
        if self.own(maker):
            return self.own_meet(maker)
        wanted = min(self.left(), maker.lots_open)
        if maker.reduce_only:
            wanted = min(wanted, self.books.reducible(maker))
        lots = min(wanted, self.room(price))
        if self.closes_too_dear(lots, price):
            self.users = False
            return True
        self.flush()
        self.count(maker)
        mine = self.mine_plan([(lots, price)], self.mine)
        longs = max(0, holding_after(self.mine, mine).lots)
        reason, theirs, released = self.books.maker_test(maker, lots, longs)
        if reason is not None:
            self.cancel(maker, reason)
            return True
        self.mine_book(mine)
        self.books.maker_book(maker, theirs, released)
        self.walk.steps.append(Step(slices=[(lots, price)], maker=maker))
        self.walk.capped = lots < wanted
        return not self.walk.capped

    def closes_too_dear(self, lots: int, price: int) -> bool:
        """Return whether the closing part of a fill, after what is pending, would be worth less than nothing."""
        seen, backing = self.mine, self.mine_backing()
        if self.pending:
            before = self.mine_plan(self.pending, seen)
            seen = holding_after(seen, before)
            if backing is not None:
                backing = Backing(backing.cash + before.free_change, backing.others, backing.maintenance)
        plan = self.mine_plan([(lots, price)], seen, backing)
        return bool(plan.close_lots) and not self.taker.forced and plan.close_alone < 0

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
        self.books.release(maker.account_id, maker.reserved)
        if maker.account_id == self.taker.account_id:
            self.walk.released += maker.reserved
        self.walk.steps.append(Step(maker=maker, reason=reason))


def walk_plan(state: State, taker: Taker) -> Walk:
    """Return where a taker's walk would lead."""
    return Planner(state, taker).run()
