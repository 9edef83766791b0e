"""The pages of the steps say what the steps do: settings, defaults, records, pictures."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, Field, fields
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cellprep as cp

from .test_docs import DOCS, load

PAGES = DOCS / "steps"
STEPS = {
    kind.key(): kind
    for kind in vars(cp).values()
    if inspect.isclass(kind) and issubclass(kind, cp.Step) and kind is not cp.Step
}
REQUIRED = object()
BASE = {"id", "label", "class_name", "shard", "row"}


def text_of(name: str) -> str:
    return (PAGES / f"{name}.md").read_text("utf-8")


def section(name: str, heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text_of(name), re.M | re.S)
    assert found, f"{name}.md has no section {heading!r}"
    return found[1]


def settings(name: str) -> dict[str, Any]:
    """The first two columns of the table of settings."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", section(name, "Settings"), re.M)
    return {
        setting: REQUIRED if default == "required" else eval(default.strip("`"), vars(cp))
        for setting, default in rows
    }


def default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return REQUIRED if field.default is MISSING else field.default


@pytest.mark.parametrize("name", STEPS)
def test_settings_are_those_of_the_step(name) -> None:
    assert settings(name) == {field.name: default(field) for field in fields(STEPS[name])}


def test_settings_are_those_of_split() -> None:
    parameters = list(inspect.signature(cp.split).parameters.values())[1:]
    assert settings("split") == {
        parameter.name: REQUIRED if parameter.default is inspect.Parameter.empty
        else parameter.default
        for parameter in parameters
    }  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_columns_are_those_recorded(name, cells, tmp_path) -> None:
    variants = {"crop": [cp.Crop(32)], "corrupt": [cp.Corrupt(), cp.Corrupt("heavy")]}
    images, labels = (array[3:] for array in cells)  # the first class is smaller
    written = set()
    for place, step in enumerate(variants.get(name) or [STEPS[name]()]):
        made = cp.Recipe([step])(cp.Dataset.from_arrays(images, labels))
        cp.write(made, tmp_path / f"{place}")
        table = pd.read_parquet(tmp_path / f"{place}" / "index.parquet")
        written |= set(table.columns) - BASE - ({"copy"} if (table["copy"] == 0).all() else set())
    written = {re.sub(r"_\d$", "_N", column) for column in written}
    rows = re.findall(r"^\| (`.+?) \|", section(name, "What it records"), re.M)
    assert {column for row in rows for column in re.findall(r"`(.+?)`", row)} == written


def test_the_operations_of_randaugment_are_named() -> None:
    from cellprep.operations import KERAS_CV

    page = section("rand_augment", "Settings").replace("colour", "color")
    assert all(name.replace("_", " ") in page for name in KERAS_CV)


def test_every_page_stands_in_the_overview() -> None:
    linked = re.findall(r"\]\((\S+?\.md)\)", text_of("index"))
    assert sorted([*linked, "index.md"]) == sorted(path.name for path in PAGES.glob("*.md"))


def test_links_lead_somewhere() -> None:
    for path in PAGES.glob("*.md"):
        for link in re.findall(r"\]\((?!http)(.+?)(?:#.*?)?\)", path.read_text("utf-8")):
            assert (PAGES / link).exists(), f"{path.name}: {link}"


@pytest.fixture(scope="module")
def script():
    return load("pictures")


def test_every_step_has_a_picture(script) -> None:
    assert set(script.PICTURES) == {*STEPS, "split"}


@pytest.mark.parametrize("name", [*STEPS, "split"])
def test_the_picture_can_be_made(script, name, tmp_path) -> None:
    picture = script.PICTURES[name]()
    path = tmp_path / f"{name}.webp"
    script.save(picture, path)
    kept = PAGES / path.name
    assert f"]({kept.name})" in text_of(name)
    assert max(path.stat().st_size, kept.stat().st_size) < 150_000
    with script.Image.open(kept) as image:
        assert image.size == picture.size
        assert picture.width == script.WIDTH
        before, now = (np.asarray(p.convert("RGB"), int) for p in (image, picture))
        # WebP is lossy, and another NumPy may draw a cell with other levels.
        assert abs(before - now).mean() < 12
