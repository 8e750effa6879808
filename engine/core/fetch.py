"""
Ask for a row of a table that will be needed soon, without waiting for it.

A read that nobody needs yet still stops the processor once it has a few hundred steps under way; a request for memory
does not. Nothing comes of it but time, and where nothing is compiled nothing is asked for.
"""

from typing import Any

import numpy as np

from engine.core.kernel import JIT

LINE_BYTES = 64
LINES_MOST = 16
LINES_HEAD = 2
# What looking ahead has found of an instruction; no outcome depends on it.
SEEN = np.dtype(
    [
        ("record", np.int64),
        ("account_row", np.int64),
        ("market_row", np.int64),
        ("order_row", np.int64),
        ("position_row", np.int64),
        ("node", np.int64),  # where it stands on its way down a treap, to this place and tie
        ("place", np.int64),
        ("tie", np.int64),
    ]
)

if JIT:
    from llvmlite import ir
    from numba import types
    from numba.core.cgutils import get_or_insert_function
    from numba.extending import intrinsic

    NUMBER = ir.IntType(32)
    READ, KEEP, DATA = (ir.Constant(NUMBER, number) for number in (0, 3, 1))

    def asking(lines_most: int) -> Any:
        """Return what asks for so many lines of a row from its first on, at most for all."""

        def typed(typing: Any, row: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                size = min(signature.args[0].size, lines_most * LINE_BYTES)
                byte = ir.IntType(8).as_pointer()
                kind = ir.FunctionType(ir.VoidType(), [byte, NUMBER, NUMBER, NUMBER])
                call = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
                first = builder.bitcast(arguments[0], byte)
                for at in (*range(0, size, LINE_BYTES), size - 1):
                    place = builder.gep(first, [ir.Constant(ir.IntType(64), at)])
                    builder.call(call, [place, READ, KEEP, DATA])
                return context.get_dummy_value()

            return types.void(row), generate

        return intrinsic(typed)

    fetch, fetch_head = asking(LINES_MOST), asking(LINES_HEAD)

else:

    def fetch(row: Any) -> None:
        """Ask for every line of a row."""

    fetch_head = fetch
