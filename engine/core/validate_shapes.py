"""Do the keys of an order go together? What each kind needs and what does not fit it; reads the command alone."""

from numpy import int64

from engine.core.kernel import kernel
from engine.core.orders import limit_like
from shared.codes import OrderKind, ResultCode, Tif
from shared.records import (
    PRESENT_ACTIVATION,
    PRESENT_CLOSE_PERCENT,
    PRESENT_EXPIRES,
    PRESENT_OCO,
    PRESENT_POSITION_ID,
    PRESENT_PRICE,
    PRESENT_PRICE_TRIGGER,
    PRESENT_QTY,
    PRESENT_QUOTE_QTY,
    PRESENT_SLIPPAGE,
    PRESENT_STOP_LOSS,
    PRESENT_TAKE_PROFIT,
    PRESENT_TPSL,
    PRESENT_TRAIL_PPM,
    PRESENT_TRAIL_TICKS,
    PRESENT_TRIGGER_BY,
)

OK = int(ResultCode.OK)
BRACKET = PRESENT_TAKE_PROFIT | PRESENT_STOP_LOSS
SIZES = PRESENT_QTY | PRESENT_QUOTE_QTY | PRESENT_CLOSE_PERCENT
TRAILS = PRESENT_TRAIL_TICKS | PRESENT_TRAIL_PPM


@kernel
def has_trigger(kind):
    """Return whether an order of this kind states the price that wakes it."""
    return (
        kind == OrderKind.STOP_MARKET
        or kind == OrderKind.STOP_LIMIT
        or kind == OrderKind.TAKE_PROFIT_MARKET
        or kind == OrderKind.TAKE_PROFIT_LIMIT
    )


@kernel
def dormant_kind(kind):
    """Return whether an order of this kind waits for a price before it is one."""
    return has_trigger(kind) or kind == OrderKind.TRAILING_STOP


@kernel
def immediate(tif):
    """Return whether an order of this TIF never rests."""
    return tif == Tif.IOC or tif == Tif.FOK


@kernel
def shape_validate(command, parts):
    """
    Return FIELD_MISSING, else FIELDS_EXCLUSIVE, for keys that do not go together, of an order and its other leg.

    Shapes: parts COMMAND[n]; the leg is parts[command.parts_first].
    """
    pair = command.present & PRESENT_OCO != 0
    if command.present & SIZES == 0 or needed_missing(command):
        return int64(ResultCode.FIELD_MISSING)
    if pair and needed_missing(parts[command.parts_first]):
        return int64(ResultCode.FIELD_MISSING)
    if size_exclusive(command) or bracket_exclusive(command) or kind_exclusive(command):
        return int64(ResultCode.FIELDS_EXCLUSIVE)
    if pair:
        leg = parts[command.parts_first]
        if pair_exclusive(command, leg) or kind_exclusive(leg):
            return int64(ResultCode.FIELDS_EXCLUSIVE)
    return int64(OK)


@kernel
def needed_missing(command):
    """Return whether a key is missing that the kind or TIF of an order needs."""
    present = command.present
    if limit_like(command.order_kind) and present & PRESENT_PRICE == 0:
        return True
    if has_trigger(command.order_kind) and present & PRESENT_PRICE_TRIGGER == 0:
        return True
    if command.order_kind == OrderKind.TRAILING_STOP and present & TRAILS == 0:
        return True
    return command.tif == Tif.GTD and present & PRESENT_EXPIRES == 0


@kernel
def size_exclusive(command):
    """Return whether sizes exclude each other, or one does not fit the order."""
    present = command.present
    sizes = present & SIZES
    if sizes != PRESENT_QTY and sizes != PRESENT_QUOTE_QTY and sizes != PRESENT_CLOSE_PERCENT:
        return True
    if present & PRESENT_QUOTE_QTY and command.order_kind != OrderKind.MARKET:
        return True
    return command.reduce_only == 0 and present & (PRESENT_CLOSE_PERCENT | PRESENT_POSITION_ID) != 0


@kernel
def bracket_exclusive(command):
    """Return whether a bracket does not fit the order."""
    present = command.present
    if present & BRACKET != 0:
        return command.reduce_only != 0
    return present & PRESENT_TPSL != 0


@kernel
def kind_exclusive(command):
    """Return whether a key does not fit the kind or TIF of an order."""
    kind = command.order_kind
    present = command.present
    if kind == OrderKind.TRAILING_STOP:
        if present & TRAILS == TRAILS or present & PRESENT_PRICE_TRIGGER:
            return True
    elif present & (TRAILS | PRESENT_ACTIVATION):
        return True
    if not dormant_kind(kind) and present & (PRESENT_PRICE_TRIGGER | PRESENT_TRIGGER_BY):
        return True
    if limit_like(kind):
        if present & PRESENT_SLIPPAGE or (command.post_only != 0 and immediate(command.tif)):
            return True
    elif command.post_only != 0 or command.tif == Tif.GTC:
        return True
    if kind == OrderKind.MARKET and command.tif == Tif.GTD:
        return True
    return present & PRESENT_EXPIRES != 0 and command.tif != Tif.GTD


@kernel
def pair_exclusive(command, leg):
    """Return whether two orders cannot be the legs of an OCO: both must wait, and at most one of them rests."""
    if command.present & (BRACKET | PRESENT_QUOTE_QTY):
        return True
    if command.order_kind == OrderKind.MARKET or leg.order_kind == OrderKind.MARKET:
        return True
    if command.order_kind == OrderKind.LIMIT and leg.order_kind == OrderKind.LIMIT:
        return True
    return (command.order_kind == OrderKind.LIMIT and immediate(command.tif)) or (
        leg.order_kind == OrderKind.LIMIT and immediate(leg.tif)
    )
