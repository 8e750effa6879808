"""
What the twin remembers: accounts, orders, positions, requests, counters; plain rows found by linear scans.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.reference.markets import Market

EXTERNAL, HOUSE, FEES, INSURANCE, FIRST_USER = 1, 2, 3, 4, 100
DAY_US = 86_400_000_000
LIMIT_LIKE = ("limit", "stop_limit", "take_profit_limit")
DORMANT_KINDS = ("stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop")


@dataclass
class Account:
    """One holder of money; ids 1 to 4 are the venue's own."""

    account_id: int
    owner: str = ""
    free: int = 0
    reserved: int = 0
    frozen: bool = False
    deadman_us: int = 0
    deadman_scope: str = "opening"
    resets: int = 0
    cross: set[str] = field(default_factory=set)  # markets whose net position is margined across the account
    called_day: int = 0  # UTC day of its last margin call across markets
    leverage_most: int | None = None  # what its owner has forbidden it, and what holds where an order says nothing
    loss_most: int | None = None
    slippage_bps: int | None = None
    stp: str | None = None
    day: int = 0  # UTC day that day_pnl is of
    day_pnl: int = 0
    locked_day: int = 0  # UTC day on which it may open nothing more
    main_id: int = 0  # whose sub-account it is
    sub: int = 0
    subs: int = 0
    ended: "Position | None" = None  # its cross position that ended last


@dataclass
class Order:
    """One live instruction: resting, dormant, delayed, or in the act of being filled."""

    order_id: int
    account_id: int
    market: Market
    sign: int
    kind: str
    status: str
    placed_us: int
    priority: int = 0
    lots: int = 0  # 0: it follows its position, or its percentage is not resolved yet
    lots_filled: int = 0
    price: int | None = None
    price_trigger: int | None = None
    trigger_by: str | None = None
    trail_ticks: int | None = None
    trail_ppm: int | None = None
    price_activation: int | None = None
    price_peak: int | None = None  # of a trailing stop once it is active
    tif: str | None = None
    expires_us: int = 0
    post_only: bool = False
    reduce_only: bool = False
    position_id: int | None = None
    stp: str = "cancel_taker"
    slippage_bps: int | None = None
    slippage_default: int | None = None
    close_percent: int | None = None
    tpsl: str | None = None
    cap: int | None = None  # the most money it may spend in all
    oco_id: int | None = None
    client_order_id: str | None = None
    parent_id: int | None = None
    sltp: bool = False  # SL or TP of a whole position
    ticket: bool = False
    leverage: int = 0  # of a ticket
    due_us: int = 0  # of an order that is or was delayed
    reserved: int = 0
    uncovered: int = 0
    fee_maker_ppm: int = 0
    fee_taker_ppm: int = 0
    notional_filled: int = 0
    fee: int = 0
    pnl: int = 0

    @property
    def lots_open(self) -> int:
        """Return what is left to fill."""
        return self.lots - self.lots_filled

    @property
    def limited(self) -> bool:
        """Return whether it has a limit once it is awake."""
        return self.kind in LIMIT_LIKE


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
    funding: int = 0
    cross: bool = False  # margined across the account
    called: bool = False  # its margin call has been told
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
    leverages: dict[tuple[int, str], int] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    house: dict[str, Position] = field(default_factory=dict)
    requests: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    refusals: dict[tuple[int, str], int] = field(default_factory=dict)
    counters: dict[str, int] = field(
        default_factory=lambda: {"account": 99, "order": 0, "position": 99, "fill": 0, "priority": 0}
    )
    results: dict[str, int] = field(default_factory=dict)
    ranking: tuple[Market, dict[int, list[int]]] | None = None  # ids by side, of a market's turn in settle
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

    def orders_aged(self, account_id: int) -> list[Order]:
        """Return the account's live orders by age, the oldest priority first."""
        return sorted(self.orders_of(account_id), key=lambda order: order.priority)

    def positions_of(self, account_id: int) -> list[Position]:
        """Return the account's open positions by id."""
        return [position for _, position in sorted(self.positions.items()) if position.account_id == account_id]

    def position_net(self, account_id: int, market: Market) -> Position | None:
        """Return the account's net position in the market, None when it has none."""
        for position in self.positions_of(account_id):
            if position.market is market and position.kind == "net":
                return position
        return None

    def leverage_net(self, account_id: int, market: Market) -> int:
        """Return the leverage of the account's net position in the market."""
        return min(self.leverages.get((account_id, market.name), 10), market.limits["leverage_max"])

    @property
    def day(self) -> int:
        """Return the UTC day of log time."""
        return self.log_time_us // DAY_US

    def locked(self, account: Account) -> bool:
        """Return whether an account has lost as much today as its owner lets it."""
        return account.locked_day == self.day

    def bound_orders(self, position: Position) -> dict[str, Order]:
        """Return the position's SL and TP by name."""
        return {
            "stop_loss" if order.kind.startswith("stop") else "take_profit": order
            for order in self.orders_of(position.account_id)
            if order.status == "trigger" and order.sltp and order.position_id == position.position_id
        }

    def children(self, parent_id: int) -> list[Order]:
        """Return the attached bracket of an order, by id."""
        return [
            order
            for _, order in sorted(self.orders.items())
            if order.parent_id == parent_id and order.status == "attached"
        ]

    def fresh(self, market: Market) -> bool:
        """Return whether the market's prices may be traded on at the present log time."""
        if not self.feed_up or market.quote_candidate is not None or not market.quoted_in_session or not market.bid:
            return False
        age_max_us = 1_000 * (self.price_age_max_ms or market.limits["price_age_max_ms"])
        if self.log_time_us - market.quote_us < age_max_us:
            return True
        if market.mark_us < 0 or self.log_time_us - market.mark_us >= age_max_us:
            return False
        away = Fraction(abs(2 * market.mark - market.mid_doubled) * 1_000_000, market.mid_doubled)
        return self.log_time_us - market.quote_us <= 60_000_000 and away <= market.rates["fee_taker_ppm"]

    def tradable(self, market: Market) -> bool:
        """Return whether something may happen in the market by itself: it is fresh and not halted."""
        return market.state != "halted" and self.fresh(market)


def money_total(state: State) -> int:
    """Return what conservation says is zero: cells plus margins less signed costs, the house included."""
    cells = sum(account.free + account.reserved for account in state.accounts.values())
    held = [*state.positions.values(), *state.house.values()]
    return cells + sum(position.margin - position.cost for position in held)


def lots_total(state: State, market: Market) -> int:
    """Return the sum of signed lots in a market, the house's included: zero."""
    held = [*state.positions.values(), *state.house.values()]
    return sum(position.lots for position in held if position.market is market)
