"""Operation -> the results that the engine may refuse it with, as docs/commands.md lists them (a test compares)."""

from gateway.documents.about import Codes, codes_of
from gateway.shapes import BEYOND
from shared.codes import ResultCode as R

# Of every operation; an entry that cannot be read has no answer, and a repeat is answered with the first outcome.
EVERY: Codes = codes_of(
    R.OP_UNKNOWN,
    R.FIELD_UNKNOWN,
    R.REQUEST_ID_REUSED,
    R.REQUEST_TOO_OLD,
    R.REQUEST_ID_EARLY,
    R.REQUEST_SUPERSEDED,
    R.REQUEST_MEMORY_FULL,
    R.INSTRUCTION_LATE,
    R.INSTRUCTION_EARLY,
    R.ACCOUNT_UNKNOWN,
    R.ACCOUNT_FROZEN,
    R.ACCOUNT_LOCKED,
    R.FIELD_MISSING,
    R.FIELD_TYPE_INVALID,
    R.NUMBER_NOT_TEXT,
    R.NUMBER_MALFORMED,
    R.FIELD_VALUE_UNKNOWN,
    R.TEXT_INVALID,
)
# What opening may meet.
OPENING: Codes = codes_of(
    R.MARKET_UNKNOWN,
    R.MARKET_HALTED,
    R.MARKET_REDUCE_ONLY,
    R.FIELDS_EXCLUSIVE,
    R.PRICE_OUT_OF_RANGE,
    R.PRICE_NOT_ON_TICK,
    R.QTY_OUT_OF_RANGE,
    R.QTY_NOT_ON_LOT,
    R.AMOUNT_OUT_OF_RANGE,
    R.SLIPPAGE_OUT_OF_RANGE,
    R.NOTIONAL_BELOW_MIN,
    R.ORDER_ABOVE_MAX,
    R.ORDERS_OPEN_MAX,
    R.TRIGGERS_OPEN_MAX,
    R.PRICE_STALE,
    R.CLIENT_ORDER_ID_TAKEN,
    R.TRIGGER_WRONG_SIDE,
    R.STP_WOULD_CUT,
    R.LEVERAGE_ABOVE_TIER,
    R.MARGIN_INSUFFICIENT,
    R.WOULD_BE_LIQUIDATED,
    R.NOTIONAL_ABOVE_MAX,
    R.OPEN_INTEREST_ABOVE_MAX,
    R.POSITIONS_OPEN_MAX,
    R.ORDER_SLOTS_EXHAUSTED,
    R.POSITION_SLOTS_EXHAUSTED,
)

