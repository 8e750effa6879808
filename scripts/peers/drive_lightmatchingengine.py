"""Drive lightmatchingengine: a book of dictionaries of lists in plain Python, without accounts."""

from collections.abc import Callable
from typing import Any

from driving import TICK, Rows, Tally, parts_run, report, specification
from lightmatchingengine.lightmatchingengine import LightMatchingEngine, Side

NAME = "BTC"
CANCEL = 2


def prepare(data: dict[str, Any]) -> tuple[Tally, Callable[[Rows], None]]:
    """Return a loaded book's tally and what runs rows upon it; its order ids count up as the stream's do."""
    engine, tally = LightMatchingEngine(), Tally()

    def run(rows: Rows) -> None:
        for kind, order_id, side, price, lots in rows:
            if kind == CANCEL:
                engine.cancel_order(order_id, NAME)
                continue
            order, trades = engine.add_order(NAME, price * TICK, lots, Side.BUY if side > 0 else Side.SELL)
            assert order.order_id == order_id
            for trade in trades:
                if trade.order_id != order_id:
                    tally.fills += 1
                    tally.lots += trade.trade_qty

    run(data["load"])
    return tally, run


if __name__ == "__main__":
    given = specification()
    report("lightmatchingengine", parts=parts_run(given, prepare))
