"""
Safe price bands: who must be looked at when marks move, and whose turn it is.

An account with cross positions has a level that must stay above 0: its health or, until the day's margin call is told,
its distance from one. What of it may be lost is shared out over its positions; each may move against the account until
its share could be used up, and only then is the account looked at again. So whatever moves together, nobody is missed,
and nobody is looked at on every tick. Who is looked at at or below 0 is due: it stands at place 0 of its markets'
ladders, by account id, and is tested exactly before anything happens to it. Nothing else asks where a band lies.
Source: docs/risk.md#bands
"""

from numpy import int64

from engine.core import cross, guards, ladder, margin, tables, triggers
from engine.core.integers import mul_div_floor
from engine.core.kernel import kernel
from engine.core.limits import ORDERS_CAPACITY, POSITIONS_CAPACITY, PPM, PRICE_TICKS_MAX, ROW_NONE

BUDGET_E6_MAX = 2**59  # keeps the shares inside the bounds of 128-bit division
# The level that is guarded.
HEALTH = 1  # equity − maintenance margin
CALL = 2  # four times equity − five times maintenance margin


@kernel
def stale_flush(state):
    """Evaluate every account whose bands no longer hold, and arm them anew or make it due."""
    while state.stale_count > 0:
        state.stale_count -= 1
        account_flush(state, int64(state.stale_rows[state.stale_count]))


@kernel
def market_follow(state, market_row):
    """Evaluate every account whose band a market's mark has left."""
    for number in (triggers.BAND, triggers.BAND + 1):
        node = triggers.band_left(state, market_row, int64(number))
        while node != ladder.NODE_NONE:
            account_flush(state, owner_row(state, node - ORDERS_CAPACITY))
            node = triggers.band_left(state, market_row, int64(number))


@kernel
def owner_row(state, position_row):
    """Return the row of a position's account."""
    return tables.account_row(int64(state.positions[position_row].account_id))


@kernel
def due_account(state, market_row):
    """
    Return the row of the lowest account that holds a cross position in a market and is liquidatable, or ROW_NONE.

    Writes: pool; the bands of those who were due and no longer are, because a mark has moved back.
    """
    node = triggers.due_node(state, market_row, int64(triggers.BAND))
    while node != ladder.NODE_NONE:
        account_row = owner_row(state, node - ORDERS_CAPACITY)
        if cross.account_health_e6(state, account_row) <= 0:
            return account_row
        account_flush(state, account_row)
        node = triggers.due_node(state, market_row, int64(triggers.BAND))
    return int64(ROW_NONE)


@kernel
def call_account(state, market_row):
    """
    Return the row of the lowest account there that is due a margin call, or ROW_NONE.

    Writes: as `due_account`. Who has been told one today stands there no more.
    """
    node = triggers.due_node(state, market_row, int64(triggers.BAND + 1))
    while node != ladder.NODE_NONE:
        account_row = owner_row(state, node - ORDERS_CAPACITY - POSITIONS_CAPACITY)
        cross.account_sum(state, account_row)
        if cross.call_e6(state.pool, cross.cash_e6(state, account_row)) <= 0:
            return account_row
        account_flush(state, account_row)
        node = triggers.due_node(state, market_row, int64(triggers.BAND + 1))
    return int64(ROW_NONE)


@kernel
def call_waits(state, account_row):
    """Return whether an account has not been told a margin call today."""
    return state.accounts[account_row].called_day < guards.day(state)


@kernel
def account_flush(state, account_row):
    """
    Evaluate an account exactly: arm its bands, or make it due to be liquidated or told a margin call.

    Writes: the nodes of its cross positions, pool, its `stale`; no outcome.
    """
    links = state.account_links[account_row]
    links.stale = 0
    if links.cross_markets == 0:
        return
    state.evaluations += 1
    cross.account_sum(state, account_row)
    cash_e6 = cross.cash_e6(state, account_row)
    health_e6 = cross.health_e6(state.pool, cash_e6)
    call_e6 = cross.call_e6(state.pool, cash_e6)
    waits = call_waits(state, account_row)
    if waits and call_e6 > 0:
        bands_arm(state, account_row, call_e6, int64(CALL))
    else:
        bands_arm(state, account_row, health_e6, int64(HEALTH))
    if waits and call_e6 <= 0:
        calls_make_due(state, account_row)


@kernel
def calls_make_due(state, account_row):
    """Let every cross position of an account say that a margin call may be due."""
    links = state.account_links[account_row]
    account_id = state.accounts[account_row].account_id
    bits = links.cross_markets
    while bits != 0:
        market_row = int64(ladder.lowest_bit(bits))
        bits &= bits - 1
        triggers.call_due_push(state, int64(links.markets[market_row].net), account_id)


@kernel
def bands_arm(state, account_row, level_e6, guarded):
    """
    Share out what a level may lose over an account's cross positions, each to wait at the end of its share.

    At or below 0 all stand at place 0 instead: the account is due. Rounds: down, so that an armed level stays above 0.
    Source: docs/risk.md#bands
    """
    links = state.account_links[account_row]
    account_id = state.accounts[account_row].account_id
    budget_e6 = min(max(int64(0), level_e6 - 2), int64(BUDGET_E6_MAX))
    shares = cross.shares_sum(state, account_row)
    bits = links.cross_markets
    while bits != 0:
        market_row = int64(ladder.lowest_bit(bits))
        bits &= bits - 1
        row = int64(links.markets[market_row].net)
        triggers.band_drop(state, row)
        if level_e6 <= 0:
            triggers.band_push(state, row, int64(triggers.BAND), int64(triggers.DUE_PLACE), account_id)
            continue
        part_e6 = mul_div_floor(budget_e6, cross.share(state, market_row, row), shares)
        adverse_ticks = mul_div_floor(part_e6, int64(PPM), slope(state, market_row, row, guarded))
        band_arm(state, market_row, row, adverse_ticks)


@kernel
def band_arm(state, market_row, position_row, adverse_ticks):
    """Let a cross position wait for the first mark that is worse by more than so many ticks, if there is one."""
    mark_ticks = state.markets[market_row].mark_ticks
    position_id = state.positions[position_row].position_id
    below = state.positions[position_row].lots > 0
    ticks = mark_ticks - adverse_ticks - 1 if below else mark_ticks + adverse_ticks + 1
    if 1 <= ticks <= PRICE_TICKS_MAX:
        number = int64(triggers.BAND) if below else int64(triggers.BAND + 1)
        triggers.band_push(state, position_row, number, ladder.ladder_place(ticks, below), position_id)


@kernel
def slope(state, market_row, position_row, guarded):
    """
    Return the most that a tick against a cross position takes from a level, in 10⁻⁶ micro.

    A long loses its lots and at least the lowest tier's maintenance margin is freed; a short loses its lots and at
    most the highest tier's is needed. MM is a maximum of lines with these slopes, so that no border of tiers breaks it.
    """
    config = state.markets[market_row].config
    lots = state.positions[position_row].lots
    equities = int64(PPM) if guarded == HEALTH else int64(4 * PPM)
    maintenances = int64(1) if guarded == HEALTH else int64(5)
    if lots > 0:
        return lots * config.unit_e6 * (equities - maintenances * config.tiers[0].mmr_ppm)
    return -lots * config.unit_e6 * (equities + maintenances * margin.mmr_highest_ppm(config))
