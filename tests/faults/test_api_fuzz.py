"""The short form of the campaign against the API's own document, and that it would find what it looks for."""

import asyncio
import contextlib
import copy
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from gateway.app import ROUTES
from gateway.socket.channels import OF_MARKET, OF_VENUE, PRIVATE
from tests.documented import message_check
from tests.faults.api_fuzz import DESTRUCTIVE, ENVIRONMENT, Campaign, campaign, mistakes_logged
from tests.faults.api_world import Trader
from tests.faults.venue_client import Venue, eventually, venue_running

CASES = 6
SEED = 7
MARKET = "BTC_USDC_PERP"
WATCHED_S = 4.0


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """Run a venue without limits, with prices."""
    with venue_running(tmp_path_factory.mktemp("fuzz"), "--feed", "simulated", environment=ENVIRONMENT) as running:
        eventually(lambda: bool(running.ticker("BTC_USDC_PERP").get("fresh")), "a fresh price")
        yield running


@pytest.mark.parametrize("destructive", [False, True])
def test_no_answer_is_one_that_the_document_does_not_state(venue: Venue, destructive: bool) -> None:
    """Whatever is sent to any operation, the answer is documented, none is a mistake of ours, and each is granted."""
    told = campaign(venue, CASES, 1 if destructive else 2, SEED, destructive)
    assert len(told) == (len(DESTRUCTIVE) if destructive else len(ROUTES) - len(DESTRUCTIVE))
    assert {f"{each.label}: {name}": text for each in told for name, text in each.found.items()} == {}
    assert [each.label for each in told if each.cases < CASES or not each.granted] == []
    assert mistakes_logged(venue) == []


@pytest.mark.parametrize(
    ("label", "place", "planted", "finding"),
    [
        ("GET /api/v1/insurance", ("responses",), {"404": {"description": ""}}, "UndefinedStatusCode"),
        ("GET /health", ("responses", "200", "content"), {"text/plain": {}}, "UndefinedContentType"),
        (
            "GET /api/v1/account",
            ("responses", "401", "content", "application/json", "schema"),
            False,
            "JsonSchemaError",
        ),
        ("POST /api/v1/trade/mode", ("requestBody", "content", "application/json", "schema"), {}, "shape"),
    ],
)
def test_a_document_that_says_something_else_is_found_out(
    venue: Venue, label: str, place: tuple[str, ...], planted: Any, finding: str
) -> None:
    """With a status, a media type, a schema or a body changed in the document the campaign does not pass."""
    document = copy.deepcopy(httpx2.get(f"{venue.url}/openapi.json").json())
    method, _, path = label.partition(" ")
    inner = document["paths"][path][method.lower()]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = planted
    traders = [Trader(each.account, each.token) for each in venue.traders_open(1)]
    told = Campaign(venue.url, Path(venue.data_dir / "mail"), traders, 24, SEED, document).run(label)
    assert finding in told.found


def test_every_message_of_a_live_venue_is_documented(venue: Venue) -> None:
    """A socket that follows every channel while it trades is told nothing that the AsyncAPI document does not state."""
    (trader,) = venue.traders_open(1)
    seen = asyncio.run(everything_told(venue, trader.token))
    assert {"hello", "subscribed", "snapshot", "event", "update", "live", "answer", "error", "pong"} <= seen


async def everything_told(venue: Venue, token: str) -> set[str]:
    """Return which messages came, each held against the document."""
    seen: set[str] = set()
    topics = [*PRIVATE, *OF_VENUE, *(f"{topic}.{MARKET}" for topic in OF_MARKET)]
    bid = Decimal(venue.ticker(MARKET)["bid"])
    resting = {"kind": "limit", "price": str(bid * 9 // 10), "qty": "0.001"}
    asked: list[dict[str, Any]] = [
        {"op": "subscribe", "channels": topics},
        {"op": "subscribe", "channels": ["events"], "from": "1-0"},
        {"op": "subscribe", "channels": ["nothing"]},
        {"op": "ping"},
        {"op": "order", "body": {"market": MARKET, "side": "buy"} | resting},
        {"op": "order", "body": {"market": MARKET, "side": "buy", "qty": "0.001", "stop_loss": str(bid * 9 // 10)}},
        {"op": "trade", "body": {"market": MARKET, "side": "sell", "margin": "12", "leverage": 3}},
        {"op": "preview", "body": {"body": {"market": MARKET, "side": "buy", "qty": "0.002"}}},
        {"op": "leverage", "body": {"market": MARKET, "leverage": 7}},
        {"op": "batch", "body": {"commands": [{"op": "orders_cancel"}, {"op": "positions_close_all"}]}},
        {"op": "close", "body": {"position_id": 1}},
        {"op": "cancel_on_disconnect", "enabled": False},
    ]
    url = venue.url.replace("http", "ws", 1) + "/ws"
    async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        for number, message in enumerate(asked):
            await socket.send(json.dumps(message | {"id": number}))
        waiting = set(range(len(asked)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WATCHED_S):
                while True:
                    message = message_check(await socket.recv())
                    seen.add(message["type"])
                    waiting.discard(message.get("id", -1))
    assert waiting == set(), "asked and never answered"
    return seen
