"""The venue that `bench wire` and `bench latency` begin with: a position an account, led by whom the bench names."""

from typing import Any

from engine import core
from scripts.bench_venue import BenchVenue
from scripts.bench_wire_log import Start
from shared.codes import BatchStatus

LIMITS = {"starting_balance": "1000000", "request_window_ms": 5_000}


class WireVenue(BenchVenue):
    """A venue of so many accounts, each with a position, an SL and a TP, that the engine `who` leads."""

    def __init__(self, accounts: int, who: str) -> None:
        super().__init__(2 * accounts, net=True, limits=LIMITS)
        self.accounts = accounts
        self.minutes_pass()
        # One second into a minute: no keyframe and no candle falls into the eight that follow.
        self._wait(60 - self.ts_us // 1_000_000 % 60 + 1)
        self._one("lead", b'{"who":"%s","rules":%d}' % (who.encode(), core.header(self.states)["rules"]), session=False)

    def _run(self, count: int) -> int:
        """Apply the first `count` commands of the batch, a `lead` among them; returns the events."""
        first = events = 0
        while first < count:
            applied, happened, _status = core.apply_batch(self.states, self.batch, first, count - first)
            first, events = first + applied, events + happened
            assert _status in (BatchStatus.DONE, BatchStatus.LEAD, BatchStatus.KEYFRAME, BatchStatus.EVENTS_FULL)
        return events


def start_of(venue: Any) -> Start:
    """Return where the log of a venue goes on."""
    return Start(venue.ts_us, venue.update_id, venue.request, venue.accounts)
