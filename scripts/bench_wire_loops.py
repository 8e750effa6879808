"""
One process of `bench wire`: the engine itself, or a loop that it is compared with, on a log that is there already.

`python -m scripts.bench_wire_loops FILE` reads its task as JSON and prints what it measured as one JSON line. All of
them go over the first entries untimed, which loads compiled code and warms the sockets, and are timed from there on.
"""

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.bench_redis import cores_take
from scripts.bench_span import Span, Task
from scripts.bench_wire_bare import bare_measure, ceiling_measure, xadd_measure
from scripts.bench_wire_baseline import baseline_measure


class Words:
    """What the engine says of itself, kept for the case that it fails."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, event: str, **fields: Any) -> None:
        """Keep one fact."""
        self.said.append(f"{event} {fields}")

    warning = error = info


class NoWriter:
    """No second process: no keyframe falls into the measured stretch."""

    def send(self, job: dict[str, Any]) -> bool:
        """Take nothing."""
        return False

    def receive(self, now_s: float) -> list[dict[str, Any]]:
        """Return nothing."""
        return []

    def close(self) -> None:
        """Do nothing."""


async def no_database() -> Any:
    """Raise what an absent Postgres raises: the engine starts from its file."""
    raise OSError("no Postgres in this bench")


def engine_build(task: Task, words: Words, settled: Callable[[], None]) -> Any:
    """Return an engine that recovers from the snapshot as its leader; `settled` is called before it turns."""
    from engine.__main__ import outside_real
    from engine.wiring import Engine
    from shared.settings import settings_read
    from shared.streams import Streams

    settings = settings_read()
    outside = outside_real(settings, Streams(settings.redis_url))._replace(
        connect=no_database, port=lambda *_: NoWriter(), token=lambda _size: task.who, settled=settled
    )
    return Engine(settings, outside, words)


def engine_measure(task: Task) -> dict[str, Any]:
    """Return what the engine itself took: recovered from the snapshot as its leader, turning as it always does."""
    from engine.wiring import engine_run

    found: dict[str, Any] = {}
    words, span = Words(), Span(task.url)

    def turn_all() -> None:
        runner = engine.runner
        machine, publisher = runner.parts.machine, runner.parts.publisher
        assert runner.parts.leadership.leading, "the engine does not lead from its snapshot"
        # Nothing follows the log's end here: the wait for it is no part of the way from the log to the events.
        runner.parts = runner.parts._replace(block_ms=None)
        while machine.seq < task.warm_seq:
            runner.turn()
        began_seq = machine.seq
        with span.taken(found):
            began_s = time.perf_counter()
            while machine.seq < task.last_seq or not published(publisher, task.last_seq):
                runner.turn()
            published_s = time.perf_counter()
            while not publisher.settled(task.last_seq):
                runner.turn()
        found["published_s"] = published_s - began_s
        found["own_entries"] = machine.seq - task.last_seq  # it ticks by itself when it stood still
        found["messages"] = task.last_seq - began_seq
        assert found["messages"] > 0, "the log is so short that it was read untimed"
        found["state_hash"] = machine.hashes()[0]
        runner.stopping = True

    engine = engine_build(task, words, turn_all)
    code = engine_run(engine)
    if code != 0 or "messages" not in found:
        raise RuntimeError(f"the engine ended with {code}: {words.said[-5:]}")
    return found


def published(publisher: Any, last_seq: int) -> bool:
    """Return whether everything up to a seq is in the stream; what was read back from there is so, too."""
    last = publisher.last()
    return publisher.settled(last_seq) or (publisher.tip_id is not None and publisher.tip_id >= (last.seq, last.chunk))


def engine_serve(task: Task) -> dict[str, Any]:
    """Be the engine until asked to stop; say when it turns."""
    from engine.wiring import engine_run

    def settled() -> None:
        gc.freeze()
        print("ready", flush=True)

    words = Words()
    engine = engine_build(task, words, settled)
    signal.signal(signal.SIGTERM, lambda *_: engine.stop())
    code = engine_run(engine)
    if code != 0:
        raise RuntimeError(f"the engine ended with {code}: {words.said[-5:]}")
    return {"said": words.said[-20:]}


MEASURES: dict[str, Callable[[Task], dict[str, Any]]] = {
    "engine": engine_measure,
    "serve": engine_serve,
    "ceiling": ceiling_measure,
    "baseline": baseline_measure,
    "xadd": xadd_measure,
    "bare": bare_measure,
}


def main() -> int:
    """Do the task in the named file."""
    task = Task(**json.loads(Path(sys.argv[1]).read_text()))
    cores_take(set(task.core) if task.core else None)
    os.environ["REDIS_URL"], os.environ["TIDEMARK_DATA"] = task.url, task.folder
    os.environ["TIDEMARK_WIRE"] = task.wire
    print(json.dumps(MEASURES[task.what](task)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
