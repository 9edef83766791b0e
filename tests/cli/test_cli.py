"""`cellprep` prints and writes what the library does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cellprep as cp
from cellprep.cli import main
from cellprep.synthetic import draw_cells

from .helpers import contents, noise, run

CELLPREP = Path(sys.executable).with_name("cellprep")

# -- inspect -----------------------------------------------------------------------------------


def test_inspect_npz(messy):
    images = np.load(messy)["images"]
    found = run("inspect", messy, "--json")
    groups = [
        {"group": 0, "images": 2, "conflict": True, "labels": {"b": 1, "e": 1}, "ids": [8, 9]},
        {"group": 1, "images": 2, "conflict": False, "labels": {"e": 2}, "ids": [5, 7]},
    ]
    assert found == {
        "path": str(messy),
        "images": 20,
        "note": "",
        "folders": "",
        "classes": {"b": 5, "e": 10, "m": 5},
        "sizes": {"16x16": 20},
        "values": {
            "min": images.min((0, 1, 2)).tolist(),
            "max": images.max((0, 1, 2)).tolist(),
            "mean": images.mean((0, 1, 2)).round(2).tolist(),
        },
        "duplicate_groups": 2,
        "duplicate_images": 4,
        "conflicts": 1,
        "groups": groups,
        "bad": {},
        "unread": {},
        "steps": [],
    }
    text = run("inspect", messy)
    for line in (
        "20 images, 3 classes",
        "sizes    16x16 (20)",
        "values   red 0-255 (mean 12",
        "repeats  4 images in 2 groups (equal pixels), 1 with conflicting labels",
        "  CONFLICT      2 images  b x1, e x1  (ids 8, 9)",
        "                2 images  e x2  (ids 5, 7)",
    ):
        assert line in text
    assert max(map(len, text.splitlines()[1:])) <= 100


def test_inspect_folder(tmp_path):
    images = np.full((4, 8, 8, 3), (10, 20, 30), np.uint8)
    images[1] += 5
    for name, image in zip(("a/0", "a/1", "b/2", "b/3"), images, strict=True):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "b" / "empty.png").touch()
    Image.new("RGB", (5, 5)).save(tmp_path / "in" / "b" / "gif.png", "GIF")
    found = run("inspect", tmp_path / "in", "--json")
    assert (found["images"], found["classes"]) == (4, {"a": 2, "b": 2})
    assert (found["sizes"], found["note"]) == ({"8x8": 4}, "")
    values = {"min": [10, 20, 30], "max": [15, 25, 35], "mean": [11.25, 21.25, 31.25]}
    assert found["values"] == values
    assert [(g["ids"], g["conflict"], g["labels"]) for g in found["groups"]] == [
        (["a/0.png", "b/2.png", "b/3.png"], True, {"a": 1, "b": 2})
    ]
    assert found["bad"].keys() == {"b/empty.png", "b/gif.png"}
    assert "BAD b/empty.png: is empty" in run("inspect", tmp_path / "in")

    Image.new("RGB", (5, 6)).save(tmp_path / "in" / "b" / "small.png")
    found = run("inspect", tmp_path / "in", "--json")
    assert found["sizes"] == {"8x8": 4, "6x5": 1}
    assert found["note"] == "images of 2 sizes, resized to 96x96"
    assert found["images"] == 5


# -- profile -----------------------------------------------------------------------------------


def test_profile_prints_a_file_for_adapt(here):
    cells = cp.Dataset.from_arrays(*draw_cells([3] * 8, side=48), [str(n) for n in range(8)])
    cp.write(cells, "train", progress=False)
    found = run("profile", "train", "--json")
    assert cp.Profile.from_dict(found) == cp.profile(cells)
    Path("train.json").write_text(json.dumps(found))
    assert cp.Adapt("train.json") == cp.Adapt(cp.profile(cells))
    text = run("profile", "train")
    assert text.startswith("train: 24 of 24 images measured, 48x48\n  cell        ")
    assert f"{found['share']:.1%} of the image (median of 24)" in text
    assert text.count("red ") == text.count(" (sd ") / 3 == 2
    cp.write(cp.Recipe([cp.KMeansMask()])(cells), "masked", progress=False)
    assert "background" not in run("profile", "masked")
    one = cp.Dataset.from_arrays(np.zeros((1, 16, 16, 3), np.uint8), [0])
    cp.write(one, "black", progress=False)
    assert "cell        none found" in run("profile", "black")
    Path("flat").mkdir()
    Image.fromarray(cells.images[0]).save("flat/cell.png")
    assert run("profile", "flat").startswith("flat: 1 of 1 image measured")
    assert cp.profile("flat").images == 1


# -- run, convert, split, demo -----------------------------------------------------------------


def test_run_writes_what_the_library_writes(tmp_path, messy, recipe):
    report = run("run", recipe, messy, tmp_path / "out", "--rows-per-shard", 7, "--json")
    cells = cp.Recipe.from_toml(recipe)(cp.read(messy))
    written = cp.write(cells, tmp_path / "api", rows_per_shard=7, progress=False)
    assert contents(tmp_path / "out") == contents(tmp_path / "api")
    assert (report["rows"], report["resumed"], report["bad"]) == (written.rows, 0, {})
    assert report["steps"] == cells.changes().to_dict("records")
    assert [(s["step"], s["rows_in"], s["rows_out"]) for s in report["steps"]] == [
        ("dedupe", 20, 17),
        ("balance", 17, 24),
        ("kmeans_mask", 24, 24),
        ("rand_augment", 24, 72),
    ]
    again = run("run", recipe, messy, tmp_path / "out", "--rows-per-shard", 7, "--json")
    assert again["resumed"] == again["rows"] == 72
    text = run("run", recipe, messy, tmp_path / "text")
    assert "dedupe" in text
    assert "72 images written, 0 skipped, 0 quarantined, " in text


def test_seed_option_overrides_the_recipe(tmp_path, messy, recipe):
    for name, seed in {"toml": (), "five": ("--seed", 5), "six": ("--seed", 6)}.items():
        run("run", recipe, messy, tmp_path / name, *seed)
    assert contents(tmp_path / "toml") == contents(tmp_path / "five")
    shards = [tmp_path / name / "shard-00000.npy" for name in ("five", "six")]
    assert shards[0].read_bytes() != shards[1].read_bytes()


def test_output_is_independent_of_workers_and_executor(tmp_path, messy, recipe):
    ways = {
        "one": ("--workers", 1),
        "threads": ("--workers", 2),
        "processes": ("--executor", "processes", "--workers", 2),
    }
    for name, way in ways.items():
        run("run", recipe, messy, tmp_path / name, "--rows-per-shard", 20, *way)
    assert contents(tmp_path / "one") == contents(tmp_path / "threads")
    assert contents(tmp_path / "one") == contents(tmp_path / "processes")


def test_convert_round_trip(tmp_path, messy):
    first = tmp_path / "first.npz"
    run("convert", messy, first)
    run("convert", first, tmp_path / "png", "--format", "folder")
    run("convert", tmp_path / "png", tmp_path / "shards")
    run("convert", tmp_path / "shards", tmp_path / "last.npz")
    cells, back = cp.read(messy), cp.read(tmp_path / "last.npz")
    np.testing.assert_array_equal(back.to_arrays()[0], cells.to_arrays()[0])
    np.testing.assert_array_equal(back.labels, cells.labels)
    np.testing.assert_array_equal(back.ids, cells.ids)
    assert back.class_names == cells.class_names
    with np.load(first) as plain, np.load(messy) as given:
        np.testing.assert_array_equal(plain["images"], given["images"])
        np.testing.assert_array_equal(plain["labels"], given["labels"])


@pytest.mark.parametrize("kind", ["shards", "npz", "folder"])
def test_split_writes_what_the_library_splits(tmp_path, messy, kind):
    options = ("--parts", "train=0.6, test=0.4", "--seed", 3, "--format", kind)
    report = run("split", messy, tmp_path / "out", *options, "--json")
    parts = cp.split(cp.read(messy), train=0.6, test=0.4, seed=3)
    assert list(report) == ["train", "test"]
    ids = []
    for name, part in parts.items():
        written = cp.read(tmp_path / "out" / (f"{name}.npz" if kind == "npz" else name))
        np.testing.assert_array_equal(written.to_arrays()[0], part.to_arrays()[0])
        assert written.ids.tolist() == part.ids.tolist()
        assert report[name]["classes"] == written.counts() == part.counts()
        ids += written.ids.tolist()
    assert sorted(ids) == list(range(20))
    train = set(parts["train"].ids.tolist())
    assert len(train & {5, 7}) in (0, 2)
    assert len(train & {8, 9}) in (0, 2)


def ask(*arguments):
    """Exit code and parsed JSON output of a command."""
    result = CliRunner().invoke(main, [str(argument) for argument in (*arguments, "--json")])
    return result.exit_code, json.loads(result.stdout)


def test_duplicates_lists_conflicts_first(tmp_path, messy):
    code, found = ask("duplicates", messy)
    assert code == 1
    assert (found["images"], found["duplicate_groups"], found["conflicts"]) == (20, 2, 1)
    first, second = found["groups"]
    assert (first["conflict"], first["votes"]) == (True, "b 1, e 1")
    assert [row["id"] for row in second["rows"]] == [5, 7]
    assert second["votes"] == "e 2"
    result = CliRunner().invoke(main, ["duplicates", str(messy)])
    assert result.exit_code == 1
    assert "CONFLICT" in result.output.splitlines()[1]
    clean = tmp_path / "clean.npz"
    np.savez(clean, images=noise(4), labels=[0, 1, 0, 1])
    assert run("duplicates", clean, "--json")["groups"] == []


def test_duplicates_as_csv_is_the_table(tmp_path, messy):
    import io

    import pandas as pd

    result = CliRunner().invoke(main, ["duplicates", str(messy), "--csv"])
    table = cp.find_duplicates(cp.read(messy))
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(result.stdout)), table, check_dtype=False)
    result = CliRunner().invoke(main, ["duplicates", str(messy), "--csv", "--json"])
    assert result.exit_code == 2


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t"])
def test_a_spreadsheet_runs_no_cell_of_a_csv_as_a_formula(first, tmp_path):
    import io

    import pandas as pd

    ids = [f"{first}1+1.png", "b.png"]
    cells = cp.Dataset.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), [f"{first}c"] * 2, ids=ids)
    cp.write(cells, tmp_path / "in", progress=False)
    result = CliRunner().invoke(main, ["duplicates", str(tmp_path / "in"), "--csv"])
    table = pd.read_csv(io.StringIO(result.stdout))
    assert sorted(table["id"]) == sorted([f"'{first}1+1.png", "b.png"])
    assert set(table["class_name"]) == {f"'{first}c"}
    assert set(table["distance"]) == {0}


def test_leaks_lists_shared_images_and_exits_with_1(tmp_path):
    images = noise(6)
    turned = np.concatenate([noise(2, seed=1), images[2:3, ::-1]])
    for name, array in {"train": images, "test": turned}.items():
        np.savez(tmp_path / f"{name}.npz", images=array, labels=np.arange(len(array)) % 2)
    files = (tmp_path / "train.npz", tmp_path / "test.npz")
    assert run("leaks", *files, "--json")["groups"] == []
    code, found = ask("leaks", *files, "--symmetries")
    assert code == 1
    (group,) = found["groups"]
    assert [(row["part"], row["id"]) for row in group["rows"]] == [("a", 2), ("b", 2)]
    assert group["rows"][1]["symmetry"] == "flip_top_bottom"


def test_split_keeps_groups_together(tmp_path):
    images, labels = noise(24), np.arange(24) % 2
    np.savez(tmp_path / "cells.npz", images=images, labels=labels)
    patients = tmp_path / "patients.csv"
    patients.write_text("id,patient\n" + "".join(f"{i},p{i // 3}\n" for i in range(24)))
    options = ("--parts", "train=0.5,test=0.5", "--json")
    done = run(
        "split", tmp_path / "cells.npz", tmp_path / "out", "--groups", f"{patients}:patient",
        *options,
    )  # fmt: skip
    assert "largest deviation" in done["train"]["why"]
    train, test = (set(cp.read(tmp_path / "out" / part).ids // 3) for part in ("train", "test"))
    assert not train & test
    for groups, message in ((f"{patients}:patent", "did you mean 'patient'"), ("x(", "regular")):
        line = ["split", str(tmp_path / "cells.npz"), str(tmp_path / "no"), "--groups", groups]
        result = CliRunner().invoke(main, line)
        assert result.exit_code == 2
        assert message in result.output


def test_demo_on_synthetic_and_own_images(tmp_path):
    report = run("demo", "--images", 400, "--out", tmp_path / "out", "--seed", 1, "--json")
    assert [s["step"] for s in report["steps"]] == [
        "dedupe", "split", "balance", "kmeans_mask", "rand_augment",
    ]  # fmt: skip
    for name, part in report["parts"].items():
        cells = cp.read(tmp_path / "out" / name)
        assert len(cells) == part["rows"]
        assert cells.shape[1:] == (96, 96, 3)
    counts = set(cp.read(tmp_path / "out" / "train").counts().values())
    assert len(counts) == 1
    with Image.open(report["contact_sheet"]) as sheet:
        assert min(sheet.size) > 300
    steps = cp.Recipe.from_toml(tmp_path / "out" / "recipe.toml").steps
    assert steps == (cp.Dedupe(), cp.Balance(), cp.KMeansMask(), cp.RandAugment(copies=3))

    own = tmp_path / "out" / "drawn_cells.npz"
    text = run("demo", "--data", own, "--out", tmp_path / "own", "--seed", 1)
    assert "contact sheet:" in text
    train = contents(tmp_path / "out" / "train")
    assert contents(tmp_path / "own" / "train") == train


# -- the program itself ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["", "demo", "inspect", "duplicates", "leaks", "run", "convert", "split"]
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_short(command, flag):
    text = run(*command.split(), flag)
    assert text.startswith("Usage: ")
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 100
    assert not command or "Example: cellprep" in text


def test_installed_program(tmp_path, messy, recipe):
    def program(*line):
        return subprocess.run(
            [CELLPREP, *line], cwd=tmp_path, capture_output=True, text=True, check=True
        )

    assert program("--version").stdout == f"cellprep, version {cp.__version__}\n"
    done = program("run", "recipe.toml", "messy.npz", "out", "--json")
    assert (json.loads(done.stdout)["rows"], done.stderr) == (72, "")
    done = program("inspect", "messy.npz")
    assert done.stdout.startswith("messy.npz: 20 images, 3 classes\n")
    assert done.stderr == ""
