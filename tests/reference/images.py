"""
The post-images that events carry: of an account, an order, a position, a market, the venue; key order as on the wire.
"""

from fractions import Fraction
from typing import Any

from tests.reference.markets import PPM, RATES, WINDOW_TICKS, Market
from tests.reference.state import DAY_US, FIRST_USER, Order, Position, State
from tests.reference.texts import ceil_of, floor_of, money_text

SIDES = {1: "buy", -1: "sell"}
VENUE_PARAMETERS = (
    "starting_balance", "request_window_ms", "accounts_max", "orders_max", "positions_max", "requests_max",
    "orders_open_max", "triggers_open_max", "positions_open_max", "subaccounts_max", "stp_owner",
)  # fmt: skip


def account_event(state: State, account_id: int) -> None:
    """Emit the post-image of an account, the venue's own have none; the markets of its cross positions are touched."""
    if account_id >= FIRST_USER:
        account = state.accounts[account_id]
        for position in state.positions_of(account_id):
            position.market.touched = position.market.touched or position.cross
        state.emit(
            "account_changed",
            account=account_id,
            free=money_text(account.free),
            reserved=money_text(account.reserved),
            mode="cross" if account.cross else None,
            frozen=True if account.frozen else None,
            deadman_us=account.deadman_us or None,
            resets=account.resets or None,
            locked_until_ms=(state.day + 1) * DAY_US // 1_000 if state.locked(account) else None,
        )


def trail_trigger(order: Order) -> int | None:
    """Return the price at which an active trailing stop fires at present, None outside the window."""
    if order.price_peak is None:
        return None
    if order.trail_ticks is not None:
        ticks = order.price_peak + order.sign * order.trail_ticks
    else:
        exact = Fraction(order.price_peak * (PPM + order.sign * (order.trail_ppm or 0)), PPM)
        ticks = ceil_of(exact) if order.sign > 0 else floor_of(exact)
    return ticks if 1 <= ticks < WINDOW_TICKS else None


def order_head(state: State, order: Order) -> dict[str, Any]:
    """Return what both order events begin with."""
    return {
        "account": order.account_id,
        "market": order.market.name,
        "order_id": order.order_id,
        "position_id": order.position_id,
        "oco_order_id": order.oco_id if order.order_id in state.orders else None,
        "client_order_id": order.client_order_id,
        "side": SIDES[order.sign],
        "kind": order.kind,
        "tif": order.tif,
    }


def order_numbers(order: Order) -> dict[str, Any]:
    """Return the quantities and prices of an order event."""
    market, trailing = order.market, order.kind == "trailing_stop"
    trigger = trail_trigger(order) if trailing else order.price_trigger

    def shown(ticks: int | None) -> str | None:
        return market.price_text(ticks) if ticks else None

    return {
        "qty": market.qty_text(order.lots) if order.lots else None,
        "qty_filled": market.qty_text(order.lots_filled),
        "price": shown(order.price),
        "price_trigger": shown(trigger),
        "trigger_by": order.trigger_by if trailing or trigger else None,
        "trail_ticks": order.trail_ticks,
        "trail_ppm": order.trail_ppm,
        "price_activation": shown(order.price_activation),
        "price_peak": shown(order.price_peak),
        "close_percent": order.close_percent,
        "slippage_bps": order.slippage_bps if order.status in ("trigger", "delayed") else None,
    }


def order_event(state: State, order: Order) -> None:
    """Emit the post-image of a live order."""
    state.emit(
        "order_changed",
        **order_head(state, order),
        status=order.status,
        **order_numbers(order),
        post_only=order.post_only,
        reduce_only=order.reduce_only,
        stp=order.stp if order.stp != "cancel_taker" else None,
        expires_ms=order.expires_us // 1_000 or None,
        reserved=money_text(order.reserved),
        placed_us=order.placed_us,
    )


def closed_order_event(state: State, order: Order, reason: str, result: str | None) -> None:
    """Emit the whole life of an order that has ended."""
    average = order.market.average_text(order.notional_filled, order.lots_filled) if order.lots_filled else None
    state.emit(
        "closed_order",
        **order_head(state, order),
        reason=reason,
        result=result,
        **order_numbers(order),
        price_average=average,
        fee=money_text(order.fee),
        pnl_realised=money_text(order.pnl),
        placed_us=order.placed_us,
        closed_us=state.log_time_us,
    )


def child_image(market: Market, order: Order | None) -> dict[str, Any] | None:
    """Return what a position's image says of its SL or TP."""
    if order is None or order.price_trigger is None:
        return None
    image = {
        "order_id": order.order_id,
        "price_trigger": market.price_text(order.price_trigger),
        "trigger_by": order.trigger_by,
    }
    return image | ({"price": market.price_text(order.price)} if order.price else {})


def position_event(state: State, position: Position) -> None:
    """Emit the post-image of a position, with its SL, TP and liquidation price; qty 0 means gone."""
    market, bound = position.market, state.bound_orders(position) if position.lots else {}
    threshold = None
    if position.lots and not position.cross:
        threshold = market.threshold(position.lots, position.cost, position.margin)
    state.emit(
        "position_changed",
        account=position.account_id,
        market=market.name,
        position_id=position.position_id,
        kind=position.kind,
        mode="cross" if position.cross else None,
        qty=market.qty_text(position.lots),
        leverage=position.leverage,
        price_entry=market.average_text(position.cost, position.lots) if position.lots else None,
        cost=money_text(position.cost),
        margin=money_text(position.margin),
        price_liquidation=None if threshold is None else market.price_text(threshold),
        take_profit=child_image(market, bound.get("take_profit")),
        stop_loss=child_image(market, bound.get("stop_loss")),
        pnl_realised=money_text(position.pnl),
        fees=money_text(position.fees),
        funding=money_text(position.funding),
        opened_us=position.opened_us,
    )


def market_event(state: State, market: Market) -> None:
    """Emit the post-image of a market's parameters and state."""
    amount, before, tiers = Fraction(0), 0, []
    for floor, ppm, leverage in market.tiers:
        amount += Fraction(floor * (ppm - before), PPM)
        before = ppm
        tiers.append(
            {"floor": money_text(floor), "mmr_ppm": ppm, "leverage_max": leverage, "amount": money_text(int(amount))}
        )
    state.emit(
        "market_changed",
        market=market.name,
        id=market.market_id,
        tick=market.price_text(1),
        lot=market.qty_text(1),
        state=market.state,
        leverage_max=market.limits["leverage_max"],
        **{name: market.rates[name] for name in RATES},
        price_age_max_ms=market.limits["price_age_max_ms"],
        notional_min=money_text(market.limits["notional_min"]),
        liquidity=market.liquidity,
        depth_levels=market.limits["depth_levels"],
        taker_delay_ms=market.limits["taker_delay_ms"],
        notional_max=money_text(market.limits["order_notional"]),
        open_interest_notional_max=money_text(market.limits["open_interest_notional"]),
        order_qty_max=market.qty_text(market.limits["order_lots"]),
        open_interest_max=market.qty_text(market.limits["open_interest_lots"]),
        tiers=tiers,
    )


def venue_event(state: State) -> None:
    """Emit the venue's own parameters."""
    values: dict[str, Any] = {name: state.settings[name] for name in VENUE_PARAMETERS}
    values["starting_balance"] = money_text(values["starting_balance"])
    state.emit("venue_changed", **values)
