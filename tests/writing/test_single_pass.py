"""A folder is decoded once, and nothing gets its final name before every image has been read."""

from __future__ import annotations

import numpy as np
import pytest

import cellprep as cp
from cellprep.formats import folder as folders
from cellprep.report.inspect import inspect
from cellprep.writing import single_pass

from ..formats.exchange_helpers import png

PICTURES = np.random.default_rng(2).integers(0, 256, (40, 8, 8, 3), np.uint8)
FORMATS = ["shards", "folder", "webdataset", "npz", "zarr"]


@pytest.fixture
def smears(tmp_path):
    path = tmp_path / "in"
    for number, picture in enumerate(PICTURES):
        file = path / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(picture))
    return path


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded."""
    names = []
    plain = folders.decode_to_shape

    def counting(file, *settings):
        names.append(file.name)
        return plain(file, *settings)

    monkeypatch.setattr(folders, "decode_to_shape", counting)
    return names


def files_of(path):
    found = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path.parent)): file.read_bytes() for file in found}


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_is_decoded_once_by_write(format, smears, tmp_path, decoded) -> None:
    steps = cp.Recipe([cp.Balance(jitter=None), cp.RandAugment(copies=1)], seed=1)
    settings = {"format": format, "rows_per_shard": 8, "progress": False}
    once = tmp_path / "once" / f"out.{format}"
    cp.write(steps(cp.read(smears)), once, **settings)
    assert len(decoded) == 40
    twice = tmp_path / "twice" / f"out.{format}"
    cp.write(steps(cp.read(smears).readable()), twice, **settings)
    assert len(decoded) == 120
    assert files_of(once) == files_of(twice)


def test_steps_that_compare_images_read_them_before_as_ever(smears, tmp_path, decoded) -> None:
    cp.write(cp.Recipe([cp.Dedupe()])(cp.read(smears)), tmp_path / "out", progress=False)
    assert len(decoded) == 80


@pytest.mark.parametrize("format", FORMATS)
def test_a_bad_image_leaves_nothing_and_all_are_named(format, smears, tmp_path) -> None:
    for name in ("a/bad.png", "b/zz.png"):
        (smears / name).write_bytes(b"no image")
    before = sorted(tmp_path.rglob("*"))
    target = tmp_path / "new" / f"out.{format}"
    with pytest.raises(cp.BadImagesError) as error:
        cp.write(cp.read(smears), target, format=format, rows_per_shard=7, progress=False)
    assert {*error.value.causes} == {"a/bad.png", "b/zz.png"}
    assert sorted(tmp_path.rglob("*")) == before


def test_an_old_set_is_replaced_only_if_every_image_can_be_read(smears, tmp_path) -> None:
    old = cp.Dataset.from_arrays(PICTURES, ["a", "b"] * 20)
    cp.write(old, tmp_path / "out", progress=False)
    before = files_of(tmp_path / "out")
    (smears / "a" / "bad.png").write_bytes(b"no image")
    with pytest.raises(cp.BadImagesError):
        cp.write(cp.read(smears), tmp_path / "out", overwrite=True, progress=False)
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("stage", ["reading", "naming"])
def test_an_interrupted_pass_has_no_final_name_and_continues(
    stage, smears, tmp_path, decoded, monkeypatch
) -> None:
    class StopError(Exception):
        pass

    def stopping(function, after):
        left = iter(range(after))

        def call(*arguments, **settings):
            if next(left, None) is None:
                raise StopError
            return function(*arguments, **settings)

        return call

    settings = {"rows_per_shard": 7, "workers": 1, "progress": False}
    cp.write(cp.read(smears), tmp_path / "whole", **settings)
    decoded.clear()
    with monkeypatch.context() as patched:
        if stage == "reading":
            one = single_pass.ShardTask.__call__
            patched.setattr(single_pass.ShardTask, "__call__", stopping(one, 3))
        else:
            patched.setattr(single_pass, "move", stopping(single_pass.move, 5))
        with pytest.raises(StopError):
            cp.write(cp.read(smears), tmp_path / "out", **settings)
    final = sorted(file.name for file in (tmp_path / "out").glob("shard*"))
    assert final == ([] if stage == "reading" else [f"shard-0000{n}.npy" for n in range(3)])
    read = len(decoded)
    cp.write(cp.read(smears), tmp_path / "out", **settings)
    assert len(decoded) == (40 if stage == "reading" else 47)  # a shard between name and record
    assert read == (21 if stage == "reading" else 40)
    relative = {name.partition("/")[2]: data for name, data in files_of(tmp_path / "out").items()}
    assert relative == {
        name.partition("/")[2]: data for name, data in files_of(tmp_path / "whole").items()
    }


def test_inspect_and_report_decode_a_folder_once(smears, tmp_path, decoded) -> None:
    found = inspect(smears)
    assert len(decoded) == 40
    assert found["values"]["max"] == PICTURES.max(axis=(0, 1, 2)).tolist()
    assert found["sizes"] == {"8x8": 40}
