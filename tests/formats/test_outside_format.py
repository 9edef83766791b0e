"""A format of another package: found by its entry point, read, written, resumed and verified."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats import format_of

from ..writing.helpers import install_format

PACKAGE = '''
"""Raw pixels, one file per shard: all that a format needs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellprep.formats import (
    BaseSource, Contents, Format, Shards, WrittenShard, history_of, load_rows, locations_of,
    manifest_of_format, save,
)


@dataclass(frozen=True, eq=False)
class RawSource(BaseSource):
    path: Path
    manifest: dict
    rows: object
    locations: np.ndarray
    trusted = True
    has_masks = False

    @property
    def class_names(self):
        return tuple(self.manifest["class_names"])

    @property
    def shape(self):
        return tuple(self.manifest["shape"])

    @property
    def history(self):
        return history_of(self.manifest, self.path)

    def identity(self):
        return "raw " + Shards(self.path, self.manifest).identity()

    def images(self, at):
        out = np.empty((len(at), *self.shape), np.uint8)
        for position, (shard, row, _) in enumerate(self.locations[at]):
            shape = (-1, *self.shape)
            out[position] = np.fromfile(self.path / f"{shard}.raw", np.uint8).reshape(shape)[row]
        return out


def read(path):
    manifest = manifest_of_format(path, "raw")
    index, rows = load_rows(path, manifest)
    return RawSource(path, manifest, rows, locations_of(path, manifest, index, "row", "row"))


@dataclass(frozen=True)
class RawWriter:
    contents: Contents

    def begin(self, folder):
        return {}

    def write_shard(self, folder, number, blocks):
        n = len(self.contents.shard_rows(number))
        files = {f"{number}.raw": save(folder / f"{number}.raw", (b.tobytes() for b, _ in blocks))}
        return WrittenShard(files, {"shard": np.full(n, number), "row": np.arange(n)})


FORMAT = Format(read, writer=RawWriter, files=lambda folder: [*folder.glob("*.raw")])
'''


def cellprep(plugins: Path, *arguments: object) -> str:
    """The output of the command line with the package installed."""
    paths = [str(plugins), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", "from cellprep.cli import main; main()", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_format_of_another_package_is_read_written_and_verified(cells, tmp_path) -> None:
    plugins = tmp_path / "site-packages"
    plugins.mkdir()
    (plugins / "raw_format.py").write_text(PACKAGE)
    install_format(plugins, "raw", "raw_format:FORMAT")
    images, labels = cells
    cp.write(cp.Dataset.from_arrays(images, labels), tmp_path / "in.npz", progress=False)
    out, back = tmp_path / "out", tmp_path / "back.npz"
    line = ("convert", tmp_path / "in.npz", out, "--format", "raw", "--rows-per-shard", 7)
    assert "40 images written" in cellprep(plugins, *line)
    assert sorted(file.name for file in out.glob("*.raw")) == [f"{n}.raw" for n in range(6)]
    assert "40 of them by an earlier run" in cellprep(plugins, *line)
    assert "40 images written" in cellprep(plugins, "convert", out, back)
    np.testing.assert_array_equal(cp.read(back).images[:], images)
    np.testing.assert_array_equal(cp.read(back).labels, labels)
    (out / "3.raw").write_bytes(b"")
    assert "3.raw: cut short (7 images)" in cellprep(plugins, "verify", out)
    with pytest.raises(CellprepError, match="written as 'raw', which is not installed"):
        cp.read(out)


def test_an_unknown_format_is_named_with_the_known_ones(tmp_path) -> None:
    with pytest.raises(CellprepError, match="'raw', which is not installed; the formats are"):
        format_of("raw", tmp_path)
