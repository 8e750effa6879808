"""engine/core/owners.py and its neighbours: margin modes, sub-accounts, transfers, and what may leave a pool."""

from typing import Any

import pytest

from tests.builders import BTC, SOL
from tests.unit.test_lifecycle import Desk, told


def with_sub(**venue_set: Any) -> Desk:
    """Return a venue with two accounts and a sub-account, 102, of the first."""
    desk = Desk(**venue_set)
    desk.user(100, "subaccount_open")
    return desk


def test_a_sub_account_is_one_account_more() -> None:
    """It begins with nothing, names its main account and its number, and the asking account is answered."""
    desk = Desk()
    events = desk.user(100, "subaccount_open")
    assert desk.answer["account"] == 100
    assert events == [
        {"e": "account_opened", "account": 102, "owner": f"{1:032x}", "main": 100, "sub": 1},
        {"e": "account_changed", "account": 102, "free": "0.000000", "reserved": "0.000000"},
    ]
    events = desk.user(102, "subaccount_open")
    assert (events[0]["account"], events[0]["main"], events[0]["sub"]) == (103, 100, 2)
    assert told(desk.user(101, "subaccount_open"), "account_opened")[0]["sub"] == 1
    desk.user(0, "account_open", owner=f"{1:032x}")
    assert desk.answer["account"] == 100
    desk.sound()
    twin = desk.engine.restored()
    desk.engine = twin
    assert told(desk.user(100, "subaccount_open"), "account_opened")[0]["sub"] == 3


def test_there_are_only_so_many_sub_accounts() -> None:
    """The venue's limit counts an owner's, before the table's; none may be allowed at all."""
    desk = Desk(subaccounts_max=2, accounts_max=4)
    desk.user(100, "subaccount_open")
    desk.user(102, "subaccount_open")
    desk.user(102, "subaccount_open", "SUBACCOUNTS_MAX")
    desk.user(101, "subaccount_open", "ACCOUNT_SLOTS_EXHAUSTED")
    desk.venue("venue_set", subaccounts_max=3)
    desk.user(100, "subaccount_open", "ACCOUNT_SLOTS_EXHAUSTED")
    desk.venue("venue_set", subaccounts_max=0, accounts_max=9)
    desk.user(101, "subaccount_open", "SUBACCOUNTS_MAX")


def test_money_moves_between_an_owner_s_accounts() -> None:
    """Both are told a leg that names the other, and then their balances; there and back nothing is lost."""
    desk = with_sub()
    events = desk.user(100, "account_transfer", account_to=102, amount="1250.5")
    assert [(event["e"], event["account"]) for event in events] == [
        ("ledger", 100), ("ledger", 102), ("account_changed", 100), ("account_changed", 102),
    ]  # fmt: skip
    assert [event["counter"] for event in events[:2]] == ["account:102", "account:100"]
    assert [event["amount"] for event in events[:2]] == ["-1250.500000", "1250.500000"]
    assert {event["reason"] for event in events[:2]} == {"transfer"}
    assert desk.cells(102)["free_e6"] == 1_250_500_000
    desk.user(102, "account_transfer", account_to=100, amount="1250.5")
    assert (desk.cells(100)["free_e6"], desk.cells(102)["free_e6"]) == (5_000_000_000, 0)
    assert int(desk.engine.states[0]["accounts"][5]["day_pnl_e6"]) == 0
    desk.sound()


def test_what_a_transfer_may_not_be() -> None:
    """Amount, target and cover are asked in this order; strangers, the venue and oneself are no targets."""
    desk = with_sub()
    for amount in ("0", "-5", "0.0000001", "1000000000"):
        desk.user(100, "account_transfer", "AMOUNT_OUT_OF_RANGE", account_to=101, amount=amount)
    for target in (100, 101, 4, 0, 103, 2**62):
        desk.user(100, "account_transfer", "ACCOUNT_TARGET_UNKNOWN", account_to=target, amount="9999")
    desk.user(100, "account_transfer", "MARGIN_INSUFFICIENT", account_to=102, amount="5000.000001")
    for _ in range(2):
        desk.venue("account_credit", account=102, amount="499999999", reason="test")
    desk.user(100, "account_transfer", "AMOUNT_OUT_OF_RANGE", account_to=102, amount="2.000001")
    desk.user(100, "account_transfer", account_to=102, amount="2")
    desk.venue("account_freeze", account=102)
    desk.user(102, "account_transfer", "ACCOUNT_FROZEN", account_to=100, amount="2")
    desk.venue("account_transfer", account=102, account_to=100, amount="2")
    desk.user(100, "account_transfer", account_to=102, amount="2")
    desk.sound()


