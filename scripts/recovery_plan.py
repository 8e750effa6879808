"""`tidemark recovery-plan`: what an engine that starts now would load, read and refuse; it starts nothing itself."""

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import click

from engine.recovery import BorderNeeded, RulesUnknown
from engine.trimmed import archive_seq
from engine.witness import VenueOther, gap_refusal, postgres_memories, views_memories, witness_check
from scripts.cli import data_option
from scripts.exits import EXIT_DIFFERENT, ToolStop, ending
from scripts.moments import BATCH
from scripts.sources import Sources, place_words
from shared.archive import ArchiveDamaged
from shared.refusal import Refusal, refusal_file_read
from shared.stream_keys import follows
from shared.streams import StreamsError

TRIED_ENTRIES = 20_000  # of the tail are applied, to know how fast this machine is


class Plan(NamedTuple):
    """What a start would do."""

    venue: str
    start: str
    start_seq: int
    first_seq: int  # of the tail; above last_seq when there is none
    last_seq: int
    from_archive: int  # entries of the tail that the log no longer holds
    seconds: float
    refusals: list[str]  # why an engine would not start; empty: it would
    passed_over: list[str]  # snapshots that do not verify


class Heard:
    """Recovery's log, kept."""

    def __init__(self) -> None:
        self.passed_over: list[str] = []

    def info(self, event: str, **fields: Any) -> None:
        """Keep nothing of what is as it should be."""

    def warning(self, event: str, **fields: Any) -> None:
        """Keep what was passed over."""
        self.passed_over.append(f"{event.replace('_', ' ')} {fields.get('seq', '')} {fields.get('error', '')}".strip())


@click.command("recovery-plan")
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ending
def recovery_plan(data_dir: Path, as_json: bool) -> int:
    """
    Say which snapshot a start would load, what it would replay and how long; exit code 1 when it would refuse.

    \b
    Examples:
      ./scripts/tidemark recovery-plan
      ./scripts/tidemark recovery-plan --data /srv/tidemark --json
    """
    with Sources(data_dir) as sources:
        plan = plan_make(sources)
    if as_json:
        click.echo(json.dumps({**plan._asdict(), "seconds": round(plan.seconds, 2)}))
    else:
        for line in plan.passed_over:
            click.echo(f"passed over: {line}")
        click.echo(" · ".join(words_of(plan)))
        for line in plan.refusals:
            click.echo(f"refusal: {line}")
        if plan.refusals:
            click.echo(
                "Next: ./scripts/tidemark log restore --dry-run says what can be mended; docs/operations.md how."
            )
    return EXIT_DIFFERENT if plan.refusals else 0


def words_of(plan: Plan) -> list[str]:
    """Return the plan in a few words each."""
    count = sum_of(plan)
    words = [f"start: {plan.start}{' (verified)' if plan.start_seq else ''}"]
    if count:
        place = "log" if not plan.from_archive else "archive" if plan.from_archive == count else "archive and log"
        words.append(f"replay {plan.first_seq:,}-{plan.last_seq:,} ({count:,} entries, {place})")
        words.append(f"about {plan.seconds:.1f} s")
    else:
        words.append("nothing to replay")
    return [*words, "refusal: none"] if not plan.refusals else words


def sum_of(plan: Plan) -> int:
    """Return how many entries the tail has."""
    return max(0, plan.last_seq - plan.first_seq + 1)


def plan_make(sources: Sources) -> Plan:
    """Return what a start would do now; raises AccessError or StreamsError when nobody can know."""
    if not sources.streams.venue():
        known = [candidate.seq for candidate in sources.newest()] if (sources.data_dir / "snapshots").is_dir() else []
        words = f"Redis names no venue, but snapshots up to entry {max(known):,} are here" if known else ""
        if not words:
            raise ToolStop(f"there is no venue in {sources.data_dir} yet: the next ./scripts/run founds one")
        return Plan(sources.venue, "none", 0, 1, 0, 0, 0.0, [words, *standing(sources)], [])
    heard = Heard()
    refusals = standing(sources)
    recovery = sources.recovery()
    recovery.log = heard
    try:
        start = recovery.start()
    except (RulesUnknown, BorderNeeded) as error:
        seq = sources.log.tip()
        return Plan(sources.venue, "none", 0, 1, seq, 0, 0.0, [*refusals, str(error)], heard.passed_over)
    postgres = recovery.look()
    if postgres.get("refusal"):
        refusals.append(f"one is written down in Postgres: {text_of(postgres['refusal'])}")
    refusals += witnesses(sources, start, postgres)
    seq, tip, first = start.machine.seq, sources.log.tip(), int(sources.streams.log_first(sources.keys))
    seconds, gap = tried(sources, start.machine, tip)
    words = place_words(start.place, seq) if seq else start.place
    from_archive = max(0, min(first - 1, tip) - seq)
    return Plan(sources.venue, words, seq, seq + 1, tip, from_archive, seconds, refusals + gap, heard.passed_over)


def standing(sources: Sources) -> list[str]:
    """Return the refusals that are written down in the data folder and in Redis."""
    found = []
    if reason := refusal_file_read(sources.data_dir):
        found.append(f"one is written down in the data folder: {text_of(reason)}")
    if reason := sources.streams.get_json(sources.keys.refused):
        found.append(f"one is written down in Redis: {text_of(reason)}")
    return found


def text_of(reason: Any) -> str:
    """Return a written refusal's sentence."""
    return str(reason.get("text", reason)) if isinstance(reason, dict) else str(reason)


def witnesses(sources: Sources, start: Any, postgres: dict[str, Any]) -> list[str]:
    """Return what log or events lack of what snapshot, cursors and archive remember."""
    memories = [*start.memories, *postgres_memories(postgres)]
    memories += views_memories(*sources.streams.views_cursor_read(sources.keys))
    archived_seq = archive_seq(postgres)
    try:
        witness_check(
            sources.streams,
            sources.keys,
            sources.venue,
            memories,
            lambda seq: archived_seq >= seq or sources.log.archive_tip() >= seq,
        )
    except Refusal as error:
        return [str(error)]
    except VenueOther as error:
        return [f"{error}: this folder's files are of another life"]
    return []


def tried(sources: Sources, machine: Any, tip: int) -> tuple[float, list[str]]:
    """
    Return about how many seconds the tail takes, and what cannot be read of it.

    Its beginning is applied, to know how fast this machine is; where archive and log meet, one entry is looked at.
    """
    seq, log = machine.seq, sources.log
    started_s, applied = time.monotonic(), 0
    try:
        while machine.seq < tip and applied < TRIED_ENTRIES:
            entries = log.read(machine.seq, BATCH)
            if not entries:
                break
            machine.load(entries)
            while machine.step() is not None:
                pass
            applied += len(entries)
        first = int(sources.streams.log_first(sources.keys))
        before = log.find(first - 1) if machine.seq < first - 1 else None
        if machine.seq < first - 1 and before is None:
            raise gap_refusal(max(machine.seq, log.archive_tip()), first)
        for entry in log.read(first - 1, 1):
            if machine.seq < first - 1 and not follows(first - 1, entry):
                raise gap_refusal(first - 1, entry.seq)
    except Refusal as error:
        return 0.0, [str(error)]
    except ArchiveDamaged as error:
        return 0.0, [f"the archive is damaged: {error}"]
    except StreamsError as error:
        print(f"Redis does not answer any more: {error}", file=sys.stderr)
    rate = max(1.0, applied / max(1e-3, time.monotonic() - started_s))
    return max(0, tip - seq) / rate, []
