"""
Drive hftbacktest: one account against a replayed market depth; own orders never meet each other, so takers fill on it.

It has no stop orders: in the walk of quotes its resting orders are limits at the triggers' distances.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from driving import TICK, Rows, parts_run, report, specification, timed
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    EXCH_EVENT,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
from numba import njit

CANCEL = 2
FORGET = 1_000  # orders
STEP_NS = 1_000  # between quotes
END_NS = 2**60
DEPTH_LEVELS = 200
LOT = 0.00001
BOTH = EXCH_EVENT | LOCAL_EVENT
ALIVE: list[np.ndarray] = []  # the engine reads its feed where it lies


@njit
def operations_run(engine, rows, now):
    """Submit and cancel each row, and let the answer arrive."""
    for index in range(len(rows)):
        kind, order_id, side, price, lots = rows[index]
        if kind == CANCEL:
            engine.cancel(0, order_id, False)
        elif side > 0:
            engine.submit_buy_order(0, order_id, price * TICK, lots * LOT, GTC, LIMIT, False)
        else:
            engine.submit_sell_order(0, order_id, price * TICK, lots * LOT, GTC, LIMIT, False)
        assert engine.elapse(now) == 0


@njit
def quotes_run(engine, count):
    """Let `count` quotes arrive, one by one; returns the sum of the best bids seen."""
    total = 0
    depth = engine.depth(0)
    for _ in range(count):
        assert engine.elapse(STEP_NS) == 0
        total += depth.best_bid_tick
    return total


def events_of(rows: list[tuple[int, int, float, float]]) -> np.ndarray:
    """Return feed events from (flags, time, price in ticks, quantity)."""
    events = np.zeros(len(rows), event_dtype)
    for index, (flags, time_ns, price, quantity) in enumerate(rows):
        events[index] = (flags | BOTH, time_ns, time_ns, price * TICK, quantity, 0, 0, 0.0)
    ALIVE.append(events)
    return events


def market(data: dict[str, Any], walk: list[int]) -> Any:
    """Return a backtest whose market is one tick each side of the middle, then walks."""
    middle = data["middle_ticks"]
    start = []
    for level in range(1, DEPTH_LEVELS):
        start.append((DEPTH_SNAPSHOT_EVENT | BUY_EVENT, 1, middle - level, 1000.0))
        start.append((DEPTH_SNAPSHOT_EVENT | SELL_EVENT, 1, middle + level, 1000.0))
    feed = [(DEPTH_EVENT | BUY_EVENT, 2, middle - 1, 1000.0)]
    best = middle - 1
    for index, bid in enumerate(walk):
        when = 10 + index * STEP_NS
        # The levels behind stand all the time: a step takes one away and gives one.
        if bid > best:
            feed.append((DEPTH_EVENT | SELL_EVENT, when, best + 2, 0.0))
            feed.append((DEPTH_EVENT | BUY_EVENT, when, bid, 1000.0))
        elif bid < best:
            feed.append((DEPTH_EVENT | BUY_EVENT, when, best, 0.0))
            feed.append((DEPTH_EVENT | SELL_EVENT, when, bid + 2, 1000.0))
        best = bid
    feed.append((DEPTH_EVENT | BUY_EVENT, END_NS, middle - DEPTH_LEVELS + 1, 1000.0))
    asset = (
        BacktestAsset()
        .initial_snapshot(events_of(start))
        .data(events_of(feed))
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0002, 0.0005)
        .tick_size(TICK)
        .lot_size(LOT)
        .roi_lb(0.0)
        .roi_ub(2 * middle * TICK)
        .last_trades_capacity(0)
    )
    engine = ROIVectorMarketDepthBacktest([asset])
    engine.elapse(5)
    return engine


class TradeTally:
    """Reads what the engine itself counts; each of its trades is a taker's."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    @property
    def fills(self) -> int:
        """Return the engine's trades."""
        return int(self._engine.state_values(0).num_trades)

    @property
    def lots(self) -> int:
        """Return the lots of the engine's trades."""
        return round(self._engine.state_values(0).trading_volume / LOT)


def prepare(data: dict[str, Any]) -> tuple[TradeTally, Callable[[Rows], None]]:
    """Return a loaded book's tally and what runs rows upon it."""
    engine = market(data, [])
    tally = TradeTally(engine)

    forget_after = max(FORGET, len(data["load"]))
    since = 0

    def run(rows: Rows) -> None:
        nonlocal since
        for at in range(0, len(rows), FORGET):
            operations_run(engine, rows[at : at + FORGET], 1)
            since += FORGET
            if since >= forget_after:
                # What has ended stays in its tables, and slows every order down, until it is told to forget.
                engine.clear_inactive_orders(0)
                since = 0

    run(np.asarray(data["load"], np.int64).reshape(-1, 5))
    return tally, run


def ticks(data: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of the walk of quotes past resting limits."""
    engine = market(data, data["quotes"])
    rows = [(1, index + 1, -side, price, 2) for index, (side, price) in enumerate(data["triggers"])]
    operations_run(engine, np.asarray(rows, np.int64), 1)
    quotes_run(engine, 0)
    figures = timed(data["quotes"], data["seconds_max"], lambda part: quotes_run(engine, len(part)))
    return figures | {"fired": int(engine.state_values(0).num_trades), "resting": len(rows)}


if __name__ == "__main__":
    given = specification()
    given["parts"] = {name: np.asarray(rows, np.int64) for name, rows in given["parts"].items()}
    report("hftbacktest", parts=parts_run(given, prepare, chunk=FORGET), ticks=ticks(given))
