"""
`tidemark log restore`: a log that lost something becomes whole again from the archive, or says for ever what is lost.

Everything stands still meanwhile. What is found is shown before anything is changed; the streams are built beside the
old ones and put in their place in one piece; the refusal is removed at the very end. Run again, it finds nothing to do.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from scripts.cli import data_option
from scripts.exits import EXIT_MUST_NOT, ToolStop, ending
from scripts.progress import Going
from scripts.restore_build import last_seq, restore_run
from scripts.restore_held import Holdings
from scripts.restore_plan import Plan, plan_make
from scripts.restore_rows import Changed, files_restore, refusals_end, rows_restore
from scripts.restore_survey import Place, survey_make
from scripts.stopped import Stopped, confirm, venue_stopped
from shared import stream_surgery
from shared.archive import archive_lock
from shared.clock import now_us
from shared.refusal import refusal_file_read, refusal_file_write
from shared.stream_keys import log_digest

NEXT = "Next: ./scripts/run"


@click.group("log")
def log() -> None:
    """Mend the log of a venue that refused to go on."""


@log.command("restore")
@click.option("--dry-run", is_flag=True, help="Show what would be done, change nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--archive", type=click.Path(file_okay=False, path_type=Path), help="The archive's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
@ending
def restore(dry_run: bool, yes: bool, archive: Path | None, as_json: bool, data_dir: Path) -> int:
    """
    Bring the log back from what log and archive hold; state what nobody holds as lost for ever.

    \b
    Examples:
      ./scripts/tidemark log restore --dry-run
      ./scripts/tidemark log restore --yes --archive /backup/tidemark/archive
    """
    words = "to be read" if dry_run else "to be restored"
    with venue_stopped(data_dir, archive, words) as venue:
        ended_check(venue)
        plan = plan_read(venue)
        told = plan_told(plan)
        if not as_json:
            click.echo(plan_text(plan))
        if dry_run:
            click.echo(json.dumps(told) if as_json else "Nothing was changed (--dry-run).")
            return 0
        if nothing_to_do(venue, plan):
            click.echo(json.dumps({**told, "done": False}) if as_json else f"Nothing to do.\n{NEXT}")
            return 0
        confirm("Go on?", yes)
        changed, aside = restore_do(venue, plan)
        done = {**told, "done": True, "rows_removed": changed.rows, "set_aside": [str(path) for path in aside]}
        click.echo(json.dumps(done) if as_json else changed_text(plan, changed, aside))
    return 0


def ended_check(venue: Stopped) -> None:
    """Raise ToolStop when a reset has ended this venue; it may not come back to life."""
    name = venue.keys.venue
    if name in venue.store.venues_ended():
        text = f"the venue {name} was ended by a reset (./scripts/tidemark reset finishes one that was interrupted)"
        raise ToolStop(f"{text}; ./scripts/run founds a new one", EXIT_MUST_NOT)


def plan_read(venue: Stopped) -> Plan:
    """Return what would be done."""
    survey = survey_make(venue.streams, venue.store, venue.data_dir, venue.keys)
    holdings = Holdings(venue.streams, venue.keys, venue.archive, survey.remembered)
    with Going("replay", holdings_size(holdings)) as going:
        return plan_make(venue.streams, survey, holdings, going.advance)


def holdings_size(holdings: Holdings) -> int:
    """Return about how many entries a replay passes: those of the log, or of the archive without it."""
    tip = max(holdings.log_tip, holdings.archive_tip)
    return max(1, tip - max(0, holdings.log_first - 1))


def nothing_to_do(venue: Stopped, plan: Plan) -> bool:
    """Return whether streams, pointer and refusals are as they should be."""
    named = venue.streams.venue() == venue.keys.venue
    whole = (
        plan.log_right
        and plan.events_right
        and plan.archive_right
        and plan.history_right_to is None
        and not plan.bases_false
    )
    return whole and named and not plan.survey.refusals


@contextlib.contextmanager
def archive_held(venue: Stopped) -> Iterator[None]:
    """Keep every archiver out meanwhile; raises ToolStop when one is in, asleep it may be: it has no heartbeat then."""
    if not venue.archive.is_dir():
        yield
        return
    held = archive_lock(venue.archive, venue.keys.venue)
    if held is None:
        text = f"another process holds the archive's files in {venue.archive}, a persister that sleeps, it may be"
        raise ToolStop(f"{text}; end it, then run this again. Nothing was changed", EXIT_MUST_NOT)
    try:
        yield
    finally:
        os.close(held)


def restore_do(venue: Stopped, plan: Plan) -> tuple[Changed, list[Path]]:
    """Do what is planned; a refusal stands in file and key until the last step."""
    with archive_held(venue):
        return restore_held(venue, plan, now_us())


def restore_held(venue: Stopped, plan: Plan, time_us: int) -> tuple[Changed, list[Path]]:
    """Do it, with the archive's lock in hand."""
    reason = {"text": "`tidemark log restore` is at work, or was interrupted: run it again", "process": "tidemark"}
    standing = refusal_file_read(venue.data_dir) or {**reason, "venue": venue.keys.venue, "time_us": time_us}
    # What the next try must know when this one dies after the log was put in place.
    refusal_file_write(venue.data_dir, {**standing, "restore_from": plan.changed_seq})
    venue.streams.converse(stream_surgery.refusal_keep(venue.keys, reason))
    with Going("derive", plan.derived.entries) as going:
        restore_run(venue.streams, plan, time_us, going.advance)
    changed = rows_restore(venue.streams, venue.store, plan, time_us)
    aside, files_removed = files_restore(venue.data_dir, venue.archive, plan)
    refusals_end(venue.streams, venue.store, venue.data_dir, venue.keys.venue, venue.keys.refused)
    return changed._replace(snapshots=changed.snapshots + files_removed), aside


