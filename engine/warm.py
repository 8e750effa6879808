"""Compile every kernel once into the cache, saying so: `python -m engine.warm`; from the cache it takes a moment."""

from engine import core
from engine.library import Engine
from shared.clock import monotonic_s


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
    print(f"compiled in {monotonic_s() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
