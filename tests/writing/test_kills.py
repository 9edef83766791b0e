"""Writers that are killed or interrupted: what they leave behind, and that the next one resumes."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import pytest
from click.testing import CliRunner

import cellprep as cp
from cellprep.cli import main
from cellprep.errors import CellprepError
from cellprep.formats import FORMATS
from cellprep.synthetic import draw_cells

ROWS = 2
NAMES = [
    name
    for name, format in FORMATS.items()
    if all(importlib.util.find_spec(module) for module in getattr(format, "needs", ()))
    and (format.writer or format.write_file)
]
EXECUTORS = ("threads", "processes")
CASES: dict[tuple[str, str], list[int]] = {}
"""50 seeded moments, divided among the formats; every seventh uses processes (slow to start)."""
for moment in range(50):
    turn, which = divmod(moment, len(NAMES))
    CASES.setdefault((NAMES[which], EXECUTORS[turn % 7 == 3]), []).append(moment)


@cache
def job(n: int) -> cp.Dataset:
    """24 times n images of 48x48, in half as many shards."""
    images, labels = draw_cells([n] * 8, side=48, seed=2)
    recipe = cp.Recipe([cp.KMeansMask(), cp.RandAugment(copies=2)], seed=6)
    return recipe(cp.Dataset.from_arrays(images, labels))


def write(
    path: Path, format: str, executor: str = "threads", n: int = 6, **options: object
) -> cp.Written:
    settings = {"rows_per_shard": ROWS, "workers": 2, "progress": False, "masks": True, **options}
    return cp.write(job(n), path, format=format, executor=executor, **settings)  # type: ignore[arg-type]


def tree(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def size(folder: Path) -> int:
    """Bytes of all files below a folder, which may change meanwhile."""
    total = 0
    for parent, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.stat(os.path.join(parent, file)).st_size
            except OSError:
                continue
    return total


def serve() -> None:
    """Fork a writer for each line of input, which is faster than starting Python each time."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "warm", "shards", workers=1)  # import and compile everything
    for line in sys.stdin:
        path, format, executor = json.loads(line)
        child = os.fork()
        if not child:
            os.setsid()
            try:
                write(Path(path), format, executor)
            finally:
                os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    code = "from tests.writing.test_kills import serve; serve()"
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def killed(server: subprocess.Popen[str], path: Path, case: tuple[str, str], goal: float) -> bool:
    """Kill a writer and its workers at `goal` bytes; False if it had finished."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([str(path), *case]) + "\n")
    server.stdin.flush()
    child = int(server.stdout.readline())
    while size(path.parent) < goal and Path(f"/proc/{child}/stat").exists():
        time.sleep(0.001)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    unfinished = not (path.is_file() or (path / "dataset.json").is_file())
    return os.WIFSIGNALED(int(server.stdout.readline())) and unfinished


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_resume_after_kill_is_byte_identical(case, server, tmp_path):
    write(tmp_path / "reference", case[0])
    expected, total = tree(tmp_path / "reference"), size(tmp_path)
    resumed = []
    for moment in CASES[case]:
        path = tmp_path / f"{moment}" / "out"
        path.parent.mkdir()
        goal = random.Random(moment).uniform(0.02, 0.9) * total
        while not killed(server, path, case, goal):  # it had finished
            assert tree(path) == expected
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            goal *= 0.7
        assert size(path.parent) > 0
        for name, data in (tree(path) if path.exists() else {}).items():
            if not name.startswith(".cellprep") and not name.endswith(".tmp"):
                assert data == expected[name]
        with pytest.raises(CellprepError, match=r"not written to the end|no file or folder"):
            cp.read(path)
        resumed.append(write(path, case[0]).resumed)
        assert tree(path) == expected
        assert list(path.parent.iterdir()) == [path]
        shutil.rmtree(path.parent)
    if FORMATS[case[0]].writer:  # a single file cannot be resumed
        assert sum(count > 0 for count in resumed) >= len(resumed) / 2


# -- interrupted by Ctrl-C ----------------------------------------------------------------------


@pytest.mark.unix("no process groups to interrupt")
@pytest.mark.parametrize("executor", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_the_same_command_resumes_after_ctrl_c(executor, tmp_path):
    images, labels = draw_cells([6] * 8, side=48, seed=2)
    cp.write(cp.Dataset.from_arrays(images, labels), tmp_path / "in.npz", progress=False)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[[steps]]\nstep = "KMeansMask"\n[[steps]]\nstep = "RandAugment"\ncopies = 9')
    out = tmp_path / "out"
    line = ["run", str(recipe), str(tmp_path / "in.npz"), str(out), "--rows-per-shard", "4"]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("cellprep"), *line, "--executor", executor],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Background jobs of a shell ignore SIGINT, and their children would too.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    while not list(out.glob(".cellprep/part-*[0-9].arrow")):
        assert process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)  # to the workers too, as a terminal does
    output, errors = process.communicate(timeout=600)
    assert (process.returncode, output) == (130, "")
    assert errors == "error: interrupted; run the same command again to continue\n"
    done = CliRunner().invoke(main, [*line, "--json"])
    assert 0 < json.loads(done.stdout)["resumed"] < 480
    shutil.move(out, tmp_path / "resumed")
    assert CliRunner().invoke(main, line).exit_code == 0
    assert tree(out) == tree(tmp_path / "resumed")
