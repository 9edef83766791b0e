"""Bad input: exit code 2, one line that says what to do, nothing written, nothing lost."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cellprep as cp
from cellprep.cli import main

CELLPREP = Path(sys.executable).with_name("cellprep")
LABELS = np.arange(8) % 2


def noise(n=8, side=16, channels=3, seed=0):
    """Images like no other, (n, side, side, channels)."""
    shape = (n, side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


IMAGES = noise()


def snapshot(folder):
    """Every path below a folder, with what it holds."""
    return {
        path.relative_to(folder): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


def refused(root, *arguments, saying):
    """Run a command that must leave everything below `root` as it is, and say why in one line."""
    before = snapshot(root)
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", result.stderr), result.stderr
    assert saying in result.stderr
    assert snapshot(root) == before


def save_npz(path, **arrays):
    np.savez(path, **{"images": IMAGES, "labels": LABELS, **arrays})
    return path


@pytest.fixture
def good(tmp_path):
    return save_npz(tmp_path / "good.npz")


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[[steps]]\nstep = "Dedupe"\n')
    return path


def every_command(root, data, recipe, saying):
    for command in (
        ("inspect", data),
        ("inspect", data, "--json"),
        ("convert", data, root / "out"),
        ("run", recipe, data, root / "out.npz"),
        ("split", data, root / "out"),
        ("demo", "--data", data, "--out", root / "out"),
    ):
        refused(root, *command, saying=saying)


# -- npz files ---------------------------------------------------------------------------------

ARRAYS = {
    "no images": ({"images": IMAGES[:0], "labels": LABELS[:0]}, "no images"),
    "no pixels": ({"images": IMAGES[:, :0]}, "images without pixels"),
    "float 0-1": ({"images": IMAGES / 255}, "np.rint(images * 255).astype(np.uint8)"),
    "float 0-255": ({"images": IMAGES.astype("f4")}, "np.rint(images).astype(np.uint8)"),
    "float over 255": ({"images": IMAGES * 9.0}, "scale them to 0-255 first"),
    "nan": ({"images": np.where(IMAGES > 250, np.nan, IMAGES)}, "NaN or infinite"),
    "infinite": ({"images": np.full(IMAGES.shape, np.inf)}, "NaN or infinite"),
    "uint16": ({"images": IMAGES.astype("u2") * 257}, "(images >> 8).astype(np.uint8)"),
    "int64": ({"images": IMAGES.astype("i8")}, "np.rint(images).astype(np.uint8)"),
    "int8": ({"images": IMAGES.view("i1")}, "scale them to 0-255 first"),
    "bool": ({"images": IMAGES > 127}, "np.rint(images * 255).astype(np.uint8)"),
    "text": ({"images": IMAGES.astype("U3")}, "these are not numbers"),
    "1 channel": ({"images": IMAGES[..., :1]}, "for grey images repeat the channel"),
    "2 channels": ({"images": IMAGES[..., :2]}, "must be (n, height, width, 3) uint8 RGB"),
    "4 channels": ({"images": noise(channels=4)}, "drop the alpha channel"),
    "5 channels": ({"images": noise(channels=5)}, "must be (n, height, width, 3) uint8 RGB"),
    "grey": ({"images": IMAGES[..., 0]}, "for grey images repeat the channel"),
    "one image": ({"images": IMAGES[0], "labels": [0]}, "for one image pass images[None]"),
    "channels first": ({"images": np.moveaxis(IMAGES, -1, 1)}, "np.moveaxis(images, 1, -1)"),
    "flat": ({"images": IMAGES.reshape(8, -1)}, "must be (n, height, width, 3)"),
    "fewer labels": ({"labels": LABELS[:7]}, "one label for each of the 8 images"),
    "more labels": ({"labels": np.arange(9) % 2}, "one label for each of the 8 images"),
    "one label": ({"labels": np.array(1)}, "one label for each of the 8 images"),
    "fractions": ({"labels": LABELS + 0.5}, "fractional values"),
    "nan label": ({"labels": np.where(LABELS == 1, np.nan, 0)}, "NaN"),
    "vast float": ({"labels": LABELS * 1e300}, "smaller than 2**63"),
    "vast number": ({"labels": LABELS.astype("u8") + (2**64 - 2)}, "smaller than 2**63"),
    "negative": ({"labels": LABELS - 1}, "must not be negative, the smallest is -1"),
    "3-D": ({"labels": LABELS[:, None, None]}, "must be (n,), (n, 1) or one-hot"),
    "probabilities": ({"labels": np.full((8, 2), 0.5)}, "for probabilities pass the argmax"),
    "several": ({"labels": np.ones((8, 2), int)}, "of several labels per image choose one"),
    "text table": ({"labels": np.full((8, 2), "a")}, "must be (n,), (n, 1) or one-hot"),
    "complex": ({"labels": LABELS * 1j}, "must be whole numbers or text"),
    "dates": ({"labels": LABELS.astype("M8[D]")}, "must be whole numbers or text"),
    "bytes that are no text": ({"labels": np.full(8, b"\xff")}, "UTF-8"),
    "gap": ({"labels": LABELS * 2}, "no image has label 1"),
    "one-hot gap": ({"labels": np.eye(3, dtype=int)[LABELS * 2]}, "no image has label 1"),
    "few names": ({"class_names": ["a"]}, "labels` go up to 1, but there are 1"),
    "names that are no text": ({"class_names": [b"\xff", b"b"]}, "UTF-8"),
    "equal names": ({"class_names": ["a", "a"]}, "`class_names` must be unique"),
    "other names": ({"labels": list("abababab"), "class_names": ["a", "c"]}, "contain ['b']"),
    "twice an id": ({"ids": [0, 1, 2, 3, 4, 5, 6, 6]}, "occurs twice"),
    "twice a text id": ({"ids": list("abcdefgg")}, "occurs twice"),
    "few ids": ({"ids": np.arange(7)}, "for each of the 8 images"),
    "float ids": ({"ids": np.arange(8.0)}, "have one whole number or text"),
    "bytes ids that are no text": ({"ids": [b"\xff%d" % i for i in range(8)]}, "UTF-8"),
    "few groups": ({"groups": np.arange(3)}, "for each of the 8 images"),
}


@pytest.mark.parametrize(("arrays", "saying"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_are_no_data_set(tmp_path, recipe, arrays, saying):
    every_command(tmp_path, save_npz(tmp_path / "bad.npz", **arrays), recipe, saying)


def test_a_last_class_without_images_is_not_dropped_in_silence(tmp_path, recipe):
    data = save_npz(tmp_path / "bad.npz", labels=np.eye(3, dtype=int)[LABELS])
    every_command(tmp_path, data, recipe, "no image has label 2")


def test_a_gap_after_a_thousand_classes_is_named():
    with pytest.raises(cp.CellprepError, match="no image has label 1500"):
        cp.Dataset.from_arrays(noise(1501, 1), np.r_[:1500, 1501])


@pytest.mark.parametrize(
    ("given", "saying"),
    [
        ({"image": IMAGES, "labels": LABELS}, "no array 'images'; did you mean 'image'?"),
        ({"images": IMAGES, "label": LABELS}, "no array 'labels'; did you mean 'label'?"),
        ({"Images": IMAGES, "Labels": LABELS}, "no array 'images'; did you mean 'Images'?"),
        ({"x_train": IMAGES, "y_train": LABELS}, "Allowed: x_train, y_train"),
    ],
)
def test_arrays_of_another_name(tmp_path, recipe, given, saying):
    np.savez(tmp_path / "named.npz", **given)
    every_command(tmp_path, tmp_path / "named.npz", recipe, saying)


@pytest.mark.parametrize(
    "contents",
    [b"", b"labels,images\n1,2\n", b"PK\x03\x04", b"PK\x05\x06" + bytes(17), b"\x93NUMPY\x01\x00"],
)
def test_files_that_are_no_npz(tmp_path, recipe, contents):
    (tmp_path / "bad.npz").write_bytes(contents)
    every_command(tmp_path, tmp_path / "bad.npz", recipe, "is not an npz file, or a damaged one")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_cut_or_altered_anywhere_never_ends_in_a_traceback(tmp_path, save):
    """Whatever the damage: read, or refused in one line; never an unknown exception."""
    save(tmp_path / "whole.npz", images=noise(6, 8), labels=LABELS[:6], ids=np.arange(6))
    whole = (tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad.npz"
    for cut in (1, 30, 100, 500, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        bad.write_bytes(whole[:cut])
        refused(tmp_path, "inspect", bad, saying="is not an npz file, or a damaged one")
    for _ in range(300):
        altered = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 6)):
            altered[place] = rng.integers(256)
        bad.write_bytes(altered)
        with suppress(cp.CellprepError):
            cp.read(bad).to_arrays()


@pytest.mark.parametrize("kept", [0, 5, 40, 128, 1000])
def test_an_uncompressed_member_that_is_cut_short(tmp_path, recipe, kept):
    """The archive is whole, the array in it is not."""
    files = {}
    for name, array in {"images": IMAGES, "labels": LABELS}.items():
        np.save(tmp_path / "one.npy", array)
        files[name] = (tmp_path / "one.npy").read_bytes()
    with zipfile.ZipFile(tmp_path / "cut.npz", "w") as archive:
        archive.writestr("images.npy", files["images"][:kept])
        archive.writestr("labels.npy", files["labels"])
    every_command(tmp_path, tmp_path / "cut.npz", recipe, "'images' in")


class Malicious:
    """Makes a folder when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("key", ["images", "labels", "ids", "groups", "class_names"])
