"""
The same request a thousand times, at once and again, over HTTP and WebSocket, while gateways and the engine are killed.

    python -m tests.faults.repeat_storm --times 1000

An order under its own name, a close and a change of margin under an Idempotency-Key: each must happen once, and whoever
is told that it happened must be told the same. `test_repeat_storm.py` runs a short one.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from gateway.identity import request_id_of_key, request_id_of_order
from tests.faults.second_gateway import SecondGateway
from tests.faults.venue_client import Trader, Venue, eventually, venue_running

MARKET = "BTC_USDC_PERP"
SENDERS = 24
SOCKET_SENDERS = 6  # of them
JITTER_S = 0.02  # the sendings of one wave begin within it, and so does a kill
KILL_EVERY_S = 2.0  # in all, with the start of the one that was killed
PAUSE_S = 0.05
ANSWER_TIMEOUT_S = 4.0
WINDOW_S = 110.0  # the venue remembers requests for two minutes
BEFORE, STEP = Decimal("0.2"), Decimal("0.013")
AMOUNT = Decimal("7.25")
NO_ANSWER = "NO_ANSWER"
# What an answer may say beside the one outcome: not sent, not known, not here.
HARMLESS = frozenset(
    {NO_ANSWER, "UNKNOWN", "LOG_UNAVAILABLE", "UNAVAILABLE", "SIGN_IN_UNAVAILABLE", "VIEW_UNAVAILABLE"}
)


class Options(NamedTuple):
    """One storm."""

    times: int  # sendings of each request
    seconds: float  # over which they are spread, in waves
    rounds: int  # of all three requests
    seed: int
    say: Callable[[str], None]


class Case(NamedTuple):
    """One request that is sent again and again."""

    name: str
    path: str
    op: str  # over the WebSocket
    body: dict[str, Any]
    key: str  # empty: the order's own name is the key
    request_id: str


class Said(NamedTuple):
    """One answer."""

    status: int
    code: str
    body: dict[str, Any]
    replay: bool


def cases_make(position_id: int, number: int) -> list[Case]:
    """Return the three requests of one round."""
    order = {"market": MARKET, "side": "buy", "qty": str(STEP), "client_order_id": f"once-{number}"}
    close = {"position_id": position_id, "qty": str(STEP)}
    margin = {"position_id": position_id, "amount": str(AMOUNT)}
    keys = [f"close {number}", f"margin {number}"]
    named = request_id_of_order("order_place", order["client_order_id"])
    return [
        Case("order", "/api/v1/trade/order", "order", order, "", named),
        Case("close", "/api/v1/trade/close", "close", close, keys[0], request_id_of_key(keys[0])),
        Case("margin", "/api/v1/trade/margin", "margin", margin, keys[1], request_id_of_key(keys[1])),
    ]


class Senders:
    """Many senders of one request."""

    def __init__(self, options: Options, case: Case, gateways: list[SecondGateway], trader: Trader) -> None:
        """Prepare; `run` sends."""
        self.case = case
        self.gateways = gateways
        self.trader = trader
        self.chance = random.Random(f"{options.seed} {case}")
        self.left = options.times
        self.wave_s = options.seconds * SENDERS / options.times
        self.begun_s = 0.0
        self.said: list[Said] = []
        self.kills = 0
        self.over = asyncio.Event()

    async def run(self, engine_kill: Callable[[], None]) -> None:
        """Send until all is sent; kill meanwhile."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx2.AsyncClient(timeout=ANSWER_TIMEOUT_S, limits=limits, trust_env=False) as http:
            self.begun_s = time.monotonic()
            killing = asyncio.ensure_future(self.kill(engine_kill))
            await asyncio.gather(
                *(self.http_send(http) for _ in range(SENDERS - SOCKET_SENDERS)),
                *(self.socket_send() for _ in range(SOCKET_SENDERS)),
            )
            self.over.set()
            await killing

    async def kill(self, engine_kill: Callable[[], None]) -> None:
        """Kill one gateway, then the other, each in the middle of a wave, the first wave too; the engine once."""
        engine_at = self.chance.randrange(2)
        for number in itertools.count():
            await self.wave()
            if self.over.is_set():
                return
            gateway = self.gateways[number % 2]
            gateway.kill()
            self.kills += 1
            if number == engine_at:
                engine_kill()
            await asyncio.to_thread(gateway.start)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), KILL_EVERY_S / 2)

    async def wave(self) -> None:
        """Wait for the next wave, and within it a moment."""
        gone_s = time.monotonic() - self.begun_s
        await asyncio.sleep(self.wave_s - gone_s % self.wave_s + self.chance.uniform(0, JITTER_S))

    async def turn(self) -> bool:
        """Wait for the next wave; return whether there is still something to send."""
        await self.wave()
        self.left -= 1
        return self.left >= 0

    async def http_send(self, http: httpx2.AsyncClient) -> None:
        """Send over HTTP, through either gateway."""
        headers = {"Authorization": f"Bearer {self.trader.token}"}
        if self.case.key:
            headers["Idempotency-Key"] = self.case.key
        while await self.turn():
            gateway = self.chance.choice(self.gateways)
            try:
                answer = await http.post(gateway.url + self.case.path, json=self.case.body, headers=headers)
                replay = answer.headers.get("idempotent-replay") == "true"
                self.note(answer.status_code, answer.json(), replay)
            except (httpx2.TransportError, ValueError):
                self.said.append(Said(0, NO_ANSWER, {}, False))
                await asyncio.sleep(PAUSE_S)

    async def socket_send(self) -> None:
        """Send over a WebSocket for as long as it lives, then over another."""
        headers = {"Authorization": f"Bearer {self.trader.token}"}
        while self.left > 0:
            gateway = self.chance.choice(self.gateways)
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                url = gateway.url.replace("http", "ws") + "/ws"
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    socket = await connect(url, additional_headers=headers, compression=None)
                async with socket:
                    await self.socket_talk(socket)
            await asyncio.sleep(PAUSE_S)

    async def socket_talk(self, socket: ClientConnection) -> None:
        """Send over one WebSocket and take each answer."""
        while await self.turn():
            message: dict[str, Any] = {"op": self.case.op, "id": "again", "body": self.case.body}
            if self.case.key:
                message["key"] = self.case.key
            try:
                await socket.send(json.dumps(message))
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    while (answer := json.loads(await socket.recv()))["type"] not in ("answer", "error"):
                        pass
            except (OSError, TimeoutError, WebSocketException):
                self.said.append(Said(0, NO_ANSWER, {}, False))
                raise
            if answer["type"] == "error":
                self.said.append(Said(400, answer["code"], answer, False))
            else:
                self.note(answer["status"], answer["body"], answer.get("replay", False))

    def note(self, status: int, body: dict[str, Any], replay: bool) -> None:
        """Keep one answer."""
        code = body.get("result") or body.get("code") or body.get("status") or str(status)
        self.said.append(Said(status, code, body, replay))


