"""
Can an account carry what an order opens and leaves resting? Isolated positions by themselves, cross ones together.
"""

from tests.reference.cross import cash_of, health, holds_cross, is_cross, pool_of
from tests.reference.fills import Holding, before_opening
from tests.reference.state import Order, State
from tests.reference.trial import Trial


def own_reserves(trial: Trial, own: Order | None) -> int:
    """Return the reserves that count as an order's own: of orders that give way to it, and of the one it replaces."""
    return trial.walk.released + (own.reserved if own is not None else 0)


def own_cross(state: State, order: Order, trial: Trial, own: Order | None) -> int:
    """Return as much of these reserves as was in the pool all the time."""
    return own_reserves(trial, own) if is_cross(state, order.account_id, order.market) else 0


def free_after(trial: Trial, own: Order | None) -> int:
    """Return what is free after the walk, the order it replaces counted in."""
    return trial.walk.free + (own.reserved if own is not None else 0)


def pool_reserved(state: State, order: Order, trial: Trial, own: Order | None) -> int:
    """Return the reserves of the pool that free money after the walk does not hold yet."""
    account = state.accounts[order.account_id]
    return cash_of(state, account.account_id) - account.free - own_cross(state, order, trial, own)


def too_poor(state: State, order: Order, trial: Trial, own: Order | None, reserve: int) -> bool:
    """Return whether the money does not reach for what an order opens and for the reserve of what rests."""
    if trial.taker.cross:
        return cross_poor(state, order, trial, own, reserve)
    free, walk = free_after(trial, own), trial.walk
    if not walk.opened and not reserve:
        return False
    if free < reserve:
        return True
    # Reserves of cross orders were in the pool all the time: what they pay for leaves it.
    outside = own_reserves(trial, own) - own_cross(state, order, trial, own)
    if walk.need + walk.loss + reserve <= outside or not holds_cross(state, order.account_id):
        return False
    pool = pool_of(state, order.account_id)
    cash = free - reserve + pool_reserved(state, order, trial, own)
    return free + pool.results - pool.initial < reserve or health(cash, pool) < 1


def cross_poor(state: State, order: Order, trial: Trial, own: Order | None, reserve: int) -> bool:
    """Return whether free or available money does not reach for what an order opens on a cross position and leaves."""
    walk = trial.walk
    if not walk.opened and not reserve:
        return False
    free, wanted = free_after(trial, own), walk.need + reserve
    settled = before_opening(walk.holding, order.sign, walk.opened, walk.opened_notional)
    pool = pool_of(state, order.account_id, order.market, settled)
    available = free + pool.results - pool.initial
    asks_more = wanted + walk.loss > own_reserves(trial, own)
    return free < wanted or (asks_more and available - walk.loss < wanted)


def dies_at_once(state: State, order: Order, trial: Trial, own: Order | None) -> bool:
    """Return whether what a walk opens would leave its position, or the account's cross ones together, liquidatable."""
    walk = trial.walk
    after: Holding = walk.holding
    if not trial.taker.cross:
        return order.market.liquidatable(after.lots, after.cost, after.margin)
    cash = free_after(trial, own) + pool_reserved(state, order, trial, own)
    return health(cash, pool_of(state, order.account_id, order.market, after)) <= 0
