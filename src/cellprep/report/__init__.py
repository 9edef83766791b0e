"""`report`: one HTML page on a data set, its contents, its problems and how it was made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..dataset.dataset import Dataset, check_dataset
from ..dataset.decisions import load_decisions
from ..duplicates.settings import Search
from ..errors import CellprepError
from ..kernels import Hash
from ..steps.recipe import Recipe
from ..system.paths import as_path, atomic_write, make_folder
from ..writing.output import writing_to

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Report", "report"]


@dataclass(frozen=True)
class Report:
    """Summary of a written page.

    Attributes
    ----------
    path : Path
    images : int
    pictures : int
        Number of distinct pictures on the page.
    bytes : int
    attention : dict of str to str
        Problems by kind, most urgent first, each in one line.
    """

    path: Path
    images: int
    pictures: int
    bytes: int
    attention: dict[str, str]

    def __str__(self) -> str:
        lines = [
            f"{self.path}: {self.images:,} images, {self.pictures:,} pictures, "
            f"{self.bytes / 1e6:.1f} MB"
        ]
        return "\n".join([*lines, *(f"  {title}" for title in self.attention.values())])


def report(
    dataset: Dataset,
    path: str | Path,
    *,
    recipe: Recipe | None = None,
    test: Dataset | None = None,
    near: int | None = 4,
    symmetries: bool = True,
    hash: Hash = "phash",
    lookalikes: pd.DataFrame | str | Path | None = None,
    label_issues: pd.DataFrame | str | Path | None = None,
    decisions: str | Path | None = None,
    title: str | None = None,
    notes: Iterable[str] = (),
) -> Report:
    """Write one self-contained HTML page on a data set.

    It shows what needs attention, class counts, every duplicate group with its pictures, a gallery
    of each class, images before and after each step, the sampled augmentations, the recipe and the
    versions. A person can decide on duplicates, look-alikes and suspected labels in the page, which
    saves the decisions as a CSV file for `Decide`. It is smaller than 5 MB, works offline and
    replaces an earlier page. Equal data sets make equal pages. `docs/report.md` explains the
    measures and their thresholds.

    Parameters
    ----------
    dataset : Dataset
        Bad files are skipped and listed. Of an image and its augmented copies, only the first is
        examined.
    path : str or Path
        Path of the page; its folder is created.
    recipe : Recipe, optional
        Every step of it is shown on these images; nothing is written. Default: the steps of the
        data set.
    test : Dataset, optional
        Images of the same size; those that occur in both sets are shown as leaks.
    near : int or None
    symmetries : bool
    hash : str
        What counts as a duplicate, as in `find_duplicates`; near and rotated copies do by default.
    lookalikes : DataFrame or path, optional
        A table of `find_lookalikes`, or a CSV file of it: `id` and `group` are needed.
    label_issues : DataFrame or path, optional
        A table of `cellmodels.find_label_issues`, or a CSV file of it: `id` and `suggested` are
        needed. Rows that are not `suspected` are left out.
    decisions : path, optional
        A CSV file that an earlier page saved: the page shows what was decided and by whom.
    title : str, optional
        Default: the name of the input.
    notes : iterable of str
        Sentences to show below the title.

    Returns
    -------
    Report

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from cellprep.synthetic import draw_cells
    >>> cells = Dataset.from_arrays(*draw_cells([3] * 8, side=32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = report(cells, f"{folder}/report.html")
    >>> made.images, made.attention
    (24, {'few': '8 classes with fewer than 20 images'})
    """
    check_dataset(dataset)
    if test is not None:
        check_dataset(test)
    if recipe is not None and not isinstance(recipe, Recipe):
        raise CellprepError(f"`recipe` must be a Recipe, got {recipe!r}")
    target = as_path(path)
    if target.is_dir():
        raise CellprepError(
            f"{str(target)!r} is a folder; name the file to write, such as "
            f"{str(target / 'report.html')!r}"
        )
    earlier = () if decisions is None else load_decisions(decisions)
    from . import attention, page
    from .gather import Given, gather

    page.check_libraries()
    source = dataset.source.path
    with writing_to(target, is_file=True):
        found = gather(
            dataset,
            recipe=recipe,
            test=test,
            search=Search(near, symmetries, hash),
            title=title or (source.name if source is not None else "images in memory"),
            notes=notes,
            given=Given(lookalikes, label_issues, earlier),
        )
        alerts = attention.alerts(found)
        html, pictures = page.render(found, alerts)
        make_folder(target.parent)
        with atomic_write(target) as temporary:
            temporary.write_bytes(html)
    titles = {alert.key: alert.title for alert in alerts}
    return Report(target, found.images, pictures, len(html), titles)
