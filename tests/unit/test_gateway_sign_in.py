"""Signing in: each threat of the list, over the real routes and stand-ins for the rest."""

import asyncio
import re
from pathlib import Path

import pytest

from gateway.sign_in.links import LINK_SECONDS, address_read, token_hash
from shared.streams import AppendStatus
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
VERIFY = "/api/v1/auth/verify"
JSON = {"Accept": "application/json"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


async def test_program_signs_in_by_get_with_json_alone(tmp_path: Path) -> None:
    """A GET that accepts exactly JSON consumes the link and answers account, token and cookie."""
    async with House(tmp_path) as house:
        answer = await house.client.get(VERIFY, params={"token": await house.link()}, headers=JSON)
        assert answer.status_code == 200
        assert answer.json()["account_id"] == 100
        assert re.fullmatch(r"[0-9a-f]{32}", answer.json()["request_id"])
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Max-Age=604800" in cookie
        assert "Secure" not in cookie
        assert (await house.client.get("/api/v1/account")).json()["equity"] == "5000.000000"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ],
)
async def test_another_site_cannot_sign_a_browser_in_by_get(tmp_path: Path, headers: dict[str, str]) -> None:
    """The GET that consumes obeys the rules of POST: another site's page cannot put its own session into a browser."""
    async with House(tmp_path) as house:
        token = await house.link()
        answer = await house.client.get(VERIFY, params={"token": token}, headers=JSON | headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_SITE")
        assert "set-cookie" not in answer.headers
        shown = await house.client.get(VERIFY, params={"token": token}, headers=headers)
        assert shown.status_code == 200, "a link in a mail is followed from another site: the page shows all the same"
        own = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"}
        assert (await house.client.get(VERIFY, params={"token": token}, headers=JSON | own)).status_code == 200


async def test_production_cookies_are_host_bound_and_secure(tmp_path: Path) -> None:
    """Outside development the cookie is `__Host-`, Secure, and strict transport is demanded."""
    changes = {"TIDEMARK_ENV": "production", "TIDEMARK_BASE_URL": "https://venue.example"}
    async with House(tmp_path, **changes) as house:
        answer = await house.client.get(VERIFY, params={"token": await house.link()}, headers=JSON)
        assert answer.headers["set-cookie"].startswith("__Host-tidemark=")
        assert "Secure" in answer.headers["set-cookie"]
        assert "Domain" not in answer.headers["set-cookie"]
        assert "strict-transport-security" in answer.headers
        assert house.mails[0].link.startswith("https://venue.example/")


@pytest.mark.parametrize("accept", [None, "*/*", "text/html", "application/json, */*", "application/json;q=1"])
async def test_looking_at_a_link_consumes_nothing(tmp_path: Path, accept: str | None) -> None:
    """Mail scanners may GET and HEAD as they like; they see a page with one button, and the link stays good."""
    async with House(tmp_path) as house:
        token = await house.link()
        for method in ("GET", "HEAD", "GET"):
            headers = {"Accept": accept} if accept else {}
            answer = await house.client.request(method, VERIFY, params={"token": token}, headers=headers)
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
            if method == "GET":
                assert answer.text.count("<button") == 1
                assert "ada@example.com" in answer.text
        headed = await house.client.request("HEAD", VERIFY, params={"token": token}, headers=JSON)
        assert "set-cookie" not in headed.headers
        assert (await house.client.post(VERIFY, json={"token": token})).status_code == 200


async def test_the_button_signs_a_browser_in(tmp_path: Path) -> None:
    """The page's form consumes the link, sets the cookie and leads home, so that a reload repeats nothing."""
    async with House(tmp_path) as house:
        form = {"token": await house.link()}
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"}
        answer = await house.client.post(VERIFY, data=form, headers=headers)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "HttpOnly" in answer.headers["set-cookie"]
        again = await house.client.post(VERIFY, data=form, headers=headers)
        assert again.status_code == 400
        assert "ask for a new one" in again.text


async def test_a_link_is_good_once_among_fifty(tmp_path: Path) -> None:
    """Fifty at once with one link give exactly one session."""
    async with House(tmp_path) as house:
        token = await house.link()
        answers = await asyncio.gather(*(house.client.post(VERIFY, json={"token": token}) for _ in range(50)))
        assert sorted(answer.status_code for answer in answers) == [200] + [400] * 49
        assert len(house.database.sessions) == 1
        assert len(house.engine.owners) == 1


async def test_expired_voided_and_unknown_links_look_the_same(tmp_path: Path) -> None:
    """A link ends after 15 minutes or when the next one is asked for; the answer never says which it was."""
    async with House(tmp_path) as house:
        first = await house.link()
        second = await house.link()
        house.clock.advance(LINK_SECONDS)
        answers = [
            await house.client.post(VERIFY, json={"token": token}) for token in (first, second, "x" * 43, "y" * 60)
        ]
        bodies = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in answers]
        assert all(body == bodies[0] and body["code"] == "LINK_INVALID" for body in bodies)
        assert {answer.status_code for answer in answers} == {400}


async def test_only_the_hash_of_a_token_is_stored(tmp_path: Path) -> None:
    """What Postgres holds and what is logged cannot sign anybody in."""
    async with House(tmp_path) as house:
        token = await house.link()
        assert len(token) == 43
        assert list(house.database.links) == [token_hash(token)]
        assert token not in str(house.log.lines)
        assert "ada@example.com" not in str(house.log.lines)


