"""
Random histories: log entries drawn from a seed, hostile where a venue is fragile, steered by the twin's own state.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.property import feeds, founding, giants
from tests.property.carry_ploys import CARRY_PLOYS
from tests.property.entries import SECOND_US, START_US, Entry
from tests.property.operators import ACTS, operator_act
from tests.property.order_wishes import Wish, order_wish
from tests.property.owner_ploys import OWNER_PLOYS
from tests.property.ploys import PLOYS as MARKET_PLOYS
from tests.property.pool_ploys import POOL_PLOYS
from tests.property.trigger_ploys import TRIGGER_PLOYS
from tests.property.wishes import WISHES, close_all_wish, close_wish, reverse_wish, trade_wish
from tests.reference import Reference
from tests.reference.markets import WINDOW_TICKS, Market
from tests.reference.state import Order

ORDER_KINDS = {"market": 4, "limit": 8, "stop_market": 2, "stop_limit": 2, "take_profit_market": 2,
               "take_profit_limit": 2, "trailing_stop": 2}  # fmt: skip
# How often each kind of happening is drawn before the seed has its say; what a seed may raise it to is not bounded.
HAPPENINGS = {"quote": 9, "mark": 4, "order": 9, "reduce": 2, "trade": 3, "close": 2, "triggers": 2, "cancel": 1.2,
              "cancel_all": 0.3, "amend": 3, "batch": 1.5, "close_all": 0.4, "reverse": 0.7, "margin": 1, "leverage": 1,
              "mode": 0.8, "guards": 0.3, "sub": 0.2, "transfer": 0.7, "deadman": 0.5,
              "reset": 0.2, "open": 0.2, "odd": 1.5, "repeat": 0.8, "noise": 0.3, "wait": 0.5,
              "gap": 0.4, "feed": 0.15, "operator": 2, "ploy": 6}  # fmt: skip
PLOYS = {**MARKET_PLOYS, **TRIGGER_PLOYS, **POOL_PLOYS, **OWNER_PLOYS, **CARRY_PLOYS}
PLOTS = {"giants": giants.interest_fill, "crowd": giants.crowd, "ladder": giants.ladder, "turnover": giants.turnover}
WITH_POSITION = ("close", "triggers", "reverse", "margin", "reduce", "close_all")
WITH_ORDER = ("amend", "cancel")


def plot_of(seed: int) -> str:
    """Return what a seed's history begins with: mostly nothing, now and then giants, a crowd, or a large turnover."""
    rare = {33: "crowd", 108: "ladder", 59: "turnover"}
    return "giants" if seed % 25 == 7 else rare.get(seed % 150, "")


def genesis_body(seed: int) -> dict[str, Any]:
    """Return the first configuration of a seed's venue."""
    plot, chance = plot_of(seed), random.Random(seed)
    if plot in ("crowd", "ladder"):
        return founding.crowd_body(chance, plot == "ladder")
    bodies = {"giants": founding.giants_body, "turnover": founding.turnover_body}
    return bodies[plot]() if plot else founding.genesis_body(chance)


