"""`tidemark doctor`: every prerequisite and every running part, and for each failing one its fix."""

import asyncio
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from scripts import bootstrap, embedded, kernels, ready
from scripts.cli import data_option
from scripts.doctor_recovery import (
    BAD,
    GOOD,
    WARNING,
    Check,
    judged,
    numbers_lost,
    recovery_checks,
    rows_checks,
)
from scripts.exits import ending
from shared import settings
from shared.database import Database, DatabaseError
from shared.refusal import refusal_file_read
from shared.stream_guard import ask
from shared.streams import Keys, Streams, StreamsError

DISK_BYTES_MIN = 1 << 30
SNAPSHOT_AGE_MAX_S = 60.0
LAG_SEQ_MAX = 5_000
CLOCK_SKEW_MAX_US = 2_000_000
REFUSAL_FIX = "stop the venue, then `./scripts/tidemark log restore --dry-run`; docs/operations.md has the run book"
PROCESSES = ("poller", "engine", "persister", "gateway")


@click.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
@ending
def doctor(data_dir: Path, as_json: bool) -> int:
    """
    Check every prerequisite and every running part; exit code 1 when something fails.

    \b
    Examples:
      ./scripts/tidemark doctor
      ./scripts/tidemark doctor --data /srv/tidemark --json
    """
    checks = [*machine_checks(data_dir), *venue_checks(data_dir)]
    if as_json:
        click.echo(json.dumps([check._asdict() for check in checks], indent=2))
    else:
        for check in checks:
            click.secho(f"{check.state:<8}", fg={GOOD: "green", WARNING: "yellow", BAD: "red"}[check.state], nl=False)
            click.echo(f" {check.name:<11} {check.words}")
            if check.fix and check.state != GOOD:
                click.echo(f"{'':<20} -> {check.fix}")
    return int(any(check.state == BAD for check in checks))


# ---- the machine -----------------------------------------------------------------------------------------------------


def machine_checks(data_dir: Path) -> Iterator[Check]:
    """Yield what can be said without a running venue."""
    version = sys.version.split()[0]
    yield judged("python", sys.version_info >= (3, 11), f"{version} at {sys.prefix}", "install Python 3.11 or newer")
    venv = Path(sys.prefix)
    current = bootstrap.stamp_read(venv).split("\n")[1:] == bootstrap.stamp_wanted(venv).split("\n")[1:]
    words = "the installed packages are those of the lock" if current else "installed from another lock, or by hand"
    yield judged("lock", current, words, "start by ./scripts/run or ./scripts/tidemark, which install it", WARNING)
    is_compiled = kernels.compiled()
    words = "the engine is compiled for this source" if is_compiled else "the engine is not compiled for this source"
    yield judged("kernels", is_compiled, words, "the next ./scripts/run does it, in about a minute", WARNING)
    place = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    free = shutil.disk_usage(place).free
    fix = f"free some space on the disk of {place}, or use --data"
    yield judged("disk", free >= DISK_BYTES_MIN, f"{free / 1e9:.1f} GB free for {data_dir}", fix)
    yield judged("folder", os.access(place, os.W_OK), f"{place} can be written to", "use --data with a folder of yours")
    yield from server_checks(data_dir)
    yield settings_check()
    secret = data_dir / "secret"
    if secret.exists():
        closed = not stat.S_IMODE(secret.stat().st_mode) & 0o077
        yield judged("secret", closed, "the sessions' secret is readable by its owner alone", f"chmod 600 {secret}")


def server_checks(data_dir: Path) -> Iterator[Check]:
    """Yield the versions of the servers that would be started here."""
    if os.environ.get("REDIS_URL"):
        yield Check("redis", GOOD, "REDIS_URL is given: no server is started")
    else:
        yield program_check("redis", lambda: embedded.redis_program(), (6, 2))
    if os.environ.get("DATABASE_URL"):
        yield Check("postgres", GOOD, "DATABASE_URL is given: no server is started")
    else:
        minimum = (embedded.POSTGRES_MAJOR_MIN,)
        yield program_check("postgres", lambda: embedded.postgres_choose(data_dir) / "postgres", minimum)


def program_check(name: str, find: Callable[[], Path], minimum: tuple[int, ...]) -> Check:
    """Return whether a server's program is here and new enough."""
    try:
        program = find()
    except embedded.EmbeddedError as error:
        return Check(name, BAD, str(error), "./scripts/run installs the bundled one on the platforms it exists for")
    version = embedded.version_of(program)
    words = f"{program.name} {'.'.join(map(str, version))}"
    return judged(name, version >= minimum, words, f"{program} does not run here, or is too old")


