"""
A typed client of a Tidemark gateway: sign-in by key, instructions that are safe to send again, a stream that resumes.

    python -m tidemark_client key LINK FILE       sign in by link once, make a key for programs, keep it in FILE
    async with Client.of_file("FILE") as client:
        outcome = await client.order("BTC_USDC_PERP", "buy", qty="0.01")
        async for message in client.stream("fills", "orders"): ...

An instruction is sent again under its id until it is decided: `Outcome` when it was accepted, `Refused` when it never
will be, `Unknown` when nobody can tell. Decimals are text, times microseconds.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict, Unpack
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

Json = dict[str, Any]
API = "/api/v1"
PAUSE_S, PAUSE_MAX_S, PATIENCE_S = 0.1, 5.0, 15.0
MESSAGE_BYTES_MAX = 64 << 20  # a snapshot is as large as the account


class Refused(Exception):
    """It was refused; `retry` says whether the very same may succeed: never, later, now."""

    def __init__(self, status: int, body: Json) -> None:
        self.status = status
        self.code: str = body.get("code", "UNREADABLE")
        self.retry: str = body.get("retry", "later")
        self.detail: Json = body.get("detail", {})
        self.request_id: str = body.get("request_id", "")
        super().__init__(f"{self.code}: {body.get('error', 'no answer')} {self.detail or ''}".rstrip())


class Unknown(Exception):
    """Nobody can tell whether it was accepted; the arguments are the request id and the time to ask by."""


class Outcome(msgspec.Struct, kw_only=True, frozen=True):
    """What an accepted instruction caused to the account, as docs/api.md describes an answer."""

    request_id: str
    seq: str = ""
    log_time_us: int = 0
    order_id: int = 0
    position_id: int = 0
    fills: list[Json] = []
    positions: list[Json] = []
    closed_positions: list[Json] = []
    orders: list[Json] = []
    closed_orders: list[Json] = []
    results: list[Json] = []
    balance: Json = {}
    replay: bool = False  # it had been accepted before this sending


class Page(msgspec.Struct, frozen=True):
    """One page of a list, newest first."""

    items: list[Json]
    next_cursor: str | None = None
    complete_to_seq: str | None = None


class Message(msgspec.Struct, frozen=True):
    """One message: an `event`, an `update` (prices, depth), a `snapshot` by channel, a `gap` after a place."""

    kind: str
    at: str
    data: Json
    channel: str = ""
    account: int = 0
    log_time_us: int = 0


OrderKeys = TypedDict(  # noqa: UP013 - a line for each would be half of this file
    "OrderKeys",
    {"kind": str, "qty": str, "quote_qty": str, "close_percent": str, "price": str, "price_trigger": str,
     "trigger_by": str, "trail_ticks": int, "trail_ppm": int, "price_activation": str, "tif": str, "expires_ms": int,
     "post_only": bool, "reduce_only": bool, "position_id": int, "stp": str, "slippage_bps": int,
     "take_profit": str | Json, "stop_loss": str | Json, "tpsl": str, "oco": Json, "client_order_id": str},
    total=False,
)  # fmt: skip


class Key(msgspec.Struct, frozen=True):
    """A key for programs: whose it is, and the Ed25519 secret, base64, that never leaves this machine."""

    url: str
    venue: str
    key_id: str
    private_key: str

    def save(self, path: str | Path) -> None:
        """Write the key to a new file that only its owner reads."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(self))


def request_id_make() -> str:
    """Return a fresh UUIDv7 as 32 hex digits."""
    bits = time.time_ns() // 1_000_000 << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62
    return f"{bits | secrets.randbits(62):032x}"


class Answer(NamedTuple):
    """One answer; status 0: it may have arrived, and nothing came back."""

    status: int
    body: Json
    headers: Mapping[str, str] = {}

    @property
    def certain(self) -> bool:
        """Return whether the sending certainly had, or will never have, an effect."""
        return self.status not in (0, 202, 500, 502, 504) and (self.status < 500 or "code" in self.body)

    @property
    def again(self) -> bool:
        """Return whether the same may be sent again at once."""
        return not self.certain or self.status == 429 or self.body.get("retry") == "now"


