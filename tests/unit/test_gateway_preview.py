"""The order calculator: what it says of an instruction is what the instruction does, to the last digit."""

import random
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from gateway.documents.replies_preview import Preview
from gateway.schemas import preview_read
from gateway.valuation import pool_of, position_valued, terms_of
from shared import genesis
from tests.preview_house import House, Worker

NAMES = ("SOL_USDC_PERP", "ETH_USDC_PERP")
TIERS = [
    {"floor": "0", "mmr_ppm": 13_500, "leverage_max": 50},
    {"floor": "20000", "mmr_ppm": 25_000, "leverage_max": 20},
]
MARKETS = [
    {**market, **({"tiers": TIERS} if market["market"] == NAMES[0] else {})}
    for market in genesis.MARKETS_DEFAULT
    if market["market"] in NAMES
]
MIDDLE = {"SOL_USDC_PERP": 15_000, "ETH_USDC_PERP": 300_000}
SOL = next(market for market in MARKETS if market["market"] == NAMES[0])
CROSSED = (1, 3)  # seeds that trade across the account
TICK = Decimal("0.01")
CALLER = 100
OTHER = 101


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A calculator's worker."""
    running = Worker()
    yield running
    assert running.end() == 0


def texts(events: list[dict[str, Any]], kind: str, **wanted: Any) -> list[dict[str, Any]]:
    """Return the caller's events of one kind with these values."""
    mine = [event for event in events if event["e"] == kind and event["account"] == CALLER]
    return [event for event in mine if all(event.get(name) == value for name, value in wanted.items())]


def total(events: list[dict[str, Any]], name: str) -> Fraction:
    """Return a sum over events."""
    return sum((Fraction(event[name]) for event in events), Fraction(0))


def shape_expect(answer: dict[str, Any]) -> None:
    """Hold an answer against the documents, with what a request adds to it."""
    msgspec.convert(answer | {"request_id": "0" * 32, "seq": "1", "env": "paper"}, Preview)


def told(image: dict[str, Any], known: bool) -> dict[str, Any]:
    """Return a position's image without what a calculation cannot know of a new one."""
    shown = {name: value for name, value in image.items() if name not in ("e", "account", "seq")}
    for name in ("take_profit", "stop_loss"):
        if name in shown:
            shown[name] = {key: value for key, value in shown[name].items() if key != "order_id"}
    if not known:
        del shown["position_id"]
    return shown


def same_expect(answer: dict[str, Any], events: list[dict[str, Any]], held: set[int]) -> None:
    """Compare an answer that assumes no price with what the instruction did at once."""
    response = events[0]
    assert answer["result"] == response["result"]
    if response["result"] != "OK":
        return
    balances = texts(events, "account_changed")
    if balances:
        assert answer["balance_after"] == {name: balances[-1][name] for name in ("free", "reserved")}
    if "price_assumed" in answer:
        return
    fills = texts(events, "fill", order_id=response.get("order_id"))
    if not fills:
        assert "qty" not in answer
    else:
        for name, key in (("qty", "qty"), ("notional", "notional"), ("fee", "fee"), ("pnl_realised", "pnl_realised")):
            assert Fraction(answer[name]) == total(fills, key), name
        assert answer["side"] == fills[0]["side"]
    number = fills[-1]["position_id"] if fills else response.get("position_id")
    legs = texts(events, "ledger", reason="margin", counter=f"position:{number}")
    assert Fraction(answer.get("margin", "0")) == -total(legs, "amount")
    images = texts(events, "position_changed", position_id=number)
    if images and Fraction(images[-1]["qty"]):
        assert answer["position_after"] == told(images[-1], number in held)
        assert answer.get("price_liquidation") == images[-1].get("price_liquidation")
    else:
        assert "position_after" not in answer


