"""
The storm: many accounts trade on a recorded market while every process is killed; then everything must agree.

    python -m tests.faults.storm --long --feed ../shared/data/btc_binance_usdm_20240808_tick.jsonl.gz

prints its progress, then one JSON object; exit code 1 when anything differs. `test_storm.py` runs the short one.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import gzip
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson

from engine import core
from engine.ingest import machine_restore
from shared.streams import Entry, EventsEntry, Streams
from tests.faults import storm_checks as checks
from tests.faults.storm_clients import NO_ANSWER, UNKNOWN, Crowd
from tests.faults.storm_rows import history_cursor, rows_check
from tests.faults.storm_venue import FeedWatch, Venue, kills_plan, kills_run, venue_run
from tests.faults.storm_wishes import MARKET

KILLS_LONG = {"engine": 5, "persister": 3, "gateway": 2, "poller": 1, "redis": 1}
KILLS_SHORT = {"engine": 2, "persister": 1, "gateway": 1, "poller": 1, "redis": 1}
FEED_LONG = Path("../shared/data/btc_binance_usdm_20240808_tick.jsonl.gz")
READ_ENTRIES = 5_000
CHUNKS_MAX = 10_000
PROGRESS_S = 2.0
PROBLEMS_SHOWN = 40
SETTLE_S = 45.0  # for what is undecided when the feed has ended: outages, late answers, NOT_ACCEPTED after 5 s
QUIET_S = 45.0  # for a checkpoint (a keyframe comes every 10 s) and for both readers


class Options(NamedTuple):
    """One storm."""

    feed: Path
    speed: float
    accounts: int
    seed: int
    kills: dict[str, int]
    pause_s: float  # of an account between two wishes, on average
    say: Callable[[str], None]


class Recording(NamedTuple):
    """What is known of a feed before it is played."""

    update_ids: frozenset[int]
    seconds: float


def recording_read(path: Path) -> Recording:
    """Return the update ids of a recording, and how long it lasts at its own pace."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        quotes = [orjson.loads(line)["data"] for line in file]
    assert {quote["s"] for quote in quotes} == {MARKET}
    return Recording(frozenset(quote["u"] for quote in quotes), (quotes[-1]["E"] - quotes[0]["E"]) / 1e6)


def storm_run(options: Options, folder: Path) -> dict[str, Any]:
    """Let the storm pass and return what it left: counts, hashes, and `problems`, which must be empty."""
    started_s = time.monotonic()
    recording = recording_read(options.feed)
    with venue_run(folder, options.feed, options.speed) as venue:
        options.say(f"ready after {time.monotonic() - started_s:.1f} s; opening {options.accounts} accounts")
        accounts = venue.accounts_open(options.accounts)
        crowd = Crowd(venue.url, accounts, options.seed, options.pause_s)
        kills: list[str] = []
        asyncio.run(storm_pass(options, venue, recording, crowd, kills))
        options.say(f"the storm is over after {time.monotonic() - started_s:.1f} s; comparing")
        result = compare(venue, recording, crowd)
    codes = collections.Counter(ack.code for ack in crowd.acks)
    return {
        "seconds": round(time.monotonic() - started_s, 1),
        "seed": options.seed,
        "speed": options.speed,
        "accounts": options.accounts,
        "recorded_quotes": len(recording.update_ids),
        "kills": kills,
        "instructions": crowd.wishes_count,
        "answers": len(crowd.acks),
        "answers_unknown": codes[UNKNOWN] + codes[NO_ANSWER],
        "answers_by_code": dict(codes.most_common()),
        **result,
    }


async def storm_pass(
    options: Options, venue: Venue, recording: Recording, crowd: Crowd, killed: list[str]
) -> None:  # fmt: skip
    """Play the feed, trade, kill; return when all of it is over and every instruction is decided."""
    watch = FeedWatch(MARKET, recording.update_ids)
    plan = kills_plan(random.Random(options.seed), options.kills)
    venue.feed_go()
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(crowd.price_watch()),
            group.create_task(progress_say(options, watch, crowd, killed)),
        ]
        trading = group.create_task(crowd.trade())
        feed_max_s = recording.seconds / (options.speed or 1) + 6.0 * len(plan) + 30.0
        async with asyncio.timeout(feed_max_s):
            reading = asyncio.create_task(watch.run(venue))
            await kills_run(venue, plan, lambda: watch.progress, killed)
            await reading
        crowd.stopped.set()
        crowd.deadline_s = time.monotonic() + SETTLE_S
        await trading
        for task in background:
            task.cancel()
    await crowd.http.aclose()


