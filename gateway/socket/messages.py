"""
The messages of the WebSocket, both ways: the structs that are read, written and described; pure.

What a client sends has an `op`, what we send a `type`. An order's `body` is that of the same operation over HTTP and is
read by the same reader, so here it is any object; `BODIES` says which keys it has.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway import bodies
from gateway.documents.replies import Environment, Micros, Number, Place, RetryWord, Seq

TEXT_MAX = 64
CHANNELS_MAX = 100  # of one socket

Id = Annotated[str, Meta(max_length=TEXT_MAX)] | Annotated[int, Meta(ge=-(2**53), le=2**53)]
IdGiven = Annotated[Id, Meta(description="the client's own mark of its message; the answer carries it")]
ChannelName = Annotated[str, Meta(max_length=TEXT_MAX, description="such as `orders` or `ticker.SOL_USDC_PERP`")]
Channels = Annotated[list[ChannelName], Meta(min_length=1, max_length=CHANNELS_MAX)]
PlaceText = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,15}-[0-9]{1,9}(-[0-9]{1,9})?$",
        description="seq-chunk-index of an event, or seq-chunk: everything of that entry",
    ),
]
KeyText = Annotated[str, Meta(max_length=TEXT_MAX, description="as the Idempotency-Key header")]
TimeGiven = Annotated[int, Meta(description="the sending's time, as the Request-Time header")]
AccountGiven = Annotated[
    int, Meta(ge=1, le=2**63 - 1, description="the session's account, which it is by default, or a sub-account")
]


# -- what a client sends


class Asked(Struct, tag_field="op", forbid_unknown_fields=True, kw_only=True):
    """What all messages to us share."""

    id: IdGiven | UnsetType = UNSET


class Auth(Asked, tag="auth", kw_only=True):
    """Sign in: by token, or by key with time, window and signature of method WS and path /ws."""

    token: Annotated[str, Meta(max_length=4096)] | UnsetType = UNSET
    key: str | UnsetType = UNSET
    time: str | int | UnsetType = UNSET
    window: str | int | UnsetType = UNSET
    signature: str | UnsetType = UNSET


class Subscribe(Asked, tag="subscribe", kw_only=True, rename={"start": "from"}):
    """Follow channels: from a snapshot on, or from where an earlier socket ended."""

    channels: Channels
    start: PlaceText | UnsetType = UNSET
    venue: str | UnsetType = UNSET
    account: AccountGiven | UnsetType = UNSET


class Unsubscribe(Asked, tag="unsubscribe", kw_only=True):
    """Follow these channels no longer."""

    channels: Channels
    account: AccountGiven | UnsetType = UNSET


class Ping(Asked, tag="ping", kw_only=True):
    """Ask for a pong."""


class CancelOnDisconnect(Asked, tag="cancel_on_disconnect", kw_only=True):
    """Have the account's orders cancelled once this socket is gone; uses the account's one dead-man switch."""

    enabled: bool
    scope: Literal["opening", "all"] = "opening"
    account: AccountGiven | UnsetType = UNSET


class Ordered(Asked, kw_only=True):
    """What all operations share: the HTTP body, and what HTTP says in headers and the query."""

    body: dict[str, Any] = {}
    key: KeyText | UnsetType = UNSET
    ts: TimeGiven | UnsetType = UNSET
    account: AccountGiven | UnsetType = UNSET


class Order(Ordered, tag="order", kw_only=True):
    """POST /api/v1/trade/order."""


class OrderAmend(Ordered, tag="order_amend", kw_only=True):
    """PATCH /api/v1/trade/order; the body names the order."""


class Cancel(Ordered, tag="cancel", kw_only=True):
    """DELETE /api/v1/trade/order; the body names the order."""


class CancelAll(Ordered, tag="cancel_all", kw_only=True):
    """DELETE /api/v1/trade/orders."""


class Trade(Ordered, tag="trade", kw_only=True):
    """POST /api/v1/trade/create."""


class Close(Ordered, tag="close", kw_only=True):
    """POST /api/v1/trade/close."""


class Triggers(Ordered, tag="triggers", kw_only=True):
    """PUT /api/v1/trade/triggers."""


class Margin(Ordered, tag="margin", kw_only=True):
    """POST /api/v1/trade/margin."""


class Leverage(Ordered, tag="leverage", kw_only=True):
    """POST /api/v1/trade/leverage."""


class Mode(Ordered, tag="mode", kw_only=True):
    """POST /api/v1/trade/mode."""


class Deadman(Ordered, tag="deadman", kw_only=True):
    """POST /api/v1/trade/deadman."""


class CloseAll(Ordered, tag="close_all", kw_only=True):
    """POST /api/v1/trade/close-all."""


class Reverse(Ordered, tag="reverse", kw_only=True):
    """POST /api/v1/trade/reverse."""


class Batch(Ordered, tag="batch", kw_only=True):
    """POST /api/v1/trade/orders."""


class Reset(Ordered, tag="reset", kw_only=True):
    """POST /api/v1/account/reset."""


class Preview(Ordered, tag="preview", kw_only=True):
    """POST /api/v1/trade/preview."""


# The struct of each operation's body. A preview's is that of the route, whose body names the operation itself.
BODIES: dict[type[Ordered], type[Struct] | None] = {
    Order: bodies.OrderPlace,
    OrderAmend: bodies.OrderAmend,
    Cancel: bodies.OrderCancel,
    CancelAll: bodies.OrdersCancel,
    Trade: bodies.TradeCreate,
    Close: bodies.TradeClose,
    Triggers: bodies.TriggersSet,
    Margin: bodies.MarginChange,
    Leverage: bodies.LeverageSet,
    Mode: bodies.MarginModeSet,
    Deadman: bodies.DeadmanSet,
    CloseAll: bodies.PositionsCloseAll,
    Reverse: bodies.PositionReverse,
    Batch: bodies.Batch,
    Reset: bodies.AccountReset,
    Preview: None,
}
ASKED: tuple[type[Asked], ...] = (Auth, Subscribe, Unsubscribe, Ping, CancelOnDisconnect, *BODIES)
BY_OP: dict[str, type[Asked]] = {str(struct.__struct_config__.tag): struct for struct in ASKED}


# -- what we send


class Told(Struct, tag_field="type", kw_only=True, omit_defaults=True):
    """What all messages from us share."""


class Answering(Told, kw_only=True):
    """A message that answers one of the client's and carries its id, if it had one."""

    id: Id | UnsetType = UNSET


