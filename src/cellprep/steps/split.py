"""Stratified splits that share no image and no group."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Ids, Labels, Masks, Positions, check_ids
from ..dataset.dataset import Dataset, check_dataset
from ..duplicates.relations import related
from ..duplicates.settings import Search
from ..errors import BadImagesError, CellprepError, check_seed, counted, in_range
from ..formats.splits import in_order
from ..plan.assignment import assign_splits
from ..plan.draws import Draw
from ..plan.groups import merge_groups
from ..plan.plan import Plan


def split(
    dataset: Dataset,
    *,
    seed: int = 0,
    groups: ArrayLike | str | None = None,
    near: int | None = None,
    symmetries: bool = False,
    folds: int | None = None,
    **fractions: float,
) -> dict[str, Dataset]:
    """Divide a data set into stratified splits, such as train, validation and test.

    Duplicates and images of one group (patient, slide) end up in the same split, as do groups that
    duplicates connect. Each class is divided in proportion: exactly for images without duplicates
    or group, as closely as possible for whole groups. `Dataset.changes()` reports the largest
    deviation.

    A data set with a column of splits on disk (`read(part="all")`) keeps them: without fractions
    they are returned as they are. Fractions then divide the one split that they name, such as
    `train=0.9, val=0.1`, and leave the others whole.

    Parameters
    ----------
    dataset : Dataset
        Not yet balanced or augmented.
    seed : int
    groups : (n,) int or str, "parent" or a regular expression, optional
        What to keep together, in addition to duplicates and the data set's own groups: one value
        per image; the folder of its file; or the match of a pattern in its id (only the captured
        groups, if there are any), such as `r"(.*/_\\d+)_"`.
    near : int, optional
    symmetries : bool
        Which images count as duplicates besides those with equal pixels, as in `find_duplicates`.
    folds : int, optional
        Instead of fractions: this many splits of equal size, "fold_1", "fold_2" and so on, for
        cross-validation. To test on one, train on ``dataset.without(fold.ids)``.
    **fractions : float
        Fraction of each split by its name, such as `train=0.8, val=0.1, test=0.1`; they sum to 1.

    Returns
    -------
    dict of str to Dataset
        The splits, in the order given.

    Raises
    ------
    CellprepError
        If the data set contains copies (which would leak), if a class has fewer images or groups
        than there are splits, if there is only one class, if a pattern does not match an id.

    Examples
    --------
    >>> images = np.arange(20, dtype=np.uint8)[:, None, None, None] + np.zeros((8, 8, 3), np.uint8)
    >>> cells = Dataset.from_arrays(images, np.arange(20) % 2)
    >>> {name: part.counts() for name, part in split(cells, train=0.8, test=0.2).items()}
    {'train': {'0': 8, '1': 8}, 'test': {'0': 2, '1': 2}}
    """
    check_dataset(dataset)
    check_seed(seed)
    if folds is not None:
        fractions = _equal_shares(dataset, folds, fractions)
    if dataset.parts is not None:
        return _split_on_disk(dataset, fractions, seed, groups, Search(near, symmetries))
    shares = _check_fractions(fractions)
    search = Search(near, symmetries)
    dataset = _check_can_be_split(dataset)
    by_argument = _groups_of(groups, dataset.plan.rows.ids)
    plan, found = related(dataset.plan, search)
    groupings = [found.of_all(found.components, len(plan))]
    for values in (plan.rows.groups, by_argument):
        if values is not None:
            groupings.append(np.unique(values, return_inverse=True)[1].astype(np.int64))
    units = merge_groups(len(plan), *groupings)
    rank = Draw(seed, "split", plan.rows.keys).bits("rank")
    assigned = assign_splits(plan.rows.labels, units, shares, rank, plan.class_names)
    deviations = _largest_deviations(plan.rows.labels, assigned, shares, plan.class_names)
    return {
        name: dataset.then(_Split(name, seed, shares, assigned == number, deviations[number]))
        for number, name in enumerate(shares)
    }


def _split_on_disk(
    dataset: Dataset,
    fractions: dict[str, float],
    seed: int,
    groups: ArrayLike | str | None,
    search: Search,
) -> dict[str, Dataset]:
    """The splits on disk; one of them divided, if there are fractions."""
    dataset = _check_can_be_split(dataset)
    plan, found = related(dataset.plan, search)
    assert plan.rows.parts is not None
    parts, group = plan.rows.parts, found.of_all(found.components, len(plan))
    names = in_order(parts.tolist())
    named = [name for name in names if name in fractions]
    if fractions and len(named) != 1:
        raise CellprepError(
            f"the data set has the splits {', '.join(names)}; fractions must name the one to "
            "divide, and new splits, as in split(cells, train=0.9, tune=0.1); without fractions "
            "they stay as they are"
        )
    whole = {}
    for name in names:
        inside = parts == name
        shared = inside & np.isin(group, group[~inside]) & (group >= 0)
        leaks = f"{counted(int(shared.sum()), 'image')} also in other splits"
        whole[name] = dataset.then(_Split(name, seed, {name: 1.0}, inside, leaks))
    if not fractions:
        return whole
    (divided,) = named
    at = np.flatnonzero(parts == divided)
    values = groups if groups is None or isinstance(groups, str) else np.asarray(groups)[at]
    one = dataset.then(_WithoutParts(at))
    shares: dict[str, Any] = dict(fractions)
    new = split(
        one, seed=seed, groups=values, near=search.near, symmetries=search.symmetries, **shares
    )
    return {**new, **{name: each for name, each in whole.items() if name != divided}}


@dataclass(frozen=True, eq=False)
class _WithoutParts:
    """Keeps some rows, of one split on disk, which is to be divided."""

    at: Positions

    def __call__(self, plan: Plan) -> Plan:
        kept = plan.keep(self.at)
        return kept.with_values(parts=None)

    def __str__(self) -> str:
        return "one split"


def _equal_shares(dataset: Dataset, folds: int, fractions: dict[str, float]) -> dict[str, float]:
    in_range("folds", folds, 2, 1000, whole=True)
    if dataset.parts is not None:
        raise CellprepError("`folds` divide one split; read that one alone, such as part='train'")
    if fractions:
        raise CellprepError(
            f"`folds` are equal splits, so omit the fractions of {', '.join(fractions)}"
        )
    return {f"fold_{k}": 1 / folds for k in range(1, folds + 1)}


def _check_fractions(fractions: dict[str, float]) -> dict[str, float]:
    if not fractions:
        raise CellprepError("give the fraction of each split: split(cells, train=0.8, test=0.2)")
    _check_names(fractions)
    for name, share in fractions.items():
        in_range(name, share, 0, 1)
        if share == 0:
            raise CellprepError(f"`{name}` must be a fraction above 0, got 0; omit an empty split")
    total = sum(fractions.values())
    if abs(total - 1) > 1e-6:
        raise CellprepError(f"the fractions of {', '.join(fractions)} must sum to 1, got {total:g}")
    return fractions


_SETTINGS = ("seed", "groups", "near", "symmetries", "folds")
_OF_SKLEARN = {
    **{f"{name}_size": f"{name}=0.8" for name in ("train", "val", "valid", "test")},
    **{"random_state": "seed=0", "stratify": "nothing: splits are always stratified"},
    **{"shuffle": "seed=, which decides what is in each split", "n_splits": "folds=5"},
}


def _check_names(fractions: dict[str, float]) -> None:
    """Refuse names of settings of scikit-learn, and misspelt settings of `split`.

    A name is taken for a misspelt setting only if the values are no fractions that sum to 1.
    """
    for name in fractions:
        if name in _OF_SKLEARN:
            raise CellprepError(f"`{name}` is scikit-learn's; pass {_OF_SKLEARN[name]}")
    values = [*fractions.values()]
    if all(isinstance(v, int | float) and v > 0 for v in values) and abs(sum(values) - 1) <= 1e-6:
        return
    for name in fractions:
        for alike in difflib.get_close_matches(name, _SETTINGS, n=1, cutoff=0.7):
            raise CellprepError(
                f"a split cannot be called {name!r}, which looks like the setting `{alike}`"
            )


def _check_can_be_split(dataset: Dataset) -> Dataset:
    """The readable images, unless some were listed as bad, were copied, or are of one class."""
    readable = dataset.readable()
    if readable is not dataset and readable.plan.bad:
        raise BadImagesError(
            readable.plan.bad, "To split the readable images: split(cells.readable(), ...)"
        )
    plan = readable.plan
    _refuse_copies(plan)
    if not len(readable):
        raise CellprepError("there are no images to split; .removed() lists why")
    if (plan.rows.labels == plan.rows.labels[0]).all():
        raise CellprepError(
            f"all images are of one class, '{plan.class_names[int(plan.rows.labels[0])]}'; "
            "a classifier needs at least two"
        )
    return readable


def _refuse_copies(plan: Plan) -> None:
    """Copies of one image in several splits would be leaks."""
    by = plan.multiplied_by
    if by is None and plan.rows.copies.any():
        by = "an earlier step"
    if by:
        raise CellprepError(
            f"splitting after {by} would put copies of one image into two splits; "
            "split first, then balance and augment the training split"
        )


def _groups_of(groups: ArrayLike | str | None, ids: Ids) -> Ids | None:
    """One value per image: as given, the folder of its file, or a match in its id."""
    if groups is None:
        return None
    if not isinstance(groups, str):
        return check_ids(groups, len(ids), "groups")
    if groups != "parent":
        return _matches(groups, ids)
    names = ids.astype(str).tolist()
    if not any("/" in name for name in names):
        raise CellprepError(
            "`groups` = 'parent' needs ids that are file paths, such as those of an image folder, "
            f"got {names[0]!r}; pass one value per image"
        )
    return np.array([name.rpartition("/")[0] for name in names])


def _matches(text: str, ids: Ids) -> NDArray[Any]:
    """The number of the match of a pattern in each id."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise CellprepError(
            f"`groups` = {text!r} is neither 'parent' nor a regular expression: {error}"
        ) from None
    found = []
    for name in ids.astype(str).tolist():
        match = pattern.search(name)
        if match is None:
            raise CellprepError(
                f"`groups` = {text!r} does not match id {name!r}; a pattern must match every id"
            )
        found.append("\0".join(word or "" for word in match.groups()) or match.group())
    return np.unique(found, return_inverse=True)[1]


