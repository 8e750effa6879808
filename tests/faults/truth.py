"""
What traders were told, against what the venue's streams, views and history say afterwards: no answer may be a lie.
"""

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from engine import core
from shared.codes import ACCOUNT_FIRST
from shared.database import DatabaseDown
from tests.faults.recomputed import Recomputed
from tests.faults.venue_client import Answer, Trader, Venue, eventually

MARKET = "BTC_USDC_PERP"
PAUSE_S = 0.05
CERTAIN_S = 20.0  # log time must pass ts + 5 s before NOT_ACCEPTED can be said, and the venue may still recover


class Told(NamedTuple):
    """One instruction and what its sender was told."""

    trader: Trader
    at_s: float
    path: str
    answer: Answer


class Crowd:
    """Traders who open and close, place and cancel, one after the other, and remember every answer."""

    def __init__(self, venue: Venue, traders: list[Trader]) -> None:
        self.venue = venue
        self.traders = traders
        self.told: list[Told] = []
        self.torn: list[str] = []
        self.stopping = threading.Event()

    def trade(self, trader: Trader) -> None:
        """Trade until asked to stop."""
        ticket = {"market": MARKET, "side": "buy", "margin": "5", "leverage": 3}
        resting = {"market": MARKET, "side": "buy", "kind": "limit", "qty": "0.0001"}
        for number in itertools.count():
            if self.stopping.is_set():
                return
            if number % 2:
                bid = self.bid()
                if bid:
                    price = f"{int(bid * Decimal('0.97'))}"
                    placed = self.send(trader, "POST", "/api/v1/trade/order", {**resting, "price": price})
                    if placed is not None and placed.status == 200:
                        self.send(trader, "DELETE", f"/api/v1/trade/order/{placed.body['order_id']}")
            else:
                opened = self.send(trader, "POST", "/api/v1/trade/create", ticket)
                if opened is not None and opened.status == 200:
                    body = {"position_id": opened.body["position_id"]}
                    self.send(trader, "POST", "/api/v1/trade/close", body)
            time.sleep(PAUSE_S)

    def bid(self) -> Decimal:
        """Return the bid the venue shows, 0 while it shows none."""
        try:
            return Decimal(self.venue.ticker(MARKET).get("bid", "0"))
        except (OSError, http.client.HTTPException):
            return Decimal(0)

    def send(self, trader: Trader, method: str, path: str, body: Any = None) -> Answer | None:
        """Send one instruction and remember the answer; a connection without one is remembered too."""
        try:
            answer = self.venue.call(method, path, body, trader)
        except (OSError, http.client.HTTPException) as error:
            self.torn.append(f"{path}: {type(error).__name__} {error}")
            return None
        self.told.append(Told(trader, time.monotonic(), path, answer))
        return answer

    def since(self, begin_s: float, end_s: float = float("inf")) -> list[Answer]:
        """Return the answers to what was sent after one moment and answered before another."""
        return [told.answer for told in self.told if begin_s <= told.at_s - told.answer.took_s and told.at_s <= end_s]

    def answered(self, begin_s: float, end_s: float) -> list[Answer]:
        """Return what was answered between two moments."""
        return [told.answer for told in self.told if begin_s <= told.at_s <= end_s]

    def accepted_since(self, begin_s: float) -> int:
        """Return how many instructions sent since then were carried out."""
        return sum(answer.status == 200 for answer in self.since(begin_s))


@contextmanager
def crowd_trading(venue: Venue, traders: list[Trader]) -> Iterator[Crowd]:
    """Let traders trade while the body runs, then check every word they were told."""
    crowd = Crowd(venue, traders)
    threads = [threading.Thread(target=crowd.trade, args=(trader,)) for trader in traders]
    for thread in threads:
        thread.start()
    try:
        yield crowd
    finally:
        crowd.stopping.set()
        for thread in threads:
            thread.join()
    assert not crowd.torn, crowd.torn[:5]
    truth_check(crowd)


class Record(NamedTuple):
    """What the streams say of every request."""

    entries: dict[tuple[int, str], list[int]]  # seqs of the instruction in the log
    results: dict[tuple[int, str], list[tuple[int, str]]]  # (seq, result) of its answers


def record_read(venue: Venue) -> Record:
    """Return the record as it stands at the log's end."""
    record = Record({}, {})
    entries = venue.log_read()
    tip = entries[-1].seq
    for entry in entries:
        name, value = entry.fields[-1]
        if name == b"user_instruction":
            body = orjson.loads(value)
            record.entries.setdefault((body["account"], body["request_id"]), []).append(entry.seq)
    eventually(lambda: venue.applied(tip), "the engine applies the log's end")
    events_until(venue, tip)
    for one in venue.happened():
        if one.event["e"] == "order_response":
            key = (one.event["account"], one.event["request_id"])
            record.results.setdefault(key, []).append((one.seq, one.event["result"]))
    return record


def events_until(venue: Venue, seq: int) -> None:
    """Wait until the engine has nothing left to publish of what it has applied up to an entry."""

    def kept_none() -> bool:
        with venue.streams() as streams:
            beat = streams.get_json(venue.keys.process("engine"))
        return isinstance(beat, dict) and beat["seq"] >= seq and beat["kept"] == 0

    eventually(kept_none, "everything is published")


