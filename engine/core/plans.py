"""
The arithmetic of one fill onto one position: what closes, what opens, where the money comes from and goes to.

A plan is made from numbers and written to a PLAN record; nothing else is written here. A cross position has no margin
of its own: its plan moves only fee and result, between free money and the venue.
"""

from numpy import int64

from engine.core.fees import fee_e6, fee_liquidation_e6
from engine.core.integers import ceil_div, mul_div_ceil, mul_div_floor
from engine.core.kernel import kernel

LACK_MAX_E6 = 2  # what the ceilings of a reserve's parts may lack at a maker's fill; it comes off the margin


@kernel
def closing_lots(lots_now, side_sign, lots):
    """Return how many lots of a fill close: min(lots, |lots_now|) if the signs oppose, else none."""
    return min(lots, abs(lots_now)) if lots_now * side_sign < 0 else int64(0)


@kernel
def long_lots(lots):
    """Return what a position adds to the open interest."""
    return max(lots, int64(0))


@kernel
def interest_above(market, lots):
    """Return whether so many lots of open interest are more than a market allows, in lots or in money at mark."""
    config = market.config
    most_e6 = config.open_interest_notional_max_e6
    return lots > config.open_interest_lots_max or (most_e6 > 0 and lots * market.mark_ticks * config.unit_e6 > most_e6)


@kernel
def plan_close(plan, lots_now, cost_e6, margin_e6, side_sign, lots, close_e6, total_e6):
    """
    Plan the closing part of a fill; the rest of it opens.

    Units:  close_e6 is the notional of the first `closing_lots` lots, total_e6 of all.
    Writes: plan.close_*, cost_part, released, pnl, open_lots, open_e6, and the position as the closing leaves it.
    Rounds: cost part up, released margin down.
    Source: docs/risk.md#closing
    """
    plan.close_lots = closing_lots(lots_now, side_sign, lots)
    plan.close_e6 = close_e6
    plan.open_lots = lots - plan.close_lots
    plan.open_e6 = total_e6 - close_e6
    plan.cost_part_e6 = 0
    plan.released_e6 = 0
    plan.pnl_e6 = 0
    if plan.close_lots > 0:
        plan.cost_part_e6 = mul_div_ceil(cost_e6, plan.close_lots, abs(lots_now))
        plan.released_e6 = mul_div_floor(margin_e6, plan.close_lots, abs(lots_now))
        plan.pnl_e6 = -side_sign * plan.close_e6 - plan.cost_part_e6
    plan.lots_after = lots_now + side_sign * lots
    plan.cost_after_e6 = cost_e6 - plan.cost_part_e6 + side_sign * plan.open_e6
    plan.margin_after_e6 = margin_e6 - plan.released_e6
    plan.margin_in_e6 = 0
    plan.open_loss_e6 = 0
    plan.need_e6 = 0
    plan.loss_e6 = 0


@kernel
def plan_cash(plan, free_e6, rate_ppm):
    """
    Plan where the closing's cash goes: to free, or, when negative, out of the remainder's margin, else a deficit.

    A flip's deficit is what its closing part alone would lack: the opening's share of the one fee comes from free, or
    whoever flips a speck of a position would let the insurance fund pay his fees. A cross position's cash goes to free,
    negative too.
    Source: docs/risk.md#closing
    """
    cash_e6 = plan.released_e6 + plan.pnl_e6 - plan.fee_e6
    plan.free_after_e6 = free_e6
    plan.deficit_e6 = 0
    plan.alone_e6 = 0
    if plan.close_lots == 0:
        plan.free_after_e6 = free_e6 - plan.fee_e6
        return
    plan.alone_e6 = cash_e6
    if plan.open_lots > 0:
        plan.alone_e6 = plan.released_e6 + plan.pnl_e6 - fee_e6(plan.close_e6, rate_ppm)
    if plan.cross != 0:
        plan.alone_e6 += backing_part_e6(plan)
        plan.free_after_e6 = free_e6 + cash_e6
    elif cash_e6 >= 0:
        plan.free_after_e6 = free_e6 + cash_e6
    elif plan.open_lots > 0:
        plan.deficit_e6 = max(int64(0), -plan.alone_e6)
        plan.free_after_e6 = free_e6 + cash_e6 + plan.deficit_e6
    elif plan.lots_after != 0:
        plan.margin_after_e6 += cash_e6
    else:
        plan.deficit_e6 = -cash_e6


@kernel
def backing_part_e6(plan):
    """
    Return the share of what backs a cross position that falls to its closing part.

    Rounds: down.
    """
    held = plan.close_lots
    if plan.open_lots == 0:
        held += abs(plan.lots_after)
    return mul_div_floor(plan.backing_e6, plan.close_lots, held)


