"""
What stands around every route: limits, who is calling, the body within its bounds, and refusals as answers.

A route is a coroutine function from Call to Response that raises Refusal. Nothing that goes wrong leaves as a bare 500
with a trace: the caller gets the request id, the log gets the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.desk import Desk, Gateway
from gateway.errors import ERRORS, GatewayCode, Refusal, error_body, error_headers
from gateway.identity import request_id_fresh, request_id_of_key, request_id_of_signature
from gateway.instructions import ts_read
from gateway.limits import APART, LimitName, network_of
from gateway.metering import ANSWER, HTTP
from gateway.packing import BYTES_MIN, EACH, gzip_taken, packed
from gateway.sign_in.callers import Caller, cookie_name, request_caller, scope_needed
from shared.database import DatabaseError
from shared.streams import StreamsError

BODY_BYTES_MAX = 65_536
BODY_TIMEOUT_S = 10.0
ACCOUNT_EXPECTED = {"parameter": "account", "expected": "the session's account or one of its sub-accounts"}


class Call:
    """One request, with what the gateway knows about it."""

    def __init__(self, gateway: Gateway, request: Request, request_id: str) -> None:
        """Begin; limits and the caller are looked at by `route`."""
        self.gateway = gateway
        self.request = request
        self.request_id = request_id
        self.began_s = gateway.parts.monotonic_s()
        self.answered_s: float | None = None  # when the outcome of its instruction was known
        self._caller: Caller | None = None
        self._account_id: int | None = None
        self._body: bytes | None = None
        self._signature: bytes | None = None

    @property
    def desk(self) -> Desk:
        """Return the open desk; raises Refusal while there is no venue."""
        if self.gateway.desk is None:
            raise Refusal(GatewayCode.UNAVAILABLE, self.gateway.state)
        return self.gateway.desk

    @property
    def caller(self) -> Caller:
        """Return the caller; only private routes ask."""
        assert self._caller is not None, "the route is open to all"
        return self._caller

    @property
    def account_id(self) -> int:
        """Return the account that the caller acts for: the caller's own, or one of its sub-accounts."""
        assert self._account_id is not None, "the route is open to all"
        return self._account_id

    async def account_take(self) -> None:
        """Take the account that the query names, the caller's without one; raises Refusal when it is not theirs."""
        own = self.caller.account_id
        if not self.request.scope.get("query_string"):
            self._account_id = own
            return
        texts = self.request.query_params.getlist("account") or [str(own)]
        text = texts[0]
        if len(texts) > 1 or not (text.isascii() and text.isdigit() and len(text) < 19):
            raise Refusal(GatewayCode.QUERY_INVALID, ACCOUNT_EXPECTED)
        if int(text) != own and await self.desk.views.main_of(int(text)) != own:
            raise Refusal(GatewayCode.QUERY_INVALID, ACCOUNT_EXPECTED)
        self._account_id = int(text)

    async def sign_in_check(self) -> None:
        """Find out who is calling, and that they may do this; raises Refusal."""
        request, settings = self.request, self.gateway.parts.settings
        self._caller, self._signature = await request_caller(self.desk.callers, settings, request, self.body)
        if not self._caller.may(scope_needed(request.method, request.scope["path"])):
            raise Refusal(GatewayCode.SCOPE_MISSING)

    async def role(self) -> str | None:
        """Return the caller's role, None when it cannot be known now."""
        return await self.desk.callers.role(self.caller)

    def request_id_own(self, ts_us: int) -> str:
        """Return the id of an instruction that names none: of the signature, so that a replay is a repeat, or fresh."""
        if self._signature is not None:
            return request_id_of_signature(self._signature)
        return request_id_fresh(ts_us, self.gateway.parts.randbits)

    async def body(self) -> bytes:
        """Return the body, never more than the limit, never later than its time."""
        if self._body is None:
            self._body = await self._body_receive()
        return self._body

    async def _body_receive(self) -> bytes:
        """Return the body as it comes in."""
        declared = self.request.headers.get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > BODY_BYTES_MAX:
            raise Refusal(GatewayCode.BODY_TOO_LARGE)
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                more = True
                while more:
                    message = await self.request.receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(GatewayCode.BODY_MALFORMED, {"reason": "the caller went away"})
                    data += message.get("body", b"")
                    if len(data) > BODY_BYTES_MAX:
                        raise Refusal(GatewayCode.BODY_TOO_LARGE)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refusal(GatewayCode.BODY_TIMEOUT) from None
        return bytes(data)

    def query(self, *known: str) -> dict[str, str]:
        """
        Return the query's parameters; raises Refusal for one that the route does not know, or that comes twice.

        Which account a caller acts for is not among them: every private route knows it.
        """
        if not self.request.scope.get("query_string"):
            return {}
        taken = "account" if self._account_id is not None else None
        pairs = [pair for pair in self.request.query_params.multi_items() if pair[0] != taken]
        values = dict(pairs)
        for name, _value in pairs:
            if name not in known:
                raise Refusal(GatewayCode.QUERY_INVALID, {"parameter": name[:64], "known": list(known)})
        if len(values) != len(pairs):
            raise Refusal(GatewayCode.QUERY_INVALID, {"reason": "a parameter is given twice"})
        return values

    def key(self) -> str | None:
        """Return the request id that the Idempotency-Key names, None without one; raises Refusal for two of them."""
        keys = self.request.headers.getlist("idempotency-key")
        if len(keys) > 1:
            raise Refusal(GatewayCode.IDEMPOTENCY_KEY_INVALID)
        return request_id_of_key(keys[0]) if keys else None

    def ts_us(self) -> int:
        """Return the instruction's time: the caller's if it states one near ours, else ours."""
        now_us = self.gateway.parts.now_us()
        texts = self.request.headers.getlist("request-time")
        if not texts:
            return now_us
        text = texts[0]
        if not (len(texts) == 1 and text.isascii() and text.isdigit() and len(text) == 16):
            raise Refusal(GatewayCode.REQUEST_TIME_INVALID, {"now_us": now_us})
        return ts_read(int(text), now_us)

    def cookie_name(self) -> str:
        """Return the session cookie's name."""
        return cookie_name(self.gateway.parts.settings)


