"""The equity curve of a back-test: as HTML with an inline SVG that needs no other host, and as PNG."""

import html
from pathlib import Path
from typing import Any

from engine.backtest import Backtest
from engine.backtest_figures import Figures
from scripts.backtest_print import COLUMNS, cells, cents, summary_of
from scripts.exits import ToolStop
from scripts.sources import time_text

POINTS_MAX = 2_000  # of one curve: more are not seen
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 960, 360, 90, 30, 12
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#0a7ea4", "#57606a")
GRID_LINES = 5
STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em;color:#1f2328;background:#fff}table{border-collapse:collapse}"
    "td,th{padding:.25em .7em;border-bottom:1px solid #d0d7de;text-align:right}td:nth-child(-n+2){text-align:left}"
    "code{word-break:break-all}"
)


def thinned(values: list[int]) -> list[int]:
    """Return the indexes of the points that are drawn: of each stretch the lowest and the highest."""
    count = len(values)
    if count <= POINTS_MAX:
        return list(range(count))
    chosen = {0, count - 1}
    parts = POINTS_MAX // 2
    for part in range(parts):
        stretch = range(part * count // parts, (part + 1) * count // parts)
        chosen |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
    return sorted(chosen)


def name_of(account: int) -> str:
    """Return what a curve is called."""
    return f"account {account}" if account else "all accounts"


def drawn(figures: Figures) -> dict[int, list[int]]:
    """Return the curves that are drawn: the equity of one account, of several what each has made of its own."""
    curves = {account: curve for account, curve in figures.curves.items() if len(curve) > 1}
    if len(curves) < 2:
        return curves
    return {account: [value - curve[0] for value in curve] for account, curve in curves.items()}


def axis_name(figures: Figures) -> str:
    """Return what the upright axis shows."""
    return "equity, USDC" if len(figures.curves) < 2 else "equity less that of the beginning, USDC"


def svg_of(figures: Figures) -> str:
    """Return the curves as an SVG element."""
    curves, times = drawn(figures), figures.times_us
    if not curves:
        return "<p>Too little was recorded for a curve.</p>"
    low, high = min(map(min, curves.values())), max(map(max, curves.values()))
    high += high == low
    span_us = max(1, times[-1] - times[0])
    across, up = WIDTH - LEFT - 10, HEIGHT - BOTTOM - TOP

    def x(at_us: int) -> str:
        return f"{LEFT + (at_us - times[0]) * across / span_us:.1f}"

    def y(amount_e6: int) -> str:
        return f"{TOP + (high - amount_e6) * up / (high - low):.1f}"

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for line in range(GRID_LINES + 1):
        value = low + (high - low) * line // GRID_LINES
        parts.append(f'<path d="M{LEFT} {y(value)}H{WIDTH - 10}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value)}" text-anchor="end" font-size="12">{cents(value)}</text>')
    for place, account in enumerate(curves):
        curve = curves[account]
        points = " ".join(f"{x(times[index])},{y(curve[index])}" for index in thinned(curve))
        colour = COLOURS[place % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        place_y = TOP + 14 + 16 * place
        parts.append(f'<text x="{LEFT + 10}" y="{place_y}" fill="{colour}" font-size="13">{name_of(account)}</text>')
    for anchor, at_us in (("start", times[0]), ("end", times[-1])):
        parts.append(
            f'<text x="{x(at_us)}" y="{HEIGHT - 8}" text-anchor="{anchor}" font-size="12">{time_text(at_us)}</text>'
        )
    return "".join([*parts, "</svg>"])


def page_of(test: Backtest, trouble: str) -> str:
    """Return the result as one page that needs nothing else."""
    figures, summary = test.figures, summary_of(test, trouble)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(figures, row)) + "</tr>"
        for row in figures.rows()
    )
    notes = "".join(f"<p>Note: {html.escape(note)}.</p>" for note in summary["notes"])
    instructions = ", ".join(f"{count:,} {name}" for name, count in summary["instructions"].items()) or "none"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Back-test</title><style>{STYLE}</style>'
        f"</head><body><h1>Back-test, {summary['from']} to {summary['to']}</h1><p>{axis_name(figures)}</p>"
        f"{svg_of(figures)}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"<p>Instructions: {instructions}. Entries {summary['entries']:,}, state <code>{summary['state_hash']}</code>."
        f"</p>{notes}</body></html>\n"
    )


def html_write(test: Backtest, trouble: str, path: Path) -> None:
    """Write the page."""
    path.write_text(page_of(test, trouble))


def figure_class() -> Any:
    """Return matplotlib's Figure; raises ToolStop where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        words = "a picture needs matplotlib: install the extra `plot`, or use --html, which needs nothing"
        raise ToolStop(words) from None
    return Figure


def png_write(test: Backtest, path: Path) -> None:
    """Write the curves as a picture."""
    import matplotlib.dates

    figures = test.figures
    figure = figure_class()(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    for place, (account, curve) in enumerate(drawn(figures).items()):
        chosen = thinned(curve)
        days = [figures.times_us[index] / 86_400e6 for index in chosen]
        amounts = [curve[index] / 1e6 for index in chosen]
        axes.plot(days, amounts, color=COLOURS[place % len(COLOURS)], label=name_of(account), linewidth=1.2)
    locator = matplotlib.dates.AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator))
    axes.set_ylabel(axis_name(figures))
    axes.grid(alpha=0.3)
    if figures.curves:
        axes.legend(loc="best")
    figure.savefig(path, format="png", dpi=110)
