"""Stratified parts that share no image and no group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Ids, Labels, Masks, check_ids
from ..dataset.dataset import Dataset, check_dataset
from ..duplicates.near import Search
from ..duplicates.search import related
from ..errors import BadImagesError, CellprepError, check_seed, in_range
from ..plan import policies
from ..plan.draws import Draw
from ..plan.plan import Plan


def split(
    dataset: Dataset,
    *,
    seed: int = 0,
    groups: ArrayLike | str | None = None,
    near: int | None = None,
    symmetries: bool = False,
    **fractions: float,
) -> dict[str, Dataset]:
    """Cut a data set into stratified parts.

    Duplicates and images of one group (patient, slide) always land in the same part; so does all
    that they tie together, however long the chain. Classes are spread over the parts in
    proportion, exactly so for images that stand alone; how far whole groups made a class deviate
    stands in `Dataset.changes()`.

    Parameters
    ----------
    dataset : Dataset
        Not yet balanced or augmented.
    seed : int
    groups : (n,) int or str, "parent" or a regular expression, optional
        What must stay together, beside the groups that the data set itself holds: one value an
        image, the folder that its file lies in, or what a pattern finds in its id (its captured
        groups, if it has any), such as `r"(.*/_\\d+)_"`.
    near : int, optional
    symmetries : bool
        What counts as a duplicate beside equal pixels, as in `find_duplicates`.
    **fractions : float
        Share of each part by its name, such as `train=0.8, val=0.1, test=0.1`; they sum to 1.

    Returns
    -------
    dict of str to Dataset
        The parts, in the order given.

    Raises
    ------
    CellprepError
        When copies were made before (they would leak), when a class has fewer images or groups
        than there are parts, when there is only one class, when a pattern finds nothing in an id.

    Examples
    --------
    >>> images = np.arange(20, dtype=np.uint8)[:, None, None, None] + np.zeros((8, 8, 3), np.uint8)
    >>> cells = Dataset.from_arrays(images, np.arange(20) % 2)
    >>> {name: part.counts() for name, part in split(cells, train=0.8, test=0.2).items()}
    {'train': {'0': 8, '1': 8}, 'test': {'0': 2, '1': 2}}
    """
    check_dataset(dataset)
    check_seed(seed)
    shares = _check_fractions(fractions)
    search = Search(near, symmetries)
    readable = dataset.readable()
    if readable is not dataset and readable.plan.bad:
        raise BadImagesError(
            readable.plan.bad, "Split what can be read: split(cells.readable(), ...)"
        )
    dataset = readable
    _refuse_copies(dataset.plan)
    if not len(dataset):
        raise CellprepError("there is no image left to split; look at .removed()")
    if (dataset.plan.rows.labels == dataset.plan.rows.labels[0]).all():
        raise CellprepError(
            "all images are of one class, "
            f"'{dataset.class_names[int(dataset.labels[0])]}'; a classifier needs "
            "two, so there is nothing to stratify"
        )
    given_groups = _groups_of(groups, dataset.plan.rows.ids)
    plan, found = related(dataset.plan, search)
    holding = [found.tied]
    for given in (plan.rows.groups, given_groups):
        if given is not None:
            holding.append(np.unique(given, return_inverse=True)[1].astype(np.int64))
    units = policies.merge_groups(len(plan), *holding)
    rank = Draw(seed, "split", plan.rows.keys).bits("rank")
    part_of = policies.assign_parts(plan.rows.labels, units, shares, rank, plan.class_names)
    note = _deviation(plan.rows.labels, part_of, shares, plan.class_names)
    return {
        name: dataset.then(_Part(name, seed, shares, part_of == number, note[number]))
        for number, name in enumerate(shares)
    }


def _refuse_copies(plan: Plan) -> None:
    """Promise 7: no leaks."""
    by = plan.multiplied_by
    if by is None and plan.rows.copies.any():
        by = "an earlier step"
    if by:
        raise CellprepError(
            f"splitting after {by} would put copies of one image into two splits; "
            "split first, then balance and augment the training split"
        )


def _groups_of(groups: ArrayLike | str | None, ids: Ids) -> Ids | None:
    """One value an image: as given, the folder of its file, or what a pattern finds in its id."""
    if groups is None:
        return None
    if not isinstance(groups, str):
        return check_ids(groups, len(ids), "groups")
    if groups != "parent":
        return _matched(groups, ids)
    if not any("/" in name for name in ids.astype(str).tolist()):
        raise CellprepError(
            "`groups` = 'parent' needs ids that are paths of files, such as those of an image "
            f"folder, got {ids[0]!r}; pass one value an image"
        )
    return np.array([name.rpartition("/")[0] for name in ids.astype(str).tolist()])


def _matched(text: str, ids: Ids) -> NDArray[Any]:
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
                f"`groups` = {text!r} finds nothing in id {name!r}; a pattern must fit every id"
            )
        found.append("\0".join(word or "" for word in match.groups()) or match.group())
    return np.unique(found, return_inverse=True)[1]


def _deviation(
    labels: Labels, part_of: NDArray[np.int64], shares: dict[str, float], names: Sequence[str]
) -> list[str]:
    """For each part how far the class that deviates most is from its share."""
    share = np.array(list(shares.values()))
    counts = np.zeros((len(share), len(names)))
    np.add.at(counts, (part_of, labels), 1)
    total = np.maximum(counts.sum(axis=0), 1)
    off = 100 * (counts / total - share[:, None])
    off[:, counts.sum(axis=0) == 0] = 0
    worst = np.abs(off).argmax(axis=1)
    return [
        f"class '{names[c]}' deviates most: {100 * counts[p, c] / total[c]:.2f} % of it, "
        f"{100 * share[p]:g} % asked"
        for p, c in enumerate(worst.tolist())
    ]


def _check_fractions(fractions: dict[str, float]) -> dict[str, float]:
    if not fractions:
        raise CellprepError("name the parts and their shares: split(cells, train=0.8, test=0.2)")
    for name, share in fractions.items():
        in_range(name, share, 0, 1)
        if share == 0:
            raise CellprepError(f"`{name}` must have a share above 0, or be left out")
    total = sum(fractions.values())
    if abs(total - 1) > 1e-6:
        raise CellprepError(f"the shares of {', '.join(fractions)} must sum to 1, got {total:g}")
    return fractions


@dataclass(frozen=True, eq=False)
class _Part:
    """The rows of one part."""

    name: str
    seed: int
    shares: dict[str, float]
    inside: Masks
    note: str

    def __call__(self, plan: Plan) -> Plan:
        saved = {"step": "split", "part": self.name, "shares": self.shares}
        gone = {"in other parts": np.flatnonzero(~self.inside)}
        part = plan.begin("split", saved, self.seed).keep(np.flatnonzero(self.inside), gone)
        *before, change = part.changes
        return replace(part, changes=(*before, replace(change, why=f"{change.why}; {self.note}")))

    def __str__(self) -> str:
        return f"split({self.name}={self.shares[self.name]:g})"
