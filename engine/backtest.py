"""
A back-test: recorded quotes, accounts and instructions through the real state machine, in one process, no servers.

    feed = RecordingsFeed([Path("btc.jsonl.gz")], frame_read, 60_000, None, None)
    test = Backtest(feed, Plan(accounts=2), instructions=[{"ts": …, "account": 100, "op": "order_place", …}])
    result = test.run()

What is applied is a log like any venue's, entry by entry, and `export` gets it: the same log gives the same state.
Order: by time; of one time first what was recorded, then instructions, those of one time as they were given.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import numpy as np
import orjson

from engine import core
from engine.backtest_feed import Fed, Feed, FeedRows
from engine.backtest_figures import Figures
from engine.backtest_strategy import Context, Quote, Strategy
from engine.decode.rows import KIND, KIND_PRICE
from engine.ingest import BATCH_MAX, Machine
from shared import genesis
from shared.codes import ACCOUNT_FIRST
from shared.stream_keys import Entry, Fields
from shared.wire_instructions import OPERATOR_OPS

VENUE = "backtestxx"  # a venue's name has ten letters
SAMPLE_US = 60_000_000
LATENCY_US = 100_000
OWNER_BASE = 1 << 64
ROWS_MAX = 1_000  # records of one batch: as many as stay in the cache until they are applied
OPERATOR_NAMES = frozenset(op.name.lower() for op in OPERATOR_OPS)


class BacktestError(Exception):
    """What was asked for cannot be back-tested; the text says what to give instead."""


class Plan(NamedTuple):
    """How the venue of a back-test is founded, and how it is looked at."""

    accounts: int = 1
    balances: Sequence[str | None] = ()  # of the accounts, in their order, where it is not the starting balance
    markets: list[dict[str, Any]] | None = None  # genesis entries; None: those of the recording, else the default ones
    venue_set: dict[str, Any] | None = None
    operations: Sequence[dict[str, Any]] = ()  # operators' instructions right after the founding
    latency_us: int = LATENCY_US  # from what a strategy sees to where its instruction stands in the log
    sample_us: int = SAMPLE_US  # of log time between two looks at every account's equity


class Export(Protocol):
    """Who wants the log that was applied."""

    def __call__(self, entries: Sequence[Entry]) -> None:
        """Take the next entries."""


class Backtest:
    """One run over one feed."""

    def __init__(
        self,
        feed: Feed,
        plan: Plan | None = None,
        instructions: Iterable[dict[str, Any]] = (),
        strategy: Strategy | None = None,
        export: Export | None = None,
    ) -> None:
        """Found the venue; raises BacktestError. `instructions` carry `ts` in microseconds and an `op`."""
        self.feed = feed
        self.plan = plan or Plan()
        self.strategy = strategy
        self.export = export
        self.machine = Machine()
        self.accounts = [ACCOUNT_FIRST + index for index in range(self.plan.accounts)]
        self.waiting: list[tuple[int, int, dict[str, Any]]] = []  # (when, which of one time, what): a heap
        self.instructions_count = 0
        self.entries_count = 0
        self.quotes_count = 0
        self.figures = Figures(self.machine.states, self.accounts)
        self.context = Context(self)
        for instruction in instructions:
            self.later(instruction["ts"], {name: value for name, value in instruction.items() if name != "ts"})
        first_us = feed.first_us()
        if first_us is None:
            raise BacktestError("nothing is recorded in the times that were asked for")
        self.started_us = min([first_us, *(when_us for when_us, _, _ in self.waiting[:1])])
        feed.clock_begin(self.started_us)
        self.found(self.started_us)

    def found(self, first_us: int) -> None:
        """Found the venue, apply the operations, open the accounts; raises BacktestError where one is refused."""
        recorded = self.feed.genesis or {}
        markets = self.plan.markets if self.plan.markets is not None else recorded.get("markets")
        venue_set = {**recorded.get("venue_set", {}), **(self.plan.venue_set or {})}
        founding = genesis.default(VENUE, markets, **venue_set)
        self.put_fields([(b"ts", b"%d" % first_us), (b"genesis", orjson.dumps(founding))])
        if not core.markets_of(self.machine.states):
            raise BacktestError("no venue can be founded with these markets and limits; docs/operations.md lists them")
        self.figures.begin()
        for body in self.plan.operations:
            self.first_put(first_us, body)
        for index, account in enumerate(self.accounts):
            self.first_put(first_us, {"account": 0, "op": "account_open", "owner": f"{OWNER_BASE + index:032x}"})
            balance = self.plan.balances[index] if index < len(self.plan.balances) else None
            if balance is not None:
                held = core.account_of(self.machine.states, account) or {"free_e6": 0}
                change = Decimal(balance) - Decimal(held["free_e6"]) / 10**6
                if change:
                    body = {"account": account, "op": "account_credit", "amount": f"{change:f}", "reason": "balance"}
                    self.first_put(first_us, body)
        self.figures.accounts_begin(first_us)

    def first_put(self, ts_us: int, body: dict[str, Any]) -> None:
        """Apply an instruction of the founding; raises BacktestError when the venue refuses it."""
        self.instruct(ts_us, body)
        if self.figures.result != "OK":
            raise BacktestError(
                f"{orjson.dumps(body).decode()} is refused: {self.figures.result}; see docs/commands.md"
            )

    def later(self, ts_us: int, body: dict[str, Any]) -> None:
        """Have an instruction reach the venue at a time."""
        self.instructions_count += 1
        heapq.heappush(self.waiting, (ts_us, self.instructions_count, body))

    def run(self, advance: Callable[[int, int, int], None] = lambda entries, done, total: None) -> "Figures":
        """Apply everything; return the figures. `advance` is told of entries applied, and how much of the feed."""
        if self.strategy is not None:
            self.strategy.start(self.context)
        while True:
            if self.strategy is not None and self.tick():
                continue
            fed = self.feed.take(self.until_us(), ROWS_MAX, self.machine.seq + 1)
            if fed is None and not self.waiting:
                break
            if fed is None:
                self.due_put()
            else:
                self.put(fed)
            advance(self.entries_count, *self.feed.progress())
        self.feed.close()
        self.figures.end()
        return self.figures

    def tick(self) -> bool:
        """Apply the next tick when it comes before everything else: a strategy may answer what it causes."""
        nexts = [
            each for each in (self.feed.first_us(), *(when for when, _, _ in self.waiting[:1])) if each is not None
        ]
        ticks = self.feed.ticks(min(nexts), self.machine.seq + 1, one=True) if nexts else []
        if ticks:
            self.put(ticks)
        return bool(ticks)

    def until_us(self) -> int | None:
        """Return up to when what is recorded can be applied before anything else comes; None for no end."""
        until_us = self.waiting[0][0] if self.waiting else None
        if self.strategy is None:
            return until_us
        first_us = self.feed.first_us()
        if first_us is None:
            return until_us
        # Nothing that is answered from here on reaches the venue earlier.
        reach_us = first_us + self.plan.latency_us
        return reach_us if until_us is None else min(until_us, reach_us)

    def due_put(self) -> None:
        """Apply the next instruction that waits, and the ticks in front of it."""
        ts_us, _, body = heapq.heappop(self.waiting)
        ticks = self.feed.ticks(ts_us, self.machine.seq + 1)
        if ticks:
            self.put(ticks)
        self.instruct(ts_us, body)

    def instruct(self, ts_us: int, body: dict[str, Any]) -> None:
        """Apply one instruction."""
        op = str(body.get("op", ""))
        first = self.accounts[0] if self.accounts and op not in OPERATOR_NAMES else 0
        rest = {name: value for name, value in body.items() if name not in ("v", "account", "request_id")}
        sent = {"v": 1, "account": body.get("account", first), "request_id": body.get("request_id", ""), **rest}
        if not sent["request_id"]:
            # As a UUIDv7 of its time; other bodies have other ids, also in the recorded log of another back-test.
            digest = blake2b(b"%d" % (self.machine.seq + 1) + orjson.dumps(rest, default=plain), digest_size=8)
            unique = int.from_bytes(digest.digest(), "big") >> 2
            sent["request_id"] = f"{max(ts_us, 0) // 1_000 << 80 | 7 << 76 | 2 << 62 | unique:032x}"
        name = b"venue_instruction" if op in OPERATOR_NAMES else b"user_instruction"
        self.put_fields([(b"ts", b"%d" % ts_us), (name, orjson.dumps(sent, default=plain))])

    def put_fields(self, fields: Fields) -> None:
        """Apply one entry."""
        self.put([Entry(self.machine.seq + 1, fields)])

    def put(self, fed: Fed) -> None:
        """Apply entries; everybody who looks is told."""
        if self.export is not None:
            self.export(fed)
        self.entries_count += len(fed)
        for first in range(0, len(fed), BATCH_MAX):
            self.machine.load(fed if len(fed) <= BATCH_MAX else fed[first : first + BATCH_MAX])
            self.quotes_count += fed.quotes_count if isinstance(fed, FeedRows) else 0
            if self.strategy is not None and isinstance(fed, FeedRows):
                self.quotes_step(fed)
                continue
            while (step := self.machine.step()) is not None:
                self.outputs_take(step.outputs)
                self.figures.look(self.plan.sample_us)

    def quotes_step(self, fed: FeedRows) -> None:
        """Apply records one by one, showing each quote that was accepted to the strategy."""
        strategy = self.strategy
        assert strategy is not None
        for row, kind in zip(fed.rows, fed.rows[:, KIND].tolist(), strict=True):
            accepted = self.figures.quotes_accepted() if kind == KIND_PRICE else 0
            step = self.machine.step(1)
            assert step is not None
            self.outputs_take(step.outputs)
            if kind == KIND_PRICE and self.figures.quotes_accepted() > accepted:
                quote = Quote(row.tolist())
                self.context.quotes[quote.market] = quote
                strategy.quote(self.context, quote)
            self.figures.look(self.plan.sample_us)

    def outputs_take(self, outputs: Sequence[Any]) -> None:
        """Hand every event to the figures and to the strategy."""
        for output in outputs:
            for event in orjson.loads(output.data):
                self.figures.note(event, output.log_time_us)
                if self.strategy is not None:
                    self.strategy.event(self.context, event)

    def notes(self) -> list[str]:
        """Return what whoever looks at the result should know beside it."""
        views = self.machine.market_views().values()
        known = sum(view["accepted"] + sum(view["ignored"].values()) for view in views)
        foreign = self.quotes_count - known
        words = [f"{foreign:,} quotes are of markets that the venue does not have"] if foreign > 0 else []
        return [*self.feed.notes, *words]

    def state_hash(self) -> str:
        """Return the hash of the state now."""
        return self.machine.hashes()[0]

    def log_time_us(self) -> int:
        """Return the venue's time now."""
        return int(self.machine.states.view(np.ndarray)[0]["header"]["log_time_us"])


def plain(value: Any) -> str:
    """Return a number that is money or a quantity as text; raises TypeError for what is neither."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{value!r} is no value of an instruction")
