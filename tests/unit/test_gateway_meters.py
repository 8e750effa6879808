"""What a gateway counts of its own work, and the one line that its log has for each instruction."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.app import ROUTES
from gateway.errors import ERRORS
from gateway.metering import Meters
from shared import metric_names as names
from shared.metrics import page_render
from shared.streams import AppendStatus
from tests.gateway_house import House
from tests.metrics_text import Samples, read

pytestmark = pytest.mark.anyio
ORDER = "/api/v1/trade/order"
BUY = {"market": "BTC_USDC_PERP", "side": "buy", "qty": "0.001"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


async def page(house: House) -> Samples:
    """Return the gateway's page of metrics."""
    answer = await house.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return read(answer.content)


def one(found: Samples, name: str, **labels: str) -> float:
    """Return one sample, 0 when it is not there."""
    return found.get((f"tidemark_{name}", tuple(sorted(labels.items()))), 0)


async def told(house: House) -> list[dict[str, Any]]:
    """Return the log's lines about instructions; they are written after the answers."""
    await asyncio.sleep(0)
    return [fields for event, fields in house.log.lines if event == "instruction"]


async def test_an_instruction_is_counted_and_told_once(tmp_path: Path) -> None:
    """Each has one line with request id and seq, is counted by its result, and stage by stage; so has a refused one."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        await told(house)
        house.log.lines.clear()
        body = (await house.client.post(ORDER, json=BUY, headers=caller)).json()
        [line] = await told(house)
        assert (line["request_id"], line["seq"], line["op"]) == (body["request_id"], int(body["seq"]), "order_place")
        assert (line["account"], line["result"], line["via"]) == (100, "OK", "http")
        assert line["ms"] >= 0 and "replay" not in line
        key = {"Idempotency-Key": "twice"}
        for _ in range(2):
            assert (await house.client.post(ORDER, json=BUY, headers=caller | key)).status_code == 200
        assert [each.get("replay", False) for each in await told(house)] == [False, False, True]
        house.streams.mode = AppendStatus.REFUSED
        refused = await house.client.post(ORDER, json=BUY, headers=caller)
        line = (await told(house))[-1]
        assert (refused.status_code, line["result"], line["seq"]) == (503, "LOG_UNAVAILABLE", 0)
        house.streams.mode = AppendStatus.UNKNOWN
        unknown = await house.client.post(ORDER, json=BUY, headers=caller)
        assert (unknown.status_code, (await told(house))[-1]["result"]) == (202, "UNKNOWN")
        found = await page(house)
        assert one(found, "results_total", op="order_place", code="OK") == 3
        assert one(found, "results_total", op="order_place", code="LOG_UNAVAILABLE") == 1
        assert one(found, "results_total", op="order_place", code="UNKNOWN") == 1
        assert one(found, "order_seconds_count", via="http") == 3 + 1, "signing in opened an account"
        for stage, count in (("parse", 5), ("log", 6), ("engine", 4), ("answer", 4)):
            assert one(found, "order_stage_seconds_count", stage=stage, via="http") == count, stage


async def test_requests_are_counted_by_template(tmp_path: Path) -> None:
    """No path, hence no id and no stranger's text, becomes a label; whatever nobody serves is one route of its own."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        assert (await house.client.delete(f"{ORDER}/123456", headers=caller)).status_code in (200, 404, 409, 422)
        assert (await house.client.get("/api/v1/market/NONE_SUCH")).status_code == 404
        assert (await house.client.get("/wp-login.php")).status_code == 404
        assert (await house.client.put(ORDER, json={})).status_code == 405
        assert (await house.client.post(ORDER, json=BUY)).status_code == 401
        found = await page(house)
        assert one(found, "http_seconds_count", route="GET /api/v1/market/{market}", status="404") == 1
        assert one(found, "http_seconds_count", route="none", status="404") == 1
        assert one(found, "http_seconds_count", route="none", status="405") == 1
        assert one(found, "http_seconds_count", route=f"POST {ORDER}", status="401") == 1
        known = {f"{method} {address}" for method, address, *_ in ROUTES} | {"none"}
        assert {dict(labels)["route"] for name, labels in found if name == "tidemark_http_seconds_count"} <= known
        codes = {dict(labels)["code"] for name, labels in found if name == "tidemark_results_total"}
        assert codes <= set(ERRORS) | {"OK", "UNKNOWN"}


async def test_refusals_of_limits_and_of_callers_are_counted(tmp_path: Path) -> None:
    """A limit that refuses is counted by its name, a caller by the way and whether they were believed."""
    async with House(tmp_path, TIDEMARK_RATE_FACTOR="1") as house:
        before = await page(house)
        assert one(before, "auth_total", way="session", outcome="refused") == 0
        assert ("tidemark_auth_total", (("outcome", "refused"), ("way", "key"))) in before, "a rate needs its zero"
        caller = await house.sign_in()
        statuses = [(await house.client.post(ORDER, json=BUY, headers=caller)).status_code for _ in range(22)]
        assert statuses.count(429) == 2
        assert (await house.client.get("/api/v1/account", headers={"Authorization": "Bearer no"})).status_code == 401
        found = await page(house)
        assert one(found, "limited_total", limit="trade") == 2
        assert one(found, "auth_total", way="session", outcome="refused") == 1
        assert one(found, "auth_total", way="session", outcome="accepted") == 22
        assert one(found, "auth_total", way="link", outcome="accepted") == 1


async def test_no_line_of_the_log_holds_a_path_with_ids(tmp_path: Path) -> None:
    """A failure names the route's template and the request id, never the address that was asked for."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        house.log.lines.clear()
        house.database.down = True
        answer = await house.client.get("/api/v1/market/BTC_USDC_PERP/liquidations?limit=9", headers=caller)
        assert answer.status_code == 503
        [(event, fields)] = [line for line in house.log.lines if line[0] == "database_failed"]
        assert event == "database_failed"
        assert fields["route"] == "GET /api/v1/market/{market}/liquidations"
        assert fields["request_id"] == answer.json()["request_id"]
        assert "path" not in fields and "BTC" not in str(fields)


def test_every_closed_set_begins_at_zero() -> None:
    """A counter that appears with its first event hides that event from every rate."""
    found = read(page_render(Meters().samples()))
    for code in ("1008", "1009", "1013"):
        assert found["tidemark_ws_dropped_total", (("code", code),)] == 0
    for reason in ("trimmed", "ahead", "venue"):
        assert found["tidemark_ws_gap_total", (("reason", reason),)] == 0


def test_what_is_asked_for_is_what_is_kept() -> None:
    """Gauges that somebody else keeps are read with each page; a counter or one with labels is not asked like that."""
    meters, open_sockets = Meters(), [3]
    meters.ask(names.SOCKETS, lambda: open_sockets[0])
    meters.ask_many(names.MAIL, lambda: [(("smtp", "sent"), 4)])
    assert read(page_render(meters.samples()))["tidemark_ws_sockets", ()] == 3
    open_sockets[0] = 5
    found = read(page_render(meters.samples()))
    assert found["tidemark_ws_sockets", ()] == 5
    assert found["tidemark_mail_total", (("outcome", "sent"), ("transport", "smtp"))] == 4
    with pytest.raises(AssertionError):
        meters.ask(names.MAIL, lambda: 1)
