"""What an account wishes for next: seeded random instructions of every kind, most of them possible."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

MARKET = "BTC_USDC_PERP"
MARKET_SILENT = "SOL_USDC_PERP"  # no quote of it is ever recorded
HELD_MAX = 6


class Wish(NamedTuple):
    """One request as it is sent, and as often as it is sent."""

    op: str
    method: str
    path: str
    body: dict[str, Any] | None


class Wisher:
    """One account's wishes; it knows what its answers told it, which may be out of date."""

    def __init__(self, chance: random.Random, price: Callable[[], float]) -> None:
        self.chance = chance
        self.price = price
        self.positions: list[int] = []
        self.orders: list[int] = []
        self.count = 0

    def next(self) -> Wish:
        """Return the next wish."""
        self.count += 1
        weights = {
            self.market_order: 20,
            self.limit_order: 22,
            self.trade_create: 25 if len(self.positions) < HELD_MAX else 3,
            self.trade_close: 14 if len(self.positions) < HELD_MAX else 50,
            self.triggers_set: 10,
            self.order_cancel: 7,
            self.orders_cancel: 2,
        }
        kinds = list(weights)
        kind = self.chance.choices(kinds, weights=[weights[kind] for kind in kinds])[0]
        return kind()

    def learn(self, body: dict[str, Any]) -> None:
        """Keep the ids that an accepted answer names."""
        if (position_id := body.get("position_id")) and position_id not in self.positions:
            self.positions.append(position_id)
        if order_id := body.get("order_id"):
            self.orders = [*self.orders[-20:], order_id]
        for closed in body.get("closed_positions", ()):
            if closed["position_id"] in self.positions:
                self.positions.remove(closed["position_id"])

    def side(self) -> tuple[str, int]:
        """Return a side and its sign."""
        return self.chance.choice((("buy", 1), ("sell", -1)))

    def text(self, price: float, share: float = 0.0) -> str:
        """Return a price on the tick, a share away from the one given."""
        return f"{price * (1 + share):.1f}"

    def children(self, price: float, sign: int) -> dict[str, Any]:
        """Return take-profit and stop-loss near enough to be met, sometimes only one, sometimes none."""
        found: dict[str, Any] = {}
        if self.chance.random() < 0.7:
            found["take_profit"] = self.text(price, sign * self.chance.uniform(0.0003, 0.003))
        if self.chance.random() < 0.7:
            trigger = {"price_trigger": self.text(price, -sign * self.chance.uniform(0.0003, 0.003))}
            if self.chance.random() < 0.3:
                trigger["trigger_by"] = "mark"
            found["stop_loss"] = trigger
        return found

    def market(self) -> str:
        """Return the market, once in a while one that is never fresh."""
        return MARKET if self.chance.random() < 0.97 else MARKET_SILENT

    def qty(self) -> str:
        """Return a quantity on the lot."""
        return f"{self.chance.uniform(0.0001, 0.01):.5f}"

    def market_order(self) -> Wish:
        """Buy or sell on the net position at once."""
        side, sign = self.side()
        body = {"market": self.market(), "side": side, "qty": self.qty()}
        if self.chance.random() < 0.3:
            body |= self.children(self.price(), sign)
        return Wish("order_place", "POST", "/api/v1/trade/order", body)

    def limit_order(self) -> Wish:
        """Place a limit order around the price: some take, some rest, some are filled later."""
        side, sign = self.side()
        price = self.price()
        body = {"market": MARKET, "side": side, "kind": "limit", "qty": self.qty()}
        body["price"] = self.text(price, -sign * self.chance.uniform(-0.0003, 0.0015))
        body["tif"] = self.chance.choices(("GTC", "IOC", "FOK"), weights=(8, 1, 1))[0]
        if body["tif"] == "GTC":
            if self.chance.random() < 0.2:
                body["post_only"] = True  # type: ignore[assignment]
            if self.chance.random() < 0.3:
                body |= self.children(price, sign)
            if self.chance.random() < 0.2:
                body["client_order_id"] = f"mine-{self.count}"
        return Wish("order_place", "POST", "/api/v1/trade/order", body)

    def trade_create(self) -> Wish:
        """Open a ticket with leverage; the high ones are liquidated by a small move."""
        side, sign = self.side()
        body: dict[str, Any] = {"market": self.market(), "side": side, "leverage": self.chance.choice((1, 5, 20, 50))}
        if self.chance.random() < 0.7:
            body["margin"] = f"{self.chance.uniform(5, 150):.2f}"
        else:
            body["qty"] = self.qty()
        return Wish("trade_create", "POST", "/api/v1/trade/create", body | self.children(self.price(), sign))

    def trade_close(self) -> Wish:
        """Close a position or a part of it."""
        body: dict[str, Any] = {"position_id": self.chance.choice(self.positions or [1])}
        if self.chance.random() < 0.4:
            body["percent"] = str(self.chance.choice((10, 25, 50, 75)))
        return Wish("trade_close", "POST", "/api/v1/trade/close", body)

    def triggers_set(self) -> Wish:
        """Set or remove SL and TP of a position; the direction is guessed."""
        _, sign = self.side()
        body: dict[str, Any] = {"position_id": self.chance.choice(self.positions or [1])}
        body |= self.children(self.price(), sign)
        if self.chance.random() < 0.3:
            body["take_profit"] = None
        if len(body) == 1:
            body["stop_loss"] = None
        return Wish("position_triggers_set", "PUT", "/api/v1/trade/triggers", body)

    def order_cancel(self) -> Wish:
        """Cancel an order of ours, that may have ended already."""
        order_id = self.chance.choice(self.orders or [1])
        return Wish("order_cancel", "DELETE", f"/api/v1/trade/order/{order_id}", None)

    def orders_cancel(self) -> Wish:
        """Cancel all orders, or those of the market."""
        query = self.chance.choice(("", f"?market={MARKET}"))
        return Wish("orders_cancel", "DELETE", f"/api/v1/trade/orders{query}", None)
