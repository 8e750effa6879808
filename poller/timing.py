"""Clock and sleep as one argument, so that every wait of the poller can be driven by a test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from shared import clock


class Timing(NamedTuple):
    """The three ways in which a shell touches time; the defaults are the real ones."""

    now_us: Callable[[], int] = clock.now_us
    monotonic_s: Callable[[], float] = clock.monotonic_s
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
