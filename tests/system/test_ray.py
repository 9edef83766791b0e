"""`executor="ray"` on a real cluster: the same bytes, whatever dies on the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cellprep as cp
from cellprep.cli import main
from cellprep.errors import BadImagesError, CellprepError
from cellprep.plan.source import ArraySource
from cellprep.synthetic import draw_cells
from cellprep.system import executors
from cellprep.system import ray_cluster as ray_engine

ray = pytest.importorskip("ray", reason="ray is not installed")

RECIPE = cp.Recipe([cp.Dedupe(near=4), cp.Balance(), cp.RandAugment(copies=2)], seed=5)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does no work, and two nodes of one processor."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))  # tasks of this file
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_timeout_ms", "60000")  # a busy machine is not a dead one
        head = {"num_cpus": 0, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """40 drawn cells, (40, 24, 24, 3); one stands twice, one under two labels, one brighter."""
    images, labels = draw_cells([6, 5, 4, 5, 5, 5, 6, 4], side=24, seed=4)
    images[1], images[20] = images[0], images[8]
    images[31] = np.minimum(images[30].astype(int) + 3, 255)
    return images, labels


def tree(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def write(made: cp.Dataset, path: Path, **options: Any) -> cp.Written:
    return cp.write(made, path, **{"progress": False, "rows_per_shard": 16, **options})


# -- the same bytes ----------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["shards", "folder", "npz"])
def test_a_cluster_writes_what_threads_write(format, images, cluster, tmp_path):
    write(cp.Dataset.from_arrays(*images), tmp_path / "source")  # files, as every machine sees them
    made = RECIPE(cp.read(tmp_path / "source"))
    write(made, tmp_path / f"threads.{format}", format=format)
    made = RECIPE(cp.read(tmp_path / "source"))
    options = {"executor": "ray", "address": cluster.address}
    written = write(made, tmp_path / f"ray.{format}", format=format, **options)
    assert len(cp.read(tmp_path / "source")) > made.changes().loc[0, "rows_out"]
    assert written.rows > 100
    assert tree(tmp_path / f"threads.{format}") == tree(tmp_path / f"ray.{format}")
    assert not ray.is_initialized()  # what was opened is closed


def test_the_command_line_and_bad_files(cluster, tmp_path, cells, monkeypatch):
    from PIL import Image

    for number, (image, label) in enumerate(zip(*cells, strict=True)):
        file = tmp_path / "smears" / f"class {label}" / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    file.write_bytes(b"no picture")
    (tmp_path / "recipe.toml").write_text(RECIPE.to_toml())
    monkeypatch.chdir(tmp_path)
    for name, options in (
        ("threads", []),
        ("ray", ["--executor", "ray", "--address", cluster.address]),
    ):
        command = ["run", "recipe.toml", "smears", name, "--on-error", "skip", *options]
        said = CliRunner().invoke(main, command)
        assert said.exit_code == 0, said.output
        assert "1 unreadable" in said.output
    assert tree(tmp_path / "threads") == tree(tmp_path / "ray")
    with pytest.raises(BadImagesError, match=r"1 image cannot be used: class 7/39.png"):
        cp.read(tmp_path / "smears").to_arrays(executor="ray", address=cluster.address)


LOCAL = """
import numpy as np, ray, cellprep as cp
images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), np.uint8)
made = cp.Recipe([cp.RandAugment(copies=1)])(cp.Dataset.from_arrays(images, np.arange(300) % 2))
print((made.to_arrays(executor="ray", workers=1)[0] == made.to_arrays()[0]).all())
print(ray.is_initialized())
try:
    made.to_arrays(executor="ray", address={address!r})
except cp.CellprepError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_local_ray_is_started_and_ended_and_no_cluster_is_joined_after_it(cluster):
    script = LOCAL.format(address=cluster.address)
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600
    )
    equal, open_, refused = said.stdout.splitlines()
    assert (equal, open_) == ("True", "False")
    assert refused.startswith("this process has worked on another Ray"), said.stderr


