"""The public feed of liquidations in a real Postgres: what was published goes in, nobody's name comes out."""

import asyncio
from typing import Any

import orjson
import pytest

from gateway.history import History
from persister.history import HistoryStore
from persister.reader import EVENTS_PER_CHUNK, Position
from shared.clock import monotonic_s
from shared.database import Database
from shared.streams import EventsEntry
from tests import persister_doubles as events
from tests.persister_doubles import KEYS, ListLog

MARKET = "BTC_USDC_PERP"


def forced(kind: str, account: int, order_id: int, **more: Any) -> dict[str, Any]:
    """Return a liquidation, or who had to take its other side."""
    return {
        "e": kind, "account": account, "market": MARKET, "position_id": 9, "order_id": order_id, "qty": "0.10",
        "price": "60000.0", **more,
    }  # fmt: skip


def entry(seq: int, chunk: int, *items: dict[str, Any]) -> EventsEntry:
    """Return an entry as a reader has it."""
    return EventsEntry(seq, chunk, 1_000_000 * seq, b"", b"", orjson.dumps(items))


ENTRIES = [
    entry(
        5,
        0,
        forced("liquidation", 101, 3, price_mark="60010.0", price_bankruptcy="59000.0"),
        events.closed_order(101, 3, kind="liquidation", side="sell", price_average="60001.50000"),
    ),
    entry(
        5,
        1,
        forced("adl", 102, 4, liquidation_order_id=3),
        events.closed_order(102, 4, kind="adl", reason="adl"),
    ),
    entry(6, 0, {**forced("liquidation", 101, 5), "market": "ETH_USDC_PERP"}),
    entry(7, 0, forced("liquidation", 103, 6), {"e": "insurance_changed", "balance": "1.0"}),
]


@pytest.fixture
def stored(database_url: str) -> Any:
    """Return a function that runs a scene on a database which holds the entries."""

    def run(scene: Any) -> None:
        async def whole() -> None:
            database = await Database.connect(database_url)
            try:
                log = ListLog()
                store = HistoryStore(database, KEYS.venue, log)
                position = await store.begin()
                await store.commit(position, ENTRIES)
                assert not log.named("history_row_rejected")
                await scene(database, History(database, KEYS.venue, monotonic_s))
            finally:
                await database.close()

        asyncio.run(whole())

    return run


def test_rows_are_what_was_published(stored: Any) -> None:
    """Each event has its row with kind, ids, place, time and the event, a second chunk's place going on."""

    async def scene(database: Database, _history: History) -> None:
        rows = await database.fetch("SELECT * FROM liquidations ORDER BY seq, position")
        places = [(row["kind"], row["account_id"], row["seq"], row["position"]) for row in rows]
        assert places == [
            ("liquidation", 101, 5, 0), ("adl", 102, 5, EVENTS_PER_CHUNK), ("liquidation", 101, 6, 0),
            ("liquidation", 103, 7, 0),
        ]  # fmt: skip
        assert dict(rows[1]) == {
            "venue": KEYS.venue, "market": MARKET, "seq": 5, "position": EVENTS_PER_CHUNK, "kind": "adl",
            "account_id": 102, "position_id": 9, "order_id": 4, "liquidated_us": 5_000_000,
            "data": forced("adl", 102, 4, liquidation_order_id=3),
        }  # fmt: skip

    stored(scene)


def test_the_feed_is_the_markets_and_nameless(stored: Any) -> None:
    """A market's rows come newest first with side and average from the order's end, page by page, without accounts."""

    async def scene(_database: Database, history: History) -> None:
        complete, rows = await history.liquidations(MARKET, 2, None, 0)
        assert complete == 7
        assert [row.place[1:] for row in rows] == [(7, 0), (5, EVENTS_PER_CHUNK), (5, 0)]
        assert [row.data for row in rows] == [
            # Its order's end is not there: what is known is shown.
            {"kind": "liquidation", "market": MARKET, "qty": "0.10", "price": "60000.0", "time_us": 7_000_000},
            {
                "kind": "adl", "market": MARKET, "qty": "0.10", "price": "60000.0", "side": "buy",
                "time_us": 5_000_000,
            },
            {
                "kind": "liquidation", "market": MARKET, "qty": "0.10", "price": "60000.0", "price_mark": "60010.0",
                "price_bankruptcy": "59000.0", "side": "sell", "price_average": "60001.50000", "time_us": 5_000_000,
            },
        ]  # fmt: skip
        _, rest = await history.liquidations(MARKET, 2, (5, EVENTS_PER_CHUNK), 0)
        assert [row.place[1:] for row in rest] == [(5, 0)]
        _, none = await history.liquidations("ADA_USDC_PERP", 2, None, 0)
        assert none == []

    stored(scene)


def test_a_row_that_cannot_be_is_put_aside(database_url: str) -> None:
    """A liquidation without its ids is rejected by name and stops nobody."""

    async def scene() -> None:
        database = await Database.connect(database_url)
        try:
            log = ListLog()
            store = HistoryStore(database, KEYS.venue, log)
            assert await store.begin() == Position()
            bad = [forced("liquidation", 101, 1) | {"order_id": "1"}, {"e": "adl", "account": 101}]
            await store.commit(Position(), [entry(1, 0, *bad, forced("adl", 101, 2))])
            assert len(log.named("history_row_rejected")) == 2
            [row] = await database.fetch("SELECT order_id FROM liquidations")
            assert row["order_id"] == 2
        finally:
            await database.close()

    asyncio.run(scene())
