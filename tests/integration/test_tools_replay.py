"""`tidemark replay` over a trimmed log, an archive, a million-like tail; stopped by hand; `recovery-plan`; `why`."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import redis

from engine.core.kernel import JIT
from engine.documents import files_list
from engine.ingest import machine_restore
from scripts.replaying import Replay
from scripts.sources import Sources
from shared.refusal import refusal_file_write
from shared.rules import RULES_VERSION
from shared.stream_keys import Entry, log_id
from tests.integration.engine_process import REPOSITORY
from tests.integration.tools_scene import ENVIRONMENT, ToolsVenue, answer, archive_write, tidemark

TICK_US = 1_000


def environment() -> dict[str, str]:
    """Return the environment of a tool in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}


def ticking(count: int, body: bytes) -> list[Entry]:
    """Return a log of clock ticks; with a blank in their body the compiled reader leaves them to the slow one."""
    return [
        Entry(seq, [(b"ts", b"%d" % (1_800_000_000_000_000 + seq * TICK_US)), (b"clock_tick", body)])
        for seq in range(1, count + 1)
    ]


def test_a_trimmed_log_is_replayed_from_the_archive(tools_venue: ToolsVenue) -> None:
    """From the first entry on, through the archive into the log, checkpoints and events come out as they were."""
    found = answer("replay", "--verify", data=tools_venue.trimmed)
    assert found["seq"] == tools_venue.tip
    assert found["state_hash"] == tools_venue.past[tools_venue.tip].state_hash
    assert found["entries_archived"] == len(tools_venue.entries) // 2
    assert found["checkpoints_verified"] >= 3
    assert found["events_compared"] > 20
    assert found["checkpoints_different"] == [] and found["trouble"] == ""


def test_only_keyframes_that_the_log_speaks_of_are_hashed(tools_venue: ToolsVenue) -> None:
    """Once hashing takes a good part of the time, the log is asked which matter; as many checkpoints are verified."""
    found, hashed = [], []
    for spent_s in (0.0, 1e9):
        with Sources(tools_venue.data_dir) as sources:
            going = Replay(sources.log, machine_restore(None), None)
            going.hashing_s = spent_s
            going.run(tools_venue.tip, lambda count: None)
            found.append((going.verified_count, going.unknown_count, going.different))
            hashed.append(len(going.hashes))
            assert going.asked_for == (spent_s > 0) and (going.stated is not None) == (going.asked_for and JIT)
    assert found[0] == found[1] and found[0][0] >= 3
    assert hashed[1] <= hashed[0] if JIT else hashed[1] == hashed[0]


