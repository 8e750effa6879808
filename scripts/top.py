"""`tidemark top`: a live view of a running venue in the terminal; it looks every second and never writes."""

import json
import os
import signal
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import click

from scripts import ready
from scripts.cli import data_option
from scripts.exits import ToolStop, ending
from scripts.top_facts import Look, Venue, Window, figures_of, look, venue_of
from shared.settings import settings_read
from shared.streams import Streams, StreamsError

WINDOW_S = 10.0  # rates and quantiles are of this long
ONCE_S = 1.0


@click.command("top")
@data_option
@click.option("--once", is_flag=True, help="One screen, of the second that it looks for.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of the screen.")
@click.option("--every", "every_s", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds.")
@ending
def top(data_dir: Path, once: bool, as_json: bool, every_s: float) -> None:
    """
    Show a running venue: who lives, prices and their age, orders a second and how long they take.

    \b
    Examples:
      ./scripts/tidemark top
      ./scripts/tidemark top --once --json
    """
    venue = venue_find(data_dir)
    try:
        if once:
            show_once(venue, as_json)
        elif as_json:
            show_lines(venue, every_s)
        elif sys.stdout.isatty():
            show_live(venue, every_s)
        else:
            show_once(venue, as_json)
    finally:
        venue.close()


def venue_find(data_dir: Path) -> Venue:
    """Return the venue that runs on a folder, or the one of REDIS_URL; raises ToolStop."""
    running = ready.ready_read(data_dir)
    if running is None and not os.environ.get("REDIS_URL"):
        raise ToolStop(f"no venue runs on {data_dir}; start one with ./scripts/run")
    streams = Streams(running.redis_url if running else settings_read().redis_url)
    try:
        venue = venue_of(running, streams)
    except StreamsError as error:
        streams.close()
        raise ToolStop(f"Redis does not answer: {error}; `./scripts/tidemark doctor` looks at it") from None
    if venue is None:
        streams.close()
        raise ToolStop("Redis names no venue yet; an engine founds it within seconds of its first start")
    return venue


def show_once(venue: Venue, as_json: bool) -> None:
    """Print one screen or one line."""
    before = look(venue)
    time.sleep(ONCE_S)
    figures = figures_of(venue, Window(before, look(venue)))
    if as_json:
        click.echo(json.dumps(figures))
    else:
        from rich.console import Console

        from scripts.top_screen import WIDTH, screen

        Console(width=WIDTH).print(screen(figures))
    if not figures["redis"]:
        raise ToolStop("Redis does not answer; `./scripts/tidemark doctor` looks at it")


def show_lines(venue: Venue, every_s: float) -> None:
    """Print a line each interval until Ctrl-C."""
    looks, stop = deque([look(venue)]), interrupted()
    while not stop.wait(every_s):
        click.echo(json.dumps(figures_next(venue, looks)))


def show_live(venue: Venue, every_s: float) -> None:
    """Show the screen until Ctrl-C."""
    from rich.live import Live

    from scripts.top_screen import screen

    looks, stop = deque([look(venue)]), interrupted()
    with Live(screen(figures_of(venue, Window(None, looks[0]))), screen=True, auto_refresh=False) as live:
        while not stop.wait(every_s):
            live.update(screen(figures_next(venue, looks)), refresh=True)


def interrupted() -> threading.Event:
    """Return what Ctrl-C sets from now on: raised as an exception it may land where nobody hears of it."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda _number, _frame: stop.set())
    return stop


def figures_next(venue: Venue, looks: deque[Look]) -> dict[str, Any]:
    """Return the figures of now and some seconds ago; forgets what lies further back."""
    looks.append(look(venue))
    while len(looks) > 2 and looks[-1].monotonic_s - looks[1].monotonic_s >= WINDOW_S:
        looks.popleft()
    return figures_of(venue, Window(looks[0], looks[-1]))
