"""
The usual way through Python, for `bench wire` to be compared with: log entries -> orjson -> command records.

Written as somebody in a hurry for speed would: no checks of shape, words packed in runs, names turned into words once.
It reads what this bench sends and leaves any other entry to the ordinary decoder; the records must be the same.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import redis

from engine import core
from engine.documents import document_parse, document_unpack
from scripts.bench_span import Span, Task
from scripts.bench_wire_answers import Answers
from shared import records as r
from shared import units, wire
from shared.codes import EntryKind, Op, OrderKind, Side, TriggerBy
from shared.stream_keys import Keys, log_id, seq_of_log_id

COUNT = 1_000
QUOTE_PUT = struct.Struct("=23q").pack_into  # from seq to update_id
ORDER_PUT = struct.Struct("=49q").pack_into  # from seq to price_e12
ONE_PUT = struct.Struct("=q").pack_into
LABEL_PUT = struct.Struct(f"={r.CLIENT_ID_WORDS}q").pack_into
ROW_BYTES = r.COMMAND.itemsize
NOTHING = [0] * 22  # from bid_units to price_age_max_ms
PRESENT_ORDER = r.PRESENT_MARKET | r.PRESENT_SIDE | r.PRESENT_QTY
PRESENT_QUOTE = r.PRESENT_BID | r.PRESENT_ASK
TRIGGER_BY, LABEL = (8 * r.word_offsets(r.COMMAND)[name] for name in ("trigger_by", "client_order_id"))
ORDER_KINDS = {"market": int(OrderKind.MARKET), "limit": int(OrderKind.LIMIT)}
ORDER_SIDES = {"buy": int(Side.BUY), "sell": int(Side.SELL)}
Event = dict[str, Any]


def decimal(text: str) -> tuple[int, int]:
    """Return the whole part and the fraction × 10¹² of a positive decimal."""
    whole, _, fraction = text.partition(".")
    return int(whole), int(fraction.ljust(12, "0")) if fraction else 0


class Decoder:
    """Log entries -> command records; names that come again and again are turned into words once."""

    def __init__(self) -> None:
        self.batch = wire.Batch(COUNT)
        self.bytes = self.batch.commands.view(np.uint8).data.cast("B")
        self.words: dict[Any, list[int]] = {}

    def read(self, entries: list[tuple[bytes, Mapping[bytes, bytes]]]) -> int:
        """Fill the batch with the records of these entries; return the seq of the last."""
        self.batch.clear()
        self.batch.commands.view(np.int64)[:] = 0
        seq = 0
        for index, (identity, fields) in enumerate(entries):
            seq = seq_of_log_id(identity)
            at = index * ROW_BYTES
            if (body := fields.get(b"price_update")) is not None:
                self.quote(at, seq, fields, orjson.loads(body))
            elif (body := fields.get(b"user_instruction")) is None or not self.order(
                at, seq, int(fields[b"ts"]), orjson.loads(body)
            ):
                self.batch.count = index
                self.batch.add(seq, list(fields.items()))
        self.batch.count = len(entries)
        return seq

    def named(self, text: str, count: int) -> list[int]:
        """Return a name as words."""
        found = self.words.get(text)
        if found is None:
            found = self.words[text] = units.words_of_text(text, count)
        return found

    def quote(self, at: int, seq: int, fields: Mapping[bytes, bytes], data: Event) -> None:
        """Write the record of a quote."""
        QUOTE_PUT(
            self.bytes, at, seq, int(fields[b"ts"]), 0, 0, EntryKind.PRICE_UPDATE,
            *self.named(data["s"], r.NAME_WORDS), *self.named(fields[b"session"].decode(), r.TEXT_WORDS),
            PRESENT_QUOTE, *decimal(data["b"]), *decimal(data["a"]), *decimal(data["B"]), *decimal(data["A"]),
            data["E"], data["u"],
        )  # fmt: skip

    def order(self, at: int, seq: int, ts_us: int, data: Event) -> bool:
        """Write the record of an order or a cancel; return False for whatever this bench does not send."""
        raw = bytes.fromhex(data["request_id"])
        request = int.from_bytes(raw[:8], "big", signed=True), int.from_bytes(raw[8:], "big", signed=True)
        head = (self.bytes, at, seq, ts_us, 0, 0, EntryKind.USER_INSTRUCTION)
        label = data.get("client_order_id")
        if data["op"] == "order_cancel":
            ORDER_PUT(
                *head, 0, 0, 0, 0, 0, 0, 0, r.PRESENT_CLIENT_ORDER_ID, *NOTHING,
                Op.ORDER_CANCEL, data["account"], *request, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            )  # fmt: skip
        elif data["op"] == "order_place" and data["kind"] in ORDER_KINDS:
            price = data.get("price")
            present = PRESENT_ORDER
            if price is not None:
                present |= r.PRESENT_PRICE
            if label is not None:
                present |= r.PRESENT_CLIENT_ORDER_ID
            ORDER_PUT(
                *head, *self.named(data["market"], r.NAME_WORDS), 0, 0, 0, 0, present, *NOTHING,
                Op.ORDER_PLACE, data["account"], *request, 0, 0, ORDER_SIDES[data["side"]], ORDER_KINDS[data["kind"]],
                0, 0, *decimal(data["qty"]), *(decimal(price) if price else (0, 0)),
            )  # fmt: skip
            ONE_PUT(self.bytes, at + TRIGGER_BY, TriggerBy.QUOTE)
        else:
            return False
        if label is not None:
            LABEL_PUT(self.bytes, at + LABEL, *units.words_of_text(label, r.CLIENT_ID_WORDS))
        return True


def baseline_measure(task: Task) -> dict[str, Any]:
    """Return what the usual way takes: redis-py with hiredis, orjson both ways, the same core from the same start."""
    [path] = (Path(task.folder) / "snapshots").iterdir()
    states = core.restore(document_unpack(document_parse(path.read_bytes(), task.venue)))
    header = core.header(states)
    decoder, answers = Decoder(), Answers(core.markets_of(states), header["events_last"])
    client: Any = redis.Redis.from_url(task.url)
    found: dict[str, Any] = {}
    keys, span = Keys(task.venue), Span(task.url)

    def go(seq: int, last_seq: int) -> int:
        while seq < last_seq:
            [[_key, entries]] = client.xread({keys.log: log_id(seq)}, count=COUNT)
            seq = decoder.read(entries)
            first = 0
            pipeline = client.pipeline(transaction=False)
            while first < len(entries):
                applied, events_count, _ = core.apply_batch(states, decoder.batch, first, len(entries) - first)
                first += applied
                for identity, fields in answers.entries(core.events_of(states, events_count)):
                    pipeline.xadd(keys.events, fields, id=identity, nomkstream=True)
            if len(pipeline):
                pipeline.execute()
        return seq

    began_seq = go(task.first_seq, task.warm_seq)
    with span.taken(found):
        go(began_seq, task.last_seq)
    found["messages"] = task.last_seq - began_seq
    found["state_hash"] = core.hashes(states)[0]
    return found
