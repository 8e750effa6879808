"""From what an engine starts, and when it refuses to go on."""

import orjson
import pytest

from engine.documents import files_list
from engine.publish import Divergence
from engine.recovery import RulesUnknown
from engine.runner import Runner
from engine.witness import VenueOther
from shared.refusal import Refusal, RefusalStands, refusal_file_write
from shared.rules import RULES_VERSION
from shared.streams import Entry, events_digest
from tests.engine_toy import ToyMachine, ToyVenue, turns


def venue_with_snapshots(tmp_path, wire, count: int = 3) -> tuple[ToyVenue, Runner]:
    """Return a venue whose leader has made some snapshots durable and published everything."""
    venue = ToyVenue(tmp_path, wire=wire)
    engine = venue.engine(founded=True)
    for _ in range(count):
        before = len(venue.store.rows)
        while len(venue.store.rows) == before:
            venue.add(1)
            engine.turn()
            venue.clock.sleep_s(0.1)
    for _ in range(30):
        venue.add(1)
        engine.turn()
    turns(engine, lambda: not engine.parts.publisher.kept and engine.parts.machine.seq == venue.server.log[-1].seq)
    return venue, engine


def same_as(engine: Runner, other: Runner) -> bool:
    """Return whether both engines are in the same state."""
    return engine.parts.machine.hashes() == other.parts.machine.hashes()


def test_starts_from_the_newest_file_and_ends_in_the_same_state(tmp_path, wire):
    """A restart replays the tail behind the newest snapshot, and only that."""
    venue, old = venue_with_snapshots(tmp_path, wire)
    engine = venue.engine()
    assert engine.parts.machine.seq == files_list(tmp_path / "snapshots")[0][0] > 100
    turns(engine, lambda: engine.parts.machine.seq == old.parts.machine.seq)
    assert same_as(engine, old)


def test_three_files_are_kept(tmp_path, wire):
    """Older snapshot files go away, newer ones stay."""
    venue, _ = venue_with_snapshots(tmp_path, wire, 5)
    assert [seq for seq, _ in files_list(tmp_path / "snapshots")] == sorted(venue.store.rows, reverse=True)[:3]


@pytest.mark.parametrize("damage", ["cut", "flipped", "json", "venue", "sealed anew"])
def test_damaged_newest_falls_back(tmp_path, wire, damage):
    """A snapshot that does not verify is passed over, wherever it lies; the older one leads to the same state."""
    venue, old = venue_with_snapshots(tmp_path, wire)
    seqs = sorted(venue.store.rows, reverse=True)
    path = files_list(tmp_path / "snapshots")[0][1]
    content = path.read_bytes()
    document = orjson.loads(content)
    if damage == "cut":
        path.write_bytes(content[:-100])
    elif damage == "flipped":
        path.write_bytes(content.replace(b'"state_hash":"', b'"state_hash":"f'))
    elif damage == "json":
        path.write_bytes(b"[]")
    elif damage == "venue":
        path.write_bytes(orjson.dumps({**document, "venue": "another001"}))
    else:
        document["tables"]["state"]["packed"] = "!!!"
        from engine.documents import document_digest

        path.write_bytes(orjson.dumps({**document, "digest": document_digest(document)}))
    venue.store.rows[seqs[0]] = {**venue.store.rows[seqs[0]], "log_time_us": 5}
    engine = venue.engine()
    assert engine.parts.machine.seq == seqs[1]
    assert len(venue.log.named("snapshot_refused")) == 2
    turns(engine, lambda: engine.parts.machine.seq == old.parts.machine.seq)
    assert same_as(engine, old)


def test_no_snapshot_verifies(tmp_path, wire):
    """With every snapshot gone the whole log is replayed."""
    venue, old = venue_with_snapshots(tmp_path, wire)
    for _, path in files_list(tmp_path / "snapshots"):
        path.write_bytes(b"")
    venue.store.rows.clear()
    engine = venue.engine()
    assert engine.parts.machine.seq == 0
    turns(engine, lambda: engine.parts.machine.seq == old.parts.machine.seq)
    assert same_as(engine, old)


def test_row_is_enough_without_files(tmp_path, wire):
    """A new machine with an empty data folder starts from Postgres."""
    venue, _ = venue_with_snapshots(tmp_path, wire)
    for _, path in files_list(tmp_path / "snapshots"):
        path.unlink()
    engine = venue.engine()
    assert engine.parts.machine.seq == max(venue.store.rows)


