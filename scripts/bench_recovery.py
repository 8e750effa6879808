"""
How soon an engine is back: a snapshot with many positions, a long tail in a real Redis, one restarted process.

Question: how many seconds after its imports has a restarted engine applied the tail, how fast, and in how much memory?
The tail is a feed of four markets with instructions among it; it was answered once before, as that of a dead leader is,
so that its events are compared, too. Beside every restart stands what Redis gives of the same entries to a bare socket
that always has the next question under way. `tidemark replay` then goes through them.
"""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from scripts import embedded
from scripts.access import redis_answers
from scripts.bench_redis import socket_open
from scripts.bench_wire_bare import Receiver
from shared.clock import monotonic_s
from shared.database import Database
from shared.stream_guard import Request, pack
from shared.streams import (
    EventsEntry,
    Fields,
    Keys,
    Streams,
    event_id,
    events_digest,
    events_fields,
    fields_digest,
    log_id,
)

REPOSITORY = Path(__file__).resolve().parent.parent
SEED = 20_261_122
SESSION = b"bench"
CHUNK = 1_000
PATIENCE_S = 60.0
COUNTS = (1_000, 4_000, 10_000)  # entries of one answer to the bare socket
ENTRIES_PER_S = 300  # of log time
MARK_EVERY = 75  # four marks a second
MARKETS = (("BTC_USDC_PERP", 600_000, 1), ("ETH_USDC_PERP", 300_000, 2), ("SOL_USDC_PERP", 15_000, 2),
           ("ADA_USDC_PERP", 60_000, 5))  # fmt: skip
PRICE = b'{"A":"%d.%05d","B":"%d.%05d","E":%d,"T":%d,"a":"%s","b":"%s","e":"bookTicker","s":"%s","u":%d}'
MARK = b'{"E":%d,"T":%d,"e":"markPrice","f":"0.0000125000000000000000","i":"%s","n":0,"p":"%s","s":"%s"}'
ORDER = (
    b'{"v":1,"account":%d,"request_id":"%032x","op":"order_place","market":"BTC_USDC_PERP","side":"buy",'
    b'"kind":"limit","qty":"0.001","price":"59000.0"}'
)


