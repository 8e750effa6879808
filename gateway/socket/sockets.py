"""
The open WebSockets of one gateway: what one is to those who serve it, how many there may be, and who is watched.

A socket acts for whoever signed in on it, follows channels, and ends with a code that says why.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from gateway.errors import ERRORS, GatewayCode, Refusal, error_body, error_headers
from gateway.identity import request_id_fresh
from gateway.ring import Ring
from gateway.sign_in.callers import Caller
from gateway.socket.channels import VALUATION, Channel
from gateway.socket.joining import Following
from gateway.socket.messages import Answer, Asked, Error, Ordered, ServerShutdown, Told
from gateway.socket.outbox import BACKLOG_MAX, Outbox
from gateway.socket.session import Follow, Place, encode
from gateway.socket.valuation_feed import newest_name
from shared.database import DatabaseError
from shared.streams import StreamsError

if TYPE_CHECKING:
    from gateway.desk import Desk, Gateway

SOCKETS_MAX = 1_500
SOCKETS_ADDRESS_MAX = 100  # times the factor of the rate limits
SOCKETS_ACCOUNT_MAX = 20  # times the factor
FOLLOWINGS_MAX = 32
LOOK_S = 1.0
CALLER_LOOK_S = 5.0
LOOK_PHASES = 5
STUCK_S = 10.0  # a client with a full outbox that took nothing for so long
SHUTDOWN_MS = 500
CLOSE_REVOKED, CLOSE_BACKLOG, CLOSE_RESTART, CLOSE_INTERNAL = 1008, 1013, 1012, 1011


class Socket:
    """One WebSocket, as its operations see it."""

    def __init__(self, gateway: "Gateway", desk: "Desk", outbox: Outbox, network: str, caller: Caller | None) -> None:
        """Begin; `caller` is None until somebody signs in."""
        self.gateway = gateway
        self.desk = desk
        self.outbox = outbox
        self.network = network
        self.caller = caller
        self.opened_s = gateway.parts.monotonic_s()
        self.followings: list[Following] = []
        self.prices: dict[str, Channel] = {}
        self.valuations: set[int] = set()  # the accounts whose worth is followed
        self.turn = asyncio.Lock()  # whose instruction is next: they enter the log in the order of the messages
        self.turn_leverage = asyncio.Lock()  # who sets a leverage and orders at it
        self.tasks: set[asyncio.Task[None]] = set()  # what is done for it in the background, ended with it
        self.gone: list[Callable[[], Awaitable[None]]] = []  # once, when the socket is lost while this gateway goes on
        self.running: set[asyncio.Task[None]] = set()  # operations under way
        self.look_next_s = 0.0  # when it is looked at whether the caller may stay

    def tell(self, message: Told) -> None:
        """Send a message after all others."""
        self.outbox.put(encode(message))

    def signed_in(self) -> Caller:
        """Return who acts here; raises Refusal(UNAUTHENTICATED)."""
        if self.caller is None:
            raise Refusal(GatewayCode.UNAUTHENTICATED)
        return self.caller

    async def account_of(self, given: int | UnsetType) -> int:
        """Return the account that a message acts for: the caller's, or the sub-account it names; raises Refusal."""
        own = self.signed_in().account_id
        if given is UNSET or given == own:
            return own
        if await self.desk.views.main_of(given) != own:
            expected = "the session's account or one of its sub-accounts"
            raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": "account", "expected": expected})
        return given

    def refuse(self, asked: Asked | None, ident: Any, error: Exception) -> None:
        """Tell why a message was not carried out: an operation gets an answer, everything else an error."""
        parts = self.gateway.parts
        refusal = self.refusal_of(error)
        body = error_body(refusal, request_id_fresh(parts.now_us(), parts.randbits))
        later = later_of(error_headers(refusal))
        if isinstance(asked, Ordered):
            self.tell(Answer(id=ident, status=ERRORS[refusal.code].status, body=body, retry_after_s=later))
            return
        body.pop("seq", None)
        self.tell(Error(id=ident, retry_after_s=later, **body))

    def refusal_of(self, error: Exception) -> Refusal:
        """Return the refusal that an error means; one that nobody foresaw is logged."""
        log = self.gateway.parts.log
        if isinstance(error, Refusal):
            return error
        if isinstance(error, StreamsError):
            log.warning("streams_failed", route="WS /ws", reason=type(error).__name__)
            return Refusal(GatewayCode.VIEW_UNAVAILABLE)
        if isinstance(error, DatabaseError):
            log.warning("database_failed", route="WS /ws", reason=type(error).__name__)
            return Refusal(GatewayCode.HISTORY_UNAVAILABLE)
        log.error("socket_failed", route="WS /ws", reason=type(error).__name__, exc_info=error)
        return Refusal(GatewayCode.INTERNAL)

    def end(self, code: int, reason: str, at_once: bool = False) -> None:
        """End the socket, after what waits to be sent or instead of it."""
        self.outbox.end(code, reason, at_once)

    # -- followings

    def follow(self, follow: Follow) -> None:
        """Begin a following; its channels are followed nowhere else on this socket."""
        self.unfollow(follow.account, list(follow.channels.values()))
        following = Following(self.desk.source, follow, self.outbox, self._failed)
        self.followings.append(following)
        following.start()

    async def follow_prices(self, channel: Channel) -> None:
        """Begin to take the prices of a channel."""
        self.prices[channel.name] = channel
        await self.desk.feed.add(self.outbox, channel)

    async def follow_valuation(self, account: int) -> None:
        """Begin to take what an account is worth."""
        self.valuations.add(account)
        await self.desk.valuations.add(self.outbox, account)

    def unfollow_valuation(self, account: int) -> None:
        """Take that no more."""
        self.valuations.remove(account)
        self.desk.valuations.remove(self.outbox, account)
        self.outbox.drop_newest(newest_name(account))

    def unfollow(self, account: int | None, channels: Sequence[Channel]) -> list[str]:
        """Follow these channels no more; return the names of those that were followed."""
        ended = {channel.name for channel in channels if channel.name in self.prices}
        for name in ended:
            self.desk.feed.remove(self.outbox, self.prices.pop(name))
            self.outbox.drop_newest(name)
        if account in self.valuations and any(channel.topic == VALUATION for channel in channels):
            self.unfollow_valuation(account)
            ended.add(VALUATION)
        for following in list(self.followings):
            theirs = following.follow
            mine = [
                channel.name
                for channel in channels
                if channel.name in theirs.channels and (not channel.private or theirs.account == account)
            ]
            ended.update(mine)
            if len(mine) == len(theirs.channels):
                following.stop()
                self.followings.remove(following)
            elif mine:
                following.narrow(mine)
        return [channel.name for channel in channels if channel.name in ended]

    def channels_with(self, account: int | None, channels: Sequence[Channel]) -> int:
        """Return how many channels are followed once these are."""
        follows = [following.follow for following in self.followings]
        now = {_whose(follow.account, channel) for follow in follows for channel in follow.channels.values()}
        prices = {_whose(None, channel) for channel in self.prices.values()}
        prices |= {(each, VALUATION) for each in self.valuations}
        return len(now | prices | {_whose(account, channel) for channel in channels})

    def complete_to(self, ring: Ring) -> Place | None:
        """Return up to where every followed channel is told, None when that is not known."""
        places = [following.follow.complete_to(ring) for following in self.followings]
        known = [place for place in places if place is not None]
        return min(known) if known and len(known) == len(places) else None

    def owed_bytes(self) -> int:
        """Return how much waits for this client: here, in the connection, and in the ring."""
        return self.outbox.backlog_bytes + sum(following.follow.owed_bytes for following in self.followings)

    def close(self) -> None:
        """Stop all followings, prices, and all that is done in the background."""
        for following in self.followings:
            following.stop()
        self.followings.clear()
        for channel in self.prices.values():
            self.desk.feed.remove(self.outbox, channel)
        self.prices.clear()
        for account in list(self.valuations):
            self.unfollow_valuation(account)
        for task in self.tasks:
            task.cancel()

    def _failed(self, following: Following, error: Exception) -> None:
        """End a following that cannot go on, and say why."""
        following.stop()
        if following in self.followings:
            self.followings.remove(following)
            self.refuse(None, following.follow.ident, error)


