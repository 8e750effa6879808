"""
An account's cross positions taken together: cash, equity, what is available, and what may leave the pool.

Everything is at the marks of now, whatever a market's state; only its own orders and positions are looked at.
"""

from dataclasses import dataclass
from fractions import Fraction

from tests.reference.fills import Backing, Held
from tests.reference.markets import CALL, Market
from tests.reference.state import Order, Position, State
from tests.reference.texts import ceil_of, floor_of


@dataclass
class Pool:
    """Sums over cross positions: value less cost, initial margin, maintenance margin (exact)."""

    results: int = 0
    initial: int = 0
    maintenance: Fraction = Fraction(0)


def cross_positions(state: State, account_id: int) -> list[Position]:
    """Return the account's cross positions by id."""
    return [row for row in state.positions_of(account_id) if row.cross]


def holds_cross(state: State, account_id: int) -> bool:
    """Return whether the account has a cross position."""
    return any(row.cross and row.account_id == account_id for row in state.positions.values())


def is_cross(state: State, account_id: int, market: Market) -> bool:
    """Return whether the account's net position in the market is margined across the account."""
    return market.name in state.accounts[account_id].cross


def fills_cross(state: State, order: Order) -> bool:
    """Return whether the position that an order fills is margined across its account; a ticket never is."""
    if order.ticket:
        return False
    if order.reduce_only:
        position = state.positions.get(order.position_id or 0)
        return position is not None and position.cross
    return is_cross(state, order.account_id, order.market)


def pool_of(state: State, account_id: int, market: Market | None = None, held: Held | None = None) -> Pool:
    """Return the sums over the account's cross positions; with a market, its position there counts as `held`."""
    rows = [(row.market, row.lots, row.cost) for row in cross_positions(state, account_id) if row.market is not market]
    if market is not None and held is not None and held.lots:
        rows.append((market, held.lots, held.cost))
    pool = Pool()
    for where, lots, cost in rows:
        value = lots * where.mark * where.unit
        pool.results += value - cost
        pool.initial += ceil_of(Fraction(abs(value), state.leverage_net(account_id, where)))
        pool.maintenance += where.maintenance(lots, where.mark)
    return pool


def reserved_cross(state: State, account_id: int) -> int:
    """Return what the account's orders in markets of cross margin keep back: it is still in the pool."""
    names = state.accounts[account_id].cross
    mine = [row for row in state.orders.values() if row.account_id == account_id and row.market.name in names]
    return sum(row.reserved for row in mine)


def cash_of(state: State, account_id: int) -> int:
    """Return the money of the pool: what is free and what cross orders keep back."""
    return state.accounts[account_id].free + reserved_cross(state, account_id)


def equity_of(state: State, account_id: int) -> int:
    """Return the account's equity over its cross positions."""
    return cash_of(state, account_id) + pool_of(state, account_id).results


def health(cash: int, pool: Pool) -> int:
    """Return what equity has above maintenance; nothing or less is liquidatable."""
    return cash + pool.results - floor_of(pool.maintenance)


def calm(cash: int, pool: Pool) -> int:
    """Return four times what equity has above the level of a margin call; nothing or less is called."""
    return 4 * (cash + pool.results) - floor_of(4 * CALL * pool.maintenance)


def health_of(state: State, account_id: int) -> int:
    """Return the account's health now."""
    return health(cash_of(state, account_id), pool_of(state, account_id))


def available_of(state: State, account_id: int) -> int:
    """Return what may back new cross orders."""
    pool = pool_of(state, account_id)
    return state.accounts[account_id].free + pool.results - pool.initial


def spare_of(state: State, account_id: int, reserved: int) -> int:
    """Return what cross positions add to free money that may leave; mostly it is negative, for they must be kept."""
    pool = pool_of(state, account_id)
    return min(pool.results - pool.initial, health(reserved, pool) - 1)


def leave_of(state: State, account_id: int) -> int:
    """Return how much money may leave the pool."""
    free = state.accounts[account_id].free
    if not holds_cross(state, account_id):
        return max(0, free)
    return max(0, min(free, available_of(state, account_id), health_of(state, account_id) - 1))


def backing_of(state: State, account_id: int, market: Market) -> Backing:
    """Return what stands behind the account's cross position in a market."""
    return backing_with(cash_of(state, account_id), pool_of(state, account_id, market))


def backing_with(cash: int, others: Pool) -> Backing:
    """Return what stands behind a cross position beside other ones."""
    return Backing(cash, others.results, ceil_of(others.maintenance))


def position_backing(state: State, position: Position | None) -> Backing | None:
    """Return what stands behind a cross position, None for an isolated one."""
    if position is None or not position.cross:
        return None
    return backing_of(state, position.account_id, position.market)
