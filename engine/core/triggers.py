"""
Which ladder a thing waits in, which price feeds it, and what fires next.

Ladders with an even number hold what fires at or below its price, with an odd number at or above.
"""

from numpy import int64

from engine.core import ladder, margin
from engine.core.kernel import kernel
from engine.core.limits import LADDERS_COUNT, ORDERS_CAPACITY, POSITIONS_CAPACITY
from shared.codes import ACCOUNT_FIRST, OrderKind, OrderStatus, Side, TriggerBy

REST_BUY = 0  # resting buys, fed by the ask
REST_SELL = 1  # resting sells, fed by the bid
QUOTE_SELL = 2  # dormant sells by quote, fed by the bid; +1 at or above
QUOTE_BUY = 4  # dormant buys by quote, fed by the ask
MARK = 6
INDEX = 8
THRESHOLD = 10  # liquidation thresholds: 10 longs, 11 shorts; these and all that follow are fed by the mark
CALL = 12  # margin calls of isolated positions: 12 longs, 13 shorts
# Bands of cross positions: 14 longs, 15 shorts. At place 0, where no price is, stand by account id those whose turn it
# may be: in 14 to be liquidated, in 15 to be told a margin call.
BAND = 14
DUE_PLACE = 0


@kernel
def ladder_price_ticks(market, number):
    """Return the price that feeds a ladder; 0 while there is none."""
    if number == REST_BUY or number == QUOTE_BUY or number == QUOTE_BUY + 1:
        return market.ask_ticks
    if number < MARK:
        return market.bid_ticks
    if number == INDEX or number == INDEX + 1:
        return market.index_ticks
    return market.mark_ticks


@kernel
def ladder_fires(state, market_row, number):
    """Return whether the best of a ladder fires at the price that feeds it."""
    price_ticks = ladder_price_ticks(state.markets[market_row], number)
    if price_ticks <= 0:
        return False
    return state.market_links[market_row].bests[number] <= ladder.ladder_place(price_ticks, number % 2 == 0)


@kernel
def ladders_quiet(state, market_row):
    """
    Return whether nothing fires in any ladder of a market.

    All are asked without a branch: that is the whole cost of a quiet tick. While a price is missing the answer may be
    False though nothing fires.
    """
    market = state.markets[market_row]
    bests = state.market_links[market_row].bests
    bid, ask, mark, index = market.bid_ticks, market.ask_ticks, market.mark_ticks, market.index_ticks
    bid_below, ask_below = ladder.ladder_place(bid, True), ladder.ladder_place(ask, True)
    mark_below, index_below = ladder.ladder_place(mark, True), ladder.ladder_place(index, True)
    fires = (bests[REST_BUY] <= ask_below) | (bests[REST_SELL] <= bid)
    fires |= (bests[QUOTE_SELL] <= bid_below) | (bests[QUOTE_SELL + 1] <= bid)
    fires |= (bests[QUOTE_BUY] <= ask_below) | (bests[QUOTE_BUY + 1] <= ask)
    fires |= (bests[MARK] <= mark_below) | (bests[MARK + 1] <= mark)
    fires |= (bests[INDEX] <= index_below) | (bests[INDEX + 1] <= index)
    for number in range(THRESHOLD, LADDERS_COUNT, 2):
        fires |= (bests[number] <= mark_below) | (bests[number + 1] <= mark)
    return not fires


@kernel
def node_push(state, market_row, number, node, place, tie):
    """Let a node wait at a place of a market's ladder."""
    row = state.ladders[market_row * LADDERS_COUNT + number]
    ladder.ladder_insert(row, state.nodes, node, place, tie)
    state.market_links[market_row].bests[number] = row.best_place


@kernel
def node_drop(state, market_row, number, node):
    """Take a node out of the ladder of a market in which it waits."""
    row = state.ladders[market_row * LADDERS_COUNT + number]
    ladder.ladder_remove(row, state.nodes, node)
    state.market_links[market_row].bests[number] = row.best_place


