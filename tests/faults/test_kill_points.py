"""An engine killed between apply and EXEC, or between EXEC and its answer, at every entry of a history."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.runner import Runner
from tests.engine_toy import Crash, ToyVenue, turns
from tests.faults.core_history import CoreHistory, core_kit

ENTRIES = 300
# How quick Postgres is, and which way the engines turn.
ROWS = (("quick", "fast"), ("slow", "plain"), ("slow at times", "fast"))


def killer(moment: str) -> Callable[[str, str], None]:
    """Return a fault that kills the process at its first publish, before or after it took effect."""

    def fault(verb: str, when: str) -> None:
        if verb == "publish" and when == moment:
            raise Crash

    return fault


def twin_compare(venue: ToyVenue, machine: Any) -> list[dict[str, Any]]:
    """Assert that events, chain and hashes are those of a machine that read the log once; return the events."""
    twin = venue.kit.restore(None)
    expected: list[Any] = []
    while twin.seq < venue.server.log[-1].seq:
        twin.load(venue.server.log[twin.seq : twin.seq + 1_000])
        while (step := twin.step()) is not None:
            expected.extend(step.outputs)
    assert [tuple(entry) for entry in venue.server.events] == [tuple(output) for output in expected]
    assert twin.hashes() == machine.hashes()
    assert not venue.log.named("checkpoint_mismatch")
    return [event for entry in venue.server.events for event in orjson.loads(entry.data)]


def live(venue: ToyVenue, engine: Runner, append: Callable[[], int], seconds: float) -> None:
    """Let an engine run on for a time, with an entry now and then, so that keyframes fall into its life."""
    end_s = venue.clock.monotonic_s() + seconds
    while venue.clock.monotonic_s() < end_s:
        append()
        for _ in range(20):
            engine.turn()


def killed_at_every_entry(venue: ToyVenue, append: Callable[[], int], moment: str, postgres: str) -> Runner:
    """Kill an engine at each of 300 entries, and let the next one recover and lead; return the last."""
    chance = random.Random(7)
    engine = venue.engine(founded=True)
    turns(engine, lambda: engine.parts.leadership.leading and engine.parts.publisher.settled(1))
    for index in range(ENTRIES):
        venue.store.slow = postgres == "slow" or (postgres == "slow at times" and chance.random() < 0.5)
        seq = append()
        engine.parts.streams.fault = killer(moment)
        try:
            # The entry's outputs kill it, or, where it has none, it goes on to the next entry.
            turns(engine, lambda seq=seq, engine=engine: settled(engine, seq))
            engine.parts.streams.fault = lambda verb, when: None
            continue
        except Crash:
            engine = venue.engine()
        if index % 7 == 0:
            continue  # this one dies before it ever leads
        turns(engine, lambda seq=seq, engine=engine: settled(engine, seq))
        if index % 10 == 9:
            live(venue, engine, append, 11.0)
    turns(engine, lambda: engine.parts.leadership.leading and not engine.parts.publisher.kept)
    return engine


def settled(engine: Runner, seq: int) -> bool:
    """Return whether a leading engine has applied an entry and seen its outputs in the stream."""
    parts = engine.parts
    return parts.leadership.leading and parts.machine.seq >= seq and parts.publisher.settled(seq)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("postgres", "wire"), ROWS)
def test_killed_at_every_entry(tmp_path: Path, moment: str, postgres: str, wire: str) -> None:
    """Whatever was applied and not published when the engine died is published once by the next one."""
    venue = ToyVenue(tmp_path, wire=wire)
    engine = killed_at_every_entry(venue, lambda: venue.add(venue.engines_count), moment, postgres)
    twin_compare(venue, engine.parts.machine)
    assert venue.engines_count >= ENTRIES
    stated = any(entry.fields[-1][0] == b"checkpoint" for entry in venue.server.log)
    assert stated == (postgres != "slow")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("postgres", "wire"), ROWS)
def test_real_core_killed_at_every_entry(tmp_path: Path, moment: str, postgres: str, wire: str) -> None:
    """The same with the real state machine and a history of trades, orders, stop losses and take profits."""
    venue = ToyVenue(tmp_path, core_kit(wire), wire)
    history = CoreHistory(venue, seed=3)
    engine = killed_at_every_entry(venue, history.next, moment, postgres)
    events = twin_compare(venue, engine.parts.machine)
    assert engine.parts.machine.invariants_broken() == []
    kinds = Counter(event["e"] for event in events)
    assert kinds["fill"] > 50
    assert kinds["trigger_fired"] > 10
    answered = Counter(event["request_id"] for event in events if event["e"] == "order_response")
    assert len(answered) == history.requests_count
    assert set(answered.values()) == {1}
    assert venue.engines_count > ENTRIES // 3


@pytest.mark.parametrize("seed", range(12))
def test_killed_anywhere(tmp_path: Path, seed: int) -> None:
    """Killed before or after any verb at random, with a standby beside it, the venue comes out as if never stopped."""
    chance = random.Random(seed)
    venue = ToyVenue(tmp_path, wire=("fast", "plain")[seed % 2])

    def fault(verb: str, when: str) -> None:
        if chance.random() < 0.004:
            raise Crash

    engines = [venue.engine(fault, founded=True), venue.engine(fault)]
    for _ in range(4_000):
        if chance.random() < 0.3:
            venue.add(chance.randrange(-50, 100))
        venue.store.slow = chance.random() < 0.3
        index = chance.randrange(2)
        try:
            engines[index].turn()
        except Crash:
            engines[index] = venue.engine(fault)
    calm = venue.engine()
    turns(calm, lambda: calm.parts.leadership.leading and not calm.parts.publisher.kept)
    twin_compare(venue, calm.parts.machine)
