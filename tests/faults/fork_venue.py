"""
A venue whose engines are forks of one warm process on a real Redis, each of which dies where it is told to.

The state machine, the shell, the streams and the signal are real. Time alone is not: it is a number that all forks
share and that passes only while an engine waits, so that a failure detector of half a second costs milliseconds.
"""

import json
import mmap
import os
import select
import signal
import struct
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import orjson
import redis

from engine.ingest import machine_restore
from engine.link_port import SocketPort
from engine.link_replies import WHOLE, replies_walk, state_of
from engine.log_reply import LogReply
from engine.recovery import Recovery
from shared.stream_client import OPTIONS
from shared.stream_guard import pack
from shared.stream_raw import RawEntries, replies_read, socket_of
from shared.streams import AppendStatus, Entry, Streams
from tests.engine_toy import VENUE, ToyClock, ToyStore, ToyVenue, turns
from tests.faults.core_history import core_kit
from tests.simulation.redis_clients import decode

MOMENTS = ("read", "before", "sent", "answered")
PATIENCE_S = 30.0
SEQ_MAX = 2**53
EXIT_LIVED = 3  # told to die, and nothing it did was the moment
EXIT_RAISED = 4


class Death(NamedTuple):
    """Where a process dies: at which moment of which exchange after it has read what it waits for."""

    moment: str  # one of MOMENTS; "read": before anything is done with what was read
    exchange: int  # 1: the next one


class SharedClock(ToyClock):
    """Time that all forks share; it passes when one of them waits."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8)

    @property
    def passed_s(self) -> float:
        """Return the seconds since the venue began."""
        return float(struct.unpack("d", self.memory[:8])[0])

    @passed_s.setter
    def passed_s(self, seconds: float) -> None:
        self.memory[:8] = struct.pack("d", seconds)


class RowsFolder(MutableMapping[int, Any]):
    """Documents by seq, each in a file: what Postgres would keep for the next process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __getitem__(self, seq: int) -> Any:
        try:
            return orjson.loads((self.folder / str(seq)).read_bytes())
        except FileNotFoundError:
            raise KeyError(seq) from None

    def __setitem__(self, seq: int, document: Any) -> None:
        (self.folder / "new").write_bytes(orjson.dumps(document))
        (self.folder / "new").replace(self.folder / str(seq))

    def __delitem__(self, seq: int) -> None:
        (self.folder / str(seq)).unlink()

    def __iter__(self) -> Iterator[int]:
        return iter([int(path.name) for path in self.folder.iterdir() if path.name.isdigit()])

    def __len__(self) -> int:
        return len(list(iter(self)))


class FileLog:
    """Facts of all forks in one file, each line its own write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def info(self, event: str, **fields: Any) -> None:
        """Write one fact."""
        with self.path.open("ab", buffering=0) as file:
            file.write(orjson.dumps({"event": event, "pid": os.getpid(), **fields}, default=str) + b"\n")

    warning = error = info

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return every fact of this name."""
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        return [fact for line in lines if (fact := json.loads(line))["event"] == event]


