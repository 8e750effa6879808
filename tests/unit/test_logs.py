"""A log holds lines of ours alone, whatever libraries say, and no secret by its name."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.logs import FOREIGN_LENGTH_MAX, Foreign, Lines, logger

REPOSITORY = Path(__file__).resolve().parents[2]


def lines(captured: str) -> list[dict[str, Any]]:
    """Return the lines that were written."""
    return [orjson.loads(line) for line in captured.splitlines()]


def said(name: str, level: int, text: str, *arguments: Any, exc_info: Any = None) -> logging.LogRecord:
    """Return what a library would log."""
    return logging.LogRecord(name, level, "file.py", 1, text, arguments, exc_info)


def test_what_libraries_say_becomes_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """A library's words are one JSON line, cut to a length, newlines inside it; a stranger's doing is for debug."""
    handler = Foreign(logger("gateway"))
    handler.handle(said("asyncio", logging.WARNING, 'a\n{"level":"error","event":"%s"}', "forged"))
    handler.handle(said("asyncio", logging.ERROR, "x" * 10_000))
    handler.handle(said("uvicorn.error", logging.WARNING, "Invalid HTTP request received."))
    found = lines(capfd.readouterr().err)
    assert [(line["level"], line["event"], line["name"]) for line in found] == [
        ("warning", "library", "asyncio"),
        ("error", "library", "asyncio"),
    ]
    assert found[0]["text"] == 'a\n{"level":"error","event":"forged"}'
    assert len(found[1]["text"]) == FOREIGN_LENGTH_MAX


def test_a_librarys_exception_is_told_whole(capfd: pytest.CaptureFixture[str]) -> None:
    """An exception that a library met keeps its trace, in the same line."""
    handler = Foreign(logger("gateway"))
    try:
        raise ValueError("inside")
    except ValueError as error:
        handler.handle(
            said("uvicorn.error", logging.ERROR, "Exception", exc_info=(ValueError, error, error.__traceback__))
        )
    [line] = lines(capfd.readouterr().err)
    assert "ValueError: inside" in line["exception"]


def test_secrets_are_hidden_by_their_names(capfd: pytest.CaptureFixture[str]) -> None:
    """A field that is named like a secret is never written, whoever passes it."""
    logger("gateway").info("x", token="t0ken", email="ada@example.com", Cookie="c", seq=5)
    [line] = lines(capfd.readouterr().err)
    assert (line["token"], line["email"], line["Cookie"], line["seq"]) == ("[hidden]", "[hidden]", "[hidden]", 5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_costs_lines_alone() -> None:
    """Where nothing can be written whoever says something goes on, and ends with the exit code that it means."""
    words = "log = logger('x'); [log.info('said', text='x' * 500) for _ in range(100)]; print('done'); sys.exit(78)"
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-c", f"import sys; from shared.logs import logger; {words}"],
            stdout=subprocess.PIPE,
            stderr=full,
            check=False,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
    assert (result.returncode, result.stdout) == (78, b"done\n")


def test_a_torn_line_is_followed_by_a_whole_one() -> None:
    """What a full pipe or disk cut off stays alone on its line."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    lines_out = Lines(theirs)
    lines_out.write(b"x" * 1_000_000 + b"\n")
    lines_out.write(b"lost\n")
    read = os.read(ours, 1_000_000)
    assert set(read) == set(b"x")
    lines_out.write(b"whole\n")
    assert os.read(ours, 100) == b"\nwhole\n"
    os.close(ours)
    os.close(theirs)
