"""`tidemark replay`: rebuild any moment from the log, prove every checkpoint on the way, ask what if; read-only."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from engine.ingest import machine_restore
from engine.publish import Divergence, Last, Publisher
from engine.recovery import LAST_NONE
from scripts import snapshot_rows
from scripts import snapshot_tables as tables
from scripts.cli import data_option
from scripts.exits import EXIT_DIFFERENT, EXIT_INTERRUPTED, ToolStop, ending
from scripts.moments import Moment, moment_at, snapshot_before
from scripts.progress import Going
from scripts.replaying import Outcome, Replay
from scripts.snapshot_export import moment_write
from scripts.sources import Sources, place_words, time_text
from scripts.wanted import TimeParam
from scripts.what_if import Change, WhatIfError, difference_print, what_if
from shared.refusal import Refusal


class Asked(NamedTuple):
    """What one replay is to do."""

    first_seq: int | None
    last_seq: int | None
    at_us: int | None
    verify: bool
    account_id: int | None
    export: Path | None
    as_json: bool


class Beginning(NamedTuple):
    """What a replay starts from."""

    machine: Any
    last: Last  # the newest output derived up to there
    words: str
    seq_max: int  # of the snapshot; 0 the empty state


@click.command("replay")
@click.option("--from", "first_seq", type=click.IntRange(0), help="Start from the newest snapshot at or below.")
@click.option("--to", "last_seq", type=click.IntRange(1), help="Stop after this entry; the log's end without it.")
@click.option("--at", "at_us", type=TimeParam(), help="Stop after the last entry at or before 2026-11-20T10:00:03Z.")
@click.option("--verify", is_flag=True, help="Compare every derived event with the events stream, byte by byte.")
@click.option("--account", "account_id", type=click.IntRange(1), help="Print this account as it is at the end.")
@click.option("--export", type=click.Path(dir_okay=False, path_type=Path), help="Write the state: FILE.json, FILE.csv.")
@click.option("--with", "operations", multiple=True, metavar="OP", help="What if this had come first?")
@click.option("--without", type=click.IntRange(1), multiple=True, metavar="ACCOUNT", help="What if it had been idle?")
@click.option("--engine", type=click.Path(file_okay=False, path_type=Path), help="What would this checkout have done?")
@click.option("--archive", type=click.Path(path_type=Path), help="Read the log from this archive alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
@ending
def replay(
    operations: tuple[str, ...], without: tuple[int, ...], engine: Path | None, archive: Path | None, data_dir: Path,
    **options: Any,
) -> int:  # fmt: skip
    """
    Rebuild a state from log and archive; every checkpoint's hash is compared on the way; exit code 1 at a difference.

    With --with, --without or --engine: what would have been different, per account.

    \b
    Examples:
      ./scripts/tidemark replay --verify
      ./scripts/tidemark replay --at 2026-11-20T10:00:03Z --account 101
      ./scripts/tidemark replay --from 40000 --with 'market_set BTC_USDC_PERP fee_taker_ppm=400'
    """
    asked = Asked(**options)
    if asked.last_seq is not None and asked.at_us is not None:
        raise click.UsageError("--to and --at name different ends: give one of them")
    change = Change(operations, without, engine.absolute() if engine is not None else None)
    with Sources(data_dir, archive) as sources:
        if change.asked():
            return compared(sources, asked, change)
        return replayed(sources, asked)


def beginning_find(sources: Sources, asked: Asked) -> Beginning:
    """Return the start: the newest snapshot at or below the one asked for, else as early as anybody's log goes."""
    seq_max = asked.first_seq
    if seq_max is None and asked.at_us is not None:
        seq_max = snapshot_before(sources, asked.at_us)
    if seq_max is None and (seq_max := sources.starts[0]):
        print(
            f"Entries before {seq_max + 1:,} are of older rules, or held by nobody: started from the snapshot there.",
            file=sys.stderr,
        )
    if not seq_max:
        return Beginning(machine_restore(None), LAST_NONE, "empty state", 0)
    start = sources.recovery(seq_max).start()
    words = place_words(start.place, start.machine.seq) if start.machine.seq else start.place
    return Beginning(start.machine, start.last, words, start.machine.seq)


