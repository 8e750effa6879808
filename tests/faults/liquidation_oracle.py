"""
Every liquidation that must happen, and every cent it moves, recomputed from the outside with Fractions.

Read are the log (prices, instructions) and of the events only what users did: fills, the ends of positions. From these
follow margin, maintenance, the mark at which each position goes, its fee, what is left, and who pays what is missing.
"""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any

import orjson

from tests.faults.price_walk import PriceWalk, million
from tests.faults.venue_client import Happened

E6 = 1_000_000


def up(amount: Fraction) -> Fraction:
    """Return an amount of money rounded up to the micro-dollar."""
    return Fraction(ceil(amount * E6), E6)


def down(amount: Fraction) -> Fraction:
    """Return an amount of money rounded down to the micro-dollar."""
    return Fraction(floor(amount * E6), E6)


@dataclass
class Position:
    """One isolated position."""

    position_id: int
    account: int
    qty: Fraction  # signed
    cost: Fraction  # signed
    margin: Fraction

    def equity(self, mark: Fraction) -> Fraction:
        """Return what it is worth."""
        return self.margin + self.qty * mark - self.cost

    def liquidatable(self, mark: Fraction, maintenance: Fraction) -> bool:
        """Return whether its equity is at or below its maintenance margin."""
        return self.equity(mark) <= abs(self.qty) * mark * maintenance

    def threshold(self, maintenance: Fraction, tick: Fraction) -> Fraction:
        """Return the first price on the grid at which it is liquidatable."""
        exact = (self.cost - self.margin) / (self.qty * (1 - maintenance * (1 if self.qty > 0 else -1)))
        return (floor if self.qty > 0 else ceil)(exact / tick) * tick


