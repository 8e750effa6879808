"""
The habits of a violent day's accounts: takers, tickets, makers, stops, trails, pairs, brackets, reducers, gamblers.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.violent_crowd import Crowd

Wish = tuple[str, dict[str, Any]]
SOURCES = ("quote", "mark", "mark", "index")
STOPS = ("stop_market", "stop_limit")
TAKES = ("take_profit_market", "take_profit_limit")


def side_of(sign: int) -> str:
    """Return the text of a side."""
    return "buy" if sign > 0 else "sell"


def order(market: str, sign: int, kind: str, **keys: Any) -> Wish:
    """Return an order with the keys that are there."""
    values = {"market": market, "side": side_of(sign), "kind": kind, **keys}
    return "order_place", {key: value for key, value in values.items() if value is not None}


def taker(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return a market order, by quantity or by money."""
    chance, sign = crowd.chance, crowd.chance.choice([1, -1])
    tif, slippage = chance.choice([None, None, "IOC", "FOK"]), chance.choice([None, None, None, 5, 100])
    if chance.random() < 0.2:
        money = crowd.money(crowd.free(account) * Decimal("0.2") + 5)
        return order(market, sign, "market", quote_qty=money, tif=tif, slippage_bps=slippage)
    lots = crowd.lots(account, crowd.leverage(account, market), crowd.share())
    return order(market, sign, "market", qty=crowd.qty(lots), tif=tif, slippage_bps=slippage)


