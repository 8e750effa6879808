"""Corners of a restoration, a reset and a start: late disks, holes, kills, lost accounts, a Postgres that is away."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.__main__ import ProcessClock
from engine.wiring import EXIT_AGAIN, Engine, Outside, engine_run
from gateway.sign_in.auth import SESSION_SECONDS, Session, Sessions
from gateway.sign_in.keys import ApiKeys, KeyHeld
from gateway.sign_in.revocations import Revocations
from gateway.sign_in.secret import secrets_of_text
from scripts import cli
from scripts.reset import refusal_make, reset_do
from scripts.restore import nothing_to_do, plan_read, plan_text, restore_do
from scripts.restore_plan import Plan
from scripts.stopped import Stopped
from shared.clock import monotonic_s
from shared.database import Database, DatabaseDown
from shared.refusal import EXIT_REFUSED, refusal_file_read
from shared.settings import Settings
from shared.stream_keys import Entry, log_id, restored_body
from shared.streams import Streams, StreamsAsync
from tests.faults.corner_venue import KEYS, VENUE, Corner, History, history_make, history_without
from tests.faults.interrupted import Counter, Died, DyingStore
from tests.persister_doubles import ListLog

LAST = 240
LATE_ACCOUNT = 103  # opened at the entry
OPENED_AT = 205
HOLE = (121, 160)  # a file of the archive that was lost
NOW_US = 1_900_000_000_000_000
ISSUED_US = 1_500_000_000_000_000  # before any restoration that this test does


@pytest.fixture(scope="module")
def history() -> History:
    """Return what the venue did."""
    return history_make(LAST, OPENED_AT)


@pytest.fixture
def corner(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Corner]:
    """Lend a venue that stands still, of which nobody knows more than its name."""
    made = Corner(redis_url, database_url, tmp_path)
    yield made
    made.close()


def part(history: History, first: int, last: int) -> list[Entry]:
    """Return a range of entries."""
    return [entry for entry in history.entries if first <= entry.seq <= last]


def restored(venue: Stopped) -> Plan:
    """Restore; a second look must find nothing more to do. Return the plan that was carried out."""
    plan = plan_read(venue)
    assert not nothing_to_do(venue, plan)
    restore_do(venue, plan)
    assert nothing_to_do(venue, plan_read(venue))
    assert refusal_file_read(venue.data_dir) is None
    return plan


def dying(corner: Corner, exchanges: int) -> Stopped:
    """Return the venue for a command that dies after so many exchanges with Postgres."""
    counter = Counter()
    counter.left = exchanges
    return corner.stopped()._replace(store=DyingStore(corner.database_url, VENUE, counter))


def holed(corner: Corner, history: History) -> None:
    """Lay out a venue whose servers came back from before, and whose newer archive lacks a file in its middle."""
    before = history.to(100)
    corner.streams_put(before)
    corner.snapshots_put(before, 40, 80)
    corner.rows_put(before, 80)
    parts = (1, HOLE[0] - 1), HOLE, (HOLE[1] + 1, LAST)
    corner.archive_put(*(part(history, first, last) for first, last in parts))
    [lost] = (corner.archive / VENUE).glob(f"log-*{HOLE[0]}-*")
    lost.unlink()


def holed_proven(corner: Corner) -> None:
    """Assert that what stands behind the hole was neither believed nor given out again."""
    *kept, stated = corner.log_held()
    assert [entry.seq for entry in kept] == list(range(1, HOLE[0]))
    assert stated.seq == LAST + 1
    assert stated.fields[-1] == (b"restored", restored_body(HOLE[0], LAST))
    assert corner.archive_ends() == (HOLE[0] - 1, [(1, HOLE[0] - 1)])


def test_archive_witnesses_numbers_that_it_cannot_lead_to(corner: Corner, history: History) -> None:
    """Numbers that stand behind a hole of the archive are stated as lost in its name, and are not given out again."""
    holed(corner, history)
    plan = restored(corner.stopped())
    assert plan.lost == (HOLE[0], LAST)
    assert "remembered by the archive" in plan_text(plan)
    holed_proven(corner)


def test_a_restoration_that_dies_before_the_archive_is_cut_is_finished(corner: Corner, history: History) -> None:
    """Killed with the new log in place and the archive still holding lost entries, the next run sets those aside."""
    holed(corner, history)
    venue = corner.stopped()
    plan = plan_read(venue)
    with pytest.raises(Died):
        restore_do(dying(corner, 0), plan)
    assert corner.log_held()[-1].seq == LAST + 1
    assert corner.archive_ends()[0] == LAST
    assert restored(venue).lost is None
    holed_proven(corner)


@pytest.mark.parametrize("archive_end", [180, 200])
def test_an_archive_that_comes_back_late_changes_nothing(corner: Corner, history: History, archive_end: int) -> None:
    """What was stated as lost while the archive's disk was away stays lost, and the disk's end is set aside."""
    after = history_without(history, 161, 200, LAST)
    corner.streams_put(after)
    corner.snapshots_put(after, 160, LAST)
    corner.rows_put(after, LAST)
    corner.archive_put(part(history, 1, 120), part(history, 121, archive_end))
    corner.archive_cursor_put(history.entries[archive_end - 1])
    assert restored(corner.stopped()).log_right
    assert corner.log_held() == after.entries
    assert corner.archive_ends()[0] == corner.archive_cursor() == 160
    assert list((corner.archive / VENUE).glob("*.superseded"))


def test_true_outcomes_outlive_a_changed_digit(corner: Corner, history: History) -> None:
    """A digit changed deep in the log costs no outcome of what was asked; one of what never was asked goes."""
    digit = 70
    changed = [entry._replace(fields=[(b"ts", b"1"), *entry.fields[1:]]) if entry.seq == digit else entry
               for entry in history.entries]  # fmt: skip
    corner.streams_put(history._replace(entries=changed))
    corner.snapshots_put(history, 120, 160)
    corner.rows_put(history, 160)
    corner.archive_put(history.entries)
    told = corner.outcomes_put(history)
    never = KEYS.outcome(100, "f" * 32).encode()
    corner.client.set(never, b'{"seq": 90, "response": {"result": "OK"}}')
    last = corner.client.xrevrange(KEYS.events, count=1)[0][0]
    corner.client.xdel(KEYS.events, last)
    plan = restored(corner.stopped())
    assert plan.base is not None
    assert digit < plan.base.seq == 160
    assert len(told) > LAST // 3
    assert corner.outcomes() == told
    assert corner.log_held() == history.entries


def command(corner: Corner, *words: str) -> Result:
    """Run `tidemark …` on the folder with the venue's servers."""
    environment = {"REDIS_URL": corner.redis_url, "DATABASE_URL": corner.database_url, "TIDEMARK_ARCHIVE_DIR": None}
    return CliRunner(env=environment).invoke(cli.main, [*words, "--data", str(corner.data_dir)], prog_name="tidemark")


