"""
Reading the views: accounts, outcomes and the configuration from the persister, markets from the leading engine.

One reads one's own writes, through any gateway: whatever the events stream held when a view was read is looked at
before the answer, even where this gateway's tail is behind; a view behind it is waited for, then said to be behind. A
view that is missing is a refusal, never zero.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from gateway.errors import GatewayCode, Refusal
from gateway.tail import Position, Tail
from shared.stream_guard import Command, Conversation, ask, expect
from shared.stream_keys import event_id, seq_chunk_of_event_id
from shared.stream_views import generation_of
from shared.streams import Keys, StreamsAsync

OWNERS_KNOWN_MAX = 100_000
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
    modes: dict[str, str]  # margin mode, where one was stated, by market
    guards: dict[str, Any]  # those that are set
    margin_call: dict[str, Any] | None  # the newest of the cross positions
    margin_calls: dict[int, dict[str, Any]]  # the newest of each isolated position that is open
    main: tuple[int, int] | None  # of a sub-account: whose it is and which
    subaccounts: dict[int, int]  # account -> which of its main's
    place: Position = (-1, 0)  # how far the view reader had come at that very moment

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
    rebuilt_us: int = 0  # log time of the snapshot that the views were last rebuilt from: outcomes before may be lost


class Standing(NamedTuple):
    """How things stood right after an entry: the venue's view, and an account's unless it was not opened by then."""

    place: Position
    account: AccountView | None
    venue: dict[str, str]


class Read(NamedTuple):
    """What was read in one moment: how far the view reader had come, and what the events held beyond our tail."""

    cursor: Position
    reply: Any
    newest: Position | None  # the stream's end where the tail is behind it, None where it is not


class Wanted:
    """
    How far a view must have come for one caller, found out once.

    The events stream is looked at in the same moment as the view. Where it holds what the tail has not read, the tail
    is waited for: only then is it known what touched the account. A view that is as new as the stream needs no waiting.
    """

    def __init__(self, tail: Tail, account_id: int, monotonic_s: Callable[[], float]) -> None:
        """Begin: everything together may take BEHIND_WAIT_S."""
        self._tail = tail
        self._account_id = account_id
        self._monotonic_s = monotonic_s
        self._deadline_s = monotonic_s() + BEHIND_WAIT_S
        self._place: Position | None = None

    async def behind(self, read: Read) -> Position | None:
        """Return what the view of a read has not seen yet, None when it is current."""
        if self._place is None:
            self._place = await self._find(read)
        return None if read.cursor >= self._place else self._place

    async def _find(self, read: Read) -> Position:
        """Return the place that the view must have reached."""
        if read.newest is None:
            return self._tail.touched(self._account_id)
        if read.cursor < read.newest and await self._tail.reached(read.newest, self._left_s()):
            return self._tail.touched(self._account_id)
        # Either the view has seen all there was, or nobody knows what of it was the account's.
        return read.newest

    async def again(self) -> bool:
        """Return whether there is time for another look, after a short pause."""
        if self._left_s() <= 0:
            return False
        await asyncio.sleep(BEHIND_PAUSE_S)
        return True

    def _left_s(self) -> float:
        """Return how much time is left."""
        return self._deadline_s - self._monotonic_s()


class Views:
    """Reads the views of one venue."""

    def __init__(self, streams: StreamsAsync, keys: Keys, tail: Tail, monotonic_s: Callable[[], float]) -> None:
        """Keep what reading needs."""
        self._streams = streams
        self._keys = keys  # of the generation that was in force last
        self._rebuilt_us = 0
        self._tail = tail
        self._monotonic_s = monotonic_s
        self._mains: OrderedDict[int, int] = OrderedDict()  # of sub-accounts; whose one is never changes

    async def account(self, account_id: int) -> AccountView:
        """Return an account's view with all that any gateway has answered before, or saying what it lacks."""
        wanted = Wanted(self._tail, account_id, self._monotonic_s)
        while True:
            read = await self._read(lambda keys: ["HGETALL", keys.view_account(account_id)])
            fields = hash_of(read.reply)
            behind = await wanted.behind(read)
            if (behind is None and "account" in fields) or not await wanted.again():
                break
        if "account" not in fields:
            detail = {"reason": "the account's view is not written yet"}
            if behind is not None:
                detail["behind_seq"] = str(behind[0])
            raise Refusal(GatewayCode.VIEW_UNAVAILABLE, detail)
        seq = int(fields.get("seq") or 0)
        if behind is not None:
            return account_view(fields, seq, behind[0], read.cursor)
        return account_view(fields, max(seq, read.cursor[0]), None, read.cursor)

    async def standing(self, account_id: int | None) -> Standing:
        """Return how an account and the venue stood in one moment, and after which events; raises Refusal."""
        while True:
            keys = self._keys
            text, cursor, venue, *found = await self._standing_once(keys, [] if account_id is None else [account_id])
            generation = generation_of(text).number
            if generation == keys.generation:
                break
            self._keys = Keys(keys.venue, generation)
        place = cursor_of_text(cursor)
        if place[0] < 0:
            raise Refusal(GatewayCode.VIEW_UNAVAILABLE, {"reason": "the views are not written yet"})
        fields = hash_of(found[0]) if found else {}
        view = account_view(fields, place[0], None, place) if "account" in fields else None
        return Standing(place, view, hash_of(venue))

    async def _standing_once(self, keys: Keys, accounts: list[int]) -> list[Any]:
        """Return which generation is in force, these keys' cursor, the venue's view and those of accounts."""
        views = [keys.view_venue, *map(keys.view_account, accounts)]
        return await self._streams.converse(lambda _link: at_once_read(keys, *(["HGETALL", view] for view in views)))

    async def main_of(self, account_id: int) -> int | None:
        """Return whose sub-account an account is, None when it is nobody's; raises Refusal when that is not known."""
        if account_id in self._mains:
            return self._mains[account_id]
        wanted = Wanted(self._tail, account_id, self._monotonic_s)
        while True:
            read = await self._read(lambda keys: ["HGET", keys.view_account(account_id), "main"])
            if read.reply is not None:
                self._mains[account_id] = int(read.reply)
                if len(self._mains) > OWNERS_KNOWN_MAX:
                    self._mains.popitem(last=False)
                return int(read.reply)
            behind = await wanted.behind(read)
            if behind is None:
                return None
            if not await wanted.again():
                raise Refusal(GatewayCode.VIEW_UNAVAILABLE, {"behind_seq": str(behind[0])})

    async def insurance(self) -> dict[str, Any]:
        """Return what the insurance fund holds; raises Refusal while the view reader has not seen it."""
        text = (await self.configuration())[1].get("insurance")
        if text is None:
            raise Refusal(GatewayCode.VIEW_UNAVAILABLE, {"reason": "the insurance fund's view is not written yet"})
        insurance: dict[str, Any] = orjson.loads(text)
        return insurance

    async def market(self, market: str) -> dict[str, str]:
        """Return a market's view; raises Refusal when the engine has not written it."""
        fields = await self._streams.hash_read(self._keys.view_market(market))
        if not fields:
            raise Refusal(GatewayCode.VIEW_UNAVAILABLE, {"market": market})
        return fields

    async def priced(self, markets: set[str]) -> dict[str, dict[str, str]]:
        """Return the view of each market; raises Refusal when a mark is missing, because nothing can be valued then."""
        views = {}
        for market in sorted(markets):
            views[market] = await self.market(market)
            if not views[market].get("mark"):
                raise Refusal(GatewayCode.VIEW_UNAVAILABLE, {"market": market, "reason": "no mark yet"})
        return views

    async def outcome(self, account_id: int, request_id: str) -> OutcomeRead:
        """
        Return the stored outcome of a request; what is absent was absent when the cursor stood there.

        What any gateway has answered before is there, unless the view reader does not come as far in time.
        """
        wanted = Wanted(self._tail, account_id, self._monotonic_s)
        while True:
            read = await self._read(lambda keys: ["GET", keys.outcome(account_id, request_id)])
            if await wanted.behind(read) is None or not await wanted.again():
                return OutcomeRead(orjson.loads(read.reply) if read.reply else None, read.cursor, self._rebuilt_us)

    async def configuration(self) -> tuple[Position, dict[str, str]]:
        """Return how far the view reader has come at least, and the newest configuration that it has seen."""
        read = await self._read(lambda keys: ["HGETALL", keys.view_venue])
        return read.cursor, hash_of(read.reply)

    async def cursor(self) -> Position:
        """Return how far the view reader has come."""
        return (await self._read(lambda keys: ["EXISTS", keys.view_venue])).cursor

    async def _read(self, command: Callable[[Keys], Command]) -> Read:
        """Return the reply to one command, with the cursor of the generation in force, all of one moment."""
        while True:
            keys = self._keys
            text, cursor, reply, beyond = await self._read_once(keys, command(keys))
            generation = generation_of(text)
            if generation.number == keys.generation:
                self._rebuilt_us = generation.log_time_us
                newest = seq_chunk_of_event_id(beyond[0][0]) if beyond else None
                return Read(cursor_of_text(cursor), reply, newest)
            self._keys = Keys(keys.venue, generation.number)

    async def _read_once(self, keys: Keys, command: Command) -> list[Any]:
        """Return which generation is in force, these keys' cursor, the reply, and the events' end beyond the tail."""
        beyond: Command = ["XREVRANGE", keys.events, b"+", b"(" + event_id(*self._tail.position), b"COUNT", 1]
        return await self._streams.converse(lambda _link: at_once_read(keys, command, beyond))


