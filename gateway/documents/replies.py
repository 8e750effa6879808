"""
What answers are made of: the shapes of their values, and the answers that have no subject of their own; pure.

The documents and the tests read these structs. No answer is built from them: a route writes what it knows, and every
answer that a test gets is held against them.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

DECIMAL_TOLD = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
Decimal = Annotated[str, Meta(pattern=DECIMAL_TOLD, description="decimal text, no exponent")]
Seq = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]*)$", description="number of a log entry, as text")]
Place = Annotated[
    str,
    Meta(pattern=r"^(0|[1-9][0-9]*)-(0|[1-9][0-9]*)-(0|[1-9][0-9]*)$", description="an event's seq-chunk-index"),
]
Micros = Annotated[int, Meta(ge=0, description="whole microseconds since 1970")]
Millis = Annotated[int, Meta(ge=0, description="whole milliseconds since 1970")]
Count = Annotated[int, Meta(ge=0, description="whole number")]
Number = Annotated[int, Meta(ge=1, description="whole number from 1 up")]
RequestId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", description="128 bits that name the request")]
MarketName = Annotated[str, Meta(min_length=1, max_length=24, description="a market of this venue")]
Name = Annotated[str, Meta(min_length=1, max_length=64, description="the caller's own name")]
Asset = Literal["USDC"]
Environment = Literal["paper"]
SideWord = Literal["buy", "sell"]
ModeWord = Literal["isolated", "cross"]
SourceWord = Literal["quote", "mark", "index"]
StpWord = Literal["cancel_taker", "cancel_maker", "cancel_both"]
TifWord = Literal["GTC", "IOC", "FOK", "GTD"]
RetryWord = Annotated[
    Literal["never", "later", "now"],
    Meta(description="may the very same request succeed later: never, when the venue has changed, at once"),
]
Cursor = Annotated[str, Meta(description="hand it back as `cursor` for the next page")]


class Image(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an event or a view states; newer rules may add keys, so the documents leave it open."""


class Part(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of an answer with these keys and no others."""


class Answer(Part, kw_only=True):
    """An answer; the request's id is in every one."""

    request_id: RequestId


class Listed(Answer, kw_only=True):
    """A page of a list; the items' type is told by who inherits."""

    next_cursor: Cursor | None


class Refused(Answer, kw_only=True):
    """A refusal: one row of the table of codes at /api/v1/errors."""

    code: Annotated[str, Meta(description="the rule that was broken")]
    error: Annotated[str, Meta(description="what to do, in a sentence")]
    detail: Annotated[dict[str, Any], Meta(description="which key, which bound, what else belongs to it")]
    retry: RetryWord
    seq: Seq | UnsetType = UNSET


class ErrorRow(Part, kw_only=True):
    """One code that a refusal may have."""

    code: str
    status: Annotated[int, Meta(ge=200, le=599, description="its HTTP status")]
    error: str
    retry: RetryWord


class ErrorTable(Listed, kw_only=True):
    """All codes."""

    items: list[ErrorRow]


class Health(Answer, kw_only=True):
    """The process lives."""

    status: Literal["ok"]


class EngineRow(Part, kw_only=True):
    """One engine that lives."""

    role: str
    who: str
    seq: Seq
    lag: int


class Ready(Answer, kw_only=True):
    """May this gateway take an instruction, and what else is not as it should be."""

    status: Literal["ready", "not ready"]
    venue: str | None
    seq: Seq | None
    missing: dict[str, str]
    engines: list[EngineRow]
    degraded: list[str]
    detail: dict[str, str]


class LinkAsked(Answer, kw_only=True):
    """Taken, whoever it is."""

    status: Literal["ACCEPTED"]


class SignedIn(Answer, kw_only=True):
    """A session, for programs; browsers get it as a cookie besides."""

    account_id: Number
    token: Annotated[str, Meta(description="send it as Authorization: Bearer")]
    expires_us: Micros


class SignedOut(Answer, kw_only=True):
    """The session is revoked."""

    status: Literal["SIGNED_OUT"]


class SessionRow(Part, kw_only=True):
    """One place where the account is signed in."""

    id: str
    created_us: Micros
    expires_us: Micros
    label: str
    current: Annotated[bool, Meta(description="is it the one that asks")]


class Sessions(Listed, kw_only=True):
    """The live sessions of the account."""

    items: list[SessionRow]


class Revoked(Answer, kw_only=True):
    """It no longer signs anybody in."""

    revoked: Literal[True]


class KeyRow(Part, kw_only=True):
    """A key for programs, without what was signed with it."""

    key_id: str
    public_key: str
    scopes: list[Literal["read", "trade"]]
    label: str
    created_us: Micros
    expires_us: Micros
    rotated_to: Annotated[str, Meta(description="the key that took its place")] | UnsetType = UNSET


class KeyMade(Answer, kw_only=True):
    """A key that was registered, or the one that takes another's place."""

    key_id: str
    public_key: str
    scopes: list[Literal["read", "trade"]]
    label: str
    created_us: Micros
    expires_us: Micros


class Keys(Listed, kw_only=True):
    """The live keys of the account."""

    items: list[KeyRow]
