"""Following channels over the WebSocket: snapshots, what was missed, gaps, and each event once."""

from pathlib import Path

import orjson
import pytest

from gateway.socket.channels import PRIVATE
from shared.streams import Keys
from tests.gateway_doubles import MARKET, NOW_US, VENUE, eventually
from tests.gateway_wire import Place, placed, shapes, silence, since, told, trade

pytestmark = pytest.mark.anyio
ORDER = {"market": MARKET, "side": "buy", "qty": "0.001"}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


async def test_a_snapshot_comes_before_what_follows_it(tmp_path: Path) -> None:
    """A subscription begins with how things stand, then says it is live, then tells each event once as it happens."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        async with place.wire(headers) as wire:
            await told(wire, 1)
            names = ["account", "orders", "positions", "fills", "markets", f"trades.{MARKET}"]
            await wire.send("subscribe", channels=names)
            subscribed, snapshot, live = await told(wire, 3)
            assert subscribed == {"type": "subscribed", "id": 1, "channels": names, "account": 100}
            assert (snapshot["type"], snapshot["id"], snapshot["at"], snapshot["account"]) == (
                "snapshot",
                1,
                "2-0",
                100,
            )
            assert snapshot["data"].keys() == {"account", "orders", "positions", "markets"}
            assert snapshot["data"]["account"]["free"] == "5000.000000"
            assert [market["market"] for market in snapshot["data"]["markets"]] == [MARKET]
            assert live == {"type": "live", "id": 1, "at": "2-0"}
            place.house.streams.publish(3, trade(100, 7))
            first, second = await told(wire, 2)
            assert (first["channel"], first["at"], first["data"]) == ("fills", "3-0-0", trade(100, 7)[0])
            assert (second["channel"], second["at"]) == (f"trades.{MARKET}", "3-0-1")
            place.house.streams.publish(4, trade(101, 8)[:1])
            await silence(wire)


async def test_what_was_missed_comes_first(tmp_path: Path) -> None:
    """With a place one is told exactly what follows it, from the inside of an entry on, and no snapshot."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        for seq in (3, 4, 5):
            place.house.streams.publish(seq, trade(100, seq) + trade(101, seq) + trade(100, 10 * seq))
        async with place.wire(headers) as wire:
            await told(wire, 1)
            await wire.send("subscribe", channels=["events"], **since("3-0-0"), venue=VENUE)
            found = await told(wire, 7)
            ats = ["3-0-4", "4-0-0", "4-0-4", "5-0-0", "5-0-4"]
            assert shapes(found) == [("subscribed", None), *(("event", at) for at in ats), ("live", "5-0")]
            await wire.send("subscribe", channels=["events"], **since("4-0"))
            found = await told(wire, 4)
            assert shapes(found)[1:3] == [("event", "5-0-0"), ("event", "5-0-4")]
            place.house.streams.publish(6, trade(100, 6))
            assert shapes(await told(wire, 1)) == [("event", "6-0-0")]
            await silence(wire)


@pytest.mark.parametrize(
    ("start", "venue", "reason"),
    [
        ("9-0-0", VENUE, "ahead"),
        ("3-0-1", "other", "venue"),
        ("3-5-0", VENUE, "unknown"),
        ("1-0-0", VENUE, "trimmed"),
    ],
)
async def test_a_place_that_cannot_be_joined_is_owned_up_to(
    tmp_path: Path, start: str, venue: str, reason: str
) -> None:
    """Too old, too new, foreign or never there: a gap says why, a snapshot follows, and then what comes."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        streams = place.house.streams
        for seq in (3, 4):
            streams.publish(seq, trade(100, seq))
        await eventually(lambda: place.house.desk.tail.position == (4, 0))
        if reason == "trimmed":
            del streams.events[:2]
        async with place.wire(headers) as wire:
            await told(wire, 1)
            await wire.send("subscribe", channels=["fills"], **since(start), venue=venue)
            subscribed, gap, snapshot, live = await told(wire, 4)
            assert (subscribed["type"], live["type"]) == ("subscribed", "live")
            assert (gap["type"], gap["from"], gap["reason"]) == ("gap", start, reason)
            assert snapshot == {"type": "snapshot", "id": 1, "at": "4-0", "account": 100, "data": {}}
            assert reason in ("venue", "unknown") or gap["first"] == ("3-0" if reason == "trimmed" else "1-0")
            streams.publish(5, trade(100, 5))
            assert shapes(await told(wire, 1)) == [("event", "5-0-0")]
        counted = {sample.labels: sample.value for sample in place.house.gateway.parts.meters.gaps.samples(None)}  # type: ignore[arg-type]
        assert counted[reason,] == 1


async def test_what_is_trimmed_up_to_a_place_leaves_no_gap(tmp_path: Path) -> None:
    """A place behind the last trimmed entry is joined: nothing of what follows it is gone."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        for seq in (3, 4, 5):
            place.house.streams.publish(seq, trade(100, seq))
        del place.house.streams.events[:3]
        async with place.wire(headers) as wire:
            await told(wire, 1)
            await wire.send("subscribe", channels=["fills"], **since("3-0"))
            assert shapes(await told(wire, 4))[1:3] == [("event", "4-0-0"), ("event", "5-0-0")]