def test_no_pickle_is_ever_run(tmp_path, recipe, save, key):
    objects = np.array([Malicious(tmp_path / "ran")] * 8)
    save(tmp_path / "bad.npz", **{"images": IMAGES, "labels": LABELS, key: objects})
    every_command(tmp_path, tmp_path / "bad.npz", recipe, "holds Python objects")
    pickle.loads(pickle.dumps(objects[0]))
    assert (tmp_path / "ran").is_dir(), "the array is harmless, so the test proves nothing"


TOO_FEW = {
    "one class": (np.zeros(8, int), "one class, '0'"),
    "one image of a class": (np.array([0, 0, 0, 0, 0, 0, 0, 1]), "class '1' has one image"),
}


@pytest.mark.parametrize("kind", ["npz", "folder"])
@pytest.mark.parametrize(("labels", "saying"), TOO_FEW.values(), ids=TOO_FEW)
def test_nothing_to_learn_from(tmp_path, recipe, kind, labels, saying):
    data = save_npz(tmp_path / "data.npz", labels=labels)
    if kind == "folder":
        data = tmp_path / "data"
        cp.write(cp.read(tmp_path / "data.npz"), data, format="folder", progress=False)
        (data / "dataset.json").unlink()
    refused(tmp_path, "run", recipe, data, tmp_path / "out", saying=saying)
    words = saying.replace("has one image", "has 1 image").replace("one class, '0'", "one class")
    refused(tmp_path, "split", data, tmp_path / "out", saying=words)
    refused(tmp_path, "demo", "--data", data, "--out", tmp_path / "out", saying=words)


