"""engine/core/guards.py and its neighbours: what an owner forbids himself, what holds where an order says nothing."""

from typing import Any

import pytest

from engine.library import START_US
from tests.builders import BTC, SOL
from tests.unit.test_lifecycle import Desk, told

DAY_US = 86_400_000_000
FLAT = {"market": SOL, "side": "buy", "kind": "market"}


def guarded(**guards: Any) -> Desk:
    """Return a venue with two accounts, the first with these guards."""
    desk = Desk()
    desk.user(100, "account_guards_set", **guards)
    return desk


def lost(desk: Desk, amount: int) -> list[dict[str, Any]]:
    """Let the first account lose so much on ten SOL, before fees; return the events of the close."""
    desk.engine.price(SOL, "150.00", "150.02")
    desk.user(100, "order_place", **FLAT, qty="10")
    bid = 15_002 - amount * 10
    desk.engine.price(SOL, f"{bid / 100:.2f}", f"{bid / 100 + 0.02:.2f}")
    return desk.user(100, "positions_close_all", market=SOL)


def test_a_guard_is_set_kept_and_removed() -> None:
    """An instruction changes the guards that it names; each is told with all that stand, and null takes one away."""
    desk = Desk()
    events = desk.user(100, "account_guards_set", leverage_max=7, stp="cancel_both")
    markets = int(desk.engine.states[0]["venue"]["markets_count"])
    assert [event["e"] for event in events] == [
        "account_guards_changed", *["account_market_changed"] * markets, "account_changed"
    ]  # fmt: skip
    assert events[0] == {"e": "account_guards_changed", "account": 100, "leverage_max": 7, "stp": "cancel_both"}
    events = desk.user(100, "account_guards_set", daily_loss_max="20", slippage_bps=0, stp=None)
    assert events[0] == {"e": "account_guards_changed", "account": 100, "leverage_max": 7,
                         "daily_loss_max": "20.000000", "slippage_bps": 0}  # fmt: skip
    desk.user(100, "account_guards_set", result="FIELD_MISSING")
    before = desk.engine.record_hash()
    desk.user(100, "account_guards_set", result="AMOUNT_OUT_OF_RANGE", leverage_max=3, daily_loss_max="0")
    assert desk.engine.record_hash() == before
    events = desk.user(100, "account_guards_set", leverage_max=None, daily_loss_max=None, slippage_bps=None)
    assert events[0] == {"e": "account_guards_changed", "account": 100}
    account = desk.engine.states[0]["accounts"][5]
    assert [int(account[name]) for name in ("guards", "leverage_most", "loss_most_e6", "slippage_bps", "stp")] == [
        0
    ] * 5
    desk.sound()


def test_leverage_stays_below_the_guard() -> None:
    """A guard caps what an account trades at without being asked, and more is refused after freshness, before tiers."""
    desk = guarded(leverage_max=4)
    desk.market(100, "buy", "1", SOL)
    assert told(desk.user(100, "leverage_set", market=SOL, leverage=4), "position_changed")[0]["leverage"] == 4
    desk.user(100, "leverage_set", "LEVERAGE_ABOVE_GUARD", market=SOL, leverage=5)
    desk.user(100, "leverage_set", "LEVERAGE_OUT_OF_RANGE", market=SOL, leverage=51)
    desk.user(100, "leverage_set", "PRICE_STALE", market="ETH_USDC_PERP", leverage=5)
    ticket = {"market": SOL, "side": "buy", "qty": "1"}
    desk.user(100, "trade_create", "LEVERAGE_ABOVE_GUARD", **ticket, leverage=5)
    desk.user(100, "trade_create", "LEVERAGE_ABOVE_GUARD", market=SOL, side="buy", qty="900", leverage=5)
    desk.user(100, "trade_create", "TRIGGER_WRONG_SIDE", **ticket, leverage=5, stop_loss="160")
    desk.user(100, "trade_create", **ticket, leverage=4)
    desk.user(101, "trade_create", **ticket, leverage=5)
    assert [int(row["margin_e6"]) for row in desk.held(100)] == [37_515_000, 37_515_000]
    desk.sound()


def test_a_guard_lowers_what_was_set_and_raises_nothing_when_it_goes() -> None:
    """Leverage above a new guard is set to it, the position shown with it, no margin moved; without it, it stays."""
    desk = Desk()
    desk.user(100, "leverage_set", market=SOL, leverage=20)
    desk.user(100, "leverage_set", market=BTC, leverage=3)
    desk.market(100, "buy", "1", SOL)
    margin_e6 = int(desk.held(100)[0]["margin_e6"])
    events = desk.user(100, "account_guards_set", leverage_max=4)
    lowered = {event["market"]: event["leverage"] for event in told(events, "account_market_changed")}
    assert lowered[SOL] == 4 and BTC not in lowered
    assert told(events, "position_changed")[0]["leverage"] == 4 and int(desk.held(100)[0]["margin_e6"]) == margin_e6
    events = desk.user(100, "account_guards_set", leverage_max=None)
    assert told(events, "account_market_changed") == []
    desk.market(100, "buy", "1", SOL)
    assert int(desk.held(100)[0]["margin_e6"]) == margin_e6 + 37_515_000
    desk.sound()


