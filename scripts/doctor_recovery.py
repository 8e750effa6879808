"""What `tidemark doctor` says of recovery: engines that stand by, archive, trimming, views, what was lost."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.processes import engines_of, mismatches, whole
from shared.stream_keys import Keys

LAG_SEQ_MAX = 5_000
GOOD, WARNING, BAD = "ok", "warning", "fail"


class Check(NamedTuple):
    """One thing that was looked at; the fix is empty unless something is wrong."""

    name: str
    state: str
    words: str
    fix: str = ""


def judged(name: str, good: bool, words: str, fix: str, state_else: str = BAD) -> Check:
    """Return a check that is good or not."""
    return Check(name, GOOD if good else state_else, words, "" if good else fix)


def recovery_checks(streams: Any, keys: Keys, tip: int) -> Iterator[Check]:
    """Yield what Redis says of standbys, archive, trimming and views."""
    beats = streams.heartbeats_read(keys)
    yield from engines_checks(beats, whole(streams.get_json(keys.engines_wanted)))
    persister = beats.get("persister", {})
    if persister:
        yield archive_check(persister, tip)
        yield trimming_check(persister, streams.log_first(keys))
    generation = streams.get_json(keys.views_generation)
    if isinstance(generation, dict):
        words = f"generation {generation.get('generation')}, rebuilt from {generation.get('from')}"
        yield Check("views", GOOD, words)


def engines_checks(beats: dict[str, dict[str, Any]], wanted: int) -> Iterator[Check]:
    """Yield whether somebody stands by where that is wanted, and whether all engines agree with the checkpoints."""
    engines = engines_of(beats)
    if not engines:
        return
    told = ", ".join(f"{engine['role']} {engine['who']} at {engine['seq']}, lag {engine['lag']}" for engine in engines)
    standbys = [engine for engine in engines if engine["role"] != "leader"]
    fix = "an engine that ended is started again by itself: see logs/engine2.log"
    yield judged("engines", wanted <= 1 or bool(standbys), told, fix, WARNING)
    wrong = [engine["who"] for engine in engines if mismatches(beats, engine["who"])]
    words = (
        f"{', '.join(wrong)} met a checkpoint of another hash"
        if wrong
        else "every checkpoint had the engine's own hash"
    )
    fix = "keep the data folder, then `./scripts/tidemark replay --verify`: one derivation is wrong"
    yield judged("checkpoints", not wrong, words, fix)


def archive_check(persister: dict[str, Any], tip: int) -> Check:
    """Return whether the archive follows the log."""
    if error := persister.get("archive_error"):
        fix = "free some space, or see logs/persister.log; nothing is trimmed meanwhile"
        return Check("archive", BAD, str(error), fix)
    seq = persister.get("archive_seq")
    if seq is None:
        return Check("archive", WARNING, "the persister says nothing of it", "see logs/persister.log")
    good = tip - whole(seq) < LAG_SEQ_MAX
    return judged("archive", good, f"written up to entry {seq}, the log is at {tip}", "see logs/persister.log", WARNING)


def trimming_check(persister: dict[str, Any], log_first: int) -> Check:
    """Return how far both streams are trimmed, and why not further."""
    counted = whole(persister.get("keyframes_counted"))
    words = f"the log begins at {log_first}; {counted} snapshots were read back and count"
    reason = persister.get("trim_reason")
    return Check("trimming", GOOD, words + (f"; {reason}" if reason else ""))


async def rows_checks(database: Any, keys: Keys) -> list[Check]:
    """Return what Postgres says of the audit, and of numbers that are lost for good."""
    checks = []
    head = await database.fetchrow("SELECT seq, rows FROM audit_head WHERE venue = $1", keys.venue)
    if head is not None:
        words = (
            f"{head['rows']} instructions up to entry {head['seq']}; `./scripts/tidemark audit verify` proves the chain"
        )
        checks.append(Check("audit", GOOD, words))
    lost = await database.fetchrow(
        "SELECT count(*) AS times, sum(last_lost - first_lost + 1) AS lost FROM restorations WHERE venue = $1",
        keys.venue,
    )
    if lost is not None and lost["times"]:
        words = f"restored {lost['times']} times, {lost['lost']} numbers are lost for good and stay unused"
        checks.append(Check("restored", GOOD, words))
    return checks


async def numbers_lost(database: Any, keys: Keys, first_seq: int) -> int:
    """Return how many numbers from first_seq on nobody holds and nobody uses."""
    row = await database.fetchrow(
        "SELECT coalesce(sum(last_lost - first_lost + 1), 0)::bigint AS lost FROM restorations"
        " WHERE venue = $1 AND first_lost >= $2 AND last_lost >= first_lost",
        keys.venue,
        first_seq,
    )
    return int(row["lost"]) if row is not None else 0
