"""
A venue's beginning and its accounts': markets, the venue's own accounts, users with their first money.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from tests.reference.images import account_event, market_event
from tests.reference.intake import Instruction
from tests.reference.ledger import transfer
from tests.reference.markets import PPM, market_read
from tests.reference.placing import Answer
from tests.reference.state import EXTERNAL, FEES, FIRST_USER, HOUSE, INSURANCE, Account, Position, State
from tests.reference.texts import money_text

SETTINGS = {"subaccounts_max": 10, "stp_owner": 0}  # of a venue founded before they were


def genesis(state: State, body: dict[str, Any], ts_us: int) -> None:
    """Found the venue: markets, limits, its own accounts, the insurance fund's first money."""
    state.venue = body["venue"]
    state.log_time_us = state.tick_time_us = ts_us
    for name, value in (SETTINGS | body["venue_set"]).items():
        state.settings[name] = int(Fraction(value) * PPM) if name.endswith("_balance") else int(value)
    for account_id in (EXTERNAL, HOUSE, FEES, INSURANCE):
        state.accounts[account_id] = Account(account_id)
    state.accounts[EXTERNAL].free -= state.settings["insurance_balance"]
    state.accounts[INSURANCE].free += state.settings["insurance_balance"]
    for index, found in enumerate(body["markets"]):
        market = market_read(index + 1, found)
        state.markets[market.name] = market
        state.house[market.name] = Position(market.market_id, HOUSE, market, "net", "", 1, ts_us)
        market_event(state, market)


def insurance_tell(state: State, before: int) -> None:
    """Tell what the insurance fund has, as the last event of an entry that changed it."""
    balance = state.accounts[INSURANCE].free
    if balance != before:
        state.emit("insurance_changed", balance=money_text(balance))


def account_open_codes(state: State, asked: Instruction) -> Iterator[str]:
    """Yield the rules that opening an account breaks; the same owner again is none."""
    if asked.late is not None:
        yield asked.late
    known = any(account.owner == asked.values["owner"] for account in state.accounts.values())
    users = sum(account_id >= FIRST_USER for account_id in state.accounts)
    if not known and users >= state.settings["accounts_max"]:
        yield "ACCOUNT_SLOTS_EXHAUSTED"


def account_open(state: State, asked: Instruction) -> Answer:
    """Open an account with the starting balance, or answer the one its owner has."""
    owner = asked.values["owner"]
    for account in state.accounts.values():
        if account.owner == owner:
            return {"account": account.account_id}
    account = Account(state.next_id("account"), owner)
    state.accounts[account.account_id] = account
    state.emit("account_opened", account=account.account_id, owner=owner)
    transfer(state, EXTERNAL, account.account_id, state.settings["starting_balance"], "deposit", 0)
    account_event(state, account.account_id)
    return {"account": account.account_id}
