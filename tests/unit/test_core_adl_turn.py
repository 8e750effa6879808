"""engine/core/adl.py: one ranking for all that is liquidated in a market's turn, and whom it passes over."""

from typing import Any

import numpy as np
import pytest

from engine.core.limits import ADL_PASSED_MAX
from engine.library import Engine
from tests.builders import instruction
from tests.unit.test_core_adl import BOOK, Crash
from tests.unit.test_lifecycle import told

M = "M_USDC_PERP"
OTHER = {**BOOK, "market": "N_USDC_PERP", "tick": "0.1", "liquidity": "quote", "spike_ppm": 900_000}


class Turn(Crash):
    """A `book` in which accounts trade with each other at one price, at leverages of their own."""

    def __init__(self, markets: Any = ({**BOOK, "mark_band_ppm": 100_000},)) -> None:
        super().__init__(8, markets)

    def leverage(self, account: int, leverage: int) -> None:
        """Set a leverage."""
        self.send("leverage_set", account, market=M, leverage=leverage)

    def trade(self, seller: int, buyer: int, qty: int, price: int = 1000) -> None:
        """Let one sell to another."""
        self.order(seller, "sell", str(qty), str(price))
        self.order(buyer, "buy", str(qty), str(price))

    def ruin(self, account: int, cash_e6: int) -> None:
        """Leave a cross account so much cash and 150 N in a halted market, long at 101, marked 10: 13650 are lost."""
        self.send("order_place", account, market="N_USDC_PERP", side="buy", kind="market", qty="150")
        self.free_set(account, cash_e6)
        self.engine.apply("venue_instruction", instruction(10**6, "market_halt", 0, market="N_USDC_PERP"))
        self.engine.price("N_USDC_PERP", "9.9", "10.1")


def crossed() -> Turn:
    """Return a venue with a second market in which account 101 is margined across, as in the first."""
    venue = Turn(markets=[{**BOOK, "mark_band_ppm": 100_000}, OTHER])
    venue.engine.price("N_USDC_PERP", "99", "101")
    for market in (M, "N_USDC_PERP"):
        venue.send("margin_mode_set", 101, market=market, mode="cross")
    return venue


