"""
The market views: what the engine accepted of each market's prices, beside the events and outside replay.

Written by the leader alone, for markets that changed, at most every 50 ms. Losing one is harmless.
"""

from typing import Any, Protocol

import orjson

VIEW_S = 0.05
FIELDS_MOVING = frozenset({"seq", "log_time_us"})  # they move with every entry and are no change of the market


class ViewStreams(Protocol):
    """The verb of shared.streams that market views use."""

    def view_markets_write(self, keys: Any, views: dict[str, dict[str, str]]) -> None: ...


class MarketViews:
    """The views written last, to write only what changed."""

    def __init__(self, streams: ViewStreams, keys: Any, now_s: float) -> None:
        self.streams = streams
        self.keys = keys
        self.next_s = now_s
        self.written: dict[str, dict[str, str]] = {}
        self.seq = -1

    def forget(self) -> None:
        """Write every market again: another engine may have written in between."""
        self.written = {}
        self.seq = -1

    def write(self, machine: Any, now_s: float) -> int:
        """Write the views of the markets that changed when it is time; return how many."""
        if now_s < self.next_s or machine.seq == self.seq:
            return 0
        changed = {}
        for market, figures in machine.market_views().items():
            view = {name: text_of(value) for name, value in figures.items()}
            essence = {name: text for name, text in view.items() if name not in FIELDS_MOVING}
            if self.written.get(market) != essence:
                changed[market] = view
                self.written[market] = essence
        self.seq = machine.seq
        self.next_s = now_s + VIEW_S
        if changed:
            self.streams.view_markets_write(self.keys, changed)
        return len(changed)


def text_of(value: Any) -> str:
    """Return a figure as the field of a hash holds it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