class Sockets:
    """All sockets of one gateway."""

    def __init__(self, gateway_factor: int, monotonic_s: Callable[[], float], dropped: Callable[[int], None]) -> None:
        """Start with none; `dropped` counts those that this gateway ends."""
        self._factor = gateway_factor
        self._monotonic_s = monotonic_s
        self._open: dict[Socket, None] = {}
        self._networks: Counter[str] = Counter()
        self._accounts: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self.dropped = dropped
        self.stopping = False

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def backlog_bytes(self) -> int:
        """Return what waits for the slowest client."""
        return max((socket.owed_bytes() for socket in self._open), default=0)

    def room_check(self, network: str, caller: Caller | None) -> None:
        """Raise Refusal(SOCKETS_MAX) when there is no room for one more."""
        if len(self._open) >= SOCKETS_MAX:
            raise Refusal(GatewayCode.SOCKETS_MAX, {"sockets_max": SOCKETS_MAX})
        address_max = SOCKETS_ADDRESS_MAX * self._factor
        if self._networks[network] >= address_max:
            raise Refusal(GatewayCode.SOCKETS_MAX, {"sockets_address_max": address_max})
        if caller is not None:
            self.account_check(caller)

    def account_check(self, caller: Caller) -> None:
        """Raise Refusal(SOCKETS_MAX) when the account has as many as it may."""
        account_max = SOCKETS_ACCOUNT_MAX * self._factor
        if self._accounts[caller.account_id] >= account_max:
            raise Refusal(GatewayCode.SOCKETS_MAX, {"sockets_account_max": account_max})

    def add(self, socket: Socket) -> None:
        """Count an open socket."""
        # Not all at once: each look asks Postgres.
        socket.look_next_s = self._monotonic_s() + CALLER_LOOK_S * ((len(self._open) % LOOK_PHASES + 1) / LOOK_PHASES)
        self._open[socket] = None
        self._empty.clear()
        self._networks[socket.network] += 1
        if socket.caller is not None:
            self._accounts[socket.caller.account_id] += 1

    def signed_in(self, socket: Socket, caller: Caller) -> None:
        """Count a socket for whoever signed in on it; raises Refusal(SOCKETS_MAX)."""
        assert socket.caller is None
        self.account_check(caller)
        socket.caller = caller
        self._accounts[caller.account_id] += 1

    def remove(self, socket: Socket) -> None:
        """Count a socket no more."""
        del self._open[socket]
        if not self._open:
            self._empty.set()
        _uncount(self._networks, socket.network)
        if socket.caller is not None:
            _uncount(self._accounts, socket.caller.account_id)

    def keep(self, task: "asyncio.Task[Any]") -> None:
        """Keep a task from being forgotten until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def all(self) -> list[Socket]:
        """Return the open sockets."""
        return list(self._open)

    async def run(self) -> None:
        """Look every second who does not read, and at each socket every five seconds whether its caller may stay."""
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = self._monotonic_s()
            for socket in self.all():
                reader_look(socket)
                if socket.caller is not None and now_s >= socket.look_next_s:
                    socket.look_next_s = now_s + CALLER_LOOK_S
                    self.keep(asyncio.ensure_future(caller_look(socket, socket.caller)))

    async def shutdown(self) -> None:
        """Tell every client that this gateway stops, give them a moment, and close."""
        self.stopping = True
        for socket in self.all():
            socket.tell(ServerShutdown(in_ms=SHUTDOWN_MS))
        running = [task for socket in self.all() for task in socket.running]
        if running:
            await asyncio.wait(running, timeout=SHUTDOWN_MS / 1_000)
        for socket in self.all():
            socket.end(CLOSE_RESTART, "this gateway stops; another takes `from`")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_MS / 1_000):
                await self._empty.wait()


def _whose(account: int | None, channel: Channel) -> tuple[int | None, str]:
    """Return what tells a channel from another: of a private one also the account."""
    return account if channel.private else None, channel.name


def later_of(headers: Mapping[str, str]) -> int | UnsetType:
    """Return in how many seconds HTTP's headers ask to come back, UNSET when they do not."""
    return int(headers["Retry-After"]) if "Retry-After" in headers else UNSET


def reader_look(socket: Socket) -> None:
    """End a socket whose client does not read while more than it may be owed waits for it."""
    outbox = socket.outbox
    stalled_s = outbox.stalled_s()
    if (stalled_s >= LOOK_S and socket.owed_bytes() > BACKLOG_MAX) or (stalled_s >= STUCK_S and outbox.full):
        socket.end(CLOSE_BACKLOG, "backlog", at_once=True)


async def caller_look(socket: Socket, caller: Caller) -> None:
    """End a socket whose session or key has expired or was ended."""
    try:
        if not await socket.desk.callers.holds(caller, LOOK_S):
            socket.end(CLOSE_REVOKED, "the session or key has ended", at_once=True)
    except (Refusal, StreamsError, DatabaseError):
        return  # nobody can say now; the next look asks again


def _uncount(counter: Counter[Any], name: Any) -> None:
    """Take one off, and a name that has none left out."""
    counter[name] -= 1
    if counter[name] <= 0:
        del counter[name]
