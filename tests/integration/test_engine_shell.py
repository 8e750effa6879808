"""The engine as a process, against a real Redis and a real Postgres: founding, trading, dying, coming back."""

import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.documents import files_list
from shared.refusal import EXIT_REFUSED
from tests.integration.engine_process import EngineProcess, twin_of, until
from tests.integration.engine_scene import RedisOwn, Scene

WAYS = ["plain", "fast"]  # of the engine's turns; the other tests go the fast one


@pytest.fixture
def scene(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Scene]:
    """Return a scene; its engine is killed after the test."""
    scene = Scene(redis_url, database_url, tmp_path)
    yield scene
    scene.streams.close()
    if scene.engine.process is not None:
        scene.engine.end(signal.SIGKILL)


@pytest.fixture
def redis_own(tmp_path: Path) -> Iterator[RedisOwn]:
    """Return a Redis that only this test uses."""
    data_dir = tmp_path / "redis_own"
    data_dir.mkdir()
    own = RedisOwn(data_dir)
    yield own
    own.kill()


def test_founds_leads_publishes_and_stops_cleanly(scene: Scene) -> None:
    """From nothing to a leading venue; a clean stop says so, and the next start leads at once and loses nothing."""
    scene.found()
    scene.accounts_open()
    scene.trade_some(30, random.Random(1))
    scene.proven()
    assert scene.fills_count > 10
    assert scene.engine.end() == 0
    leader = scene.streams.leader_read(scene.keys)
    assert leader is not None
    assert leader["left"] is True
    started_s = time.monotonic()
    scene.engine.start()
    until(lambda: (scene.streams.leader_read(scene.keys) or {})["who"] != leader["who"], "the next lead", 20.0)
    assert time.monotonic() - started_s < 15.0
    scene.leading_await()
    scene.trade_some(10, random.Random(2))
    scene.proven()


def test_killed_again_and_again(scene: Scene) -> None:
    """Killed at random moments while producers go on, its events are those of an engine that never stopped."""
    chance = random.Random(11)
    scene.found()
    scene.accounts_open()
    for _ in range(5):
        scene.trade_some(chance.randrange(5, 60), chance)
        time.sleep(chance.random() * 0.3)
        scene.engine.end(signal.SIGKILL)
        scene.trade_some(10, chance)
        scene.engine.start()
        time.sleep(chance.random() * 2.0)
    scene.leading_await()
    scene.trade_some(10, chance)
    scene.proven()
    assert scene.fills_count > 50
    assert not scene.engine.facts("stopped")


def test_snapshot_is_written_stated_and_started_from(scene: Scene) -> None:
    """A keyframe becomes file, row and checkpoint; the restart begins there, and the twin computes the same hash."""
    scene.found()
    scene.accounts_open()
    scene.snapshot_make()
    seq = scene.engine.facts("snapshot_durable")[-1]["seq"]
    until(lambda: any(entry.fields[-1][0] == b"checkpoint" for entry in scene.entries(seq)), "the checkpoint", 15.0)
    assert files_list(scene.engine.data_dir / "snapshots")[0][0] == seq
    twin, _ = twin_of(scene.streams, scene.keys, seq)
    claims = [dict(entry.fields).get(b"checkpoint", b"") for entry in scene.entries(seq)]
    assert sum(twin.hashes()[0].encode() in claim for claim in claims) == 1
    scene.engine.end(signal.SIGKILL)
    scene.engine.start()
    until(lambda: scene.engine.facts("snapshot_loaded"), "loading", 20.0)
    assert scene.engine.facts("snapshot_loaded")[-1]["seq"] == seq
    scene.leading_await()
    scene.proven()


def test_second_engine_stands_by_and_takes_over(
    scene: Scene, redis_url: str, database_url: str, tmp_path: Path
) -> None:
    """With the leader hung or killed, the standby soon leads and publishes what was kept."""
    scene.found()
    scene.accounts_open()
    standby = EngineProcess(redis_url, database_url, tmp_path / "other").start()
    try:
        until(lambda: standby.facts("redis_connected"), "the standby", 20.0)
        time.sleep(1.0)
        assert not standby.facts("leader_promoted")
        assert scene.engine.process is not None
        scene.engine.process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        until(lambda: standby.facts("leader_promoted"), "taking over", 10.0)
        assert time.monotonic() - stopped_s < 10.0
        scene.trade_some(20, random.Random(5))
        scene.engine.process.send_signal(signal.SIGCONT)
        until(lambda: scene.engine.facts("leader_deposed"), "stepping down", 10.0)
        scene.trade_some(20, random.Random(6))
        scene.proven()
        assert not standby.facts("stopped")
        assert not scene.engine.facts("stopped")
    finally:
        standby.end(signal.SIGKILL)


