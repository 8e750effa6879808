"""
The fast way of a turn: everything is asked in one send on the engine's link, and taken in the next turn.

A turn takes the answers to what the turn before asked, applies, and asks for everything at once, the log's next entries
last: what it has to say is out before anything else is done, and Redis works while the engine sees to what time asks
for. Far from the log's end the next entries are asked for before the present ones are applied, so that neither side
waits for the other.
"""

import functools
from collections.abc import Sequence
from typing import Any

from engine.encode.kept import Commands
from engine.link import Frame, Link, Question, ReadTexts, entries_expect, head_of
from engine.log_reply import LogReply
from engine.publish_fast import FastPublisher
from engine.turns import FULL_PAUSE_S, READ_COUNT_BEHIND, count_of
from shared.stream_keys import Entry, log_id

COMPARE_MIN = 256  # outputs that wait to be read back are not left for a quiet turn
COMPARE_S = 0.02
AT_ONCE_MAX = 16  # entries of a batch that is short enough to be answered before it is noted


class FastTurn:
    """Everything is asked in one send, and taken in the next turn."""

    def __init__(self, runner: Any) -> None:
        parts = runner.parts
        self.runner = runner
        self.link: Link = parts.link
        self.publisher: FastPublisher = parts.publisher
        self.head = head_of(parts.keys.log)
        self.texts = ReadTexts(parts.keys.log)
        self.asked_after: int | None = None  # the log is asked for what follows this
        self.found_after: int | None = None  # and answered about that
        self.asked_count = 0
        self.found: Frame | None = None
        self.compared_last_s = float("-inf")
        self.publisher.told = self.told
        parts.machine.at_once = self.at_once

    def open(self) -> None:
        """Have a new connection, on which nothing is under way; raises StreamsDown."""
        self.asked_after = self.found = None
        self.link.open()

    def close(self) -> None:
        """
        Hang up; what was under way is not believed.

        The client's connection too: found broken later, it would count as another loss, and all be looked at twice.
        """
        self.link.close()
        self.runner.parts.streams.close()

    def once(self) -> None:
        """Take the answers, apply, ask for everything."""
        if self.asked_after is None and self.runner.full():
            if not self.goes_on():
                self.runner.parts.clock.sleep_s(FULL_PAUSE_S)
            self.ask(True)
            return
        applied = self.read_and_apply()
        try:
            self.ask(applied.entries_count == 0)
        finally:
            self.runner.meters.applied(*applied)
        self.runner.looked()  # not before: what was caused goes out first

    def read_and_apply(self) -> Any:
        """Apply the log's next entries, everything asked before them taken in; return what is to be noted of them."""
        runner, parts, seq = self.runner, self.runner.parts, self.runner.parts.machine.seq
        archived = parts.source.in_archive(seq)
        if archived:
            count = READ_COUNT_BEHIND
            entries: Sequence[Entry] = parts.source.read(seq, count)
        else:
            parts.source.close()  # of the archive, where that has ended
            entries, count = self.entries_take(seq)
        runner.connection_check()
        if len(entries) == count and not archived and not runner.full():
            self.read_ask(entries[-1].seq, None)
            self.link.send()
        return runner.apply(entries, count)

    def instead(self, after_seq: int, count: int) -> Sequence[Entry]:
        """Return entries that Redis does not hold any more, from the archive."""
        entries: Sequence[Entry] = self.runner.parts.source.read(after_seq, count)
        self.runner.connection_check()
        return entries

    def ask(self, idle: bool) -> None:
        """Ask for what is due, now that everything known is applied."""
        runner, parts, publisher = self.runner, self.runner.parts, self.publisher
        # What was asked ahead stays under way; of anything else the answer is taken, also of a read that is not needed.
        while self.link.asked and (self.link.asked[0].take != self.read_take or self.asked_after != parts.machine.seq):
            self.link.take()
        if runner.border is not None:
            return
        if publisher.unsent() and runner.may_publish():
            publisher.append_ask()
        now_s = parts.clock.monotonic_s()
        if idle or len(publisher.kept) >= COMPARE_MIN or now_s - self.compared_last_s >= COMPARE_S:
            self.compared_last_s = now_s
            publisher.compare_ask(parts.machine.seq)
        if self.asked_after is None and not runner.full() and not parts.source.in_archive(parts.machine.seq):
            self.read_ask(parts.machine.seq, None if self.goes_on() else parts.block_ms)
        self.link.send()

    def at_once(self, outputs: Any) -> None:
        """Send what a few entries caused before anything is noted of it, where that is a single output."""
        parts = self.runner.parts
        if parts.machine.entries_count <= AT_ONCE_MAX and parts.leadership.leading and self.runner.awake():
            self.publisher.append_at_once(outputs)

    def goes_on(self) -> bool:
        """Return whether there is more to publish or to read back at once, so that nothing is waited for."""
        publisher = self.publisher
        return publisher.reads_on or (self.runner.parts.leadership.leading and publisher.unsent())

    def told(self, commands: Commands) -> None:
        """Count what the events took."""
        outputs = functools.partial(self.publisher.outputs_of, commands)
        self.runner.meters.published(commands.first[0], commands.last[0], commands.taken, outputs)

    def read_ask(self, after_seq: int, block_ms: int | None) -> None:
        """Ask for the log's next entries."""
        self.asked_after, self.asked_count = after_seq, count_of(self.runner)
        text = self.texts(self.asked_count, block_ms, log_id(after_seq))
        self.link.ask(Question((text,), self.read_take, head=self.head, entries_max=self.asked_count))

    def read_take(self, frame: Frame) -> None:
        """Have the log's next entries."""
        self.found_after, self.asked_after, self.found = self.asked_after, None, frame

    def entries_take(self, seq: int) -> tuple[Sequence[Entry], int]:
        """Return what follows a seq in the log, everything asked before taken in; and how many it could have been."""
        if self.asked_after is None:
            self.read_ask(seq, self.runner.parts.block_ms)
        while True:
            while self.asked_after is not None:
                self.link.take()
            frame, self.found = self.found, None
            assert frame is not None
            if self.found_after == seq:
                break
            self.read_ask(seq, None)  # what was asked ahead was not applied to its end
        if frame.places is None:
            entries_expect(frame)
            return (), self.asked_count
        return LogReply(frame.raw, frame.begin, frame.entries, frame.end, frame.places), self.asked_count

    def publish(self) -> None:
        """Publish what may be published, and wait until everything is; for an engine that leaves."""
        while self.publisher.kept and self.runner.may_publish() and self.publisher.publish():
            self.publisher.compare(self.runner.parts.machine.seq)
