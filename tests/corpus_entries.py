"""
The wrong entries whose envelope, ids, times or fields are at fault, and those no gateway would ever write.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tests.corpus import MARKET, Case, Fields, Raw, World, bases, entry, instruction, json_text

MALFORMED = "RECORD_MALFORMED"
SECOND_US = 1_000_000


def envelope_cases() -> Iterator[Case]:
    """Yield instructions whose envelope cannot be read."""
    wrong: dict[str, tuple[Any, ...]] = {
        "v": (..., 0, 2, "1", None, 1.0, True, -1, [1]),
        "account": (..., -1, "100", 100.0, None, 2**31, 2**63, 10**30, [], {}),
        "request_id": (
            ..., "", 1, None, "0" * 31, "0" * 33, "A" * 32, "g" * 32, "0" * 31 + "\0", "０" * 32, [],
            "01234567-89ab-cdef-0123-456789abcdef",
        ),
        "op": (..., 1, None, [], {}, True),
    }  # fmt: skip
    for key, values in wrong.items():
        for value in values:
            yield Case(f"envelope {key}: {value!r}", MALFORMED, instruction("cancel_all", {key: value}))
    twice = Raw('"' + "0" * 32 + '","v":2')
    yield Case("v twice, the last wrong", MALFORMED, instruction("cancel_all", {"request_id": twice}))


def named_cases() -> Iterator[Case]:
    """Yield instructions that name what is not there, not theirs, or not now."""
    for account in (0, 1, 2, 3, 4, 5, 99, 999, 2**31 - 1):
        yield Case(f"account {account}", "ACCOUNT_UNKNOWN", instruction("cancel_all", {"account": account}))
    yield Case("another's order", "ORDER_UNKNOWN", instruction("cancel", {"order_id": lambda w: w.other_order_id}))
    yield Case("no order", "ORDER_UNKNOWN", instruction("cancel", {"order_id": 0}))
    nobody = {"order_id": ..., "client_order_id": "nobody"}
    yield Case("no such client order id", "ORDER_UNKNOWN", instruction("cancel", nobody))
    for base in ("close_qty", "triggers"):
        for name, value in (("another's", lambda w: w.other_position_id), ("no", 0), ("a far", 2**62)):
            yield Case(f"{base}: {name} position", "POSITION_UNKNOWN", instruction(base, {"position_id": value}))
    taken = instruction("limit", {"client_order_id": "mine-1"})
    yield Case("client order id taken", "CLIENT_ORDER_ID_TAKEN", taken)
    for off_s in (-6, -3600, -86_400):
        yield Case(f"late by {-off_s} s", "INSTRUCTION_LATE", instruction("limit", {}, off_s * SECOND_US))
    for off_s in (8, 3600, 86_400 * 365):
        yield Case(f"early by {off_s} s", "INSTRUCTION_EARLY", instruction("limit", {}, off_s * SECOND_US))
    for name, off_ms, code in (
        ("old", -121_000, "REQUEST_TOO_OLD"),
        ("of 1970", None, "REQUEST_TOO_OLD"),
        ("early", 8_000, "REQUEST_ID_EARLY"),
        ("far ahead", 10**12, "REQUEST_ID_EARLY"),
    ):
        yield Case(f"UUIDv7 {name}", code, identified(off_ms))
    yield Case("accepted before", "REQUEST_REPEATED", lambda world, _: repeated(world, {}))
    changed = {"op": "orders_cancel", "market": MARKET}
    yield Case("accepted before, other body", "REQUEST_ID_REUSED", lambda world, _: repeated(world, changed))
    for name, changes, code in (
        ("post-only that would take", {"post_only": True, "price": "65000.1"}, "POST_ONLY_WOULD_TAKE"),
        ("fill or kill beside the market", {"tif": "FOK", "price": "63000.0"}, "FOK_UNFILLABLE"),
    ):
        yield Case(name, code, instruction("limit", {**changes, "take_profit": ..., "stop_loss": ...}))
    yield Case("ticket without room", "SLIPPAGE_EXCEEDED", instruction("ticket", {"slippage_bps": 0}))
    yield Case("order without cover", "MARGIN_INSUFFICIENT", instruction("market", {"qty": "5"}))


def identified(off_ms: int | None) -> Callable[[World, str], Fields]:
    """Return a writer whose request id is a UUIDv7 made some time off the present; None is the year 1970."""

    def write(world: World, request_id: str) -> Fields:
        id_ms = 1 if off_ms is None else world.ts_us // 1_000 + off_ms
        return instruction("limit", {"request_id": f"{id_ms:012x}7{request_id[13:16]}8{request_id[17:]}"})(world, "")

    return write


def repeated(world: World, changes: dict[str, Any]) -> Fields:
    """Return what was accepted before under the same id, perhaps with another body."""
    body = {"v": 1, "account": world.account, "request_id": world.accepted_id, **(changes or world.accepted_body)}
    return entry(str(world.ts_us).encode(), b"user_instruction", json_text(body).encode())


def sound(world: World, request_id: str) -> bytes:
    """Return the JSON of an instruction with nothing wrong."""
    return json_text({"v": 1, "account": world.account, "request_id": request_id, **bases(world)["limit"]}).encode()


def entry_cases() -> Iterator[Case]:
    """Yield entries that are wrong before any JSON is looked at, or whose JSON is not that of its kind."""
    times = (
        b"", b"0", b"-1", b"1", b"now", b"1763000000", b"1763000000000", b"1763000000000000000", b"9" * 40,
        b"7258118400000000", b"-31536000000000", b"1.763e15", b" 1763000000000000", b"1763000000000000\0",
        b"0x6438a1e1ba000", b"NaN", b"\xff\xfe", b"1" * 30_000, "１７６３０００００００００００".encode(),
        b"4102444800000001", b"1577836799999999",
    )  # fmt: skip
    for ts in times:
        name = f"ts {ts[:24]!r}"
        yield Case(name, MALFORMED, lambda world, rid, ts=ts: entry(ts, b"user_instruction", sound(world, rid)))
    for name, change in FIELD_CHANGES:
        yield Case(f"fields: {name}", MALFORMED, written(change))
    for kind, bodies in BODIES.items():
        for body in bodies:
            yield Case(f"{kind} {body[:60]!r}", MALFORMED, feed(kind, body))


def written(change: Callable[[Fields], Fields]) -> Callable[[World, str], Fields]:
    """Return a writer of a sound instruction whose fields are then changed."""
    return lambda world, rid: change(entry(str(world.ts_us).encode(), b"user_instruction", sound(world, rid)))


FIELD_CHANGES: list[tuple[str, Callable[[Fields], Fields]]] = [
    ("none", lambda fields: []),
    ("no ts", lambda fields: fields[1:]),
    ("no kind", lambda fields: fields[:1]),
    ("ts twice", lambda fields: [fields[0], *fields]),
    ("two kinds", lambda fields: [*fields, (b"clock_tick", b"{}")]),
    ("one kind twice", lambda fields: [*fields, fields[1]]),
    ("empty name", lambda fields: [*fields, (b"", b"")]),
    ("empty name for the kind", lambda fields: [fields[0], (b"", fields[1][1])]),
    ("unknown name", lambda fields: [*fields, (b"colour", b"red")]),
    ("unknown kind", lambda fields: [fields[0], (b"user_wish", fields[1][1])]),
    ("kind in capitals", lambda fields: [fields[0], (b"USER_INSTRUCTION", fields[1][1])]),
    ("kind malformed by name", lambda fields: [fields[0], (b"malformed", b"{}")]),
    ("kind not UTF-8", lambda fields: [fields[0], (b"\xff\xfe", fields[1][1])]),
    ("kind of 30 kB", lambda fields: [fields[0], (b"k" * 30_000, fields[1][1])]),
    ("a session", lambda fields: [fields[0], (b"session", b"abc"), fields[1]]),
    ("value not UTF-8", lambda fields: [fields[0], (fields[1][0], b'{"v":1,"account":\xff}')]),
    ("value cut", lambda fields: [fields[0], (fields[1][0], fields[1][1][:-1])]),
    ("value and more", lambda fields: [fields[0], (fields[1][0], fields[1][1] + b"{}")]),
    ("value with a mark of byte order", lambda fields: [fields[0], (fields[1][0], b"\xef\xbb\xbf" + fields[1][1])]),
    ("value empty", lambda fields: [fields[0], (fields[1][0], b"")]),
    ("value null", lambda fields: [fields[0], (fields[1][0], b"null")]),
    ("value a list", lambda fields: [fields[0], (fields[1][0], b"[" + fields[1][1] + b"]")]),
    ("value a text", lambda fields: [fields[0], (fields[1][0], b'"order_place"')]),
    ("value a number", lambda fields: [fields[0], (fields[1][0], b"1")]),
    ("value an empty object", lambda fields: [fields[0], (fields[1][0], b"{}")]),
    ("value of NULs", lambda fields: [fields[0], (fields[1][0], b"\0" * 100)]),
    ("value of 30 kB", lambda fields: [fields[0], (fields[1][0], b'"' + b"x" * 30_000 + b'"')]),
    ("a thousand fields", lambda fields: [*fields, *[(b"f%d" % i, b"") for i in range(1000)]]),
]

QUOTE = b'{"A":"1","B":"1","E":1763000000000000,"T":1763000000000000,"a":"65000.1","b":"65000.0",'
MARK = b'{"E":1763000000000000,"T":1763000000000000,"e":"markPrice","f":"0","i":"65000","n":1763000000000,'
BODIES: dict[str, list[bytes]] = {
    "price_update": [
        b"", b"{}", b"[]", b"null", QUOTE[:-1] + b"}", QUOTE + b'"e":"bookTicker","s":1,"u":1}',
        QUOTE + b'"e":"bookTicker","s":"BTC_USDC_PERP"}', QUOTE + b'"e":"bookTicker","s":"BTC_USDC_PERP","u":-1}',
        QUOTE + b'"e":"bookTicker","s":"BTC_USDC_PERP","u":1.5}',
        QUOTE + b'"e":"bookTicker","s":"BTC_USDC_PERP","u":99999999999999999999999999}',
        QUOTE.replace(b'"65000.1"', b"NaN") + b'"e":"bookTicker","s":"BTC_USDC_PERP","u":9}',
        QUOTE.replace(b'"65000.1"', b"65000.1") + b'"e":"bookTicker","s":"BTC_USDC_PERP","u":9}',
        QUOTE.replace(b'"65000.1"', b'"Infinity"') + b'"e":"bookTicker","s":"BTC_USDC_PERP","u":9}',
        QUOTE.replace(b"1763000000000000", b'"soon"') + b'"e":"bookTicker","s":"BTC_USDC_PERP","u":9}',
        QUOTE.replace(b"1763000000000000", b"-1") + b'"e":"bookTicker","s":"BTC_USDC_PERP","u":9}',
    ],
    "mark_update": [
        b"{}", MARK[:-1] + b"}", MARK + b'"p":null,"s":"BTC_USDC_PERP"}', MARK + b'"p":65000.5,"s":"BTC_USDC_PERP"}',
        MARK + b'"p":"","s":"BTC_USDC_PERP"}', MARK + b'"p":"1e5","s":"BTC_USDC_PERP"}x',
        MARK.replace(b'"f":"0"', b'"f":"NaN"') + b'"p":"65000","s":"BTC_USDC_PERP"}',
        MARK.replace(b'"n":1763000000000', b'"n":-1') + b'"p":"65000","s":"BTC_USDC_PERP"}',
    ],
    "feed_status": [
        b"{}", b'{"status":"up"}', b'{"status":"sideways","source":"simulated"}', b'{"status":"up","source":""}',
        b'{"status":"up","source":1}', b'{"status":"up","source":"simulated","price_age_max_ms":-1}',
        b'{"status":"up","source":"simulated","price_age_max_ms":1.5}',
        b'{"status":"up","source":"simulated","price_age_max_ms":99999999999}',
        b'{"status":"up","source":"simulated","colour":"red"}', b'{"status":"up","source":"' + b"x" * 33 + b'"}',
        '{"status":"up","source":"süß"}'.encode(),
    ],
    "clock_tick": [b"", b"null", b"[]", b"1", b'{"now":1}'],
    "lead": [b"{}", b'{"who":1,"rules":1}', b'{"who":"x"}', b'{"who":"x","rules":"1"}', b'{"who":"","rules":1}',
             b'{"who":"x","rules":-1}', b'{"who":"x","rules":1,"more":1}'],
    "checkpoint": [b"{}", b'{"seq":1,"state_hash":"00","record_hash":"00"}', b'{"seq":-1}'],
    "restored": [b"{}", b'{"first_lost":-1,"last_lost":2}', b'{"first_lost":"1","last_lost":"2"}'],
    "genesis": [b"{}", b'{"v":1}', b'{"v":1,"venue":"abcdefghij","rules":1,"venue_set":{},"markets":[]}'],
    "venue_instruction": [b"{}", b'{"v":1,"account":0}', b"null"],
}  # fmt: skip


def feed(kind: str, body: bytes) -> Callable[[World, str], Fields]:
    """Return a writer of an entry of another kind; those of the feed carry a session."""

    def write(world: World, request_id: str) -> Fields:
        fields = entry(str(world.ts_us).encode(), kind.encode(), body)
        return [fields[0], (b"session", b"session1"), fields[1]] if kind in SESSIONED else fields

    return write


SESSIONED = ("price_update", "mark_update", "feed_status")
