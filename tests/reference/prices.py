"""
Quotes and marks: which are taken, which are ignored and why; candles of the mid.
"""

from fractions import Fraction
from typing import Any

from tests.reference.markets import WINDOW_TICKS, Candidate, Market
from tests.reference.memory import SECOND_US
from tests.reference.state import State
from tests.reference.texts import ceil_of, feed_number, floor_of, half_even, half_text

MINUTE_US = 60_000_000
DAY_US = 86_400 * SECOND_US
LAG_BUCKETS = 10


def quote_apply(state: State, body: dict[str, Any], ts_us: int, session: str) -> str:
    """Take or ignore one outside quote; returns the reason."""
    market = state.markets.get(body["s"])
    if market is None:
        return "MARKET_UNKNOWN"
    reason, bid, ask = quote_judge(state, market, body, ts_us, session)
    if reason != "ACCEPTED":
        market.ignored[reason] = market.ignored.get(reason, 0) + 1
        return reason
    market.bid, market.ask = bid, ask
    market.bid_size, market.ask_size = size_lots(market, body.get("B")), size_lots(market, body.get("A"))
    market.used = {1: 0, -1: 0}
    market.quote_us, market.quoted_in_session = state.log_time_us, True
    market.quoted_now = market.touched = True
    if market.mark_us < 0 or state.log_time_us - market.mark_us > 10 * SECOND_US:
        market.mark = market.mid_doubled // 2
    candle_add(market)
    peaks_move(state, market)
    return reason


def size_lots(market: Market, size: Any) -> int:
    """Return a displayed size in whole lots; none or less is nothing."""
    return 0 if size is None else max(0, floor_of(Fraction(size) / market.lot))


def peaks_move(state: State, market: Market) -> None:
    """Let the peaks of active trailing stops follow the present prices, one way only."""
    for order in state.orders.values():
        if order.market is market and order.status == "trigger" and order.price_peak is not None:
            price = market.source(order.sign, order.trigger_by or "quote")
            order.price_peak = max(order.price_peak, price) if order.sign < 0 else min(order.price_peak, price)


def quote_judge(state: State, market: Market, body: dict[str, Any], ts_us: int, session: str) -> tuple[str, int, int]:
    """Return why a quote is ignored, or ACCEPTED, with its bid rounded down and its ask rounded up to ticks."""
    if session != state.session or not state.feed_up:
        return "SESSION_OTHER", 0, 0
    newer = body["u"] > market.update_id
    market.update_id = max(market.update_id, body["u"])
    lag = ts_us - body["E"]
    buy, sell = (feed_number(body[side]) if body[side] is not None else Fraction(0) for side in ("b", "a"))
    bid, ask = floor_of(buy / market.tick), ceil_of(sell / market.tick)
    inside = bid >= 1 and ask < WINDOW_TICKS
    checks = [
        ("SIDE_MISSING", lambda: buy <= 0 or sell <= 0),
        ("CROSSED", lambda: buy >= sell),
        ("SPREAD_WIDE", lambda: inside and 2_000_000 * (ask - bid) > market.rates["spread_max_ppm"] * (bid + ask)),
        ("OUT_OF_ORDER", lambda: not newer),
        ("EARLY", lambda: -lag > 2 * SECOND_US),
        ("LATE", lambda: lag - lag_smallest(state, lag) > 2 * SECOND_US),
        ("OUT_OF_WINDOW", lambda: not inside),
    ]
    for reason, broken in checks:
        if broken():
            return reason, bid, ask
    reference = market.mid_doubled
    aged = state.log_time_us - market.quote_us > MINUTE_US
    calm = not reference or aged or within(bid + ask, reference, market.rates["spike_ppm"])
    taken, market.quote_candidate = confirm(market.quote_candidate, bid + ask, calm)
    return ("ACCEPTED" if taken else "SPIKE"), bid, ask


def within(doubled: int, reference: int, ppm: int) -> bool:
    """Return whether a doubled price is at most `ppm` away from a doubled reference."""
    return Fraction(abs(doubled - reference) * 1_000_000, reference) <= ppm


def confirm(candidate: Candidate | None, doubled: int, calm: bool) -> tuple[bool, Candidate | None]:
    """Return whether a price is taken, and the candidate that waits afterwards."""
    if calm:
        return True, None
    if candidate is None or not within(doubled, candidate.doubled, 10_000):
        return False, Candidate(doubled)
    if candidate.count + 1 == 3:
        return True, None
    return False, Candidate(candidate.doubled, candidate.count + 1)


def lags_recent(state: State) -> list[int]:
    """Return the smallest lag of each minute that is still within the last ten."""
    minute = state.log_time_us // MINUTE_US
    return [lag for at, lag in state.lags.items() if minute - at < LAG_BUCKETS]