def test_a_main_account_begins_anew_only_when_its_subs_are_empty() -> None:
    """Else resets and transfers together would make money; a sub-account goes back to nothing."""
    desk = with_sub()
    desk.user(100, "account_transfer", account_to=102, amount="1000")
    desk.user(100, "account_reset", "SUBACCOUNT_NOT_EMPTY")
    desk.user(102, "trade_create", market=SOL, side="buy", margin="500", leverage=2)
    (held,) = desk.held(102)
    desk.user(102, "account_transfer", account_to=100, amount=f"{desk.cells(102)['free_e6'] / 1e6:.6f}")
    assert desk.cells(102)["free_e6"] == 0
    desk.user(100, "account_reset", "SUBACCOUNT_NOT_EMPTY")
    desk.user(102, "account_reset")
    assert (desk.cells(102)["free_e6"], desk.held(102)) == (0, [])
    desk.user(100, "account_reset")
    assert desk.cells(100)["free_e6"] == 5_000_000_000
    assert held["position_id"] > 0
    desk.sound()


@pytest.mark.parametrize(("stp_owner", "meets"), [(0, True), (1, False)])
def test_who_counts_as_oneself_is_the_venue_s_choice(stp_owner: int, meets: bool) -> None:
    """Accounts of one owner trade with each other, unless the venue takes them for one; strangers always do."""
    desk = with_sub(stp_owner=stp_owner)
    desk.user(100, "account_transfer", account_to=102, amount="1000")
    resting = desk.limit(102, "buy", "1", "150.01", SOL)
    sell = {"market": SOL, "side": "sell", "kind": "limit", "qty": "1", "price": "150.01", "tif": "IOC"}
    events = desk.user(100, "order_place", **sell)
    assert bool(told(events, "fill")) == meets
    if not meets:
        assert told(events, "closed_order")[0]["reason"] == "self_trade"
        events = desk.user(100, "order_place", **sell, stp="cancel_maker")
        ended = {event["order_id"]: event["reason"] for event in told(events, "closed_order")}
        assert ended[resting] == "self_trade"
        assert [event["account"] for event in told(events, "account_changed")] == [100, 102]
        assert desk.cells(102)["reserved_e6"] == 0
        desk.limit(102, "buy", "1", "150.01", SOL)
        assert told(desk.user(101, "order_place", **sell), "fill")
    desk.sound()


def test_a_margin_mode_is_chosen_where_nothing_is() -> None:
    """Neither a net position nor an order that may open one; the same mode again is no change, tickets do not bind."""
    desk = Desk()
    events = desk.user(100, "margin_mode_set", market=SOL, mode="cross")
    assert events == [
        {"e": "account_market_changed", "account": 100, "market": SOL, "leverage": 0, "mode": "cross"},
        {"e": "account_changed", "account": 100, "free": "5000.000000", "reserved": "0.000000", "mode": "cross"},
    ]
    resting = desk.limit(100, "buy", "1", "140.00", SOL)
    desk.user(100, "margin_mode_set", "MARGIN_MODE_IN_USE", market=SOL, mode="isolated")
    desk.user(100, "margin_mode_set", market=SOL, mode="cross")
    desk.user(100, "order_cancel", order_id=resting)
    stop = {"market": SOL, "side": "buy", "kind": "stop_market", "qty": "1", "price_trigger": "155.00"}
    desk.user(100, "order_place", **stop)
    desk.user(100, "margin_mode_set", "MARGIN_MODE_IN_USE", market=SOL, mode="isolated")
    desk.user(100, "orders_cancel")
    desk.user(100, "trade_create", market=SOL, side="buy", qty="1", leverage=5)
    desk.user(100, "margin_mode_set", market=SOL, mode="isolated")
    desk.market(100, "buy", "1", SOL)
    desk.user(100, "margin_mode_set", "MARGIN_MODE_IN_USE", market=SOL, mode="cross")
    desk.venue("market_halt", market=BTC)
    events = desk.user(100, "margin_mode_set", market=BTC, mode="cross")
    assert events[0]["mode"] == "cross"
    desk.sound()


def pooled(qty: str = "100") -> Desk:
    """Return a venue whose first account holds so many SOL across the account, at 150.02, and sits in BTC isolated."""
    desk = Desk()
    desk.user(100, "margin_mode_set", market=SOL, mode="cross")
    desk.market(100, "buy", qty, SOL)
    return desk


