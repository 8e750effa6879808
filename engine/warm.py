"""Compile every kernel once into the cache, saying so: `python -m engine.warm`; from the cache it takes a moment."""

from engine import core
from engine.core.images import images
from engine.library import Engine
from engine.log_reply import LogReply
from shared.clock import monotonic_s
from shared.wire import Batch

REPLY = b"*2\r\n$18\r\n1000000000000000-1\r\n*2\r\n$1\r\nx\r\n$1\r\nx\r\n"  # one entry that nobody can read


def main() -> None:
    """Compile by running a venue's first entries through the real entry points."""
    started = monotonic_s()
    print("compiling: the state machine", flush=True)
    engine = Engine()
    print("compiling: snapshot, views, invariants", flush=True)
    engine.restored()
    engine.invariants()
    engine.positions()
    core.market_views(engine.states)
    core.adl_scores(engine.states, 0)
    sum(len(page) for page in images(engine.states))
    reply = LogReply(REPLY, 0, 1)
    reply.named(b"x")
    reply.batch_fill(Batch(1), 0)
    print(f"compiled in {monotonic_s() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
