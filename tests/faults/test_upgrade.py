"""Two builds on one log, under load: rules change at one entry, nothing is lost, and hashes verify on both sides."""

import contextlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.documents import BORDER_NAME, files_list
from shared.refusal import EXIT_BORDER, EXIT_REFUSED
from shared.rules import RULES_VERSION
from shared.streams import Streams
from tests.faults.two_builds import Build, BuildEngine, build_copy, build_this
from tests.integration.engine_process import events_all, twin_of, until
from tests.integration.engine_scene import Scene

LOAD_PAUSE_S = 0.02
CHANGE_S_MAX = 20.0

pytestmark = pytest.mark.timeout(300)


class Upgrade:
    """A venue under load, and the engines of both builds."""

    def __init__(self, redis_url: str, database_url: str, folder: Path) -> None:
        self.urls = redis_url, database_url
        self.scene = Scene(redis_url, database_url, folder)
        self.data_dir = folder / "data"
        self.old = build_this()
        self.new = build_copy(folder, RULES_VERSION + 1)
        self.engines: list[BuildEngine] = []

    def engine(self, build: Build, name: str) -> BuildEngine:
        """Return an engine that is gone at the end."""
        engine = build.engine(*self.urls, self.data_dir, name)
        self.engines.append(engine)
        return engine

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """Trade without a pause while the body runs, also while nobody leads."""
        over = threading.Event()

        def trade() -> None:
            chance = random.Random(5)
            while not over.is_set():
                self.scene.trade_some(5, chance)
                over.wait(LOAD_PAUSE_S)

        thread = threading.Thread(target=trade)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def rules_led(self) -> int:
        """Return the rules that the leader's heartbeat names."""
        leader = self.scene.streams.leader_read(self.scene.keys) or {}
        return int(leader.get("rules", 0))

    def applied_all(self) -> None:
        """Wait until the leader has applied the log's end."""
        tip = self.scene.streams.log_tip(self.scene.keys)

        def applied() -> bool:
            leader = self.scene.streams.leader_read(self.scene.keys) or {}
            return int(leader.get("seq", 0)) >= tip

        until(applied, "the log's end applied", CHANGE_S_MAX)

    def check(self, build: Build, *words: str) -> tuple[int, dict[str, object]]:
        """Return what `upgrade --check` of a build says."""
        return build.tool(*self.urls, self.data_dir, "upgrade", "--check", *words)

    def over(self) -> None:
        """End whatever still runs."""
        for engine in self.engines:
            engine.over()


@pytest.fixture
def upgrade(redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Upgrade]:
    """Lend a founded venue with an old leader, three accounts and one snapshot."""
    scene = Upgrade(redis_url, database_url, tmp_path)
    try:
        leader = scene.engine(scene.old, "old")
        scene.scene.engine = leader
        scene.scene.found()
        scene.scene.producer.streams = Streams(redis_url)  # a client is for one thread
        scene.scene.accounts_open()
        scene.scene.snapshot_make()
        yield scene
    finally:
        scene.over()


def border_of(upgrade: Upgrade) -> int:
    """Return the entry at which the rules changed."""
    borders = files_list(upgrade.data_dir / "snapshots", BORDER_NAME)
    assert len(borders) == 1
    return borders[0][0]


def proven(upgrade: Upgrade, border_seq: int) -> None:
    """Assert that every acknowledged instruction has one outcome and that each build verifies its side."""
    upgrade.applied_all()
    scene = upgrade.scene
    tip = scene.streams.log_tip(scene.keys)
    twin, outputs = twin_of(scene.streams, scene.keys, tip)
    until(lambda: scene.streams.events_tip(scene.keys) >= (outputs[-1].seq, outputs[-1].chunk), "publishing", 10.0)
    events = [entry for entry in events_all(scene.streams, scene.keys) if entry.seq <= tip]
    assert [tuple(entry) for entry in events] == [tuple(output) for output in outputs]
    responses = b"".join(entry.data for entry in events)
    for request_id in scene.producer.acknowledged.values():
        assert responses.count(b'"request_id":"' + request_id + b'"') == 1
    assert twin.invariants_broken() == []
    assert any(seq < border_seq for seq in scene.producer.acknowledged)
    assert any(seq > border_seq for seq in scene.producer.acknowledged)
    code, before = upgrade.check(upgrade.old, "--to", str(border_seq - 1))
    assert (code, before["verdict"]) == (3, "must not start")  # the log stands under newer rules by now
    code, replayed = upgrade.old.tool(
        *upgrade.urls, upgrade.data_dir, "replay", "--verify", "--to", str(border_seq - 1)
    )
    assert code == 0
    assert int(replayed["checkpoints_verified"]) >= 1
    code, after = upgrade.check(upgrade.new)
    assert (code, after["verdict"], after["differences"]) == (0, "may start", [])
    assert after["start_seq"] == border_seq