def problems_of(case: Case, said: list[Said]) -> list[str]:
    """Return what is wrong with the answers to one request: another code, or two outcomes."""
    codes = Counter(each.code for each in said if each.code != "OK")
    found = [f"{case.name}: {count} answers {code}" for code, count in codes.items() if code not in HARMLESS]
    told = [each for each in said if each.code == "OK"]
    outcomes = {json.dumps(each.body, sort_keys=True) for each in told}
    if len(outcomes) != 1:
        found += [f"{case.name}: {len(outcomes)} outcomes", *sorted(outcomes)[:3]]
    if any(each.body["request_id"] != case.request_id for each in told):
        found.append(f"{case.name}: an outcome of another request")
    first = sum(not each.replay for each in told)
    if first > 1:
        found.append(f"{case.name}: {first} answers say that they were the first")
    return found


def stream_problems(venue: Venue, trader: Trader, case: Case) -> list[str]:
    """Return whether the stream holds anything but one acceptance of the request, and one order of its name."""
    happened = [one.event for one in venue.happened() if one.event.get("account") == trader.account]
    accepted = [
        event for event in happened
        if event["e"] == "order_response" and event["request_id"] == case.request_id and event["result"] == "OK"
    ]  # fmt: skip
    found = [] if len(accepted) == 1 else [f"{case.name}: accepted {len(accepted)} times"]
    if case.name == "order":
        name = case.body["client_order_id"]
        orders = {event["order_id"] for event in happened if event.get("client_order_id") == name}
        if len(orders) != 1:
            found.append(f"orders of the name: {sorted(orders)}")
    return found


