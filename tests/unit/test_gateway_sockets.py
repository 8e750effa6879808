"""Who may open a WebSocket, how many there may be, and with which code one ends."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.app import SECURITY_HEADERS
from gateway.limits import Limits
from gateway.socket.channels import channel_of
from gateway.socket.outbox import BACKLOG_MAX
from gateway.socket.session import Follow
from tests.documented import message_check
from tests.gateway_doubles import MARKET, eventually
from tests.gateway_wire import Place, Wire, placed
from tests.key_signer import Signer

pytestmark = pytest.mark.anyio
OWN = "http://127.0.0.1:8080"
MESSAGE_MAX = 65_536


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


async def refused(place: Place, headers: dict[str, str] | None = None, path: str = "/ws") -> tuple[int, dict[str, Any]]:
    """Return status and body of an upgrade that is refused, which has the security headers like any answer."""
    with pytest.raises(InvalidStatus) as error:
        async with connect(f"ws://127.0.0.1:{place.port}{path}", additional_headers=headers):
            raise AssertionError("the socket opened")
    response = error.value.response
    assert {name.decode() for name, _value in SECURITY_HEADERS} <= {name.lower() for name in response.headers}
    assert response.headers["cache-control"] == "no-store"
    return response.status_code, orjson.loads(response.body or b"{}")


async def closed(wire: Wire) -> tuple[int, list[dict[str, Any]]]:
    """Return the code with which a socket ends, and what was told before."""
    told = []
    async with asyncio.timeout(15):
        with contextlib.suppress(ConnectionClosed):
            while True:
                told.append(message_check(await wire.connection.recv()))
    return wire.connection.close_code or 0, told


async def test_another_sites_page_opens_no_socket_with_the_cookie(tmp_path: Path) -> None:
    """With the cookie only our own pages may; a cookie without an origin, or with a foreign one, is refused."""
    async with placed(tmp_path) as place:
        token = (await place.house.sign_in())["Authorization"].removeprefix("Bearer ")
        cookie = {"Cookie": f"tidemark={token}"}
        for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            status, body = await refused(place, cookie | origin)
            assert (status, body["code"]) == (403, "CROSS_SITE")
        own = place.house.gateway.parts.settings.base_url
        async with place.wire(cookie | {"Origin": own}) as wire:
            assert (await wire.ask("subscribe", channels=["fills"]))["type"] == "subscribed"


async def test_an_allowed_sites_page_brings_its_own_token(tmp_path: Path) -> None:
    """Without a cookie a page of an allowed site may open a socket, any other may not."""
    async with placed(tmp_path, TIDEMARK_CORS_ORIGINS="https://desk.example") as place:
        async with place.wire({"Origin": "https://desk.example"}) as wire:
            assert (await wire.ask("ping"))["type"] == "pong"
        status, body = await refused(place, {"Origin": "https://evil.example"})
        assert (status, body["code"]) == (403, "CROSS_SITE")


async def test_who_cannot_be_known_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A token that does not hold, a signature of something else, a token in the address: HTTP answers, no socket."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        assert (await refused(place, {"Authorization": "Bearer x"}))[1]["code"] == "UNAUTHENTICATED"
        signer = Signer()
        signer.key_id = "0" * 32
        assert (await refused(place, signer.headers("WS", "/ws")))[1]["code"] == "SIGNATURE_INVALID"
        token = headers["Authorization"].removeprefix("Bearer ")
        status, body = await refused(place, path=f"/ws?token={token}")
        assert (status, body["code"]) == (400, "QUERY_INVALID")
        assert token not in repr(place.house.log.lines)
        assert (await refused(place, path="/api/v1/market"))[0] == 404
    assert not [line for line in caplog.records if line.levelname in ("WARNING", "ERROR")]


async def test_without_a_venue_there_is_no_socket(tmp_path: Path) -> None:
    """Until the gateway has found its venue an upgrade is 503, as every private route is."""
    async with placed(tmp_path) as place:
        desk, place.house.gateway.desk = place.house.gateway.desk, None
        status, body = await refused(place)
        assert (status, body["code"], body["retry"]) == (503, "UNAVAILABLE", "now")
        place.house.gateway.desk = desk


async def test_there_are_only_so_many_sockets(tmp_path: Path) -> None:
    """Twenty an account and a hundred an address; the one too many is 429, and there is room again when one ends."""
    async with placed(tmp_path, TIDEMARK_RATE_FACTOR="1") as place:
        place.house.gateway.limits = Unlimited(1, time.monotonic)
        headers = await place.house.sign_in()
        token = headers["Authorization"].removeprefix("Bearer ")
        async with contextlib.AsyncExitStack() as stack:
            wires = [await stack.enter_async_context(place.wire(headers)) for _ in range(20)]
            status, body = await refused(place, headers)
            assert (status, body["code"], body["detail"]) == (429, "SOCKETS_MAX", {"sockets_account_max": 20})
            others = [await stack.enter_async_context(place.wire()) for _ in range(80)]
            assert (await refused(place))[1]["detail"] == {"sockets_address_max": 100}
            answer = await others[0].ask("auth", token=token)
            assert (answer["type"], answer["code"]) == ("error", "SOCKETS_MAX")
            assert (await closed(others[0]))[0] == 1008
            await wires[0].connection.close()
            await eventually(lambda: len(place.house.desk.sockets) == 98)
            assert (await others[1].ask("auth", token=token))["type"] == "auth"
        await eventually(lambda: len(place.house.desk.sockets) == 0)


class Unlimited(Limits):
    """Limits that count nothing."""

    def hit(self, name: str, who: str) -> dict[str, str]:
        """Let it pass."""
        return {}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([b"\x00"], 1003),
        (["x"] * 10, 1007),
        (["[" * 60_000] * 10, 1007),
        ([" " * (MESSAGE_MAX + 1)], 1009),
        (['{"op":"auth","token":"x"}'], 1008),
    ],
)
async def test_what_ends_a_socket(tmp_path: Path, sent: list[str | bytes], code: int) -> None:
    """Bytes, too much that is no message, more than 64 KiB, and a sign-in that does not hold, each by its own code."""
    async with placed(tmp_path) as place, place.wire() as wire:
        with contextlib.suppress(ConnectionClosed):
            for message in sent:
                await wire.connection.send(message)
        found, told = await closed(wire)
        assert found == code
        assert [message["type"] for message in told[1:]] == ["error"] * (len(told) - 1)
        await eventually(lambda: len(place.house.desk.sockets) == 0)


async def test_one_signs_in_within_ten_seconds(tmp_path: Path) -> None:
    """A sign-in message that comes later is refused and ends the socket."""
    async with placed(tmp_path) as place:
        token = (await place.house.sign_in())["Authorization"].removeprefix("Bearer ")
        async with place.wire() as wire:
            await wire.ask("ping")
            place.house.passed_s += 11
            await wire.send("auth", token=token)
            code, told = await closed(wire)
            assert (code, told[-1]["code"]) == (1008, "UNAUTHENTICATED")


async def test_signing_out_ends_the_sockets(tmp_path: Path) -> None:
    """A session that is ended takes its sockets along within seconds; those of others go on."""
    async with placed(tmp_path) as place:
        ada, bob = await place.house.sign_in(), await place.house.sign_in("bob@example.com")
        async with place.wire(ada) as wire, place.wire(bob) as other:
            await wire.ask("ping")
            await place.house.client.delete("/api/v1/auth/logout", headers=ada)
            place.house.passed_s += 5
            assert (await closed(wire))[0] == 1008
            assert (await other.ask("ping"))["type"] == "pong"


async def test_a_session_that_expires_ends_its_sockets(tmp_path: Path) -> None:
    """A socket does not outlive the token that it was opened with."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        await wire.ask("ping")
        place.house.clock.advance(8 * 24 * 3_600)
        place.house.passed_s += 5
        assert (await closed(wire))[0] == 1008


