"""Drive order-matching: a book of sorted lists in plain Python, without accounts."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from driving import TICK, Rows, Tally, parts_run, report, specification
from loguru import logger
from order_matching.enums import Side
from order_matching.matching_engine import MatchingEngine
from order_matching.order import LimitOrder
from order_matching.orders import Orders

CANCEL = 2
START = datetime(2026, 1, 1)


class Clock:
    """Gives each order a time of its own, a microsecond later."""

    def __init__(self) -> None:
        self.now = START

    def tick(self) -> datetime:
        """Return the next time."""
        self.now += timedelta(microseconds=1)
        return self.now


def order_of(row: Sequence[int], when: datetime) -> LimitOrder:
    """Return a row of the stream as this engine's order."""
    _, order_id, side, price, lots = row
    return LimitOrder(
        side=Side.BUY if side > 0 else Side.SELL,
        price=price * TICK,
        size=float(lots),
        timestamp=when,
        order_id=str(order_id),
        trader_id="x",
    )


def book_fill(engine: MatchingEngine, rows: Rows, clock: Clock) -> None:
    """Put the resting orders straight into the book's lists: one by one takes minutes, each sorts all of them."""
    book = engine.unprocessed_orders
    orders = [order_of(row, clock.tick()) for row in rows]
    for order in orders:
        side = book.bids if order.side == Side.BUY else book.offers
        side[order.price].orders.append(order)
        book.orders_by_expiration[order.expiration].orders.append(order)


def prepare(data: dict[str, Any]) -> tuple[Tally, Callable[[Rows], None]]:
    """Return a loaded book's tally and what runs rows upon it, one order a request."""
    engine, tally, clock = MatchingEngine(seed=1), Tally(), Clock()
    book_fill(engine, data["load"], clock)

    def run(rows: Rows) -> None:
        for row in rows:
            if row[0] == CANCEL:
                engine.cancel_order(str(row[1]))
                continue
            when = clock.tick()
            engine.place(Orders([order_of(row, when)]))
            for trade in engine.match(timestamp=when).trades:
                tally.fills += 1
                tally.lots += round(trade.size)

    return tally, run


if __name__ == "__main__":
    logger.remove()
    given = specification()
    report("order-matching", parts=parts_run(given, prepare, chunk=2))
