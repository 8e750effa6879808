"""
What owners of a random history decide beside trading: margin modes, guards, sub-accounts, transfers; often at an edge.
"""

from typing import TYPE_CHECKING, Any

from tests.property import amounts
from tests.property.order_wishes import Wish
from tests.reference.cross import leave_of
from tests.reference.markets import Market

if TYPE_CHECKING:
    from tests.property.histories import History


def mode_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return a margin mode for an account in a market; mostly the one that the history has more of."""
    return "margin_mode_set", {"market": market.name, "mode": history.chance.choice(["cross", "cross", "isolated"])}


def loss_near(history: "History", account_id: int) -> str:
    """Return a day's loss that is soon made, about what was lost already, or far off."""
    chance, account = history.chance, history.twin.state.accounts[account_id]
    lost = max(0, -account.day_pnl)
    choices = [1, lost, lost + 1, lost - 1, lost + 20_000, 2 * lost + 500_000, account.free // 20, 10**14]
    return amounts.money_text(max(1, chance.choice(choices)))


def guards_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return guards that an owner sets on himself, or takes away."""
    chance = history.chance
    choices: dict[str, list[Any]] = {
        "leverage_max": [None, None, 1, 2, 3, 5, 20, 1_000, 0, 1_001],
        "daily_loss_max": [None, None, *[loss_near(history, account_id) for _ in range(5)], "0", "0.0000001"],
        "slippage_bps": [None, None, 0, 1, 10, 100, 10_000, 10_001, -1],
        "stp": [None, None, "cancel_taker", "cancel_maker", "cancel_maker", "cancel_both", "nobody"],
    }
    return "account_guards_set", {
        name: chance.choice(values) for name, values in choices.items() if chance.random() < 0.4
    }


def sub_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return the opening of a sub-account."""
    return "subaccount_open", {}


def family_of(history: "History", account_id: int) -> list[int]:
    """Return the other accounts of an account's owner."""
    accounts = history.twin.state.accounts
    owner = accounts[account_id].owner
    return [key for key, row in accounts.items() if key >= 100 and key != account_id and row.owner == owner]


def transfer_wish(history: "History", account_id: int, market: Market) -> Wish:
    """Return money moved to another account, mostly of the same owner: up to all that may leave, and a little more."""
    chance, state = history.chance, history.twin.state
    family = family_of(history, account_id)
    target = chance.choice(family) if family and chance.random() < 0.9 else chance.choice([account_id, 3, 10**6, -1])
    if chance.random() < 0.05:
        target = history.account_any()
    most = leave_of(state, account_id)
    amount = chance.choice([1, most // 100, most // 10, most // 2, most - 1, most, most, most + 1, most + 1, 0])
    return "account_transfer", {"account_to": target, "amount": amounts.money_text(max(0, amount))}


OWNER_WISHES = {"mode": mode_wish, "guards": guards_wish, "sub": sub_wish, "transfer": transfer_wish}
