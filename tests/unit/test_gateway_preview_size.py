"""A size in place of a quantity: the largest that the core takes and shares of it, and what an amount of money buys."""

import random
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.preview.size import largest_taken, lots_for_money
from gateway.schemas import preview_read, preview_size_read
from tests.preview_house import House, Worker
from tests.unit.test_gateway_preview import (
    CALLER,
    NAMES,
    OTHER,
    TICK,
    asked,
    come,
    founded,
    sent,
    shape_expect,
    texts,
    total,
)

BEYOND = 40  # lots above the largest that are all seen to be refused


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A calculator's worker."""
    running = Worker()
    yield running
    assert running.end() == 0


def sized(worker: Worker, house: House, op: str, size: dict[str, str], **body: Any) -> dict[str, Any]:
    """Return what the calculator says of an instruction of the caller that states a size."""
    answer = worker.ask(house.question(CALLER, {"op": op, "body": {"market": NAMES[0], **body}, "size": size}))
    assert "failure" not in answer, answer
    shape_expect(answer)
    return answer


def lots(qty: str) -> int:
    """Return a quantity in lots of a hundredth."""
    found = Fraction(qty) * 100
    assert found.denominator == 1
    return int(found)


def largest_expect(house: House, op: str, most: int, **body: Any) -> None:
    """Hold that the venue refuses each of the quantities above `most` and takes `most`; it is done afterwards."""
    for more in range(BEYOND, 0, -1):
        refused = sent(house, CALLER, op, qty=f"{(most + more) / 100:.2f}", **body)[0]["result"]
        assert refused != "OK", more
    assert sent(house, CALLER, op, qty=f"{most / 100:.2f}", **body)[0]["result"] == "OK"


def always(_found: int) -> bool:
    """Return that there is time."""
    return True


def test_the_search_finds_what_going_through_all_finds() -> None:
    """From any guess, and whatever room is hoped for, the search ends at the last number that is taken."""
    choice = random.Random(4)
    for most in (1, 2, 7, 40):
        for bound in range(most + 1):
            for guess in range(1, most + 1):
                looked: list[int] = []

                def room(number: int, bound: int = bound, most: int = most, looked: list[int] = looked) -> int | None:
                    """Return how many more are taken, often wrongly; None of a number that is not."""
                    looked.append(number)
                    return None if number > bound else choice.choice([0, bound - number, choice.randint(0, most)])

                assert largest_taken(room, guess, most, always) == (bound, bound + 1)
                assert len(looked) == len(set(looked))


@pytest.mark.parametrize(("guess", "looks"), [(700_000, 2), (699_990, 3), (400_000, 3), (700_009, 6), (790_000, 7)])
def test_a_search_that_is_told_the_room_is_short(guess: int, looks: int) -> None:
    """A right guess costs two looks, one that is too small three, and one that is too large a few more."""
    looked: list[int] = []

    def room(number: int) -> int | None:
        """Return how many more are taken."""
        looked.append(number)
        return 700_000 - number if number <= 700_000 else None

    assert largest_taken(room, guess, 10**9, always) == (700_000, 700_001)
    assert len(looked) <= looks


def test_a_search_without_time_ends_at_what_it_has_seen() -> None:
    """Out of time the answer is the largest that was taken, never one that nobody looked at; none is none."""
    for bound in (0, 17, 500):
        for looks in range(12):
            seen: list[int] = []
            count = iter(range(looks + 1))

            def room(number: int, bound: int = bound, seen: list[int] = seen) -> int | None:
                """Return that nothing is known of more."""
                seen.append(number)
                return 0 if number <= bound else None

            def in_time(_found: int, count: Iterator[int] = count, looks: int = looks) -> bool:
                """Return whether there were fewer looks than there is time for."""
                return next(count) < looks

            most, refused = largest_taken(room, 100, 1_000, in_time)
            assert len(seen) <= looks
            assert most == max([number for number in seen if number <= bound], default=0)
            assert refused == min([number for number in seen if number > bound], default=1_001)


def test_money_buys_what_going_through_the_levels_buys() -> None:
    """Lots for an amount are those that taking one after the other pays for, the best price first."""
    choice = random.Random(5)
    for _ in range(300):
        levels: list[tuple[int, int | None]] = [(choice.randint(1, 50), choice.randint(1, 9)) for _ in range(4)]
        levels.sort()
        if choice.random() < 0.5:
            levels.append((60, None))
        amount_e6, unit_e6 = choice.randint(1, 3_000), choice.randint(1, 9)
        left, bought = amount_e6, 0
        each = [ticks for ticks, count in levels for _ in range(1_000 if count is None else count)]
        for ticks in each:
            if ticks * unit_e6 > left:
                break
            left -= ticks * unit_e6
            bought += 1
        assert int(lots_for_money(levels, amount_e6, unit_e6)) == bought


