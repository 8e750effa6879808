"""
One entry after another: time, what is due, the command, settle; the same four steps as the venue's own.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from tests.reference.instructions import OPERATIONS, account_open
from tests.reference.intake import Instruction, instruction_read
from tests.reference.judge import (
    account_open_codes,
    order_cancel_codes,
    order_place_codes,
    orders_cancel_codes,
    trade_close_codes,
    trade_create_codes,
    triggers_set_codes,
)
from tests.reference.markets import market_read
from tests.reference.memory import LATE_US, memory_ask, memory_forget, memory_keep
from tests.reference.prices import MINUTE_US, candles_close, feed_status_apply, mark_apply, quote_apply
from tests.reference.settle import settle
from tests.reference.state import EXTERNAL, FEES, FIRST_USER, HOUSE, INSURANCE, Account, Position, State, money_total

SECOND_US = 1_000_000
KINDS = (
    "price_update", "mark_update", "feed_status", "clock_tick", "user_instruction", "venue_instruction", "lead",
    "checkpoint", "restored",
)  # fmt: skip
CODES = {
    "order_place": order_place_codes,
    "order_cancel": order_cancel_codes,
    "orders_cancel": orders_cancel_codes,
    "trade_create": trade_create_codes,
    "trade_close": trade_close_codes,
    "position_triggers_set": triggers_set_codes,
}


class Reference:
    """The venue again, in plain Python; `apply` takes one log entry and returns what it caused."""

    def __init__(self) -> None:
        self.state = State()

    @property
    def accounts(self) -> dict[int, dict[str, Any]]:
        """Return the accounts, the venue's own included, as plain dicts."""
        return {key: vars(row) for key, row in self.state.accounts.items()}

    @property
    def orders(self) -> dict[int, dict[str, Any]]:
        """Return the live orders as plain dicts."""
        return {key: {**vars(row), "market": row.market.name} for key, row in self.state.orders.items()}

    @property
    def positions(self) -> dict[int, dict[str, Any]]:
        """Return the users' open positions as plain dicts."""
        return {key: {**vars(row), "market": row.market.name} for key, row in self.state.positions.items()}

    def apply(self, kind: str, body: dict[str, Any], ts_us: int, session: str = "") -> list[dict[str, Any]]:
        """Apply one entry and return its events."""
        state = self.state
        state.seq += 1
        state.events = []
        if kind == "genesis":
            genesis(state, body, ts_us)
            return state.events
        if kind not in KINDS:
            return state.events
        time_move(state, kind, ts_us)
        memory_forget(state)
        if kind == "price_update":
            quote_apply(state, body, ts_us, session)
        elif kind == "mark_update":
            mark_apply(state, body, ts_us, session)
        elif kind == "feed_status":
            feed_status_apply(state, body, session)
        elif kind in ("user_instruction", "venue_instruction"):
            instruction_apply(state, body, ts_us)
        settle(state)
        assert money_total(state) == 0
        return state.events


def genesis(state: State, body: dict[str, Any], ts_us: int) -> None:
    """Found the venue: markets, limits, its own accounts, the insurance fund's first money."""
    state.venue = body["venue"]
    state.log_time_us = state.tick_time_us = ts_us
    for name, value in body["venue_set"].items():
        state.settings[name] = int(Fraction(value) * 1_000_000) if name.endswith("_balance") else int(value)
    for account_id in (EXTERNAL, HOUSE, FEES, INSURANCE):
        state.accounts[account_id] = Account(account_id)
    state.accounts[EXTERNAL].free -= state.settings["insurance_balance"]
    state.accounts[INSURANCE].free += state.settings["insurance_balance"]
    for index, found in enumerate(body["markets"]):
        market = market_read(index + 1, found)
        state.markets[market.name] = market
        state.house[market.name] = Position(market.market_id, HOUSE, market, "net", "", 1, ts_us)
        state.emit("market_changed", **{"market": market.name, "id": market.market_id, "state": "open", **found})


def time_move(state: State, kind: str, ts_us: int) -> None:
    """Move log time forward, a tick's own first, and close the candle of a minute that was left."""
    if kind == "clock_tick":
        tick_take(state, ts_us)
    before_us = state.log_time_us
    state.log_time_us = max(before_us, min(ts_us, state.tick_time_us + 2 * SECOND_US))
    if state.log_time_us // MINUTE_US > before_us // MINUTE_US:
        candles_close(state, before_us // MINUTE_US * MINUTE_US)


def tick_take(state: State, ts_us: int) -> None:
    """Accept a tick, or keep one that runs ahead until the next confirms it."""
    pending, state.tick_pending_us = state.tick_pending_us, None
    if ts_us - state.tick_time_us <= LATE_US:
        state.tick_time_us = max(state.tick_time_us, ts_us)
    elif pending is not None and abs(ts_us - pending) <= LATE_US:
        state.tick_time_us = ts_us
    else:
        state.tick_pending_us = ts_us


def instruction_apply(state: State, body: dict[str, Any], ts_us: int) -> None:
    """Judge and carry out one instruction; its one response stands before what it causes."""
    asked = instruction_read(body)
    if asked is None:
        return
    place = len(state.events)
    result, first_seq = instruction_judge(state, asked, ts_us)
    answer: dict[str, int] = {}
    if result == "OK":
        if asked.op == "account_open":
            answer = account_open(state, asked)
        else:
            answer = OPERATIONS[asked.op](state, state.accounts[asked.account_id], asked)
    state.results[result] = state.results.get(result, 0) + 1
    memory_keep(state, asked, ts_us, result)
    response = {
        "e": "order_response",
        "account": asked.account_id,
        "request_id": asked.request_id,
        "op": asked.op,
        "result": result,
        **answer,
    }
    if first_seq is not None:
        response["first_seq"] = first_seq
    state.events.insert(place, response)


def instruction_judge(state: State, asked: Instruction, ts_us: int) -> tuple[str, int | None]:
    """Return the first rule that the instruction breaks, or OK; and the first seq of what it repeats."""
    if asked.early is not None:
        return asked.early, None
    result, first_seq = memory_ask(state, asked, ts_us)
    if result is not None:
        return result, first_seq
    return next(instruction_codes(state, asked, ts_us), "OK"), None


def instruction_codes(state: State, asked: Instruction, ts_us: int) -> Iterator[str]:
    """Yield every rule broken after those of the memory, in order of precedence."""
    if ts_us < state.log_time_us - LATE_US:
        yield "INSTRUCTION_LATE"
    if ts_us > state.log_time_us + LATE_US:
        yield "INSTRUCTION_EARLY"
    if asked.op == "account_open":
        yield from account_open_codes(state, asked)
        return
    if asked.account_id < FIRST_USER or asked.account_id not in state.accounts:
        yield "ACCOUNT_UNKNOWN"
    yield from CODES[asked.op](state, state.accounts[asked.account_id], asked)
