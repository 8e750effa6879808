"""engine/core/lifecycle.py and its neighbours: halts, settlements, parameters, resets, leverage, margin, switches."""

from typing import Any

import numpy as np
import pytest

from engine import core
from engine.core import events_venue, kernel
from engine.core.kernel import entry
from engine.core.limits import EVENTS_CAPACITY, EVENTS_STEP_MAX
from engine.library import Engine
from shared.records import CONFIG, CONFIG_WORDS
from tests.builders import BTC, SOL, instruction, opened

TICKETS = 2_500 if kernel.JIT else 40
Events = list[dict[str, Any]]


class Desk:
    """An engine with numbered instructions; `user` and `venue` insist on a result and return the events."""

    def __init__(self, accounts: int = 2, **venue_set: Any) -> None:
        self.engine: Engine = opened(accounts, **venue_set)
        self.number = 0
        self.answer: dict[str, Any] = {}

    def ask(self, kind: str, account: int, op: str, result: str, keys: dict[str, Any]) -> Events:
        self.number += 1
        events = self.engine.apply(kind, instruction(self.number, op, account, **keys))
        self.answer = events[0]
        assert (self.answer["op"], self.answer["result"]) == (op, result)
        return events[1:]

    def user(self, account: int, op: str, result: str = "OK", **keys: Any) -> Events:
        """Apply a user's instruction."""
        return self.ask("user_instruction", account, op, result, keys)

    def venue(self, op: str, result: str = "OK", account: int = 0, **keys: Any) -> Events:
        """Apply an operator's instruction."""
        return self.ask("venue_instruction", account, op, result, keys)

    def limit(self, account: int, side: str, qty: str, price: str, market: str = BTC, **keys: Any) -> int:
        """Place a limit order and return its id."""
        body = {"market": market, "side": side, "kind": "limit", "qty": qty, "price": price, **keys}
        self.user(account, "order_place", **body)
        return int(self.answer["order_id"])

    def market(self, account: int, side: str, qty: str, market: str = BTC, **keys: Any) -> Events:
        """Place a market order."""
        return self.user(account, "order_place", market=market, side=side, kind="market", qty=qty, **keys)

    def held(self, account: int) -> list[dict[str, Any]]:
        """Return an account's positions by id."""
        return self.engine.positions(account)

    def cells(self, account: int) -> dict[str, int]:
        """Return an account's cells."""
        found = self.engine.account(account)
        assert found is not None
        return found

    def sound(self) -> None:
        """Insist on the invariants, and on a restored engine that is the same."""
        assert self.engine.invariants() == []
        twin = self.engine.restored()
        assert twin.invariants() == [] and twin.state_hash() == self.engine.state_hash()


def told(events: Events, name: str) -> Events:
    """Return the events of one kind."""
    return [event for event in events if event["e"] == name]


def test_a_halted_market_waits_and_a_resumed_one_acts() -> None:
    """Halted nothing is placed or fired; what was met meanwhile fires in the entry that resumes the market."""
    desk = Desk()
    desk.market(100, "buy", "0.01")
    position_id = desk.held(100)[0]["position_id"]
    desk.user(100, "position_triggers_set", position_id=position_id, stop_loss="59000")
    assert [event["state"] for event in desk.venue("market_halt", market=BTC)] == ["halted"]
    desk.user(100, "order_place", "MARKET_HALTED", market=BTC, side="buy", kind="market", qty="0.01")
    desk.user(100, "leverage_set", "MARKET_HALTED", market=BTC, leverage=5)
    desk.user(100, "positions_close_all", "MARKET_HALTED")
    desk.user(100, "account_reset", "MARKET_HALTED")
    desk.user(100, "margin_change", "MARKET_HALTED", position_id=position_id, amount="-1")
    assert desk.engine.price(BTC, "58000.0", "58000.1") == []
    assert told(desk.user(100, "margin_change", position_id=position_id, amount="1"), "position_changed") != []
    desk.sound()
    events = desk.venue("market_resume", market=BTC)
    assert events[0]["e"] == "market_changed" and events[0]["state"] == "open"
    assert [event["reason"] for event in told(events, "closed_position")] == ["stop_loss"]
    assert [event["e"] for event in desk.venue("market_resume", market=BTC)] == ["market_changed"]
    desk.sound()