def liquidation_estimate(house: House, image: dict[str, Any]) -> str | None:
    """Return what the account's own route says of a cross position's liquidation, none of an isolated one."""
    view = house.view(CALLER)
    terms = {}
    for name in {row["market"] for row in view.positions}:
        config = house.markets.one(name)
        assert config is not None
        guard = view.guards.get("leverage_max")
        terms[name] = terms_of(config, house.market_view(name), view.leverages.get(name), guard)
    pool = pool_of(view.account, view.positions, view.orders, view.modes, terms)
    shown = position_valued(image, terms[image["market"]], pool)
    return shown.get("price_liquidation_estimate")


def wish(choice: random.Random, house: House) -> dict[str, Any]:
    """Return a random instruction that the caller might ask about."""
    market = choice.choice(NAMES)
    bid = Fraction(house.market_view(market)["bid"]) * 100

    def price() -> str:
        """Return a price near the market's."""
        return f"{(int(bid) + choice.randint(-250, 250)) / 100:.2f}"

    side = choice.choice(["buy", "sell"])
    qty = f"{choice.randint(1, 900) / 100:.2f}"
    plain = {"market": market, "side": side}
    wishes: list[dict[str, Any]] = [
        {"body": plain | {"qty": qty}},
        {"body": plain | {"quote_qty": str(choice.randint(1, 3_000))}},
        {"body": plain | {"qty": qty, "take_profit": price(), "stop_loss": price()}},
        {"body": plain | {"kind": "limit", "qty": qty, "price": price()}},
        {"body": plain | {"kind": "limit", "qty": qty, "price": price(), "tif": choice.choice(["IOC", "FOK"])}},
        {"body": plain | {"kind": "limit", "qty": qty, "price": price(), "reduce_only": True}},
        {"body": plain | {"kind": "stop_market", "qty": qty, "price_trigger": price()}},
        {"body": plain | {"kind": "trailing_stop", "qty": qty, "trail_ticks": choice.randint(10, 400)}},
        {"body": plain | {"close_percent": str(choice.randint(1, 100)), "reduce_only": True}},
        {"body": plain | {"margin": f"{choice.randint(1, 30_000) / 100:.2f}", "leverage": choice.randint(1, 50)}},
        {
            "op": "trade_create",
            "body": plain
            | {"qty": qty, "leverage": choice.randint(1, 50), "take_profit": price(), "stop_loss": price()},
        },
    ]
    for position in choice.sample(house.view(CALLER).positions, min(2, len(house.view(CALLER).positions))):
        number = position["position_id"]
        amount = f"{choice.randint(-5_000, 5_000) / 100:.2f}"
        wishes += [
            {"op": "trade_close", "body": {"position_id": number}},
            {"op": "trade_close", "body": {"position_id": number, "percent": str(choice.randint(1, 100))}},
            {"op": "position_reverse", "body": {"position_id": number}},
            {"op": "margin_change", "body": {"position_id": number, "amount": amount}},
        ]
    return choice.choice(wishes)


def scene_move(choice: random.Random, house: House) -> None:
    """Let time pass, prices walk, and now and then change what the account has chosen."""
    house.engine.ts_us += choice.randint(1_000, 900_000)
    for market in NAMES:
        middle = MIDDLE[market] + choice.randint(-150, 150)
        house.price(market, f"{middle / 100:.2f}", f"{(middle + choice.randint(1, 9)) / 100:.2f}")
        if choice.random() < 0.3:
            house.mark(market, f"{(middle + choice.randint(-20, 20)) / 100:.2f}")
    if choice.random() < 0.2:
        house.instruct(CALLER, "leverage_set", {"market": choice.choice(NAMES), "leverage": choice.randint(1, 50)})
    if choice.random() < 0.1:
        mode = choice.choice(["cross", "isolated"])
        house.instruct(CALLER, "margin_mode_set", {"market": choice.choice(NAMES), "mode": mode})
    if choice.random() < 0.1:
        house.instruct(CALLER, "account_guards_set", {"slippage_bps": choice.choice([None, 20, 500])})
    if choice.random() < 0.05:
        house.instruct(CALLER, "orders_cancel", {})


