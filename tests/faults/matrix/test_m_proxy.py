"""A network between the engine, the producers and Redis that cuts, delays, swallows and tears."""

import time
from collections.abc import Iterator

import orjson
import pytest

from shared.clock import now_us
from shared.streams import AppendStatus, Fields, Streams
from tests.faults.matrix.house import House
from tests.faults.proxy import Proxy, proxied
from tests.integration.engine_process import until

WEATHERS = ("cut", "delay", "half_close", "deaf", "hole", "refuse", "trickle")
BAD_S, BAD_FULL_S = 1.0, 8.0
BACK_S = 12.0  # the time-out of an answer, a reconnection, a second for everybody to refuse
BATCH = 5


@pytest.fixture(scope="module")
def proxy(house: House) -> Iterator[Proxy]:
    """Put a proxy between Redis and the one engine of the house."""
    house.leader().end()
    with proxied(house.redis.url) as (proxy, url):
        house.engine_make(redis_url=url).start()
        house.leader()
        yield proxy


@pytest.mark.parametrize("weather", WEATHERS)
def test_bad_weather(house: House, proxy: Proxy, weather: str, full: bool) -> None:
    """However the engine's network misbehaves, the venue goes on by itself soon afterwards, and nothing is twice."""
    away_count = len(house.facts("redis_away"))
    with house.load():
        proxy.turn(weather)
        time.sleep(BAD_FULL_S if full else BAD_S)
        proxy.turn("")
        begin_s = time.monotonic()
        tip = house.streams.log_tip(house.keys)
        until(lambda: house.streams.events_tip(house.keys)[0] > tip, "events go on", BACK_S)
        back_s = time.monotonic() - begin_s
    house.trade_and_prove()
    house.unharmed()
    assert len(house.facts("redis_away")) > away_count or weather in ("delay", "trickle")
    print(f"\n{weather}: events went on {back_s:.1f} s afterwards")


@pytest.mark.parametrize("fault", ["cut_request", "cut_in_batch", "cut_reply", "deaf"])
def test_lost_while_publishing(house: House, proxy: Proxy, fault: str) -> None:
    """A publish that is lost, torn or not answered happens once: whole, or with the next try."""
    with house.load():
        for _ in range(2):
            proxy.hit = 0
            proxy.set(fault, on=house.keys.events.encode() + b"\r\n$10\r\nNOMKSTREAM")
            until(lambda: proxy.hit, "a publish", 5.0)
            if fault == "deaf":
                proxy.cut()  # or it would wait for its time-out
            tip = house.streams.log_tip(house.keys)
            until(lambda tip=tip: house.streams.events_tip(house.keys)[0] > tip, "events go on", BACK_S)
    house.trade_and_prove()
    house.unharmed()


def entry_make(house: House) -> Fields:
    """Return one instruction under a request id of its own."""
    house.producer.requests += 1
    body = {"v": 1, "account": 100, "request_id": f"{house.producer.requests:032x}", "op": "orders_cancel"}
    return [(b"ts", b"%d" % now_us()), (b"user_instruction", orjson.dumps(body))]


@pytest.mark.parametrize("fault", ["cut_request", "cut_in_batch", "cut_reply"])
def test_producers_batch(house: House, fault: str) -> None:
    """A producer's batch that is lost on the way is in the log whole or not at all, and it is told: unknown."""
    with proxied(house.redis.url) as (proxy, url):
        streams = Streams(url)
        until(lambda: streams.append(house.keys, entry_make(house)).seq, "an append", 5.0)
        tip = house.streams.log_tip(house.keys)
        batch = [entry_make(house) for _ in range(BATCH)]
        proxy.set(fault, on=b"MULTI")
        outcomes = streams.append_many(house.keys, batch)
        assert {outcome.status for outcome in outcomes} == {AppendStatus.UNKNOWN}
        time.sleep(0.2)
        values = {fields[-1][1] for fields in batch}
        found = [entry for entry in house.streams.range_log(house.keys, tip + 1, tip + 1_000, 1_000)
                 if entry.fields[-1][1] in values]  # fmt: skip
        assert len(found) == (BATCH if fault == "cut_reply" else 0)
        streams.close()
    house.trade_and_prove()


def test_reply_in_single_bytes(house: House) -> None:
    """An answer that comes byte by byte is an answer: accepted, once."""
    with proxied(house.redis.url) as (proxy, url):
        streams = Streams(url)
        proxy.turn("trickle")
        appended = streams.append(house.keys, entry_make(house))
        assert appended.status is AppendStatus.ACCEPTED
        [entry] = house.streams.range_log(house.keys, appended.seq, appended.seq, 1)
        assert entry.fields[-1][0] == b"user_instruction"
        streams.close()
    house.trade_and_prove()
