"""The answers that everybody may read: markets, prices, liquidations, the insurance fund; pure."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from gateway.documents.replies import (
    Answer,
    Asset,
    Count,
    Cursor,
    Decimal,
    MarketName,
    Micros,
    Millis,
    Part,
    Place,
    RequestId,
    Seq,
    SideWord,
)
from gateway.documents.replies_public import Market, StateWord


class MarketAnswer(Market, kw_only=True):
    """One market."""

    request_id: RequestId


class Markets(Answer, kw_only=True):
    """All markets."""

    items: list[Market]
    next_cursor: None


class Prices(Part, kw_only=True):
    """One market's prices; what the engine has not seen yet is left out."""

    price: Decimal | UnsetType = UNSET
    bid: Decimal | UnsetType = UNSET
    ask: Decimal | UnsetType = UNSET
    mark: Decimal | UnsetType = UNSET
    index: Decimal | UnsetType = UNSET
    quote_us: Micros | UnsetType = UNSET
    fresh: bool


class PricesAll(Answer, kw_only=True):
    """The prices of every market, by its name; `price` is the middle of bid and ask."""

    prices: dict[str, Prices]


class TickerTold(Part, kw_only=True):
    """The last accepted quote and mark; what the engine has not seen yet is left out."""

    market: MarketName
    bid: Decimal | UnsetType = UNSET
    ask: Decimal | UnsetType = UNSET
    bid_qty: Decimal | UnsetType = UNSET
    ask_qty: Decimal | UnsetType = UNSET
    mark: Decimal | UnsetType = UNSET
    index: Decimal | UnsetType = UNSET
    funding_rate: Decimal | UnsetType = UNSET
    state: StateWord | UnsetType = UNSET
    open_interest: Decimal | UnsetType = UNSET
    funding_next_ms: Millis | UnsetType = UNSET
    quote_us: Micros | UnsetType = UNSET
    mark_us: Micros | UnsetType = UNSET
    log_time_us: Micros | UnsetType = UNSET
    quote_age_ms: Count | UnsetType = UNSET
    mark_age_ms: Count | UnsetType = UNSET
    open_24h: Annotated[Decimal, Meta(description="the mid with which the last 24 hours began")] | UnsetType = UNSET
    open_24h_ms: Annotated[Millis, Meta(description="of which minute; later while there is less")] | UnsetType = UNSET
    change_24h: Annotated[Decimal, Meta(description="percent from there to the mark")] | UnsetType = UNSET
    source: Annotated[str, Meta(description="where the quotes come from")] | UnsetType = UNSET
    simulated: Annotated[bool, Meta(description="the source is this venue's own simulator")] | UnsetType = UNSET
    fresh: bool


class Ticker(TickerTold, kw_only=True):
    """The last accepted quote and mark, with the view's seq."""

    request_id: RequestId
    seq: Seq


class LiquidationTold(Part, kw_only=True):
    """A position that was closed by force, without whose it was."""

    kind: Literal["liquidation", "adl"]
    market: MarketName
    side: SideWord | UnsetType = UNSET
    qty: Decimal
    price: Decimal
    price_mark: Decimal | UnsetType = UNSET
    price_bankruptcy: Decimal | UnsetType = UNSET
    price_average: Decimal | UnsetType = UNSET
    time_us: Micros


class LiquidationPublic(LiquidationTold, kw_only=True):
    """A position that was closed by force, and its place."""

    seq: Seq


class Liquidations(Answer, kw_only=True):
    """A market's liquidations, newest first."""

    items: list[LiquidationPublic]
    next_cursor: Cursor | None
    complete_to_seq: Seq


Level = Annotated[list[Decimal], Meta(min_length=2, max_length=2, description="price and quantity of all orders at it")]


class DepthQuote(Part, kw_only=True):
    """The outside quote that stands beside the orders; in `quote` markets it fills any size."""

    bid: Decimal | UnsetType = UNSET
    bid_qty: Decimal | UnsetType = UNSET
    ask: Decimal | UnsetType = UNSET
    ask_qty: Decimal | UnsetType = UNSET


class DepthTold(Part, kw_only=True):
    """Users' resting orders by price, the best first."""

    bids: list[Level]
    asks: list[Level]
    truncated: Annotated[bool, Meta(description="a side has so many orders that its last level may hold more")] | (
        UnsetType
    ) = UNSET
    quote: DepthQuote
    log_time_us: Micros
    fresh: bool


class Depth(DepthTold, kw_only=True):
    """Users' resting orders in a market, with the view's seq."""

    request_id: RequestId
    market: MarketName
    seq: Seq


class CandleJoined(Part, kw_only=True):
    """A candle of the mid."""

    open_ms: Millis
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    quotes: Count
    complete: Annotated[bool, Meta(description="it will not change any more")]


class Candles(Answer, kw_only=True):
    """A market's candles, newest first; minutes without a quote have none."""

    items: list[CandleJoined]
    next_cursor: Cursor | None


class TradePublic(Part, kw_only=True):
    """One execution; the side is the taker's."""

    price: Decimal
    qty: Decimal
    side: SideWord
    time_us: Micros
    at: Place
    seq: Seq


class Trades(Answer, kw_only=True):
    """A market's trades, newest first."""

    items: list[TradePublic]
    next_cursor: Cursor | None
    complete_to_seq: Seq


class FundingPublic(Part, kw_only=True):
    """What one due time brought: what was paid, or why nothing was."""

    due_ms: Millis
    rate: Decimal | UnsetType = UNSET
    price_mark: Decimal | UnsetType = UNSET
    positions: Count | UnsetType = UNSET
    amount: Annotated[Decimal, Meta(description="what all positions together paid")] | UnsetType = UNSET
    skipped: Literal["mark_old", "halted"] | UnsetType = UNSET
    at: Place
    seq: Seq


class FundingNext(Part, kw_only=True):
    """What the next funding is estimated at."""

    rate: Decimal
    due_ms: Millis


class Fundings(Answer, kw_only=True):
    """A market's funding, newest first."""

    items: list[FundingPublic]
    next_cursor: Cursor | None
    complete_to_seq: Seq
    next: FundingNext | UnsetType = UNSET


class Insurance(Answer, kw_only=True):
    """What the insurance fund holds."""

    balance: Decimal
    asset: Asset
    log_time_us: Micros
    seq: Seq
