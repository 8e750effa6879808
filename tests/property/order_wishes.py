"""
Orders of a random history: every kind, life, flag, form of quantity, bracket and pair; mostly sensible.
"""

from typing import TYPE_CHECKING, Any

from tests.property import amounts
from tests.reference.markets import WINDOW_TICKS, Market

if TYPE_CHECKING:
    from tests.property.histories import History

Wish = tuple[str, dict[str, Any]]
STOPS = ("stop_market", "stop_limit")
TAKES = ("take_profit_market", "take_profit_limit")
LIMITED = ("limit", "stop_limit", "take_profit_limit")
ORDER_KEYS = (
    "market", "side", "kind", "qty", "quote_qty", "close_percent", "price", "price_trigger", "trigger_by",
    "trail_ticks", "trail_ppm", "price_activation", "tif", "expires_ms", "post_only", "reduce_only", "position_id",
    "stp", "slippage_bps", "take_profit", "stop_loss", "tpsl", "oco", "client_order_id",
)  # fmt: skip
SIGNS = {"buy": 1, "sell": -1}


def side_of(sign: int) -> str:
    """Return the text of a side."""
    return "buy" if sign > 0 else "sell"


def ordered(values: dict[str, Any]) -> dict[str, Any]:
    """Return an order's keys in canonical order, others behind."""
    known = {key: values[key] for key in ORDER_KEYS if key in values}
    return {**known, **{key: value for key, value in values.items() if key not in known}}


def client_id_add(history: "History", values: dict[str, Any], likely: float = 0.15) -> None:
    """Add an id of the client's own, from few enough that they collide."""
    if history.chance.random() < likely:
        values["client_order_id"] = f"mine-{history.chance.randint(1, 4)}"