def test_a_reduce_only_market_ends_what_would_open() -> None:
    """Resting orders without the flag end account by account, oldest first; closing goes on, opening is refused."""
    desk = Desk()
    desk.market(100, "buy", "0.01")
    kept = desk.limit(100, "sell", "0.01", "61000", reduce_only=True)
    gone = [desk.limit(101, "buy", "0.01", "59000"), desk.limit(100, "buy", "0.01", "59000")]
    gone.append(desk.limit(101, "sell", "0.01", "61000", stop_loss="62000"))
    desk.limit(100, "buy", "0.01", "140.00", market=SOL)
    events = desk.venue("market_reduce_only", market=BTC)
    ended = [(event["order_id"], event["reason"]) for event in told(events, "closed_order")]
    reason = "market_reduce_only"
    assert ended == [(gone[1], reason), (gone[0], reason), (gone[2], reason), (gone[2] + 1, "parent_closed")]
    assert [event["account"] for event in told(events, "account_changed")] == [100, 101]
    assert kept in [row["order_id"] for row in desk.engine.orders(100)]
    desk.user(101, "order_place", "MARKET_REDUCE_ONLY", market=BTC, side="buy", kind="market", qty="0.01")
    desk.sound()
    desk.market(100, "sell", "0.004", reduce_only=True)
    desk.user(100, "trade_close", position_id=desk.held(100)[0]["position_id"])
    assert desk.held(100) == [] and desk.cells(101)["reserved_e6"] == 0
    desk.sound()


def test_a_settled_market_is_empty() -> None:
    """Every order ends, every position closes at the stated price without a fee, and the house holds nothing."""
    desk = Desk()
    desk.market(100, "buy", "0.02")
    desk.user(101, "trade_create", market=BTC, side="sell", qty="0.01", leverage=20, stop_loss="70000")
    desk.limit(100, "buy", "0.01", "59000")
    desk.venue("market_settle", "PRICE_NOT_ON_TICK", market=BTC, price="60000.05")
    free = desk.cells(100)["free_e6"] + desk.cells(100)["reserved_e6"] + desk.held(100)[0]["margin_e6"]
    events = desk.venue("market_settle", market=BTC, price="60010.1")
    assert events[0]["e"] == "market_changed" and events[0]["state"] == "halted"
    orders = [(event["kind"], event["reason"]) for event in told(events, "closed_order")]
    assert (
        orders
        == [("stop_market", "market_settled"), ("limit", "market_settled")][::-1]
        + [("settlement", "market_settled")] * 2
    )
    assert {event["fee"] for event in told(events, "fill")} == {"0.000000"}
    assert [event["reason"] for event in told(events, "closed_position")] == ["market_settled"] * 2
    assert desk.cells(100) == {**desk.cells(100), "free_e6": free + 200_000, "reserved_e6": 0}
    assert [row["lots"] for row in desk.engine.positions() if row["market"] == BTC] == [0]
    desk.sound()


def test_a_settlement_larger_than_the_buffer_is_told_whole() -> None:
    """Thousands of positions and orders end in one entry, each once, in the order that is stated."""
    desk = Desk(25, starting_balance="1000000")
    for number in range(TICKETS):
        keys: dict[str, Any] = {"market": BTC, "side": "sell" if number % 3 else "buy", "qty": "0.001", "leverage": 5}
        stop = "70000" if number % 3 else "50000"
        desk.user(100 + number % 25, "trade_create", **keys, **({"stop_loss": stop} if number % 2 else {}))
    ids = [row["position_id"] for row in desk.engine.positions() if row["account_id"] >= 100]
    events = desk.venue("market_settle", market=BTC, price="60001.0")
    assert [event["position_id"] for event in told(events, "closed_position")] == ids
    swept = [event for event in told(events, "closed_order") if event["kind"] == "stop_market"]
    assert [(event["account"], event["order_id"]) for event in swept] == sorted(
        (event["account"], event["order_id"]) for event in swept
    )
    assert len(swept) == TICKETS // 2
    assert not kernel.JIT or len(events) > EVENTS_CAPACITY - EVENTS_STEP_MAX
    desk.sound()


