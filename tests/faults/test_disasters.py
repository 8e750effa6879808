"""
Every disaster, then the command that the venue printed, then all invariants: nothing is left to believe.

The suite does those that differ in kind; `TIDEMARK_TEST_DISASTERS=all ./scripts/test tests/faults/test_disasters.py`
does all of them.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.faults import disaster_faults as faults
from tests.faults.disaster_proof import proven
from tests.faults.disaster_venue import (
    ENVIRONMENT,
    Stopped,
    refused,
    tool,
    tool_json,
    trade_again,
    venue_make,
)
from tests.faults.interrupted import restore_interrupted
from tests.faults.venue_client import eventually, venue_running

ALL = os.environ.get("TIDEMARK_TEST_DISASTERS") == "all"
AGAIN_S = 3.0
MENDED = {
    "everything_flushed": faults.everything_flushed,
    "log_deleted": faults.log_deleted,
    "events_deleted": faults.events_deleted,
    "entry_deleted": faults.entry_deleted,
    "event_deleted": faults.event_deleted,
    "digit_changed": faults.digit_changed,
    "number_skipped": faults.number_skipped,
}
SHORT = ("everything_flushed", "digit_changed")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stopped, Path]:
    """Return a stopped venue that traded and was trimmed, and its folder from long before."""
    return venue_make(tmp_path_factory.mktemp("disasters"))


@pytest.fixture
def stopped(made: tuple[Stopped, Path], tmp_path: Path) -> Stopped:
    """Return a copy of the stopped venue."""
    return made[0].copy(tmp_path / "venue")


def goes_on(stopped: Stopped, signed_in: bool = True) -> None:
    """Start the mended venue, trade on the same accounts, or on new ones where sessions are gone, stop it."""
    with venue_running(stopped.folder, "--feed", "simulated", environment=ENVIRONMENT) as venue:
        assert venue.keys.venue == stopped.venue
        traders = stopped.traders if signed_in else venue.traders_open(2)
        trade_again(venue, traders, stopped.told, AGAIN_S)
        # Views are made anew from the next snapshot where no older one leads to the events that are held.
        with venue.streams() as streams:
            eventually(lambda: streams.views_cursor_read(venue.keys)[0] is not None, "views are there")
        answers = [venue.call("GET", "/api/v1/account", None, one).status for one in traders]
        assert answers == [200] * len(answers)


@pytest.mark.parametrize("name", list(MENDED) if ALL else SHORT)
def test_archive_mends_what_redis_lost(stopped: Stopped, name: str) -> None:
    """What Redis lost or changed is refused, `log restore` brings it back whole, and a second run has nothing to do."""
    faults.suffer(stopped, MENDED[name])
    refused(stopped)
    planned = tool_json(stopped, "log", "restore", "--dry-run")
    done = tool_json(stopped, "log", "restore", "--yes")
    assert done["done"]
    assert done["kept_to"] == planned["kept_to"]
    assert not (stopped.data_dir / "refused.json").exists()
    assert not tool_json(stopped, "log", "restore", "--yes")["done"]
    goes_on(stopped)
    proof = proven(stopped)
    assert proof.lost_answers == 0
    assert proof.answers > 20


@pytest.mark.skipif(not ALL, reason="TIDEMARK_TEST_DISASTERS=all does all of them")
def test_what_nobody_holds_is_stated_as_lost(stopped: Stopped) -> None:
    """A tail that neither log nor archive hold becomes one `restored`; its rows and outcomes go, its numbers rest."""
    log_end, archive_end = faults.tail_lost(stopped, log_count=420, archive_count=380)
    refused(stopped)
    done = tool_json(stopped, "log", "restore", "--yes")
    assert log_end < archive_end == done["kept_to"]
    first, last = done["lost"]
    assert first == archive_end + 1 < last
    assert not tool_json(stopped, "log", "restore", "--yes")["done"]
    goes_on(stopped)
    proof = proven(stopped)
    assert proof.gaps == [(first, last)]
    assert proof.lost_answers == sum(first <= one.seq <= last for one in stopped.told) > 0


def test_an_interrupted_restoration_is_run_again(stopped: Stopped) -> None:
    """A restoration that dies after any exchange leaves what the next one finishes; the result is the same."""
    _, archive_end = faults.tail_lost(stopped, log_count=420, archive_count=380)
    assert restore_interrupted(stopped) > 10
    assert not (stopped.data_dir / "refused.json").exists()
    goes_on(stopped)
    proof = proven(stopped)
    [(first, last)] = proof.gaps
    assert first == archive_end + 1 < last
    assert proof.lost_answers == sum(first <= one.seq <= last for one in stopped.told) > 0


@pytest.mark.skipif(not ALL, reason="TIDEMARK_TEST_DISASTERS=all does all of them")
def test_redis_restored_from_before(made: tuple[Stopped, Path], stopped: Stopped) -> None:
    """A Redis from long before is refused; the archive brings it to where it was, and nothing is lost."""
    faults.back_in_time(stopped, made[1], "redis")
    reason = refused(stopped)
    assert reason
    done = tool_json(stopped, "log", "restore", "--yes")
    assert done["from_archive"] > 100
    goes_on(stopped)
    assert proven(stopped).lost_answers == 0


@pytest.mark.skipif(not ALL, reason="TIDEMARK_TEST_DISASTERS=all does all of them")
def test_log_that_went_another_way(made: tuple[Stopped, Path], stopped: Stopped) -> None:
    """A folder from before ran on without its archive: the archive's history wins, what the other one made goes."""
    for part in ("redis", "postgres"):
        faults.back_in_time(stopped, made[1], part)
    for part in ("snapshots", "archive"):
        shutil.rmtree(stopped.data_dir / part)
    shutil.copytree(made[1] / "snapshots", stopped.data_dir / "snapshots")
    with venue_running(stopped.folder, "--feed", "simulated", environment=ENVIRONMENT) as venue:
        trade_again(venue, venue.traders_open(2), [], 14.0)
    shutil.rmtree(stopped.data_dir / "archive")
    shutil.copytree(made[0].data_dir / "archive", stopped.data_dir / "archive")
    refused(stopped)
    done = tool_json(stopped, "log", "restore", "--yes")
    assert done["differing"] > 100
    assert not tool_json(stopped, "log", "restore", "--yes")["done"]
    goes_on(stopped)
    assert proven(stopped).lost_answers == 0


