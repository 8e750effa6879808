"""Random command histories for the simulated Redis and a real one: mostly sensible, often on the edge, some wrong."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.simulation.redis_model import RedisModel

BASE = 10**15
TEXTS = (b"", b"1", b"7", b"-3", b"09", b"x", b"\x00\xff", b"a\r\nb", b"9223372036854775807", b"value")
FIELDS = (b"f", b"g", b"h", b"")


class Act(NamedTuple):
    """One step of a history: who sends what."""

    session: int
    command: list[bytes]


class History:
    """Draws one history; looks at the model only to know where a stream ends."""

    def __init__(self, chance: random.Random, model: RedisModel, prefix: bytes) -> None:
        self.chance = chance
        self.model = model
        self.keys = [prefix + name for name in (b"a", b"b", b"c")]
        self.streams = [prefix + name for name in (b"log", b"events")]
        self.weights = {
            self.stream_add: 30, self.stream_read: 22, self.stream_shrink: 10, self.stream_counters: 8,
            self.text: 20, self.table: 14, self.control: 16, self.life: 10, self.wrong: 5,
        }  # fmt: skip

    def act(self) -> Act:
        """Return the next step."""
        [draw] = self.chance.choices(list(self.weights), list(self.weights.values()))
        return Act(self.chance.randrange(2), draw())

    def key(self) -> bytes:
        """Return a key, seldom of the other kind."""
        return self.chance.choice(self.streams if self.chance.random() < 0.05 else self.keys)

    def stream(self) -> bytes:
        """Return a stream's key, seldom of the other kind."""
        return self.chance.choice(self.keys if self.chance.random() < 0.05 else self.streams)

    def text_any(self) -> bytes:
        """Return a value."""
        return self.chance.choice(TEXTS)

    def id(self, key: bytes) -> bytes:
        """Return an id near the end of a stream, or near its beginning, seldom a strange one."""
        chance, last = self.chance, self.model.stream(key).last
        roll = chance.random()
        if roll < 0.05:
            return chance.choice(
                (
                    b"0-0",
                    b"0",
                    b"5",
                    b"-",
                    b"+",
                    b"x",
                    b"1-",
                    b"-1-1",
                    b"1-x",
                    b"18446744073709551615-18446744073709551615",
                )
            )
        first, second = (BASE, 0) if roll < 0.3 else last
        first = max(0, first + chance.choice((0, 0, 0, 0, 1, -1)))
        return b"%d-%d" % (first, max(0, second + chance.randrange(-6, 5)))

    def stream_add(self) -> list[bytes]:
        """Return an XADD."""
        chance, key = self.chance, self.stream()
        options = [b"NOMKSTREAM"] if chance.random() < 0.4 else []
        stream_id = b"*" if chance.random() < 0.6 and self.model.stream(key).last[0] >= BASE else self.id(key)
        if self.model.stream(key).last < (BASE, 0) and chance.random() < 0.8:
            stream_id = b"%d-%d" % (BASE, chance.randrange(1, 4))
        pairs = [part for _ in range(chance.randrange(1, 4)) for part in (chance.choice(FIELDS), self.text_any())]
        if chance.random() < 0.02:
            pairs.pop()
        return [b"XADD", key, *options, stream_id, *pairs]

    def stream_read(self) -> list[bytes]:
        """Return a command that reads a stream."""
        chance, key = self.chance, self.stream()
        count = [b"COUNT", chance.choice((b"1", b"1", b"2", b"5", b"1000", b"0", b"-1", b"x"))]
        match chance.choice(("range", "reverse", "read", "read", "info", "length")):
            case "range":
                ends = chance.choice(((b"-", b"+"), (self.id(key), self.id(key)), (self.id(key), b"+")))
                return [b"XRANGE", key, *ends, *(count if chance.random() < 0.6 else [])]
            case "reverse":
                ends = chance.choice(((b"+", b"-"), (self.id(key), self.id(key)), (b"+", self.id(key))))
                return [b"XREVRANGE", key, *ends, *(count if chance.random() < 0.6 else [])]
            case "read":
                block = [b"BLOCK", b"100000"] if chance.random() < 0.3 else []
                place = b"$" if block and chance.random() < 0.2 else self.id(key).replace(b"+", b"0-0")
                return [b"XREAD", *(count if chance.random() < 0.6 else []), *block, b"STREAMS", key, place]
            case "info":
                return [b"XINFO", b"STREAM", key]
            case _:
                return [b"XLEN", key]

    def stream_shrink(self) -> list[bytes]:
        """Return a command that takes entries out of a stream."""
        chance, key = self.chance, self.stream()
        if chance.random() < 0.4:
            return [b"XDEL", key, *(self.id(key) for _ in range(chance.randrange(1, 3)))]
        about = chance.choice(([], [b"="], [b"~"], [b"~"]))
        limit = [b"LIMIT", chance.choice((b"0", b"1", b"100", b"150", b"x"))] if chance.random() < 0.3 else []
        if chance.random() < 0.2:
            return [b"XTRIM", key, b"MAXLEN", *about, chance.choice((b"0", b"1", b"5", b"100")), *limit]
        return [b"XTRIM", key, b"MINID", *about, self.id(key), *limit]

    def stream_counters(self) -> list[bytes]:
        """Return an XSETID."""
        chance, key = self.chance, self.stream()
        options: list[bytes] = []
        if chance.random() < 0.6:
            options += [b"ENTRIESADDED", chance.choice((b"0", b"3", b"10", b"500", b"-1", b"x"))]
            options += [b"MAXDELETEDID", chance.choice((b"0-0", self.id(key)))]
        if chance.random() < 0.05:
            options = options[:1]
        return [b"XSETID", key, self.id(key), *options]

    def text(self) -> list[bytes]:
        """Return a command on texts."""
        chance, key = self.chance, self.key()
        match chance.choice(("get", "set", "set", "many", "increment")):
            case "get":
                return [b"GET", key]
            case "many":
                return [b"MGET", *(self.key() for _ in range(chance.randrange(1, 4)))]
            case "increment":
                return [b"INCR", key]
            case _:
                options = chance.choice(
                    (
                        [],
                        [],
                        [b"NX"],
                        [b"PX", b"100000"],
                        [b"PXAT", b"1"],
                        [b"PX", b"0"],
                        [b"PX"],
                        [b"NX", b"PX", b"100000"],
                        [b"XX"],
                        [b"no"],
                    )
                )
                return [b"SET", key, self.text_any(), *options]

    def table(self) -> list[bytes]:
        """Return a command on hashes."""
        chance, key = self.chance, self.key()
        match chance.choice(("set", "set", "delete", "get", "some", "all")):
            case "set":
                pairs = [
                    part for _ in range(chance.randrange(1, 4)) for part in (chance.choice(FIELDS), self.text_any())
                ]
                return [b"HSET", key, *(pairs[:-1] if chance.random() < 0.05 else pairs)]
            case "delete":
                return [b"HDEL", key, *(chance.choice(FIELDS) for _ in range(chance.randrange(1, 3)))]
            case "get":
                return [b"HGET", key, chance.choice(FIELDS)]
            case "some":
                return [b"HMGET", key, b"f", b"nowhere"]
            case _:
                return [b"HGETALL", key]

    def control(self) -> list[bytes]:
        """Return a part of a transaction."""
        chance = self.chance
        name = chance.choice(
            (b"MULTI", b"MULTI", b"EXEC", b"EXEC", b"EXEC", b"WATCH", b"WATCH", b"DISCARD", b"UNWATCH")
        )
        return [name, self.key(), self.stream()] if name == b"WATCH" else [name]

    def life(self) -> list[bytes]:
        """Return a command on keys as such."""
        chance, key = self.chance, chance_key(self)
        match chance.choice(("delete", "delete", "exists", "rename", "rename", "expire", "left", "type", "scan")):
            case "delete":
                return [b"DEL", key, self.key()]
            case "exists":
                return [b"EXISTS", key, key, self.key()]
            case "rename":
                return [b"RENAME", key, chance.choice((self.key(), self.stream()))]
            case "expire":
                return [b"PEXPIRE", key, chance.choice((b"100000", b"0", b"-5", b"x"))]
            case "left":
                return [b"PTTL", key]
            case "type":
                return [b"TYPE", key]
            case _:
                prefix = key[: key.index(b":") + 1]
                return [b"SCAN", b"0", b"MATCH", prefix + chance.choice((b"*", b"?", b"l*", b"*g")), b"COUNT", b"1000"]

    def wrong(self) -> list[bytes]:
        """Return something that no server takes."""
        chance, key = self.chance, self.key()
        return chance.choice(
            (
                [b"GET"], [b"GET", key, key], [b"SET", key], [b"XADD", key], [b"XADD", key, b"1-1"], [b"NOSUCH", key],
                [b"HSET", key, b"f"], [b"XREAD", b"COUNT", b"1", b"STREAMS", key], [b"XRANGE", key, b"-"],
                [b"XREAD", b"BLOCK", b"-1", b"STREAMS", key, b"0-0"],
                [b"XREAD", b"BLOCK", b"x", b"STREAMS", key, b"0-0"],
                [b"RENAME", key], [b"XTRIM", key, b"MINID"], [b"WATCH"], [b"PING"],
                [b"PING", b"hello"], [b"XSETID", key], [b"xlen", key], [b"XDEL", key, b"1-x"],
            )
        )  # fmt: skip


