"""engine/core/trailing.py and trail_tree.py: sound after every call, few nodes touched, nothing fires that cannot."""

import random

import numpy as np
import pytest

from engine.core import kernel, trail_tree
from engine.core.limits import PPM, PRICE_TICKS_MAX
from shared.codes import Side, TriggerBy
from tests.trailing_market import TrailingMarket

MANY = 20_000 if kernel.JIT else 400
CENTRE = 100_000


def prices(bid: int, ask: int = 0, mark: int = 0, index: int = 0) -> dict[str, int]:
    """Return prices, all but the bid absent by default; an absent ask stands for no price."""
    return {"bid_ticks": bid, "ask_ticks": ask, "mark_ticks": mark, "index_ticks": index}


def sell(market: TrailingMarket, row: int, peak: int, ticks: int = 500, ppm: int = 0) -> None:
    """Let a sell by quote trail."""
    market.insert(row, row, Side.SELL, TriggerBy.QUOTE, ticks, ppm, peak)


def filled(count: int, step: int) -> TrailingMarket:
    """Return a market with so many sells by quote, whose peaks fall by one tick every `step` orders."""
    market = TrailingMarket()
    chance = random.Random(count)
    for row in range(1, count + 1):
        bid = CENTRE - (row - 1) // step
        if (row - 1) % step == 0:
            market.follow(prices(bid))
        ticks, ppm = (chance.randrange(40_000, 50_000), 0) if row % 2 else (0, chance.randrange(400_000, 500_000))
        sell(market, row, bid, ticks, ppm)
    return market


def touched(market: TrailingMarket, count: int, before: np.ndarray) -> int:
    """Return how many nodes differ from a copy made before."""
    return int((market.plain["trail_nodes"][: count + 1] != before).sum())


def assert_sound(market: TrailingMarket, set_number: int = 0) -> int:
    """Check every link and every sum of a set's treap, and return its depth."""
    nodes, trail_set = market.plain["trail_nodes"], market.plain["trail_sets"][set_number]
    seen: list[int] = []
    deepest = 0

    def walk(row: int, parent: int, pending: int, depth: int) -> tuple[int, int, int]:
        nonlocal deepest
        if row == 0:
            return trail_tree.OFFSET_NONE, trail_tree.OFFSET_NONE, trail_tree.HEIGHT_NEVER
        node = nodes[row]
        deepest = max(deepest, depth)
        assert node["parent"] == parent and (parent == 0 or node["weight"] >= nodes[parent]["weight"])
        passed = pending or int(node["pending"])
        left = walk(int(node["left"]), row, passed, depth + 1)
        peak = pending or int(node["peak"])
        ticks, ppm = int(node["offset_ticks"]), int(node["offset_ppm"])
        own = peak - ticks if ticks != trail_tree.OFFSET_NONE else peak + -abs(peak) * ppm // PPM
        seen.append(peak)
        right = walk(int(node["right"]), row, passed, depth + 1)
        found = min(ticks, left[0], right[0]), min(ppm, left[1], right[1]), max(own, left[2], right[2])
        assert (node["ticks_low"], node["ppm_low"]) == found[:2] and (pending or node["best"] == found[2])
        return found

    best = walk(int(trail_set["root"]), 0, 0, 1)[2]
    assert trail_set["best"] == best and trail_set["count"] == len(seen)
    assert seen == sorted(seen, reverse=True)
    assert not seen or (trail_set["low"], trail_set["high"]) == (seen[-1], seen[0])
    none = nodes[0]
    assert not any(none[name] for name in ("left", "right", "parent", "peak", "pending", "stale"))
    return deepest


@pytest.mark.parametrize("seed", range(3))
def test_the_treap_is_sound_after_every_call(seed: int) -> None:
    """Through random calls every link, smallest offset and best trigger is what a walk of the whole finds."""
    chance = random.Random(seed)
    market, bid = TrailingMarket(), CENTRE
    held: set[int] = set()
    for _ in range(400 if kernel.JIT else 120):
        row, drawn = chance.randrange(1, 60), chance.random()
        if row in held and drawn < 0.5:
            market.remove(row)
            held.remove(row)
        elif row not in held and drawn < 0.6:
            ticks, ppm = (chance.randrange(1, 80), 0) if chance.random() < 0.5 else (0, chance.randrange(1, 800))
            sell(market, row, bid, ticks, ppm)
            held.add(row)
        elif drawn < 0.95:
            bid += chance.randrange(-9, 10)
            market.follow(prices(bid))
            held -= set(market.release())
        else:
            market.write_back()
            assert not market.plain["trail_nodes"]["stale"][sorted(held)].any()
        assert assert_sound(market) <= 25


@pytest.mark.parametrize("step", [1, 7, MANY])
def test_no_call_touches_more_than_a_few_nodes(step: int) -> None:
    """With one peak a stop, a few, or one for all, a rise, an insert and a cancel each change a few nodes of many."""
    market = filled(MANY, step)
    depth = assert_sound(market)
    assert depth <= 60
    chance = random.Random(step)
    bid = CENTRE - (MANY - 1) // step
    for turn in range(60):
        nodes = market.plain["trail_nodes"]
        before = nodes[: MANY + 1].copy()
        bid += 1 + turn * MANY // step // 3_000
        market.follow(prices(bid))
        assert touched(market, MANY, before) <= 3 * depth
        row = chance.randrange(1, MANY + 1)
        before = nodes[: MANY + 1].copy()
        market.remove(row)
        assert touched(market, MANY, before) <= 5 * depth
        before = nodes[: MANY + 1].copy()
        sell(market, row, bid, 45_000)
        assert touched(market, MANY, before) <= 3 * depth
    assert_sound(market)


