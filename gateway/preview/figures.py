"""
What the core did to a tried instruction -> the calculator's answer, every rounding shown; pure.

Each figure is out of an event, or of the one arithmetic of valuation.py and the core's own fee. What was exact before
it was rounded is computed here besides, as a fraction, only to be shown.
Source: docs/risk.md
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from gateway.preview.book import others_near, shared_levels
from gateway.preview.cross import after_of, liquidation_ticks
from gateway.preview.question import Question
from gateway.preview.rows import Grid
from gateway.valuation import amounts, is_cross, money_e6
from shared.units import E6, E12, PPM, money_text

OK = "OK"
DECIMALS_SHOWN = 12
MARGIN_E6_UNIT = "0.000001"


class Tried(NamedTuple):
    """A question and what came of it."""

    asked: Question
    grid: Grid
    before: dict[int, dict[str, Any]]  # the account's positions, by id
    events: list[dict[str, Any]]  # of the instruction
    later: list[dict[str, Any]]  # of the market's coming to the price that its order waits for
    assumed: str | None  # that price
    fee_of: Callable[[int, int], int]  # (notional_e6, rate_ppm) -> fee_e6

    @property
    def config(self) -> dict[str, Any]:
        """Return the configuration of the instruction's market."""
        return self.asked.markets[0]

    @property
    def response(self) -> dict[str, Any]:
        """Return the answer that the instruction itself would get."""
        return self.events[0]

    def fills(self) -> list[dict[str, Any]]:
        """Return the fills of the instruction's order."""
        number = self.response.get("order_id")
        return [event for event in self.events + self.later if event["e"] == "fill" and event["order_id"] == number]

    def position_id(self) -> int | None:
        """Return the position that the instruction ends on."""
        fills = self.fills()
        return fills[-1]["position_id"] if fills else self.response.get("position_id")

    def position_after(self) -> dict[str, Any] | None:
        """Return that position as it is afterwards, None when it has ended."""
        number = self.position_id()
        images = [event for event in self.events + self.later if event.get("position_id") == number]
        images = [event for event in images if event["e"] == "position_changed"]
        if not images or not Fraction(images[-1]["qty"]):
            return None
        return images[-1]


def answer_of(tried: Tried) -> dict[str, Any]:
    """Return the answer without what belongs to one request."""
    result = tried.response["result"]
    view = tried.asked.prices[tried.config["market"]]
    answer: dict[str, Any] = {"result": result, "op": tried.asked.op, "market": tried.config["market"]}
    reasons = estimate_reasons(tried)
    if result == OK:
        answer |= status_body(tried) | sums_body(tried) | risk_body(tried) | {"rounding": roundings(tried)}
    else:
        answer["rounding"] = []
    quoted_us = int(view["quote_us"])
    return answer | {"price_time_us": quoted_us, "estimate": bool(reasons), "estimate_reasons": reasons}


def refused_of(result: str, op: str, market: str | None = None) -> dict[str, Any]:
    """Return the answer to an instruction that breaks a rule before the core is asked."""
    answer: dict[str, Any] = {"result": result, "op": op} | ({"market": market} if market else {})
    return answer | {"rounding": [], "estimate": False, "estimate_reasons": []}


def estimate_reasons(tried: Tried) -> list[str]:
    """Return why the figures may differ from what sending would bring although no price moves meanwhile."""
    asked = tried.asked
    reasons = {
        "book": tried.config.get("liquidity") == "book",
        "quote_sized": tried.config.get("liquidity") == "quote_sized",
        "users_orders": users_orders(tried),
        "cross": len(asked.markets) > 1,
        "orders_untold": asked.untold,
        "loss_limit": "daily_loss_max" in asked.guards,
        "price_assumed": tried.assumed is not None,
    }
    return [reason for reason, holds in reasons.items() if holds]


def users_orders(tried: Tried) -> bool:
    """Return whether other users' orders are met, or stand where they might have been met first."""
    met = any(event.get("account", caller(tried)) != caller(tried) for event in tried.events)
    refused = tried.response["result"] != OK
    return met or (others_near if refused else shared_levels)(tried.asked, tried.grid)


def caller(tried: Tried) -> int:
    """Return the account that stands for the caller."""
    return int(tried.response["account"])