class Tail:
    """The entries after the snapshot, from one seed: quotes, marks, ticks, and `per_mille` instructions."""

    def __init__(self, ts_us: int, update_id: int, request: int, per_mille: int) -> None:
        self.chance = random.Random(SEED)
        self.ts_us = ts_us
        self.update_id = update_id
        self.request = request
        self.per_mille = per_mille
        self.number = 0

    def entry(self) -> Fields:
        """Return the next entry's fields."""
        self.number += 1
        self.ts_us += 1_000_000 // ENTRIES_PER_S
        stamp = (b"ts", b"%d" % self.ts_us)
        if self.number % ENTRIES_PER_S == 1:
            return [stamp, (b"clock_tick", b"{}")]
        if self.chance.randrange(1_000) < self.per_mille:
            self.request += 1
            body = ORDER % (100 + self.request % 900, (self.ts_us // 1_000) << 80 | 7 << 76 | 2 << 62 | self.request)
            return [stamp, (b"user_instruction", body)]
        if self.number % MARK_EVERY == 2:
            market, ticks, decimals = MARKETS[self.number // MARK_EVERY % 4]
            price, name = price_text(ticks, decimals), market.encode()
            body = MARK % (self.ts_us - 60_000, self.ts_us - 61_000, price + b"123456", price, name)
            return [stamp, (b"session", SESSION), (b"mark_update", body)]
        return [stamp, (b"session", SESSION), (b"price_update", self.quote())]

    def quote(self) -> bytes:
        """Return the body of the next quote, which moves inside the gap around the price."""
        chance = self.chance
        market, middle, decimals = MARKETS[chance.choice((0, 0, 0, 1, 2, 3))]
        self.update_id += 1
        ticks = middle + chance.randrange(-40, 41) * middle // 600_000
        sizes = (chance.randrange(3), chance.randrange(100_000), chance.randrange(3), chance.randrange(100_000))
        prices = (price_text(ticks + 1, decimals), price_text(ticks, decimals))
        return PRICE % (*sizes, self.ts_us - 60_000, self.ts_us - 61_000, *prices, market.encode(), self.update_id)


def price_text(ticks: int, decimals: int) -> bytes:
    """Return a price as the outside venue writes it."""
    whole, part = divmod(ticks, 10**decimals)
    return b"%d.%0*d" % (whole, decimals, part)


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Start a Redis in the folder that writes its log without waiting for the disk; yields its URL, stops it."""
    sockets = embedded.socket_folder(folder)
    server = embedded.redis_server(folder, sockets, fsync="no")
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(server.command, stdout=log, stderr=log, cwd="/", preexec_fn=server.prepare)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not redis_answers(embedded.redis_url(sockets)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no Redis: see {folder}/redis.log")
            time.sleep(0.02)
        yield embedded.redis_url(sockets)
    finally:
        process.send_signal(server.signal_stop)
        process.wait()


def snapshot_write(venue: Any, folder: Path, streams: Streams, keys: Keys) -> int:
    """Write the venue's snapshot file and the one entry of each stream that it remembers; return its seq."""
    from engine import core
    from engine.documents import bytes_write_durably, document_pack, file_path

    header = core.header(venue.states)
    seq, (events_seq, chunk) = header["seq"], header["events_last"]
    fields: Fields = [(b"ts", b"%d" % venue.ts_us), (b"clock_tick", b"{}")]
    last = EventsEntry(events_seq, chunk, header["log_time_us"], b"", b"", b"[]")
    commands: list[list[Any]] = [
        ["XADD", keys.log, log_id(seq), *[part for pair in fields for part in pair]],
        ["XADD", keys.events, event_id(events_seq, chunk), *[part for pair in events_fields(last) for part in pair]],
        ["SET", "tidemark:venue", keys.venue],
    ]
    streams.exchange(Request(commands, writes=True))
    witness = {
        "log": {"seq": seq, "digest": fields_digest(log_id(seq), fields).hex()},
        "events": {"seq": events_seq, "chunk": chunk, "digest": events_digest(last).hex()},
    }
    frame = {"venue": keys.venue, "engine_version": "bench", "witness": witness}
    frame |= {name: header[name] for name in ("seq", "log_time_us", "rules")}
    buffer = memoryview(bytearray(core.snapshot_size(venue.states)))
    content = core.snapshot_document(buffer, core.snapshot_copy(venue.states, buffer))
    (folder / "snapshots").mkdir()
    bytes_write_durably(file_path(folder / "snapshots", seq), orjson.dumps(document_pack(content, frame)))
    return int(seq)


def tail_write(streams: Streams, keys: Keys, tail: Tail, entries: int, advance: Callable[[int], None]) -> np.ndarray:
    """Append the tail to the log; return where each entry begins in an answer that had them all, and the end."""
    places = [0]
    for at in range(0, entries, CHUNK):
        count = min(CHUNK, entries - at)
        rows = [[part for pair in tail.entry() for part in pair] for _ in range(count)]
        replies = streams.exchange(Request([["XADD", keys.log, "*", *row] for row in rows], writes=True))
        assert all(isinstance(reply, bytes) for reply in replies), "Redis refused an entry"
        for reply, row in zip(replies, rows, strict=True):
            places.append(places[-1] + len(pack([[reply]])) + len(pack([row])))
        advance(count)
    return np.array(places)


def bare_receive(url: str, key: str, seq: int, places: np.ndarray) -> float:
    """Return the entries a second that a bare socket receives of the tail, whatever it asks for at once."""
    best, last_seq = 0.0, seq + len(places) - 1
    for count in COUNTS:
        receiver = Receiver(socket_open(url), key, places, count, ahead=True, first_seq=seq)
        began_s = monotonic_s()
        receiver.receive(seq, last_seq)
        best = max(best, (last_seq - seq) / (monotonic_s() - began_s))
        receiver.connection.close()
    return best


def environment() -> dict[str, str]:
    """Return the environment of what is measured: Python keeps its compiled modules, as anywhere but in a sandbox."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextlib.contextmanager
def environment_kept() -> Iterator[None]:
    """Give the environment back as it was: the servers of the measurement are named in it."""
    kept = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def restart(folder: Path, seq: int) -> dict[str, Any]:
    """Return what one restarted engine told of itself; what it wrote as leader is removed again."""
    command = [sys.executable, "-m", "scripts.bench_recovery"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the engine ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    for path in (folder / "snapshots").iterdir():
        if path.name != f"snapshot-{seq}.json":
            path.unlink()
    asyncio.run(rows_remove(seq))
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


async def rows_remove(seq: int) -> None:
    """Remove the snapshots in Postgres behind the one that every restart is to begin with."""
    database = await Database.connect(os.environ["DATABASE_URL"])
    try:
        for table in ("engine_snapshots", "engine_keyframes"):
            await database.execute(f"DELETE FROM {table} WHERE seq > $1", seq)
    finally:
        await database.close()


def replay(folder: Path, seq: int, last_seq: int) -> dict[str, Any]:
    """Return what `tidemark replay` found up to an entry, and the most memory it ever took."""
    command = [sys.executable, "-m", "scripts.cli", "replay", "--data", str(folder), "--json"]
    command += ["--from", str(seq), "--to", str(last_seq)]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"replay ended with {process.returncode}: {output.decode()[-2000:]}")
    return {**json.loads(output), "rss_mib": usage.ru_maxrss // 1024}


def measure(
    entries: int, positions: int, per_mille: int, repeats: int, console: Console
) -> tuple[dict[str, Any], Table]:
    """Return the figures and the table; the fastest of `repeats` restarts counts, the first only publishes."""
    from scripts.bench_snapshot import VENUE, database
    from scripts.bench_venue import BenchVenue

    keys = Keys(VENUE)
    with (
        environment_kept(),
        database() as folder,
        redis_server(folder) as url,
        Progress(console=console, transient=True) as progress,
    ):
        os.environ["REDIS_URL"] = url
        streams = Streams(url)
        task = progress.add_task("positions", total=2 * positions)
        venue = BenchVenue(2 * positions, lambda count: progress.advance(task, count))
        venue.minutes_pass()
        seq = snapshot_write(venue, folder, streams, keys)
        task = progress.add_task("tail", total=entries)
        tail = Tail(venue.ts_us, venue.update_id, venue.request, per_mille)
        places = tail_write(streams, keys, tail, entries, lambda count: progress.advance(task, count))
        del venue
        task = progress.add_task("restarts", total=repeats + 1)
        runs, bare = [], []
        for _ in range(repeats + 1):
            bare.append(bare_receive(url, keys.log, seq, places))
            runs.append(restart(folder, seq))
            progress.advance(task)
        task = progress.add_task("replay", total=2)
        part = replay(folder, seq, seq + max(1, entries // 10))
        progress.advance(task)
        whole = replay(folder, seq, seq + entries)
        streams.close()
    figures = min(runs[1:], key=lambda run: run["tip_s"])
    assert all(run["applied"] >= entries for run in runs), "an engine stopped before the end"
    figures = {
        **figures, "entries": entries, "positions": positions, "per_mille": per_mille,
        "bare_entries_per_s": round(max(bare)),
        "replay_entries_per_s": whole["entries_per_s"], "replay_rss_mib": whole["rss_mib"],
        "replay_tenth_rss_mib": part["rss_mib"], "state_hash": whole["state_hash"],
    }  # fmt: skip
    return figures, table_of(figures)


def table_of(figures: dict[str, Any]) -> Table:
    """Return the figures for people."""
    table = Table("", "", title=f"recovery: {figures['positions']:,} positions, {figures['entries']:,} entries of tail")
    table.add_row("imports, s", f"{figures['imports_s']:.2f}")
    table.add_row("state restored, s after imports", f"{figures['restored_s']:.2f}")
    table.add_row("tail applied, s after imports", f"{figures['tip_s']:.2f}")
    table.add_row("processor time until then, s", f"{figures['processor_s']:.2f}")
    table.add_row("leading, s after imports", f"{figures['leading_s']:.2f}")
    table.add_row("ready to read, s after imports", f"{figures['ready_s']:.2f}")
    table.add_row("entries a second, read to applied", f"{figures['entries_per_s']:,}")
    table.add_row("a bare socket receives of them, a second", f"{figures['bare_entries_per_s']:,}")
    table.add_row("most memory of the engine, MiB", f"{figures['rss_mib']:,}")
    table.add_row("replay, entries a second", f"{figures['replay_entries_per_s']:,}")
    memory = f"{figures['replay_tenth_rss_mib']:,} after a tenth, {figures['replay_rss_mib']:,} at the end"
    table.add_row("most memory of replay, MiB", memory)
    return table


class Facts:
    """The engine's log: keeps when each fact was told first, and asks the engine to stop when it leads."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self.words: list[str] = []
        self.processor_s = 0.0  # used by this process when it led
        self.stop: Callable[[], None] = lambda: None

    def info(self, event: str, **fields: Any) -> None:
        """Note a fact."""
        self.times.setdefault(event, monotonic_s())
        self.words.append(f"{event} {fields}")
        if event == "leader_promoted":
            self.processor_s = time.process_time()
            self.stop()

    warning = error = info


def main() -> int:
    """Be the restarted engine: run until it leads, print what happened when as one JSON line."""
    import resource

    began_s = monotonic_s()
    from engine import ingest  # noqa: F401 - the imports are measured apart
    from engine.__main__ import outside_real
    from engine.wiring import Engine, engine_run
    from shared.settings import settings_read

    imported_s, processor_s = monotonic_s(), time.process_time()
    facts = Facts()
    settings = settings_read()
    streams = Streams(settings.redis_url)
    engine = Engine(settings, outside_real(settings, streams), facts)
    facts.stop = engine.stop
    code = engine_run(engine)
    runner = engine.runner
    if code != 0 or runner is None or "leader_promoted" not in facts.times:
        print("\n".join(facts.words))
        return code or 1
    restored_s, ready_s, tip_s = facts.times["snapshot_loaded"], facts.times["redis_connected"], runner.tip_first_s
    applied = runner.parts.machine.seq - runner.parts.memories[0].seq
    told = {
        "imports_s": imported_s - began_s,
        "restored_s": restored_s - imported_s,
        "tip_s": tip_s - imported_s,
        "processor_s": facts.processor_s - processor_s,
        "leading_s": facts.times["leader_promoted"] - imported_s,
        "ready_s": ready_s - imported_s,
        "entries_per_s": round(applied / (tip_s - ready_s)),
        "applied": applied,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
