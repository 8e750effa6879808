"""
Who ended, kept in Redis beside the rows in Postgres: from when on a session or a key is worth nothing.

The row is the truth, and Postgres may be away, or be brought back as it was an hour ago. So a revocation is written
here as well, until the day it would have expired anyway, and whoever looks at the row looks here too: what either of
the two knows to have ended has ended. Should Redis not take it, the row alone says so. What `tidemark log restore` took
from accounts that it could not keep stands here for the same reason.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from shared.stream_guard import Conversation, ask
from shared.streams import Keys, StreamsAsync, StreamsError

NEVER_US = 2**62
AT_ONCE_US = 0  # whatever the clock of the gateway that looks


class Fence(NamedTuple):
    """What was issued before a moment for an account beyond this one is worth nothing: others have its number."""

    account_id: int
    before_us: int


class Marks(NamedTuple):
    """What Redis knows to have ended."""

    ends_us: int  # from when on a name is worth nothing, NEVER_US when nobody ended it
    fences: tuple[Fence, ...]


UNMARKED = Marks(NEVER_US, ())


def fenced(fences: tuple[Fence, ...], account_id: int, issued_us: int) -> bool:
    """Return whether a restoration took from an account what was issued at a moment."""
    return any(account_id > fence.account_id and issued_us < fence.before_us for fence in fences)


def marks_read(keys: Keys, names: Sequence[str]) -> Conversation[list[Marks]]:
    """Return what is written of each of some names, and of all."""
    texts, kept = yield from ask(["MGET", *(keys.revoked(name) for name in names)], ["GET", keys.accounts_kept])
    fences = tuple(Fence(*pair) for pair in orjson.loads(kept)) if kept else ()
    return [Marks(_moment(text), fences) for text in texts]


def _moment(text: bytes | None) -> int:
    """Return the moment that a mark states, NEVER_US when it states none."""
    return int(text) if text is not None and text.isdigit() and len(text) < 19 else NEVER_US


def mark_write(key: str, ends_us: int, keep_ms: int) -> Conversation[None]:
    """Write from when on a name is worth nothing, for as long as anybody could still present it."""
    yield from ask(["SET", key, b"%d" % ends_us, "PX", keep_ms], writes=True)


class Revocations:
    """The marks of one venue."""

    def __init__(self, streams: StreamsAsync, keys: Keys, now_us: Callable[[], int], log: Any) -> None:
        """Keep what writing needs."""
        self._streams = streams
        self._keys = keys
        self._now_us = now_us
        self._log = log

    async def read(self, names: Sequence[str]) -> list[Marks]:
        """Return what is known to have ended of each of some sessions or keys; raises StreamsError."""
        return await self._streams.converse(lambda _link: marks_read(self._keys, names))

    async def end(self, name: str, ends_us: int, expires_us: int) -> bool:
        """Mark a session or key as ended from a moment on; False when Redis does not take it."""
        keep_ms = (expires_us - self._now_us()) // 1_000 + 1
        if keep_ms <= 0:
            return True
        key = self._keys.revoked(name)
        try:
            await self._streams.converse(lambda _link: mark_write(key, ends_us, keep_ms))
        except StreamsError as error:
            self._log.warning("revocation_mark_failed", reason=type(error).__name__)
            return False
        return True
