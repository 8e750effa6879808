"""
Wiring of the poller: settings, the venue, then forwarder, feed, ticks and watch until a signal or a refusal.

0 stopped when asked; 2 settings; 3 Redis names another venue now, or its log was
restored; 78 a refusal, ours or somebody's.
"""

import argparse
import asyncio
import contextlib
import random
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from poller.connection import Feed
from poller.forward import Forwarder
from poller.meters import Page, Working
from poller.timing import Timing
from poller.transport import Connect, web_socket_connect
from poller.venue import ROLE, VenueGuard, VenueLeft, Watch, refusal_file_check, venue_wait
from poller.witness import Witness
from shared.database import Database, DatabaseError
from shared.logs import logger
from shared.metrics_server import arguments_add, metrics_serve
from shared.refusal import EXIT_REFUSED, REFUSAL_INSERT, WAY_OUT, Refusal, RefusalStands, refusal_file_write
from shared.settings import Settings, SettingsError, settings_read
from shared.stream_keys import Keys, StreamsError
from shared.streams import StreamsAsync

EXIT_OK = 0
EXIT_SETTINGS = 2
EXIT_VENUE_LEFT = 3
CONFIRM_S = 0.1
WRITE_DOWN_S = 3.0
FAREWELL_S = 1.0  # for the last entries and `feed_status` down at a clean stop


async def ticks(forwarder: Forwarder, timing: Timing) -> None:
    """
    Have a clock_tick every second, on a schedule of its own, whatever the feed does.

    A tick far ahead of the log's time counts only once the next agrees with it: after an outage the second follows at
    once, so that the venue does not stand still for another second.
    """
    due_s = timing.monotonic_s()
    while True:
        now_s = timing.monotonic_s()
        if now_s >= due_s or forwarder.confirm_due:
            forwarder.tick()
        if now_s >= due_s:
            # A stall skips ticks: the log needs to know what time it is, not how often it was asked.
            due_s = max(due_s + 1.0, now_s)
        await timing.sleep(min(CONFIRM_S, max(0.0, due_s - timing.monotonic_s())))


class Outside(NamedTuple):
    """What a poller touches besides its clock; the defaults are the real ones."""

    streams: Callable[[str], StreamsAsync] = StreamsAsync
    connect: Connect = web_socket_connect
    database: Callable[[str], Awaitable[Database]] = Database.connect
    chance: random.Random | None = None
    token: Callable[[int], str] = secrets.token_hex


async def serve(
    settings: Settings,
    log: Any,
    timing: Timing,
    stop: asyncio.Event,
    outside: Outside | None = None,
    page: Page | None = None,
) -> int:
    """Run the poller until `stop` is set; return the exit code."""
    outside, page = outside or Outside(), page or Page()
    streams = outside.streams(settings.redis_url)
    keys = Keys("")
    stopped = asyncio.create_task(stop.wait())
    tasks: list[asyncio.Task[Any]] = [stopped]
    try:
        refusal_file_check(settings.data_dir)
        wait = asyncio.create_task(venue_wait(streams, timing, log))
        tasks.append(wait)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return EXIT_OK
        keys = Keys(wait.result())
        witness = Witness(streams, keys)
        guard = VenueGuard(streams, keys, settings.data_dir, witness)
        await guard.check()
        forwarder = Forwarder(streams, keys, timing, log, witness, guard.check)
        feed = Feed(
            settings.feed_url,
            settings.markets,
            settings.feed_source,
            forwarder,
            outside.connect,
            timing,
            log,
            price_age_max_ms=settings.price_age_max_ms,
            chance=outside.chance,
            token=outside.token,
        )
        watch = Watch(streams, keys, guard, feed, forwarder, timing, log, outside.token)
        watch.metrics_port = page.metrics_port
        page.working = Working(feed, forwarder, watch)
        log.info("poller_started", venue=keys.venue, source=feed.source, markets=list(settings.markets))
        return await work(stopped, tasks, forwarder, feed.run(), [ticks(forwarder, timing), watch.run()])
    except VenueLeft as error:
        log.error("venue_left", why=str(error))
        return EXIT_VENUE_LEFT
    except RefusalStands as error:
        log.error("refusal_stands", why=str(error))
        return EXIT_REFUSED
    except Refusal as refusal:
        await tasks_end(tasks)  # first of all: nothing more of ours goes into that log
        with contextlib.suppress(StreamsError, TimeoutError):
            if await asyncio.wait_for(streams.restores(keys), WRITE_DOWN_S) != guard.restores:
                log.error("venue_left", why="the log was restored meanwhile", reason=str(refusal))
                return EXIT_VENUE_LEFT
        reason = {**refusal.reason, "process": ROLE, "venue": keys.venue, "time_us": timing.now_us()}
        await refuse(settings, streams, keys, reason, log, outside.database)
        return EXIT_REFUSED
    finally:
        await tasks_end(tasks)
        with contextlib.suppress(StreamsError):
            await streams.close()


