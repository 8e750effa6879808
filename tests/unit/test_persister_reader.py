"""The persister's reader of events: the first entry at once, what follows it within a moment together."""

import asyncio
import time

from persister.reader import READ_COUNT, Position, Reader
from shared.streams import EventsEntry, Keys, event_id

GROUP_S = 0.05


class Stream:
    """Events without end, so many with each read."""

    def __init__(self) -> None:
        """Begin before the first."""
        self.losses = 0
        self.count = 1
        self.reads_s: list[float] = []

    async def read_events(self, _keys: Keys, after: tuple[int, int], _count: int, _block_ms: int) -> list[EventsEntry]:
        """Return the next ones, and remember when they were asked for."""
        self.reads_s.append(time.monotonic())
        return [
            EventsEntry(seq, 0, seq, event_id(seq - 1, 0), b"", b"[]")
            for seq in range(after[0] + 1, after[0] + 1 + self.count)
        ]

    async def range_events(
        self, _keys: Keys, first: tuple[int, int], _last: tuple[int, int], _count: int
    ) -> list[EventsEntry]:
        """Return the entry at a place."""
        return [EventsEntry(*first, first[0], event_id(first[0] - 1, 0), b"", b"[]")]


def waits(count: int, reads: int, group_s: float) -> list[float]:
    """Return how long a reader waited before each of its reads."""

    async def scene() -> list[float]:
        stream = Stream()
        stream.count = count
        reader = Reader("r", stream, Keys("v"), Position(1, 0), time.monotonic, group_s)  # type: ignore[arg-type]
        found = []
        for _ in range(reads):
            began_s = time.monotonic()
            entries = await reader.read()
            reader.position = Position(entries[-1].seq, 0)
            found.append(stream.reads_s[-1] - began_s)
        return found

    return asyncio.run(scene())


def test_the_first_is_read_at_once_and_the_next_together() -> None:
    """After a silence nothing is waited for; within the group's time of a read the next one waits for its end."""
    first, *later = waits(1, 3, GROUP_S)
    assert first < GROUP_S / 2
    assert all(wait > 0.8 * GROUP_S for wait in later)


def test_whoever_is_behind_does_not_wait() -> None:
    """A reader that was given as much as it asked for asks for more at once, and so does one without a group."""
    assert max(waits(READ_COUNT, 4, GROUP_S)) < GROUP_S / 2
    assert max(waits(1, 4, 0.0)) < GROUP_S / 2
