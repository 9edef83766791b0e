"""Kernels run with any cache of compiled code: unwritable, damaged, or on a full disk."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numba
import numpy as np
import pytest

import cellprep as cp
from cellprep.errors import CellprepWarning
from cellprep.kernels import compiling
from cellprep.kernels.compiling import kernel


def add(a, b):
    return a + b


def compiled_sum() -> int:
    """What a kernel returns in a new process that uses the same cache."""
    found: int = kernel(add)(2, 3)
    return found


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compiling, "_said", [])
    return tmp_path / "cache"


def cached_files(cache: Path) -> list[Path]:
    return sorted(file for file in cache.rglob("*") if file.is_file())


def flip(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data[:-1], flip],
    ids=["empty", "half", "one byte less", "flipped"],
)
def test_a_damaged_cache_file_is_replaced(suffix, damage, cache) -> None:
    assert compiled_sum() == 5
    (file,) = (file for file in cached_files(cache) if file.suffix == suffix)
    intact = {file: file.read_bytes() for file in cached_files(cache)}
    file.write_bytes(damage(intact[file]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled_sum() == 5
    assert cached_files(cache) == list(intact)
    written = {file: file.stat().st_mtime_ns for file in cached_files(cache)}
    assert compiled_sum() == 5
    assert {file: file.stat().st_mtime_ns for file in cached_files(cache)} == written


def test_a_full_disk_is_mentioned_once(cache, monkeypatch) -> None:
    def no_space(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("numba.core.caching.open", no_space, raising=False)
    with pytest.warns(CellprepWarning, match="No space left.*set NUMBA_CACHE_DIR") as warned:
        assert [compiled_sum(), compiled_sum()] == [5, 5]
    assert len(warned) == 1
    assert not cached_files(cache)


@pytest.fixture
def written(tmp_path):
    images = np.zeros((4, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "cells.npz", images=images, labels=np.array([0, 1, 0, 1]))
    (tmp_path / "recipe.toml").write_text(
        cp.Recipe([cp.RandAugment(copies=1, operations=["invert"])]).to_toml()
    )
    return tmp_path


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from cellprep.cli import main; main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", program, "run", "recipe.toml", "cells.npz", "made"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_change_in_another_file_of_the_kernels_compiles_again(cache, monkeypatch) -> None:
    assert compiled_sum() == 5
    again = kernel(add)
    assert (again(2, 3), sum(again.stats.cache_hits.values())) == (5, 1)
    monkeypatch.setattr(compiling, "_package_stamp", lambda: b"other")
    again = kernel(add)
    assert (again(2, 3), sum(again.stats.cache_hits.values())) == (5, 0)


@pytest.mark.slow
def test_without_a_writable_cache_kernels_are_compiled_and_the_cost_stated_once(written) -> None:
    package = written / "site" / "cellprep"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(cp.__file__).parent, package, ignore=skip)
    for folder in {file.parent for file in (package / "kernels").rglob("*.py")}:
        (folder / "__pycache__").touch()  # root could write to a read-only folder
    homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), "/dev/null/none")
    done = run(written, PYTHONPATH=str(package.parent), NUMBA_CACHE_DIR="", **homes)
    assert done.returncode == 0, done.stderr
    assert "8 images written" in done.stdout
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1
    assert done.stderr.startswith("note: compiled kernels cannot be saved"), done.stderr
    assert done.stderr.count("\n") == 1
    cp.write(
        cp.Recipe.from_toml(written / "recipe.toml")(cp.read(written / "cells.npz")),
        written / "expected",
        progress=False,
    )
    made, expected = cp.read(written / "made"), cp.read(written / "expected")
    assert (made.to_arrays()[0] == expected.to_arrays()[0]).all()


def test_without_a_compiler_a_command_is_refused_in_one_line(written) -> None:
    done = run(written, NUMBA_DISABLE_JIT="1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "error: NUMBA_DISABLE_JIT is set" in done.stderr
