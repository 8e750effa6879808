"""The order calculator's answer; pure."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from gateway.documents.replies import (
    Answer,
    Count,
    Decimal,
    Environment,
    Image,
    MarketName,
    Micros,
    ModeWord,
    Number,
    Part,
    Seq,
    SideWord,
    SourceWord,
)
from gateway.documents.replies_account import Behind
from gateway.documents.replies_events import PositionKindWord, ResultWord


class Rounding(Part, kw_only=True):
    """One figure that was rounded."""

    what: Literal["qty", "price", "fee", "margin_initial", "price_liquidation", "price_break_even"]
    exact: Annotated[Decimal, Meta(description="before, cut after twelve decimals")]
    rounded: Decimal
    direction: Literal["up", "down", "half_up"]
    unit: Annotated[Decimal, Meta(description="the step that it was rounded to")]


class SizeFound(Part, kw_only=True):
    """What the size asked for comes to; without qty there is none to be sent, and result or status says why."""

    qty: Annotated[Decimal, Meta(description="to be sent: whole lots, rounded down")] | UnsetType = UNSET
    qty_max: Annotated[Decimal, Meta(description="of a percentage: the most that the venue would take now")] | (
        UnsetType
    ) = UNSET
    rounding: Rounding | UnsetType = UNSET


class TriggerAfter(Image, kw_only=True):
    """The take-profit or stop-loss that a position would have."""

    price_trigger: Decimal
    trigger_by: SourceWord
    price: Decimal | UnsetType = UNSET


class PositionAfter(Image, kw_only=True):
    """A position as it would be; a new one has no id yet."""

    market: MarketName
    position_id: Number | UnsetType = UNSET
    kind: PositionKindWord
    mode: ModeWord | UnsetType = UNSET
    qty: Decimal
    leverage: Count
    price_entry: Decimal | UnsetType = UNSET
    cost: Decimal
    margin: Decimal
    price_liquidation: Decimal | UnsetType = UNSET
    take_profit: TriggerAfter | UnsetType = UNSET
    stop_loss: TriggerAfter | UnsetType = UNSET
    pnl_realised: Decimal
    fees: Decimal
    funding: Decimal
    opened_us: Micros


class ClosingAt(Part, kw_only=True):
    """Where a trigger would close the position, and what it would have won then, all fees paid."""

    price: Decimal
    pnl: Decimal
    beyond_liquidation: Annotated[bool, Meta(description="true: the position is liquidated before it gets there")] | (
        UnsetType
    ) = UNSET


class BalanceAfter(Part, kw_only=True):
    """The account's money right after the instruction."""

    free: Decimal
    reserved: Decimal


EstimateReason = Literal["book", "quote_sized", "users_orders", "cross", "orders_untold", "loss_limit", "price_assumed"]


class Preview(Answer, kw_only=True):
    """What an instruction would do now; nothing was sent. Other than OK: the rule that it would break."""

    result: ResultWord
    error: str | UnsetType = UNSET
    op: str
    market: MarketName | UnsetType = UNSET
    status: Annotated[str, Meta(description="what the order is at once: resting, trigger, or why it ended")] | (
        UnsetType
    ) = UNSET
    side: SideWord | UnsetType = UNSET
    qty: Decimal | UnsetType = UNSET
    price: Decimal | UnsetType = UNSET
    price_assumed: Annotated[Decimal, Meta(description="where the market was put for an order that waits")] | (
        UnsetType
    ) = UNSET
    notional: Decimal | UnsetType = UNSET
    margin: Annotated[Decimal, Meta(description="what moves from free money into the position")] | UnsetType = UNSET
    leverage: Count | UnsetType = UNSET
    fee: Decimal | UnsetType = UNSET
    fee_close: Annotated[Decimal, Meta(description="of closing at the entry price, as a taker")] | UnsetType = UNSET
    pnl_realised: Decimal | UnsetType = UNSET
    price_liquidation: Decimal | UnsetType = UNSET
    price_liquidation_estimate: (
        Annotated[Decimal, Meta(description="of a cross position, if the account's other marks stay")] | UnsetType
    ) = UNSET
    price_break_even: Decimal | UnsetType = UNSET
    take_profit: ClosingAt | UnsetType = UNSET
    stop_loss: ClosingAt | UnsetType = UNSET
    profit: Decimal | UnsetType = UNSET
    loss: Decimal | UnsetType = UNSET
    risk_reward: Decimal | UnsetType = UNSET
    balance_after: BalanceAfter | UnsetType = UNSET
    position_after: PositionAfter | UnsetType = UNSET
    size: Annotated[SizeFound, Meta(description="when a size was asked for in place of a quantity")] | UnsetType = UNSET
    rounding: list[Rounding]
    price_time_us: Annotated[Micros, Meta(description="when the quote came that was reckoned with")] | UnsetType = UNSET
    estimate: Annotated[bool, Meta(description="may differ although no price moves meanwhile")]
    estimate_reasons: list[EstimateReason]
    seq: Seq
    behind_seq: Behind | UnsetType = UNSET
    env: Environment
