"""The simulated Redis against a real one: random command sequences, the same replies; and what a restart keeps."""

import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from shared.stream_guard import pack
from tests.simulation.redis_clients import decode, reply_read
from tests.simulation.redis_commands import BASE, History, comparable
from tests.simulation.redis_model import Blocked, RedisModel, Session
from tests.simulation.redis_streams import Failure, Stream

SEQUENCES = int(os.environ.get("TIDEMARK_TEST_SEQUENCES", "1500"))
ACTS_MAX = 40
LONG_EVERY, LONG_ENTRIES = 25, 330
ENDS_MS = 20
OF_THE_CLOCK = re.compile(r"1[7-9]\d{11}-\d")
FLUSH_EVERY = 50


class Both:
    """Two sessions with the model and the same two with a real server."""

    def __init__(self, url: str) -> None:
        pool = redis.ConnectionPool.from_url(url, protocol=2, decode_responses=False, driver_info=None)
        self.connections = [pool.make_connection() for _ in range(3)]
        for connection in self.connections:
            connection.connect()
        self.sequences_count = 0
        self.model = RedisModel(lambda: time.time_ns() // 1_000, journaled=False)
        self.sessions = [Session(), Session()]
        self.waiting: dict[int, tuple[list[bytes], Blocked]] = {}  # who waits in a blocking read, on both sides

    def begin(self) -> None:
        """Begin a sequence with sessions that know nothing, sometimes with nothing there."""
        self.sequences_count += 1
        for number in list(self.waiting):
            self.release(number)
        for number, session in enumerate(self.sessions):
            if session.queue is not None:
                self.both(number, [b"DISCARD"])
            self.both(number, [b"UNWATCH"])
        if self.sequences_count % FLUSH_EVERY == 0:
            self.both(0, [b"FLUSHALL"])

    def release(self, number: int) -> None:
        """End a blocking read on both sides by closing its connection."""
        connection = self.connections[number]
        connection.disconnect()
        connection.connect()
        self.sessions[number] = Session()
        del self.waiting[number]

    def real(self, number: int, command: list[bytes]) -> Any:
        """Return the real server's reply."""
        connection = self.connections[number]
        connection.send_packed_command([pack([command])], check_health=False)
        return self.read(number)

    def read(self, number: int) -> Any:
        """Return the next reply of a connection."""
        try:
            return self.connections[number].read_response(disable_decoding=True)
        except redis.exceptions.ResponseError as error:
            return error

    def both(self, number: int, command: list[bytes]) -> tuple[Any, Any]:
        """Return both replies to one command; a read that waits is asked for its reply when it has one."""
        queue = list(self.sessions[number].queue or ())
        mine = self.model.execute(self.sessions[number], command)
        if isinstance(mine, Blocked):
            self.connections[number].send_packed_command([pack([command])], check_health=False)
            self.real(2, [b"PING"])  # by its answer the other command has been read
            self.waiting[number] = (command, mine)
            return None, None
        return comparable(command, reply_read(mine), queue), comparable(command, self.real(number, command), queue)

    def unblocked(self) -> list[tuple[Any, Any]]:
        """Return both replies of the reads that wait no longer."""
        found = []
        for number, (command, blocked) in list(self.waiting.items()):
            reply = self.model.unblocked(blocked)
            if reply is not None:
                found.append((comparable(command, reply_read(reply)), comparable(command, self.read(number))))
                del self.waiting[number]
        self.model.changed.clear()
        return found

    def close(self) -> None:
        """Close the connections."""
        for connection in self.connections:
            connection.disconnect()


def sequence_run(both: Both, seed: int) -> list[str]:
    """Return what differed in one sequence, with everything that led there."""
    chance = random.Random(seed)
    history = History(chance, both.model, b"%d:" % seed)
    both.begin()
    told = []
    if seed % LONG_EVERY == 0:  # then approximate trims have whole nodes to take
        for number in range(LONG_ENTRIES):
            both.both(0, [b"XADD", b"%d:log" % seed, b"%d-%d" % (BASE, number + 1), b"f", b"%d" % number])
    for _ in range(chance.randrange(3, ACTS_MAX)):
        number, command = history.act()
        if number in both.waiting:
            continue
        mine, real = both.both(number, command)
        told.append(f"{number} {command} -> {real}")
        pairs = [(mine, real), *both.unblocked()]
        if OF_THE_CLOCK.search(repr(real)):
            return []  # a stream that was empty took its id from the clock, which had moved between the two
        for mine, real in pairs:
            if mine != real:
                return [*told, f"the model says {mine}", f"the server says {real}"]
    return []


@pytest.fixture
def both(redis_url: str) -> Iterator[Both]:
    """Lend a model and an empty real server."""
    pair = Both(redis_url)
    yield pair
    pair.close()


@pytest.mark.timeout(3_600)
def test_random_sequences_are_answered_as_a_real_server_does(both: Both) -> None:
    """Every reply of the model, errors included, is the reply of a real server to the same commands."""
    for seed in range(SEQUENCES):
        differs = sequence_run(both, seed)
        assert not differs, f"sequence {seed}:\n" + "\n".join(differs)


def test_a_key_ends_with_its_time(both: Both) -> None:
    """A key with an end is there before and gone after it, in a transaction that watched it as well."""
    for number in (0, 1):
        pairs = [both.both(number, command) for command in KEYS_WITH_ENDS]
        time.sleep(2 * ENDS_MS / 1_000)
        pairs += [both.both(number, command) for command in KEYS_AFTER]
        assert [mine for mine, _real in pairs] == [real for _mine, real in pairs]


KEYS_WITH_ENDS = (
    [b"SET", b"text", b"1", b"PX", b"%d" % ENDS_MS], [b"SET", b"kept", b"1", b"PX", b"%d" % ENDS_MS],
    [b"SET", b"kept", b"2"], [b"HSET", b"table", b"f", b"1"], [b"PEXPIRE", b"table", b"%d" % ENDS_MS],
    [b"GET", b"text"], [b"HGETALL", b"table"], [b"WATCH", b"text"],
)  # fmt: skip
KEYS_AFTER = (
    [b"MULTI"], [b"GET", b"text"], [b"EXEC"], [b"GET", b"text"], [b"EXISTS", b"text", b"table", b"kept"],
    [b"TYPE", b"table"], [b"PTTL", b"kept"], [b"SET", b"text", b"2", b"NX"], [b"HSET", b"table", b"g", b"1"],
    [b"HGETALL", b"table"], [b"DEL", b"text", b"table", b"kept"],
)  # fmt: skip


def test_a_restart_keeps_what_was_written() -> None:
    """A model made anew from its journal holds what it held, but exactly the changes that it is told to lose."""
    for seed in range(200):
        model = RedisModel(lambda: 1_800_000_000_000_000)
        session, history = Session(), History(random.Random(seed), model, b"k:")
        looks = {0: contents(model)}
        for _ in range(60):
            model.execute(session, history.act().command)
            looks[len(model.journal)] = contents(model)
        lose = seed % 4
        kept = max(0, len(model.journal) - lose)
        model.restarted("1" * 40, lose)
        assert kept not in looks or contents(model) == looks[kept], seed


def contents(model: RedisModel) -> Any:
    """Return everything that a model holds, as plain values."""
    model.changed.clear()
    return {key: shape(model.lookup(key)) for key in sorted(model.values) if model.lookup(key) is not None}


def shape(value: Any) -> Any:
    """Return a value of the model as plain values."""
    if isinstance(value, Stream):
        return list(value.ids), dict(value.fields), value.last, value.max_deleted, value.added_count
    return dict(value) if isinstance(value, dict) else value


def test_switches_refuse_what_they_should() -> None:
    """Full memory, read-only and loading refuse what a real server refuses then, inside transactions too."""
    model, session = RedisModel(lambda: 1), Session()
    model.oom = True
    assert refusal(model, session, b"SET", b"a", b"1").startswith("OOM ")
    assert model.execute(session, [b"DEL", b"a"]) == 0
    model.execute(session, [b"MULTI"])
    assert refusal(model, session, b"XADD", b"a", b"*", b"f", b"1").startswith("OOM ")
    assert refusal(model, session, b"EXEC").startswith("EXECABORT ")
    model.oom, model.readonly = False, True
    assert refusal(model, session, b"DEL", b"a").startswith("READONLY ")
    assert model.execute(session, [b"GET", b"a"]) is None
    model.readonly, model.loading = False, True
    assert refusal(model, session, b"GET", b"a").startswith("LOADING ")
    assert b"loading:1" in model.execute(session, [b"INFO", b"persistence"])


def refusal(model: RedisModel, session: Session, *command: bytes) -> str:
    """Return the text of the error that a command is answered with."""
    reply = model.execute(session, list(command))
    assert isinstance(reply, Failure), (command, reply)
    return reply.text


def test_half_of_a_packet_is_no_command() -> None:
    """Bytes cut anywhere give exactly the commands that are whole."""
    commands = [[b"MULTI"], [b"SET", b"a\r\nb", b""], [b"EXEC"]]
    data = pack(commands)
    ends = [len(pack(commands[:count])) for count in range(4)]
    for size in range(len(data) + 1):
        assert decode(data[:size]) == commands[: max(count for count in range(4) if ends[count] <= size)]
