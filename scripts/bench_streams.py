"""
The streams that every matching engine is given: a book, orders upon it, a walk of quotes; and what must come of them.

Everything is whole ticks and lots from one seed, standard library only, so that the same file drives an engine of any
other project in an environment of its own. A plain price–time book says which fills the stream must make.
"""

import hashlib
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

SEED = 20_261_121
MIDDLE_TICKS = 600_000
QUOTE_TICKS = 1  # the outside quote stands this far from the middle, alone
GAP_TICKS = 2  # and the nearest resting order this far
LEVELS = 1_000  # prices a side on which orders rest
LOTS = (10, 50)  # of a resting order, about 6 to 30 USDC
TAKER_LOTS = (5, 100)
WALK_TICKS = 40  # a walk of quotes stays this near to the middle
TRIGGER_TICKS = (100, 60_000)  # distances of resting triggers

PLACE, CANCEL, TAKE = 1, 2, 3
BUY, SELL = 1, -1
OPERATION_WORDS = 5  # kind, order id, side, price in ticks, lots; a CANCEL repeats the order's own


@dataclass
class Expected:
    """What a part of the stream must cause: fills by user orders on the book, in order."""

    fills: int = 0
    lots: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    fills_after: list[int] = field(default_factory=list)  # fills so far, after each operation

    def fill(self, taker: int, maker: int, price: int, lots: int) -> None:
        """Count one fill."""
        self.fills += 1
        self.lots += lots
        self.digest.update(b"%d,%d,%d,%d;" % (taker, maker, price, lots))


class Book:
    """A plain book by price, then time; it decides what rests and what fills while the stream is drawn."""

    def __init__(self) -> None:
        self.levels: dict[int, deque[list[int]]] = {}
        self.best = {BUY: -1, SELL: MIDDLE_TICKS * 2}

    def place(self, order_id: int, side: int, price: int, lots: int) -> None:
        """Let an order rest."""
        self.levels.setdefault(price, deque()).append([order_id, lots])
        if (price - self.best[side]) * side > 0:
            self.best[side] = price

    def cancel(self, order_id: int, side: int, price: int) -> None:
        """Take an order out."""
        level = self.levels[price]
        level.remove(next(order for order in level if order[0] == order_id))
        self._tidy(side, price)

    def take(self, taker: int, side: int, lots: int, expected: Expected) -> list[tuple[int, int]]:
        """Fill `lots` from the best price on; returns (id, price) of the orders used up."""
        gone = []
        while lots:
            price = self.best[-side]
            maker = self.levels[price][0]
            part = min(lots, maker[1])
            lots -= part
            maker[1] -= part
            expected.fill(taker, maker[0], price, part)
            if not maker[1]:
                self.levels[price].popleft()
                gone.append((maker[0], price))
                self._tidy(-side, price)
        return gone

    def _tidy(self, side: int, price: int) -> None:
        """Drop an empty level and find the next best; one is always left."""
        if not self.levels[price]:
            del self.levels[price]
            while self.best[side] not in self.levels:
                self.best[side] -= side


