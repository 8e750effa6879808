"""Published examples of averages, profits, fees, partial closes, flips and SL and TP, traded through the engine."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.examples.scene import (
    MARKET,
    Figure,
    Scene,
    charged,
    exact,
    has,
    last,
    received,
    unrealised,
)

Example = dict[str, Any]
Found = Figure | str | bool | None  # what is no number is compared as it is
Figures = dict[str, Found]
OPENING = {"long": "buy", "short": "sell"}
PPM = 10**6


def rate_ppm(example: Example) -> int:
    """Return the example's fee in our unit; it is a whole number of millionths."""
    value = Fraction(example["fee_rate"] or 0) * PPM
    assert value.denominator == 1
    return int(value)


def average(position: dict[str, Any], tick: str) -> Figure:
    """Return a shown average price: rounded to the nearest ten-thousandth of a tick."""
    half = Fraction(tick) / 20_000
    return Figure(Fraction(position["price_entry"]), below=half, above=half)


def average_entry(example: Example) -> Figures:
    """Adding fills: quantity and average of the net position; one order through two users' offers has the same."""
    scene = Scene("0.1", "0.001")
    for qty, price in example["inputs"]["fills"]:
        position = last(scene.order("buy", qty, price), "position_changed")
    book = Scene("0.1", "0.001", liquidity="book")
    book.offer([(price, qty) for qty, price in example["inputs"]["fills"]])
    swept = book.limit("buy", example["expected"]["qty"], max(price for _, price in example["inputs"]["fills"]))
    assert sum(Fraction(fill["qty"]) for fill in book.own(swept, "fill")) == Fraction(position["qty"])
    assert average(book.own(swept, "position_changed")[-1], "0.1") == average(position, "0.1")
    assert Fraction(book.own(swept, "closed_order")[-1]["price_average"]) == Fraction(position["price_entry"])
    book.sound()
    return {"avg_entry": average(position, "0.1"), "qty": exact(position["qty"])}


def profit_unrealised(example: Example) -> Figures:
    """What the position realises when it is closed at the mark; Q · mark − C of its events says the same before."""
    scene = Scene("0.1", "0.001", fee_taker_ppm=rate_ppm(example))
    parts = 2 if "two-fills" in example["id"] else 1
    commission = Fraction(0)
    for _ in range(parts):
        qty = Decimal(example["qty"]) / parts
        opened = scene.order(OPENING[example["side"]], qty, example["entry"])
        commission += Fraction(last(opened, "fill")["fee"])
    shown = unrealised(last(opened, "position_changed"), example["mark"])
    closed = last(scene.close(example["mark"]), "fill")
    gain = Fraction(closed["pnl_realised"])
    assert gain == shown
    assert scene.free - scene.balance == gain - commission - Fraction(closed["fee"])
    scene.sound()
    found: Figures = {"upnl": exact(gain)}
    if "commission" in example["expected"]:
        found["commission"] = charged(commission, parts)
    if "total_pnl" in example["expected"]:
        found["total_pnl"] = received(gain - commission, parts)
    return found


def profit_closed(example: Example) -> Figures:
    """A round trip with both fees and a funding payment in between."""
    scene = Scene("0.1", "0.001", fee_taker_ppm=rate_ppm(example))
    opened = last(scene.order(OPENING[example["side"]], example["qty"], example["entry"]), "fill")
    paid = scene.funding_received(example["entry"], -Decimal(example["inputs"]["funding_paid"]))
    assert paid == -Fraction(example["inputs"]["funding_paid"])
    events = scene.close(example["exit"])
    closed, position = last(events, "fill"), last(events, "closed_position")
    whole = Fraction(position["pnl_realised"]) - Fraction(position["fees"]) + Fraction(position["funding"])
    assert scene.free - scene.balance == whole
    scene.sound()
    return {
        "gross_pnl": exact(closed["pnl_realised"]),
        "fee_open": charged(opened["fee"]),
        "fee_close": charged(closed["fee"]),
        "closed_pnl": received(whole, 2),
    }


def profit_with_values(example: Example) -> Figures:
    """
    A short's entry and exit values with their fees, the profit as the ledger has it, and its share of the entry.

    A funding that it pays is part of the exit's value.
    """
    leverage, paid = int(example["leverage"]), Fraction(0)
    scene = Scene("0.01", "1", leverage_max=leverage, fee_taker_ppm=rate_ppm(example))
    opened = last(scene.ticket("sell", example["qty"], example["entry"], leverage), "fill")
    if Decimal(example["inputs"]["funding"]):
        paid = scene.funding_received(example["entry"], -abs(Decimal(example["inputs"]["funding"])))
        assert paid == Fraction(example["inputs"]["funding"])
    closed = last(scene.close(example["exit"]), "fill")
    entry_value = Fraction(opened["notional"]) - Fraction(opened["fee"])
    exit_value = Fraction(closed["notional"]) + Fraction(closed["fee"]) - paid
    profit = scene.free - scene.balance
    roe = profit * leverage / entry_value
    assert profit == entry_value - exit_value
    scene.sound()
    return {
        "open_value": received(entry_value),
        "close_value": charged(exit_value),
        "profit": received(profit, 2),
        "roe": Figure(roe, above=2 * Fraction(1, PPM) / entry_value),
    }


