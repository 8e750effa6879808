"""`tidemark replay`: rebuild a state from the log, prove every checkpoint on the way, compare the events; read-only."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from engine.ingest import BATCH_MAX, Machine, machine_restore
from engine.publish import KEPT_MAX, Divergence, Publisher
from engine.recovery import LAST_NONE, Recovery
from scripts.access import AccessError, streams_reach
from scripts.cli import data_option
from shared.refusal import Refusal
from shared.streams import Keys, StreamsError

EXIT_DIFFERENT = 1
EXIT_IMPOSSIBLE = 2
EXIT_INTERRUPTED = 130
WAIT_FOR_EVENTS_S = 2.0
HASHES_KEPT = 1_000  # keyframes whose checkpoint may still come


class Outcome(NamedTuple):
    """What a replay found."""

    venue: str
    start_seq: int
    seq: int
    log_time_us: int
    state_hash: str
    record_hash: str
    entries: int
    entries_per_s: int
    checkpoints_verified: int
    checkpoints_unknown: int  # of keyframes before the start
    checkpoints_different: list[int]
    events_compared: int | None  # None: not asked for
    events_unpublished: int
    trouble: str


class Replay:
    """One machine on its way through the log."""

    def __init__(self, streams: Any, keys: Keys, machine: Any, publisher: Publisher | None) -> None:
        self.streams = streams
        self.keys = keys
        self.machine = machine
        self.publisher = publisher  # keeps and compares; it never publishes here
        self.start_seq = machine.seq
        self.header = machine.header()
        self.hashes: dict[int, tuple[str, str]] = {}
        self.verified_count = 0
        self.unknown_count = 0
        self.different: list[int] = []
        self.compared_count = 0
        self.started_s = time.monotonic()

    def run(self, last_seq: int, advance: Callable[[int], None]) -> None:
        """Apply everything up to last_seq; raises Refusal at a gap, Divergence at other events."""
        while self.machine.seq < last_seq:
            count = min(BATCH_MAX, last_seq - self.machine.seq)
            entries = self.streams.read_log(self.keys, self.machine.seq, count, None)
            if not entries:
                raise Refusal(f"the log ends at {self.machine.seq}, before {last_seq}")
            self.machine.load(entries)
            while (step := self.machine.step()) is not None:
                if self.publisher is not None:
                    self.publisher.keep(step.outputs)
                self.header_look()
            if self.publisher is not None:
                self.compared_count += self.publisher.compare(self.machine.seq)
                if len(self.publisher.kept) > 2 * KEPT_MAX:
                    raise Refusal(f"{self.missing_words(len(self.publisher.kept))}: no engine keeps that many")
            advance(len(entries))

    def header_look(self) -> None:
        """Hash a keyframe; compare a checkpoint with the hash of its keyframe."""
        header, before = self.machine.header(), self.header
        self.header = header
        if before.keyframe_slot not in (0, header.keyframe_slot):
            self.hashes[header.seq] = self.machine.hashes()
            self.hashes.pop(min(self.hashes) if len(self.hashes) > HASHES_KEPT else -1, None)
        if header.checkpoint != before.checkpoint:
            seq, *claim = header.checkpoint
            own = self.hashes.get(seq)
            if own is None:
                self.unknown_count += 1
            elif own == tuple(claim):
                self.verified_count += 1
            else:
                self.different.append(seq)

    def events_judge(self) -> tuple[int, str]:
        """
        Return how many outputs are not in the events, and what is wrong with that, "" when nothing is.

        A live engine may be a batch behind, so the events are read again for a moment. What stays unpublished is right
        only beyond what the last leader stood for: entries that nobody has answered yet, as after any stop.
        """
        if self.publisher is None:
            return 0, ""
        deadline = time.monotonic() + WAIT_FOR_EVENTS_S
        while True:
            self.compared_count += self.publisher.compare(self.machine.seq)
            if not self.publisher.kept or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        seq = self.published_seq()
        missing_count = sum(output.seq <= seq for output in self.publisher.kept)
        trouble = f"{self.missing_words(missing_count)}: all up to entry {seq} was published" if missing_count else ""
        return len(self.publisher.kept), trouble

    def published_seq(self) -> int:
        """
        Return the entry up to which every output must be in the events.

        A leader publishes before it shows life, and a checkpoint's snapshot waits for the events before it. Events that
        begin nowhere lack even the genesis.
        """
        heartbeat = self.streams.leader_read(self.keys) or {}
        seqs = [self.machine.header().checkpoint[0], int(heartbeat.get("seq", 0))]
        if self.streams.events_tip(self.keys) == (0, 0):
            seqs.append(self.machine.seq)
        return max(seqs)

    def missing_words(self, count: int) -> str:
        """Return in words what the events lack."""
        assert self.publisher is not None
        first, tip = self.publisher.kept[0], self.streams.events_tip(self.keys)
        return f"the events end at {tip[0]}-{tip[1]} and lack {count} outputs from {first.seq}-{first.chunk} on"

    def outcome(self, venue: str, unpublished: int, trouble: str) -> Outcome:
        """Return what was found."""
        seconds = max(1e-6, time.monotonic() - self.started_s)
        state_hash, record_hash = self.machine.hashes()
        entries = self.machine.seq - self.start_seq
        return Outcome(
            venue=venue,
            start_seq=self.start_seq,
            seq=self.machine.seq,
            log_time_us=self.machine.header().log_time_us,
            state_hash=state_hash,
            record_hash=record_hash,
            entries=entries,
            entries_per_s=round(entries / seconds),
            checkpoints_verified=self.verified_count,
            checkpoints_unknown=self.unknown_count,
            checkpoints_different=self.different,
            events_compared=None if self.publisher is None else self.compared_count,
            events_unpublished=unpublished,
            trouble=trouble,
        )


class NoStore:
    """Replay asks Postgres nothing."""

    def snapshot_seqs(self) -> list[tuple[int, str]]:
        """Return no rows."""
        return []


class Quiet:
    """Recovery's log, which the tool does not need."""

    def info(self, event: str, **fields: Any) -> None:
        """Say nothing."""

    def warning(self, event: str, **fields: Any) -> None:
        """Say what was passed over."""
        print(f"{event}: {fields}", file=sys.stderr)


