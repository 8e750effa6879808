"""
A toy venue for tests of the engine's shell: a state machine of one sum, and everything that outlives an engine.

The toy counts `add` entries; each causes one output. What the shell must get right (ids, order, bytes, hashes, leads,
keyframes) is all there, and a whole life takes milliseconds.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine.ingest import Header, Step
from engine.leadership import Leadership
from engine.log_source import LogSource
from engine.meters import EngineMeters
from engine.ops import OpsView
from engine.parts import Parts
from engine.publish import Last, Publisher
from engine.recovery import Recovery
from engine.runner import Runner
from engine.snapshots import Snapshots
from engine.trimmed import Trimmed
from engine.views import MarketViews
from engine.witness import gap_refusal
from engine.writer import Desk
from shared.codes import BatchStatus
from shared.database import DatabaseDown
from shared.refusal import refusal_file_read
from shared.rules import RULES_VERSION
from shared.streams import Entry, Keys, event_id, log_digest
from shared.wire_events import Output
from tests.engine_toy_streams import START_US, Crash, ToyClock, ToyServer, ToyStreams

__all__ = ["VENUE", "Crash", "ToyClock", "ToyLog", "ToyMachine", "ToyServer", "ToyStreams", "ToyVenue", "turns"]
VENUE = "toyvenue01"


class ToyMachine:
    """The state machine: a sum, its time, who leads."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state: dict[str, Any] = state or {
            "seq": 0, "total": 0, "time_us": 0, "slot": 0, "leader": "", "lead_seq": 0, "rules": RULES_VERSION,
            "events": [0, 0], "checkpoint": [0, "", ""],
        }  # fmt: skip
        self.entries: list[Entry] = []
        self.applied_count = 0
        self.last_entry: Entry | None = None
        self.tick_seq = 0
        self.outputs: list[Output] = []

    @property
    def seq(self) -> int:
        return self.state["seq"]

    def header(self) -> Header:
        state = self.state
        return Header(
            seq=state["seq"], log_time_us=state["time_us"], rules=state["rules"], leader=state["leader"],
            lead_seq=state["lead_seq"], events_last=tuple(state["events"]), venue=VENUE, feed_session="",
            keyframe_slot=state["slot"], checkpoint=tuple(state["checkpoint"]),
        )  # fmt: skip

    def last_digest(self) -> str:
        return "" if self.last_entry is None else log_digest(self.last_entry).hex()

    def load(self, entries: list[Entry]) -> None:
        seq = self.seq
        for entry in entries:
            if entry.seq != seq + 1:
                raise gap_refusal(seq, entry.seq)
            seq = entry.seq
        self.entries = entries
        self.applied_count = 0

    def step(self) -> Step | None:
        outputs: list[Output] = []
        while self.applied_count < len(self.entries):
            entry = self.entries[self.applied_count]
            self.applied_count += 1
            status = self.apply(entry, outputs)
            if status != BatchStatus.DONE or self.applied_count == len(self.entries):
                return Step(status, entry.seq, outputs)
        return None

    def apply(self, entry: Entry, outputs: list[Output]) -> BatchStatus:
        state = self.state
        fields = dict(entry.fields)
        status = BatchStatus.DONE
        self.last_entry = entry
        state["seq"] = entry.seq
        state["time_us"] = max(state["time_us"], int(fields[b"ts"]))
        if b"lead" in fields:
            lead = orjson.loads(fields[b"lead"])
            state["leader"], state["lead_seq"], state["rules"] = lead["who"], entry.seq, lead["rules"]
            status = BatchStatus.LEAD
        elif b"checkpoint" in fields:
            claim = orjson.loads(fields[b"checkpoint"])
            state["checkpoint"] = [claim["seq"], claim["state_hash"], claim["record_hash"]]
            status = BatchStatus.CHECKPOINT
        elif b"clock_tick" in fields:
            self.tick_seq = entry.seq
        elif b"add" in fields or b"genesis" in fields:
            state["total"] += int(fields.get(b"add", b"0"))
            outputs.append(self.output(entry.seq))
        if state["time_us"] // 10_000_000 != state["slot"]:
            state["slot"] = state["time_us"] // 10_000_000
            status = BatchStatus.KEYFRAME
        return status

    def output(self, seq: int) -> Output:
        state = self.state
        previous = event_id(*state["events"]) if state["events"] != [0, 0] else b"0-0"
        state["events"] = [seq, 0]
        data = orjson.dumps([{"e": "sum", "total": state["total"]}])
        return Output(seq, 0, state["time_us"], previous, b"", data)

    def hashes(self) -> tuple[str, str]:
        return toy_hashes(orjson.dumps(self.state))

    def copy(self, buffer: memoryview) -> int:
        content = orjson.dumps(self.state)
        buffer[: len(content)] = content
        return len(content)

    def market_views(self) -> dict[str, dict[str, str]]:
        return {"TOY": {"total": str(self.state["total"]), "seq": str(self.seq)}}

    def book_levels(self, _market: str) -> dict[str, list[Any]]:
        return {"bids": [], "asks": []}

    def watched(self) -> dict[str, Any]:
        return {"accounts": 0, "positions": 0, "orders": 0, "triggers": 0, "nearest": [], "house": {}, "funds": {}}

    def liquidation_ladder(self, _market_row: int) -> tuple[dict[str, Any], int]:
        return {"longs": [], "shorts": []}, 0

    def money_rows(self) -> int:
        return 0

    def money_sum_e6(self) -> int:
        return 0


