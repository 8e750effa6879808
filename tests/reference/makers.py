"""
The books as a walk imagines them: every account's free money, every position of the market; and the test of a maker.
"""

from tests.reference.cross import (
    Pool,
    backing_with,
    fills_cross,
    health,
    holds_cross,
    is_cross,
    pool_of,
    reserved_cross,
    spare_of,
)
from tests.reference.fills import Backing, Holding, Plan, before_opening, fill_plan, holding_after
from tests.reference.markets import Market
from tests.reference.orders import reserve_freed
from tests.reference.state import Order, State

MICROS_LACKING = 2  # what ceilings may lack of a maker's margin


class Books:
    """Money and positions; they start as the venue's and change with every step of a walk."""

    def __init__(self, state: State, market: Market) -> None:
        self.state, self.market = state, market
        held = [row for row in state.positions.values() if row.market is market]
        self.holdings: dict[int, Holding] = {row.position_id: Holding(row.lots, row.cost, row.margin) for row in held}
        self.nets: dict[int, int] = {row.account_id: row.position_id for row in held if row.kind == "net"}
        self.free = {key: account.free for key, account in state.accounts.items()}
        self.counted = dict.fromkeys(state.accounts, 0)  # reserves of cross orders that stand in free
        self.house = state.house[market.name].lots

    def release(self, account_id: int, amount: int) -> None:
        """Set a reserve of an order in this market free."""
        self.free[account_id] += amount
        if is_cross(self.state, account_id, self.market):
            self.counted[account_id] += amount

    def cash(self, account_id: int) -> int:
        """Return the money of an account's pool."""
        return self.free[account_id] + self.reserved(account_id)

    def reserved(self, account_id: int) -> int:
        """Return the reserves of the pool that do not stand in free."""
        return reserved_cross(self.state, account_id) - self.counted[account_id]

    def backing(self, account_id: int) -> Backing:
        """Return what stands behind an account's cross position in the market."""
        return backing_with(self.cash(account_id), pool_of(self.state, account_id, self.market))

    def maker_holding(self, maker: Order) -> Holding | None:
        """Return the position that a resting order acts on, as imagined so far."""
        key = maker.position_id if maker.reduce_only else self.nets.get(maker.account_id)
        return self.holdings.get(key or 0)

    def reducible(self, maker: Order) -> int:
        """Return the lots of the position that a reduce-only order may still close."""
        held = self.holdings.get(maker.position_id or 0)
        return max(0, -maker.sign * held.lots) if held is not None else 0

    def longs_after(self, maker: Order, lots: int) -> int:
        """Return the open interest after a maker's fill, the taker's own position not counted."""
        held = self.maker_holding(maker)
        others = sum(max(0, row.lots) for row in self.holdings.values() if row is not held)
        theirs = (held.lots if held is not None else 0) + maker.sign * lots
        return others + max(0, self.house) + max(0, theirs)

    def maker_test(self, maker: Order, lots: int, longs_taker: int) -> tuple[str | None, Plan, int]:
        """Return why a resting order cannot be filled, or None, with its plan and the reserve that is set free."""
        market, price = self.market, maker.price or 0
        held = self.maker_holding(maker)
        leverage = self.state.leverage_net(maker.account_id, market)
        backing = self.backing(maker.account_id) if fills_cross(self.state, maker) else None
        slices = [(lots, price)]
        plan = fill_plan(market, held, maker.sign, slices, maker.fee_maker_ppm, leverage, backing=backing)
        released = reserve_freed(self.state, maker, lots)
        if plan.close_lots and plan.close_alone < 0:
            return "margin_insufficient_at_fill", plan, released
        if not plan.open_lots:
            return None, plan, released
        after = holding_after(held if not plan.close_lots else None, plan.opening)
        if leverage > market.leverage_allowed(abs(after.lots) * price * market.unit):
            return "leverage_above_tier_at_fill", plan, released
        if market.too_large(self.longs_after(maker, lots) + longs_taker, "open_interest"):
            return "open_interest_above_max_at_fill", plan, released
        if backing is not None:
            return self.cross_test(maker, plan, released, after), plan, released
        return self.isolated_test(maker, plan, released, after), plan, released

    def isolated_test(self, maker: Order, plan: Plan, released: int, after: Holding) -> str | None:
        """Return why a maker cannot carry what it opens, the last micros coming off its margin; None when it can."""
        before = self.free[maker.account_id]
        free = before + released + plan.free_change
        lacking = max(0, -free)
        if lacking > MICROS_LACKING:
            return "margin_insufficient_at_fill"
        plan.margin -= lacking
        after.margin -= lacking
        if holds_cross(self.state, maker.account_id):
            spare = spare_of(self.state, maker.account_id, self.reserved(maker.account_id))
            if free + lacking < before and free + lacking + spare < 0:
                return "margin_insufficient_at_fill"
        return "would_be_liquidated" if self.market.liquidatable(after.lots, after.cost, after.margin) else None

    def cross_test(self, maker: Order, plan: Plan, released: int, after: Holding) -> str | None:
        """Return why a maker's account cannot carry what it opens beside its cross positions; None when it can."""
        account_id = maker.account_id
        free = self.free[account_id] + released + plan.free_change
        settled = before_opening(after, plan.sign, plan.open_lots, plan.open_notional)
        pool = pool_of(self.state, account_id, self.market, settled)
        available = free + pool.results - pool.initial
        if min(free, available - plan.loss) < plan.need - MICROS_LACKING:
            return "margin_insufficient_at_fill"
        cash = self.cash(account_id) + plan.free_change
        return "would_be_liquidated" if self.health_after(account_id, cash, after) <= 0 else None

    def health_after(self, account_id: int, cash: int, after: Holding) -> int:
        """Return an account's health with other cash and another position in this market."""
        pool: Pool = pool_of(self.state, account_id, self.market, after)
        return health(cash, pool)

    def maker_book(self, maker: Order, plan: Plan, released: int) -> None:
        """Book a fill of a maker; a position that ends takes its id with it."""
        self.release(maker.account_id, released)
        self.free[maker.account_id] += plan.free_change
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
