"""
Published worked examples of other venues, traded through the engine: what is run must agree, what is not is listed.

An expected value e agrees with ours v when v − below − t <= e <= v + above + t: t is the example's own tolerance; below
and above are our documented rounding (docs/risk.md), zero where nothing is rounded, else less than one micro for each
rounding of money, always against the account, and one tick for a liquidation price (and what a margin that was rounded
up by less than a micro moves it). The file's own unrounded recomputation must agree without any tolerance.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from engine import core
from tests.examples import books, fundings, margins, profits, trails
from tests.examples.profits import Found
from tests.examples.scene import MARKET, Figure, Scene, has, last, unrealised

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = REPOSITORY.parent / "shared" / "examples" / "perp_examples.json"
PARTS = (profits, margins, fundings, trails, books)
RUNS = {name: run for part in PARTS for name, run in part.RUNS.items()}
# Neither list may become shorter unseen: who moves an example from one to the other changes both numbers.
RUNS_COUNT, LISTED_COUNT = 50, 26
DIGITS_CUT = Fraction(1, 10**20)  # where the file ends its endless decimals

# Of these one expected figure is not compared with the engine's, the others are.
PARTLY = {
    "dydx-margin-100pct": ({"maintenance_margin"}, "a maintenance of 100 %; genesis allows 50 % at most"),
}

ENTRY_VALUE = "maintenance on the entry's value, constant; ours is on the value at mark, and no tiers make it constant"
OPEN_INTEREST = "initial margin that grows with open interest; ours is the notional by the leverage"
FILLABLE = (
    "a limit between mark and bankruptcy for the liquidation order; ours takes what the quote or users offer, in a "
    "market of users alone down to bankruptcy"
)
POOL_SHARE = (
    "a cross position is bankrupt where its share of the account's equity, by maintenance margin, is used up; ours "
    "where all of it is, since the others are closed after it"
)
SWAP = "an automated market maker's swap; not a perpetual"

LISTED = {
    "bybit-liq-iso-long-50x": ENTRY_VALUE,
    "bybit-liq-iso-short-extra-margin": ENTRY_VALUE,
    "moonxbt-liq-iso-long": ENTRY_VALUE,
    "freqtrade-bybit-iso-long-1": ENTRY_VALUE,
    "freqtrade-bybit-iso-long-3": ENTRY_VALUE,
    "freqtrade-bybit-iso-long-4": ENTRY_VALUE,
    "freqtrade-bybit-iso-short-6": ENTRY_VALUE,
    "dydx-impact-notional": "how a rate is computed from a book; ours takes the rate that the mark frames name",
    "dydx-oimf-60": OPEN_INTEREST,
    "dydx-oimf-100": OPEN_INTEREST,
    "dydx-bankruptcy-cross-two-shorts": POOL_SHARE,
    "dydx-fillable-long-smmr02": FILLABLE,
    "dydx-fillable-short": FILLABLE,
    "dydx-fillable-short-ba2": FILLABLE,
    "dydx-fillable-short-below": FILLABLE,
    "univ2-swap-1": SWAP,
    "univ2-swap-2": SWAP,
    "univ2-swap-6": SWAP,
    "univ2-exact-out": SWAP,
    "univ2-getAmountIn-tiny": SWAP,
    "univ2-quote": SWAP,
    "raydium-cp-nofee-4": SWAP,
    "univ3-capped-exact-in": SWAP,
    "jup-threshold-100bps": SWAP,
    "jup-threshold-50bps": SWAP,
    "defi-explained-nofee": SWAP,
}


@pytest.fixture(scope="module")
def examples() -> dict[str, dict[str, Any]]:
    """Return the published examples by id, or skip where their file is not beside the repository."""
    if not FILE.is_file():
        pytest.skip(f"no published examples here: {FILE.name} is not in {'/'.join(FILE.parts[-4:-1])}")
    return {example["id"]: example for example in json.loads(FILE.read_text())}


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every expected value with its dotted name."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def agrees(found: Found, expected: Any, tolerance: Fraction) -> bool:
    """Return whether a published value is ours, under our rounding and the example's tolerance."""
    if not isinstance(found, Figure):
        return type(found) is type(expected) and found == expected
    if not isinstance(expected, str | int):
        return False
    low, high = found.value - found.below - tolerance, found.value + found.above + tolerance
    return low <= Fraction(expected) <= high


