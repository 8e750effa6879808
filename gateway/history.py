"""
Reading history from Postgres, later than the events and saying how much later; all of this gateway's SQL about it.

A history is ordered by the time of its rows and, within one time, by their place in the stream, so that one index
serves every page, every range of time and every cursor. No text of a caller ever becomes SQL.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shared.database import Database

WAIT_S = 1.0
PAUSE_S = 0.02
EVENTS_PER_CHUNK = 512  # an event's index is counted within its chunk
TIME_MAX = 2**62

CURSOR_SELECT = "SELECT seq FROM persister_cursor WHERE venue = $1"
# The closed order of each tells its side and what it cost on average; whose it is, nobody is told.
LIQUIDATIONS_SELECT = (
    "SELECT l.seq, l.position, l.kind, l.liquidated_us, l.data, o.data ->> 'side' AS side,"
    " o.data ->> 'price_average' AS price_average FROM liquidations l LEFT JOIN closed_orders o"
    " ON o.venue = l.venue AND o.account_id = l.account_id AND o.order_id = l.order_id"
    " WHERE l.venue = $1 AND l.market = $2 AND (l.seq, l.position) < ($3::bigint, $4::bigint)"
    " ORDER BY l.seq DESC, l.position DESC LIMIT $5"
)
LIQUIDATION_PUBLIC = ("market", "qty", "price", "price_mark", "price_bankruptcy")


class Feed(NamedTuple):
    """Where a history lies: its table, whose its rows are, what orders them, and what of a row may be asked for."""

    table: str
    owner: str
    time: str
    filters: Mapping[str, str] = {}  # what the query may name -> the expression that must equal it
    position: str = "position"
    time_us: int = 1  # how many microseconds one of `time` is


SIDE, REASON = "data ->> 'side'", "data ->> 'reason'"
ACCOUNT = "account_id"
ACCOUNT_FEEDS = {
    "orders": Feed("closed_orders", ACCOUNT, "closed_us", {"market": "market", "side": SIDE, "reason": REASON}),
    "positions": Feed("closed_positions", ACCOUNT, "closed_us", {"market": "market"}),
    "fills": Feed(
        "fills",
        ACCOUNT,
        "filled_us",
        {"market": "market", "order_id": "order_id", "position_id": "(data ->> 'position_id')::bigint"},
    ),
    "funding": Feed("funding", ACCOUNT, "due_ms", {"market": "market", "position_id": "position_id"}, time_us=1_000),
    "ledger": Feed(
        "ledger", ACCOUNT, "booked_us", {"reason": REASON}, position=f"(chunk * {EVENTS_PER_CHUNK} + index)"
    ),
}
ORDER_FEED = ACCOUNT_FEEDS["orders"]._replace(filters={"order_id": "order_id"})  # one order by its number
MARKET_FEEDS = {
    "trades": Feed("trades", "market", "traded_us"),
    "funding": Feed("funding_rates", "market", "due_ms", time_us=1_000),
}
Place = tuple[int, int, int]  # a row's time, its seq and its position among the events of that entry


class Page(NamedTuple):
    """Which part of a list is wanted."""

    limit: int
    before: Place | None = None
    from_us: int = 0
    to_us: int = TIME_MAX
    filters: Mapping[str, str | int] = {}


class Row(NamedTuple):
    """One event of a history and where it stands."""

    place: Place
    time_us: int
    data: dict[str, Any]

    @property
    def seq(self) -> str:
        """Return the number of the log entry that caused it."""
        return str(self.place[1])

    @property
    def at(self) -> str:
        """Return its place in the stream, as events carry it: seq-chunk-index."""
        chunk, index = divmod(self.place[2], EVENTS_PER_CHUNK)
        return f"{self.place[1]}-{chunk}-{index}"


class History:
    """Reads the rows of one venue."""

    def __init__(self, database: Database, venue: str, monotonic_s: Callable[[], float]) -> None:
        """Keep what reading needs."""
        self._database = database
        self._venue = venue
        self._monotonic_s = monotonic_s
        self._looking: asyncio.Task[int] | None = None  # the next look at the cursor, of all who wait

    async def rows(self, feed: Feed, owner: int | str, page: Page, wait_seq: int) -> tuple[int, list[Row]]:
        """Return up to which seq the answer is complete, and one row more than the limit if there is one."""
        # The cursor is read first: rows are at least as new as it says.
        complete_to_seq = await self.complete_to(wait_seq)
        unit = feed.time_us
        # A row's time counts in whole units: both ends of a range round up to the next.
        first, end = -(-page.from_us // unit), -(-page.to_us // unit)
        before = min(page.before or (end, -1, -1), (end, -1, -1))
        query = rows_select(feed, tuple(page.filters))
        found = await self._database.fetch(
            query, self._venue, owner, first, *before, page.limit + 1, *page.filters.values()
        )
        return complete_to_seq, [
            Row((row["time"], row["seq"], row["position"]), row["time"] * unit, dict(row["data"])) for row in found
        ]

    async def liquidations(
        self, market: str, limit: int, before: tuple[int, int] | None, wait_seq: int
    ) -> tuple[int, list[Row]]:
        """Return the same of a market's liquidations, without whose they were."""
        complete_to_seq = await self.complete_to(wait_seq)
        place = before or (TIME_MAX, 0)
        found = await self._database.fetch(LIQUIDATIONS_SELECT, self._venue, market, *place, limit + 1)
        return complete_to_seq, [
            Row((row["liquidated_us"], row["seq"], row["position"]), row["liquidated_us"], liquidation_public(row))
            for row in found
        ]

    async def complete_to(self, wait_seq: int) -> int:
        """Return the history reader's cursor, waiting up to a second for `wait_seq`."""
        deadline_s = self._monotonic_s() + WAIT_S
        seq = await self._cursor_read()
        while seq < wait_seq and self._monotonic_s() < deadline_s:
            seq = await self._look_next()
        return seq

    async def _look_next(self) -> int:
        """Return the cursor as it is after a pause; all who wait look together, so that many cost as one."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look())
            self._looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._looking)

    async def _look(self) -> int:
        """Return the cursor after a pause."""
        await asyncio.sleep(PAUSE_S)
        return await self._cursor_read()

    async def _cursor_read(self) -> int:
        """Return the history reader's cursor."""
        row = await self._database.fetchrow(CURSOR_SELECT, self._venue)
        return int(row["seq"]) if row else 0


def rows_select(feed: Feed, filters: tuple[str, ...]) -> str:
    """Return the statement of a page of a history; what it names are our own words."""
    order = f"{feed.time}, seq, {feed.position}"
    asked = "".join(f" AND {feed.filters[name]} = ${number}" for number, name in enumerate(filters, 8))
    return (
        f"SELECT {feed.time} AS time, seq, {feed.position} AS position, data FROM {feed.table}"
        f" WHERE venue = $1 AND {feed.owner} = $2 AND {feed.time} >= $3"
        f" AND ({order}) < ($4::bigint, $5::bigint, $6::bigint){asked}"
        f" ORDER BY {feed.time} DESC, seq DESC, {feed.position} DESC LIMIT $7"
    )


def liquidation_public(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what everybody may know of a liquidation, or of a position that had to take its other side."""
    shown = {"kind": row["kind"]} | {name: row["data"][name] for name in LIQUIDATION_PUBLIC if name in row["data"]}
    shown |= {name: row[name] for name in ("side", "price_average") if row[name] is not None}
    return shown | {"time_us": row["liquidated_us"]}
