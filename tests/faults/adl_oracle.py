"""
Every liquidation of a thin day and every position that was asked for it, recomputed from what was told before.

Whole numbers only, and no engine code: whether it was due, how much is closed, both prices, who is asked in which
order, by a ranking that lasts for the market's turn, who is passed over, and that whoever was asked stands as after a
close at the bankruptcy price.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.faults.adl_terms import MILLION, MOST, Held, Terms, money, scaled, up
from tests.property.entries import Entry

Event = dict[str, Any]
PASSED_MAX = 512


@dataclass
class Closing:
    """One liquidation under way."""

    held: Held
    terms: Terms
    sign: int  # of the position
    left: int
    bankruptcy: int
    limit: int
    ranking: list[int] | None = None  # ids still to be asked
    anew: list[int] = field(default_factory=list)  # all ids, ranked for a turn that may have begun
    passed: int = 0


@dataclass
class Asked:
    """One position that was asked, and what must be told of it and of its account."""

    position_id: int
    after: tuple[int, int, int]
    money_after: int
    equity_after: int


@dataclass
class AdlOracle:
    """Follows the log and its events."""

    terms: dict[str, Terms]
    insurance: int
    held: dict[int, Held] = field(default_factory=dict)
    of_account: dict[int, dict[int, Held]] = field(default_factory=lambda: defaultdict(dict))
    of_market: dict[str, dict[int, Held]] = field(default_factory=lambda: defaultdict(dict))
    legs: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    closings: dict[int, Closing] = field(default_factory=dict)  # by order
    asked: dict[int, Asked] = field(default_factory=dict)  # by account
    figures: Counter[str] = field(default_factory=Counter)
    turn: str = ""  # the market whose turn it is, when somebody was asked in it
    unsure: bool = False  # whether that turn may have ended, and another of the same market have begun
    ranking: list[int] = field(default_factory=list)  # its users' positions as they stood then

    def entry(self, entry: Entry, events: list[Event]) -> None:
        """Take one entry of the log and its events, in order."""
        self.prices(entry)
        dues = set()
        self.turn = ""
        for number, event in enumerate(events):
            kind = event["e"]
            self.figures[kind] += 1
            if kind == "fill" and event["market"] != self.turn:
                # Without a fill in another market's turn nobody is due in a second one of the same; but a liquidation
                # in another market may as well be a cross account's in this one's turn.
                # As long as one is under way every fill is its: of users' orders and of those asked, too.
                self.unsure = bool(self.closings)
                self.turn = self.turn if self.unsure else ""
            if kind == "liquidation":
                if self.begun(event):
                    dues.add(event["account"])
            elif kind == "fill" and event["order_id"] in self.closings:
                self.filled(event, events[number + 1 : number + 4])
            elif kind == "adl":
                self.asks(event)
            elif kind == "ledger":
                self.leg(event)
            elif kind == "position_changed":
                self.position(event)
            elif kind == "account_changed":
                self.account(event)
            elif kind == "closed_order":
                closing = self.closings.pop(event["order_id"], None)
                assert closing is None or closing.left == 0, event
                self.figures[f"ended {event['reason']}"] += 1
            elif kind == "insurance_changed":
                assert money(event["balance"]) == self.insurance >= 0, event
        assert not self.closings and not self.asked, "a liquidation was not carried to its end"
        self.figures["entries in which ids may break a tie"] += len(dues) > 1

    def prices(self, entry: Entry) -> None:
        """Move the prices of all markets."""
        for name, terms in self.terms.items():
            if entry.kind in ("genesis", "feed_status") or entry.body.get("s") == name:
                fields = [(b"ts", b"%d" % entry.ts_us), (b"session", entry.session.encode())]
                terms.walk.entry([*fields, (entry.kind.encode(), orjson.dumps(entry.body))])
            else:
                terms.walk.time_move(entry.kind, entry.ts_us)

    # --- money --------------------------------------------------------------------------------------------------------

    def result(self, held: Held) -> int:
        """Return a position's result at mark."""
        return self.terms[held.market].value(held.lots) - held.cost

    def behind(self, held: Held) -> int:
        """Return a position's margin, or what the account has without it."""
        return self.legs[held.account] + sum(map(self.result, self.others(held))) if held.cross else held.margin

    def share(self, held: Held) -> int:
        """Return what stands behind a position in a liquidation: its margin, or its share of the account's equity."""
        if not held.cross:
            return held.margin
        parts = [abs(self.terms[one.market].value(one.lots)) // 256 + 1 for one in [held, *self.others(held)]]
        result = self.result(held)
        return (self.behind(held) + result) * parts[0] // sum(parts) - result

    def others(self, held: Held) -> list[Held]:
        """Return the other cross positions of an account."""
        return [one for one in self.of_account[held.account].values() if one.cross and one is not held]

    def health(self, account: int) -> int:
        """Return equity less maintenance margin of an account's cross positions, in 10⁻¹² of a dollar."""
        own = [one for one in self.of_account[account].values() if one.cross]
        equity = self.legs[account] + sum(map(self.result, own))
        return equity * MILLION - sum(self.terms[one.market].maintenance(one.lots) for one in own)

    def due(self, held: Held) -> bool:
        """Return whether a position must go, alone or with its account."""
        if held.cross:
            return self.health(held.account) <= 0
        needed = self.terms[held.market].maintenance(held.lots)
        return (held.margin + self.result(held)) * MILLION <= needed

    def equity(self, account: int) -> int:
        """Return all that an account is worth at mark."""
        own = self.of_account[account].values()
        return self.legs[account] + sum(one.margin + self.result(one) for one in own)

    def leg(self, event: Event) -> None:
        """Take a leg of an account's money."""
        amount = money(event["amount"])
        self.legs[event["account"]] += amount
        if event["counter"] == "insurance":
            self.insurance -= amount

    def position(self, event: Event) -> None:
        """Take a position's image; one that was liquidated or asked must stand as its fills have left it."""
        position_id, terms = event["position_id"], self.terms[event["market"]]
        image = (scaled(event["qty"], terms.lot), money(event["cost"]), money(event["margin"]))
        under = next((one for one in self.closings.values() if one.held.position_id == position_id), None)
        if under is not None:
            assert image == (under.held.lots, under.held.cost, under.held.margin), event
        asked = self.asked.get(event["account"])
        if asked is not None and asked.position_id == position_id:
            assert image == asked.after, event
        cross = event.get("mode") == "cross"
        held = Held(position_id, event["account"], event["market"], cross, *image)
        for table in (self.held, self.of_account[held.account], self.of_market[held.market]):
            table.pop(position_id, None)
            if held.lots:
                table[position_id] = held

    def account(self, event: Event) -> None:
        """Assert that an asked account has what a close at the bankruptcy price leaves it, to the micro."""
        account = event["account"]
        assert money(event["free"]) + money(event["reserved"]) == self.legs[account], event
        asked = self.asked.pop(account, None)
        if asked is not None:
            assert self.legs[account] == asked.money_after, event
            assert self.equity(account) == asked.equity_after, event

    # --- one liquidation ----------------------------------------------------------------------------------------------

    def begun(self, event: Event) -> bool:
        """Assert that a liquidation is due, of as much and at the prices that must be; returns whether it is cross."""
        terms, held = self.terms[event["market"]], self.held[event["position_id"]]
        assert terms.walk.fresh() and scaled(event["price_mark"], terms.tick) == terms.mark(), event
        assert self.due(held), event
        if held.cross:
            own = [one for one in self.of_account[held.account].values() if one.cross]
            open_ones = [one for one in own if self.terms[one.market].walk.fresh()]
            places = {name: place for place, name in enumerate(self.terms)}
            assert held is min(open_ones, key=lambda one: (self.result(one), places[one.market])), event
        lots, sign = self.stage(held), 1 if held.lots > 0 else -1
        assert scaled(event["qty"], terms.lot) == lots, event
        bankruptcy = limit = 0
        if terms.book:
            fund = max(0, self.insurance) if lots == abs(held.lots) else 0
            bankruptcy, limit = terms.prices(held, self.share(held), fund)
            told = [scaled(event[key], terms.tick) for key in ("price_bankruptcy", "price")]
            assert told == [bankruptcy, limit], event
        self.closings[event["order_id"]] = Closing(held, terms, sign, lots, bankruptcy, limit)
        self.figures["liquidations cross" if held.cross else "liquidations isolated"] += 1
        self.figures["liquidations in a stage"] += lots < abs(held.lots)
        return held.cross

    def stage(self, held: Held) -> int:
        """Return how much of a position is closed: down to the highest tier that leaves a sound rest, else all."""
        terms, whole, sign = self.terms[held.market], abs(held.lots), 1 if held.lots > 0 else -1
        for kept in terms.kept(held.lots):
            if kept == 0:
                break
            lots = whole - kept
            value = abs(terms.value(lots))
            cost, released, pnl = held.parts(lots, value)
            rest = Held(0, 0, held.market, held.cross, sign * kept, held.cost - cost, held.margin - released)
            needed = terms.maintenance(rest.lots)
            if held.cross:
                fee = min(up(value * terms.fee_ppm, MILLION), max(0, self.behind(held) + self.result(held)))
                sound = self.health(held.account) - fee * MILLION + terms.maintenance(held.lots) > needed
            else:
                sound = released + pnl >= 0 and (rest.margin + self.result(rest)) * MILLION > needed
            if sound:
                return lots
        return whole

    def filled(self, event: Event, after: list[Event]) -> None:
        """Assert price, pnl and fee of a liquidation's fill, and take it off the position."""
        closing = self.closings[event["order_id"]]
        held, terms = closing.held, closing.terms
        lots, notional = scaled(event["qty"], terms.lot), money(event["notional"])
        house, asks = after[0]["e"] == "trade", after[-1]["e"] == "adl"
        self.figures[f"forced fills with {'the house' if house else 'those asked' if asks else 'users'}"] += 1
        if terms.book and (house or asks):
            self.ranked(closing)
        cost, released, pnl = held.parts(lots, notional)
        left = released + pnl
        held.close(lots, cost, released)
        if held.cross:
            left += self.behind(held) + self.result(held)
        fee = min(up(notional * terms.fee_ppm, MILLION), max(0, left))
        if terms.book and (house or asks):
            assert notional == lots * closing.bankruptcy * terms.unit, event
            fee = 0 if held.cross else max(0, left)
        elif terms.book:
            assert closing.sign * (notional - lots * closing.limit * terms.unit) >= 0, event
        assert (money(event["pnl_realised"]), money(event["fee"])) == (pnl, fee), event
        closing.left -= lots
        if not held.cross and held.lots:
            held.margin += min(0, released + pnl - fee)
        if terms.book and house:
            assert self.expects(closing, 0, closing.left + lots), event

    # --- who is asked -------------------------------------------------------------------------------------------------

    def score(self, held: Held) -> int:
        """Return a position's place in the ranking, by return and leverage."""
        value, result = self.terms[held.market].value(held.lots), self.result(held)
        equity = self.behind(held) + result
        if equity <= 0:
            return MOST
        rate = min(abs(result) * MILLION // abs(held.cost), MOST)
        if result > 0:
            return min(rate * abs(value) // equity, MOST)
        return -min(rate * equity // abs(value), MOST)

    def ranked(self, closing: Closing) -> None:
        """Rank, once in a market's turn, all its positions; let the opposite ones that live be asked in that order."""
        if closing.ranking is not None:
            return
        kept = self.turn == closing.held.market
        if not kept or self.unsure:
            found = self.of_market[closing.held.market].values()
            order = sorted(found, key=lambda one: (-self.score(one), one.position_id))
            closing.anew = [one.position_id for one in order]
        if not kept:
            self.begin(closing)
        closing.ranking = self.opposite(closing)
        self.figures["liquidations with those asked or the house"] += 1

    def begin(self, closing: Closing) -> None:
        """Begin a turn with the ranking that a closing has brought."""
        self.turn, self.unsure = closing.held.market, False
        self.ranking, closing.anew = closing.anew, []
        self.figures["rankings"] += 1

    def opposite(self, closing: Closing) -> list[int]:
        """Return those of the ranking that live and are opposite, in its order."""
        living = (position_id for position_id in self.ranking if position_id in self.held)
        return [position_id for position_id in living if self.held[position_id].lots * closing.sign < 0]

    def expects(self, closing: Closing, position_id: int, left: int) -> bool:
        """Return whether a position, 0 the house, is next, if need be in a turn that has begun unseen."""
        if closing.anew and self.next_asked(closing, left) != position_id:
            self.begin(closing)
            closing.ranking, closing.passed = self.opposite(closing), 0
        return self.next_asked(closing, left) == position_id

    def next_asked(self, closing: Closing, left: int) -> int:
        """Return the position whose turn it is, 0 for the house, and forget whoever is passed over."""
        ranking = closing.ranking or []
        while ranking and closing.passed < PASSED_MAX:
            if self.bears(closing, ranking[0], left):
                return ranking[0]
            ranking.pop(0)
            closing.passed += 1
            self.figures["passed over"] += 1
        return 0

    def bears(self, closing: Closing, position_id: int, left: int) -> bool:
        """Return whether a position may be asked and can close so much of what is left at the bankruptcy price."""
        held = self.held[position_id]
        if closing.held.cross and held.account == closing.held.account:
            return False
        lots = min(left, abs(held.lots))
        _, released, pnl = held.parts(lots, lots * closing.bankruptcy * closing.terms.unit)
        if held.cross:
            needed = sum(self.terms[one.market].maintenance(one.lots) for one in self.others(held))
            released = (self.behind(held) - up(needed, MILLION)) * lots // abs(held.lots)
        return released + pnl >= 0

    def asks(self, event: Event) -> None:
        """Assert that it is this position's turn, for so much and at this price, and note what must become of it."""
        closing = self.closings[event["liquidation_order_id"]]
        terms, held = closing.terms, self.held[event["position_id"]]
        lots = scaled(event["qty"], terms.lot)
        left = closing.left + lots
        assert self.expects(closing, held.position_id, left) and closing.ranking, event
        closing.ranking.pop(0)
        assert lots == min(left, abs(held.lots)), event
        assert scaled(event["price"], terms.tick) == closing.bankruptcy, event
        cost, released, pnl = held.parts(lots, lots * closing.bankruptcy * terms.unit)
        worse = (closing.bankruptcy - terms.mark()) * lots * terms.unit
        equity = self.equity(held.account) + (worse if held.lots > 0 else -worse)
        after = Held(0, 0, "", False, held.lots, held.cost, held.margin)
        after.close(lots, cost, released)
        image = (after.lots, after.cost, after.margin)
        self.asked[held.account] = Asked(held.position_id, image, self.legs[held.account] + released + pnl, equity)
        self.figures["asked cross" if held.cross else "asked isolated"] += 1

    # --- those left alone ---------------------------------------------------------------------------------------------

    def scan(self) -> None:
        """Assert of everybody whose markets are fresh that he need not go."""
        for held in self.held.values():
            own = self.of_account[held.account].values() if held.cross else [held]
            if all(self.terms[one.market].walk.fresh() for one in own):
                assert not self.due(held), f"left alone: {held}"
                self.figures["positions scanned"] += 1
