"""A venue with one engine process and what a poller and a gateway would send it; a Redis that may be killed."""

import random
import signal
from functools import partial
from pathlib import Path

from scripts import embedded
from shared.streams import Entry, Keys, Streams
from tests.integration.conftest import redis_answers, server_start, server_stop
from tests.integration.conftest import until as servers_until
from tests.integration.engine_process import EngineProcess, Producer, events_all, twin_of, until

MARKET = "BTC_USDC_PERP"


class Scene:
    """A venue with one engine process."""

    def __init__(self, redis_url: str, database_url: str, tmp_path: Path) -> None:
        self.engine = EngineProcess(redis_url, database_url, tmp_path / "data")
        self.streams = Streams(redis_url)
        self.keys = Keys("")
        self.producer = Producer(self.streams, self.keys)
        self.fills_count = 0

    def found(self) -> None:
        """Start the engine and wait until it leads a new venue."""
        self.engine.start()
        venue = until(self.streams.venue, "founding")
        self.keys = Keys(venue)
        self.producer = Producer(self.streams, self.keys)
        self.leading_await()

    def leading_await(self) -> None:
        """Wait until producers may append; the second tick confirms the first, which may be a jump."""
        until(self.producer.tick, "leading")
        self.producer.tick()

    def trade_some(self, count: int, chance: random.Random) -> None:
        """Append quotes, ticks and orders of a few accounts."""
        for _ in range(count):
            price = 60_000 + chance.randrange(-500, 500) / 10
            self.producer.quote(MARKET, f"{price:.1f}", f"{price + 0.1:.1f}")
            account = 100 + chance.randrange(3)
            side = chance.choice(["buy", "sell"])
            if chance.random() < 0.3:
                self.producer.instruct(
                    "order_place", account, market=MARKET, side=side, kind="limit", qty="0.001", price=f"{price:.1f}"
                )
            elif chance.random() < 0.5:
                self.producer.instruct("trade_create", account, market=MARKET, side=side, qty="0.001", leverage=10)
        self.producer.tick()

    def accounts_open(self) -> None:
        """Open three accounts and the feed."""
        self.producer.feed_open()
        for owner in range(3):
            self.producer.instruct("account_open", venue=True, owner=f"{owner + 1:032x}")

    def snapshot_make(self) -> None:
        """Trade a little, let a keyframe come, and wait until its snapshot, the newest, is durable."""
        self.trade_some(5, random.Random(3))
        durable = False
        while not durable:
            tip = self.streams.log_tip(self.keys)
            self.producer.slot_skip()
            # Time may have brought a keyframe just before: while that one is being copied, this one is skipped.
            until(partial(self.told_after, tip, "snapshot_durable", "snapshot_skipped"), "a snapshot", 20.0)
            durable = self.told_after(tip, "snapshot_durable")

    def told_after(self, seq: int, *events: str) -> bool:
        """Return whether the engine has logged one of these of a later entry."""
        return any(fact["seq"] > seq for event in events for fact in self.engine.facts(event))

    def entries(self, first_seq: int) -> list[Entry]:
        """Return the log from an entry on."""
        return self.streams.range_log(self.keys, first_seq, first_seq + 10_000, 10_000)

    def proven(self) -> None:
        """Assert that events and chain are those of an engine that never stopped, once everything is published."""
        tip = self.streams.log_tip(self.keys)
        twin, outputs = twin_of(self.streams, self.keys, tip)
        last = (outputs[-1].seq, outputs[-1].chunk)
        until(lambda: self.streams.events_tip(self.keys) >= last, "publishing", 10.0)
        events = [entry for entry in events_all(self.streams, self.keys) if entry.seq <= tip]
        assert [tuple(entry) for entry in events] == [tuple(output) for output in outputs]
        responses = b"".join(entry.data for entry in events)
        for request_id in self.producer.acknowledged.values():
            assert responses.count(b'"request_id":"' + request_id + b'"') == 1
        assert twin.invariants_broken() == []
        self.fills_count = responses.count(b'"e":"fill"')


class RedisOwn:
    """A Redis of one test, which may be killed."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.sockets = embedded.socket_folder(data_dir)
        self.url = embedded.redis_url(self.sockets)
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = server_start(embedded.redis_server(self.data_dir, self.sockets), self.data_dir)
        servers_until(lambda: redis_answers(self.url), "Valkey")

    def kill(self) -> None:
        """Kill the server as a crash would."""
        server_stop(self.process, signal.SIGKILL)