def status_body(tried: Tried) -> dict[str, Any]:
    """Return what becomes of the instruction at once, and the balances right after it."""
    number = tried.response.get("order_id")
    own = [event for event in tried.events if number and event.get("order_id") == number]
    changed = [event["status"] for event in own if event["e"] == "order_changed"]
    closed = [event["reason"] for event in own if event["e"] == "closed_order"]
    body: dict[str, Any] = {"status": closed[-1] if closed else changed[-1] if changed else "done"}
    mine = [event for event in tried.events if event["e"] == "account_changed" and event["account"] == caller(tried)]
    balance = mine[-1] if mine else tried.asked.account
    body["balance_after"] = {name: balance[name] for name in ("free", "reserved")}
    if tried.assumed is not None:
        body["price_assumed"] = tried.assumed
    return body


def sums_body(tried: Tried) -> dict[str, Any]:
    """Return what its order fills, and what that costs and brings."""
    fills = tried.fills()
    margin_e6 = margin_moved_e6(tried)
    body: dict[str, Any] = {"margin": money_text(margin_e6)} if fills or margin_e6 else {}
    if not fills:
        return body
    lots = sum(tried.grid.lots(fill["qty"]) for fill in fills)
    notional = total_e6(fills, "notional")
    body |= {"side": fills[0]["side"], "qty": tried.grid.qty(lots), "price": price_average(tried, fills)}
    body |= {"notional": money_text(notional), "fee": money_text(total_e6(fills, "fee"))}
    body |= {"pnl_realised": money_text(total_e6(fills, "pnl_realised"))}
    return body


def total_e6(events: list[dict[str, Any]], name: str) -> int:
    """Return the sum of an amount of money over events."""
    return sum(money_e6(event[name]) for event in events)


def price_average(tried: Tried, fills: list[dict[str, Any]]) -> str:
    """Return the price of the fills, as the end of the order tells it when they had several."""
    prices = {fill["price"] for fill in fills}
    if len(prices) == 1:
        return str(prices.pop())
    number = tried.response["order_id"]
    ends = [event for event in tried.events + tried.later if event["e"] == "closed_order"]
    told = [event["price_average"] for event in ends if event["order_id"] == number]
    if told:
        return str(told[-1])
    qty = sum(Fraction(fill["qty"]) for fill in fills)
    return text_of(Fraction(total_e6(fills, "notional"), E6) / qty)


def margin_moved_e6(tried: Tried) -> int:
    """Return what moves from free money into the position; what comes back is negative."""
    counter = f"position:{tried.position_id()}"
    legs = [event for event in tried.events + tried.later if event["e"] == "ledger" and event["reason"] == "margin"]
    return -sum(money_e6(leg["amount"]) for leg in legs if leg["counter"] == counter)


def risk_body(tried: Tried) -> dict[str, Any]:
    """Return the position afterwards and what it risks and may win."""
    position = tried.position_after()
    if position is None:
        return {}
    taker_ppm = tried.config["fee_taker_ppm"]
    cost_e6 = abs(money_e6(position["cost"]))
    body: dict[str, Any] = {"position_after": position_shown(tried, position), "leverage": position["leverage"]}
    body["fee_close"] = money_text(tried.fee_of(cost_e6, taker_ppm))
    if "price_liquidation" in position:
        body["price_liquidation"] = position["price_liquidation"]
    elif is_cross(position):
        after = after_of(tried.asked, tried.events + tried.later, caller(tried))
        ticks = liquidation_ticks(tried.asked, after, position["position_id"], tried.assumed)
        if ticks:
            body["price_liquidation_estimate"] = tried.grid.price(ticks)
    even = break_even_ticks(tried, position)
    if even:
        body["price_break_even"] = tried.grid.price(even)
    ends = {name: trigger_price(tried, position, name) for name in ("take_profit", "stop_loss")}
    results = {}
    for name, price in ends.items():
        if price is not None:
            results[name] = closing_e6(tried, position, tried.grid.ticks(price))
            body[name] = {"price": price, "pnl": money_text(results[name])}
            if beyond_liquidation(tried, position, price):
                body[name]["beyond_liquidation"] = True
    if "take_profit" in results:
        body["profit"] = body["take_profit"]["pnl"]
    if "stop_loss" in results:
        body["loss"] = body["stop_loss"]["pnl"]
    if len(results) == 2 and results["stop_loss"] < 0 < results["take_profit"]:
        ratio = results["take_profit"] * 100 // -results["stop_loss"]
        body["risk_reward"] = f"{ratio // 100}.{ratio % 100:02d}"
    return body


