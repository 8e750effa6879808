"""What the followers of the WebSocket storm must have been told: the events stream, read by itself, by account."""

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import orjson

from shared.streams import EventsEntry
from tests.faults.ws_storm_clients import MARKET, Record

Place = tuple[int, ...]
PUBLIC_OF_MARKET = frozenset({"trade", "liquidation", "adl", "funding_settled", "funding_skipped", "candle"})
PUBLIC_OF_VENUE = frozenset({"insurance_changed", "market_changed", "venue_changed"})
FORCED = frozenset({"liquidation", "adl"})
SHOWN_MAX = 3  # problems of one record


class Stood(NamedTuple):
    """One event and its place."""

    at: str
    event: dict[str, Any]

    @property
    def place(self) -> Place:
        """Return the place as numbers."""
        return place_of(self.at)


def place_of(at: str) -> Place:
    """Return seq, chunk and index, or seq and chunk, as numbers."""
    return tuple(int(part) for part in at.split("-"))


class Truth:
    """The events stream as it is, by account; 0 is the public."""

    def __init__(self, entries: list[EventsEntry]) -> None:
        """Sort every event to whom it is told."""
        self.by_account: dict[int, list[Stood]] = defaultdict(list)
        self.sizes: Counter[int] = Counter()  # events by log entry
        self.chunks: Counter[int] = Counter()
        for entry in entries:
            self.chunks[entry.seq] += 1
            for index, event in enumerate(orjson.loads(entry.data)):
                stood = Stood(f"{entry.seq}-{entry.chunk}-{index}", event)
                self.sizes[entry.seq] += 1
                if "account" in event:
                    self.by_account[event["account"]].append(stood)
                market = event["e"] in PUBLIC_OF_MARKET and event.get("market") == MARKET
                if market or event["e"] in PUBLIC_OF_VENUE:
                    self.by_account[0].append(stood)

    def problems(self, record: Record) -> list[str]:
        """Return what a record says otherwise than the stream; an ended one may stop anywhere, but not skip."""
        if not record.snapshots and not record.events and record.ended:
            return []
        found = [f"gap {gap}" for gap in record.gaps]
        if len(record.snapshots) != 1 or record.early:
            found.append(f"{len(record.snapshots)} snapshots, {record.early} events before the first")
            return found
        at, data = record.snapshots[0]
        wanted = [stood for stood in self.by_account[record.account] if stood.place[:2] > place_of(at)]
        told = record.events
        if record.ended:
            wanted = wanted[: len(told)]
        found += self.snapshot_problems(record.account, at, data)
        for number, stood in enumerate(wanted):
            if number >= len(told):
                found.append(f"{len(wanted) - len(told)} missing from {stood.at} on")
                break
            if told[number][0] != stood.at:
                found.append(f"event {number} is {told[number][0]}, not {stood.at} {stood.event['e']}")
                break
            if not same(told[number][2], stood.event, record.account):
                found.append(f"{stood.at} was told as {told[number][2]}, it is {stood.event}")
        if len(told) > len(wanted):
            found.append(f"{len(told) - len(wanted)} too many from {told[len(wanted)][0]} on")
        return found[:SHOWN_MAX]

    def snapshot_problems(self, account: int, at: str, data: dict[str, Any]) -> list[str]:
        """Return how a snapshot differs from what the events up to its place leave."""
        positions: dict[int, str] = {}
        orders: set[int] = set()
        for stood in self.by_account[account]:
            if stood.place[:2] > place_of(at):
                break
            event = stood.event
            if event["e"] == "position_changed":
                positions[event["position_id"]] = event["qty"]
            elif event["e"] == "order_changed":
                orders.add(event["order_id"])
            elif event["e"] == "closed_order":
                orders.discard(event["order_id"])
        left = {position_id: qty for position_id, qty in positions.items() if float(qty) != 0}
        found = []
        shown = {position["position_id"]: position["qty"] for position in data.get("positions", ())}
        if "positions" in data and shown != left:
            found.append(f"snapshot {at} has positions {shown}, the events leave {left}")
        if "orders" in data and {order["order_id"] for order in data["orders"]} != orders:
            found.append(f"snapshot {at} has other orders than {sorted(orders)}")
        return found


def same(told: dict[str, Any], event: dict[str, Any], account: int) -> bool:
    """Return whether what was told is the event; of a forced close the public learns less, never whose it was."""
    if account or event["e"] not in FORCED:
        return told == event
    return "account" not in told and told["kind"] == event["e"] and told["qty"] == event["qty"]


def responses_problems(entries: list[EventsEntry], accepted: list[str], refused: list[str]) -> list[str]:
    """Return which instructions were told to be accepted and were not exactly once, or refused and were accepted."""
    counts: Counter[str] = Counter()
    for entry in entries:
        for event in orjson.loads(entry.data):
            if event["e"] == "order_response" and event["result"] == "OK":
                counts[event["request_id"]] += 1
    found = [f"request {name} was accepted {counts[name]} times" for name in accepted if counts[name] != 1]
    return found + [f"request {name} was refused and accepted" for name in refused if counts[name]]
