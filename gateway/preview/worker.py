"""
The order calculator's worker: the core itself, interpreted, tries an instruction on a scratch state.

    NUMBA_DISABLE_JIT=1 python -m gateway.preview.worker

One question a line in, one answer a line out (JSON), until the input ends; `calculator.py` starts it and asks.
"""

import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec
import orjson

from engine import core
from engine.core.fees import fee_e6
from gateway.preview.book import others_levels
from gateway.preview.cross import after_of, spendable_e6
from gateway.preview.figures import Tried, answer_of, refused_of
from gateway.preview.question import Question
from gateway.preview.rows import (
    Grid,
    account_figures,
    market_figures,
    name_figures,
    order_figures,
    order_rank,
    position_figures,
)
from gateway.preview.size import Outcome, size_code, sized
from shared import clock, genesis, wire
from shared.codes import ACCOUNT_FIRST, OrderKind, OrderStatus, ResultCode, Side, Stp, Tif
from shared.records import MARKETS_CAPACITY
from shared.wire_events import Encoder

VENUE = "scratch0aa"
SESSION = (b"session", b"scratch")
FOUNDED_US = 1_767_225_600_000_000  # any time: each scratch is put to the venue's own
CALLER = ACCOUNT_FIRST  # who asks
OTHERS = ACCOUNT_FIRST + 1  # who stands for everybody's resting orders
OTHERS_FREE_E6 = 10**17
GROUNDS_MAX = 16
USES_MAX = 500  # where a question only looks, the system gives the ground itself a page: about three a question
AHEAD_US = 2_000_000  # by which an instruction's time may lead log time
LOOK_S = 1.0  # for how long the largest quantity is looked for, once one is known that is taken
LOOK_FIRST_S = 2.0  # before: the gateway waits for four seconds, and others wait for their turn
NICE = 5  # orders that are sent come before orders that are thought of


def ground_founded(markets: list[dict[str, Any]], venue: dict[str, Any]) -> core.Ground:
    """Return a ground with these markets, the feed up, and the accounts of the caller and of the others."""
    ground = core.Ground()
    known = {name: value for name, value in venue.items() if name in genesis.VENUE_DEFAULT}
    founding = genesis.default(VENUE, [dict(market) for market in markets], **known)
    apply(ground.states, (b"genesis", orjson.dumps(founding)), FOUNDED_US)
    apply(ground.states, (b"feed_status", b'{"status":"up","source":"scratch"}'), FOUNDED_US, SESSION)
    for owner in ("11" * 16, "22" * 16):
        instruct(ground.states, 0, "account_open", {"owner": owner}, FOUNDED_US)
    assert core.account_of(ground.states, OTHERS) is not None
    return ground


Founding = Callable[[list[dict[str, Any]], dict[str, Any]], core.Ground]


class Grounds:
    """The founded states, by configuration; the one asked for longest ago is forgotten first."""

    def __init__(self, found: Founding = ground_founded) -> None:
        """Start without any."""
        self._found = found
        self._grounds: OrderedDict[bytes, tuple[core.Ground, int]] = OrderedDict()

    def of(self, question: Question) -> core.Ground:
        """Return the ground of a question's markets and venue, founded now if it is not there or has served long."""
        key = orjson.dumps([question.markets, question.venue], option=orjson.OPT_SORT_KEYS)
        ground, uses = self._grounds.pop(key, (None, 0))
        if ground is None or uses >= USES_MAX:
            ground, uses = self._found(question.markets, question.venue), 0
        self._grounds[key] = ground, uses + 1
        if len(self._grounds) > GROUNDS_MAX:
            self._grounds.popitem(last=False)
        return ground


def apply(
    states: Any, entry: tuple[bytes, bytes], ts_us: int, session: tuple[bytes, bytes] | None = None
) -> list[dict[str, Any]]:
    """Apply one entry and return all its events."""
    head = core.header(states)
    encoder = Encoder(core.markets_of(states), head["events_last"])
    batch = wire.Batch(1)
    stamp = (b"ts", b"%d" % ts_us)
    batch.add(head["seq"] + 1, [stamp, session, entry] if session else [stamp, entry])
    events: list[dict[str, Any]] = []
    applied = 0
    while applied == 0:
        applied, count, _status = core.apply_batch(states, batch, 0, 1)
        for output in encoder.feed(core.events_of(states, count), applied == 1):
            events += orjson.loads(output.data)
    return events


def instruct(states: Any, account_id: int, op: str, fields: dict[str, Any], ts_us: int) -> list[dict[str, Any]]:
    """Apply one instruction and return all its events."""
    body = {"v": 1, "account": account_id, "request_id": f"{core.header(states)['seq'] + 1:032x}", "op": op, **fields}
    return apply(states, (b"user_instruction", orjson.dumps(body)), ts_us)


