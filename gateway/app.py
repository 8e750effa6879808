"""The routes table and the layers around it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from gateway.calls import Handler, route
from gateway.desk import Gateway
from gateway.limits import LimitName
from gateway.pages import CONTENT_SECURITY_POLICY
from gateway.routes import account, auth, health, market, requests, trade

PUBLIC, READ, TRADE = LimitName.PUBLIC, LimitName.READ, LimitName.TRADE

# method, address, handler, limit, does it need a session
ROUTES: list[tuple[str, str, Handler, str, bool]] = [
    ("GET", "/", health.home_show, PUBLIC, False),
    ("GET", "/health", health.health_show, PUBLIC, False),
    ("GET", "/ready", health.ready_show, PUBLIC, False),
    ("GET", "/metrics", health.metrics_show, PUBLIC, False),
    ("GET", "/api/v1/errors", health.errors_show, PUBLIC, False),
    ("POST", "/api/v1/auth", auth.sign_in_ask, LimitName.SIGN_IN_ADDRESS, False),
    ("GET", "/api/v1/auth/verify", auth.verify_get, LimitName.VERIFY, False),
    ("POST", "/api/v1/auth/verify", auth.verify_post, LimitName.VERIFY, False),
    ("DELETE", "/api/v1/auth/logout", auth.sign_out, READ, True),
    ("POST", "/api/v1/trade/create", trade.trade_create, TRADE, True),
    ("POST", "/api/v1/trade/close", trade.trade_close, TRADE, True),
    ("POST", "/api/v1/trade/order", trade.order_place, TRADE, True),
    ("PATCH", "/api/v1/trade/order", trade.order_amend_named, TRADE, True),
    ("PATCH", "/api/v1/trade/order/{order_id}", trade.order_amend, TRADE, True),
    ("DELETE", "/api/v1/trade/order", trade.order_cancel_named, TRADE, True),
    ("DELETE", "/api/v1/trade/order/{order_id}", trade.order_cancel, TRADE, True),
    ("POST", "/api/v1/trade/orders", trade.orders_send, TRADE, True),
    ("DELETE", "/api/v1/trade/orders", trade.orders_cancel, TRADE, True),
    ("PUT", "/api/v1/trade/triggers", trade.triggers_set, TRADE, True),
    ("POST", "/api/v1/trade/close-all", trade.positions_close_all, TRADE, True),
    ("POST", "/api/v1/trade/reverse", trade.position_reverse, TRADE, True),
    ("POST", "/api/v1/trade/margin", trade.margin_change, TRADE, True),
    ("POST", "/api/v1/trade/leverage", trade.leverage_set, TRADE, True),
    ("POST", "/api/v1/trade/mode", trade.margin_mode_set, TRADE, True),
    ("POST", "/api/v1/trade/deadman", trade.deadman_set, TRADE, True),
    ("GET", "/api/v1/account", account.account_show, READ, True),
    ("GET", "/api/v1/account/balance", account.balance_show, READ, True),
    ("GET", "/api/v1/account/balance/usd", account.balance_usd_show, READ, True),
    ("GET", "/api/v1/account/assets", account.assets_show, READ, True),
    ("GET", "/api/v1/account/positions", account.positions_show, READ, True),
    ("GET", "/api/v1/account/orders", account.orders_show, READ, True),
    ("POST", "/api/v1/account/reset", trade.account_reset, TRADE, True),
    ("PUT", "/api/v1/account/guards", trade.account_guards_set, TRADE, True),
    ("POST", "/api/v1/account/subaccounts", trade.subaccount_open, TRADE, True),
    ("POST", "/api/v1/account/transfer", trade.account_transfer, TRADE, True),
    ("GET", "/api/v1/account/history/orders", account.history_orders_show, READ, True),
    ("GET", "/api/v1/market", market.markets_show, PUBLIC, False),
    ("GET", "/api/v1/market/{market}", market.market_show, PUBLIC, False),
    ("GET", "/api/v1/market/{market}/ticker", market.ticker_show, PUBLIC, False),
    ("GET", "/api/v1/market/{market}/liquidations", market.liquidations_show, PUBLIC, False),
    ("GET", "/api/v1/insurance", market.insurance_show, PUBLIC, False),
    ("GET", "/api/v1/requests/{request_id}", requests.request_show, READ, True),
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
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class SecurityHeaders:
    """Adds the security headers to every answer, refusals of the framework included."""

    def __init__(self, app: Any, https: bool) -> None:
        """Wrap an application."""
        self._app = app
        self._headers = [*SECURITY_HEADERS, *([STRICT_TRANSPORT] if https else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _value in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in self._headers if header[0] not in present),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)


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
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Request-Time"],
                expose_headers=["RateLimit", "RateLimit-Policy", "Retry-After", "Idempotent-Replay", "Location"],
            )
        )
    app = Starlette(
        routes=[
            Route(address, route(handler, limit, signed_in), methods=[method])
            for method, address, handler, limit, signed_in in ROUTES
        ],
        middleware=layers,
        exception_handlers={404: health.not_found, 405: health.method_not_allowed},
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    return app
