"""
What a back-test is told of: trades, fees, funding, results, exposure and draw-down of each account and market.

Counted from the events, which are the venue's own account of what happened; equity is read from the state at samples.
Money is micro-USDC throughout.
"""

from typing import Any, NamedTuple

import numpy as np

from engine import core
from engine.core.inspect import account_row
from shared.codes import ACCOUNT_FIRST

CURVES_MAX = 20  # accounts whose own curves are kept; of more only the sum
LOOK_US = 10_000_000  # what is applied at once ends where log time enters another ten seconds
SAMPLE_FILL_US = 1_000_000  # a fill is looked at when the last look is so old
E6_DIGITS = 6


class Tally:
    """What one account did in one market."""

    def __init__(self) -> None:
        self.fills = 0
        self.volume_e6 = 0
        self.fees_e6 = 0
        self.realised_e6 = 0
        self.funding_e6 = 0  # received; below zero paid
        self.liquidations = 0
        self.covered_e6 = 0  # of its losses, what insurance and house paid because it had no more
        self.trades = 0  # positions that were closed
        self.wins = 0
        self.gains_e6 = 0
        self.losses_e6 = 0  # as a positive number
        self.unrealised_e6 = 0
        self.exposure_us = 0
        self.open: dict[int, None] = {}  # positions
        self.open_since_us = 0
        self.peak_e6 = 0  # of the market's result
        self.drawdown_e6 = 0

    def result_e6(self) -> int:
        """Return what the account has made in the market so far."""
        return self.realised_e6 - self.fees_e6 + self.funding_e6 + self.covered_e6 + self.unrealised_e6

    def position(self, position_id: int, is_open: bool, at_us: int) -> None:
        """Note that a position is open or gone."""
        if is_open and not self.open:
            self.open_since_us = at_us
        if is_open:
            self.open[position_id] = None
        elif self.open.pop(position_id, self) is None and not self.open:
            self.exposure_us += at_us - self.open_since_us

    def fall(self) -> None:
        """Note how far the result is below its highest."""
        result_e6 = self.result_e6()
        self.peak_e6 = max(self.peak_e6, result_e6)
        self.drawdown_e6 = max(self.drawdown_e6, self.peak_e6 - result_e6)


class Row(NamedTuple):
    """One line of the result; of one market, of an account ("" as market), or of everything (account 0)."""

    account: int
    market: str
    fills: int
    trades: int
    volume_e6: int
    fees_e6: int
    funding_e6: int
    covered_e6: int
    realised_e6: int
    unrealised_e6: int
    drawdown_e6: int
    exposure_us: int
    liquidations: int
    wins: int
    gains_e6: int
    losses_e6: int
    begun_e6: int | None  # equity at the beginning and at the end; None in the line of a market
    equity_e6: int | None


