"""
STATE, the one record that nests every table; `allocate` is the only allocation.

The stored tables are schema.py's. The derived ones here are rebuilt from them; no outcome depends on their shape.
"""

import numpy as np

from engine.core import kernel, limits
from engine.core.fetch import SEEN
from engine.core.schema import ACCOUNT, FEED, HEADER, MARKET, ORDER, POSITION, REQUEST, VENUE
from shared import records as r

INDEX_SLOT = np.dtype([("key_a", np.int64), ("key_b", np.int64), ("key_c", np.int64), ("row", np.int64)])
ORDER_LINK = np.dtype(
    [
        ("uncovered_lots", np.int64),  # of a resting order: what the opposite position does not cover
        ("next", np.int32),  # free list, or an account's orders by priority
        ("previous", np.int32),
        ("delayed_next", np.int32),  # a market's delayed orders by order id
        ("delayed_previous", np.int32),
        ("heap_at", np.int32),  # where it stands among those that expire
        ("pad", np.int32),
    ]
)
POSITION_LINK = np.dtype(
    [
        ("next", np.int32),  # free list, or an account's positions
        ("previous", np.int32),
        ("market_next", np.int32),  # a market's positions by id
        ("market_previous", np.int32),
        ("bound", np.int32),  # live reduce-only orders that name it, its SL and TP not counted
        ("band", np.int8),  # the ladder that its band waits in; 0 none
        ("call", np.int8),  # 1 when its node for margin calls is in a ladder
        ("pad", np.int8, (2,)),
    ]
)
# Where a remembered request stands: a cell of the heap, or −1 − a cell of the queue.
REQUEST_LINK = np.dtype([("next", np.int32), ("heap_at", np.int32)])
# What an account's links count of one market; together, because most instructions need most of it.
ACCOUNT_MARKET = np.dtype(
    [
        ("ticket_lots", np.int64),  # Σ |lots| of its tickets
        ("buy_lots", np.int64),  # Σ of what rests openly to buy
        ("sell_lots", np.int64),
        ("reserved_lots", np.int64),  # the net position for which reserves were computed
        ("net", np.int32),  # row of the net position
        ("resting", np.int32),  # resting orders
        ("opening", np.int32),  # live orders that may open the net position
        ("reserved_at", np.int32),  # the leverage at which they were; 0 unknown
    ]
)
ACCOUNT_LINK = np.dtype(
    [
        ("order_first", np.int32),
        ("order_last", np.int32),
        ("heap_at", np.int32),  # where it stands among the dead-man's switches
        ("orders_resting", np.int32),  # and delayed
        ("orders_dormant", np.int32),
        ("position_first", np.int32),
        ("position_last", np.int32),
        ("positions_open", np.int32),
        ("tickets_waiting", np.int32),  # that its delayed orders will open
        ("stale", np.int32),  # 1 when its bands no longer hold: see stale.py
        ("cross_markets", np.int64),  # bit of each market in which it holds a cross position
        ("reserved_cross_e6", np.int64),  # Σ reserves of its orders in markets whose mode is cross
        ("ended_id", np.int64),  # the cross position that ended last, and its market's row
        ("ended_market", np.int64),
        ("met_walk", np.int64),  # the last walk that met it, and the last whose end was told to it
        ("told_walk", np.int64),
        ("markets", ACCOUNT_MARKET, (r.MARKETS_CAPACITY,)),
    ]
)
MARKET_LINK = np.dtype(
    [
        ("uncovered_lots", np.int64),  # Σ of its resting orders
        ("house_row", np.int64),
        ("position_first", np.int64),  # its positions by id, the house's first
        ("position_last", np.int64),
        ("delayed_first", np.int64),  # its delayed orders by id
        ("delayed_last", np.int64),
        ("quoted", np.int64),  # 1 in an entry that accepted a quote
        ("bests", np.int64, (limits.LADDERS_COUNT,)),  # best_place of each of its ladders, side by side
    ]
)
# One treap node; the priority that balances it is a hash of its own number.
NODE = np.dtype([("tie", np.int64), ("place", np.int32), ("left", np.int32), ("right", np.int32), ("parent", np.int32)])
LADDER = np.dtype(
    [
        ("seed", np.int64),  # of this process: nobody can aim at a shape of the treaps
        ("best_place", np.int64),  # smallest place held; PRICE_WINDOW_TICKS when empty
        ("best_node", np.int64),
        ("count", np.int64),
        ("roots", np.int32, (limits.LADDER_BUCKETS,)),
        ("words", np.int64, (limits.LADDER_WORDS,)),
        ("summary", np.int64, (limits.LADDER_SUMMARY,)),
        ("top", np.int64, (limits.LADDER_TOP,)),
    ]
)
# One trailing stop, a treap node in order of activation; heights are prices, of buys negative. See trailing.py.
TRAIL_NODE = np.dtype(
    [
        ("left", np.int32),
        ("right", np.int32),
        ("parent", np.int32),
        ("weight", np.int32),  # balances the treap
        ("offset_ticks", np.int32),  # own; OFFSET_NONE when it trails by ppm
        ("offset_ppm", np.int32),
        ("peak", np.int32),  # own height; overridden by the pending of the topmost ancestor that has one
        ("pending", np.int32),  # height that all below still have to take; 0 none
        ("ticks_low", np.int32),  # smallest offset in the subtree
        ("ppm_low", np.int32),
        ("best", np.int32),  # highest trigger height in the subtree
        ("stale", np.int32),  # 1 when the subtree may hold a peak that its order's row does not show
    ]
)
TRAIL_SET = np.dtype(
    [
        ("best", np.int64),  # height of the trigger that fires next
        ("low", np.int64),  # lowest and highest peak
        ("high", np.int64),
        ("root", np.int64),
        ("count", np.int64),
    ]
)
TABLE = np.dtype([("live", np.int64), ("top", np.int64), ("free", np.int64)])  # rows in use, highest used, first freed
# What one fill would do; written by the planner, read by the committer, meaningless in between.
PLAN = np.dtype(
    [
        ("close_lots", np.int64),
        ("close_e6", np.int64),
        ("cost_part_e6", np.int64),
        ("released_e6", np.int64),
        ("pnl_e6", np.int64),
        ("fee_e6", np.int64),
        ("alone_e6", np.int64),  # cash of the closing part with its own share of the fee
        ("open_lots", np.int64),
        ("open_e6", np.int64),
        ("margin_in_e6", np.int64),
        ("open_loss_e6", np.int64),
        ("deficit_e6", np.int64),
        ("free_after_e6", np.int64),
        ("lots_after", np.int64),
        ("cost_after_e6", np.int64),
        ("margin_after_e6", np.int64),
        ("need_e6", np.int64),  # initial margin of the opening part
        ("loss_e6", np.int64),  # what it loses at once against the mark
        # told beforehand
        ("cross", np.int64),  # 1: no margin moves, the account carries the result
        ("backing_e6", np.int64),  # of a cross position: see cross.backing_e6
        ("others_e6", np.int64),  # results of the other cross positions
        ("spare_e6", np.int64),  # see cross.spare_e6; 0 without cross positions
    ]
)
# An account's cross positions taken together, one of them perhaps at other lots and cost: see cross.py.
POOL = np.dtype(
    [
        ("results_e6", np.int64),  # Σ (value − cost) at mark
        ("initial_e6", np.int64),  # Σ ⌈notional ÷ leverage⌉
        ("whole_e6", np.int64),  # maintenance: Σ of whole micros, and of what is beyond them × 10⁶
        ("parts", np.int64),
    ]
)

