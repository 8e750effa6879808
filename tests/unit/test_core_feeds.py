"""engine/core/prices.py and due.py: what the feed's counters say, and where time's borders lie."""

from typing import Any

import numpy as np
import orjson
import pytest

from engine.core.limits import PRICE_TICKS_MAX
from engine.library import Engine
from shared.codes import IgnoreReason
from tests.builders import BTC, opened

SECOND_US = 1_000_000


def row_of(engine: Engine, name: str) -> Any:
    """Return the header, or the first market's row of a table."""
    state = engine.states.view(np.ndarray)[0]
    return state[name] if name == "header" else state[name][0]


def quote_body(engine: Engine, **changes: Any) -> dict[str, Any]:
    """Return a good next quote of BTC with some keys changed."""
    engine._update_id += 1
    body = {"A": "1", "B": "2", "E": engine.ts_us, "T": engine.ts_us, "a": "60000.1", "b": "60000.0",
            "e": "bookTicker", "s": BTC, "u": engine._update_id}  # fmt: skip
    return {**body, **changes}


def mark_body(engine: Engine, price: str, **changes: Any) -> dict[str, Any]:
    """Return a mark frame of BTC with some keys changed."""
    body = {"E": engine.ts_us, "T": engine.ts_us, "e": "markPrice", "f": "0.0001", "i": price, "n": 0, "p": price,
            "s": BTC}  # fmt: skip
    return {**body, **changes}


def test_counters_count() -> None:
    """Each accepted quote, each off the grid, each mark and each update of an unknown market is counted once."""
    engine = opened()
    before = {name: int(row_of(engine, "feeds")[name]) for name in ("quotes_accepted", "quotes_off_grid")}
    engine.apply("price_update", quote_body(engine))
    engine.apply("price_update", quote_body(engine, b="59999.99"))
    engine.apply("price_update", quote_body(engine, s="NONE_USDC_PERP"))
    engine.apply("mark_update", mark_body(engine, "60000.0"), ts_us=engine.ts_us + 10)
    engine.apply("mark_update", mark_body(engine, "60000.0", s="NONE_USDC_PERP"))
    feed = row_of(engine, "feeds")
    assert int(feed["quotes_accepted"]) == before["quotes_accepted"] + 2
    assert int(feed["quotes_off_grid"]) == before["quotes_off_grid"] + 1
    assert int(feed["marks_accepted"]) == 1
    assert int(row_of(engine, "header")["feed_unknown_market"]) == 2


@pytest.mark.parametrize(
    ("bid", "ask", "ticks"),
    [
        ("59999.9", "60000.1", (599_999, 600_001)),
        ("59999.99", "60000.1", (599_999, 600_001)),
        ("59999.9", "60000.11", (599_999, 600_002)),
        ("59999.99", "60000.11", (599_999, 600_002)),
    ],
)
def test_a_quote_between_ticks_is_rounded_outward(bid: str, ask: str, ticks: tuple[int, int]) -> None:
    """A bid goes down and an ask up to the grid, each only if it lies off it."""
    engine = opened()
    engine.apply("price_update", quote_body(engine, b=bid, a=ask))
    market = row_of(engine, "markets")
    assert (int(market["bid_ticks"]), int(market["ask_ticks"])) == ticks


@pytest.mark.parametrize(("price", "accepted"), [("838860.7", 1), ("838860.8", 0)])
def test_a_mark_on_the_last_tick_of_the_window_counts(price: str, accepted: int) -> None:
    """The window's last tick is inside, the next one is not."""
    engine = Engine()
    engine.price(BTC, "838860.0", "838860.6")
    engine.apply("mark_update", mark_body(engine, price), ts_us=engine.ts_us + 10)
    assert int(row_of(engine, "feeds")["marks_accepted"]) == accepted
    assert (int(row_of(engine, "markets")["mark_ticks"]) == PRICE_TICKS_MAX) == bool(accepted)


@pytest.mark.parametrize(
    ("price", "ticks"), [("60000.05", 600_000), ("60000.0501", 600_001), ("59999.95", 599_999), ("60000.04", 600_000)]
)
def test_a_mark_is_the_nearest_tick_half_down(price: str, ticks: int) -> None:
    """A mark between two ticks is the nearer one, exactly between them the lower."""
    engine = opened()
    engine.apply("mark_update", mark_body(engine, price))
    market = row_of(engine, "markets")
    assert int(market["mark_ticks"]) == int(market["index_ticks"]) == ticks


@pytest.mark.parametrize(("ahead_us", "accepted"), [(5 * SECOND_US, True), (5 * SECOND_US + 1, False)])
def test_a_tick_five_seconds_ahead_needs_no_other(ahead_us: int, accepted: bool) -> None:
    """A tick five seconds ahead takes effect at once, a microsecond more waits until the next agrees with it."""
    engine = opened()
    before = int(row_of(engine, "header")["tick_time_us"])
    engine.apply_raw([(b"clock_tick", b"{}")], before + ahead_us)
    header = row_of(engine, "header")
    assert int(header["tick_time_us"]) == (before + ahead_us if accepted else before)
    assert int(header["tick_pending_us"]) == (0 if accepted else before + ahead_us)