class Scene:
    """A scratch state in which the caller's account and its markets stand as the views say."""

    def __init__(self, question: Question, ground: core.Ground) -> None:
        """Put everything."""
        self.question = question
        self.states = ground.copy()
        self._quotes = 0  # that have come since
        self.grids = {market["market"]: Grid(market) for market in question.markets}
        seen_us = max(int(view["log_time_us"]) for view in question.prices.values())
        self.now_us = max(seen_us, min(question.now_us, seen_us + AHEAD_US))
        core.clock_put(self.states, self.now_us)
        self._markets_put()
        self._account_put()
        self._others_put()

    def _markets_put(self) -> None:
        """Put every market as its view states it."""
        for row, (name, grid) in enumerate(self.grids.items()):
            view = self.question.prices[name]
            core.market_put(self.states, row, market_figures(grid, view, self.now_us), int(view["house_lots"]))

    def _account_put(self) -> None:
        """Put the caller's money, choices, positions and orders."""
        asked = self.question
        names = asked.names()
        figures = account_figures(asked.account, asked.leverages, asked.modes, asked.guards, names)
        core.account_put(self.states, CALLER, figures)
        put = {order["order_id"] for order in asked.orders}
        for position in asked.positions:
            name = position["market"]
            figures = position_figures(self.grids[name], names.index(name) + 1, CALLER, position, put)
            core.position_put(self.states, figures)
        rows = []
        for order in asked.orders:
            name = order["market"]
            row = names.index(name)
            config, view = asked.markets[row], asked.prices[name]
            rows.append(order_figures(self.grids[name], row + 1, CALLER, order, config, view))
        for figures in sorted(rows, key=order_rank):
            core.order_put(self.states, figures)
        for name in asked.names_taken:
            number = int(self.states[0].venue.order_next)
            core.order_put(self.states, name_figures(number, CALLER, name))
        core.account_settle(self.states, CALLER, asked.elsewhere)

    def _others_put(self) -> None:
        """
        Put what other users' resting orders leave in the instruction's market, level by level, as one account's.

        They count as covered: what they may still open stands against nobody's bound.
        """
        asked = self.question
        market, grid = asked.markets[0], next(iter(self.grids.values()))
        core.account_put(self.states, OTHERS, {"free_e6": OTHERS_FREE_E6, "leverage": [1] * MARKETS_CAPACITY})
        number = int(self.states[0].venue.order_next)
        for side in (Side.BUY, Side.SELL):
            for ticks, lots in others_levels(asked, grid, side).items():
                core.order_put(self.states, level_figures(number, market, side, lots, ticks))
                number += 1

    def try_out(self) -> Tried:
        """Return what the instruction does, and what its order does when the market comes to its price."""
        asked = self.question
        before = {position["position_id"]: position for position in asked.positions}
        events = instruct(self.states, CALLER, asked.op, asked.fields, self.now_us)
        # What is due by now, such as the end of an order, comes first.
        events = events[[event["e"] for event in events].index("order_response") :]
        assumed = None
        later: list[dict[str, Any]] = []
        for _ in range(3):  # the taker delay, the trigger, the limit
            waiting = order_awaited(events + later)
            if waiting is None:
                break
            if waiting["status"] == "delayed":
                self.now_us += int(asked.markets[0]["taker_delay_ms"]) * 1000
                later += self._quote_come(asked.prices[asked.markets[0]["market"]])
            else:
                assumed = waiting["price_trigger"] if waiting["status"] == "trigger" else waiting["price"]
                later += self._market_come(assumed)
        return Tried(asked, self.grids[asked.markets[0]["market"]], before, events, later, assumed, fee_of)

    def outcome(self, fields: dict[str, Any]) -> Outcome:
        """Return what the core says to other fields of the instruction; a refusal leaves the scene as it was."""
        events = instruct(self.states, CALLER, self.question.op, fields, self.now_us)
        response = next(event for event in events if event["e"] == "order_response")
        number = response.get("order_id")
        ends = [event["reason"] for event in events if event["e"] == "closed_order" and event["order_id"] == number]
        left_e6 = spendable_e6(self.question, after_of(self.question, events, CALLER))
        return Outcome(response["result"], ends in ([], ["filled"]), left_e6)

    def _market_come(self, price: str) -> list[dict[str, Any]]:
        """Return what happens when the instruction's market, mark and index included, comes to a price."""
        return self._quote_come(view_at(self.question, price) | {"fresh": "1"})

    def _quote_come(self, view: dict[str, str]) -> list[dict[str, Any]]:
        """Return what happens when a quote comes to the instruction's market, nothing of it being a surprise."""
        name, grid = next(iter(self.grids.items()))
        core.clock_put(self.states, self.now_us)
        core.market_put(self.states, 0, market_figures(grid, view, self.now_us), int(view["house_lots"]))
        self._quotes += 1
        body = quote(name, view, self.now_us, self._quotes)
        return apply(self.states, (b"price_update", orjson.dumps(body)), self.now_us, SESSION)


