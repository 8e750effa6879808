"""The modules of the chart and the book, asked in a browser with facts of ours: lines, candles, edits, rows."""

from typing import Any

from playwright.sync_api import Page

from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue

MINUTE_MS = 60_000
MARKET = "SOL_USDC_PERP"
IMPORTS = """async ([name, code, given]) => {
  FUNCTIONS
  const main = document.querySelector('script[type=module]').src;
  const module = await import(new URL(`./panels/${name}.js`, main));
  return await FUNCTIONS[code](module, given);
}"""

# A series that remembers what is drawn, and pages that are given; an edit's sending answers when the test says so.
FUNCTIONS = """const FUNCTIONS = {
  lines: (module, state) => module.lines_of(state),
  requests: (module, [state, price]) => module.lines_of(state).filter((line) => line.movable)
    .map((line) => module.request_of(line, price)),
  async candles(module, {width_ms, pages, steps}) {
    const drawn = [], notes = [], asked = [];
    const series = {
      setData: (points) => { drawn.length = 0; drawn.push(...points); },
      update: (point) => {
        const index = drawn.findIndex(({time}) => time === point.time);
        if (index >= 0) drawn[index] = point; else drawn.push(point);
      },
    };
    const read = async (cursor) => {
      asked.push(cursor);
      if (!(String(cursor) in pages)) throw new Error('away');
      return pages[String(cursor)];
    };
    const candles = new module.CandleHistory({series, width_ms, shift_ms: 0, read, told: (note) => notes.push(note)});
    for (const [verb, value] of steps) await candles[verb](value);
    return {drawn, notes, asked, last: candles.last()};
  },
  async edits(module, steps) {
    const sent = [], answers = [], stages = [];
    let asks = true;
    const edits = new module.LineEdits({
      send: (line, price) => { sent.push(price); return new Promise((resolve) => answers.push(resolve)); },
      must_ask: () => asks, changed: () => {},
    });
    let line = {id: 'order:1', price: '100'};
    for (const [verb, value] of steps) {
      if (verb === 'ask') asks = value;
      else if (verb === 'answer') answers.shift()(value);
      else if (verb === 'venue') { line = {...line, price: value}; edits.follow([line]); }
      else if (verb === 'end') edits.follow([]);
      else if (verb === 'drag') edits.move(line, value, 'moving');
      else if (verb === 'key') edits.move(line, value, 'asked');
      else edits[verb](line);
      await new Promise((resolve) => setTimeout(resolve, 0));
      const edit = edits.get(line.id);
      stages.push(edit ? `${edit.stage} ${edit.price}` : `at ${line.price}`);
    }
    edits.stop();
    return {sent, stages};
  },
  rows: (module, [depth, side, liquidity]) => module.side_rows(depth, side, liquidity)
    .map(({price, qty, sum, quote}) => [price, qty, sum, quote]),
  trades: (module, [told, before, most]) =>
    module.trades_join(told.map((at) => ({at})), before.map((at) => ({at})), most).map(({at}) => at),
};"""


def ask(screens: Screens, venue: Venue, name: str, code: str, given: Any) -> Any:
    """Return what a function of a module of the page answers; nobody is signed in there."""
    page: Page = screens().page
    page.goto(venue.url)
    return page.evaluate(IMPORTS.replace("FUNCTIONS", FUNCTIONS, 1), [name, code, given])


def position(**more: Any) -> dict[str, Any]:
    """Return a long position's image."""
    return {"position_id": 3, "market": MARKET, "kind": "net", "qty": "2.00", "price_entry": "100.50"} | more


def order(order_id: int, **more: Any) -> dict[str, Any]:
    """Return an order's image."""
    image = {"order_id": order_id, "market": MARKET, "side": "buy", "kind": "limit", "qty": "3", "qty_filled": "1"}
    return image | {"status": "resting", "price": "99"} | more


