"""GET /api/v1/ops: for operators alone, and what they are shown of engine, processes, markets and events."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import orjson
import pytest

from engine.ingest import Machine
from gateway import ops
from gateway.ring import Held, Ring
from gateway.routes.ops import stated_read
from gateway.sign_in.remembered import CACHE_S
from shared.stream_keys import EventsEntry, Keys
from tests.builders import SOL, instruction, opened
from tests.gateway_doubles import MARKET, NOW_US, VENUE, eventually
from tests.gateway_house import House
from tests.key_signer import Signer
from tests.unit.test_engine_ops import House as EngineHouse

pytestmark = pytest.mark.anyio
OPS = "/api/v1/ops"
BUY = {"market": MARKET, "side": "buy", "qty": "0.001"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def said(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status_code, answer.json()["code"]


def role_give(house: House, role: str, email: str = "ada@example.com") -> None:
    """Do what the command does."""
    next(row for row in house.database.users.values() if row["email"] == email)["role"] = role


def engine_fields() -> dict[str, str]:
    """Return what an engine states of a real state: a ticket, and a trader with a cross position."""
    engine = opened(2)
    ticket = {"market": SOL, "side": "buy", "margin": "5", "leverage": 20}
    engine.apply("user_instruction", instruction(1, "trade_create", 100, **ticket))
    engine.apply("user_instruction", instruction(2, "margin_mode_set", 101, market=SOL, mode="cross"))
    order = {"market": SOL, "side": "sell", "kind": "market", "qty": "10"}
    engine.apply("user_instruction", instruction(3, "order_place", 101, **order))
    house = EngineHouse()
    machine: Any = Machine(engine.states)
    assert house.view.write(machine, 100.0, NOW_US - 250_000)
    return house.streams.hashes[0]


async def test_traders_and_keys_are_refused(tmp_path: Path) -> None:
    """Nobody signed in is 401; a trader, and an operator's own key, are 403 with the command that makes an operator."""
    async with House(tmp_path) as house:
        assert said(await house.client.get(OPS)) == (401, "UNAUTHENTICATED")
        caller = await house.sign_in()
        refused = await house.client.get(OPS, headers=caller)
        assert said(refused) == (403, "ROLE_MISSING")
        assert refused.json()["detail"] == {"command": "./scripts/tidemark user role EMAIL operator"}
        role_give(house, "operator")
        bot = Signer()
        body = {"public_key": bot.public_text, "scopes": ["read", "trade"]}
        bot.key_id = (await house.client.post("/api/v1/keys", json=body, headers=caller)).json()["key_id"]
        assert said(await house.client.get(OPS, headers=bot.headers("GET", OPS, time_us=house.clock.us))) == (
            403,
            "ROLE_MISSING",
        )
        assert (await house.client.get(OPS + "?all=1", headers=await house.sign_in())).status_code == 400


async def test_a_role_is_learnt_within_five_seconds(tmp_path: Path) -> None:
    """What is remembered of a session has its role, in both directions; another word than operator is none."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        assert (await house.client.get(OPS, headers=caller)).status_code == 403
        for role, status in (("operator", 200), ("trader", 403), ("king", 403), ("operator", 200)):
            role_give(house, role)
            house.passed_s += CACHE_S
            assert (await house.client.get(OPS, headers=caller)).status_code == status, role
            answer = await house.client.get("/api/v1/account", headers=caller)
            assert answer.json()["role"] == ("operator" if status == 200 else "trader")
        assert (await house.client.get(OPS, headers=await house.sign_in("bob@example.com"))).status_code == 403


async def test_an_operator_stays_one_while_postgres_is_away(tmp_path: Path) -> None:
    """Who was known to be an operator sees the venue without Postgres; of an untold session nothing is."""
    async with House(tmp_path) as house:
        caller, other = await house.sign_in(), await house.sign_in()
        role_give(house, "operator")
        assert (await house.client.get(OPS, headers=caller)).status_code == 200
        house.database.down = True
        house.passed_s += 2 * CACHE_S
        assert (await house.client.get(OPS, headers=caller)).status_code == 200
        assert said(await house.client.get(OPS, headers=other)) == (503, "SIGN_IN_UNAVAILABLE")
        assert "role" not in (await house.client.get("/api/v1/account", headers=other)).json()


async def test_a_sub_account_and_a_key_have_no_role(tmp_path: Path) -> None:
    """The account says the role of who is signed in, and of its own account alone."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        assert (await house.client.get("/api/v1/account", headers=caller)).json()["role"] == "trader"
        bot = Signer()
        body = {"public_key": bot.public_text, "scopes": ["read"]}
        bot.key_id = (await house.client.post("/api/v1/keys", json=body, headers=caller)).json()["key_id"]
        path = "/api/v1/account"
        signed = await house.client.get(path, headers=bot.headers("GET", path, time_us=house.clock.us))
        assert signed.status_code == 200 and "role" not in signed.json()


