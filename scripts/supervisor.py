"""
The small supervisor of one venue: order and readiness of its parts, restarts, a clean stop, no orphans.

Slow imports have no place here: the second start of a whole venue takes three seconds at most.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path

from scripts import embedded, engines, kernels, plan, privileges
from scripts.console import Console, LogWatcher
from scripts.processes import LASTING_ADVICE, Child, log_cut
from scripts.ready import (
    EMAIL_OF_THE_LINK,
    Ready,
    http_call,
    ready_write,
    redis_call,
    sign_in_link,
    targets_write,
    trading_possible,
)
from scripts.servers import SERVER_PATIENCE_S, Servers, together

STOP_FIRST = ("gateway", "persister")  # then the engines
STOP_LAST = ("poller", "simulator", "redis", "postgres")
ENGINES_MAX = 3
LOOK_S = 0.25
TARGETS_FILE = "metrics-targets.json"
MIGRATED_STAMP = "tidemark.migrated"
WAITING_SAID_S = 10.0
TRADING_PATIENCE_S = 4.0


class VenueError(Exception):
    """The venue cannot run; the text is the one line that the user needs."""


class Supervisor:
    """Everything that runs on one data folder."""

    def __init__(self, options: plan.Options, held_patience_s: float = SERVER_PATIENCE_S) -> None:
        self.options = options
        self.held_patience_s = held_patience_s  # for a server of an earlier start that still holds the folder
        self.data_dir = options.data_dir
        self.console = Console()
        self.logs = self.data_dir / "logs"
        self.watcher = LogWatcher(self.logs, self.console)
        self.children: dict[str, Child] = {}
        self.keepers: list[asyncio.Task[None]] = []
        self.ready = Ready(data_dir=str(self.data_dir), feed=options.feed_source, supervisor=os.getpid())
        self.stop_asked = asyncio.Event()
        self.sockets: Path | None = None
        self.metrics_ports: set[int] = set()
        self.started_s = time.monotonic()

    # ---- the whole life ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start everything, watch it until somebody asks to stop, stop everything."""
        loop = asyncio.get_running_loop()
        for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(kind, self.stop_request)
        loop.add_signal_handler(signal.SIGCHLD, self.reap)
        folders_prepare(self.data_dir)
        start = asyncio.ensure_future(self.start())
        watch = asyncio.ensure_future(self.watch())
        stop = asyncio.ensure_future(self.stop_asked.wait())
        try:
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()  # an error of the start ends the venue
                await stop
        finally:
            for task in (start, stop):
                task.cancel()
            await asyncio.gather(start, return_exceptions=True)
            await self.stop()
            watch.cancel()

    def stop_request(self) -> None:
        """Begin the clean stop; asked a second time, end everything at once."""
        if self.stop_asked.is_set():
            for child in self.children.values():
                if child.pid and not child.server:
                    os.kill(child.pid, signal.SIGKILL)
        self.stop_asked.set()

    def reap(self) -> None:
        """Notice children that have ended."""
        for child in self.children.values():
            child.reap()

    async def watch(self) -> None:
        """Pass on the important lines of the logs; also a safety net for a lost SIGCHLD."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.reap()
            self.watcher.look([name for name in self.children if name not in ("redis", "postgres")])
            for child in self.children.values():
                log_cut(child.log)

    # ---- starting ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the parts in their order, as much of it at once as the order allows."""
        self.console.say(f"Tidemark: a paper venue for perpetual futures   (data: {plan.shown(self.data_dir)})")
        secret_make(self.data_dir / "secret")
        self.sockets = embedded.socket_folder(self.data_dir)
        self.ready.url = self.options.url
        self.ready.redis_url = os.environ.get("REDIS_URL") or embedded.redis_url(self.sockets)
        self.ready.database_url = os.environ.get("DATABASE_URL") or embedded.database_url(self.sockets)
        if kernels.compiled() and self.migrated():
            # Nothing is new: the engine, the slowest to import, waits for the servers better than we do.
            self.process_start("engine", "engine")
        compiled = asyncio.ensure_future(kernels.compile_once(self.console, self.logs, self.children))
        servers = Servers(self.data_dir, self.sockets, self.console, self.watcher, self.held_patience_s)
        try:
            await together(servers.start(self.server_start), self.feed_start())
            if not self.migrated():
                await self.migrate()
            for name in ("poller", "persister"):
                self.process_start(name, name)
            self.ready.metrics["gateway"] = f"{self.options.url}/metrics"
            self.child_start("gateway", plan.command("gateway"))
            await compiled
        finally:
            compiled.cancel()
        for name in engines.names(self.options.engines):
            if name not in self.children:
                self.process_start(name, "engine")
        await self.open_doors()

    def server_start(self, server: embedded.Server) -> Child:
        """Start one of the servers; raises EmbeddedError while an earlier one holds its files."""
        return self.child_start(server.name, server.command, server=server)

    async def feed_start(self) -> None:
        """Start the local Backpack, unless the live one is asked for."""
        options = self.options
        if not options.simulator:
            self.console.part("feed", "LIVE quotes of Backpack; money and fills are paper")
            return
        port_file = self.data_dir / "simulator.port"
        for stale in (port_file, self.data_dir / plan.GO_FILE):
            stale.unlink(missing_ok=True)
        child = self.child_start("simulator", plan.simulator_command(options, port_file, port=0))
        deadline = time.monotonic() + SERVER_PATIENCE_S
        while not (port_file.exists() and port_file.read_text().strip()):
            if time.monotonic() > deadline or child.failures >= 5:
                raise VenueError(f"the simulator does not start: {self.watcher.last_words('simulator')}")
            await asyncio.sleep(0.02)
        port = int(port_file.read_text())
        options.feed_url = f"ws://127.0.0.1:{port}"
        child.command = plan.simulator_command(options, port_file, port)  # the same place after a restart
        self.console.part("feed", options.feed_words)

    def migrated(self) -> bool:
        """Return whether our own database is known to have the tables of this source; of others nothing is known."""
        stamp = embedded.postgres_data(self.data_dir) / MIGRATED_STAMP
        ours = not os.environ.get("DATABASE_URL")
        return ours and stamp.exists() and stamp.read_text() == plan.migrations_digest()

    async def migrate(self) -> None:
        """Bring the database's tables up to date, in a process of its own."""
        environment = plan.environment(self.options, self.ready)
        child = Child("migrate", plan.command("scripts.migrate"), self.logs / "migrate.log", environment)
        self.children["migrate"] = child
        child.stopping = True  # once, not for ever
        child.start()
        await child.ended.wait()
        assert child.process is not None
        del self.children["migrate"]
        if child.process.returncode:
            raise VenueError(f"the migrations failed: {self.watcher.last_words('migrate')}")
        if not os.environ.get("DATABASE_URL"):
            (embedded.postgres_data(self.data_dir) / MIGRATED_STAMP).write_text(plan.migrations_digest())

    def process_start(self, name: str, module: str) -> Child:
        """Start one of our own processes that shows its metrics on a port of its own."""
        port = plan.port_any(self.metrics_ports)
        self.metrics_ports.add(port)
        self.ready.metrics[name] = f"http://{plan.HOST}:{port}/metrics"
        return self.child_start(name, plan.command_metered(module, port))

    def child_start(self, name: str, command: list[str], server: embedded.Server | None = None) -> Child:
        """Start one part of the venue and keep it running from now on."""
        environment = None if server else plan.environment(self.options, self.ready)
        child = Child(name, command, self.logs / f"{name}.log", environment, server)
        self.watcher.skip(name)
        child.start()
        self.children[name] = child
        self.keepers.append(asyncio.ensure_future(child.keep(self.announce, self.lost)))
        self.announce(child)
        return child

    def announce(self, child: Child) -> None:
        """Write the ready file anew: a process has started."""
        self.ready.pids[child.name] = child.pid
        self.ready_save()
        if child.failures:
            self.console.part(child.name, "started again")

    def lost(self, child: Child, delay_s: float) -> None:
        """Say that a process ended by itself."""
        assert child.process is not None
        code = child.process.returncode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self.watcher.look([child.name])
        self.console.part(child.name, f"{how}; again in {delay_s:.1f} s")
        for words in (self.watcher.last_words(child.name) if code > 0 else "", LASTING_ADVICE.get(code, "")):
            if words:
                self.console.part("", words)

    def ready_save(self) -> None:
        """Replace the ready file here and where the user wants it."""
        ready_write(self.data_dir / "ready.json", self.ready)
        targets_write(self.data_dir / TARGETS_FILE, self.ready)
        if self.options.ready_file:
            ready_write(self.options.ready_file, self.ready)

    async def open_doors(self) -> None:
        """Wait until an instruction would be taken, then print the link that signs in."""
        waiting_s = time.monotonic()
        while True:
            status, body = await http_call(f"{self.options.url}/ready")
            if status == 200:
                break
            if self.watcher.early and time.monotonic() - waiting_s > WAITING_SAID_S:
                self.watcher.early = False
                missing = body.get("missing") if isinstance(body, dict) else None
                words = "; ".join(f"{name}: {why}" for name, why in (missing or {"gateway": "no answer"}).items())
                self.console.part("waiting", words)
            await asyncio.sleep(0.05)
        self.watcher.early = False
        venue = body.get("venue") if isinstance(body, dict) else None
        if not venue and self.sockets and not os.environ.get("REDIS_URL"):
            venue = await redis_call(self.sockets / "redis.sock", "GET", "tidemark:venue")
        self.ready.venue = venue
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(trading_possible(self.options.url), TRADING_PATIENCE_S)
        if not plan.mail_leaves():
            self.ready.sign_in_url = await sign_in_link(self.options.url, self.data_dir)
        self.ready_save()
        if venue:
            count = self.options.engines
            self.keepers.append(asyncio.ensure_future(engines.wanted_keep(self.ready.redis_url, venue, count)))
        if self.ready.sign_in_url and plan.development():
            self.keepers.append(asyncio.ensure_future(asyncio.to_thread(operator_make, self.ready.database_url)))
        for line in plan.welcome(self.options, self.ready, time.monotonic() - self.started_s):
            self.console.say(line)

    # ---- stopping ----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop the parts in their order: nobody loses what it still needs."""
        self.console.progress_end()
        if self.children:
            self.console.say("\nStopping …")
        for child in self.children.values():
            child.stopping = True
        running = {name: child.pid for name, child in self.children.items() if name in engines.names(ENGINES_MAX)}
        leader_last = await engines.stop_order(self.ready.redis_url, self.ready.venue, running)
        order = (*STOP_FIRST, *leader_last, *STOP_LAST)
        for name in (*(name for name in self.children if name not in order), *order):
            if name in self.children:
                await self.children[name].stop()
        for keeper in self.keepers:
            keeper.cancel()
        for path in (self.data_dir / "ready.json", self.options.ready_file, self.data_dir / "simulator.port"):
            if path:
                path.unlink(missing_ok=True)
        for child in self.children.values():
            if child.server:
                embedded.lock_remove(child.server.lock_file)
        if self.sockets:
            shutil.rmtree(self.sockets, ignore_errors=True)
        if self.children:
            self.console.say("Stopped; the state is kept and the next start goes on from it.")


