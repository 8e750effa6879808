"""What an account is worth, over real servers: told soon after a price has moved, and at no cost while nobody asks."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import redis
from websockets.asyncio.client import ClientConnection, connect

from gateway.server import server_build
from shared.database import Database
from tests.documented import message_check
from tests.gateway_doubles import MARKET, eventually
from tests.gateway_live import TICKER, LiveGateway, LiveVenue

BUY = {"market": MARKET, "side": "buy", "qty": "0.001"}
SOON_S = 0.6
LOOK_S = 3.0  # six rounds; what else reads hashes does so every two seconds


@contextlib.asynccontextmanager
async def listening(
    tmp_path: Path, redis_url: str, database_url: str
) -> AsyncIterator[tuple[LiveVenue, LiveGateway, int]]:
    """Yield a founded venue, a gateway that listens, and its port."""
    database = await Database.connect(database_url, timeout_s=2.0)
    venue = LiveVenue(redis_url)
    await venue.found()
    try:
        async with LiveGateway(tmp_path, redis_url, database, TIDEMARK_PORT="0") as gateway:
            await gateway.ready()
            http = server_build(gateway.gateway)
            serving = asyncio.ensure_future(http.serve())
            await eventually(lambda: http.started)
            try:
                yield venue, gateway, http.servers[0].sockets[0].getsockname()[1]
            finally:
                http.should_exit = True
                await serving
    finally:
        await venue.stop()
        await database.close()


async def worth_when(socket: ClientConnection, mark: str) -> dict[str, Any]:
    """Return the first valuation at a mark."""
    async with asyncio.timeout(10):
        while True:
            message = message_check(await socket.recv())
            positions = message["data"]["positions"] if message.get("channel") == "valuation" else []
            if positions and positions[0]["price_mark"] == mark:
                data: dict[str, Any] = message["data"]
                return data


def test_a_price_that_moves_is_told_within_600_ms(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """From the market's view to the socket of whoever holds a position; the figures are those that HTTP answers."""

    async def scenario() -> None:
        async with listening(tmp_path, redis_url, database_url) as (venue, gateway, port):
            headers = await gateway.sign_in()
            assert (await gateway.client.post("/api/v1/trade/order", json=BUY, headers=headers)).status_code == 200
            async with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers) as socket:
                await socket.send(orjson.dumps({"op": "subscribe", "id": 1, "channels": ["valuation"]}).decode())
                await worth_when(socket, TICKER["mark"])
                took_s = []
                for number in range(7):
                    mark = f"{60_000 + 111 * number}.0"
                    began_s = time.monotonic()
                    await venue.streams.view_markets_write(venue.keys, {MARKET: TICKER | {"mark": mark}})
                    data = await worth_when(socket, mark)
                    took_s.append(time.monotonic() - began_s)
                    await asyncio.sleep(0.07 * number)
                assert statistics.median(took_s) <= SOON_S and max(took_s) <= 2 * SOON_S, took_s
                account = (await gateway.client.get("/api/v1/account", headers=headers)).json()
                positions = (await gateway.client.get("/api/v1/account/positions", headers=headers)).json()
                assert data["account"] == {name: account[name] for name in data["account"]}
                assert data["positions"] == positions["items"]

    asyncio.run(scenario())


def test_nobody_who_follows_is_no_cost(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """Redis is asked for no view more than before anybody followed, once nobody does."""

    async def scenario() -> None:
        async with listening(tmp_path, redis_url, database_url) as (_venue, gateway, port):
            headers = await gateway.sign_in()
            assert (await gateway.client.post("/api/v1/trade/order", json=BUY, headers=headers)).status_code == 200
            before = await hashes_read(redis_url)
            async with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers) as socket:
                await socket.send(orjson.dumps({"op": "subscribe", "id": 1, "channels": ["valuation"]}).decode())
                await worth_when(socket, TICKER["mark"])
                followed = await hashes_read(redis_url)
            await eventually(lambda: len(gateway.desk.valuations) == 0)
            after = await hashes_read(redis_url)
            assert followed >= after + 3, (before, followed, after)
            assert after <= before + 2, (before, followed, after)

    asyncio.run(scenario())


async def hashes_read(redis_url: str) -> int:
    """Return how many hashes Redis is asked for in three seconds."""
    client = redis.Redis.from_url(redis_url)
    counts = []
    for pause_s in (0.0, LOOK_S):
        await asyncio.sleep(pause_s)
        stats: Any = client.info("commandstats")
        counts.append(int(stats.get("cmdstat_hgetall", {"calls": 0})["calls"]))
    client.close()
    return counts[1] - counts[0]
