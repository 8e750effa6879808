"""The WebSocket's messages themselves: hello, sign-in, prices, what is no message, and that no event is forgotten."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.socket import messages
from gateway.socket.channels import PRIVATE_OF_KIND, PUBLIC_OF_KIND, SILENT
from shared.codes import EventKind
from shared.rules import RULES_VERSION
from tests.gateway_doubles import MARKET, VENUE
from tests.gateway_wire import placed, silence, told
from tests.key_signer import Signer

pytestmark = pytest.mark.anyio
ORDER = {"market": MARKET, "side": "buy", "qty": "0.001"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def test_every_kind_has_a_channel_or_a_reason() -> None:
    """No event of the core is forgotten by the WebSocket, and no channel names a kind that there is not."""
    kinds = {kind.name.lower() for kind in EventKind}
    assert kinds == PRIVATE_OF_KIND.keys() | PUBLIC_OF_KIND.keys() | SILENT.keys()
    assert not SILENT.keys() & (PRIVATE_OF_KIND.keys() | PUBLIC_OF_KIND.keys())


async def test_hello_says_where_one_is(tmp_path: Path) -> None:
    """The first message names the venue, its rules, how far its events have come, and the limits."""
    async with placed(tmp_path) as place, place.wire() as wire:
        [hello] = await told(wire, 1)
        assert (hello["type"], hello["venue"], hello["rules"]) == ("hello", VENUE, RULES_VERSION)
        assert (hello["seq"], hello["env"], hello["ping_s"]) == ("1", "paper", 20)
        assert hello["limits"]["message_bytes"] == 65_536 and hello["limits"]["backlog_bytes"] == 2**20


async def test_prices_come_as_they_change(tmp_path: Path) -> None:
    """A ticker is told at once and again when it changes, read from the market's view; what did not change is not."""
    async with placed(tmp_path) as place, place.wire() as wire:
        streams = place.house.streams
        view = {
            "bid": b"1.0",
            "ask": b"2.0",
            "seq": b"7",
            "fresh": b"1",
            "quote_us": b"5",
            "book": b'{"bids":[],"asks":[]}',
        }
        candle = {"minute_ms": 60_000, "open": "1", "high": "2", "low": "1", "close": "2", "quotes": 3}
        view |= {"book_seq": b"6", "candle": orjson.dumps(candle)}
        streams.hashes[streams.keys.view_market(MARKET)] = view
        await told(wire, 1)
        await wire.send("subscribe", channels=[f"ticker.{MARKET}", f"depth.{MARKET}", f"candles.{MARKET}"])
        found = {message.get("channel", message["type"]): message for message in await told(wire, 6)}
        ticker = found[f"ticker.{MARKET}"]
        assert (ticker["type"], ticker["seq"]) == ("update", "7")
        assert (ticker["data"]["bid"], ticker["data"]["fresh"]) == ("1.0", True)
        assert found[f"depth.{MARKET}"]["data"]["quote"] == {"bid": "1.0", "ask": "2.0"}
        running = found[f"candles.{MARKET}"]["data"]
        assert (running["open_ms"], running["close"], running["complete"]) == (60_000, "2", False)
        view["bid"] = b"1.5"
        streams.announced.put_nowait(MARKET.encode())
        changed = {message["channel"] for message in await told(wire, 2)}
        assert changed == {f"ticker.{MARKET}", f"depth.{MARKET}"}
        view["seq"] = b"8"
        streams.announced.put_nowait(MARKET.encode())
        await silence(wire)


async def test_prices_alone_are_live_at_once_and_end_when_told(tmp_path: Path) -> None:
    """Who follows prices alone is live without a snapshot; unsubscribed, nothing more comes, and nobody reads views."""
    async with placed(tmp_path) as place, place.wire() as wire:
        streams = place.house.streams
        view = {"bid": b"1.0", "ask": b"2.0", "seq": b"7"}
        await told(wire, 1)
        names = [f"ticker.{MARKET}", f"depth.{MARKET}"]
        await wire.send("subscribe", channels=names)
        assert [message["type"] for message in await told(wire, 2)] == ["subscribed", "live"]
        streams.hashes[streams.keys.view_market(MARKET)] = view | {"book": b"{"}
        streams.announced.put_nowait(MARKET.encode())
        # A depth that cannot be read is none; the ticker of the same view is.
        assert [message["channel"] for message in await told(wire, 1)] == names[:1]
        assert (await wire.ask("unsubscribe", channels=names))["channels"] == names
        assert len(place.house.desk.feed) == 0
        streams.hashes[streams.keys.view_market(MARKET)] = view | {"bid": b"1.5"}
        streams.announced.put_nowait(MARKET.encode())
        await silence(wire)


