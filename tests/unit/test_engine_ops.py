"""engine/ops.py: what the leader tells operators comes once a second, costs a known time, and never ends the engine."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from engine.ingest import Machine
from engine.meters import EngineMeters
from engine.ops import FAULT_S, LADDER_POSITIONS, MONEY_ROWS, SECOND_S, OpsView
from shared.stream_keys import Keys
from shared.streams import StreamsRefused
from tests.builders import SOL, instruction, opened
from tests.engine_toy import ToyLog, ToyVenue, turns

KEYS = Keys("opsvenue00")
TIME_US = 1_800_000_000_000_000


class Fake:
    """A machine of three markets that a test moves."""

    def __init__(self) -> None:
        self.seq = 7
        self.rows = 10
        self.sum_e6 = 0
        self.sums = 0
        self.met = 0
        self.looked: list[int] = []
        self.broken = False

    def header(self) -> Any:
        """Return where it stands."""
        return SimpleNamespace(log_time_us=TIME_US - 5, events_last=(6, 1))

    def watched(self) -> dict[str, Any]:
        """Return what a look finds."""
        if self.broken:
            raise ZeroDivisionError("a mistake of ours")
        counts = {"accounts": 1, "positions": 2, "orders": 3, "triggers": 1}
        return counts | {"nearest": [], "house": {"A": {}, "B": {}, "C": {}}, "funds": {"fees": "1.000000"}}

    def liquidation_ladder(self, market_row: int) -> tuple[dict[str, Any], int]:
        """Return an empty ladder, and as many positions met as the test says."""
        self.looked.append(market_row)
        return {"longs": [], "shorts": []}, self.met

    def money_rows(self) -> int:
        """Return how many rows there are."""
        return self.rows

    def money_sum_e6(self) -> int:
        """Return the sum."""
        self.sums += 1
        return self.sum_e6


class Streams:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.hashes: list[dict[str, str]] = []
        self.refuses = False

    def ops_write(self, keys: Keys, fields: Any) -> None:
        """Take the fields."""
        assert keys is KEYS
        if self.refuses:
            raise StreamsRefused("OOM")
        self.hashes.append(dict(fields))


class House:
    """A view for operators over stand-ins."""

    def __init__(self) -> None:
        self.streams, self.machine, self.log = Streams(), Fake(), ToyLog()
        self.snapshots = SimpleNamespace(durable_s=None, durable_seq=0, skipped_count=0)
        self.meters = EngineMeters(lambda: TIME_US)
        parts: Any = (self.streams, KEYS, "aa", self.snapshots, self.meters, self.log)
        self.view = OpsView(*parts, now_s=100.0)

    def write(self, now_s: float) -> bool:
        """Write when it is time."""
        return self.view.write(self.machine, now_s, TIME_US)


def test_it_is_told_once_a_second() -> None:
    """However often the loop turns, one look and one write are made a second, always of the same fields."""
    house = House()
    assert [house.write(100 + turn / 10) for turn in range(21)].count(True) == 3
    assert len({tuple(fields) for fields in house.streams.hashes}) == 1
    fields = house.streams.hashes[0]
    assert fields == {
        "seq": "7",
        "log_time_us": str(TIME_US - 5),
        "who": "aa",
        "events_last": "6-1",
        "accounts": "1",
        "positions": "2",
        "orders": "3",
        "triggers": "1",
        "nearest": "[]",
        "house": '{"A":{},"B":{},"C":{}}',
        "funds": '{"fees":"1.000000"}',
        "money_sum": "0.000000",
        "money_seq": "7",
        "ladder": orjson.dumps({name: {"longs": [], "shorts": []} for name in "ABC"}).decode(),
        "snapshot_seq": "",
        "snapshot_age_ms": "",
        "snapshot_pause_us": "",
        "snapshots_skipped": "0",
        "written_us": str(TIME_US),
    }


def test_snapshots_are_told_once_there_is_one() -> None:
    """The newest durable snapshot, its age and the last pause are told as soon as they are known."""
    house = House()
    house.snapshots.durable_s, house.snapshots.durable_seq, house.snapshots.skipped_count = 99.5, 5, 2
    house.meters.paused(0.001234)
    house.write(100.75)
    names = ("snapshot_seq", "snapshot_age_ms", "snapshot_pause_us", "snapshots_skipped")
    assert [house.streams.hashes[0][name] for name in names] == ["5", "1250", "1234", "2"]


def test_money_is_added_up_the_more_seldom_the_more_rows_there_are() -> None:
    """Every second up to so many rows, every third with three times as many; the seq says of when the sum is."""
    house = House()
    for second in range(3):
        house.write(100.0 + second * SECOND_S)
    assert house.machine.sums == 3
    house.machine.rows = 2 * MONEY_ROWS + 1
    house.write(103.0)
    for second in range(1, 4):
        house.machine.seq = 7 + second
        house.write(103.0 + second * SECOND_S)
    assert house.machine.sums == 5
    assert [fields["money_seq"] for fields in house.streams.hashes[3:]] == ["7", "7", "7", "10"]


def test_money_that_does_not_add_up_is_an_error_once() -> None:
    """A sum other than 0 is told with its sign, and in the log when it changes."""
    house = House()
    for second, total in enumerate((0, -3, -3, 2, 0)):
        house.machine.sum_e6 = total
        house.write(100.0 + second)
    sums = [fields["money_sum"] for fields in house.streams.hashes]
    assert sums == ["0.000000", "-0.000003", "-0.000003", "0.000002", "0.000000"]
    assert [facts["money_sum"] for facts in house.log.named("money_not_conserved")] == ["-0.000003", "0.000002"]


def test_large_ladders_take_turns() -> None:
    """So many positions are met in one second; the market that waited longest is next, and none is forgotten."""
    house = House()
    house.machine.met = LADDER_POSITIONS // 2
    for second in range(3):
        house.write(100.0 + second)
    assert house.machine.looked == [0, 1, 2, 0, 1, 2]
    assert [len(orjson.loads(fields["ladder"])) for fields in house.streams.hashes] == [2, 3, 3]


def test_a_look_that_fails_ends_nothing() -> None:
    """A mistake in a look is one line of the log a minute; nothing is written, and the engine starts and goes on."""
    house = House()
    house.machine.broken = True
    house.view.make_ready(house.machine)
    assert not any(house.write(100.0 + second) for second in range(int(FAULT_S)))
    assert len(house.log.named("ops_failed")) == 1 and house.streams.hashes == []
    house.machine.broken = False
    assert house.write(100.0 + FAULT_S)


def test_a_write_that_is_refused_is_said() -> None:
    """What Redis says to the write is the loop's to decide, as of every write aside."""
    house = House()
    house.streams.refuses = True
    with pytest.raises(StreamsRefused):
        house.write(100.0)
    house.streams.refuses = False
    assert not house.write(100.5) and house.write(101.0)


