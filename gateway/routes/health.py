"""Does the process live, may it take an instruction, what do its error codes mean."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.calls import Call, json_answer, json_public, refuse
from gateway.errors import GatewayCode, Refusal, error_headers, errors_published
from gateway.identity import request_id_fresh
from gateway.metering import ROUTE_NONE
from gateway.metrics import FACTS_NONE, metrics_samples
from gateway.processes import engines_of
from shared.metrics import CONTENT_TYPE, page_render
from shared.metrics_server import reader_permitted


async def health_show(call: Call) -> Response:
    """Answer that the process lives."""
    return json_answer(call, {"status": "ok"})


async def ready_show(call: Call) -> Response:
    """Answer 200 when an instruction can be taken; `?strict` only when nothing at all is degraded."""
    strict = "strict" in call.query("strict")
    desk = call.gateway.desk
    if desk is None:
        missing, degraded = {"venue": f"waiting {call.gateway.state['waiting']}"}, {}
    else:
        missing, degraded = desk.watch.missing(), desk.watch.degraded()
    ready = not missing and not (strict and degraded)
    body = {
        "status": "ready" if ready else "not ready",
        "venue": desk.venue if desk else None,
        "seq": str(desk.tail.position[0]) if desk else None,
        "missing": missing,
        "engines": engines_of(desk.watch.beats) if desk else [],
        "degraded": list(degraded),
        "detail": missing | degraded,
    }
    headers = {} if ready else error_headers(Refusal(GatewayCode.UNAVAILABLE))
    return json_answer(call, body, 200 if ready else 503, **{name.replace("-", "_"): v for name, v in headers.items()})


async def metrics_show(call: Call) -> Response:
    """Answer the metrics to a reader on this machine, or to one that bears their token."""
    parts, desk = call.gateway.parts, call.gateway.desk
    # Behind a proxy everybody may look as if they were on this machine.
    host = call.request.client.host if call.request.client and not parts.settings.proxies else ""
    if not reader_permitted(host, call.request.headers, parts.settings.metrics_token):
        raise Refusal(GatewayCode.UNAUTHENTICATED)
    beats, facts = (desk.watch.beats, desk.watch.facts()) if desk else ({}, FACTS_NONE)
    page = page_render(metrics_samples({**beats, **call.gateway.beat}, facts, parts.meters))
    return Response(page, media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


async def errors_show(call: Call) -> Response:
    """Answer the whole table of errors."""
    call.query()
    return json_public(call, {"items": errors_published(), "next_cursor": None})


async def not_found(request: Request, _error: Exception) -> Response:
    """Answer an address that nobody serves."""
    return _refused(request, GatewayCode.NOT_FOUND)


async def method_not_allowed(request: Request, _error: Exception) -> Response:
    """Answer a method that the address does not know, with those that it knows."""
    answer = _refused(request, GatewayCode.METHOD_NOT_ALLOWED)
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    known = {method for route in routes if route.path_regex.match(request.url.path) for method in route.methods or ()}
    answer.headers["Allow"] = ", ".join(sorted(known))
    return answer


def _refused(request: Request, code: GatewayCode) -> Response:
    """Return a refusal outside every route."""
    gateway = request.app.state.gateway
    call = Call(gateway, request, request_id_fresh(gateway.parts.now_us()))
    answer = refuse(call, Refusal(code))
    gateway.parts.meters.http(ROUTE_NONE, answer.status_code, gateway.parts.monotonic_s() - call.began_s)
    return answer
