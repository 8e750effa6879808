"""
One engine process: find the venue, find the start, run the loop; every way it can end has its exit code.

0 stopped when asked, or drained; 1 a restart finds what this one lost: another venue, a restored log, a log trimmed
beyond it; 78 refused or impossible to start: a restart does not help, somebody has to look; 79 newer rules are in force
and the border is written; 70 a fault of ours (two derivations differ): it stopped before it could do harm.
`--drain` is for an old build of which no engine lives: it never leads, writes the border and ends.
"""

import argparse
import functools
import gc
import os
import signal
import sys
import threading

from engine.link_port import port_of
from engine.wiring import Engine, Outside, engine_run
from shared import clock
from shared.database import Database
from shared.logs import logger
from shared.metrics_server import arguments_add, metrics_serve
from shared.settings import Settings, settings_read
from shared.streams import Streams


class ProcessClock:
    """The real times; a sleep ends early when the process is asked to stop."""

    now_us = staticmethod(clock.now_us)
    monotonic_s = staticmethod(clock.monotonic_s)

    def __init__(self) -> None:
        self.stop = threading.Event()

    def sleep_s(self, seconds: float) -> None:
        """Sleep; raises SystemExit when the process was asked to stop while it waits."""
        if self.stop.wait(seconds):
            raise SystemExit(0)


def outside_real(settings: Settings, streams: Streams) -> Outside:
    """Return what a process touches; what it has loaded by its start is kept out of the garbage collector's rounds."""
    connect = functools.partial(Database.connect, settings.database_url)
    link = functools.partial(port_of, streams)
    return Outside(streams, connect, ProcessClock(), os.getpid(), settled=gc.freeze, link=link)


def main() -> int:
    """Run one engine; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine")
    parser.add_argument("--drain", action="store_true", help="never lead; write the border and end")
    arguments_add(parser)
    asked = parser.parse_args()
    settings = settings_read()
    log = logger("engine", settings.log_level)
    streams = Streams(settings.redis_url)
    engine = Engine(settings, outside_real(settings, streams), log, drain=asked.drain)
    if metrics_serve(asked.metrics_host, asked.metrics_port, engine.samples, settings.metrics_token, log):
        engine.metrics_port = asked.metrics_port
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: engine.stop())
    return engine_run(engine)


if __name__ == "__main__":
    sys.exit(main())
