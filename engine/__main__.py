"""
One engine process: find the venue, find the start, run the loop; every way it can end has its exit code.

0 stopped when asked; 1 Redis names another venue now; 78 refused or impossible to start: a restart does not help,
somebody has to look; 70 a fault of ours (two derivations differ): it stopped before it could do harm.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from engine.founding import Founder, FoundingImpossible
from engine.leadership import Leadership, who_random
from engine.publish import Divergence, Publisher
from engine.recovery import Recovery, RulesUnknown, Start
from engine.rows import RowStore
from engine.runner import Parts, Runner
from engine.snapshots import CheckpointMismatch, CopyBuffer, Snapshots, WriterProcess
from engine.views import MarketViews
from engine.witness import WAY_OUT, Memory, VenueOther, witness_check
from shared import clock, genesis
from shared.database import Database, DatabaseError
from shared.logs import logger
from shared.refusal import EXIT_REFUSED, Refusal, RefusalStands, refusal_file_read, refusal_file_write
from shared.settings import Settings, settings_read
from shared.streams import Keys, Streams, StreamsError

EXIT_FAULT = 70
EXIT_AGAIN = 1
DATABASE_TIMEOUT_S = 2.0
ENGINE_VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent


class ProcessClock:
    """The real times; a sleep ends early when the process is asked to stop."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def now_us(self) -> int:
        """Return the wall clock in microseconds."""
        return clock.now_us()

    def monotonic_s(self) -> float:
        """Return seconds that never step back."""
        return clock.monotonic_s()

    def sleep_s(self, seconds: float) -> None:
        """Sleep; raises SystemExit when the process was asked to stop while it waits."""
        if self.stop.wait(seconds):
            raise SystemExit(0)


class Engine:
    """The wiring of one process."""

    def __init__(self, settings: Settings, log: Any) -> None:
        self.settings = settings
        self.log = log
        self.clock = ProcessClock()
        self.streams = Streams(settings.redis_url)
        self.folder = settings.data_dir / "snapshots"
        self.venue = ""
        self.runner: Runner | None = None

    def store(self) -> RowStore:
        """Return the rows of Postgres; every call has a bounded time, whatever hangs."""
        return RowStore(lambda: Database.connect(self.settings.database_url), self.venue, DATABASE_TIMEOUT_S)

    def stop(self) -> None:
        """Ask the loop, or whatever waits, to end."""
        self.clock.stop.set()
        if self.runner is not None:
            self.runner.stopping = True

    def run(self) -> None:
        """Find venue and start, then turn until asked to stop."""
        reason = refusal_file_read(self.settings.data_dir)
        if reason is not None:
            raise RefusalStands(reason, "the data folder")
        founder = Founder(self.streams, self.store(), self.folder, self.genesis, self.clock, self.log)
        found = founder.find()
        self.venue = found.venue
        keys = Keys(self.venue)
        leadership = Leadership(self.streams, keys, who_random(), self.clock.monotonic_s(), found.founded)
        recovery = Recovery(found.venue, self.folder, self.store(), self.machine_restore, self.log)
        start = recovery.start(lambda memories: self.witnesses_ask(leadership, memories))
        self.runner = self.runner_build(start, leadership)
        self.runner.parts.snapshots.postgres = recovery.look()
        if self.clock.stop.is_set():
            return
        try:
            self.runner.run()
        finally:
            self.runner.parts.snapshots.port.close()

    def witnesses_ask(self, leadership: Leadership, memories: list[Memory]) -> None:
        """
        Check the snapshot's witnesses before its state is restored, so that a new Redis can be named sooner.

        The loop checks everything again; a Redis that is away now is waited for there.
        """
        try:
            run_id = self.streams.server_info()["run_id"]
            leadership.look(self.clock.monotonic_s())
            witness_check(self.streams, leadership.keys, self.venue, memories)
            leadership.witnessed(run_id, self.clock.monotonic_s())
        except StreamsError as error:
            self.log.warning("redis_away", error=f"{type(error).__name__}: {error}")

    def genesis(self, venue: str) -> dict[str, Any]:
        """Return the first configuration: the default markets that the settings name."""
        named = self.settings.markets
        markets = [market for market in genesis.MARKETS_DEFAULT if market["market"] in named]
        unknown = set(named) - {market["market"] for market in markets}
        if unknown:
            raise FoundingImpossible(f"TIDEMARK_MARKETS names {', '.join(sorted(unknown))}, of which nothing is known")
        return genesis.default(venue, markets)

    def machine_restore(self, content: dict[str, Any] | None) -> Any:
        """
        Return the machine of a document's content, or of the empty state; raises DocumentUnreadable.

        Imported here: Numba takes half a second, and the witnesses of a new Redis are asked before it.
        """
        from engine import core, ingest

        if not core.compiled():
            self.log.warning("compiling", text="this build's kernels are not in the cache: a minute or two, once")
        return ingest.machine_restore(content)

    def runner_build(self, start: Start, leadership: Leadership) -> Runner:
        """Return the runner from its start."""
        keys, now_s = leadership.keys, self.clock.monotonic_s()
        buffer = CopyBuffer(start.machine.copy_size_max())
        port = WriterProcess(buffer, self.venue, ROOT, self.log)
        snapshots = Snapshots(buffer, port, {"venue": self.venue, "engine_version": ENGINE_VERSION}, self.log)
        snapshots.hashes[start.machine.seq] = start.hashes
        parts = Parts(
            venue=self.venue,
            machine=start.machine,
            streams=self.streams,
            keys=keys,
            publisher=Publisher(self.streams, keys, start.last),
            leadership=leadership,
            snapshots=snapshots,
            views=MarketViews(self.streams, keys, now_s),
            clock=self.clock,
            log=self.log,
            refusal_look=lambda: refusal_file_read(self.settings.data_dir),
            memories=start.memories,
        )
        return Runner(parts, os.getpid())

    def refuse(self, refusal: Refusal) -> None:
        """Write the refusal down wherever it can be: file, key, row; then say what helps."""
        reason = {**refusal.reason, "process": "engine", "venue": self.venue, "time_us": self.clock.now_us()}
        path = refusal_file_write(self.settings.data_dir, reason)
        key = Keys(self.venue).refused
        try:
            self.streams.set_json(key, reason)
        except StreamsError as error:
            self.log.warning("refusal_without_key", error=str(error))
        try:
            self.store().refusal_write(reason)
        except (DatabaseError, OSError) as error:
            self.log.warning("refusal_without_row", error=str(error))
        self.log.error("refused", **refusal.reason, help=WAY_OUT.format(file=path, key=key))


def main() -> int:
    """Run one engine; return its exit code."""
    settings = settings_read()
    log = logger("engine", settings.log_level)
    engine = Engine(settings, log)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: engine.stop())
    try:
        engine.run()
    except Refusal as refusal:
        engine.refuse(refusal)
        return EXIT_REFUSED
    except VenueOther as error:
        log.error("venue_changed", reason=str(error))
        return EXIT_AGAIN
    except (RefusalStands, FoundingImpossible, RulesUnknown) as error:
        log.error("cannot_run", kind=type(error).__name__, reason=str(error))
        return EXIT_REFUSED
    except (Divergence, CheckpointMismatch) as error:
        log.error("stopped", kind=type(error).__name__, reason=str(error))
        return EXIT_FAULT
    finally:
        engine.streams.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