def test_a_class_that_is_left_with_one_image_when_the_bad_are_skipped(tmp_path, recipe):
    data = class_folders(tmp_path / "data")
    for path in sorted((data / "b").iterdir())[1:]:
        path.write_bytes(b"")
    skip = (recipe, data, tmp_path / "out", "--on-error", "skip")
    refused(tmp_path, "run", *skip, saying="class 'b' has one image")


# -- recipes -----------------------------------------------------------------------------------

RECIPES = {
    "unknown step": ('step = "Dedup"', "there is no step 'Dedup'; did you mean 'Dedupe'?"),
    "step of another case": ('step = "dedupe"', "did you mean 'Dedupe'?"),
    "no step name": ("copies = 3", 'needs its name: step = "Dedupe"'),
    "step name of a wrong type": ("step = 3", "there is no step 3"),
    "unknown setting": ('step = "RandAugment"\ncopeis = 3', "did you mean 'copies'?"),
    "unknown inner setting": ('step = "Balance"\njitter = {rotate = 3}', "did you mean 'rotation'"),
    "out of range": ('step = "RandAugment"\nmagnitude = 1.5', "must be a number in [0, 1], got"),
    "nan": ('step = "RandAugment"\nmagnitude = nan', "must be a number in [0, 1], got nan"),
    "no copies": ('step = "RandAugment"\ncopies = 0', "`copies` must be a whole number in [1,"),
    "fraction": ('step = "RandAugment"\ncopies = 2.5', "`copies` must be a whole number"),
    "text": ('step = "RandAugment"\ncopies = "3"', "`copies` must be a whole number"),
    "bool": ('step = "RandAugment"\ncopies = true', "`copies` must be a whole number"),
    "list": ('step = "Jitter"\nrotation = [1]', "`rotation` must be a number"),
    "date": ('step = "Crop"\nsize = 2020-01-01', "`size` must be a whole number"),
    "choice": ('step = "Dedupe"\non_conflict = "major"', "did you mean 'majority'?"),
    "choice of a wrong type": ('step = "Dedupe"\non_conflict = 3', "Allowed: drop, majority"),
    "missing": ('step = "Crop"', "step Crop needs `size`"),
    "class that is not there": ('step = "Balance"\ntarget = {x = 3}', "names class 'x'"),
    "jitter of a wrong type": ('step = "Balance"\njitter = 3', "`jitter` must be a Jitter"),
    "engine": ('step = "RandAugment"\nengine = "keras"', "did you mean 'keras_cv'?"),
    "crop beyond the image": ('step = "Crop"\nsize = 17', "the shorter side of the images, 16"),
}


@pytest.mark.parametrize(("table", "saying"), RECIPES.values(), ids=RECIPES)
def test_recipes_with_a_wrong_step(tmp_path, good, recipe, table, saying):
    recipe.write_text(f"[[steps]]\n{table}\n")
    refused(tmp_path, "run", recipe, good, tmp_path / "out", saying=saying)


def test_a_step_name_that_is_a_list(tmp_path, good, recipe):
    recipe.write_text('[[steps]]\nstep = ["Dedupe"]\n')
    refused(tmp_path, "run", recipe, good, tmp_path / "out", saying="there is no step ['Dedupe']")


