"""Occupied outputs are refused, and nothing in them changes."""

from __future__ import annotations

from pathlib import Path

import pytest

import cellprep as cp

from .helpers import (
    LABELS,
    class_folders,
    noise,
    refused,
    save_npz,
)


def foreign_file(root):
    (root / "out").write_text("my thesis")
    return root / "out", "contains something that cellprep did not write"


def foreign_npz(root):
    return save_npz(root / "out.npz"), "contains something that cellprep did not write"


def foreign_folder(root):
    (root / "out").mkdir()
    (root / "out" / "thesis.txt").write_text("mine")
    return root / "out", "contains something that cellprep did not write"


def foreign_manifest(root):
    (root / "out").mkdir()
    (root / "out" / "dataset.json").write_text('{"name": "mine"}')
    return root / "out", "contains something that cellprep did not write"


def other_images(root):
    others = cp.Dataset.from_arrays(noise(seed=9), LABELS)
    cp.write(cp.Recipe([cp.Dedupe()])(others), root / "out", progress=False)
    return root / "out", "contains another data set (made from other images)"


def other_steps(root):
    jittered = cp.Recipe([cp.Jitter()])(cp.read(root / "good.npz"))
    cp.write(jittered, root / "out", progress=False)
    return root / "out", "contains another data set (steps Jitter there, Dedupe here)"


def other_seed(root):
    cp.write(cp.Recipe([cp.Dedupe()], 7)(cp.read(root / "good.npz")), root / "out", progress=False)
    return root / "out", "contains another data set (step 1, Dedupe: seed 7 there, 0 here)"


def other_npz(root):
    cp.write(cp.read(root / "good.npz"), root / "out.npz", progress=False)
    return root / "out.npz", "contains another data set"


def the_input(root):
    return root / "good.npz", "is the input itself"


def link_to_the_input(root):
    (root / "out.npz").symlink_to(root / "good.npz")
    return root / "out.npz", "is the input itself"


def around_the_input(root):
    return root, "contains the input"


def dangling_link(root):
    (root / "out").symlink_to(root / "absent")
    return root / "out", "contains something that cellprep did not write"


def below_a_file(root):
    return root / "recipe.toml" / "out", "cannot write"


def far_below_a_file(root):
    return root / "recipe.toml" / "a" / "out.npz", "cannot write"


def not_writable(root):
    return Path("/proc/cellprep/out"), "cannot write '/proc/cellprep/out'"


def long_name(root):
    return root / ("x" * 300), "File name too long"


OUTPUTS = [
    foreign_file, foreign_npz, foreign_folder, foreign_manifest, other_images, other_steps,
    other_seed, other_npz, the_input, link_to_the_input, around_the_input, dangling_link,
    below_a_file, far_below_a_file, long_name,
    pytest.param(not_writable, marks=pytest.mark.unix("no /proc")),
]  # fmt: skip


@pytest.mark.parametrize("occupy", OUTPUTS)
def test_an_occupied_output_is_refused(tmp_path, good, recipe, occupy):
    out, message = occupy(tmp_path)
    refused(tmp_path, "run", recipe, good, out, message=message)


@pytest.mark.parametrize(
    "occupy", [foreign_file, foreign_npz, foreign_folder, foreign_manifest, the_input]
)
def test_overwrite_never_replaces_foreign_files(tmp_path, good, recipe, occupy):
    out, message = occupy(tmp_path)
    refused(tmp_path, "run", recipe, good, out, "--overwrite", message=message)


def test_an_output_that_overlaps_the_input_folder_is_refused(tmp_path, recipe):
    data = class_folders(tmp_path / "data")
    for out in (data / "out", data / "a" / "out.npz", data):
        refused(tmp_path, "convert", data, out, message="the input")
        refused(tmp_path, "run", recipe, data, out, message="the input")
        refused(tmp_path, "split", data, out, message="contains" if out == data else "the input")


def test_if_one_split_is_occupied_none_is_written(tmp_path, good):
    (tmp_path / "out" / "test").mkdir(parents=True)
    (tmp_path / "out" / "test" / "thesis.txt").write_text("mine")
    parts = ("--parts", "train=0.5,test=0.5")
    refused(tmp_path, "split", good, tmp_path / "out", *parts, message="did not write")


@pytest.mark.parametrize(
    "given",
    [[], ["--data", "good.npz"]],
)
def test_demo_leaves_foreign_folders_alone(tmp_path, good, given, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    for name in ("recipe.toml", "contact_sheet.png"):
        (tmp_path / "out" / name).write_text("mine")
    refused(
        tmp_path, "demo", "--out", "out", "--images", 400, *given, message="contains other files"
    )
