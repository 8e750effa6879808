"""The Python client's stream against a server whose every message is written down here."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from tidemark_client import Client, Message, Refused

HELLO = {"type": "hello", "venue": "abcdefghij", "rules": 3, "seq": "1", "env": "paper", "ping_s": 20, "limits": {}}
SNAPSHOT = {"type": "snapshot", "id": "stream", "account": 101, "at": "5-0", "data": {"orders": []}}
Script = list[dict[str, Any]]


def event(at: str) -> dict[str, Any]:
    """Return an event's message."""
    return {"type": "event", "at": at, "channel": "fills", "log_time_us": 9, "data": {"e": "fill"}}


class Served:
    """What was asked on each connection, while each is sent its script and then cut."""

    def __init__(self, *scripts: Script, status: int = 101) -> None:
        """Keep the scripts; the last one is not cut but kept open."""
        self.scripts = list(scripts)
        self.status = status
        self.asked: list[dict[str, Any]] = []
        self.later: list[dict[str, Any]] = []  # what came after the subscription

    def door(self, socket: ServerConnection, _request: Request) -> Response | None:
        """Refuse the upgrade when the test wants it."""
        if self.status == 101:
            return None
        return socket.respond(self.status, json.dumps({"code": "UNAUTHENTICATED", "error": "no", "retry": "never"}))

    async def talk(self, socket: ServerConnection) -> None:
        """Send one connection its script."""
        await socket.send(json.dumps(HELLO))
        self.asked.append(json.loads(await socket.recv()))
        script = self.scripts.pop(0)
        for message in script:
            await socket.send(json.dumps(message))
        if not self.scripts:
            async for text in socket:
                self.later.append(json.loads(text))
        socket.transport.abort()

    def told(self, count: int, place: str = "", **options: Any) -> list[Message]:
        """Return the first messages of a stream on this server."""

        async def follow() -> list[Message]:
            async with serve(self.talk, "127.0.0.1", 0, process_request=self.door) as server:
                port = next(iter(server.sockets)).getsockname()[1]
                async with Client(f"http://127.0.0.1:{port}", token="t", **options) as client:
                    stream = client.stream("fills", "orders", place=place)
                    messages: list[Message] = []
                    async with asyncio.timeout(20), contextlib.aclosing(stream.__aiter__()) as coming:
                        async for message in coming:
                            messages.append(message)
                            if len(messages) == count:
                                break
                    return messages

        return asyncio.run(follow())


def test_a_stream_goes_on_where_it_was_cut() -> None:
    """Each connection asks for what comes after the last event, of the venue it belongs to."""
    served = Served([SNAPSHOT, event("6-0-0")], [event("6-0-1"), event("7-1-0")], [event("8-0-0")])
    messages = served.told(5)
    assert [message.kind for message in messages] == ["snapshot", "event", "event", "event", "event"]
    assert [message.at for message in messages] == ["5-0", "6-0-0", "6-0-1", "7-1-0", "8-0-0"]
    assert messages[0].data == {"orders": []} and messages[0].account == 101
    assert [asked.get("from") for asked in served.asked] == [None, "6-0-0", "7-1-0"]
    assert [asked.get("venue") for asked in served.asked] == [None, HELLO["venue"], HELLO["venue"]]
    assert served.asked[0] == {"op": "subscribe", "id": "stream", "channels": ["fills", "orders"]}


def test_a_place_is_taken_from_whatever_states_one() -> None:
    """A snapshot, and the word that all is told, are places to go on from; a price is none."""
    live = {"type": "live", "id": "stream", "at": "9-0"}
    price = {"type": "update", "channel": "ticker.X", "seq": "11", "data": {"bid": "1"}}
    served = Served([SNAPSHOT], [live, price], [event("10-0-0")])
    messages = served.told(3)
    assert [asked.get("from") for asked in served.asked] == [None, "5-0", "9-0"]
    assert (messages[1].kind, messages[1].channel, messages[1].data) == ("update", "ticker.X", {"bid": "1"})


def test_a_gap_is_told() -> None:
    """What cannot be told is said with its reason, and the snapshot after it is where the stream goes on."""
    gap = {"type": "gap", "id": "stream", "from": "2-0-0", "reason": "trimmed", "first": "4-0"}
    served = Served([gap, SNAPSHOT], [event("6-0-0")])
    messages = served.told(3, place="2-0-0")
    assert (messages[0].kind, messages[0].at, messages[0].data["reason"]) == ("gap", "2-0-0", "trimmed")
    assert [asked.get("from") for asked in served.asked] == ["2-0-0", "5-0"]


def test_a_refusal_ends_the_stream_and_an_absence_does_not() -> None:
    """Channels that there are not are raised; views that are not there yet are asked for again."""
    error = {"type": "error", "id": "stream", "code": "CHANNEL_UNKNOWN", "error": "no", "detail": {}, "retry": "never"}
    with pytest.raises(Refused, match="CHANNEL_UNKNOWN"):
        Served([error]).told(1)
    served = Served([error | {"code": "VIEW_UNAVAILABLE", "retry": "now"}], [SNAPSHOT])
    assert [message.kind for message in served.told(1)] == ["snapshot"]


def test_whoever_is_not_let_in_learns_it() -> None:
    """An upgrade that is refused for good is raised, and not tried for ever."""
    with pytest.raises(Refused, match="UNAUTHENTICATED"):
        Served([], status=401).told(1)


def test_a_quiet_stream_asks_how_far_it_is() -> None:
    """A silence is broken by a ping, and the place in its answer is one to go on from."""
    served = Served([SNAPSHOT, {"type": "pong", "at": "70-0"}], [])

    async def follow() -> str:
        async with serve(served.talk, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with Client(f"http://127.0.0.1:{port}", token="t") as client:
                stream = client.stream("fills", ping_s=0.05)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.6):
                        async for _message in stream:
                            pass
                return stream.place

    assert asyncio.run(follow()) == "70-0"
    assert [asked.get("from") for asked in served.asked] == [None, "70-0"]
    assert {"op": "ping"} in served.later