def order_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return an order of the kind that the seed prefers."""
    chance = history.chance
    roll = chance.random()
    if roll < 0.18 and history.twin.state.positions_of(account_id):
        return reduce_wish(history, account_id, market)
    sign = chance.choice([1, -1])
    kinds = list(history.order_kinds)
    kind = chance.choices(kinds, [history.order_kinds[name] for name in kinds])[0]
    values: dict[str, Any] = {"market": market.name, "side": side_of(sign), "kind": kind}
    prices_add(history, market, sign, values)
    lots = amounts.lots_near(history, account_id, market, history.leverage_near(market))
    held = history.twin.state.position_net(account_id, market)
    if held is not None and chance.random() < 0.3:
        lots = amounts.held_share(history, held.lots)
    if kind == "market" and chance.random() < 0.25:
        values["quote_qty"] = amounts.margin_near(history, account_id)
    else:
        values["qty"] = amounts.qty_text(market, lots)
    life_add(history, values)
    flags_add(history, values)
    if chance.random() < history.pairs:
        values["oco"] = leg(history, market, sign, values)
    elif chance.random() < history.brackets:
        amounts.bracket_add(history, market, sign, values)
        if ("take_profit" in values or "stop_loss" in values) and chance.random() < 0.6:
            values["tpsl"] = chance.choice(["order", "order", "position"])
    client_id_add(history, values)
    return "order_place", ordered(values)


def prices_add(history: "History", market: Market, sign: int, values: dict[str, Any]) -> None:
    """Add the prices that a kind needs: its limit or worst price, its trigger and source, its trail."""
    chance, kind = history.chance, values["kind"]
    if kind in LIMITED or (chance.random() < 0.15 and "price" not in values):
        values["price"] = amounts.price_text(market, amounts.limit_ticks(history, market, sign))
    if kind in STOPS or kind in TAKES:
        ticks = amounts.trigger_ticks(history, market, sign if kind in STOPS else -sign)
        values["price_trigger"] = amounts.price_text(market, ticks)
        if kind in LIMITED:
            near = ticks + sign * chance.choice([0, 0, 1, 3, -2, ticks // 200, -ticks // 200])
            values["price"] = amounts.price_text(market, min(near, WINDOW_TICKS - 1))
    if kind == "trailing_stop":
        touch = amounts.touch_near(history, market, sign)
        if chance.random() < 0.5:
            values["trail_ticks"] = max(1, chance.choice([1, 2, 5, touch // 2000, touch // 500, touch // 100, touch]))
        else:
            values["trail_ppm"] = chance.choice([1, 200, 1_000, 5_000, 20_000, 999_999])
        if chance.random() < 0.03:
            name = "trail_ticks" if "trail_ticks" in values else "trail_ppm"
            values[name] = chance.choice([0, -1, 1 << 23, 1_000_000] if name == "trail_ppm" else [0, -1, 1 << 23])
        if chance.random() < 0.45:
            ticks = amounts.trigger_ticks(history, market, -sign)
            values["price_activation"] = amounts.price_text(market, ticks)
    if kind not in ("market", "limit") and chance.random() < 0.6:
        values["trigger_by"] = chance.choice(["quote", "mark", "mark", "index"])


def life_add(history: "History", values: dict[str, Any]) -> None:
    """Add a time in force that goes with the kind, and the end of one that has an end."""
    chance, kind = history.chance, values["kind"]
    if kind == "market":
        if chance.random() < 0.35:
            values["tif"] = chance.choice(["IOC", "FOK"])
        return
    choices = ["GTC", "GTC", "GTC", "IOC", "FOK", "GTD"] if kind in LIMITED else ["IOC", "FOK", "GTD"]
    if chance.random() < 0.6:
        values["tif"] = chance.choice(choices)
    if values.get("tif") == "GTD":
        values["expires_ms"] = expiry_near(history)


def expiry_near(history: "History") -> int:
    """Return an end of life soon after log time, rarely at or before it."""
    now_us = history.twin.state.log_time_us
    return -(-now_us // 1_000) + history.chance.choice([1, 1, 100, 700, 2_000, 5_000, 20_000, 60_000, 3_600_000, 0, -1])


def flags_add(history: "History", values: dict[str, Any]) -> None:
    """Add post-only, self-trade prevention and slippage where they fit."""
    chance = history.chance
    kind, tif = values["kind"], values.get("tif")
    if kind in LIMITED and tif not in ("IOC", "FOK") and chance.random() < 0.2:
        values["post_only"] = True
    elif chance.random() < 0.03:
        values["post_only"] = False
    if chance.random() < 0.4:
        values["stp"] = chance.choice(["cancel_taker", "cancel_maker", "cancel_both"])
    if kind not in LIMITED and chance.random() < 0.2:
        values["slippage_bps"] = chance.choice([0, 0, 1, 5, 50, 500, 10_000])


def reduce_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return an order that may only reduce: of any kind, of a net position or a ticket, in any form of quantity."""
    chance = history.chance
    held = history.twin.state.positions_of(account_id)
    position = chance.choice(held) if held else None
    here = position.market if position is not None and chance.random() < 0.95 else market
    long = position is None or position.lots > 0
    sign = (-1 if long else 1) * (1 if chance.random() < 0.95 else -1)
    kind = chance.choice(["market", "limit", "limit", "limit", *STOPS, *TAKES, "trailing_stop"])
    values: dict[str, Any] = {"market": here.name, "side": side_of(sign), "kind": kind, "reduce_only": True}
    prices_add(history, here, sign, values)
    life_add(history, values)
    if chance.random() < 0.3:
        values["close_percent"] = chance.choice([1, 10, 33, 50, 99, 100, 100, 0, 101])
    else:
        lots = amounts.held_share(history, position.lots) if position is not None else 1
        values["qty"] = amounts.qty_text(here, lots)
    if position is not None and (position.kind == "ticket" or chance.random() < 0.3):
        values["position_id"] = position.position_id
    elif chance.random() < 0.05:
        values["position_id"] = chance.choice([*history.twin.state.positions, 999_999])
    flags_add(history, values)
    if chance.random() < history.pairs:
        values["oco"] = leg(history, here, sign, values)
    client_id_add(history, values)
    return "order_place", ordered(values)


