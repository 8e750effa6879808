"""
Whether the page keeps up: frames a second, memory, the age of the quote it shows, while 500 quotes a second come.

Question: does the trading page, in a headless browser on cores of its own, stay above 30 frames a second over four
markets, hold its memory, show the last quote within 250 ms, and how much does it load until one can trade?
The venue is a whole one with the local simulator at the pace that gives so many quotes. The account holds a position
with TP and SL, so that everything on the page moves. Frames are those of requestAnimationFrame; the heap is what is
left after the browser was told to collect; the age is, each time it is looked at, now less the time of the quote that
stands on the page, so it holds the whole way from the feed on and the wait for the next one.
"""

import contextlib
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from scripts.bench_browser import browser_running
from scripts.bench_gateway import cores_split, cores_take, venue_running

MARKET = "BTC_USDC_PERP"
MARKETS_COUNT = 4
QUOTES_PER_S = 500
SIMULATED_PER_S = 8.0  # quotes a second and market at speed 1
SIZE = {"width": 1440, "height": 900}
WARM_S = 3.0
PATIENCE_MS = 30_000
GOAL_FPS, GOAL_AGE_MS, GOAL_BYTES, GOAL_INTERACTIVE_MS = 30.0, 250.0, 250_000, 1_000.0
GOAL_GROWTH = 0.1  # of the heap, from the first look to the last; a megabyte is forgiven
FORGIVEN_BYTES = 1_000_000

# When, since the page was asked for, one can trade: the chart shows candles, the button may be pressed, prices flow.
INTERACTIVE_SCRIPT = """
(() => {
  const there = (chosen) => document.querySelector(chosen) !== null;
  const look = () => {
    if (there('[data-test="chart"][data-ready="true"]') && there('[data-test="connection"][data-state="live"]')
        && there('[data-test="ticket"] [data-test="ticket-side-buy"]')) {
      window.tidemarkInteractive = performance.now();
    } else {
      requestAnimationFrame(look);
    }
  };
  requestAnimationFrame(look);
})();
"""
# Frames and ages from now on; both are numbers alone, so that counting them takes no memory worth counting.
COUNT_SCRIPT = """(seconds) => {
  const frames = new Float32Array(Math.ceil(seconds * 300));
  const ages = new Float32Array(Math.ceil(seconds * 300));
  const counted = window.tidemarkCounted = {frames, ages, frame: 0, age: 0, done: false};
  let before = performance.now();
  const end = before + seconds * 1000;
  const look = (now) => {
    if (counted.frame < frames.length && now > before) frames[counted.frame++] = now - before;
    before = now;
    const shown = document.querySelector('[data-test="quote-age"]')?.dataset.quoteUs;
    if (shown && counted.age < ages.length) ages[counted.age++] = Date.now() - Number(shown) / 1000;
    if (now < end) requestAnimationFrame(look);
    else counted.done = true;
  };
  requestAnimationFrame(look);
}"""
COUNTED_SCRIPT = """() => {
  const {frames, ages, frame, age} = window.tidemarkCounted;
  return {frames: Array.from(frames.slice(0, frame)), ages: Array.from(ages.slice(0, age))};
}"""


class Plan(NamedTuple):
    """What is measured."""

    seconds: float
    quotes_per_s: int = QUOTES_PER_S
    loads: int = 5  # first loads, of which the median is shown


class Loaded(NamedTuple):
    """One first load."""

    bytes_all: int  # as they came over the wire, headers included
    bytes_files: int  # of them the page's own files
    addresses: tuple[str, ...]  # of every request
    interactive_ms: float


