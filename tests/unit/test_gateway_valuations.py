"""The channel `valuation`: an account's worth at the marks of now, once for all who follow it, nothing for nobody."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.socket.channels import UPDATED, VALUATION, channel_of
from gateway.socket.valuation_feed import PERIOD_S, newest_name
from tests.gateway_doubles import MARKET, eventually
from tests.gateway_house import House
from tests.gateway_images import position_changed
from tests.gateway_wire import Place, Wire, placed, silence

pytestmark = pytest.mark.anyio
BUY = {"market": MARKET, "side": "buy", "qty": "0.001"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def mark_write(house: House, mark: str | None, **fields: str) -> None:
    """Write the market's view as the engine does, without a mark where none is given."""
    view = {"fresh": "1", "seq": "2", **fields} | ({} if mark is None else {"mark": mark})
    house.streams.hashes[house.streams.keys.view_market(MARKET)] = {name: text.encode() for name, text in view.items()}


async def bought(place: Place, headers: dict[str, str], account: int | None = None) -> None:
    """Let an account buy 0.001 at 60 000 with a margin of 6."""
    query = "" if account is None else f"?account={account}"
    answer = await place.house.client.post(f"/api/v1/trade/order{query}", json=BUY, headers=headers)
    assert answer.json()["result"] == "OK"


async def next_worth(wire: Wire) -> dict[str, Any]:
    """Return the next valuation that is told."""
    return await told_of(wire, VALUATION)


async def told_of(wire: Wire, channel: str) -> dict[str, Any]:
    """Return the next message of a channel."""
    async with asyncio.timeout(5):
        while True:
            for message in wire.aside:
                if message.get("channel") == channel:
                    wire.aside.remove(message)
                    return message
            await wire.ask("ping")
            await asyncio.sleep(0.01)


async def test_it_begins_with_how_things_stand(tmp_path: Path) -> None:
    """The bodies are those that HTTP answers, without what belongs to one request; no snapshot, no place."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        mark_write(place.house, "61000.0")
        await bought(place, headers)
        async with place.wire(headers) as wire:
            subscribed = await wire.ask("subscribe", channels=["valuation"])
            assert (subscribed["channels"], subscribed["account"]) == (["valuation"], 100)
            update = await next_worth(wire)
            assert update.keys() == {"type", "channel", "seq", "data"} and update["type"] == "update"
            client = place.house.client
            account = (await client.get("/api/v1/account", headers=headers)).json()
            positions = (await client.get("/api/v1/account/positions", headers=headers)).json()
            assert update["seq"] == account["seq"] == positions["seq"]
            shown = {name: account[name] for name in account if name not in ("request_id", "seq", "role")}
            assert update["data"] == {"account": shown, "positions": positions["items"]}
            [position] = positions["items"]
            assert (position["pnl_unrealised"], position["pnl_percent"]) == ("1.000000", "16.66")
            assert account["pnl_unrealised"] == "1.000000"
            assert [message["type"] for message in wire.aside] == ["hello", "live"]


async def test_a_price_that_moves_is_told(tmp_path: Path) -> None:
    """Another mark is another worth, told within a period; the same mark again is not."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        mark_write(place.house, "61000.0")
        await bought(place, headers)
        async with place.wire(headers) as wire:
            await wire.ask("subscribe", channels=["valuation"])
            await next_worth(wire)
            wire.aside.clear()
            mark_write(place.house, "59000.0", seq="3")
            data = (await next_worth(wire))["data"]
            assert data["positions"][0]["pnl_percent"] == "-16.66"
            assert data["account"]["pnl_unrealised"] == "-1.000000"
            mark_write(place.house, "59000.0", seq="4", bid="58999.9")
            await asyncio.sleep(PERIOD_S * 2.5)
            await silence(wire)


