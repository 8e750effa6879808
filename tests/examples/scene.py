"""
One account, others beside it when asked for, one market, touches, marks and fundings on demand: the examples' stage.

A touch is set so that the wanted side stands exactly at the wanted price; a mark frame keeps the mark apart from it.
"""

from collections.abc import Iterable
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from engine.library import Engine
from shared.codes import ACCOUNT_INSURANCE

MARKET = "EXAMPLE_PERP"
ACCOUNT = 100
MICRO = Fraction(1, 10**6)
WIDE_PPM = 900_000
MOMENT_US = 1_000
PAUSE_US = 61_000_000
FUNDING_WAIT_MS = 1_000
RATE_STEP = Decimal("0.000000001")
Event = dict[str, Any]


class Figure(NamedTuple):
    """A number of the engine, and how far the exact one may lie below and above it by our own rounding."""

    value: Fraction
    below: Fraction = Fraction(0)
    above: Fraction = Fraction(0)


def exact(text: Any) -> Figure:
    """Return a figure that nothing has rounded."""
    return Figure(Fraction(text))


def charged(text: Any, roundings: int = 1) -> Figure:
    """Return money that was rounded up: the exact amount is less than one micro for each rounding below."""
    return Figure(Fraction(text), below=roundings * MICRO)


def received(text: Any, roundings: int = 1) -> Figure:
    """Return money that was rounded down: the exact amount is less than one micro for each rounding above."""
    return Figure(Fraction(text), above=roundings * MICRO)


def decimal(value: Any) -> str:
    """Return a number as decimal text without exponent."""
    return f"{Decimal(value):f}"


def last(events: list[Event], kind: str) -> Event:
    """Return the last event of a kind; there is one."""
    return [event for event in events if event["e"] == kind][-1]


def has(events: list[Event], kind: str) -> bool:
    """Return whether there is an event of a kind."""
    return any(event["e"] == kind for event in events)


