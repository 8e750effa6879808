"""What must be true after the storm: answers, events, rows and views compared with one another and with a replay."""

import collections
from typing import Any, NamedTuple

import orjson

from engine import core
from engine.ingest import BATCH_MAX, Machine
from engine.views import text_of
from shared import units
from shared.codes import ACCOUNT_FIRST
from shared.streams import Entry, EventsEntry, event_id
from tests.faults.storm_clients import NO_ANSWER, NOT_ACCEPTED, OK, UNKNOWN, Ack

REPEATED = "REQUEST_REPEATED"


class Instruction(NamedTuple):
    """An instruction as it stands in the log."""

    account: int
    request_id: str
    op: str
    ts_us: int


class Log:
    """What the log says."""

    def __init__(self, entries: list[Entry], market: str) -> None:
        self.entries = entries
        self.instructions: dict[int, Instruction] = {}
        self.quotes: list[int] = []  # update ids of the market, in their order
        self.checkpoints: list[tuple[int, str]] = []  # seq and state hash
        for entry in entries:
            kind, body = entry.fields[-1]
            if kind == b"user_instruction":
                said = orjson.loads(body)
                ts_us = int(dict(entry.fields)[b"ts"])
                self.instructions[entry.seq] = Instruction(said["account"], said["request_id"], said["op"], ts_us)
            elif kind == b"price_update" and (quote := orjson.loads(body))["s"] == market:
                self.quotes.append(quote["u"])
            elif kind == b"checkpoint":
                said = orjson.loads(body)
                self.checkpoints.append((said["seq"], said["state_hash"]))


class Events:
    """What the events say; `broken` holds what is wrong with their chain."""

    def __init__(self, entries: list[EventsEntry]) -> None:
        self.broken: list[str] = []
        self.responses: dict[int, list[dict[str, Any]]] = collections.defaultdict(list)
        self.by_kind: dict[str, list[tuple[tuple[int, int, int], dict[str, Any]]]] = collections.defaultdict(list)
        previous = b"0-0"
        for entry in entries:
            if entry.previous != previous:
                self.broken.append(f"events {entry.seq}-{entry.chunk} follow {entry.previous!r}, not {previous!r}")
            previous = event_id(entry.seq, entry.chunk)
            for index, event in enumerate(orjson.loads(entry.data)):
                if event["e"] == "order_response":
                    self.responses[entry.seq].append(event)
                self.by_kind[event["e"]].append(((entry.seq, entry.chunk, index), event))


def machine_advance(machine: Machine, entries: list[Entry], seq: int) -> None:
    """Apply entries up to and with `seq`; a gap in their numbers is refused by the machine."""
    assert machine.seq <= seq
    while machine.seq < seq:
        first = machine.seq - entries[0].seq + 1
        machine.load(entries[first : first + min(BATCH_MAX, seq - machine.seq)])
        while machine.step() is not None:
            pass


def responses_check(log: Log, events: Events) -> list[str]:
    """Each instruction has one response, at its own entry, and each request was accepted at most once."""
    found = list(events.broken)
    accepted: collections.Counter[tuple[int, str]] = collections.Counter()
    for seq, instruction in log.instructions.items():
        answers = [(event["request_id"], event["op"]) for event in events.responses.get(seq, [])]
        if answers != [(instruction.request_id, instruction.op)]:
            found.append(f"entry {seq} ({instruction.op}) has the responses {events.responses.get(seq)}")
        elif events.responses[seq][0]["result"] == OK:
            accepted[instruction.account, instruction.request_id] += 1
    found += [f"request {request} was accepted {count} times" for request, count in accepted.items() if count > 1]
    found += [f"entry {seq} has a response and is no instruction" for seq in events.responses.keys() - log.instructions]
    return found


def acks_check(acks: list[Ack], log: Log, events: Events) -> list[str]:
    """Each answer that a client got is true."""
    found: list[str] = []
    sendings = {(item.account, item.request_id, item.ts_us) for item in log.instructions.values()}
    accepted = {
        (item.account, item.request_id)
        for seq, item in log.instructions.items()
        if [event["result"] for event in events.responses.get(seq, [])] == [OK]
    }
    told: dict[tuple[int, str], bool] = {}
    for ack in acks:
        request = ack.account, ack.request_id
        told[request] = told.get(request, False) or ack.accepted
        if ack.code in (UNKNOWN, NO_ANSWER):
            continue
        if ack.code == NOT_ACCEPTED:
            if request in accepted:
                found.append(f"{ack}: told not accepted, and it was")
        elif ack.seq:
            event = next(iter(events.responses.get(ack.seq, [])), {})
            said = ack.account, ack.request_id, ack.code
            if said != (event.get("account"), event.get("request_id"), event.get("result")):
                found.append(f"{ack}: entry {ack.seq} has {event}")
        elif (*request, ack.ts_us) in sendings:
            found.append(f"{ack}: told that nothing was accepted, and the log has it")
    found += [f"request {request} was accepted, its sender never heard" for request in accepted & told.keys()
              if not told[request]]  # fmt: skip
    return found


def outcomes_expected(log: Log, events: Events) -> dict[tuple[int, str], tuple[int, set[str]]]:
    """Return by request: the seq of its acceptance (0 none), and the results of its refusals."""
    expected: dict[tuple[int, str], tuple[int, set[str]]] = {}
    for seq, instruction in log.instructions.items():
        for event in events.responses.get(seq, []):
            request = event["account"], instruction.request_id
            accepted, refused = expected.get(request, (0, set()))
            if event["result"] == OK:
                expected[request] = seq, refused
            else:
                expected[request] = accepted, refused | {event["result"]}
    return expected


