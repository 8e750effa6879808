"""gateway/views.py, tail.py: one reads one's own writes through a gateway that has not read them itself yet."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import views
from shared.streams import event_id
from tests.gateway_doubles import NOW_US, events_entry, money
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
ACCOUNT = "/api/v1/account"
LATER_S = 0.03


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


class Behind:
    """A gateway whose tail stands still until it is told to go on, and whose view reader does as well."""

    def __init__(self, house: House, caller: dict[str, str]) -> None:
        """Stop reading where everything is read."""
        self.house = house
        self.caller = caller
        house.work.cancel()
        self.streams = house.streams
        self.unread = len(self.streams.events)

    def happens(self, *accounts: int) -> int:
        """Let an entry touch accounts: it stands in the events, neither tail nor view has seen it; return its seq."""
        newest = self.streams.events[-1]
        seq = newest.seq + 1
        entry = events_entry(seq, [money(each, f"{seq}.000000") for each in accounts], event_id(newest.seq, 0), NOW_US)
        self.streams.events.append(entry)
        return seq

    def tail_reads(self) -> None:
        """Let the tail read all there is."""
        for entry in self.streams.events[self.unread :]:
            self.house.desk.tail.take(entry)
        self.unread = len(self.streams.events)

    def view_reads(self, seq: int) -> None:
        """Let the view reader come as far as an entry."""
        for entry in self.streams.events:
            if entry.seq == seq:
                self.streams.view_write(entry)
        self.streams.values[self.streams.keys.views_cursor] = f"{seq}-0".encode()

    async def read(self, *later: Callable[[], None], path: str = ACCOUNT) -> dict[str, Any]:
        """Return the answer to a read during which things happen one after the other."""

        async def go_on() -> None:
            for each in later:
                await asyncio.sleep(LATER_S)
                each()

        began_s = asyncio.get_running_loop().time()
        answer, _ = await asyncio.gather(self.house.client.get(path, headers=self.caller), go_on())
        assert asyncio.get_running_loop().time() - began_s < views.BEHIND_WAIT_S + 0.3
        body: dict[str, Any] = answer.json()
        return body


async def behind(house: House) -> Behind:
    """Return a gateway that has read everything and goes no further."""
    return Behind(house, await house.sign_in())


async def test_a_current_view_needs_no_tail(tmp_path: Path) -> None:
    """A view that is as new as the stream is the answer at once, however far behind this gateway's own tail is."""
    async with House(tmp_path) as house:
        here = await behind(house)
        seq = here.happens(100)
        here.view_reads(seq)
        body = await here.read()
        assert (body["free"], body["seq"], body.get("behind_seq")) == (f"{seq}.000000", str(seq), None)


async def test_what_the_tail_reads_meanwhile_decides(tmp_path: Path) -> None:
    """A tail that comes in time tells that the entries it lacked were others', and the view it had is the answer."""
    async with House(tmp_path) as house:
        here = await behind(house)
        before = int((await here.read())["seq"])
        here.happens(101)
        body = await here.read(here.tail_reads)
        assert (body["seq"], body.get("behind_seq")) == (str(before), None)


async def test_a_write_that_only_the_stream_knows_is_waited_for(tmp_path: Path) -> None:
    """First the tail reads that the account was touched, then the view reader comes as far: the answer has it."""
    async with House(tmp_path) as house:
        here = await behind(house)
        seq = here.happens(100)
        here.happens(101)
        body = await here.read(here.tail_reads, lambda: here.view_reads(seq))
        assert (body["free"], body.get("behind_seq")) == (f"{seq}.000000", None)


async def test_a_view_that_does_not_come_is_marked(tmp_path: Path) -> None:
    """When the view does not come in time the answer is the old one and names the account's own entry."""
    async with House(tmp_path) as house:
        here = await behind(house)
        old = (await here.read())["free"]
        seq = here.happens(100)
        here.happens(101)
        body = await here.read(here.tail_reads)
        assert (body["free"], body["behind_seq"]) == (old, str(seq))


