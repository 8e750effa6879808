"""Persisters that die, sleep and compete; trimming under sleepers; an archive whose writer is killed."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.archive import archive_entries
from shared.clock import now_us
from shared.database import Database
from shared.refusal import EXIT_REFUSED
from tests.faults.matrix.house import House, stopped_for
from tests.faults.shims import SmallDisk
from tests.faults.venue_client import family
from tests.integration.engine_process import until

ROUNDS, ROUNDS_FULL = 3, 20
EXIT_AGAIN = 1
SMALL_MB = 4
KEYFRAMES = 5
PASS_S = 5.0
FILLER_BYTES = 400_000
KEEP = {"TIDEMARK_KEEP_KEYFRAMES_S": "0", "TIDEMARK_KEEP_EVENTS_S": "0"}
TERMINATE = """
SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
TABLES = {"fill": ("fills", "fill_id"), "closed_order": ("closed_orders", "order_id")}


def rows_of(house: House, query: str, *arguments: Any) -> list[dict[str, Any]]:
    """Return the rows of one SELECT."""

    async def ask() -> list[dict[str, Any]]:
        database = await Database.connect(house.database_url)
        try:
            return await database.fetch(query, *arguments)
        finally:
            await database.close()

    return asyncio.run(ask())


def history_proven(house: House) -> None:
    """Assert that history has every closed order and fill of the events once, when it has caught up."""
    tip = house.streams.events_tip(house.keys)
    cursor = "SELECT seq, chunk FROM persister_cursor WHERE venue = $1"
    until(lambda: [tuple(row.values()) for row in rows_of(house, cursor, house.keys.venue)] >= [tip], "history", 20.0)
    for kind, (table, column) in TABLES.items():
        told: Counter[tuple[int, int]] = Counter()
        for entry in house.streams.range_events(house.keys, (0, 0), tip, 1_000_000):
            events = [event for event in orjson.loads(entry.data) if event["e"] == kind]
            told.update((event["account"], event[column]) for event in events)
        query = f"SELECT account_id, {column} FROM {table} WHERE venue = $1 AND seq <= $2"
        rows = rows_of(house, query, house.keys.venue, tip[0])
        assert Counter((row["account_id"], row[column]) for row in rows) == told, kind
        assert told, kind


def archive_proven(house: House) -> None:
    """Assert that the archive holds the log, entry by entry, once it has caught up."""
    log = house.streams.range_log(house.keys, 1, 10**9, 1_000_000)
    folder = house.engine.data_dir / "archive"

    def archived() -> list[Any]:
        return list(archive_entries(folder, house.keys.venue, 0))

    until(lambda: len(archived()) >= len(log), "archiving", 20.0)
    assert archived()[: len(log)] == log


def test_two_persisters_sleep_and_die(house: House, full: bool) -> None:
    """Of two persisters one sleeps over moves of the cursor, the other is killed: every row once, no entry missing."""
    sleeper, victim = house.persister_make().start(), house.persister_make().start()
    until(lambda: sleeper.facts("serving") and victim.facts("serving"), "serving", 30.0)
    with house.load():
        for _ in range(ROUNDS_FULL if full else ROUNDS):
            stopped_for(sleeper, 0.5)
            victim.end(signal.SIGKILL)
            victim.start()
            time.sleep(0.3)
            sleeper.end(signal.SIGKILL)
            sleeper.start()
    house.trade_and_prove()
    history_proven(house)
    archive_proven(house)
    house.unharmed()
    assert not sleeper.facts("refused")
    assert not victim.facts("refused")


def test_backends_terminated(house: House) -> None:
    """Postgres connections ended at any moment, in a COMMIT too, cost tries and no row: each is there once."""
    persister = house.persister_make().start()
    until(lambda: persister.facts("serving"), "serving", 30.0)
    ended = 0
    with house.load():
        for _ in range(25):
            ended += rows_of(house, TERMINATE)[0]["ended"]
            time.sleep(house.chance.random() * 0.1)
    assert ended > 25
    house.trade_and_prove()
    history_proven(house)
    assert not persister.facts("refused")
    house.unharmed()


