"""The HTTP server itself: whose word counts for an address, how long a header may take, what production demands."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from gateway import calls, server
from gateway.__main__ import EXIT_CONFIGURATION, main, parts_build, production_fault
from gateway.mail import Mail
from shared.settings import SettingsError, settings_read
from tests.gateway_doubles import eventually, settings_of
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
PUBLIC_A_SECOND = 50


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


@contextlib.asynccontextmanager
async def served(tmp_path: Path, **changes: str) -> AsyncIterator[int]:
    """Yield the port of a gateway that really listens."""
    async with House(tmp_path, TIDEMARK_PORT="0", **changes) as house:
        http = server.server_build(house.gateway)
        serving = asyncio.ensure_future(http.serve())
        await eventually(lambda: http.started)
        yield http.servers[0].sockets[0].getsockname()[1]
        http.should_exit = True
        await serving


async def statuses(port: int, addresses: list[str]) -> set[int]:
    """Return what is answered to requests that claim these addresses."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        calls = [client.get("/health", headers={"X-Forwarded-For": address}) for address in addresses]
        return {answer.status_code for answer in await asyncio.gather(*calls)}


@pytest.mark.parametrize(("proxies", "expected"), [("", {200, 429}), ("10.9.9.9", {200, 429}), ("127.0.0.1", {200})])
async def test_only_a_named_proxy_may_say_who_is_calling(tmp_path: Path, proxies: str, expected: set[int]) -> None:
    """A spoofed X-Forwarded-For buys nobody a bucket of their own; behind a named proxy each caller has one."""
    changes = {"TIDEMARK_RATE_FACTOR": "1", "TIDEMARK_PROXIES": proxies}
    async with served(tmp_path, **changes) as port:
        addresses = [f"192.0.2.{number}" for number in range(2 * PUBLIC_A_SECOND + 20)]
        assert await statuses(port, addresses) == expected


async def test_callers_cannot_spoof_through_the_proxy(tmp_path: Path) -> None:
    """What a caller wrote in front of the proxy's own entry is not looked at."""
    async with served(tmp_path, TIDEMARK_RATE_FACTOR="1", TIDEMARK_PROXIES="127.0.0.0/8") as port:
        addresses = [f"192.0.2.{number}, 198.51.100.7" for number in range(2 * PUBLIC_A_SECOND + 20)]
        assert await statuses(port, addresses) == {200, 429}


@pytest.mark.parametrize("proxies", ["*", "proxy.example", "10.0.0.1/8"])
def test_proxies_are_addresses(proxies: str) -> None:
    """Neither everybody nor a name may be trusted."""
    with pytest.raises(SettingsError, match="TIDEMARK_PROXIES"):
        settings_read({"TIDEMARK_PROXIES": proxies})


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
@pytest.mark.parametrize("before", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_header_that_does_not_come_ends_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes, sent: bytes
) -> None:
    """A connection without a complete header is closed, a later header on it included; an idle one rests longer."""
    monkeypatch.setattr(server, "HEADER_S", 0.1)
    async with served(tmp_path) as port, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(before + sent)
        if before and not sent:
            await reader.readuntil(b"}")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.3)
            writer.write(b"G")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200") or not (before and sent)
        writer.close()


