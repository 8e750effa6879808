"""
Eight bytes as one load or store, and runs of bytes, in rooms of bytes; where the compiler is off, plain Python.

Numba writes bytes one by one, with a test of each place's sign. What is here trusts the caller's places; in a build
that checks bounds it raises IndexError instead.
"""

import struct
from typing import Any

import numpy as np

from engine.core.kernel import JIT, inlined


def _compiled() -> tuple[Any, Any, Any, bool]:
    """Return load, store and copy as the compiler's own instructions, and whether this build checks bounds."""
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils, config
    from numba.extending import intrinsic

    def place(context: Any, builder: Any, signature: Any, args: Any, array: int) -> Any:
        """Return the address of the byte that two arguments, an array and a place in it, name."""
        room = context.make_array(signature.args[array])(context, builder, args[array])
        return builder.gep(room.data, [args[array + 1]])

    def word_place(*names: Any) -> Any:
        """Return the same as the address of a word."""
        return names[1].bitcast(place(*names), ir.IntType(64).as_pointer())

    @intrinsic  # type: ignore[untyped-decorator]
    def load(typing_context: Any, raw: Any, at: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load(word_place(context, builder, signature, args, 0), align=1)

        return types.int64(raw, types.int64), emit

    @intrinsic  # type: ignore[untyped-decorator]
    def store(typing_context: Any, raw: Any, at: Any, word: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store(args[2], word_place(context, builder, signature, args, 0), align=1)
            return context.get_dummy_value()

        return types.void(raw, types.int64, types.int64), emit

    @intrinsic  # type: ignore[untyped-decorator]
    def copy(typing_context: Any, target: Any, at: Any, source: Any, first: Any, length: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            there, here = (place(context, builder, signature, args, array) for array in (0, 2))
            cgutils.raw_memcpy(builder, there, here, args[4], 1)
            return context.get_dummy_value()

        return types.void(target, types.int64, source, types.int64, types.int64), emit

    return load, store, copy, bool(config.BOUNDSCHECK)  # type: ignore[attr-defined]


def _plain() -> tuple[Any, Any, Any, bool]:
    """Return load, store and copy in Python, and that they check bounds."""

    def load(raw: Any, at: int) -> Any:
        return np.int64(struct.unpack_from("<q", raw, at)[0])

    def store(raw: Any, at: int, word: int) -> None:
        struct.pack_into("<q", raw, at, int(word))

    def copy(target: Any, at: int, source: Any, first: int, length: int) -> None:
        target[at : at + length] = source[first : first + length]

    return load, store, copy, True


_load, _store, _copy, CHECKED = _compiled() if JIT else _plain()


@inlined
def word_get(raw, at):
    """Return the eight bytes from a place on, the first of them lowest."""
    if CHECKED and (at < 0 or at + 8 > len(raw)):
        raise IndexError("a word outside its room")
    return _load(raw, at)


@inlined
def word_put(raw, at, word):
    """Write eight bytes from a place on, the lowest of them first."""
    if CHECKED and (at < 0 or at + 8 > len(raw)):
        raise IndexError("a word outside its room")
    _store(raw, at, word)


@inlined
def bytes_copy(target, at, source, first, length):
    """Copy so many bytes from one room into another one."""
    if CHECKED and (min(at, first, length) < 0 or at + length > len(target) or first + length > len(source)):
        raise IndexError("bytes outside their room")
    _copy(target, at, source, first, length)
