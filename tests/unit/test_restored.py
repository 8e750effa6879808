"""The one gap a reader may step over, and what becomes of processes that slept through a restoration of the log."""

import asyncio
from pathlib import Path

import orjson
import pytest

from engine.ingest import Machine
from gateway.markets import Markets
from gateway.readiness import Near, VenueLost, Watch
from poller.venue import VenueGuard, VenueLeft
from poller.witness import Witness
from scripts.restore_survey import seq_of
from shared import genesis
from shared.refusal import LogRestored, Refusal
from shared.stream_keys import Entry, Fields, Keys, follows, restored_body
from tests.engine_toy import ToyVenue, turns
from tests.poller_doubles import KEYS, FakeStreams

TS = (b"ts", b"1800000000000000")


def restored(seq: int, first: int, last: int) -> Entry:
    """Return an entry that states a range as lost."""
    return Entry(seq, [TS, (b"restored", restored_body(first, last))])


@pytest.mark.parametrize(
    ("last_seq", "entry", "may"),
    [
        (4, Entry(5, [TS, (b"clock_tick", b"{}")]), True),
        (4, Entry(6, [TS, (b"clock_tick", b"{}")]), False),
        (4, Entry(4, [TS, (b"clock_tick", b"{}")]), False),
        (4, restored(9, 5, 8), True),
        (4, restored(6, 5, 5), True),
        (4, restored(9, 5, 7), False),
        (4, restored(9, 4, 8), False),
        (4, restored(10, 5, 8), False),
        (4, restored(4, 5, 3), False),
        (4, Entry(9, [TS, (b"session", b"x"), (b"restored", restored_body(5, 8))]), False),
        (4, Entry(9, [(b"restored", restored_body(5, 8))]), False),
        (4, Entry(9, [TS, (b"restored", b'{"first_lost": 5, "last_lost": 8}')]), False),
        (4, Entry(9, []), False),
    ],
)
def test_only_what_names_the_gap_may_follow_it(last_seq: int, entry: Entry, may: bool) -> None:
    """The next number follows, or an entry right behind the range that it states as lost, in the canonical form."""
    assert follows(last_seq, entry) is may


def test_engine_steps_over_a_stated_gap_and_no_other() -> None:
    """A machine applies `restored` under its own number; without it the same jump is refused with its numbers."""
    body = genesis.default("toyvenue01", list(genesis.MARKETS_DEFAULT))
    first = Entry(1, genesis_fields(body))
    machine = Machine()
    machine.load([first, restored(9, 2, 8), Entry(10, [TS, (b"clock_tick", b"{}")])])
    while machine.step() is not None:
        pass
    assert machine.header().seq == machine.seq == 10
    other = Machine()
    with pytest.raises(Refusal, match="entries 2 to 8 are missing"):
        other.load([first, Entry(9, [TS, (b"clock_tick", b"{}")])])


def genesis_fields(body: object) -> Fields:
    """Return the fields of a genesis."""
    return [TS, (b"genesis", orjson.dumps(body))]


def test_engine_that_slept_through_a_restoration_begins_anew(tmp_path: Path, wire: str) -> None:
    """What it remembers is missing, but the log was restored meanwhile: it ends to start again, and refuses nothing."""
    venue = ToyVenue(tmp_path, wire=wire)
    engine = venue.engine(founded=True)
    for _ in range(20):
        venue.add(1)
        engine.turn()
    venue.server.log = venue.server.log[:5]
    venue.server.values[venue.keys.restores] = 1
    venue.clock.sleep_s(4.0)
    with pytest.raises(LogRestored, match="1 times"):
        turns(engine, lambda: False, 50)


def test_living_engine_sees_a_restoration_within_a_second(tmp_path: Path, wire: str) -> None:
    """An engine whose memory happens to fit ends as well: its outcomes and views may not."""
    venue = ToyVenue(tmp_path, wire=wire)
    engine = venue.engine(founded=True)
    engine.turn()
    venue.server.values[venue.keys.restores] = 3
    began_s = venue.clock.monotonic_s()

    def time_passes() -> bool:
        venue.clock.sleep_s(0.05)
        return False

    with pytest.raises(LogRestored):
        turns(engine, time_passes, 200)
    assert venue.clock.monotonic_s() - began_s < 1.5


def test_poller_that_slept_through_a_restoration_leaves() -> None:
    """The guard reads the counter before it remembers and again before it refuses."""

    async def main() -> None:
        streams = FakeStreams()
        streams.entries = [[TS, (b"clock_tick", b"{}")] for _ in range(9)]
        witness = Witness(streams, KEYS)
        guard = VenueGuard(streams, KEYS, Path("no-such-folder"), witness)
        await guard.check()
        await witness.begin()
        del streams.entries[5:]
        with pytest.raises(Refusal, match="ends at 5"):
            await guard.check()
        streams.restores_count = 1
        with pytest.raises(VenueLeft, match="restored"):
            await guard.check()

    asyncio.run(main())


def test_gateway_that_slept_through_a_restoration_is_lost() -> None:
    """A gateway ends when the counter is not the one it found as it opened its desk."""
    watch = Watch(None, None, Path("no-such-folder"), Keys("toyvenue01"), None, Markets(), lambda: 0.0)  # type: ignore[arg-type]
    watch.restores = 2
    with pytest.raises(VenueLost, match="restored"):
        watch.saw(Near(None, (0, 0), None, "toyvenue01", 3))


@pytest.mark.parametrize(
    ("stated", "seq"),
    [(7, 7), ([9, 2], 9), ("12-3", 12), ("12", 12), (True, 0), (None, 0), ("x-1", 0), ([], 0), (-4, 0), (2**60, 0)],
)
def test_any_statement_of_a_number_is_understood(stated: object, seq: int) -> None:
    """Refusals, cursors and heartbeats state numbers in several forms; nonsense is no number."""
    assert seq_of(stated) == seq