async def test_known_and_unknown_addresses_are_answered_alike(tmp_path: Path) -> None:
    """Asking for a link is 202 with one and the same body for a known, an unknown and an impossible address."""
    async with House(tmp_path) as house:
        await house.sign_in()
        asked = house.database.asked
        bodies = []
        for email in ("ada@example.com", "new@example.com", "nonsense", "a" * 400 + "@example.com", ""):
            answer = await house.client.post("/api/v1/auth", json={"email": email})
            assert answer.status_code == 202
            bodies.append({name: value for name, value in answer.json().items() if name != "request_id"})
        assert all(body == bodies[0] for body in bodies)
        assert house.database.asked <= asked + 6


async def test_sign_in_bodies_are_strict(tmp_path: Path) -> None:
    """A missing, mistyped or unknown key is refused by name."""
    async with House(tmp_path) as house:
        for body, code in (
            ({}, "FIELD_MISSING"),
            ({"email": 5}, "FIELD_TYPE_INVALID"),
            ({"email": "a@example.com", "next": "//evil"}, "FIELD_UNKNOWN"),
        ):
            answer = await house.client.post("/api/v1/auth", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert (await house.client.post("/api/v1/auth", content=b"{")).json()["code"] == "BODY_MALFORMED"


async def test_the_link_does_not_believe_the_host_header(tmp_path: Path) -> None:
    """The link's host comes from the settings, whatever the request claims."""
    async with House(tmp_path) as house:
        headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        await house.client.post("/api/v1/auth", json={"email": "ada@example.com"}, headers=headers)
        for _ in range(100):
            await asyncio.sleep(0.002)
            if house.mails:
                break
        assert house.mails[0].link.startswith("http://127.0.0.1:8080/api/v1/auth/verify?token=")


async def test_links_are_limited_per_address(tmp_path: Path) -> None:
    """The sixth link of an hour for one address is 429 with Retry-After, however the address is spelled."""
    async with House(tmp_path, TIDEMARK_RATE_FACTOR="1") as house:
        for spelling in (
            "ada@example.com",
            "ADA@EXAMPLE.COM",
            " ada@example.com",
            "Ada@example.com",
            "ada@Example.com",
        ):
            assert (await house.client.post("/api/v1/auth", json={"email": spelling})).status_code == 202
        refused = await house.client.post("/api/v1/auth", json={"email": "ada@example.com"})
        assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")
        assert int(refused.headers["retry-after"]) > 3_500
        assert (await house.client.post("/api/v1/auth", json={"email": "bob@example.com"})).status_code == 202


async def test_another_site_cannot_sign_a_browser_in(tmp_path: Path) -> None:
    """A page of another site cannot press the button with its own token (login CSRF)."""
    async with House(tmp_path) as house:
        token = await house.link()
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            answer = await house.client.post(VERIFY, data={"token": token}, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_SITE")
        assert (await house.client.post(VERIFY, json={"token": token})).status_code == 200


async def test_a_pending_person_is_opened_at_each_sign_in(tmp_path: Path) -> None:
    """When the engine is silent the link stays good; the next try gets the same account, and an older Postgres too."""
    async with House(tmp_path, TIDEMARK_RESPONSE_TIMEOUT="0.05") as house:
        token = await house.link()
        house.streams.silent = True
        failed = await house.client.post(VERIFY, json={"token": token})
        assert (failed.status_code, failed.json()["code"]) == (503, "SIGN_IN_UNAVAILABLE")
        house.streams.silent = False
        assert (await house.client.post(VERIFY, json={"token": token})).json()["account_id"] == 100
        house.database.users.clear()
        await house.sign_in("bob@example.com")
        house.database.users.clear()
        answer = await house.client.post(VERIFY, json={"token": await house.link()})
        assert answer.json()["account_id"] == 100


async def test_sign_in_without_log_or_database(tmp_path: Path) -> None:
    """With Redis or Postgres away signing in says 503 and the link stays good."""
    async with House(tmp_path) as house:
        token = await house.link()
        house.streams.mode = AppendStatus.REFUSED
        answer = await house.client.post(VERIFY, json={"token": token})
        assert (answer.status_code, answer.json()["code"]) == (503, "LOG_UNAVAILABLE")
        house.streams.mode = AppendStatus.ACCEPTED
        house.database.down = True
        answer = await house.client.post(VERIFY, json={"token": token})
        assert (answer.status_code, answer.json()["code"]) == (503, "SIGN_IN_UNAVAILABLE")
        house.database.down = False
        assert (await house.client.post(VERIFY, json={"token": token})).status_code == 200


async def test_signing_out_ends_the_session(tmp_path: Path) -> None:
    """After logout the token is worth nothing and the cookie is cleared."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        answer = await house.client.delete("/api/v1/auth/logout", headers=caller)
        assert answer.status_code == 200
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert (await house.client.get("/api/v1/account", headers=caller)).status_code == 401


async def test_mails_are_kept_as_files(tmp_path: Path) -> None:
    """Each mail is a numbered file of its own with to, link and subject, readable by its owner alone."""
    async with House(tmp_path) as house:
        token = await house.link()
        await house.link("bob@example.com")
        files = sorted((tmp_path / "mail").iterdir())
        assert [file.name for file in files] == ["001.json", "002.json"]
        assert token in files[0].read_text()
        assert files[0].stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("you@tidemark.local", "you@tidemark.local"),
        (" Ada@Example.COM ", "ada@example.com"),
        ("a@b.test", "a@b.test"),
        ("a@b\r\nBcc: c@d.com", None),
        ("@example.com", None),
        ("a b@example.com", None),
        ("a@.local", None),
        ("a" * 300 + "@example.com", None),
    ],
)
async def test_addresses_have_one_spelling(text: str, address: str | None) -> None:
    """One person is one spelling of an address; what could smuggle a header is no address."""
    assert address_read(text) == address
