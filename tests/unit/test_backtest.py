"""engine/backtest.py: recordings and instructions become one log, and the log gives the state that is reported."""

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.backtest import BacktestError, Plan
from engine.backtest_feed import ArchiveFeed, FeedError
from engine.backtest_strategy import StrategyError
from persister.archive import ArchiveFiles
from scripts.backtest_files import segments_of
from shared.stream_keys import Entry
from tests.backtest_house import (
    BTC,
    ETH,
    SECOND_US,
    START_US,
    Run,
    feed_of,
    frame,
    hash_of,
    mark,
    order,
    walk_lines,
)


def instructions_of(chance: random.Random, count: int, span_us: int) -> list[dict[str, Any]]:
    """Return orders of two accounts at random times, some with triggers, some that the venue refuses."""
    found = []
    for _ in range(count):
        more = chance.choice(({}, {"take_profit": "60100.0"}, {"kind": "limit", "price": "59990.0"}, {"stp": "no"}))
        at_us = START_US + chance.randrange(span_us)
        found.append(order(at_us, chance.choice(("buy", "sell")), "0.01", chance.choice((100, 101, 999)), **more))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_log_that_was_applied_gives_the_same_state(tmp_path: Path, seed: int) -> None:
    """A machine that reads the exported log, either way, has the reported state; and a second run is the first."""
    instructions = instructions_of(random.Random(seed), 30, 60 * SECOND_US)
    files = (walk_lines(300, 200_000), walk_lines(200, 300_000, ETH, middle=3_000))
    runs = []
    for chunk_bytes in (2**20, 1_000):
        feed = feed_of(tmp_path, *files, chunk_bytes=chunk_bytes)
        runs.append(Run(feed, Plan(accounts=2), instructions))
    assert runs[0].log == runs[1].log and runs[0].state_hash == runs[1].state_hash
    assert [entry.seq for entry in runs[0].log] == list(range(1, len(runs[0].log) + 1))
    assert {hash_of(runs[0].log, wire) for wire in ("plain", "fast")} == {runs[0].state_hash}
    assert sum(runs[0].figures.results.values()) == 30 and runs[0].figures.results["OK"] > 5


def test_equity_is_what_it_began_with_and_what_was_made(tmp_path: Path) -> None:
    """Realised and unrealised results, less fees, with funding, are the change of equity to the micro-dollar."""
    lines = walk_lines(300, SECOND_US)
    due_ms = START_US // 1_000 + 120_000
    marks = [mark(START_US + at * SECOND_US + 1, "60000.0", "0.001", due_ms) for at in range(1, 300, 5)]
    instructions = instructions_of(random.Random(7), 40, 250 * SECOND_US)
    run = Run(feed_of(tmp_path, sorted(lines + marks, key=stamp_of)), Plan(accounts=2), instructions)
    rows = run.figures.rows()
    for row in rows:
        if row.begun_e6 is not None and row.equity_e6 is not None:
            made = row.realised_e6 + row.unrealised_e6 - row.fees_e6 + row.funding_e6 + row.covered_e6
            assert row.equity_e6 - row.begun_e6 == made
    assert rows[-1].account == 0 and rows[-1].fills > 10 and rows[-1].funding_e6 != 0 and rows[-1].drawdown_e6 > 0
    assert sum(row.fees_e6 for row in rows if row.market) == rows[-1].fees_e6


def test_liquidations_and_what_the_venue_covered_are_told(tmp_path: Path) -> None:
    """After a gap the account ends with nothing, its loss is more than it had, and the rest is what others paid."""
    prices = [60_000] * 10 + [57_000] * 5 + [56_000] * 5
    lines = [frame(START_US + at * SECOND_US, f"{price}.0", f"{price}.1", at + 1) for at, price in enumerate(prices)]
    settings = [{"op": "margin_mode_set", "mode": "cross"}, {"op": "leverage_set", "leverage": 50}]
    instructions = [{"ts": START_US + 3 * SECOND_US, "account": 101, "market": BTC, **each} for each in settings]
    instructions += [order(START_US + 4 * SECOND_US, "buy", "3.5", 101), order(START_US + 4 * SECOND_US, "buy", "0.1")]
    rows = {row.account: row for row in Run(feed_of(tmp_path, lines), Plan(accounts=2), instructions).figures.rows()}
    gone, kept = rows[101], rows[100]
    assert gone.equity_e6 == 0 and gone.liquidations == 1 and gone.drawdown_e6 == 5_000 * 10**6 == gone.begun_e6
    assert gone.covered_e6 > 0 and gone.realised_e6 - gone.fees_e6 + gone.covered_e6 == -(5_000 * 10**6)
    assert kept.liquidations == 0 and kept.covered_e6 == 0 and kept.unrealised_e6 < 0