async def progress_say(options: Options, watch: FeedWatch, crowd: Crowd, killed: list[str]) -> None:
    """Say every now and then how far it is."""
    started_s = time.monotonic()
    while True:
        await asyncio.sleep(PROGRESS_S)
        options.say(
            f"{time.monotonic() - started_s:5.0f} s  quotes {len(watch.seen)} of {len(watch.update_ids)}  "
            f"instructions {crowd.wishes_count} ({crowd.pending_count} undecided)  answers {len(crowd.acks)}  "
            f"kills {len(killed)}" + (f" (last: {killed[-1]})" if killed else "")
        )


def compare(venue: Venue, recording: Recording, crowd: Crowd) -> dict[str, Any]:
    """Wait until all is quiet, then compare everything with everything; the venue runs on meanwhile."""
    streams = Streams(venue.redis_url)
    problems = [f"unresolved: {line}" for line in crowd.unresolved]
    problems += [f"internal error: {ack}" for ack in crowd.acks if ack.status == 500]
    try:
        checkpoint_seq, tip = quiet_wait(streams, venue)
        live_view = streams.hash_read(venue.keys.view_market(MARKET))
        tip = max(tip, int(live_view["seq"]))
        log = checks.Log(log_read(streams, venue, tip), MARKET)
        events = checks.Events(events_read(streams, venue, tip))
        stops = Stops(checkpoint_seq, int(live_view["seq"]), int(live_view["book_seq"]), tip)
        state_hash, states, view = replay(log.entries, stops)
        claimed = dict(log.checkpoints)[checkpoint_seq]
        if state_hash != claimed:
            problems.append(f"the engine's state at {checkpoint_seq} has hash {claimed}, the replayed one {state_hash}")
        problems += [f"invariant: {line}" for line in core.invariants(states)]
        problems += checks.responses_check(log, events) + checks.acks_check(crowd.acks, log, events)
        problems += checks.quotes_check(recording.update_ids, log, core.market_views(states)[MARKET])
        problems += checks.market_view_check(live_view, view)
        problems += views_check(streams, venue, states)
        for request, expected in checks.outcomes_expected(log, events).items():
            problems += checks.outcome_check(request, expected, streams.get_json(venue.keys.outcome(*request)))
    finally:
        streams.close()
    found, rows = asyncio.run(rows_check(venue.database_url, venue.keys.venue, events, tip))
    problems += found
    told = tool_verify(venue, checkpoint_seq, state_hash, problems)
    return {
        "entries": tip,
        "quotes_in_log": len(log.quotes),
        "quotes_accepted": view["accepted"],
        "quotes_ignored": view["ignored"],
        "instructions_in_log": len(log.instructions),
        "accepted": sum(each[0]["result"] == checks.OK for each in events.responses.values()),
        "events": sum(map(len, events.by_kind.values())),
        "liquidations": len(events.by_kind["liquidation"]),
        "triggers_fired": len(events.by_kind["trigger_fired"]),
        "rows": rows,
        "checkpoints": len(log.checkpoints),
        "compared_at_seq": checkpoint_seq,
        "state_hash_engine": claimed,
        **told,
        "problems_count": len(problems),
        "problems": problems[:PROBLEMS_SHOWN],
    }


def quiet_wait(streams: Streams, venue: Venue) -> tuple[int, int]:
    """
    Return the seq of a checkpoint of a state after the last instruction, and a tip that both readers have passed.

    The feed's last quote is kept up and the clock ticks on, so the log never stands still; accounts do.
    """
    keys, deadline_s = venue.keys, time.monotonic() + QUIET_S
    last_seq = seen_seq = streams.log_tip(keys)
    checkpoint_seq = 0
    while checkpoint_seq <= last_seq:
        assert time.monotonic() < deadline_s, "no checkpoint after the last instruction"
        time.sleep(0.1)
        for entry in streams.read_log(keys, seen_seq, READ_ENTRIES, None):
            seen_seq = entry.seq
            if entry.fields[-1][0] == b"checkpoint":
                checkpoint_seq = orjson.loads(entry.fields[-1][1])["seq"]
    tip = streams.log_tip(keys)
    while True:
        assert time.monotonic() < deadline_s, "the readers do not catch up"
        leader = streams.leader_read(keys)
        newest = max((entry.seq, entry.chunk) for entry in streams.range_events(keys, (1, 0), (tip, CHUNKS_MAX), 10**6))
        cursor, _ = streams.views_cursor_read(keys)
        views = tuple(map(int, (cursor or "0-0").split("-")))
        history = asyncio.run(history_cursor(venue.database_url, keys.venue))
        if leader and leader["seq"] >= tip and min(views, history) >= newest:
            return checkpoint_seq, tip
        time.sleep(0.1)


