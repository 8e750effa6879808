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
    PRICE_OUT_OF_RANGE = 610
    PRICE_NOT_ON_TICK = 611
    QTY_OUT_OF_RANGE = 612
    QTY_NOT_ON_LOT = 613
    AMOUNT_OUT_OF_RANGE = 614
    LEVERAGE_OUT_OF_RANGE = 615
    SLIPPAGE_OUT_OF_RANGE = 616
    PERCENT_OUT_OF_RANGE = 617
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
    # flags and triggers
    POST_ONLY_WOULD_TAKE = 1000
    FOK_UNFILLABLE = 1001
    SLIPPAGE_EXCEEDED = 1002
    QTY_ABOVE_POSITION = 1003
    TRIGGER_WRONG_SIDE = 1004
    TRIGGER_WOULD_FIRE_IMMEDIATELY = 1005
    # margin and limits
    LEVERAGE_ABOVE_TIER = 1100
    MARGIN_INSUFFICIENT = 1101
    WOULD_BE_LIQUIDATED = 1102
    NOTIONAL_ABOVE_MAX = 1103
    OPEN_INTEREST_ABOVE_MAX = 1104
    POSITIONS_OPEN_MAX = 1105
    # slots
    ORDER_SLOTS_EXHAUSTED = 1200
    POSITION_SLOTS_EXHAUSTED = 1201
    ACCOUNT_SLOTS_EXHAUSTED = 1202


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


class Tif(IntEnum):
    """How long an order may rest."""

    NONE = 0
    GTC = 1
    IOC = 2
    FOK = 3


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


class PositionKind(IntEnum):
    """NET: one per account and market; TICKET: each trade_create opens its own."""

    NONE = 0
    NET = 1
    TICKET = 2


class LedgerReason(IntEnum):
    """Why a leg touched a user's account."""

    NONE = 0
    DEPOSIT = 1
    MARGIN = 2
    PNL = 3
    FEE = 4
    LIQUIDATION_FEE = 5
    DEFICIT = 6


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
RULES_VERSION = 1
