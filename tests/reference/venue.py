"""
One entry after another: time, what is due, the command, settle; the same four steps as the venue's own.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tests.reference.changing import (
    deadman_set,
    leverage_set,
    margin_change,
    order_amend,
    order_cancel,
    orders_cancel,
    position_triggers_set,
)
from tests.reference.due import due_all
from tests.reference.founding import account_open, account_open_codes, genesis, insurance_tell
from tests.reference.intake import BATCH_EXCEPT, OPERATOR_OPERATIONS, Instruction, instruction_read
from tests.reference.judge import CODES
from tests.reference.lifecycle import ACCOUNT_OPERATIONS, VENUE_OPERATIONS, account_reset, credit_codes
from tests.reference.memory import LATE_US, SECOND_US, memory_ask, memory_forget, memory_keep
from tests.reference.owners import (
    account_guards_set,
    account_transfer,
    guards_codes,
    margin_mode_set,
    subaccount_open,
)
from tests.reference.placing import (
    Answer,
    Values,
    order_place,
    position_reverse,
    positions_close_all,
    trade_close,
    trade_create,
)
from tests.reference.prices import feed_status_apply, mark_apply, quote_apply
from tests.reference.settle import settle
from tests.reference.state import FIRST_USER, INSURANCE, Account, State, money_total

KINDS = (
    "price_update", "mark_update", "feed_status", "clock_tick", "user_instruction", "venue_instruction", "lead",
    "checkpoint", "restored",
)  # fmt: skip
INSTRUCTIONS = ("user_instruction", "venue_instruction")
OPERATIONS: dict[str, Callable[[State, Account, Values], Answer]] = {
    "order_place": order_place,
    "order_amend": order_amend,
    "order_cancel": order_cancel,
    "orders_cancel": orders_cancel,
    "trade_create": trade_create,
    "trade_close": trade_close,
    "positions_close_all": positions_close_all,
    "position_reverse": position_reverse,
    "position_triggers_set": position_triggers_set,
    "margin_change": margin_change,
    "leverage_set": leverage_set,
    "margin_mode_set": margin_mode_set,
    "account_guards_set": account_guards_set,
    "subaccount_open": subaccount_open,
    "account_transfer": account_transfer,
    "deadman_set": deadman_set,
    "account_reset": account_reset,
    **ACCOUNT_OPERATIONS,
}
# What a frozen account's operator may not do for it either.
FROZEN_FOR_ALL = ("order_place", "order_amend", "trade_create", "position_reverse")
# What nobody may do for an account that has lost as much today as its owner lets it.
LOCKED_FOR_ALL = ("order_place", "trade_create", "position_reverse", "account_transfer")


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
            insurance_tell(state, 0)
            return state.events
        operator = kind == "venue_instruction"
        asked = instruction_read(body, operator) if kind in INSTRUCTIONS else None
        if kind not in KINDS or (kind in INSTRUCTIONS and asked is None):
            return state.events
        insured = state.accounts[INSURANCE].free
        for market in state.markets.values():
            market.quoted_now = market.touched = False
        time_move(state, kind, ts_us)
        memory_forget(state)
        if kind == "price_update":
            quote_apply(state, body, ts_us, session)
        elif kind == "mark_update":
            mark_apply(state, body, ts_us, session)
        elif kind == "feed_status":
            feed_status_apply(state, body, session)
        elif asked is not None:
            instruction_apply(state, asked, ts_us)
        settle(state)
        insurance_tell(state, insured)
        assert money_total(state) == 0
        return state.events


def time_move(state: State, kind: str, ts_us: int) -> None:
    """Move log time forward, a tick's own first, and do what has become due."""
    if kind == "clock_tick":
        tick_take(state, ts_us)
    before_us = state.log_time_us
    state.log_time_us = max(before_us, min(ts_us, state.tick_time_us + 2 * SECOND_US))
    due_all(state, before_us)


