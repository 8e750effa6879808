"""
Accounts of all kinds on a violent day: each has a habit, and what it asks for follows from the seed and what was told.
"""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.faults import violent_habits
from tests.faults.violent_feed import Day, Frame
from tests.faults.violent_told import Event, Told
from tests.property.entries import Entry

POOR = Decimal(30)  # below which an account may begin anew
LIVE_MANY = 14  # orders of one account, after which it clears up
HABIT_KEPT = 0.7  # how often an account does what it is there for

Wish = tuple[str, dict[str, Any]]


class Crowd:
    """Draws instructions of a day's accounts; sizes are what the account can carry, prices near the quote."""

    def __init__(self, day: Day, seed: int, accounts: int, told: Told) -> None:
        self.day, self.told = day, told
        self.chance = random.Random(f"crowd {seed}")
        self.accounts = [100 + number for number in range(accounts)]
        self.tick, self.lot = Decimal(day.tick), Decimal(day.lot)
        self.markets = [market["market"] for market in day.markets]
        self.habits = list(violent_habits.HABITS)
        self.bid = self.ask = 1  # in ticks
        self.now_us = self.requests = 0

    def opening(self, ts_us: int) -> Iterator[Entry]:
        """Yield the opening of every account."""
        for number in range(len(self.accounts)):
            yield self.instruction(0, "account_open", {"owner": f"{number:032x}"}, ts_us)

    def look(self, frame: Frame, ts_us: int) -> None:
        """Take notice of the newest quote."""
        self.bid, self.ask, self.now_us = (
            int(Decimal(frame.bid) / self.tick),
            int(Decimal(frame.ask) / self.tick),
            ts_us,
        )

    def wishes(self, count: int, ts_us: int) -> Iterator[Entry]:
        """Yield what some accounts ask for, a millisecond apart; each is drawn when it is its turn."""
        for number in range(count):
            account = self.chance.choice(self.accounts)
            op, values = self.wish(account)
            yield self.instruction(account, op, values, ts_us + 1_000 * min(number, 900))

    def wish(self, account: int) -> Wish:
        """Return what an account does now: mostly its habit, else anything; a poor one may begin anew."""
        chance = self.chance
        if self.free(account) < POOR and chance.random() < 0.3:
            return "account_reset", {}
        if len(self.told.orders_of[account]) > LIVE_MANY:
            return "orders_cancel", {"market": chance.choice(self.markets)} if chance.random() < 0.5 else {}
        habit = self.habits[account % len(self.habits)]
        if chance.random() > HABIT_KEPT:
            habit = chance.choice(self.habits)
        market = self.markets[(account // len(self.habits)) % len(self.markets)]
        if chance.random() > HABIT_KEPT:
            market = chance.choice(self.markets)
        return violent_habits.HABITS[habit](self, account, market)

    def instruction(self, account: int, op: str, values: dict[str, Any], ts_us: int) -> Entry:
        """Return an instruction under a fresh request id."""
        self.requests += 1
        envelope = {"v": 1, "account": account, "request_id": f"{self.requests:032x}", "op": op}
        return Entry("user_instruction", {**envelope, **values}, ts_us)

    # --- what habits ask ---------------------------------------------------------------------------------------------

    def free(self, account: int) -> Decimal:
        """Return the free money that an account was told of."""
        image = self.told.accounts.get(account)
        return Decimal(image["free"]) if image else Decimal(0)

    def leverage(self, account: int, market: str) -> int:
        """Return the leverage of an account's net position in a market."""
        return self.told.leverages.get((account, market), 10)

    def touch(self, sign: int) -> int:
        """Return what a taker of a side pays or gets, in ticks."""
        return self.ask if sign > 0 else self.bid

    def price(self, ticks: int) -> str:
        """Return whole ticks as price text."""
        return f"{max(1, ticks) * self.tick:f}"

    def qty(self, lots: int) -> str:
        """Return whole lots as quantity text."""
        return f"{max(1, lots) * self.lot:f}"

    def money(self, amount: Decimal) -> str:
        """Return money as text with six decimals."""
        return f"{amount:.6f}"

    def lots(self, account: int, leverage: int, share: float) -> int:
        """Return the lots that a share of an account's free money carries, at least what is worth two dollars."""
        one = self.ask * self.tick * self.lot
        carried = self.free(account) * Decimal(f"{share:.4f}") * leverage / one
        return max(int(2 / one) + 1, int(carried))

    def share(self) -> float:
        """Return a share of free money to commit."""
        return self.chance.choice([0.01, 0.03, 0.1, 0.1, 0.3])

    def away(self, widest: float = 0.02) -> int:
        """Return a distance in ticks: some ticks, or up to a share of the price."""
        chance = self.chance
        return chance.choice([1, 3, 10, int(self.bid * widest * chance.random() ** 2)]) or 1

    def positions(self, account: int, kind: str = "") -> list[Event]:
        """Return an account's positions, of one kind if it is named."""
        return [one for one in self.told.positions_of[account].values() if kind in ("", one["kind"])]

    def orders(self, account: int, *statuses: str) -> list[Event]:
        """Return an account's live orders of some statuses."""
        return [one for one in self.told.orders_of[account].values() if one["status"] in statuses]
