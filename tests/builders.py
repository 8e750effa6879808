"""Instructions and quotes with defaults, for tests that speak to the library; and a seeded history of everything."""

import random
from typing import Any

from engine.library import Engine

BTC = "BTC_USDC_PERP"
SOL = "SOL_USDC_PERP"


def instruction(number: int, op: str, account: int = 100, **keys: Any) -> dict[str, Any]:
    """Return a user instruction; `number` is its request id."""
    return {"v": 1, "account": account, "request_id": f"{number:032x}", "op": op, **keys}


def opened(accounts: int = 1, **venue_set: Any) -> Engine:
    """Return a venue with so many accounts and a fresh BTC and SOL quote."""
    engine = Engine(**venue_set)
    for index in range(accounts):
        body = instruction(10**9 + index, "account_open", 0, owner=f"{index + 1:032x}")
        engine.apply("user_instruction", body)
    engine.price(BTC, "60000.0", "60000.1")
    engine.price(SOL, "150.00", "150.02")
    return engine


def step(engine: Engine, chance: random.Random, number: int, mids: dict[str, int]) -> list[dict[str, Any]]:
    """Apply one entry of a random history: a quote with a gap now and then, or any instruction, sensible or not."""
    ts_us = engine.ts_us + chance.choice([0, 1_000, 200_000, 900_000])
    market, tick, lot = chance.choice([(BTC, 10, 5), (SOL, 100, 2)])
    if chance.random() < 0.5:
        spread = chance.choice([1, 2, 30])
        mids[market] = max(
            100, mids[market] + chance.choice([-1, 1]) * int(mids[market] * chance.choice([0, 1, 4, 40]) / 1000)
        )
        bid, ask = mids[market] / tick, (mids[market] + spread) / tick
        return engine.price(
            market, f"{bid:.{1 if tick == 10 else 2}f}", f"{ask:.{1 if tick == 10 else 2}f}", ts_us=ts_us
        )
    body = wish(engine, chance, market, tick, lot, mids[market])
    account = chance.choice([100, 101, 102])
    return engine.apply("user_instruction", instruction(number, account=account, **body), ts_us=ts_us)


def wish(engine: Engine, chance: random.Random, market: str, tick: int, lot: int, mid: int) -> dict[str, Any]:
    """Return one random instruction's keys."""
    near = f"{mid * chance.choice([97, 99, 100, 101, 103]) / 100 / tick:.{1 if tick == 10 else 2}f}"
    side = chance.choice(["buy", "sell"])
    qty = f"{chance.choice([1, 10, 500]) / 10**lot:.{lot}f}"
    positions = [row["position_id"] for row in engine.positions() if row["account_id"] >= 100] or [1]
    orders = [row["order_id"] for row in engine.orders()] or [1]
    place = {"op": "order_place", "market": market, "side": side, "qty": qty}
    return chance.choice(
        [
            {**place, "kind": "market"},
            {**place, "kind": "limit", "price": near},
            {**place, "kind": "limit", "price": near, "tif": chance.choice(["IOC", "FOK"])},
            {**place, "kind": "limit", "price": near, "post_only": True, "take_profit": near},
            {
                "op": "trade_create",
                "market": market,
                "side": side,
                "margin": str(chance.choice([5, 400, 4_000])),
                "leverage": chance.choice([1, 20, 50]),
                chance.choice(["take_profit", "stop_loss"]): near,
            },
            {"op": "trade_close", "position_id": chance.choice(positions), "percent": chance.choice([30, 100])},
            {"op": "position_triggers_set", "position_id": chance.choice(positions), "stop_loss": near},
            {"op": "order_cancel", "order_id": chance.choice(orders)},
            {"op": "orders_cancel"},
            chance.choice(settings(market)),
        ]
    )


def settings(market: str) -> list[dict[str, Any]]:
    """Return what an owner may set for himself: modes, leverage, guards, another account and money in it."""
    return [
        {"op": "margin_mode_set", "market": market, "mode": "cross"},
        {"op": "leverage_set", "market": market, "leverage": 20},
        {"op": "account_guards_set", "stp": "cancel_maker", "daily_loss_max": "4000"},
        {"op": "account_guards_set", "stp": None},
        {"op": "account_transfer", "account_to": 103, "amount": "50"},
        {"op": "subaccount_open"},
    ]