def test_a_new_tick_needs_an_empty_market() -> None:
    """Tick and lot change only without orders and positions, the house's included, and leave no old price behind."""
    desk = Desk()
    order_id = desk.limit(100, "buy", "0.01", "59000")
    desk.venue("market_set", "MARKET_IN_USE", market=BTC, tick="0.01")
    desk.venue("market_set", market=BTC, tick="0.1", fee_maker_ppm=100)
    desk.user(100, "order_cancel", order_id=order_id)
    desk.market(100, "buy", "0.01")
    desk.venue("market_set", "MARKET_IN_USE", market=BTC, lot="0.0001")
    desk.user(100, "positions_close_all")
    desk.venue("market_set", "PARAMETER_OUT_OF_RANGE", market=BTC, tick="0.001", lot="0.0001")
    desk.venue("market_set", "PARAMETER_OUT_OF_RANGE", market=BTC, leverage_max=20)
    desk.venue("market_set", "FIELD_MISSING", market=BTC)
    events = desk.venue("market_set", market=BTC, tick="0.01", lot="0.0001")
    assert (events[0]["tick"], events[0]["lot"], events[0]["fee_maker_ppm"]) == ("0.01", "0.0001", 100)
    view = core.market_views(desk.engine.states)[BTC]
    assert "bid" not in view and "mark" not in view and view["quote_us"] == view["fresh"] == 0
    desk.user(100, "order_place", "PRICE_STALE", market=BTC, side="buy", kind="market", qty="0.01")
    desk.sound()
    desk.engine.price(BTC, "60000.00", "60000.01")
    desk.market(100, "buy", "0.0001")
    assert desk.held(100)[0]["lots"] == 1
    desk.sound()


def test_new_tiers_act_at_the_next_settle() -> None:
    """A change of tiers liquidates nobody in its own entry; the next quote does, and thresholds are the new ones."""
    desk = Desk()
    desk.user(100, "trade_create", market=BTC, side="buy", qty="0.01", leverage=50)
    before = desk.held(100)[0]["threshold_ticks"]
    tiers = [{"floor": "0", "mmr_ppm": 45_000, "leverage_max": 20}]
    events = desk.venue("market_set", market=BTC, tiers=tiers, leverage_max=20)
    assert [event["e"] for event in events] == ["market_changed"] and events[0]["tiers"][0]["mmr_ppm"] == 45_000
    assert desk.held(100)[0]["threshold_ticks"] > before
    desk.sound()
    assert desk.engine.price(SOL, "150.00", "150.02") == []
    events = desk.engine.price(BTC, "60000.0", "60000.1")
    assert len(told(events, "liquidation")) == 1 and desk.held(100) == []
    desk.sound()


def test_the_venue_is_told_of_its_new_limits() -> None:
    """venue_set changes what is given, tells all eleven, and refuses balances that leave 64 bits."""
    desk = Desk()
    desk.venue("venue_set", "FIELD_MISSING")
    events = desk.venue("venue_set", starting_balance="7000.5", orders_open_max=1)
    assert events[0] == {**events[0], "e": "venue_changed", "starting_balance": "7000.500000", "orders_open_max": 1}
    assert events[0]["positions_open_max"] == 200 and len(events[0]) == 12
    desk.limit(100, "buy", "0.01", "59000")
    keys = {"market": BTC, "side": "buy", "kind": "limit", "qty": "0.01", "price": "59000"}
    desk.user(100, "order_place", "ORDERS_OPEN_MAX", **keys)
    desk.venue("venue_set", "PARAMETER_OUT_OF_RANGE", starting_balance="100000000000")
    desk.sound()