async def test_a_lagging_view_joins_where_it_stands(tmp_path: Path) -> None:
    """A snapshot of an old cursor is followed by everything after that cursor, also what the tail read long ago."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        streams = place.house.streams
        cursor = streams.values[streams.keys.views_cursor]
        for seq in (3, 4):
            streams.publish(seq, trade(100, seq))
        await eventually(lambda: place.house.desk.tail.position == (4, 0))
        streams.values[streams.keys.views_cursor] = cursor
        async with place.wire(headers) as wire:
            await told(wire, 1)
            await wire.send("subscribe", channels=["fills"])
            found = await told(wire, 5)
            assert shapes(found)[1:] == [("snapshot", "2-0"), ("event", "3-0-0"), ("event", "4-0-0"), ("live", "4-0")]


async def test_an_event_is_told_once(tmp_path: Path) -> None:
    """Whatever channels cover an event, it comes once: on its own, else on `events`, else in public."""
    liquidation = {"e": "liquidation", "account": 100, "market": MARKET, "order_id": 9, "position_id": 3, "qty": "1"}
    closed = {"e": "closed_order", "account": 100, "market": MARKET, "order_id": 9, "side": "sell"}
    public = f"liquidations.{MARKET}"
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        async with place.wire(headers) as wire:
            await told(wire, 1)
            for channels, on in (
                (["events", public], ["events", "events"]),
                (["positions", "events", public], ["positions", "events"]),
                ([public], [public]),
            ):
                await wire.send("subscribe", channels=channels)
                await told(wire, 3)
                place.house.streams.publish(place.house.streams.events[-1].seq + 1, [liquidation, closed])
                found = await told(wire, len(on))
                assert [message["channel"] for message in found] == on
                await wire.ask("unsubscribe", channels=channels)
                await silence(wire)
            assert found[0]["data"] == {
                "kind": "liquidation",
                "market": MARKET,
                "qty": "1",
                "side": "sell",
                "time_us": NOW_US,
            }


async def test_unsubscribing_ends_what_it_names(tmp_path: Path) -> None:
    """Channels that are followed no more are silent; the others of the same subscription go on."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        async with place.wire(headers) as wire:
            await told(wire, 1)
            await wire.send("subscribe", channels=["fills", f"trades.{MARKET}"])
            await told(wire, 3)
            answer = await wire.ask("unsubscribe", channels=["fills", "orders"])
            assert (answer["type"], answer["channels"]) == ("unsubscribed", ["fills"])
            place.house.streams.publish(3, trade(100, 3))
            assert shapes(await told(wire, 1)) == [("event", "3-0-1")]
            await silence(wire)


async def test_what_redis_cannot_say_is_said_later(tmp_path: Path) -> None:
    """A subscription made while Redis is away is carried out once it is back; what needs it at once is refused."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        async with place.wire(headers) as wire:
            await told(wire, 1)
            place.house.streams.down = True
            assert (await wire.ask("subscribe", channels=["fills"]))["type"] == "subscribed"
            refused = await wire.ask("subscribe", channels=["fills"], account=105)
            assert (refused["type"], refused["code"], refused["retry"]) == ("error", "VIEW_UNAVAILABLE", "now")
            place.house.streams.down = False
            assert shapes(await told(wire, 2)) == [("snapshot", "2-0"), ("live", "2-0")]


async def test_a_lost_socket_leaves_nothing_behind(tmp_path: Path) -> None:
    """Whoever is gone hears of no entry and takes no price, however the socket ended and however far it had come."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        desk = place.house.desk
        names = ["events", "fills", f"trades.{MARKET}", f"ticker.{MARKET}", f"candles.{MARKET}", "insurance"]
        for cut in (True, False):
            async with place.wire(headers) as wire:
                await wire.ask("subscribe", channels=names)
                await wire.ask("subscribe", channels=["orders"], **since("1-0"))
                await eventually(lambda: len(desk.tail.audience.everybody()) == 2 and len(desk.feed) == 2)
                await wire.ask("unsubscribe", channels=["insurance", "fills"])
                if cut:
                    wire.connection.transport.abort()
            await eventually(lambda: not desk.tail.audience.everybody() and len(desk.feed) == len(desk.sockets) == 0)