TEXTS = {
    "empty": (b"", "the recipe has no steps"),
    "no steps": (b"seed = 3\n", "the recipe has no steps"),
    "not TOML": (b"Dedupe, then Balance\n", "not a recipe in TOML"),
    "JSON": (b'{"steps": []}', "not a recipe in TOML"),
    "unknown key": (b"sede = 3\n", "did you mean 'seed'?"),
    "steps of a wrong type": (b"steps = 3\n", "tables headed [[steps]]"),
    "one table": (b'[steps]\nstep = "Dedupe"\n', "tables headed [[steps]]"),
    "names alone": (b'steps = ["Dedupe"]\n', "tables headed [[steps]]"),
    "negative seed": (b'seed = -1\n[[steps]]\nstep = "Dedupe"\n', "`seed` must be a whole number"),
    "seed of a wrong type": (b'seed = "a"\n[[steps]]\nstep = "Dedupe"\n', "`seed` must be"),
    "vast seed": (b'seed = 9223372036854775808\n[[steps]]\nstep = "Dedupe"\n', "`seed` must be"),
    "UTF-16": ('[[steps]]\nstep = "Dedupe"\n'.encode("utf-16"), "is not a text file in UTF-8"),
    "binary": (bytes(range(256)), "is not a text file in UTF-8"),
    "npz": (b"PK\x03\x04\xff\xfe", "is not a text file in UTF-8"),
}


@pytest.mark.parametrize(("text", "saying"), TEXTS.values(), ids=TEXTS)
def test_files_that_are_no_recipe(tmp_path, good, recipe, text, saying):
    recipe.write_bytes(text)
    refused(tmp_path, "run", recipe, good, tmp_path / "out", saying=saying)


@pytest.mark.parametrize("name", ["absent.toml", ".", "absent/recipe.toml"])
def test_no_recipe_there(tmp_path, good, name):
    saying = "there is no recipe file"
    refused(tmp_path, "run", tmp_path / name, good, tmp_path / "out", saying=saying)


def test_small_images_have_no_mask(tmp_path, recipe):
    recipe.write_text('[[steps]]\nstep = "KMeansMask"\n')
    tiny = save_npz(tmp_path / "tiny.npz", images=noise(side=4))
    refused(tmp_path, "run", recipe, tiny, tmp_path / "out", saying="images of 8x8 pixels or more")


@pytest.mark.parametrize("out", ["out", "data/out", "data"])
def test_the_demo_refuses_before_it_writes(tmp_path, out):
    data = class_folders(tmp_path / "data", side=4 if out == "out" else 16)
    sayings = {"out": "images of 8x8 pixels or more", "data": "holds other files"}
    saying = sayings.get(out, "the input")
    refused(tmp_path, "demo", "--data", data, "--out", tmp_path / out, saying=saying)


# -- options -----------------------------------------------------------------------------------

