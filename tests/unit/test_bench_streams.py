"""The streams of the benchmarks: drawn alike everywhere, and expecting what a plain book does."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import bench_peers, bench_streams

DRIVERS = Path(bench_peers.__file__).resolve().parent / "peers"


def book_naive(stream: bench_streams.Stream) -> tuple[int, int]:
    """Return (fills, lots) of a stream upon a list of orders that is searched from end to end."""
    book: list[list[int]] = [[*row[1:]] for row in stream.load]  # id, side, price, lots; by time
    fills = lots = 0
    for kind, order_id, side, price, left in stream.operations:
        if kind == bench_streams.CANCEL:
            book.remove(next(order for order in book if order[0] == order_id))
            continue
        while left:
            met = [order for order in book if order[1] == -side and (price - order[2]) * side >= 0]
            if not met:
                break
            best = min(met, key=lambda order: (order[2] * side, order[0]))
            part = min(left, best[3])
            left, best[3] = left - part, best[3] - part
            fills, lots = fills + 1, lots + part
            if not best[3]:
                book.remove(best)
        if left:
            book.append([order_id, side, price, left])
    assert len(book) == len(stream.load)
    return fills, lots


@pytest.mark.parametrize("part", ["rest", "cross"])
def test_a_plain_search_finds_the_expected_fills(part: str) -> None:
    """A book that is a list makes the fills that the stream expects, and keeps its size."""
    stream = bench_streams.Stream(part, 60, 120, levels=8)
    assert book_naive(stream) == (stream.expected.fills, stream.expected.lots)
    assert len(stream.expected.fills_after) == len(stream.operations)


def test_a_stream_is_the_same_everywhere() -> None:
    """Seed and sizes give one stream: a benchmark that draws another one measures something else."""
    hashes = [bench_streams.Stream(part, 1_000, 1_000).stream_hash()[:16] for part in ("rest", "cross", "take")]
    assert hashes == ["eea9e9d2144b561d", "58dfd2d169977b96", "83e5e53e791f088f"]


def test_takers_give_back_what_they_took() -> None:
    """Orders against the outside quote come in pairs that open and close."""
    rows = bench_streams.Stream("take", 10, 100).operations
    for opened, closed in zip(rows[::2], rows[1::2], strict=True):
        assert opened[2] == -closed[2]
        assert opened[4] == closed[4]


def test_quotes_stay_clear_of_every_trigger() -> None:
    """The walk of quotes wakes none of the resting triggers."""
    walk = bench_streams.quotes(2_000)
    assert all(abs(after - before) == 1 for before, after in itertools.pairwise(walk))
    for side, trigger in bench_streams.triggers(500):
        assert all((trigger - bid) * side > 2 for bid in (min(walk), max(walk)))


def test_a_driver_is_bounded_and_says_how_far_it_came(tmp_path: Path) -> None:
    """The part shared by all drivers runs in order, stops when the time is up, and prints one line of JSON."""
    script = tmp_path / "drive.py"
    script.write_text(
        f"""
import sys, time
sys.path.insert(0, {str(DRIVERS)!r})
import driving
data = driving.specification()
tally = driving.Tally()
def run(rows):
    for row in rows:
        tally.fills += row[0]
        time.sleep(0.001)
def prepare(data):
    return tally, run
driving.report("pytest", parts=driving.parts_run(data, prepare))
"""
    )
    given = tmp_path / "stream.json"
    given.write_text(json.dumps({"parts": {"slow": [[1]] * 10_000}, "seconds_max": 0.05}))
    done = subprocess.run([sys.executable, str(script), str(given)], capture_output=True, text=True, check=True)
    part = json.loads(done.stdout)["parts"]["slow"]
    assert 0 < part["operations"] < 10_000
    assert part["fills"] == part["operations"]
    assert part["per_s"] > 0


def test_a_peer_that_cannot_be_had_is_a_sentence(tmp_path: Path) -> None:
    """What fails in a peer's own program becomes a PeerFailed with its last words, never a crash."""
    peer = bench_peers.Peer("nothing", "missing.py", (), "book", (), {})
    with pytest.raises(bench_peers.PeerFailed, match="exit 2"):
        bench_peers.drive(Path(sys.executable), peer, tmp_path / "none.json")
    with pytest.raises(bench_peers.PeerFailed):
        bench_peers.drive(tmp_path / "no-python", peer, tmp_path / "none.json")


def test_drivers_exist() -> None:
    """Each peer pins a version and has a driver."""
    for peer in bench_peers.PEERS:
        assert (DRIVERS / peer.driver).is_file()
        assert peer.requirements[0].startswith(f"{peer.package}==")
