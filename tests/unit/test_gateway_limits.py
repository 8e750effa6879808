"""Rate limits count per caller, say what is left, and forget."""

import asyncio

import pytest

from gateway import limits as rates
from gateway.errors import Refusal
from gateway.limits import Counters, LimitName, Limits, network_of

COUNTERS_MAX = 500


class Time:
    """A clock that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def test_the_limit_refuses_and_its_window_ends() -> None:
    """The sixth link of an hour is refused with the wait in seconds; after it the count begins anew."""

    async def scenario() -> None:
        time = Time()
        limits = Limits(1, time)
        for left in (4, 3, 2, 1, 0):
            headers = limits.hit(LimitName.SIGN_IN, "ada")
            assert headers["RateLimit"].startswith(f'"sign_in";r={left};')
        assert headers["RateLimit-Policy"] == '"sign_in";q=5;w=3600'
        with pytest.raises(Refusal) as caught:
            limits.hit(LimitName.SIGN_IN, "ada")
        assert caught.value.code == "RATE_LIMITED"
        assert 3_590 <= (caught.value.retry_after_s or 0) <= 3_601
        limits.hit(LimitName.SIGN_IN, "bob")
        time.now_s += 3_601
        limits.hit(LimitName.SIGN_IN, "ada")

    asyncio.run(scenario())


def test_the_factor_multiplies() -> None:
    """A factor of 1000 lets a thousand times as much pass."""

    async def scenario() -> None:
        limits = Limits(1_000, Time())
        headers = limits.hit(LimitName.SIGN_IN, "ada")
        assert headers["RateLimit-Policy"] == '"sign_in";q=5000;w=3600'

    asyncio.run(scenario())


def test_counters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever invents addresses fills neither the memory nor pushes out those who came back since."""
    monkeypatch.setattr(rates, "COUNTERS_MAX", COUNTERS_MAX)
    time = Time()
    counters = Counters(5, 60, time)
    counters.hit("old")
    for number in range(COUNTERS_MAX + 10):
        counters.hit(str(number))
    assert len(counters) == COUNTERS_MAX
    assert counters.hit("old") == (1, 60.0)
    assert counters.hit(str(COUNTERS_MAX)) == (2, 60.0)
    time.now_s += 60
    assert counters.hit(str(COUNTERS_MAX)) == (1, 60.0), "a window ends at its end"


def test_a_limit_has_counters_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filling one limit's memory with strangers lets nobody begin anew with another limit."""
    monkeypatch.setattr(rates, "COUNTERS_MAX", COUNTERS_MAX)

    async def scenario() -> None:
        limits = Limits(1, Time())
        for _ in range(5):
            limits.hit(LimitName.SIGN_IN, "ada")
        for number in range(COUNTERS_MAX + 10):
            limits.hit(LimitName.ADDRESS, str(number))
        with pytest.raises(Refusal):
            limits.hit(LimitName.SIGN_IN, "ada")

    asyncio.run(scenario())


def test_who_counts_as_one_caller() -> None:
    """An IPv6 caller is its /64, since a single machine has 2⁶⁴ addresses; nonsense is one caller too."""
    assert network_of("10.1.2.3") == "10.1.2.3"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert network_of("::ffff:10.1.2.3") == "10.1.2.3"
    assert network_of(None) == network_of("testclient") == "unknown"
