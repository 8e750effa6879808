"""`tidemark backtest`: recordings through the engine in this process, with instructions or a strategy; no servers."""

import json
import os
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import click

from engine.backtest import Backtest, BacktestError, Plan
from engine.backtest_feed import Feed, FeedError
from engine.backtest_strategy import StrategyError
from scripts import backtest_chart, backtest_files
from scripts.backtest_print import result_csv, result_json, result_print
from scripts.exits import EXIT_INTERRUPTED, ToolStop, ending
from scripts.progress import Going
from scripts.wanted import TimeParam
from scripts.what_if import WhatIfError, operation_read


class Asked(NamedTuple):
    """What one back-test is to do."""

    files: tuple[Path, ...]
    accounts: str
    balance: str | None
    markets: Path | None
    instructions: Path | None
    strategy: str | None
    operations: tuple[str, ...]
    latency_ms: int
    from_us: int | None
    to_us: int | None
    price_age_s: int
    sample_s: int
    as_json: bool
    as_csv: bool
    html: Path | None
    png: Path | None
    log: Path | None


FILE = click.Path(dir_okay=False, path_type=Path)
READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("backtest")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--accounts", default="1", show_default=True, metavar="N|FILE", help="How many, or a line of JSON each.")
@click.option("--balance", help="What an account begins with; 5000 unless the recorded venue had another.")
@click.option("--markets", type=READABLE, help="A JSON list of markets, as in a genesis entry.")
@click.option("--instructions", type=READABLE, help='Lines like {"ts": …, "account": 100, "op": …}.')
@click.option("--strategy", metavar="FILE.py:Class", help="An object with on_start, on_quote, on_event.")
@click.option("--with", "operations", multiple=True, metavar="OP", help="An operator's instruction at the beginning.")
@click.option("--latency-ms", type=click.IntRange(0, 60_000), default=100, show_default=True,
              help="From what a strategy sees to where its instruction stands.")  # fmt: skip
@click.option("--from", "from_us", type=TimeParam(), help="Leave out what was recorded before.")
@click.option("--to", "to_us", type=TimeParam(), help="Leave out what was recorded after.")
@click.option("--price-age-s", type=click.IntRange(1, 86_400), default=60, show_default=True,
              help="How long a recorded quote is fresh.")  # fmt: skip
@click.option("--sample-s", type=click.IntRange(10, 86_400), default=60, show_default=True,
              help="Seconds between two looks at the equity.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--html", type=FILE, help="Write result and equity curve as one page.")
@click.option("--png", type=FILE, help="Write the equity curve as a picture.")
@click.option("--log", type=click.Path(file_okay=False, path_type=Path), help="Write the log as an archive.")
@ending
def backtest(**options: Any) -> int:
    """
    Run recordings (.jsonl, .jsonl.gz) or an archive of the log through the engine, in this process.

    \b
    Examples:
      ./scripts/tidemark backtest btc.jsonl.gz --accounts 2 --instructions orders.jsonl
      ./scripts/tidemark backtest btc.jsonl.gz eth.jsonl.gz --strategy mine.py:Mean --html result.html
      ./scripts/tidemark backtest .tidemark/archive --with 'market_set BTC_USDC_PERP fee_taker_ppm=400'
    """
    asked = Asked(**options)
    if asked.as_json and asked.as_csv:
        raise click.UsageError("--json and --csv are two forms: give one of them")
    if asked.png is not None:
        backtest_chart.figure_class()
    try:
        return run(asked)
    except (FeedError, BacktestError, StrategyError, WhatIfError) as error:
        raise ToolStop(f"{error}; `./scripts/tidemark backtest --help` has examples") from None


def run(asked: Asked) -> int:
    """Run, print, return the exit code."""
    feed = backtest_files.feed_open(asked.files, asked.from_us, asked.to_us, asked.price_age_s)
    log = backtest_files.LogWriter(asked.log) if asked.log is not None else None
    code, trouble = 0, ""
    try:
        test = test_of(asked, feed, log)
        with Going("back-test", 0) as progress:

            def advance(entries: int, done: int, total: int) -> None:
                progress.total = entries * total // max(1, done)
                progress.advance(entries - progress.done)

            try:
                strategy_guarded(test, advance, asked.strategy)
            except KeyboardInterrupt:
                trouble, code = "stopped before the end; what is shown is of the part until there", EXIT_INTERRUPTED
                test.figures.end()
    finally:
        feed.close()
        if log is not None:
            log.close()
    if asked.as_json:
        click.echo(json.dumps(result_json(test, trouble)))
    elif asked.as_csv:
        click.echo(result_csv(test.figures), nl=False)
    else:
        result_print(test, trouble)
    if asked.html is not None:
        backtest_chart.html_write(test, trouble, asked.html)
    if asked.png is not None:
        backtest_chart.png_write(test, asked.png)
    return code


def test_of(asked: Asked, feed: Feed, log: Any) -> Backtest:
    """Return the back-test that is asked for; raises ToolStop, BacktestError, StrategyError, WhatIfError."""
    count, balances = backtest_files.accounts_read(asked.accounts)
    plan = Plan(
        accounts=count,
        balances=balances,
        markets=backtest_files.markets_read(asked.markets) if asked.markets is not None else None,
        venue_set={"starting_balance": asked.balance} if asked.balance is not None else None,
        operations=[operation_read(text) for text in asked.operations],
        latency_us=asked.latency_ms * 1_000,
        sample_us=asked.sample_s * 1_000_000,
    )
    instructions = []
    if asked.instructions is not None:
        instructions = backtest_files.instructions_read(asked.instructions, asked.from_us, asked.to_us)
    strategy = backtest_files.strategy_load(asked.strategy) if asked.strategy is not None else None
    return Backtest(feed, plan, instructions, strategy, log)


def strategy_guarded(test: Backtest, advance: Any, strategy: str | None) -> None:
    """Run; what a strategy's own code raises becomes one sentence with its place."""
    try:
        test.run(advance)
    except (FeedError, BacktestError, StrategyError, OSError):
        raise
    except Exception as error:
        place = strategy_place(error, strategy)
        if not place:
            raise
        raise ToolStop(f"the strategy raised {type(error).__name__}: {error} ({place})") from None


def strategy_place(error: Exception, strategy: str | None) -> str:
    """Return where in the strategy's file an error comes from, "" when it comes from elsewhere."""
    if strategy is None:
        return ""
    path = os.path.abspath(strategy.rpartition(":")[0])
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if os.path.abspath(frame.filename) == path]
    return f"{os.path.basename(path)}, line {lines[-1].lineno}" if lines else ""
