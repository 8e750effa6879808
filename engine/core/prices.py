"""
Accept or ignore a quote and a mark: order, spread, lateness, spike; the mark price; freshness.

An ignored update changes what the feed has said (`feeds`), never the market.
"""

from numpy import int64

from engine.core import funding, limits, trailing
from engine.core.integers import decimal_steps
from engine.core.kernel import kernel
from engine.core.limits import PPM, PRICE_TICKS_MAX
from engine.core.schema import LAG_NONE
from shared.codes import FeedStatus, IgnoreReason, MarketState
from shared.records import NAME_WORDS, PRESENT_ASK, PRESENT_BID, PRESENT_FUNDING, PRESENT_INDEX, TEXT_WORDS

MARKET_NONE = -1


@kernel
def market_find(state, name):
    """Return the row of the market with this name (words), or MARKET_NONE."""
    found = int64(MARKET_NONE)
    # To its end, without a branch: which market an entry is of cannot be guessed.
    for market_row in range(state.venue.markets_count):
        own = state.markets[market_row].config.market
        other = int64(0)
        for word in range(NAME_WORDS):
            other |= own[word] ^ name[word]
        found = int64(market_row) if other == 0 else found
    return found


@kernel
def session_is_current(state, command):
    """Return whether an entry belongs to the feed session in force, and the feed is up."""
    if state.header.feed_status != FeedStatus.UP:
        return False
    for word in range(TEXT_WORDS):
        if state.header.feed_session[word] != command.session[word]:
            return False
    return True


@kernel
def feed_status_apply(state, command):
    """
    Open or close a feed session: every market is stale until its first quote in a new one.

    Writes: the header's feed fields, feeds of every market.
    """
    header = state.header
    if command.status == FeedStatus.DOWN:
        if session_is_current(state, command):
            header.feed_status = command.status
        return
    same_source = True
    for word in range(TEXT_WORDS):
        same_source = same_source and header.feed_source[word] == command.source[word]
        header.feed_session[word] = command.session[word]
        header.feed_source[word] = command.source[word]
    if not same_source:
        for minute in range(limits.LAG_MINUTES):
            header.lag_us[minute] = LAG_NONE
        lag_least_find(state)
    header.feed_status = command.status
    header.feed_term += 1
    header.feed_price_age_max_ms = command.price_age_max_ms
    for market_row in range(state.venue.markets_count):
        feed = state.feeds[market_row]
        feed.update_id = -1
        feed.mark_event_us = 0
        feed.candidate_x2 = 0
        feed.candidate_count = 0
        feed.mark_candidate_ticks = 0
        feed.mark_candidate_count = 0


@kernel
def price_update_apply(state, command):
    """
    Accept a quote into its market, or count why not.

    Writes: feeds, header.lag_us; if accepted the market's prices, its candle and `touched`.
    """
    market_row = market_find(state, command.market)
    if market_row == MARKET_NONE:
        state.header.feed_unknown_market += 1
        return
    feed = state.feeds[market_row]
    if not session_is_current(state, command):
        feed.quotes_ignored[int64(IgnoreReason.SESSION_OTHER)] += 1
        return
    config = state.markets[market_row].config
    bid_ticks, bid_rest = decimal_steps(command.bid_units, command.bid_e12, config.tick_e12)
    ask_ticks, ask_rest = decimal_steps(command.ask_units, command.ask_e12, config.tick_e12)
    if bid_rest != 0 or ask_rest != 0:
        feed.quotes_off_grid += 1
        ask_ticks += int64(ask_rest != 0)
    reason = quote_judge(state, market_row, command, bid_ticks, ask_ticks)
    feed.update_id = max(feed.update_id, command.update_id)
    if reason != int64(IgnoreReason.ACCEPTED):
        feed.quotes_ignored[reason] += 1
        return
    feed.quotes_accepted += 1
    bid_lots, _ = decimal_steps(command.bid_size_units, command.bid_size_e12, config.lot_e12)
    ask_lots, _ = decimal_steps(command.ask_size_units, command.ask_size_e12, config.lot_e12)
    quote_accept(state, market_row, bid_ticks, ask_ticks, max(bid_lots, int64(0)), max(ask_lots, int64(0)))


