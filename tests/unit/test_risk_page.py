"""docs/risk.md: the worked position is what the engine does."""

import re
from pathlib import Path

from engine.library import Engine

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "risk.md").read_text()


def stated() -> list[str]:
    """Return the values of the worked position, in order."""
    section = PAGE.split("## A worked position")[1].split("## ")[0]
    return [row.split("|")[2].strip() for row in re.findall(r"^\|.*\|$", section, re.MULTILINE)[2:]]


def test_the_worked_position_is_recomputed() -> None:
    """Every figure of the table comes out of the engine."""
    engine = Engine()
    opening = {"v": 1, "account": 0, "request_id": "0" * 31 + "1", "op": "account_open", "owner": "1" * 32}
    engine.apply("user_instruction", opening)
    engine.price("BTC_USDC_PERP", "60000.0", "60000.1")
    order = {"op": "trade_create", "market": "BTC_USDC_PERP", "side": "buy", "margin": "500", "leverage": 10}
    trade = {"v": 1, "account": 100, "request_id": "0" * 31 + "2", **order, "take_profit": "61000"}
    opened = {event["e"]: event for event in engine.apply("user_instruction", trade)}
    later = engine.ts_us + 1_000_000
    closed = {event["e"]: event for event in engine.price("BTC_USDC_PERP", "61000.0", "61000.1", ts_us=later)}
    position, fill = opened["position_changed"], opened["fill"]
    margin, cost = float(position["margin"]), float(position["cost"])
    loss = round(cost - float(fill["qty"]) * 60_000.0, 6)
    expected = [
        "60000.0 / 60000.1",
        f"{fill['qty']} BTC at {fill['price']}",
        position["cost"],
        f"{margin - loss:.6f}",
        f"{loss:.6f}",
        position["margin"],
        fill["fee"],
        opened["account_changed"]["free"],
        position["price_liquidation"],
        closed["fill"]["pnl_realised"],
        closed["fill"]["fee"],
        closed["account_changed"]["free"],
    ]
    assert stated() == expected
