"""The stream type of the simulated Redis: entries in id order, counters that survive deletion, and its commands."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

Id = tuple[int, int]

ID_MAX = 2**64 - 1
NODE_ENTRIES = 100  # what an approximate trim takes is whole nodes; entries here are never so large that bytes decide

INVALID_ID = "ERR Invalid stream ID specified as stream command argument"
SYNTAX = "ERR syntax error"
NOT_INTEGER = "ERR value is not an integer or out of range"
EQUAL_OR_SMALLER = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
ZERO_ID = "ERR The ID specified in XADD must be greater than 0-0"


class Failure(Exception):
    """An error reply; its text is what goes over the wire."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Blocked(NamedTuple):
    """An XREAD that found nothing and may wait."""

    keys: list[bytes]
    ids: list[Id]
    count: int
    block_ms: int


class Node:
    """What the server keeps together, and takes out together when a trim may be approximate."""

    __slots__ = ("held_count", "last", "written_count")

    def __init__(self) -> None:
        self.held_count = 0
        self.written_count = 0  # what was deleted since included
        self.last: Id = (0, 0)


class Stream:
    """One stream."""

    __slots__ = ("added_count", "fields", "ids", "last", "max_deleted", "nodes")

    def __init__(self) -> None:
        self.ids: list[Id] = []
        self.fields: dict[Id, list[bytes]] = {}
        self.nodes: list[Node] = []
        self.last: Id = (0, 0)
        self.max_deleted: Id = (0, 0)
        self.added_count = 0

    def add(self, entry_id: Id, fields: list[bytes]) -> None:
        """Append one entry; its id is greater than the last."""
        if not self.nodes or self.nodes[-1].written_count == NODE_ENTRIES:
            self.nodes.append(Node())
        node = self.nodes[-1]
        node.held_count += 1
        node.written_count += 1
        node.last = entry_id
        self.ids.append(entry_id)
        self.fields[entry_id] = fields
        self.last = entry_id
        self.added_count += 1

    def entry(self, entry_id: Id) -> list[Any]:
        """Return one entry as a reply shows it."""
        return [id_text(entry_id), self.fields[entry_id]]

    def after(self, entry_id: Id, count: int) -> list[Any]:
        """Return what follows an id, at most `count` entries."""
        start = bisect_right(self.ids, entry_id)
        end = len(self.ids) if count <= 0 else start + count
        return [self.entry(each) for each in self.ids[start:end]]

    def drop_first(self, count: int, taken: dict[Id, list[bytes]]) -> None:
        """Move the oldest entries out."""
        for entry_id in self.ids[:count]:
            taken[entry_id] = self.fields.pop(entry_id)
        del self.ids[:count]

    def drop_below(self, floor: Id, approximate: bool, limit: int, taken: dict[Id, list[bytes]]) -> int:
        """Move what lies below an id out, in whole nodes when that is enough; return how many entries."""
        return self.drop(
            lambda node, _dropped: node.last < floor, bisect_left(self.ids, floor), approximate, limit, taken
        )

    def drop_beyond(self, length: int, approximate: bool, limit: int, taken: dict[Id, list[bytes]]) -> int:
        """Move the oldest out until so many are left, in whole nodes when that is enough; return how many."""
        count = max(0, len(self.ids) - length)
        return self.drop(lambda node, dropped: dropped + node.held_count <= count, count, approximate, limit, taken)

    def drop(
        self,
        goes: Callable[["Node", int], bool],
        count: int,
        approximate: bool,
        limit: int,
        taken: dict[Id, list[bytes]],
    ) -> int:
        """Move the nodes that go out, and up to `count` entries when that must be exact; return how many entries."""
        dropped = 0
        while self.nodes and goes(self.nodes[0], dropped):
            if limit and dropped + self.nodes[0].held_count > limit:
                break
            dropped += self.nodes.pop(0).held_count
        if not approximate and dropped < count:
            self.nodes[0].held_count -= count - dropped
            dropped = count
        self.drop_first(dropped, taken)
        return dropped

    def delete(self, entry_id: Id) -> int:
        """Remove one entry; return how many there were."""
        if entry_id not in self.fields:
            return 0
        index = bisect_left(self.ids, entry_id)
        del self.ids[index], self.fields[entry_id]
        place = 0
        for number_of_node, node in enumerate(self.nodes):
            place += node.held_count
            if index < place:
                node.held_count -= 1
                if not node.held_count:
                    del self.nodes[number_of_node]
                break
        self.max_deleted = max(self.max_deleted, entry_id)
        return 1


def id_text(entry_id: Id) -> bytes:
    """Return an id as the server writes it."""
    return b"%d-%d" % entry_id


def number(text: bytes, failure: str = NOT_INTEGER) -> int:
    """Return a number as the server reads it."""
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or (len(digits) > 1 and digits[:1] == b"0") or text == b"-0":
        raise Failure(failure)
    return int(text)


