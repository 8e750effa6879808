"""The answers about an account and about instructions: state, history, outcomes; pure."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from gateway.documents.replies import (
    Answer,
    Asset,
    Count,
    Cursor,
    Decimal,
    Environment,
    MarketName,
    Micros,
    Millis,
    ModeWord,
    Number,
    Part,
    Place,
    RequestId,
    Seq,
)
from gateway.documents.replies_events import (
    Balance,
    ClosedOrder,
    ClosedPosition,
    CommandResult,
    Fill,
    FundingPaid,
    Guards,
    LedgerLeg,
    LeverageImage,
    MarginCallSeen,
    Order,
    OrderSeen,
    Position,
    ResultWord,
)
from gateway.documents.replies_public import Market

Behind = Annotated[Seq, Meta(description="what this answer does not show yet: waiting did not help")]
Adl = Annotated[int, Meta(ge=1, le=5, description="the fifth of the queue of deleveraging, 5 goes first")]


class Subaccount(Part, kw_only=True):
    """A sub-account, and which of its main's it is."""

    account_id: Number
    sub: Number


class Happened(Answer, kw_only=True):
    """What happened to the account in one log entry."""

    result: ResultWord
    results: list[CommandResult] | UnsetType = UNSET
    order_id: Number | UnsetType = UNSET
    position_id: Number | UnsetType = UNSET
    rebuilt: bool | UnsetType = UNSET
    seq: Seq
    log_time_us: Micros
    fills: list[Fill]
    positions: list[Position]
    closed_positions: list[ClosedPosition]
    orders: list[Order]
    closed_orders: list[ClosedOrder]
    leverages: list[LeverageImage]
    balance: Balance | UnsetType = UNSET
    guards: Guards | UnsetType = UNSET
    subaccount: Subaccount | UnsetType = UNSET
    env: Environment


class Done(Happened, kw_only=True):
    """An accepted instruction, or the first outcome of one sent again."""

    result: Literal["OK"]


class Unknown(Answer, kw_only=True):
    """It may have happened: ask at Location, or send the same again under the same id."""

    status: Literal["UNKNOWN"]
    ts: Annotated[Micros, Meta(description="time of the sending, to ask by")]
    seq: Seq | UnsetType = UNSET
    env: Environment


class OutcomeAccepted(Happened, tag_field="status", tag="ACCEPTED", kw_only=True):
    """The instruction was accepted."""

    op: str | UnsetType = UNSET


class OutcomeRefused(Happened, tag_field="status", tag="REFUSED", kw_only=True):
    """The instruction was refused; result names the rule that it broke."""

    op: str | UnsetType = UNSET


class OutcomeUnknown(Answer, tag_field="status", tag="UNKNOWN", kw_only=True):
    """Nothing is known of it yet."""

    ts: Micros | UnsetType = UNSET
    env: Environment


class OutcomeNotAccepted(Answer, tag_field="status", tag="NOT_ACCEPTED", kw_only=True):
    """It was not accepted and never will be."""

    ts: Micros
    env: Environment


class Crossed(Part, kw_only=True):
    """The cross positions taken together."""

    equity: Decimal
    cash: Decimal
    pnl_unrealised: Decimal
    margin_initial: Decimal
    margin_maintenance: Decimal


class Worth(Part, kw_only=True):
    """What an account is worth at the marks of this moment."""

    equity: Decimal
    free: Decimal
    reserved: Decimal
    margin: Decimal
    pnl_unrealised: Decimal
    available: Decimal
    transferable: Decimal
    margin_maintenance: Decimal
    cross: Crossed | UnsetType = UNSET


class AssetWorth(Worth, kw_only=True):
    """The worth of one asset."""

    asset: Asset


class AccountValued(Worth, kw_only=True):
    """The account with its worth."""

    account_id: Number
    mode: ModeWord
    positions_count: Count
    orders_count: Count
    asset: Asset
    frozen: bool | UnsetType = UNSET
    deadman_us: Micros | UnsetType = UNSET
    resets: Count | UnsetType = UNSET
    locked_until_ms: Millis | UnsetType = UNSET
    leverages: dict[MarketName, Number]
    modes: dict[MarketName, ModeWord]
    guards: Guards
    margin_call: MarginCallSeen | UnsetType = UNSET
    main: Number | UnsetType = UNSET
    sub: Number | UnsetType = UNSET
    subaccounts: list[Subaccount] | UnsetType = UNSET
    env: Environment


