"""
Pictures of what the benchmarks measured, small enough for a page: one PNG from one line of the history.

matplotlib is imported where it is used: only who asks for a picture needs it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SIZE_INCHES = (7.2, 3.6)
DOTS_PER_INCH = 100
COLOURS = {"ceiling": "#b9c4cf", "bare": "#7f95a8", "fast": "#1f6f8b", "plain": "#e0963c", "baseline": "#a4434a"}


def draw_wire(line: dict[str, Any], axes: Any) -> None:
    """Draw messages a second of each loop, by mix."""
    mixes = line["mixes"]
    names = {"ceiling": "ceiling: receive only", "bare": "bare: receive, append", "fast": "engine",
             "plain": "engine, plain path", "baseline": "redis-py + orjson"}  # fmt: skip
    loops = {"bare": "bare", "fast": "engine", "plain": "plain", "baseline": "baseline"}
    width = 0.8 / len(names)
    for at, (key, words) in enumerate(names.items()):
        heights = [
            mix["ceiling_per_s"] if key == "ceiling" else mix["loops"].get(loops[key], {}).get("per_s", 0)
            for mix in mixes.values()
        ]
        places = [place + (at - 2) * width for place in range(len(mixes))]
        bars = axes.bar(places, heights, width, label=words, color=COLOURS[key])
        axes.bar_label(bars, [f"{height / 1e3:,.0f}k" if height else "" for height in heights], fontsize=7)
    axes.set_yscale("log")
    axes.set_xticks(range(len(mixes)), [f"{percent} % orders" for percent in mixes])
    axes.set_ylabel("messages a second")
    axes.figure.legend(fontsize=7, ncols=5, loc="outside upper center", frameon=False)


def draw_latency(line: dict[str, Any], axes: Any) -> None:
    """Draw p50 and p99 over the pace, on both paths."""
    for path in ("fast", "plain"):
        loads = line[path]["loads"]
        rates = [int(rate) for rate in loads]
        for name, style in (("p50_ms", "--"), ("p99_ms", "-")):
            words = f"{path} path, {name.partition('_')[0]}"
            axes.plot(rates, [load[name] for load in loads.values()], style, marker="o", markersize=4,
                      color=COLOURS[path], label=words)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("entries a second, 20 % orders, everything on two cores")
    axes.set_ylabel("due → event received, ms")
    axes.grid(alpha=0.3)
    axes.figure.legend(fontsize=7, ncols=4, loc="outside upper center", frameon=False, handlelength=4)


def draw_core(line: dict[str, Any], axes: Any) -> None:
    """Draw what a quiet quote costs over the number of resting triggers, beside a linear scan."""
    for name, words, key in (("quiet_tick_ns", "core", "fast"), ("linear_tick_ns", "linear scan", "baseline")):
        sizes = [max(1, int(size)) for size in line[name]]
        axes.plot(sizes, list(line[name].values()), marker="o", markersize=4, color=COLOURS[key], label=words)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("resting SL and TP")
    axes.set_ylabel("one quiet quote, ns")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


DRAWN: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "wire": draw_wire,
    "latency": draw_latency,
    "core": draw_core,
}


def drawable(name: str) -> None:
    """Raise click.UsageError unless there is a picture of this benchmark and something to draw it with."""
    if name not in DRAWN:
        raise click.UsageError(f"there is a picture of {', '.join(sorted(DRAWN))}, none of {name}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise click.UsageError(f"--plot needs matplotlib, the extra `plot`: {error}") from None


def draw(name: str, line: dict[str, Any], path: Path) -> None:
    """Write the picture of one line of the history."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE_INCHES, layout="constrained")
    DRAWN[name](line, axes)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": ""})
    pyplot.close(figure)