def test_a_cross_position_has_no_margin_of_its_own() -> None:
    """Its image says so and names no liquidation price; margin cannot be added to it, nor taken."""
    desk = pooled()
    (held,) = desk.held(100)
    assert held["margin_e6"] == 0
    events = desk.market(100, "buy", "1", SOL)
    image = told(events, "position_changed")[0]
    assert image["mode"] == "cross" and image["margin"] == "0.000000" and "price_liquidation" not in image
    position_id = held["position_id"]
    for amount in ("5", "-5", "0"):
        desk.user(100, "margin_change", "POSITION_NOT_ISOLATED", position_id=position_id, amount=amount)
    desk.user(100, "margin_change", "POSITION_UNKNOWN", position_id=position_id + 1, amount="5")
    desk.sound()


def test_what_leaves_the_pool_is_free_and_available() -> None:
    """An unrealised profit backs cross positions, but neither a transfer nor a credit taken back nor added margin."""
    desk = pooled()
    desk.user(100, "subaccount_open")
    desk.market(100, "buy", "0.01")
    ticket = next(row for row in desk.held(100) if row["margin_e6"] > 0)
    desk.engine.price(SOL, "160.00", "160.02")
    free_e6 = desk.cells(100)["free_e6"]
    # Results 100 · 9.99 at a mark of 160.01, initial margin 1600.1: available is 601.1 less than free.
    leave_e6 = free_e6 + 999_000_000 - 1_600_100_000
    leave, more = f"{leave_e6 / 1e6:.6f}", f"{(leave_e6 + 1) / 1e6:.6f}"
    desk.user(100, "account_transfer", "MARGIN_INSUFFICIENT", account_to=102, amount=more)
    desk.venue("account_credit", "MARGIN_INSUFFICIENT", account=100, amount=f"-{more}", reason="test")
    desk.user(100, "margin_change", "MARGIN_INSUFFICIENT", position_id=ticket["position_id"], amount=more)
    desk.user(100, "margin_change", position_id=ticket["position_id"], amount=leave)
    desk.user(100, "account_transfer", "MARGIN_INSUFFICIENT", account_to=102, amount="0.000001")
    desk.venue("account_credit", account=100, amount="1", reason="test")
    desk.user(100, "account_transfer", account_to=102, amount="1")
    desk.sound()


def test_leverage_of_a_cross_market_asks_free_and_available() -> None:
    """Less leverage moves nothing and must be covered by both; more is always given."""
    desk = pooled("300")
    # Notional 45 003 at 150.01, fee 22.503; free 4977.497, result −3: at x10 4500.3 are taken, 474.197 are left.
    events = desk.user(100, "leverage_set", market=SOL, leverage=20)
    assert [event["e"] for event in events] == ["account_market_changed", "position_changed", "account_changed"]
    assert events[0]["mode"] == "cross" and events[1]["leverage"] == 20
    desk.user(100, "leverage_set", "MARGIN_INSUFFICIENT", market=SOL, leverage=9)
    free_e6 = desk.cells(100)["free_e6"]
    desk.user(100, "leverage_set", market=SOL, leverage=10)
    assert desk.cells(100)["free_e6"] == free_e6
    desk.user(100, "account_guards_set", leverage_max=5)
    desk.user(100, "leverage_set", "LEVERAGE_ABOVE_GUARD", market=SOL, leverage=6)
    desk.user(100, "leverage_set", market=SOL, leverage=5)
    desk.sound()


def test_an_isolated_market_takes_its_leverage_from_what_may_leave() -> None:
    """Less leverage of an isolated position beside cross ones asks for what its margin lacks, if that may leave."""
    desk = pooled("300")
    desk.user(100, "leverage_set", market=BTC, leverage=50)
    desk.market(100, "buy", "0.01")
    desk.user(100, "leverage_set", "MARGIN_INSUFFICIENT", market=BTC, leverage=1)
    desk.user(100, "leverage_set", market=BTC, leverage=5)
    assert desk.held(100)[1]["margin_e6"] == 120_000_200
    desk.sound()


def test_the_insurance_fund_is_told_last() -> None:
    """Its balance stands at the end of the entry that founds the venue and of each that changes it, of no other."""
    desk = Desk(insurance_balance="12.5")
    assert told(desk.engine.opening, "insurance_changed") == [{"e": "insurance_changed", "balance": "12.500000"}]
    desk.user(100, "leverage_set", market=SOL, leverage=50)
    assert told(desk.market(100, "buy", "1000", SOL), "insurance_changed") == []
    events = desk.engine.price(SOL, "147.00", "147.02")
    assert told(events, "liquidation")
    assert events[-1]["e"] == "insurance_changed" and len(told(events, "insurance_changed")) == 1
    fund = desk.engine.states[0]["accounts"][4]["free_e6"]
    assert events[-1]["balance"] == f"{int(fund) / 1e6:.6f}"
    assert told(Desk(insurance_balance="0").engine.opening, "insurance_changed") == []