class Stream:
    """
    A book of `resting` orders, then operations of one part that keep its size; every part begins with the same book.

    rest:  place an order anywhere in the book, cancel any other; nothing fills.
    cross: take 5 … 100 lots with a limit that reaches through the whole book, and put new orders where others went;
           fills are those of the users' book.
    take:  take and give back, in pairs; fills are those of an outside quote that is better than the book, one each.
    """

    def __init__(self, part: str, resting: int, operations: int, levels: int = LEVELS, seed: int = SEED) -> None:
        self.part = part
        self.levels = levels
        self.expected = Expected()
        self._chance = random.Random(seed)
        self._book = Book()
        self._next = 1
        self._live: dict[int, tuple[int, int]] = {}  # id -> side, price
        self._ids: list[int] = []
        self._where: dict[int, int] = {}
        self.load = [self._placed(PLACE) for _ in range(resting)]
        self.operations = {"rest": self._rest, "cross": self._cross, "take": self._take}[part](operations)

    def _placed(self, kind: int, side: int = 0, price: int = 0) -> tuple[int, ...]:
        """Draw an order that rests, and let it rest."""
        chance = self._chance
        side = side or chance.choice((BUY, SELL))
        price = price or MIDDLE_TICKS - side * (GAP_TICKS + chance.randrange(self.levels))
        lots = chance.randint(*LOTS)
        order_id, self._next = self._next, self._next + 1
        self._book.place(order_id, side, price, lots)
        self._live[order_id] = (side, price)
        self._where[order_id] = len(self._ids)
        self._ids.append(order_id)
        return kind, order_id, side, price, lots

    def _forget(self, order_id: int) -> tuple[int, int]:
        """Take an order off the list of the living; returns its side and price."""
        at, last = self._where.pop(order_id), self._ids.pop()
        if last != order_id:
            self._ids[at], self._where[last] = last, at
        return self._live.pop(order_id)

    def _rest(self, operations: int) -> list[tuple[int, ...]]:
        """Draw operations that fill nothing."""
        drawn: list[tuple[int, ...]] = []
        while len(drawn) < operations:
            drawn.append(self._placed(PLACE))
            order_id = self._chance.choice(self._ids)
            side, price = self._forget(order_id)
            self._book.cancel(order_id, side, price)
            drawn.append((CANCEL, order_id, side, price, 0))
        self.expected.fills_after = [0] * len(drawn)
        return drawn

    def _cross(self, operations: int) -> list[tuple[int, ...]]:
        """Draw operations that take, sides in turn."""
        drawn: list[tuple[int, ...]] = []
        side = BUY
        while len(drawn) < operations:
            order_id, self._next = self._next, self._next + 1
            lots = self._chance.randint(*TAKER_LOTS)
            drawn.append((TAKE, order_id, side, MIDDLE_TICKS + side * (GAP_TICKS + self.levels), lots))
            gone = self._book.take(order_id, side, lots, self.expected)
            self.expected.fills_after.append(self.expected.fills)
            for maker, price in gone:
                self._forget(maker)
                drawn.append(self._placed(PLACE, -side, price))
                self.expected.fills_after.append(self.expected.fills)
            side = -side
        return drawn

    def _take(self, operations: int) -> list[tuple[int, ...]]:
        """Draw pairs that open and close against the outside quote."""
        drawn: list[tuple[int, ...]] = []
        while len(drawn) < operations:
            side, lots = self._chance.choice((BUY, SELL)), self._chance.randint(*TAKER_LOTS)
            for way in (side, -side):
                drawn.append((TAKE, self._next, way, MIDDLE_TICKS + way * (GAP_TICKS + self.levels), lots))
                self.expected.fill(self._next, 0, MIDDLE_TICKS + way * QUOTE_TICKS, lots)
                self.expected.fills_after.append(self.expected.fills)
                self._next += 1
        return drawn

    def stream_hash(self) -> str:
        """Return the digest of everything drawn."""
        digest = hashlib.sha256()
        for rows in (self.load, self.operations):
            for row in rows:
                digest.update(b"%d,%d,%d,%d,%d;" % row)
        return digest.hexdigest()


def quotes(count: int, seed: int = SEED) -> list[int]:
    """Return a walk of bids by single ticks that stays within WALK_TICKS of the middle."""
    chance = random.Random(seed)
    walk, bid = [], MIDDLE_TICKS
    for _ in range(count):
        step = chance.choice((1, -1))
        bid += step if abs(bid + step - MIDDLE_TICKS) <= WALK_TICKS else -step
        walk.append(bid)
    return walk


def triggers(count: int, seed: int = SEED) -> list[tuple[int, int]]:
    """Return (side, trigger in ticks) of stops that lie up to ten per cent around the middle and do not fire."""
    chance = random.Random(seed)
    drawn = []
    for _ in range(count):
        side = chance.choice((BUY, SELL))
        drawn.append((side, MIDDLE_TICKS + side * chance.randint(*TRIGGER_TICKS)))
    return drawn
