"""The routes table and the layers around it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from gateway.calls import Handler, route
from gateway.desk import Gateway
from gateway.documents.served import documents_of
from gateway.limits import LimitName
from gateway.pages import CONTENT_SECURITY_POLICY
from gateway.routes import (
    account,
    auth,
    documents,
    equity,
    health,
    history,
    keys,
    market,
    ops,
    page,
    preview,
    prices,
    requests,
    trade,
)
from gateway.sign_in.signatures import HEADERS as SIGNATURE_HEADERS
from gateway.socket.websocket import SOCKET_PATH, socket_none, socket_serve
from gateway.static_files import static_files_of

PUBLIC, READ, TRADE = LimitName.PUBLIC, LimitName.READ, LimitName.TRADE


class Address(NamedTuple):
    """One route; `documents/abouts.py` says what it takes and answers."""

    method: str
    path: str
    handler: Handler
    limit: str
    signed_in: bool


ROUTES: list[Address] = [
    Address("GET", "/", page.page_show, PUBLIC, False),
    Address("GET", "/ops", page.page_ops_show, PUBLIC, False),
    Address("GET", "/static/{tree}/{path}", page.static_show, LimitName.STATIC, False),
    Address("GET", "/health", health.health_show, PUBLIC, False),
    Address("GET", "/ready", health.ready_show, PUBLIC, False),
    Address("GET", "/metrics", health.metrics_show, PUBLIC, False),
    Address("GET", "/openapi.json", documents.openapi_show, PUBLIC, False),
    Address("GET", "/asyncapi.json", documents.asyncapi_show, PUBLIC, False),
    Address("GET", "/docs", documents.docs_show, PUBLIC, False),
    Address("GET", "/api/v1/ops", ops.ops_show, READ, True),
    Address("GET", "/api/v1/errors", health.errors_show, PUBLIC, False),
    Address("POST", "/api/v1/auth", auth.sign_in_ask, LimitName.SIGN_IN_ADDRESS, False),
    Address("GET", "/api/v1/auth/verify", auth.verify_get, LimitName.VERIFY, False),
    Address("POST", "/api/v1/auth/verify", auth.verify_post, LimitName.VERIFY, False),
    Address("DELETE", "/api/v1/auth/logout", auth.sign_out, READ, True),
    Address("GET", "/api/v1/auth/sessions", auth.sessions_show, READ, True),
    Address("DELETE", "/api/v1/auth/sessions/{session_id}", auth.session_revoke, READ, True),
    Address("POST", "/api/v1/keys", keys.key_create, LimitName.KEYS, True),
    Address("GET", "/api/v1/keys", keys.keys_show, READ, True),
    Address("DELETE", "/api/v1/keys/{key_id}", keys.key_revoke, READ, True),
    Address("POST", "/api/v1/keys/{key_id}/rotate", keys.key_rotate, LimitName.KEYS, True),
    Address("POST", "/api/v1/trade/create", trade.trade_create, TRADE, True),
    Address("POST", "/api/v1/trade/close", trade.trade_close, TRADE, True),
    Address("POST", "/api/v1/trade/order", trade.order_place, TRADE, True),
    Address("PATCH", "/api/v1/trade/order", trade.order_amend_named, TRADE, True),
    Address("PATCH", "/api/v1/trade/order/{order_id}", trade.order_amend, TRADE, True),
    Address("DELETE", "/api/v1/trade/order", trade.order_cancel_named, TRADE, True),
    Address("DELETE", "/api/v1/trade/order/{order_id}", trade.order_cancel, TRADE, True),
    Address("POST", "/api/v1/trade/orders", trade.orders_send, TRADE, True),
    Address("DELETE", "/api/v1/trade/orders", trade.orders_cancel, TRADE, True),
    Address("PUT", "/api/v1/trade/triggers", trade.triggers_set, TRADE, True),
    Address("POST", "/api/v1/trade/close-all", trade.positions_close_all, TRADE, True),
    Address("POST", "/api/v1/trade/reverse", trade.position_reverse, TRADE, True),
    Address("POST", "/api/v1/trade/margin", trade.margin_change, TRADE, True),
    Address("POST", "/api/v1/trade/leverage", trade.leverage_set, TRADE, True),
    Address("POST", "/api/v1/trade/mode", trade.margin_mode_set, TRADE, True),
    Address("POST", "/api/v1/trade/deadman", trade.deadman_set, TRADE, True),
    Address("POST", "/api/v1/trade/preview", preview.preview_show, READ, True),
    Address("GET", "/api/v1/account", account.account_show, READ, True),
    Address("GET", "/api/v1/account/balance", account.balance_show, READ, True),
    Address("GET", "/api/v1/account/balance/usd", account.balance_usd_show, READ, True),
    Address("GET", "/api/v1/account/assets", account.assets_show, READ, True),
    Address("GET", "/api/v1/account/positions", account.positions_show, READ, True),
    Address("GET", "/api/v1/account/orders", account.orders_show, READ, True),
    Address("POST", "/api/v1/account/reset", trade.account_reset, TRADE, True),
    Address("PUT", "/api/v1/account/guards", trade.account_guards_set, TRADE, True),
    Address("POST", "/api/v1/account/subaccounts", trade.subaccount_open, TRADE, True),
    Address("POST", "/api/v1/account/transfer", trade.account_transfer, TRADE, True),
    Address("GET", "/api/v1/account/history/orders", history.orders_show, READ, True),
    Address("GET", "/api/v1/account/history/positions", history.positions_show, READ, True),
    Address("GET", "/api/v1/account/history/fills", history.fills_show, READ, True),
    Address("GET", "/api/v1/account/history/funding", history.funding_show, READ, True),
    Address("GET", "/api/v1/account/history/ledger", history.ledger_show, READ, True),
    Address("GET", "/api/v1/account/history/equity", equity.history_equity_show, READ, True),
    Address("GET", "/api/v1/market", market.markets_show, PUBLIC, False),
    Address("GET", "/api/v1/market/{market}", market.market_show, PUBLIC, False),
    Address("GET", "/api/v1/market/{market}/ticker", market.ticker_show, PUBLIC, False),
    Address("GET", "/api/v1/market/{market}/candles", market.candles_show, PUBLIC, False),
    Address("GET", "/api/v1/market/{market}/depth", market.depth_show, PUBLIC, False),
    Address("GET", "/api/v1/market/{market}/trades", market.trades_show, PUBLIC, False),
    Address("GET", "/api/v1/market/{market}/funding", market.funding_show, PUBLIC, False),
    Address("GET", "/api/v1/market/{market}/liquidations", market.liquidations_show, PUBLIC, False),
    Address("GET", "/api/v1/insurance", market.insurance_show, PUBLIC, False),
    Address("GET", "/api/prices", prices.prices_show, PUBLIC, False),
    Address("GET", "/api/positions", account.positions_show, READ, True),
    Address("GET", "/api/v1/requests", requests.request_named_show, READ, True),
    Address("GET", "/api/v1/requests/{request_id}", requests.request_show, READ, True),
]

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not `no-referrer`: under it a browser states `Origin: null` for our own sign-in button.
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"interest-cohort=()"),
]
# A script or a style sheet is never shown by itself: what protects documents is no use there, eighty times a page.
NO_DOCUMENTS = (b"text/javascript", b"text/css")
PROTECT_ALL = frozenset({b"x-content-type-options", b"cross-origin-resource-policy", b"strict-transport-security"})
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")

# Of a request, and of an upgrade that is refused.
ANSWERS_BEGIN = frozenset({"http.response.start", "websocket.http.response.start"})

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Endpoint = Callable[[Request], Awaitable[Response]]


class SecurityHeaders:
    """Adds the security headers to every answer, refusals of the framework included."""

    def __init__(self, app: Any, https: bool) -> None:
        """Wrap an application."""
        self._app = app
        self._headers = [*SECURITY_HEADERS, *([STRICT_TRANSPORT] if https else [])]
        self._headers_short = [header for header in self._headers if header[0] in PROTECT_ALL]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ANSWERS_BEGIN:
                present = dict(message["headers"])
                added = self._headers
                if present.get(b"content-type", b"").startswith(NO_DOCUMENTS):
                    added = self._headers_short
                message["headers"] = [*message["headers"], *(each for each in added if each[0] not in present)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Straight:
    """Takes instructions to their endpoints by method and whole path; everything else goes the framework's way."""

    def __init__(self, app: Any, endpoints: dict[tuple[str, str], Endpoint]) -> None:
        """Wrap an application; an endpoint here is that of a route there."""
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        endpoint = self._endpoints.get((scope.get("method", ""), scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        answer = await endpoint(Request(scope, receive, send))
        await answer(scope, receive, send)


def app_build(gateway: Gateway) -> Starlette:
    """Return the application of one gateway."""
    settings = gateway.parts.settings
    layers = [Middleware(SecurityHeaders, https=settings.base_url.startswith("https://"))]
    if settings.cors_origins:
        # Without credentials: another site's page may use a token it was given, never the visitor's cookie.
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Request-Time", *SIGNATURE_HEADERS],
                expose_headers=[
                    "RateLimit",
                    "RateLimit-Policy",
                    "Retry-After",
                    "Idempotent-Replay",
                    "Location",
                    "Next-Cursor",
                    "Complete-To-Seq",
                ],
            )
        )
    endpoints = {
        (method, path): route(handler, limit, signed_in, f"{method} {path}")
        for method, path, handler, limit, signed_in in sorted(ROUTES, key=lambda row: row.limit != TRADE)
    }
    # Who trades is in a hurry: the framework tries its routes in turn, and its layers cost as much as our own.
    straight = {(row.method, row.path) for row in ROUTES if row.limit == TRADE and "{" not in row.path}
    layers.append(Middleware(Straight, endpoints={at: endpoints[at] for at in straight}))
    app = Starlette(
        routes=[Route(template(path), endpoint, methods=[method]) for (method, path), endpoint in endpoints.items()]
        + [WebSocketRoute(SOCKET_PATH, socket_serve), WebSocketRoute("/{path:path}", socket_none)],
        middleware=layers,
        exception_handlers={404: health.not_found, 405: health.method_not_allowed},
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    app.state.documents = documents_of(tuple(ROUTES))
    app.state.files = static_files_of(settings.environment == "development", settings.mail)
    return app


def template(path: str) -> str:
    """Return a route's address as the framework reads it: a file's path has slashes."""
    return path.replace("{path}", "{path:path}")
