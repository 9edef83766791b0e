"""Kernels compiled before cellprep is installed: for which processors, and where they are.

Compiling takes seconds per kernel. A wheel for one platform and Python may therefore contain
`compiled/`, with a folder of Numba's cache files for each of `PROCESSORS`; the kernel's source and
Numba must be the same, or it is compiled as usual. `building/` makes such wheels.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path

import llvmlite.binding as llvm
from numba.core import config

FOLDER = Path(__file__).parent / "compiled"


@dataclass(frozen=True)
class Processor:
    """A kind of processor.

    Parameters
    ----------
    name : str
        The folder's name.
    machines : tuple of str
        What `platform.machine()` may be.
    llvm : str
        LLVM's name of a processor with these features.
    features : tuple of str
        LLVM's names of what the processor must have.
    """

    name: str
    machines: tuple[str, ...]
    llvm: str
    features: tuple[str, ...] = ()

    def runs_here(self) -> bool:
        """Whether this machine's processor is of this kind."""
        has = llvm.get_host_cpu_features()
        return platform.machine() in self.machines and all(has.get(one) for one in self.features)

    def environment(self) -> dict[str, str]:
        """The variables with which Numba compiles for it."""
        features = ",".join(f"+{one}" for one in self.features)
        return {"NUMBA_CPU_NAME": self.llvm, "NUMBA_CPU_FEATURES": features}


_X86 = ("x86_64", "AMD64")
_AVX2 = ("sse4.2", "popcnt", "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")
_AVX512 = ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512vbmi")
PROCESSORS = (  # the most capable first
    Processor("avx512", _X86, "x86-64-v4", (*_AVX2, *_AVX512)),
    Processor("avx2", _X86, "x86-64-v3", _AVX2),
    Processor("arm64", ("arm64", "aarch64"), "generic"),
)


def forced() -> bool:
    """Whether Numba's settings name a processor to compile for, rather than this machine's."""
    return any(getattr(config, name, None) for name in ("CPU_NAME", "CPU_FEATURES"))


def has(feature: str) -> bool:
    """Whether the processor that Numba compiles for has a feature, by LLVM's name."""
    if forced():
        return f"+{feature}" in (config.CPU_FEATURES or "").split(",")  # type: ignore[attr-defined]
    return bool(llvm.get_host_cpu_features().get(feature))


@functools.cache
def folder() -> Path | None:
    """The files for this processor, if this installation has them."""
    if forced() or not FOLDER.is_dir():
        return None
    for one in PROCESSORS:
        if one.runs_here() and (FOLDER / one.name).is_dir():
            return FOLDER / one.name
    return None
