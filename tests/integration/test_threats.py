"""Threats against a whole running venue; docs/operations.md says which test shows what."""

import asyncio
import json
import socket
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.app import ROUTES
from tests.faults.sign_up_killed import sign_ups_killed
from tests.faults.venue_client import Venue, eventually, venue_running
from tests.threat_street import (
    MARKET,
    V1,
    Person,
    accounts_of_log,
    database_copy,
    database_restore,
    still_recording,
)

KILLS = 5  # twenty with `python -m tests.faults.sign_up_killed`
SEEN_S = 12.0  # after a revocation, when every cache and socket has heard of it


class Street(NamedTuple):
    """A venue, and two people with orders, positions, sub-accounts, sessions and keys of their own."""

    venue: Venue
    ada: Person
    bob: Person
    ids: dict[str, Any]  # of what is Ada's


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Run a venue whose only quote stands still."""
    folder = tmp_path_factory.mktemp("threats")
    with venue_running(folder, "--feed", str(still_recording(folder)), "--hold") as venue:
        eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh price")
        ada, bob = Person(venue, "ada@example.com"), Person(venue, "bob@example.com")
        for person in (ada, bob):
            person.sign_in()
            person.key_make()
        resting = {"market": MARKET, "side": "buy", "kind": "limit", "qty": "0.001", "price": "64000.0"}
        placed = ada.call("POST", f"{V1}/trade/order", {**resting, "client_order_id": "adas"})
        ticket = ada.call("POST", f"{V1}/trade/create", {"market": MARKET, "side": "buy", "qty": "0.01", "leverage": 5})
        sub = ada.call("POST", f"{V1}/account/subaccounts", {})
        sessions = ada.call("GET", f"{V1}/auth/sessions")
        ids = {
            "account": ada.account,
            "sub": sub.body["subaccount"]["account_id"],
            "order": placed.body["order_id"],
            "request": placed.body["request_id"],
            "position": ticket.body["position_id"],
            "session": sessions.body["items"][0]["id"],
            "key": ada.signer.key_id,
        }
        yield Street(venue, ada, bob, ids)


def foreign_requests(ids: dict[str, Any]) -> list[tuple[str, str, Any, int, str]]:
    """Return every request that names something of Ada's: method, path, body, and how it is refused."""
    order, position, trade = ids["order"], ids["position"], f"{V1}/trade"
    limit = {"kind": "limit", "price": "65000.0"}
    return [
        ("PATCH", f"{trade}/order/{order}", {"qty": "0.002"}, 404, "ORDER_UNKNOWN"),
        ("PATCH", f"{trade}/order?client_order_id=adas", {"qty": "0.002"}, 404, "ORDER_UNKNOWN"),
        ("DELETE", f"{trade}/order/{order}", None, 404, "ORDER_UNKNOWN"),
        ("DELETE", f"{trade}/order?client_order_id=adas", None, 404, "ORDER_UNKNOWN"),
        ("POST", f"{trade}/close", {"position_id": position}, 404, "POSITION_UNKNOWN"),
        ("POST", f"{trade}/reverse", {"position_id": position}, 404, "POSITION_UNKNOWN"),
        ("POST", f"{trade}/margin", {"position_id": position, "amount": "-1"}, 404, "POSITION_UNKNOWN"),
        ("PUT", f"{trade}/triggers", {"position_id": position, "stop_loss": "1.0"}, 404, "POSITION_UNKNOWN"),
        (
            "POST",
            f"{trade}/order",
            {"market": MARKET, "side": "sell", "qty": "0.001", "position_id": position, "reduce_only": True} | limit,
            404,
            "POSITION_UNKNOWN",
        ),
        (
            "POST",
            f"{V1}/account/transfer",
            {"account_to": ids["account"], "amount": "1"},
            404,
            "ACCOUNT_TARGET_UNKNOWN",
        ),
        ("POST", f"{V1}/account/transfer", {"account_to": ids["sub"], "amount": "1"}, 404, "ACCOUNT_TARGET_UNKNOWN"),
        ("DELETE", f"{V1}/auth/sessions/{ids['session']}", None, 404, "SESSION_UNKNOWN"),
        ("DELETE", f"{V1}/keys/{ids['key']}", None, 404, "KEY_UNKNOWN"),
        ("POST", f"{V1}/keys/{ids['key']}/rotate", {"public_key": "A" * 43 + "="}, 422, "KEY_INVALID"),
    ]


def belongings(person: Person) -> dict[str, Any]:
    """Return what an account has, but for what time changes."""
    found = {}
    for path in ("account", "account/orders", "account/positions", "auth/sessions", "keys"):
        body = person.call("GET", f"{V1}/{path}").body
        found[path] = {name: value for name, value in body.items() if name not in ("request_id", "seq", "behind_seq")}
    return found


