"""
The images that events state of markets and of the venue: trades, candles, funding, configurations; pure.

Events are as old as the venue: a key that came with later rules is optional here though every new event has it.
"""

from typing import Literal

from msgspec import UNSET, UnsetType

from gateway.documents.replies import Count, Decimal, Image, MarketName, Millis, Number, SideWord

StateWord = Literal["open", "reduce_only", "halted"]
LiquidityWord = Literal["quote", "quote_sized", "book"]


class Trade(Image, kw_only=True):
    """One execution as the public sees it; the side is the taker's."""

    market: MarketName
    price: Decimal
    qty: Decimal
    side: SideWord


class Candle(Image, kw_only=True):
    """A minute of a market's mid; without a quote it has no prices."""

    market: MarketName
    minute_ms: Millis
    open: Decimal | UnsetType = UNSET
    high: Decimal | UnsetType = UNSET
    low: Decimal | UnsetType = UNSET
    close: Decimal | UnsetType = UNSET
    quotes: Count


class FundingSettled(Image, kw_only=True):
    """What all positions of a market together paid to the house."""

    market: MarketName
    rate: Decimal
    price_mark: Decimal
    due_ms: Millis
    positions: Count
    amount: Decimal


class FundingSkipped(Image, kw_only=True):
    """Funding was due and nobody paid."""

    market: MarketName
    due_ms: Millis
    reason: Literal["mark_old", "halted"]


class Tier(Image, kw_only=True):
    """From which notional on which maintenance rate and leverage hold."""

    floor: Decimal
    mmr_ppm: Number
    leverage_max: Number
    amount: Decimal | UnsetType = UNSET


class Market(Image, kw_only=True):
    """All parameters of a market, and its state."""

    market: MarketName
    id: Number
    tick: Decimal
    lot: Decimal
    state: StateWord
    leverage_max: Number
    fee_maker_ppm: Count
    fee_taker_ppm: Count
    fee_liquidation_ppm: Count
    spread_max_ppm: Count
    spike_ppm: Count
    mark_band_ppm: Count
    price_band_ppm: Count
    price_age_max_ms: Count
    notional_min: Decimal
    liquidity: LiquidityWord | UnsetType = UNSET
    depth_levels: Count | UnsetType = UNSET
    taker_delay_ms: Count | UnsetType = UNSET
    notional_max: Decimal | UnsetType = UNSET
    open_interest_notional_max: Decimal | UnsetType = UNSET
    order_qty_max: Decimal
    open_interest_max: Decimal
    tiers: list[Tier]


class InsuranceChanged(Image, kw_only=True):
    """What the insurance fund holds."""

    balance: Decimal


class VenueChanged(Image, kw_only=True):
    """The venue's own limits, and what an account begins with."""

    starting_balance: Decimal
    request_window_ms: Number
    accounts_max: Count
    orders_max: Count
    positions_max: Count
    requests_max: Count
    orders_open_max: Count
    triggers_open_max: Count
    positions_open_max: Count
    subaccounts_max: Count | UnsetType = UNSET
    stp_owner: Count | UnsetType = UNSET