Handler = Callable[[Call], Awaitable[Response]]


class Rule(NamedTuple):
    """What a route demands before its handler runs."""

    limit: str
    signed_in: bool
    name: str  # `METHOD template`, as logs and metrics call it: an address holds ids


def json_answer(call: Call, body: dict[str, Any], status: int = 200, **headers: str) -> Response:
    """Return a JSON answer; the request id is in every one."""
    body.setdefault("request_id", call.request_id)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(orjson.dumps(body), status, names | {"Cache-Control": "no-store"}, "application/json")


def json_public(call: Call, body: dict[str, Any]) -> Response:
    """Return a JSON answer in which nothing is anybody's own, packed for whoever takes that if it is long."""
    answer = json_answer(call, body)
    answer.headers["Vary"] = "Accept-Encoding"
    content = bytes(answer.body)
    if len(content) >= BYTES_MIN and gzip_taken(call.request.headers.get("accept-encoding", "")):
        shorter = packed(content, EACH)
        if shorter is not None:
            answer.body = shorter
            answer.headers["Content-Encoding"] = "gzip"
            answer.headers["Content-Length"] = str(len(shorter))
    return answer


def tag_known(call: Call, tag: str) -> bool:
    """Return whether the caller keeps the very bytes that a tag names."""
    known = [each.strip().removeprefix("W/") for each in call.request.headers.get("if-none-match", "").split(",")]
    return tag.removeprefix("W/") in known or "*" in known


def refuse(call: Call, refusal: Refusal) -> Response:
    """Return the error answer of a refusal."""
    answer = json_answer(call, error_body(refusal, call.request_id), ERRORS[refusal.code].status)
    answer.headers.update(error_headers(refusal))
    return answer


def route(handler: Handler, limit: str, signed_in: bool, name: str) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a handler."""
    rule = Rule(limit, signed_in, name)

    async def endpoint(request: Request) -> Response:
        gateway: Gateway = request.app.state.gateway
        call = Call(gateway, request, request_id_fresh(gateway.parts.now_us(), gateway.parts.randbits))
        return await call_run(call, rule, handler)

    endpoint.__name__ = handler.__name__
    return endpoint


async def call_run(call: Call, rule: Rule, handler: Handler) -> Response:
    """Return the answer to one call, whatever happens, and count it."""
    answer = await call_answer(call, rule, handler)
    parts = call.gateway.parts
    now_s = parts.monotonic_s()
    parts.meters.http(rule.name, answer.status_code, now_s - call.began_s)
    if call.answered_s is not None:
        parts.meters.stage(ANSWER, HTTP, now_s - call.answered_s)
    return answer


async def call_answer(call: Call, rule: Rule, handler: Handler) -> Response:
    """Return the answer to one call."""
    headers: dict[str, str] = {}
    log = call.gateway.parts.log
    limits = call.gateway.limits
    client = call.request.client
    network = network_of(client.host if client else None)
    try:
        if rule.limit not in APART:
            limits.hit(LimitName.ADDRESS, network)
        if rule.signed_in:
            await call.sign_in_check()
            headers = limits.hit(rule.limit, str(call.caller.account_id))
            await call.account_take()
        else:
            headers = limits.hit(rule.limit, network)
        answer = await handler(call)
    except Refusal as refusal:
        answer = refuse(call, refusal)
    except StreamsError as error:
        log.warning("streams_failed", route=rule.name, reason=type(error).__name__, request_id=call.request_id)
        answer = refuse(call, Refusal(GatewayCode.VIEW_UNAVAILABLE))
    except DatabaseError as error:
        log.warning("database_failed", route=rule.name, reason=type(error).__name__, request_id=call.request_id)
        answer = refuse(call, Refusal(GatewayCode.HISTORY_UNAVAILABLE))
    except Exception:
        log.exception("request_failed", route=rule.name, request_id=call.request_id)
        answer = refuse(call, Refusal(GatewayCode.INTERNAL))
    for name, value in headers.items():
        answer.headers.setdefault(name, value)
    return answer
