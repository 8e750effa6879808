"""A whole venue under its supervisor: the link, restarts, the lock, the clean stop, no orphans."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.conftest import REPOSITORY, VenueStart

PROCESSES = {"redis", "postgres", "simulator", "poller", "engine", "persister", "gateway"}


def get(url: str, token: str = "") -> Any:
    """Return the JSON of one answer."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def eventually(holds: Callable[[], bool], patience_s: float = 30.0) -> bool:
    """Return whether something becomes true in time."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def answers(url: str, token: str) -> bool:
    """Return whether the gateway shows the account's balance."""
    try:
        return bool(get(url, token)["items"])
    except OSError:
        return False


def is_ready(ready: dict[str, Any]) -> bool:
    """Return whether the venue takes instructions."""
    try:
        return bool(get(f"{ready['url']}/ready")["status"] == "ready")
    except OSError:
        return False


def alive(pid: int) -> bool:
    """Return whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_link_signs_in_and_kills_are_survived(venue_process: VenueStart, tmp_path: Path) -> None:
    """The printed link works, every process comes back under a new pid, and a second venue on the folder is refused."""
    ready = venue_process(data="one")
    assert set(ready["pids"]) == PROCESSES
    token = get(ready["sign_in_url"])["token"]
    balance = f"{ready['url']}/api/v1/account/balance"
    assert get(balance, token)["items"][0]["free"] == "5000.000000"

    second = subprocess.run(
        [sys.executable, "-m", "scripts.cli", "run", "--data", ready["data_dir"]],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "another venue" in second.stderr

    for pid in ready["pids"].values():
        os.kill(pid, signal.SIGKILL)
    ready_file = tmp_path / "one.ready.json"

    def all_new() -> bool:
        pids = json.loads(ready_file.read_text())["pids"]
        return set(pids) == PROCESSES and not set(pids.values()) & set(ready["pids"].values())

    assert eventually(all_new)
    assert eventually(lambda: is_ready(ready) and answers(balance, token))
    assert get(balance, token)["items"][0]["free"] == "5000.000000"


def test_a_killed_supervisor_leaves_nothing_behind(venue_process: VenueStart, tmp_path: Path) -> None:
    """After SIGKILL of the supervisor its processes are gone, and the next start goes on with the same venue."""
    ready = venue_process(data="two")
    os.kill(ready["supervisor"], signal.SIGKILL)
    assert eventually(lambda: not any(alive(pid) for pid in ready["pids"].values()), 10)
    again = venue_process(data="two")
    assert again["venue"] == ready["venue"]
    os.kill(again["supervisor"], signal.SIGINT)
    assert eventually(lambda: not any(alive(pid) for pid in again["pids"].values()), 15)
    assert eventually(lambda: not (tmp_path / "two" / "lock").exists(), 5)
    assert not (tmp_path / "two" / "ready.json").exists()
