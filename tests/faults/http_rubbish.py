"""
Wrong requests as a gateway may get them: a name, how to send it, and the codes one of which must be the answer.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

MARKET = "BTC_USDC_PERP"
HUGE = "9" * 40

CREATE, CLOSE = "/api/v1/trade/create", "/api/v1/trade/close"
ORDER, TRIGGERS = "/api/v1/trade/order", "/api/v1/trade/triggers"


class Foreign(NamedTuple):
    """What the caller may name without owning it."""

    order_id: int
    position_id: int
    own_position_id: int


class Wrong(NamedTuple):
    """One wrong request."""

    name: str
    method: str
    path: str
    body: bytes | None
    codes: frozenset[str]
    headers: dict[str, str]


def wrong(name: str, method: str, path: str, body: Any, *codes: str, headers: dict[str, str] | None = None) -> Wrong:
    """Return one case; a body that is not bytes is written as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return Wrong(name, method, path, data, frozenset(codes), headers or {})


def sound(path: str, own_position_id: int) -> dict[str, Any]:
    """Return a body with nothing wrong."""
    bodies: dict[str, dict[str, Any]] = {
        CREATE: {"market": MARKET, "side": "buy", "margin": "10", "leverage": 5},
        ORDER: {"market": MARKET, "side": "buy", "kind": "limit", "qty": "0.001", "price": "63000.0"},
        CLOSE: {"position_id": own_position_id, "qty": "0.001"},
        TRIGGERS: {"position_id": own_position_id, "stop_loss": "60000.0"},
    }
    return bodies[path]


NUMBER_KEYS = [(CREATE, "margin"), (ORDER, "qty"), (ORDER, "price"), (CLOSE, "qty"), (TRIGGERS, "stop_loss")]
NUMBERS: list[tuple[str, str, str]] = [
    ("NaN", "NaN", "BODY_MALFORMED"),
    ("Infinity", "Infinity", "BODY_MALFORMED"),
    ("-Infinity", "-Infinity", "BODY_MALFORMED"),
    ("1e400", "1e400", "BODY_MALFORMED NUMBER_NOT_TEXT"),
    ("1e5", "1e5", "NUMBER_NOT_TEXT"),
    ("a fraction", "1.5", "NUMBER_NOT_TEXT"),
    ("forty digits", HUGE, "NUMBER_NOT_TEXT"),
    ("forty digits as text", f'"{HUGE}"', "NUMBER_MALFORMED"),
    ("NaN as text", '"NaN"', "NUMBER_MALFORMED"),
    ("an exponent as text", '"1e400"', "NUMBER_MALFORMED"),
    ("a negative number", '"-1"', "QTY_OUT_OF_RANGE PRICE_OUT_OF_RANGE AMOUNT_OUT_OF_RANGE"),
    ("zero", '"0"', "QTY_OUT_OF_RANGE PRICE_OUT_OF_RANGE AMOUNT_OUT_OF_RANGE"),
    ("arabic digits", '"٣٤"', "NUMBER_MALFORMED"),
    ("an escaped NUL", '"1\\u0000"', "NUMBER_MALFORMED"),
    ("a lone surrogate", '"\\ud800"', "BODY_MALFORMED NUMBER_MALFORMED"),
    ("true", "true", "FIELD_TYPE_INVALID"),
    ("a list", "[]", "FIELD_TYPE_INVALID"),
    ("30 kB of digits", '"' + "1" * 30_000 + '"', "NUMBER_MALFORMED"),
    ("30 kB of bare digits", "1" * 30_000, "BODY_MALFORMED NUMBER_NOT_TEXT"),
]


def number_cases(own_position_id: int) -> Iterator[Wrong]:
    """Yield wrong numbers in every place where one is expected."""
    for path, key in NUMBER_KEYS:
        method = "PUT" if path == TRIGGERS else "POST"
        for name, literal, codes in NUMBERS:
            text = json.dumps({**sound(path, own_position_id), key: "@"}, ensure_ascii=False)
            body = text.replace('"@"', literal).encode()
            yield wrong(f"{path} {key}: {name}", method, path, body, *codes.split())


