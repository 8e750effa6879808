"""The figures of `tidemark top` as a screen of 80 columns; pure: figures in, something rich can draw out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

WIDTH = 80
NOTHING = "-"
BAD, WARNING, GOOD, QUIET = "bold red", "yellow", "green", "dim"
LAG_HIGH = 5_000
QUOTE_OLD_S = 10.0
TITLE_WIDTH = 9


def screen(figures: Mapping[str, Any]) -> Group:
    """Return the whole screen."""
    parts: list[Text | Table] = [headline(figures), logline(figures)]
    if figures["degraded"]:
        parts.append(Text(f" degraded: {', '.join(figures['degraded'])}", WARNING))
    parts += [Text(), processes(figures["processes"]), Text(), markets(figures["markets"]), Text(), work(figures)]
    return Group(*parts)


def headline(figures: Mapping[str, Any]) -> Text:
    """Return which venue this is, and whether it takes instructions."""
    state, style = {True: ("ready", GOOD), False: ("NOT READY", BAD), None: ("no gateway answers", BAD)}[
        figures["ready"]
    ]
    if not figures["redis"]:
        state, style = "REDIS DOES NOT ANSWER", BAD
    time = datetime.fromtimestamp(figures["time_us"] // 1_000_000, UTC).strftime("%H:%M:%SZ")
    line = Text.assemble(" tidemark ", (figures["venue"], "bold"), "  ", (state, style), f"  {time}")
    if figures["feed"]:
        line.append(f"  feed {figures['feed'][:24]}")
    return line


def logline(figures: Mapping[str, Any]) -> Text:
    """Return where log and events stand."""
    words = f" log {whole(figures['log_seq'])}  events {whole(figures['events_seq'])}"
    words += f"  {rate(figures['entries_per_s'])} entries"
    if figures["window_s"]:
        words += f"  (over {figures['window_s']:.0f} s)"
    return Text(words, QUIET)


def table_of(*columns: tuple[str, int, str]) -> Table:
    """Return an empty table whose columns have a title, a width and a side."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", width=WIDTH, pad_edge=False)
    for title, width, side in columns:
        table.add_column(title, width=width, justify=side, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    return table


def processes(rows: list[Mapping[str, Any]]) -> Table:
    """Return who lives."""
    table = table_of(
        (" PROCESS", 25, "left"), ("ROLE", 10, "left"), ("PID", 8, "right"), ("SEQ", 13, "right"),
        ("LAG", 8, "right"), ("UP", 8, "right"),
    )  # fmt: skip
    for row in rows:
        behind = isinstance(row["lag"], int | float) and row["lag"] > LAG_HIGH
        lag = Text(whole(row["lag"]), WARNING if behind else "")
        cells = f" {row['name']}", str(row["role"] or NOTHING), str(row["pid"] or NOTHING), whole(row["seq"])
        table.add_row(*cells, lag, lived(row["lived_s"]))
    if not rows:
        table.add_row(Text(" nobody shows life", BAD))
    return table


def markets(rows: list[Mapping[str, Any]]) -> Table:
    """Return each market's prices and how old they are."""
    table = table_of(
        (" MARKET", 18, "left"), ("BID", 11, "right"), ("ASK", 11, "right"), ("MARK", 11, "right"),
        ("AGE", 7, "right"), ("OPEN", 10, "right"), ("", 6, "right"),
    )  # fmt: skip
    for row in rows:
        old = row["quote_age_s"] is None or row["quote_age_s"] > QUOTE_OLD_S
        age = Text(NOTHING if row["quote_age_s"] is None else f"{row['quote_age_s']:.1f} s", WARNING if old else "")
        state = Text("fresh", GOOD) if row["fresh"] else Text("STALE", BAD)
        prices = (row[name] or NOTHING for name in ("bid", "ask", "mark"))
        table.add_row(f" {row['market']}", *prices, age, row["open_interest"] or NOTHING, state)
    return table


def work(figures: Mapping[str, Any]) -> Table:
    """Return what is being done, and how fast."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), width=WIDTH, pad_edge=False)
    table.add_column(width=TITLE_WIDTH, style="bold", no_wrap=True)
    table.add_column(width=WIDTH - TITLE_WIDTH - 1, overflow="fold")
    orders, engine = figures["orders"], figures["engine"]
    stages = "  ".join(f"{name} {ms(value)}" for name, value in orders["stages_p99_ms"].items())
    table.add_row(" ORDERS", f"{rate(orders['per_s'])}  p50 {ms(orders['p50_ms'])}  p99 {ms(orders['p99_ms'])}")
    table.add_row("", Text(f"p99 of each stage: {stages}", QUIET))
    told = sorted(orders["results_per_s"].items(), key=lambda item: -item[1])
    table.add_row(" RESULTS", "  ".join(f"{code} {rate(value)}" for code, value in told) or "none")
    table.add_row(
        " ENGINE",
        f"apply p99 {ms(engine['apply_p99_ms'])}  trigger p99 {ms(engine['trigger_p99_ms'])}"
        f"  unpublished {whole(engine['kept'])}",
    )
    table.add_row(" SNAPSHOT", f"{seconds(engine['snapshot_age_s'])} old  pause p99 {ms(engine['pause_p99_ms'])}")
    readers = "  ".join(f"{name} {whole(lag)}" for name, lag in figures["readers"].items())
    table.add_row(" BEHIND", readers or NOTHING)
    up = {None: NOTHING, 0.0: "DOWN", 1.0: "up"}[figures["feed_up"]]
    table.add_row(" FEED", Text(f"{up}  oldest market {seconds(figures['feed_age_s'])}", BAD if up == "DOWN" else ""))
    table.add_row(
        " SOCKETS",
        f"{whole(figures['sockets'])}  slowest {whole(figures['backlog_bytes'])} bytes behind",
    )
    fund = figures["insurance_fund"]
    table.add_row(" FUND", NOTHING if fund is None else Text(f"{fund:,.2f} insurance", BAD if fund < 0 else ""))
    table.add_row(" MAIL", f"{whole(figures['mails_waiting'])} waiting")
    return table


def whole(value: Any) -> str:
    """Return a number with its thousands apart."""
    return f"{int(value):,}" if isinstance(value, int | float) else NOTHING


def rate(value: float | None) -> str:
    """Return how often a second."""
    return NOTHING if value is None else f"{value:,.1f}/s"


def ms(value: float | None) -> str:
    """Return a time in ms, short ones to a tenth."""
    return NOTHING if value is None else (f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms")


def seconds(value: float | None) -> str:
    """Return a time in s."""
    return NOTHING if value is None else f"{value:.1f} s"


def lived(value: int | None) -> str:
    """Return for how long a process has lived, in its two largest units."""
    if value is None:
        return NOTHING
    days, hours, minutes = value // 86_400, value // 3_600 % 24, value // 60 % 60
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {value % 60}s"
