"""
WS /ws: who may open a socket, what its messages ask for, and how it ends.

A refusal before the socket is open is an HTTP answer like any other. Messages are carried out in the order they came;
instructions run beside each other, because each waits for the venue.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import UNSET
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.desk import Desk, Gateway
from gateway.errors import ERRORS, GatewayCode, Refusal, error_body, error_headers
from gateway.identity import request_id_fresh
from gateway.limits import LimitName, network_of
from gateway.sign_in.callers import Caller, socket_caller
from gateway.sign_in.keys import READ
from gateway.sign_in.signatures import SOCKET_PATH as SOCKET_PATH
from gateway.socket import messages as m
from gateway.socket import old_names, orders_ws
from gateway.socket.channels import OF_PRICES, UPDATED, VALUATION, Channel, channel_of
from gateway.socket.outbox import BACKLOG_MAX, Outbox
from gateway.socket.session import Follow, Place, place_of_text
from gateway.socket.sockets import CLOSE_INTERNAL, CLOSE_REVOKED, FOLLOWINGS_MAX, Socket
from gateway.socket.wires import wire_of
from shared.rules import RULES_VERSION
from shared.streams import StreamsError

PING_S = 20
MESSAGE_BYTES_MAX = 65_536
AUTH_S = 10.0
MALFORMED_MAX = 10
OPERATIONS_MAX = 64  # of one socket under way; the next message waits for one to end
LIMITED_PAUSE_S = 0.05
GOODBYE_S = 1.0
GONE_S = 5.0
CLOSE_BINARY, CLOSE_MALFORMED, CLOSE_TOO_LARGE = 1003, 1007, 1009
SIGN_IN_REFUSED = frozenset({GatewayCode.UNAUTHENTICATED, GatewayCode.SIGNATURE_INVALID, GatewayCode.SOCKETS_MAX})

Operation = Callable[[Socket, Any, float], Awaitable[m.Told | None]]  # the last: when the message came, monotonic


async def socket_serve(websocket: WebSocket) -> None:
    """Serve one socket from its upgrade to its end."""
    gateway: Gateway = websocket.app.state.gateway
    network = network_of(websocket.client.host if websocket.client else None)
    try:
        desk, caller = await admit(gateway, websocket, network)
    except Exception as error:
        await deny(gateway, websocket, error)
        return
    wire = wire_of(websocket)
    socket = Socket(gateway, desk, Outbox(wire, gateway.parts.monotonic_s), network, caller)
    desk.sockets.add(socket)
    try:
        await websocket.accept()
        socket.tell(hello(socket))
        await converse(socket, websocket)
        goodbye = socket.outbox.goodbye
        if goodbye is not None:
            desk.sockets.dropped(goodbye.code)
            await wire.close(goodbye.code, goodbye.reason)
    except (WebSocketDisconnect, OSError):
        pass
    finally:
        socket.close()
        desk.sockets.remove(socket)
    await gone(socket)


async def socket_none(websocket: WebSocket) -> None:
    """Refuse a socket at any other address."""
    await deny(websocket.app.state.gateway, websocket, Refusal(GatewayCode.NOT_FOUND))


async def gone(socket: Socket) -> None:
    """Do what was asked for the moment when this socket is lost; a gateway that stops leaves it to the venue."""
    if socket.desk.sockets.stopping:
        return
    for callback in socket.gone:
        try:
            async with asyncio.timeout(GONE_S):
                await callback()
        except Exception as error:
            socket.gateway.parts.log.warning("socket_gone_failed", reason=type(error).__name__)


async def admit(gateway: Gateway, websocket: WebSocket, network: str) -> tuple[Desk, Caller | None]:
    """Return the desk and who opens a socket; raises Refusal when it must not be opened."""
    gateway.limits.hit(LimitName.ADDRESS, network)
    if gateway.desk is None:
        raise Refusal(GatewayCode.UNAVAILABLE, gateway.state)
    if websocket.scope.get("query_string"):
        # What stands in an address is logged by proxies: no token may ever be there.
        raise Refusal(GatewayCode.QUERY_INVALID, {"reason": "/ws knows no parameters"})
    desk = gateway.desk
    if desk.sockets.stopping:
        raise Refusal(GatewayCode.UNAVAILABLE, {"reason": "this gateway stops"})
    caller = await socket_caller(desk.callers, gateway.parts.settings, websocket)
    desk.sockets.room_check(network, caller)
    return desk, caller


async def deny(gateway: Gateway, websocket: WebSocket, error: Exception) -> None:
    """Refuse an upgrade with the HTTP answer that any route would give."""
    parts = gateway.parts
    if isinstance(error, Refusal):
        refusal = error
    elif isinstance(error, StreamsError):
        refusal = Refusal(GatewayCode.UNAVAILABLE)
    else:
        parts.log.error("socket_refused", route="WS /ws", reason=type(error).__name__, exc_info=error)
        refusal = Refusal(GatewayCode.INTERNAL)
    body = error_body(refusal, request_id_fresh(parts.now_us(), parts.randbits))
    headers = {"Cache-Control": "no-store"} | error_headers(refusal)
    answer = Response(msgspec.json.encode(body), ERRORS[refusal.code].status, headers, "application/json")
    with contextlib.suppress(WebSocketDisconnect, OSError):
        await websocket.send_denial_response(answer)


def hello(socket: Socket) -> m.Hello:
    """Return the first message."""
    limits = {
        "channels": m.CHANNELS_MAX,
        "subscriptions": FOLLOWINGS_MAX,
        "message_bytes": MESSAGE_BYTES_MAX,
        "backlog_bytes": BACKLOG_MAX,
        "operations": OPERATIONS_MAX,
        "sign_in_ms": round(AUTH_S * 1_000),
    }
    seq = str(socket.desk.tail.ring.tip[0])
    return m.Hello(venue=socket.desk.venue, rules=RULES_VERSION, seq=seq, env="paper", ping_s=PING_S, limits=limits)


async def converse(socket: Socket, websocket: WebSocket) -> None:
    """Read and write until the client goes or the socket is to end."""
    writing = asyncio.ensure_future(socket.outbox.run())
    reading = asyncio.ensure_future(read(socket, websocket))
    over = asyncio.ensure_future(socket.outbox.over.wait())
    tasks = {writing, reading, over}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if socket.outbox.goodbye is not None and not over.done():
            # Something is still to be said before the end.
            await asyncio.wait({writing, over}, return_when=asyncio.FIRST_COMPLETED, timeout=GOODBYE_S)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, (WebSocketDisconnect, OSError)):
                socket.gateway.parts.log.error("socket_failed", route="WS /ws", exc_info=result)
                socket.end(CLOSE_INTERNAL, "a mistake of ours", at_once=True)


async def read(socket: Socket, websocket: WebSocket) -> None:
    """Take the client's messages until it goes, or sends what ends the socket."""
    malformed = 0
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            if message.get("code") == CLOSE_TOO_LARGE:
                socket.desk.sockets.dropped(CLOSE_TOO_LARGE)
            return
        text = message.get("text")
        if text is None:
            socket.end(CLOSE_BINARY, "messages are text")
            return
        if not await take(socket, text):
            malformed += 1
            if malformed >= MALFORMED_MAX:
                socket.end(CLOSE_MALFORMED, "too much that is no message")
                return
        if len(socket.running) >= OPERATIONS_MAX:
            await asyncio.wait(socket.running, return_when=asyncio.FIRST_COMPLETED)