def position_shown(tried: Tried, position: Mapping[str, Any]) -> dict[str, Any]:
    """Return a position without what only the venue can give out: ids of what is not there yet."""
    shown = {name: value for name, value in position.items() if name not in ("e", "account")}
    if shown["position_id"] not in tried.before:
        del shown["position_id"]
    for name in ("take_profit", "stop_loss"):
        if name in shown:
            shown[name] = {key: value for key, value in shown[name].items() if key != "order_id"}
    return shown


def trigger_price(tried: Tried, position: Mapping[str, Any], name: str) -> str | None:
    """Return the price at which a position's SL or TP fires: its own, or that of the order's own pair."""
    if name in position:
        return str(position[name]["price_trigger"])
    wanted = tried.asked.fields.get(name)
    if wanted is None:
        return None
    text = wanted["price_trigger"] if isinstance(wanted, dict) else wanted
    return tried.grid.price(tried.grid.ticks(text))


def beyond_liquidation(tried: Tried, position: Mapping[str, Any], price: str) -> bool:
    """Return whether an isolated position is liquidated before, or at, a price: a trigger there comes too late."""
    if "price_liquidation" not in position:
        return False
    ticks, edge = tried.grid.ticks(price), tried.grid.ticks(position["price_liquidation"])
    return ticks <= edge if tried.grid.lots(position["qty"]) > 0 else ticks >= edge


def closing_e6(tried: Tried, position: Mapping[str, Any], ticks: int) -> int:
    """Return what a position has won when it is closed as a taker at a price, all its fees paid and its funding in."""
    value_e6 = tried.grid.lots(position["qty"]) * ticks * tried.grid.unit_e6
    fee_e6 = tried.fee_of(abs(value_e6), tried.config["fee_taker_ppm"])
    return value_e6 - money_e6(position["cost"]) - fee_e6 - money_e6(position["fees"])


def break_even_exact(tried: Tried, position: Mapping[str, Any]) -> Fraction:
    """Return the price in ticks at which closing just pays the fees, before it stands on the grid."""
    lots, cost_e6 = tried.grid.lots(position["qty"]), money_e6(position["cost"])
    sign = 1 if lots > 0 else -1
    paid_e6 = cost_e6 + money_e6(position["fees"])  # of a short: the negative of what must be left
    return Fraction(abs(paid_e6) * PPM, abs(lots) * tried.grid.unit_e6 * (PPM - sign * tried.config["fee_taker_ppm"]))