async def test_a_stop_is_announced(tmp_path: Path) -> None:
    """Before the gateway stops every client is told, then its socket is closed with 1012."""
    async with placed(tmp_path) as place, contextlib.AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(place.wire()) for _ in range(3)]
        for wire in wires:
            await wire.ask("ping")
        ending = [asyncio.ensure_future(closed(wire)) for wire in wires]
        await place.house.desk.sockets.shutdown()
        for code, told in await asyncio.gather(*ending):
            assert (code, told[-1]["type"]) == (1012, "server_shutdown")
        assert (await refused(place))[0] == 503


async def test_a_stop_waits_for_what_is_under_way(tmp_path: Path) -> None:
    """An instruction that the venue answers while the gateway stops is answered to its sender before the end."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        streams = place.house.streams
        streams.silent = True
        await wire.send("order", {"market": MARKET, "side": "buy", "qty": "0.001"})
        await eventually(lambda: place.instructions()[-1]["op"] == "order_place")
        ending = asyncio.ensure_future(closed(wire))
        stopping = asyncio.ensure_future(place.house.desk.sockets.shutdown())
        await eventually(lambda: place.house.desk.sockets.stopping)
        streams.publish(len(streams.log), place.house.engine.apply(len(streams.log), streams.log[-1].fields))
        await stopping
        code, told = await ending
        assert (code, [message["type"] for message in told]) == (1012, ["hello", "server_shutdown", "answer"])
        assert told[-1]["status"] == 200


@contextlib.asynccontextmanager
async def blind_client(port: int, token: str) -> AsyncIterator[None]:
    """Yield while a client is connected that subscribes and then never reads, its own buffer as small as can be."""
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(plain, ("127.0.0.1", port))
        lines = [
            "GET /ws HTTP/1.1",
            "Host: x",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Authorization: Bearer {token}",
        ]
        await loop.sock_sendall(plain, "\r\n".join([*lines, "", ""]).encode())
        assert (await loop.sock_recv(plain, 12)).endswith(b"101")
        message = b'{"op":"subscribe","channels":["events"]}'
        await loop.sock_sendall(plain, b"\x81" + bytes([0x80 | len(message)]) + b"\0\0\0\0" + message)
        yield


async def test_a_client_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    """Once it is owed more than 1 MiB and takes nothing its socket ends, with 1013; a client that reads has it all."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        token = headers["Authorization"].removeprefix("Bearer ")
        desk, streams = place.house.desk, place.house.streams
        async with place.wire(headers) as wire, blind_client(place.port, token):
            await wire.ask("subscribe", channels=["events"])
            await eventually(lambda: len(desk.sockets) == 2 and all(each.followings for each in desk.sockets.all()))
            event = {"e": "ledger", "account": 100, "text": "x" * 1_000}
            for seq in range(3, 23):
                streams.publish(seq, [event] * 500)
            read = 0
            async with asyncio.timeout(20):
                while read < 20 * 500:
                    read += orjson.loads(await wire.connection.recv())["type"] == "event"
            await eventually(lambda: len(desk.sockets) == 1, 20)
            assert place.house.gateway.parts.meters.drops.by["1013",] == 1
            assert desk.sockets.backlog_bytes() == 0


