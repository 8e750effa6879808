"""gateway/history.py and candles.py on a real Postgres: pages without gap or repeat, and what an index is used for."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from gateway import candles
from gateway.history import (
    ACCOUNT_FEEDS,
    EVENTS_PER_CHUNK,
    LIQUIDATIONS_SELECT,
    MARKET_FEEDS,
    Feed,
    History,
    Page,
    Row,
    rows_select,
)
from persister.history import HistoryStore
from persister.reader import Position
from shared.clock import monotonic_s
from shared.database import Database
from shared.streams import EventsEntry
from shared.wire_events import EVENTS_CHUNK
from tests import persister_doubles as events
from tests.persister_doubles import KEYS, ListLog

BTC, SOL = "BTC_USDC_PERP", "SOL_USDC_PERP"
ROWS_MANY = 100_000
START_US = 1_767_225_600_000_000


def test_an_index_is_counted_as_the_engine_does() -> None:
    """A place is told apart into chunk and index with the chunk size that the engine's encoder uses."""
    assert EVENTS_PER_CHUNK == EVENTS_CHUNK
    assert Row((7, 41, 2 * EVENTS_CHUNK + 3), 7, {}).at == "41-2-3"


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Database, History]]:
    """Lend a pool and the reader of the test venue."""
    database = await Database.connect(url, timeout_s=60.0)
    try:
        yield database, History(database, KEYS.venue, monotonic_s)
    finally:
        await database.close()


def run(url: str, scene: Callable[[Database, History], Awaitable[None]]) -> None:
    """Run a scene with a pool of its own."""

    async def scene_run() -> None:
        async with opened(url) as (database, history):
            await scene(database, history)

    asyncio.run(scene_run())