def percentile(values: list[float], share: float) -> float:
    """Return the value that so large a share of the values does not pass; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@contextlib.contextmanager
def requests_weighed(session: Any) -> Iterator[dict[str, tuple[str, int]]]:
    """Yield what every request of a page weighs on the wire, by its number, while it loads."""
    addresses: dict[str, str] = {}
    found: dict[str, tuple[str, int]] = {}
    session.send("Network.enable")
    session.on(
        "Network.requestWillBeSent", lambda event: addresses.update({event["requestId"]: event["request"]["url"]})
    )

    def finished(event: dict[str, Any]) -> None:
        found[event["requestId"]] = addresses.get(event["requestId"], ""), round(event["encodedDataLength"])

    session.on("Network.loadingFinished", finished)
    yield found
    session.send("Network.disable")


def first_load(browser: Any, url: str, state: Any) -> Loaded:
    """Return what the page of a signed-in account takes when nothing of it is kept."""
    context = browser.new_context(viewport=SIZE, storage_state=state)
    try:
        context.add_init_script(INTERACTIVE_SCRIPT)
        page = context.new_page()
        with requests_weighed(context.new_cdp_session(page)) as found:
            page.goto(url)
            interactive_ms = interactive_wait(page)
            page.wait_for_timeout(300)  # what is asked for right after counts too
        weighed = list(found.values())
        files = sum(size for address, size in weighed if "/api/" not in address)
        addresses = tuple(address for address, _ in weighed)
        return Loaded(sum(size for _, size in weighed), files, addresses, interactive_ms)
    finally:
        context.close()


def interactive_wait(page: Any) -> float:
    """Return after how many milliseconds one could trade."""
    deadline_s = time.monotonic() + PATIENCE_MS / 1_000
    while time.monotonic() < deadline_s:
        found = page.evaluate("window.tidemarkInteractive ?? null")
        if found is not None:
            return float(found)
        page.wait_for_timeout(20)
    raise RuntimeError(f"the page does not become one to trade on: {page.inner_text('body')[:500]}")


def heap_bytes(session: Any) -> int:
    """Return what the page's scripts hold once what nobody holds is gone."""
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
    return int(metrics_read(session)["JSHeapUsedSize"])


def metrics_read(session: Any) -> dict[str, float]:
    """Return what the browser counts of the page."""
    return {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}