class Account(AccountValued, kw_only=True):
    """The account in one body."""

    request_id: RequestId
    role: Annotated[Literal["trader", "operator"], Meta(description="of who is signed in")] | UnsetType = UNSET
    seq: Seq
    behind_seq: Behind | UnsetType = UNSET


class Viewed(Answer, kw_only=True):
    """A list out of the account's view, whole."""

    next_cursor: None
    seq: Seq
    behind_seq: Behind | UnsetType = UNSET


class Balances(Viewed, kw_only=True):
    """All balances."""

    items: list[AssetWorth]


class BalanceUsd(Answer, kw_only=True):
    """What the account is worth in USD."""

    asset: Literal["USD"]
    equity: Decimal
    available: Decimal
    seq: Seq
    behind_seq: Behind | UnsetType = UNSET


class Assets(Answer, kw_only=True):
    """The instruments on offer."""

    items: list[Market]
    next_cursor: None


class PositionOpen(Position, kw_only=True):
    """An open position, with the log entry that changed it last."""

    seq: Seq


class PositionValued(PositionOpen, kw_only=True):
    """An open position with its mark, worth and risk."""

    mode: ModeWord
    price_mark: Decimal
    notional: Decimal
    pnl_unrealised: Decimal
    pnl_percent: Annotated[Decimal, Meta(description="of the margin with which it was opened")]
    equity: Decimal
    margin_maintenance: Decimal
    price_liquidation_estimate: Decimal | UnsetType = UNSET
    adl_rank: Adl | UnsetType = UNSET
    margin_call: MarginCallSeen | UnsetType = UNSET


class Positions(Viewed, kw_only=True):
    """The open positions."""

    items: list[PositionValued]
    env: Environment


class Orders(Viewed, kw_only=True):
    """The live orders."""

    items: list[OrderSeen]
    env: Environment


class Past(Answer, kw_only=True):
    """A page of history, newest first."""

    next_cursor: Cursor | None
    complete_to_seq: Annotated[Seq, Meta(description="nothing is missing up to here")]
    env: Environment


class OrderPast(ClosedOrder, kw_only=True):
    """A closed order and its place."""

    seq: Seq
    at: Place | UnsetType = UNSET
    time_us: Micros | UnsetType = UNSET


class OrdersPast(Past, kw_only=True):
    """Closed orders."""

    items: list[OrderPast]


class PositionPast(ClosedPosition, kw_only=True):
    """A closed position and its place."""

    seq: Seq
    at: Place
    time_us: Micros


class PositionsPast(Past, kw_only=True):
    """Closed positions."""

    items: list[PositionPast]


class FillPast(Fill, kw_only=True):
    """A fill and its place."""

    seq: Seq
    at: Place
    time_us: Micros


class FillsPast(Past, kw_only=True):
    """Fills."""

    items: list[FillPast]


class FundingPast(FundingPaid, kw_only=True):
    """A funding payment and its place."""

    seq: Seq
    at: Place
    time_us: Micros


class FundingsPast(Past, kw_only=True):
    """Funding payments."""

    items: list[FundingPast]


class LedgerPast(LedgerLeg, kw_only=True):
    """A movement of money and its place."""

    seq: Seq
    at: Place
    time_us: Micros


class LedgersPast(Past, kw_only=True):
    """Movements of money."""

    items: list[LedgerPast]


class BalancePast(Part, kw_only=True):
    """The wallet balance after the last movement of a step of time; the newest may be that of now, with the equity."""

    time_us: Micros
    balance: Annotated[Decimal, Meta(description="free, reserved and the margin of isolated positions")]
    equity: Annotated[Decimal, Meta(description="balance and unrealised PnL, of now only")] | UnsetType = UNSET


class EquityPast(Past, kw_only=True):
    """How the wallet balance went, in steps of `interval`; a step without a movement has no item."""

    items: list[BalancePast]
    next_cursor: None
    interval: Literal["1m", "5m", "15m", "1h", "4h", "1d"]
