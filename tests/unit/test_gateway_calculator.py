"""Who asks the calculator's worker: one at a time, never with another's answer, and never for ever."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from gateway.errors import GatewayCode, Refusal
from gateway.markets import Markets
from gateway.metering import Meters
from gateway.preview.calculator import WAITING_ACCOUNT_MAX, WAITING_MAX, Calculator, Patience
from gateway.views import AccountView, Views
from shared import clock, genesis
from tests.gateway_doubles import Log

pytestmark = pytest.mark.anyio
MARKET = "SOL_USDC_PERP"
ASKED = {"body": {"market": MARKET, "side": "buy", "qty": "1"}}
# Answers with the number of the question and how many it has had; what else it does stands in the place of `{}`.
WORKER = """
import json, os, sys, time
count = 0
for line in sys.stdin:
    question = json.loads(line)
    qty = question["fields"].get("qty")
    count += 1
    {}
    answer = {{"number": question["number"], "result": "OK", "qty": qty, "pid": os.getpid(), "count": count}}
    print(json.dumps(answer), flush=True)
"""
SHORT = Patience(start_s=10.0, answer_s=1.0, pause_s=2.0)


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


class FakeViews:
    """One account and one market, as the views state them."""

    async def account(self, account_id: int) -> AccountView:
        """Return an empty account."""
        return AccountView({"free": "1", "reserved": "0"}, [], [], {}, 7, None, {}, {}, None, {}, None, {})

    async def market(self, market: str) -> dict[str, str]:
        """Return a view."""
        return {"market": market}


@asynccontextmanager
async def calculating(does: str, patience: Patience = SHORT) -> AsyncIterator[Calculator]:
    """Yield a calculator whose worker does this before each answer."""
    markets = Markets()
    markets.genesis(genesis.default("calculate0", None))
    views = cast(Views, FakeViews())
    command = [sys.executable, "-c", WORKER.format(does)]
    calculator = Calculator(views, markets, Meters(), clock.now_us, clock.monotonic_s, Log(), command, patience)
    running = asyncio.ensure_future(calculator.run())
    await asyncio.sleep(0)
    try:
        yield calculator
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def quantity(text: str) -> dict[str, Any]:
    """Return a question of this quantity."""
    return {"body": {"market": MARKET, "side": "buy", "qty": text}}


async def refused(calculator: Calculator, body: dict[str, Any]) -> str:
    """Return the code of a refusal that must come."""
    with pytest.raises(Refusal) as caught:
        await calculator.preview(100, body)
    return caught.value.code


async def test_each_gets_the_answer_to_his_own() -> None:
    """Many who ask at once are answered by one worker, each with what he asked."""
    async with calculating("") as calculator:
        wanted = [str(number + 1) for number in range(30)]
        asked = [calculator.preview(100 + number, quantity(text)) for number, text in enumerate(wanted)]
        answers = await asyncio.gather(*asked)
    assert [answer["qty"] for answer in answers] == wanted
    assert len({answer["pid"] for answer in answers}) == 1
    assert all(answer["seq"] == "7" and answer["env"] == "paper" for answer in answers)


async def test_a_size_goes_to_the_worker_beside_the_fields() -> None:
    """A stated size stands in the question, read into canonical text, and the fields hold no quantity."""
    does = 'assert qty is None; qty = question["size"]["percent"]'
    async with calculating(does) as calculator:
        body = {"market": MARKET, "side": "buy"}
        answer = await calculator.preview(100, {"body": body, "size": {"percent": 25}})
        assert answer["qty"] == "25"
        with pytest.raises(Refusal) as caught:
            await calculator.preview(100, ASKED | {"size": {"percent": "25"}})
    assert caught.value.code == "FIELDS_EXCLUSIVE"


async def test_who_goes_away_leaves_no_answer_to_the_next() -> None:
    """The answer to a question that nobody waits for any more reaches nobody else."""
    async with calculating("time.sleep(0.2 if qty == '1' else 0)") as calculator:
        await calculator.preview(100, quantity("2"))
        first = asyncio.ensure_future(calculator.preview(100, quantity("1")))
        await asyncio.sleep(0.05)
        first.cancel()
        answer = await calculator.preview(100, quantity("3"))
    assert (answer["qty"], answer["count"]) == ("3", 3)


async def test_a_late_worker_is_replaced() -> None:
    """A worker that does not answer in time is ended; the next question has another one."""
    async with calculating("time.sleep(30 if qty == '5' else 0)") as calculator:
        before = await calculator.preview(100, ASKED)
        assert await refused(calculator, quantity("5")) == GatewayCode.PREVIEW_UNAVAILABLE
        after = await calculator.preview(100, ASKED)
    assert before["pid"] != after["pid"]


async def test_a_worker_that_died_is_replaced() -> None:
    """A worker that dies over a question costs that one answer."""
    async with calculating("os._exit(3) if qty == '5' else None") as calculator:
        await calculator.preview(100, ASKED)
        assert await refused(calculator, quantity("5")) == GatewayCode.PREVIEW_UNAVAILABLE
        assert (await calculator.preview(100, ASKED))["count"] == 1


async def test_a_worker_that_never_works_is_not_started_again_at_once() -> None:
    """After a worker that ended before its first answer there is a pause, in which nothing is started."""
    async with calculating("os._exit(3)") as calculator:
        assert await refused(calculator, ASKED) == GatewayCode.PREVIEW_UNAVAILABLE
        began_s = clock.monotonic_s()
        assert await refused(calculator, ASKED) == GatewayCode.PREVIEW_UNAVAILABLE
        assert clock.monotonic_s() - began_s < SHORT.pause_s / 2


async def test_a_question_that_fails_is_no_end_of_the_worker() -> None:
    """A worker that says why it cannot is asked again; the caller is not told the inside of it."""
    does = 'print(json.dumps({{"number": question["number"], "failure": "KeyError: secret"}}), flush=True)'
    async with calculating(f"if qty == '5': {does}; continue".replace("{{", "{").replace("}}", "}")) as calculator:
        with pytest.raises(Refusal) as caught:
            await calculator.preview(100, quantity("5"))
        assert caught.value.code == GatewayCode.PREVIEW_UNAVAILABLE
        assert "secret" not in str(caught.value.detail)
        assert (await calculator.preview(100, ASKED))["count"] == 2


@pytest.mark.parametrize(("accounts", "allowed"), [(WAITING_MAX + 10, WAITING_MAX), (1, WAITING_ACCOUNT_MAX)])
async def test_too_many_who_wait_are_turned_away(accounts: int, allowed: int) -> None:
    """No more wait than the bound, of one account or of all; those who wait are answered, and then there is room."""
    async with calculating("time.sleep(0.001)") as calculator:
        await calculator.preview(100, ASKED)
        asked = [calculator.preview(100 + number % accounts, ASKED) for number in range(allowed + 10)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        await calculator.preview(100, ASKED)
    codes = [result.code for result in results if isinstance(result, Refusal)]
    assert codes == [GatewayCode.PREVIEW_UNAVAILABLE] * 10


async def test_the_worker_ends_with_its_gateway() -> None:
    """When the desk ends, no worker is left."""
    async with calculating("") as calculator:
        await calculator.preview(100, ASKED)
        worker = calculator._worker
        assert worker is not None
    assert worker.returncode is not None


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "FIELD_MISSING", "body"),
        ({"body": []}, "FIELD_TYPE_INVALID", "body"),
        ({"body": {}, "ops": 1}, "FIELD_UNKNOWN", "ops"),
        ({"op": 1, "body": {}}, "FIELD_TYPE_INVALID", "op"),
        ({"op": "account_reset", "body": {}}, "FIELD_VALUE_UNKNOWN", "op"),
        ({"body": {"market": MARKET, "side": "up", "qty": "1"}}, "FIELD_VALUE_UNKNOWN", "body.side"),
        ({"body": {"market": MARKET, "side": "buy", "qty": 1.5}}, "NUMBER_NOT_TEXT", "body.qty"),
    ],
)
async def test_a_wrong_shape_is_refused_by_its_key(body: dict[str, Any], code: str, field: str) -> None:
    """Only the shape of a question is refused, and the key is named from the outside in."""
    async with calculating("") as calculator:
        with pytest.raises(Refusal) as caught:
            await calculator.preview(100, body)
    assert (caught.value.code, caught.value.detail["field"]) == (code, field)


async def test_what_names_nothing_known_is_an_answer() -> None:
    """A position or a market that is not there is what the venue would say, without asking the worker."""
    async with calculating("os._exit(3)") as calculator:
        closed = await calculator.preview(100, {"op": "trade_close", "body": {"position_id": 5}})
        placed = await calculator.preview(100, {"body": {"market": "NO_SUCH", "side": "buy", "qty": "1"}})
    assert (closed["result"], placed["result"]) == ("POSITION_UNKNOWN", "MARKET_UNKNOWN")
    assert closed["error"]
    assert closed["rounding"] == []
