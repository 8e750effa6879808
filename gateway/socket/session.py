"""
One following of channels: from a snapshot or a place on, each event exactly once; no input or output of its own.

A following is verified, catches up from the stream and then from the ring, and is live once nothing lies between. Its
`place` is what it has told: everything up to it, nothing after it. The one that drives it (`joining.py`) asks what it
wants, brings entries and sends the messages that it returns.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from gateway.ring import Held, Parsed, Position, Ring
from gateway.socket.channels import EVENTS, PRIVATE_OF_KIND, Channel, public_image
from gateway.socket.messages import Event, Gap, Id, Live, Snapshot

ALL = 2**62  # as an event's index: every event of the entry
STEP_ENTRIES = 512  # looked at in one go
SNAPSHOTS_MAX = 5  # in a row without coming live: then the views are too far behind

encode = msgspec.json.Encoder().encode


class Place(NamedTuple):
    """Where a following stands: at an event of an entry, or with ALL behind the whole entry."""

    seq: int
    chunk: int
    event: int = ALL

    @property
    def entry(self) -> Position:
        """Return the entry's place."""
        return self.seq, self.chunk

    @property
    def whole(self) -> bool:
        """Return whether the entry itself is done with."""
        return self.event == ALL

    @property
    def text(self) -> str:
        """Return how a client names it."""
        return f"{self.seq}-{self.chunk}" if self.whole else f"{self.seq}-{self.chunk}-{self.event}"


def place_of_text(text: str) -> Place:
    """Return the place that a client names; the text has been checked for its shape."""
    seq, chunk, *event = (int(part) for part in text.split("-"))
    return Place(seq, chunk, *event)


class Stage(Enum):
    """How far a following has come."""

    VERIFY = "verify"  # `place` is a client's word
    SNAPSHOT = "snapshot"  # a snapshot is wanted
    BEHIND = "behind"  # everything up to `place` is told
    LIVE = "live"  # it hears of each entry as it is read
    FAILED = "failed"  # the views cannot be joined with the events


class Verdict(Enum):
    """What a slice of the stream says about a place."""

    JOINED = "joined"
    GAP = "gap"
    AGAIN = "again"  # nothing there yet