def asked_problems(gateways: list[SecondGateway], trader: Trader, case: Case, told: list[Said]) -> list[str]:
    """Return whether both gateways, asked afterwards, name the same outcome, and refuse the name with another body."""
    found = []
    headers = {"Authorization": f"Bearer {trader.token}"} | ({"Idempotency-Key": case.key} if case.key else {})
    with httpx2.Client(timeout=10.0, trust_env=False, headers=headers) as http:
        for gateway in gateways:
            body = http.get(f"{gateway.url}/api/v1/requests/{case.request_id}").json()
            if body.get("status") != "ACCEPTED" or any(each.body["seq"] != body["seq"] for each in told[:1]):
                found.append(f"{case.name}: asked, a gateway says {body}")
            other = case.body | {"qty" if "qty" in case.body else "amount": "0.5"}
            answer = http.post(gateway.url + case.path, json=other)
            if answer.status_code != 409 or answer.json()["code"] != "REQUEST_ID_REUSED":
                found.append(f"{case.name}: another body under the same id is {answer.status_code} {answer.text[:200]}")
    return found


def position_of(venue: Venue, trader: Trader) -> dict[str, Any]:
    """Return the account's one position."""
    answer = venue.call("GET", "/api/v1/account/positions", trader=trader)
    assert answer.status == 200 and len(answer.body["items"]) == 1, answer
    return dict(answer.body["items"][0])


def storm_run(options: Options, folder: Path) -> dict[str, Any]:
    """Send each request as often as asked, and return what became of it; `problems` must be empty."""
    started_s = time.monotonic()
    problems: list[str] = []
    figures: list[dict[str, Any]] = []
    with venue_running(folder) as venue, contextlib.ExitStack() as stack:
        eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh price")
        gateways = [SecondGateway(venue, folder / f"gateway{number}.txt") for number in range(2)]
        for gateway in gateways:
            stack.callback(gateway_end, gateway)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(SecondGateway.start, gateways))
        [trader] = venue.traders_open(1)
        body = {"market": MARKET, "side": "buy", "qty": str(BEFORE)}
        opened = venue.call("POST", "/api/v1/trade/order", body, trader)
        assert opened.status == 200, opened
        before = position_of(venue, trader)
        rounds = range(1, options.rounds + 1)
        for case in (case for number in rounds for case in cases_make(int(before["position_id"]), number)):
            senders = Senders(options, case, gateways, trader)
            begun_s = time.monotonic()
            asyncio.run(senders.run(lambda: os.kill(venue.pids()["engine"], signal.SIGKILL)))
            assert time.monotonic() - begun_s < WINDOW_S, "longer than the venue remembers a request"
            told = [each for each in senders.said if each.code == "OK"]
            problems += problems_of(case, senders.said) + stream_problems(venue, trader, case)
            problems += asked_problems(gateways, trader, case, told)
            codes = Counter(each.code for each in senders.said)
            figures.append({"request": case.name, "sent": len(senders.said), "kills": senders.kills, "answers": codes})
            options.say(str(figures[-1]))
        after = position_of(venue, trader)
        problems += arithmetic_problems(before, after, AMOUNT * options.rounds)
    took_s = round(time.monotonic() - started_s, 1)
    return {"requests": figures, "problems": problems, "seconds": took_s, "seed": options.seed}


def arithmetic_problems(before: dict[str, Any], after: dict[str, Any], added: Decimal) -> list[str]:
    """Return whether the position is not what one order, one close and one change of margin a round make of it."""
    # An order adds a step and a close takes it away; either twice would show.
    found = (
        [] if Decimal(after["qty"]) == Decimal(before["qty"]) else [f"quantity {before['qty']} became {after['qty']}"]
    )
    grown = Decimal(after["margin"]) - Decimal(before["margin"])
    # The order's own margin comes and goes in proportion; what stays of it is far less than a second change.
    if abs(grown - added) >= AMOUNT / 2:
        found.append(f"margin grew by {grown}, not by {added}")
    return found


def gateway_end(gateway: SecondGateway) -> None:
    """Stop a gateway that still runs."""
    if gateway.process is not None and gateway.process.poll() is None:
        gateway.stop()


@click.command()
@click.option("--times", type=click.IntRange(10), default=1_000, show_default=True, help="Sendings of each request.")
@click.option("--seconds", type=click.FloatRange(1, 100), default=15.0, show_default=True, help="Of each request.")
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True, help="Of the three requests.")
@click.option("--seed", default=1, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the venue lives; a new one by default.")
def main(times: int, seconds: float, rounds: int, seed: int, folder: Path | None) -> None:
    """Send everything and print what became of it; exit code 1 when anything happened twice or was told otherwise."""
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-")))
        left = storm_run(Options(times, seconds, rounds, seed, say), place)
    print(json.dumps(left))
    sys.exit(1 if left["problems"] else 0)


if __name__ == "__main__":
    main()
