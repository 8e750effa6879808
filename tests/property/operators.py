"""
What an operator of a random venue does: parameters, the life of markets, accounts, and users' wishes in their place.
"""

from typing import TYPE_CHECKING, Any

from tests.property import amounts
from tests.property.founding import MODES
from tests.reference.markets import Market

if TYPE_CHECKING:
    from tests.property.histories import History

Act = tuple[int, str, dict[str, Any]]
TIERS: list[Any] = [
    [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": 5}],
    [{"floor": "0", "mmr_ppm": 5_000, "leverage_max": 50}],
    [{"floor": "0", "mmr_ppm": 45_000, "leverage_max": 20}],
    [{"floor": "0", "mmr_ppm": 20_000, "leverage_max": 20}, {"floor": "500", "mmr_ppm": 100_000, "leverage_max": 3}],
    [{"floor": "0", "mmr_ppm": 15_000, "leverage_max": 8}, {"floor": "100", "mmr_ppm": 30_000, "leverage_max": 4},
     {"floor": "3000.5", "mmr_ppm": 200_000, "leverage_max": 2}],
    [], [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": 100}], "none",
    [{"floor": "5", "mmr_ppm": 1, "leverage_max": 1}],
    [{"floor": "0.0000001", "mmr_ppm": 10_000, "leverage_max": 5}], [5], [{"floor": "0"}],
    [{"floor": "0", "mmr_ppm": 20_000, "leverage_max": 20},
     {"floor": "0.000001", "mmr_ppm": 20_001, "leverage_max": 3}],
]  # fmt: skip


def operator_act(history: "History") -> Act:
    """Return one act of an operator: the account of the envelope, the operation, its keys."""
    chance = history.chance
    names = list(ACTS)
    return ACTS[chance.choices(names, [history.acts[name] for name in names])[0]](history, history.market_any())


def market_set_act(history: "History", market: Market) -> Act:
    """Return one to three new parameters of a market."""
    chance = history.chance
    values: dict[str, Any] = {"market": market.name}
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        values.update(market_parameter(history, market))
    if chance.random() < 0.04:
        values = {"market": market.name}
    return 0, "market_set", values


def market_parameter(history: "History", market: Market) -> dict[str, Any]:
    """Return one parameter of a market with a value that may be sound, at a bound, beyond it, or of no sense."""
    chance = history.chance
    choices: dict[str, list[Any]] = {
        "liquidity": [*MODES, *MODES, *MODES, "moon", 5],
        "depth_levels": [1, 2, 5, 50, 0, 51, "5"],
        "taker_delay_ms": [0, 0, 1, 200, 1_500, 60_000, 60_001, -1, "0"],
        "tiers": TIERS,
        "leverage_max": [1, 3, 5, 20, 50, 50, 0, 1001, "20"],
        "fee_maker_ppm": [0, 200, 1_000, 100_000, 100_001, -1],
        "fee_taker_ppm": [0, 500, 1_000, 100_000, 100_001],
        "fee_liquidation_ppm": [0, 10_000, 100_000, 100_001],
        "spread_max_ppm": [1, 20_000, 900_000, 0],
        "spike_ppm": [1_000, 100_000, 900_000, 900_001],
        "mark_band_ppm": [1_000, 50_000, 500_000],
        "price_band_ppm": [1, 1_000, 50_000, 500_000, 0],
        "price_age_max_ms": [99, 100, 1_000, 10_000, 30_000],
        "notional_min": ["0", "1", "50", "0.0000001", "-1", 5],
        "notional_max": ["0", "0", "50", "1000", "20000", "100000", "-1", "1000000000000", "1000000000001"],
        "open_interest_notional_max": ["0", "0", "200", "10000", "1000000", "0.0000001", 5],
        "tick": ["0.1", "0.01", "0.5", "0.0001", "0.3", "0", "0.000000001", "1"],
        "lot": ["0.1", "0.01", "1", "0.001", "0", "-1", "0.00001", "1000000000000"],
    }
    weights = [8, 3, 3, 4, 3, 2, 2, 1, 1, 1, 1, 3, 1, 2, 2, 2, history.grid_changes, history.grid_changes]
    name = chance.choices(list(choices), weights)[0]
    if name in ("tick", "lot") and chance.random() < 0.25:
        return {name: market.price_text(1) if name == "tick" else market.qty_text(1)}
    if name == "taker_delay_ms" and chance.random() < 0.6:
        return {name: 0}
    return {name: chance.choice(choices[name])}


def venue_set_act(history: "History", market: Market) -> Act:
    """Return new limits of the venue, mostly so small that its tables are full, or wide again."""
    chance, state = history.chance, history.twin.state
    positions = len(state.markets) + len(state.positions)
    choices: list[dict[str, Any]] = [
        {"orders_max": max(1, len(state.orders) + chance.choice([-1, 0, 1, 3]))}, {"orders_max": 1_000},
        {"positions_max": max(1, positions + chance.choice([-1, 0, 1, 2]))}, {"positions_max": 1_000},
        {"requests_max": max(1, len(state.requests) + chance.choice([1, 3, 9]))}, {"requests_max": 10_000},
        {"accounts_max": chance.choice([1, 3, 100])}, {"orders_open_max": chance.choice([1, 3, 200])},
        {"triggers_open_max": chance.choice([1, 2, 400])}, {"positions_open_max": chance.choice([1, 2, 200])},
        {"starting_balance": chance.choice(["100", "5000", "0", "0.0000001", "-1"])},
        {"request_window_ms": chance.choice([4_999, 5_000, 5_000, 120_000, 86_400_001])}, {"orders_max": 0},
        {"requests_max": "5"}, {"orders_max": 1_050_001}, {"insurance_balance": "5"}, {},
        {"starting_balance": "9000000000"}, {"subaccounts_max": chance.choice([0, 1, 3, 10, 101])},
        {"stp_owner": chance.choice([0, 1, 1, 2])},
    ]  # fmt: skip
    found = dict(chance.choice(choices))
    if chance.random() < 0.2:
        found.update(chance.choice(choices))
    return 0, "venue_set", found


def life_act(history: "History", market: Market) -> Act:
    """Return a change of a market's state; a market that is not open is mostly opened again."""
    chance = history.chance
    if market.state != "open" and chance.random() < 0.7:
        return 0, "market_resume", {"market": market.name}
    op = chance.choice(["market_halt", "market_reduce_only", "market_reduce_only", "market_resume"])
    return 0, op, {"market": market.name}


def settle_act(history: "History", market: Market) -> Act:
    """Return the settlement of a market at a price near its mark or far from it."""
    chance = history.chance
    base = market.mark or history.ticks_of(market)
    ticks = round(base * chance.choice([1, 1, 0.99, 1.01, 0.7, 1.4, 0.01]))
    odd: list[Any] = ["0", "-1", amounts.off_grid(market, ticks, 1), 5.5]
    price = chance.choice([amounts.price_text(market, ticks)] * 12 + odd)
    return 0, "market_settle", {"market": market.name, "price": price}


def freeze_act(history: "History", market: Market) -> Act:
    """Return the freezing of an account; a frozen one is mostly let go."""
    chance = history.chance
    account_id = history.account_any()
    frozen = [key for key, row in history.twin.state.accounts.items() if row.frozen]
    if frozen and chance.random() < 0.75:
        return chance.choice(frozen), "account_unfreeze", {}
    return account_id, chance.choice(["account_freeze", "account_freeze", "account_unfreeze"]), {}


def credit_act(history: "History", market: Market) -> Act:
    """Return money given to an account or taken from it."""
    chance = history.chance
    account_id = history.account_any()
    row = history.twin.state.accounts.get(account_id)
    free = row.free if row is not None else 0
    amount = chance.choice(
        [1, 1_000_000, 50_000_000, 5_000_000_000, -1, -1_000_000, -free, -free - 1, -free // 2, 0, 10**15]
    )
    text = chance.choice([amounts.money_text(amount)] * 12 + ["0.0000001", "1e5", 1.5])
    reason = chance.choice(["gift", "fee back", "x", "y" * 32, "gift", "gift", "", "y" * 33, 5])
    return account_id, "account_credit", {"amount": text, "reason": reason}


def wish_act(history: "History", market: Market) -> Act:
    """Return a user's operation, asked for by an operator; rarely for nobody."""
    from tests.property.wishes import WISHES

    chance = history.chance
    account_id = history.account_any()
    names = sorted(WISHES)
    op, values = WISHES[chance.choices(names, [max(1, history.weights.get(name, 1)) for name in names])[0]](
        history, account_id, market
    )
    return (0 if op == "account_open" or chance.random() < 0.03 else account_id), op, values


def odd_act(history: "History", market: Market) -> Act:
    """Return an operator's act with the wrong account or keys."""
    account_id = history.account_any()
    return history.chance.choice(
        [
            (account_id, "market_halt", {"market": market.name}),
            (0, "account_freeze", {}),
            (0, "market_halt", {"market": "NONE_USDC_PERP"}),
            (0, "market_halt", {}),
            (0, "market_resume", {"market": market.name, "price": "5"}),
            (account_id, "account_credit", {"amount": "5", "reason": "gift", "account_to": 5}),
            (account_id, "account_credit", {"amount": "5"}),
            (3, "account_credit", {"amount": "5", "reason": "gift"}),
            (account_id, "venue_set", {"orders_max": 5}),
            (0, "market_set", {"market": market.name, "colour": "red"}),
        ]
    )


ACTS = {
    "market_set": market_set_act,
    "venue_set": venue_set_act,
    "life": life_act,
    "settle": settle_act,
    "freeze": freeze_act,
    "credit": credit_act,
    "wish": wish_act,
    "odd": odd_act,
}
