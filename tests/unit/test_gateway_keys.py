"""Keys of programs over the real routes: made, used within their scopes, repeated, rotated, ended, guessed at."""

import base64
import time
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from gateway.app import ROUTES
from gateway.errors import Refusal
from gateway.sign_in.callers import scope_needed
from gateway.sign_in.keys import KEYS_MAX, LIFETIME_DEFAULT_US, LIFETIME_MAX_US, OVERLAP_DEFAULT_S
from gateway.sign_in.remembered import CACHE_S
from gateway.sign_in.signatures import Signed, Subject
from tests.gateway_doubles import MARKET, NOW_US
from tests.gateway_house import House
from tests.key_signer import Signer

pytestmark = pytest.mark.anyio
KEYS = "/api/v1/keys"
ORDER = "/api/v1/trade/order"
BUY = orjson.dumps({"market": MARKET, "side": "buy", "qty": "0.001"})


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


async def made(
    house: House, caller: dict[str, str], signer: Signer, scopes: tuple[str, ...] = ("trade",), query: str = ""
) -> Signer:
    """Register a signer's key and let it know its id."""
    body = {"public_key": signer.public_text, "scopes": list(scopes), "label": "bot"}
    answer = await house.client.post(KEYS + query, json=body, headers=caller)
    assert answer.status_code == 201, answer.text
    signer.key_id = answer.json()["key_id"]
    return signer


async def sent(
    house: House, signer: Signer, method: str, target: str, body: bytes = b"", **changes: Any
) -> httpx2.Response:
    """Send a signed request; `changes` are those of the headers as the signer makes them."""
    changes.setdefault("time_us", house.clock.us)
    headers = signer.headers(method, target, body, **changes)
    return await house.client.request(method, target, content=body, headers=headers)


