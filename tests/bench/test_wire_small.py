"""scripts/bench_wire.py at a size that takes seconds: engine, plain path and baseline end alike."""

import numpy as np
import pytest
from rich.console import Console

from engine import core
from scripts.bench_redis import Cores
from scripts.bench_wire import Ground, Plan, Runs, durable_figures, measure, mix_figures
from scripts.bench_wire_answers import Answers
from scripts.bench_wire_baseline import Decoder
from scripts.bench_wire_log import Mix, Start, reply_bytes
from scripts.bench_wire_venue import WireVenue, start_of
from shared import wire
from shared.stream_guard import pack
from shared.streams import Fields, log_id
from shared.wire_events import Encoder

ENTRIES = 4_000
START = Start(1_767_226_021_000_000, 5, 7, 40)


@pytest.mark.timeout(120)
def test_a_small_wire_is_measured() -> None:
    """Every loop goes over the same log; the engine on both paths and the baseline end in one state, or it raises."""
    figures, tables = measure(Plan([20], ENTRIES, ENTRIES // 2, 0, accounts=30, small_pages=True), Console(quiet=True))
    mix = figures["mixes"]["20"]
    assert {"engine", "plain", "baseline", "ceiling 1000"} <= mix["loops"].keys()
    assert all(loop["per_s"] > 0 for loop in mix["loops"].values())
    assert mix["ceiling_per_s"] >= mix["loops"]["ceiling 100"]["per_s"]
    assert mix["of_ceiling"] == pytest.approx(mix["loops"]["engine"]["per_s"] / mix["ceiling_per_s"], abs=0.01)
    assert len(mix["state_hash"]) == 64
    assert figures["always"]["batch"] >= 1
    assert len(tables) == 2


def entries_of(percent: int, count: int) -> list[Fields]:
    """Return the first entries of a mix."""
    mix = Mix(START, percent, 25)
    return [mix.fields() for _ in range(count)]


def test_a_mix_is_of_its_seed() -> None:
    """The same seed gives the same entries, with as many orders in a hundred as were asked for."""
    for percent in (0, 20, 100):
        entries = entries_of(percent, 1_000)
        assert entries == entries_of(percent, 1_000)
        kinds = [fields[-1][0] for fields in entries]
        assert kinds.count(b"clock_tick") == 1
        assert abs(kinds.count(b"user_instruction") - 10 * percent) <= 3


def test_an_answer_has_as_many_bytes_as_is_counted() -> None:
    """The bytes that the ceiling awaits are those of XREAD's answer."""
    entries = entries_of(20, 50)
    sizes = reply_bytes(8, entries)
    for index, fields in enumerate(entries):
        texts = [part for pair in fields for part in pair]
        told = pack([[log_id(8 + index)]])[len(b"*1\r\n") :] + pack([texts])
        assert sizes[index] == len(b"*2\r\n" + told)


def test_the_baseline_gives_the_same_records_and_events() -> None:
    """What the usual Python loop reads and writes is what the plain path does, entry by entry."""
    venue = WireVenue(8, "bench0wire0who00")
    seq = core.header(venue.states)["seq"]
    mix = Mix(start_of(venue), 50, 25)
    entries = [mix.fields() for _ in range(120)]
    batch, decoder = wire.Batch(len(entries)), Decoder()
    for index, fields in enumerate(entries, 1):
        batch.add(seq + index, fields)
    last = decoder.read([(log_id(seq + index), dict(fields)) for index, fields in enumerate(entries, 1)])
    assert last == seq + len(entries)
    assert np.array_equal(decoder.batch.commands[: len(entries)], batch.commands)
    names, events_last = core.markets_of(venue.states), core.header(venue.states)["events_last"]
    encoder, answers = Encoder(names, events_last), Answers(names, events_last)
    first = count = 0
    while first < len(entries):
        applied, happened, _ = core.apply_batch(venue.states, batch, first, len(entries) - first)
        events = core.events_of(venue.states, happened)
        expected = [(output.id, dict(output.fields)) for output in encoder.feed(events)]
        assert answers.entries(events) == expected
        assert b'"result":"OK"' in b"".join(fields[b"d"] for _, fields in expected)
        first, count = first + applied, count + len(expected)
    assert count > 50


def run(seconds: float) -> dict[str, object]:
    """Return one run of a loop."""
    return {"messages": 1_000, "seconds": seconds, "own_s": 0.001, "server_s": 0.002, "state_hash": "x"}


def test_ratios_are_of_medians_of_one_run() -> None:
    """The first run is thrown away; the ceiling is the best of its counts, asked plainly."""
    runs = Runs()
    for name, seconds in (
        ("engine", 0.002),
        ("baseline", 0.02),
        *((f"ceiling {n}", 0.001) for n in (100, 1_000, 10_000)),
    ):
        for factor in (50.0, 1.0, 3.0, 1.1):
            runs.add(name, run(seconds * factor))
    for count in (100, 1_000, 10_000):
        runs.add(f"ceiling ahead {count}", run(0.0005))
    figures = mix_figures(0, runs)
    assert figures["of_ceiling"] == 0.5
    assert figures["of_ceiling_ahead"] == pytest.approx(0.227, abs=0.001)
    assert figures["times_baseline"] == 10.0
    assert figures["loops"]["engine"]["redis_us"] == 2.0


def test_runs_that_end_elsewhere_stop_the_bench() -> None:
    """Another state, or another number of events, is no figure."""

    class Server:
        def ask(self, *_: object) -> int:
            return 5

    class Ground:
        server, keys = Server(), type("Keys", (), {"events": "events"})

    runs = Runs()
    runs.end("engine", run(1.0), Ground(), False)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="another state"):
        runs.end("baseline", run(1.0) | {"state_hash": "y"}, Ground(), False)  # type: ignore[arg-type]


def test_an_engine_that_was_held_up_runs_again() -> None:
    """A run into which the engine had to tick by itself is no figure; after three such there is none."""

    class Once(Ground):
        def __init__(self, own_entries: list[int]) -> None:
            self.left = own_entries

        def run_once(self, what: str, cores: Cores, **_more: object) -> dict[str, object]:
            return {"own_entries": self.left.pop(0)}

    ground = Once([1, 2, 0, 5])
    assert ground.run("engine", Cores(None, None)) == {"own_entries": 0}
    assert ground.left == [5]
    with pytest.raises(RuntimeError, match="held up"):
        Once([1, 1, 1]).run("engine", Cores(None, None))


def test_the_durable_ratio_is_of_the_faster_loop() -> None:
    """The engine is held against whichever way of appending prebuilt bytes is faster."""
    runs = Runs()
    for name, seconds in (("engine", 0.010), ("xadd plain", 0.008), ("xadd transaction", 0.005)):
        runs.add(name, run(seconds))
    assert durable_figures(runs, 500.0)["of_xadd"] == 0.5
