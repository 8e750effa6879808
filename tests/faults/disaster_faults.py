"""The disasters, done to the servers of a venue that stands still: deleted, cut back, changed, restored from before."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import redis

from persister.archive import archive_cut
from scripts.access import Reached, servers_reach
from shared.stream_keys import Keys, event_id, log_id
from tests.faults.disaster_venue import Stopped, part_back

Fault = Callable[[Reached, Keys], None]


def suffer(stopped: Stopped, fault: Fault) -> None:
    """Do a fault to the servers of a stopped venue."""
    with servers_reach(stopped.data_dir) as reached:
        fault(reached, Keys(stopped.venue))


def client_of(reached: Reached) -> Any:
    """Return a plain client, for what no tool of ours would ever do."""
    return redis.Redis.from_url(reached.redis_url)


def everything_flushed(reached: Reached, _keys: Keys) -> None:
    """FLUSHALL."""
    client_of(reached).flushall()


def log_deleted(reached: Reached, keys: Keys) -> None:
    """DEL of the log."""
    client_of(reached).delete(keys.log)


def events_deleted(reached: Reached, keys: Keys) -> None:
    """DEL of the events."""
    client_of(reached).delete(keys.events)


def entry_deleted(reached: Reached, keys: Keys) -> None:
    """XDEL of one entry near the end, after the newest snapshot: what lies before that nobody reads again."""
    client = client_of(reached)
    tip = int(client.xrevrange(keys.log, count=1)[0][0].split(b"-")[1])
    client.xdel(keys.log, log_id(min(tip, max(newest_snapshot(reached) + 1, tip - 99))))


def events_trimmed(reached: Reached, keys: Keys) -> None:
    """The events as they are an hour later: trimmed to a few."""
    client_of(reached).xtrim(keys.events, maxlen=30, approximate=False)


def event_deleted(reached: Reached, keys: Keys) -> None:
    """XDEL of the newest entry of the events."""
    client = client_of(reached)
    client.xdel(keys.events, client.xrevrange(keys.events, count=1)[0][0])


def number_skipped(reached: Reached, keys: Keys) -> None:
    """XSETID: the next entry would get a number far beyond the last."""
    client = client_of(reached)
    tip = int(client.xrevrange(keys.log, count=1)[0][0].split(b"-")[1])
    client.execute_command("XSETID", keys.log, log_id(tip + 1_000))


def digit_changed(reached: Reached, keys: Keys) -> None:
    """One digit of the newest entry that the archive holds and a snapshot stands on."""
    client = client_of(reached)
    entries = client.xrange(keys.log)
    client.delete(keys.log + ":copy")
    for stream_id, fields in entries:
        if stream_id == log_id(newest_snapshot(reached)):
            fields = {**fields, b"ts": b"%d" % (int(fields[b"ts"]) + 1)}
        client.xadd(keys.log + ":copy", fields, id=stream_id)
    client.rename(keys.log + ":copy", keys.log)


def newest_snapshot(reached: Reached) -> int:
    """Return the entry that the row of Postgres stands on."""

    async def ask() -> int:
        connection = await asyncpg.connect(reached.database_url)
        try:
            return int(await connection.fetchval("SELECT seq FROM engine_snapshots"))
        finally:
            await connection.close()

    return asyncio.run(ask())


def tail_lost(stopped: Stopped, log_count: int, archive_count: int) -> tuple[int, int]:
    """Cut the log and its events by some entries and the archive by others; return the new ends of both."""
    ends = (0, 0)

    def cut(reached: Reached, keys: Keys) -> None:
        nonlocal ends
        client = client_of(reached)
        gone = [stream_id for stream_id, _ in client.xrevrange(keys.log, count=log_count)]
        client.xdel(keys.log, *gone)
        end = int(client.xrevrange(keys.log, count=1)[0][0].split(b"-")[1])
        for stream_id, _ in client.xrange(keys.events, min=event_id(end + 1, 0)):
            client.xdel(keys.events, stream_id)
        tip = end + log_count
        archive_cut(stopped.data_dir / "archive", keys.venue, tip - archive_count)
        ends = end, tip - archive_count

    suffer(stopped, cut)
    return ends


def tables_dropped(reached: Reached, _keys: Keys) -> None:
    """An empty database where the venue's was."""

    async def run() -> None:
        connection = await asyncpg.connect(reached.database_url)
        try:
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        finally:
            await connection.close()

    asyncio.run(run())


def back_in_time(stopped: Stopped, early: Path, part: str) -> None:
    """One server's files as they were long ago, as after a restored backup."""
    part_back(early, stopped.data_dir, part)
