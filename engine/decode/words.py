"""
A word out of eight bytes, where its first mark stands, whether a place may be read: what no kernel can say so shortly.

Without the compiler, and in a build that checks every index, the same is said in Python. Whoever loads a word has made
sure that its eight bytes are there.
"""

from typing import Any

from numpy import int64

from engine.core.kernel import JIT, inlined

AHEAD = 64  # bytes that reading one thing may look at


@inlined
def word_plain(raw, at):
    """Return eight bytes of the array as one word, the first one highest."""
    word = int64(0)
    for index in range(8):
        word = (word << 8) | int64(raw[at + index])
    return word


@inlined
def leading_plain(marks):
    """Return how many bytes of a word are zero before the first that is not."""
    count = int64(0)
    while count < 8 and (marks >> (56 - 8 * count)) & 0xFF == 0:
        count += 1
    return count


@inlined
def inside_plain(raw, at):
    """Return whether a place is one from which a thing can be read: none within the last AHEAD bytes of the array."""
    return 0 <= at <= len(raw) - AHEAD


def _native() -> tuple[Any, Any, Any] | None:
    """Return the three as the processor's own instructions, None where every index is checked."""
    from llvmlite import ir
    from numba import types
    from numba.core import config
    from numba.extending import intrinsic

    word = ir.IntType(64)

    @intrinsic  # type: ignore[untyped-decorator]
    def load(typing_context: Any, raw: Any, at: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            place = builder.bitcast(builder.gep(array.data, [args[1]]), word.as_pointer())
            return builder.bswap(builder.load(place, align=1))

        return types.int64(raw, types.int64), emit

    @intrinsic  # type: ignore[untyped-decorator]
    def zeros(typing_context: Any, marks: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.lshr(builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0)), ir.Constant(word, 3))

        return types.int64(types.int64), emit

    @intrinsic  # type: ignore[untyped-decorator]
    def within(typing_context: Any, raw: Any, at: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            # One comparison without signs: a place below zero is a very high one.
            array = context.make_array(signature.args[0])(context, builder, args[0])
            end = builder.sub(array.nitems, ir.Constant(word, AHEAD - 1))
            none = builder.icmp_signed("<", end, ir.Constant(word, 0))
            return builder.icmp_unsigned("<", args[1], builder.select(none, ir.Constant(word, 0), end))

        return types.boolean(raw, types.int64), emit

    return None if config.BOUNDSCHECK else (load, zeros, within)  # type: ignore[attr-defined]


_instructions = _native() if JIT else None
word_load, leading, inside = _instructions or (word_plain, leading_plain, inside_plain)
