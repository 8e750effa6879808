"""engine/core/settle.py: a quote that fires more than the events buffer holds is told whole, in order, once."""

from engine.core import kernel
from engine.core.limits import EVENTS_CAPACITY, EVENTS_STEP_MAX
from tests.builders import BTC, instruction, opened

TICKETS = 2_500 if kernel.JIT else 40


def test_a_cascade_larger_than_the_buffer_is_told_whole() -> None:
    """Thousands of stops at one price fire on one quote by order id, and every position ends exactly once."""
    engine = opened(25, positions_open_max=200, triggers_open_max=400, starting_balance="1000000")
    for number in range(TICKETS):
        trade = {"market": BTC, "side": "buy", "qty": "0.001", "leverage": 5, "stop_loss": "59000"}
        body = instruction(number + 1, "trade_create", 100 + number % 25, **trade)
        assert engine.apply("user_instruction", body)[0]["result"] == "OK"
    events = engine.price(BTC, "58999.9", "59000.0")
    fired = [event["order_id"] for event in events if event["e"] == "trigger_fired"]
    ended = [event["position_id"] for event in events if event["e"] == "closed_position"]
    assert fired == sorted(fired)
    assert len(fired) == len(set(ended)) == TICKETS
    assert not kernel.JIT or len(events) > 2 * (EVENTS_CAPACITY - EVENTS_STEP_MAX)  # so one call did not hold them
    assert [row for row in engine.positions() if row["account_id"] >= 100] == []
    assert engine.invariants() == []
    assert engine.restored().state_hash() == engine.state_hash()