def lag_smallest(state: State, lag: int) -> int:
    """Remember a lag and return the smallest of the last ten minutes."""
    lag_note(state, lag)
    return min(lags_recent(state))


def lag_note(state: State, lag: int) -> None:
    """Remember the lag if it is the smallest of the running minute."""
    minute = state.log_time_us // MINUTE_US
    state.lags[minute] = min(lag, state.lags.get(minute, lag))


def mark_apply(state: State, body: dict[str, Any], ts_us: int, session: str) -> str:
    """Take or ignore one mark; returns the reason."""
    market = state.markets.get(body["s"])
    if market is None:
        return "MARKET_UNKNOWN"
    reason, ticks = mark_judge(state, market, body, ts_us, session)
    if reason != "ACCEPTED":
        market.ignored[reason] = market.ignored.get(reason, 0) + 1
        return reason
    market.mark, market.mark_us, market.touched = ticks, state.log_time_us, True
    index = body.get("i")
    if index is not None and 1 <= nearest_half_down(feed_number(index) / market.tick) < WINDOW_TICKS:
        market.index = nearest_half_down(feed_number(index) / market.tick)
    funding_take(state, market, body)
    peaks_move(state, market)
    return reason


def funding_take(state: State, market: Market, body: dict[str, Any]) -> None:
    """Take the next funding from a frame unless it is settled, past, too far off, or later than what is not settled."""
    if body.get("f") is None or body.get("n") is None:
        return
    due_ms, now_us = body["n"], state.log_time_us
    if due_ms <= market.funding_settled_ms or due_ms * 1_000 <= now_us or due_ms * 1_000 > now_us + DAY_US:
        return
    if market.funding_next_ms and due_ms > market.funding_next_ms:
        return
    market.funding_next_ms, market.funding_rate_ppb = due_ms, half_even(Fraction(body["f"]) * 10**9)


def nearest_half_down(number: Fraction) -> int:
    """Return the nearest integer, the lower one of two."""
    return ceil_of(number - Fraction(1, 2))


def mark_judge(state: State, market: Market, body: dict[str, Any], ts_us: int, session: str) -> tuple[str, int]:
    """Return why a mark is ignored, or ACCEPTED, with its nearest tick."""
    if session != state.session or not state.feed_up:
        return "SESSION_OTHER", 0
    if not market.bid:
        return "QUOTE_MISSING", 0
    ticks = nearest_half_down(feed_number(body["p"]) / market.tick)
    if feed_number(body["p"]) <= 0:
        return "NOT_POSITIVE", ticks
    if body["E"] <= market.mark_event_us:
        return "OUT_OF_ORDER", ticks
    if body["E"] - ts_us > 2 * SECOND_US:
        return "EARLY", ticks
    market.mark_event_us = body["E"]
    if not 1 <= ticks < WINDOW_TICKS:
        return "OUT_OF_WINDOW", ticks
    calm = within(2 * ticks, market.mid_doubled, market.rates["mark_band_ppm"])
    taken, market.mark_candidate = confirm(market.mark_candidate, 2 * ticks, calm)
    return ("ACCEPTED" if taken else "SPIKE"), ticks


def feed_status_apply(state: State, body: dict[str, Any], session: str) -> None:
    """Open a feed session, or close the one in force; another source forgets the lags of the former."""
    if body["status"] == "down":
        if session == state.session:
            state.feed_up = False
        return
    if body["source"] != state.source:
        state.lags.clear()
    state.session, state.source, state.feed_up = session, body["source"], True
    state.price_age_max_ms = body.get("price_age_max_ms")
    for market in state.markets.values():
        market.quoted_in_session = False
        market.update_id, market.mark_event_us = -1, -1
        market.quote_candidate, market.mark_candidate = None, None


def candle_add(market: Market) -> None:
    """Count an accepted quote into the running minute."""
    mid = market.mid_doubled
    market.candle.append(mid)
    market.candle_quotes += 1
    market.candle_close = mid


def candles_close(state: State, minute_us: int) -> None:
    """Emit the candle of the minute that log time has left, a market each, and begin the next one."""
    for market in state.markets.values():
        mids = market.candle or ([market.candle_close] if market.candle_close else [])
        texts = [half_text(mid, market.tick) for mid in (mids[0], max(mids), min(mids), mids[-1])] if mids else []
        state.emit(
            "candle",
            market=market.name,
            minute_ms=minute_us // 1_000,
            **dict(zip(("open", "high", "low", "close"), texts, strict=False)),
            quotes=market.candle_quotes,
        )
        market.candle, market.candle_quotes = [], 0
