"""The HTTP server itself: whose word counts for an address, how long a header may take, what production demands."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from gateway import server
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


async def test_production_keeps_links_out_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In production a link is in the mail folder alone; in development it is shown as well."""
    for environment in ("production", "development"):
        folder = tmp_path / environment
        settings = settings_of(folder, TIDEMARK_ENV=environment, DATABASE_URL="postgresql://127.0.0.1:1/none")
        parts = await parts_build(settings)
        path = parts.mail.send(Mail("ada@example.com", "https://venue.example/?token=abc", "Sign in"))
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
