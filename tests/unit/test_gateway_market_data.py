"""gateway/routes/market.py, candles.py: depth, trades, funding and candles as everybody gets them."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway import candles
from gateway.day_change import DayOpen, DayOpens, day_open
from tests.gateway_doubles import MARKET, NOW_US, VENUE, eventually
from tests.gateway_house import FakeDatabase, House

pytestmark = pytest.mark.anyio
FEED = f"/api/v1/market/{MARKET}"
MINUTE_MS = 60_000


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def view_write(house: House, **fields: Any) -> None:
    """Write the market's view as the engine does."""
    view = {
        name: (value if isinstance(value, str) else orjson.dumps(value).decode()).encode()
        for name, value in fields.items()
    }
    house.streams.hashes[house.streams.keys.view_market(MARKET)] = view


async def test_depth_is_the_views_book_beside_the_quote(tmp_path: Path) -> None:
    """Depth has as many levels as asked for, the outside quote beside them, and is 503 until the engine states it."""
    async with House(tmp_path) as house:
        book = {"bids": [["60000.0", "0.1"], ["59999.0", "2"]], "asks": [["60001.0", "3"]]}
        quote = {"bid": "60000.4", "bid_qty": "1.00000", "ask": "60000.6", "ask_qty": "2.00000"}
        view_write(house, **quote, fresh="1", seq="9", log_time_us=NOW_US)
        assert (await house.client.get(f"{FEED}/depth")).json()["code"] == "VIEW_UNAVAILABLE"
        view_write(house, **quote, book=book, book_seq="8", fresh="1", seq="9", log_time_us=NOW_US)
        body = (await house.client.get(f"{FEED}/depth")).json()
        del body["request_id"]
        stamp = {"seq": "8", "log_time_us": NOW_US, "fresh": True}
        assert body == {"market": MARKET} | book | {"quote": quote} | stamp
        one = (await house.client.get(f"{FEED}/depth?levels=1")).json()
        assert (one["bids"], one["asks"]) == (book["bids"][:1], book["asks"])
        view_write(house, book=book | {"truncated": True}, fresh="0", seq="9")
        assert (await house.client.get(f"{FEED}/depth")).json()["truncated"] is True
        for query in ("levels=0", "levels=51", "levels=x", "level=1"):
            assert (await house.client.get(f"{FEED}/depth?{query}")).json()["code"] == "QUERY_INVALID"
        assert (await house.client.get("/api/v1/market/DOGE/depth")).status_code == 404


async def test_trades_and_funding_are_public(tmp_path: Path) -> None:
    """Trades tell price, size, side and place; funding what was paid or why not, and what comes next."""
    async with House(tmp_path) as house:
        trade = {"e": "trade", "market": MARKET, "price": "60000.0", "qty": "0.00100", "side": "sell"}
        rows = house.database.history_rows("trades")
        for seq in (5, 6):
            rows.append(
                {"venue": VENUE, "market": MARKET, "seq": seq, "position": 3, "traded_us": NOW_US + seq, "data": trade}
            )
        rows.append(rows[0] | {"market": "OTHER"})
        body = (await house.client.get(f"{FEED}/trades?limit=1")).json()
        told = {"price": "60000.0", "qty": "0.00100", "side": "sell"}
        assert body["items"] == [told | {"time_us": NOW_US + 6, "at": "6-0-3", "seq": "6"}]
        rest = (await house.client.get(f"{FEED}/trades", params={"cursor": body["next_cursor"]})).json()
        assert [row["seq"] for row in rest["items"]] == ["5"]
        assert (rest["next_cursor"], rest["complete_to_seq"]) == (None, "0")

        settled = {"e": "funding_settled", "market": MARKET, "rate": "0.000100000", "price_mark": "60000.0"}
        settled |= {"due_ms": 8_000, "positions": 2, "amount": "1.500000"}
        skipped = {"e": "funding_skipped", "market": MARKET, "due_ms": 16_000, "reason": "mark_old"}
        rates = house.database.history_rows("funding_rates")
        for seq, event in ((5, settled), (6, skipped)):
            rates.append(
                {"venue": VENUE, "market": MARKET, "due_ms": event["due_ms"], "seq": seq, "position": 0, "data": event}
            )
        view_write(house, funding_rate="0.000050000", funding_next_ms=24_000)
        body = (await house.client.get(f"{FEED}/funding")).json()
        first = {"due_ms": 16_000, "skipped": "mark_old", "at": "6-0-0", "seq": "6"}
        paid = {"rate": "0.000100000", "price_mark": "60000.0", "positions": 2, "amount": "1.500000"}
        assert body["items"] == [first, paid | {"due_ms": 8_000, "at": "5-0-0", "seq": "5"}]
        assert body["next"] == {"rate": "0.000050000", "due_ms": 24_000}
        late = (await house.client.get(f"{FEED}/funding?from_us=8000001")).json()
        assert [row["due_ms"] for row in late["items"]] == [16_000]