@pytest.mark.parametrize("archives", ["two", "none"])
def test_a_killed_reset_is_run_again(corner: Corner, history: History, archives: str) -> None:
    """With pointer and rows gone and the refusal standing, the refusal names the venue: `reset` finishes it."""
    corner.streams_put(history)
    corner.snapshots_put(history, 200)
    corner.rows_put(history, 200)
    if archives == "two":
        corner.archive_put(history.entries)
        shutil.copytree(corner.archive / VENUE, corner.archive / "anothervnu")
    refusal_make(corner.stopped())
    with pytest.raises(Died):
        reset_do(dying(corner, 1))
    assert corner.streams.venue() is None
    revived = command(corner, "log", "restore", "--yes")
    assert revived.exit_code == 3
    assert "ended by a reset" in revived.stderr
    again = command(corner, "reset", "--yes")
    assert again.exit_code == 0, again.output
    assert f"venue {VENUE} ended" in again.stdout
    assert refusal_file_read(corner.data_dir) is None
    assert corner.client.keys("*") == []


async def people_put(database: Database) -> None:
    """Lay into Postgres a person of each account, with a session, and a session that the operator opened."""
    for account in range(100, LATE_ACCOUNT + 1):
        user, number = uuid.UUID(int=account), b"%d" % account
        await database.execute("INSERT INTO users VALUES ($1, $2, $3, $4, $5, 'trader', 1)",
                               user, VENUE, f"{account}@example.org", number, account)  # fmt: skip
        for jti, owner in ((account, user), (account + 1_000, None)):
            await database.execute("INSERT INTO sessions (jti, venue, user_id, account_id, created_us, expires_us)"
                                   " VALUES ($1, $2, $3, $4, 1, $5)",
                                   uuid.UUID(int=jti), VENUE, owner, account, NOW_US)  # fmt: skip


async def people(database: Database) -> tuple[list[int | None], dict[int, int]]:
    """Return the accounts that people have, and how many sessions of each account hold."""
    users = await database.fetch("SELECT account_id FROM users ORDER BY user_id")
    held = await database.fetch("SELECT account_id, count(*) AS n FROM sessions WHERE revoked_us IS NULL GROUP BY 1")
    return [row["account_id"] for row in users], {row["account_id"]: row["n"] for row in held}


def test_a_lost_account_is_nobodys(corner: Corner, history: History) -> None:
    """Whoever opened an account in a lost range has no session on its number, which the next person is given."""
    kept = history.to(180)
    corner.streams_put(kept)
    corner.snapshots_put(history, 160, LAST)
    corner.rows_put(history, LAST)
    corner.sql(people_put)
    assert restored(corner.stopped()).lost == (181, LAST)
    assert corner.account_given() == LATE_ACCOUNT
    users, sessions = corner.sql(people)
    assert users == [100, 101, 102, None]
    assert sessions == {100: 2, 101: 2, 102: 2}


