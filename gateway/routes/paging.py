"""Lists as pages: which part the query asks for, and the opaque cursor that names the next."""

import base64
import binascii
from typing import Any

from gateway.calls import Call
from gateway.errors import GatewayCode, Refusal
from gateway.history import History, Page, Row

LIMIT_DEFAULT = 100
LIMIT_MAX = 500


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
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": name, "expected": f"a whole number, {low} to {high}"})
    return int(text)


def cursor_text(place: tuple[int, int]) -> str:
    """Return a place in history as the opaque text that callers hand back."""
    return base64.urlsafe_b64encode(f"{place[0]}.{place[1]}".encode()).decode().rstrip("=")


def cursor_read(text: str | None) -> tuple[int, int] | None:
    """Return the place that a cursor means; raises Refusal."""
    if text is None:
        return None
    try:
        seq, _, position = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).partition(b".")
    except (binascii.Error, ValueError):
        seq, position = b"", b""
    if not (seq.isdigit() and position.isdigit() and len(seq) < 19 and len(position) < 19):
        raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "cursor", "expected": "next_cursor of an answer"})
    return int(seq), int(position)


def history_of(call: Call) -> History:
    """Return the reader of this venue's history."""
    parts = call.desk.parts
    return History(parts.database, call.desk.venue, parts.monotonic_s)


def page_wanted(query: dict[str, str], market: str | None) -> tuple[Page, int]:
    """Return which part of a history is wanted, and up to which seq it should be complete; raises Refusal."""
    wanted = Page(
        limit=number_read("limit", query.get("limit"), 1, LIMIT_MAX, LIMIT_DEFAULT),
        before=cursor_read(query.get("cursor")),
        market=market,
    )
    return wanted, number_read("wait_seq", query.get("wait_seq"), 0, 2**62, 0)


def cursor_following(rows: list[Row], wanted: Page) -> str | None:
    """Return the cursor of the next page, None when this one is the last: there is one row more than asked for."""
    return cursor_text(rows[wanted.limit - 1].place) if len(rows) > wanted.limit else None
