"""
The operations over the WebSocket: the same bodies, ids, limits and answers as over HTTP, by the same way.

Instructions of one socket enter the log in the order of its messages; each waits for its answer by itself, so answers
may overtake each other.
"""

from typing import Any, NamedTuple

from msgspec import UNSET

from gateway import metering, schemas
from gateway.answers import Reply, outcome_reply
from gateway.errors import GatewayCode, Refusal
from gateway.identity import request_id_fresh, request_id_of_key
from gateway.instructions import Instruction, ts_read
from gateway.limits import LimitName
from gateway.orders import Turn, Wish, instruction_of
from gateway.schemas import Operation
from gateway.sign_in.callers import Caller
from gateway.sign_in.keys import READ, TRADE
from gateway.socket import messages
from gateway.socket.guard import Guard, switch_body
from gateway.socket.messages import Answer, Asked, CancelOnDisconnect, Ordered, Preview
from gateway.socket.sockets import Socket, later_of

OPERATION_OF: dict[type[Ordered], Operation] = {
    messages.Order: schemas.ORDER_PLACE,
    messages.OrderAmend: schemas.ORDER_AMEND,
    messages.Cancel: schemas.ORDER_CANCEL,
    messages.CancelAll: schemas.ORDERS_CANCEL,
    messages.Trade: schemas.TRADE_CREATE,
    messages.Close: schemas.TRADE_CLOSE,
    messages.Triggers: schemas.TRIGGERS_SET,
    messages.Margin: schemas.MARGIN_CHANGE,
    messages.Leverage: schemas.LEVERAGE_SET,
    messages.Mode: schemas.MARGIN_MODE_SET,
    messages.Deadman: schemas.DEADMAN_SET,
    messages.CloseAll: schemas.POSITIONS_CLOSE_ALL,
    messages.Reverse: schemas.POSITION_REVERSE,
    messages.Batch: schemas.BATCH,
    messages.Reset: schemas.ACCOUNT_RESET,
}


class Sending(NamedTuple):
    """What a message says beside its body: when it came, and what HTTP says in headers and the query."""

    came_s: float
    key: str | None = None
    ts_us: int | None = None
    account: int | None = None


async def order_run(socket: Socket, asked: Asked, came_s: float) -> Answer:
    """Carry out an operation and return its answer; raises Refusal with the request's id."""
    assert isinstance(asked, Ordered)
    key = None if asked.key is UNSET else asked.key
    ts_us = None if asked.ts is UNSET else asked.ts
    account = None if asked.account is UNSET else asked.account
    sending = Sending(came_s, key, ts_us, account)
    reply = await carry_out(socket, OPERATION_OF[type(asked)], asked.body, sending)
    return answer_of(asked, reply)


async def carry_out(
    socket: Socket,
    operation: Operation,
    body: dict[str, Any],
    sending: Sending,
) -> Reply:
    """Return the answer to an operation of a socket, limits and the caller's scope looked at; raises Refusal."""
    parts, desk = socket.gateway.parts, socket.desk
    now_us = parts.now_us()
    instruction: Instruction | None = None
    turn = Turn(socket.turn)
    try:
        await turn.take(parts.settings.response_timeout_s)
        caller = caller_counted(socket, TRADE, LimitName.TRADE)
        account_id = await socket.account_of(UNSET if sending.account is None else sending.account)
        wish = Wish(
            operation,
            body,
            account_id,
            caller.account_id,
            now_us if sending.ts_us is None else ts_read(sending.ts_us, now_us),
            None if sending.key is None else request_id_of_key(sending.key),
            lambda us: request_id_fresh(us, parts.randbits),
            metering.WS,
            sending.came_s,
        )
        instruction = instruction_of(wish)
        outcome = await desk.room.send(instruction, turn.end)
        reply = outcome_reply(instruction, outcome, caller.account_id)
    except Refusal as refusal:
        if refusal.request_id is None:
            named = instruction.request_id if instruction else request_id_fresh(now_us, parts.randbits)
            refusal.request_id = named
        raise
    finally:
        turn.end()
    parts.meters.stage(metering.ANSWER, metering.WS, parts.monotonic_s() - outcome.answered_s)
    return reply


def caller_counted(socket: Socket, scope: str, limit: str) -> Caller:
    """Return who acts here, once more counted against a limit; raises Refusal when they may not, or not now."""
    caller = socket.signed_in()
    if not caller.may(scope):
        raise Refusal(GatewayCode.SCOPE_MISSING)
    socket.gateway.limits.hit(limit, str(caller.account_id))
    return caller


async def preview_run(socket: Socket, asked: Asked, _came_s: float) -> Answer:
    """Return what an operation would do; nothing is sent."""
    assert isinstance(asked, Preview)
    parts = socket.gateway.parts
    caller_counted(socket, READ, LimitName.READ)
    body = await socket.desk.calculator.preview(await socket.account_of(asked.account), asked.body)
    return Answer(id=asked.id, status=200, body=body | {"request_id": request_id_fresh(parts.now_us(), parts.randbits)})


async def guard_run(socket: Socket, asked: Asked, came_s: float) -> Answer:
    """Begin or end to guard an account's orders by this socket's life, and return what the venue says to it."""
    assert isinstance(asked, CancelOnDisconnect)
    account_id = await socket.account_of(asked.account)
    guard = Guard.of(socket)
    # Before it is sent, so that no renewal of what was before can follow it into the log.
    before = guard.put(account_id, asked.scope if asked.enabled else None)
    try:
        body = switch_body(asked.enabled, asked.scope)
        reply = await carry_out(socket, schemas.DEADMAN_SET, body, Sending(came_s, account=account_id))
    except Refusal:
        guard.put(account_id, before)
        raise
    return answer_of(asked, reply)


def answer_of(asked: Asked, reply: Reply) -> Answer:
    """Return the message that an answer is."""
    later = later_of(reply.headers)
    return Answer(id=asked.id, status=reply.status, body=reply.body, replay=reply.replay, retry_after_s=later)


OPERATIONS = {
    **{str(struct.__struct_config__.tag): order_run for struct in OPERATION_OF},
    str(Preview.__struct_config__.tag): preview_run,
    str(CancelOnDisconnect.__struct_config__.tag): guard_run,
}
