"""Tables of duplicates within a data set, and between two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Positions
from ..dataset.dataset import Dataset, as_dataset, check_dataset
from ..errors import CellprepError
from ..kernels import SYMMETRIES, Hash
from ..plan.groups import Groups
from ..plan.plan import Plan
from ..system import executors
from ..system.paths import check_shared
from . import policies
from .relations import Related, related
from .settings import Search

if TYPE_CHECKING:
    import pandas as pd


def find_duplicates(
    images: Dataset | ArrayLike,
    labels: ArrayLike | None = None,
    *,
    near: int | None = None,
    symmetries: bool = False,
    hash: Hash = "phash",
    executor: str | None = None,
    workers: int | None = None,
    address: str | None = None,
) -> pd.DataFrame:
    """List every image that occurs more than once, with its labels.

    Images are duplicates if all their pixels are equal. On request, they also are if one is a flip
    or quarter turn of the other, or a processed copy: compressed, resized, shifted by a few pixels,
    noisier, brighter. `docs/duplicates.md` has definitions and figures.

    Parameters
    ----------
    images : Dataset or (n, height, width, 3) uint8
    labels : (n,), (n, 1) or one-hot (n, classes), optional
        For arrays; groups whose labels disagree are marked as conflicts.
    near : int, optional
        Find near duplicates: all pairs whose perceptual hashes differ in at most this many of
        their 64 bits, 0 to 24, are compared by their pixels. 4 finds processed copies; larger
        values cost more and find little more.
    symmetries : bool
        Count the 8 flips and quarter turns, also of near duplicates.
    hash : "phash", "dhash", "ahash" or "whash"
        Definition of the hash, bit for bit that of the library imagehash.
    executor : "threads", "processes" or "ray"
        What reads the images. Default: threads. With Ray, more than a million images are also
        grouped on the cluster (`docs/scaling.md`).
    workers : int, optional
    address : str, optional
        As in `write`.

    Returns
    -------
    DataFrame
        One row per image of a group: `id`, `copy`, `label`, `class_name`, `group`; `relation`
        ("exact", "symmetry" or "near") to the group's first image, `symmetry` (what turns that
        image into this one, or "identity"), `distance` of their hashes and `difference` (grey
        levels) between them; `conflict` (the group's labels disagree) and `votes`, such as "mono 3,
        baso 1". Conflicts come first, then large groups; groups are numbered in this order. Groups
        whose images have all been decided on (see `Decide`) are left out.

    Examples
    --------
    >>> images = np.zeros((3, 8, 8, 3), np.uint8)
    >>> images[1] = 255
    >>> find_duplicates(images, ["a", "b", "b"])[["id", "class_name", "group", "votes"]]
       id class_name  group     votes
    0   0          a      0  a 1, b 1
    1   2          b      0  a 1, b 1
    """
    search = Search(near, symmetries, hash)
    dataset, _ = as_dataset(images, labels)
    with _working(executor, workers, address, dataset):
        plan, found = related(dataset.plan, search)
    groups = policies.undecided(found.groups, plan.table.take(found.at).decided)
    return table_of_groups(plan, found, groups)[0]


def find_leaks(
    a: Dataset,
    b: Dataset,
    *,
    near: int | None = None,
    symmetries: bool = False,
    hash: Hash = "phash",
    executor: str | None = None,
    workers: int | None = None,
    address: str | None = None,
) -> pd.DataFrame:
    """List images that occur in both of two data sets, such as a training and a test set.

    Parameters
    ----------
    a : Dataset
    b : Dataset
        With images of the same size.
    near : int, optional
    symmetries : bool
    hash : str
        What counts as a duplicate, as in `find_duplicates`.
    executor : str, optional
    workers : int, optional
    address : str, optional
        As in `find_duplicates`.

    Returns
    -------
    DataFrame
        As from `find_duplicates`, but with only the groups that contain images of both sets, and
        with a first column `part`: "a" or "b".

    Examples
    --------
    >>> image = np.zeros((1, 8, 8, 3), np.uint8)
    >>> train = Dataset.from_arrays(image, ["cell"])
    >>> find_leaks(train, train)["part"].tolist()
    ['a', 'b']
    """
    search = Search(near, symmetries, hash)
    check_dataset(a)
    check_dataset(b)
    with _working(executor, workers, address, a, b):
        if a.plan.shape != b.plan.shape:
            raise CellprepError(
                f"images of {a.plan.shape} and {b.plan.shape} cannot be equal; read "
                "both with the same size="
            )
        plan, found = related(Plan.joined(a.plan, b.plan), search)
    in_b = np.arange(len(plan))[found.at] >= len(a.plan)
    across = np.intersect1d(found.groups[in_b], found.groups[~in_b])
    groups = np.where(np.isin(found.groups, across), found.groups, -1)
    table, at = table_of_groups(plan, found, groups)
    table.insert(0, "part", np.where(in_b[at], "b", "a"))
    return table


@contextmanager
def _working(
    executor: str | None, workers: int | None, address: str | None, *datasets: Dataset
) -> Iterator[None]:
    """Read images as asked for; if nothing is asked for, as the caller of this function does."""
    if executor is None and workers is None and address is None:
        yield
        return
    with executors.using(executor or "threads", workers, address=address):
        if not executors.share_memory():
            check_shared(*(dataset.source.path for dataset in datasets))
        yield


def table_of_groups(plan: Plan, found: Related, groups: Groups) -> tuple[pd.DataFrame, Positions]:
    """The table of grouped rows, conflicts and large groups first; their positions in `found`."""
    import pandas as pd

    rows, names = plan.table.take(found.at), np.array(plan.class_names, dtype=object)
    conflict = policies.conflicting(groups, rows.labels)
    inside = np.flatnonzero(groups >= 0)
    size = np.bincount(groups[inside], minlength=1)
    rank = np.empty(len(rows), np.int64)
    rank[rows.order()] = np.arange(len(rows))
    first = np.full(len(size), len(rows))
    np.minimum.at(first, groups[inside], rank[inside])
    group = groups[inside]
    at = inside[np.lexsort((rank[inside], first[group], -size[group], ~conflict[inside]))]
    numbers, index = np.unique(groups[at], return_index=True)
    shown = np.empty(len(size), np.int64)
    shown[numbers[np.argsort(index)]] = np.arange(len(numbers))
    table = pd.DataFrame(
        {
            "id": rows.ids[at],
            "copy": rows.copies[at],
            "label": rows.labels[at],
            "class_name": names[rows.labels[at]],
            "group": shown[groups[at]],
            "relation": found.relation[at].astype(object),
            "symmetry": np.array(SYMMETRIES, dtype=object)[found.symmetry[at]],
            "distance": found.distance[at],
            "difference": found.difference[at],
            "conflict": conflict[at],
        }
    )
    votes = policies.votes(table["group"].to_numpy(), table["label"].to_numpy(), plan.class_names)
    table["votes"] = np.array([*votes, ""], dtype=object)[table["group"].to_numpy()]
    return table, at