class FatalConnection:
    """A connection on which its process dies at one exchange: before it, once it is sent, or once it is answered."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.death: Death | None = None
        self.words = b""  # only an exchange that holds these counts
        self.left = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def arm(self, death: Death, words: bytes = b"") -> None:
        """Die as told, counting from now."""
        self.death, self.words, self.left = death, words, death.exchange

    def send_packed_command(self, parts: Any, check_health: bool = True) -> None:
        """Send, or die before or after."""
        self.exchange(b"".join(parts), lambda: self.connection.send_packed_command(parts, check_health=check_health))

    def exchange(self, data: bytes, send: Callable[[], None]) -> None:
        """Send what one exchange asks, or die before or after."""
        counted = self.death is not None and self.words in data
        self.left -= counted
        due = counted and self.left == 0
        if due and self.death is not None and self.death.moment == "before":
            die()
        send()
        if due and self.death is not None and self.death.moment == "sent":
            die()

    def read_response(self, **options: Any) -> Any:
        """Read one reply, or die having read it."""
        reply = self.connection.read_response(**options)
        self.answered()
        return reply

    def answered(self) -> None:
        """Die when an answer was the moment."""
        if self.death is not None and self.left <= 0 and self.death.moment == "answered":
            die()


class ForkPort:
    """
    An engine's link on which its process dies as on its streams' connection; what is sent at once is one exchange.

    Each exchange is answered whole before anything is handed on; the log is seen no further than the streams see it.
    """

    def __init__(self, streams: "ForkStreams", log_key: bytes) -> None:
        self.streams = streams
        self.log_key = log_key
        pool = redis.ConnectionPool.from_url(streams.url, socket_timeout=PATIENCE_S, **OPTIONS)
        connection = pool.make_connection()
        connection.connect()
        self.inner = SocketPort(connection, socket_of(connection))
        self.answers = b""

    def send(self, data: bytes) -> None:
        """Do one exchange to its end; a read of the log that gives nothing takes its time."""
        commands, block_ms, log_at = [], 0, -1
        for command in decode(bytes(data)):
            if command[0] == b"XREAD" and command[-2] == self.log_key:
                block_ms, log_at = int(command[4]) if command[3] == b"BLOCK" else 0, len(commands)
                after = int(command[-1].partition(b"-")[2])
                count = min(int(command[2]), self.streams.horizon - after)
                last = command[-1] if count > 0 else b"%d-%d" % (SEQ_MAX, SEQ_MAX)
                command = [b"XREAD", b"COUNT", b"%d" % max(count, 1), b"STREAMS", self.log_key, last]
            commands.append(command)
        text = pack(commands)
        self.streams.fatal.exchange(text, lambda: self.inner.send(text))
        answers = self.whole(len(commands))
        if log_at >= 0:
            reply = replies_read(answers, 0, log_at + 1)[0][-1]
            rows = reply[0][1] if reply else []
            self.streams.seen([Entry(int(row[0].partition(b"-")[2]), []) for row in rows], block_ms)
        self.answers += answers

    def whole(self, count: int) -> bytes:
        """Return so many replies."""
        room, got, state = bytearray(1 << 16), 0, state_of(0, count)
        while replies_walk(np.frombuffer(room, np.uint8), got, state) != WHOLE:
            if len(room) - got < 1 << 15:
                room = room + bytes(len(room))
            got += self.inner.receive(memoryview(room)[got:], PATIENCE_S)
        return bytes(room[:got])

    def receive(self, view: memoryview, _timeout_s: float) -> int:
        """Hand on what was answered, or die having been answered."""
        self.streams.fatal.answered()
        if not self.answers:
            raise TimeoutError("nothing was asked that is not answered")
        count = min(len(view), len(self.answers))
        view[:count], self.answers = self.answers[:count], self.answers[count:]
        return count

    def close(self) -> None:
        """Close the connection."""
        self.inner.close()


class ForkStreams(Streams):
    """The streams of one fork: they wait by the shared clock, and see no further than they are let."""

    def __init__(self, url: str, clock: SharedClock) -> None:
        pool = redis.ConnectionPool.from_url(url, socket_timeout=PATIENCE_S, **OPTIONS)
        self.url = url
        self.fatal = FatalConnection(pool.make_connection())
        super().__init__(url, connect=lambda: self.fatal)
        self.clock = clock
        self.horizon = SEQ_MAX  # nothing beyond is read
        self.death: tuple[int, Death] | None = None  # from the reading of this entry on

    def read_log(self, keys: Any, after_seq: int, count: int, block_ms: int | None = None) -> list[Entry]:  # type: ignore[override]
        """Return the entries up to the horizon; time passes when there is none."""
        count = min(count, self.horizon - after_seq)
        return self.seen(super().read_log(keys, after_seq, count) if count > 0 else [], block_ms)

    def read_log_raw(self, keys: Any, after_seq: int, count: int, block_ms: int | None = None) -> Any:  # type: ignore[override]
        """Return the same as the answer's bytes, as an engine of today reads them."""
        count = min(count, self.horizon - after_seq)
        found = super().read_log_raw(keys, after_seq, count) if count > 0 else []
        self.seen(LogReply(*found) if isinstance(found, RawEntries) else found, block_ms)
        return found

    def seen(self, entries: Any, block_ms: int | None) -> Any:
        """Return what was read, unless this process was to die of reading it."""
        if not len(entries):
            self.clock.sleep_s((block_ms or 0) / 1_000)
        elif self.death is not None and entries[-1].seq >= self.death[0]:
            death, self.death = self.death[1], None
            if death.moment == "read":
                die()
            self.fatal.arm(death)
        return entries


