"""The only file that asks what time it is; shells only, never the core."""

import time


def now_us() -> int:
    """Return the wall clock in whole microseconds since 1970, as it stamps entries of the log."""
    return time.time_ns() // 1_000


def monotonic_s() -> float:
    """Return seconds of a clock that never steps back: for time-outs, back-off and liveness."""
    return time.monotonic()