# -- a machine dies ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Gated(ArraySource):
    """The same images; those from row 60 on are given when the gate is open, and not before."""

    gate: Path = Path()

    def images(self, at: np.ndarray) -> np.ndarray:
        if at[0] >= 60:
            node = ray.get_runtime_context().get_node_id()
            (self.gate / f"{node} {at[0]} {os.getpid()}").touch()
            while not (self.gate / "open").exists():
                time.sleep(0.02)
        return super().images(at)


@pytest.mark.slow
def test_a_node_is_killed_in_the_middle_and_nothing_is_lost(cluster, tmp_path):
    images, labels = draw_cells([25] * 8, side=24, seed=1)
    plain = cp.Dataset.from_arrays(images, labels)
    gate = tmp_path / "gate"
    gate.mkdir()
    gated = Gated(images, plain.source.rows, plain.class_names, gate=gate)
    augment = cp.Recipe([cp.RandAugment(copies=1)], seed=2)
    write(augment(plain), tmp_path / "threads", rows_per_shard=20)

    doomed = cluster.add_node(num_cpus=1)
    killed: list[int] = []

    def kill() -> None:
        while not (there := list(gate.glob(f"{doomed.node_id}*"))):
            time.sleep(0.02)
        cluster.remove_node(doomed, allow_graceful=False)
        with suppress(ProcessLookupError):  # of one machine, so both are gone
            os.kill(int(there[0].name.split()[-1]), signal.SIGKILL)
        killed.append(len(list((tmp_path / "ray" / ".cellprep").glob("part-*.arrow"))))
        (gate / "open").touch()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    options = {"executor": "ray", "address": cluster.address, "rows_per_shard": 20}
    write(augment(cp.Dataset(gated)), tmp_path / "ray", **options)
    killer.join()
    cluster.wait_for_nodes(timeout=120)  # or later tests get work for the dead node
    assert 0 < killed[0] < 20  # of 20 parts
    assert tree(tmp_path / "ray") == tree(tmp_path / "threads")
    begun = [file.name.split() for file in gate.iterdir() if " " in file.name]
    lost = {row for node, row, _ in begun if node == doomed.node_id}
    assert lost
    assert lost <= {row for node, row, _ in begun if node != doomed.node_id}  # begun again


@dataclass(frozen=True)
class Deadly:
    """A task that kills its worker, as often as it is tried."""

    tries: Path

    def __call__(self, span: executors.Span) -> int:
        if span[0] == 2:
            (self.tries / str(os.getpid())).touch()
            os._exit(1)
        return span[0]


@pytest.mark.slow
def test_what_kills_every_worker_is_tried_four_times(cluster, tmp_path):
    got = []
    with (
        executors.using("ray", address=cluster.address),
        pytest.raises(CellprepError, match=r"Ray lost a task, tried 4 times .* fewer workers="),
    ):
        got.extend(executors.run(Deadly(tmp_path), executors.cut(50, 1)))
    assert got == [0, 1]
    assert len(list(tmp_path.iterdir())) == 4


# -- order, bounds, errors ---------------------------------------------------------------------


@dataclass(frozen=True)
class Counted:
    """A task that says when it is under way."""

    folder: Path

    def __call__(self, span: executors.Span) -> tuple[int, int]:
        mark = self.folder / str(span[0])
        mark.touch()
        under_way = len(list(self.folder.iterdir()))
        time.sleep(0.05 if span[0] % 3 == 0 else 0)
        mark.unlink()
        return span[0], under_way


def fails_at_four(span: executors.Span) -> int:
    if span[0] == 4:
        raise CellprepError("the fourth")
    return span[0]


def test_workers_and_order(cluster, tmp_path):
    with executors.using("ray", workers=1, address=cluster.address):
        found = list(executors.run(Counted(tmp_path), executors.cut(12, 1)))
        assert list(executors.run(Counted(tmp_path), [])) == []
    assert found == [(number, 1) for number in range(12)]


def test_an_error_in_a_task_comes_out_as_itself(cluster):
    got = []
    with (
        executors.using("ray", address=cluster.address),
        pytest.raises(CellprepError, match=r"^the fourth$"),
    ):
        got.extend(executors.run(fails_at_four, executors.cut(50, 1)))
    assert got == [0, 1, 2, 3]


