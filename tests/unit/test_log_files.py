"""Logs that grow are set aside, whole, while their process writes on; the last few are kept."""

import os
from pathlib import Path

from scripts.console import Console, LogWatcher
from scripts.processes import LOGS_KEPT, log_cut, log_rotate

LARGE = 1_000


def grown(path: Path, mark: bytes) -> int:
    """Return the descriptor of a process that has written so much that its log is large."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, mark + b"\n" + b"." * LARGE + b"\n")
    return descriptor


def test_a_process_writes_on_while_its_log_is_set_aside(tmp_path: Path) -> None:
    """What was written is in the older file, what is written next begins the emptied one, under the old descriptor."""
    path = tmp_path / "gateway.log"
    descriptor = grown(path, b"first")
    os.write(descriptor, b"last\n")
    assert log_cut(path, LARGE)
    assert path.read_bytes() == b""
    older = tmp_path / "gateway.log.1"
    content = older.read_bytes()
    assert content.startswith(b"first\n") and content.endswith(b"last\n")
    assert older.stat().st_mode & 0o777 == 0o600
    os.write(descriptor, b"next\n")
    assert path.read_bytes() == b"next\n"
    assert not log_cut(path, LARGE), "it is small again"
    os.close(descriptor)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["gateway.log", "gateway.log.1"]


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    """The oldest goes when there are more than are kept, at a start as while running."""
    path = tmp_path / "engine.log"
    for number in range(LOGS_KEPT + 2):
        os.close(grown(path, b"%d" % number))
        assert log_cut(path, LARGE) if number % 2 else log_rotate(path, LARGE) is None
        path.touch()
    kept = [path.with_name(f"engine.log.{number}") for number in range(1, LOGS_KEPT + 2)]
    firsts = [file.read_bytes().split(b"\n")[0] for file in kept if file.exists()]
    assert firsts == [b"%d" % number for number in range(LOGS_KEPT + 1, 1, -1)]


def test_what_cannot_be_copied_stays(tmp_path: Path) -> None:
    """Where no copy can be made nothing is moved, emptied or left behind; a log that is gone is no fault."""
    path = tmp_path / "poller.log"
    os.close(grown(path, b"first"))
    older = tmp_path / "poller.log.1"
    older.write_bytes(b"older")
    (tmp_path / ".poller.log.copy").mkdir()
    assert not log_cut(path, LARGE)
    assert older.read_bytes() == b"older"
    assert path.stat().st_size > LARGE
    assert not log_cut(tmp_path / "none.log", LARGE)


def test_the_console_goes_on_at_the_beginning(tmp_path: Path) -> None:
    """Whoever follows the log sees the lines after it was emptied, and none twice."""
    watcher = LogWatcher(tmp_path, Console())
    path = tmp_path / "gateway.log"
    descriptor = grown(path, b"first")
    watcher.skip("gateway")
    assert watcher.lines_new("gateway") == []
    assert log_cut(path, LARGE)
    os.write(descriptor, b'{"event":"a"}\n')
    assert watcher.lines_new("gateway") == [b'{"event":"a"}']
    os.close(descriptor)