def start_choose(venue: str, folder: Path, first_seq: int | None) -> tuple[Machine, Any]:
    """Return machine and last output to start from: the empty state, or the newest file at or below first_seq."""
    if first_seq is None:
        return machine_restore(None), LAST_NONE
    recovery = Recovery(venue, folder, NoStore(), machine_restore, Quiet())
    recovery.seq_max = first_seq
    start = recovery.start()
    return start.machine, start.last


@click.command("replay")
@click.option("--from", "first_seq", type=click.IntRange(0), help="Start from the newest snapshot file at or below.")
@click.option("--to", "last_seq", type=click.IntRange(1), help="Stop after this entry; the log's end without it.")
@click.option("--verify", is_flag=True, help="Compare every derived event with the events stream, byte by byte.")
@click.option("--account", "account_id", type=click.IntRange(1), help="Print this account as it is at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def replay(
    first_seq: int | None, last_seq: int | None, verify: bool, account_id: int | None, as_json: bool, data_dir: Path
) -> None:
    """Rebuild a state from the log; every checkpoint's hash is compared on the way."""
    try:
        with streams_reach(data_dir) as streams:
            code = replay_run(streams, data_dir, first_seq, last_seq, verify, account_id, as_json)
    except (AccessError, StreamsError) as error:
        click.echo(f"tidemark replay: {error}", err=True)
        code = EXIT_IMPOSSIBLE
    sys.exit(code)


def replay_run(
    streams: Any,
    data_dir: Path,
    first_seq: int | None,
    last_seq: int | None,
    verify: bool,
    account_id: int | None,
    as_json: bool,
) -> int:
    """Replay, print, return the exit code."""
    venue = streams.venue()
    if venue is None:
        raise AccessError("Redis names no venue")
    keys = Keys(venue)
    tip = streams.log_tip(keys)
    target = tip if last_seq is None else last_seq
    if target > tip:
        raise AccessError(f"the log ends at {tip}")
    machine, last = start_choose(venue, data_dir / "snapshots", first_seq)
    publisher = Publisher(streams, keys, last) if verify else None
    going = Replay(streams, keys, machine, publisher)
    trouble, code, unpublished = "", 0, 0
    console = Console(stderr=True)
    columns = (TextColumn("replay"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("replay", total=max(0, target - machine.seq))
        try:
            going.run(target, lambda count: progress.advance(task, count))
            unpublished, trouble = going.events_judge()
            code = EXIT_DIFFERENT if trouble else 0
        except (Refusal, Divergence) as error:
            trouble, code = str(error), EXIT_DIFFERENT
        except KeyboardInterrupt:
            trouble, code = f"stopped at {machine.seq}", EXIT_INTERRUPTED
    outcome = going.outcome(venue, unpublished, trouble)
    code = code or (EXIT_DIFFERENT if outcome.checkpoints_different else 0)
    outcome_print(outcome, machine.account_view(account_id) if account_id is not None else None, as_json)
    return code


def outcome_print(outcome: Outcome, account: dict[str, Any] | None, as_json: bool) -> None:
    """Print what was found, for people or for programs."""
    fields = outcome._asdict()
    if account is not None:
        fields["account"] = account
    if as_json:
        click.echo(json.dumps(fields))
        return
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        if name == "account":
            click.echo(json.dumps(value, indent=2))
        elif value not in (None, "", []):
            text = f"{value:,}" if isinstance(value, int) and name.startswith(("entries", "events")) else value
            click.echo(f"{name.replace('_', ' '):<{width}}  {text}")
