"""Operations over the WebSocket: as over HTTP, in the order of the messages, and guarded by the life of the socket."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import schemas
from gateway.identity import request_id_of_key, request_id_of_order
from gateway.socket import guard, messages, orders_ws
from gateway.socket.guard import ARMED_MS, GRACE_MS
from shared.streams import AppendStatus, Handover
from tests.gateway_doubles import MARKET, NOW_US, eventually
from tests.gateway_wire import placed

pytestmark = pytest.mark.anyio
ORDER = {"market": MARKET, "side": "buy", "qty": "0.001"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def test_every_operation_has_its_body() -> None:
    """Each message of an operation is carried out, by the operation whose body the documents give it."""
    assert orders_ws.OPERATIONS.keys() == {
        op for op, struct in messages.BY_OP.items() if struct in {*messages.BODIES, messages.CancelOnDisconnect}
    }
    for struct, operation in orders_ws.OPERATION_OF.items():
        assert messages.BODIES[struct] in (operation.schema, None)
        assert operation in schemas.OPERATIONS


async def test_an_order_is_answered_as_over_http(tmp_path: Path) -> None:
    """The same order over both ways has the same answer but for its ids, and the same entry in the log."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        over_http = await place.house.client.post("/api/v1/trade/order", json=ORDER, headers=headers)
        async with place.wire(headers) as wire:
            answer = await wire.ask("order", ORDER)
        assert (answer["type"], answer["status"]) == ("answer", 200)
        varying = {"request_id", "seq", "order_id", "position_id", "fills", "positions", "orders", "closed_orders"}
        assert answer["body"].keys() == over_http.json().keys()
        for name in answer["body"].keys() - varying:
            assert answer["body"][name] == over_http.json()[name]
        first, second = place.instructions()[-2:]
        assert {**first, "request_id": ""} == {**second, "request_id": ""}


async def test_each_operation_reaches_the_log(tmp_path: Path) -> None:
    """Every op of the WebSocket becomes its operation of the log, with its body in canonical form."""
    trade = {"market": MARKET, "side": "buy", "margin": "10", "leverage": 5}
    sent: dict[str, tuple[dict[str, Any], str]] = {
        "order": (ORDER, "order_place"),
        "order_amend": ({"order_id": 7, "qty": "1"}, "order_amend"),
        "cancel": ({"client_order_id": "mine"}, "order_cancel"),
        "cancel_all": ({}, "orders_cancel"),
        "trade": (trade, "trade_create"),
        "close": ({"position_id": 3}, "trade_close"),
        "triggers": ({"position_id": 3, "stop_loss": "1"}, "position_triggers_set"),
        "margin": ({"position_id": 3, "amount": "-1"}, "margin_change"),
        "leverage": ({"market": MARKET, "leverage": 3}, "leverage_set"),
        "mode": ({"market": MARKET, "mode": "cross"}, "margin_mode_set"),
        "deadman": ({"timeout_ms": 5_000}, "deadman_set"),
        "close_all": ({}, "positions_close_all"),
        "reverse": ({"position_id": 3}, "position_reverse"),
        "batch": ({"commands": [{"op": "orders_cancel"}]}, "batch"),
        "reset": ({}, "account_reset"),
    }
    assert sent.keys() == {str(struct.__struct_config__.tag) for struct in orders_ws.OPERATION_OF}
    async with placed(tmp_path) as place:
        async with place.wire(await place.house.sign_in()) as wire:
            for op, (body, _operation) in sent.items():
                answer = await wire.ask(op, body)
                assert answer["status"] == 200, (op, answer)
        told = place.instructions()[-len(sent) :]
        assert [each["op"] for each in told] == [operation for _body, operation in sent.values()]
        for each, (body, _operation) in zip(told, sent.values(), strict=True):
            assert body.items() <= each.items()


async def test_ids_and_repeats_are_those_of_http(tmp_path: Path) -> None:
    """A key or an order's own name makes the same request id both ways: a repeat over the other way is a replay."""
    named = ORDER | {"client_order_id": "mine"}
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        async with place.wire(headers) as wire:
            first = await wire.ask("order", named)
            assert first["body"]["request_id"] == request_id_of_order("order_place", "mine")
            again = await place.house.client.post("/api/v1/trade/order", json=named, headers=headers)
            assert (again.status_code, again.headers["idempotent-replay"]) == (200, "true")
            assert again.json()["seq"] == first["body"]["seq"]
            close = {"position_id": 3}
            keyed = {"Idempotency-Key": "k 1"} | headers
            over_http = await place.house.client.post("/api/v1/trade/close", json=close, headers=keyed)
            repeated = await wire.ask("close", close, key="k 1")
            assert repeated["replay"] is True
            assert repeated["body"]["seq"] == over_http.json()["seq"]
            assert repeated["body"]["request_id"] == request_id_of_key("k 1")
            other = await wire.ask("close", {"position_id": 4}, key="k 1")
            assert (other["status"], other["body"]["code"]) == (409, "REQUEST_ID_REUSED")


