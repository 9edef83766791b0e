"""An index of a data set, kept in a file, that tells which new images it already contains."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Ids, Images
from ..dataset.dataset import Dataset, as_dataset
from ..errors import CellprepError
from ..kernels import SYMMETRIES, Hash
from ..plan.digests import digest
from ..system.paths import as_path, atomic_write, open_binary
from .pairs import Pairs, first_of_runs, hash_distances, near_pairs
from .settings import Search
from .signatures import Signatures, measure

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
# Names of arrays in the file that differ from those of the signatures.
_SAVED_AS = {"flat": "plain", "thumbnails": "pictures", "indices": "places"}


@dataclass(frozen=True, eq=False)
class DuplicateIndex:
    """Signatures of a data set that new images are compared with, without its pixels.

    An image takes 2.4 KB with `near`, 30 bytes without, plus its id and label. Create an index with
    `DuplicateIndex.of` or `load`; `add` returns a larger one.

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
    signatures: Signatures
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
        hash: Hash = "phash",
    ) -> DuplicateIndex:
        """Index a data set in one pass, with the settings of `find_duplicates`.

        Parameters
        ----------
        images : Dataset or (n, height, width, 3) uint8
        labels : (n,), (n, 1) or one-hot (n, classes), optional
            For arrays.
        near : int, optional
        symmetries : bool
        hash : str
            What a query counts as a duplicate; stored in the index.
        """
        search = Search(near, symmetries, hash)
        return cls._of(as_dataset(images, labels)[0], search)

    @classmethod
    def _of(cls, dataset: Dataset, search: Search) -> DuplicateIndex:
        plan = dataset.plan
        names = np.array(plan.class_names)[plan.rows.labels]
        signatures = measure(plan, search)
        return cls(search, plan.shape[:2], signatures, plan.rows.ids, names)

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
        """Return an index that also contains these images; their ids must be new.

        Parameters
        ----------
        images : Dataset or (n, height, width, 3) uint8
        labels : (n,), (n, 1) or one-hot (n, classes), optional
        ids : (n,) int or str, optional
            For arrays. Default: consecutive numbers after the largest.
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
                f"the index already contains id '{theirs[known[0]]}'; give the new images other ids"
            )
        return DuplicateIndex(
            self.search,
            self.shape,
            self.signatures.joined(new.signatures),
            np.concatenate([ours, theirs]),
            np.concatenate([self.class_names, new.class_names]),
        )

    def query(self, images: Dataset | ArrayLike, labels: ArrayLike | None = None) -> pd.DataFrame:
        """List which of these images are in the index, and how they are related.

        A pair is found if and only if a search over both sets would find it. Pixels count as equal
        if their 128-bit digests are, since the index keeps no pixels.

        Parameters
        ----------
        images : Dataset or (n, height, width, 3) uint8
        labels : (n,), (n, 1) or one-hot (n, classes), optional
            For arrays; needed to find conflicts.

        Returns
        -------
        DataFrame
            One row per pair: `id` and `class_name` of the new image, `of` and `of_class_name` of
            the indexed one; `relation`, `symmetry` (what turns the indexed image into the new one),
            `distance` and `difference` as in `find_duplicates`; and `conflict`, true if labels are
            given and disagree. Sorted by id, most similar first.
        """
        import pandas as pd

        dataset = as_dataset(images, labels)[0]
        self._check_shape(dataset)
        new = self._of(dataset, self.search)
        relation, pairs = self._related(new.signatures, self._turned_digests(dataset))
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
        """The digests of the images under each symmetry that counts."""
        found = [digests for _, digests in dataset.plan.each(_Turning(self.search), "turning")]
        return list(np.concatenate(found, axis=1))

    def _related(
        self, new: Signatures, digests: list[NDArray[np.uint64]]
    ) -> tuple[NDArray[np.int64], Pairs]:
        """The pairs with these signatures, and whether each is exact 0, turned 1 or near 2."""
        from ..kernels.hashing.symmetry import INVERSE, symmetries_of

        found = []
        turns = symmetries_of(*self.shape)[: len(digests)]
        for turn, turned in zip(turns, digests, strict=True):
            pairs = _equal(self.signatures.digests, turned, INVERSE[turn])
            found.append((np.full(len(pairs.first), int(turn > 0)), pairs))
        if self.search.near is not None:
            for run in near_pairs(self.signatures, new, self.search, self.shape):
                found.append((np.full(len(run.first), 2), run))
        relation = np.concatenate([kind for kind, _ in found])
        every = Pairs(
            *(np.concatenate([getattr(run, f.name) for _, run in found]) for f in fields(Pairs))
        )
        order = np.lexsort((every.difference, relation, every.second, every.first))
        best = first_of_runs(order, every.first, every.second)
        relation, every = relation[best], every.take(best)
        if self.search.near is not None:
            near = relation == 2
            every.distance[near] = hash_distances(
                self.signatures,
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
                f"{shape[0]}x{shape[1]}; resize them, for example with read(path, size=...)"
            )

    # -- files -------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the index to one file, atomically.

        Parameters
        ----------
        path : str or Path
            An npz file of plain arrays; an existing one is replaced.

        Raises
        ------
        CellprepError
            If it cannot be written.
        """
        settings = {"version": VERSION, "shape": self.shape, **asdict(self.search)}
        names = [field.name for field in fields(Signatures)]
        arrays = {_SAVED_AS.get(name, name): getattr(self.signatures, name) for name in names}
        arrays |= {"ids": self.ids, "class_names": self.class_names}
        arrays["settings"] = np.array(json.dumps(settings))
        try:
            with atomic_write(as_path(path)) as temporary, open(temporary, "wb") as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise CellprepError(f"cannot write {str(path)!r}: {error.strerror or error}") from error

    @staticmethod
    def load(path: str | Path) -> DuplicateIndex:
        """Read an index that `save` wrote.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        CellprepError
            If the file is missing, damaged, not an index, or of another version.
        """
        path = as_path(path)
        if not path.is_file():
            raise CellprepError(f"there is no index file {str(path)!r}; write it with index.save")
        try:
            with open_binary(path) as file, np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            settings = json.loads(str(found.pop("settings")))
            version = settings.pop("version")
        except (*_DAMAGE, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise _damaged(path, error) from error
        if version != VERSION:
            raise CellprepError(
                f"{str(path)!r} is an index of version {version}, but this cellprep reads version "
                f"{VERSION}; recreate it with DuplicateIndex.of"
            )
        try:
            return _index_of(found, settings)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from error


_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)