class Scene:
    """A venue of one market whose filters against wild prices are as wide as genesis lets them be."""

    def __init__(self, tick: str, lot: str, *, balance: str = "1000000000", leverage_max: int = 10, **market: Any):
        market.setdefault("tiers", [(0, 1_000)])
        tiers = [
            {"floor": decimal(floor), "mmr_ppm": mmr_ppm, "leverage_max": leverage_max}
            for floor, mmr_ppm in market.pop("tiers")
        ]
        wide = dict.fromkeys(("spread_max_ppm", "spike_ppm", "mark_band_ppm", "price_band_ppm"), WIDE_PPM)
        free = {"fee_maker_ppm": 0, "fee_taker_ppm": 0, "notional_min": "0"}
        entry = {"market": MARKET, "tick": tick, "lot": lot, "leverage_max": leverage_max, "tiers": tiers}
        self.tick, self.lot, self.balance = Decimal(tick), Decimal(lot), Fraction(balance)
        self.engine = Engine([{**entry, **wide, **free, **market}], starting_balance=balance, accounts_max=10)
        self.leverage_net = min(10, leverage_max)
        self._requests = 0
        self.instruct("account_open", owner="1" * 32, account=0)

    def instruct(self, op: str, *, result: str = "OK", account: int = ACCOUNT, **keys: Any) -> list[Event]:
        """Apply an instruction and return its events; its answer is the one expected, any if that is empty."""
        self._requests += 1
        body = {"v": 1, "account": account, "request_id": f"{self._requests:032x}", "op": op, **keys}
        events = self.engine.apply("user_instruction", body, ts_us=self.engine.ts_us + MOMENT_US)
        answer = last(events, "order_response")["result"]
        assert result in ("", answer), f"{op} {keys}: {answer}"
        return events

    def account_open(self) -> int:
        """Open one account more and return its id."""
        events = self.instruct("account_open", owner=f"{self._requests + 2:032x}", account=0)
        return int(last(events, "account_changed")["account"])

    def pause(self) -> None:
        """Let so much time pass that no price is a spike against the last."""
        self.engine.ts_us += PAUSE_US

    def prices(self, bid: Any, ask: Any, mark: Any) -> list[Event]:
        """Bring a quote, then a mark, and return what both caused."""
        events = self.engine.price(MARKET, decimal(bid), decimal(ask), ts_us=self.engine.ts_us + MOMENT_US)
        return events + self.mark(mark)

    def mark(self, price: Any, **keys: Any) -> list[Event]:
        """Bring a mark alone."""
        ts_us = self.engine.ts_us + MOMENT_US
        body = {"e": "markPrice", "s": MARKET, "p": decimal(price), "E": ts_us, "T": ts_us, **keys}
        return self.engine.apply("mark_update", body, ts_us=ts_us)

    def funding(self, price: Any, rate: Any) -> list[Event]:
        """Bring a mark with a funding rate that is due a second later, let that come, and return what it caused."""
        due_ms = self.engine.ts_us // 1_000 + FUNDING_WAIT_MS
        self.mark(price, f=decimal(rate), n=due_ms)
        return self.engine.apply("clock_tick", ts_us=due_ms * 1_000)

    def funding_received(self, price: Any, amount: Any) -> Fraction:
        """
        Let the position receive an amount, if negative pay, as funding at a mark; return it as the event tells it.

        A rate has nine decimals: it is cut to them, and the payment, rounded up to a micro, is the amount again.
        """
        lots = self.engine.positions(ACCOUNT)[0]["lots"]
        value = Decimal(price) * lots * self.lot
        events = self.funding(price, (-Decimal(amount) / value).quantize(RATE_STEP, ROUND_DOWN))
        assert last(events, "funding_settled")["positions"] == 1
        return Fraction(last(events, "funding")["amount"])

    def touch(self, side: str, price: Any, mark: Any = None) -> list[Event]:
        """Let an order of this side meet this price; the mark is there too unless another is given."""
        at = Decimal(price)
        bid, ask = (at - self.tick, at) if side == "buy" else (at, at + self.tick)
        return self.prices(bid, ask, at if mark is None else mark)

    def order(self, side: str, qty: Any, price: Any, mark: Any = None) -> list[Event]:
        """Trade on the net position by a market order at a price."""
        self.touch(side, price, mark)
        return self.instruct("order_place", market=MARKET, side=side, kind="market", qty=decimal(qty))

    def offer(self, levels: Iterable[tuple[Any, Any]]) -> int:
        """Let a new account rest sells of (price, quantity), the touch below the first, and return its id."""
        maker, offers = self.account_open(), list(levels)
        self.touch("buy", offers[0][0])
        for price, qty in offers:
            self.limit("sell", qty, price, account=maker)
        return maker

    def limit(self, side: str, qty: Any, price: Any, **keys: Any) -> list[Event]:
        """Place a limit order."""
        size = {"qty": decimal(qty), "price": decimal(price)}
        return self.instruct("order_place", market=MARKET, side=side, kind="limit", **size, **keys)

    @staticmethod
    def own(events: list[Event], kind: str) -> list[Event]:
        """Return the events of a kind that are the first account's."""
        return [event for event in events if event["e"] == kind and event["account"] == ACCOUNT]

    def ticket(self, side: str, qty: Any, price: Any, leverage: int, **keys: Any) -> list[Event]:
        """Open a ticket at a price."""
        self.touch(side, price)
        size = {"qty": decimal(qty), "leverage": leverage}
        return self.instruct("trade_create", market=MARKET, side=side, **size, **keys)

    def close(self, price: Any, qty: Any = None, mark: Any = None) -> list[Event]:
        """Close the only position, or a part of it, at a price."""
        row = self.engine.positions(ACCOUNT)[0]
        self.touch("sell" if row["lots"] > 0 else "buy", price, mark)
        part = {} if qty is None else {"qty": decimal(qty)}
        return self.instruct("trade_close", position_id=row["position_id"], **part)

    @property
    def free(self) -> Fraction:
        """The account's free money."""
        return Fraction(self.engine.account(ACCOUNT)["free_e6"], 10**6)  # type: ignore[index]

    @property
    def insurance(self) -> Fraction:
        """The insurance fund."""
        return Fraction(self.engine.account(ACCOUNT_INSURANCE)["free_e6"], 10**6)  # type: ignore[index]

    def sound(self) -> None:
        """Assert the engine's own invariants."""
        assert self.engine.invariants() == []


def unrealised(position: Event, mark: Any) -> Fraction:
    """Return what a position would gain at a mark: Q · mark − C, both as position_changed tells them."""
    return Fraction(position["qty"]) * Fraction(mark) - Fraction(position["cost"])


def bankruptcy(position: Event) -> Fraction:
    """Return the price at which a position's margin is used up: (C − m) ÷ Q."""
    return (Fraction(position["cost"]) - Fraction(position["margin"])) / Fraction(position["qty"])


def long_with_margin(scene: Scene, qty: Any, entry: Any, margin: Any) -> Event:
    """
    Open a net long with a margin of our choice and return its position_changed.

    A taker brings the open loss against the mark as margin: the bulk is bought under one mark, one last lot under a
    mark that brings the rest, so the margin is met to the money of one tick · lot.
    """
    price, whole, wanted = Decimal(entry), Decimal(qty), Decimal(margin)
    leverage = scene.leverage_net
    extra = (wanted - whole * price / leverage) / whole
    bulk = scene.order("buy", whole - scene.lot, entry, price - extra // scene.tick * scene.tick)
    rest = wanted - Decimal(last(bulk, "position_changed")["margin"]) - scene.lot * price / leverage
    final = scene.order("buy", scene.lot, entry, price - rest / scene.lot // scene.tick * scene.tick)
    position = last(final, "position_changed")
    assert abs(Fraction(wanted) - Fraction(position["margin"])) <= Fraction(scene.tick * scene.lot) + MICRO
    return position