OPTIONS = {
    "size 0": ("convert FOLDER OUT --size 0", "`--size` must be a whole number in [1,"),
    "size below 0": ("inspect FOLDER --size -3", "`--size` must be a whole number in [1,"),
    "size for npz": ("convert NPZ OUT --size 8", "`--size` is for "),
    "size for drawn cells": ("demo --out OUT --size 8", "`--size` is for images of your own"),
    "no workers": ("convert NPZ OUT --workers 0", "`--workers` must be a whole number in [1,"),
    "no rows": ("convert NPZ OUT --rows-per-shard 0", "`--rows-per-shard` must be a whole number"),
    "seed below 0": ("run RECIPE NPZ OUT --seed -1", "`--seed` must be a whole number in [0,"),
    "seed of a split": ("split NPZ OUT --seed -1", "`--seed` must be a whole number in [0,"),
    "seed of the demo": ("demo --out OUT --seed -1", "`--seed` must be a whole number in [0,"),
    "few cells": ("demo --out OUT --images 10", "`--images` must be a whole number in [400,"),
    "sum": ("split NPZ OUT --parts a=0.5,b=0.4", "must sum to 1, got 0.9"),
    "no share": ("split NPZ OUT --parts a,b", "must look like train=0.8,test=0.2"),
    "no number": ("split NPZ OUT --parts a=x,b=1", "must look like train=0.8,test=0.2"),
    "no part": ("split NPZ OUT --parts=", "must look like train=0.8,test=0.2"),
    "comma at the end": ("split NPZ OUT --parts a=1,", "must look like train=0.8,test=0.2"),
    "share 0": ("split NPZ OUT --parts a=1,b=0", "`b` must have a share above 0"),
    "share below 0": ("split NPZ OUT --parts a=1.5,b=-0.5", "`a` must be a number in [0, 1]"),
    "share nan": ("split NPZ OUT --parts a=nan,b=1", "`a` must be a number in [0, 1]"),
    "part outside": ("split NPZ OUT --parts ../a=0.5,b=0.5", "names folders by plain words"),
    "part twice": ("split NPZ OUT --parts a=0.5,a=0.5", "names part 'a' twice"),
    "part called seed": ("split NPZ OUT --parts seed=0.5,b=0.5", "'seed'"),
    "part called groups": ("split NPZ OUT --parts groups=0.5,b=0.5", "'groups'"),
    "more parts than images": (
        "split NPZ OUT --parts a=0.2,b=0.2,c=0.2,d=0.2,e=0.2",
        "class '0' has 4 images, which cannot be in all of a, b, c, d, e",
    ),
    "two options": ("convert NPZ OUT --address a:1", "--executor threads; choose --executor ray"),
    "quarantine in npz": ("convert NPZ OUT.npz --on-error quarantine", "needs a folder"),
    "npz as folder": ("convert NPZ OUT --from folder", "is not a folder"),
    "npz as shards": ("convert NPZ OUT --from shards", "cannot be read as shards"),
    "folder as shards": ("convert FOLDER OUT --from shards", "cannot be read as shards"),
    "folder as npz": ("convert FOLDER OUT --from npz", "Is a directory"),
    "text as input": ("convert RECIPE OUT", "is not a data set that can be read"),
    "no input": ("inspect ABSENT.npz", "there is no file or folder"),
    "no input for run": ("run RECIPE ABSENT OUT", "there is no file or folder"),
    "no data for demo": ("demo --data ABSENT --out OUT", "there is no file or folder"),
    "a device": ("inspect /dev/null", "is not a folder"),
}
USAGE = {
    "command": ("inspekt NPZ", "did you mean 'inspect'?"),
    "command of another case": ("Split NPZ OUT", "did you mean 'split'?"),
    "option": ("run RECIPE NPZ OUT --sede 3", "did you mean '--seed'?"),
    "choice": ("convert NPZ OUT --format zip", "Allowed: shards, medmnist, npz,"),
    "choice, nearly": ("convert NPZ OUT --format nzp", "did you mean 'npz'?"),
    "executor": ("verify NPZ --executor thread", "did you mean 'threads'?"),
    "command of a group": ("recipe nwe", "did you mean 'new'?"),
    "step": ("recipe new - --steps Dedup,Balance", "did you mean 'Dedupe'?"),
    "shell": ("completion bsh", "did you mean 'bash'?"),
    "seed": ("run RECIPE NPZ OUT --seed x", "'x' is not a valid integer"),
    "rows": ("convert NPZ OUT --rows-per-shard 1.5", "'1.5' is not a valid integer"),
    "argument": ("convert NPZ", "Missing argument 'OUT'"),
    "arguments": ("convert NPZ OUT MORE", "unexpected extra argument"),
}


def spelt_out(line, root, good, recipe):
    """A command line with the paths that its capitals stand for."""
    folder = class_folders(root / "folder") if "FOLDER" in line else root
    known = {"NPZ": good, "RECIPE": recipe, "FOLDER": folder}
    words = [word.strip("'") for word in line.split()]
    return [
        known.get(word, root / word.lower() if word.split(".")[0] in ("OUT", "ABSENT") else word)
        for word in words
    ]


@pytest.mark.parametrize(("line", "saying"), OPTIONS.values(), ids=OPTIONS)
def test_options_out_of_range(tmp_path, good, recipe, line, saying):
    refused(tmp_path, *spelt_out(line, tmp_path, good, recipe), saying=saying)


@pytest.mark.parametrize(("line", "saying"), USAGE.values(), ids=USAGE)
def test_misspelt_commands_and_options(tmp_path, good, recipe, line, saying):
    refused(tmp_path, *spelt_out(line, tmp_path, good, recipe), saying=saying)


# -- outputs -----------------------------------------------------------------------------------


def foreign_file(root):
    (root / "out").write_text("my thesis")
    return root / "out", "holds something that cellprep did not write"


def foreign_npz(root):
    return save_npz(root / "out.npz"), "holds something that cellprep did not write"


def foreign_folder(root):
    (root / "out").mkdir()
    (root / "out" / "thesis.txt").write_text("mine")
    return root / "out", "holds something that cellprep did not write"


def foreign_manifest(root):
    (root / "out").mkdir()
    (root / "out" / "dataset.json").write_text('{"name": "mine"}')
    return root / "out", "holds something that cellprep did not write"


def other_images(root):
    others = cp.Dataset.from_arrays(noise(seed=9), LABELS)
    cp.write(cp.Recipe([cp.Dedupe()])(others), root / "out", progress=False)
    return root / "out", "holds another data set (made from other images)"


