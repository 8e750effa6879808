"""
What the simulated Redis holds and how it answers, without any network: commands in, replies out, at given times.

Checked against a real server by random command sequences (test_redis_model.py). Only what the project uses is there;
any other command is an error, so that nothing is believed that was not compared. Every change is kept in a journal, as
the append-only file keeps it: a restart is a replay of it, whole or cut.
"""

from collections.abc import Callable
from typing import Any

from tests.simulation import redis_streams, redis_values
from tests.simulation.redis_streams import Blocked, Failure, Stream

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
OOM = "OOM command not allowed when used memory > 'maxmemory'."
READ_ONLY = "READONLY You can't write against a read only replica."
LOADING = "LOADING Valkey is loading the dataset in memory"
ABORTED = "EXECABORT Transaction discarded because of previous errors."
NESTED = "ERR Command '%s' not allowed inside a transaction"

Value = bytes | dict[bytes, bytes] | Stream


class Session:
    """What the server keeps of one connection."""

    def __init__(self) -> None:
        self.queue: list[list[bytes]] | None = None  # after MULTI
        self.broken = False  # a queued command was refused
        self.watched: dict[bytes, int] = {}
        self.channels: list[bytes] = []


class RedisModel:
    """One server's data."""

    def __init__(self, clock_us: Callable[[], int], run_id: str = "0" * 40, journaled: bool = True) -> None:
        self.clock_true_us = clock_us
        self.clock_offset_us = 0
        self.run_id = run_id
        self.values: dict[bytes, Any] = {}
        self.expires_ms: dict[bytes, int] = {}
        self.versions: dict[bytes, int] = {}  # of every key ever changed; for WATCH
        self.changes_count = 0
        self.changed: set[bytes] = set()  # streams that grew since the blocked readers were looked at
        self.published: list[tuple[bytes, bytes]] = []  # what waits to be sent to listeners
        self.trimmed: dict[bytes, dict[Any, list[bytes]]] = {}  # what XTRIM ever took: the world's truth, no server's
        self.journal: list[list[list[bytes]]] = []  # one item a command or transaction
        self.journaled = journaled
        self.transaction: list[list[bytes]] | None = None
        self.oom = False
        self.readonly = False
        self.loading = False
        self.memory_used = 1_000_000
        self.memory_max = 0
        self.appendonly = True
        self.appendfsync = b"always"

    # --- what commands are made of ---------------------------------------------------------------------------------

    def clock_us(self) -> int:
        """Return the server's wall clock."""
        return self.clock_true_us() + self.clock_offset_us

    def lookup(self, key: bytes) -> Any:
        """Return a value, None when it is absent or has expired."""
        at_ms = self.expires_ms.get(key)
        if at_ms is not None and at_ms <= self.clock_us() // 1_000:
            self.remove(key)
            return None
        return self.values.get(key)

    def typed(self, key: bytes, kind: type) -> Any:
        """Return a value of this type or None; raises Failure for another type."""
        value = self.lookup(key)
        if value is not None and not isinstance(value, kind):
            raise Failure(WRONG_TYPE)
        return value

    def touch(self, key: bytes, effect: list[bytes]) -> None:
        """Note that a key changed, and by which command it would change so again."""
        self.changes_count += 1
        self.versions[key] = self.changes_count
        if isinstance(self.values.get(key), Stream):
            self.changed.add(key)
        self.journal_add(effect)

    def journal_add(self, effect: list[bytes]) -> None:
        """Note an effect for the append-only file."""
        if self.transaction is not None:
            self.transaction.append(effect)
        elif self.journaled:
            self.journal.append([effect])

    def remove(self, key: bytes) -> None:
        """Remove a key."""
        del self.values[key]
        self.expires_ms.pop(key, None)
        self.touch(key, [b"DEL", key])

    def stream(self, key: str | bytes) -> Stream:
        """Return a stream, an empty one when it is absent; for the world's own looks."""
        value = self.values.get(key if isinstance(key, bytes) else key.encode())
        return value if isinstance(value, Stream) else Stream()

    # --- commands in, replies out ----------------------------------------------------------------------------------

    def execute(self, session: Session, command: list[bytes]) -> Any:
        """Return the reply: a value, a Failure as a value, or Blocked when the caller has to wait."""
        name = command[0].upper()
        known = ARITIES.get(name)
        try:
            if known is None:
                words = [part.decode("ascii", "replace") for part in command]
                listed = "".join(f"'{word}' " for word in words[1:])
                raise Failure(f"ERR unknown command '{words[0]}', with args beginning with: {listed}")
            if len(command) != known if known > 0 else len(command) < -known:
                raise Failure(f"ERR wrong number of arguments for '{name.decode().lower()}' command")
            if self.loading or self.readonly or self.oom:
                self.allowed(name)
        except Failure as failure:
            session.broken = session.broken or session.queue is not None
            return failure
        if session.queue is not None and name not in (b"EXEC", b"DISCARD", b"MULTI", b"WATCH", b"UNWATCH"):
            session.queue.append(command)
            return b"QUEUED"
        try:
            if name in CONTROL:
                return CONTROL[name](self, session, command[1:])
            return COMMANDS[name][0](self, command[1:])
        except Failure as failure:
            return failure

    def allowed(self, name: bytes) -> None:
        """Raise Failure for what the server takes from nobody now."""
        if self.loading and name not in WHILE_LOADING:
            raise Failure(LOADING)
        if self.readonly and name in WRITES:
            raise Failure(READ_ONLY)
        if self.oom and name in GROWS:
            raise Failure(OOM)

    def unblocked(self, blocked: Blocked) -> Any:
        """Return the reply of a waiting XREAD, None while there is still nothing; of a changed type, an error."""
        if not self.changed.intersection(blocked.keys):
            return None
        for key, entry_id in zip(blocked.keys, blocked.ids, strict=True):
            value = self.lookup(key)
            if isinstance(value, Stream):
                rows = value.after(entry_id, blocked.count)
                if rows:
                    return [[key, rows]]
        return None

    def restarted(self, run_id: str, lose: int = 0) -> None:
        """Become what a new server makes of the journal, without its last `lose` changes."""
        del self.journal[max(0, len(self.journal) - lose) :]
        journal = self.journal
        self.values, self.expires_ms, self.versions, self.journal = {}, {}, {}, []
        self.changed, self.published = set(), []
        self.oom = self.readonly = self.loading = False
        self.run_id = run_id
        session, self.journaled = Session(), False
        for effects in journal:
            for effect in effects:
                self.execute(session, effect)
        self.journaled, self.journal = True, journal


