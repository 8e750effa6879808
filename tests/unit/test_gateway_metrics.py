"""What /ready and /metrics say of the venue's processes, and who may read the second."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.metering import Meters
from gateway.metrics import Facts, metrics_samples
from gateway.processes import engines_of, processes_degraded
from shared.metrics import page_render
from shared.rules import BUILD_VERSION, RULES_VERSION
from shared.stream_keys import Keys
from tests.gateway_doubles import NOW_US, VENUE, eventually
from tests.gateway_house import House
from tests.metrics_text import read

pytestmark = pytest.mark.anyio
LEADER = {"role": "leader", "who": "aa", "seq": 41_220, "lag": 0, "promotions": 2, "promotion_ms": 612, "kept": 3}
STANDBY = {"role": "standby", "who": "bb", "seq": 41_200, "lag": 20, "checkpoint_mismatches": 0}
PERSISTER = {"role": "persister", "seq": 41_000, "lag": 220, "archive_seq": 41_210, "trim_log_seq": 7, "generation": 1}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def test_engines_are_listed_once_the_leader_first() -> None:
    """A standby that was promoted still beats under its old name for a moment, and counts as the leader it is."""
    beats: dict[str, dict[str, Any]] = {
        "engine:aa": {**LEADER, "role": "standby"},
        "engine:bb": STANDBY,
        "engine": LEADER,
        "gateway": {"seq": 1},
    }
    assert engines_of(beats) == [
        {"role": "leader", "who": "aa", "seq": "41220", "lag": 0},
        {"role": "standby", "who": "bb", "seq": "41200", "lag": 20},
    ]


@pytest.mark.parametrize(
    ("changes", "wanted", "found"),
    [
        ({}, 2, []),
        ({"engine:bb": None}, 1, []),
        ({"engine:bb": None}, 2, ["standby"]),
        ({"persister": {**PERSISTER, "archive_error": "disk full"}}, 2, ["archive"]),
        ({"persister": {**PERSISTER, "archive_seq": 36_000}}, 2, ["archive"]),
        ({"persister": None}, 2, []),
        ({"engine:bb": {**STANDBY, "checkpoint_mismatches": 1}}, 2, ["divergence"]),
    ],
)
def test_what_heartbeats_show_to_be_wrong(changes: dict[str, Any], wanted: int, found: list[str]) -> None:
    """Nobody to take over, an archive that stands still, another hash than a checkpoint's: each has its name."""
    beats = {"engine": LEADER, "engine:bb": STANDBY, "persister": PERSISTER} | changes
    living = {name: beat for name, beat in beats.items() if beat is not None}
    assert list(processes_degraded(living, wanted, 41_220, 5_000)) == found


def test_heartbeats_and_facts_are_metrics() -> None:
    """Every process that beats has its samples, the leader under the name it had before counts as the leader it is."""
    beats = {
        "engine:aa": {**LEADER, "role": "standby"},
        "engine": LEADER,
        "engine:bb": STANDBY,
        "persister": PERSISTER,
    }
    facts = Facts(True, 41_230, 1.5, 41_229, 0.25, ("fsync",), -3.25)
    found = read(page_render(metrics_samples(beats, facts, Meters())))
    for name, labels, value in (
        ("process_up", {"process": "engine", "role": "leader"}, 1),
        ("process_up", {"process": "engine:bb", "role": "standby"}, 1),
        ("process_lag_entries", {"process": "persister"}, 220),
        ("engine_leader", {"who": "aa"}, 1),
        ("engine_leader", {"who": "bb"}, 0),
        ("engine_promotions_total", {"who": "aa"}, 2),
        ("engine_promotion_seconds", {"who": "aa"}, 0.612),
        ("engine_kept_outputs", {"who": "aa"}, 3),
        ("trim_seq", {"stream": "log"}, 7),
        ("archive_seq", {}, 41_210),
        ("archive_trouble", {}, 0),
        ("views_generation", {}, 1),
        ("engine_snapshot_age_seconds", {}, 1.5),
        ("events_seq", {}, 41_230),
        ("lag_entries", {"reader": "tail"}, 1),
        ("tail_lag_seconds", {}, 0.25),
        ("degraded", {"part": "fsync"}, 1),
        ("insurance_fund", {}, -3.25),
        ("ready", {}, 1),
        ("build_info", {"version": BUILD_VERSION, "rules": str(RULES_VERSION)}, 1),
    ):
        assert found["tidemark_" + name, tuple(sorted(labels.items()))] == value, name
    assert ("tidemark_history_rejects_total", ()) not in found, "what nobody says is absent, not zero"


