"""What an operator configures reaches a gateway that runs, and one that starts later."""

from pathlib import Path

import orjson
import pytest

from gateway.markets import Markets
from tests.gateway_doubles import GENESIS, MARKET, eventually
from tests.gateway_house import House

pytestmark = pytest.mark.anyio
HALTED = {"e": "market_changed", "market": MARKET, "tick": "0.5", "state": "halted"}
CANCELLED = {"e": "closed_order", "account": 100, "market": MARKET, "order_id": 1}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


async def test_a_change_is_seen_beside_what_it_did_to_accounts(tmp_path: Path) -> None:
    """A market's new parameters count although the same entry touched accounts; so does the venue's new window."""
    async with House(tmp_path) as house:
        house.streams.publish(50, [HALTED, CANCELLED])
        house.streams.publish(51, [{"e": "venue_changed", "request_window_ms": 60_000}])
        await eventually(lambda: house.desk.markets.request_window_ms == 60_000)
        market = (await house.client.get(f"/api/v1/market/{MARKET}")).json()
        assert (market["state"], market["tick"], market["leverage_max"]) == ("halted", "0.5", 50)


async def test_what_was_configured_before_the_start_is_taken(tmp_path: Path) -> None:
    """A gateway that starts after a change has it from the view reader, once that has come as far as the tail began."""
    async with House(tmp_path) as house:
        keys = house.streams.keys
        house.streams.hashes[keys.view_venue] = {f"market:{MARKET}": orjson.dumps(HALTED | {"seq": 40})}
        await house.desk.configuration_follow()
        market = house.desk.markets.one(MARKET) or {}
        assert (market["state"], market["tick"], market["lot"]) == ("halted", "0.5", "0.00001")


def test_an_older_change_is_ignored() -> None:
    """What the tail has seen is never taken back by an earlier view; the insurance fund is no market."""
    markets = Markets()
    markets.genesis(GENESIS)
    markets.configured(HALTED, 50)
    markets.stored(
        {
            f"market:{MARKET}": orjson.dumps(HALTED | {"tick": "0.1", "seq": 49}).decode(),
            "venue": orjson.dumps({"e": "venue_changed", "request_window_ms": 60_000, "seq": 1}).decode(),
            "insurance": orjson.dumps({"e": "insurance_changed", "balance": "1.000000", "seq": 90}).decode(),
        }
    )
    assert (markets.one(MARKET) or {})["tick"] == "0.5"
    assert markets.request_window_ms == 60_000
    assert [row["market"] for row in markets.all()] == [MARKET]
