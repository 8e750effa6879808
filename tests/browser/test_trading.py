"""A trade from the ticket to its end: TP and SL attached, dragged, fired; closing by hand, by parts, all at once."""

from decimal import Decimal

from playwright.sync_api import expect

from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue

BTC, ETH, SOL = "BTC_USDC_PERP", "ETH_USDC_PERP", "SOL_USDC_PERP"


def test_a_take_profit_closes_a_long(screens: Screens, venue: Venue, email: str) -> None:
    """Bought with TP and SL from the ticket, the position stands with its lines; where the price gets, it closes."""
    screen = screens(email)
    target = venue.feed.away(BTC, 8)
    screen.ticket("buy", "0.01", take=target, stop=venue.feed.away(BTC, -8))
    screen.send()
    row = screen.position()
    caller = venue.program(email)
    [position] = caller.items("/api/v1/account/positions")
    assert (row["id"], position["qty"]) == (str(position["position_id"]), "0.01000")
    screen.told("Bought 0.01 BTC")
    assert Decimal(screen.line_price("take_profit")) == Decimal(target)
    assert Decimal(screen.line_price("entry")) == Decimal(position["price_entry"])
    expect(screen.line("liquidation")).to_have_count(1)
    venue.feed.move(BTC, venue.feed.away(BTC, 9))
    expect(screen.part("positions-row")).to_have_count(0)
    screen.told("Take-profit")
    screen.tab("History")
    expect(screen.part("closed-positions-row")).to_have_count(1)
    [closed] = caller.items("/api/v1/account/history/positions")
    assert closed["reason"] == "take_profit"
    assert Decimal(closed["pnl_realised"]) > 0
    expect(screen.part("equity").first).to_have_attribute("data-value", caller.get("/api/v1/account")["equity"])


def test_the_readmes_way(screens: Screens, venue: Venue, email: str) -> None:
    """A tenth of a percent for TP and SL, as the README says: both prices are that far away, and one of them closes."""
    screen, caller = screens(email), venue.program(email)
    screen.ticket("buy", "0.01", take="0.1", stop="0.1", unit="percent")
    screen.send()
    screen.position()
    [position] = caller.items("/api/v1/account/positions")
    entry = Decimal(position["price_entry"])
    for leg, sign in (("take_profit", 1), ("stop_loss", -1)):
        distance = (Decimal(position[leg]["price_trigger"]) - entry) / entry * sign
        assert Decimal("0.0009") < distance < Decimal("0.0011"), leg
    venue.feed.move(BTC, venue.feed.away(BTC, -2))
    expect(screen.part("positions-row")).to_have_count(0)
    screen.told("Stop-loss")


def test_a_dragged_stop_loss_is_where_it_was_put(screens: Screens, venue: Venue, email: str) -> None:
    """The line of the SL is taken by the mouse: the order's trigger moves with it, to a whole tick, and then fires."""
    screen = screens(email)
    screen.choose(ETH)
    screen.ticket("buy", "0.5", stop=venue.feed.away(ETH, -20), take=venue.feed.away(ETH, 20))
    screen.send()
    screen.position()
    before = Decimal(screen.line_price("stop_loss"))
    screen.drag(screen.line("stop_loss"), -40)
    caller = venue.program(email)

    def trigger() -> Decimal:
        orders = caller.items("/api/v1/account/orders")
        return Decimal(next(order["price_trigger"] for order in orders if order["kind"] == "stop_market"))

    screen.eventually(lambda: trigger() > before, "the SL did not move up")
    screen.eventually(lambda: Decimal(screen.line_price("stop_loss")) == trigger(), "line and order disagree")
    assert trigger() % Decimal("0.01") == 0
    assert trigger() < Decimal(venue.feed.price(ETH))
    venue.feed.move(ETH, str(trigger() - 2))
    expect(screen.part("positions-row")).to_have_count(0)
    screen.told("Stop-loss")
    assert caller.items("/api/v1/account/history/positions")[0]["reason"] == "stop_loss"


