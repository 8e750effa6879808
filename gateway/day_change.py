"""
How much a market's price has changed in a day: from the first stored candle of the last 24 hours to the mark.

The candle is asked for at most once a minute. Nobody waits longer than a moment for Postgres to learn a price: what is
not known yet is left out.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gateway.valuation import percent_text
from shared.database import Database, DatabaseError
from shared.units import decimal_e12, decimal_parse

DAY_MS = 86_400_000
LOOK_S = 60.0
AGAIN_S = 5.0  # after a look that failed
PATIENCE_S = 0.05  # of whoever began a look; it goes on, and the next one sees what it found
OPEN_SELECT = (
    "SELECT minute_ms, data ->> 'open' AS open FROM candles WHERE venue = $1 AND market = $2 AND minute_ms >= $3"
    " AND data ->> 'open' IS NOT NULL ORDER BY minute_ms LIMIT 1"
)


class DayOpen(NamedTuple):
    """The price with which a market's last 24 hours began, and the minute that it is of."""

    price: str
    minute_ms: int


class DayOpens:
    """What is known of each market's beginning."""

    def __init__(
        self, database: Database, venue: str, now_us: Callable[[], int], monotonic_s: Callable[[], float]
    ) -> None:
        """Start with nothing."""
        self._database = database
        self._venue = venue
        self._now_us = now_us
        self._monotonic_s = monotonic_s
        self._known: dict[str, DayOpen | None] = {}
        self._due_s: dict[str, float] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    def known(self, market: str) -> DayOpen | None:
        """Return what was found last, None when nothing is known."""
        return self._known.get(market)

    async def look(self, market: str) -> DayOpen | None:
        """Return the same after asking, if it is time; while Postgres is away what was found last stands."""
        now_s = self._monotonic_s()
        if now_s >= self._due_s.get(market, now_s) and market not in self._looking:
            task = self._looking[market] = asyncio.ensure_future(self._look_now(market))
            task.add_done_callback(lambda _ended: self._looking.pop(market))
            await asyncio.wait({task}, timeout=PATIENCE_S)
        return self.known(market)

    async def _look_now(self, market: str) -> None:
        """Ask for the candle; where that fails what was found last stands, and it is asked for again soon."""
        again_s = AGAIN_S
        try:
            from_ms = self._now_us() // 1_000 - DAY_MS
            self._known[market] = day_open(await self._database.fetchrow(OPEN_SELECT, self._venue, market, from_ms))
            again_s = LOOK_S
        except DatabaseError:
            pass
        finally:
            self._due_s[market] = self._monotonic_s() + again_s


def day_open(row: Mapping[str, Any] | None) -> DayOpen | None:
    """Return what a stored candle says the day began with, None for what is no price."""
    if row is None or max(decimal_parse(row["open"]) or (0, 0)) <= 0:
        return None
    return DayOpen(row["open"], row["minute_ms"])


def change_body(opened: DayOpen | None, mark: str | None) -> dict[str, Any]:
    """Return what a ticker says of the day, nothing of what is not known."""
    if opened is None:
        return {}
    body: dict[str, Any] = {"open_24h": opened.price, "open_24h_ms": opened.minute_ms}
    if mark:
        open_e12 = decimal_e12(opened.price)
        body["change_24h"] = percent_text(decimal_e12(mark) - open_e12, open_e12)
    return body
