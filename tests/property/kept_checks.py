"""
The kept outputs as bytes against a plain list of them: commands, comparison, dropping, whatever the order of acts.
"""

import random
from collections.abc import Callable

import numpy as np

from engine.encode.encoded import EventEncoder
from engine.encode.kept import Kept, bulk
from shared.wire_events import Output
from tests.property import event_inputs

HEAD = b"*12\r\n$4\r\nXADD\r\n$3\r\nkey\r\n$10\r\nNOMKSTREAM\r\n"
NAMES = ["BTC_USDC_PERP", "SOL_USDC_PERP"]
KEPT_MAX = 60

Place = tuple[int, int]


class KeptBoth:
    """The same outputs kept both ways, and acts upon both."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.encoder = EventEncoder(NAMES, (0, 0))
        self.kept, self.plain = Kept(), list[Output]()
        self.seq = chance.randrange(1, 10**6)
        self.newest: Place = (0, 0)

    def keep(self) -> None:
        """Derive a few outputs, now and then made one by one."""
        self.seq += self.chance.randrange(1, 4)
        outputs = self.encoder.feed(event_inputs.run(self.chance, self.seq))
        self.plain += list(outputs)
        self.newest = place_of(self.plain[-1])
        self.kept.keep(list(outputs) if self.chance.random() < 0.2 else outputs)

    def drop(self) -> None:
        """Drop some that were seen."""
        count = self.chance.randrange(len(self.plain) + 1)
        seen = self.plain[count - 1] if count else self.kept.seen()
        self.kept.drop(count)
        del self.plain[:count]
        assert self.kept.seen() == seen

    def drop_below(self) -> None:
        """Drop what lies below some place."""
        place = self.place_any()
        below = sum(place_of(output) < place for output in self.plain)
        assert self.kept.drop_below(place) == below
        del self.plain[:below]

    def publish(self) -> None:
        """Make commands of what lies beyond some place."""
        after, count_max = self.place_any(), self.chance.choice((1, 2, 5, 1_000))
        bytes_max = self.chance.choice((1, 500, 5_000, 4_000_000))
        expected, taken = b"", list[Output]()
        for output in (each for each in self.plain if place_of(each) > after):
            text = HEAD + bulk(output.id) + rest_of(output)
            if taken and (len(taken) == count_max or len(expected) + len(text) > bytes_max):
                break
            expected, taken = expected + text, [*taken, output]
        commands = self.kept.publish_bytes(after, HEAD, count_max, bytes_max)
        assert (bytes(commands.data), commands.taken) == (expected, len(taken)), (after, count_max, bytes_max)
        if taken:
            assert (commands.first, commands.last) == (place_of(taken[0]), place_of(taken[-1]))

    def compare(self) -> None:
        """Compare with an answer that holds some of them, one perhaps with another byte, or others behind them."""
        entries = [b"*2\r\n" + bulk(output.id) + b"*8\r\n" + rest_of(output) for output in self.plain]
        entries = entries[: self.chance.randrange(len(entries) + 1)]
        same = len(entries)
        if entries and self.chance.random() < 0.6:
            same = self.chance.randrange(len(entries))
            spoilt = bytearray(entries[same])
            spoilt[self.chance.randrange(len(spoilt))] ^= 1 << self.chance.randrange(8)
            entries[same] = bytes(spoilt)
        elif self.chance.random() < 0.3:
            entries += entries[-1:] or [b"*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"]
        before = bytes(self.chance.randrange(256) for _ in range(self.chance.randrange(20)))
        raw = np.frombuffer(bytearray(before + b"".join(entries) + b"\r\n" * 8), np.uint8)
        end = len(before) + sum(map(len, entries))
        found = self.kept.compare(raw, len(before), end, len(entries))
        assert tuple(found) == (same, len(before) + sum(map(len, entries[:same]))), (found, same, entries)

    def place_any(self) -> Place:
        """Return a place before, at, between or behind what is kept."""
        places = [(0, 0), self.newest, (self.newest[0] + 1, 0), *map(place_of, self.plain)]
        seq, chunk = self.chance.choice(places)
        return self.chance.choice(((seq, chunk), (seq, chunk + 1), (max(seq - 1, 0), 600)))

    def same(self) -> None:
        """Assert that both hold the same."""
        assert list(self.kept) == self.plain
        assert len(self.kept) == len(self.plain)
        assert self.kept.first_place() == (place_of(self.plain[0]) if self.plain else (0, 0))
        assert self.kept.newest_place() == self.newest


def place_of(output: Output) -> Place:
    """Return where an output stands."""
    return output.seq, output.chunk


def rest_of(output: Output) -> bytes:
    """Return the texts of an output's fields."""
    return b"".join(bulk(name) + bulk(value) for name, value in output.fields)


def kept_check(seed: str, count: int) -> int:
    """Do so many acts in a random order, all of whose outcomes are those of a plain list."""
    chance = random.Random(seed)
    both = KeptBoth(chance)
    acts: list[Callable[[], None]] = [both.keep, both.keep, both.drop, both.drop_below, both.publish, both.compare]
    for _ in range(count):
        act = both.drop if len(both.plain) > KEPT_MAX else chance.choice(acts)
        act()
        both.same()
    return count
