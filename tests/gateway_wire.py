"""A gateway over stand-ins that really listens, and clients of its WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

from gateway import server
from tests.documented import message_check
from tests.gateway_doubles import MARKET, eventually
from tests.gateway_house import House


class Wire:
    """A client's end of one socket; what is no answer to the message asked is put aside."""

    def __init__(self, connection: ClientConnection) -> None:
        """Begin with the next message 1."""
        self.connection = connection
        self.number = 0
        self.aside: list[dict[str, Any]] = []

    async def send(self, op: str, body: dict[str, Any] | None = None, **keys: Any) -> int:
        """Send an operation and return its id."""
        self.number += 1
        message = {"op": op, "id": self.number} | ({} if body is None else {"body": body}) | keys
        await self.connection.send(orjson.dumps(message).decode())
        return self.number

    async def answer(self, ident: Any) -> dict[str, Any]:
        """Return the message that answers an id."""
        async with asyncio.timeout(10):
            while True:
                for message in self.aside:
                    if message.get("id") == ident:
                        self.aside.remove(message)
                        return message
                self.aside.append(message_check(await self.connection.recv()))

    async def ask(self, op: str, body: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
        """Return the answer to an operation."""
        return await self.answer(await self.send(op, body, **keys))


class Place:
    """A gateway that really listens, over stand-ins, and its clients."""

    def __init__(self, house: House, port: int) -> None:
        """Keep both."""
        self.house = house
        self.port = port

    @contextlib.asynccontextmanager
    async def wire(self, headers: dict[str, str] | None = None) -> AsyncIterator[Wire]:
        """Yield an open socket."""
        async with connect(f"ws://127.0.0.1:{self.port}/ws", additional_headers=headers) as connection:
            yield Wire(connection)

    def instructions(self) -> list[dict[str, Any]]:
        """Return every instruction in the log."""
        fields = [dict(entry.fields) for entry in self.house.streams.log]
        return [orjson.loads(each[b"user_instruction"]) for each in fields if b"user_instruction" in each]

    def switches(self) -> list[tuple[int, int, str | None]]:
        """Return what the dead-man's switches were set to: account, milliseconds, scope."""
        found = [each for each in self.instructions() if each["op"] == "deadman_set"]
        return [(each["account"], each["timeout_ms"], each.get("scope")) for each in found]


@contextlib.asynccontextmanager
async def placed(tmp_path: Path, **changes: str) -> AsyncIterator[Place]:
    """Yield such a gateway."""
    async with House(tmp_path, TIDEMARK_PORT="0", **changes) as house:
        http = server.server_build(house.gateway)
        serving = asyncio.ensure_future(http.serve())
        await eventually(lambda: http.started)
        try:
            yield Place(house, http.servers[0].sockets[0].getsockname()[1])
        finally:
            http.should_exit = True
            await serving


async def told(wire: Wire, count: int) -> list[dict[str, Any]]:
    """Return the next messages."""
    async with asyncio.timeout(5):
        while len(wire.aside) < count:
            wire.aside.append(orjson.loads(await wire.connection.recv()))
    taken, wire.aside = wire.aside[:count], wire.aside[count:]
    return taken


async def silence(wire: Wire) -> None:
    """Fail unless nothing more is told before the answer to a ping."""
    ident = await wire.send("ping")
    async with asyncio.timeout(5):
        message = orjson.loads(await wire.connection.recv())
    assert not wire.aside and (message["type"], message["id"]) == ("pong", ident), message


def since(place: str) -> dict[str, Any]:
    """Return the key of a subscription that goes on from a place."""
    return {"from": place}


def trade(account: int, order_id: int) -> list[dict[str, Any]]:
    """Return what one execution is to its account and to everybody."""
    fill = {"e": "fill", "account": account, "market": MARKET, "order_id": order_id, "qty": "1"}
    return [fill, {"e": "trade", "market": MARKET, "price": "1.0", "qty": "1", "side": "buy"}]


def shapes(told: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Return type and place of each message."""
    return [(message["type"], message.get("at")) for message in told]