def state(positions: list[dict[str, Any]], orders: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return as much of the page's state as lines are made of."""
    by_id = {"positions": {str(row["position_id"]): row for row in positions}}
    return {"market": MARKET, "orders": {str(row["order_id"]): row for row in orders}, "valuation": None} | by_id | more


def candle(minute: int, low: str, high: str, close: str, opened: str = "10") -> dict[str, Any]:
    """Return a candle as the gateway lists it."""
    return {"open_ms": minute * MINUTE_MS, "open": opened, "high": high, "low": low, "close": close}


def shown(points: list[dict[str, Any]]) -> list[Any]:
    """Return what is drawn: by minute low, high and close, None where nothing is."""
    return [[point["time"] // 60, *([point["low"], point["high"], point["close"]] if "low" in point else [None])]
            for point in points]  # fmt: skip


def test_lines_say_what_they_are_and_which_can_be_moved(screens: Screens, venue: Venue) -> None:
    """Entry, liquidation, SL, TP and orders that wait for a price are lines; those of other markets are not."""
    legs = {"stop_loss": {"order_id": 8, "price_trigger": "95", "trigger_by": "mark"}}
    orders = [
        order(7),
        order(8, status="trigger", kind="stop_market", price_trigger="95"),  # the SL itself: one line, not two
        order(9, status="trigger", kind="trailing_stop", price_trigger="97", side="sell"),
        order(10, status="attached", kind="stop_market", price_trigger="90", side="sell"),
        order(11, status="delayed"),
        order(12, market="ETH_USDC_PERP"),
    ]
    valued = {"positions": {"3": {"price_liquidation_estimate": "91.5"}}}
    found = ask(screens, venue, "chart_lines", "lines", state([position(**legs)], orders, valuation=valued))
    assert [(line["words"], line["price"], line["movable"]) for line in found] == [
        ("Long 2", "100.50", False),
        ("Liquidation (estimate) long 2", "91.5", False),
        ("SL long 2", "95", True),
        ("Limit buy 2", "99", True),
        ("Trailing stop sell 2", "97", False),
        ("Stop sell 2 · with its order", "90", False),
    ]


def test_a_moved_line_asks_for_just_that(screens: Screens, venue: Venue) -> None:
    """An SL keeps what it watches, a limit behind a trigger keeps its distance, a resting order changes its price."""
    short = position(
        qty="-2", take_profit={"order_id": 5, "price_trigger": "90", "trigger_by": "index", "price": "90.2"}
    )
    orders = [order(7), order(8, status="trigger", kind="stop_limit", price_trigger="110", price="110.05")]
    assert ask(screens, venue, "chart_lines", "requests", [state([short], orders), "89.9"]) == [
        {
            "method": "PUT",
            "path": "/api/v1/trade/triggers",
            "body": {
                "position_id": 3,
                "take_profit": {"price_trigger": "89.9", "trigger_by": "index", "price": "90.1"},
            },
        },
        {"method": "PATCH", "path": "/api/v1/trade/order/7", "body": {"price": "89.9"}},
        {"method": "PATCH", "path": "/api/v1/trade/order/8", "body": {"price_trigger": "89.9", "price": "89.95"}},
    ]


def test_minutes_join_into_wider_candles(screens: Screens, venue: Venue) -> None:
    """A running minute widens its candle and sets its close; one told late widens and leaves the close alone."""
    pages = {"null": {"items": [candle(5, "9", "11", "10")], "next_cursor": None}}
    steps = [
        ["minute", candle(6, "8", "9", "8.5")],  # before there is any history: kept for it
        ["refresh", None],
        ["minute", candle(8, "10", "12", "11.5")],
        ["minute", candle(7, "7", "10", "9.5")],
        ["minute", candle(10, "11", "13", "12", opened="11")],
    ]
    given = {"width_ms": 5 * MINUTE_MS, "pages": pages, "steps": steps}
    found = ask(screens, venue, "chart_candles", "candles", given)
    assert shown(found["drawn"]) == [[5, 7, 12, 11.5], [10, 11, 13, 12]]
    assert found["last"]["open"] == "11"


def test_gaps_are_gaps(screens: Screens, venue: Venue) -> None:
    """Each minute without a candle is an empty place, in history and live; a gap of days is 24 of them."""
    newest = {"items": [candle(9, "1", "3", "2"), candle(7, "1", "3", "2")], "next_cursor": "more"}
    older = {"items": [candle(7, "1", "3", "2"), candle(-9000, "1", "3", "2")], "next_cursor": None}
    steps = [["refresh", None], ["older", None], ["older", None], ["minute", candle(12, "1", "3", "2")]]
    given = {"width_ms": MINUTE_MS, "pages": {"null": newest, "more": older}, "steps": steps}
    found = ask(screens, venue, "chart_candles", "candles", given)
    drawn = shown(found["drawn"])
    assert drawn[0] == [-9000, 1, 3, 2] and drawn[1:25] == [[-8999 + index, None] for index in range(24)]
    assert drawn[25:] == [[7, 1, 3, 2], [8, None], [9, 1, 3, 2], [10, None], [11, None], [12, 1, 3, 2]]
    assert found["asked"] == [None, "more"]  # the end is not asked for twice


def test_candles_after_an_absence(screens: Screens, venue: Venue) -> None:
    """A page read again replaces what it covers; a page that fails is said and leaves what stood there."""
    pages = {"null": {"items": [candle(6, "5", "9", "8"), candle(5, "5", "9", "7")], "next_cursor": "lost"}}
    steps = [["refresh", None], ["minute", candle(7, "6", "9", "8")], ["refresh", None], ["older", None]]
    found = ask(screens, venue, "chart_candles", "candles", {"width_ms": MINUTE_MS, "pages": pages, "steps": steps})
    assert shown(found["drawn"]) == [[5, 5, 9, 7], [6, 5, 9, 8], [7, 6, 9, 8]]
    assert found["notes"][-1] == "Candles cannot be read now."


def test_a_moved_line_waits_for_a_word(screens: Screens, venue: Venue) -> None:
    """Let go it asks; confirmed it is under way and stays put until the venue's event; refused it is back."""
    steps = [["drag", "101"], ["drag", "102"], ["release", None], ["submit", None], ["key", "105"], ["answer", True],
             ["venue", "102"], ["key", "103"], ["submit", None], ["answer", False]]  # fmt: skip
    found = ask(screens, venue, "chart_edits", "edits", steps)
    assert found["sent"] == ["102", "103"]
    assert found["stages"] == ["moving 101", "moving 102", "asked 102", "sending 102", "sending 102", "held 102",
                               "at 102", "asked 103", "sending 103", "at 102"]  # fmt: skip


def test_a_line_changed_elsewhere_follows(screens: Screens, venue: Venue) -> None:
    """A line that the venue moves or ends while it is dragged or asked for follows, and nothing is sent."""
    steps = [["drag", "101"], ["venue", "98"], ["release", None], ["key", "99"], ["venue", "97"], ["submit", None],
             ["key", "96"], ["end", None], ["submit", None], ["drag", "95"], ["restore", None]]  # fmt: skip
    found = ask(screens, venue, "chart_edits", "edits", steps)
    assert found["sent"] == []
    assert found["stages"] == ["moving 101", "at 98", "at 98", "asked 99", "at 97", "at 97", "asked 96", "at 97",
                               "at 97", "moving 95", "at 97"]  # fmt: skip


def test_nothing_is_sent_where_nothing_changed(screens: Screens, venue: Venue) -> None:
    """Without the question a line is sent as it is let go; one that is where it was before is not sent at all."""
    steps = [["ask", False], ["drag", "101"], ["drag", "100"], ["release", None], ["drag", "101"], ["release", None]]
    found = ask(screens, venue, "chart_edits", "edits", steps)
    assert found["sent"] == ["101"] and found["stages"][3:] == ["at 100", "moving 101", "sending 101"]


def test_the_quote_stands_among_the_orders(screens: Screens, venue: Venue) -> None:
    """Rows come best first with exact sums of users' orders, the quote at its own price and in no sum."""
    depth = {
        "bids": [["99.5", "0.1"], ["99.3", "0.2"]],
        "asks": [["99.9", "5"]],
        "quote": {"bid": "99.4", "ask": "99.6", "bid_qty": "7"},
    }
    assert ask(screens, venue, "book", "rows", [depth, "bid", "quote_sized"]) == [
        ["99.5", "0.1", "0.1", False],
        ["99.4", "7", "0.1", True],
        ["99.3", "0.2", "0.3", False],
    ]
    assert ask(screens, venue, "book", "rows", [depth, "ask", "quote"]) == [
        ["99.6", None, "0", True],
        ["99.9", "5", "5", False],
    ]
    assert ask(screens, venue, "book", "rows", [None, "ask", "quote"]) == []


def test_trades_are_shown_once(screens: Screens, venue: Venue) -> None:
    """What the socket told stands before what was read, each trade once."""
    assert ask(screens, venue, "book", "trades", [["9-0-1", "8-0-1"], ["8-0-1", "7-0-1", "6-0-1"], 3]) == [
        "9-0-1",
        "8-0-1",
        "7-0-1",
    ]
