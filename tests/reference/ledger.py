"""
Every movement of money, both legs at once, and the house's other side of a fill.
"""

from fractions import Fraction

from tests.reference.fills import Slices, notional_of, slices_first
from tests.reference.markets import Market
from tests.reference.state import EXTERNAL, FEES, FIRST_USER, HOUSE, INSURANCE, Account, Position, State
from tests.reference.texts import ceil_of, money_text

COUNTERS = {EXTERNAL: "external", HOUSE: "house", FEES: "fees", INSURANCE: "insurance"}
REALISED = ("pnl", "fee", "liquidation_fee", "funding")  # what counts into a day's result


def leg(state: State, account: Account, amount: int, counter: str, reason: str, reference: int) -> None:
    """Add `amount` to the account's free money and tell a user of it."""
    if not amount:
        return
    account.free += amount
    if account.account_id >= FIRST_USER:
        if reason in REALISED:
            day_note(state, account, amount)
        state.emit(
            "ledger",
            account=account.account_id,
            amount=money_text(amount),
            counter=counter,
            reason=reason,
            ref=reference,
            free_after=money_text(account.free),
        )


def day_note(state: State, account: Account, amount: int) -> None:
    """Count a realised result into the account's day; one that has lost too much is locked until the day ends."""
    if account.day != state.day:
        account.day, account.day_pnl = state.day, 0
    account.day_pnl += amount
    loss_judge(state, account)


def loss_judge(state: State, account: Account) -> None:
    """Lock an account that has lost as much today as its owner lets it."""
    if account.loss_most is not None and account.day == state.day and account.day_pnl <= -account.loss_most:
        account.locked_day = state.day


def transfer(state: State, source: int, target: int, amount: int, reason: str, reference: int) -> None:
    """Move money between two accounts, both legs at once."""
    leg(state, state.accounts[source], -amount, COUNTERS.get(target, f"account:{target}"), reason, reference)
    leg(state, state.accounts[target], amount, COUNTERS.get(source, f"account:{source}"), reason, reference)


def margin_move(state: State, position: Position, amount: int, reference: int) -> None:
    """Move money from the account's free cell into the margin of its position; negative brings it back."""
    position.margin += amount
    account = state.accounts[position.account_id]
    leg(state, account, -amount, f"position:{position.position_id}", "margin", reference)


def deficit_pay(state: State, position: Position, missing: int, reference: int) -> None:
    """Cover what a position was worth less than nothing: the insurance fund down to nothing, then the house."""
    for payer in (INSURANCE, HOUSE):
        paid = min(missing, state.accounts[INSURANCE].free) if payer == INSURANCE else missing
        missing -= paid
        if paid:
            transfer(state, payer, position.account_id, paid, "deficit", reference)
            state.emit(
                "deficit",
                account=position.account_id,
                market=position.market.name,
                position_id=position.position_id,
                payer=COUNTERS[payer],
                amount=money_text(paid),
            )


def house_fill(state: State, market: Market, sign: int, slices: Slices) -> None:
    """Book the other side of a fill on the house, against the house's own cost."""
    held = state.house[market.name]
    lots, notional = sum(part for part, _ in slices), notional_of(market, slices)
    if held.lots * sign < 0:
        close_lots = min(lots, abs(held.lots))
        close_notional = notional_of(market, slices_first(slices, close_lots))
        cost_part = ceil_of(Fraction(held.cost * close_lots, abs(held.lots)))
        state.accounts[HOUSE].free += -sign * close_notional - cost_part
        held.lots += sign * close_lots
        held.cost -= cost_part
        lots -= close_lots
        notional -= close_notional
    held.lots += sign * lots
    held.cost += sign * notional