def test_what_cannot_travel_is_refused(cluster):
    lock = threading.Lock()
    with (
        executors.using("ray", address=cluster.address),
        pytest.raises(CellprepError, match="the data set cannot be sent to other machines"),
    ):
        list(executors.run(lambda span: lock, [(0, 1)]))


def test_a_connection_of_the_user_is_used_and_left(cluster, images):
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        made = cp.Dataset.from_arrays(*images)
        np.testing.assert_array_equal(made.to_arrays(executor="ray")[0], images[0])
        assert ray.is_initialized()
        with pytest.raises(CellprepError, match=r"works on the Ray cluster at .* already"):
            made.to_arrays(executor="ray", address="elsewhere:6379")
    finally:
        ray.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no.such.host.invalid:6379", "nonsense"])
def test_no_cluster_at_the_address(address, images, tmp_path):
    with pytest.raises(CellprepError, match="no Ray cluster answers at address=") as said:
        write(cp.Dataset.from_arrays(*images), tmp_path / "out", executor="ray", address=address)
    assert "\n" not in str(said.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_an_address_is_for_ray(executor, images, tmp_path):
    with pytest.raises(CellprepError, match=f"`address` is of a Ray .* executor='{executor}'"):
        write(cp.Dataset.from_arrays(*images), tmp_path, executor=executor, address="auto")


def test_without_ray_the_extra_is_named(images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CellprepError, match=r"pip install 'cellprep\[ray\]'"):
        write(cp.Dataset.from_arrays(*images), tmp_path / "out", executor="ray")


# -- what a worker checks before it begins -----------------------------------------------------


def test_a_worker_that_does_not_see_the_folder_refuses(cluster, images, tmp_path, monkeypatch):
    reaches = (tmp_path / "not mounted",)
    monkeypatch.setattr(parts_module().Part, "reaches", reaches)
    options = {"executor": "ray", "address": cluster.address}
    with pytest.raises(CellprepError, match=r"does not see '.*not mounted'; every machine"):
        write(cp.Dataset.from_arrays(*images), tmp_path / "out", **options)


def test_a_worker_of_other_versions_refuses(cluster, images, monkeypatch):
    monkeypatch.setattr(ray_engine, "_versions", lambda: ("cellprep 0.0.1", "numpy 1"))
    made = cp.Dataset.from_arrays(*images)
    with pytest.raises(CellprepError, match=r"has cellprep .*, and the task comes from cellprep 0"):
        made.to_arrays(executor="ray", address=cluster.address)


@dataclass(frozen=True)
class Absent:
    """A task that opens a file as it arrives."""

    file: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.read_bytes, (self.file,)


def test_a_worker_that_cannot_open_the_input_refuses(cluster, tmp_path):
    with (
        executors.using("ray", address=cluster.address),
        pytest.raises(CellprepError, match=r"cannot open the data set .*FileNotFoundError"),
    ):
        list(executors.run(Absent(tmp_path / "absent"), [(0, 1)]))


# -- docs/scaling.md ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_grouping_of_the_documentation(cluster, tmp_path):
    import pandas as pd

    from cellprep.plan.digests import digest

    text = (Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    images = np.random.default_rng(0).integers(0, 256, (600, 4, 4, 3), np.uint8)
    images[500], images[301], images[3] = images[7], images[7], images[599]
    (tmp_path / "digests").mkdir()
    for piece in range(3):
        rows = np.arange(200 * piece, 200 * piece + 200)
        high, low = digest(images[rows]).T
        table = pd.DataFrame({"id": rows.astype(np.uint64), "high": high, "low": low})
        table.to_parquet(tmp_path / "digests" / f"{piece}.parquet")
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        exec(block.replace("/shared", str(tmp_path)), {})
    finally:
        ray.shutdown()
    found = pd.concat(map(pd.read_parquet, (tmp_path / "repeats").glob("*.parquet")))
    groups = found.groupby(["high", "low"])["id"].apply(lambda ids: sorted(map(int, ids)))
    assert sorted(groups) == [[3, 599], [7, 301, 500]]


def parts_module() -> Any:
    """The module, which the function of its name hides."""
    import importlib

    return importlib.import_module("cellprep.writing.shards")
