"""Images that are copies of others but for a symmetry or some processing: proposed by hashes,
confirmed on pixels, gathered into groups.

Everything here works on `Marks`, a few numbers and a small picture of each image, measured in one
pass. The order of rows does not matter: whoever calls numbers the images by their ids.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Positions
from ..errors import in_range, one_of
from ..kernels import HASHES, SIDE
from ..plan.digests import digest
from ..plan.plan import Plan
from ..system import executors

_CHUNK = 1 << 14  # pairs confirmed at a time
_SPOOLED = 256 << 20  # bytes of small pictures above which they go to a file
_SLACK = 1.5  # two copies of one image differ by the root of 2 more than each from it
_COMPARED = 32  # images of a group that others are compared with
_FLAT = 0.5  # levels of detail below which there is nothing to compare


@dataclass(frozen=True)
class Search:
    """What counts as a duplicate beside equal pixels.

    Parameters
    ----------
    near : int or None
        Largest Hamming distance of the perceptual hashes of a pair that is looked at, 0 to 24.
    symmetries : bool
        Whether flips and quarter turns count, alone and together with `near`.
    hash : "phash", "dhash", "ahash" or "whash"
        The definition of the hash.
    """

    near: int | None = None
    symmetries: bool = False
    hash: str = "phash"

    def __post_init__(self) -> None:
        if self.near is not None:
            in_range("near", self.near, 0, 24, whole=True)
        if not isinstance(self.symmetries, (bool, np.bool_)):
            one_of("symmetries", self.symmetries, ("True", "False"))
        one_of("hash", self.hash, HASHES)

    def __bool__(self) -> bool:
        return self.near is not None or bool(self.symmetries)


@dataclass(frozen=True, eq=False)
class Marks:
    """What is kept of each image; those that the search does not need are empty.

    Attributes
    ----------
    digests : (n, 2) uint64
    invariants : (n,) uint64
        Equal for images that are equal under a symmetry.
    hashes : (n,) uint64
        The perceptual hash.
    windows : (n, 9) uint64
        Hashes of the middle, and of windows around it.
    plain : (n,) bool
        Without detail to compare.
    pictures : (m, 48, 48) uint8
        Mean luminance.
    places : (n,) int
        Which of the pictures is whose; they may lie in a file.
    """

    digests: NDArray[np.uint64]
    invariants: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    windows: NDArray[np.uint64]
    plain: NDArray[np.bool_]
    pictures: NDArray[np.uint8]
    places: Positions

    @classmethod
    def empty(cls, n: int, search: Search) -> Marks:
        """Room for the marks of n images; many pictures go to a file without a name."""
        near = n if search.near is not None else 0
        shape = (near, SIDE, SIDE)
        pictures: NDArray[np.uint8]
        if near * SIDE * SIDE > _SPOOLED:
            with tempfile.TemporaryFile() as file:
                pictures = np.memmap(file, np.uint8, "w+", shape=shape)
        else:
            pictures = np.empty(shape, np.uint8)
        return cls(
            np.empty((n, 2), np.uint64),
            np.empty(n if search.symmetries else 0, np.uint64),
            np.empty(near, np.uint64),
            np.empty((near, 9), np.uint64),
            np.empty(near, bool),
            pictures,
            np.arange(near),
        )

    def __len__(self) -> int:
        return len(self.digests)

    def take(self, at: Positions) -> Marks:
        """Those of the images at these places; the pictures stay where they are."""
        taken = {
            field.name: getattr(self, field.name)[at]
            for field in fields(self)
            if field.name != "pictures" and len(getattr(self, field.name))
        }
        return replace(self, **taken)

    def joined(self, others: Marks) -> Marks:
        """These and the others."""
        both = {
            field.name: np.concatenate([getattr(self, field.name), getattr(others, field.name)])
            for field in fields(self)
        }
        both["places"][len(self.places) :] += len(self.pictures)
        return Marks(**both)

    def details(self, at: Positions) -> NDArray[np.float32]:
        """What can be compared of the images at these places."""
        from ..kernels.hashing import nearness

        return nearness.details(np.ascontiguousarray(self.pictures[self.places[at]]))


def measure(plan: Plan, search: Search) -> Marks:
    """The marks of all rows, their pixels read once."""
    marks = Marks.empty(len(plan), search)
    for (start, stop), found in plan.each(Marking(search), "looking for duplicates"):
        for field in fields(Marks):
            values = getattr(found, field.name)
            if len(values) and field.name != "places":
                getattr(marks, field.name)[start:stop] = values
    return marks


@dataclass(frozen=True)
class Marking:
    """The marks of a batch."""

    search: Search

    def __call__(self, images: Images) -> Marks:
        from ..kernels.hashing import nearness, perceptual, symmetry

        images = np.ascontiguousarray(images)
        marks = Marks.empty(len(images), self.search)
        marks.digests[:] = digest(images)
        if self.search.symmetries:
            marks.invariants[:] = symmetry.invariants(images)
        if self.search.near is not None:
            scale = nearness.Scale.of(*images.shape[1:3])
            marks.hashes[:] = perceptual.perceptual_hashes(images, self.search.hash)
            marks.pictures[:] = nearness.thumbnails(images)
            marks.windows[:] = nearness.window_hashes(marks.pictures, scale.step)
            marks.plain[:] = marks.details(marks.places).std(axis=(1, 2)) < _FLAT
        return marks


# -- pairs --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pairs:
    """Confirmed pairs: turned by `symmetry`, image `first` is a copy of image `second`.

    `distance` is that of the hashes that proposed them, `difference` the levels that differ.
    """

    first: Positions
    second: Positions
    symmetry: NDArray[np.int64]
    distance: NDArray[np.int64]
    difference: NDArray[np.float64]

    def take(self, at: Any) -> Pairs:
        """Those at these places."""
        return Pairs(*(getattr(self, field.name)[at] for field in fields(self)))


def near_pairs(
    marks: Marks,
    others: Marks | None,
    search: Search,
    shape: tuple[int, int],
    roots: Positions | None = None,
) -> Iterator[Pairs]:
    """Near pairs, within one set or between two, run by run.

    Two images are near when their hashes differ in at most `search.near` bits, or those of the
    middle of one and of a window of the other, turned if symmetries count; and when no more of
    their detail differs than processing leaves (`kernels.nearness`).

    `roots` may change from run to run: pairs with one root are left out.
    """
    from ..kernels.hashing import nearness, symmetry

    scale = nearness.Scale.of(*shape)
    inverse = np.array(symmetry.INVERSE)
    for first, second, turn, distance in _candidates(marks, others, search, shape, roots):
        if others is None:
            back = first > second
            first, second = np.minimum(first, second), np.maximum(first, second)
            turn = np.where(back, inverse[turn], turn)
        # One pair may be proposed more than once, and under several symmetries.
        at = firsts(np.lexsort((distance, turn, second, first)), first, second, turn)
        first, second, turn, distance = first[at], second[at], turn[at], distance[at]
        found = compare(marks, marks if others is None else others, first, second, turn, scale)
        copies = np.flatnonzero(nearness.are_copies(found, scale))
        order = copies[np.lexsort((found[copies, 1], second[copies], first[copies]))]
        at = firsts(order, first, second)
        at = at[np.lexsort((second[at], first[at], found[at, 1]))]
        if len(at):
            yield Pairs(first[at], second[at], turn[at], distance[at], found[at, 1])


def firsts(order: Positions, *columns: NDArray[Any]) -> Positions:
    """Of places in an order the first of each run that is equal in these columns."""
    new = np.zeros(len(order), bool)
    new[:1] = True
    for column in columns:
        new[1:] |= np.diff(column[order]) != 0
    return order[new]


def compare(
    marks: Marks,
    others: Marks,
    first: Positions,
    second: Positions,
    turn: NDArray[np.int64],
    scale: Any,
) -> NDArray[np.float64]:
    """(n, 2): detail and difference of every pair, the first image turned."""
    from ..kernels.hashing import nearness

    found = np.empty((len(first), 2))
    for start in range(0, len(first), _CHUNK):
        here = slice(start, start + _CHUNK)
        wanted, place = np.unique(first[here], return_inverse=True)
        other_wanted, other_place = np.unique(second[here], return_inverse=True)
        found[here] = nearness.differences(
            marks.details(wanted),
            others.details(other_wanted),
            np.stack([place, other_place, turn[here]], axis=1),
            scale.step,
        )
    return found


def _candidates(
    marks: Marks,
    others: Marks | None,
    search: Search,
    shape: tuple[int, int],
    roots: Positions | None,
) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Pairs that hashes propose: first, second, symmetry of the first, distance."""
    from ..kernels.hashing import nearness, symmetry

    assert search.near is not None
    same = others is None
    others = marks if others is None else others
    here, there = np.flatnonzero(~marks.plain), np.flatnonzero(~others.plain)
    turns = symmetry.symmetries_of(*shape) if search.symmetries else (symmetry.IDENTITY,)
    yield from _expanded(
        (marks.hashes[here], here),
        None if same else (others.hashes[there], there),
        search.near,
        symmetry.IDENTITY,
        False,
        same,
        roots,
    )
    middle = (marks.windows[here, 0], here)
    other_middle = (others.windows[there, 0], there)
    for turn in turns:
        # The first image turned: its windows against the middles of the second ...
        windows = nearness.turned_hashes(marks.windows[here], turn).T.ravel()
        moved = (windows, np.tile(here, 9))
        yield from _expanded(other_middle, moved, search.near, turn, True, same, roots)
        if not same:  # ... and its middle against the windows of the second
            windows = nearness.turned_hashes(others.windows[there], symmetry.INVERSE[turn])
            moved = (windows.T.ravel(), np.tile(there, 9))
            yield from _expanded(middle, moved, search.near, turn, False, same, roots)


