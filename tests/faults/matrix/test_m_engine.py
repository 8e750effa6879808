"""Engines that die, sleep and compete: rows 2 to 5 of the matrix."""

import signal
import time

import pytest

from tests.faults.matrix.house import House, stopped_for
from tests.integration.engine_process import until

DEAD_S, DEAD_FULL_S = 2.0, 30.0
SLEEPS_S, SLEEPS_FULL_S = (0.2, 1.5), (0.2, 0.6, 1.0, 3.0, 7.0)


@pytest.fixture(scope="module", autouse=True)
def standby(house: House) -> None:
    """Let a second engine stand by from the beginning."""
    house.engine_more()


def test_zombie_leader(house: House, full: bool) -> None:
    """A leader that slept and wakes publishes nothing that its successor has not: it follows, and all is the twin's."""
    for seconds in SLEEPS_FULL_S if full else SLEEPS_S:
        before = house.leader()
        promoted_count = len(house.facts("leader_promoted"))
        with house.load():
            stopped_for(before, seconds)
            time.sleep(0.5)
        house.trade_and_prove()
        assert house.lives(before)
        if seconds > 1.0:
            # A beat that the sleeper had begun may still name it, until its successor's next, a second later.
            until(lambda before=before: house.leader() is not before, "a successor", 5.0)
            assert len(house.facts("leader_promoted")) == promoted_count + 1
            until(lambda before=before: before.facts("leader_deposed"), "stepping down", 5.0)
    house.unharmed()


def test_leader_key_deleted(house: House) -> None:
    """Without its heartbeat's key a living leader writes it again; whoever tried meanwhile leads, once."""
    for _ in range(3):
        with house.load():
            house.streams.delete(house.keys.leader)
            time.sleep(0.8)
    house.trade_and_prove()
    assert len([beat for beat in house.beats() if beat["role"] == "leader"]) == 1
    house.unharmed()


def test_two_candidates(house: House) -> None:
    """Two standbys that miss their leader at once both try; the later `lead` leads, and nothing is published twice."""
    third = house.engine_more()
    leader = house.leader()
    with house.load():
        leader.end(signal.SIGKILL)
        until(lambda: house.leader() is not leader, "a new leader", 10.0)
        time.sleep(1.2)
    house.trade_and_prove()
    leading = [engine for engine in house.engines if house.lives(engine) and house.role(engine) == "leader"]
    assert len(leading) == 1
    house.unharmed()
    third.end(signal.SIGKILL)


def test_all_dead(house: House, full: bool) -> None:
    """With every engine dead the log goes on, and whoever comes back answers all of it, once."""
    for engine in house.engines:
        engine.end(signal.SIGKILL)
    tip = house.streams.events_tip(house.keys)
    with house.load():
        time.sleep(DEAD_FULL_S if full else DEAD_S)
    assert house.streams.events_tip(house.keys) == tip
    waiting = house.streams.log_tip(house.keys) - tip[0]
    assert waiting > 100
    for engine in house.engines[:2]:
        engine.start()
    house.trade_and_prove()
    house.unharmed()
