"""Replies are framed once, wherever their bytes are cut; rubbish is named and nothing is read beyond the end."""

import time

import numpy as np
import pytest

from engine.link_replies import MISSING, RUBBISH, WHOLE, appended_walk, head_walk, replies_walk, state_of
from shared.stream_guard import ServerError
from shared.stream_raw import entries_head, replies_read
from tests.link_double import bulk, entries_reply, raw_of

REPLIES = [
    b"+OK\r\n",
    b"+\r\n",
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    b":-12\r\n",
    b":9223372036854775807\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"$0\r\n\r\n",
    b"*0\r\n",
    b"$5\r\na\r\nb\r\r\n",
    b"*2\r\n$2\r\nk1\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n",
    b"*3\r\n:1\r\n-ERR inside\r\n$-1\r\n",
]
VALUES = [
    b"OK",
    b"",
    ServerError("OOM", "command not allowed when used memory > 'maxmemory'."),
    -12,
    9223372036854775807,
    None,
    None,
    b"",
    [],
    b"a\r\nb\r",
    [b"k1", [[b"1-1", [b"a", b""]]]],
    [1, ServerError("ERR", "inside"), None],
]
RUBBISHES = [
    b"HTTP/1.1 400 Bad Request\r\n",
    b"%2\r\n",
    b"$12a\r\n",
    b"$\r\n",
    b"*\r\n",
    b":\r\n",
    b"$-2\r\n",
    b"*-3\r\n",
    b"$3\r\nabcd\r\n",
    b"$1234567890123\r\n",
    b"*1\r\nx",
    b"\r\n",
    b"\0\0\0\0",
    b":1x",
]


@pytest.mark.parametrize("reply", REPLIES)
def test_every_cut_of_every_reply_waits_for_the_rest(reply: bytes) -> None:
    """However many bytes have come, the walk waits; with the last it ends exactly behind the reply."""
    raw = raw_of(reply + b"+NEXT\r\n")
    for first in range(len(reply)):
        state = state_of(0, 1)
        assert replies_walk(raw, first, state) == MISSING
        assert replies_walk(raw, len(raw), state) == WHOLE
        assert state[0] == len(reply)
    state = state_of(0, 1)
    for end in range(len(reply)):
        assert replies_walk(raw, end, state) == MISSING
    assert replies_walk(raw, len(reply), state) == WHOLE


def test_many_replies_are_one_walk_and_their_values_are_read() -> None:
    """A row of replies is framed as one, and what they say comes back as values, errors too."""
    content = b"".join(REPLIES)
    raw, state = raw_of(b"xxxxx" + content + b":1\r\n"), state_of(5, len(REPLIES))
    assert replies_walk(raw, len(raw), state) == WHOLE
    assert state[0] == 5 + len(content)
    assert replies_read(content, 0, len(REPLIES)) == (VALUES, len(content))


@pytest.mark.parametrize("content", RUBBISHES)
def test_what_is_no_protocol_is_named(content: bytes) -> None:
    """Bytes that no reply begins or goes on with are never waited for."""
    assert replies_walk(raw_of(content), len(content), state_of(0, 1)) == RUBBISH


def test_a_line_without_an_end_is_given_up() -> None:
    """A status that goes on for ever is no status."""
    raw = raw_of(b"+" + b"a" * 70_000)
    assert replies_walk(raw, 60_000, state_of(0, 1)) == MISSING
    assert replies_walk(raw, len(raw), state_of(0, 1)) == RUBBISH


def test_nothing_behind_the_end_is_read() -> None:
    """What lies in the buffer from before, behind what has come, changes nothing."""
    reply = b"$3\r\nabc\r\n"
    for end in range(len(reply)):
        assert replies_walk(raw_of(reply), end, state_of(0, 1)) == MISSING
        assert replies_walk(raw_of(reply[:end]), end, state_of(0, 1)) == MISSING


def test_a_huge_answer_in_many_pieces_is_walked_over_once() -> None:
    """The time for an answer that comes in four thousand pieces grows with its bytes, not with its pieces squared."""
    content = b"*40000\r\n" + b"$10\r\n0123456789\r\n" * 40_000
    raw = raw_of(content)

    def seconds(pieces: int) -> float:
        """Return how long a walk over so many pieces takes."""
        state, began_s = state_of(0, 1), time.perf_counter()
        for end in range(0, len(content), len(content) // pieces):
            assert replies_walk(raw, end, state) == MISSING
        assert replies_walk(raw, len(content), state) == WHOLE
        return time.perf_counter() - began_s

    seconds(4)
    assert seconds(4_000) < 0.05 + 20 * seconds(4)


def transaction(*answers: bytes, queued: bytes = b"+QUEUED\r\n") -> bytes:
    """Return the replies to MULTI, to XADDs, and to EXEC."""
    return b"+OK\r\n" + queued * len(answers) + b"*%d\r\n" % len(answers) + b"".join(answers)


ADDED = bulk(b"1000000000000007-0")


@pytest.mark.parametrize(
    ("reply", "count", "good"),
    [
        (transaction(ADDED, ADDED, ADDED), 3, 1),
        (transaction(ADDED, bulk(b"1-0")), 2, 1),
        (ADDED, 1, 1),
        (b"$-1\r\n", 1, 0),
        (b"-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n", 1, 0),
        (transaction(ADDED, b"$-1\r\n"), 2, 0),
        (transaction(ADDED, b"-ERR The ID specified\r\n", ADDED), 3, 0),
        (b"+OK\r\n-OOM no\r\n+QUEUED\r\n-EXECABORT Transaction discarded\r\n", 2, 0),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n", 2, 0),
        (b"-LOADING Redis is loading\r\n" * 4, 2, 0),
        (transaction(ADDED, ADDED, ADDED), 2, 0),
        (transaction(ADDED, ADDED), 3, 0),
    ],
)
def test_only_a_transaction_that_was_done_looks_done(reply: bytes, count: int, good: int) -> None:
    """Anything but so many ids, one for each XADD, is left to whoever reads the values."""
    raw = raw_of(b"+\r\n" + reply)
    assert appended_walk(raw, 3, len(raw), count) == good


def test_the_head_of_a_stream_s_answer_is_found_or_refused_at_every_cut() -> None:
    """The head of one stream's answer gives the number of its entries; any other reply is told apart at once."""
    reply = entries_reply("{v}:log", [(b"1-1", [b"a", b"b"])] * 12)
    head = raw_of(entries_head("{v}:log"))
    length = len(head) + len(b"12\r\n")
    for end in range(length):
        assert head_walk(raw_of(reply), 0, end, head)[0] == 0
    assert head_walk(raw_of(reply), 0, length, head) == (length, 12)
    for other in (b"*-1\r\n", b"-ERR no\r\n", entries_reply("{v}:events", []), bytes(head) + b"x1\r\n"):
        assert head_walk(raw_of(other), 0, len(other), head)[0] == -1
    assert np.array_equal(head, np.frombuffer(reply[: len(head)], np.uint8))
