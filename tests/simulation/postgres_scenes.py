"""Random transactions for the simulated Postgres and a real one, the same code for both: what they answer, in order."""

import contextlib
import random
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from engine import rows
from gateway import candles, day_change, equity, readiness
from gateway import history as gateway_history
from persister import archiver, audit, history, rebuild, trimming
from shared import refusal
from shared.database import DatabaseRefused
from tests import history_statements

SQLSTATE = re.compile(r"[0-9A-Z]{5} ")
DRIVERS_OWN = "22000 "  # under which the driver says that it takes a value for no such type
MARKETS = ("BTC_USDC_PERP", "ETH_USDC_PERP")

Draw = Callable[[random.Random], Any]


class Act(NamedTuple):
    """One statement; `verb` is one of Database's."""

    verb: str
    sql: str
    arguments: tuple[Any, ...]


class Piece(NamedTuple):
    """Acts that belong together: alone, in a transaction, or in a savepoint; `fails` rolls them back at the end."""

    kind: str  # plain, transaction, savepoint
    acts: list[Any]  # Act, or Piece of a savepoint
    fails: bool


class Deliberate(Exception):
    """Rolls a piece back."""


def small(limit: int) -> Draw:
    """Return what draws a small number."""
    return lambda chance: chance.randrange(limit)


def one_of(*values: Any) -> Draw:
    """Return what draws one of these."""
    return lambda chance: chance.choice(values)


def json_any(chance: random.Random) -> Any:
    """Return an event, or something that is none; seldom what Postgres takes in no JSON."""
    body = {"market": chance.choice(MARKETS), "side": chance.choice(("buy", "sell")), "qty": "0.10", "list": [1, None]}
    return chance.choice((body, body, body, {}, {"price_average": "7.5", "side": "buy"}, ["x"], {"text": "a\x00b"}))


def document(chance: random.Random) -> Any:
    """Return a snapshot, or something that cannot be read as one."""
    seq = chance.choice((*range(1, 9), *range(1, 9), "5", "05", "x", -1, None, 10**18, 1.5))
    return {"venue": chance.choice((*VENUES, *VENUES, None, 7)), "seq": seq, "tables": {"a": chance.randrange(9)}}


VENUES = ("venue_a", "venue_b")
venue, market, data = one_of(*VENUES), one_of(*MARKETS), json_any
seq, chunk, index, account, number_of = small(8), small(2), small(2), small(3), small(4)
time_us = one_of(0, 1, 10**15, 2**63 - 1)
digest = one_of(b"", b"\x00\xff", b"d" * 32)
text = one_of("x", "é", "", "{}")
amount = one_of(Decimal("0"), Decimal("-1.000001"), Decimal("12345678901234567890.123456"))


def minute(chance: random.Random) -> Any:
    """Return the event of a minute, with prices or without."""
    low, high = sorted(f"{chance.randrange(5)}.{chance.randrange(10)}" for _ in range(2))
    prices = {"open": low, "high": high, "low": low, "close": high} if chance.random() < 0.8 else {}
    return prices | {"quotes": chance.randrange(9)}


def page_draws(feed: gateway_history.Feed, filters: tuple[str, ...]) -> tuple[Draw, ...]:
    """Return what the arguments of a page of a history may be."""
    asked = {"market": market, "side": one_of("buy", "sell"), "reason": one_of("filled", "fee")}
    owner = account if feed.owner == gateway_history.ACCOUNT else market
    before = (one_of(0, 2, 10**15, 2**62), one_of(-1, 3, 9), one_of(-1, 0, 600))
    return (
        venue,
        owner,
        one_of(0, 1, 10**15),
        *before,
        one_of(1, 3, 50),
        *(asked.get(name, small(4)) for name in filters),
    )


