"""
The accounts of a simulated venue: they send, retry under the same id, ask what became of it, and keep every answer.

A client is outside: it goes on while gateways die, and what it is told is judged at the end against what happened.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from gateway.identity import request_id_of_key
from tests.simulation.wishes import Wish, Wisher

ANSWER_TIMEOUT_S = 6.0
PAUSE_S = 0.3
TOGETHER_SHARE = 0.75  # of the sendings that happen with everybody else's, as on a market that moves
JITTER_S = 0.0015
RETRY_S = 0.3
TRIES_MAX = 4
BURST = 5
NO_ANSWER, UNKNOWN, NOT_ACCEPTED, OK = "NO_ANSWER", "UNKNOWN", "NOT_ACCEPTED", "OK"
LAST_WORDS = (NOT_ACCEPTED, "OUTCOME_EXPIRED")


class Answer(NamedTuple):
    """What one answer said about one sending, or about a question after it; status 0: there was none."""

    account: int
    request_id: str
    ts_us: int
    status: int
    code: str
    seq: int
    asked: bool
    body: dict[str, Any]

    @property
    def decided(self) -> bool:
        """Return whether nothing remains to be found out about this sending."""
        if self.code in (NO_ANSWER, UNKNOWN):
            return False
        return self.code in LAST_WORDS or self.status < 500


class Reply(NamedTuple):
    """An answer of HTTP."""

    status: int
    body: dict[str, Any]


class Door(Protocol):
    """What a client sees of a gateway."""

    async def send(self, account: int, key: str, ts_us: int, wish: Wish) -> Reply | None:
        """Return the answer to an instruction, None when the connection broke."""

    async def ask(self, account: int, request_id: str, ts_us: int) -> Reply | None:
        """Return the answer to a question, None when the connection broke."""

    async def account_open(self, owner: str) -> int | None:
        """Return the account of an owner, None when that is not known yet."""


class Crowd:
    """All clients and what they were told."""

    def __init__(self, seed: int, door: Callable[[], Door | None], now_us: Callable[[], int], prices: Any) -> None:
        self.door = door  # of some gateway that lives, None when none does
        self.now_us = now_us
        self.answers: list[Answer] = []
        self.sent_count = 0
        self.ts_us = 0
        self.stopping = False
        self.clients = [Client(self, number, random.Random(f"{seed} client {number}"), prices) for number in range(6)]

    def stamp(self) -> int:
        """Return the time of a sending; no two are the same, so that each is known again in the log."""
        self.ts_us = max(self.ts_us + 1, self.now_us())
        return self.ts_us

    async def run(self) -> None:
        """Let every client trade until it is told to stop, and decide what it left open."""
        await asyncio.gather(*(client.run() for client in self.clients))

    def undecided(self) -> list[str]:
        """Return the requests of which nobody knows yet what became of them."""
        return [f"{client.account} {request_id}" for client in self.clients for request_id in client.open]


class Client:
    """One account."""

    def __init__(self, crowd: Crowd, number: int, chance: random.Random, prices: Any) -> None:
        self.crowd = crowd
        self.number = number
        self.chance = chance
        self.account = 0
        self.wisher = Wisher(chance, prices)
        self.open: dict[str, list[int]] = {}  # request -> the times of its sendings of which nothing is known yet

    async def run(self) -> None:
        """Open the account, trade, and in the end find out about every request."""
        while not self.account:
            door = self.crowd.door()
            if door is not None:
                self.account = await self.bounded(door.account_open(f"{self.number + 1:032x}")) or 0
            await asyncio.sleep(RETRY_S * self.chance.random())
        while not self.crowd.stopping:
            await self.request(self.wisher.next())
            await asyncio.sleep(self.pause_s(asyncio.get_running_loop().time()))
        while self.open:
            for request_id, sent in list(self.open.items()):
                await self.ask(request_id, sent[-1])
            await asyncio.sleep(RETRY_S)

    def pause_s(self, now_s: float) -> float:
        """Return how long to wait before the next wish: to the next moment at which many send, or to one of our own."""
        if self.chance.random() < TOGETHER_SHARE:
            return PAUSE_S - now_s % PAUSE_S + JITTER_S * self.chance.random()
        return PAUSE_S * 2 * self.chance.random()

    async def bounded(self, work: Awaitable[Any]) -> Any:
        """Return what the work gives, None when it takes longer than a client waits."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await work
        except TimeoutError:
            return None

    async def request(self, wish: Wish) -> None:
        """Send one wish until its outcome is known or patience ends; now and then five times at once."""
        key = f"{self.account}-{self.wisher.count}"
        if self.chance.random() < 0.04:
            await asyncio.gather(*(self.send(key, wish) for _ in range(BURST)))
            return
        for _ in range(TRIES_MAX):
            answer = await self.send(key, wish)
            if answer is None or answer.decided or self.crowd.stopping:
                return
            await asyncio.sleep(RETRY_S * self.chance.random())
            if self.chance.random() < 0.4 and answer.request_id in self.open:
                answer = await self.ask(answer.request_id, answer.ts_us)
                if answer is not None and answer.decided:
                    return

    async def send(self, key: str, wish: Wish) -> Answer | None:
        """Send once; return the answer, None when no gateway lives."""
        door = self.crowd.door()
        if door is None:
            return None
        ts_us = self.crowd.stamp()
        request_id = request_id_of_key(key)
        self.crowd.sent_count += 1
        self.open.setdefault(request_id, []).append(ts_us)
        reply = await self.bounded(door.send(self.account, key, ts_us, wish))
        return self.take(request_id, ts_us, reply, asked=False)

    async def ask(self, request_id: str, ts_us: int) -> Answer | None:
        """Ask once what became of a sending; return the answer, None when no gateway lives."""
        door = self.crowd.door()
        if door is None:
            return None
        reply = await self.bounded(door.ask(self.account, request_id, ts_us))
        return self.take(request_id, ts_us, reply, asked=True)

    def take(self, request_id: str, ts_us: int, reply: Reply | None, asked: bool) -> Answer:
        """Remember an answer, and what it says."""
        body = reply.body if reply is not None else {}
        answer = Answer(
            self.account,
            request_id,
            ts_us,
            reply.status if reply is not None else 0,
            code_of(reply),
            int(body.get("seq", 0)),
            asked,
            body,
        )
        self.crowd.answers.append(answer)
        if answer.decided:
            self.decide(answer)
        return answer

    def decide(self, answer: Answer) -> None:
        """Forget the sendings about which an answer leaves nothing open."""
        sent = self.open.get(answer.request_id, [])
        if answer.code == OK:
            sent.clear()
            self.wisher.learn(answer.body)
        elif answer.asked:
            sent[:] = [ts_us for ts_us in sent if ts_us > answer.ts_us]
        elif answer.ts_us in sent:
            sent.remove(answer.ts_us)
        if not sent:
            self.open.pop(answer.request_id, None)


def code_of(reply: Reply | None) -> str:
    """Return what a reply says in one word."""
    if reply is None:
        return NO_ANSWER
    body = reply.body
    for name in ("result", "code", "status"):
        if name in body:
            return str(body[name])
    return NO_ANSWER
