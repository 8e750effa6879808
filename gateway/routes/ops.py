"""What operators see of the venue: its engine, its processes, who is near to liquidation, what happened last."""

import asyncio
from typing import Any, NamedTuple

from starlette.responses import Response

from gateway import ops
from gateway.answers import ENVIRONMENT
from gateway.calls import Call, json_answer
from gateway.errors import GatewayCode, Refusal
from gateway.sign_in.auth import OPERATOR
from shared.streams import StreamsError

PATIENCE_S = 1.0  # with a Redis that hangs
ROLE_COMMAND = "./scripts/tidemark user role EMAIL operator"


class Stated(NamedTuple):
    """What engine and persister have left in Redis."""

    fields: dict[str, str]  # for operators
    views: dict[str, dict[str, str]]  # by market
    insurance: dict[str, Any]


async def ops_show(call: Call) -> Response:
    """Answer operators alone: everything that one look at the venue needs, also while much of it is away."""
    call.query()
    await operator_check(call)
    desk, now_us = call.desk, call.gateway.parts.now_us()
    watch, stated = desk.watch, await stated_read(call)
    beats = {**watch.beats, **call.gateway.beat}
    missing = watch.missing()
    body: dict[str, Any] = {"venue": desk.venue, "time_us": now_us, "tip_seq": str(watch.tip[0])}
    body |= {"status": "not ready" if missing else "ready", "missing": missing, "degraded": watch.degraded()}
    body |= {"engines_wanted": watch.engines_wanted, "processes": ops.processes_body(beats)}
    body |= {"readers": ops.readers_body(beats)}
    markets = desk.markets.all()
    body["markets"] = [ops.market_body(each, stated.views.get(each["market"], {}), now_us) for each in markets]
    body |= {"engine": ops.engine_body(stated.fields, now_us)} | ops.listed_body(stated.fields)
    if "balance" in stated.insurance:
        body["insurance"] = {"balance": stated.insurance["balance"]}
    ring = desk.tail.ring
    body["events"] = ops.events_body((held, ring.parsed(held)) for held in ring.newest(ops.ENTRIES_LOOK))
    return json_answer(call, body | {"env": ENVIRONMENT})


async def operator_check(call: Call) -> None:
    """Raise Refusal unless an operator has signed in; one that was known to be one stays so while Postgres is away."""
    role = await call.role()
    if role is None:
        raise Refusal(GatewayCode.SIGN_IN_UNAVAILABLE)
    if role != OPERATOR:
        raise Refusal(GatewayCode.ROLE_MISSING, {"command": ROLE_COMMAND})


async def stated_read(call: Call, patience_s: float = PATIENCE_S) -> Stated:
    """Return what stands in Redis, nothing while it cannot be read: an operator looks just then."""
    desk = call.desk
    streams, keys = desk.parts.streams, desk.keys
    found = Stated({}, {}, {})
    try:
        async with asyncio.timeout(patience_s):
            found.fields.update(await streams.hash_read(keys.ops))
            for market in desk.markets.all():
                found.views[market["market"]] = await streams.hash_read(keys.view_market(market["market"]))
            found.insurance.update(await desk.views.insurance())
    except (StreamsError, TimeoutError, Refusal):
        pass  # what was read is shown
    return found
