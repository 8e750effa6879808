"""
What every event's JSON looks like: a program for each kind, key for key what shared.wire_events_* print.

The names come from shared.codes. A new kind of event needs a program here and nothing else.
"""

from engine.encode.steps import WORDS, Do, Scale, Step, decimal, money, name, number, text, when
from shared import records as r
from shared.codes import (
    CloseReason,
    EventKind,
    LedgerReason,
    Liquidity,
    MarginMode,
    MarketState,
    Op,
    OrderKind,
    OrderStatus,
    Stp,
    Tif,
)
from shared.wire_events_text import (
    COUNTERS,
    KINDS,
    MODES,
    POSITIONS,
    REASONS,
    RESULTS,
    SIDES,
    SOURCES,
    STPS,
    names_of,
)

TIFS = {int(tif): tif.name for tif in Tif}
BOOLS = {0: "false", 1: "true"}
OF_MARKET = Step(Do.MARKET, ',"market":"', WORDS["market"])
POSITION_ID = number(',"position_id":', "position_id")
POSITION_ID_IF = number(',"position_id":', "position_id", optional=True)
ORDER_ID = number(',"order_id":', "order_id")
ORDER_ID_IF = number(',"order_id":', "order_id", optional=True)
QTY = decimal(',"qty":"', "qty_lots", Scale.LOT)
PRICE = decimal(',"price":"', "price_ticks", Scale.TICK)
MARK = decimal(',"price_mark":"', "price_mark_ticks", Scale.TICK)
EXACT = Step(Do.EXACT, ',"price":"', WORDS["price_average_e4"])
SIDE = name(',"side":"', "side", SIDES)
RESULT = name(',"result":"', "result", RESULTS)
REASON = name(',"reason":"', "reason", REASONS)
TRIGGER_BY = name(',"trigger_by":"', "trigger_by", SOURCES)
FEE, PNL = money(',"fee":"', "fee_e6"), money(',"pnl_realised":"', "pnl_e6")
AMOUNT = money(',"amount":"', "amount_e6")
ACROSS = when(Do.UNLESS_IS, "mode", MarginMode.CROSS, text(',"mode":"cross"'))
TIF = when(Do.UNLESS_NOT, "tif", 0, name(',"tif":"', "tif", TIFS))
OPENED, CLOSED = number(',"opened_us":', "opened_us"), number(',"closed_us":', "closed_us")
PLACED = number(',"placed_us":', "opened_us")
RATE = decimal(',"rate":"', "rate_ppb", Scale.RATE)
DUE = number(',"due_ms":', "due_ms")
CLOSE = text("}")


def of_account(kind: EventKind) -> Step:
    """Return what an event about an account begins with."""
    return number(f'{{"e":"{kind.name.lower()}","account":', "account")


def of_market(kind: EventKind) -> Step:
    """Return what an event about a market begins with."""
    return Step(Do.MARKET, f'{{"e":"{kind.name.lower()}","market":"', WORDS["market"])


def of_position(kind: EventKind) -> tuple[Step, ...]:
    """Return what an event about one position begins with."""
    return of_account(kind), OF_MARKET, POSITION_ID


def of_order(kind: EventKind, *oco: Step) -> tuple[Step, ...]:
    """Return what both order events begin with, up to tif."""
    client = Step(Do.CLIENT, ',"client_order_id":"', WORDS["client_order_id"], optional=True)
    kind_name = name(',"kind":"', "order_kind", KINDS)
    return of_account(kind), OF_MARKET, ORDER_ID, POSITION_ID_IF, *oco, client, SIDE, kind_name, TIF


ORDER_NUMBERS = (
    decimal(',"qty":"', "qty_lots", Scale.LOT, optional=True),
    decimal(',"qty_filled":"', "qty_filled_lots", Scale.LOT),
    decimal(',"price":"', "price_ticks", Scale.TICK, optional=True),
    decimal(',"price_trigger":"', "price_trigger_ticks", Scale.TICK, optional=True),
    when(
        Do.UNLESS_NOT,
        "order_kind",
        OrderKind.TRAILING_STOP,
        when(Do.UNLESS_NOT, "price_trigger_ticks", 0, TRIGGER_BY),
    ),
    when(
        Do.UNLESS_IS,
        "order_kind",
        OrderKind.TRAILING_STOP,
        TRIGGER_BY,
        number(',"trail_ticks":', "trail_ticks", optional=True),
        number(',"trail_ppm":', "trail_ppm", optional=True),
        decimal(',"price_activation":"', "price_activation_ticks", Scale.TICK, optional=True),
        decimal(',"price_peak":"', "price_peak_ticks", Scale.TICK, optional=True),
    ),
    number(',"close_percent":', "close_percent", optional=True),
)
SUMS = (PNL, money(',"fees":"', "fee_e6"), money(',"funding":"', "funding_e6"))


