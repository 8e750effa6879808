"""
What accounts are worth at the marks of now, for those who follow them.

Twice a second the marks are read once for all, and each account that is followed is valued once for all its sockets,
where its own view or a price of its markets has changed. When an event touches it, its view is read again and its worth
told at once, if it was not told twice within the last second. Nobody follows: nothing is done.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from gateway.answers import ENVIRONMENT
from gateway.errors import Refusal
from gateway.markets import Markets
from gateway.ring import Audience, Held, Position
from gateway.socket.channels import VALUATION
from gateway.socket.market_feed import Taker
from gateway.socket.messages import Update
from gateway.socket.session import encode
from gateway.views import AccountView, Views
from gateway.worth import account_body, positions_body, terms_by_market, valued_of
from shared.streams import StreamsError

PERIOD_S = 0.5
TOLD_AT_MOST = 2  # times, within
WITHIN_S = 0.95
AGAIN_S = 10.0  # a view is read again after so long, whatever was heard
VIEWS_AT_ONCE = 16
VALUED_AT_ONCE = 16  # accounts, before others have their turn
# What a view that is not as we know it comes to: nobody else shall suffer for it.
UNREADABLE = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
PRICES = ("mark", "adl_long", "adl_short")  # what of a market's view a valuation depends on

Priced = Mapping[str, Mapping[str, str]]


def newest_name(account: int) -> str:
    """Return under which name an account's worth waits to be sent."""
    return f"{VALUATION}:{account}"


class Followed:
    """One account that somebody follows; it hears of the events that touch it."""

    def __init__(self, account: int, touched: Callable[["Followed"], None]) -> None:
        """Begin with nothing known; `touched` learns of what is heard."""
        self.account = account
        self._touched = touched
        self.told_s: deque[float] = deque(maxlen=TOLD_AT_MOST)
        self.takers: dict[Taker, None] = {}
        self.view: AccountView | None = None
        self.markets: set[str] = set()  # that it has positions in
        self.changed = True  # the view may be older than what is told
        self.read_s = 0.0
        self.basis: Any = None  # what the newest valuation was made of
        self.data: dict[str, Any] | None = None
        self.frame = b""

    def hear(self, _held: Held) -> None:
        """Note that something happened to the account."""
        self.changed = True
        self._touched(self)

    def cut(self, _told: Position) -> None:
        """Note that something may have."""
        self.changed = True
        self._touched(self)

    def may_be_told(self, now_s: float) -> bool:
        """Return whether its worth was not told too often of late."""
        return len(self.told_s) < TOLD_AT_MOST or now_s - self.told_s[0] >= WITHIN_S


