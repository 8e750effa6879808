"""A Redis of one's own that may be killed and started again."""

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scripts import embedded
from shared.streams import Streams, StreamsError

PATIENCE_S = 20.0


class OwnRedis:
    """A real server on a private socket and folder; what it acknowledged survives `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = embedded.redis_url(folder)
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] | None = None  # None: as ours
        self.prefix: list[str] = []  # what the command is run by

    def start(self, *options: str) -> None:
        """Start the server and wait until it answers."""
        server = embedded.redis_server(self.folder, self.folder)
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *server.command, *options],
                stdout=log, stderr=log, cwd="/", preexec_fn=server.prepare, env=self.environment,
            )  # fmt: skip
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                Streams.connect(self.url).close()
                return
            except StreamsError:
                assert time.monotonic() < deadline_s, "the server does not start"
                time.sleep(0.01)

    def kill(self) -> None:
        """Kill the server as a power switch would, and reap it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Stop the server without closing anything: it answers nothing until `resume`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def own_redis() -> Iterator[OwnRedis]:
    """Lend a running server; its folder has a short name, because a socket's path may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-", dir="/tmp"))
    server = OwnRedis(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
