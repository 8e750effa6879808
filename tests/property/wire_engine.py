"""
The library's engine with both ways of the wire around it: each entry is read and each event written twice, alike.

An entry goes as the bytes of Redis's answer through the compiled reader, and as names and values through the plain one;
events go through both encoders. The records and the outputs must be equal, whatever the history brings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine import core
from engine.core.kernel import JIT
from engine.encode.encoded import EventEncoder
from engine.library import Engine
from engine.log_reply import LogReply
from shared.codes import Op
from shared.stream_keys import Entry
from shared.wire import Batch
from shared.wire_events import Encoder, Output
from shared.wire_instructions import KEYS
from tests.property.canonical_inputs import reply_of
from tests.property.wire_checks import read_of

ENVELOPE = ("v", "account", "request_id", "op")
INSTRUCTIONS = ("user_instruction", "venue_instruction")
OPS = {op.name.lower(): op for op in Op}


class BatchBoth(Batch):
    """A batch of one entry, read both ways where there is a compiler; interpreted the compiled way takes too long."""

    plain = not JIT

    def add(self, seq: int, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Have the record of an entry as the compiled reader gives it; raises AssertionError when it is another."""
        if self.plain:
            super().add(seq, fields)
            return
        self.plain = True  # what the compiled reader leaves comes back here
        filled = LogReply(reply_of([Entry(seq, list(fields))]), 0, 1).batch_fill(self, seq - 1)
        self.plain = False
        other = Batch(1)
        other.add(seq, fields)
        got, expected = read_of(self, 0, filled.gap), read_of(other, 0, None)
        assert got == expected, f"{fields}\nread  {got}\nplain {expected}"


class EncoderBoth(Encoder):
    """The plain encoder, and the compiled one beside it where there is a compiler."""

    def __init__(self, names: list[str], events_last: tuple[int, int]) -> None:
        super().__init__(names, events_last)
        self.compiled = EventEncoder(names, events_last) if JIT else None
        self.early: list[Output] = []  # chunks of an open entry, which the compiled one gives at once

    def feed(self, events: np.ndarray, complete: bool = True) -> list[Output]:
        """Return the entries that these records complete; raises AssertionError when the two differ."""
        outputs = super().feed(events, complete)
        if self.compiled is not None:
            self.early += self.compiled.feed(events, complete)
            got, self.early = self.early[: len(outputs)], self.early[len(outputs) :]
            assert got == outputs, f"encoded {got}\nplain   {outputs}"
            assert not (complete and self.early), "the compiled encoder told more"
        return outputs


class WireEngine(Engine):
    """An engine whose entries and events go both ways; it goes on with the records that the compiled code gave."""

    def apply_raw(self, fields: Sequence[tuple[bytes, bytes]], ts_us: int | None = None) -> list[dict[str, Any]]:
        """Apply one entry given as its fields."""
        if type(self._batch) is not BatchBoth:
            self._batch = BatchBoth(1)
            self._encoder = EncoderBoth(core.markets_of(self._states), core.header(self._states)["events_last"])
        return super().apply_raw(fields, ts_us)

    def restored(self) -> "WireEngine":
        """Return another engine that was restored from a snapshot of this one."""
        other = super().restored()
        other.__class__ = WireEngine
        assert isinstance(other, WireEngine)
        return other


def canonical(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return an instruction with its keys in canonical order, anything else as it is."""
    keys = KEYS.get(OPS[body["op"]]) if kind in INSTRUCTIONS and body.get("op") in OPS else None
    if keys is None:
        return body
    order = [name for name in (*ENVELOPE, *keys[0]) if name in body]
    return {name: body[name] for name in (*order, *(name for name in body if name not in order))}