def toy_hashes(content: bytes) -> tuple[str, str]:
    """Return both hashes of a toy state."""
    return hashlib.blake2b(content, digest_size=32).hexdigest(), hashlib.blake2b(content[::-1]).hexdigest()[:64]


def toy_content(view: memoryview, length: int) -> dict[str, Any]:
    """Return the document's content of a copied toy state, as the core's snapshot_document does."""
    columns = bytes(view[:length])
    state_hash, record_hash = toy_hashes(columns)
    tables = {"state": {"rows": 1, "bytes": columns}}
    return {"format": 1, "state_hash": state_hash, "record_hash": record_hash, "summary": {}, "tables": tables}


def toy_restore(content: dict[str, Any] | None) -> ToyMachine:
    """Return the machine of a document's content or of the empty state."""
    return ToyMachine() if content is None else ToyMachine(orjson.loads(content["tables"]["state"]["bytes"]))


class Kit(NamedTuple):
    """The state machine of a venue: the toy's, or the real core's."""

    restore: Callable[[Any], Any]
    content_of: Callable[[memoryview, int], dict[str, Any]]
    genesis: bytes
    buffer_bytes: int


TOY = Kit(toy_restore, toy_content, b"{}", 4_096)


class ToyBuffer:
    """Memory for the copy."""

    def __init__(self, bytes_count: int) -> None:
        self.view = memoryview(bytearray(bytes_count))

    def touch_ahead(self, length: int) -> None:
        """Nothing to touch."""


class ToyPort:
    """The second process, run in place; the store takes the documents unless it is slow."""

    def __init__(
        self, buffer: ToyBuffer, folder: Path, store: "ToyStore", content_of: Callable[..., dict[str, Any]]
    ) -> None:
        self.messages: list[dict[str, Any]] = []
        self.store = store
        self.waiting: list[dict[str, Any]] = []
        self.desk = Desk(
            buffer.view, folder, content_of, self.messages.append, lambda document, _kind: self.waiting.append(document)
        )

    def send(self, job: dict[str, Any]) -> bool:
        """Do the job at once."""
        self.desk.take(job)
        return True

    def receive(self, now_s: float) -> list[dict[str, Any]]:
        """Return what there is to say; rows become durable when Postgres is not slow."""
        if self.waiting and not self.store.slow:
            document = self.waiting.pop()
            self.waiting.clear()
            self.store.rows[document["seq"]] = orjson.loads(orjson.dumps(document))
            self.messages.append({"kind": "durable", **{n: document[n] for n in ("seq", "state_hash", "record_hash")}})
        messages = list(self.messages)
        self.messages.clear()
        if not self.store.slow:
            messages.append({"kind": "postgres", **self.store.look()})
        return messages

    def close(self) -> None:
        """Nothing to close."""


class ToyLog:
    """Collects facts."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.facts.append((event, fields))

    warning = error = info

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of every fact of this name."""
        return [fields for name, fields in self.facts if name == event]


class ToyStore:
    """What Postgres gives to recovery."""

    def __init__(self) -> None:
        self.rows: dict[int, Any] = {}
        self.slow = False  # takes no row, answers no question
        self.refusal: Any = None
        self.cursor: Any = None
        self.archive: Any = None  # {"seq", "digest"} of the newest archived entry
        self.counted = 0  # the newest keyframe that counts for trimming

    def snapshot_seqs(self) -> list[tuple[int, str]]:
        """Return what there is, the newest first."""
        self.answer()
        return [(seq, "row") for seq in sorted(self.rows, reverse=True)]

    def snapshot_read(self, seq: int, table: str) -> Any:
        """Return one document."""
        self.answer()
        return self.rows.get(seq)

    def look(self) -> dict[str, Any]:
        """Return what engines are told."""
        self.answer()
        return {
            "refusal": self.refusal,
            "cursor": self.cursor,
            "archive": self.archive,
            "counted": self.counted,
        }

    def answer(self) -> None:
        """Raise when Postgres is slow."""
        if self.slow:
            raise DatabaseDown("no answer in time")


