"""The leader's market views: what is written when, and the fifths of a book market's queue of deleveraging."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.views import AGAIN_S, BOOK_S, RANKS_S, VIEW_S, MarketViews, fifths
from shared.streams import StreamsRefused


class Machine:
    """A state of two markets that a test moves."""

    def __init__(self) -> None:
        self.seq = 1
        self.mark = "1.0"
        self.liquidity = "book"
        self.scores: list[int] = [9, 7, -3]
        self.asked: list[str] = []
        self.events_last = (1, 0)
        self.books = {"B": "1.0", "Q": "5.0"}
        self.looked: list[str] = []

    def header(self) -> Any:
        """Return how far the events are."""
        return SimpleNamespace(events_last=self.events_last)

    def book_levels(self, market: str) -> dict[str, Any]:
        """Return one resting order."""
        self.looked.append(market)
        return {"bids": [[self.books[market], "1"]], "asks": []}

    def market_views(self) -> dict[str, dict[str, Any]]:
        """Return what the engine shows."""
        return {
            "B": {"mark": self.mark, "liquidity": self.liquidity, "seq": self.seq, "log_time_us": self.seq},
            "Q": {"mark": "5.0", "liquidity": "quote", "seq": self.seq, "log_time_us": self.seq},
        }

    def adl_scores(self, market: str) -> tuple[Any, Any]:
        """Return the longs' scores; there are no shorts."""
        self.asked.append(market)
        return np.array(self.scores, np.int64), np.array([], np.int64)


class Streams:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[str, str]] = {}
        self.writes: list[list[str]] = []
        self.refuses = False

    def view_markets_write(self, _keys: Any, views: dict[str, dict[str, str]]) -> None:
        """Take the views."""
        if self.refuses:
            raise StreamsRefused("OOM")
        self.hashes |= views
        self.writes.append(sorted(views))


def looked_around(machine: Machine, streams: Streams) -> MarketViews:
    """Return the writer of views that has looked at every market's orders."""
    views = MarketViews(streams, None, 0.0)
    for _ in ("B", "Q"):
        views.books.look(machine, ("B", "Q"), 0.0)
    return views


