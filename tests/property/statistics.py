"""
What random histories have reached: counts by name, gathered as they run, and the names that none of them reached.
"""

from collections import Counter
from typing import Any

from shared.codes import (
    CloseReason,
    EventKind,
    IgnoreReason,
    LedgerReason,
    Liquidity,
    Op,
    OrderKind,
    OrderStatus,
    ResultCode,
    Tif,
)
from tests.property.entries import Entry
from tests.reference import Reference
from tests.reference.state import FIRST_USER

# What no order can be: an order's kind and its time in force.
LIMITED = (OrderKind.LIMIT, OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT_LIMIT)
VENUES_OWN = (OrderKind.LIQUIDATION, OrderKind.SETTLEMENT, OrderKind.ADL)


def kinds_and_lives() -> set[str]:
    """Return every kind of order with every time in force that it may have."""
    found = {"liquidation none", "settlement none", "adl none"}
    for kind in OrderKind:
        if kind == OrderKind.NONE or kind in VENUES_OWN:
            continue
        lives = {Tif.IOC, Tif.FOK} | (set() if kind == OrderKind.MARKET else {Tif.GTD})
        lives |= {Tif.GTC} if kind in LIMITED else set()
        found |= {f"{kind.name.lower()} {tif.name}" for tif in lives}
    return found


WANTED: dict[str, set[str]] = {
    "results": {code.name for code in ResultCode},
    "events": {kind.name.lower() for kind in EventKind if kind not in (EventKind.NONE, EventKind.BATCH_RESULT)},
    "reasons": {reason.name.lower() for reason in CloseReason if reason},
    "orders": kinds_and_lives(),
    "statuses": {status.name.lower() for status in OrderStatus if status},
    "fills": {f"{mode.name.lower()} {side}" for mode in Liquidity if mode for side in ("house", "users")}
    - {"book house"},
    "operations": {op.name.lower() for op in Op if op},
    "calls": {"isolated", "cross"},
    "liquidations": {f"{mode} {size}" for mode in ("isolated", "cross") for size in ("whole", "part")},
    "legs": {reason.name.lower() for reason in LedgerReason if reason},
    "ignored": {reason.name for reason in IgnoreReason}
    - {"ACCEPTED", "MARKET_UNKNOWN"},
}  # fmt: skip


class Statistics:
    """Counts by subject and name; they add up over histories, and are written to a file as they are."""

    def __init__(self, counts: dict[str, dict[str, int]] | None = None) -> None:
        self.counts = {subject: Counter((counts or {}).get(subject, {})) for subject in (*WANTED, "runs")}

    def note(self, entry: Entry, events: list[dict[str, Any]], twin: Reference) -> None:
        """Count one entry and the events that it caused."""
        self.counts["runs"]["entries"] += 1
        if entry.kind.endswith("_instruction") and not any(event["e"] == "order_response" for event in events):
            self.counts["results"]["RECORD_MALFORMED"] += 1
        fills = 0
        for event in events:
            kind = event["e"]
            self.counts["events"][kind] += 1
            if kind == "order_response":
                self.note_answer(entry, event)
            elif kind in ("closed_order", "closed_position"):
                self.counts["reasons"][event["reason"]] += 1
                if kind == "closed_order":
                    self.counts["orders"][f"{event['kind']} {event.get('tif', 'none')}"] += 1
                    if event.get("result"):
                        self.counts["results"][event["result"]] += 1
            elif kind == "order_changed":
                self.counts["statuses"][event["status"]] += 1
            elif kind == "ledger":
                self.counts["legs"][event["reason"]] += 1
            elif kind == "margin_call":
                self.counts["calls"][event["mode"]] += 1
            fills += kind == "fill"
            if kind == "trade":
                mode = twin.state.markets[event["market"]].liquidity
                self.counts["fills"][f"{mode} {'users' if fills == 2 else 'house'}"] += 1
                fills = 0

        self.note_liquidations(events)

    def note_liquidations(self, events: list[dict[str, Any]]) -> None:
        """Count liquidations by the mode of their position, and whether something of it was left."""
        forced = [event["position_id"] for event in events if event["e"] == "liquidation"]
        images = [event for event in events if event["e"] == "position_changed"]
        for position_id in forced:
            mine = [event for event in images if event["position_id"] == position_id]
            if mine:
                mode = mine[-1].get("mode", "isolated")
                whole = float(mine[-1]["qty"]) == 0 and forced.count(position_id) == 1
                self.counts["liquidations"][f"{mode} {'whole' if whole else 'part'}"] += 1

    def note_answer(self, entry: Entry, event: dict[str, Any]) -> None:
        """Count an answer's results, those of a batch's commands among them, and the operations that were accepted."""
        self.counts["results"][event["result"]] += 1
        if event["result"] == "OK":
            self.counts["operations"][event["op"]] += 1
        for command, answer in zip(entry.body.get("commands") or [], event.get("results", []), strict=False):
            self.counts["results"][answer["result"]] += 1
            if answer["result"] == "OK":
                self.counts["operations"][command["op"]] += 1

    def note_end(self, twin: Reference) -> None:
        """Count a history, and what its feed said in vain."""
        self.counts["runs"]["histories"] += 1
        users = [row for row in twin.state.accounts.values() if row.account_id >= FIRST_USER]
        self.counts["runs"]["accounts"] += len(users)
        self.counts["runs"]["accounts cross"] += sum(bool(row.cross) for row in users)
        for market in twin.state.markets.values():
            self.counts["ignored"].update(market.ignored)

    def add(self, other: "Statistics") -> None:
        """Add another's counts."""
        for subject, counts in other.counts.items():
            self.counts[subject].update(counts)

    def plain(self) -> dict[str, dict[str, int]]:
        """Return the counts as plain dicts, sorted."""
        return {subject: dict(sorted(counts.items())) for subject, counts in self.counts.items()}

    def missing(self) -> dict[str, list[str]]:
        """Return the names that nothing reached, by subject."""
        found = {subject: sorted(names - set(self.counts[subject])) for subject, names in WANTED.items()}
        return {subject: names for subject, names in found.items() if names}

    def text(self) -> str:
        """Return the counts as readable lines, the names never reached at the end."""
        lines = []
        for subject, counts in self.plain().items():
            lines.append(f"{subject}:")
            width = max((len(name) for name in counts), default=0)
            lines += [f"  {name:<{width}}  {count:>12,}" for name, count in counts.items()]
        missing = self.missing()
        lines.append("never reached: " + ("nothing" if not missing else ""))
        lines += [f"  {subject}: {', '.join(names)}" for subject, names in missing.items()]
        return "\n".join(lines)