def truth_check(crowd: Crowd) -> None:
    """Assert that every answer is what the streams say, and that every UNKNOWN can be resolved, truly."""
    unknown = [told for told in crowd.told if told.answer.status == 202]
    statuses = {told.answer.body["request_id"]: resolve(crowd.venue, told) for told in unknown}
    record = record_read(crowd.venue)
    for told in crowd.told:
        body, status = told.answer.body, told.answer.status
        key = (told.trader.account, body["request_id"])
        results = record.results.get(key, [])
        assert len(results) == len(record.entries.get(key, [])) <= 1, f"{told}: {results}"
        if status == 200:
            assert results == [(int(body["seq"]), "OK")], f"{told}: {results}"
        elif status == 202:
            came = "NOT_ACCEPTED" if not results else "ACCEPTED" if results[0][1] == "OK" else "REFUSED"
            said = statuses[body["request_id"]]
            # A refusal is an answer to "was it accepted" as well: it was not and never will be.
            assert said == came or {said, came} == {"NOT_ACCEPTED", "REFUSED"}, f"{told}: {said}, in truth {results}"
        elif "seq" in body:
            assert results == [(int(body["seq"]), body["code"])], f"{told}: {results}"
        else:
            assert not results, f"{told} was told that nothing happened: {results}"


def resolve(venue: Venue, told: Told) -> str:
    """Return what the venue says became of an UNKNOWN, once it can say."""
    body = told.answer.body
    path = f"/api/v1/requests/{body['request_id']}?ts={body['ts']}"
    said: list[str] = []

    def certain() -> bool:
        answer = venue.call("GET", path, None, told.trader)
        said.append(str(answer.body.get("status", answer.body.get("code"))))
        return said[-1] in ("ACCEPTED", "REFUSED", "NOT_ACCEPTED", "OUTCOME_EXPIRED")

    eventually(certain, f"{path} is resolved", CERTAIN_S, 0.1)
    return said[-1]


def statuses_of(answers: Iterable[Answer]) -> Counter[str]:
    """Return how often each status, with its code, was the answer."""
    return Counter(f"{answer.status} {answer.body.get('code', answer.body.get('result', ''))}" for answer in answers)


# --- views and history ------------------------------------------------------------------------------------------------

HISTORIES = {
    "closed_order": ("closed_orders", "account_id, order_id", ("account", "order_id")),
    "closed_position": ("closed_positions", "account_id, position_id", ("account", "position_id")),
    "fill": ("fills", "account_id, fill_id", ("account", "fill_id")),
}


def history_check(venue: Venue) -> dict[str, int]:
    """Wait until the history has caught up; assert that it holds each event exactly once; return the counts."""
    happened = venue.happened()
    last = happened[-1].seq
    cursor = "SELECT seq FROM persister_cursor WHERE venue = $1"

    def caught_up() -> bool:
        try:
            rows = venue.rows(cursor, venue.keys.venue)
        except DatabaseDown:
            return False
        return bool(rows) and rows[0]["seq"] >= last

    eventually(caught_up, "history has caught up", 30.0, 0.2)
    counts = {}
    for kind, (table, columns, names) in HISTORIES.items():
        events = Counter(tuple(one.event[name] for name in names) for one in happened if one.event["e"] == kind)
        query = f"SELECT {columns} FROM {table} WHERE venue = $1 AND seq <= $2"
        rows = Counter(tuple(row.values()) for row in venue.rows(query, venue.keys.venue, last))
        assert rows == events, kind
        counts[table] = rows.total()
    query = "SELECT account_id, sum(amount)::text AS total FROM ledger WHERE venue = $1 AND seq <= $2 GROUP BY 1"
    totals: dict[int, Decimal] = {}
    for one in happened:
        if one.event["e"] == "ledger":
            account = one.event["account"]
            totals[account] = totals.get(account, Decimal(0)) + Decimal(one.event["amount"])
    assert {row["account_id"]: Decimal(row["total"]) for row in venue.rows(query, venue.keys.venue, last)} == totals
    return counts


def views_check(venue: Venue, again: Recomputed) -> int:
    """
    Assert that every account's view is the state of a machine that read the log; return how many there are.

    The venue runs on: a view may show what time has brought since, a funding, and the machine then reads on to there.
    """
    states = again.machine.states
    accounts = [row["account_id"] for row in core.accounts_of(states) if row["account_id"] >= ACCOUNT_FIRST]
    for account in accounts:
        with venue.streams() as streams:
            view = streams.hash_read(venue.keys.view_account(account))
        again.read_on(venue, int(view["seq"]))
        row = core.account_of(states, account)
        assert row is not None
        said = orjson.loads(view["account"])
        assert Decimal(said["free"]) * 10**6 == row["free_e6"], account
        assert Decimal(said["reserved"]) * 10**6 == row["reserved_e6"], account
        for name, found in (("position", core.positions_of), ("order", core.orders_of)):
            ids = {int(key.partition(":")[2]) for key in view if key.startswith(f"{name}:")}
            assert ids == {one[f"{name}_id"] for one in found(states, account)}, f"{name}s of {account}"
    return len(accounts)