# What a taker wants, and what its walk through the book found: see matching.py.
TAKE = np.dtype(
    [
        ("market_row", np.int64),
        ("account_row", np.int64),
        ("position_row", np.int64),  # what it fills, ROW_NONE for a new one
        ("position_kind", np.int64),
        ("position_id_new", np.int64),  # of a position that it will open
        ("side_sign", np.int64),
        ("lots", np.int64),
        ("bound_ticks", np.int64),  # worst price; 0 none
        ("rests", np.int64),  # 1 when the remainder rests at the bound
        ("all_or_nothing", np.int64),
        ("limit_like", np.int64),
        ("post_only", np.int64),
        ("reduce_only", np.int64),
        ("forced", np.int64),  # a liquidation
        ("stp", np.int64),
        ("money_e6", np.int64),  # the most it may cost; 0 no bound
        ("leverage", np.int64),
        ("fee_taker_ppm", np.int64),
        ("fee_reserve_ppm", np.int64),
        ("except_row", np.int64),  # an order whose reserve and lots count as its own
        ("cross", np.int64),  # 1 when the position it fills is margined across the account
        # found
        ("steps_count", np.int64),
        ("users", np.int64),  # 1 while users' orders may be met
        ("met_full", np.int64),  # 1 when no step more was allowed
        ("met_orders", np.int64),  # users' orders met
        ("met_accounts_orders", np.int64),  # live orders of their accounts
        ("sims_count", np.int64),
        ("filled_lots", np.int64),
        ("filled_e6", np.int64),
        ("opened_lots", np.int64),
        ("opened_e6", np.int64),
        ("closed_lots", np.int64),
        ("need_e6", np.int64),  # initial margin of what it opens, and its loss at once against the mark
        ("loss_e6", np.int64),
        ("backing_e6", np.int64),  # of a cross position, beside free money
        ("others_e6", np.int64),  # results of the other cross positions
        ("own_reserves_e6", np.int64),  # of its account's orders that give way: they stand in free_after_e6
        ("capped", np.int64),  # 1 when the money ended it
        ("cut", np.int64),  # 1 when an own order ended it
        ("more", np.int64),  # 1 when there is something beyond the bound
        ("lots_after", np.int64),
        ("cost_after_e6", np.int64),
        ("margin_after_e6", np.int64),
        ("free_after_e6", np.int64),
        ("open_interest_lots", np.int64),
        ("house_lots", np.int64),
        ("used_lots", np.int64),  # of the quote's size
        ("rest_lots", np.int64),
        ("rest_uncovered_lots", np.int64),
        ("rest_reserve_e6", np.int64),
    ]
)
# One step of a walk: a fill by a user's order or by the quote, or the end of a user's order.
STEP = np.dtype(
    [
        ("order_row", np.int64),  # the user's order; ROW_NONE is the quote
        ("account_row", np.int64),
        ("position_id", np.int64),  # that a reduce-only one closes; 0 the net position
        ("lots", np.int64),  # 0: the order ends without a fill
        ("price_ticks", np.int64),
        ("used_lots", np.int64),  # of the quote's size before this step
        ("reason", np.int64),  # CloseReason of an order that ends
    ]
)
# What a maker's account and position would be after the steps so far.
SIM = np.dtype(
    [
        ("account_row", np.int64),
        ("position_row", np.int64),  # a ticket's; ROW_NONE is the net position
        ("lots", np.int64),
        ("cost_e6", np.int64),
        ("margin_e6", np.int64),
        ("free_e6", np.int64),
        ("released_e6", np.int64),  # reserves of its account that stand in free_e6
    ]
)