def asked(events: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return which accounts were asked for how much."""
    return [(event["account"], event["qty"]) for event in told(events, "adl")]


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("falls", "found"), [([45], [(101, "6"), (101, "4"), (102, "2")]), ([42, 45], [(101, "6"), (102, "6")])]
)
def test_the_ranking_lasts_for_the_markets_turn(
    falls: list[int], found: list[tuple[int, str]], sign: int, small: bool
) -> None:
    """Who was asked for a part keeps its place for the next liquidation of the turn; in another turn it is ranked anew.

    The cross position of 10 behind 600 is before the isolated one on ten times; with 4 left it no longer would be.
    """
    venue = Turn()
    venue.leverage(100, 20)
    venue.leverage(104, 19)
    venue.leverage(101, 20)
    venue.send("margin_mode_set", 101, market=M, mode="cross")
    venue.free_set(101, 600_000_000)
    for asked_one, other, qty in ((101, 100, 6), (101, 104, 4), (102, 104, 2), (102, 105, 4)):
        venue.trade(*(asked_one, other)[::sign], qty)
    if small:
        venue.engine.states["events_room"] = 0
    events = [event for fall in falls for event in venue.mark(str(1000 - sign * fall))]
    assert [event["account"] for event in told(events, "liquidation")] == [100, 104]
    assert asked(events) == found and venue.engine.invariants() == []
    assert venue.engine.states["adl"]["ranked"][0] == 0


def test_an_isolated_liquidation_asks_its_accounts_own_positions() -> None:
    """The account's own short ticket on twenty times is first by score: it is asked like everybody's."""
    venue = Turn()
    venue.leverage(100, 20)
    venue.leverage(104, 20)
    venue.trade(101, 100, 6)
    venue.trade(101, 104, 6)
    venue.order(105, "buy", "8", "1000")
    venue.send("trade_create", 100, market=M, side="sell", qty="8", leverage=20)
    events = venue.mark("955")
    assert [event["account"] for event in told(events, "liquidation")] == [100, 104]
    assert asked(events) == [(100, "6"), (100, "2"), (101, "4")] and venue.engine.invariants() == []


def test_a_cross_liquidation_passes_its_accounts_own_positions_over() -> None:
    """It never touches isolated ones; for the next of the turn the ticket is first again."""
    venue = Turn()
    for account, qty in ((100, 10), (104, 6)):
        venue.send("margin_mode_set", account, market=M, mode="cross")
        venue.leverage(account, 20)
        venue.trade(101, account, qty)
    venue.order(105, "buy", "6", "1000")
    venue.send("trade_create", 100, market=M, side="sell", qty="6", leverage=20)
    venue.free_set(100, 500_000_000)
    venue.free_set(104, 300_000_000)
    events = venue.mark("955")
    assert [event["account"] for event in told(events, "liquidation")] == [100, 104]
    assert asked(events) == [(101, "10"), (100, "6")] and venue.engine.invariants() == []


def test_each_market_has_a_ranking_of_its_own() -> None:
    """In the turn of one market an account's worst position, in another, is closed first: those there are asked."""
    tiers = [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": 30}]
    book = {**BOOK, "mark_band_ppm": 100_000, "leverage_max": 30, "tiers": tiers}
    venue = Turn(markets=[book, {**book, "market": "N_USDC_PERP"}])
    venue.engine.price("N_USDC_PERP", "990", "1010")
    for market, other in ((M, 102), ("N_USDC_PERP", 101)):
        venue.send("margin_mode_set", 100, market=market, mode="cross")
        for account, side in ((other, "sell"), (100, "buy")):
            keys = {"market": market, "side": side, "qty": "10", "kind": "limit", "price": "1000"}
            venue.send("order_place", account, **keys)
    venue.leverage(104, 30)
    venue.trade(102, 104, 5)
    venue.free_set(100, 2_000_000_000)
    for market in (M, "N_USDC_PERP"):
        venue.send("leverage_set", 100, market=market, leverage=30)
    venue.free_set(100, 1_000_000_000)
    moved = venue.engine.ts_us
    body = {"E": moved, "T": moved, "e": "markPrice", "p": "950", "s": "N_USDC_PERP"}
    assert told(venue.engine.apply("mark_update", body), "liquidation") == []
    # 1000 - 500 - 330 are left of 95 + 96.7. N at its share, 942: 420 - 330 are left of 96.7.
    events = venue.mark("967")
    assert [event["account"] for event in told(events, "liquidation")] == [104, 100, 100]
    found = [(event["account"], event["market"][0], event["qty"], event["price"]) for event in told(events, "adl")]
    assert found == [(102, "M", "5", "967"), (101, "N", "10", "942"), (102, "M", "10", "958")]
    assert venue.engine.invariants() == []


def test_who_cannot_bear_one_price_is_asked_at_the_next() -> None:
    """A ruined cross short is first; at 950 it would lack 50, at 941 it has 40 left."""
    venue = crossed()
    venue.leverage(100, 20)
    venue.leverage(104, 20)
    venue.trade(101, 100, 10)
    venue.trade(102, 103, 10)
    venue.trade(103, 104, 10, 990)
    # M: cash − 13650 − 15 of maintenance = −550.
    venue.ruin(101, 13_115_000_000)
    events = venue.mark("949")
    assert [event["account"] for event in told(events, "liquidation")][:2] == [100, 104]
    prices = [(event["account"], event["price"]) for event in told(events, "adl")]
    assert prices[:2] == [(102, "950"), (101, "941")] and venue.engine.invariants() == []


@pytest.mark.parametrize(("lacking_e6", "account"), [(0, 101), (1, 102)])
def test_what_the_others_need_does_not_bear_a_price(lacking_e6: int, account: int) -> None:
    """Of a cross account's equity the maintenance margin of its other positions, here 15, is not counted."""
    venue = crossed()
    venue.leverage(100, 20)
    venue.trade(101, 100, 10)
    venue.trade(102, 103, 10)
    venue.ruin(101, 13_165_000_000 - lacking_e6)
    assert asked(venue.mark("955"))[0] == (account, "10") and venue.engine.invariants() == []


def test_a_row_that_is_used_again_is_not_asked() -> None:
    """A ranked short ends in the next liquidation's order, and its row becomes a long: neither is asked."""
    venue = Turn()
    venue.leverage(100, 20)
    venue.leverage(104, 20)
    venue.leverage(101, 20)
    venue.trade(101, 100, 6)
    venue.trade(101, 106, 2)
    venue.leverage(103, 15)
    venue.trade(103, 106, 3)
    venue.trade(102, 106, 5)
    venue.trade(105, 104, 10, 990)
    short = next(one["position_id"] for one in venue.engine.positions(103))
    rows = venue.engine.states.view(np.ndarray)[0]["positions"]["position_id"]
    (row,) = np.flatnonzero(rows == short).tolist()
    venue.order(103, "buy", "3", "945")
    venue.order(107, "buy", "1", "944")
    events = venue.mark("949")
    (new,) = (one["position_id"] for one in venue.engine.positions(107))
    assert rows[row] == new and told(events, "liquidation")[1]["price"] == "941"
    assert asked(events) == [(101, "6"), (101, "2"), (102, "4")] and venue.engine.invariants() == []
    # Of the four shorts that were ranked two have ended: nobody would look at them again.
    assert venue.engine.states["adl"]["counts"][0].tolist()[1] == 2


class Shield(Turn):
    """Account 100, cross, is long 10 behind 500 and has hundreds of short tickets of one lot; 102 is short on ten."""

    def __init__(self, tickets: int) -> None:
        book = {**BOOK, "mark_band_ppm": 100_000}
        self.engine = Engine(markets=[book], starting_balance="1000000", positions_open_max=1_000)
        self.count = 0
        for number in range(4):
            self.send("account_open", 0, owner=f"{number + 1:032x}")
        self.engine.price(M, "990", "1010")
        self.send("margin_mode_set", 100, market=M, mode="cross")
        self.leverage(100, 20)
        self.order(103, "buy", str(tickets), "1000")
        for _ in range(tickets):
            self.send("trade_create", 100, market=M, side="sell", qty="1", leverage=20)

    def fall(self, price: int) -> list[dict[str, Any]]:
        """Let 100 buy 10 of 102 with all its money, the mark fall by 45 and 100 be liquidated; return the events."""
        self.trade(102, 100, 10, price)
        self.free_set(100, 500_000_000)
        events = self.mark(str(price - 45))
        assert len(told(events, "liquidation")) == 1
        return events


@pytest.mark.parametrize("beyond", [0, 1])
def test_so_many_are_passed_over_and_then_the_house_takes_it(beyond: int) -> None:
    """Behind 511 that are passed over somebody is asked, each time; behind 512 nobody: the house takes the rest."""
    venue = Shield(ADL_PASSED_MAX - 1 + beyond)
    found = asked(venue.fall(1000))
    assert found == ([] if beyond else [(102, "10")])
    if not beyond:
        venue.free_set(100, 1_000_000_000)
        assert asked(venue.fall(955)) == [(102, "10")]
    assert venue.engine.invariants() == []
