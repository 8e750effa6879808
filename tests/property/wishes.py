"""
What users of a random history ask for: mostly sensible, often at an edge, now and then impossible.
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.reference.markets import Market
from tests.reference.texts import decimals_of, number_text

if TYPE_CHECKING:
    from tests.property.histories import History

Wish = tuple[str, dict[str, Any]]


def price_near(chance: random.Random, market: Market, sign: int) -> str:
    """Return a limit at the touch, some ticks around it, or at the edge of the band."""
    touch = market.touch(sign) or 1
    if chance.random() < 0.4:
        return number_text(
            max(1, touch - sign * chance.randint(1, 1 + touch // 1000)) * market.tick, decimals_of(market.tick)
        )
    away = chance.choice([0, 0, 1, -1, 2, 3, 10, touch // 500, touch // 100, touch // 30, touch // 15, -touch // 300])
    return number_text(max(1, touch - sign * away) * market.tick, decimals_of(market.tick))


def lots_near(chance: random.Random, history: "History", account_id: int, market: Market, leverage: int) -> int:
    """Return a size from a dust to a little more than the account can carry."""
    free = max(0, history.twin.state.accounts[account_id].free)
    price = (market.ask or 1) * market.unit
    most = max(1, free * leverage // price)
    part = chance.choice([0.01, 0.1, 0.3, 0.5, 0.9, 0.98, 0.99, 0.995, 1.0, 1.2])
    smallest = -(-market.limits["notional_min"] // price)
    chosen = max(1, round(most * part))
    if chance.random() < 0.9:
        chosen = min(chosen, market.limits["order_lots"])
    return chance.choice([chosen, chosen, smallest, max(1, smallest - 1), 7])


def qty_text(market: Market, lots: int) -> str:
    """Return whole lots as quantity text."""
    return number_text(lots * market.lot, decimals_of(market.lot))


def bracket(chance: random.Random, market: Market, sign: int, values: dict[str, Any]) -> None:
    """Add a take-profit and a stop-loss around the touch, sometimes on the wrong side."""
    touch = market.touch(sign) or 1
    for name, way in (("take_profit", 1), ("stop_loss", -1)):
        if chance.random() < 0.4:
            away = chance.choice([1, 2, 5, touch // 1000, touch // 200, touch // 50, -2])
            values[name] = trigger(chance, market, touch + sign * way * away)


def trigger(chance: random.Random, market: Market, ticks: int) -> Any:
    """Return a trigger as bare text or as an object that names its source."""
    text = number_text(max(1, ticks) * market.tick, decimals_of(market.tick))
    if chance.random() < 0.5:
        return text
    return {"price_trigger": text, "trigger_by": chance.choice(["quote", "mark", "mark", "index"])}


def order_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return a market or limit order."""
    chance = history.chance
    side = chance.choice(["buy", "sell"])
    sign = 1 if side == "buy" else -1
    held = history.twin.state.position_net(account_id, market)
    lots = lots_near(chance, history, account_id, market, 10)
    if held is not None and chance.random() < 0.3:
        lots = max(1, abs(held.lots) * chance.choice([1, 1, 2]) // chance.choice([1, 1, 2, 3]))
    kind = "limit" if chance.random() < history.patience else "market"
    values: dict[str, Any] = {"market": market.name, "side": side, "kind": kind, "qty": qty_text(market, lots)}
    if kind == "limit":
        values["price"] = price_near(chance, market, sign)
        values["tif"] = chance.choice(["GTC", "GTC", "GTC", "IOC", "FOK"])
        if values["tif"] == "GTC":
            if chance.random() < 0.2:
                values["post_only"] = True
            if chance.random() < 0.4:
                del values["tif"]
    else:
        if chance.random() < 0.3:
            values["tif"] = chance.choice(["IOC", "FOK"])
        if chance.random() < 0.15:
            values["price"] = price_near(chance, market, sign)
        if chance.random() < 0.2:
            values["slippage_bps"] = chance.choice([0, 1, 50, 500, 10_000])
    bracket(chance, market, sign, values)
    client_id(chance, values)
    return "order_place", ordered(values)


def client_id(chance: random.Random, values: dict[str, Any]) -> None:
    """Add an id of the client's own, from few enough that they collide."""
    if chance.random() < 0.15:
        values["client_order_id"] = f"mine-{chance.randint(1, 4)}"


def ordered(values: dict[str, Any]) -> dict[str, Any]:
    """Return the keys in canonical order."""
    from tests.reference.intake import ORDER_KEYS, TRADE_KEYS

    keys = list(dict.fromkeys([*TRADE_KEYS, "leverage"] if "leverage" in values else ORDER_KEYS))
    return {key: values[key] for key in keys if key in values}


def trade_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return a new ticket by quantity or by margin."""
    chance = history.chance
    side = chance.choice(["buy", "sell"])
    top = market.limits["leverage_max"]
    leverage = chance.choice([1, 2, 5, top // 2 or 1, top, top, top + 1 if chance.random() < 0.2 else top])
    values: dict[str, Any] = {"market": market.name, "side": side, "leverage": leverage}
    if chance.random() < 0.5:
        free = max(0, history.twin.state.accounts[account_id].free)
        amount = max(1, round(free * chance.choice([0.01, 0.1, 0.5, 0.9, 0.97, 1.0])))
        values["margin"] = number_text(amount, 0) if amount < 10 else f"{amount // 10**6}.{amount % 10**6:06d}"
    else:
        values["qty"] = qty_text(market, lots_near(chance, history, account_id, market, leverage))
    if chance.random() < 0.1:
        values["slippage_bps"] = chance.choice([0, 3, 100])
    bracket(chance, market, 1 if side == "buy" else -1, values)
    client_id(chance, values)
    return "trade_create", ordered(values)


def position_id_near(history: "History", account_id: int) -> int:
    """Return a position's id: mostly one's own, sometimes another's, sometimes nobody's."""
    own = [row.position_id for row in history.twin.state.positions_of(account_id)]
    every = list(history.twin.state.positions) or [1]
    if own and history.chance.random() < 0.93:
        return history.chance.choice(own)
    return history.chance.choice([*every, 999_999])


def close_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the closing of a position, whole or in part."""
    chance = history.chance
    values: dict[str, Any] = {"position_id": position_id_near(history, account_id)}
    position = history.twin.state.positions.get(values["position_id"])
    how = chance.choice(["all", "percent", "qty", "qty"])
    if how == "percent":
        values["percent"] = chance.choice([1, 25, "50", 100, 99, 0, 101])
    elif how == "qty" and position is not None:
        lots = max(1, abs(position.lots) * chance.choice([1, 1, 1, 3]) // chance.choice([1, 2, 3, 5]))
        values["qty"] = qty_text(position.market, lots)
    return "trade_close", values


def triggers_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return new SL and TP for a position, or their removal."""
    chance = history.chance
    values: dict[str, Any] = {"position_id": position_id_near(history, account_id)}
    position = history.twin.state.positions.get(values["position_id"])
    if position is not None:
        sign = 1 if position.lots > 0 else -1
        bracket(chance, position.market, sign, values)
    for name in ("take_profit", "stop_loss"):
        if chance.random() < 0.15 or (name == "stop_loss" and len(values) == 1 and chance.random() < 0.9):
            values[name] = None
    return "position_triggers_set", values


def cancel_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the cancelling of one order by either id."""
    chance = history.chance
    own = [row.order_id for row in history.twin.state.orders_of(account_id)]
    every = list(history.twin.state.orders) or [1]
    if chance.random() < 0.15:
        return "order_cancel", {"client_order_id": f"mine-{chance.randint(1, 4)}"}
    return "order_cancel", {"order_id": chance.choice(own if own and chance.random() < 0.9 else [*every, 10**9])}


def cancel_all_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the cancelling of all orders, of one market or of all."""
    return "orders_cancel", {"market": market.name} if history.chance.random() < 0.5 else {}


def odd_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return an order with one value spoilt."""
    chance = history.chance
    wish = chance.choice([order_wish, trade_wish])
    op, values = wish(history, account_id, market)
    spoils: list[dict[str, Any]] = [
        {"market": "NONE_USDC_PERP"}, {"side": "up"}, {"qty": "0"}, {"qty": "-1"}, {"qty": "0.0000001"},
        {"price": "0"}, {"price": "99999999999"}, {"leverage": 0}, {"slippage_bps": -1}, {"slippage_bps": 10_001},
        {"stop_loss": "0.00000001"}, {"take_profit": "-5"}, {"client_order_id": "no blanks"}, {"qty": 1.5},
        {"colour": "red"}, {"price": "1e5"}, {"margin": "0"}, {"leverage": "5"}, {"qty": "9999999999"},
    ]  # fmt: skip
    values.update(chance.choice(spoils))
    return op, values


WISHES: dict[str, Callable[["History", int, Market], Wish]] = {
    "order": order_wish,
    "trade": trade_wish,
    "close": close_wish,
    "triggers": triggers_wish,
    "cancel": cancel_wish,
    "cancel_all": cancel_all_wish,
    "odd": odd_wish,
}
