"""The modules of the operator's page, asked in a browser with facts and a clock of ours: polling, signs, memory."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Screens
from tests.browser.steered_venue import Venue

IMPORTS = """async ([name, code, given]) => {
  const main = document.querySelector('script[type=module]').src;
  const module = await import(new URL(`./${name}.js`, main));
  return await FUNCTIONS[code](module, given);
}"""

# A world whose time only moves when the test says so; every look that the page is told is kept.
FUNCTIONS = """const FUNCTIONS = {
  async polled(module, steps) {
    let now = 0, hidden = false, shown = () => {}, alarms = new Map(), number = 0, asked = 0, answer = null;
    const told = [];
    const world = {
      monotonic_ms: () => now, chance: () => 1, hidden: () => hidden,
      after: (delay, action) => { alarms.set(++number, [now + delay, action]); return number; },
      cancel: (alarm) => alarms.delete(alarm),
      on_shown: (action) => { shown = action; return () => { shown = () => {}; }; },
    };
    const ask = (signal) => { asked += 1; return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new DOMException('', 'AbortError')));
      if (answer) answer.status === 200 ? resolve(answer.body) : reject(answer);
    }); };
    const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
    let polled = null;
    for (const [verb, value] of steps) {
      if (verb === 'answer') answer = value;
      if (verb === 'begin') polled = module.poll(ask, (look) => told.push(look), world);
      if (verb === 'hide' || verb === 'show') { hidden = verb === 'hide'; shown(); }
      if (verb === 'stop') polled.stop();
      for (let spent = 0; verb === 'pass' && spent < value; spent += 250) {
        now += 250;
        for (const [alarm, [at, action]] of [...alarms]) if (at <= now && alarms.delete(alarm)) action();
        await settle();
      }
      await settle();
    }
    return {asked, standings: told.map((look) => look.standing), failures: told.map((look) => look.failures)};
  },
  waits: (module, counts) => counts.map((count) => module.wait_ms(count, 1)),
  signs: (module, bodies) => bodies.map((body) => module.invariants_of({processes: [], readers: {}, missing: [],
    degraded: [], looked: true, engine: null, engine_silent: false, ...body}, body.old).map(({state}) => state)),
  facts: (module, body) => module.facts_of(body),
  rates: (module, looks) => looks.reduce((kept, look) => module.rates_with(kept,
    {processes: [], engine: null, engine_silent: true, ...look}), module.rates_empty()),
};"""


def page_of(screens: Screens, venue: Venue) -> Page:
    """Return a page of the operator's module tree; signed out, it shows no figure."""
    page: Page = screens().page
    page.goto(f"{venue.url}/ops")
    expect(page.locator("[data-test=ops-signed-out]")).to_be_visible()
    return page


def ask(page: Page, name: str, code: str, given: Any) -> Any:
    """Return what a function of a module of the page answers."""
    return page.evaluate(IMPORTS.replace("=> {", "=> {\n" + FUNCTIONS, 1), [name, code, given])


def test_polling_backs_off_and_rests(screens: Screens, venue: Venue) -> None:
    """Once a second while it goes well, more seldom while it fails, never while hidden, at once when shown again."""
    page = page_of(screens, venue)
    assert ask(page, "polling", "waits", [0, 1, 2, 3, 4, 5, 50]) == [1000, 1000, 2000, 4000, 8000, 15000, 15000]
    well = {"status": 200, "body": {}}
    found = ask(page, "polling", "polled", [["answer", well], ["begin", 0], ["pass", 5000]])
    assert found["asked"] == 6 and set(found["standings"]) == {"told"}
    ill = {"status": 500, "code": "INTERNAL"}
    found = ask(
        page, "polling", "polled", [["answer", ill], ["begin", 0], ["pass", 15_000], ["answer", well], ["pass", 15_000]]
    )
    assert found["failures"][:4] == [1, 2, 3, 4] and found["failures"][-1] == 0
    assert found["standings"][:4] == ["failing"] * 4
    found = ask(page, "polling", "polled", [["answer", well], ["begin", 0], ["hide", 0], ["pass", 60_000], ["show", 0]])
    assert found["asked"] == 2 and found["standings"] == ["told", "resting", "told"]
    found = ask(page, "polling", "polled", [["answer", well], ["begin", 0], ["stop", 0], ["pass", 10_000]])
    assert found["asked"] == 1


