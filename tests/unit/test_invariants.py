"""engine/core/invariants.py: a sound state shows nothing, and whatever is bent in it is noticed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.library import Engine
from tests.builders import BTC, SOL, instruction, opened

Bend = Callable[[int], None]


def scene() -> Engine:
    """Return a venue with something of everything: orders of all statuses, both position kinds, timers, a funding."""
    engine = opened(4)
    number = 0

    def user(account: int, op: str, **keys: Any) -> None:
        nonlocal number
        number += 1
        kind = "venue_instruction" if op.startswith(("market_", "venue_")) else "user_instruction"
        events = engine.apply(kind, instruction(number, op, account, **keys))
        assert events[0]["result"] == "OK", events[0]

    limit = {"market": BTC, "kind": "limit", "qty": "0.01"}
    user(100, "order_place", market=BTC, side="buy", kind="market", qty="0.02")
    user(100, "order_place", **limit, side="sell", price="61000", reduce_only=True)
    user(100, "order_place", **limit, side="buy", price="59000", stop_loss="58000")
    expires_ms = engine.ts_us // 1000 + 60_000
    user(101, "order_place", **limit, side="buy", price="59000", tif="GTD", expires_ms=expires_ms)
    user(101, "order_place", **limit, side="buy", price="59001", tif="GTD", expires_ms=expires_ms + 1)
    oco = {"kind": "stop_limit", "price": "61500", "price_trigger": "61000"}
    user(102, "order_place", **limit, side="buy", price="59500", oco=oco)
    user(101, "order_place", market=BTC, side="sell", kind="trailing_stop", qty="0.01", trail_ticks=500)
    user(101, "trade_create", market=SOL, side="sell", qty="2", leverage=3, take_profit="100")
    user(100, "deadman_set", timeout_ms=60_000)
    user(102, "deadman_set", timeout_ms=50_000)
    user(0, "market_set", market=SOL, taker_delay_ms=500)
    user(102, "order_place", market=SOL, side="buy", kind="market", qty="1")
    body = {"E": engine.ts_us, "T": engine.ts_us, "e": "markPrice", "f": "0.001", "i": "60000.0", "p": "60000.0"}
    engine.apply("mark_update", {**body, "n": expires_ms, "s": BTC})
    user(103, "margin_mode_set", market=BTC, mode="cross")
    user(103, "order_place", market=BTC, side="sell", kind="market", qty="0.1")
    user(103, "order_place", **limit, side="sell", price="60500")
    return engine


ENGINE = scene()
STATE = ENGINE.states.view(np.ndarray)[0]


def order_of(**wanted: Any) -> Any:
    """Return the row of the one live order with these fields."""
    rows = STATE["orders"][1 : int(STATE["orders_table"]["top"]) + 1]
    chosen = rows["order_id"] > 0
    for name, value in wanted.items():
        chosen &= rows[name] == value
    assert chosen.sum() == 1
    return rows[np.flatnonzero(chosen)[0]]


def bend(place: Callable[[], Any], field: str | int, by: int = 1) -> Bend:
    """Return what adds to one field of the state, and takes it away again when `back` is 1."""

    def change(back: int) -> None:
        row = place()
        row[field] += by * (1 - 2 * back)

    return change


def account(row: int) -> Callable[[], Any]:
    """Return the place of an account's row."""
    return lambda: STATE["accounts"][row]


def link(row: int) -> Callable[[], Any]:
    """Return the place of an account's links."""
    return lambda: STATE["account_links"][row]


def net(row: int) -> int:
    """Return the row of an account's net position in the first market."""
    return int(STATE["account_links"][row]["markets"]["net"][0])


