"""`tidemark views rebuild` on a real venue, running and not."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.integration.conftest import REPOSITORY, VenueStart


def tool(*words: str) -> "subprocess.CompletedProcess[str]":
    """Return how a command ended."""
    return subprocess.run(
        [sys.executable, "-m", "scripts.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def get(url: str, token: str = "") -> Any:
    """Return the JSON of one answer."""
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return json.loads(answer.read())


def account_shown(url: str, token: str) -> dict[str, Any]:
    """Return the account as it is, without what tells one answer from another and who its owner is."""
    return {name: value for name, value in get(url, token).items() if name not in ("request_id", "seq", "role")}


def ended(pid: int, patience_s: float = 20.0) -> bool:
    """Return whether a process ends in time."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            return True
        time.sleep(0.05)
    return False


def test_views_are_made_anew(venue_process: VenueStart, tmp_path: Path) -> None:
    """A running persister does it, the tool alone when the venue is down; the account is shown as before each time."""
    ready = venue_process(data="views")
    data = ready["data_dir"]
    token = get(ready["sign_in_url"])["token"]
    account = f"{ready['url']}/api/v1/account"
    before = account_shown(account, token)
    first = tool("views", "rebuild", "--data", data, "--json")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert (found["venue"], found["generation"], found["by"]) == (ready["venue"], 1, "the persister")
    assert account_shown(account, token) == before
    metrics = urllib.request.urlopen(f"{ready['url']}/metrics", timeout=10).read().decode()
    assert "# TYPE tidemark_views_generation gauge" in metrics
    os.kill(ready["supervisor"], signal.SIGINT)
    assert ended(ready["supervisor"])
    second = tool("views", "rebuild", "--data", data)
    assert second.returncode == 0, second.stderr
    assert "generation 2 is in force" in second.stdout
    assert "this tool" in second.stdout
    again = venue_process(data="views")
    assert account_shown(f"{again['url']}/api/v1/account", token) == before


def test_what_cannot_be_rebuilt_is_said(tmp_path: Path) -> None:
    """A folder without a venue gives one sentence and code 2."""
    answer = tool("views", "rebuild", "--data", str(tmp_path / "nowhere"))
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert "holds no log" in answer.stderr
