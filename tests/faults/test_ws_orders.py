"""Order entry over the WebSocket of a real venue: a lost socket's orders go, a kept one's stay; mails leave by SMTP."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiosmtpd.smtp import SMTP, Envelope
from websockets.asyncio.client import connect

from gateway.socket.guard import ARMED_MS, GRACE_MS
from tests.faults.second_gateway import SecondGateway, second_gateway
from tests.faults.venue_client import Trader, Venue, venue_running
from tests.gateway_wire import Wire

MARKET = "SOL_USDC_PERP"
LATE_S = 2.0  # beyond the time that the switch states: log time comes in ticks
LINK = re.compile(rb"http://[^\s\"<]+/api/v1/auth/verify\?token=[A-Za-z0-9_-]{43}")


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """Yield a venue with simulated prices."""
    with venue_running(tmp_path_factory.mktemp("ws_orders"), "--feed", "simulated") as venue:
        yield venue


def far_order(venue: Venue, part: float) -> dict[str, Any]:
    """Return a limit order that rests below the market."""
    bid = float(venue.ticker(MARKET)["bid"])
    return {"market": MARKET, "side": "buy", "kind": "limit", "qty": "0.10", "price": f"{bid * part:.2f}"}


def kinds_live(venue: Venue, trader: Trader) -> list[str]:
    """Return the kinds of an account's live orders."""
    return sorted(order["kind"] for order in venue.call("GET", "/api/v1/account/orders", trader=trader).body["items"])


async def kinds_become(venue: Venue, trader: Trader, kinds: list[str], within_s: float) -> float:
    """Return after how many seconds an account has these orders and no others."""
    began_s = time.monotonic()
    while (found := await asyncio.to_thread(kinds_live, venue, trader)) != kinds:
        assert time.monotonic() - began_s < within_s, f"{found} after {within_s} s, not {kinds}"
        await asyncio.sleep(0.1)
    return time.monotonic() - began_s


def reasons(venue: Venue, trader: Trader) -> list[str]:
    """Return why an account's limit orders were closed."""
    events = [each.event for each in venue.happened()]
    closed = [each for each in events if each["e"] == "closed_order" and each["account"] == trader.account]
    return [each["reason"] for each in closed if each["kind"] == "limit"]


@contextlib.asynccontextmanager
async def wired(url: str, trader: Trader) -> Any:
    """Yield a signed-in socket."""
    headers = {"Authorization": f"Bearer {trader.token}"}
    async with connect(f"{url.replace('http', 'ws', 1)}/ws", additional_headers=headers) as connection:
        yield Wire(connection)


async def lost(venue: Venue, trader: Trader) -> None:
    """A socket breaks: what opens is cancelled after the grace time, the stop of the position stays."""
    async with wired(venue.url, trader) as wire:
        bid = float(venue.ticker(MARKET)["bid"])
        held = {"market": MARKET, "side": "buy", "qty": "0.10", "stop_loss": f"{bid * 0.8:.2f}"}
        assert (await wire.ask("order", held))["status"] == 200
        assert (await wire.ask("order", far_order(venue, 0.97)))["status"] == 200
        assert (await wire.ask("cancel_on_disconnect", None, enabled=True))["status"] == 200
        wire.connection.transport.abort()
    took_s = await kinds_become(venue, trader, ["stop_market"], GRACE_MS / 1_000 + LATE_S)
    assert took_s > 0.5 * GRACE_MS / 1_000, "there was no time to come back"


async def back_in_time(venue: Venue, second: SecondGateway, trader: Trader) -> None:
    """A client that is back on the other gateway within the grace time keeps its order, and loses it when it goes."""
    async with wired(venue.url, trader) as wire:
        await wire.ask("order", far_order(venue, 0.97))
        await wire.ask("cancel_on_disconnect", None, enabled=True, scope="all")
    await asyncio.sleep(1)
    async with wired(second.url, trader) as wire:
        assert (await wire.ask("cancel_on_disconnect", None, enabled=True, scope="all"))["status"] == 200
        await asyncio.sleep(GRACE_MS / 1_000 + LATE_S)
        assert await asyncio.to_thread(kinds_live, venue, trader) == ["limit"]
    await kinds_become(venue, trader, [], GRACE_MS / 1_000 + LATE_S)


async def gateway_killed(venue: Venue, second: SecondGateway, trader: Trader) -> None:
    """When the gateway itself dies there is nobody to shorten the time: the engine's switch goes off by itself."""
    async with wired(second.url, trader) as wire:
        await wire.ask("order", far_order(venue, 0.97))
        await wire.ask("cancel_on_disconnect", None, enabled=True)
        await asyncio.to_thread(second.kill)
        with contextlib.suppress(Exception):
            await wire.connection.wait_closed()
    await kinds_become(venue, trader, [], ARMED_MS / 1_000 + LATE_S)


