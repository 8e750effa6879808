"""Instructions over HTTP: what is accepted, refused, repeated, unknown, and said of each."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.identity import request_id_of_key, request_id_of_order
from shared.streams import AppendStatus
from tests.gateway_doubles import MARKET, NOW_US
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
BUY = {"market": MARKET, "side": "buy", "qty": "0.001"}
TICKET = {"market": MARKET, "side": "buy", "margin": "6", "leverage": 10}
ORDER = "/api/v1/trade/order"


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


async def test_an_order_answers_with_what_happened(tmp_path: Path) -> None:
    """The answer holds result, ids, seq as text, the account's own fills and position, and env paper."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        answer = await house.client.post(ORDER, json=BUY, headers=caller)
        body = answer.json()
        assert answer.status_code == 200
        assert (body["result"], body["order_id"], body["position_id"], body["env"]) == ("OK", 1, 1, "paper")
        assert body["seq"] == str(len(house.streams.log))
        assert [fill["qty"] for fill in body["fills"]] == ["0.00100"]
        assert [position["leverage"] for position in body["positions"]] == [10]
        assert body["balance"] == {"free": "4993.970000", "reserved": "0.000000"}
        assert "account" not in body["fills"][0]
        assert answer.headers["ratelimit-policy"] == '"trade";q=20000;w=1'