@kernel
def order_ladder(order):
    """Return the ladder that an order waits in."""
    if order.status == OrderStatus.RESTING:
        return int64(REST_BUY) if order.side == Side.BUY else int64(REST_SELL)
    base = int64(QUOTE_SELL) if order.side == Side.SELL else int64(QUOTE_BUY)
    if order.trigger_by == TriggerBy.MARK:
        base = int64(MARK)
    elif order.trigger_by == TriggerBy.INDEX:
        base = int64(INDEX)
    # A stop sells at or below and buys at or above; a take-profit, and what waits for its activation, the reverse.
    above = trigger_above(order.kind, order.side)
    if order.kind == OrderKind.TRAILING_STOP and order.active == 0:
        above = 1 - above
    return base + above


@kernel
def order_wait_ticks(order):
    """Return the price that an order waits for."""
    if order.status == OrderStatus.RESTING:
        return int64(order.price_ticks)
    if order.kind == OrderKind.TRAILING_STOP and order.active == 0:
        return int64(order.price_activation_ticks)
    return int64(order.price_trigger_ticks)


@kernel
def trigger_above(kind, side):
    """Return 1 when a trigger of this kind and side fires at or above its price, 0 when at or below."""
    stop = kind == OrderKind.STOP_MARKET or kind == OrderKind.STOP_LIMIT or kind == OrderKind.TRAILING_STOP
    return int64(stop == (side == Side.BUY))


@kernel
def source_ticks(market, side, by):
    """Return the present price that a trigger watches: by quote the side one would exit on; 0 while there is none."""
    if by == TriggerBy.MARK:
        return market.mark_ticks
    if by == TriggerBy.INDEX:
        return market.index_ticks
    return market.bid_ticks if side == Side.SELL else market.ask_ticks


@kernel
def trigger_met(market, side, by, above, price_trigger_ticks):
    """Return whether a trigger would fire at the present price of its source."""
    price_ticks = source_ticks(market, side, by)
    if price_ticks <= 0:
        return False
    return price_ticks >= price_trigger_ticks if above else price_ticks <= price_trigger_ticks


@kernel
def order_push(state, order_row):
    """Put a live order into its ladder."""
    order = state.orders[order_row]
    number = order_ladder(order)
    resting = order.status == OrderStatus.RESTING
    tie = order.priority if resting else order.order_id
    place = ladder.ladder_place(order_wait_ticks(order), number % 2 == 0)
    node_push(state, int64(order.market_id) - 1, number, int64(order_row), place, tie)


@kernel
def order_drop(state, order_row):
    """Take a live order out of its ladder."""
    order = state.orders[order_row]
    node_drop(state, int64(order.market_id) - 1, order_ladder(order), int64(order_row))


@kernel
def position_node(position_row):
    """Return the node of a position's liquidation threshold or, of a cross one, its band."""
    return ORDERS_CAPACITY + position_row


@kernel
def call_node(position_row):
    """Return the node of a position's margin call."""
    return ORDERS_CAPACITY + POSITIONS_CAPACITY + position_row


@kernel
def position_push(state, position_row, number, node, place, tie):
    """Let a node of a position wait at a place of a ladder of its market."""
    node_push(state, int64(state.positions[position_row].market_id) - 1, number, node, place, tie)


@kernel
def position_drop(state, position_row, number, node):
    """Take a node of a position out of the ladder in which it waits."""
    node_drop(state, int64(state.positions[position_row].market_id) - 1, number, node)