async def test_a_sub_account_is_followed_by_its_owner_alone(tmp_path: Path) -> None:
    """The session's own sub-account may be followed, beside the main one; anybody else's may not."""
    async with placed(tmp_path) as place:
        ada, bob = await place.house.sign_in(), await place.house.sign_in("bob@example.com")
        opened = await place.house.client.post("/api/v1/account/subaccounts", json={}, headers=ada)
        sub = opened.json()["subaccount"]["account_id"]
        async with place.wire(ada) as wire, place.wire(bob) as other:
            await told(wire, 1)
            await wire.ask("subscribe", channels=["fills"])
            assert (await wire.ask("subscribe", channels=["fills"], account=sub))["account"] == sub
            refused = await other.ask("subscribe", channels=["fills"], account=sub)
            assert (refused["type"], refused["code"]) == ("error", "QUERY_INVALID")
            await eventually(lambda: all_live(place))
            await wire.ask("ping")
            wire.aside.clear()
            seq = place.house.streams.events[-1].seq + 1
            place.house.streams.publish(seq, trade(100, 3) + trade(sub, 4))
            found = {message["data"]["account"]: message["at"] for message in await told(wire, 2)}
            assert found == {100: f"{seq}-0-0", sub: f"{seq}-0-2"}


def all_live(place: Place) -> bool:
    """Return whether every following of every socket is live."""
    sockets = place.house.desk.sockets.all()
    return all(following.follow.stage.value == "live" for socket in sockets for following in socket.followings)


async def test_a_socket_follows_so_many_channels(tmp_path: Path) -> None:
    """Beyond its limit of subscriptions a socket is refused, and what it follows goes on."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        async with place.wire(headers) as wire:
            await told(wire, 1)
            names = [*sorted(PRIVATE), "markets", "insurance"]
            names += [f"{topic}.{MARKET}" for topic in ("trades", "funding", "liquidations")]
            for name in names:
                assert (await wire.ask("subscribe", channels=[name]))["type"] == "subscribed"
            assert place.house.desk.sockets.all()[0].channels_with(None, []) == len(names)
            opened = [
                await place.house.client.post("/api/v1/account/subaccounts", json={}, headers=headers) for _ in range(3)
            ]
            refusals = []
            for answer in opened:
                account = answer.json()["subaccount"]["account_id"]
                refusals += [await wire.ask("subscribe", channels=[name], account=account) for name in sorted(PRIVATE)]
            assert {refused["code"] for refused in refusals if refused["type"] == "error"} == {"SUBSCRIPTIONS_MAX"}
            assert len(place.house.desk.sockets.all()[0].followings) == 32


async def test_a_snapshot_is_of_the_views_in_force(tmp_path: Path) -> None:
    """After the views were rebuilt a snapshot is of the new ones and of their cursor, whatever the old ones said."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        streams = place.house.streams
        for seq in (3, 4):
            streams.publish(seq, trade(100, seq))
        new = Keys(VENUE, 1)
        account = {"account": 100, "free": "1.000000", "reserved": "0.000000"}
        streams.hashes[new.view_account(100)] = {"account": orjson.dumps(account), "seq": b"3"}
        streams.values[new.views_cursor] = b"3-0"
        streams.values[new.views_generation] = orjson.dumps({"generation": 1, "from": "3-0", "log_time_us": 1})
        async with place.wire(headers) as wire:
            await told(wire, 1)
            await wire.send("subscribe", channels=["account", "fills"])
            _subscribed, snapshot, event, live = await told(wire, 4)
            assert (snapshot["at"], snapshot["data"]["account"]["free"]) == ("3-0", "1.000000")
            assert (event["at"], live["at"]) == ("4-0-0", "4-0")


async def test_without_views_a_subscription_is_refused(tmp_path: Path) -> None:
    """While nothing says how things stand there is no snapshot; with a place, or a moment later, there is no need."""
    async with placed(tmp_path) as place:
        headers = await place.house.sign_in()
        streams = place.house.streams
        cursor = streams.values.pop(streams.keys.views_cursor)
        async with place.wire(headers) as wire:
            await told(wire, 1)
            await wire.send("subscribe", channels=["fills"])
            _subscribed, refused = await told(wire, 2)
            assert (refused["type"], refused["id"], refused["code"]) == ("error", 1, "VIEW_UNAVAILABLE")
            assert place.house.desk.sockets.all()[0].channels_with(None, []) == 0
            await wire.send("subscribe", channels=["fills"], **since("2-0"))
            assert shapes(await told(wire, 2)) == [("subscribed", None), ("live", "2-0")]
            streams.values[streams.keys.views_cursor] = cursor
            await wire.send("subscribe", channels=["fills"])
            assert shapes(await told(wire, 3)) == [("subscribed", None), ("snapshot", "2-0"), ("live", "2-0")]
