"""Accounts that trade over HTTP while everything is killed: every sending and answer is kept, none is believed."""

import asyncio
import contextlib
import random
import time
from typing import Any, NamedTuple

import httpx2
import orjson

from gateway.identity import request_id_fresh, request_id_of_key
from tests.faults.storm_wishes import MARKET, Wish, Wisher

ANSWER_TIMEOUT_S = 6.0
TICKER_S = 0.3
TWICE_SHARE = 0.05  # of the wishes that are sent twice at once under one key
OK = "OK"
UNKNOWN = "UNKNOWN"
NO_ANSWER = "NO_ANSWER"
NOT_ACCEPTED = "NOT_ACCEPTED"


class Ack(NamedTuple):
    """What one answer said about one sending; seq 0 where it names no entry."""

    account: int
    request_id: str
    ts_us: int
    status: int  # of HTTP; 0: no answer
    code: str  # OK, the refusal's code, UNKNOWN, NO_ANSWER, NOT_ACCEPTED
    seq: int
    asked: bool  # the answer to a question, not to the sending
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        """Return whether the instruction was accepted."""
        return self.code == OK

    @property
    def decided(self) -> bool:
        """Return whether nothing remains to be found out; a refusal may be sent again, but need not."""
        if self.code in (UNKNOWN, NO_ANSWER):
            return False
        if self.accepted or self.code == NOT_ACCEPTED:
            return True
        return self.body.get("retry") != "now" and self.status < 500


class Crowd:
    """All accounts, one HTTP client, and what they were told."""

    def __init__(self, url: str, accounts: list[tuple[int, str]], seed: int, pause_s: float) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self.http = httpx2.AsyncClient(base_url=url, timeout=ANSWER_TIMEOUT_S, limits=limits, trust_env=False)
        self.traders = [Trader(self, account, token, random.Random(seed * 1_000_003 + account), pause_s)
                        for account, token in accounts]  # fmt: skip
        self.acks: list[Ack] = []
        self.wishes_count = 0
        self.unresolved: list[str] = []
        self.pending_count = 0
        self.stopped = asyncio.Event()
        self.deadline_s = float("inf")
        self.price = 0.0
        self.ts_us = 0

    def stamp(self) -> int:
        """Return the time of a sending; no two are the same, so that each is known again in the log."""
        self.ts_us = max(self.ts_us + 1, time.time_ns() // 1_000)
        return self.ts_us

    async def price_watch(self) -> None:
        """Keep the price around which everybody trades."""
        while True:
            try:
                answer = await self.http.get(f"/api/v1/market/{MARKET}/ticker")
                if answer.status_code == 200:
                    self.price = float(orjson.loads(answer.content)["mark"])
            except httpx2.TransportError:
                pass
            await asyncio.sleep(TICKER_S)

    async def trade(self) -> None:
        """Trade until `stopped`; return when every instruction is decided, or `deadline_s` has passed."""
        await asyncio.gather(*(trader.run() for trader in self.traders))


class Trader:
    """One account."""

    def __init__(self, crowd: Crowd, account: int, token: str, chance: random.Random, pause_s: float) -> None:
        self.crowd = crowd
        self.account = account
        self.headers = {"Authorization": f"Bearer {token}"}
        self.chance = chance
        self.pause_s = pause_s
        self.wisher = Wisher(chance, lambda: crowd.price)

    async def run(self) -> None:
        """Wish, send, wait for the answer, wish again."""
        while not self.crowd.stopped.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.crowd.stopped.wait(), self.chance.expovariate(1 / self.pause_s))
                return
            if not self.crowd.price:
                continue
            wish = self.wisher.next()
            key = self.key()
            self.crowd.wishes_count += 1
            count = 2 if self.chance.random() < TWICE_SHARE else 1
            self.crowd.pending_count += 1
            for body in await asyncio.gather(*(self.deliver(wish, key) for _ in range(count))):
                self.wisher.learn(body)
            self.crowd.pending_count -= 1

    def key(self) -> str:
        """Return a fresh Idempotency-Key: a plain name, or a UUIDv7, which the engine reads the time of."""
        if self.chance.random() < 0.5:
            return request_id_fresh(time.time_ns() // 1_000)
        return f"storm-{self.account}-{self.wisher.count}"

    async def deliver(self, wish: Wish, key: str) -> dict[str, Any]:
        """Send a wish until it is decided what became of it; return the body of its acceptance, or nothing."""
        pause_s = 0.1
        while True:
            ack = await self.send(wish, key)
            if not ack.decided and self.chance.random() < 0.5:
                await asyncio.sleep(pause_s)
                ack = await self.ask(ack, key)
            if ack.decided:
                return ack.body if ack.accepted else {}
            if time.monotonic() > self.crowd.deadline_s:
                self.crowd.unresolved.append(f"account {self.account}, {wish.op} {key}: {ack.status} {ack.code}")
                return {}
            await asyncio.sleep(self.chance.uniform(0.5, 1.0) * pause_s)
            pause_s = min(1.0, 2 * pause_s)

    async def send(self, wish: Wish, key: str) -> Ack:
        """Send once and keep the answer."""
        ts_us = self.crowd.stamp()
        headers = {**self.headers, "Idempotency-Key": key, "Request-Time": str(ts_us)}
        content = None if wish.body is None else orjson.dumps(wish.body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = await self.crowd.http.request(wish.method, wish.path, headers=headers, content=content)
            body, status = orjson.loads(answer.content), answer.status_code
        except (httpx2.TransportError, orjson.JSONDecodeError):
            return self.kept(request_id_of_key(key), ts_us, 0, {"status": NO_ANSWER}, asked=False)
        return self.kept(request_id_of_key(key), ts_us, status, body, asked=False)

    async def ask(self, sent: Ack, key: str) -> Ack:
        """Ask what became of a sending and keep the answer."""
        try:
            path = f"/api/v1/requests/{key}?ts={sent.ts_us}"
            answer = await self.crowd.http.get(path, headers=self.headers)
            body, status = orjson.loads(answer.content), answer.status_code
        except (httpx2.TransportError, orjson.JSONDecodeError):
            return sent
        if status != 200:
            return sent
        return self.kept(sent.request_id, sent.ts_us, status, body, asked=True)

    def kept(self, request_id: str, ts_us: int, status: int, body: dict[str, Any], asked: bool) -> Ack:
        """Keep and return what an answer says."""
        code = body.get("result") or body.get("code") or body["status"]
        ack = Ack(self.account, request_id, ts_us, status, code, int(body.get("seq", 0)), asked, body)
        self.crowd.acks.append(ack)
        return ack
