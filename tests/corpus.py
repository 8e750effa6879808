"""
Several hundred kinds of wrong log entry: a name, how to write it, and the error it must be answered with.

A case whose envelope can be read is answered by one `order_response`; one that cannot is counted as RECORD_MALFORMED
and causes nothing. Either way the book of record stays as it was.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Fields = list[tuple[bytes, bytes]]

MARKET = "BTC_USDC_PERP"
HUGE = "9" * 40
OPERATOR_OPS = (
    "venue_set", "market_set", "market_halt", "market_resume", "market_reduce_only", "market_settle", "account_freeze",
    "account_unfreeze", "account_credit",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """What the cases may name: the time, the caller's own account and things, and somebody else's."""

    ts_us: int
    account: int
    order_id: int
    position_id: int
    other_order_id: int
    other_position_id: int
    accepted_id: str
    accepted_body: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One wrong entry: `fields` writes it into a world under a fresh request id, `code` names the rule it breaks."""

    name: str
    code: str
    fields: Callable[[World, str], Fields]


class Raw(str):
    """JSON text to be written as it is, where Python's writer could not."""

    __slots__ = ()


def json_text(value: Any) -> str:
    """Return JSON without blanks; Raw texts are copied, everything else is written by the standard library."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{json_text(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def entry(ts: bytes, kind: bytes, body: bytes) -> Fields:
    """Return the fields of a log entry in their order."""
    return [(b"ts", ts), (kind, body)]


def bases(world: World) -> dict[str, dict[str, Any]]:
    """Return one sound instruction of each operation, without its envelope."""
    order = {"op": "order_place", "market": MARKET, "side": "buy"}
    return {
        "limit": {
            **order, "kind": "limit", "qty": "0.001", "price": "63000.0", "tif": "GTC", "post_only": False,
            "take_profit": "70000.0", "stop_loss": "60000.0", "client_order_id": "fresh-1",
        },
        "market": {**order, "side": "sell", "kind": "market", "qty": "0.001"},
        "ticket": {"op": "trade_create", "market": MARKET, "side": "buy", "margin": "10", "leverage": 5},
        "ticket_qty": {"op": "trade_create", "market": MARKET, "side": "buy", "qty": "0.001", "leverage": 5},
        "close_qty": {"op": "trade_close", "position_id": world.position_id, "qty": "0.001"},
        "close_percent": {"op": "trade_close", "position_id": world.position_id, "percent": "50"},
        "triggers": {"op": "position_triggers_set", "position_id": world.position_id, "stop_loss": "60000.0"},
        "cancel": {"op": "order_cancel", "order_id": world.order_id},
        "cancel_all": {"op": "orders_cancel", "market": MARKET},
        "open": {"op": "account_open", "owner": "0123456789abcdef0123456789abcdef"},
        "stop": {**order, "kind": "stop_market", "qty": "0.001", "price_trigger": "66000.0"},
        "stop_limit": {**order, "kind": "stop_limit", "qty": "0.001", "price": "66100.0", "price_trigger": "66000.0"},
        "take": {**order, "side": "sell", "kind": "take_profit_market", "qty": "0.001", "price_trigger": "66000.0"},
        "trail": {**order, "side": "sell", "kind": "trailing_stop", "qty": "0.001", "trail_ticks": 100},
        "quote": {**order, "kind": "market", "quote_qty": "100"},
        "reduce": {**order, "side": "sell", "kind": "market", "close_percent": "50", "reduce_only": True},
        "reduce_named": {
            **order, "side": "sell", "kind": "market", "qty": "0.001", "reduce_only": True,
            "position_id": world.position_id,
        },
        "oco": {
            **order, "side": "sell", "kind": "limit", "qty": "0.001", "price": "66000.0",
            "oco": {"kind": "stop_market", "price_trigger": "64000.0"}, "client_order_id": "fresh-2",
        },
        "amend": {"op": "order_amend", "order_id": world.order_id, "qty": "0.002"},
        "close_all": {"op": "positions_close_all", "market": MARKET},
        "reverse": {"op": "position_reverse", "position_id": world.position_id},
        "margin": {"op": "margin_change", "position_id": world.position_id, "amount": "5"},
        "leverage": {"op": "leverage_set", "market": MARKET, "leverage": 5},
        "deadman": {"op": "deadman_set", "timeout_ms": 60_000},
        "reset": {"op": "account_reset"},
        "mode": {"op": "margin_mode_set", "market": MARKET, "mode": "cross"},
        "guards": {"op": "account_guards_set", "leverage_max": 5},
        "sub": {"op": "subaccount_open"},
        "transfer": {"op": "account_transfer", "account_to": world.account, "amount": "5"},
        "batch": {"op": "batch", "commands": [{"op": "orders_cancel"}]},
        **OPERATOR_BASES,
    }  # fmt: skip


# Sound instructions of an operator; those in ACCOUNT_BASES are for an account.
OPERATOR_BASES: dict[str, dict[str, Any]] = {
    "venue_set": {"op": "venue_set", "orders_open_max": 100},
    "market_set": {"op": "market_set", "market": MARKET, "price_band_ppm": 60_000},
    "halt": {"op": "market_halt", "market": MARKET},
    "resume": {"op": "market_resume", "market": MARKET},
    "reduce_market": {"op": "market_reduce_only", "market": MARKET},
    "settle": {"op": "market_settle", "market": MARKET, "price": "65000.0"},
    "freeze": {"op": "account_freeze"},
    "unfreeze": {"op": "account_unfreeze"},
    "credit": {"op": "account_credit", "amount": "5", "reason": "goodwill"},
}
ACCOUNT_BASES = ("freeze", "unfreeze", "credit")


def instruction(base: str, changes: dict[str, Any], ts_off_us: int = 0) -> Callable[[World, str], Fields]:
    """Return a writer of the base instruction with some keys changed; a value of `...` drops the key."""

    def write(world: World, request_id: str) -> Fields:
        operator = base in OPERATOR_BASES
        nobody = base == "open" or (operator and base not in ACCOUNT_BASES)
        body: dict[str, Any] = {"v": 1, "account": 0 if nobody else world.account, "request_id": request_id}
        body.update(bases(world)[base])
        for key, value in changes.items():
            body[key] = value(world) if callable(value) else value
        text = json_text({key: value for key, value in body.items() if value is not ...})
        kind = b"venue_instruction" if operator else b"user_instruction"
        return entry(str(world.ts_us + ts_off_us).encode(), kind, text.encode("utf-8", "surrogatepass"))

    return write


NOT_NUMBERS: list[tuple[str, Any, str]] = [
    ("true", True, "FIELD_TYPE_INVALID"),
    ("list", ["1"], "FIELD_TYPE_INVALID"),
    ("fraction", 1.5, "NUMBER_NOT_TEXT"),
    ("exponent number", Raw("1e5"), "NUMBER_NOT_TEXT"),
    ("empty", "", "NUMBER_MALFORMED"),
    ("word", "ten", "NUMBER_MALFORMED"),
    ("exponent text", "1e5", "NUMBER_MALFORMED"),
    ("NaN text", "NaN", "NUMBER_MALFORMED"),
    ("Infinity text", "Infinity", "NUMBER_MALFORMED"),
    ("plus", "+1", "NUMBER_MALFORMED"),
    ("leading zero", "01", "NUMBER_MALFORMED"),
    ("bare point", "1.", "NUMBER_MALFORMED"),
    ("no whole part", ".5", "NUMBER_MALFORMED"),
    ("blank", " 1", "NUMBER_MALFORMED"),
    ("newline", "1\n", "NUMBER_MALFORMED"),
    ("comma", "1,5", "NUMBER_MALFORMED"),
    ("forty digits", HUGE, "NUMBER_MALFORMED"),
    ("thirteen decimals", "1.0000000000001", "NUMBER_MALFORMED"),
    ("arabic digits", "٣٤", "NUMBER_MALFORMED"),
    ("full-width digit", "１", "NUMBER_MALFORMED"),
    ("NUL", "1\0", "NUMBER_MALFORMED"),
    ("hexadecimal", "0x10", "NUMBER_MALFORMED"),
    ("two signs", "--1", "NUMBER_MALFORMED"),
    ("underscore", "1_000", "NUMBER_MALFORMED"),
    ("emoji", "💰", "NUMBER_MALFORMED"),
    ("30 kB", "1" * 30_000, "NUMBER_MALFORMED"),
]
NUMBER_KEYS = [
    ("limit", "qty"), ("limit", "price"), ("limit", "take_profit"), ("limit", "stop_loss"), ("ticket", "margin"),
    ("ticket_qty", "qty"), ("close_qty", "qty"), ("close_percent", "percent"), ("triggers", "stop_loss"),
    ("stop", "price_trigger"), ("stop_limit", "price"), ("trail", "price_activation"), ("quote", "quote_qty"),
    ("reduce", "close_percent"), ("amend", "qty"), ("amend", "price"), ("margin", "amount"), ("settle", "price"),
    ("credit", "amount"), ("market_set", "tick"), ("market_set", "notional_min"), ("market_set", "notional_max"),
    ("venue_set", "starting_balance"), ("transfer", "amount"), ("guards", "daily_loss_max"),
]  # fmt: skip
# Where nothing else than a number fits.
PLAIN_NUMBER_KEYS = [pair for pair in NUMBER_KEYS if pair[1] not in ("take_profit", "stop_loss", "daily_loss_max")]
NOT_WHOLES: list[tuple[str, Any, str]] = [
    ("text", "5", "FIELD_TYPE_INVALID"),
    ("true", True, "FIELD_TYPE_INVALID"),
    ("null", None, "FIELD_TYPE_INVALID"),
    ("object", {}, "FIELD_TYPE_INVALID"),
    ("fraction", 5.5, "NUMBER_NOT_TEXT"),
    ("exponent", Raw("5e0"), "NUMBER_NOT_TEXT"),
]
# Literals no JSON knows, or no JSON reader takes: the whole entry cannot be read.
NOT_JSON: list[tuple[str, str]] = [
    ("NaN", "NaN"), ("Infinity", "Infinity"), ("minus Infinity", "-Infinity"), ("lone high surrogate", '"\\ud800"'),
    ("lone low surrogate", '"\\udc00"'), ("hexadecimal", "0x10"), ("plus", "+1"), ("single quotes", "'1'"),
    ("undefined", "undefined"), ("1e400", "1e400"), ("-1e400", "-1e400"), ("comment", '"1"/*one*/'),
    ("control character", '"\x01"'), ("nothing", ""),
    ("nested 100 000 deep", "[" * 100_000 + "]" * 100_000),
]  # fmt: skip


def number_cases() -> Iterator[Case]:
    """Yield values that are no numbers, in every place where one is expected."""
    for base, key in NUMBER_KEYS:
        for name, value, code in NOT_NUMBERS:
            yield Case(f"{base} {key}: {name}", code, instruction(base, {key: value}))
    for base, key in PLAIN_NUMBER_KEYS:
        for name, value in (("null", None), ("object", {"price_trigger": "1"})):
            yield Case(f"{base} {key}: {name}", "FIELD_TYPE_INVALID", instruction(base, {key: value}))
    wholes = [
        ("ticket", "leverage", "LEVERAGE_OUT_OF_RANGE"),
        ("market", "slippage_bps", "SLIPPAGE_OUT_OF_RANGE"),
        ("close_qty", "position_id", "POSITION_UNKNOWN"),
        ("cancel", "order_id", "ORDER_UNKNOWN"),
        ("amend", "order_id", "ORDER_UNKNOWN"),
        ("reverse", "position_id", "POSITION_UNKNOWN"),
        ("margin", "position_id", "POSITION_UNKNOWN"),
        ("reduce_named", "position_id", "POSITION_UNKNOWN"),
        ("leverage", "leverage", "LEVERAGE_OUT_OF_RANGE"),
        ("trail", "trail_ticks", "TRAIL_OUT_OF_RANGE"),
        ("deadman", "timeout_ms", "TIMEOUT_OUT_OF_RANGE"),
        ("transfer", "account_to", "ACCOUNT_TARGET_UNKNOWN"),
        ("venue_set", "orders_open_max", "PARAMETER_OUT_OF_RANGE"),
        ("market_set", "price_band_ppm", "PARAMETER_OUT_OF_RANGE"),
        ("market_set", "depth_levels", "PARAMETER_OUT_OF_RANGE"),
    ]
    for base, key, out_of_range in wholes:
        for name, value, code in NOT_WHOLES:
            yield Case(f"{base} {key}: {name}", code, instruction(base, {key: value}))
        for name, value in (("negative", -1), ("two to the 63rd", 2**63), ("huge", 10**9)):
            yield Case(f"{base} {key}: {name}", out_of_range, instruction(base, {key: value}))
    for name, text in NOT_JSON:
        yield Case(f"unreadable: {name}", "RECORD_MALFORMED", instruction("limit", {"qty": Raw(text)}))
    yield Case("limit qty: forty-digit integer", "NUMBER_NOT_TEXT", instruction("limit", {"qty": Raw(HUGE)}))


def range_cases() -> Iterator[Case]:
    """Yield numbers that are numbers, but not ones a venue can use."""
    table = [
        ("limit", "qty", "0", "QTY_OUT_OF_RANGE"),
        ("limit", "qty", "-0.001", "QTY_OUT_OF_RANGE"),
        ("limit", "qty", "0.000001", "QTY_NOT_ON_LOT"),
        ("limit", "qty", "0.00001", "NOTIONAL_BELOW_MIN"),
        ("limit", "qty", "999999999999999", "ORDER_ABOVE_MAX"),
        ("limit", "price", "0", "PRICE_OUT_OF_RANGE"),
        ("limit", "price", "-63000.0", "PRICE_OUT_OF_RANGE"),
        ("limit", "price", "999999999999999", "PRICE_OUT_OF_RANGE"),
        ("limit", "price", "838860.8", "PRICE_OUT_OF_RANGE"),
        ("limit", "price", "63000.05", "PRICE_NOT_ON_TICK"),
        ("limit", "price", "69000.0", "PRICE_OUTSIDE_BAND"),
        ("limit", "take_profit", "62000.0", "TRIGGER_WRONG_SIDE"),
        ("limit", "stop_loss", "64000.0", "TRIGGER_WRONG_SIDE"),
        ("limit", "take_profit", "70000.05", "PRICE_NOT_ON_TICK"),
        ("limit", "stop_loss", "-1", "PRICE_OUT_OF_RANGE"),
        ("limit", "stop_loss", "0", "PRICE_OUT_OF_RANGE"),
        ("ticket", "margin", "0", "AMOUNT_OUT_OF_RANGE"),
        ("ticket", "margin", "-10", "AMOUNT_OUT_OF_RANGE"),
        ("ticket", "margin", "0.0000001", "AMOUNT_OUT_OF_RANGE"),
        ("ticket", "margin", "4999.9", "MARGIN_INSUFFICIENT"),
        ("ticket", "leverage", 0, "LEVERAGE_OUT_OF_RANGE"),
        ("ticket", "leverage", 51, "LEVERAGE_OUT_OF_RANGE"),
        ("ticket_qty", "qty", "0", "QTY_OUT_OF_RANGE"),
        ("ticket_qty", "qty", "-1", "QTY_OUT_OF_RANGE"),
        ("ticket_qty", "qty", "0.001005", "QTY_NOT_ON_LOT"),
        ("ticket_qty", "qty", "50", "MARGIN_INSUFFICIENT"),
        ("close_qty", "qty", "0", "QTY_OUT_OF_RANGE"),
        ("close_qty", "qty", "-0.001", "QTY_OUT_OF_RANGE"),
        ("close_qty", "qty", "0.000001", "QTY_NOT_ON_LOT"),
        ("close_qty", "qty", "5", "QTY_ABOVE_POSITION"),
        ("close_percent", "percent", "0", "PERCENT_OUT_OF_RANGE"),
        ("close_percent", "percent", "-50", "PERCENT_OUT_OF_RANGE"),
        ("close_percent", "percent", "101", "PERCENT_OUT_OF_RANGE"),
        ("close_percent", "percent", "33.3", "PERCENT_OUT_OF_RANGE"),
        ("triggers", "stop_loss", "70000.0", "TRIGGER_WOULD_FIRE_IMMEDIATELY"),
        ("triggers", "take_profit", "60000.0", "TRIGGER_WOULD_FIRE_IMMEDIATELY"),
        ("triggers", "stop_loss", "60000.01", "PRICE_NOT_ON_TICK"),
        ("triggers", "stop_loss", "-60000.0", "PRICE_OUT_OF_RANGE"),
        ("market", "slippage_bps", 10_001, "SLIPPAGE_OUT_OF_RANGE"),
    ]
    for base, key, value, code in table:
        yield Case(f"{base} {key}: {value}", code, instruction(base, {key: value}))


def text_cases() -> Iterator[Case]:
    """Yield texts, choices and flags that are not what their key expects."""
    for base, key in (("limit", "side"), ("limit", "kind"), ("limit", "tif"), ("limit", "market"), ("open", "owner")):
        for name, value in (("number", 1), ("null", None), ("list", []), ("object", {}), ("false", False)):
            yield Case(f"{base} {key}: {name}", "FIELD_TYPE_INVALID", instruction(base, {key: value}))
    for key, values in {
        "side": ("BUY", "", "bid", "buy ", "büy"),
        "kind": ("LIMIT", "", "stop", "oco", "settlement", "liquidation"),
        "tif": ("gtc", "", "DAY"),
    }.items():
        for value in values:
            code = "FIELD_UNKNOWN" if key == "kind" else "FIELD_VALUE_UNKNOWN"
            yield Case(f"limit {key}: {value!r}", code, instruction("limit", {key: value}))
    for value in ("", "btc_usdc_perp", "DOGE_USDC_PERP", "BTC_USDC_PERP ", "BTC\0USDC", "฿TC", "X" * 30_000, "\x7f"):
        for base in ("limit", "ticket", "cancel_all"):
            name = f"{base} market: {value[:20]!r}"
            yield Case(name, "MARKET_UNKNOWN", instruction(base, {"market": value}))
    for value in ("", "a b", "ü", "x" * 37, "a/b", "nul\0", "x" * 30_000):
        name = f"client_order_id: {value[:20]!r}"
        yield Case(name, "TEXT_INVALID", instruction("limit", {"client_order_id": value}))
    for value in ("", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "é" * 32):
        yield Case(f"owner: {value!r}", "TEXT_INVALID", instruction("open", {"owner": value}))
    for value in (1, 0, "true", None, []):
        yield Case(f"post_only: {value!r}", "FIELD_TYPE_INVALID", instruction("limit", {"post_only": value}))
    for value, code in (
        ({}, "FIELD_MISSING"),
        ({"trigger_by": "mark"}, "FIELD_MISSING"),
        ({"price_trigger": None}, "FIELD_TYPE_INVALID"),
        ({"price_trigger": 6.5}, "NUMBER_NOT_TEXT"),
        ({"price_trigger": "six"}, "NUMBER_MALFORMED"),
        ({"price_trigger": "60000.0", "trigger_by": "last"}, "FIELD_VALUE_UNKNOWN"),
        ({"price_trigger": "60000.0", "trigger_by": 1}, "FIELD_TYPE_INVALID"),
        ({"price_trigger": "60000.0", "price": None}, "FIELD_TYPE_INVALID"),
        ({"price_trigger": "60000.0", "price": 59000.5}, "NUMBER_NOT_TEXT"),
        ({"price_trigger": "60000.0", "price": "59k"}, "NUMBER_MALFORMED"),
        ({"price_trigger": "60000.0", "price": "59000.05"}, "PRICE_NOT_ON_TICK"),
        ({"price": "59000.0"}, "FIELD_MISSING"),
        ({"price_trigger": "60000.0", "colour": "red"}, "FIELD_UNKNOWN"),
    ):
        for base in ("limit", "triggers"):
            yield Case(f"{base} stop_loss: {value}", code, instruction(base, {"stop_loss": value}))


def key_cases() -> Iterator[Case]:
    """Yield keys that are missing, too many, of a later feature, or excluded by another."""
    required = {
        "limit": ("market", "side", "kind", "qty", "price"), "market": ("market", "side", "kind", "qty"),
        "ticket": ("market", "side", "margin", "leverage"), "close_qty": ("position_id",),
        "triggers": ("position_id", "stop_loss"), "cancel": ("order_id",), "open": ("owner",),
    }  # fmt: skip
    for base, keys in required.items():
        for key in keys:
            yield Case(f"{base} without {key}", "FIELD_MISSING", instruction(base, {key: ...}))
    for base in ("limit", "ticket", "close_qty", "triggers", "cancel", "cancel_all", "open"):
        for key in ("colour", "", "Qty", "price ", "__proto__", "prïce"):
            yield Case(f"{base} with key {key!r}", "FIELD_UNKNOWN", instruction(base, {key: "1"}))
    for key in ("commands", "owner", "margin", "leverage", "percent", "amount", "scope", "order_id"):
        yield Case(f"limit with {key}", "FIELD_UNKNOWN", instruction("limit", {key: "1"}))
    for op in (*OPERATOR_OPS, "account_close", "ORDER_PLACE", "", "order_place ", "drop table"):
        yield Case(f"op {op!r}", "OP_UNKNOWN", instruction("cancel_all", {"op": op}))
    exclusive = [
        ("ticket", {"qty": "0.001"}),
        ("close_qty", {"percent": "50"}),
        ("cancel", {"client_order_id": "mine-1"}),
        ("limit", {"tif": "IOC", "post_only": True}),
        ("limit", {"tif": "FOK", "post_only": True}),
        ("market", {"post_only": True}),
        ("market", {"tif": "GTC"}),
    ]
    for base, changes in exclusive:
        yield Case(f"{base} with {changes}", "FIELDS_EXCLUSIVE", instruction(base, changes))
    twice = Raw('"0.001","qty":"0"')
    yield Case("limit with qty twice", "QTY_OUT_OF_RANGE", instruction("limit", {"qty": twice}))


def all_cases() -> list[Case]:
    """Return every case, in an order that never changes."""
    from tests.corpus_entries import entry_cases, envelope_cases, named_cases
    from tests.corpus_operators import operator_cases
    from tests.corpus_orders import account_cases, oco_cases, order_cases
    from tests.corpus_owners import owner_cases

    parts = (
        number_cases, range_cases, text_cases, key_cases, envelope_cases, named_cases, entry_cases, order_cases,
        oco_cases, account_cases, operator_cases, owner_cases,
    )  # fmt: skip
    cases = [case for part in parts for case in part()]
    return [Case(f"{number:03d} {case.name[:80]}", case.code, case.fields) for number, case in enumerate(cases)]