@pytest.mark.parametrize(
    ("method", "path", "body", "op", "fields"),
    [
        ("POST", "/api/v1/trade/create", TICKET, b"trade_create", b'"side":"buy","margin":"6","leverage":10'),
        (
            "POST",
            "/api/v1/trade/close",
            {"percent": 50, "position_id": 7},
            b"trade_close",
            b'"position_id":7,"percent":"50"',
        ),
        ("POST", ORDER, BUY, b"order_place", b'"side":"buy","kind":"market","qty":"0.001"'),
        ("DELETE", ORDER + "/9", None, b"order_cancel", b'"order_id":9'),
        ("DELETE", ORDER + "?client_order_id=mine", None, b"order_cancel", b'"client_order_id":"mine"'),
        ("DELETE", "/api/v1/trade/orders", None, b"orders_cancel", b'"op":"orders_cancel"'),
        ("DELETE", f"/api/v1/trade/orders?market={MARKET}", None, b"orders_cancel", b'"market":"BTC_USDC_PERP"'),
        (
            "PUT",
            "/api/v1/trade/triggers",
            {"position_id": 7, "take_profit": None, "stop_loss": {"price_trigger": 5, "trigger_by": "mark"}},
            b"position_triggers_set",
            b'"position_id":7,"take_profit":null,"stop_loss":{"price_trigger":"5","trigger_by":"mark"}',
        ),
        ("PATCH", ORDER + "/9", {"price": 5, "qty": "1"}, b"order_amend", b'"order_id":9,"qty":"1","price":"5"'),
        ("PATCH", ORDER + "?client_order_id=a", {"qty": "1"}, b"order_amend", b'"client_order_id":"a","qty":"1"'),
        (
            "POST",
            "/api/v1/trade/orders",
            {"commands": [{"order_id": 9, "op": "order_cancel"}]},
            b"batch",
            b'"commands":[{"op":"order_cancel","order_id":9}]',
        ),
        ("POST", "/api/v1/trade/close-all", {}, b"positions_close_all", b'"op":"positions_close_all"'),
        ("POST", "/api/v1/trade/reverse", {"position_id": 7}, b"position_reverse", b'"position_id":7'),
        (
            "POST",
            "/api/v1/trade/margin",
            {"amount": "-5.5", "position_id": 7},
            b"margin_change",
            b'"position_id":7,"amount":"-5.5"',
        ),
        (
            "POST",
            "/api/v1/trade/leverage",
            {"leverage": 5, "market": MARKET},
            b"leverage_set",
            b'"market":"BTC_USDC_PERP","leverage":5',
        ),
        (
            "POST",
            "/api/v1/trade/deadman",
            {"scope": "all", "timeout_ms": 5000},
            b"deadman_set",
            b'"timeout_ms":5000,"scope":"all"',
        ),
        (
            "POST",
            "/api/v1/trade/mode",
            {"mode": "cross", "market": MARKET},
            b"margin_mode_set",
            b'"market":"BTC_USDC_PERP","mode":"cross"',
        ),
        (
            "PUT",
            "/api/v1/account/guards",
            {"stp": None, "slippage_bps": 30, "daily_loss_max": 5},
            b"account_guards_set",
            b'"daily_loss_max":"5","slippage_bps":30,"stp":null',
        ),
        ("POST", "/api/v1/account/subaccounts", {}, b"subaccount_open", b'"op":"subaccount_open"'),
        (
            "POST",
            "/api/v1/account/transfer",
            {"amount": "1.5", "account_to": 105},
            b"account_transfer",
            b'"account_to":105,"amount":"1.5"',
        ),
        ("POST", "/api/v1/account/reset", {}, b"account_reset", b'"op":"account_reset"'),
    ],
)
async def test_every_route_writes_its_operation(
    tmp_path: Path, method: str, path: str, body: Any, op: bytes, fields: bytes
) -> None:
    """Each trading route appends exactly one entry, of the caller's account, with its operation's canonical keys."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        count = len(house.streams.log)
        answer = await house.client.request(method, path, json=body, headers=caller)
        assert answer.status_code == 200, answer.text
        assert len(house.streams.log) == count + 1
        (_, ts), (kind, text) = house.streams.log[-1].fields
        assert (ts, kind) == (str(NOW_US).encode(), b"user_instruction")
        assert text.startswith(
            b'{"v":1,"account":100,"request_id":"' + answer.json()["request_id"].encode() + b'","op":"' + op
        )
        assert text.endswith(fields + b"}")


async def test_bad_bodies_reach_no_log(tmp_path: Path) -> None:
    """A body that is refused here is refused by name, and nothing is appended."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        count = len(house.streams.log)
        for content, status, code in (
            (b"{", 400, "BODY_MALFORMED"),
            (b'{"colour":1}', 422, "FIELD_UNKNOWN"),
            (b'{"market":"X","side":"buy","qty":1.5}', 422, "NUMBER_NOT_TEXT"),
            (b"x" * 65_537, 413, "BODY_TOO_LARGE"),
        ):
            answer = await house.client.post(ORDER, content=content, headers=caller)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert len(answer.json()["request_id"]) == 32
        for path, code in ((ORDER + "/0x9", "ORDER_UNKNOWN"), (ORDER + "?colour=1", "QUERY_INVALID")):
            assert (await house.client.delete(path, headers=caller)).json()["code"] == code
        assert len(house.streams.log) == count


async def test_an_amendment_is_named_by_the_address(tmp_path: Path) -> None:
    """A body that names an order beside the address is refused, and so is an address that names none."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        count = len(house.streams.log)
        for path, body, code in (
            (ORDER + "/9", {"order_id": 8, "qty": "1"}, "FIELDS_EXCLUSIVE"),
            (ORDER + "/9", {"client_order_id": "a", "qty": "1"}, "FIELDS_EXCLUSIVE"),
            (ORDER, {"qty": "1"}, "FIELD_MISSING"),
            (ORDER + "/x", {"qty": "1"}, "ORDER_UNKNOWN"),
        ):
            answer = await house.client.patch(path, json=body, headers=caller)
            assert answer.json()["code"] == code
        assert len(house.streams.log) == count


async def test_a_batch_answers_each_command(tmp_path: Path) -> None:
    """The answer to a batch holds one result for each command, as the engine states them."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        body = {"commands": [{"op": "orders_cancel"}, {"op": "order_cancel", "order_id": 404}]}
        answer = await house.client.post("/api/v1/trade/orders", json=body, headers=caller)
        assert answer.status_code == 200
        assert answer.json()["results"] == [{"result": "OK"}, {"result": "ORDER_UNKNOWN"}]


