"""
The schema: one structured dtype for every table that a snapshot holds and a hash covers, each field with its unit.

What is derived from these tables, and the record that nests them all, is in state.py.
"""

import numpy as np

from engine.core import limits
from shared import records as r

# --- stored: the header -------------------------------------------------------------------------------------------

HEADER = np.dtype(
    [
        ("seq", np.int64),  # of the last applied entry, 0 before genesis
        ("log_time_us", np.int64),  # only moves forward
        ("tick_time_us", np.int64),  # of the last accepted clock_tick
        ("tick_pending_us", np.int64),  # a tick too far ahead, waiting for the next to confirm it; 0 none
        ("rules", np.int64),
        ("lead_seq", np.int64),  # the term: seq of the newest applied lead, 0 none
        ("leader", np.int64, (r.TEXT_WORDS,)),
        ("leads_ignored", np.int64),
        ("events_seq", np.int64),  # id of the last events entry caused: seq and chunk
        ("events_chunk", np.int64),
        ("venue", np.int64, (r.VENUE_WORDS,)),
        ("feed_session", np.int64, (r.TEXT_WORDS,)),
        ("feed_source", np.int64, (r.TEXT_WORDS,)),
        ("feed_status", np.int64),  # FeedStatus
        ("feed_term", np.int64),  # counts sessions
        ("feed_price_age_max_ms", np.int64),  # stated by the session; 0 = the market's own
        ("lag_minute", np.int64),  # minute of log time of the newest bucket
        ("lag_us", np.int64, (limits.LAG_MINUTES,)),  # smallest ts − E of each minute; LAG_NONE when none
        ("minute", np.int64),  # minute of log time whose candle is running
        ("keyframe_slot", np.int64),  # log time ÷ 10 s
        ("entries", np.int64, (limits.KINDS_CAPACITY,)),  # applied, by EntryKind
        ("results", np.int64, (limits.RESULTS_CAPACITY,)),  # instructions, by ResultCode
        ("feed_unknown_market", np.int64),
    ]
)
LAG_NONE = 2**60

# What a feed has said of one market beyond the accepted prices.
FEED = np.dtype(
    [
        ("update_id", np.int64),  # newest of this session, −1 none
        ("mark_event_us", np.int64),  # E of the newest accepted mark of this session
        ("candidate_x2", np.int64),  # bid + ask of a spike awaiting confirmation; 0 none
        ("candidate_count", np.int64),
        ("mark_candidate_ticks", np.int64),
        ("mark_candidate_count", np.int64),
        ("quotes_accepted", np.int64),
        ("marks_accepted", np.int64),
        ("quotes_off_grid", np.int64),
        ("quotes_ignored", np.int64, (limits.IGNORES_CAPACITY,)),  # by IgnoreReason
        ("marks_ignored", np.int64, (limits.IGNORES_CAPACITY,)),
    ]
)

REQUEST = np.dtype(
    [
        ("request_id", np.int64),  # seq of the entry that is remembered: unique; 0 is a free row
        ("account_id", np.int64),
        ("request_hi", np.int64),
        ("request_lo", np.int64),
        ("ts_us", np.int64),
        ("expires_us", np.int64),  # remembered while log time <= this
        ("digest", np.int64),
        ("result", np.int64),  # ResultCode
    ]
)

# Bits of ACCOUNT.guards.
GUARD_LEVERAGE = r.GUARD_LEVERAGE
GUARD_LOSS = r.GUARD_LOSS
GUARD_SLIPPAGE = r.GUARD_SLIPPAGE
GUARD_STP = r.GUARD_STP

# --- stored: the book of record -----------------------------------------------------------------------------------

VENUE = np.dtype(
    [
        ("account_next", np.int64),
        ("order_next", np.int64),
        ("position_next", np.int64),
        ("fill_next", np.int64),
        ("priority_next", np.int64),
        ("starting_balance_e6", np.int64),
        ("request_window_ms", np.int64),
        ("accounts_max", np.int64),
        ("orders_max", np.int64),
        ("positions_max", np.int64),
        ("requests_max", np.int64),
        ("orders_open_max", np.int64),  # resting, an account
        ("triggers_open_max", np.int64),  # dormant, an account
        ("positions_open_max", np.int64),  # an account
        ("subaccounts_max", np.int64),  # of one owner
        ("stp_owner", np.int64),  # 1: all accounts of an owner are oneself to self-trade prevention
        ("markets_count", np.int64),
    ]
)

MARKET = np.dtype(
    [
        ("market_id", np.int64),  # 1 … MARKETS_CAPACITY; 0 is a free row; row = id − 1
        ("config", r.CONFIG),
        ("state", np.int64),  # MarketState
        ("bid_ticks", np.int64),  # last accepted quote; 0 none
        ("ask_ticks", np.int64),
        ("bid_lots", np.int64),
        ("ask_lots", np.int64),
        ("quote_us", np.int64),  # log time of the last accepted quote; 0 none
        ("quote_term", np.int64),  # feed_term of it
        ("mark_ticks", np.int64),  # 0 none
        ("mark_us", np.int64),  # log time of the last accepted mark frame; 0 none
        ("index_ticks", np.int64),  # 0 none
        ("funding_rate_ppb", np.int64),
        ("funding_next_ms", np.int64),  # due and not yet settled; 0 none
        ("funding_settled_ms", np.int64),  # due time of the last one that was settled or skipped
        ("bid_used_lots", np.int64),  # of the quote's own size since it came: `quote_sized`
        ("ask_used_lots", np.int64),
        ("open_interest_lots", np.int64),  # Σ of long lots, the house included
        ("candle_open_x2", np.int64),  # bid + ask, in half ticks; 0 none
        ("candle_high_x2", np.int64),
        ("candle_low_x2", np.int64),
        ("candle_close_x2", np.int64),
        ("candle_quotes", np.int64),
        ("unsettled", np.int64),  # 1 from a change of its configuration until it is settled the next time
    ]
)