def test_a_guard_set_later_holds_from_the_next_order_on() -> None:
    """What rests keeps its reserve until an order of its market is placed or filled; then all are at the guard's."""
    desk = Desk()
    desk.limit(100, "buy", "1", "149.00", SOL)
    reserved_e6 = desk.cells(100)["reserved_e6"]
    assert reserved_e6 == 14_900_000 + 74_500
    events = desk.user(100, "account_guards_set", leverage_max=2)
    assert told(events, "order_changed") == [] and desk.cells(100)["reserved_e6"] == reserved_e6
    desk.limit(100, "buy", "1", "148.00", SOL)
    assert desk.cells(100)["reserved_e6"] == 74_500_000 + 74_500 + 74_000_000 + 74_000
    desk.sound()


def test_slippage_and_stp_of_an_account_hold_where_an_order_says_nothing() -> None:
    """An order that states its own bound or mode keeps it; a close by the venue's rules is not bound by them."""
    desk = guarded(slippage_bps=0, stp="cancel_maker")
    events = desk.user(100, "order_place", **FLAT, qty="1")
    assert told(events, "closed_order")[0]["reason"] == "slippage_exceeded"
    assert told(desk.user(100, "order_place", **FLAT, qty="1", slippage_bps=100), "fill")
    ticket = {"market": SOL, "side": "buy", "qty": "1", "leverage": 5}
    desk.user(100, "trade_create", "SLIPPAGE_EXCEEDED", **ticket)
    opened = told(desk.user(100, "trade_create", **ticket, slippage_bps=100), "fill")[0]
    assert told(desk.user(100, "trade_close", position_id=opened["position_id"]), "closed_position")
    own = desk.limit(100, "buy", "1", "150.01", SOL)
    events = desk.user(100, "order_place", market=SOL, side="sell", kind="limit", qty="1", price="150.01", tif="IOC")
    assert {event["order_id"]: event["reason"] for event in told(events, "closed_order")}[own] == "self_trade"
    own = desk.limit(100, "buy", "1", "150.01", SOL)
    events = desk.user(
        100, "order_place", market=SOL, side="sell", kind="limit", qty="1", price="150.01", tif="IOC",
        stp="cancel_taker",
    )  # fmt: skip
    assert [event["order_id"] for event in told(events, "closed_order")] == [desk.answer["order_id"]]
    desk.sound()


def test_a_stop_keeps_the_mode_it_was_placed_under() -> None:
    """The mode of self-trade is the order's from its placement on, and is told; slippage is that of its execution."""
    desk = guarded(stp="cancel_both", slippage_bps=50)
    stop = {"market": SOL, "side": "buy", "kind": "stop_market", "qty": "1", "price_trigger": "155.00"}
    image = told(desk.user(100, "order_place", **stop), "order_changed")[0]
    assert image["stp"] == "cancel_both" and "slippage_bps" not in image
    desk.user(100, "account_guards_set", stp=None, slippage_bps=0)
    assert told(desk.user(100, "order_place", **stop), "order_changed")[0].get("stp") is None
    events = desk.engine.price(SOL, "156.00", "156.02")
    assert [event["reason"] for event in told(events, "closed_order")] == ["slippage_exceeded"] * 2