_OWN: dict[str, Codes] = {
    "order_place": OPENING
    | codes_of(
        R.OCO_LEGS_DIFFER,
        R.PERCENT_OUT_OF_RANGE,
        R.TRAIL_OUT_OF_RANGE,
        R.EXPIRY_IN_PAST,
        R.PRICE_OUTSIDE_BAND,
        R.POSITION_UNKNOWN,
        R.POST_ONLY_WOULD_TAKE,
        R.FOK_UNFILLABLE,
        R.TRIGGER_WOULD_FIRE_IMMEDIATELY,
        R.REDUCE_ONLY_WOULD_INCREASE,
        R.OCO_LEG_WOULD_TAKE,
    ),
    "order_amend": codes_of(
        R.MARKET_HALTED,
        R.MARKET_REDUCE_ONLY,
        R.FIELDS_EXCLUSIVE,
        R.PRICE_OUT_OF_RANGE,
        R.PRICE_NOT_ON_TICK,
        R.QTY_OUT_OF_RANGE,
        R.QTY_NOT_ON_LOT,
        R.NOTIONAL_BELOW_MIN,
        R.ORDER_ABOVE_MAX,
        R.PRICE_OUTSIDE_BAND,
        R.ORDERS_OPEN_MAX,
        R.PRICE_STALE,
        R.ORDER_UNKNOWN,
        R.ORDER_NOT_AMENDABLE,
        R.POST_ONLY_WOULD_TAKE,
        R.TRIGGER_WOULD_FIRE_IMMEDIATELY,
        R.QTY_BELOW_FILLED,
        R.LEVERAGE_ABOVE_TIER,
        R.MARGIN_INSUFFICIENT,
        R.WOULD_BE_LIQUIDATED,
        R.NOTIONAL_ABOVE_MAX,
        R.OPEN_INTEREST_ABOVE_MAX,
    ),
    "order_cancel": codes_of(
        R.FIELDS_EXCLUSIVE,
        R.ORDER_UNKNOWN,
    ),
    "orders_cancel": codes_of(
        R.MARKET_UNKNOWN,
    ),
    "trade_create": OPENING
    | codes_of(
        R.LEVERAGE_OUT_OF_RANGE,
        R.SLIPPAGE_EXCEEDED,
        R.LIQUIDITY_EXHAUSTED,
        R.LEVERAGE_ABOVE_GUARD,
    ),
    "trade_close": codes_of(
        R.MARKET_HALTED,
        R.FIELDS_EXCLUSIVE,
        R.QTY_OUT_OF_RANGE,
        R.QTY_NOT_ON_LOT,
        R.PERCENT_OUT_OF_RANGE,
        R.ORDERS_OPEN_MAX,
        R.PRICE_STALE,
        R.POSITION_UNKNOWN,
        R.QTY_ABOVE_POSITION,
        R.ORDER_SLOTS_EXHAUSTED,
    ),
    "positions_close_all": codes_of(
        R.MARKET_UNKNOWN,
        R.MARKET_HALTED,
        R.ORDERS_OPEN_MAX,
        R.PRICE_STALE,
        R.ORDER_SLOTS_EXHAUSTED,
    ),
    "position_reverse": codes_of(
        R.MARKET_HALTED,
        R.MARKET_REDUCE_ONLY,
        R.ORDER_ABOVE_MAX,
        R.ORDERS_OPEN_MAX,
        R.PRICE_STALE,
        R.POSITION_UNKNOWN,
        R.POSITION_NOT_NET,
        R.FOK_UNFILLABLE,
        R.LEVERAGE_ABOVE_TIER,
        R.MARGIN_INSUFFICIENT,
        R.WOULD_BE_LIQUIDATED,
        R.NOTIONAL_ABOVE_MAX,
        R.OPEN_INTEREST_ABOVE_MAX,
        R.ORDER_SLOTS_EXHAUSTED,
    ),
    "position_triggers_set": codes_of(
        R.MARKET_HALTED,
        R.PRICE_OUT_OF_RANGE,
        R.PRICE_NOT_ON_TICK,
        R.TRIGGERS_OPEN_MAX,
        R.PRICE_STALE,
        R.POSITION_UNKNOWN,
        R.TRIGGER_WOULD_FIRE_IMMEDIATELY,
        R.ORDER_SLOTS_EXHAUSTED,
    ),
    "margin_change": codes_of(
        R.MARKET_HALTED,
        R.AMOUNT_OUT_OF_RANGE,
        R.PRICE_STALE,
        R.POSITION_UNKNOWN,
        R.POSITION_NOT_ISOLATED,
        R.MARGIN_INSUFFICIENT,
        R.MARGIN_BELOW_REQUIRED,
    ),
    "leverage_set": codes_of(
        R.MARKET_UNKNOWN,
        R.MARKET_HALTED,
        R.LEVERAGE_OUT_OF_RANGE,
        R.PRICE_STALE,
        R.LEVERAGE_ABOVE_TIER,
        R.MARGIN_INSUFFICIENT,
        R.LEVERAGE_ABOVE_GUARD,
    ),
    "margin_mode_set": codes_of(
        R.MARKET_UNKNOWN,
        R.MARGIN_MODE_IN_USE,
    ),
    "deadman_set": codes_of(
        R.TIMEOUT_OUT_OF_RANGE,
    ),
    "account_guards_set": codes_of(
        R.AMOUNT_OUT_OF_RANGE,
        R.LEVERAGE_OUT_OF_RANGE,
        R.SLIPPAGE_OUT_OF_RANGE,
    ),
    "account_transfer": codes_of(
        R.AMOUNT_OUT_OF_RANGE,
        R.ACCOUNT_TARGET_UNKNOWN,
        R.MARGIN_INSUFFICIENT,
    ),
    "account_reset": codes_of(
        R.MARKET_HALTED,
        R.PRICE_STALE,
        R.SUBACCOUNT_NOT_EMPTY,
    ),
    "subaccount_open": codes_of(
        R.SUBACCOUNTS_MAX,
        R.ACCOUNT_SLOTS_EXHAUSTED,
    ),
    "account_open": codes_of(
        R.ACCOUNT_SLOTS_EXHAUSTED,
    ),
}

# Of the commands of a batch only the shape is looked at before any of them runs.
_BATCH: Codes = codes_of(R.BATCH_SIZE_INVALID, R.FIELDS_EXCLUSIVE, R.MARKET_UNKNOWN, *BEYOND.values())


def refusals_of(op: str) -> Codes:
    """Return what an operation as a whole may be refused with; what a batch's commands break stands in its results."""
    return EVERY | (_BATCH if op == "batch" else _OWN[op])
