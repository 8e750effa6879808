"""engine/core/liquidation.py: the bankruptcy price against fractions; whose orders end; which position is closed."""

import random
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest

from engine.core import kernel, liquidation, margin, state
from engine.core.limits import PPM, PRICE_TICKS_MAX
from engine.library import Engine
from shared.codes import ACCOUNT_INSURANCE
from tests.builders import instruction
from tests.unit.test_core_makers import MAKER, OTHER, Venue

STATES = state.allocate()
UNIT_E6 = 7
ACCOUNT_ROW = 5


@kernel.entry
def bankruptcy_of(states):
    """Return the bankruptcy price of the first position of a state."""
    table = states[0]
    position = table.positions[1]
    return liquidation.used_up_ticks(position, table.markets[0].config.unit_e6, position.margin_e6)


@kernel.entry
def prices_of(states, lots):
    """Return the bankruptcy price and the limit of closing lots of the first position of a state."""
    return liquidation.book_prices(states[0], 1, lots)


@kernel.entry
def threshold_of(states):
    """Return the liquidation threshold of the first position of a state."""
    return margin.threshold_ticks(states[0], 1)


@pytest.mark.parametrize(("worth_e6", "ticks"), [(8_472_493, PRICE_TICKS_MAX), (8_472_494, 0)])
def test_a_short_may_be_liquidated_on_the_last_tick_of_the_window(worth_e6: int, ticks: int) -> None:
    """A threshold on the last tick is one, beyond it there is none: ⌈worth ÷ 1.01⌉ at a rate of one per cent."""
    table = STATES.view(np.ndarray)[0]
    config = table["markets"][0]["config"]
    config["unit_e6"], config["tiers_count"], config["tiers"][0] = 1, 1, (0, 10_000, 20, 0)
    position = table["positions"][1]
    position["market_id"], position["lots"], position["account_id"] = 1, -1, 100
    position["cost_e6"], position["margin_e6"] = -8_000_000, worth_e6 - 8_000_000
    assert threshold_of(STATES) == ticks


@pytest.mark.parametrize("lots", [3, -3, 1_000_001, -1_000_001])
@pytest.mark.parametrize("entry_ticks", [1, 50, 600_000])
@pytest.mark.parametrize("margin_e6", [-100, 0, 1, 20, 21, 500_000, 10**15])
def test_the_bankruptcy_price_is_where_the_margin_ends(lots: int, entry_ticks: int, margin_e6: int) -> None:
    """Up for a long, down for a short, never outside the window of prices."""
    table = STATES.view(np.ndarray)[0]
    table["markets"][0]["config"]["unit_e6"] = UNIT_E6
    cost_e6 = lots * entry_ticks * UNIT_E6
    position = table["positions"][1]
    position["market_id"], position["lots"], position["cost_e6"], position["margin_e6"] = 1, lots, cost_e6, margin_e6
    exact = Fraction(cost_e6 - margin_e6, lots * UNIT_E6)
    inside = ceil(exact) if lots > 0 else floor(exact)
    assert bankruptcy_of(STATES) == min(max(inside, 1), PRICE_TICKS_MAX)


def inside(ticks: int, low: int, high: int) -> int:
    """Return the nearest price between two."""
    return min(max(ticks, low), high)