def log_read(streams: Streams, venue: Venue, last_seq: int) -> list[Entry]:
    """Return the whole log up to an entry."""
    entries: list[Entry] = []
    while not entries or entries[-1].seq < last_seq:
        first = entries[-1].seq + 1 if entries else 1
        entries += streams.range_log(venue.keys, first, last_seq, READ_ENTRIES)
    return entries


def events_read(streams: Streams, venue: Venue, last_seq: int) -> list[EventsEntry]:
    """Return all events that entries of the log up to `last_seq` caused."""
    entries: list[EventsEntry] = []
    while True:
        after = (entries[-1].seq, entries[-1].chunk + 1) if entries else (1, 0)
        page = streams.range_events(venue.keys, after, (last_seq, CHUNKS_MAX), READ_ENTRIES)
        if not page:
            return entries
        entries += page


class Stops(NamedTuple):
    """After which entries a replay is looked at."""

    checkpoint: int
    view: int  # of the market
    book: int  # of where its orders rest
    tip: int


def replay(entries: list[Entry], stops: Stops) -> tuple[str, Any, dict[str, Any]]:
    """Return the state hash at the checkpoint, the state at the tip, and the market's view with its book at theirs."""
    machine = machine_restore(None)
    state_hash, view, book = "", {}, {}
    for seq in sorted(set(stops)):
        checks.machine_advance(machine, entries, seq)
        if seq == stops.checkpoint:
            state_hash = machine.hashes()[0]
        if seq == stops.view:
            view = machine.market_views()[MARKET]
        if seq == stops.book:
            book = {"book": machine.book_levels(MARKET), "book_seq": seq}
    assert machine.seq == stops.tip
    return state_hash, machine.states, view | book


def views_check(streams: Streams, venue: Venue, states: Any) -> list[str]:
    """Return where an account's view differs from the state."""
    found = []
    for account_id, wanted in checks.views_expected(states).items():
        stored = streams.hash_read(venue.keys.view_account(account_id))
        found += checks.view_check(account_id, wanted, stored)
    return found


def tool_verify(venue: Venue, seq: int, state_hash: str, problems: list[str]) -> dict[str, Any]:
    """Run `tidemark replay --verify` from the empty state, over the whole log and up to the checkpoint's state."""
    words = [("replay", "--verify", "--json"), ("replay", "--verify", "--json", "--to", str(seq))]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda each: venue.tool(*each), words))
    told: list[dict[str, Any]] = []
    for each in done:
        said = json.loads(each.stdout) if each.stdout.strip() else collections.defaultdict(str)
        if each.returncode or said["checkpoints_different"] or said["events_unpublished"] or said["trouble"]:
            problems.append(f"replay --verify: code {each.returncode}, {each.stdout} {each.stderr}")
        told.append(said)
    whole, part = told
    if part["state_hash"] != state_hash:
        problems.append(f"replay --verify --to {seq} ends with {part['state_hash']}, expected {state_hash}")
    return {
        "state_hash_replay": part["state_hash"],
        "replay_checkpoints_verified": whole["checkpoints_verified"],
        "replay_events_compared": whole["events_compared"],
    }


@click.command()
@click.option("--long", "is_long", is_flag=True, help="The full number of kills; without it the suite's.")
@click.option("--feed", type=click.Path(dir_okay=False, path_type=Path), default=FEED_LONG, show_default=True)
@click.option("--speed", type=click.FloatRange(0), default=4.0, show_default=True)
@click.option("--accounts", type=click.IntRange(1), default=200, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--pause", "pause_s", type=click.FloatRange(0.01), default=1.0, help="Seconds between two wishes.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep everything here.")
def main(
    is_long: bool, feed: Path, speed: float, accounts: int, seed: int, pause_s: float, folder: Path | None
) -> None:
    """Run one storm on a recording and print what it left, as JSON."""
    if not feed.is_file():
        click.echo(f"SKIPPED: the recording {feed} is not here; name one with --feed", err=True)
        return
    kills = KILLS_LONG if is_long else KILLS_SHORT
    options = Options(feed.absolute(), speed, accounts, seed, kills, pause_s, lambda line: click.echo(line, err=True))
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-storm-")))
        folder.mkdir(parents=True, exist_ok=True)
        result = storm_run(options, folder.absolute())
    click.echo(json.dumps(result, indent=2))
    sys.exit(1 if result["problems_count"] else 0)


if __name__ == "__main__":
    main()
