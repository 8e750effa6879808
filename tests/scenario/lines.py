"""
A line of a scenario table -> the instruction that it stands for: who asks, which operation, which keys; pure.

What each verb's words mean stands in `runner.py`; `key=value` words go into the body as they are.
"""

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

PPM = 1_000_000
# verb -> operation
USER_VERBS = {
    "OPEN": "account_open",
    "ORDER_PLACE": "order_place",
    "AMEND": "order_amend",
    "CANCEL": "order_cancel",
    "CANCEL_ALL": "orders_cancel",
    "TRADE_CREATE": "trade_create",
    "TRADE_CLOSE": "trade_close",
    "CLOSE_ALL": "positions_close_all",
    "REVERSE": "position_reverse",
    "TRIGGERS": "position_triggers_set",
    "MARGIN": "margin_change",
    "LEVERAGE": "leverage_set",
    "MODE": "margin_mode_set",
    "GUARDS": "account_guards_set",
    "SUB": "subaccount_open",
    "TRANSFER": "account_transfer",
    "DEADMAN": "deadman_set",
    "RESET": "account_reset",
    "BATCH": "batch",
    "SEND": "",
}
OPERATOR_VERBS = {
    "VENUE_SET": "venue_set",
    "MARKET_SET": "market_set",
    "HALT": "market_halt",
    "RESUME": "market_resume",
    "REDUCE_ONLY": "market_reduce_only",
    "SETTLE": "market_settle",
    "FREEZE": "account_freeze",
    "UNFREEZE": "account_unfreeze",
    "CREDIT": "account_credit",
}
WHOLES = (
    "leverage",
    "slippage_bps",
    "leverage_max",
    "account",
    "close_percent",
    "trail_ticks",
    "depth_levels",
    "stp_owner",
    "account_to",
)
# Money, though it ends like a whole number; and names of accounts.
AMOUNTS = ("daily_loss_max", "notional_max", "open_interest_notional_max")
ACCOUNTS = ("account", "account_to", "main")
WHOLE_ENDS = ("_id", "_ppm", "_ms", "_max", "_us")
NAME = re.compile(r"[AOP]\d+")
KINDS = {"stop": ("stop_market", "stop_limit"), "take": ("take_profit_market", "take_profit_limit")}


@dataclass
class Instruction:
    """What one line asks for, before it gets an envelope."""

    kind: str  # user_instruction or venue_instruction
    account: int
    op: str
    keys: dict[str, Any]
    expected: str
    request_id: str | None = None
    off_seconds: int = 0


def id_of(word: str) -> int:
    """Return the id of a word: accounts and positions count from 100, so that A1 is 100; orders from 1."""
    return int(word[1:]) + (99 if word[0] in "AP" else 0)


def value_of(key: str, text: str) -> Any:
    """Return the value of one `key=text` word."""
    if text in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text]
    if text.endswith("f") and text[:1].isdigit():
        return float(text[:-1])
    if text[:1] in "[{":
        return json.loads(text)
    if key == "tiers":
        rows = [row.split(":") for row in text.split(",")]
        return [{"floor": floor, "mmr_ppm": int(ppm), "leverage_max": int(most)} for floor, ppm, most in rows]
    if key in ("take_profit", "stop_loss") and (":" in text or "@" in text):
        return trigger_of(text)
    if NAME.fullmatch(text) and (key.endswith("_id") or key in ACCOUNTS):
        return id_of(text)
    if key in AMOUNTS:
        return text
    if (key in WHOLES or key.endswith(WHOLE_ENDS)) and re.fullmatch(r"-?\d+", text):
        return int(text)
    return text


def trigger_of(text: str) -> dict[str, str]:
    """Return `90:mark@88` as an SL or TP: woken by the mark at 90, then a limit of 88."""
    text, _, price = text.partition("@")
    text, _, source = text.partition(":")
    found = {"price_trigger": text, "trigger_by": source, "price": price}
    return {key: value for key, value in found.items() if value}


def values_read(words: list[str]) -> dict[str, Any]:
    """Return the `key=value` words as a body."""
    return {key: value_of(key, text) for key, text in (word.split("=", 1) for word in words)}


