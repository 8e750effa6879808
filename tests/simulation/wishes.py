"""What a simulated account asks for next: seeded instructions of every kind, most of them possible."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway import schemas
from gateway.schemas import Operation
from tests.simulation.feed import LISTINGS, Listing, price_text

HELD_MAX = 5
QTYS = {"BTC_USDC_PERP": (5, 1e-5, 400), "ETH_USDC_PERP": (4, 1e-4, 900), "SOL_USDC_PERP": (2, 1e-2, 600)}


class Wish(NamedTuple):
    """One operation as it is sent."""

    operation: Operation
    body: dict[str, Any]


class Wisher:
    """One account's wishes; it knows what its answers told it, which may be out of date."""

    def __init__(self, chance: random.Random, prices: dict[str, int]) -> None:
        self.chance = chance
        self.prices = prices  # of the outside venue, in ticks
        self.positions: list[int] = []
        self.orders: list[int] = []
        self.count = 0

    def next(self) -> Wish:
        """Return the next wish."""
        self.count += 1
        crowded = len(self.positions) >= HELD_MAX
        weights: dict[Callable[[], Wish], int] = {
            self.market_order: 14,
            self.limit_order: 18,
            self.stop_order: 8,
            self.pair: 3,
            self.trade_create: 4 if crowded else 22,
            self.trade_close: 40 if crowded else 10,
            self.triggers_set: 8,
            self.order_amend: 4,
            self.order_cancel: 6,
            self.orders_cancel: 2,
            self.margin_change: 3,
            self.leverage_set: 2,
            self.deadman_set: 2,
            self.batch: 4,
            self.reverse: 1,
            self.close_all: 1,
            self.reset: 1,
        }
        return self.chance.choices(list(weights), list(weights.values()))[0]()

    def learn(self, body: dict[str, Any]) -> None:
        """Keep the ids that an accepted answer names."""
        if (position_id := body.get("position_id")) and position_id not in self.positions:
            self.positions.append(position_id)
        if order_id := body.get("order_id"):
            self.orders = [*self.orders[-20:], order_id]
        for closed in body.get("closed_positions", ()):
            if closed["position_id"] in self.positions:
                self.positions.remove(closed["position_id"])

    def listing(self) -> Listing:
        """Return a market."""
        return self.chance.choice(LISTINGS)

    def price(self, listing: Listing, share: float) -> str:
        """Return a price a share away from the present one."""
        return price_text(max(1, round(self.prices[listing.market] * (1 + share))), listing.decimals)

    def qty(self, listing: Listing) -> str:
        """Return a quantity on the lot."""
        decimals, lot, most = QTYS[listing.market]
        return f"{self.chance.randrange(1, most) * lot:.{decimals}f}"

    def side(self) -> tuple[str, int]:
        """Return a side and its sign."""
        return self.chance.choice((("buy", 1), ("sell", -1)))

    def position(self) -> int:
        """Return a position of ours, or nobody's."""
        return self.chance.choice(self.positions or [1])

    def order(self) -> int:
        """Return an order of ours, that may have ended already."""
        return self.chance.choice(self.orders or [1])

    def children(self, listing: Listing, sign: int) -> dict[str, Any]:
        """Return take-profit and stop-loss near enough to be met, sometimes only one, sometimes none."""
        found: dict[str, Any] = {}
        if self.chance.random() < 0.6:
            found["take_profit"] = self.price(listing, sign * self.chance.uniform(0.0005, 0.006))
        if self.chance.random() < 0.6:
            trigger = {"price_trigger": self.price(listing, -sign * self.chance.uniform(0.0005, 0.006))}
            if self.chance.random() < 0.3:
                trigger["trigger_by"] = "mark"
            found["stop_loss"] = trigger
        return found

    def market_order(self) -> Wish:
        """Buy or sell on the net position at once."""
        listing, (side, sign) = self.listing(), self.side()
        body = {"market": listing.market, "side": side, "qty": self.qty(listing)}
        if self.chance.random() < 0.3:
            body |= self.children(listing, sign)
        return Wish(schemas.ORDER_PLACE, body)

    def limit_order(self) -> Wish:
        """Place a limit order around the price: some take, some rest, some are filled later."""
        listing, (side, sign) = self.listing(), self.side()
        body: dict[str, Any] = {"market": listing.market, "side": side, "kind": "limit", "qty": self.qty(listing)}
        body["price"] = self.price(listing, -sign * self.chance.uniform(-0.0005, 0.004))
        body["tif"] = self.chance.choices(("GTC", "IOC", "FOK"), weights=(8, 1, 1))[0]
        if body["tif"] == "GTC" and self.chance.random() < 0.3:
            body |= self.children(listing, sign)
        if body["tif"] == "GTC" and self.chance.random() < 0.2:
            body["client_order_id"] = f"mine-{self.count}"
        return Wish(schemas.ORDER_PLACE, body)

    def stop_order(self) -> Wish:
        """Place an order that sleeps until its trigger is met, or trails."""
        listing, (side, sign) = self.listing(), self.side()
        kind = self.chance.choice(("stop_market", "take_profit_market", "trailing_stop"))
        body: dict[str, Any] = {"market": listing.market, "side": side, "kind": kind, "qty": self.qty(listing)}
        if kind == "trailing_stop":
            body["trail_ppm"] = self.chance.choice((500, 1_500, 4_000))
        else:
            away = sign if kind == "stop_market" else -sign
            body["price_trigger"] = self.price(listing, away * self.chance.uniform(0.0003, 0.003))
        return Wish(schemas.ORDER_PLACE, body)

    def pair(self) -> Wish:
        """Place two orders of which one ends the other."""
        listing, (side, sign) = self.listing(), self.side()
        leg = {"kind": "stop_market", "price_trigger": self.price(listing, sign * self.chance.uniform(0.0005, 0.004))}
        body = {"market": listing.market, "side": side, "kind": "limit", "qty": self.qty(listing)}
        body["price"] = self.price(listing, -sign * self.chance.uniform(0.0005, 0.003))
        return Wish(schemas.ORDER_PLACE, {**body, "oco": leg})

    def trade_create(self) -> Wish:
        """Open a ticket with leverage; the high ones are liquidated by a small move."""
        listing, (side, sign) = self.listing(), self.side()
        body: dict[str, Any] = {"market": listing.market, "side": side, "leverage": self.chance.choice((1, 5, 20, 50))}
        if self.chance.random() < 0.7:
            body["margin"] = f"{self.chance.uniform(5, 150):.2f}"
        else:
            body["qty"] = self.qty(listing)
        return Wish(schemas.TRADE_CREATE, body | self.children(listing, sign))

    def trade_close(self) -> Wish:
        """Close a position or a part of it."""
        body: dict[str, Any] = {"position_id": self.position()}
        if self.chance.random() < 0.4:
            body["percent"] = str(self.chance.choice((10, 25, 50, 75)))
        return Wish(schemas.TRADE_CLOSE, body)

    def triggers_set(self) -> Wish:
        """Set or remove SL and TP of a position; the direction is guessed."""
        body: dict[str, Any] = {"position_id": self.position()} | self.children(self.listing(), self.side()[1])
        if len(body) == 1 or self.chance.random() < 0.2:
            body["take_profit"] = None
        return Wish(schemas.TRIGGERS_SET, body)

    def order_amend(self) -> Wish:
        """Change the quantity of an order."""
        return Wish(schemas.ORDER_AMEND, {"order_id": self.order(), "qty": self.qty(self.listing())})

    def order_cancel(self) -> Wish:
        """Cancel an order."""
        return Wish(schemas.ORDER_CANCEL, {"order_id": self.order()})

    def orders_cancel(self) -> Wish:
        """Cancel all orders, or those of a market."""
        return Wish(schemas.ORDERS_CANCEL, {"market": self.listing().market} if self.chance.random() < 0.7 else {})

    def margin_change(self) -> Wish:
        """Give a position more margin, or take some."""
        amount = self.chance.choice(("1", "25.5", "-1", "-40"))
        return Wish(schemas.MARGIN_CHANGE, {"position_id": self.position(), "amount": amount})

    def leverage_set(self) -> Wish:
        """Set the leverage of a market."""
        return Wish(
            schemas.LEVERAGE_SET, {"market": self.listing().market, "leverage": self.chance.choice((2, 10, 50))}
        )

    def deadman_set(self) -> Wish:
        """Have the orders cancelled when nothing is heard of us, or no longer."""
        return Wish(schemas.DEADMAN_SET, {"timeout_ms": self.chance.choice((0, 5_000, 9_000, 60_000))})

    def batch(self) -> Wish:
        """Ask for several things at once."""
        wishes = [
            self.chance.choice((self.market_order, self.limit_order, self.order_cancel, self.trade_create))()
            for _ in range(self.chance.randrange(2, 6))
        ]
        return Wish(schemas.BATCH, {"commands": [{"op": wish.operation.op, **wish.body} for wish in wishes]})

    def reverse(self) -> Wish:
        """Turn a position round."""
        return Wish(schemas.POSITION_REVERSE, {"position_id": self.position()})

    def close_all(self) -> Wish:
        """Close everything."""
        return Wish(schemas.POSITIONS_CLOSE_ALL, {})

    def reset(self) -> Wish:
        """Begin anew."""
        return Wish(schemas.ACCOUNT_RESET, {})
