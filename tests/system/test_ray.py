"""`executor="ray"` on a real cluster: the same bytes, whichever worker or machine dies."""

from __future__ import annotations

import os
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
import pandas as pd
import pytest
from click.testing import CliRunner

import cellprep as cp
from cellprep.cli import main
from cellprep.duplicates import on_ray
from cellprep.errors import BadImagesError, CellprepError
from cellprep.plan.source import ArraySource
from cellprep.synthetic import draw_cells
from cellprep.system import executors, ray_cluster
from cellprep.writing import shards

ray = pytest.importorskip("ray", reason="ray is not installed")

RECIPE = cp.Recipe([cp.Dedupe(near=4), cp.Balance(), cp.RandAugment(copies=2)], seed=5)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head node without processors and two nodes with one processor each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))  # for tasks of this file
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_timeout_ms", "60000")  # a busy machine may respond late
        head = {"num_cpus": 0, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """40 synthetic cells, (40, 24, 24, 3): an exact repeat, a conflict, a brighter copy."""
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
def test_a_cluster_writes_the_same_bytes_as_threads(format, images, cluster, tmp_path):
    write(cp.Dataset.from_arrays(*images), tmp_path / "source")  # for all machines
    made = RECIPE(cp.read(tmp_path / "source"))
    write(made, tmp_path / f"threads.{format}", format=format)
    made = RECIPE(cp.read(tmp_path / "source"))
    options = {"executor": "ray", "address": cluster.address}
    written = write(made, tmp_path / f"ray.{format}", format=format, **options)
    assert len(cp.read(tmp_path / "source")) > made.changes().loc[0, "rows_out"]
    assert written.rows > 100
    assert tree(tmp_path / f"threads.{format}") == tree(tmp_path / f"ray.{format}")
    assert not ray.is_initialized()  # the connection is closed again


def test_the_command_line_skips_bad_files_as_with_threads(cluster, tmp_path, cells, monkeypatch):
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
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        assert "1 unreadable" in done.output
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
def test_a_local_ray_is_shut_down_and_a_cluster_refused_afterwards(cluster):
    script = LOCAL.format(address=cluster.address)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600
    )
    equal, open_, refused = done.stdout.splitlines()
    assert (equal, open_) == ("True", "False")
    assert refused.startswith("this process was connected to another Ray"), done.stderr


# -- a machine dies ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Gated(ArraySource):
    """The same images, but those from row 60 on wait until the gate is open."""

    gate: Path = Path()

    def images(self, at: np.ndarray) -> np.ndarray:
        if at[0] >= 60:
            node = ray.get_runtime_context().get_node_id()
            (self.gate / f"{node} {at[0]} {os.getpid()}").touch()
            while not (self.gate / "open").exists():
                time.sleep(0.02)
        return super().images(at)


@pytest.mark.slow
def test_no_task_is_lost_when_a_node_is_killed(cluster, tmp_path):
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
        with suppress(ProcessLookupError):  # on the same machine as the node, so kill it too
            os.kill(int(there[0].name.split()[-1]), signal.SIGKILL)
        killed.append(len(list((tmp_path / "ray" / ".cellprep").glob("part-*.arrow"))))
        (gate / "open").touch()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    options = {"executor": "ray", "address": cluster.address, "rows_per_shard": 20}
    write(augment(cp.Dataset(gated)), tmp_path / "ray", **options)
    killer.join()
    cluster.wait_for_nodes(timeout=120)  # otherwise later tests schedule on the dead node
    assert 0 < killed[0] < 20  # of 20 shards
    assert tree(tmp_path / "ray") == tree(tmp_path / "threads")
    begun = [file.name.split() for file in gate.iterdir() if " " in file.name]
    lost = {row for node, row, _ in begun if node == doomed.node_id}
    assert lost
    assert lost <= {row for node, row, _ in begun if node != doomed.node_id}  # retried


@dataclass(frozen=True)
class Deadly:
    """A task that kills its worker at every attempt."""

    tries: Path

    def __call__(self, span: executors.Span) -> int:
        if span[0] == 2:
            (self.tries / str(os.getpid())).touch()
            os._exit(1)
        return span[0]


