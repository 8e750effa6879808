"""
A crowd of cross accounts in three markets, driven by a seed and watched step by step by the naive scan.

After every single step of the engine the scan says who was liquidatable, who was due a margin call, and whose turn it
was; so an account that the bands overlook, or take too early or out of turn, is an error at that step.
"""

import json
import random
from collections import Counter
from typing import Any

import numpy as np

from engine import core
from engine.core import triggers
from engine.core.invariants import tradable_now
from engine.core.limits import ORDERS_CAPACITY, PRICE_WINDOW_TICKS
from shared import genesis, wire
from shared.codes import CloseReason, EventKind, MarginMode, OrderKind
from tests.property.bands_scan import Holders, holders_of, liquidatable, scan, to_be_called
from tests.property.bands_wishes import instruction_any, operation_any, order_market

START_US = 1_767_225_600_000_000
NAMES = ("ALFA_USDC_PERP", "BRAVO_USDC_PERP", "CHARLIE_USDC_PERP")
MIDS = (10_000, 250_000, 3_000)
TICKS = ("0.01", "0.01", "0.0001")
LOTS = ("0.1", "0.001", "1")
FLAT = ([{"floor": "0", "mmr_ppm": 10_000, "leverage_max": 50}], [{"floor": "0", "mmr_ppm": 6_670, "leverage_max": 50}])
CONVEX = (
    [
        {"floor": "0", "mmr_ppm": 10_000, "leverage_max": 50},
        {"floor": "20000", "mmr_ppm": 25_000, "leverage_max": 20},
        {"floor": "60000", "mmr_ppm": 60_000, "leverage_max": 10},
    ],
    [
        {"floor": "0", "mmr_ppm": 5_000, "leverage_max": 50},
        {"floor": "10000.5", "mmr_ppm": 40_000, "leverage_max": 20},
    ],
)
WIDE = {"spike_ppm": 900_000, "mark_band_ppm": 900_000, "price_band_ppm": 900_000, "price_age_max_ms": 60_000}
BALANCE = "10000"
INVARIANTS_EVERY = 211  # entries