def body_cases() -> Iterator[Wrong]:
    """Yield bodies that are no JSON object in UTF-8 of at most 64 KiB."""
    good = json.dumps(sound(CREATE, 0)).encode()
    bodies: list[tuple[str, bytes]] = [
        ("nothing", b""), ("null", b"null"), ("a list", b"[" + good + b"]"), ("a text", b'"order"'), ("a number", b"1"),
        ("cut", good[:-1]), ("twice", good + good), ("a byte order mark", b"\xef\xbb\xbf" + good), ("NUL", b"\0" * 64),
        ("not UTF-8", good.replace(b"buy", b"b\xffy")), ("UTF-16", good.decode().encode("utf-16")),
        ("nested 20 000 deep", b'{"market":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
        ("nested objects 10 000 deep", b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        ("an open list", b"[" * 60_000), ("single quotes", good.replace(b'"', b"'")),
        ("a form", b"market=BTC&side=buy"),
        ("a control character", good.replace(b"buy", b"b\x01y")), ("a comment", good + b"// all of it"),
        ("XML", b"<order/>"), ("random bytes", bytes(range(256))), ("blanks", b" " * 1_000),
    ]  # fmt: skip
    for path in (CREATE, ORDER, CLOSE):
        for name, body in bodies:
            yield wrong(f"{path} body: {name}", "POST", path, body, "BODY_MALFORMED", "FIELD_TYPE_INVALID")
        yield wrong(f"{path}: 64 KiB and 1", "POST", path, b" " * 65_537, "BODY_TOO_LARGE")
        yield wrong(f"{path}: 1 MiB", "POST", path, b'{"market":"' + b"x" * 2**20 + b'"}', "BODY_TOO_LARGE")
    for kind in (
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
    ):
        headers = {"Content-Type": kind}
        yield wrong(f"content type {kind}", "POST", CREATE, b"--x\r\n\r\n1\r\n--x--", "BODY_MALFORMED", headers=headers)


def key_cases(own_position_id: int) -> Iterator[Wrong]:
    """Yield keys that are missing, too many, of the wrong type, or excluded by another."""
    for path in (CREATE, ORDER, CLOSE, TRIGGERS):
        method = "PUT" if path == TRIGGERS else "POST"
        good = sound(path, own_position_id)
        for key in ("colour", "", "__proto__", "account", "request_id", "op", "v", "Qty", "prïce", "x" * 5_000):
            yield wrong(f"{path} with key {key[:20]!r}", method, path, {**good, key: 1}, "FIELD_UNKNOWN")
        for key in ("market", "position_id", "side", "leverage"):
            if key in good:
                rest = {name: value for name, value in good.items() if name != key}
                yield wrong(f"{path} without {key}", method, path, rest, "FIELD_MISSING")
        for key in good:
            for name, other in (("null", None), ("an object", {}), ("a list", [1]), ("false", False)):
                if (key, name) == ("stop_loss", "null"):
                    continue  # removes it
                codes = ("FIELD_TYPE_INVALID", "FIELD_MISSING")
                yield wrong(f"{path} {key}: {name}", method, path, {**good, key: other}, *codes)
    for market in ("", "DOGE_USDC_PERP", "btc_usdc_perp", "฿TC", "BTC\0", "X" * 5_000, "../../log"):
        good = sound(CREATE, 0)
        yield wrong(f"market {market[:20]!r}", "POST", CREATE, {**good, "market": market}, "MARKET_UNKNOWN")
    for leverage, code in ((0, "RANGE"), (51, "RANGE"), (-1, "RANGE"), (2**63, "RANGE"), (2**70, "RANGE")):
        good = sound(CREATE, 0)
        yield wrong(f"leverage {leverage}", "POST", CREATE, {**good, "leverage": leverage}, f"LEVERAGE_OUT_OF_{code}")
    both = {**sound(CREATE, 0), "qty": "0.001"}
    yield wrong("margin and qty", "POST", CREATE, both, "FIELDS_EXCLUSIVE")
    for name in ("a b", "ü", "x" * 37, "nul\0", "", "💰", "\ud800"):
        codes = ("TEXT_INVALID", "BODY_MALFORMED")
        yield wrong(f"client_order_id {name!r}", "POST", ORDER, {**sound(ORDER, 0), "client_order_id": name}, *codes)


def address_cases(foreign: Foreign) -> Iterator[Wrong]:
    """Yield other people's things, wrong addresses, queries, methods and headers."""
    order = str(foreign.order_id)
    for path in (order, "0", "-1", "1.5", "x", HUGE, "%00", "%F0%9F%92%B0", "9" * 18):
        yield wrong(f"cancel {path}", "DELETE", f"{ORDER}/{path}", None, "ORDER_UNKNOWN", "NOT_FOUND")
    for position_id in (foreign.position_id, 0, -1, 2**62, 2**63, 10**30):
        body: dict[str, Any] = {"position_id": position_id}
        yield wrong(f"close {position_id}", "POST", CLOSE, body, "POSITION_UNKNOWN", "NUMBER_NOT_TEXT")
        body = {"position_id": position_id, "stop_loss": "60000.0"}
        yield wrong(f"triggers of {position_id}", "PUT", TRIGGERS, body, "POSITION_UNKNOWN", "NUMBER_NOT_TEXT")
    good = sound(CREATE, 0)
    for query in ("?market=BTC", "?x=1&x=2", "?%00", "?" + "a" * 4_000):
        yield wrong(f"query {query[:20]}", "POST", CREATE + query, good, "QUERY_INVALID")
    for key in ("x" * 65, " ", "t\tab", "ü"):
        code = "IDEMPOTENCY_KEY_INVALID"
        yield wrong(f"key {key!r}", "POST", CREATE, good, code, headers={"Idempotency-Key": key})
    for time in ("0", "-1", "now", "1763000000000000", "9" * 40, "7258118400000000", "1e15"):
        code = "REQUEST_TIME_INVALID"
        yield wrong(f"time {time}", "POST", CREATE, good, code, headers={"Request-Time": time})
    for token in ("", "x", "x" * 5_000, "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMDAifQ."):
        headers = {"Authorization": f"Bearer {token}"}
        yield wrong(f"token {token[:20]!r}", "POST", CREATE, good, "UNAUTHENTICATED", headers=headers)
    site = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site", "Authorization": "Basic eDp5"}
    yield wrong("another scheme", "POST", CREATE, good, "UNAUTHENTICATED", "CROSS_SITE", headers=site)
    for method, path in (("PATCH", CREATE), ("GET", CREATE), ("DELETE", CLOSE)):
        yield wrong(f"{method} {path}", method, path, good, "METHOD_NOT_ALLOWED", "NOT_FOUND")
    for path in ("/api/v1/trade", "/api/v1/trade/create/", "/api/v2/trade/create", "/%2e%2e/secret", "/" + "a" * 5_000):
        yield wrong(f"address {path[:30]}", "POST", path, good, "NOT_FOUND", "METHOD_NOT_ALLOWED")


def all_wrong(foreign: Foreign) -> list[Wrong]:
    """Return every wrong request."""
    own = foreign.own_position_id
    return [*number_cases(own), *body_cases(), *key_cases(own), *address_cases(foreign)]


# What is not even HTTP, or stops in the middle: an error or a closed connection, never a stopped process.
RAW: list[bytes] = [
    b"\0" * 1_000,
    b"\xff\xfe" * 500,
    b"GET\r\n\r\n",
    b"BREW /api/v1/trade/create HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /api/v1/trade/create HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /api/v1/trade/create HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n{}",
    b"POST /api/v1/trade/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
    b"POST /api/v1/trade/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]
