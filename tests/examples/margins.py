"""Published examples of margin, liquidation and bankruptcy, traded through the engine."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from engine import core
from tests.examples.profits import OPENING, PPM, Example, Figures, rate_ppm
from tests.examples.scene import (
    MARKET,
    MICRO,
    Event,
    Figure,
    Scene,
    bankruptcy,
    charged,
    exact,
    has,
    last,
    long_with_margin,
    received,
    unrealised,
)

MMR_MAX = Fraction(1, 2)  # shared/genesis.py

# Brackets whose recursion gives the amount that an example states with its rate.
AMOUNT_CENT = [(0, 5_000), (2, 10_000)]  # 2 × 0.5 % = 0.01 at 1 %
AMOUNT_16300 = [(0, 4_000), (50_000, 5_000), (250_000, 10_000), (1_000_000, 25_000)]
AMOUNT_LEVEL_4 = [(0, 5_000), (28, 25_000)]  # 28 × 2 % = 0.56 at 2.5 %


def threshold(scene: Scene, position: Event) -> Figure:
    """
    Return a position's shown liquidation price, having seen that one tick before it nothing happens and at it all.

    A long's is the exact price rounded down to a tick, a short's rounded up; a margin that was rounded up by less than
    a micro moves it the same way, by less than 2 micro ÷ quantity.
    """
    side = 1 if Fraction(position["qty"]) > 0 else -1
    shown = Decimal(position["price_liquidation"])
    moved = Fraction(scene.tick) + 2 * MICRO / abs(Fraction(position["qty"]))
    assert not has(scene.mark(shown + side * scene.tick), "liquidation")
    events = scene.mark(shown)
    assert Fraction(last(events, "liquidation")["price_mark"]) == Fraction(shown)
    scene.sound()
    return Figure(Fraction(shown), above=moved) if side > 0 else Figure(Fraction(shown), below=moved)


def liquidation_by_amount(example: Example) -> Figures:
    """Maintenance at mark with a bracket's amount, margin = notional ÷ leverage."""
    halves = Fraction(example["qty"]) % Fraction(1, 2) == 0
    scene = Scene(*(("0.000002", "0.5") if halves else ("0.000005", "0.2")), tiers=AMOUNT_CENT)
    amount = last(scene.engine.opening, "market_changed")["tiers"][-1]["amount"]
    assert Fraction(amount) == Fraction(example["inputs"]["maintenance_amount"])
    return {"liq": threshold(scene, ticket_of(scene, example))}


def liquidation_with_fee(example: Example) -> Figures:
    """Maintenance and the taker fee on the same notional: one rate that is their sum, exactly."""
    folded = Fraction(example["mmr"]) * PPM + rate_ppm(example)
    scene = Scene("0.000002", "0.5", tiers=[(0, int(folded))])
    return {"liq": threshold(scene, ticket_of(scene, example))}


def ticket_of(scene: Scene, example: Example) -> Event:
    """Open the example's position and return its position_changed."""
    size = (example["qty"], example["entry"], int(example["leverage"]))
    return last(scene.ticket(OPENING[example["side"]], *size), "position_changed")


def liquidation_of_wallet(example: Example) -> Figures:
    """An isolated wallet that is no whole leverage: the rest comes as open loss; four real brackets."""
    scene = Scene("0.01", "0.001", leverage_max=3, tiers=AMOUNT_16300)
    tier = last(scene.engine.opening, "market_changed")["tiers"][-1]
    assert Fraction(tier["amount"]) == Fraction(example["inputs"]["maintenance_amount"])
    assert Fraction(tier["mmr_ppm"], PPM) == Fraction(example["mmr"])
    position = long_with_margin(scene, example["qty"], example["entry"], example["inputs"]["wallet_balance"])
    return {"liq": threshold(scene, position)}


def amount_of_bracket(example: Example) -> Figures:
    """The amount that genesis derives for a bracket above one whose amount is the stated one."""
    given = example["inputs"]
    tiers = [*AMOUNT_LEVEL_4, (given["bracket_floor"], int(Fraction(given["rate_n"]) * PPM))]
    rows = last(Scene("0.1", "0.001", tiers=tiers).engine.opening, "market_changed")["tiers"]
    assert Fraction(rows[-2]["amount"]) == Fraction(given["amount_prev"])
    assert Fraction(rows[-2]["mmr_ppm"], PPM) == Fraction(given["rate_prev"])
    return {"maintenance_amount_level5": exact(rows[-1]["amount"])}


