"""
The WebSocket storm: two gateways, programs that follow every account through connections that are cut all the time.

    python -m tests.faults.ws_storm --clients 200 --seconds 60

Programs trade meanwhile, one gap of the price liquidates hundreds of positions in one entry, one gateway is stopped and
one killed, the view reader stands still for a while. Then everything that each program was told must be the events of
its account as the stream holds them, in their order, none missing, none twice. `test_ws_storm.py` runs a short one.
"""

import asyncio
import gzip
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx2
import uvloop

from gateway.identity import request_id_of_key
from shared.streams import EventsEntry
from tests.faults.second_gateway import SecondGateway, second_gateway
from tests.faults.venue_client import Trader as Account
from tests.faults.venue_client import Venue, eventually, family, venue_running
from tests.faults.ws_cutter import Cutter
from tests.faults.ws_storm_checks import Truth, place_of, responses_problems
from tests.faults.ws_storm_clients import MARKET, PARTS, PUBLIC, WHOLE, Follower, Trader

PRICE = 60_000
GAP_PERCENT = 93  # of the price, from the gap on
QUOTES_PER_S = 5
BATCH = 20
LEVERAGE = 50
PUBLIC_SHARE = 10  # one public follower for so many accounts
CONNECTION_LIFE_S = 4.0
TRADE_PAUSE_S = 2.5
LAG_S = 5.0
PATIENCE_S = 60.0
PROBLEMS_SHOWN = 30


class Options(NamedTuple):
    """One storm."""

    clients: int  # accounts; each is followed through either gateway
    seconds: float
    tickets: int  # positions that the gap liquidates, in all
    seed: int
    say: Callable[[str], None]


def feed_write(path: Path, seconds: float) -> None:
    """Write a recording: a price that hardly moves, and in its middle falls at once and stays there."""
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(frame) + "\n" for frame in frames(seconds))


def frames(seconds: float) -> Iterator[dict[str, Any]]:
    """Yield quotes with marks beside them."""
    count = int((seconds + PATIENCE_S) * QUOTES_PER_S)
    for number in range(1, count):
        cents = PRICE * 100 + number % 7 * 10
        if number > seconds / 2 * QUOTES_PER_S:
            cents = cents * GAP_PERCENT // 100 // 10 * 10
        event_us = 1_700_000_000_000_000 + number * 1_000_000 // QUOTES_PER_S
        bid, ask = (f"{each // 100}.{each % 100 // 10}" for each in (cents, cents + 10))
        data = {"A": "9", "B": "9", "E": event_us, "T": event_us, "a": ask, "b": bid, "e": "bookTicker", "s": MARKET}
        yield {"data": {**data, "u": number}, "stream": f"bookTicker.{MARKET}"}
        mark = {"E": event_us, "T": event_us, "e": "markPrice", "f": "0", "i": bid, "n": 0, "p": bid, "s": MARKET}
        yield {"data": mark, "stream": f"markPrice.{MARKET}"}


def tickets_open(venue: Venue, accounts: list[Account], tickets: int) -> None:
    """Open the positions that the gap will liquidate, evenly by account."""
    one = {"op": "trade_create", "market": MARKET, "side": "buy", "margin": "3", "leverage": LEVERAGE}
    for number, account in enumerate(accounts):
        left = tickets // len(accounts) + (number < tickets % len(accounts))
        while left:
            count = min(BATCH, left)
            answer = venue.call("POST", "/api/v1/trade/orders", {"commands": [one] * count}, account)
            assert answer.status == 200, answer
            results = [result["result"] for result in answer.body["results"]]
            assert results == ["OK"] * count, results
            left -= count