def quotes_count(metrics_url: str) -> float:
    """Return how many quotes the poller has taken so far."""
    with urllib.request.urlopen(metrics_url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    found = (line for line in lines if line.startswith("tidemark_feed_frames_total{") and 'kind="price"' in line)
    return sum(float(line.rpartition(" ")[2]) for line in found)


def position_open(context: Any, url: str) -> None:
    """Open a position with TP and SL far enough away to last."""
    ticker = context.request.get(f"{url}/api/v1/market/{MARKET}/ticker").json()
    units = int(ticker["mark"].partition(".")[0])
    legs = {"take_profit": f"{units * 5 // 4}", "stop_loss": f"{units * 3 // 4}"}
    body = {"market": MARKET, "side": "buy", "qty": "0.01", **legs}
    answer = context.request.post(f"{url}/api/v1/trade/order", data=body)
    if not answer.ok:
        raise RuntimeError(f"no position: {answer.text()}")


def under_load(page: Any, session: Any, seconds: float, metrics_url: str) -> dict[str, Any]:
    """Return the figures of a page that has been open for a while, over so many seconds of quotes."""
    session.send("Performance.enable")
    page.wait_for_timeout(WARM_S * 1_000)
    heap_first = heap_bytes(session)
    quotes, began_s = quotes_count(metrics_url), time.monotonic()
    busy = metrics_read(session)
    page.evaluate(COUNT_SCRIPT, seconds)
    page.wait_for_timeout(seconds * 1_000)
    while not page.evaluate("window.tidemarkCounted.done"):
        page.wait_for_timeout(50)
    rate = (quotes_count(metrics_url) - quotes) / (time.monotonic() - began_s)
    busy = {name: value - busy.get(name, 0.0) for name, value in metrics_read(session).items()}
    counted = page.evaluate(COUNTED_SCRIPT)
    page.evaluate("delete window.tidemarkCounted")
    heap_last = heap_bytes(session)
    frames, ages = counted["frames"], counted["ages"]
    return {
        "quotes_per_s": round(rate),
        "frames": len(frames),
        "fps_median": round(1_000 / statistics.median(frames), 1),
        "fps_p1": round(1_000 / percentile(frames, 0.99), 1),
        "frame_worst_ms": round(max(frames), 1),
        "frames_below_goal": round(sum(each > 1_000 / GOAL_FPS for each in frames) / len(frames), 5),
        "busy_share": round(busy["TaskDuration"] / busy["Timestamp"], 3),
        "scripts_share": round(busy["ScriptDuration"] / busy["Timestamp"], 3),
        "heap_first_bytes": heap_first,
        "heap_last_bytes": heap_last,
        "age_median_ms": round(statistics.median(ages), 1) if ages else None,
        "age_p99_ms": round(percentile(ages, 0.99), 1) if ages else None,
        "age_worst_ms": round(max(ages), 1) if ages else None,
    }


def measure(plan: Plan, console: Console) -> tuple[dict[str, Any], list[Table]]:
    """Return figures and table of the page's first loads and of one page under load."""
    venue_cores, load_cores = cores_split()
    speed = plan.quotes_per_s / MARKETS_COUNT / SIMULATED_PER_S
    with tempfile.TemporaryDirectory(prefix="tidemark-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(venue_running(folder, venue_cores, 1, "--speed", f"{speed:g}"))
        ready = json.loads((folder / "ready.json").read_text())
        cores_take(load_cores)
        stack.callback(cores_take, venue_cores | load_cores)
        browser = stack.enter_context(browser_running())
        context = browser.new_context(viewport=SIZE)
        context.add_init_script(INTERACTIVE_SCRIPT)
        page = context.new_page()
        page.goto(ready["sign_in_url"])
        interactive_wait(page)
        position_open(context, ready["url"])
        state = context.storage_state()
        console.print("first loads")
        loads = [first_load(browser, ready["url"], state) for _ in range(plan.loads)]
        console.print(f"{plan.seconds:g} s of quotes")
        page.bring_to_front()
        figures = under_load(page, context.new_cdp_session(page), plan.seconds, ready["metrics"]["poller"])
    figures |= {
        "load_bytes": max(each.bytes_all for each in loads),
        "load_files_bytes": max(each.bytes_files for each in loads),
        "load_requests": max(len(each.addresses) for each in loads),
        "interactive_ms": round(statistics.median(each.interactive_ms for each in loads)),
        "interactive_worst_ms": round(max(each.interactive_ms for each in loads)),
        "venue_cores": len(venue_cores),
        "browser_cores": len(load_cores),
    }
    figures["goals"] = goals_of(figures)
    return figures, [table_of(figures)]


def goals_of(figures: dict[str, Any]) -> dict[str, bool]:
    """Return which goals are met."""
    flat = figures["heap_last_bytes"] <= figures["heap_first_bytes"] * (1 + GOAL_GROWTH) + FORGIVEN_BYTES
    return {
        "frames": figures["fps_p1"] >= GOAL_FPS,
        "memory": flat,
        "age": figures["age_p99_ms"] is not None and figures["age_p99_ms"] <= GOAL_AGE_MS,
        "load_bytes": figures["load_bytes"] <= GOAL_BYTES,
        "interactive": figures["interactive_ms"] <= GOAL_INTERACTIVE_MS,
    }


def table_of(figures: dict[str, Any]) -> Table:
    """Return the table of all figures, each beside its goal."""
    met = {True: "met", False: "missed"}
    goals = figures["goals"]
    table = Table("figure", "measured", "goal", "", title=f"page: {figures['quotes_per_s']} quotes a second")
    rows = [
        ("frames a second, median", f"{figures['fps_median']:g}", "", ""),
        ("frames a second, slowest hundredth", f"{figures['fps_p1']:g}", f"≥ {GOAL_FPS:g}", met[goals["frames"]]),
        ("share of frames below 30 a second", f"{figures['frames_below_goal']:.3%}", "", ""),
        ("longest frame, ms", f"{figures['frame_worst_ms']:g}", "", ""),
        ("main thread busy, of it scripts", f"{figures['busy_share']:.1%}, {figures['scripts_share']:.1%}", "", ""),
        ("heap, first → last look, MB", heap_words(figures), "flat", met[goals["memory"]]),
        ("age of the quote shown, median ms", f"{figures['age_median_ms']}", "", ""),
        ("age of the quote shown, p99 ms", f"{figures['age_p99_ms']}", f"≤ {GOAL_AGE_MS:g}", met[goals["age"]]),
        ("first load, kB over the wire", f"{figures['load_bytes'] / 1_000:.1f}", f"≤ {GOAL_BYTES // 1_000}",
         met[goals["load_bytes"]]),
        ("of them the page's files, kB", f"{figures['load_files_bytes'] / 1_000:.1f}", "", ""),
        ("requests until then", f"{figures['load_requests']}", "", ""),
        ("until one can trade, median ms", f"{figures['interactive_ms']}", f"≤ {GOAL_INTERACTIVE_MS:g}",
         met[goals["interactive"]]),
    ]  # fmt: skip
    for row in rows:
        table.add_row(*row)
    table.caption = f"venue on {figures['venue_cores']} cores, browser on {figures['browser_cores']}"
    return table


def heap_words(figures: dict[str, Any]) -> str:
    """Return the heap's sizes."""
    first, last = figures["heap_first_bytes"] / 1e6, figures["heap_last_bytes"] / 1e6
    return f"{first:.2f} → {last:.2f}"