def test_archive_disk_full(house: House) -> None:
    """With the archive's disk full trading goes on and it is said; with room again the archive is the log."""
    for persister in house.persisters:
        persister.end(signal.SIGKILL)
    disk = SmallDisk(house.engine.data_dir / "archive", SMALL_MB)
    persister = house.persister_make()
    persister.prefix = disk.prefix
    persister.start()
    until(lambda: persister.facts("serving"), "serving", 30.0)

    def trouble() -> str:
        beat = house.streams.heartbeats_read(house.keys).get("persister", {})
        return str(beat.get("archive_error") or "")

    for _ in range(4 * SMALL_MB):  # what does not compress
        filler = [(b"ts", b"%d" % now_us()), (b"nothing", os.urandom(FILLER_BYTES))]
        assert house.producer.streams.append(house.keys, filler).seq
    until(trouble, "the full disk is said", 20.0)
    house.trade_and_prove()
    history_proven(house)
    assert persister.process is not None
    os.kill(family(persister.process.pid)[-1], signal.SIGTERM)  # the shell around it keeps what it leaves
    assert persister.process.wait(20) == 0
    disk.take_back()
    house.persister_make().start()
    archive_proven(house)
    house.unharmed()


@pytest.fixture(scope="module")
def trimmed(house_make: Callable[[], House]) -> House:
    """Return a venue whose persister trims whatever it may."""
    house = house_make()
    house.persister_make(TIDEMARK_TRIM="on", **KEEP).start()
    return house


def trimming_awaited(house: House, beyond_seq: int) -> None:
    """Trade and let keyframes come until the log begins beyond an entry."""
    deadline_s = time.monotonic() + 40.0
    while house.streams.log_first(house.keys) <= beyond_seq:
        assert time.monotonic() < deadline_s, house.streams.heartbeats_read(house.keys)["persister"]
        house.trade_some(60, house.chance)
        house.proven()
        house.producer.slot_skip()
        time.sleep(0.3)


def test_standbys_behind_the_trim(trimmed: House, tmp_path: Path) -> None:
    """Of two standbys that slept while the log was trimmed past them one reads the archive, the other starts again."""
    house = trimmed
    near = house.engine_more()
    far = house.engine_make()
    far.environment["TIDEMARK_ARCHIVE_DIR"] = str(tmp_path / "nothing here")
    far.start()
    until(lambda: house.role(far) == "standby", "standing by", 30.0)
    seq = house.streams.log_tip(house.keys)
    for standby in (near, far):
        assert standby.process is not None
        standby.process.send_signal(signal.SIGSTOP)
    trimming_awaited(house, seq + 1)
    for standby in (near, far):
        assert standby.process is not None
        standby.process.send_signal(signal.SIGCONT)
    assert far.process is not None
    assert far.process.wait(20) == EXIT_AGAIN
    [fact] = far.facts("behind_trim")
    assert "the log begins at" in fact["reason"]
    far.start()
    until(lambda: house.role(far) == "standby", "standing by again", 30.0)
    house.leader().end(signal.SIGKILL)
    for standby in (near, far):
        until(lambda: house.leader().process is not None, "taking over", 20.0)
        house.trade_and_prove()
        assert house.lives(standby)
    house.leader().end(signal.SIGKILL)
    until(lambda: house.leader(), "the other's turn", 20.0)
    house.trade_and_prove()
    house.unharmed()


def test_trimmer_that_slept(trimmed: House) -> None:
    """A trimmer that wakes with much to trim after a refusal was written takes nothing, and its process ends."""
    house = trimmed
    persister = house.persisters[0]
    assert persister.process is not None
    persister.process.send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    for _ in range(KEYFRAMES):
        house.trade_some(60, house.chance)
        house.proven()
        house.producer.slot_skip()
        time.sleep(0.3)
    time.sleep(max(0.0, stopped_s + PASS_S - time.monotonic()))  # its next pass is due as soon as it wakes
    house.streams.set_json(house.keys.refused, {"text": "a test's", "time_us": 0})
    first = house.streams.log_first(house.keys)
    persister.process.send_signal(signal.SIGCONT)
    assert persister.process.wait(20) == EXIT_REFUSED
    assert house.streams.log_first(house.keys) == first
    house.streams.delete(house.keys.refused)
    trimming = house.persister_make(TIDEMARK_TRIM="on", **KEEP).start()
    until(lambda: house.streams.log_first(house.keys) > first, "trimming what the sleeper could have", 30.0)
    assert not trimming.facts("refused")
