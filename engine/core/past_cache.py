"""
A copy whose stores go past the caches, for what is far larger than they are and is read by another process.

An ordinary store first fetches the line that it overwrites: a third of the memory's work for nothing. Several threads
share one copy, each in one call: whoever let go of the interpreter part by part would find it taken when it came back.
Only a copy stands here, which no outcome depends on.
"""

from typing import Any

import numpy as np

from engine.core.kernel import JIT, entry_beside

LINE_BYTES = 64
LINE_WORDS = LINE_BYTES // 8
PART_WORDS = 2**15

if JIT:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def line_put(typing: Any, target: Any, source: Any) -> Any:
        """Write the line at one address to another, which is aligned, past the caches."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            line = ir.VectorType(ir.IntType(64), LINE_WORDS).as_pointer()
            to, at = (builder.inttoptr(address, line) for address in arguments)
            store = builder.store(builder.load(at, align=8), to, align=LINE_BYTES)
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    @intrinsic
    def word_put(typing: Any, target: Any, source: Any) -> Any:
        """Write the word at one address to another."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            to, at = (builder.inttoptr(address, ir.IntType(64).as_pointer()) for address in arguments)
            builder.store(builder.load(at), to)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    @intrinsic
    def part_take(typing: Any, taken: Any) -> Any:
        """Return the number in an array's first word and add one to it, whoever else does the same."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "seq_cst")

        return types.int64(taken), generate

    @intrinsic
    def fence(typing: Any) -> Any:
        """Let every store before be seen before whatever comes after: those past the caches keep no order."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.fence("seq_cst")
            return context.get_dummy_value()

        return types.void(), generate


@entry_beside
def runs_copy(runs, taken):
    """
    Copy those parts of all runs of words that nobody else takes; the interpreter is let go meanwhile.

    Shapes: runs int64[n, 3], of each the address of its target, which begins a line, of its source, and its words;
            taken int64[1], shared by all who copy, 0 at first. Writes: the targets.
    """
    while True:
        part, run = part_take(taken), 0
        while run < len(runs) and part * PART_WORDS >= runs[run, 2]:
            part -= -(-runs[run, 2] // PART_WORDS)
            run += 1
        if run == len(runs):
            break
        first = part * PART_WORDS
        target, source = runs[run, 0] + 8 * first, runs[run, 1] + 8 * first
        count = min(runs[run, 2] - first, PART_WORDS)
        whole = count // LINE_WORDS * LINE_WORDS
        for at in range(0, whole, LINE_WORDS):
            line_put(target + 8 * at, source + 8 * at)
        for at in range(whole, count):
            word_put(target + 8 * at, source + 8 * at)
    fence()


def runs_of(copies: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray | None:
    """Return copies of words (target, source) for runs_copy; None where it is not compiled, or lines are not whole."""
    # The address of an array without elements is anything.
    runs = [(target.ctypes.data, source.ctypes.data, len(source)) for target, source in copies if len(source)]
    if not JIT or any(target % LINE_BYTES for target, _, _ in runs):
        return None
    return np.array(runs, np.int64).reshape(-1, 3)
