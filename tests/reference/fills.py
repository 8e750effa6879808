"""
The arithmetic of one fill onto one position: open, increase, reduce, close, flip; computed only, nothing written.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from tests.reference.markets import PPM, Market
from tests.reference.texts import ceil_of, floor_of

Slices = list[tuple[int, int]]  # (lots, ticks), in the order in which they are taken


class Held(Protocol):
    """What a fill needs to know of a position."""

    lots: int
    cost: int
    margin: int


@dataclass
class Holding:
    """A position as a plan imagines it."""

    lots: int = 0
    cost: int = 0
    margin: int = 0


@dataclass
class Backing:
    """What stands behind a cross position: the account's cash, what its other cross positions have won and need."""

    cash: int
    others: int = 0
    maintenance: int = 0

    @property
    def margin(self) -> int:
        """Return what takes the place of the margin that a cross position has not."""
        return self.cash + self.others - self.maintenance


@dataclass
class Plan:
    """What one fill would do to one position; amounts in micro-USDC, nothing written yet."""

    sign: int
    lots: int
    notional: int
    fee: int
    close_lots: int = 0
    close_notional: int = 0
    cost_part: int = 0
    released: int = 0
    share: int = 0  # what stands behind the lots that are closed: released margin, or that part of the pool
    pnl: int = 0
    cash: int = 0
    open_lots: int = 0
    open_notional: int = 0
    margin: int = 0
    need: int = 0  # initial margin of what is opened, whether it moves or not
    loss: int = 0
    cross: bool = False  # no margin moves: the account carries the result
    deficit: int = 0  # what the venue pays of a closing that lacks cash
    from_free: int = 0  # what free pays of it: the share of a flip's fee that its opening part caused
    close_fee: int = 0  # the fee of the closing part by itself

    @property
    def close_alone(self) -> int:
        """Return what the closing part would bring if it were the whole fill."""
        return self.share + self.pnl - self.close_fee

    @property
    def moved(self) -> int:
        """Return what moves from free into the position's margin."""
        return 0 if self.cross else self.margin + self.loss

    @property
    def free_change(self) -> int:
        """Return what the fill does to free money."""
        change = (self.cash if self.cross else max(0, self.cash)) if self.close_lots else 0
        if self.open_lots:
            change -= self.moved + self.from_free + (0 if self.close_lots else self.fee)
        return change

    @property
    def opening(self) -> "Plan":
        """Return the opening part by itself, without its fee."""
        lots, notional = self.open_lots, self.open_notional
        return Plan(
            self.sign, lots, notional, 0, open_lots=lots, open_notional=notional, margin=self.margin, loss=self.loss,
            cross=self.cross,
        )  # fmt: skip


def notional_of(market: Market, slices: Slices) -> int:
    """Return the value of slices."""
    return sum(lots * ticks for lots, ticks in slices) * market.unit


def slices_first(slices: Slices, lots: int) -> Slices:
    """Return the first `lots` of slices."""
    found: Slices = []
    for have, ticks in slices:
        part = min(have, lots)
        if part:
            found.append((part, ticks))
        lots -= part
    return found


def fill_plan(
    market: Market, held: Held | None, sign: int, slices: Slices, fee_ppm: int, leverage: int, forced: bool = False,
    backing: Backing | None = None,
) -> Plan:  # fmt: skip
    """
    Return what a fill would do; a flip's closing part takes the first lots, and a forced fee ends with the money.

    With a backing the position is a cross one: no margin moves, free money takes the result, negative too.
    """
    lots, notional = sum(part for part, _ in slices), notional_of(market, slices)
    plan = Plan(sign, lots, notional, ceil_of(Fraction(notional * fee_ppm, PPM)), cross=backing is not None)
    if held is not None and held.lots * sign < 0:
        plan.close_lots = min(lots, abs(held.lots))
        plan.close_notional = notional_of(market, slices_first(slices, plan.close_lots))
        plan.cost_part = ceil_of(Fraction(held.cost * plan.close_lots, abs(held.lots)))
        behind = held.margin if backing is None else backing.margin
        plan.share = floor_of(Fraction(behind * plan.close_lots, abs(held.lots)))
        plan.released = plan.share if backing is None else 0
        plan.pnl = -sign * plan.close_notional - plan.cost_part
        if forced:
            plan.fee = min(plan.fee, max(0, plan.pnl + money_behind(market, held, plan, backing)))
        plan.cash = plan.released + plan.pnl - plan.fee
        plan.close_fee = ceil_of(Fraction(plan.close_notional * fee_ppm, PPM))
    plan.open_lots = lots - plan.close_lots
    if plan.open_lots:
        plan.open_notional = notional - plan.close_notional
        plan.need = ceil_of(Fraction(plan.open_notional, leverage))
        plan.margin = 0 if plan.cross else plan.need
        if plan.close_lots and plan.cash < 0 and not plan.cross:
            plan.deficit = max(0, plan.close_fee - plan.released - plan.pnl)
            plan.from_free = -plan.cash - plan.deficit
        plan.loss = max(0, sign * (plan.open_notional - plan.open_lots * market.mark * market.unit))
    elif held is not None and plan.close_lots == abs(held.lots) and not plan.cross:
        plan.deficit = max(0, -plan.cash)
    return plan


def money_behind(market: Market, held: Held, plan: Plan, backing: Backing | None) -> int:
    """Return what a forced closing's result is added to before its fee: released margin, or equity as it then is."""
    if backing is None:
        return plan.released
    lots = held.lots + plan.sign * plan.close_lots
    return backing.cash + backing.others + lots * market.mark * market.unit - (held.cost - plan.cost_part)


def holding_after(held: Held | None, plan: Plan) -> Holding:
    """Return the position that a fill would leave; nothing is a holding of no lots."""
    after = Holding(held.lots, held.cost, held.margin) if held is not None else Holding()
    if plan.close_lots:
        after.lots += plan.sign * plan.close_lots
        after.cost -= plan.cost_part
        after.margin -= plan.released
        if plan.cash < 0 and after.lots and not plan.cross:
            after.margin += plan.cash
    if plan.open_lots:
        after.lots += plan.sign * plan.open_lots
        after.cost += plan.sign * plan.open_notional
        after.margin += plan.moved
    return after


def before_opening(after: Holding, sign: int, lots: int, notional: int) -> Holding:
    """Return a position as it stands when only the closing part of what led to `after` is done."""
    return Holding(after.lots - sign * lots, after.cost - sign * notional, after.margin)