def other_steps(root):
    jittered = cp.Recipe([cp.Jitter()])(cp.read(root / "good.npz"))
    cp.write(jittered, root / "out", progress=False)
    return root / "out", "holds another data set (steps Jitter there, Dedupe here)"


def other_seed(root):
    cp.write(cp.Recipe([cp.Dedupe()], 7)(cp.read(root / "good.npz")), root / "out", progress=False)
    return root / "out", "holds another data set (step 1, Dedupe: seed 7 there, 0 here)"


def other_npz(root):
    cp.write(cp.read(root / "good.npz"), root / "out.npz", progress=False)
    return root / "out.npz", "holds another data set"


def the_input(root):
    return root / "good.npz", "is the input itself"


def link_to_the_input(root):
    (root / "out.npz").symlink_to(root / "good.npz")
    return root / "out.npz", "is the input itself"


def around_the_input(root):
    return root, "holds the input"


def dangling_link(root):
    (root / "out").symlink_to(root / "absent")
    return root / "out", "holds something that cellprep did not write"


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
    below_a_file, far_below_a_file, not_writable, long_name,
]  # fmt: skip


@pytest.mark.parametrize("occupy", OUTPUTS)
def test_outputs_that_are_taken(tmp_path, good, recipe, occupy):
    out, saying = occupy(tmp_path)
    refused(tmp_path, "run", recipe, good, out, saying=saying)


@pytest.mark.parametrize(
    "occupy", [foreign_file, foreign_npz, foreign_folder, foreign_manifest, the_input]
)
def test_overwrite_replaces_nothing_that_cellprep_did_not_write(tmp_path, good, recipe, occupy):
    out, saying = occupy(tmp_path)
    refused(tmp_path, "run", recipe, good, out, "--overwrite", saying=saying)


def test_outputs_inside_the_input_folder(tmp_path, recipe):
    data = class_folders(tmp_path / "data")
    for out in (data / "out", data / "a" / "out.npz", data):
        refused(tmp_path, "convert", data, out, saying="the input")
        refused(tmp_path, "run", recipe, data, out, saying="the input")
        refused(tmp_path, "split", data, out, saying="holds" if out == data else "the input")


def test_a_part_that_is_taken_leaves_the_other_parts_unwritten(tmp_path, good):
    (tmp_path / "out" / "test").mkdir(parents=True)
    (tmp_path / "out" / "test" / "thesis.txt").write_text("mine")
    parts = ("--parts", "train=0.5,test=0.5")
    refused(tmp_path, "split", good, tmp_path / "out", *parts, saying="did not write")


@pytest.mark.parametrize(
    "given",
    [[], ["--data", "good.npz"]],
)
def test_the_demo_leaves_foreign_folders_alone(tmp_path, good, given, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    for name in ("recipe.toml", "contact_sheet.png"):
        (tmp_path / "out" / name).write_text("mine")
    refused(tmp_path, "demo", "--out", "out", "--images", 400, *given, saying="holds other files")


# -- image folders -----------------------------------------------------------------------------


def class_folders(root, n=3, side=16):
    """A folder with n PNG files in each of the classes a and b."""
    for number, image in enumerate(noise(2 * n, side)):
        path = root / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root


def nothing(root):
    pass


def only_text(root):
    (root / "notes.txt").write_text("no image here")


def only_text_in_a_class(root):
    (root / "a").mkdir()
    (root / "a" / "notes.txt").write_text("no image here")


def loose_images(root):
    class_folders(root)
    shutil.copy(root / "a" / "0.png", root / "loose.png")


def class_without_images(root):
    class_folders(root)
    (root / "c").mkdir()


def class_of_an_empty_folder_called_png(root):
    class_folders(root)
    (root / "c" / "x.png").mkdir(parents=True)


def sizes_that_differ(root):
    class_folders(root)
    Image.fromarray(noise(1, 9)[0]).save(root / "b" / "small.png")


def all_bad(root):
    for path in class_folders(root).glob("*/*"):
        path.write_bytes(b"")


def class_name_that_is_no_text(root):
    class_folders(root)
    os.rename(root / "b", os.fsencode(root) + b"/\xff")


def foreign_dataset_json(root):
    (class_folders(root) / "dataset.json").write_text('{"name": "mine"}')


def unfinished(root):
    (root / ".cellprep").mkdir()


FOLDERS = [
    (nothing, "holds no images; it needs one folder of images a class"),
    (only_text, "holds no images; it needs one folder of images a class"),
    (only_text_in_a_class, "holds no images; fill it or take it away"),
    (loose_images, "1 images lie outside the class folders"),
    (class_without_images, "c' holds no images; fill it or take it away"),
    (class_of_an_empty_folder_called_png, "c' holds no images; fill it or take it away"),
    (all_bad, "is empty"),
    (class_name_that_is_no_text, "not UTF-8"),
    (foreign_dataset_json, "dataset.json"),
    (unfinished, "not written to the end"),
]


@pytest.mark.parametrize(("build", "saying"), FOLDERS)
def test_folders_that_are_no_data_set(tmp_path, recipe, build, saying):
    data = tmp_path / "data"
    data.mkdir()
    build(data)
    every_command(tmp_path, data, recipe, saying)


def test_sizes_that_differ_need_a_size(tmp_path, recipe):
    data = tmp_path / "data"
    sizes_that_differ(data)
    for command in (("convert",), ("run", recipe), ("split",)):
        saying = "is 9x9 pixels, the first image 16x16 (pass size= to bring all images to one size)"
        refused(tmp_path, *command, data, tmp_path / "out", saying=saying)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(kind, data):
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_16_bit(channels):
    """A PNG of 16 bits a channel, which Pillow itself cannot write in colour."""
    import zlib

    rows = noise(1, 16, 2 * channels)[0]
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 16, 16, 16, {1: 0, 3: 2}[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


PICTURE = Image.fromarray(IMAGES[0])
GREY = PICTURE.convert("L")
HALF = PICTURE.convert("RGBA")
HALF.putalpha(128)
JPEG = encoded(PICTURE, "JPEG", quality=95)
PAGES = encoded(PICTURE, "TIFF", save_all=True, append_images=[PICTURE, PICTURE])
MOVING = encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)])
KEYED = encoded(PICTURE, "PNG", transparency=tuple(IMAGES[0, 5, 5].tolist()))
FLOAT = encoded(Image.fromarray(IMAGES[0, ..., 0].astype("f4")), "TIFF")
LAB = encoded(Image.frombytes("LAB", (16, 16), IMAGES[0].tobytes()), "TIFF")

