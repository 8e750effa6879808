"""
The command, configuration and event records that cross into and out of the core: NumPy dtypes, one meaning a field.

Every field is an int64, so that a record is also a row of machine words. A decimal text is two words, `_units` and
`_e12` (whole part and fraction × 10¹², both carrying the sign). Texts are ASCII packed big-endian, eight bytes a word.
"""

import numpy as np

SCHEMA_VERSION = 3

NAME_WORDS = 3  # market names: 24 bytes
TEXT_WORDS = 4  # sessions, sources, engine ids, hashes: 32 bytes
CLIENT_ID_WORDS = 5  # client order ids: 36 of 40 bytes
VENUE_WORDS = 2  # venue ids: 10 of 16 bytes
TIERS_CAPACITY = 8
MARKETS_CAPACITY = 16

# The highest that a venue's own limits may be set to; the core's tables hold a little more.
ACCOUNTS_MAX = 131_000
ORDERS_MAX = 1_050_000
POSITIONS_MAX = 524_000
REQUESTS_MAX = 262_000
ORDERS_OPEN_MAX = 1_000  # resting, an account
TRIGGERS_OPEN_MAX = 1_000  # dormant, an account

# What a configuration keeps to, so that every product of the core stays inside 64 bits.
LOTS_UNIT_MAX = 10**10  # lots × unit of one order and of one account in a market
INTEREST_UNIT_MAX = 9 * 10**10  # lots × unit of one market's open interest
UNIT_E6_MAX = 10**6
BALANCES_E6_MAX = 2**60  # starting balance × accounts_max stays below

# Bits of COMMAND.present: which optional keys an entry carried.
PRESENT_BID = 1
PRESENT_ASK = 2
PRESENT_INDEX = 4
PRESENT_FUNDING = 8
PRESENT_PRICE = 16
PRESENT_QTY = 32
PRESENT_MARGIN = 64
PRESENT_PERCENT = 128
PRESENT_SLIPPAGE = 256
PRESENT_TAKE_PROFIT = 512
PRESENT_STOP_LOSS = 1024
PRESENT_TAKE_PROFIT_NULL = 2048
PRESENT_STOP_LOSS_NULL = 4096
PRESENT_ORDER_ID = 8192
PRESENT_CLIENT_ORDER_ID = 16384
PRESENT_MARKET = 32768
PRESENT_PRICE_TRIGGER = 1 << 16
PRESENT_TRIGGER_BY = 1 << 17
PRESENT_TRAIL_TICKS = 1 << 18
PRESENT_TRAIL_PPM = 1 << 19
PRESENT_ACTIVATION = 1 << 20
PRESENT_EXPIRES = 1 << 21
PRESENT_POSITION_ID = 1 << 22
PRESENT_QUOTE_QTY = 1 << 23
PRESENT_CLOSE_PERCENT = 1 << 24
PRESENT_TAKE_PROFIT_PRICE = 1 << 25
PRESENT_STOP_LOSS_PRICE = 1 << 26
PRESENT_OCO = 1 << 27
PRESENT_TPSL = 1 << 28
PRESENT_STP = 1 << 29
PRESENT_SIDE = 1 << 30
PRESENT_REDUCE_ONLY = 1 << 31
PRESENT_LEVERAGE_MOST = 1 << 32
PRESENT_LEVERAGE_MOST_NULL = 1 << 33
PRESENT_LOSS_MOST = 1 << 34
PRESENT_LOSS_MOST_NULL = 1 << 35
PRESENT_SLIPPAGE_NULL = 1 << 36
PRESENT_STP_NULL = 1 << 37

# Bits of an account's guards: which of them its owner has set.
GUARD_LEVERAGE = 1
GUARD_LOSS = 2
GUARD_SLIPPAGE = 4
GUARD_STP = 8

BATCH_MAX = 20  # commands of one batch
PARTS_MAX = 2 * BATCH_MAX  # command records that belong to one entry: a batch's commands, each with an OCO's other leg

# What venue_set and market_set may change, in canonical order; bit i of COMMAND.parameters says that the i-th is given.
VENUE_PARAMETERS = (
    "starting_balance",
    "request_window_ms",
    "accounts_max",
    "orders_max",
    "positions_max",
    "requests_max",
    "orders_open_max",
    "triggers_open_max",
    "positions_open_max",
    "subaccounts_max",
    "stp_owner",
)
MARKET_PARAMETERS = (
    "tick",
    "lot",
    "leverage_max",
    "fee_maker_ppm",
    "fee_taker_ppm",
    "fee_liquidation_ppm",
    "spread_max_ppm",
    "spike_ppm",
    "mark_band_ppm",
    "price_band_ppm",
    "price_age_max_ms",
    "notional_min",
    "liquidity",
    "depth_levels",
    "taker_delay_ms",
    "notional_max",
    "open_interest_notional_max",
    "tiers",
)


def _record(names: str, arrays: dict[str, int] | None = None) -> np.dtype:
    """Return a dtype of int64 fields in the order of `names`; those in `arrays` are runs of words."""
    arrays = arrays or {}
    return np.dtype(
        [(name, np.int64, (arrays[name],)) if name in arrays else (name, np.int64) for name in names.split()]
    )