def test_lost_entries_are_refused_and_stay_refused(scene: Scene) -> None:
    """A log deleted under a live engine ends it with the numbers, written down so that no restart leads on."""
    import redis

    scene.found()
    scene.accounts_open()
    scene.trade_some(20, random.Random(7))
    scene.proven()
    tip = scene.streams.log_tip(scene.keys)
    client = redis.Redis.from_url(scene.streams.url)
    client.delete(scene.keys.log)
    client.close()
    assert scene.engine.process is not None
    assert scene.engine.process.wait(15) == EXIT_REFUSED
    [refused] = scene.engine.facts("refused")
    assert refused["remembered"] >= tip
    assert (scene.engine.data_dir / "refused.json").exists()
    assert scene.streams.get_json(scene.keys.refused)["text"] == refused["text"]
    assert scene.engine.start().process.wait(20) == EXIT_REFUSED  # type: ignore[union-attr]
    (scene.engine.data_dir / "refused.json").unlink()
    assert scene.engine.start().process.wait(20) == EXIT_REFUSED  # type: ignore[union-attr]
    assert scene.producer.tick() == 0


def test_writer_that_dies_is_started_again_and_ends_with_its_engine(scene: Scene) -> None:
    """The second process may be killed at any time: the next keyframe is written; no writer outlives its engine."""
    scene.found()
    scene.accounts_open()
    scene.snapshot_make()
    assert scene.engine.process is not None
    [writer] = children_of(scene.engine.process.pid)
    os.kill(writer, signal.SIGKILL)
    until(lambda: scene.engine.facts("snapshot_trouble"), "noticing", 15.0)
    seq = scene.engine.facts("snapshot_durable")[-1]["seq"]

    def newer() -> bool:
        scene.producer.slot_skip()
        return scene.engine.facts("snapshot_durable")[-1]["seq"] > seq

    until(newer, "a snapshot", 20.0)
    [writer] = children_of(scene.engine.process.pid)
    scene.engine.end(signal.SIGKILL)
    until(lambda: not Path(f"/proc/{writer}/cmdline").exists() or not command_of(writer), "the writer's end", 15.0)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> bytes:
    """Return a process's command line; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_hung_postgres_delays_nothing(scene: Scene, tmp_path: Path) -> None:
    """With a Postgres that accepts and never answers, trading goes on, files are written and a restart works."""
    scene.found()
    scene.accounts_open()
    scene.snapshot_make()
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / ".s.PGSQL.5432"))
        hung.listen(100)
        scene.engine.environment["DATABASE_URL"] = f"postgresql:///x?host={tmp_path}&user=x"
        scene.engine.end(signal.SIGKILL)
        scene.engine.start()
        until(lambda: len(scene.engine.facts("leader_promoted")) == 2, "leading without Postgres", 15.0)
        seq = scene.streams.log_tip(scene.keys)
        scene.trade_some(5, random.Random(4))
        folder = scene.engine.data_dir / "snapshots"
        until(lambda: scene.producer.slot_skip() or files_list(folder)[0][0] > seq, "a file", 10.0)
        scene.proven()


@pytest.mark.parametrize("wire", WAYS)
def test_full_memory_loses_nothing(scene: Scene, wire: str) -> None:
    """While Redis takes nothing the outputs stay kept; when there is room again they go out, once, in order."""
    import redis

    scene.engine.environment["TIDEMARK_WIRE"] = wire
    scene.found()
    scene.accounts_open()
    client = redis.Redis.from_url(scene.streams.url)
    try:
        for round_number in range(3):
            scene.trade_some(10, random.Random(round_number))
            client.config_set("maxmemory", "1mb")
            assert scene.producer.tick() == 0
            time.sleep(0.3)
            client.config_set("maxmemory", "0")
            scene.leading_await()
    finally:
        client.config_set("maxmemory", "0")
        client.close()
    scene.trade_some(10, random.Random(9))
    scene.proven()
    assert scene.engine.facts("redis_refuses")
    assert len(scene.engine.facts("leader_promoted")) == 1


@pytest.mark.parametrize("wire", WAYS)
def test_redis_killed_under_load(redis_own: RedisOwn, database_url: str, tmp_path: Path, wire: str) -> None:
    """Redis dies and comes back: the engine waits, checks its witnesses, names it a second later and goes on."""
    scene = Scene(redis_own.url, database_url, tmp_path)
    scene.engine.environment["TIDEMARK_WIRE"] = wire
    try:
        scene.found()
        scene.accounts_open()
        for round_number in range(3):
            scene.trade_some(20, random.Random(round_number))
            redis_own.kill()
            assert scene.producer.tick() == 0
            redis_own.start()
            restarted_s = time.monotonic()
            scene.leading_await()
            assert 0.9 < time.monotonic() - restarted_s < 15.0
        scene.trade_some(20, random.Random(9))
        scene.proven()
        assert scene.fills_count > 10
        assert len(scene.engine.facts("leader_promoted")) == 1
    finally:
        scene.engine.end(signal.SIGKILL)