def test_a_rise_of_one_group_changes_one_node() -> None:
    """When all share one peak, a new extreme is noted at the top alone; a lower or an equal price changes nothing."""
    market = filled(MANY, MANY)
    market.follow(prices(CENTRE + 1))
    before = market.plain["trail_nodes"][: MANY + 1].copy()
    market.follow(prices(CENTRE + 2))
    assert touched(market, MANY, before) == 1
    before = market.plain["trail_nodes"][: MANY + 1].copy()
    for bid in (CENTRE + 2, CENTRE, CENTRE + 1):
        market.follow(prices(bid))
        assert not market.fires()
    assert touched(market, MANY, before) == 0


def test_only_what_changed_is_written_back() -> None:
    """A rise past the last stops leaves the rows of the others as they are, whatever those show."""
    market = filled(200, 10)
    market.write_back()
    market.follow(prices(CENTRE - 15))
    market.peaks()[1:151] = -1
    market.write_back()
    assert (market.peaks()[1:151] == -1).sum() >= 100
    assert (market.peaks()[151:201] == CENTRE - 15).all()


def test_what_begins_to_trail_is_not_written_back() -> None:
    """The row of an order shows its peak when it begins, also in the place of one whose peak had moved."""
    market = TrailingMarket()
    sell(market, 1, CENTRE)
    market.follow(prices(CENTRE + 1))
    market.remove(1)
    assert market.peaks()[1] == CENTRE + 1
    sell(market, 1, CENTRE + 1)
    market.peaks()[1] = -1
    market.write_back()
    assert market.peaks()[1] == -1
    market.follow(prices(CENTRE + 2))
    market.write_back()
    assert market.peaks()[1] == CENTRE + 2


def test_many_fire_at_once() -> None:
    """A fall past every trigger releases all in one call, each with its peak and its trigger."""
    count = 4_200 if kernel.JIT else 60
    market = filled(count, 50)
    peaks = [CENTRE - (row - 1) // 50 for row in range(1, count + 1)]
    market.follow(prices(1_000))
    released = market.release()
    assert [released[row][0] for row in range(1, count + 1)] == peaks
    assert market.quiet()


def test_released_orders_leave_by_trigger_price_and_then_by_id() -> None:
    """Released sells stand in the ladder of stops by quote: the highest trigger first, ties by the order's id."""
    market, chance = TrailingMarket(), random.Random(5)
    expected = []
    for row in range(1, 60):
        bid = CENTRE - row // 9
        market.follow(prices(bid))
        trigger = CENTRE - 100 - chance.randrange(4)
        ticks, order_id = bid - trigger, 1_000 + chance.randrange(100) * 60 + row
        market.insert(row, order_id, Side.SELL, TriggerBy.QUOTE, ticks, 0, bid)
        expected.append((-trigger, order_id))
    market.follow(prices(CENTRE - 200))
    assert market.release_in_order() == [order_id for _, order_id in sorted(expected)]


def test_a_trigger_outside_the_window_never_fires() -> None:
    """A sell whose trigger is below 1 and a buy whose trigger is beyond the window stay at every price."""
    market = TrailingMarket()
    market.follow(prices(10, 11))
    sell(market, 1, 10, 10)
    sell(market, 2, 10, PRICE_TICKS_MAX)
    sell(market, 3, 10, 0, 999_999)
    market.insert(4, 4, Side.BUY, TriggerBy.QUOTE, PRICE_TICKS_MAX, 0, 11)
    market.insert(5, 5, Side.BUY, TriggerBy.QUOTE, PRICE_TICKS_MAX - 10, 0, 11)
    market.follow(prices(1, PRICE_TICKS_MAX))
    assert not market.fires() and market.release() == {}
    market.follow(prices(PRICE_TICKS_MAX - 1, PRICE_TICKS_MAX))
    market.follow(prices(1, PRICE_TICKS_MAX))
    assert sorted(market.release()) == [1, 3]


def test_a_source_without_a_price_moves_and_fires_nothing() -> None:
    """Prices of zero leave the sets of that source alone."""
    market = TrailingMarket()
    market.follow(prices(100, 101, 100, 100))
    for row, by in enumerate(TriggerBy, 0):
        if by != TriggerBy.NONE:
            market.insert(row, row, Side.BUY, by, 0, 1, 101 if by == TriggerBy.QUOTE else 100)
    market.follow(prices(0))
    assert not market.fires()
    market.follow(prices(0, 0, 103))
    assert market.fires() and sorted(market.release()) == [TriggerBy.MARK]
    assert market.peak(TriggerBy.INDEX) == 100


def test_a_peak_better_than_those_before_is_the_callers_bug() -> None:
    """An order that claims to have seen more than those before it is not taken."""
    market = TrailingMarket()
    market.follow(prices(100))
    sell(market, 1, 100)
    with pytest.raises(AssertionError):
        sell(market, 2, 101)