@pytest.mark.parametrize(
    ("off_us", "agrees"), [(5 * SECOND_US, True), (-5 * SECOND_US, True), (5 * SECOND_US + 1, False)]
)
def test_a_jump_is_confirmed_by_a_tick_near_it(off_us: int, agrees: bool) -> None:
    """The tick after one that jumped takes effect when they lie within five seconds, and replaces it when not."""
    engine = opened()
    before = int(row_of(engine, "header")["tick_time_us"])
    jumped = before + 60 * SECOND_US
    for ts_us in (jumped, jumped + off_us):
        engine.apply_raw([(b"clock_tick", b"{}")], ts_us)
    header = row_of(engine, "header")
    assert int(header["tick_time_us"]) == (jumped + off_us if agrees else before)
    assert int(header["tick_pending_us"]) == (0 if agrees else jumped + off_us)


def test_log_time_runs_two_seconds_ahead_of_the_ticks_at_most() -> None:
    """An entry stamped far ahead moves log time to two seconds after the last tick and not one microsecond more."""
    engine = opened()
    tick_us = int(row_of(engine, "header")["tick_time_us"])
    for ahead_us, moved_us in ((SECOND_US, SECOND_US), (60 * SECOND_US, 2 * SECOND_US), (0, 2 * SECOND_US)):
        fields = [(b"session", b"library"), (b"price_update", orjson.dumps(quote_body(engine)))]
        engine.apply_raw(fields, tick_us + ahead_us)
        assert int(row_of(engine, "header")["log_time_us"]) == tick_us + moved_us
    engine.apply_raw([(b"user_instruction", b"{")], tick_us + SECOND_US)
    assert int(row_of(engine, "header")["log_time_us"]) == tick_us + 2 * SECOND_US


def ignored(engine: Engine, reason: IgnoreReason) -> int:
    """Return how many quotes of the first market were ignored for a reason."""
    return int(row_of(engine, "feeds")["quotes_ignored"][reason])


def quote_after(engine: Engine, wait_us: int, lag_us: int) -> None:
    """Apply a good quote a while later, which says that it was made so long before."""
    body = quote_body(engine)
    engine.apply("price_update", {**body, "E": engine.ts_us + wait_us - lag_us}, ts_us=engine.ts_us + wait_us)


@pytest.mark.parametrize("minute", range(10))
def test_the_smallest_lag_of_any_of_ten_minutes_is_the_yardstick(minute: int) -> None:
    """The one quick quote of ten minutes, in whichever of them, makes late what lags two seconds and a micro more."""
    engine = opened()
    minute_us = 60 * SECOND_US
    quote_after(engine, 25 * minute_us - engine.ts_us % minute_us, 9 * SECOND_US)
    quote_after(engine, (minute - engine.ts_us // minute_us) % 10 * minute_us + 10 * minute_us, 7 * SECOND_US)
    assert engine.ts_us // minute_us % 10 == minute and ignored(engine, IgnoreReason.LATE) == 0
    for late, (wait_us, lag_us) in enumerate([(minute_us, 9_000_000), (8 * minute_us, 9_000_001), (1, 9_000_001)]):
        quote_after(engine, wait_us, lag_us)
        assert ignored(engine, IgnoreReason.LATE) == late
    quote_after(engine, minute_us, 10_900_000)
    assert ignored(engine, IgnoreReason.LATE) == 2


@pytest.mark.parametrize(("source", "late"), [("library", 1), ("another", 0)])
def test_a_new_session_of_one_source_keeps_the_yardstick(source: str, late: int) -> None:
    """What is late after a feed came back is measured by what was quick before, unless it is another feed."""
    engine = opened()
    engine.apply("feed_status", {"status": "up", "source": source})
    quote_after(engine, SECOND_US, 2 * SECOND_US + 1)
    assert ignored(engine, IgnoreReason.LATE) == late


@pytest.mark.parametrize(("third", "spikes"), [(("70699.9", "70700.1"), 2), (("70699.9", "70700.2"), 3)])
def test_a_spike_is_confirmed_by_quotes_within_one_per_cent(third: tuple[str, str], spikes: int) -> None:
    """Three quotes a sixth above the last are believed when each is at most one per cent from the first of them."""
    engine = opened()
    for bid, ask in (("69999.9", "70000.1"), ("69999.9", "70000.1"), third):
        engine.apply("price_update", quote_body(engine, b=bid, a=ask))
    assert ignored(engine, IgnoreReason.SPIKE) == spikes
    assert int(row_of(engine, "markets")["bid_ticks"]) == (706_999 if spikes == 2 else 600_000)
