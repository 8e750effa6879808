"""The plain types of the simulated Redis, texts and hashes, and what is asked of the server itself."""

import re
from collections.abc import Callable
from typing import Any

from tests.simulation.redis_streams import NOT_INTEGER, SYNTAX, Failure, Stream, number


def get(model: Any, arguments: list[bytes]) -> Any:
    """Return a text."""
    return model.typed(arguments[0], bytes)


def mget(model: Any, arguments: list[bytes]) -> Any:
    """Return texts; what is no text is None."""
    values = [model.lookup(key) for key in arguments]
    return [value if isinstance(value, bytes) else None for value in values]


def set_text(model: Any, arguments: list[bytes]) -> Any:
    """Write a text, with or without an end; None when it may not replace what is there."""
    key, value, rest = arguments[0], arguments[1], [each.upper() for each in arguments[2:]]
    only_new, only_old, at_ms = False, False, None
    while rest:
        option = rest.pop(0)
        if option == b"NX" and not only_old:
            only_new = True
        elif option == b"XX" and not only_new:
            only_old = True
        elif option in (b"PX", b"EX", b"PXAT") and rest and at_ms is None:
            amount = number(rest.pop(0))
            if amount <= 0:
                raise Failure("ERR invalid expire time in 'set' command")
            scale, base = {b"PX": (1, True), b"EX": (1_000, True), b"PXAT": (1, False)}[option]
            at_ms = amount * scale + (model.clock_us() // 1_000 if base else 0)
        else:
            raise Failure(SYNTAX)
    there = model.lookup(key)
    if (only_new and there is not None) or (only_old and there is None):
        return None
    if at_ms is not None and at_ms <= model.clock_us() // 1_000:
        if there is not None:
            model.remove(key)
        return b"OK"
    model.values[key] = value
    model.expires_ms.pop(key, None)
    if at_ms is not None:
        model.expires_ms[key] = at_ms
    model.touch(key, [b"SET", key, value, *([b"PXAT", b"%d" % at_ms] if at_ms is not None else [])])
    return b"OK"


def delete(model: Any, arguments: list[bytes]) -> Any:
    """Remove keys; return how many there were."""
    count = 0
    for key in arguments:
        if model.lookup(key) is not None:
            model.remove(key)
            count += 1
    return count


def exists(model: Any, arguments: list[bytes]) -> Any:
    """Return how many of the keys are there; one named twice counts twice."""
    return sum(model.lookup(key) is not None for key in arguments)


def increment(model: Any, arguments: list[bytes]) -> Any:
    """Add one to a number; an absent one is zero."""
    key = arguments[0]
    before = model.typed(key, bytes)
    value = 1 if before is None else number(before) + 1
    if value >= 1 << 63:
        raise Failure("ERR increment or decrement would overflow")
    model.values[key] = b"%d" % value
    model.touch(key, [b"INCR", key])
    return value


def rename(model: Any, arguments: list[bytes]) -> Any:
    """Give a value another key, over whatever is there."""
    source, target = arguments
    value = model.lookup(source)
    if value is None:
        raise Failure("ERR no such key")
    if source == target:
        return b"OK"
    model.lookup(target)
    at_ms = model.expires_ms.pop(source, None)
    del model.values[source]
    model.values[target] = value
    model.expires_ms.pop(target, None)
    if at_ms is not None:
        model.expires_ms[target] = at_ms
    model.touch(target, [b"RENAME", source, target])
    model.changes_count += 1
    model.versions[source] = model.changes_count
    return b"OK"


def expire(model: Any, arguments: list[bytes]) -> Any:
    """Let a key end after some milliseconds; return whether it is there."""
    key, amount = arguments[0], number(arguments[1])
    if model.lookup(key) is None:
        return 0
    at_ms = model.clock_us() // 1_000 + amount
    if amount <= 0:
        model.remove(key)
        return 1
    model.expires_ms[key] = at_ms
    model.touch(key, [b"PEXPIREAT", key, b"%d" % at_ms])
    return 1


def expire_at(model: Any, arguments: list[bytes]) -> Any:
    """Let a key end at a time; return whether it is there."""
    return expire(model, [arguments[0], b"%d" % (number(arguments[1]) - model.clock_us() // 1_000)])


def time_left(model: Any, arguments: list[bytes]) -> Any:
    """Return for how many milliseconds a key still lives: -1 for ever, -2 it does not."""
    if model.lookup(arguments[0]) is None:
        return -2
    at_ms = model.expires_ms.get(arguments[0])
    return -1 if at_ms is None else at_ms - model.clock_us() // 1_000


def kind_of(model: Any, arguments: list[bytes]) -> Any:
    """Return the type of a value."""
    value = model.lookup(arguments[0])
    return {bytes: b"string", dict: b"hash", Stream: b"stream"}.get(type(value), b"none")


def hash_set(model: Any, arguments: list[bytes]) -> Any:
    """Set fields; return how many are new."""
    key, pairs = arguments[0], arguments[1:]
    if len(pairs) % 2:
        raise Failure("ERR wrong number of arguments for 'hset' command")
    value = model.typed(key, dict)
    if value is None:
        value = {}
    model.values[key] = value
    before = len(value)
    value.update(zip(pairs[::2], pairs[1::2], strict=True))
    model.touch(key, [b"HSET", *arguments])
    return len(value) - before


def hash_delete(model: Any, arguments: list[bytes]) -> Any:
    """Remove fields; return how many there were; an empty hash goes away."""
    key = arguments[0]
    value = model.typed(key, dict)
    if value is None:
        return 0
    count = sum(value.pop(field, None) is not None for field in arguments[1:])
    if count:
        model.touch(key, [b"HDEL", *arguments])
        if not value:
            del model.values[key]
            model.expires_ms.pop(key, None)
    return count


def hash_get(model: Any, arguments: list[bytes]) -> Any:
    """Return one field."""
    return (model.typed(arguments[0], dict) or {}).get(arguments[1])


def hash_get_many(model: Any, arguments: list[bytes]) -> Any:
    """Return some fields."""
    value = model.typed(arguments[0], dict) or {}
    return [value.get(field) for field in arguments[1:]]


def hash_all(model: Any, arguments: list[bytes]) -> Any:
    """Return all fields and their values in one row."""
    value = model.typed(arguments[0], dict) or {}
    return [item for pair in value.items() for item in pair]


# --- the server


def ping(model: Any, arguments: list[bytes]) -> Any:
    """Say that the server answers."""
    return arguments[0] if arguments else b"PONG"


def time_now(model: Any, _arguments: list[bytes]) -> Any:
    """Return the server's clock as seconds and microseconds."""
    seconds, rest_us = divmod(model.clock_us(), 1_000_000)
    return [b"%d" % seconds, b"%d" % rest_us]


def info(model: Any, arguments: list[bytes]) -> Any:
    """Return the sections asked for, all of those known without a name."""
    sections = {
        b"server": {
            "redis_version": "7.2.4",
            "server_name": "valkey",
            "valkey_version": "9.1.2",
            "run_id": model.run_id,
        },
        b"memory": {"used_memory": model.memory_used, "maxmemory": model.memory_max},
        b"persistence": {"loading": int(model.loading), "aof_enabled": int(model.appendonly)},
    }
    wanted = [name.lower() for name in arguments] or list(sections)
    lines = []
    for name in wanted:
        lines.append(f"# {name.decode().capitalize()}")
        lines += [f"{field}:{value}" for field, value in sections.get(name, {}).items()]
        lines.append("")
    return "\r\n".join(lines).encode()


def config(model: Any, arguments: list[bytes]) -> Any:
    """Return a configured value by its name."""
    if len(arguments) != 2 or arguments[0].upper() != b"GET":
        raise Failure(SYNTAX)
    known = {b"appendfsync": model.appendfsync, b"maxmemory": b"%d" % model.memory_max}
    name = arguments[1].lower()
    return [name, known[name]] if name in known else []


def publish(model: Any, arguments: list[bytes]) -> Any:
    """Send a message to whoever listens; how many that are is not counted here."""
    model.published.append((arguments[0], arguments[1]))
    return 0


def scan(model: Any, arguments: list[bytes]) -> Any:
    """Return all keys of a pattern, in one page."""
    options = dict(zip((each.upper() for each in arguments[1::2]), arguments[2::2], strict=True))
    if number(arguments[0], "ERR invalid cursor") < 0 or set(options) - {b"MATCH", b"COUNT"}:
        raise Failure(SYNTAX)
    if number(options.get(b"COUNT", b"10"), NOT_INTEGER) < 1:
        raise Failure(SYNTAX)
    pattern = pattern_of(options.get(b"MATCH", b"*"))
    keys = sorted(key for key in list(model.values) if model.lookup(key) is not None and pattern.fullmatch(key))
    return [b"0", keys]


def pattern_of(glob: bytes) -> re.Pattern[bytes]:
    """Return a pattern with `*` and `?` as an expression; no other sign of it is used here."""
    assert not set(glob) & set(b"[]\\"), glob
    parts = {b"*": b".*", b"?": b"."}
    return re.compile(b"".join(parts.get(bytes([each])) or re.escape(bytes([each])) for each in glob), re.DOTALL)


def flush_all(model: Any, _arguments: list[bytes]) -> Any:
    """Remove everything."""
    for key in list(model.values):
        model.remove(key)
    return b"OK"


COMMANDS: dict[bytes, tuple[Callable[[Any, list[bytes]], Any], int]] = {
    b"PING": (ping, -1),
    b"TIME": (time_now, 1),
    b"INFO": (info, -1),
    b"CONFIG": (config, -2),
    b"PUBLISH": (publish, 3),
    b"SCAN": (scan, -2),
    b"FLUSHALL": (flush_all, -1),
    b"GET": (get, 2),
    b"MGET": (mget, -2),
    b"SET": (set_text, -3),
    b"DEL": (delete, -2),
    b"EXISTS": (exists, -2),
    b"INCR": (increment, 2),
    b"RENAME": (rename, 3),
    b"PEXPIRE": (expire, 3),
    b"PEXPIREAT": (expire_at, 3),
    b"PTTL": (time_left, 2),
    b"TYPE": (kind_of, 2),
    b"HSET": (hash_set, -4),
    b"HDEL": (hash_delete, -3),
    b"HGET": (hash_get, 3),
    b"HMGET": (hash_get_many, -3),
    b"HGETALL": (hash_all, 2),
}