BAD_FILES = {
    "empty.png": (b"", "is empty"),
    "text.png": (b"no image", "is not an image file"),
    "html.jpg": (b"<!doctype html><p>404", "is not an image file"),
    "moving.gif": (encoded(PICTURE, "GIF"), "is a GIF file by its content"),
    "gif.jpg": (encoded(PICTURE, "GIF"), "is a GIF file by its content"),
    "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(99), "is "),
    "web.webp": (encoded(PICTURE, "WEBP"), "is a WEBP file by its content"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "is damaged"),
    "cut.png": (encoded(PICTURE, "PNG")[:300], "is damaged"),
    "header.png": (encoded(PICTURE, "PNG")[:20], "is damaged"),
    "cut.bmp": (encoded(PICTURE, "BMP")[:300], "is damaged"),
    "cut.tif": (encoded(PICTURE, "TIFF")[:300], "is "),
    "cmyk.jpg": (encoded(PICTURE.convert("CMYK"), "JPEG"), "has CMYK pixels"),
    "lab.tif": (LAB, "has LAB pixels"),
    "float.tif": (FLOAT, "has floating-point pixels"),
    "grey16.png": (png_16_bit(1), "has 16 bits a channel"),
    "rgb16.png": (png_16_bit(3), "has 16 bits a channel"),
    "pages.tif": (PAGES, "holds 3 pictures"),
    "moving.png": (MOVING, "holds 2 pictures"),
    "half.png": (encoded(HALF, "PNG"), "is partly transparent"),
    "keyed.png": (KEYED, "is partly transparent"),
    "keyed_grey.png": (
        encoded(GREY, "PNG", transparency=GREY.getpixel((5, 5))),
        "is partly transparent",
    ),
    "small.png": (encoded(PICTURE.resize((9, 9)), "PNG"), "is 9x9 pixels"),
    "vast.bmp": (
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 50000, 50000, 1, 24, *[0] * 6),
        "has more pixels than the limit",
    ),
}


@pytest.mark.parametrize(("name", "contents", "cause"), [(k, *v) for k, v in BAD_FILES.items()])
def test_files_that_cannot_be_used(tmp_path, recipe, name, contents, cause):
    data = class_folders(tmp_path / "data")
    (data / "b" / name).write_bytes(contents)
    for command in (("convert",), ("run", recipe), ("split",)):
        saying = f"1 image cannot be used: b/{name}: {cause}"
        refused(tmp_path, *command, data, tmp_path / "out", saying=saying)


def test_links_that_lead_nowhere_and_pipes(tmp_path):
    data = class_folders(tmp_path / "data")
    (data / "b" / "gone.png").symlink_to(tmp_path / "absent.png")
    saying = "b/gone.png: No such file or directory"
    refused(tmp_path, "convert", data, tmp_path / "out", saying=saying)
    (data / "b" / "gone.png").unlink()
    (data / "b" / "loop.png").symlink_to(data / "b" / "loop.png")
    saying = "b/loop.png: Too many levels of symbolic links"
    refused(tmp_path, "convert", data, tmp_path / "out", saying=saying)
    (data / "b" / "loop.png").unlink()
    os.mkfifo(data / "b" / "pipe.png")  # opening it would wait for ever
    refused(tmp_path, "convert", data, tmp_path / "out", saying="b/pipe.png: is not a regular file")


