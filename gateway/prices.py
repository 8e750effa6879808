"""What a market's view says of its prices, as answers and messages show it: the ticker and the depth; pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from gateway.day_change import DayOpen, change_body
from gateway.errors import GatewayCode, Refusal

TICKER_TEXTS = ("bid", "ask", "bid_qty", "ask_qty", "mark", "index", "funding_rate", "state", "open_interest", "source")
TICKER_NUMBERS = ("funding_next_ms", "quote_us", "mark_us", "log_time_us")
QUOTE_TEXTS = ("bid", "bid_qty", "ask", "ask_qty")
LEVELS_MAX = 50
SIMULATED = "simulated"  # what the poller calls its own simulator


def ticker_body(market: str, view: Mapping[str, str], now_us: int, opened: DayOpen | None = None) -> dict[str, Any]:
    """Return the last accepted quote and mark with their age, and how the mark has moved since the day's opening."""
    body: dict[str, Any] = {"market": market}
    body |= {name: view[name] for name in TICKER_TEXTS if view.get(name)}
    body |= {name: int(view[name]) for name in TICKER_NUMBERS if view.get(name, "").isdigit()}
    for name in ("quote", "mark"):
        if body.get(f"{name}_us"):
            body[f"{name}_age_ms"] = max(0, now_us - body[f"{name}_us"]) // 1_000
    body |= change_body(opened, body.get("mark"))
    if "source" in body:
        body["simulated"] = body["source"] == SIMULATED
    body["fresh"] = view.get("fresh") == "1"
    body["seq"] = view.get("seq", "0")
    return body


def depth_body(view: Mapping[str, str], levels: int) -> dict[str, Any]:
    """Return the depth that a market's view states; raises Refusal while the engine has not written it."""
    if not view.get("book"):
        raise Refusal(GatewayCode.VIEW_UNAVAILABLE, {"reason": "the engine has not stated the orders yet"})
    book = orjson.loads(view["book"])
    body: dict[str, Any] = {side: book[side][:levels] for side in ("bids", "asks")}
    if book.get("truncated"):
        body["truncated"] = True
    body["quote"] = {name: view[name] for name in QUOTE_TEXTS if view.get(name)}
    body |= {"seq": view.get("book_seq", "0"), "log_time_us": int(view.get("log_time_us") or 0)}
    return body | {"fresh": view.get("fresh") == "1"}


def price_row(view: Mapping[str, str]) -> dict[str, Any]:
    """Return a market's prices in one row, `price` the middle of the quote; what is not known yet is left out."""
    row: dict[str, Any] = {}
    if view.get("bid") and view.get("ask"):
        row["price"] = format((Decimal(view["bid"]) + Decimal(view["ask"])) / 2, "f")
    row |= {name: view[name] for name in ("bid", "ask", "mark", "index") if view.get(name)}
    row["fresh"] = view.get("fresh") == "1"
    if view.get("quote_us", "").isdigit():
        row["quote_us"] = int(view["quote_us"])
    return row
