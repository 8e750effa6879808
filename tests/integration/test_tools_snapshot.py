"""`tidemark snapshot`: any moment of a venue, from every source, in every form."""

import csv
import io
import json
import shutil
from decimal import Decimal
from pathlib import Path

from scripts.sources import time_text
from shared.stream_keys import Entry
from tests.integration.engine_scene import MARKET
from tests.integration.tools_scene import ToolsVenue, answer, archive_write, past_of, tidemark


def seqs_some(tools_venue: ToolsVenue) -> list[int]:
    """Return entries from all over the log, snapshots among them."""
    return sorted(
        {
            1,
            2,
            tools_venue.tip // 3,
            tools_venue.tip // 2,
            *tools_venue.snapshots()[:2],
            tools_venue.tip - 1,
            tools_venue.tip,
        }
    )


def test_every_moment_is_the_one_that_was_lived(tools_venue: ToolsVenue) -> None:
    """At any entry the state has the hash of a machine that read the log once, whatever source it is rebuilt from."""
    for seq in seqs_some(tools_venue):
        for data in (tools_venue.data_dir, tools_venue.trimmed):
            found = answer("snapshot", "verify", "--seq", seq, data=data)
            assert (found["seq"], found["state_hash"]) == (seq, tools_venue.past[seq].state_hash)
            assert found["broken"] == []


