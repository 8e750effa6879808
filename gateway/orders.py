"""
The one way of an operation through a gateway, whoever carries it: HTTP and the WebSocket meet here.

A body becomes an instruction under the id that its sender named or that follows from what was sent. What became of it
is a status, a body and headers (`answers.outcome_reply`); a transport adds only how it says them.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway import metering, schemas
from gateway.errors import GatewayCode, Refusal
from gateway.identity import request_id_of_order
from gateway.instructions import Instruction
from gateway.schemas import Operation


class Wish(NamedTuple):
    """An operation as somebody asks for it."""

    operation: Operation
    body: dict[str, Any]
    account_id: int  # that it is for
    account_own: int  # of who asks; the other is one of its sub-accounts, or the same
    ts_us: int  # checked
    key: str | None  # the request id that its sender named
    id_own: Callable[[int], str]  # the id when nothing names one
    via: str = metering.HTTP
    began_s: float | None = None


def instruction_of(wish: Wish) -> Instruction:
    """Return the instruction that a wish is, with its id: a repeat of the same wish has the same; raises Refusal."""
    op = wish.operation.op
    fields = schemas.operation_read(wish.operation, wish.body)
    name = fields.get("client_order_id") if op in schemas.OPS_NAMED else None
    request_id = wish.key or (request_id_of_order(op, name) if name else wish.id_own(wish.ts_us))
    return Instruction(wish.account_id, request_id, op, wish.ts_us, fields, wish.via, wish.began_s)


class Turn:
    """The next place in the log among those of one socket; `end` gives it on, once."""

    def __init__(self, lock: asyncio.Lock) -> None:
        """Keep whose it is."""
        self._lock = lock
        self._held = False

    async def take(self, patience_s: float) -> None:
        """Wait for it; raises Refusal when an earlier instruction is stuck: then this one was never sent."""
        try:
            async with asyncio.timeout(patience_s):
                await self._lock.acquire()
        except TimeoutError:
            raise Refusal(GatewayCode.LOG_UNAVAILABLE, {"reason": "EARLIER_INSTRUCTION_WAITS"}) from None
        self._held = True

    def end(self) -> None:
        """Let the next one have it."""
        if self._held:
            self._held = False
            self._lock.release()
