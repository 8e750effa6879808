"""
Funding: what longs pay shorts, or shorts longs, when it is due; all of it through the house.
"""

from fractions import Fraction

from tests.reference.fitting import money_fit
from tests.reference.images import position_event
from tests.reference.ledger import margin_move, transfer
from tests.reference.markets import Market
from tests.reference.state import HOUSE, Position, State
from tests.reference.texts import ceil_of, money_text, rate_text

MARK_AGE_MAX_US = 60_000_000
PPB = 10**9


def funding_due(state: State, market: Market) -> None:
    """Settle a market's funding once, or skip it; the rate stays for display."""
    due_ms = market.funding_next_ms
    market.funding_settled_ms, market.funding_next_ms = due_ms, 0
    reason = None
    if market.state == "halted":
        reason = "halted"
    elif market.mark_us < 0 or state.log_time_us - market.mark_us > MARK_AGE_MAX_US:
        reason = "mark_old"
    if reason is not None:
        state.emit("funding_skipped", market=market.name, due_ms=due_ms, reason=reason)
        return
    paid = [
        funding_pay(state, position, due_ms)
        for _, position in sorted(state.positions.items())
        if position.market is market
    ]
    state.emit(
        "funding_settled",
        market=market.name,
        rate=rate_text(market.funding_rate_ppb),
        price_mark=market.price_text(market.mark),
        due_ms=due_ms,
        positions=sum(payment != 0 for payment in paid),
        amount=money_text(sum(paid)),
    )


def funding_pay(state: State, position: Position, due_ms: int) -> int:
    """Let one position pay, from free and an isolated one then from its margin, or receive; return the house's part."""
    market, account = position.market, state.accounts[position.account_id]
    exact = Fraction(position.lots * market.mark * market.unit * market.funding_rate_ppb, PPB)
    payment = ceil_of(exact)
    if not payment:
        return 0
    lacking = payment - max(0, account.free)
    if payment > 0 and lacking > 0 and not position.cross:
        position.called = False
        margin_move(state, position, -lacking, position.position_id)
    transfer(state, position.account_id, HOUSE, payment, "funding", position.position_id)
    position.funding -= payment
    market.touched = True
    state.emit(
        "funding",
        account=position.account_id,
        market=market.name,
        position_id=position.position_id,
        rate=rate_text(market.funding_rate_ppb),
        price_mark=market.price_text(market.mark),
        amount=money_text(-payment),
        due_ms=due_ms,
    )
    position_event(state, position)
    money_fit(state, position.account_id)
    return payment
