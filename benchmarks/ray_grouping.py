"""Duplicates found on two nodes, one of which is killed: `python -m benchmarks.ray_grouping`.

The result is compared with that of threads. Each runs in its own process, whose peak memory is
printed. Images are generated from their row numbers, so memory is that of the search.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

import cellprep as cp
from benchmarks.computed import Computed
from benchmarks.measure import memory
from cellprep.arrays import Images, Positions
from cellprep.kernels.splitmix import GOLDEN, mix
from cellprep.plan.source import Shape

ROOT = Path(__file__).resolve().parents[1]
STORE = 800 << 20  # bytes of a node's object store


@dataclass(frozen=True, eq=False)
class Generated(Computed):
    """Images of noise; the last hundredth of them repeat the first, in another order."""

    side: int = 4
    gate: Path | None = None

    @property
    def shape(self) -> Shape:
        return self.side, self.side, 3

    def identity(self) -> str:
        return f"generated {self.n} {self.side}"

    def images(self, at: Positions) -> Images:
        self._pass(int(at[0]))
        copies = self.n // 100
        of = np.where(at < self.n - copies, at, self.n - 1 - at)
        values = self.side**2 * 3
        words = np.arange(1, -(-values // 8) + 1).astype(np.uint64) * GOLDEN
        pixels = mix(mix(of.astype(np.uint64))[:, None] + words).view(np.uint8)[:, :values]
        return np.ascontiguousarray(pixels).reshape(len(at), *self.shape)

    def _pass(self, row: int) -> None:
        """From the middle on, wait until a node has been killed."""
        if self.gate is None or row < self.n // 2 or (self.gate / "open").exists():
            return
        import ray

        node = ray.get_runtime_context().get_node_id()
        (self.gate / f"{node} {os.getpid()}").touch()
        while not (self.gate / "open").exists():
            time.sleep(0.05)


def search(source: Generated, near: int | None, **how: str) -> dict[str, object]:
    """Find duplicates; what was found, in what time and memory."""
    from pandas.util import hash_pandas_object

    began, before = time.monotonic(), os.times()
    table = cp.find_duplicates(cp.Dataset(source), near=near, **how)
    took, after = time.monotonic() - began, os.times()
    return {
        "groups": int(table["group"].nunique()),
        "table": f"{hash_pandas_object(table).sum():x}",
        "seconds": round(took, 1),
        "of the caller's processors": round(sum(after[:2]) - sum(before[:2]), 1),
        "peak MB of the caller": memory.peak() >> 20,
    }


def on_cluster(n: int, side: int, near: int | None, kill: bool) -> dict[str, object]:
    """The search on two nodes of one processor each, the second of which is killed halfway."""
    import ray
    from ray.cluster_utils import Cluster

    python = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, python))
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_health_check_timeout_ms": "60000"}
    none = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=none)
    _, doomed = (cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2))
    cluster.wait_for_nodes()
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder)

        def kill_halfway() -> None:
            while not (waiting := list(gate.glob(f"{doomed.node_id} *"))):
                time.sleep(0.05)
            cluster.remove_node(doomed, allow_graceful=False)
            with suppress(ProcessLookupError):
                os.kill(int(waiting[0].name.split()[-1]), signal.SIGKILL)
            print("killed a node", file=sys.stderr)
            (gate / "open").touch()

        threading.Thread(target=kill_halfway, daemon=True).start()
        source = Generated(n, side=side, gate=gate if kill else None)
        found = search(source, near, executor="ray", address=cluster.address)
    assert not ray.is_initialized()
    cluster.shutdown()
    return found


@click.command()
@click.option("--rows", type=int, default=5_000_000, show_default=True)
@click.option("--side", type=int, default=4, show_default=True, help="Of the images, in pixels.")
@click.option("--near", type=int, help="Search for near copies too.")
@click.option("--kill/--no-kill", default=True, show_default=True)
@click.option("--here", type=click.Choice(["threads", "ray"]), hidden=True)
def main(rows: int, side: int, near: int | None, kill: bool, here: str | None) -> None:
    from cellprep.duplicates import on_ray

    on_ray.MOST_ROWS = min(on_ray.MOST_ROWS, rows - 1)
    if here is not None:
        memory.settled()
        local = here == "threads"
        found = (
            search(Generated(rows, side=side), near)
            if local
            else on_cluster(rows, side, near, kill)
        )
        print(json.dumps(found))
        return
    results = []
    for where in ("threads", "ray"):
        command = [sys.executable, "-m", "benchmarks.ray_grouping", *sys.argv[1:], "--here", where]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(done.stdout.strip().splitlines()[-1]))
        print(where, results[-1], flush=True)
    same = all(results[0][name] == results[1][name] for name in ("groups", "table"))
    print("the same table" if same else "ANOTHER TABLE")
    sys.exit(not same)


if __name__ == "__main__":
    main()