def id_read(text: bytes, missing: int, strict: bool = False) -> Id:
    """Return an id; `missing` stands for a second part that is not there, which a strict reader refuses."""
    if text == b"-" and not strict:
        return (0, 0)
    if text == b"+" and not strict:
        return (ID_MAX, ID_MAX)
    first, dash, second = text.partition(b"-")
    if not first.isdigit() or (dash and not second.isdigit()):
        raise Failure(INVALID_ID)
    entry_id = int(first), int(second) if dash else missing
    if max(entry_id) > ID_MAX:
        raise Failure(INVALID_ID)
    return entry_id


def xadd(model: Any, arguments: list[bytes]) -> Any:
    """Append an entry under its own id or the next; return the id, None when there is no stream and none is wanted."""
    key, place, create = arguments[0], 1, True
    if arguments[place].upper() == b"NOMKSTREAM":
        create, place = False, 2
    text, fields = arguments[place], arguments[place + 1 :]
    entry_id = None if text == b"*" else id_read(text, 0, strict=True)
    if not fields or len(fields) % 2:
        raise Failure("ERR wrong number of arguments for 'xadd' command")
    if entry_id == (0, 0):
        raise Failure(ZERO_ID)
    stream = model.typed(key, Stream)
    if stream is None:
        if not create:
            return None
        stream = Stream()
    if stream.last == (ID_MAX, ID_MAX):
        raise Failure("ERR The stream has exhausted the last possible ID, unable to add more items")
    if entry_id is None:
        now_ms = model.clock_us() // 1_000
        entry_id = (now_ms, 0) if now_ms > stream.last[0] else (stream.last[0], stream.last[1] + 1)
    elif entry_id <= stream.last:
        raise Failure(EQUAL_OR_SMALLER)
    model.values[key] = stream
    stream.add(entry_id, fields)
    model.touch(key, [b"XADD", key, id_text(entry_id), *fields])
    return id_text(entry_id)


def xrange(model: Any, arguments: list[bytes]) -> Any:
    """Return the entries between two ids, both included."""
    return between(model, arguments[0], arguments[1], arguments[2], arguments[3:], 1)


def xrevrange(model: Any, arguments: list[bytes]) -> Any:
    """Return the same, the newest first; the bounds are given the other way round."""
    return between(model, arguments[0], arguments[2], arguments[1], arguments[3:], -1)


def between(model: Any, key: bytes, low: bytes, high: bytes, options: list[bytes], step: int) -> Any:
    """Return the entries between two ids in one direction."""
    first = id_read(low.removeprefix(b"("), 0)
    last = id_read(high.removeprefix(b"("), ID_MAX)
    count = -1
    if options:
        if len(options) != 2 or options[0].upper() != b"COUNT":
            raise Failure(SYNTAX)
        count = number(options[1])
    stream = model.typed(key, Stream)
    if stream is None:
        return []
    start = (bisect_right if low[:1] == b"(" else bisect_left)(stream.ids, first)
    end = (bisect_left if high[:1] == b"(" else bisect_right)(stream.ids, last)
    ids = stream.ids[start : max(start, end)]
    if step < 0:
        ids.reverse()
    if options and count <= 0:
        return None
    return [stream.entry(entry_id) for entry_id in (ids[:count] if count > 0 else ids)]


def xread_parse(arguments: list[bytes]) -> tuple[int, int | None, list[bytes], list[bytes]]:
    """Return COUNT (0: all), BLOCK (None: do not), keys and ids of an XREAD."""
    count, block_ms, place = 0, None, 0
    while place < len(arguments):
        option = arguments[place].upper()
        if option == b"STREAMS":
            break
        if option not in (b"COUNT", b"BLOCK") or place + 1 >= len(arguments):
            raise Failure(SYNTAX)
        value = number(
            arguments[place + 1], "ERR timeout is not an integer or out of range" if option == b"BLOCK" else NOT_INTEGER
        )
        if option == b"COUNT":
            count = max(0, value)
        elif value < 0:
            raise Failure("ERR timeout is negative")
        else:
            block_ms = value
        place += 2
    rest = arguments[place + 1 :]
    if not rest:
        raise Failure(SYNTAX)
    if len(rest) % 2:
        raise Failure("ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.")
    half = len(rest) // 2
    return count, block_ms, rest[:half], rest[half:]


def xread(model: Any, arguments: list[bytes]) -> Any:
    """Return what follows the ids in their streams; when nothing does, None or how the caller waits."""
    count, block_ms, keys, texts = xread_parse(arguments)
    found = []
    ends = []
    for key, text in zip(keys, texts, strict=True):
        stream = model.typed(key, Stream)
        if text == b"$":
            ends.append(stream.last if stream is not None else (0, 0))
            continue
        entry_id = id_read(text, 0, strict=True)
        ends.append(entry_id)
        rows = stream.after(entry_id, count) if stream is not None else []
        if rows:
            found.append([key, rows])
    if found or block_ms is None:
        return found or None
    return Blocked(keys, ends, count, block_ms)