def test_a_reset_account_begins_anew() -> None:
    """Orders end, positions close at the outside price with a fee, free is the starting balance again, counted."""
    desk = Desk()
    desk.market(100, "buy", "0.02")
    desk.user(100, "trade_create", market=SOL, side="sell", qty="3", leverage=4, take_profit="100")
    desk.limit(100, "sell", "0.01", "61000")
    desk.user(100, "leverage_set", market=BTC, leverage=7)
    events = desk.user(100, "account_reset")
    closed = [(event["kind"], event["reason"]) for event in told(events, "closed_order")]
    assert closed == [("take_profit_market", "reset"), ("limit", "reset"), ("market", "reset"), ("market", "reset")]
    assert [event["price"] for event in told(events, "fill")] == ["60000.0", "150.02"]
    assert [event["fee"] for event in told(events, "fill")] == ["0.600000", "0.225030"]
    leg = [event for event in told(events, "ledger") if event["reason"] == "reset"]
    assert len(leg) == 1 and events[-1]["e"] == "account_changed" and events[-1]["resets"] == 1
    cells = desk.cells(100)
    assert (cells["free_e6"], cells["reserved_e6"], cells["resets"]) == (5_000_000_000, 0, 1)
    assert core.inspect.leverages_of(desk.engine.states, 100) == {BTC: 7}
    desk.sound()


def test_closing_all_is_one_entry_by_position_id() -> None:
    """All positions, or those of one market, close by id as orders of their own; a stale market refuses all."""
    desk = Desk()
    desk.market(100, "buy", "0.02")
    desk.user(100, "trade_create", market=SOL, side="sell", qty="3", leverage=4)
    desk.user(100, "trade_create", market=BTC, side="sell", qty="0.001", leverage=4)
    ids = [row["position_id"] for row in desk.held(100)]
    restored = desk.engine.restored()
    events = desk.user(100, "positions_close_all", market=BTC)
    assert [event["position_id"] for event in told(events, "closed_position")] == [ids[0], ids[2]]
    assert {(event["kind"], event["tif"]) for event in told(events, "closed_order")} == {("market", "IOC")}
    events = restored.apply("user_instruction", instruction(99, "positions_close_all"))
    assert [event["position_id"] for event in told(events, "closed_position")] == ids
    assert restored.invariants() == []
    assert desk.user(100, "positions_close_all", market=BTC) == []
    desk.engine.apply("clock_tick", ts_us=desk.engine.ts_us + 4_000_000)
    for _ in range(10):
        desk.engine.apply("clock_tick", ts_us=desk.engine.ts_us + 1_000_000)
    desk.user(100, "positions_close_all", "PRICE_STALE")
    desk.user(100, "positions_close_all", market=BTC)
    desk.sound()


