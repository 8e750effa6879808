"""
What an engine is made of and in which order it begins; every way it can end has its exit code.

Whatever the process touches outside comes in by argument (Outside): `__main__.py` gives the real things, a simulation
gives others.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import orjson

from engine.border import BorderReached, border_wait, founded_under
from engine.founding import WAIT_S, Founder, FoundingImpossible, venue_random
from engine.leadership import Leadership, who_random
from engine.link_port import Port
from engine.log_source import LogSource
from engine.meters import EngineMeters, page_samples
from engine.ops import OpsView
from engine.parts import BLOCK_MS, Parts
from engine.publish import Divergence, Last, Publisher
from engine.recovery import BorderNeeded, Recovery, RulesUnknown, Start
from engine.rows import RowStore, database_call
from engine.runner import DrainedNothing, Runner
from engine.snapshots import CheckpointMismatch, CopyBuffer, Snapshots, WriterProcess
from engine.trimmed import BehindTrim, Trimmed, archive_seq
from engine.views import MarketViews
from engine.witness import Memory, VenueOther, witness_check
from shared import genesis
from shared.archive import ArchiveDamaged, archive_venues
from shared.database import DatabaseError
from shared.metrics import Sample
from shared.refusal import (
    EXIT_BORDER,
    EXIT_REFUSED,
    WAY_OUT,
    LogRestored,
    Refusal,
    RefusalStands,
    refusal_file_read,
    refusal_file_write,
)
from shared.rules import BUILD_VERSION, RULES_VERSION
from shared.settings import Settings
from shared.stream_aside import Aside
from shared.streams import Keys, StreamsError

EXIT_FAULT = 70
EXIT_AGAIN = 1
DATABASE_TIMEOUT_S = 2.0
AGAIN_FACTS: dict[type[Exception], str] = {
    VenueOther: "venue_changed",
    LogRestored: "log_restored",
    BehindTrim: "behind_trim",
    DrainedNothing: "drained_nothing",
}
ENGINE_VERSION = BUILD_VERSION


class Outside(NamedTuple):
    """What an engine touches besides its folders; the defaults are the real ones."""

    streams: Any
    connect: Callable[[], Awaitable[Any]]  # to Postgres
    clock: Any  # a runner's Clock whose `stop` is set to end every wait
    pid: int
    buffer: Callable[[int], Any] = CopyBuffer
    port: Callable[[Any, str, Any], Any] = WriterProcess
    caller: Callable[..., Any] = database_call
    token: Callable[[int], str] = secrets.token_hex  # names this start of the process
    name: Callable[[], str] = venue_random  # of a venue that is founded
    block_ms: int = BLOCK_MS
    settled: Callable[[], None] = lambda: None  # everything that lives as long as the process is there now
    link: Callable[[], Port] | None = None  # connects the engine's own link; None: it goes by `streams` alone


class Engine:
    """The wiring of one process."""

    def __init__(self, settings: Settings, outside: Outside, log: Any, drain: bool = False) -> None:
        self.settings = settings
        self.outside = outside
        self.drain = drain
        self.log = log
        self.clock = outside.clock
        self.streams = outside.streams
        self.aside = Aside(outside.streams) if outside.link is not None and settings.wire == "fast" else None
        self.folder = settings.data_dir / "snapshots"
        self.venue = ""
        self.restores = 0  # how often the log had been restored when this process began
        self.runner: Runner | None = None
        # Every answer is told at level debug: reading the outputs again costs what deriving them did.
        self.meters = EngineMeters(self.clock.now_us, log if settings.log_level == "debug" else None)
        self.metrics_port = 0  # where their page is served; 0: nowhere

    def samples(self) -> Iterator[Sample]:
        """Yield what this engine's page of metrics shows."""
        return page_samples(self.meters, self.runner)

    def store(self) -> RowStore:
        """Return the rows of Postgres; every call has a bounded time, whatever hangs."""
        return RowStore(self.outside.connect, self.venue, DATABASE_TIMEOUT_S, self.outside.caller)

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
        founder = Founder(
            self.streams,
            self.store(),
            self.folder,
            self.genesis,
            self.clock,
            self.log,
            self.outside.name,
            lambda: archive_venues(self.settings.archive_dir),
        )
        found = founder.find()
        self.venue = found.venue
        keys = Keys(self.venue)
        self.restores = self.restores_wait(keys)  # before anything is remembered
        who = who_random(self.outside.token)
        leadership = Leadership(self.aside or self.streams, keys, who, self.clock.monotonic_s(), found.founded)
        recovery = Recovery(found.venue, self.folder, self.store(), self.machine_restore, self.log)
        start = self.start_find(recovery, leadership)
        self.runner = self.runner_build(start, leadership)
        self.runner.parts.snapshots.postgres = recovery.look()
        if self.clock.stop.is_set():
            return
        try:
            self.outside.settled()
            self.runner.run()
        finally:
            self.runner.parts.snapshots.port.close()

    def restores_wait(self, keys: Keys) -> int:
        """Return how often the log was restored so far, waiting for a Redis that went away meanwhile."""
        while True:
            try:
                count: int = self.streams.restores(keys)
                return count
            except StreamsError as error:
                self.log.warning("redis_away", error=f"{type(error).__name__}: {error}")
                self.clock.sleep_s(WAIT_S)

    def start_find(self, recovery: Recovery, leadership: Leadership) -> Start:
        """Return the start; a build of newer rules than every snapshot's asks for their border and waits for it."""

        def start() -> Start:
            return recovery.start(lambda memories: self.witnesses_ask(recovery, leadership, memories))

        try:
            found = start()
            if found.machine.seq or founded_under(self.streams, leadership.keys) >= RULES_VERSION:
                return found
        except BorderNeeded as error:
            self.log.info("border_needed", reason=str(error))
        body = orjson.dumps({"who": leadership.who, "rules": RULES_VERSION})

        def lead_append() -> Any:
            fields = [(b"ts", b"%d" % self.clock.now_us()), (b"lead", body)]
            return self.streams.append_engine(leadership.keys, fields)

        return border_wait(recovery, start, lead_append, self.refusal_check, self.clock, self.log)

    def refusal_check(self) -> None:
        """Raise RefusalStands while a refusal is written down in the data folder or in Redis."""
        key = Keys(self.venue).refused
        reasons = (("the data folder", refusal_file_read(self.settings.data_dir)), (key, self.streams.get_json(key)))
        for place, reason in reasons:
            if reason is not None:
                raise RefusalStands(reason, place)

    def witnesses_ask(self, recovery: Recovery, leadership: Leadership, memories: list[Memory]) -> None:
        """
        Check the snapshot's witnesses before its state is restored, so that a new Redis can be named sooner.

        The loop checks everything again; a Redis that is away now is waited for there.
        """
        try:
            run_id = self.streams.server_info()["run_id"]
            leadership.look(self.clock.monotonic_s())
            source = self.source(leadership.keys)

            def archived(seq: int) -> bool:
                if source.archive_tip() >= seq:
                    return True
                told = recovery.look()
                if not told:
                    raise BehindTrim("the log begins behind the snapshot, and Postgres does not say why")
                return archive_seq(told) >= seq

            witness_check(self.streams, leadership.keys, self.venue, memories, archived)
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
            self.log.warning("compiling", text="this build's kernels are not in the cache: about a minute, once")
        return ingest.machine_restore(content, self.settings.wire)

    def source(self, keys: Keys) -> LogSource:
        """Return where the log is read from."""
        return LogSource(self.streams, keys, self.settings.archive_dir, self.settings.wire == "fast")

    def link_publisher(self, keys: Keys, last: Last) -> tuple[Any, Publisher]:
        """
        Return the engine's own link, None without one, and what publishes.

        Imported here, as in machine_restore: both are compiled code.
        """
        if self.outside.link is None or self.settings.wire == "plain":
            return None, Publisher(self.streams, keys, last)
        from engine.link import Link
        from engine.publish_fast import FastPublisher

        timeout_s = self.streams.timeout_s + self.outside.block_ms / 1_000
        link = Link(self.outside.link, timeout_s, self.streams.lost)
        publisher = FastPublisher(link, self.streams, keys, last)
        publisher.make_ready()
        return link, publisher

    def runner_build(self, start: Start, leadership: Leadership) -> Runner:
        """Return the runner from its start."""
        keys, now_s = leadership.keys, self.clock.monotonic_s()
        buffer = self.outside.buffer(start.machine.copy_size_max())
        port = self.outside.port(buffer, self.venue, self.log)
        snapshots = Snapshots(buffer, port, {"venue": self.venue, "engine_version": ENGINE_VERSION}, self.log)
        snapshots.hashes[start.machine.seq] = start.hashes
        snapshots.make_ready(start.machine)
        source = self.source(keys)
        link, publisher = self.link_publisher(keys, start.last)
        ops = OpsView(self.aside or self.streams, keys, leadership.who, snapshots, self.meters, self.log, now_s)
        ops.make_ready(start.machine)
        parts = Parts(
            venue=self.venue,
            machine=start.machine,
            streams=self.streams,
            source=source,
            keys=keys,
            publisher=publisher,
            leadership=leadership,
            snapshots=snapshots,
            trimmed=Trimmed(self.streams, keys, source, snapshots, self.clock),
            views=MarketViews(self.aside or self.streams, keys, now_s),
            ops=ops,
            clock=self.clock,
            log=self.log,
            build=ENGINE_VERSION,
            refusal_look=lambda: refusal_file_read(self.settings.data_dir),
            memories=start.memories,
            restores=self.restores,
            block_ms=self.outside.block_ms,
            link=link,
            aside=self.aside,
        )
        runner = Runner(parts, self.outside.pid, self.drain, self.meters)
        runner.metrics_port = self.metrics_port
        return runner

    def close(self) -> None:
        """Hang up everywhere."""
        if self.runner is not None:
            self.runner.way.close()
        for open_end in (self.aside, self.streams):
            if open_end is not None:
                open_end.close()

    def restored_meanwhile(self) -> bool:
        """Return whether the log was restored while this process slept: what it remembers is then no reason."""
        try:
            return self.streams.restores(Keys(self.venue)) != self.restores
        except StreamsError:
            return False

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


def engine_run(engine: Engine) -> int:
    """Run one engine to its end; return its exit code."""
    log = engine.log
    try:
        engine.run()
    except Refusal as refusal:
        if engine.restored_meanwhile():
            log.error("log_restored", reason=str(refusal))
            return EXIT_AGAIN
        engine.refuse(refusal)
        return EXIT_REFUSED
    except (VenueOther, LogRestored, BehindTrim, DrainedNothing) as error:
        log.error(AGAIN_FACTS[type(error)], reason=str(error))
        return EXIT_AGAIN
    except BorderReached as error:
        log.warning("border_reached", reason=str(error))
        return 0 if engine.drain else EXIT_BORDER
    except (RefusalStands, FoundingImpossible, RulesUnknown, ArchiveDamaged) as error:
        log.error("cannot_run", kind=type(error).__name__, reason=str(error))
        return EXIT_REFUSED
    except (Divergence, CheckpointMismatch) as error:
        log.error("stopped", kind=type(error).__name__, reason=str(error))
        return EXIT_FAULT
    finally:
        engine.close()
    return 0