async def test_everything_that_one_look_needs(tmp_path: Path) -> None:
    """Engine, nearest, ladders, house, processes, readers, markets and events stand there, as the documents say."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        role_give(house, "operator")
        house.streams.hashes[Keys(VENUE).ops] = {name: text.encode() for name, text in engine_fields().items()}
        prices = {"mark": b"60000.0", "source": b"simulated", "fresh": b"1", "quote_us": b"%d" % NOW_US}
        house.streams.hashes[Keys(VENUE).view_market(MARKET)] = prices
        house.desk.watch.beats = {
            "persister": {"role": "persister", "seq": 40, "views_seq": 41, "archive_seq": None, "archive_error": ""},
            "engine:bb": {"role": "standby", "who": "bb", "seq": 41, "lag": 0},
            "engine:aa": {"role": "standby", "who": "aa", "seq": 30, "lag": 0},
            "engine": {"role": "leader", "who": "aa", "seq": 42, "lag": 0, "snapshot_seq": 9},
        }
        house.gateway.beat = {"gateway:8080": {"role": "gateway", "seq": 42, "lag": 0}}
        placed = await house.client.post("/api/v1/trade/order", json=BUY, headers=caller)
        body = (await house.client.get(OPS, headers=caller)).json()
        ready = (await house.client.get("/ready")).json()
        assert body["venue"] == VENUE
        assert {name: body[name] for name in ("status", "missing")} == {
            name: ready[name] for name in ("status", "missing")
        }
        assert body["missing"] | body["degraded"] == ready["detail"]
        assert body["engine"]["age_ms"] == (house.clock.us - NOW_US + 250_000) // 1_000
        assert (body["engine"]["who"], body["engine"]["money_sum"]) == ("aa", "0.000000")
        assert "snapshot_seq" not in body["engine"], "what is not known is absent"
        assert sorted((row["account"], row["mode"]) for row in body["nearest"]) == [(100, "isolated"), (101, "cross")]
        assert body["ladder"][SOL]["longs"][0][2] == 1 and body["house"][SOL]["bid"] == "150.00"
        assert [row["name"] for row in body["processes"]] == ["engine", "engine:bb", "gateway:8080", "persister"]
        assert (body["processes"][0]["seq"], body["processes"][0]["snapshot_seq"]) == ("42", "9")
        assert body["readers"] == {"history_seq": "40", "views_seq": "41"}
        [market] = [row for row in body["markets"] if row["market"] == MARKET]
        assert (market["fresh"], market["mark"], market["simulated"], market["tick"]) == (True, "60000.0", True, "0.1")
        assert body["events"][0]["seq"] == placed.json()["seq"]
        assert all(row["data"]["e"] == row["e"] for row in body["events"])


async def test_without_an_engine_the_rest_is_shown(tmp_path: Path) -> None:
    """Before an engine has led, and without Redis, there is no figure of it and all else is seen; else 503 by name."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        role_give(house, "operator")
        body = (await house.client.get(OPS, headers=caller)).json()
        assert body["engine"] is None
        house.streams.down = True
        without = (await house.client.get(OPS, headers=caller)).json()
        assert without["engine"] is None and [row["fresh"] for row in without["markets"]] == [False] * len(
            body["markets"]
        )
        for each in (body, without):
            assert not {"nearest", "ladder", "house", "funds"} & each.keys(), "what is not known is absent"
        assert without["events"] == body["events"]
        house.gateway.desk = None
        assert said(await house.client.get(OPS, headers=caller)) == (503, "UNAVAILABLE")
        house.gateway.desk = house.desk