def break_even_ticks(tried: Tried, position: Mapping[str, Any]) -> int:
    """
    Return the first price at which closing loses nothing, 0 when there is none.

    Rounds: against the account, up for a long, down for a short; the fee there is rounded as the core does.
    """
    exact = break_even_exact(tried, position)
    step = 1 if tried.grid.lots(position["qty"]) > 0 else -1
    ticks = -(-exact.numerator // exact.denominator) if step > 0 else exact.numerator // exact.denominator
    while ticks > 0 and closing_e6(tried, position, ticks) < 0:
        ticks += step
    return max(0, ticks)


def liquidation_exact(tried: Tried, position: Mapping[str, Any]) -> Fraction | None:
    """Return an isolated position's liquidation price in ticks before it is rounded, as docs/risk.md has it."""
    if is_cross(position) or "price_liquidation" not in position:
        return None
    lots = tried.grid.lots(position["qty"])
    unit = abs(lots) * tried.grid.unit_e6
    cost_e6, margin_e6 = money_e6(position["cost"]), money_e6(position["margin"])
    tiers = amounts(tuple((money_e6(tier["floor"]), tier["mmr_ppm"]) for tier in tried.config["tiers"]))
    if lots > 0:
        return max(Fraction((cost_e6 - margin_e6) * PPM - off, unit * (PPM - mmr)) for mmr, off in tiers)
    return min(Fraction((margin_e6 - cost_e6) * PPM + off, unit * (PPM + mmr)) for mmr, off in tiers)


def roundings(tried: Tried) -> list[dict[str, str]]:
    """Return every figure that was rounded: exact before, rounded after, which way and to what."""
    found = [*size_roundings(tried), *fill_roundings(tried)]
    position = tried.position_after()
    if position is not None:
        found += position_roundings(tried, position)
    return [row for row in found if Fraction(row["exact"]) != Fraction(row["rounded"])]


def row_of(what: str, exact: Fraction, rounded: str, direction: str, unit: str) -> dict[str, str]:
    """Return one rounding; `exact` is cut after twelve decimals."""
    return {"what": what, "exact": text_of(exact), "rounded": rounded, "direction": direction, "unit": unit}


def size_roundings(tried: Tried) -> list[dict[str, str]]:
    """Return how the quantity came from a margin, an amount or a share."""
    fields, fills = tried.asked.fields, tried.fills()
    if not fills:
        return []
    qty = sum(Fraction(fill["qty"]) for fill in fills)
    price = Fraction(total_e6(fills, "notional"), E6) / qty
    exact = None
    if "margin" in fields:
        exact = Fraction(fields["margin"]) * fields["leverage"] / price
    elif "quote_qty" in fields:
        exact = Fraction(fields["quote_qty"]) / price
    elif "percent" in fields or "close_percent" in fields:
        held = tried.before.get(fills[0]["position_id"])
        share = Fraction(fields.get("percent") or fields["close_percent"])
        exact = abs(Fraction(held["qty"])) * share / 100 if held else None
    if exact is None:
        return []
    rounded = tried.grid.qty(int(qty * E12) // tried.grid.lot_e12)
    return [row_of("qty", exact, rounded, "up" if qty > exact else "down", tried.config["lot"])]


def fill_roundings(tried: Tried) -> list[dict[str, str]]:
    """Return how the fee and the price were rounded."""
    fills = tried.fills()
    if not fills:
        return []
    exact_fee = Fraction(0)
    for fill in fills:
        rate_ppm = tried.config["fee_maker_ppm" if fill["maker"] else "fee_taker_ppm"]
        exact_fee += Fraction(fill["notional"]) * rate_ppm / PPM
    qty = sum(Fraction(fill["qty"]) for fill in fills)
    exact_price = Fraction(total_e6(fills, "notional"), E6) / qty
    price = price_average(tried, fills)
    return [
        row_of("fee", exact_fee, money_text(total_e6(fills, "fee")), "up", MARGIN_E6_UNIT),
        row_of("price", exact_price, price, "half_up", text_of(Fraction(tried.config["tick"]) / 10_000)),
    ]


def position_roundings(tried: Tried, position: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return how the margin of what was opened, the liquidation price and the break-even price were rounded."""
    found = []
    long = tried.grid.lots(position["qty"]) > 0
    tick = tried.config["tick"]
    opened_e6 = opened_notional_e6(tried, position)
    if opened_e6 > 0:
        exact = Fraction(opened_e6, E6 * position["leverage"])
        initial_e6 = -(-opened_e6 // position["leverage"])
        found.append(row_of("margin_initial", exact, money_text(initial_e6), "up", MARGIN_E6_UNIT))
    liquidation = liquidation_exact(tried, position)
    if liquidation is not None:
        direction = "down" if long else "up"
        price = price_text(tried, liquidation)
        found.append(row_of("price_liquidation", price, position["price_liquidation"], direction, tick))
    even = break_even_ticks(tried, position)
    if even:
        exact_price = price_text(tried, break_even_exact(tried, position))
        found.append(row_of("price_break_even", exact_price, tried.grid.price(even), "up" if long else "down", tick))
    return found


def opened_notional_e6(tried: Tried, position: Mapping[str, Any]) -> int:
    """Return the notional of the fills when they only opened, 0 when a part of them closed."""
    fills = [fill for fill in tried.fills() if fill["position_id"] == position["position_id"]]
    held = tried.before.get(position["position_id"])
    against = held is not None and (Fraction(held["qty"]) > 0) != (Fraction(position["qty"]) > 0)
    if against or any(money_e6(fill["pnl_realised"]) for fill in tried.fills()):
        return 0
    return total_e6(fills, "notional")


def price_text(tried: Tried, ticks: Fraction) -> Fraction:
    """Return a price out of ticks, exact."""
    return ticks * Fraction(tried.grid.tick_e12, E12)


def text_of(value: Fraction) -> str:
    """Return a fraction as decimal text, cut after twelve decimals, without trailing zeros."""
    scaled = abs(value.numerator) * 10**DECIMALS_SHOWN // value.denominator
    whole, rest = divmod(scaled, 10**DECIMALS_SHOWN)
    text = f"{whole}.{rest:0{DECIMALS_SHOWN}d}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 and scaled else text
