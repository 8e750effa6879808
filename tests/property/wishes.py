"""
What users of a random history ask for: mostly sensible, often at an edge, now and then impossible.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.property import amounts
from tests.property.odd_wishes import odd_element, odd_wish
from tests.property.order_wishes import Wish, amend_wish, client_id_add, order_wish, reduce_wish, side_of
from tests.property.owner_wishes import OWNER_WISHES
from tests.reference.intake import BATCH_MAX
from tests.reference.markets import Market

if TYPE_CHECKING:
    from tests.property.histories import History

TRADE_KEYS = (
    "market", "side", "margin", "qty", "leverage", "slippage_bps", "take_profit", "stop_loss", "client_order_id",
)  # fmt: skip


def trade_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return a new ticket by quantity or by margin."""
    chance = history.chance
    sign = chance.choice([1, -1])
    top = market.limits["leverage_max"]
    leverage = chance.choice([1, 2, 5, top // 2 or 1, top, top, top + 1 if chance.random() < 0.2 else top])
    values: dict[str, Any] = {"market": market.name, "side": side_of(sign), "leverage": leverage}
    if chance.random() < 0.5:
        values["margin"] = amounts.margin_near(history, account_id)
    else:
        values["qty"] = amounts.qty_text(market, amounts.lots_near(history, account_id, market, leverage))
    if chance.random() < 0.2:
        values["slippage_bps"] = chance.choice([0, 3, 100])
    amounts.bracket_add(history, market, sign, values, 0.3)
    client_id_add(history, values)
    return "trade_create", {key: values[key] for key in TRADE_KEYS if key in values}


def position_id_near(history: "History", account_id: int, kind: str = "") -> int:
    """Return a position's id: mostly one's own, of a kind if one is named; sometimes another's, sometimes nobody's."""
    own = [row.position_id for row in history.twin.state.positions_of(account_id) if kind in ("", row.kind)]
    every = list(history.twin.state.positions) or [1]
    if own and history.chance.random() < 0.93:
        return history.chance.choice(own)
    return history.chance.choice([*every, *every, 999_999])


def close_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the closing of a position, whole or in part."""
    chance = history.chance
    values: dict[str, Any] = {"position_id": position_id_near(history, account_id)}
    position = history.twin.state.positions.get(values["position_id"])
    how = chance.choice(["all", "percent", "qty", "qty"])
    if how == "percent":
        values["percent"] = chance.choice([1, 25, "50", 100, 99, 0, 101])
    elif how == "qty" and position is not None:
        values["qty"] = amounts.qty_text(position.market, amounts.held_share(history, position.lots))
    return "trade_close", values


def triggers_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return new SL and TP for a position, or their removal."""
    chance = history.chance
    values: dict[str, Any] = {"position_id": position_id_near(history, account_id)}
    position = history.twin.state.positions.get(values["position_id"])
    if position is not None:
        amounts.bracket_add(history, position.market, 1 if position.lots > 0 else -1, values)
    for name in ("take_profit", "stop_loss"):
        if chance.random() < 0.15 or (name == "stop_loss" and len(values) == 1 and chance.random() < 0.9):
            values[name] = None
    return "position_triggers_set", values


def cancel_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the cancelling of one order by either id."""
    chance = history.chance
    own = [row.order_id for row in history.twin.state.orders_of(account_id)]
    every = list(history.twin.state.orders) or [1]
    if chance.random() < 0.15:
        return "order_cancel", {"client_order_id": f"mine-{chance.randint(1, 4)}"}
    return "order_cancel", {"order_id": chance.choice(own if own and chance.random() < 0.9 else [*every, 10**9])}


def cancel_all_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the cancelling of all orders, of one market or of all."""
    return "orders_cancel", {"market": market.name} if history.chance.random() < 0.5 else {}


def close_all_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the closing of every position, of one market or of all."""
    return "positions_close_all", {"market": market.name} if history.chance.random() < 0.4 else {}


def reverse_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the turning of a net position, now and then of a ticket, which has no other side."""
    kind = "net" if history.chance.random() < 0.85 else ""
    return "position_reverse", {"position_id": position_id_near(history, account_id, kind)}


def margin_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return money added to a position or taken from it, up to all it has and a little more."""
    chance = history.chance
    position_id = position_id_near(history, account_id)
    position = history.twin.state.positions.get(position_id)
    free = max(0, history.twin.state.accounts[account_id].free)
    held = max(1, abs(position.margin) if position is not None else 1)
    into = [1, free // 100, free // 10, free // 2, free, free + 1]
    amount = chance.choice([*into, -1, -held // 100, -held // 10, -held // 3, -held // 2, -held])
    return "margin_change", {"position_id": position_id, "amount": amounts.money_text(amount)}


def leverage_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return another leverage for an account in a market."""
    top = market.limits["leverage_max"]
    leverage = history.chance.choice([1, 2, 3, 5, 9, 10, 11, top // 2 or 1, top, top, top + 1, 0])
    return "leverage_set", {"market": market.name, "leverage": leverage}


def deadman_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return a dead-man's switch set soon, late, not at all, or out of range."""
    chance = history.chance
    timeout = chance.choice([5_000, 5_000, 5_001, 6_000, 9_000, 60_000, 86_400_000, 0, 0, 4_999, 86_400_001, 1, -1])
    values: dict[str, Any] = {"timeout_ms": timeout}
    if chance.random() < 0.5:
        values["scope"] = chance.choice(["opening", "all", "all"])
    return "deadman_set", values


def reset_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the beginning anew of an account."""
    return "account_reset", {}


def open_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the opening of an account, mostly a new one."""
    number = history.chance.randint(0, 12)
    return "account_open", {"owner": f"{number:032x}"}


def batch_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return several operations at once: of all kinds, odd ones among them, each may meet what the former made."""
    chance = history.chance
    size = (
        chance.choice([1, 2, 2, 3, 3, 4, 6, BATCH_MAX]) if chance.random() < 0.95 else chance.choice([0, BATCH_MAX + 1])
    )
    commands: list[Any] = []
    names = list(BATCHED)
    weights = [max(1, history.weights.get(name, 1)) for name in names]
    for _ in range(size):
        if chance.random() < 0.06:
            commands.append(odd_element(history))
            continue
        kind = history.kind_fitting(chance.choices(names, weights)[0], account_id)
        op, values = BATCHED[kind](history, account_id, history.market_any())
        if op in ("order_cancel", "order_amend") and chance.random() < 0.4:
            values = {key: value for key, value in values.items() if key not in ("order_id", "client_order_id")}
            values["order_id"] = history.order_next() + chance.randint(0, 2)
        commands.append({"op": op, **values})
    return "batch", {"commands": commands}


BATCHED: dict[str, Callable[["History", int, Market], Wish]] = {
    "order": order_wish,
    "reduce": reduce_wish,
    "amend": amend_wish,
    "trade": trade_wish,
    "close": close_wish,
    "triggers": triggers_wish,
    "cancel": cancel_wish,
    "cancel_all": cancel_all_wish,
    "close_all": close_all_wish,
    "reverse": reverse_wish,
    "margin": margin_wish,
    "leverage": leverage_wish,
    "deadman": deadman_wish,
    **{name: wish for name, wish in OWNER_WISHES.items() if name != "sub"},
    "odd": odd_wish,
}
WISHES: dict[str, Callable[["History", int, Market], Wish]] = {
    **BATCHED,
    "batch": batch_wish,
    "reset": reset_wish,
    "open": open_wish,
    "sub": OWNER_WISHES["sub"],
}
