"""
`tidemark upgrade --check`: whether this build may go on with this log; read-only, with the venue up or down.

Of the same rules, it must reproduce every checkpoint and every event, as far back as snapshot, log and archive reach.
Of newer rules it needs a border, which the old build writes; the old build can prove what lies before it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson

from engine.documents import DocumentUnreadable, document_unpack
from engine.ingest import machine_restore
from engine.publish import Divergence, Last, Publisher
from engine.recovery import LAST_NONE
from scripts.cli import data_option
from scripts.exits import EXIT_DIFFERENT, EXIT_MUST_NOT, ToolStop, ending
from scripts.progress import Going
from scripts.replaying import Replay
from scripts.sources import Sources, place_words
from shared.refusal import Refusal
from shared.rules import RULES_VERSION
from shared.stream_keys import Entry

PAGE = 1_000
CHECKOUT_TIMEOUT_S = 3_600.0


class Checked(NamedTuple):
    """What this build made of a log of its own rules."""

    start: str
    start_seq: int
    seq: int
    entries: int
    checkpoints: int
    differences: list[str]


@click.command("upgrade")
@click.option("--check", "check", is_flag=True, required=True, help="Look and tell; nothing else is there to do.")
@click.option("--to", "to_seq", type=click.IntRange(1), help="Verify up to this entry; to the log's end without it.")
@click.option("--checkout", type=click.Path(file_okay=False, path_type=Path), help="Let this checkout verify instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
@ending
def upgrade(check: bool, to_seq: int | None, checkout: Path | None, as_json: bool, data_dir: Path) -> int:
    """
    Tell whether this build may go on with this log, and what it takes; exit code 0 when it may.

    A build that only repairs a crash at entry X keeps its rules: check it with --to X-1.

    \b
    Examples:
      ./scripts/tidemark upgrade --check
      ./scripts/tidemark upgrade --check --to 41979
      ./scripts/tidemark upgrade --check --checkout ../tidemark-old
    """
    assert check
    with Sources(data_dir) as sources:
        in_force = rules_in_force(sources)
        head = f"rules in force {in_force}, this build {RULES_VERSION}"
        told: dict[str, Any] = {"in_force": in_force, "build": RULES_VERSION}
        if in_force > RULES_VERSION:
            told["verdict"] = "must not start"
            words, code = (
                f"{head}: must not start; there is no way back over a border, use the newer build",
                EXIT_MUST_NOT,
            )
        elif in_force < RULES_VERSION:
            told, words, code = border_told(told, head, checkout, data_dir, to_seq)
        elif checkout is not None:
            told, words, code = other_told(told, head, checkout, data_dir, to_seq)
        else:
            checked = verify(sources, to_seq)
            if checked is None:
                told, words, code = border_told(told, f"{head} asked for by its `lead`", None, data_dir, to_seq)
            else:
                may = not checked.differences
                told |= {**checked._asdict(), "verdict": "may start" if may else "must not start"}
                words = f"{head}: the same · {checked_text(checked)}: {told['verdict']}"
                code = 0 if may else EXIT_DIFFERENT
    click.echo(json.dumps(told) if as_json else words)
    return code


def rules_in_force(sources: Sources) -> int:
    """Return the rules under which the log ends: those of the newest snapshot, or of a `lead` after it."""
    seq, rules = 0, 0
    for candidate in sources.candidates():
        try:
            document = candidate.read()
            seq, rules = document["seq"], int(document["rules"])
            break
        except (DocumentUnreadable, OSError, KeyError):
            continue
    seq = max(seq, sources.log.first() - 1)
    while entries := list(sources.log.read(seq, PAGE)):
        rules = max([rules, *(entry_rules(entry) for entry in entries)])
        seq = entries[-1].seq
    if not rules:
        raise ToolStop(f"nothing in {sources.data_dir} says which rules are in force; --data names another folder")
    return rules


def entry_rules(entry: Entry) -> int:
    """Return the rules that a `genesis` or a `lead` puts in force, 0 of every other entry."""
    name, body = entry.fields[-1] if entry.fields else (b"", b"")
    if name not in (b"genesis", b"lead"):
        return 0
    try:
        rules = orjson.loads(body)["rules"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return 0
    return rules if type(rules) is int else 0


def verify(sources: Sources, to_seq: int | None) -> Checked | None:
    """Return what replaying all that is held under these rules gave, None when their border is still to be written."""
    tip = sources.log.tip()
    last_seq = min(to_seq or tip, tip)
    found = beginning(sources, last_seq)
    if found is None:
        return None
    machine, last, start = found
    streams = sources.log.streams
    going = Replay(sources.log, machine, Publisher(streams, sources.keys, last) if streams is not None else None)
    differences: list[str] = []
    with Going("verify", last_seq - machine.seq) as progress:
        try:
            going.run(last_seq, progress.advance)
            _, trouble = going.events_judge() if to_seq is None else (0, "")
            differences += [trouble] if trouble else []
        except (Divergence, Refusal) as error:
            differences.append(str(error))
    differences += [f"the checkpoint of entry {seq:,} states another hash" for seq in going.different]
    seq = going.machine.seq
    return Checked(start, going.start_seq, seq, seq - going.start_seq, going.verified_count, differences)


def beginning(sources: Sources, last_seq: int) -> tuple[Any, Last, str] | None:
    """Return machine, last output and name of the earliest start under these rules, None when all are of older ones."""
    first = sources.log.first()
    if first == 1 and entry_rules(sources.log.find(1) or Entry(1, [])) == RULES_VERSION:
        return machine_restore(None), LAST_NONE, "the empty state"
    rules: set[int] = set()
    for candidate in reversed(sources.candidates(last_seq)):
        if candidate.seq + 1 < first:
            continue
        try:
            document = candidate.read()
            rules.add(document["rules"])
            if document["rules"] == RULES_VERSION:
                events = document["witness"]["events"]
                last = Last(events["seq"], events["chunk"], events["digest"])
                return machine_restore(document_unpack(document)), last, place_words(candidate.place, candidate.seq)
        except (DocumentUnreadable, OSError, KeyError):
            continue
    if rules and max(rules) < RULES_VERSION:
        return None
    raise ToolStop(
        f"no snapshot of rules {RULES_VERSION} at or before entry {last_seq:,} from which the log is held;"
        " name an entry behind one with --to"
    )


def checked_text(checked: Checked) -> str:
    """Return what was verified, in one line."""
    found = f"; {checked.differences[0]}" if checked.differences else ""
    return (
        f"verified {checked.entries:,} entries from {checked.start}, {checked.checkpoints} checkpoints,"
        f" {len(checked.differences)} differences{found}"
    )


def border_told(
    told: dict[str, Any], head: str, checkout: Path | None, data_dir: Path, to_seq: int | None
) -> tuple[dict[str, Any], str, int]:
    """Return what a build of newer rules needs, and what the old one verified if its checkout was named."""
    steps = (
        "start it beside the running old one, which writes the border and ends;"
        " or start it and run the old build once with `python -m engine --drain`"
    )
    if checkout is None:
        words = f"{head}: border needed · {steps}; --checkout OLD verifies what lies before it"
        return {**told, "verdict": "border needed"}, words, 0
    found, code = other_check(checkout, data_dir, to_seq)
    words = f"{head}: border needed · {found.pop('words')} · {steps}"
    return {**told, "checkout": found, "verdict": "border needed"}, words, code


def other_told(
    told: dict[str, Any], head: str, checkout: Path, data_dir: Path, to_seq: int | None
) -> tuple[dict[str, Any], str, int]:
    """Return what another checkout of the same rules made of the log."""
    found, code = other_check(checkout, data_dir, to_seq)
    words = found.pop("words")
    return {**told, "checkout": found, "verdict": found.get("verdict", "")}, f"{head}: the same · {words}", code


def other_check(checkout: Path, data_dir: Path, to_seq: int | None) -> tuple[dict[str, Any], int]:
    """Return what `upgrade --check` of another checkout says, with its words, and its exit code."""
    if not (checkout / "scripts" / "upgrade.py").is_file():
        raise ToolStop(f"{checkout} is no checkout of a build that can check: name its folder with --checkout")
    command = [sys.executable, "-m", "scripts.cli", "upgrade", "--check", "--json", "--data", str(data_dir.absolute())]
    command += ["--to", str(to_seq)] if to_seq is not None else []
    environment = {**os.environ, "PYTHONPATH": str(checkout.absolute())}
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=CHECKOUT_TIMEOUT_S
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        line = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ToolStop(f"the build in {checkout} cannot check this log: {line}") from None
    count = len(found.get("differences", []))
    verified = f"{found.get('entries', 0):,} entries, {found.get('checkpoints', 0)} checkpoints, {count} differences"
    found["words"] = f"the build in {checkout} (rules {found.get('build')}) verified {verified}: {found.get('verdict')}"
    return found, done.returncode