@pytest.mark.parametrize("kind", ["back", "empty"] if ALL else ["back"])
def test_history_is_derived_again(made: tuple[Stopped, Path], stopped: Stopped, kind: str) -> None:
    """A Postgres from before what the events still hold, or an empty one, is refused, and `derive` makes it whole."""
    if kind == "back":
        faults.back_in_time(stopped, made[1], "postgres")
        faults.suffer(stopped, faults.events_trimmed)
    else:
        faults.suffer(stopped, faults.tables_dropped)
    refused(stopped)
    told = tool_json(stopped, "derive")
    assert told["entries"] > 20
    assert told["rejects"] == 0
    assert tool_json(stopped, "derive")["entries"] == 0
    tool(stopped, "log", "restore", "--yes")
    goes_on(stopped, signed_in=kind == "back")
    assert proven(stopped).lost_answers == 0


def test_reset_begins_a_new_life(stopped: Stopped, tmp_path: Path) -> None:
    """`reset` ends the venue, keeps its rows and its archive, and the next start founds another."""
    kept = tmp_path / "log.zst"
    told = tool_json(stopped, "reset", "--yes", "--keep-log", str(kept))
    assert told["venue"] == stopped.venue
    assert told["history_trouble"] == ""
    assert kept.stat().st_size > 1_000
    tool(stopped, "log", "restore", "--yes", code=3)  # it was ended; its archive alone revives nobody
    with venue_running(stopped.folder, "--feed", "simulated", environment=ENVIRONMENT) as venue:
        assert venue.keys.venue != stopped.venue
        assert venue.call("GET", "/api/v1/account", None, stopped.traders[0]).status == 401
        count = venue.rows("SELECT count(*) AS n FROM fills WHERE venue = $1", stopped.venue)[0]["n"]
    assert count > 0
    assert (stopped.data_dir / "archive" / stopped.venue).is_dir()


def test_a_running_venue_is_left_alone(stopped: Stopped) -> None:
    """Commands that change a venue tell whoever runs it to stop it first, and change nothing."""
    with venue_running(stopped.folder, "--feed", "simulated", environment=ENVIRONMENT):
        for words in (("log", "restore", "--yes"), ("reset", "--yes")):
            tool(stopped, *words, code=3)