@pytest.mark.parametrize("on_error", ["skip", "quarantine"])
@pytest.mark.parametrize(
    "command",
    [
        "convert",
        "run",
        "split",
        "demo",
    ],
)
def test_the_rest_is_as_if_the_bad_files_had_never_been_there(tmp_path, on_error, command):
    clean = class_folders(tmp_path / "clean", 30)
    dirty = tmp_path / "dirty"
    shutil.copytree(clean, dirty)
    bad_files = dict(BAD_FILES)
    if command == "demo":
        del bad_files["small.png"]  # it brings images of several sizes to one
    for name, (contents, _) in bad_files.items():
        (dirty / "a" / name).write_bytes(contents)
    (dirty / "a" / "gone.png").symlink_to(tmp_path / "absent.png")
    causes = {name: cause for name, (_, cause) in bad_files.items()}
    causes["gone.png"] = "No such file"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[[steps]]\nstep = "Dedupe"\n[[steps]]\nstep = "Balance"\ntarget = 32\n'
        '[[steps]]\nstep = "RandAugment"\n'
    )
    before = snapshot(dirty)
    for data in (clean, dirty):
        out = tmp_path / f"{data.name}_out"
        line = {
            "convert": ["convert", data, out],
            "run": ["run", recipe, data, out, "--seed", 3],
            "split": ["split", data, out],
            "demo": ["demo", "--data", data, "--out", out],
        }[command]
        result = CliRunner().invoke(main, [*map(str, line), "--on-error", on_error])
        assert result.exit_code == 0, result.output
    assert snapshot(dirty) == before

    clean_out, dirty_out = tmp_path / "clean_out", tmp_path / "dirty_out"
    shards = {path: bytes_ for path, bytes_ in snapshot(clean_out).items() if path.suffix == ".npy"}
    assert shards
    written = snapshot(dirty_out)
    assert {path: written[path] for path in written if path.suffix == ".npy"} == shards
    for manifest in dirty_out.rglob("dataset.json"):
        bad = json.loads(manifest.read_text())["bad"]
        assert bad.keys() == {f"a/{name}" for name in causes}
        assert all(cause in bad[f"a/{name}"] for name, cause in causes.items())
        copies = snapshot(manifest.parent / "quarantine") if on_error == "quarantine" else {}
        copies = {str(path): contents for path, contents in copies.items() if contents is not None}
        held = {f"a/{name}": contents for name, (contents, _) in bad_files.items()}
        assert copies == (held if on_error == "quarantine" else {})
        assert not (manifest.parent / "quarantine").exists() or on_error == "quarantine"


def test_a_bad_copy_does_not_take_the_other_copies_along(tmp_path):
    cells = cp.Dataset.from_arrays(IMAGES, LABELS)
    made = cp.Recipe([cp.RandAugment(copies=2)])(cells)
    cp.write(made, tmp_path / "png", format="folder", progress=False)
    victim = next((tmp_path / "png").rglob("*_aug_002.png"))
    victim.write_bytes(b"")
    skip = ("convert", tmp_path / "png", tmp_path / "out", "--on-error", "skip", "--json")
    result = CliRunner().invoke(main, list(map(str, skip)))
    assert json.loads(result.stdout)["rows"] == 23


# -- data sets that cellprep wrote -------------------------------------------------------------


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
def test_damaged_data_sets(tmp_path, good, recipe, format_, damage):
    cp.write(cp.read(good), tmp_path / "set", format=format_, progress=False)
    damage(tmp_path / "set")
    every_command(tmp_path, tmp_path / "set", recipe, str(tmp_path / "set"))


def test_shards_read_as_a_folder_of_images(tmp_path, good):
    cp.write(cp.read(good), tmp_path / "set", progress=False)
    again = ("convert", tmp_path / "set", tmp_path / "out", "--from", "folder")
    refused(tmp_path, *again, saying="shards")


# -- the real program --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "inspect absent.npz",
        "inspect empty.npz",
        "run recipe.toml good.npz good.npz",
        "convert cut out",
        "convert good.npz /proc/cellprep",
    ],
)
def test_the_installed_program_says_one_line(tmp_path, good, recipe, line):
    (tmp_path / "empty.npz").touch()
    class_folders(tmp_path / "cut")
    cut = encoded(PICTURE, "TIFF", compression="tiff_lzw")
    (tmp_path / "cut" / "a" / "cut.tif").write_bytes(cut[:-200])
    before = snapshot(tmp_path)
    done = subprocess.run(
        [CELLPREP, *line.split()], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    assert snapshot(tmp_path) == before
