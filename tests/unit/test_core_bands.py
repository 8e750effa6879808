"""engine/core/bands.py, calls.py: who is looked at, whose turn it is, and margin calls told once."""

from typing import Any

import numpy as np

from engine.core import bands, kernel, triggers
from engine.core.limits import DAY_US, LADDERS_COUNT, ORDERS_CAPACITY, PRICE_WINDOW_TICKS
from engine.library import START_US, Engine
from tests.builders import instruction

ONE, TWO = "ONE_USDC_PERP", "TWO_USDC_PERP"
FREE = {"tick": "1", "lot": "1", "fee_maker_ppm": 0, "fee_taker_ppm": 0, "leverage_max": 20}
WIDE = {"spike_ppm": 900_000, "mark_band_ppm": 900_000, "price_band_ppm": 900_000, "price_age_max_ms": 60_000}
STEP = {"tiers": [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": 20}]}


class Scene:
    """Two markets at 1000 USDC a lot with one per cent maintenance, and accounts with cross margin in both of them."""

    def __init__(self, accounts: int, balance: str) -> None:
        markets = [{"market": name, **FREE, **WIDE, **STEP} for name in (ONE, TWO)]
        self.engine = Engine(markets, starting_balance=balance)
        self.number = 0
        for market in (ONE, TWO):
            self.price(market, 1_000)
        for index in range(accounts):
            self.send(0, "account_open", owner=f"{index + 1:032x}")
            for market in (ONE, TWO):
                self.send(100 + index, "margin_mode_set", market=market, mode="cross")

    @property
    def state(self) -> Any:
        """The state, every table a plain array."""
        return self.engine.states.view(np.ndarray)[0]

    def send(self, account: int, op: str, **keys: Any) -> list[dict[str, Any]]:
        """Send an instruction that is accepted; an operator's when its name says so."""
        self.number += 1
        entry = "venue_instruction" if op.startswith(("market_", "account_credit")) else "user_instruction"
        body = {**instruction(self.number, op, account), **keys}
        events = self.engine.apply(entry, body)
        assert events[0]["result"] == "OK", events[0]
        assert self.engine.invariants() == []
        return events

    def trade(self, account: int, market: str, lots: int) -> None:
        """Buy at the market, or sell below 0."""
        side = "buy" if lots > 0 else "sell"
        self.send(account, "order_place", market=market, side=side, kind="market", qty=str(abs(lots)))

    def price(self, market: str, mark: int) -> list[dict[str, Any]]:
        """Quote a market at mark − 1 and mark, then mark it; returns what the mark has set off."""
        self.number += 1
        self.engine.price(market, str(mark - 1), str(mark))
        times = {"E": self.engine.ts_us + self.number, "T": self.engine.ts_us, "n": START_US // 1_000}
        body = {**times, "e": "markPrice", "f": "0", "i": str(mark), "p": str(mark), "s": market}
        events = self.engine.apply("mark_update", body)
        assert self.engine.invariants() == []
        return events

    def band(self, account: int, market: int) -> int:
        """Return the price at which an account's band in a market ends; 0 when it is due, −1 when it has none."""
        row = int(self.state["account_links"][account - 95]["markets"]["net"][market])
        number = int(self.state["position_links"][row]["band"])
        place = int(self.state["nodes"][ORDERS_CAPACITY + row]["place"])
        if number == 0 or place == triggers.DUE_PLACE:
            return -1 if number == 0 else 0
        return place if number == triggers.BAND + 1 else PRICE_WINDOW_TICKS - 1 - place

    def looks(self) -> int:
        """Return how often an account has been looked at."""
        return int(self.state["evaluations"])


@kernel.entry
def look(states, account_row):
    """Evaluate an account."""
    bands.account_flush(states[0], account_row)


def told(events: list[dict[str, Any]], kind: str) -> list[int]:
    """Return the accounts that events of a kind name."""
    return [event["account"] for event in events if event["e"] == kind]


def test_a_band_is_the_share_of_what_may_be_lost() -> None:
    """Two longs of ten at 1000: guarded for the call they wait at 906, called already for their health at 904."""
    scene = Scene(1, "2100")
    for market in (ONE, TWO):
        scene.trade(100, market, 10)
    # 4·2100 − 5·200 = 7400, half of it is 3700, a tick takes 10·(4 − 0.05): 93 ticks, and the next leaves the band.
    assert [scene.band(100, market) for market in (0, 1)] == [906, 906]
    scene.state["accounts"][5]["called_day"] = START_US // DAY_US
    look(scene.engine.states, 5)
    # 2100 − 200 = 1900, half of it 950, less than that by the micro that is left: 95 ticks of 10·(1 − 0.01).
    assert [scene.band(100, market) for market in (0, 1)] == [904, 904]


def test_a_short_loses_its_maintenance_too() -> None:
    """A short's band is as wide as the highest tier's rate lets it be; a long beside it takes its own share."""
    scene = Scene(1, "2100")
    scene.trade(100, ONE, -10)
    tiers = [*STEP["tiers"], {"floor": "20000", "mmr_ppm": 50_000, "leverage_max": 10}]
    scene.send(0, "market_set", market=ONE, tiers=tiers)
    # It was filled at the bid: 10 USDC are lost. 4·2090 − 5·100 = 7860, a tick takes 10·(4 + 0.25): 184 ticks.
    assert scene.band(100, 0) == 1_185


def test_a_long_is_guarded_by_the_lowest_tier() -> None:
    """A long in the second tier frees at least the first one's rate with every tick that it loses."""
    scene = Scene(1, "2100")
    scene.trade(100, ONE, 10)
    tiers = [*STEP["tiers"], {"floor": "5000", "mmr_ppm": 50_000, "leverage_max": 10}]
    scene.send(0, "market_set", market=ONE, tiers=tiers)
    # Maintenance is 500 − 200; 4·2100 − 5·300 = 6900, a tick takes at most 10·(4 − 0.05): 174 ticks.
    assert scene.band(100, 0) == 825


def test_at_the_border_an_account_is_liquidated() -> None:
    """Equity 90 at maintenance 90 is too little, a cent more is enough, and is told a margin call."""
    for balance, kind in (("1090", "liquidation"), ("1090.01", "margin_call")):
        scene = Scene(1, balance)
        scene.trade(100, ONE, 10)
        assert {event["e"] for event in scene.price(ONE, 900)} & {"liquidation", "margin_call"} == {kind}


def test_calls_are_told_by_account_id() -> None:
    """Accounts that one mark brings close are called by id, not in the order in which they traded."""
    scene = Scene(3, "1100")
    for account in (102, 100, 101):
        scene.trade(account, ONE, 10)
    assert told(scene.price(ONE, 901), "margin_call") == [100, 101, 102]


def test_inside_the_bands_nobody_is_looked_at() -> None:
    """Quotes inside the bands look at nobody; the first beyond one looks at its account alone, and arms it anew."""
    scene = Scene(3, "2100")
    for account in (100, 101, 102):
        scene.trade(account, ONE, 10 if account == 101 else 2)
    before = scene.looks()
    edge = scene.band(101, 0)
    for mark in (1_500, 990, edge + 1):
        scene.price(ONE, mark)
    assert scene.looks() == before
    # One position alone is guarded to the tick: there its call is due, and its health is guarded from then on.
    assert told(scene.price(ONE, edge), "margin_call") == [101]
    assert scene.looks() == before + 2 and scene.band(101, 0) < edge


def test_any_change_of_the_money_arms_anew() -> None:
    """An isolated reserve takes money out of the pool and narrows the band, its end widens it; a cross one does not."""
    scene = Scene(1, "2100")
    scene.trade(100, TWO, 10)
    wide = scene.band(100, 1)
    order = {"market": ONE, "side": "buy", "kind": "limit", "price": "999", "qty": "5"}
    scene.send(100, "order_place", **order)
    assert scene.band(100, 1) == wide
    scene.send(100, "orders_cancel")
    scene.send(100, "margin_mode_set", market=ONE, mode="isolated")
    scene.send(100, "order_place", **order)
    assert scene.band(100, 1) > wide
    scene.send(100, "orders_cancel")
    assert scene.band(100, 1) == wide
    scene.send(100, "account_credit", amount="-500", reason="test")
    assert scene.band(100, 1) > wide
    scene.send(100, "account_credit", amount="500", reason="test")
    assert scene.band(100, 1) == wide


def test_who_is_due_waits_by_id_until_the_market_trades() -> None:
    """In a halted market accounts become due and nothing happens; open again, they go by account id, tested exactly."""
    scene = Scene(3, "1100")
    for account in (102, 100, 101):
        scene.trade(account, ONE, 10)
        scene.trade(account, TWO, 1)
    scene.send(0, "market_halt", market=ONE)
    assert scene.price(ONE, 890) == []
    assert [scene.band(account, market) for account in (100, 101, 102) for market in (0, 1)] == [0] * 6
    ladder = scene.state["ladders"][triggers.BAND]
    assert int(scene.state["nodes"][int(ladder["best_node"])]["tie"]) == 100
    assert scene.engine.restored().invariants() == []
    # The mark moves back before anybody may act: everybody is found sound, nothing is told.
    scene.price(ONE, 1_000)
    assert told(scene.send(0, "market_resume", market=ONE), "liquidation") == []
    assert min(scene.band(account, 0) for account in (100, 101, 102)) > 0
    scene.send(0, "market_halt", market=ONE)
    scene.price(ONE, 890)
    # Each closes what it lost most by, in ONE; what it has left in TWO is closed there, by id again.
    assert told(scene.send(0, "market_resume", market=ONE), "liquidation") == [100, 101, 102] * 2


def test_a_market_that_trades_settles_who_is_due_by_another() -> None:
    """While ONE is halted, a quote of TWO finds the account that ONE's mark has brought down; only TWO is closed."""
    scene = Scene(1, "1100")
    scene.trade(100, ONE, 10)
    scene.trade(100, TWO, 1)
    scene.send(0, "market_halt", market=ONE)
    scene.price(ONE, 890)
    events = scene.engine.price(TWO, "999", "1000")
    assert [event["market"] for event in events if event["e"] == "liquidation"] == [TWO]
    assert [row["market"] for row in scene.engine.positions(100)] == [ONE]
    assert scene.engine.invariants() == []


def test_the_call_of_an_account_is_told_once_a_day() -> None:
    """At equity 190 and maintenance 180.9 a call is told, once; the next UTC day tells another; at 180.8 it is over."""
    scene = Scene(1, "2100")
    for market in (ONE, TWO):
        scene.trade(100, market, 10)
    scene.price(ONE, 900)
    events = scene.price(TWO, 909)
    assert events == [
        {
            "e": "margin_call",
            "account": 100,
            "mode": "cross",
            "equity": "190.000000",
            "margin_maintenance": "180.900000",
        }
    ]
    assert scene.price(TWO, 910) == [] and scene.price(TWO, 909) == []
    for seconds in (86_400, 86_401):
        scene.engine.apply("clock_tick", ts_us=START_US + seconds * 1_000_000)
    assert scene.engine.price(ONE, "900", "901") == events
    assert scene.engine.invariants() == []
    assert scene.engine.price(TWO, "909", "910") == []
    assert told(scene.engine.price(TWO, "908", "909"), "liquidation") == [100, 100]


def test_the_call_of_a_position_is_told_once_until_it_changes() -> None:
    """An isolated long is called at 911, not again at 910, again when its margin has changed."""
    scene = Scene(1, "5000")
    scene.send(100, "margin_mode_set", market=ONE, mode="isolated")
    scene.trade(100, ONE, 10)
    assert scene.price(ONE, 912) == []
    (call,) = scene.price(ONE, 911)
    assert (call["e"], call["mode"], call["price_mark"]) == ("margin_call", "isolated", "911")
    assert (call["equity"], call["margin_maintenance"]) == ("110.000000", "91.100000")
    assert scene.price(ONE, 910) == []
    assert told(scene.send(100, "margin_change", position_id=call["position_id"], amount="1"), "margin_call") == [100]
    scene.send(0, "market_set", market=ONE, tiers=[{"floor": "0", "mmr_ppm": 10_001, "leverage_max": 20}])
    assert scene.price(ONE, 910) == []
    assert scene.engine.restored().invariants() == []


def test_no_band_reaches_the_place_of_those_who_are_due() -> None:
    """The ladders of bands hold nothing at place 0 while everybody is sound, whatever their marks and sizes."""
    scene = Scene(2, "1000000")
    scene.trade(100, ONE, 1)
    scene.trade(101, ONE, -1)
    # Sold at 999: 4·999 999 − 5·10 = 3 999 946, a tick takes 4.05: 987 640 ticks.
    for number in (triggers.BAND, triggers.BAND + 1):
        assert int(scene.state["ladders"][number % LADDERS_COUNT]["best_place"]) > triggers.DUE_PLACE
    assert (scene.band(100, 0), scene.band(101, 0)) == (-1, 988_641)