@pytest.mark.parametrize("seed", range(6))
def test_what_is_calculated_is_what_happens(worker: Worker, seed: int) -> None:
    """Fifty random instructions: each is calculated, then sent, and all figures are equal."""
    choice = random.Random(seed)
    house = House(MARKETS, 1)
    filled = crossed = 0
    for _ in range(50):
        scene_move(choice, house)
        body = wish(choice, house)
        question = house.question(CALLER, body)
        held = {position["position_id"] for position in question.positions}
        answer = worker.ask(question)
        assert "failure" not in answer, (body, answer)
        shape_expect(answer)
        events = house.instruct(CALLER, question.op, question.fields)
        same_expect(answer, events, held)
        filled += bool(texts(events, "fill"))
        after = answer.get("position_after", {})
        if after.get("mode") == "cross" and "price_assumed" not in answer:
            image = texts(events, "position_changed", market=after["market"], mode="cross")[-1]
            assert answer.get("price_liquidation_estimate") == liquidation_estimate(house, image)
            crossed += 1
    assert filled >= 10
    assert crossed or seed not in CROSSED


def founded(**changes: Any) -> House:
    """Return a house of two accounts and one market with a quote and a mark, its configuration changed so."""
    house = House([{**SOL, **changes}], 2)
    house.price(NAMES[0], "150.00", "150.01")
    house.mark(NAMES[0], "150.00")
    return house


def asked(worker: Worker, house: House, op: str | None, **body: Any) -> dict[str, Any]:
    """Return what the calculator says of an instruction of the caller in the first market."""
    named = {"op": op} if op else {}
    answer = worker.ask(house.question(CALLER, named | {"body": {"market": NAMES[0], **body}}))
    assert "failure" not in answer, answer
    shape_expect(answer)
    return answer


def sent(house: House, account_id: int, op: str, **body: Any) -> list[dict[str, Any]]:
    """Send an instruction in the first market and return what it caused, its answer first."""
    _, fields = preview_read({"op": op, "body": {"market": NAMES[0], **body}})
    events = house.instruct(account_id, op, fields)
    return events[[event["e"] for event in events].index("order_response") :]


def won(events: list[dict[str, Any]]) -> Fraction:
    """Return what the caller's position that has just ended won over its life."""
    (ended,) = texts(events, "closed_position")
    return Fraction(ended["pnl_realised"]) - Fraction(ended["fees"])


def come(house: House, bid: Decimal, mark: Decimal) -> list[dict[str, Any]]:
    """Bring a mark and a quote of one tick, believed when said often enough; returns all events."""
    house.engine.ts_us += 1_000
    events = house.mark(NAMES[0], str(mark))
    for _ in range(3):
        events += house.price(NAMES[0], str(bid), str(bid + TICK))
    return events


