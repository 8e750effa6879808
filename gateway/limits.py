"""
Rate limits and their headers: fixed windows per account and per address, counted in this process's memory.

A count is a few instructions and waits for nothing, since two of them stand before every request. That is why no
library does it: those we know go through several coroutines for each, or walk all their keys.
"""

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from gateway.errors import GatewayCode, Refusal

COUNTERS_MAX = 200_000  # of one limit
PERIODS_S = {"second": 1, "minute": 60, "hour": 3_600}


class LimitName:
    """The limits there are."""

    ADDRESS = "address"  # everything from one network address
    PUBLIC = "public"
    STATIC = "static"  # the pages' files, from one network address
    TRADE = "trade"
    READ = "read"
    SIGN_IN = "sign_in"  # links asked for, per mail address
    SIGN_IN_ADDRESS = "sign_in_address"  # links asked for, per network address
    VERIFY = "verify"
    KEYS = "keys"  # keys made, per account


LIMITS = {
    LimitName.ADDRESS: "200/second",
    LimitName.PUBLIC: "50/second",
    LimitName.STATIC: "1000/second",
    LimitName.TRADE: "20/second",
    LimitName.READ: "50/second",
    LimitName.SIGN_IN: "5/hour",
    LimitName.SIGN_IN_ADDRESS: "20/hour",
    LimitName.VERIFY: "30/minute",
    LimitName.KEYS: "60/hour",
}
# A page has many files, and none costs anything: they do not count as `address` too, and nobody paces them.
APART = frozenset({LimitName.STATIC})


class _Window(NamedTuple):
    """One counter and the end of its window."""

    hits: int
    ends_s: float


class Counters:
    """The windows of one limit, bounded in number: the oldest makes room, and none of another limit's."""

    def __init__(self, quota: int, window_s: int, monotonic_s: Callable[[], float]) -> None:
        """Start empty."""
        self.quota = quota
        self.window_s = window_s
        self._monotonic_s = monotonic_s
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        """Return how many windows are kept."""
        return len(self._windows)

    def hit(self, who: str) -> tuple[int, float]:
        """Count once more; return the count and in how many seconds it ends. The first hit begins a window."""
        now_s = self._monotonic_s()
        window = self._windows.get(who)
        if window is None or now_s >= window.ends_s:
            window = _Window(0, now_s + self.window_s)
            self._windows.pop(who, None)
            if len(self._windows) >= COUNTERS_MAX:
                self._windows.popitem(last=False)
        self._windows[who] = window = _Window(window.hits + 1, window.ends_s)
        return window.hits, window.ends_s - now_s


class Limits:
    """Counts requests against the limits times a factor."""

    def __init__(self, factor: int, monotonic_s: Callable[[], float]) -> None:
        """Prepare the limits."""
        self.on_refused: Callable[[str], None] = lambda _name: None  # told of every refusal by the limit's name
        self._counters: dict[str, Counters] = {}
        for name, text in LIMITS.items():
            amount, period = text.split("/")
            self._counters[name] = Counters(int(amount) * factor, PERIODS_S[period], monotonic_s)

    def hit(self, name: str, who: str) -> dict[str, str]:
        """Count one request; return the headers that say what is left, if any do; raises Refusal(RATE_LIMITED)."""
        counters = self._counters[name]
        quota, window_s = counters.quota, counters.window_s
        hits, left_s = counters.hit(who)
        reset_s = max(1, math.ceil(left_s))
        headers = {
            "RateLimit-Policy": f'"{name}";q={quota};w={window_s}',
            "RateLimit": f'"{name}";r={max(0, quota - hits)};t={reset_s}',
        }
        if hits > quota:
            self.on_refused(name)
            detail = {"limit": name, "quota": quota, "window_s": window_s}
            refusal = Refusal(GatewayCode.RATE_LIMITED, detail, retry_after_s=reset_s)
            refusal.headers = headers
            raise refusal
        return {} if name in APART else headers


@lru_cache(maxsize=8_192)
def network_of(host: str | None) -> str:
    """Return who counts as one caller: an IPv4 address, or a /64 of IPv6."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
