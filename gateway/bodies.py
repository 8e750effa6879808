"""
The bodies of requests as msgspec structs: every key of every operation with its shape and its meaning.

A struct's fields stand in wire.md's order, so they are the canonical order of the instruction too.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.shapes import (
    DecimalChange,
    DecimalText,
    Flag,
    Integer,
    IntegerChange,
    KindText,
    ModeText,
    Scopes,
    ScopeText,
    Shape,
    SideText,
    StpChange,
    StpText,
    Text,
    TifText,
    TpslText,
    TriggerByText,
    shape_meta,
)


class Body(Struct, forbid_unknown_fields=True):
    """What all bodies share: only known keys."""


class Trigger(Body):
    """A take-profit or stop-loss; a bare decimal text means its price_trigger."""

    price_trigger: DecimalText
    trigger_by: TriggerByText | UnsetType = UNSET
    price: DecimalText | UnsetType = UNSET


TriggerValue = Annotated[
    Trigger | str | int, shape_meta(Shape.TRIGGER, "decimal text, or an object with price_trigger")
]
TriggerChange = Annotated[
    Trigger | str | int | None,
    shape_meta(Shape.TRIGGER_OR_NULL, "as in an order; null removes it, leaving it out keeps it"),
]


class Leg(Body, kw_only=True):
    """The other leg of an OCO; market, side, qty, reduce_only and position_id may be left out: they are the first's."""

    market: Text | UnsetType = UNSET
    side: SideText | UnsetType = UNSET
    kind: KindText
    qty: DecimalText | UnsetType = UNSET
    price: DecimalText | UnsetType = UNSET
    price_trigger: DecimalText | UnsetType = UNSET
    trigger_by: TriggerByText | UnsetType = UNSET
    trail_ticks: Integer | UnsetType = UNSET
    trail_ppm: Integer | UnsetType = UNSET
    price_activation: DecimalText | UnsetType = UNSET
    tif: TifText | UnsetType = UNSET
    expires_ms: Integer | UnsetType = UNSET
    post_only: Flag | UnsetType = UNSET
    reduce_only: Flag | UnsetType = UNSET
    position_id: Integer | UnsetType = UNSET
    stp: StpText | UnsetType = UNSET
    slippage_bps: Integer | UnsetType = UNSET
    client_order_id: Text | UnsetType = UNSET


LegValue = Annotated[Leg, shape_meta(Shape.LEG, "the other leg, in the shape of an order")]


class OrderPlace(Body):
    """POST /api/v1/trade/order: an order on the net position."""

    market: Text
    side: SideText
    kind: KindText = "market"
    qty: DecimalText | UnsetType = UNSET
    quote_qty: DecimalText | UnsetType = UNSET
    close_percent: DecimalText | UnsetType = UNSET
    price: DecimalText | UnsetType = UNSET
    price_trigger: DecimalText | UnsetType = UNSET
    trigger_by: TriggerByText | UnsetType = UNSET
    trail_ticks: Integer | UnsetType = UNSET
    trail_ppm: Integer | UnsetType = UNSET
    price_activation: DecimalText | UnsetType = UNSET
    tif: TifText | UnsetType = UNSET
    expires_ms: Integer | UnsetType = UNSET
    post_only: Flag | UnsetType = UNSET
    reduce_only: Flag | UnsetType = UNSET
    position_id: Integer | UnsetType = UNSET
    stp: StpText | UnsetType = UNSET
    slippage_bps: Integer | UnsetType = UNSET
    take_profit: TriggerValue | UnsetType = UNSET
    stop_loss: TriggerValue | UnsetType = UNSET
    tpsl: TpslText | UnsetType = UNSET
    oco: LegValue | UnsetType = UNSET
    client_order_id: Text | UnsetType = UNSET


class OrderAmend(Body):
    """The operation order_amend: which order, and what changes; qty is the total, fills included."""

    order_id: Integer | UnsetType = UNSET
    client_order_id: Text | UnsetType = UNSET
    qty: DecimalText | UnsetType = UNSET
    price: DecimalText | UnsetType = UNSET
    price_trigger: DecimalText | UnsetType = UNSET


class OrderChange(Body):
    """What changes of an order that the address names; qty is the total, fills included."""

    qty: DecimalText | UnsetType = UNSET
    price: DecimalText | UnsetType = UNSET
    price_trigger: DecimalText | UnsetType = UNSET


class OrderCancel(Body):
    """DELETE /api/v1/trade/order/{id}: the address is the body."""

    order_id: Integer | UnsetType = UNSET
    client_order_id: Text | UnsetType = UNSET


class OrdersCancel(Body):
    """DELETE /api/v1/trade/orders?market=: all, or those of one market."""

    market: Text | UnsetType = UNSET


class TradeCreate(Body, kw_only=True):
    """POST /api/v1/trade/create: a ticket position of its own."""

    market: Text
    side: SideText
    margin: DecimalText | UnsetType = UNSET
    qty: DecimalText | UnsetType = UNSET
    leverage: Integer
    slippage_bps: Integer | UnsetType = UNSET
    take_profit: TriggerValue | UnsetType = UNSET
    stop_loss: TriggerValue | UnsetType = UNSET
    client_order_id: Text | UnsetType = UNSET