async def test_what_happens_to_the_account_is_told(tmp_path: Path) -> None:
    """A position that is opened is in the next valuation, and one that ended is not."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        mark_write(place.house, "61000.0")
        async with place.wire(headers) as wire:
            await wire.ask("subscribe", channels=["valuation"])
            assert (await next_worth(wire))["data"]["positions"] == []
            await bought(place, headers)
            data = (await next_worth(wire))["data"]
            [position] = data["positions"]
            assert data["account"]["positions_count"] == 1
            gone = position_changed(100, MARKET, position["position_id"], qty="0.00000")
            place.house.streams.publish(place.house.streams.events[-1].seq + 1, [gone])
            assert (await next_worth(wire))["data"]["positions"] == []


async def test_a_sub_account_is_told_apart(tmp_path: Path) -> None:
    """Main and sub-account may be followed on one socket; a stranger follows neither."""
    async with placed(tmp_path) as place:
        ada, bob = await place.house.sign_in(), await place.house.sign_in("bob@example.com")
        opened = await place.house.client.post("/api/v1/account/subaccounts", json={}, headers=ada)
        sub = opened.json()["subaccount"]["account_id"]
        mark_write(place.house, "60500.0")
        await bought(place, ada, sub)
        async with place.wire(ada) as wire, place.wire(bob) as other:
            await wire.ask("subscribe", channels=["valuation"])
            assert (await wire.ask("subscribe", channels=["valuation"], account=sub))["account"] == sub
            found = [(await next_worth(wire))["data"] for _ in range(2)]
            assert {data["account"]["account_id"]: len(data["positions"]) for data in found} == {100: 0, sub: 1}
            assert [data["account"].get("main") for data in found if data["positions"]] == [100]
            refused = await other.ask("subscribe", channels=["valuation"], account=sub)
            assert (refused["type"], refused["code"]) == ("error", "QUERY_INVALID")
            assert len(place.house.desk.valuations) == 2
            ended = await wire.ask("unsubscribe", channels=["valuation"], account=sub)
            assert (ended["channels"], len(place.house.desk.valuations)) == (["valuation"], 1)
            again = await wire.ask("unsubscribe", channels=["valuation"], account=sub)
            assert again["channels"] == []


async def test_whoever_is_not_signed_in_follows_no_worth(tmp_path: Path) -> None:
    """Without a session there is no account whose worth could be told, and no market has such a channel."""
    async with placed(tmp_path) as place, place.wire() as wire:
        refused = await wire.ask("subscribe", channels=["valuation"])
        assert (refused["type"], refused["code"]) == ("error", "UNAUTHENTICATED")
        unknown = await wire.ask("subscribe", channels=[f"valuation.{MARKET}"])
        assert (unknown["type"], unknown["code"]) == ("error", "CHANNEL_UNKNOWN")
        assert len(place.house.desk.valuations) == 0


async def test_what_happens_is_told_at_once(tmp_path: Path) -> None:
    """An event that touches the account is not kept waiting for the next round; twice a second is still the most."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        mark_write(place.house, "61000.0")
        async with place.wire(headers) as wire:
            await wire.ask("subscribe", channels=["valuation"])
            await next_worth(wire)
            place.house.passed_s += 1.0
            for count in (1, 2):
                began_s = time.monotonic()
                await bought(place, headers)
                assert len((await next_worth(wire))["data"]["positions"]) == count
                assert time.monotonic() - began_s < PERIOD_S / 2
            began_s = time.monotonic()
            await bought(place, headers)
            await bought(place, headers)
            assert len((await next_worth(wire))["data"]["positions"]) == 4
            assert time.monotonic() - began_s > PERIOD_S / 2