@pytest.mark.timeout(120)
def test_orders_live_as_long_as_their_socket(venue: Venue, tmp_path: Path) -> None:
    """Lost, back in time, and killed with its gateway: each ends as it was promised, all at once over one venue."""
    traders = venue.traders_open(3)

    async def all_at_once(first: SecondGateway, second: SecondGateway) -> None:
        await asyncio.gather(
            lost(venue, traders[0]), back_in_time(venue, first, traders[1]), gateway_killed(venue, second, traders[2])
        )

    with (
        second_gateway(venue, tmp_path / "first.log") as first,
        second_gateway(venue, tmp_path / "second.log") as second,
    ):
        asyncio.run(all_at_once(first, second))
    assert [reasons(venue, trader) for trader in traders] == [["deadman"]] * 3


@pytest.mark.timeout(60)
def test_orders_and_repeats_over_both_ways(venue: Venue) -> None:
    """A hundred orders sent in one breath are in the log in that order; repeated over HTTP each is a replay."""
    [trader] = venue.traders_open(1)
    order = far_order(venue, 0.96)
    bodies = [order | {"client_order_id": f"n{number}", "qty": f"0.{10 + number}"} for number in range(80)]

    async def send_all() -> list[dict[str, Any]]:
        async with wired(venue.url, trader) as wire:
            idents = [await wire.send("order", body) for body in bodies]
            return [await wire.answer(ident) for ident in idents]

    answers = asyncio.run(send_all())
    assert {answer["status"] for answer in answers} == {200}
    seqs = [int(answer["body"]["seq"]) for answer in answers]
    assert seqs == sorted(seqs)
    for body, answer in list(zip(bodies, answers, strict=True))[::8]:
        again = venue.call("POST", "/api/v1/trade/order", body, trader)
        assert (again.status, again.headers["idempotent-replay"]) == (200, "true")
        assert again.body["seq"] == answer["body"]["seq"]
        assert again.body["order_id"] == answer["body"]["order_id"]


class Sink:
    """An SMTP server's inside that refuses the first try."""

    def __init__(self) -> None:
        """Start empty."""
        self.envelopes: list[Envelope] = []
        self.tries = 0
        self.taken = asyncio.Event()

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:
        """Take a mail, but not the first time."""
        self.tries += 1
        if self.tries == 1:
            return "451 4.3.0 come back"
        self.envelopes.append(envelope)
        self.taken.set()
        return "250 OK"


@pytest.mark.timeout(60)
def test_a_link_by_smtp_signs_in(venue: Venue, tmp_path: Path) -> None:
    """A gateway that sends by SMTP brings a new address into the venue by a mail, at the second try."""
    sink = Sink()
    mails_kept = len(list((venue.data_dir / "mail").iterdir()))

    async def mailed() -> bytes:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(sink, hostname="sink.example", loop=loop), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        environment = {
            "TIDEMARK_MAIL": "smtp",
            "TIDEMARK_MAIL_FROM": "Tidemark <venue@tidemark.local>",
            "TIDEMARK_SMTP_URL": f"smtp://127.0.0.1:{port}?tls=none",
        }
        gateway = SecondGateway(venue, tmp_path / "smtp.log", environment)
        await asyncio.to_thread(gateway.start)
        try:
            began_s = time.monotonic()
            async with httpx2.AsyncClient(base_url=gateway.url) as client:
                asked = await client.post("/api/v1/auth", json={"email": "new@example.com"})
            assert asked.status_code == 202
            assert time.monotonic() - began_s < 1, "nobody waits for a mail"
            async with asyncio.timeout(20):
                await sink.taken.wait()
        finally:
            await asyncio.to_thread(gateway.stop)
            server.close()
        content = sink.envelopes[0].content
        assert isinstance(content, bytes)
        assert sink.envelopes[0].rcpt_tos == ["new@example.com"]
        return content

    content = asyncio.run(mailed())
    assert sink.tries == 2
    token = LINK.findall(content)[0].partition(b"token=")[2].decode()
    signed_in = venue.call("POST", "/api/v1/auth/verify", {"token": token})
    assert signed_in.status == 200
    trader = Trader(signed_in.body["account_id"], signed_in.body["token"])
    assert venue.call("GET", "/api/v1/account", trader=trader).status == 200
    log = (tmp_path / "smtp.log").read_text()
    assert '"mail_retried"' in log
    assert '"mail_sent"' in log
    assert token not in log
    assert "new@example.com" not in log
    assert mails_kept == len(list((venue.data_dir / "mail").iterdir())), "what is sent is not kept as well"