@kernel
def threshold_push(state, position_row):
    """Put an isolated user position's liquidation threshold, and that of a call not told yet, into their ladders."""
    position = state.positions[position_row]
    if position.account_id < ACCOUNT_FIRST or position.cross != 0:
        return
    short = int64(position.lots < 0)
    threshold = margin.threshold_ticks(state, position_row)
    if threshold != 0:
        place = ladder.ladder_place(threshold, short == 0)
        node = position_node(position_row)
        position_push(state, position_row, THRESHOLD + short, node, place, position.position_id)
    if position.called != 0:
        return
    threshold = margin.call_threshold_ticks(state, position_row)
    if threshold != 0:
        place = ladder.ladder_place(threshold, short == 0)
        position_push(state, position_row, CALL + short, call_node(position_row), place, position.position_id)
        state.position_links[position_row].call = 1


@kernel
def threshold_drop(state, position_row):
    """
    Take a position's thresholds out of their ladders; call it before lots, cost, margin or the shown leverage change.

    A position so changed may be told another margin call.
    """
    threshold_lift(state, position_row)
    state.positions[position_row].called = 0


@kernel
def threshold_lift(state, position_row):
    """Take a position's thresholds out of their ladders and leave it as it is: its market's tiers will change."""
    position = state.positions[position_row]
    if position.account_id < ACCOUNT_FIRST or position.cross != 0:
        return
    if margin.threshold_ticks(state, position_row) != 0:
        position_drop(state, position_row, THRESHOLD + int64(position.lots < 0), position_node(position_row))
    call_drop(state, position_row)


@kernel
def call_drop(state, position_row):
    """Take a position's margin call out of where it waits, if it does."""
    link = state.position_links[position_row]
    if link.call == 0:
        return
    position = state.positions[position_row]
    number = int64(BAND + 1)
    if position.cross == 0:
        number = CALL + int64(position.lots < 0)
    position_drop(state, position_row, number, call_node(position_row))
    link.call = 0


@kernel
def band_drop(state, position_row):
    """Take a cross position's band and margin call out of where they wait, if they do."""
    link = state.position_links[position_row]
    if link.band != 0:
        position_drop(state, position_row, int64(link.band), position_node(position_row))
        link.band = 0
    call_drop(state, position_row)


@kernel
def band_push(state, position_row, number, place, tie):
    """Let a cross position wait at a place of a ladder of bands; it waits nowhere yet."""
    position_push(state, position_row, number, position_node(position_row), place, tie)
    state.position_links[position_row].band = number


@kernel
def call_due_push(state, position_row, account_id):
    """Let a cross position say that its account may be due a margin call."""
    position_push(state, position_row, int64(BAND + 1), call_node(position_row), int64(DUE_PLACE), account_id)
    state.position_links[position_row].call = 1


@kernel
def due_node(state, market_row, number):
    """Return the node of the lowest account that stands at place 0 of a ladder of bands, or NODE_NONE."""
    if state.market_links[market_row].bests[number] != DUE_PLACE:
        return int64(ladder.NODE_NONE)
    return state.ladders[market_row * LADDERS_COUNT + number].best_node


@kernel
def band_left(state, market_row, number):
    """Return the node of a band that the mark has left, or NODE_NONE."""
    if not ladder_fires(state, market_row, number):
        return int64(ladder.NODE_NONE)
    row = state.ladders[market_row * LADDERS_COUNT + number]
    place = ladder.ladder_place(state.markets[market_row].mark_ticks, number == BAND)
    node = ladder.ladder_seek(row, state.nodes, int64(DUE_PLACE + 1))
    if node != ladder.NODE_NONE and state.nodes[node].place > place:
        node = int64(ladder.NODE_NONE)
    return node


@kernel
def trigger_next(state, market_row, below):
    """
    Return the row of the order that fires next among those at or below (`below` 1) or at or above, or 0.

    The extreme trigger price first, whatever its source; ties by order id.
    """
    chosen = int64(0)
    for base in range(QUOTE_SELL, THRESHOLD, 2):
        number = int64(base) if below else int64(base + 1)
        if not ladder_fires(state, market_row, number):
            continue
        node = state.ladders[market_row * LADDERS_COUNT + number].best_node
        if chosen == 0 or ladder.node_before(state.nodes, node, chosen):
            chosen = node
    return chosen
