"""The parts of the state machine that compile by themselves, in groups of like size: the first start uses two cores."""

import numpy as np

from engine.core import apply, commands, due, kernel, settle
from engine.core.state import STATE
from shared.records import COMMAND, CONFIG

# What one process compiles; what its parts have in common it compiles once.
GROUPS = (
    ((commands.instruction_execute, ("state", "command", "configs")),),
    (
        (settle.settle, ("state",)),
        (due.due_run, ("state",)),
        (apply.operation_validate, ("state", "command", "parts", "configs")),
    ),
)


def group_compile(group: int) -> None:
    """Compile one group of parts into the cache; nothing to do without the compiler."""
    if not kernel.JIT:
        return
    import numba

    types = {
        "state": numba.typeof(np.zeros(1, STATE)).dtype,
        "command": numba.typeof(np.zeros(1, COMMAND)).dtype,
        "parts": numba.typeof(np.zeros(1, COMMAND)),
        "configs": numba.typeof(np.zeros(1, CONFIG)),
    }
    for function, arguments in GROUPS[group]:
        function.compile(tuple(types[name] for name in arguments))  # type: ignore[attr-defined]