FLOODS = {
    "address": (b"GET /", b"a" * 4_000),
    "one header": (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 4_000),
    "many headers": (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"X-Many: " + b"a" * 90 + b"\r\n"),
    "a header's name": (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"a" * 4_000),
    "trailing headers": (
        b"POST /api/v1/auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X-Many: " + b"a" * 90 + b"\r\n",
    ),
    "one trailing header": (
        b"POST /api/v1/auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: ",
        b"a" * 4_000,
    ),
    "a chunk's extension": (
        b"POST /api/v1/auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;",
        b"a" * 4_000,
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_header_without_end_is_cut_off(tmp_path: Path, flood: str) -> None:
    """Whatever of a request has no bound of its own is cut off soon after 64 KiB, long before the time for headers."""
    begin, more = FLOODS[flood]
    async with served(tmp_path) as port, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begin)
        sent = 0
        try:
            while sent < 4 * server.HEADER_BYTES_MAX:
                writer.write(more)
                await writer.drain()
                sent += len(more)
                await asyncio.sleep(0)
            await reader.read()
        except ConnectionError:
            pass
        assert sent <= 4 * server.HEADER_BYTES_MAX
        assert reader.at_eof() or reader.exception() is not None
        writer.close()


@pytest.mark.parametrize(("proxies", "answered"), [("", 3), ("127.0.0.0/8", 6)])
async def test_one_caller_does_not_take_all_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxies: str, answered: int
) -> None:
    """Beyond its share a caller's connections are closed with 429 until some of its own end; a proxy is many."""
    monkeypatch.setattr(server, "CONNECTIONS_ADDRESS_MAX", 3)
    changes = {"TIDEMARK_RATE_FACTOR": "1", "TIDEMARK_PROXIES": proxies}
    async with served(tmp_path, **changes) as port, asyncio.timeout(10):

        async def opened() -> tuple[asyncio.StreamWriter, bytes]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            return writer, await reader.readline()

        for _ in range(2):
            held = [await opened() for _ in range(6)]
            assert [line.split()[1] for _writer, line in held] == [b"200"] * answered + [b"429"] * (6 - answered)
            for writer, _line in held:
                writer.close()
                await writer.wait_closed()
            await asyncio.sleep(0.05)


BODIES = {
    "too slow": (b"Content-Length: 50\r\n\r\n{", 408),
    "slow in chunks": (b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", 408),
    "said to be large": (b"Content-Length: 999999999999999999999\r\n\r\n{", 400),
    "said to be 64 KiB and one": (b"Content-Length: 65537\r\n\r\n{", 413),
    "large in chunks": (b"Transfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b"x" * 4_096 + b"\r\n") * 17, 413),
    "of two lengths": (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400),
    "of a length and in chunks": (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
}


@pytest.mark.parametrize("body", BODIES)
async def test_bodies_end_in_time_and_within_64_kib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A body that drips, is too large whatever it says of itself, or says two things of itself is refused at once."""
    monkeypatch.setattr(calls, "BODY_TIMEOUT_S", 0.2)
    sent, status = BODIES[body]
    async with served(tmp_path) as port, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /api/v1/auth HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + sent)
        line = await reader.readline()
        assert line.startswith(b"HTTP/1.1 %d " % status)
        writer.close()


async def test_headers_within_the_bound_are_read(tmp_path: Path) -> None:
    """A request with 40 KB of headers, and another on the same connection, are answered."""
    headers = {f"X-{number}": "a" * 1_000 for number in range(40)}
    async with (
        served(tmp_path) as port,
        asyncio.timeout(5),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for _ in range(3):
            assert (await client.get("/health", headers=headers)).status_code == 200


async def test_production_keeps_links_out_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even where production is given the folder, a link is in it alone; in development it is shown as well."""
    for environment in ("production", "development"):
        folder = tmp_path / environment
        settings = settings_of(folder, TIDEMARK_ENV=environment, DATABASE_URL="postgresql://127.0.0.1:1/none")
        parts = await parts_build(settings)
        path = await parts.mail.send(Mail("ada@example.com", "https://venue.example/?token=abc", "Sign in"))
        assert isinstance(path, Path)
        assert b"token=abc" in path.read_bytes()
        assert ("abc" in capsys.readouterr().out) == (environment == "development")
        await parts.database.close()


def test_production_demands_https(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Production with an http:// address, the default included, does not start."""
    good = {"TIDEMARK_ENV": "production", "TIDEMARK_BASE_URL": "https://venue.example"}
    assert production_fault(settings_read(good)) == ""
    assert production_fault(settings_read({})) == ""
    for base_url in ("", "http://venue.example"):
        assert "https://" in production_fault(settings_read(good | {"TIDEMARK_BASE_URL": base_url}))
    monkeypatch.setenv("TIDEMARK_ENV", "production")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == EXIT_CONFIGURATION
    assert "TIDEMARK_BASE_URL" in "".join(capfd.readouterr())
