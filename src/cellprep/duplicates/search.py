"""Repeated images: proposed by digests and hashes, confirmed on pixels, shown as a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Images, Masks, Positions
from ..dataset.dataset import Dataset, as_dataset, check_dataset
from ..errors import CellprepError
from ..kernels import SYMMETRIES
from ..plan import policies
from ..plan.digests import digest, prefilter_digest
from ..plan.nodes import Node
from ..plan.plan import Plan
from ..plan.rows import SAME
from ..system import executors
from . import near
from .near import Search

if TYPE_CHECKING:
    import pandas as pd


def exact_groups(plan: Plan) -> tuple[Plan, policies.Groups]:
    """The groups of rows with the same pixels, and the plan that knows them.

    Digests propose, pixels decide: rows whose digests agree are compared byte by byte with the
    first of them, so a collision splits into the groups that it hid.
    """
    if SAME in plan.rows.columns:
        return plan, policies.equal_rows(plan.rows.columns[SAME][:, None])
    # Digests and comparisons hold the interpreter's lock: threads only pay where images are made.
    with executors.in_this_thread() if plan.is_unprocessed else nullcontext():
        plan, proposed = _proposed(plan)
        groups = _confirmed(plan, proposed)
    same = np.where(groups >= 0, groups, int(groups.max(initial=-1)) + 1 + np.arange(len(plan)))
    return plan.with_column(SAME, same), groups


def _proposed(plan: Plan) -> tuple[Plan, policies.Groups]:
    """Groups of rows with one digest.

    Of images at hand a prefilter_digest goes first: equal images have equal middle rows, so an
    image whose middle row is like no other needs no digest.
    """
    if not plan.is_unprocessed or "digest" in plan.rows.columns:
        plan = plan.measure("digest", digest)
        return plan, policies.equal_rows(plan.rows.columns["digest"])
    prefilters = [found for _, found in plan.each(prefilter_digest)]
    alike = np.flatnonzero(policies.equal_rows(np.concatenate(prefilters)[:, None]) >= 0)
    groups = np.full(len(plan), -1, np.int64)
    if len(alike):
        digests = plan.keep(alike).measure("digest", digest).rows.columns["digest"]
        groups[alike] = policies.equal_rows(digests)
    return plan, groups


def _confirmed(plan: Plan, proposed: policies.Groups) -> policies.Groups:
    confirmed = np.full(len(plan), -1, np.int64)
    open_rows = np.flatnonzero(proposed >= 0)
    count = 0
    while len(open_rows):
        group = proposed[open_rows]
        names, first = np.unique(group, return_index=True)
        example = open_rows[first][np.searchsorted(names, group)]
        same = _equal_pixels(plan, open_rows, example)
        found = open_rows[same]
        several = np.bincount(proposed[found], minlength=group.max() + 1)[proposed[found]] > 1
        numbers = np.unique(proposed[found[several]], return_inverse=True)[1]
        confirmed[found[several]] = count + numbers
        count += int(numbers.max(initial=-1)) + 1
        open_rows = open_rows[~same]
    return confirmed


def _equal_pixels(plan: Plan, rows: Positions, others: Positions) -> Masks:
    """Whether the image at each place equals the image at the other place, byte by byte."""
    same = np.ones(len(rows), bool)
    todo = np.flatnonzero(rows != others)
    spans = plan.spans(len(todo))
    calls = executors.run(_Equal(plan.pixels, rows[todo], others[todo]), spans, "comparing")
    for (start, stop), equal in zip(spans, calls, strict=True):
        same[todo[start:stop]] = equal
    return same


@dataclass(frozen=True)
class _Equal:
    """Whether the pairs of a span are equal."""

    pixels: Node
    rows: Positions
    others: Positions

    def __call__(self, span: executors.Span) -> list[bool]:
        images, _ = self.pixels.evaluate(self.rows[slice(*span)])
        examples, place = np.unique(self.others[slice(*span)], return_inverse=True)
        others = [image.tobytes() for image in self.pixels.evaluate(examples)[0]]
        pairs = zip(images, place.tolist(), strict=True)
        return [image.tobytes() == others[other] for image, other in pairs]


@dataclass(frozen=True, eq=False)
class Related:
    """How the rows of a plan belong together; -1 stands for rows that are alone.

    Attributes
    ----------
    groups : (n,) int
        Rows that are duplicates of one another, by the rule of `near.Gathering`.
    tied : (n,) int
        Rows that pairs of duplicates tie together, however long the chain.
    heads : (n,) int
        The first row of each row's group, itself if it is alone.
    relation : (n,) str
        "exact", "symmetry" or "near": what each row is to that first row.
    symmetry : (n,) int
        What turns the first row's image into this one.
    distance : (n,) int
        Of their hashes.
    difference : (n,) float
        Levels that differ between them.
    """

    groups: policies.Groups
    tied: policies.Groups
    heads: Positions
    relation: NDArray[np.str_]
    symmetry: NDArray[np.int64]
    distance: NDArray[np.int64]
    difference: NDArray[np.float64]


def related(plan: Plan, search: Search) -> tuple[Plan, Related]:
    """The duplicates among the rows of a plan, and the plan that knows its equal rows."""
    marks = None
    if search:
        marks = near.measure(plan, search)
        plan = plan.with_column("digest", marks.digests)
    plan, _ = exact_groups(plan)
    n = len(plan)
    order = plan.rows.order()
    # Equal rows are one node; nodes are numbered by the ids of their first rows.
    same = plan.rows.columns[SAME][order]
    _, first, inverse = np.unique(same, return_index=True, return_inverse=True)
    by_first = np.argsort(first)
    number = np.empty(len(first), np.int64)
    number[by_first] = np.arange(len(first))
    node = np.empty(n, np.int64)
    node[order] = number[inverse]
    firsts = order[first[by_first]]

    roots = turned = tied = np.arange(len(firsts))
    turns = np.zeros(len(firsts), np.int64)
    if marks is not None:
        marks = marks.take(firsts)
        shape = plan.shape[:2]
        gathering = near.Gathering(marks, shape)
        if search.symmetries:
            for pairs in _turned_pairs(plan, firsts, marks.invariants):
                gathering.add(pairs, equal=True)
            turned = gathering.roots.copy()
        if search.near is not None:
            for pairs in near.near_pairs(marks, None, search, shape, gathering.roots):
                gathering.add(pairs)
        roots, turns, tied = gathering.roots, gathering.turns, gathering.tied
    root = roots[node]
    heads = firsts[root]
    relation = np.full(n, "exact", "<U8")
    relation[turned[node] == turned[root]] = "symmetry"
    relation[turned[node] != turned[root]] = "near"
    relation[node == root] = "exact"
    # A first image is to itself what its likest duplicate is to it.
    for word in ("near", "symmetry"):
        has = np.zeros(n, bool)
        has[heads[relation == word]] = True
        relation[has & (np.bincount(node, minlength=1)[node] == 1)] = word
    distance, difference = np.zeros(n, np.int64), np.zeros(n)
    far = np.flatnonzero((relation == "near") & (heads != np.arange(n)))
    if marks is not None and search.near is not None and len(far):
        pairs_of = root[far], node[far], turns[node[far]]
        distance[far] = near.hash_distances(marks, marks, *pairs_of, search.near)
        difference[far] = near.compare(marks, marks, *pairs_of, near.scale_of(plan.shape))[:, 1]
    return plan, Related(
        _numbered(root), _numbered(tied[node]), heads, relation, turns[node], distance, difference
    )


def _numbered(names: NDArray[np.int64]) -> policies.Groups:
    """Groups of rows that have one name; a row like no other gets -1."""
    return policies.equal_rows(names[:, None])


def _turned_pairs(
    plan: Plan, rows: Positions, invariants: NDArray[np.uint64]
) -> Iterator[near.Pairs]:
    """Pairs of these rows, none equal, that are equal under a symmetry.

    Those with one invariant are compared with the first of them, what is left over with the next
    first; after a few rounds, which only chance or malice can outlast, by the least digest of all
    turned images.
    """
    proposed = policies.equal_rows(invariants[:, None])
    open_ = np.flatnonzero(proposed >= 0)
    rounds = 0
    while len(open_):
        names, first = np.unique(proposed[open_], return_index=True)
        leader = open_[first][np.searchsorted(names, proposed[open_])]
        follower = open_ != leader
        one, two = leader[follower], open_[follower]
        spans = plan.spans(len(one))
        calls = executors.run(_Turned(plan.pixels, rows[one], rows[two]), spans, "comparing")
        turn = np.concatenate([*calls, np.empty(0, np.int64)]).astype(np.int64)
        found = turn >= 0
        nothing = np.zeros(int(found.sum()))
        if len(nothing):
            yield near.Pairs(one[found], two[found], turn[found], nothing.astype(int), nothing)
        open_ = two[~found]
        rounds += 1
        if rounds == 4 and len(open_):
            spans = plan.spans(len(open_))
            least = [*executors.run(_Least(plan.pixels, rows[open_]), spans, "comparing")]
            proposed[open_] = policies.equal_rows(np.concatenate(least))
            open_ = open_[proposed[open_] >= 0]


@dataclass(frozen=True)
class _Turned:
    """The symmetries of the pairs of a span."""

    pixels: Node
    rows: Positions
    others: Positions

    def __call__(self, span: executors.Span) -> NDArray[np.int64]:
        from ..kernels.hashing import symmetry

        images, place = _evaluated(self.pixels, self.rows[slice(*span)])
        others, _ = _evaluated(self.pixels, self.others[slice(*span)])
        return symmetry.matching(others, images, place)


@dataclass(frozen=True)
class _Least:
    """The least digest of each image of a span and its turned images."""

    pixels: Node
    rows: Positions

    def __call__(self, span: executors.Span) -> NDArray[np.uint64]:
        from ..kernels.hashing import symmetry

        images, _ = self.pixels.evaluate(self.rows[slice(*span)])
        turns = symmetry.symmetries_of(*images.shape[1:3])
        found = np.stack([digest(symmetry.turned(images, turn)) for turn in turns])
        least = np.lexsort((found[..., 1], found[..., 0]), axis=0)[0]
        return np.asarray(found[least, np.arange(len(images))])


def _evaluated(pixels: Node, rows: Positions) -> tuple[Images, Positions]:
    """The different images of these rows, and which is whose."""
    wanted, place = np.unique(rows, return_inverse=True)
    if len(wanted) == len(rows):
        wanted, place = rows, np.arange(len(rows))
    return np.ascontiguousarray(pixels.evaluate(wanted)[0]), place


def find_duplicates(
    images: Dataset | ArrayLike,
    labels: ArrayLike | None = None,
    *,
    near: int | None = None,
    symmetries: bool = False,
    hash: str = "phash",
) -> pd.DataFrame:
    """Every image that stands more than once, with the labels that it stands under.

    Images are duplicates when all their pixels are equal; if asked, also when they are so under a
    flip or quarter turn, and when one is a processed copy of the other: compressed, resized, moved
    by a few pixels, noisier, brighter. `docs/duplicates.md` has the definitions and figures.

    Parameters
    ----------
    images : Dataset or (n, height, width, 3) uint8
    labels : (n,), (n, 1) or one-hot (n, classes), optional
        For arrays; conflicts are found among them.
    near : int, optional
        Look for near duplicates: all pairs whose perceptual hashes differ in at most this many of
        their 64 bits, 0 to 24, are compared on pixels. 4 finds what processing leaves; larger
        numbers cost more and find little else.
    symmetries : bool
        Count the 8 flips and quarter turns, also of near duplicates.
    hash : "phash", "dhash", "ahash" or "whash"
        Definition of the hash, bit for bit that of the library imagehash.

    Returns
    -------
    DataFrame
        One row an image of a group: `id`, `copy`, `label`, `class_name`, `group`; `relation`
        ("exact", "symmetry" or "near") to the group's first image, `symmetry` (what turns that one
        into this, "identity" if nothing), `distance` of their hashes and `difference` (grey levels)
        between them; `conflict` (the group's labels disagree) and `votes`, such as "mono 3, baso
        1". Conflicts come first, then large groups; groups are numbered in this order.

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
    plan, found = related(as_dataset(images, labels)[0].plan, search)
    return _table(plan, found, found.groups)[0]


def find_leaks(
    a: Dataset,
    b: Dataset,
    *,
    near: int | None = None,
    symmetries: bool = False,
    hash: str = "phash",
) -> pd.DataFrame:
    """Images that stand in both of two data sets, such as a training and a test set.

    Parameters
    ----------
    a : Dataset
    b : Dataset
        Of images of one size.
    near : int, optional
    symmetries : bool
    hash : str
        What counts as a duplicate, as in `find_duplicates`.

    Returns
    -------
    DataFrame
        Like that of `find_duplicates`, with the groups that reach over both sets, and a first
        column `part`: "a" or "b".

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
    if a.plan.shape != b.plan.shape:
        raise CellprepError(
            f"images of {a.plan.shape} and {b.plan.shape} cannot be equal; read "
            "both with the same size="
        )
    plan, found = related(Plan.joined(a.plan, b.plan), search)
    in_b = np.arange(len(plan)) >= len(a.plan)
    across = np.intersect1d(found.groups[in_b], found.groups[~in_b])
    groups = np.where(np.isin(found.groups, across), found.groups, -1)
    table, at = _table(plan, found, groups)
    table.insert(0, "part", np.where(in_b[at], "b", "a"))
    return table


def _table(plan: Plan, found: Related, groups: policies.Groups) -> tuple[pd.DataFrame, Positions]:
    """The table of the grouped rows, conflicts and large groups first, and their places."""
    import pandas as pd

    rows, names = plan.rows, np.array(plan.class_names, dtype=object)
    conflict = policies.conflicting(groups, rows.labels)
    inside = np.flatnonzero(groups >= 0)
    size = np.bincount(groups[inside], minlength=1)
    rank = np.empty(len(rows), np.int64)
    rank[rows.order()] = np.arange(len(rows))
    first = np.full(len(size), len(rows))
    np.minimum.at(first, groups[inside], rank[inside])
    group = groups[inside]
    at = inside[np.lexsort((rank[inside], first[group], -size[group], ~conflict[inside]))]
    numbers, place = np.unique(groups[at], return_index=True)
    shown = np.empty(len(size), np.int64)
    shown[numbers[np.argsort(place)]] = np.arange(len(numbers))
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
