"""Damaged data sets of cellprep are refused in one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import cellprep as cp
from cellprep.cli import main

from .helpers import (
    IMAGES,
    LABELS,
    class_folders,
    encoded,
    every_command,
    refused,
    snapshot,
)


def test_a_bad_copy_does_not_remove_the_other_copies(tmp_path):
    cells = cp.Dataset.from_arrays(IMAGES, LABELS)
    made = cp.Recipe([cp.RandAugment(copies=2)])(cells)
    cp.write(made, tmp_path / "png", format="folder", progress=False)
    victim = next((tmp_path / "png").rglob("*_aug_002.png"))
    victim.write_bytes(b"")
    skip = ("convert", tmp_path / "png", tmp_path / "out", "--on-error", "skip", "--json")
    result = CliRunner().invoke(main, list(map(str, skip)))
    assert json.loads(result.stdout)["rows"] == 23


def drop_shard(out):
    (out / "shard-00000.npy").unlink()


def empty_shard(out):
    (out / "shard-00000.npy").write_bytes(b"")


def cut_shard(out):
    whole = (out / "shard-00000.npy").read_bytes()
    (out / "shard-00000.npy").write_bytes(whole[:500])


def empty_index(out):
    (out / "index.parquet").write_bytes(b"")


def drop_index(out):
    (out / "index.parquet").unlink()


def empty_manifest(out):
    (out / "dataset.json").write_bytes(b"")


def later_format(out):
    text = (out / "dataset.json").read_text()
    (out / "dataset.json").write_text(text.replace('"format": "', '"format": "later-'))


DAMAGES = [
    *(("shards", damage) for damage in (empty_index, drop_index, empty_manifest)),
    *(("folder", damage) for damage in (empty_index, drop_index, empty_manifest)),
    *(("shards", damage) for damage in (drop_shard, empty_shard, cut_shard)),
    *((kind, later_format) for kind in ("shards", "folder")),
]


@pytest.mark.parametrize(("format_", "damage"), DAMAGES)
def test_a_damaged_data_set_is_named(tmp_path, good, recipe, format_, damage):
    cp.write(cp.read(good), tmp_path / "set", format=format_, progress=False)
    damage(tmp_path / "set")
    every_command(tmp_path, tmp_path / "set", recipe, str(tmp_path / "set"))


def test_shards_are_not_read_as_an_image_folder(tmp_path, good):
    cp.write(cp.read(good), tmp_path / "set", progress=False)
    again = ("convert", tmp_path / "set", tmp_path / "out", "--from", "folder")
    refused(tmp_path, *again, message="shards")


CELLPREP = Path(sys.executable).with_name("cellprep")


@pytest.mark.parametrize(
    "line",
    [
        "inspect absent.npz",
        "inspect empty.npz",
        "run recipe.toml good.npz good.npz",
        "convert cut out",
        pytest.param("convert good.npz /proc/cellprep", marks=pytest.mark.unix("no /proc")),
    ],
)
def test_the_installed_program_reports_errors_in_one_line(tmp_path, good, recipe, line):
    (tmp_path / "empty.npz").touch()
    class_folders(tmp_path / "cut")
    cut = encoded(Image.fromarray(IMAGES[0]), "TIFF", compression="tiff_lzw")
    (tmp_path / "cut" / "a" / "cut.tif").write_bytes(cut[:-200])
    before = snapshot(tmp_path)
    done = subprocess.run(
        [CELLPREP, *line.split()], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    assert snapshot(tmp_path) == before