def said(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status_code, answer.json()["code"]


async def test_a_key_trades_and_reads(tmp_path: Path) -> None:
    """A program that signs with its key trades and reads as its account, without any token."""
    async with House(tmp_path) as house:
        bot = await made(house, await house.sign_in(), Signer())
        placed = await sent(house, bot, "POST", ORDER, BUY)
        assert (placed.status_code, placed.json()["result"]) == (200, "OK")
        assert (await sent(house, bot, "GET", "/api/v1/account/orders?market=" + MARKET)).status_code == 200
        assert (await sent(house, bot, "GET", "/api/v1/account/orders", window_ms=60_000)).status_code == 200


async def test_what_was_changed_on_the_way_is_refused(tmp_path: Path) -> None:
    """Another body, target, method, key, time, window or header than the signed one is 401, one and the same."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        bot = await made(house, caller, Signer())
        other = await made(house, caller, Signer(2))
        good = bot.headers("POST", ORDER, BUY, idempotency_key="k1")
        changes: list[tuple[str, str, bytes, dict[str, str]]] = [
            ("POST", ORDER, BUY.replace(b"buy", b"sell"), good),
            ("POST", ORDER + "?account=100", BUY, good),
            ("POST", "/api/v1/trade/close", BUY, good),
            ("PATCH", ORDER, BUY, good),
            ("POST", ORDER, BUY, good | {"Tidemark-Key": other.key_id}),
            ("POST", ORDER, BUY, good | {"Tidemark-Key": "0" * 32}),
            ("POST", ORDER, BUY, good | {"Tidemark-Time": str(NOW_US + 1)}),
            ("POST", ORDER, BUY, good | {"Tidemark-Window": "60000"}),
            ("POST", ORDER, BUY, good | {"Idempotency-Key": "k2"}),
            ("POST", ORDER, BUY, {name: text for name, text in good.items() if name != "Idempotency-Key"}),
            ("POST", ORDER, BUY, good | {"Request-Time": str(NOW_US)}),
            ("POST", ORDER, BUY, good | {"Tidemark-Signature": base64.b64encode(bytes(64)).decode()}),
            ("POST", ORDER, BUY, {name: text for name, text in good.items() if name != "Tidemark-Time"}),
            ("POST", ORDER, BUY, bot.headers("POST", ORDER, BUY, time_us=NOW_US - 5_000_001)),
            ("POST", ORDER, BUY, bot.headers("POST", ORDER, BUY, time_us=NOW_US + 1_000_001)),
        ]
        stranger = Signer(1, venue="othervenue")
        stranger.key_id = bot.key_id
        changes.append(("POST", ORDER, BUY, stranger.headers("POST", ORDER, BUY)))
        bodies = []
        for method, target, body, headers in changes:
            answer = await house.client.request(method, target, content=body, headers=headers)
            assert said(answer) == (401, "SIGNATURE_INVALID"), (method, target, headers)
            bodies.append({name: value for name, value in answer.json().items() if name != "request_id"})
        assert all(body == bodies[0] for body in bodies)
        assert len(house.streams.log) == 2, "genesis and the account"
        assert (await house.client.post(ORDER, content=BUY, headers=good)).status_code == 200


async def test_a_signature_and_a_session_at_once_are_refused(tmp_path: Path) -> None:
    """Nobody is two callers: with signature headers neither a token nor a cookie may come along."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        bot = await made(house, caller, Signer())
        headers = bot.headers("GET", "/api/v1/account")
        both = await house.client.get("/api/v1/account", headers=headers | caller)
        assert said(both) == (401, "UNAUTHENTICATED")
        cookie = {"Cookie": "tidemark=" + caller["Authorization"].removeprefix("Bearer ")}
        assert said(await house.client.get("/api/v1/account", headers=headers | cookie)) == (401, "UNAUTHENTICATED")


async def test_a_replay_is_a_repeat(tmp_path: Path) -> None:
    """Who records a signed request and sends it again within its window gets the first answer, and no second order."""
    async with House(tmp_path) as house:
        bot = await made(house, await house.sign_in(), Signer())
        headers = bot.headers("POST", ORDER, BUY, window_ms=60_000)
        answers = [await house.client.post(ORDER, content=BUY, headers=headers) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["order_id"] for answer in answers} == {answers[0].json()["order_id"]}
        assert [answer.headers.get("idempotent-replay") for answer in answers] == [None, "true", "true"]
        house.clock.advance(0.000001)
        later = await sent(house, bot, "POST", ORDER, BUY)
        assert later.json()["order_id"] != answers[0].json()["order_id"]
        house.clock.advance(61)
        assert said(await house.client.post(ORDER, content=BUY, headers=headers)) == (401, "SIGNATURE_INVALID")


async def test_scopes_bound_a_key(tmp_path: Path) -> None:
    """A reading key reads and sends nothing; a trading key does both; neither touches sessions or keys."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        reader = await made(house, caller, Signer(1), ("read",))
        trader = await made(house, caller, Signer(2), ("trade",))
        for bot in (reader, trader):
            assert (await sent(house, bot, "GET", "/api/v1/account/orders")).status_code == 200
        assert said(await sent(house, reader, "POST", ORDER, BUY)) == (403, "SCOPE_MISSING")
        assert (await sent(house, trader, "POST", ORDER, BUY)).status_code == 200
        for method, target in (
            ("GET", KEYS),
            ("POST", KEYS),
            ("DELETE", f"{KEYS}/{reader.key_id}"),
            ("POST", f"{KEYS}/{reader.key_id}/rotate"),
            ("GET", "/api/v1/auth/sessions"),
            ("DELETE", "/api/v1/auth/sessions/x"),
            ("DELETE", "/api/v1/auth/logout"),
        ):
            assert said(await sent(house, trader, method, target)) == (403, "SCOPE_MISSING"), target


def test_every_private_route_has_its_scope() -> None:
    """What a key may do is decided for each route: looking, sending instructions, or a session's alone."""
    needed = {(each.method, each.path): scope_needed(each.method, each.path) for each in ROUTES if each.signed_in}
    assert {scope for (method, _path), scope in needed.items() if method == "GET"} == {"read", "all"}
    alone = {path for (_method, path), scope in needed.items() if scope == "all"}
    assert all(path.startswith(("/api/v1/auth/", "/api/v1/keys")) for path in alone), alone
    unsafe = {path: scope for (method, path), scope in needed.items() if method != "GET" and path not in alone}
    assert {path for path, scope in unsafe.items() if scope == "read"} <= {"/api/v1/trade/preview"}
    assert scope_needed("POST", "/api/v1/what/nobody/thought/of") == "all"


async def test_keys_are_listed_and_ended_by_their_account_alone(tmp_path: Path) -> None:
    """An account sees its live keys and ends them; of another's it learns nothing, not even that there are any."""
    async with House(tmp_path) as house:
        ada, bob = await house.sign_in("ada@example.com"), await house.sign_in("bob@example.com")
        bot = await made(house, ada, Signer())
        listed = (await house.client.get(KEYS, headers=ada)).json()["items"]
        assert [(row["key_id"], row["scopes"], row["label"]) for row in listed] == [(bot.key_id, ["trade"], "bot")]
        assert listed[0]["expires_us"] == NOW_US + LIFETIME_DEFAULT_US
        assert (await house.client.get(KEYS, headers=bob)).json()["items"] == []
        bodies = []
        for key_id in (bot.key_id, "0" * 32, "nonsense", "%00"):
            for method, path in (("DELETE", f"{KEYS}/{key_id}"), ("POST", f"{KEYS}/{key_id}/rotate")):
                body = {"public_key": Signer(9).public_text} if method == "POST" else None
                answer = await house.client.request(method, path, json=body, headers=bob)
                assert said(answer) == (404, "KEY_UNKNOWN")
                bodies.append({name: value for name, value in answer.json().items() if name != "request_id"})
        assert all(body == bodies[0] for body in bodies)
        assert (await sent(house, bot, "GET", "/api/v1/account/orders")).status_code == 200
        assert (await house.client.delete(f"{KEYS}/{bot.key_id}", headers=ada)).json()["revoked"] is True
        assert said(await sent(house, bot, "GET", "/api/v1/account/orders")) == (401, "SIGNATURE_INVALID")
        assert said(await house.client.delete(f"{KEYS}/{bot.key_id}", headers=ada)) == (404, "KEY_UNKNOWN")
        assert (await house.client.get(KEYS, headers=ada)).json()["items"] == []


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"public_key": ...}, 422, "FIELD_MISSING"),
        ({"public_key": 5}, 422, "FIELD_TYPE_INVALID"),
        ({"public_key": "x"}, 422, "KEY_INVALID"),
        ({"public_key": base64.b64encode(bytes(32)).decode()}, 422, "KEY_INVALID"),
        ({"scopes": ...}, 422, "FIELD_MISSING"),
        ({"scopes": []}, 422, "FIELD_VALUE_UNKNOWN"),
        ({"scopes": ["all"]}, 422, "FIELD_VALUE_UNKNOWN"),
        ({"scopes": ["read", "read"]}, 422, "FIELD_VALUE_UNKNOWN"),
        ({"scopes": "read"}, 422, "FIELD_TYPE_INVALID"),
        ({"scopes": [["read"]]}, 422, "FIELD_TYPE_INVALID"),
        ({"label": ""}, 422, "TEXT_INVALID"),
        ({"label": "a\nb"}, 422, "TEXT_INVALID"),
        ({"expires_ms": NOW_US // 1_000}, 422, "KEY_INVALID"),
        ({"expires_ms": (NOW_US + LIFETIME_MAX_US) // 1_000 + 1}, 422, "KEY_INVALID"),
        ({"expires_ms": 2**63}, 422, "KEY_INVALID"),
        ({"expires_ms": -(2**70)}, 422, "KEY_INVALID"),
        ({"expires_ms": 1.5}, 422, "NUMBER_NOT_TEXT"),
        ({"expires_ms": True}, 422, "FIELD_TYPE_INVALID"),
        ({"account": 101}, 422, "FIELD_UNKNOWN"),
    ],
    ids=str,
)
async def test_what_is_no_key_is_refused(tmp_path: Path, change: dict[str, Any], status: int, code: str) -> None:
    """A missing, mistyped, weak or ill-timed part of a key is refused by name, and nothing is written."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        body = {"public_key": Signer().public_text, "scopes": ["read"]} | change
        body = {name: value for name, value in body.items() if value is not ...}
        assert said(await house.client.post(KEYS, json=body, headers=caller)) == (status, code)
        assert house.database.api_keys.rows == {}


async def test_an_account_has_so_many_keys(tmp_path: Path) -> None:
    """Twenty live keys are the most, each public half once; one that is ended makes room."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        first = await made(house, caller, Signer(0))
        again = await house.client.post(
            KEYS, json={"public_key": first.public_text, "scopes": ["read"]}, headers=caller
        )
        assert (said(again), again.json()["detail"]["key_id"]) == ((422, "KEY_INVALID"), first.key_id)
        for seed in range(1, KEYS_MAX):
            await made(house, caller, Signer(seed))
        body = {"public_key": Signer(99).public_text, "scopes": ["read"]}
        assert said(await house.client.post(KEYS, json=body, headers=caller)) == (409, "KEYS_MAX")
        await house.client.delete(f"{KEYS}/{first.key_id}", headers=caller)
        assert (await house.client.post(KEYS, json=body, headers=caller)).status_code == 201


async def test_keys_expire(tmp_path: Path) -> None:
    """A key is worth nothing from its expiry on, remembered or not, to the microsecond."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        bot = Signer()
        ends_ms = NOW_US // 1_000 + 60_000
        body = {"public_key": bot.public_text, "scopes": ["read"], "expires_ms": ends_ms}
        bot.key_id = (await house.client.post(KEYS, json=body, headers=caller)).json()["key_id"]
        house.clock.us = ends_ms * 1_000 - 1
        assert (await sent(house, bot, "GET", "/api/v1/account/orders")).status_code == 200
        house.clock.us += 1
        assert said(await sent(house, bot, "GET", "/api/v1/account/orders")) == (401, "SIGNATURE_INVALID")
        assert (await house.client.get(KEYS, headers=caller)).json()["items"] == []


async def test_rotation_lets_both_hold_for_a_while(tmp_path: Path) -> None:
    """The new key has the old one's scopes and lifetime; the old one holds for the overlap, on every gateway."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        old, new = await made(house, caller, Signer(1), ("read",)), Signer(2)
        body = {"public_key": new.public_text}
        rotated = await house.client.post(f"{KEYS}/{old.key_id}/rotate", json=body, headers=caller)
        assert rotated.status_code == 201, rotated.text
        new.key_id = rotated.json()["key_id"]
        assert rotated.json()["scopes"] == ["read"]
        assert rotated.json()["expires_us"] == NOW_US + LIFETIME_DEFAULT_US
        rows = {row["key_id"]: row for row in (await house.client.get(KEYS, headers=caller)).json()["items"]}
        assert rows[old.key_id]["rotated_to"] == new.key_id
        assert rows[old.key_id]["expires_us"] == NOW_US + OVERLAP_DEFAULT_S * 1_000_000
        again = await house.client.post(
            f"{KEYS}/{old.key_id}/rotate", json={"public_key": Signer(3).public_text}, headers=caller
        )
        assert said(again) == (422, "KEY_INVALID")
        house.clock.advance(OVERLAP_DEFAULT_S - 0.000001)
        for bot in (old, new):
            assert (await sent(house, bot, "GET", "/api/v1/account/orders")).status_code == 200
        house.clock.advance(0.000001)
        assert said(await sent(house, old, "GET", "/api/v1/account/orders")) == (401, "SIGNATURE_INVALID")
        assert (await sent(house, new, "GET", "/api/v1/account/orders")).status_code == 200
        for overlap_s in (-1, 86_401, 2**63):
            late = {"public_key": Signer(4).public_text, "overlap_s": overlap_s}
            answer = await house.client.post(f"{KEYS}/{new.key_id}/rotate", json=late, headers=caller)
            assert said(answer) == (422, "KEY_INVALID")


async def test_a_key_of_a_sub_account_acts_for_it_alone(tmp_path: Path) -> None:
    """A key made for a sub-account reads and trades there, and neither for its main account nor for another."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        opened = await house.client.post("/api/v1/account/subaccounts", json={}, headers=caller)
        sub = opened.json()["subaccount"]["account_id"]
        bot = await made(house, caller, Signer(), query=f"?account={sub}")
        assert (await sent(house, bot, "POST", ORDER, BUY)).status_code == 200
        assert [entry.fields[1][1] for entry in house.streams.log][-1].startswith(b'{"v":1,"account":%d,' % sub)
        assert said(await sent(house, bot, "GET", "/api/v1/account/orders?account=100")) == (400, "QUERY_INVALID")
        assert (await house.client.get(KEYS, headers=caller)).json()["items"] == []
        listed = (await house.client.get(f"{KEYS}?account={sub}", headers=caller)).json()["items"]
        assert [row["key_id"] for row in listed] == [bot.key_id]


async def test_while_postgres_is_away_only_remembered_keys_pass(tmp_path: Path) -> None:
    """A key that was looked at holds, one that was not is 503, one ended elsewhere is 401; invented ones ask nobody."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        known, unknown, ended = [await made(house, caller, Signer(seed)) for seed in (1, 2, 3)]
        for bot in (known, ended):
            assert (await sent(house, bot, "GET", "/api/v1/account/orders")).status_code == 200
        house.streams.values[house.streams.keys.revoked(ended.key_id)] = b"%d" % NOW_US
        house.database.down = True
        house.passed_s += CACHE_S
        assert (await sent(house, known, "GET", "/api/v1/account/orders")).status_code == 200
        assert said(await sent(house, unknown, "GET", "/api/v1/account/orders")) == (503, "SIGN_IN_UNAVAILABLE")
        assert said(await sent(house, ended, "GET", "/api/v1/account/orders")) == (401, "SIGNATURE_INVALID")
        asked = house.database.asked
        invented = Signer(4)
        for number in range(20):
            invented.key_id = f"{number:032x}"
            assert said(await sent(house, invented, "GET", "/api/v1/account/orders")) == (401, "SIGNATURE_INVALID")
        assert house.database.asked == asked
        for method, path in (("GET", KEYS), ("DELETE", f"{KEYS}/{known.key_id}")):
            assert said(await house.client.request(method, path, headers=caller)) == (503, "SIGN_IN_UNAVAILABLE")


async def test_the_row_of_a_key_ends_it_without_a_mark(tmp_path: Path) -> None:
    """A key that another gateway ended while Redis took no mark ends by its row, within five seconds."""
    async with House(tmp_path) as house:
        bot = await made(house, await house.sign_in(), Signer())
        assert (await sent(house, bot, "GET", "/api/v1/account/orders")).status_code == 200
        house.database.api_keys.rows[bot.key_id]["revoked_us"] = NOW_US
        assert (await sent(house, bot, "GET", "/api/v1/account/orders")).status_code == 200
        house.passed_s += CACHE_S
        assert said(await sent(house, bot, "GET", "/api/v1/account/orders")) == (401, "SIGNATURE_INVALID")


async def test_an_invented_id_costs_as_much_as_a_wrong_signature(tmp_path: Path) -> None:
    """Which keys there are cannot be told by the time of a refusal: both verify one signature."""
    async with House(tmp_path) as house:
        bot = await made(house, await house.sign_in(), Signer())
        subject = Subject("GET", b"/api/v1/account/orders")
        times_s: dict[str, list[float]] = {bot.key_id: [], "0" * 32: []}
        for _ in range(300):
            for key_id, taken_s in times_s.items():
                begun_s = time.perf_counter()
                with pytest.raises(Refusal, match="SIGNATURE_INVALID"):
                    await house.desk.api_keys.check(Signed(key_id, NOW_US, 5_000, bytes(64)), subject)
                taken_s.append(time.perf_counter() - begun_s)
        known_s, invented_s = (sorted(taken_s)[len(taken_s) // 2] for taken_s in times_s.values())
        assert 0.67 < invented_s / known_s < 1.5
