"""What operators are shown: what the leading engine states, the processes, the markets, what happened last; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.prices import ticker_body
from gateway.processes import ENGINE, LEADER, PERSISTER, Beats
from gateway.ring import Held, Parsed
from shared.codes import ACCOUNT_FIRST

EVENTS_MAX = 50
ENTRIES_LOOK = 400  # of the newest entries, in which as many events are looked for
MONEY_NONE = "0.000000"
ENGINE_TEXTS = ("seq", "who", "events_last", "money_sum", "money_seq", "snapshot_seq")
ENGINE_NUMBERS = (
    "log_time_us",
    "written_us",
    "accounts",
    "positions",
    "orders",
    "triggers",
    "snapshot_age_ms",
    "snapshot_pause_us",
    "snapshots_skipped",
)
LISTED = ("nearest", "ladder", "house", "funds")
MARKET_KEYS = (
    "market",
    "state",
    "source",
    "simulated",
    "mark",
    "bid",
    "ask",
    "quote_age_ms",
    "mark_age_ms",
    "open_interest",
)
# A heartbeat's numbers of entries, told as text like everywhere else.
BEAT_SEQS = frozenset({"seq", "views_seq", "snapshot_seq", "archive_seq", "trim_log_seq", "trim_events_seq"})
# Field of the persister's heartbeat -> what it is called here.
READERS = {
    "seq": "history_seq",
    "views_seq": "views_seq",
    "archive_seq": "archive_seq",
    "archive_error": "archive_error",
    "trim_log_seq": "trim_log_seq",
    "trim_events_seq": "trim_events_seq",
    "trim_reason": "trim_reason",
}
# What concerns a whole market or the venue; candles and public trades say nothing that is not told otherwise.
VENUE_EVENTS = frozenset(
    {
        "market_changed",
        "venue_changed",
        "liquidation",
        "adl",
        "deficit",
        "insurance_changed",
        "funding_settled",
        "funding_skipped",
    }
)
WHY = "./scripts/tidemark why {subject}:{number}"


def engine_body(fields: Mapping[str, str], now_us: int) -> dict[str, Any] | None:
    """Return what the leading engine stated last and how long ago, None when none ever did; not known is left out."""
    if not fields:
        return None
    body: dict[str, Any] = {name: fields[name] for name in ENGINE_TEXTS if fields.get(name)}
    body |= {name: int(fields[name]) for name in ENGINE_NUMBERS if fields.get(name, "").isdigit()}
    if "written_us" in body:
        body["age_ms"] = max(0, now_us - body["written_us"]) // 1_000
    return body


def listed_body(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return who is nearest to liquidation, the liquidation ladders, the house's positions and the venue's funds."""
    return {name: orjson.loads(fields[name]) for name in LISTED if fields.get(name)}


def money_trouble(fields: Mapping[str, str]) -> str | None:
    """Return in words that all money does not add up, None when it does or nobody knows."""
    total = fields.get("money_sum") or MONEY_NONE
    if total == MONEY_NONE:
        return None
    return f"all cells add up to {total} USDC, not to 0, after entry {fields.get('money_seq')}: keep the data and look"


def processes_body(beats: Beats) -> list[dict[str, Any]]:
    """Return the heartbeat of every process that lives, the leading engine's first, then by name."""
    before = f"{ENGINE}:{beats.get(ENGINE, {}).get('who')}"  # under which the leader beat until it was promoted
    living = {name: beat for name, beat in beats.items() if name != before}
    rows = [
        {"name": name} | {key: beat_value(key, value) for key, value in beat.items()} for name, beat in living.items()
    ]
    return sorted(rows, key=lambda row: (row.get("role") != LEADER, row["name"]))


def beat_value(key: str, value: Any) -> Any:
    """Return a field of a heartbeat, the number of an entry as text."""
    return str(value) if key in BEAT_SEQS and isinstance(value, int) else value


def readers_body(beats: Beats) -> dict[str, Any]:
    """Return how far history, views, archive and trimming are, empty when no persister lives."""
    beat = beats.get(PERSISTER, {})
    return {name: beat_value(key, beat[key]) for key, name in READERS.items() if beat.get(key) not in (None, "")}


def market_body(market: Mapping[str, Any], view: Mapping[str, str], now_us: int) -> dict[str, Any]:
    """Return how a market's prices stand; what the engine has not seen yet is left out."""
    ticker = ticker_body(market["market"], view, now_us)
    row = {name: ticker[name] for name in MARKET_KEYS if name in ticker}
    return row | {"tick": market["tick"], "fresh": ticker["fresh"]}


def events_body(entries: Iterable[tuple[Held, Parsed]]) -> list[dict[str, Any]]:
    """Return the newest events of an account, a whole market or the venue out of entries, both the newest first."""
    found: list[dict[str, Any]] = []
    for held, parsed in entries:
        for index, event in reversed(parsed.events):
            if "account" not in event and event["e"] not in VENUE_EVENTS:
                continue
            found.append(event_row(held, index, event))
            if len(found) == EVENTS_MAX:
                return found
    return found


def event_row(held: Held, index: int, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return one event with its place and the command that tells why it happened."""
    seq, chunk = held.place
    row: dict[str, Any] = {"at": f"{seq}-{chunk}-{index}", "seq": str(seq), "time_us": held.entry.log_time_us}
    row |= {name: event[name] for name in ("e", "account") if name in event}
    why = why_command(event)
    return row | ({"why": why} if why else {}) | {"data": dict(event)}


def why_command(event: Mapping[str, Any]) -> str | None:
    """Return the command that tells what made an event's order, else position, else account; None without any."""
    for subject, first in (("order", 1), ("position", 1), ("account", ACCOUNT_FIRST)):
        number = event.get(subject if subject == "account" else f"{subject}_id")
        if isinstance(number, int) and number >= first:
            return WHY.format(subject=subject, number=number)
    return None
