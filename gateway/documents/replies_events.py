"""
The images that events state of accounts, as answers and messages show them: orders, fills, positions, money; pure.

Events are as old as the venue: a key that came with later rules is optional here though every new event has it.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from gateway.documents.replies import (
    Count,
    Decimal,
    Image,
    MarketName,
    Micros,
    Millis,
    ModeWord,
    Name,
    Number,
    Seq,
    SideWord,
    SourceWord,
    StpWord,
    TifWord,
)

OrderKindWord = Literal[
    "market",
    "limit",
    "stop_market",
    "stop_limit",
    "take_profit_market",
    "take_profit_limit",
    "trailing_stop",
    "liquidation",
    "settlement",
    "adl",
]
StatusWord = Literal["resting", "trigger", "attached", "delayed"]
PositionKindWord = Literal["net", "ticket"]
ReasonWord = Annotated[str, Meta(pattern="^[a-z_]+$", description="why it ended, as docs/commands.md lists")]
ResultWord = Annotated[str, Meta(pattern="^[A-Z_]+$", description="OK, or the code of the rule that was broken")]
LedgerWord = Literal[
    "deposit", "margin", "pnl", "fee", "liquidation_fee", "deficit", "funding", "credit", "reset", "transfer"
]
CounterName = Annotated[
    str,
    Meta(
        pattern="^(external|house|fees|insurance|(position|account):[1-9][0-9]*)$",
        description="where the money came from or went to",
    ),
]


class OrderHead(Image, kw_only=True):
    """What every image of an order begins with."""

    market: MarketName
    order_id: Number
    position_id: Number | UnsetType = UNSET
    client_order_id: Name | UnsetType = UNSET
    side: SideWord
    kind: OrderKindWord
    tif: TifWord | UnsetType = UNSET
    qty: Decimal | UnsetType = UNSET
    qty_filled: Decimal
    price: Decimal | UnsetType = UNSET
    price_trigger: Decimal | UnsetType = UNSET
    trigger_by: SourceWord | UnsetType = UNSET
    trail_ticks: Number | UnsetType = UNSET
    trail_ppm: Number | UnsetType = UNSET
    price_activation: Decimal | UnsetType = UNSET
    price_peak: Decimal | UnsetType = UNSET
    close_percent: Number | UnsetType = UNSET
    placed_us: Micros


class Order(OrderHead, kw_only=True):
    """A live order."""

    oco_order_id: Number | UnsetType = UNSET
    status: StatusWord
    slippage_bps: Count | UnsetType = UNSET
    post_only: bool
    reduce_only: bool
    stp: StpWord | UnsetType = UNSET
    expires_ms: Millis | UnsetType = UNSET
    reserved: Decimal


class OrderSeen(Order, kw_only=True):
    """A live order, with the log entry that changed it last."""

    seq: Seq


class ClosedOrder(OrderHead, kw_only=True):
    """An order that reached its end, with its whole life."""

    reason: ReasonWord
    result: ResultWord | UnsetType = UNSET
    price_average: Decimal | UnsetType = UNSET
    fee: Decimal
    pnl_realised: Decimal
    closed_us: Micros


class Fill(Image, kw_only=True):
    """One execution of an order."""

    market: MarketName
    order_id: Number
    position_id: Number
    fill_id: Number
    side: SideWord
    maker: bool
    price: Decimal
    qty: Decimal
    notional: Decimal | UnsetType = UNSET
    fee: Decimal
    pnl_realised: Decimal


class PositionTrigger(Image, kw_only=True):
    """The take-profit or stop-loss of a position."""

    order_id: Number
    price_trigger: Decimal
    trigger_by: SourceWord
    price: Decimal | UnsetType = UNSET


class Position(Image, kw_only=True):
    """A position; quantity zero: it is gone."""

    market: MarketName
    position_id: Number
    kind: PositionKindWord
    mode: ModeWord | UnsetType = UNSET
    qty: Decimal
    leverage: Count
    price_entry: Decimal | UnsetType = UNSET
    cost: Decimal
    margin: Decimal
    price_liquidation: Decimal | UnsetType = UNSET
    take_profit: PositionTrigger | UnsetType = UNSET
    stop_loss: PositionTrigger | UnsetType = UNSET
    pnl_realised: Decimal
    fees: Decimal
    funding: Decimal | UnsetType = UNSET
    opened_us: Micros


class ClosedPosition(Image, kw_only=True):
    """A position that reached its end, with its whole life."""

    market: MarketName
    position_id: Number
    kind: PositionKindWord
    direction: Literal["long", "short"]
    qty: Decimal
    price_entry: Decimal
    price_exit: Decimal
    pnl_realised: Decimal
    fees: Decimal
    funding: Decimal | UnsetType = UNSET
    reason: ReasonWord
    opened_us: Micros
    closed_us: Micros


class Balance(Image, kw_only=True):
    """An account's money and what holds for it."""

    free: Decimal
    reserved: Decimal
    mode: ModeWord | UnsetType = UNSET
    frozen: bool | UnsetType = UNSET
    deadman_us: Micros | UnsetType = UNSET
    resets: Count | UnsetType = UNSET
    locked_until_ms: Millis | UnsetType = UNSET


