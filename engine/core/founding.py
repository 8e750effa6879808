"""The first entry of a venue: its configuration, its own accounts, the house's positions."""

from numpy import int64

from engine.core import commands, events_venue, ladder, ledger, positions, prices, trailing, validate_markets
from engine.core.kernel import kernel
from engine.core.limits import KEYFRAME_US, LADDERS_COUNT, LAG_MINUTES, MINUTE_US, PRICE_WINDOW_TICKS, ROW_NONE
from engine.core.schema import LAG_NONE
from shared.codes import (
    ACCOUNT_EXTERNAL,
    ACCOUNT_FIRST,
    ACCOUNT_HOUSE,
    ACCOUNT_INSURANCE,
    LedgerReason,
    MarketState,
    PositionKind,
)
from shared.records import VENUE_WORDS


@kernel
def genesis_apply(state, record, configs):
    """Found the venue; a second genesis is counted and changes nothing."""
    if state.venue.markets_count > 0:
        return
    header = state.header
    header.log_time_us = record.ts_us
    header.tick_time_us = record.ts_us
    header.rules = record.rules
    header.minute = record.ts_us // MINUTE_US
    header.keyframe_slot = record.ts_us // KEYFRAME_US
    header.lag_minute = header.minute
    for word in range(VENUE_WORDS):
        header.venue[word] = record.venue[word]
    for minute in range(LAG_MINUTES):
        header.lag_us[minute] = LAG_NONE
    prices.lag_least_find(state)
    venue_begin(state, record)
    for index in range(record.config_count):
        market_begin(state, int64(index), configs, record.config_first + index)
    insurance_e6 = record.insurance_balance_e6
    ledger.transfer(
        state,
        int64(ACCOUNT_EXTERNAL),
        int64(ACCOUNT_INSURANCE),
        insurance_e6,
        int64(LedgerReason.DEPOSIT),
        int64(0),
    )


@kernel
def venue_begin(state, record):
    """Fill the venue's parameters and counters, and open its own accounts."""
    venue = state.venue
    venue.account_next = ACCOUNT_FIRST
    venue.order_next = 1
    venue.position_next = ACCOUNT_FIRST
    venue.fill_next = 1
    venue.priority_next = 1
    venue.starting_balance_e6 = record.starting_balance_e6
    venue.request_window_ms = record.request_window_ms
    venue.accounts_max = record.accounts_max
    venue.orders_max = record.orders_max
    venue.positions_max = record.positions_max
    venue.requests_max = record.requests_max
    venue.orders_open_max = record.orders_open_max
    venue.triggers_open_max = record.triggers_open_max
    venue.positions_open_max = record.positions_open_max
    venue.subaccounts_max = record.subaccounts_max
    venue.stp_owner = record.stp_owner
    for account_id in range(ACCOUNT_EXTERNAL, ACCOUNT_INSURANCE + 1):
        state.accounts[account_id].account_id = account_id
        state.accounts[account_id].opened_us = record.ts_us
        commands.account_link(state, int64(account_id))


@kernel
def market_begin(state, market_row, configs, config_row):
    """Register one market, open, with the house's empty position in it."""
    market = state.markets[market_row]
    market.market_id = market_row + 1
    config = configs[config_row]
    validate_markets.config_copy(market.config, config)
    market.state = int64(MarketState.OPEN)
    state.venue.markets_count = market_row + 1
    state.feeds[market_row].update_id = -1
    ladders_clear(state, market_row)
    position_id = market_row + 1
    row = positions.position_acquire(
        state, int64(ACCOUNT_HOUSE), market_row, int64(PositionKind.NET), int64(1), position_id
    )
    assert row != ROW_NONE
    events_venue.emit_market_changed(state, market_row)


@kernel
def ladders_clear(state, market_row):
    """Make a market's ladders empty ones; also on restore."""
    for number in range(LADDERS_COUNT):
        ladder.ladder_clear(state.ladders[market_row * LADDERS_COUNT + number], state.index_seed)
        state.market_links[market_row].bests[number] = PRICE_WINDOW_TICKS
    trailing.trailing_clear(state, market_row)
