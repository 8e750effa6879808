"""
How an account's wallet balance went over time, out of the movements of its money; exact, in micro-USDC.

The wallet balance is free and reserved money and the margin of isolated positions together: the sum of all legs of the
ledger but those between an account and its own positions. What open positions would bring is no part of it: what they
were worth at past marks nobody has kept, so only the point of now has an equity.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.candles import INTERVALS
from gateway.errors import GatewayCode, Refusal
from shared.database import Database

POINTS_MAX = 500
BUCKETS_MAX = POINTS_MAX - 2  # one point is the balance at the beginning, one the balance of now
AT_ONCE_MAX = 2  # curves being summed: each goes through all movements of an account, and others read history too
WAITING_ACCOUNT_MAX = 4
BEFORE = -1  # the bucket of all that happened before the beginning
INTERVALS_US = {name: width_ms * 1_000 for name, width_ms in INTERVALS.items()}

SPAN_SELECT = (
    "SELECT min(booked_us) AS first_us, max(booked_us) AS last_us FROM ledger WHERE venue = $1 AND account_id = $2"
)
# A leg of the reason `margin` moves money into a position of the same account, or back. −1 is BEFORE.
BALANCES_SELECT = (
    "SELECT CASE WHEN booked_us < $3 THEN -1 ELSE booked_us / $5::bigint END AS bucket,"
    " max(booked_us) AS time_us, trunc(sum(amount) * 1000000)::text AS moved_e6"
    " FROM ledger WHERE venue = $1 AND account_id = $2 AND booked_us < $4"
    " AND data ->> 'reason' IS DISTINCT FROM 'margin' GROUP BY 1 ORDER BY 1"
)


class Range(NamedTuple):
    """Which part of an account's life is wanted, in steps of which interval; without one the finest that fits."""

    from_us: int
    to_us: int  # exclusive
    interval: str | None = None


class Point(NamedTuple):
    """What the wallet held right after the last movement of one step."""

    time_us: int
    balance_e6: int


class Curve(NamedTuple):
    """Balances, the oldest first, and in which steps they were taken."""

    interval: str
    points: list[Point]


class Curves:
    """Reads curves, few at a time and one of an account, so that a busy account's keep nobody from history."""

    def __init__(self, database: Database, venue: str) -> None:
        """Start with nobody waiting."""
        self._database = database
        self._venue = venue
        self._turn = asyncio.Semaphore(AT_ONCE_MAX)
        self._turns: dict[int, asyncio.Lock] = {}  # by account
        self._waiting: Counter[int] = Counter()

    async def read(self, account_id: int, wanted: Range, now_us: int) -> Curve:
        """Return how an account's wallet balance went; raises Refusal when too many ask for it, and DatabaseError."""
        if self._waiting[account_id] >= WAITING_ACCOUNT_MAX:
            raise Refusal(GatewayCode.HISTORY_UNAVAILABLE, {"reason": "too many questions wait"})
        self._waiting[account_id] += 1
        turn = self._turns.setdefault(account_id, asyncio.Lock())
        try:
            async with turn, self._turn:
                return await curve_read(self._database, self._venue, account_id, wanted, now_us)
        finally:
            self._waiting[account_id] -= 1
            if not self._waiting[account_id]:
                del self._waiting[account_id], self._turns[account_id]


async def curve_read(database: Database, venue: str, account_id: int, wanted: Range, now_us: int) -> Curve:
    """Return how an account's wallet balance went; a step without a movement has no point, the balance stayed."""
    span = await database.fetchrow(SPAN_SELECT, venue, account_id)
    first_us, last_us = (span["first_us"], span["last_us"]) if span else (None, None)
    # The venue's clock is not ours: a movement may have been booked after our now.
    to_us = min(wanted.to_us, max(now_us, last_us or 0) + 1)
    if first_us is None or max(first_us, wanted.from_us) >= to_us:
        return Curve(wanted.interval or next(iter(INTERVALS_US)), [])
    from_us = max(first_us, wanted.from_us)
    interval = wanted.interval or interval_fitting(from_us, to_us)
    width_us = INTERVALS_US[interval]
    from_us = max(from_us, (bucket_last(to_us, width_us) - BUCKETS_MAX + 1) * width_us)
    rows = await database.fetch(BALANCES_SELECT, venue, account_id, from_us, to_us, width_us)
    return Curve(interval, summed(rows, from_us))


def interval_fitting(from_us: int, to_us: int) -> str:
    """Return the finest interval that cuts a range into as many steps as one answer holds, else the widest."""
    for name, width_us in INTERVALS_US.items():
        if bucket_last(to_us, width_us) - from_us // width_us < BUCKETS_MAX:
            return name
    return name


def bucket_last(to_us: int, width_us: int) -> int:
    """Return the number of the step that the last moment before a time belongs to."""
    return (to_us - 1) // width_us


def summed(rows: Sequence[Mapping[str, Any]], from_us: int) -> list[Point]:
    """Return the balance after each step from what each has moved; what was before stands at the beginning."""
    points: list[Point] = []
    balance_e6 = 0
    for row in rows:
        balance_e6 += int(row["moved_e6"])
        points.append(Point(from_us if row["bucket"] == BEFORE else row["time_us"], balance_e6))
    return points
