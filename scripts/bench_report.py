"""
What every benchmark says at its end: tables for people, one JSON line for machines, a history, a picture.

A line says of the machine what a figure is worth nothing without, and nothing that names it.
"""

import datetime
import functools
import json
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from shared.rules import RULES_VERSION

REPOSITORY = Path(__file__).resolve().parent.parent
Measured = tuple[dict[str, Any], list[Table]]


def machine() -> dict[str, Any]:
    """Return what a figure is worth nothing without."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "machine": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def processor() -> str:
    """Return the processor's model, empty where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def commit() -> str:
    """Return the commit that is measured, with a + when files differ from it; empty outside a repository."""
    words = [["git", "rev-parse", "--short=12", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"]]
    try:
        head, changed = (
            subprocess.run(each, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout for each in words
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.strip() + ("+" if changed.strip() else "")


def line_of(name: str, options: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
    """Return what the history keeps of one run."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    head = {"bench": name, "date": now, "commit": commit(), "rules": RULES_VERSION, "options": options}
    return {**head, **machine(), **figures}


def history_append(path: Path, line: dict[str, Any]) -> None:
    """Append one line to the history, which begins with the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def reported(function: Callable[..., Measured]) -> Callable[..., None]:
    """
    Return a subcommand that prints what the function measured, with `--history` and `--plot` for all alike.

    The function gets the subcommand's own options and returns figures and tables.
    """
    name = function.__name__

    @click.option(
        "--history",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Append the JSON line to this file as well.",
    )
    @click.option(
        "--plot",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Draw the figures into this PNG; needs the extra `plot`.",
    )
    @functools.wraps(function)
    def command(history: Path | None, plot: Path | None, **options: Any) -> None:
        from scripts import bench_plots

        if plot is not None:
            bench_plots.drawable(name)
        figures, tables = function(**options)
        for table in tables:
            Console().print(table)
        line = line_of(name, options, figures)
        click.echo(json.dumps(line))
        if history is not None:
            history_append(history, line)
        if plot is not None:
            bench_plots.draw(name, line, plot)

    return command
