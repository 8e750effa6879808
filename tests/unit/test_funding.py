"""engine/core/funding.py: who pays what and when, once and not twice, and what is skipped."""

import math
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from engine import core
from engine.core import funding, kernel
from engine.core.kernel import entry
from engine.core.limits import EVENTS_CAPACITY, EVENTS_STEP_MAX
from engine.library import Engine
from shared.codes import ACCOUNT_HOUSE
from tests.builders import BTC, SOL, instruction, opened

TICKETS = 2_500 if kernel.JIT else 40
MINUTE_MS = 60_000


@entry
def payment(states: Any, lots: int, mark_ticks: int, unit_e6: int, rate_ppb: int, account_id: int) -> int:
    """Return what one position pays."""
    state = states[0]
    state.positions[1].lots = lots
    state.positions[1].account_id = account_id
    state.markets[0].mark_ticks = mark_ticks
    state.markets[0].config.unit_e6 = unit_e6
    state.markets[0].funding_rate_ppb = rate_ppb
    return funding.funding_payment_e6(state, 0, 1)


def test_a_payment_is_rounded_against_the_account() -> None:
    """⌈lots × mark × unit × rate⌉ with signs, exact at every size; the house pays nothing of its own."""
    states, chance = core.allocate(), random.Random(5)
    for _ in range(3_000):
        unit_e6 = chance.choice([1, 7, 100, 10**6])
        lots = chance.choice([-1, 1]) * chance.randint(1, 10 ** chance.randint(1, 10) // unit_e6 + 1)
        mark_ticks, rate_ppb = chance.randint(1, 2**23 - 1), chance.choice([-1, 1]) * chance.randint(0, 10**9)
        expected = math.ceil(Fraction(lots * mark_ticks * unit_e6 * rate_ppb, 10**9))
        assert int(payment(states, lots, mark_ticks, unit_e6, rate_ppb, 100)) == expected
        assert int(payment(states, lots, mark_ticks, unit_e6, rate_ppb, ACCOUNT_HOUSE)) == 0


def frame(engine: Engine, price: str, rate: str, next_ms: int, market: str = BTC) -> list[dict[str, Any]]:
    """Apply a mark frame that names a funding, a millisecond later."""
    ts_us = engine.ts_us + 1_000
    body = {"E": ts_us, "T": ts_us, "e": "markPrice", "f": rate, "i": price, "n": next_ms, "p": price, "s": market}
    return engine.apply("mark_update", body, ts_us=ts_us)


def wait(engine: Engine, until_ms: int, mark: str | None = None) -> list[dict[str, Any]]:
    """Let time pass, a quote and, if a mark is given, a frame that names no new funding every five seconds."""
    events = []
    while engine.ts_us < until_ms * 1000:
        moved = min(until_ms * 1000, engine.ts_us + 5_000_000)
        events += engine.price(BTC, "60000.0", "60000.1", ts_us=moved)
        if mark is not None and moved < until_ms * 1000:
            events += frame(engine, mark, "0.9", 0)
    return events


def kinds(events: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """Return the events of some kinds."""
    return [event for event in events if event["e"] in names]


def traded(engine: Engine, account: int, side: str, qty: str, number: int, leverage: int = 10) -> int:
    """Open a ticket and return its id."""
    body = {"market": BTC, "side": side, "qty": qty, "leverage": leverage}
    events = engine.apply("user_instruction", instruction(number, "trade_create", account, **body))
    assert events[0]["result"] == "OK"
    return int(events[0]["position_id"])


def test_longs_pay_shorts_once() -> None:
    """A due funding is settled with the stored rate and mark, one event a position by id; HOUSE takes the rest."""
    engine = opened(2)
    due_ms = engine.ts_us // 1000 + MINUTE_MS
    frame(engine, "60000.0", "0.0001", due_ms)
    long, short = traded(engine, 100, "buy", "0.01", 1), traded(engine, 101, "sell", "0.003", 2)
    before = engine.account(ACCOUNT_HOUSE)
    events = wait(engine, due_ms, "60000.0")
    paid = kinds(events, "funding", "funding_settled")
    assert [event.get("position_id") for event in paid] == [long, short, None]
    assert [event["amount"] for event in paid] == ["-0.060000", "0.018000", "0.042000"]
    assert paid[2] == {
        "e": "funding_settled",
        "market": BTC,
        "rate": "0.000100000",
        "price_mark": "60000.0",
        "due_ms": due_ms,
        "positions": 2,
        "amount": "0.042000",
    }
    assert before is not None and engine.account(ACCOUNT_HOUSE)["free_e6"] == before["free_e6"] + 42_000  # type: ignore[index]
    legs = [event for event in kinds(events, "ledger") if event["reason"] == "funding"]
    assert [(leg["account"], leg["amount"], leg["ref"]) for leg in legs] == [
        (100, "-0.060000", long),
        (101, "0.018000", short),
    ]
    shown = {event["position_id"]: event["funding"] for event in kinds(events, "position_changed")}
    assert shown == {long: "-0.060000", short: "0.018000"}
    assert engine.invariants() == []
    # A late frame that names the same funding, or an older one, charges nobody again.
    for late_ms in (due_ms, due_ms - MINUTE_MS):
        frame(engine, "60000.0", "0.5", late_ms)
    assert kinds(wait(engine, due_ms + MINUTE_MS, "60000.0"), "funding", "funding_settled", "funding_skipped") == []


def test_the_margin_pays_what_free_lacks() -> None:
    """A payer without free money pays out of the margin, a leg each, and may be liquidated by it in the same entry."""
    engine = opened(1, starting_balance="70")
    due_ms = engine.ts_us // 1000 + 20_000
    frame(engine, "60000.0", "0.02", due_ms)
    position_id = traded(engine, 100, "buy", "0.01", 1)
    before = engine.account(100)
    assert before is not None and before["free_e6"] < 9_700_000
    events = wait(engine, due_ms, "60000.0")
    legs = [(leg["reason"], leg["counter"], leg["ref"]) for leg in kinds(events, "ledger")]
    assert legs == [("margin", f"position:{position_id}", position_id), ("funding", "house", position_id)]
    assert engine.account(100)["free_e6"] == 0  # type: ignore[index]
    assert engine.invariants() == []
    due_ms += 30_000
    frame(engine, "60000.0", "0.1", due_ms)
    events = wait(engine, due_ms, "60000.0")
    assert [event["e"] for event in kinds(events, "funding", "funding_settled", "liquidation")] == [
        "funding",
        "funding_settled",
        "liquidation",
    ]
    assert engine.invariants() == []


def test_the_margin_pays_the_one_micro_that_free_lacks() -> None:
    """Whoever has a micro less free than is due pays all of it from free, and the micro from the margin."""
    engine = opened(1)
    due_ms = engine.ts_us // 1000 + 20_000
    frame(engine, "60000.0", "0.02", due_ms)
    traded(engine, 100, "buy", "0.01", 1)
    before = engine.account(100)
    assert before is not None
    left = Decimal(11_999_999 - before["free_e6"]) / 10**6
    credit = instruction(900, "account_credit", 0, amount=str(left), reason="test") | {"account": 100}
    assert engine.apply("venue_instruction", credit)[0]["result"] == "OK"
    legs = [(leg["reason"], leg["amount"]) for leg in kinds(wait(engine, due_ms, "60000.0"), "ledger")]
    assert legs == [("margin", "0.000001"), ("funding", "-12.000000")]
    assert engine.account(100)["free_e6"] == 0  # type: ignore[index]


def test_nothing_is_paid_on_an_old_mark_or_in_a_halt() -> None:
    """Without a mark frame for more than a minute, or while halted, a funding is skipped and done with."""
    engine = opened(1)
    traded(engine, 100, "buy", "0.01", 1)
    due_ms = engine.ts_us // 1000 + 2 * MINUTE_MS
    frame(engine, "60000.0", "0.01", due_ms)
    skipped = kinds(wait(engine, due_ms), "funding_skipped", "funding", "funding_settled")
    assert skipped == [{"e": "funding_skipped", "market": BTC, "due_ms": due_ms, "reason": "mark_old"}]
    due_ms += MINUTE_MS
    frame(engine, "60000.0", "0.01", due_ms)
    engine.apply("venue_instruction", instruction(2, "market_halt", 0, market=BTC))
    skipped = kinds(wait(engine, due_ms, "60000.0"), "funding_skipped", "funding", "funding_settled")
    assert [event["reason"] for event in skipped] == ["halted"]
    assert engine.invariants() == []


def test_which_frames_name_the_next_funding() -> None:
    """A later time waits until the stored one is settled; an earlier one, or another rate for the same, is taken."""
    engine = opened(1)
    traded(engine, 100, "buy", "0.01", 1)
    now_ms = engine.ts_us // 1000
    due_ms = now_ms + MINUTE_MS
    views = []
    for rate, next_ms in (
        ("0.001", due_ms + 5_000),
        ("0.002", due_ms + 3_600_000),
        ("0.003", due_ms),
        ("0.004", due_ms),
        ("0.005", now_ms - 1),
        ("0.006", now_ms + 86_500_000),
    ):
        frame(engine, "60000.0", rate, next_ms)
        view = core.market_views(engine.states)[BTC]
        views.append((view["funding_rate"], view["funding_next_ms"]))
    first, same = ("0.001000000", due_ms + 5_000), ("0.004000000", due_ms)
    assert views == [first, first, ("0.003000000", due_ms), same, same, same]
    settled = kinds(wait(engine, due_ms, "60000.0"), "funding_settled")
    assert [event["rate"] for event in settled] == ["0.004000000"]
    assert core.market_views(engine.states)[BTC]["funding_next_ms"] == 0


def test_what_is_due_at_one_time_has_an_order() -> None:
    """Expiry comes before the dead-man's switch, and that before funding, markets by id, whatever was set first."""
    engine = opened(1)
    due_ms = engine.ts_us // 1000 + 10_000
    for market, price in ((SOL, "150.01"), (BTC, "60000.0")):
        frame(engine, price, "0.001", due_ms, market)
    engine.ts_us = (due_ms - 8_000) * 1000
    switch: dict[str, Any] = {"timeout_ms": 8_000, "scope": "all"}
    engine.apply("user_instruction", instruction(3, "deadman_set", **switch))
    keys: dict[str, Any] = {"market": BTC, "side": "buy", "kind": "limit", "qty": "0.001", "price": "59000"}
    engine.apply("user_instruction", instruction(4, "order_place", **keys))
    engine.apply("user_instruction", instruction(5, "order_place", **keys, tif="GTD", expires_ms=due_ms))
    events = engine.apply("clock_tick", ts_us=(due_ms - 1_000) * 1000)
    events += engine.apply("clock_tick", ts_us=due_ms * 1000 - 1)
    assert kinds(events, "closed_order", "funding_settled") == []
    events = engine.apply("clock_tick", ts_us=due_ms * 1000)
    told = [event.get("reason", event.get("market")) for event in kinds(events, "closed_order", "funding_settled")]
    assert told == ["expired", "deadman", BTC, SOL]
    account = engine.account(100)
    assert account is not None and account["reserved_e6"] == account["deadman_us"] == 0
    assert engine.invariants() == []


def test_a_funding_larger_than_the_buffer_is_paid_whole() -> None:
    """Thousands of payments in one entry are told by position id, each once, and the state restores to the same."""
    engine = opened(25, positions_open_max=200, starting_balance="1000000")
    due_ms = engine.ts_us // 1000 + MINUTE_MS
    frame(engine, "60000.0", "0.0001", due_ms)
    ids = [traded(engine, 100 + n % 25, "sell" if n % 3 == 0 else "buy", "0.001", n + 1) for n in range(TICKETS)]
    events = wait(engine, due_ms, "60000.0")
    paid = kinds(events, "funding")
    assert [event["position_id"] for event in paid] == ids
    assert kinds(events, "funding_settled")[0]["positions"] == TICKETS
    assert not kernel.JIT or 4 * TICKETS > EVENTS_CAPACITY - EVENTS_STEP_MAX
    assert engine.invariants() == []
    assert engine.restored().state_hash() == engine.state_hash()


@pytest.mark.parametrize("rate", ["0", "-0.0001"])
def test_a_rate_of_zero_or_less(rate: str) -> None:
    """At zero nobody is told of a payment; at a negative rate the long receives."""
    engine = opened(1)
    due_ms = engine.ts_us // 1000 + 20_000
    frame(engine, "60000.0", rate, due_ms)
    traded(engine, 100, "buy", "0.01", 1)
    events = kinds(wait(engine, due_ms, "60000.0"), "funding", "funding_settled")
    assert [event["amount"] for event in events] == (["0.000000"] if rate == "0" else ["0.060000", "-0.060000"])