async def test_refusals_are_answers_with_the_request_id(tmp_path: Path) -> None:
    """What is refused, here or by the venue, is an answer with the status and body of the table, ids in both."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        cases: list[tuple[str, dict[str, Any], dict[str, Any], int, str]] = [
            ("order", {"market": MARKET, "side": "buy"}, {}, 422, "FIELD_MISSING"),
            ("order", ORDER | {"colour": "red"}, {}, 422, "FIELD_UNKNOWN"),
            ("order", ORDER | {"qty": 1.5}, {}, 422, "NUMBER_NOT_TEXT"),
            ("order", ORDER | {"market": "NONE"}, {}, 404, "MARKET_UNKNOWN"),
            ("order", ORDER, {"ts": NOW_US + 5_000_000}, 400, "REQUEST_TIME_INVALID"),
            ("order", ORDER, {"key": " "}, 400, "IDEMPOTENCY_KEY_INVALID"),
            ("order", ORDER, {"account": 999}, 400, "QUERY_INVALID"),
        ]
        for op, body, keys, status, code in cases:
            answer = await wire.ask(op, body, **keys)
            assert (answer["type"], answer["status"], answer["body"]["code"]) == ("answer", status, code)
            assert len(answer["body"]["request_id"]) == 32
        named = await wire.ask("order", ORDER | {"market": "NONE"}, key="k 2")
        assert named["body"]["request_id"] == request_id_of_key("k 2")


async def test_an_unknown_outcome_is_202(tmp_path: Path) -> None:
    """When the answer does not come in time the answer says UNKNOWN, with the id and the time to ask by."""
    settings = {"TIDEMARK_RESPONSE_TIMEOUT": "0.2"}
    async with placed(tmp_path, **settings) as place, place.wire(await place.house.sign_in()) as wire:
        place.house.streams.silent = True
        answer = await wire.ask("order", ORDER, key="k 3", ts=NOW_US + 1)
        assert (answer["status"], answer["body"]["status"]) == (202, "UNKNOWN")
        assert answer["body"]["ts"] == NOW_US + 1
        assert answer["retry_after_s"] == 1
        assert answer["body"]["request_id"] == request_id_of_key("k 3")
        place.house.streams.mode = AppendStatus.REFUSED
        refused = await wire.ask("order", ORDER)
        assert (refused["status"], refused["body"]["code"]) == (503, "LOG_UNAVAILABLE")
        assert refused["retry_after_s"] == 1


async def test_nobody_orders_unless_signed_in_and_allowed(tmp_path: Path) -> None:
    """Without a session an operation is 401, beyond the window 429 with its time; the log sees neither."""
    async with placed(tmp_path, TIDEMARK_RATE_FACTOR="1") as place:
        headers = await place.house.sign_in()
        before = len(place.instructions())
        async with place.wire() as wire:
            for op in ("order", "preview"):
                assert (await wire.ask(op, ORDER))["body"]["code"] == "UNAUTHENTICATED"
            refused = await wire.ask("cancel_on_disconnect", None, enabled=True)
            assert (refused["type"], refused["code"]) == ("error", "UNAUTHENTICATED")
        assert len(place.instructions()) == before
        async with place.wire(headers) as wire:
            answers = [await wire.ask("order", ORDER) for _ in range(25)]
        limited = [answer for answer in answers if answer["status"] == 429]
        assert 0 < len(limited) < 25
        assert limited[0]["body"]["detail"]["limit"] == "trade"
        assert limited[0]["retry_after_s"] >= 1
        assert len(place.instructions()) == before + 25 - len(limited)


async def test_instructions_enter_the_log_in_the_order_of_the_messages(tmp_path: Path) -> None:
    """Fifty orders sent in one breath stand in the log as they were sent, and each has its own answer."""
    async with placed(tmp_path) as place:
        async with place.wire(await place.house.sign_in()) as wire:
            chance = iter([0.003, 0.0, 0.002, 0.0, 0.001] * 10)
            append = place.house.streams.append

            async def append_late(*arguments: Any) -> Any:
                await asyncio.sleep(next(chance))
                return await append(*arguments)

            place.house.streams.append = append_late  # type: ignore[method-assign, assignment]
            idents = [await wire.send("order", ORDER | {"client_order_id": f"n{number}"}) for number in range(50)]
            answers = [await wire.answer(ident) for ident in idents]
        assert {answer["status"] for answer in answers} == {200}
        names = [each.get("client_order_id") for each in place.instructions()][-50:]
        assert names == [f"n{number}" for number in range(50)]


async def test_a_stuck_instruction_lets_the_next_one_go(tmp_path: Path) -> None:
    """Those behind an append that hangs are refused in time, certainly not accepted, and the socket goes on."""
    settings = {"TIDEMARK_RESPONSE_TIMEOUT": "0.3"}
    async with placed(tmp_path, **settings) as place, place.wire(await place.house.sign_in()) as wire:
        append, stuck = place.house.streams.append, asyncio.Event()

        async def append_stuck(_keys: Any, _fields: Any, _deadline_s: float, handover: Handover) -> Any:
            handover.take()
            await stuck.wait()

        place.house.streams.append = append_stuck  # type: ignore[method-assign, assignment]
        first, second = [await wire.send("order", ORDER) for _ in range(2)]
        assert (await wire.answer(first))["status"] == 202
        place.house.streams.append = append  # type: ignore[method-assign, assignment]
        behind = await wire.answer(second)
        assert behind["status"] in (200, 503)
        assert (await wire.ask("order", ORDER))["status"] == 200
        stuck.set()


async def test_a_sub_account_trades_over_the_same_socket(tmp_path: Path) -> None:
    """A message may name a sub-account of its own, and nobody else's account."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        opened = await place.house.client.post("/api/v1/account/subaccounts", json={}, headers=headers)
        sub = opened.json()["subaccount"]["account_id"]
        stranger = await place.house.sign_in("bob@example.com")
        async with place.wire(headers) as wire:
            assert (await wire.ask("order", ORDER, account=sub))["status"] == 200
            assert place.instructions()[-1]["account"] == sub
        async with place.wire(stranger) as wire:
            refused = await wire.ask("order", ORDER, account=sub)
            assert (refused["status"], refused["body"]["code"]) == (400, "QUERY_INVALID")
        assert place.instructions()[-1]["account"] == sub


