"""Unusable recipes, options and commands: one line that says what to do."""

from __future__ import annotations

import os

import pytest

from .helpers import (
    class_folders,
    noise,
    refused,
    save_npz,
)

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
    "date": ('step = "Crop"\nsize = 2020-01-01', "`size` must be a number"),
    "choice": ('step = "Dedupe"\non_conflict = "major"', "did you mean 'majority'?"),
    "choice of a wrong type": ('step = "Dedupe"\non_conflict = 3', "Allowed: drop, majority"),
    "missing": ('step = "Crop"', "step Crop needs `size`"),
    "class that is not there": ('step = "Balance"\ntarget = {x = 3}', "names class 'x'"),
    "jitter of a wrong type": ('step = "Balance"\njitter = 3', "`jitter` must be a Jitter"),
    "engine": ('step = "RandAugment"\nengine = "keras"', "did you mean 'keras_cv'?"),
    "crop beyond the image": ('step = "Crop"\nsize = 17', "the shorter side of the images, 16"),
}


@pytest.mark.parametrize(("table", "message"), RECIPES.values(), ids=RECIPES)
def test_an_invalid_step_in_a_recipe_is_refused(tmp_path, good, recipe, table, message):
    recipe.write_text(f"[[steps]]\n{table}\n")
    refused(tmp_path, "run", recipe, good, tmp_path / "out", message=message)


def test_a_step_name_that_is_a_list_is_refused(tmp_path, good, recipe):
    recipe.write_text('[[steps]]\nstep = ["Dedupe"]\n')
    refused(tmp_path, "run", recipe, good, tmp_path / "out", message="there is no step ['Dedupe']")


TEXTS = {
    "empty": (b"", "the recipe has no steps"),
    "no steps": (b"seed = 3\n", "the recipe has no steps"),
    "not TOML": (b"Dedupe, then Balance\n", "not a recipe in TOML"),
    "JSON": (b'{"steps": []}', "not a recipe in TOML"),
    "unknown key": (b"sede = 3\n", "did you mean 'seed'?"),
    "steps of a wrong type": (b"steps = 3\n", "tables headed [[steps]]"),
    "one table": (b'[steps]\nstep = "Dedupe"\n', "tables headed [[steps]]"),
    "names alone": (b'steps = ["Dedupe"]\n', "tables headed [[steps]]"),
    "5,000 digits": (b"seed = " + b"9" * 5000, "not a recipe in TOML"),
    "5,000 hexadecimal digits": (b"seed = 0x" + b"f" * 5000, "more than 300 digits"),
    "such a setting": (
        b'[[steps]]\nstep = "Crop"\nsize = [[{a = 0x' + b"f" * 5000 + b"}]]",
        "more than 300 digits",
    ),
    "10,000 levels": (b"seed = " + b"[" * 10_000 + b"]" * 10_000, "not a recipe in TOML"),
    "negative seed": (b'seed = -1\n[[steps]]\nstep = "Dedupe"\n', "`seed` must be a whole number"),
    "seed of a wrong type": (b'seed = "a"\n[[steps]]\nstep = "Dedupe"\n', "`seed` must be"),
    "vast seed": (b'seed = 9223372036854775808\n[[steps]]\nstep = "Dedupe"\n', "`seed` must be"),
    "UTF-16": ('[[steps]]\nstep = "Dedupe"\n'.encode("utf-16"), "is not a text file in UTF-8"),
    "binary": (bytes(range(256)), "is not a text file in UTF-8"),
    "npz": (b"PK\x03\x04\xff\xfe", "is not a text file in UTF-8"),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS)
def test_a_file_that_is_not_a_recipe_is_refused(tmp_path, good, recipe, text, message):
    recipe.write_bytes(text)
    refused(tmp_path, "run", recipe, good, tmp_path / "out", message=message)


@pytest.mark.parametrize("name", ["absent.toml", ".", "absent/recipe.toml"])
def test_a_missing_recipe_is_reported(tmp_path, good, name):
    message = "there is no recipe file"
    refused(tmp_path, "run", tmp_path / name, good, tmp_path / "out", message=message)


def test_masks_of_tiny_images_are_refused(tmp_path, recipe):
    recipe.write_text('[[steps]]\nstep = "KMeansMask"\n')
    tiny = save_npz(tmp_path / "tiny.npz", images=noise(side=4))
    refused(tmp_path, "run", recipe, tiny, tmp_path / "out", message="images of 8x8 pixels or more")


@pytest.mark.parametrize("out", ["out", "data/out", "data"])
def test_demo_refuses_bad_input_before_it_writes(tmp_path, out):
    data = class_folders(tmp_path / "data", side=4 if out == "out" else 16)
    sayings = {"out": "images of 8x8 pixels or more", "data": "contains other files"}
    message = sayings.get(out, "the input")
    refused(tmp_path, "demo", "--data", data, "--out", tmp_path / out, message=message)


OPTIONS = {
    "size 0": ("convert FOLDER OUT --size 0", "`--size` must be a whole number in [1,"),
    "size below 0": ("inspect FOLDER --size -3", "`--size` must be a whole number in [1,"),
    "size for npz": ("convert NPZ OUT --size 8", "`--size` is for "),
    "size for synthetic cells": ("demo --out OUT --size 8", "`--size` needs `--data`"),
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
    "share 0": ("split NPZ OUT --parts a=1,b=0", "`b` must be a fraction above 0"),
    "share below 0": ("split NPZ OUT --parts a=1.5,b=-0.5", "`a` must be a number in [0, 1]"),
    "share nan": ("split NPZ OUT --parts a=nan,b=1", "`a` must be a number in [0, 1]"),
    "part outside": ("split NPZ OUT --parts ../a=0.5,b=0.5", "needs plain words as names"),
    "part twice": ("split NPZ OUT --parts a=0.5,a=0.5", "names 'a' twice"),
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
    **({"a device": ("inspect /dev/null", "is not a folder")} if os.name != "nt" else {}),
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


def with_paths(line, root, good, recipe):
    """A command line with paths in place of the words in capitals."""
    folder = class_folders(root / "folder") if "FOLDER" in line else root
    known = {"NPZ": good, "RECIPE": recipe, "FOLDER": folder}
    words = [word.strip("'") for word in line.split()]
    return [
        known.get(word, root / word.lower() if word.split(".")[0] in ("OUT", "ABSENT") else word)
        for word in words
    ]


@pytest.mark.parametrize(("line", "message"), OPTIONS.values(), ids=OPTIONS)
def test_options_out_of_range_are_refused(tmp_path, good, recipe, line, message):
    refused(tmp_path, *with_paths(line, tmp_path, good, recipe), message=message)


@pytest.mark.parametrize(("line", "message"), USAGE.values(), ids=USAGE)
def test_misspelt_commands_and_options_are_suggested(tmp_path, good, recipe, line, message):
    refused(tmp_path, *with_paths(line, tmp_path, good, recipe), message=message)
