"""
ResultCode and the gateway's own codes -> HTTP status, sentence, retry hint; one total table.

Every refusal that leaves the gateway is a row of `ERRORS`. The sentence says what to do, the hint whether the very same
request may succeed later: `never` (change it first), `later` (the venue has to change first), `now` (send it again).
"""

from enum import StrEnum
from typing import Any, NamedTuple

from shared.codes import ResultCode


class Retry(StrEnum):
    """May the same request succeed later?"""

    NEVER = "never"
    LATER = "later"
    NOW = "now"


class GatewayCode(StrEnum):
    """Refusals of the gateway itself: the instruction never reached the log, or its answer is not known."""

    BODY_MALFORMED = "BODY_MALFORMED"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    BODY_TIMEOUT = "BODY_TIMEOUT"
    QUERY_INVALID = "QUERY_INVALID"
    IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"
    REQUEST_TIME_INVALID = "REQUEST_TIME_INVALID"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    LINK_INVALID = "LINK_INVALID"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    SCOPE_MISSING = "SCOPE_MISSING"
    ROLE_MISSING = "ROLE_MISSING"
    KEY_INVALID = "KEY_INVALID"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    KEYS_MAX = "KEYS_MAX"
    SESSION_UNKNOWN = "SESSION_UNKNOWN"
    CROSS_SITE = "CROSS_SITE"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    RATE_LIMITED = "RATE_LIMITED"
    MESSAGE_MALFORMED = "MESSAGE_MALFORMED"
    CHANNEL_UNKNOWN = "CHANNEL_UNKNOWN"
    SUBSCRIPTIONS_MAX = "SUBSCRIPTIONS_MAX"
    SOCKETS_MAX = "SOCKETS_MAX"
    OUTCOME_EXPIRED = "OUTCOME_EXPIRED"
    LOG_UNAVAILABLE = "LOG_UNAVAILABLE"
    VIEW_UNAVAILABLE = "VIEW_UNAVAILABLE"
    HISTORY_UNAVAILABLE = "HISTORY_UNAVAILABLE"
    SIGN_IN_UNAVAILABLE = "SIGN_IN_UNAVAILABLE"
    PREVIEW_UNAVAILABLE = "PREVIEW_UNAVAILABLE"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class ErrorRow(NamedTuple):
    """What a caller is told of one code."""

    status: int
    sentence: str
    retry: Retry