def stamp_of(line: bytes) -> int:
    """Return a line's time."""
    return int(line.split(b'"E":')[1].split(b",")[0])


def test_files_are_merged_by_time_and_then_in_their_order(tmp_path: Path) -> None:
    """Of one time the file named first comes first; an instruction of that time comes behind both, a tick before."""
    one = [frame(START_US + at, "60000.0", "60000.1", at + 1) for at in (0, 500_000, 2_000_000)]
    two = [frame(START_US + at, "3000.00", "3000.01", at + 1, ETH) for at in (0, 500_000, 1_500_000)]
    run = Run(feed_of(tmp_path, one, two), instructions=[order(START_US + 2_000_000, "buy", "0.01")])
    markets = [
        b"BTC" if b"BTC" in entry.fields[-1][1] else b"ETH" for entry in run.log if b"price" in entry.fields[-1][0]
    ]
    assert markets == [b"BTC", b"ETH", b"BTC", b"ETH", b"ETH", b"BTC"]
    assert run.kinds("genesis", "feed_status", "price_update")[1:] == ["clock_tick", "clock_tick", "user_instruction"]
    assert run.kinds()[-3:] == ["clock_tick", "price_update", "user_instruction"]
    assert run.figures.results == {"OK": 1}


def test_the_clock_ticks_every_second_and_jumps_over_long_silence(tmp_path: Path) -> None:
    """Every full second until nothing has come for a minute; then two ticks right before what comes next."""
    lines = [
        frame(START_US + at, "60000.0", "60000.1", number + 1) for number, at in enumerate((0, 3_500_000, 600_250_000))
    ]
    run = Run(feed_of(tmp_path, lines))
    seconds = run.stamps("clock_tick")
    assert seconds[:-2] == [at * SECOND_US for at in range(1, 64)] and seconds[-2:] == [599_250_000, 600_250_000]
    assert run.test.log_time_us() == START_US + 600_250_000
    assert run.figures.quotes_accepted() == 3


def test_an_instruction_far_from_any_quote_has_its_own_time(tmp_path: Path) -> None:
    """Before the first quote and long after the last the clock goes along, so that it is neither early nor late."""
    account = {"account": 100, "op": "orders_cancel"}
    times = (START_US - 30 * SECOND_US, START_US + 3_600 * SECOND_US)
    run = Run(feed_of(tmp_path, walk_lines(5, SECOND_US)), instructions=[{"ts": at, **account} for at in times])
    assert run.figures.results == {"OK": 2}
    assert run.stamps("user_instruction")[-2:] == [-30 * SECOND_US, 3_600 * SECOND_US]


def test_a_file_that_begins_opens_a_session(tmp_path: Path) -> None:
    """So the update ids of a second day may begin again; without it every quote of that day would be old."""
    later_us = START_US + 86_400 * SECOND_US
    files = (walk_lines(10, SECOND_US), walk_lines(10, SECOND_US, first_us=later_us))
    run = Run(feed_of(tmp_path, *files))
    assert run.kinds().count("feed_status") == 2 and run.figures.quotes_accepted() == 20


def test_files_begin_whenever_they_do(tmp_path: Path) -> None:
    """Each opens its session right in front of its own first quote, in whatever order they were named."""
    files = [
        walk_lines(40, SECOND_US, market, START_US + later_s * SECOND_US, middle)
        for market, later_s, middle in ((BTC, 0, 60_000), (ETH, 15, 3_000), ("SOL_USDC_PERP", 9, 150))
    ]
    run = Run(feed_of(tmp_path, *files))
    assert run.stamps("feed_status") == [0, 9 * SECOND_US, 15 * SECOND_US]
    assert run.figures.quotes_accepted() == 120 and hash_of(run.log, "plain") == run.state_hash


def test_times_bound_what_is_read(tmp_path: Path) -> None:
    """Nothing recorded before the one time or after the other is applied, and nothing left is said."""
    lines = walk_lines(100, SECOND_US)
    bounds = {"from_us": START_US + 20 * SECOND_US, "to_us": START_US + 29 * SECOND_US}
    run = Run(feed_of(tmp_path, lines, **bounds))
    assert run.stamps("price_update") == [at * SECOND_US for at in range(20, 30)]
    with pytest.raises(BacktestError, match="nothing is recorded"):
        Run(feed_of(tmp_path, lines, from_us=START_US + 200 * SECOND_US))


