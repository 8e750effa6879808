"""Compile every kernel once into the cache, saying so: `python -m engine.core.warm`; from the cache it takes a moment."""

import sys
import time

import numpy as np


def main() -> None:
    """Compile by running a venue's first entries through the real entry points."""
    started = time.monotonic()
    print("compiling: loading", flush=True)
    from engine.library import Engine

    print("compiling: the state machine", flush=True)
    engine = Engine()
    print("compiling: snapshot, views, invariants", flush=True)
    engine.restored()
    engine.invariants()
    from engine import core

    core.market_views(engine.states)
    core.positions_of(engine.states)
    print(f"compiled in {time.monotonic() - started:.1f} s (NumPy {np.__version__})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
