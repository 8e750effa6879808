"""
Backpack's frames: subscribe, parse, check; pure.

What belongs here is the shape of the outside venue's public WebSocket and nothing else. A frame that cannot be read
is an answer (`FrameFault`), never an exception: the venue may send anything. Whether a readable quote is *good*
(crossed, late, a spike) is decided by the engine alone, so that its counters tell of every quote that arrived.
"""

import re
from collections.abc import Collection, Iterable
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import orjson

STREAM_PRICE = "bookTicker"
STREAM_MARK = "markPrice"
KEYS_PRICE = ("A", "B", "E", "T", "a", "b", "e", "s", "u")
KEYS_MARK = ("E", "T", "e", "f", "i", "n", "p", "s")
# A book may be empty on one side; absent and null mean the same.
KEYS_NULLABLE = frozenset("ABab")
KEYS_INTEGER = frozenset("ETnu")
KEYS_DECIMAL = frozenset("ABabfip")
INTEGER_MAX = 2**62  # what the log's readers take

ERROR_PARSE = 4002
ERROR_STREAM = 4006

# Backpack sends funding rates of up to 28 digits; the engine rounds, the poller only insists on numbers it can read.
DECIMAL = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,40})?(?:[eE]-?[0-9]{1,2})?", re.ASCII)


class FrameKind(IntEnum):
    """What arrived."""

    PRICE = 1
    MARK = 2
    ERROR = 3
    UNREADABLE = 4


KINDS = {STREAM_PRICE: FrameKind.PRICE, STREAM_MARK: FrameKind.MARK}


class FrameFault(StrEnum):
    """Why a frame is unreadable; the names under which such frames are counted."""

    NOT_JSON = "not_json"
    NOT_A_DATA_FRAME = "not_a_data_frame"
    STREAM_UNKNOWN = "stream_unknown"
    MARKET_UNKNOWN = "market_unknown"
    MARKET_CONTRADICTORY = "market_contradictory"
    FIELD_MISSING = "field_missing"
    FIELD_WRONG = "field_wrong"


class Frame(NamedTuple):
    """One frame from the outside venue, read and checked."""

    kind: FrameKind
    market: str  # empty for errors and unreadable frames
    body: bytes  # the data object as canonical JSON; the venue's message of an error frame
    code: int = 0  # error frames: Backpack's number, 0 when it names none
    fault: str = ""  # unreadable frames: a FrameFault


def streams_of(markets: Iterable[str]) -> list[str]:
    """Return the names of the streams that the venue needs, quotes first."""
    names = list(markets)
    return [f"{STREAM_PRICE}.{name}" for name in names] + [f"{STREAM_MARK}.{name}" for name in names]


def subscribe_frame(streams: Iterable[str]) -> str:
    """Return the one frame that subscribes to all the streams; Backpack does not acknowledge it."""
    return orjson.dumps({"method": "SUBSCRIBE", "params": list(streams)}).decode()


def frame_parse(raw: bytes | str, markets: Collection[str]) -> Frame:
    """Return what a frame says; total, whatever the bytes are."""
    try:
        message = orjson.loads(raw)
    except ValueError:
        return unreadable(FrameFault.NOT_JSON)
    if not isinstance(message, dict):
        return unreadable(FrameFault.NOT_A_DATA_FRAME)
    data, stream = message.get("data"), message.get("stream")
    if not isinstance(data, dict) or not isinstance(stream, str):
        return error_parse(message)
    kind_text, _, market = stream.partition(".")
    kind = KINDS.get(kind_text)
    if kind is None:
        return unreadable(FrameFault.STREAM_UNKNOWN)
    if market not in markets:
        return unreadable(FrameFault.MARKET_UNKNOWN)
    if data.get("s") != market or data.get("e") != kind_text:
        return unreadable(FrameFault.MARKET_CONTRADICTORY)
    return data_check(kind, market, data)


def data_check(kind: FrameKind, market: str, data: dict[str, Any]) -> Frame:
    """
    Return the frame with its data object in canonical form, or the fault found first.

    Keys that Backpack may add one day are left out: the engine refuses keys that its rules do not know.
    """
    body: dict[str, str | int | None] = {}
    for key in KEYS_PRICE if kind == FrameKind.PRICE else KEYS_MARK:
        value = data.get(key)
        if value is None:
            if key not in KEYS_NULLABLE:
                return unreadable(FrameFault.FIELD_MISSING)
        elif key in KEYS_INTEGER:
            # The documentation shows `u` as text, the wire has numbers; both are taken, numbers are forwarded.
            if type(value) is str and value.isascii() and value.isdigit() and len(value) < 19:
                value = int(value)
            if type(value) is not int or not 0 <= value <= INTEGER_MAX:
                return unreadable(FrameFault.FIELD_WRONG)
        elif key in KEYS_DECIMAL and (type(value) is not str or DECIMAL.fullmatch(value) is None):
            return unreadable(FrameFault.FIELD_WRONG)
        body[key] = value
    return Frame(kind, market, orjson.dumps(body))


def error_parse(message: dict[str, Any]) -> Frame:
    """Return Backpack's error frame `{"error":{"code":4006,"message":…},"id":null}`, or that this is none."""
    error = message.get("error")
    if not isinstance(error, dict):
        return unreadable(FrameFault.NOT_A_DATA_FRAME)
    code, text = error.get("code"), error.get("message")
    code = code if type(code) is int else 0
    text = text if isinstance(text, str) else ""
    return Frame(FrameKind.ERROR, "", text[:200].encode(errors="replace"), code)


def unreadable(fault: FrameFault) -> Frame:
    """Return the frame that says only why it could not be read."""
    return Frame(FrameKind.UNREADABLE, "", b"", fault=fault)
