"""Every block of every page runs (see `pages`); those that are not run are listed here.

The pages that are notebooks run as such, in `test_notebooks`.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cellprep as cp
from cellprep.cli.demo import write_synthetic_cells
from cellprep.synthetic import CLASS_NAMES, draw_cells

from .pages import NOTEBOOKS, PAGES, ROOT, blocks, name, needed, run

NOT_RUN = {  # page: why each of these blocks is not run
    "CONTRIBUTING.md": ["an excerpt of a file", "excerpts of two files"],
    "README.md": ["it changes the shell", "ImageNet weights are downloaded"],
    "docs/duplicates.md": ["computing the features takes minutes"],
    "docs/processors.md": ["it compiles all kernels again, for another processor"] * 2,
    "docs/benchmarks.md": ["it takes two minutes"],
    "docs/howto/another-laboratory.md": ["training such a model takes minutes"] * 2,
    "docs/howto/cluster.md": [
        "it starts Ray; tests/system/test_ray.py does, on two nodes, one of which is killed",
        "needs a cluster",
    ],
    "docs/howto/object-storage.md": ["needs a server; tests/writing/test_remote.py writes to one"],
    "docs/pbc.md": ["it needs the photographs", "it needs the tables above"],
    "docs/questions.md": ["it computes features for minutes"],
    "docs/report.md": ["the tables come from `cellmodels`, the decisions from a browser"],
    "docs/results.md": [
        "hours, on photographs that are not kept here",
        "an hour, on photographs that are not kept here",
        "hours, on photographs that are not kept here",
        "hours, on photographs that are not kept here",
        "an hour, on photographs that are not kept here",
        "an hour",
        "days without a GPU",
    ],
    "docs/steps/decide.md": ["the decisions are made in the page, by hand"],
    "docs/steps/epochs.md": [
        "a fragment; examples/fresh_keras.py is a whole program",
        "it trains for minutes; tests/cellmodels/training/test_fresh.py runs it",
    ],
    "docs/scaling.md": [
        "needs a cluster",
        "needs a cluster; tests/system/test_ray.py runs such calls on two nodes",
    ],
}

_NOTEBOOKS = [ROOT / "docs" / page for page in NOTEBOOKS]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """The files every page can use: an npz file, a folder of class folders, its masks, a recipe."""
    folder = tmp_path_factory.mktemp("inputs")
    write_synthetic_cells(folder / "train_data.npz", 400, seed=0)
    images, labels = draw_cells([8] * len(CLASS_NAMES), seed=1)
    masks = cp.segment(images)
    for n, (image, label, mask) in enumerate(zip(images, labels, masks, strict=True)):
        stem = f"{CLASS_NAMES[label]}/patient{n % 8}_{n:02}.png"
        for top, picture in (("smears", image), ("drawn", mask.view(np.uint8) * np.uint8(255))):
            (folder / top / stem).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / top / stem)
    recipe = cp.Recipe([cp.Dedupe(), cp.Balance(), cp.RandAugment(copies=3)], seed=0)
    recipe.to_toml(folder / "recipe.toml")
    return folder


@pytest.mark.unix("the pages show what shells of Unix print")
@pytest.mark.parametrize("page", [p for p in PAGES if p not in _NOTEBOOKS], ids=name)
def test_the_page_runs(page, inputs, tmp_path, monkeypatch) -> None:
    for library in needed(page):
        pytest.importorskip(library)
    with contextlib.suppress(ImportError):  # buckets are in memory, and start empty
        from fsspec.implementations.memory import MemoryFileSystem

        MemoryFileSystem.store.clear()
    here = shutil.copytree(inputs, tmp_path / "here")
    monkeypatch.chdir(here)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    arrays = dict(np.load("train_data.npz"))
    names = {"__name__": "__main__", "cp": cp, "np": np, "pd": pd} | {
        "images": arrays["images"],
        "labels": arrays["labels"],
        "cells": cp.read("train_data.npz"),
    }
    run(page, names)


def test_blocks_that_are_not_run_are_listed() -> None:
    found = {name(page): [block.why for block in blocks(page) if block.why] for page in PAGES}
    assert {page: why for page, why in found.items() if why} == NOT_RUN


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```python\n1 / 0\n```", "division"),
        ("```python\nprint(2 + 2)\n```\n\n```text\n5\n```", "line 6: the page shows"),
        (
            "```python\nprint(0.5)\n```\n<!-- numbers within 0.1 -->\n```text\n0.7\n```",
            "the page shows",
        ),
        ("```pycon\n>>> 2 + 2\n5\n```", "Expected:"),
        ("```sh\ncellprep inspect absent.npz\n```", "exit code 2"),
        ("```sh\ncellprep inspekt\n```", "there is no command"),
        ("```sh\nfalse | cat\n```", "exit code 1"),
        ("```sh\npip install '.[absent]'\n```", "no extra 'absent'"),
        ("```sh\nmake absent\n```", "make has no 'absent'"),
        ("```py\n1 / 0\n```", "cannot run 'py'"),
        ("```toml\nseed = \n```", "Invalid value"),
        ("- in a list\n\n    ```python\n    1 / 0\n    ```", "division"),
    ],
)
def test_a_wrong_page_fails(text, why, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    for file in ("pyproject.toml", "Makefile"):
        shutil.copy(ROOT / file, file)
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises((AssertionError, ZeroDivisionError, ValueError), match=why):
        run(page, {})


def test_a_correct_page_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        '```toml title="a.toml"\nseed = 1\n```\n'
        "```sh\ncat a.toml\n```\n\n```text\nseed = ...\n```\n"
        "<!-- not run: it fails -->\n```python\n1 / 0\n```\n"
        "```python\nn = 2\nprint(n)\n```\n\n```text\n2\n```\n\n```pycon\n>>> n + 1\n3\n```\n"
        "```python\nprint('a', 0.5)\n```\n<!-- numbers within 0.1 -->\n```text\na 0.45\n```"
    )
    run(page, {})


def test_a_page_that_makes_a_different_picture_fails(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("![a](pictures/a.png)")
    for folder, level in (("pictures", 100), ("same", 101), ("different", 110)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / folder / "a.png")
    monkeypatch.chdir(tmp_path / "same")
    run(page, {})
    monkeypatch.chdir(tmp_path / "different")
    with pytest.raises(AssertionError, match="apart"):
        run(page, {})