def minute(number: int, price: str | None) -> dict[str, Any]:
    """Return the row of one minute of one price."""
    prices = dict.fromkeys(("open", "high", "low", "close"), price) if price else {}
    data = {"e": "candle", "market": MARKET, "minute_ms": number * MINUTE_MS, "quotes": 2 if price else 0} | prices
    return {"venue": VENUE, "market": MARKET, "minute_ms": number * MINUTE_MS, "seq": number, "data": data}


async def test_the_ticker_knows_the_day(tmp_path: Path) -> None:
    """The change is from the first stored minute of 24 hours to the mark; absent until known, looked up each minute."""
    async with House(tmp_path) as house:
        now_minute = NOW_US // 60_000_000
        view_write(house, mark="110.0", fresh="1", seq="9")
        body = (await house.client.get(f"{FEED}/ticker")).json()
        assert not {"open_24h", "open_24h_ms", "change_24h", "source", "simulated"} & body.keys()
        rows = house.database.history_rows("candles")
        rows.extend([minute(now_minute - 1_441, "50.0"), minute(now_minute - 1_440, None)])
        rows.extend([minute(now_minute - 1_000, "120.0"), minute(now_minute - 5, "90.0")])
        again = (await house.client.get(f"{FEED}/ticker")).json()
        assert "open_24h" not in again, "asked a moment ago"
        house.passed_s += 61
        asked = house.database.asked
        for mark, change in (("110.0", "-8.33"), ("130.0", "8.33"), ("119.999", "0.00")):
            view_write(house, mark=mark, fresh="1", seq="9")
            body = (await house.client.get(f"{FEED}/ticker")).json()
            opened = {"open_24h": "120.0", "open_24h_ms": (now_minute - 1_000) * MINUTE_MS, "change_24h": change}
            assert {name: body[name] for name in opened} == opened
        assert house.database.asked == asked + 1
        view_write(house, fresh="0", seq="9")
        body = (await house.client.get(f"{FEED}/ticker")).json()
        assert "change_24h" not in body and body["open_24h"] == "120.0", "no mark, no change"


