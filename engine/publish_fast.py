"""
The publisher of the fast path: the same rules as engine/publish.py's, on bytes and without waiting.

A transaction and the reading back are questions on the engine's link, asked in one turn and answered in the next; one
transaction is under way at a time. Outputs stay the bytes in which they were encoded, and what the stream holds is
compared with them as it came. Only where something differs are outputs and entries made of the bytes, and judged by
the plain publisher's rules.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.encode.encoded import Encoded
from engine.encode.kept import Commands, Kept
from engine.link import Frame, Link, Question, ReadTexts, entries_expect, head_of
from engine.publish import Last, Publisher, chain_check
from engine.witness import Memory
from shared.stream_guard import pack
from shared.stream_keys import Keys, StreamsError, event_id, events_digest, seq_chunk_of_event_id
from shared.stream_raw import NOTHING
from shared.stream_verbs import events_entry, publish_judge, transaction_results
from shared.wire_events import Output

PUBLISH_MAX = 1_000  # outputs in one MULTI/EXEC
PUBLISH_BYTES_MAX = 4_000_000
READ_COUNT_MAX = 4_000  # entries that are read back at once
MULTI, EXEC = pack([["MULTI"]]), pack([["EXEC"]])


class FastPublisher(Publisher):
    """The outputs of one engine on their way into the events stream, as bytes, over its link."""

    def __init__(self, link: Link, streams: Any, keys: Keys, last: Last) -> None:
        super().__init__(streams, keys, last)
        self.link = link
        self.kept: Any = Kept()
        self.head = add_head(keys.events, "NOMKSTREAM")
        self.head_create = add_head(keys.events)
        self.read_head = head_of(keys.events)
        self.read_texts = ReadTexts(keys.events)
        self.adding: Commands | None = None  # the transaction under way
        self.told: Callable[[Commands], None] = lambda _commands: None  # what the stream took
        self.reading = False  # the question for what follows `read_id` is under way
        self.asked_count = 0  # of its entries
        self.reads_on = False  # the last answer gave as much as was asked for
        self.applied_seq = 0
        self.dropped_count = 0

    def make_ready(self) -> None:
        """Have the compiled code loaded that the first publication needs: that takes longer than a hundred of them."""
        kept, raw = Kept(), np.frombuffer(bytearray(NOTHING), np.uint8)
        kept.keep([Output(1, 0, 1, b"0-0", b"", b"[]")])
        kept.publish_bytes((0, 0), self.head, 1, PUBLISH_BYTES_MAX)
        kept.compare(raw, 0, 0, 0)
        kept.drop_below((2, 0))
        Frame(raw, 0, len(raw)).appended(1)
        self.link.walks_load()

    def reconnected(self) -> None:
        """Forget what was under way, and what was believed of the stream."""
        super().reconnected()
        self.adding, self.reading = None, False

    def keep(self, outputs: Sequence[Any]) -> None:
        """Keep the outputs that one step derived, in their order."""
        self.kept.keep(outputs)

    def kept_drop_below(self, first_id: tuple[int, int]) -> int:
        """Drop every kept output below an id; return how many."""
        dropped_count: int = self.kept.drop_below(first_id)
        return dropped_count

    def last(self) -> Last:
        """Return the newest output derived, published or not."""
        newest = self.kept.newest()
        return self.start if newest is None else Last(newest.seq, newest.chunk, events_digest(newest).hex())

    def settled(self, seq: int) -> bool:
        """Return whether every output up to and including this seq was seen in the stream."""
        return not self.kept or self.kept.first_place()[0] > seq

    def memory(self) -> list[Memory]:
        """Return the newest entry that this process itself saw in the stream."""
        seen = [entry for entry in (self.seen, self.kept.seen()) if entry is not None]
        self.seen = max(seen, key=lambda entry: (entry.seq, entry.chunk), default=None)
        return super().memory()

    # --- appending

    def unsent(self) -> bool:
        """Return whether there are outputs that the stream is not known to hold and that are not under way."""
        if not self.kept:
            return False
        newest = self.kept.newest_place()
        if self.adding is not None:
            return newest > self.adding.last
        return self.tip_id is None or newest > self.tip_id

    def append_ask(self) -> bool:
        """
        Ask for the oldest kept outputs that the stream does not hold to be appended, in one transaction.

        Returns whether there were any. Raises Divergence when the stream's end is not what the first of them follows.
        """
        assert self.adding is None, "one transaction at a time"
        if self.tip_id is None:
            self.tip_id = self.streams.events_tip(self.keys)
        commands = self.commands_next(self.tip_id)
        if commands.taken == 0:
            return False
        if commands.previous != self.tip_id:
            chain_check(commands.first, event_id(*commands.previous) if any(commands.previous) else b"0-0", self.tip_id)
        alone = commands.taken == 1
        text = (commands.data,) if alone else (MULTI, commands.data, EXEC)
        self.adding = commands
        self.link.ask(Question(text, self.append_take, 1 if alone else commands.taken + 2, writes=True))
        return True

    def append_at_once(self, outputs: Encoded) -> None:
        """
        Send the one output that a batch caused, which is not kept yet, if it follows what the stream is known to hold.

        Whatever else there is goes the way of `append_ask`.
        """
        if len(outputs.runs) != 1 or self.adding is not None or self.tip_id is None or self.link.asked:
            return
        run = outputs.runs[0]
        if run.end - run.first != 1:
            return
        room = run.slab.room
        _, _, *previous, first, _, end = room.marks[run.first].tolist()
        if tuple(previous) != self.tip_id:
            return
        self.adding = Commands(room.view[first:end], 1, run.newest, self.tip_id, run.newest)
        self.link.ask_at_once(self.head + self.adding.data, self.append_take)

    def commands_next(self, tip: tuple[int, int]) -> Commands:
        """Return the oldest kept outputs beyond the stream's end; what genesis causes makes the stream."""
        if tip != (0, 0) or self.kept.first_place()[0] != 1:
            return self.kept.publish_bytes(tip, self.head, PUBLISH_MAX, PUBLISH_BYTES_MAX)
        first = self.kept.publish_bytes(tip, self.head_create, 1, PUBLISH_BYTES_MAX)
        data = bytes(first.data)
        rest = self.kept.publish_bytes(first.last, self.head, PUBLISH_MAX - 1, PUBLISH_BYTES_MAX)
        last = rest.last if rest.taken else first.last
        return first._replace(data=memoryview(data + rest.data), taken=first.taken + rest.taken, last=last)

    def append_take(self, frame: Frame) -> None:
        """Note what the stream took; raises what publishing raises."""
        commands, self.adding = self.adding, None
        assert commands is not None
        if not frame.appended(commands.taken):
            ids = [event_id(output.seq, output.chunk) for output in self.outputs_of(commands)]
            try:
                replies = frame.values(1 if commands.taken == 1 else commands.taken + 2)
                publish_judge(ids, replies if commands.taken == 1 else transaction_results(replies))
            except StreamsError as error:
                self.publish_failed(ids[0], error)
                return
        self.published(commands.last, commands.taken)
        self.told(commands)

    def outputs_of(self, commands: Commands) -> list[Any]:
        """Return the outputs that a transaction brings."""
        outputs = []
        for output in self.kept:
            if (output.seq, output.chunk) > commands.last:
                break
            if (output.seq, output.chunk) >= commands.first:
                outputs.append(output)
        return outputs

    def publish(self) -> list[Any]:
        """Do it at once, and wait for the answer; return the outputs that were appended."""
        self.link.take_all()
        if not self.append_ask():
            return []
        commands = self.adding
        assert commands is not None
        outputs, count_before = self.outputs_of(commands), self.published_count
        self.link.take_all()
        return outputs if self.published_count > count_before else []

    # --- reading back

    def compare_ask(self, applied_seq: int) -> None:
        """Compare what was read already, then ask for as much as is kept and one entry more, which should not be."""
        assert not self.reading
        self.applied_seq = applied_seq
        if self.first_id is None:
            self.first_id = self.streams.events_first(self.keys)
        self.dropped_count += self.trimmed_drop(self.first_id)
        self.dropped_count += self.compare_read(applied_seq)
        if self.ahead:
            return
        count = min(READ_COUNT_MAX, len(self.kept) + 1)
        self.reading, self.asked_count = True, count
        text = self.read_texts(count, None, event_id(*self.read_id))
        self.link.ask(Question((text,), self.compare_take, head=self.read_head, entries_max=count))

    def compare_take(self, frame: Frame) -> None:
        """Drop every kept output that the answer holds with equal bytes; keep what lies beyond what was applied."""
        self.reading = False
        entries_expect(frame)
        self.reads_on = False
        if frame.entries == 0:
            return
        self.read_id = seq_chunk_of_event_id(frame.stream_id(frame.entries - 1))
        if self.tip_id is not None and self.read_id > self.tip_id:
            self.tip_id = self.read_id
        self.dropped_count += self.run_drop(frame)
        if self.ahead:
            self.dropped_count += self.trimmed_look()
            self.dropped_count += self.compare_read(self.applied_seq)
        self.reads_on = frame.entries == self.asked_count and not self.ahead

    def run_drop(self, frame: Frame) -> int:
        """Drop the outputs that the answer begins with; what follows is made entries of, for the rules to judge."""
        assert frame.places is not None
        compared = self.kept.compare(frame.raw, int(frame.places[0]), frame.end, frame.entries)
        matched = int(compared.matched)
        self.kept.drop(matched)
        for index in range(matched, frame.entries):
            self.ahead.append(events_entry(*frame.entry(index)))
        return matched

    def compare(self, applied_seq: int) -> int:
        """Do it at once until nothing more is to be read; return how many were dropped."""
        count_before = self.dropped_count
        self.link.take_all()
        while True:
            self.compare_ask(applied_seq)
            if not self.reading:
                break
            self.link.take_all()
            if not self.reads_on:
                break
        return self.dropped_count - count_before


def add_head(key: str, *options: str) -> bytes:
    """Return what an XADD of four fields begins with, up to its id."""
    arguments = ["XADD", key, *options]
    return b"*%d\r\n" % (len(arguments) + 1 + 2 * 4) + pack([arguments]).partition(b"\r\n")[2]
