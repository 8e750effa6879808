"""
In which order the suite's files run, and which tests of a file need not run in one process.

Several processes take whole files from one queue. What takes long comes first, or the end would wait for it alone;
what keeps a processor busy stands between files that wait for servers.
"""

from collections.abc import Sequence

# Each of their tests stands for itself, takes long and keeps a processor busy; they run beside each other.
APART = ("tests/simulation/test_simulation.py",)
# All files of these folders share one venue, which is dear to start: they run in one process, one after the other.
TOGETHER = ("tests/browser/",)
# Longest first, as measured; a file that is not named comes after these, in its place.
LONG = (
    "tests/faults/test_disasters.py",
    "tests/browser/",
    "tests/simulation/test_bugs.py",
    "tests/faults/test_api_fuzz.py",
    "tests/faults/matrix/test_m_persister.py",
    "tests/faults/test_upgrade.py",
    "tests/integration/test_run.py",
    "tests/faults/test_outages.py",
    "tests/integration/test_poller_kills.py",
    "tests/integration/test_engine_shell.py",
    "tests/faults/matrix/test_m_disaster.py",
    "tests/faults/test_every_entry.py",
    "tests/simulation/test_rare_bugs.py",
    "tests/faults/test_ws_storm.py",
    "tests/faults/test_ws_outages.py",
    "tests/faults/test_storm.py",
    "tests/faults/matrix/test_m_venue.py",
    "tests/faults/test_ws_orders.py",
    "tests/faults/test_failover.py",
    "tests/faults/test_repeat_storm.py",
    "tests/property/test_twin.py",
)


def unit_of(nodeid: str) -> str:
    """Return which tests run in one process, one after the other: those of a file, of a folder, or a test apart."""
    path = nodeid.partition("::")[0]
    for folder in TOGETHER:
        if path.startswith(folder):
            return folder
    return nodeid if path in APART else path


def ordered(nodeids: Sequence[str]) -> list[int]:
    """Return the indices of the tests in the order they are to run: tests apart and long files take turns."""
    apart = [index for index, nodeid in enumerate(nodeids) if nodeid.partition("::")[0] in APART]
    long: list[list[int]] = [[] for _ in LONG]
    rest = []
    for index, nodeid in enumerate(nodeids):
        path = unit_of(nodeid)
        if path in LONG:
            long[LONG.index(path)].append(index)
        elif nodeid.partition("::")[0] not in APART:
            rest.append(index)
    found: list[int] = []
    for number in range(max(len(apart), len(long))):
        found += apart[number : number + 1]
        found += long[number] if number < len(long) else []
    return found + rest
