"""
The way into the log: entries wait here in order, leave in batches, one batch in flight, and none is sent twice.

The waiting room is bounded: a reader of the socket must `await room()` before it reads on, so a slow log slows the
socket instead of filling the memory. What cannot be forwarded for seconds is worth nothing as a quote: the connection
then drops its socket and calls `discard`.
"""

import asyncio
import functools
import itertools
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from poller.timing import Timing
from poller.witness import Witness
from shared.metrics import Times
from shared.stream_keys import Appended, AppendStatus, Entry, Fields, StreamsDown, StreamsError

BATCH_ENTRIES_MAX = 500
WAITING_ENTRIES_MAX = 2_000
READ_ENTRIES = 1_000  # of the log at a time, when an answer was lost
PAUSE_FIRST_S = 0.02
PAUSE_MAX_S = 0.5

FEED_STATUS = b"feed_status"
CLOCK_TICK = b"clock_tick"
TICK_GAP_S = 4.0  # the engine lets a tick more than 5 s ahead wait for the next
PRICE_UPDATE = b"price_update"
MARK_UPDATE = b"mark_update"


class Log(Protocol):
    """The verbs of shared.streams that the forwarder uses."""

    async def append_many(self, keys: Any, entries: Sequence[Fields]) -> list[Appended]:
        """Append each entry in order and say of each what became of it."""

    async def read_log(self, keys: Any, after_seq: int, count: int, block_ms: int | None) -> list[Entry]:
        """Return the entries after a seq."""


class Item(NamedTuple):
    """One entry that waits to be appended; `ts` is stamped when it is sent."""

    kind: bytes
    body: bytes
    session: bytes  # empty for clock_tick, which belongs to no feed
    waiting_since_s: float
    accepted: asyncio.Future[int] | None = None


