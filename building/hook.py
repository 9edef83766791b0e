"""With CELLPREP_COMPILE=1, the wheel contains compiled kernels for this platform and Python.

Without it, the wheel is pure and serves every platform; kernels are compiled at their first call.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledKernels(BuildHookInterface):
    def dependencies(self) -> list[str]:
        """Those of cellprep itself, since kernels are compiled by calling them."""
        return self.metadata.core.dependencies if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not _wanted() or version == "editable":
            return
        self._made = tempfile.TemporaryDirectory()
        folder = Path(self._made.name) / "compiled"
        root = Path(self.root)
        subprocess.run(
            [sys.executable, root / "building" / "compile_kernels.py", folder],
            env={**os.environ, "PYTHONPATH": str(root / "src")},
            check=True,
        )
        build_data["force_include"][str(folder)] = "cellprep/kernels/compiled"
        build_data["pure_python"] = False
        build_data["tag"] = _tag()

    def finalize(self, *arguments: object) -> None:
        if made := getattr(self, "_made", None):
            made.cleanup()


def _wanted() -> bool:
    return os.environ.get("CELLPREP_COMPILE") == "1"


def _tag() -> str:
    """This Python and platform; the kernels use no library of the system, so any Linux will do."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if system.startswith("linux_"):
        system = f"manylinux2014_{system.removeprefix('linux_')}"
    return f"{python}-{python}-{system}"
