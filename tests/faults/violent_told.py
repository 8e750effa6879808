"""
What a venue's events have told so far: accounts, positions, orders, legs; nothing of it is read from the venue itself.
"""

from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

Event = dict[str, Any]


class Told:
    """The newest post-image of everything that lives, by what it belongs to, and sums of what has happened."""

    def __init__(self) -> None:
        self.accounts: dict[int, Event] = {}
        self.positions: dict[int, Event] = {}
        self.positions_of: dict[int, dict[int, Event]] = defaultdict(dict)
        self.orders_of: dict[int, dict[int, Event]] = defaultdict(dict)
        self.leverages: dict[tuple[int, str], int] = {}
        self.legs: dict[int, Fraction] = defaultdict(Fraction)  # of each account
        self.counts: Counter[str] = Counter()
        self.results: Counter[str] = Counter()

    def take(self, event: Event) -> None:
        """Remember one event."""
        kind = event["e"]
        self.counts[kind] += 1
        if kind == "account_changed":
            self.accounts[event["account"]] = event
        elif kind == "position_changed":
            self.position_take(event)
        elif kind == "order_changed":
            self.orders_of[event["account"]][event["order_id"]] = event
        elif kind == "closed_order":
            self.orders_of[event["account"]].pop(event["order_id"], None)
            self.counts[f"ended {event['reason']}"] += 1
        elif kind == "account_market_changed":
            self.leverages[event["account"], event["market"]] = event["leverage"]
        elif kind == "ledger":
            self.legs[event["account"]] += Fraction(event["amount"])
        elif kind == "order_response":
            self.results[event["result"]] += 1
            for part in event.get("results", []):
                self.results[part["result"]] += 1

    def position_take(self, event: Event) -> None:
        """Remember a position, or forget one that has no lots any more."""
        position_id, own = event["position_id"], self.positions_of[event["account"]]
        if Fraction(event["qty"]):
            self.positions[position_id] = own[position_id] = event
        else:
            self.positions.pop(position_id, None)
            own.pop(position_id, None)

    def net(self, account: int, market: str) -> Event | None:
        """Return an account's net position in a market, None when it has none."""
        own = self.positions_of[account].values()
        return next((one for one in own if one["market"] == market and one["kind"] == "net"), None)

    def legs_wrong(self) -> list[int]:
        """Return the accounts whose money is not the sum of the legs they were told."""
        return [
            account
            for account, image in self.accounts.items()
            if Fraction(image["free"]) + Fraction(image["reserved"]) != self.legs[account]
        ]