async def take(socket: Socket, text: str) -> bool:
    """Carry out one message, or begin to; False when it is none."""
    came_s = socket.gateway.parts.monotonic_s()
    ident: Any = UNSET
    asked: m.Asked | None = None
    try:
        raw = message_object(text)
        ident = ident_of(raw)
        socket.gateway.limits.hit(LimitName.ADDRESS, socket.network)
        old = old_names.operation_of(raw) if "op" not in raw else None
        if old is not None:
            begin(socket, None, ident, old(socket, came_s))
            return True
        asked = message_read(raw)
        inline = INLINE.get(type(asked))
        if inline is None:
            operation: Operation = orders_ws.OPERATIONS[raw["op"]]
            begin(socket, asked, ident, operation(socket, asked, came_s))
            return True
        told = await inline(socket, asked)
        if told is not None:
            socket.tell(told)
    except Exception as error:
        socket.refuse(asked, ident, error)
        code = error.code if isinstance(error, Refusal) else ""
        if code == GatewayCode.RATE_LIMITED:
            await asyncio.sleep(LIMITED_PAUSE_S)  # what it sends meanwhile waits on its own side
        return code != GatewayCode.MESSAGE_MALFORMED
    return True


def begin(socket: Socket, asked: m.Asked | None, ident: Any, operation: Awaitable[m.Told | None]) -> None:
    """Carry out an operation beside the others; it is carried out even when the client goes meanwhile."""

    async def run() -> None:
        try:
            told = await operation
            if told is not None:
                socket.tell(told)
        except Exception as error:
            socket.refuse(asked, ident, error)

    task = asyncio.ensure_future(run())
    socket.running.add(task)
    socket.desk.sockets.keep(task)
    task.add_done_callback(socket.running.discard)