def test_postgres_down_does_not_stop_a_restart(tmp_path, wire):
    """The file alone is enough."""
    venue, _ = venue_with_snapshots(tmp_path, wire)
    venue.store.slow = True
    engine = venue.engine()
    assert engine.parts.machine.seq == max(venue.store.rows)
    turns(engine, lambda: engine.parts.leadership.leading)


def test_gap_is_refused_with_exact_numbers(tmp_path, wire):
    """A missing entry behind the snapshot stops the engine; nothing is bridged."""
    venue, _ = venue_with_snapshots(tmp_path, wire)
    seq = max(venue.store.rows) + 7
    venue.server.log = [entry for entry in venue.server.log if entry.seq not in (seq, seq + 1)]
    engine = venue.engine()
    with pytest.raises(Refusal) as caught:
        turns(engine, lambda: False, 100)
    assert caught.value.reason["expected"] == seq and caught.value.reason["found"] == seq + 2


def test_lost_tail_is_refused_by_a_live_engine(tmp_path, wire):
    """Redis comes back without its newest entries, with numbers that are given out again: the memory tells."""
    venue, engine = venue_with_snapshots(tmp_path, wire)
    tip = venue.server.log[-1].seq
    venue.server.log = venue.server.log[:-5]
    for _ in range(6):
        venue.add(1_000)
    engine.parts.streams.losses += 1
    with pytest.raises(Refusal, match=f"entry {tip} of the log is not the one that this engine remembers"):
        turns(engine, lambda: False, 100)


def test_lost_anchor_is_refused_although_the_log_goes_on(tmp_path, wire):
    """A log cut behind the newest snapshot, which no restart could start from, is noticed by a live leader."""
    venue, engine = venue_with_snapshots(tmp_path, wire)
    anchor = max(venue.store.rows)
    venue.server.log = venue.server.log[-2:]

    def log_goes_on() -> bool:
        venue.clock.sleep_s(0.1)
        return venue.add(1) < 0

    with pytest.raises(Refusal, match=f"entry {anchor} that the snapshot at {anchor} .* needs is gone"):
        turns(engine, log_goes_on, 100)


def test_lost_tail_is_refused_within_three_seconds(tmp_path, wire):
    """Without any lost connection a live engine looks every three seconds."""
    venue, leader = venue_with_snapshots(tmp_path, wire)
    standby = venue.engine()
    turns(standby, lambda: standby.parts.machine.seq == venue.server.log[-1].seq)
    tip = venue.server.log[-1].seq
    venue.server.log = venue.server.log[:-5]
    before_s = venue.clock.monotonic_s()

    def leader_beats() -> bool:
        return leader.parts.leadership.beat(venue.clock.monotonic_s(), 0, tip, 1, "") and False

    with pytest.raises(Refusal, match=f"the log ends at {tip - 5}, but this engine remembers entry {tip}"):
        turns(standby, leader_beats, 1_000)
    assert venue.clock.monotonic_s() - before_s <= 3.2


def test_own_append_that_gets_an_old_number_is_looked_into_at_once(tmp_path, wire):
    """A leader that is given a number it has applied already knows that the tail is lost."""
    venue, engine = venue_with_snapshots(tmp_path, wire)
    tip = venue.server.log[-1].seq
    venue.server.log = venue.server.log[:-5]
    engine.witnessed_last_s = venue.clock.monotonic_s()
    with pytest.raises(Refusal, match=f"this engine remembers entry {tip}"):
        turns(engine, lambda: False, 1_000)
    assert venue.server.log[-1].seq == tip - 4


def test_lost_tail_below_the_snapshot_is_refused_at_start(tmp_path, wire):
    """A log that ends before the snapshot's entry is not gone on with."""
    venue, _ = venue_with_snapshots(tmp_path, wire)
    anchor = max(venue.store.rows)
    venue.server.log = [entry for entry in venue.server.log if entry.seq < anchor]
    with pytest.raises(Refusal, match=f"remembers entry {anchor}"):
        turns(venue.engine(), lambda: False, 100)


def test_changed_anchor_is_refused(tmp_path, wire):
    """An entry with other bytes than the snapshot remembers is not the same log."""
    venue, _ = venue_with_snapshots(tmp_path, wire)
    anchor = max(venue.store.rows)
    entry = venue.server.log[anchor - 1]
    venue.server.log[anchor - 1] = Entry(anchor, [entry.fields[0], (b"add", b"77")])
    with pytest.raises(Refusal, match=f"entry {anchor} of the log is not the one"):
        turns(venue.engine(), lambda: False, 100)


