"""A scratch state answers an instruction as the whole venue would; with the compiler off, as a gateway's calculator."""

import random
import subprocess
import sys
from typing import Any

import numpy as np
import orjson
import pytest

from engine import core
from engine.core import kernel
from engine.core.scratch import (
    Ground,
    account_put,
    account_settle,
    clock_put,
    market_put,
    order_put,
    position_put,
    scratch_possible,
)
from engine.core.snapshot import peaks_write
from engine.library import Engine
from shared import genesis, wire
from shared.settings import REPOSITORY, environment_interpreted
from shared.wire_events import Encoder

interpreted = pytest.mark.skipif(kernel.JIT, reason="runs below, in a process without the compiler")
NAMES = ("SOL_USDC_PERP", "ETH_USDC_PERP")
MARKETS = [market for market in genesis.MARKETS_DEFAULT if market["market"] in NAMES]
PRICES = {"SOL_USDC_PERP": (15_000, 2), "ETH_USDC_PERP": (300_000, 2)}
MARKET_FIELDS = (
    *("state", "bid_ticks", "ask_ticks", "bid_lots", "ask_lots", "quote_us", "mark_ticks", "mark_us", "index_ticks"),
    "open_interest_lots",
)
ACCOUNT_FIELDS = ("free_e6", "reserved_e6", "cross", "guards", "leverage", "leverage_most", "slippage_bps", "stp")
COUNTERS = ("order_id", "fill_id", "position_id", "ref", "oco_order_id", "request_id", "counter")


def raw(engine: Engine) -> Any:
    """Return the record of an engine's state."""
    return engine.states.view(np.ndarray)[0]


