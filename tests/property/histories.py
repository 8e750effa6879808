"""
Random histories: log entries drawn from a seed, hostile where a venue is fragile, steered by the twin's own state.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tests.reference import Reference
from tests.reference.markets import Market
from tests.reference.texts import decimals_of, number_text

START_US = 1_763_000_000_000_000
SECOND_US = 1_000_000
MARKETS: list[dict[str, Any]] = [
    {"market": "BTC_USDC_PERP", "tick": "0.1", "lot": "0.00001", "leverage_max": 50},
    {"market": "SOL_USDC_PERP", "tick": "0.01", "lot": "0.01", "leverage_max": 50},
    {"market": "ODD_USDC_PERP", "tick": "0.5", "lot": "0.1", "leverage_max": 20, "fee_maker_ppm": 333,
     "fee_taker_ppm": 777, "fee_liquidation_ppm": 12_345, "tiers": [
         {"floor": "0", "mmr_ppm": 20_000, "leverage_max": 20},
         {"floor": "2000", "mmr_ppm": 40_000, "leverage_max": 10},
         {"floor": "9000", "mmr_ppm": 90_000, "leverage_max": 5}]},
    {"market": "DUST_USDC_PERP", "tick": "0.0001", "lot": "1", "leverage_max": 8, "notional_min": "0.5"},
    {"market": "WIDE_USDC_PERP", "tick": "1", "lot": "1", "leverage_max": 20},
]  # fmt: skip
PRICES = {"BTC_USDC_PERP": 640_000, "SOL_USDC_PERP": 15_000, "ODD_USDC_PERP": 400, "DUST_USDC_PERP": 3_000,
          "WIDE_USDC_PERP": 120}  # fmt: skip


@dataclass
class Entry:
    """One log entry before it is written: kind, JSON body, time, and the feed session of quotes and marks."""

    kind: str
    body: dict[str, Any]
    ts_us: int
    session: str = ""


def genesis_body(chance: random.Random) -> dict[str, Any]:
    """Return a first configuration: some of the markets, and balances small enough to run out."""
    found = [market for market in MARKETS if chance.random() < 0.7] or MARKETS[:1]
    return {
        "markets": found,
        "starting_balance": chance.choice(["5000", "250", "40", "1000.000001", "3000000"]),
        "insurance_balance": chance.choice(["0", "10", "100000"]),
        "orders_open_max": chance.choice([3, 200]),
        "triggers_open_max": chance.choice([4, 400]),
        "positions_open_max": chance.choice([3, 200]),
    }


class History:
    """Draws one entry after another; the weights of the kinds belong to the seed, so that rare ones may dominate."""

    def __init__(self, seed: int, twin: Reference) -> None:
        self.chance = random.Random(seed)
        self.twin = twin
        self.ts_us = START_US
        self.tick_us = START_US
        self.session, self.sessions = "", 0
        self.update_id = 0
        self.drift: dict[str, float] = {}
        self.accounts_wanted = self.chance.randint(1, 4)
        self.sent: list[Entry] = []
        self.violence = self.chance.choice([0.0002, 0.002, 0.01, 0.03])
        self.patience = self.chance.choice([0.2, 0.7, 0.95])
        self.mark_off = self.chance.choice([1, 1, 3])
        names = ("quote", "mark", "order", "trade", "close", "triggers", "cancel", "cancel_all", "odd", "repeat",
                 "noise")  # fmt: skip
        self.weights = {name: self.chance.choice([0, 1, 1, 2, 5]) for name in names}
        self.weights["quote"] += 3
        self.weights["mark"] += 1
        self.weights["order"] += 2
        if self.chance.random() < 0.3:
            self.patience, self.violence = 0.95, self.chance.choice([0.001, 0.004])
            self.weights.update(cancel=0, cancel_all=0, repeat=0, quote=8, order=8)
        self.weights["noise"] = min(1, self.weights["noise"])
        self.weights["odd"] = min(1, self.weights["odd"])
        self.weights["cancel_all"] = min(1, self.weights["cancel_all"])

    def entries(self, count: int) -> Iterator[Entry]:
        """Yield entries; the caller applies each to the twin before drawing the next."""
        yield self.feed_up()
        for name in self.twin.state.markets:
            self.drift[name] = float(PRICES[name])
            yield self.quote(name)
        for number in range(self.accounts_wanted):
            yield self.instruction(0, "account_open", {"owner": f"{number:032x}"})
        for _ in range(count):
            yield from self.step()

    def step(self) -> Iterator[Entry]:
        """Yield the next few entries: time passes, then one thing happens."""
        self.ts_us += self.chance.choice([0, 1, 1_000, 90_000, 250_000, 250_000, 700_000])
        if self.chance.random() < 0.01:
            self.ts_us += self.chance.choice([4, 9, 11, 31, 59, 70, 200]) * SECOND_US
        while self.ts_us - self.tick_us > SECOND_US:
            self.tick_us = self.ts_us if self.chance.random() < 0.05 else self.tick_us + SECOND_US
            yield Entry("clock_tick", {}, self.tick_us)
        kinds = list(self.weights)
        kind = self.chance.choices(kinds, [self.weights[name] for name in kinds])[0]
        for entry in self.kind_entries(kind):
            self.sent.append(entry)
            yield entry

    def kind_entries(self, kind: str) -> list[Entry]:
        """Return the entries of one happening."""
        chance = self.chance
        market = chance.choice(list(self.twin.state.markets.values()))
        if kind == "quote":
            if chance.random() < 0.02:
                return self.gap(market.name)
            if chance.random() < (0.01 if self.twin.state.feed_up else 0.5):
                return [self.feed_up()]
            return [self.quote(market.name)]
        if kind == "mark":
            return [self.mark(market)]
        if kind == "noise":
            return [self.noise()]
        users = [account_id for account_id in self.twin.state.accounts if account_id >= 100]
        if not users:
            return [self.quote(market.name)]
        account_id = chance.choice(users)
        if kind == "repeat" and self.sent:
            return [self.repeat()]
        if not self.twin.state.positions_of(account_id) and kind in ("close", "triggers") and chance.random() < 0.8:
            kind = chance.choice(["order", "trade"])
        op, values = self.wish(kind, account_id, market)
        return [self.instruction(account_id, op, values)]

    def feed_up(self) -> Entry:
        """Return an entry that opens a feed session, rarely one that closes it."""
        if self.twin.state.feed_up and self.session and self.chance.random() < 0.3:
            body: dict[str, Any] = {"status": "down", "source": "simulated"}
        else:
            self.sessions += 1
            self.session = f"session{self.sessions:04d}"
            body = {"status": "up", "source": self.chance.choice(["simulated", "simulated", "recording:A"])}
            if self.chance.random() < 0.2:
                body["price_age_max_ms"] = self.chance.choice([1_000, 30_000])
        return Entry("feed_status", body, self.ts_us, self.session)

    def quote(self, name: str, jump: float = 0.0) -> Entry:
        """Return a quote near the market's drifting price, sometimes with one thing wrong."""
        chance, market = self.chance, self.twin.state.markets[name]
        if chance.random() < 0.85:
            self.drift[name] *= 1 + chance.gauss(0, self.violence) + jump
        bid = max(1, round(self.drift[name]))
        ask = bid + chance.choice([1, 1, 2, max(1, bid // 200)])
        self.update_id += 1
        lag = chance.choice([40_000, 60_000])
        body: dict[str, Any] = {
            "A": "1.5", "B": "2", "E": self.ts_us - lag, "T": self.ts_us - lag, "a": price_text(market, ask),
            "b": price_text(market, bid), "e": "bookTicker", "s": name, "u": self.update_id,
        }  # fmt: skip
        session = self.session
        if chance.random() < 0.06:
            session = self.quote_spoil(market, body, bid, ask)
        return Entry("price_update", body, self.ts_us, session)

    def quote_spoil(self, market: Market, body: dict[str, Any], bid: int, ask: int) -> str:
        """Break one rule of quotes, and return the session to send it in."""
        spoils: list[dict[str, Any]] = [
            {"b": None}, {"a": None}, {"b": "0"}, {"a": "-1"}, {"s": "NONE_USDC_PERP"}, {"u": self.update_id - 1},
            {"a": body["b"]}, {"a": price_text(market, bid - 1) if bid > 1 else "0"},
            {"a": price_text(market, ask * 2)}, {"E": self.ts_us - 3 * SECOND_US}, {"E": self.ts_us + 3 * SECOND_US},
            {"E": self.ts_us + 1_900_000}, {"E": self.ts_us - 2 * SECOND_US - 40_000},
            {"b": price_text(market, (1 << 23) - 1), "a": price_text(market, 1 << 23)},
            {"b": off_grid(market, bid, -1), "a": off_grid(market, ask, 1)},
        ]  # fmt: skip
        if self.chance.random() < 0.1:
            return "nobody"
        body.update(self.chance.choice(spoils))
        return self.session

    def gap(self, name: str) -> list[Entry]:
        """Return quotes that jump, by less or more than a spike, and stay there one to four times."""
        jump = self.chance.choice([-0.4, -0.15, -0.098, -0.05, 0.05, 0.098, 0.15, 0.6])
        found = [self.quote(name, jump)]
        for _ in range(self.chance.randint(0, 3)):
            self.ts_us += 20_000
            found.append(self.quote(name))
        return found

    def mark(self, market: Market) -> Entry:
        """Return a mark near the mid, sometimes far, late or absurd."""
        chance = self.chance
        base = self.drift[market.name]
        ticks = base * (
            1 + self.mark_off * chance.choice([0, 0, 0.0004, -0.0007, 0.01, -0.01, 0.049, -0.049, 0.06, -0.2])
        )
        text = price_text(market, max(0, round(ticks)))
        if chance.random() < 0.3:
            text = number_text(Fraction(round(ticks * 4), 4) * market.tick, decimals_of(market.tick) + 2)
        event_us = self.ts_us - chance.choice([50_000, 50_000, 50_000, 1_500_000])
        index = price_text(market, max(1, round(base * (1 + chance.choice([0, 0.001, -0.001, 0.02])))))
        body = {
            "E": event_us, "T": event_us, "e": "markPrice", "f": "0.0000125", "i": index, "n": 1_763_002_800_000,
            "p": text, "s": market.name,
        }  # fmt: skip
        return Entry("mark_update", body, self.ts_us, self.session)

    def noise(self) -> Entry:
        """Return an entry that no user or feed writes, or one that cannot be read."""
        kind, body = self.chance.choice(
            [
                ("lead", {"who": "somebody", "rules": self.chance.choice([0, 1])}),
                ("restored", {"first_lost": 1, "last_lost": 2}),
                ("nonsense", {}),
                ("clock_tick", {}),
            ]
        )
        return Entry(kind, body, self.ts_us + self.chance.choice([0, 0, 3, 30, -30]) * SECOND_US)

    def repeat(self) -> Entry:
        """Return something sent before, unchanged, stamped anew, or with another body under the same id."""
        chance = self.chance
        entry = chance.choice(self.sent[-30:])
        again = Entry(entry.kind, dict(entry.body), entry.ts_us, entry.session)
        if chance.random() < 0.6:
            again.ts_us = self.ts_us
        if entry.kind == "user_instruction" and chance.random() < 0.3:
            again.body["op"] = chance.choice(["orders_cancel", "order_place"])
        return again

    def instruction(self, account_id: int, op: str, values: dict[str, Any]) -> Entry:
        """Return an instruction under a fresh id: random, or a UUIDv7 whose time may be off."""
        chance = self.chance
        request_id = f"{chance.getrandbits(128):032x}"
        if chance.random() < 0.15:
            off_ms = chance.choice([0, 0, 0, 0, 0, -100_000, -119_000, -130_000, 4_000, 7_000])
            id_ms = self.ts_us // 1_000 + off_ms
            request_id = f"{id_ms:012x}7{chance.getrandbits(12):03x}8{chance.getrandbits(60):015x}"
        ts_us = self.ts_us
        if chance.random() < 0.02:
            ts_us += chance.choice([-6, -4, 1, 4, 9]) * SECOND_US
        body = {"v": 1, "account": account_id, "request_id": request_id, "op": op, **values}
        return Entry("user_instruction", body, ts_us)

    def wish(self, kind: str, account_id: int, market: Market) -> tuple[str, dict[str, Any]]:
        """Return an operation and its keys."""
        from tests.property.wishes import WISHES

        return WISHES[kind if kind in WISHES else "order"](self, account_id, market)


def price_text(market: Market, ticks: int) -> str:
    """Return whole ticks as price text."""
    return number_text(ticks * market.tick, decimals_of(market.tick))


def off_grid(market: Market, ticks: int, sign: int) -> str:
    """Return a price a quarter of a tick off the grid."""
    return number_text((ticks + Fraction(sign, 4)) * market.tick, decimals_of(market.tick) + 2)