def test_new_build_takes_over_beside_the_old_one(upgrade: Upgrade) -> None:
    """A build of newer rules started beside a running one and its standby gets the border and leads; none is lost."""
    standby = upgrade.engine(upgrade.old, "standby").start()
    leader, new = upgrade.engines[0], upgrade.engine(upgrade.new, "new")
    code, told = upgrade.check(upgrade.new)
    assert (code, told["verdict"]) == (0, "border needed")
    with upgrade.load():
        until(lambda: upgrade.scene.producer.requests > 50, "some load", CHANGE_S_MAX)
        new.start()
        until(lambda: upgrade.rules_led() == RULES_VERSION + 1, "the new build leads", CHANGE_S_MAX)
        until(lambda: leader.ended() is not None and standby.ended() is not None, "old engines end", CHANGE_S_MAX)
        count = upgrade.scene.producer.requests
        until(lambda: upgrade.scene.producer.requests > count + 50, "load under the new rules", CHANGE_S_MAX)
    assert (leader.ended(), standby.ended()) == (EXIT_BORDER, EXIT_BORDER)
    border_seq = border_of(upgrade)
    assert {fact["seq"] for engine in (leader, standby) for fact in engine.facts("border_written")} == {border_seq}
    proven(upgrade, border_seq)
    late = upgrade.engine(upgrade.old, "late").start()
    until(lambda: late.ended() is not None, "an old engine comes too late", CHANGE_S_MAX)
    assert late.ended() in (EXIT_BORDER, EXIT_REFUSED)
    assert new.ended() is None


def test_drain_writes_the_border_of_a_build_that_is_gone(upgrade: Upgrade) -> None:
    """With no old engine alive a new build waits, the old one run once with --drain gives it the border, and ends."""
    leader, new = upgrade.engines[0], upgrade.engine(upgrade.new, "new")
    with upgrade.load():
        until(lambda: upgrade.scene.producer.requests > 50, "some load", CHANGE_S_MAX)
    assert leader.end() == 0
    nothing = upgrade.engine(upgrade.old, "nothing").start("--drain")
    until(lambda: nothing.ended() is not None, "a drain without a new build gives up", CHANGE_S_MAX + 10.0)
    assert nothing.ended() == 1
    new.start()
    until(lambda: new.facts("border_asked"), "the new build asks for the border", CHANGE_S_MAX)
    code, told = upgrade.check(upgrade.new)
    assert (code, told["verdict"]) == (0, "border needed")
    drain = upgrade.engine(upgrade.old, "drain").start("--drain")
    until(lambda: drain.ended() is not None, "the drain ends", CHANGE_S_MAX)
    assert drain.ended() == 0, drain.log.read_text()[-2000:]
    until(lambda: upgrade.rules_led() == RULES_VERSION + 1, "the new build leads", CHANGE_S_MAX)
    upgrade.scene.leading_await()
    with upgrade.load():
        count = upgrade.scene.producer.requests
        until(lambda: upgrade.scene.producer.requests > count + 50, "load under the new rules", CHANGE_S_MAX)
    proven(upgrade, border_of(upgrade))


def test_repaired_build_keeps_its_number(upgrade: Upgrade, tmp_path: Path) -> None:
    """Another checkout of the same rules proves that it derives the same, up to an entry, before it may start."""
    repaired = build_copy(tmp_path / "repaired", RULES_VERSION)
    tip = upgrade.scene.streams.log_tip(upgrade.scene.keys)
    code, told = upgrade.check(repaired, "--to", str(tip))
    assert (code, told["verdict"], told["seq"], told["differences"]) == (0, "may start", tip, [])
    both = Build(upgrade.old.root, RULES_VERSION, repaired.kernels)
    code, other = upgrade.check(both, "--checkout", str(repaired.root))
    assert (code, other["verdict"]) == (0, "may start")
    assert upgrade.engines[0].end() == 0
    upgrade.engine(repaired, "repaired").start()
    upgrade.scene.leading_await()
    upgrade.scene.proven()
