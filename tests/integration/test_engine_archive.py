"""An engine whose log was trimmed further than every snapshot reaches: the archive leads back, or it refuses."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.refusal import EXIT_REFUSED
from shared.streams import Streams
from tests.integration.engine_process import EngineProcess, Producer, until
from tests.integration.engine_scene import RedisOwn
from tests.integration.tools_scene import ToolsVenue, answer


@pytest.fixture
def bare(tools_venue: ToolsVenue, tmp_path: Path) -> Iterator[RedisOwn]:
    """Return the Redis of a copy whose log begins late and whose snapshots are gone."""
    data = Path(shutil.copytree(tools_venue.trimmed, tmp_path / "data"))
    shutil.rmtree(data / "snapshots")
    own = RedisOwn(data)
    yield own
    own.kill()


def test_recovers_through_the_archive(bare: RedisOwn, tools_venue: ToolsVenue, database_url: str) -> None:
    """From the empty state through the archive into the log, the engine leads again and nothing differs."""
    engine = EngineProcess(bare.url, database_url, bare.data_dir).start()
    streams = Streams(bare.url)
    try:
        producer = Producer(streams, tools_venue.keys)
        until(producer.tick, "leading")
        until(lambda: engine.facts("leader_promoted"), "a promotion")
    finally:
        streams.close()
        engine.end(signal.SIGTERM)
    assert not engine.facts("refused") and not engine.facts("stopped")
    bare.kill()
    found = answer("replay", "--verify", data=bare.data_dir)
    assert found["seq"] > tools_venue.tip and found["trouble"] == ""
    state = answer("snapshot", "verify", "--seq", tools_venue.tip, data=bare.data_dir)
    assert state["state_hash"] == tools_venue.past[tools_venue.tip].state_hash
    bare.start()


def test_refuses_without_the_archive(bare: RedisOwn, tools_venue: ToolsVenue, database_url: str) -> None:
    """With no archive the gap is refused with its numbers, and written down."""
    shutil.rmtree(bare.data_dir / "archive")
    engine = EngineProcess(bare.url, database_url, bare.data_dir).start()
    assert engine.process is not None
    assert engine.process.wait(60) == EXIT_REFUSED
    [refused] = engine.facts("refused")
    first = tools_venue.entries[len(tools_venue.entries) // 2].seq
    assert f"entries 1 to {first - 1} are missing" in refused["text"]
