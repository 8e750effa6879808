"""
What the keys of an order must be to each other, and its values to the market's grid; before anything else is looked at.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from tests.reference.intake import TRIGGERS
from tests.reference.markets import PPM, WINDOW_TICKS, Market
from tests.reference.state import DORMANT_KINDS, LIMIT_LIKE, State

AMOUNT_LIMIT = 10**9
FREE_MAX = 10**15
EXPIRES_MS_MAX = 4_102_444_800_000
SIZES = ("qty", "quote_qty", "close_percent")
TRAILS = ("trail_ticks", "trail_ppm")
NEEDS = {
    "market": (),
    "limit": ("price",),
    "stop_market": ("price_trigger",),
    "take_profit_market": ("price_trigger",),
    "stop_limit": ("price", "price_trigger"),
    "take_profit_limit": ("price", "price_trigger"),
    "trailing_stop": (),
}
INHERITED = ("market", "side", "reduce_only", "position_id", "stp", *SIZES)
Values = dict[str, Any]


def leg_of(values: Values) -> Values | None:
    """Return the other leg of an OCO with what it leaves out taken from the first, None when there is none."""
    leg = values.get("oco")
    if leg is None:
        return None
    taken = {key: values[key] for key in INHERITED if key in values}
    if "qty" in leg:
        taken = {key: value for key, value in taken.items() if key not in SIZES}
    return taken | leg


def order_shape_codes(values: Values) -> Iterator[str]:
    """Yield what is missing from an order and the other leg of its OCO, then what does not fit together."""
    leg = leg_of(values)
    for legs in [values, leg]:
        if legs is not None and missing(legs):
            yield "FIELD_MISSING"
    if unfitting(values) or unfitting_size(values) or unfitting_bracket(values):
        yield "FIELDS_EXCLUSIVE"
    if leg is not None and unfitting(leg):
        yield "FIELDS_EXCLUSIVE"
    if leg is not None and unfitting_oco(values, leg):
        yield "FIELDS_EXCLUSIVE"


def missing(values: Values) -> bool:
    """Return whether an order lacks a key that its kind needs."""
    lacks = any(key not in values for key in NEEDS[values["kind"]])
    lacks = lacks or (values["kind"] == "trailing_stop" and not any(key in values for key in TRAILS))
    lacks = lacks or not any(key in values for key in SIZES)
    return lacks or (values.get("tif") == "GTD" and "expires_ms" not in values)


def unfitting_size(values: Values) -> bool:
    """Return whether an order's quantity and position do not go together; the other leg of an OCO has the first's."""
    reduces = values.get("reduce_only", False)
    rules = [
        sum(key in values for key in SIZES) > 1,
        "quote_qty" in values and values["kind"] != "market",
        "close_percent" in values and not reduces,
        "position_id" in values and not reduces,
    ]
    return any(rules)


def unfitting(values: Values) -> bool:
    """Return whether an order has keys that do not go with its kind or with each other."""
    kind, tif = values["kind"], values.get("tif")
    limited, trailing = kind in LIMIT_LIKE, kind == "trailing_stop"
    rules = [
        all(key in values for key in TRAILS),
        not trailing and any(key in values for key in (*TRAILS, "price_activation")),
        kind in ("market", "limit") and ("price_trigger" in values or "trigger_by" in values),
        trailing and "price_trigger" in values,
        limited and "slippage_bps" in values,
        values.get("post_only", False) and (not limited or tif in ("IOC", "FOK")),
        not limited and tif == "GTC",
        kind == "market" and tif == "GTD",
        "expires_ms" in values and tif != "GTD",
    ]
    return any(rules)


def has_bracket(values: Values) -> bool:
    """Return whether an order brings an SL or a TP."""
    return any(values.get(name) is not None for name in TRIGGERS)


def unfitting_bracket(values: Values) -> bool:
    """Return whether an order's bracket does not go with the rest of it."""
    if "tpsl" in values and not has_bracket(values):
        return True
    return has_bracket(values) and values.get("reduce_only", False)