ACCOUNT = np.dtype(
    [
        # first what almost every instruction needs
        ("account_id", np.int64),  # 1 … 4 the venue's own, 100 … users; 0 is a free row
        ("free_e6", np.int64),
        ("reserved_e6", np.int64),  # >= 0
        ("cross", np.int64),  # bit of each market whose net position is margined across the account
        ("guards", np.int64),  # which of leverage_most, loss_most_e6, slippage_bps and stp its owner has set: GUARD_*
        ("locked_day", np.int64),  # UTC day on which it may open nothing more; 0 none
        ("day", np.int64),  # UTC day that day_pnl_e6 is of
        ("day_pnl_e6", np.int64),  # realised: results, fees, funding
        ("leverage", np.int16, (r.MARKETS_CAPACITY,)),  # of its net position, by market; 0 is the default
        ("frozen", np.int64),  # 0 or 1
        ("leverage_most", np.int64),
        ("loss_most_e6", np.int64),  # of one UTC day
        ("slippage_bps", np.int64),  # where an order states none
        ("stp", np.int64),  # Stp, where an order states none
        ("owner_hi", np.int64),
        ("owner_lo", np.int64),
        ("opened_us", np.int64),
        ("deadman_us", np.int64),  # when its orders are cancelled; 0 never
        ("deadman_scope", np.int64),  # DeadmanScope
        ("resets", np.int64),
        ("called_day", np.int64),  # UTC day of its last margin call of cross positions; 0 never
        ("main_id", np.int64),  # whose sub-account it is; 0: it is a main one
        ("sub", np.int64),  # which of its main's, from 1
        ("subs", np.int64),  # sub-accounts opened for it
    ]
)

ORDER = np.dtype(
    [
        ("order_id", np.int64),  # > 0, from the venue's counter; 0 is a free row
        ("priority", np.int64),  # rules time order
        ("position_id", np.int64),  # whose SL or TP it is, or what a reduce-only one closes, or what it filled; 0 none
        ("parent_id", np.int64),  # the entry order whose child it is; 0 none
        ("oco_id", np.int64),  # the other leg; 0 none
        ("qty_lots", np.int64),  # total; 0 for SL and TP, which follow their position
        ("qty_filled_lots", np.int64),
        ("filled_e6", np.int64),  # notional of the fills
        ("fee_e6", np.int64),
        ("pnl_e6", np.int64),  # realised
        ("reserved_e6", np.int64),
        ("money_e6", np.int64),  # the most its fills may cost; 0 no bound
        ("placed_us", np.int64),
        ("expires_us", np.int64),  # 0 never
        ("due_us", np.int64),  # when a delayed one may execute
        ("client_order_id", np.int64, (r.CLIENT_ID_WORDS,)),
        ("account_id", np.int32),
        ("price_ticks", np.int32),  # limit, or worst price of a market order; 0 none
        ("price_trigger_ticks", np.int32),
        ("price_activation_ticks", np.int32),  # of a trailing stop; 0 none
        ("peak_ticks", np.int32),  # best price since it is active; kept lazily, see trailing.py
        ("trail_ticks", np.int32),  # offset from the peak, in ticks or in ppm of it
        ("trail_ppm", np.int32),
        ("slippage_bps", np.int32),  # −1: none was given
        ("fee_maker_ppm", np.int32),
        ("fee_taker_ppm", np.int32),
        ("leverage", np.int32),  # of the ticket that a delayed trade_create opens; 0 for orders on the net position
        ("market_id", np.int8),
        ("side", np.int8),
        ("kind", np.int8),
        ("status", np.int8),
        ("tif", np.int8),
        ("trigger_by", np.int8),
        ("post_only", np.int8),
        ("reduce_only", np.int8),
        ("stp", np.int8),
        ("tpsl", np.int8),
        ("active", np.int8),  # of a trailing stop: 0 waits for its activation, 1 follows, 2 fires
        ("close_percent", np.int8),
        ("children", np.int8),  # attached to it, at most
        ("pad", np.int8, (7,)),
    ]
)

POSITION = np.dtype(
    [
        ("position_id", np.int64),  # > 0; 1 … 16 the house's, one a market; 0 is a free row
        ("lots", np.int64),  # signed, long > 0
        ("cost_e6", np.int64),  # signed, long > 0
        ("margin_e6", np.int64),  # signed
        ("opened_us", np.int64),
        ("entry_lots", np.int64),  # opened over its life, with their notional
        ("entry_e6", np.int64),
        ("exit_lots", np.int64),
        ("exit_e6", np.int64),
        ("pnl_e6", np.int64),  # realised
        ("fees_e6", np.int64),
        ("funding_e6", np.int64),
        ("take_profit_id", np.int64),  # order id; 0 none
        ("stop_loss_id", np.int64),
        ("account_id", np.int32),
        ("leverage", np.int32),
        ("market_id", np.int8),
        ("kind", np.int8),  # PositionKind
        ("cross", np.int8),  # 1: margined across the account; since its birth
        ("called", np.int8),  # 1: its margin call has been told
        ("pad", np.int8, (4,)),
    ]
)

STORED_HEADER = ("header", "feeds", "requests")
STORED_RECORD = ("venue", "markets", "accounts", "orders", "positions")
STORED_IDS = {
    "requests": "request_id",
    "markets": "market_id",
    "accounts": "account_id",
    "orders": "order_id",
    "positions": "position_id",
}
