"""
A founded state to try an instruction on: what a shell knows of one account is put in, and the core itself answers.

Plain Python over the kernels, so it is possible only where the compiler is off. Everything is put as it stands: nothing
here asks whether a whole venue could look like this, and no hash or invariant of such a state means anything.
"""

import mmap
import os
import tempfile
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy import int64

from engine.core import bands, kernel, orders, positions, rebuild, reserves, stale, tables, triggers
from engine.core.limits import KEYFRAME_US, MINUTE_US
from engine.core.state import STATE, allocate

ROWS_SPARE = 2**12  # of a table stay free, for what the tried instruction itself makes


def scratch_possible() -> bool:
    """Return whether kernels may be called from Python here: the compiler is off."""
    return not kernel.JIT


class Ground:
    """
    A founded state that is written once; every copy of it is private, and gone with its last reader.

    A copy costs one mapping: the system copies a page when the copy first writes to it, and nothing has to be undone.
    """

    def __init__(self) -> None:
        """Open an empty state, to be founded through `states`."""
        assert scratch_possible(), "the compiler is on"
        self._file = _file_unnamed()
        weakref.finalize(self, os.close, self._file)
        os.ftruncate(self._file, STATE.itemsize)
        self.states = self._mapped(mmap.ACCESS_WRITE)
        blank = allocate().view(np.ndarray)
        for name in ("index_seed", "events_room"):
            self.states.view(np.ndarray)[name] = blank[name]

    def copy(self) -> np.ndarray:
        """Return the founded state, STATE[1], for one reader who may write what he likes."""
        return self._mapped(mmap.ACCESS_COPY)

    def _mapped(self, access: int) -> np.ndarray:
        """Return the state in the file, every write shared or private."""
        return np.frombuffer(mmap.mmap(self._file, STATE.itemsize, access=access), STATE, 1).view(np.recarray)


def _file_unnamed() -> int:
    """Return a new empty file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("tidemark-ground")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _row_put(row: Any, figures: Mapping[str, Any]) -> None:
    """Write the named fields of one row; a name that the row does not have is a ValueError."""
    for name, value in figures.items():
        row[name] = value


def clock_put(states: np.ndarray, log_time_us: int) -> None:
    """Set log time, and what runs by it, so that an entry of this very time finds nothing due."""
    figures = {"log_time_us": log_time_us, "tick_time_us": log_time_us, "tick_pending_us": 0}
    figures |= {"minute": log_time_us // MINUTE_US, "keyframe_slot": log_time_us // KEYFRAME_US}
    _row_put(states.view(np.ndarray)[0]["header"], figures)


def market_put(states: np.ndarray, market_row: int, figures: Mapping[str, Any], house_lots: int = 0) -> None:
    """Set a market's figures, its quote being of the feed session in force, and what the house holds, at mark."""
    state = states.view(np.ndarray)[0]
    market = state["markets"][market_row]
    _row_put(market, {"quote_term": state["header"]["feed_term"]} | dict(figures))
    house = state["positions"][int(state["market_links"][market_row]["house_row"])]
    house["lots"] = house_lots
    house["cost_e6"] = house_lots * int(market["mark_ticks"]) * int(market["config"]["unit_e6"])


def account_put(states: np.ndarray, account_id: int, figures: Mapping[str, Any]) -> None:
    """Set what an account has, has chosen and forbids itself; `leverage` holds one number a market."""
    _row_put(states.view(np.ndarray)[0]["accounts"][int(tables.account_row(account_id))], figures)


def position_put(states: np.ndarray, figures: Mapping[str, Any]) -> None:
    """Add an open position of a user, an isolated one's thresholds included; ids given out later are greater."""
    state = states[0]
    _room_ensure(state.positions_table, state.position_links)
    row = tables.row_acquire(state.positions_table, state.position_links)
    _row_put(states.view(np.ndarray)[0]["positions"][row], figures)
    positions.position_link(state, row)
    triggers.threshold_push(state, row)
    state.venue.position_next = max(int(state.venue.position_next), int(figures["position_id"]) + 1)


def order_put(states: np.ndarray, figures: Mapping[str, Any]) -> None:
    """
    Add a live order where it waits, after the position that it closes; ids given out later are greater.

    Trailing stops that follow a peak come last, sells by descending and buys by ascending peak.
    """
    state = states[0]
    _room_ensure(state.orders_table, state.order_links)
    row = orders.order_acquire(state)
    _row_put(states.view(np.ndarray)[0]["orders"][row], figures)
    orders.order_link(state, row)
    rebuild.reserve_note(state, row)
    state.venue.order_next = max(int(state.venue.order_next), int(figures["order_id"]) + 1)
    state.venue.priority_next = max(int(state.venue.priority_next), int(figures["priority"]) + 1)


def _room_ensure(table: Any, links: Any) -> None:
    """Return when a table has room for this row and for those that an instruction makes; raises OverflowError."""
    if int(table.live) + ROWS_SPARE >= len(links):
        raise OverflowError("no room in the scratch state")


def account_settle(states: np.ndarray, account_id: int, elsewhere: Mapping[str, int]) -> None:
    """
    Bring up to date what follows from an account's positions and orders, once the last of them was put.

    elsewhere: what it has in markets that are not founded here, by the names of its links: positions_open, …
    """
    state = states[0]
    row = int64(tables.account_row(account_id))
    for market_row in range(int(state.venue.markets_count)):
        reserves.uncovered_note(state, row, int64(market_row))
    links = states.view(np.ndarray)[0]["account_links"][int(row)]
    for name, count in elsewhere.items():
        links[name] += count
    stale.note(state, row)
    bands.stale_flush(state)
