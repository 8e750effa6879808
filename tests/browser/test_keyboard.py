"""From the sign-in screen to a closed trade without a mouse: whatever acts can be reached, and shows where one is."""

from playwright.sync_api import expect

from tests.browser.conftest import Screens
from tests.browser.screen import Screen
from tests.browser.steered_venue import Venue

TABS_MAX = 120  # presses of Tab until a thing must have come

# A part that has the focus looks otherwise, itself or what is right around it, than when it has lost it.
FOCUS_SCRIPT = """() => {
  const one = document.activeElement;
  const looks = () => [one, one.parentElement, one.parentElement?.parentElement].filter(Boolean).map((each) => {
    const style = getComputedStyle(each);
    return [style.outline, style.boxShadow, style.borderColor, style.backgroundColor].join();
  }).join();
  const focused = looks();
  one.blur();
  const blurred = looks();
  one.focus({preventScroll: true});
  return {
    test: one.dataset.test ?? '', words: one.innerText ?? '', label: one.getAttribute('aria-label') ?? '',
    shown: focused !== blurred,
  };
}"""


def focus(screen: Screen) -> dict[str, str]:
    """Return what has the focus."""
    found: dict[str, str] = screen.page.evaluate(FOCUS_SCRIPT)
    return found


def tab_to(screen: Screen, name: str) -> None:
    """Press Tab until a part of this name has the focus."""
    seen = []
    for _ in range(TABS_MAX):
        screen.page.keyboard.press("Tab")
        found = focus(screen)
        seen.append(found["test"] or found["label"] or found["words"][:20])
        if name in (found["test"], found["label"], found["words"].strip()):
            assert found["shown"], f"{name} has the focus and nothing shows it"
            return
    raise AssertionError(f"{name} is not reached; there are {seen}")


def test_a_whole_trade_by_keys(screens: Screens, venue: Venue, email: str) -> None:
    """Sign in, buy with a take-profit and a stop-loss, close the position, confirm: the mouse is never touched."""
    screen = screens()
    keys = screen.page.keyboard
    screen.page.goto(venue.url)
    expect(screen.page.get_by_label("Mail address")).to_be_focused()
    before = venue.mails()
    keys.type(email)
    keys.press("Enter")
    screen.page.goto(venue.link_mailed(email, before))
    screen.trading()
    keys.press("b")
    keys.press("q")
    expect(screen.part("ticket-size")).to_be_focused()
    keys.type("0.01")
    tab_to(screen, "ticket-bracket")
    keys.press("Space")
    for name, price in (("ticket-take", venue.feed.away("BTC_USDC_PERP", 20)),
                        ("ticket-stop", venue.feed.away("BTC_USDC_PERP", -20))):  # fmt: skip
        tab_to(screen, name)
        keys.type(price)
    expect(screen.part("ticket-submit")).to_have_attribute("data-state", "ready")
    keys.press("Enter")
    expect(screen.part("positions-row")).to_have_count(1)
    keys.press("Escape")
    tab_to(screen, "position-close-100")
    keys.press("Enter")
    expect(screen.part("positions-row")).to_have_count(0)
    assert venue.program(email).items("/api/v1/account/positions") == []


def test_a_line_is_moved_by_arrows(screens: Screens, venue: Venue, email: str) -> None:
    """A price line with the focus goes up by a tick for each arrow; Escape restores it, Enter sends it."""
    screen, caller = screens(email), venue.program(email)
    body = {"market": "BTC_USDC_PERP", "side": "buy", "qty": "0.01"}
    body["stop_loss"] = venue.feed.away("BTC_USDC_PERP", -10)
    caller.do("POST", "/api/v1/trade/order", body)
    expect(screen.line("stop_loss")).to_have_count(1)
    screen.line("stop_loss").get_by_role("slider").focus()
    keys = screen.page.keyboard

    def trigger() -> str:
        return str(caller.items("/api/v1/account/orders")[0]["price_trigger"])

    before = trigger()
    keys.press("ArrowUp")
    keys.press("Escape")
    assert trigger() == before
    for _ in range(3):
        keys.press("ArrowUp")
    keys.press("Enter")
    screen.eventually(lambda: trigger() != before, "the trigger did not move")
    units = [int(text.replace(".", "")) for text in (before, trigger())]
    assert units[1] - units[0] == 3


def test_the_keys_are_listed(screens: Screens, email: str) -> None:
    """A question mark shows what every key does; Escape closes the list."""
    screen = screens(email)
    screen.page.keyboard.press("?")
    dialog = screen.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert len(dialog.locator("kbd").all()) >= 12
    screen.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