@pytest.mark.parametrize("name", sorted(RUNS))
def test_engine_agrees_with_the_published_example(name: str, examples: dict[str, dict[str, Any]]) -> None:
    """Every figure that the example expects comes out of the engine, and so does its unrounded recomputation."""
    example = examples[name]
    expected, found = dict(flat(example["expected"])), RUNS[name](example)
    left_out = PARTLY[name][0] if name in PARTLY else set()
    assert found.keys() == expected.keys() - left_out
    assert left_out <= expected.keys()
    stated = [(key, value, Fraction(example["tolerance"])) for key, value in expected.items() if key in found]
    stated += [(key, value, DIGITS_CUT) for key, value in flat(example["recomputed"]) if key in found]
    wrong = [
        f"{key}: engine {found[key]}, published {value}"
        for key, value, by in stated
        if not agrees(found[key], value, by)
    ]
    assert not wrong


def test_every_example_is_run_or_listed(examples: dict[str, dict[str, Any]]) -> None:
    """Each id of the file is run or listed with a reason, none is both, and none is invented."""
    assert not RUNS.keys() & LISTED.keys()
    assert examples.keys() == RUNS.keys() | LISTED.keys()
    assert PARTLY.keys() <= RUNS.keys()
    assert all(LISTED.values())
    assert {examples[name]["kind"] for name, reason in LISTED.items() if reason == SWAP} == {"amm"}
    assert all(example["kind"] != "amm" for name, example in examples.items() if LISTED.get(name) != SWAP)


def test_neither_list_shrinks() -> None:
    """As many are run, and as many listed, as was decided; no two parts run the same."""
    assert (len(RUNS), len(LISTED), len(PARTLY)) == (RUNS_COUNT, LISTED_COUNT, 1)
    assert sum(len(part.RUNS) for part in PARTS) == len(RUNS)


@pytest.mark.parametrize("name", [name for name, reason in LISTED.items() if reason == ENTRY_VALUE])
def test_only_the_value_of_maintenance_differs(name: str, examples: dict[str, dict[str, Any]]) -> None:
    """
    An example with maintenance on the entry's value: its price is not ours, and nothing else about it is different.

    At the published price the position has exactly the stated share of its entry's value left; ours is liquidated
    elsewhere, below it, since value at mark is less than at entry for a long and more for a short.
    """
    example = examples[name]
    qty, entry, published = (Decimal(text) for text in (example["qty"], example["entry"], example["expected"]["liq"]))
    mmr, side = Fraction(example["mmr"]), profits.OPENING[example["side"]]
    steps = ("0.000002", "0.5") if entry < 16 else ("0.01", "0.001")
    scene = Scene(*steps, leverage_max=50, tiers=[(0, int(mmr * profits.PPM))])
    position = last(scene.ticket(side, qty, entry, int(example["leverage"])), "position_changed")
    added = example["inputs"].get("extra_margin_added")
    if added:
        events = scene.instruct("margin_change", position_id=position["position_id"], amount=added)
        position = last(events, "position_changed")
    left = Fraction(position["margin"]) + unrealised(position, published)
    slack = Fraction(1, profits.PPM) + Fraction(example["tolerance"])
    assert abs(left - mmr * Fraction(qty * entry)) <= slack
    assert Fraction(position.get("price_liquidation", "0")) < Fraction(published - 10 * scene.tick)
    scene.pause()
    at = published // scene.tick * scene.tick
    assert has(scene.touch(side, at), "liquidation") == (side == "sell")
    assert Decimal(core.market_views(scene.engine.states)[MARKET]["mark"]) == at
    scene.sound()


def test_a_wrong_value_would_be_seen() -> None:
    """The comparison refuses a value that is off by more than rounding and tolerance, on either side."""
    shown = Figure(Fraction(100), above=Fraction(1, 10))
    assert agrees(shown, "100.1", Fraction(0))
    assert not agrees(shown, "100.2", Fraction(0))
    assert not agrees(shown, "99.999", Fraction(0))
    assert not agrees("mark >= tp", "mark > tp", Fraction(1))
    assert agrees(None, None, Fraction(0))
    assert not agrees(shown, None, Fraction(0))
    assert not agrees(None, "100", Fraction(100))
    assert not agrees(False, True, Fraction(1))
    assert not agrees(False, "0", Fraction(1))


# From here on: figures of our own, worked by hand, that need no file.


def test_own_fee_is_rounded_up() -> None:
    """0.00003 at 33333.3 is 0.999999; at 500 ppm 0.0004999995, charged as 0.000500."""
    fill = last(Scene("0.1", "0.00001", fee_taker_ppm=500).order("buy", "0.00003", "33333.3"), "fill")
    assert fill["fee"] == "0.000500"


