"""
One entry that takes more than one call of the core: a crash through a thousand stops and liquidations.
"""

from typing import Any

from engine.core.limits import EVENTS_CAPACITY, EVENTS_STEP_MAX
from tests.property.books import books_difference, engine_books, twin_books
from tests.property.entries import START_US
from tests.property.venues import EngineVenue, TwinVenue, events_difference

NAME = "SOL_USDC_PERP"
FIRST: dict[str, Any] = {
    "markets": [{"market": NAME, "tick": "0.01", "lot": "0.01", "leverage_max": 50}],
    "insurance_balance": "100",
}
ACCOUNTS = 10
TICKETS = 90


class Pair:
    """Engine and twin fed with the same entries and compared after each."""

    def __init__(self) -> None:
        self.twin, self.engine = TwinVenue(FIRST, START_US), EngineVenue(FIRST, START_US)
        self.updates = self.requests = 0
        self.apply("feed_status", {"status": "up", "source": "simulated"}, "session1")

    def apply(self, kind: str, body: dict[str, Any], session: str = "") -> list[dict[str, Any]]:
        """Apply one entry to both and return its events."""
        found = self.engine.apply(kind, body, START_US, session)
        kinds, text = events_difference(self.twin.apply(kind, body, START_US, session), found)
        assert not kinds, text
        return found

    def quote(self, bid: str, ask: str) -> list[dict[str, Any]]:
        """Apply a quote."""
        self.updates += 1
        body = {"A": "1", "B": "1", "E": START_US, "T": START_US, "a": ask, "b": bid, "e": "bookTicker", "s": NAME,
                "u": self.updates}  # fmt: skip
        return self.apply("price_update", body, "session1")

    def send(self, account: int, op: str, **keys: Any) -> dict[str, Any]:
        """Send an instruction and return its answer."""
        self.requests += 1
        body = {"v": 1, "account": account, "request_id": f"{self.requests:032x}", "op": op, **keys}
        return self.apply("user_instruction", body)[0]


def test_a_crash_larger_than_one_call() -> None:
    """Stops, liquidations and resting orders of a crash run to the end, in the twin's order, in one entry."""
    pair = Pair()
    pair.quote("150.00", "150.01")
    accounts = [pair.send(0, "account_open", owner=f"{number:032x}")["account"] for number in range(ACCOUNTS)]
    for number in range(ACCOUNTS * TICKETS):
        account = accounts[number % ACCOUNTS]
        stop = {"stop_loss": f"{140 + number % 7}.00", "take_profit": "170.00"} if number % 3 else {}
        keys = {"market": NAME, "side": "buy", "qty": "0.10", "leverage": 50 - number % 20, **stop}
        assert pair.send(account, "trade_create", **keys)["result"] == "OK"
    for account in accounts:
        keys = {"market": NAME, "side": "buy", "kind": "limit", "qty": "1", "price": "145.00", "stop_loss": "100.00"}
        assert pair.send(account, "order_place", **keys)["result"] == "OK"
    for _ in range(2):
        assert not pair.quote("130.00", "130.01")
    events = pair.quote("130.00", "130.01")
    assert len(events) > EVENTS_CAPACITY - EVENTS_STEP_MAX  # no further step begins in that call
    kinds = {event["e"] for event in events}
    assert {"trigger_fired", "liquidation", "deficit", "fill", "closed_position"} <= kinds
    name, text = books_difference(twin_books(pair.twin), engine_books(pair.engine.engine.states))
    assert not name, text
    assert pair.engine.engine.invariants() == []