def account_view(fields: Mapping[str, str], seq: int, behind_seq: int | None, place: Position = (-1, 0)) -> AccountView:
    """Return an account's view from the fields of its hash."""
    return AccountView(
        orjson.loads(fields["account"]),
        _rows(fields, "position:"),
        _rows(fields, "order:"),
        {market: int(text) for market, text in _named(fields, "leverage:").items()},
        seq,
        behind_seq,
        {market: orjson.loads(text) for market, text in _named(fields, "mode:").items()},
        _guards(fields),
        _call(fields.get("margin_call")),
        {int(name): _call(text) or {} for name, text in _named(fields, "margin_call:").items()},
        (int(fields["main"]), int(fields["sub"])) if "main" in fields else None,
        {int(name): int(text) for name, text in _named(fields, "subaccount:").items()},
        place,
    )


def at_once_read(keys: Keys, *commands: Command) -> Conversation[list[Any]]:
    """Return which generation is in force, the cursor of these keys, and the replies to commands, from one moment."""
    asked: list[Command] = [["GET", keys.views_generation], ["GET", keys.views_cursor], *commands]
    replies = yield from ask(["MULTI"], *asked, ["EXEC"])
    return [expect(reply) for reply in replies[-1]]


def hash_of(flat: list[bytes]) -> dict[str, str]:
    """Return the fields of a hash as texts."""
    texts = [item.decode("utf-8", "replace") for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def cursor_of_text(text: bytes | None) -> Position:
    """Return (seq, chunk); (-1, 0), older than anything, when there is no cursor."""
    seq, _, chunk = (text or b"").partition(b"-")
    return (int(seq), int(chunk)) if seq.isdigit() and chunk.isdigit() else (-1, 0)


def _named(fields: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the fields of one kind by what follows the prefix."""
    return {name[len(prefix) :]: text for name, text in fields.items() if name.startswith(prefix)}


def _guards(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the guards that are set."""
    stored = orjson.loads(fields.get("guards", "{}"))
    return {name: value for name, value in stored.items() if name not in ("account", "seq", "log_time_us")}


def _call(text: str | None) -> dict[str, Any] | None:
    """Return a stored margin call without what the reader knows, None when there was none."""
    if text is None:
        return None
    return {name: value for name, value in orjson.loads(text).items() if name not in ("account", "seq")}


def _rows(fields: Mapping[str, str], prefix: str) -> list[dict[str, Any]]:
    """Return the rows of one kind by ascending id, without the event's own tag."""
    rows = [(int(name), orjson.loads(text)) for name, text in _named(fields, prefix).items()]
    for _number, row in rows:
        row.pop("e", None)
        row.pop("account", None)
        if "seq" in row:
            row["seq"] = str(row["seq"])
    return [row for _number, row in sorted(rows, key=lambda pair: pair[0])]