def test_a_dragged_limit_order_is_amended(screens: Screens, venue: Venue, email: str) -> None:
    """A resting limit order has a line; dragged, the same order rests at the new price; cancelled, the line is gone."""
    screen = screens(email)
    screen.ticket("buy", "0.01", price=venue.feed.away(BTC, -5))
    screen.send()
    expect(screen.part("orders-row")).to_have_count(0)
    screen.tab("Orders")
    expect(screen.part("orders-row")).to_have_count(1)
    before = screen.rows("orders-row")[0]
    screen.drag(screen.line("limit"), 30)
    caller = venue.program(email)

    def price() -> Decimal:
        [order] = caller.items("/api/v1/account/orders")
        assert str(order["order_id"]) == before["id"]
        return Decimal(order["price"])

    screen.eventually(lambda: price() < Decimal(venue.feed.away(BTC, -5)), "the order did not move down")
    screen.eventually(lambda: Decimal(screen.line_price("limit")) == price(), "line and order disagree")
    screen.part("orders-row").get_by_role("button", name="Cancel").click()
    expect(screen.part("orders-row")).to_have_count(0)
    expect(screen.line("limit")).to_have_count(0)
    assert caller.items("/api/v1/account/orders") == []


def test_a_drag_is_given_up_by_escape(screens: Screens, venue: Venue, email: str) -> None:
    """Escape while a line is dragged puts it back and sends nothing."""
    screen = screens(email)
    screen.ticket("buy", "0.01", stop=venue.feed.away(BTC, -10))
    screen.send()
    before = screen.line_price("stop_loss")
    seq = venue.program(email).get("/api/v1/account/orders")["items"][0]
    box = screen.line("stop_loss").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    screen.page.mouse.move(x, y)
    screen.page.mouse.down()
    screen.page.mouse.move(x, y - 15)
    screen.page.mouse.move(x, y - 30)
    screen.page.keyboard.press("Escape")
    screen.page.mouse.up()
    screen.page.wait_for_timeout(500)
    assert screen.line_price("stop_loss") == before
    assert venue.program(email).get("/api/v1/account/orders")["items"][0] == seq


def test_positions_are_closed_by_parts_and_all_at_once(screens: Screens, venue: Venue, email: str) -> None:
    """Half of a position is closed by its button, all of them by one question; the API agrees after each."""
    screen, caller = screens(email), venue.program(email)
    for market, qty in ((BTC, "0.02"), (SOL, "10")):
        caller.do("POST", "/api/v1/trade/order", {"market": market, "side": "buy", "qty": qty})
    expect(screen.part("positions-row")).to_have_count(2)
    row = screen.part("positions-row").filter(has=screen.page.get_by_role("link", name="SOL", exact=True))
    row.locator('[data-test="position-close-50"]').click()

    def qtys() -> dict[str, str]:
        return {each["market"]: each["qty"] for each in caller.items("/api/v1/account/positions")}

    screen.eventually(lambda: qtys() == {BTC: "0.02000", SOL: "5.00"}, "half of it was not closed")
    screen.part("close-all").first.click()
    expect(screen.page.get_by_role("dialog")).to_be_visible()
    assert len(qtys()) == 2, "nothing is closed before the answer"
    screen.confirm("Close all")
    expect(screen.part("positions-row")).to_have_count(0)
    assert qtys() == {}


def test_a_refusal_says_what_to_do(screens: Screens, venue: Venue, email: str) -> None:
    """An order that costs more than there is cannot be sent, and the page says so in words before and after."""
    screen = screens(email)
    screen.ticket("buy", "50")
    expect(screen.part("ticket-submit")).to_have_attribute("data-state", "refused")
    words = screen.part("ticket-refusal").inner_text()
    assert "MARGIN" not in words, f"a code is no sentence: {words}"
    assert len(words) > 20
    screen.part("ticket-submit").click()
    assert venue.program(email).items("/api/v1/account/orders") == []
