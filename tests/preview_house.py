"""A venue in memory with the views that a gateway would read of it, and the calculator's worker to ask about it."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson

from engine import core
from engine.library import START_US, Engine
from engine.views import text_of
from gateway.markets import Markets
from gateway.preview.question import Question, market_of, question_of
from gateway.schemas import preview_read, preview_size_read
from gateway.views import AccountView, account_view
from persister.views import view_fields
from shared import genesis
from shared.settings import REPOSITORY, environment_interpreted

ANSWER_KEYS = ("e", "account")


class Worker:
    """The calculator's worker, a process of its own as beside a gateway."""

    def __init__(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "gateway.preview.worker"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=REPOSITORY, env=environment_interpreted())

    def ask(self, question: Question) -> dict[str, Any]:
        """Return its answer to a question."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(msgspec.json.encode(question) + b"\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = orjson.loads(self.process.stdout.readline())
        assert answer.pop("number") == question.number
        return answer

    def end(self) -> int:
        """End its input and return how it ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        return code


class House:
    """One engine in memory; every account's view follows its events as the view reader has it."""

    def __init__(self, markets: list[dict[str, Any]], accounts: int, ts_us: int = START_US, **venue_set: Any) -> None:
        """Found it and open accounts 100, 101, …"""
        self.engine = Engine([dict(market) for market in markets], ts_us, **venue_set)
        self.views: dict[int, dict[str, str]] = {}
        self.markets = Markets()
        self.markets.genesis(genesis.default("library0aa", [dict(market) for market in markets], **venue_set))
        self.number = 0
        self.taken(self.engine.opening)
        for owner in range(accounts):
            self.instruct(0, "account_open", {"owner": f"{owner + 1:032x}"})

    def taken(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Bring views and configuration up to these events, and return them."""
        head = core.header(self.engine.states)
        entry: Any = SimpleNamespace(seq=head["seq"], log_time_us=head["log_time_us"])
        for event in events:
            if event["e"] == "market_changed":
                self.markets.configured(event, head["seq"])
            if "account" not in event or event["e"] == "order_response":
                continue
            view = self.views.setdefault(event["account"], {"seq": "0"})
            for name, text in view_fields(event["e"], event, entry).items():
                if text is None:
                    view.pop(name, None)
                else:
                    view[name] = text.decode()
        return events

    def price(self, market: str, bid: str, ask: str) -> list[dict[str, Any]]:
        """Bring a quote."""
        return self.taken(self.engine.price(market, bid, ask))

    def mark(self, market: str, price: str) -> list[dict[str, Any]]:
        """Bring a mark and an index of this price; a far one is believed when it is said three times."""
        body = {"e": "markPrice", "E": self.engine.ts_us, "T": self.engine.ts_us, "s": market, "p": price, "i": price}
        return [event for _ in range(3) for event in self.taken(self.engine.apply("mark_update", body))]

    def instruct(self, account_id: int, op: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
        """Send an instruction and return all its events."""
        self.number += 1
        body = {"v": 1, "account": account_id, "request_id": f"{self.number:032x}", "op": op, **fields}
        return self.taken(self.engine.apply("user_instruction", body))

    def view(self, account_id: int) -> AccountView:
        """Return an account's view as a gateway reads it."""
        return account_view(self.views[account_id], self.engine.seq, None)

    def market_view(self, market: str) -> dict[str, str]:
        """Return a market's view as the leading engine writes it."""
        figures = core.market_views(self.engine.states)
        row = list(figures).index(market)
        view = {name: text_of(value) for name, value in figures[market].items()}
        return view | {"book": text_of(core.book_levels(self.engine.states, row))}

    def question(self, account_id: int, body: dict[str, Any], now_us: int = 0) -> Question:
        """Return the question that a gateway would put to its worker; LookupError when it would put none."""
        op, fields = preview_read(body)
        view = self.view(account_id)
        market = market_of(fields, view)
        if market is None or self.markets.one(market) is None:
            raise LookupError(market)
        question = question_of(op, fields, market, view, self.markets, now_us or self.engine.ts_us)
        question.prices = {name: self.market_view(name) for name in question.names()}
        question.size = preview_size_read(body)
        self.number += 1
        question.number = self.number
        return question