class World:
    """
    A venue with `accounts` users; `pairs` counts (account with a cross position, quote) pairs that were scanned.

    restores: how likely the engine is replaced by one that was restored from its snapshot, after an entry.
    edges: whether marks are taken to where bands end; a restored engine's bands lie elsewhere than those before.
    """

    names = NAMES
    tiers = FLAT + CONVEX

    def __init__(self, seed: int, accounts: int, restores: float, *, edges: bool = True) -> None:
        self.chance, self.elsewhere = random.Random(seed), random.Random(seed + 1)
        self.restores, self.edges = restores, edges
        self.counts: Counter[str] = Counter()
        self.pairs = self.entries = self.requests = self.updates = 0
        self.ts_us = START_US
        self.mids = list(MIDS)
        self.marked_us = START_US - 1
        self.batch = wire.Batch(1)
        self.open(core.allocate())
        self.apply("genesis", genesis.default("bandsworld", self.configurations(), starting_balance=BALANCE))
        self.apply("feed_status", {"status": "up", "source": "bands"})
        self.quotes()
        self.accounts = [100 + index for index in range(accounts)]
        for index in range(accounts):
            self.instruct(0, "account_open", owner=f"{index + 1:032x}")
        for account in self.accounts:
            for name in self.chance.sample(NAMES, self.chance.choice([1, 2, 3, 3])):
                self.instruct(account, "margin_mode_set", market=name, mode="cross")
                self.instruct(account, "leverage_set", market=name, leverage=self.chance.choice([10, 20, 50]))
                self.instruct(account, **order_market(self.chance, self, NAMES.index(name)))

    def configurations(self) -> list[dict[str, Any]]:
        """Return the three markets: each flat or convex, mostly quoted, sometimes with sizes or a book alone."""
        found = []
        for name, tick, lot in zip(NAMES, TICKS, LOTS, strict=True):
            tiers = self.chance.choice(FLAT + CONVEX)
            liquidity = self.chance.choice(["quote"] * 6 + ["quote_sized", "book"])
            sizes = {"tick": tick, "lot": lot, "leverage_max": 50, "tiers": tiers, "liquidity": liquidity}
            found.append({"market": name, **WIDE, **sizes})
        return found

    def open(self, states: np.ndarray) -> None:
        """Go on with these states, one step in each call."""
        states["events_room"] = 0
        self.states = states
        self.state: Any = states.view(np.ndarray)[0]
        self.holders: Holders | None = None

    def restore(self) -> None:
        """Go on with an engine that was restored from a snapshot of this one."""
        buffer = memoryview(bytearray(core.snapshot_size(self.states)))
        length = core.snapshot_copy(self.states, buffer)
        before = core.hashes(self.states)
        self.open(core.restore(core.snapshot_document(buffer, length)))
        assert core.hashes(self.states) == before
        self.counts["restores"] += 1

    def apply(self, kind: str, body: dict[str, Any], market_row: int = -1) -> None:
        """Apply one entry step by step; market_row is that of a quote or mark."""
        fields = [(b"ts", b"%d" % self.ts_us), (kind.encode(), json.dumps(body).encode())]
        if kind in ("price_update", "mark_update", "feed_status"):
            fields.insert(1, (b"session", b"bands"))
        self.batch.clear()
        self.batch.add(core.header(self.states)["seq"] + 1, fields)
        applied = 0
        while applied == 0:
            before = self.holders if self.holders is not None else holders_of(self.state)
            markets = self.markets_next(market_row)
            applied, count, _ = core.apply_batch(self.states, self.batch, 0, 1)
            self.holders = before
            if count:
                self.step_judge(before, markets, core.events_of(self.states, count))
                self.holders = None
        if market_row >= 0:
            self.end_judge(market_row)
        self.entries += 1
        if self.entries % INVARIANTS_EVERY == 0:
            assert core.invariants(self.states) == []
        if self.elsewhere.random() < self.restores:
            self.restore()

    def markets_next(self, market_row: int) -> list[int]:
        """Return the rows of the markets one of which the next step may settle: the one in hand, else those touched."""
        if self.state["settle_step"]:
            return [int(self.state["settle_cursor"]) - 1]
        touched = int(self.state["touched"]) | (1 << market_row if market_row >= 0 else 0)
        return [index for index in range(3) if touched >> index & 1]

    def step_judge(self, before: Holders, markets: list[int], events: np.ndarray) -> None:
        """Assert that whoever a step has liquidated or called was the one whose turn it was, as things stood then."""
        kinds = events["kind"]
        forced = events[kinds == EventKind.LIQUIDATION]
        calls = events[(kinds == EventKind.MARGIN_CALL) & (events["mode"] == MarginMode.CROSS)]
        victims = {int(row["account"]) for row in forced if int(row["position_id"]) in before.positions}
        if not len(forced):
            ended = events[(kinds == EventKind.CLOSED_ORDER) & (events["reason"] == CloseReason.LIQUIDATION)]
            victims = set(ended["account"][ended["order_kind"] != OrderKind.LIQUIDATION].tolist())
            self.counts["cancelled only"] += len(victims)
        self.counts["isolated"] += len(forced) - len(victims) if len(forced) else 0
        self.counts["isolated calls"] += int((kinds == EventKind.MARGIN_CALL).sum()) - len(calls)
        self.counts["adl"] += int((kinds == EventKind.ADL).sum())
        if not victims and not len(calls):
            return
        levels = scan(self.state, before)
        due = [liquidatable(before, levels, market) for market in markets]
        if victims:
            assert any(victims == set(ids[:1]) for ids in due), (victims, due, markets)
            self.counts["liquidations"] += 1
            return
        called = [to_be_called(self.state, before, levels, market) for market in markets]
        account = int(calls[0]["account"])
        assert len(calls) == 1 and any(not a and b[:1] == [account] for a, b in zip(due, called, strict=True))
        at = int(np.searchsorted(before.accounts, account))
        assert (calls[0]["equity_e6"], calls[0]["maintenance_e6"]) == (levels.equity[at], levels.maintenance[at])
        self.counts["calls"] += 1

    def end_judge(self, market_row: int) -> None:
        """Assert that a quote or mark of a tradable market has left nobody there liquidatable or to be called."""
        if self.holders is None:
            self.holders = holders_of(self.state)
        levels = scan(self.state, self.holders)
        self.pairs += len(self.holders.accounts)
        if tradable_now(self.states, market_row):
            assert not liquidatable(self.holders, levels, market_row)
            assert not to_be_called(self.state, self.holders, levels, market_row)
        else:
            self.counts["not tradable"] += 1

    def instruct(self, account: int, op: str, entry: str = "user_instruction", **keys: Any) -> None:
        """Send an instruction, sensible or not."""
        self.requests += 1
        self.apply(entry, {"v": 1, "account": account, "request_id": f"{self.requests:032x}", "op": op, **keys})

    def poorest(self) -> int:
        """Return the account with the least money of some that are drawn."""
        drawn = self.chance.sample(self.accounts, min(8, len(self.accounts)))
        return min(drawn, key=lambda account: int(self.state["accounts"][account - 95]["free_e6"]))

    def lots_scale(self, index: int) -> int:
        """Return how many lots of a market one of its base asset is."""
        return 10 ** max(0, len(LOTS[index]) - 2)

    def lots_a_unit(self, index: int) -> float:
        """Return how many lots of a market one USDC buys now."""
        return self.lots_scale(index) * 10 ** (len(TICKS[index]) - 2) / self.mids[index]

    def price_text(self, index: int, ticks: int) -> str:
        """Return a price of a market as text."""
        decimals = len(TICKS[index]) - 2
        return f"{ticks // 10**decimals}.{ticks % 10**decimals:0{decimals}d}"

    def quote(self, index: int) -> None:
        """Apply a quote at a market's mid, some ticks wide."""
        self.updates += 1
        bid, ask = self.mids[index], self.mids[index] + self.chance.choice([1, 1, 2, 5])
        sizes = {"A": str(self.chance.choice([0, 3, 200])), "B": str(self.chance.choice([0, 3, 200]))}
        prices = {"a": self.price_text(index, ask), "b": self.price_text(index, bid)}
        body = {**sizes, **prices, "E": self.ts_us, "T": self.ts_us, "e": "bookTicker", "s": NAMES[index]}
        self.apply("price_update", {**body, "u": self.updates}, index)

    def quotes(self) -> None:
        """Quote all three markets, one after the other, in any order."""
        for index in self.chance.sample(range(3), 3):
            self.quote(index)

    def mark(self, index: int, off: int) -> None:
        """Apply a mark so many ticks off a market's mid, with a funding now and then."""
        self.marked_us = max(self.marked_us + 1, self.ts_us)
        text = self.price_text(index, max(1, self.mids[index] + off))
        next_ms = (self.ts_us // 600_000_000 + 1) * 600_000
        rate = self.chance.choice(["0", "0.0001", "-0.0002"])
        body = {"E": self.marked_us, "T": self.ts_us, "e": "markPrice", "f": rate, "i": text, "n": next_ms, "p": text}
        self.apply("mark_update", {**body, "s": NAMES[index]}, index)

    def wait(self, milliseconds: int) -> None:
        """Let time pass; ticks come when they are due."""
        second = self.ts_us // 1_000_000
        self.ts_us += milliseconds * 1_000
        if self.ts_us // 1_000_000 != second:
            self.apply("clock_tick", {})

    def night(self) -> None:
        """Let a day pass, two ticks and new quotes."""
        for hours in (24, 0):
            self.ts_us += hours * 3_600_000_000 + 1_000_000
            self.apply("clock_tick", {})
        self.quotes()

    def step(self) -> None:
        """Let one thing happen: mostly a market moves, now and then all gap together, or somebody acts."""
        chance = self.chance
        self.wait(chance.choice([1, 50, 300]))
        drawn = chance.random()
        if drawn < 0.03 and self.edges:
            self.edge(chance.choice(self.accounts))
        elif drawn < 0.08:
            self.gap(chance.choice([-1, 1]) * chance.choice([2, 10, 20, 40, 80]))
        elif drawn < 0.55:
            index = chance.randrange(3)
            self.move(index, chance.choice([-1, 1]) * chance.choice([0, 0, 1, 1, 2, 4]))
            if chance.random() < 0.2:
                self.mark(index, chance.randint(-5, 5))
            else:
                self.quote(index)
        elif drawn < 0.97:
            account = chance.choice(self.accounts)
            self.instruct(account, **instruction_any(chance, self, account))
        elif drawn < 0.997:
            account, keys = operation_any(chance, self)
            self.instruct(account, entry="venue_instruction", **keys)
        else:
            self.night()

    def edge(self, account: int) -> None:
        """Take the marks of an account's markets, one after the other, to the last tick inside each of its bands."""
        for index in self.chance.sample(range(3), 3):
            row = int(self.state["account_links"][account - 95]["markets"]["net"][index])
            number = int(self.state["position_links"][row]["band"])
            place = int(self.state["nodes"][ORDERS_CAPACITY + row]["place"])
            inside = PRICE_WINDOW_TICKS - place if number == triggers.BAND else place - 1
            if number and abs(inside - self.mids[index]) * 8 < self.mids[index]:
                self.mids[index] = inside
                self.quote(index)
                self.mark(index, 0)

    def move(self, index: int, thousandths: int) -> None:
        """Move a market's mid by thousandths, and a tick or two."""
        mid = self.mids[index]
        nearer = (MIDS[index] - mid) // 60  # home, slowly
        moved = mid + mid * thousandths // 1_000 + self.chance.randint(-2, 2) + nearer
        self.mids[index] = min(max(moved, MIDS[index] // 4), 4 * MIDS[index])

    def gap(self, thousandths: int) -> None:
        """Let all markets gap together, each by about so much, and be quoted."""
        for index in range(3):
            self.move(index, thousandths + self.chance.randint(-3, 3))
        self.quotes()