# One log entry. The first four words are no part of an instruction's body; those up to the mark's are all that a quote
# needs. `parts_first` and `config_first` are rows beside the batch: a batch's commands, an OCO's other leg, parameters.
COMMAND = _record(
    """
    seq ts_us parts_first config_first
    kind market session present
    bid_units bid_e12 ask_units ask_e12 bid_size_units bid_size_e12 ask_size_units ask_size_e12
    event_us update_id
    mark_units mark_e12 index_units index_e12 funding_rate_ppb funding_next_ms
    status source price_age_max_ms
    op account request_hi request_lo code_early code_late
    side order_kind tif post_only
    qty_units qty_e12 price_units price_e12 margin_units margin_e12 percent leverage slippage_bps
    take_profit_units take_profit_e12 take_profit_by stop_loss_units stop_loss_e12 stop_loss_by
    take_profit_price_units take_profit_price_e12 stop_loss_price_units stop_loss_price_e12
    price_trigger_units price_trigger_e12 trigger_by trail_ticks trail_ppm price_activation_units price_activation_e12
    quote_qty_units quote_qty_e12 close_percent expires_ms reduce_only stp tpsl
    amount_units amount_e12 timeout_ms scope reason
    mode leverage_most loss_most_units loss_most_e12 account_to
    order_id position_id client_order_id owner_hi owner_lo
    who rules
    checkpoint_seq state_hash record_hash
    venue config_count parts_count parameters
    starting_balance_e6 insurance_balance_e6 request_window_ms
    accounts_max orders_max positions_max requests_max
    orders_open_max triggers_open_max positions_open_max subaccounts_max stp_owner
    """,
    {
        "market": NAME_WORDS,
        "session": TEXT_WORDS,
        "source": TEXT_WORDS,
        "client_order_id": CLIENT_ID_WORDS,
        "reason": TEXT_WORDS,
        "who": TEXT_WORDS,
        "state_hash": TEXT_WORDS,
        "record_hash": TEXT_WORDS,
        "venue": VENUE_WORDS,
    },
)

# One risk tier of a market: from floor_e6 of notional upward.
TIER = np.dtype([("floor_e6", np.int64), ("mmr_ppm", np.int64), ("leverage_max", np.int64), ("amount_e6", np.int64)])

# One market of the genesis entry.
CONFIG = np.dtype(
    [
        ("market", np.int64, (NAME_WORDS,)),
        ("tick_e12", np.int64),  # price of one tick × 10¹²
        ("lot_e12", np.int64),  # quantity of one lot × 10¹²
        ("unit_e6", np.int64),  # money of one tick·lot × 10⁶, whole, >= 1
        ("leverage_max", np.int64),
        ("fee_maker_ppm", np.int64),
        ("fee_taker_ppm", np.int64),
        ("fee_liquidation_ppm", np.int64),
        ("spread_max_ppm", np.int64),
        ("spike_ppm", np.int64),
        ("mark_band_ppm", np.int64),
        ("price_band_ppm", np.int64),
        ("price_age_max_ms", np.int64),
        ("notional_min_e6", np.int64),
        ("liquidity", np.int64),  # Liquidity
        ("depth_levels", np.int64),  # of quote_sized
        ("taker_delay_ms", np.int64),  # 0 none
        ("notional_max_e6", np.int64),  # of one account's exposure at mark; 0 none
        ("open_interest_notional_max_e6", np.int64),  # 0 none
        ("order_lots_max", np.int64),  # lots of one order and of one account's exposure
        ("open_interest_lots_max", np.int64),
        ("tiers_count", np.int64),
        ("tiers", TIER, (TIERS_CAPACITY,)),
    ]
)

# One fact that came out. Only the fields that belong to `kind` are written; the rest is whatever was there before.
EVENT = _record(
    """
    seq log_time_us kind market tick_e12 lot_e12
    account order_id position_id fill_id request_hi request_lo op result first_seq parts
    side order_kind tif status reason trigger_by post_only reduce_only maker position_kind
    qty_lots qty_filled_lots price_ticks price_trigger_ticks price_mark_ticks
    price_average_e4 price_exit_e4 price_liquidation_ticks
    take_profit_id take_profit_ticks take_profit_by stop_loss_id stop_loss_ticks stop_loss_by
    take_profit_price_ticks stop_loss_price_ticks
    oco_id trail_ticks trail_ppm price_activation_ticks price_peak_ticks close_percent slippage_bps expires_us stp
    leverage cost_e6 margin_e6 free_e6 reserved_e6 amount_e6 fee_e6 pnl_e6 funding_e6 notional_e6 counter reference
    frozen deadman_us resets rate_ppb due_ms
    mode equity_e6 maintenance_e6 price_bankruptcy_ticks liquidation_id locked_until_ms
    account_main sub guards leverage_most loss_most_e6
    opened_us closed_us
    minute_ms open_x2 high_x2 low_x2 close_x2 quotes
    owner_hi owner_lo client_order_id
    config
    """,
    {"client_order_id": CLIENT_ID_WORDS, "config": CONFIG.itemsize // 8},
)

COMMAND_WORDS = COMMAND.itemsize // 8
EVENT_WORDS = EVENT.itemsize // 8
CONFIG_WORDS = CONFIG.itemsize // 8


def word_offsets(record: np.dtype) -> dict[str, int]:
    """Return the first word of each field of `record`."""
    assert record.fields is not None
    return {name: record.fields[name][1] // 8 for name in record.names or ()}
