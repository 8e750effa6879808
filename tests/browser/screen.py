"""
The page as a person uses it: sign in, fill the ticket, read rows, drag lines; each gesture by role, label or name.

What a part is called (`data-test`) and which raw texts it carries (`data-…`) is all that is known of the page's inside;
`store` alone looks behind it, for what it keeps must equal what the API says.
"""

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.caller import Caller
from tests.browser.steered_venue import Venue
from tests.browser.watching import Watch

PATIENCE_S = 10.0
MARKET = "BTC_USDC_PERP"  # where every test begins
LOOK_S = 0.05
TOLD_APART = {"seq", "behind_seq", "log_time_us"}  # of which message told it last
STORE_SCRIPT = """async (name) => {
  const main = document.querySelector('script[type=module]').src;
  const {store} = await import(new URL('./store.js', main));
  return store.get()[name];
}"""


class Screen:
    """One page."""

    def __init__(self, page: Page, venue: Venue, watch: Watch) -> None:
        """Prepare."""
        self.page = page
        self.venue = venue
        self.watch = watch

    def part(self, name: str, **data: str) -> Locator:
        """Return the parts of a name whose data attributes are these."""
        chosen = "".join(f'[data-{key.replace("_", "-")}="{value}"]' for key, value in data.items())
        return self.page.locator(f'[data-test="{name}"]{chosen}')

    def rows(self, name: str) -> list[dict[str, str]]:
        """Return the raw texts of all parts of a name, in their order."""
        found: list[dict[str, str]] = self.part(name).evaluate_all("all => all.map((one) => ({...one.dataset}))")
        return found

    def ids(self, name: str) -> list[str]:
        """Return the identities of a table's rows, in their order."""
        return [row["id"] for row in self.rows(name)]

    def store(self, name: str) -> Any:
        """Return what the page itself keeps under a name."""
        return self.page.evaluate(STORE_SCRIPT, name)

    def eventually(self, holds: Callable[[], Any], words: str, patience_s: float = PATIENCE_S) -> Any:
        """Return what a question gives once that is true; the page lives on meanwhile."""
        deadline_s = time.monotonic() + patience_s
        while True:
            found = holds()
            if found or time.monotonic() > deadline_s:
                assert found, words
                return found
            self.page.wait_for_timeout(LOOK_S * 1_000)

    # ---- coming and going ----------------------------------------------------------------------------------------

    def sign_in(self, email: str) -> None:
        """Follow a fresh link to the trading screen."""
        self.page.goto(self.venue.link(email))
        self.trading()
        self.choose(MARKET)

    def trading(self) -> None:
        """Wait until the trading screen is live and its chart drawn."""
        expect(self.page.locator('[data-screen="trade"]').first).to_be_visible(timeout=PATIENCE_S * 1_000)
        self.live()
        expect(self.part("chart", ready="true")).to_be_visible(timeout=PATIENCE_S * 1_000)

    def live(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until the connection is live."""
        expect(self.part("connection").first).to_have_attribute("data-state", "live", timeout=patience_s * 1_000)

    def show(self, name: str) -> None:
        """Show a part of the page where there is room for one alone: Chart, Trade, Positions, Account."""
        bar = self.page.get_by_role("navigation", name="Parts of the page")
        if bar.count():
            bar.get_by_role("button", name=name).click()

    def tab(self, name: str) -> None:
        """Choose one of the tabs below the chart."""
        self.show("Positions")
        self.page.get_by_role("tab", name=name).click()

    def sign_out(self) -> None:
        """End this session by the page's own menu."""
        self.part("account-menu").click()
        self.part("sign-out").click()
        self.confirm("Sign out")

    def choose(self, market: str) -> None:
        """Show another market by its address."""
        self.page.goto(f"{self.venue.url}/#/trade/{market}")
        self.eventually(lambda: self.store("market") == market, f"{market} is not shown")
        expect(self.part("chart", ready="true")).to_be_visible()

    # ---- trading -------------------------------------------------------------------------------------------------

    def ticket(
        self, side: str, size: str, *, price: str = "", take: str = "", stop: str = "", unit: str = "price"
    ) -> None:
        """Fill the ticket in coins: a market order, or a limit order; TP and SL as prices or in percent."""
        self.show("Trade")
        self.part(f"ticket-side-{side}").click()
        self.part("ticket-kind-limit" if price else "ticket-kind-market").click()
        self.part("ticket-unit").select_option("coin")
        self.part("ticket-size").fill(size)
        if price:
            self.part("ticket-price").fill(price)
        if take or stop:
            self.part("ticket-bracket").check()
        for name, text in (("take", take), ("stop", stop)):
            if text:
                self.part(f"ticket-{name}-unit").select_option(unit)
                self.part(f"ticket-{name}").fill(text)

    def send(self) -> None:
        """Wait until the ticket shows what its order would do, and send it."""
        expect(self.part("ticket-preview", current="true")).to_have_attribute("data-result", "OK")
        expect(self.part("ticket-submit")).to_have_attribute("data-state", "ready")
        self.part("ticket-submit").click()

    def position(self) -> dict[str, str]:
        """Return the raw texts of the one position's row, once it is there."""
        expect(self.part("positions-row")).to_have_count(1)
        return self.rows("positions-row")[0]

    def told(self, words: str) -> None:
        """Wait for a toast that contains these words."""
        expect(self.part("toast").filter(has_text=words).first).to_be_visible()

    def line(self, kind: str) -> Locator:
        """Return the handle of a price line of the chart."""
        return self.part("line", kind=kind)

    def line_price(self, kind: str) -> str:
        """Return the price of the one line of a kind."""
        expect(self.line(kind)).to_have_count(1)
        return str(self.line(kind).get_attribute("data-price"))

    def drag(self, part: Locator, pixels: int) -> None:
        """Take a handle by the mouse, put it down so many pixels lower, and say yes to where it is."""
        box = part.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for step in range(1, 11):
            self.page.mouse.move(x, y + pixels * step / 10)
        self.page.mouse.up()
        self.page.get_by_role("button", name="Send the new price").click()

    def confirm(self, name: str) -> None:
        """Press a button of the dialog that asks."""
        self.page.get_by_role("dialog").get_by_role("button", name=name).click()

    def sideways(self) -> int:
        """Return by how many pixels the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def differences(self, caller: Caller) -> list[str]:
        """Return in what the page's own state differs from how the API shows the account now."""
        found = []
        for name, key in (("positions", "position_id"), ("orders", "order_id")):
            kept = self.store(name)
            there = {str(item[key]): item for item in caller.items(f"/api/v1/account/{name}")}
            if set(kept) != set(there):
                found.append(f"{name}: the page has {sorted(kept)}, the API {sorted(there)}")
            for identity in set(kept) & set(there):
                found += unlike(f"{name}[{identity}]", kept[identity], there[identity])
        return found + unlike("account", self.store("account"), caller.get("/api/v1/account"))

    def equals(self, caller: Caller) -> None:
        """Wait until the page's own state is what the API shows."""
        self.eventually(lambda: not self.differences(caller), "page and API differ")


def unlike(name: str, kept: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """Return under which keys that both have two rows differ; figures at the marks of now are only the API's."""
    return [
        f"{name}.{key}: the page has {kept[key]!r}, the API {there[key]!r}"
        for key in sorted(set(kept) & set(there) - TOLD_APART)
        if kept[key] != there[key]
    ]