def test_polling_gives_up_an_answer_that_hangs(screens: Screens, venue: Venue) -> None:
    """Without an answer for five seconds a question counts as failed, and one under way when hidden as none."""
    page = page_of(screens, venue)
    found = ask(page, "polling", "polled", [["begin", 0], ["pass", 5_000]])
    assert found["standings"] == ["failing"]
    found = ask(page, "polling", "polled", [["begin", 0], ["pass", 1_000], ["hide", 0], ["pass", 60_000]])
    assert found["standings"] == ["resting"] and found["asked"] == 1


def test_who_is_refused_is_asked_about_again(screens: Screens, venue: Venue) -> None:
    """A missing role is looked for every five seconds; a session that has ended asks for signing in."""
    page = page_of(screens, venue)
    refusal = {"status": 403, "code": "ROLE_MISSING"}
    found = ask(page, "polling", "polled", [["answer", refusal], ["begin", 0], ["pass", 10_000]])
    assert found["asked"] == 3 and set(found["standings"]) == {"role_missing"}
    found = ask(page, "polling", "polled", [["answer", {"status": 401}], ["begin", 0]])
    assert found["standings"] == ["signed_out"]


def test_signs_never_show_what_is_not_known_as_holding(screens: Screens, venue: Venue) -> None:
    """Money that does not add up is broken however little it is, money that nobody added up is not known."""
    page = page_of(screens, venue)
    sums = ["0.000000", "0", "-0.000001", "0.000001", "1000000.000000", "", "NaN", None]
    bodies: list[dict[str, Any]] = [{"engine": {"money_sum": each, "money_seq": "7", "seq": "9"}} for each in sums]
    states = [signs[0] for signs in ask(page, "signs", "signs", bodies)]
    assert states == ["ok", "ok", "broken", "broken", "broken", "unknown", "unknown", "unknown"]
    silent = {"engine": {"money_sum": "0.000000", "money_seq": "7", "seq": "9"}, "engine_silent": True}
    assert ask(page, "signs", "signs", [silent])[0][0] == "unknown"
    assert ask(page, "signs", "signs", [bodies[0] | {"old": True}, bodies[2] | {"old": True}])[0] == ["unknown"] * 5
    assert ask(page, "signs", "signs", [bodies[2] | {"old": True}])[0][0] == "broken"
    nothing, wrong = ask(
        page,
        "signs",
        "signs",
        [
            {},
            {
                "processes": [{"mismatches": 1, "rejects": 2}],
                "readers": {"archive_error": "full"},
                "degraded": [["fsync", "everysec"]],
            },
        ],
    )
    assert nothing == ["unknown"] * 4 + ["ok"] and wrong[1:] == ["broken", "broken", "trouble", "trouble"]


def test_an_answer_without_anything_is_shown_as_not_known(screens: Screens, venue: Venue) -> None:
    """A body that states nothing makes facts of nothing: no number stands where none was told."""
    facts = ask(page_of(screens, venue), "shape", "facts", {})
    assert facts["engine"] is None and facts["nearest"] is None and facts["funds"] == {}
    assert facts["engine_silent"] and not facts["ready"] and facts["processes"] == []
    parts = {"missing": {"redis": "no writes"}, "degraded": {"redis": "not reachable", "archive": "full"}}
    facts = ask(page_of(screens, venue), "shape", "facts", parts)
    assert facts["missing"] == [["redis", "no writes"]] and facts["degraded"] == [["archive", "full"]]


def test_lines_are_bounded_and_leave_gaps(screens: Screens, venue: Venue) -> None:
    """Rates are of two looks of the same venue; a pause or a restored log is a gap, and no more than 300 are kept."""
    page = page_of(screens, venue)

    def look(at_s: int, seq: int) -> dict[str, Any]:
        engine = {"written_us": at_s * 1_000_000 - 300_000, "seq": str(seq)}
        return {"time_us": at_s * 1_000_000, "engine": engine, "engine_silent": False}

    looks = [look(number, number * 40) for number in range(400)]
    kept = ask(page, "rates", "rates", looks)
    assert len(kept["entries"]) == len(kept["time_s"]) == 300 and set(kept["entries"]) == {40}
    assert ask(page, "rates", "rates", [*looks[:3], look(60, 4000)])["entries"] == [None, 40, 40, None, None]
    assert ask(page, "rates", "rates", [*looks[5:8], look(8, 3)])["entries"][-1] is None
    again = looks[2] | {"time_us": 3_000_000}
    assert ask(page, "rates", "rates", [*looks[:3], again])["entries"] == [None, 40, 40, 40]
    assert ask(page, "rates", "rates", [*looks[:9], look(0, 1)])["time_s"] == [0]
