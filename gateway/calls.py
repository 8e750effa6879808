"""
What stands around every route: limits, who is calling, the body within its bounds, and refusals as answers.

A route is a coroutine function from Call to Response that raises Refusal. Nothing that goes wrong leaves as a bare 500
with a trace: the caller gets the request id, the log gets the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.auth import Session
from gateway.desk import Desk, Gateway
from gateway.errors import ERRORS, GatewayCode, Refusal, error_body, error_headers
from gateway.identity import request_id_fresh, request_id_of_key
from gateway.limits import LimitName, network_of
from shared.database import DatabaseError
from shared.streams import StreamsError

BODY_BYTES_MAX = 65_536
BODY_TIMEOUT_S = 10.0
REQUEST_TIME_OFF_MAX_US = 4_000_000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE_DEVELOPMENT = "tidemark"
COOKIE = "__Host-tidemark"
ACCOUNT_EXPECTED = {"parameter": "account", "expected": "the session's account or one of its sub-accounts"}


class Call:
    """One request, with what the gateway knows about it."""

    def __init__(self, gateway: Gateway, request: Request, request_id: str) -> None:
        """Begin; limits and the caller are looked at by `route`."""
        self.gateway = gateway
        self.request = request
        self.request_id = request_id
        self._session: Session | None = None
        self._account_id: int | None = None

    @property
    def desk(self) -> Desk:
        """Return the open desk; raises Refusal while there is no venue."""
        if self.gateway.desk is None:
            raise Refusal(GatewayCode.UNAVAILABLE, self.gateway.state)
        return self.gateway.desk

    @property
    def session(self) -> Session:
        """Return the caller; only routes that demand a session ask."""
        assert self._session is not None, "the route demands no session"
        return self._session

    @property
    def account_id(self) -> int:
        """Return the account that the caller acts for: the session's, or one of its sub-accounts."""
        assert self._account_id is not None, "the route demands no session"
        return self._account_id

    async def account_take(self) -> None:
        """Take the account that the query names, the session's without one; raises Refusal when it is not theirs."""
        own = self.session.account_id
        texts = self.request.query_params.getlist("account") or [str(own)]
        text = texts[0]
        if len(texts) > 1 or not (text.isascii() and text.isdigit() and len(text) < 19):
            raise Refusal(GatewayCode.QUERY_INVALID, ACCOUNT_EXPECTED)
        if int(text) != own and await self.desk.views.main_of(int(text)) != own:
            raise Refusal(GatewayCode.QUERY_INVALID, ACCOUNT_EXPECTED)
        self._account_id = int(text)

    async def sign_in_check(self) -> None:
        """Find out who is calling; raises Refusal."""
        token, by_cookie = token_of(self)
        if token is None:
            raise Refusal(GatewayCode.UNAUTHENTICATED)
        if by_cookie:
            cross_site_check(self)
        self._session = await self.desk.sessions.check(token)

    async def body(self) -> bytes:
        """Return the body, never more than the limit, never later than its time."""
        declared = self.request.headers.get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > BODY_BYTES_MAX:
            raise Refusal(GatewayCode.BODY_TOO_LARGE)
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for chunk in self.request.stream():
                    data += chunk
                    if len(data) > BODY_BYTES_MAX:
                        raise Refusal(GatewayCode.BODY_TOO_LARGE)
        except TimeoutError:
            raise Refusal(GatewayCode.BODY_TIMEOUT) from None
        except ClientDisconnect:
            raise Refusal(GatewayCode.BODY_MALFORMED, {"reason": "the caller went away"}) from None
        return bytes(data)

    def query(self, *known: str) -> dict[str, str]:
        """
        Return the query's parameters; raises Refusal for one that the route does not know, or that comes twice.

        Which account a caller acts for is not among them: every private route knows it.
        """
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
        """Return the request id that the Idempotency-Key names, None without one."""
        key = self.request.headers.get("idempotency-key")
        return None if key is None else request_id_of_key(key)

    def ts_us(self) -> int:
        """Return the instruction's time: the caller's if it states one near ours, else ours."""
        now_us = self.gateway.parts.now_us()
        text = self.request.headers.get("request-time")
        if text is None:
            return now_us
        if not (text.isascii() and text.isdigit() and len(text) == 16):
            raise Refusal(GatewayCode.REQUEST_TIME_INVALID, {"now_us": now_us})
        if abs(int(text) - now_us) > REQUEST_TIME_OFF_MAX_US:
            raise Refusal(GatewayCode.REQUEST_TIME_INVALID, {"now_us": now_us, "off_us": int(text) - now_us})
        return int(text)

    def cookie_name(self) -> str:
        """Return the session cookie's name; `__Host-` needs https, which development has not."""
        return COOKIE_DEVELOPMENT if self.gateway.parts.settings.environment == "development" else COOKIE


