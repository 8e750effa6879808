"""
The order calculator against hostile histories: it never fails, and where it calls nothing an estimate it is right.

The histories are those that the engine and the twin are compared on: every configuration, cross and isolated, the
venue's edges, orders of every kind with something wrong in them.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.preview.question import Question
from tests.preview_house import House, Worker
from tests.property.entries import START_US, WITH_SESSION, Entry
from tests.property.histories import History, genesis_body
from tests.property.venues import TwinVenue

OPS = ("order_place", "trade_create", "trade_close", "position_reverse", "margin_change")
ENVELOPE = ("v", "account", "request_id", "op")
QUANTITIES = ("qty", "quote_qty", "close_percent", "margin")
ENTRIES = 150
# What a calculation is not asked about: whether the request is known, its own time, how full the whole venue is, and
# how much time passes unseen before it is sent.
BESIDE = ("REQUEST_", "INSTRUCTION_", "ORDER_SLOTS", "POSITION_SLOTS", "PRICE_STALE")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A calculator's worker."""
    running = Worker()
    yield running
    assert running.end() == 0


def question_of(house: House, entry: Entry, beside: dict[str, Any] | None = None) -> Question | None:
    """Return what a gateway would ask about an entry, None when it is nothing to ask about or of a wrong shape."""
    body = entry.body
    known = "account" in house.views.get(body.get("account", 0), {}) if entry.kind == "user_instruction" else False
    if not known or body.get("op") not in OPS:
        return None
    fields = {name: value for name, value in body.items() if name not in ENVELOPE}
    try:
        return house.question(body["account"], {"op": body["op"], "body": fields} | (beside or {}), entry.ts_us)
    except (Refusal, LookupError):
        return None


def differences(said: dict[str, Any], events: list[dict[str, Any]], account_id: int) -> list[str]:
    """Return what was said and did not come; [] when nothing can be compared."""
    kinds = [event["e"] for event in events]
    at = kinds.index("order_response") if "order_response" in kinds else 0
    response = events[at] if at or kinds[:1] == ["order_response"] else {"result": "REQUEST_"}
    if response["result"].startswith(BESIDE) or any(event.get("account") == account_id for event in events[:at]):
        return []
    if said["result"] != response["result"]:
        return [f"{said['result']} is {response['result']}"]
    mine = [event for event in events[at:] if event.get("account") == account_id]
    found = []
    balances = [event for event in mine if event["e"] == "account_changed"]
    if balances and said["balance_after"] != {name: balances[-1][name] for name in ("free", "reserved")}:
        found.append(f"{said['balance_after']} is {balances[-1]}")
    fills = [event for event in mine if event["e"] == "fill" and event["order_id"] == response.get("order_id")]
    if fills and "price_assumed" not in said:
        found += [
            f"{name} {said.get(name)} is not that of {fills}"
            for name in ("qty", "notional", "fee", "pnl_realised")
            if Fraction(said.get(name, "-1")) != sum(Fraction(fill[name]) for fill in fills)
        ]
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [3, 7, 28, 30, 32, 59, 78, 95])
def test_hostile_instructions_are_calculated_right(worker: Worker, seed: int) -> None:
    """Of a hostile history every question is answered, and what is no estimate comes true to the last digit."""
    first = genesis_body(seed)
    settings = {name: value for name, value in first.items() if name != "markets"}
    twin = TwinVenue(first, START_US)
    house = House(first["markets"], 0, START_US, **settings)
    seen: Counter[str] = Counter()
    for entry in History(seed, twin).entries(ENTRIES):
        question = question_of(house, entry)
        said = worker.ask(question) if question is not None else None
        twin.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        fields = [(entry.kind.encode(), json.dumps(entry.body, separators=(",", ":")).encode())]
        if entry.kind in WITH_SESSION:
            fields.insert(0, (b"session", entry.session.encode()))
        events = house.taken(house.engine.apply_raw(fields, entry.ts_us))
        if said is None:
            continue
        assert "failure" not in said, (str(entry), said)
        wrong = differences(said, events, entry.body["account"])
        assert said["estimate"] or not wrong, (str(entry), wrong)
        seen["estimates" if said["estimate"] else "exact"] += 1
        seen["right"] += not wrong
    assert seen["right"] >= 10


def sized_of(house: House, entry: Entry, choice: random.Random) -> Question | None:
    """Return the same question with a size in place of its quantity, None when there is none to ask."""
    if entry.body.get("op") not in OPS[:2]:
        return None
    body = {name: value for name, value in entry.body.items() if name not in QUANTITIES}
    size = choice.choice([{"percent": "1"}, {"percent": "37"}, {"percent": "100"}, {"usd": "0.5"}, {"usd": "4321"}])
    return question_of(house, replace(entry, body=body), {"size": size})


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [28, 59])
def test_hostile_instructions_are_sized(worker: Worker, seed: int) -> None:
    """Of a hostile history every question that states a size is answered, and what it comes to is calculated right."""
    first = genesis_body(seed)
    settings = {name: value for name, value in first.items() if name != "markets"}
    twin = TwinVenue(first, START_US)
    house = House(first["markets"], 0, START_US, **settings)
    choice = random.Random(seed)
    seen: Counter[str] = Counter()
    for entry in History(seed, twin).entries(ENTRIES):
        asked = sized_of(house, entry, choice)
        if asked is not None:
            said = worker.ask(asked)
            assert "failure" not in said, (str(entry), said)
            qty = said.pop("size", {}).get("qty")
            if qty is not None:
                asked.fields, asked.size = asked.fields | {"qty": qty}, None
                assert worker.ask(asked) == said, str(entry)
                seen["calculated"] += said["result"] == "OK"
        twin.apply(entry.kind, entry.body, entry.ts_us, entry.session)
        fields = [(entry.kind.encode(), json.dumps(entry.body, separators=(",", ":")).encode())]
        if entry.kind in WITH_SESSION:
            fields.insert(0, (b"session", entry.session.encode()))
        house.taken(house.engine.apply_raw(fields, entry.ts_us))
    assert seen["calculated"] >= 3
