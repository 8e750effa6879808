"""engine/core/adl.py: scores against Python's integers, saturation, and the order in which positions are asked."""

import random
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from engine import core
from engine.core import adl, kernel, state
from engine.library import Engine
from tests.builders import instruction
from tests.unit.test_core_makers import Venue
from tests.unit.test_lifecycle import told

PPM = 10**6
MOST = 2**62 - 1
STATES = state.allocate()
ACCOUNT_ROW = 5
TIERS = [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": 20}]
BOOK = {"market": "M_USDC_PERP", "tick": "1", "lot": "1", "leverage_max": 20, "liquidity": "book", "tiers": TIERS,
        "fee_maker_ppm": 0, "fee_taker_ppm": 0, "price_band_ppm": 100_000, "spread_max_ppm": 50_000}  # fmt: skip
HASHES: set[str] = set()


@kernel.entry
def score_of(states):
    """Return the score of the first position of a state."""
    return adl.adl_score(states[0], 1)


@kernel.entry
def ranked(states, scores):
    """Rank positions 1 … n with these scores."""
    task = states[0].adl
    task.counts[0] = 0
    task.counts[1] = 0
    for index in range(len(scores)):
        adl.rank_put(states[0], index + 1, scores[index])


@kernel.entry
def asked(states, side, gone, rows):
    """Take as many of a side as `gone` is long and put back those that are not gone; write the rows as they come."""
    table = states[0]
    table.adl.heap_count = table.adl.counts[side]
    for index in range(len(gone)):
        adl.heap_take(table, side)
        rows[index] = table.adl_cells[adl.cell_at(side, table.adl.heap_count)].row
        if gone[index]:
            adl.gone_drop(table, side)
    adl.ranking_restore(table, side)
    return table.adl.counts[side]


def position_write(lots: int, cost: int, margin: int, mark: int, unit: int, cross: int = 0) -> None:
    """Write the first position of the state and its market."""
    table = STATES.view(np.ndarray)[0]
    market, position = table["markets"][0], table["positions"][1]
    market["mark_ticks"], market["config"]["unit_e6"], market["config"]["leverage_max"] = mark, unit, 50
    position["market_id"], position["account_id"], position["position_id"] = 1, 100, 1
    position["lots"], position["cost_e6"], position["margin_e6"], position["cross"] = lots, cost, margin, cross
    links = table["account_links"][ACCOUNT_ROW]
    links["cross_markets"], links["markets"][0]["net"] = cross, 1


def expected(lots: int, cost: int, equity: int, mark: int, unit: int) -> int:
    """Return the score in exact arithmetic, cut at each step where the rule cuts."""
    value = lots * mark * unit
    result = value - cost
    if equity <= 0:
        return MOST
    rate = min(floor(Fraction(abs(result) * PPM, abs(cost))), MOST)
    if result > 0:
        return min(rate * abs(value) // equity, MOST)
    return -min(rate * equity // abs(value), MOST)


def test_scores_are_exact() -> None:
    """Winners by return times leverage, losers by return over leverage, floored toward nought; no equity is first."""
    chance, kinds = random.Random(7), set()
    for _ in range(1_500):
        unit, mark = chance.choice([1, 7, 1_000]), chance.randint(1, 2 ** chance.randint(1, 22))
        lots = chance.choice([1, -1]) * chance.randint(1, 2 ** chance.randint(1, 33))
        if abs(lots) * mark * unit >= 10**17:
            continue
        entry = max(1, mark + chance.randint(-mark // 2 - 1, mark))
        cost = lots * entry * unit
        backing = chance.choice([0, 1, abs(cost) // 50, abs(cost) // 2, 10**15])
        found = expected(lots, cost, lots * mark * unit - cost + backing, mark, unit)
        position_write(lots, cost, backing, mark, unit)
        assert score_of(STATES) == found
        position_write(lots, cost, 0, mark, unit, cross=1)
        account = STATES.view(np.ndarray)[0]["accounts"][ACCOUNT_ROW]
        account["free_e6"] = backing
        assert score_of(STATES) == found
        kinds.add(MOST if found == MOST else (found > 0) - (found < 0))
    assert kinds == {MOST, 1, 0, -1}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_score_is_cut_before_it_overflows(sign: int) -> None:
    """A return, and a return times leverage, beyond 2⁶² − 1 are that: a cost of a micro, an equity of a micro."""
    value = 10**8 * (2**23 - 1) * 100
    lots = sign * 10**8
    position_write(lots, sign, 1 - (sign * value - sign), 2**23 - 1, 100)
    # A short's cost of −1 against a value of −8·10¹⁶ is a loss; its equity of a micro makes the return small.
    rate = min((value - 1) * PPM, MOST)
    assert score_of(STATES) == (MOST if sign > 0 else -(rate // value))
    position_write(lots, sign, 10**17 * 2, 2**23 - 1, 100)
    assert score_of(STATES) == expected(lots, sign, sign * value - sign + 2 * 10**17, 2**23 - 1, 100)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 200])
def test_the_highest_score_is_asked_first_and_the_older_position_on_a_tie(count: int) -> None:
    """By score descending, then by position id, either side by itself; again and again, but without those gone."""
    chance = random.Random(count)
    table = STATES.view(np.ndarray)[0]
    for _ in range(10):
        ids = chance.sample(range(1, 10_000), count)
        lots = [chance.choice([1, -1]) for _ in range(count)]
        scores = np.array([chance.choice([-MOST, -5, 0, 0, 3, 9, MOST]) for _ in range(count)], np.int64)
        table["positions"]["position_id"][1 : count + 1] = ids
        table["positions"]["lots"][1 : count + 1] = lots
        ranked(STATES, scores)
        order = sorted(range(count), key=lambda index: (-int(scores[index]), ids[index]))
        left = [[index + 1 for index in order if lots[index] == sign] for sign in (1, -1)]
        for side in [chance.randrange(2) for _ in range(12)]:
            taken = chance.choice([0, 1, len(left[side]) // 2, len(left[side])])
            taken = min(taken, len(left[side]))
            gone = np.array([chance.random() < 0.3 for _ in range(taken)], np.bool_)
            rows = np.zeros(taken, np.int64)
            kept = asked(STATES, side, gone, rows)
            assert rows.tolist() == left[side][:taken]
            left[side] = [row for row, out in zip(rows.tolist(), gone, strict=True) if not out] + left[side][taken:]
            assert kept == len(left[side])


class Crash(Venue):
    """A `book` without fees in which account 100 is long 10 at 1000, twenty times, against 101; the mark may fall."""

    def __init__(self, accounts: int = 4, markets: Any = (BOOK,)) -> None:
        self.engine = Engine(markets=list(markets), starting_balance="10000", insurance_balance="20")
        self.count = 0
        for number in range(accounts):
            self.send("account_open", 0, owner=f"{number + 1:032x}")
        self.engine.price("M_USDC_PERP", "990", "1010")

    def open(self) -> None:
        """Let 100 buy 10 of 101 at twenty times."""
        self.send("leverage_set", 100, market="M_USDC_PERP", leverage=20)
        self.order(101, "sell", "10", "1000")
        self.order(100, "buy", "10", "1000")

    def mark(self, price: str) -> list[dict[str, Any]]:
        """Move the mark, by a frame a moment younger than the last, and return the events."""
        self.count += 1
        moved = self.engine.ts_us + self.count
        body = {"E": moved, "T": moved, "e": "markPrice", "p": price, "s": "M_USDC_PERP"}
        return self.engine.apply("mark_update", body)


def test_an_asked_position_closes_at_the_bankruptcy_price() -> None:
    """Users take what they bid down to the limit, the other side the rest at 950; the fund pays the 8 that lack."""
    venue = Crash(markets=[{**BOOK, "mark_band_ppm": 100_000}])
    venue.open()
    venue.order(102, "buy", "4", "948")
    events = venue.mark("947")
    (begun,) = told(events, "liquidation")
    assert (begun["qty"], begun["price"], begun["price_bankruptcy"]) == ("10", "948", "950")
    (asked,) = told(events, "adl")
    assert (asked["account"], asked["qty"], asked["price"]) == (101, "6", "950")
    assert [event["e"] for event in events[events.index(asked) - 3 : events.index(asked)]] == ["fill", "fill", "trade"]
    assert [event["amount"] for event in told(events, "deficit")] == ["8.000000"]
    assert told(events, "insurance_changed") == [{"e": "insurance_changed", "balance": "12.000000"}]
    ended = [(event["account"], event["kind"], event["reason"]) for event in told(events, "closed_order")]
    assert ended == [(102, "limit", "filled"), (101, "adl", "adl"), (100, "liquidation", "liquidation")]
    assert venue.free_e6(100) == 9_500_000_000
    assert {one["account_id"]: one["lots"] for one in venue.engine.positions()[1:]} == {101: -4, 102: 4}
    assert venue.engine.invariants() == []


@pytest.mark.parametrize(
    ("mark", "qty", "limit"),
    [("970", "5", "950"), ("952", "10", "950"), ("950", "10", "950"), ("949", "10", "949"), ("947", "10", "948")],
)
def test_the_fund_pays_for_a_gap_of_the_whole_only(mark: str, qty: str, limit: str) -> None:
    """A stage ends at the bankruptcy price; the whole, with the mark beyond it, at the mark or where the fund ends."""
    tiers = [*TIERS, {"floor": "5000", "mmr_ppm": 40_000, "leverage_max": 20}]
    venue = Crash(markets=[{**BOOK, "tiers": tiers, "mark_band_ppm": 100_000}])
    venue.open()
    (begun,) = told(venue.mark(mark), "liquidation")
    assert (begun["qty"], begun["price"], begun["price_bankruptcy"]) == (qty, limit, "950")
    left = {one["account_id"]: one["lots"] for one in venue.engine.positions()[1:]}
    assert left == ({100: 5, 101: -5} if qty == "5" else {}) and venue.engine.invariants() == []


@pytest.mark.parametrize(("mark", "limit"), [("1040", "1050"), ("1050", "1050"), ("1051", "1051"), ("1053", "1052")])
def test_the_fund_pays_for_a_gap_of_a_short_too(mark: str, limit: str) -> None:
    """A short of 10 at 1000 on twenty times is bankrupt at 1050; the fund of 20 bears two ticks more."""
    venue = Crash(markets=[{**BOOK, "mark_band_ppm": 100_000}])
    venue.send("leverage_set", 100, market="M_USDC_PERP", leverage=20)
    venue.order(101, "buy", "10", "1000")
    venue.order(100, "sell", "10", "1000")
    (begun,) = told(venue.mark(mark), "liquidation")
    assert (begun["price"], begun["price_bankruptcy"]) == (limit, "1050") and venue.engine.invariants() == []


def test_what_nobody_can_bear_is_the_houses() -> None:
    """A cross short whose account another market has ruined is first by score and passed over; the house takes all."""
    other = {**BOOK, "market": "N_USDC_PERP", "tick": "0.1", "liquidity": "quote", "spike_ppm": 900_000}
    venue = Crash(markets=[BOOK, other])
    venue.engine.price("N_USDC_PERP", "99", "101")
    for market in ("M_USDC_PERP", "N_USDC_PERP"):
        venue.send("margin_mode_set", 101, market=market, mode="cross")
    venue.open()
    venue.send("order_place", 101, market="N_USDC_PERP", side="buy", kind="market", qty="150")
    venue.engine.apply("venue_instruction", instruction(10**6, "market_halt", 0, market="N_USDC_PERP"))
    venue.engine.price("N_USDC_PERP", "9.9", "10.1")
    events = venue.mark("955")
    first, second = told(events, "liquidation")
    assert (first["account"], first["price_bankruptcy"]) == (100, "950")
    # Of the −3200 that are left 0.86 fall to the short: it would be used up at 678, but the band ends at 860.
    assert (second["account"], second["price_bankruptcy"], second["price"]) == (101, "860", "860")
    assert told(events, "adl") == [] and told(events, "deficit") == []
    assert [event["price"] for event in told(events, "trade")] == ["950", "860"]
    held = {(one["account_id"], one["market_id"]): one["lots"] for one in venue.engine.positions() if one["lots"]}
    assert held == {(101, 2): 150, (2, 2): -150}
    assert venue.free_e6(101) == 10_000_000_000 + 1_400_000_000
    assert venue.engine.invariants() == []


@pytest.mark.parametrize("small", [False, True])
def test_an_entry_that_fills_the_buffer_goes_on_within_the_deleveraging(small: bool) -> None:
    """One fill a step or all at once: the same events, the same state."""
    venue = Crash(accounts=9)
    venue.send("leverage_set", 100, market="M_USDC_PERP", leverage=20)
    for number in range(5):
        venue.order(101 + number, "sell", "2", str(1000 + number % 3))
    venue.order(100, "buy", "10", "1010")
    if small:
        venue.engine.states["events_room"] = 0
    events = venue.mark("952")
    # The later ones have entered higher and gain more; of two alike the older position is asked first.
    assert [event["account"] for event in told(events, "adl")] == [103, 102, 105, 101, 104]
    assert told(events, "deficit") == [] and venue.engine.invariants() == []
    HASHES.add(venue.engine.state_hash())
    assert len(HASHES) == 1


def test_ranks_are_fifths_of_each_direction() -> None:
    """Whoever is asked first has 5, the last fifth 1; the longs by themselves and the shorts by themselves."""
    venue = Crash(accounts=9)
    for number in range(5):
        venue.order(101 + number, "sell", "2", str(1000 + number % 3))
    venue.order(100, "buy", "10", "1010")
    venue.mark("990")
    ranks = core.adl_ranks(venue.engine.states, 0)
    by_account = {one["account_id"]: ranks[one["position_id"]] for one in venue.engine.positions()[1:]}
    assert by_account == {100: 5, 103: 5, 102: 4, 105: 3, 101: 2, 104: 1}
    longs, shorts = core.adl_scores(venue.engine.states, 0)
    assert len(longs) == 1 and len(shorts) == 5 and list(shorts) == sorted(shorts, reverse=True)
    assert venue.engine.invariants() == []