def roi_after_fee(example: Example) -> Figures:
    """Initial margin, gain at mark, the fee of closing at bankruptcy, and the gain's share of both."""
    scene = Scene("0.1", "0.001", fee_taker_ppm=rate_ppm(example))
    position = ticket_of(scene, example)
    gain = unrealised(position, example["mark"])
    fee = Fraction(close_bankrupt(scene, position, example["entry"])["fee"])
    margin = Fraction(position["margin"])
    roi = 100 * gain / (margin + fee)
    return {"initial_margin": charged(margin), "fee_to_close": charged(fee), "roi_pct": Figure(roi, above=MICRO * 100)}


def close_bankrupt(scene: Scene, position: Event, mark: str) -> Event:
    """Close a position where its margin is just used up, the mark elsewhere: only the fee is lacking; the fill."""
    price, free, fund = bankruptcy(position), scene.free, scene.insurance
    events = scene.close(Decimal(price.numerator) / price.denominator, mark=mark)
    fill = last(events, "fill")
    assert scene.free == free
    assert fund - scene.insurance == Fraction(fill["fee"])
    scene.sound()
    return fill


def cost_of_order(example: Example) -> Figures:
    """
    Margin and both fees of an order.

    Our venue holds back no fee to close. An order's whole cost is recomputed with a taker rate that is both fees on
    the entry, f · (2 ∓ 1 ÷ L), a whole number of ppm here.
    """
    leverage, sign = int(example["leverage"]), 1 if example["side"] == "long" else -1
    settings = {"leverage_max": leverage, "tiers": [(0, 1_000)]}
    scene = Scene("0.1", "0.001", fee_taker_ppm=rate_ppm(example), **settings)
    opened = scene.ticket(OPENING[example["side"]], example["qty"], example["entry"], leverage)
    position = last(opened, "position_changed")
    closing = close_bankrupt(scene, position, example["entry"])
    found: Figures = {
        "initial_margin": charged(position["margin"]),
        "fee_open": charged(last(opened, "fill")["fee"]),
        "fee_close": charged(closing["fee"]),
        "order_cost": charged(cost_folded(example, leverage, sign), 2),
    }
    if "bankruptcy" in example["expected"]:
        found["bankruptcy"] = exact(bankruptcy(position))
    return found


def fee_folded_ppm(example: Example, leverage: int, sign: int) -> int:
    """Return the rate on the entry's notional that is the fee to open and the fee to close at bankruptcy."""
    folded = rate_ppm(example) * (2 - Fraction(sign, leverage))
    assert folded.denominator == 1
    return int(folded)


def cost_folded(example: Example, leverage: int, sign: int) -> Fraction:
    """Return what opening takes from free money when the taker rate is both fees."""
    scene = Scene("0.1", "0.001", leverage_max=leverage, fee_taker_ppm=fee_folded_ppm(example, leverage, sign))
    scene.ticket(OPENING[example["side"]], example["qty"], example["entry"], leverage)
    return scene.balance - scene.free


def quantity_max(example: Example) -> Figures:
    """With the stated order cost as all there is, every larger quantity is refused and this one uses all of it."""
    leverage = int(example["leverage"])
    fee_ppm = fee_folded_ppm(example, leverage, -1)
    scene = Scene("0.1", "0.001", balance=example["inputs"]["order_cost"], fee_taker_ppm=fee_ppm)
    scene.touch("sell", example["entry"])
    size = {"market": MARKET, "side": "sell", "leverage": leverage}
    for lots in range(1_050, 0, -1):
        events = scene.instruct("trade_create", result="", qty=f"{lots * scene.lot:f}", **size)
        if last(events, "order_response")["result"] == "OK":
            break
        assert last(events, "order_response")["result"] == "MARGIN_INSUFFICIENT"
    assert scene.free == 0
    return {"qty": exact(-Fraction(last(events, "position_changed")["qty"]))}


def requirements(example: Example) -> Figures:
    """Initial margin by leverage; maintenance as the highest equity, in micros, that is liquidated at the mark."""
    leverage = int(1 / Fraction(example["inputs"]["imf"]))
    scene = Scene("0.01", "0.0001", leverage_max=leverage)
    size = (example["qty"], example["mark"], leverage)
    found: Figures = {"initial_margin": charged(last(scene.ticket("buy", *size), "position_changed")["margin"])}
    rate = Fraction(example["inputs"]["imf"]) * Fraction(example["inputs"]["maintenance_fraction_of_im"])
    if rate > MMR_MAX:
        return found
    low_e6, high_e6 = 40 * PPM, 48 * PPM
    assert liquidated_with(example, low_e6, rate) and not liquidated_with(example, high_e6, rate)
    while high_e6 - low_e6 > 1:
        middle_e6 = (low_e6 + high_e6) // 2
        if liquidated_with(example, middle_e6, rate):
            low_e6 = middle_e6
        else:
            high_e6 = middle_e6
    return {**found, "maintenance_margin": received(Fraction(low_e6, PPM))}