async def test_a_chunked_body_beyond_the_limit_is_cut(tmp_path: Path) -> None:
    """The limit counts what arrives, whatever length was declared."""

    async def drip() -> Any:
        for _ in range(70):
            yield b"x" * 1_000

    async with House(tmp_path) as house:
        caller = await house.sign_in()
        answer = await house.client.post(ORDER, content=drip(), headers=caller)
        assert answer.status_code == 413


async def test_the_engines_refusal_is_told_with_its_row(tmp_path: Path) -> None:
    """A refused instruction answers code, sentence, retry hint, seq and env, under the table's status."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        answer = await house.client.post(ORDER, json=BUY | {"market": "DOGE_USDC_PERP"}, headers=caller)
        body = answer.json()
        assert (answer.status_code, body["code"], body["retry"]) == (404, "MARKET_UNKNOWN", "never")
        assert body["seq"] == str(len(house.streams.log))
        assert body["detail"]["env"] == "paper"


async def test_repeats_under_a_key(tmp_path: Path) -> None:
    """The same key and body replays the first outcome, another body is 409, another account is not concerned."""
    async with House(tmp_path) as house:
        caller = await house.sign_in() | {"Idempotency-Key": "my key 1"}
        other = await house.sign_in("bob@example.com") | {"Idempotency-Key": "my key 1"}
        first = await house.client.post(ORDER, json=BUY, headers=caller)
        again = await house.client.post(ORDER, json=BUY, headers=caller)
        assert first.json()["request_id"] == request_id_of_key("my key 1")
        assert "idempotent-replay" not in first.headers
        assert (again.status_code, again.headers["idempotent-replay"]) == (200, "true")
        assert again.json() == first.json()
        reused = await house.client.post(ORDER, json=BUY | {"qty": "0.002"}, headers=caller)
        assert (reused.status_code, reused.json()["code"]) == (409, "REQUEST_ID_REUSED")
        assert "idempotent-replay" not in (await house.client.post(ORDER, json=BUY, headers=other)).headers
        wrong = await house.client.post(ORDER, json=BUY, headers=caller | {"Idempotency-Key": "x" * 65})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")


async def test_a_client_order_id_is_a_key_of_its_own(tmp_path: Path) -> None:
    """An order with the caller's own name is repeated safely without any header; without both the id is fresh."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        named = BUY | {"client_order_id": "a-1"}
        first = await house.client.post(ORDER, json=named, headers=caller)
        assert first.json()["request_id"] == request_id_of_order("order_place", "a-1")
        assert (await house.client.post(ORDER, json=named, headers=caller)).headers["idempotent-replay"] == "true"
        ids = {(await house.client.post(ORDER, json=BUY, headers=caller)).json()["request_id"] for _ in range(5)}
        assert len(ids) == 5


async def test_request_time_is_stamped_and_bounded(tmp_path: Path) -> None:
    """The caller's time becomes the entry's ts; one more than four seconds off ours is refused."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        stated = NOW_US - 3_000_000
        await house.client.post(ORDER, json=BUY, headers=caller | {"Request-Time": str(stated)})
        assert house.streams.log[-1].fields[0] == (b"ts", str(stated).encode())
        for text in (str(NOW_US - 4_000_001), str(NOW_US + 4_000_001), "-1", "1e15", "now", str(NOW_US * 10)):
            answer = await house.client.post(ORDER, json=BUY, headers=caller | {"Request-Time": text})
            assert (answer.status_code, answer.json()["code"]) == (400, "REQUEST_TIME_INVALID")


@pytest.mark.parametrize(
    ("name", "code"), [("Idempotency-Key", "IDEMPOTENCY_KEY_INVALID"), ("Request-Time", "REQUEST_TIME_INVALID")]
)
async def test_what_names_a_request_comes_once(tmp_path: Path, name: str, code: str) -> None:
    """Two keys, or two times, are refused: whoever joined them on the way, nobody guesses which is meant."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        sent = len(house.streams.log)
        twice = [*caller.items(), (name, str(NOW_US)), (name, str(NOW_US))]
        answer = await house.client.post(ORDER, json=BUY, headers=twice)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert len(house.streams.log) == sent


