"""
The door of a simulated gateway: instructions go in as a route gets them, answers come out as HTTP says them.

The call runs inside the gateway's process and dies with it; the client, who is outside, then hears nothing.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.calls import Call, refuse
from gateway.desk import Gateway
from gateway.errors import GatewayCode, Refusal
from gateway.identity import request_id_fresh
from gateway.routes.requests import request_show
from gateway.shapes import SCOPES
from gateway.sign_in.callers import SESSION, Caller
from shared.streams import StreamsError
from tests.simulation.clients import Reply
from tests.simulation.loop import Process
from tests.simulation.wishes import Wish


class Crash(NamedTuple):
    """A process that ended by an exception which nobody expected, or a call that did."""

    process: str
    text: str


class DoorCall(Call):
    """One call as a route gets it, of a caller who has signed in."""

    def __init__(self, gateway: Gateway, account: int, headers: dict[str, str], **scope: Any) -> None:
        pairs = [(name.encode(), text.encode()) for name, text in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": pairs, "query_string": b"", **scope}
        request = Request(scope)
        super().__init__(gateway, request, request_id_fresh(gateway.parts.now_us(), gateway.parts.randbits))
        self._caller = Caller(account, SESSION, "", 0, frozenset(SCOPES))
        self._account_id = account


class GatewayDoor:
    """What clients see of one gateway's life; an answer that it does not live to give is None."""

    def __init__(self, world: Any, process: Process, gateway: Gateway) -> None:
        self.world = world
        self.process = process
        self.gateway = gateway

    async def send(self, account: int, key: str, ts_us: int, wish: Wish) -> Reply | None:
        """Return the answer to an instruction."""
        call = DoorCall(self.gateway, account, {"idempotency-key": key, "request-time": str(ts_us)})
        return await self.within(call, lambda: self.world.cast.send(call, wish.operation, wish.body))

    async def ask(self, account: int, request_id: str, ts_us: int) -> Reply | None:
        """Return the answer to a question."""
        call = DoorCall(
            self.gateway, account, {}, query_string=b"ts=%d" % ts_us, path_params={"request_id": request_id}
        )
        return await self.within(call, lambda: request_show(call))

    async def account_open(self, owner: str) -> int | None:
        """Return the account of an owner."""

        async def opened() -> Response:
            account = await call.desk.account_open(owner)
            return Response(orjson.dumps({"account": account}))

        call = DoorCall(self.gateway, 0, {})
        reply = await self.within(call, opened)
        return reply.body.get("account") if reply is not None else None

    async def within(self, call: Call, handler: Callable[[], Awaitable[Response]]) -> Reply | None:
        """Return what a handler answers inside the gateway's process, None when that dies first."""
        reply: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

        def lost() -> None:
            if not reply.done():
                reply.set_result(None)

        async def run() -> None:
            response = await self.answer(call, handler)
            if not reply.done():
                reply.set_result(Reply(response.status_code, orjson.loads(bytes(response.body))))

        self.process.on_kill.append(lost)
        self.process.task(run(), "call")
        try:
            return await reply
        finally:
            self.process.on_kill.remove(lost)

    async def answer(self, call: Call, handler: Callable[[], Awaitable[Response]]) -> Response:
        """Return the response that a handler gives or raises, as every route does."""
        try:
            return await handler()
        except Refusal as refusal:
            return refuse(call, refusal)
        except StreamsError:
            return refuse(call, Refusal(GatewayCode.VIEW_UNAVAILABLE))
        except Exception:
            self.world.crashes.append(Crash(self.process.name, traceback.format_exc()))
            return refuse(call, Refusal(GatewayCode.INTERNAL))
