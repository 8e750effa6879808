"""engine/core/due.py: what an order that expires leaves to the others, and things due at the same time."""

from typing import Any

import pytest

from tests.unit.test_core_makers import BUYER, MAKER, OTHER, Venue, ended

SECOND_US = 1_000_000


def later(venue: Venue, seconds: int) -> list[dict[str, Any]]:
    """Let time pass, second by second, and return what came of it."""
    ends_us = venue.engine.ts_us + seconds * SECOND_US
    return venue.engine.apply("restored", {"first_lost": 1, "last_lost": 2}, ts_us=ends_us)


def test_cover_goes_on_when_an_order_expires() -> None:
    """The older of two sells over one long has its cover until it expires; then the newer one needs no reserve."""
    venue = Venue()
    venue.order(OTHER, "sell", "3", "100")
    venue.order(MAKER, "buy", "3")
    expires_ms = venue.engine.ts_us // 1000 + 2_000
    venue.order(MAKER, "sell", "2", "103", tif="GTD", expires_ms=expires_ms)
    venue.order(MAKER, "sell", "3", "104")
    free_e6 = venue.free_e6(MAKER)
    (reserved_e6,) = [row["reserved_e6"] for row in venue.engine.orders(MAKER) if row["reserved_e6"]]
    assert reserved_e6 == 2 * 10_400_000 + 2 * 52_000
    events = later(venue, 2)
    assert ended(events, MAKER) == "expired"
    assert venue.free_e6(MAKER) == free_e6 + reserved_e6
    assert [row["reserved_e6"] for row in venue.engine.orders(MAKER)] == [0]
    assert venue.engine.invariants() == []


@pytest.mark.parametrize(("wait_s", "gone"), [(1, 0), (2, 2)])
def test_expiries_of_one_moment_come_by_id_before_the_switch(wait_s: int, gone: int) -> None:
    """What expires at the moment a dead-man's switch fires ends as expired; neither happens a moment earlier."""
    venue = Venue()
    start_ms = venue.engine.ts_us // 1000
    for qty in ("1", "2"):
        venue.order(BUYER, "buy", qty, "98", tif="GTD", expires_ms=start_ms + 5_000)
    venue.order(BUYER, "buy", "3", "98")
    venue.send("deadman_set", BUYER, timeout_ms=5_000)
    assert not any(event["e"] == "closed_order" for event in later(venue, 3))
    events = later(venue, wait_s)
    closed = [(event["qty"], event["reason"]) for event in events if event["e"] == "closed_order"]
    assert closed == ([("1", "expired"), ("2", "expired"), ("3", "deadman")] if gone else [])
