"""What the crowd of the bands' property test does between two ticks: users' orders and modes, an operator's acts."""

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.property.bands_world import World


def instruction_any(chance: random.Random, world: "World", account: int) -> dict[str, Any]:
    """Return the operation and the keys of one instruction of a user; it may well be refused."""
    index = chance.randrange(3)
    market = {"market": world.names[index]}
    side = {"side": chance.choice(["buy", "sell"])}
    drawn = chance.random()
    if drawn < 0.40:
        return order_market(chance, world, index)
    if drawn < 0.62:
        off = chance.choice([-40, -15, -4, -1, 1, 4, 15, 40])
        price = world.price_text(index, max(1, world.mids[index] * (1_000 + off) // 1_000))
        tif = chance.choice(["GTC", "GTC", "GTC", "IOC"])
        order = {"op": "order_place", **market, **side, "kind": "limit", "price": price, "tif": tif}
        return {**order, "qty": qty(chance, world, index), "reduce_only": chance.random() < 0.1}
    if drawn < 0.74:
        return {"op": "orders_cancel", **(market if chance.random() < 0.5 else {})}
    if drawn < 0.80:
        leverage = {"leverage": chance.choice([3, 10, 20])}
        return {"op": "trade_create", **market, **side, "qty": qty(chance, world, index, 5), **leverage}
    if drawn < 0.85:
        return {"op": "positions_close_all", **(market if chance.random() < 0.7 else {})}
    if drawn < 0.90:
        return {"op": "leverage_set", **market, "leverage": chance.choice([5, 10, 20, 50])}
    if drawn < 0.95:
        return {"op": "margin_mode_set", **market, "mode": chance.choice(["cross", "cross", "isolated"])}
    if drawn < 0.97:
        trigger = world.price_text(index, world.mids[index] * chance.choice([95, 98, 102, 105]) // 100)
        order = {"op": "order_place", **market, **side, "kind": "stop_market", "price_trigger": trigger}
        return {**order, "qty": qty(chance, world, index), "trigger_by": chance.choice(["quote", "mark"])}
    return {"op": "account_reset"}


def order_market(chance: random.Random, world: "World", index: int) -> dict[str, Any]:
    """Return a market order either way."""
    order = {"op": "order_place", "market": world.names[index], "kind": "market"}
    return {**order, "side": chance.choice(["buy", "sell"]), "qty": qty(chance, world, index)}


def qty(chance: random.Random, world: "World", index: int, smaller: int = 1) -> str:
    """Return a quantity worth up to fifty times the starting balance, in whole lots."""
    notional = (
        chance.choice([50, 5_000, 20_000, 60_000, 150_000, 300_000, 500_000]) * chance.randint(1, 100) // 100 // smaller
    )
    scale = world.lots_scale(index)
    lots = max(1, int(notional * world.lots_a_unit(index)))
    return f"{lots // scale}.{lots % scale:0{len(str(scale)) - 1}d}" if scale > 1 else str(lots)


def operation_any(chance: random.Random, world: "World") -> tuple[int, dict[str, Any]]:
    """Return the account and the instruction of an operator: money, halts, tiers."""
    drawn = chance.random()
    market = {"market": world.names[chance.randrange(3)]}
    if drawn < 0.55:
        return world.poorest(), {
            "op": "account_credit",
            "reason": "bands",
            "amount": str(chance.choice([2_000, 10_000, 10_000])),
        }
    if drawn < 0.63:
        return chance.choice(world.accounts), {
            "op": "account_credit",
            "reason": "bands",
            "amount": str(-chance.choice([10, 500, 3_000])),
        }
    if drawn < 0.72:
        return 0, {"op": "market_halt", **market}
    if drawn < 0.97:
        return 0, {"op": "market_resume", **market}
    return 0, {"op": "market_set", **market, "tiers": chance.choice(world.tiers)}
