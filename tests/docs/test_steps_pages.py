"""The pages of the steps agree with the code: settings, defaults, records, pictures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_origin

import numpy as np
import pandas as pd
import pytest

import cellprep as cp
from cellprep.dataset.decisions import hex_digests
from cellprep.operations import KERAS_CV, OPERATIONS, WIDE, Strength
from cellprep.operations.operation import either_way, whole
from cellprep.plan.digests import digest
from cellprep.steps import STEPS as REGISTERED
from cellprep.steps import settings as constraints
from cellprep.steps.settings import OneOf, Range

from .test_docs import DOCS, load

PAGES = DOCS / "steps"
STEPS = {
    kind.key(): kind for kind in REGISTERED.values() if kind.__module__.startswith("cellprep.")
}
REQUIRED = object()
BASE = {"id", "label", "class_name", "shard", "row"}


def text_of(name: str) -> str:
    return (PAGES / f"{name}.md").read_text("utf-8")


def section(name: str, heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text_of(name), re.M | re.S)
    assert found, f"{name}.md has no section {heading!r}"
    return found[1]


def rows_of_settings(name: str) -> list[tuple[str, str, str]]:
    """The first three columns of the table of settings."""
    return re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|", section(name, "Settings"), re.M)


def settings(name: str) -> dict[str, Any]:
    """The defaults on the page."""
    return {
        setting: REQUIRED if default == "required" else eval(default.strip("`"), vars(cp))
        for setting, default, _ in rows_of_settings(name)
    }


def allowed(kind: Any, constraint: Any) -> set[str]:
    """How a page writes the values that one type and its constraint allow."""
    match constraint:
        case OneOf():
            return {f'`"{word}"`' for word in constraint}
        case Range(low, high):
            return {f"{low:g} and up" if high >= 2**31 else f"{low:g} to {high:,g}"}
    if kind is bool:
        return {"`True`", "`False`"}
    if get_origin(kind) is Mapping:
        return {"`{class: number}`"}
    if get_origin(kind) is tuple:
        return {"a list of names" if str in get_args(kind) else "a list of `dict`"}
    words = {type(None): "`None`", str: "a name of the suite", Path: "a path"}
    return {words.get(kind, f"a `{kind.__name__}`")}


def default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return REQUIRED if field.default is MISSING else field.default


@pytest.mark.parametrize("name", STEPS)
def test_settings_and_defaults_are_those_of_the_step(name) -> None:
    assert settings(name) == {field.name: default(field) for field in fields(STEPS[name])}


@pytest.mark.parametrize("name", STEPS)
def test_allowed_values_are_those_of_the_annotations(name) -> None:
    options = constraints.options(STEPS[name])
    if name in ("adapt", "decide"):  # a path is a string too
        options = {
            setting: [one for one in each if (Path, None) not in each or one[0] is not str]
            for setting, each in options.items()
        }
    expected = {
        setting: set().union(*(allowed(*option) for option in options[setting]))
        for setting in options
    }
    assert {s: set(values.split(", ")) for s, _, values in rows_of_settings(name)} == expected


def test_settings_and_defaults_are_those_of_split() -> None:
    parameters = list(inspect.signature(cp.split).parameters.values())[1:]
    assert settings("split") == {
        parameter.name: REQUIRED if parameter.default is inspect.Parameter.empty
        else parameter.default
        for parameter in parameters
    }  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_columns_are_those_that_are_recorded(name, cells, tmp_path) -> None:
    images, labels = (array[3:] for array in cells)  # the first class is smaller
    keep = {"id": "0", "decision": "keep", "digest": hex_digests(digest(images[:1]))[0]}
    variants = {
        "adapt": [cp.Adapt(cp.profile(images), color=True)],
        "decide": [cp.Decide([keep])],
        "crop": [cp.Crop(32), cp.Crop(1.3, resize_to=32, relative=True)],
        "rand_augment": [cp.RandAugment(operations="wide")],
        "corrupt": [cp.Corrupt(copies=1), cp.Corrupt("heavy")],
        "stain_jitter": [cp.StainJitter(), cp.StainJitter(matrix="macenko")],
    }
    written = set()
    for n, step in enumerate(variants.get(name) or [STEPS[name]()]):
        made = cp.Recipe([step])(cp.Dataset.from_arrays(images, labels))
        cp.write(made, tmp_path / f"{n}")
        table = pd.read_parquet(tmp_path / f"{n}" / "index.parquet")
        written |= set(table.columns) - BASE - ({"copy"} if (table["copy"] == 0).all() else set())
    written = {re.sub(r"_\d$", "_N", column) for column in written}
    rows = re.findall(r"^\| (`.+?) \|", section(name, "What it records"), re.M)
    assert {column for row in rows for column in re.findall(r"`(.+?)`", row)} == written


def test_every_operation_of_randaugment_is_listed() -> None:
    page = section("rand_augment", "Settings").replace("colour", "color")
    assert all(name.replace("_", " ") in page for name in KERAS_CV)


WRITTEN = {
    "round": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "max": np.maximum,
    "whole": whole,
    "factor": either_way,
}
"""What the formulas of operations.md use."""


def test_the_table_of_operations_agrees_with_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*?\|(.*?)\|.*\| (yes|no) \|$", text_of("operations"), re.M)
    assert tuple(name for name, _, _ in rows) == WIDE
    rng = np.random.default_rng(0)
    u, n, v, w = rng.uniform(-1, 1, (4, 50)).astype(np.float32) / [[2], [1], [1], [1]]
    sign, t, m = np.sign(v), 255 * np.abs(w), 0.5
    numbers = WRITTEN | {"u": u, "n": abs(n), "v": v, "w": w, "sign": sign, "t": t, "m": m}
    strength = Strength(u, abs(n), sign, t, v, w, m)
    for name, formulas, moves in rows:
        operation = OPERATIONS[name]
        assert operation.moves == (moves == "yes")
        found = dict(re.findall(r"`([abc]) = (.+?)`", formulas))
        assert [*found] == [one for one in operation.takes.split() if one != "seeds"]
        for formula, expected in zip(found.values(), operation.sampled(strength), strict=False):
            python = re.sub(r"(?<=[\w.]) (?=[a-z])", " * ", formula)
            np.testing.assert_allclose(eval(python, numbers), expected, rtol=1e-5, err_msg=name)


def test_every_page_is_linked_from_the_overview() -> None:
    linked = re.findall(r"\]\((\w+\.md)\)", text_of("index"))
    added = load("hooks").unlisted_steps(text_of("index"))
    pages = sorted(path.name for path in PAGES.glob("*.md"))
    assert sorted([*linked, *added, "index.md"]) == pages


def test_a_new_page_appears_on_the_site_by_itself(tmp_path, monkeypatch) -> None:
    hooks = load("hooks")
    (tmp_path / "crop.md").write_text("# Crop\n")
    (tmp_path / "brighten.md").write_text("# Brighten\n\nBrightens.\n")
    monkeypatch.setattr(hooks, "STEPS", tmp_path)
    config = SimpleNamespace(nav=[{"Home": "index.md"}, {"Steps": [{"Crop": "steps/crop.md"}]}])
    steps = hooks.on_config(config).nav[1]["Steps"]
    assert steps == [{"Crop": "steps/crop.md"}, {"Brighten": "steps/brighten.md"}]
    page = SimpleNamespace(file=SimpleNamespace(src_uri="steps/index.md"))
    text = hooks.on_page_markdown("[Crop](crop.md)\n", page)
    assert text.endswith("Further steps: [Brighten](brighten.md).\n")


def test_a_step_without_a_picture_of_its_own_gets_one(script) -> None:
    picture = script.before_and_after(cp.KMeansMask)
    assert picture.width == script.WIDTH


def test_linked_files_exist() -> None:
    for path in PAGES.glob("*.md"):
        for link in re.findall(r"\]\((?!http)(.+?)(?:#.*?)?\)", path.read_text("utf-8")):
            assert (PAGES / link).exists(), f"{path.name}: {link}"


@pytest.fixture(scope="module")
def script():
    return load("pictures")


def test_every_step_has_a_picture(script) -> None:
    assert set(script.PICTURES) == {*STEPS, "split", "operations", "epochs"}


@pytest.mark.parametrize("name", [*STEPS, "split", "operations", "epochs"])
def test_the_picture_is_up_to_date(script, name, tmp_path) -> None:
    picture = script.PICTURES[name]()
    path = tmp_path / f"{name}.webp"
    script.save(picture, path)
    committed = PAGES / path.name
    assert f"]({committed.name})" in text_of(name)
    assert max(path.stat().st_size, committed.stat().st_size) < 150_000
    with script.Image.open(committed) as image:
        assert image.size == picture.size
        assert picture.width == script.WIDTH
        before, now = (np.asarray(p.convert("RGB"), int) for p in (image, picture))
        # WebP is lossy, and another version of NumPy may draw cells with other levels.
        assert abs(before - now).mean() < 12
