"""
Candles of any width from stored minutes, and the running one from the market's view.

A minute without a quote has no candle. A candle is complete once every minute of it is stored: minutes come without a
gap, so the newest stored one says so. Only whole minutes are ever joined.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from shared.database import Database

MINUTE_MS = 60_000
INTERVALS = {
    "1m": MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "1d": 1_440 * MINUTE_MS,
}
MINUTES_MAX = 30 * 1_440  # that one page is made of
MINUTES_OF_REQUEST = 3 * 1_440  # a page of more counts as several requests
TIME_MAX_MS = 2**52
NEWEST_SELECT = "SELECT max(minute_ms) AS minute_ms FROM candles WHERE venue = $1 AND market = $2 AND minute_ms < $3"
CANDLES_SELECT = (
    "SELECT minute_ms / $3::bigint * $3 AS open_ms, (array_agg(data ->> 'open' ORDER BY minute_ms))[1] AS open,"
    " max((data ->> 'high')::numeric)::text AS high, min((data ->> 'low')::numeric)::text AS low,"
    " (array_agg(data ->> 'close' ORDER BY minute_ms DESC))[1] AS close,"
    " sum((data ->> 'quotes')::bigint)::bigint AS quotes, max(minute_ms) AS last_ms"
    " FROM candles WHERE venue = $1 AND market = $2 AND minute_ms >= $4 AND minute_ms < $5"
    " AND data ->> 'open' IS NOT NULL"
    " GROUP BY 1 ORDER BY 1 DESC LIMIT $6"
)
PRICES = ("open", "high", "low", "close")


class Wanted(NamedTuple):
    """Which candles are wanted: of which width, opened from when on and before when, and how many."""

    width_ms: int
    from_ms: int
    to_ms: int
    limit: int

    def spans(self) -> int:
        """Return how many candles' times a page looks at; what it does not reach is the next one's."""
        return max(1, min(self.limit, MINUTES_MAX * MINUTE_MS // self.width_ms))

    def requests(self) -> int:
        """Return as how many requests a page counts."""
        return -(-self.spans() * self.width_ms // (MINUTES_OF_REQUEST * MINUTE_MS))

    def opened(self, time_ms: int) -> int:
        """Return when the candle of a time opened."""
        return time_ms // self.width_ms * self.width_ms


class Found(NamedTuple):
    """A page of candles, newest first, and before which opening the next page goes on; None at the end."""

    items: list[dict[str, Any]]
    before_ms: int | None


async def candles_read(
    database: Database, venue: str, market: str, wanted: Wanted, running: Mapping[str, Any] | None
) -> Found:
    """Return the newest wanted candles; `running` is the minute that runs, None where it is not asked for."""
    width_ms = wanted.width_ms
    first_ms = -(-wanted.from_ms // width_ms) * width_ms
    end_ms = -(-wanted.to_ms // width_ms) * width_ms
    stored_ms = await newest_ms(database, venue, market, TIME_MAX_MS)
    items: list[dict[str, Any]] = []
    low_ms = end_ms
    newest = await newest_ms(database, venue, market, end_ms)
    if newest >= first_ms:
        high_ms = wanted.opened(newest) + width_ms
        low_ms = max(first_ms, high_ms - wanted.spans() * width_ms)
        rows = await database.fetch(CANDLES_SELECT, venue, market, width_ms, low_ms, high_ms, wanted.limit)
        items = [candle_of(row, row["open_ms"] + width_ms <= stored_ms + MINUTE_MS) for row in rows]
        # A minute may have been stored since it was asked which is the newest.
        stored_ms = max([stored_ms, *(row["last_ms"] for row in rows)])
    asked = running is not None and first_ms <= wanted.opened(running["minute_ms"]) < end_ms
    if asked and running is not None and running["minute_ms"] > stored_ms:
        items = joined(items, running, wanted)
    following = low_ms if low_ms > first_ms and await newest_ms(database, venue, market, low_ms) >= first_ms else None
    if len(items) > wanted.limit:
        items = items[: wanted.limit]
        following = items[-1]["open_ms"]
    return Found(items, following)


def candle_of(row: Mapping[str, Any], complete: bool) -> dict[str, Any]:
    """Return a candle of stored minutes as it is told."""
    return {name: row[name] for name in ("open_ms", *PRICES, "quotes")} | {"complete": complete}


async def newest_ms(database: Database, venue: str, market: str, before_ms: int) -> int:
    """Return the newest stored minute before a time, −1 when there is none."""
    row = await database.fetchrow(NEWEST_SELECT, venue, market, before_ms)
    return -1 if row is None or row["minute_ms"] is None else int(row["minute_ms"])


def joined(items: list[dict[str, Any]], running: Mapping[str, Any], wanted: Wanted) -> list[dict[str, Any]]:
    """Return stored candles, the newest first, with the running minute in the one that it belongs to."""
    open_ms = wanted.opened(running["minute_ms"])
    mine = {"open_ms": open_ms} | {name: running[name] for name in PRICES}
    mine |= {"quotes": running["quotes"], "complete": False}
    if not items or items[0]["open_ms"] != open_ms:
        return [mine, *items]
    known = items[0]
    mine["open"] = known["open"]
    mine["high"] = max(known["high"], running["high"], key=Decimal)
    mine["low"] = min(known["low"], running["low"], key=Decimal)
    mine["quotes"] += known["quotes"]
    return [mine, *items[1:]]


def running_of(view: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the running minute that a market's view states, None while it has no quote."""
    candle: dict[str, Any] = orjson.loads(view.get("candle") or "{}")
    return candle if all(name in candle for name in (*PRICES, "minute_ms", "quotes")) else None