async def callers_put(database: Database) -> None:
    """Lay a session, by token, and a key of each account into Postgres, as they were before the restoration."""
    for account in range(100, LATE_ACCOUNT + 1):
        values = (uuid.UUID(int=account), VENUE, account, ISSUED_US, ISSUED_US + SESSION_SECONDS * 1_000_000)
        await database.execute("INSERT INTO sessions (jti, venue, account_id, created_us, expires_us)"
                               " VALUES ($1, $2, $3, $4, $5)", *values)  # fmt: skip
        await database.execute("INSERT INTO api_keys (key_id, venue, account_id, public_key, scopes, created_us,"
                               " expires_us) VALUES ($1, $2, $3, $4, 'read', $5, $6)",
                               str(account), VENUE, account, bytes(32), *values[3:])  # fmt: skip


def callers_held(corner: Corner, now_us: int) -> tuple[list[int], list[int]]:
    """Return the accounts whose session holds at a gateway that has just begun, and those whose key does."""

    async def look(database: Database) -> tuple[list[int], list[int]]:
        streams = StreamsAsync(corner.redis_url)
        secrets = secrets_of_text("5e" * 32, VENUE)
        marks = Revocations(streams, KEYS, lambda: now_us, ListLog())
        about = (secrets, VENUE, database, marks, lambda: now_us, monotonic_s)
        sessions, keys = Sessions(*about), ApiKeys(*about)
        ends_us = ISSUED_US + SESSION_SECONDS * 1_000_000
        try:
            accounts = range(100, LATE_ACCOUNT + 1)
            by_session = [each for each in accounts if await sessions.holds(session_of(each, ends_us))]
            read = frozenset({"read"})
            by_key = [each for each in accounts if await keys.holds(KeyHeld(each, str(each), ends_us, read))]
        finally:
            await streams.close()
        return by_session, by_key

    return corner.sql(look)  # type: ignore[no-any-return]


def session_of(account_id: int, ends_us: int) -> Session:
    """Return the session that was laid into Postgres for an account."""
    return Session(account_id, str(uuid.UUID(int=account_id)), ends_us)


async def older(database: Database) -> None:
    """Bring back what Postgres said before the restoration."""
    await database.execute("UPDATE sessions SET revoked_us = NULL")
    await database.execute("UPDATE api_keys SET revoked_us = NULL")


async def silent(database: Database) -> None:
    """Have Postgres refuse every question about sessions and keys."""
    await database.execute("ALTER TABLE sessions RENAME TO sessions_away")
    await database.execute("ALTER TABLE api_keys RENAME TO api_keys_away")


def test_a_lost_account_is_nobodys_for_an_older_postgres_too(corner: Corner, history: History) -> None:
    """A Postgres of before the restoration, or one that is silent, lets nobody act for a number that was given anew."""
    corner.streams_put(history.to(180))
    corner.snapshots_put(history, 160, LAST)
    corner.rows_put(history, LAST)
    corner.sql(callers_put)
    now_us = ISSUED_US + 3_600_000_000
    assert callers_held(corner, now_us) == ([100, 101, 102, 103], [100, 101, 102, 103])
    assert restored(corner.stopped()).lost == (181, LAST)
    assert callers_held(corner, now_us) == ([100, 101, 102], [100, 101, 102])
    corner.sql(older)
    assert callers_held(corner, now_us) == ([100, 101, 102], [100, 101, 102])
    corner.sql(silent)
    assert callers_held(corner, now_us)[0] == [100, 101, 102]


def engine_of(corner: Corner, connect: Any) -> Engine:
    """Return an engine as its process makes it, on the venue's folder."""
    settings = Settings(data_dir=corner.data_dir, archive_dir=corner.archive)
    return Engine(settings, Outside(Streams(corner.redis_url), connect, ProcessClock(), 1), ListLog())


def trimmed(corner: Corner, history: History) -> None:
    """Lay out a host whose only snapshot is older than the log, with no archive in reach."""
    corner.streams_put(history)
    corner.client.xtrim(KEYS.log, minid=log_id(100), approximate=False)
    corner.snapshots_put(history, 80)


def test_a_postgres_that_is_away_is_no_reason_to_refuse(corner: Corner, history: History) -> None:
    """Where Postgres alone could say that the log was archived and is away, the engine ends to start again."""

    async def away() -> Any:
        raise DatabaseDown("away")

    trimmed(corner, history)
    engine = engine_of(corner, away)
    assert engine_run(engine) == EXIT_AGAIN
    assert engine.log.named("behind_trim")
    assert refusal_file_read(corner.data_dir) is None
    assert corner.streams.get_json(KEYS.refused) is None


def test_a_postgres_that_knows_of_no_archive_is_one(corner: Corner, history: History) -> None:
    """The same host refuses once Postgres answers and knows of no archive: the log was cut."""
    trimmed(corner, history)
    assert engine_run(engine_of(corner, lambda: Database.connect(corner.database_url))) == EXIT_REFUSED
    reason = refusal_file_read(corner.data_dir)
    assert reason is not None
    assert reason["remembered"] == 80