async def test_a_tail_that_does_not_come_marks_all(tmp_path: Path) -> None:
    """When nobody knows what the unread entries touched, the answer names the newest: it may be the account's."""
    async with House(tmp_path) as house:
        here = await behind(house)
        here.happens(100)
        newest = here.happens(101)
        assert (await here.read())["behind_seq"] == str(newest)
        for path in ("balance", "balance/usd", "positions", "orders"):
            assert (await here.read(path=f"{ACCOUNT}/{path}"))["behind_seq"] == str(newest)


async def test_a_stream_that_runs_on_is_not_chased(tmp_path: Path) -> None:
    """What comes after a read began is not waited for: entries without end hold up no answer and mark none."""
    async with House(tmp_path) as house:
        here = await behind(house)
        seq = here.happens(100)

        def more() -> None:
            here.happens(100)

        def reads() -> None:
            here.tail_reads()
            here.happens(100)

        body = await here.read(reads, more, lambda: here.view_reads(seq + 1))
        assert body.get("behind_seq") is None
        assert int(body["seq"]) >= seq


async def test_a_sub_account_is_known_at_once(tmp_path: Path) -> None:
    """A sub-account that another gateway opened is its owner's here, and 503, never a stranger's, while unknown."""
    async with House(tmp_path) as house:
        here = await behind(house)
        newest = here.streams.events[-1]
        opened = {"e": "account_opened", "account": 100, "owner": "0" * 32}
        entry = events_entry(
            newest.seq + 1,
            [opened | {"account": 150, "main": 100, "sub": 1}, money(150, "0.000000")],
            event_id(newest.seq, 0),
            NOW_US,
        )
        here.streams.events.append(entry)
        unknown = await here.read(path=f"{ACCOUNT}?account=150")
        assert (unknown["code"], unknown["detail"]["behind_seq"]) == ("VIEW_UNAVAILABLE", str(entry.seq))
        known = await here.read(here.tail_reads, lambda: here.view_reads(entry.seq), path=f"{ACCOUNT}?account=150")
        assert (known["account_id"], known["main"]) == (150, 100)
        assert (await here.read(path=f"{ACCOUNT}?account=151"))["code"] == "QUERY_INVALID"


async def test_reaching_a_place_is_told_to_all_who_wait(tmp_path: Path) -> None:
    """Waiters of different places are told when theirs is reached, the impatient ones that it was not."""
    async with House(tmp_path) as house:
        here = await behind(house)
        tail = house.desk.tail
        assert await tail.reached(tail.position, 0.0)
        first, second, third = (here.happens(101) for _ in range(3))
        assert not await tail.reached((first, 0), 0.0)
        waiting = [asyncio.ensure_future(tail.reached((seq, 0), 1.0)) for seq in (third, first, second, first)]
        short = asyncio.ensure_future(tail.reached((third, 0), 0.001))
        assert await short is False
        cancelled = waiting.pop(2)
        cancelled.cancel()
        await asyncio.sleep(0)
        here.house.desk.tail.take(here.streams.events[-3])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [each.done() for each in waiting] == [False, True, True]
        here.unread += 1
        here.tail_reads()
        assert await asyncio.gather(*waiting) == [True, True, True]
        assert not tail._reaching


async def test_what_was_answered_is_known_by_its_request(tmp_path: Path) -> None:
    """The outcome that another gateway has just told is waited for, a newer one of the same request as well."""
    async with House(tmp_path) as house:
        here = await behind(house)
        newest, request_id = here.streams.events[-1], "7" * 32
        response = {"e": "order_response", "account": 100, "request_id": request_id, "op": "order_place"}
        for step, result in enumerate(("PRICE_STALE", "OK"), 1):
            seq = newest.seq + step
            told = events_entry(seq, [response | {"result": result}], event_id(seq - 1, 0), NOW_US)
            here.streams.events.append(told)
            path = f"/api/v1/requests/{request_id}"
            early = await here.read(path=path)
            assert early["status"] == ("UNKNOWN" if step == 1 else "REFUSED"), "the view reader stands still"
            late = await here.read(here.tail_reads, lambda seq=seq: here.view_reads(seq), path=path)
            assert (late["status"], late["seq"]) == ("REFUSED" if step == 1 else "ACCEPTED", str(seq))