def test_frames_in_another_form_are_read_as_the_poller_reads_them(tmp_path: Path) -> None:
    """Other order of keys, a number as text, a missing side, blank lines: the log has what the poller would write."""
    plain = frame(START_US, "60000.0", "60000.1", 1)
    swapped = plain.replace(b'"A":"1.5","B":"2"', b'"B":"2","A":"1.5"').replace(b'"u":1', b'"u":"2"')
    lines = [
        plain,
        b"\n",
        swapped,
        frame(START_US, "60000.0", "60000.1", 3, A=None),
        mark(START_US + 1, "60000.0"),
        plain[:-1],
    ]
    run = Run(feed_of(tmp_path, lines))
    bodies = [entry.fields[-1][1] for entry in run.log if entry.fields[-1][0] == b"price_update"]
    assert bodies[1] == bodies[0].replace(b'"u":1', b'"u":2') and b'"A":null' in bodies[2]
    assert run.kinds().count("mark_update") == 1 and hash_of(run.log, "plain") == run.state_hash


@pytest.mark.parametrize(
    ("line", "words"),
    [(b"{}\n", "line 3: not a frame"), (b"rubbish", "line 3"), (b'{"data":{"s":1},"stream":"x"}\n', "line 3")],
)
def test_a_line_that_is_no_frame_is_named(tmp_path: Path, line: bytes, words: str) -> None:
    """File and line are said, whatever came before it."""
    with pytest.raises(FeedError, match=words):
        Run(feed_of(tmp_path, [*walk_lines(2, SECOND_US), line]))


class Recorder:
    """A strategy that notes what it is shown and buys at one quote."""

    def __init__(self, buys_at: int = 3, answer: Any = None) -> None:
        self.quotes: list[Any] = []
        self.events: list[dict[str, Any]] = []
        self.context: Any = None
        self.buys_at = buys_at
        self.answer = answer

    def on_start(self, context: Any) -> None:
        """Keep what may be asked."""
        self.context = context

    def on_quote(self, quote: Any) -> Any:
        """Note a quote; answer at one of them."""
        self.quotes.append(quote)
        if len(self.quotes) != self.buys_at:
            return None
        return self.answer or {"op": "order_place", "market": BTC, "side": "buy", "kind": "market", "qty": "0.01"}

    def on_event(self, event: dict[str, Any]) -> None:
        """Note an event."""
        self.events.append(event)


@pytest.mark.parametrize(("latency_us", "price"), [(0, "60003.1"), (200_000, "60003.1"), (1_000_000, "60004.1")])
def test_a_strategy_trades_a_latency_after_what_it_saw(tmp_path: Path, latency_us: int, price: str) -> None:
    """Its order stands behind every quote up to its time; so it fills at what was there then, not at what it saw."""
    lines = [frame(START_US + at * SECOND_US, f"6000{at}.0", f"6000{at}.1", at + 1) for at in range(1, 9)]
    strategy = Recorder()
    run = Run(feed_of(tmp_path, lines), Plan(latency_us=latency_us), strategy=strategy)
    [fill] = [event for event in strategy.events if event["e"] == "fill"]
    assert fill["price"] == price
    assert run.stamps("user_instruction")[-1] == 3 * SECOND_US + latency_us
    assert len(strategy.quotes) == 8 and strategy.quotes[0].bid == Decimal("60001.0")
    assert hash_of(run.log, "plain") == run.state_hash
    [position] = strategy.context.positions(100)
    assert (str(position["qty"]), position["market"]) == ("0.01", BTC)
    held = strategy.context.account(100)
    assert held["equity"] * 10**6 == run.figures.rows()[-1].equity_e6 and held["free"] < held["equity"]


def test_a_strategy_changes_nothing_by_looking(tmp_path: Path) -> None:
    """With one that never answers, the state is that of a run without any."""
    lines = walk_lines(200, 250_000)
    runs = [Run(feed_of(tmp_path, lines), strategy=subject) for subject in (None, Recorder(-1))]
    assert runs[0].state_hash == runs[1].state_hash


@pytest.mark.parametrize(
    "answer", [{"op": "order_place", "qty": 0.1}, {"no": "op"}, {"op": "x", "oco": {"price": 1.0}}]
)
def test_floats_and_what_is_no_instruction_are_refused(tmp_path: Path, answer: dict[str, Any]) -> None:
    """Money is never a float, however deep it hides."""
    with pytest.raises(StrategyError, match=r"float|no instruction"):
        Run(feed_of(tmp_path, walk_lines(9, SECOND_US)), strategy=Recorder(answer=answer))
    with pytest.raises(StrategyError, match="neither"):
        Run(feed_of(tmp_path, walk_lines(9, SECOND_US)), strategy=object())


