"""One log, real Redis, the real core: both ways of a turn publish the same events, alone and one after the other."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from engine.core.kernel import JIT
from engine.link_port import port_of
from engine.runner import Runner
from shared.rules import RULES_VERSION
from shared.streams import Streams, log_id
from tests.engine_toy import VENUE, ToyVenue, turns
from tests.faults.core_history import CoreHistory, core_kit
from tests.integration.engine_process import events_all

ENTRIES = 700
WAYS = [("plain", "plain"), ("fast", "fast"), ("plain", "fast"), ("fast", "plain")]


class RealVenue(ToyVenue):
    """A toy venue whose streams are a real Redis's and whose engines are the real core."""

    def __init__(self, folder: Path, url: str, wire: str) -> None:
        super().__init__(folder, core_kit(wire), wire)
        self.url = url
        self.opened: list[Streams] = []

    def streams_make(self, fault: Callable[[str, str], None] | None) -> Streams:
        """Return a client of the real server."""
        streams = Streams(self.url)
        self.opened.append(streams)
        return streams

    def port_maker(self, streams: Any) -> Callable[[], Any]:
        """Return how an engine's link connects to the real server."""
        return functools.partial(port_of, streams)

    def engine_first(self) -> Runner:
        """Return an engine by the name that the log says leads."""
        self.engines_count = 0
        return self.engine(founded=True)


@pytest.fixture
def log(tmp_path: Path) -> list[Any]:
    """Return a log in which the engine of the name `engine1` leads from its second entry on."""
    drawn = ToyVenue(tmp_path / "drawn", core_kit("plain"))
    drawn.append([(b"lead", b'{"who":"engine1","rules":%d}' % RULES_VERSION)])
    history = CoreHistory(drawn, seed=5)
    while len(drawn.server.log) < ENTRIES:
        history.next()
        drawn.clock.sleep_s(0.05)
    return drawn.server.log


@pytest.fixture
def venue_new(redis_url: str, tmp_path: Path) -> Iterator[Callable[[str], RealVenue]]:
    """Return what makes a venue whose engines turn one way or the other, on the same Redis."""
    made: list[RealVenue] = []

    def new(wire: str) -> RealVenue:
        made.append(RealVenue(tmp_path / f"{len(made)}", redis_url, wire))
        return made[-1]

    yield new
    for streams in (streams for venue in made for streams in venue.opened):
        streams.close()


def log_write(client: Any, venue: RealVenue, entries: list[Any]) -> None:
    """Append entries to the log as they are."""
    for entry in entries:
        client.xadd(venue.keys.log, dict(entry.fields), id=log_id(entry.seq))


def run_to(runner: Runner, seq: int) -> None:
    """Turn until everything up to an entry is applied, published and read back."""
    turns(runner, lambda: runner.parts.machine.seq >= seq and runner.parts.publisher.settled(seq), 2_000)


@pytest.mark.skipif(not JIT, reason="thousands of entries take the compiler")
@pytest.mark.parametrize("ways", WAYS, ids="-".join)
def test_the_events_are_those_of_a_machine_that_read_the_log_once(
    redis_url: str, venue_new: Callable[[str], RealVenue], log: list[Any], ways: tuple[str, str]
) -> None:
    """Whichever way each half of the log was published, the stream holds what the plain machine derives from it."""
    client = redis.Redis.from_url(redis_url)
    first, second = (venue_new(way) for way in ways)
    client.set("tidemark:venue", VENUE)
    half = ENTRIES // 2
    log_write(client, first, log[:half])
    run_to(first.engine_first(), half)
    log_write(client, first, log[half:])
    runner = second.engine_first()
    run_to(runner, ENTRIES)
    twin, outputs = core_kit("plain").restore(None), []
    twin.load(log)
    while (step := twin.step()) is not None:
        outputs += step.outputs
    events = [entry for entry in events_all(second.opened[0], second.keys) if entry.seq <= ENTRIES]
    client.close()
    assert [tuple(entry) for entry in events] == [tuple(output) for output in outputs]
    assert len(events) > half
    assert runner.parts.machine.hashes() == twin.hashes()
    assert runner.parts.publisher.published_count == len([entry for entry in events if entry.seq > half])