def child(kind: str) -> Step:
    """Return a position's stop loss or take profit, when it has one."""
    return when(
        Do.UNLESS_NOT,
        f"{kind}_id",
        0,
        number(f',"{kind}":{{"order_id":', f"{kind}_id"),
        decimal(',"price_trigger":"', f"{kind}_ticks", Scale.TICK),
        name(',"trigger_by":"', f"{kind}_by", SOURCES),
        decimal(',"price":"', f"{kind}_price_ticks", Scale.TICK, optional=True),
        CLOSE,
    )


def tier(index: int) -> Step:
    """Return one tier of a configuration, when it has so many."""
    first = WORDS["config.tiers"] + index * (r.TIER.itemsize // 8)
    opening = ',{"floor":"' if index else '{"floor":"'
    return when(
        Do.UNLESS_ABOVE,
        "config.tiers_count",
        index,
        Step(Do.DECIMAL, opening, first),
        Step(Do.NUMBER, ',"mmr_ppm":', first + 1),
        Step(Do.NUMBER, ',"leverage_max":', first + 2),
        Step(Do.DECIMAL, ',"amount":"', first + 3),
        CLOSE,
    )


# Printed in one run, in the record's order; the taker delay came later and stands beside the other newer keys.
_RATES = [each for each in r.word_offsets(r.CONFIG) if each.endswith(("_ppm", "_ms")) and each != "taker_delay_ms"]
_FAILED = (CloseReason.TRIGGER_FAILED, CloseReason.DELAY_FAILED)

SHAPES: dict[EventKind, tuple[Step, ...]] = {
    EventKind.ORDER_RESPONSE: (
        of_account(EventKind.ORDER_RESPONSE),
        Step(Do.HEX, ',"request_id":"', WORDS["request_hi"]),
        Step(Do.HEX, "", WORDS["request_lo"]),
        name('","op":"', "op", names_of(Op)),
        RESULT,
        Step(Do.RESULTS),
        ORDER_ID_IF,
        POSITION_ID_IF,
        number(',"first_seq":', "first_seq", optional=True),
        CLOSE,
    ),
    EventKind.BATCH_RESULT: (
        name('{"result":"', "result", RESULTS),
        ORDER_ID_IF,
        POSITION_ID_IF,
        Step(Do.RESULT_END, "}"),
    ),
    EventKind.ORDER_CHANGED: (
        *of_order(EventKind.ORDER_CHANGED, number(',"oco_order_id":', "oco_id", optional=True)),
        name(',"status":"', "status", names_of(OrderStatus)),
        *ORDER_NUMBERS,
        when(Do.UNLESS_ABOVE, "slippage_bps", -1, number(',"slippage_bps":', "slippage_bps")),
        name(',"post_only":', "post_only", BOOLS, quote=""),
        name(',"reduce_only":', "reduce_only", BOOLS, quote=""),
        when(Do.UNLESS_ABOVE, "stp", Stp.CANCEL_TAKER, name(',"stp":"', "stp", STPS)),
        Step(Do.THOUSANDTH, ',"expires_ms":', WORDS["expires_us"], optional=True),
        money(',"reserved":"', "reserved_e6"),
        PLACED,
        CLOSE,
    ),
    EventKind.CLOSED_ORDER: (
        *of_order(EventKind.CLOSED_ORDER),
        REASON,
        *(when(Do.UNLESS_IS, "reason", reason, RESULT) for reason in _FAILED),
        *ORDER_NUMBERS,
        decimal(',"price_average":"', "price_average_e4", Scale.AVERAGE, optional=True),
        FEE,
        PNL,
        PLACED,
        CLOSED,
        CLOSE,
    ),
    EventKind.FILL: (
        of_account(EventKind.FILL),
        OF_MARKET,
        ORDER_ID,
        POSITION_ID,
        number(',"fill_id":', "fill_id"),
        SIDE,
        name(',"maker":', "maker", BOOLS, quote=""),
        EXACT,
        QTY,
        money(',"notional":"', "notional_e6"),
        FEE,
        PNL,
        CLOSE,
    ),
    EventKind.TRADE: (of_market(EventKind.TRADE), EXACT, QTY, SIDE, CLOSE),
    EventKind.POSITION_CHANGED: (
        *of_position(EventKind.POSITION_CHANGED),
        name(',"kind":"', "position_kind", POSITIONS),
        ACROSS,
        QTY,
        number(',"leverage":', "leverage"),
        decimal(',"price_entry":"', "price_average_e4", Scale.AVERAGE, optional=True),
        money(',"cost":"', "cost_e6"),
        money(',"margin":"', "margin_e6"),
        decimal(',"price_liquidation":"', "price_liquidation_ticks", Scale.TICK, optional=True),
        child("take_profit"),
        child("stop_loss"),
        *SUMS,
        OPENED,
        CLOSE,
    ),
    EventKind.CLOSED_POSITION: (
        *of_position(EventKind.CLOSED_POSITION),
        name(',"kind":"', "position_kind", POSITIONS),
        when(Do.UNLESS_ABOVE, "side", 0, text(',"direction":"long"')),
        when(Do.UNLESS_BELOW, "side", 1, text(',"direction":"short"')),
        QTY,
        decimal(',"price_entry":"', "price_average_e4", Scale.AVERAGE),
        decimal(',"price_exit":"', "price_exit_e4", Scale.AVERAGE),
        *SUMS,
        REASON,
        OPENED,
        CLOSED,
        CLOSE,
    ),
    EventKind.ACCOUNT_CHANGED: (
        of_account(EventKind.ACCOUNT_CHANGED),
        money(',"free":"', "free_e6"),
        money(',"reserved":"', "reserved_e6"),
        ACROSS,
        when(Do.UNLESS_NOT, "frozen", 0, text(',"frozen":true')),
        number(',"deadman_us":', "deadman_us", optional=True),
        number(',"resets":', "resets", optional=True),
        number(',"locked_until_ms":', "locked_until_ms", optional=True),
        CLOSE,
    ),
    EventKind.LEDGER: (
        of_account(EventKind.LEDGER),
        AMOUNT,
        Step(Do.COUNTER, ',"counter":"', WORDS["counter"], names=COUNTERS),
        name(',"reason":"', "reason", names_of(LedgerReason)),
        number(',"ref":', "reference"),
        money(',"free_after":"', "free_e6"),
        CLOSE,
    ),
    EventKind.TRIGGER_FIRED: (
        of_account(EventKind.TRIGGER_FIRED),
        OF_MARKET,
        ORDER_ID,
        POSITION_ID_IF,
        decimal(',"price_trigger":"', "price_trigger_ticks", Scale.TICK),
        TRIGGER_BY,
        PRICE,
        CLOSE,
    ),
    EventKind.LIQUIDATION: (
        *of_position(EventKind.LIQUIDATION),
        ORDER_ID,
        QTY,
        PRICE,
        MARK,
        decimal(',"price_bankruptcy":"', "price_bankruptcy_ticks", Scale.TICK, optional=True),
        CLOSE,
    ),
    EventKind.DEFICIT: (
        *of_position(EventKind.DEFICIT),
        name(',"payer":"', "counter", COUNTERS),
        AMOUNT,
        CLOSE,
    ),
    EventKind.MARGIN_CALL: (
        of_account(EventKind.MARGIN_CALL),
        when(Do.UNLESS_IS, "mode", MarginMode.CROSS, text(',"mode":"cross"')),
        when(Do.UNLESS_NOT, "mode", MarginMode.CROSS, OF_MARKET, POSITION_ID, text(',"mode":"isolated"'), MARK),
        money(',"equity":"', "equity_e6"),
        money(',"margin_maintenance":"', "maintenance_e6"),
        CLOSE,
    ),
    EventKind.ADL: (
        *of_position(EventKind.ADL),
        ORDER_ID,
        number(',"liquidation_order_id":', "liquidation_id"),
        QTY,
        PRICE,
        CLOSE,
    ),
    EventKind.ACCOUNT_GUARDS_CHANGED: (
        of_account(EventKind.ACCOUNT_GUARDS_CHANGED),
        when(Do.UNLESS_HAS, "guards", r.GUARD_LEVERAGE, number(',"leverage_max":', "leverage_most")),
        when(Do.UNLESS_HAS, "guards", r.GUARD_LOSS, money(',"daily_loss_max":"', "loss_most_e6")),
        when(Do.UNLESS_HAS, "guards", r.GUARD_SLIPPAGE, number(',"slippage_bps":', "slippage_bps")),
        when(Do.UNLESS_HAS, "guards", r.GUARD_STP, name(',"stp":"', "stp", STPS)),
        CLOSE,
    ),
    EventKind.MARKET_CHANGED: (
        Step(Do.CONFIG),
        of_market(EventKind.MARKET_CHANGED),
        number(',"id":', "market"),
        Step(Do.STEP, ',"tick":"', scale=Scale.CONFIG_TICK),
        Step(Do.STEP, ',"lot":"', scale=Scale.CONFIG_LOT),
        name(',"state":"', "status", names_of(MarketState)),
        number(',"leverage_max":', "config.leverage_max"),
        *(number(f',"{each}":', f"config.{each}") for each in _RATES),
        money(',"notional_min":"', "config.notional_min_e6"),
        name(',"liquidity":"', "config.liquidity", names_of(Liquidity)),
        number(',"depth_levels":', "config.depth_levels"),
        number(',"taker_delay_ms":', "config.taker_delay_ms"),
        money(',"notional_max":"', "config.notional_max_e6"),
        money(',"open_interest_notional_max":"', "config.open_interest_notional_max_e6"),
        decimal(',"order_qty_max":"', "config.order_lots_max", Scale.CONFIG_LOT),
        decimal(',"open_interest_max":"', "config.open_interest_lots_max", Scale.CONFIG_LOT),
        text(',"tiers":['),
        *(tier(index) for index in range(r.TIERS_CAPACITY)),
        text("]}"),
    ),
    EventKind.ACCOUNT_OPENED: (
        of_account(EventKind.ACCOUNT_OPENED),
        Step(Do.HEX, ',"owner":"', WORDS["owner_hi"]),
        Step(Do.HEX, "", WORDS["owner_lo"]),
        text('"'),
        number(',"main":', "account_main", optional=True),
        number(',"sub":', "sub", optional=True),
        CLOSE,
    ),
    EventKind.CANDLE: (
        of_market(EventKind.CANDLE),
        number(',"minute_ms":', "minute_ms"),
        when(
            Do.UNLESS_NOT,
            "close_x2",
            0,
            *(decimal(f',"{each}":"', f"{each}_x2", Scale.HALF) for each in ("open", "high", "low", "close")),
        ),
        number(',"quotes":', "quotes"),
        CLOSE,
    ),
    EventKind.VENUE_CHANGED: (
        Step(Do.DECIMAL, '{"e":"venue_changed","starting_balance":"', WORDS["config"]),
        *(
            Step(Do.NUMBER, f',"{each}":', WORDS["config"] + index)
            for index, each in enumerate(r.VENUE_PARAMETERS)
            if index
        ),
        CLOSE,
    ),
    EventKind.INSURANCE_CHANGED: (money('{"e":"insurance_changed","balance":"', "free_e6"), CLOSE),
    EventKind.ACCOUNT_MARKET_CHANGED: (
        of_account(EventKind.ACCOUNT_MARKET_CHANGED),
        OF_MARKET,
        number(',"leverage":', "leverage"),
        name(',"mode":"', "mode", MODES),
        CLOSE,
    ),
    EventKind.FUNDING: (*of_position(EventKind.FUNDING), RATE, MARK, AMOUNT, DUE, CLOSE),
    EventKind.FUNDING_SETTLED: (
        of_market(EventKind.FUNDING_SETTLED),
        RATE,
        MARK,
        DUE,
        number(',"positions":', "quotes"),
        AMOUNT,
        CLOSE,
    ),
    EventKind.FUNDING_SKIPPED: (
        of_market(EventKind.FUNDING_SKIPPED),
        DUE,
        name(',"reason":"', "reason", {1: "mark_old", 2: "halted"}),
        CLOSE,
    ),
}
