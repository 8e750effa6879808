"""
Whether another site's page makes a visitor's browser act: a browser says whose page sends; programs say nothing.

Everything here looks at headers that a page's script cannot set.
"""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from gateway.errors import GatewayCode, Refusal
from shared.settings import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def cross_site_check(settings: Settings, method: str, connection: HTTPConnection) -> None:
    """Raise Refusal when another site's page makes this browser act; looking is not acting."""
    if method not in SAFE_METHODS:
        other_site_check(settings, connection)


def other_site_check(settings: Settings, connection: HTTPConnection) -> None:
    """
    Raise Refusal when a request comes from another site's page, whatever its method.

    A request that states neither Sec-Fetch-Site nor Origin comes from no browser and passes.
    """
    site = connection.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise Refusal(GatewayCode.CROSS_SITE)
    origin = connection.headers.get("origin")
    if origin is not None and origin not in origins_own(settings):
        raise Refusal(GatewayCode.CROSS_SITE)


def socket_origin_check(settings: Settings, connection: HTTPConnection, by_cookie: bool) -> None:
    """
    Raise Refusal when a page that may not opens a WebSocket: no rule of the browser's own stands before one.

    With a cookie only our own pages may, and a browser always says whose page it is. Without one a page of an allowed
    site may too: it can do nothing before it states a token of its own.
    """
    origin = connection.headers.get("origin")
    if by_cookie:
        if origin is None or origin not in origins_own(settings):
            raise Refusal(GatewayCode.CROSS_SITE)
    elif origin is not None and origin not in origins_own(settings) and origin not in settings.cors_origins:
        raise Refusal(GatewayCode.CROSS_SITE)


def origins_own(settings: Settings) -> set[str]:
    """Return the origins under which this gateway's own pages are seen."""
    base = urlsplit(settings.base_url)
    own = {f"{base.scheme}://{base.netloc}"}
    if settings.environment == "development" and base.port is not None:
        own |= {f"{base.scheme}://{host}:{base.port}" for host in ("127.0.0.1", "localhost", "[::1]")}
    return own