class Refusal(Exception):
    """A request that is answered with an error body; raised by shells only, never across a process."""

    def __init__(
        self,
        code: str,
        detail: dict[str, Any] | None = None,
        *,
        request_id: str | None = None,
        seq: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """Remember what the error body says."""
        super().__init__(code)
        assert code in ERRORS, f"no row for {code}"
        self.code = str(code)
        self.detail = detail or {}
        self.request_id = request_id
        self.seq = seq
        self.retry_after_s = retry_after_s
        self.headers: dict[str, str] = {}


_NEVER, _LATER, _NOW = Retry.NEVER, Retry.LATER, Retry.NOW

# Total over ResultCode; a test fails when a code is missing. OK has a row so that the table has no hole.
RESULTS: dict[ResultCode, ErrorRow] = {
    ResultCode.OK: ErrorRow(200, "Done.", _NEVER),
    ResultCode.RECORD_MALFORMED: ErrorRow(422, "The instruction could not be read; compare it with the docs.", _NEVER),
    ResultCode.OP_UNKNOWN: ErrorRow(422, "This venue's rules do not know the operation.", _NEVER),
    ResultCode.FIELD_UNKNOWN: ErrorRow(
        422, "Leave out the key, or the kind, that this operation does not know.", _NEVER
    ),
    ResultCode.REQUEST_REPEATED: ErrorRow(200, "Accepted before under this id; the first outcome holds.", _NEVER),
    ResultCode.REQUEST_ID_REUSED: ErrorRow(
        409, "This id was used for another body; take a new Idempotency-Key.", _NEVER
    ),
    ResultCode.REQUEST_TOO_OLD: ErrorRow(
        409, "The id's own time is older than the request window; take a new id.", _NEVER
    ),
    ResultCode.REQUEST_ID_EARLY: ErrorRow(409, "The id's own time is ahead of the venue; check your clock.", _LATER),
    ResultCode.REQUEST_SUPERSEDED: ErrorRow(409, "A later sending of this id was decided already; send it anew.", _NOW),
    ResultCode.REQUEST_MEMORY_FULL: ErrorRow(
        503, "The memory of requests is full; try again in a few seconds.", _LATER
    ),
    ResultCode.INSTRUCTION_LATE: ErrorRow(503, "The instruction reached the venue too late; send it again.", _NOW),
    ResultCode.INSTRUCTION_EARLY: ErrorRow(
        503, "The venue's time is behind after an outage; try again shortly.", _LATER
    ),
    ResultCode.ACCOUNT_UNKNOWN: ErrorRow(404, "There is no such account; sign in again.", _NEVER),
    ResultCode.ACCOUNT_FROZEN: ErrorRow(403, "The account is frozen; ask the operator.", _LATER),
    ResultCode.ACCOUNT_LOCKED: ErrorRow(
        403, "The account lost as much as its guard allows a day: only close until the UTC day ends.", _LATER
    ),
    ResultCode.MARKET_UNKNOWN: ErrorRow(404, "There is no such market; /api/v1/market lists them.", _NEVER),
    ResultCode.MARKET_HALTED: ErrorRow(409, "The market is halted; wait until it opens again.", _LATER),
    ResultCode.MARKET_REDUCE_ONLY: ErrorRow(409, "The market only lets positions shrink.", _LATER),
    ResultCode.FIELD_MISSING: ErrorRow(422, "A key that this operation needs is missing.", _NEVER),
    ResultCode.FIELD_TYPE_INVALID: ErrorRow(422, "A value has the wrong JSON type.", _NEVER),
    ResultCode.NUMBER_NOT_TEXT: ErrorRow(422, 'Write decimals as text, such as "1.5".', _NEVER),
    ResultCode.NUMBER_MALFORMED: ErrorRow(
        422, "Write numbers plainly: up to 15 digits, a point, up to 12 decimals, no exponent.", _NEVER
    ),
    ResultCode.FIELD_VALUE_UNKNOWN: ErrorRow(422, "A value is none of the words allowed for its key.", _NEVER),
    ResultCode.FIELDS_EXCLUSIVE: ErrorRow(
        422, "Keys, or a key and the kind, exclude each other; leave one out.", _NEVER
    ),
    ResultCode.TEXT_INVALID: ErrorRow(
        422, "A text is empty, too long, or has characters that are not allowed.", _NEVER
    ),
    ResultCode.OCO_LEGS_DIFFER: ErrorRow(
        422, "Both legs of an OCO name the same market, side, quantity and position.", _NEVER
    ),
    ResultCode.BATCH_SIZE_INVALID: ErrorRow(422, "A batch holds 1 to 20 commands.", _NEVER),
    ResultCode.PRICE_OUT_OF_RANGE: ErrorRow(422, "The price is not positive or beyond the market's range.", _NEVER),
    ResultCode.PRICE_NOT_ON_TICK: ErrorRow(422, "Round the price to the market's tick.", _NEVER),
    ResultCode.QTY_OUT_OF_RANGE: ErrorRow(422, "The quantity is not positive or beyond the market's range.", _NEVER),
    ResultCode.QTY_NOT_ON_LOT: ErrorRow(422, "Round the quantity to the market's lot.", _NEVER),
    ResultCode.AMOUNT_OUT_OF_RANGE: ErrorRow(422, "The amount of money is zero, too fine or too large.", _NEVER),
    ResultCode.LEVERAGE_OUT_OF_RANGE: ErrorRow(
        422, "Leverage is a whole number from 1 to the market's maximum.", _NEVER
    ),
    ResultCode.SLIPPAGE_OUT_OF_RANGE: ErrorRow(422, "slippage_bps is a whole number within its range.", _NEVER),
    ResultCode.PERCENT_OUT_OF_RANGE: ErrorRow(422, "A percentage is a whole number from 1 to 100.", _NEVER),
    ResultCode.TRAIL_OUT_OF_RANGE: ErrorRow(422, "The trail is zero or too wide.", _NEVER),
    ResultCode.TIMEOUT_OUT_OF_RANGE: ErrorRow(
        422, "Give as timeout_ms 0, or a whole number from 5000 to 86400000.", _NEVER
    ),
    ResultCode.EXPIRY_IN_PAST: ErrorRow(422, "The expiry must lie ahead, and before the year 2100.", _NEVER),
    ResultCode.PARAMETER_OUT_OF_RANGE: ErrorRow(
        422, "A parameter is out of its bounds or does not fit the others.", _NEVER
    ),
    ResultCode.NOTIONAL_BELOW_MIN: ErrorRow(
        422, "Raise the quantity: the order is worth less than the minimum.", _NEVER
    ),
    ResultCode.ORDER_ABOVE_MAX: ErrorRow(422, "Lower the quantity: the order is larger than the market takes.", _NEVER),
    ResultCode.PRICE_OUTSIDE_BAND: ErrorRow(
        422, "Move the price closer to the mark: it lies outside the band.", _LATER
    ),
    ResultCode.ORDERS_OPEN_MAX: ErrorRow(409, "Cancel an order first: the account has as many as it may.", _LATER),
    ResultCode.TRIGGERS_OPEN_MAX: ErrorRow(409, "Remove a trigger first: the account has as many as it may.", _LATER),
    ResultCode.PRICE_STALE: ErrorRow(409, "The market's prices are stale; wait for a fresh quote.", _LATER),
    ResultCode.ORDER_UNKNOWN: ErrorRow(404, "The account has no such live order.", _NEVER),
    ResultCode.POSITION_UNKNOWN: ErrorRow(404, "The account has no such position.", _NEVER),
    ResultCode.CLIENT_ORDER_ID_TAKEN: ErrorRow(409, "A live order has this client_order_id; choose another.", _LATER),
    ResultCode.ORDER_NOT_AMENDABLE: ErrorRow(
        409, "This order cannot be changed so; cancel it and place another.", _NEVER
    ),
    ResultCode.POSITION_NOT_NET: ErrorRow(422, "Only a net position can be reversed; close the ticket.", _NEVER),
    ResultCode.POSITION_NOT_ISOLATED: ErrorRow(
        422, "A cross position has no margin of its own; put money into the account instead.", _NEVER
    ),
    ResultCode.ACCOUNT_TARGET_UNKNOWN: ErrorRow(
        404, "Name another account of the same owner; GET /api/v1/account lists them.", _NEVER
    ),
    ResultCode.SUBACCOUNT_NOT_EMPTY: ErrorRow(
        409, "Close the sub-account's positions and orders and move its money away first.", _LATER
    ),
    ResultCode.POST_ONLY_WOULD_TAKE: ErrorRow(
        409, "A post-only order must rest; move its price from the touch.", _LATER
    ),
    ResultCode.FOK_UNFILLABLE: ErrorRow(409, "The order cannot be filled whole at this price now.", _LATER),
    ResultCode.SLIPPAGE_EXCEEDED: ErrorRow(409, "The price is worse than the order allows; widen the bound.", _LATER),
    ResultCode.QTY_ABOVE_POSITION: ErrorRow(422, "Close at most what the position holds.", _NEVER),
    ResultCode.TRIGGER_WRONG_SIDE: ErrorRow(422, "The trigger lies on the wrong side for this position.", _NEVER),
    ResultCode.TRIGGER_WOULD_FIRE_IMMEDIATELY: ErrorRow(
        409, "The price has passed the trigger already; move it away.", _LATER
    ),
    ResultCode.REDUCE_ONLY_WOULD_INCREASE: ErrorRow(
        409, "There is no position that this reduce-only order could shrink.", _LATER
    ),
    ResultCode.STP_WOULD_CUT: ErrorRow(
        409, "An order of your own stands in the way; cancel it, or let it give way.", _LATER
    ),
    ResultCode.LIQUIDITY_EXHAUSTED: ErrorRow(409, "The market does not offer as much now; lower the size.", _LATER),
    ResultCode.QTY_BELOW_FILLED: ErrorRow(409, "The order has filled as much already; qty is its total.", _NEVER),
    ResultCode.OCO_LEG_WOULD_TAKE: ErrorRow(
        409, "The limit leg of an OCO must rest; move its price from the touch.", _LATER
    ),
    ResultCode.LEVERAGE_ABOVE_TIER: ErrorRow(422, "Lower leverage or size: this notional allows less.", _NEVER),
    ResultCode.MARGIN_INSUFFICIENT: ErrorRow(
        409, "Free or available money does not cover it; lower the size or bring money.", _LATER
    ),
    ResultCode.WOULD_BE_LIQUIDATED: ErrorRow(409, "The position would be liquidated at once; add margin.", _LATER),
    ResultCode.NOTIONAL_ABOVE_MAX: ErrorRow(
        409, "The account's exposure in this market would exceed its limit.", _LATER
    ),
    ResultCode.OPEN_INTEREST_ABOVE_MAX: ErrorRow(409, "The market's open interest is at its limit.", _LATER),
    ResultCode.POSITIONS_OPEN_MAX: ErrorRow(409, "Close a position first: the account has as many as it may.", _LATER),
    ResultCode.MARGIN_BELOW_REQUIRED: ErrorRow(
        409, "The position needs that margin at the present mark; take out less.", _LATER
    ),
    ResultCode.MARGIN_MODE_IN_USE: ErrorRow(
        409, "Close the net position and cancel its orders in this market, then change the mode.", _LATER
    ),
    ResultCode.LEVERAGE_ABOVE_GUARD: ErrorRow(422, "Lower the leverage: the account's own guard allows less.", _NEVER),
    ResultCode.SUBACCOUNTS_MAX: ErrorRow(
        409, "The owner has as many sub-accounts as the venue allows; use one of them.", _NEVER
    ),
    ResultCode.ORDER_SLOTS_EXHAUSTED: ErrorRow(503, "The venue holds as many orders as it can; try later.", _LATER),
    ResultCode.POSITION_SLOTS_EXHAUSTED: ErrorRow(
        503, "The venue holds as many positions as it can; try later.", _LATER
    ),
    ResultCode.ACCOUNT_SLOTS_EXHAUSTED: ErrorRow(503, "The venue holds as many accounts as it can; try later.", _LATER),
    ResultCode.MARKET_IN_USE: ErrorRow(409, "Tick and lot change only while nobody has an order or position.", _LATER),
}

_OWN: dict[GatewayCode, ErrorRow] = {
    GatewayCode.BODY_MALFORMED: ErrorRow(400, "The body must be one JSON object in UTF-8.", _NEVER),
    GatewayCode.BODY_TOO_LARGE: ErrorRow(413, "The body is larger than 64 KiB.", _NEVER),
    GatewayCode.BODY_TIMEOUT: ErrorRow(408, "The body did not arrive in time.", _NOW),
    GatewayCode.QUERY_INVALID: ErrorRow(400, "A query parameter cannot be used.", _NEVER),
    GatewayCode.IDEMPOTENCY_KEY_INVALID: ErrorRow(
        400, "Idempotency-Key is 1 to 64 printable ASCII characters.", _NEVER
    ),
    GatewayCode.REQUEST_TIME_INVALID: ErrorRow(
        400, "Request-Time is the current time in whole microseconds, at most 4 s off ours.", _NEVER
    ),
    GatewayCode.UNAUTHENTICATED: ErrorRow(401, "Sign in: the session is missing, expired or revoked.", _NEVER),
    GatewayCode.LINK_INVALID: ErrorRow(400, "The sign-in link is unknown, used or expired; ask for a new one.", _NEVER),
    GatewayCode.SIGNATURE_INVALID: ErrorRow(
        401, "The key, its time window or its signature does not hold; docs/api.md says what is signed.", _NEVER
    ),
    GatewayCode.SCOPE_MISSING: ErrorRow(
        403, "This key may not do that; sign in, or take a key with the scope.", _NEVER
    ),
    GatewayCode.ROLE_MISSING: ErrorRow(
        403, "Only operators see this, signed in and without a key; the command in the detail makes one.", _LATER
    ),
    GatewayCode.KEY_INVALID: ErrorRow(
        422, "Send 32 bytes of Ed25519 in base64, not in use yet, and an expiry within 365 days.", _NEVER
    ),
    GatewayCode.KEY_UNKNOWN: ErrorRow(404, "The account has no such live key.", _NEVER),
    GatewayCode.KEYS_MAX: ErrorRow(409, "Revoke a key first: the account has as many as it may.", _LATER),
    GatewayCode.SESSION_UNKNOWN: ErrorRow(404, "The account has no such live session.", _NEVER),
    GatewayCode.CROSS_SITE: ErrorRow(403, "Another site may not act for a signed-in browser.", _NEVER),
    GatewayCode.NOT_FOUND: ErrorRow(404, "There is nothing at this address.", _NEVER),
    GatewayCode.METHOD_NOT_ALLOWED: ErrorRow(405, "This address does not know the method.", _NEVER),
    GatewayCode.RATE_LIMITED: ErrorRow(429, "Too many requests; wait as long as Retry-After says.", _LATER),
    GatewayCode.MESSAGE_MALFORMED: ErrorRow(
        400, "A message is one JSON object with a known op, as /asyncapi.json describes.", _NEVER
    ),
    GatewayCode.CHANNEL_UNKNOWN: ErrorRow(404, "There is no such channel; docs/api.md lists them.", _NEVER),
    GatewayCode.SUBSCRIPTIONS_MAX: ErrorRow(
        409, "Unsubscribe first: the socket has as many channels as it may.", _LATER
    ),
    GatewayCode.SOCKETS_MAX: ErrorRow(429, "Close a socket first: there are as many as there may be.", _LATER),
    GatewayCode.OUTCOME_EXPIRED: ErrorRow(
        410, "Too late to say what became of this sending; look at the account.", _NEVER
    ),
    GatewayCode.LOG_UNAVAILABLE: ErrorRow(503, "The venue takes no instructions now; nothing was accepted.", _NOW),
    GatewayCode.VIEW_UNAVAILABLE: ErrorRow(503, "The account or market cannot be read now; try again shortly.", _NOW),
    GatewayCode.HISTORY_UNAVAILABLE: ErrorRow(503, "History cannot be read now; trading goes on.", _NOW),
    GatewayCode.SIGN_IN_UNAVAILABLE: ErrorRow(503, "Signing in or out is not possible now; try again shortly.", _NOW),
    GatewayCode.PREVIEW_UNAVAILABLE: ErrorRow(503, "Orders cannot be calculated now; they can still be sent.", _NOW),
    GatewayCode.UNAVAILABLE: ErrorRow(503, "The venue is not ready yet; try again shortly.", _NOW),
    GatewayCode.INTERNAL: ErrorRow(500, "A mistake of ours; it was logged under this request_id.", _NOW),
}

ERRORS: dict[str, ErrorRow] = {code.name: row for code, row in RESULTS.items()} | {str(c): r for c, r in _OWN.items()}
RETRY_AFTER_S = 1


def error_body(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Return the JSON body of a refusal."""
    row = ERRORS[refusal.code]
    body: dict[str, Any] = {
        "code": refusal.code,
        "error": row.sentence,
        "detail": refusal.detail,
        "retry": row.retry,
        "request_id": refusal.request_id or request_id,
    }
    if refusal.seq is not None:
        body["seq"] = str(refusal.seq)
    return body


def error_headers(refusal: Refusal) -> dict[str, str]:
    """Return the headers of a refusal: when to come back, how to sign in."""
    row = ERRORS[refusal.code]
    headers = dict(refusal.headers)
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    elif row.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if row.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def errors_published() -> list[dict[str, Any]]:
    """Return the whole table as it stands at /api/v1/errors."""
    return [
        {"code": code, "status": row.status, "error": row.sentence, "retry": row.retry}
        for code, row in ERRORS.items()
        if code != ResultCode.OK.name
    ]