def operator_make(database_url: str) -> None:
    """Make whoever follows the console's link an operator; what helps where it fails is `tidemark user role`."""
    from scripts.roles import role_try  # imported here: a start must not wait for it

    role_try(database_url, EMAIL_OF_THE_LINK, "operator")


def folders_prepare(data_dir: Path) -> None:
    """Create the folders that everything else expects."""
    for folder in (data_dir, data_dir / "logs", data_dir / "mail"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)


def secret_make(path: Path) -> None:
    """Make the secret that signs the sessions, once, readable by nobody else."""
    if path.exists() and path.stat().st_size >= 32:
        return
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        target.write(secrets.token_hex(32) + "\n")
        target.flush()
        os.fsync(target.fileno())
    fresh.replace(path)


def venue_lock(data_dir: Path) -> int:
    """Return the descriptor that holds the data folder; raises VenueError when another venue runs on it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "lock"
    descriptor = embedded.lock_take(path)
    if descriptor is None:
        holder = embedded.lock_holder(path)
        raise VenueError(f"another venue ({holder}) runs on {plan.shown(data_dir)}; use --data DIR for a second one")
    embedded.lock_sign(descriptor, os.getpid())
    return descriptor


def main(options: plan.Options, held_patience_s: float = SERVER_PATIENCE_S) -> int:
    """Run a venue until it is asked to stop; returns the exit code."""
    try:
        lock = venue_lock(options.data_dir)
    except (VenueError, OSError) as error:
        print(f"tidemark: {error}", file=sys.stderr)
        return 1
    try:
        plan.port_choose(options)
        privileges.namespaces_work()  # tried before there is anything to fork from
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C, after everything has stopped
            asyncio.run(Supervisor(options, held_patience_s).run())
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, signal.SIG_IGN)
    except (VenueError, plan.PlanError, embedded.EmbeddedError, OSError) as error:
        print(f"tidemark: {error}", file=sys.stderr)
        return 1
    finally:
        (options.data_dir / "lock").unlink(missing_ok=True)
        os.close(lock)
    return 0