def _expanded(
    table: tuple[Any, Positions],
    queries: tuple[Any, Positions] | None,
    distance: int,
    turn: int,
    swapped: bool,
    same: bool,
    roots: Positions | None,
) -> Iterator[tuple[Any, Any, Any, Any]]:
    """The pairs of rows behind close pairs of hashes; equal hashes are compared once.

    With `swapped` the queries are the first images of the pairs. Without queries the pairs are
    those of the table with itself.
    """
    from ..kernels.hashing import pairs

    runs = _runs(*table)
    other_runs = runs if queries is None else _runs(*queries)
    several = np.flatnonzero(np.diff(runs[1]) > 1)
    equal = [(several, several, np.zeros(len(several), np.int64))] if queries is None else []
    close = pairs.close_pairs(
        runs[0], None if queries is None else other_runs[0], distance, executors.usable_cores()
    )
    left_out = np.empty(0, np.int64) if roots is None else roots
    kind = int(same) + (queries is None)
    for found in itertools.chain(equal, close):
        cursor = np.zeros(2, np.int64)
        while cursor[0] < len(found[0]):
            one, two, apart = pairs.expand(
                *found, *runs[1:], *other_runs[1:], left_out, kind, cursor, _CHUNK
            )
            if swapped:
                one, two = two, one
            if len(one):
                yield one, two, np.full(len(one), turn), apart