def range_text(first: int, last: int) -> str:
    """Return a range of entries as people read it."""
    return f"{first:,}" if first == last else f"{first:,}-{last:,}"


def plan_text(plan: Plan) -> str:
    """Return what was found and what it means, line by line."""
    walk, derived, survey, holdings = plan.walk, plan.derived, plan.survey, plan.holdings
    base = f"the snapshot at {plan.base.seq:,} ({plan.base.place})" if plan.base is not None else "the empty state"
    lines = [f"venue {survey.keys.venue}: the log holds {end_text(holdings.log_first, holdings.log_tip)}"]
    lines[0] += f", the archive ends at {holdings.archive_tip:,}" if holdings.archive_tip else ", there is no archive"
    for place, reason in survey.refusals:
        lines.append(f"refused ({place}): {reason.get('text', reason)}")
    lines += [f"archive, passed over: {words}" for words in holdings.damage]
    if not holdings.log_tip:
        lines.append(f"the log begins anew at {walk.first_seq:,}")
    elif walk.changed_seq:
        lines.append(f"log and archive agree to {walk.changed_seq - 1:,}")
    else:
        lines.append("the log says what the archive says")
    if walk.archive or walk.differs:
        lines.append(f"out of the archive: {walk.archive:,} entries the log lacks, {walk.differs:,} it holds otherwise")
    if holdings.log_tip > plan.kept_to:
        cut = range_text(plan.kept_to + 1, holdings.log_tip)
        lines.append(f"cut from the log: {cut}, which do not follow from what is held")
    lines.append(lost_text(plan))
    lines.append(f"replayed from {base}: {derived.entries:,} entries, {derived.checkpoints} checkpoints agree")
    if plan.events_right:
        lines.append(f"events: {derived.equal:,} compared, all as derived; they stay")
    else:
        lines.append(
            f"events: {derived.equal:,} are as derived, {derived.differing:,} are not,"
            f" {derived.missing + derived.unpublished:,} are missing: derived anew"
        )
    if plan.bases_false:
        seqs = ", ".join(f"{seq:,}" for seq in sorted({base.seq for base in plan.bases_false}))
        lines.append(f"snapshots of entries that are not kept: {seqs}; removed")
    if plan.history_right_to is not None:
        lines.append(f"history: its rows behind {plan.history_right_to:,} are not of this log; written anew")
    if plan.outcomes:
        lines.append(f"outcomes that are no longer true: {len(plan.outcomes):,}, removed")
    return "\n".join(lines)


def end_text(first: int, tip: int) -> str:
    """Return from where to where a log runs."""
    return range_text(first, tip) if tip else "nothing"


def lost_text(plan: Plan) -> str:
    """Return what nobody holds, and who remembers it."""
    if plan.lost is None:
        return "lost for good: none"
    first, last = plan.lost
    holders = sorted({memory.holder for memory in plan.survey.remembered if memory.seq == plan.known_to})
    words = f"lost for good: {range_text(first, last)} (remembered by {', '.join(holders)}); the log goes on at"
    return words + f" {last + 1:,} with `restored`"


def changed_text(plan: Plan, changed: Changed, aside: list[Path]) -> str:
    """Return what was done."""
    lines = [f"Restored: the log ends at {last_seq(plan):,}."]
    if changed.rows or changed.snapshots or changed.cursor is not None:
        cursor = f"; it goes on behind {place_text(changed.cursor)}" if changed.cursor is not None else ""
        lines.append(f"History: {changed.rows:,} rows removed{cursor}. Snapshots: {changed.snapshots} removed.")
    lines += [f"Set aside: {path}" for path in aside]
    if plan.survey.refusals:
        lines.append("The refusal is removed.")
    return "\n".join([*lines, NEXT])


def place_text(place: Place) -> str:
    """Return a place in the events as people read it."""
    return f"{place[0]:,}-{place[1]}"


def plan_told(plan: Plan) -> dict[str, Any]:
    """Return the plan for programs."""
    return {
        "venue": plan.survey.keys.venue,
        "log": [plan.holdings.log_first, plan.holdings.log_tip],
        "archive_tip": plan.holdings.archive_tip,
        "archive_damage": plan.holdings.damage,
        "refusals": [reason.get("text", "") for _, reason in plan.survey.refusals],
        "base_seq": plan.base.seq if plan.base is not None else 0,
        "first_seq": plan.walk.first_seq,
        "kept_to": plan.kept_to,
        "kept_digest": log_digest(plan.walk.last).hex(),
        "changed_seq": plan.walk.changed_seq,
        "from_archive": plan.walk.archive,
        "differing": plan.walk.differs,
        "lost": list(plan.lost) if plan.lost is not None else None,
        "checkpoints": plan.derived.checkpoints,
        "events_equal": plan.derived.equal,
        "events_derived": 0 if plan.events_right else plan.derived.outputs,
        "log_right": plan.log_right,
        "events_right": plan.events_right,
    }