def test_lost_events_are_refused(tmp_path, wire):
    """Events that end before what the snapshot remembers are refused, not filled up again."""
    venue, _ = venue_with_snapshots(tmp_path, wire)
    venue.server.events = venue.server.events[:10]
    with pytest.raises(Refusal, match="the events end at"):
        turns(venue.engine(), lambda: False, 100)


def test_cursor_of_the_persister_is_a_witness(tmp_path, wire):
    """What history has committed must be in the events, with the same bytes."""
    venue, _ = venue_with_snapshots(tmp_path, wire)
    last = venue.server.events[-1]
    venue.store.cursor = {"seq": last.seq, "chunk": 0, "digest": "00" * 32}
    with pytest.raises(Refusal, match="history cursor"):
        turns(venue.engine(), lambda: False, 100)


def test_cursor_of_the_views_is_a_witness(tmp_path, wire):
    """What the views show must be in the events, with the same bytes; an unreadable cursor says nothing."""
    venue, engine = venue_with_snapshots(tmp_path, wire)
    last = venue.server.events[-1]
    venue.server.values[venue.keys.views_cursor] = "nonsense"
    engine.witnesses_check()
    venue.server.values[venue.keys.views_cursor] = f"{last.seq}-0"
    venue.server.values[venue.keys.views_witness] = events_digest(last)
    engine.witnesses_check()
    venue.server.values[venue.keys.views_witness] = b"other"
    with pytest.raises(Refusal, match="the view reader"):
        engine.witnesses_check()


def test_other_bytes_in_the_events_stop_recovery(tmp_path, wire):
    """An entry of the events that differs from what is derived stops the engine and shows both."""
    venue, _ = venue_with_snapshots(tmp_path, wire)
    venue.server.events[-3] = venue.server.events[-3]._replace(data=b'[{"e":"sum","total":-1}]')
    with pytest.raises(Divergence, match="-1"):
        turns(venue.engine(), lambda: False, 100)


@pytest.mark.parametrize("place", ["file", "key", "row"])
def test_written_refusal_keeps_everybody_out(tmp_path, wire, place):
    """While a refusal is written down anywhere, a restart neither leads nor publishes."""
    venue, _ = venue_with_snapshots(tmp_path, wire)
    venue.add(5)
    events, log = list(venue.server.events), list(venue.server.log)
    if place == "file":
        refusal_file_write(tmp_path, {"text": "somebody remembers"})
    elif place == "key":
        venue.server.values[venue.keys.refused] = {"text": "somebody remembers"}
    else:
        venue.store.refusal = {"text": "somebody remembers"}
    with pytest.raises(RefusalStands, match="somebody remembers"):
        turns(venue.engine(), lambda: False, 100)
    assert (venue.server.events, venue.server.log) == (events, log)


def test_refusal_by_another_stops_a_leader_within_a_second(tmp_path, wire):
    """The leader looks every second."""
    venue, engine = venue_with_snapshots(tmp_path, wire)
    venue.server.values[venue.keys.refused] = {"text": "a gateway remembers"}
    before_s = venue.clock.monotonic_s()
    with pytest.raises(RefusalStands):
        turns(engine, lambda: False, 1_000)
    assert venue.clock.monotonic_s() - before_s <= 1.1


def test_another_venue_ends_the_process(tmp_path, wire):
    """A pointer that names another life is not served."""
    venue, engine = venue_with_snapshots(tmp_path, wire)
    venue.server.pointer = "another001"
    engine.parts.streams.losses += 1
    with pytest.raises(VenueOther):
        turns(engine, lambda: False, 10)


def test_older_rules_end_the_process_with_a_word_of_advice(tmp_path, wire):
    """A log under rules that this build has left behind is not replayed by other rules; the message says what to do."""
    venue, engine = venue_with_snapshots(tmp_path, wire)
    body = orjson.dumps({"who": "older", "rules": RULES_VERSION - 1})
    venue.server.log.append(Entry(venue.add(0) + 1, [(b"ts", b"%d" % venue.clock.now_us()), (b"lead", body)]))
    with pytest.raises(RulesUnknown, match="another data folder"):
        turns(engine, lambda: False, 10)


def test_empty_state_is_the_replay_of_everything(tmp_path, wire):
    """Without a snapshot recovery gives the state of a machine that read the whole log."""
    venue, old = venue_with_snapshots(tmp_path, wire)
    twin = ToyMachine()
    twin.load(venue.server.log)
    while twin.step() is not None:
        pass
    assert twin.hashes() == old.parts.machine.hashes()
