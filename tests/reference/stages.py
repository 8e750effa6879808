"""
How much of a liquidatable position is closed: down to the highest tier in which it is healthy, else the whole.
"""

from fractions import Fraction

from tests.reference.cross import equity_of, pool_of
from tests.reference.fills import Holding
from tests.reference.markets import PPM
from tests.reference.state import Position, State
from tests.reference.texts import ceil_of, floor_of


def lots_to_close(state: State, position: Position) -> int:
    """Return the lots that a liquidation closes; what it keeps lies just below the floor of a tier."""
    market, held = position.market, abs(position.lots)
    price = market.mark * market.unit
    floors = [floor for floor, _, _ in market.tiers if floor <= held * price]
    for floor in reversed(floors[1:]):
        keep = (floor - 1) // price
        if keep == 0:
            return held
        healthy = cross_healthy if position.cross else isolated_healthy
        if healthy(state, position, keep):
            return held - keep
    return held


def isolated_healthy(state: State, position: Position, keep: int) -> bool:
    """Return whether closing all but `keep` lots at mark loses no more than its share, and leaves a healthy rest."""
    market, held = position.market, abs(position.lots)
    sign, lots = (1 if position.lots > 0 else -1), held - keep
    released = floor_of(Fraction(position.margin * lots, held))
    cost_part = ceil_of(Fraction(position.cost * lots, held))
    pnl = sign * lots * market.mark * market.unit - cost_part
    if released + pnl < 0:
        return False
    return not market.liquidatable(sign * keep, position.cost - cost_part, position.margin - released)


def cross_healthy(state: State, position: Position, keep: int) -> bool:
    """Return whether the account is healthy once all but `keep` lots are closed at mark and their fee is paid."""
    market, held = position.market, abs(position.lots)
    sign, lots = (1 if position.lots > 0 else -1), held - keep
    fee = ceil_of(Fraction(lots * market.mark * market.unit * market.rates["fee_liquidation_ppm"], PPM))
    equity = equity_of(state, position.account_id)
    # Only the size of what is kept counts: its cost moves nothing of the maintenance margin.
    pool = pool_of(state, position.account_id, market, Holding(sign * keep, 0))
    return equity - min(fee, max(0, equity)) - floor_of(pool.maintenance) >= 1
