"""
The JSON of the events about accounts and positions: post-images, ends, ledger legs, funding, forced closes; pure.
"""

from shared import units
from shared.codes import LedgerReason, MarginMode
from shared.records import GUARD_LEVERAGE, GUARD_LOSS, GUARD_SLIPPAGE, GUARD_STP
from shared.wire_events_text import (
    ACCOUNT,
    COUNTERS,
    MODES,
    POSITIONS,
    REASONS,
    SOURCES,
    STPS,
    Words,
    average,
    get,
    money,
    names_of,
    optional,
    optional_number,
    price,
    qty,
    rate,
)

_LEDGER = names_of(LedgerReason)


def account_opened(event: Words, market: str) -> str:
    """Return a new account."""
    owner = units.hex_of_pair(get(event, "owner_hi"), get(event, "owner_lo"))
    return (
        f'{{"e":"account_opened","account":{event[ACCOUNT]},"owner":"{owner}"'
        f"{optional_number(event, 'main', 'account_main')}{optional_number(event, 'sub', 'sub')}}}"
    )


def _across(event: Words) -> str:
    """Return the mode of what is margined across its account; nothing of what is isolated."""
    return ',"mode":"cross"' if get(event, "mode") == MarginMode.CROSS else ""


def account_changed(event: Words, market: str) -> str:
    """Return the post-image of an account."""
    return (
        f'{{"e":"account_changed","account":{event[ACCOUNT]},"free":"{money(event, "free_e6")}",'
        f'"reserved":"{money(event, "reserved_e6")}"{_across(event)}'
        + (',"frozen":true' if get(event, "frozen") else "")
        + f"{optional_number(event, 'deadman_us', 'deadman_us')}{optional_number(event, 'resets', 'resets')}"
        + f"{optional_number(event, 'locked_until_ms', 'locked_until_ms')}}}"
    )


def account_market_changed(event: Words, market: str) -> str:
    """Return what an account has set for a market."""
    return (
        f'{{"e":"account_market_changed","account":{event[ACCOUNT]},"market":"{market}",'
        f'"leverage":{get(event, "leverage")},"mode":"{MODES[get(event, "mode")]}"}}'
    )


def account_guards_changed(event: Words, market: str) -> str:
    """Return what an owner forbids himself, and what holds where his orders say nothing."""
    guards = get(event, "guards")
    return (
        f'{{"e":"account_guards_changed","account":{event[ACCOUNT]}'
        + (f',"leverage_max":{get(event, "leverage_most")}' if guards & GUARD_LEVERAGE else "")
        + (f',"daily_loss_max":"{money(event, "loss_most_e6")}"' if guards & GUARD_LOSS else "")
        + (f',"slippage_bps":{get(event, "slippage_bps")}' if guards & GUARD_SLIPPAGE else "")
        + (f',"stp":"{STPS[get(event, "stp")]}"' if guards & GUARD_STP else "")
        + "}"
    )


def ledger(event: Words, market: str) -> str:
    """Return one leg of a movement of money."""
    counter = get(event, "counter")
    name = f"position:{-counter}" if counter < 0 else COUNTERS.get(counter, f"account:{counter}")
    return (
        f'{{"e":"ledger","account":{event[ACCOUNT]},"amount":"{money(event, "amount_e6")}","counter":"{name}",'
        f'"reason":"{_LEDGER[get(event, "reason")]}","ref":{get(event, "reference")},'
        f'"free_after":"{money(event, "free_e6")}"}}'
    )


def _head(kind: str, event: Words, market: str) -> str:
    """Return what every event about one position begins with."""
    return f'{{"e":"{kind}","account":{event[ACCOUNT]},"market":"{market}","position_id":{get(event, "position_id")}'


def _sums(event: Words) -> str:
    """Return what a position has earned and cost so far."""
    return (
        f'"pnl_realised":"{money(event, "pnl_e6")}","fees":"{money(event, "fee_e6")}",'
        f'"funding":"{money(event, "funding_e6")}"'
    )


