"""`Recipe`: a list of steps and a seed, saved as TOML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from ..dataset.dataset import Dataset, check_dataset
from ..dataset.notebook import table, view
from ..errors import CellprepError, check_seed, counted, nearest, parse_toml
from ..system.paths import as_path, read_bytes
from .step import Applied, Step


@dataclass(frozen=True)
class Recipe:
    """Steps in order, and the seed of their random numbers.

    Parameters
    ----------
    steps : sequence of Step
    seed : int
        In [0, 2**63).

    Examples
    --------
    >>> from cellprep import Dedupe, RandAugment
    >>> recipe = Recipe([Dedupe(), RandAugment(copies=2)], seed=7)
    >>> print(recipe.to_toml())
    seed = 7
    <BLANKLINE>
    [[steps]]
    step = "Dedupe"
    on_conflict = "drop"
    on_duplicate = "one"
    max_copies = 10
    symmetries = false
    hash = "phash"
    <BLANKLINE>
    [[steps]]
    step = "RandAugment"
    copies = 2
    ...
    >>> Recipe.from_toml(recipe.to_toml()) == recipe
    True
    """

    steps: Sequence[Step]
    seed: int = 0

    def __post_init__(self) -> None:
        given: object = self.steps
        if isinstance(given, Step) or not isinstance(given, Iterable):
            raise CellprepError(f"`steps` must be a list of steps, got {given!r}")
        steps = tuple(given)
        for step in steps:
            if not isinstance(step, Step):
                made = f"; did you mean {step.__name__}()?" if isinstance(step, type) else ""
                raise CellprepError(f"`steps` must contain steps, got {step!r}{made}")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "seed", check_seed(self.seed))

    def __call__(self, dataset: Dataset) -> Dataset:
        """The data set with these steps appended. Lazy: no pixel is read yet."""
        check_dataset(dataset)
        for step in self.steps:
            dataset = dataset.then(Applied(step, self.seed))
        return dataset

    def to_toml(self, path: str | Path | None = None) -> str:
        """The recipe as TOML text, also written to `path` if given."""
        tables = [step.to_dict() for step in self.steps]
        text = tomli_w.dumps({"seed": self.seed, "steps": tables})
        if path is not None:
            as_path(path).write_text(text, "utf-8", newline="\n")
        return text

    def _repr_html_(self) -> str:
        """What a notebook shows: each step and its settings."""
        steps = [step.to_dict() for step in self.steps]
        rows = [
            (number, step.pop("step"), ", ".join(f"{name} = {step[name]!r}" for name in step))
            for number, step in enumerate(steps, 1)
        ]
        title = f"Recipe of {counted(len(steps), 'step')}, seed {self.seed}"
        return view(title, [table(("", "step", "settings"), rows)])

    @classmethod
    def from_toml(cls, source: str | Path) -> Recipe:
        """The recipe from TOML text, or from a file if given a `Path`.

        Raises
        ------
        CellprepError
            For text that is not TOML, and for unknown steps and settings.
        """
        text = source if isinstance(source, str) else _text(source)
        try:
            saved = parse_toml(text, "a recipe")
        except CellprepError as error:
            hint = "" if "\n" in text or "=" in text else "; to read a file, pass a pathlib.Path"
            raise CellprepError(f"{error}{hint}") from None
        for name in saved:
            if name not in ("seed", "steps"):
                raise CellprepError(f"a recipe has no {name!r}; {nearest(name, ['seed', 'steps'])}")
        tables = saved.get("steps")
        if tables is None:
            raise CellprepError('the recipe has no steps; add one: [[steps]] and step = "Dedupe"')
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise CellprepError("the steps of a recipe must be tables headed [[steps]]")
        return cls([Step.from_dict(table) for table in tables], saved.get("seed", 0))


def _text(path: Path) -> str:
    if not path.is_file():
        raise CellprepError(f"there is no recipe file {str(path)!r}")
    try:
        return read_bytes(path).decode("utf-8-sig")  # Notepad writes a byte order mark
    except UnicodeDecodeError:
        raise CellprepError(f"{str(path)!r} is not a text file in UTF-8") from None
