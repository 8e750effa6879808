"""Threats to who one is, over the real routes and stand-ins; docs/operations.md says which test shows what."""

import base64
import json
import re
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.app import ROUTES, Address
from gateway.sign_in.auth import AUDIENCE, SESSION_SECONDS
from gateway.sign_in.origins import SAFE_METHODS
from shared.settings import SettingsError, settings_read
from tests.gateway_doubles import NOW_US, VENUE, secrets
from tests.gateway_house import House
from tests.key_signer import Signer

pytestmark = pytest.mark.anyio
V1 = "/api/v1"
VERIFY = f"{V1}/auth/verify"
OWN = "http://127.0.0.1:8080"
FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8081"},
    {"Origin": "http://127.0.0.1.evil.example:8080"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": OWN},
    {"Sec-Fetch-Site": "none"},
)


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def address_of(route: Address) -> str:
    """Return a route's address with something in the place of each name."""
    return re.sub(r"\{\w+\}", "1", route.path)


def cookie_of(caller: dict[str, str]) -> dict[str, str]:
    """Return the session as a browser sends it."""
    return {"Cookie": "tidemark=" + caller["Authorization"].removeprefix("Bearer ")}


def bearer(token: str) -> dict[str, str]:
    """Return a token as a program sends it."""
    return {"Authorization": f"Bearer {token}"}


async def works(house: House, headers: dict[str, str]) -> bool:
    """Return whether these headers are a caller's."""
    answer = await house.client.get(f"{V1}/account/orders", headers=headers)
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


async def test_every_private_route_refuses_a_stranger(tmp_path: Path) -> None:
    """Without a session, with a wrong one or with a wrong signature every private route is 401."""
    async with House(tmp_path) as house:
        private = [route for route in ROUTES if route.signed_in]
        assert len(private) > 30
        signer = Signer()
        signer.key_id = "0" * 32
        seq = len(house.streams.log)
        for route in private:
            path = address_of(route)
            for headers in ({}, bearer("x.y.z"), cookie_of(bearer("x.y.z")), signer.headers(route.method, path)):
                answer = await house.client.request(route.method, path, headers=headers)
                assert answer.status_code == 401, (route, answer.text)
                assert answer.headers["www-authenticate"] == "Bearer"
        assert len(house.streams.log) == seq


async def test_another_site_makes_a_browser_do_nothing(tmp_path: Path) -> None:
    """On every unsafe private route a cookie with a foreign Origin or Sec-Fetch-Site is 403, and nothing happens."""
    async with House(tmp_path) as house:
        cookie = cookie_of(await house.sign_in())
        seq, keys = len(house.streams.log), dict(house.database.api_keys.rows)
        unsafe = [route for route in ROUTES if route.signed_in and route.method not in SAFE_METHODS]
        assert len(unsafe) > 15
        for route in unsafe:
            for headers in FOREIGN:
                for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
                    sent = cookie | headers | {"Content-Type": kind}
                    answer = await house.client.request(route.method, address_of(route), content=b"{}", headers=sent)
                    assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_SITE"), (route, headers)
        assert len(house.streams.log) == seq
        assert house.database.api_keys.rows == keys
        assert await works(house, cookie), "the session was not ended either"


async def test_a_browser_shares_nothing_with_another_site(tmp_path: Path) -> None:
    """Only a site on the list reads answers, and never with the visitor's cookie; nobody is reflected."""
    async with House(tmp_path, TIDEMARK_CORS_ORIGINS="https://friend.example") as house:
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,tidemark-key"}
        for origin, allowed in (
            ("https://friend.example", True),
            ("https://evil.example", False),
            ("https://friend.example.evil.example", False),
            ("http://friend.example", False),
            ("null", False),
        ):
            for answer in (
                await house.client.get(f"{V1}/market", headers={"Origin": origin}),
                await house.client.options(f"{V1}/trade/order", headers={"Origin": origin} | asks),
            ):
                assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
                assert "access-control-allow-credentials" not in answer.headers
    async with House(tmp_path / "none") as house:
        answer = await house.client.get(f"{V1}/market", headers={"Origin": "https://friend.example"})
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origins", ["*", "https://friend.example/", "friend.example", "null", "https://*.example"])
def test_origins_are_whole_and_exact(origins: str) -> None:
    """A list of origins that would let everybody in, or nobody, stops the start."""
    with pytest.raises(SettingsError, match="TIDEMARK_CORS_ORIGINS"):
        settings_read({"TIDEMARK_CORS_ORIGINS": origins})
    good = settings_read({"TIDEMARK_CORS_ORIGINS": "https://friend.example, http://127.0.0.1:3000, http://[::1]:3000"})
    assert len(good.cors_origins) == 3


