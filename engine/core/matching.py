"""
Plans fills: who, how much, at what price. Decides and never writes anything but the plan in hand.

In the `quote` mode the house takes the other side of any size at the outside quote, so a plan is one fill.
"""

from numpy import int64

from engine.core.fees import fee_e6, fee_liquidation_e6
from engine.core.integers import ceil_div, mul_div_ceil, mul_div_floor
from engine.core.kernel import kernel
from engine.core.limits import PPM


@kernel
def touch_ticks(market, side_sign):
    """Return the outside price a taker meets: the ask to buy, the bid to sell."""
    return market.ask_ticks if side_sign > 0 else market.bid_ticks


@kernel
def price_worst_ticks(market, side_sign, slippage_bps):
    """
    Return the worst price that a slippage bound around the mid allows.

    Rounds: towards the mid, so that the bound is never exceeded.
    Source: docs/risk.md#price-protection
    """
    both = market.bid_ticks + market.ask_ticks
    slippage_ppm = slippage_bps * 100
    if side_sign > 0:
        return mul_div_floor(both, PPM + slippage_ppm, int64(2 * PPM))
    return mul_div_ceil(both, PPM - slippage_ppm, int64(2 * PPM))


@kernel
def plan_close(plan, market, lots_now, cost_e6, margin_e6, side_sign, lots, price_ticks):
    """
    Plan what of a fill closes: min(lots, |lots_now|) if the signs oppose, else nothing; the rest opens.

    Writes: plan.close_*, cost_part, released, pnl, open_lots, open_e6, and the position as the closing leaves it.
    Rounds: cost part up, released margin down.
    Source: docs/risk.md#closing
    """
    unit_e6 = market.config.unit_e6
    opposed = lots_now * side_sign < 0
    plan.close_lots = min(lots, abs(lots_now)) if opposed else int64(0)
    plan.close_e6 = plan.close_lots * price_ticks * unit_e6
    plan.open_lots = lots - plan.close_lots
    plan.open_e6 = plan.open_lots * price_ticks * unit_e6
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


@kernel
def plan_cash(plan, free_e6, rate_ppm):
    """
    Plan where the closing's cash goes: to free, or, when negative, out of the remainder's margin, else a deficit.

    A flip's deficit is what its closing part alone would lack: the opening's share of the one fee comes from free, or
    whoever flips a speck of a position would let the insurance fund pay his fees.
    Source: docs/risk.md#closing
    """
    cash_e6 = plan.released_e6 + plan.pnl_e6 - plan.fee_e6
    plan.free_after_e6 = free_e6
    plan.deficit_e6 = 0
    if plan.close_lots == 0:
        plan.free_after_e6 = free_e6 - plan.fee_e6
    elif cash_e6 >= 0:
        plan.free_after_e6 = free_e6 + cash_e6
    elif plan.open_lots > 0:
        alone_e6 = plan.released_e6 + plan.pnl_e6 - fee_e6(plan.close_e6, rate_ppm)
        plan.deficit_e6 = max(int64(0), -alone_e6)
        plan.free_after_e6 = free_e6 + cash_e6 + plan.deficit_e6
    elif plan.lots_after != 0:
        plan.margin_after_e6 += cash_e6
    else:
        plan.deficit_e6 = -cash_e6


@kernel
def plan_taker(plan, market, lots_now, cost_e6, margin_e6, free_e6, side_sign, lots, price_ticks, rate_ppm, leverage):
    """
    Plan one taker fill against the house: the opening part brings its margin and its open loss.

    Rounds: fee and margin up.
    Source: docs/risk.md#opening
    """
    plan_close(plan, market, lots_now, cost_e6, margin_e6, side_sign, lots, price_ticks)
    plan.fee_e6 = fee_e6(plan.close_e6 + plan.open_e6, rate_ppm)
    plan_cash(plan, free_e6, rate_ppm)
    if plan.open_lots > 0:
        plan.margin_in_e6 = ceil_div(plan.open_e6, leverage)
        plan.open_loss_e6 = open_loss_e6(market, side_sign, plan.open_lots, plan.open_e6)
        plan_open(plan)


@kernel
def plan_maker(plan, market, lots_now, cost_e6, margin_e6, free_e6, side_sign, lots, price_ticks, rate_ppm, leverage):
    """Plan one fill of a resting order by the house: margin and open loss as far as free reaches."""
    plan_close(plan, market, lots_now, cost_e6, margin_e6, side_sign, lots, price_ticks)
    plan.fee_e6 = fee_e6(plan.close_e6 + plan.open_e6, rate_ppm)
    plan_cash(plan, free_e6, rate_ppm)
    if plan.open_lots > 0:
        left_e6 = max(int64(0), plan.free_after_e6)
        plan.margin_in_e6 = min(left_e6, ceil_div(plan.open_e6, leverage))
        left_e6 -= plan.margin_in_e6
        plan.open_loss_e6 = min(left_e6, open_loss_e6(market, side_sign, plan.open_lots, plan.open_e6))
        plan_open(plan)


@kernel
def plan_liquidation(plan, market, lots_now, cost_e6, margin_e6, price_ticks):
    """Plan the forced close of a whole isolated position: no taker fee, the liquidation fee out of what is left."""
    side_sign = int64(-1) if lots_now > 0 else int64(1)
    plan_close(plan, market, lots_now, cost_e6, margin_e6, side_sign, abs(lots_now), price_ticks)
    left_e6 = plan.released_e6 + plan.pnl_e6
    plan.fee_e6 = fee_liquidation_e6(plan.close_e6, market.config.fee_liquidation_ppm, left_e6)
    plan_cash(plan, int64(0), int64(0))


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
