"""Every capacity and bound of the state, with the relations between them asserted at import."""

from shared import records as r

# Rows of each table; row 0 is never a live row, so that 0 in a link says "none" and untouched memory is a valid table.
# The first order row is the order in hand: one that executes and never rests.
ROW_NONE = 0
ORDER_IN_HAND = 0
ACCOUNTS_CAPACITY = 2**17
ORDERS_CAPACITY = 2**20 + 2**13
ORDER_MET = ORDERS_CAPACITY - 3  # a resting order that a fill has just completed
ORDER_LEG = ORDERS_CAPACITY - 2  # the other leg of the order in hand, until it is placed
ORDER_BLANK = ORDERS_CAPACITY - 1  # a row that stays all zeros
POSITIONS_CAPACITY = 2**19
REQUESTS_CAPACITY = 2**18
EVENTS_STEP_MAX = 2**17
EVENTS_CAPACITY = EVENTS_STEP_MAX + 2**13
# One step of one entry (a command, one fired order, one liquidation) emits fewer events than EVENTS_STEP_MAX.
# A position has two nodes: its threshold or, a cross one, its band; and its margin call.
NODES_CAPACITY = ORDERS_CAPACITY + 2 * POSITIONS_CAPACITY

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
LADDERS_COUNT = 16
TRAIL_SETS_COUNT = 6  # a market's trailing stops: sells and buys, by quote, mark, index

EVENTS_CHUNK = 512
AHEAD = 16  # instructions of a batch that are looked at together

# One taker meets at most so many users' orders, of accounts that together have at most so many live ones: this bounds
# the events of one step.
STEPS_MAX = 512
STEPS_CAPACITY = STEPS_MAX + 512  # the quote's own steps lie between
MET_ORDERS_MAX = 30_000
ADL_PASSED_MAX = 512  # positions that one auto-deleveraging passes over before the house takes what is left

BUY_SIGN = 1  # of a side; a sell's is −1
LAG_MINUTES = 10
RESULTS_CAPACITY = 1_400
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
FUNDING_MARK_US = 60_000_000  # without a mark frame for longer, a funding is skipped
FUNDING_AHEAD_US = 86_400_000_000  # a frame naming a later funding only moves the mark
TIMEOUT_MIN_MS = 5_000
TIMEOUT_MAX_MS = 86_400_000
BALANCE_E6_MAX = 10**15  # what an operator's credit may make of an account
OUTSIDE_E6_MAX = 2**62  # what all credits together may have brought in: EXTERNAL's cell stays inside 64 bits
LIFE_E6_MAX = 2**58  # notional that a position's averages remember: half of both is forgotten before it is passed
AMOUNT_UNITS_MAX = 10**9  # USDC of one amount; keeps amount × leverage inside 64 bits
MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
NOTIONAL_E6_MAX = 10**17  # of one position; a tier that begins above it is never reached
SLIPPAGE_DEFAULT_BPS = 500
LEVERAGE_DEFAULT = 10
PPM = 1_000_000
PPB = 1_000_000_000

assert LADDER_TOP >= 1
assert ORDERS_INDEX >= 2 * ORDERS_CAPACITY
assert POSITIONS_INDEX >= 2 * POSITIONS_CAPACITY
assert ACCOUNTS_INDEX >= 2 * ACCOUNTS_CAPACITY
assert REQUESTS_INDEX >= 2 * REQUESTS_CAPACITY
assert EVENTS_CAPACITY > EVENTS_STEP_MAX
# An account's live orders are bounded, so that one step over all of them is too.
assert EVENTS_STEP_MAX >= 32 * STEPS_CAPACITY + 3 * (MET_ORDERS_MAX + r.ORDERS_OPEN_MAX + r.TRIGGERS_OPEN_MAX) + 64
assert r.MARKETS_CAPACITY <= 32
assert r.ACCOUNTS_MAX + 5 <= ACCOUNTS_CAPACITY
assert r.ORDERS_MAX < ORDER_MET
assert r.POSITIONS_MAX < POSITIONS_CAPACITY
assert r.REQUESTS_MAX < REQUESTS_CAPACITY
assert r.LOTS_UNIT_MAX * PRICE_TICKS_MAX < 10**17 < LIFE_E6_MAX // 2