def _child(event: Words, name: str) -> str:
    """Return a position's SL or TP, or nothing."""
    if not get(event, f"{name}_id"):
        return ""
    return (
        f',"{name}":{{"order_id":{get(event, f"{name}_id")},"price_trigger":"{price(event, f"{name}_ticks")}",'
        f'"trigger_by":"{SOURCES[get(event, f"{name}_by")]}"'
        f"{optional(event, 'price', f'{name}_price_ticks', price)}}}"
    )


def position_changed(event: Words, market: str) -> str:
    """Return the post-image of a position."""
    return (
        f'{_head("position_changed", event, market)},"kind":"{POSITIONS[get(event, "position_kind")]}"'
        f'{_across(event)},"qty":"{qty(event, "qty_lots")}","leverage":{get(event, "leverage")}'
        f"{optional(event, 'price_entry', 'price_average_e4', average)}"
        f',"cost":"{money(event, "cost_e6")}","margin":"{money(event, "margin_e6")}"'
        f"{optional(event, 'price_liquidation', 'price_liquidation_ticks', price)}"
        f"{_child(event, 'take_profit')}{_child(event, 'stop_loss')}"
        f',{_sums(event)},"opened_us":{get(event, "opened_us")}}}'
    )


def closed_position(event: Words, market: str) -> str:
    """Return the end of a position, with its whole life."""
    direction = "long" if get(event, "side") > 0 else "short"
    return (
        f'{_head("closed_position", event, market)},"kind":"{POSITIONS[get(event, "position_kind")]}",'
        f'"direction":"{direction}","qty":"{qty(event, "qty_lots")}",'
        f'"price_entry":"{average(event, "price_average_e4")}","price_exit":"{average(event, "price_exit_e4")}",'
        f'{_sums(event)},"reason":"{REASONS[get(event, "reason")]}",'
        f'"opened_us":{get(event, "opened_us")},"closed_us":{get(event, "closed_us")}}}'
    )


def funding(event: Words, market: str) -> str:
    """Return what one position paid or received."""
    return (
        f'{_head("funding", event, market)},"rate":"{rate(event, "rate_ppb")}",'
        f'"price_mark":"{price(event, "price_mark_ticks")}","amount":"{money(event, "amount_e6")}",'
        f'"due_ms":{get(event, "due_ms")}}}'
    )


def liquidation(event: Words, market: str) -> str:
    """Return that a position is closed by force."""
    return (
        f'{_head("liquidation", event, market)},"order_id":{get(event, "order_id")},'
        f'"qty":"{qty(event, "qty_lots")}","price":"{price(event, "price_ticks")}",'
        f'"price_mark":"{price(event, "price_mark_ticks")}"'
        f"{optional(event, 'price_bankruptcy', 'price_bankruptcy_ticks', price)}}}"
    )


def margin_call(event: Words, market: str) -> str:
    """Return that a position, or all cross positions of an account together, come near liquidation."""
    sums = f'"equity":"{money(event, "equity_e6")}","margin_maintenance":"{money(event, "maintenance_e6")}"}}'
    if get(event, "mode") == MarginMode.CROSS:
        return f'{{"e":"margin_call","account":{event[ACCOUNT]},"mode":"cross",{sums}'
    mark = price(event, "price_mark_ticks")
    return f'{_head("margin_call", event, market)},"mode":"isolated","price_mark":"{mark}",{sums}'


def adl(event: Words, market: str) -> str:
    """Return that a position was closed, wholly or in part, to take the other side of a liquidation."""
    return (
        f'{_head("adl", event, market)},"order_id":{get(event, "order_id")},'
        f'"liquidation_order_id":{get(event, "liquidation_id")},'
        f'"qty":"{qty(event, "qty_lots")}","price":"{price(event, "price_ticks")}"}}'
    )


def deficit(event: Words, market: str) -> str:
    """Return what the venue paid for a position that was worth less than nothing."""
    return (
        f'{_head("deficit", event, market)},"payer":"{COUNTERS[get(event, "counter")]}",'
        f'"amount":"{money(event, "amount_e6")}"}}'
    )
