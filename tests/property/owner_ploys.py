"""
Short plots around owners: auto-deleveraging, transfers at the edge, a lost day, guards, and accounts of one owner.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.property import amounts, feeds
from tests.property.entries import Entry
from tests.property.owner_wishes import family_of
from tests.property.ploys import limit, lots_small, middle
from tests.property.pool_ploys import account_cross, edge_of, mark_at, market_order, pool_fill
from tests.reference.cross import leave_of
from tests.reference.markets import Market

if TYPE_CHECKING:
    from tests.property.histories import History


def adl_run(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a market without a house, one account against several at different prices, and a fall with a thin book."""
    chance, state = history.chance, history.twin.state
    sign = chance.choice([1, -1])
    victim = history.account_any()
    others = [key for key in history.users() if key != victim]
    if not others:
        return
    yield history.operator(0, "market_set", {"market": market.name, "liquidity": "book", "taker_delay_ms": 0})
    price = history.ticks_of(market)
    yield from mark_at(history, market, price)
    top = market.limits["leverage_max"]
    for account_id in (victim, *others):
        leverage = chance.choice([top, top, 10, 3]) if account_id != victim else top
        values = {"market": market.name, "leverage": max(1, min(leverage, top))}
        yield history.instruction(account_id, "leverage_set", values)
    lots = amounts.lots_affordable(history, victim, market, state.leverage_net(victim, market))
    part = max(1, min(lots, market.limits["order_lots"]) * chance.choice([50, 90]) // 100 // len(others))
    for number, account_id in enumerate(others):
        size = max(1, min(part, amounts.lots_affordable(history, account_id, market, 1) * 2))
        at = price + sign * number * chance.choice([0, 1, 2])
        yield history.instruction(account_id, "order_place", limit(market, -sign, size, at))
        if chance.random() < 0.25:
            values = {"market": market.name, "side": "buy" if sign > 0 else "sell", "leverage": top}
            yield history.instruction(victim, "trade_create", {**values, "qty": amounts.qty_text(market, size)})
        yield history.instruction(victim, "order_place", market_order(market, sign, size))
    for _ in range(chance.randint(1, 3)):
        held = [row for row in state.positions_of(victim) if row.market is market]
        if not held:
            return
        position = chance.choice(held)
        if position.cross:
            edge = edge_of(history, position, called=False)
        else:
            edge = market.threshold(position.lots, position.cost, position.margin) or market.mark
        if chance.random() < 0.6:
            bidder = history.account_other(victim)
            values = limit(market, sign, max(1, part // 3), edge + chance.choice([-1, 0, 1, -sign * edge // 100]))
            yield history.instruction(bidder, "order_place", values)
        yield from mark_at(history, market, edge - sign * chance.choice([0, 0, 1, edge // 200, edge // 50]))


def leave_edge(history: "History", market: Market) -> Iterator[Entry]:
    """Yield a pool with something won or lost, and every way out of it with all that may leave and a micro more."""
    chance, state = history.chance, history.twin.state
    account_id = account_cross(history)
    if chance.random() < 0.6:
        yield from pool_fill(history, account_id, chance.choice([30, 60, 90]))
    if not family_of(history, account_id):
        yield history.instruction(account_id, "subaccount_open", {})
    for position in state.positions_of(account_id)[:2]:
        away = position.market.mark // chance.choice([30, 100, 1_000])
        yield from mark_at(history, position.market, position.market.mark + chance.choice([1, -1]) * away)
    for more in (1, chance.choice([0, 0, -1])):
        most = leave_of(state, account_id)
        money = amounts.money_text(max(1, most + more))
        family = family_of(history, account_id) or [account_id]
        isolated = [row for row in state.positions_of(account_id) if not row.cross] or list(state.positions.values())
        named = isolated[0].position_id if isolated else 1
        ways: list[tuple[str, dict[str, Any]]] = [
            ("account_transfer", {"account_to": chance.choice(family), "amount": money}),
            ("margin_change", {"position_id": named, "amount": money}),
            ("trade_create", {"market": market.name, "side": "buy", "margin": money, "leverage": 1}),
            ("leverage_set", {"market": market.name, "leverage": chance.choice([1, 2, 3])}),
        ]
        op, values = chance.choice(ways)
        yield history.instruction(account_id, op, values)
        if chance.random() < 0.4:
            lots = (most + more) // max(1, amounts.touch_near(history, market, 1) * market.unit)
            ticks = amounts.touch_near(history, market, 1)
            yield history.instruction(account_id, "order_place", limit(market, 1, lots, ticks - 1))
    if chance.random() < 0.3:
        gone = {"amount": amounts.money_text(-leave_of(state, account_id) - chance.choice([0, 1])), "reason": "taken"}
        yield history.operator(account_id, "account_credit", gone)


def lost_day(history: "History", market: Market) -> Iterator[Entry]:
    """Yield an account with orders of every sort that loses what its owner lets it, and what it tries then."""
    chance, state = history.chance, history.twin.state
    account_id, sign = history.account_any(), chance.choice([1, -1])
    yield feeds.quote(history, market.name, spread=max(2, history.ticks_of(market) // 300))
    lots, price = lots_small(history, account_id, market), middle(history, market)
    away = max(1, price // 100)
    yield history.instruction(account_id, "order_place", market_order(market, sign, lots))
    yield history.instruction(account_id, "order_place", limit(market, -sign, lots, price + sign * away))
    dormant = limit(market, sign, lots, price + sign * away, price_trigger=amounts.price_text(market, price + away))
    yield history.instruction(account_id, "order_place", {**dormant, "kind": "stop_limit"})
    reducing = limit(market, -sign, lots, price + sign * away, reduce_only=True)
    yield history.instruction(account_id, "order_place", reducing)
    account = state.accounts[account_id]
    loss = max(1, -account.day_pnl + chance.choice([0, 1, 1_000, lots * market.unit]))
    yield history.instruction(account_id, "account_guards_set", {"daily_loss_max": amounts.money_text(loss)})
    position = state.position_net(account_id, market)
    if position is not None:
        values = {"position_id": position.position_id, "percent": chance.choice([10, 50])}
        yield history.instruction(account_id, "trade_close", values)
    other = history.account_other(account_id)
    if chance.random() < 0.5:
        taking = limit(market, sign, lots, price + sign * 2 * away, tif="IOC")
        yield history.instruction(other, "order_place", taking)
    tries: list[tuple[str, dict[str, Any]]] = [
        ("order_place", limit(market, sign, lots, price)),
        ("order_place", reducing),
        ("trade_create", {"market": market.name, "side": "buy", "margin": "1", "leverage": 1}),
        ("account_transfer", {"account_to": other, "amount": "1"}),
        ("account_guards_set", {"daily_loss_max": None}),
        ("account_guards_set", {"daily_loss_max": amounts.money_text(loss + chance.choice([-1, 0, 1]))}),
    ]
    if position is not None:
        tries.append(("position_reverse", {"position_id": position.position_id}))
    for op, values in chance.sample(tries, chance.randint(1, 4)):
        if chance.random() < 0.15:
            yield history.operator(account_id, op, values)
        else:
            yield history.instruction(account_id, op, values)


def family_run(history: "History", market: Market) -> Iterator[Entry]:
    """Yield sub-accounts with money of their own that trade with each other, and their main account's new beginning."""
    chance, state = history.chance, history.twin.state
    main, sign = history.account_any(), chance.choice([1, -1])
    if chance.random() < 0.7:
        yield history.operator(0, "venue_set", {"stp_owner": chance.choice([1, 1, 0])})
    if not family_of(history, main):
        yield history.instruction(main, "subaccount_open", {})
    family = family_of(history, main)
    if not family:
        return
    sub = chance.choice(family)
    money = amounts.money_text(max(1, leave_of(state, main) // chance.choice([2, 3])))
    yield history.instruction(main, "account_transfer", {"account_to": sub, "amount": money})
    if chance.random() < 0.6:
        yield history.instruction(sub, "margin_mode_set", {"market": market.name, "mode": "cross"})
    yield feeds.quote(history, market.name, spread=max(2, history.ticks_of(market) // 100))
    price = middle(history, market)
    lots = lots_small(history, sub, market)
    if chance.random() < 0.5:
        guards = {"stp": chance.choice(["cancel_maker", "cancel_both"]), "slippage_bps": chance.choice([0, 1, 50])}
        yield history.instruction(main, "account_guards_set", guards)
    yield history.instruction(sub, "order_place", limit(market, -sign, lots, price))
    yield history.instruction(history.account_any(), "order_place", limit(market, -sign, lots, price))
    taker = {"kind": "market"} if chance.random() < 0.5 else {"tif": chance.choice(["GTC", "IOC", "FOK"])}
    values = {**limit(market, sign, 2 * lots, price + sign), **taker}
    if chance.random() < 0.4:
        values["stp"] = chance.choice(["cancel_taker", "cancel_maker", "cancel_both"])
    yield history.instruction(main, "order_place", values)
    if chance.random() < 0.3:
        leverage = chance.choice([2, 5])
        yield history.instruction(main, "account_guards_set", {"leverage_max": leverage - chance.choice([0, 1])})
        yield history.instruction(main, "leverage_set", {"market": market.name, "leverage": leverage})
        ticket = {"market": market.name, "side": "buy", "margin": "2", "leverage": leverage}
        yield history.instruction(main, "trade_create", ticket)
    if chance.random() < 0.4:
        yield history.instruction(chance.choice([main, main, sub]), "account_reset", {})


OWNER_PLOYS = {"adl_run": adl_run, "leave_edge": leave_edge, "lost_day": lost_day, "family_run": family_run}
