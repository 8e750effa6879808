"""
The pure state machine's public surface: allocate, apply_batch, hashes, snapshots, views, invariants, scratches.

    states = allocate()
    applied, events_count, status = apply_batch(states, batch, first, count)
    happened = events_of(states, events_count)          # EVENT records, until the next call

Nothing here knows Redis, Postgres, a clock or a log. A batch is `shared.wire.Batch` or anything with its three arrays.
"""

from typing import Any

import numpy as np

from engine.core import kernel
from engine.core.apply import batch_apply
from engine.core.inspect import (
    account_of,
    accounts_of,
    adl_ranks,
    adl_scores,
    book_levels,
    header,
    market_views,
    markets_of,
    orders_of,
    pool_of,
    positions_of,
)
from engine.core.invariants import invariants
from engine.core.kernel import compiled
from engine.core.scratch import (
    Ground,
    account_put,
    account_settle,
    clock_put,
    market_put,
    order_put,
    position_put,
    scratch_possible,
)
from engine.core.snapshot import (
    SnapshotMismatch,
    hashes,
    restore,
    snapshot_copy,
    snapshot_document,
    snapshot_ready,
    snapshot_size,
)
from engine.core.state import allocate
from engine.core.watch import (
    watch_counts,
    watch_funds,
    watch_house,
    watch_ladder,
    watch_money_e6,
    watch_money_rows,
    watch_nearest,
)
from shared.records import COMMAND_WORDS, CONFIG_WORDS

__all__ = [
    "Ground",
    "SnapshotMismatch",
    "account_of",
    "account_put",
    "account_settle",
    "accounts_of",
    "adl_ranks",
    "adl_scores",
    "allocate",
    "apply_batch",
    "apply_views",
    "batch_views",
    "book_levels",
    "clock_put",
    "compiled",
    "events_of",
    "hashes",
    "header",
    "invariants",
    "market_put",
    "market_views",
    "markets_of",
    "order_put",
    "orders_of",
    "pool_of",
    "position_put",
    "positions_of",
    "restore",
    "scratch_possible",
    "snapshot_copy",
    "snapshot_document",
    "snapshot_ready",
    "snapshot_size",
    "watch_counts",
    "watch_funds",
    "watch_house",
    "watch_ladder",
    "watch_money_e6",
    "watch_money_rows",
    "watch_nearest",
]


def apply_batch(states: np.ndarray, batch: Any, first: int, count: int) -> tuple[int, int, int]:
    """
    Apply commands first … first + count − 1 of a batch; return (applied, events, BatchStatus).

    A status other than DONE ends the call early; go on from `first + applied`. After EVENTS_FULL read the events and
    call again with the same entry first: it goes on where it stood.
    """
    return apply_views(states, batch_views(batch), first, count)


def batch_views(batch: Any) -> tuple[np.ndarray, ...]:
    """Return what `apply_views` takes of a batch; good until one of its three arrays is replaced by another."""
    records, parts, configs = batch.commands, batch.parts, batch.configs
    words = records.view(np.int64).reshape(-1, COMMAND_WORDS)
    part_words = parts.view(np.int64).reshape(-1, COMMAND_WORDS)
    config_words = configs.view(np.int64).reshape(-1, CONFIG_WORDS)
    if not kernel.JIT:
        records, parts, configs = (array.view(np.recarray) for array in (records, parts, configs))
    return records, words, parts, part_words, configs, config_words


def apply_views(states: np.ndarray, views: tuple[np.ndarray, ...], first: int, count: int) -> tuple[int, int, int]:
    """Apply commands of a batch as apply_batch does, given its views: making them takes longer than a quote."""
    applied, events_count, status = batch_apply(states, *views, first, count)
    return int(applied), int(events_count), int(status)


def events_of(states: np.ndarray, events_count: int) -> np.ndarray:
    """Return the events of the last call: EVENT[events_count], valid until the next one."""
    return states.view(np.ndarray)[0]["events"][:events_count]
