"""gateway/routes/history.py, market.py: histories, trades, funding, candles and depth as callers get them."""

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.documents.replies_account import FillPast, FundingPast, LedgerPast, OrderPast, PositionPast
from gateway.history import ACCOUNT_FEEDS
from gateway.routes.history import COLUMNS, PLACE_COLUMNS
from gateway.routes.paging import LIMIT_MAX
from tests.gateway_doubles import MARKET, NOW_US, VENUE
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
HISTORY = "/api/v1/account/history"
FEED = f"/api/v1/market/{MARKET}"


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


ORDER = {
    "e": "closed_order", "account": 100, "market": MARKET, "order_id": 1, "side": "buy", "kind": "limit", "tif": "GTC",
    "reason": "filled", "qty": "0.00100", "qty_filled": "0.00100", "price": "60000.0", "fee": "0.030000",
    "pnl_realised": "0.000000", "placed_us": NOW_US - 5, "closed_us": NOW_US,
}  # fmt: skip
POSITION = {
    "e": "closed_position", "account": 100, "market": MARKET, "position_id": 4, "kind": "net", "direction": "long",
    "qty": "0.00100", "price_entry": "60000.0", "price_exit": "60010.0", "pnl_realised": "0.010000",
    "fees": "0.060000", "funding": "0.000000", "reason": "cancelled", "opened_us": NOW_US - 5, "closed_us": NOW_US,
}  # fmt: skip
FILL = {
    "e": "fill", "account": 100, "market": MARKET, "order_id": 1, "position_id": 4, "fill_id": 1, "side": "buy",
    "maker": False, "price": "60000.0", "qty": "0.00100", "notional": "60.000000", "fee": "0.030000",
    "pnl_realised": "0.000000",
}  # fmt: skip
PAID = {
    "e": "funding", "account": 100, "market": MARKET, "position_id": 4, "rate": "0.000100000",
    "price_mark": "60000.0", "amount": "-0.006000", "due_ms": NOW_US // 1_000,
}  # fmt: skip
LEG = {
    "e": "ledger", "account": 100, "amount": "-0.030000", "counter": "fees", "reason": "fee", "ref": 1,
    "free_after": "4999.970000",
}  # fmt: skip
EVENTS = {"orders": ORDER, "positions": POSITION, "fills": FILL, "funding": PAID, "ledger": LEG}
STRUCTS = {
    "orders": OrderPast,
    "positions": PositionPast,
    "fills": FillPast,
    "funding": FundingPast,
    "ledger": LedgerPast,
}