@kernel
def quote_judge(state, market_row, command, bid_ticks, ask_ticks):
    """Return the IgnoreReason of a quote of the current session, ACCEPTED if there is none."""
    feed = state.feeds[market_row]
    config = state.markets[market_row].config
    if command.present & (PRESENT_BID | PRESENT_ASK) != PRESENT_BID | PRESENT_ASK:
        return int64(IgnoreReason.SIDE_MISSING)
    if not positive(command.bid_units, command.bid_e12) or not positive(command.ask_units, command.ask_e12):
        return int64(IgnoreReason.SIDE_MISSING)
    if command.bid_units > command.ask_units or (
        command.bid_units == command.ask_units and command.bid_e12 >= command.ask_e12
    ):
        return int64(IgnoreReason.CROSSED)
    # Beyond the window the products below could leave 64 bits; the reason is reported in its own place.
    outside = bid_ticks < 1 or ask_ticks > PRICE_TICKS_MAX
    if not outside and 2 * (ask_ticks - bid_ticks) * PPM > config.spread_max_ppm * (ask_ticks + bid_ticks):
        return int64(IgnoreReason.SPREAD_WIDE)
    if command.update_id <= feed.update_id:
        return int64(IgnoreReason.OUT_OF_ORDER)
    # Only a quote that is sound so far sets the yardstick of lateness, and none from the future does.
    lag_us = command.ts_us - command.event_us
    if lag_us < -limits.QUOTE_LATE_US:
        return int64(IgnoreReason.EARLY)
    if lag_note(state, lag_us):
        return int64(IgnoreReason.LATE)
    if outside:
        return int64(IgnoreReason.OUT_OF_WINDOW)
    return spike_judge(state, market_row, bid_ticks + ask_ticks)


@kernel
def positive(units, e12):
    """Return whether a decimal is greater than zero."""
    return units > 0 or (units == 0 and e12 > 0)


@kernel
def lag_note(state, lag_us):
    """
    Remember one lag and return whether it exceeds the smallest of the last ten minutes by more than two seconds.

    The ten minutes are buckets of log time: the running one and the nine before.
    """
    header = state.header
    minute = header.log_time_us // limits.MINUTE_US
    if minute != header.lag_minute:
        lag_minute_begin(state, minute)
    bucket = minute % limits.LAG_MINUTES
    header.lag_us[bucket] = min(header.lag_us[bucket], lag_us)
    state.lag_least_us = min(state.lag_least_us, lag_us)
    return lag_us - state.lag_least_us > limits.QUOTE_LATE_US


@kernel
def lag_minute_begin(state, minute):
    """Forget the lags that are ten minutes old."""
    header = state.header
    steps = min(minute - header.lag_minute, int64(limits.LAG_MINUTES))
    for step in range(steps):
        header.lag_us[(minute - step) % limits.LAG_MINUTES] = LAG_NONE
    header.lag_minute = minute
    lag_least_find(state)


@kernel
def lag_least_find(state):
    """Find the smallest lag of the last ten minutes; also on restore."""
    state.lag_least_us = LAG_NONE
    for index in range(limits.LAG_MINUTES):
        state.lag_least_us = min(state.lag_least_us, state.header.lag_us[index])


@kernel
def spike_judge(state, market_row, mid_x2):
    """Return SPIKE for a mid far from the last accepted one, until three updates in a row agree on it."""
    feed = state.feeds[market_row]
    market = state.markets[market_row]
    last_x2 = market.bid_ticks + market.ask_ticks
    known = market.quote_us != 0 and state.header.log_time_us - market.quote_us <= limits.SPIKE_MEMORY_US
    if not known or abs(mid_x2 - last_x2) * PPM <= market.config.spike_ppm * last_x2:
        feed.candidate_x2 = 0
        feed.candidate_count = 0
        return int64(IgnoreReason.ACCEPTED)
    if feed.candidate_count > 0 and abs(mid_x2 - feed.candidate_x2) * PPM <= limits.CANDIDATE_PPM * feed.candidate_x2:
        feed.candidate_count += 1
    else:
        feed.candidate_x2 = mid_x2
        feed.candidate_count = 1
    if feed.candidate_count < limits.CONFIRMATIONS:
        return int64(IgnoreReason.SPIKE)
    feed.candidate_x2 = 0
    feed.candidate_count = 0
    return int64(IgnoreReason.ACCEPTED)


@kernel
def quote_accept(state, market_row, bid_ticks, ask_ticks, bid_lots, ask_lots):
    """
    Make a quote the market's own, its displayed sizes unused; it moves the mark only while no mark frame does.

    Writes: the market's prices and candle, trailing stops' peaks, `quoted`, `touched`.
    """
    market = state.markets[market_row]
    now_us = state.header.log_time_us
    market.bid_ticks = bid_ticks
    market.ask_ticks = ask_ticks
    market.bid_lots = bid_lots
    market.ask_lots = ask_lots
    market.quote_us = now_us
    market.quote_term = state.header.feed_term
    if market.mark_us == 0 or now_us - market.mark_us > limits.MARK_QUIET_US:
        market.mark_ticks = (bid_ticks + ask_ticks) // 2
    mid_x2 = bid_ticks + ask_ticks
    if market.candle_quotes == 0:
        market.candle_open_x2 = mid_x2
        market.candle_high_x2 = mid_x2
        market.candle_low_x2 = mid_x2
    market.candle_high_x2 = max(market.candle_high_x2, mid_x2)
    market.candle_low_x2 = min(market.candle_low_x2, mid_x2)
    market.candle_close_x2 = mid_x2
    market.candle_quotes += 1
    market.bid_used_lots = 0
    market.ask_used_lots = 0
    state.market_links[market_row].quoted = 1
    trailing.trailing_follow(state, market_row)
    state.touched |= int64(1) << market_row