class History:
    """Draws one entry after another; the weights of all kinds belong to the seed, so that rare ones may dominate."""

    takers: tuple[Callable[["History", int, Market], Wish], ...] = (
        order_wish, order_wish, trade_wish, close_wish, close_all_wish, reverse_wish,
    )  # fmt: skip

    def __init__(self, seed: int, twin: Reference) -> None:
        chance = self.chance = random.Random(seed)
        self.twin = twin
        self.plot = plot_of(seed)
        self.ts_us = self.tick_us = START_US
        self.session, self.sessions = "", 0
        self.update_id = 0
        self.drift: dict[str, float] = {}
        self.sent: list[Entry] = []
        self.accounts_wanted = 11 if self.plot == "giants" else chance.choice([1, 2, 3, 3, 4, 6])
        self.violence = chance.choice([0.0002, 0.001, 0.003, 0.01, 0.03])
        self.spoiling = 0.0 if self.plot else chance.choice([0.0, 0.03, 0.06])
        self.mark_off = chance.choice([0.3, 1, 1, 3])
        self.size_usual = chance.choice([1, 10, 300, 5_000])
        self.funding_often = chance.choice([0.0, 0.1, 0.5])
        self.funding_ms = START_US // 1_000 + chance.choice([20_000, 40_000, 90_000])
        self.pairs = chance.choice([0.0, 0.08, 0.08, 0.4])
        self.brackets = chance.choice([0.05, 0.3, 0.3, 0.7])
        self.hurry = chance.choice([0.0, 1.0, 1.0, 4.0])
        self.grid_changes = chance.choice([0.5, 2, 8])
        self.weights = {name: base * chance.choice([0, 0.5, 1, 1, 2]) for name, base in HAPPENINGS.items()}
        self.weights["quote"] += 3
        self.weights["order"] += 2
        if chance.random() < 0.5:
            for name in chance.sample(sorted(HAPPENINGS), chance.randint(1, 3)):
                self.weights[name] = chance.choice([8, 20])
        self.weights["noise"] = min(1, self.weights["noise"])
        self.weights["reset"] = min(2, self.weights["reset"])
        self.order_kinds = {kind: base * chance.choice([0, 1, 1, 3]) for kind, base in ORDER_KINDS.items()}
        if not any(self.order_kinds.values()):
            self.order_kinds = dict(ORDER_KINDS)
        self.acts = {name: chance.choice([0.5, 1, 1, 4]) for name in ACTS}
        self.ploys = {name: chance.choice([0.3, 1, 1, 4]) for name in PLOYS}
        for name in POOL_PLOYS:
            self.ploys[name] *= 2
        for name in ("edge_lag", "thin_maker", "reduce_pile"):
            self.ploys[name] *= 2
        self.ploys["lost_day"] *= 0.4
        self.cross_share = 0.0 if self.plot and chance.random() < 0.7 else chance.choice([0.5, 0.7, 1.0, 1.0])
        self.acts["settle"] *= 0.3
        self.acts["freeze"] *= 0.5
        self.acts["life"] *= 2
        self.acts["wish"] *= 2

    def entries(self, count: int) -> Iterator[Entry]:
        """Yield entries; the caller applies each to the twin before drawing the next."""
        yield feeds.feed_up(self)
        for name in self.twin.state.markets:
            self.drift[name] = founding.PRICES[name]
            yield feeds.quote(self, name)
        for number in range(self.accounts_wanted):
            yield self.instruction(0, "account_open", {"owner": f"{number:032x}"})
        yield from self.modes_choose()
        left = count - 1 - len(self.drift) - self.accounts_wanted
        if self.plot:
            for entry in PLOTS[self.plot](self):
                left -= 1
                yield entry
        while left > 0:
            for entry in self.step():
                left -= 1
                yield entry

    def modes_choose(self) -> Iterator[Entry]:
        """Yield the choice of cross margin, in every market, for the seed's share of the accounts."""
        users = self.users()
        names = list(self.twin.state.markets)
        modes = [{"op": "margin_mode_set", "market": name, "mode": "cross"} for name in names]
        for account_id in users[: round(len(users) * self.cross_share + 0.25)]:
            yield self.instruction(account_id, "batch", {"commands": modes})

    def step(self) -> Iterator[Entry]:
        """Yield the next few entries: time passes, then one thing happens."""
        chance = self.chance
        yield from self.time_pass(round(self.hurry * chance.choice([0, 1, 1_000, 90_000, 250_000, 250_000, 700_000])))
        if chance.random() < 0.01:
            yield from self.time_pass(chance.choice([4, 9, 11, 31, 59, 70, 200]) * SECOND_US)
        kinds = list(self.weights)
        for entry in self.happening(chance.choices(kinds, list(self.weights.values()))[0]):
            self.sent.append(entry)
            yield entry

    def time_pass(self, span_us: int) -> Iterator[Entry]:
        """Yield the ticks of a span of time that passes; a long one may have two alone."""
        self.ts_us += span_us
        while self.ts_us - self.tick_us > SECOND_US:
            skips = self.ts_us - self.tick_us > 20 * SECOND_US or self.chance.random() < 0.05
            self.tick_us = max(self.tick_us + SECOND_US, self.ts_us - 1_500_000 if skips else 0)
            yield Entry("clock_tick", {}, self.tick_us)

    def happening(self, kind: str) -> Iterator[Entry]:
        """Yield the entries of one happening."""
        chance, market = self.chance, self.market_any()
        users = self.users()
        if kind == "feed" or (not self.twin.state.feed_up and chance.random() < 0.5):
            yield feeds.feed_up(self)
        elif kind == "gap":
            yield from feeds.gap(self, market.name)
        elif kind == "mark":
            yield feeds.mark(self, market)
        elif kind == "wait":
            yield from self.time_pass(chance.choice([2, 5, 5, 6, 9, 10, 11, 61]) * SECOND_US)
        elif kind == "noise":
            yield self.noise()
        elif kind == "repeat" and self.sent:
            yield self.repeat()
        elif kind == "quote" or not users:
            yield feeds.quote(self, market.name)
        elif kind == "operator":
            account_id, op, values = operator_act(self)
            yield self.operator(account_id, op, values)
        elif kind == "ploy":
            name = chance.choices(list(self.ploys), list(self.ploys.values()))[0]
            yield from PLOYS[name](self, market)
        else:
            if not self.twin.state.fresh(market) and chance.random() < 0.8:
                yield feeds.quote(self, market.name)
            if market.state != "open" and chance.random() < 0.3:
                yield self.operator(0, "market_resume", {"market": market.name})
            yield self.wish(kind, chance.choice(users), market)

    def wish(self, kind: str, account_id: int, market: Market) -> Entry:
        """Return an instruction of a user; what asks for a position is mostly left to those who hold one."""
        chance = self.chance
        if kind in WITH_POSITION and chance.random() < 0.85:
            holders = sorted({row.account_id for row in self.twin.state.positions.values()})
            account_id = chance.choice(holders or [account_id])
        if kind in ("amend", "cancel") and chance.random() < 0.85:
            owners = sorted({row.account_id for row in self.twin.state.orders.values()})
            account_id = chance.choice(owners or [account_id])
        kind = self.kind_fitting(kind, account_id)
        op, values = WISHES[kind if kind in WISHES else "order"](self, account_id, market)
        if chance.random() < 0.004:
            account_id = chance.choice([0, 3, 99, 10_000, 2**31 - 1])
        return self.instruction(0 if op == "account_open" else account_id, op, values)

    def kind_fitting(self, kind: str, account_id: int) -> str:
        """Return a kind of wish; one that asks for a position or an order is mostly left out when there is none."""
        state = self.twin.state
        vain = kind in WITH_POSITION and not state.positions_of(account_id)
        vain = vain or (kind in WITH_ORDER and not state.orders_of(account_id))
        return self.chance.choice(["order", "order", "trade"]) if vain and self.chance.random() < 0.8 else kind

    def users(self) -> list[int]:
        """Return the ids of the users' accounts."""
        return [account_id for account_id in self.twin.state.accounts if account_id >= 100]

    def account_any(self) -> int:
        """Return the id of a user's account."""
        return self.chance.choice(self.users() or [100])

    def account_other(self, account_id: int) -> int:
        """Return the id of another user's account, mostly; of the same if there is no other."""
        others = [other for other in self.users() if other != account_id]
        return self.chance.choice(others) if others and self.chance.random() < 0.9 else account_id

    def market_any(self) -> Market:
        """Return one of the markets."""
        return self.chance.choice(list(self.twin.state.markets.values()))

    def orders_in(self, market: Market) -> list[Order]:
        """Return the live orders of a market by id."""
        return [order for _, order in sorted(self.twin.state.orders.items()) if order.market is market]

    def order_next(self) -> int:
        """Return the id that the next order gets."""
        return self.twin.state.counters["order"] + 1

    def ticks_of(self, market: Market) -> int:
        """Return where the market's price has drifted to, in whole ticks."""
        return min(WINDOW_TICKS - 2, max(1, round(self.drift[market.name] / float(market.tick))))

    def leverage_near(self, market: Market) -> int:
        """Return a leverage to size orders by."""
        return min(10, market.limits["leverage_max"])

    def leverage_of(self, account_id: int, market: Market) -> int:
        """Return the leverage of an account's net position in a market."""
        return self.twin.state.leverage_net(account_id, market)

    def noise(self) -> Entry:
        """Return an entry that no user or feed writes, or one that cannot be read."""
        kind, body = self.chance.choice(
            [
                ("lead", {"who": "somebody", "rules": self.chance.choice([0, 1, 2])}),
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
        if entry.kind == "user_instruction" and chance.random() < 0.5:
            again.body["op"] = chance.choice(["orders_cancel", "order_place", "batch", "account_reset"])
        return again

    def operator(self, account_id: int, op: str, values: dict[str, Any]) -> Entry:
        """Return an operator's instruction, rarely in the envelope of a user."""
        entry = self.instruction(account_id, op, values)
        if self.chance.random() < 0.97:
            entry.kind = "venue_instruction"
        return entry

    def instruction(self, account_id: int, op: str, values: dict[str, Any]) -> Entry:
        """Return an instruction under a fresh id: random, or a UUIDv7 whose time may be off."""
        chance = self.chance
        request_id = f"{chance.getrandbits(128):032x}"
        if chance.random() < 0.15 and not self.plot:
            off_ms = chance.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -100_000, -119_000, -130_000, 4_000, 7_000])
            id_ms = self.ts_us // 1_000 + off_ms
            request_id = f"{id_ms:012x}7{chance.getrandbits(12):03x}8{chance.getrandbits(60):015x}"
        ts_us = self.ts_us
        if chance.random() < 0.02 and not self.plot:
            ts_us += chance.choice([-6, -4, 1, 4, 9]) * SECOND_US
        envelope = {"v": 1, "account": account_id, "request_id": request_id, "op": op}
        return Entry("user_instruction", {**envelope, **values}, ts_us)
