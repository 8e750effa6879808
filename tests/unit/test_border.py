"""Where rules change: what an old build leaves behind, and what a new one waits for."""

import orjson
import pytest

from engine.border import BorderReached, border_wait, founded_under
from engine.documents import BORDER_NAME, document_digest, document_pack, files_list
from engine.recovery import BorderNeeded, Recovery, RulesUnknown
from engine.runner import DrainedNothing, Runner
from shared.refusal import RefusalStands
from shared.rules import RULES_VERSION
from shared.streams import Appended, AppendStatus, Entry
from tests.engine_toy import VENUE, ToyVenue, toy_content, toy_restore, turns


def venue_running(tmp_path, wire) -> tuple[ToyVenue, Runner]:
    """Return a venue whose leader has made a snapshot durable."""
    venue = ToyVenue(tmp_path, wire=wire)
    leader = venue.engine(founded=True)
    while not venue.store.rows:
        venue.add(1)
        leader.turn()
        venue.clock.sleep_s(0.1)
    return venue, leader


def newer_lead(venue: ToyVenue, who: str = "newer") -> int:
    """Append a `lead` of the next rules; return its seq."""
    return venue.append([(b"lead", orjson.dumps({"who": who, "rules": RULES_VERSION + 1}))])


def until_border(engine: Runner) -> None:
    """Turn an engine until its border is written."""
    with pytest.raises(BorderReached):
        turns(engine, lambda: False, 2_000)


def recovery_of(venue: ToyVenue) -> Recovery:
    """Return a recovery of this build."""
    return Recovery(VENUE, venue.data / "snapshots", venue.store, toy_restore, venue.log)


def test_leader_publishes_and_writes_the_border_at_exactly_the_lead(tmp_path, wire):
    """Everything before the newer `lead` is published, the snapshot stands at it, nothing behind it is applied."""
    venue, leader = venue_running(tmp_path, wire)
    before = venue.add(9)
    border = newer_lead(venue)
    venue.add(5)
    until_border(leader)
    assert venue.server.events[-1].seq == before
    assert [seq for seq, _ in files_list(tmp_path / "snapshots", BORDER_NAME)] == [border]
    assert venue.store.rows[border]["rules"] == RULES_VERSION + 1
    assert leader.parts.machine.seq == border


def test_standby_writes_the_border_of_a_dead_leader(tmp_path, wire):
    """The outputs that the dead leader never published are published by the standby, although it never led."""
    venue, _leader = venue_running(tmp_path, wire)
    standby = venue.engine()
    turns(standby, lambda: standby.parts.machine.seq == venue.server.log[-1].seq)
    before = venue.add(9)
    border = newer_lead(venue)
    until_border(standby)
    assert venue.server.events[-1].seq == before
    assert [seq for seq, _ in files_list(tmp_path / "snapshots", BORDER_NAME)] == [border]
    assert not standby.parts.leadership.leading


def test_border_waits_for_redis_and_for_nothing_else(tmp_path, wire):
    """A slow Postgres costs the row, not the border."""
    venue, leader = venue_running(tmp_path, wire)
    venue.store.slow = True
    border = newer_lead(venue)
    until_border(leader)
    assert border not in venue.store.rows
    assert venue.log.named("border_written") == [{"seq": border, "rules": RULES_VERSION + 1, "row": False}]


def test_keyframe_before_the_border_is_not_taken_for_it(tmp_path, wire):
    """A snapshot that is still on its way when the newer `lead` comes keeps its name and its place."""
    venue, leader = venue_running(tmp_path, wire)
    venue.clock.sleep_s(10)
    keyframe = venue.add(1)
    border = newer_lead(venue)
    until_border(leader)
    folder = tmp_path / "snapshots"
    assert [seq for seq, _ in files_list(folder, BORDER_NAME)] == [border]
    assert files_list(folder)[0][0] <= keyframe


def test_old_build_does_not_start_behind_the_border(tmp_path, wire):
    """There is no way back: the border's document is of rules that the old build does not know."""
    venue, leader = venue_running(tmp_path, wire)
    newer_lead(venue)
    until_border(leader)
    with pytest.raises(RulesUnknown, match=f"rules {RULES_VERSION + 1}"):
        venue.engine()


def test_drain_writes_the_border_and_never_leads(tmp_path, wire):
    """With every old engine dead, one drain does the rest."""
    venue, _leader = venue_running(tmp_path, wire)
    venue.add(3)
    border = newer_lead(venue)
    drain = venue.engine()
    drain.drain = True
    until_border(drain)
    assert [seq for seq, _ in files_list(tmp_path / "snapshots", BORDER_NAME)] == [border]
    assert drain.parts.leadership.promotions_count == 0