class Forwarder:
    """Appends what it is given, in order, each exactly once."""

    def __init__(
        self,
        log: Log,
        keys: Any,
        timing: Timing,
        logger: Any,
        witness: Witness,
        refused: Callable[[], Awaitable[None]],
    ) -> None:
        self.log = log
        self.keys = keys
        self.timing = timing
        self.logger = logger
        self.witness = witness
        self.refused = refused  # asked after every batch that was not taken: is this still our venue?
        self.waiting: deque[Item] = deque()
        self.flying: list[Item] = []
        self.tick_due = False
        self.tick_last_s = float("-inf")  # when the log last took a tick
        self.confirm_due = False  # the tick just taken came after a gap and wants another to confirm it
        self.discarded = b""  # the session whose quotes are no longer wanted
        self.work = asyncio.Event()
        self.space = asyncio.Event()
        self.space.set()
        self.idle = asyncio.Event()
        self.seq = 0  # of the newest entry known to be in the log
        self.counts: Counter[str] = Counter()
        self.append = Times()  # how long the log took over a batch
        self.outage_since_s: float | None = None

    # --- what the others call -------------------------------------------------------------------------------------

    def put(self, kind: bytes, body: bytes, session: bytes) -> None:
        """Queue one quote or mark; the caller has awaited `room()` since the last one."""
        assert len(self.waiting) < WAITING_ENTRIES_MAX + BATCH_ENTRIES_MAX, "put without room"
        self.waiting.append(Item(kind, body, session, self.timing.monotonic_s()))
        self.work.set()

    def status_put(self, body: bytes, session: bytes) -> asyncio.Future[int]:
        """Queue a feed_status; return the future of its seq."""
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.waiting.append(Item(FEED_STATUS, body, session, self.timing.monotonic_s(), accepted))
        self.work.set()
        return accepted

    def tick(self) -> None:
        """Have one clock_tick in the next batch; ticks that could not be sent do not pile up."""
        self.tick_due = True
        self.work.set()

    @property
    def full(self) -> bool:
        """Return whether a reader must wait."""
        return len(self.waiting) >= WAITING_ENTRIES_MAX

    async def room(self) -> None:
        """Wait until there is room for one more entry."""
        while self.full:
            self.space.clear()
            await self.space.wait()

    def oldest_age_s(self) -> float:
        """Return how long the oldest quote has waited, in flight or not; 0 when none waits."""
        for item in itertools.chain(self.flying, self.waiting):
            if item.kind in (PRICE_UPDATE, MARK_UPDATE) and item.session != self.discarded:
                return self.timing.monotonic_s() - item.waiting_since_s
        return 0.0

    def discard(self, session: bytes) -> None:
        """Forget the quotes of a session that are not appended yet; its feed_status entries stay."""
        before = len(self.waiting)
        self.waiting = deque(item for item in self.waiting if item.session != session or item.kind == FEED_STATUS)
        self.counts["discarded"] += before - len(self.waiting)
        self.discarded = session
        self.space.set()

    async def drained(self) -> None:
        """Wait until nothing waits and nothing is in flight."""
        while self.waiting or self.flying:
            self.idle.clear()
            await self.idle.wait()

    # --- the loop -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Forward for ever; raises what `refused` raises."""
        self.seq = await self.patiently(self.witness.begin)
        pause_s = PAUSE_FIRST_S
        while True:
            if not self.waiting and not self.tick_due:
                self.idle.set()
                self.work.clear()
                await self.work.wait()
            self.batch_take()
            if await self.batch_append():
                pause_s = PAUSE_FIRST_S
                self.outage_end()
                continue
            await self.refused()
            await self.timing.sleep(pause_s)
            pause_s = min(PAUSE_MAX_S, pause_s * 2)

    def batch_take(self) -> None:
        """Move the oldest entries into flight, and a due tick behind them."""
        assert not self.flying, "one batch in flight"
        waiting = self.waiting
        self.flying = [waiting.popleft() for _ in range(min(len(waiting), BATCH_ENTRIES_MAX))]
        if self.tick_due:
            self.tick_due = False
            self.flying.append(Item(CLOCK_TICK, b"{}", b"", self.timing.monotonic_s()))
        if not self.full:
            self.space.set()

    async def batch_append(self) -> bool:
        """Append the batch in flight; return whether all of it was taken, else put the rest back in front."""
        batch = self.flying
        list_of_fields = self.fields_stamp(batch)
        began_s = self.timing.monotonic_s()
        try:
            answers = await self.log.append_many(self.keys, list_of_fields)
        except StreamsDown:
            answers = [Appended(AppendStatus.REFUSED, 0, "UNREACHABLE")] * len(batch)
        except StreamsError:
            answers = [Appended(AppendStatus.UNKNOWN, 0)] * len(batch)
        self.append.observe(self.timing.monotonic_s() - began_s)
        assert len(answers) == len(batch), "one answer for each entry"
        if self.witness.doubtful and any(answer.status != AppendStatus.REFUSED for answer in answers):
            await self.patiently(self.witness.check)
        if any(answer.status == AppendStatus.UNKNOWN for answer in answers):
            self.counts["unknown_answers"] += 1
            answers = await self.answers_resolve(list_of_fields, answers)
        left: list[Item] = []
        accepted = [pair for pair in zip(answers, list_of_fields, strict=True) if pair[0].seq > 0]
        if accepted:
            self.witness.note(accepted[-1][0].seq, accepted[-1][1])
        for item, answer in zip(batch, answers, strict=True):
            if answer.status == AppendStatus.ACCEPTED:
                self.item_accepted(item, answer.seq)
                continue
            self.outage_begin(answer.reason)
            if item.kind == CLOCK_TICK:
                self.tick_due = True
            elif item.session == self.discarded and item.kind != FEED_STATUS:
                self.counts["discarded"] += 1
            else:
                left.append(item)
        self.flying = []
        self.waiting.extendleft(reversed(left))
        # Not `tick_due`: that may be the next second's, asked for while this batch was under way.
        return all(answer.status == AppendStatus.ACCEPTED for answer in answers)

    def fields_stamp(self, batch: list[Item]) -> list[Fields]:
        """Return the entries as they go out, stamped with the clock of this moment."""
        stamp = (b"ts", b"%d" % self.timing.now_us())
        return [
            [stamp, (b"session", item.session), (item.kind, item.body)] if item.session
            else [stamp, (item.kind, item.body)]
            for item in batch
        ]  # fmt: skip

    def item_accepted(self, item: Item, seq: int) -> None:
        """Note that an entry is in the log."""
        self.seq = max(self.seq, seq)
        self.counts[item.kind.decode()] += 1
        if item.kind == CLOCK_TICK:
            now_s = self.timing.monotonic_s()
            self.confirm_due = now_s - self.tick_last_s > TICK_GAP_S
            self.tick_last_s = now_s
        if item.accepted is not None and not item.accepted.done():
            item.accepted.set_result(seq)

    async def answers_resolve(self, list_of_fields: list[Fields], answers: list[Appended]) -> list[Appended]:
        """
        Return the answers with every unknown one settled by reading the log behind the newest entry we know of.

        An entry is recognised by its bytes, its stamp included; a missing one was certainly not appended (the
        connection that carried it is gone) and becomes REFUSED.
        """
        found: dict[tuple[tuple[bytes, bytes], ...], list[int]] = {}
        for seq, fields in reversed(await self.log_since(self.seq)):
            found.setdefault(tuple(fields), []).append(seq)
        settled: list[Appended] = []
        for fields, answer in zip(list_of_fields, answers, strict=True):
            if answer.status == AppendStatus.UNKNOWN:
                places = found.get(tuple(fields))
                answer = (
                    Appended(AppendStatus.ACCEPTED, places.pop())
                    if places
                    else Appended(AppendStatus.REFUSED, 0, "ANSWER_LOST")
                )
            settled.append(answer)
        return settled

    async def log_since(self, seq: int) -> list[Entry]:
        """Return every entry after `seq`, waiting for as long as the log cannot be read."""
        entries: list[Entry] = []
        while True:
            after = entries[-1].seq if entries else seq
            page = await self.patiently(functools.partial(self.log.read_log, self.keys, after, READ_ENTRIES, None))
            entries.extend(page)
            if len(page) < READ_ENTRIES:
                return entries

    async def patiently(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Return the answer to a question that changes nothing, asked until there is one."""
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                return await ask()
            except StreamsError as error:
                self.outage_begin(str(error))
                await self.refused()
                await self.timing.sleep(pause_s)
                pause_s = min(PAUSE_MAX_S, pause_s * 2)

    def outage_begin(self, why: str) -> None:
        """Say once that the log takes nothing."""
        if self.outage_since_s is None:
            self.outage_since_s = self.timing.monotonic_s()
            self.counts["outages"] += 1
            self.logger.warning("log_refuses", why=why, waiting=len(self.waiting))

    def outage_end(self) -> None:
        """Say once that the log takes entries again."""
        if self.outage_since_s is not None:
            seconds = round(self.timing.monotonic_s() - self.outage_since_s, 3)
            self.outage_since_s = None
            self.logger.info("log_accepts", outage_s=seconds, waiting=len(self.waiting))