def leg(history: "History", market: Market, sign: int, first: dict[str, Any]) -> dict[str, Any]:
    """Return the other leg of a pair; the first is turned into something that may have one."""
    chance = history.chance
    if first["kind"] == "market" and chance.random() < 0.97:
        first["kind"] = "limit"
        first.pop("slippage_bps", None)
        for key in ("tif", "quote_qty"):
            first.pop(key, None)
        touch = amounts.touch_near(history, market, sign)
        first["price"] = amounts.price_text(market, touch - sign * chance.choice([1, 2, 5, touch // 300]))
        if "close_percent" not in first and "qty" not in first:
            first["qty"] = amounts.qty_text(market, max(1, 10 * market.limits["notional_min"] // (touch * market.unit)))
    if first.get("tif") in ("IOC", "FOK") and chance.random() < 0.97 and first["kind"] in LIMITED:
        first.pop("tif")
    kinds = ["stop_market", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop"]
    if first["kind"] != "limit" or chance.random() < 0.03:
        kinds += ["limit", "limit", "limit"]
    other: dict[str, Any] = {"kind": chance.choice(kinds)}
    prices_add(history, market, sign, other)
    if chance.random() < 0.3:
        life_add(history, other)
    flags_add(history, other)
    same = {key: first[key] for key in ("market", "side", "qty", "reduce_only", "position_id") if key in first}
    other.update({key: value for key, value in same.items() if chance.random() < 0.25})
    if chance.random() < 0.08:
        spoil = chance.choice(
            [{"side": side_of(-sign)}, {"market": chance.choice(list(history.twin.state.markets))}, {"qty": "1"},
             {"reduce_only": not first.get("reduce_only", False)}, {"position_id": 100}, {"kind": "market"},
             {"tif": "up"}, {"close_percent": 50}, {"qty": 1.5}]
        )  # fmt: skip
        other.update(spoil)
    client_id_add(history, other, 0.1)
    return ordered(other)


def amend_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the change of a live order: its quantity up or down to what is filled, its price, its trigger."""
    chance = history.chance
    own = history.twin.state.orders_of(account_id)
    resting = [order for order in own if order.status == "resting"]
    partly = [order for order in resting if order.lots_filled]
    if resting and chance.random() < 0.7:
        own = partly if partly and chance.random() < 0.6 else resting
    if not own:
        values: dict[str, Any] = {"order_id": chance.choice([*history.twin.state.orders, 10**9])}
        values["qty"] = "1"
        return "order_amend", values
    order = chance.choice(own)
    values = {"order_id": order.order_id}
    if order.client_order_id and chance.random() < 0.5:
        values = {"client_order_id": order.client_order_id}
        if chance.random() < 0.05:
            values["order_id"] = order.order_id
    here, sign = order.market, order.sign
    if chance.random() < 0.5:
        filled = order.lots_filled
        if filled and chance.random() < 0.5:
            lots = filled + chance.choice([-1, 0, 0, 1, 2])
        else:
            lots = chance.choice([order.lots - 1, order.lots // 2, order.lots, order.lots + 1, order.lots * 2])
        values["qty"] = amounts.qty_text(here, max(0, lots) or chance.choice([0, 1, 1]))
    if chance.random() < 0.5:
        ticks = amounts.limit_ticks(history, here, sign)
        if order.price and chance.random() < 0.3:
            ticks = order.price + chance.choice([0, 0, 1, -1])
        values["price"] = amounts.price_text(here, ticks)
    if chance.random() < (0.05 if order.status == "resting" else 0.6):
        ticks = amounts.trigger_ticks(history, here, chance.choice([1, -1]))
        if order.price_trigger and chance.random() < 0.5:
            ticks = order.price_trigger + chance.choice([0, 1, -1, 10, -10])
        values["price_trigger"] = amounts.price_text(here, ticks)
    return "order_amend", values
