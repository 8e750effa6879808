"""persister/history.py, reader.py without servers: which tables there are, how events are counted, what is no event."""

import re

from persister.history import INSERTS
from persister.reader import EVENTS_PER_CHUNK, events_read
from scripts.restore_rows import HISTORY as RESTORED
from shared.streams import EventsEntry
from shared.wire_events import EVENTS_CHUNK


def test_chunk_size_is_the_engines() -> None:
    """An event's index in its entry is counted with the chunk size that the engine's encoder uses."""
    assert EVENTS_PER_CHUNK == EVENTS_CHUNK


def test_a_restoration_knows_every_table_of_history() -> None:
    """What `tidemark log restore` takes back are the rows of all tables that the persister fills."""
    filled = {match.group(1) for sql in INSERTS.values() if (match := re.search(r"INSERT INTO (\w+)", sql))}
    assert filled == set(RESTORED) - {"persister_rejects"}


def test_events_of_anything() -> None:
    """Whatever bytes an entry's data are, each part of it is an event or a remainder, and nothing raises."""
    for data in (b"", b"[", b"7", b'"x"', b"[1,[],{},null]", b'[{"e":"x"},{"e":1}]', b"\xff", b"[" * 2_000):
        for event in events_read(EventsEntry(1, 0, 1, b"", b"", data)):
            assert (event.body is None) == (event.kind == "")