def tick_take(state: State, ts_us: int) -> None:
    """Accept a tick, or keep one that runs ahead until the next confirms it."""
    pending, state.tick_pending_us = state.tick_pending_us, None
    if ts_us - state.tick_time_us <= LATE_US:
        state.tick_time_us = max(state.tick_time_us, ts_us)
    elif pending is not None and abs(ts_us - pending) <= LATE_US:
        state.tick_time_us = ts_us
    else:
        state.tick_pending_us = ts_us


def instruction_apply(state: State, asked: Instruction, ts_us: int) -> None:
    """Judge and carry out one instruction; its one response stands before what it causes."""
    place = len(state.events)
    result, first_seq = instruction_judge(state, asked, ts_us)
    answer = instruction_execute(state, asked) if result == "OK" else {}
    state.results[result] = state.results.get(result, 0) + 1
    memory_keep(state, asked, ts_us, result)
    response = {
        "e": "order_response",
        "account": asked.account_id,
        "request_id": asked.request_id,
        "op": "none" if asked.early == "OP_UNKNOWN" else asked.op,
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
    if asked.op in VENUE_OPERATIONS:
        if asked.account_id != 0:
            yield "ACCOUNT_UNKNOWN"
        yield from market_codes(state, asked)
        yield from VENUE_OPERATIONS[asked.op][0](state, asked.values)
        return
    if asked.account_id < FIRST_USER or asked.account_id not in state.accounts:
        yield "ACCOUNT_UNKNOWN"
    account = state.accounts[asked.account_id]
    if account.frozen and not asked.operator and asked.op != "deadman_set":
        yield "ACCOUNT_FROZEN"
    yield from command_codes(state, account, asked, asked.operator)


def command_codes(state: State, account: Account, asked: Instruction, operator: bool) -> Iterator[str]:
    """Yield the rules that an operation on an account breaks once the account is known; of a batch, each command's."""
    if account.frozen and asked.op in FROZEN_FOR_ALL:
        yield "ACCOUNT_FROZEN"
    if state.locked(account) and asked.op in LOCKED_FOR_ALL and not asked.values.get("reduce_only"):
        yield "ACCOUNT_LOCKED"
    yield from market_codes(state, asked)
    if asked.op == "account_guards_set":
        yield from guards_codes(state, account, asked.values, operator)
    elif asked.op == "account_credit":
        yield from credit_codes(state, account, asked.values)
    elif asked.op in CODES:
        yield from CODES[asked.op](state, account, asked.values)


def market_codes(state: State, asked: Instruction) -> Iterator[str]:
    """Yield what is wrong with the market named, its state among it, then what is wrong with the shape."""
    name = asked.values.get("market")
    if name is not None:
        market = state.markets.get(name)
        if market is None:
            yield "MARKET_UNKNOWN"
            return
        if market.state == "halted" and asked.op in ("order_place", "trade_create", "leverage_set"):
            yield "MARKET_HALTED"
        opens = asked.op == "trade_create" or (asked.op == "order_place" and not asked.values.get("reduce_only"))
        if market.state == "reduce_only" and opens:
            yield "MARKET_REDUCE_ONLY"
    if asked.late is not None:
        yield asked.late


def instruction_execute(state: State, asked: Instruction) -> Answer:
    """Carry out an instruction that was found sound, and return what its answer names."""
    if asked.op == "account_open":
        return account_open(state, asked)
    if asked.op in VENUE_OPERATIONS:
        VENUE_OPERATIONS[asked.op][1](state, asked.values)
        return {}
    account = state.accounts[asked.account_id]
    if asked.op == "batch":
        commands = asked.values["commands"]
        return {"results": [command_run(state, account, command, asked.operator) for command in commands]}
    return OPERATIONS[asked.op](state, account, asked.values)


def command_run(state: State, account: Account, command: Instruction, operator: bool) -> Answer:
    """Judge and carry out one command of a batch, and return its result."""
    assert command.op not in BATCH_EXCEPT or command.early is not None
    result = command.early or next(command_codes(state, account, command, operator), "OK")
    answer = OPERATIONS[command.op](state, account, command.values) if result == "OK" else {}
    return {"result": result, **answer}


assert set(OPERATIONS) | set(VENUE_OPERATIONS) >= set(OPERATOR_OPERATIONS)