async def test_large_snapshots_end_no_socket(tmp_path: Path) -> None:
    """Snapshots of many megabytes come in parts as the client takes them, one after the other; it may ask meanwhile."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        streams = place.house.streams
        view = dict(streams.hashes[streams.keys.view_account(100)])
        for number in range(1, 2_001):
            view[f"order:{number}"] = orjson.dumps({"order_id": number, "note": "x" * 1_000})
        accounts = range(200, 208)
        streams.hashes |= {streams.keys.view_account(account): view for account in accounts}
        async with connect(f"ws://127.0.0.1:{place.port}/ws", additional_headers=headers, max_size=None) as connection:
            wire = Wire(connection)
            await wire.ask("ping")
            connection.transport.pause_reading()
            [own] = place.house.desk.sockets.all()
            for account in accounts:
                own.follow(Follow([channel_of("orders", ())], account, account))
            await eventually(lambda: own.outbox.full and own.outbox.stalled_s() > 0.2)
            for _ in range(1_000):
                await wire.send("ping")
            connection.transport.resume_reading()
            found: list[dict[str, Any]] = []
            async with asyncio.timeout(20):
                while len(found) < 1_000 + 2 * len(accounts):
                    found.append(orjson.loads(await connection.recv()))
            sizes = {message["id"]: len(orjson.dumps(message)) for message in found if message["type"] == "snapshot"}
            assert sizes.keys() == set(accounts) and min(sizes.values()) > BACKLOG_MAX
            assert own.outbox.backlog_bytes == 0


async def test_an_asker_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    """Answers pile up as well: whoever asks and never reads ends with 1013, and costs no more than the limit."""
    async with placed(tmp_path) as place:
        token = (await place.house.sign_in())["Authorization"].removeprefix("Bearer ")
        async with blind_client(place.port, token):
            await eventually(lambda: len(place.house.desk.sockets) == 1)
            [blind] = place.house.desk.sockets.all()
            for _ in range(20_000):
                blind.outbox.put(b'{"type":"pong","padding":"%s"}' % (b"x" * 1_000))
                if blind.outbox.goodbye is not None:
                    break
            assert blind.outbox.goodbye is not None and blind.outbox.goodbye.code == 1013
            await eventually(lambda: len(place.house.desk.sockets) == 0)
