"""
Funding: what a mark frame says of the next one, and its settlement once it is due, one position after the other.

Longs pay shorts when the rate is positive, on the notional at mark; every payment is between the account and HOUSE.
Source: docs/risk.md#funding
"""

from numpy import int64

from engine.core import events, events_venue, ledger, tables, triggers
from engine.core.integers import mul_div_ceil
from engine.core.kernel import kernel
from engine.core.limits import FUNDING_AHEAD_US, FUNDING_MARK_US, PPB, ROW_NONE
from shared.codes import ACCOUNT_FIRST, ACCOUNT_HOUSE, LedgerReason, MarketState


@kernel
def funding_note(state, market_row, command):
    """
    Take the rate and the time of the next funding from an accepted mark frame.

    Not taken: a time that was settled, is not ahead of log time or more than a day ahead of it; and a later one than a
    due time that is not settled yet, because the exchange's clock may be ahead of the venue's.
    Writes: the market's funding_rate_ppb and funding_next_ms.
    """
    market = state.markets[market_row]
    next_ms = command.funding_next_ms
    now_us = state.header.log_time_us
    if next_ms <= market.funding_settled_ms or next_ms > (now_us + FUNDING_AHEAD_US) // 1000:
        return
    if next_ms * 1000 <= now_us:
        return
    if market.funding_next_ms != 0 and next_ms > market.funding_next_ms:
        return
    market.funding_rate_ppb = command.funding_rate_ppb
    funding_next_set(state, market_row, next_ms)


@kernel
def funding_next_set(state, market_row, next_ms):
    """Write when a market's funding is due, 0 for never, and find anew which one comes first; also on restore."""
    state.markets[market_row].funding_next_ms = next_ms
    soonest_ms = int64(0)
    for other in range(state.venue.markets_count):
        due_ms = state.markets[other].funding_next_ms
        if due_ms != 0 and (soonest_ms == 0 or due_ms < soonest_ms):
            soonest_ms = due_ms
    state.due.funding_us = soonest_ms * 1000


@kernel
def funding_first(state):
    """Return the row of the market whose funding is due first, lowest id on a tie; the caller knows that one is due."""
    market_row = int64(0)
    while state.markets[market_row].funding_next_ms * 1000 != state.due.funding_us:
        market_row += 1
    return market_row


@kernel
def funding_settle_begin(state, market_row):
    """Begin the settlement of a funding that is due, or skip it: the market is halted, or its mark is too old."""
    market = state.markets[market_row]
    old = market.mark_us == 0 or state.header.log_time_us - market.mark_us > FUNDING_MARK_US
    if market.state == MarketState.HALTED or old:
        halted = market.state == MarketState.HALTED
        reason = int64(events_venue.SKIPPED_HALTED) if halted else int64(events_venue.SKIPPED_MARK_OLD)
        events_venue.emit_funding_skipped(state, market_row, reason)
        funding_done(state, market_row)
        return
    due = state.due
    due.funding_market = market_row + 1
    due.position_row = state.market_links[market_row].position_first
    due.positions = 0
    due.amount_e6 = 0


@kernel
def funding_done(state, market_row):
    """Note a due time as settled; the rate stays to be shown until the next frame."""
    market = state.markets[market_row]
    market.funding_settled_ms = market.funding_next_ms
    funding_next_set(state, market_row, int64(0))


@kernel
def funding_step(state):
    """
    Let the next position of the market in hand pay or receive; after the last one tell the sum.

    Returns the row of its account, whose orders and pool the caller fits; ROW_NONE when none was left.
    """
    due = state.due
    market_row = due.funding_market - 1
    while due.position_row != ROW_NONE:
        row = due.position_row
        due.position_row = int64(state.position_links[row].market_next)
        payment_e6 = funding_payment_e6(state, market_row, row)
        if payment_e6 != 0:
            due.positions += 1
            due.amount_e6 += payment_e6
            return funding_pay(state, row, payment_e6)
    events_venue.emit_funding_settled(state, market_row, due.positions, due.amount_e6)
    due.funding_market = 0
    funding_done(state, market_row)
    return int64(ROW_NONE)


@kernel
def funding_payment_e6(state, market_row, position_row):
    """
    Return what a user's position pays, negative when it receives; the house's own is what the others leave.

    Rounds: up, against the account: a payer pays up to a micro more, a receiver gets up to one less.
    """
    position = state.positions[position_row]
    if position.account_id < ACCOUNT_FIRST:
        return int64(0)
    market = state.markets[market_row]
    value_e6 = position.lots * market.mark_ticks * market.config.unit_e6
    rate_ppb = market.funding_rate_ppb
    if rate_ppb < 0:
        return mul_div_ceil(-value_e6, -rate_ppb, int64(PPB))
    return mul_div_ceil(value_e6, rate_ppb, int64(PPB))


@kernel
def funding_pay(state, position_row, payment_e6):
    """
    Move one payment between a position's account and HOUSE: out of free down to zero, the rest out of the margin.

    A cross position has no margin: free money pays the whole, below zero too. Returns the account's row.
    Writes: accounts, the position's margin and funding, its threshold, `touched`; events legs, funding, its post-image.
    """
    position = state.positions[position_row]
    position_id = position.position_id
    account_row = tables.account_row(int64(position.account_id))
    if payment_e6 > 0:
        lacking_e6 = payment_e6 - min(payment_e6, max(int64(0), state.accounts[account_row].free_e6))
        if lacking_e6 > 0 and position.cross == 0:
            triggers.threshold_drop(state, position_row)
            ledger.margin_add(state, account_row, position_row, -lacking_e6, position_id)
            triggers.threshold_push(state, position_row)
        ledger.transfer(state, account_row, int64(ACCOUNT_HOUSE), payment_e6, int64(LedgerReason.FUNDING), position_id)
    else:
        ledger.transfer(state, int64(ACCOUNT_HOUSE), account_row, -payment_e6, int64(LedgerReason.FUNDING), position_id)
    position.funding_e6 -= payment_e6
    events_venue.emit_funding(state, position_row, -payment_e6)
    events.emit_position_changed(state, position_row)
    state.touched |= int64(1) << (int64(position.market_id) - 1)
    return account_row