async def test_without_postgres_the_ticker_says_what_it_knew(tmp_path: Path) -> None:
    """A price is answered whatever becomes of history; a look that failed is made again soon."""
    async with House(tmp_path) as house:
        house.database.history_rows("candles").append(minute(NOW_US // 60_000_000 - 9, "100.0"))
        view_write(house, mark="101.0", fresh="1", seq="9")
        house.database.down = True
        assert "open_24h" not in (await house.client.get(f"{FEED}/ticker")).json()
        house.database.down = False
        house.passed_s += 6
        assert (await house.client.get(f"{FEED}/ticker")).json()["change_24h"] == "1.00"
        house.database.down = True
        house.passed_s += 61
        assert (await house.client.get(f"{FEED}/ticker")).json()["change_24h"] == "1.00"


class Hung:
    """A Postgres that answers nothing until it is let go."""

    def __init__(self) -> None:
        """Hang from the beginning."""
        self.asked = 0
        self.free = asyncio.Event()

    async def fetchrow(self, _query: str, *_arguments: Any) -> dict[str, Any]:
        """Answer when let go."""
        self.asked += 1
        await self.free.wait()
        return {"open": "100.0", "minute_ms": 60_000}


async def test_a_postgres_that_hangs_holds_up_no_ticker() -> None:
    """One look is under way, whoever asks meanwhile does not wait for it, and what it finds at last is known."""
    database, passed_s = Hung(), [0.0]
    opens = DayOpens(database, VENUE, lambda: NOW_US, lambda: passed_s[0])  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        for now_s in (0.0, 5.0, 70.0, 500.0):
            passed_s[0] = now_s
            assert await opens.look(MARKET) is None
        assert database.asked == 1
        database.free.set()
        await eventually(lambda: opens.known(MARKET) is not None)
        assert await opens.look(MARKET) == DayOpen("100.0", 60_000)
    assert database.asked == 1, "that is new for a minute from its answer on"


@pytest.mark.parametrize("price", ["0", "-1.5", "x", ""])
async def test_what_is_no_price_opens_no_day(price: str) -> None:
    """A stored minute whose price can be no price is left out; nothing is divided by it."""
    assert day_open({"open": price, "minute_ms": 1}) is None and day_open(None) is None


@pytest.mark.parametrize(
    ("source", "simulated"), [("simulated", True), ("backpack", False), ("recording:day.jsonl", False)]
)
async def test_the_ticker_says_where_prices_come_from(tmp_path: Path, source: str, simulated: bool) -> None:
    """The source is told as the feed named itself; only the venue's own simulator is simulated."""
    async with House(tmp_path) as house:
        view_write(house, mark="1.0", source=source, seq="9")
        body = (await house.client.get(f"{FEED}/ticker")).json()
        assert (body["source"], body["simulated"]) == (source, simulated)
        view_write(house, mark="1.0", source="", seq="9")
        assert "simulated" not in (await house.client.get(f"{FEED}/ticker")).json()


async def test_candles_join_stored_minutes_and_the_running_one(tmp_path: Path) -> None:
    """Candles come newest first: the running minute on top, empty minutes absent, complete once all is stored."""
    async with House(tmp_path) as house:
        minutes = [minute(number, price) for number, price in enumerate(["1.0", None, "3.0", "2.0", "9.5", "7.0"])]
        house.database.history_rows("candles").extend(minutes)
        running = {"minute_ms": 6 * MINUTE_MS, "quotes": 3, "open": "7.5", "high": "10.0", "low": "0.5", "close": "8.0"}
        view_write(house, candle=running)
        ones = (await house.client.get(f"{FEED}/candles")).json()["items"]
        assert [(row["open_ms"] // MINUTE_MS, row["close"], row["complete"]) for row in ones] == [
            (6, "8.0", False), (5, "7.0", True), (4, "9.5", True), (3, "2.0", True), (2, "3.0", True), (0, "1.0", True),
        ]  # fmt: skip
        fives = (await house.client.get(f"{FEED}/candles?interval=5m")).json()["items"]
        assert fives == [
            {"open_ms": 5 * MINUTE_MS, "open": "7.0", "high": "10.0", "low": "0.5", "close": "8.0", "quotes": 5}
            | {"complete": False},
            {"open_ms": 0, "open": "1.0", "high": "9.5", "low": "1.0", "close": "9.5", "quotes": 8, "complete": True},
        ]
        page = (await house.client.get(f"{FEED}/candles?limit=2")).json()
        assert [row["open_ms"] // MINUTE_MS for row in page["items"]] == [6, 5]
        following = (await house.client.get(f"{FEED}/candles", params={"cursor": page["next_cursor"]})).json()
        assert [row["open_ms"] // MINUTE_MS for row in following["items"]] == [4, 3, 2, 0]
        between = f"from_ms={2 * MINUTE_MS}&to_ms={5 * MINUTE_MS}"
        some = (await house.client.get(f"{FEED}/candles?{between}")).json()["items"]
        assert [row["open_ms"] // MINUTE_MS for row in some] == [4, 3, 2]
        view_write(house, candle={"minute_ms": 6 * MINUTE_MS, "quotes": 0})
        assert len((await house.client.get(f"{FEED}/candles")).json()["items"]) == 5
        for query in ("interval=2m", "limit=0", "from_ms=x", "cursor=!", "interval=1m&interval=1m"):
            assert (await house.client.get(f"{FEED}/candles?{query}")).json()["code"] == "QUERY_INVALID"


async def test_history_needs_no_view(tmp_path: Path) -> None:
    """Before the engine has written a market's view its stored candles and funding are told."""
    async with House(tmp_path) as house:
        house.database.history_rows("candles").append(minute(6, "5.0"))
        assert len((await house.client.get(f"{FEED}/candles")).json()["items"]) == 1
        body = (await house.client.get(f"{FEED}/funding")).json()
        assert (body["items"], "next" in body) == ([], False)
        house.streams.down = True
        assert (await house.client.get(f"{FEED}/candles")).json()["code"] == "VIEW_UNAVAILABLE"


async def test_a_minute_that_history_has_already_is_not_told_twice(tmp_path: Path) -> None:
    """When the view is behind history the stored minute counts."""
    async with House(tmp_path) as house:
        house.database.history_rows("candles").append(minute(6, "5.0"))
        running = {"minute_ms": 6 * MINUTE_MS, "quotes": 1} | dict.fromkeys(("open", "high", "low", "close"), "4.0")
        view_write(house, candle=running)
        [row] = (await house.client.get(f"{FEED}/candles")).json()["items"]
        assert (row["close"], row["quotes"], row["complete"]) == ("5.0", 2, True)


class Storing(FakeDatabase):
    """A database in which a minute is stored just before the candles are read."""

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Store the minute and answer."""
        self.history_rows("candles").append(minute(6, "5.0"))
        return await super().fetch(query, *arguments)


async def test_a_minute_that_is_stored_meanwhile_counts_once() -> None:
    """A minute that history takes while its candles are being read is told as stored, not added to itself."""
    database: Any = Storing()
    database.history_rows("candles").append(minute(5, "3.0"))
    running = {"minute_ms": 6 * MINUTE_MS, "quotes": 2} | dict.fromkeys(candles.PRICES, "5.0")
    wanted = candles.Wanted(5 * MINUTE_MS, 0, candles.TIME_MAX_MS, 10)
    [row] = (await candles.candles_read(database, VENUE, MARKET, wanted, running)).items
    assert (row["quotes"], row["close"], row["complete"]) == (4, "5.0", False)
