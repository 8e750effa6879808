"""An engine of the fast way has three connections: whichever breaks, it is one loss, and nothing is lost or doubled."""

import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from engine.link_port import port_of
from engine.runner import Runner
from shared.stream_aside import Aside
from shared.stream_raw import socket_of
from shared.streams import Streams, log_id, seq_of_log_id
from tests.engine_toy import VENUE, ToyVenue, turns
from tests.integration.engine_process import events_all
from tests.store_servers import OwnRedis, own_redis

CONNECTIONS: dict[str, Callable[[Runner], Any]] = {
    "link": lambda engine: engine.parts.link.port.lent,
    "client": lambda engine: socket_of(engine.parts.streams.connection),
    "aside": lambda engine: socket_of(engine.parts.aside.twin.connection),
}


class RealToy(ToyVenue):
    """A toy venue whose streams are a real Redis's."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, wire="fast")
        self.url = url
        self.client = redis.Redis.from_url(url)
        self.client.set("tidemark:venue", VENUE)
        [genesis] = self.server.log
        self.client.xadd(self.keys.log, dict(genesis.fields), id=log_id(1))
        self.added = [1]

    def add(self, amount: int) -> int:
        """Append one entry of the toy's; return its seq."""
        fields = {b"ts": b"%d" % self.clock.now_us(), b"add": b"%d" % amount}
        self.added.append(seq_of_log_id(self.client.xadd(self.keys.log, fields)))
        return self.added[-1]

    def streams_make(self, fault: Callable[[str, str], None] | None) -> Streams:
        """Return a client of the real server."""
        return Streams(self.url)

    def port_maker(self, streams: Any) -> Callable[[], Any]:
        """Return how an engine's link connects to it."""
        return functools.partial(port_of, streams)

    def leading(self) -> Runner:
        """Return an engine that leads, and has written aside."""
        engine = self.engine(founded=True)
        aside = Aside(engine.parts.streams)
        engine.parts = engine.parts._replace(aside=aside)
        engine.parts.views.streams = engine.parts.leadership.streams = aside
        turns(engine, lambda: engine.parts.leadership.leading and aside.twin is not None, 200)
        return engine

    def settle(self, engine: Runner) -> None:
        """Append one entry, and turn until it is applied, published and read back."""
        seq = self.add(1)
        turns(engine, lambda: engine.parts.machine.seq >= seq and engine.parts.publisher.settled(seq), 500)


@pytest.fixture
def own() -> Iterator[OwnRedis]:
    """Lend a server that may be killed."""
    with own_redis() as server:
        yield server


@pytest.fixture
def venue(own: OwnRedis, tmp_path: Path) -> Iterator[RealToy]:
    """Return a venue on that server."""
    made = RealToy(tmp_path, own.url)
    with contextlib.closing(made.client):
        yield made


def lost_once(engine: Runner, venue: RealToy) -> None:
    """Assert that everything was looked at once more, and that the events are whole."""
    for _ in range(5):
        engine.turn()
    assert engine.parts.streams.losses == 1
    assert len(venue.log.named("redis_connected")) == 2
    events = events_all(engine.parts.streams, venue.keys)
    assert [entry.seq for entry in events] == venue.added
    engine.way.close()
    engine.parts.aside.close()


@pytest.mark.parametrize("name", CONNECTIONS)
def test_one_broken_connection_is_one_loss(venue: RealToy, name: str) -> None:
    """The other two are given up with it, and what was under way on them is asked again."""
    engine = venue.leading()
    venue.settle(engine)
    venue.add(1)
    engine.turn()
    CONNECTIONS[name](engine).shutdown(socket.SHUT_RDWR)
    venue.settle(engine)
    venue.clock.sleep_s(1.1)  # everything is used again
    venue.settle(engine)
    lost_once(engine, venue)


def test_a_server_that_was_killed_is_one_loss(venue: RealToy, own: OwnRedis) -> None:
    """All three break at once, and are found broken once."""
    engine = venue.leading()
    venue.settle(engine)
    own.kill()
    for _ in range(3):
        engine.turn()
    own.start()
    venue.settle(engine)
    venue.settle(engine)
    lost_once(engine, venue)
