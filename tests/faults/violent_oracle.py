"""
Every liquidation of a violent day recomputed from what the events told before it, with Fractions and no engine code.

Whether it was due, at which price, the pnl and the fee of each of its fills, what is missing and who pays it.
"""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any

import orjson

from tests.faults.liquidation_oracle import E6, down, up
from tests.faults.price_walk import PriceWalk, million
from tests.faults.violent_told import Event, Told
from tests.property.entries import Entry

WINDOW_TICKS = 1 << 23
ROUNDED = 20_000  # an average price is told to half a ten-thousandth of a tick
OPENING = ("resting", "trigger", "delayed")


@dataclass
class Terms:
    """What the venue was founded with for one market, and its prices so far."""

    walk: PriceWalk
    used: dict[str, Fraction] = field(default_factory=lambda: {"buy": Fraction(0), "sell": Fraction(0)})
    sizes: dict[str, Fraction] = field(default_factory=dict)  # displayed to a taker of each side, in whole lots

    def __post_init__(self) -> None:
        """Read the parameters."""
        market = self.walk.market
        self.tick, self.lot = Fraction(market["tick"]), Fraction(market["lot"])
        self.liquidity = market["liquidity"]
        self.tiers, amount, before = [], Fraction(0), Fraction(0)
        self.floors = [Fraction(tier["floor"]) for tier in market["tiers"]]
        for tier in market["tiers"]:
            rate = million(tier["mmr_ppm"])
            amount += Fraction(tier["floor"]) * (rate - before)
            before = rate
            self.tiers.append((rate, amount))

    def touch(self, side: str) -> Fraction:
        """Return what a taker of a side pays or gets."""
        return self.walk.ask if side == "buy" else self.walk.bid

    def within(self, price: Fraction) -> Fraction:
        """Return a price inside the window of prices."""
        return min(max(price, self.tick), (WINDOW_TICKS - 1) * self.tick)

    def levels(self, side: str, qty: Fraction) -> Fraction:
        """Return what the next `qty` of the displayed levels cost; the last one has no end."""
        size, used, left, cost = self.sizes[side], self.used[side], qty, Fraction(0)
        spread = (self.walk.ask - self.walk.bid) * (1 if side == "buy" else -1)
        last = self.walk.market["depth_levels"] - 1
        while left:
            level = min(int(used / size), last) if size else last
            part = left if level == last else min(left, (level + 1) * size - used)
            cost += part * self.within(self.touch(side) + level * spread)
            used, left = used + part, left - part
        return cost


@dataclass
class Holding:
    """One position as it was told, in signed amounts."""

    qty: Fraction
    cost: Fraction
    margin: Fraction

    @classmethod
    def told(cls, event: Event) -> "Holding":
        """Return the position of a post-image."""
        return cls(Fraction(event["qty"]), Fraction(event["cost"]), Fraction(event["margin"]))

    def due(self, terms: Terms) -> bool:
        """Return whether its equity at mark is at or below its maintenance margin there."""
        mark = terms.walk.mark
        value = abs(self.qty) * mark
        maintenance = max(value * rate - amount for rate, amount in terms.tiers)
        return self.margin + self.qty * mark - self.cost <= maintenance

    def threshold(self, terms: Terms) -> Fraction | None:
        """Return the first price of the grid at which it is due, None outside the window."""
        sign = 1 if self.qty > 0 else -1
        found = [
            sign * (self.cost - self.margin - amount) / (abs(self.qty) * (1 - sign * rate) * terms.tick)
            for rate, amount in ((rate, amount) for rate, amount in terms.tiers)
        ]
        ticks = max(map(floor, found)) if sign > 0 else min(map(ceil, found))
        if (ticks <= 0) if sign > 0 else (ticks >= WINDOW_TICKS):
            return None
        return terms.within(ticks * terms.tick)

    def used_up(self, terms: Terms, fund: Fraction) -> Fraction:
        """Return the price at which its margin and a fund are used up, on the grid and inside the window."""
        exact = (self.cost - self.margin - fund) / self.qty / terms.tick
        return terms.within((ceil if self.qty > 0 else floor)(exact) * terms.tick)

    def stage(self, terms: Terms) -> Fraction:
        """Return how much a liquidation closes: down to the highest tier that leaves a sound rest, else all."""
        whole, mark = abs(self.qty), terms.walk.mark
        for at in reversed(terms.floors[1:]):
            kept = (at - 1 / E6) // (mark * terms.lot) * terms.lot
            if at > whole * mark:
                continue
            if kept == 0:
                break
            part = (whole - kept) / whole
            cost, released = up(self.cost * part), down(self.margin * part)
            rest = Holding(self.qty - self.qty * part, self.cost - cost, self.margin - released)
            if released + self.qty * part * mark - cost >= 0 and not rest.due(terms):
                return whole - kept
        return whole


