"""What the gateway's statements about history answer, over rows that are plain dicts: for databases in memory."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gateway import candles, day_change, equity, history

Row = Mapping[str, Any]
Answered = list[dict[str, Any]]


def combinations_of(feed: history.Feed) -> list[tuple[str, ...]]:
    """Return every choice of filters that a query can make, in the order in which routes name them."""
    names = tuple(feed.filters)
    return [chosen for count in range(len(names) + 1) for chosen in itertools.combinations(names, count)]


PAGES = {
    history.rows_select(feed, filters): (feed, filters)
    for feed in (*history.ACCOUNT_FEEDS.values(), *history.MARKET_FEEDS.values(), history.ORDER_FEED)
    for filters in combinations_of(feed)
}


def page_answer(query: str, rows: Iterable[Row], arguments: tuple[Any, ...]) -> Answered:
    """Return what one of PAGES answers over the rows of its table."""
    feed, filters = PAGES[query]
    venue, owner, first, *rest = arguments
    before, limit, wanted = tuple(rest[:3]), rest[3], rest[4:]
    found = []
    for row in rows:
        place = (row[feed.time], row["seq"], position_of(row))
        ours = (row["venue"], row[feed.owner]) == (venue, owner) and row[feed.time] >= first and place < before
        if ours and all(matches(row, name, value) for name, value in zip(filters, wanted, strict=True)):
            found.append({"time": place[0], "seq": place[1], "position": place[2], "data": row["data"]})
    return sorted(found, key=lambda row: (row["time"], row["seq"], row["position"]), reverse=True)[:limit]


def position_of(row: Row) -> int:
    """Return an event's index among all events of its log entry."""
    return int(row["position"] if "position" in row else row["chunk"] * history.EVENTS_PER_CHUNK + row["index"])


def matches(row: Row, name: str, value: Any) -> bool:
    """Return whether a row has what a filter asks for, in a column or in its event."""
    if name in row:
        return bool(row[name] == value)
    return isinstance(row["data"], dict) and bool(row["data"].get(name) == value)


def newest_minute(rows: Iterable[Row], venue: str, market: str, before_ms: int) -> Answered:
    """Return the newest stored minute before a time."""
    minutes = [minute["minute_ms"] for minute in minutes_of(rows, venue, market) if minute["minute_ms"] < before_ms]
    return [{"minute_ms": max(minutes, default=None)}]


def minute_first(rows: Iterable[Row], venue: str, market: str, from_ms: int) -> Answered:
    """Return the first stored minute with a quote from a time on."""
    found = [row for row in minutes_of(rows, venue, market) if row["minute_ms"] >= from_ms and row["data"].get("open")]
    return [{"minute_ms": row["minute_ms"], "open": row["data"]["open"]} for row in sorted(found, key=minute_ms)][:1]


def minute_ms(row: Row) -> int:
    """Return which minute a row is of."""
    return int(row["minute_ms"])


def candles_page(
    rows: Iterable[Row], venue: str, market: str, width_ms: int, first_ms: int, end_ms: int, limit: int
) -> Answered:
    """Return joined candles, the newest first."""
    joined: dict[int, list[dict[str, Any]]] = {}
    for minute in sorted(minutes_of(rows, venue, market), key=lambda row: int(row["minute_ms"])):
        if first_ms <= minute["minute_ms"] < end_ms and minute["data"].get("open") is not None:
            event = minute["data"] | {"minute_ms": minute["minute_ms"]}
            joined.setdefault(minute["minute_ms"] // width_ms * width_ms, []).append(event)
    found = [
        {
            "open_ms": open_ms,
            "open": minutes[0]["open"],
            "high": max((minute["high"] for minute in minutes), key=Decimal),
            "low": min((minute["low"] for minute in minutes), key=Decimal),
            "close": minutes[-1]["close"],
            "quotes": sum(minute["quotes"] for minute in minutes),
            "last_ms": minutes[-1]["minute_ms"],
        }
        for open_ms, minutes in joined.items()
    ]
    return sorted(found, key=lambda row: -row["open_ms"])[:limit]


def minutes_of(rows: Iterable[Row], venue: str, market: str) -> list[Row]:
    """Return the stored minutes of a market."""
    return [row for row in rows if (row["venue"], row["market"]) == (venue, market)]


def liquidations_answer(
    rows: Iterable[Row], orders: Iterable[Row], venue: str, market: str, seq: int, position: int, limit: int
) -> Answered:
    """Return a page of a market's liquidations, each with the side and price of its order."""
    known = {(row["venue"], row["account_id"], row["order_id"]): row["data"] for row in orders}
    found = []
    for row in rows:
        before = (row["seq"], row["position"]) < (seq, position)
        if (row["venue"], row["market"]) == (venue, market) and before:
            order = known.get((row["venue"], row["account_id"], row["order_id"]))
            order = order if isinstance(order, dict) else {}
            shown = {name: row[name] for name in ("seq", "position", "kind", "liquidated_us", "data")}
            found.append({**shown, **{name: order.get(name) for name in ("side", "price_average")}})
    return sorted(found, key=lambda row: (-row["seq"], -row["position"]))[:limit]


def ledger_span(rows: Iterable[Row], venue: str, account_id: int) -> Answered:
    """Return when an account's money moved first and last."""
    times = [row["booked_us"] for row in legs_of(rows, venue, account_id)]
    return [{"first_us": min(times, default=None), "last_us": max(times, default=None)}]


def ledger_sums(rows: Iterable[Row], venue: str, account_id: int, from_us: int, to_us: int, width_us: int) -> Answered:
    """Return what the legs of each step moved, those before the beginning together."""
    steps: dict[int, list[Row]] = {}
    for row in legs_of(rows, venue, account_id):
        event = row["data"] if isinstance(row["data"], dict) else {}
        if row["booked_us"] < to_us and event.get("reason") != "margin":
            before = row["booked_us"] < from_us
            steps.setdefault(equity.BEFORE if before else row["booked_us"] // width_us, []).append(row)
    return [
        {
            "bucket": bucket,
            "time_us": max(leg["booked_us"] for leg in legs),
            "moved_e6": str(int(sum(Fraction(leg["amount"]) for leg in legs) * 1_000_000)),
        }
        for bucket, legs in sorted(steps.items())
    ]


def legs_of(rows: Iterable[Row], venue: str, account_id: int) -> list[Row]:
    """Return the movements of an account's money."""
    return [row for row in rows if (row["venue"], row["account_id"]) == (venue, account_id)]


# The statements over one table: what they answer, and of which table.
OF_TABLE: dict[str, tuple[str, Callable[..., Answered]]] = {
    candles.NEWEST_SELECT: ("candles", newest_minute),
    candles.CANDLES_SELECT: ("candles", candles_page),
    day_change.OPEN_SELECT: ("candles", minute_first),
    equity.SPAN_SELECT: ("ledger", ledger_span),
    equity.BALANCES_SELECT: ("ledger", ledger_sums),
}


def answer(tables: Callable[[str], Iterable[Row]], query: str, arguments: tuple[Any, ...]) -> Answered | None:
    """Return what a statement about history answers, None for one that is about something else."""
    if query in PAGES:
        return page_answer(query, tables(PAGES[query][0].table), arguments)
    if query in OF_TABLE:
        table, answered = OF_TABLE[query]
        return answered(tables(table), *arguments)
    if query == history.LIQUIDATIONS_SELECT:
        return liquidations_answer(tables("liquidations"), tables("closed_orders"), *arguments)
    return None