class ValuationFeed:
    """Values the accounts that are followed and hands on what changed."""

    def __init__(self, views: Views, markets: Markets, audience: Audience, monotonic_s: Callable[[], float]) -> None:
        """Start with nobody."""
        self._views = views
        self._markets = markets
        self._audience = audience
        self._monotonic_s = monotonic_s
        self._followed: dict[int, Followed] = {}
        self._somebody = asyncio.Event()
        self._touched: dict[Followed, None] = {}  # since the last round
        self._heard = asyncio.Event()
        self._at_once = asyncio.Semaphore(VIEWS_AT_ONCE)

    def __len__(self) -> int:
        """Return how many accounts somebody follows."""
        return len(self._followed)

    async def add(self, taker: Taker, account: int) -> None:
        """Let somebody take an account's worth from now on, beginning with how it stands."""
        followed = self._followed.get(account)
        if followed is None:
            followed = self._followed[account] = Followed(account, self._touch)
            self._audience.add(followed, account, ())
        followed.takers[taker] = None
        if followed.frame:
            taker.put_newest(newest_name(account), followed.frame)
        else:
            await self._round([followed])
        if self._followed:
            self._somebody.set()

    def remove(self, taker: Taker, account: int) -> None:
        """Let somebody take it no more."""
        followed = self._followed.get(account)
        if followed is None:
            return
        followed.takers.pop(taker, None)
        if not followed.takers:
            del self._followed[account]
            self._audience.remove(followed, account, ())
        if not self._followed:
            self._somebody.clear()

    def _touch(self, followed: Followed) -> None:
        """Have an account valued soon."""
        self._touched[followed] = None
        self._heard.set()

    async def run(self) -> None:
        """Keep everybody informed."""
        while True:
            await self._somebody.wait()
            began_s = self._monotonic_s()
            await self._round(list(self._followed.values()))
            took_s = self._monotonic_s() - began_s
            # However many are followed: at most half of the time goes into them.
            await self._meanwhile(began_s + took_s + max(took_s, PERIOD_S - took_s))

    async def _meanwhile(self, until_s: float) -> None:
        """Tell the worth of those to whom something happens between two rounds."""
        while (left_s := until_s - self._monotonic_s()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._heard.wait()
            except TimeoutError:
                return
            self._heard.clear()
            touched, self._touched = self._touched, {}
            now_s = self._monotonic_s()
            await self._round([each for each in touched if each.takers and each.may_be_told(now_s)])

    async def _round(self, round_of: list[Followed]) -> None:
        """Read what these accounts need, and tell their worth where it has changed."""
        now_s = self._monotonic_s()
        old = [each for each in round_of if each.changed or now_s - each.read_s >= AGAIN_S]
        await asyncio.gather(*(self._view_read(each) for each in old))
        names = sorted(set().union(*(each.markets for each in round_of)))
        priced = dict(zip(names, await asyncio.gather(*map(self._prices_read, names)), strict=True))
        for number, each in enumerate(round_of):
            self._tell(each, priced)
            if number % VALUED_AT_ONCE == VALUED_AT_ONCE - 1:
                await asyncio.sleep(0)

    async def _view_read(self, followed: Followed) -> None:
        """Read an account's view; one that cannot be read, or lacks something, is read again."""
        async with self._at_once:
            followed.changed = False  # first: what is heard meanwhile counts again
            try:
                view = await self._views.account(followed.account)
                markets = {str(position["market"]) for position in view.positions}
            except (Refusal, StreamsError, *UNREADABLE):
                followed.changed = True
                return
        followed.read_s = self._monotonic_s()
        followed.changed = followed.changed or view.behind_seq is not None
        followed.view, followed.markets = view, markets

    async def _prices_read(self, market: str) -> dict[str, str]:
        """Return a market's prices, empty when they cannot be read."""
        try:
            view = await self._views.market(market)
        except (Refusal, StreamsError):
            return {}
        return {name: view[name] for name in PRICES if view.get(name)}

    def _tell(self, followed: Followed, priced: Priced) -> None:
        """Hand on an account's worth if it is another; while it cannot be valued, what was told stands."""
        view = followed.view
        if not followed.may_be_told(self._monotonic_s()):
            return
        prices = {name: priced.get(name, {}) for name in followed.markets}
        markets = [self._markets.one(name) for name in prices]
        if view is None or None in markets or not all("mark" in each for each in prices.values()):
            return
        if (view, prices, markets) == followed.basis:
            return
        followed.basis = view, prices, markets
        with contextlib.suppress(*UNREADABLE):
            self._told(followed, view, valuation_data(followed.account, view, self._markets, prices))

    def _told(self, followed: Followed, view: AccountView, data: dict[str, Any]) -> None:
        """Hand on an account's worth unless it was told last."""
        if data == followed.data:
            return
        followed.data = data
        followed.told_s.append(self._monotonic_s())
        followed.frame = encode(Update(channel=VALUATION, seq=str(view.seq), data=data))
        for taker in followed.takers:
            taker.put_newest(newest_name(followed.account), followed.frame)


def valuation_data(account: int, view: AccountView, markets: Markets, prices: Priced) -> dict[str, Any]:
    """Return an account and its positions as GET /account and GET /account/positions answer them."""
    valued = valued_of(view, terms_by_market(markets, view, prices))
    positions = positions_body(view, view.positions, valued.terms, valued.pool)
    return {"account": account_body(account, valued, ENVIRONMENT), "positions": positions}
