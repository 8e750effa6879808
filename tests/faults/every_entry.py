"""
The program of test_every_entry: an engine killed by SIGKILL at every entry of a history, with or without a standby.

    python -m tests.faults.every_entry --redis URL --folder DIR --entries 2000 --standby --wire plain

prints one JSON object. It is a process of its own because it forks: nothing else may run in it.
"""

import gc
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import orjson

from engine.log_source import LogSource
from tests.engine_toy import ToyVenue, turns
from tests.faults.core_history import CoreHistory, core_kit
from tests.faults.fork_venue import MOMENTS, Death, Fork, ForkVenue

LAG_MAX = 50
EXCHANGES = 3
CALM_EVERY = 10
CALM_S = 11.0  # of log time: a keyframe comes every 10 s
STILLBORN_EVERY = 7  # one more engine dies with its own `lead`
TICK_EVERY_S = 5.0
READ_COUNT = 1_000
WARM_ENTRIES = 120
PROGRESS_EVERY = 100


class Killings:
    """One history, an engine's death at every entry of it, and what the engines said of themselves."""

    def __init__(self, venue: ForkVenue, seed: int) -> None:
        self.venue = venue
        self.chance = random.Random(seed)
        self.history = CoreHistory(venue, seed, TICK_EVERY_S)
        self.deaths: Counter[str] = Counter()
        self.lags: Counter[int] = Counter()
        self.hashes: dict[int, tuple[str, str]] = {}  # seq -> as the engine that led there computed them
        self.leader: Fork | None = None

    def ready(self, fork: Fork) -> None:
        """Wait until an engine leads and has nothing left to publish; it leads the venue now."""
        said = fork.hear()
        self.hashes[said["ready"]] = tuple(said["hashes"])
        self.leader = fork

    def calm(self, number: int) -> None:
        """Let the leader live on now and then, so that there are keyframes, snapshots and checkpoints."""
        if number % CALM_EVERY == CALM_EVERY - 1:
            assert self.leader is not None
            self.leader.link.say({"live_s": CALM_S})
            assert self.leader.hear()["lived"]

    def kill_at(self, seq: int, number: int) -> None:
        """Let the leader read an entry and die of it."""
        assert self.leader is not None
        death = Death(MOMENTS[number % len(MOMENTS)], 1 + self.chance.randrange(EXCHANGES))
        self.leader.link.say({"seq": seq, "death": list(death)})
        self.reaped(self.leader, death.moment)
        self.leader = None

    def reaped(self, fork: Fork, moment: str) -> None:
        """Count a death; it must be the one that was meant."""
        ended_by = fork.reap()
        assert ended_by == signal.SIGKILL, f"{moment}: ended by {ended_by}, see facts.jsonl"
        self.deaths[moment] += 1

    def alone(self, entries: int) -> None:
        """Kill at every entry an engine that has nobody beside it; now and then its successor too, as it leads."""
        for number in range(entries):
            if number % STILLBORN_EVERY == STILLBORN_EVERY - 1:
                death = Death(self.chance.choice(MOMENTS[1:]), 1)
                self.reaped(Fork(self.venue, None, death), "lead")
            self.ready(Fork(self.venue, None))
            self.calm(number)
            self.kill_at(self.history.next(), number)
            self.progress(number)

    def with_standby(self, entries: int) -> None:
        """Kill at every entry a leader whose standby, 0 to 50 entries behind it, then takes over."""
        self.ready(Fork(self.venue, None))
        for number in range(entries):
            self.calm(number)
            lag = self.chance.randint(0, LAG_MAX)
            standby = Fork(self.venue, lag)
            held = standby.hear()["held"]
            seq = self.history.next()
            self.lags[seq - 1 - held] += 1
            self.kill_at(seq, number)
            standby.link.say({"go": True})
            self.ready(standby)
            self.progress(number)

    def progress(self, number: int) -> None:
        """Say how far it is."""
        if number % PROGRESS_EVERY == PROGRESS_EVERY - 1:
            print(f"{number + 1} entries, {sum(self.deaths.values())} deaths", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Let a last engine publish what there is, and end it."""
        if self.leader is None:
            self.ready(Fork(self.venue, None))
        assert self.leader is not None
        self.leader.reap_asked()


def compare(killings: Killings) -> dict[str, Any]:
    """Return what the venue holds, beside a machine that read its log once and never stopped."""
    venue = killings.venue
    twin, outputs = venue.kit.restore(None), []
    tip = venue.streams.log_tip(venue.keys)
    wrong_hashes = []
    stops = sorted({*killings.hashes, tip})
    checkpoints = 0
    for stop in stops:
        while twin.seq < stop:
            entries = venue.streams.range_log(venue.keys, twin.seq + 1, stop, READ_COUNT)
            checkpoints += sum(entry.fields[-1][0] == b"checkpoint" for entry in entries)
            twin.load(entries)
            while (step := twin.step()) is not None:
                outputs.extend(step.outputs)
        if stop in killings.hashes and tuple(twin.hashes()) != killings.hashes[stop]:
            wrong_hashes.append(stop)
    published: list[Any] = []
    while found := venue.streams.range_events(
        venue.keys, (published[-1].seq, published[-1].chunk + 1) if published else (0, 0), (2**53, 0), READ_COUNT
    ):
        published.extend(found)
    events = [event for entry in published for event in orjson.loads(entry.data)]
    answered = Counter(event["request_id"] for event in events if event["e"] == "order_response")
    return {
        "log_entries": tip,
        "events_entries": len(published),
        "events_expected": len(outputs),
        "events_equal": [tuple(entry) for entry in published] == [tuple(output) for output in outputs],
        "hashes_compared": len(killings.hashes),
        "hashes_wrong": wrong_hashes,
        "requests": killings.history.requests_count,
        "answered_once": sum(count == 1 for count in answered.values()),
        "answered_twice": sum(count > 1 for count in answered.values()),
        "checkpoints": checkpoints,
        "checkpoint_mismatches": len(venue.log.named("checkpoint_mismatch")),
        "snapshots_started_from": len(venue.log.named("snapshot_loaded")),
        "invariants_broken": twin.invariants_broken(),
        "kinds": Counter(event["e"] for event in events),
    }


def reader_warm_up(venue: ForkVenue) -> None:
    """Load the kernels that read the log's bytes, which only a real server gives."""
    machine = venue.kit.restore(None)
    machine.load(LogSource(venue.streams, venue.keys, None).read(0, 1))
    assert machine.step() is not None


def warm_up(wire: str) -> None:
    """Load every kernel that an engine uses, so that no fork has to."""
    with tempfile.TemporaryDirectory() as folder:
        venue = ToyVenue(Path(folder), core_kit(wire), wire)
        history = CoreHistory(venue, 1)
        engine = venue.engine(founded=True)
        for number in range(WARM_ENTRIES):
            seq = history.next()
            if number == WARM_ENTRIES // 2:
                engine = venue.engine()
            turns(engine, lambda engine=engine, seq=seq: engine.parts.machine.seq >= seq)
        turns(engine, lambda: engine.parts.leadership.leading and not engine.parts.publisher.kept)
        buffer = memoryview(bytearray(venue.kit.buffer_bytes))
        content = venue.kit.content_of(buffer, engine.parts.machine.copy(buffer))
        assert venue.kit.restore(content).hashes() == engine.parts.machine.hashes()


@click.command()
@click.option("--redis", "url", required=True, help="URL of an empty server.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--entries", type=click.IntRange(1), default=2_000, show_default=True)
@click.option("--standby/--alone", default=False)
@click.option("--seed", type=int, default=3, show_default=True)
@click.option("--wire", type=click.Choice(["fast", "plain", "mixed"]), default="fast", show_default=True)
def main(url: str, folder: Path, entries: int, standby: bool, seed: int, wire: str) -> None:
    """Kill an engine at every entry of a history and print what is left as JSON."""
    for way in ("fast", "plain") if wire == "mixed" else (wire,):
        warm_up(way)
    folder.mkdir(parents=True, exist_ok=True)
    venue = ForkVenue(folder, url, wire)
    reader_warm_up(venue)
    gc.freeze()  # a collection in a fork would copy every page that the warm process has
    assert threading.active_count() == 1, "a thread does not survive a fork"
    killings = Killings(venue, seed)
    started_s = time.monotonic()
    (killings.with_standby if standby else killings.alone)(entries)
    killings.end()
    took_s = time.monotonic() - started_s
    told = {
        "entries": entries,
        "seconds": round(took_s, 1),
        "deaths": killings.deaths,
        "lags": dict(sorted(killings.lags.items())),
    }
    print(json.dumps({**told, **compare(killings)}))


if __name__ == "__main__":
    main()