@dataclass
class Oracle:
    """The open positions, the fund, and what was found to differ."""

    walk: PriceWalk
    insurance: Fraction
    fees: Fraction = Fraction(0)
    leverages: dict[int, int] = field(default_factory=dict)  # by seq of the instruction
    positions: dict[int, Position] = field(default_factory=dict)
    figures: Counter[str] = field(default_factory=Counter)
    seqs: set[int] = field(default_factory=set)
    nearest: list[Position] = field(default_factory=list)  # of each side the one that goes first; [] not known

    @property
    def maintenance(self) -> Fraction:
        """Return the market's maintenance rate; these tests use one tier."""
        [tier] = self.walk.market["tiers"]
        return million(tier["mmr_ppm"])

    @property
    def tick(self) -> Fraction:
        """Return the market's tick."""
        return Fraction(self.walk.market["tick"])

    def entry(self, seq: int, fields: list[tuple[bytes, bytes]], happened: list[Happened]) -> None:
        """Take one entry of the log with the events that it caused, and assert that they are what must happen."""
        name, value = fields[-1]
        if name == b"user_instruction":
            self.leverages[seq] = orjson.loads(value).get("leverage", 10)
        touched = self.walk.entry(fields)
        events = [one.event for one in happened]
        cut = next((i for i, event in enumerate(events) if event["e"] == "liquidation"), len(events))
        filled = self.users_acts(seq, events[:cut])
        self.nearest = [] if filled else self.nearest
        due = self.due() if touched or filled else []
        if not self.walk.fresh():
            self.figures["waited"] += bool(due)
            due = []
        took = [event["position_id"] for event in events if event["e"] == "liquidation"]
        assert took == [position.position_id for position in due], f"entry {seq}: {took}, must be {due}"
        for position in due:
            self.nearest = []
            self.seqs.add(seq)
            self.liquidated(position, [e for e in events[cut:] if e.get("position_id") == position.position_id])
        for event in events[:cut]:
            if event["e"] == "position_changed" and event["position_id"] in self.positions:
                self.position_compare(self.positions[event["position_id"]], event)

    def due(self) -> list[Position]:
        """Return what must go now: longs by falling threshold, then shorts by rising, ties by id."""
        mark, rate = self.walk.mark, self.maintenance
        if not self.nearest:
            self.nearest = [side[0] for side in self.sides() if side]
        # Beyond the nearest of its side nobody can be due; it is judged by its equity, not by its threshold.
        if not any(position.liquidatable(mark, rate) for position in self.nearest):
            return []
        gone = []
        for side in self.sides():
            for position in side:
                threshold = position.threshold(rate, self.tick)
                passed = mark <= threshold if position.qty > 0 else mark >= threshold
                assert passed == position.liquidatable(mark, rate), f"{position} at {mark}"
                gone += [position] if passed else []
        return gone

    def sides(self) -> tuple[list[Position], list[Position]]:
        """Return longs by falling threshold and shorts by rising threshold, ties by id."""
        places = {p.position_id: p.threshold(self.maintenance, self.tick) for p in self.positions.values()}
        longs = [position for position in self.positions.values() if position.qty > 0]
        shorts = [position for position in self.positions.values() if position.qty < 0]
        return (
            sorted(longs, key=lambda p: (-places[p.position_id], p.position_id)),
            sorted(shorts, key=lambda p: (places[p.position_id], p.position_id)),
        )

    # --- what users do ----------------------------------------------------------------------------------------------

    def users_acts(self, seq: int, events: list[dict[str, Any]]) -> bool:
        """Take the fills that come before any liquidation; return whether there were any."""
        fills = [event for event in events if event["e"] == "fill" and event["market"] == self.walk.market["market"]]
        for fill in fills:
            self.figures["fills"] += 1
            self.fees += Fraction(fill["fee"])
            qty = Fraction(fill["qty"]) * (1 if fill["side"] == "buy" else -1)
            position = self.positions.get(fill["position_id"])
            if position is None:
                self.opened(seq, fill, qty)
            else:
                assert position.qty * qty < 0, "these tests open tickets and close them"
                self.reduced(position, fill, qty)
        return bool(fills)

    def opened(self, seq: int, fill: dict[str, Any], qty: Fraction) -> None:
        """Open a position: initial margin, and the loss that the spread to the mark means."""
        cost = qty * Fraction(fill["price"])
        margin = up(abs(cost) / self.leverages[seq]) + max(Fraction(0), cost - qty * self.walk.mark)
        assert Fraction(fill["fee"]) == up(abs(cost) * million(self.walk.market["fee_taker_ppm"]))
        self.positions[fill["position_id"]] = Position(fill["position_id"], fill["account"], qty, cost, margin)

    def reduced(self, position: Position, fill: dict[str, Any], qty: Fraction) -> None:
        """Close a part or all of a position."""
        part = -qty / position.qty
        cost, released = up(position.cost * part), down(position.margin * part)
        cash = released - qty * Fraction(fill["price"]) - cost - Fraction(fill["fee"])
        position.qty += qty
        position.cost -= cost
        position.margin -= released - (cash if cash < 0 and position.qty else 0)
        if position.qty == 0:
            del self.positions[position.position_id]
            self.figures["closed"] += 1
            if cash < 0:
                self.pay(-cash)

    # --- what the venue does ----------------------------------------------------------------------------------------

    def liquidated(self, position: Position, events: list[dict[str, Any]]) -> None:
        """Take one liquidation away and assert its price, fee, result and deficit to the micro-dollar."""
        del self.positions[position.position_id]
        self.figures["liquidations"] += 1
        self.figures["liquidations_long" if position.qty > 0 else "liquidations_short"] += 1
        touch = self.walk.bid if position.qty > 0 else self.walk.ask
        pnl = position.qty * touch - position.cost
        fee = min(
            up(abs(position.qty) * touch * million(self.walk.market["fee_liquidation_ppm"])),
            max(Fraction(0), position.margin + pnl),
        )
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for event in events:
            by_kind.setdefault(event["e"], []).append(event)
        [said], [fill], [closed] = by_kind["liquidation"], by_kind["fill"], by_kind["closed_position"]
        assert Fraction(said["price"]) == Fraction(fill["price"]) == touch
        assert Fraction(said["price_mark"]) == self.walk.mark
        assert Fraction(said["qty"]) == Fraction(fill["qty"]) == abs(position.qty)
        assert Fraction(fill["fee"]) == fee
        assert closed["reason"] == "liquidation"
        assert fill["account"] == said["account"] == position.account
        assert Fraction(fill["pnl_realised"]) == pnl
        self.insurance += fee
        missing = max(Fraction(0), fee - position.margin - pnl)
        paid = [(event["payer"], Fraction(event["amount"])) for event in by_kind.get("deficit", [])]
        assert paid == self.pay(missing), f"{position}: {paid}"
        self.figures["deficits"] += len(paid)

    def pay(self, missing: Fraction) -> list[tuple[str, Fraction]]:
        """Let the fund pay down to zero, then the house; return who pays what."""
        fund = min(missing, max(Fraction(0), self.insurance))
        self.insurance -= fund
        return [(payer, amount) for payer, amount in (("insurance", fund), ("house", missing - fund)) if amount > 0]

    def position_compare(self, position: Position, event: dict[str, Any]) -> None:
        """Assert that the venue states the same position and the same liquidation price."""
        assert Fraction(event["qty"]) == position.qty, event
        assert Fraction(event["cost"]) == position.cost, event
        assert Fraction(event["margin"]) == position.margin, event
        assert Fraction(event["price_liquidation"]) == position.threshold(self.maintenance, self.tick), event
        self.figures["thresholds"] += 1