@pytest.mark.parametrize("end", ["cut", "sign out"])
async def test_a_socket_that_ends_follows_no_more(tmp_path: Path, end: str) -> None:
    """Whether the connection is lost or the session ended, nothing of its following stays."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        desk = place.house.desk
        async with place.wire(headers) as wire:
            await wire.ask("subscribe", channels=["valuation", "fills"])
            await next_worth(wire)
            await eventually(lambda: len(desk.tail.audience.everybody()) == 2)
            assert len(desk.valuations) == 1
            if end == "cut":
                wire.connection.transport.abort()
            else:
                await place.house.client.delete("/api/v1/auth/logout", headers=headers)
                place.house.passed_s += 10
            await eventually(lambda: len(desk.valuations) == 0)
        assert not desk.tail.audience.everybody()


async def test_what_cannot_be_valued_stands_as_it_was(tmp_path: Path) -> None:
    """Without a mark, with one that is no number, or with Redis away nothing is told, and nobody else suffers."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        mark_write(place.house, None)
        await bought(place, headers)
        async with place.wire(headers) as wire:
            await wire.ask("subscribe", channels=["valuation"])
            for broken in (None, "1e5", "NaN"):
                mark_write(place.house, broken)
                await asyncio.sleep(PERIOD_S * 1.2)
            place.house.streams.down = True
            await asyncio.sleep(PERIOD_S * 1.2)
            place.house.streams.down = False
            assert not any(message.get("channel") == VALUATION for message in wire.aside)
            mark_write(place.house, "60000.0")
            assert (await next_worth(wire))["data"]["positions"][0]["pnl_percent"] == "0.00"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("margin_call", "[]"),
        ("position:77", "5"),
        ("position:77", '{"position_id":77}'),
        ("account", '{"free":"0.0000001","reserved":"0"}'),
        ("leverage:" + MARKET, "0.5"),
    ],
)
async def test_a_view_that_cannot_be_read_is_its_accounts_alone(tmp_path: Path, name: str, text: str) -> None:
    """Of such an account nothing is told until its view can be read; everybody else is told as before."""
    async with placed(tmp_path) as place:
        ada, bob = await place.house.sign_in(), await place.house.sign_in("bob@example.com")
        mark_write(place.house, "61000.0")
        await bought(place, bob)
        view = place.house.streams.hashes[place.house.streams.keys.view_account(100)]
        whole = dict(view)
        view[name] = text.encode()
        async with place.wire(ada) as wire, place.wire(bob) as other:
            await wire.ask("subscribe", channels=["valuation"])
            await other.ask("subscribe", channels=["valuation"])
            await next_worth(other)
            mark_write(place.house, "59000.0", seq="3")
            assert (await next_worth(other))["data"]["account"]["pnl_unrealised"] == "-1.000000"
            assert not any(message.get("channel") == VALUATION for message in wire.aside)
            view.clear()
            view.update(whole)
            place.house.passed_s += 11
            assert (await next_worth(wire))["data"]["account"]["equity"] == "5000.000000"


async def test_a_slow_client_gets_only_the_newest(tmp_path: Path) -> None:
    """What waits to be sent of an account's worth is one message, and none once it is followed no more."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        mark_write(place.house, "61000.0")
        await bought(place, headers)
        async with place.wire(headers) as wire:
            await wire.ask("subscribe", channels=["valuation"])
            await next_worth(wire)
            [socket] = place.house.desk.sockets.all()
            name = newest_name(100)
            socket.outbox.put_newest(name, b"older")
            socket.outbox.put_newest(name, b"newest")
            assert socket.outbox._newest == {name: b"newest"}
            socket.unfollow_valuation(100)
            assert socket.outbox._newest == {}


async def test_channels_count_and_a_place_is_no_matter(tmp_path: Path) -> None:
    """It is one of the socket's channels; beside others it changes nothing of their places."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        async with place.wire(headers) as wire:
            names = ["account", "valuation", "fills"]
            assert (await wire.ask("subscribe", channels=names))["channels"] == names
            snapshot = await told_type(wire, "snapshot")
            assert snapshot["data"].keys() == {"account"}
            [socket] = place.house.desk.sockets.all()
            assert socket.channels_with(None, []) == 3
            assert await told_type(wire, "live")
            await next_worth(wire)
            resumed = {"channels": names, "from": "2-0"}
            assert (await wire.ask("subscribe", **resumed))["type"] == "subscribed"
            assert (await told_type(wire, "live"))["at"] == "2-0"
            await next_worth(wire)
            assert socket.channels_with(None, []) == 3
            assert not any(message["type"] in ("snapshot", "gap") for message in wire.aside)


async def told_type(wire: Wire, kind: str) -> dict[str, Any]:
    """Return the next message of a type."""
    async with asyncio.timeout(5):
        while True:
            for message in wire.aside:
                if message["type"] == kind:
                    wire.aside.remove(message)
                    return message
            await wire.ask("ping")


def test_it_is_told_by_no_event() -> None:
    """Its name has a place among the channels that are only ever updated."""
    channel = channel_of(VALUATION, ())
    assert channel.private and channel.topic in UPDATED and channel.tags == ()