SCENES: dict[str, tuple[list[tuple[str, dict[str, Any]]], str, dict[str, Any]]] = {
    "market": ([], "order_place", {"side": "buy"}),
    "sell": ([], "order_place", {"side": "sell"}),
    "ticket": ([], "trade_create", {"side": "sell", "leverage": 23}),
    "limit": ([], "order_place", {"side": "buy", "kind": "limit", "price": "149.13"}),
    "limit that takes": ([], "order_place", {"side": "buy", "kind": "limit", "price": "150.40"}),
    "leverage": ([("leverage_set", {"leverage": 7})], "order_place", {"side": "buy"}),
    "highest leverage": ([("leverage_set", {"leverage": 50})], "order_place", {"side": "buy"}),
    "beside an order": (
        [("order_place", {"side": "buy", "kind": "limit", "price": "149.50", "qty": "100"})],
        "order_place",
        {"side": "buy"},
    ),
    "turning": ([("order_place", {"side": "buy", "kind": "market", "qty": "123.45"})], "order_place", {"side": "sell"}),
    "adding": ([("order_place", {"side": "sell", "kind": "market", "qty": "123.45"})], "order_place", {"side": "sell"}),
    "cross": ([("margin_mode_set", {"mode": "cross"})], "order_place", {"side": "buy"}),
    "cross, adding": (
        [("margin_mode_set", {"mode": "cross"}), ("order_place", {"side": "buy", "kind": "market", "qty": "200"})],
        "order_place",
        {"side": "buy"},
    ),
    "cross, turning": (
        [("margin_mode_set", {"mode": "cross"}), ("order_place", {"side": "buy", "kind": "market", "qty": "200"})],
        "order_place",
        {"side": "sell"},
    ),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("percent", ["100", "25"])
def test_a_percentage_is_of_the_largest_that_the_venue_takes(worker: Worker, name: str, percent: str) -> None:
    """All of it is taken and not a lot more; a share is that rounded down to lots, the rounding shown."""
    before, op, body = SCENES[name]
    house = founded()
    for earlier, fields in before:
        events = house.instruct(CALLER, earlier, {"market": NAMES[0], **fields})
        assert [event["result"] for event in events if event["e"] == "order_response"] == ["OK"]
    if before:  # what is held has lost a little since
        house.mark(NAMES[0], "149.90")
    answer = sized(worker, house, op, {"percent": percent}, **body)
    assert answer["result"] == "OK"
    most = lots(answer["size"]["qty_max"])
    assert most > 1_000
    share = Fraction(most * int(percent), 100)
    assert lots(answer["size"]["qty"]) == int(share)
    assert ("rounding" in answer["size"]) == (share.denominator != 1)
    assert answer == asked(worker, house, op, qty=answer["size"]["qty"], **body) | {"size": answer["size"]}
    largest_expect(house, op, most, **body)


def test_a_percentage_may_be_written_with_decimals(worker: Worker) -> None:
    """25.0 and the JSON number 25 are 25."""
    answers = [sized(worker, founded(), "order_place", {"percent": text}, side="buy") for text in ("25", "25.000")]
    assert answers[0] == answers[1]


def test_a_rounded_share_shows_what_it_was(worker: Worker) -> None:
    """The rounding of a share has the exact quantity, what became of it, the direction and the lot."""
    answer = sized(worker, founded(), "order_place", {"percent": "33"}, side="buy")
    row = answer["size"]["rounding"]
    assert Fraction(row["exact"]) == Fraction(answer["size"]["qty_max"]) * 33 / 100
    assert (row["what"], row["rounded"], row["direction"], row["unit"]) == (
        "qty",
        answer["size"]["qty"],
        "down",
        "0.01",
    )


@pytest.mark.parametrize(
    ("dormant", "awake"),
    [
        (
            {"side": "buy", "kind": "stop_market", "price_trigger": "153.10"},
            {"side": "buy", "price": "153.10"},
        ),
        (
            {"side": "sell", "kind": "take_profit_limit", "price_trigger": "152.00", "price": "152.40"},
            {"side": "sell", "kind": "limit", "price": "152.40"},
        ),
    ],
)
def test_an_order_that_sleeps_is_sized_as_if_it_woke(
    worker: Worker, dormant: dict[str, Any], awake: dict[str, Any]
) -> None:
    """The most of a dormant order is what would be taken of the woken one with the market at its trigger."""
    house = founded()
    most = lots(sized(worker, house, "order_place", {"percent": "100"}, **dormant)["size"]["qty_max"])
    trigger = Decimal(dormant["price_trigger"])
    for _ in range(2):  # a mark far from the quote is believed once the quote has come too
        come(house, trigger - (TICK if dormant["side"] == "buy" else 0), trigger)
    largest_expect(house, "order_place", most, **awake)


def test_own_orders_on_the_way_to_a_trigger_are_in_no_way(worker: Worker) -> None:
    """Orders of one's own that the market passes before it reaches the trigger take nothing from the size."""
    house = founded()
    stop = {"side": "sell", "kind": "stop_market", "price_trigger": "148.00"}
    alone = lots(sized(worker, house, "order_place", {"percent": "100"}, **stop)["size"]["qty_max"])
    sent(house, CALLER, "order_place", side="buy", kind="limit", price="149.00", qty="10")
    beside = lots(sized(worker, house, "order_place", {"percent": "100"}, **stop)["size"]["qty_max"])
    assert alone * 0.9 < beside <= alone * 1.1


def test_a_trailing_stop_is_sized_at_the_market_of_now(worker: Worker) -> None:
    """Where no price is known at which it wakes, the most is what a market order could have."""
    house = founded()
    plain = sized(worker, house, "order_place", {"percent": "50"}, side="sell")
    trailing = sized(worker, house, "order_place", {"percent": "50"}, side="sell", kind="trailing_stop", trail_ticks=90)
    assert trailing["size"] == plain["size"]
    assert trailing["status"] == "trigger"


def test_a_reduce_only_percentage_is_of_the_position(worker: Worker) -> None:
    """An order that only shrinks takes its share of what is held, however much money there is."""
    house = founded()
    refused = sized(worker, house, "order_place", {"percent": "50"}, side="sell", reduce_only=True)
    assert (refused["result"], refused["size"]) == ("REDUCE_ONLY_WOULD_INCREASE", {})
    sent(house, CALLER, "order_place", side="buy", qty="3.33")
    answer = sized(worker, house, "order_place", {"percent": "50"}, side="sell", reduce_only=True)
    assert (answer["size"]["qty"], answer["size"]["qty_max"], answer["qty"]) == ("1.66", "3.33", "1.66")
    again = sized(worker, house, "order_place", {"percent": "50"}, side="buy", reduce_only=True)
    assert (again["result"], again["size"]) == ("REDUCE_ONLY_WOULD_INCREASE", {})


@pytest.mark.parametrize("liquidity", ["quote", "quote_sized", "book"])
@pytest.mark.parametrize("usd", ["3.5", "250", "777.77", "1234.5"])
def test_an_amount_buys_the_most_lots_that_it_pays_for(worker: Worker, liquidity: str, usd: str) -> None:
    """What fills costs at most the amount, and with one lot more it would not."""
    costs = []
    for more in (0, 1):
        house = founded(liquidity=liquidity)
        for price, qty in (("150.00", "1.11"), ("150.01", "2.02"), ("150.07", "90")):
            sent(house, OTHER, "order_place", side="sell", kind="limit", price=price, qty=qty, tif="GTC")
        answer = sized(worker, house, "order_place", {"usd": usd}, side="buy")
        qty = f"{(lots(answer['size']['qty']) + more) / 100:.2f}"
        fills = texts(sent(house, CALLER, "order_place", side="buy", qty=qty), "fill")
        assert total(fills, "qty") == Fraction(qty)
        costs.append(total(fills, "notional"))
    assert costs[0] <= Fraction(usd) < costs[1]


def test_an_amount_at_a_limit_is_reckoned_at_the_limit(worker: Worker) -> None:
    """What rests is worth at most the amount at its own price, and money is not asked for."""
    answer = sized(worker, founded(), "order_place", {"usd": "1000"}, side="buy", kind="limit", price="149.00")
    assert answer["size"]["qty"] == "6.71"
    assert answer["size"]["rounding"]["exact"] == "6.711409395973"
    rich = sized(worker, founded(), "order_place", {"usd": "900000"}, side="buy", kind="limit", price="149.00")
    assert (rich["result"], rich["size"]["qty"]) == ("MARGIN_INSUFFICIENT", "6040.26")
    stop = sized(worker, founded(), "order_place", {"usd": "1000"}, side="buy", kind="stop_market", price_trigger="200")
    assert stop["size"] == {"qty": "5.00"}


def test_where_nothing_fits_the_reason_is_the_venues_own(worker: Worker) -> None:
    """Without money, with too little for the smallest order, or without a fresh price there is no quantity."""
    house = founded()
    sub = texts(house.instruct(CALLER, "subaccount_open", {}), "account_opened")
    number = sub[0]["account"] if sub else max(house.views)
    for amount in ("4999.95", "0.05"):
        house.instruct(CALLER, "account_transfer", {"account_to": number, "amount": amount})
        answer = sized(worker, house, "order_place", {"percent": "100"}, side="buy")
        assert (answer["result"], answer["size"]) == ("MARGIN_INSUFFICIENT", {})
    stale = founded()
    stale.engine.ts_us += 120_000_000
    for _ in range(2):
        stale.taken(stale.engine.apply("clock_tick"))
    answer = sized(worker, stale, "order_place", {"percent": "100"}, side="buy")
    assert (answer["result"], answer["size"]) == ("PRICE_STALE", {})
    for size in ({"usd": "0.01"}, {"usd": "0.000001"}):
        answer = sized(worker, founded(), "order_place", size, side="buy")
        assert (answer["result"], answer["size"]) == ("QTY_OUT_OF_RANGE", {})
    for price in ("0", "-5", "999999999"):
        for size in ({"usd": "500"}, {"percent": "50"}):
            answer = sized(worker, founded(), "order_place", size, side="buy", kind="limit", price=price)
            assert (answer["result"], answer["size"]) == ("PRICE_OUT_OF_RANGE", {})
    answer = sized(worker, founded(), "order_place", {"percent": "50"}, side="buy", slippage_bps=0)
    assert (answer["result"], answer["status"], answer["size"]) == ("OK", "slippage_exceeded", {})


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ({"percent": "0"}, "PERCENT_OUT_OF_RANGE"),
        ({"percent": "101"}, "PERCENT_OUT_OF_RANGE"),
        ({"percent": "12.5"}, "PERCENT_OUT_OF_RANGE"),
        ({"percent": "-5"}, "PERCENT_OUT_OF_RANGE"),
        ({"usd": "0"}, "AMOUNT_OUT_OF_RANGE"),
        ({"usd": "-1"}, "AMOUNT_OUT_OF_RANGE"),
        ({"usd": "0.0000001"}, "AMOUNT_OUT_OF_RANGE"),
        ({"usd": "1000000000"}, "AMOUNT_OUT_OF_RANGE"),
    ],
)
def test_a_size_out_of_its_range_is_an_answer(worker: Worker, size: dict[str, str], code: str) -> None:
    """A number that no size can be is answered with the rule that it breaks."""
    assert sized(worker, founded(), "order_place", size, side="buy")["result"] == code


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"size": "25"}, "FIELD_TYPE_INVALID", "size"),
        ({"size": {}}, "FIELD_MISSING", "size"),
        ({"size": {"percent": "1", "usd": "1"}}, "FIELDS_EXCLUSIVE", "size"),
        ({"size": {"lots": "1"}}, "FIELD_UNKNOWN", "size.lots"),
        ({"size": {"percent": 1.5}}, "NUMBER_NOT_TEXT", "size.percent"),
        ({"size": {"usd": "1e3"}}, "NUMBER_MALFORMED", "size.usd"),
        ({"size": {"usd": "5"}, "body": {"qty": "1"}}, "FIELDS_EXCLUSIVE", "body.qty"),
        ({"size": {"usd": "5"}, "body": {"quote_qty": "1"}}, "FIELDS_EXCLUSIVE", "body.quote_qty"),
        ({"size": {"usd": "5"}, "op": "trade_create", "body": {"margin": "1"}}, "FIELDS_EXCLUSIVE", "body.margin"),
        ({"size": {"usd": "5"}, "op": "trade_close", "body": {"position_id": 1}}, "FIELD_VALUE_UNKNOWN", "op"),
        ({"size": {"usd": "5"}, "op": "trade_create"}, "FIELD_MISSING", "body.leverage"),
    ],
)
def test_a_size_of_a_wrong_shape_is_refused_by_its_key(body: dict[str, Any], code: str, field: str) -> None:
    """What is no size, or stands beside a quantity or an operation that has none, is refused and named."""
    plain = {"market": NAMES[0], "side": "buy"}
    named = body | {"body": body.get("body", {}) | ({} if body.get("op") == "trade_close" else plain)}
    with pytest.raises(Refusal) as caught:
        preview_read(named), preview_size_read(named)
    assert (caught.value.code, caught.value.detail["field"]) == (code, field)
