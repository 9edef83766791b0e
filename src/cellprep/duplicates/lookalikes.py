"""`find_lookalikes`: different photographs that may show the same cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Masks, Positions
from ..dataset.dataset import Dataset, check_dataset
from ..dataset.views import ImageView
from ..errors import CellprepError, in_range, one_of
from ..plan.plan import Plan
from ..plan.rows import SAME
from .exact import exact_groups
from .keypoints import count_shared
from .neighbours import nearest_pairs, whitened
from .policies import undecided
from .relations import Related
from .search import table_of_groups

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compared_pairs", "find_lookalikes"]


def find_lookalikes(
    data: Dataset,
    features: ArrayLike,
    other: Dataset | None = None,
    other_features: ArrayLike | None = None,
    *,
    neighbours: int = 10,
    matches: int = 24,
    index: str = "exact",
) -> pd.DataFrame:
    """List different photographs that may show the same cell.

    Such pairs escape `find_duplicates`, whose hashes neither survive a rotation by any angle nor a
    shift by a fifth of the image. Candidates are each image's nearest neighbours by the cosine
    similarity of their whitened features; they are look-alikes if enough local features (SIFT)
    agree in position after one image is turned, zoomed and moved. Images with equal pixels are left
    to `find_duplicates`. A look-alike is a suspicion: look at both images.

    Parameters
    ----------
    data : Dataset
    features : (n, d) float
        One row per image, such as from `cellmodels.embed`.
    other : Dataset, optional
    other_features : (m, d) float, optional
        A second data set and its features: find look-alikes across the two only.
    neighbours : int
        Nearest neighbours of each image that are compared, 1 or more. Time grows with it.
    matches : int
        Least number of local features that must agree, 4 to 128. Different cells of one set hardly
        ever share 20.
    index : "exact" or "faiss"
        How neighbours are found. Time of "exact" grows with the square of the number of images;
        "faiss", a graph search for 100,000 and more, misses some.

    Returns
    -------
    DataFrame
        As from `find_duplicates`, with the relation "lookalike", and two more columns: `similarity`
        (cosine) and `matches`, of each image and the one of its group that is most like it. The
        group with most matches comes first; groups whose images have all been decided on (see
        `Decide`) are left out. Across two sets, with a first column `part`: "a" or "b".

    Raises
    ------
    CellprepError
        For features that do not fit the images, settings out of range, and a library that is not
        installed.

    Examples
    --------
    >>> features = cellmodels.embed("efficientnet_lite0", cells)  # doctest: +SKIP
    >>> cp.find_lookalikes(cells, features)[["id", "group", "matches"]]  # doctest: +SKIP
    """
    in_range("neighbours", neighbours, 1, 1000, whole=True)
    in_range("matches", matches, 4, 128, whole=True)
    one_of("index", index, ("exact", "faiss"))
    plan, vectors, in_b = _joined(data, features, other, other_features)
    plan, a, b, similarity, shared = compared_pairs(
        plan, vectors, None if other is None else in_b, neighbours, index
    )
    kept = np.flatnonzero(shared >= matches)
    return _table(plan, a[kept], b[kept], similarity[kept], shared[kept], in_b, other is not None)


def compared_pairs(
    plan: Plan, vectors: NDArray[np.float32], in_b: Masks | None, neighbours: int, index: str
) -> tuple[Plan, Positions, Positions, NDArray[np.float32], NDArray[np.int64]]:
    """Neighbours of unequal pixels: their rows, cosine similarity and shared keypoints.

    With `in_b`, only pairs of a row inside and one outside.
    """
    order = plan.rows.order()  # so that the order of rows does not matter
    ours = np.ones(len(plan), bool) if in_b is None else ~in_b[order]
    first, second = np.flatnonzero(ours), np.flatnonzero(ours if in_b is None else ~ours)
    a, b, similarity = nearest_pairs(whitened(vectors, order), first, second, neighbours, index)
    a, b = order[a], order[b]
    plan, _ = exact_groups(plan)
    same = plan.rows.columns[SAME]
    kept = np.flatnonzero(same[a] != same[b])
    a, b = a[kept], b[kept]
    return plan, a, b, similarity[kept], count_shared(ImageView(plan), a, b)


def _joined(
    data: Dataset, features: ArrayLike, other: Dataset | None, other_features: ArrayLike | None
) -> tuple[Plan, NDArray[np.float32], Masks]:
    """The rows of one or two sets, their features, and which rows are of the second."""
    check_dataset(data)
    vectors = _checked(features, data, "features")
    if other is None:
        if other_features is not None:
            raise CellprepError("`other_features` needs the second data set too: pass `other`")
        return data.plan, vectors, np.zeros(len(data), bool)
    check_dataset(other)
    if other_features is None:
        raise CellprepError("pass the features of the second data set too, as `other_features`")
    theirs = _checked(other_features, other, "other_features")
    if vectors.shape[1] != theirs.shape[1]:
        raise CellprepError(
            f"`features` have {vectors.shape[1]} columns, `other_features` {theirs.shape[1]}; "
            "compute both with the same model"
        )
    if data.plan.shape != other.plan.shape:
        raise CellprepError(
            f"images of {data.plan.shape} and {other.plan.shape} cannot be compared; read both "
            "with the same size="
        )
    in_b = np.arange(len(data) + len(other)) >= len(data)
    return Plan.joined(data.plan, other.plan), np.concatenate([vectors, theirs]), in_b


def _checked(features: ArrayLike, data: Dataset, name: str) -> NDArray[np.float32]:
    try:
        found = np.asarray(features)
    except ValueError:  # rows of different lengths
        found = np.empty(0)
    if found.ndim != 2 or len(found) != len(data) or found.dtype.kind != "f":
        raise CellprepError(
            f"`{name}` must be (n, d) floats, one row for each of the {len(data):,} images, got "
            f"shape {found.shape}, dtype {found.dtype}"
        )
    if found.size and not np.isfinite([found.min(), found.max()]).all():
        raise CellprepError(f"`{name}` must be finite numbers, got NaN or infinity")
    return found.astype(np.float32, copy=False)


def _table(
    plan: Plan,
    a: Positions,
    b: Positions,
    similarity: NDArray[np.float32],
    shared: NDArray[np.int64],
    in_b: Masks,
    across: bool,
) -> pd.DataFrame:
    """The table of confirmed pairs, in groups of rows that they connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(plan)
    joined = coo_array((np.ones(len(a), bool), (a, b)), shape=(n, n))
    groups = connected_components(joined, directed=False)[1].astype(np.int64)
    groups[np.bincount(groups, minlength=1)[groups] == 1] = -1
    if not across:
        groups = undecided(groups, plan.rows.decided)
    best, alike = np.zeros(n, np.int64), np.zeros(n)
    for rows in (a, b):
        np.maximum.at(best, rows, shared)
        np.maximum.at(alike, rows, similarity)
    unrelated, relation = np.zeros(n, np.int64), np.full(n, "lookalike")
    found = groups, groups, unrelated, relation, unrelated, unrelated, np.zeros(n)
    related = Related(slice(None), *found)
    table, at = table_of_groups(plan, related, groups)
    table["similarity"], table["matches"] = alike[at], best[at]
    if across:
        table.insert(0, "part", np.where(in_b[at], "b", "a"))
    most = -table.groupby("group")["matches"].transform("max")
    order = np.lexsort((table["group"], most))
    table = table.iloc[order].reset_index(drop=True)
    table["group"] = table.groupby("group", sort=False).ngroup()
    return table
