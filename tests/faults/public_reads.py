"""What a running venue answers about histories, trades and depth, compared with the events themselves."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.faults.venue_client import Happened, Trader, Venue, eventually

KINDS = {
    "orders": "closed_order",
    "positions": "closed_position",
    "fills": "fill",
    "funding": "funding",
    "ledger": "ledger",
}
PAGE = 7
HTTP_OK = 200


def pages(venue: Venue, path: str, trader: Trader | None, wait_seq: int) -> Iterator[dict[str, Any]]:
    """Yield every item of a list, page by page."""
    cursor = ""
    while True:
        answer = venue.call("GET", f"{path}?limit={PAGE}&wait_seq={wait_seq}{cursor}", trader=trader)
        assert answer.status == HTTP_OK, answer
        assert int(answer.body["complete_to_seq"]) >= wait_seq
        yield from answer.body["items"]
        if answer.body["next_cursor"] is None:
            return
        cursor = f"&cursor={answer.body['next_cursor']}"


def histories_check(venue: Venue, trader: Trader, happened: list[Happened]) -> dict[str, int]:
    """Assert that every history of an account is its events, newest first, as JSON and as CSV; return the counts."""
    counts = {}
    tip = happened[-1].seq
    for name, kind in KINDS.items():
        wanted = [
            {key: value for key, value in one.event.items() if key not in ("e", "account")} | {"seq": str(one.seq)}
            for one in happened
            if one.event["e"] == kind and one.event["account"] == trader.account
        ]
        path = f"/api/v1/account/history/{name}"
        items = list(pages(venue, path, trader, tip))
        shown = [{key: value for key, value in item.items() if key not in ("at", "time_us")} for item in items]
        assert shown == wanted[::-1], (trader.account, name)
        assert [item["at"].partition("-")[0] for item in items] == [item["seq"] for item in items]
        rows = csv_rows(venue, path, trader)
        assert [row["at"] for row in rows] == [item["at"] for item in items]
        counts[name] = len(items)
    return counts


def csv_rows(venue: Venue, path: str, trader: Trader) -> list[dict[str, str]]:
    """Return the rows of a history as CSV."""
    answer, content = venue.call_raw("GET", f"{path}?limit=5000", trader=trader, headers={"Accept": "text/csv"})
    assert answer.status == HTTP_OK, content
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def trades_check(venue: Venue, market: str, happened: list[Happened]) -> int:
    """Assert that a market's trades are its events, newest first; return how many."""
    wanted = [
        {name: one.event[name] for name in ("price", "qty", "side")} | {"time_us": one.log_time_us, "seq": str(one.seq)}
        for one in happened
        if one.event["e"] == "trade" and one.event["market"] == market
    ]
    found = list(pages(venue, f"/api/v1/market/{market}/trades", None, happened[-1].seq))
    assert [{name: value for name, value in item.items() if name != "at"} for item in found] == wanted[::-1]
    return len(found)


def depth_of(happened: list[Happened], market: str) -> dict[str, list[list[Decimal]]]:
    """Return the resting orders of a market by price, the best first, from the events alone."""
    live: dict[int, dict[str, Any]] = {}
    for one in happened:
        event = one.event
        if event["e"] == "order_changed" and event["market"] == market:
            live[event["order_id"]] = event
        elif event["e"] == "closed_order":
            live.pop(event["order_id"], None)
    sides = {}
    for side, name in (("buy", "bids"), ("sell", "asks")):
        levels: dict[Decimal, Decimal] = {}
        for order in live.values():
            if order["side"] == side and order["status"] == "resting":
                price = Decimal(order["price"])
                levels[price] = levels.get(price, Decimal(0)) + Decimal(order["qty"]) - Decimal(order["qty_filled"])
        sides[name] = [[price, levels[price]] for price in sorted(levels, reverse=side == "buy")][:50]
    return sides


def depth_check(venue: Venue, market: str) -> int:
    """Wait until a market's depth is what its orders are by the events; return how many levels there are."""
    path = f"/api/v1/market/{market}/depth"

    def agrees() -> bool:
        body = venue.call("GET", path).body
        happened = [one for one in venue.happened() if one.seq <= int(body["seq"])]
        told = {side: [[Decimal(text) for text in level] for level in body[side]] for side in ("bids", "asks")}
        assert told == depth_of(happened, market), body["seq"]
        return bool(int(body["seq"]) >= happened[-1].seq)

    eventually(agrees, "the depth is of now")
    return sum(len(levels) for levels in depth_of(venue.happened(), market).values())
