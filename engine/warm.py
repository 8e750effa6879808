"""
Compile every kernel once into the cache, saying so: `python -m engine.warm`; from the cache it takes a moment.

Two processes compile the two halves of the state machine, then this one puts them together.
"""

import subprocess
import sys

from engine import core
from engine.core import parts
from engine.library import Engine
from shared.clock import monotonic_s

GROUP = "--group"


def groups_compile() -> None:
    """Compile the groups of parts side by side; one that fails is compiled again by whoever needs it."""
    helpers = [
        subprocess.Popen([sys.executable, "-m", "engine.warm", GROUP, str(group)])
        for group in range(len(parts.GROUPS))
    ]
    for helper in helpers:
        helper.wait()


def main() -> None:
    """Compile by running a venue's first entries through the real entry points."""
    started = monotonic_s()
    if sys.argv[1:2] == [GROUP]:
        parts.group_compile(int(sys.argv[2]))
        print(f"compiled: part {int(sys.argv[2]) + 1} of {len(parts.GROUPS)}", flush=True)
        return
    if not core.compiled():
        print("compiling: the state machine, in two processes", flush=True)
        groups_compile()
        print("compiling: the whole", flush=True)
    engine = Engine()
    print("compiling: snapshot, views, invariants", flush=True)
    engine.restored()
    engine.invariants()
    engine.positions()
    core.market_views(engine.states)
    print(f"compiled in {monotonic_s() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
