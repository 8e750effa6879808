"""What the documents say of one route beside its address: what it takes, what it answers, which codes it may refuse."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from gateway.errors import GatewayCode
from shared.codes import ResultCode

JSON, HTML, CSV, TEXT = "application/json", "text/html", "text/csv", "text/plain"
FILES = ("text/javascript", "text/css", "image/svg+xml", "image/png", TEXT)  # as a file's name says
FORM = "application/x-www-form-urlencoded"
# What one status answers with: a struct is JSON, a text names another media type.
Content = type[Struct] | str
Codes = frozenset[str]


def codes_of(*codes: ResultCode | GatewayCode) -> Codes:
    """Return codes as they stand in the table of errors."""
    return frozenset(code.name if isinstance(code, ResultCode) else str(code) for code in codes)


class About(NamedTuple):
    """One route in the documents; its method, path, limit and sign-in are in the routes table."""

    tag: str
    summary: str
    ok: Mapping[int, Content | tuple[Content, ...]]
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    codes: Codes = frozenset()  # beside those that every route of its sort may refuse with
    instruction: bool = False  # it becomes an entry of the log: request ids, Request-Time, 202
    form: bool = False  # the body may be a page's form, then refusals are pages too


# Whatever is asked.
EVERYWHERE = codes_of(GatewayCode.QUERY_INVALID, GatewayCode.RATE_LIMITED, GatewayCode.INTERNAL)
VENUE = codes_of(GatewayCode.UNAVAILABLE)
BODY = codes_of(GatewayCode.BODY_MALFORMED, GatewayCode.BODY_TOO_LARGE, GatewayCode.BODY_TIMEOUT)
# A key signs the body too, so it is read before anybody knows who calls.
SIGNED_IN = BODY | codes_of(
    GatewayCode.UNAUTHENTICATED,
    GatewayCode.SIGNATURE_INVALID,
    GatewayCode.SCOPE_MISSING,
    GatewayCode.CROSS_SITE,
    GatewayCode.SIGN_IN_UNAVAILABLE,
    GatewayCode.VIEW_UNAVAILABLE,
    GatewayCode.UNAVAILABLE,
)
SHAPE = codes_of(
    ResultCode.FIELD_UNKNOWN,
    ResultCode.FIELD_MISSING,
    ResultCode.FIELD_TYPE_INVALID,
    ResultCode.TEXT_INVALID,
)
VIEW = codes_of(GatewayCode.VIEW_UNAVAILABLE)
HISTORY = codes_of(GatewayCode.HISTORY_UNAVAILABLE)
LINKS = codes_of(GatewayCode.CROSS_SITE, GatewayCode.SIGN_IN_UNAVAILABLE, GatewayCode.UNAVAILABLE)
