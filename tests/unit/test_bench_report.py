"""What the benchmarks say at their end: options alike for all, a line without names, a history, pictures."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scripts import bench_plots
from scripts.bench_report import history_append, line_of
from scripts.benchmarks import bench

LOAD = {"p50_ms": 0.4, "p99_ms": 0.9}
MIX = {"ceiling_per_s": 1_000_000, "loops": {"engine": {"per_s": 500_000}, "baseline": {"per_s": 50_000}}}
LINES: dict[str, dict[str, Any]] = {
    "wire": {"mixes": {"0": MIX, "100": MIX}},
    "latency": {path: {"loads": {"1000": LOAD, "10000": LOAD}} for path in ("fast", "plain")},
    "core": {"quiet_tick_ns": {"0": 90.0, "1000": 95.0}, "linear_tick_ns": {"0": 10.0, "1000": 900.0}},
}


def test_every_benchmark_takes_the_same_ways_out() -> None:
    """Each has --history and --plot, and says in its help what it measures."""
    assert set(bench.commands) == {
        "core",
        "wire",
        "latency",
        "recovery",
        "backtest",
        "snapshot",
        "gateway",
        "peers",
        "page",
    }
    for name, command in bench.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--history", "--plot"} <= options, name
        assert command.help


def test_a_picture_that_there_is_not_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    """`--plot` on a benchmark without a picture ends at once, naming those that have one."""
    done = CliRunner().invoke(bench, ["snapshot", "--plot", str(tmp_path / "x.png")])
    assert done.exit_code == 2
    assert "core, latency, wire" in done.output


def test_a_list_that_is_none_is_refused() -> None:
    """A size that is no number ends with the way to write it."""
    done = CliRunner().invoke(bench, ["wire", "--mixes", "0;20"])
    assert done.exit_code == 2
    assert "0,20,100" in done.output


def test_a_line_says_what_the_machine_is_and_not_which(tmp_path: Path) -> None:
    """The history keeps processor, cores, versions and date; no name of the machine and no path of it."""
    history = tmp_path / "made" / "history.jsonl"
    for number in range(2):
        history_append(history, line_of("wire", {"repeats": number}, {"figure": 5}))
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    assert [line["options"]["repeats"] for line in lines] == [0, 1]
    assert {"bench", "date", "commit", "rules", "python", "processor", "cores", "load", "figure"} <= lines[0].keys()
    text = history.read_text()
    assert str(Path.cwd()) not in text
    assert platform.node() not in text or len(platform.node()) < 4


@pytest.mark.parametrize("name", sorted(LINES))
def test_a_line_is_drawn(name: str, tmp_path: Path) -> None:
    """Each picture is made of one line of the history and is small enough for a page."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "img" / f"{name}.png"
    bench_plots.drawable(name)
    bench_plots.draw(name, LINES[name], path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert 2_000 < len(content) < 100_000