class Figures:
    """Everything that is counted of one back-test."""

    def __init__(self, states: np.ndarray, accounts: list[int]) -> None:
        self.states = states
        self.state = states.view(np.ndarray)[0]
        self.accounts = accounts
        self.markets: list[str] = []
        self.lots_e12: dict[str, int] = {}
        self.tallies: dict[tuple[int, str], Tally] = {}
        self.results: dict[str, int] = {}  # how many instructions ended so
        self.result = ""  # of the newest instruction
        self.equity_begun: dict[int, int] = {}
        self.peaks_e6 = np.zeros(0, np.int64)  # of each account, and how far it was below
        self.deepest_e6 = np.zeros(0, np.int64)
        self.peak_e6 = 0  # of all together
        self.falls: dict[int, int] = {}  # of each account that fell, 0 standing for all
        self.falls_ppm: dict[int, int] = {}  # of the highest equity before
        self.times_us: list[int] = []
        self.curves: dict[int, list[int]] = {}
        self.sample_next_us = 0
        self.sampled_us = 0
        self.filled = False  # since the last look
        self.deposits_e6: dict[int, int] = {}
        self.log_time_us = 0
        self.begun_us = 0

    def begin(self) -> None:
        """Learn the markets, once the venue is founded."""
        self.markets = core.markets_of(self.states)
        rows = self.state["markets"][: len(self.markets)]
        self.lots_e12 = {name: int(row["config"]["lot_e12"]) for name, row in zip(self.markets, rows, strict=True)}

    def accounts_begin(self, at_us: int) -> None:
        """Take what the accounts have now as what they begin with."""
        self.begun_us = self.log_time_us = at_us
        self.sample_next_us = at_us + LOOK_US
        self.equity_begun = self.equities()
        self.results.clear()
        self.deposits_e6.clear()
        named = [0, *(self.accounts if 1 < len(self.accounts) <= CURVES_MAX else [])]
        self.curves = {account: [] for account in named}
        self.sample()

    def quotes_accepted(self) -> int:
        """Return how many quotes the venue has accepted."""
        return int(self.state["feeds"]["quotes_accepted"].sum())

    def note(self, event: dict[str, Any], at_us: int) -> None:
        """Count one event."""
        kind = event["e"]
        self.log_time_us = at_us
        if kind == "order_response":
            self.result = event["result"]
            self.results[self.result] = self.results.get(self.result, 0) + 1
            return
        account = event.get("account", 0)
        if account < ACCOUNT_FIRST or "market" not in event:
            if kind == "ledger" and account >= ACCOUNT_FIRST:
                self.ledger(event)
            return
        if kind not in COUNTED:
            return
        tally = self.tallies.setdefault((account, event["market"]), Tally())
        if kind == "fill":
            self.filled = True
            tally.fills += 1
            tally.volume_e6 += e6(event["notional"])
            tally.fees_e6 += e6(event["fee"])
            tally.realised_e6 += e6(event["pnl_realised"])
        elif kind == "funding":
            tally.funding_e6 += e6(event["amount"])
        elif kind == "deficit":
            tally.covered_e6 += e6(event["amount"])
        elif kind == "liquidation":
            tally.liquidations += 1
        elif kind == "position_changed":
            tally.position(event["position_id"], event["qty"].strip("-0.") != "", at_us)
        elif kind == "closed_position":
            tally.position(event["position_id"], False, at_us)
            tally.trades += 1
            made_e6 = e6(event["pnl_realised"]) - e6(event["fees"]) + e6(event["funding"])
            tally.wins += made_e6 > 0
            tally.gains_e6 += max(0, made_e6)
            tally.losses_e6 += max(0, -made_e6)

    def ledger(self, event: dict[str, Any]) -> None:
        """Count what an operator put into an account or took out of it, and a reset: that is no result."""
        if event["counter"] == "external":
            account = event["account"]
            self.deposits_e6[account] = self.deposits_e6.get(account, 0) + e6(event["amount"])

    def equities(self) -> dict[int, int]:
        """Return every account's equity at the marks of now; learns what is unrealised."""
        return dict(zip(self.accounts, self.equities_read().tolist(), strict=True))

    def equities_read(self) -> np.ndarray:
        """Return the same as an array, in the order of the accounts."""
        state = self.state
        first = account_row(ACCOUNT_FIRST)
        held = state["accounts"][first : first + len(self.accounts)]
        found = (held["free_e6"] + held["reserved_e6"]).astype(np.int64)
        for tally in self.tallies.values():
            tally.unrealised_e6 = 0
        rows = state["positions"][1 : int(state["positions_table"]["top"]) + 1]
        rows = rows[(rows["position_id"] > 0) & (rows["account_id"] >= ACCOUNT_FIRST)]
        if len(rows) == 0:
            return found
        markets = state["markets"][rows["market_id"] - 1]
        unrealised = rows["lots"] * markets["mark_ticks"] * markets["config"]["unit_e6"] - rows["cost_e6"]
        own = rows["account_id"] < ACCOUNT_FIRST + len(self.accounts)
        np.add.at(found, rows["account_id"][own] - ACCOUNT_FIRST, (rows["margin_e6"] + unrealised)[own])
        columns = (rows["account_id"].tolist(), rows["market_id"].tolist(), unrealised.tolist())
        for account, market_id, unrealised_e6 in zip(*columns, strict=True):
            there = self.tallies.get((account, self.markets[market_id - 1]))
            if there is not None:
                there.unrealised_e6 += unrealised_e6
        return found

    def look(self, sample_us: int) -> None:
        """Sample the equities when it is time, or something was filled since the last look."""
        now_us = int(self.state["header"]["log_time_us"])
        if now_us >= self.sample_next_us or (self.filled and now_us - self.sampled_us >= SAMPLE_FILL_US):
            self.log_time_us = now_us
            self.sample_next_us = (now_us // sample_us + 1) * sample_us
            self.sample()

    def sample(self) -> None:
        """Note what everybody has now, and how far that is below the highest."""
        equities = self.equities_read()
        self.filled, self.sampled_us = False, self.log_time_us
        everything_e6 = sum(equities.tolist())
        self.times_us.append(self.log_time_us)
        for account, curve in self.curves.items():
            curve.append(int(equities[account - ACCOUNT_FIRST]) if account else everything_e6)
        if len(self.peaks_e6) == 0:
            self.peaks_e6, self.deepest_e6 = equities.copy(), np.zeros(len(equities), np.int64)
        made = equities.copy()
        for account, deposited_e6 in self.deposits_e6.items():
            if account - ACCOUNT_FIRST < len(made):
                made[account - ACCOUNT_FIRST] -= deposited_e6
        np.maximum(self.peaks_e6, made, out=self.peaks_e6)
        for index in np.flatnonzero(self.peaks_e6 - made > self.deepest_e6).tolist():
            self.deepest_e6[index] = self.peaks_e6[index] - made[index]
            self.fall(ACCOUNT_FIRST + index, int(self.peaks_e6[index]), int(made[index]))
        self.peak_e6 = max(self.peak_e6, everything_e6 - self.deposited_e6(0))
        self.fall(0, self.peak_e6, everything_e6 - self.deposited_e6(0))
        for tally in self.tallies.values():
            tally.fall()

    def fall(self, account: int, peak_e6: int, made_e6: int) -> None:
        """Note how far an account is below its highest, 0 standing for all."""
        self.falls[account] = max(self.falls.get(account, 0), peak_e6 - made_e6)
        fall_ppm = (peak_e6 - made_e6) * 10**6 // max(1, peak_e6)
        self.falls_ppm[account] = max(self.falls_ppm.get(account, 0), fall_ppm)

    def deposited_e6(self, account: int) -> int:
        """Return what was put into an account since the beginning, 0 standing for all."""
        return self.deposits_e6.get(account, 0) if account else sum(self.deposits_e6.values())

    def end(self) -> None:
        """Take the last sample, and end what is still open as far as exposure goes."""
        self.log_time_us = int(self.state["header"]["log_time_us"])
        self.sample()
        for tally in self.tallies.values():
            if tally.open:
                tally.exposure_us += self.log_time_us - tally.open_since_us
                tally.open_since_us = self.log_time_us

    def rows(self) -> list[Row]:
        """Return the result: of each account its markets and their sum, and the sum of all where there are several."""
        equities = self.equities()
        found = []
        for account in self.accounts:
            own = sorted(market for holder, market in self.tallies if holder == account)
            tallies = [self.tallies[account, market] for market in own]
            for market, tally in zip(own, tallies, strict=True):
                found.append(row_of(account, market, [tally], tally.drawdown_e6, None, None))
            begun_e6 = self.equity_begun.get(account, 0) + self.deposited_e6(account)
            found.append(row_of(account, "", tallies, self.falls.get(account, 0), begun_e6, equities.get(account, 0)))
        if len(self.accounts) > 1:
            begun_e6 = sum(self.equity_begun.values()) + self.deposited_e6(0)
            everything = [self.tallies[key] for key in self.tallies if key[0] in self.equity_begun]
            found.append(row_of(0, "", everything, self.falls.get(0, 0), begun_e6, sum(equities.values())))
        return found


COUNTED = frozenset({"fill", "funding", "deficit", "liquidation", "position_changed", "closed_position"})


def row_of(
    account: int, market: str, tallies: list[Tally], drawdown_e6: int, begun_e6: int | None, equity_e6: int | None
) -> Row:
    """Return one line of the result; the exposure of several markets is that of the longest exposed."""

    def total(name: str) -> int:
        return sum(getattr(tally, name) for tally in tallies)

    return Row(
        account=account,
        market=market,
        fills=total("fills"),
        trades=total("trades"),
        volume_e6=total("volume_e6"),
        fees_e6=total("fees_e6"),
        funding_e6=total("funding_e6"),
        covered_e6=total("covered_e6"),
        realised_e6=total("realised_e6"),
        unrealised_e6=total("unrealised_e6"),
        drawdown_e6=drawdown_e6,
        exposure_us=max((tally.exposure_us for tally in tallies), default=0),
        liquidations=total("liquidations"),
        wins=total("wins"),
        gains_e6=total("gains_e6"),
        losses_e6=total("losses_e6"),
        begun_e6=begun_e6,
        equity_e6=equity_e6,
    )


def e6(text: str) -> int:
    """Return a text of money as micro-USDC."""
    assert text[-E6_DIGITS - 1] == ".", "money has six decimals"
    return int(text.replace(".", ""))