def test_other_accounts_ids_are_of_no_use(street: Street) -> None:
    """On every private route another's account is refused, and every id that a route takes is unknown if another's."""
    ids, bob = street.ids, street.bob
    before = belongings(street.ada), belongings(bob)["account/orders"]
    covered = set()
    for route in (route for route in ROUTES if route.signed_in):
        for account_id in (ids["account"], ids["sub"], 99, 10**9, 0, -1, "x"):
            path = route.path.replace("{", "").replace("}", "")
            answer = bob.call(route.method, f"{path}?account={account_id}", {} if route.method != "GET" else None)
            assert (answer.status, answer.body["code"]) == (400, "QUERY_INVALID"), (route, account_id)
    for method, path, body, status, code in foreign_requests(ids):
        answer = bob.call(method, path, body)
        assert (answer.status, answer.body["code"]) == (status, code), (method, path, answer)
        covered.add(path.partition("?")[0])
    asked = bob.call("GET", f"{V1}/requests/{ids['request']}")
    assert (asked.status, asked.body["status"]) == (200, "UNKNOWN")
    named = bob.call("GET", f"{V1}/requests?client_order_id=adas")
    assert (named.status, named.body["status"]) == (200, "UNKNOWN")
    assert bob.signed("GET", f"{V1}/account?account={ids['account']}").status == 400
    batch = [{"op": "order_cancel", "order_id": ids["order"]}, {"op": "trade_close", "position_id": ids["position"]}]
    results = bob.call("POST", f"{V1}/trade/orders", {"commands": batch}).body["results"]
    assert [row["result"] for row in results] == ["ORDER_UNKNOWN", "POSITION_UNKNOWN"]
    everything = json.dumps([bob.call("GET", route.path).body for route in ROUTES if route.method == "GET"])
    assert ids["session"] not in everything
    assert ids["key"] not in everything
    named_routes = {route.path for route in ROUTES if route.signed_in and "{" in route.path}
    missing = [path for path in named_routes if not any(path.partition("{")[0] in each for each in covered)]
    assert missing == [f"{V1}/requests/{{request_id}}"], "asked about above"
    assert (belongings(street.ada), belongings(bob)["account/orders"]) == before


def socket_url(venue: Venue) -> str:
    """Return where sockets are opened."""
    return venue.url.replace("http", "ws", 1) + "/ws"


