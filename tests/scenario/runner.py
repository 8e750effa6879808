"""
Scenario tables: one step a line, what it must answer at the end; read like a ledger, checked with a pencil.

A line is a verb, its words, `key=value` pairs that go into the body as they are, and the expected result:

    VENUE        starting_balance=1000            first lines only: the venue's settings
    MARKET       M1 tick=1 lot=1 leverage_max=20  first lines only: one market
    FEED         up | down                        opens a new session, or closes it
    QUOTE        M1 99/101                        a quote; a reason at the end means it is ignored and changes nothing
    MARK         M1 100                           a mark
    WAIT         3s                               log time passes, with its ticks
    OPEN         A1                               OK
    ORDER_PLACE  A1 M1 BUY 10 @ 100 GTC           OK        (`@ market` for a market order)
    TRADE_CREATE A1 M1 SELL x5 margin=100         OK
    TRADE_CLOSE  A1 P1 percent=50                 OK
    TRIGGERS     A1 P1 stop_loss=90               OK        (`none` removes)
    CANCEL       A1 O1                            OK
    CANCEL_ALL   A1 M1                            OK
    SEND         A1 op=... as=ID ts=-3s           OK        (any operation, under a chosen request id, off in time)
    ENTRY        user_instruction {...}           RECORD_MALFORMED
    EXPECT       A1 free=990.000000 reserved=0.000000
    EXPECT       P1 qty=10 margin=100.000000      the newest post-image of a position
    EXPECT       O1 closed=filled                 how an order ended; `closed=-` while it lives
    EVENTS       fill trade closed_order          kinds that the line before caused, among others, in this order
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

START_US = 1_763_000_010_000_000
SECOND_US = 1_000_000
REQUESTS = ("OPEN", "ORDER_PLACE", "TRADE_CREATE", "TRADE_CLOSE", "TRIGGERS", "CANCEL", "CANCEL_ALL", "SEND")
WHOLES = ("leverage", "slippage_bps", "order_id", "position_id", "leverage_max", "account")


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


def values_read(words: list[str]) -> dict[str, Any]:
    """Return the `key=value` words as a body; `none` is null, `true` a flag, and some keys hold integers."""
    values: dict[str, Any] = {}
    for word in words:
        key, text = word.split("=", 1)
        if text in ("none", "true", "false"):
            values[key] = {"none": None, "true": True, "false": False}[text]
        elif text.endswith("f") and text[:1].isdigit():
            values[key] = float(text[:-1])
        else:
            values[key] = int(text) if key in WHOLES or key.endswith(("_ppm", "_ms", "_max")) else text
    return values


def market_of(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return a market; `mmr_ppm` is its maintenance, `tier_two=1000` adds a tier of 45 000 ppm and 10x from there."""
    rows = [("0", values.pop("mmr_ppm", 10_000), values["leverage_max"])]
    if "tier_two" in values:
        rows.append((values.pop("tier_two"), 45_000, 10))
    tiers = [{"floor": floor, "mmr_ppm": ppm, "leverage_max": leverage} for floor, ppm, leverage in rows]
    return {"market": name, **values, "tiers": tiers}


def id_of(word: str) -> int:
    """Return the id of a word: accounts and positions count from 100, so that A1 is 100; orders from 1."""
    return int(word[1:]) + (99 if word[0] in "AP" else 0)


