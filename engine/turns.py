"""
The plain way of a turn: read, apply, publish, compare, each asked by its verb and waited for.

It is what the fast way (engine/turns_fast.py) must equal in everything but time, and what runs on streams that are not
a real connection.
"""

from collections.abc import Sequence
from typing import Any

from shared.stream_keys import Entry

READ_COUNT = 1_000
READ_COUNT_BEHIND = 4_000  # while catching up, when nobody waits for an answer
FULL_PAUSE_S = 0.01  # of a turn that reads nothing because too much is kept


def count_of(runner: Any) -> int:
    """Return how many entries to ask for at once."""
    return READ_COUNT_BEHIND if runner.behind and not runner.parts.leadership.leading else READ_COUNT


class PlainTurn:
    """Each verb is asked and waited for."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner

    def once(self) -> None:
        """Read, apply, publish what may be, compare."""
        parts = self.runner.parts
        if not self.runner.full():
            self.read_and_apply()
        elif not parts.leadership.leading:
            parts.clock.sleep_s(FULL_PAUSE_S)
        self.publish()
        parts.publisher.compare(parts.machine.seq)

    def read_and_apply(self) -> None:
        """Read one batch and apply it."""
        runner, parts = self.runner, self.runner.parts
        count = count_of(runner)
        entries = parts.source.read(parts.machine.seq, count, parts.block_ms)
        runner.connection_check()
        runner.meters.applied(*runner.apply(entries, count))
        runner.looked()

    def instead(self, _after_seq: int, _count: int) -> Sequence[Entry]:
        """Return nothing: its entries come from wherever they are."""
        return ()

    def publish(self) -> None:
        """Publish while we lead; what Redis refuses stays kept and is tried again with the next turn."""
        runner, publisher = self.runner, self.runner.parts.publisher
        if not publisher.kept or not runner.may_publish():
            return
        while outputs := publisher.publish():
            runner.meters.published(outputs[0].seq, outputs[-1].seq, len(outputs), lambda told=outputs: told)
            publisher.compare(runner.parts.machine.seq)

    def open(self) -> None:
        """Have nothing of its own to open: the streams connect when they are asked."""

    def close(self) -> None:
        """Have nothing of its own to close."""


def turn_of(runner: Any) -> Any:
    """
    Return the way that a runner's turns go: the fast one where it has a link.

    Imported here: whoever has no link needs no compiler.
    """
    if runner.parts.link is None:
        return PlainTurn(runner)
    from engine.turns_fast import FastTurn

    return FastTurn(runner)
