"""What the page makes of events is what the API says: after every step of a long walk, and against a fresh snapshot."""

import random
from collections.abc import Callable
from typing import Any

from tests.browser.caller import Caller
from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue

MARKETS = {"BTC_USDC_PERP": "0.002", "ETH_USDC_PERP": "0.05", "SOL_USDC_PERP": "1"}
SEED = 15
STEPS = 40
KEPT = ("account", "positions", "orders")


class Walk:
    """Draws instructions of all kinds for one account; many are refused, which is as good."""

    def __init__(self, caller: Caller, venue: Venue) -> None:
        """Prepare."""
        self.caller = caller
        self.venue = venue
        self.chance = random.Random(SEED)
        self.done: dict[str, int] = {}

    def step(self) -> None:
        """Send one instruction."""
        wishes: list[Callable[[], tuple[str, str, Any]]] = [
            self.order, self.order, self.limit, self.bracket, self.trade, self.close, self.cancel, self.amend,
            self.leverage, self.mode, self.margin, self.reverse, self.triggers, self.guards,
        ]  # fmt: skip
        wish = self.chance.choice(wishes)
        method, path, body = wish()
        answer = self.caller.call(method, f"/api/v1/{path}", body)
        assert answer.status < 500, answer
        self.done[wish.__name__] = self.done.get(wish.__name__, 0) + (answer.status == 200)

    def market(self) -> str:
        """Return a market."""
        return self.chance.choice(list(MARKETS))

    def side(self) -> str:
        """Return a side."""
        return self.chance.choice(("buy", "sell"))

    def one(self, name: str, key: str) -> Any:
        """Return the id of one of the account's own, 1 when it has none."""
        items = self.caller.items(f"/api/v1/account/{name}")
        return self.chance.choice(items)[key] if items else 1

    def order(self) -> tuple[str, str, Any]:
        """A market order."""
        market = self.market()
        return "POST", "trade/order", {"market": market, "side": self.side(), "qty": MARKETS[market]}

    def limit(self) -> tuple[str, str, Any]:
        """A limit order that rests."""
        market = self.market()
        body = {"market": market, "side": "buy", "kind": "limit", "qty": MARKETS[market]}
        return "POST", "trade/order", {**body, "price": self.venue.feed.away(market, -self.chance.randint(5, 40))}

    def bracket(self) -> tuple[str, str, Any]:
        """A market order with a take-profit and a stop-loss."""
        market, feed = self.market(), self.venue.feed
        legs = {"take_profit": feed.away(market, 30), "stop_loss": feed.away(market, -30)}
        return "POST", "trade/order", {"market": market, "side": "buy", "qty": MARKETS[market], **legs}

    def trade(self) -> tuple[str, str, Any]:
        """A ticket."""
        return "POST", "trade/create", {"market": self.market(), "side": self.side(), "margin": "20", "leverage": 5}

    def close(self) -> tuple[str, str, Any]:
        """A part of a position closed."""
        percent = self.chance.choice((25, 50, 100))
        return "POST", "trade/close", {"position_id": self.one("positions", "position_id"), "percent": percent}

    def cancel(self) -> tuple[str, str, Any]:
        """An order cancelled."""
        return "DELETE", f"trade/order/{self.one('orders', 'order_id')}", None

    def amend(self) -> tuple[str, str, Any]:
        """An order moved."""
        price = self.venue.feed.away("BTC_USDC_PERP", -self.chance.randint(5, 40))
        return "PATCH", f"trade/order/{self.one('orders', 'order_id')}", {"price": price}

    def leverage(self) -> tuple[str, str, Any]:
        """Another leverage."""
        return "POST", "trade/leverage", {"market": self.market(), "leverage": self.chance.randint(2, 20)}

    def mode(self) -> tuple[str, str, Any]:
        """Another margin mode."""
        return "POST", "trade/mode", {"market": self.market(), "mode": self.chance.choice(("cross", "isolated"))}

    def margin(self) -> tuple[str, str, Any]:
        """Margin put into a position, or taken out."""
        amount = self.chance.choice(("5", "-1"))
        return "POST", "trade/margin", {"position_id": self.one("positions", "position_id"), "amount": amount}

    def reverse(self) -> tuple[str, str, Any]:
        """A position turned round."""
        return "POST", "trade/reverse", {"position_id": self.one("positions", "position_id")}

    def triggers(self) -> tuple[str, str, Any]:
        """The TP of a position taken away."""
        body = {"position_id": self.one("positions", "position_id"), "take_profit": None}
        return "PUT", "trade/triggers", body

    def guards(self) -> tuple[str, str, Any]:
        """Another guard."""
        return "PUT", "account/guards", {"slippage_bps": self.chance.randint(50, 500)}


def test_events_make_what_the_api_shows(screens: Screens, venue: Venue, email: str) -> None:
    """After every instruction of a walk the page's orders, positions and money are those that the API answers."""
    caller = venue.program(email)
    screen, walk = screens(email), Walk(caller, venue)
    for number in range(STEPS):
        walk.step()
        if number % 4 == 3:
            screen.equals(caller)
    screen.equals(caller)
    assert sum(walk.done.values()) > STEPS // 3, walk.done
    before = {name: screen.store(name) for name in KEPT}
    screen.page.reload()
    screen.trading()
    screen.equals(caller)
    for name in KEPT:
        assert shape(screen.store(name)) == shape(before[name]), name


def shape(kept: dict[str, Any]) -> dict[str, Any]:
    """Return what a part of the state holds without the place of the message that told it."""
    if all(isinstance(row, dict) for row in kept.values()):
        return {name: shape(row) for name, row in kept.items()}
    return {name: value for name, value in kept.items() if name not in ("seq", "log_time_us")}
