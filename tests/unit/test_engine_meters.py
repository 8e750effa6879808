"""What an engine counts is what it did, its page says of itself what its heartbeat says, and nothing of it decides."""

from typing import Any

import numpy as np

from engine.fired import fired_find
from engine.meters import EngineMeters, page_samples
from shared import records as r
from shared.codes import EventKind
from shared.metric_names import EXPORTED
from shared.metrics import page_render
from shared.stream_keys import EventsEntry
from tests.engine_toy import ToyVenue, turns
from tests.metrics_text import read

RESPONSE = b'[{"e":"order_response","account":100,"request_id":"77","op":"order_place","result":"OK"},{"e":"fill"}]'
TRIGGER = b'[{"e":"trigger_fired","account":100}]'


class ListLog:
    """A logger that remembers what it was told at level debug."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


def output(data: bytes, log_time_us: int = 1_000_000) -> EventsEntry:
    """Return one output with these events."""
    return EventsEntry(9, 0, log_time_us, b"", b"100", data)


def test_a_trigger_is_timed_from_its_entrys_stamp() -> None:
    """Only prices that fired one count, and only those published here; a clock behind the stamp counts as no time."""
    meters = EngineMeters(lambda: 1_003_000)
    meters.fired.extend([(5, 0), (7, 1_000_000), (9, 2_000_000), (10, 1_002_000)])
    meters.published(7, 9, 4, tuple)
    assert meters.outputs_count == 4
    assert (sum(meters.trigger.counts), meters.trigger.total) == (2, 0.003)
    meters.published(10, 12, 2, tuple)
    assert (sum(meters.trigger.counts), meters.trigger.total, len(meters.fired)) == (3, 0.004, 0)


def test_prices_that_fired_a_trigger_are_found() -> None:
    """Each once, however many it fired and wherever they stand; what answers an instruction is no price's doing."""
    kinds = [
        (3, EventKind.TRIGGER_FIRED),
        (3, EventKind.FILL),
        (3, EventKind.TRIGGER_FIRED),
        (4, EventKind.ORDER_RESPONSE),
        (4, EventKind.TRIGGER_FIRED),
        (5, EventKind.CANDLE),
        (6, EventKind.FILL),
        (6, EventKind.TRIGGER_FIRED),
        (7, EventKind.TRIGGER_FIRED),
    ]
    events = np.zeros(len(kinds), r.EVENT)
    events["seq"], events["kind"] = zip(*kinds, strict=True)
    events["log_time_us"] = events["seq"] * 10
    words, found = events.view(np.int64).reshape(-1, r.EVENT_WORDS), np.zeros((8, 2), np.int64)
    count = fired_find(words, len(kinds) - 1, found)
    assert found[:count].tolist() == [[3, 30], [6, 60]]
    assert fired_find(words, len(kinds), found[:1]) == 1


def test_answers_are_told_at_level_debug_alone() -> None:
    """With a log each published answer is one line with its request id and seq; without one nothing is read again."""
    log = ListLog()
    EngineMeters(lambda: 0, log).published(9, 9, 2, lambda: [output(RESPONSE), output(TRIGGER)])
    facts = {"request_id": "77", "seq": 9, "account": 100, "op": "order_place", "result": "OK"}
    assert log.lines == [("instruction_applied", facts)]

    def outputs() -> Any:
        raise AssertionError("nobody asked")

    EngineMeters(lambda: 0).published(9, 9, 1, outputs)


def test_an_engine_counts_what_it_does(tmp_path) -> None:
    """Entries, batches and published chunks add up to the streams; a keyframe's copy is a pause; the page says it."""
    venue = ToyVenue(tmp_path)
    engine = venue.engine(founded=True)
    while not engine.parts.snapshots.durable_seq:
        venue.add(3)
        engine.turn()
        venue.clock.sleep_s(0.1)
    for _ in range(15):
        engine.turn()
        venue.clock.sleep_s(0.1)
    turns(engine, lambda: not engine.parts.publisher.kept)
    meters = engine.meters
    assert meters.entries_count == meters.batch.total == engine.parts.machine.seq == venue.server.log[-1].seq
    assert sum(meters.apply.counts) == sum(meters.batch.counts) > 1
    assert meters.outputs_count == len(venue.server.events)
    assert sum(meters.pause.counts) >= 1
    found = read(page_render(page_samples(meters, engine)))
    who = (("who", engine.parts.leadership.who),)
    assert found["tidemark_engine_leader", who] == 1
    assert found["tidemark_engine_snapshot_seq", who] == engine.parts.snapshots.durable_seq
    assert found["tidemark_process_seq", (("process", "engine"),)] == engine.parts.machine.seq
    assert found["tidemark_engine_entries_total", ()] == meters.entries_count
    assert found["tidemark_engine_snapshot_age_seconds", ()] > 1.0
    beat = venue.server.values[venue.keys.process("engine")]
    assert {"seq", "lag", "kept", "who", "role", "metrics_port"} <= set(beat)
    exported = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name, _ in found}
    assert exported == set(EXPORTED["engine"])


def test_a_page_without_a_runner_says_which_build_it_is() -> None:
    """While an engine looks for its start its page is there, with what it counted so far: nothing."""
    found = read(page_render(page_samples(EngineMeters(lambda: 0), None)))
    assert found["tidemark_engine_entries_total", ()] == 0
    assert any(name == "tidemark_build_info" for name, _ in found)