Handler = Callable[[Call], Awaitable[Response]]


class Rule(NamedTuple):
    """What a route demands before its handler runs."""

    limit: str
    signed_in: bool


def json_answer(call: Call, body: dict[str, Any], status: int = 200, **headers: str) -> Response:
    """Return a JSON answer; the request id is in every one."""
    body.setdefault("request_id", call.request_id)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(orjson.dumps(body), status, names | {"Cache-Control": "no-store"}, "application/json")


def refuse(call: Call, refusal: Refusal) -> Response:
    """Return the error answer of a refusal."""
    answer = json_answer(call, error_body(refusal, call.request_id), ERRORS[refusal.code].status)
    answer.headers.update(error_headers(refusal))
    return answer


def route(handler: Handler, limit: str, signed_in: bool = False) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a handler."""
    rule = Rule(limit, signed_in)

    async def endpoint(request: Request) -> Response:
        gateway: Gateway = request.app.state.gateway
        call = Call(gateway, request, request_id_fresh(gateway.parts.now_us(), gateway.parts.randbits))
        return await call_run(call, rule, handler)

    endpoint.__name__ = handler.__name__
    return endpoint


async def call_run(call: Call, rule: Rule, handler: Handler) -> Response:
    """Return the answer to one call, whatever happens."""
    headers: dict[str, str] = {}
    limits = call.gateway.limits
    client = call.request.client
    network = network_of(client.host if client else None)
    try:
        await limits.hit(LimitName.ADDRESS, network)
        if rule.signed_in:
            await call.sign_in_check()
            headers = await limits.hit(rule.limit, str(call.session.account_id))
            await call.account_take()
        else:
            headers = await limits.hit(rule.limit, network)
        answer = await handler(call)
    except Refusal as refusal:
        answer = refuse(call, refusal)
    except StreamsError as error:
        call.gateway.parts.log.warning("streams_failed", path=call.request.url.path, reason=type(error).__name__)
        answer = refuse(call, Refusal(GatewayCode.VIEW_UNAVAILABLE))
    except DatabaseError as error:
        call.gateway.parts.log.warning("database_failed", path=call.request.url.path, reason=type(error).__name__)
        answer = refuse(call, Refusal(GatewayCode.HISTORY_UNAVAILABLE))
    except Exception:
        call.gateway.parts.log.exception("request_failed", path=call.request.url.path, request_id=call.request_id)
        answer = refuse(call, Refusal(GatewayCode.INTERNAL))
    for name, value in headers.items():
        answer.headers.setdefault(name, value)
    return answer


def token_of(call: Call) -> tuple[str | None, bool]:
    """Return the caller's token and whether a browser sent it by itself; a stated one goes before a cookie."""
    stated = call.request.headers.get("authorization")
    if stated is not None:
        scheme, _, token = stated.partition(" ")
        return (token.strip() if scheme.lower() == "bearer" else None), False
    return call.request.cookies.get(call.cookie_name()), True


def cross_site_check(call: Call) -> None:
    """Raise Refusal when another site's page makes this browser act; looking is not acting."""
    if call.request.method not in SAFE_METHODS:
        other_site_check(call)


def other_site_check(call: Call) -> None:
    """
    Raise Refusal when a request comes from another site's page, whatever its method.

    A request that states neither Sec-Fetch-Site nor Origin comes from no browser and passes.
    """
    request = call.request
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise Refusal(GatewayCode.CROSS_SITE)
    origin = request.headers.get("origin")
    if origin is not None and origin not in origins_own(call.gateway):
        raise Refusal(GatewayCode.CROSS_SITE)


def origins_own(gateway: Gateway) -> set[str]:
    """Return the origins under which this gateway's own pages are seen."""
    settings = gateway.parts.settings
    base = urlsplit(settings.base_url)
    own = {f"{base.scheme}://{base.netloc}"}
    if settings.environment == "development" and base.port is not None:
        own |= {f"{base.scheme}://{host}:{base.port}" for host in ("127.0.0.1", "localhost", "[::1]")}
    return own