class ToyVenue:
    """
    One venue with everything that outlives an engine: the server, the data folder, the rows.

    Its engines turn the plain way, or the fast one.
    """

    def __init__(self, folder: Path, kit: Kit = TOY, wire: str = "plain") -> None:
        self.data = folder
        self.kit = kit
        self.wire = wire
        self.clock = ToyClock()
        self.server = ToyServer()
        self.server.pointer = VENUE
        self.server.log = [Entry(1, [(b"ts", b"%d" % START_US), (b"genesis", kit.genesis)])]
        self.keys = Keys(VENUE)
        self.store = ToyStore()
        self.log = ToyLog()
        self.engines_count = 0

    def add(self, amount: int) -> int:
        """Append one entry of the toy's; return its seq."""
        return self.append([(b"add", b"%d" % amount)])

    def append(self, fields: list[tuple[bytes, bytes]]) -> int:
        """Append one entry as a producer does, stamped with its time; return its seq."""
        seq = self.server.log[-1].seq + 1
        self.server.log.append(Entry(seq, [(b"ts", b"%d" % self.clock.now_us()), *fields]))
        return seq

    def streams_make(self, fault: Callable[[str, str], None] | None) -> Any:
        """Return the streams of one engine process."""
        return ToyStreams(self.server, self.clock, fault)

    def recovery_make(self) -> Recovery:
        """Return what finds the start of one engine process."""
        return Recovery(VENUE, self.data / "snapshots", self.store, self.kit.restore, self.log)

    def engine(self, fault: Callable[[str, str], None] | None = None, founded: bool = False) -> Runner:
        """Return a new engine process, recovered from what is there."""
        self.engines_count += 1
        streams = self.streams_make(fault)
        recovery = self.recovery_make()
        start = recovery.start()
        now_s = self.clock.monotonic_s()
        buffer = ToyBuffer(self.kit.buffer_bytes)
        port = ToyPort(buffer, self.data / "snapshots", self.store, self.kit.content_of)
        snapshots = Snapshots(buffer, port, {"venue": VENUE, "engine_version": "toy"}, self.log)
        snapshots.hashes[start.machine.seq] = start.hashes
        snapshots.postgres = recovery.look()
        who = f"engine{self.engines_count}"
        source = LogSource(streams, self.keys, None)
        link, publisher = None, Publisher(streams, self.keys, start.last)
        if self.wire == "fast":
            link, publisher = link_publisher(self.port_maker(streams), streams, self.keys, start.last)
        meters = EngineMeters(self.clock.now_us)
        parts = Parts(
            venue=VENUE,
            machine=start.machine,
            streams=streams,
            source=source,
            keys=self.keys,
            publisher=publisher,
            leadership=Leadership(streams, self.keys, who, now_s, founded),
            snapshots=snapshots,
            trimmed=Trimmed(streams, self.keys, source, snapshots, self.clock),
            views=MarketViews(streams, self.keys, now_s),
            ops=OpsView(streams, self.keys, who, snapshots, meters, self.log, now_s),
            clock=self.clock,
            log=self.log,
            build="toy",
            refusal_look=lambda: refusal_file_read(self.data),
            memories=start.memories,
            link=link,
        )
        return Runner(parts, pid=self.engines_count, meters=meters)

    def port_maker(self, streams: Any) -> Callable[[], Any]:
        """Return what connects an engine's link."""
        from tests.engine_toy_port import ToyLinkPort

        return lambda: ToyLinkPort(streams, self.keys)


def link_publisher(connect: Callable[[], Any], streams: Any, keys: Keys, last: Last) -> tuple[Any, Publisher]:
    """Return an open link and what publishes over it."""
    from engine.link import Link
    from engine.publish_fast import FastPublisher

    link = Link(connect, 5.0, streams.lost)
    link.open()
    return link, FastPublisher(link, streams, keys, last)


def turns(runner: Runner, until: Callable[[], bool], limit: int = 20_000) -> None:
    """Turn the loop until something holds; fails when it never does."""
    for _ in range(limit):
        if until():
            return
        runner.turn()
    raise AssertionError("the loop never got there")
