"""
An engine killed by SIGKILL at every entry of a history, with nobody and with a lagging standby beside it.

`TIDEMARK_TEST_ENTRIES=2000 ./scripts/test tests/faults/test_every_entry.py -s` is the whole history; the suite runs
the first 150 entries of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.every_entry import LAG_MAX, STILLBORN_EVERY
from tests.faults.fork_venue import MOMENTS
from tests.integration.conftest import REPOSITORY
from tests.store_servers import own_redis

ENTRIES = int(os.environ.get("TIDEMARK_TEST_ENTRIES", "150"))
# A small state in a large record: huge pages would cost more than the whole life of a fork.
ENVIRONMENT = {"NUMPY_MADVISE_HUGEPAGE": "0", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
# Mixed: the leader and its successor go different ways.
ROWS = [("--alone", "fast"), ("--standby", "mixed")]
if "TIDEMARK_TEST_ENTRIES" in os.environ:
    ROWS += [("--alone", "plain"), ("--standby", "fast")]

pytestmark = pytest.mark.timeout(120 + ENTRIES)


def killed_at_every_entry(folder: Path, beside: str, wire: str) -> dict[str, Any]:
    """Return what the program found; its words and its facts are shown when it fails."""
    with own_redis() as server:
        command = [sys.executable, "-m", "tests.faults.every_entry", "--redis", server.url, "--folder", str(folder)]
        done = subprocess.run(
            [*command, "--entries", str(ENTRIES), "--wire", wire, beside],
            capture_output=True, text=True, check=False, cwd=REPOSITORY, env={**os.environ, **ENVIRONMENT},
        )  # fmt: skip
    facts = folder / "facts.jsonl"
    told = facts.read_text()[-3_000:] if facts.exists() else ""
    assert done.returncode == 0, f"{done.stderr[-3_000:]}\n{told}"
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(("beside", "wire"), ROWS)
def test_killed_at_every_entry(tmp_path: Path, beside: str, wire: str) -> None:
    """Events and hashes are those of a machine that never stopped, and every instruction is answered once."""
    found = killed_at_every_entry(tmp_path / "venue", beside, wire)
    print(f"\n{beside}: {json.dumps(found)}")
    assert sum(found["deaths"].get(moment, 0) for moment in MOMENTS) == ENTRIES
    assert found["deaths"].get("lead", 0) == (0 if beside == "--standby" else ENTRIES // STILLBORN_EVERY)
    assert found["events_equal"]
    assert found["events_entries"] == found["events_expected"] > ENTRIES // 3
    assert found["hashes_compared"] > ENTRIES
    assert found["hashes_wrong"] == []
    assert found["answered_once"] == found["requests"] > ENTRIES // 5
    assert found["answered_twice"] == 0
    assert found["checkpoints"] > 0
    assert found["checkpoint_mismatches"] == 0
    assert found["snapshots_started_from"] > ENTRIES // 3
    assert found["invariants_broken"] == []
    assert found["kinds"]["fill"] > 0
    if beside == "--standby":
        lags = {int(lag): count for lag, count in found["lags"].items()}
        assert sum(lags.values()) == ENTRIES
        assert min(lags) <= 5
        assert LAG_MAX - 10 < max(lags) <= LAG_MAX
