"""Kernels compiled ahead of time are used where they fit, and compiled as ever where they don't."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import llvmlite.binding as llvm
import numba
import pytest

import cellprep as cp
from cellprep.cli.demo import run_demo
from cellprep.kernels import ahead, compiling
from cellprep.kernels.compiling import kernel

ROOT = Path(__file__).parents[2]
HERE = next(one for one in ahead.PROCESSORS if one.runs_here())


def add(a, b):
    return a + b


def use(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As if the installation had this folder."""
    monkeypatch.setattr(ahead, "FOLDER", folder)
    ahead.folder.cache_clear()


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel's folder that contains `add` for this processor; nothing is cached elsewhere."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "first"))
    monkeypatch.setattr(compiling, "_keeping", [])
    compiling.keep(tmp_path / "wheel" / HERE.name)
    assert kernel(add)(2, 3) == 5
    compiling._keeping.clear()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "second"))
    use(monkeypatch, tmp_path / "wheel")
    yield tmp_path / "wheel" / HERE.name
    ahead.folder.cache_clear()


def compiled() -> bool:
    """Whether a new process would have to compile `add` for two integers."""
    again = kernel(add)
    assert again(2, 3) == 5
    return not again.stats.cache_hits


def test_a_wheels_kernel_is_not_compiled_again(wheel) -> None:
    assert not compiled()


def test_other_types_of_arguments_are_compiled(wheel) -> None:
    again = kernel(add)
    assert (again(2.0, 3.0), sum(again.stats.cache_hits.values())) == (5.0, 0)


def test_other_source_is_compiled(wheel, monkeypatch) -> None:
    monkeypatch.setattr(compiling, "_package_stamp", lambda: b"other")
    assert compiled()


def test_another_numba_compiles(wheel, monkeypatch) -> None:
    monkeypatch.setattr("numba.__version__", "0.1")
    assert compiled()


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_file_is_compiled_again_and_left_alone(suffix, wheel) -> None:
    (file,) = wheel.glob(f"*{suffix}")
    damaged = file.read_bytes()[:-40] + bytes(40)
    file.write_bytes(damaged)
    assert compiled()
    assert file.read_bytes() == damaged
    assert not compiled(), "what was compiled instead is cached"


def test_a_processor_without_the_features_compiles(wheel, monkeypatch) -> None:
    monkeypatch.setattr(llvm, "get_host_cpu_features", dict)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    ahead.folder.cache_clear()
    assert ahead.folder() is None
    assert compiled()


def test_the_most_capable_processor_is_chosen(tmp_path, monkeypatch) -> None:
    use(monkeypatch, tmp_path)
    monkeypatch.setattr("platform.machine", lambda: "AMD64")
    for one in ahead.PROCESSORS:
        (tmp_path / one.name).mkdir()
    chosen = []
    for missing in ((), ("avx512vbmi",), ("avx2",)):
        features = {name: name not in missing for name in (*ahead._AVX2, *ahead._AVX512)}
        monkeypatch.setattr(llvm, "get_host_cpu_features", lambda found=features: found)
        ahead.folder.cache_clear()
        chosen.append(ahead.folder())
    assert chosen == [tmp_path / "avx512", tmp_path / "avx2", None]
    ahead.folder.cache_clear()


def test_another_processor_asked_of_numba_is_compiled_for(wheel, monkeypatch) -> None:
    monkeypatch.setattr(numba.core.config, "CPU_NAME", "generic")
    ahead.folder.cache_clear()
    assert ahead.folder() is None
    assert not ahead.has("avx2")
    monkeypatch.setattr(numba.core.config, "CPU_FEATURES", "+avx2,+bmi")
    assert ahead.has("avx2")
    assert not ahead.has("avx")


def test_without_a_writable_cache_a_wheels_kernel_needs_no_warning(wheel, monkeypatch) -> None:
    monkeypatch.setattr(compiling._Places, "_locator_classes", [compiling._Nowhere])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not compiled()
    monkeypatch.setattr(compiling, "_said", [])
    with pytest.warns(cp.errors.CellprepWarning, match="neither the package's folder nor"):
        assert kernel(add)(2.0, 3.0) == 5.0


def test_llvm_knows_every_feature() -> None:
    """A misspelled feature would be absent everywhere."""
    if HERE.name == "arm64":
        pytest.skip("an x86 processor's features")
    assert {*ahead._AVX2, *ahead._AVX512} <= set(llvm.get_host_cpu_features())


LOAD = """
import sys
import numpy as np
import cellprep as cp
cp.jitter(np.zeros((2, 8, 8, 3), np.uint8))
print("numba.np.linalg" in sys.modules)
"""


def test_a_cached_kernel_runs_without_loading_the_compiler(tmp_path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LOAD]
    said = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert said == ["True\n", "False\n"]


COUNT = """
import hashlib, json, sys
from pathlib import Path
import llvmlite.binding as llvm
real = llvm.get_host_cpu_features
def features():
    found = real()
    found.update(dict.fromkeys(sys.argv[3:], False))
    return found
llvm.get_host_cpu_features = features
import numba.core.event as event
compiled = event.RecordingListener()
event.register("numba:compile", compiled)
sys.path.insert(0, sys.argv[1])
from compile_kernels import call_everything
import cellprep as cp
call_everything(Path(sys.argv[2]))
names = {str(one.data["dispatcher"]) for _, one in compiled.buffer}
images = cp.read(Path(sys.argv[2]) / "demo" / "train").to_arrays()[0]
digest = hashlib.sha256(images.tobytes()).hexdigest()
print(json.dumps([cp.__file__, sorted(names), digest]))
"""


def build_wheel(project: Path) -> Path:
    """A wheel with compiled kernels, made from a copy of the project."""
    pytest.importorskip("hatchling")
    project.mkdir()
    for name in ("src", "building"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, project / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=project,
        env={**os.environ, "CELLPREP_COMPILE": "1"},
        check=True,
    )
    (made,) = (project / "dist").iterdir()
    assert "-none-any" not in made.name  # it is for one platform
    return made


@pytest.mark.slow
def test_with_a_compiled_wheel_nothing_is_compiled(tmp_path) -> None:
    site, building = tmp_path / "site", ROOT / "building"
    with zipfile.ZipFile(build_wheel(tmp_path / "project")) as wheel:
        wheel.extractall(site)
    compiled_for = site / "cellprep" / "kernels" / "compiled"
    processors = [one for one in ahead.PROCESSORS if one.runs_here()]
    assert {folder.name for folder in compiled_for.iterdir()} == {one.name for one in processors}
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
    }
    digests = set()
    for missing in ((), ("avx512vbmi",)) if len(processors) > 1 else ((),):
        out = tmp_path / f"without {missing}"
        done = subprocess.run(
            [sys.executable, "-c", COUNT, building, out, *missing],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        used, compiled_now, digest = json.loads(done.stdout.splitlines()[-1])
        assert used.startswith(str(site))
        assert compiled_now == []
        digests.add(digest)
    run_demo(tmp_path / "demo", images=400, log=lambda line: None)
    images = cp.read(tmp_path / "demo" / "train").to_arrays()[0]
    assert digests == {hashlib.sha256(images.tobytes()).hexdigest()}
