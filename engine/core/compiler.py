"""
How kernels are compiled: only the passes that they need, and machine code once for an entry with all that it uses.

Numba makes every function ready to run by itself: what it calls is linked into it, optimised again and turned into
machine code again, at every level of calls. That was two thirds of the compile time. Here a kernel ends as LLVM's
text, and an entry links whatever it reaches, optimises that once, and alone becomes machine code.

No kernel counts places from an array's end: a place is taken as it is. Asking each whether it is negative was a tenth
of the time of all kernels, and more of the time to compile them. The bounds-checked build refuses a negative one.

What begins with an underscore is no promise of Numba's: this file was written against NUMBA. After an upgrade of Numba
tests/unit/test_compiler.py says what to look at.
"""

from typing import Any

from llvmlite.binding import Linkage
from numba.core import typed_passes, types, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.np import arrayobj

NUMBA = "0.68.1"
# Numba's own, in its order, without those that look for what no kernel has: closures, generators, array expressions,
# parallel loops, `with`, functions to be inlined before their types are known.
PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    untyped_passes.DeadBranchPrune,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)


def place_plain(context: Any, builder: Any, kind: Any, place: Any, size: Any) -> Any:
    """Return a place of an array as it is, in the width of an address; Numba's own adds the size to a negative one."""
    return context.cast(builder, place, kind, types.intp if kind.signed else types.uintp)


arrayobj.fix_integer_index = place_plain


class Passes(PassManager):
    """The passes without an announcement of each, for which Numba spells the types of all arguments out every time."""

    def _runPass(self, index: int, one: Any, state: Any) -> None:
        one.analysis = self._analysis
        one.run_initialization(state)
        one.run_pass(state)
        one.run_finalizer(state)


class NoEnvironments:
    """In place of the engine that runs code: a kernel is not run, and uses no Python objects."""

    @staticmethod
    def set_env(name: str, environment: Any) -> None:
        """Change nothing: there is no such address before an entry is linked."""


class KernelLibrary(JITCodeLibrary):
    """A kernel's own code, simplified, neither linked nor made machine code; entries take it with what it calls."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout
        passes, builder = self._codegen._function_pass_manager()
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def finalize(self) -> None:
        """Leave the code as it is."""
        self._raise_if_finalized()
        self._finalized = True

    @property
    def codegen(self) -> Any:
        """What would note where a kernel's environment is."""
        return NoEnvironments


class EntryLibrary(JITCodeLibrary):
    """An entry's code with that of every kernel below it; nobody else calls that, so LLVM may change it freely."""

    def finalize(self) -> None:
        """Link everything that is reached, optimise it together, and make machine code of it."""
        reached = dict.fromkeys(self._linking_libraries)
        left = list(reached)
        while left:
            library = left.pop()
            below = library._linking_libraries if isinstance(library, KernelLibrary) else []
            left += [other for other in below if other not in reached]
            reached.update(dict.fromkeys(below))
        self._linking_libraries = list(reached)
        super().finalize()

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


class KernelCompiler(CompilerBase):
    """Compiles a kernel as far as an entry needs it."""

    library = KernelLibrary

    def define_pipelines(self) -> list[PassManager]:
        """Return the one pipeline of kernels and entries."""
        state = self.state
        if state.library is None:
            state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
        passes = Passes("kernel")
        for one in PASSES:
            passes.add_pass(one, one.__name__)
        passes.finalize()
        return [passes]


class EntryCompiler(KernelCompiler):
    """Compiles an entry to the end."""

    library = EntryLibrary