def chance_key(history: History) -> bytes:
    """Return any key of a history."""
    return history.chance.choice([*history.keys, *history.streams])


def comparable(command: list[bytes], reply: Any, queue: Sequence[list[bytes]] = ()) -> Any:
    """Return a reply without what differs between two servers that hold the same; `queue`: what an EXEC runs."""
    if isinstance(reply, Exception):
        return type(reply).__name__, str(reply)
    name = command[0].upper()
    if name == b"XINFO" and isinstance(reply, list):
        facts = dict(zip(reply[::2], reply[1::2], strict=True))
        return sorted((key, repr(value)) for key, value in facts.items() if key in XINFO_FACTS)
    if name == b"HGETALL" and isinstance(reply, list):
        return sorted(zip(reply[::2], reply[1::2], strict=True))
    if name == b"SCAN" and isinstance(reply, list):
        return reply[0], sorted(reply[1])
    if name == b"PTTL" and isinstance(reply, int):
        return min(reply, 1)
    if name == b"EXEC" and isinstance(reply, list):
        return [comparable(each, item) for each, item in zip(queue, reply, strict=True)]
    return reply


XINFO_FACTS = (
    b"length", b"radix-tree-keys", b"last-generated-id", b"max-deleted-entry-id", b"entries-added",
    b"recorded-first-entry-id", b"groups", b"first-entry", b"last-entry",
)  # fmt: skip
