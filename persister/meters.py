"""The page of metrics of one persister: what its heartbeat says, how far each reader is, what its writes took."""

from collections.abc import Iterator
from typing import Any

from shared import metric_names as names
from shared.beat_metrics import beat_samples
from shared.metrics import Sample, build_sample

HISTORY, VIEWS, ARCHIVE = "history", "views", "archive"


class Page:
    """What the page shows; nothing but the build before there is a venue."""

    def __init__(self) -> None:
        """Start without parts."""
        self.parts: Any = None
        self.beat: dict[str, Any] = {}  # as it was last said
        self.tip_seq = 0  # of the events, as last seen
        self.log_tip_seq = 0
        self.metrics_port = 0  # where it is served; 0: nowhere

    def samples(self) -> Iterator[Sample]:
        """Yield everything."""
        yield build_sample()
        parts = self.parts
        if parts is None:
            return
        if self.beat:
            yield from beat_samples(self.beat["role"], self.beat)
        archive_seq = parts.archiver.position[0] if parts.archiver.archives else parts.rows.stated_seq
        for reader, seq, tip_seq in (
            (HISTORY, parts.history.position.seq, self.tip_seq),
            (VIEWS, parts.views.position.seq, self.tip_seq),
            (ARCHIVE, archive_seq, self.log_tip_seq),
        ):
            yield Sample(names.LAG, (reader,), max(0, tip_seq - seq))
        yield Sample(names.HISTORY_BATCH, (), parts.history.commits)
        yield from parts.store.rows.samples(names.HISTORY_ROWS)
        yield Sample(names.VIEWS_COMMIT, (), parts.views.commits)
        yield Sample(names.VIEWS_ENTRIES, (), parts.views.entries_count)
