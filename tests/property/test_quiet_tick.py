"""
The engine's price-indexed triggers against a linear scan: thousands of SL and TP, and the ones that fire, in order; and
thousands of cross accounts, of which a tick looks at those alone whose band it leaves.
"""

import random
from dataclasses import dataclass

import numpy as np

from engine.core import kernel
from scripts.bench_cross import BIDS, MARKETS, CrossVenue
from tests.property.histories import START_US
from tests.property.venues import EngineVenue

NAME = "SOL_USDC_PERP"
MARKET = {"market": NAME, "tick": "0.01", "lot": "0.01", "leverage_max": 50}
ACCOUNTS = 20
TICKETS = 1500
QUOTES = 400
CROSS_ACCOUNTS = 10_000 if kernel.JIT else 60


@dataclass
class Trigger:
    """One dormant order as the scan sees it; prices in ticks."""

    order_id: int
    position_id: int
    price: int
    source: str
    below: bool
    sells: bool


class Scan:
    """The linear reference: every trigger is looked at on every tick."""

    def __init__(self) -> None:
        self.triggers: list[Trigger] = []

    def fire(self, prices: dict[str, int], bid: int, ask: int) -> list[int]:
        """Return the ids that fire, in order: at-or-below by descending price, then at-or-above ascending, then id."""
        fired = []
        while True:
            met = []
            for trigger in self.triggers:
                price = prices.get(trigger.source) or (bid if trigger.sells else ask)
                if price <= trigger.price if trigger.below else price >= trigger.price:
                    rank = -trigger.price if trigger.below else trigger.price
                    met.append((not trigger.below, rank, trigger.order_id, trigger.position_id))
            if not met:
                return fired
            fired.append(min(met)[2])
            self.triggers = [trigger for trigger in self.triggers if trigger.position_id != min(met)[3]]


class Market:
    """Drives one market of an engine with well-behaved quotes and marks."""

    def __init__(self) -> None:
        self.venue = EngineVenue({"markets": [MARKET], "triggers_open_max": 400, "positions_open_max": 200}, START_US)
        self.ts_us, self.requests, self.updates = START_US, 0, 0
        self.venue.apply("feed_status", {"status": "up", "source": "simulated"}, self.ts_us, "session1")

    def quote(self, bid: int, ask: int) -> list[int]:
        """Apply a quote and return the orders that it fired."""
        self.updates += 1
        body = {"A": "1", "B": "1", "E": self.ts_us, "T": self.ts_us, "a": text(ask), "b": text(bid),
                "e": "bookTicker", "s": NAME, "u": self.updates}  # fmt: skip
        return fired(self.venue.apply("price_update", body, self.ts_us, "session1"))

    def mark(self, ticks: int) -> list[int]:
        """Apply a mark, the index beside it, and return the orders that it fired."""
        body = {"E": self.ts_us, "T": self.ts_us, "e": "markPrice", "f": "0", "i": text(ticks), "n": START_US // 1000,
                "p": text(ticks), "s": NAME}  # fmt: skip
        return fired(self.venue.apply("mark_update", body, self.ts_us, "session1"))

    def wait(self) -> None:
        """Let a tenth of a second pass."""
        self.ts_us += 100_000
        if self.ts_us % 1_000_000 == 0:
            self.venue.apply("clock_tick", {}, self.ts_us)

    def send(self, account: int, op: str, **keys: object) -> list[dict]:
        """Send a sound instruction and return its events."""
        self.requests += 1
        body = {"v": 1, "account": account, "request_id": f"{self.requests:032x}", "op": op, **keys}
        events = self.venue.apply("user_instruction", body, self.ts_us)
        assert events[0]["result"] == "OK", events
        return events


def text(ticks: int) -> str:
    """Return ticks of a hundredth as price text."""
    return f"{ticks // 100}.{ticks % 100:02d}"


def fired(events: list[dict]) -> list[int]:
    """Return the ids of the orders that fired, in order."""
    return [event["order_id"] for event in events if event["e"] == "trigger_fired"]


def test_ladder_fires_like_a_scan() -> None:
    """Among thousands of SL and TP around the price, each tick fires exactly those of the linear scan, in its order."""
    chance = random.Random(7)
    market, scan = Market(), Scan()
    middle = 15_000
    market.quote(middle, middle + 1)
    market.mark(middle)
    accounts = [market.send(0, "account_open", owner=f"{n:032x}")[0]["account"] for n in range(ACCOUNTS)]
    for number in range(TICKETS):
        ticket_open(market, scan, chance, accounts[number % ACCOUNTS], middle)
    total, prices = 0, {"mark": middle, "index": middle}
    bid = middle
    for _ in range(QUOTES):
        market.wait()
        bid += chance.choice([0, 0, 1, -1, 2, -3, 7, -6, 20, -25])
        ask = bid + chance.choice([1, 1, 3])
        seen = market.quote(bid, ask)
        assert seen == scan.fire(prices, bid, ask)
        if chance.random() < 0.3:
            prices = dict.fromkeys(prices, bid + chance.choice([0, 1, -5, 5]))
            found = market.mark(prices["mark"])
            assert found == scan.fire(prices, bid, ask)
            seen += found
        total += len(seen)
    assert total > TICKETS // 3
    assert scan.triggers


def ticket_open(market: Market, scan: Scan, chance: random.Random, account: int, middle: int) -> None:
    """Open a small ticket with SL and TP at round and repeated distances, and tell the scan of them."""
    side = chance.choice(["buy", "sell"])
    sign = 1 if side == "buy" else -1
    given, keys = {}, {}
    for name, way in (("take_profit", sign), ("stop_loss", -sign)):
        ticks = middle + way * chance.choice([10, 20, 20, 40, 80, 100, 150, 200, 200, 300, 777])
        source = chance.choice(["quote", "quote", "mark", "index"])
        given[name] = (ticks, source)
        keys[name] = {"price_trigger": text(ticks), "trigger_by": source}
    events = market.send(account, "trade_create", market=NAME, side=side, qty="0.10", leverage=2, **keys)
    for event in events:
        if event["e"] == "order_changed" and event["status"] == "trigger":
            name = "take_profit" if event["kind"] == "take_profit_market" else "stop_loss"
            below = (sign > 0) == (name == "stop_loss")
            trigger = Trigger(event["order_id"], event["position_id"], *given[name], below, sign > 0)
            if trigger.order_id not in {row.order_id for row in scan.triggers[-4:]}:
                scan.triggers.append(trigger)


def test_a_quiet_tick_looks_at_no_cross_account() -> None:
    """Thousands of cross accounts cost a tick nothing while it leaves no band; a fall leaves each one's a few times."""
    venue = CrossVenue(CROSS_ACCOUNTS)
    venue.quiet(1_000 if kernel.JIT else 100)
    before = venue.evaluations()
    for thousandth in range(1, 101, 3):
        venue.quote(MARKETS[0], np.array([-BIDS[MARKETS[0]] * thousandth // 1_000]))
    assert 0 < venue.evaluations() - before <= 6 * CROSS_ACCOUNTS
