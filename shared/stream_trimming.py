"""
The one verb that takes entries out of the streams: by their ids, never by length, and only of the venue it was told.

A generator without I/O like those of `stream_verbs.py`.
"""

from shared.stream_guard import Conversation, Request, Talk, ask, expect
from shared.stream_keys import VENUE_POINTER, Keys, event_id, log_id

# Entries a stream may lose in one go; Redis serves nobody meanwhile.
TRIM_LIMIT = 10_000


def trim(
    talk: Talk, keys: Keys, restores: int, log_floor: int, events_floor: tuple[int, int]
) -> Conversation[tuple[int, int] | None]:
    """
    Let both streams lose what lies below these floors, in whole nodes; return how many entries of each went.

    None, and nothing done, when Redis names another venue, a refusal stands, or the log was restored since `restores`
    were counted: then the floors are of a history that is not this one. The entries at the floors stay.
    """
    replies = yield from ask(
        ["WATCH", VENUE_POINTER, keys.refused, keys.restores],
        ["GET", VENUE_POINTER],
        ["EXISTS", keys.refused],
        ["GET", keys.restores],
    )
    _, pointer, refused, counted = replies
    if pointer != keys.venue.encode() or refused or int(counted or 0) != restores:
        yield from ask(["UNWATCH"])
        return None
    answers = yield Request(
        [
            ["MULTI"],
            ["XTRIM", keys.log, "MINID", "~", log_id(log_floor), "LIMIT", TRIM_LIMIT],
            ["XTRIM", keys.events, "MINID", "~", event_id(*events_floor), "LIMIT", TRIM_LIMIT],
            ["EXEC"],
        ],
        writes=True,
    )
    results = expect(answers[-1])
    if results is None:
        return None
    return int(expect(results[0])), int(expect(results[1]))
