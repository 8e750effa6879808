"""gateway/equity.py, routes/equity.py: the wallet balance over time, held against the legs one by one."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.equity import INTERVALS_US, POINTS_MAX, Curves, Range, bucket_last, curve_read, interval_fitting
from gateway.errors import Refusal
from tests.gateway_doubles import NOW_US, VENUE, eventually
from tests.gateway_house import FakeDatabase, House

pytestmark = pytest.mark.anyio
ROUTE = "/api/v1/account/history/equity"
MINUTE_US = 60_000_000
REASONS = ("deposit", "margin", "pnl", "fee", "funding", "reset")


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def leg(seq: int, booked_us: int, amount: str, reason: str = "pnl", account: int = 100) -> dict[str, Any]:
    """Return a movement of an account's money as the persister stores it."""
    event = {
        "e": "ledger", "account": account, "amount": amount, "counter": "external", "reason": reason, "ref": 1,
        "free_after": "0.000000",
    }  # fmt: skip
    place = {"venue": VENUE, "account_id": account, "seq": seq, "chunk": 0, "index": 0}
    return place | {"booked_us": booked_us, "amount": amount, "data": event}


def drawn(chance: random.Random, count: int, spread_us: int) -> list[dict[str, Any]]:
    """Return legs of two accounts, some of them within one instant."""
    times = sorted(NOW_US - chance.randrange(spread_us) // 7 * 7 for _ in range(count))
    return [
        leg(
            number,
            at_us,
            f"{chance.randrange(-9_000_000, 9_000_000) / 1_000_000:.6f}",
            chance.choice(REASONS),
            chance.choice([100, 100, 101]),
        )
        for number, at_us in enumerate(times, 1)
    ]


def balance_at(legs: list[dict[str, Any]], time_us: int) -> int:
    """Return what the wallet held right after a moment, from the legs alone."""
    moved = [each for each in legs if each["account_id"] == 100 and each["booked_us"] <= time_us]
    return sum(round(float(each["amount"]) * 1_000_000) for each in moved if each["data"]["reason"] != "margin")


@pytest.mark.parametrize("seed", range(8))
async def test_every_point_is_the_sum_of_the_legs_until_then(seed: int) -> None:
    """Of any range in any interval each point is the balance at its time, and no step with a movement is missing."""
    chance = random.Random(seed)
    spread_us = chance.choice([9 * MINUTE_US, 3_000 * MINUTE_US, 2_000_000 * MINUTE_US])
    legs = drawn(chance, 300, spread_us)
    database = FakeDatabase()
    database.history_rows("ledger").extend(legs)
    first_us = min(each["booked_us"] for each in legs if each["account_id"] == 100)
    for _ in range(20):
        ends = sorted(NOW_US - chance.randrange(-9 * MINUTE_US, spread_us) for _ in range(2))
        from_us, to_us = chance.choice([(0, 2**62), (ends[0], ends[1]), (ends[0], 2**62)])
        wanted = Range(from_us, to_us, chance.choice([None, *INTERVALS_US]))
        curve = await curve_read(database, VENUE, 100, wanted, NOW_US)  # type: ignore[arg-type]
        width_us = INTERVALS_US[curve.interval]
        assert wanted.interval in (None, curve.interval)
        assert len(curve.points) <= POINTS_MAX - 1
        times = [point.time_us for point in curve.points]
        assert times == sorted(times)
        for point in curve.points:
            # Before the beginning, exclusive: that point is the balance with which the range begins.
            opening = point is curve.points[0] and point.time_us not in {each["booked_us"] for each in legs}
            assert point.balance_e6 == balance_at(legs, point.time_us - opening)
        if times:
            end_us = min(to_us, NOW_US + 1)
            start_us = max(from_us, first_us, (bucket_last(end_us, width_us) - 497) * width_us)
            moved = {
                each["booked_us"] // width_us
                for each in legs
                if each["account_id"] == 100
                and start_us <= each["booked_us"] < end_us
                and each["data"]["reason"] != "margin"
            }
            assert moved <= {time_us // width_us for time_us in times}


def test_the_finest_interval_that_fits_is_taken() -> None:
    """498 steps are taken, one more takes the next wider interval; what fits none has the widest."""
    begin_us = 20_000 * INTERVALS_US["1d"]
    assert interval_fitting(begin_us, begin_us + 498 * MINUTE_US) == "1m"
    assert interval_fitting(begin_us, begin_us + 498 * MINUTE_US + 1) == "5m"
    assert interval_fitting(begin_us - 1, begin_us + 498 * MINUTE_US) == "5m"
    assert interval_fitting(begin_us, begin_us + 900 * INTERVALS_US["1d"]) == "1d"


async def test_a_range_beyond_five_hundred_points_is_cut_at_its_old_end() -> None:
    """Of more steps than an answer holds the newest come, and before them the balance with which they begin."""
    database = FakeDatabase()
    legs = [leg(number, NOW_US - number * MINUTE_US, "1.000000") for number in range(900)]
    database.history_rows("ledger").extend(legs)
    curve = await curve_read(database, VENUE, 100, Range(0, 2**62, "1m"), NOW_US)  # type: ignore[arg-type]
    assert len(curve.points) == POINTS_MAX - 1
    assert [point.balance_e6 for point in curve.points] == [number * 1_000_000 for number in range(402, 901)]
    assert curve.points[0].time_us % MINUTE_US == 0


async def test_the_route_tells_the_curve_and_now(tmp_path: Path) -> None:
    """Newest first: now with equity out of the view, then the balances; a range in the past has no now."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        rows = house.database.history_rows("ledger")
        rows.append(leg(3, NOW_US - 7_200_000_000, "5000.000000", "deposit"))
        rows.append(leg(4, NOW_US - 3_600_000_000, "-100.000000", "margin"))
        rows.append(leg(5, NOW_US - 1_800_000_000, "-0.030000", "fee"))
        house.database.history_seq = 5
        body = (await house.client.get(ROUTE, headers=caller)).json()
        assert body["items"] == [
            {"time_us": house.clock.us, "balance": "5000.000000", "equity": "5000.000000"},
            {"time_us": NOW_US - 1_800_000_000, "balance": "4999.970000"},
            {"time_us": NOW_US - 7_200_000_000, "balance": "5000.000000"},
        ]
        assert (body["interval"], body["complete_to_seq"], body["next_cursor"]) == ("1m", "5", None)
        past = f"{ROUTE}?interval=1h&to_ms={(NOW_US - 1_800_000_000) // 1_000}&from_ms={NOW_US // 1_000 - 5_400_000}"
        body = (await house.client.get(past, headers=caller)).json()
        assert body["items"] == [{"time_us": NOW_US - 5_400_000_000, "balance": "5000.000000"}]
        assert body["interval"] == "1h"
        rows.clear()
        body = (await house.client.get(ROUTE, headers=caller)).json()
        assert [item.get("equity") for item in body["items"]] == ["5000.000000"]
        assert (await house.client.get(ROUTE)).status_code == 401


@pytest.mark.parametrize(
    "query", ["interval=2m", "interval=", "from_ms=-1", "to_ms=1.5", "to_ms=4503599627370497", "limit=5", "cursor=MA"]
)
async def test_a_query_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    """What the route does not know, or cannot use, is refused by name."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        answer = await house.client.get(f"{ROUTE}?{query}", headers=caller)
        assert (answer.status_code, answer.json()["code"]) == (400, "QUERY_INVALID")


async def test_it_counts_as_ten_requests_and_is_503_without_postgres(tmp_path: Path) -> None:
    """Who asks for the curve has used up ten reads; without Postgres there is none, and no guess instead."""
    async with House(tmp_path, TIDEMARK_RATE_FACTOR="1") as house:
        caller = await house.sign_in()
        answers = [
            await house.client.get(path, headers=caller) for path in ("/api/v1/account", ROUTE, "/api/v1/account")
        ]
        left = [int(each.headers["ratelimit"].partition("r=")[2].partition(";")[0]) for each in answers]
        assert left[0] - left[2] == 10 + 1
        house.database.down = True
        answer = await house.client.get(ROUTE, headers=caller)
        assert (answer.status_code, answer.json()["code"]) == (503, "HISTORY_UNAVAILABLE")


async def test_a_subaccount_has_a_curve_of_its_own(tmp_path: Path) -> None:
    """Acting for a sub-account tells its movements, none of the main account's."""
    async with House(tmp_path) as house:
        caller = await house.sign_in()
        opened = await house.client.post("/api/v1/account/subaccounts", json={}, headers=caller)
        number = opened.json()["subaccount"]["account_id"]
        rows = house.database.history_rows("ledger")
        rows.append(leg(3, NOW_US - MINUTE_US, "5000.000000", "deposit"))
        rows.append(leg(4, NOW_US - MINUTE_US, "7.000000", "transfer", number))
        body = (await house.client.get(f"{ROUTE}?account={number}", headers=caller)).json()
        assert [item["balance"] for item in body["items"][1:]] == ["7.000000"]


class Slow:
    """A Postgres that sums until it is let go, and counts whose movements it is at."""

    def __init__(self) -> None:
        """Begin with nothing under way."""
        self.summed: list[int] = []
        self.free = asyncio.Event()

    async def fetchrow(self, _query: str, _venue: str, account_id: int) -> dict[str, Any]:
        """Answer when let go: nothing has moved."""
        self.summed.append(account_id)
        await self.free.wait()
        return {"first_us": None, "last_us": None}


async def test_a_busy_account_keeps_nobody_from_history() -> None:
    """Of an account one curve is summed at a time, of all two; more than four questions of one are refused."""
    database = Slow()
    curves = Curves(database, VENUE)  # type: ignore[arg-type]
    asked = [asyncio.ensure_future(curves.read(account, Range(0, 2**62), NOW_US)) for account in (100,) * 4]
    await eventually(lambda: database.summed == [100])
    with pytest.raises(Refusal) as refused:
        await curves.read(100, Range(0, 2**62), NOW_US)
    assert refused.value.code == "HISTORY_UNAVAILABLE"
    asked += [asyncio.ensure_future(curves.read(account, Range(0, 2**62), NOW_US)) for account in (101, 102)]
    await eventually(lambda: database.summed == [100, 101])
    asked[1].cancel()
    database.free.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [False, True, False, False, False, False]
    assert sorted(database.summed) == [100, 100, 100, 101, 102]
    assert (await curves.read(100, Range(0, 2**62), NOW_US)).points == []
