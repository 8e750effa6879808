"""A persister's page says how far each reader is and what its writes took; each answer stored is told once."""

from types import SimpleNamespace
from typing import Any

from persister.audit import Answered
from persister.history import HistoryStore
from persister.meters import Page
from persister.reader import Position
from shared.metric_names import EXPORTED
from shared.metrics import Times, page_render
from shared.streams import EventsEntry
from tests.metrics_text import read
from tests.persister_doubles import ListLog

ENTRY = EventsEntry(41, 0, 1, b"", b"100", b"[]")


def parts(store: HistoryStore) -> Any:
    """Return the parts of a persister as its page reads them."""
    return SimpleNamespace(
        store=store,
        history=SimpleNamespace(position=Position(70), commits=Times()),
        views=SimpleNamespace(position=Position(90), commits=Times(), entries_count=12),
        archiver=SimpleNamespace(archives=True, position=(195, "")),
        rows=SimpleNamespace(stated_seq=7),
    )


def test_each_reader_is_measured_against_its_own_stream() -> None:
    """History and views follow the events, the archive follows the log; one that reads ahead is not negative."""
    page = Page()
    assert {name for name, _ in read(page_render(page.samples()))} == {"tidemark_build_info"}
    page.parts = parts(HistoryStore(None, "venue", ListLog()))  # type: ignore[arg-type]
    page.tip_seq, page.log_tip_seq = 80, 200
    found = read(page_render(page.samples()))
    for reader, lag in (("history", 10), ("views", 0), ("archive", 5)):
        assert found["tidemark_lag_entries", (("reader", reader),)] == lag, reader
    page.parts.archiver.archives = False
    assert read(page_render(page.samples()))["tidemark_lag_entries", (("reader", "archive"),)] == 193
    page.beat = {
        "role": "persister", "seq": 70, "lag": 10, "since_us": 5, "history_rejects": 0, "generation": 1,
        "archive_seq": 195, "archive_error": "disk full", "trim_log_seq": 3, "trim_events_seq": 2,
        "keyframes_counted": 4,
    }  # fmt: skip
    found = read(page_render(page.samples()))
    assert found["tidemark_archive_trouble", ()] == 1
    assert found["tidemark_trim_seq", (("stream", "events"),)] == 2
    exported = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name, _ in found}
    assert exported == set(EXPORTED["persister"])


def test_rows_are_counted_and_answers_told() -> None:
    """What was written counts by kind; each instruction stored is one line."""
    log = ListLog()
    store = HistoryStore(None, "venue", log)  # type: ignore[arg-type]
    answered = [Answered(ENTRY, 0, 100, "77", "order_place", "OK", "{}")] * 2
    store.stored({"fill": 3, "trade": 0}, answered)
    assert (store.rows.by["fill",], store.rows.by["audit",], store.rows.by["trade",]) == (3, 2, 0)
    line = {"seq": 41, "request_id": "77", "account": 100, "op": "order_place", "result": "OK"}
    assert log.named("instruction_stored") == [line, line]
