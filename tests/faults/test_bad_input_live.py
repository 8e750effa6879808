"""
Wrong input to a running venue, at both of its doors: entries appended straight to the log, requests to the gateway.

Each is answered by name or counted; the book of record stays as it was (a machine of our own reads the log entry by
entry and hashes it); no process stops; log time does not run away; trading goes on.
"""

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine import core
from engine.ingest import BATCH_MAX, Machine
from gateway.errors import ERRORS
from shared.streams import Entry
from tests.corpus import MARKET, Case, Fields, World, all_cases
from tests.faults.http_rubbish import RAW, Foreign, all_wrong
from tests.faults.recomputed import venue_recompute
from tests.faults.venue_client import Trader, Venue, eventually, venue_running

ACCEPTED_ID = "ab" * 16
HOLD_FRAMES_US = 1_700_000_000_000_000
CODES_OF_THE_HOUSE = ("LOG_UNAVAILABLE", "UNAVAILABLE", "INTERNAL", "RATE_LIMITED")
REPEATS = 5
TIME_BRINGS = ("candle", "funding_settled")  # by log time alone, at any entry; the rate is 0, so nobody pays
NOBODY = 10**9  # an account that never was


class House(NamedTuple):
    """A venue with two traders who each have an order and a ticket."""

    venue: Venue
    traders: list[Trader]
    orders: list[int]
    positions: list[int]
    accepted: dict[str, Any]
    pids: dict[str, int]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a venue whose only quote stands still at the price that the corpus was written for."""
    folder = tmp_path_factory.mktemp("bad_input")
    recording = folder / "still.jsonl"
    data = {"A": "1", "B": "1", "E": HOLD_FRAMES_US, "T": HOLD_FRAMES_US, "a": "65000.1", "b": "65000.0"}
    frame = {"data": {**data, "e": "bookTicker", "s": MARKET, "u": 1}, "stream": f"bookTicker.{MARKET}"}
    recording.write_text(json.dumps(frame) + "\n")
    with venue_running(folder, "--feed", str(recording), "--hold") as venue:
        eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh price")
        traders = venue.traders_open(2)
        orders, positions = [], []
        for trader in traders:
            resting = {"market": MARKET, "side": "buy", "kind": "limit", "qty": "0.001", "price": "64000.0"}
            placed = venue.call("POST", "/api/v1/trade/order", {**resting, "client_order_id": "mine-1"}, trader)
            orders.append(placed.body["order_id"])
            ticket = {"market": MARKET, "side": "buy", "qty": "0.002", "leverage": 5}
            positions.append(venue.call("POST", "/api/v1/trade/create", ticket, trader).body["position_id"])
        accepted = {"op": "orders_cancel", "market": "ETH_USDC_PERP"}
        envelope = {"v": 1, "account": traders[0].account, "request_id": ACCEPTED_ID, **accepted}
        fields = [(b"ts", b"%d" % now_us()), (b"user_instruction", json.dumps(envelope).encode())]
        entry_append(venue, fields)
        yield House(venue, traders, orders, positions, accepted, venue.pids())


def now_us() -> int:
    """Return the wall clock in microseconds."""
    return time.time_ns() // 1_000


def entry_append(venue: Venue, fields: Fields) -> int:
    """Append an entry past every guard of ours; return its seq."""
    client = venue.redis()
    try:
        words = [part for pair in fields for part in pair]
        stream_id = client.execute_command("XADD", venue.keys.log, "NOMKSTREAM", "*", *words)
        return int(stream_id.rpartition(b"-")[2])
    finally:
        client.close()


def world_now(house: House) -> World:
    """Return the world of the corpus as it stands now."""
    ids = (house.orders[0], house.positions[0], house.orders[1], house.positions[1])
    return World(now_us(), house.traders[0].account, *ids, ACCEPTED_ID, house.accepted)


def time_alone(entry: Entry, seq: int) -> Entry:
    """Return an entry of the same time that changes nothing: an instruction of nobody, which is refused."""
    stamp = next(pair for pair in entry.fields if pair[0] == b"ts")
    body = {"v": 1, "account": NOBODY, "request_id": f"{seq:032x}", "op": "orders_cancel"}
    return Entry(seq, [stamp, (b"user_instruction", json.dumps(body).encode())])


def entries_apply(machine: Machine, entries: list[Entry]) -> None:
    """Apply entries behind what the machine has read, under the numbers that come next there."""
    for first in range(0, len(entries), BATCH_MAX):
        part = entries[first : first + BATCH_MAX]
        machine.load([entry._replace(seq=machine.seq + number) for number, entry in enumerate(part, 1)])
        while machine.step() is not None:
            pass


def log_walk(house: House, last_seq: int, wrong: set[int]) -> Counter[str]:
    """
    Read the log anew, entry by entry, and assert that the wrong ones leave the book of record as it was.

    What the passing of time brings (a candle, a funding) is told apart: before each wrong entry that was answered, and
    so has a time, the machine reads one of the same time that changes nothing. Returns counts.
    """
    machine = Machine()
    entries = [entry for entry in house.venue.log_read() if entry.seq <= last_seq]
    answered = {one.seq for one in house.venue.happened(min(wrong)) if one.event["e"] == "order_response"}
    entries_apply(machine, entries[: min(wrong) - 1])
    counts: Counter[str] = Counter()
    states = machine.states
    head = states[0]["header"]
    for entry in entries[min(wrong) - 1 :]:
        if entry.seq in wrong and entry.seq in answered:
            entries_apply(machine, [time_alone(entry, machine.seq + 1)])
        before = core.hashes(states)[1] if entry.seq in wrong else ""
        entries_apply(machine, [entry])
        lead_us = int(head["log_time_us"]) - int(head["tick_time_us"])
        assert lead_us <= 2_000_000, f"log time runs ahead at {entry.seq}: {entry.fields}"
        if entry.seq in wrong:
            counts["entries"] += 1
            assert core.hashes(states)[1] == before, f"{entry.seq} changed the book: {str(entry.fields)[:300]}"
    assert machine.invariants_broken() == []
    return counts


def still_trading(house: House) -> int:
    """Assert that nothing has stopped, that log time is now, and that a trade goes through; return its seq."""
    venue = house.venue
    assert venue.pids() == house.pids
    for name in house.pids:
        assert Path(f"/proc/{house.pids[name]}").exists(), name
    for name in ("gateway", "engine", "persister", "poller"):
        assert not [line for line in venue.log_lines(name) if line["level"] in ("error", "critical")], name
    ticket = {"market": MARKET, "side": "sell", "margin": "10", "leverage": 5}
    opened = venue.call("POST", "/api/v1/trade/create", ticket, house.traders[0])
    assert opened.status == 200, opened
    assert opened.body["log_time_us"] - now_us() < 3_000_000
    closed = venue.call("POST", "/api/v1/trade/close", {"position_id": opened.body["position_id"]}, house.traders[0])
    assert closed.status == 200, closed
    return int(closed.body["seq"])


@pytest.mark.timeout(240)
def test_every_wrong_entry_is_named(house: House) -> None:
    """Each entry of the corpus, appended straight to the live log, gets its code and changes nothing."""
    venue, cases = house.venue, all_cases()
    assert len(cases) >= 300
    sent: dict[int, Case] = {}
    nothing = 0
    for number, case in enumerate(cases):
        fields = case.fields(world_now(house), f"{0x100000 + number:032x}")
        if not fields:
            nothing += 1  # Redis itself refuses an entry without fields
            continue
        sent[entry_append(venue, fields)] = case
    last_seq = max(sent)
    eventually(lambda: venue.applied(last_seq), "the engine has read it all")
    again = venue_recompute(venue)
    answers: dict[int, list[str]] = {}
    foreign = []
    for one in venue.happened(min(sent)):
        if one.seq in sent and one.event["e"] == "order_response":
            answers.setdefault(one.seq, []).append(one.event["result"])
        elif one.seq in sent and one.event["e"] not in TIME_BRINGS:
            foreign.append((sent[one.seq].name, one.event))
    assert not foreign
    wrong = []
    for seq, case in sent.items():
        expected = [] if case.code == "RECORD_MALFORMED" else [case.code]
        if answers.get(seq, []) != expected:
            wrong.append(f"{case.name}: {answers.get(seq)}, expected {expected}")
    assert not wrong, "\n".join(wrong)
    assert again.machine.seq >= last_seq
    counts = log_walk(house, last_seq, set(sent))
    traded_seq = still_trading(house)
    with pytest.raises(AssertionError, match="changed the book"):
        log_walk(house, traded_seq, {traded_seq})  # the hash sees what a sound instruction does
    print(f"\n{len(sent)} wrong entries in the live log ({nothing} refused by Redis itself): {dict(counts)}")


@pytest.mark.timeout(240)
def test_every_wrong_request_is_named(house: House) -> None:
    """Each wrong request gets an error of the table, at once; what of it reaches the log changes nothing."""
    venue, trader = house.venue, house.traders[0]
    first_seq = venue.log_tip() + 1
    foreign = Foreign(house.orders[1], house.positions[1], house.positions[0])
    cases = all_wrong(foreign)
    seen: Counter[str] = Counter()
    faults = []
    for case in cases:
        signed = None if "Authorization" in case.headers else trader
        headers = {name: text.encode().decode("latin-1") for name, text in case.headers.items()}
        answer = venue.call(case.method, case.path, case.body, signed, headers)
        code = answer.body.get("code")
        seen[str(code)] += 1
        named = code in ERRORS and answer.status == ERRORS[code].status and answer.body.get("request_id")
        if code not in case.codes or not named or answer.took_s > 2:
            faults.append(f"{case.name}: {answer.status} {answer.body} after {answer.took_s:.1f} s")
    assert not faults, "\n".join(faults)
    assert not set(seen) & set(CODES_OF_THE_HOUSE)
    venue_recompute(venue)
    entries = venue.log_read(first_seq)
    reached = {entry.seq for entry in entries if entry.fields[-1][0] == b"user_instruction"}
    counts = log_walk(house, entries[-1].seq, reached)
    still_trading(house)
    print(f"\n{len(cases)} wrong requests, {len(seen)} codes; {dict(counts)} reached the log")


def test_what_is_not_even_http(house: House) -> None:
    """Bytes that are no HTTP, and requests that stop in the middle, cost a connection and nothing else."""
    host, port = house.venue.url.removeprefix("http://").split(":")
    seen: Counter[str] = Counter()
    for data in RAW * REPEATS:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.settimeout(0.05)
            try:
                connection.sendall(data)
                answer = connection.recv(64)
            except (TimeoutError, ConnectionResetError, BrokenPipeError) as error:
                answer = type(error).__name__.encode()
            seen[answer.split(b"\r\n")[0].decode()] += 1
            assert data.startswith(b"GET / ") or not answer.startswith(b"HTTP/1.1 2"), data[:60]
    still_trading(house)
    print(f"\n{seen.total()} times no HTTP: {dict(seen)}")
