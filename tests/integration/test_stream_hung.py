"""A server that hangs: what was not sent in time is never sent, and whoever was told 503 finds nothing in the log."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.identity import request_id_of_key
from shared.clock import monotonic_s, now_us
from shared.database import Database
from shared.stream_pipe import WAITING_MAX
from shared.streams import Fields, StreamsAsync, StreamsDown
from shared.streams_async import CONNECTIONS_MAX
from tests.gateway_doubles import MARKET
from tests.gateway_live import LiveGateway, LiveVenue
from tests.store_servers import OwnRedis, own_redis
from tests.streams_house import ACCEPTED, KEYS, REFUSED, TICK, UNKNOWN, found

BUY = {"market": MARKET, "side": "buy", "qty": "0.001"}
ORDER = "/api/v1/trade/order"
TIMEOUT_S = 0.5
ON_THE_WIRE_MAX = CONNECTIONS_MAX + WAITING_MAX  # of orders that a gateway has sent and not heard about
GUARD_S = 1.0  # for as long after its last look an append asks nothing before it is sent


@pytest.fixture
def own() -> Iterator[OwnRedis]:
    """Lend a server that may be paused."""
    with own_redis() as server:
        yield server


def test_appends_that_wait_are_not_sent_late(own: OwnRedis) -> None:
    """Of 300 appends to a hung server those without a connection are refused at their deadline; none comes later."""
    found(own.url).close()

    async def scene() -> None:
        streams = await StreamsAsync.connect(own.url, timeout_s=1.5)
        assert (await streams.append(KEYS, TICK)).status is ACCEPTED
        warm = await asyncio.gather(*(streams.append(KEYS, TICK) for _ in range(CONNECTIONS_MAX)))
        assert {one.status for one in warm} == {ACCEPTED}
        tip = await streams.log_tip(KEYS)
        own.pause()
        began_s = monotonic_s()
        sent: list[Fields] = [[(b"ts", b"%d" % number), (b"clock_tick", b"{}")] for number in range(300)]
        waiting = [asyncio.ensure_future(streams.append(KEYS, one, began_s + TIMEOUT_S)) for one in sent]
        read = asyncio.ensure_future(streams.log_tip(KEYS))
        await asyncio.wait(waiting, timeout=TIMEOUT_S + 0.3)
        refused = [number for number, one in enumerate(waiting) if one.done()]
        assert len(refused) == 300 - CONNECTIONS_MAX
        assert {waiting[number].result() for number in refused} == {(REFUSED, 0, "UNREACHABLE")}
        statuses = {one.status for one in await asyncio.gather(*waiting)}
        assert statuses == {REFUSED, UNKNOWN}
        with pytest.raises(StreamsDown):
            await read
        late = await streams.append(KEYS, TICK, monotonic_s() + TIMEOUT_S)
        assert late == (REFUSED, 0, "UNREACHABLE"), "the guard's question is not waited for longer either"
        own.resume()
        assert (await streams.append(KEYS, TICK, monotonic_s() - 1)).status is REFUSED, "too late before it began"
        assert (await streams.append(KEYS, TICK)).status is ACCEPTED
        entries = await streams.range_log(KEYS, tip + 1, tip + 1_000, 1_000)
        assert len(entries) == CONNECTIONS_MAX + 1
        assert not {int(entry.fields[0][1]) for entry in entries[:-1]} & set(refused)
        await streams.close()

    asyncio.run(scene())


def test_orders_of_a_hang_are_not_executed_late(tmp_path: Path, own: OwnRedis, database_url: str) -> None:
    """Orders sent all through a hang: none answered 503 is in the log, nor any but those already on the wire."""
    answers: dict[str, int] = {}

    async def order(gateway: LiveGateway, caller: dict[str, str], key: str) -> None:
        began_s = time.monotonic()
        answer = await gateway.client.post(ORDER, json=BUY, headers=caller | {"Idempotency-Key": key})
        assert time.monotonic() - began_s < TIMEOUT_S + 1.5
        answers[request_id_of_key(key)] = answer.status_code

    async def hang(gateway: LiveGateway, caller: dict[str, str]) -> tuple[int, int]:
        """Return when the server hung and when it went on."""
        own.pause()
        hung_us = now_us()
        orders = [asyncio.ensure_future(order(gateway, caller, f"first {number}")) for number in range(200)]
        for turn in range(14):
            await asyncio.sleep(0.5)
            orders += [asyncio.ensure_future(order(gateway, caller, f"{turn} {number}")) for number in range(40)]
        await asyncio.gather(*orders)  # each is answered, though nothing answers here
        resumed_us = now_us()
        own.resume()
        return hung_us, resumed_us

    async def scenario() -> None:
        database = await Database.connect(database_url, timeout_s=2.0)
        venue = LiveVenue(own.url)
        await venue.found()
        changes = {"TIDEMARK_RESPONSE_TIMEOUT": str(TIMEOUT_S)}
        async with LiveGateway(tmp_path, own.url, database, **changes) as gateway:
            await gateway.ready()
            caller = await gateway.sign_in()
            await asyncio.gather(*(order(gateway, caller, f"warm {number}") for number in range(CONNECTIONS_MAX)))
            assert set(answers.values()) == {200}
            hung_us, resumed_us = await hang(gateway, caller)
            await gateway.ready()
            await order(gateway, caller, "afterwards")
            assert list(answers.values())[-1] == 200
            await asyncio.sleep(1.0)
            late = await late_entries(venue, hung_us, resumed_us)
            assert {answers[request_id] for request_id in late} <= {202}
            assert len(late) <= ON_THE_WIRE_MAX == 64
            assert all(ts_us - hung_us < (GUARD_S + TIMEOUT_S) * 1_000_000 for ts_us in late.values())
            statuses = list(answers.values())
            assert set(statuses) == {200, 202, 503}
            assert statuses.count(202) <= ON_THE_WIRE_MAX
        await venue.stop()
        await database.close()

    asyncio.run(scenario())


async def late_entries(venue: LiveVenue, hung_us: int, resumed_us: int) -> dict[str, int]:
    """Return request id and time of the entries that were made while the server hung."""
    found_entries: dict[str, int] = {}
    for entry in await venue.streams.range_log(venue.keys, 1, 10_000, 10_000):
        fields: dict[bytes, Any] = dict(entry.fields)
        if b"user_instruction" in fields and hung_us <= int(fields[b"ts"]) < resumed_us:
            found_entries[orjson.loads(fields[b"user_instruction"])["request_id"]] = int(fields[b"ts"])
    return found_entries
