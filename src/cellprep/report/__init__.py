"""One page of HTML that shows a data set: what is in it, what is wrong with it, what was done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..dataset.dataset import Dataset, check_dataset
from ..duplicates.near import Search
from ..errors import CellprepError
from ..steps.recipe import Recipe
from ..system.paths import as_path, atomic_write, make_folder


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes
    ----------
    path : Path
    images : int
    pictures : int
        Shown on the page, each once.
    bytes : int
    attention : dict of str to str
        What needs attention, the most pressing first: its kind and one line.
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
        return "\n".join([*lines, *(f"  {said}" for said in self.attention.values())])


def report(
    dataset: Dataset,
    path: str | Path,
    *,
    recipe: Recipe | None = None,
    test: Dataset | None = None,
    near: int | None = 4,
    symmetries: bool = True,
    hash: str = "phash",
    title: str | None = None,
    notes: Iterable[str] = (),
) -> Report:
    """One self-contained HTML page on a data set, as it is given.

    What needs attention, class counts, every duplicate group with its pictures, a gallery of each
    class, before and after each step, what RandAugment drew, the recipe and the versions. It is
    below 5 MB, asks for no network, and an earlier page at the path is replaced. Equal data sets
    make equal pages. `docs/report.md` has the measures and their limits.

    Parameters
    ----------
    dataset : Dataset
        Bad files are left out and listed. Of images with copies that a step made, the first is
        looked at.
    path : str or Path
        Of the page; its folder is made.
    recipe : Recipe, optional
        Of which every step is shown on these images, without a run. Default: the steps that the
        data set has.
    test : Dataset, optional
        Images of the same size; those that stand in both are shown as leaks.
    near : int or None
    symmetries : bool
    hash : str
        What counts as a duplicate, as in `find_duplicates`; here near and turned copies do.
    title : str, optional
        Default: the name of the path that was read.
    notes : iterable of str
        Sentences to stand below the title.

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
    (24, {'few': '8 classes of fewer than 20 images'})
    """
    check_dataset(dataset)
    if test is not None:
        check_dataset(test)
    if recipe is not None and not isinstance(recipe, Recipe):
        raise CellprepError(f"`recipe` must be a Recipe, got {recipe!r}")
    target = as_path(path)
    if target.is_dir():
        raise CellprepError(
            f"{str(target)!r} is a folder; name the page to write, such as "
            f"{str(target / 'report.html')!r}"
        )
    from . import attention, page
    from .gather import gather

    page.require()
    source = dataset.source.path
    found = gather(
        dataset,
        recipe=recipe,
        test=test,
        search=Search(near, symmetries, hash),
        title=title or (source.name if source is not None else "images in memory"),
        notes=notes,
    )
    told = attention.alerts(found)
    html, pictures = page.render(found, told)
    make_folder(target.parent)
    with atomic_write(target) as temporary:
        temporary.write_bytes(html)
    said = {alert.key: alert.title for alert in told}
    return Report(target, found.images, pictures, len(html), said)
