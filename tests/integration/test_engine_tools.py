"""`tidemark replay` and `tidemark snapshot` on a real venue, running and stopped."""

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.documents import files_list
from scripts import replay as replay_tool
from scripts import snapshot as snapshot_tool
from shared.streams import event_id
from tests.integration.engine_process import until
from tests.integration.engine_scene import MARKET, RedisOwn, Scene


@pytest.fixture
def redis_own(tmp_path: Path) -> Iterator[RedisOwn]:
    """Return a Redis that only this test uses."""
    data_dir = tmp_path / "redis_own"
    data_dir.mkdir()
    own = RedisOwn(data_dir)
    yield own
    own.kill()


@pytest.fixture
def traded(redis_own: RedisOwn, database_url: str, tmp_path: Path) -> Iterator[Scene]:
    """Return a scene with trades and a durable snapshot, its ready file in place."""
    scene = Scene(redis_own.url, database_url, tmp_path)
    scene.found()
    scene.accounts_open()
    chance = random.Random(21)
    scene.snapshot_make()
    scene.trade_some(20, chance)
    scene.proven()
    ready = {
        "url": "", "redis_url": redis_own.url, "database_url": database_url, "venue": scene.keys.venue,
        "supervisor": os.getpid(),
    }  # fmt: skip
    (scene.engine.data_dir / "ready.json").write_text(json.dumps(ready))
    yield scene
    scene.engine.end(signal.SIGKILL)


def run(command: Any, scene: Scene, *arguments: str) -> Result:
    """Return what a command printed, and its exit code."""
    return CliRunner().invoke(command, [*arguments, "--data", str(scene.engine.data_dir)])


def test_replay_proves_every_checkpoint_and_event(traded: Scene) -> None:
    """From the empty state and from a snapshot, both hashes and every byte of the events come out the same."""
    found = json.loads(run(replay_tool.replay, traded, "--verify", "--json").stdout)
    assert found["seq"] >= traded.streams.log_tip(traded.keys) - 5
    assert found["checkpoints_verified"] >= 1
    assert found["checkpoints_different"] == []
    assert found["events_compared"] > 20
    assert found["events_unpublished"] == 0
    seq = files_list(traded.engine.data_dir / "snapshots")[-1][0]
    options = ["--verify", "--json", "--from", str(seq + 1), "--to", str(found["seq"]), "--account", "101"]
    later = json.loads(run(replay_tool.replay, traded, *options).stdout)
    assert later["start_seq"] == seq
    assert later["state_hash"] == found["state_hash"]
    assert later["account"]["account"] == 101


def test_replay_finds_what_was_changed(traded: Scene) -> None:
    """A changed byte in the events, or a false hash in the log, ends with exit code 1 and is shown."""
    import redis

    traded.engine.end(signal.SIGKILL)
    client = redis.Redis.from_url(traded.streams.url)
    client.xadd(traded.keys.log, {"ts": "1800000000000000", "checkpoint": json.dumps(
        {"seq": files_list(traded.engine.data_dir / "snapshots")[0][0], "state_hash": "0" * 64, "record_hash": "0" * 64}
    )})  # fmt: skip
    result = run(replay_tool.replay, traded, "--json")
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)["checkpoints_different"]) == 1
    tip = traded.streams.events_tip(traded.keys)
    client.xadd(traded.keys.events, {"t": "1", "p": "x", "a": "", "d": "[]"}, id=f"{10**15 + tip[0]}-{tip[1] + 1}")
    client.close()
    result = run(replay_tool.replay, traded, "--verify")
    assert result.exit_code == 1
    assert "the stream holds" in result.stdout


def test_replay_misses_events(traded: Scene) -> None:
    """Outputs that nobody published yet are no difference; events that were there and are gone are one."""
    import redis

    until(lambda: (traded.streams.leader_read(traded.keys) or {})["seq"] == traded.streams.log_tip(traded.keys), "calm")
    traded.engine.end(signal.SIGKILL)
    assert traded.producer.instruct("trade_create", 101, market=MARKET, side="buy", qty="0.001", leverage=10)
    result = run(replay_tool.replay, traded, "--verify", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["events_unpublished"] == 1
    client = redis.Redis.from_url(traded.streams.url)
    tip = traded.streams.events_tip(traded.keys)
    client.xdel(traded.keys.events, event_id(*tip))
    result = run(replay_tool.replay, traded, "--verify", "--json")
    assert result.exit_code == 1
    assert f"lack 1 outputs from {tip[0]}-{tip[1]} on" in json.loads(result.stdout)["trouble"]
    client.delete(traded.keys.events)
    client.close()
    result = run(replay_tool.replay, traded, "--verify")
    assert result.exit_code == 1
    assert "the events end at 0-0 and lack" in result.stdout
    assert run(replay_tool.replay, traded).exit_code == 0, "without --verify nobody asks for them"


def test_replay_starts_the_redis_of_a_stopped_venue(traded: Scene, redis_own: RedisOwn) -> None:
    """With nothing running, the embedded Redis is started alone on the venue's data, and stopped again."""
    tip = traded.streams.log_tip(traded.keys)
    traded.engine.end()
    redis_own.kill()
    (traded.engine.data_dir / "ready.json").unlink()
    (redis_own.data_dir / "redis").rename(traded.engine.data_dir / "redis")
    result = run(replay_tool.replay, traded, "--verify", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["seq"] >= tip
    assert not (traded.engine.data_dir / "redis" / "redis.sock").exists()
    assert run(replay_tool.replay, traded, "--json").exit_code == 0, "it can be started again"
    (traded.engine.data_dir / "redis").rename(redis_own.data_dir / "redis")


def test_snapshot_shows_and_verifies(traded: Scene) -> None:
    """The newest snapshot is shown for people and programs, one account of it too, and every invariant holds."""
    seq = files_list(traded.engine.data_dir / "snapshots")[0][0]
    shown = json.loads(run(snapshot_tool.snapshot, traded, "show", "--json").stdout)
    assert shown["seq"] >= seq
    assert shown["summary"]["conservation_e6"] == 0
    assert "BTC_USDC_PERP" in run(snapshot_tool.snapshot, traded, "show").stdout
    account = json.loads(run(snapshot_tool.snapshot, traded, "account", "100", "--json").stdout)
    assert account["account"] == 100
    assert run(snapshot_tool.snapshot, traded, "account", "100").exit_code == 0
    assert run(snapshot_tool.snapshot, traded, "account", "99").exit_code == 2
    verified = run(snapshot_tool.snapshot, traded, "verify")
    assert verified.exit_code == 0, verified.output
    path = files_list(traded.engine.data_dir / "snapshots")[0][1]
    path.write_bytes(path.read_bytes().replace(b'"state_hash":"', b'"state_hash":"f', 1))
    broken = run(snapshot_tool.snapshot, traded, "verify", "--file", str(path))
    assert broken.exit_code == 1
    assert "digest does not match" in broken.stderr


def test_tools_say_when_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a venue both tools end with exit code 2 and one line."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    result = CliRunner().invoke(replay_tool.replay, ["--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "--data" in result.stderr
    result = CliRunner().invoke(snapshot_tool.snapshot, ["show", "--data", str(tmp_path)])
    assert result.exit_code == 2
