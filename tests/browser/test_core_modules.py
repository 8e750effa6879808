"""The modules that the whole trading page rests on, asked in a browser: decimals, places, keys, sending, the stream."""

import json
import random
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue

CALL = """async ([name, code, given]) => {
  const main = document.querySelector('script[type=module]').src;
  const load = (file) => import(new URL(`./${file}.js`, main));
  return await FUNCTIONS[code](await load(name), given, load);
}"""
FUNCTIONS = """const FUNCTIONS = {
  each: (module, calls) => calls.map(([name, ...values]) => module[name](...values)),
  async sent(module, [path, body]) {
    try { return {body: await module.send('POST', path, body)}; }
    catch (error) { return {code: error.code, status: error.status}; }
  },
  async told(module, count) {
    const store = module.store_new({a: 0});
    let times = 0, last = null;
    store.subscribe((state) => { times += 1; last = state.a; });
    for (let turn = 1; turn <= count; turn += 1) store.set({a: turn});
    await new Promise((resolve) => setTimeout(resolve, 400));
    return [times, last, store.get().a];
  },
  async follow(stream, accounts, load) {
    const {store} = await load('store');
    store.set({session: {account_id: 7}, acting: 7, markets: {M: {market: 'M'}}, market_names: ['M']});
    window.told = [];
    for (const name of ['fill', 'trade', 'gap', 'snapshot'])
      stream.on[name]((row) => window.told.push([name, row?.at ?? null]));
    stream.select_market('M');
    stream.start();
  },
  act: (stream, account) => stream.act_for(account),
  async state(module, name) { return module.store.get()[name]; },
};"""
# The same without waiting for what it answers, which `window.sent` then is.
BEGIN = "(call) => { (CALL)(call).then((value) => { window.sent = value; }); }"
SENDING: tuple[str, str, Any] = ("api", "sent", ["/api/v1/trade/order", {}])
AMOUNTS = 400
SEED = 8


def page_of(screens: Screens, venue: Venue, *, hurried: bool = False) -> Page:
    """Return the page of nobody: all modules are there and nothing moves; hurried, its clock is the test's."""
    page: Page = screens().page
    if hurried:
        page.clock.install()
    page.goto(venue.url)
    expect(page.get_by_role("button", name="Send link")).to_be_visible()
    return page


def ask(page: Page, name: str, code: str, given: Any = None) -> Any:
    """Return what a function of ours makes of a module of the page."""
    return page.evaluate(script(), [name, code, given])


def script() -> str:
    """Return what calls one of our functions."""
    return CALL.replace("=> {", "=> {\n" + FUNCTIONS, 1)


def test_decimals_are_shown_as_they_are(screens: Screens, venue: Venue) -> None:
    """Money is cut off and never rounded up, signs are always there, and what is no number is a dash."""
    shown = {
        ("money", "5000"): "5,000.00",
        ("money", "-1.239"): "−1.23",
        ("money", "-0.001"): "0.00",
        ("money", "999999.999999"): "999,999.99",
        ("money", "x"): "–",
        ("signed", "3"): "+3.00",
        ("signed", "-3.999"): "−3.99",
        ("signed", "0.001"): "0.00",
        ("percent", "1.25"): "+1.25 %",
        ("price", "134", "0.01"): "134.00",
        ("price", "60000.50", "0.1"): "60,000.5",
        ("rate", "0.0001"): "+0.0100 %",
        ("ppm", 400): "0.04 %",
        ("trim", "-0.0"): "0",
        ("trim", "100"): "100",
        ("trend", "-0.000001"): "down",
        ("trend", "0.00"): "flat",
        ("is_decimal", "1."): False,
        ("is_decimal", "1.5"): True,
        ("tick_step", "0.01", "0.01", -1): "0.01",
        ("tick_step", "134.92", "0.01", 2): "134.94",
        ("countdown", 3_661_000): "01:01:01",
        ("duration", 12_999): "12 s",
    }
    assert ask(page_of(screens, venue), "format", "each", [list(call) for call in shown]) == list(shown.values())


def test_decimals_are_compared_and_rounded_exactly(screens: Screens, venue: Venue) -> None:
    """Comparing, and rounding to the tick, agree with decimal arithmetic for drawn values of any size."""
    chance = random.Random(SEED)
    page = page_of(screens, venue)
    values = [f"{chance.randint(0, 10 ** chance.randint(1, 12))}.{chance.randint(0, 10**9)}" for _ in range(AMOUNTS)]
    ticks = [chance.choice(("0.0001", "0.01", "0.05", "0.5", "1", "25")) for _ in values]
    rounded = ask(page, "format", "each", [["tick_round", *pair] for pair in zip(values, ticks, strict=True)])
    for value, tick, found in zip(values, ticks, rounded, strict=True):
        steps = (Decimal(value) / Decimal(tick)).to_integral_value(ROUND_HALF_UP)
        assert Decimal(found) == steps * Decimal(tick), (value, tick, found)
    others = [chance.choice((value, f"-{value}", f"{value}0", f"{value}1")) for value in values]
    compared = ask(page, "format", "each", [["compare", *pair] for pair in zip(values, others, strict=True)])
    assert compared == [int(Decimal(one).compare(Decimal(two))) for one, two in zip(values, others, strict=True)]


