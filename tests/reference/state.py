"""
What the twin remembers: accounts, orders, positions, requests, counters; plain rows found by linear scans.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.reference.markets import Market
from tests.reference.texts import decimals_of, money_text, number_text

EXTERNAL, HOUSE, FEES, INSURANCE, FIRST_USER = 1, 2, 3, 4, 100
KIND_OF = {"take_profit": "take_profit_market", "stop_loss": "stop_market"}


@dataclass
class Account:
    """One holder of money; ids 1 to 4 are the venue's own."""

    account_id: int
    owner: str = ""
    free: int = 0
    reserved: int = 0


@dataclass
class Order:
    """One live instruction, resting, dormant, or in the act of being filled."""

    order_id: int
    account_id: int
    market: Market
    sign: int
    kind: str
    status: str
    placed_us: int
    priority: int
    lots: int = 0
    lots_filled: int = 0
    price: int | None = None
    price_trigger: int | None = None
    trigger_by: str | None = None
    tif: str | None = None
    post_only: bool = False
    position_id: int | None = None
    client_order_id: str | None = None
    parent_id: int | None = None
    reserved: int = 0
    notional_filled: int = 0
    fee: int = 0
    pnl: int = 0


@dataclass
class Position:
    """One open position; `lots` and `cost` carry the sign of its direction."""

    position_id: int
    account_id: int
    market: Market
    kind: str
    direction: str
    leverage: int
    opened_us: int
    lots: int = 0
    cost: int = 0
    margin: int = 0
    pnl: int = 0
    fees: int = 0
    lots_opened: int = 0
    notional_opened: int = 0
    lots_closed: int = 0
    notional_closed: int = 0


@dataclass
class State:
    """The whole venue between two entries, and the events of the entry being applied."""

    venue: str = ""
    seq: int = 0
    log_time_us: int = 0
    tick_time_us: int = 0
    tick_pending_us: int | None = None
    session: str = ""
    source: str = ""
    feed_up: bool = False
    price_age_max_ms: int | None = None
    lags: dict[int, int] = field(default_factory=dict)
    settings: dict[str, int] = field(default_factory=dict)
    markets: dict[str, Market] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    house: dict[str, Position] = field(default_factory=dict)
    requests: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    refusals: dict[tuple[int, str], int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=lambda: {"account": 99, "order": 0, "position": 99, "fill": 0})
    results: dict[str, int] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def next_id(self, name: str) -> int:
        """Return the next id of one kind."""
        self.counters[name] += 1
        return self.counters[name]

    def emit(self, kind: str, /, **keys: Any) -> None:
        """Append one event; keys whose value is None are left out."""
        self.events.append({"e": kind, **{key: value for key, value in keys.items() if value is not None}})

    def orders_of(self, account_id: int) -> list[Order]:
        """Return the account's live orders by id."""
        return [order for _, order in sorted(self.orders.items()) if order.account_id == account_id]

    def positions_of(self, account_id: int) -> list[Position]:
        """Return the account's open positions by id."""
        return [position for _, position in sorted(self.positions.items()) if position.account_id == account_id]

    def position_net(self, account_id: int, market: Market) -> Position | None:
        """Return the account's net position in the market, None when it has none."""
        for position in self.positions_of(account_id):
            if position.market is market and position.kind == "net":
                return position
        return None

    def bound_orders(self, position: Position) -> dict[str, Order]:
        """Return the position's SL and TP by order kind."""
        return {
            order.kind: order
            for order in self.orders_of(position.account_id)
            if order.status == "trigger" and order.position_id == position.position_id
        }

    def children(self, parent_id: int) -> list[Order]:
        """Return the attached bracket of an order, by id."""
        return [order for _, order in sorted(self.orders.items()) if order.parent_id == parent_id]

    def fresh(self, market: Market) -> bool:
        """Return whether the market's prices may be traded on at the present log time."""
        if not self.feed_up or market.quote_candidate is not None or not market.quoted_in_session:
            return False
        age_max_us = 1_000 * (self.price_age_max_ms or market.limits["price_age_max_ms"])
        if self.log_time_us - market.quote_us < age_max_us:
            return True
        if market.mark_us < 0 or self.log_time_us - market.mark_us >= age_max_us:
            return False
        away = Fraction(abs(2 * market.mark - market.mid_doubled) * 1_000_000, market.mid_doubled)
        return self.log_time_us - market.quote_us <= 60_000_000 and away <= market.rates["fee_taker_ppm"]


def money_total(state: State) -> int:
    """Return what conservation says is zero: cells plus margins less signed costs, the house included."""
    cells = sum(account.free + account.reserved for account in state.accounts.values())
    held = [*state.positions.values(), *state.house.values()]
    return cells + sum(position.margin - position.cost for position in held)


def account_event(state: State, account_id: int) -> None:
    """Emit the post-image of an account; the venue's own have none."""
    if account_id >= FIRST_USER:
        account = state.accounts[account_id]
        state.emit(
            "account_changed",
            account=account_id,
            free=money_text(account.free),
            reserved=money_text(account.reserved),
        )


def order_event(state: State, order: Order) -> None:
    """Emit the post-image of a live order."""
    market = order.market
    follows = order.kind in ("stop_market", "take_profit_market")
    state.emit(
        "order_changed",
        account=order.account_id,
        market=market.name,
        order_id=order.order_id,
        position_id=order.position_id,
        client_order_id=order.client_order_id,
        side="buy" if order.sign > 0 else "sell",
        kind=order.kind,
        tif=order.tif,
        status=order.status,
        qty=None if follows else market.qty_text(order.lots),
        qty_filled=market.qty_text(order.lots_filled),
        price=None if order.price is None else market.price_text(order.price),
        price_trigger=None if order.price_trigger is None else market.price_text(order.price_trigger),
        trigger_by=order.trigger_by,
        post_only=order.post_only,
        reduce_only=follows,
        reserved=money_text(order.reserved),
        placed_us=order.placed_us,
    )


def price_average_text(market: Market, notional: int, lots: int) -> str:
    """Return notional ÷ lots as price text to a ten-thousandth of a tick, rounded half up."""
    ticks = Fraction(abs(notional), abs(lots) * market.unit)
    tenth_thousandths = (ticks * 10_000 + Fraction(1, 2)).__floor__()
    return number_text(Fraction(tenth_thousandths, 10_000) * market.tick, decimals_of(market.tick) + 4)


def position_event(state: State, position: Position) -> None:
    """Emit the post-image of a position, with its SL, TP and liquidation price; qty 0 means gone."""
    market, bound = position.market, state.bound_orders(position)
    threshold = market.threshold(position.lots, position.cost, position.margin) if position.lots else None

    def shown(order: Order | None) -> dict[str, Any] | None:
        if order is None or order.price_trigger is None or not position.lots:
            return None
        text = market.price_text(order.price_trigger)
        return {"order_id": order.order_id, "price_trigger": text, "trigger_by": order.trigger_by}

    state.emit(
        "position_changed",
        account=position.account_id,
        market=market.name,
        position_id=position.position_id,
        kind=position.kind,
        qty=market.qty_text(position.lots),
        leverage=position.leverage,
        price_entry=price_average_text(market, position.cost, position.lots) if position.lots else None,
        cost=money_text(position.cost),
        margin=money_text(position.margin),
        price_liquidation=None if threshold is None else market.price_text(threshold),
        take_profit=shown(bound.get("take_profit_market")),
        stop_loss=shown(bound.get("stop_market")),
        pnl_realised=money_text(position.pnl),
        fees=money_text(position.fees),
        opened_us=position.opened_us,
    )