def die() -> NoReturn:
    """End this process as a power switch would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class ForkVenue(ToyVenue):
    """A venue of the real core on a real Redis; what outlives an engine lies in Redis and in files."""

    def __init__(self, folder: Path, url: str, wire: str = "fast") -> None:
        super().__init__(folder, core_kit("fast"), "fast")
        self.wires = ("fast", "plain") if wire == "mixed" else (wire,)  # of the engines, one after the other
        self.kit = self.kit._replace(restore=lambda content: machine_restore(content, self.wire))
        self.url = url
        self.clock = SharedClock()
        self.store = ToyStore()
        self.store.rows = RowsFolder(folder / "rows")  # type: ignore[assignment]
        self.log = FileLog(folder / "facts.jsonl")  # type: ignore[assignment]
        self.seq_max: int | None = None  # start from no newer snapshot
        self.streams = Streams(url)
        [genesis] = self.server.log
        assert self.streams.venue_set(VENUE)
        assert self.streams.genesis(self.keys, genesis.fields)

    def append(self, fields: list[tuple[bytes, bytes]]) -> int:
        """Append one entry as a producer does; return its seq."""
        appended = self.streams.append(self.keys, [(b"ts", b"%d" % self.clock.now_us()), *fields])
        assert appended.status is AppendStatus.ACCEPTED, appended
        return appended.seq

    def streams_make(self, fault: Callable[[str, str], None] | None) -> ForkStreams:
        """Return the streams of one fork."""
        return ForkStreams(self.url, self.clock)

    def port_maker(self, streams: Any) -> Callable[[], Any]:
        """Return what connects the link of one fork."""
        return lambda: ForkPort(streams, self.keys.log.encode())

    def recovery_make(self) -> Recovery:
        """Return what finds the start of one fork."""
        recovery = super().recovery_make()
        recovery.seq_max = self.seq_max
        return recovery


class Link:
    """One end of a pair of pipes; JSON lines go both ways."""

    def __init__(self, read_end: int, write_end: int) -> None:
        self.reader = os.fdopen(read_end, "rb")
        self.writer = os.fdopen(write_end, "wb", buffering=0)

    def say(self, words: dict[str, Any]) -> None:
        """Say something to the other end."""
        self.writer.write(orjson.dumps(words) + b"\n")

    def hear(self, patience_s: float | None = None) -> dict[str, Any]:
        """Return what the other end says next; {} when it has ended."""
        assert select.select([self.reader], [], [], patience_s)[0], "nothing was said"
        line = self.reader.readline()
        return dict(orjson.loads(line)) if line else {}

    def close(self) -> None:
        """Close both pipes."""
        self.reader.close()
        self.writer.close()


class Fork:
    """One engine process as the one that forked it sees it."""

    def __init__(self, venue: ForkVenue, lag: int | None, at_lead: Death | None = None) -> None:
        """Fork; with a lag the engine starts below the log's end and holds there until it is let on."""
        venue.wire = venue.wires[venue.engines_count % len(venue.wires)]
        venue.engines_count += 1
        down, up = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(down[1])
            os.close(up[0])
            live(venue, Link(down[0], up[1]), lag, at_lead)
        os.close(down[0])
        os.close(up[1])
        self.link = Link(up[0], down[1])

    def hear(self) -> dict[str, Any]:
        """Return what the engine says next; fails when it ended instead."""
        words = self.link.hear(PATIENCE_S)
        assert words, f"the engine ended: {os.waitpid(self.pid, 0)[1]}"
        return words

    def reap(self) -> int:
        """Return the signal that ended the engine, 0 when none did."""
        _, status = os.waitpid(self.pid, 0)
        self.link.close()
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def reap_asked(self) -> None:
        """Ask the engine to end, and wait until it has."""
        self.link.close()
        os.waitpid(self.pid, 0)


def live(venue: ForkVenue, link: Link, lag: int | None, at_lead: Death | None) -> NoReturn:
    """Be an engine: recover, hold if told, lead, say so, and die as told."""
    code = EXIT_LIVED
    try:
        tip = venue.streams.log_tip(venue.keys)
        venue.streams.close()  # the connection is the other process's; this only forgets it
        if lag is not None:
            venue.seq_max = max(1, tip - lag)
        engine = venue.engine()
        streams: ForkStreams = engine.parts.streams
        parts = engine.parts
        if lag is not None:
            streams.horizon = max(1, tip - lag)
            turns(engine, lambda: parts.machine.seq >= streams.horizon)
            link.say({"held": parts.machine.seq})
            link.hear()
            streams.horizon = SEQ_MAX
        if at_lead is not None:
            streams.fatal.arm(at_lead, b"\r\nlead\r\n")
        turns(engine, lambda: parts.leadership.leading and not parts.publisher.kept)
        link.say({"ready": parts.machine.seq, "hashes": parts.machine.hashes()})
        while "live_s" in (told := link.hear()):
            end_s = venue.clock.monotonic_s() + told["live_s"]
            turns(engine, lambda end_s=end_s: venue.clock.monotonic_s() >= end_s)
            link.say({"lived": parts.machine.seq})
        if not told:
            os._exit(0)
        streams.death = (int(told["seq"]), Death(*told["death"]))
        for _ in range(2_000):
            engine.turn()
    except BaseException:
        code = EXIT_RAISED
        venue.log.error("fork_raised", text=traceback.format_exc())
    finally:
        os._exit(code)
