"""What the passing of log time brings, in order: forgotten requests, then the candle of a minute that has ended."""

from numpy import int64

from engine.core import events, requests
from engine.core.kernel import kernel
from engine.core.limits import KEYFRAME_US, MINUTE_US, TICK_JUMP_US, TICK_LEAD_US
from shared.codes import EntryKind


@kernel
def time_move(state, command):
    """
    Move log time: max(previous, min(ts, tick time + 2 s)), tick time being that of the last accepted clock_tick.

    A tick more than five seconds ahead takes effect when the next one confirms it. An unreadable entry has no time.
    """
    header = state.header
    if command.kind == EntryKind.MALFORMED:
        return
    if command.kind == EntryKind.CLOCK_TICK:
        tick_accept(header, command.ts_us)
    header.log_time_us = max(header.log_time_us, min(command.ts_us, header.tick_time_us + TICK_LEAD_US))


@kernel
def tick_accept(header, ts_us):
    """Accept a clock tick, or keep one that jumps until the next agrees with it."""
    pending_us = header.tick_pending_us
    if ts_us - header.tick_time_us <= TICK_JUMP_US:
        header.tick_pending_us = 0
        header.tick_time_us = max(header.tick_time_us, ts_us)
    elif pending_us != 0 and abs(ts_us - pending_us) <= TICK_JUMP_US:
        header.tick_pending_us = 0
        header.tick_time_us = ts_us
    else:
        header.tick_pending_us = ts_us


@kernel
def due_run(state):
    """Do everything that is due at or before log time."""
    header = state.header
    requests.requests_expire(state)
    minute = header.log_time_us // MINUTE_US
    if minute != header.minute:
        for market_row in range(state.venue.markets_count):
            candle_end(state, int64(market_row))
        header.minute = minute


@kernel
def candle_end(state, market_row):
    """Emit the candle of the minute that was running and begin the next at its close."""
    events.emit_candle(state, market_row, state.header.minute * (MINUTE_US // 1000))
    market = state.markets[market_row]
    market.candle_open_x2 = market.candle_close_x2
    market.candle_high_x2 = market.candle_close_x2
    market.candle_low_x2 = market.candle_close_x2
    market.candle_quotes = 0


@kernel
def keyframe_enter(header):
    """Return whether this entry is the first of a new ten-second slot, and remember the slot."""
    slot = header.log_time_us // KEYFRAME_US
    if slot == header.keyframe_slot:
        return False
    header.keyframe_slot = slot
    return True