class Hanging:
    """A Redis that gave the engine's figures and says nothing any more."""

    async def hash_read(self, key: str) -> dict[str, str]:
        """Answer once."""
        if key != Keys(VENUE).ops:
            await asyncio.Event().wait()
        return {"seq": "7"}


async def test_a_redis_that_hangs_is_not_waited_for() -> None:
    """What was read within the patience is shown, and the look ends then."""
    markets = SimpleNamespace(all=lambda: [{"market": MARKET}])
    desk = SimpleNamespace(parts=SimpleNamespace(streams=Hanging()), keys=Keys(VENUE), markets=markets)
    call: Any = SimpleNamespace(desk=desk)
    stated = await asyncio.wait_for(stated_read(call, 0.01), 5.0)
    assert stated == ({"seq": "7"}, {}, {})


async def test_money_that_does_not_add_up_is_degraded(tmp_path: Path) -> None:
    """A sum other than 0 is a part of /ready that is not as it should be, with sum and entry in its words."""
    async with House(tmp_path) as house:
        house.streams.hashes[Keys(VENUE).ops] = {"money_sum": b"-0.000003", "money_seq": b"41"}
        await eventually(lambda: "money" in house.desk.watch.degraded())
        body = (await house.client.get("/ready")).json()
        assert "money" in body["degraded"] and "-0.000003" in body["detail"]["money"]
    assert ops.money_trouble({}) is None and ops.money_trouble({"money_sum": ""}) is None


def entry(seq: int, *events: dict[str, Any], chunk: int = 0) -> EventsEntry:
    """Return an events entry."""
    return EventsEntry(seq, chunk, seq * 1_000, b"", b"", orjson.dumps(list(events)))


def test_the_newest_events_come_first() -> None:
    """Fifty at most, the newest first, those of accounts, markets and the venue; candles and public trades are none."""
    ring = Ring()
    ring.append(entry(5, *({"e": "ledger", "account": 100, "n": number} for number in range(60))))
    ring.append(entry(6, {"e": "candle", "market": MARKET}, {"e": "trade", "market": MARKET}))
    ring.append(entry(7, {"e": "fill", "account": 101, "order_id": 3}, {"e": "market_changed"}, chunk=2))
    found = ops.events_body((held, ring.parsed(held)) for held in ring.newest(10))
    assert [row["at"] for row in found[:3]] == ["7-2-1", "7-2-0", "5-0-59"]
    assert len(found) == ops.EVENTS_MAX and found[-1]["at"] == "5-0-12"
    assert found[1] == {
        "at": "7-2-0",
        "seq": "7",
        "time_us": 7_000,
        "e": "fill",
        "account": 101,
        "why": "./scripts/tidemark why order:3",
        "data": {"e": "fill", "account": 101, "order_id": 3},
    }


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_the_ring_gives_its_newest(count: int) -> None:
    """So many entries, the newest first, also after the oldest made room."""
    ring = Ring(entries_max=3)
    for seq in range(1, 8):
        ring.append(entry(seq))
    assert [held.entry.seq for held in ring.newest(count)] == [7, 6, 5][:count]
    assert Ring().newest(count) == []


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"order_id": 7, "position_id": 3, "account": 100}, "order:7"),
        ({"order_id": 0, "position_id": 3, "account": 100}, "position:3"),
        ({"account": 100}, "account:100"),
        ({"account": 2}, None),
        ({"market": "X"}, None),
        ({"order_id": "7"}, None),
    ],
)
def test_what_tells_why(event: dict[str, Any], why: str | None) -> None:
    """The order, else the position, else the user's account; of nothing else does the command tell."""
    assert ops.why_command(event) == (None if why is None else f"./scripts/tidemark why {why}")


def test_an_entry_that_nobody_can_read_has_no_events() -> None:
    """Broken bytes are passed over."""
    broken = Held(EventsEntry(1, 0, 0, b"", b"", b"{"))
    assert ops.events_body([(broken, broken.parsed())]) == []
