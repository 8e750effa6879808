"""Another gateway for a venue that runs: its own process and port, the same streams, database, secret and limits."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.integration.conftest import REPOSITORY

HOST = "127.0.0.1"
READY_PATIENCE_S = 60.0
STOP_PATIENCE_S = 20.0
LOOK_S = 0.05


class Place(Protocol):
    """What is known of the venue."""

    data_dir: Path
    redis_url: str
    database_url: str


class SecondGateway:
    """One gateway that can be killed and started again at the same address."""

    def __init__(self, venue: Place, log: Path, environment: dict[str, str] | None = None) -> None:
        """Choose a port; nothing runs yet."""
        self.port = port_free()
        self.url = f"http://{HOST}:{self.port}"
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        stated = {
            "REDIS_URL": venue.redis_url,
            "DATABASE_URL": venue.database_url,
            "TIDEMARK_DATA": str(venue.data_dir),
            "TIDEMARK_HOST": HOST,
            "TIDEMARK_PORT": str(self.port),
            "TIDEMARK_BASE_URL": self.url,
            "TIDEMARK_RATE_FACTOR": "1000",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(REPOSITORY),
        }
        self.environment = {**os.environ, **stated, **(environment or {})}

    def start(self) -> None:
        """Start the process and wait until it takes instructions."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway"], stdout=output, stderr=output, env=self.environment
            )
        deadline_s = time.monotonic() + READY_PATIENCE_S
        while not self.is_ready():
            alive = self.process.poll() is None and time.monotonic() < deadline_s
            assert alive, self.log.read_text(errors="replace")[-2000:]
            time.sleep(LOOK_S)

    def is_ready(self) -> bool:
        """Return whether /ready answers 200."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=3.0)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """Kill the process at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask the process to stop and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextlib.contextmanager
def second_gateway(venue: Place, log: Path, environment: dict[str, str] | None = None) -> Iterator[SecondGateway]:
    """Yield another gateway of a venue that is ready; stop it afterwards, if it still runs."""
    gateway = SecondGateway(venue, log, environment)
    gateway.start()
    try:
        yield gateway
    finally:
        assert gateway.process is not None
        if gateway.process.poll() is None:
            gateway.stop()


def port_free() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