# ---- the venue -------------------------------------------------------------------------------------------------------


def venue_checks(data_dir: Path) -> Iterator[Check]:
    """Yield what can be said of the venue that runs on this data folder."""
    running = ready.ready_read(data_dir)
    redis_url = running.redis_url if running else os.environ.get("REDIS_URL", "")
    database_url = running.database_url if running else os.environ.get("DATABASE_URL", "")
    refused = data_dir / "refused.json"
    if refused.exists():
        fix = REFUSAL_FIX
        reason = refusal_file_read(data_dir) or {}
        yield Check("refusal", BAD, f"{reason.get('process', 'somebody')} refused: {reason.get('text')}", fix)
    if not redis_url or not database_url:
        yield Check("venue", GOOD, f"none runs on {data_dir}; ./scripts/run starts one")
        return
    keys: Keys | None = None
    tip = 0
    try:
        streams = Streams(redis_url)
        yield from redis_checks(streams)
        venue = streams.venue()
        known = running.venue if running else None
        fix = REFUSAL_FIX if known else "wait for the first engine, or look into logs/engine.log"
        words = f"Redis names {venue or 'no venue'}" + (f", but {known} ran here" if known not in (None, venue) else "")
        yield judged("venue", bool(venue) and known in (None, venue), words, fix)
        if venue:
            keys = Keys(venue)
            tip = streams.events_tip(keys)[0]
            yield from stream_checks(streams, keys, database_url)
            yield from process_checks(streams, keys)
            yield from recovery_checks(streams, keys, streams.log_tip(keys))
    except StreamsError as error:
        yield Check("redis", BAD, f"not usable: {error}", "is the server running? see logs/redis.log")
    try:
        yield from asyncio.run(database_checks(database_url, keys, tip))
    except (DatabaseError, OSError) as error:
        yield Check("postgres", BAD, f"not usable: {error}", "is the server running? see logs/postgres.log")


def redis_checks(streams: Streams) -> Iterator[Check]:
    """Yield what the promises rest on: sync of every write, memory, a clock like ours."""
    before_us = time.time_ns() // 1_000
    info = streams.server_info()
    fsync = info["appendfsync"]
    durable = fsync == "always" and info["appendonly"]
    words = f"version {info['version']}, appendonly {info['appendonly']}, appendfsync {fsync}"
    fix = "set appendonly yes, appendfsync always: anything else loses acknowledged entries in a crash"
    yield judged("fsync", durable, words, fix, WARNING if fsync == "unknown" else BAD)
    skew_us = info["time_us"] - before_us
    words = f"Redis's clock differs by {abs(skew_us) / 1e3:.0f} ms"
    yield judged("clock", abs(skew_us) < CLOCK_SKEW_MAX_US, words, "set both clocks by NTP; appends are refused at 2 s")
    used, limit = info["used_memory"], info["maxmemory"]
    words = f"{used / 1e6:.0f} MB used" + (f" of {limit / 1e6:.0f} MB" if limit else ", no limit set")
    yield judged("memory", not limit or used < 0.8 * limit, words, "raise maxmemory: at 80 % nothing is accepted")


def stream_checks(streams: Streams, keys: Keys, database_url: str) -> Iterator[Check]:
    """Yield whether log and events are whole: an entry was added for each number, nothing was deleted inside."""
    refusal = streams.get_json(keys.refused)
    fix = REFUSAL_FIX
    yield judged("refused", refusal is None, "nobody refuses" if refusal is None else f"{refusal}", fix)
    tip, first = streams.log_tip(keys), streams.log_first(keys)
    added, length = stream_counts(streams, keys.log)
    words = f"entries {first} to {tip}, {length} held"
    lost = lost_count(database_url, keys, first) if length < tip - first + 1 and streams.restores(keys) else 0
    whole = length + lost == tip - first + 1 and added in (None, tip)
    if added is None:
        words += "; this server does not count what was ever added, Redis 7 and Valkey do"
    elif added != tip:
        words += f", but {added} were ever added"
    fix = "entries went or came by a foreign hand: `./scripts/tidemark recovery-plan` says what a restart would do"
    yield judged("log", whole, words, fix)
    events_first, events_tip = streams.events_first(keys), streams.events_tip(keys)
    _, length = stream_counts(streams, keys.events)
    words = f"{length} entries, caused by {events_first[0]} to {events_tip[0]}"
    yield judged("events", events_tip[0] <= tip, words, "the events are ahead of the log: the log lost its tail")