def test_without_archive_the_oldest_snapshot_begins(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """A trimmed log with no archive is replayed from the first snapshot that leads into it, and the tool says so."""
    data = tmp_path / "data"
    shutil.copytree(tools_venue.trimmed, data, ignore=shutil.ignore_patterns("archive"))
    result = tidemark("replay", "--json", data=data)
    floor = tools_venue.entries[len(tools_venue.entries) // 2].seq
    usable = [seq for seq in tools_venue.snapshots() if seq + 1 >= floor]
    if usable:
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["start_seq"] == min(usable)
        assert f"Entries before {min(usable) + 1:,}" in result.stderr
    shutil.rmtree(data / "snapshots")
    bare = tidemark("replay", data=data)
    assert bare.exit_code == 2
    assert "name an --archive" in bare.stderr


def test_other_rules_are_not_applied(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """Neither entries of older rules nor those behind a `lead` of newer ones are derived by this build's."""
    entries = list(tools_venue.entries)
    body = json.loads(entries[0].fields[1][1])
    older = Entry(1, [entries[0].fields[0], (b"genesis", json.dumps({**body, "rules": RULES_VERSION - 1}).encode())])
    archive_write(tmp_path / "older", tools_venue.keys.venue, [older, *entries[1:]])
    lead = Entry(9, [entries[8].fields[0], (b"lead", b'{"who":"newer","rules":%d}' % (RULES_VERSION + 1))])
    archive_write(tmp_path / "newer", tools_venue.keys.venue, [*entries[:8], lead, *entries[9:]])
    for folder in ("older", "newer"):
        for command in (("replay",), ("why", "account:101"), ("snapshot", "summary", "--seq", "20")):
            result = tidemark(*command, "--archive", tmp_path / folder, data=tmp_path)
            assert result.exit_code == 2, (folder, command, result.output)
            assert "use the build that wrote it" in result.stderr


def test_a_moment_is_replayed_and_exported(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """`--at` and `--to` end at their entry; `--account` and `--export` show the state there."""
    seq = tools_venue.snapshots()[0] - 3
    at_us = tools_venue.past[seq].log_time_us
    last = max(each for each, past in tools_venue.past.items() if past.log_time_us <= at_us)
    found = answer("replay", "--at", at_us, "--account", 101, data=tools_venue.data_dir)
    assert (found["seq"], found["state_hash"]) == (last, tools_venue.past[last].state_hash)
    expected = answer("snapshot", "account", 101, "--seq", last, data=tools_venue.data_dir)
    assert found["account"]["free"] == expected["free"]
    path = tmp_path / "state.json"
    assert tidemark("replay", "--to", seq, "--export", path, data=tools_venue.data_dir).exit_code == 0
    assert json.loads(path.read_text())["state_hash"] == tools_venue.past[seq].state_hash
    assert tidemark("replay", "--to", tools_venue.tip + 1, data=tools_venue.data_dir).exit_code == 2
    assert tidemark("replay", "--to", 5, "--at", at_us, data=tools_venue.data_dir).exit_code == 2


def test_a_hole_is_found(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """An archive that lacks one entry ends the replay with exit code 1 or 2 and the exact numbers."""
    entries = [entry for entry in tools_venue.entries if entry.seq != 40]
    archive_write(tmp_path / "first", tools_venue.keys.venue, entries[:39])
    archive_write(tmp_path / "second", tools_venue.keys.venue, entries[39:])
    home = tmp_path / "first" / tools_venue.keys.venue
    for path in (tmp_path / "second" / tools_venue.keys.venue).iterdir():
        path.rename(home / path.name)
    result = tidemark("replay", "--archive", tmp_path / "first", data=tmp_path)
    assert result.exit_code in (1, 2)
    assert re.search(r"\b(39|40|41)\b", result.output), result.output
    assert "Traceback" not in result.output


def test_ctrl_c_says_how_far_it_came(tmp_path: Path) -> None:
    """A long replay shows its rate and what remains, ends at Ctrl-C with exit code 130, and says where it stopped."""
    archive_write(tmp_path / "archive", "toyvenue01", ticking(400_000, b"{ }"))
    command = [sys.executable, "-m", "scripts.cli", "replay", "--archive", str(tmp_path / "archive"), "--json"]
    with subprocess.Popen(
        [*command, "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=functools.partial(
            signal.signal, signal.SIGINT, signal.SIG_DFL
        ),  # a suite in the background has none
    ) as process:
        assert process.stderr is not None and process.stdout is not None
        line = process.stderr.readline().decode()
        process.send_signal(signal.SIGINT)
        output, trouble = process.communicate(timeout=20)
    assert re.search(r"of 400,000 entries, [0-9,]+ a second, about [0-9,]+ s remaining", line), line
    assert process.returncode == 130, (line, output, trouble)
    assert b"Traceback" not in trouble
    assert json.loads(output)["trouble"].startswith("stopped at ")


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Five times the entries take no more memory than a few megabytes of difference."""
    most = []
    for count in (40_000, 200_000):
        folder = tmp_path / str(count)
        archive_write(folder / "archive", "toyvenue01", ticking(count, b"{}"))
        code = (
            "import resource, sys; from scripts import cli\n"
            "try:\n    cli.main(sys.argv[1:])\n"
            "finally:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        words = ["replay", "--json", "--archive", str(folder / "archive"), "--data", str(folder)]
        result = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, env=environment(), timeout=120, check=True
        )
        assert json.loads(result.stdout)["seq"] == count
        most.append(int(result.stderr.split()[-1]))
    assert most[1] - most[0] < 25_000, most


def why(venue: ToolsVenue, subject: str, *options: object) -> Any:
    """Return what `why` tells of a subject."""
    return answer("why", subject, *options, data=venue.data_dir)


def test_why_tells_what_made_a_number(tools_venue: ToolsVenue) -> None:
    """An account's entries are told in order with their causes, and each fill that history holds is among them."""
    found = why(tools_venue, "account:101", "--last", 1_000)
    seqs = [row["seq"] for row in found["rows"]]
    assert seqs == sorted(set(seqs))
    assert found["rows"][0]["words"][0].startswith("account open accepted")
    assert found["now"]["free"] == answer("snapshot", "account", 101, "--seq", "now", data=tools_venue.data_dir)["free"]
    fills = [event for row in found["rows"] for event in row["events"] if event["e"] == "fill"]
    assert fills and all(fill["account"] == 101 for fill in fills)
    words = [words for row in found["rows"] for words in row["words"]]
    assert sum(each.startswith(("you bought", "you sold")) for each in words) == len(fills)
    assert [each for each in words if each.startswith("order cancel refused: ")]
    assert all("request" in row["cause"] or "quote" in row["cause"] or "clock" in row["cause"] for row in found["rows"])
    last = why(tools_venue, "account:101", "--last", 2)
    assert last["rows"] == found["rows"][-2:]


def test_why_follows_an_order_and_a_position(tools_venue: ToolsVenue) -> None:
    """A position is told from the entry that opened it; a bare number is taken as an order first, and it says so."""
    [position] = [
        row for row in answer("snapshot", "positions", "--seq", "now", data=tools_venue.data_dir)["rows"]
        if row["account"] == 101 and row["kind"] == "ticket" and row["qty"].rstrip("0") == "0.002"
    ]  # fmt: skip
    number = position["position_id"]
    found = why(tools_venue, f"position:{number}")
    assert found["now"] == position
    assert "trade create accepted" in found["rows"][0]["words"][0]
    result = tidemark("why", "1", data=tools_venue.data_dir)
    assert result.exit_code == 0, result.output
    assert "Taken as order:1" in result.stderr
    missing = tidemark("why", "position:987654", data=tools_venue.data_dir)
    assert (missing.exit_code, "no position 987654" in missing.stderr) == (2, True)
    assert tidemark("why", "nonsense", data=tools_venue.data_dir).exit_code == 2


def test_why_reads_behind_the_trim(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """With the log trimmed the archive tells the same; without it, as much as is held, and from where."""
    whole = why(tools_venue, "account:100", "--last", 1_000)
    trimmed = answer("why", "account:100", "--last", 1_000, data=tools_venue.trimmed)
    assert trimmed["rows"] == whole["rows"]
    assert trimmed["from_seq"] == 0


def test_a_plan_names_start_and_tail(tools_venue: ToolsVenue) -> None:
    """A venue that can start says from which snapshot, what it replays from where, and that nothing is refused."""
    newest = tools_venue.snapshots()[0]
    plan = answer("recovery-plan", data=tools_venue.data_dir)
    assert (plan["start_seq"], plan["last_seq"], plan["refusals"]) == (newest, tools_venue.tip, [])
    text = tidemark("recovery-plan", data=tools_venue.data_dir).stdout
    assert f"replay {newest + 1:,}-{tools_venue.tip:,} ({tools_venue.tip - newest:,} entries, log)" in text
    assert "refusal: none" in text


def test_a_plan_says_what_would_be_refused(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """A lost tail, a written refusal and a hole each end with exit code 1, their numbers and the next command."""
    data = tmp_path / "data"
    shutil.copytree(tools_venue.stopped, data, ignore=shutil.ignore_patterns("archive"))
    refusal_file_write(data, {"text": "somebody remembers"})
    written = tidemark("recovery-plan", data=data)
    assert (written.exit_code, "somebody remembers" in written.stdout) == (1, True), written.output
    assert "log restore" in written.stdout
    (data / "refused.json").unlink()
    newest = files_list(data / "snapshots")[0][0]
    keys, ids = tools_venue.keys, [log_id(seq) for seq in range(newest - 1, tools_venue.tip + 1)]
    lose(data, keys.log, ids)
    lost = tidemark("recovery-plan", "--json", data=data)
    assert lost.exit_code == 1, lost.output
    assert f"remembers entry {newest}" in json.loads(lost.stdout)["refusals"][0]


def lose(data_dir: Path, key: str, ids: list[bytes]) -> None:
    """Delete entries of a stopped venue's log."""
    from tests.integration.engine_scene import RedisOwn

    own = RedisOwn(data_dir)
    client = redis.Redis.from_url(own.url)
    client.xdel(key, *ids)
    client.close()
    own.process.send_signal(signal.SIGTERM)
    own.process.wait(20)
    time.sleep(0)