class Runner:
    """Runs one scenario on a venue; fails at the first line that answers otherwise."""

    def __init__(self, scenario: Scenario, found: Callable[[dict[str, Any]], Venue]) -> None:
        self.scenario = scenario
        self.found = found
        self.venue: Venue | None = None
        self.venue_set: dict[str, Any] = {}
        self.markets: list[dict[str, Any]] = []
        self.ts_us, self.tick_us = START_US, START_US
        self.requests = self.sessions = self.updates = 0
        self.events: list[dict[str, Any]] = []
        self.images: dict[str, dict[str, Any]] = {}
        self.codes: list[str] = []

    def run(self) -> list[str]:
        """Run every line and return the result codes met, in order."""
        for number, words in self.scenario.lines:
            try:
                self.line(words[0], words[1:])
            except (AssertionError, KeyError, IndexError, ValueError) as error:
                raise AssertionError(f"{self.scenario.name}, line {number}: {' '.join(words)}: {error!r}") from error
        return self.codes

    def line(self, verb: str, words: list[str]) -> None:
        """Carry out one line."""
        if verb == "VENUE":
            self.venue_set.update(values_read(words))
        elif verb == "MARKET":
            self.markets.append(market_of(words[0], values_read(words[1:])))
        elif verb == "EXPECT":
            self.expect(words[0], values_read(words[1:]))
        elif verb == "EVENTS":
            kinds = iter(event["e"] for event in self.events)
            assert all(word in kinds for word in words), [event["e"] for event in self.events]
        elif verb == "WAIT":
            self.wait(int(words[0].removesuffix("s")))
        elif verb in REQUESTS:
            self.request(verb, words[:-1], words[-1])
        else:
            self.feed(verb, words)

    def apply(self, kind: str, body: dict[str, Any], ts_us: int, session: str = "") -> None:
        """Apply one entry, founding the venue before the first, and keep its events and post-images."""
        if self.venue is None:
            body_first = {"markets": self.markets, **self.venue_set}
            self.venue = self.found(body_first)
        self.events = self.venue.apply(kind, body, ts_us, session)
        for event in self.events:
            if event["e"] == "account_changed":
                self.images[f"A{event['account'] - 99}"] = event
            elif event["e"] == "position_changed":
                self.images[f"P{event['position_id'] - 99}"] = event
            elif event["e"] in ("order_changed", "closed_order"):
                self.images[f"O{event['order_id']}"] = {**event, "closed": event.get("reason", "-")}

    def expect(self, name: str, values: dict[str, Any]) -> None:
        """Compare the newest post-image of an account, position or order with what is expected."""
        image = self.images.get(name, {})
        for key, value in values.items():
            shown = image.get(key)
            if isinstance(shown, dict):
                shown = shown["price_trigger"]
            assert shown == value, f"{key} is {shown}"

    def wait(self, seconds: int) -> None:
        """Let log time pass, tick by tick."""
        for _ in range(seconds):
            self.ts_us += SECOND_US
            self.apply("clock_tick", {}, self.ts_us)

    def feed(self, verb: str, words: list[str]) -> None:
        """Carry out a line of the feed, or one raw entry."""
        session = f"session{self.sessions}"
        event_us = self.ts_us - 50_000
        self.updates += 1
        if verb == "FEED":
            self.sessions += words[0] == "up"
            body: dict[str, Any] = {"status": words[0], "source": "simulated"}
            self.apply("feed_status", body, self.ts_us, f"session{self.sessions}")
        elif verb == "QUOTE":
            bid, ask = words[1].split("/")
            body = {"A": "1", "B": "1", "E": event_us, "T": event_us, "a": ask, "b": bid, "e": "bookTicker",
                    "s": words[0], "u": self.updates}  # fmt: skip
            self.apply("price_update", body, self.ts_us, session)
        elif verb == "MARK":
            body = {"E": event_us + self.updates, "T": event_us, "e": "markPrice", "f": "0", "i": words[1],
                    "n": START_US // 1000 + 3_600_000, "p": words[1], "s": words[0]}  # fmt: skip
            self.apply("mark_update", body, self.ts_us, session)
        else:
            assert verb == "ENTRY", f"no such verb: {verb}"
            self.apply(words[0], json.loads(words[1]), self.ts_us)
            assert self.events == [], self.events
            self.codes.append(words[-1])

    def request(self, verb: str, words: list[str], expected: str) -> None:
        """Send one instruction and compare its one answer."""
        self.requests += 1
        plain = [word for word in words if "=" not in word or word[0] in "@"]
        values = values_read([word for word in words if "=" in word])
        off_us = int(str(values.pop("ts", "0s")).removesuffix("s")) * SECOND_US
        request_id = self.request_id(values.pop("as", None))
        op, keys = body_of(verb, plain)
        account = 0 if verb == "OPEN" else id_of(plain[0])
        body = {"v": 1, "account": account, "request_id": request_id, "op": op, **keys, **values}
        self.apply("user_instruction", body, self.ts_us + off_us)
        answers = [event for event in self.events if event["e"] == "order_response"]
        assert len(answers) == 1, self.events
        self.codes.append(answers[0]["result"])
        assert answers[0]["result"] == expected, f"answered {answers[0]['result']}"

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


def body_of(verb: str, words: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the operation and the keys that the bare words of a line stand for."""
    if verb == "OPEN":
        return "account_open", {"owner": f"{id_of(words[0]):032x}"}
    if verb == "ORDER_PLACE":
        _, market, side, qty, _, price, *tif = words
        keys: dict[str, Any] = {"market": market, "side": side.lower()}
        keys.update({"kind": "market", "qty": qty} if price == "market" else {"kind": "limit", "qty": qty})
        keys.update({} if price == "market" else {"price": price})
        return "order_place", keys | ({"tif": tif[0]} if tif else {})
    if verb == "TRADE_CREATE":
        return "trade_create", {"market": words[1], "side": words[2].lower(), "leverage": int(words[3][1:])}
    if verb == "CANCEL_ALL":
        return "orders_cancel", {"market": words[1]} if len(words) > 1 else {}
    if verb == "CANCEL":
        return "order_cancel", {"order_id": id_of(words[1])} if len(words) > 1 else {}
    if verb == "SEND":
        return "", {}
    return {"TRADE_CLOSE": "trade_close", "TRIGGERS": "position_triggers_set"}[verb], {"position_id": id_of(words[1])}
