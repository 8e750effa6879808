"""
The rare bugs, told in a process of their own, which test_rare_bugs.py starts.

    python -m tests.simulation.rare NAME fast|plain

Prints one JSON line for the story with the bug and one without; of `dict_order` one for the hash seed of this process.
"""

import os
import sys
from hashlib import blake2b
from typing import Any

import orjson

os.environ["NUMPY_MADVISE_HUGEPAGE"] = "0"

RESTORE_EVERY = 10
ENTRIES = 400
BUFFER_BYTES = 4_000_000


def story(name: str, wire: str) -> None:
    """Tell a story twice."""
    from tests.simulation.bugs_rare import STORIES
    from tests.simulation.world import World

    plan, script, planted, control = STORIES[name]
    for cast in (planted, control):
        verdict = World(7, cast, plan._replace(wire=wire), script).run()
        told = any(event == "quiet" for _, _, event, _ in verdict.told)
        print(orjson.dumps({"found": verdict.found, "told": told}).decode())


def order() -> None:
    """Restore a history again and again, once as it is and once with the markets' names in the order of a set."""
    from engine import core
    from engine.ingest import Machine, machine_restore
    from tests.simulation.world import Plan, World

    world = World(3, plan=Plan(trouble_s=1.0, inputs_min=ENTRIES + 50))
    world.faults.names.clear()
    entries: list[Any] = []
    close = world.close

    def kept() -> None:
        entries.extend(world.looks.log()[:ENTRIES])
        close()

    world.close = kept  # type: ignore[method-assign]
    world.run()

    def restored(machine: Machine) -> Machine:
        buffer = memoryview(bytearray(BUFFER_BYTES))
        return machine_restore(core.snapshot_document(buffer, machine.copy(buffer)))

    def misordered(machine: Machine) -> Machine:
        other = restored(machine)
        names = list(set(core.markets_of(other.states)))
        other.encoder = type(other.encoder)(names, core.header(other.states)["events_last"])
        return other

    def told(again: Any, wire: str = "fast") -> str:
        machine, digest = Machine(wire=wire), blake2b(digest_size=16)
        for first in range(0, len(entries), RESTORE_EVERY):
            machine.load(entries[first : first + RESTORE_EVERY])
            while (step := machine.step()) is not None:
                digest.update(repr(step.outputs).encode())
            machine = again(machine)
        return digest.hexdigest() + machine.hashes()[0]

    line = {
        "entries": len(entries),
        "wanted": ENTRIES,
        "unbroken": told(lambda machine: machine),
        "plain": told(lambda machine: machine, "plain"),
        "shipped": told(restored),
        "planted": told(misordered),
    }
    print(orjson.dumps(line).decode())


if __name__ == "__main__":
    if sys.argv[1] == "dict_order":
        order()
    else:
        story(sys.argv[1], sys.argv[2])
