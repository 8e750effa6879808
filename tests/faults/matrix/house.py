"""A venue of the matrix: its own Redis, several engines on one data folder, a machine beside it that never stops."""

import itertools
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.ingest import Machine
from shared.streams import Entry, Streams
from tests.integration.engine_process import EngineProcess, until
from tests.integration.engine_scene import MARKET, Scene
from tests.store_servers import OwnRedis

PAGE = 1_000
SEQ_MAX = 2**53


class PersisterProcess(EngineProcess):
    """A `python -m persister` on the data folder of a house."""

    module = "persister"


class House(Scene):
    """
    A scene whose Redis may be killed, cut and copied, with as many engines as a test wants.

    `proven` compares from where the last comparison ended, with a machine that has read the log once: what was trimmed
    or cut since then does not matter, and what was there once must still be so.
    """

    def __init__(self, database_url: str, folder: Path) -> None:
        self.folder = folder
        self.sockets = Path(tempfile.mkdtemp(prefix="tidemark-", dir="/tmp"))  # a socket's path may not be long
        self.redis = OwnRedis(self.sockets)
        self.redis.start()
        super().__init__(self.redis.url, database_url, folder)
        self.database_url = database_url
        self.engines = [self.engine]
        self.persisters: list[PersisterProcess] = []
        self.twin = Machine()
        self.compared: tuple[int, int] = (0, 0)  # the newest events entry that was compared
        self.answered_count: dict[bytes, int] = {}
        self.chance = random.Random(5)

    def found(self) -> None:
        """Start the engine and wait until it leads; the producer talks over a connection of its own."""
        super().found()
        self.producer.streams = Streams(self.redis.url)

    # --- engines ------------------------------------------------------------------------------------------------------

    def engine_make(self, redis_url: str = "", database_url: str = "") -> EngineProcess:
        """Return one more engine of this venue, not started yet."""
        engine = EngineProcess(
            redis_url or self.redis.url, database_url or self.database_url, self.engine.data_dir
        )  # fmt: skip
        engine.log = engine.data_dir / f"engine{len(self.engines) + 1}.log"
        # Every second engine goes the plain way, unless one way is asked for: those beside each other must agree.
        engine.environment.setdefault("TIDEMARK_WIRE", ("fast", "plain")[len(self.engines) % 2])
        self.engines.append(engine)
        return engine

    def engine_more(self) -> EngineProcess:
        """Return one more engine, started and standing by."""
        engine = self.engine_make().start()
        until(lambda: self.role(engine) == "standby", "standing by", 30.0)
        return engine

    def persister_make(self, **environment: str) -> PersisterProcess:
        """Return one more persister of this venue, not started yet; it trims nothing unless it is told to."""
        persister = PersisterProcess(self.redis.url, self.database_url, self.engine.data_dir)
        persister.environment |= {"TIDEMARK_TRIM": "off", **environment}
        persister.log = persister.data_dir / f"persister{len(self.persisters) + 1}.log"
        self.persisters.append(persister)
        return persister

    def beats(self) -> list[dict[str, Any]]:
        """Return the last heartbeat of every engine that shows life."""
        named = self.streams.heartbeats_read(self.keys)
        return [beat for name, beat in named.items() if name.split(":")[0] == "engine"]

    def role(self, engine: EngineProcess) -> str:
        """Return what an engine last said it is, "" before it has."""
        assert engine.process is not None
        return next((str(beat["role"]) for beat in self.beats() if beat["pid"] == engine.process.pid), "")

    def leader(self) -> EngineProcess:
        """Return the engine that the leader's heartbeat names, once there is one that lives."""
        living = {engine.process.pid: engine for engine in self.engines if self.lives(engine) and engine.process}

        def leading() -> EngineProcess | None:
            pids = [beat["pid"] for beat in self.beats() if beat["role"] == "leader"]
            return next((living[pid] for pid in pids if pid in living), None)

        found: EngineProcess = until(leading, "a leader", 30.0)
        return found

    @staticmethod
    def lives(engine: EngineProcess) -> bool:
        """Return whether a process runs."""
        return engine.process is not None and engine.process.poll() is None

    def facts(self, event: str) -> list[dict[str, Any]]:
        """Return the facts of this name of all engines."""
        return [fact for engine in self.engines for fact in engine.facts(event)]

    def unharmed(self) -> None:
        """Assert that no engine stopped for a fault of its own, refused or met another hash than its own."""
        for event in ("stopped", "refused", "cannot_run", "checkpoint_mismatch"):
            assert not self.facts(event), event

    # --- load and truth -----------------------------------------------------------------------------------------------

    @contextmanager
    def load(self) -> Iterator[None]:
        """Trade while the body runs; a Redis that is away is tried again."""
        over = threading.Event()
        producing = threading.Thread(target=self.produce, args=(over,))
        producing.start()
        try:
            yield
        finally:
            over.set()
            producing.join()

    def produce(self, over: threading.Event) -> None:
        """Trade until told that it is over."""
        for number in itertools.count():
            if over.is_set():
                return
            if number % 20 == 19:
                self.producer.tick()
            self.trade_some(1, self.chance)
            time.sleep(0.002)

    def entries_new(self) -> list[Entry]:
        """Return the log's entries that the twin has not read."""
        return self.streams.range_log(self.keys, self.twin.seq + 1, SEQ_MAX, 1_000_000)

    def proven(self) -> None:
        """Assert that the events since the last comparison are the twin's, and that every answer was given once."""
        outputs: list[Any] = []
        entries = self.entries_new()
        for first in range(0, len(entries), PAGE):
            self.twin.load(entries[first : first + PAGE])
            while (step := self.twin.step()) is not None:
                outputs.extend(step.outputs)
        if outputs:
            last = (outputs[-1].seq, outputs[-1].chunk)
            until(lambda: self.streams.events_tip(self.keys) >= last, "publishing", 20.0)
            after = (self.compared[0], self.compared[1] + 1)
            events = self.streams.range_events(self.keys, after, last, 1_000_000)
            assert [tuple(entry) for entry in events] == [tuple(output) for output in outputs]
            self.compared = last
            said = b"".join(entry.data for entry in events)
            self.fills_count += said.count(b'"e":"fill"')
            for entry in events:
                self.answers_count(entry.data)
        for seq, request_id in self.producer.acknowledged.items():
            if seq <= self.twin.seq:
                assert self.answered_count.get(request_id) == 1, (seq, request_id)
        assert self.twin.invariants_broken() == []

    def answers_count(self, data: bytes) -> None:
        """Count the answers in one entry of the events."""
        for part in data.split(b'"e":"order_response"')[1:]:
            request_id = part.split(b'"request_id":"', 1)[1][:32]
            self.answered_count[request_id] = self.answered_count.get(request_id, 0) + 1

    def trade_and_prove(self, count: int = 20) -> None:
        """Trade on, and compare everything since the last time."""
        until(self.producer.tick, "producers may append", 20.0)
        assert self.producer.tick()
        self.trade_some(count, self.chance)
        self.proven()

    def quote(self, price: str) -> int:
        """Append one quote of the market."""
        return self.producer.quote(MARKET, price, str(float(price) + 0.1))

    # --- what lies on the disk ----------------------------------------------------------------------------------------

    def redis_copy(self) -> Path:
        """Return a copy of the stopped Redis's data, as another server's folder."""
        folder = Path(tempfile.mkdtemp(prefix="tidemark-", dir="/tmp"))
        shutil.copytree(self.sockets / "redis", folder / "redis", ignore=shutil.ignore_patterns("lock"))
        return folder

    def end(self) -> None:
        """Kill everything."""
        for process in (*self.engines, *self.persisters):
            if process.process is not None:
                process.process.send_signal(signal.SIGCONT)
                process.end(signal.SIGKILL)
        self.streams.close()
        self.producer.streams.close()
        self.redis.kill()
        shutil.rmtree(self.sockets, ignore_errors=True)


def aof_path(folder: Path) -> Path:
    """Return the file that a server's newest commands are in."""
    return max((folder / "redis" / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[2]))


def stopped_for(engine: EngineProcess, seconds: float) -> None:
    """Stop an engine in its tracks for a time."""
    assert engine.process is not None
    engine.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    engine.process.send_signal(signal.SIGCONT)
