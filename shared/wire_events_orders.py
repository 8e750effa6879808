"""
The JSON of the events about orders and their executions: answers, post-images, ends, fills, trades, triggers; pure.
"""

from shared import units
from shared.codes import CloseReason, Op, OrderKind, OrderStatus, Stp, Tif
from shared.wire_events_text import (
    ACCOUNT,
    BOOLS,
    KINDS,
    REASONS,
    RESULTS,
    SIDES,
    SOURCES,
    STPS,
    Words,
    average,
    client_id,
    get,
    money,
    names_of,
    optional,
    optional_number,
    price,
    price_exact,
    qty,
)

_OPS, _STATUSES = names_of(Op), names_of(OrderStatus)
_TIFS = {int(tif): tif.name for tif in Tif}
_FAILED = (CloseReason.TRIGGER_FAILED, CloseReason.DELAY_FAILED)


def order_response(event: Words, results: list[Words]) -> str:
    """Return the answer to an instruction, that of a batch with the results of its commands."""
    request_id = units.hex_of_pair(get(event, "request_hi"), get(event, "request_lo"))
    listed = f',"results":[{",".join([batch_result(each) for each in results])}]' if results else ""
    return (
        f'{{"e":"order_response","account":{event[ACCOUNT]},"request_id":"{request_id}",'
        f'"op":"{_OPS[get(event, "op")]}","result":"{RESULTS[get(event, "result")]}"{listed}'
        f"{optional_number(event, 'order_id', 'order_id')}{optional_number(event, 'position_id', 'position_id')}"
        f"{optional_number(event, 'first_seq', 'first_seq')}}}"
    )


def batch_result(event: Words) -> str:
    """Return the result of one command of a batch."""
    return (
        f'{{"result":"{RESULTS[get(event, "result")]}"'
        f"{optional_number(event, 'order_id', 'order_id')}{optional_number(event, 'position_id', 'position_id')}}}"
    )


def _head(event: Words, market: str, oco: str = "") -> str:
    """Return what both order events begin with, up to tif; `oco` names the other leg while there is one."""
    tif = get(event, "tif")
    return (
        f'"account":{event[ACCOUNT]},"market":"{market}","order_id":{get(event, "order_id")}'
        f"{optional_number(event, 'position_id', 'position_id')}{oco}"
        f'{client_id(event)},"side":"{SIDES[get(event, "side")]}","kind":"{KINDS[get(event, "order_kind")]}"'
        + (f',"tif":"{_TIFS[tif]}"' if tif else "")
    )


def _numbers(event: Words) -> str:
    """Return quantities and prices, from qty to close_percent."""
    trailing = get(event, "order_kind") == OrderKind.TRAILING_STOP
    parts = [
        optional(event, "qty", "qty_lots", qty),
        f',"qty_filled":"{qty(event, "qty_filled_lots")}"',
        optional(event, "price", "price_ticks", price),
        optional(event, "price_trigger", "price_trigger_ticks", price),
    ]
    if trailing or get(event, "price_trigger_ticks"):
        parts.append(f',"trigger_by":"{SOURCES[get(event, "trigger_by")]}"')
    if trailing:
        parts += [
            optional_number(event, "trail_ticks", "trail_ticks"),
            optional_number(event, "trail_ppm", "trail_ppm"),
            optional(event, "price_activation", "price_activation_ticks", price),
            optional(event, "price_peak", "price_peak_ticks", price),
        ]
    parts.append(optional_number(event, "close_percent", "close_percent"))
    return "".join(parts)


def order_changed(event: Words, market: str) -> str:
    """Return the post-image of a live order."""
    stp, expires_us, slippage_bps = get(event, "stp"), get(event, "expires_us"), get(event, "slippage_bps")
    oco = optional_number(event, "oco_order_id", "oco_id")
    return (
        f'{{"e":"order_changed",{_head(event, market, oco)},"status":"{_STATUSES[get(event, "status")]}"'
        f"{_numbers(event)}"
        + (f',"slippage_bps":{slippage_bps}' if slippage_bps >= 0 else "")
        + f',"post_only":{BOOLS[get(event, "post_only")]},'
        f'"reduce_only":{BOOLS[get(event, "reduce_only")]}'
        + (f',"stp":"{STPS[stp]}"' if stp > Stp.CANCEL_TAKER else "")
        + (f',"expires_ms":{expires_us // 1_000}' if expires_us else "")
        + f',"reserved":"{money(event, "reserved_e6")}","placed_us":{get(event, "opened_us")}}}'
    )


def closed_order(event: Words, market: str) -> str:
    """Return the end of an order, with its whole life."""
    reason = get(event, "reason")
    return (
        f'{{"e":"closed_order",{_head(event, market)},"reason":"{REASONS[reason]}"'
        + (f',"result":"{RESULTS[get(event, "result")]}"' if reason in _FAILED else "")
        + f"{_numbers(event)}{optional(event, 'price_average', 'price_average_e4', average)}"
        f',"fee":"{money(event, "fee_e6")}","pnl_realised":"{money(event, "pnl_e6")}",'
        f'"placed_us":{get(event, "opened_us")},"closed_us":{get(event, "closed_us")}}}'
    )


def fill(event: Words, market: str) -> str:
    """Return one execution of a user's order."""
    return (
        f'{{"e":"fill","account":{event[ACCOUNT]},"market":"{market}","order_id":{get(event, "order_id")},'
        f'"position_id":{get(event, "position_id")},"fill_id":{get(event, "fill_id")},'
        f'"side":"{SIDES[get(event, "side")]}","maker":{BOOLS[get(event, "maker")]},'
        f'"price":"{price_exact(event, "price_average_e4")}","qty":"{qty(event, "qty_lots")}",'
        f'"notional":"{money(event, "notional_e6")}",'
        f'"fee":"{money(event, "fee_e6")}","pnl_realised":"{money(event, "pnl_e6")}"}}'
    )


def trade(event: Words, market: str) -> str:
    """Return one execution as the public sees it."""
    return (
        f'{{"e":"trade","market":"{market}","price":"{price_exact(event, "price_average_e4")}",'
        f'"qty":"{qty(event, "qty_lots")}","side":"{SIDES[get(event, "side")]}"}}'
    )


def trigger_fired(event: Words, market: str) -> str:
    """Return that a dormant order woke."""
    return (
        f'{{"e":"trigger_fired","account":{event[ACCOUNT]},"market":"{market}","order_id":{get(event, "order_id")}'
        f"{optional_number(event, 'position_id', 'position_id')}"
        f',"price_trigger":"{price(event, "price_trigger_ticks")}",'
        f'"trigger_by":"{SOURCES[get(event, "trigger_by")]}","price":"{price(event, "price_ticks")}"}}'
    )
