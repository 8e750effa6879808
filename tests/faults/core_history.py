"""A history for the real core on a toy venue: quotes, ticks, marks, orders, trades with SL and TP, in log order."""

import random
from typing import Any

import orjson

from engine import core
from engine.ingest import machine_restore
from shared import genesis
from tests.engine_toy import VENUE, Kit, ToyVenue

MARKET = "BTC_USDC_PERP"
SESSION = b"history1"
BUFFER_BYTES = 4_000_000
ACCOUNTS = (100, 101, 102)


def core_kit(wire: str = "fast") -> Kit:
    """Return the real state machine with one market; its entries and events go that way of the wire."""
    body = genesis.default(VENUE, genesis.MARKETS_DEFAULT[:1])
    return Kit(lambda content: machine_restore(content, wire), core.snapshot_document, orjson.dumps(body), BUFFER_BYTES)


class CoreHistory:
    """Appends one entry at a time, as poller and gateways would; what it appends depends on its seed alone."""

    def __init__(self, venue: ToyVenue, seed: int, tick_every_s: float = 1.0) -> None:
        self.venue = venue
        self.tick_every_s = tick_every_s
        self.chance = random.Random(seed)
        self.update_id = 0
        self.requests_count = 0
        self.price = 600_000  # in ticks
        self.tick_last_s = -1.0
        self.opening = [self.feed_up, self.tick, self.tick, self.quote, *(self.account_open for _ in ACCOUNTS)]

    def next(self) -> int:
        """Append the next entry; return its seq."""
        if self.opening:
            return self.opening.pop(0)()
        if self.venue.clock.monotonic_s() - self.tick_last_s >= self.tick_every_s:
            return self.tick()
        kinds = [self.quote, self.mark, self.trade_create, self.order_place, self.trade_close]
        return self.chance.choices(kinds, weights=[5, 1, 3, 2, 1])[0]()

    def append(self, kind: str, body: dict[str, Any], session: bool = False) -> int:
        """Append one entry."""
        stamp = [(b"session", SESSION)] if session else []
        return self.venue.append([*stamp, (kind.encode(), orjson.dumps(body))])

    def feed_up(self) -> int:
        """Open the feed."""
        return self.append("feed_status", {"status": "up", "source": "simulated"}, session=True)

    def tick(self) -> int:
        """Append the second's tick."""
        self.tick_last_s = self.venue.clock.monotonic_s()
        return self.append("clock_tick", {})

    def quote(self) -> int:
        """Append a quote that moved by up to 0.3 %."""
        self.price += self.chance.randrange(-1_800, 1_800)
        self.update_id += 1
        body = {"A": "5", "B": "5", "E": self.venue.clock.now_us(), "T": 0, "a": text(self.price + 1)}
        return self.append(
            "price_update", {**body, "b": text(self.price), "e": "", "s": MARKET, "u": self.update_id}, session=True
        )

    def mark(self) -> int:
        """Append a mark at the quote."""
        price = text(self.price)
        body = {"E": self.venue.clock.now_us(), "T": 0, "e": "", "f": "0", "i": price, "n": 0, "p": price, "s": MARKET}
        return self.append("mark_update", body, session=True)

    def instruct(self, op: str, account: int, **keys: Any) -> int:
        """Append an instruction with a new request id."""
        self.requests_count += 1
        request_id = f"{self.requests_count:032x}"
        kind = "user_instruction" if account else "venue_instruction"
        return self.append(kind, {"v": 1, "account": account, "request_id": request_id, "op": op, **keys})

    def account_open(self) -> int:
        """Open an account."""
        return self.instruct("account_open", 0, owner=f"{self.requests_count + 1:032x}")

    def trade_create(self) -> int:
        """Open a ticket with a stop loss and a take profit close by, so that they fire soon."""
        sign = self.chance.choice([1, -1])
        return self.instruct(
            "trade_create",
            self.chance.choice(ACCOUNTS),
            market=MARKET,
            side="buy" if sign > 0 else "sell",
            qty="0.01",
            leverage=20,
            take_profit=text(self.price + sign * 2_500),
            stop_loss=text(self.price - sign * 2_500),
        )

    def order_place(self) -> int:
        """Place a limit order near the touch."""
        side = self.chance.choice(["buy", "sell"])
        price = text(self.price + self.chance.randrange(-2_000, 2_000))
        account = self.chance.choice(ACCOUNTS)
        return self.instruct("order_place", account, market=MARKET, side=side, kind="limit", qty="0.002", price=price)

    def trade_close(self) -> int:
        """Close a position that may or may not be there."""
        return self.instruct(
            "trade_close", self.chance.choice(ACCOUNTS), position_id=100 + self.chance.randrange(60), percent="50"
        )


def text(price_ticks: int) -> str:
    """Return a price as text."""
    return f"{price_ticks // 10}.{price_ticks % 10}"