@kernel
def nearest_ticks(units, e12, tick_e12):
    """Return the nearest tick of a price, half down."""
    ticks, rest = decimal_steps(units, e12, tick_e12)
    return ticks + int64(2 * rest > tick_e12)


@kernel
def mark_update_apply(state, command):
    """
    Accept a mark frame into its market, or count why not.

    Writes: feeds; if accepted the market's mark, index and funding, trailing stops' peaks, and `touched`.
    """
    market_row = market_find(state, command.market)
    if market_row == MARKET_NONE:
        state.header.feed_unknown_market += 1
        return
    feed = state.feeds[market_row]
    market = state.markets[market_row]
    mark_ticks = nearest_ticks(command.mark_units, command.mark_e12, market.config.tick_e12)
    reason = mark_judge(state, market_row, command, mark_ticks)
    if (
        reason == int64(IgnoreReason.ACCEPTED)
        or reason == int64(IgnoreReason.OUT_OF_WINDOW)
        or reason == int64(IgnoreReason.SPIKE)
    ):
        # An ignored frame consumes its time too: the same frame three times confirms nothing.
        feed.mark_event_us = command.event_us
    if reason != int64(IgnoreReason.ACCEPTED):
        feed.marks_ignored[reason] += 1
        return
    feed.marks_accepted += 1
    market.mark_ticks = mark_ticks
    market.mark_us = state.header.log_time_us
    if command.present & PRESENT_INDEX:
        index_ticks = nearest_ticks(command.index_units, command.index_e12, market.config.tick_e12)
        if 1 <= index_ticks <= PRICE_TICKS_MAX:
            market.index_ticks = index_ticks
    if command.present & PRESENT_FUNDING:
        funding.funding_note(state, market_row, command)
    trailing.trailing_follow(state, market_row)
    state.touched |= int64(1) << market_row


@kernel
def mark_judge(state, market_row, command, mark_ticks):
    """Return the IgnoreReason of a mark frame, ACCEPTED if there is none."""
    feed = state.feeds[market_row]
    market = state.markets[market_row]
    if not session_is_current(state, command):
        return int64(IgnoreReason.SESSION_OTHER)
    if market.quote_us == 0:
        return int64(IgnoreReason.QUOTE_MISSING)
    if not positive(command.mark_units, command.mark_e12):
        return int64(IgnoreReason.NOT_POSITIVE)
    if command.event_us <= feed.mark_event_us:
        return int64(IgnoreReason.OUT_OF_ORDER)
    if command.event_us - command.ts_us > limits.QUOTE_LATE_US:
        return int64(IgnoreReason.EARLY)
    if mark_ticks < 1 or mark_ticks > PRICE_TICKS_MAX:
        return int64(IgnoreReason.OUT_OF_WINDOW)
    mid_x2 = market.bid_ticks + market.ask_ticks
    if abs(2 * mark_ticks - mid_x2) * PPM <= market.config.mark_band_ppm * mid_x2:
        feed.mark_candidate_ticks = 0
        feed.mark_candidate_count = 0
        return int64(IgnoreReason.ACCEPTED)
    near = abs(mark_ticks - feed.mark_candidate_ticks) * PPM <= limits.CANDIDATE_PPM * feed.mark_candidate_ticks
    if feed.mark_candidate_count > 0 and near:
        feed.mark_candidate_count += 1
    else:
        feed.mark_candidate_ticks = mark_ticks
        feed.mark_candidate_count = 1
    if feed.mark_candidate_count < limits.CONFIRMATIONS:
        return int64(IgnoreReason.SPIKE)
    feed.mark_candidate_ticks = 0
    feed.mark_candidate_count = 0
    return int64(IgnoreReason.ACCEPTED)


@kernel
def fresh(state, market_row):
    """
    Return whether a market's prices may be traded on now.

    The feed is up, no spike is pending, a quote came in this session, and the newest quote or mark is young; when only
    the mark is, the quote is at most 60 s old and the mark lies within one taker fee of its mid.
    """
    header = state.header
    market = state.markets[market_row]
    if header.feed_status != FeedStatus.UP or state.feeds[market_row].candidate_count > 0:
        return False
    if market.quote_term != header.feed_term:
        return False
    age_max_ms = header.feed_price_age_max_ms
    if age_max_ms == 0:
        age_max_ms = market.config.price_age_max_ms
    age_max_us = age_max_ms * 1000
    quote_age_us = header.log_time_us - market.quote_us
    if quote_age_us < age_max_us:
        return True
    if header.log_time_us - market.mark_us >= age_max_us:
        return False
    mid_x2 = market.bid_ticks + market.ask_ticks
    near = abs(2 * market.mark_ticks - mid_x2) * PPM <= market.config.fee_taker_ppm * mid_x2
    return quote_age_us <= limits.QUOTE_OLD_US and near


@kernel
def tradable(state, market_row):
    """Return whether fills, triggers and liquidations may happen in a market now."""
    return state.markets[market_row].state != MarketState.HALTED and fresh(state, market_row)