BENDS: dict[str, Bend] = {
    "money is not conserved": bend(account(5), "free_e6"),
    ", its orders": bend(account(7), "reserved_e6", 10**6),
    "reserves money although": bend(lambda: STATE["orders"][1], "reserved_e6"),
    "open interest": bend(lambda: STATE["markets"][0], "open_interest_lots"),
    "lots add up": bend(lambda: STATE["positions"][int(STATE["account_links"][5]["markets"]["net"][0])], "lots"),
    "less than nothing": bend(lambda: STATE["markets"][1], "ask_used_lots", -1),
    "funding of": bend(lambda: STATE["markets"][0], "funding_settled_ms", 10**15),
    "the first funding": bend(lambda: STATE["due"], "funding_us"),
    "left over": bend(lambda: STATE["task"], "kind"),
    "something due": bend(lambda: STATE["header"], "log_time_us", 10**9),
    "orders_resting": bend(link(5), "orders_resting"),
    "orders_dormant": bend(link(6), "orders_dormant"),
    "positions_open": bend(link(6), "positions_open"),
    "tickets_waiting": bend(link(6), "tickets_waiting"),
    "pending": bend(lambda: STATE, "positions_pending"),
    "rows live": bend(lambda: STATE["orders_table"], "live"),
    "reduce-only orders are bound": bend(
        lambda: STATE["position_links"][int(STATE["account_links"][5]["markets"]["net"][0])], "bound"
    ),
    "lots of them rest": bend(lambda: order_of(reduce_only=1, status=1), "qty_lots", 10**4),
    "but closes it not": bend(lambda: order_of(reduce_only=1, status=1), "market_id"),
    "is gone": bend(lambda: order_of(reduce_only=1, status=1), "position_id", 10**6),
    "is a trigger of position": bend(lambda: order_of(kind=4), "position_id"),
    "names order": bend(lambda: STATE["positions"][int(STATE["account_links"][6]["position_first"])], "stop_loss_id"),
    "other leg": bend(lambda: order_of(kind=6), "oco_id"),
    "waits for order": bend(lambda: order_of(status=3), "parent_id", 10**6),
    "has filled": bend(lambda: order_of(status=4), "qty_filled_lots", 10**6),
    "a leverage of": bend(lambda: STATE["accounts"][5]["leverage"], 0, 2_000),
    "list of orders": bend(lambda: order_of(kind=8), "priority", 10**6),
    "list of positions": bend(lambda: STATE["market_links"][0], "position_last"),
    "list of delayed": bend(lambda: STATE["market_links"][1], "delayed_last"),
    "lots uncovered": bend(lambda: STATE["market_links"][0], "uncovered_lots"),
    "expiry: 2 rows": bend(lambda: order_of(tif=4, price_ticks=590_000), "expires_us", -(10**18)),
    "deadman: row": bend(link(5), "heap_at"),
    "requests are remembered": bend(lambda: STATE["request_queue"], 1),
    "for too long": bend(lambda: STATE["requests"][1], "expires_us", -(10**15)),
    "the smallest lag": bend(lambda: STATE, "lag_least_us"),
    "places of its ladders": bend(lambda: STATE["market_links"]["bests"][0], 11),
    "ladders hold": bend(lambda: STATE["ladders"][0], "count"),
    "trailing stops follow": bend(lambda: order_of(kind=8), "active"),
    "its cross_markets is": bend(link(8), "cross_markets", 2),
    "its reserved_cross_e6 is": bend(link(8), "reserved_cross_e6"),
    "its stale is": bend(link(8), "stale"),
    "without margin": bend(lambda: STATE["positions"][net(8)], "margin_e6"),
    "isolated and has a band": bend(lambda: STATE["position_links"][net(5)], "band"),
    "whose mode is not": bend(account(8), "cross", -1),
    "is liquidatable by": bend(account(8), "free_e6", -(10**10)),
    "is liquidatable, but not due": bend(account(8), "free_e6", -(10**10)),
    # Its equity is 4997, its maintenance margin 40.02.
    "is due a margin call": bend(account(8), "free_e6", -4_950_000_000),
    "not due a call": bend(account(8), "free_e6", -4_950_000_000),
    "has left a band": bend(lambda: STATE["markets"][0], "mark_ticks", 10**6),
    "left over: ['stale_count']": bend(lambda: STATE, "stale_count"),
    "was left alone": bend(lambda: STATE["markets"][0], "ask_ticks", -20_000),
}


def test_the_scene_is_sound() -> None:
    """The state that the others bend breaks nothing, as it is and restored."""
    assert ENGINE.invariants() == []
    assert ENGINE.restored().invariants() == []


@pytest.mark.parametrize("sentence", BENDS)
def test_what_is_bent_is_noticed(sentence: str) -> None:
    """One number changed, and a sentence says so; changed back, and all is well again."""
    BENDS[sentence](0)
    try:
        found = ENGINE.invariants()
    finally:
        BENDS[sentence](1)
    assert any(sentence in line for line in found), found
    assert ENGINE.invariants() == []