def outcome_check(request: tuple[int, str], expected: tuple[int, set[str]], stored: Any) -> list[str]:
    """The stored outcome of a request is its acceptance, else one of its refusals."""
    seq, refused = expected
    if stored is None:
        return [f"request {request} has no stored outcome"]
    said = stored["seq"], stored["response"]["result"]
    if said == (seq, OK) or (not seq and said[1] in refused - {REPEATED}):
        return []
    return [f"request {request}: stored {said}, in the events {expected}"]


def quotes_check(update_ids: frozenset[int], log: Log, view: dict[str, Any]) -> list[str]:
    """Every quote of the recording is in the log, and every one in the log was accepted or ignored with a reason."""
    found: list[str] = []
    missing = update_ids - set(log.quotes)
    if missing:
        found.append(f"{len(missing)} quotes of the recording are not in the log, such as {min(missing)}")
    judged = view["accepted"] + sum(view["ignored"].values())
    if judged != len(log.quotes):
        found.append(f"{len(log.quotes)} quotes in the log, {judged} in the engine's counters")
    return found


def market_view_check(live: dict[str, str], replayed: dict[str, Any]) -> list[str]:
    """The market view that the engine wrote equals the one of the replayed state; ranks stand beside it, some s old."""
    wanted = {name: text_of(value) for name, value in replayed.items()}
    live = {name: text for name, text in live.items() if not name.startswith("adl_")}
    return [f"market view: {name} is {live.get(name)}, replayed {wanted.get(name)}"
            for name in sorted(wanted.keys() | live.keys()) if live.get(name) != wanted.get(name)]  # fmt: skip


class Scales:
    """How the integers of the state are written."""

    def __init__(self, states: Any) -> None:
        rows = states[0]["markets"]
        self.by_market = {
            name: (int(rows[index]["config"]["tick_e12"]), int(rows[index]["config"]["lot_e12"]))
            for index, name in enumerate(core.markets_of(states))
        }

    def price(self, market: str, ticks: int) -> str:
        """Return a price as text."""
        tick_e12 = self.by_market[market][0]
        return units.decimal_text(ticks * tick_e12, units.decimals_of(tick_e12))

    def qty(self, market: str, lots: int) -> str:
        """Return a quantity as text."""
        lot_e12 = self.by_market[market][1]
        return units.decimal_text(lots * lot_e12, units.decimals_of(lot_e12))


def views_expected(states: Any) -> dict[int, dict[str, dict[str, Any]]]:
    """Return by account what its view must say, computed from the state itself and not from events."""
    scales = Scales(states)
    views: dict[int, dict[str, dict[str, Any]]] = {}
    for account in core.accounts_of(states):
        if account["account_id"] >= ACCOUNT_FIRST:
            free, reserved = units.money_text(account["free_e6"]), units.money_text(account["reserved_e6"])
            views[account["account_id"]] = {"account": {"free": free, "reserved": reserved}}
    for row in core.positions_of(states):
        if row["account_id"] >= ACCOUNT_FIRST:
            views[row["account_id"]][f"position:{row['position_id']}"] = {
                "market": row["market"],
                "kind": {1: "net", 2: "ticket"}[row["kind"]],
                "qty": scales.qty(row["market"], row["lots"]),
                "leverage": row["leverage"],
                "cost": units.money_text(row["cost_e6"]),
                "margin": units.money_text(row["margin_e6"]),
                "pnl_realised": units.money_text(row["pnl_e6"]),
                "fees": units.money_text(row["fees_e6"]),
                "opened_us": row["opened_us"],
                "take_profit": row["take_profit_id"],
                "stop_loss": row["stop_loss_id"],
            }
    for row in core.orders_of(states):
        order = {
            "market": row["market"],
            "side": row["side"],
            "kind": row["kind"],
            "status": row["status"],
            "qty_filled": scales.qty(row["market"], row["qty_filled_lots"]),
            "reserved": units.money_text(row["reserved_e6"]),
            "placed_us": row["placed_us"],
            "position_id": row["position_id"],
            "client_order_id": row["client_order_id"],
        }
        if row["price_trigger_ticks"]:
            order["price_trigger"] = scales.price(row["market"], row["price_trigger_ticks"])
        views[row["account_id"]][f"order:{row['order_id']}"] = order
    return views


def view_check(account_id: int, wanted: dict[str, dict[str, Any]], stored: dict[str, str]) -> list[str]:
    """An account's view has exactly the state's positions and orders, and says the same of each; calls are no state."""
    shown = {name: orjson.loads(text) for name, text in stored.items() if not name.startswith(("seq", "margin_call"))}
    found = [f"view of {account_id}: {name} is {'missing' if name in wanted else 'too much'}"
             for name in sorted(wanted.keys() ^ shown.keys())]  # fmt: skip
    for name in wanted.keys() & shown.keys():
        said = shown[name]
        for child in ("take_profit", "stop_loss"):
            if name.startswith("position:"):
                said[child] = said.get(child, {}).get("order_id", 0)
        if name.startswith("order:"):
            said = {"position_id": 0, "client_order_id": "", **said}
        for key, value in wanted[name].items():
            if said.get(key) != value:
                found.append(f"view of {account_id}, {name}: {key} is {said.get(key)!r}, in the state {value!r}")
    return found