def market_of(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return a market; `tiers=0:10000:20,1000:45000:10` are floor, maintenance and leverage; one of 1 % otherwise."""
    tiers = [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": values["leverage_max"]}]
    return {"market": name, "tiers": tiers, **values}


def seconds_of(text: str) -> int:
    """Return `10s` as whole seconds."""
    return int(text.removesuffix("s"))


def instruction_read(verb: str, words: list[str], now_ms: int) -> Instruction:
    """Return the instruction of a line; `now_ms` is the time that `expires=10s` counts from."""
    operator = verb in OPERATOR_VERBS or verb == "OPERATOR"
    if verb == "OPERATOR":
        verb, words = words[0], words[1:]
    words, expected = words[:-1], words[-1]
    of_market = verb in OPERATOR_VERBS and words and words[0][0] == "M"
    named = bool(words) and words[0][0] == "A" and verb != "OPEN"
    account = id_of(words[0]) if named else 0
    op, keys = body_of(verb, words[int(not of_market and verb != "VENUE_SET") :], now_ms)
    if verb == "OPEN":
        keys = {"owner": f"{id_of(words[0]):032x}", **keys}
    request_id = keys.pop("as", None)
    off = seconds_of(str(keys.pop("ts", "0s")))
    account = keys.pop("account", account)
    kind = "venue_instruction" if operator else "user_instruction"
    return Instruction(kind, account, keys.pop("op", op), keys, expected, request_id, off)


def body_of(verb: str, words: list[str], now_ms: int) -> tuple[str, dict[str, Any]]:
    """Return the operation of a verb and the keys of the words after its account."""
    op = USER_VERBS[verb] if verb in USER_VERBS else OPERATOR_VERBS[verb]
    if verb == "ORDER_PLACE":
        return op, order_of(words, now_ms)
    plain = [word for word in words if "=" not in word]
    keys = plain_keys(verb, plain)
    return op, keys | values_read([word for word in words if "=" in word])


def plain_keys(verb: str, plain: list[str]) -> dict[str, Any]:
    """Return the keys that the bare words of a verb stand for, in their places."""
    if verb == "TRADE_CREATE":
        return {"market": plain[0], "side": plain[1].lower(), "leverage": int(plain[2][1:])}
    if verb == "LEVERAGE":
        return {"market": plain[0], "leverage": int(plain[1][1:])}
    if verb == "MODE":
        return dict(zip(("market", "mode"), plain, strict=False))
    if verb == "TRANSFER":
        return {"account_to": id_of(plain[0])} | dict(zip(("amount",), plain[1:], strict=False))
    if verb == "DEADMAN":
        return {"timeout_ms": seconds_of(plain[0]) * 1000} if plain else {}
    if verb in ("TRADE_CLOSE", "TRIGGERS", "REVERSE"):
        return {"position_id": id_of(plain[0])}
    if verb == "MARGIN":
        return {"position_id": id_of(plain[0])} | ({"amount": plain[1]} if len(plain) > 1 else {})
    if verb in ("CANCEL", "AMEND"):
        return {"order_id": id_of(plain[0])} if plain else {}
    if verb == "BATCH":
        return {"commands": []}
    if verb == "CREDIT":
        return dict(zip(("amount", "reason"), plain, strict=False))
    return dict(zip(("market", "price"), plain, strict=False))


def order_of(words: list[str], now_ms: int) -> dict[str, Any]:
    """Return an order's keys: `M1 SELL 10 stop 95 @ 94 GTD expires=10s reduce oco @ 110`; `-` leaves qty out."""
    if "oco" in words:
        at = words.index("oco")
        leg = leg_of(words[at + 1 :], now_ms)
        return order_of(words[:at], now_ms) | {"oco": leg}
    qty = words[2] if len(words) > 2 and "=" not in words[2] else "-"
    head = [word for word in words[:3] if "=" not in word]
    keys: dict[str, Any] = dict(zip(("market", "side"), (head[0], head[1].lower()), strict=True)) if head else {}
    if qty.startswith("$"):
        keys["quote_qty"] = qty[1:]
    elif qty.endswith("%"):
        keys["close_percent"] = int(qty[:-1])
    elif qty != "-":
        keys["qty"] = qty
    return keys | leg_of(words[len(head) :], now_ms)


def leg_of(words: list[str], now_ms: int) -> dict[str, Any]:
    """Return what wakes and bounds an order: kind, prices, tif and flags."""
    keys: dict[str, Any] = {}
    kinds = ("market", "limit")
    rest = iter(words)
    for word in rest:
        if word in KINDS:
            kinds = KINDS[word]
            keys["price_trigger"] = next(rest)
        elif word == "trail":
            kinds = ("trailing_stop", "trailing_stop")
            offset = next(rest)
            ppm = int(Fraction(offset.removesuffix("%")) * PPM / 100)
            keys |= {"trail_ppm": ppm} if "%" in offset else {"trail_ticks": int(offset)}
        elif word == "@":
            price = next(rest)
            keys |= {} if price == "market" else {"price": price}
        elif word in ("post", "reduce"):
            keys[f"{word}_only"] = True
        elif "=" not in word:
            keys["tif"] = word
    given = values_read([word for word in words if "=" in word])
    if "expires" in given:
        given["expires_ms"] = now_ms + seconds_of(given.pop("expires")) * 1000
    return {"kind": kinds["price" in keys]} | keys | given
