"""What is known of a set of images, kept in a file: is any of these new ones already in it?"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Ids, Images
from ..dataset.dataset import Dataset, as_dataset
from ..errors import CellprepError
from ..kernels import SYMMETRIES
from ..plan.digests import digest
from ..system.paths import as_path, atomic_write, open_binary
from . import near as nearness
from .near import Marks, Pairs, Search

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1


@dataclass(frozen=True, eq=False)
class DuplicateIndex:
    """The marks of a set of images, to compare new images with: no pixels are needed again.

    An image takes 2.4 KB with `near`, 30 bytes without, and its id and label. Made by
    `DuplicateIndex.of` or `load`; `add` gives a larger one.

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    >>> index = DuplicateIndex.of(Dataset.from_arrays(images, ["a", "a", "b", "b"]))
    >>> index
    DuplicateIndex(4 images of 16x16, symmetries)
    >>> index.query(images[2:3, ::-1])[["id", "of", "relation", "symmetry"]]
       id  of  relation         symmetry
    0   0   2  symmetry  flip_top_bottom
    """

    search: Search
    shape: tuple[int, int]
    marks: Marks
    ids: Ids
    class_names: NDArray[np.str_]

    @classmethod
    def of(
        cls,
        images: Dataset | ArrayLike,
        labels: ArrayLike | None = None,
        *,
        near: int | None = None,
        symmetries: bool = True,
        hash: str = "phash",
    ) -> DuplicateIndex:
        """The index of a data set, read once; the settings are those of `find_duplicates`.

        Parameters
        ----------
        images : Dataset or (n, height, width, 3) uint8
        labels : (n,), (n, 1) or one-hot (n, classes), optional
            For arrays.
        near : int, optional
        symmetries : bool
        hash : str
            What a query counts as a duplicate; they are part of the index.
        """
        search = Search(near, symmetries, hash)
        return cls._of(as_dataset(images, labels)[0], search)

    @classmethod
    def _of(cls, dataset: Dataset, search: Search) -> DuplicateIndex:
        plan = dataset.plan
        names = np.array(plan.class_names)[plan.rows.labels]
        marks = nearness.measure(plan, search)
        return cls(search, plan.shape[:2], marks, plan.rows.ids, names)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        size = f"{len(self):,} images of {self.shape[0]}x{self.shape[1]}"
        near = f", near={self.search.near} by {self.search.hash}"
        turns = ", symmetries" if self.search.symmetries else ""
        return f"DuplicateIndex({size}{near if self.search.near is not None else ''}{turns})"

    def add(
        self,
        images: Dataset | ArrayLike,
        labels: ArrayLike | None = None,
        *,
        ids: ArrayLike | None = None,
    ) -> DuplicateIndex:
        """An index of these images too; an id that it holds already is refused.

        Parameters
        ----------
        images : Dataset or (n, height, width, 3) uint8
        labels : (n,), (n, 1) or one-hot (n, classes), optional
        ids : (n,) int or str, optional
            For arrays. Default: the numbers that follow.
        """
        if ids is None and not isinstance(images, Dataset) and self.ids.dtype.kind == "i":
            ids = np.arange(len(np.asarray(images))) + int(self.ids.max(initial=-1)) + 1
        dataset = as_dataset(images, labels, ids)[0]
        self._check_shape(dataset)
        new = self._of(dataset, self.search)
        ours, theirs = self.ids, new.ids
        if ours.dtype.kind != theirs.dtype.kind:
            ours, theirs = ours.astype(str), theirs.astype(str)
        known = np.flatnonzero(np.isin(theirs, ours))
        if len(known):
            raise CellprepError(
                f"the index holds id '{theirs[known[0]]}' already; give the new images other ids"
            )
        return DuplicateIndex(
            self.search,
            self.shape,
            self.marks.joined(new.marks),
            np.concatenate([ours, theirs]),
            np.concatenate([self.class_names, new.class_names]),
        )

    def query(self, images: Dataset | ArrayLike, labels: ArrayLike | None = None) -> pd.DataFrame:
        """Which of these images are in the index, and as what.

        A pair is found here if, and only if, a search over both sets would find it. Equal pixels
        go by their digests of 128 bits, as the index keeps no pixels.

        Parameters
        ----------
        images : Dataset or (n, height, width, 3) uint8
        labels : (n,), (n, 1) or one-hot (n, classes), optional
            For arrays; they make conflicts visible.

        Returns
        -------
        DataFrame
            One row a pair: `id` and `class_name` of the image asked about, `of` and
            `of_class_name` of the one in the index; `relation`, `symmetry` (what turns the one in
            the index into the other), `distance` and `difference` as in `find_duplicates`; and
            `conflict`, if there are labels and they disagree. Sorted by id, the likest first.
        """
        import pandas as pd

        dataset = as_dataset(images, labels)[0]
        self._check_shape(dataset)
        new = self._of(dataset, self.search)
        relation, pairs = self._related(new.marks, self._turned_digests(dataset))
        labelled = labels is not None or isinstance(images, Dataset)
        table = pd.DataFrame(
            {
                "id": new.ids[pairs.second],
                "class_name": new.class_names[pairs.second].astype(object),
                "of": self.ids[pairs.first],
                "of_class_name": self.class_names[pairs.first].astype(object),
                "relation": np.array(["exact", "symmetry", "near"], dtype=object)[relation],
                "symmetry": np.array(SYMMETRIES, dtype=object)[pairs.symmetry],
                "distance": pairs.distance,
                "difference": pairs.difference,
            }
        )
        table["conflict"] = labelled & (table["class_name"] != table["of_class_name"])
        order = np.lexsort(
            (self.ids[pairs.first], pairs.difference, relation, new.ids[pairs.second])
        )
        return table.iloc[order].reset_index(drop=True)

    def _turned_digests(self, dataset: Dataset) -> list[NDArray[np.uint64]]:
        """Those of the images under each symmetry that counts."""
        found = [made for _, made in dataset.plan.each(_Turning(self.search), "turning")]
        return list(np.concatenate(found, axis=1))

    def _related(
        self, new: Marks, digests: list[NDArray[np.uint64]]
    ) -> tuple[NDArray[np.int64], Pairs]:
        """The pairs with these marks, and whether each is exact 0, turned 1 or near 2."""
        from ..kernels.hashing.symmetry import INVERSE, symmetries_of

        found = []
        turns = symmetries_of(*self.shape)[: len(digests)]
        for turn, turned in zip(turns, digests, strict=True):
            pairs = _equal(self.marks.digests, turned, INVERSE[turn])
            found.append((np.full(len(pairs.first), int(turn > 0)), pairs))
        if self.search.near is not None:
            for run in nearness.near_pairs(self.marks, new, self.search, self.shape):
                found.append((np.full(len(run.first), 2), run))
        relation = np.concatenate([kind for kind, _ in found])
        every = Pairs(
            *(np.concatenate([getattr(run, f.name) for _, run in found]) for f in fields(Pairs))
        )
        order = np.lexsort((every.difference, relation, every.second, every.first))
        best = nearness.firsts(order, every.first, every.second)
        relation, every = relation[best], every.take(best)
        if self.search.near is not None:
            near = relation == 2
            every.distance[near] = nearness.hash_distances(
                self.marks,
                new,
                every.first[near],
                every.second[near],
                every.symmetry[near],
                self.search.near,
            )
        return relation, every

    def _check_shape(self, dataset: Dataset) -> None:
        shape = dataset.plan.shape[:2]
        if shape != self.shape:
            raise CellprepError(
                f"the index is of images of {self.shape[0]}x{self.shape[1]}, these are "
                f"{shape[0]}x{shape[1]}; bring them to one size, as read(path, size=) does"
            )

    # -- files -------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the index to one file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            An npz file of plain arrays; one that stands there is replaced.
        """
        settings = {"version": VERSION, "shape": self.shape, **asdict(self.search)}
        arrays = {field.name: getattr(self.marks, field.name) for field in fields(Marks)}
        arrays |= {"ids": self.ids, "class_names": self.class_names}
        arrays["settings"] = np.array(json.dumps(settings))
        with atomic_write(as_path(path)) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @staticmethod
    def load(path: str | Path) -> DuplicateIndex:
        """The index that `save` wrote.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        CellprepError
            For a file that is missing, damaged, no index, or one of another version.
        """
        path = as_path(path)
        if not path.is_file():
            raise CellprepError(f"there is no index file {str(path)!r}")
        try:
            with open_binary(path) as file, np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            settings = json.loads(str(found.pop("settings")))
            version = settings.pop("version")
        except (*_DAMAGE, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise CellprepError(
                f"{str(path)!r} is not an index of duplicates, or a damaged one: {error}"
            ) from error
        if version != VERSION:
            raise CellprepError(
                f"{str(path)!r} is an index of version {version}, this cellprep reads {VERSION}; "
                "make it again with DuplicateIndex.of"
            )
        try:
            shape = tuple(settings.pop("shape"))
            ids, names = found.pop("ids"), found.pop("class_names")
            marks, search = Marks(**found), Search(**settings)
            n, near = len(ids), len(ids) * (search.near is not None)
            sizes = {"digests": n, "invariants": n * search.symmetries, "hashes": near}
            sizes |= {"windows": near, "plain": near, "places": near}
            wrong = [name for name, size in sizes.items() if len(getattr(marks, name)) != size]
            if wrong or len(names) != n or (marks.places >= len(marks.pictures)).any():
                raise ValueError(f"its arrays disagree: {', '.join(wrong) or 'names, pictures'}")
        except (KeyError, TypeError, ValueError) as error:
            raise CellprepError(
                f"{str(path)!r} is not an index of duplicates, or a damaged one: {error}"
            ) from error
        return DuplicateIndex(search, shape, marks, ids, names)


_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)


@dataclass(frozen=True)
class _Turning:
    """(symmetries, n, 2): the digests of the images under each symmetry that counts."""

    search: Search

    def __call__(self, images: Images) -> NDArray[np.uint64]:
        from ..kernels.hashing import symmetry

        turns = symmetry.symmetries_of(*images.shape[1:3]) if self.search.symmetries else (0,)
        return np.stack([digest(symmetry.turned(images, turn)) for turn in turns])


def _equal(ours: NDArray[np.uint64], theirs: NDArray[np.uint64], turn: int) -> Pairs:
    """All pairs of equal digests."""
    _, group = np.unique(np.concatenate([ours, theirs]), axis=0, return_inverse=True)
    mine, new = group[: len(ours)], group[len(ours) :]
    order = np.argsort(mine, kind="stable")
    start = np.searchsorted(mine[order], new, "left")
    stop = np.searchsorted(mine[order], new, "right")
    count = stop - start
    second = np.repeat(np.arange(len(new)), count)
    place = np.arange(len(second)) - np.repeat(np.cumsum(count) - count, count)
    first = order[np.repeat(start, count) + place]
    n = len(first)
    return Pairs(first, second, np.full(n, turn), np.zeros(n, np.int64), np.zeros(n))