async def test_nothing_signs_in_for_another_purpose(tmp_path: Path) -> None:
    """A link's token is no session, a session's no link, and a link of another purpose or venue opens nothing."""
    async with House(tmp_path) as house:
        token = await house.link()
        assert not await works(house, bearer(token))
        caller = await house.sign_in("bob@example.com")
        session = caller["Authorization"].removeprefix("Bearer ")
        answer = await house.client.post(VERIFY, json={"token": session[:128]})
        assert answer.json()["code"] in ("LINK_INVALID", "TEXT_INVALID")
        for row in house.database.links.values():
            row["purpose"] = "change the address"
        refused = await house.client.post(VERIFY, json={"token": token})
        assert (refused.status_code, refused.json()["code"]) == (400, "LINK_INVALID")
        assert len(house.database.links) == 1
        key = secrets().sessions[secrets().kid_signing()]
        claims = jwt.decode(session, key, ["HS256"], audience=AUDIENCE, options={"verify_exp": False})
        for change in ({"aud": "tidemark link"}, {"aud": "tidemark key"}, {"iss": "othervenue"}):
            forged = jwt.encode(claims | change, key, "HS256", {"kid": secrets().kid_signing()})
            assert not await works(house, bearer(forged))


def forged_tokens(signer: Signer) -> list[str]:
    """Return tokens of account 100 that are signed with whatever an attacker may have, or not at all."""
    rsa_key = rsa.generate_private_key(65_537, 2_048)
    now_s = NOW_US // 1_000_000
    claims = {
        "iss": VENUE,
        "aud": AUDIENCE,
        "sub": "100",
        "jti": "00000000-0000-4000-8000-000000000005",
        "iat": now_s,
        "exp": now_s + SESSION_SECONDS,
    }
    public = signer.private.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    raw = public.public_bytes_raw()
    ours = secrets().kid_signing()
    jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")}
    tokens = [jwt.encode(claims, signer.private, "EdDSA", {"kid": kid}) for kid in (signer.key_id, ours)]
    tokens += [jwt.encode(claims, raw, "HS256", {"kid": kid}) for kid in (signer.key_id, ours)]
    tokens += [jwt.encode(claims, rsa_key, name, {"kid": ours}) for name in ("RS256", "PS256")]
    tokens += [jwt.encode(claims, b"x" * 32, "HS256", {"kid": ours, "jwk": jwk, "jku": "https://evil.example/k"})]
    tokens += [jwt.encode(claims, b"x" * 32, "HS256", {"kid": kid}) for kid in ("../secret", "' OR '1'='1", "\0")]
    tokens += [jwt.encode(claims, "", "none", {"kid": ours})]
    part = json.dumps({"alg": "HS256", "kid": [ours]}).encode(), json.dumps(claims).encode(), pem
    tokens.append(b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in part).decode())
    return tokens


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
async def test_no_other_algorithm_and_no_key_of_theirs_signs_a_session(tmp_path: Path) -> None:
    """Public keys that programs registered, named as kid, and every other algorithm or header open no session."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        signer = Signer()
        body = {"public_key": signer.public_text, "scopes": ["trade"]}
        signer.key_id = (await house.client.post(f"{V1}/keys", json=body, headers=caller)).json()["key_id"]
        tokens = forged_tokens(signer)
        assert len(tokens) == 12
        for token in tokens:
            assert not await works(house, bearer(token))
            assert not await works(house, cookie_of(bearer(token)))


async def test_logs_hold_nothing_that_signs_in(tmp_path: Path) -> None:
    """Neither links, tokens, cookies, signatures nor addresses are logged, whatever goes wrong on the way."""
    async with House(tmp_path) as house:
        planted = ["ada@example.com", "ada%40example.com"]
        link = await house.link()
        signed_in = await house.client.post(VERIFY, json={"token": link})
        house.client.cookies.clear()
        caller = bearer(signed_in.json()["token"])
        planted += [link, signed_in.json()["token"]]
        signer = Signer()
        body = {"public_key": signer.public_text, "scopes": ["trade"]}
        signer.key_id = (await house.client.post(f"{V1}/keys", json=body, headers=caller)).json()["key_id"]
        signed = signer.headers("GET", f"{V1}/account/assets")
        planted.append(signed["Tidemark-Signature"])
        house.desk.markets.all = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        for headers in (caller, cookie_of(caller), signed):
            assert (await house.client.get(f"{V1}/account/assets", headers=headers)).status_code == 500
        house.database.down = True
        for method, path in (("GET", f"{VERIFY}?token={link}"), ("DELETE", f"{V1}/auth/logout"), ("GET", f"{V1}/keys")):
            await house.client.request(method, path, headers=caller | {"Accept": "application/json"})
        house.streams.down = True
        await house.client.get(f"{V1}/account?token={link}", headers=caller)
        text = repr(house.log.lines)
        assert house.log.lines
        for secret in planted:
            assert secret not in text


@pytest.mark.parametrize("where", ["/", "//evil.example", "https://evil.example"])
async def test_signing_in_leads_nowhere_else(tmp_path: Path, where: str) -> None:
    """No parameter sends a visitor away: after the button the answer leads home, whatever was asked for."""
    async with House(tmp_path) as house:
        form = {"token": await house.link(), "next": where, "redirect": where}
        answer = await house.client.post(f"{VERIFY}?next={where}", data=form, headers={"Origin": OWN})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        token = await house.link()
        page = await house.client.get(VERIFY, params={"token": token, "next": where})
        assert "evil" not in page.text


async def test_each_sign_in_is_a_session_of_its_own(tmp_path: Path) -> None:
    """A session that was there before signing in is not taken over: each sign-in has a new id and its own end."""
    async with House(tmp_path) as house:
        first, second = await house.sign_in(), await house.sign_in()
        planted = await house.client.post(VERIFY, json={"token": await house.link()}, headers=cookie_of(first))
        third = bearer(planted.json()["token"])
        house.client.cookies.clear()
        items = (await house.client.get(f"{V1}/auth/sessions", headers=third)).json()["items"]
        assert len({row["id"] for row in items}) == 3
        current = next(row["id"] for row in items if row["current"])
        other = next(row["id"] for row in items if not row["current"])
        ended = await house.client.delete(f"{V1}/auth/sessions/{other}", headers=third)
        assert (ended.status_code, ended.json()["revoked"]) == (200, True)
        assert [await works(house, who) for who in (first, second, third)].count(True) == 2
        cleared = await house.client.delete(f"{V1}/auth/sessions/{current}", headers=third)
        assert "Max-Age=0" in cleared.headers["set-cookie"]
        assert not await works(house, third)


async def test_another_accounts_sessions_and_keys_look_like_none(tmp_path: Path) -> None:
    """A session or key of somebody else, one that ended and one that never was are refused with equal bodies."""
    async with House(tmp_path) as house:
        ada, bob = await house.sign_in("ada@example.com"), await house.sign_in("bob@example.com")
        adas = (await house.client.get(f"{V1}/auth/sessions", headers=ada)).json()["items"][0]["id"]
        body = {"public_key": Signer().public_text, "scopes": ["read"]}
        made = await house.client.post(f"{V1}/keys", json=body, headers=ada)
        for paths, code in (
            ([f"{V1}/auth/sessions/{name}" for name in (adas, "00000000-0000-4000-8000-000000000009", "x")], "SESSION"),
            ([f"{V1}/keys/{name}" for name in (made.json()["key_id"], "0" * 32, "x")], "KEY"),
        ):
            answers = [await house.client.delete(path, headers=bob) for path in paths]
            bodies = [answer.json() | {"request_id": ""} for answer in answers]
            assert all(body == bodies[0] for body in bodies)
            assert (answers[0].status_code, bodies[0]["code"]) == (404, f"{code}_UNKNOWN")
        assert await works(house, ada)
        assert len((await house.client.get(f"{V1}/auth/sessions", headers=bob)).json()["items"]) == 1


async def test_a_label_is_what_the_browser_called_itself(tmp_path: Path) -> None:
    """Its owner knows a session again by the program's own name, cut and cleaned; nobody else sees it."""
    async with House(tmp_path) as house:
        agent = "Mozilla/5.0 (evil; \x1b[31m) " + "x" * 200
        await house.client.post(VERIFY, json={"token": await house.link()}, headers={"User-Agent": agent})
        caller = await house.sign_in()
        house.client.cookies.clear()
        items = (await house.client.get(f"{V1}/auth/sessions", headers=caller)).json()["items"]
        labels = [row["label"] for row in items]
        assert len(labels) == 2
        assert any(label.startswith("Mozilla/5.0 (evil; [31m) xxx") and len(label) == 64 for label in labels)
