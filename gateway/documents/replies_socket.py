"""What the messages of the WebSocket hold: how things stand by channel, prices, events; pure."""

from msgspec import UNSET, UnsetType

from gateway.documents.replies import Count, Decimal, Image, MarketName, Micros, Millis, ModeWord, Number, Part
from gateway.documents.replies_account import AccountValued, PositionOpen, PositionValued
from gateway.documents.replies_events import Guards, MarginCallSeen, OrderSeen
from gateway.documents.replies_public import Market


class AccountStanding(Image, kw_only=True):
    """An account's money and settings; nothing of one that was not opened by then."""

    account: Number | UnsetType = UNSET
    free: Decimal | UnsetType = UNSET
    reserved: Decimal | UnsetType = UNSET
    mode: ModeWord | UnsetType = UNSET
    frozen: bool | UnsetType = UNSET
    deadman_us: Micros | UnsetType = UNSET
    resets: Count | UnsetType = UNSET
    locked_until_ms: Millis | UnsetType = UNSET
    seq: Count | UnsetType = UNSET
    log_time_us: Micros | UnsetType = UNSET
    leverages: dict[MarketName, Number] | UnsetType = UNSET
    modes: dict[MarketName, ModeWord] | UnsetType = UNSET
    guards: Guards | UnsetType = UNSET
    margin_call: MarginCallSeen | UnsetType = UNSET
    main: Number | UnsetType = UNSET
    sub: Number | UnsetType = UNSET


class ValuationTold(Part, kw_only=True):
    """What an account and its positions are worth, as GET /account and GET /account/positions answer it."""

    account: AccountValued
    positions: list[PositionValued]


class PositionStanding(PositionOpen, kw_only=True):
    """An open position with the newest warning of its margin."""

    margin_call: MarginCallSeen | UnsetType = UNSET


class AllStanding(Part, kw_only=True):
    """Everything of an account that has a standing image."""

    account: AccountStanding
    orders: list[OrderSeen]
    positions: list[PositionStanding]


class InsuranceStanding(Part, kw_only=True):
    """What the insurance fund holds; nothing before the first event of it."""

    balance: Decimal | UnsetType = UNSET
    seq: Count | UnsetType = UNSET
    log_time_us: Micros | UnsetType = UNSET


class Standing(Part, kw_only=True):
    """How things stand, by channel; those that have no standing image are left out."""

    account: AccountStanding | UnsetType = UNSET
    orders: list[OrderSeen] | UnsetType = UNSET
    positions: list[PositionStanding] | UnsetType = UNSET
    events: AllStanding | UnsetType = UNSET
    markets: list[Market] | UnsetType = UNSET
    insurance: InsuranceStanding | UnsetType = UNSET