# Every statement that the simulated processes use, with what its arguments may be.
STATEMENTS: dict[str, tuple[str, tuple[Draw, ...]]] = {
    rows.SNAPSHOT_UPSERT: ("fetchrow", (document, venue, seq)),
    rows.VENUES_ENDED: ("fetch", ()),
    rows.VENUES_WITH_SNAPSHOT: ("fetch", ()),
    rows.KEYFRAME_INSERT: ("execute", (venue, seq, one_of("", "", "border"), small(4), time_us, text)),
    rows.KEYFRAMES_PRUNE: ("execute", (venue,)),
    rows.SNAPSHOT_SEQS: ("fetch", (venue,)),
    rows.KEYFRAME_COUNTS: ("execute", (venue, seq, time_us)),
    rows.KEYFRAME_COUNTED: ("fetchrow", (venue,)),
    rows.ARCHIVE_READ: ("fetchrow", (venue,)),
    rows.VENUE_INSERT: ("execute", (venue, time_us)),
    rows.VENUE_LIVE: ("fetchrow", ()),
    rows.SNAPSHOT_OF_ROW: ("fetchrow", (venue, seq)),
    rows.SNAPSHOT_OF_KEYFRAME: ("fetchrow", (venue, seq)),
    rows.SNAPSHOT_THERE: ("fetchrow", ()),
    rows.HISTORY_CURSOR: ("fetchrow", (venue,)),
    archiver.CURSOR_WRITE: ("execute", (venue, seq, digest, time_us)),
    archiver.CURSOR_READ: ("fetchrow", (venue,)),
    archiver.SEGMENTS_KNOWN: ("fetch", (venue,)),
    archiver.SEGMENT_WRITE: ("execute", (venue, seq, seq, time_us, time_us, text, time_us, digest)),
    audit.HEAD_READ: ("fetchrow", (venue,)),
    audit.HEAD_WRITE: ("execute", (venue, seq, seq, digest)),
    audit.AUDIT_INSERT: (
        "execute",
        (venue, seq, time_us, time_us, account, text, text, text, one_of(None, b"{}"), text, text, digest),
    ),
    audit.RESTORING: ("execute", ()),
    audit.AUDIT_DELETE: ("execute", (venue, seq)),
    audit.AUDIT_LAST: ("fetchrow", (venue,)),
    audit.AUDIT_COUNT: ("fetchrow", (venue,)),
    audit.HEAD_DELETE: ("execute", (venue,)),
    history.CURSOR_FOUND: ("execute", (venue,)),
    history.CURSOR_READ: ("fetchrow", (venue,)),
    history.CURSOR_MOVE: ("execute", (venue, seq, chunk, seq, chunk, digest, time_us)),
    history.REJECT_INSERT: ("execute", (venue, seq, chunk, index, text, text, digest)),
    history.INSERTS["closed_order"]: ("execute", (venue, account, number_of, market, seq, index, time_us, data)),
    history.INSERTS["closed_position"]: ("execute", (venue, account, number_of, market, seq, index, time_us, data)),
    history.INSERTS["fill"]: ("execute", (venue, account, number_of, number_of, market, seq, index, time_us, data)),
    history.INSERTS["funding"]: ("execute", (venue, account, number_of, seq, market, seq, index, amount, data)),
    history.INSERTS["liquidation"]: (
        "execute",
        (venue, market, seq, index, one_of("liquidation", "adl"), account, number_of, number_of, time_us, data),
    ),
    history.INSERTS["ledger"]: ("execute", (venue, account, seq, chunk, index, time_us, amount, data)),
    history.INSERTS["candle"]: ("execute", (venue, market, seq, seq, minute)),
    history.INSERTS["trade"]: ("execute", (venue, market, seq, index, time_us, data)),
    history.INSERTS["funding_settled"]: ("execute", (venue, market, seq, seq, index, data)),
    rebuild.ROW_SELECT: ("fetchrow", (venue,)),
    rebuild.KEYFRAME_SELECT: ("fetchrow", (venue, small(3))),
    trimming.KEYFRAMES_COUNTED: ("fetch", (venue, one_of(0.0, 300.0, 1e6))),
    trimming.HISTORY_CURSOR: ("fetchrow", (venue,)),
    gateway_history.CURSOR_SELECT: ("fetchrow", (venue,)),
    **{
        sql: ("fetch", page_draws(feed, filters))
        for sql, (feed, filters) in history_statements.PAGES.items()
        if len(filters) in (0, len(feed.filters))
    },
    candles.NEWEST_SELECT: ("fetchrow", (venue, market, one_of(0, 3, 2**52))),
    day_change.OPEN_SELECT: ("fetchrow", (venue, market, one_of(0, 3, 2**52))),
    equity.SPAN_SELECT: ("fetchrow", (venue, account)),
    equity.BALANCES_SELECT: ("fetch", (venue, account, one_of(0, 2, 10**15), one_of(1, 2**62), one_of(1, 60_000_000))),
    candles.CANDLES_SELECT: ("fetch", (venue, market, one_of(1, 2, 5), small(4), one_of(2, 8), one_of(1, 3, 50))),
    gateway_history.LIQUIDATIONS_SELECT: ("fetch", (venue, market, one_of(1, 3, 2**62), small(2), one_of(1, 3, 50))),
    readiness.SNAPSHOT_SELECT: ("fetchrow", (venue,)),
    readiness.CURSOR_SELECT: ("fetchrow", (venue,)),
    refusal.REFUSAL_INSERT: ("execute", (venue, text, data)),
    refusal.REFUSAL_SELECT: ("fetchrow", (venue,)),
}
POISON = ("a\x00b", 2**63, -(2**63) - 1, None, "\ud800", 1.5)


