"""What the venue's processes say of themselves in their heartbeats, and what of it is not as it should be; pure."""

from collections.abc import Mapping
from typing import Any

Beats = Mapping[str, Mapping[str, Any]]  # heartbeats of those that live, by name

ENGINE = "engine"
LEADER = "leader"
PERSISTER = "persister"


def engines_of(beats: Beats) -> list[dict[str, Any]]:
    """Return the engines that live, the leader first; one that was promoted a moment ago may beat under both names."""
    found: dict[str, dict[str, Any]] = {}
    for name, beat in beats.items():
        if name != ENGINE and not name.startswith(f"{ENGINE}:"):
            continue
        who = str(beat.get("who", ""))
        engine = {
            "role": str(beat.get("role", "")),
            "who": who,
            "seq": str(beat.get("seq", 0)),
            "lag": whole(beat.get("lag")),
        }
        if who not in found or engine["role"] == LEADER:
            found[who] = engine
    return sorted(found.values(), key=lambda engine: (engine["role"] != LEADER, engine["who"]))


def processes_degraded(beats: Beats, engines_wanted: int, tip_seq: int, lag_max: int) -> dict[str, str]:
    """Return what the heartbeats show to be wrong though instructions are taken, by part."""
    found = {}
    engines = engines_of(beats)
    standbys = sum(engine["role"] != LEADER for engine in engines)
    if engines_wanted > 1 and standbys == 0:
        found["standby"] = f"of {engines_wanted} engines {len(engines)} live: nobody would take over"
    persister = beats.get(PERSISTER, {})
    archive_seq = persister.get("archive_seq")
    if persister.get("archive_error"):
        found["archive"] = f"{persister['archive_error']}; nothing is trimmed meanwhile"
    elif archive_seq is not None and tip_seq - whole(archive_seq) > lag_max:
        found["archive"] = f"the archive is at {archive_seq}, the events at {tip_seq}"
    wrong = sorted(engine["who"] for engine in engines if mismatches(beats, engine["who"]))
    if wrong:
        found["divergence"] = f"another hash than its checkpoint's: engine {', '.join(wrong)}; keep the data and look"
    return found


def mismatches(beats: Beats, who: str) -> int:
    """Return how many checkpoints an engine has met whose hash was not its own."""
    counts = [whole(beat.get("checkpoint_mismatches")) for beat in beats.values() if beat.get("who") == who]
    return max(counts, default=0)


def whole(value: Any) -> int:
    """Return a number of a heartbeat, 0 for what is none."""
    return int(value) if isinstance(value, int | float) else 0
