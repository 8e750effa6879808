"""Followers of the WebSocket while the servers under them fail: a short run of `tests.faults.ws_outages`."""

from pathlib import Path

import pytest

from tests.faults.ws_outages import Options, run

OUTAGES = ("views rebuilt", "trimmed unread", "redis killed", "view reader hung", "trimmed behind the views")


@pytest.mark.timeout(120)
def test_followers_outlive_what_fails_under_them(tmp_path: Path) -> None:
    """Everybody ends with exactly the account's events, from each snapshot on; only what was trimmed is a gap."""
    found = run(Options(8, 60.0, 2, OUTAGES), tmp_path)
    assert found["problems"] == []
    assert found["happened"].keys() == set(OUTAGES)
    assert found["gaps"].keys() <= {"trimmed"}
    assert found["events_told"] > 200 and found["connections"] > 16
