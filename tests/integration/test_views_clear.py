"""Two view readers that both find no cursor: what one clears away must never be what the other has written."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared import stream_views
from shared.stream_views import SCAN_COUNT
from shared.streams import Keys, Streams

KEYS = Keys("library0aa")
OLD_COUNT = 2 * SCAN_COUNT


@pytest.fixture
def streams(redis_url: str) -> Iterator[Streams]:
    """Lend a client of an empty Redis."""
    client = Streams(redis_url)
    yield client
    client.close()


def views_write(streams: Streams, before: str | None, after: str, accounts: range) -> bool:
    """Write a view for each of these accounts, and the cursor's move."""
    hashes: Any = {KEYS.view_account(account): {"account": b"new"} for account in accounts}
    return streams.views_commit(KEYS, (before, after), b"digest", hashes, {}, lambda _there, _new: True)


def clear_with(streams: Streams, meanwhile: Callable[[], None]) -> None:
    """Clear the views as a slow reader does, with something happening right after its first removal."""
    slow: Any = stream_views.views_clear(None, KEYS)  # type: ignore[arg-type]
    request: Any = next(slow)
    waiting = True
    while request is not None:
        replies = streams.exchange(request)
        if waiting and request.commands[0][0] == "DEL":
            waiting = False
            meanwhile()
        try:
            request = slow.send(replies)
        except StopIteration:
            request = None


def test_a_slow_reader_removes_nothing_of_a_fast_one(streams: Streams) -> None:
    """A reader that is still clearing when another has begun anew stops, and that one's views stay whole."""
    accounts = range(100, 100 + OLD_COUNT)
    assert views_write(streams, None, "5-0", accounts)

    def meanwhile() -> None:
        """Do what the fast reader does between two steps of the slow one: clear all, and begin anew."""
        streams.views_clear(KEYS)
        assert views_write(streams, None, "1-0", accounts)

    clear_with(streams, meanwhile)
    assert streams.views_cursor_read(KEYS)[0] == "1-0"
    missing = [account for account in accounts if not streams.hash_read(KEYS.view_account(account))]
    assert missing == []
    assert not views_write(streams, None, "2-0", range(100, 101)), "the slow one sees that the cursor is another's"