async def test_unknown_is_202_with_the_way_to_ask(tmp_path: Path) -> None:
    """Without an answer in time the caller gets id, time and address to ask by; never a guess."""
    async with House(tmp_path, TIDEMARK_RESPONSE_TIMEOUT="0.05") as house:
        caller = await house.sign_in()
        house.streams.silent = True
        answer = await house.client.post(ORDER, json=BUY, headers=caller)
        body = answer.json()
        assert (answer.status_code, body["status"], body["ts"]) == (202, "UNKNOWN", NOW_US)
        assert body["seq"] == str(len(house.streams.log))
        asked = await house.client.get(answer.headers["location"], headers=caller)
        assert (asked.status_code, asked.json()["status"]) == (200, "UNKNOWN")
        events = house.engine.apply(len(house.streams.log), house.streams.log[-1].fields)
        house.streams.publish(len(house.streams.log), events)
        asked = await house.client.get(answer.headers["location"], headers=caller)
        assert (asked.json()["status"], asked.json()["order_id"]) == ("ACCEPTED", 1)
        assert len(asked.json()["fills"]) == 1


async def test_refused_appends_are_503(tmp_path: Path) -> None:
    """When the log certainly took nothing the answer is 503 with Retry-After and the reason."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        count = len(house.streams.log)
        house.streams.mode = AppendStatus.REFUSED
        answer = await house.client.post(ORDER, json=BUY, headers=caller)
        assert (answer.status_code, answer.json()["code"]) == (503, "LOG_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["detail"] == {"reason": "OOM"}
        assert len(house.streams.log) == count


async def test_trading_needs_a_session(tmp_path: Path) -> None:
    """Without, with a broken or with another scheme's token every private route is 401."""
    async with House(tmp_path) as house:
        for headers in (
            {},
            {"Authorization": "Bearer x.y.z"},
            {"Authorization": "Basic abc"},
            {"Cookie": "tidemark=x"},
        ):
            answer = await house.client.post(ORDER, json=BUY, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_another_site_cannot_trade_with_a_cookie(tmp_path: Path) -> None:
    """With a cookie, foreign Sec-Fetch-Site or Origin is 403; with neither, or with a bearer token, it passes."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        cookie = {"Cookie": "tidemark=" + caller["Authorization"].removeprefix("Bearer ")}
        for headers, status in (
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "none"}, 403),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"}, 200),
            ({"Origin": "http://localhost:8080"}, 200),
            ({}, 200),
        ):
            assert (await house.client.post(ORDER, json=BUY, headers=cookie | headers)).status_code == status, headers
        foreign = {"Sec-Fetch-Site": "cross-site"}
        assert (await house.client.post(ORDER, json=BUY, headers=caller | foreign)).status_code == 200
        assert (await house.client.get("/api/v1/account/orders", headers=cookie | foreign)).status_code == 200


async def test_too_many_orders_are_429(tmp_path: Path) -> None:
    """An account beyond its rate is told how long to wait, and another account is not slowed."""
    async with House(tmp_path, TIDEMARK_RATE_FACTOR="1") as house:
        caller = await house.sign_in()
        other = await house.sign_in("bob@example.com")
        answers = await asyncio.gather(*(house.client.post(ORDER, json=BUY, headers=caller) for _ in range(25)))
        assert sorted(answer.status_code for answer in answers) == [200] * 20 + [429] * 5
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["ratelimit"].startswith('"trade";r=0;')
        assert (await house.client.post(ORDER, json=BUY, headers=other)).status_code == 200