def test_leverage_takes_and_gives() -> None:
    """Less leverage takes margin from free, more moves none, reserves follow; tier and money may refuse."""
    desk = Desk()
    desk.market(100, "buy", "0.02")
    desk.limit(100, "buy", "0.01", "59000")
    assert [desk.held(100)[0]["margin_e6"], desk.cells(100)["reserved_e6"]] == [120_002_200, 59_295_000]
    events = desk.user(100, "leverage_set", market=BTC, leverage=5)
    assert [event["e"] for event in events] == [
        "account_market_changed",
        "ledger",
        "position_changed",
        "order_changed",
        "account_changed",
    ]
    image = {"e": "account_market_changed", "account": 100, "market": BTC, "leverage": 5, "mode": "isolated"}
    assert events[0] == image
    assert (events[1]["amount"], events[1]["reason"], events[1]["ref"]) == ("-119.998200", "margin", 0)
    assert [desk.held(100)[0]["margin_e6"], desk.cells(100)["reserved_e6"]] == [240_000_400, 118_295_000]
    events = desk.user(100, "leverage_set", market=BTC, leverage=50)
    assert told(events, "ledger") == []
    assert [desk.held(100)[0]["margin_e6"], desk.cells(100)["reserved_e6"]] == [240_000_400, 12_095_000]
    desk.user(100, "leverage_set", "LEVERAGE_OUT_OF_RANGE", market=BTC, leverage=51)
    desk.user(100, "leverage_set", market=BTC, leverage=50)
    desk.sound()
    desk.market(100, "buy", "0.5")
    desk.user(100, "leverage_set", "MARGIN_INSUFFICIENT", market=BTC, leverage=2)
    tiers = [
        {"floor": "0", "mmr_ppm": 5_000, "leverage_max": 50},
        {"floor": "31000", "mmr_ppm": 20_000, "leverage_max": 10},
    ]
    desk.venue("market_set", market=BTC, tiers=tiers)
    desk.user(100, "leverage_set", "LEVERAGE_ABOVE_TIER", market=BTC, leverage=11)
    desk.user(100, "leverage_set", market=SOL, leverage=1)
    assert core.inspect.leverages_of(desk.engine.states, 100) == {BTC: 50, SOL: 1}
    desk.sound()


