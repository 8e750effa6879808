"""One supervised child: start, log file, restart with back-off, stop; no child outlives its supervisor."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from scripts import embedded, privileges

LOG_BYTES_MAX = 8_000_000  # of a log that a process begins with
LOG_BYTES_WRITTEN_MAX = 32_000_000  # of one that it is writing
COPY_BYTES = 1 << 20
LOGS_KEPT = 3
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0
STABLE_S = 20.0  # so long without a stop, and the next restart is quick again
STOP_PATIENCE_S = 8.0
LASTING_DELAY_S = 30.0
# Exit codes that no restart cures, however long the process lived, and what a person can do: one line of the console.
LASTING_ADVICE = {
    2: "unusable settings: correct them, then start the venue again",
    64: "unusable settings or secret: correct them; its log says which",
    70: "what it derived differs: keep the data, see docs/recovery.md",
    78: "stop, then ./scripts/tidemark log restore --dry-run; see its log",
    79: "a newer build has taken over: start that build from now on",
}


class Child:
    """A process that runs until it is told to stop; when it dies by itself it is started again."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        environment: dict[str, str] | None = None,
        server: embedded.Server | None = None,
    ) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.environment = environment
        self.server = server
        self.process: subprocess.Popen[bytes] | None = None
        self.ended = asyncio.Event()
        self.stopping = False
        self.failures = 0
        self.started_s = 0.0

    @property
    def pid(self) -> int:
        """Return the process id; 0 when it does not run."""
        return self.process.pid if self.process and self.process.returncode is None else 0

    def start(self) -> None:
        """Start the process; its lines are appended to its log file, which outlives us both."""
        assert not self.pid, f"{self.name} runs already"
        lock: int | None = None
        if self.server:
            path = self.server.lock_file
            lock = embedded.lock_take(path)
            if lock is None:
                holder = embedded.lock_holder(path)
                raise embedded.EmbeddedError(f"an earlier {self.name} server ({holder}) still holds {path.parent}")
        try:
            self.process = self.process_start(lock)
            if lock is not None:
                embedded.lock_sign(lock, self.process.pid)
        finally:
            if lock is not None:
                os.close(lock)  # the server's copy holds it from here on

    def process_start(self, lock: int | None) -> subprocess.Popen[bytes]:
        """Return the new process, which inherits the log and the lock."""
        log_rotate(self.log)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.ended.clear()
            self.started_s = time.monotonic()
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=self.environment,
                cwd="/" if self.server else None,
                start_new_session=True,  # the terminal's Ctrl-C is for the supervisor, which keeps the order
                pass_fds=() if lock is None else (lock,),
                preexec_fn=self.server.prepare if self.server else prepare_process(),
            )
        finally:
            os.close(descriptor)

    def reap(self) -> None:
        """Notice that the process has ended; called on every SIGCHLD."""
        if self.process and not self.ended.is_set() and self.process.poll() is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)  # what it started itself must not stay behind
            self.ended.set()

    async def keep(self, announce: Callable[["Child"], None], lost: Callable[["Child", float], None]) -> None:
        """Start it again whenever it ends, each time a little later, until it is being stopped."""
        while True:
            await self.ended.wait()
            if self.stopping:
                return
            delay_s = self.delay_next_s()
            lost(self, delay_s)
            await asyncio.sleep(delay_s)
            if self.stopping:
                return
            try:
                self.start()
            except (embedded.EmbeddedError, OSError):
                continue  # the event is still set: once more, later
            announce(self)

    def delay_next_s(self) -> float:
        """Count a failure and return how long to wait before the next start."""
        assert self.process is not None
        if time.monotonic() - self.started_s > STABLE_S:
            self.failures = 0
        self.failures += 1
        return LASTING_DELAY_S if self.process.returncode in LASTING_ADVICE else backoff_s(self.failures - 1)

    async def stop(self) -> None:
        """Ask it to end, insist after a while, and return when it has ended."""
        self.stopping = True
        if not self.pid:
            return
        assert self.process is not None
        for kind in (self.server.signal_stop if self.server else signal.SIGTERM, signal.SIGKILL):
            self.process.send_signal(kind)
            try:
                await asyncio.wait_for(self.ended.wait(), STOP_PATIENCE_S)
                return
            except TimeoutError:
                continue


def backoff_s(failures: int) -> float:
    """Return how long to wait before the next start: doubling, bounded, and never in step with others."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**failures) * random.uniform(0.6, 1.0)


def prepare_process() -> Callable[[], None]:
    """Return what one of our own processes does before its program: ask to die with the supervisor."""
    parent = os.getpid()

    def prepare() -> None:
        privileges.die_with_parent(signal.SIGKILL, parent)

    return prepare


def log_rotate(path: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Set a log aside that has grown large, before a process begins to write to it, and keep the last few."""
    if path.exists() and path.stat().st_size >= bytes_max:
        logs_shift(path)
        path.replace(path.with_name(f"{path.name}.1"))


def log_cut(path: Path, bytes_max: int = LOG_BYTES_WRITTEN_MAX) -> bool:
    """
    Return whether a large log was set aside while its process writes on.

    The process keeps its file, which is emptied: it appends, so its next line stands at the beginning. What it writes
    between our last read and that moment is lost, a few lines at most; what matters of an instruction is in the audit.
    """
    copy = path.with_name(f".{path.name}.copy")
    try:
        if path.stat().st_size < bytes_max:
            return False
        with path.open("rb") as source, os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as target:
            shutil.copyfileobj(source, target, COPY_BYTES)
        logs_shift(path)
        copy.replace(path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except OSError:
        with contextlib.suppress(OSError):
            copy.unlink()
        return False  # a full disk, most likely: the log stays as it is
    return True


def logs_shift(path: Path) -> None:
    """Make room for another log that is set aside."""
    for number in range(LOGS_KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
