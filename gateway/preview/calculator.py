"""
The order calculator as a gateway has it: one question at a time to a worker process that runs the core interpreted.

A process and no thread: an interpreted order holds the interpreter for milliseconds, and every other request would wait
for it (docs/decisions/0007-a-process-that-calculates.md has the figures). The worker starts with the first question, is
kept warm, ends when its gateway does, and is started anew when it dies or is late.
"""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from gateway import schemas
from gateway.errors import ERRORS, GatewayCode, Refusal
from gateway.markets import Markets
from gateway.metering import Meters
from gateway.preview.figures import refused_of
from gateway.preview.question import Question, market_of, question_of
from gateway.views import Views
from shared.codes import ResultCode
from shared.settings import REPOSITORY, environment_interpreted

ENVIRONMENT = "paper"
WORKER = (sys.executable, "-m", "gateway.preview.worker")
WAITING_MAX = 64
WAITING_ACCOUNT_MAX = 4  # a busy account's question takes a tenth of a second: it stands in line like everybody
ANSWER_BYTES_MAX = 2**22


class Patience(NamedTuple):
    """How long a worker is waited for."""

    start_s: float = 20.0  # its first answer, before which it imports the core and founds a market
    answer_s: float = 4.0
    pause_s: float = 5.0  # after one that never answered, before another is tried


PATIENCE = Patience()


class Calculator:
    """The worker of one gateway, and those who wait for it."""

    def __init__(
        self,
        views: Views,
        markets: Markets,
        meters: Meters,
        now_us: Callable[[], int],
        monotonic_s: Callable[[], float],
        log: Any,
        worker: Sequence[str] = WORKER,
        patience: Patience = PATIENCE,
    ) -> None:
        """Keep what questions need; the worker starts with the first."""
        self._views = views
        self._markets = markets
        self._meters = meters
        self._now_us = now_us
        self._monotonic_s = monotonic_s
        self._log = log
        self._command = worker
        self._patience = patience
        self._worker: asyncio.subprocess.Process | None = None
        self._warm = False
        self._turn = asyncio.Lock()
        self._waiting: Counter[int] = Counter()  # by account
        self._number = 0
        self._next_start_s = 0.0

    async def preview(self, account_id: int, body: dict[str, Any]) -> dict[str, Any]:
        """
        Return what an instruction of an account would do now, without a request id; nothing is sent.

        What the venue would refuse is an answer too; raises Refusal for a body of a wrong shape, and when it cannot be
        said now.
        """
        op, fields = schemas.preview_read(body)
        size = schemas.preview_size_read(body)
        began_s = self._monotonic_s()
        view = await self._views.account(account_id)
        market = market_of(fields, view)
        if market is None or self._markets.one(market) is None:
            code = ResultCode.POSITION_UNKNOWN if market is None else ResultCode.MARKET_UNKNOWN
            answer = refused_of(code.name, op)
        else:
            question = question_of(op, fields, market, view, self._markets, self._now_us())
            question.size = size
            for name in question.names():
                question.prices[name] = dict(await self._views.market(name))
            answer = await self._ask(account_id, question)
        if answer["result"] != ResultCode.OK.name:
            answer["error"] = ERRORS[answer["result"]].sentence
        self._meters.preview.observe(self._monotonic_s() - began_s)
        return answer | view.stamp() | {"env": ENVIRONMENT}

    async def run(self) -> None:
        """Return never; when the desk ends, so does the worker."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._stop()

    async def _ask(self, account_id: int, question: Question) -> dict[str, Any]:
        """Return the worker's answer; raises Refusal when there is none."""
        if self._waiting[account_id] >= WAITING_ACCOUNT_MAX or self._waiting.total() >= WAITING_MAX:
            raise Refusal(GatewayCode.PREVIEW_UNAVAILABLE, {"reason": "too many questions wait"})
        self._waiting[account_id] += 1
        try:
            async with self._turn:
                answer = await self._exchange(question)
        finally:
            self._waiting[account_id] -= 1
            if not self._waiting[account_id]:
                del self._waiting[account_id]
        if "failure" in answer:
            self._log.error("preview_failed", op=question.op, reason=answer["failure"])
            raise Refusal(GatewayCode.PREVIEW_UNAVAILABLE, {"reason": "this one cannot be calculated"})
        return answer

    async def _exchange(self, question: Question) -> dict[str, Any]:
        """Return the answer to one question, from a worker that is started if none lives."""
        self._number += 1
        question.number = self._number
        try:
            worker = await self._living()
            async with asyncio.timeout(self._patience.answer_s if self._warm else self._patience.start_s):
                answer = await self._answer(worker, question)
        except (TimeoutError, OSError, ValueError, EOFError) as error:
            reason = type(error).__name__
            self._log.warning("preview_worker_lost", reason=reason, warm=self._warm)
            if not self._warm:
                self._next_start_s = self._monotonic_s() + self._patience.pause_s
            await self._stop()
            raise Refusal(GatewayCode.PREVIEW_UNAVAILABLE, {"reason": "the calculator did not answer"}) from None
        self._warm = True
        return answer

    async def _answer(self, worker: asyncio.subprocess.Process, question: Question) -> dict[str, Any]:
        """Return the answer of this number; those to questions that nobody waits for any more are passed over."""
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(msgspec.json.encode(question) + b"\n")
        await worker.stdin.drain()
        while True:
            line = await worker.stdout.readline()
            if not line:
                raise EOFError
            answer: dict[str, Any] = orjson.loads(line)
            if answer.pop("number") == question.number:
                return answer

    async def _living(self) -> asyncio.subprocess.Process:
        """Return the worker, a new one if there is none."""
        if self._worker is not None and self._worker.returncode is None:
            return self._worker
        await self._stop()
        if self._monotonic_s() < self._next_start_s:
            raise Refusal(GatewayCode.PREVIEW_UNAVAILABLE, {"reason": "the calculator does not start"})
        pipe = asyncio.subprocess.PIPE
        self._worker = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=pipe,
            stdout=pipe,
            cwd=REPOSITORY,
            env=environment_interpreted(),
            limit=ANSWER_BYTES_MAX,
        )
        self._log.info("preview_worker_started", pid=self._worker.pid)
        return self._worker

    async def _stop(self) -> None:
        """End the worker, if there is one."""
        worker, self._worker, self._warm = self._worker, None, False
        if worker is None:
            return
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()
