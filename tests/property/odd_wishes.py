"""
Instructions with something wrong: a value of another type, a key too many or too few, an envelope nobody can read.
"""

from typing import TYPE_CHECKING, Any

from tests.property.order_wishes import LIMITED, Wish, ordered
from tests.reference.markets import Market

if TYPE_CHECKING:
    from tests.property.histories import History

SPOILS: list[dict[str, Any]] = [
    {"market": "NONE_USDC_PERP"}, {"market": 7}, {"side": "up"}, {"side": None}, {"qty": "0"}, {"qty": "-1"},
    {"qty": "0.0000001"}, {"qty": 1.5}, {"qty": "9999999999"}, {"qty": "1e5"}, {"price": "0"}, {"price": "99999999999"},
    {"price": "1e5"}, {"price": True}, {"leverage": 0}, {"leverage": "5"}, {"leverage": 1001}, {"slippage_bps": -1},
    {"slippage_bps": 10_001}, {"slippage_bps": 5.0}, {"stop_loss": "0.00000001"}, {"take_profit": "-5"},
    {"stop_loss": {"price": "5"}}, {"take_profit": {"price_trigger": "5", "colour": "red"}}, {"take_profit": []},
    {"client_order_id": "no blanks"}, {"client_order_id": ""}, {"client_order_id": "x" * 37}, {"colour": "red"},
    {"margin": "0"}, {"margin": "0.0000001"}, {"kind": "iceberg"}, {"kind": 3}, {"tif": "DAY"}, {"trigger_by": "moon"},
    {"stp": "nobody"}, {"tpsl": "both"}, {"tpsl": "order"}, {"post_only": 1}, {"reduce_only": "yes"},
    {"expires_ms": "5"},
    {"expires_ms": 1}, {"expires_ms": 4_102_444_800_001}, {"tif": "GTD"}, {"trail_ticks": 0}, {"trail_ppm": 1_000_000},
    {"trail_ticks": "5"}, {"trail_ticks": 1 << 23}, {"close_percent": 50}, {"close_percent": "50"}, {"quote_qty": "5"},
    {"quote_qty": "0"}, {"quote_qty": "1.0000001"}, {"quote_qty": "1000000000"}, {"position_id": 100}, {"oco": 5},
    {"oco": {"kind": "limit"}}, {"oco": {"kind": "stop_market", "colour": "red"}}, {"oco": {"side": "up"}},
    {"oco": None},
    {"price_trigger": "5"}, {"price_activation": "5"}, {"trigger_by": "mark"}, {"stop_loss": None}, {"op": "sing"},
    {"position_id": "100"}, {"order_id": 5.5}, {"order_id": -1}, {"amount": "0"}, {"amount": "1000000000"},
    {"amount": "0.0000001"}, {"timeout_ms": "5"}, {"scope": "some"}, {"percent": "5.5"}, {"percent": 10**18},
    {"mode": "both"}, {"mode": 5}, {"mode": None}, {"account_to": "101"}, {"account_to": 100.5}, {"account_to": None},
    {"leverage_max": "5"}, {"leverage_max": 5.5}, {"daily_loss_max": 5.5}, {"daily_loss_max": "1e5"},
    {"daily_loss_max": "1000000000"}, {"request_id": "short"}, {"v": 2}, {"account": -1}, {"account": "101"}, {"op": 5},
    {"v": True},
]  # fmt: skip


def odd_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return an instruction with one value spoilt, one key too many, or one key too few."""
    from tests.property.wishes import WISHES

    chance = history.chance
    others = sorted(set(WISHES) - {"odd", "batch", "reset"})
    op, values = WISHES[chance.choice(["order", "order", "order", "reduce", "trade", *others])](
        history, account_id, market
    )
    roll = chance.random()
    if roll < 0.15 and values:
        values.pop(chance.choice(sorted(values)))
        return op, values
    if roll < 0.45 and op == "order_place":
        return op, ordered({**values, **unfit(history, values)})
    spoil = chance.choice(SPOILS)
    if roll < 0.85:
        fitting = [spoil for spoil in SPOILS if set(spoil) <= set(values)]
        spoil = chance.choice(fitting or SPOILS)
    return op, ordered({**values, **spoil}) if op == "order_place" else {**values, **spoil}


def unfit(history: "History", values: dict[str, Any]) -> dict[str, Any]:
    """Return a key that is sound by itself and does not go with the kind of the order."""
    limited = values.get("kind") in LIMITED
    price = values.get("price", "5")
    choices: list[dict[str, Any]] = [
        {"quote_qty": "50"}, {"close_percent": 50}, {"position_id": 100}, {"trail_ticks": 5, "trail_ppm": 5},
        {"price_activation": price}, {"price_trigger": price}, {"trigger_by": "mark"},
        {"expires_ms": 4_000_000_000_000},
        {"tpsl": "order"}, {"post_only": True, "tif": "IOC"}, {"reduce_only": True, "take_profit": price},
        {"oco": {"kind": "market"}}, {"tif": "FOK", "oco": {"kind": "stop_market", "price_trigger": price}},
        {"slippage_bps": 5} if limited else {"post_only": True}, {"price_trigger": price, "price": price},
        {"tif": "GTC"} if not limited else {"slippage_bps": 0}, {"tif": "GTD"},
        {"oco": {"kind": "limit", "price": price}, "take_profit": price},
    ]  # fmt: skip
    return history.chance.choice(choices)


def odd_element(history: "History") -> Any:
    """Return something that is no command of a batch."""
    return history.chance.choice(
        [5, None, "order_place", [], {}, {"op": 5}, {"op": "sing"}, {"op": "batch", "commands": []},
         {"op": "account_reset"}, {"op": "subaccount_open"},
         {"op": "account_open", "owner": "0" * 32}, {"op": "market_halt", "market": "X"},
         {"op": "orders_cancel", "colour": "red"}, {"op": "orders_cancel", "market": 5}, {"op": "order_cancel"},
         {"op": "trade_close", "v": 1}, {"op": "deadman_set", "timeout_ms": 0, "account": 100}]
    )  # fmt: skip
