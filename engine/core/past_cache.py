"""
A copy whose stores go past the caches, for what is far larger than they are and is read by another process.

An ordinary store first fetches the line that it overwrites: a third of the memory's work for nothing. Only a copy
stands here, which no outcome depends on.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.core.kernel import JIT, entry_beside

LINE_BYTES = 64
LINE_WORDS = LINE_BYTES // 8

if JIT:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def line_put(typing: Any, target: Any, source: Any, at: Any) -> Any:
        """Write the line of eight words at a word of the source past the caches; the target's line is aligned."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointers = []
            for array, value in zip(signature.args, arguments[:2], strict=False):
                data = context.make_array(array)(context, builder, value).data
                line = ir.VectorType(ir.IntType(64), LINE_WORDS).as_pointer()
                pointers.append(builder.bitcast(builder.gep(data, [arguments[2]]), line))
            store = builder.store(builder.load(pointers[1], align=8), pointers[0], align=LINE_BYTES)
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
            return context.get_dummy_value()

        return types.void(target, source, at), generate

    @intrinsic
    def fence(typing: Any) -> Any:
        """Let every store before be seen before whatever comes after: those past the caches keep no order."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.fence("seq_cst")
            return context.get_dummy_value()

        return types.void(), generate


@entry_beside
def words_copy(target, source):
    """Copy words into a target that begins with a line; the interpreter is let go meanwhile."""
    assert len(target) == len(source)
    whole = len(source) // LINE_WORDS * LINE_WORDS
    for at in range(0, whole, LINE_WORDS):
        line_put(target, source, at)
    for at in range(whole, len(source)):
        target[at] = source[at]
    fence()


def copier(target: np.ndarray) -> Callable[..., None]:
    """Return what copies words into parts of this array that begin with whole lines of it: (part, source)."""
    return words_copy if JIT and target.ctypes.data % LINE_BYTES == 0 else np.copyto
