"""A kernel and all that it calls, compiled as one unit.

Numba optimises every function together with all that it calls, translates the result to machine
code, and wraps it for Python. A function that only compiled code calls would be compiled once for
itself and again within each of its callers. Here it is a part of them: typed once and linked into
the kernel that Python calls, and only this whole is translated, wrapped and cached. That takes half
to two thirds of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from numba import _dynfunc  # type: ignore[attr-defined]
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering


class Kernel(CPUDispatcher):
    """A function that is compiled when Python calls it, and as a part where a kernel calls it."""

    def __init__(self, py_func: Callable[..., Any], **options: Any) -> None:
        options = {"nopython": True, "nogil": True, "no_cfunc_wrapper": True, **options}
        super().__init__(py_func, targetoptions=options)
        self._as_part = CPUDispatcher(
            py_func,
            targetoptions={**options, "no_cpython_wrapper": True},
            pipeline_class=_PartCompiler,
        )

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """How compiled code calls it."""
        return self._as_part.get_call_template(args, kws)

    def get_overload(self, sig: Any) -> Any:
        """What compiled code calls."""
        return self._as_part.get_overload(sig)

    def compile(self, sig: Any) -> Any:
        """Load or compile for the types of a call, without searching Numba's objects for garbage.

        That would take a fifth of the time.
        """
        enabled = gc.isenabled()
        gc.disable()
        try:
            return super().compile(sig)
        finally:
            if enabled:
                gc.enable()


class _PartLibrary(JITCodeLibrary):
    """Code that is only linked into others."""

    has_loops: bool

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        if self.has_loops:
            # Once it is inlined into the loops of others, LLVM no longer vectorises some loops.
            self._optimize_final_module()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPart(NativeLowering):
    _name = "lower_part"

    def run_pass(self, state: Any) -> bool:
        state.library = library = _PartLibrary(state.targetctx.codegen(), state.func_id.func_name)
        state.flags.no_compile = True
        super().run_pass(state)
        descriptor, environment = state.cr.fndesc, state.cr.env
        library.has_loops = bool(compute_cfg_from_blocks(state.func_ir.blocks).loops())
        # Numba finds the code of a function by the object that would call it.
        key = _dynfunc.make_function(
            descriptor.lookup_module(), state.func_id.func_name, "", 0, environment, (library,)
        )
        state.targetctx.insert_user_function(key, descriptor, [library])
        state.cr = state.cr._replace(cfunc=key)
        return True


class _PartCompiler(CompilerBase):
    def define_pipelines(self) -> list[PassManager]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [
            (_LowerPart, "lower a part") if one is NativeLowering else (one, why)
            for one, why in passes.passes
        ]
        passes._finalized = False
        passes.finalize()
        return [passes]