async def status(house: House, address: str, **headers: str) -> int:
    """Return what a caller at an address is answered."""
    transport = httpx2.ASGITransport(house.app, client=(address, 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        return (await client.get("/metrics", headers=headers)).status_code


async def test_metrics_are_for_this_machine_or_the_token(tmp_path: Path) -> None:
    """Loopback reads them; from elsewhere, or through a proxy, only the bearer of the token does."""
    async with House(tmp_path, TIDEMARK_METRICS_TOKEN="t0ken") as house:
        assert await status(house, "127.0.0.1") == 200
        assert await status(house, "::1") == 200
        assert await status(house, "192.0.2.7") == 401
        assert await status(house, "127.0.0.1", **{"X-Forwarded-For": "192.0.2.7"}) == 401
        assert await status(house, "192.0.2.7", Authorization="Bearer t0ken") == 200
        assert await status(house, "192.0.2.7", Authorization="Bearer t0ken2") == 401
        assert await status(house, "192.0.2.7", Authorization="Basic t0ken") == 401
    async with House(tmp_path) as house:
        assert await status(house, "192.0.2.7", Authorization="Bearer ") == 401
    async with House(tmp_path, TIDEMARK_METRICS_TOKEN="t0ken", TIDEMARK_PROXIES="127.0.0.1") as house:
        assert await status(house, "127.0.0.1") == 401, "behind a proxy everybody may look local"
        assert await status(house, "127.0.0.1", Authorization="Bearer t0ken") == 200


async def test_ready_names_the_engines(tmp_path: Path) -> None:
    """/ready lists who leads and who stands by; a standby that is wanted and not there is told as degraded."""
    async with House(tmp_path) as house:
        house.streams.beats = {"engine": LEADER}
        house.streams.values[house.streams.keys.engines_wanted] = b"2"
        house.desk.watch._degraded = await house.desk.watch._look_wide()
        body = (await house.client.get("/ready")).json()
        assert body["engines"] == [{"role": "leader", "who": "aa", "seq": "41220", "lag": 0}]
        assert "standby" in body["degraded"]
        assert "2 engines" in body["detail"]["standby"]
        text = (await house.client.get("/metrics")).text
        assert 'tidemark_engine_leader{who="aa"} 1\n' in text


@pytest.mark.parametrize(("rebuilt_s", "code"), [(-1, 200), (0, 410), (7, 410)])
async def test_what_was_sent_before_a_rebuild_is_not_denied(tmp_path: Path, rebuilt_s: int, code: int) -> None:
    """NOT_ACCEPTED is said of sendings after the log time that views were rebuilt from alone; else it is too late."""
    async with House(tmp_path) as house:
        generation = {"generation": 1, "from": "1-0", "log_time_us": NOW_US + rebuilt_s * 1_000_000}
        await house.desk.views.cursor()
        house.streams.keys = Keys(VENUE, 1)
        await house.streams.set_json(house.streams.keys.views_generation, generation)
        caller = await house.sign_in()
        house.clock.us = NOW_US + 8_000_000
        house.streams.publish(len(house.streams.log) + 1, [{"e": "candle", "market": "BTC_USDC_PERP"}])
        answer = await house.client.get(f"/api/v1/requests/{'7' * 32}?ts={NOW_US}", headers=caller)
        assert answer.status_code == code
        body = answer.json()
        if code == 410:
            assert (body["code"], body["detail"]["rebuilt_us"]) == ("OUTCOME_EXPIRED", generation["log_time_us"])
        else:
            assert body["status"] == "NOT_ACCEPTED"


async def test_a_rebuilt_outcome_answers(tmp_path: Path) -> None:
    """An outcome made anew from the memory of requests answers with its result and its entry, and says what it is."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        keys, request_id = house.streams.keys, "7" * 32
        response = {"e": "order_response", "account": 100, "request_id": request_id, "rebuilt": True}
        for result, expected in (("OK", "ACCEPTED"), ("PRICE_STALE", "REFUSED")):
            stored = {"seq": 5_000, "log_time_us": 9, "ts": 8, "response": response | {"result": result}}
            await house.streams.set_json(keys.outcome(100, request_id), stored)
            body = (await house.client.get(f"/api/v1/requests/{request_id}", headers=caller)).json()
            assert (body["status"], body["seq"], body["rebuilt"], "op" in body) == (expected, "5000", True, False)


async def test_a_gateway_starts_without_the_logs_beginning(tmp_path: Path) -> None:
    """With genesis trimmed away the markets come from the venue's view; the gateway waits until it is there."""
    house = House(tmp_path)
    markets = house.streams.hashes.pop(house.streams.keys.view_venue)
    house.streams.log.clear()
    house.streams.events.clear()
    waiting = False

    async def appears() -> None:
        nonlocal waiting
        await eventually(lambda: any(event == "configuration_waits" for event, _ in house.log.lines))
        waiting = True
        house.streams.hashes[house.streams.keys.view_venue] = markets

    told = asyncio.ensure_future(appears())
    async with house:
        await told
        assert waiting
        body = (await house.client.get("/api/v1/market")).json()
        assert [row["market"] for row in body["items"]] == ["BTC_USDC_PERP"]
