"""When a snapshot is taken and handed over, and what a checkpoint proves."""

import orjson
import pytest

from engine.snapshots import CheckpointMismatch, CopyBuffer
from shared.streams import Entry
from tests.engine_toy import ToyVenue, turns


def leader(tmp_path, fault=None) -> tuple[ToyVenue, object]:
    """Return a venue with a leading engine that has nothing left to do."""
    venue = ToyVenue(tmp_path)
    engine = venue.engine(fault, founded=True)
    turns(engine, lambda: engine.parts.leadership.leading and not engine.parts.publisher.kept)
    turns(engine, lambda: engine.parts.snapshots.held is None)
    return venue, engine


def standby_new(venue: ToyVenue):
    """Return a second engine that has applied everything and has its copy free."""
    standby = venue.engine()
    for _ in range(5):
        standby.turn()
    assert standby.parts.snapshots.held is None and not standby.parts.leadership.leading
    return standby


def keyframe_add(venue: ToyVenue) -> int:
    """Append an entry that opens a new ten-second slot; return its seq."""
    venue.clock.sleep_s(10.0)
    return venue.add(1)


def test_copy_waits_until_its_outputs_were_seen(tmp_path):
    """A snapshot before its outputs would lose them for ever, so it is not written before."""
    from shared.streams import StreamsRefused

    refuse = []

    def fault(verb: str, when: str) -> None:
        if verb == "publish" and refuse:
            raise StreamsRefused("OOM")

    venue, engine = leader(tmp_path, fault)
    refuse.append(True)
    seq = keyframe_add(venue)
    for _ in range(20):
        engine.turn()
    assert engine.parts.snapshots.held.seq == seq and seq not in venue.store.rows
    refuse.clear()
    turns(engine, lambda: seq in venue.store.rows)


def test_busy_writer_skips_a_keyframe(tmp_path):
    """With the copy before still in use, the next keyframe passes without a snapshot."""
    venue, engine = leader(tmp_path)
    engine.parts.snapshots.port.send = lambda job: True  # takes the job and never gives the memory back
    first = keyframe_add(venue)
    turns(engine, lambda: engine.parts.machine.seq >= first)
    second = keyframe_add(venue)
    turns(engine, lambda: engine.parts.machine.seq >= second)
    assert engine.parts.snapshots.skipped_count == 1 and engine.parts.snapshots.held.seq == first


def test_durable_snapshot_is_stated_in_the_log(tmp_path):
    """The leader appends `checkpoint` with both hashes, and only once the row is there."""
    venue, engine = leader(tmp_path)
    venue.store.slow = True
    seq = keyframe_add(venue)
    for _ in range(50):
        engine.turn()
    assert not [entry for entry in venue.server.log[seq:] if b"checkpoint" in dict(entry.fields)]
    venue.store.slow = False
    turns(engine, lambda: venue.server.log[-1].fields[-1][0] == b"checkpoint")
    claim = orjson.loads(venue.server.log[-1].fields[-1][1])
    assert claim == {name: venue.store.rows[seq][name] for name in ("seq", "state_hash", "record_hash")}


def test_standby_hashes_and_writes_nothing(tmp_path):
    """A standby copies each keyframe to hash it; files and rows are the leader's."""
    venue, _ = leader(tmp_path)
    standby = standby_new(venue)
    files = set((tmp_path / "snapshots").iterdir()) if (tmp_path / "snapshots").exists() else set()
    seq = keyframe_add(venue)
    for _ in range(5):
        standby.turn()
    assert seq in standby.parts.snapshots.hashes and seq not in venue.store.rows
    assert set((tmp_path / "snapshots").iterdir() if files else []) == files


def test_contradicted_leader_stops_and_standby_alarms(tmp_path):
    """A checkpoint with another hash than computed is an alarm in a standby and the end of a leader."""
    venue, engine = leader(tmp_path)
    standby = standby_new(venue)
    seq = keyframe_add(venue)
    for runner in (engine, standby):
        turns(runner, lambda runner=runner: seq in runner.parts.snapshots.hashes)
    claim = orjson.dumps({"seq": seq, "state_hash": "0" * 64, "record_hash": "1" * 64})
    fields = [(b"ts", b"%d" % venue.clock.now_us()), (b"checkpoint", claim)]
    venue.server.log.append(Entry(venue.server.log[-1].seq + 1, fields))
    for _ in range(5):
        standby.turn()
    assert venue.log.named("checkpoint_mismatch")
    with pytest.raises(CheckpointMismatch):
        turns(engine, lambda: False, 10)


def test_checkpoint_before_the_own_hash_is_compared_later(tmp_path):
    """A claim that comes while the own copy is still being hashed is not forgotten."""
    venue, engine = leader(tmp_path)
    snapshots = engine.parts.snapshots
    seq = keyframe_add(venue)
    turns(engine, lambda: engine.parts.machine.seq >= seq)
    own = snapshots.hashes.pop(seq, None)
    snapshots.held = snapshots.held or type("Held", (), {"seq": seq})()
    snapshots.checkpoint_applied(seq, ("0" * 64, "1" * 64), True)
    with pytest.raises(CheckpointMismatch):
        snapshots.hash_known(seq, *(own or ("2" * 64, "3" * 64)), True)


def test_memory_is_touched_at_start_and_ahead():
    """The first copy finds its pages; room for twice a copy is touched before the next, and what lies there stays."""
    buffer = CopyBuffer(200 * 2**20)
    assert buffer.touched_bytes == 64 * 2**20
    buffer.view[:4] = b"kept"
    buffer.touch_ahead(20 * 2**20)
    assert buffer.toucher is None
    buffer.touch_ahead(40 * 2**20)
    buffer.toucher.join()
    assert buffer.touched_bytes == 96 * 2**20
    buffer.touch_ahead(500 * 2**20)
    buffer.toucher.join()
    assert buffer.touched_bytes == buffer.capacity_bytes
    assert bytes(buffer.view[:4]) == b"kept"