def message_object(text: str) -> dict[str, Any]:
    """Return the JSON object of a message; raises Refusal(MESSAGE_MALFORMED)."""
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refusal(GatewayCode.MESSAGE_MALFORMED, {"reason": str(error)[:200]}) from None
    if not isinstance(raw, dict):
        raise Refusal(GatewayCode.MESSAGE_MALFORMED, {"reason": "not an object"})
    return raw


def ident_of(raw: dict[str, Any]) -> Any:
    """Return a message's id if it is one, so that even a refusal can carry it."""
    try:
        return msgspec.convert(raw.get("id", UNSET), m.Id) if "id" in raw else UNSET
    except msgspec.ValidationError:
        return UNSET


def message_read(raw: dict[str, Any]) -> m.Asked:
    """Return the message that an object is; raises Refusal(MESSAGE_MALFORMED)."""
    op = raw.get("op")
    struct = m.BY_OP.get(op) if isinstance(op, str) else None
    if struct is None:
        raise Refusal(GatewayCode.MESSAGE_MALFORMED, {"reason": "no such op", "known": sorted(m.BY_OP)})
    try:
        return msgspec.convert(raw, struct)
    except msgspec.ValidationError as error:
        raise Refusal(GatewayCode.MESSAGE_MALFORMED, {"op": op, "reason": str(error)[:200]}) from None


# -- what is carried out at once


async def auth_take(socket: Socket, asked: m.Auth) -> m.Told | None:
    """Sign in; whoever may not is told so and the socket ends."""
    if socket.caller is not None:
        raise Refusal(GatewayCode.MESSAGE_MALFORMED, {"reason": "the socket is signed in"})
    parts = socket.gateway.parts
    if parts.monotonic_s() - socket.opened_s > AUTH_S:
        socket.refuse(asked, asked.id, Refusal(GatewayCode.UNAUTHENTICATED, {"reason": "too late"}))
        socket.end(CLOSE_REVOKED, "sign in within ten seconds")
        return None
    socket.gateway.limits.hit(LimitName.PUBLIC, socket.network)
    try:
        caller = await caller_of(socket.desk, asked)
        socket.desk.sockets.signed_in(socket, caller)
    except Refusal as refusal:
        if refusal.code not in SIGN_IN_REFUSED:
            raise
        socket.refuse(asked, asked.id, refusal)
        socket.end(CLOSE_REVOKED, "not signed in")
        return None
    return m.SignedIn(id=asked.id, account_id=caller.account_id, expires_us=caller.expires_us)


