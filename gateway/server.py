"""The server around the routes: uvicorn, with a time for each header, a bound on connections, and our WebSockets."""

import asyncio
import contextlib
import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.app import app_build
from gateway.desk import Gateway
from gateway.limits import network_of
from gateway.one_write import OneWrite
from gateway.socket.websocket import MESSAGE_BYTES_MAX, PING_S
from gateway.socket.wires import SocketProtocol

HEADER_S = 10.0
HEADER_BYTES_MAX = 65_536  # of one request: its address and headers, trailing ones included
HEADER_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
KEEP_ALIVE_S = 30
STOP_S = 5
CONNECTIONS_MAX = 2_048  # one more is answered 503
CONNECTIONS_ADDRESS_MAX = 256  # of one network address, times the factor of the limits; a named proxy has no bound
CONNECTIONS_FULL = b"HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"


class Room:
    """How many connections each network address holds, WebSockets left out: they are counted as such."""

    def __init__(self, held_max: int, proxies: Iterable[str]) -> None:
        """Start empty; `proxies` are addresses and networks that stand for many callers."""
        self.held_max = held_max
        self.held: Counter[str] = Counter()
        self._proxies = [ipaddress.ip_network(proxy) for proxy in proxies]

    def enter(self, host: str) -> str | None:
        """Count a connection and return under which name, "" for one that is not counted; None when it is too many."""
        with contextlib.suppress(ValueError):
            if any(ipaddress.ip_address(host) in proxy for proxy in self._proxies):
                return ""
        network = network_of(host)
        if self.held[network] >= self.held_max:
            return None
        self.held[network] += 1
        return network

    def leave(self, network: str) -> None:
        """Count a connection no longer."""
        self.held[network] -= 1
        if self.held[network] <= 0:
            del self.held[network]


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP; a connection that completes no header in time is closed, as is one too many of a caller."""

    room: Room
    network = ""  # under which name it is counted
    header_timer: asyncio.TimerHandle | None = None
    header_bytes = 0  # of the request that is being read
    loose_bytes = 0  # came in since the parser last made anything of them
    transport: Any
    taken = False  # whether it made anything of the newest

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first header."""
        super().connection_made(transport)
        network = self.room.enter((transport.get_extra_info("peername") or ("",))[0])
        if network is None:
            transport.write(CONNECTIONS_FULL)
            transport.close()
            return
        self.network = network
        self.transport = OneWrite(transport, self.loop)
        self.header_begins()

    def data_received(self, data: bytes) -> None:
        """Read what came in; end the connection when a request's header has no end."""
        self.taken = False
        super().data_received(data)
        self.loose_bytes = 0 if self.taken else self.loose_bytes + len(data)
        if max(self.loose_bytes, self.header_bytes) > HEADER_BYTES_MAX and not self.transport.is_closing():
            if self.header_timer is not None:
                self.transport.write(HEADER_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to wait for a later header."""
        self.header_bytes = 0
        super().on_message_begin()
        self.header_begins()

    def on_url(self, url: bytes) -> None:
        """Count the address, which may come in pieces."""
        self.header_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; a trailing one is as good as any to flood us with."""
        self.taken = True
        self.header_bytes += len(name) + len(value)
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Note that the body goes on."""
        self.taken = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        self.taken = True
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        self.header_ends()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self.header_ends()
        self.room_leave()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; from now on it is a socket."""
        self.room_leave()
        if isinstance(self.transport, OneWrite):
            self.transport = self.transport.bare
        super().handle_websocket_upgrade()

    def room_leave(self) -> None:
        """Make room for another connection of this caller."""
        if self.network:
            self.room.leave(self.network)
            self.network = ""

    def header_begins(self) -> None:
        """Set the timer, unless it runs."""
        if self.header_timer is None:
            self.header_timer = self.loop.call_later(HEADER_S, self.header_late)

    def header_ends(self) -> None:
        """Clear the timer."""
        if self.header_timer is not None:
            self.header_timer.cancel()
            self.header_timer = None

    def header_late(self) -> None:
        """Close the connection; while an answer is under way it may be we who do not read, so wait on."""
        self.header_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self.header_begins()
        else:
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn, stopped by us: its own handlers raise the signal again at the end, as if we had been killed."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        """Keep the gateway, whose sockets are told before a stop."""
        super().__init__(config)
        self._gateway = gateway

    async def shutdown(self, sockets: Any = None) -> None:
        """Take no more connections, tell the sockets and let them go, then end as uvicorn does."""
        for server in self.servers:
            server.close()
        if self._gateway.desk is not None:
            await self._gateway.desk.sockets.shutdown()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Install no handlers."""
        yield


def server_build(gateway: Gateway) -> Server:
    """Return the HTTP server of a gateway."""
    settings = gateway.parts.settings
    room = Room(CONNECTIONS_ADDRESS_MAX * settings.rate_limit_factor, settings.proxies)
    return Server(
        uvicorn.Config(
            app_build(gateway),
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http=type("Protocol", (Protocol,), {"room": room}),
            ws=SocketProtocol,
            ws_max_size=MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=list(settings.proxies),
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
            backlog=2_048,
        ),
        gateway,
    )
