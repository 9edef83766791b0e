"""`compare`: rows of (model, recipe, settings) from one TOML file to one table."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellprep
from cellprep import CellprepError, Dataset, Recipe
from cellprep.errors import check_seed, nearest, one_of
from cellprep.steps.step import Step
from cellprep.system import executors

from .backbones import BACKBONES, build
from .data import PREPARING
from .evaluate import SUITES, evaluate, shift
from .train import Training, fit

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "val", "test")
_ROW = "row.json"


@dataclass(frozen=True)
class Row:
    """A model to train on what a recipe makes.

    Parameters
    ----------
    name : str
        What the table calls it; also the name of its folder.
    model : str
        A name of `build`.
    recipe : str
        A name of the table's recipes.
    build, train : dict
        Settings of `build`, and of `Training`. `weights = false` stands for None.
    """

    name: str
    model: str
    recipe: str
    build: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """What `compare` reads from a TOML file.

    Parameters
    ----------
    rows : tuple of Row
    recipes : dict of str to list of steps
        What the training part goes through, by name. Validation and test part go through those of
        its steps that change what every image is: Crop and KMeansMask.
    data : str
        A path that `cellprep.read` reads.
    size : int, optional
        What the images of a folder are resized to.
    before : list of steps
        What all images go through before the split.
    parts : dict
        Shares of train, val and test.
    groups : str, optional
        As of `cellprep.split`.
    shifted : list of str
        Suites of `cellprep.Corrupt`.
    seeds : list of int
        Every row is trained once for each: it seeds the split, the recipes, the corruptions, the
        model's first weights and the order of images, unless the row sets its own.
    """

    rows: tuple[Row, ...]
    recipes: Mapping[str, list[Mapping[str, Any]]]
    data: str = ""
    size: int | None = None
    before: tuple[Mapping[str, Any], ...] = ({"step": "Dedupe"},)
    parts: Mapping[str, float] = field(
        default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1}
    )
    groups: str | None = None
    shifted: tuple[str, ...] = SUITES
    seeds: tuple[int, ...] = (0,)

    @classmethod
    def from_toml(cls, path: str | Path) -> Table:
        """Read and check a table: every name and setting in it, before anything is made.

        Raises
        ------
        CellprepError
            Naming what is unknown and the nearest thing that is known.
        """
        try:
            held = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CellprepError(f"{str(path)!r} is not a table in TOML: {error}") from None
        _check_names(f"{str(path)!r}", held, [f.name for f in fields(cls)])
        if not held.get("rows"):
            raise CellprepError(f"{str(path)!r} has no rows; add one: [[rows]] and its name")
        rows = tuple(_row(saved) for saved in held.pop("rows"))
        table = cls(rows=rows, **{"recipes": {}, **held})
        table._check()
        return table

    def _check(self) -> None:
        if sorted(self.parts) != sorted(PARTS):
            raise CellprepError(f"`parts` must be train, val and test, got {', '.join(self.parts)}")
        for suite in self.shifted:
            one_of("shifted", suite, SUITES)
        if not isinstance(self.seeds, list | tuple) or not self.seeds:
            raise CellprepError(f"`seeds` must be a list such as [0, 1, 2], got {self.seeds!r}")
        for seed in self.seeds:
            check_seed(seed)
        self.steps(self.before)
        for name, steps in self.recipes.items():
            if any(step.get("step") == "Dedupe" for step in steps):
                raise CellprepError(
                    f"recipe {name!r} has a Dedupe, which must see all images; put it in `before`"
                )
            self.steps(steps)
        for row in self.rows:
            one_of(f"recipe of row {row.name!r}", row.recipe, self.recipes)
        folders = [_folder(row.name) for row in self.rows]
        for place, name in enumerate(folders):
            if name in folders[:place]:
                raise CellprepError(f"two rows are called {self.rows[place].name!r}; rename one")

    def steps(self, saved: Any, seed: int = 0) -> Recipe:
        """The recipe of saved steps."""
        return Recipe([Step.from_dict(step) for step in saved], seed)

    def recipe(self, name: str, part: str, seed: int) -> Recipe:
        """What a part goes through."""
        steps = self.recipes[name]
        if part != "train":
            steps = [step for step in steps if step["step"] in PREPARING]
        return self.steps(steps, seed)


def compare(
    table: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and measure every row of a table; the same call goes on where a killed one stopped.

    Parameters
    ----------
    table : str or Path
        A TOML file, such as `examples/table1.toml`; see `Table` for what it holds.
    out : str or Path
        A folder. `data/` takes what the recipes write, `rows/` the trained models and their
        reports, `table.csv`, `table.json` and `table.txt` the result.
    data : str or Path, optional
        In place of the table's own.
    progress : bool

    Returns
    -------
    DataFrame
        A row a row and seed: model, data set, accuracy on each shifted set and on the local test
        set, precision, recall, F1 (weighted), and minutes of training. `show` gives means and
        standard deviations over the seeds.

    Raises
    ------
    CellprepError
        Before anything is trained: for what is wrong in the table, data that cannot be read,
        weights that cannot be had, and a folder with a row of the same name and other settings.

    Examples
    --------
    >>> compare("examples/table1.toml", "out/table1", data="train_data.npz")  # doctest: +SKIP
    """
    import pandas as pd

    folder = Path(out)
    plan, source, runs, places, lines = _begin(table, folder, data)
    todo = [at for at, line in enumerate(lines) if line is None]
    written = {}
    with executors.using(progress=progress):
        for seed in sorted({runs[at][1] for at in todo}):
            recipes = {runs[at][0].recipe for at in todo if runs[at][1] == seed}
            written[seed] = _prepare(plan, source, folder / "data" / f"seed-{seed}", recipes, seed)
    for at in todo:  # what cannot be built is said before the first is trained
        row, seed = runs[at]
        _build(row, written[seed][row.recipe]["train"], seed)
    for at in todo:
        row, seed = runs[at]
        lines[at] = _train(plan, row, seed, written[seed][row.recipe], places[at], progress)
    result = pd.DataFrame(lines)
    folder.mkdir(parents=True, exist_ok=True)
    result.to_csv(folder / "table.csv", index=False)
    result.to_json(folder / "table.json", orient="records", indent=1)
    (folder / "table.txt").write_text(show(result) + "\n", encoding="utf-8")
    return result