@pytest.mark.slow
def test_a_task_that_kills_its_worker_is_tried_four_times(cluster, tmp_path):
    got = []
    with (
        executors.using("ray", address=cluster.address),
        pytest.raises(CellprepError, match=r"Ray lost a task after 4 attempts .* fewer workers="),
    ):
        got.extend(executors.run(Deadly(tmp_path), executors.cut(50, 1)))
    assert got == [0, 1]
    assert len(list(tmp_path.iterdir())) == 4


# -- duplicates --------------------------------------------------------------------------------


@pytest.fixture
def grouped_there(monkeypatch) -> None:
    """Small sets are grouped on the cluster too, in several spans and buckets."""
    sizes = {"MOST_ROWS": 20, "_SPAN": 9, "_BUCKET": 30, "_BLOCK": 10}
    for name, value in sizes.items():
        monkeypatch.setattr(on_ray, name, value)


@pytest.mark.parametrize("near", [None, pytest.param(4, marks=pytest.mark.slow)])
def test_a_cluster_finds_the_duplicates_that_threads_find(
    near, images, cluster, grouped_there, monkeypatch
):
    shuffles = []
    original = ray_cluster.shuffled
    monkeypatch.setattr(
        *(ray_cluster, "shuffled"), lambda *given: shuffles.append(1) or original(*given)
    )
    cells = cp.Dataset.from_arrays(*images)
    there = {"executor": "ray", "address": cluster.address}
    expected = cp.find_duplicates(cells, near=near)
    pd.testing.assert_frame_equal(cp.find_duplicates(cells, near=near, **there), expected)
    parts = cells.take(range(30)), cells.take(range(20, 40))
    expected = cp.find_leaks(*parts, near=near)
    pd.testing.assert_frame_equal(cp.find_leaks(*parts, near=near, **there), expected)
    deduped = cp.Recipe([cp.Dedupe(near=near)])
    expected = deduped(cells)
    assert 20 < len(expected) < 40
    assert len(shuffles) == 2 * (1 if near is None else 13)
    found = deduped(cells)
    np.testing.assert_array_equal(found.to_arrays(**there)[0], expected.to_arrays()[0])
    pd.testing.assert_frame_equal(found.removed(), expected.removed())
    assert len(shuffles) == 3 * (1 if near is None else 13)


@dataclass(frozen=True, eq=False)
class Doomed(ArraySource):
    """The same images, measured mostly on one node, which stops at its third span."""

    gate: Path = Path()
    node: str = ""

    def images(self, at: np.ndarray) -> np.ndarray:
        node = ray.get_runtime_context().get_node_id()
        if at[0] % on_ray._SPAN == 0:
            (self.gate / f"{node} {at[0]} {os.getpid()}").touch()
        stops = len(list(self.gate.glob(f"{self.node} *"))) > 2 if node == self.node else at[0] > 0
        while stops and not (self.gate / "open").exists():
            time.sleep(0.02)
        return super().images(at)


@pytest.mark.slow
def test_what_a_killed_node_had_measured_is_measured_again(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(on_ray, "MOST_ROWS", 100_000)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10 * on_ray._SPAN, 2, 2, 3), np.uint8)
    images[rng.permutation(len(images))[:2000]] = images[:2000]
    plain = cp.Dataset.from_arrays(images, np.zeros(len(images), int))
    expected = cp.find_duplicates(plain)

    doomed = cluster.add_node(num_cpus=1)
    source = Doomed(
        images, plain.source.rows, plain.class_names, gate=tmp_path, node=doomed.node_id
    )

    def kill() -> None:
        while len(there := list(tmp_path.glob(f"{doomed.node_id} *"))) < 3:
            time.sleep(0.02)
        cluster.remove_node(doomed, allow_graceful=False)
        for pid in {int(file.name.split()[-1]) for file in there}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        (tmp_path / "open").touch()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    found = cp.find_duplicates(cp.Dataset(source), executor="ray", address=cluster.address)
    killer.join()
    cluster.wait_for_nodes(timeout=120)  # otherwise later tests schedule on the dead node
    pd.testing.assert_frame_equal(found, expected)
    assert len(found) > 3000
    begun = [file.name.split() for file in tmp_path.iterdir() if " " in file.name]
    lost = {row for node, row, _ in begun if node == doomed.node_id}
    assert len(lost) == 3  # two of them were complete
    assert lost <= {row for node, row, _ in begun if node != doomed.node_id}


