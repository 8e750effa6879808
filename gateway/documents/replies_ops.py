"""What operators are answered; pure."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from gateway.documents.replies import (
    Answer,
    Count,
    Decimal,
    Environment,
    MarketName,
    Micros,
    ModeWord,
    Number,
    Part,
    Place,
    Seq,
)
from gateway.documents.replies_public import StateWord

Words = Annotated[dict[str, str], Meta(description="what is wrong in words, by part; empty when nothing is")]
Process = Annotated[dict[str, Any], Meta(description="`name`, and all that the process says of itself every second")]
Step = Annotated[
    list[Decimal | Count],
    Meta(min_length=3, max_length=3, description="price, quantity and number of positions; the price as decimal text"),
]


class OpsReaders(Part, kw_only=True):
    """How far whoever reads the streams is; empty without a persister."""

    history_seq: Seq | UnsetType = UNSET
    views_seq: Seq | UnsetType = UNSET
    archive_seq: Seq | UnsetType = UNSET
    archive_error: str | UnsetType = UNSET
    trim_log_seq: Seq | UnsetType = UNSET
    trim_events_seq: Seq | UnsetType = UNSET
    trim_reason: str | UnsetType = UNSET


class OpsMarket(Part, kw_only=True):
    """How a market's prices stand."""

    market: MarketName
    tick: Decimal
    state: StateWord | UnsetType = UNSET
    fresh: bool
    source: str | UnsetType = UNSET
    simulated: bool | UnsetType = UNSET
    mark: Decimal | UnsetType = UNSET
    bid: Decimal | UnsetType = UNSET
    ask: Decimal | UnsetType = UNSET
    quote_age_ms: Count | UnsetType = UNSET
    mark_age_ms: Count | UnsetType = UNSET
    open_interest: Decimal | UnsetType = UNSET


class OpsEngine(Part, kw_only=True):
    """What the leading engine stated last."""

    seq: Seq
    log_time_us: Micros
    written_us: Micros
    age_ms: Count
    who: str
    events_last: Annotated[
        str, Meta(pattern=r"^[0-9]+-[0-9]+$", description="seq and chunk of the newest events entry")
    ]
    accounts: Count
    positions: Count
    orders: Annotated[int, Meta(ge=0, description="live orders of every kind")]
    triggers: Annotated[int, Meta(ge=0, description="those of them that wait for a price")]
    money_sum: Annotated[Decimal, Meta(description="of all cells that money lies in: 0")]
    money_seq: Seq
    snapshot_seq: Seq | UnsetType = UNSET
    snapshot_age_ms: Count | UnsetType = UNSET
    snapshot_pause_us: (
        Annotated[int, Meta(ge=0, description="how long the last copy held up the engine")] | UnsetType
    ) = UNSET
    snapshots_skipped: Count


class OpsNear(Part, kw_only=True):
    """An account that is near to liquidation, by the position that brings it there."""

    account: Number
    market: MarketName
    position_id: Number
    mode: ModeWord
    qty: Decimal
    price_mark: Decimal
    price_liquidation: Decimal | UnsetType = UNSET
    distance_ppm: Annotated[
        int,
        Meta(
            description="isolated: from mark to price of liquidation, in millionths of the mark;"
            " cross: equity less maintenance margin, in millionths of the notional"
        ),
    ]


class OpsLadder(Part, kw_only=True):
    """How much of isolated positions would be liquidated at which mark, the nearest step first."""

    step: Annotated[Decimal, Meta(description="width of a price step")]
    longs: list[Step]
    shorts: list[Step]
    truncated: Literal[True] | UnsetType = UNSET


class OpsHouse(Part, kw_only=True):
    """The house's position in a market, beside the quote."""

    qty: Decimal
    notional: Decimal
    pnl_unrealised: Decimal
    bid: Decimal | UnsetType = UNSET
    ask: Decimal | UnsetType = UNSET


class OpsFunds(Part, kw_only=True):
    """What the venue's own accounts have."""

    house: Decimal
    fees: Decimal
    insurance: Decimal


class OpsInsurance(Part, kw_only=True):
    """What the insurance fund holds."""

    balance: Decimal


class OpsEvent(Part, kw_only=True):
    """One event as the stream holds it."""

    at: Place
    seq: Seq
    time_us: Micros
    e: str
    account: Count | UnsetType = UNSET
    why: Annotated[str, Meta(description="the command that tells what made it so")] | UnsetType = UNSET
    data: dict[str, Any]


class Ops(Answer, kw_only=True):
    """One look at the venue; `engine` is null, and what it states absent, until one has led, and without Redis."""

    env: Environment
    venue: str
    time_us: Micros
    tip_seq: Seq
    status: Literal["ready", "not ready"]
    missing: Words
    degraded: Words
    engines_wanted: Count
    processes: list[Process]
    readers: OpsReaders
    markets: list[OpsMarket]
    engine: OpsEngine | None
    nearest: list[OpsNear] | UnsetType = UNSET
    ladder: dict[str, OpsLadder] | UnsetType = UNSET
    house: dict[str, OpsHouse] | UnsetType = UNSET
    funds: OpsFunds | UnsetType = UNSET
    insurance: OpsInsurance | UnsetType = UNSET
    events: list[OpsEvent]
