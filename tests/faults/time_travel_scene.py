"""A venue that lived for a while, and what its live engine published of every account, to ask tools about later."""

import json
import os
import random
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.stream_keys import Entry, EventsEntry
from tests.integration.engine_process import events_all
from tests.integration.engine_scene import MARKET, RedisOwn, Scene

ACCOUNTS = (100, 101, 102)
SEED = 12
ROUNDS = 6


class Lived(NamedTuple):
    """A venue whose engine is gone and whose servers answer."""

    data_dir: Path
    scene: Scene
    entries: list[Entry]
    events: list[EventsEntry]  # as the live engine published them

    @property
    def tip(self) -> int:
        """Return the newest entry."""
        return self.entries[-1].seq

    def told(self, account_id: int, holds: Any) -> dict[str, Any] | None:
        """Return an account as the events of those entries told of it that `holds`; None before it was opened."""
        account: dict[str, Any] | None = None
        positions: dict[int, dict[str, Any]] = {}
        orders: dict[int, dict[str, Any]] = {}
        for entry in filter(holds, self.events):
            for event in orjson.loads(entry.data):
                if event.get("account") != account_id:
                    continue
                if event["e"] == "account_changed":
                    account = {"free": event["free"], "reserved": event["reserved"]}
                elif event["e"] == "position_changed":
                    positions[event["position_id"]] = event
                elif event["e"] == "closed_position":
                    positions.pop(event["position_id"], None)
                elif event["e"] == "order_changed":
                    orders[event["order_id"]] = event
                elif event["e"] == "closed_order":
                    orders.pop(event["order_id"], None)
        if account is None:
            return None
        told_positions = sorted(
            (number, row["market"], row["qty"].removeprefix("-"), row["margin"], row["pnl_realised"], row["fees"])
            for number, row in positions.items()
            if Decimal(row["qty"])
        )
        told_orders = sorted(
            (number, row["side"], row["kind"], row["status"], row["qty_filled"], row["reserved"])
            for number, row in orders.items()
        )
        return {**account, "positions": told_positions, "orders": told_orders}


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's answer about an account in the shape of what was told."""
    positions = [
        (row["position_id"], row["market"], row["qty"], row["margin"], row["pnl_realised"], row["fees"])
        for row in answer["positions"]
    ]
    orders = [
        (row["order_id"], row["side"], row["kind"], row["status"], row["qty_filled"], row["reserved"])
        for row in answer["orders"]
    ]
    return {
        "free": answer["free"],
        "reserved": answer["reserved"],
        "positions": sorted(positions),
        "orders": sorted(orders),
    }


def quote(scene: Scene, price_ticks: int) -> None:
    """Append a quote and the mark at it."""
    bid, ask = (f"{ticks // 10}.{ticks % 10}" for ticks in (price_ticks, price_ticks + 1))
    scene.producer.quote(MARKET, bid, ask)
    time_us = scene.producer.now_us()
    body = {"E": time_us, "T": time_us, "e": "markPrice", "f": "0.0001", "i": bid, "n": 0, "p": bid, "s": MARKET}
    scene.producer.append("mark_update", body, session=True)


def live(scene: Scene) -> None:
    """Trade tickets with stops near by, rest, cancel and close while the price walks; a snapshot after each round."""
    scene.found()
    scene.producer.feed_open()
    chance, price = random.Random(SEED), 600_000
    for number, _ in enumerate(ACCOUNTS):
        quote(scene, price)
        scene.producer.instruct("account_open", venue=True, owner=f"{number + 1:032x}")
    for _ in range(ROUNDS):
        for step in range(40):
            price += chance.randrange(-1_500, 1_500)
            quote(scene, price)
            account = chance.choice(ACCOUNTS)
            side, sign = chance.choice([("buy", 1), ("sell", -1)])
            near = {
                "take_profit": f"{(price + sign * 4_000) // 10}.0",
                "stop_loss": f"{(price - sign * 3_000) // 10}.0",
            }
            wish = chance.randrange(4)
            if wish == 0:
                ticket = {"market": MARKET, "side": side, "qty": "0.002", "leverage": 20}
                scene.producer.instruct("trade_create", account, **ticket, **near)
            elif wish == 1:
                limit = f"{(price - sign * chance.randrange(6_000)) // 10}.0"
                order = {"market": MARKET, "side": side, "kind": "limit", "qty": "0.003", "price": limit}
                scene.producer.instruct("order_place", account, **order)
            elif wish == 2:
                scene.producer.instruct("orders_cancel", account)
            else:
                scene.producer.instruct("trade_close", account, position_id=100 + chance.randrange(20), percent="50")
            if step % 10 == 9:
                scene.producer.ahead_us += 1_000_000
                scene.producer.tick()
        scene.snapshot_make()
    scene.proven()


def lived_scene(folder: Path, database_url: str) -> Iterator[Lived]:
    """Yield a venue that has lived; its servers are gone afterwards."""
    data_dir = folder / "data"
    data_dir.mkdir(parents=True)
    redis = RedisOwn(data_dir)
    scene = Scene(redis.url, database_url, folder)
    try:
        live(scene)
        scene.engine.end(signal.SIGKILL)
        ready = {"url": "", "redis_url": redis.url, "database_url": database_url, "venue": scene.keys.venue}
        (data_dir / "ready.json").write_text(json.dumps({**ready, "supervisor": os.getpid()}))
        yield Lived(data_dir, scene, scene.entries(1), events_all(scene.streams, scene.keys))
    finally:
        scene.engine.end(signal.SIGKILL)
        scene.streams.close()
        redis.kill()
