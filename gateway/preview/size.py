"""
The quantity of an order whose size is a share of the largest that fits, or an amount of money; pure.

How much fits, the core alone knows: it is asked with one quantity after the other, until it takes one and refuses the
next. What an amount of money buys is reckoned from the prices that the order would meet.
"""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from gateway.preview.book import others_levels
from gateway.preview.cross import spendable_e6, standing_of
from gateway.preview.figures import row_of
from gateway.preview.question import Question
from gateway.preview.rows import Grid
from gateway.valuation import NOTIONAL_MAX_E6, PRICE_TICKS_MAX, leverage_of, money_e6, pnl_unrealised_e6
from shared.codes import ResultCode, Side
from shared.records import LOTS_UNIT_MAX
from shared.units import E6, E12, PPM, decimal_e12

STEP_FACTOR = 4
STEP_PART = 64  # of what is refused: the second step down
LEAPS_MAX = 4
MONEY_E6_MAX = 10**15  # of one order, as the core has it
# What a smaller quantity may avoid.
TOO_LARGE = frozenset(
    code.name
    for code in (
        ResultCode.QTY_OUT_OF_RANGE,
        ResultCode.ORDER_ABOVE_MAX,
        ResultCode.ORDERS_OPEN_MAX,
        ResultCode.FOK_UNFILLABLE,
        ResultCode.SLIPPAGE_EXCEEDED,
        ResultCode.STP_WOULD_CUT,
        ResultCode.LIQUIDITY_EXHAUSTED,
        ResultCode.LEVERAGE_ABOVE_TIER,
        ResultCode.MARGIN_INSUFFICIENT,
        ResultCode.WOULD_BE_LIQUIDATED,
        ResultCode.NOTIONAL_ABOVE_MAX,
        ResultCode.OPEN_INTEREST_ABOVE_MAX,
    )
)
TOO_SMALL = ResultCode.NOTIONAL_BELOW_MIN.name
# What a quantity does not depend on: it is left out while the largest is looked for, and judged with the result.
BESIDE = ("take_profit", "stop_loss", "tpsl", "oco", "client_order_id", "post_only", "expires_ms")
WAKES = ("price_trigger", "trigger_by", "trail_ticks", "trail_ppm", "price_activation")
# What a dormant kind becomes when it wakes.
WOKEN = {
    "stop_market": "market",
    "take_profit_market": "market",
    "trailing_stop": "market",
    "stop_limit": "limit",
    "take_profit_limit": "limit",
}


class Outcome(NamedTuple):
    """What the core said to an instruction."""

    code: str
    whole: bool  # nothing of it ended unfilled
    left_e6: int  # what the account may then put into another order


class Sized(NamedTuple):
    """An instruction with a quantity, and what is to be said of its size."""

    fields: dict[str, Any]
    shown: dict[str, Any]


# (fields, the price at which the market stands then, None: as it is) -> outcome
Ask = Callable[[dict[str, Any], str | None], Outcome]
# (the largest taken so far, 0 if none) -> whether there is time to look for a larger one
LookOn = Callable[[int], bool]


