"""
`tidemark views`: account views and outcomes made anew in Redis, in a new generation; log and history stay as they are.

A persister that lives is asked and does it beside its work; without one it is done here.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from scripts.access import Reached, servers_reach
from scripts.cli import data_option
from scripts.exits import EXIT_IMPOSSIBLE, ToolStop, ending
from shared.clock import monotonic_s, now_us
from shared.database import Database
from shared.refusal import RefusalStands
from shared.streams import Keys, Streams, StreamsAsync

LOOK_S = 0.1
DATABASE_TIMEOUT_S = 5.0


@click.group()
def views() -> None:
    """Account views and outcomes in Redis."""


@views.command("rebuild")
@data_option
@click.option("--patience", "patience_s", default=120.0, show_default=True, help="Seconds to wait for the persister.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@ending
def rebuild(data_dir: Path, patience_s: float, as_json: bool) -> int:
    """
    Make all views anew from the newest snapshot and the events after it.

    Readers see the old ones until the new ones are whole. What outcomes say of the time before the snapshot is what its
    memory of requests holds: whoever asks for an older one is told that it is too late to say.

    \b
    Examples:
      ./scripts/tidemark views rebuild
      ./scripts/tidemark views rebuild --data /srv/tidemark --json
    """
    with servers_reach(data_dir, words="to make its views anew") as reached:
        streams = Streams(reached.redis_url)
        try:
            found = rebuilt(streams, reached, data_dir, patience_s)
        finally:
            streams.close()
    if as_json:
        click.echo(json.dumps(found))
    else:
        click.echo(f"views: generation {found['generation']} is in force, made {from_words(found)} by {found['by']}")
    return 0


def from_words(found: dict[str, Any]) -> str:
    """Return in words what the views were made from."""
    return f"from the snapshot behind events entry {found['from']}" if found["log_time_us"] else "from all events"


def rebuilt(streams: Streams, reached: Reached, data_dir: Path, patience_s: float) -> dict[str, Any]:
    """Return what is in force after a rebuild; raises ToolStop, RefusalStands."""
    venue = streams.venue()
    if venue is None:
        raise ToolStop("Redis names no venue: there is nothing to make views of")
    keys = Keys(venue)
    refusal = streams.get_json(keys.refused)
    if refusal is not None:
        raise RefusalStands(refusal, "Redis")
    before = streams.views_generation_read(keys).number
    by = "the persister"
    if not asked(streams, keys, before, patience_s):
        by = "this tool, because no persister lives"
        asyncio.run(rebuild_here(reached, venue, data_dir, before))
    generation = streams.views_generation_read(keys)
    return {
        "venue": venue,
        "generation": generation.number,
        "from": generation.start,
        "log_time_us": generation.log_time_us,
        "by": by,
    }


def asked(streams: Streams, keys: Keys, before: int, patience_s: float) -> bool:
    """Return whether a persister has put another generation in force; raises ToolStop when it takes too long."""
    deadline_s = monotonic_s() + patience_s
    streams.set_json(keys.views_rebuild, {"asked_us": now_us()})
    while streams.views_generation_read(keys).number == before:
        if streams.get_json(keys.process("persister")) is None:
            return False  # its heartbeat may outlive it by three seconds
        if monotonic_s() > deadline_s:
            raise ToolStop(
                f"the persister has made no new views within {patience_s:g} s, its log says why (logs/persister.log);"
                " the wish stands until it can",
                EXIT_IMPOSSIBLE,
            )
        time.sleep(LOOK_S)
    return True


class Told:
    """Says on stderr what a rebuild would write into a log."""

    def info(self, event: str, **fields: Any) -> None:
        """Say one line."""
        words = " ".join(f"{name}={value}" for name, value in fields.items())
        print(f"{event.replace('_', ' ')} {words}", file=sys.stderr)

    warning = info


async def rebuild_here(reached: Reached, venue: str, data_dir: Path, before: int) -> None:
    """Put a new generation in force; raises ToolStop when there is nothing to make it from."""
    from persister.rebuild import Rebuild
    from persister.views import NoStart

    streams = StreamsAsync(reached.redis_url)
    database = await Database.connect(reached.database_url, timeout_s=DATABASE_TIMEOUT_S)
    try:
        snapshots = data_dir / "snapshots"
        await Rebuild(streams, venue, database, snapshots, Told(), monotonic_s).run(before)
    except NoStart as error:
        raise ToolStop(str(error)) from None
    finally:
        await streams.close()
        await database.close()