def instruction(account: int, body: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """Return one instruction of an account."""
    return {"v": 1, "account": account, "request_id": f"{number:032x}", **body}


def ground_founded(markets: list[dict[str, Any]], venue_set: dict[str, Any] | None = None) -> Ground:
    """Return a ground with these markets, the feed up and one account, 100."""
    ground = Ground()
    batch = wire.Batch(3)
    ts = (b"ts", b"1767225600000000")
    founding = genesis.default("scratch0aa", [dict(market) for market in markets], **(venue_set or {}))
    batch.add(1, [ts, (b"genesis", orjson.dumps(founding))])
    batch.add(2, [ts, (b"session", b"s"), (b"feed_status", orjson.dumps({"status": "up", "source": "scratch"}))])
    opening = instruction(0, {"op": "account_open", "owner": "11" * 16})
    batch.add(3, [ts, (b"user_instruction", orjson.dumps(opening))])
    applied, _, _ = core.apply_batch(ground.states, batch, 0, 3)
    assert applied == 3
    return ground


def tried(states: Any, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of one instruction of account 100 on a scratch state."""
    head = core.header(states)
    encoder = Encoder(core.markets_of(states), head["events_last"])
    batch = wire.Batch(1)
    fields = [(b"ts", b"%d" % head["log_time_us"]), (b"user_instruction", orjson.dumps(instruction(100, body)))]
    batch.add(head["seq"] + 1, fields)
    _, count, _ = core.apply_batch(states, batch, 0, 1)
    return [event for each in encoder.feed(core.events_of(states, count), True) for event in orjson.loads(each.data)]


def rows_of(state: Any, name: str, key: str, account_id: int) -> list[dict[str, Any]]:
    """Return an account's rows of a table by field."""
    used = state[name][1 : int(state[f"{name}_table"]["top"]) + 1]
    mine = used[(used[key] > 0) & (used["account_id"] == account_id)]
    return [{name: row[name] for name in mine.dtype.names} for row in mine]


def copied(engine: Engine, ground: Ground, account_id: int) -> Any:
    """Return a scratch state in which account 100 stands as another account stands in an engine."""
    states = ground.copy()
    state = raw(engine)
    clock_put(states, int(state["header"]["log_time_us"]))
    for market_row in range(len(MARKETS)):
        market = state["markets"][market_row]
        house = state["positions"][int(state["market_links"][market_row]["house_row"])]
        market_put(states, market_row, {name: market[name] for name in MARKET_FIELDS}, int(house["lots"]))
    account = state["accounts"][account_id - 95]
    account_put(states, 100, {name: account[name] for name in ACCOUNT_FIELDS})
    peaks_write(engine.states)
    for row in rows_of(state, "positions", "position_id", account_id):
        position_put(states, row | {"account_id": 100})
    rows = rows_of(state, "orders", "order_id", account_id)
    for row in sorted(rows, key=lambda row: (row["active"], row["peak_ticks"] * (1 if row["side"] == 1 else -1))):
        order_put(states, row | {"account_id": 100})
    account_settle(states, 100, {})
    return states


def comparable(events: list[dict[str, Any]], account_id: int) -> list[dict[str, Any]]:
    """Return the events of an account and the public ones without the numbers that a venue gives out."""
    kept = [event for event in events if event.get("account") in (account_id, None) and event["e"] != "candle"]
    dropped = (*COUNTERS, "account")
    found = []
    for event in kept:
        event = {name: value for name, value in event.items() if name not in dropped}
        for name in ("take_profit", "stop_loss"):
            if name in event:
                event[name] = {key: value for key, value in event[name].items() if key != "order_id"}
        found.append(event)
    return found


def wish(choice: random.Random, engine: Engine, account_id: int) -> dict[str, Any]:
    """Return a random instruction that an account might send."""
    market = choice.choice(NAMES)
    row = NAMES.index(market) if MARKETS[0]["market"] == NAMES[0] else 1 - NAMES.index(market)
    mid = int(raw(engine)["markets"][row]["bid_ticks"])

    def price() -> str:
        """Return a price near the market's."""
        return f"{(mid + choice.randint(-300, 300)) / 100:.2f}"

    side, other = choice.sample(["buy", "sell"], 2)
    qty = f"{choice.randint(1, 400) / 100:.2f}"
    held = engine.positions(account_id)
    plain: dict[str, Any] = {"op": "order_place", "market": market, "side": side, "qty": qty}
    wishes: list[dict[str, Any]] = [
        plain | {"kind": "market"},
        plain | {"kind": "limit", "price": price()},
        plain | {"kind": "limit", "price": price(), "post_only": True},
        plain | {"kind": "limit", "price": price(), "reduce_only": True},
        plain | {"kind": "stop_market", "price_trigger": price()},
        plain | {"kind": "trailing_stop", "trail_ticks": choice.randint(5, 500)},
        plain | {"kind": "market", "take_profit": price(), "stop_loss": price()},
        plain
        | {"kind": "limit", "price": price(), "oco": {"kind": "stop_market", "price_trigger": price(), "side": side}},
        {"op": "trade_create", "market": market, "side": other, "margin": qty, "leverage": choice.randint(1, 50)},
        {"op": "leverage_set", "market": market, "leverage": choice.randint(1, 50)},
        {"op": "margin_mode_set", "market": market, "mode": choice.choice(["cross", "isolated"])},
        {"op": "orders_cancel"},
    ]
    for position in choice.sample(held, min(2, len(held))):
        number = position["position_id"]
        wishes += [
            {"op": "trade_close", "position_id": number},
            {"op": "trade_close", "position_id": number, "percent": str(choice.randint(1, 100))},
            {"op": "position_reverse", "position_id": number},
            {"op": "margin_change", "position_id": number, "amount": f"{choice.randint(-500, 500)}.5"},
        ]
    return choice.choice(wishes)


@interpreted
@pytest.mark.parametrize("seed", range(4))
def test_a_scratch_answers_as_the_venue(seed: int) -> None:
    """Over random histories of one account, each instruction has the same events on a scratch as in the venue."""
    choice = random.Random(seed)
    engine = Engine([dict(market) for market in MARKETS])
    for number in range(3):
        engine.apply("user_instruction", instruction(0, {"op": "account_open", "owner": f"{number:032x}"}, number + 1))
    account_id = 101
    ground = ground_founded(MARKETS)
    done = set()
    for step in range(60):
        engine.ts_us += choice.randint(1_000, 900_000)
        for market in NAMES:
            middle = PRICES[market][0] + choice.randint(-250, 250)
            engine.price(market, f"{middle / 100:.2f}", f"{(middle + choice.randint(1, 9)) / 100:.2f}")
        body = wish(choice, engine, account_id)
        states = copied(engine, ground, account_id)
        there = comparable(tried(states, body), 100)
        before = engine.seq
        here = comparable(engine.apply("user_instruction", instruction(account_id, body, 1_000 + step)), account_id)
        assert engine.seq == before + 1
        assert there == here, (seed, step, body)
        done.add((body["op"], here[0]["result"]))
    assert len({op for op, result in done if result == "OK"}) >= 6


@interpreted
def test_a_copy_leaves_the_ground_as_it_was() -> None:
    """What is written into one copy is in no other, and not in the ground."""
    ground = ground_founded(MARKETS)
    first = ground.copy()
    clock_put(first, 1_767_225_700_000_000)
    account_put(first, 100, {"free_e6": 7})
    assert core.account_of(first, 100) != core.account_of(ground.copy(), 100)
    assert core.account_of(ground.copy(), 100) == core.account_of(ground.states, 100)
    assert core.header(ground.copy())["log_time_us"] == 1_767_225_600_000_000


@interpreted
def test_a_name_that_a_row_has_not_is_refused() -> None:
    """A figure of an unknown name is no silent loss."""
    with pytest.raises(ValueError, match="free"):
        account_put(ground_founded(MARKETS).copy(), 100, {"free": 7})


@interpreted
def test_scratches_are_possible_here() -> None:
    """Without the compiler a scratch is possible."""
    assert scratch_possible()


@pytest.mark.skipif(not kernel.JIT, reason="it would start itself")
def test_all_of_it_without_the_compiler() -> None:
    """While the compiler is on, scratches are not possible; the tests above hold in a process without it."""
    assert not scratch_possible()
    with pytest.raises(AssertionError):
        Ground()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment_interpreted(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.split()[0] == ".......s"  # all of them, but for this one
