"""What `tidemark backtest` reads and writes beside the quotes: accounts, instructions, a strategy, the log."""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from engine.backtest import VENUE
from engine.backtest_feed import ArchiveFeed, Feed, FeedError, segment_of
from engine.backtest_recordings import RecordingsFeed
from engine.backtest_strategy import Strategy, StrategyError, float_refuse
from persister.archive import ArchiveFiles
from poller.recording import RecordingError, recorded_parse
from scripts.exits import ToolStop
from scripts.sources import time_us_of
from shared import units
from shared.archive import Segment, archive_segments, archive_venues
from shared.codes import ACCOUNT_FIRST
from shared.stream_keys import Entry

RECORDINGS = (".jsonl", ".jsonl.gz")
LOG_ENTRIES = 10_000  # of one frame of the log that is written


def feed_open(files: Sequence[Path], from_us: int | None, to_us: int | None, price_age_s: int) -> Feed:
    """Return the feed of recordings, or of one archive; raises ToolStop for a mixture, FeedError for neither."""
    recorded = [path for path in files if path.name.endswith(RECORDINGS)]
    if recorded and len(recorded) < len(files):
        raise ToolStop("recordings and archives have clocks of their own: give the one or the other")
    if recorded:
        return RecordingsFeed(list(recorded), frame_read, price_age_s * 1_000, from_us, to_us)
    segments = [found for path in files for found in segments_of(path)]
    venues = sorted({venue for _, venue in segments})
    if len(venues) > 1:
        raise ToolStop(f"these files are of several venues ({', '.join(venues)}): give those of one")
    return ArchiveFeed(sorted(segments, key=lambda found: found[0].first_seq), from_us, to_us)


def segments_of(path: Path) -> list[tuple[Segment, str]]:
    """Return the files of an archive that a path names: one of them, a venue's folder, or the folder of one venue."""
    if not path.is_dir():
        return [segment_of(path)]
    for folder, venues in ((path, archive_venues(path)), (path.absolute().parent, [path.absolute().name])):
        found = [(segment, venue) for venue in venues for segment in archive_segments(folder, venue)]
        if found:
            return found
    raise FeedError(f"{path} holds no archive")


def frame_read(line: bytes, place: str) -> tuple[bytes, bytes]:
    """Return kind and body of a frame that is not in canonical form, as the poller would log it."""
    try:
        frame = recorded_parse(line, place)
    except RecordingError as error:
        raise FeedError(str(error)) from None
    return (b"price_update" if frame.price else b"mark_update"), orjson.dumps(frame.data)


def lines_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and content of each line of JSON; raises ToolStop."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        place = f"{path.name}, line {number}"
        if not line.strip():
            continue
        try:
            data = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ToolStop(f"{place}: no JSON: {error}") from None
        if not isinstance(data, dict):
            raise ToolStop(f"{place}: not an object")
        yield place, data


def accounts_read(text: str) -> tuple[int, list[str | None]]:
    """Return how many accounts there are, and what each begins with, of a number or a file; raises ToolStop."""
    if text.isdigit():
        return int(text), []
    balances: list[str | None] = []
    for place, data in lines_of(Path(text)):
        account, balance = data.get("account", ACCOUNT_FIRST + len(balances)), data.get("balance")
        if data.keys() - {"account", "balance"}:
            raise ToolStop(f"{place}: the keys of an account are `account` and `balance`")
        if account != ACCOUNT_FIRST + len(balances):
            raise ToolStop(f"{place}: accounts count from {ACCOUNT_FIRST}; this one is {ACCOUNT_FIRST + len(balances)}")
        if balance is not None and (type(balance) is not str or units.decimal_parse(balance) is None):
            raise ToolStop(f'{place}: a balance is a text like "25000"')
        balances.append(balance)
    if not balances:
        raise ToolStop(f"{text} names no account")
    return len(balances), balances


def instructions_read(path: Path, from_us: int | None, to_us: int | None) -> list[dict[str, Any]]:
    """Return the instructions of a file within the times asked for, `ts` in microseconds; raises ToolStop."""
    found = []
    for place, data in lines_of(path):
        try:
            ts = data["ts"]
            ts_us = ts if type(ts) is int else time_us_of(ts)
            if not isinstance(data["op"], str) or type(data.get("account", 0)) is not int:
                raise ValueError
            float_refuse(data, place)
        except (KeyError, ValueError, TypeError):
            words = 'an instruction is {"ts": microseconds or a time, "account": 100, "op": …}'
            raise ToolStop(f"{place}: {words}") from None
        except StrategyError as error:
            raise ToolStop(str(error)) from None
        if (from_us is None or ts_us >= from_us) and (to_us is None or ts_us <= to_us):
            found.append({**data, "ts": ts_us})
    return found


def markets_read(path: Path) -> list[dict[str, Any]]:
    """Return the markets of a file: a JSON list as in a genesis entry; raises ToolStop."""
    try:
        markets = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ToolStop(f"{path}: no JSON: {error}") from None
    if not isinstance(markets, list) or not all(isinstance(each, dict) and "market" in each for each in markets):
        raise ToolStop(
            f'{path}: markets are a list like [{{"market": "BTC_USDC_PERP", "tick": "0.1", "lot": "0.001"}}]'
        )
    return markets


def strategy_load(text: str) -> Strategy:
    """Return the strategy of FILE.py:Class; raises ToolStop, or what the file raises."""
    name, colon, attribute = text.rpartition(":")
    path = Path(name)
    if not colon or not attribute.isidentifier() or not path.is_file():
        raise ToolStop(f"{text} names no strategy: give FILE.py:Class")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ToolStop(f"{path} is no file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        raise ToolStop(f"{path} has no {attribute}")
    found = getattr(module, attribute)
    return Strategy(found() if callable(found) else found)


class LogWriter:
    """Writes the log that is applied as an archive, which every tool reads."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; raises ToolStop when it holds a log already."""
        if archive_segments(folder, VENUE):
            raise ToolStop(f"{folder} holds a log already: name another folder with --log")
        self.files = ArchiveFiles(folder, VENUE)
        if not self.files.begin():
            raise ToolStop(f"somebody writes into {folder} now: name another folder with --log")
        self.entries: list[Entry] = []

    def __call__(self, entries: Sequence[Entry]) -> None:
        """Take the next entries."""
        self.entries += entries
        if len(self.entries) >= LOG_ENTRIES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken."""
        self.files.append(self.entries)
        self.entries = []

    def close(self) -> None:
        """Write the rest and let go of the files."""
        self.flush()
        self.files.close()
