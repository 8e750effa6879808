"""The calculator on a whole venue: over HTTP it says what the same instruction then does, and orders never need it."""

import gzip
import os
import random
import signal
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.faults.venue_client import Trader, Venue, eventually, family, venue_running

MARKET = "SOL_USDC_PERP"
PREVIEW = "/api/v1/trade/preview"
ORDER = {"market": MARKET, "side": "buy", "qty": "1"}
BEGIN_US = 1_763_700_000_000_000
QUOTES = 1_200
STEP_US = 200_000
ROUTES = {
    "order_place": "/api/v1/trade/order",
    "trade_create": "/api/v1/trade/create",
    "trade_close": "/api/v1/trade/close",
    "position_reverse": "/api/v1/trade/reverse",
    "margin_change": "/api/v1/trade/margin",
}


def still_write(path: Path) -> Path:
    """Write a recording of one market whose price never moves, four minutes long."""
    frames = []
    for number in range(QUOTES):
        event_us = BEGIN_US + number * STEP_US
        quote = {"e": "bookTicker", "s": MARKET, "u": number + 1, "E": event_us, "T": event_us}
        quote |= {"b": "150.00", "B": "900", "a": "150.03", "A": "900"}
        frames.append({"stream": f"bookTicker.{MARKET}", "data": quote})
        mark = {"e": "markPrice", "s": MARKET, "E": event_us, "T": event_us, "p": "150.01", "i": "150.02"}
        mark |= {"f": "0.0000125", "n": BEGIN_US // 1_000 + 28_800_000}
        frames.append({"stream": f"markPrice.{MARKET}", "data": mark})
    with gzip.open(path, "wb") as file:
        file.write(b"\n".join(orjson.dumps(frame) for frame in frames) + b"\n")
    return path


def wish(choice: random.Random, positions: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return a random instruction."""
    plain = {"market": MARKET, "side": choice.choice(["buy", "sell"])}
    qty = f"{choice.randint(1, 700) / 100:.2f}"
    price = f"{choice.randint(14_800, 15_200) / 100:.2f}"
    leverage = choice.randint(2, 40)
    wishes: list[tuple[str, dict[str, Any]]] = [
        ("order_place", plain | {"qty": qty}),
        ("order_place", plain | {"quote_qty": str(choice.randint(10, 2_000))}),
        ("order_place", plain | {"qty": qty, "kind": "limit", "price": price}),
        ("trade_create", plain | {"margin": str(choice.randint(1, 90)), "leverage": leverage}),
        ("trade_create", plain | {"qty": qty, "leverage": leverage, "take_profit": "190", "stop_loss": "110"}),
    ]
    for position in positions:
        number = position["position_id"]
        wishes += [
            ("trade_close", {"position_id": number, "percent": str(choice.randint(1, 100))}),
            ("margin_change", {"position_id": number, "amount": f"{choice.randint(-300, 900) / 100:.2f}"}),
        ]
        if position["kind"] == "net":
            wishes.append(("position_reverse", {"position_id": number}))
    return choice.choice(wishes)


def same_expect(said: dict[str, Any], status: int, done: dict[str, Any]) -> None:
    """Compare what was calculated with what the instruction then answered."""
    if said["result"] != "OK":
        assert (status, done["code"]) != (200, "OK")
        assert done["code"] == said["result"]
        return
    assert status == 200, done
    if done.get("balance"):
        assert said["balance_after"] == {name: done["balance"][name] for name in ("free", "reserved")}
    fills = [fill for fill in done["fills"] if fill["order_id"] == done.get("order_id")]
    if fills:
        for name in ("qty", "notional", "fee", "pnl_realised"):
            assert Fraction(said[name]) == sum(Fraction(fill[name]) for fill in fills), name
        after = [row for row in done["positions"] if row["position_id"] == fills[-1]["position_id"]][-1]
        if Fraction(after["qty"]):
            shown = said["position_after"]
            for name in ("qty", "cost", "margin", "leverage", "price_entry", "price_liquidation", "fees"):
                assert shown.get(name) == after.get(name), name


def preview(venue: Venue, trader: Trader, op: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return what the calculator says; it must answer."""
    answer = venue.call("POST", PREVIEW, {"op": op, "body": body}, trader)
    assert answer.status == 200, answer.body
    return answer.body


def worker_pids(venue: Venue) -> list[int]:
    """Return the calculator's processes below the gateway."""
    return family(venue.pids()["gateway"])[1:]


@pytest.mark.timeout(150)
def test_what_is_said_over_http_is_what_happens(tmp_path: Path) -> None:
    """Forty instructions on a still market do what was said of each; a killed worker costs no order and comes back."""
    choice = random.Random(5)
    recording = still_write(tmp_path / "still.jsonl.gz")
    with venue_running(tmp_path, "--feed", str(recording)) as venue:
        (trader,) = venue.traders_open(1)
        eventually(lambda: bool(venue.ticker(MARKET).get("fresh")), "a fresh market")
        results = set()
        for _ in range(40):
            positions = venue.call("GET", "/api/v1/account/positions", None, trader).body["items"]
            op, body = wish(choice, positions)
            said = preview(venue, trader, op, body)
            answer = venue.call("POST", ROUTES[op], body, trader)
            same_expect(said, answer.status, answer.body)
            assert said["price_time_us"] > 0
            results.add((op, said["result"]))
        assert {op for op, result in results if result == "OK"} == ROUTES.keys()

        (worker,) = worker_pids(venue)
        os.kill(worker, signal.SIGKILL)
        assert venue.call("POST", ROUTES["order_place"], ORDER, trader).status == 200
        eventually(lambda: venue.call("POST", PREVIEW, {"body": ORDER}, trader).status == 200, "another worker", 10)
        (orphan,) = worker_pids(venue)
        os.kill(venue.pids()["gateway"], signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{orphan}").exists(), "the end of a killed gateway's worker", 10)
        eventually(venue.is_ready, "another gateway", 30)
        preview(venue, trader, "order_place", ORDER)
        (left,) = worker_pids(venue)
    with pytest.raises(ProcessLookupError):
        os.kill(left, 0)
