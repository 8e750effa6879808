"""The Python client without a gateway: what it sends, what it makes of answers, and how a stream goes on."""

import asyncio
import base64
import json
import stat
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.identity import request_id_of_key
from gateway.sign_in.signatures import Subject, signed_read, signing_text, verifies
from tidemark_client import Client, Key, Refused, Unknown, request_id_make

VENUE = "abcdefghij"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SECRET = base64.b64encode(PRIVATE.private_bytes_raw()).decode()
ACCEPTED = {"result": "OK", "request_id": "r", "seq": "57", "order_id": 7, "fills": [{"price": "1"}], "env": "paper"}
REFUSED = {"code": "MARGIN_INSUFFICIENT", "error": "no", "detail": {}, "retry": "later", "request_id": "r"}
AWAY = {"code": "LOG_UNAVAILABLE", "error": "away", "detail": {}, "retry": "now", "request_id": "r"}
UNKNOWN = {"status": "UNKNOWN", "request_id": "r", "ts": 1, "env": "paper"}


class Gateway:
    """What is asked of a gateway, and the answers it will give; the last one it gives for ever."""

    def __init__(self, *answers: tuple[int, dict[str, Any]] | Exception) -> None:
        """Keep the answers."""
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Return, or raise, the next answer."""
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(
            answer[0], json=answer[1], headers={"Idempotent-Replay": "true"} if "twice" in answer[1] else {}
        )

    def client(self, **options: Any) -> Client:
        """Return a client of this gateway."""
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))
        return Client("http://gateway.test", http=http, **{"token": "t", **options})

    def names(self) -> list[tuple[str | None, str | None]]:
        """Return the id and the time of each sending."""
        return [(each.headers.get("idempotency-key"), each.headers.get("request-time")) for each in self.requests]


def order(gateway: Gateway, **options: Any) -> Any:
    """Return the outcome of one order."""
    return asyncio.run(gateway.client(**options).order("BTC_USDC_PERP", "buy", qty="0.01"))


def test_ids_are_uuid7() -> None:
    """An id is taken by the gateway as it is, and no two are the same."""
    ids = {request_id_make() for _ in range(100)}
    assert len(ids) == 100
    assert all(request_id_of_key(name) == name and name[12] == "7" for name in ids)


def test_an_order_says_what_was_asked() -> None:
    """The body holds the keys as given, the outcome what the answer says."""
    gateway = Gateway((200, ACCEPTED))
    outcome = order(gateway)
    assert (outcome.order_id, outcome.seq, outcome.fills, outcome.replay) == (7, "57", [{"price": "1"}], False)
    [request] = gateway.requests
    assert (request.method, request.url.path) == ("POST", "/api/v1/trade/order")
    assert json.loads(request.content) == {"market": "BTC_USDC_PERP", "side": "buy", "qty": "0.01"}
    assert request.headers["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    "first",
    [
        (503, AWAY),
        (202, UNKNOWN),
        httpx2.ReadTimeout("late"),
        httpx2.ConnectError("nobody"),
        (500, {"code": "INTERNAL"}),
    ],
)
def test_what_is_not_decided_is_sent_again_under_its_id(first: Any) -> None:
    """Away, unknown, no answer, no connection, a mistake: the same id goes out again with a time of its own."""
    gateway = Gateway(first, (200, ACCEPTED | {"twice": True}))
    assert order(gateway).replay
    (first_id, first_time), (second_id, second_time) = gateway.names()
    assert first_id == second_id and first_id is not None
    assert int(second_time or 0) > int(first_time or 0)


def test_a_refusal_is_not_sent_again() -> None:
    """What is refused for sure is raised at once with its code."""
    gateway = Gateway((409, REFUSED))
    with pytest.raises(Refused) as caught:
        order(gateway)
    assert (caught.value.code, caught.value.status, caught.value.retry) == ("MARGIN_INSUFFICIENT", 409, "later")
    assert len(gateway.requests) == 1


def test_certainly_away_is_a_refusal_when_patience_ends() -> None:
    """A gateway that took nothing all the time leaves no doubt, and nothing is asked."""
    gateway = Gateway((503, AWAY))
    with pytest.raises(Refused, match="LOG_UNAVAILABLE"):
        order(gateway, patience_s=0.3)
    assert {request.method for request in gateway.requests} == {"POST"}


@pytest.mark.parametrize(
    ("told", "code"),
    [({"status": "NOT_ACCEPTED", "ts": 1}, "MARGIN_INSUFFICIENT"), (ACCEPTED | {"status": "ACCEPTED"}, None)],
)
def test_a_refusal_after_doubt_is_settled_first(told: dict[str, Any], code: str | None) -> None:
    """An earlier sending may still be under way: only the venue's word about a later time decides."""
    gateway = Gateway((202, UNKNOWN), (409, REFUSED), (200, {"status": "UNKNOWN"}), (200, told))
    if code is None:
        assert order(gateway).order_id == 7
    else:
        with pytest.raises(Refused, match=code):
            order(gateway)
    asked = gateway.requests[-1]
    assert asked.url.path == f"/api/v1/requests/{gateway.names()[0][0]}"
    assert int(asked.url.params["ts"]) > int(gateway.names()[1][1] or 0)


