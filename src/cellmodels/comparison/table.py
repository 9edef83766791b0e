"""The TOML file that `compare` reads, and its checks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import tomli_w

from cellprep import CellprepError, Recipe
from cellprep.errors import check_seed, in_range, known_settings, one_of, parse_toml
from cellprep.writing.output import file_name

from ..atomic import local
from ..data.checks import preparation
from ..evaluation.probabilities import Prediction
from ..evaluation.shift import SUITES
from ..models.backbones import BACKBONES
from ..models.build import build
from ..training.settings import Training

SPLITS = ("train", "val", "test")
AS_IS = "as is"
"""The way of predicting without any setting."""
_KINDS = {"shifted": "lists of steps", "others": "paths", "ways": "settings"}


@dataclass(frozen=True)
class Row:
    """A model, the recipe of its training data, and settings.

    Parameters
    ----------
    name : str
        The name in the result; also the name of the row's folder.
    model : str
        A model that `build` knows.
    recipe : str
        One of the table's recipes.
    build, train : dict
        Settings of `build` and of `Training`. `weights = false` means None. With `fresh = true` in
        `train`, the recipe is applied while training, with fresh copies every epoch.
    ways : list of str, optional
        The ways of predicting by which this row is measured. Default: all of the table.
    """

    name: str
    model: str
    recipe: str
    build: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    ways: tuple[str, ...] | None = None

    @property
    def fresh(self) -> bool:
        """Whether the training set is not written, but computed in every epoch."""
        return bool(self.train.get("fresh", False))


@dataclass(frozen=True)
class Table:
    """What `compare` reads from a TOML file.

    Parameters
    ----------
    rows : tuple of Row
    recipes : dict of str to list of steps
        Steps applied to the training split, by name. Of these, Crop and KMeansMask are also applied
        to the validation and test splits.
    data : str
        A path that `cellprep.read` reads.
    size : int, optional
        Side in pixels to which the images of a folder are resized.
    before : list of steps
        Steps applied to all images before the split.
    parts : dict
        Fractions of train, val and test.
    folds : int, optional
        Cross-validation instead of `parts`: the images are divided into this many equal parts, and
        every row is trained once per part and seed. It is tested on that part, validated on the
        next one and trained on the others.
    groups : str, optional
        As in `cellprep.split`.
    shifted : dict of str to list of steps, or list of str
        Shifted versions of the test split, by name: the steps that change its images before Crop
        and KMeansMask. In a list, suites of `cellprep.Corrupt`.
    others : dict of str to str
        Test sets of other laboratories, by name: paths that `cellprep.read` reads. Their classes
        are some of those of `data`, and only these are allowed in predictions.
    ways : dict of str to dict
        Ways of predicting, by name: fields of `Prediction`, and `sets`, "all", "own" (the test
        split and its shifted versions) or "others". Default: one, "as is".
    base : str, optional
        The row that others are compared with, seed by seed.
    seeds : list of int
        Every row is trained once per seed. It seeds the split, the recipes, the corruptions, the
        initial weights and the order of images, unless the row sets its own.
    """

    rows: tuple[Row, ...]
    recipes: Mapping[str, list[Mapping[str, Any]]]
    data: str = ""
    size: int | None = None
    before: tuple[Mapping[str, Any], ...] = ({"step": "Dedupe"},)
    parts: Mapping[str, float] = field(
        default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1}
    )
    folds: int | None = None
    groups: str | None = None
    shifted: Mapping[str, Any] = field(
        default_factory=lambda: {suite: _suite(suite) for suite in SUITES}
    )
    others: Mapping[str, str] = field(default_factory=dict)
    ways: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {AS_IS: {}})
    base: str | None = None
    seeds: tuple[int, ...] = (0,)

    @classmethod
    def from_toml(cls, path: str | Path) -> Table:
        """Read a table and check every name and setting in it.

        Raises
        ------
        CellprepError
            With the unknown name and the nearest known one.
        """
        path = local(path)
        if not path.is_file():
            raise CellprepError(f"there is no table {str(path)!r}")
        try:
            saved = parse_toml(path.read_text(encoding="utf-8-sig"), "a table")
        except (CellprepError, UnicodeDecodeError) as error:
            raise CellprepError(f"{str(path)!r} cannot be read: {error}") from None
        known_settings(f"{str(path)!r}", saved, [f.name for f in fields(cls)])
        if not saved.get("rows"):
            raise CellprepError(f"{str(path)!r} has no rows; add one: [[rows]] and its name")
        rows = tuple(_row(row) for row in saved.pop("rows"))
        if isinstance(saved.get("shifted"), list):
            for suite in saved["shifted"]:
                one_of("shifted", suite, SUITES)
            saved["shifted"] = {suite: _suite(suite) for suite in saved["shifted"]}
        if {"folds", "parts"} <= set(saved):
            raise CellprepError("`folds` are equal parts; leave out `parts`")
        table = cls(rows=rows, **{"recipes": {}, **saved})
        table._check()
        return table

    def steps(self, saved: Any, seed: int = 0) -> Recipe:
        """Saved steps as a recipe."""
        return Recipe.from_toml(tomli_w.dumps({"seed": seed, "steps": saved}))

    def recipe(self, name: str, split: str, seed: int) -> Recipe:
        """What is applied to a split."""
        recipe = self.steps(self.recipes[name], seed)
        return recipe if split == "train" else preparation(recipe)

    def _check(self) -> None:
        if sorted(self.parts) != sorted(SPLITS):
            raise CellprepError(f"`parts` must be train, val and test, got {', '.join(self.parts)}")
        if self.folds is not None:  # one each to test and to validate, and some to train
            in_range("folds", self.folds, 3, 1000, whole=True)
        for name, kind in (("shifted", list), ("others", str), ("ways", dict)):
            given = getattr(self, name)
            if not isinstance(given, dict) or not all(isinstance(v, kind) for v in given.values()):
                raise CellprepError(f"`{name}` must be a table of {_KINDS[name]}, got {given!r}")
        if not self.ways:
            raise CellprepError("`ways` is empty; leave it out, or name a way of predicting")
        for name in (*self.shifted, *self.others):
            if name in ("clean", "data", "val") or (name in self.shifted and name in self.others):
                raise CellprepError(f"a test set cannot be called {name!r} here; rename it")
        for shift in self.shifted.values():
            self.steps(shift)
        for name, way in self.ways.items():
            self._check_way(name, way)
        if not isinstance(self.seeds, list | tuple) or not self.seeds:
            raise CellprepError(f"`seeds` must be a list such as [0, 1, 2], got {self.seeds!r}")
        for seed in self.seeds:
            check_seed(seed)
        self.steps(self.before)
        for name, steps in self.recipes.items():
            self.steps(steps)
            if any(step["step"] == "Dedupe" for step in steps):
                raise CellprepError(
                    f"recipe {name!r} has a Dedupe, which must see all images; put it in `before`"
                )
        for row in self.rows:
            one_of(f"recipe of row {row.name!r}", row.recipe, self.recipes)
            for chosen in row.ways or ():
                one_of(f"ways of row {row.name!r}", chosen, self.ways)
        if self.base is not None:
            one_of("base", self.base, [row.name for row in self.rows])
        folders = [folder_name(row.name) for row in self.rows]
        for position, name in enumerate(folders):
            if name in folders[:position]:
                raise CellprepError(f"two rows are called {self.rows[position].name!r}; rename one")

    def _check_way(self, name: str, way: Mapping[str, Any]) -> None:
        if "sets" in way:
            one_of(f"sets of way {name!r}", way["sets"], ("all", "own", "others"))
        try:
            Prediction.of({k: v for k, v in way.items() if k != "sets"})
        except CellprepError as error:
            raise CellprepError(f"way {name!r}: {error}") from None


def folder_name(name: str) -> str:
    """A name in the characters that every file system allows."""
    return file_name(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "row")


def _suite(name: str) -> list[dict[str, Any]]:
    """The steps of a suite of corruptions."""
    return [{"step": "Corrupt", "suite": name}]


def _row(saved: Any) -> Row:
    if not isinstance(saved, dict):
        raise CellprepError("each row of a table starts with [[rows]]")
    known_settings("a row", saved, [f.name for f in fields(Row)])
    for needed in ("name", "model", "recipe"):
        if not isinstance(saved.get(needed), str):
            raise CellprepError(f"a row needs `{needed}`, got {saved}")
    row = Row(**saved)
    one_of(f"model of row {row.name!r}", row.model, BACKBONES)
    known = [
        name
        for name, parameter in inspect.signature(build).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    known_settings(f"`build` of row {row.name!r}", row.build, known)
    try:
        Training.of(row.train)
    except CellprepError as error:
        raise CellprepError(f"row {row.name!r}: {error}") from None
    return row
