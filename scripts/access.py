"""
How a reading tool reaches a venue: through its ready file, or by starting the embedded Redis alone.

Started alone, it holds the venue's lock, so that no second server comes to the same folder, and stops with the tool.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from scripts import embedded, ready, supervisor
from shared.streams import Streams, StreamsError

START_PATIENCE_S = 60.0


class AccessError(Exception):
    """There is no venue to look at; the text says where one was looked for."""


@contextlib.contextmanager
def streams_reach(data_dir: Path) -> Iterator[Streams]:
    """Yield the streams of the venue on this data folder, with its servers running or not."""
    running = ready.ready_read(data_dir)
    url = running.redis_url if running else os.environ.get("REDIS_URL")
    with contextlib.ExitStack() as stack:
        if not url:
            url = stack.enter_context(redis_alone(data_dir))
        streams = Streams(url)
        stack.callback(streams.close)
        try:
            streams.ping()
        except StreamsError as error:
            raise AccessError(f"Redis does not answer: {error}") from error
        yield streams


@contextlib.contextmanager
def redis_alone(data_dir: Path) -> Iterator[str]:
    """Yield the URL of the embedded Redis of a venue that does not run; it ends with the tool."""
    if not (data_dir / "redis").is_dir():
        raise AccessError(f"no venue runs on {data_dir}, and it holds no log; name its folder with --data")
    try:
        lock = supervisor.venue_lock(data_dir)
    except (supervisor.VenueError, OSError) as error:
        raise AccessError(str(error)) from error
    print(f"No venue runs on {data_dir}: its Redis is started alone, to be read.", file=sys.stderr)
    sockets = embedded.socket_folder(data_dir)
    try:
        with redis_process(data_dir, sockets):
            yield embedded.redis_url(sockets)
    finally:
        (data_dir / "lock").unlink(missing_ok=True)
        os.close(lock)


@contextlib.contextmanager
def redis_process(data_dir: Path, sockets: Path) -> Iterator[None]:
    """Run the server as long as the body; two servers on one folder would lose data, hence its own lock too."""
    server = embedded.redis_server(data_dir, sockets)
    held = embedded.lock_take(server.lock_file)
    if held is None:
        raise AccessError(f"another Redis ({embedded.lock_holder(server.lock_file)}) holds {server.lock_file.parent}")
    process = subprocess.Popen(
        server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", preexec_fn=server.prepare,
        pass_fds=(held,), start_new_session=True,
    )  # fmt: skip
    embedded.lock_sign(held, process.pid)
    os.close(held)  # the server's copy holds it from here on
    try:
        url = embedded.redis_url(sockets)
        deadline = time.monotonic() + START_PATIENCE_S
        while not redis_answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AccessError(f"the Redis of {data_dir} does not start; {data_dir}/logs/redis.log may say why")
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