class Client(contextlib.AbstractAsyncContextManager["Client"]):
    """One account's way to a gateway: signed in by a token, by a key, or not at all (public routes)."""

    def __init__(
        self, url: str, token: str = "", key_id: str = "", private_key: str = "", venue: str = "", account: int = 0,
        patience_s: float = PATIENCE_S, settle_s: float = 20.0, http: httpx2.AsyncClient | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        """Prepare; `account` is a sub-account to act for; the times bound sending again, and asking what came of it."""
        self.url, self.token, self.key_id, self.venue, self.account = url.rstrip("/"), token, key_id, venue, account
        self.patience_s, self.settle_s, self.now_ns = patience_s, settle_s, now_ns
        self.http = http or httpx2.AsyncClient(timeout=5.0)
        self._private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(private_key)) if private_key else None

    @classmethod
    def of_file(cls, path: str | Path, **options: Any) -> Self:
        """Return the client of a key that was kept in a file."""
        return cls(**msgspec.json.decode(Path(path).read_bytes()), **options)

    @classmethod
    async def sign_in_link(cls, link: str, **options: Any) -> Self:
        """Return the client of the session that a sign-in link opens; the link is used up."""
        client = cls("{0.scheme}://{0.netloc}".format(urlsplit(link)), **options)
        answer = await client._try("GET", link.removeprefix(client.url), None, {"Accept": "application/json"})
        if answer.status != 200:
            raise Refused(answer.status, answer.body)
        client.token = answer.body["token"]
        return client

    async def __aexit__(self, *_failure: object) -> None:
        await self.http.aclose()

    async def signature(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the headers that say who is calling; a key signs everything that a request means."""
        if self._private is None:
            return {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self.venue = self.venue or await self._venue_read()
        sent_us = str(self.now_ns() // 1_000)
        named = (headers.get("Idempotency-Key", ""), headers.get("Request-Time", ""))
        lines = ("tidemark-v1", self.venue, self.key_id, sent_us, "5000", method, target, *named)
        text = "\n".join((*lines, hashlib.sha256(body).hexdigest()))
        signed = base64.b64encode(self._private.sign(text.encode())).decode()
        return {"Tidemark-Key": self.key_id, "Tidemark-Time": sent_us, "Tidemark-Signature": signed}

    async def _try(self, method: str, target: str, body: Any = None, headers: Mapping[str, str] = {}) -> Answer:
        """Return the answer to one sending."""
        content = b"" if body is None else msgspec.json.encode(body)
        begun_s = time.monotonic()
        sent = {**headers, **({"Content-Type": "application/json"} if content else {})}
        try:
            sent |= await self.signature(method, target, headers, content)
            answer = await self.http.request(method, self.url + target, content=content, headers=sent)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            return Answer(503, {"code": "UNREACHABLE", "error": str(error), "retry": "now"})
        except (httpx2.TransportError, ValueError, AttributeError):  # the last: anyio's word for a socket lost early
            return Answer(0, {})
        said = object_of(answer.content)
        if said.get("code") in ("REQUEST_TIME_INVALID", "SIGNATURE_INVALID") and time.monotonic() - begun_s > 2.0:
            said["retry"] = "now"  # it was under way for too long: it may do with a fresh time
        return Answer(answer.status_code if said or answer.status_code >= 400 else 0, said, answer.headers)

    async def _venue_read(self) -> str:
        return (await self.http.get(f"{self.url}/ready")).json().get("venue") or ""

    def _target(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the address of a route: what is sent is what is signed."""
        given = {"account": self.account or None, **query}
        text = urlencode({name: value for name, value in given.items() if value not in (None, "")})
        return f"{API}/{path}?{text}" if text else f"{API}/{path}"

    async def get(self, path: str, **query: Any) -> Json:
        """Return what a route shows; a gateway that is away for a moment is waited for."""
        return await self.ask("GET", path, **query)

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Json:
        """Return the answer of a route that takes no instruction; what may have happened already is not sent again."""
        deadline_s, pause_s = time.monotonic() + self.patience_s, PAUSE_S
        while True:
            answer = await self._try(method, self._target(path, query), body)
            if 200 <= answer.status < 300:
                return answer.body
            may_repeat = answer.again and (answer.certain or method == "GET" or path == "trade/preview")
            if not may_repeat or time.monotonic() + pause_s > deadline_s:
                raise Refused(answer.status, answer.body)
            pause_s = await rest(pause_s, answer)

    async def send(self, method: str, path: str, body: Any = None, request_id: str = "", **query: Any) -> Outcome:
        """Return the outcome of one instruction, sent again under its id until it is decided."""
        request_id, target = request_id or request_id_make(), self._target(path, query)
        deadline_s, pause_s = time.monotonic() + self.patience_s, PAUSE_S
        newest_us, in_doubt = 0, False
        while True:
            newest_us = max(newest_us + 1, self.now_ns() // 1_000)
            headers = {"Idempotency-Key": request_id, "Request-Time": str(newest_us)}
            answer = await self._try(method, target, body, headers)
            if answer.status == 200:
                return outcome_of(answer)
            in_doubt = in_doubt or not answer.certain
            if not answer.again or time.monotonic() + pause_s > deadline_s:
                break
            pause_s = await rest(pause_s, answer)
        if in_doubt:
            # A sending that is still under way may overtake this answer: only log time tells that it will not.
            return await self._settle(request_id, newest_us + 1, answer)
        raise Refused(answer.status, answer.body)

    async def _settle(self, request_id: str, after_us: int, last: Answer) -> Outcome:
        """Return the outcome once it is certain; raises Refused or Unknown."""
        deadline_s = time.monotonic() + self.settle_s
        target = self._target(f"requests/{quote(request_id, safe='')}", {"ts": after_us})
        while time.monotonic() < deadline_s:
            answer = await self._try("GET", target)
            status = answer.body.get("status")
            if status == "ACCEPTED":
                return outcome_of(answer)
            if status == "NOT_ACCEPTED":
                raise Refused(last.status, {"code": "NOT_ACCEPTED", "retry": "now"} if last.again else last.body)
            await asyncio.sleep(0.5)
        raise Unknown(request_id, after_us)

    async def order(self, market: str, side: str, request_id: str = "", **keys: Unpack[OrderKeys]) -> Outcome:
        """Place an order of any kind on the net position, a market order unless `kind` says otherwise."""
        return await self.send("POST", "trade/order", {"market": market, "side": side, **keys}, request_id)

    async def amend(self, order_id: int, request_id: str = "", **changes: str) -> Outcome:
        """Change qty, price or price_trigger of an order."""
        return await self.send("PATCH", f"trade/order/{order_id}", changes, request_id)

    async def cancel(self, order_id: int = 0, client_order_id: str = "", request_id: str = "") -> Outcome:
        """Cancel one order, by our id or by yours."""
        path = f"trade/order/{order_id}" if order_id else "trade/order"
        return await self.send("DELETE", path, None, request_id, client_order_id=client_order_id)

    async def cancel_all(self, market: str = "", request_id: str = "") -> Outcome:
        """Cancel all orders, or those of one market."""
        return await self.send("DELETE", "trade/orders", None, request_id, market=market)

    async def open(self, market: str, side: str, leverage: int, request_id: str = "", **keys: Any) -> Outcome:
        """Open a ticket by margin or qty, with take_profit and stop_loss."""
        body = {"market": market, "side": side, "leverage": leverage, **keys}
        return await self.send("POST", "trade/create", body, request_id)

    async def close(self, position_id: int, request_id: str = "", **part: str) -> Outcome:
        """Close a position: all of it, by qty or by percent."""
        return await self.send("POST", "trade/close", {"position_id": position_id, **part}, request_id)

    async def history(self, what: str, **query: Any) -> Page:
        """Return a page of closed orders, positions, fills, funding or ledger."""
        return msgspec.convert(await self.get(f"account/history/{what}", **query), Page)

    async def ticker(self, market: str) -> Json:
        """Return a market's last accepted quote and mark."""
        return await self.get(f"market/{market}/ticker")

    async def key_create(self, label: str = "", scopes: Sequence[str] = ("read", "trade"), **more: Any) -> Key:
        """Return a new key for programs; only a session may make one."""
        private = Ed25519PrivateKey.generate()
        secret, public = private.private_bytes_raw(), private.public_key().public_bytes_raw()
        body = {"public_key": base64.b64encode(public).decode(), "label": label, "scopes": scopes, **more}
        made, venue = await self.ask("POST", "keys", body), await self._venue_read()
        return Key(self.url, venue, made["key_id"], base64.b64encode(secret).decode())

    def stream(self, *channels: str, place: str = "", ping_s: float = 60.0) -> "Stream":
        """Return the messages of these channels from now on, or from after a place that an earlier stream reached."""
        return Stream(self, channels, place, ping_s)


class Stream:
    """Messages without end; a lost connection is made again and goes on after `place`, the last event's."""

    def __init__(self, client: Client, channels: Sequence[str], place: str, ping_s: float) -> None:
        self.client, self.channels, self.place, self.ping_s = client, list(channels), place, ping_s
        self.venue = client.venue  # the one that `place` belongs to
        self.connections = 0

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Yield what comes, for ever; raises Refused when the gateway will not have this caller or these channels."""
        pause_s = PAUSE_S
        while True:
            with contextlib.suppress(OSError, TimeoutError, WebSocketException, httpx2.TransportError):
                async with await self._connect() as socket:
                    venue = msgspec.json.decode(await asyncio.wait_for(socket.recv(), PATIENCE_S))["venue"]
                    self.connections += 1
                    asked: Json = {"op": "subscribe", "id": "stream", "channels": self.channels}
                    asked |= {"account": self.client.account} if self.client.account else {}
                    asked |= {"from": self.place, "venue": self.venue or venue} if self.place else {}
                    await socket.send(msgspec.json.encode(asked), text=True)
                    async for told in self._messages(socket):
                        for message in self._read(told, venue):
                            pause_s = PAUSE_S
                            yield message
            pause_s = await rest(pause_s)

    async def _messages(self, socket: ClientConnection) -> AsyncIterator[Json]:
        """Yield what comes; now and then ask how far everything is told, or the place of a quiet account grows old."""
        due_s = time.monotonic() + self.ping_s
        while True:
            with contextlib.suppress(TimeoutError):
                yield msgspec.json.decode(await asyncio.wait_for(socket.recv(), max(0.0, due_s - time.monotonic())))
                continue
            due_s = time.monotonic() + self.ping_s
            await socket.send('{"op":"ping"}')

    async def _connect(self) -> ClientConnection:
        url = "ws" + self.client.url.removeprefix("http") + "/ws"
        headers = await self.client.signature("WS", "/ws", {}, b"")
        try:
            return await connect(url, additional_headers=headers, compression=None, max_size=MESSAGE_BYTES_MAX)
        except InvalidStatus as error:
            status = error.response.status_code
            if status < 500 and status != 429:
                raise Refused(status, object_of(bytes(error.response.body or b""))) from error
            raise

    def _read(self, message: Json, venue: str) -> list[Message]:
        """Return what a message tells the caller, and remember its place."""
        kind, at = message["type"], message.get("at", "")
        if kind == "error" and message.get("id") == "stream":
            if message["retry"] == "now":
                raise ConnectionError(message["code"])
            raise Refused(400, message)
        if kind == "gap":
            return [Message(kind, message["from"], message)]
        if at and kind in ("snapshot", "event", "live", "pong"):
            self.place, self.venue = at, venue
        told = kind in ("snapshot", "event", "update")
        return [msgspec.convert(message | {"kind": kind, "at": at}, Message)] if told else []


def object_of(content: bytes) -> Json:
    """Return the JSON object in an answer, {} when it holds none."""
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(content, type=Json)
    return {}


def outcome_of(answer: Answer) -> Outcome:
    """Return the outcome in an answer."""
    replay = answer.headers.get("Idempotent-Replay") == "true"
    return msgspec.structs.replace(msgspec.convert(answer.body, Outcome), replay=replay)


async def rest(pause_s: float, answer: Answer | None = None) -> float:
    """Wait a moment, as long as the answer asks for; return how long to wait the next time."""
    asked = answer.headers.get("Retry-After", "") if answer else ""
    asked_s = min(PAUSE_MAX_S, float(asked)) if asked.isdecimal() else 0.0
    await asyncio.sleep(max(asked_s, pause_s * random.uniform(0.5, 1.0)))
    return min(PAUSE_MAX_S, 2 * pause_s)


async def main() -> None:
    """Make a key for a program."""
    if len(sys.argv) != 4 or sys.argv[1] != "key":
        sys.exit("usage: python -m tidemark_client key LINK FILE")
    async with await Client.sign_in_link(sys.argv[2]) as client:
        (await client.key_create(label=Path(sys.argv[3]).name)).save(sys.argv[3])


if __name__ == "__main__":
    asyncio.run(main())
