"""How a venue comes into being, and when none may."""

import itertools

import pytest

from engine.founding import Founder, FoundingImpossible, venue_random
from shared.database import DatabaseDown
from shared.streams import StreamsDown
from tests.engine_toy import Crash, ToyClock, ToyLog, ToyServer, ToyStreams


class FoundingStore:
    """The venues' table: one live row, and those that ever held a snapshot."""

    def __init__(self) -> None:
        self.live = ""
        self.known: list[str] = []
        self.ended: list[str] = []
        self.down_count = 0

    def venues_ended(self) -> list[str]:
        """Return what a reset has ended."""
        return self.ended

    def venue_found(self, venue: str, founded_us: int) -> tuple[str, list[str]]:
        """Insert or adopt."""
        if self.down_count:
            self.down_count -= 1
            raise DatabaseDown("away")
        if self.known:
            return "", self.known
        self.live = self.live or venue
        return self.live, []


def founder_new(server, store, tmp_path, fault=None, archived=()) -> Founder:
    """Return a founder of an engine process."""
    clock = ToyClock()
    return Founder(
        ToyStreams(server, clock, fault), store, tmp_path, lambda venue: {"v": 1, "venue": venue}, clock, ToyLog(),
        archived=lambda: list(archived),
    )  # fmt: skip


def test_first_engine_founds_and_the_next_adopts(tmp_path):
    """One founds, everybody else finds the pointer."""
    server, store = ToyServer(), FoundingStore()
    first = founder_new(server, store, tmp_path).find()
    second = founder_new(server, store, tmp_path).find()
    assert first.founded and not second.founded and first.venue == second.venue == server.pointer == store.live
    assert len(server.log) == 1 and server.log[0].fields[-1][0] == b"genesis"


@pytest.mark.parametrize("step", ["genesis before", "genesis after", "venue_set before", "venue_set after"])
def test_founding_that_dies_anywhere_is_finished_by_the_next(tmp_path, step):
    """Each step is idempotent, so no venue stays half founded."""
    server, store = ToyServer(), FoundingStore()

    def fault(verb: str, when: str) -> None:
        if step == f"{verb} {when}":
            raise Crash

    with pytest.raises(Crash):
        founder_new(server, store, tmp_path, fault).find()
    found = founder_new(server, store, tmp_path).find()
    assert found.venue == store.live == server.pointer and len(server.log) == 1


def test_founding_waits_for_postgres_and_redis_and_says_so(tmp_path):
    """What is away is waited for; the wait is said once a kind."""
    server, store = ToyServer(), FoundingStore()
    store.down_count = 5
    failures = itertools.count()

    def fault(verb: str, when: str) -> None:
        if next(failures) < 3:
            raise StreamsDown("away")

    founder = founder_new(server, store, tmp_path, fault)
    assert founder.find().founded
    assert [fields["error"].split(":")[0] for fields in founder.log.named("founding_waits")] == [
        "StreamsDown",
        "DatabaseDown",
    ]


@pytest.mark.parametrize("memory", ["file", "row", "archive"])
def test_remembered_venue_is_never_founded_over(tmp_path, memory):
    """A snapshot of an earlier life, as file or row, or its archive, stops founding and says what to do."""
    server, store = ToyServer(), FoundingStore()
    if memory == "file":
        (tmp_path / "snapshot-1000.json").write_bytes(b"{}")
    elif memory == "row":
        store.known = ["oldvenue01"]
    archived = ["oldvenue01"] if memory == "archive" else []
    with pytest.raises(FoundingImpossible, match="tidemark log restore"):
        founder_new(server, store, tmp_path, archived=archived).find()
    assert server.pointer is None and not server.log


def test_archive_of_an_ended_venue_does_not_stop_founding(tmp_path):
    """What a reset has ended stays in the archive and is nobody's money."""
    server, store = ToyServer(), FoundingStore()
    store.ended = ["oldvenue01"]
    assert founder_new(server, store, tmp_path, archived=["oldvenue01"]).find().founded


def test_two_engines_race_to_found(tmp_path):
    """Whatever the order of their steps, both end with the one venue and one genesis."""
    server, store = ToyServer(), FoundingStore()
    other = founder_new(server, store, tmp_path)
    found_other = []

    def fault(verb: str, when: str) -> None:
        if verb == "genesis" and when == "before" and not found_other:
            found_other.append(other.find())

    found = founder_new(server, store, tmp_path, fault).find()
    assert found.venue == found_other[0].venue and not found.founded and found_other[0].founded
    assert len(server.log) == 1


@pytest.mark.parametrize("memory", ["file", "row", "archive"])
def test_who_asks_slowly_adopts_what_was_founded_meanwhile(tmp_path, memory):
    """An engine that found no venue, and then what another has just founded and stored, adopts it instead of ending."""
    server, store = ToyServer(), FoundingStore()
    archive: list[str] = []
    other = founder_new(server, store, tmp_path)
    found_other = []

    def fault(verb: str, when: str) -> None:
        if verb == "venue" and when == "after" and not found_other:
            found_other.append(other.find())
            if memory == "file":
                (tmp_path / "snapshot-1000.json").write_bytes(b"{}")
            elif memory == "row":
                store.known = [store.live]
            else:
                archive.append(store.live)

    slow = founder_new(server, store, tmp_path, fault)
    slow.archived = lambda: list(archive)
    found = slow.find()
    assert found.venue == found_other[0].venue and not found.founded


def test_venue_names_are_ten_letters_and_digits():
    """A venue's id fits into keys and tokens."""
    names = {venue_random() for _ in range(200)}
    assert len(names) == 200 and all(len(name) == 10 and name.isalnum() and name[0].isalpha() for name in names)
