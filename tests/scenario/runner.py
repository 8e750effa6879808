"""
Scenario tables: one step a line, what it must answer at the end; read like a ledger, checked with a pencil.

A line is a verb, its words, `key=value` pairs that go into the body as they are, and the expected result:

    VENUE        starting_balance=1000            first lines only: the venue's settings
    MARKET       M1 tick=1 lot=1 leverage_max=20  first lines only: one market
    FEED         up | down                        opens a new session, or closes it
    QUOTE        M1 99/101                        a quote of one unit a side, or 99x2/101x3 with its sizes
    MARK         M1 100 index=99 rate=0.0001 next=60s    a mark; funding falls due so long after the start
    WAIT         3s                               log time passes, with its ticks
    LATER        9h                               log time jumps, by two ticks that agree

    OPEN         A1                               OK
    ORDER_PLACE  A1 M1 BUY 10 @ 100 GTC           OK        (`@ market` for a market order)
    ORDER_PLACE  A1 M1 SELL 10 stop 95 reduce     OK        (`take 110`, `trail 5`, `trail 1%`; with `@ 94` a limit)
    ORDER_PLACE  A1 M1 SELL 50% @ 110 reduce post OK        (50 % of the position; `$100` is quote_qty)
    ORDER_PLACE  A1 M1 SELL 5 @ 110 oco stop 90   OK        (after `oco` the other leg)
    ORDER_PLACE  A1 M1 BUY 5 @ 99 GTD expires=9s stop_loss=90:mark@88  OK   (in 9 s; SL by the mark, as a limit of 88)
    AMEND        A1 O1 qty=5 price=99             OK
    CANCEL       A1 O1                            OK
    CANCEL_ALL   A1 M1                            OK
    TRADE_CREATE A1 M1 SELL x5 margin=100         OK
    TRADE_CLOSE  A1 P1 percent=50                 OK
    CLOSE_ALL    A1 M1                            OK
    REVERSE      A1 P1                            OK
    TRIGGERS     A1 P1 stop_loss=90               OK        (`none` removes)
    MARGIN       A1 P1 -20                        OK
    LEVERAGE     A1 M1 x20                        OK
    MODE         A1 M1 cross                      OK
    GUARDS       A1 leverage_max=5 stp=none       OK        (daily_loss_max=100 slippage_bps=20; `none` removes)
    SUB          A1                               OK        (a sub-account of A1's owner: the next account id)
    TRANSFER     A1 A2 500                        OK
    DEADMAN      A1 10s scope=all                 OK
    RESET        A1                               OK
    + CANCEL     A1 O1                            OK        one command of the batch that follows
    BATCH        A1                               OK
    SEND         A1 op=... as=ID ts=-3s           OK        (any operation, under a chosen request id, off in time)

    VENUE_SET, MARKET_SET M1, HALT M1, RESUME M1, REDUCE_ONLY M1, SETTLE M1 95, FREEZE A1, UNFREEZE A1,
    CREDIT A1 50 gift: an operator's; `OPERATOR CANCEL A1 O1` and so on: an operator acting for A1
    ENTRY        user_instruction {...}           RECORD_MALFORMED

    EXPECT       A1 free=990.000000 reserved=0.000000
    EXPECT       P1 qty=10 margin=100.000000      the newest post-image of a position, an account, a market
    EXPECT       O1 closed=filled                 how an order ended; `closed=-` while it lives, `none` if unknown
    EVENTS       fill trade closed_order          kinds that the line before caused, among others, in this order
    EVENT        fill order_id=O1 qty=3           one event that the line before caused
    SILENT       fill trade                       kinds that the line before did not cause
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.scenario.lines import (
    OPERATOR_VERBS,
    USER_VERBS,
    Instruction,
    instruction_read,
    market_of,
    seconds_of,
    values_read,
)

START_US = 1_763_000_010_000_000
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
REQUESTS = {*USER_VERBS, *OPERATOR_VERBS, "OPERATOR"}


class Venue(Protocol):
    """What a scenario runs on: the library's engine or the twin."""

    def apply(self, kind: str, body: dict[str, Any], ts_us: int, session: str = "") -> list[dict[str, Any]]:
        """Apply one entry and return its events."""


