"""
Rate limits and their headers: fixed windows per account and per address, counted in this process's memory.

The counters live in an own storage, because the library's in-memory one walks all its keys on every hit.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from gateway.errors import GatewayCode, Refusal

COUNTERS_MAX = 200_000


class LimitName:
    """The limits there are."""

    ADDRESS = "address"  # everything from one network address
    PUBLIC = "public"
    TRADE = "trade"
    READ = "read"
    SIGN_IN = "sign_in"  # links asked for, per mail address
    SIGN_IN_ADDRESS = "sign_in_address"  # links asked for, per network address
    VERIFY = "verify"


LIMITS = {
    LimitName.ADDRESS: "200/second",
    LimitName.PUBLIC: "50/second",
    LimitName.TRADE: "20/second",
    LimitName.READ: "50/second",
    LimitName.SIGN_IN: "5/hour",
    LimitName.SIGN_IN_ADDRESS: "20/hour",
    LimitName.VERIFY: "30/minute",
}


class _Window(NamedTuple):
    """One counter and the end of its window."""

    hits: int
    ends_s: float


class CounterStorage(Storage):
    """Counters with an end each, bounded in number; the oldest window makes room."""

    STORAGE_SCHEME = None

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        """Start empty."""
        super().__init__()
        self._monotonic_s = monotonic_s
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return what the library may wrap."""
        return ValueError

    def _window(self, key: str) -> _Window | None:
        """Return the running window of a key."""
        window = self._windows.get(key)
        return window if window is not None and self._monotonic_s() < window.ends_s else None

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Return the count after adding; a first hit begins the window."""
        window = self._window(key)
        if window is None:
            window = _Window(0, self._monotonic_s() + expiry)
            self._windows.pop(key, None)
        self._windows[key] = window = window._replace(hits=window.hits + amount)
        while len(self._windows) > COUNTERS_MAX:
            self._windows.popitem(last=False)
        return window.hits

    async def get(self, key: str) -> int:
        """Return the count of the running window."""
        window = self._window(key)
        return window.hits if window else 0

    async def get_expiry(self, key: str) -> float:
        """Return when the running window ends."""
        window = self._window(key)
        return window.ends_s if window else self._monotonic_s()

    async def check(self) -> bool:
        """Return that memory answers."""
        return True

    async def reset(self) -> int:
        """Forget everything."""
        count = len(self._windows)
        self._windows.clear()
        return count

    async def clear(self, key: str) -> None:
        """Forget one key."""
        self._windows.pop(key, None)


class Limits:
    """Counts requests against the limits times a factor."""

    def __init__(self, factor: int, monotonic_s: Callable[[], float]) -> None:
        """Prepare the limits."""
        self._monotonic_s = monotonic_s
        self._limiter = FixedWindowRateLimiter(CounterStorage(monotonic_s))
        self._items: dict[str, RateLimitItem] = {}
        for name, text in LIMITS.items():
            amount, period = text.split("/")
            self._items[name] = parse(f"{int(amount) * factor}/{period}")

    async def hit(self, name: str, who: str) -> dict[str, str]:
        """Count one request and return the headers that say what is left; raises Refusal(RATE_LIMITED)."""
        item = self._items[name]
        window_s = int(item.get_expiry())
        accepted = await self._limiter.hit(item, name, who)
        stats = await self._limiter.get_window_stats(item, name, who)
        reset_s = max(1, round(stats.reset_time - self._monotonic_s() + 0.5))
        headers = {
            "RateLimit-Policy": f'"{name}";q={item.amount};w={window_s}',
            "RateLimit": f'"{name}";r={max(0, stats.remaining)};t={reset_s}',
        }
        if not accepted:
            detail = {"limit": name, "quota": item.amount, "window_s": window_s}
            refusal = Refusal(GatewayCode.RATE_LIMITED, detail, retry_after_s=reset_s)
            refusal.headers = headers
            raise refusal
        return headers


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
