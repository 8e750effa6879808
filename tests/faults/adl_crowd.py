"""
A day on which liquidity is thin: two books without a house and a quoted market, and owners who trade with each other.

What an owner asks for follows from the seed and what it was told. No instruction names an id: the same ones, by owner,
can be given to a venue that opened the accounts in another order.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.faults.violent_feed import FOLDER, Day, Frame
from tests.property.entries import Entry

Wish = tuple[str, dict[str, Any]]
RECORDING = "btc_perp_20220105_minute.jsonl.gz"
INSURANCE = "25"  # so little that it is used up
CROSS_HABITS = (6, 7, 8)
HABITS = 10
LEVERAGES = (10, 25, 50, 100)
LIVES_MS = 50_000  # of an order that is meant for the minute


@dataclass(frozen=True)
class ThinDay(Day):
    """A recording as two books and a quoted market, with tiers so low that positions are closed in stages."""

    @property
    def markets(self) -> list[dict[str, Any]]:
        """Return the genesis entries of the day's markets."""
        tiers = [{"floor": floor, "mmr_ppm": ppm, "leverage_max": leverage} for floor, ppm, leverage in self.tiers]
        base = {"tick": self.tick, "lot": self.lot, "leverage_max": self.leverage_max, "price_age_max_ms": 60_000,
                "fee_liquidation_ppm": 1_000, "tiers": tiers}  # fmt: skip
        modes = {"NEAR": "book", "FAR": "book", "QUOTE": "quote"}
        return [{"market": f"{self.name}_{name}_PERP", "liquidity": mode, **base} for name, mode in modes.items()]


THIN = ThinDay(
    "BTC", RECORDING, "0.1", "0.00001", 100, (("0", 4_000, 100), ("20000", 8_000, 50), ("90000", 30_000, 20))
)
PATH = FOLDER / RECORDING


def cross_owner(owner: int) -> bool:
    """Return whether an owner margins its net positions across the account."""
    return owner % HABITS in CROSS_HABITS


class ThinCrowd:
    """Draws what owners ask for; `free` is what each was told that it has."""

    def __init__(self, owners: int, seed: int) -> None:
        self.owners = range(owners)
        self.chance = random.Random(f"thin {seed}")
        self.free = [Decimal(5_000)] * owners
        self.leverages = [self.chance.choice(LEVERAGES) for _ in self.owners]
        self.tick, self.lot = Decimal(THIN.tick), Decimal(THIN.lot)
        self.names = [market["market"] for market in THIN.markets]
        self.bid = self.ask = 1  # in ticks
        self.now_us = self.requests = 0

    def entry(self, owner: int, op: str, values: dict[str, Any], ts_us: int) -> Entry:
        """Return an instruction under a fresh request id; its account is still an owner."""
        self.requests += 1
        envelope = {"v": 1, "account": owner, "request_id": f"{self.requests:032x}", "op": op}
        return Entry("user_instruction", {**envelope, **values}, ts_us)

    def opening(self, ts_us: int) -> Iterator[Entry]:
        """Yield the choice of mode and leverage of every owner."""
        for owner in self.owners:
            for name in self.names:
                if cross_owner(owner):
                    yield self.entry(owner, "margin_mode_set", {"market": name, "mode": "cross"}, ts_us)
                yield self.entry(owner, "leverage_set", {"market": name, "leverage": self.leverages[owner]}, ts_us)

    def look(self, frame: Frame, ts_us: int) -> None:
        """Take notice of the newest quote."""
        self.bid, self.ask = int(Decimal(frame.bid) / self.tick), int(Decimal(frame.ask) / self.tick)
        self.now_us = ts_us

    def wishes(self, count: int, ts_us: int) -> Iterator[Entry]:
        """Yield what some owners ask for, a millisecond apart; each is drawn when it is its turn."""
        for number in range(count):
            owner = self.chance.choice(self.owners)
            op, values = self.wish(owner)
            yield self.entry(owner, op, values, ts_us + 1_000 * min(number, 900))

    def wish(self, owner: int) -> Wish:
        """Return what an owner does now, mostly by its habit."""
        chance, habit = self.chance, owner % HABITS
        market = self.names[2] if chance.random() < 0.15 else chance.choice(self.names[:2])
        sign = chance.choice([1, 1, -1]) if habit in (2, 3, 6, 7) else chance.choice([1, -1])
        if chance.random() < 0.06:
            return "orders_cancel", {}
        if chance.random() < 0.10:
            return self.reduced(market, sign)
        if habit in (0, 1):
            return self.resting(owner, market, sign, chance.choice([0.01, 0.03]), chance.randint(10, 2_000))
        if habit == 5:
            return self.ticket(owner, market, sign)
        share = chance.choice([0.3, 0.6, 0.9])
        if chance.random() < 0.35:
            return "order_place", {"market": market, "side": side_of(sign), "kind": "market",
                                   "qty": self.qty(owner, self.leverages[owner], share)}  # fmt: skip
        return self.resting(owner, market, sign, share, chance.randint(-30, 20), LIVES_MS)

    def resting(self, owner: int, market: str, sign: int, share: float, away: int, lives_ms: int = 0) -> Wish:
        """Return a limit some ticks from the touch, for a time or until it is cancelled."""
        ticks = (self.bid if sign > 0 else self.ask) - sign * away
        values = {"market": market, "side": side_of(sign), "kind": "limit", "price": f"{ticks * self.tick:f}",
                  "qty": self.qty(owner, self.leverages[owner], share)}  # fmt: skip
        if lives_ms:
            values |= {"tif": "GTD", "expires_ms": self.now_us // 1_000 + lives_ms}
        return "order_place", values

    def ticket(self, owner: int, market: str, sign: int) -> Wish:
        """Return a ticket at one of many leverages."""
        leverage = self.chance.choice(LEVERAGES)
        return "trade_create", {"market": market, "side": side_of(sign), "leverage": leverage,
                                "qty": self.qty(owner, leverage, self.chance.choice([0.1, 0.3]))}  # fmt: skip

    def reduced(self, market: str, sign: int) -> Wish:
        """Return an order that takes half or all of the net position off, if it is of that direction."""
        return "order_place", {"market": market, "side": side_of(sign), "kind": "market", "reduce_only": True,
                               "close_percent": self.chance.choice([50, 100])}  # fmt: skip

    def qty(self, owner: int, leverage: int, share: float) -> str:
        """Return the quantity that a share of an owner's free money carries, at least what is worth three dollars."""
        one = self.ask * self.tick * self.lot
        lots = max(int(3 / one) + 1, int(max(self.free[owner], Decimal(0)) * Decimal(str(share)) * leverage / one))
        return f"{lots * self.lot:f}"


def side_of(sign: int) -> str:
    """Return the text of a side."""
    return "buy" if sign > 0 else "sell"