def target_of(sources: Sources, asked: Asked) -> int:
    """Return the last entry to apply, where it is given as a number or not at all; raises ToolStop beyond the end."""
    tip = sources.log.tip()
    if asked.last_seq is not None and asked.last_seq > tip:
        raise ToolStop(f"the log ends at entry {tip:,}: there is no entry {asked.last_seq:,} yet; leave --to out")
    return tip if asked.last_seq is None else asked.last_seq


def replayed(sources: Sources, asked: Asked) -> int:
    """Replay, print, return the exit code."""
    target = target_of(sources, asked)
    beginning = beginning_find(sources, asked)
    publisher = None
    if asked.verify and sources.log.streams is None:
        print("The events are in Redis, which is not read: checkpoints alone are compared.", file=sys.stderr)
    elif asked.verify:
        publisher = Publisher(sources.log.streams, sources.keys, beginning.last)
    going = Replay(sources.log, beginning.machine, publisher)
    trouble, code, unpublished = "", 0, 0
    with Going("replay", target - beginning.machine.seq) as progress:
        try:
            if asked.at_us is None:
                going.run(target, progress.advance)
            else:
                going.run_to_time(asked.at_us, progress.advance)
            unpublished, trouble = going.events_judge()
            code = EXIT_DIFFERENT if trouble else 0
        except (Refusal, Divergence) as error:
            trouble, code = str(error), EXIT_DIFFERENT
        except KeyboardInterrupt:
            trouble, code = f"stopped at {going.machine.seq}; nothing was changed", EXIT_INTERRUPTED
    outcome = going.outcome(sources.venue, beginning.words, unpublished, trouble)
    code = code or (EXIT_DIFFERENT if outcome.checkpoints_different else 0)
    outcome_print(outcome, account_of(going.machine, asked.account_id), asked.as_json)
    if asked.export is not None and code != EXIT_INTERRUPTED:
        place = f"{outcome.start}, then replayed"
        form = "csv" if asked.export.suffix == ".csv" else "json"
        written = moment_write(Moment(going.machine, place), form, asked.export)
        click.echo(f"written: {', '.join(map(str, written))}", err=True)
    return code


def account_of(machine: Any, account_id: int | None) -> dict[str, Any] | None:
    """Return one account with its positions and orders, None when none is asked for; raises ToolStop for a wrong id."""
    if account_id is None:
        return None
    found = snapshot_rows.accounts_rows(machine, account_id)
    if not found:
        raise ToolStop(f"there is no account {account_id} at entry {machine.seq:,}; name another with --account")
    positions, orders = (
        snapshot_rows.positions_rows(machine, account_id),
        snapshot_rows.orders_rows(machine, account_id),
    )
    return {**found[0], "positions": positions, "orders": orders}


def compared(sources: Sources, asked: Asked, change: Change) -> int:
    """Replay as it was and as it might have been; print the difference, return the exit code."""
    target = target_of(sources, asked) if asked.at_us is None else moment_at(sources, asked.at_us).seq
    beginning = beginning_find(sources, asked)

    def machine_make() -> Any:
        if not beginning.seq_max:
            return machine_restore(None)
        return sources.recovery(beginning.seq_max).start().machine

    def entries_read(after_seq: int, count: int) -> Sequence[Any]:
        return sources.log.read(after_seq, count)

    with Going("what if", 2 * (target - beginning.seq_max)) as progress:
        try:
            difference = what_if(machine_make, entries_read, target, change, progress.advance)
        except WhatIfError as error:
            raise ToolStop(f"{error}; `./scripts/tidemark replay --help` has examples") from None
    return difference_print(difference, asked.as_json)


def outcome_print(outcome: Outcome, account: dict[str, Any] | None, as_json: bool) -> None:
    """Print what was found, for people or for programs."""
    fields = outcome._asdict()
    if as_json:
        click.echo(json.dumps(fields if account is None else {**fields, "account": account}))
        return
    fields["log_time"] = time_text(outcome.log_time_us)
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        if value not in (None, "", []):
            text = f"{value:,}" if isinstance(value, int) and name.startswith(("entries", "events")) else value
            click.echo(f"{name.replace('_', ' '):<{width}}  {text}")
    if account is not None:
        tables.account_print(f"Account {account['account']} at entry {outcome.seq:,}", account)
