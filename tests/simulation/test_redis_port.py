"""The engine's link on the simulated wire: bytes as a real server writes them, in pieces, torn, late, or not at all."""

import random
import socket
from collections import deque
from typing import Any

import pytest

from engine.link import Frame, Link, Question, head_of
from engine.log_reply import LogReply
from shared.stream_guard import pack
from shared.streams import Keys, StreamsDown, StreamsUnknown
from tests.simulation.redis_model import RedisModel, Session
from tests.simulation.redis_port import WirePort
from tests.simulation.redis_wire import Plan
from tests.simulation.test_redis_wire import FATES, KEYS, Scene, scene
from tests.store_servers import own_redis

__all__ = ["scene"]
LOG = KEYS.log.encode()
ADD = [b"XADD", LOG, b"NOMKSTREAM", b"*", b"ts", b"1", b"clock_tick", b"{}"]


def read_after(seq: int, *options: bytes) -> bytes:
    """Return the question for what follows an entry."""
    return pack([[b"XREAD", *options, b"STREAMS", LOG, b"1000000000000000-%d" % seq]])


class Linked:
    """A link over the simulated wire, and what its questions were answered."""

    def __init__(self, one: Scene) -> None:
        self.losses = 0
        self.link = Link(one.server.port(one.process), 2.0, self.lose)
        self.answers: list[Any] = []
        self.link.open()

    def lose(self) -> None:
        """Count a loss."""
        self.losses += 1

    def ask(self, text: bytes, replies: int = 1, writes: bool = False) -> None:
        """Ask for values."""
        self.link.ask(Question([text], lambda frame: self.answers.append(frame.values(replies)), replies, writes))

    def ask_log(self, text: bytes) -> None:
        """Ask for the log's entries."""

        def take(frame: Frame) -> None:
            places = (frame.raw, frame.begin, frame.entries, frame.end, frame.places)
            self.answers.append([] if frame.places is None else list(LogReply(*places)))

        self.link.ask(Question([text], take, head=head_of(KEYS.log)))

    def take_all(self) -> list[Any]:
        """Return the answers to everything that was asked."""
        self.link.send()
        while self.link.asked:
            self.link.take()
        return self.answers


@pytest.mark.parametrize("cut", FATES)
@pytest.mark.parametrize("seed", range(3))
def test_a_transaction_says_exactly_what_is_known(scene: Scene, cut: str, seed: int) -> None:
    """Whatever breaks, and however much of the answer still comes, a transaction is done, or nobody knows."""
    scene.server.chance = random.Random(seed)

    def work(_streams: Any) -> bool:
        linked = Linked(scene)
        scene.fault = Plan(cut=cut)
        linked.ask(pack([[b"MULTI"], ADD, ADD, [b"EXEC"]]), 4, writes=True)
        linked.ask_log(read_after(0, b"COUNT", b"10"))
        try:
            linked.take_all()
        except StreamsUnknown:
            return False
        except StreamsDown:
            return True  # what came whole before the tear is known; then it is only the reading that is not
        assert [len(answer) for answer in linked.answers] == [4, 3]
        return True

    known = scene.blocking(work)
    _status, count = FATES[cut]
    assert scene.entries() == 2 * count
    assert not known or count, "believed done, and it was not"


def test_what_comes_behind_a_blocking_read_waits_for_it(scene: Scene) -> None:
    """A server looks at nothing more of a connection whose read waits; then it does everything in its order."""

    def work(_streams: Any) -> tuple[list[Any], float]:
        linked = Linked(scene)
        begin_s = scene.loop.time()
        linked.ask_log(read_after(1, b"COUNT", b"10", b"BLOCK", b"50"))
        linked.ask(pack([ADD]))
        linked.ask_log(read_after(1, b"COUNT", b"10", b"BLOCK", b"50"))
        return linked.take_all(), scene.loop.time() - begin_s

    answers, seconds = scene.blocking(work)
    assert [answers[0], answers[1][0], len(answers[2])] == [[], b"1000000000000000-2", 1]
    assert 0.05 < seconds < 0.06


def test_pieces_of_any_size_are_the_same_entries(scene: Scene) -> None:
    """A long answer that comes in many pieces is handed on once, whole."""
    for index in range(300):
        scene.server.execute(b"XADD", LOG, b"*", b"ts", b"%016d" % index, b"note", b"x" * (index % 40))

    class Crumbs(WirePort):
        """A port that gives little at a time."""

        def receive(self, view: memoryview, timeout_s: float) -> int:
            """Return up to a few hundred bytes."""
            return super().receive(view[: self.chance.randrange(1, 400)], timeout_s)

    def work(_streams: Any) -> list[Any]:
        linked = Linked(scene)
        linked.link.connect = lambda: Crumbs(scene.server, scene.process, random.Random(5))
        linked.link.open()
        for _ in range(3):
            linked.ask_log(read_after(1, b"COUNT", b"1000"))
        return linked.take_all()

    answers = scene.blocking(work)
    assert answers[0] == answers[1] == answers[2]
    assert [entry.seq for entry in answers[0]] == list(range(2, 302))


def test_the_bytes_are_a_real_servers() -> None:
    """Of everything that an engine's link asks, the simulated answers have the bytes of the real ones."""
    keys = Keys("same")
    log, events = keys.log.encode(), keys.events.encode()
    identity = b"1000000000000000-%d"
    add = [b"XADD", log, b"NOMKSTREAM", identity % 2, b"ts", b"5"]
    commands = [
        add, [b"XADD", log, identity % 1, b"ts", b"1"], add, add, [b"MULTI"], [*add[:3], identity % 3, b"a", b"OK"],
        [b"XADD", events, b"NOMKSTREAM", b"*", b"a", b"b"], [b"EXEC"], [b"EXEC"], [b"MULTI"], [b"XADD", log], [b"EXEC"],
        [b"XREAD", b"COUNT", b"10", b"STREAMS", log, b"0-0"], [b"XREAD", b"COUNT", b"1", b"STREAMS", log, identity % 3],
        [b"XREAD", b"COUNT", b"1", b"STREAMS", events, b"0-0"], [b"SET", b"k", b"OK"], [b"GET", b"k"],
        [b"GET", b"none"], [b"XLEN", log], [b"XREAD", b"COUNT", b"1", b"STREAMS", b"k", b"0-0"], [b"NOSUCH"],
    ]  # fmt: skip
    model, session = RedisModel(lambda: 1), Session()
    port: Any = object.__new__(WirePort)
    with own_redis() as server, socket.socket(socket.AF_UNIX) as real:
        real.connect(server.url.partition("unix://")[2].partition("?")[0])
        for command in commands:
            real.sendall(pack([command]))
            port.asked = deque([command[0]])
            assert port.encoded(model.execute(session, command)) == real.recv(65_536), command