def ticket(crowd: "Crowd", account: int, market: str, share: float = 0.0) -> Wish:
    """Return a ticket at one of many leverages, half of them with SL and TP."""
    chance, sign = crowd.chance, crowd.chance.choice([1, -1])
    top = crowd.day.leverage_max
    leverage = top if share else chance.choice([1, 2, 5, 10, 20, 40, top // 2, top])
    values: dict[str, Any] = {"market": market, "side": side_of(sign)}
    part = share or crowd.share()
    if chance.random() < 0.5:
        values["margin"] = crowd.money(crowd.free(account) * Decimal(f"{part:.4f}") + 1)
    else:
        values["qty"] = crowd.qty(crowd.lots(account, leverage, part))
    values["leverage"] = leverage
    if chance.random() < 0.5:
        values |= bracket(crowd, sign, crowd.touch(sign))
    return "trade_create", values


def bracket(crowd: "Crowd", sign: int, ticks: int) -> dict[str, Any]:
    """Return a take-profit, a stop-loss, or both around a price; some with a source, a limit."""
    chance, found = crowd.chance, {}
    for name, way in (("take_profit", sign), ("stop_loss", -sign)):
        if chance.random() < 0.75:
            trigger = ticks + way * (crowd.away() + 12)
            value: dict[str, Any] = {"price_trigger": crowd.price(trigger), "trigger_by": chance.choice(SOURCES)}
            if chance.random() < 0.25:
                value["price"] = crowd.price(trigger - sign * chance.choice([0, 5, 50]))
            found[name] = value if chance.random() < 0.7 else crowd.price(trigger)
    return found


def maker(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return a resting limit near or inside the spread; one that has several may amend or cancel one."""
    chance, sign = crowd.chance, crowd.chance.choice([1, -1])
    own = crowd.orders(account, "resting")
    if len(own) > 3 and chance.random() < 0.4:
        return amended(crowd, account) if chance.random() < 0.6 else cancelled(crowd, account)
    ticks = crowd.touch(-sign) + sign * chance.choice([0, 1, 3, 7, 9, -1, -10, -crowd.away(0.01)])
    lots = crowd.lots(account, crowd.leverage(account, market), crowd.share())
    return order(
        market, sign, "limit", qty=crowd.qty(lots), price=crowd.price(ticks), **life(crowd),
        post_only=chance.choice([None, None, True]), stp=chance.choice([None, "cancel_maker", "cancel_both"]),
    )  # fmt: skip


def life(crowd: "Crowd") -> dict[str, Any]:
    """Return how long an order lives: mostly until cancelled, else a minute or two."""
    if crowd.chance.random() < 0.75:
        return {}
    return {"tif": "GTD", "expires_ms": crowd.now_us // 1_000 + crowd.chance.choice([20_000, 50_000, 130_000])}


def amended(crowd: "Crowd", account: int) -> Wish:
    """Return the change of a resting order's price or quantity."""
    chance = crowd.chance
    one = chance.choice(crowd.orders(account, "resting"))
    sign = 1 if one["side"] == "buy" else -1
    values: dict[str, Any] = {"order_id": one["order_id"]}
    if chance.random() < 0.6:
        values["qty"] = crowd.qty(int(Decimal(one["qty"]) / crowd.lot * chance.choice([1, 1, 2, 3]) / 2))
    if chance.random() < 0.6 or "qty" not in values:
        values["price"] = crowd.price(crowd.touch(-sign) + sign * chance.choice([0, 2, 5, -5, -30, 12]))
    return "order_amend", values


def cancelled(crowd: "Crowd", account: int) -> Wish:
    """Return the cancelling of one order."""
    one = crowd.chance.choice(crowd.orders(account, "resting", "trigger", "delayed"))
    return "order_cancel", {"order_id": one["order_id"]}


def stopper(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return a dormant order beyond the touch: a stop in the market's way, or a take-profit against it."""
    chance, sign = crowd.chance, crowd.chance.choice([1, -1])
    kind = chance.choice(STOPS + TAKES)
    trigger = crowd.touch(sign) + (sign if kind in STOPS else -sign) * (crowd.away() + 12)
    limit = crowd.price(trigger + sign * chance.choice([0, 10, 60, -10])) if kind.endswith("limit") else None
    lots = crowd.lots(account, crowd.leverage(account, market), crowd.share())
    return order(
        market, sign, kind, qty=crowd.qty(lots), price=limit, price_trigger=crowd.price(trigger),
        trigger_by=chance.choice(SOURCES), **life(crowd),
    )  # fmt: skip


def trailer(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return a trailing stop, on a position if there is one, with an activation price now and then."""
    chance = crowd.chance
    held = crowd.positions(account)
    one = chance.choice(held) if held and chance.random() < 0.8 else None
    sign = chance.choice([1, -1]) if one is None else way_out(one)
    trail = {"trail_ppm": chance.choice([300, 1_000, 4_000, 15_000])}
    if chance.random() < 0.5:
        trail = {"trail_ticks": crowd.away() + 5}
    activation = crowd.price(crowd.touch(sign) - sign * crowd.away()) if chance.random() < 0.3 else None
    more = {"price_activation": activation, "trigger_by": chance.choice(SOURCES)}
    if one is not None:
        return order(one["market"], sign, "trailing_stop", **part_of(crowd, one), **trail, **more)
    lots = crowd.lots(account, crowd.leverage(account, market), crowd.share())
    return order(market, sign, "trailing_stop", qty=crowd.qty(lots), **trail, **more)


def way_out(position: dict[str, Any]) -> int:
    """Return the sign of the side that closes a position."""
    return 1 if position["qty"].startswith("-") else -1


def part_of(crowd: "Crowd", position: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that make an order reduce a position, by a share or a quantity."""
    found: dict[str, Any] = {"reduce_only": True}
    if position["kind"] == "ticket" or crowd.chance.random() < 0.5:
        found["position_id"] = position["position_id"]
    if crowd.chance.random() < 0.4:
        return {"close_percent": crowd.chance.choice([10, 50, 100]), **found}
    lots = int(abs(Decimal(position["qty"])) / crowd.lot * crowd.chance.choice([1, 2, 2]) / 2)
    return {"qty": crowd.qty(lots), **found}


def pairer(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return an OCO pair: a limit and a stop, or a take-profit and a stop, to open or around a position."""
    chance = crowd.chance
    held = crowd.positions(account)
    one = chance.choice(held) if held and chance.random() < 0.6 else None
    sign = chance.choice([1, -1]) if one is None else way_out(one)
    if one is None:
        size = {"qty": crowd.qty(crowd.lots(account, crowd.leverage(account, market), crowd.share()))}
    else:
        market, size = one["market"], part_of(crowd, one)
    touch = crowd.touch(sign)
    near, far = crowd.price(touch - sign * (crowd.away() + 12)), touch + sign * (crowd.away() + 12)
    leg: dict[str, Any] = {
        "kind": "stop_market",
        "price_trigger": crowd.price(far),
        "trigger_by": chance.choice(SOURCES),
    }
    if chance.random() < 0.3:
        leg = {"kind": "trailing_stop", "trail_ppm": chance.choice([1_000, 8_000])}
    if chance.random() < 0.5:
        return order(market, sign, "limit", **size, price=near, oco=leg)
    return order(market, sign, "take_profit_market", **size, price_trigger=near, oco=leg)


def bracketeer(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return an entry with a bracket, of the position or of the order."""
    chance, sign = crowd.chance, crowd.chance.choice([1, -1])
    kind = chance.choice(["market", "limit", "limit", "stop_market"])
    touch = crowd.touch(sign)
    price = touch - sign * crowd.away(0.005) if kind == "limit" else touch
    trigger = touch + sign * (crowd.away() + 12)
    children = bracket(crowd, sign, trigger if kind == "stop_market" else price)
    lots = crowd.lots(account, crowd.leverage(account, market), crowd.share())
    return order(
        market, sign, kind, qty=crowd.qty(lots), price=crowd.price(price) if kind == "limit" else None,
        price_trigger=crowd.price(trigger) if kind == "stop_market" else None, **children,
        tpsl=chance.choice(["position", "order", "order"]) if children else None,
    )  # fmt: skip


def reducer(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return an order that only reduces a position: at once, resting, or dormant; without a position, a taker's."""
    held = crowd.positions(account)
    if not held:
        return taker(crowd, account, market)
    chance, one = crowd.chance, crowd.chance.choice(held)
    sign, kind = way_out(one), crowd.chance.choice(["market", "limit", "limit", "stop_market", "take_profit_limit"])
    touch = crowd.touch(sign)
    beyond = crowd.price(touch + (sign if kind == "stop_market" else -sign) * (crowd.away() + 12))
    price = crowd.price(touch - sign * crowd.away(0.005)) if kind in ("limit", "take_profit_limit") else None
    trigger = beyond if kind in ("stop_market", "take_profit_limit") else None
    return order(
        one["market"], sign, kind, **part_of(crowd, one), price=price, price_trigger=trigger,
        tif=chance.choice([None, "IOC"]) if kind == "limit" else None,
    )  # fmt: skip


def closer(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return the closing of a position, whole or in part, or of all of them."""
    held, chance = crowd.positions(account), crowd.chance
    if len(held) < 2:
        return ticket(crowd, account, market)
    if chance.random() < 0.15:
        return "positions_close_all", {"market": market} if chance.random() < 0.5 else {}
    values: dict[str, Any] = {"position_id": chance.choice(held)["position_id"]}
    if chance.random() < 0.5:
        values["percent"] = chance.choice([10, 33, 50, 99])
    return "trade_close", values


def reverser(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return the turning of a net position."""
    held = crowd.positions(account, "net")
    if not held:
        return taker(crowd, account, market)
    return "position_reverse", {"position_id": crowd.chance.choice(held)["position_id"]}


def leverager(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return another leverage, or money put into a position or taken out of it."""
    chance, held = crowd.chance, crowd.positions(account)
    if not held or chance.random() < 0.4:
        top = crowd.day.leverage_max
        return "leverage_set", {"market": market, "leverage": chance.choice([1, 3, 10, 20, top // 2, top])}
    one = chance.choice(held)
    amount = Decimal(one["margin"]) * chance.choice([Decimal("-0.3"), Decimal("-0.05"), Decimal("0.1"), Decimal(1)])
    return "margin_change", {"position_id": one["position_id"], "amount": crowd.money(amount or Decimal(1))}


def guard(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return new SL and TP of a position, or their removal."""
    held = crowd.positions(account)
    if not held:
        return ticket(crowd, account, market)
    one = crowd.chance.choice(held)
    sign = -way_out(one)
    values = bracket(crowd, sign, crowd.touch(-sign)) or {"stop_loss": None}
    return "position_triggers_set", {"position_id": one["position_id"], **values}


def sleeper(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return a resting order, or a dead-man's switch over those that rest."""
    if not crowd.orders(account, "resting", "trigger") or crowd.chance.random() < 0.5:
        return maker(crowd, account, market)
    timeout = crowd.chance.choice([5_000, 20_000, 40_000, 0])
    return "deadman_set", {"timeout_ms": timeout, "scope": crowd.chance.choice(["opening", "all"])}


def batcher(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return several wishes of other habits at once."""
    chosen = [name for name in HABITS if name != "batcher"]
    wishes = [HABITS[crowd.chance.choice(chosen)](crowd, account, market) for _ in range(crowd.chance.randint(2, 5))]
    return "batch", {"commands": [{"op": op, **values} for op, values in wishes]}


def gambler(crowd: "Crowd", account: int, market: str) -> Wish:
    """Return nearly everything at the most leverage, as a ticket or net."""
    top = crowd.day.leverage_max
    if crowd.chance.random() < 0.5:
        return ticket(crowd, account, market, 0.4)
    if crowd.leverage(account, market) != top:
        return "leverage_set", {"market": market, "leverage": top}
    lots = crowd.lots(account, top, 0.4)
    return order(market, crowd.chance.choice([1, -1]), "market", qty=crowd.qty(lots))


HABITS: dict[str, Callable[["Crowd", int, str], Wish]] = {
    "taker": taker,
    "ticket": ticket,
    "maker": maker,
    "stopper": stopper,
    "gambler": gambler,
    "trailer": trailer,
    "pairer": pairer,
    "bracketeer": bracketeer,
    "reducer": reducer,
    "closer": closer,
    "reverser": reverser,
    "leverager": leverager,
    "guard": guard,
    "sleeper": sleeper,
    "batcher": batcher,
    "market maker": maker,
    "high roller": gambler,
}
