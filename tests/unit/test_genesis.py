"""What may be founded: bounds of every parameter, tiers that rise, configurations that round nowhere."""

from typing import Any

import pytest

from shared import genesis
from shared import records as r
from shared.codes import Liquidity

MARKET = {"market": "X", "tick": "0.1", "lot": "0.001", **genesis.MARKET_DEFAULT}
TIERS = [{"floor": "0", "mmr_ppm": 10_000, "leverage_max": 50}]


def config(**changes: Any) -> dict[str, int]:
    """Return the words of a configuration by name."""
    words = genesis.market_words({**MARKET, "tiers": TIERS, **changes})
    return {name: words[at] for name, at in genesis.CONFIG_AT.items()}


def test_every_parameter_of_a_market_is_bounded() -> None:
    """Bounds exist for all whole parameters, the ends are taken and what lies beyond is refused."""
    others = {"tick", "lot", *genesis.MARKET_MONEY, "liquidity", "tiers"}
    assert set(genesis.MARKET_BOUNDS) == set(r.MARKET_PARAMETERS) - others
    assert set(genesis.VENUE_BOUNDS) | {"starting_balance"} == set(r.VENUE_PARAMETERS)
    for name, (low, high) in genesis.MARKET_BOUNDS.items():
        lowest = [{"floor": "0", "mmr_ppm": 1, "leverage_max": 1}]
        assert config(**{name: low}, tiers=lowest)[name] == low
        assert config(**{name: high}, tiers=lowest)[name] == high
        for beyond in (low - 1, high + 1, "5", True, 5.0):
            with pytest.raises(ValueError, match="whole number"):
                config(**{name: beyond}, tiers=lowest)


def test_a_market_without_the_newer_keys_has_their_defaults() -> None:
    """A genesis that was written before there was a book, or a limit in money, is still read."""
    newer = ("liquidity", "depth_levels", "taker_delay_ms", "notional_max", "open_interest_notional_max")
    older = {name: value for name, value in MARKET.items() if name not in newer}
    words = genesis.market_words({**older, "tiers": TIERS})
    found = {name: words[at] for name, at in genesis.CONFIG_AT.items()}
    assert (found["liquidity"], found["depth_levels"], found["taker_delay_ms"]) == (Liquidity.QUOTE, 50, 0)
    assert (found["notional_max_e6"], found["open_interest_notional_max_e6"]) == (0, 0)


def test_a_venue_without_the_newer_keys_has_their_defaults() -> None:
    """A genesis of earlier rules is read with the defaults; one that lacks an older key or has a strange one is not."""
    body = genesis.default("venue0aaaa")
    at = r.word_offsets(r.COMMAND)
    row = [0] * r.COMMAND_WORDS
    older = {name: value for name, value in body["venue_set"].items() if name not in genesis.VENUE_NEWER}
    assert len(older) == len(body["venue_set"]) - 2
    genesis.read(row, {**body, "rules": 1, "venue_set": older})
    assert (row[at["subaccounts_max"]], row[at["stp_owner"]]) == (10, 0)
    genesis.read(row, {**body, "venue_set": {**older, "stp_owner": 1, "subaccounts_max": 0}})
    assert (row[at["subaccounts_max"]], row[at["stp_owner"]]) == (0, 1)
    for wrong in ({**older, "colour": 1}, {name: older[name] for name in list(older)[1:]}, {**older, "stp_owner": 2}):
        with pytest.raises(ValueError, match=r"venue_set keys|whole number"):
            genesis.read(row, {**body, "venue_set": wrong})


def test_money_limits_of_a_market_are_words() -> None:
    """Both limits in money are micro-USDC, from nothing up to a million million."""
    found = config(notional_max="250000.5", open_interest_notional_max="1000000000000")
    assert (found["notional_max_e6"], found["open_interest_notional_max_e6"]) == (250_000_500_000, 10**18)


@pytest.mark.parametrize(
    "changes",
    [
        {"tick": "0"}, {"tick": "-0.1"}, {"tick": "0.00000001", "lot": "100"}, {"tick": "1001"}, {"lot": "0"},
        {"tick": "0.0001", "lot": "0.001"}, {"tick": "1000", "lot": "1000"}, {"notional_min": "-1"},
        {"notional_min": "0.0000001"}, {"notional_min": "1000000000001"},
        {"notional_max": "-1"}, {"notional_max": "1000000000001"}, {"open_interest_notional_max": "0.0000001"},
        {"liquidity": "none"}, {"liquidity": 1},
        {"market": ""}, {"market": "x" * 25}, {"tiers": []}, {"tiers": TIERS * 9},
        {"tiers": [TIERS[0] | {"leverage_max": 51}]}, {"tiers": [TIERS[0] | {"mmr_ppm": 20_000}]},
        {"tiers": [TIERS[0] | {"floor": "1"}]}, {"tiers": [*TIERS, TIERS[0] | {"floor": "5"}]},
        {"tiers": [*TIERS, {"floor": "0.000001", "mmr_ppm": 11_000, "leverage_max": 5}]},
    ],
)  # fmt: skip
def test_an_unfit_market_is_refused(changes: dict[str, Any]) -> None:
    """A market that breaks a bound is not founded."""
    with pytest.raises((ValueError, KeyError)):
        config(**changes)


def test_tiers_have_amounts() -> None:
    """Each tier's amount makes maintenance continuous at its floor."""
    tiers = [*TIERS, {"floor": "1000", "mmr_ppm": 20_000, "leverage_max": 20}]
    words = genesis.market_words({**MARKET, "tiers": tiers})
    at = genesis.CONFIG_AT["tiers"]
    assert words[at : at + 8] == [0, 10_000, 50, 0, 10**9, 20_000, 20, 10**7]
