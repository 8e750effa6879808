"""engine/core/makers.py: whom a walk has met already, and the borders of a maker's test, to the micro."""

from typing import Any

import numpy as np
import pytest

from engine.core import kernel, makers, state
from engine.library import Engine
from tests.builders import instruction

MARKET = {"market": "M_USDC_PERP", "tick": "1", "lot": "1", "leverage_max": 20, "liquidity": "book",
          "fee_maker_ppm": 200, "fee_taker_ppm": 500}  # fmt: skip
BUYER, MAKER, OTHER = 100, 101, 102


@kernel.entry
def found(states, account_row, ticket_row):
    """Return the place of a sim, the free money that a maker has after it, and what of it was reserved."""
    free_e6, released_e6 = makers.maker_money_e6(states[0], account_row)
    return makers.sim_find(states[0], account_row, ticket_row), free_e6, released_e6


def test_the_last_sim_of_a_position_is_found_wherever_it_stands() -> None:
    """Of all that a walk has noted, the newest of the account and position asked for counts; without one, none."""
    states = state.allocate()
    row = states.view(np.ndarray)[0]
    row["walks"] = 4
    row["account_links"]["met_walk"][[5, 6, 7, 8]] = 4
    noted = [(5, 0), (6, 0), (5, 9), (7, 0), (5, 0), (6, 3), (7, 0)]
    for index, (account_row, position_row) in enumerate(noted):
        sim = row["sims"][index]
        sim["account_row"], sim["position_row"] = account_row, position_row
        sim["free_e6"], sim["released_e6"] = 1_000 + index, index
    row["accounts"]["free_e6"][:9] = 5
    for count in range(len(noted) + 1):
        row["taker"]["sims_count"] = count
        for account_row in (5, 6, 7, 8):
            own = [index for index in range(count) if noted[index][0] == account_row]
            for ticket_row in (0, 3, 9):
                last = [index for index in own if noted[index][1] == ticket_row][-1:] or [-1]
                free = 1_000 + own[-1] if own else 5
                released = own[-1] if own else 0
                assert [int(one) for one in found(states, account_row, ticket_row)] == [last[0], free, released]


class Venue:
    """A venue with one `book` market, at mark 100 unless said, and three accounts of the same balance."""

    def __init__(self, balance: str = "1000", quote: tuple[str, str] = ("99", "101"), **market_set: Any) -> None:
        self.engine = Engine(markets=[{**MARKET, **market_set}], starting_balance=balance)
        self.count = 0
        for number in range(3):
            self.send("account_open", 0, owner=f"{number + 1:032x}")
        self.engine.price("M_USDC_PERP", *quote)

    def send(self, op: str, account: int, **keys: Any) -> list[dict[str, Any]]:
        """Send an instruction that must be accepted and return its events."""
        self.count += 1
        events = self.engine.apply("user_instruction", instruction(self.count, op, account, **keys))
        assert events[0]["result"] == "OK", events[0]
        return events

    def order(self, account: int, side: str, qty: str, price: str = "", **keys: Any) -> list[dict[str, Any]]:
        """Place a limit, or without a price a market order."""
        shape = {"kind": "limit", "price": price} if price else {"kind": "market"}
        return self.send("order_place", account, market="M_USDC_PERP", side=side, qty=qty, **shape, **keys)

    def free_e6(self, account: int) -> int:
        """Return an account's free money."""
        row = self.engine.account(account)
        assert row is not None
        return row["free_e6"]

    def free_set(self, account: int, free_e6: int) -> None:
        """Leave an account so much free money."""
        change = free_e6 - self.free_e6(account)
        body = instruction(900 + self.count, "account_credit", account, amount=money(change), reason="test")
        assert self.engine.apply("venue_instruction", body)[0]["result"] == "OK"
        assert self.free_e6(account) == free_e6


def money(amount_e6: int) -> str:
    """Return micro-USDC as text."""
    sign = "-" if amount_e6 < 0 else ""
    return f"{sign}{abs(amount_e6) // 10**6}.{abs(amount_e6) % 10**6:06d}"


def ended(events: list[dict[str, Any]], account: int) -> str:
    """Return how an account's order ended in these events; empty when it did not."""
    return "".join(event["reason"] for event in events if event["e"] == "closed_order" and event["account"] == account)


def long_with_margin(margin_e6: int) -> Venue:
    """Return a venue in which the maker is long 1 from 100 with so much margin."""
    venue = Venue()
    venue.send("leverage_set", MAKER, market="M_USDC_PERP", leverage=20)
    venue.order(OTHER, "sell", "1", "100")
    venue.order(MAKER, "buy", "1")
    (position,) = venue.engine.positions(MAKER)
    change = margin_e6 - position["margin_e6"]
    venue.send("margin_change", MAKER, position_id=position["position_id"], amount=money(change))
    return venue


@pytest.mark.parametrize(("lack_e6", "reason"), [(-1, "filled"), (0, "filled"), (1, "margin_insufficient_at_fill")])
def test_a_closing_maker_may_come_out_with_nothing(lack_e6: int, reason: str) -> None:
    """A resting order whose fill would cost the whole margin to the micro is filled; with one micro less it ends."""
    # Sold at 95: a loss of 5 and a fee of 0.019.
    venue = long_with_margin(5_019_000 - lack_e6)
    venue.order(MAKER, "sell", "1", "95")
    events = venue.order(BUYER, "buy", "1", "95", tif="IOC")
    assert ended(events, MAKER) == reason
    assert not any(event["e"] == "deficit" for event in events)


@pytest.mark.parametrize(("free_e6", "margin_e6"), [(0, 0), (-1, -1), (-2, -2), (-3, None)])
def test_a_maker_may_lack_two_micro(free_e6: int, margin_e6: int | None) -> None:
    """What a fill needs beyond free money comes off the margin up to two micro; a third ends the order."""
    venue = Venue(leverage_max=7)
    venue.send("leverage_set", MAKER, market="M_USDC_PERP", leverage=7)
    venue.order(MAKER, "buy", "2", "101")
    # One of two lots at 101: margin ⌈101 ÷ 7⌉ = 14.428572, fee 0.0202, open loss 1 to the mark 100; the reserve keeps
    # 14.428572 + 0.0505 of 28.857143 + 0.101 for the other lot, so 14.479071 come free.
    needed_e6 = 14_428_572 + 20_200 + 1_000_000
    venue.free_set(MAKER, needed_e6 - 14_479_071 + free_e6)
    events = venue.order(OTHER, "sell", "1", "101", tif="IOC")
    if margin_e6 is None:
        assert ended(events, MAKER) == "margin_insufficient_at_fill"
        assert not venue.engine.positions(MAKER)
        return
    (position,) = venue.engine.positions(MAKER)
    assert position["margin_e6"] == 15_428_572 + margin_e6
    assert venue.free_e6(MAKER) == 0
    assert venue.engine.invariants() == []