# The instruction in hand, its texts turned into the market's own units by the checks.
ASK = np.dtype(
    [
        ("market_row", np.int64),
        ("account_row", np.int64),
        ("position_row", np.int64),
        ("order_row", np.int64),
        ("target_row", np.int64),  # the account that a transfer goes to
        ("side_sign", np.int64),
        ("lots", np.int64),
        ("money_e6", np.int64),  # the most that the order may cost; 0 no bound
        ("price_ticks", np.int64),  # limit or worst price; 0 none
        ("touch_ticks", np.int64),
        ("take_profit_ticks", np.int64),  # 0 none
        ("take_profit_price_ticks", np.int64),
        ("stop_loss_ticks", np.int64),
        ("stop_loss_price_ticks", np.int64),
        ("children", np.int64),
        ("leverage", np.int64),
        ("pair", np.int64),  # 1 for an OCO
        ("dormant", np.int64),  # 1 when it waits for a price
        ("delayed", np.int64),  # 1 when what takes waits for the taker delay
        ("batch", np.int64),  # 1 for a command of a batch
        ("by_user", np.int64),  # 0 for an operator's instruction
        ("takes", np.int64),  # 1 when an amendment does more than shrink
        ("margin_e6", np.int64),
        ("amount_e6", np.int64),
    ]
)
# What an accepted instruction still has to do, step by step, when its events may fill the buffer.
TASK = np.dtype(
    [
        ("kind", np.int64),  # TaskKind of lifecycle.py; 0 none
        ("stage", np.int64),
        ("market_row", np.int64),  # −1 every market
        ("account_row", np.int64),
        ("cursor", np.int64),  # the id or row that was done last
        ("price_ticks", np.int64),
    ]
)