def fee_of_taker(example: Example) -> Figures:
    """The fee of one market order."""
    scene = Scene("0.1", "0.001", fee_taker_ppm=rate_ppm(example))
    fill = last(scene.order("buy", example["qty"], example["entry"]), "fill")
    assert not fill["maker"]
    assert scene.free == scene.balance - Fraction(fill["fee"]) - Fraction(
        scene.engine.positions(100)[0]["margin_e6"], PPM
    )
    return {"fee": charged(fill["fee"])}


def sequence(example: Example) -> Figures:
    """Interleaved fills: after each, quantity, average and what is realised so far, fees off."""
    scene = Scene("0.1", "0.001", fee_taker_ppm=rate_ppm(example))
    found: Figures = {}
    for number, (side, qty, price) in enumerate(example["inputs"]["fills"]):
        position = last(scene.order(side, qty, price), "position_changed")
        if number == 0:
            continue
        net = Fraction(position["pnl_realised"]) - Fraction(position["fees"])
        found[f"steps.{number - 1}.qty"] = exact(position["qty"])
        # A closing cost part is rounded up to a micro: the cost that stays is less by as much, its average likewise.
        shown = average(position, "0.1")
        drift = Fraction(2, PPM) / Fraction(position["qty"])
        found[f"steps.{number - 1}.avg_entry"] = shown._replace(above=shown.above + drift)
        found[f"steps.{number - 1}.realised_pnl"] = received(net, 2)
    scene.sound()
    return found


def share_closed(example: Example) -> Figures:
    """A trade against a position of 10 at 1: reduces it, closes it, or flips it and opens the rest at its own price."""
    scene = Scene("0.000001", "1", leverage_max=2)
    scene.order(OPENING[example["side"]], example["qty"], example["entry"])
    scene.pause()
    signed = Decimal(example["inputs"]["trade_qty_signed"])
    price = round(Decimal(example["exit"]), 6)
    events = scene.order("buy" if signed > 0 else "sell", abs(signed), price)
    pnl = sum(Fraction(event["pnl_realised"]) for event in events if event["e"] == "fill")
    left = [event for event in events if event["e"] == "position_changed"]
    qty, cost = (left[-1]["qty"], left[-1]["cost"]) if left else (0, 0)
    assert has(events, "closed_position") == (abs(signed) >= 10)
    scene.sound()
    # The price of 10 ÷ 11 is not on any grid: what is off by half a tick is off by that much for each of ten.
    slack = abs(Fraction(example["exit"]) - Fraction(price)) * 10
    return {
        "qty": exact(qty),
        "entry_notional": Figure(abs(Fraction(cost)), slack, slack),
        "pnl": Figure(Fraction(pnl), slack, slack),
    }


def trigger_table(example: Example) -> Figures:
    """SL and TP by mark: whether they fire one tick before their price, at it and after it says the comparison."""
    found: Figures = {}
    for direction, side in OPENING.items():
        for name, key, sign in (("tp", "take_profit", 1), ("sl", "stop_loss", -1)):
            level = Decimal(100 + (5 if side == "buy" else -5) * sign)
            pattern = tuple(trigger_fires(side, key, level, level + step) for step in (-1, 0, 1))
            comparison = {(False, True, True): ">=", (True, True, False): "<="}.get(pattern, "neither")
            found[f"{direction}_{name}"] = f"mark {comparison} {name}"
    assert example["kind"] == "tp_sl_trigger"
    return found


def trigger_fires(side: str, key: str, level: Decimal, mark: Decimal) -> bool:
    """Return whether a position's trigger by mark fires when the mark comes there."""
    scene = Scene("1", "1", leverage_max=2)
    child = {key: {"price_trigger": f"{level}", "trigger_by": "mark"}}
    scene.touch(side, 100)
    scene.instruct("trade_create", market=MARKET, side=side, qty="1", leverage=1, **child)
    return has(scene.mark(mark), "trigger_fired")


RUNS: dict[str, Callable[[Example], Figures]] = {
    "bybit-avg-entry-add": average_entry,
    "bybit-upnl-short": profit_unrealised,
    "nautilus-upnl-long-loss": profit_unrealised,
    "nautilus-upnl-long-two-fills": profit_unrealised,
    "bybit-closed-pnl-short": profit_closed,
    "freqtrade-pnl-short-1x": profit_with_values,
    "freqtrade-pnl-short-1x-funding-minus": profit_with_values,
    "bybit-fee-taker": fee_of_taker,
    "bityi-fee": fee_of_taker,
    "blofin-fee": fee_of_taker,
    "nautilus-interleaved-sequence": sequence,
    "drift-reduce-long-profit": share_closed,
    "drift-flip-long-to-short-profit": share_closed,
    "drift-close-short-profit": share_closed,
    "drift-flip-long-to-short-loss": share_closed,
    "phoenix-tpsl-table": trigger_table,
}
