"""What holds answers and messages against the documents notices each way in which one may differ."""

import httpx2
import orjson
import pytest

from gateway.documents.abouts import ABOUTS
from tests.documented import answer_check, message_check, problem_of, route_of

REQUEST_ID = "0" * 32
HEALTH = {"status": "ok", "request_id": REQUEST_ID}
REFUSED = {"code": "RATE_LIMITED", "error": "x", "detail": {}, "retry": "later", "request_id": REQUEST_ID}
EVENT = {"type": "event", "at": "3-0-0", "channel": "orders", "log_time_us": 1}
TRADE = {"e": "trade", "market": "M", "price": "1", "qty": "2", "side": "buy"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


@pytest.mark.parametrize(
    ("status", "media", "body", "found"),
    [
        (200, "application/json", HEALTH, None),
        (200, "application/json", HEALTH | {"more": 1}, "unknown field `more`"),
        (200, "application/json", {"status": "ok"}, "required field `request_id`"),
        (200, "application/json", HEALTH | {"status": "bad"}, "Invalid enum value"),
        (200, "text/html", HEALTH, "media type"),
        (201, "application/json", HEALTH, "no Refused"),
        (429, "application/json", REFUSED, None),
        (429, "application/json", REFUSED | {"code": "PRICE_STALE"}, "PRICE_STALE is not documented for 429"),
        (400, "application/json", REFUSED, "RATE_LIMITED is not documented for 400"),
        (429, "application/json", REFUSED | {"retry": "maybe"}, "Invalid enum value"),
    ],
)
def test_an_answer_that_differs_is_noticed(status: int, media: str, body: dict[str, object], found: str | None) -> None:
    """A key, a value, a media type, a status or a code that the document does not state is named."""
    route = route_of("GET", "/health")
    assert route is not None
    problem = problem_of(route, ABOUTS["GET", "/health"], status, media, orjson.dumps(body))
    assert problem is None if found is None else problem is not None and found in problem


@pytest.mark.anyio
async def test_a_client_fails_at_the_first_such_answer() -> None:
    """The hook of the test clients lets a documented answer pass and no other, outside of every route too."""
    request = httpx2.Request("GET", "http://127.0.0.1/health")
    await answer_check(httpx2.Response(200, json=HEALTH, request=request))
    with pytest.raises(AssertionError, match="unknown field"):
        await answer_check(httpx2.Response(200, json=HEALTH | {"more": 1}, request=request))
    nowhere = httpx2.Request("GET", "http://127.0.0.1/nowhere")
    lost = REFUSED | {"code": "NOT_FOUND"}
    await answer_check(httpx2.Response(404, json=lost, request=nowhere))
    for status, body in ((200, lost), (404, REFUSED)):
        with pytest.raises(AssertionError):
            await answer_check(httpx2.Response(status, json=body, request=nowhere))
    posted = httpx2.Request("POST", "http://127.0.0.1/health")
    wrong = REFUSED | {"code": "METHOD_NOT_ALLOWED"}
    await answer_check(httpx2.Response(405, json=wrong, request=posted, headers={"Allow": "GET, HEAD"}))
    with pytest.raises(AssertionError):
        await answer_check(httpx2.Response(405, json=wrong, request=posted))


@pytest.mark.parametrize(
    ("message", "sound"),
    [
        ({"type": "pong", "id": 1}, True),
        ({"type": "pong", "id": 1, "more": 1}, False),
        ({"type": "gong"}, False),
        (EVENT | {"data": TRADE}, True),
        (EVENT | {"data": TRADE | {"more": 1}}, False),
        (EVENT | {"data": TRADE | {"qty": 2}}, False),
        (EVENT | {"data": TRADE, "at": "3-0"}, False),
        ({"type": "update", "channel": "ticker.M", "seq": "1", "data": {"market": "M", "fresh": True}}, True),
        ({"type": "update", "channel": "ticker.M", "seq": "1", "data": {"market": "M", "old": True}}, False),
        ({"type": "answer", "id": 1, "status": 429, "body": REFUSED}, True),
        ({"type": "answer", "id": 1, "status": 429, "body": {"code": "X"}}, False),
        ({"type": "snapshot", "at": "3-0", "data": {"orders": [], "insurance": {"balance": "1.0"}}}, True),
        ({"type": "snapshot", "at": "3-0", "data": {"fills": []}}, False),
    ],
)
def test_a_message_that_differs_is_noticed(message: dict[str, object], sound: bool) -> None:
    """So is a message of an unknown type, with unknown keys, or that holds something else than it should."""
    if sound:
        assert message_check(orjson.dumps(message)) == message
        return
    with pytest.raises(AssertionError):
        message_check(orjson.dumps(message))