def test_places_are_in_the_venues_order(screens: Screens, venue: Venue) -> None:
    """Places are compared as numbers, and the place behind an entry lies after everything in it."""
    order = ["9-0-0", "9-0-10", "9-0", "9-1-2", "10-0-1", "10-0"]
    calls = [["is_after", one, two] for one in order for two in order]
    found = ask(page_of(screens, venue), "places", "each", calls)
    assert found == [order.index(one) > order.index(two) for _name, one, two in calls]


def test_ids_state_their_time(screens: Screens, venue: Venue) -> None:
    """An id is a UUIDv7 of the time that was given, and no two are the same."""
    at_ms = 1_763_700_000_123
    found = ask(page_of(screens, venue), "uuid", "each", [["uuidv7", at_ms]] * 100)
    assert len(set(found)) == 100
    for text in found:
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", text)
        assert int(text.replace("-", "")[:12], 16) == at_ms


def test_many_changes_are_told_once(screens: Screens, venue: Venue) -> None:
    """However often the state changes within a frame, listeners hear of it once and see the last of it."""
    assert ask(page_of(screens, venue), "store", "told", 1000) == [1, 1000, 1000]


def test_an_instruction_is_sent_again_under_its_id(screens: Screens, venue: Venue) -> None:
    """While nobody knows what became of it, it is sent again with the same key, then asked for until it is known."""
    page = page_of(screens, venue, hurried=True)
    keys: list[str] = []
    answers: list[tuple[int, dict[str, Any]]] = []

    def answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        route.fulfill(status=status, json=body)

    page.route("**/api/v1/trade/order", answer)
    unknown = (202, {"status": "UNKNOWN", "request_id": "r", "ts": 1})
    answers[:] = [unknown, unknown, (200, {"result": "OK"})]
    assert ask(page, *SENDING) == {"body": {"result": "OK"}}
    assert len(keys) == 3 and len(set(keys)) == 1
    keys.clear()
    answers[:] = [unknown, (409, {"code": "PRICE_STALE", "error": "", "detail": {}, "retry": "later"})]
    assert ask(page, *SENDING) == {"code": "PRICE_STALE", "status": 409}
    assert len(keys) == 2
    keys.clear()
    answers[:] = [unknown]
    asked: list[str] = []

    def outcome(route: Route) -> None:
        asked.append(route.request.url.partition("/requests/")[2].partition("?")[0])
        route.fulfill(json={"status": "UNKNOWN" if len(asked) < 2 else "ACCEPTED"})

    page.route("**/api/v1/requests/**", outcome)
    page.evaluate(BEGIN.replace("CALL", script(), 1), list(SENDING))
    hurry(page, "window.sent && window.sent.code", lambda: bool(keys))
    assert page.evaluate("window.sent") == {"code": "UNKNOWN", "status": 202}
    hurry(page, "document.querySelector('[data-test=toast][data-kind=ok]')", lambda: True)
    expect(page.locator("[data-test=toast][data-kind=ok]")).to_contain_text("carried out after all")
    assert asked == keys[:1] * 2


def hurry(page: Page, until: str, begun: Callable[[], bool]) -> None:
    """Let the page's time pass quickly until something holds."""
    for _ in range(100):
        if page.evaluate(f"Boolean({until})"):
            return
        if begun():
            page.clock.fast_forward(1000)
        page.wait_for_timeout(30)
    raise AssertionError(f"never: {until}")