@dataclass
class Scenario:
    """A named table: its lines with their numbers in the file."""

    name: str
    lines: list[tuple[int, list[str]]] = field(default_factory=list)


def scenarios_read(path: Path) -> list[Scenario]:
    """Return the scenarios of one file; `== name` begins each, `#` begins a comment."""
    found: list[Scenario] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = line.split("#", 1)[0].strip()
        if text.startswith("=="):
            found.append(Scenario(text.strip("= ")))
        elif text:
            found[-1].lines.append((number, text.split()))
    return found


def scenarios_all() -> list[Scenario]:
    """Return every scenario of this folder."""
    return [scenario for path in sorted(Path(__file__).parent.glob("*.txt")) for scenario in scenarios_read(path)]


def instructions_of(scenario: Scenario) -> Iterator[Instruction]:
    """Yield what a table asks for and what it says is answered, without running it."""
    for _, words in scenario.lines:
        at = int(words[0] == "+")
        if words[at] in REQUESTS:
            yield instruction_read(words[at], words[at + 1 :], START_US // 1000)


class Runner:
    """Runs one scenario on a venue; fails at the first line that answers otherwise."""

    def __init__(self, scenario: Scenario, found: Callable[[dict[str, Any]], Venue]) -> None:
        self.scenario = scenario
        self.found = found
        self.venue: Venue | None = None
        self.venue_set: dict[str, Any] = {}
        self.markets: list[dict[str, Any]] = []
        self.ts_us = START_US
        self.requests = self.sessions = self.updates = 0
        self.events: list[dict[str, Any]] = []
        self.images: dict[str, dict[str, Any]] = {}
        self.batch: list[Instruction] = []
        self.kinds: set[str] = set()
        self.reasons: set[str] = set()
        self.caused: set[tuple[str, str]] = set()

    def run(self) -> None:
        """Run every line."""
        for number, words in self.scenario.lines:
            try:
                self.line(words[0], words[1:])
            except (AssertionError, KeyError, IndexError, ValueError) as error:
                raise AssertionError(f"{self.scenario.name}, line {number}: {' '.join(words)}: {error!r}") from error

    def line(self, verb: str, words: list[str]) -> None:
        """Carry out one line."""
        if verb == "VENUE":
            self.venue_set.update(values_read(words))
        elif verb == "MARKET":
            self.markets.append(market_of(words[0], values_read(words[1:])))
        elif verb in ("EXPECT", "EVENTS", "EVENT", "SILENT"):
            self.question(verb, words)
        elif verb == "WAIT":
            self.wait(seconds_of(words[0]))
        elif verb == "LATER":
            self.ts_us += int(words[0].removesuffix("h")) * HOUR_US
            self.wait(2)
        elif verb == "+":
            self.batch.append(instruction_read(words[0], words[1:], self.ts_us // 1000))
        elif verb in REQUESTS:
            self.request(instruction_read(verb, words, self.ts_us // 1000))
        else:
            self.feed(verb, words)

    def question(self, verb: str, words: list[str]) -> None:
        """Compare what is, or what the line before caused, with what the line says."""
        caused = [event["e"] for event in self.events]
        if verb == "EXPECT":
            self.expect(words[0], values_read(words[1:]))
        elif verb == "EVENTS":
            kinds = iter(caused)
            assert all(word in kinds for word in words), caused
        elif verb == "SILENT":
            assert not set(words) & set(caused), caused
        else:
            wanted = values_read(words[1:])
            of_kind = [event for event in self.events if event["e"] == words[0]]
            assert any(all(same(event.get(key), value) for key, value in wanted.items()) for event in of_kind), of_kind

    def apply(self, kind: str, body: dict[str, Any], ts_us: int, session: str = "") -> None:
        """Apply one entry, founding the venue before the first, and keep its events and post-images."""
        if self.venue is None:
            self.venue = self.found({"markets": self.markets, **self.venue_set})
        self.events += self.venue.apply(kind, body, ts_us, session)
        for event in self.events:
            self.kinds.add(event["e"])
            self.reasons.add(event.get("reason", ""))
            if event["e"] == "account_changed":
                self.images[f"A{event['account'] - 99}"] = event
            elif event["e"] == "position_changed":
                self.images[f"P{event['position_id'] - 99}"] = event
            elif event["e"] in ("order_changed", "closed_order"):
                self.images[f"O{event['order_id']}"] = {**event, "closed": event.get("reason", "-")}
            elif event["e"] == "market_changed":
                self.images[event["market"]] = event

    def expect(self, name: str, values: dict[str, Any]) -> None:
        """Compare the newest post-image of an account, position, order or market with what is expected."""
        image = self.images.get(name, {})
        for key, value in values.items():
            shown = image.get(key)
            if isinstance(shown, dict) and not isinstance(value, dict):
                shown = shown["price_trigger"]
            assert same(shown, value), f"{key} is {shown}"

    def wait(self, seconds: int) -> None:
        """Let log time pass, tick by tick."""
        self.events = []
        for _ in range(seconds):
            self.ts_us += SECOND_US
            self.apply("clock_tick", {}, self.ts_us)

    def feed(self, verb: str, words: list[str]) -> None:
        """Carry out a line of the feed, or one raw entry."""
        self.events = []
        session = f"session{self.sessions}"
        event_us = self.ts_us - 50_000
        self.updates += 1
        if verb == "FEED":
            self.sessions += words[0] == "up"
            body: dict[str, Any] = {"status": words[0], "source": "simulated"}
            self.apply("feed_status", body, self.ts_us, f"session{self.sessions}")
        elif verb == "QUOTE":
            bid, ask = (side.split("x") if "x" in side else (side, "1") for side in words[1].split("/"))
            body = {"A": ask[1], "B": bid[1], "E": event_us, "T": event_us, "a": ask[0], "b": bid[0],
                    "e": "bookTicker", "s": words[0], "u": self.updates}  # fmt: skip
            self.apply("price_update", body, self.ts_us, session)
        elif verb == "MARK":
            values = values_read(words[2:])
            due_ms = START_US // 1000 + seconds_of(values.get("next", "3600s")) * 1000
            body = {"E": event_us + self.updates, "T": event_us, "e": "markPrice", "f": values.get("rate", "0"),
                    "i": values.get("index", words[1]), "n": due_ms, "p": words[1], "s": words[0]}  # fmt: skip
            self.apply("mark_update", body, self.ts_us, session)
        else:
            assert verb == "ENTRY", f"no such verb: {verb}"
            self.apply(words[0], json.loads(words[1]), self.ts_us)
            assert self.events == [], self.events

    def request(self, asked: Instruction) -> None:
        """Send one instruction and compare its one answer; a batch's answer has one result for each command."""
        self.events = []
        self.requests += 1
        body = {"v": 1, "account": asked.account, "request_id": self.request_id(asked.request_id), "op": asked.op}
        commands, self.batch = self.batch, []
        if commands:
            asked.keys["commands"] = [{"op": command.op, **command.keys} for command in commands]
        self.apply(asked.kind, {**body, **asked.keys}, self.ts_us + asked.off_seconds * SECOND_US)
        answers = [event for event in self.events if event["e"] == "order_response"]
        assert len(answers) == 1, self.events
        self.caused |= {(asked.op, event["e"]) for event in self.events}
        result = answers[0]["result"]
        assert result == asked.expected, f"answered {result}"
        if commands and asked.expected == "OK":
            results = [each["result"] for each in answers[0].get("results", [])]
            assert results == [command.expected for command in commands], f"answered {results}"

    def request_id(self, name: str | None) -> str:
        """
        Return a fresh id, the id of a name, or a UUIDv7.

        `v7:-130s` is a fresh one made some seconds off the present; `v7:6s:x` is one made off the beginning, the same
        each time.
        """
        if name is None:
            return f"{self.requests:032x}"
        if name.startswith("v7:"):
            off, _, suffix = name[3:].partition("s")
            id_ms = (START_US if suffix else self.ts_us) // 1_000 + int(off) * 1_000
            return f"{id_ms:012x}7000800000000000{0xFFFF if suffix else self.requests:04x}"
        return name.encode().hex().rjust(32, "f")


def same(shown: Any, wanted: Any) -> bool:
    """Return whether an event shows what a line states; numbers may stand in either form."""
    return shown == wanted or (isinstance(wanted, str | int) and shown is not None and str(shown) == str(wanted))
