"""
How fast recordings go through the engine in one process: a segment of an archive, and the core alone.

Question: how many quotes a second does a back-test apply from a closed segment, decompressed and parsed in threads
ahead of the core, when frames are long (as under load) and when they are short (a quiet venue, one a second)? How many
does the core apply that lie in a batch already, and how many does `tidemark replay` of the same log?
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engine.backtest import Backtest, Plan
from engine.backtest_feed import ArchiveFeed, FeedRows
from engine.ingest import Machine
from engine.log_source import LogSource
from persister.archive import ArchiveFiles
from scripts.backtest_files import segments_of
from scripts.bench_recovery import Tail
from scripts.moments import walk
from shared import genesis
from shared.stream_keys import Entry, Keys

VENUE = "benchvenue"
START_US = 1_767_225_600_000_000
FRAMES = {"long frames": 10_000, "short frames": 300}  # entries of one frame


def log_write(folder: Path, entries: int, frame_entries: int, advance: Any) -> None:
    """Write an archive of a founded venue and so many quotes, marks and ticks; closed, as an hour's file is."""
    files = ArchiveFiles(folder, VENUE)
    assert files.begin()
    stamp = (b"ts", b"%d" % START_US)
    status = b'{"status":"up","source":"bench"}'
    founding = [
        Entry(1, [stamp, (b"genesis", genesis_body())]),
        Entry(2, [stamp, (b"session", b"bench"), (b"feed_status", status)]),
    ]
    files.append(founding)
    tail = Tail(START_US, 1, 1, 0)
    for first in range(3, entries + 3, frame_entries):
        count = min(frame_entries, entries + 3 - first)
        files.append([Entry(seq, tail.entry()) for seq in range(first, first + count)])
        advance(count)
    files.file_close()
    files.close()


def genesis_body() -> bytes:
    """Return the body of the entry that founds the venue."""
    import orjson

    return orjson.dumps(genesis.default(VENUE))


def back_test(folder: Path) -> tuple[float, float, Backtest]:
    """Return seconds and seconds of processor time of one back-test, and the back-test."""
    test = Backtest(ArchiveFeed(segments_of(folder), None, None), Plan(accounts=1))
    began_s, used_s = time.perf_counter(), time.process_time()
    test.run()
    return time.perf_counter() - began_s, time.process_time() - used_s, test


def core_alone(folder: Path) -> float:
    """Return the seconds that applying took alone, of the same entries in the same batches; nobody reads meanwhile."""
    test = Backtest(ArchiveFeed(segments_of(folder), None, None), Plan(accounts=1))
    batches, seq = [], test.machine.seq + 1
    while (fed := test.feed.take(None, 1_000, seq)) is not None:
        batches.append(fed)
        seq += len(fed)
    test.feed.close()
    seconds = 0.0
    for fed in batches:
        test.machine.load(fed)
        began_s = time.perf_counter()
        while test.machine.step() is not None:
            pass
        seconds += (time.perf_counter() - began_s) * isinstance(fed, FeedRows)
    return seconds


def replayed(folder: Path, last_seq: int) -> float:
    """Return the seconds of a replay of the same archive from its beginning."""
    log, machine = LogSource(None, Keys(VENUE), folder), Machine()
    began_s = time.perf_counter()
    walk(machine, log, last_seq)
    seconds = time.perf_counter() - began_s
    log.release()
    return seconds


def measure(entries: int, repeats: int, console: Console) -> tuple[dict[str, Any], list[Table]]:
    """Return the figures and the table; medians of `repeats`, the first run left out."""
    figures: dict[str, Any] = {"entries": entries}
    table = Table("", "long frames", "short frames", title=f"back-test: {entries:,} quotes, marks and ticks")
    rows: dict[str, list[str]] = {}
    with Progress(console=console, transient=True) as progress, tempfile.TemporaryDirectory() as root:
        task = progress.add_task("segments", total=2 * entries)
        for name, frame_entries in FRAMES.items():
            folder = Path(root) / name.replace(" ", "-")
            log_write(folder, entries, frame_entries, lambda count: progress.advance(task, count))
        task = progress.add_task("runs", total=2 * (repeats + 1))
        for name in FRAMES:
            folder = Path(root) / name.replace(" ", "-")
            runs = []
            for _ in range(repeats + 1):
                seconds, used_s, test = back_test(folder)
                runs.append((seconds, used_s, core_alone(folder), replayed(folder, entries + 2), test.quotes_count))
                progress.advance(task)
            took, used, core, replay, quotes = (statistics.median(column) for column in zip(*runs[1:], strict=True))
            part = {
                "quotes_per_s": round(quotes / took),
                "processor_ns_per_quote": round(used * 1e9 / quotes),
                "core_per_s": round(entries / core),
                "replay_entries_per_s": round(entries / replay),
                "state_hash": test.state_hash(),
            }
            figures[name.replace(" ", "_")] = part
            for key, value in part.items():
                rows.setdefault(key, []).append(value if isinstance(value, str) else f"{value:,}")
    for key, words in WORDS.items():
        table.add_row(words, *rows[key])
    return figures, [table]


WORDS = {
    "quotes_per_s": "quotes a second, segment to state",
    "processor_ns_per_quote": "processor time a quote, all threads, ns",
    "core_per_s": "entries a second, the core alone",
    "replay_entries_per_s": "entries a second, replay of the archive",
}
