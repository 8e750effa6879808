"""gateway/routes/requests.py: what became of the order that one gave a name, whichever operation made it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.identity import request_id_of_order
from tests.gateway_doubles import MARKET, NOW_US
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
NAMED = {"market": MARKET, "side": "buy", "qty": "0.001", "client_order_id": "my order"}
PLACE, CREATE = "order_place", "trade_create"


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def refused(house: House, op: str, name: str, seq_after: int = 0) -> str:
    """Store the refusal of an order of a name; return its seq."""
    request_id = request_id_of_order(op, name)
    seq = house.streams.entry_add([(b"ts", str(NOW_US).encode()), (b"x", b"{}")])
    response = {"e": "order_response", "account": 100, "request_id": request_id, "op": op, "result": "PRICE_STALE"}
    stored = {"seq": seq, "log_time_us": NOW_US, "response": response}
    house.streams.values[house.streams.keys.outcome(100, request_id)] = orjson.dumps(stored)
    return str(seq)


async def asked(house: House, caller: dict[str, str], **query: Any) -> dict[str, Any]:
    """Return the answer to a question by name."""
    body: dict[str, Any] = (await house.client.get("/api/v1/requests", params=query, headers=caller)).json()
    return body


@pytest.mark.parametrize(("path", "op"), [("order", PLACE), ("create", CREATE)])
async def test_an_accepted_order_is_found_by_its_name(tmp_path: Path, path: str, op: str) -> None:
    """The name finds the order or ticket that was sent under it, its owner's only, whatever was refused beside it."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        body = NAMED | ({"leverage": 5} if op == CREATE else {})
        sent = await house.client.post(f"/api/v1/trade/{path}", json=body, headers=caller)
        refused(house, CREATE if op == PLACE else PLACE, "my order")
        found = await asked(house, caller, client_order_id="my order", ts=NOW_US)
        assert (found["status"], found["op"], found["seq"]) == ("ACCEPTED", op, sent.json()["seq"])
        assert found["request_id"] == sent.json()["request_id"] == request_id_of_order(op, "my order")
        assert (await asked(house, caller, client_order_id="my  order"))["status"] == "UNKNOWN"
        other = await house.sign_in("bob@example.com")
        assert (await asked(house, other, client_order_id="my order"))["status"] == "UNKNOWN"


@pytest.mark.parametrize("later", [PLACE, CREATE])
async def test_of_two_refusals_the_later_one_answers(tmp_path: Path, later: str) -> None:
    """Where nothing was accepted under a name, the newest refusal is told."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        refused(house, CREATE if later == PLACE else PLACE, "n")
        seq = refused(house, later, "n")
        found = await asked(house, caller, client_order_id="n")
        assert (found["status"], found["op"], found["seq"]) == ("REFUSED", later, seq)


async def test_what_was_never_sent_is_not_accepted_in_time(tmp_path: Path) -> None:
    """With the time of the sending the answer becomes certain; it is so of both operations or of neither."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        assert (await asked(house, caller, client_order_id="n", ts=NOW_US))["status"] == "UNKNOWN"
        house.clock.us = NOW_US + 6_000_000
        house.streams.publish(len(house.streams.log) + 1, [{"e": "candle", "market": MARKET}])
        assert (await asked(house, caller, client_order_id="n", ts=NOW_US))["status"] == "NOT_ACCEPTED"
        assert (await asked(house, caller, client_order_id="n"))["status"] == "UNKNOWN"
        house.clock.us = NOW_US + 120_000_000
        house.streams.publish(len(house.streams.log) + 2, [{"e": "candle", "market": MARKET}])
        assert (await asked(house, caller, client_order_id="n", ts=NOW_US))["code"] == "OUTCOME_EXPIRED"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"client_order_id": ""},
        {"client_order_id": "x" * 65},
        {"client_order_id": "é"},
        {"client_order_id": "a\x00"},
        {"client_order_id": "n", "ts": "5"},
        {"client_order_id": "n", "order_id": "5"},
    ],
)
async def test_a_name_that_can_be_none_is_refused(tmp_path: Path, query: dict[str, str]) -> None:
    """What no order can be called is a mistake of the caller's, not an unknown request."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        assert (await asked(house, caller, **query))["code"] == "QUERY_INVALID"
