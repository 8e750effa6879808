"""
Every integer that crosses a boundary: entry kinds, operations, results, events, sides, orders, reasons.

Numbers are frozen once written to a log: a code may be retired, never reused. Texts on the wire are the
lower-case names, results the upper-case ones. Nothing here computes.
"""

from enum import IntEnum


class EntryKind(IntEnum):
    """What a log entry is; the name of the field that holds its JSON."""

    MALFORMED = 0
    GENESIS = 1
    PRICE_UPDATE = 2
    MARK_UPDATE = 3
    FEED_STATUS = 4
    CLOCK_TICK = 5
    USER_INSTRUCTION = 6
    VENUE_INSTRUCTION = 7
    LEAD = 8
    CHECKPOINT = 9
    RESTORED = 10


class Op(IntEnum):
    """What an instruction asks for."""

    NONE = 0
    ACCOUNT_OPEN = 1
    ORDER_PLACE = 2
    ORDER_CANCEL = 3
    ORDERS_CANCEL = 4
    TRADE_CREATE = 5
    TRADE_CLOSE = 6
    POSITION_TRIGGERS_SET = 7
    ORDER_AMEND = 8
    POSITIONS_CLOSE_ALL = 9
    POSITION_REVERSE = 10
    MARGIN_CHANGE = 11
    LEVERAGE_SET = 12
    MARGIN_MODE_SET = 13
    DEADMAN_SET = 14
    ACCOUNT_RESET = 15
    BATCH = 16
    # an operator's
    VENUE_SET = 17
    MARKET_SET = 18
    MARKET_HALT = 19
    MARKET_RESUME = 20
    MARKET_REDUCE_ONLY = 21
    MARKET_SETTLE = 22
    ACCOUNT_FREEZE = 23
    ACCOUNT_UNFREEZE = 24
    ACCOUNT_CREDIT = 25
    # an account owner's, like those below VENUE_SET
    ACCOUNT_GUARDS_SET = 26
    SUBACCOUNT_OPEN = 27
    ACCOUNT_TRANSFER = 28


class ResultCode(IntEnum):
    """One number and one name per broken rule; groups stand in the order in which rules are checked."""

    OK = 0
    # the record
    RECORD_MALFORMED = 100
    OP_UNKNOWN = 101
    FIELD_UNKNOWN = 102
    # the memory of requests
    REQUEST_REPEATED = 200
    REQUEST_ID_REUSED = 201
    REQUEST_TOO_OLD = 202
    REQUEST_ID_EARLY = 203
    REQUEST_SUPERSEDED = 204
    REQUEST_MEMORY_FULL = 205
    # time
    INSTRUCTION_LATE = 300
    INSTRUCTION_EARLY = 301
    # account
    ACCOUNT_UNKNOWN = 400
    ACCOUNT_FROZEN = 401
    ACCOUNT_LOCKED = 402
    # market
    MARKET_UNKNOWN = 500
    MARKET_HALTED = 501
    MARKET_REDUCE_ONLY = 502
    # types, ranges, grid
    FIELD_MISSING = 600
    FIELD_TYPE_INVALID = 601
    NUMBER_NOT_TEXT = 602
    NUMBER_MALFORMED = 603
    FIELD_VALUE_UNKNOWN = 604
    FIELDS_EXCLUSIVE = 605
    TEXT_INVALID = 606
    OCO_LEGS_DIFFER = 607
    BATCH_SIZE_INVALID = 608
    PRICE_OUT_OF_RANGE = 610
    PRICE_NOT_ON_TICK = 611
    QTY_OUT_OF_RANGE = 612
    QTY_NOT_ON_LOT = 613
    AMOUNT_OUT_OF_RANGE = 614
    LEVERAGE_OUT_OF_RANGE = 615
    SLIPPAGE_OUT_OF_RANGE = 616
    PERCENT_OUT_OF_RANGE = 617
    TRAIL_OUT_OF_RANGE = 618
    TIMEOUT_OUT_OF_RANGE = 619
    EXPIRY_IN_PAST = 620
    PARAMETER_OUT_OF_RANGE = 621
    # filters
    NOTIONAL_BELOW_MIN = 700
    ORDER_ABOVE_MAX = 701
    PRICE_OUTSIDE_BAND = 702
    ORDERS_OPEN_MAX = 703
    TRIGGERS_OPEN_MAX = 704
    # freshness
    PRICE_STALE = 800
    # what the instruction names
    ORDER_UNKNOWN = 900
    POSITION_UNKNOWN = 901
    CLIENT_ORDER_ID_TAKEN = 902
    ORDER_NOT_AMENDABLE = 903
    POSITION_NOT_NET = 904
    POSITION_NOT_ISOLATED = 905
    ACCOUNT_TARGET_UNKNOWN = 906
    SUBACCOUNT_NOT_EMPTY = 907
    # flags and triggers
    POST_ONLY_WOULD_TAKE = 1000
    FOK_UNFILLABLE = 1001
    SLIPPAGE_EXCEEDED = 1002
    QTY_ABOVE_POSITION = 1003
    TRIGGER_WRONG_SIDE = 1004
    TRIGGER_WOULD_FIRE_IMMEDIATELY = 1005
    REDUCE_ONLY_WOULD_INCREASE = 1006
    STP_WOULD_CUT = 1007
    LIQUIDITY_EXHAUSTED = 1008
    QTY_BELOW_FILLED = 1009
    OCO_LEG_WOULD_TAKE = 1010
    # margin and limits
    LEVERAGE_ABOVE_TIER = 1100
    MARGIN_INSUFFICIENT = 1101
    WOULD_BE_LIQUIDATED = 1102
    NOTIONAL_ABOVE_MAX = 1103
    OPEN_INTEREST_ABOVE_MAX = 1104
    POSITIONS_OPEN_MAX = 1105
    MARGIN_BELOW_REQUIRED = 1106
    MARGIN_MODE_IN_USE = 1107
    LEVERAGE_ABOVE_GUARD = 1108
    SUBACCOUNTS_MAX = 1109
    # slots
    ORDER_SLOTS_EXHAUSTED = 1200
    POSITION_SLOTS_EXHAUSTED = 1201
    ACCOUNT_SLOTS_EXHAUSTED = 1202
    # what an operator changes
    MARKET_IN_USE = 1300