# -- cancel on disconnect


async def test_a_lost_socket_shortens_the_switch(tmp_path: Path) -> None:
    """While it lives a guarding socket puts the switch forward; when it is lost the grace time begins at once."""
    async with placed(tmp_path) as place:
        async with place.wire(await place.house.sign_in()) as wire:
            answer = await wire.ask("cancel_on_disconnect", None, enabled=True, scope="all")
            assert (answer["type"], answer["status"], answer["body"]["result"]) == ("answer", 200, "OK")
            assert place.switches() == [(100, ARMED_MS, "all")]
        await eventually(lambda: len(place.switches()) == 2)
        assert place.switches()[-1] == (100, GRACE_MS, "all")


@pytest.mark.parametrize("ending", ["abort", "close"])
async def test_every_way_of_losing_counts(tmp_path: Path, ending: str) -> None:
    """A connection that breaks is as lost as one that is closed; the default spares what only closes."""
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        await wire.ask("cancel_on_disconnect", None, enabled=True)
        if ending == "abort":
            wire.connection.transport.abort()
        else:
            await wire.connection.close()
        await eventually(lambda: place.switches()[-1] == (100, GRACE_MS, "opening"))


async def test_who_comes_back_in_time_keeps_the_orders(tmp_path: Path) -> None:
    """A client that says so again within the grace time has its switch put forward: nothing shortens it after that."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        async with place.wire(headers) as wire:
            await wire.ask("cancel_on_disconnect", None, enabled=True)
        await eventually(lambda: place.switches()[-1][1] == GRACE_MS)
        async with place.wire(headers) as wire:
            await wire.ask("cancel_on_disconnect", None, enabled=True)
            assert [each[1] for each in place.switches()] == [ARMED_MS, GRACE_MS, ARMED_MS]
            ended = await wire.ask("cancel_on_disconnect", None, enabled=False)
            assert ended["status"] == 200
            assert place.switches()[-1][1] == 0
        await asyncio.sleep(0.05)
        assert place.switches()[-1][1] == 0, "a socket that no longer guards is lost without a word"


async def test_the_switch_is_put_forward_while_the_socket_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again and again, sooner after a time that failed; never once the socket is gone."""
    assert guard.RENEW_S * 1_000 < GRACE_MS, "a second socket's next word must come within the first one's grace"
    monkeypatch.setattr(guard, "RENEW_S", 0.02)
    monkeypatch.setattr(guard, "RETRY_S", 0.01)
    async with placed(tmp_path) as place:
        async with place.wire(await place.house.sign_in()) as wire:
            await wire.ask("cancel_on_disconnect", None, enabled=True)
            await eventually(lambda: len(place.switches()) >= 4)
            place.house.streams.mode = AppendStatus.REFUSED
            await asyncio.sleep(0.05)
            count = len(place.switches())
            place.house.streams.mode = AppendStatus.ACCEPTED
            await eventually(lambda: len(place.switches()) >= count + 3)
            assert {each[1] for each in place.switches()} == {ARMED_MS}
        await eventually(lambda: place.switches()[-1][1] == GRACE_MS)
        count = len(place.switches())
        await asyncio.sleep(0.1)
        assert len(place.switches()) == count