class LeverageImage(Image, kw_only=True):
    """What an account has set for a market; leverage 0: none, the default holds."""

    market: MarketName
    leverage: Count
    mode: ModeWord | UnsetType = UNSET


class Guards(Image, kw_only=True):
    """What the owner forbids himself, and what holds where an order says nothing; those that are set."""

    leverage_max: Number | UnsetType = UNSET
    daily_loss_max: Decimal | UnsetType = UNSET
    slippage_bps: Count | UnsetType = UNSET
    stp: StpWord | UnsetType = UNSET


class LedgerLeg(Image, kw_only=True):
    """One movement of the account's money."""

    amount: Decimal
    counter: CounterName
    reason: LedgerWord
    ref: Annotated[int, Meta(description="the fill, position or entry that it belongs to")]
    free_after: Decimal


class FundingPaid(Image, kw_only=True):
    """What one position paid (negative) or received."""

    market: MarketName
    position_id: Number
    rate: Decimal
    price_mark: Decimal
    amount: Decimal
    due_ms: Millis


class MarginCall(Image, kw_only=True):
    """A position, or all cross positions together, came near liquidation."""

    market: MarketName | UnsetType = UNSET
    position_id: Number | UnsetType = UNSET
    mode: ModeWord
    price_mark: Decimal | UnsetType = UNSET
    equity: Decimal
    margin_maintenance: Decimal


class MarginCallSeen(MarginCall, kw_only=True):
    """The newest margin call, with its time."""

    log_time_us: Micros


class TriggerFired(Image, kw_only=True):
    """A dormant order woke."""

    market: MarketName
    order_id: Number
    position_id: Number | UnsetType = UNSET
    price_trigger: Decimal
    trigger_by: SourceWord
    price: Decimal


class Liquidation(Image, kw_only=True):
    """A position is closed by force."""

    market: MarketName
    position_id: Number
    order_id: Number
    qty: Decimal
    price: Decimal
    price_mark: Decimal
    price_bankruptcy: Decimal | UnsetType = UNSET


class Deleveraged(Image, kw_only=True):
    """A position was closed to take the other side of a liquidation."""

    market: MarketName
    position_id: Number
    order_id: Number
    liquidation_order_id: Number
    qty: Decimal
    price: Decimal


class Deficit(Image, kw_only=True):
    """What the venue paid for a position that was worth less than nothing."""

    market: MarketName
    position_id: Number
    payer: Literal["external", "house", "fees", "insurance"]
    amount: Decimal


class CommandResult(Image, kw_only=True):
    """The result of one command of a batch."""

    result: ResultWord
    order_id: Number | UnsetType = UNSET
    position_id: Number | UnsetType = UNSET


class Response(CommandResult, kw_only=True):
    """The answer to one instruction, as it stands in the events."""

    request_id: str
    op: str
    results: list[CommandResult] | UnsetType = UNSET
    first_seq: Number | UnsetType = UNSET


class AccountOpened(Image, kw_only=True):
    """A new account; of a sub-account whose and which."""

    owner: Annotated[str, Meta(pattern="^[0-9a-f]{32}$", description="a digest that names the owner")]
    main: Number | UnsetType = UNSET
    sub: Number | UnsetType = UNSET
