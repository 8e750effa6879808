"""Every planted bug is found within 200 seeds; a check that no bug ever trips would prove nothing."""

import os
from collections.abc import Iterator

import pytest

from tests.simulation.bugs import PLANTED
from tests.simulation.campaign import Workers

SEEDS_MAX = 200
# Seeds that have found the rarer ones before; tried first. Any change moves them, then all are tried in their order.
FIRST = {"trim_maxlen": [32, 17], "views_without_watch": [79]}

# Ways on which bugs of the engine's loop are looked for; of the others the seed says which.
WIRES = {
    "publish_star_ids": ("fast", "plain"),
    "drop_kept_at_handover": ("fast", "plain"),
    "checkpoint_event": ("fast",),
    "snapshot_without_position": ("fast",),
    "reused_buffer": ("fast",),
}


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Give processes that run seeds."""
    with Workers(max(2, len(os.sched_getaffinity(0))), ahead=1) as every:
        yield every


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("bug", "wire"), [(bug, wire) for bug in sorted(PLANTED) for wire in WIRES.get(bug, ("",))])
def test_planted_bug_is_found(workers: Workers, bug: str, wire: str) -> None:
    """With the bug in it, one of the first 200 seeds fails; without it, that seed passes."""
    failed = next(workers.failed([*FIRST.get(bug, []), *range(SEEDS_MAX)], bug, wire), None)
    assert failed is not None, f"{bug} was not found in {SEEDS_MAX} seeds"
    print(f"{bug} {wire}: seed {failed['seed']}, {failed['found'][0][:200]}")
    assert not list(workers.failed([failed["seed"]], "", wire)), f"seed {failed['seed']} fails without the bug"
