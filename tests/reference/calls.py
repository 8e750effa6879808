"""
Margin calls: who is within a quarter of its maintenance margin is told so, once.
"""

from tests.reference.cross import calm, cash_of, equity_of, pool_of
from tests.reference.markets import CALL, Market
from tests.reference.state import Position, State
from tests.reference.texts import floor_of, money_text


def calls_tell(state: State, market: Market) -> None:
    """Tell isolated positions by threshold, longs first, then the accounts whose cross positions are called, by id."""
    for position in positions_called(state, market):
        position.called = True
        maintenance = floor_of(market.maintenance(position.lots, market.mark))
        state.emit(
            "margin_call",
            account=position.account_id,
            market=market.name,
            position_id=position.position_id,
            mode="isolated",
            price_mark=market.price_text(market.mark),
            equity=money_text(equity_isolated(position)),
            margin_maintenance=money_text(maintenance),
        )
    held = {row.account_id for row in state.positions.values() if row.cross and row.market is market}
    for account_id in sorted(held):
        account, pool = state.accounts[account_id], pool_of(state, account_id)
        if account.called_day < state.day and calm(cash_of(state, account_id), pool) <= 0:
            account.called_day = state.day
            state.emit(
                "margin_call",
                account=account_id,
                mode="cross",
                equity=money_text(equity_of(state, account_id)),
                margin_maintenance=money_text(floor_of(pool.maintenance)),
            )


def equity_isolated(position: Position) -> int:
    """Return an isolated position's margin and what it has won at mark."""
    return position.margin + position.lots * position.market.mark * position.market.unit - position.cost


def positions_called(state: State, market: Market) -> list[Position]:
    """Return the isolated positions to be called: longs by descending threshold, shorts by ascending, then id."""
    found: list[tuple[int, int, int, Position]] = []
    for row in state.positions.values():
        if row.market is not market or row.cross or row.called:
            continue
        if equity_isolated(row) <= CALL * market.maintenance(row.lots, market.mark):
            threshold = market.threshold(row.lots, row.cost, row.margin, CALL)
            assert threshold is not None
            long = row.lots > 0
            found.append((0 if long else 1, -threshold if long else threshold, row.position_id, row))
    return [row for _, _, _, row in sorted(found, key=lambda each: each[:3])]