class Hello(Told, tag="hello", kw_only=True):
    """The first message: whose venue this is, where its events stand, and what may be asked of this socket."""

    venue: str
    rules: int
    seq: Seq
    env: Environment
    ping_s: int
    limits: dict[str, int]


class SignedIn(Answering, tag="auth", kw_only=True):
    """The socket acts for this account from now on."""

    account_id: Number
    expires_us: Micros


class Subscribed(Answering, tag="subscribed", kw_only=True):
    """The channels are followed; the snapshot, or what was missed, comes next."""

    channels: list[str]
    account: Number | UnsetType = UNSET


class Unsubscribed(Answering, tag="unsubscribed", kw_only=True):
    """The channels are followed no longer; those that were not are not listed."""

    channels: list[str]
    account: Number | UnsetType = UNSET


class Snapshot(Answering, tag="snapshot", kw_only=True):
    """How things stood at `at` (seq-chunk); every later event of the channels follows, none of an earlier one."""

    at: PlaceText
    account: Number | UnsetType = UNSET
    data: Annotated[dict[str, Any], Meta(description="by channel; those that have no standing image are left out")]


class Gap(Answering, tag="gap", kw_only=True, rename={"start": "from"}):
    """What followed `from` cannot be told; a snapshot follows. `first` is the oldest place that can."""

    start: str
    reason: Annotated[
        Literal["trimmed", "ahead", "venue", "unknown"],
        Meta(description="too old; later than all there is; of another venue; no place of this history"),
    ]
    first: str | UnsetType = UNSET


class Live(Answering, tag="live", kw_only=True):
    """Everything up to `at` has been sent; what follows happens now."""

    at: PlaceText


class Event(Told, tag="event", kw_only=True):
    """One event as it stands in the stream; of a liquidation on a public channel only what everybody may know."""

    at: Place
    channel: str
    log_time_us: Micros
    data: dict[str, Any]


class Update(Told, tag="update", kw_only=True):
    """How prices, or an account's worth, stand: no event, so it has no place, and only the newest is sent."""

    channel: str
    seq: Seq
    data: dict[str, Any]


class Pong(Answering, tag="pong", kw_only=True):
    """The answer to a ping; `at` is how far every channel of the socket is complete, if it follows any live."""

    at: PlaceText | UnsetType = UNSET


class Answer(Answering, tag="answer", kw_only=True):
    """The answer to an operation: status and body as over HTTP."""

    status: int
    body: dict[str, Any]
    replay: bool = False
    retry_after_s: int | UnsetType = UNSET


class Error(Answering, tag="error", kw_only=True):
    """A message that could not be carried out, by a row of the table of codes."""

    code: str
    error: str
    detail: dict[str, Any]
    retry: RetryWord
    request_id: str = ""
    retry_after_s: int | UnsetType = UNSET


class ServerShutdown(Told, tag="server_shutdown", kw_only=True):
    """This gateway stops: the socket is closed with 1012 in so many milliseconds; another takes `from`."""

    in_ms: int


TOLD: tuple[type[Told], ...] = (
    Hello,
    SignedIn,
    Subscribed,
    Unsubscribed,
    Snapshot,
    Gap,
    Live,
    Event,
    Update,
    Pong,
    Answer,
    Error,
    ServerShutdown,
)