# --- transactions


def multi(model: RedisModel, session: Session, _arguments: list[bytes]) -> Any:
    """Begin to queue."""
    if session.queue is not None:
        session.broken = True
        raise Failure(NESTED % "multi")
    session.queue = []
    return b"OK"


def discard(model: RedisModel, session: Session, _arguments: list[bytes]) -> Any:
    """Forget what is queued and watched."""
    if session.queue is None:
        raise Failure("ERR DISCARD without MULTI")
    session.queue, session.broken, session.watched = None, False, {}
    return b"OK"


def watch(model: RedisModel, session: Session, arguments: list[bytes]) -> Any:
    """Remember keys as they are now."""
    if session.queue is not None:
        session.broken = True
        raise Failure(NESTED % "watch")
    for key in arguments:
        model.lookup(key)
        session.watched.setdefault(key, model.versions.get(key, 0))
    return b"OK"


def unwatch(model: RedisModel, session: Session, _arguments: list[bytes]) -> Any:
    """Forget what is watched."""
    if session.queue is not None:
        session.queue.append([b"UNWATCH"])
        return b"QUEUED"
    session.watched = {}
    return b"OK"


def exec_queue(model: RedisModel, session: Session, _arguments: list[bytes]) -> Any:
    """Run what is queued in one piece, unless something watched has changed."""
    queue, broken, watched = session.queue, session.broken, session.watched
    if queue is None:
        raise Failure("ERR EXEC without MULTI")
    session.queue, session.broken, session.watched = None, False, {}
    if broken:
        raise Failure(ABORTED)
    for key, version in watched.items():
        model.lookup(key)
        if model.versions.get(key, 0) != version:
            return None
    effects: list[list[bytes]] = []
    model.transaction = effects
    replies = []
    for command in queue:
        reply = model.execute(session, command)
        replies.append(None if isinstance(reply, Blocked) else reply)
    model.transaction = None
    if effects and model.journaled:
        model.journal.append(effects)
    return replies


def subscribe(model: RedisModel, session: Session, arguments: list[bytes]) -> Any:
    """Note the channels; the replies are one message a channel, which the transport makes."""
    session.channels += [channel for channel in arguments if channel not in session.channels]
    return b"OK"


CONTROL: dict[bytes, Callable[[RedisModel, Session, list[bytes]], Any]] = {
    b"MULTI": multi,
    b"EXEC": exec_queue,
    b"DISCARD": discard,
    b"WATCH": watch,
    b"UNWATCH": unwatch,
    b"SUBSCRIBE": subscribe,
}
COMMANDS = {**redis_streams.COMMANDS, **redis_values.COMMANDS}
ARITIES = {name: arity for name, (_function, arity) in COMMANDS.items()} | {
    b"MULTI": 1,
    b"EXEC": 1,
    b"DISCARD": 1,
    b"WATCH": -2,
    b"UNWATCH": 1,
    b"SUBSCRIBE": -2,
}
GROWS = frozenset({b"SET", b"INCR", b"HSET", b"XADD", b"XSETID"})  # refused at a full memory
WRITES = GROWS | {b"DEL", b"RENAME", b"PEXPIRE", b"PEXPIREAT", b"HDEL", b"XDEL", b"XTRIM", b"FLUSHALL"}
WHILE_LOADING = frozenset({b"INFO", b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH", b"SUBSCRIBE"})
