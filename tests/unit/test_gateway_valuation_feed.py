"""gateway/socket/valuation_feed.py alone: how often it looks, values and tells, over views that a test moves."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.markets import Markets
from gateway.ring import Audience
from gateway.socket.valuation_feed import PERIOD_S, ValuationFeed, newest_name
from gateway.views import account_view
from tests.gateway_doubles import GENESIS, MARKET, eventually
from tests.gateway_images import position_changed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


class Takes:
    """Somebody who keeps every frame that it is given."""

    def __init__(self) -> None:
        """Start with none."""
        self.frames: list[bytes] = []

    def put_newest(self, name: str, frame: bytes) -> None:
        """Keep a frame of the one account."""
        assert name == newest_name(100)
        self.frames.append(frame)


class ViewsToy:
    """One account with one position, and its market; counts how often each is asked for."""

    def __init__(self, mark: str, moving: bool = False) -> None:
        """Begin with a mark that may move with each look."""
        self.mark = mark
        self.asked = {"account": 0, "market": 0}
        self.audience = Audience()
        self.markets = Markets()
        self._moving = moving

    def feed(self, monotonic_s: Callable[[], float] = time.monotonic, known: bool = True) -> ValuationFeed:
        """Return a feed over it, to which the market is known or not."""
        if known:
            self.markets.genesis(GENESIS)
        return ValuationFeed(self, self.markets, self.audience, monotonic_s)  # type: ignore[arg-type]

    async def account(self, account_id: int) -> Any:
        """Return the account's view."""
        self.asked["account"] += 1
        position = {name: each for name, each in position_changed(account_id, MARKET, 7).items() if name != "e"}
        money = {"free": "4000.000000", "reserved": "0.000000"}
        fields = {"account": orjson.dumps(money).decode(), "position:7": orjson.dumps(position).decode()}
        return account_view(fields, 5, None)

    async def market(self, market: str) -> dict[str, str]:
        """Return the market's view."""
        assert market == MARKET
        self.asked["market"] += 1
        mark = f"{61_000 + self.asked['market']}.0" if self._moving else self.mark
        return {"mark": mark, "seq": str(self.asked["market"])}


async def test_once_for_all_who_follow() -> None:
    """An account's view is read once for each change, however many follow it, and all get the same bytes."""
    views = ViewsToy("61000.0")
    feed = views.feed()
    takers = [Takes() for _ in range(3)]
    work = asyncio.ensure_future(feed.run())
    for taker in takers:
        await feed.add(taker, 100)
    assert [taker.frames for taker in takers] == [takers[0].frames] * 3 and len(takers[0].frames) == 1
    assert (views.asked, len(feed)) == ({"account": 1, "market": 1}, 1)
    views.mark = "62000.0"
    await eventually(lambda: all(len(taker.frames) == 2 for taker in takers))
    assert {taker.frames[1] for taker in takers} == {takers[0].frames[1]}
    assert views.asked["account"] == 1, "no event touched the account"
    [heard] = views.audience.everybody()
    heard.cut((9, 0))
    await eventually(lambda: views.asked["account"] == 2)
    assert [len(taker.frames) for taker in takers] == [2, 2, 2], "nothing is another"
    work.cancel()


async def test_nobody_costs_nothing() -> None:
    """While nobody follows, nothing is read; when the last one is gone that is so again, and nothing is kept."""
    views = ViewsToy("61000.0")
    feed = views.feed()
    taker = Takes()
    work = asyncio.ensure_future(feed.run())
    await asyncio.sleep(PERIOD_S * 1.2)
    assert views.asked == {"account": 0, "market": 0}
    await feed.add(taker, 100)
    await eventually(lambda: views.asked["market"] >= 3)
    feed.remove(taker, 100)
    feed.remove(taker, 100)
    assert (len(feed), views.audience.everybody()) == (0, [])
    await asyncio.sleep(PERIOD_S * 1.2)  # a round may be under way
    asked = dict(views.asked)
    await asyncio.sleep(PERIOD_S * 1.5)
    assert views.asked == asked
    work.cancel()


async def test_at_most_twice_a_second() -> None:
    """A mark that moves all the time is told after each period, not more often, and nothing is read beside it."""
    views = ViewsToy("61000.0", moving=True)
    feed = views.feed()
    taker = Takes()
    work = asyncio.ensure_future(feed.run())
    await feed.add(taker, 100)
    taker.frames.clear()
    await asyncio.sleep(2.2)
    assert 3 <= len(taker.frames) <= 5
    work.cancel()


async def test_a_view_is_read_again_now_and_then() -> None:
    """Ten seconds after it was read a view is read again, whatever was heard of the account."""
    views = ViewsToy("61000.0")
    passed_s = [0.0]
    feed = views.feed(lambda: time.monotonic() + passed_s[0])
    work = asyncio.ensure_future(feed.run())
    await feed.add(Takes(), 100)
    await eventually(lambda: views.asked["market"] >= 3)
    assert views.asked["account"] == 1
    passed_s[0] = 11.0
    await eventually(lambda: views.asked["account"] == 2)
    work.cancel()


async def test_a_market_that_is_not_known_yet_is_waited_for() -> None:
    """A position in a market whose configuration this gateway has not heard of is not valued, and nothing breaks."""
    views = ViewsToy("61000.0")
    feed = views.feed(known=False)
    taker = Takes()
    work = asyncio.ensure_future(feed.run())
    await feed.add(taker, 100)
    await eventually(lambda: views.asked["market"] >= 3)
    assert taker.frames == []
    views.markets.genesis(GENESIS)
    await eventually(lambda: len(taker.frames) == 1)
    work.cancel()