def view_at(question: Question, price: str) -> dict[str, str]:
    """Return the view of the instruction's market as it is when the market, mark and index included, is at a price."""
    grid = Grid(question.markets[0])
    ticks = grid.ticks(price)
    bid_ticks = max(1, ticks - 1) if question.fields.get("side") == "buy" else ticks
    view = question.prices[question.markets[0]["market"]] | {side: grid.price(ticks) for side in ("mark", "index")}
    return view | {"bid": grid.price(bid_ticks), "ask": grid.price(max(bid_ticks + 1, ticks))}


def level_figures(number: int, market: dict[str, Any], side: Side, lots: int, ticks: int) -> dict[str, Any]:
    """Return the row of an order that stands for a level of the book."""
    return {
        "order_id": number,
        "priority": number,
        "account_id": OTHERS,
        "market_id": 1,
        "side": side,
        "kind": OrderKind.LIMIT,
        "status": OrderStatus.RESTING,
        "tif": Tif.GTC,
        "stp": Stp.CANCEL_TAKER,
        "qty_lots": lots,
        "price_ticks": ticks,
        "slippage_bps": -1,
        "fee_maker_ppm": market["fee_maker_ppm"],
        "fee_taker_ppm": market["fee_taker_ppm"],
    }


def order_awaited(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the instruction's own order while it waits for a time or a known price, None when it does not."""
    number = events[0].get("order_id")
    own = [event for event in events if number and event.get("order_id") == number]
    ended = any(event["e"] == "closed_order" for event in own)
    images = [event for event in own if event["e"] == "order_changed" and event["kind"] != "trailing_stop"]
    return None if ended or not images else images[-1]


def quote(market: str, view: dict[str, str], ts_us: int, number: int) -> dict[str, Any]:
    """Return a quote as the feed would bring it; each has a greater number than the one before."""
    sides = {"b": view["bid"], "B": view["bid_qty"], "a": view["ask"], "A": view["ask_qty"]}
    return {"e": "bookTicker", "s": market, "u": number, "E": ts_us, "T": ts_us, **sides}


def fee_of(notional_e6: int, rate_ppm: int) -> int:
    """Return the core's own fee of a notional."""
    return int(fee_e6(notional_e6, rate_ppm))


def sized_answer(
    question: Question, grounds: Grounds, monotonic_s: Callable[[], float] = clock.monotonic_s
) -> dict[str, Any]:
    """Return the answer to a question; one that states a size and no quantity gets its quantity first."""
    if question.size is None:
        return answer_of(Scene(question, grounds.of(question)).try_out())
    code = size_code(question.size)
    if code != ResultCode.OK:
        return refused_of(code.name, question.op, question.markets[0]["market"])
    began_s = monotonic_s()

    def look_on(found: int) -> bool:
        """Return whether there is time to look for a larger quantity."""
        return monotonic_s() - began_s < (LOOK_S if found else LOOK_FIRST_S)

    found = sized(question, Grid(question.markets[0]), Tries(question, grounds).ask, look_on)
    scene = Scene(msgspec.structs.replace(question, fields=found.fields), grounds.of(question))
    return answer_of(scene.try_out()) | {"size": found.shown}


class Tries:
    """Quantities tried one after the other: a scene serves until one is taken."""

    def __init__(self, question: Question, grounds: Grounds) -> None:
        """Keep what scenes are made of."""
        self._question = question
        self._grounds = grounds
        self._scene: Scene | None = None

    def ask(self, fields: dict[str, Any], price: str | None) -> Outcome:
        """Return what the core says to other fields, with the market at a price if one is named, all else as it is."""
        if self._scene is None:
            asked = self._question
            if price is not None:
                prices = asked.prices | {asked.markets[0]["market"]: view_at(asked, price)}
                asked = msgspec.structs.replace(asked, prices=prices)
            self._scene = Scene(asked, self._grounds.of(asked))
        outcome = self._scene.outcome(fields)
        if outcome.code == ResultCode.OK.name:
            self._scene = None
        return outcome


def serve(asked: BinaryIO, answered: BinaryIO) -> None:
    """Answer questions until there are no more; one that cannot be answered is answered with the reason."""
    grounds = Grounds()
    decoder = msgspec.json.Decoder(Question)
    while line := asked.readline():
        question = decoder.decode(line)
        try:
            answer = sized_answer(question, grounds)
        except Exception as error:  # whatever it is, the next question is another one
            answer = {"failure": f"{type(error).__name__}: {error}"[:500]}
        answered.write(orjson.dumps(answer | {"number": question.number}) + b"\n")
        answered.flush()


def main() -> None:
    """Serve the gateway that started this process; it ends with it, not by a Ctrl-C meant for all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    assert core.scratch_possible(), "start it with NUMBA_DISABLE_JIT=1"
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