class IgnoreReason(IntEnum):
    """Why a feed entry moved nothing; counted per market."""

    ACCEPTED = 0
    MARKET_UNKNOWN = 1
    SESSION_OTHER = 2
    SIDE_MISSING = 3
    CROSSED = 4
    SPREAD_WIDE = 5
    OUT_OF_ORDER = 6
    LATE = 7
    EARLY = 8
    OUT_OF_WINDOW = 9
    SPIKE = 10
    QUOTE_MISSING = 11
    NOT_POSITIVE = 12


class EventKind(IntEnum):
    """What an event tells; lower-case on the wire."""

    NONE = 0
    ORDER_RESPONSE = 1
    ORDER_CHANGED = 2
    CLOSED_ORDER = 3
    FILL = 4
    TRADE = 5
    POSITION_CHANGED = 6
    CLOSED_POSITION = 7
    ACCOUNT_CHANGED = 8
    LEDGER = 9
    TRIGGER_FIRED = 10
    LIQUIDATION = 11
    DEFICIT = 12
    MARKET_CHANGED = 13
    ACCOUNT_OPENED = 14
    CANDLE = 15
    VENUE_CHANGED = 16
    ACCOUNT_MARKET_CHANGED = 17
    FUNDING = 18
    FUNDING_SETTLED = 19
    FUNDING_SKIPPED = 20
    BATCH_RESULT = 21  # one command of a batch; printed inside its order_response, never alone
    MARGIN_CALL = 22
    ADL = 23
    INSURANCE_CHANGED = 24
    ACCOUNT_GUARDS_CHANGED = 25


class Side(IntEnum):
    """Of an order or a fill; side_sign is +1 for BUY, -1 for SELL."""

    NONE = 0
    BUY = 1
    SELL = 2


class OrderKind(IntEnum):
    """What wakes and bounds an order."""

    NONE = 0
    MARKET = 1
    LIMIT = 2
    STOP_MARKET = 3
    TAKE_PROFIT_MARKET = 4
    LIQUIDATION = 5
    STOP_LIMIT = 6
    TAKE_PROFIT_LIMIT = 7
    TRAILING_STOP = 8
    SETTLEMENT = 9
    ADL = 10