async def opened(venue: Venue, headers: dict[str, str], origin: str | None) -> int:
    """Return the status that an upgrade is answered with."""
    try:
        async with connect(socket_url(venue), additional_headers=headers, origin=origin):  # type: ignore[arg-type]
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def test_a_socket_is_opened_by_our_own_pages_alone(street: Street) -> None:
    """A cookie opens a WebSocket for our own pages alone; without one a program may, and no other site's page."""
    venue, token = street.venue, street.ada.trader.token
    cookie, bearer = {"Cookie": f"tidemark={token}"}, {"Authorization": f"Bearer {token}"}
    foreign = ("https://evil.example", "null", "http://127.0.0.1:1", f"{venue.url}.evil.example")

    async def scenario() -> None:
        assert await opened(venue, cookie, venue.url) == 101
        assert await opened(venue, cookie, None) == 403
        assert await opened(venue, bearer, None) == 101
        assert await opened(venue, {}, None) == 101
        for origin in foreign:
            for headers in (cookie, bearer, {}):
                assert await opened(venue, headers, origin) == 403, (origin, headers)
        assert await opened(venue, {"Cookie": "tidemark=x.y.z"}, venue.url) == 401
        assert await opened(venue, {"Authorization": "Bearer x.y.z"}, None) == 401
        assert await opened(venue, street.ada.signer.headers("WS", "/ws"), None) == 401, "long out of its window"
        fresh = street.ada.signer.headers("WS", "/ws", time_us=time.time_ns() // 1_000)
        assert await opened(venue, fresh, None) == 101
        assert await opened(venue, fresh | bearer, None) == 401

    asyncio.run(scenario())


async def told(socket: Any, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    async with asyncio.timeout(10):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] == kind:
                return message


async def closed(socket: Any) -> int:
    """Return the code that the other side closes a socket with."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as end:
        return end.rcvd.code if end.rcvd else 0


def test_a_socket_ends_with_its_session_or_key(street: Street) -> None:
    """Signed out elsewhere, or its key ended, an open socket is closed with 1008; until then it told events."""
    venue = street.venue
    carol = Person(venue, "carol@example.com")
    carol.sign_in()
    carol.key_make()
    first = carol.trader
    carol.sign_in()

    async def scenario() -> None:
        by_key = carol.signer.headers("WS", "/ws", time_us=time.time_ns() // 1_000)
        async with (
            connect(socket_url(venue), additional_headers={"Authorization": f"Bearer {first.token}"}) as one,
            connect(socket_url(venue), additional_headers=by_key) as two,
            connect(socket_url(venue), additional_headers={"Authorization": f"Bearer {carol.trader.token}"}) as kept,
        ):
            for socket in (one, two, kept):
                await socket.send(json.dumps({"op": "subscribe", "id": 1, "channels": ["orders"]}))
                await told(socket, "live")
            sessions = await asyncio.to_thread(carol.call, "GET", f"{V1}/auth/sessions")
            other = next(row["id"] for row in sessions.body["items"] if not row["current"])
            await asyncio.to_thread(carol.call, "DELETE", f"{V1}/auth/sessions/{other}")
            await asyncio.to_thread(carol.call, "DELETE", f"{V1}/keys/{carol.signer.key_id}")
            for socket in (one, two):
                async with asyncio.timeout(SEEN_S):
                    assert await closed(socket) == 1008
            await kept.send(json.dumps({"op": "ping", "id": 2}))
            await told(kept, "pong")

    asyncio.run(scenario())


def test_an_older_postgres_gives_nobody_anothers_account(street: Street) -> None:
    """
    Postgres brought back as it was before: everybody signs in to their own account, newcomers to a new one.

    Sessions and keys that it does not know are refused; what was ended since stays ended, because Redis remembers.
    """
    venue = street.venue
    erin, dan, frank = (Person(venue, f"{name}@example.com") for name in ("erin", "dan", "frank"))
    ended, kept = erin.sign_in(), erin.sign_in()
    erin.key_make()
    database_copy(venue)
    eventually(lambda: venue.call("GET", f"{V1}/auth/sessions", None, kept).status == 200, "Postgres after the copy")
    dan.sign_in()
    dan.key_make()
    assert venue.call("DELETE", f"{V1}/auth/logout", None, ended).status == 200
    assert erin.call("DELETE", f"{V1}/keys/{erin.signer.key_id}").status == 200
    database_restore(venue)
    eventually(lambda: venue.call("GET", f"{V1}/auth/sessions", None, kept).status == 200, "Postgres after all")
    rows = venue.rows("SELECT revoked_us FROM sessions WHERE account_id = $1", erin.account)
    assert [row["revoked_us"] for row in rows] == [None, None], "it is the older one"
    accounts = {person.email: person.account for person in (street.ada, street.bob, erin, dan)}
    frank.sign_in()
    assert frank.account not in accounts.values()
    assert venue.call("GET", f"{V1}/account", None, ended).status == 401
    assert erin.signed("GET", f"{V1}/account").status == 401
    eventually(lambda: dan.call("GET", f"{V1}/account").status == 401, "a session that nobody knows ends", SEEN_S)
    eventually(lambda: dan.signed("GET", f"{V1}/account").status == 401, "a key that nobody knows ends", SEEN_S)
    for person in (dan, erin, street.ada, street.bob):
        assert person.sign_in().account == accounts[person.email]
    owners = dict(accounts_of_log(venue))
    for person in (street.ada, street.bob, erin, dan, frank):
        assert owners[person.owner()] == person.account
    assert len(set(owners.values())) == len(owners)


def test_a_users_row_of_an_older_postgres_is_put_right(street: Street) -> None:
    """A row that claims somebody else's account gives it to nobody: the log says whose it is, and the rows follow."""
    venue = street.venue
    grace, heidi = Person(venue, "grace@example.com"), Person(venue, "heidi@example.com")
    grace.sign_in()
    heidi.sign_in()
    claim = "UPDATE users SET account_id = $2 WHERE email = $1 RETURNING account_id"
    venue.rows(claim, grace.email, None)
    venue.rows(claim, heidi.email, grace.account)
    before = grace.account, heidi.account
    assert (heidi.sign_in().account, grace.sign_in().account) == (before[1], before[0])
    rows = venue.rows("SELECT email, account_id FROM users WHERE email IN ($1, $2)", grace.email, heidi.email)
    assert {row["email"]: row["account_id"] for row in rows} == {grace.email: before[0], heidi.email: before[1]}


def test_gateways_are_killed_in_the_middle_of_first_sign_ins(street: Street, tmp_path: Path) -> None:
    """Gateways that die by SIGKILL while people sign up leave nobody with another's account, or with two."""
    found = sign_ups_killed(street.venue, tmp_path / "mortal", KILLS)
    assert found["people"] == KILLS + 1


def test_logs_of_all_processes_hold_nothing_that_signs_in(street: Street) -> None:
    """No process logs a session, a signature or an address; what is no JSON line is the development sink's link."""
    venue, ada = street.venue, street.ada
    ada.signed("GET", f"{V1}/account")
    signature = ada.signer.headers("GET", f"{V1}/account", time_us=1)["Tidemark-Signature"]
    venue.call("GET", f"{V1}/account?token={ada.trader.token}", None, ada.trader)
    venue.call("GET", f"{V1}/auth/verify?token={signature[:40]}")
    parts = urllib.parse.urlsplit(venue.url)
    for rubbish in (
        b"\x16\x03\x01\x02\x00" * 20,
        b"NONSENSE / HTTP/9\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
    ):
        with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
            connection.sendall(rubbish)
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    logs = sorted((venue.data_dir / "logs").glob("*.log"))
    assert len(logs) >= 5
    for path in logs:
        text = path.read_text(errors="replace")
        for secret in (ada.trader.token, street.bob.trader.token, signature[:40], ada.email, "Bearer", "tidemark="):
            assert secret not in text, (path.name, secret[:8])
        if path.stem in ("gateway", "engine", "persister", "poller"):
            odd = [line for line in text.splitlines() if not line.startswith("{")]
            assert [line for line in odd if not line.startswith("Sign in to Tidemark: ")] == [], path.name
    assert Path(venue.data_dir / "secret").stat().st_mode & 0o077 == 0
