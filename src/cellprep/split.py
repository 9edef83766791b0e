"""Stratified parts that share no image and no group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import rules
from .arrays import Masks, check_ids
from .dataset import Dataset, check_dataset
from .draws import Draw, check_seed
from .duplicates import exact_groups
from .errors import BadImagesError, CellprepError, in_range
from .plan import Plan


def split(
    dataset: Dataset, *, seed: int = 0, groups: ArrayLike | None = None, **fractions: float
) -> dict[str, Dataset]:
    """Cut a data set into stratified parts.

    Equal images and images of one group (patient, slide) always land in the same part; so do
    groups that equal images tie together. Classes are spread over the parts in proportion, exactly
    so for images that stand alone.

    Parameters
    ----------
    dataset : Dataset
        Not yet balanced or augmented.
    seed : int
    groups : (n,) int or str, optional
        What must stay together, beside the groups that the data set itself holds.
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
        than there are parts, when there is only one class.

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
    readable = dataset.readable()
    if readable is not dataset and readable.plan.bad:
        raise BadImagesError(
            readable.plan.bad, "Split what can be read: split(cells.readable(), ...)"
        )
    dataset = readable
    dataset.plan.refuse_if_multiplied("splitting")
    if not len(dataset):
        raise CellprepError("there is no image left to split; look at .removed()")
    if (dataset.plan.rows.labels == dataset.plan.rows.labels[0]).all():
        raise CellprepError(
            "all images are of one class, "
            f"'{dataset.class_names[int(dataset.labels[0])]}'; a classifier needs "
            "two, so there is nothing to stratify"
        )
    plan, repeated = exact_groups(dataset.plan)
    holding = [repeated]
    for given in (
        plan.rows.groups,
        None if groups is None else check_ids(groups, len(plan), "groups"),
    ):
        if given is not None:
            holding.append(np.unique(given, return_inverse=True)[1].astype(np.int64))
    units = rules.merge_groups(len(plan), *holding)
    rank = Draw(seed, "split", plan.rows.keys).bits("rank")
    part_of = rules.assign_parts(plan.rows.labels, units, shares, rank, plan.class_names)
    return {
        name: dataset.then(_Part(name, seed, shares, part_of == number))
        for number, name in enumerate(shares)
    }


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

    def __call__(self, plan: Plan) -> Plan:
        saved = {"step": "split", "part": self.name, "shares": self.shares}
        gone = {"in other parts": np.flatnonzero(~self.inside)}
        return plan.begin("split", saved, self.seed).keep(np.flatnonzero(self.inside), gone)

    def __str__(self) -> str:
        return f"split({self.name}={self.shares[self.name]:g})"
