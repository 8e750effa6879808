"""The gateway against real servers, with a scripted engine and the real view reader beside it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from gateway.errors import Refusal
from scripts import embedded
from scripts.accounts import account
from shared.streams import StreamsAsync
from tests.gateway_doubles import MARKET, SECRET, VENUE, eventually
from tests.gateway_live import LiveGateway, LiveVenue, house
from tests.integration.conftest import redis_answers, server_start, server_stop, statement_run, until

BUY = {"market": MARKET, "side": "buy", "qty": "0.001"}
ORDER = "/api/v1/trade/order"
REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Return a Redis of this test alone, that it may kill, freeze and start again."""
    data_dir = tmp_path / "own"
    data_dir.mkdir()
    sockets = embedded.socket_folder(data_dir)
    own: dict[str, Any] = {"url": embedded.redis_url(sockets)}

    def start() -> None:
        own["process"] = server_start(embedded.redis_server(data_dir, sockets), data_dir)
        until(lambda: redis_answers(own["url"]), "Valkey")

    own["start"] = start
    start()
    yield own
    own["process"].send_signal(signal.SIGCONT)
    server_stop(own["process"], signal.SIGKILL)
    shutil.rmtree(sockets, ignore_errors=True)


def test_the_whole_way(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """Sign in, trade, repeat, read one's own writes, ask what became of it, sign out: over real servers."""

    async def scenario() -> None:
        async with house(tmp_path, redis_url, database_url) as (_venue, gateway):
            client = gateway.client
            caller = await gateway.sign_in()
            again = await gateway.sign_in()
            accounts = [(await client.get("/api/v1/account", headers=who)).json() for who in (caller, again)]
            assert [body["account_id"] for body in accounts] == [100, 100]
            assert accounts[0]["equity"] == "5000.000000"
            keyed = caller | {"Idempotency-Key": "k1"}
            first = await client.post(ORDER, json=BUY, headers=keyed)
            repeat = await client.post(ORDER, json=BUY, headers=keyed)
            assert (first.json()["result"], len(first.json()["fills"])) == ("OK", 1)
            assert (repeat.json(), repeat.headers["idempotent-replay"]) == (first.json(), "true")
            for _ in range(20):
                seq = (await client.post(ORDER, json=BUY, headers=caller)).json()["seq"]
                view = (await client.get("/api/v1/account", headers=caller)).json()
                assert int(view["seq"]) >= int(seq)
                assert "behind_seq" not in view
            assert view["positions_count"] == 21
            asked = (await client.get("/api/v1/requests/k1", headers=caller)).json()
            assert (asked["status"], asked["seq"]) == ("ACCEPTED", first.json()["seq"])
            history = (await client.get("/api/v1/account/history/orders", headers=caller)).json()
            assert (history["items"], history["next_cursor"]) == ([], None)
            ready = (await client.get("/ready")).json()
            assert (ready["missing"], "snapshot" in ready["degraded"]) == ({}, True)
            assert (await client.delete("/api/v1/auth/logout", headers=caller)).status_code == 200
            assert (await client.get("/api/v1/account", headers=caller)).status_code == 401
            assert (await client.get("/api/v1/account", headers=again)).status_code == 200

    asyncio.run(scenario())


def test_a_subaccount_on_two_gateways(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """An account opened through one gateway is acted for through another at once; a stranger's session is refused."""

    async def scenario() -> None:
        async with (
            house(tmp_path, redis_url, database_url) as (_venue, one),
            LiveGateway(tmp_path, redis_url, one.parts.database) as two,
        ):
            caller, stranger = await one.sign_in(), await one.sign_in("bob@example.com")
            for _ in range(5):
                opened = await one.client.post("/api/v1/account/subaccounts", json={}, headers=caller)
                query = {"account": str(opened.json()["subaccount"]["account_id"])}
                answers = [
                    await two.client.post(ORDER, json=BUY, params=query, headers=who) for who in (caller, stranger)
                ]
                assert [answer.status_code for answer in answers] == [200, 400]
            account = (await two.client.get("/api/v1/account", headers=caller)).json()
            assert [row["sub"] for row in account["subaccounts"]] == [1, 2, 3, 4, 5]
            feed = await two.client.get(f"/api/v1/market/{MARKET}/liquidations")
            assert (feed.status_code, feed.json()["items"]) == (200, [])

    asyncio.run(scenario())


def test_one_link_among_fifty_on_two_gateways(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """Fifty at once with one link, through two gateways, open one session; the other gateway sees a revocation."""

    async def scenario() -> None:
        async with (
            house(tmp_path, redis_url, database_url) as (_venue, one),
            LiveGateway(tmp_path, redis_url, one.parts.database) as two,
        ):
            body = {"token": await one.link("ada@example.com")}
            calls = [(one, two)[number % 2].client.post("/api/v1/auth/verify", json=body) for number in range(50)]
            answers = await asyncio.gather(*calls)
            good = [answer for answer in answers if answer.status_code == 200]
            assert len(good) == 1
            rows = await one.parts.database.fetch("SELECT revoked_us FROM sessions")
            assert len(rows) == 1
            token = good[0].json()["token"]
            session = await one.desk.sessions.check(token)
            await one.desk.sessions.revoke(session)
            with pytest.raises(Refusal, match="UNAUTHENTICATED"):
                await two.desk.sessions.check(token)

    asyncio.run(scenario())


def test_two_askers_leave_one_link(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """However many ask for one address at once, one link is good afterwards, and one person exists."""

    async def scenario() -> None:
        async with house(tmp_path, redis_url, database_url) as (_venue, gateway):
            await asyncio.gather(*(gateway.desk.links.send("ada@example.com") for _ in range(8)))
            await eventually(lambda: len(gateway.mails) == 8)
            tokens = [mail.link.partition("token=")[2] for mail in gateway.mails]
            people = [await gateway.desk.links.person(token) for token in tokens]
            assert len(tokens) == 8
            assert sum(person is not None for person in people) == 1
            assert len(await gateway.parts.database.fetch("SELECT 1 FROM users")) == 1

    asyncio.run(scenario())


def test_redis_killed_is_503_and_everything_resumes(
    tmp_path: Path, own_redis: dict[str, Any], database_url: str
) -> None:
    """With Redis killed an order is 503 or UNKNOWN, reads are 503; started again, all goes on by itself."""

    async def scenario() -> None:
        async with house(tmp_path, own_redis["url"], database_url) as (_venue, gateway):
            caller = await gateway.sign_in()
            first = await gateway.client.post(ORDER, json=BUY, headers=caller)
            own_redis["process"].kill()
            own_redis["process"].wait()
            for number in range(5):
                keyed = caller | {"Idempotency-Key": f"down {number}"}
                answer = await gateway.client.post(ORDER, json=BUY, headers=keyed)
                assert answer.status_code == 503 or answer.json()["status"] == "UNKNOWN"
            read = await gateway.client.get("/api/v1/account", headers=caller)
            assert (read.status_code, read.json()["code"]) == (503, "VIEW_UNAVAILABLE")
            await asyncio.sleep(1.1)
            assert (await gateway.client.get("/ready")).status_code == 503
            own_redis["start"]()
            await gateway.ready()
            again = await gateway.client.post(ORDER, json=BUY, headers=caller | {"Idempotency-Key": "again"})
            while again.json().get("detail") == {"reason": "RUN_ID_NOT_NAMED"}:  # the leader has not looked at it yet
                await asyncio.sleep(0.1)
                again = await gateway.client.post(ORDER, json=BUY, headers=caller | {"Idempotency-Key": "again"})
            assert int(again.json()["seq"]) == int(first.json()["seq"]) + 1

            async def accepted() -> bool:
                """Whether the engine, which has to find the new Redis first, has answered: 200, or 202 and later."""
                told = await gateway.client.get("/api/v1/requests/again", headers=caller)
                return bool(told.json()["status"] == "ACCEPTED")

            assert again.status_code in (200, 202)
            await eventually(accepted)
            view = (await gateway.client.get("/api/v1/account", headers=caller)).json()
            assert view["positions_count"] == 2

    asyncio.run(scenario())


def test_redis_frozen_is_unknown_and_is_resolved(tmp_path: Path, own_redis: dict[str, Any], database_url: str) -> None:
    """An append that hangs is 202 UNKNOWN within the time-out; thawed, the same id tells what became of it."""

    async def scenario() -> None:
        async with house(tmp_path, own_redis["url"], database_url) as (_venue, gateway):
            caller = await gateway.sign_in() | {"Idempotency-Key": "frozen"}
            await gateway.client.post(ORDER, json=BUY, headers=caller | {"Idempotency-Key": "warm"})
            own_redis["process"].send_signal(signal.SIGSTOP)
            started_s = time.monotonic()
            answer = await gateway.client.post(ORDER, json=BUY, headers=caller)
            assert (answer.status_code, answer.json()["status"]) == (202, "UNKNOWN")
            assert time.monotonic() - started_s < 3
            own_redis["process"].send_signal(signal.SIGCONT)
            await gateway.ready()
            async with asyncio.timeout(10):
                status = "UNKNOWN"
                while status == "UNKNOWN":
                    answer = await gateway.client.get("/api/v1/requests/frozen", headers=caller)
                    status = answer.json().get("status", "UNKNOWN")  # 503 while Redis is found again
                    await asyncio.sleep(0.02)
            assert status == "ACCEPTED"
            assert (await gateway.client.post(ORDER, json=BUY, headers=caller)).headers["idempotent-replay"] == "true"

    asyncio.run(scenario())


def test_postgres_down_trading_goes_on(
    tmp_path: Path, redis_url: str, database_url: str, embedded_servers: Any
) -> None:
    """With Postgres refusing everybody, orders are answered as fast as ever; history and sign-in say 503 and return."""
    name = database_url.partition("?")[0].rpartition("/")[2]
    sockets = embedded_servers.sockets

    async def scenario() -> None:
        async with house(tmp_path, redis_url, database_url) as (_venue, gateway):
            caller = await gateway.sign_in()
            token = await gateway.link("bob@example.com")
            await statement_run(sockets, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await statement_run(
                sockets, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            started_s = time.monotonic()
            for _ in range(50):
                assert (await gateway.client.post(ORDER, json=BUY, headers=caller)).status_code == 200
            assert time.monotonic() - started_s < 2
            assert (await gateway.client.get("/api/v1/account", headers=caller)).status_code == 200
            history = await gateway.client.get("/api/v1/account/history/orders", headers=caller)
            assert (history.status_code, history.json()["code"]) == (503, "HISTORY_UNAVAILABLE")
            verify = await gateway.client.post("/api/v1/auth/verify", json={"token": token})
            assert (verify.status_code, verify.json()["code"]) == (503, "SIGN_IN_UNAVAILABLE")
            await statement_run(sockets, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            assert (await gateway.client.get("/api/v1/account/history/orders", headers=caller)).status_code == 200
            assert (await gateway.client.post("/api/v1/auth/verify", json={"token": token})).status_code == 200

    asyncio.run(scenario())


def test_two_hundred_accounts_within_two_seconds(tmp_path: Path, redis_url: str, database_url: str) -> None:
    """`tidemark account open` gives each account a token that the gateway takes, 200 of them in two seconds."""
    tokens = tmp_path / "tokens.jsonl"
    (tmp_path / "secret").write_text(SECRET)
    fields = {"redis_url": redis_url, "database_url": database_url, "venue": VENUE, "supervisor": os.getpid()}
    (tmp_path / "ready.json").write_text(json.dumps(fields))

    async def scenario() -> None:
        async with house(tmp_path, redis_url, database_url) as (_venue, gateway):
            started_s = time.monotonic()
            arguments = ["open", "--count", "200", "--tokens", str(tokens), "--data", str(tmp_path)]
            result = await asyncio.to_thread(CliRunner().invoke, account, arguments)
            assert result.exit_code == 0, result.output
            assert time.monotonic() - started_s < 2
            lines = [json.loads(line) for line in tokens.read_text().splitlines()]
            assert [line["account"] for line in lines] == list(range(100, 300))
            assert tokens.stat().st_mode & 0o077 == 0
            for line in lines[::50]:
                caller = {"Authorization": f"Bearer {line['token']}"}
                body = (await gateway.client.get("/api/v1/account", headers=caller)).json()
                assert (body["account_id"], body["free"]) == (line["account"], "5000.000000")

    asyncio.run(scenario())


class Process:
    """`python -m gateway`, as the supervisor starts it."""

    def __init__(self, tmp_path: Path, redis_url: str, database_url: str, port: int) -> None:
        """Start it."""
        (tmp_path / "secret").write_text(SECRET)
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "REDIS_URL": redis_url,
            "DATABASE_URL": database_url,
            "TIDEMARK_DATA": str(tmp_path),
            "TIDEMARK_PORT": str(port),
        }
        self.log = (tmp_path / "gateway.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway"], env=environment, stdout=self.log, stderr=self.log
        )

    async def until(self, path: str, status: int) -> dict[str, Any]:
        """Wait for a status and return the body."""
        async with asyncio.timeout(15), httpx2.AsyncClient(base_url=self.url) as client:
            while True:
                assert self.process.poll() is None, "the gateway ended"
                with contextlib.suppress(httpx2.TransportError):
                    answer = await client.get(path)
                    if answer.status_code == status:
                        body: dict[str, Any] = answer.json()
                        return body
                await asyncio.sleep(0.02)

    async def end(self) -> int:
        """Wait for the exit code."""
        code = await asyncio.to_thread(self.process.wait, 15)
        self.log.close()
        return code


@pytest.fixture
def port() -> int:
    """Return a port that is free now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_process_waits_serves_and_stops(tmp_path: Path, redis_url: str, database_url: str, port: int) -> None:
    """It answers /health before there is a venue, opens when there is one, and ends cleanly when asked."""

    async def scenario() -> None:
        process = Process(tmp_path, redis_url, database_url, port)
        venue = LiveVenue(redis_url)
        try:
            await process.until("/health", 200)
            assert "founded" in (await process.until("/ready", 503))["missing"]["venue"]
            await venue.found()
            assert (await process.until("/ready", 200))["venue"] == VENUE
            beat = await venue.streams.get_json(venue.keys.process(f"gateway:{port}"))
            assert (beat["pid"], beat["role"]) == (process.process.pid, "gateway")
            async with httpx2.AsyncClient(base_url=process.url) as client:
                assert (await client.post("/api/v1/auth", json={"email": "you@tidemark.local"})).status_code == 202
                await eventually((tmp_path / "mail" / "001.json").exists)
                link = json.loads((tmp_path / "mail" / "001.json").read_text())["link"]
                signed_in = (await client.get(link, headers={"Accept": "application/json"})).json()
                assert signed_in["account_id"] == 100
                placed = await client.post(ORDER, json=BUY)
                assert placed.json()["result"] == "OK"
            process.process.send_signal(signal.SIGTERM)
            assert await process.end() == 0
            text = (tmp_path / "gateway.log").read_text()
            assert signed_in["token"] not in text
            assert "Traceback" not in text
        finally:
            process.process.kill()
            await venue.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("loss", ["pointer", "refusal", "events"])
def test_the_process_ends_when_its_venue_is_lost(
    tmp_path: Path, redis_url: str, database_url: str, port: int, loss: str
) -> None:
    """Another pointer, a refusal that stands, or events that went back end the process; the last is written down."""

    async def scenario() -> None:
        venue = LiveVenue(redis_url)
        await venue.found()
        process = Process(tmp_path, redis_url, database_url, port)
        try:
            await process.until("/ready", 200)
            if loss == "refusal":
                await venue.streams.set_json(venue.keys.refused, {"text": "the log went back"})
            elif loss == "events":
                await venue.streams.delete(venue.keys.events)
            else:
                streams = StreamsAsync(redis_url)
                await streams.delete("tidemark:venue")
                await streams.venue_set("anothervenu")
                await streams.close()
            assert await process.end() == (1 if loss == "pointer" else 78)
            assert (tmp_path / "refused.json").exists() == (loss == "events")
        finally:
            process.process.kill()
            await venue.stop()

    asyncio.run(scenario())