async def test_one_signs_in_by_message(tmp_path: Path) -> None:
    """A token or a signature in the first message opens the private channels, which were closed before."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        signer = Signer()
        made = await place.house.client.post(
            "/api/v1/keys", json={"public_key": signer.public_text, "scopes": ["read"]}, headers=headers
        )
        signer.key_id = made.json()["key_id"]
        signed = signer.headers("WS", "/ws")
        by_key: dict[str, Any] = {
            name: signed[f"Tidemark-{name.title()}"] for name in ("key", "time", "window", "signature")
        }
        by_token: dict[str, Any] = {"token": headers["Authorization"].removeprefix("Bearer ")}
        for presented in (by_token, by_key):
            async with place.wire() as wire:
                refused = await wire.ask("subscribe", channels=["fills"])
                assert (refused["type"], refused["code"]) == ("error", "UNAUTHENTICATED")
                answer = await wire.ask("auth", **presented)
                assert (answer["type"], answer["account_id"]) == ("auth", 100)
                assert (await wire.ask("subscribe", channels=["fills"]))["type"] == "subscribed"
                again = await wire.ask("auth", **presented)
                assert again["code"] == "MESSAGE_MALFORMED"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "MESSAGE_MALFORMED"),
        ("[]", "MESSAGE_MALFORMED"),
        ('{"op":"fly","id":5}', "MESSAGE_MALFORMED"),
        ('{"op":7,"id":5}', "MESSAGE_MALFORMED"),
        ('{"op":"subscribe","id":5,"channels":[]}', "MESSAGE_MALFORMED"),
        ('{"op":"subscribe","id":5,"channels":["fills"],"from":"1"}', "MESSAGE_MALFORMED"),
        ('{"op":"subscribe","id":5,"channels":["fills"],"form":"1-0-0"}', "MESSAGE_MALFORMED"),
        ('{"op":"subscribe","id":5,"channels":["trades.NONE"]}', "CHANNEL_UNKNOWN"),
        ('{"op":"subscribe","id":5,"channels":["trades"]}', "CHANNEL_UNKNOWN"),
        ('{"op":"subscribe","id":5,"channels":["orders.BTC_USDC_PERP"]}', "CHANNEL_UNKNOWN"),
        ('{"op":"auth","id":5}', "MESSAGE_MALFORMED"),
        ('{"op":"auth","id":5,"token":"a","key":"b"}', "MESSAGE_MALFORMED"),
    ],
)
async def test_what_is_no_message_is_refused(tmp_path: Path, text: str, code: str) -> None:
    """The refusal is a row of the table of codes, with the message's id where one can be read; the socket stays."""
    async with placed(tmp_path) as place, place.wire() as wire:
        await told(wire, 1)
        await wire.connection.send(text)
        [refused] = await told(wire, 1)
        assert (refused["type"], refused["code"], refused.get("id")) == ("error", code, 5 if '"id"' in text else None)
        assert refused["request_id"] and refused["retry"] == "never"
        await silence(wire)


def test_the_messages_are_told_apart() -> None:
    """No two messages have the same op, no two the same type."""
    tags = [struct.__struct_config__.tag for struct in (*messages.ASKED, *messages.TOLD)]
    assert len(tags) - len(set(tags)) == 1  # `auth` is both an op and the type of its answer


async def test_a_read_key_reads_and_trades_nothing(tmp_path: Path) -> None:
    """The scopes of a key hold on a socket as they do over HTTP."""
    async with placed(tmp_path) as place:
        signer = Signer()
        made = await place.house.client.post(
            "/api/v1/keys",
            json={"public_key": signer.public_text, "scopes": ["read"]},
            headers=await place.house.sign_in(),
        )
        signer.key_id = made.json()["key_id"]
        async with place.wire(signer.headers("WS", "/ws")) as wire:
            assert (await wire.ask("subscribe", channels=["fills"]))["type"] == "subscribed"
            refused = await wire.ask("order", ORDER)
            while refused["type"] != "answer":
                refused = await wire.answer(refused["id"])
            assert (refused["status"], refused["body"]["code"]) == (403, "SCOPE_MISSING")