def test_own_average_of_three_fills() -> None:
    """1 at 10, 1 at 10 and 1 at 11 cost 31: on average 10.3333333, shown to a ten-thousandth of a tick of 0.1."""
    scene = Scene("0.1", "1")
    for price in ("10", "10", "11"):
        position = last(scene.order("buy", 1, price), "position_changed")
    assert Decimal(position["cost"]) == 31
    assert Decimal(position["price_entry"]) == Decimal("10.33333")


def test_own_third_of_a_position_is_closed() -> None:
    """
    Long 3 for 31, leverage 1; 1 closed at 12.

    Its part of the cost is ⌈31 ÷ 3⌉ = 10.333334, pnl 1.666666; of the margin ⌊31 ÷ 3⌋ = 10.333333 comes back.
    """
    scene = Scene("0.1", "1", leverage_max=1)
    for price in ("10", "10", "11"):
        scene.order("buy", 1, price)
    free = scene.free
    events = scene.close("12", 1)
    assert last(events, "fill")["pnl_realised"] == "1.666666"
    assert scene.free - free == Fraction("11.999999")
    position = last(events, "position_changed")
    assert (position["cost"], position["margin"]) == ("20.666666", "20.666667")


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("buy", "90.65"),  # (1000 − 100 − 2.5) ÷ (10 · 0.99) = 90.656…, down
        ("sell", "109.16"),  # (1000 + 100 + 2.5) ÷ (10 · 1.01) = 109.158…, up
    ],
)
def test_own_liquidation_in_the_second_bracket(side: str, expected: str) -> None:
    """10 at 100 with leverage 10; brackets 0.5 % from 0 and 1 % from 500, amount 500 · 0.5 % = 2.5."""
    scene = Scene("0.01", "1", tiers=[(0, 5_000), (500, 10_000)])
    position = last(scene.ticket(side, 10, 100, 10), "position_changed")
    assert position["price_liquidation"] == expected
    margins.threshold(scene, position)


def test_own_flip_pays_its_fee_once() -> None:
    """Long 2 at 100, 5 sold at 110: pnl 20; fee on 550 at 0.1 % in the closing part; short 3 for 330, margin 33."""
    scene = Scene("1", "1", fee_taker_ppm=1_000)
    scene.order("buy", 2, 100)
    events = scene.order("sell", 5, 110)
    fills = [event for event in events if event["e"] == "fill"]
    assert sum(Decimal(fill["pnl_realised"]) for fill in fills) == 20
    assert sum(Decimal(fill["fee"]) for fill in fills) == Decimal("0.55")
    position = last(events, "position_changed")
    assert (position["qty"], position["cost"], position["margin"]) == ("-3", "-330.000000", "33.000000")
    assert scene.free == scene.balance - Fraction("0.2") + 20 - Fraction("0.55") - 33
    scene.sound()


def test_own_resting_order_fills_at_its_limit() -> None:
    """A buy of 1 at 95 holds back 9.5 + 0.095; the ask comes to 95: filled there as a maker, fee 0.019."""
    scene = Scene("1", "1", fee_taker_ppm=1_000, fee_maker_ppm=200)
    scene.touch("buy", 100)
    keys = {"market": MARKET, "side": "buy", "kind": "limit", "qty": "1", "price": "95"}
    placed = scene.instruct("order_place", **keys)
    assert last(placed, "order_changed")["reserved"] == "9.595000"
    assert not has(scene.touch("buy", 96), "fill")
    fill = last(scene.touch("buy", 95), "fill")
    assert (fill["price"], fill["maker"], fill["fee"]) == ("95", True, "0.019000")


def test_own_gap_beyond_bankruptcy_is_paid_by_insurance() -> None:
    """Long 1 at 100 with margin 10; bid and mark gap to 80: 10 are lacking, which insurance pays, not the account."""
    scene = Scene("1", "1")
    scene.ticket("buy", 1, 100, 10)
    free, fund = scene.free, scene.insurance
    events = scene.touch("sell", 80)
    assert last(events, "deficit")["amount"] == "10.000000"
    assert last(events, "fill")["fee"] == "0.000000"
    assert (scene.free - free, scene.insurance - fund) == (0, -10)
    scene.sound()


def test_own_loss_of_a_partial_close_comes_off_the_margin() -> None:
    """Long 2 at 100, margin 20; 1 closed at 85: released 10, pnl −15, so 5 come off the other 10."""
    scene = Scene("1", "1")
    scene.ticket("buy", 2, 100, 10)
    free = scene.free
    position = last(scene.close("85", 1, mark=100), "position_changed")
    assert scene.free == free
    assert Fraction(position["margin"]) == 5
    assert Fraction(position["cost"]) == 100
