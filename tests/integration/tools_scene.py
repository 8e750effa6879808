"""A traded venue for tests of the reading tools: running, stopped, trimmed and as an archive alone."""

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner, Result

from engine.documents import files_list
from engine.ingest import Machine
from scripts import cli
from shared.archive import archive_folder, entry_line, header_line, open_name
from shared.archive_frames import frame_pack
from shared.stream_keys import Entry, Keys, log_id
from tests.integration.engine_scene import MARKET, RedisOwn, Scene

FRAME_ENTRIES = 50  # of an archive's file
# What a tool must not find by chance in the environment of the tests.
ENVIRONMENT: dict[str, str | None] = {
    "REDIS_URL": None,
    "DATABASE_URL": None,
    "TIDEMARK_DATA": None,
    "TIDEMARK_ARCHIVE_DIR": None,
    "COLUMNS": "250",
}


class Past(NamedTuple):
    """What a machine that reads the log once finds after one entry."""

    log_time_us: int
    state_hash: str


class ToolsVenue(NamedTuple):
    """A venue whose engine is gone and whose servers answer, and copies of its folder."""

    data_dir: Path  # its ready file names the servers
    stopped: Path  # the same, with no server
    trimmed: Path  # the same, its log begun late; the archive holds everything
    scene: Scene
    entries: list[Entry]
    past: dict[int, Past]  # by seq

    @property
    def keys(self) -> Keys:
        """Return the names of the venue's keys."""
        return self.scene.keys

    @property
    def tip(self) -> int:
        """Return the newest entry."""
        return self.entries[-1].seq

    def snapshots(self) -> list[int]:
        """Return the seqs of the snapshot files, the newest first."""
        return [seq for seq, _ in files_list(self.data_dir / "snapshots")]


def tidemark(*arguments: object, data: Path | None = None) -> Result:
    """Return what the command line printed, and its exit code."""
    words = [str(argument) for argument in arguments]
    words += ["--data", str(data)] if data is not None else []
    result = CliRunner(env=ENVIRONMENT).invoke(cli.main, words, prog_name="tidemark")
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def answer(*arguments: object, data: Path | None = None) -> Any:
    """Return the JSON that a command printed; it must have gone well."""
    result = tidemark(*arguments, "--json", data=data)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def archive_write(folder: Path, venue: str, entries: list[Entry]) -> None:
    """Write these entries as an archive's open file."""
    home = archive_folder(folder, venue)
    home.mkdir(parents=True)
    with (home / open_name(entries[0].seq)).open("wb") as file:
        file.write(frame_pack([header_line(venue, entries[0].seq, "", 0)]))
        for first in range(0, len(entries), FRAME_ENTRIES):
            file.write(frame_pack([entry_line(entry) for entry in entries[first : first + FRAME_ENTRIES]]))


def past_of(entries: list[Entry]) -> dict[int, Past]:
    """Return what a machine that reads entry by entry finds after each."""
    machine, found = Machine(), {}
    for entry in entries:
        machine.load([entry])
        while machine.step() is not None:
            pass
        found[entry.seq] = Past(machine.header().log_time_us, machine.hashes()[0])
    return found


def traded(scene: Scene) -> None:
    """Make a venue's history: accounts, snapshots, trades, a stop near the price, a refusal."""
    scene.found()
    scene.accounts_open()
    chance = random.Random(21)
    for number in range(3):
        scene.snapshot_make()
        scene.trade_some(20, chance)
        resting: dict[str, Any] = {"market": MARKET, "side": "buy", "kind": "limit", "qty": "0.001"}
        resting["price"] = f"{59_000 + number}.0"
        assert scene.producer.instruct("order_place", 100 + number % 2, **resting)
    scene.producer.quote(MARKET, "60000.0", "60000.1")
    stop: dict[str, Any] = {"stop_loss": "59800.0"}
    assert scene.producer.instruct("trade_create", 101, market=MARKET, side="buy", qty="0.002", leverage=10, **stop)
    assert scene.producer.instruct("order_cancel", 101, order_id=999_999)
    scene.producer.tick()
    scene.proven()


def tools_scene(folder: Path, database_url: str) -> Iterator[ToolsVenue]:
    """Yield a traded venue; its servers and folders are gone afterwards."""
    data_dir = folder / "data"
    data_dir.mkdir(parents=True)
    redis = RedisOwn(data_dir)
    scene = Scene(redis.url, database_url, folder)
    try:
        traded(scene)
        scene.engine.end(signal.SIGKILL)
        entries = scene.entries(1)
        archive_write(data_dir / "archive", scene.keys.venue, entries)
        scene.streams.close()
        redis.kill()
        shutil.copytree(data_dir, folder / "stopped", ignore=shutil.ignore_patterns("*.sock", "*.lock", "*.pid"))
        shutil.copytree(folder / "stopped", folder / "trimmed")
        trim(folder / "trimmed", scene.keys, entries[len(entries) // 2].seq)
        redis.start()
        ready = {"url": "", "redis_url": redis.url, "database_url": database_url, "venue": scene.keys.venue}
        (data_dir / "ready.json").write_text(json.dumps({**ready, "supervisor": os.getpid()}))
        yield ToolsVenue(data_dir, folder / "stopped", folder / "trimmed", scene, entries, past_of(entries))
    finally:
        scene.engine.end(signal.SIGKILL)
        redis.kill()


def trim(data_dir: Path, keys: Keys, floor_seq: int) -> None:
    """Let a stopped venue's log lose what lies below an entry."""
    import redis

    own = RedisOwn(data_dir)
    client = redis.Redis.from_url(own.url)
    client.execute_command("XTRIM", keys.log, "MINID", "=", log_id(floor_seq))
    client.close()
    own.kill()
