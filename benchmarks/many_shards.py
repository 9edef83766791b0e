"""What a set of 100,000 shards costs, with and without pieces: `python -m benchmarks.many_shards`.

All shards are copies of one of ten images of 16x16; the index has a row for each image. Processor
time and peak memory are those of a process that does nothing else, beyond what a small set needs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pyarrow as pa

import cellprep as cp
from cellprep.formats import pieces
from cellprep.formats.index import load_index
from cellprep.formats.shards import shard_name
from cellprep.formats.written import load_manifest
from cellprep.synthetic import draw_cells
from cellprep.writing.manifest import finish, write_index
from cellprep.writing.records import ShardRecord

from .measure.memory import peak, settled

NAME = "benchmarks.many_shards"
IMAGES = 10
MEASURED = {"images": 0, "levels": [0] * 7, "background": [0] * 7, "areas": []}


def small_set(path: Path) -> None:
    """Write one shard."""
    images, labels = draw_cells([IMAGES, *[0] * 7], side=16)
    recipe = cp.Recipe([cp.RandAugment(copies=1, keep_originals=False)])
    cp.write(recipe(cp.Dataset.from_arrays(images, labels)), path, progress=False)


def write(one: Path, path: Path, shards: int) -> None:
    """Write what describes many shards, each like the only one of a small set."""
    manifest = load_manifest(one)
    table, entry = load_index(one, manifest), manifest["shards"][0]
    data = (one / shard_name(0)).read_bytes()

    def records() -> Iterator[ShardRecord]:
        for number in range(shards):
            name = shard_name(number)
            (path / name).write_bytes(data)
            ids = pa.array(np.arange(number * IMAGES, (number + 1) * IMAGES))
            files = {name: dict(entry["files"][shard_name(0)])}
            yield (
                table.set_column(0, "id", ids),
                {"rows": IMAGES, "files": files, "measured": MEASURED},
            )

    path.mkdir()
    index = write_index(path, records(), shards)
    finish(path, {**manifest, "rows": shards * IMAGES, "files": {}}, index.listed, index.files)


@click.command()
@click.option("--shards", type=int, default=100_000, show_default=True)
@click.option("--step", type=click.Choice(["write", "read"]), help="In this process.")
@click.option("--most", type=int, default=0, help="Shards per piece.")
@click.option("--folder", type=click.Path(path_type=Path), help="Working folder.")
def main(shards: int, step: str | None, most: int, folder: Path | None) -> None:
    if step is not None:
        assert folder is not None
        one, many = folder / "one", folder / f"{most}"
        pieces.SHARDS_PER_PIECE = most
        with tempfile.TemporaryDirectory(dir=folder) as few:
            write(one, Path(few) / "few", 3)
            cp.read(Path(few) / "few")
        before, began = settled(), time.process_time()
        if step == "write":
            write(one, many, shards)
        else:
            kept = cp.read(many)  # noqa: F841
        seconds, most_used = time.process_time() - began, (peak() - before) / 1e6
        rows = f", {(settled() - before) / 1e6:,.0f} MB kept" if step == "read" else ""
        print(f"  {step}: {seconds:.1f} s, {most_used:,.0f} MB{rows}")
        return
    with tempfile.TemporaryDirectory(dir=folder) as name:
        small_set(Path(name) / "one")
        for most in (10**9, pieces.SHARDS_PER_PIECE):
            print(f"{shards:,} shards, at most {most:,} per piece")
            for step in ("write", "read", "read"):
                line = ["--shards", shards, "--step", step, "--most", most, "--folder", name]
                subprocess.run([sys.executable, "-m", NAME, *map(str, line)], check=True)
            size = (Path(name) / f"{most}" / "dataset.json").stat().st_size
            print(f"  dataset.json: {size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
