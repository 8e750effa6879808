"""Every capacity and bound of the state, with the relations between them asserted at import."""

from shared import records as r

# Rows of each table; row 0 is never a live row, so that 0 in a link says "none" and untouched memory is a valid table.
# The first order row is the order in hand: one that executes and never rests.
ROW_NONE = 0
ORDER_IN_HAND = 0
ACCOUNTS_CAPACITY = 2**17
ORDERS_CAPACITY = 2**20 + 2**13
POSITIONS_CAPACITY = 2**19
REQUESTS_CAPACITY = 2**18
EVENTS_CAPACITY = 2**14
NODES_CAPACITY = ORDERS_CAPACITY + POSITIONS_CAPACITY

# Open-addressing indexes keep at least half of their slots empty.
ORDERS_INDEX = 2**22
POSITIONS_INDEX = 2**20
ACCOUNTS_INDEX = 2**18
REQUESTS_INDEX = 2**19

# Prices are 1 … PRICE_TICKS_MAX; a ladder's window holds all of them.
PRICE_WINDOW_TICKS = 2**23
PRICE_TICKS_MAX = PRICE_WINDOW_TICKS - 1
BUCKET_SHIFT = 4
LADDER_BUCKETS = PRICE_WINDOW_TICKS >> BUCKET_SHIFT
WORD_SHIFT = 5  # 32 buckets a bitmap word: the sign bit of an int64 is never touched
LADDER_WORDS = LADDER_BUCKETS >> WORD_SHIFT
LADDER_SUMMARY = LADDER_WORDS >> WORD_SHIFT
LADDER_TOP = LADDER_SUMMARY >> WORD_SHIFT
LADDERS_COUNT = 12

# One step of one entry (a command, one fired order, one liquidation) emits fewer events than this.
EVENTS_STEP_MAX = 2**13
EVENTS_CHUNK = 512

LAG_MINUTES = 10
RESULTS_CAPACITY = 1_300
IGNORES_CAPACITY = 16
KINDS_CAPACITY = 16
STATE_BYTES_MAX = 2**31 - 1  # NumPy keeps an item's size in a C int

INSTRUCTION_LATE_US = 5_000_000
TICK_LEAD_US = 2_000_000
TICK_JUMP_US = 5_000_000
QUOTE_LATE_US = 2_000_000
SPIKE_MEMORY_US = 60_000_000
QUOTE_OLD_US = 60_000_000
MARK_QUIET_US = 10_000_000
CANDIDATE_PPM = 10_000
CONFIRMATIONS = 3
KEYFRAME_US = 10_000_000
MINUTE_US = 60_000_000
SLIPPAGE_DEFAULT_BPS = 500
LEVERAGE_DEFAULT = 10
PPM = 1_000_000

assert LADDER_TOP >= 1
assert ORDERS_INDEX >= 2 * ORDERS_CAPACITY
assert POSITIONS_INDEX >= 2 * POSITIONS_CAPACITY
assert ACCOUNTS_INDEX >= 2 * ACCOUNTS_CAPACITY
assert REQUESTS_INDEX >= 2 * REQUESTS_CAPACITY
assert EVENTS_CAPACITY >= 2 * EVENTS_STEP_MAX
# An account's live orders are bounded, so that one step over all of them is too.
assert EVENTS_STEP_MAX >= 3 * (r.ORDERS_OPEN_MAX + r.TRIGGERS_OPEN_MAX) + 64
assert r.MARKETS_CAPACITY <= 32
assert r.ACCOUNTS_MAX + 5 <= ACCOUNTS_CAPACITY
assert r.ORDERS_MAX < ORDERS_CAPACITY
assert r.POSITIONS_MAX < POSITIONS_CAPACITY
assert r.REQUESTS_MAX < REQUESTS_CAPACITY
assert 10**10 * PRICE_TICKS_MAX < 10**17
