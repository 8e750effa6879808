"""Threats in what is sent, over the real routes and stand-ins; docs/operations.md says which test shows what."""

import asyncio
import json
import random
import re
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_doubles import MARKET, eventually
from tests.gateway_house import House
from tests.key_signer import Signer

pytestmark = pytest.mark.anyio
V1 = "/api/v1"
VERIFY = f"{V1}/auth/verify"


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


TEXTS = (
    "'; DROP TABLE users; --",
    "x' OR '1'='1",
    '"}\n{"level":"error","event":"forged"}',
    "a\r\nSet-Cookie: tidemark=evil",
    "\x00",
    "\x1b[2J",
    "‮evil",
    "𝕏" * 20,
    "{{7*7}}${7*7}",
    "../../../etc/passwd",
    "%s%n%0a",
)


async def test_texts_from_outside_are_values_and_nothing_else(tmp_path: Path) -> None:
    """What looks like SQL, a header, a log line or a path is refused or kept: never a 500, never a new line."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        for text in TEXTS:
            named = urllib.parse.quote(text, safe="")
            for answer in (
                await house.client.post(f"{V1}/auth", json={"email": text}),
                await house.client.post(VERIFY, json={"token": text}),
                await house.client.get(VERIFY, params={"token": text}),
                await house.client.get(VERIFY, params={"token": text}, headers={"Accept": "application/json"}),
                *[
                    await house.client.request(method, path, headers=caller)
                    for method, path in (
                        ("GET", f"{V1}/requests/{named}"),
                        ("DELETE", f"{V1}/auth/sessions/{named}"),
                        ("DELETE", f"{V1}/keys/{named}"),
                        ("GET", f"{V1}/market/{named}/ticker"),
                    )
                ],
                *[
                    await house.client.get(path, params={name: text}, headers=caller)
                    for path in (f"{V1}/account/history/orders", f"{V1}/account/orders", f"{V1}/requests")
                    for name in ("market", "cursor", "limit", "account", "ts", "client_order_id", text)
                ],
                *[
                    await house.client.post(f"{V1}/trade/order", json=order(**{name: text}), headers=caller)
                    for name in ("market", "side", "kind", "qty", "client_order_id", "take_profit")
                ],
                await house.client.post(f"{V1}/keys", json=key(label=text), headers=caller),
                await house.client.post(f"{V1}/keys", json=key(public_key=text), headers=caller),
            ):
                assert answer.status_code < 500, (text, answer.request.url, answer.text)
                assert "set-cookie" not in answer.headers
                assert "\n" not in "".join(answer.headers.values())
        assert [fields for event, fields in house.log.lines if event == "request_failed"] == []
        assert (await house.client.get(f"{V1}/account/orders", headers=caller)).status_code == 200


def order(**changes: Any) -> dict[str, Any]:
    """Return the body of an order."""
    return {"market": MARKET, "side": "buy", "qty": "0.001", **changes}


def key(**changes: Any) -> dict[str, Any]:
    """Return the body of a new key."""
    return {"public_key": Signer(random.randrange(10**9)).public_text, "scopes": ["read"], **changes}


async def test_whether_an_address_is_known_does_not_show_in_time(tmp_path: Path) -> None:
    """Asking for a link takes as long for a known address as for a new one: the work is done afterwards."""
    async with House(tmp_path) as house:
        await house.sign_in("ada@example.com")
        loop = asyncio.get_running_loop()
        taken_s: dict[bool, list[float]] = {True: [], False: []}
        for number in range(1_000):
            known = random.random() < 0.5
            email = "ada@example.com" if known else f"n{number:04d}@example.com"
            begun_s = loop.time()
            answer = await house.client.post(f"{V1}/auth", json={"email": email})
            taken_s[known].append(loop.time() - begun_s)
            assert answer.status_code == 202
            if number % 100 == 0:
                await eventually(lambda: house.desk.mailer.waiting == 0)
        known_s, new_s = (sorted(each)[len(each) // 2] for each in taken_s.values())
        assert 0.8 < known_s / new_s < 1.25, (known_s, new_s)


async def test_headers_about_the_way_buy_no_bucket(tmp_path: Path) -> None:
    """Whatever a caller claims about where it comes from, its requests count as those of its connection."""
    names = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP")
    async with House(tmp_path, TIDEMARK_RATE_FACTOR="1") as house:
        statuses = []
        for number in range(120):
            claimed = dict.fromkeys(names, f"192.0.2.{number}")
            statuses.append((await house.client.get("/health", headers=claimed)).status_code)
        assert statuses.count(429) > 0
        house.passed_s += 2
        asked = []
        for number in range(21):
            claimed = dict.fromkeys(names, f"192.0.2.{number}")
            body = {"email": f"n{number}@example.com"}
            asked.append((await house.client.post(f"{V1}/auth", json=body, headers=claimed)).status_code)
        assert asked == [202] * 20 + [429]


async def test_a_form_of_many_fields_opens_nothing(tmp_path: Path) -> None:
    """A form with more fields than the page has is no link, and no mistake of ours."""
    async with House(tmp_path) as house:
        form = "&".join(f"{number}=" for number in range(2_000)) + f"&token={await house.link()}"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await house.client.post(VERIFY, content=form, headers=headers)
        assert answer.status_code == 400
        assert house.database.sessions == {}


async def test_guessing_costs_the_guesser(tmp_path: Path) -> None:
    """Tokens of links are guessed at thirty times a minute from one address at most, whatever the answers."""
    async with House(tmp_path, TIDEMARK_RATE_FACTOR="1") as house:
        statuses = []
        for number in range(40):
            answer = await house.client.post(VERIFY, json={"token": f"{number:043d}"})
            statuses.append(answer.status_code)
        assert statuses == [400] * 30 + [429] * 10


NUMBERS: tuple[Any, ...] = (
    "1_000", "１２", " 12 ", "+5", "1e3", "1E+999999999", "1e-999999999", "nan", "NaN", "inf", "-inf", "Infinity",
    "0x10", "0b1", "1,5", "1.", ".5", "01", "--1", "1.0.0", "", " ", "\t1", "1\n", "9" * 5_000, "0." + "1" * 5_000,
    "²", "Ⅷ", "½", "१", "1\u0000", "\u200b1", "null", "true", "{}", "1/2", "1%", "$1", "1e", "e1", "-", "-.",
    "0.0000000000001", "1000000000000000", True, False, [], {}, [1], {"a": 1}, 1.5, -1.5, 1e300, -0.0,
    10**400, -(10**400), 2**63, -(2**63) - 1,
)  # fmt: skip


DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?")


async def test_numbers_are_read_strictly_and_fast(tmp_path: Path) -> None:
    """Nothing that only some reader would take for a number becomes one: no 500, no order, no slow answer."""
    places = {
        "order": ("qty", "price", "price_trigger", "quote_qty", "slippage_bps", "expires_ms", "position_id"),
        "create": ("margin", "qty", "leverage", "take_profit", "stop_loss"),
        "margin": ("position_id", "amount"),
        "deadman": ("timeout_ms",),
    }
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        seq = len(house.streams.log)
        loop = asyncio.get_running_loop()
        slowest_s = 0.0
        for path, names in places.items():
            for name in names:
                for value in NUMBERS:
                    content = json.dumps({**WHOLE[path], name: value})
                    begun_s = loop.time()
                    answer = await house.client.post(f"{V1}/trade/{path}", content=content, headers=caller)
                    slowest_s = max(slowest_s, loop.time() - begun_s)
                    assert 400 <= answer.status_code < 500 or taken(name, value), (path, name, value, answer.text)
        assert slowest_s < 0.25
        assert len(house.streams.log) <= seq + 30, "only what is a whole number where one belongs"


WHOLE: dict[str, dict[str, Any]] = {
    "order": {"market": MARKET, "side": "buy", "qty": "0.001"},
    "create": {"market": MARKET, "side": "buy", "margin": "10", "leverage": 5},
    "margin": {"position_id": 1, "amount": "1"},
    "deadman": {"timeout_ms": 5_000},
}


def taken(name: str, value: Any) -> bool:
    """Return whether a value has the right form after all, so that the engine may say what it thinks of it."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    trigger = name in ("take_profit", "stop_loss") and isinstance(value, dict)
    return whole or trigger or (isinstance(value, str) and DECIMAL.fullmatch(value) is not None)
