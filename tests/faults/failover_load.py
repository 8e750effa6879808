"""
The load of test_failover: quotes of three markets and instructions of many accounts at a pace, all acknowledged.

    python -m tests.faults.failover_load --redis URL --venue ID --rate 2200

appends until it gets SIGTERM, then prints one JSON object: what became of every instruction. It is a process of its own
so that neither the engines nor the one who watches them wait for it.
"""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from typing import Any

import click
import orjson

from shared.clock import now_us
from shared.streams import AppendStatus, Fields, Keys, StreamsAsync

MARKETS = {"BTC_USDC_PERP": 600_000, "ETH_USDC_PERP": 300_000, "SOL_USDC_PERP": 15_000}  # ticks
DECIMALS = {"BTC_USDC_PERP": 1, "ETH_USDC_PERP": 2, "SOL_USDC_PERP": 2}
SESSION = b"load1"
TURN_S = 0.01
INSTRUCTIONS_SHARE = 0.3
ACCOUNTS = 40
ACCOUNT_FIRST = 100


class Load:
    """One producer for everybody: what it appends at a turn, and what became of it."""

    def __init__(self, streams: StreamsAsync, keys: Keys) -> None:
        self.streams = streams
        self.keys = keys
        self.update_id = 0
        self.requests = 0
        self.statuses: Counter[str] = Counter()
        self.acknowledged: list[str] = []  # request ids
        self.unknown: list[str] = []
        self.stopping = asyncio.Event()

    async def open(self) -> None:
        """Open the feed and the accounts."""
        body = {"status": "up", "source": "simulated"}
        await self.append([(b"session", SESSION), (b"feed_status", orjson.dumps(body))])
        for number in range(ACCOUNTS):
            await self.instruct("account_open", 0, entry=b"venue_instruction", owner=f"{number + 1:032x}")

    async def append(self, fields: Fields) -> AppendStatus:
        """Append one entry and count what became of it."""
        appended = await self.streams.append(self.keys, [(b"ts", b"%d" % now_us()), *fields])
        self.statuses[f"{appended.status.value} {appended.reason}".strip()] += 1
        return appended.status

    async def instruct(self, op: str, account: int, entry: bytes = b"user_instruction", **keys: Any) -> None:
        """Append one instruction under a request id of its own and remember whether it is in the log."""
        self.requests += 1
        request_id = f"{self.requests:032x}"
        body = {"v": 1, "account": account, "request_id": request_id, "op": op, **keys}
        status = await self.append([(entry, orjson.dumps(body))])
        if status is AppendStatus.ACCEPTED:
            self.acknowledged.append(request_id)
        elif status is AppendStatus.UNKNOWN:
            self.unknown.append(request_id)

    async def quotes(self, count: int) -> None:
        """Append the next quotes of all markets, together."""
        entries: list[Fields] = []
        for _ in range(count):
            self.update_id += 1
            market = list(MARKETS)[self.update_id % len(MARKETS)]
            ticks = MARKETS[market] + self.update_id % 97
            scale = 10 ** DECIMALS[market]
            bid, ask = (f"{each // scale}.{each % scale:0{DECIMALS[market]}d}" for each in (ticks, ticks + 1))
            stamp_us = now_us()
            body = {"A": "5", "B": "5", "E": stamp_us, "T": stamp_us, "a": ask, "b": bid, "e": "bookTicker"}
            data = orjson.dumps({**body, "s": market, "u": str(self.update_id)})
            entries.append([(b"ts", b"%d" % stamp_us), (b"session", SESSION), (b"price_update", data)])
        for appended in await self.streams.append_many(self.keys, entries):
            self.statuses[f"{appended.status.value} {appended.reason}".strip()] += 1

    async def trade(self, number: int) -> None:
        """Send one account's next instruction: open, rest, take back, close."""
        account = ACCOUNT_FIRST + number % ACCOUNTS
        market = list(MARKETS)[number % len(MARKETS)]
        step = number // ACCOUNTS % 4
        if step == 0:
            await self.instruct("trade_create", account, market=market, side="buy", qty="0.01", leverage=10)
        elif step == 1:
            price = f"{MARKETS[market] * 9 // 10 // 10 ** DECIMALS[market]}"
            await self.instruct(
                "order_place", account, market=market, side="buy", kind="limit", qty="0.01", price=price
            )
        elif step == 2:
            await self.instruct("orders_cancel", account)
        else:
            await self.instruct("positions_close_all", account)

    async def run(self, rate: int) -> float:
        """Append at the pace until asked to stop; return how many seconds that was."""
        await self.open()
        started_s = time.monotonic()
        sent = trades = 0
        while not self.stopping.is_set():
            due = int((time.monotonic() - started_s) * rate) - sent
            instructions = int(due * INSTRUCTIONS_SHARE)
            await asyncio.gather(
                self.quotes(max(1, due - instructions)), *(self.trade(trades + each) for each in range(instructions))
            )
            sent += max(1, due - instructions) + instructions
            trades += instructions
            await asyncio.sleep(TURN_S)
        return time.monotonic() - started_s


async def main_async(url: str, venue: str, rate: int) -> dict[str, Any]:
    """Return what became of everything."""
    streams = StreamsAsync(url)
    load = Load(streams, Keys(venue))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, load.stopping.set)
    print("loading", file=sys.stderr, flush=True)
    seconds = await load.run(rate)
    await streams.close()
    return {
        "seconds": round(seconds, 1),
        "entries_per_s": round(load.statuses["accepted"] / seconds),
        "statuses": load.statuses,
        "requests": load.requests,
        "acknowledged": load.acknowledged,
        "unknown": load.unknown,
    }


@click.command()
@click.option("--redis", "url", required=True)
@click.option("--venue", required=True)
@click.option("--rate", type=click.IntRange(1), default=2_200, show_default=True)
def main(url: str, venue: str, rate: int) -> None:
    """Append at a pace until SIGTERM and print what became of it."""
    print(json.dumps(asyncio.run(main_async(url, venue, rate))))


if __name__ == "__main__":
    main()