def test_archive_alone_is_enough(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """An archive on another machine, with no data folder, no Redis and no Postgres, answers the same."""
    for archive in (tools_venue.data_dir / "archive", tools_venue.data_dir / "archive" / tools_venue.keys.venue):
        found = answer("snapshot", "verify", "--seq", tools_venue.tip, "--archive", archive, data=tmp_path / "nothing")
        assert found["state_hash"] == tools_venue.past[tools_venue.tip].state_hash


def test_a_time_is_the_last_entry_at_or_before_it(tools_venue: ToolsVenue) -> None:
    """`--at` gives the state after the last entry whose log time is not later; a time beyond the end is refused."""
    times = sorted({past.log_time_us for past in tools_venue.past.values()})
    for at_us in [times[0], times[3] + 1, times[len(times) // 2], times[-2] + 1, times[-1]]:
        expected = max(seq for seq, past in tools_venue.past.items() if past.log_time_us <= at_us)
        found = answer("snapshot", "verify", "--at", at_us, data=tools_venue.data_dir)
        assert (found["seq"], found["state_hash"]) == (expected, tools_venue.past[expected].state_hash)
    late = tidemark("snapshot", "summary", "--at", times[-1] + 1, data=tools_venue.data_dir)
    assert late.exit_code == 2
    assert time_text(times[-1]) in late.stderr
    early = tidemark("snapshot", "summary", "--at", times[0] - 1_000_000, data=tools_venue.data_dir)
    assert early.exit_code == 2
    assert "did not exist" in early.stderr


def test_a_far_stamp_does_not_move_time(tmp_path: Path) -> None:
    """An entry stamped far ahead stays in the moment before it, because log time did not follow it."""
    stamps = [1_000_000, 2_000_000, 900_000_000, 3_000_000, 4_000_000]
    ticks = [(b"clock_tick", b"{}")] * len(stamps)
    entries = [
        Entry(seq, [(b"ts", b"%d" % (1_800_000_000_000_000 + stamp)), kind])
        for seq, (stamp, kind) in enumerate(zip(stamps, ticks, strict=True), 1)
    ]
    archive_write(tmp_path / "archive", "toyvenue01", entries)
    past = past_of(entries)
    for seq in (2, 3, 4):
        expected = max(each for each, found in past.items() if found.log_time_us <= past[seq].log_time_us)
        at = past[seq].log_time_us
        found = answer("snapshot", "verify", "--at", at, "--archive", tmp_path / "archive", data=tmp_path)
        assert (found["seq"], found["state_hash"]) == (expected, past[expected].state_hash)


def test_rows_are_the_same_in_every_form(tools_venue: ToolsVenue) -> None:
    """Table, JSON and CSV of orders and positions hold the same rows, of one account or of all."""
    for name in ("orders", "positions"):
        rows = answer("snapshot", name, data=tools_venue.data_dir)["rows"]
        assert rows
        found = tidemark("snapshot", name, "--csv", data=tools_venue.data_dir).stdout
        assert list(csv.DictReader(io.StringIO(found))) == [{key: str(row[key]) for key in row} for row in rows]
        table = tidemark("snapshot", name, data=tools_venue.data_dir).stdout
        key = "order_id" if name == "orders" else "position_id"
        assert all(f" {row[key]} " in table for row in rows)
        mine = answer("snapshot", name, "--account", 101, data=tools_venue.data_dir)["rows"]
        assert mine == [row for row in rows if row["account"] == 101]


def test_an_account_is_whole(tools_venue: ToolsVenue) -> None:
    """One account shows its money, its positions and its orders; the newest snapshot is found without replay."""
    found = answer("snapshot", "account", 101, data=tools_venue.data_dir)
    assert found["seq"] == tools_venue.snapshots()[0]
    assert found["place"] == f"file snapshot-{found['seq']}.json"
    assert found["positions"] == answer("snapshot", "positions", "--account", 101, data=tools_venue.data_dir)["rows"]
    assert "101" in tidemark("snapshot", "account", 101, data=tools_venue.data_dir).stdout
    missing = tidemark("snapshot", "account", 4_711, data=tools_venue.data_dir)
    assert missing.exit_code == 2
    assert "no account 4711" in missing.stderr


def test_postgres_is_a_source_of_its_own(tools_venue: ToolsVenue) -> None:
    """With `--postgres` the row is shown, which holds the same state as the file of its entry."""
    row = answer("snapshot", "verify", "--postgres", data=tools_venue.data_dir)
    assert row["state_hash"] == tools_venue.past[row["seq"]].state_hash
    assert row["place"].startswith("row")
    without = tidemark("snapshot", "show", "--postgres", data=tools_venue.stopped)
    assert (without.exit_code, "Traceback" in without.output) == (2, False)


def test_triggers_near_the_price(tools_venue: ToolsVenue) -> None:
    """A stop is shown when it lies within the share of the price, and with a wide share so are liquidations."""
    options = ("--seq", "now")
    near = answer("snapshot", "triggers", MARKET, "--near", "1%", *options, data=tools_venue.data_dir)["rows"]
    assert [row["price_trigger"] for row in near if row["account"] == 101 and row["kind"] == "stop_market"]
    nearer = answer("snapshot", "triggers", MARKET, "--near", "0.01%", *options, data=tools_venue.data_dir)["rows"]
    assert not [row for row in nearer if row["price_trigger"] == "59800.0"]
    wide = answer("snapshot", "triggers", MARKET, "--near", "50%", *options, data=tools_venue.data_dir)["rows"]
    assert "liquidation" in {row["kind"] for row in wide}
    away = [abs(Decimal(row["away"].rstrip("%"))) for row in wide]
    assert away == sorted(away)


def test_differences_are_told_and_counted(tools_venue: ToolsVenue) -> None:
    """Two moments are compared by balances, positions and orders; the same moment has none, by both hashes."""
    newest = tools_venue.snapshots()[0]
    same = tidemark("snapshot", "diff", newest, f"snapshot-{newest}.json", data=tools_venue.data_dir)
    assert (same.exit_code, "The same state" in same.stdout) == (0, True), same.output
    result = tidemark("snapshot", "diff", newest, "now", "--json", data=tools_venue.data_dir)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    before, after = (
        answer("snapshot", "account", 101, "--seq", seq, data=tools_venue.data_dir) for seq in (newest, tools_venue.tip)
    )
    [free] = [row for row in found["rows"] if (row["id"], row["what"]) == (101, "free")]
    assert (free["before"], free["after"]) == (before["free"], after["free"])
    assert "balances" in tidemark("snapshot", "diff", newest, "now", data=tools_venue.data_dir).stdout


def test_an_export_holds_all_money(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """JSON and CSV hold the same tables, and all money in them, less what positions cost, adds up to nothing."""
    assert tidemark("snapshot", "export", "-o", tmp_path / "x.json", data=tools_venue.data_dir).exit_code == 0
    state = json.loads((tmp_path / "x.json").read_text())
    assert (
        tidemark("snapshot", "export", "--format", "csv", "-o", tmp_path / "x.csv", data=tools_venue.data_dir).exit_code
        == 0
    )
    for name in ("accounts", "positions", "orders", "markets"):
        with (tmp_path / f"x.{name}.csv").open() as file:
            assert list(csv.DictReader(file)) == [{key: str(row[key]) for key in row} for row in state[name]]
    money = sum(Decimal(row["free"]) + Decimal(row["reserved"]) + Decimal(row["margin"]) for row in state["accounts"])
    sides = {"long": 1, "short": -1}
    cost = sum(sides[row["side"]] * Decimal(row["qty"]) * Decimal(row["price_entry"]) for row in state["positions"])
    assert abs(Decimal(money - cost)) < Decimal("0.01")
    assert answer("snapshot", "summary", data=tools_venue.data_dir)["conservation_e6"] == 0


def test_watching_says_where_the_log_stands(tools_venue: ToolsVenue) -> None:
    """Each line names the newest entry and the conservation of money; a venue that does not run is not watched."""
    result = tidemark("snapshot", "watch", "--lines", 2, "--every", "0.1", "--json", data=tools_venue.data_dir)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["seq"], line["conservation_e6"]) for line in lines] == [(tools_venue.tip, 0)] * 2
    assert MARKET.partition("_")[0] in tidemark("snapshot", "watch", "--lines", 1, data=tools_venue.data_dir).stdout
    assert tidemark("snapshot", "watch", data=tools_venue.stopped).exit_code == 2


def test_a_stopped_venue_answers_the_same(tools_venue: ToolsVenue) -> None:
    """Of a venue that does not run the files are read, and Redis is started alone only for what lies beyond them."""
    shown = tidemark("snapshot", "account", 101, "--json", data=tools_venue.stopped)
    assert json.loads(shown.stdout)["seq"] == tools_venue.snapshots()[0]
    assert "started alone" not in shown.stderr
    rebuilt = tidemark("snapshot", "verify", "--seq", "now", "--json", data=tools_venue.stopped)
    assert json.loads(rebuilt.stdout)["state_hash"] == tools_venue.past[tools_venue.tip].state_hash
    assert "started alone" in rebuilt.stderr
    assert not (tools_venue.stopped / "lock").exists()


def test_a_damaged_snapshot_is_passed_over(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """A file that was changed is named and an older one is shown; asked for by name, it is refused."""
    data = tmp_path / "data"
    shutil.copytree(tools_venue.stopped / "snapshots", data / "snapshots")
    newest, older = tools_venue.snapshots()[:2]
    path = data / "snapshots" / f"snapshot-{newest}.json"
    path.write_bytes(path.read_bytes().replace(b'"state_hash":"', b'"state_hash":"f', 1))
    shown = tidemark("snapshot", "show", "--json", data=data)
    assert json.loads(shown.stdout)["seq"] == older
    assert f"snapshot at {newest}" in shown.stderr
    assert tidemark("snapshot", "show", "--file", path, data=data).exit_code == 2
    verified = tidemark("snapshot", "verify", "--file", path, data=data)
    assert (verified.exit_code, "digest does not match" in verified.stderr) == (1, True)
    assert tidemark("snapshot", "verify", data=data).exit_code == 1, "the newest is what is verified"
