"""Dry runs of the commands that write predict what the run writes, and write nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cellprep as cp
from cellprep.writing.forecast import forecast
from cellprep.writing.job import plan_write

from .helpers import everything, run, size

WRITING = {
    "run": ("run", "recipe.toml", "cells.npz", "out"),
    "run to a new folder": ("run", "recipe.toml", "cells.npz", "new/folder/out"),
    "convert": ("convert", "cells.npz", "out"),
    "npz": ("convert", "cells.npz", "out.npz"),
    "medmnist": ("convert", "cells.npz", "out", "--format", "medmnist"),
    "folder": ("convert", "cells.npz", "out", "--format", "folder"),
    "webdataset": ("run", "recipe.toml", "cells.npz", "out", "--format", "webdataset"),
    "parquet": ("convert", "cells.npz", "out", "--format", "parquet"),
    "small shards": ("convert", "cells.npz", "out", "--rows-per-shard", "64"),
    "processes": ("convert", "cells.npz", "out", "--executor", "processes", "--workers", "2"),
}


@pytest.mark.parametrize("line", WRITING.values(), ids=WRITING)
def test_a_dry_run_predicts_the_run_and_writes_nothing(here, line):
    before = everything(here)
    text = run(*line, "--dry-run")
    plan = run(*line, "--dry-run", "--json")
    assert everything(here) == before
    done = run(*line, "--json")
    out = (
        here / line[-1 if line[0] == "convert" and len(line) == 3 else 3 if line[0] == "run" else 2]
    )
    assert (plan["rows"], plan["path"]) == (done["rows"], done["path"])
    assert plan.get("steps") == done.get("steps")
    assert (plan["target"], plan["resumed"]) == ("absent", 0)
    near = 0.1 if plan["bytes_are_estimated"] else 0.005
    assert plan["bytes"] == pytest.approx(size(out), rel=near)
    assert ("~" in text) == plan["bytes_are_estimated"]
    assert f"{plan['rows']:,} images as " in text
    assert "dry run, nothing was written" in text
    assert 0 < plan["seconds"] < 60
    again = run(*line, "--dry-run", "--json")
    assert again["resumed"] == (again["rows"] if again["target"] == "complete" else 0)


def test_a_dry_run_of_split_and_demo_predicts_the_run(here):
    before = everything(here)
    line = ("split", "cells.npz", "out", "--parts", "train=0.7,test=0.3")
    assert "out/test: " in run(*line, "--dry-run")
    plan = run(*line, "--dry-run", "--json")
    demo = run("demo", "--data", "cells.npz", "--out", "demo", "--dry-run", "--json")
    assert "from " in run("demo", "--images", 400, "--out", "demo", "--dry-run")
    assert everything(here) == before
    done = run(*line, "--json")
    for name, part in done.items():
        assert {k: plan[name][k] for k in ("rows", "classes", "why")} == {
            k: part[k] for k in ("rows", "classes", "why")
        }
        assert plan[name]["bytes"] == pytest.approx(size(here / "out" / name), rel=0.005)
    done = run("demo", "--data", "cells.npz", "--out", "demo", "--json")
    assert demo["steps"] == done["steps"]
    assert {n: p["rows"] for n, p in demo["parts"].items()} == {
        n: p["rows"] for n, p in done["parts"].items()
    }


def test_a_dry_run_counts_what_an_interrupted_run_already_wrote(here, monkeypatch):
    from cellprep.formats import shards

    line = ("convert", "cells.npz", "out", "--rows-per-shard", "100")
    write = shards.NpyWriter.write_shard

    def dying(self, folder, number, blocks):
        if number == 2:
            raise KeyboardInterrupt
        return write(self, folder, number, blocks)

    with monkeypatch.context() as patch:
        patch.setattr(shards.NpyWriter, "write_shard", dying)
        run(*line, "--workers", 1, code=130)
    before = everything(here)
    plan = run(*line, "--dry-run", "--json")
    assert (plan["target"], plan["resumed"], plan["parts"]) == ("unfinished", 200, 4)
    assert everything(here) == before
    assert "200 of them already written by an earlier run" in run(*line, "--dry-run")
    assert run(*line, "--json")["resumed"] == 200
    shard = here / "out" / "shard-00003.npy"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert run(*line, "--dry-run", "--json")["resumed"] == 300
    shard.unlink()
    assert run(*line, "--dry-run", "--json")["resumed"] == 300


@pytest.mark.parametrize(
    "line",
    [
        ("run", "recipe.toml", "cells.npz", "cells.npz"),
        ("convert", "cells.npz", "mine"),
        ("split", "cells.npz", "mine"),
        ("demo", "--out", "mine"),
        ("convert", "bad", "out"),
        ("split", "bad", "out"),
    ],
)
def test_a_dry_run_is_refused_like_the_run(here, line):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("mine")
    Path("bad/a").mkdir(parents=True)
    Path("bad/a/x.png").write_bytes(b"no image")
    assert run(*line, "--dry-run", code=2) == run(*line, code=2)


def test_a_dry_run_lists_bad_images(here):
    for name, image in zip("abcd", np.load("cells.npz")["images"][:4], strict=True):
        Path(f"in/{name > 'b'}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(f"in/{name > 'b'}/{name}.png")
    Path("in/True/e.png").write_bytes(Path("in/True/d.png").read_bytes()[:900])
    line = ("convert", "in", "out", "--on-error", "quarantine")
    text = run(*line, "--dry-run")
    assert "1 unreadable image would be left out:\n  BAD True/e.png: " in text
    plan, done = run(*line, "--dry-run", "--json"), run(*line, "--json")
    assert (plan["rows"], plan["bad"]) == (done["rows"], done["bad"])
    assert plan["bytes"] == pytest.approx(size(here / "out"), rel=0.02)


def test_the_forecast_samples_few_large_images(tmp_path):
    images = np.zeros((40, 1600, 1600, 3), np.uint8)
    cells = cp.Dataset.from_arrays(images, np.arange(40) % 2)
    found = forecast(plan_write(cells, tmp_path / "out"))
    assert found.sampled < 10
    assert found.bytes == pytest.approx(images.nbytes, rel=1e-3)


def test_reading_that_a_run_does_while_it_writes_is_not_counted_twice(tmp_path):
    """A dry run lists bad images first, which takes as long as decoding does while writing."""
    for number, image in enumerate(np.random.default_rng(0).integers(0, 256, (8, 9, 9, 3), "u1")):
        (tmp_path / "in" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "in" / "ab"[number % 2] / f"{number}.png")
    for recipe, counted in ((cp.Recipe([cp.Jitter()]), False), (cp.Recipe([cp.Dedupe()]), True)):
        recipe.to_toml(tmp_path / "recipe.toml")
        line = ("run", tmp_path / "recipe.toml", tmp_path / "in", tmp_path / "out")
        found = run(*line, "--dry-run", "--json")
        assert (found["planning_seconds"] > 0) == counted
