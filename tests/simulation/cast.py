"""
What a simulated venue is built of: the shipped classes, each of which a planted bug may replace by one of its own.

A bug is thus another cast, never a patch; whatever stands here by default is what the real processes run.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.responses import Response

from engine.wiring import Engine
from engine.writer import Desk, RowDesk
from gateway.calls import Call
from gateway.routes.trade import send
from gateway.schemas import Operation
from persister.__main__ import Persister
from shared.streams import Streams, StreamsAsync

Send = Callable[[Call, Operation, dict[str, Any]], Awaitable[Response]]


def database_as_it_is(database: Any) -> Any:
    """Return the connection to Postgres as it is."""
    return database


class Around:
    """Passes everything on to what it stands around, but for what a subclass does itself."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Cast(NamedTuple):
    """Who plays which part."""

    engine: type[Engine] = Engine
    streams: type[Streams] = Streams  # of an engine
    streams_async: type[StreamsAsync] = StreamsAsync  # of poller, gateways and persister
    persister: type[Persister] = Persister
    database: Callable[[Any], Any] = database_as_it_is  # of the persister
    desk: type[Desk] = Desk  # of the engine's second process
    rows: type[RowDesk] = RowDesk
    send: Send = send  # an instruction on its way through a gateway


SHIPPED = Cast()
