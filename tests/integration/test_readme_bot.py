"""The README's bot, taken out of it and run as it is written, on a venue whose price swings."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import REPOSITORY

MARKET = "BTC_USDC_PERP"
LINES_MAX = 20
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUOTES_A_STEP = 10  # ten quotes come in a second
KEY_COMMAND = "-m tidemark_client key"


def bot_read() -> str:
    """Return the one Python block of the README."""
    [block] = PYTHON.findall((REPOSITORY / "README.md").read_text())
    return str(block)


def feed_write(path: Path) -> None:
    """
    Write a recording of a price that swings by 0.2 % every ten seconds, with its mark.

    It moves by half a bracket and then rests for a second: a bot that is slow between looking and ordering has that
    long, and no order is refused because the price has passed its bracket meanwhile.
    """
    with gzip.open(path, "wt") as file:
        for number in range(1, 2_000):
            wave = abs(number // QUOTES_A_STEP % 20 - 10)
            event_us = 1_700_000_000_000_000 + number * 100_000
            bid, ask = f"{60_000 + 12 * wave}.0", f"{60_000 + 12 * wave}.1"
            quote = {"A": "9", "B": "9", "E": event_us, "T": event_us, "a": ask, "b": bid, "e": "bookTicker"}
            mark = {"E": event_us, "T": event_us, "e": "markPrice", "f": "0", "i": bid, "n": 0, "p": bid, "s": MARKET}
            for kind, data in (("bookTicker", {**quote, "s": MARKET, "u": number}), ("markPrice", mark)):
                file.write(json.dumps({"data": data, "stream": f"{kind}.{MARKET}"}) + "\n")


def python_run(folder: Path, *words: str) -> str:
    """Return what a Python of this environment printed, run in a folder; the client is importable as when installed."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_bot_is_short() -> None:
    """The second screen of the README is a bot of at most twenty lines, and the command that makes its key."""
    assert len([line for line in bot_read().splitlines() if line.strip()]) <= LINES_MAX
    assert KEY_COMMAND in (REPOSITORY / "README.md").read_text()


@pytest.mark.timeout(150)
def test_the_bot_runs_as_written(tmp_path: Path, venue_process: Callable[..., dict[str, Any]]) -> None:
    """With a key made by a sign-in link it opens three tickets and tells how each of them ended."""
    feed_write(tmp_path / "swing.jsonl.gz")
    ready = venue_process("--feed", str(tmp_path / "swing.jsonl.gz"))
    python_run(tmp_path, "-m", "tidemark_client", "key", ready["sign_in_url"], "key.json")
    (tmp_path / "bot.py").write_text(bot_read())
    told = python_run(tmp_path, "bot.py").splitlines()
    assert len(told) == 3
    for line in told:
        reason, entry, leave = line.split()
        assert reason in ("take_profit", "stop_loss"), line
        assert (float(leave) > float(entry)) == (reason == "take_profit"), line
