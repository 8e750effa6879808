"""
One side of a what-if: entries applied to a machine, and what they made of every account.

As a program it is the side of another checkout, whose packages it finds on PYTHONPATH; this file alone is ours there.
Pickled on stdin: the start (a snapshot's content or None), lists of (seq, fields), None at the end; JSON on stdout.
"""

import json
import pickle
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

EMPTY = {"fills": [], "traded": 0, "fees": 0, "pnl": 0, "funding": 0, "liquidations": 0}
E12 = 10**12
ID_NAMES = ("order_id", "position_id")


class Side:
    """A machine and what has happened to its accounts since the start."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.accounts: dict[int, dict[str, Any]] = {}
        self.results: dict[str, str] = {}  # request id -> result, first answers alone
        # Order and position ids by where they came up first: (name, seq, account, which of several), and back.
        self.ids: dict[tuple[str, int, int, int], int] = {}
        self.births: dict[tuple[str, int], tuple[str, int, int, int]] = {}
        self.shift = 0  # by how much entries are numbered higher than in the log

    def apply(self, entries: Sequence[Any]) -> None:
        """Apply entries; raises Refusal at a gap."""
        room = int(self.machine.batch.capacity)
        for first in range(0, len(entries), room):
            self.machine.load(entries if len(entries) <= room else entries[first : first + room])
            while (step := self.machine.step()) is not None:
                for output in step.outputs:
                    for event in orjson.loads(output.data):
                        self.note(event)
                        self.ids_note(event, output.seq - self.shift)

    def note(self, event: dict[str, Any]) -> None:
        """Count what an event tells of an account."""
        kind = event["e"]
        if kind == "order_response":
            self.results.setdefault(event["request_id"], event["result"])
        elif kind == "fill":
            account = self.account(event["account"])
            names = ("market", "side", "qty", "price", "fee", "pnl_realised")
            account["fills"].append(" ".join(str(event[name]) for name in names))
            account["traded"] += e12(event["notional"])
            account["fees"] += e12(event["fee"])
            account["pnl"] += e12(event["pnl_realised"])
        elif kind == "funding":
            self.account(event["account"])["funding"] += e12(event["amount"])
        elif kind == "liquidation":
            self.account(event["account"])["liquidations"] += 1

    def ids_note(self, event: dict[str, Any], seq: int) -> None:
        """Remember where the ids in an event came up first, so that the other side's can be found by it."""
        account_id = event.get("account")
        if account_id is None:
            return
        for name in ID_NAMES:
            number = event.get(name)
            if number and (name, number) not in self.births:
                which = 0
                while (name, seq, account_id, which) in self.ids:
                    which += 1
                self.ids[name, seq, account_id, which] = number
                self.births[name, number] = (name, seq, account_id, which)

    def account(self, account_id: int) -> dict[str, Any]:
        """Return what is counted of an account."""
        if account_id not in self.accounts:
            self.accounts[account_id] = {**EMPTY, "fills": []}
        return self.accounts[account_id]

    def summary(self) -> dict[int, dict[str, Any]]:
        """Return, of every account, what happened to it and how it stands now."""
        from engine import core

        found = {}
        for row in core.accounts_of(self.machine.states):
            account_id = row["account_id"]
            counted = self.accounts.get(account_id, {**EMPTY, "fills": []})
            found[account_id] = {
                **counted,
                "free": row["free_e6"] * 10**6,
                "reserved": row["reserved_e6"] * 10**6,
                "positions": [],
                "orders": 0,
            }
        markets = self.machine.states.view(np.ndarray)[0]["markets"]
        for position in core.positions_of(self.machine.states):
            if position["account_id"] in found and position["lots"]:
                qty_e12 = position["lots"] * int(markets[position["market_id"] - 1]["config"]["lot_e12"])
                found[position["account_id"]]["positions"].append(f"{position['market']} {text_of_e12(qty_e12)}")
        for order in core.orders_of(self.machine.states):
            found[order["account_id"]]["orders"] += 1
        return found


def e12(text: str) -> int:
    """Return a decimal text × 10¹², exactly."""
    whole, _, fraction = text.removeprefix("-").partition(".")
    value = int(whole) * E12 + int(fraction.ljust(12, "0") or 0)
    return -value if text.startswith("-") else value


def text_of_e12(value: int) -> str:
    """Return a number × 10¹² as decimal text without zeros at its end."""
    whole, fraction = divmod(abs(value), E12)
    text = f"{whole}.{fraction:012d}".rstrip("0").removesuffix(".")
    return f"-{text}" if value < 0 else text


def main() -> None:
    """Be the other checkout's side."""
    from engine.ingest import machine_restore
    from shared.stream_keys import Entry

    side = Side(machine_restore(pickle.load(sys.stdin.buffer)))
    while (rows := pickle.load(sys.stdin.buffer)) is not None:
        side.apply([Entry(seq, fields) for seq, fields in rows])
    refused = {request_id: result for request_id, result in side.results.items() if result != "OK"}
    json.dump({"accounts": side.summary(), "refused": refused}, sys.stdout)


if __name__ == "__main__":
    main()