# What log time has brought so far; a funding is paid one position at a time.
DUE = np.dtype(
    [
        ("funding_us", np.int64),  # when the first funding of any market is due; 0 none
        ("funding_market", np.int64),  # the market id whose funding is being paid; 0 none
        ("position_row", np.int64),  # whose payment is next
        ("positions", np.int64),  # paid so far
        ("amount_e6", np.int64),  # to the house so far
    ]
)

# The auto-deleveraging in hand, and the ranking of its market's positions, a heap of cells a side: see adl.py.
ADL = np.dtype(
    [
        ("position_id", np.int64),  # that is liquidated; 0: none is in hand
        ("market_row", np.int64),
        ("lots", np.int64),  # still to be closed
        ("price_ticks", np.int64),
        ("order_id", np.int64),  # of the liquidation
        ("passed", np.int64),  # positions that it has passed over
        ("heap_count", np.int64),  # those of the side it asks that it has not taken out yet
        ("ranked", np.int64),  # market id of the ranking; 0: none stands
        ("counts", np.int64, (2,)),  # ranked longs, ranked shorts
    ]
)
ADL_CELL = np.dtype([("position_id", np.int64), ("score", np.int64), ("row", np.int64)])

STATE = np.dtype(
    [
        ("header", HEADER),
        ("venue", VENUE),
        ("markets", MARKET, (r.MARKETS_CAPACITY,)),
        ("feeds", FEED, (r.MARKETS_CAPACITY,)),
        # derived, small
        ("seen", SEEN, (limits.AHEAD,)),
        ("index_seed", np.int64),  # of this process; no outcome depends on where a key lies
        ("touched", np.int64),  # bit of each market whose settle is due
        ("entry_stage", np.int64),  # of an entry that goes on in the next call; see apply.py
        ("entry_part", np.int64),  # of a batch: the command that is next; −1 before the command itself
        ("settle_step", np.int64),  # of the market that is being settled: see settle.py
        ("entry_events", np.int64),  # events of the entry in hand
        ("events_count", np.int64),
        ("events_room", np.int64),  # the most there may be when one more step begins; tests lower it
        ("settle_cursor", np.int64),  # markets below it have had their turn in this pass; the last one may be in hand
        ("stale_count", np.int64),
        ("evaluations", np.int64),  # of accounts by their bands: counted for tests and measurements
        ("insurance_told_e6", np.int64),
        ("lag_least_us", np.int64),  # of header.lag_us
        ("pool", POOL),
        ("adl", ADL),
        ("plan", PLAN),
        ("plan_maker", PLAN),
        ("taker", TAKE),
        ("taker_before", TAKE),  # as it stood before its last step upon the quote
        ("walks", np.int64),  # counted, to know in O(1) whom a walk has met
        ("steps", STEP, (limits.STEPS_CAPACITY,)),
        ("sims", SIM, (limits.STEPS_CAPACITY,)),
        ("ask", ASK),
        ("task", TASK),
        ("due", DUE),
        ("merged", r.CONFIG),  # a market's configuration with the parameters of the market_set in hand
        ("expiry_count", np.int64),
        ("deadman_count", np.int64),
        ("market_links", MARKET_LINK, (r.MARKETS_CAPACITY,)),
        ("trail_sets", TRAIL_SET, (r.MARKETS_CAPACITY * limits.TRAIL_SETS_COUNT,)),
        ("accounts_table", TABLE),
        ("orders_table", TABLE),
        ("positions_table", TABLE),
        ("requests_table", TABLE),
        ("queue_first", np.int64),  # cells of the request queue in use, counted for ever
        ("queue_end", np.int64),
        ("queue_expires_us", np.int64),  # of the last one that was put there
        ("heap_count", np.int64),  # requests in the heap
        ("positions_pending", np.int64),  # positions that live orders may still open
        # stored, large
        ("accounts", ACCOUNT, (limits.ACCOUNTS_CAPACITY,)),
        ("orders", ORDER, (limits.ORDERS_CAPACITY,)),
        ("positions", POSITION, (limits.POSITIONS_CAPACITY,)),
        ("requests", REQUEST, (limits.REQUESTS_CAPACITY,)),
        # derived, large
        ("account_links", ACCOUNT_LINK, (limits.ACCOUNTS_CAPACITY,)),
        ("order_links", ORDER_LINK, (limits.ORDERS_CAPACITY,)),
        ("position_links", POSITION_LINK, (limits.POSITIONS_CAPACITY,)),
        ("request_links", REQUEST_LINK, (limits.REQUESTS_CAPACITY,)),
        ("request_heap", np.int32, (limits.REQUESTS_CAPACITY,)),
        ("request_queue", np.int32, (limits.REQUESTS_CAPACITY,)),
        ("expiry_heap", np.int32, (limits.ORDERS_CAPACITY,)),  # orders by (expires_us, order id)
        ("deadman_heap", np.int32, (limits.ACCOUNTS_CAPACITY,)),  # accounts by (deadman_us, account id)
        ("stale_rows", np.int32, (limits.ACCOUNTS_CAPACITY,)),
        ("adl_cells", ADL_CELL, (limits.POSITIONS_CAPACITY,)),
        ("orders_index", INDEX_SLOT, (limits.ORDERS_INDEX,)),
        ("positions_index", INDEX_SLOT, (limits.POSITIONS_INDEX,)),
        ("owners_index", INDEX_SLOT, (limits.ACCOUNTS_INDEX,)),
        ("requests_index", INDEX_SLOT, (limits.REQUESTS_INDEX,)),
        ("nodes", NODE, (limits.NODES_CAPACITY,)),
        ("trail_nodes", TRAIL_NODE, (limits.ORDERS_CAPACITY,)),
        ("ladders", LADDER, (r.MARKETS_CAPACITY * limits.LADDERS_COUNT,)),
        ("events", r.EVENT, (limits.EVENTS_CAPACITY,)),
    ]
)

assert STATE.itemsize <= limits.STATE_BYTES_MAX


def allocate() -> np.ndarray:
    """Return an empty state, STATE[1], all zero pages."""
    states = np.zeros(1, STATE)
    # Python's own hash seed, new in every process unless it was fixed.
    states["index_seed"] = hash("tidemark") & 0x7FFFFFFF
    states["events_room"] = limits.EVENTS_CAPACITY - limits.EVENTS_STEP_MAX
    return states if kernel.JIT else states.view(np.recarray)
