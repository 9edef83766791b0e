"""A kernel is compiled with all that it calls, as one unit."""

from __future__ import annotations

import gc
from typing import Any

import numba
import numpy as np
import pytest

from cellprep.kernels import compiling
from cellprep.kernels.compiling import kernel


@kernel
def square(x: Any) -> Any:
    return x * x


@kernel
def sum_of_squares(values: Any) -> Any:
    total = 0
    for i in range(len(values)):
        total += square(values[i])
    return total


@kernel
def twice(values: Any) -> Any:
    return 2 * sum_of_squares(values)


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """Calls `twice` with an empty cache, and returns what was cached."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    functions = {one.py_func.__name__: kernel(one.py_func) for one in (square, sum_of_squares)}
    for name, function in functions.items():
        monkeypatch.setitem(globals(), name, function)
    assert kernel(twice.py_func)(np.arange(4)) == 28
    return {file.name.split("-")[0].rpartition(".")[2] for file in tmp_path.rglob("*.nbc")}


def test_what_only_a_kernel_calls_is_not_compiled_for_itself(compiled) -> None:
    assert compiled == {"twice"}
    assert not square.signatures
    assert not sum_of_squares.signatures


def test_a_part_can_be_called_from_python_too(compiled) -> None:
    assert sum_of_squares(np.arange(4)) == 14
    assert square(3.5) == 12.25


@pytest.mark.parametrize("enabled", [True, False])
def test_compiling_leaves_garbage_collection_as_it_was(enabled, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        assert kernel(square.py_func)(2) == 4
        assert gc.isenabled() == enabled
        with pytest.raises(numba.TypingError):
            kernel(square.py_func)("text")
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_a_change_in_another_file_compiles_again(compiled, monkeypatch) -> None:
    again = kernel(twice.py_func)
    assert again(np.arange(4)) == 28
    assert sum(again.stats.cache_hits.values()) == 1
    monkeypatch.setattr(compiling, "_package_stamp", lambda: b"other")
    again = kernel(twice.py_func)
    assert again(np.arange(4)) == 28
    assert not again.stats.cache_hits
