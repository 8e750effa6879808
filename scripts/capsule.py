"""`tidemark capsule`: hand over an incident as one file, and execute it anywhere with the core alone."""

import json
import platform
import time
from pathlib import Path
from typing import Any

import click

from scripts.cli import data_option
from scripts.exits import EXIT_DIFFERENT, ToolStop, ending


@click.group()
def capsule() -> None:
    """Pack a stretch of the log with its starting state and hashes into one file; run such a file."""


@capsule.command("create")
@click.option("--from", "first_seq", type=click.IntRange(1), required=True, help="The first entry to pack.")
@click.option("--to", "last_seq", type=click.IntRange(1), required=True, help="The last entry to pack.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="FILE instead of FROM-TO.capsule")
@click.option("--archive", type=click.Path(path_type=Path), help="Read the log from this archive alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
@ending
def create(
    first_seq: int, last_seq: int, output: Path | None, archive: Path | None, as_json: bool, data_dir: Path
) -> int:
    """
    Write one file: the state before the first entry, the entries, what must come of them. Read-only for the venue.

    \b
    Examples:
      ./scripts/tidemark capsule create --from 40000 --to 44000
      ./scripts/tidemark capsule create --from 1 --to 900 -o founding.capsule --archive data/archive/k3v9abcdef
    """
    from scripts.capsule_make import capsule_make

    if last_seq < first_seq:
        raise click.UsageError(f"--to {last_seq} lies before --from {first_seq}")
    path = output or Path(f"{first_seq}-{last_seq}.capsule")
    if path.exists():
        raise ToolStop(f"{path} exists: name another file with -o")
    if not path.absolute().parent.is_dir():
        raise ToolStop(f"there is no folder {path.absolute().parent}: make it, or name another file with -o")
    made = capsule_make(data_dir, archive, first_seq, last_seq, path)
    if as_json:
        click.echo(json.dumps(made))
    else:
        click.echo(
            f"{path}: {made['entries']:,} entries, {made['checkpoints']} checkpoints, {made['events']:,} events,"
            f" {made['bytes']:,} bytes; run it with ./scripts/tidemark capsule run {path}"
        )
    if made["trouble"]:
        click.echo(f"Already here it is not as it was live: {made['trouble']}", err=True)
        return EXIT_DIFFERENT
    return 0


@capsule.command("run")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ending
def run(file: Path, as_json: bool) -> int:
    """
    Execute a capsule: exit code 0 when all hashes are as expected, 1 with the first place where they are not.

    \b
    Examples:
      ./scripts/tidemark capsule run 40000-44000.capsule
      ./scripts/tidemark capsule run incident.capsule --json
    """
    from engine.core import compiled
    from scripts.capsule_file import CapsuleUnreadable, capsule_read, capsule_run, difference_first

    if not file.is_file():
        raise ToolStop(f"there is no file {file}; `./scripts/tidemark capsule create` writes one")
    try:
        held = capsule_read(file)
        if not compiled():
            click.echo("This build is compiled first, once: it takes about a minute.", err=True)
        started_s = time.monotonic()
        ran = capsule_run(held)
    except CapsuleUnreadable as error:
        raise ToolStop(str(error)) from None
    seconds = time.monotonic() - started_s
    difference = difference_first(held.expected, ran, held.header["from"])
    if as_json:
        fields: dict[str, Any] = {**ran._asdict(), "expected": held.expected, "difference": difference}
        click.echo(json.dumps({**fields, "entries": len(held.entries), "seconds": seconds}))
    elif difference:
        click.echo(f"{len(held.entries):,} entries in {seconds:.1f} s; it differs {difference}")
        versions = {name: held.header[name] for name in ("python", "numpy", "numba", "engine_version")}
        click.echo(f"It was made with {versions}; this is Python {platform.python_version()}.")
    else:
        click.echo(
            f"{len(held.entries):,} entries in {seconds:.1f} s: state {ran.state_hash[:8]}… as expected,"
            f" {len(ran.checkpoints)} checkpoints, {ran.events:,} events: the same"
        )
    return EXIT_DIFFERENT if difference else 0