def test_a_day_s_loss_locks() -> None:
    """With the leg that reaches the limit all opening orders end and nothing is opened more, until the day is over."""
    desk = guarded(daily_loss_max="100")
    kept = desk.limit(100, "buy", "1", "140.00", SOL)
    desk.user(100, "order_place", market=BTC, side="buy", kind="stop_market", qty="0.001", price_trigger="61000.0")
    assert told(lost(desk, 50), "account_changed")[-1].get("locked_until_ms") is None
    events = lost(desk, 48)
    ended = {event["order_id"]: event["reason"] for event in told(events, "closed_order")}
    assert ended[kept] == "loss_lock" and list(ended.values()).count("loss_lock") == 2
    until_ms = (START_US // DAY_US + 1) * DAY_US // 1000
    assert told(events, "account_changed")[-1]["locked_until_ms"] == until_ms
    assert desk.cells(100)["reserved_e6"] == 0
    desk.user(100, "order_place", "ACCOUNT_LOCKED", **FLAT, qty="1")
    desk.user(100, "order_place", "ACCOUNT_LOCKED", market="DOGE", side="buy", kind="market", qty="1")
    desk.user(100, "trade_create", "ACCOUNT_LOCKED", market=SOL, side="buy", qty="1", leverage=5)
    desk.user(100, "position_reverse", "ACCOUNT_LOCKED", position_id=1)
    desk.user(100, "account_transfer", "ACCOUNT_LOCKED", account_to=101, amount="1")
    desk.venue("order_place", "ACCOUNT_LOCKED", account=100, **FLAT, qty="1")
    desk.user(100, "order_place", "REDUCE_ONLY_WOULD_INCREASE", **FLAT, qty="1", reduce_only=True)
    desk.venue("account_freeze", account=100)
    desk.user(100, "order_place", "ACCOUNT_FROZEN", **FLAT, qty="1")
    desk.venue("account_unfreeze", account=100)
    desk.sound()
    desk.engine.apply("clock_tick", ts_us=START_US + DAY_US - 1_000_000)
    desk.engine.apply("clock_tick", ts_us=START_US + DAY_US)
    desk.engine.price(SOL, "150.00", "150.02")
    events = desk.market(100, "buy", "1", SOL)
    assert "locked_until_ms" not in told(events, "account_changed")[-1]


def test_locked_means_reducing_alone() -> None:
    """A position may be closed and its orders shrunk or cancelled while locked; nothing may grow."""
    desk = guarded(daily_loss_max="100")
    desk.market(100, "buy", "0.01")
    stop = {"market": BTC, "side": "sell", "kind": "limit", "qty": "0.01", "price": "61000.0", "reduce_only": True}
    desk.user(100, "order_place", **stop)
    reducing = desk.answer["order_id"]
    lost(desk, 100)
    desk.user(100, "order_amend", order_id=reducing, qty="0.005")
    desk.user(100, "order_amend", order_id=reducing, price="61500.0")
    desk.user(100, "order_cancel", order_id=reducing)
    (held,) = desk.held(100)
    desk.user(100, "margin_change", position_id=held["position_id"], amount="5")
    desk.user(100, "trade_close", position_id=held["position_id"])
    desk.sound()


def test_a_limit_cannot_be_loosened_while_locked() -> None:
    """Only an operator raises or removes it then; lowering is anybody's, and the lock stays till the day's end."""
    desk = guarded(daily_loss_max="100")
    lost(desk, 100)
    desk.user(100, "account_guards_set", "ACCOUNT_LOCKED", daily_loss_max="100.000001")
    desk.user(100, "account_guards_set", "ACCOUNT_LOCKED", daily_loss_max=None)
    desk.user(100, "account_guards_set", "AMOUNT_OUT_OF_RANGE", daily_loss_max="-1")
    desk.user(100, "account_guards_set", daily_loss_max="100", leverage_max=5)
    desk.user(100, "account_guards_set", daily_loss_max="1")
    events = desk.venue("account_guards_set", account=100, daily_loss_max=None)
    assert "locked_until_ms" in told(events, "account_changed")[0]
    desk.user(100, "account_guards_set", daily_loss_max="5000")
    desk.user(100, "order_place", "ACCOUNT_LOCKED", **FLAT, qty="1")


def test_a_limit_below_the_day_s_loss_locks_at_once() -> None:
    """Setting it counts what the day has brought so far: results, fees and funding, not what is merely moved."""
    desk = Desk()
    desk.limit(100, "buy", "1", "140.00", SOL)
    lost(desk, 60)
    summed = -int(desk.engine.states[0]["accounts"][5]["day_pnl_e6"])
    assert summed == 5_000_000_000 - desk.cells(100)["free_e6"] - desk.cells(100)["reserved_e6"] > 60_000_000
    one_more = f"{(summed + 1) / 1e6:.6f}"
    events = desk.user(100, "account_guards_set", daily_loss_max=one_more)
    assert [event["e"] for event in events] == ["account_guards_changed", "account_changed"]
    events = desk.user(100, "account_guards_set", daily_loss_max=f"{summed / 1e6:.6f}")
    assert [event["e"] for event in events] == ["account_guards_changed", "closed_order", "account_changed"]
    assert events[1]["reason"] == "loss_lock" and "locked_until_ms" in events[2]
    desk.sound()


@pytest.mark.parametrize("moved", ["account_credit", "margin_change"])
def test_moved_money_is_no_loss(moved: str) -> None:
    """What an operator takes back, or what goes into a position's margin, does not count against the limit."""
    desk = guarded(daily_loss_max="100")
    desk.market(100, "buy", "0.01")
    if moved == "account_credit":
        desk.venue("account_credit", account=100, amount="-2000", reason="test")
    else:
        desk.user(100, "margin_change", position_id=desk.held(100)[0]["position_id"], amount="2000")
    desk.market(100, "buy", "0.01")
    assert desk.engine.states[0]["accounts"][5]["locked_day"] == 0
