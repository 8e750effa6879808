"""The options by which a tool is told which moment of which venue it shows, and in which form."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from scripts.cli import data_option
from scripts.sources import Sources, time_us_of
from shared import units

NOW = "now"


class Wanted(NamedTuple):
    """Which moment of which venue a command is to show; at most one of file, seq and at_us is given."""

    data_dir: Path
    file: Path | None = None
    seq: int | str | None = None  # a number or NOW, the log's end
    at_us: int | None = None
    archive: Path | None = None
    postgres: bool = False  # the newest snapshot of Postgres, whatever files there are


class SeqParam(click.ParamType):
    """An entry's number, or `now` for the log's end."""

    name = "N|now"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number, or NOW."""
        if value == NOW or isinstance(value, int):
            return value
        if not str(value).isdigit() or not 1 <= int(value) < 10**15:
            self.fail(f"{value!r} is no entry's number; give 1, 2, 3 … or `now`", param, ctx)
        return int(value)


class TimeParam(click.ParamType):
    """A time as ISO 8601, in UTC where it names no zone."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return microseconds."""
        try:
            return value if isinstance(value, int) else time_us_of(value)
        except ValueError:
            self.fail(f"{value!r} is no time; give one like 2026-11-20T10:00:03Z", param, ctx)


class NearParam(click.ParamType):
    """A share like 1% or 0.25%."""

    name = "PERCENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return millionths."""
        text = str(value).removesuffix("%")
        parts = units.decimal_parse(text)
        if parts is None or parts[0] < 0 or parts[0] > 1_000:
            self.fail(f"{value!r} is no share; give one like 1% or 0.25%", param, ctx)
        return units.decimal_e12(text) // 10**8


FORMS = (
    click.option("--csv", "as_csv", is_flag=True, help="Print CSV."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)
SOURCES = (
    click.option("--postgres", is_flag=True, help="The newest snapshot in Postgres, no file."),
    click.option("--archive", type=click.Path(path_type=Path), help="Read the log from this archive alone."),
    click.option("--at", "at_us", type=TimeParam(), help="The state at this time: 2026-11-20T10:00:03Z."),
    click.option("--seq", type=SeqParam(), help="The state after this entry; `now` is the log's end."),
    click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="A snapshot file, wherever it lies."),
)


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which moment of which venue."""
    for option in (data_option, *SOURCES):
        function = option(function)
    return function


def form_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how to print rows."""
    for option in FORMS:
        function = option(function)
    return function


def wanted_of(options: dict[str, Any]) -> Wanted:
    """Return what the source options ask for; raises UsageError when they contradict each other."""
    wanted = Wanted(*(options[name] for name in Wanted._fields))
    given = [name for name, value in zip(("--file", "--seq", "--at"), wanted[1:4], strict=True) if value is not None]
    given += ["--postgres"] * wanted.postgres
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} name different moments: give one of them")
    return wanted


def sources_of(wanted: Wanted) -> Sources:
    """Return the sources of the venue that is meant."""
    return Sources(wanted.data_dir, wanted.archive, wanted.file, wanted.postgres)