class Teller:
    """A gateway's side of the socket that says what the test wants."""

    def __init__(self, page: Page) -> None:
        """Take the page's socket."""
        self.page = page
        self.asked: list[dict[str, Any]] = []
        self.sockets: list[WebSocketRoute] = []
        page.route_web_socket("**/ws", self._take)

    def _take(self, socket: WebSocketRoute) -> None:
        """Keep a socket and what is asked over it."""
        self.sockets.append(socket)
        socket.on_message(lambda text: self.asked.append(json.loads(text)))
        self.tell(type="hello", venue="v", rules=3, env="paper")

    def tell(self, **message: Any) -> None:
        """Send a message."""
        self.sockets[-1].send(json.dumps(message))

    def wait(self, name: str, account: int | None = None) -> dict[str, Any]:
        """Return the newest subscription of a name, once it was asked for."""
        for _ in range(100):
            for message in reversed(self.asked):
                named = message["op"] == "subscribe" and str(message["id"]).startswith(f"{name}:")
                if named and account in (None, message.get("account")):
                    return message
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{name} was not asked for: {self.asked}")

    def fill(self, at: str, account: int = 7) -> None:
        """Tell a fill."""
        data = {"e": "fill", "account": account, "market": "M", "order_id": 1, "side": "buy", "qty": "1", "price": "1"}
        self.tell(type="event", at=at, channel="fills", log_time_us=1, data=data)

    def snapshot(self, ident: str, at: str, free: str, account: int = 7) -> None:
        """Tell how the account stands, and that it is live."""
        data = {"account": {"account": account, "free": free}, "orders": [], "positions": []}
        self.tell(type="snapshot", id=ident, at=at, account=account, data=data)
        self.tell(type="live", id=ident, at=at)


def told(page: Page, count: int) -> list[Any]:
    """Return what listeners heard, once it is so much."""
    page.wait_for_function("(count) => window.told.length >= count", arg=count)
    page.wait_for_timeout(100)
    found: list[Any] = page.evaluate("window.told")
    return found


def test_events_are_told_once_and_only_of_the_account_in_force(screens: Screens, venue: Venue) -> None:
    """What comes before a snapshot, twice, out of order or of another account is dropped; a gap is told after it."""
    page = page_of(screens, venue)
    teller = Teller(page)
    ask(page, "stream", "follow")
    first = teller.wait("private")
    teller.fill("5-0-1")
    teller.snapshot(first["id"], "5-0", "1.0")
    for at in ("4-0-9", "5-0-1", "6-0-1", "6-0-1", "6-0-3", "6-0-2"):
        teller.fill(at)
    teller.fill("7-0-1", account=8)
    teller.tell(type="gap", id=first["id"], **{"from": "6-0-3"}, reason="trimmed")
    teller.fill("8-0-1")
    teller.snapshot(first["id"], "9-0", "2.0")
    teller.fill("9-1-0")
    want = [["snapshot", "5-0"], ["fill", "6-0-1"], ["fill", "6-0-3"], ["snapshot", "9-0"], ["gap", "9-0"]]
    found = [[name, at] for name, at in told(page, 6)]
    assert [[name, at or place] for (name, at), (_, place) in zip(found, want, strict=False)] == want
    assert found[5:] == [["fill", "9-1-0"]]
    assert ask(page, "store", "state", "account")["free"] == "2.0"


def test_another_account_is_begun_anew(screens: Screens, venue: Venue) -> None:
    """Acting for another account forgets the first one's place, and late messages of the first change nothing."""
    page = page_of(screens, venue)
    teller = Teller(page)
    ask(page, "stream", "follow")
    first = teller.wait("private", 7)
    teller.snapshot(first["id"], "5-0", "1.0")
    told(page, 1)
    ask(page, "stream", "act", 8)
    second = teller.wait("private", 8)
    assert "from" not in second
    assert any(message["op"] == "unsubscribe" and message.get("account") == 7 for message in teller.asked)
    teller.snapshot(first["id"], "6-0", "3.0")
    teller.fill("6-0-1", account=7)
    teller.snapshot(second["id"], "6-0", "0.5", account=8)
    teller.fill("7-0-1", account=8)
    assert [name for name, _at in told(page, 3)] == ["snapshot", "snapshot", "fill"]
    assert ask(page, "store", "state", "account") == {"account": 8, "free": "0.5"}


def test_a_lost_socket_is_followed_from_its_place(screens: Screens, venue: Venue) -> None:
    """The next socket asks for what came after the last event or pong that was told, with the venue's name."""
    page = page_of(screens, venue)
    teller = Teller(page)
    ask(page, "stream", "follow")
    ident = teller.wait("private")["id"]
    teller.snapshot(ident, "5-0", "1.0")
    teller.fill("6-0-1")
    told(page, 2)
    teller.asked.clear()
    teller.sockets[-1].close(code=1012)
    again = teller.wait("private")
    assert again["from"] == "6-0-1" and again["venue"] == "v"
    teller.fill("6-0-1")
    teller.fill("6-0-2")
    teller.tell(type="live", id=again["id"], at="6-0")
    teller.tell(type="pong", at="20-0")
    assert told(page, 3)[2:] == [["fill", "6-0-2"]]
    teller.asked.clear()
    teller.sockets[-1].close(code=1012)
    assert teller.wait("private")["from"] == "20-0"
