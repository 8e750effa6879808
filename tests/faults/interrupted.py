"""A restoration that dies right after its n-th exchange with a server, again and again, until one comes to its end."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from engine.rows import RowStore
from scripts.access import servers_reach
from scripts.restore import nothing_to_do, plan_read, restore_do
from scripts.stopped import Stopped as Standing
from shared.database import Database
from shared.stream_keys import Keys
from shared.streams import Streams
from tests.faults.disaster_venue import Stopped

T = TypeVar("T")
EXCHANGES_MAX = 200


class Died(BaseException):
    """The process is gone; nothing of it runs on."""


class Counter:
    """How many exchanges are left before the process dies."""

    def __init__(self) -> None:
        self.left: int | None = None  # None: it lives

    def exchanged(self) -> None:
        """Count one exchange that took effect."""
        if self.left is not None:
            if self.left == 0:
                raise Died
            self.left -= 1


class DyingStreams(Streams):
    """Redis, until the counter says otherwise."""

    def __init__(self, url: str, counter: Counter) -> None:
        super().__init__(url)
        self.counter = counter

    def converse(self, conversation: Any) -> Any:
        """Drive one verb to its result, then die if it is time."""
        result = super().converse(conversation)
        self.counter.exchanged()
        return result


class DyingStore(RowStore):
    """Postgres, until the counter says otherwise."""

    def __init__(self, url: str, venue: str, counter: Counter) -> None:
        super().__init__(lambda: Database.connect(url), venue, 60.0)
        self.counter = counter

    def call(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do the work, then die if it is time."""
        result = super().call(work)
        self.counter.exchanged()
        return result


def restore_interrupted(stopped: Stopped) -> int:
    """Restore a stopped venue, dying after every exchange in turn; return how many times it died."""
    with servers_reach(stopped.data_dir) as reached:
        for exchanges in range(EXCHANGES_MAX):
            counter = Counter()
            streams = DyingStreams(reached.redis_url, counter)
            store = DyingStore(reached.database_url, stopped.venue, counter)
            keys, archive = Keys(stopped.venue), stopped.data_dir / "archive"
            venue = Standing(stopped.data_dir, archive, keys, streams, store, reached.database_url)
            try:
                plan = plan_read(venue)
                counter.left = exchanges
                restore_do(venue, plan)
            except Died:
                continue
            finally:
                streams.close()
            counter.left = None
            assert nothing_to_do(venue, plan_read(venue))
            return exchanges
    raise AssertionError(f"not restored within {EXCHANGES_MAX} exchanges")
