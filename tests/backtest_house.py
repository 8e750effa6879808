"""Recordings, instructions and runs for the tests of the back-test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from engine.backtest import Backtest, Plan
from engine.backtest_feed import Feed
from engine.backtest_recordings import RecordingsFeed
from engine.backtest_strategy import Strategy
from engine.ingest import Machine
from scripts.backtest_files import frame_read
from shared.stream_keys import Entry

START_US = 1_767_225_600_000_000
SECOND_US = 1_000_000
BTC, ETH = "BTC_USDC_PERP", "ETH_USDC_PERP"


def frame(ts_us: int, bid: str, ask: str, update_id: int, market: str = BTC, **changed: Any) -> bytes:
    """Return a recorded quote's line."""
    data: dict[str, Any] = {"A": "1.5", "B": "2", "E": ts_us, "T": ts_us, "a": ask, "b": bid}
    data |= {"e": "bookTicker", "s": market, "u": update_id}
    data |= changed
    return orjson.dumps({"data": data, "stream": f"bookTicker.{market}"}) + b"\n"


def mark(ts_us: int, price: str, rate: str = "0.0001", next_ms: int = 0, market: str = BTC) -> bytes:
    """Return a recorded mark price's line."""
    data = {"E": ts_us, "T": ts_us, "e": "markPrice", "f": rate, "i": price, "n": next_ms, "p": price, "s": market}
    return orjson.dumps({"data": data, "stream": f"markPrice.{market}"}) + b"\n"


def walk_lines(
    count: int, step_us: int, market: str = BTC, first_us: int = START_US, middle: int = 60_000
) -> list[bytes]:
    """Return quotes that go up and down around a price, one each step."""
    lines = []
    for index in range(count):
        price = middle + (index * 7 % 40 - 20) * middle // 10_000
        lines.append(frame(first_us + index * step_us, f"{price}.0", f"{price}.1", index + 1, market))
    return lines


def order(ts_us: int, side: str, qty: str, account: int = 100, market: str = BTC, **more: Any) -> dict[str, Any]:
    """Return an instruction to buy or sell at the market, or as `more` says."""
    body = {"op": "order_place", "market": market, "side": side, "kind": "market", "qty": qty}
    return {"ts": ts_us, "account": account, **body, **more}


def feed_of(folder: Path, *files: list[bytes], **options: Any) -> RecordingsFeed:
    """Return the feed of files with these lines."""
    paths = []
    for number, lines in enumerate(files):
        paths.append(folder / f"recording{number}.jsonl")
        paths[-1].write_bytes(b"".join(lines))
    return RecordingsFeed(paths, frame_read, **options)


class Run:
    """A back-test that was run, and the log that it applied."""

    def __init__(
        self,
        feed: Feed,
        plan: Plan | None = None,
        instructions: Sequence[dict[str, Any]] = (),
        strategy: Any = None,
    ) -> None:
        self.log: list[Entry] = []
        subject = Strategy(strategy) if strategy is not None else None
        self.test = Backtest(feed, plan, instructions, subject, self.log.extend)
        self.figures = self.test.run()

    @property
    def state_hash(self) -> str:
        """Return the hash of the state at the end."""
        return self.test.state_hash()

    def kinds(self, *left_out: str) -> list[str]:
        """Return the kinds of the log's entries, in their order."""
        names = [entry.fields[-1][0].decode() for entry in self.log]
        return [name for name in names if name not in left_out]

    def stamps(self, kind: str) -> list[int]:
        """Return the times of the entries of a kind, in microseconds after START_US."""
        found = [entry for entry in self.log if entry.fields[-1][0] == kind.encode()]
        return [int(entry.fields[0][1]) - START_US for entry in found]


def hash_of(log: list[Entry], wire: str) -> str:
    """Return the hash of the state that a machine of its own derives from a log."""
    machine = Machine(wire=wire)
    for first in range(0, len(log), 500):
        machine.load(log[first : first + 500])
        while machine.step() is not None:
            pass
    return machine.hashes()[0]
