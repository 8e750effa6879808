"""The storm as the suite runs it: a small recording made here, twenty accounts, every process killed."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from shared.streams import Entry, EventsEntry, event_id
from tests.faults import storm, storm_rows
from tests.faults import storm_checks as checks
from tests.faults.storm_clients import NOT_ACCEPTED, Ack
from tests.faults.storm_wishes import MARKET

QUOTES = 2_500
GAP_US = 15_000  # 37 s, played in 9
FIRST_US = 1_700_000_000_000_000
FIRST_ID = 5_000_000
REQUEST = "ab" * 16
CLOSED = {"e": "closed_order", "account": 100, "order_id": 5}


def recording_make(path: Path, seed: int) -> Path:
    """Write a seeded walk of quotes that moves far enough for triggers and liquidations."""
    chance = random.Random(seed)
    ticks = 600_000
    with path.open("w") as file:
        for index in range(QUOTES):
            ticks += round(chance.gauss(0, 150))
            bid, ask = ticks, ticks + chance.randint(1, 3)
            time_us = FIRST_US + index * GAP_US
            data = {"A": "2.510", "B": "2.507", "E": time_us, "T": time_us, "a": f"{ask / 10:.1f}",
                    "b": f"{bid / 10:.1f}", "e": "bookTicker", "s": MARKET, "u": FIRST_ID + 3 * index}  # fmt: skip
            file.write(json.dumps({"data": data, "stream": f"bookTicker.{MARKET}"}) + "\n")
    return path


@pytest.mark.timeout(180)  # outages may follow one another
def test_a_storm_leaves_no_difference(tmp_path: Path) -> None:
    """After kills of every process, answers, events, rows, views and state all tell the same story."""
    feed = recording_make(tmp_path / "walk.jsonl", seed=7)
    options = storm.Options(feed, 4.0, 20, 7, storm.KILLS_SHORT, 0.15, print)
    result = storm.storm_run(options, tmp_path)
    assert not result["problems"], "\n".join(result["problems"])
    assert len(result["kills"]) == sum(storm.KILLS_SHORT.values())
    assert result["accepted"] > 50
    assert result["rows"]["closed_orders"] > 50


def log_make(count: int) -> checks.Log:
    """Return a log whose entries 1 … count are the same instruction, sent again and again."""
    body = json.dumps({"v": 1, "account": 100, "request_id": REQUEST, "op": "order_place"}).encode()
    return checks.Log([Entry(seq, [(b"ts", b"%d" % seq), (b"user_instruction", body)]) for seq in range(1, 1 + count)],
                      MARKET)  # fmt: skip


def events_make(*results: str, previous: bytes | None = None) -> checks.Events:
    """Return events in which entry 1, 2 … of that log has these results."""
    entries, last = [], previous or b"0-0"
    for seq, result in enumerate(results, 1):
        event = {"e": "order_response", "account": 100, "request_id": REQUEST, "op": "order_place", "result": result}
        entries.append(EventsEntry(seq, 0, seq, last, b"100", json.dumps([event, CLOSED]).encode()))
        last = event_id(seq, 0)
    return checks.Events(entries)


def ack_make(code: str, seq: int, ts_us: int = 1, status: int = 200) -> Ack:
    """Return an answer to a sending of that instruction."""
    return Ack(100, REQUEST, ts_us, status, code, seq, False, {})


def test_the_checks_believe_the_truth() -> None:
    """An accepted instruction, its repeat and a client that was told so give no difference."""
    log, events = log_make(2), events_make("OK", "REQUEST_REPEATED")
    assert not checks.responses_check(log, events)
    assert not checks.acks_check([ack_make("OK", 1)], log, events)
    stored = {"seq": 1, "response": {"result": "OK"}}
    assert checks.outcomes_expected(log, events) == {(100, REQUEST): (1, {"REQUEST_REPEATED"})}
    assert not checks.outcome_check((100, REQUEST), (1, set()), stored)


def test_the_checks_find_lies() -> None:
    """A missing, doubled or foreign response, a broken chain and every kind of false answer are found."""
    log, events = log_make(2), events_make("OK", "REQUEST_REPEATED")
    assert checks.responses_check(log, events_make("OK"))
    assert checks.responses_check(log, events_make("OK", "OK"))
    assert checks.responses_check(log_make(1), events)
    assert checks.responses_check(log, events_make("OK", "REQUEST_REPEATED", previous=b"7-0"))
    lies = (
        ack_make("OK", 2),  # the acceptance was at 1
        ack_make("PRICE_STALE", 1, status=409),  # it was no refusal
        ack_make(NOT_ACCEPTED, 0),
        ack_make("LOG_UNAVAILABLE", 0, status=503),  # the log has that sending
    )
    for lie in lies:
        assert checks.acks_check([ack_make("OK", 1), lie], log, events), lie
    assert checks.acks_check([ack_make("UNKNOWN", 0, status=202)], log, events), "accepted, and never heard"
    assert checks.outcome_check((100, REQUEST), (1, set()), None)
    assert checks.outcome_check((100, REQUEST), (1, set()), {"seq": 2, "response": {"result": "OK"}})


def test_the_checks_find_wrong_rows_and_views() -> None:
    """A row too many, missing, different or doubled is found; so is a position that a view lacks or misstates."""
    table = storm_rows.TABLES[0]
    right: tuple[Any, ...] = (100, 5, 1, CLOSED)
    assert not storm_rows.differences(table, [right], events_make("OK"))
    assert storm_rows.differences(table, [], events_make("OK"))
    assert storm_rows.differences(table, [right, right], events_make("OK"))
    assert storm_rows.differences(table, [right, (100, 6, 1, CLOSED)], events_make("OK"))
    assert storm_rows.differences(table, [(100, 5, 1, {**CLOSED, "order_id": 6})], events_make("OK"))
    assert storm_rows.differences(table, [right], events_make("OK", "OK")), "the same order closed twice"
    wanted = {"account": {"free": "1.000000"}, "position:3": {"qty": "1", "take_profit": 0, "stop_loss": 9}}
    shown = {"seq": "8", "account": '{"free":"1.000000"}', "position:3": '{"qty":"1","stop_loss":{"order_id":9}}'}
    assert not checks.view_check(100, wanted, shown)
    assert checks.view_check(100, wanted, {**shown, "order:4": "{}"})
    assert checks.view_check(100, wanted, {**shown, "account": '{"free":"2.000000"}'})
    assert checks.view_check(100, {"account": wanted["account"]}, shown)
    assert checks.view_check(100, wanted, {"account": shown["account"]})