@dataclass
class Closing:
    """One liquidation under way."""

    position_id: int
    terms: Terms
    held: Holding
    left: Fraction
    price: Fraction  # the worst to be taken from users
    bankruptcy: Fraction  # what those asked and the house get in a book
    missing: Fraction = Fraction(0)


class Oracle:
    """Follows the log and its events, and asserts what must be of every liquidation and of those left alone."""

    def __init__(self, first: dict[str, Any], told: Told) -> None:
        self.told = told
        self.terms = {market["market"]: Terms(PriceWalk(market)) for market in first["markets"]}
        self.insurance = Fraction(first["venue_set"]["insurance_balance"])
        self.closings: dict[int, Closing] = {}  # by order
        self.figures: Counter[str] = Counter()
        self.deficit_largest = Fraction(0)

    def entry(self, entry: Entry, events: list[Event]) -> None:
        """Take one entry of the log and its events, in order."""
        self.prices(entry)
        for number, event in enumerate(events):
            kind = event["e"]
            if kind == "liquidation":
                self.begun(event)
            elif kind == "fill":
                house = events[number + 1]["e"] == "trade" and (number == 0 or events[number - 1]["e"] != "fill")
                asks = any(one["e"] == "adl" for one in events[number + 1 : number + 4])
                self.filled(event, house, asks)
            elif kind == "deficit":
                self.paid(event)
            elif kind == "closed_position":
                self.ended(event)
            self.told.take(event)
            if kind == "closed_order":
                self.stopped(event)
        assert not self.closings, "a liquidation was not carried to its end"

    def prices(self, entry: Entry) -> None:
        """Move the prices of all markets, and forget what was used of a quote that another replaces."""
        body = entry.body
        for name, terms in self.terms.items():
            walk = terms.walk
            if entry.kind in ("genesis", "feed_status") or body.get("s") == name:
                fields = [(b"ts", b"%d" % entry.ts_us), (b"session", entry.session.encode())]
                accepted = walk.entry([*fields, (entry.kind.encode(), orjson.dumps(body))])
                if accepted and entry.kind == "price_update":
                    sizes = {"buy": body["A"], "sell": body["B"]}
                    terms.sizes = {side: Fraction(size) // terms.lot * terms.lot for side, size in sizes.items()}
                    terms.used = {"buy": Fraction(0), "sell": Fraction(0)}
            else:
                walk.time_move(entry.kind, entry.ts_us)

    # --- one liquidation ---------------------------------------------------------------------------------------------

    def begun(self, event: Event) -> None:
        """Assert that a liquidation is due, of as much as must be, at the mark and at the price that must be."""
        terms, image = self.terms[event["market"]], self.told.positions[event["position_id"]]
        held, walk = Holding.told(image), terms.walk
        side = "sell" if held.qty > 0 else "buy"
        assert walk.fresh(), event
        assert held.due(terms), event
        assert Fraction(event["price_mark"]) == walk.mark, event
        qty = held.stage(terms)
        assert Fraction(event["qty"]) == qty, event
        assert event["account"] == image["account"], event
        threshold = held.threshold(terms)
        assert threshold is not None, event
        assert walk.mark <= threshold if held.qty > 0 else walk.mark >= threshold, event
        price = bankruptcy = terms.touch(side)
        if terms.liquidity == "book":
            bankruptcy = held.used_up(terms, Fraction(0))
            price = held.used_up(terms, self.insurance if qty == abs(held.qty) else Fraction(0))
            # The fund bears no price that is worse than the mark.
            near = min(bankruptcy, walk.mark) if held.qty > 0 else max(bankruptcy, walk.mark)
            price = max(price, near) if held.qty > 0 else min(price, near)
            assert Fraction(event["price_bankruptcy"]) == bankruptcy, event
        assert Fraction(event["price"]) == price, event
        for order in self.told.orders_of[event["account"]].values():
            opens = order["status"] in OPENING and not order["reduce_only"] and order["market"] == event["market"]
            assert not opens, f"{order} is still there at {event}"
        self.closings[event["order_id"]] = Closing(event["position_id"], terms, held, qty, price, bankruptcy)
        self.figures["liquidations"] += 1
        self.figures["liquidations in a stage"] += qty < abs(held.qty)
        self.figures[f"liquidations {terms.liquidity}"] += 1

    def filled(self, event: Event, house: bool, asks: bool) -> None:
        """Assert price, pnl and fee of a liquidation's fill; count what the house gave of the displayed size."""
        self.figures["fills"] += 1
        self.figures["fills with the house" if house else "fills with users"] += 1
        terms, qty, value = self.terms[event["market"]], Fraction(event["qty"]), Fraction(event["notional"])
        closing = self.closings.get(event["order_id"])
        if closing is not None:
            forced = terms.liquidity == "book" and (house or asks)
            self.figures["forced fills with those asked"] += asks
            self.fill_price(closing, event, qty, value, house, forced)
            self.fill_money(closing, event, qty, value, forced)
        if house:
            terms.used[event["side"]] += qty

    def fill_price(
        self, closing: Closing, event: Event, qty: Fraction, value: Fraction, house: bool, forced: bool
    ) -> None:
        """Assert at which price a liquidation was filled, and that the price told is that of the money."""
        terms, walk, sign = closing.terms, closing.terms.walk, 1 if event["side"] == "buy" else -1
        told = Fraction(event["price"])
        assert abs(told - value / qty) <= terms.tick / ROUNDED, event
        self.figures["forced fills with the house" if house else "forced fills with users"] += 1
        if forced:
            assert value == closing.bankruptcy * qty, event
        elif house and terms.liquidity == "quote_sized":
            assert value == terms.levels(event["side"], qty), event
            self.figures["forced fills beyond the touch"] += value != closing.price * qty
        elif house:
            assert value == closing.price * qty, event
        else:
            band = million(walk.market["price_band_ppm"])
            assert walk.mark * (1 - band) <= told <= walk.mark * (1 + band), event
            if terms.liquidity != "quote_sized":
                assert sign * told <= sign * closing.price, event

    def fill_money(self, closing: Closing, event: Event, qty: Fraction, value: Fraction, forced: bool) -> None:
        """
        Assert the pnl and the fee of a liquidation's fill, and take it off the position.

        At the bankruptcy price (`forced`) the fee is what rounding that price has left.
        """
        held = closing.held
        sign = 1 if event["side"] == "buy" else -1
        assert held.qty * sign < 0, event
        assert qty <= abs(held.qty), event
        part = qty / abs(held.qty)
        cost, released = up(held.cost * part), down(held.margin * part)
        pnl = -sign * value - cost
        rate = million(closing.terms.walk.market["fee_liquidation_ppm"])
        fee = max(Fraction(0), released + pnl)
        fee = fee if forced else min(up(value * rate), fee)
        closing.left -= qty
        assert Fraction(event["pnl_realised"]) == pnl, event
        assert Fraction(event["fee"]) == fee, event
        assert event["maker"] is False, event
        self.figures["forced fees at the whole rate" if fee == up(value * rate) else "forced fees capped"] += 1
        self.insurance += fee
        cash = released + pnl - fee
        held.qty, held.cost, held.margin = held.qty + sign * qty, held.cost - cost, held.margin - released
        if cash < 0 and held.qty:
            held.margin += cash
        elif cash < 0:
            closing.missing = -cash

    def paid(self, event: Event) -> None:
        """Assert who pays how much of a deficit: the fund down to nothing, then the house."""
        amount = Fraction(event["amount"])
        closing = next((one for one in self.closings.values() if one.position_id == event["position_id"]), None)
        if event["payer"] == "insurance":
            assert closing is None or amount == min(closing.missing, self.insurance), event
            self.insurance -= amount
            assert self.insurance >= 0, event
        else:
            assert self.insurance == 0, event
            assert closing is None or amount == closing.missing, event
        if closing is not None:
            closing.missing -= amount
        self.figures[f"deficits paid by {event['payer']}"] += 1
        self.figures["deficits"] += 1
        self.deficit_largest = max(self.deficit_largest, amount)

    def ended(self, event: Event) -> None:
        """Assert that a liquidation left nothing of its position and nothing unpaid."""
        orders = [order for order, one in self.closings.items() if one.position_id == event["position_id"]]
        assert bool(orders) == (event["reason"] == "liquidation"), event
        for order in orders:
            closing = self.closings.pop(order)
            assert (closing.held.qty, closing.held.cost, closing.held.margin) == (0, 0, 0), event
            assert closing.missing == 0, event

    def stopped(self, event: Event) -> None:
        """Assert of a liquidation's order that ends that all was closed, and the rest told as the fills left it."""
        closing = self.closings.pop(event["order_id"], None)
        if closing is not None:
            assert closing.left == 0, event
            assert Holding.told(self.told.positions[closing.position_id]) == closing.held, event

    # --- those left alone --------------------------------------------------------------------------------------------

    def scan(self) -> None:
        """Assert of every open position that it need not go, and that its liquidation price was told right."""
        self.figures["scans"] += 1
        for event in self.told.positions.values():
            terms, held = self.terms[event["market"]], Holding.told(event)
            self.figures["positions scanned"] += 1
            if terms.walk.fresh():
                assert not held.due(terms), f"left alone at {terms.walk.mark}: {event}"
            said, threshold = event.get("price_liquidation"), held.threshold(terms)
            assert (None if said is None else Fraction(said)) == threshold, event
