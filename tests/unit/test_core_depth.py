"""engine/core/depth.py: what the quote offers and costs, in closed form, against a list of every single lot."""

import random
from typing import NamedTuple

import numpy as np
import pytest

from engine.core import depth, kernel, state
from engine.core.limits import PRICE_TICKS_MAX
from shared.codes import Liquidity

ORDER_LOTS_MAX = 1_000
UNIT_E6 = 7
STATES = state.allocate()


class Quote(NamedTuple):
    """A market's quote and how it is sized."""

    bid: int
    ask: int
    bid_lots: int
    ask_lots: int
    levels: int
    liquidity: Liquidity = Liquidity.QUOTE_SIZED


@kernel.entry
def asked(states, sign, used, bound_ticks, wanted, money_e6):
    """Return every figure of one side."""
    market = states[0].markets[0]
    return (
        depth.touch_ticks(market, sign),
        depth.extreme_ticks(sign),
        depth.size_lots(market, sign),
        depth.level_last_ticks(market, sign),
        depth.quote_lots(market, sign, used, bound_ticks, wanted),
        depth.quote_cost_e6(market, sign, used, wanted),
        depth.quote_affordable_lots(market, sign, used, wanted, money_e6),
    )


@kernel.entry
def used_after(states, sign, lots):
    """Use lots of one side and return what is used on either."""
    market = states[0].markets[0]
    depth.used_add(market, sign, lots)
    return depth.used_lots(market, 1), depth.used_lots(market, -1)


def market_set(quote: Quote) -> None:
    """Write a quote into the first market."""
    row = STATES.view(np.ndarray)[0]["markets"][0]
    row["bid_ticks"], row["ask_ticks"] = quote.bid, quote.ask
    row["bid_lots"], row["ask_lots"] = quote.bid_lots, quote.ask_lots
    row["bid_used_lots"] = row["ask_used_lots"] = 0
    config = row["config"]
    config["liquidity"], config["depth_levels"] = quote.liquidity, quote.levels
    config["order_lots_max"], config["unit_e6"] = ORDER_LOTS_MAX, UNIT_E6


def prices_of(quote: Quote, sign: int) -> list[int]:
    """Return the price of every lot that one side offers, the touch first: level after level inside the window."""
    size = min(quote.ask_lots if sign > 0 else quote.bid_lots, ORDER_LOTS_MAX)
    touch = quote.ask if sign > 0 else quote.bid
    levels = [touch + sign * level * (quote.ask - quote.bid) for level in range(quote.levels)]
    return [price for price in levels if 1 <= price <= PRICE_TICKS_MAX for _ in range(size)]


def drawn(chance: random.Random) -> Quote:
    """Return a quote, now and then at an end of the window, with sizes from nothing to more than an order."""
    bid = chance.choice([1, 2, 50, 1_000, PRICE_TICKS_MAX - 9])
    ask = bid + chance.choice([1, 2, 5])
    sizes = [chance.choice([0, 1, 2, 3, 10, ORDER_LOTS_MAX + 1]) for _ in range(2)]
    return Quote(bid, ask, sizes[0], sizes[1], chance.choice([1, 2, 3, 6]))


@pytest.mark.parametrize("sign", [1, -1])
def test_levels_are_a_list_of_lots(sign: int) -> None:
    """Offer, cost and what an amount buys are those of the lots taken one by one from the touch outward."""
    chance = random.Random(sign)
    for _ in range(400):
        quote = drawn(chance)
        market_set(quote)
        prices = prices_of(quote, sign)
        used = chance.randint(0, min(len(prices), 12))
        touch = quote.ask if sign > 0 else quote.bid
        bound = min(PRICE_TICKS_MAX, max(1, touch + sign * chance.choice([-1, 0, 1, 2, 3, 5, 10, 1_000_000])))
        left = prices[used:]
        within = [price for price in left if sign * (bound - price) >= 0]
        wanted = chance.choice([1, 2, 5, 30])
        taken = left[: min(len(within), wanted)]
        cost = sum(taken) * UNIT_E6
        money = max(0, cost - chance.choice([0, 0, 1, UNIT_E6, cost // 2]))
        count = sum(sum(taken[: lots + 1]) * UNIT_E6 <= money for lots in range(len(taken)))
        figures = [int(figure) for figure in asked(STATES, sign, used, bound, len(taken), money)]
        assert figures[0] == touch and figures[1] == (PRICE_TICKS_MAX if sign > 0 else 1)
        assert figures[2] == min(quote.ask_lots if sign > 0 else quote.bid_lots, ORDER_LOTS_MAX)
        assert not prices or figures[3] == prices[-1]
        assert figures[4:] == [len(taken), cost, count]
        assert int(asked(STATES, sign, used, bound, wanted, money)[4]) == len(taken)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_plain_quote_offers_any_size_and_a_book_none(sign: int) -> None:
    """`quote` offers what is wanted at the touch, nothing short of it, `book` nothing; neither counts what is used."""
    touch = 101 if sign > 0 else 100
    for liquidity, offered in ((Liquidity.QUOTE, 10**6), (Liquidity.BOOK, 0)):
        market_set(Quote(100, 101, 1, 1, 1, liquidity))
        figures = asked(STATES, sign, 0, touch, 10**6, 50 * touch * UNIT_E6)
        assert int(figures[4]) == offered
        assert [int(figure) for figure in figures[5:]] == [10**6 * touch * UNIT_E6, 50]
        assert int(asked(STATES, sign, 0, touch - sign, 10**6, 0)[4]) == 0
        assert [int(lots) for lots in used_after(STATES, sign, 5)] == [0, 0]


def test_each_side_has_a_budget_of_its_own() -> None:
    """What a buy uses is the ask's, what a sell uses the bid's; both add up."""
    market_set(Quote(100, 101, 9, 9, 2))
    assert [int(lots) for lots in used_after(STATES, 1, 3)] == [3, 0]
    assert [int(lots) for lots in used_after(STATES, -1, 4)] == [3, 4]
    assert [int(lots) for lots in used_after(STATES, 1, 2)] == [5, 4]