@kernel
def plan_begin(plan, lots_now, cost_e6, margin_e6, free_e6, side_sign, lots, close_e6, total_e6, rate_ppm):
    """Plan a fill's closing part, its one fee and where the closing's cash goes."""
    plan_close(plan, lots_now, cost_e6, margin_e6, side_sign, lots, close_e6, total_e6)
    plan.fee_e6 = fee_e6(total_e6, rate_ppm)
    plan_cash(plan, free_e6, rate_ppm)


@kernel
def plan_taker(plan, market, side_sign, leverage):
    """
    Plan the opening part of a taker's fill: its margin and its open loss.

    Rounds: margin up.
    Source: docs/risk.md#opening
    """
    if plan.open_lots == 0:
        return
    plan_need(plan, market, side_sign, leverage)
    if plan.cross == 0:
        plan.margin_in_e6 = plan.need_e6
        plan.open_loss_e6 = plan.loss_e6
        plan_open(plan)


@kernel
def plan_need(plan, market, side_sign, leverage):
    """Plan what the opening part asks for: initial margin, and its loss at once against the mark."""
    plan.need_e6 = ceil_div(plan.open_e6, leverage)
    plan.loss_e6 = open_loss_e6(market, side_sign, plan.open_lots, plan.open_e6)


@kernel
def plan_maker(plan, market, side_sign, leverage):
    """
    Plan the opening part of a resting order that another user fills: as a taker's, a micro or two may be lacking.

    A plan that lacks more leaves free money below zero.
    """
    plan_taker(plan, market, side_sign, leverage)
    if plan.cross == 0 and plan.open_lots > 0 and -LACK_MAX_E6 <= plan.free_after_e6 < 0:
        plan.margin_in_e6 += plan.free_after_e6
        plan.margin_after_e6 += plan.free_after_e6
        plan.free_after_e6 = 0


@kernel
def plan_maker_house(plan, market, side_sign, leverage):
    """
    Plan the opening part of a resting order that the quote fills: the open loss only as far as free money reaches.

    Free money that cross positions use does not count for it. A plan that lacks more of its margin than a micro or two
    leaves free money below zero.
    """
    if plan.open_lots == 0:
        return
    plan_need(plan, market, side_sign, leverage)
    if plan.cross != 0:
        return
    left_e6 = plan.free_after_e6
    plan.margin_in_e6 = plan.need_e6
    if plan.need_e6 - LACK_MAX_E6 <= left_e6 < plan.need_e6:
        plan.margin_in_e6 = max(int64(0), left_e6)
    left_e6 = max(int64(0), left_e6 - plan.margin_in_e6 + min(int64(0), plan.spare_e6))
    plan.open_loss_e6 = min(left_e6, plan.loss_e6)
    plan_open(plan)


@kernel
def plan_forced(plan, market, lots_now, cost_e6, margin_e6, free_e6, side_sign, lots, total_e6):
    """
    Plan a fill of a forced close: no taker fee, the liquidation fee out of what margin and result leave.

    What is behind a cross position is the account's equity after the fill; its orders, which reserved some, have ended.
    """
    plan_close(plan, lots_now, cost_e6, margin_e6, side_sign, lots, total_e6, total_e6)
    left_e6 = plan.released_e6 + plan.pnl_e6
    if plan.cross != 0:
        left_e6 += free_e6 + plan.others_e6
        left_e6 += plan.lots_after * market.mark_ticks * market.config.unit_e6 - plan.cost_after_e6
    plan.fee_e6 = fee_liquidation_e6(total_e6, market.config.fee_liquidation_ppm, left_e6)
    plan_cash(plan, free_e6, int64(0))


@kernel
def plan_open(plan):
    """Plan the opening's margin into the position; after a flip's closing part it starts from nothing."""
    plan.margin_after_e6 += plan.margin_in_e6 + plan.open_loss_e6
    plan.free_after_e6 -= plan.margin_in_e6 + plan.open_loss_e6


@kernel
def open_loss_e6(market, side_sign, lots, notional_e6):
    """Return what an opening loses at once against the mark: max(0, side × (N − q·mark·unit))."""
    return max(int64(0), side_sign * (notional_e6 - lots * market.mark_ticks * market.config.unit_e6))


@kernel
def reserve_e6(market, lots, price_ticks, leverage, rate_ppm):
    """
    Return what resting lots hold back: margin and taker fee at their limit.

    Rounds: each part up.
    Source: docs/risk.md#reserves
    """
    notional_e6 = lots * price_ticks * market.config.unit_e6
    return ceil_div(notional_e6, leverage) + fee_e6(notional_e6, rate_ppm)
