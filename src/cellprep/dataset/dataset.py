"""`Dataset`: a source, the steps applied to it, and lazy access to the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Ids, Images, Labels, Positions, check_images, read_labels
from ..errors import BadImagesError, CellprepError, in_range
from ..plan.plan import Plan
from ..plan.readable import Measures, only_readable
from ..plan.source import Source
from ..system import executors
from .exchange.exchange import Exchange
from .provenance import Provenance
from .selection import SELECTIONS, Relabel, Selection
from .tables import Tables
from .views import ImageView, MaskView

Move = Callable[[Plan], Plan]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Exchange, Provenance, Selection, Tables):
    """Labelled images and the steps applied to them; frozen and lazy.

    Images are read when they are accessed, and only those. Created by `read` or
    `Dataset.from_arrays`; a step or a `Recipe` returns a new one.

    Examples
    --------
    >>> images = np.zeros((4, 8, 8, 3), np.uint8)
    >>> cells = Dataset.from_arrays(images, ["mono", "baso", "mono", "mono"])
    >>> cells
    Dataset(4 images of 8x8, 2 classes, in memory)
    >>> cells.counts()
    {'baso': 1, 'mono': 3}
    >>> cells.images[1:3].shape
    (2, 8, 8, 3)
    """

    _before: Dataset | None = None
    _move: Move | None = None
    _only_readable: bool = False
    _also: Measures | None = None

    # -- contents ----------------------------------------------------------------------------

    @cached_property
    def plan(self) -> Plan:
        """The rows and how to compute their pixels; determined on first access."""
        if self._before is None or self._move is None:
            plan = Plan.of(self.source)
            return only_readable(plan, self._also) if self._only_readable else plan
        return self._move(self._before.plan)

    def __len__(self) -> int:
        return len(self.plan)

    @property
    def labels(self) -> Labels:
        """(n,) int64, an index into `class_names`."""
        return _read_only(self.plan.rows.labels)

    @property
    def ids(self) -> Ids:
        """(n,) int64 or str: the source image of each row."""
        return _read_only(self.plan.rows.ids)

    @property
    def copies(self) -> NDArray[np.int64]:
        """(n,) int64: the copy number of each row, 0 for the source image itself."""
        return _read_only(self.plan.rows.copies)

    @property
    def parts(self) -> NDArray[Any] | None:
        """(n,) str: the split that each image belongs to on disk, after `read(part="all")`."""
        parts = self.plan.rows.parts
        return None if parts is None else _read_only(parts)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        given = [move for dataset in self.chain if isinstance(move := dataset._move, Relabel)]
        names = self.source.class_names
        for move in given:  # known without computing the plan
            names = move.class_names(names)
        return names

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, height, width, 3)."""
        return len(self), *self.plan.shape

    @property
    def images(self) -> ImageView:
        """The images, indexed as an array: `images[3]`, `images[10:20]`, `images[[4, 2]]`."""
        return ImageView(self.plan)

    @property
    def masks(self) -> MaskView:
        """The masks of the images, (n, height, width) bool, indexed like `images`.

        They were supplied with the images or found by the last KMeansMask, and follow the images
        through every step that moves pixels.
        """
        return MaskView(self.plan)

    @property
    def bad(self) -> dict[str, str]:
        """File and cause of every image that `readable` left out."""
        return dict(self.plan.bad)

    @property
    def unread(self) -> dict[str, str]:
        """Name and cause of everything in the input that is not read.

        Files with other extensions, folders of the system, links to nothing, members of a tar file
        that belong to no image, files that the index of a written data set does not list.
        """
        return dict(self.source.unread)

    def counts(self) -> dict[str, int]:
        """Images by class name."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def batches(
        self, size: int = 256, *, order: Positions | None = None
    ) -> Iterator[tuple[Images, Labels]]:
        """Images and labels, `size` rows at a time, with prefetching.

        Threads compute the next batches: at most two per core are in memory.

        Parameters
        ----------
        size : int
        order : (k,) int, optional
            The rows to read, in order, such as those of `shuffled`. Default: all.

        Examples
        --------
        >>> cells = Dataset.from_arrays(np.zeros((5, 8, 8, 3), np.uint8), [0, 1, 1, 0, 1])
        >>> [labels.tolist() for _, labels in cells.batches(2, order=cells.shuffled(0, epoch=1))]
        [[1, 1], [1, 0], [0]]
        """
        in_range("size", size, 1, 2**31, whole=True)
        images, labels = self.images, self.labels

        def read(span: executors.Span) -> tuple[Images, Labels]:
            rows = slice(*span) if order is None else order[slice(*span)]
            return images[rows], labels[rows]

        yield from executors.run(read, executors.cut(len(labels if order is None else order), size))

    def __iter__(self) -> Iterator[tuple[Images, Labels]]:
        return self.batches()

    def __repr__(self) -> str:
        try:
            size = self.source.sizes_text()
        except BadImagesError:
            size = "unknown size"
        except CellprepError:
            size = "several sizes"
        total, moves = len(self.source.rows), [dataset._move for dataset in self.chain[1:]]
        known = len(self) if "plan" in self.__dict__ else getattr(self._move, "rows", total)
        count = f"{total:,}" if known == total else f"{known:,} from {total:,}"
        what = f"{count} images of {size}, {len(self.class_names)} classes"
        then = f", then {', '.join(map(str, moves))}" if moves else ""
        return f"Dataset({what}, {self.source.location()}{then})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from .notebook import dataset_view

        return dataset_view(self)

    # -- steps -------------------------------------------------------------------------------

    @property
    def chain(self) -> tuple[Dataset, ...]:
        """The data sets from the source to this one, one per step."""
        before = self._before.chain if self._before is not None else ()
        return (*before, self)

    def then(self, move: Move) -> Dataset:
        """This data set with one more change to its plan, applied when it is needed."""
        if self._before is not None and isinstance(self._move, _InEpoch):
            made = self._before.then(move)  # an epoch comes last: what steps measure is that of 0
            return made if isinstance(move, _InEpoch) else made.then(self._move)
        read_from: Callable[[Source], Source] | None = getattr(move, "read_from", None)
        before = self if read_from is None else self._reading(read_from)
        return Dataset(before.source, before, move)

    def _reading(self, read_from: Callable[[Source], Source]) -> Dataset:
        """This data set with its source as the next step reads it, if that is the first."""
        first, *others = self.chain
        if first._only_readable or not all(isinstance(one._move, SELECTIONS) for one in others):
            return self
        source = read_from(self.source)
        if source is self.source:
            return self
        made = Dataset(source)
        for one in others:
            made = Dataset(source, made, one._move)
        return made

    def epoch(self, number: int) -> Dataset:
        """The same rows with other random pixels: a fresh copy of every augmented image.

        Random numbers are a function of (seed, epoch, step, parameter, row), so any image of any
        epoch can be computed alone, at any time. Epoch 0 is this data set, as `write` writes it.
        The number of rows, their order and labels do not change, nor do images that no random step
        has changed: their windows and masks are found once for all epochs.

        Parameters
        ----------
        number : int
            In [0, 2**31].

        Returns
        -------
        Dataset
            It can be written too; the record then has the epoch of every step.

        Examples
        --------
        >>> from cellprep import RandAugment, Recipe
        >>> images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
        >>> made = Recipe([RandAugment(copies=1)])(Dataset.from_arrays(images, [0, 1]))
        >>> first, second = made.epoch(0).images[:], made.epoch(1).images[:]
        >>> (first == made.images[:]).all(), (first == second).all(axis=(1, 2, 3))
        (np.True_, array([ True, False,  True, False]))
        """
        in_range("epoch", number, 0, 2**31, whole=True)
        return self.then(_InEpoch(number))

    @property
    def varies(self) -> bool:
        """Whether any image differs from epoch to epoch, because a random step changes it."""
        return self.plan.varies

    @property
    def skips_bad(self) -> bool:
        """Whether images that cannot be read are left out, as `readable` does."""
        return self._only_readable

    def replanned(self, plan: Plan) -> Plan:
        """The plan that follows from another plan of the source."""
        for dataset in self.chain[1:]:
            assert dataset._move is not None
            plan = dataset._move(plan)
        return plan

    def readable(self) -> Dataset:
        """This data set without the images that cannot be read; they are listed in `bad`.

        Every step sees only the readable images, as if the others had never existed.
        """
        return self if self.source.trusted or self._only_readable else self._readable

    def measured(self, also: Measures) -> Dataset:
        """`readable`, which measures this too in its one pass over the pixels of the source.

        The columns are there unless a step changes pixels.
        """
        first = self.chain[0]
        if not (first.source.trusted or first._only_readable or "_readable" in vars(first)):
            vars(first)["_readable"] = Dataset(first.source, _only_readable=True, _also=also)
        return self.readable()

    @cached_property
    def _readable(self) -> Dataset:
        if self._before is None or self._move is None:
            return Dataset(self.source, _only_readable=True)
        before = self._before.readable()
        return self if before is self._before else before.then(self._move)


@dataclass(frozen=True)
class _InEpoch:
    """A change that sets the epoch of all steps; it stays the last change of a data set."""

    epoch: int

    def __call__(self, plan: Plan) -> Plan:
        return plan.at_epoch(self.epoch)

    def __str__(self) -> str:
        return f"epoch {self.epoch}"


def as_dataset(
    images: Dataset | ArrayLike, labels: ArrayLike | None = None, ids: ArrayLike | None = None
) -> tuple[Dataset, NDArray[Any]]:
    """The data set itself, or one made from arrays, and the label value of each class.

    Unlike `Dataset.from_arrays` it accepts any numbers; without labels all images have class 0.
    """
    if isinstance(images, Dataset):
        if labels is not None:
            raise CellprepError("a Dataset has labels already; leave `labels` out")
        return images, np.array(images.class_names)
    checked = check_images(images)
    n = len(checked)
    values = read_labels(np.zeros(n, np.int64) if labels is None else labels, n, empty=True)
    found, codes = np.unique(values, return_inverse=True)
    names = [str(name) for name in found.tolist()]
    return Dataset.from_arrays(checked, codes, class_names=names, ids=ids), found


def check_dataset(dataset: object) -> None:
    """Refuse anything that is not a Dataset, such as arrays."""
    if not isinstance(dataset, Dataset):
        raise CellprepError(
            f"expected a Dataset, got {type(dataset).__name__}; make one with "
            "cellprep.read(path) or Dataset.from_arrays(images, labels)"
        )


def _read_only(column: NDArray[Any]) -> NDArray[Any]:
    view = column.view()
    view.flags.writeable = False
    return view
