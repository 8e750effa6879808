"""The engine's link: one send, answers in their order, and every way a connection can go wrong taken calmly."""

import gc
from typing import Any

import pytest

from engine.link import ROOM_FIRST, ROOM_KEPT_MAX, Frame, Link, Question, entries_expect, head_of
from shared.stream_guard import ServerError
from shared.stream_keys import StreamsDown, StreamsRefused, StreamsUnknown
from tests.link_double import LOST, SILENT, Losses, ScriptedPort, bulk, entries_reply, link_of

KEY = "{v}:log"
HEAD = head_of(KEY)
ENTRIES = [(b"1-%d" % seq, [b"ts", b"%d" % seq, b"d", b"x" * seq]) for seq in range(1, 40)]
BROKEN: list[tuple[Any, ...]] = [
    (LOST,),
    (b"$5\r\nab", LOST),
    (SILENT,),
    (b"$5\r\nab", SILENT),
    (ConnectionResetError("reset"),),
    (b"HTTP/1.1 400 Bad Request\r\n",),
    (b"$3\r\nabcd\r\n",),
]


class Takes:
    """Remembers the frames that were taken, as values."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.frames: list[Frame] = []

    def take(self, frame: Frame) -> None:
        """Remember one frame of one reply."""
        self.values += frame.values(1)
        self.frames.append(frame)


def question(text: bytes, takes: Takes, **options: Any) -> Question:
    """Return a question."""
    return Question((text,), takes.take, **options)


def test_several_questions_are_one_send_and_their_answers_come_in_order() -> None:
    """Everything asked goes out in one piece; each answer reaches whoever asked, however the bytes are cut."""
    replies = b"+first\r\n" + bulk(b"second") + entries_reply(KEY, ENTRIES)
    for size in (1, 2, 3, 7, 100, 10_000):
        link, port, losses = link_of(*(replies[at : at + size] for at in range(0, len(replies), size)))
        takes = Takes()
        link.ask(question(b"a", takes))
        link.ask(question(b"b", takes))
        link.ask(question(b"c", takes, head=HEAD))
        link.send()
        assert port.sent == [b"abc"]
        link.take_all()
        assert takes.values[:2] == [b"first", b"second"]
        assert takes.values[2] == [[KEY.encode(), [[stream_id, texts] for stream_id, texts in ENTRIES]]]
        assert (takes.frames[2].entries, losses.count, list(link.asked)) == (len(ENTRIES), 0, [])


def test_entries_are_found_as_they_stand() -> None:
    """The answer about a stream says where each entry begins; its id and its texts are read from there."""
    link, _, _ = link_of(b":7\r\n" + entries_reply(KEY, ENTRIES))
    takes = Takes()
    link.ask(question(b"", takes))
    link.ask(question(b"", takes, head=HEAD))
    link.take_all()
    frame = takes.frames[1]
    assert [frame.stream_id(index) for index in range(frame.entries)] == [stream_id for stream_id, _ in ENTRIES]
    assert [frame.entry(index) for index in (0, 20, 38)] == [list(ENTRIES[index]) for index in (0, 20, 38)]


def test_an_answer_taken_before_it_was_sent_is_sent_first() -> None:
    """Nobody waits for the answer to something that was never sent."""
    link, port, _ = link_of(b"+OK\r\n")
    takes = Takes()
    link.ask(question(b"now", takes))
    link.take()
    assert (port.sent, takes.values) == ([b"now"], [b"OK"])


@pytest.mark.parametrize("pieces", BROKEN)
@pytest.mark.parametrize(("writes", "error"), [(False, StreamsDown), (True, StreamsUnknown)])
def test_a_connection_that_breaks_is_closed_counted_and_forgotten(pieces: Any, writes: bool, error: Any) -> None:
    """An end, a silence, a reset and rubbish are lost connections; what was written may have been applied."""
    link, port, losses = link_of(*pieces)
    takes = Takes()
    link.ask(question(b"read", takes, head=HEAD))
    link.ask(question(b"write", takes, writes=writes))
    with pytest.raises(error):
        link.take_all()
    assert (port.closed, losses.count, takes.values, list(link.asked)) == (True, 1, [], [])
    link.ask(question(b"again", takes))
    with pytest.raises(StreamsDown):
        link.take_all()


@pytest.mark.parametrize(("writes", "error"), [(False, StreamsDown), (True, StreamsUnknown)])
def test_a_send_that_breaks_may_have_arrived(writes: bool, error: Any) -> None:
    """Whether bytes of a send that failed reached the server nobody knows."""
    link, port, losses = link_of()
    port.deaf = BrokenPipeError("broken")
    link.ask(question(b"x", Takes(), writes=writes))
    with pytest.raises(error):
        link.send()
    assert (port.closed, losses.count) == (True, 1)


@pytest.mark.parametrize("failure", [ConnectionRefusedError("no"), TimeoutError("hangs"), StreamsDown("away")])
def test_a_server_that_takes_no_connection_is_away(failure: Exception) -> None:
    """Nothing was lost that was there: opening fails as StreamsDown and counts no loss."""

    def connect() -> Any:
        raise failure

    losses = Losses()
    link = Link(connect, 5.0, losses.lost)
    with pytest.raises(StreamsDown):
        link.open()
    assert losses.count == 0


@pytest.mark.parametrize("code", ["LOADING", "READONLY", "OOM", "NOAUTH", "MOVED", "NOPERM", "WRONGTYPE", "ERR"])
def test_an_error_that_the_server_answers_is_an_answer(code: str) -> None:
    """The connection lives on, the next answer is taken, and reading says that it was refused."""
    link, port, losses = link_of(b"-%b some words\r\n+OK\r\n" % code.encode())
    takes = Takes()
    link.ask(question(b"", takes, head=HEAD))
    link.ask(question(b"", takes))
    link.take_all()
    assert takes.values == [ServerError(code, "some words"), b"OK"]
    assert (port.closed, losses.count) == (False, 0)
    with pytest.raises(StreamsRefused, match=code):
        entries_expect(takes.frames[0])


def test_no_entries_are_no_entries_and_other_answers_are_none() -> None:
    """Nothing found is fine; a status where entries should be is no answer to the question."""
    link, _, _ = link_of(b"*-1\r\n+OK\r\n" + entries_reply("{v}:events", ENTRIES))
    takes = Takes()
    for _ in range(3):
        link.ask(question(b"", takes, head=HEAD))
    link.take()
    entries_expect(takes.frames[0])
    assert (takes.frames[0].entries, takes.frames[0].places) == (0, None)
    for index in (1, 2):
        link.take()
        with pytest.raises(StreamsDown):
            entries_expect(takes.frames[index])


@pytest.mark.parametrize(
    "torn", [b"*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n:5\r\n", b"*3\r\n", b"+OK\r\n", b"*2\r\n:1\r\n"]
)
def test_entries_that_are_none_break_the_connection(torn: bytes) -> None:
    """A list whose parts are no entries is not believed, nor is anything that follows it."""
    link, _, losses = link_of(entries_reply(KEY, [])[:-4] + b"*1\r\n" + torn + b"*2\r\n" * 10)
    link.ask(question(b"", Takes(), head=HEAD))
    with pytest.raises(StreamsDown):
        link.take()
    assert losses.count == 1


@pytest.mark.parametrize("count", [b"11", b"999999999999"])
def test_more_entries_than_were_asked_for_are_rubbish(count: bytes) -> None:
    """No room is taken for entries that nobody asked for; who says so is not believed."""
    link, _, losses = link_of(entries_reply(KEY, [])[:-3] + count + b"\r\n", b"*2\r\n" * 100)
    link.ask(question(b"", Takes(), head=HEAD, entries_max=10))
    with pytest.raises(StreamsDown):
        link.take()
    assert losses.count == 1
    assert len(link.places) < 10_000


def test_an_answer_of_a_hundred_megabytes_is_taken_and_its_room_given_back() -> None:
    """The buffer grows as far as an answer needs and goes back when the next begins; what follows is in order."""
    huge = 100_000_000
    link, _, _ = link_of(b"$%d\r\n" % huge, bytes(huge), b"\r\n+next\r\n", b"+last\r\n")
    sizes: list[int] = []
    takes = Takes()
    link.ask(Question((b"",), lambda frame: sizes.append(frame.end - frame.begin)))
    link.ask(question(b"", takes))
    link.ask(question(b"", takes))
    link.take()
    assert sizes == [huge + len(b"$100000000\r\n\r\n")]
    assert len(link.view) > ROOM_KEPT_MAX
    link.take_all()
    assert takes.values == [b"next", b"last"]
    assert len(link.view) == ROOM_FIRST
    gc.collect()


def test_answers_that_fill_the_buffer_again_and_again_stay_whole() -> None:
    """Over many turns the buffer is used again from its front, and no answer is cut or mixed."""
    each = bulk(b"0123456789" * 5_000)
    replies = each * 100
    link, _, _ = link_of(*(replies[at : at + 70_001] for at in range(0, len(replies), 70_001)))
    takes = Takes()
    for _ in range(100):
        link.ask(question(b"", takes))
    link.take_all()
    assert takes.values == [b"0123456789" * 5_000] * 100
    assert len(link.view) <= 4 * ROOM_FIRST


def test_a_new_connection_knows_nothing_of_the_old_one() -> None:
    """What was asked, sent or received before is forgotten with its connection."""
    ports = [ScriptedPort(b"+old\r\n+ol"), ScriptedPort(b"+new\r\n")]
    given = iter(ports)
    link = Link(lambda: next(given), 5.0, Losses().lost)
    takes = Takes()
    link.open()
    link.ask(question(b"one", takes))
    link.ask(question(b"two", takes))
    link.take()
    link.ask(question(b"never sent", takes))
    link.open()
    link.ask(question(b"three", takes))
    link.take_all()
    assert takes.values == [b"old", b"new"]
    assert (ports[0].closed, ports[1].sent) == (True, [b"three"])