class Tif(IntEnum):
    """How long an order may rest."""

    NONE = 0
    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4


class Stp(IntEnum):
    """Self-trade prevention: who gives way when an order meets one of its own account."""

    NONE = 0
    CANCEL_TAKER = 1
    CANCEL_MAKER = 2
    CANCEL_BOTH = 3


class Tpsl(IntEnum):
    """What a bracket on the net position protects: the whole position, or the entry's filled quantity."""

    NONE = 0
    POSITION = 1
    ORDER = 2


class DeadmanScope(IntEnum):
    """Which orders the dead-man's switch cancels."""

    NONE = 0
    OPENING = 1
    ALL = 2


class Liquidity(IntEnum):
    """Who stands behind a market's prices beside the users' book."""

    NONE = 0
    QUOTE = 1
    QUOTE_SIZED = 2
    BOOK = 3


class TriggerBy(IntEnum):
    """Which price wakes a dormant order."""

    NONE = 0
    QUOTE = 1
    MARK = 2
    INDEX = 3


class OrderStatus(IntEnum):
    """Of a live order: a closed one has left the table."""

    FREE = 0
    RESTING = 1
    TRIGGER = 2
    ATTACHED = 3  # a bracket's child whose entry rests: dormant, in no ladder
    DELAYED = 4  # would take, and waits for the first quote after the market's taker delay


class CloseReason(IntEnum):
    """Why an order or a position reached its end."""

    NONE = 0
    FILLED = 1
    CANCELLED = 2
    IOC_UNFILLED = 3
    SLIPPAGE_EXCEEDED = 4
    MARGIN_INSUFFICIENT = 5
    WOULD_BE_LIQUIDATED = 6
    LIQUIDATION = 7
    POSITION_CLOSED = 8
    REPLACED = 9
    PARENT_CLOSED = 10
    TAKE_PROFIT = 11
    STOP_LOSS = 12
    FLIPPED = 13
    TRIGGER_REMOVED = 14
    EXPIRED = 15
    DEADMAN = 16
    SELF_TRADE = 17
    LIQUIDITY_EXHAUSTED = 18
    OCO = 19
    POSITION_REDUCED = 20
    TRIGGER_FAILED = 21
    DELAY_FAILED = 22
    MARKET_REDUCE_ONLY = 23
    MARKET_SETTLED = 24
    RESET = 25
    MARGIN_INSUFFICIENT_AT_FILL = 26
    LEVERAGE_ABOVE_TIER_AT_FILL = 27
    OPEN_INTEREST_ABOVE_MAX_AT_FILL = 28
    ADL = 29
    LOSS_LOCK = 30


class PositionKind(IntEnum):
    """NET: one per account and market; TICKET: each trade_create opens its own."""

    NONE = 0
    NET = 1
    TICKET = 2


class MarginMode(IntEnum):
    """Whether a net position stands alone with its margin, or with the account's others on the whole account."""

    NONE = 0
    ISOLATED = 1
    CROSS = 2


class LedgerReason(IntEnum):
    """Why a leg touched a user's account."""

    NONE = 0
    DEPOSIT = 1
    MARGIN = 2
    PNL = 3
    FEE = 4
    LIQUIDATION_FEE = 5
    DEFICIT = 6
    FUNDING = 7
    CREDIT = 8
    RESET = 9
    TRANSFER = 10


class MarketState(IntEnum):
    """Life cycle of a market."""

    NONE = 0
    OPEN = 1
    REDUCE_ONLY = 2
    HALTED = 3


class FeedStatus(IntEnum):
    """What the poller says of its connection."""

    NONE = 0
    UP = 1
    DOWN = 2


class BatchStatus(IntEnum):
    """Why one call of the core returned."""

    DONE = 0
    KEYFRAME = 1  # the entry just applied entered a new ten-second slot
    EVENTS_FULL = 2  # empty the buffer and call again
    LEAD = 3  # the entry just applied was a lead that took effect
    CHECKPOINT = 4  # the entry just applied states a hash to compare with


# Ids of the venue's own accounts; users' accounts start at ACCOUNT_FIRST.
ACCOUNT_EXTERNAL = 1
ACCOUNT_HOUSE = 2
ACCOUNT_FEES = 3
ACCOUNT_INSURANCE = 4
ACCOUNT_FIRST = 100
