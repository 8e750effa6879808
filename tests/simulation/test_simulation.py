"""
Hundreds of seeds of the whole venue with faults, run as anybody runs them: `python -m tests.simulation`.

TIDEMARK_TEST_SEEDS says how many, 300 in the suite. A seed that fails is run again, and shown, by its number alone.
"""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SEEDS = int(os.environ.get("TIDEMARK_TEST_SEEDS", "300"))
INPUTS_MIN = 500
BLOCKS = 6  # of seeds, that run beside each other
TWICE = 10  # seeds that are run twice
SECONDS_PER_SEED = 6  # on a machine that does other things too


def simulation(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run the campaign's command, compiled whatever this process is, to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
    environment["PYTHONHASHSEED"] = hash_seed
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def lines_of(path: Path) -> dict[int, dict[str, object]]:
    """Return the verdicts of a campaign by seed."""
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return {line["seed"]: line for line in lines}


@pytest.mark.timeout(60 + SEEDS * SECONDS_PER_SEED)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_seed_comes_out_as_if_nothing_had_failed(tmp_path: Path, block: int) -> None:
    """After faults of every kind each seed's engines, events, rows, views and answers are those of a twin."""
    state, first, last = tmp_path / "seeds.jsonl", SEEDS * block // BLOCKS, SEEDS * (block + 1) // BLOCKS - 1
    done = simulation("--seeds", f"{first}-{last}", "--jobs", "1", "--state", str(state))
    print(done.stdout[-2_000:])
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]
    lines = lines_of(state)
    assert sorted(lines) == list(range(first, last + 1))
    assert min(int(str(line["inputs"])) for line in lines.values()) >= INPUTS_MIN
    kinds = {kind for line in lines.values() for kind, count in dict(line["faults"]).items() if count}  # type: ignore[call-overload]
    assert len(kinds) > 40, f"the faults have become few: {sorted(kinds)}"


@pytest.mark.timeout(240)
def test_a_seed_is_one_history(tmp_path: Path) -> None:
    """A seed run twice, the second time under another hash seed of Python, does the same to the last fact."""
    digests = []
    for hash_seed in ("0", "4711"):
        state = tmp_path / f"{hash_seed}.jsonl"
        done = simulation("--seeds", f"0-{TWICE - 1}", "--state", str(state), "--jobs", "2", hash_seed=hash_seed)
        assert done.returncode == 0, done.stdout + done.stderr
        digests.append({seed: line["digest"] for seed, line in lines_of(state).items()})
    assert digests[0] == digests[1]
    assert len(set(digests[0].values())) == TWICE


@pytest.mark.timeout(120)
def test_a_campaign_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Seeds whose verdicts stand in the state file are not run again, and count in the report."""
    state = tmp_path / "seeds.jsonl"
    assert simulation("--seeds", "0-1", "--state", str(state)).returncode == 0
    before = state.read_bytes()
    done = simulation("--seeds", "0-2", "--state", str(state))
    assert done.returncode == 0, done.stdout + done.stderr
    assert state.read_bytes().startswith(before)
    assert sorted(lines_of(state)) == [0, 1, 2]
    assert "3 seeds" in done.stdout
