"""Streams in memory that can fail before and after every verb, and the clock of a toy venue."""

from collections.abc import Callable
from typing import Any

from shared.streams import (
    Appended,
    AppendStatus,
    DuplicateId,
    Entry,
    EventsEntry,
    Keys,
    StreamsDown,
    StreamsRefused,
    StreamsUnknown,
    seq_chunk_of_event_id,
)

START_US = 1_800_000_000_000_000


class Crash(BaseException):
    """The process dies here; nothing of it runs on."""


class ToyClock:
    """Time that moves only when told, or when somebody sleeps."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now_us(self) -> int:
        """Return the wall clock."""
        return START_US + int(self.passed_s * 1e6)

    def monotonic_s(self) -> float:
        """Return the monotonic clock."""
        return self.passed_s

    def sleep_s(self, seconds: float) -> None:
        """Let time pass."""
        self.passed_s += seconds


class ToyServer:
    """What Redis holds."""

    def __init__(self) -> None:
        self.pointer: str | None = None
        self.log: list[Entry] = []
        self.events: list[EventsEntry] = []
        self.events_there = False
        self.values: dict[str, Any] = {}
        self.run_id = "run-1"
        self.time_us = START_US


class ToyStreams:
    """The verbs over a ToyServer; `fault(verb, moment)` may raise before or after each of them."""

    def __init__(self, server: ToyServer, clock: ToyClock, fault: Callable[[str, str], None] | None = None) -> None:
        self.server = server
        self.clock = clock
        self.fault = fault or (lambda verb, moment: None)
        self.losses = 0

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name.startswith("_") or not callable(value) or name in ("fault", "lost", "close"):
            return value

        def verb(*arguments: Any, **options: Any) -> Any:
            try:
                self.fault(name, "before")
                result = value(*arguments, **options)
                self.fault(name, "after")
            except (StreamsDown, StreamsUnknown):
                self.losses += 1
                raise
            return result

        return verb

    def lost(self) -> None:
        self.losses += 1

    def close(self) -> None:
        """Nothing to close."""

    def venue(self) -> str | None:
        return self.server.pointer

    def venue_set(self, venue: str) -> bool:
        if self.server.pointer is not None:
            return False
        self.server.pointer = venue
        return True

    def restores(self, keys: Keys) -> int:
        return int(self.server.values.get(keys.restores, 0))

    def server_info(self) -> dict[str, Any]:
        return {"run_id": self.server.run_id, "appendonly": True, "appendfsync": "always"}

    def genesis(self, keys: Keys, fields: list[tuple[bytes, bytes]]) -> bool:
        if self.server.log:
            return False
        self.server.log.append(Entry(1, fields))
        return True

    def append_engine(self, keys: Keys, fields: list[tuple[bytes, bytes]]) -> Appended:
        if not self.server.log:
            return Appended(AppendStatus.REFUSED, 0, "LOG_ABSENT")
        seq = self.server.log[-1].seq + 1
        self.server.log.append(Entry(seq, fields))
        return Appended(AppendStatus.ACCEPTED, seq)

    def read_log(self, keys: Keys, after_seq: int, count: int, block_ms: int | None = None) -> list[Entry]:
        found = [entry for entry in self.server.log if entry.seq > after_seq][:count]
        if not found:
            self.clock.sleep_s((block_ms or 0) / 1_000)
        return found

    def range_log(self, keys: Keys, first_seq: int, last_seq: int, count: int) -> list[Entry]:
        return [entry for entry in self.server.log if first_seq <= entry.seq <= last_seq][:count]

    def log_tip(self, keys: Keys) -> int:
        return self.server.log[-1].seq if self.server.log else 0

    def log_first(self, keys: Keys) -> int:
        return self.server.log[0].seq if self.server.log else 0

    def publish(self, keys: Keys, entries: list[tuple[bytes, list[tuple[bytes, bytes]]]], create: bool = False) -> None:
        if not self.server.events_there and not create:
            raise StreamsRefused("the events stream is absent")
        duplicates = []
        for stream_id, fields in entries:
            place = seq_chunk_of_event_id(stream_id)
            last = self.server.events[-1] if self.server.events else None
            if last is not None and place <= (last.seq, last.chunk):
                duplicates.append(stream_id)
                continue
            t, p, a, d = (value for _, value in fields)
            self.server.events.append(EventsEntry(*place, int(t), p, a, d))
            self.server.events_there = True
        if duplicates:
            raise DuplicateId(duplicates)

    def read_events(
        self, keys: Keys, after: tuple[int, int], count: int, block_ms: int | None = None
    ) -> list[EventsEntry]:
        return [entry for entry in self.server.events if (entry.seq, entry.chunk) > after][:count]

    def range_events(self, keys: Keys, first: tuple[int, int], last: tuple[int, int], count: int) -> list[EventsEntry]:
        return [entry for entry in self.server.events if first <= (entry.seq, entry.chunk) <= last][:count]

    def events_tip(self, keys: Keys) -> tuple[int, int]:
        return (self.server.events[-1].seq, self.server.events[-1].chunk) if self.server.events else (0, 0)

    def events_first(self, keys: Keys) -> tuple[int, int]:
        return (self.server.events[0].seq, self.server.events[0].chunk) if self.server.events else (0, 0)

    def get_json(self, key: str) -> Any:
        return self.server.values.get(key)

    def set_json(self, key: str, value: Any, expire_ms: int | None = None) -> None:
        self.server.values[key] = value

    def views_cursor_read(self, keys: Keys) -> tuple[str | None, bytes]:
        return self.server.values.get(keys.views_cursor), self.server.values.get(keys.views_witness, b"")

    def heartbeat(self, keys: Keys, name: str, payload: dict[str, Any]) -> None:
        self.server.values[keys.process(name)] = payload

    def leader_read(self, keys: Keys) -> dict[str, Any] | None:
        return self.server.values.get(keys.leader)

    def leader_write(self, keys: Keys, payload: dict[str, Any]) -> None:
        self.server.values[keys.leader] = payload

    def view_markets_write(self, keys: Keys, views: dict[str, dict[str, str]]) -> None:
        for market, fields in views.items():
            self.server.values[keys.view_market(market)] = fields

    def ops_write(self, keys: Keys, fields: dict[str, str]) -> None:
        self.server.values[keys.ops] = fields
