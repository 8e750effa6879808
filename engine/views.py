"""
The market views: what the engine accepted of each market's prices, beside the events and outside replay.

Written by the leader alone, for markets that changed, at most every 50 ms, and all of them once a second: a write may
be lost, or an engine that slept and does not know yet that it leads no longer may write over it. A `book` market's view
also says, at most every 5 s, which scores make the fifths of its queue of deleveraging. Every market's view says where
its users' orders rest, at most every 250 ms and only after an event; one market a turn, so that no turn takes long.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

VIEW_S = 0.05
AGAIN_S = 1.0
RANKS_S = 5.0
BOOK_S = 0.25
FIFTHS = 5
BOOK = "book"
FIELDS_MOVING = frozenset(
    {"seq", "log_time_us", "book_seq"}
)  # they move with every entry and are no change of the market


class ViewStreams(Protocol):
    """The verb of shared.streams that market views use."""

    def view_markets_write(self, keys: Any, views: dict[str, dict[str, str]]) -> None: ...


class Look(NamedTuple):
    """What a look at a market's orders found, and when; it holds as long as no event comes after it."""

    events_last: tuple[int, int]
    seq: int
    next_s: float  # when the next look may be
    text: str


class Books:
    """Where users' orders rest, by market."""

    def __init__(self) -> None:
        self.known: dict[str, Look] = {}
        self.events_last = (0, 0)  # the newest that the state knows of: every change of an order is told by one
        self.waiting = False  # some market has not been looked at since

    def look(self, machine: Any, markets: Iterable[str], now_s: float) -> None:
        """Look at the market that has waited longest of those whose orders may have changed, if its time has come."""
        self.events_last = machine.header().events_last
        outdated = [market for market in markets if not self.holds(market)]
        self.waiting = bool(outdated)
        due = [market for market in outdated if market not in self.known or self.known[market].next_s <= now_s]
        if due:
            market = min(due, key=lambda name: self.known[name].next_s if name in self.known else float("-inf"))
            text = text_of(machine.book_levels(market))
            self.known[market] = Look(self.events_last, machine.seq, now_s + BOOK_S, text)

    def holds(self, market: str) -> bool:
        """Return whether what is known of a market's orders is how they stand."""
        return market in self.known and self.known[market].events_last == self.events_last

    def fields(self, market: str, seq: int) -> dict[str, str]:
        """Return the view's fields of a market that was looked at, `book_seq` the entry after which they stood so."""
        look = self.known.get(market)
        if look is None:
            return {}
        return {"book": look.text, "book_seq": str(seq if self.holds(market) else look.seq)}


class MarketViews:
    """The views written last, to write only what changed."""

    def __init__(self, streams: ViewStreams, keys: Any, now_s: float) -> None:
        self.streams = streams
        self.keys = keys
        self.next_s = now_s
        self.written: dict[str, dict[str, str]] = {}
        self.seq = -1
        self.again_next_s = now_s
        self.ranks_next_s = now_s
        self.ranks: dict[str, dict[str, str]] = {}
        self.books = Books()

    def forget(self) -> None:
        """Write every market again: another engine may have written in between."""
        self.written = {}
        self.seq = -1

    def write(self, machine: Any, now_s: float) -> int:
        """Write the views of the markets that changed when it is time; return how many."""
        if now_s >= self.again_next_s:
            self.forget()
        if now_s < self.next_s or (machine.seq == self.seq and not self.books.waiting):
            return 0
        changed = {}
        views = machine.market_views()
        if now_s >= self.ranks_next_s:
            self.ranks_next_s = now_s + RANKS_S
            self.ranks = {market: ranks_of(machine, market, figures) for market, figures in views.items()}
        self.books.look(machine, views, now_s)
        for market, figures in views.items():
            view = {name: text_of(value) for name, value in (figures | self.ranks.get(market, {})).items()}
            view |= self.books.fields(market, machine.seq)
            essence = {name: text for name, text in view.items() if name not in FIELDS_MOVING}
            if self.written.get(market) != essence:
                changed[market] = view
                self.written[market] = essence
        if changed:
            self.streams.view_markets_write(self.keys, changed)
        if len(changed) == len(views):
            self.again_next_s = now_s + AGAIN_S
        self.seq = machine.seq
        self.next_s = now_s + VIEW_S
        return len(changed)


def ranks_of(machine: Any, market: str, figures: dict[str, Any]) -> dict[str, str]:
    """Return which scores make the fifths of a market's queue of deleveraging; without a book nobody is asked."""
    longs, shorts = machine.adl_scores(market) if figures.get("liquidity") == BOOK else ((), ())
    return {"adl_long": text_of(fifths(longs)), "adl_short": text_of(fifths(shorts))}


def fifths(scores: Sequence[int]) -> list[int]:
    """
    Return the lowest score of each fifth but the last, the fifth that goes first before the others; [] without scores.

    Shapes: scores descending. Place r of n is in fifth 5 − ⌊5·r ÷ n⌋; an empty fifth has the bound of the one before.
    """
    count = len(scores)
    return [int(scores[-(-number * count // FIFTHS) - 1]) for number in range(1, FIFTHS)] if count else []


def text_of(value: Any) -> str:
    """Return a figure as the field of a hash holds it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
