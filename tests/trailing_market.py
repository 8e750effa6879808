"""One market's trailing stops on a bare state, without instructions or money: what the tests of them drive."""

import numpy as np

from engine.core import founding, kernel, trailing, triggers
from engine.core.limits import LADDERS_COUNT
from engine.core.state import allocate
from shared.codes import OrderKind, OrderStatus


@kernel.entry
def market_begin(states, market_row):
    """Make the market's sets and ladders empty ones."""
    state = states[0]
    state.venue.markets_count = market_row + 1
    for row in range(market_row + 1):
        founding.ladders_clear(state, np.int64(row))


@kernel.entry
def market_clear(states, market_row):
    """Forget the structure, not the orders."""
    trailing.trailing_clear(states[0], market_row)


@kernel.entry
def market_follow(states, market_row, bid_ticks, ask_ticks, mark_ticks, index_ticks):
    """Set the prices and follow them."""
    market = states[0].markets[market_row]
    market.bid_ticks = bid_ticks
    market.ask_ticks = ask_ticks
    market.mark_ticks = mark_ticks
    market.index_ticks = index_ticks
    trailing.trailing_follow(states[0], market_row)


@kernel.entry
def market_fires(states, market_row):
    """Call the kernel from Python."""
    return trailing.trailing_fires(states[0], market_row)


@kernel.entry
def market_release(states, market_row):
    """Call the kernel from Python."""
    trailing.trailing_release(states[0], market_row)


@kernel.entry
def order_insert(states, order_row):
    """Call the kernel from Python."""
    trailing.trailing_insert(states[0], order_row)


@kernel.entry
def order_remove(states, order_row):
    """Take an order out of its set; its row is no longer active."""
    trailing.trailing_remove(states[0], order_row)
    states[0].orders[order_row].active = 0


@kernel.entry
def order_drop(states, order_row):
    """Take a released order out of its ladder; its row is no longer active."""
    triggers.order_drop(states[0], order_row)
    states[0].orders[order_row].active = 0


@kernel.entry
def stop_first(states, market_row):
    """Return the row of the first in the ladder of sell stops by quote, or 0."""
    return states[0].ladders[market_row * LADDERS_COUNT + triggers.QUOTE_SELL].best_node


@kernel.entry
def order_peak(states, order_row):
    """Call the kernel from Python."""
    return trailing.trailing_peak(states[0], order_row)


@kernel.entry
def peaks_write_back(states):
    """Call the kernel from Python."""
    trailing.trailing_write_back(states[0])


class TrailingMarket:
    """A market with trailing stops and nothing else; rows are the caller's."""

    def __init__(self, market_row: int = 0) -> None:
        self.states = allocate()
        self.row = market_row
        self.plain = self.states.view(np.ndarray)[0]
        market_begin(self.states, market_row)

    def follow(self, prices: dict[str, int]) -> None:
        """Set bid, ask, mark and index (0 none) and let the sets follow."""
        market_follow(self.states, self.row, *(prices[f"{name}_ticks"] for name in ("bid", "ask", "mark", "index")))

    def insert(self, row: int, order_id: int, side: int, by: int, ticks: int, ppm: int, peak: int) -> None:
        """Fill an order's row and let it trail."""
        order = self.plain["orders"][row]
        order["order_id"], order["market_id"], order["kind"] = order_id, self.row + 1, OrderKind.TRAILING_STOP
        order["status"], order["side"], order["trigger_by"] = OrderStatus.TRIGGER, side, by
        order["trail_ticks"], order["trail_ppm"], order["peak_ticks"] = ticks, ppm, peak
        order["active"] = trailing.TRAILS
        order_insert(self.states, row)

    def insert_again(self, row: int) -> None:
        """Let an order trail that is in its row already."""
        order_insert(self.states, row)

    def remove(self, row: int) -> None:
        """Take an order out."""
        order_remove(self.states, row)

    def peak(self, row: int) -> int:
        """Return the present peak of an order."""
        return int(order_peak(self.states, row))

    def peaks(self) -> np.ndarray:
        """Return the peaks that the rows show; a view."""
        return self.plain["orders"]["peak_ticks"]

    def fires(self) -> bool:
        """Return whether anything fires."""
        return bool(market_fires(self.states, self.row))

    def release(self) -> dict[int, tuple[int, int]]:
        """Release what fires, take it out of the ladders, and return {row: (peak, trigger)}."""
        market_release(self.states, self.row)
        assert not self.fires()
        fired = np.flatnonzero(self.plain["orders"]["active"][:8_192] == trailing.FIRED)
        released = {}
        for row in map(int, fired):
            order = self.plain["orders"][row]
            released[row] = (int(order["peak_ticks"]), int(order["price_trigger_ticks"]))
            order_drop(self.states, row)
        return released

    def release_in_order(self) -> list[int]:
        """Release the sells by quote that fire, and return the ids in the order in which they leave their ladder."""
        market_release(self.states, self.row)
        ids = []
        while row := int(stop_first(self.states, self.row)):
            ids.append(int(self.plain["orders"]["order_id"][row]))
            order_drop(self.states, row)
        return ids

    def write_back(self) -> None:
        """Write all peaks into the rows."""
        peaks_write_back(self.states)

    def clear(self) -> None:
        """Forget the structure, not the orders."""
        market_clear(self.states, self.row)

    def quiet(self) -> bool:
        """Return whether no set holds anything."""
        return not self.plain["trail_sets"]["count"].any()
