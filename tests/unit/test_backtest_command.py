"""`tidemark backtest`: what it prints and writes, how it ends, and the example of its page."""

import csv
import functools
import html.parser
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scripts.cli import main
from tests.backtest_house import BTC, ETH, SECOND_US, START_US, frame, order, walk_lines

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "backtest.md").read_text()
FILES = re.compile(r"`([a-z]+\.[a-z]+)`:\n\n```\w*\n(.*?)```", re.DOTALL)
RUNS = re.compile(r"^\$ \./scripts/tidemark (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)
PNG_HEAD = b"\x89PNG"


def called(folder: Path, *words: str) -> Result:
    """Return how the command line ended, run in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(main, words)
    finally:
        os.chdir(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a recording of a minute, a second market's, and a few orders."""
    (tmp_path / "btc.jsonl").write_bytes(b"".join(walk_lines(120, SECOND_US // 2)))
    (tmp_path / "eth.jsonl").write_bytes(b"".join(walk_lines(30, 2 * SECOND_US, ETH, middle=3_000)))
    orders = [order(START_US + 5 * SECOND_US, "buy", "0.01"), order(START_US + 30 * SECOND_US, "sell", "0.01", 101)]
    orders.append(order(START_US + 40 * SECOND_US, "sell", "1", 101, ETH))
    (tmp_path / "orders.jsonl").write_text("".join(json.dumps(each) + "\n" for each in orders))
    return tmp_path


def test_the_example_of_the_page_is_as_written(tmp_path: Path) -> None:
    """Files and commands of docs/backtest.md, one after the other, print what stands there; … stands for anything."""
    for name, content in FILES.findall(PAGE):
        (tmp_path / name).write_text(content)
    runs = RUNS.findall(PAGE)
    assert len(runs) == 3
    for words, shown in runs:
        ended = called(tmp_path, *shlex.split(words))
        assert ended.exit_code == 0, ended.output
        printed = [line.rstrip() for line in ended.stdout.splitlines()]
        for line in shown.splitlines():
            begins = line.removesuffix("…")
            assert any(each == line or (begins != line and each.startswith(begins)) for each in printed), line
        if "…" not in shown.splitlines():
            assert len(printed) == len(shown.splitlines())
    assert "<svg" in (tmp_path / "result.html").read_text()


def test_the_notebook_of_the_page_runs(tmp_path: Path) -> None:
    """The lines of Python do what the command does."""
    (tmp_path / "quotes.jsonl").write_text(dict(FILES.findall(PAGE))["quotes.jsonl"])
    code = PAGE.split("notebook for example:\n\n```python\n")[1].split("```")[0]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = [sys.executable, "-c", code]
    ended = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0 and ended.stdout.startswith("5000000000 "), ended.stderr


def test_json_and_csv_say_the_same(folder: Path) -> None:
    """Both have every line with exact money, and the hash is the same whenever it runs."""
    words = ("backtest", "btc.jsonl", "eth.jsonl", "--accounts", "2", "--instructions", "orders.jsonl")
    told = json.loads(called(folder, *words, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(called(folder, *words, "--csv").stdout)))
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in told["rows"]] == rows
    assert [(row["account"], row["market"]) for row in told["rows"]] == [
        (100, BTC), (100, "all"), (101, BTC), (101, ETH), (101, "all"), ("all", "all")
    ]  # fmt: skip
    assert told["instructions"] == {"OK": 3} and told["quotes"][ETH]["accepted"] == 30 and told["notes"] == []
    assert told["state_hash"] == json.loads(called(folder, *words, "--json").stdout)["state_hash"]
    changed = called(folder, *words, "--json", "--with", f"market_set {BTC} fee_taker_ppm=0").stdout
    assert json.loads(changed)["rows"][0]["fees"] == "0.000000" != told["rows"][0]["fees"]


class Hosts(html.parser.HTMLParser):
    """Collects what a page would fetch, and the tags that it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that is closed at once."""

    def handle_endtag(self, tag: str) -> None:
        """Note that a tag is closed."""
        assert self.open.pop() == tag


def test_pictures_and_pages(folder: Path) -> None:
    """The page is whole and fetches nothing, its curves have a point for each look; the picture is one."""
    pytest.importorskip("matplotlib")
    words = ("backtest", "btc.jsonl", "--accounts", "2", "--instructions", "orders.jsonl", "--sample-s", "10")
    ended = called(folder, *words, "--html", "page.html", "--png", "curve.png")
    assert ended.exit_code == 0, ended.output
    page = (folder / "page.html").read_text()
    hosts = Hosts()
    hosts.feed(page)
    assert hosts.fetched == [] and hosts.open == [] and page.count("<polyline") == 3 and "account 101" in page
    assert len(re.findall(r'points="([^"]*)"', page)[0].split()) >= 7
    assert (folder / "curve.png").read_bytes().startswith(PNG_HEAD)


def test_without_matplotlib_a_picture_is_refused_at_once(folder: Path) -> None:
    """The sentence names what to install, before anything was run; --html needs nothing."""
    (folder / "shadow").mkdir()
    (folder / "shadow" / "matplotlib.py").write_text("raise ImportError\n")
    environment = {**os.environ, "PYTHONPATH": f"{folder / 'shadow'}:{REPOSITORY}"}
    command = [sys.executable, "-m", "scripts.cli", "backtest", "btc.jsonl", "--png", "curve.png"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stdout) == (2, "") and "install the extra `plot`" in ended.stderr
    assert not (folder / "curve.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("btc.jsonl", "btc.zst"), "give the one or the other"),
        (("btc.zst",), "is no file of an archive"),
        (("empty",), "holds no archive"),
        (("bad.jsonl",), "bad.jsonl, line 2"),
        (("btc.jsonl", "--from", "2030-01-01"), "nothing is recorded"),
        (("btc.jsonl", "--accounts", "bad.jsonl"), "keys of an account"),
        (("btc.jsonl", "--instructions", "float.jsonl"), "is a float"),
        (("btc.jsonl", "--instructions", "bad.jsonl"), "an instruction is"),
        (("btc.jsonl", "--strategy", "mine.py"), "names no strategy"),
        (("btc.jsonl", "--strategy", "mine.py:Other"), "has no Other"),
        (("btc.jsonl", "--strategy", "mine.py:Broken"), "ZeroDivisionError: division by zero (mine.py, line 5)"),
        (("btc.jsonl", "--with", "no_such_op"), "names no operation"),
        (("btc.jsonl", "--with", "market_set NO fee_taker_ppm=1"), "MARKET_UNKNOWN"),
        (("btc.jsonl", "--markets", "bad.jsonl"), "no JSON"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(folder: Path, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, and the place of what is wrong."""
    (folder / "btc.zst").write_bytes(b"rubbish")
    (folder / "empty").mkdir()
    (folder / "bad.jsonl").write_bytes(frame(START_US, "60000.0", "60000.1", 1) + b"{}\n")
    (folder / "float.jsonl").write_text('{"ts":1,"account":100,"op":"order_place","qty":0.5}\n')
    (folder / "mine.py").write_text(
        "class Broken:\n    '''Breaks.'''\n\n    def on_quote(self, quote):\n        1 / 0\n"
    )
    ended = called(folder, "backtest", *words)
    assert (ended.exit_code, ended.stdout) == (2, "") and said in ended.stderr and "Traceback" not in ended.stderr


def test_a_log_is_not_written_over_another(folder: Path) -> None:
    """`--log` makes an archive that replay derives the same hash from, and takes no folder that holds one."""
    words = ("backtest", "btc.jsonl", "--json", "--log", "applied")
    told = json.loads(called(folder, *words).stdout)
    again = called(folder, *words)
    assert again.exit_code == 2 and "holds a log already" in again.stderr
    replayed = json.loads(called(folder, "replay", "--archive", "applied", "--json").stdout)
    assert replayed["state_hash"] == told["state_hash"] and replayed["seq"] == told["entries"]


def test_ctrl_c_shows_what_there_is_until_then(folder: Path) -> None:
    """Interrupted, it ends with 130, the result of the part that was applied and a sentence that says so."""
    (folder / "slow.py").write_text(
        "import time\n\n\nclass Slow:\n    '''Dawdles.'''\n\n    def on_quote(self, quote):\n"
        "        print('quote', flush=True)\n        time.sleep(0.2)\n"
    )
    command = [sys.executable, "-m", "scripts.cli", "backtest", "btc.jsonl", "--strategy", "slow.py:Slow", "--csv"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=functools.partial(
            signal.signal, signal.SIGINT, signal.SIG_DFL
        ),  # a suite in the background has none
    )
    assert process.stdout is not None
    try:
        while process.stdout.readline() != "quote\n":
            pass
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.stdout.close()
    assert "account,market,fills" in rest and "\n100,all,0," in rest