def plan_compare(
    table: str | Path, out: str | Path, *, data: str | Path | None = None, progress: bool = True
) -> pd.DataFrame:
    """What `compare` would do: a row a row and seed, its images, epochs and seconds of training.

    Nothing is written; models start from random numbers, and no weights are fetched.
    """
    import pandas as pd

    from .forecast import forecast

    plan, source, runs, places, lines = _begin(table, Path(out), data)
    shares: dict[str, Any] = dict(plan.parts)
    with executors.using(progress=progress):
        cells = plan.steps(plan.before)(cellprep.read(source, size=plan.size))
        parts = cellprep.split(cells, seed=0, groups=plan.groups, **shares)
    found: dict[str, Any] = {}  # of a row; its seeds take as long as each other
    planned = []
    for (row, seed), place, line in zip(runs, places, lines, strict=True):
        if line is None and row.name not in found:
            made = {part: plan.recipe(row.recipe, part, 0)(parts[part]) for part in PARTS}
            bare = {k: v for k, v in row.build.items() if k != "weights"} | {"weights": False}
            model = _build(Row(row.name, row.model, row.recipe, bare), made["train"], 0)
            found[row.name] = forecast(
                model, made["train"], made["val"], allow_leaks=True, progress=progress, **row.train
            )
        expected = None if line is not None else found[row.name]
        planned.append(
            {
                "row": row.name,
                "seed": seed,
                "model": row.model,
                "data set": row.recipe,
                "state": "done" if expected is None else "begun" if place.exists() else "to do",
                "images": expected.images["train"] if expected else 0,
                "epochs": expected.epochs if expected else 0,
                "seconds": round(expected.seconds, 1) if expected else 0.0,
            }
        )
    return pd.DataFrame(planned)


def _begin(table: str | Path, folder: Path, data: str | Path | None) -> Any:
    """The table, its data, its rows with their seeds and folders, and the lines measured before."""
    path = Path(table)
    if not path.is_file():
        raise CellprepError(f"there is no table {str(path)!r}")
    plan = Table.from_toml(path)
    source = str(data or plan.data)
    if not source:
        raise CellprepError(f"{str(path)!r} names no `data`, and none was passed")
    runs = [(row, seed) for seed in plan.seeds for row in plan.rows]
    places = [folder / "rows" / _folder(row.name) / f"seed-{seed}" for row, seed in runs]
    lines = [_done(place, plan, *run) for place, run in zip(places, runs, strict=True)]
    return plan, source, runs, places, lines


def show(result: pd.DataFrame) -> str:
    """The table as text: for several seeds their mean, and the standard deviation behind it."""
    import pandas as pd

    first = ["row", "model", "data set"]
    shown = result.drop(columns="seed")
    if result["seed"].nunique() > 1:
        by_row = shown.groupby(first, sort=False)
        mean, deviation = by_row.mean(), by_row.std()
        cells = {
            name: [f"{m:.3f} ±{d:.3f}" for m, d in zip(mean[name], deviation[name], strict=True)]
            for name in mean
        }
        shown = pd.DataFrame(cells, index=mean.index).reset_index()
    return str(shown.to_string(index=False, float_format=lambda value: f"{value:.4f}"))


