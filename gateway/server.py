"""The HTTP server around the routes: uvicorn, with a time for each header and a bound on connections."""

import asyncio
import contextlib

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.app import app_build
from gateway.desk import Gateway

HEADER_S = 10.0
KEEP_ALIVE_S = 30
STOP_S = 5
CONNECTIONS_MAX = 2_048  # one more is answered 503


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP; a connection that does not complete a header in time is closed."""

    header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first header."""
        super().connection_made(transport)
        self.header_begins()

    def on_message_begin(self) -> None:
        """Begin to wait for a later header."""
        super().on_message_begin()
        self.header_begins()

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        self.header_ends()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self.header_ends()
        super().connection_lost(exc)

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

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Install no handlers."""
        yield


def server_build(gateway: Gateway) -> Server:
    """Return the HTTP server of a gateway."""
    settings = gateway.parts.settings
    return Server(
        uvicorn.Config(
            app_build(gateway),
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http=Protocol,
            ws="none",
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
        )
    )
