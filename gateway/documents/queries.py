"""The query parameters of the routes as structs, for the documents: what each is and what it means; pure."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.documents.replies import MarketName, SideWord

Limit = Annotated[int, Meta(ge=1, le=500, description="how many at most; 100 by default")]
CursorText = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$", description="next_cursor of the page before")]
WaitSeq = Annotated[int, Meta(ge=0, le=2**62, description="wait up to a second until history is complete to here")]
FromTime = Annotated[int, Meta(ge=0, le=2**62, description="only what happened at this time or later")]
ToTime = Annotated[int, Meta(ge=0, le=2**62, description="only what happened before this time")]
IdNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Reason = Annotated[str, Meta(pattern="^[a-z_]+$", description="one of the reasons that the list states")]
OrderName = Annotated[
    str, Meta(pattern="^[ -~]{1,64}$", description="the caller's own name for the order, printable ASCII")
]
SentTime = Annotated[
    str, Meta(pattern="^[0-9]{16}$", description="the time of the sending that is asked about, in microseconds")
]
TokenText = Annotated[str, Meta(description="the token of the link")]
Interval = Literal["1m", "5m", "15m", "1h", "4h", "1d"]
Strict = Annotated[str, Meta(description="with it, degraded is 503 too; its value does not count")]


class Query(Struct, kw_only=True, forbid_unknown_fields=True):
    """What all queries share: only known parameters, each at most once."""


class OfMarket(Query, kw_only=True):
    """Only what belongs to one market."""

    market: MarketName | UnsetType = UNSET


class OfOrder(Query, kw_only=True):
    """The order by the caller's own name for it."""

    client_order_id: OrderName


class Paged(Query, kw_only=True):
    """One page of a history."""

    limit: Limit | UnsetType = UNSET
    cursor: CursorText | UnsetType = UNSET
    wait_seq: WaitSeq | UnsetType = UNSET


class PastOfTime(Paged, kw_only=True):
    """One page, of a range of time if one is given."""

    from_us: FromTime | UnsetType = UNSET
    to_us: ToTime | UnsetType = UNSET


class PastOfMarket(PastOfTime, kw_only=True):
    """One page, of one market if it is named."""

    market: MarketName | UnsetType = UNSET


class PastOrders(PastOfMarket, kw_only=True):
    """Which closed orders."""

    side: SideWord | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET


class PastFills(PastOfMarket, kw_only=True):
    """Which fills."""

    order_id: IdNumber | UnsetType = UNSET
    position_id: IdNumber | UnsetType = UNSET


class PastFundings(PastOfMarket, kw_only=True):
    """Which funding payments."""

    position_id: IdNumber | UnsetType = UNSET


class PastLedger(PastOfTime, kw_only=True):
    """Which movements of money."""

    reason: Reason | UnsetType = UNSET


class PastEquity(Query, kw_only=True):
    """Which part of the account's life, in which steps."""

    interval: Interval | UnsetType = UNSET
    from_ms: Annotated[int, Meta(ge=0, le=2**52, description="from this time on")] | UnsetType = UNSET
    to_ms: Annotated[int, Meta(ge=0, le=2**52, description="before this time")] | UnsetType = UNSET
    wait_seq: WaitSeq | UnsetType = UNSET


class Levels(Query, kw_only=True):
    """How deep."""

    levels: Annotated[int, Meta(ge=1, le=50, description="levels a side; 50 by default")] | UnsetType = UNSET


class Candles(Query, kw_only=True):
    """Which candles."""

    interval: Interval | UnsetType = UNSET
    from_ms: Annotated[int, Meta(ge=0, le=2**52, description="opened at this time or later")] | UnsetType = UNSET
    to_ms: Annotated[int, Meta(ge=0, le=2**52, description="opened before this time")] | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    cursor: CursorText | UnsetType = UNSET


class AskedByName(Query, kw_only=True):
    """The order that is asked about, by the caller's own name for it."""

    client_order_id: OrderName
    ts: SentTime | UnsetType = UNSET


class Ready(Query, kw_only=True):
    """How much must be in order."""

    strict: Strict | UnsetType = UNSET


class Linked(Query, kw_only=True):
    """The link that is followed."""

    token: TokenText | UnsetType = UNSET


class Asked(Query, kw_only=True):
    """The sending that is asked about."""

    ts: SentTime | UnsetType = UNSET