class TradeClose(Body):
    """POST /api/v1/trade/close: a ticket or net position, all, by quantity or by percent."""

    position_id: Integer
    qty: DecimalText | UnsetType = UNSET
    percent: DecimalText | UnsetType = UNSET


class PositionsCloseAll(Body):
    """POST /api/v1/trade/close-all: every position, or those of one market, in one entry."""

    market: Text | UnsetType = UNSET


class PositionReverse(Body):
    """POST /api/v1/trade/reverse: the net position becomes its opposite."""

    position_id: Integer


class TriggersSet(Body):
    """PUT /api/v1/trade/triggers: set, replace or remove a position's take-profit and stop-loss."""

    position_id: Integer
    take_profit: TriggerChange | UnsetType = UNSET
    stop_loss: TriggerChange | UnsetType = UNSET


class MarginChange(Body):
    """POST /api/v1/trade/margin: put margin into a position, or take some out with a negative amount."""

    position_id: Integer
    amount: DecimalText


class LeverageSet(Body):
    """POST /api/v1/trade/leverage: the leverage of the net position in a market."""

    market: Text
    leverage: Integer


class MarginModeSet(Body):
    """POST /api/v1/trade/mode: whether the net position in a market stands alone or with the account's others."""

    market: Text
    mode: ModeText


class DeadmanSet(Body):
    """POST /api/v1/trade/deadman: cancel orders after so many milliseconds unless said again; 0 turns it off."""

    timeout_ms: Integer
    scope: ScopeText | UnsetType = UNSET


class AccountReset(Body):
    """POST /api/v1/account/reset: back to the starting balance; has no keys."""


class AccountGuardsSet(Body):
    """PUT /api/v1/account/guards: what the owner forbids himself, and what holds where an order says nothing."""

    leverage_max: IntegerChange | UnsetType = UNSET
    daily_loss_max: DecimalChange | UnsetType = UNSET
    slippage_bps: IntegerChange | UnsetType = UNSET
    stp: StpChange | UnsetType = UNSET


class SubaccountOpen(Body):
    """POST /api/v1/account/subaccounts: another account of the same owner; has no keys."""


class AccountTransfer(Body):
    """POST /api/v1/account/transfer: money to another account of the same owner."""

    account_to: Integer
    amount: DecimalText


CommandsValue = Annotated[
    list[dict[str, Any]], shape_meta(Shape.COMMANDS, "1 to 20 operations, each with its op and its keys")
]


class Batch(Body):
    """POST /api/v1/trade/orders: several operations in one entry, one after the other, each with its own result."""

    commands: CommandsValue


class PreviewSize(Body, kw_only=True):
    """What stands in place of a quantity that is to be calculated; one of the two."""

    percent: (
        Annotated[
            str | int, shape_meta(Shape.DECIMAL, "1 to 100, of the most that the venue would take of this order now")
        ]
        | UnsetType
    ) = UNSET
    usd: Annotated[str | int, shape_meta(Shape.DECIMAL, "what the quantity is worth at the order's price at most")] | (
        UnsetType
    ) = UNSET


class PreviewAsked(Body, kw_only=True):
    """POST /api/v1/trade/preview: an instruction to be calculated and not sent."""

    op: (
        Annotated[
            Literal["order_place", "trade_create", "trade_close", "position_reverse", "margin_change"],
            Meta(description="trade_create by default when the body has a margin, else order_place"),
        ]
        | UnsetType
    ) = UNSET
    body: Annotated[dict[str, Any], Meta(description="the body of that instruction, as it would be sent")]
    size: (
        Annotated[PreviewSize, Meta(description="in place of a quantity, of order_place and trade_create")] | UnsetType
    ) = UNSET


class AccountOpen(Body):
    """The operation of a first sign-in; no route takes it from outside."""

    owner: Text


class SignIn(Body):
    """POST /api/v1/auth."""

    email: Annotated[str, Meta(description="where the link is sent", extra={"shape": Shape.TEXT})]


class KeyCreate(Body, kw_only=True):
    """POST /api/v1/keys: the public half of a key that a program made for itself."""

    public_key: Annotated[str, shape_meta(Shape.TEXT, "the 32 bytes of an Ed25519 public key, in base64")]
    label: Annotated[str, shape_meta(Shape.TEXT, "by what its owner knows it again")] | UnsetType = UNSET
    scopes: Scopes
    expires_ms: Annotated[int, shape_meta(Shape.INTEGER, "90 days from now by default, 365 at most")] | UnsetType = (
        UNSET
    )


class KeyRotate(Body, kw_only=True):
    """POST /api/v1/keys/{key_id}/rotate: the key that takes this one's place."""

    public_key: Annotated[str, shape_meta(Shape.TEXT, "the 32 bytes of an Ed25519 public key, in base64")]
    overlap_s: Annotated[int, shape_meta(Shape.INTEGER, "how long both hold; 3600 by default, 86400 at most")] | (
        UnsetType
    ) = UNSET


class Verify(Body):
    """POST /api/v1/auth/verify."""

    token: Annotated[str, shape_meta(Shape.TEXT, "the token of the link")]
