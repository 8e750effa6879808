"""Users' resting orders around a question: what of the depth that a view states is the caller's own; pure."""

import orjson

from gateway.preview.question import Question
from gateway.preview.rows import Grid
from shared.codes import Side

Levels = dict[int, int]  # price in ticks -> lots
WORDS = {Side.BUY: "bids", Side.SELL: "asks"}


def own_levels(asked: Question, grid: Grid, side: Side) -> Levels:
    """Return what the caller's own orders have at each price of a side of the instruction's market."""
    found: Levels = {}
    for order in asked.orders:
        here = order["market"] == asked.markets[0]["market"] and order["status"] == "resting"
        if here and order["side"] == side.name.lower():
            ticks = grid.ticks(order["price"])
            found[ticks] = found.get(ticks, 0) + grid.lots(order["qty"]) - grid.lots(order["qty_filled"])
    return found


def others_levels(asked: Question, grid: Grid, side: Side) -> Levels:
    """Return what other users' orders have at each price, the best first."""
    book = orjson.loads(asked.prices[asked.markets[0]["market"]].get("book", "{}"))
    own = own_levels(asked, grid, side)
    all_lots = {grid.ticks(price): grid.lots(qty) for price, qty in book.get(WORDS[side], [])}
    return {ticks: lots - own.get(ticks, 0) for ticks, lots in all_lots.items() if lots > own.get(ticks, 0)}


def others_near(asked: Question, grid: Grid) -> bool:
    """Return whether others' orders stand where they may go first: inside the quote, or beside an own one."""
    view = asked.prices[asked.markets[0]["market"]]
    bids, asks = (others_levels(asked, grid, side) for side in (Side.BUY, Side.SELL))
    inside = [ticks >= grid.ticks(view.get("bid")) for ticks in bids]
    inside += [ticks <= grid.ticks(view.get("ask")) for ticks in asks]
    return any(inside) or shared_levels(asked, grid)


def shared_levels(asked: Question, grid: Grid) -> bool:
    """Return whether the caller and others rest at one price: which of them is first, no view tells."""
    return any(
        own_levels(asked, grid, side).keys() & others_levels(asked, grid, side).keys() for side in (Side.BUY, Side.SELL)
    )
