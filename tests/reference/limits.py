"""
The limits that an order may not pass: counts, margin, tiers, exposure, open interest, tables.
"""

from collections.abc import Iterator

from tests.reference.affording import dies_at_once, too_poor
from tests.reference.markets import Market
from tests.reference.orders import reserve_of, resting_lots, uncovered
from tests.reference.state import Account, Order, Position, State
from tests.reference.trial import Trial


def counts_codes(state: State, account_id: int, resting: int, dormant: int) -> Iterator[str]:
    """Yield which limit on an account's live orders so many more would pass."""
    orders = state.orders_of(account_id)
    open_now = sum(order.status in ("resting", "delayed") for order in orders)
    if resting and open_now + resting > state.settings["orders_open_max"]:
        yield "ORDERS_OPEN_MAX"
    if dormant > 0 and len(orders) - open_now + dormant > state.settings["triggers_open_max"]:
        yield "TRIGGERS_OPEN_MAX"


def client_id_codes(state: State, account_id: int, wanted: list[str | None]) -> Iterator[str]:
    """Yield whether a client's id is in use among the account's live orders, or given twice."""
    taken = {order.client_order_id for order in state.orders_of(account_id)}
    given = [name for name in wanted if name is not None]
    if any(name in taken for name in given) or len(set(given)) < len(given):
        yield "CLIENT_ORDER_ID_TAKEN"


def tickets(state: State, account_id: int, market: Market) -> int:
    """Return the lots of the account's tickets in a market, either way."""
    held = state.positions_of(account_id)
    return sum(abs(row.lots) for row in held if row.market is market and row.kind == "ticket")


def interest_codes(state: State, market: Market, more: int, without: Order | None = None) -> Iterator[str]:
    """Yield whether open interest, what rests uncovered, and `more` lots together pass the market's limit."""
    held = [*state.positions.values(), state.house[market.name]]
    longs = sum(max(0, row.lots) for row in held if row.market is market)
    waiting = sum(
        uncovered(state, account_id, market, sign, without) for account_id in state.accounts for sign in (1, -1)
    )
    if market.too_large(longs + waiting + more, "open_interest"):
        yield "OPEN_INTEREST_ABOVE_MAX"


def margin_codes(state: State, order: Order, trial: Trial, own: Order | None = None) -> Iterator[str]:
    """
    Yield whether what an order opens and what rests of it pass tier, free money or a limit, and whether it may rest.

    `own` is an order whose reserve, resting lots and place are this one's own: itself before an amend, its OCO sibling.
    """
    if not order.reduce_only and (trial.walk.opened or trial.rest):
        yield from exposure_codes(state, order, trial, own)
    if trial.rest and open_others(state, order, own) >= state.settings["orders_open_max"]:
        yield "ORDERS_OPEN_MAX"


def open_others(state: State, order: Order, own: Order | None) -> int:
    """Return how many orders of the account rest or are delayed beside this one and its own."""
    return sum(
        row.status in ("resting", "delayed") and row.order_id != order.order_id and row is not own
        for row in state.orders_of(order.account_id)
    )


def exposure_codes(state: State, order: Order, trial: Trial, own: Order | None) -> Iterator[str]:
    """Yield whether what an order opens and what rests of it pass tier, free money or a limit."""
    market, walk, sign = order.market, trial.walk, order.sign
    account, leverage = state.accounts[order.account_id], trial.taker.leverage
    standing = resting_lots(state, order.account_id, market, sign, own)
    after = walk.holding.lots
    price = market.touch(sign) if walk.filled else order.price or 0
    value = (max(0, sign * after) + (0 if order.ticket else standing) + trial.rest) * price * market.unit
    if leverage > market.leverage_allowed(value):
        yield "LEVERAGE_ABOVE_TIER"
    cover = max(0, max(0, -sign * after) - standing)
    bare = max(0, trial.rest - cover)
    if too_poor(state, order, trial, own, reserve_of(state, order, bare) if bare else 0):
        yield "MARGIN_INSUFFICIENT"
    if walk.opened and dies_at_once(state, order, trial, own):
        yield "WOULD_BE_LIQUIDATED"
    others = tickets(state, account.account_id, market) + standing
    net = state.position_net(account.account_id, market)
    if order.ticket and net is not None:
        others += abs(net.lots)
    if market.too_large(max(0, sign * after) + trial.rest + others, "order"):
        yield "NOTIONAL_ABOVE_MAX"
    yield from interest_codes(state, market, walk.opened + bare, own)


def opener(order: Order) -> bool:
    """Return whether a live order may open its account's net position one day."""
    return not order.reduce_only and not order.ticket


def pending_nets(state: State, account_id: int) -> set[str]:
    """Return the markets in which a live order of the account may open the net position that it has not."""
    names = {order.market.name for order in state.orders_of(account_id) if opener(order)}
    return {name for name in names if state.position_net(account_id, state.markets[name]) is None}


def pending(state: State, account_id: int) -> int:
    """Return how many positions the account's live orders may open."""
    delayed = sum(order.ticket and order.status == "delayed" for order in state.orders_of(account_id))
    return len(pending_nets(state, account_id)) + delayed


def opens_net(state: State, account_id: int, market: Market, position: Position | None) -> bool:
    """Return whether an order of the account may open a net position that nothing else may open yet."""
    return position is None and market.name not in pending_nets(state, account_id)


def room_codes(state: State, account: Account) -> Iterator[str]:
    """Yield whether the account may open no further position."""
    count = len(state.positions_of(account.account_id)) + pending(state, account.account_id)
    if count >= state.settings["positions_open_max"]:
        yield "POSITIONS_OPEN_MAX"


def slot_codes(state: State, orders: int, positions: int) -> Iterator[str]:
    """Yield which table has no room."""
    if orders > 0 and len(state.orders) + orders > state.settings["orders_max"]:
        yield "ORDER_SLOTS_EXHAUSTED"
    waiting = sum(pending(state, account_id) for account_id in state.accounts)
    if positions and len(state.house) + len(state.positions) + waiting + positions > state.settings["positions_max"]:
        yield "POSITION_SLOTS_EXHAUSTED"