async def caller_of(desk: Desk, asked: m.Auth) -> Caller:
    """Return who signs in, by token or by key; raises Refusal."""
    signed = (asked.key, asked.time, asked.signature)
    if isinstance(asked.token, str) and all(value is UNSET for value in (*signed, asked.window)):
        return await desk.callers.by_token(asked.token)
    if asked.token is UNSET and UNSET not in signed:
        window = "" if asked.window is UNSET else str(asked.window)
        return await desk.callers.by_message(str(asked.key), str(asked.time), window, str(asked.signature))
    raise Refusal(GatewayCode.MESSAGE_MALFORMED, {"reason": "token, or key with time, window and signature"})


async def subscribe(socket: Socket, asked: m.Subscribe) -> m.Told | None:
    """Follow channels from a snapshot or a place on."""
    desk = socket.desk
    channels = channels_asked(socket, asked.channels)
    account: int | None = None
    if any(channel.private for channel in channels):
        if not socket.signed_in().may(READ):
            raise Refusal(GatewayCode.SCOPE_MISSING)
        account = await socket.account_of(asked.account)
    full = len(socket.followings) >= FOLLOWINGS_MAX
    if full or socket.channels_with(account, channels) > m.CHANNELS_MAX:
        raise Refusal(GatewayCode.SUBSCRIPTIONS_MAX, {"channels": m.CHANNELS_MAX, "subscriptions": FOLLOWINGS_MAX})
    shown = UNSET if account is None else account
    socket.tell(m.Subscribed(id=asked.id, channels=[channel.name for channel in channels], account=shown))
    told = [channel for channel in channels if channel.topic not in UPDATED]
    socket.unfollow(account, channels)
    if told:
        start = place_of_text(asked.start) if isinstance(asked.start, str) else None
        follow = Follow(told, account, asked.id, start)
        if start is not None and asked.venue not in (UNSET, desk.venue):
            for frame in follow.gap("venue"):
                socket.outbox.put(frame)
        socket.follow(follow)
    else:
        socket.tell(m.Live(id=asked.id, at=Place(*desk.tail.ring.tip).text))
    for channel in channels:
        if channel.topic in OF_PRICES and not channel.private:
            await socket.follow_prices(channel)
        elif channel.topic == VALUATION and account is not None:
            await socket.follow_valuation(account)
    return None


def channels_asked(socket: Socket, names: list[str]) -> list[Channel]:
    """Return the channels of a message, each once, and count it against the limit; raises Refusal."""
    if socket.caller is not None:
        socket.gateway.limits.hit(LimitName.READ, str(socket.caller.account_id))
    else:
        socket.gateway.limits.hit(LimitName.PUBLIC, socket.network)
    markets = {market["market"] for market in socket.desk.markets.all()}
    return [channel_of(name, markets) for name in dict.fromkeys(names)]


async def unsubscribe(socket: Socket, asked: m.Unsubscribe) -> m.Told | None:
    """Follow channels no more."""
    channels = channels_asked(socket, asked.channels)
    account: int | None = None
    if any(channel.private for channel in channels):
        account = await socket.account_of(asked.account)
    names = socket.unfollow(account, channels)
    return m.Unsubscribed(id=asked.id, channels=names, account=UNSET if account is None else account)


async def ping(socket: Socket, asked: m.Ping) -> m.Told | None:
    """Answer a ping, with the place up to which this socket has been told everything."""
    place = socket.complete_to(socket.desk.tail.ring)
    return m.Pong(id=asked.id, at=UNSET if place is None else place.text)


INLINE: dict[type[m.Asked], Callable[[Socket, Any], Awaitable[m.Told | None]]] = {
    m.Auth: auth_take,
    m.Subscribe: subscribe,
    m.Unsubscribe: unsubscribe,
    m.Ping: ping,
}