@pytest.mark.parametrize(("side", "profit", "loss"), [("buy", "158.37", "146.03"), ("sell", "141.21", "153.77")])
def test_profit_and_loss_are_what_arrives(worker: Worker, side: str, profit: str, loss: str) -> None:
    """A ticket that its own trigger closes has won exactly what was calculated, every fee paid."""
    body = {"side": side, "margin": "123.45", "leverage": 17, "take_profit": profit, "stop_loss": loss}
    for price, name in ((profit, "take_profit"), (loss, "stop_loss")):
        house = founded()
        answer = asked(worker, house, None, **body)
        sent(house, CALLER, "trade_create", **body)
        events = come(house, Decimal(price) - (TICK if side == "sell" else 0), Decimal(price))
        assert won(events) == Fraction(answer[name]["pnl"])
    assert answer["profit"] == answer["take_profit"]["pnl"]
    assert Fraction(answer["loss"]) < 0
    ratio = Fraction(answer["profit"]) / -Fraction(answer["loss"])
    assert 0 <= ratio - Fraction(answer["risk_reward"]) < Fraction("0.01")


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_break_even_is_the_first_price_without_a_loss(worker: Worker, side: str) -> None:
    """Closing at the break-even price loses nothing, and one tick worse loses."""
    answer = asked(worker, founded(), "trade_create", side=side, qty="7.31", leverage=20)
    even = Decimal(answer["price_break_even"])
    results = []
    for price in (even, even - TICK if side == "buy" else even + TICK):
        house = founded()
        sent(house, CALLER, "trade_create", side=side, qty="7.31", leverage=20)
        come(house, price if side == "buy" else price - TICK, price)
        number = house.view(CALLER).positions[0]["position_id"]
        results.append(won(house.instruct(CALLER, "trade_close", {"position_id": number})))
    assert results[1] < 0 <= results[0]


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_liquidation_price_is_where_it_happens(worker: Worker, side: str) -> None:
    """At the liquidation price the position is closed by force, one tick before it is not."""
    answer = asked(worker, founded(), "trade_create", side=side, qty="7.31", leverage=20)
    edge = Decimal(answer["price_liquidation"])
    safe = edge + TICK if side == "buy" else edge - TICK
    seen = []
    for mark in (safe, edge):
        house = founded()
        sent(house, CALLER, "trade_create", side=side, qty="7.31", leverage=20)
        seen.append(bool(texts(come(house, mark, mark), "liquidation")))
    assert seen == [False, True]


@pytest.mark.parametrize(("side", "safe", "late"), [("buy", "145.00", "142.00"), ("sell", "154.00", "158.00")])
def test_a_stop_loss_behind_the_liquidation_is_named(worker: Worker, side: str, safe: str, late: str) -> None:
    """A stop-loss that liquidation forestalls is said to, one before it is not."""
    for price, named in ((safe, False), (late, True)):
        answer = asked(worker, founded(), "trade_create", side=side, qty="1", leverage=20, stop_loss=price)
        assert answer["stop_loss"].get("beyond_liquidation", False) == named
    edge = answer["price_liquidation"]
    answer = asked(worker, founded(), "trade_create", side=side, qty="1", leverage=20, stop_loss=edge)
    assert answer["stop_loss"]["beyond_liquidation"]


@pytest.mark.parametrize(
    ("body", "bid"),
    [
        ({"side": "buy", "kind": "limit", "qty": "3.21", "price": "147.77"}, "147.76"),
        ({"side": "sell", "kind": "limit", "qty": "3.21", "price": "152.03"}, "152.03"),
        ({"side": "sell", "kind": "stop_market", "qty": "3.21", "price_trigger": "148.40"}, "148.40"),
        ({"side": "buy", "kind": "stop_market", "qty": "3.21", "price_trigger": "151.90"}, "151.89"),
        (
            {"side": "buy", "kind": "limit", "qty": "3.21", "price": "147.77", "take_profit": "155"},
            "147.76",
        ),
    ],
)
def test_an_order_that_waits_is_told_as_it_will_fill(worker: Worker, body: dict[str, Any], bid: str) -> None:
    """What is said of an order that rests or sleeps is what comes when the market has come to its price."""
    house = founded()
    answer = asked(worker, house, None, **body)
    price = body.get("price") or body["price_trigger"]
    assert answer["price_assumed"] == price
    assert answer["estimate_reasons"] == ["price_assumed"]
    placed = sent(house, CALLER, "order_place", **body)
    events = come(house, Decimal(bid), Decimal(price))
    fills = texts(events, "fill", order_id=placed[0]["order_id"])
    assert (total(fills, "qty"), total(fills, "fee")) == (Fraction(answer["qty"]), Fraction(answer["fee"]))
    image = texts(events, "position_changed")[-1]
    assert answer["position_after"] | {"opened_us": 0} == told(image, False) | {"opened_us": 0}
    assert answer["balance_after"]["free"] == texts(placed, "account_changed")[-1]["free"]


