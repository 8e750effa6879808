"""
Event records of every kind with any numbers that the core could ever state, and larger ones; one run a seed.

What is a name is one of the names; what is a number may be anything that fits into its word after scaling.
"""

import random

import numpy as np

from shared import codes
from shared import records as r
from shared.codes import EventKind, Op, ResultCode
from shared.units import words_of_text
from shared.wire_events_text import COUNTERS

TICKS_E12 = (1, 10, 100, 10**6, 10**8, 10**10, 10**11, 10**12, 5 * 10**11, 25 * 10**9, 10**13, 3 * 10**4)
LOTS_E12 = (1, 10**4, 10**7, 10**9, 10**12)
CHOICES = {
    "side": codes.Side, "order_kind": codes.OrderKind, "status": codes.OrderStatus, "reason": codes.CloseReason,
    "trigger_by": codes.TriggerBy, "take_profit_by": codes.TriggerBy, "stop_loss_by": codes.TriggerBy,
    "position_kind": codes.PositionKind, "stp": codes.Stp, "mode": codes.MarginMode, "tif": codes.Tif,
    "result": ResultCode,
}  # fmt: skip
FLAGS = ("post_only", "reduce_only", "maker", "frozen")
RARE = ("oco_id", "trail_ticks", "trail_ppm", "price_activation_ticks", "take_profit_id", "stop_loss_id", "expires_us",
        "close_percent", "price_peak_ticks", "slippage_bps", "locked_until_ms", "deadman_us", "guards",
        "sub")  # fmt: skip
# What a field says depends on the kind.
NAMES_OF = {
    EventKind.LEDGER: {"reason": list(codes.LedgerReason)},
    EventKind.DEFICIT: {"counter": list(COUNTERS)},
    EventKind.MARKET_CHANGED: {"status": list(codes.MarketState)},
    EventKind.FUNDING_SKIPPED: {"reason": [1, 2]},
}
IDENTIFIERS = ("account", "order_id", "position_id", "fill_id", "first_seq", "parts", "counter", "reference")
TIMES = ("log_time_us", "opened_us", "closed_us", "due_ms", "minute_ms", "expires_us", "deadman_us", "locked_until_ms")
KINDS = [kind for kind in EventKind if kind not in (EventKind.BATCH_RESULT,) and kind]


def number(chance: random.Random, field: str) -> int:
    """Return a number of a field's size, now and then an edge of it."""
    if field in TIMES:
        return chance.choice((0, 1_767_225_600_000_000, chance.randrange(2**53)))
    if field in IDENTIFIERS:
        return chance.choice((0, 1, 3, 99, 100, 101, chance.randrange(10**6), chance.randrange(2**40)))
    bits = 30 if "ticks" in field else 33 if "lots" in field else 43 if field.endswith(("_e4", "_x2")) else 61
    value = chance.choice((0, 1, 9, 10, chance.randrange(1_000), chance.randrange(2 ** chance.randrange(1, bits))))
    return -value if chance.random() < 0.3 else value


def config(chance: random.Random) -> np.ndarray:
    """Return the configuration of a market."""
    found = np.zeros(1, r.CONFIG)
    for field in r.CONFIG.names:
        if found[field].ndim == 1:
            found[field] = abs(number(chance, field))
    found["market"] = words_of_text(chance.choice(("BTC_USDC_PERP", "A", "Z" * 24)), r.NAME_WORDS)
    found["tick_e12"], found["lot_e12"] = chance.choice(TICKS_E12), chance.choice(LOTS_E12)
    found["liquidity"] = int(chance.choice(list(codes.Liquidity)))
    found["tiers_count"] = chance.randrange(1, r.TIERS_CAPACITY + 1)
    for tier in found[0]["tiers"]:
        for field in r.TIER.names:
            tier[field] = abs(number(chance, field))
    return found


def event(chance: random.Random, seq: int, kind: EventKind) -> np.ndarray:
    """Return one record."""
    row = np.zeros(1, r.EVENT)
    for field in r.EVENT.names:
        if field in CHOICES:
            row[field] = int(chance.choice(list(CHOICES[field])))
        elif field in FLAGS:
            row[field] = chance.randrange(2)
        elif field in RARE and chance.random() < 0.6:
            row[field] = 0
        elif row[field].ndim == 1 and field not in ("client_order_id", "config"):
            row[field] = number(chance, field)
    row["seq"], row["kind"], row["market"] = seq, int(kind), chance.randrange(5)
    row["tick_e12"], row["lot_e12"] = chance.choice(TICKS_E12), chance.choice(LOTS_E12)
    row["request_hi"], row["request_lo"] = (chance.getrandbits(64) - 2**63 for _ in range(2))
    row["owner_hi"], row["owner_lo"] = (chance.getrandbits(64) - 2**63 for _ in range(2))
    if chance.random() < 0.4:
        text = "".join(chance.choice("abcXYZ019_.:-") for _ in range(chance.randrange(1, 37)))
        row["client_order_id"] = words_of_text(text, r.CLIENT_ID_WORDS)
    for field, names in NAMES_OF.get(kind, {}).items():
        row[field] = int(chance.choice(names))
    if kind == EventKind.MARKET_CHANGED:
        row["config"], row["market"] = config(chance).view(np.int64), chance.randrange(1, 5)
    row["op"] = int(chance.choice([op for op in Op if op != Op.BATCH]))
    return row


def run(chance: random.Random, seq: int) -> np.ndarray:
    """Return the records of one entry: a few of any kind, an accepted batch with its results, or very many."""
    way = chance.random()
    count = chance.choice((511, 512, 513, 1_030)) if way > 0.995 else chance.choice((1, 1, 2, 3, 8))
    log_time_us = number(chance, "log_time_us")
    rows = [event(chance, seq, chance.choice(KINDS)) for _ in range(min(count, 12))]
    rows += [rows[index % len(rows)] for index in range(len(rows), count)]
    if way < 0.1:
        parts = chance.randrange(1, 21)
        answer = event(chance, seq, EventKind.ORDER_RESPONSE)
        answer["op"], answer["result"], answer["parts"] = int(Op.BATCH), int(ResultCode.OK), parts
        results = [event(chance, seq, EventKind.BATCH_RESULT) for _ in range(parts)]
        rows = [*rows[:2], *results, answer, *rows[2:]]
    records = np.concatenate(rows)
    records["log_time_us"] = log_time_us
    return records