def _damaged(path: Path, error: Exception) -> CellprepError:
    return CellprepError(
        f"{str(path)!r} is damaged or not an index of duplicates ({error}); recreate it with "
        "DuplicateIndex.of"
    )


def _index_of(arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> DuplicateIndex:
    """The index of the arrays and settings of a file, if they agree."""
    shape = tuple(settings.pop("shape"))
    ids, names = arrays.pop("ids"), arrays.pop("class_names")
    saved_as = {saved: name for name, saved in _SAVED_AS.items()}
    signatures = Signatures(**{saved_as.get(name, name): arrays[name] for name in arrays})
    search = Search(**settings)
    n, near = len(ids), len(ids) * (search.near is not None)
    sizes = {"digests": n, "invariants": n * search.symmetries, "hashes": near}
    sizes |= {"windows": near, "flat": near, "indices": near}
    wrong = [name for name, size in sizes.items() if len(getattr(signatures, name)) != size]
    if wrong or len(names) != n or (signatures.indices >= len(signatures.thumbnails)).any():
        wrong = [_SAVED_AS.get(name, name) for name in wrong]
        raise ValueError(f"its arrays disagree: {', '.join(wrong) or 'names, pictures'}")
    return DuplicateIndex(search, shape, signatures, ids, names)


@dataclass(frozen=True)
class _Turning:
    """Computes digests (symmetries, n, 2) of images under each symmetry that counts."""

    search: Search

    def __call__(self, images: Images) -> NDArray[np.uint64]:
        from ..kernels.hashing import symmetry

        turns = symmetry.symmetries_of(*images.shape[1:3]) if self.search.symmetries else (0,)
        return np.stack([digest(symmetry.turned(images, turn)) for turn in turns])


def _equal(ours: NDArray[np.uint64], theirs: NDArray[np.uint64], turn: int) -> Pairs:
    """All pairs of equal digests, with the symmetry `turn`."""
    _, group = np.unique(np.concatenate([ours, theirs]), axis=0, return_inverse=True)
    mine, new = group[: len(ours)], group[len(ours) :]
    order = np.argsort(mine, kind="stable")
    start = np.searchsorted(mine[order], new, "left")
    stop = np.searchsorted(mine[order], new, "right")
    count = stop - start
    second = np.repeat(np.arange(len(new)), count)
    within = np.arange(len(second)) - np.repeat(np.cumsum(count) - count, count)
    first = order[np.repeat(start, count) + within]
    n = len(first)
    return Pairs(first, second, np.full(n, turn), np.zeros(n, np.int64), np.zeros(n))