def test_the_leader_alone_tells(tmp_path: Path) -> None:
    """An engine tells operators once it leads, and never before."""
    venue = ToyVenue(tmp_path)
    runner = venue.engine()
    while not runner.parts.leadership.leading:
        assert venue.keys.ops not in venue.server.values
        runner.turn()
    turns(runner, lambda: venue.keys.ops in venue.server.values, 3)
    assert venue.server.values[venue.keys.ops]["who"] == "engine1"
    assert venue.log.named("ops_failed") == []


def test_a_state_is_told_as_it_is() -> None:
    """Of a real state every figure is the core's own, as text; an empty state can be looked at as well."""
    engine = opened(1)
    order = {"market": SOL, "side": "buy", "margin": "5", "leverage": 20}
    engine.apply("user_instruction", instruction(1, "trade_create", 100, **order))
    house = House()
    house.view.make_ready(Machine())
    machine: Any = Machine(engine.states)
    house.view.write(machine, 100.0, TIME_US)
    fields = house.streams.hashes[0]
    names = ("accounts", "positions", "orders", "triggers", "money_sum", "money_seq", "seq")
    assert [fields[name] for name in names] == ["1", "1", "0", "0", "0.000000", str(engine.seq), str(engine.seq)]
    [near] = orjson.loads(fields["nearest"])
    assert (near["account"], near["market"], near["mode"]) == (100, SOL, "isolated")
    assert orjson.loads(fields["ladder"])[SOL]["longs"][0][1:] == [near["qty"], 1]
    assert orjson.loads(fields["house"])[SOL]["qty"] == "-" + near["qty"]