def test_drain_without_a_newer_lead_ends(tmp_path, wire):
    """Nobody asked for a border: after ten seconds at the tip the drain says so, and has appended nothing."""
    venue, _leader = venue_running(tmp_path, wire)
    length = len(venue.server.log)
    drain = venue.engine()
    drain.drain = True
    with pytest.raises(DrainedNothing):
        turns(drain, lambda: False, 20_000)
    assert len(venue.server.log) == length
    assert not files_list(tmp_path / "snapshots", BORDER_NAME)


def as_rules(document: dict, rules: int) -> dict:
    """Return a document under other rules, sealed anew."""
    changed = {**document, "rules": rules}
    return {**changed, "digest": document_digest(changed)}


def older_venue(tmp_path, wire) -> ToyVenue:
    """Return a venue all of whose snapshots are of the rules before this build's."""
    venue, _leader = venue_running(tmp_path, wire)
    for seq, document in list(venue.store.rows.items()):
        venue.store.rows[seq] = as_rules(document, RULES_VERSION - 1)
    for _, path in files_list(tmp_path / "snapshots"):
        path.write_bytes(orjson.dumps(as_rules(orjson.loads(path.read_bytes()), RULES_VERSION - 1)))
    return venue


def test_new_build_waits_for_the_border_and_starts_there(tmp_path, wire):
    """One `lead` is appended unread; the start is the border's as soon as it is there."""
    venue = older_venue(tmp_path, wire)
    recovery = recovery_of(venue)
    with pytest.raises(BorderNeeded):
        recovery.start()
    asked: list[int] = []
    looks: list[float] = []

    def lead_append() -> Appended:
        asked.append(venue.append([(b"lead", orjson.dumps({"who": "us", "rules": RULES_VERSION}))]))
        return Appended(AppendStatus.ACCEPTED, asked[-1])

    def old_build_works() -> None:
        looks.append(venue.clock.monotonic_s())
        if len(looks) == 5:
            newest = max(venue.store.rows)
            document = as_rules(venue.store.rows[newest], RULES_VERSION)
            (tmp_path / "snapshots" / f"border-{newest}.json").write_bytes(orjson.dumps(document))

    start = border_wait(recovery, recovery.start, lead_append, old_build_works, venue.clock, venue.log)
    assert start.place == "border"
    assert len(asked) == 1


def test_new_build_says_that_it_waits_and_stops_at_a_refusal(tmp_path, wire):
    """Waiting is said every ten seconds, and a refusal ends it."""
    venue = older_venue(tmp_path, wire)
    recovery = recovery_of(venue)

    def refused_later() -> None:
        if venue.clock.monotonic_s() > 100:
            raise RefusalStands({"text": "a gateway remembers"}, "the data folder")

    def lead_append() -> Appended:
        return Appended(AppendStatus.REFUSED, 0, "LOG_ABSENT")

    with pytest.raises(RefusalStands):
        border_wait(recovery, recovery.start, lead_append, refused_later, venue.clock, venue.log)
    assert len(venue.log.named("border_missing")) >= 5


def test_engine_that_starts_at_its_own_lead_leads(tmp_path, wire):
    """The border may stand at the very `lead` that this process appended: then it leads from its first turn."""
    venue, leader = venue_running(tmp_path, wire)
    machine = leader.parts.machine
    length = machine.copy(leader.parts.snapshots.buffer.view)
    machine.state["leader"] = f"engine{venue.engines_count + 1}"
    length = machine.copy(leader.parts.snapshots.buffer.view)
    frame = {name: value for name, value in leader.parts.snapshots.sent.items() if name != "created_us"}
    witness = {"log": {"seq": machine.seq, "digest": machine.last_digest()}, "events": frame["witness"]["events"]}
    content = toy_content(leader.parts.snapshots.buffer.view, length)
    document = document_pack(content, {**frame, "seq": machine.seq, "witness": witness})
    (tmp_path / "snapshots" / f"border-{machine.seq}.json").write_bytes(orjson.dumps(document))
    engine = venue.engine()
    assert engine.parts.machine.seq == machine.seq
    assert engine.parts.leadership.leading
    assert venue.log.named("leader_promoted")[-1]["who"] == engine.parts.leadership.who


@pytest.mark.parametrize(
    ("body", "rules"), [(b'{"rules":2}', 2), (b"{}", RULES_VERSION), (b"[]", RULES_VERSION), (b"x", RULES_VERSION)]
)
def test_rules_of_the_genesis_are_read(tmp_path, wire, body, rules):
    """A log without any snapshot says itself under which rules it began; one that cannot be read says nothing."""
    venue = ToyVenue(tmp_path, wire=wire)
    venue.server.log = [Entry(1, [(b"ts", b"1"), (b"genesis", body)])]
    assert founded_under(venue.engine().parts.streams, venue.keys) == rules