def _prepare(
    plan: Table, source: str, folder: Path, recipes: set[str], seed: int
) -> dict[str, dict[str, Dataset]]:
    """The parts of each recipe, written unless they stand there already, and its shifted sets.

    These are corrupted first, then cropped and masked: nothing is found in a clean image that a
    shifted one would not have shown.
    """
    cells = plan.steps(plan.before, seed)(cellprep.read(source, size=plan.size))
    shares: dict[str, Any] = dict(plan.parts)
    parts = cellprep.split(cells, seed=seed, groups=plan.groups, **shares)
    written: dict[str, dict[str, Dataset]] = {}
    for name in sorted(recipes):
        written[name] = {}
        for part in PARTS:
            path = folder / _folder(name) / part
            cellprep.write(plan.recipe(name, part, seed)(parts[part]), path, progress=False)
            written[name][part] = cellprep.read(path)
        for suite in plan.shifted:
            shifted = shift(parts["test"], suite, seed=seed)
            written[name][suite] = plan.recipe(name, "test", seed)(shifted)
    return written


def _build(row: Row, train: Dataset, seed: int) -> Any:
    settings: dict[str, Any] = {k: None if v is False else v for k, v in row.build.items()}
    settings = {"seed": seed, **settings}
    try:
        return build(row.model, len(train.class_names), train.shape[1:], **settings)
    except CellprepError as error:
        raise CellprepError(f"row {row.name!r}: {error}") from error


def _train(
    plan: Table, row: Row, seed: int, parts: Mapping[str, Dataset], folder: Path, progress: bool
) -> dict[str, Any]:
    """Train and measure one row; its line of the table."""
    model = _build(row, parts["train"], seed)
    fitted = fit(
        model,
        parts["train"],
        parts["val"],
        test=parts["test"],
        out=folder,
        progress=progress,
        **{"seed": seed, **row.train},
    )
    shifted = {suite: parts[suite] for suite in plan.shifted}
    report = evaluate(model, parts["test"], shifted=shifted, seed=seed, progress=progress)
    report.to_json(folder / "report.json")
    line = {
        "row": row.name,
        "seed": seed,
        "model": row.model,
        "data set": row.recipe,
        **{f"{suite} accuracy": report.shifted[suite].accuracy for suite in plan.shifted},
        "accuracy": report.clean.accuracy,
        "precision": report.clean.precision,
        "recall": report.clean.recall,
        "F1": report.clean.f1,
        "minutes": fitted.seconds / 60,
    }
    text = json.dumps({"made_of": _made_of(plan, row, seed), "line": line}, indent=1)
    temporary = folder / f".{_ROW}"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(folder / _ROW)
    return line


def _made_of(plan: Table, row: Row, seed: int) -> dict[str, Any]:
    """All that a row hangs on, but for the images themselves."""
    around = {
        k: v for k, v in asdict(plan).items() if k not in ("rows", "recipes", "data", "seeds")
    }
    made = {**around, "seed": seed, "row": asdict(row), "recipe": plan.recipes[row.recipe]}
    return dict(json.loads(json.dumps(made)))


def _done(folder: Path, plan: Table, row: Row, seed: int) -> dict[str, Any] | None:
    """The line of a row that was measured before."""
    path = folder / _ROW
    if not path.is_file():
        return None
    held = json.loads(path.read_text(encoding="utf-8"))
    here = _made_of(plan, row, seed)
    for name, value in here.items():
        if held["made_of"].get(name) != value:
            raise CellprepError(
                f"{str(folder)!r} holds row {row.name!r} of another table ({name} differs); "
                "rename the row, or choose another folder"
            )
    return dict(held["line"])


def _row(saved: Any) -> Row:
    if not isinstance(saved, dict):
        raise CellprepError("the rows of a table are headed [[rows]]")
    _check_names("a row", saved, [f.name for f in fields(Row)])
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
    _check_names(f"`build` of row {row.name!r}", row.build, known)
    try:
        Training.of(row.train)
    except CellprepError as error:
        raise CellprepError(f"row {row.name!r}: {error}") from None
    return row


def _check_names(what: str, held: Mapping[str, Any], known: list[str]) -> None:
    for name in held:
        if name not in known:
            raise CellprepError(f"{what} has no setting {name!r}; {nearest(name, known)}")


def _folder(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "row"
