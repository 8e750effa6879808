"""
Cancel on disconnect: while a socket lives the account's dead-man's switch is put forward, again and again.

The promise rides on the engine's switch, so that it holds when the gateway dies: then the orders go after ARMED_MS.
When only the socket is lost its gateway shortens the time to GRACE_MS, within which a client may come back and say
`cancel_on_disconnect` anew. A gateway that is stopped leaves the switch as it is: the client goes to another one.
"""

import asyncio
import contextlib
from typing import Any

from gateway import metering, schemas
from gateway.answers import OK
from gateway.desk import Desk
from gateway.errors import Refusal
from gateway.identity import request_id_fresh
from gateway.instructions import Instruction
from gateway.orders import Turn
from gateway.socket.sockets import Socket
from shared.streams import StreamsError

ARMED_MS = 15_000
GRACE_MS = 5_000  # the shortest that the engine takes
# Sooner than GRACE_MS: another socket of the account that lives puts the switch forward before it goes off.
RENEW_S = 4.0
RETRY_S = 0.5
LOST_TRIES = 3
LOST_TIMEOUT_S = 4.5


def switch_body(enabled: bool, scope: str) -> dict[str, Any]:
    """Return the body of deadman_set that arms an account's switch, or turns it off."""
    return {"timeout_ms": ARMED_MS, "scope": scope} if enabled else {"timeout_ms": 0}


class Guard:
    """The accounts whose orders one socket guards; called once when the socket is lost."""

    def __init__(self, socket: Socket) -> None:
        """Guard nothing yet."""
        self._desk: Desk = socket.desk
        self._turn = socket.turn
        self._tasks = socket.tasks
        self._scopes: dict[int, str] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._lost = False

    @classmethod
    def of(cls, socket: Socket) -> "Guard":
        """Return the guard of a socket, its only one."""
        for called in socket.gone:
            if isinstance(called, Guard):
                return called
        guard = cls(socket)
        socket.gone.append(guard)
        return guard

    def put(self, account_id: int, scope: str | None) -> str | None:
        """Guard an account with a scope from now on, or no longer, and return how it was guarded before."""
        before = self._scopes.pop(account_id, None)
        if scope is not None and not self._lost:  # once the socket is lost its switches are left to run out
            self._scopes[account_id] = scope
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.ensure_future(self._renew())
                self._tasks.add(self._renewing)
                self._renewing.add_done_callback(self._tasks.discard)
        return before

    async def _renew(self) -> None:
        """Put every switch forward, again and again, as long as there is one."""
        pause_s = RENEW_S
        while True:
            await asyncio.sleep(pause_s)
            if not self._scopes:
                return
            sending = asyncio.ensure_future(self._renew_once())
            self._desk.sockets.keep(sending)
            # Shielded: one that was sent ends before the socket's last word is, and so stands before it in the log.
            pause_s = RENEW_S if await asyncio.shield(sending) else RETRY_S

    async def _renew_once(self) -> bool:
        """Put every switch forward and return whether the venue took all."""
        return all(await asyncio.gather(*(self._send(account_id, ARMED_MS) for account_id in list(self._scopes))))

    async def __call__(self) -> None:
        """The socket is lost: shorten the time of every switch; one that cannot be told runs out by itself."""
        self._lost = True
        if self._renewing is not None:
            self._renewing.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOST_TIMEOUT_S):
                await asyncio.gather(*(self._shorten(account_id) for account_id in list(self._scopes)))
        self._scopes.clear()

    async def _shorten(self, account_id: int) -> None:
        """Shorten the time of one switch, trying again while the log cannot be written."""
        for _ in range(LOST_TRIES):
            if await self._send(account_id, GRACE_MS):
                return
            await asyncio.sleep(RETRY_S)

    async def _send(self, account_id: int, timeout_ms: int) -> bool:
        """Set an account's switch, in turn with what the client sends, and return whether the venue took it."""
        desk = self._desk
        turn = Turn(self._turn)
        try:
            await turn.take(desk.parts.settings.response_timeout_s)
            scope = self._scopes.get(account_id)
            if scope is None or (self._lost and timeout_ms != GRACE_MS):
                return True
            now_us = desk.parts.now_us()
            fields = schemas.operation_read(schemas.DEADMAN_SET, {"timeout_ms": timeout_ms, "scope": scope})
            request_id = request_id_fresh(now_us, desk.parts.randbits)
            instruction = Instruction(account_id, request_id, schemas.DEADMAN_SET.op, now_us, fields, metering.WS)
            outcome = await desk.room.send(instruction, turn.end)
        except (Refusal, StreamsError):
            return False
        finally:
            turn.end()
        return outcome.cause is not None and outcome.cause.response["result"] == OK
