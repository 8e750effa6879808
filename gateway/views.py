"""
Reading the views: accounts, outcomes and the configuration from the persister, markets from the leading engine.

One reads one's own writes: a view behind what this gateway has seen for the account is waited for, then said to be
behind. A view that is missing is a refusal, never zero.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from gateway.errors import GatewayCode, Refusal
from gateway.tail import Position, Tail
from shared.stream_guard import Conversation, ask
from shared.streams import Keys, StreamsAsync

BEHIND_WAIT_S = 0.2
BEHIND_PAUSE_S = 0.005


class AccountView(NamedTuple):
    """An account as the view has it."""

    account: dict[str, Any]
    positions: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    leverages: dict[str, int]  # what was set, by market
    seq: int
    behind_seq: int | None  # what the view has not seen yet, when waiting did not help

    def stamp(self) -> dict[str, Any]:
        """Return the part of an answer that says how new it is."""
        stamp: dict[str, Any] = {"seq": str(self.seq)}
        if self.behind_seq is not None:
            stamp["behind_seq"] = str(self.behind_seq)
        return stamp


class OutcomeRead(NamedTuple):
    """What the view reader keeps of one request, and how far it had come at least when it was asked."""

    outcome: dict[str, Any] | None
    cursor: Position


class Views:
    """Reads the views of one venue."""

    def __init__(self, streams: StreamsAsync, keys: Keys, tail: Tail, monotonic_s: Callable[[], float]) -> None:
        """Keep what reading needs."""
        self._streams = streams
        self._keys = keys
        self._tail = tail
        self._monotonic_s = monotonic_s

    async def account(self, account_id: int) -> AccountView:
        """Return an account's view, as new as what this gateway has seen if waiting a little makes it so."""
        wanted = self._tail.touched(account_id)
        key = self._keys.view_account(account_id)
        deadline_s = self._monotonic_s() + BEHIND_WAIT_S
        while True:
            cursor, fields = await self._streams.converse(lambda _link: hash_with_cursor_read(self._keys, key))
            seq = int(fields.get("seq") or 0)
            current = cursor >= wanted
            if (current and "account" in fields) or self._monotonic_s() >= deadline_s:
                break
            await asyncio.sleep(BEHIND_PAUSE_S)
        if "account" not in fields:
            detail = {"reason": "the account's view is not written yet"}
            if not current:
                detail["behind_seq"] = str(wanted[0])
            raise Refusal(GatewayCode.VIEW_UNAVAILABLE, detail)
        return AccountView(
            orjson.loads(fields["account"]),
            _rows(fields, "position:"),
            _rows(fields, "order:"),
            _leverages(fields),
            max(seq, cursor[0]) if current else seq,
            None if current else wanted[0],
        )

    async def market(self, market: str) -> dict[str, str]:
        """Return a market's view; raises Refusal when the engine has not written it."""
        fields = await self._streams.hash_read(self._keys.view_market(market))
        if not fields:
            raise Refusal(GatewayCode.VIEW_UNAVAILABLE, {"market": market})
        return fields

    async def price_marks(self, markets: set[str]) -> dict[str, str]:
        """Return the mark of each market; raises Refusal when one is missing, because nothing can be valued then."""
        marks = {}
        for market in sorted(markets):
            mark = (await self.market(market)).get("mark")
            if not mark:
                raise Refusal(GatewayCode.VIEW_UNAVAILABLE, {"market": market, "reason": "no mark yet"})
            marks[market] = mark
        return marks

    async def outcome(self, account_id: int, request_id: str) -> OutcomeRead:
        """Return the stored outcome of a request; what is absent was absent when the cursor stood there."""
        return await self._streams.converse(lambda _link: outcome_read(self._keys, account_id, request_id))

    async def configuration(self) -> tuple[Position, dict[str, str]]:
        """Return how far the view reader has come at least, and the newest configuration that it has seen."""
        return await self._streams.converse(lambda _link: hash_with_cursor_read(self._keys, self._keys.view_venue))

    async def cursor(self) -> Position:
        """Return how far the view reader has come."""
        return await self._streams.converse(lambda _link: cursor_read(self._keys))


def hash_with_cursor_read(keys: Keys, key: str) -> Conversation[tuple[Position, dict[str, str]]]:
    """Return the cursor and then the view, in this order: the view is at least as new as the cursor says."""
    cursor, flat = yield from ask(["GET", keys.views_cursor], ["HGETALL", key])
    texts = [item.decode("utf-8", "replace") for item in flat]
    return cursor_of_text(cursor), dict(zip(texts[::2], texts[1::2], strict=True))


def outcome_read(keys: Keys, account_id: int, request_id: str) -> Conversation[OutcomeRead]:
    """Return cursor and outcome from one transaction."""
    stored = keys.outcome(account_id, request_id)
    replies = yield from ask(["MULTI"], ["GET", keys.views_cursor], ["GET", stored], ["EXEC"])
    cursor, outcome = replies[-1]
    return OutcomeRead(orjson.loads(outcome) if outcome else None, cursor_of_text(cursor))


def cursor_read(keys: Keys) -> Conversation[Position]:
    """Return the view reader's cursor."""
    [cursor] = yield from ask(["GET", keys.views_cursor])
    return cursor_of_text(cursor)


def cursor_of_text(text: bytes | None) -> Position:
    """Return (seq, chunk); (-1, 0), older than anything, when there is no cursor."""
    seq, _, chunk = (text or b"").partition(b"-")
    return (int(seq), int(chunk)) if seq.isdigit() and chunk.isdigit() else (-1, 0)


def _leverages(fields: dict[str, str]) -> dict[str, int]:
    """Return the leverages that the account has set, by market."""
    prefix = "leverage:"
    return {name[len(prefix) :]: int(text) for name, text in fields.items() if name.startswith(prefix)}


def _rows(fields: dict[str, str], prefix: str) -> list[dict[str, Any]]:
    """Return the rows of one kind by ascending id, without the event's own tag."""
    rows = [(int(name[len(prefix) :]), orjson.loads(text)) for name, text in fields.items() if name.startswith(prefix)]
    for _number, row in rows:
        row.pop("e", None)
        row.pop("account", None)
        if "seq" in row:
            row["seq"] = str(row["seq"])
    return [row for _number, row in sorted(rows, key=lambda pair: pair[0])]
