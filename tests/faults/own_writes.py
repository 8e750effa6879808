"""
One reads one's own writes through any gateway: written through one, read through another at once.

    python -m tests.faults.own_writes --times 10000

Two gateways of one venue. Accounts write through either and read through the other as soon as they have the answer.
In some stretches one gateway's tail of the events comes late, in some the view reader stands still, in some both. An
answer that is old and does not say so is a failure; how many said so is printed.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx2

from tests.faults.late_tail import LateTail, late_tail
from tests.faults.own_writes_account import MARKET, Account
from tests.faults.second_gateway import SecondGateway
from tests.faults.venue_client import Trader, Venue, venue_running

ACCOUNTS = 12
MARKED_SHOWN = 5
PATIENCE_S = 30.0


class Stretch(NamedTuple):
    """A part of the run: its share of the turns, how late the tail comes and how long views stand still at most."""

    name: str
    share: float
    tail_s: float
    views_s: float


STRETCHES = (
    Stretch("calm", 0.7, 0.0, 0.0),
    Stretch("tail late", 0.12, 0.35, 0.0),
    Stretch("views late", 0.12, 0.0, 0.35),
    Stretch("both late", 0.06, 0.35, 0.35),
)


class Scene:
    """Two gateways of a running venue and the accounts that use them."""

    def __init__(self, venue: Venue, second: SecondGateway, proxy: LateTail, seed: int) -> None:
        self.venue = venue
        self.proxy = proxy
        self.chance = random.Random(seed)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self.clients = [
            httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S, limits=limits, trust_env=False)
            for url in (venue.url, second.url)
        ]
        self.accounts: list[Account] = []
        self.turns_left = 0

    async def open(self, traders: list[Trader]) -> None:
        """Take the accounts and the price that they trade around."""
        ticker = (await self.clients[0].get(f"/api/v1/market/{MARKET}/ticker")).json()
        for trader in traders:
            account = Account(trader.account, trader.token, self.clients, random.Random(self.chance.random()))
            await account.begin(Decimal(ticker["mark"]))
            self.accounts.append(account)

    async def stretch(self, stretch: Stretch, turns: int) -> dict[str, Any]:
        """Let the accounts take so many turns under these conditions; return what was counted."""
        before: Counter[str] = sum((account.counts for account in self.accounts), Counter())
        self.turns_left = turns
        held_before = self.proxy.held_count
        self.proxy.lag_s = lambda: self.chance.uniform(0, stretch.tail_s) if stretch.tail_s else 0.0
        began_s = time.monotonic()
        async with self.views_pausing(stretch.views_s):
            await asyncio.gather(*(self.go_on(account) for account in self.accounts))
        after: Counter[str] = sum((account.counts for account in self.accounts), Counter())
        counted = {"turns": turns, "seconds": round(time.monotonic() - began_s, 1)} | dict(after - before)
        return counted | ({"held": self.proxy.held_count - held_before} if stretch.tail_s else {})

    async def go_on(self, account: Account) -> None:
        """Let one account take turns as long as there are any."""
        while self.turns_left > 0:
            self.turns_left -= 1
            await account.turn()

    @contextlib.asynccontextmanager
    async def views_pausing(self, most_s: float) -> AsyncIterator[None]:
        """Stop and continue the view reader while the body runs."""
        if not most_s:
            yield
            return
        pid = self.venue.pids()["persister"]
        task = asyncio.ensure_future(self.pause(pid, most_s))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            os.kill(pid, signal.SIGCONT)

    async def pause(self, pid: int, most_s: float) -> None:
        """Stop a process now and then."""
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(self.chance.uniform(0, most_s))
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(self.chance.uniform(0, most_s))

    async def close(self) -> None:
        """Let go of the connections."""
        for client in self.clients:
            await client.aclose()


async def scene_run(venue: Venue, folder: Path, traders: list[Trader], times: int, seed: int) -> dict[str, Any]:
    """Return what all stretches counted and what was wrong."""
    async with late_tail(venue.redis_url) as (proxy, url):
        second = SecondGateway(venue, folder / "second.log", {"REDIS_URL": url})
        await asyncio.to_thread(second.start)
        try:
            scene = Scene(venue, second, proxy, seed)
            await scene.open(traders)
            found = {
                each.name: await scene.stretch(each, max(ACCOUNTS, round(times * each.share))) for each in STRETCHES
            }
            await scene.close()
        finally:
            code = await asyncio.to_thread(second.stop)
    wrong = [line for account in scene.accounts for line in account.wrong]
    total = sum(sum(found[name].get(each, 0) for each in ("current", "marked")) for name in found)
    return {
        "times": total,
        "marked": sum(stretch.get("marked", 0) for stretch in found.values()),
        "old_unmarked": len(wrong),
        "gateway_exit": code,
        "stretches": found,
        "wrong": wrong[:MARKED_SHOWN],
    }


def own_writes_run(folder: Path, times: int, seed: int) -> dict[str, Any]:
    """Return what a whole run found, of a venue of its own."""
    with venue_running(folder, "--feed", "simulated", "--seed", str(seed)) as venue:
        return asyncio.run(scene_run(venue, folder, venue.traders_open(ACCOUNTS), times, seed))


@click.command()
@click.option("--times", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep everything here.")
def main(times: int, seed: int, folder: Path | None) -> None:
    """Write through one gateway, read through another, and print what was old, as JSON."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-own-")))
        result = own_writes_run(folder.absolute(), times, seed)
    click.echo(json.dumps(result, indent=2))
    sys.exit(1 if result["old_unmarked"] else 0)


if __name__ == "__main__":
    main()