def test_nobody_can_tell() -> None:
    """When the time to settle is up as well, the id and the time are handed to the caller."""
    gateway = Gateway((202, UNKNOWN), (200, {"status": "UNKNOWN"}))
    with pytest.raises(Unknown) as caught:
        order(gateway, patience_s=0.0, settle_s=0.1)
    assert caught.value.args[0] == gateway.names()[0][0]


def test_a_key_signs_what_is_sent() -> None:
    """The gateway's own check accepts the signature over method, address with query, id, time and body."""
    gateway = Gateway((200, ACCEPTED))
    client = gateway.client(token="", key_id="k1", private_key=SECRET, venue=VENUE, account=105)
    asyncio.run(client.order("BTC_USDC_PERP", "sell", qty="1", client_order_id="a b&c"))
    [request] = gateway.requests
    assert request.url.query == b"account=105"
    head = request.headers
    signed = signed_read(head["tidemark-key"], head["tidemark-time"], "", head["tidemark-signature"])
    assert signed is not None
    names = (head["idempotency-key"].encode(), head["request-time"].encode())
    subject = Subject("POST", request.url.raw_path, *names, request.content)
    public = PRIVATE.public_key().public_bytes_raw()
    assert verifies(public, signed.signature, signing_text(VENUE, signed, subject))
    assert not verifies(public, signed.signature, signing_text(VENUE, signed, subject._replace(method="PUT")))


def test_a_key_learns_its_venue() -> None:
    """Without a venue the gateway is asked once which it serves."""
    gateway = Gateway((200, {"venue": VENUE}), (200, {"bid": "1"}))
    client = gateway.client(token="", key_id="k1", private_key=SECRET)
    assert asyncio.run(client.ticker("BTC_USDC_PERP")) == {"bid": "1"}
    assert [request.url.path for request in gateway.requests] == ["/ready", "/api/v1/market/BTC_USDC_PERP/ticker"]


def test_a_key_file_is_its_owners(tmp_path: Path) -> None:
    """A key is kept where only its owner reads it, never over another one, and makes a client again."""
    path = tmp_path / "key.json"
    key = Key("http://gateway.test", VENUE, "k1", SECRET)
    key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        key.save(path)
    client = Client.of_file(path)
    assert (client.url, client.venue, client.key_id) == ("http://gateway.test", VENUE, "k1")


@pytest.mark.parametrize(
    ("status", "content"), [(200, b"<html>a page of a proxy</html>"), (503, b"no more connections"), (502, b"[]")]
)
def test_what_no_gateway_says_leaves_doubt(status: int, content: bytes) -> None:
    """An answer that is not ours says nothing about the sending: it is sent again under its id."""
    answers = [httpx2.Response(status, content=content, headers={"Retry-After": "Sun, 22 Nov 2026"})]
    names = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        names.append(request.headers["idempotency-key"])
        return answers.pop() if answers else httpx2.Response(200, json=ACCEPTED)

    async def send() -> int:
        async with Client(
            "http://gateway.test", http=httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
        ) as client:
            return (await client.cancel(7, request_id="a b/c")).order_id

    assert asyncio.run(send()) == 7
    assert names == ["a b/c", "a b/c"]


def test_an_id_of_any_letters_is_asked_for() -> None:
    """An id with blanks and slashes is one part of the address, as it is signed."""
    gateway = Gateway((202, UNKNOWN), (200, {"status": "NOT_ACCEPTED"}))
    with pytest.raises(Refused, match="NOT_ACCEPTED"):
        asyncio.run(gateway.client(patience_s=0.0).cancel(7, request_id="a b/c"))
    assert gateway.requests[-1].url.raw_path.startswith(b"/api/v1/requests/a%20b%2Fc?ts=")


def test_what_was_under_way_too_long_is_sent_again() -> None:
    """A sending that came too late for its own time is refused for sure, and goes out once more with a fresh one."""
    times: list[int] = []
    late = {"code": "REQUEST_TIME_INVALID", "error": "late", "detail": {}, "retry": "never", "request_id": "r"}

    async def answer(request: httpx2.Request) -> httpx2.Response:
        times.append(int(request.headers["request-time"]))
        if len(times) == 1:
            await asyncio.sleep(2.05)
            return httpx2.Response(400, json=late)
        return httpx2.Response(200, json=ACCEPTED)

    async def send() -> int:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
        async with Client("http://gateway.test", http=http) as client:
            return (await client.cancel(7)).order_id

    assert asyncio.run(send()) == 7
    assert times[1] - times[0] > 2_000_000
    gateway = Gateway((400, late))
    with pytest.raises(Refused, match="REQUEST_TIME_INVALID"):
        order(gateway)  # at once: it is our clock that is wrong
    assert len(gateway.requests) == 1
