"""Does the process live, may it take an instruction, what do its error codes mean; and the small page at the root."""

import hmac
import ipaddress

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway import pages
from gateway.calls import Call, json_answer, refuse
from gateway.errors import GatewayCode, Refusal, error_headers, errors_published
from gateway.identity import request_id_fresh
from gateway.metrics import CONTENT_TYPE, Facts, metrics_render
from gateway.processes import engines_of


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
    """Answer the heartbeats to a reader on this machine, or to one that bears the metrics' token."""
    metrics_permit(call)
    desk = call.gateway.desk
    beats, facts = (desk.watch.beats, desk.watch.facts()) if desk else ({}, Facts(False, 0, None))
    return Response(metrics_render(beats, facts), media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def metrics_permit(call: Call) -> None:
    """Raise Refusal unless the caller may read the metrics; who comes through a proxy is not on this machine."""
    wanted = call.gateway.parts.settings.metrics_token
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    if wanted and scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), wanted.encode()):
        return
    host = call.request.client.host if call.request.client else ""
    forwarded = any(name in call.request.headers for name in ("x-forwarded-for", "forwarded"))
    if forwarded or not is_loopback(host):
        raise Refusal(GatewayCode.UNAUTHENTICATED)


def is_loopback(host: str) -> bool:
    """Return whether an address is of this very machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def errors_show(call: Call) -> Response:
    """Answer the whole table of errors."""
    return json_answer(call, {"items": errors_published(), "next_cursor": None})


async def home_show(call: Call) -> Response:
    """Show what this is."""
    return HTMLResponse(pages.home(call.gateway.desk.venue if call.gateway.desk else ""))


async def not_found(request: Request, _error: Exception) -> Response:
    """Answer an address that nobody serves."""
    return _refused(request, GatewayCode.NOT_FOUND)


async def method_not_allowed(request: Request, _error: Exception) -> Response:
    """Answer a method that the address does not know."""
    return _refused(request, GatewayCode.METHOD_NOT_ALLOWED)


def _refused(request: Request, code: GatewayCode) -> Response:
    """Return a refusal outside every route."""
    gateway = request.app.state.gateway
    return refuse(Call(gateway, request, request_id_fresh(gateway.parts.now_us())), Refusal(code))
