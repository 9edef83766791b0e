"""A write inside the worker of another library gives the bytes of a plain one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import cellprep as cp

from ..writing.helpers import dataset, tree, write

pytestmark = pytest.mark.slow
RECIPE = cp.Recipe([cp.KMeansMask(), cp.RandAugment(copies=1)], seed=5)


def write_inside(path: Path, executor: str) -> str:
    """Write a small data set; returns why it was refused."""
    try:
        write(RECIPE(dataset(n=9)), path, rows_per_shard=4, executor=executor)
    except cp.CellprepError as error:
        return str(error)
    return "written"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("plain") / "out"
    assert write_inside(path, "threads") == "written"
    return tree(path)


def pool_of_loky() -> Executor:
    from loky import ProcessPoolExecutor as Pool

    pool: Executor = Pool(2)
    return pool


def pool_of_python(method: str) -> Executor:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot start processes by {method}")
    return ProcessPoolExecutor(2, multiprocessing.get_context(method))


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize(
    "pool",
    [pool_of_loky, partial(pool_of_python, "spawn"), partial(pool_of_python, "forkserver")],
    ids=["loky", "spawn", "forkserver"],
)
def test_workers_of_a_pool_write_the_same_bytes(
    pool: Callable[[], Executor], executor: str, expected: dict[str, bytes], tmp_path: Path
) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    with pool() as workers:
        assert list(workers.map(write_inside, paths, [executor] * 2)) == ["written"] * 2
    assert [tree(path) for path in paths] == [expected] * 2


def test_a_daemonic_worker_writes_with_threads_and_refuses_processes(
    expected: dict[str, bytes], tmp_path: Path
) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        refused = pool.apply(write_inside, (tmp_path / "out", "processes"))
        assert not (tmp_path / "out").exists()
        assert pool.apply(write_inside, (tmp_path / "out", "threads")) == "written"
    assert "daemonic" in refused
    assert "choose executor='threads'" in refused
    assert "\n" not in refused
    assert tree(tmp_path / "out") == expected


@pytest.mark.parametrize(
    ("scheduler", "executor"),
    [("threads", "threads"), ("threads", "processes"), ("processes", "processes")],
)
def test_tasks_of_dask_write_the_same_bytes(
    scheduler: str, executor: str, expected: dict[str, bytes], tmp_path: Path
) -> None:
    dask = pytest.importorskip("dask")
    paths = [tmp_path / "one", tmp_path / "two"]
    tasks = [dask.delayed(write_inside)(path, executor) for path in paths]
    assert dask.compute(*tasks, scheduler=scheduler, num_workers=2) == ("written",) * 2
    assert [tree(path) for path in paths] == [expected] * 2


@pytest.fixture(params=["threads", "processes"])
def client(request: Any, tmp_path: Path) -> Iterator[Any]:
    """A cluster of dask of two workers on this machine."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=request.param == "processes",
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.kind = request.param
        yield client


def test_workers_of_a_dask_cluster_write_the_same_bytes(
    client: Any, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """Its processes are daemonic, so they refuse to start others."""
    paths = [tmp_path / "one", tmp_path / "two"]
    assert client.gather(client.map(write_inside, paths, ["threads"] * 2)) == ["written"] * 2
    assert [tree(path) for path in paths] == [expected] * 2
    inside = client.submit(write_inside, tmp_path / "three", "processes").result()
    if client.kind == "processes":
        assert "daemonic" in inside
    else:
        assert inside == "written"
        assert tree(tmp_path / "three") == expected