async def test_nothing_follows_the_end_of_guarding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal that is under way when the guarding ends comes before its end in the log, never after it."""
    monkeypatch.setattr(guard, "RENEW_S", 0.02)
    async with placed(tmp_path) as place, place.wire(await place.house.sign_in()) as wire:
        await wire.ask("cancel_on_disconnect", None, enabled=True)
        append, begun = place.house.streams.append, asyncio.Event()

        async def append_slow(keys: Any, fields: Any, *more: Any) -> Any:
            if b'"timeout_ms":15000' in fields[1][1]:
                begun.set()
                await asyncio.sleep(0.05)
            return await append(keys, fields, *more)

        place.house.streams.append = append_slow  # type: ignore[method-assign, assignment]
        await begun.wait()
        assert (await wire.ask("cancel_on_disconnect", None, enabled=False))["status"] == 200
        await asyncio.sleep(0.15)
        assert [each[1] for each in place.switches()][-2:] == [ARMED_MS, 0]
        place.house.streams.mode = AppendStatus.REFUSED
        assert (await wire.ask("cancel_on_disconnect", None, enabled=True))["code"] == "LOG_UNAVAILABLE"
        place.house.streams.mode = AppendStatus.ACCEPTED
        await asyncio.sleep(0.15)
        assert place.switches()[-1][1] == 0, "what was refused guards nothing"


async def test_the_last_word_of_a_lost_socket_is_the_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal that is under way when the socket is lost comes before the grace time in the log, never after it."""
    monkeypatch.setattr(guard, "RENEW_S", 0.02)
    async with placed(tmp_path) as place:
        async with place.wire(await place.house.sign_in()) as wire:
            await wire.ask("cancel_on_disconnect", None, enabled=True)
            append, begun = place.house.streams.append, asyncio.Event()

            async def append_slow(keys: Any, fields: Any, *more: Any) -> Any:
                if b'"timeout_ms":15000' in fields[1][1]:
                    begun.set()
                    await asyncio.sleep(0.1)
                return await append(keys, fields, *more)

            place.house.streams.append = append_slow  # type: ignore[method-assign, assignment]
            await begun.wait()
            wire.connection.transport.abort()
        await eventually(lambda: place.switches()[-1][1] == GRACE_MS)
        await asyncio.sleep(0.2)
        assert place.switches()[-1][1] == GRACE_MS


async def test_a_gateway_that_stops_leaves_the_switch(tmp_path: Path) -> None:
    """A stop of ours is no loss of theirs: the switch stays as it is, so that the client can go to another gateway."""
    async with placed(tmp_path) as place:
        async with place.wire(await place.house.sign_in()) as wire:
            await wire.ask("cancel_on_disconnect", None, enabled=True)
            await place.house.desk.sockets.shutdown()
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
        assert [each[1] for each in place.switches()] == [ARMED_MS]


def test_the_page_names_every_operation() -> None:
    """docs/websocket.md has every op that is carried out here."""
    page = (Path(__file__).parents[2] / "docs" / "websocket.md").read_text()
    for op in orders_ws.OPERATIONS:
        assert f"`{op}`" in page or f'"op":"{op}"' in page, op