def unfitting_oco(values: Values, leg: Values) -> bool:
    """Return whether two orders cannot be each other's OCO sibling."""
    kinds = (values["kind"], leg["kind"])
    rules = [
        has_bracket(values),
        "market" in kinds,
        any(legs["kind"] == "limit" and legs.get("tif") in ("IOC", "FOK") for legs in (values, leg)),
        "quote_qty" in values,
        kinds == ("limit", "limit"),
    ]
    return any(rules)


def ticks_codes(market: Market, prices: list[Fraction]) -> Iterator[str]:
    """Yield the rules of range and grid that prices break, one price after another."""
    for price in prices:
        if price <= 0 or price / market.tick >= WINDOW_TICKS:
            yield "PRICE_OUT_OF_RANGE"
        if (price / market.tick).denominator != 1:
            yield "PRICE_NOT_ON_TICK"


def lots_codes(market: Market, qty: Fraction) -> list[str]:
    """Return the rules of range and grid that a quantity breaks."""
    codes = ["QTY_OUT_OF_RANGE"] if qty <= 0 else []
    return codes + (["QTY_NOT_ON_LOT"] if (qty / market.lot).denominator != 1 else [])


def amount_codes(amount: Fraction, signed: bool = False) -> list[str]:
    """Return the rule that an amount of money breaks: nothing, too much, or finer than a micro."""
    size = abs(amount) if signed else amount
    return [] if 0 < size < AMOUNT_LIMIT and (amount * PPM).denominator == 1 else ["AMOUNT_OUT_OF_RANGE"]


def percent_codes(percent: Fraction) -> list[str]:
    """Return the rule that a percentage breaks: not whole, or not from 1 to 100."""
    return [] if percent.denominator == 1 and 1 <= percent <= 100 else ["PERCENT_OUT_OF_RANGE"]


def slippage_codes(values: Values) -> list[str]:
    """Return the rule that a slippage outside 0 to 10 000 breaks."""
    return [] if 0 <= values.get("slippage_bps", 0) <= 10_000 else ["SLIPPAGE_OUT_OF_RANGE"]


def trigger_prices(values: Values) -> list[Fraction]:
    """Return the prices of an instruction's TP and SL: trigger, then limit."""
    given = [values[name] for name in TRIGGERS if values.get(name) is not None]
    return [price for trigger, _, limit in given for price in (trigger, limit) if price is not None]


def order_units_codes(state: State, market: Market, values: Values) -> Iterator[str]:
    """Yield the rules of range and grid that an order's own values break."""
    if "qty" in values:
        yield from lots_codes(market, values["qty"])
    if "quote_qty" in values:
        yield from amount_codes(values["quote_qty"])
    if "close_percent" in values:
        yield from percent_codes(values["close_percent"])
    for key in ("price", "price_trigger"):
        if key in values:
            yield from ticks_codes(market, [values[key]])
    for key, limit in (("trail_ticks", WINDOW_TICKS), ("trail_ppm", PPM)):
        if key in values and not 1 <= values[key] < limit:
            yield "TRAIL_OUT_OF_RANGE"
    if "price_activation" in values:
        yield from ticks_codes(market, [values["price_activation"]])
    if "expires_ms" in values and not state.log_time_us < values["expires_ms"] * 1_000 <= EXPIRES_MS_MAX * 1_000:
        yield "EXPIRY_IN_PAST"
    yield from slippage_codes(values)
    yield from ticks_codes(market, trigger_prices(values))


def legs_differ(market: Market, values: Values) -> bool:
    """Return whether the other leg of an OCO contradicts the first."""
    leg = values["oco"]
    same = {
        "market": values["market"],
        "side": values["side"],
        "reduce_only": values.get("reduce_only", False),
        "position_id": values.get("position_id"),
        "qty": values.get("qty"),
    }
    return any(key in leg and leg[key] != wanted for key, wanted in same.items())


def dormant(values: Values) -> bool:
    """Return whether an order of this kind waits for a price before it executes."""
    return values["kind"] in DORMANT_KINDS
