"""
How a tool reaches a venue: through its ready file, or by starting its embedded servers alone.

Started alone, they run under the venue's lock, so that no second server comes to the same folder, and stop with the
tool. Servers that were given by URL are never started; they are asked.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from scripts import embedded, ready, supervisor
from shared.streams import Streams, StreamsError

START_PATIENCE_S = 60.0


class AccessError(Exception):
    """There is no venue to look at; the text says where one was looked for."""


class Reached(NamedTuple):
    """Where the servers of a data folder answer; a URL is empty when that server was not asked for."""

    redis_url: str
    database_url: str
    running: ready.Ready | None  # None: no venue runs on the folder, whether its servers were started here or given


@contextlib.contextmanager
def streams_reach(data_dir: Path) -> Iterator[Streams]:
    """Yield the streams of the venue on this data folder, with its servers running or not."""
    with servers_reach(data_dir, postgres=False) as reached:
        streams = Streams(reached.redis_url)
        try:
            try:
                streams.ping()
            except StreamsError as error:
                raise AccessError(f"Redis does not answer: {error}") from error
            yield streams
        finally:
            streams.close()


@contextlib.contextmanager
def servers_reach(
    data_dir: Path, redis: bool = True, postgres: bool = True, words: str = "to be read", hold: bool = False
) -> Iterator[Reached]:
    """
    Yield where the servers answer; those of a venue that does not run are started alone and end with the tool.

    `hold` keeps everybody else from the folder, also where all servers were given and none is started.
    """
    data_dir = data_dir.absolute()  # the servers run elsewhere
    running = ready.ready_read(data_dir)
    if running is not None:
        if not running.redis_url:
            raise AccessError(f"the venue on {data_dir} is just starting: try again in a moment")
        yield Reached(running.redis_url, running.database_url, running)
        return
    redis_url, database_url = os.environ.get("REDIS_URL", ""), os.environ.get("DATABASE_URL", "")
    with contextlib.ExitStack() as stack:
        start_redis, start_postgres = redis and not redis_url, postgres and not database_url
        if start_redis or start_postgres or hold:
            folder_check(data_dir, start_redis, start_postgres)
            stack.enter_context(folder_held(data_dir))
        if start_redis or start_postgres:
            names = " and ".join(["Redis"] * start_redis + ["Postgres"] * start_postgres)
            verb = "are" if start_redis and start_postgres else "is"
            print(f"No venue runs on {data_dir}: its {names} {verb} started alone, {words}.", file=sys.stderr)
            sockets = embedded.socket_folder(data_dir)
            if start_redis:
                stack.enter_context(redis_process(data_dir, sockets))
                redis_url = embedded.redis_url(sockets)
            if start_postgres:
                stack.enter_context(postgres_process(data_dir, sockets))
                database_url = embedded.database_url(sockets)
        yield Reached(redis_url, database_url, None)


def folder_check(data_dir: Path, redis: bool, postgres: bool) -> None:
    """Raise AccessError unless the folder holds what the servers would serve: nothing is founded by looking."""
    if redis and not (data_dir / "redis").is_dir():
        raise AccessError(f"no venue runs on {data_dir}, and it holds no log; name its folder with --data")
    if postgres and not (embedded.postgres_data(data_dir) / "PG_VERSION").exists():
        raise AccessError(f"no venue runs on {data_dir}, and it holds no database; name its folder with --data")


@contextlib.contextmanager
def folder_held(data_dir: Path) -> Iterator[None]:
    """Hold the venue's lock: nobody else starts servers on this folder meanwhile."""
    try:
        lock = supervisor.venue_lock(data_dir)
    except (supervisor.VenueError, OSError) as error:
        raise AccessError(str(error)) from error
    try:
        yield
    finally:
        (data_dir / "lock").unlink(missing_ok=True)
        os.close(lock)


@contextlib.contextmanager
def redis_process(data_dir: Path, sockets: Path) -> Iterator[None]:
    """Run Redis as long as the body."""
    url = embedded.redis_url(sockets)
    with server_process(data_dir, embedded.redis_server(data_dir, sockets), lambda _pid: redis_answers(url)):
        yield


@contextlib.contextmanager
def postgres_process(data_dir: Path, sockets: Path) -> Iterator[None]:
    """Run PostgreSQL as long as the body."""
    data = embedded.postgres_data(data_dir)
    try:
        server = embedded.postgres_server(data_dir, sockets)
    except (embedded.EmbeddedError, OSError) as error:
        raise AccessError(f"the Postgres of {data_dir} cannot be started: {error}") from error
    with server_process(data_dir, server, lambda pid: ready.postgres_is_up(data, pid)):
        yield


@contextlib.contextmanager
def server_process(data_dir: Path, server: embedded.Server, is_up: Callable[[int], bool]) -> Iterator[None]:
    """Run one server as long as the body; two on one folder would lose data, hence its own lock too."""
    held = embedded.lock_take(server.lock_file)
    if held is None:
        holder = embedded.lock_holder(server.lock_file)
        raise AccessError(f"another {server.name} ({holder}) holds the files of {data_dir}; end it first")
    (data_dir / "logs").mkdir(exist_ok=True)
    with (data_dir / "logs" / f"{server.name}.log").open("ab") as log:
        process = subprocess.Popen(
            server.command, stdout=log, stderr=log, cwd="/", preexec_fn=server.prepare,
            pass_fds=(held,), start_new_session=True,
        )  # fmt: skip
    embedded.lock_sign(held, process.pid)
    os.close(held)  # the server's copy holds it from here on
    try:
        deadline = time.monotonic() + START_PATIENCE_S
        while not is_up(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AccessError(
                    f"the {server.name} of {data_dir} does not start; {data_dir}/logs/{server.name}.log may say why"
                )
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(server.signal_stop)
        process.wait()
        embedded.lock_remove(server.lock_file)


def redis_answers(url: str) -> bool:
    """Return whether Redis takes commands; while it loads its file it does not."""
    streams = Streams(url)
    try:
        streams.ping()
    except StreamsError:
        return False
    finally:
        streams.close()
    return True