def lost_count(database_url: str, keys: Keys, first_seq: int) -> int:
    """Return how many numbers a restoration left unused, 0 while the database cannot be asked."""

    async def ask_rows() -> int:
        database = await Database.connect(database_url)
        try:
            return await numbers_lost(database, keys, first_seq)
        finally:
            await database.close()

    try:
        return asyncio.run(ask_rows())
    except (DatabaseError, OSError):
        return 0


def stream_counts(streams: Streams, key: str) -> tuple[int | None, int]:
    """Return how many entries a stream ever got (None where the server does not count) and how many it holds."""
    [present] = streams.converse(ask(["EXISTS", key]))
    if not present:
        return 0, 0
    [reply] = streams.converse(ask(["XINFO", "STREAM", key]))
    fields = dict(zip(reply[::2], reply[1::2], strict=False))
    added = fields.get(b"entries-added")
    return (None if added is None else int(added)), int(fields[b"length"])


def process_checks(streams: Streams, keys: Keys) -> Iterator[Check]:
    """Yield whether an engine leads and every process shows that it lives."""
    before: dict[str, Any] = streams.leader_read(keys) or {}
    time.sleep(0.4)
    after: dict[str, Any] = streams.leader_read(keys) or {}
    alive = bool(after) and after.get("counter") != before.get("counter")
    words = f"{after.get('who', 'nobody')} at entry {after.get('seq', 0)}, rules {after.get('rules', '?')}"
    yield judged("leader", alive, words, "no engine leads: see logs/engine.log")
    beats = streams.heartbeats_read(keys)
    for name in PROCESSES:
        beat = beats.get(name) or next((beats[each] for each in beats if each.startswith(f"{name}:")), None)
        words = "no sign of life" if beat is None else f"pid {beat.get('pid')}, lag {beat.get('lag', 0)}"
        yield judged(name, beat is not None, words, f"see logs/{name}.log")


async def database_checks(url: str, keys: Keys | None, tip: int) -> list[Check]:
    """Return what the database says: migrations, the live venue, the snapshot's age, history's lag, refusals."""
    database = await Database.connect(url)
    try:
        version = await database.fetchrow("SELECT current_setting('server_version') AS version")
        checks = [Check("database", GOOD, f"PostgreSQL {version['version'] if version else '?'}")]
        if keys is None:
            return checks
        live = await database.fetchrow("SELECT venue FROM venues WHERE live")
        named = live["venue"] if live else None
        words = f"the database names {named}, Redis {keys.venue}"
        fix = "Redis and the database belong to different venues: give both their own"
        checks.append(judged("pointer", named == keys.venue, words, fix))
        select = "SELECT seq, extract(epoch FROM now() - created_at)::float8 AS age_s FROM engine_snapshots"
        row = await database.fetchrow(select)
        words = f"at entry {row['seq']}, {row['age_s']:.0f} s old" if row else "none yet; one comes every 10 s"
        fresh = row is not None and row["age_s"] < SNAPSHOT_AGE_MAX_S
        fix = "the engine writes one every 10 s while it leads: see logs/engine.log"
        checks.append(judged("snapshot", fresh, words, fix, WARNING))
        cursor = await database.fetchrow("SELECT seq FROM persister_cursor WHERE venue = $1", keys.venue)
        seq = int(cursor["seq"]) if cursor else 0
        words = f"stored up to entry {seq}, the events are at {tip}"
        checks.append(judged("history", tip - seq < LAG_SEQ_MAX, words, "see logs/persister.log", WARNING))
        rejects = await database.fetchrow("SELECT count(*) AS n FROM persister_rejects WHERE venue = $1", keys.venue)
        count = int(rejects["n"]) if rejects else 0
        fix = "the table persister_rejects says which and why; they are kept byte for byte"
        checks.append(judged("rejects", count == 0, f"{count} events could not be stored", fix, WARNING))
        refusals = await database.fetch("SELECT process, reason FROM refusals WHERE venue = $1", keys.venue)
        fix = REFUSAL_FIX
        checks.append(judged("refusals", not refusals, f"{len(refusals)} in the database {refusals or ''}", fix))
        checks += await rows_checks(database, keys)
        return checks
    finally:
        await database.close()


def settings_check() -> Check:
    """Return whether the environment's settings can be used."""
    try:
        settings.settings_read()
    except settings.SettingsError as error:
        return Check("settings", BAD, str(error), "correct or unset that variable")
    return Check("settings", GOOD, "every TIDEMARK_ variable is understood")