# -- order, bounds, errors ---------------------------------------------------------------------


@dataclass(frozen=True)
class Counted:
    """A task that returns how many tasks are running."""

    folder: Path

    def __call__(self, span: executors.Span) -> tuple[int, int]:
        file = self.folder / str(span[0])
        file.touch()
        running = len(list(self.folder.iterdir()))
        time.sleep(0.05 if span[0] % 3 == 0 else 0)
        file.unlink()
        return span[0], running


def fails_at_four(span: executors.Span) -> int:
    if span[0] == 4:
        raise CellprepError("the fourth")
    return span[0]


def test_results_are_ordered_and_workers_limit_running_tasks(cluster, tmp_path):
    with executors.using("ray", workers=1, address=cluster.address):
        found = list(executors.run(Counted(tmp_path), executors.cut(12, 1)))
        assert list(executors.run(Counted(tmp_path), [])) == []
    assert found == [(number, 1) for number in range(12)]


def test_an_error_in_a_task_is_raised_unchanged(cluster):
    got = []
    with (
        executors.using("ray", address=cluster.address),
        pytest.raises(CellprepError, match=r"^the fourth$"),
    ):
        got.extend(executors.run(fails_at_four, executors.cut(50, 1)))
    assert got == [0, 1, 2, 3]


def test_a_function_that_cannot_be_pickled_is_refused(cluster):
    lock = threading.Lock()
    with (
        executors.using("ray", address=cluster.address),
        pytest.raises(CellprepError, match="the data set cannot be sent to other machines"),
    ):
        list(executors.run(lambda span: lock, [(0, 1)]))


def test_an_existing_connection_is_used_and_left_open(cluster, images):
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        made = cp.Dataset.from_arrays(*images)
        np.testing.assert_array_equal(made.to_arrays(executor="ray")[0], images[0])
        assert ray.is_initialized()
        with pytest.raises(CellprepError, match=r"is already connected to the Ray cluster at "):
            made.to_arrays(executor="ray", address="elsewhere:6379")
    finally:
        ray.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no.such.host.invalid:6379", "nonsense"])
def test_an_address_without_a_cluster_is_refused_in_one_line(address, images, tmp_path):
    with pytest.raises(CellprepError, match="no Ray cluster answers at address=") as caught:
        write(cp.Dataset.from_arrays(*images), tmp_path / "out", executor="ray", address=address)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_an_address_without_ray_is_refused(executor, images, tmp_path):
    with pytest.raises(CellprepError, match=f"`address` is for .* executor='{executor}'"):
        write(cp.Dataset.from_arrays(*images), tmp_path, executor=executor, address="auto")


def test_if_ray_is_missing_the_error_names_the_extra(images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CellprepError, match=r"pip install 'cellprep\[ray\]'"):
        write(cp.Dataset.from_arrays(*images), tmp_path / "out", executor="ray")


# -- what a worker checks before it starts -----------------------------------------------------


def test_a_worker_without_access_to_the_folder_refuses(cluster, images, tmp_path, monkeypatch):
    paths = (tmp_path / "not mounted",)
    monkeypatch.setattr(shards.ShardTask, "required_paths", paths)
    options = {"executor": "ray", "address": cluster.address}
    with pytest.raises(CellprepError, match=r"cannot see '.*not mounted'; every machine"):
        write(cp.Dataset.from_arrays(*images), tmp_path / "out", **options)


def test_a_worker_with_other_versions_refuses(cluster, images, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_versions", lambda: ("cellprep 0.0.1", "numpy 1"))
    made = cp.Dataset.from_arrays(*images)
    with pytest.raises(CellprepError, match=r"has cellprep .*, this process cellprep 0"):
        made.to_arrays(executor="ray", address=cluster.address)


@dataclass(frozen=True)
class Absent:
    """A task that opens a file when it is unpickled."""

    file: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.read_bytes, (self.file,)


def test_a_worker_that_cannot_open_the_input_refuses(cluster, tmp_path):
    with (
        executors.using("ray", address=cluster.address),
        pytest.raises(CellprepError, match=r"cannot open the data set .*FileNotFoundError"),
    ):
        list(executors.run(Absent(tmp_path / "absent"), [(0, 1)]))
