"""
The words of one event record -> the texts of its fields: names, money, prices, quantities, optional keys; pure.

An event record carries its market's scales, so a text needs nothing but the record.
"""

from collections.abc import Callable
from enum import IntEnum

from shared import records as r
from shared import units
from shared.codes import CloseReason, MarginMode, OrderKind, PositionKind, ResultCode, Side, Stp, TriggerBy

AT = r.word_offsets(r.EVENT)
KIND, MARKET, ACCOUNT = AT["kind"], AT["market"], AT["account"]
_TICK, _LOT = AT["tick_e12"], AT["lot_e12"]
_GRID = 10_000  # parts of a tick in which averages are held
BOOLS = ("false", "true")
COUNTERS = {1: "external", 2: "house", 3: "fees", 4: "insurance"}

Words = list[int]


def names_of(codes: type[IntEnum]) -> dict[int, str]:
    """Return the name on the wire of each of these numbers."""
    return {int(code): code.name.lower() for code in codes}


SIDES, KINDS, REASONS = names_of(Side), names_of(OrderKind), names_of(CloseReason)
SOURCES, POSITIONS = names_of(TriggerBy), names_of(PositionKind)
STPS, MODES = names_of(Stp), names_of(MarginMode)
RESULTS = {int(code): code.name for code in ResultCode}


def get(event: Words, name: str) -> int:
    """Return one field's word."""
    return event[AT[name]]


def money(event: Words, name: str) -> str:
    """Return micro-USDC with six decimals."""
    return units.money_text(event[AT[name]])


def price(event: Words, name: str) -> str:
    """Return ticks on the market's grid."""
    tick_e12 = event[_TICK]
    return units.decimal_text(event[AT[name]] * tick_e12, units.decimals_of(tick_e12))


def qty(event: Words, name: str) -> str:
    """Return lots on the market's grid."""
    lot_e12 = event[_LOT]
    return units.decimal_text(event[AT[name]] * lot_e12, units.decimals_of(lot_e12))


def average(event: Words, name: str) -> str:
    """Return ten-thousandths of a tick, always with four decimals more than the grid has."""
    part_e12 = event[_TICK] // _GRID
    return units.decimal_text(event[AT[name]] * part_e12, units.decimals_of(part_e12))


def price_exact(event: Words, name: str) -> str:
    """Return ten-thousandths of a tick: on the grid when they lie on it, else with four decimals more."""
    ticks, parts = divmod(event[AT[name]], _GRID)
    if parts:
        return average(event, name)
    tick_e12 = event[_TICK]
    return units.decimal_text(ticks * tick_e12, units.decimals_of(tick_e12))


def half(event: Words, name: str) -> str:
    """Return half ticks with the decimals that a half tick needs."""
    half_e12 = event[_TICK] // 2
    return units.decimal_text(event[AT[name]] * half_e12, units.decimals_of(half_e12))


def rate(event: Words, name: str) -> str:
    """Return a rate in 10⁻⁹ as text with nine decimals."""
    return units.decimal_text(event[AT[name]] * 1_000, 9)


def optional(event: Words, key: str, name: str, text: Callable[[Words, str], str]) -> str:
    """Return `,"key":"text"` when the field is not zero, else nothing."""
    return f',"{key}":"{text(event, name)}"' if event[AT[name]] else ""


def optional_number(event: Words, key: str, name: str) -> str:
    """Return `,"key":number` when the field is not zero, else nothing."""
    return f',"{key}":{event[AT[name]]}' if event[AT[name]] else ""


def client_id(event: Words) -> str:
    """Return the client order id when there is one."""
    at = AT["client_order_id"]
    if event[at] == 0:
        return ""
    return f',"client_order_id":"{units.text_of_words(event[at : at + r.CLIENT_ID_WORDS])}"'