POISONED = [sql for sql in STATEMENTS if "INSERT" in sql and "VALUES ($1" in sql]


def act(chance: random.Random) -> Act:
    """Return a statement with random arguments, seldom one that Postgres or the driver refuses."""
    sql = chance.choice(list(STATEMENTS))
    verb, draws = STATEMENTS[sql]
    arguments = [draw(chance) for draw in draws]
    if sql in POISONED and chance.random() < 0.05:
        arguments[chance.randrange(len(arguments))] = chance.choice(POISON)
    if verb == "execute" and arguments and chance.random() < 0.15:
        return Act(
            "executemany", sql, tuple(tuple(draw(chance) for draw in draws) for _ in range(chance.randrange(1, 4)))
        )
    return Act(verb, sql, tuple(arguments))


def piece(chance: random.Random) -> Piece:
    """Return some statements, alone or in a transaction, some of them in savepoints."""
    if chance.random() < 0.5:
        return Piece("plain", [act(chance) for _ in range(chance.randrange(1, 4))], False)
    acts: list[Any] = []
    for _ in range(chance.randrange(1, 6)):
        inner = [act(chance) for _ in range(chance.randrange(1, 3))]
        acts.append(Piece("savepoint", inner, chance.random() < 0.2) if chance.random() < 0.4 else inner[0])
    return Piece("transaction", acts, chance.random() < 0.25)


async def play(verbs: Any, part: Any, told: list[Any]) -> None:
    """Run an act or a piece and tell what came of it; an error inside a piece ends it, as it would in the shell."""
    if isinstance(part, Act):
        result = await getattr(verbs, part.verb)(
            part.sql, *([part.arguments] if part.verb == "executemany" else part.arguments)
        )
        told.append(comparable(part.sql, result))
        return
    if part.kind == "plain":
        for each in part.acts:
            await refusals_told(play(verbs, each, told), told)
        return
    with contextlib.suppress(Deliberate):
        async with verbs.transaction() as statements:
            for each in part.acts:
                # A savepoint's error is over with it; any other ends the transaction.
                if isinstance(each, Piece):
                    await refusals_told(play(statements, each, told), told)
                else:
                    await play(statements, each, told)
            if part.fails:
                raise Deliberate


async def refusals_told(work: Any, told: list[Any]) -> None:
    """Tell a refusal instead of passing it on."""
    try:
        await work
    except DatabaseRefused as error:
        told.append(refusal_comparable(error))


def refusal_comparable(error: DatabaseRefused) -> str:
    """Return what two servers must agree on of a refusal: its code, or that the driver refused."""
    words = str(error)
    return words[:5] if SQLSTATE.match(words) and not words.startswith(DRIVERS_OWN) else "driver"


def comparable(sql: str, result: Any) -> Any:
    """Return a result without what differs between two servers that hold the same."""
    if isinstance(result, dict):
        return {name: "age" if name == "age_s" else value for name, value in result.items()}
    if isinstance(result, list):
        listed = [comparable(sql, row) for row in result]
        return listed if "ORDER BY" in sql else sorted(listed, key=canonical)
    return result


def canonical(value: Any) -> str:
    """Return a value as a text that does not depend on the order of keys."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {canonical(value[key])}" for key in sorted(value)) + "}"
    return repr(value)