def liquidated_with(example: Example, equity_e6: int, rate: Fraction) -> bool:
    """Return whether a long that has this equity at the example's mark is liquidated there."""
    scene = Scene("0.01", "0.0001", leverage_max=9, tiers=[(0, int(rate * PPM))])
    qty, mark, equity = Decimal(example["qty"]), Decimal(example["mark"]), Decimal(equity_e6) / PPM
    entry = mark + 4_250
    position = long_with_margin(scene, qty, entry, equity + qty * (entry - mark))
    assert Fraction(position["margin"]) + unrealised(position, mark) == Fraction(equity)
    return has(scene.mark(mark), "liquidation")


def closed_at_bankruptcy(example: Example) -> Figures:
    """Closing a share where the margin is used up neither takes from the account nor gives to it."""
    long = example["side"] == "long"
    balance = abs(Fraction(example["inputs"]["quote_balance"]))
    # The quote balance is the margin less the signed cost; leverage 4 splits it.
    notional = balance * 4 / (3 if long else 5)
    scene = Scene("0.1", "0.001", leverage_max=4, tiers=[(0, int(Fraction(example["mmr"]) * PPM))])
    entry = notional / Fraction(example["qty"])
    price = Decimal(entry.numerator) / entry.denominator
    position = last(scene.ticket(OPENING[example["side"]], example["qty"], price, 4), "position_changed")
    assert abs(Fraction(position["cost"]) - Fraction(position["margin"])) == balance
    free, delta = scene.free, Fraction(example["inputs"]["delta"])
    at = bankruptcy(position)
    fill = last(scene.close(Decimal(at.numerator) / at.denominator, example["inputs"]["delta"], mark=price), "fill")
    assert scene.free == free
    assert Fraction(fill["qty"]) == delta
    signed = Fraction(fill["notional"]) * (1 if fill["side"] == "sell" else -1)
    scene.sound()
    return {"close_notional": exact(signed), "price": exact(fill["price"])}


def surplus_to_insurance(example: Example) -> Figures:
    """A liquidation filled better than bankruptcy: the fund gets what is left, as far as the liquidation fee goes."""
    scene = Scene("0.01", "0.01", leverage_max=100, tiers=[(0, 5_000)])
    position = last(scene.ticket("buy", example["qty"], example["entry"], 100), "position_changed")
    assert bankruptcy(position) == Fraction(example["inputs"]["bankruptcy"])
    fund, free, fill = scene.insurance, scene.free, example["inputs"]["fill"]
    forced = last(scene.touch("sell", fill), "liquidation")
    assert Fraction(forced["price"]) == Fraction(fill)
    assert scene.free == free
    scene.sound()
    return {"insurance_change": exact(scene.insurance - fund)}


def deleveraging_score(example: Example) -> Figures:
    """Profit on cost, times notional ÷ equity, in millionths: equity is notional at mark less that at bankruptcy."""
    scene = Scene("1", "1")
    position = last(scene.ticket("buy", 1, example["entry"], 10), "position_changed")
    assert bankruptcy(position) == Fraction(example["inputs"]["bankruptcy"])
    scene.touch("sell", example["mark"])
    longs, shorts = core.adl_scores(scene.engine.states, 0)
    assert (len(longs), len(shorts)) == (1, 0)
    return {"score": exact(Fraction(int(longs[0]), PPM))}


RUNS: dict[str, Callable[[Example], Figures]] = {
    "bybit-roi-long-with-close-fee": roi_after_fee,
    "bybit-order-cost-long": cost_of_order,
    "phemex-order-cost-short": cost_of_order,
    "goonus-max-qty-short": quantity_max,
    "binance-coinm-maint-amount-step": amount_of_bracket,
    "binance-liq-iso-btc-long": liquidation_of_wallet,
    "freqtrade-binance-iso-short-2": liquidation_by_amount,
    "freqtrade-binance-iso-long-5": liquidation_by_amount,
    "freqtrade-binance-iso-long-8": liquidation_by_amount,
    "freqtrade-gate-iso-long-7": liquidation_with_fee,
    "freqtrade-okx-iso-long-8": liquidation_with_fee,
    "dydx-margin-100pct": requirements,
    "dydx-margin-20-10": requirements,
    "dydx-bankruptcy-short-half": closed_at_bankruptcy,
    "dydx-bankruptcy-short-at-bankr": closed_at_bankruptcy,
    "dydx-bankruptcy-long-below": closed_at_bankruptcy,
    "satori-insurance-gain": surplus_to_insurance,
    "bitmex-adl-formula-long-10x": deleveraging_score,
}