def test_operations_and_balances_are_applied_first(tmp_path: Path) -> None:
    """An operator's instruction stands right behind the founding; one that is refused ends the back-test."""
    lines = walk_lines(20, SECOND_US)
    fees = {"op": "market_set", "market": BTC, "fee_taker_ppm": 0}
    plan = Plan(accounts=2, balances=["25000", None], operations=[fees])
    run = Run(feed_of(tmp_path, lines), plan, [order(START_US + 5 * SECOND_US, "buy", "0.1")])
    first, last = run.figures.rows()[1], run.figures.rows()[-1]
    assert (
        first.begun_e6 == 25_000 * 10**6 and last.begun_e6 == 30_000 * 10**6 and last.fees_e6 == 0 and last.fills == 1
    )
    with pytest.raises(BacktestError, match="MARKET_UNKNOWN"):
        Run(feed_of(tmp_path, lines), Plan(operations=[{**fees, "market": "NO"}]))
    with pytest.raises(BacktestError, match="no venue can be founded"):
        Run(feed_of(tmp_path, lines), Plan(markets=[{"market": BTC, "tick": "0", "lot": "1"}]))


def test_foreign_markets_are_counted(tmp_path: Path) -> None:
    """Quotes of a market that the venue does not have are no silence: their number is told; --markets brings it."""
    lines = [frame(START_US + at, "1.50", "1.51", at + 1, "WIF_USDC") for at in range(5)]
    assert Run(feed_of(tmp_path, lines)).test.notes() == ["5 quotes are of markets that the venue does not have"]
    market = {"market": "WIF_USDC", "tick": "0.01", "lot": "0.1", "leverage_max": 10}
    run = Run(feed_of(tmp_path, lines), Plan(markets=[market]))
    assert run.test.notes() == [] and run.figures.quotes_accepted() == 5


def archive_of(folder: Path, log: list[Entry], frame_entries: int = 100) -> ArchiveFeed:
    """Return the feed of an archive that holds this log."""
    files = ArchiveFiles(folder, "recorded01")
    assert files.begin()
    for first in range(0, len(log), frame_entries):
        files.append(log[first : first + frame_entries])
    files.close()
    return ArchiveFeed(segments_of(folder), None, None)


def test_an_archive_gives_its_quotes_and_leaves_its_accounts_out(tmp_path: Path) -> None:
    """What was recorded of the feed and set for markets is there again; instructions of accounts are only counted."""
    fees = {"op": "market_set", "market": BTC, "fee_taker_ppm": 100}
    plan = Plan(accounts=3, operations=[fees], venue_set={"starting_balance": "777"})
    recorded = Run(
        feed_of(tmp_path, walk_lines(400, 100_000)), plan, instructions_of(random.Random(1), 9, 30 * SECOND_US)
    )
    feed = archive_of(tmp_path / "archive", recorded.log)
    run = Run(feed, Plan(accounts=1), [order(START_US + 20 * SECOND_US, "buy", "0.01")])
    assert feed.notes == ["12 instructions of the recorded accounts were left out"]
    kinds = ("clock_tick", "price_update", "feed_status", "venue_instruction")
    for kind in kinds[:3]:
        assert run.stamps(kind) == recorded.stamps(kind)
    assert run.kinds().count("venue_instruction") == 1 and run.kinds().count("user_instruction") == 2
    row = run.figures.rows()[-1]
    assert row.begun_e6 == 777 * 10**6 and row.fills == 1 and row.fees_e6 * 10_000 <= row.volume_e6 + 10_000
    assert hash_of(run.log, "plain") == run.state_hash


def test_quotes_of_an_archive_in_another_form_count_as_any(tmp_path: Path) -> None:
    """One that another program wrote with blanks, one that ends a long frame: none is lost, strategies see them."""
    recorded = Run(feed_of(tmp_path, walk_lines(3_000, 10_000))).log
    log = [recorded[0], *recorded[2:]]
    log = [entry._replace(seq=number) for number, entry in enumerate(log, 1)]
    name, body = log[40].fields[-1]
    blank = log[40]._replace(fields=[*log[40].fields[:-1], (name, body.replace(b'":', b'": ', 3))])
    hashes = set()
    for number, (entries, frame_entries) in enumerate(((log, 100), ([*log[:40], blank, *log[41:]], 100), (log, 3_000))):
        strategy = Recorder(-1)
        feed = archive_of(tmp_path / f"archive{number}", entries, frame_entries)
        run = Run(feed, strategy=strategy)
        hashes.add(run.state_hash)
        assert run.figures.quotes_accepted() == len(strategy.quotes) == 3_000
    assert len(hashes) == 1


def test_a_part_of_an_archive_opens_its_session_itself(tmp_path: Path) -> None:
    """Where the entry that opened the session lies before the part, one is put in front of the first quote."""
    recorded = Run(feed_of(tmp_path, walk_lines(400, 100_000)))
    archive_of(tmp_path / "archive", recorded.log).close()
    segments = segments_of(tmp_path / "archive")
    run = Run(ArchiveFeed(segments, START_US + 10 * SECOND_US, START_US + 20 * SECOND_US))
    assert run.kinds()[:5] == ["genesis", "user_instruction", "clock_tick", "feed_status", "price_update"]
    assert run.figures.quotes_accepted() == 101