def xtrim(model: Any, arguments: list[bytes]) -> Any:
    """Remove the oldest entries; return how many."""
    key, strategy, place = arguments[0], arguments[1].upper(), 2
    if strategy not in (b"MINID", b"MAXLEN"):
        raise Failure(SYNTAX)
    approximate = arguments[place] == b"~"
    place += arguments[place] in (b"~", b"=")
    threshold, options, limit = arguments[place], arguments[place + 1 :], 0
    floor = id_read(threshold, 0, strict=True) if strategy == b"MINID" else None
    length = 0 if floor is not None else number(threshold)
    if options:
        if len(options) != 2 or options[0].upper() != b"LIMIT":
            raise Failure(SYNTAX)
        limit = number(options[1])
    if options and not approximate:
        raise Failure("ERR syntax error, LIMIT cannot be used without the special ~ option")
    stream = model.typed(key, Stream)
    if stream is None:
        return 0
    limit = limit or (100 * NODE_ENTRIES if approximate else 0)
    taken = model.trimmed.setdefault(key, {})
    if floor is None:
        dropped = stream.drop_beyond(length, approximate, limit, taken)
    else:
        dropped = stream.drop_below(floor, approximate, limit, taken)
    if dropped:
        kept = stream.ids[0] if stream.ids else (ID_MAX, ID_MAX)
        model.touch(key, [b"XTRIM", key, b"MINID", id_text(kept)])
    return dropped


def xdel(model: Any, arguments: list[bytes]) -> Any:
    """Remove entries by id; return how many."""
    stream = model.typed(arguments[0], Stream)
    if stream is None:
        return 0
    ids = [id_read(text, 0, strict=True) for text in arguments[1:]]
    count = sum(stream.delete(entry_id) for entry_id in ids)
    if count:
        model.touch(arguments[0], [b"XDEL", *arguments])
    return count


def xlen(model: Any, arguments: list[bytes]) -> Any:
    """Return how many entries there are."""
    stream = model.typed(arguments[0], Stream)
    return 0 if stream is None else len(stream.ids)


def xsetid(model: Any, arguments: list[bytes]) -> Any:
    """Set the last id, and the counters with it."""
    key, options = arguments[0], arguments[2:]
    last = id_read(arguments[1], 0, strict=True)
    added, deleted = None, None
    if len(options) % 2:
        raise Failure(SYNTAX)
    for name, value in zip(options[::2], options[1::2], strict=True):
        if name.upper() == b"ENTRIESADDED":
            added = number(value)
            if added < 0:
                raise Failure("ERR entries_added must be positive")
        elif name.upper() == b"MAXDELETEDID":
            deleted = id_read(value, 0, strict=True)
            if last < deleted:
                raise Failure("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
        else:
            raise Failure(SYNTAX)
    stream = model.typed(key, Stream)
    if stream is None:
        raise Failure("ERR no such key")
    if last < stream.max_deleted:
        raise Failure("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
    if stream.ids:
        if last < stream.ids[-1]:
            raise Failure("ERR The ID specified in XSETID is smaller than the target stream top item")
        if added is not None and len(stream.ids) > added:
            raise Failure("ERR The entries_added specified in XSETID is smaller than the target stream length")
    stream.last = last
    if added is not None:
        stream.added_count = added
    if deleted is not None and deleted != (0, 0):
        stream.max_deleted = deleted
    model.journal_add([b"XSETID", *arguments])
    return b"OK"


def xinfo(model: Any, arguments: list[bytes]) -> Any:
    """Return what the server tells of a stream."""
    if len(arguments) != 2 or arguments[0].upper() != b"STREAM":
        raise Failure(SYNTAX)
    stream = model.typed(arguments[1], Stream)
    if stream is None:
        raise Failure("ERR no such key")
    first = stream.ids[0] if stream.ids else (0, 0)
    facts: dict[bytes, Any] = {
        b"length": len(stream.ids),
        b"radix-tree-keys": len(stream.nodes),
        b"radix-tree-nodes": len(stream.nodes) + 1,
        b"last-generated-id": id_text(stream.last),
        b"max-deleted-entry-id": id_text(stream.max_deleted),
        b"entries-added": stream.added_count,
        b"recorded-first-entry-id": id_text(first),
        b"groups": 0,
        b"first-entry": stream.entry(stream.ids[0]) if stream.ids else None,
        b"last-entry": stream.entry(stream.ids[-1]) if stream.ids else None,
    }
    return [item for pair in facts.items() for item in pair]


COMMANDS: dict[bytes, tuple[Callable[[Any, list[bytes]], Any], int]] = {
    b"XADD": (xadd, -5),
    b"XRANGE": (xrange, -4),
    b"XREVRANGE": (xrevrange, -4),
    b"XREAD": (xread, -4),
    b"XTRIM": (xtrim, -4),
    b"XDEL": (xdel, -3),
    b"XLEN": (xlen, 2),
    b"XSETID": (xsetid, -3),
    b"XINFO": (xinfo, -2),
}
