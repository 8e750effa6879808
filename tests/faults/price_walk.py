"""
The prices of one market as docs/risk.md and the design state them, read from the log with Fractions; no engine code.

Log time, sessions, accepted quotes and marks with their confirmations, freshness. The recordings of these tests are
what it must understand; what it cannot read stops the test.
"""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import orjson

SECOND_US = 1_000_000
TICK_LEAD_US = 2 * SECOND_US
TICK_JUMP_US = 5 * SECOND_US
MARK_QUIET_US = 10 * SECOND_US
SPIKE_MEMORY_US = 60 * SECOND_US
QUOTE_OLD_US = 60 * SECOND_US


def million(ppm: int) -> Fraction:
    """Return a rate in parts per million as a fraction."""
    return Fraction(ppm, 1_000_000)


@dataclass
class Candidate:
    """A price that was too far away, and how often it was seen in a row."""

    price: Fraction = Fraction(0)
    count: int = 0

    def confirmed(self, price: Fraction) -> bool:
        """Count one more sight within 1 %, or begin anew; True, and forgotten, at the third."""
        near = self.count > 0 and abs(price - self.price) <= self.price / 100
        self.price, self.count = (self.price, self.count + 1) if near else (price, 1)
        if self.count == 3:
            self.count = 0
            return True
        return False


@dataclass
class PriceWalk:
    """One market between two entries."""

    market: dict[str, Any]  # its parameters, as the venue publishes them
    log_time_us: int = 0
    tick_time_us: int = 0
    tick_pending_us: int = 0
    session: str = ""
    bid: Fraction = Fraction(0)
    ask: Fraction = Fraction(0)
    mark: Fraction = Fraction(0)
    quote_us: int = 0
    mark_us: int = 0
    quote_in_session: bool = False
    update_id: int = -1
    mark_event_us: int = 0
    quote_candidate: Candidate = field(default_factory=Candidate)
    mark_candidate: Candidate = field(default_factory=Candidate)
    quotes: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)

    def entry(self, fields: list[tuple[bytes, bytes]]) -> bool:
        """Take one entry of the log; return whether it was a quote or mark that the market accepted."""
        texts = {name.decode(): value for name, value in fields}
        ts_us = int(texts.pop("ts"))
        session = texts.pop("session", b"").decode()
        [(kind, value)] = texts.items()
        body = orjson.loads(value)
        if kind == "genesis":
            self.tick_time_us = self.log_time_us = ts_us
            return False
        self.time_move(kind, ts_us)
        if kind == "feed_status":
            self.session_move(session, body)
        if kind not in ("price_update", "mark_update") or body["s"] != self.market["market"]:
            return False
        take, counts = (self.quote_take, self.quotes) if kind == "price_update" else (self.mark_take, self.marks)
        reason = take(body) if session == self.session else "session_other"
        counts[reason] += 1
        return reason == "accepted"

    def time_move(self, kind: str, ts_us: int) -> None:
        """Move log time, never beyond the last accepted tick + 2 s."""
        if kind == "clock_tick":
            pending_us, self.tick_pending_us = self.tick_pending_us, 0
            near = pending_us != 0 and abs(ts_us - pending_us) <= TICK_JUMP_US
            if ts_us - self.tick_time_us <= TICK_JUMP_US or near:
                self.tick_time_us = max(self.tick_time_us, ts_us)
            else:
                self.tick_pending_us = ts_us
        self.log_time_us = max(self.log_time_us, min(ts_us, self.tick_time_us + TICK_LEAD_US))

    def session_move(self, session: str, body: dict[str, Any]) -> None:
        """Open or close a session; an open one begins without any quote."""
        if body["status"] == "down":
            self.session = "" if session == self.session else self.session
            return
        self.session = session
        self.quote_in_session, self.update_id, self.mark_event_us = False, -1, 0
        self.quote_candidate, self.mark_candidate = Candidate(), Candidate()

    def quote_take(self, body: dict[str, Any]) -> str:
        """Accept a quote, or return why not."""
        bid, ask = Fraction(body["b"]), Fraction(body["a"])
        newer, self.update_id = body["u"] > self.update_id, max(self.update_id, body["u"])
        if not 0 < bid < ask:
            return "crossed"
        mid = (bid + ask) / 2
        if ask - bid > million(self.market["spread_max_ppm"]) * mid:
            return "spread_wide"
        if not newer:
            return "out_of_order"
        last = (self.bid + self.ask) / 2
        known = self.quote_us > 0 and self.log_time_us - self.quote_us <= SPIKE_MEMORY_US
        if known and abs(mid - last) > million(self.market["spike_ppm"]) * last:
            if not self.quote_candidate.confirmed(mid):
                return "spike"
        else:
            self.quote_candidate = Candidate()
        self.bid, self.ask = bid, ask
        self.quote_us, self.quote_in_session = self.log_time_us, True
        if self.mark_us == 0 or self.log_time_us - self.mark_us > MARK_QUIET_US:
            self.mark = self.on_tick(mid)
        return "accepted"

    def mark_take(self, body: dict[str, Any]) -> str:
        """Accept a mark, or return why not."""
        price = self.on_tick(Fraction(body["p"]) + Fraction(self.market["tick"]) / 2, half_down=True)
        if self.quote_us == 0:
            return "quote_missing"
        if body["E"] <= self.mark_event_us:
            return "out_of_order"
        self.mark_event_us = body["E"]
        mid = (self.bid + self.ask) / 2
        if abs(price - mid) <= million(self.market["mark_band_ppm"]) * mid:
            self.mark_candidate = Candidate()
        elif not self.mark_candidate.confirmed(price):
            return "spike"
        self.mark, self.mark_us = price, self.log_time_us
        return "accepted"

    def on_tick(self, price: Fraction, half_down: bool = False) -> Fraction:
        """Return a price floored to the tick; an exact half that was added to round is taken back."""
        tick = Fraction(self.market["tick"])
        whole = price // tick
        if half_down and price == whole * tick:
            whole -= 1
        return whole * tick

    def fresh(self) -> bool:
        """Return whether trades, triggers and liquidations may happen now."""
        if not self.session or self.quote_candidate.count or not self.quote_in_session:
            return False
        age_max_us = self.market["price_age_max_ms"] * 1_000
        quote_age_us = self.log_time_us - self.quote_us
        if quote_age_us < age_max_us:
            return True
        mid = (self.bid + self.ask) / 2
        near = abs(self.mark - mid) <= million(self.market["fee_taker_ppm"]) * mid
        young = self.mark_us > 0 and self.log_time_us - self.mark_us < age_max_us
        return young and near and quote_age_us <= QUOTE_OLD_US
