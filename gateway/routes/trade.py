"""Instructions: a body becomes one log entry, its answer is what that entry caused."""

from typing import Any

from starlette.responses import Response

from gateway import schemas
from gateway.answers import outcome_reply
from gateway.calls import Call, Handler, json_answer
from gateway.errors import Refusal
from gateway.orders import Wish, instruction_of
from gateway.schemas import Operation
from shared.codes import ResultCode


def of_body(operation: Operation) -> Handler:
    """Return the handler of an operation whose keys are the request's body."""

    async def handler(call: Call) -> Response:
        call.query()
        return await send(call, operation, schemas.body_object(await call.body()))

    handler.__name__ = operation.op
    return handler


trade_create = of_body(schemas.TRADE_CREATE)
trade_close = of_body(schemas.TRADE_CLOSE)
order_place = of_body(schemas.ORDER_PLACE)
orders_send = of_body(schemas.BATCH)
triggers_set = of_body(schemas.TRIGGERS_SET)
positions_close_all = of_body(schemas.POSITIONS_CLOSE_ALL)
position_reverse = of_body(schemas.POSITION_REVERSE)
margin_change = of_body(schemas.MARGIN_CHANGE)
leverage_set = of_body(schemas.LEVERAGE_SET)
margin_mode_set = of_body(schemas.MARGIN_MODE_SET)
deadman_set = of_body(schemas.DEADMAN_SET)
account_reset = of_body(schemas.ACCOUNT_RESET)
account_guards_set = of_body(schemas.ACCOUNT_GUARDS_SET)
subaccount_open = of_body(schemas.SUBACCOUNT_OPEN)
account_transfer = of_body(schemas.ACCOUNT_TRANSFER)


async def order_amend(call: Call) -> Response:
    """Change one order by our id."""
    call.query()
    return await amend(call, {"order_id": order_id_of_path(call)})


async def order_amend_named(call: Call) -> Response:
    """Change one order by the caller's own name for it."""
    return await amend(call, dict(call.query("client_order_id")))


async def order_cancel(call: Call) -> Response:
    """Cancel one order by our id."""
    call.query()
    return await send(call, schemas.ORDER_CANCEL, {"order_id": order_id_of_path(call)})


async def order_cancel_named(call: Call) -> Response:
    """Cancel one order by the caller's own name for it."""
    return await send(call, schemas.ORDER_CANCEL, dict(call.query("client_order_id")))


async def orders_cancel(call: Call) -> Response:
    """Cancel all orders, or those of one market."""
    return await send(call, schemas.ORDERS_CANCEL, dict(call.query("market")))


def order_id_of_path(call: Call) -> int:
    """Return the order that the address names; raises Refusal when it cannot be one."""
    text = call.request.path_params["order_id"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refusal(ResultCode.ORDER_UNKNOWN.name, {"order_id": text[:64]})
    return int(text)


async def amend(call: Call, named: dict[str, Any]) -> Response:
    """Send an amendment whose order the address names; the body names none."""
    body = schemas.body_object(await call.body())
    if body.keys() & {"order_id", "client_order_id"}:
        raise Refusal(ResultCode.FIELDS_EXCLUSIVE.name, {"fields": ["order_id", "client_order_id"]})
    return await send(call, schemas.ORDER_AMEND, named | body)


async def send(call: Call, operation: Operation, body: dict[str, Any]) -> Response:
    """Return the answer to one operation of the account that the caller acts for."""
    wish = Wish(
        operation,
        body,
        call.account_id,
        call.caller.account_id,
        call.ts_us(),
        call.key(),
        call.request_id_own,
        began_s=call.began_s,
    )
    instruction = instruction_of(wish)
    call.request_id = instruction.request_id
    outcome = await call.desk.room.send(instruction)
    call.answered_s = outcome.answered_s
    reply = outcome_reply(instruction, outcome, wish.account_own)
    return json_answer(call, reply.body, reply.status, **reply.headers)
