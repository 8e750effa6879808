"""All prices in one answer, at the address where front ends of other back ends look for them."""

import asyncio
from typing import Any

from starlette.responses import Response

from gateway.calls import Call, json_answer
from gateway.desk import Desk
from gateway.errors import Refusal
from gateway.prices import price_row


async def prices_show(call: Call) -> Response:
    """Answer the prices of every market; one that the engine has not written yet is not fresh and has none."""
    call.query()
    return json_answer(call, {"prices": await prices_read(call.desk)})


async def prices_read(desk: Desk) -> dict[str, dict[str, Any]]:
    """Return each market's prices; raises StreamsError."""
    names = [market["market"] for market in desk.markets.all()]
    rows = await asyncio.gather(*(price_read(desk, name) for name in names))
    return dict(zip(names, rows, strict=True))


async def price_read(desk: Desk, market: str) -> dict[str, Any]:
    """Return one market's prices."""
    try:
        return price_row(await desk.views.market(market))
    except Refusal:
        return price_row({})