async def tasks_end(tasks: list[asyncio.Task[Any]]) -> None:
    """Return when none of the tasks runs any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def refuse(
    settings: Settings,
    streams: StreamsAsync,
    keys: Keys,
    reason: dict[str, Any],
    log: Any,
    connect: Callable[[str], Awaitable[Database]],
) -> None:
    """Write the refusal down in all three places, as far as they can be reached; the file is what must succeed."""
    path = refusal_file_write(settings.data_dir, reason)
    log.error("refused", **reason, help=WAY_OUT.format(file=path, key=keys.refused))
    for place, write in (
        ("Redis", streams.set_json(keys.refused, reason)),
        ("Postgres", refusal_row_write(connect(settings.database_url), keys.venue, reason)),
    ):
        try:
            await asyncio.wait_for(write, WRITE_DOWN_S)
        except (StreamsError, DatabaseError, TimeoutError) as error:
            log.error("refusal_not_written", place=place, error=f"{type(error).__name__}: {error}")


async def refusal_row_write(connected: Awaitable[Database], venue: str, reason: dict[str, Any]) -> None:
    """Write the refusal's row, on the only connection to Postgres that a poller ever opens."""
    database = await connected
    try:
        await database.execute(REFUSAL_INSERT, venue, ROLE, reason)
    finally:
        await database.close()


async def work(
    stopped: asyncio.Task[Any],
    tasks: list[asyncio.Task[Any]],
    forwarder: Forwarder,
    feed_run: Coroutine[Any, Any, None],
    others: list[Coroutine[Any, Any, None]],
) -> int:
    """Run the parts; when the stop comes, end the feed first and give its last entries a moment."""
    feed_task = asyncio.create_task(feed_run)
    parts = [asyncio.create_task(forwarder.run()), feed_task, *(asyncio.create_task(part) for part in others)]
    tasks.extend(parts)
    done, _ = await asyncio.wait([stopped, *parts], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {stopped}:
        task.result()  # parts never end by themselves: this raises
    feed_task.cancel()
    await asyncio.gather(feed_task, return_exceptions=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_S):
            await forwarder.drained()
    return EXIT_OK


async def main_async(settings: Settings, asked: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    log = logger("poller", settings.log_level)
    page = Page()
    if metrics_serve(asked.metrics_host, asked.metrics_port, page.samples, settings.metrics_token, log):
        page.metrics_port = asked.metrics_port
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    code = await serve(settings, log, Timing(), stop, page=page)
    log.info("poller_stopped", code=code)
    return code


def main() -> int:
    """Return the exit code of the process."""
    parser = argparse.ArgumentParser(prog="python -m poller")
    arguments_add(parser)
    asked = parser.parse_args()
    try:
        settings = settings_read()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_SETTINGS
    return asyncio.run(main_async(settings, asked))


if __name__ == "__main__":
    sys.exit(main())