class Storm:
    """Everybody in one storm."""

    def __init__(self, options: Options, venue: Venue, second: SecondGateway, accounts: list[Account]) -> None:
        """Prepare; `run` lets it pass."""
        self.options = options
        self.venue = venue
        self.second = second
        self.accounts = accounts
        chance = random.Random(options.seed)
        self.cutters = [Cutter(random.Random(chance.random()), CONNECTION_LIFE_S) for _ in range(2)]
        self.chance = chance
        self.followers: list[Follower] = []
        self.traders: list[Trader] = []
        self.late: list[Follower] = []

    async def run(self) -> list[EventsEntry]:
        """Let the storm pass; return the events once everybody was told all of them, or had time enough for it."""
        ports = [int(self.venue.url.rsplit(":", 1)[1]), self.second.port]
        for cutter, port in zip(self.cutters, ports, strict=True):
            await cutter.open(port)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx2.AsyncClient(timeout=5.0, limits=limits, trust_env=False) as http:
            self.people_make(http)
            stopped = asyncio.Event()
            followed = [asyncio.ensure_future(follower.run()) for follower in self.followers]
            traded = [asyncio.ensure_future(trader.run(stopped)) for trader in self.traders]
            say = asyncio.ensure_future(self.say())
            await asyncio.to_thread(self.feed_go)
            await self.disturb(followed)
            stopped.set()
            for cutter in self.cutters:
                cutter.calm = True
            await asyncio.gather(*traded)
            entries = await self.told_wait()
            for task in (*followed, say):
                task.cancel()
            ends = await asyncio.gather(*followed, return_exceptions=True)
            for end in ends:
                if not isinstance(end, asyncio.CancelledError):
                    raise AssertionError("a follower ended by itself") from end
        for cutter in self.cutters:
            await cutter.close()
        return entries

    def people_make(self, http: httpx2.AsyncClient) -> None:
        """Make two followers for each account, a trader, and some of the public; a tenth of them come late."""
        urls, seed = [cutter.url for cutter in self.cutters], self.options.seed
        for number, (account, token) in enumerate(self.accounts):
            for way, channels in enumerate((WHOLE, PARTS)):
                self.followers.append(Follower(urls, account, token, channels, http, f"{seed} {account} {way}"))
            self.traders.append(Trader(urls, account, token, http, f"{seed} {account}", TRADE_PAUSE_S))
            if number % PUBLIC_SHARE == 0:
                self.followers.append(Follower(urls, 0, "", PUBLIC, http, f"{seed} public {number}"))

    def feed_go(self) -> None:
        """Let the price move."""
        assert self.venue.command("feed", "go").returncode == 0

    async def disturb(self, followed: list[asyncio.Task[None]]) -> None:
        """Let the time of the storm pass, with what happens in it."""
        seconds = self.options.seconds
        await asyncio.sleep(seconds * 0.2)
        self.options.say("the second gateway is stopped")
        assert await asyncio.to_thread(self.second.stop) == 0
        await asyncio.to_thread(self.second.start)
        await asyncio.sleep(seconds * 0.15)
        # The gap comes now, while the view reader stands still and some begin anew.
        await self.lag(min(LAG_S, seconds * 0.3))
        await asyncio.sleep(seconds * 0.1)
        self.options.say("the first gateway is killed")
        os.kill(self.venue.pids()["gateway"], signal.SIGKILL)
        await asyncio.sleep(seconds * 0.25)

    async def lag(self, seconds: float) -> None:
        """Stop the view reader for so long; a tenth of the followers forget their place meanwhile."""
        self.options.say("the view reader stands still")
        pids = family(self.venue.pids()["persister"])
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds / 2)
            for follower in self.chance.sample(self.followers, max(1, len(self.followers) // 10)):
                follower.begin_anew = True
            await asyncio.sleep(seconds / 2)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    async def told_wait(self) -> list[EventsEntry]:
        """Return the events when every follower's last one is its account's last, or its time is up."""
        tip = await asyncio.to_thread(self.venue.log_tip)
        await asyncio.to_thread(eventually, lambda: self.venue.applied(tip), "the engine has applied all", PATIENCE_S)
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            entries = await asyncio.to_thread(self.venue.events_read)
            truth = Truth([entry for entry in entries if entry.seq <= tip])
            behind = [one for one in self.followers if self.is_behind(one, truth)]
            if not behind or time.monotonic() > deadline_s:
                # What came after the tip may have reached some and not others.
                return [entry for entry in entries if entry.seq <= tip]
            await asyncio.sleep(0.5)

    def is_behind(self, follower: Follower, truth: Truth) -> bool:
        """Return whether a follower has still to be told something."""
        record = follower.records[-1] if follower.records else None
        if record is None or not record.snapshots:
            return True
        at = record.events[-1][0] if record.events else record.snapshots[0][0]
        known = truth.by_account[follower.account]
        return bool(known) and known[-1].place > (*place_of(at), 1 << 30)[:3]

    async def say(self) -> None:
        """Say now and then how it goes."""
        for seconds in itertools.count(5, 5):
            await asyncio.sleep(5)
            cuts, events = sum(cutter.cuts for cutter in self.cutters), self.events_count()
            trades = sum(trader.wishes for trader in self.traders)
            self.options.say(f"{seconds:4d} s  {cuts} cuts, {events} events told, {trades} wishes")

    def events_count(self) -> int:
        """Return how many events everybody was told."""
        return sum(len(record.events) for follower in self.followers for record in follower.records)


def storm_run(options: Options, folder: Path) -> dict[str, Any]:
    """Let one storm pass and return what it left; `problems` must be empty."""
    started_s = time.monotonic()
    feed = folder / "gap.jsonl.gz"
    feed_write(feed, options.seconds)
    with (
        venue_running(folder, "--feed", str(feed), "--hold") as venue,
        second_gateway(venue, folder / "second.txt") as second,
    ):
        eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh price")
        accounts = venue.traders_open(options.clients)
        tickets_open(venue, accounts, options.tickets)
        options.say(
            f"{options.clients} accounts hold {options.tickets} positions after {time.monotonic() - started_s:.0f} s"
        )
        storm = Storm(options, venue, second, accounts)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            entries = runner.run(storm.run())
    return result(storm, entries) | {"seconds": round(time.monotonic() - started_s, 1), "seed": options.seed}


def result(storm: Storm, entries: list[EventsEntry]) -> dict[str, Any]:
    """Return what everybody was told compared with the stream."""
    truth = Truth(entries)
    last = entries[-1].seq
    problems: list[str] = []
    for follower in storm.followers:
        for record in follower.records:
            record.events = [told for told in record.events if place_of(told[0])[0] <= last]
            who = f"account {record.account} {len(record.channels)} channels"
            problems += [f"{who}: {problem}" for problem in truth.problems(record)]
    accepted = [request_id for trader in storm.traders for request_id in trader.accepted]
    refused = [request_id_of_key(key) for trader in storm.traders for key in trader.refused]
    problems += responses_problems(entries, accepted, refused)
    codes = sum((trader.codes for trader in storm.traders), Counter())
    largest, size = truth.sizes.most_common(1)[0]
    return {
        "followers": len(storm.followers),
        "records": sum(len(follower.records) for follower in storm.followers),
        "connections": sum(follower.connections for follower in storm.followers),
        "cuts": sum(cutter.cuts for cutter in storm.cutters),
        "cuts_inside": sum(cutter.torn for cutter in storm.cutters),
        "events_told": storm.events_count(),
        "largest_entry": {"seq": largest, "events": size, "chunks": truth.chunks[largest]},
        "instructions_accepted": len(accepted),
        "instructions_refused": dict(codes),
        "problems_count": len(problems),
        "problems": problems[:PROBLEMS_SHOWN],
    }


@click.command()
@click.option(
    "--clients", type=click.IntRange(1), default=200, show_default=True, help="Accounts, each followed twice."
)
@click.option("--seconds", type=click.FloatRange(4), default=60.0, show_default=True)
@click.option(
    "--tickets", type=click.IntRange(1), default=1_000, show_default=True, help="Positions that the gap ends."
)
@click.option("--seed", default=1, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the venue lives; a new one by default.")
def main(clients: int, seconds: float, tickets: int, seed: int, folder: Path | None) -> None:
    """Let one storm pass and print what it left; exit code 1 when anything differs."""
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    options = Options(clients, seconds, tickets, seed, say)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        left = storm_run(options, folder)
    else:
        with tempfile.TemporaryDirectory(prefix="tidemark-") as name:
            left = storm_run(options, Path(name))
    print(json.dumps(left))
    sys.exit(1 if left["problems_count"] else 0)


if __name__ == "__main__":
    main()