def _runs(hashes: Any, rows: Positions) -> tuple[Any, NDArray[np.int64], Positions]:
    """Different hashes, where the rows of each begin, and the rows."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    starts = np.append(np.flatnonzero(new), len(ordered))
    return ordered[new], starts, rows[order]


# -- groups -------------------------------------------------------------------------------------


class Gathering:
    """Groups of images, made of pairs taken one by one, the likest first.

    A pair brings two groups together if no image of one differs from an image of the other by
    more than two copies of one image do: 1.5 times what one pair may differ by, moved twice as far.
    So an image near two different cells joins one of them and not the other. Of larger groups the
    32 first images are compared.

    Attributes
    ----------
    roots : (n,) int
        The first image of each image's group, itself if it is alone.
    turns : (n,) int
        The symmetry that turns that first image into this one.
    tied : (n,) int
        The first image of all that pairs tie together in any way: what a split keeps whole.
    """

    def __init__(self, marks: Marks, shape: tuple[int, int]) -> None:
        n = len(marks)
        self.marks = marks
        self.shape = shape
        self.roots = np.arange(n)
        self.turns = np.zeros(n, np.int64)
        self._ties = np.arange(n)
        self._members: dict[int, list[int]] = {}
        self._refused: set[tuple[int, int, int, int]] = set()

    @property
    def tied(self) -> Positions:
        """With all chains followed to their end."""
        while (self._ties[self._ties] != self._ties).any():
            self._ties = self._ties[self._ties]
        return self._ties

    def add(self, pairs: Pairs, *, equal: bool = False) -> None:
        """Take these pairs; `equal` ones need no comparison."""
        for first, second, turn in zip(
            pairs.first.tolist(), pairs.second.tolist(), pairs.symmetry.tolist(), strict=True
        ):
            self._tie(first, second)
            self._join(first, second, turn, equal)

    def _tie(self, first: int, second: int) -> None:
        ends = []
        for place in (first, second):
            while self._ties[place] != place:
                self._ties[place] = self._ties[self._ties[place]]
                place = int(self._ties[place])
            ends.append(place)
        self._ties[max(ends)] = min(ends)

    def _join(self, first: int, second: int, turn: int, equal: bool) -> None:
        from ..kernels.hashing.symmetry import INVERSE, after

        root, other = int(self.roots[first]), int(self.roots[second])
        if root == other:
            return
        if root > other:
            first, second, turn, root, other = second, first, INVERSE[turn], other, root
        # The symmetry that turns one root into the other.
        turn = after(after(int(self.turns[first]), turn), INVERSE[int(self.turns[second])])
        ours = self._members.get(root, [root])
        theirs = self._members.get(other, [other])
        if not equal and len(ours) + len(theirs) > 2:
            asked = (root, other, len(ours), len(theirs))
            if asked in self._refused:
                return
            if not self._fit(ours, theirs, turn):
                self._refused.add(asked)
                return
        for member in theirs:
            self.roots[member] = root
            self.turns[member] = after(turn, int(self.turns[member]))
        self._members[root] = sorted([*ours, *theirs])
        self._members.pop(other, None)

    def _fit(self, ours: list[int], theirs: list[int], turn: int) -> bool:
        from ..kernels.hashing import nearness
        from ..kernels.hashing.symmetry import INVERSE, after

        pairs = [
            (one, other, after(after(INVERSE[int(self.turns[one])], turn), int(self.turns[other])))
            for one in ours[:_COMPARED]
            for other in theirs[:_COMPARED]
        ]
        scale = nearness.Scale.of(*self.shape)
        first, second, turns = np.array(pairs).T
        # Each of two copies may be moved, one this way and one that.
        wide = replace(scale, step=2 * scale.step)
        found = compare(self.marks, self.marks, first, second, turns, wide)
        return bool(nearness.are_copies(found, scale, _SLACK).all())


def scale_of(shape: tuple[int, ...]) -> Any:
    """The measures that go with images of this (height, width, ...)."""
    from ..kernels.hashing import nearness

    return nearness.Scale.of(*shape[:2])


def hash_distances(
    marks: Marks,
    others: Marks,
    first: Positions,
    second: Positions,
    turn: NDArray[np.int64],
    near: int,
) -> NDArray[np.int64]:
    """(n,) in how many bits the hashes of each pair differ, the first image turned.

    Those of the whole images if that is near enough, else of the middle of one and a window of
    the other.
    """
    from ..kernels.hashing import nearness

    windows = np.empty((len(first), 9), np.uint64)
    for one in np.unique(turn):
        at = turn == one
        windows[at] = nearness.turned_hashes(marks.windows[first[at]], int(one))
    other = others.windows[second]
    moved = np.minimum(
        np.bitwise_count(windows[:, :1] ^ other).min(axis=1, initial=64),
        np.bitwise_count(windows ^ other[:, :1]).min(axis=1, initial=64),
    )
    whole = np.bitwise_count(marks.hashes[first] ^ others.hashes[second])
    return np.asarray(np.where((turn == 0) & (whole <= near), whole, moved), dtype=np.int64)