def drawn(chance: random.Random, number: int) -> list[dict[str, Any]]:
    """Return the events of one entry: fills, closed orders, legs, trades, funding, of two accounts and markets."""
    found: list[dict[str, Any]] = []
    for place in range(chance.choice([1, 2, 5])):
        unique = number * 10 + place
        account, market = chance.choice([101, 102]), chance.choice([BTC, SOL])
        position = chance.randrange(1, 4)
        found.append(
            chance.choice(
                [
                    events.fill(account, unique, order_id=chance.randrange(1, 5))
                    | {"market": market, "position_id": position},
                    events.closed_order(account, unique, market=market)
                    | {"side": chance.choice(["buy", "sell"]), "reason": chance.choice(["filled", "cancelled"])}
                    | {"closed_us": START_US + number // 3 * 1_000_000},
                    events.ledger(account, "-1.5") | {"reason": chance.choice(["fee", "pnl"])},
                    {"e": "trade", "market": market, "price": "7.5", "qty": str(unique), "side": "buy"},
                    events.funding(account, unique, START_US // 1_000 + number * 1_000) | {"market": market},
                    {"e": "funding_skipped", "market": f"{market}{unique}", "due_ms": number, "reason": "halted"},
                    {"e": "funding_settled", "market": market, "due_ms": unique, "rate": "0.0001", "price_mark": "7.5"}
                    | {"positions": 2, "amount": "1.500000"},
                ]
            )
        )
    return found


async def stored(database: Database, entries: list[tuple[int, int, list[dict[str, Any]]]]) -> list[EventsEntry]:
    """Store entries (seq, chunk, events) as the persister does; return them."""
    store = HistoryStore(database, KEYS.venue, ListLog())
    published = [
        EventsEntry(seq, chunk, START_US + seq // 3 * 1_000_000, b"", b"", orjson.dumps(body))
        for seq, chunk, body in entries
    ]
    await store.begin()
    await store.commit(Position(), published)
    return published


async def walked(history: History, feed: Feed, owner: int | str, page: Page) -> list[Row]:
    """Return all rows, page by page."""
    found: list[Row] = []
    before = page.before
    while True:
        _, rows = await history.rows(feed, owner, page._replace(before=before), 0)
        found += rows[: page.limit]
        if len(rows) <= page.limit:
            return found
        before = rows[page.limit - 1].place


def kinds_of(name: str) -> tuple[str, ...]:
    """Return the kinds of events of one history."""
    return {
        "orders": ("closed_order",),
        "positions": ("closed_position",),
        "fills": ("fill",),
        "funding": ("funding",),
        "ledger": ("ledger",),
        "trades": ("trade",),
        "rates": ("funding_settled", "funding_skipped"),
    }[name]


FEEDS = {**ACCOUNT_FEEDS, "trades": MARKET_FEEDS["trades"], "rates": MARKET_FEEDS["funding"]}
ASKED: dict[str, list[Any]] = {
    "market": [BTC, SOL],
    "side": ["buy", "sell"],
    "reason": ["filled", "cancelled", "fee", "pnl"],
    "order_id": [1, 2, 3, 4],
    "position_id": [1, 2, 3],
}


@pytest.mark.parametrize("seed", range(3))
def test_pages_are_the_events_filtered(database_url: str, seed: int) -> None:
    """Every history, walked in pages through any filters and times, is the published events, newest first."""
    chance = random.Random(seed)
    entries = [(number, 0, drawn(chance, number)) for number in range(1, 160)]
    entries += [(160, chunk, [*drawn(chance, 400 + chunk * 10)] * 1) for chunk in range(3)]

    async def scene(database: Database, history: History) -> None:
        published = await stored(database, entries)
        for name, feed in FEEDS.items():
            for _ in range(12):
                chosen = {asked: chance.choice(ASKED[asked]) for asked in feed.filters if chance.random() < 0.4}
                owner = chance.choice([101, 102]) if feed.owner == "account_id" else chance.choice([BTC, SOL])
                from_us, to_us = sorted(START_US + chance.randrange(-5, 70) * 1_000_000 for _ in range(2))
                page = Page(chance.choice([1, 2, 7, 500]), None, from_us, to_us, chosen)
                if chance.random() < 0.4:
                    page = page._replace(from_us=0, to_us=2**62)
                rows = await walked(history, feed, owner, page)
                wanted = wanted_of(published, name, feed, owner, page)
                assert [(row.place, row.data) for row in rows] == wanted, (name, page)

    run(database_url, scene)


def wanted_of(
    published: list[EventsEntry], name: str, feed: Feed, owner: int | str, page: Page
) -> list[tuple[tuple[int, int, int], dict[str, Any]]]:
    """Return what a walk must find, from the published entries alone."""
    found = []
    for entry in published:
        for index, event in enumerate(orjson.loads(entry.data)):
            if event["e"] not in kinds_of(name) or event.get("account", event.get("market")) != owner:
                continue
            time = event.get(feed.time, entry.log_time_us)
            in_time = page.from_us <= time * feed.time_us < page.to_us
            if in_time and all(event.get(key) == value for key, value in page.filters.items()):
                found.append(((time, entry.seq, entry.chunk * EVENTS_CHUNK + index), event))
    return sorted(found, key=lambda pair: pair[0], reverse=True)


def test_what_happens_meanwhile_moves_nothing(database_url: str) -> None:
    """New rows between two pages are on neither, and none is repeated."""

    async def scene(database: Database, history: History) -> None:
        feed = ACCOUNT_FEEDS["ledger"]
        await stored(database, [(number, 0, [events.ledger(101, "1")] * 2) for number in range(1, 20)])
        _, first = await history.rows(feed, 101, Page(5), 0)
        store = HistoryStore(database, KEYS.venue, ListLog())
        before = await store.begin()
        data = b'[{"e":"ledger","account":101,"amount":"2","reason":"fee"}]'
        await store.commit(before, [EventsEntry(20, 0, START_US + 10**9, b"", b"", data)])
        complete, rest = await history.rows(feed, 101, Page(500, first[4].place), 0)
        assert complete == 20
        places = [row.place for row in (*first[:5], *rest)]
        assert len(places) == len(set(places)) == 38
        assert places == sorted(places, reverse=True)

    run(database_url, scene)


MANY = {
    "closed_orders": "(venue, account_id, order_id, market, seq, position, closed_us, data) SELECT $1, 101, n, 'M', n,"
    " 0, n, '{}' FROM generate_series(1, $2::bigint) n",
    "fills": "(venue, account_id, fill_id, order_id, market, seq, position, filled_us, data) SELECT $1, 101, n, n / 3,"
    " 'M', n, 0, n, '{\"position_id\": 5}' FROM generate_series(1, $2::bigint) n",
    "funding": "(venue, account_id, position_id, due_ms, market, seq, position, amount, data) SELECT $1, 101, n % 50,"
    " n, 'M', n, 0, 0, '{}' FROM generate_series(1, $2::bigint) n",
    "ledger": "(venue, account_id, seq, chunk, index, booked_us, amount, data) SELECT $1, 101, n, 0, 3, n, 0, '{}'"
    " FROM generate_series(1, $2::bigint) n",
    "trades": "(venue, market, seq, position, traded_us, data) SELECT $1, 'M', n, 0, n, '{}'"
    " FROM generate_series(1, $2::bigint) n",
    "liquidations": "(venue, market, seq, position, kind, account_id, position_id, order_id, liquidated_us, data)"
    " SELECT $1, 'M', n, 0, 'liquidation', 101, n, n, n, '{}' FROM generate_series(1, $2::bigint) n",
    "funding_rates": "(venue, market, due_ms, seq, position, data) SELECT $1, 'M', n, n, 0, '{}'"
    " FROM generate_series(1, $2::bigint) n",
}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_no_page_walks_the_whole_history(database_url: str, mode: str) -> None:
    """Over 100 000 rows the newest page, a deep one and an old range of time each read about as much as they show."""

    async def scene(database: Database, history: History) -> None:
        for table, insert in MANY.items():
            await database.execute(f"INSERT INTO {table} {insert}", KEYS.venue, ROWS_MANY)
            await database.execute(f"ANALYZE {table}")
        for name, feed in FEEDS.items():
            if feed.table == "closed_positions":
                continue  # as closed_orders
            owner = "101" if feed.owner == "account_id" else "'M'"
            for place in ("0, 4611686018427387904, -1, -1", "0, 500, 0, 0", "400, 700, -1, -1"):
                touched = await rows_touched(database, mode, rows_select(feed, ()), f"{owner}, {place}, 101")
                assert touched < 1_000, (name, place)
        for place in ("4611686018427387904, 0", "500, 0"):
            assert await rows_touched(database, mode, LIQUIDATIONS_SELECT, f"'M', {place}, 101") < 1_000
        query = rows_select(ACCOUNT_FEEDS["fills"], ("order_id",))
        assert await rows_touched(database, mode, query, "101, 0, 4611686018427387904, -1, -1, 101, 7") < 100

    run(database_url, scene)


async def rows_touched(database: Database, mode: str, query: str, arguments: str) -> int:
    """Return how many rows a statement reads when it is prepared and planned one way."""
    async with database.transaction() as statements:
        await statements.execute(f"SET LOCAL plan_cache_mode = '{mode}'")
        await statements.execute(f"PREPARE asked AS {query}")
        rows = await statements.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked('{KEYS.venue}', {arguments})")
        await statements.execute("DEALLOCATE asked")
    return touched_of(rows[0]["QUERY PLAN"])


def touched_of(text: Any) -> int:
    """Return how many rows the scans of a plan have read, those among them that were thrown away."""

    def walk(node: dict[str, Any]) -> int:
        own = 0
        if "Scan" in node["Node Type"]:
            own = node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
        return int(own) + sum(walk(child) for child in node.get("Plans", []))

    plans = orjson.loads(text) if isinstance(text, str) else text
    return walk(plans[0]["Plan"])


def minute(number: int, price: int | None, quotes: int = 2) -> dict[str, Any]:
    """Return a minute whose prices begin at one value, wander and end elsewhere; None: without a quote."""
    event = events.candle(number * candles.MINUTE_MS) | {"market": BTC, "quotes": quotes}
    for name in candles.PRICES:
        event.pop(name, None)
    if price is None:
        return event | {"quotes": 0}
    prices = {"open": price, "high": price + 3, "low": price - 2, "close": price + 1}
    return event | {name: f"{value}.05" for name, value in prices.items()}


async def candles_walked(database: Database, wanted: candles.Wanted, running: Any) -> list[dict[str, Any]]:
    """Return all candles, page by page."""
    found = await candles.candles_read(database, KEYS.venue, BTC, wanted, running)
    items = list(found.items)
    while found.before_ms is not None:
        found = await candles.candles_read(database, KEYS.venue, BTC, wanted._replace(to_ms=found.before_ms), None)
        items += found.items
    return items


@pytest.mark.parametrize("seed", range(4))
def test_candles_are_their_minutes(database_url: str, seed: int) -> None:
    """Of any width, in pages of any size, candles are what their minutes were; the running one is at the top."""
    chance = random.Random(seed)
    start = 29_453_760  # midnight UTC
    count = chance.choice([7, 300, 3_200])
    known = {
        start + number: minute(start + number, chance.choice([None, 90, 100, 999]), chance.randrange(1, 9))
        for number in range(count)
    }
    running = minute(start + count, 5_000, 4) if seed % 2 else None

    async def scene(database: Database, _history: History) -> None:
        await stored(database, [(number, 0, [event]) for number, event in enumerate(known.values(), 1)])
        for _ in range(10):
            width_ms = chance.choice(list(candles.INTERVALS.values()))
            from_ms, to_ms = sorted(
                (start + chance.randrange(-2_000, count + 2_000)) * candles.MINUTE_MS + chance.randrange(9)
                for _ in range(2)
            )
            wanted = candles.Wanted(
                width_ms, *chance.choice([(from_ms, to_ms), (0, 2**52)]), chance.choice([1, 3, 500])
            )
            items = await candles_walked(database, wanted, running)
            assert items == candles_wanted(known, running, wanted), wanted

    run(database_url, scene)


def candles_wanted(
    known: dict[int, dict[str, Any]], running: dict[str, Any] | None, wanted: candles.Wanted
) -> list[dict[str, Any]]:
    """Return what the candles must be, from the minutes alone."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for event in (*known.values(), *([running] if running else [])):
        open_ms = event["minute_ms"] // wanted.width_ms * wanted.width_ms
        if "open" in event and wanted.from_ms <= open_ms < wanted.to_ms:
            groups.setdefault(open_ms, []).append(event)
    stored_end_ms = (max(known) + 1) * candles.MINUTE_MS
    return [
        {
            "open_ms": open_ms,
            "open": minutes[0]["open"],
            "high": max((each["high"] for each in minutes), key=float),
            "low": min((each["low"] for each in minutes), key=float),
            "close": minutes[-1]["close"],
            "quotes": sum(each["quotes"] for each in minutes),
            "complete": open_ms + wanted.width_ms <= stored_end_ms,
        }
        for open_ms, minutes in sorted(groups.items(), reverse=True)
    ]