def _largest_deviations(
    labels: Labels, assigned: NDArray[np.int64], shares: dict[str, float], names: Sequence[str]
) -> list[str]:
    """For each split, the class whose fraction is furthest from the requested one."""
    requested = np.array(list(shares.values()))
    counts = np.zeros((len(requested), len(names)))
    np.add.at(counts, (assigned, labels), 1)
    total = np.maximum(counts.sum(axis=0), 1)
    deviation = 100 * (counts / total - requested[:, None])
    deviation[:, counts.sum(axis=0) == 0] = 0
    worst = np.abs(deviation).argmax(axis=1)
    return [
        f"largest deviation: {names[label]}, {100 * counts[number, label] / total[label]:.2f} % "
        f"({100 * requested[number]:g} % requested)"
        for number, label in enumerate(worst.tolist())
    ]


@dataclass(frozen=True, eq=False)
class _Split:
    """Keeps the rows of one split."""

    name: str
    seed: int
    shares: dict[str, float]
    inside: Masks
    deviation: str

    def __call__(self, plan: Plan) -> Plan:
        saved = {"step": "split", "part": self.name, "shares": self.shares}
        removed = {"in other splits": np.flatnonzero(~self.inside)}
        kept = plan.begin("split", saved, self.seed).keep(np.flatnonzero(self.inside), removed)
        *before, change = kept.changes
        noted = replace(change, why=f"{change.why}; {self.deviation}")
        return replace(kept, changes=(*before, noted))

    @property
    def rows(self) -> int:
        return int(self.inside.sum())

    def __str__(self) -> str:
        return f"split({self.name}={self.shares[self.name]:g})"
