"""The operator's page when something is taken away while it is open: the gateway, the role, the price, the session."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Screens
from tests.browser.screen import Screen
from tests.browser.steered_venue import Venue

CUT = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_SOCKET_NOT_CONNECTED")
AWAY_MS = 4_500  # long enough that what was shown counts as old
ROLE_MS = 15_000  # the gateway looks at roles every five seconds, the page as often


def operator(screens: Screens, venue: Venue, email: str) -> Screen:
    """Return an operator's page that shows figures."""
    venue.operator(email)
    screen = screens(email)
    screen.page.goto(f"{venue.url}/ops")
    expect(screen.part("processes")).to_be_visible(timeout=ROLE_MS)
    return screen


def states(screen: Screen) -> set[str]:
    """Return the states of all invariants that are shown."""
    return {row["state"] for row in screen.rows("invariant")}


def standing(page: Page) -> str | None:
    """Return what the page says of itself."""
    return page.locator("[data-screen=ops]").get_attribute("data-standing")


def test_figures_that_nobody_vouches_for_are_greyed(screens: Screens, venue: Venue, email: str) -> None:
    """Without the gateway nothing is said to hold and panels are grey; with it the page goes on by itself."""
    screen = operator(screens, venue, email)
    screen.eventually(lambda: states(screen) == {"ok"}, "not every invariant holds in a fresh venue")
    screen.watch.expect(*CUT)
    with venue.gate.shut_meanwhile():
        expect(screen.part("connection")).to_have_attribute("data-state", "lost")
        expect(screen.page.get_by_role("alert").filter(has_text="does not answer")).to_be_visible()
        screen.page.wait_for_timeout(AWAY_MS)
        assert states(screen) == {"unknown"}
        assert screen.part("processes").evaluate("one => getComputedStyle(one).filter") == "grayscale(1)"
        expect(screen.part("troubles")).to_have_count(0)
    expect(screen.part("connection")).to_have_attribute("data-state", "live", timeout=20_000)
    assert states(screen) == {"ok"}


def test_a_role_that_is_taken_away_takes_the_figures_along(screens: Screens, venue: Venue, email: str) -> None:
    """Who is a trader again sees no figure any more; who becomes an operator again sees them without a reload."""
    screen = operator(screens, venue, email)
    venue.tidemark("user", "role", email, "trader")
    expect(screen.part("ops-role-missing")).to_be_visible(timeout=ROLE_MS)
    expect(screen.part("processes")).to_have_count(0)
    venue.tidemark("user", "role", email, "operator")
    expect(screen.part("processes")).to_be_visible(timeout=ROLE_MS)


def test_a_session_that_ends_takes_the_figures_along(screens: Screens, venue: Venue, email: str) -> None:
    """After signing out elsewhere the page asks for signing in and shows nothing else."""
    screen = operator(screens, venue, email)
    screen.page.evaluate("fetch('/api/v1/auth/logout', {method: 'DELETE'})")
    expect(screen.part("ops-signed-out")).to_be_visible()
    expect(screen.part("processes")).to_have_count(0)
    expect(screen.page.get_by_role("link", name="Sign in")).to_have_attribute("href", "/")
    assert standing(screen.page) == "signed_out"


def test_commands_are_copied_and_events_are_found(screens: Screens, venue: Venue, email: str) -> None:
    """The command beside an event is copied whole, the search keeps what it finds, and rows hold still meanwhile."""
    screen = operator(screens, venue, email)
    screen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    caller = venue.program(email)
    order = caller.do("POST", "/api/v1/trade/order", {"market": "ETH_USDC_PERP", "side": "buy", "qty": "0.1"})
    search = screen.page.get_by_label("Find")
    search.fill(f"fill {caller.get('/api/v1/account')['account_id']}")
    fills = screen.part("event", kind="fill")
    expect(fills).to_have_count(1)
    row = fills.first
    why = f"./scripts/tidemark why order:{order['order_id']}"
    expect(row).to_contain_text(why)
    row.get_by_role("button").click()
    expect(row.get_by_role("status")).to_have_text("Copied")
    assert screen.page.evaluate("navigator.clipboard.readText()") == why
    caller.do("POST", "/api/v1/trade/order", {"market": "ETH_USDC_PERP", "side": "sell", "qty": "0.1"})
    expect(screen.part("events")).to_contain_text("held while you are in it")
    expect(fills).to_have_count(1)
    screen.page.mouse.move(1, 1)
    search.focus()
    expect(fills).to_have_count(2)


def test_a_stale_price_is_said_with_what_to_do(screens: Screens, venue: Venue, email: str) -> None:
    """Markets whose quotes stop turn their light, are listed as degraded, and their cards name a command."""
    screen = operator(screens, venue, email)
    with venue.feed.silence():
        card = screen.part("trouble", part="price:SOL_USDC_PERP")
        expect(card).to_be_visible(timeout=15_000)
        expect(card).to_contain_text("./scripts/tidemark")
        expect(screen.part("market", market="SOL_USDC_PERP")).to_contain_text("stale")
    expect(card).to_have_count(0, timeout=15_000)
    expect(screen.part("market", market="SOL_USDC_PERP")).to_have_attribute("data-fresh", "true")
