"""What the doctor says of standbys, checkpoints, archive, trimming and restorations."""

from typing import Any

import pytest

from scripts.doctor_recovery import BAD, GOOD, WARNING, recovery_checks
from shared.stream_keys import Keys

KEYS = Keys("toyvenue01")
LEADER = {"role": "leader", "who": "aa", "seq": 90, "lag": 0}
STANDBY = {"role": "standby", "who": "bb", "seq": 88, "lag": 2}
PERSISTER = {"archive_seq": 95, "keyframes_counted": 3, "trim_reason": ""}


class Told:
    """The streams of a venue whose processes say this."""

    def __init__(self, beats: dict[str, dict[str, Any]], wanted: int = 1, generation: Any = None) -> None:
        self.beats = beats
        self.values = {KEYS.engines_wanted: wanted, KEYS.views_generation: generation}

    def heartbeats_read(self, _keys: Keys) -> dict[str, dict[str, Any]]:
        return self.beats

    def get_json(self, key: str) -> Any:
        return self.values.get(key)

    def log_first(self, _keys: Keys) -> int:
        return 41


def states(told: Told, tip: int = 100) -> dict[str, str]:
    """Return the state of each check."""
    found = {check.name: check for check in recovery_checks(told, KEYS, tip)}
    assert all(bool(check.fix) == (check.state != GOOD) for check in found.values())
    return {name: check.state for name, check in found.items()}


def test_all_is_well() -> None:
    """With everybody alive and agreeing, nothing fails."""
    beats = {"engine": LEADER, "engine:bb": STANDBY, "persister": PERSISTER}
    found = states(Told(beats, 2, {"generation": 2, "from": "80-0"}))
    assert set(found) == {"engines", "checkpoints", "archive", "trimming", "views"}
    assert set(found.values()) == {GOOD}


@pytest.mark.parametrize(
    ("beats", "wanted", "name", "state"),
    [
        ({"engine": LEADER}, 2, "engines", WARNING),
        ({"engine": LEADER}, 1, "engines", GOOD),
        ({"engine": {**LEADER, "checkpoint_mismatches": 1}}, 1, "checkpoints", BAD),
        ({"persister": {**PERSISTER, "archive_error": "no space"}}, 1, "archive", BAD),
        ({"persister": {"keyframes_counted": 0}}, 1, "archive", WARNING),
        ({"persister": {**PERSISTER, "archive_seq": 1}}, 1, "archive", WARNING),
    ],
)
def test_what_is_wrong_is_said(beats: dict[str, dict[str, Any]], wanted: int, name: str, state: str) -> None:
    """A standby that is missing, another hash, an archive that cannot write or lags: each has its state and its fix."""
    assert states(Told(beats, wanted), 10_000)[name] == state
