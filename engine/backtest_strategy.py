"""
A strategy in Python: what it sees of a back-test, and how what it answers becomes instructions.

    class Buyer:
        def on_start(self, ctx): ...
        def on_quote(self, quote): return {"op": "order_place", "market": quote.market, "side": "buy", …}
        def on_event(self, event): ...

A callback returns nothing, an instruction, or a list of them; `ctx.submit` does the same. Each reaches the venue a
latency after what the strategy saw. Money is Decimal or text, never a float.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine import core
from engine.decode.feed import ASK, ASK_SIZE, BID, BID_SIZE, EVENT, MARKET, UPDATE
from engine.decode.rows import TS
from shared import units
from shared.records import NAME_WORDS

E6 = Decimal(10**6)
E12 = Decimal(10**12)


class StrategyError(Exception):
    """A strategy cannot be used as it is; the text says what is wrong with it."""


class Quote:
    """One accepted quote: best bid and ask with their sizes, as Decimal; `ts_us` is when it reached the venue."""

    __slots__ = ("market", "ts_us", "words")

    def __init__(self, words: list[int]) -> None:
        self.words = words
        self.ts_us = words[TS]
        self.market = units.text_of_words(words[MARKET : MARKET + NAME_WORDS])

    def decimal(self, word: int) -> Decimal:
        """Return the number that two of its words hold."""
        return self.words[word] + self.words[word + 1] / E12

    @property
    def bid(self) -> Decimal:
        """Return the best bid."""
        return self.decimal(BID)

    @property
    def ask(self) -> Decimal:
        """Return the best ask."""
        return self.decimal(ASK)

    @property
    def bid_size(self) -> Decimal:
        """Return the size at the best bid."""
        return self.decimal(BID_SIZE)

    @property
    def ask_size(self) -> Decimal:
        """Return the size at the best ask."""
        return self.decimal(ASK_SIZE)

    @property
    def event_us(self) -> int:
        """Return the outside venue's own time of it."""
        return self.words[EVENT]

    @property
    def update_id(self) -> int:
        """Return the outside venue's number of it."""
        return self.words[UPDATE]

    def __repr__(self) -> str:
        return f"Quote({self.market} {self.bid} {self.ask} at {self.ts_us})"


class Context:
    """What a strategy may look at and do."""

    def __init__(self, backtest: Any) -> None:
        self.backtest = backtest
        self.quotes: dict[str, Quote] = {}  # the newest accepted one of each market

    @property
    def now_us(self) -> int:
        """Return the venue's time."""
        return int(self.backtest.log_time_us())

    @property
    def accounts(self) -> list[int]:
        """Return the accounts that were opened."""
        return list(self.backtest.accounts)

    def quote(self, market: str) -> Quote | None:
        """Return the newest accepted quote of a market, None before its first."""
        return self.quotes.get(market)

    def submit(self, instruction: dict[str, Any]) -> None:
        """Have an instruction reach the venue a latency from now; raises StrategyError for a float or what is none."""
        instruction_check(instruction)
        self.backtest.later(self.now_us + self.backtest.plan.latency_us, dict(instruction))

    def account(self, account_id: int) -> dict[str, Decimal]:
        """Return what an account has: free, reserved, equity; raises KeyError when there is none."""
        held = core.account_of(self.backtest.machine.states, account_id)
        if held is None:
            raise KeyError(account_id)
        equity_e6 = self.backtest.figures.equities().get(account_id, 0)
        return {"free": held["free_e6"] / E6, "reserved": held["reserved_e6"] / E6, "equity": equity_e6 / E6}

    def positions(self, account_id: int) -> list[dict[str, Any]]:
        """Return the open positions of an account: market, position_id, qty (short below zero), price_entry, margin."""
        found = []
        lots_e12 = self.backtest.figures.lots_e12
        for row in core.positions_of(self.backtest.machine.states, account_id):
            if row["lots"]:
                qty = row["lots"] * lots_e12[row["market"]] / E12
                names = ("market", "position_id", "leverage", "take_profit_id", "stop_loss_id")
                found.append(
                    {name: row[name] for name in names}
                    | {"qty": qty, "price_entry": row["cost_e6"] / E6 / qty, "margin": row["margin_e6"] / E6}
                )
        return found

    def orders(self, account_id: int) -> list[dict[str, Any]]:
        """Return the live orders of an account as the core names their fields, integers in the market's own units."""
        return core.orders_of(self.backtest.machine.states, account_id)


class Strategy:
    """The callbacks of a strategy's object, those that it has."""

    def __init__(self, subject: Any) -> None:
        self.on_start = callback(subject, "on_start")
        self.on_quote = callback(subject, "on_quote")
        self.on_event = callback(subject, "on_event")
        if self.on_quote is None and self.on_event is None:
            raise StrategyError(f"{type(subject).__name__} has neither on_quote nor on_event")

    def start(self, context: Context) -> None:
        """Tell it that everything begins."""
        if self.on_start is not None:
            answer_take(context, self.on_start(context))

    def quote(self, context: Context, quote: Quote) -> None:
        """Show it a quote."""
        if self.on_quote is not None:
            answer_take(context, self.on_quote(quote))

    def event(self, context: Context, event: dict[str, Any]) -> None:
        """Show it an event."""
        if self.on_event is not None:
            answer_take(context, self.on_event(event))


def callback(subject: Any, name: str) -> Callable[..., Any] | None:
    """Return a callback of a strategy, None when it has none of this name."""
    found = getattr(subject, name, None)
    if found is not None and not callable(found):
        raise StrategyError(f"{type(subject).__name__}.{name} is no function")
    return found


def answer_take(context: Context, answer: Any) -> None:
    """Submit what a callback returned: nothing, an instruction, or several."""
    if answer is None:
        return
    for instruction in [answer] if isinstance(answer, dict) else answer:
        context.submit(instruction)


def instruction_check(instruction: Any) -> None:
    """Raise StrategyError for what cannot be an instruction."""
    if not isinstance(instruction, dict) or not isinstance(instruction.get("op"), str):
        raise StrategyError(f"{instruction!r} is no instruction: a dict with an `op` is")
    float_refuse(instruction, instruction["op"])


def float_refuse(value: Any, place: str) -> None:
    """Raise StrategyError for a float anywhere in a value."""
    if isinstance(value, float):
        raise StrategyError(f"{place}: {value!r} is a float; money and quantities are Decimal or text")
    if isinstance(value, dict):
        for name, each in value.items():
            float_refuse(each, f"{place} {name}")
    elif isinstance(value, list | tuple):
        for each in value:
            float_refuse(each, place)
