"""
What an operator, an account's setting or a funding changed, told: one `emit_*` per event kind, beside `events.py`.
"""

from numpy import int64

from engine.core import events
from engine.core.events import MARKET_NONE
from engine.core.kernel import kernel
from shared.codes import ACCOUNT_INSURANCE, EventKind, MarginMode
from shared.records import NAME_WORDS, TIERS_CAPACITY

SKIPPED_MARK_OLD = 1
SKIPPED_HALTED = 2
TIER_FIRST = NAME_WORDS + 20  # words of a configuration before its tiers


@kernel
def emit_market_changed(state, market_row):
    """State a market's life cycle and its parameters."""
    event = events.event_begin(state, int64(EventKind.MARKET_CHANGED), market_row)
    event.status = state.markets[market_row].state
    config_put(event.config, state.markets[market_row].config)


@kernel
def config_put(words, config):
    """Write a configuration as words, in the order of its fields; a test compares it with the layout."""
    for word in range(NAME_WORDS):
        words[word] = config.market[word]
    words[NAME_WORDS] = config.tick_e12
    words[NAME_WORDS + 1] = config.lot_e12
    words[NAME_WORDS + 2] = config.unit_e6
    words[NAME_WORDS + 3] = config.leverage_max
    words[NAME_WORDS + 4] = config.fee_maker_ppm
    words[NAME_WORDS + 5] = config.fee_taker_ppm
    words[NAME_WORDS + 6] = config.fee_liquidation_ppm
    words[NAME_WORDS + 7] = config.spread_max_ppm
    words[NAME_WORDS + 8] = config.spike_ppm
    words[NAME_WORDS + 9] = config.mark_band_ppm
    words[NAME_WORDS + 10] = config.price_band_ppm
    words[NAME_WORDS + 11] = config.price_age_max_ms
    words[NAME_WORDS + 12] = config.notional_min_e6
    words[NAME_WORDS + 13] = config.liquidity
    words[NAME_WORDS + 14] = config.depth_levels
    words[NAME_WORDS + 15] = config.taker_delay_ms
    words[NAME_WORDS + 16] = config.notional_max_e6
    words[NAME_WORDS + 17] = config.open_interest_notional_max_e6
    words[NAME_WORDS + 18] = config.order_lots_max
    words[NAME_WORDS + 19] = config.open_interest_lots_max
    words[TIER_FIRST] = config.tiers_count
    for tier in range(TIERS_CAPACITY):
        row = config.tiers[tier]
        at = TIER_FIRST + 1 + 4 * tier
        words[at] = row.floor_e6
        words[at + 1] = row.mmr_ppm
        words[at + 2] = row.leverage_max
        words[at + 3] = row.amount_e6


@kernel
def emit_venue_changed(state):
    """State the venue's parameters, in the order of VENUE_PARAMETERS."""
    venue = state.venue
    event = events.event_begin(state, int64(EventKind.VENUE_CHANGED), int64(MARKET_NONE))
    event.config[0] = venue.starting_balance_e6
    event.config[1] = venue.request_window_ms
    event.config[2] = venue.accounts_max
    event.config[3] = venue.orders_max
    event.config[4] = venue.positions_max
    event.config[5] = venue.requests_max
    event.config[6] = venue.orders_open_max
    event.config[7] = venue.triggers_open_max
    event.config[8] = venue.positions_open_max
    event.config[9] = venue.subaccounts_max
    event.config[10] = venue.stp_owner


@kernel
def emit_insurance_changed(state):
    """State what the insurance fund holds."""
    event = events.event_begin(state, int64(EventKind.INSURANCE_CHANGED), int64(MARKET_NONE))
    event.free_e6 = state.accounts[ACCOUNT_INSURANCE].free_e6


@kernel
def emit_account_market_changed(state, account_row, market_row):
    """State the leverage that an account has set in a market, 0 for none, and the margin mode there."""
    account = state.accounts[account_row]
    event = events.event_begin(state, int64(EventKind.ACCOUNT_MARKET_CHANGED), market_row)
    event.account = account.account_id
    event.leverage = int64(account.leverage[market_row])
    across = (account.cross >> market_row) & 1 != 0
    event.mode = int64(MarginMode.CROSS) if across else int64(MarginMode.ISOLATED)


@kernel
def emit_account_guards_changed(state, account_row):
    """State which guards an account's owner has set, and how."""
    account = state.accounts[account_row]
    event = events.event_begin(state, int64(EventKind.ACCOUNT_GUARDS_CHANGED), int64(MARKET_NONE))
    event.account = account.account_id
    event.guards = account.guards
    event.leverage_most = account.leverage_most
    event.loss_most_e6 = account.loss_most_e6
    event.slippage_bps = account.slippage_bps
    event.stp = account.stp


@kernel
def funding_begin(state, kind, market_row):
    """Return the next event with what every word on one funding says: its due time, rate and mark."""
    market = state.markets[market_row]
    event = events.event_begin(state, kind, market_row)
    event.rate_ppb = market.funding_rate_ppb
    event.due_ms = market.funding_next_ms
    event.price_mark_ticks = market.mark_ticks
    return event


@kernel
def emit_funding(state, position_row, received_e6):
    """State what a position received for holding its lots at a funding; negative when it paid."""
    position = state.positions[position_row]
    event = funding_begin(state, int64(EventKind.FUNDING), int64(position.market_id) - 1)
    event.account = position.account_id
    event.position_id = position.position_id
    event.amount_e6 = received_e6


@kernel
def emit_funding_settled(state, market_row, positions, amount_e6):
    """State a funding that is done: how many positions were told of it, and what came to the house."""
    event = funding_begin(state, int64(EventKind.FUNDING_SETTLED), market_row)
    event.quotes = positions
    event.amount_e6 = amount_e6


@kernel
def emit_funding_skipped(state, market_row, reason):
    """State a funding that was due and is not paid, and why."""
    event = funding_begin(state, int64(EventKind.FUNDING_SKIPPED), market_row)
    event.reason = reason