def row_of(name: str, seq: int, position: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a row of one history as the persister stores it."""
    event = EVENTS[name] | changes
    feed = ACCOUNT_FEEDS[name]
    row = {"venue": VENUE, "account_id": event["account"], "seq": seq, "data": event}
    row |= {key: event[key] for key in ("market", "order_id", "position_id") if key in event}
    row |= {"chunk": 0, "index": position} if name == "ledger" else {"position": position}
    return row | {feed.time: event.get(feed.time, NOW_US + seq)}


def store(house: House, name: str, *rows: dict[str, Any]) -> None:
    """Put rows into one history."""
    house.database.history_rows(ACCOUNT_FEEDS[name].table).extend(rows)


async def test_closed_orders_are_paged_filtered_and_complete_to_a_seq(tmp_path: Path) -> None:
    """Closed orders come newest first, page by page without gap or repeat, own ones only."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        for number in range(7):
            at = {"order_id": number + 1, "closed_us": NOW_US + number // 4, "side": "sell" if number % 2 else "buy"}
            store(house, "orders", row_of("orders", number // 2, number % 2, **at))
        store(house, "orders", row_of("orders", 99, account=101, order_id=8))
        house.database.history_seq = 57
        seen: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
            body = (await house.client.get(f"{HISTORY}/orders", params=query, headers=caller)).json()
            seen += [row["order_id"] for row in body["items"]]
            assert body["complete_to_seq"] == "57"
            assert all("account" not in row and row["seq"] for row in body["items"])
            cursor = body["next_cursor"]
        assert seen == [7, 6, 5, 4, 3, 2, 1]
        newest = body = (await house.client.get(f"{HISTORY}/orders?limit=1", headers=caller)).json()["items"][0]
        assert (newest["seq"], newest["at"], newest["time_us"]) == ("3", "3-0-0", NOW_US + 1)
        for query, wanted in (
            (f"market={MARKET}", [7, 6, 5, 4, 3, 2, 1]),
            ("side=sell", [6, 4, 2]),
            ("side=buy&reason=filled", [7, 5, 3, 1]),
            ("reason=expired", []),
            (f"from_us={NOW_US + 1}", [7, 6, 5]),
            (f"to_us={NOW_US + 1}", [4, 3, 2, 1]),
        ):
            body = (await house.client.get(f"{HISTORY}/orders?{query}", headers=caller)).json()
            assert [row["order_id"] for row in body["items"]] == wanted, query


@pytest.mark.parametrize(
    "query",
    [
        "orders?limit=501", "orders?limit=0", "orders?limit=x", "orders?cursor=!!", "orders?cursor=YQ",
        "orders?cursor=MS4y", "orders?cursor=", "orders?colour=1", "orders?limit=1&limit=2", "orders?side=up",
        "orders?reason=%00", "orders?from_us=-1", "orders?to_us=1.5", "orders?to_us=99999999999999999999",
        "orders?order_id=1", "fills?order_id=0", "fills?position_id=x", "fills?order_id=9223372036854775808",
        "ledger?market=BTC_USDC_PERP", "ledger?reason=", "positions?side=buy", "funding?position_id=", "fills?side=buy",
        "orders?wait_seq=-1",
    ],
)  # fmt: skip
async def test_a_query_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    """What a history does not know, or cannot use, is refused by name before anything is asked of the database."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        answer = await house.client.get(f"{HISTORY}/{query}", headers=caller)
        assert (answer.status_code, answer.json()["code"]) == (400, "QUERY_INVALID")


@pytest.mark.parametrize("name", sorted(EVENTS))
async def test_each_history_tells_its_events(tmp_path: Path, name: str) -> None:
    """An item is the event without account and tag, with its seq, place and time; nobody else's is shown."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        store(house, name, row_of(name, 9, 1_030), row_of(name, 10, account=101))
        [item] = (await house.client.get(f"{HISTORY}/{name}", headers=caller)).json()["items"]
        place = {"seq": "9", "at": "9-2-6"}
        assert {key: item[key] for key in place} == place
        known = {key: value for key, value in EVENTS[name].items() if key not in ("e", "account")}
        assert item == known | place | {"time_us": item["time_us"]}
        assert item["time_us"] == {"orders": NOW_US, "positions": NOW_US, "funding": NOW_US // 1_000 * 1_000}.get(
            name, NOW_US + 9
        )
        assert (await house.client.get(f"{HISTORY}/{name}")).status_code == 401


async def test_fills_are_found_by_order_and_position(tmp_path: Path) -> None:
    """The filters of fills, funding and ledger choose among one's own."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        fills = [row_of("fills", seq, fill_id=seq, order_id=seq // 2, position_id=seq % 3 + 1) for seq in range(2, 8)]
        store(house, "fills", *fills)
        store(house, "funding", *(row_of("funding", seq, position_id=seq) for seq in (1, 2)))
        store(house, "ledger", row_of("ledger", 1), row_of("ledger", 2, reason="deposit", counter="external"))
        for query, wanted in (
            ("fills?order_id=2", ["5", "4"]),
            ("fills?position_id=1", ["6", "3"]),
            ("fills?order_id=3&position_id=2", ["7"]),
            ("fills?order_id=9", []),
            ("funding?position_id=2", ["2"]),
            ("ledger?reason=deposit", ["2"]),
        ):
            body = (await house.client.get(f"{HISTORY}/{query}", headers=caller)).json()
            assert [row["seq"] for row in body["items"]] == wanted, query


@pytest.mark.parametrize("name", sorted(COLUMNS))
async def test_csv_says_what_json_says(tmp_path: Path, name: str) -> None:
    """The same page as CSV: the same values in fixed columns, cursor and completeness in headers."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        store(house, name, *(row_of(name, seq) for seq in range(1, 5)))
        house.database.history_seq = 4
        asked = {"limit": "3"}
        body = (await house.client.get(f"{HISTORY}/{name}", params=asked, headers=caller)).json()
        answer = await house.client.get(
            f"{HISTORY}/{name}", params=asked, headers=caller | {"Accept": "text/csv, application/json"}
        )
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert (answer.headers["next-cursor"], answer.headers["complete-to-seq"]) == (body["next_cursor"], "4")
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert tuple(rows[0]) == (*PLACE_COLUMNS, *COLUMNS[name])
        told = [{key: text_of(value) for key, value in item.items()} for item in body["items"]]
        assert [{key: text for key, text in row.items() if text} for row in rows] == told
        last = await house.client.get(
            f"{HISTORY}/{name}", params={"cursor": body["next_cursor"]}, headers=caller | {"Accept": "text/csv"}
        )
        assert "next-cursor" not in last.headers
        assert len(last.text.splitlines()) == 2


def text_of(value: Any) -> str:
    """Return a JSON value as its cell."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_csv_has_a_column_for_every_key(name: str) -> None:
    """No key that a history can tell is missing from its columns, and none stands twice."""
    columns = (*PLACE_COLUMNS, *COLUMNS[name])
    assert sorted(columns) == sorted(STRUCTS[name].__struct_fields__)


async def test_csv_takes_longer_pages_and_no_formulas(tmp_path: Path) -> None:
    """Up to 5000 rows come as CSV; a name that a spreadsheet would run is marked as text."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        store(house, "orders", *(row_of("orders", seq, order_id=seq, client_order_id="=1+1") for seq in range(1, 602)))
        as_csv = caller | {"Accept": "text/csv"}
        answer = await house.client.get(f"{HISTORY}/orders?limit=5000", headers=as_csv)
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert len(rows) == 601 > LIMIT_MAX
        assert {row["client_order_id"] for row in rows} == {"'=1+1"}
        assert (await house.client.get(f"{HISTORY}/orders?limit=5001", headers=as_csv)).status_code == 400
        refused = await house.client.get(
            f"{HISTORY}/orders?limit=501", headers=caller | {"Accept": "application/json, text/csv"}
        )
        assert refused.json()["code"] == "QUERY_INVALID"


async def test_history_waits_for_a_seq_and_is_503_without_postgres(tmp_path: Path) -> None:
    """wait_seq waits until the history reader has come that far, a second at most; trading does not care."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()

        async def catch_up() -> None:
            await asyncio.sleep(0.05)
            house.database.history_seq = 60

        path = f"{HISTORY}/orders?wait_seq=60"
        waited, _ = await asyncio.gather(house.client.get(path, headers=caller), catch_up())
        assert waited.json()["complete_to_seq"] == "60"
        house.database.down = True
        for each in (*(f"{HISTORY}/{name}" for name in EVENTS), f"{FEED}/trades", f"{FEED}/funding"):
            answer = await house.client.get(each, headers=caller)
            assert (answer.status_code, answer.json()["code"]) == (503, "HISTORY_UNAVAILABLE"), each
        body = {"market": MARKET, "side": "buy", "qty": "0.001"}
        assert (await house.client.post("/api/v1/trade/order", json=body, headers=caller)).status_code == 200


async def test_long_pages_count_as_several_requests(tmp_path: Path) -> None:
    """Long CSV pages and wide candles use up the limits as the requests that they replace would."""
    async with House(tmp_path, TIDEMARK_RATE_FACTOR="1") as house:
        caller = await house.sign_in()

        async def left(path: str, **headers: str) -> int:
            answer = await house.client.get(path, headers=caller | headers)
            return int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0])

        before = await left(f"{HISTORY}/orders")
        assert await left(f"{HISTORY}/orders?limit=500", Accept="text/csv") == before - 1
        assert await left(f"{HISTORY}/orders?limit=5000", Accept="text/csv") == before - 2
        assert await left(f"{HISTORY}/orders") == before - 1 - 10 - 1
        house.streams.hashes[house.streams.keys.view_market(MARKET)] = {"seq": b"9"}
        before = await left(f"{FEED}/ticker")
        assert await left(f"{FEED}/candles?limit=500") == before - 1
        await left(f"{FEED}/candles?interval=1d")
        assert await left(f"{FEED}/ticker") == before - 1 - 10 - 1
        for _ in range(4):
            answer = await house.client.get(f"{FEED}/candles?interval=1d&limit=500")
        assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMITED")


async def test_many_who_wait_look_together(tmp_path: Path) -> None:
    """However many wait for history, the database is asked as if it were one."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        house.database.history_seq = 5

        async def late() -> None:
            await asyncio.sleep(0.2)
            house.database.history_seq = 60

        before = house.database.asked
        path = f"{FEED}/trades?wait_seq=60"
        answers = await asyncio.gather(*(house.client.get(path, headers=caller) for _ in range(30)), late())
        assert {answer.json()["complete_to_seq"] for answer in answers[:30]} == {"60"}
        assert house.database.asked - before < 2 * 30 + 15 + 5
