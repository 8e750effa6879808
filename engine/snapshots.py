"""
When a snapshot is taken, and how its bytes leave the hot thread.

The log marks the keyframes. Right after applying one, the live rows are copied into shared memory; a second process
(engine/writer.py) hashes, packs, writes the file and the row. It gets the copy only after every output up to that entry
was seen in the events stream; a snapshot before its outputs would lose them for ever. Whatever Postgres does, nothing
here waits for it.
"""

import ctypes
import mmap
import os
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import orjson

from engine.publish import Publisher
from engine.witness import Memory, memories_of

TOUCH_START_BYTES = 64 * 2**20
TOUCH_STEP_BYTES = 32 * 2**20
POPULATE_BYTES = 4 * 2**20  # at once: longer would hold up whoever maps memory meanwhile
MADV_POPULATE_WRITE = 23  # of Linux 5.14
MADVISE = ctypes.CDLL(None).madvise if sys.platform == "linux" else None
HASHES_KEPT = 120
RESPAWN_S = 1.0
COMMAND = (sys.executable, "-m", "engine.writer")
ROOT = Path(__file__).resolve().parent.parent


class CopyBuffer:
    """Shared memory without a name: it ends with the processes that hold it, however they end."""

    def __init__(self, capacity_bytes: int) -> None:
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("tidemark-snapshot")
        else:
            self.descriptor, path = tempfile.mkstemp()
            os.unlink(path)
        self.capacity_bytes = capacity_bytes
        os.ftruncate(self.descriptor, capacity_bytes)  # sparse: a page costs nothing until it is touched
        self.map = mmap.mmap(self.descriptor, capacity_bytes)
        self.view = memoryview(self.map)
        self.touched_bytes = 0
        self.toucher: threading.Thread | None = None
        self.touch(TOUCH_START_BYTES)

    def touch(self, end: int) -> None:
        """Have every page before this byte ready to be written, unchanged, so that no copy waits for one."""
        end = min(self.capacity_bytes, end)
        for first in range(self.touched_bytes, end, POPULATE_BYTES):
            pages_populate(self.view, first, min(end, first + POPULATE_BYTES))
        self.touched_bytes = max(self.touched_bytes, end)

    def touch_ahead(self, length: int) -> None:
        """Have room touched for twice a copy's length, in steps, beside the hot thread."""
        end = min(self.capacity_bytes, -(-2 * length // TOUCH_STEP_BYTES) * TOUCH_STEP_BYTES)
        if end > self.touched_bytes and (self.toucher is None or not self.toucher.is_alive()):
            self.toucher = threading.Thread(target=self.touch, args=(end,), name="snapshot-touch", daemon=True)
            self.toucher.start()


def pages_populate(view: memoryview, first: int, end: int) -> None:
    """
    Have the pages between two bytes there; both ways let go of the interpreter and leave what stands in them.

    Where the kernel cannot make them ready to be written they are read, and the first write of each costs a little.
    """
    raw = np.frombuffer(view, np.uint8)
    if MADVISE is not None:
        start = raw.ctypes.data + first
        if MADVISE(ctypes.c_void_p(start), ctypes.c_size_t(end - first), ctypes.c_int(MADV_POPULATE_WRITE)) == 0:
            return
    raw[first : end : mmap.PAGESIZE].max(initial=0)


class Held(NamedTuple):
    """A copy that lies in shared memory."""

    seq: int
    length: int
    frame: dict[str, Any]


class WriterPort(Protocol):
    """The way to the second process."""

    def send(self, job: dict[str, Any]) -> bool: ...
    def receive(self, now_s: float) -> list[dict[str, Any]]: ...
    def close(self) -> None: ...


class CheckpointMismatch(Exception):
    """The log states another hash of a seq than this engine computed."""


class Snapshots:
    """The one copy of this engine, what became of it, and the hashes of recent keyframes."""

    def __init__(self, buffer: Any, port: WriterPort, frame: dict[str, Any], log: Any) -> None:
        self.buffer = buffer
        self.port = port
        self.frame = frame  # what every document says: venue, engine version
        self.log = log
        self.held: Held | None = None
        self.writing = False
        self.skipped_count = 0
        self.length_last = 0
        self.durable_seq = 0
        self.durable_s: float | None = None  # when that was told
        self.filed_seq = 0  # the newest that lies as a file
        self.mismatches_count = 0
        self.looks_count = 0  # into Postgres, by the second process
        self.sent: dict[str, Any] = {}  # the frame of the document that was last handed over
        self.anchor: list[Memory] = []  # what the newest durable snapshot remembers; every restart needs it
        self.hashes: OrderedDict[int, tuple[str, str]] = OrderedDict()
        self.claims: OrderedDict[int, tuple[str, str]] = OrderedDict()  # checkpoints whose own hash is not known yet
        self.checkpoints_due: list[dict[str, Any]] = []
        self.postgres: dict[str, Any] = {}  # what the second process saw there last: refusal, cursor

    def make_ready(self, machine: Any) -> None:
        """Have everything loaded and touched that a copy needs, before anything waits for the hot thread."""
        self.length_last = machine.copy_ready(self.buffer.view)
        self.buffer.touch_ahead(self.length_last)

    def keyframe(self, machine: Any, publisher: Publisher, leading: bool) -> bool:
        """Copy the state right after the keyframe was applied, unless the copy before is still in use."""
        if self.held is not None:
            self.skipped_count += leading
            if leading:  # a recovering engine skips most of them, and that is all right
                self.log.warning("snapshot_skipped", seq=machine.seq, waiting_for=self.held.seq)
            return False
        header = machine.header()
        last = publisher.last()
        length = machine.copy(self.buffer.view)
        self.length_last = length
        witness = {
            "log": {"seq": machine.seq, "digest": machine.last_digest()},
            "events": {"seq": last.seq, "chunk": last.chunk, "digest": last.digest},
        }
        frame = {**self.frame, "seq": machine.seq, "log_time_us": header.log_time_us, "rules": header.rules}
        self.held = Held(machine.seq, length, {**frame, "witness": witness})
        return True

    def hand_over(self, publisher: Publisher, leading: bool, kind: str = "write") -> None:
        """Give the copy to the second process once it may have it; a standby's copy is only hashed."""
        if self.held is None or self.writing:
            if self.held is None:
                self.buffer.touch_ahead(self.length_last)
            return
        if leading and not publisher.settled(self.held.seq):
            return
        job = {"job": kind if leading else "hash", "length": self.held.length, "frame": self.held.frame}
        self.writing = self.port.send(job)
        if leading:
            self.sent = self.held.frame
        if not self.writing:
            self.held = None

    def poll(self, now_s: float, leading: bool) -> None:
        """Take in what the second process says; raises CheckpointMismatch in a leader that is contradicted."""
        for message in self.port.receive(now_s):
            kind = message["kind"]
            if kind == "hashed":
                self.hash_known(message["seq"], message["state_hash"], message["record_hash"], leading)
            elif kind == "free":
                self.held = None
                self.writing = False
            elif kind == "durable":
                self.durable_seq, self.durable_s = message["seq"], now_s
                if self.sent.get("seq") == self.durable_seq:
                    self.anchor = memories_of(self.sent, "the row")
                if leading:
                    self.checkpoints_due.append(message)
                self.log.info("snapshot_durable", seq=message["seq"], ms=message.get("ms"))
            elif kind == "filed":
                self.filed_seq = message["seq"]
            elif kind == "postgres":
                self.postgres = message
                self.looks_count += 1
            else:
                self.log.warning(
                    "snapshot_trouble", **{name: value for name, value in message.items() if name != "kind"}
                )

    def memories(self) -> list[Memory]:
        """Return what the newest durable snapshot of this engine remembers of both streams."""
        return self.anchor

    def hash_known(self, seq: int, state_hash: str, record_hash: str, leading: bool) -> None:
        """Remember the own hashes of a keyframe and compare them with a checkpoint that came first."""
        self.hashes[seq] = (state_hash, record_hash)
        while len(self.hashes) > HASHES_KEPT:
            self.hashes.popitem(last=False)
        claim = self.claims.pop(seq, None)
        if claim is not None:
            self.compare(seq, claim, leading)

    def checkpoint_applied(self, seq: int, claim: tuple[str, str], leading: bool) -> None:
        """Compare what the log states of a seq with the own hash, now or as soon as that is known."""
        if seq in self.hashes:
            self.compare(seq, claim, leading)
        elif self.held is not None and self.held.seq == seq:
            self.claims[seq] = claim

    def compare(self, seq: int, claim: tuple[str, str], leading: bool) -> None:
        """Alarm when the hashes differ; a leader stops."""
        own = self.hashes[seq]
        if own == claim:
            return
        self.mismatches_count += 1
        text = f"checkpoint of {seq}: the log states {claim}, computed was {own}"
        self.log.error("checkpoint_mismatch", seq=seq, stated=claim, computed=own)
        if leading:
            raise CheckpointMismatch(text)


class WriterProcess:
    """The second process, started again when it dies."""

    def __init__(self, buffer: CopyBuffer, venue: str, log: Any, root: Path = ROOT) -> None:
        self.buffer = buffer
        self.venue = venue
        self.root = root
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.rest = b""
        self.spawn_next_s = 0.0

    def spawn(self, now_s: float) -> None:
        """Start the process; it inherits the memory, the environment and the two pipes, nothing else."""
        self.spawn_next_s = now_s + RESPAWN_S
        arguments = [
            *COMMAND,
            str(self.buffer.descriptor),
            str(self.buffer.capacity_bytes),
            self.venue,
            str(os.getpid()),
        ]
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self.buffer.descriptor],
            cwd=self.root,
            bufsize=0,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.rest = b""

    def send(self, job: dict[str, Any]) -> bool:
        """Return whether the job went out; when not, the process is gone and comes again."""
        if self.process is None or self.process.stdin is None:
            return False
        try:
            self.process.stdin.write(orjson.dumps(job) + b"\n")
        except OSError:
            return False
        return True

    def receive(self, now_s: float) -> list[dict[str, Any]]:
        """Return the messages that have come; a process that died is reported as free and started again."""
        if self.process is None:
            if now_s >= self.spawn_next_s:
                self.spawn(now_s)
            return []
        assert self.process.stdout is not None
        content = self.process.stdout.read()
        if content is None:
            return []
        if not content and self.process.poll() is not None:
            code = self.process.returncode
            self.process = None
            return [{"kind": "trouble", "text": "the snapshot writer died", "code": code}, {"kind": "free"}]
        lines = (self.rest + content).split(b"\n")
        self.rest = lines.pop()
        return [orjson.loads(line) for line in lines]

    def close(self) -> None:
        """Close the pipe, on which the process ends, and wait for it a moment."""
        if self.process is None:
            return
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