def test_margin_is_added_and_removed_within_the_rule() -> None:
    """Added margin needs money; removed margin leaves maintenance and what the leverage asks at mark, to the micro."""
    desk = Desk()
    desk.user(100, "trade_create", market=BTC, side="buy", qty="0.01", leverage=10)
    position = desk.held(100)[0]
    keys = {"position_id": position["position_id"]}
    for amount in ("0", "0.0000001", "1000000000", "-1000000000"):
        desk.user(100, "margin_change", "AMOUNT_OUT_OF_RANGE", **keys, amount=amount)
    desk.user(101, "margin_change", "POSITION_UNKNOWN", **keys, amount="1")
    desk.user(100, "margin_change", "MARGIN_INSUFFICIENT", **keys, amount="5000")
    events = desk.user(100, "margin_change", **keys, amount="12.000001")
    assert [event["e"] for event in events] == ["ledger", "position_changed", "account_changed"]
    assert desk.held(100)[0]["margin_e6"] == position["margin_e6"] + 12_000_001
    # The mark is 60 000.0, ten below the entry in lots of 0.01: 600 at 10x asks for 60, and 0.001 was lost.
    spare = desk.held(100)[0]["margin_e6"] - 60_000_000 - 1_000
    too_much = f"-{(spare + 1) / 10**6:.6f}"
    desk.user(100, "margin_change", "MARGIN_BELOW_REQUIRED", **keys, amount=too_much)
    desk.user(100, "margin_change", **keys, amount=f"-{spare / 10**6:.6f}")
    desk.user(100, "margin_change", "MARGIN_BELOW_REQUIRED", **keys, amount="-0.000001")
    # A profit is no margin: what is left must reach maintenance without it.
    desk.engine.price(BTC, "66000.0", "66000.1")
    maintenance = -(-66_000_000_0 * 6_670 // 10**6)
    spare = desk.held(100)[0]["margin_e6"] - maintenance
    desk.user(100, "margin_change", "MARGIN_BELOW_REQUIRED", **keys, amount=f"-{(spare + 1) / 10**6:.6f}")
    desk.sound()


@pytest.mark.parametrize("scope", ["opening", "all"])
def test_the_switch_ends_orders_once(scope: str) -> None:
    """Unless it is armed anew in time, the switch ends what its scope names, tells the balance, and is off."""
    desk = Desk()
    desk.market(100, "buy", "0.01")
    position_id = desk.held(100)[0]["position_id"]
    desk.user(100, "position_triggers_set", position_id=position_id, stop_loss="59000", take_profit="70000")
    desk.limit(100, "sell", "0.005", "61000", reduce_only=True)
    first = desk.limit(100, "buy", "0.01", "59000", take_profit="65000")
    desk.user(100, "deadman_set", "TIMEOUT_OUT_OF_RANGE", timeout_ms=4_999)
    desk.user(100, "deadman_set", "TIMEOUT_OUT_OF_RANGE", timeout_ms=86_400_001)
    desk.user(100, "deadman_set", timeout_ms=5_000, scope=scope)
    start_us = desk.engine.ts_us
    events = desk.engine.apply("clock_tick", ts_us=start_us + 4_000_000)
    desk.engine.ts_us = start_us + 4_000_000
    armed = desk.user(100, "deadman_set", timeout_ms=5_000, scope=scope)
    assert armed[-1]["deadman_us"] == start_us + 9_000_000
    desk.sound()
    events = desk.engine.apply("clock_tick", ts_us=start_us + 8_999_999)
    assert told(events, "closed_order") == []
    events = desk.engine.apply("clock_tick", ts_us=start_us + 9_000_000)
    ended = {event["order_id"]: event["reason"] for event in told(events, "closed_order")}
    assert ended[first] == "deadman" and ended[first + 1] == "parent_closed"
    assert len(ended) == (2 if scope == "opening" else 5) and list(ended.values()).count("parent_closed") == 1
    assert events[-1]["e"] == "account_changed" and "deadman_us" not in events[-1]
    assert (desk.held(100)[0]["stop_loss_id"] == 0) == (scope == "all")
    desk.sound()


def test_a_switch_turned_off_ends_nothing() -> None:
    """A timeout of 0 turns the switch off; a frozen account may set it, and nothing else."""
    desk = Desk()
    desk.limit(100, "buy", "0.01", "59000")
    desk.user(100, "deadman_set", timeout_ms=5_000)
    events = desk.venue("account_freeze", account=100)
    assert events[-1]["e"] == "account_changed" and events[-1]["frozen"] is True
    desk.user(100, "orders_cancel", "ACCOUNT_FROZEN")
    desk.user(100, "deadman_set", timeout_ms=0)
    for step in range(1, 9):
        assert told(desk.engine.apply("clock_tick", ts_us=desk.engine.ts_us + 1_000_000), "closed_order") == [], step
    events = desk.venue("account_unfreeze", account=100)
    assert "frozen" not in events[-1]
    desk.user(100, "orders_cancel")
    desk.sound()


def test_an_operator_credits_and_takes_back() -> None:
    """A credit comes from outside and goes back there, within the account's free money and the highest balance."""
    desk = Desk()
    keys: dict[str, Any] = {"account": 100, "reason": "gift"}
    events = desk.venue("account_credit", **keys, amount="12.5")
    assert (events[0]["reason"], events[0]["amount"], events[0]["ref"]) == ("credit", "12.500000", 0)
    desk.venue("account_credit", "MARGIN_INSUFFICIENT", **keys, amount="-5012.500001")
    desk.venue("account_credit", **keys, amount="-5012.5")
    assert desk.cells(100)["free_e6"] == 0
    for amount in ("0", "1000000000", "0.0000001"):
        desk.venue("account_credit", "AMOUNT_OUT_OF_RANGE", **keys, amount=amount)
    desk.venue("account_credit", **keys, amount="999999999.999999")
    desk.venue("account_credit", **keys, amount="0.000001")
    desk.venue("account_credit", "AMOUNT_OUT_OF_RANGE", **keys, amount="0.000001")
    desk.sound()


@entry
def config_words_put(words: Any, configs: Any) -> None:
    """Write a configuration as words, as market_changed does."""
    events_venue.config_put(words, configs[0])


def test_a_configuration_is_told_field_by_field() -> None:
    """The words of market_changed are the configuration's own memory."""
    words = np.arange(1, CONFIG_WORDS + 1, dtype=np.int64)
    configs = words.copy().view(CONFIG)
    target = np.zeros(CONFIG_WORDS, np.int64)
    config_words_put(target, configs if kernel.JIT else configs.view(np.recarray))
    assert target.tolist() == words.tolist()
