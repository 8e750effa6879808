"""gateway/equity.py on a real Postgres: the curve of a real core's history is what the core's accounts held."""

import asyncio
import random
from typing import Any

import orjson
import pytest

from engine.library import Engine
from gateway.equity import BALANCES_SELECT, INTERVALS_US, POINTS_MAX, SPAN_SELECT, Range, curve_read
from persister.history import HistoryStore
from persister.reader import Position
from shared.database import Database
from shared.streams import EventsEntry
from tests.builders import BTC, SOL, instruction, opened, step
from tests.persister_doubles import KEYS, ListLog

STEPS = 700
ROWS_MANY = 200_000


def held(engine: Engine, account_id: int) -> int:
    """Return what an account holds: free, reserved and the margin of its positions, in micro-USDC."""
    account = engine.account(account_id)
    assert account is not None
    margins = [int(row["margin_e6"]) for row in engine.positions(account_id)]
    return int(account["free_e6"]) + int(account["reserved_e6"]) + sum(margins)


def lived(seed: int) -> tuple[list[EventsEntry], list[tuple[int, dict[int, int]]]]:
    """Return what a random history published, and what each account held at each time."""
    chance = random.Random(seed)
    engine = opened(3)
    mids = {BTC: 600_000, SOL: 15_000}
    entries = [entry_of(1, engine.ts_us, engine.apply("user_instruction", instruction(1, "account_reset")))]
    # The reset of an untouched account moves nothing: its deposit is told by hand, as genesis published it.
    deposits = [
        {"e": "ledger", "account": each, "amount": f"{held(engine, each) / 1_000_000:.6f}", "counter": "external"}
        | {"reason": "deposit", "ref": 0, "free_after": "0"}
        for each in (100, 101, 102)
    ]
    entries.append(entry_of(2, engine.ts_us, deposits))
    known = [(engine.ts_us, {each: held(engine, each) for each in (100, 101, 102)})]
    for number in range(2, STEPS):
        if number % 90:
            events = step(engine, chance, number, mids)
        else:
            events = engine.apply("user_instruction", instruction(number, "account_reset", 101))
        entries.append(entry_of(number + 1, engine.ts_us, events))
        known.append((engine.ts_us, {each: held(engine, each) for each in (100, 101, 102)}))
    return entries, known


def entry_of(seq: int, log_time_us: int, events: list[dict[str, Any]]) -> EventsEntry:
    """Return the events of one entry as they stand in the stream."""
    return EventsEntry(seq, 0, log_time_us, b"", b"", orjson.dumps(events))


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_what_the_core_held(database_url: str, seed: int) -> None:
    """Whatever happened (fills, tickets, resets, transfers), each point is what the core's account held then."""
    entries, known = lived(seed)

    async def scene() -> None:
        database = await Database.connect(database_url, timeout_s=60.0)
        try:
            store = HistoryStore(database, KEYS.venue, ListLog())
            await store.begin()
            await store.commit(Position(), entries)
            assert store.rejects_count == 0
            now_us = known[-1][0]
            for account_id in (100, 101, 102):
                whole = await curve_read(database, KEYS.venue, account_id, Range(0, 2**62), now_us)
                assert whole.points[-1].balance_e6 == known[-1][1][account_id]
                for interval in (None, *INTERVALS_US):
                    from_us = known[0][0] + (now_us - known[0][0]) // 3
                    curve = await curve_read(database, KEYS.venue, account_id, Range(from_us, 2**62, interval), now_us)
                    assert 0 < len(curve.points) < POINTS_MAX
                    for point in curve.points:
                        at = [held for time_us, held in known if time_us <= point.time_us]
                        assert point.balance_e6 == at[-1][account_id]
        finally:
            await database.close()

    asyncio.run(scene())


def test_a_long_life_is_summed_in_time(database_url: str) -> None:
    """Among two hundred thousand movements an account's are summed exactly, and by an index: others' are left alone."""

    async def scene() -> None:
        database = await Database.connect(database_url, timeout_s=60.0)
        try:
            insert = (
                "INSERT INTO ledger (venue, account_id, seq, chunk, index, booked_us, amount, data) SELECT $1,"
                ' 101 + n % 50, n, 0, 0, n * 1000000, -0.000001, \'{"reason": "fee"}\''
                " FROM generate_series(1, $2::bigint) n"
            )
            await database.execute(insert, KEYS.venue, ROWS_MANY)
            await database.execute("ANALYZE ledger")
            curve = await curve_read(database, KEYS.venue, 101, Range(0, 2**62), ROWS_MANY * 1_000_000)
            assert curve.points[-1].balance_e6 == -ROWS_MANY // 50
            assert curve.interval == "15m"
            for query, arguments in ((SPAN_SELECT, ()), (BALANCES_SELECT, (0, 2**62, 900_000_000))):
                plan = await database.fetch(f"EXPLAIN {query}", KEYS.venue, 101, *arguments)
                assert any("Index" in str(row) for row in plan), plan
        finally:
            await database.close()

    asyncio.run(scene())
