"""The order calculator: what an instruction would do, without sending it."""

from starlette.responses import Response

from gateway import schemas
from gateway.calls import Call, json_answer


async def preview_show(call: Call) -> Response:
    """Answer what an instruction of the account acted for would do now; a refusal by the venue is an answer too."""
    call.query()
    body = schemas.body_object(await call.body())
    return json_answer(call, await call.desk.calculator.preview(call.account_id, body))