@pytest.mark.parametrize("count", range(1, 40))
def test_fifths_are_those_of_the_ranking(count: int) -> None:
    """Whoever reads the bounds finds for every place of the queue the fifth 5 − ⌊5·place ÷ count⌋."""
    scores = [1_000 - 7 * place for place in range(count)]
    bounds = fifths(scores)
    assert len(bounds) == 4
    found = [next((5 - index for index, bound in enumerate(bounds) if score >= bound), 1) for score in scores]
    assert found == [5 - 5 * place // count for place in range(count)]


def test_nobody_ranked_is_no_bound() -> None:
    """A market without positions states no fifths."""
    assert fifths([]) == []


def test_ranks_are_written_at_most_every_five_seconds() -> None:
    """A book market's fifths stand beside its prices and are looked at anew only after their time."""
    machine, streams = Machine(), Streams()
    views = looked_around(machine, streams)
    assert views.write(machine, 0.0) == 2
    assert (streams.hashes["B"]["adl_long"], streams.hashes["B"]["adl_short"]) == ("[9,7,7,-3]", "[]")
    assert streams.hashes["Q"]["adl_long"] == "[]"
    machine.scores, machine.mark, machine.seq = [4], "1.1", 2
    assert views.write(machine, VIEW_S) == 1
    assert (streams.hashes["B"]["mark"], streams.hashes["B"]["adl_long"]) == ("1.1", "[9,7,7,-3]")
    assert machine.asked == ["B"]
    machine.seq = 3
    assert views.write(machine, RANKS_S) == 2
    assert streams.hashes["B"]["adl_long"] == "[4,4,4,4]"
    assert streams.writes == [["B", "Q"], ["B"], ["B", "Q"]]


def test_quiet_markets_are_not_written_again() -> None:
    """What moves with every entry is no change; another leader in between makes all of them news."""
    machine, streams = Machine(), Streams()
    views = looked_around(machine, streams)
    views.write(machine, 0.0)
    assert views.write(machine, VIEW_S) == 0
    machine.seq = 2
    assert views.write(machine, VIEW_S / 2) == 0
    assert views.write(machine, VIEW_S) == 0
    views.forget()
    assert views.write(machine, 2 * VIEW_S) == 2


def test_everything_is_written_again_once_a_second() -> None:
    """What somebody else wrote over the views, or Redis did not take, stands there a second at most."""
    machine, streams = Machine(), Streams()
    views = looked_around(machine, streams)
    views.write(machine, 0.0)
    streams.hashes["Q"] = {"mark": "0.1"}
    assert views.write(machine, AGAIN_S - VIEW_S) == 0
    streams.refuses = True
    with pytest.raises(StreamsRefused):
        views.write(machine, AGAIN_S)
    streams.refuses = False
    assert views.write(machine, AGAIN_S + VIEW_S) == 2
    assert streams.hashes["Q"]["mark"] == "5.0"
    assert views.write(machine, AGAIN_S + 2 * VIEW_S) == 0


def test_a_market_that_leaves_the_book_ranks_nobody() -> None:
    """Only `book` markets deleverage: what was written of another's queue is taken back."""
    machine, streams = Machine(), Streams()
    views = looked_around(machine, streams)
    views.write(machine, 0.0)
    machine.liquidity, machine.seq = "quote", 2
    views.write(machine, RANKS_S)
    assert streams.hashes["B"]["adl_long"] == "[]"
    assert machine.asked == ["B"]


def test_books_are_looked_at_one_a_turn_after_events_alone() -> None:
    """A market's orders are walked only after an event, at most every 250 ms, one market a turn, none forgotten."""
    machine, streams = Machine(), Streams()
    views = MarketViews(streams, None, 0.0)
    views.write(machine, 0.0)
    assert machine.looked == ["B"]
    assert (streams.hashes["B"]["book"], streams.hashes["B"]["book_seq"]) == ('{"bids":[["1.0","1"]],"asks":[]}', "1")
    assert "book" not in streams.hashes["Q"]
    views.write(machine, VIEW_S)
    assert (machine.looked, streams.hashes["Q"]["book_seq"]) == (["B", "Q"], "1")
    machine.seq = 2
    views.write(machine, 2 * VIEW_S)
    views.write(machine, 2 * BOOK_S)
    assert machine.looked == ["B", "Q"], "nothing happened"
    machine.seq, machine.events_last, machine.books["Q"] = 3, (3, 0), "5.1"
    views.write(machine, 3 * BOOK_S)
    views.write(machine, 3 * BOOK_S + VIEW_S)
    assert machine.looked == ["B", "Q", "B", "Q"]
    assert streams.hashes["Q"]["book"] == '{"bids":[["5.1","1"]],"asks":[]}'
    machine.seq, machine.events_last, machine.books["Q"] = 4, (4, 0), "5.2"
    views.write(machine, 3 * BOOK_S + 2 * VIEW_S)
    views.write(machine, 3 * BOOK_S + 3 * VIEW_S)
    assert len(machine.looked) == 4, "not before its time"
    for turn in range(2):
        views.write(machine, 4 * BOOK_S + (turn + 1) * VIEW_S)
    assert machine.looked[4:] == ["B", "Q"]
    assert streams.hashes["Q"]["book"] == '{"bids":[["5.2","1"]],"asks":[]}'


def test_a_book_says_after_which_entry_it_stood_so() -> None:
    """As long as no event came the book stands as of now; one that is outdated says of when it is."""
    machine, streams = Machine(), Streams()
    views = MarketViews(streams, None, 0.0)
    views.write(machine, 0.0)
    views.write(machine, VIEW_S)
    machine.seq, machine.mark = 7, "1.1"
    views.write(machine, 2 * VIEW_S)
    assert streams.hashes["B"]["book_seq"] == "7"
    machine.seq, machine.mark, machine.events_last = 8, "1.2", (8, 0)
    views.write(machine, 3 * VIEW_S)
    assert (streams.hashes["B"]["seq"], streams.hashes["B"]["book_seq"]) == ("8", "1")
