"""Events as the engine publishes them, for the persister's tests: a chain that holds, and an account's life."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from shared.streams import Fields, Keys, Streams, event_id

KEYS = Keys("storetests")
PATIENCE_S = 20.0
Published = tuple[bytes, Fields]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


class Chain:
    """Makes events entries that follow each other."""

    def __init__(self) -> None:
        self.last = (0, 0)

    def entry(self, seq: int, *events: Any, chunk: int = 0, data: bytes | None = None) -> Published:
        """Return the next entry, with these events or with this as its data."""
        previous = event_id(*self.last) if self.last[0] else b"0-0"
        self.last = (seq, chunk)
        accounts = {event["account"] for event in events if isinstance(event, dict) and "account" in event}
        fields = [
            (b"t", b"%d" % (1_000_000 * seq)),
            (b"p", previous),
            (b"a", ",".join(map(str, sorted(accounts, key=str))).encode()),
            (b"d", orjson.dumps(events) if data is None else data),
        ]
        return event_id(seq, chunk), fields


class ListLog:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, _level: str) -> Any:
        return lambda event, **fields: self.lines.append((event, fields))

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of all lines of this name."""
        return [fields for name, fields in self.lines if name == event]


def publish(streams: Streams, entries: list[Published]) -> None:
    """Publish entries; the first ever makes the stream."""
    streams.publish(KEYS, entries, create=streams.events_tip(KEYS) == (0, 0))


def response(account: int, request_id: str, result: str, **more: Any) -> dict[str, Any]:
    """Return an order_response."""
    event = {"e": "order_response", "account": account, "request_id": request_id, "op": "order_place", "result": result}
    return {**event, **more}


def account_changed(account: int, free: str = "5000.000000") -> dict[str, Any]:
    """Return an account_changed."""
    return {"e": "account_changed", "account": account, "free": free, "reserved": "0.000000"}


def order_changed(account: int, order_id: int) -> dict[str, Any]:
    """Return an order_changed of a resting order."""
    return {
        "e": "order_changed", "account": account, "market": "BTC_USDC_PERP", "order_id": order_id, "side": "buy",
        "kind": "limit", "status": "resting", "qty": "0.10", "qty_filled": "0.00", "price": "60000.0",
    }  # fmt: skip


def closed_order(account: int, order_id: Any, **more: Any) -> dict[str, Any]:
    """Return a closed_order."""
    return {
        "e": "closed_order", "account": account, "market": "BTC_USDC_PERP", "order_id": order_id, "side": "buy",
        "kind": "market", "reason": "filled", "qty_filled": "0.10", "fee": "1.000000", "closed_us": 77, **more,
    }  # fmt: skip


def position_changed(account: int, position_id: int, qty: str) -> dict[str, Any]:
    """Return a position_changed."""
    return {
        "e": "position_changed", "account": account, "market": "BTC_USDC_PERP", "position_id": position_id,
        "kind": "net", "qty": qty, "margin": "10.000000",
    }  # fmt: skip


def closed_position(account: int, position_id: int) -> dict[str, Any]:
    """Return a closed_position."""
    return {
        "e": "closed_position", "account": account, "market": "BTC_USDC_PERP", "position_id": position_id,
        "kind": "net", "direction": "long", "qty": "0.10", "pnl_realised": "1.000000", "closed_us": 78,
    }  # fmt: skip


def fill(account: int, fill_id: int, order_id: int = 1) -> dict[str, Any]:
    """Return a fill."""
    return {
        "e": "fill", "account": account, "market": "BTC_USDC_PERP", "order_id": order_id, "position_id": 9,
        "fill_id": fill_id, "side": "buy", "maker": False, "price": "60000.0", "qty": "0.10", "fee": "1.000000",
    }  # fmt: skip


def funding(account: int, position_id: int, due_ms: int) -> dict[str, Any]:
    """Return a funding payment."""
    return {
        "e": "funding", "account": account, "market": "BTC_USDC_PERP", "position_id": position_id,
        "rate": "0.000100000", "price_mark": "60000.0", "amount": "-0.600001", "due_ms": due_ms,
    }  # fmt: skip


def trade(price: str) -> dict[str, Any]:
    """Return a trade, with no account."""
    return {"e": "trade", "market": "BTC_USDC_PERP", "price": price, "qty": "0.10", "side": "buy"}


def funding_settled(due_ms: int) -> dict[str, Any]:
    """Return what all positions of a market paid at a due time."""
    return {
        "e": "funding_settled", "market": "BTC_USDC_PERP", "rate": "0.000100000", "price_mark": "60000.0",
        "due_ms": due_ms, "positions": 1, "amount": "0.600001",
    }  # fmt: skip


def funding_skipped(due_ms: int) -> dict[str, Any]:
    """Return that nobody paid at a due time."""
    return {"e": "funding_skipped", "market": "BTC_USDC_PERP", "due_ms": due_ms, "reason": "halted"}


def ledger(account: int, amount: str) -> dict[str, Any]:
    """Return a ledger leg."""
    return {
        "e": "ledger", "account": account, "amount": amount, "counter": "fees", "reason": "fee", "ref": 1,
        "free_after": "4999.000000",
    }  # fmt: skip


def candle(minute_ms: int) -> dict[str, Any]:
    """Return a candle, with no account."""
    return {"e": "candle", "market": "BTC_USDC_PERP", "minute_ms": minute_ms, "open": "1.0", "quotes": 3}


def day(chain: Chain, first_seq: int, count: int, account: int = 101) -> list[Published]:
    """Return entries in each of which an order is filled and closed."""
    return [
        chain.entry(
            seq,
            response(account, f"{seq:032x}", "OK", order_id=seq),
            fill(account, seq, seq),
            ledger(account, "-1.000000"),
            closed_order(account, seq),
            account_changed(account, f"{5_000 - seq}.000000"),
            candle(60_000 * seq),
        )
        for seq in range(first_seq, first_seq + count)
    ]