def test_a_stop_limit_comes_to_its_trigger_and_then_to_its_limit(worker: Worker) -> None:
    """An order that rests once it has woken is told as it fills at its limit, as a maker."""
    house = founded()
    body = {"side": "buy", "kind": "stop_limit", "qty": "3.21", "price_trigger": "151.90", "price": "151.50"}
    answer = asked(worker, house, None, **body)
    assert (answer["status"], answer["price_assumed"], answer["price"]) == ("trigger", "151.50", "151.50")
    placed = sent(house, CALLER, "order_place", **body)
    come(house, Decimal("151.89"), Decimal("151.90"))
    fills = texts(come(house, Decimal("151.49"), Decimal("151.50")), "fill", order_id=placed[0]["order_id"])
    assert fills[0]["maker"]
    assert total(fills, "fee") == Fraction(answer["fee"])


def test_every_rounding_is_shown(worker: Worker) -> None:
    """Each rounding has its exact figure, what became of it, the direction that this is, and the step."""
    answer = asked(worker, founded(), None, side="buy", margin="100", leverage=9)
    rows = {row["what"]: row for row in answer["rounding"]}
    assert rows.keys() == {"qty", "fee", "margin_initial", "price_liquidation", "price_break_even"}
    for row in rows.values():
        exact, rounded, step = (Fraction(row[name]) for name in ("exact", "rounded", "unit"))
        assert rounded % step == 0
        assert 0 < (rounded - exact if row["direction"] == "up" else exact - rounded) < 2 * step
    assert Fraction(rows["qty"]["exact"]) == pytest.approx(Fraction(900) / Fraction(answer["price"]), abs=1e-12)
    assert answer["fee_close"] == answer["fee"]  # it opens and would close as a taker at one price
    assert rows["qty"]["rounded"] == answer["qty"]
    assert rows["fee"]["rounded"] == answer["fee"]
    assert rows["price_liquidation"]["rounded"] == answer["price_liquidation"]


def test_other_users_orders_are_met_and_make_an_estimate(worker: Worker) -> None:
    """An order that meets users' resting orders says at what price, and that somebody may be first."""
    for liquidity in ("quote", "book"):
        house = founded(liquidity=liquidity)
        sent(house, OTHER, "order_place", side="sell", kind="limit", qty="2", price="150.01")
        answer = asked(worker, house, "order_place", side="buy", qty="1.5")
        assert answer["estimate"]
        assert "users_orders" in answer["estimate_reasons"]
        assert ("book" in answer["estimate_reasons"]) == (liquidity == "book")
        events = sent(house, CALLER, "order_place", side="buy", qty="1.5")
        same_expect(answer, events, set())
        assert answer["qty"] == "1.50"


def test_a_delayed_taker_is_told_as_after_its_delay(worker: Worker) -> None:
    """Where takers wait, the figures are those of the quote staying as it is until they may fill."""
    house = founded(taker_delay_ms=500)
    answer = asked(worker, house, "order_place", side="buy", qty="1.5")
    assert (answer["status"], answer["qty"], answer["price"]) == ("delayed", "1.50", "150.01")
    sent(house, CALLER, "order_place", side="buy", qty="1.5")
    house.engine.ts_us += 500_000
    fills = texts(house.price(NAMES[0], "150.00", "150.01"), "fill")
    assert total(fills, "fee") == Fraction(answer["fee"])


def test_a_market_that_is_not_fresh_is_refused_as_it_would_be(worker: Worker) -> None:
    """Without a fresh price the answer is the venue's own refusal."""
    house = founded()
    house.engine.ts_us += 120_000_000
    for _ in range(2):  # a jump of the clock is believed when it is said again
        house.taken(house.engine.apply("clock_tick"))
    answer = asked(worker, house, "order_place", side="buy", qty="1.5")
    events = sent(house, CALLER, "order_place", side="buy", qty="1.5")
    assert answer["result"] == events[0]["result"] == "PRICE_STALE"
    assert "qty" not in answer