def size_code(size: dict[str, str]) -> ResultCode:
    """Return the rule that a stated size breaks by itself, OK when it breaks none."""
    if "percent" in size:
        percent = Fraction(size["percent"])
        return ResultCode.OK if percent.denominator == 1 and 1 <= percent <= 100 else ResultCode.PERCENT_OUT_OF_RANGE
    whole, rest = divmod(decimal_e12(size["usd"]), E12 // E6)
    return ResultCode.OK if rest == 0 and 0 < whole < MONEY_E6_MAX else ResultCode.AMOUNT_OUT_OF_RANGE


def sized(asked: Question, grid: Grid, ask: Ask, look_on: LookOn) -> Sized:
    """
    Return the instruction with the quantity that its stated size comes to.

    Where there is none to be sent, it has one that the core refuses for the reason why there is none.
    Rounds: down, to whole lots.
    """
    assert asked.size is not None
    if "usd" in asked.size:
        levels = list(levels_met(asked, grid))
        if any(not 0 < ticks <= PRICE_TICKS_MAX for ticks, _ in levels):  # the core says what is wrong with the price
            return Sized(asked.fields | {"qty": grid.qty(1)}, {})
        return _with_lots(asked, grid, lots_for_money(levels, money_e6(asked.size["usd"]), grid.unit_e6), {})
    most, refused = largest(asked, grid, ask, look_on)
    if most == 0:
        return Sized(asked.fields | {"qty": grid.qty(refused)}, {})
    share = most * Fraction(asked.size["percent"]) / 100
    return _with_lots(asked, grid, share, {"qty_max": grid.qty(most)})


def _with_lots(asked: Question, grid: Grid, exact_lots: Fraction, shown: dict[str, Any]) -> Sized:
    """Return the instruction with so many lots, rounded down; less than one is none to be sent."""
    lots = int(exact_lots)
    qty = grid.qty(lots)
    if lots:
        shown = {"qty": qty} | shown
    if lots and lots != exact_lots:
        exact = exact_lots * Fraction(grid.lot_e12, E12)
        shown["rounding"] = row_of("qty", exact, qty, "down", asked.markets[0]["lot"])
    return Sized(asked.fields | {"qty": qty}, shown)


def largest(asked: Question, grid: Grid, ask: Ask, look_on: LookOn) -> tuple[int, int]:
    """
    Return (the most lots that an instruction may have, fewest lots that are known to be refused).

    Of a reduce-only order the most is what its position has. None is 0: then the other number is refused for a reason.
    """
    if asked.fields.get("reduce_only"):
        return held_lots(asked, grid), 1
    fields, price = tried_now(asked.fields, grid)
    outcomes: dict[int, Outcome] = {}
    guessed = guess_of(asked, grid)

    def room(lots: int) -> int | None:
        """Return about how many lots more the core would take than these, None when it refuses as many."""
        outcome = outcomes[lots] = outcomes.get(lots) or ask(fields | {"qty": grid.qty(lots)}, price)
        if outcome.code == TOO_SMALL:  # no reason to stop
            return 0
        taken = outcome.code == ResultCode.OK.name and outcome.whole
        if not taken:
            return None
        return max(0, min(outcome.left_e6 * PPM // guessed.cost_ppm, guessed.bound_lots - lots))

    most_ever = LOTS_UNIT_MAX // grid.unit_e6
    guess = min(max(1, guessed.lots), most_ever)
    if room(guess) is None and outcomes[guess].code not in TOO_LARGE | {ResultCode.OK.name}:
        return 0, guess
    most, refused = largest_taken(room, guess, most_ever, look_on)
    return (0, refused) if most and outcomes[most].code == TOO_SMALL else (most, refused)


def largest_taken(room: Callable[[int], int | None], guess: int, most: int, look_on: LookOn) -> tuple[int, int]:
    """
    Return (the largest of 1 … most that is taken, 0 if none is; the least refused), when all below it are taken too.

    Where there is no time to look on it is the largest that was seen to be taken.
    room: about how many more than a number are taken, 0 when that is not known, None when the number itself is not.
    It looks around the guess in growing steps and goes where the room points a few times, so a good guess costs two
    looks, and a bad one seldom more than six.
    """
    low, high = 0, most + 1
    at, step, leaps = guess, 1, LEAPS_MAX
    while high - low > 1 and look_on(low):
        assert low < at < high
        more = room(at)
        low, high = (low, at) if more is None else (at, high)
        if more and leaps and low + more < high:
            at, step, leaps = low + more, 1, leaps - 1
            continue
        upward = more is not None and low + more < high
        at = low + step if upward else high - step
        if not low < at < high or (low > 0 and high <= most and 2 * step > high - low):
            at = (low + high) // 2
        step = max(step * STEP_FACTOR, high // STEP_PART if low == 0 else 1)
    return low, high


def tried_now(fields: dict[str, Any], grid: Grid) -> tuple[dict[str, Any], str | None]:
    """Return an instruction as it is when it executes, and the price at which the market stands then."""
    left = {name: value for name, value in fields.items() if name not in BESIDE + WAKES}
    if left.get("tif") == "GTD":
        del left["tif"]
    if fields.get("kind") in WOKEN:
        left["kind"] = WOKEN[fields["kind"]]
    trigger = fields.get("price_trigger")
    if not trigger or not 0 < grid.ticks(trigger) <= PRICE_TICKS_MAX:
        return left, None
    # Own orders on the way there would be filled before: they stand in nobody's way.
    return left | {"stp": "cancel_maker"}, trigger


def held_lots(asked: Question, grid: Grid) -> int:
    """Return how many lots the position has that a reduce-only order is to shrink, 0 if there is none such."""
    number = asked.fields.get("position_id")
    for position in asked.positions:
        named = position["position_id"] == number if number else position["kind"] == "net"
        if named and position["market"] == asked.markets[0]["market"]:
            return max(0, -grid.lots(position["qty"]) * sign_of(asked))
    return 0


def sign_of(asked: Question) -> int:
    """Return +1 of an instruction that buys, -1 of one that sells."""
    return 1 if asked.fields["side"] == "buy" else -1


def levels_met(asked: Question, grid: Grid) -> Iterator[tuple[int, int | None]]:
    """Yield (ticks, lots, None: any number) of the prices at which an instruction fills, the best first."""
    fields, config = asked.fields, asked.markets[0]
    named = fields.get("price") if fields.get("kind", "").endswith("limit") else fields.get("price_trigger")
    if named:
        yield grid.ticks(named), None
        return
    view = asked.prices[config["market"]]
    side, word = (Side.SELL, "ask") if sign_of(asked) > 0 else (Side.BUY, "bid")
    levels: list[tuple[int, int | None]] = list(others_levels(asked, grid, side).items())
    liquidity = config.get("liquidity", "quote")
    if liquidity != "book" and view.get(word):
        levels.append((grid.ticks(view[word]), None if liquidity == "quote" else grid.lots(view[f"{word}_qty"])))
    yield from sorted(levels, key=lambda level: (level[0] * sign_of(asked), level[1] is None))


def lots_for_money(levels: Iterable[tuple[int, int | None]], amount_e6: int, unit_e6: int) -> Fraction:
    """Return how many lots an amount of money buys, exact; where the prices end, what there is."""
    found = Fraction(0)
    for ticks, lots in levels:
        more = Fraction(amount_e6, ticks * unit_e6)
        if lots is None or more < lots:
            return found + more
        found += lots
        amount_e6 -= lots * ticks * unit_e6
    return found


class Guess(NamedTuple):
    """About how many lots fit, what one costs in micro-USDC × 10⁶, and how many the market's bounds let have."""

    lots: int
    cost_ppm: int
    bound_lots: int


def guess_of(asked: Question, grid: Grid) -> Guess:
    """Return where to begin to look; only how long the search takes depends on it."""
    config, fields = asked.markets[0], asked.fields
    market = config["market"]
    view = asked.prices[market]
    mark_ticks = grid.ticks(view.get("mark"))
    ticks = next((ticks for ticks, _ in levels_met(asked, grid)), 0) or mark_ticks
    touch_ticks = grid.ticks(view.get("ask" if sign_of(asked) > 0 else "bid"))
    if touch_ticks and fields.get("kind") == "limit" and sign_of(asked) * (ticks - touch_ticks) > 0:
        ticks = touch_ticks  # it takes
    if not 0 < ticks <= PRICE_TICKS_MAX:
        return Guess(1, PPM, LOTS_UNIT_MAX)
    set_there = asked.leverages.get(market)
    leverage = fields.get("leverage") or leverage_of(
        set_there, config["leverage_max"], asked.guards.get("leverage_max")
    )
    lost_ticks = max(0, sign_of(asked) * (ticks - mark_ticks)) if mark_ticks else 0
    cost_ppm = max(1, grid.unit_e6 * (ticks * (PPM // leverage + config["fee_taker_ppm"]) + lost_ticks * PPM))
    money, held = spendable_e6(asked, standing_of(asked)), 0
    for position in asked.positions:
        if position["kind"] == "net" and position["market"] == market:
            held = grid.lots(position["qty"]) * sign_of(asked)
            if held < 0:
                money += money_e6(position["margin"]) + pnl_unrealised_e6(position, view["mark"])
    bound_lots = notional_bound_e6(config, leverage) // (ticks * grid.unit_e6) - (0 if "leverage" in fields else held)
    lots = max(0, -held) + max(0, money) * PPM // cost_ppm
    return Guess(min(lots, max(1, bound_lots)), cost_ppm, bound_lots)


def notional_bound_e6(config: dict[str, Any], leverage: int) -> int:
    """Return how large a market lets a position of this leverage be, and an account's exposure."""
    bounds = [money_e6(tier["floor"]) for tier in config["tiers"] if tier["leverage_max"] < leverage]
    if money_e6(config.get("notional_max", "0")):
        bounds.append(money_e6(config["notional_max"]))
    return min(bounds, default=NOTIONAL_MAX_E6)
