"""
An account's cross positions taken together: cash, equity, available, maintenance, and what may leave the pool.

Every sum is made anew from the rows, at the marks of now; nothing is kept that could go stale. Writes only `pool`.
Source: docs/risk.md#cross-margin
"""

from numpy import int64

from engine.core import ladder, margin, orders
from engine.core.integers import ceil_div
from engine.core.kernel import kernel
from engine.core.limits import PPM

NO_MARKET = -1
SHARE_SHIFT = 8  # shares follow notional ÷ 256: their sum times an equity stays inside the bounds of 128-bit division
EQUITY_FAR_E6 = 2**60  # beyond it either way, five quarters of any maintenance margin are no question


@kernel
def chosen(state, account_row, market_row):
    """Return whether an account's net position in a market is, or would be, margined across the account."""
    return (state.accounts[account_row].cross >> market_row) & 1 != 0


@kernel
def holds(state, account_row):
    """Return whether an account holds a cross position."""
    return state.account_links[account_row].cross_markets != 0


@kernel
def pool_sum(state, account_row, market_row, lots, cost_e6):
    """
    Sum an account's cross positions, the one in `market_row` taken as lots and cost_e6; NO_MARKET: all as they stand.

    Writes: pool.
    """
    pool = state.pool
    pool.results_e6 = 0
    pool.initial_e6 = 0
    pool.whole_e6 = 0
    pool.parts = 0
    links = state.account_links[account_row]
    bits = links.cross_markets
    if market_row != NO_MARKET:
        bits |= int64(1) << market_row
    while bits != 0:
        number = int64(ladder.lowest_bit(bits))
        bits &= bits - 1
        if number == market_row:
            pool_add(state, account_row, number, lots, cost_e6)
        else:
            position = state.positions[int64(links.markets[number].net)]
            pool_add(state, account_row, number, position.lots, position.cost_e6)


@kernel
def pool_add(state, account_row, market_row, lots, cost_e6):
    """Add one position to the pool's sums."""
    pool = state.pool
    market = state.markets[market_row]
    value_e6 = lots * market.mark_ticks * market.config.unit_e6
    whole_e6, part = margin.maintenance_parts(market.config, abs(value_e6))
    pool.results_e6 += value_e6 - cost_e6
    pool.initial_e6 += ceil_div(abs(value_e6), orders.leverage_net(state, account_row, market_row))
    pool.whole_e6 += whole_e6
    pool.parts += part


@kernel
def cash_e6(state, account_row):
    """Return an account's cash: free money and what its orders in cross markets reserve."""
    return state.accounts[account_row].free_e6 + state.account_links[account_row].reserved_cross_e6


@kernel
def maintenance_e6(pool):
    """
    Return the pool's maintenance margin in whole micros.

    Rounds: down, and exactly right: a whole equity is at or below the exact sum just when it is at or below this.
    """
    return pool.whole_e6 + pool.parts // PPM


@kernel
def health_e6(pool, cash):
    """Return equity − maintenance margin of a pool with so much cash; liquidatable at or below 0."""
    return cash + pool.results_e6 - maintenance_e6(pool)


@kernel
def call_e6(pool, cash):
    """
    Return 4 × equity − 5 × maintenance margin of a pool: a margin call at or below 0.

    Rounds: five times the exact maintenance down, like `maintenance_e6`.
    """
    equity_e6 = min(max(cash + pool.results_e6, int64(-EQUITY_FAR_E6)), int64(EQUITY_FAR_E6))
    return 4 * equity_e6 - (5 * pool.whole_e6 + 5 * pool.parts // PPM)


@kernel
def backing_e6(state, account_row, market_row, cash):
    """
    Return what backs an account's cross position in a market: cash and the others' results beyond their maintenance.

    Rounds: down. Writes: pool, of the others alone.
    """
    pool_sum(state, account_row, market_row, int64(0), int64(0))
    pool = state.pool
    return cash + pool.results_e6 - pool.whole_e6 - ceil_div(pool.parts, int64(PPM))


@kernel
def spare_e6(state, account_row):
    """
    Return what cross positions leave of an account's free money for an isolated one, less that money: mostly negative.

    Free money and this together are the least of available and what keeps the pool above its maintenance margin.
    Writes: pool.
    """
    account_sum(state, account_row)
    pool = state.pool
    reserved_e6 = state.account_links[account_row].reserved_cross_e6
    return min(pool.results_e6 - pool.initial_e6, pool.results_e6 + reserved_e6 - maintenance_e6(pool) - 1)


@kernel
def account_sum(state, account_row):
    """Sum an account's cross positions as they stand. Writes: pool."""
    pool_sum(state, account_row, int64(NO_MARKET), int64(0), int64(0))


@kernel
def account_health_e6(state, account_row):
    """Return equity − maintenance margin of an account's cross positions. Writes: pool."""
    account_sum(state, account_row)
    return health_e6(state.pool, cash_e6(state, account_row))


@kernel
def leave_e6(state, account_row):
    """
    Return the most that may leave an account's pool: free, available, and what keeps it above maintenance margin.

    Writes: pool. Source: docs/risk.md#what-may-leave
    """
    free_e6 = state.accounts[account_row].free_e6
    if holds(state, account_row):
        free_e6 = min(free_e6, free_e6 + spare_e6(state, account_row))
    return max(int64(0), free_e6)


@kernel
def shares_sum(state, account_row):
    """Return the sum of the shares of an account's cross positions."""
    links = state.account_links[account_row]
    total = int64(0)
    bits = links.cross_markets
    while bits != 0:
        market_row = int64(ladder.lowest_bit(bits))
        bits &= bits - 1
        total += share(state, market_row, int64(links.markets[market_row].net))
    return total


@kernel
def share(state, market_row, position_row):
    """Return the weight of a cross position among those of its account: about its notional; more than 0."""
    market = state.markets[market_row]
    return (abs(state.positions[position_row].lots) * market.mark_ticks * market.config.unit_e6 >> SHARE_SHIFT) + 1
