"""Reading history from Postgres, later than the events and saying how much later."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shared.database import Database

WAIT_S = 1.0
PAUSE_S = 0.02

CURSOR_SELECT = "SELECT seq FROM persister_cursor WHERE venue = $1"
ORDERS_SELECT = (
    "SELECT seq, position, data FROM closed_orders WHERE venue = $1 AND account_id = $2"
    " AND ($3::text IS NULL OR market = $3) AND ($4::bigint IS NULL OR (seq, position) < ($4, $5::bigint))"
    " ORDER BY seq DESC, position DESC LIMIT $6"
)
# The closed order of each tells its side and what it cost on average; whose it is, nobody is told.
LIQUIDATIONS_SELECT = (
    "SELECT l.seq, l.position, l.kind, l.liquidated_us, l.data, o.data ->> 'side' AS side,"
    " o.data ->> 'price_average' AS price_average FROM liquidations l LEFT JOIN closed_orders o"
    " ON o.venue = l.venue AND o.account_id = l.account_id AND o.order_id = l.order_id"
    " WHERE l.venue = $1 AND l.market = $2 AND ($3::bigint IS NULL OR (l.seq, l.position) < ($3, $4::bigint))"
    " ORDER BY l.seq DESC, l.position DESC LIMIT $5"
)
LIQUIDATION_PUBLIC = ("market", "qty", "price", "price_mark", "price_bankruptcy")


class Page(NamedTuple):
    """Which part of a list is wanted."""

    limit: int
    before: tuple[int, int] | None
    market: str | None


class Row(NamedTuple):
    """One event of a history and its place."""

    place: tuple[int, int]
    data: dict[str, Any]


class History:
    """Reads the rows of one venue."""

    def __init__(self, database: Database, venue: str, monotonic_s: Callable[[], float]) -> None:
        """Keep what reading needs."""
        self._database = database
        self._venue = venue
        self._monotonic_s = monotonic_s

    async def orders(self, account_id: int, page: Page, wait_seq: int) -> tuple[int, list[Row]]:
        """Return up to which seq the answer is complete, and one row more than the limit if there is one."""
        # The cursor is read first: rows are at least as new as it says.
        complete_to_seq = await self._wait(wait_seq)
        seq, position = page.before or (None, None)
        rows = await self._database.fetch(
            ORDERS_SELECT, self._venue, account_id, page.market, seq, position, page.limit + 1
        )
        return complete_to_seq, [Row((row["seq"], row["position"]), dict(row["data"])) for row in rows]

    async def liquidations(self, page: Page, wait_seq: int) -> tuple[int, list[Row]]:
        """Return the same of a market's liquidations, without whose they were."""
        assert page.market is not None, "the feed is a market's"
        complete_to_seq = await self._wait(wait_seq)
        seq, position = page.before or (None, None)
        rows = await self._database.fetch(LIQUIDATIONS_SELECT, self._venue, page.market, seq, position, page.limit + 1)
        return complete_to_seq, [Row((row["seq"], row["position"]), liquidation_public(row)) for row in rows]

    async def _wait(self, wait_seq: int) -> int:
        """Return the history reader's cursor, waiting up to a second for `wait_seq`."""
        deadline_s = self._monotonic_s() + WAIT_S
        while True:
            row = await self._database.fetchrow(CURSOR_SELECT, self._venue)
            seq = int(row["seq"]) if row else 0
            if seq >= wait_seq or self._monotonic_s() >= deadline_s:
                return seq
            await asyncio.sleep(PAUSE_S)


def liquidation_public(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what everybody may know of a liquidation, or of a position that had to take its other side."""
    shown = {"kind": row["kind"]} | {name: row["data"][name] for name in LIQUIDATION_PUBLIC if name in row["data"]}
    shown |= {name: row[name] for name in ("side", "price_average") if row[name] is not None}
    return shown | {"time_us": row["liquidated_us"]}