class Backed:
    """Account 100 with cross positions in up to four markets, written into the tables, in Python's integers."""

    def __init__(self, chance: random.Random) -> None:
        table = STATES.view(np.ndarray)[0]
        links = table["account_links"][ACCOUNT_ROW]
        links["cross_markets"] = 0
        self.held: list[tuple[int, int, int, int, int]] = []  # lots, cost, unit, mark, band
        for market in range(chance.randint(1, 4)):
            unit, mark, band = (
                chance.choice([1, 700]),
                chance.choice([1, 90, 60_001]),
                chance.choice([1, 50_000, 900_000]),
            )
            lots = chance.choice([1, -1]) * chance.randint(1, 2 ** chance.randint(1, 30))
            cost = lots * unit * mark + chance.randint(-1, 1) * abs(lots) * unit * mark // chance.randint(2, 50)
            self.held.append((lots, cost, unit, mark, band))
            row = table["markets"][market]
            row["mark_ticks"], row["config"]["unit_e6"], row["config"]["price_band_ppm"] = mark, unit, band
            row["config"]["leverage_max"] = 1
            position = table["positions"][market + 1]
            position["position_id"], position["account_id"], position["market_id"] = market + 1, 100, market + 1
            position["lots"], position["cost_e6"], position["margin_e6"], position["cross"] = lots, cost, 0, 1
            links["cross_markets"] |= 1 << market
            links["markets"][market]["net"] = market + 1
        self.worth = sum(abs(lots) * unit * mark for lots, _, unit, mark, _ in self.held)
        self.cash = chance.choice([0, 1, -1]) * self.worth // chance.randint(1, 100)
        table["accounts"][ACCOUNT_ROW]["free_e6"] = self.cash

    def share(self, market: int) -> int:
        """Return what stands behind a position: its share of the equity, less its result."""
        equity = self.cash + sum(lots * unit * mark - cost for lots, cost, unit, mark, _ in self.held)
        parts = [abs(lots) * unit * mark // 256 + 1 for lots, _, unit, mark, _ in self.held]
        lots, cost, unit, mark, _ = self.held[market]
        return equity * parts[market] // sum(parts) - (lots * unit * mark - cost)

    def used_up(self, market: int, more: int = 0) -> int:
        """Return the exact price at which that is used up, and so much more, in the position's favour."""
        lots, cost, unit, _, _ = self.held[market]
        exact = Fraction(cost - self.share(market) - more, lots * unit)
        return ceil(exact) if lots > 0 else floor(exact)


def test_the_prices_of_a_cross_position_are_by_its_share_and_inside_the_band() -> None:
    """By its share of the equity, held in the band; the fund is added for the whole alone, and down to the mark."""
    chance, kinds = random.Random(3), set()
    for _ in range(800):
        backed = Backed(chance)
        fund = chance.choice([-5, 0, 1, backed.worth // 50, backed.worth])
        STATES.view(np.ndarray)[0]["accounts"][ACCOUNT_INSURANCE]["free_e6"] = fund
        lots, _, _, mark, band = backed.held[0]
        low, high = ceil(Fraction(mark * (PPM - band), PPM)), min(mark * (PPM + band) // PPM, PRICE_TICKS_MAX)
        for closed in {abs(lots), abs(lots) // 2}:
            more = max(0, fund) if closed == abs(lots) else 0
            bankruptcy, bound = (inside(backed.used_up(0, one), low, high) for one in (0, more))
            if lots > 0:
                bound = max(bound, min(bankruptcy, mark))
            else:
                bound = min(bound, max(bankruptcy, mark))
            assert prices_of(STATES, closed) == (bankruptcy, bound)
            kinds.add((bankruptcy in (low, high), (bankruptcy > mark) - (bankruptcy < mark), bound == bankruptcy))
    assert len(kinds) == 10, kinds


def test_an_account_whose_positions_all_close_at_their_bankruptcy_prices_has_nothing_left() -> None:
    """But for what rounding the shares, a micro a position, and the prices, a tick, leaves."""
    chance = random.Random(4)
    for _ in range(300):
        backed = Backed(chance)
        left = backed.cash
        for market, (lots, cost, unit, _, _) in enumerate(backed.held):
            left += lots * unit * backed.used_up(market) - cost
        assert -len(backed.held) < left < sum(abs(lots) * unit for lots, _, unit, _, _ in backed.held)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_isolated_position_knows_no_band_but_the_fund_ends_at_the_mark(sign: int) -> None:
    """Its prices are its margin's, whatever the band; a fund of two ticks helps as far as the mark is beyond."""
    table = STATES.view(np.ndarray)[0]
    market, position = table["markets"][0], table["positions"][1]
    market["config"]["unit_e6"], market["config"]["price_band_ppm"] = 1, 1
    position["account_id"], position["market_id"], position["cross"] = 100, 1, 0
    position["lots"], position["cost_e6"], position["margin_e6"] = sign * 10, sign * 10_000, 500
    table["accounts"][ACCOUNT_INSURANCE]["free_e6"] = 20
    found = []
    for beyond in (-9, 0, 1, 2, 3, 90):
        market["mark_ticks"] = 1_000 - sign * (50 + beyond)
        found.append([sign * (1_000 - ticks) for ticks in prices_of(STATES, 10)])
        assert prices_of(STATES, 9) == (1_000 - sign * 50, 1_000 - sign * 50)
    assert found == [[50, 50], [50, 50], [50, 51], [50, 52], [50, 52], [50, 52]]


class Pool(Venue):
    """Quoted markets at mark 1000 without fees, one per cent of maintenance margin; account 100 is cross in all."""

    def __init__(self, markets: int = 2, balance: str = "2100", **market_set: Any) -> None:
        self.names = [f"M{number + 1}_USDC_PERP" for number in range(markets)]
        base = {"tick": "1", "lot": "1", "leverage_max": 10, "fee_maker_ppm": 0, "fee_taker_ppm": 0,
                "fee_liquidation_ppm": 0, "spike_ppm": 900_000, "price_band_ppm": 900_000,
                "tiers": [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": 10}]}  # fmt: skip
        self.engine = Engine(
            markets=[{**base, "market": name, **market_set} for name in self.names],
            starting_balance=balance,
            insurance_balance="0",
        )
        self.count = 0
        self.send("account_open", 0, owner=f"{1:032x}")
        for number, name in enumerate(self.names):
            self.quote(number, 999)
            self.send("margin_mode_set", 100, market=name, mode="cross")

    def quote(self, number: int, bid: int) -> list[dict[str, Any]]:
        """Quote a market with a spread of a tick: the mark is the bid."""
        return self.engine.price(self.names[number], str(bid), str(bid + 1))

    def place(self, number: int, qty: str, price: str = "", **keys: Any) -> int:
        """Buy in a market and return the order's id."""
        shape = {"kind": "limit", "price": price} if price else {"kind": "market"}
        body = {"market": self.names[number], "side": "buy", "qty": qty, **shape, **keys}
        return int(self.send("order_place", 100, **body)[0]["order_id"])


def test_what_orders_held_back_may_be_enough() -> None:
    """The orders of an account that is to be liquidated end; when isolated ones gave back enough, nothing is closed."""
    pool = Pool(3)
    pool.place(0, "10")
    pool.send("margin_mode_set", 100, market=pool.names[2], mode="isolated")
    order_id = pool.place(2, "5", "900")
    # 450 have left the pool: 2100 − 450 − 10 × 157 = 80 of equity, against 84.3; with the 450 again 530.
    events = pool.quote(0, 843)
    assert [event["e"] for event in events] == ["closed_order", "account_changed"]
    assert (events[0]["order_id"], events[0]["reason"]) == (order_id, "liquidation")
    assert len(pool.engine.positions(100)) == 1 and pool.engine.invariants() == []


def test_what_outlives_the_liquidation_of_a_pool() -> None:
    """SL, TP and what reduces an isolated ticket stay; all else ends by priority, then one position is closed."""
    pool = Pool(3, "5000")
    pool.place(0, "10")
    pool.place(1, "10")
    one = {"market": pool.names[2], "side": "buy", "qty": "1"}
    ticket = pool.send("trade_create", 100, **one, leverage=1, stop_loss="1")[0]["position_id"]
    keys = {"market": pool.names[2], "side": "sell", "reduce_only": True, "position_id": ticket}
    stays = int(pool.send("order_place", 100, kind="limit", qty="1", price="5000", **keys)[0]["order_id"])
    first = pool.place(2, "1", "3")
    net = {"market": pool.names[0], "side": "sell", "reduce_only": True, "qty": "1"}
    second = int(pool.send("order_place", 100, kind="limit", price="5000", **net)[0]["order_id"])
    stop = {"market": pool.names[1], "side": "buy", "kind": "stop_market", "qty": "1", "price_trigger": "3000"}
    third = int(pool.send("order_place", 100, **stop)[0]["order_id"])
    assert not pool.quote(0, 700)
    events = pool.quote(1, 916)
    ended = [event["order_id"] for event in events if event["e"] == "closed_order"]
    assert ended[:3] == [first, second, third]
    assert [event["market"] for event in events if event["e"] == "liquidation"] == [pool.names[0]]
    left = {row["order_id"] for row in pool.engine.orders(100)}
    assert stays in left and len(left) == 2 and pool.engine.invariants() == []


@pytest.mark.parametrize(("bids", "order"), [((900, 908), (0, 1)), ((908, 900), (1, 0)), ((904, 904), (0, 1))])
def test_the_worst_position_is_closed_first(bids: tuple[int, int], order: tuple[int, int]) -> None:
    """By the result at mark, on a tie by market id; the next step looks anew whether the account is liquidatable."""
    pool = Pool()
    for number in (1, 0):
        pool.place(number, "10")
    pool.quote(0, bids[0])
    events = pool.quote(1, bids[1])
    assert [event["market"] for event in events if event["e"] == "liquidation"] == [pool.names[order[0]]]
    (left,) = pool.engine.positions(100)
    assert left["market"] == pool.names[order[1]] and pool.engine.invariants() == []


def test_a_market_that_cannot_trade_is_left_out() -> None:
    """The worst position lies in a halted market: the other one is closed, and the worst when its market resumes."""
    pool = Pool()
    pool.place(0, "10")
    pool.place(1, "10")
    halt = instruction(10**6, "market_halt", 0, market=pool.names[0])
    pool.engine.apply("venue_instruction", halt)
    assert not [event for event in pool.quote(0, 880) if event["e"] == "liquidation"]
    events = pool.quote(1, 910)
    assert [event["market"] for event in events if event["e"] == "liquidation"] == [pool.names[1]]
    resume = instruction(10**6 + 1, "market_resume", 0, market=pool.names[0])
    events = pool.engine.apply("venue_instruction", resume)
    assert [event["market"] for event in events if event["e"] == "liquidation"] == [pool.names[0]]
    # 2100 + 10 × (910 − 1000) + 10 × (880 − 1000): nothing is left, and nothing lacks.
    account = pool.engine.account(100)
    assert account is not None and account["free_e6"] == 0
    assert "deficit" not in {event["e"] for event in events}
    assert pool.engine.positions(100) == [] and pool.engine.invariants() == []


@pytest.mark.parametrize(("liquidity", "bound_ticks"), [("quote", 0), ("quote_sized", 91), ("book", 93)])
def test_how_far_a_forced_walk_goes(liquidity: str, bound_ticks: int) -> None:
    """Without a bound, to the last of three levels from a bid of 93, or, the bankruptcy price being 95, to the mark."""
    venue = Venue(liquidity=liquidity, depth_levels=3)
    venue.send("leverage_set", MAKER, market="M_USDC_PERP", leverage=20)
    if liquidity == "book":
        venue.order(OTHER, "sell", "1", "101")
    venue.order(MAKER, "buy", "1", "101")
    (position,) = venue.engine.positions(MAKER)
    assert (position["cost_e6"], position["margin_e6"], position["threshold_ticks"]) == (101_000_000, 6_050_000, 95)
    events = venue.engine.price("M_USDC_PERP", "93", "94")
    assert [event["e"] for event in events if event["e"] in ("liquidation", "deficit")][:1] == ["liquidation"]
    taker = venue.engine.states.view(np.ndarray)[0]["taker"]
    assert (int(taker["forced"]), int(taker["bound_ticks"])) == (1, bound_ticks)
    assert not venue.engine.positions(MAKER)
