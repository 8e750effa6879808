"""The recorded histories give the recorded hashes: every stored byte of the state, every few entries."""

import json

import pytest

from tests.golden import recording

RECORDED = recording.entries_read()
HASHES = json.loads(recording.HASHES.read_text())


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: str(recorded.seed))
def test_hashes_are_the_recorded_ones(recorded: recording.Recorded) -> None:
    """A history gives its hashes, with a restart halfway too."""
    assert list(recording.hashes_of(recorded, len(recorded.entries) // 2)) == HASHES[str(recorded.seed)]