class Follow:
    """Channels of at most one account that are told together; `account` is None when all are public."""

    def __init__(
        self,
        channels: Iterable[Channel],
        account: int | None,
        ident: Any = msgspec.UNSET,
        start: Place | None = None,
    ) -> None:
        """Begin at the client's place, or with a snapshot."""
        self.channels = {channel.name: channel for channel in channels}
        self.account = account
        self._account_text = b"" if account is None else b"%d" % account
        self.tags: tuple[bytes, ...] = ()  # what the data of an entry that concerns a public channel holds one of
        self._tags_find()
        self.ident: Id | msgspec.UnsetType = ident
        self.place = start or Place(0, 0)
        self.stage = Stage.SNAPSHOT if start is None else Stage.VERIFY
        self.owed_bytes = 0  # of entries that concern it and are not told, while it is behind
        self.gaps: list[str] = []  # the reasons of those that nobody has counted yet
        self._live_owed = True
        self._looked_twice = False
        self._snapshots = 0

    # -- whom an entry concerns

    def narrow(self, names: Iterable[str]) -> None:
        """Tell these channels no more."""
        for name in names:
            del self.channels[name]
        self._tags_find()

    def _tags_find(self) -> None:
        """Keep the tags of the channels that are told."""
        self.tags = tuple(dict.fromkeys(tag for channel in self.channels.values() for tag in channel.tags))

    @property
    def private(self) -> bool:
        """Return whether any channel tells of the account."""
        return any(channel.private for channel in self.channels.values())

    def concerned(self, held: Held) -> bool:
        """Return whether an entry may hold an event for this following."""
        entry = held.entry
        if self._account_text and self._account_text in entry.accounts.split(b","):
            return True
        return any(tag in entry.data for tag in self.tags)

    def messages(self, held: Held, parsed: Parsed, after: int = -1) -> list[bytes]:
        """Return the messages that tell an entry's events with a greater index, each event on one channel."""
        told: dict[int, tuple[str, dict[str, Any]]] = {}
        for index, channel, event in parsed.public:
            if index > after and channel in self.channels:
                told[index] = channel, event
        private = parsed.by_account.get(self.account, ()) if self.account is not None else ()
        for index, event in private:
            channel = PRIVATE_OF_KIND.get(event["e"], "")
            if channel not in self.channels:
                channel = EVENTS
            if index > after and channel in self.channels:
                told[index] = channel, event
        return [self._frame(held, parsed, index, *told[index]) for index in sorted(told)]

    def _frame(self, held: Held, parsed: Parsed, index: int, channel: str, event: dict[str, Any]) -> bytes:
        """Return one event's message; that of a public channel is made once for everybody."""
        public = not self.channels[channel].private
        frame = parsed.frames.get((index, channel)) if public else None
        if frame is None:
            entry = held.entry
            data = public_image(event, entry.log_time_us, parsed.closed) if public else event
            at = f"{entry.seq}-{entry.chunk}-{index}"
            frame = encode(Event(at=at, channel=channel, log_time_us=entry.log_time_us, data=data))
            if public:
                parsed.frames[index, channel] = frame
        return frame

    # -- what happens to it

    def gap(self, reason: str, first: Position | None = None) -> list[bytes]:
        """Say that what follows `place` cannot be told, and want a snapshot."""
        oldest = msgspec.UNSET if first is None else Place(*first).text
        self.stage = Stage.SNAPSHOT
        self.gaps.append(reason)
        self._live_owed = True
        return [encode(Gap(id=self.ident, start=self.place.text, reason=reason, first=oldest))]  # type: ignore[arg-type]

    def snapshot(self, cursor: Position, data: dict[str, Any]) -> list[bytes]:
        """Take a snapshot that holds everything up to a cursor; everything after it is told from now on."""
        assert self.stage is Stage.SNAPSHOT
        self._snapshots += 1
        self.stage = Stage.BEHIND if self._snapshots <= SNAPSHOTS_MAX else Stage.FAILED
        self.place = Place(*cursor)
        account = self.account if self.private and self.account is not None else msgspec.UNSET
        return [encode(Snapshot(id=self.ident, at=self.place.text, account=account, data=data))]

    def in_ring(self, ring: Ring) -> bool:
        """Return whether the ring alone says what follows `place`, or that a place is none of this history."""
        assert self.stage in (Stage.VERIFY, Stage.BEHIND)
        entry = self.place.entry
        if self.stage is Stage.VERIFY and entry > ring.tip:
            return False
        return entry > ring.floor or (entry == ring.floor and self.place.whole)

    def slice_judge(self, entries: Sequence[Held], first: Position) -> tuple[Verdict, list[bytes]]:
        """
        Return whether what the stream holds from `place` on joins it, and what to say if not.

        `entries` begin with the entry at `place` if it is still there; `first` is the oldest that the stream holds.
        """
        entry = self.place.entry
        if not entries:
            if self.stage is Stage.BEHIND:
                return Verdict.GAP, self.gap("trimmed", first)
            if not self._looked_twice:
                self._looked_twice = True
                return Verdict.AGAIN, []
            return Verdict.GAP, self.gap("ahead", first)
        if entries[0].place == entry or (entries[0].previous == entry and self.place.whole):
            self.stage = Stage.BEHIND
            return Verdict.JOINED, []
        return Verdict.GAP, self.gap("trimmed" if entries[0].previous >= entry else "unknown", first)

    def take(self, held: Held, parsed: Parsed | None) -> list[bytes]:
        """
        Return the messages of the next entry and stand behind it; those of the rest of it when `place` is inside.

        `parsed` is None for an entry that does not concern this following.
        """
        assert held.place >= self.place.entry
        after = self.place.event if held.place == self.place.entry else -1
        self.place = Place(*held.place)
        return self.messages(held, parsed, after) if parsed is not None else []

    def ring_verify(self, ring: Ring) -> list[bytes]:
        """Hold a client's place that the ring covers against it."""
        entry = self.place.entry
        if entry != ring.floor and ring.at(entry) is None:
            return self.gap("unknown")
        self.stage = Stage.BEHIND
        return []

    def ring_next(self, ring: Ring) -> list[Held]:
        """Return the next entries of the ring, that at `place` among them if it is not told whole."""
        assert self.stage is Stage.BEHIND and self.in_ring(ring)
        following = ring.following(self.place.entry, STEP_ENTRIES)
        there = None if self.place.whole else ring.at(self.place.entry)
        return [there, *following] if there is not None else following

    def live(self, ring: Ring) -> list[bytes]:
        """Be live: nothing lies between `place` and the ring's end; it may be said to have come so far."""
        assert self.stage is Stage.BEHIND and self.place.entry >= ring.tip
        self.stage = Stage.LIVE
        self.owed_bytes = self._snapshots = 0
        if not self._live_owed:
            return []
        self._live_owed = False
        return [encode(Live(id=self.ident, at=self.place.text))]

    def hear(self, held: Held, parsed: Parsed) -> list[bytes]:
        """Return the messages of an entry that was read just now; one that is told already has none."""
        assert self.stage is Stage.LIVE
        return [] if held.place < self.place.entry else self.take(held, parsed)

    def fall_behind(self, told: Position) -> None:
        """Be live no more; everything up to `told` concerned it or was of no concern."""
        assert self.stage is Stage.LIVE
        if told > self.place.entry:
            self.place = Place(*told)
        self.stage = Stage.BEHIND

    def complete_to(self, ring: Ring) -> Place | None:
        """Return up to where everything is told, None while that is a client's word or a snapshot is wanted."""
        if self.stage is Stage.LIVE:
            return max(self.place, Place(*ring.tip))
        return self.place if self.stage is Stage.BEHIND else None
