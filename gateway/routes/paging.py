"""Lists as pages: which part the query asks for, and the opaque cursor that names the next."""

import base64
import binascii
from typing import Any

from gateway.calls import Call
from gateway.errors import GatewayCode, Refusal
from gateway.history import TIME_MAX, Page, Row
from shared.codes import CloseReason, LedgerReason, Side

LIMIT_DEFAULT = 100
LIMIT_MAX = 500
NUMBER_DIGITS_MAX = 19
ID_MAX = 2**63 - 1
SIDES = frozenset(side.name.lower() for side in Side if side)
REASONS = frozenset(reason.name.lower() for reason in (*CloseReason, *LedgerReason) if reason)
WORDS = {"side": (SIDES, "buy or sell"), "reason": (REASONS, "a reason as the list states it")}
PAGE_QUERY = ("limit", "cursor", "from_us", "to_us", "wait_seq")


def page(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a whole list as one page."""
    return {"items": items, "next_cursor": None}


def market_read(call: Call, query: dict[str, str]) -> str | None:
    """Return the market that the query names, None without one; raises Refusal when this venue has no such market."""
    market = query.get("market")
    if market is not None and call.desk.markets.one(market) is None:
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "market", "expected": "a market of this venue"})
    return market


def number_read(name: str, text: str | None, low: int, high: int, default: int) -> int:
    """Return a whole number from the query; raises Refusal."""
    if text is None:
        return default
    plain = text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX
    if not (plain and low <= int(text) <= high):
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": name, "expected": f"a whole number, {low} to {high}"})
    return int(text)


def cursor_text(*place: int) -> str:
    """Return a place in a list as the opaque text that callers hand back."""
    return base64.urlsafe_b64encode(".".join(map(str, place)).encode()).decode().rstrip("=")


def cursor_read(text: str | None, count: int) -> tuple[int, ...] | None:
    """Return the place that a cursor means, so many numbers; raises Refusal."""
    if text is None:
        return None
    try:
        parts = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).split(b".")
    except (binascii.Error, ValueError):
        parts = []
    if len(parts) != count or not all(part.isdigit() and len(part) < NUMBER_DIGITS_MAX for part in parts):
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "cursor", "expected": "next_cursor of an answer"})
    return tuple(map(int, parts))


def wait_seq_read(query: dict[str, str]) -> int:
    """Return up to which seq a history should be complete; raises Refusal."""
    return number_read("wait_seq", query.get("wait_seq"), 0, TIME_MAX, 0)


def page_wanted(call: Call, query: dict[str, str], filters: tuple[str, ...] = (), limit_max: int = LIMIT_MAX) -> Page:
    """Return which part of a history is wanted; raises Refusal."""
    before = cursor_read(query.get("cursor"), 3)
    return Page(
        limit=number_read("limit", query.get("limit"), 1, limit_max, LIMIT_DEFAULT),
        before=None if before is None else (before[0], before[1], before[2]),
        from_us=number_read("from_us", query.get("from_us"), 0, TIME_MAX, 0),
        to_us=number_read("to_us", query.get("to_us"), 0, TIME_MAX, TIME_MAX),
        filters={name: filter_read(call, name, query) for name in filters if name in query},
    )


def filter_read(call: Call, name: str, query: dict[str, str]) -> str | int:
    """Return what the rows must equal; raises Refusal."""
    text = query[name]
    if name == "market":
        market_read(call, query)
    elif name in WORDS:
        words, expected = WORDS[name]
        if text not in words:
            raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": name, "expected": expected})
    else:
        return number_read(name, text, 1, ID_MAX, 0)
    return text


def count_more(call: Call, limit: str, who: str, requests: int) -> None:
    """Count a request that costs as much as several; raises Refusal(RATE_LIMITED)."""
    for _ in range(requests):
        call.gateway.limits.hit(limit, who)


def cursor_following(rows: list[Row], limit: int) -> str | None:
    """Return the cursor of the next page, None when this one is the last: there is one row more than asked for."""
    return cursor_text(*rows[limit - 1].place) if len(rows) > limit else None
