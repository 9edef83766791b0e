"""`Dataset`: a source, the steps to come, and a way to look at the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import (
    Ids,
    Images,
    Labels,
    check_images,
    read_labels,
)
from ..errors import CellprepError, in_range
from ..plan.plan import Plan
from ..plan.source import ArraySource, Source
from ..system import executors
from ..system.paths import check_shared
from .provenance import Provenance
from .views import ImageView, MaskView

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import tensorflow as tf

    from .exchange.pytorch import TorchDataset

Move = Callable[[Plan], Plan]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Provenance):
    """Labelled images with the steps that they go through; frozen and lazy.

    Nothing is read until it is looked at, and then only what is looked at. Made by `read` or
    `Dataset.from_arrays`; a step or a `Recipe` makes another one.

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

    source: Source
    _before: Dataset | None = None
    _move: Move | None = None
    _only_readable: bool = False

    @classmethod
    def from_arrays(
        cls,
        images: ArrayLike,
        labels: ArrayLike,
        class_names: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        masks: ArrayLike | None = None,
    ) -> Dataset:
        """A data set over arrays, which are neither copied nor changed.

        Parameters
        ----------
        images : (n, height, width, 3) uint8
            RGB, 0-255.
        labels : (n,), (n, 1) or one-hot (n, classes)
            Whole numbers or text; kept as int64 indices of the class names.
        class_names : sequence of str, optional
            Needed where a number from 0 up has no image. Default: the numbers, or the sorted text.
        ids : (n,) int or str, optional
            What each image is called; every random number hangs on it. Default: the row number.
        groups : (n,) int or str, optional
            What must stay together in a split (patient, slide).
        masks : (n, height, width) bool or int, optional
            Drawn masks, not 0 on the cell, which KMeansMask and Crop then take in place of their
            own; an empty one is not known.

        Raises
        ------
        CellprepError
            For any other shape, dtype or range; the message says how to convert.
        """
        return cls(ArraySource.of(images, labels, class_names, ids, groups, masks))

    # -- what it holds -----------------------------------------------------------------------

    @cached_property
    def plan(self) -> Plan:
        """Rows and the way to their pixels, worked out when first needed."""
        if self._before is None or self._move is None:
            plan = Plan.of(self.source)
            return plan.readable() if self._only_readable else plan
        return self._move(self._before.plan)

    def __len__(self) -> int:
        return len(self.plan)

    @property
    def labels(self) -> Labels:
        """(n,) int64, an index into `class_names`."""
        return _fixed(self.plan.rows.labels)

    @property
    def ids(self) -> Ids:
        """(n,) int64 or str: the source image of each row."""
        return _fixed(self.plan.rows.ids)

    @property
    def copies(self) -> NDArray[np.int64]:
        """(n,) int64: the copy number of each row, 0 for the source image itself."""
        return _fixed(self.plan.rows.copies)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return self.source.class_names

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, height, width, 3)."""
        return len(self), *self.plan.shape

    @property
    def images(self) -> ImageView:
        """The images as something to index: `images[3]`, `images[10:20]`, `images[[4, 2]]`."""
        return ImageView(self.plan)

    @property
    def masks(self) -> MaskView:
        """The masks that travel with the images, to index like `images`: (n, height, width) bool.

        Those that came with the images, or what the last KMeansMask found; moved by every step
        that moves the images since.
        """
        return MaskView(self.plan)

    @property
    def bad(self) -> dict[str, str]:
        """File and cause of every image that `readable` left out."""
        return dict(self.plan.bad)

    def counts(self) -> dict[str, int]:
        """Images by class name."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    @property
    def chain(self) -> tuple[Dataset, ...]:
        """The data sets from the source to this one, a step apart."""
        before = self._before.chain if self._before is not None else ()
        return (*before, self)

    def __repr__(self) -> str:
        size = "x".join(str(side) for side in self.source.shape[:2])
        start = f"{len(self.source.rows):,} images of {size}, {len(self.class_names)} classes"
        held = isinstance(self.source, ArraySource) and not self.source.path
        place = "in memory" if held else f"from {self.source.path or 'another library'}"
        if self._move is None:
            return f"Dataset({start}, {place})"
        moves = ", ".join(str(dataset._move) for dataset in self.chain[1:])
        return f"Dataset({start}, {place}, then {moves})"

    # -- what can be had from it -------------------------------------------------------------

    def to_arrays(
        self,
        *,
        executor: str = "threads",
        workers: int | None = None,
        address: str | None = None,
    ) -> tuple[Images, Labels]:
        """All images, (n, height, width, 3) uint8, and their labels, (n,) int64.

        `executor`, `workers` and `address` are those of `write`.

        Raises
        ------
        BadImagesError
            Naming every image that cannot be read.
        """
        with executors.using(executor, workers, address=address):
            if not executors.share_memory():
                check_shared(self.source.path)
            images = self.plan.images()
        return images, self.labels.copy()

    def batches(self, size: int = 256) -> Iterator[tuple[Images, Labels]]:
        """Images and labels, `size` rows at a time, in order."""
        in_range("size", size, 1, 2**31, whole=True)
        for start, stop in executors.cut(len(self), size):
            yield self.images[start:stop], self.labels[start:stop]

    def __iter__(self) -> Iterator[tuple[Images, Labels]]:
        return self.batches()

    def table(self) -> pd.DataFrame:
        """One row an image: id, copy, label, class_name, and group where there are groups."""
        import pandas as pd

        rows = self.plan.rows
        names = np.array(self.class_names, dtype=object)
        table = pd.DataFrame(
            {
                "id": rows.ids,
                "copy": rows.copies,
                "label": rows.labels,
                "class_name": names[rows.labels],
            }
        )
        if rows.groups is not None:
            table["group"] = rows.groups
        return table

    def changes(self) -> pd.DataFrame:
        """What each step did: `step`, `rows_in`, `rows_out`, `why`."""
        import pandas as pd

        return pd.DataFrame(
            [(c.step, c.rows_in, c.rows_out, c.why) for c in self.plan.changes],
            columns=["step", "rows_in", "rows_out", "why"],
        )

    def removed(self) -> pd.DataFrame:
        """One row an image that a step took out: step, reason, id, copy, label, class_name."""
        import pandas as pd

        names = np.array(self.class_names, dtype=object)
        tables = [
            pd.DataFrame(
                {
                    "step": change.step,
                    "reason": reason,
                    "id": rows.ids,
                    "copy": rows.copies,
                    "label": rows.labels,
                    "class_name": names[rows.labels],
                }
            )
            for change in self.plan.changes
            for reason, rows in change.removed.items()
        ]
        columns = ["step", "reason", "id", "copy", "label", "class_name"]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)

    # -- other people's tools ----------------------------------------------------------------

    def to_tf(self, batch: int = 32, *, shuffle: bool = False, seed: int = 0) -> tf.data.Dataset:
        """Batches for Keras and TensorFlow, made as they are asked for and some ahead.

        Parameters
        ----------
        batch : int
            Images a batch; the last one holds what is left.
        shuffle : bool
            All rows in another order on each pass over the batches.
        seed : int
            Of these orders: the k-th pass of a seed is the same in every run.

        Returns
        -------
        tf.data.Dataset
            Of images (b, height, width, 3) uint8 and labels (b,) int64.

        Examples
        --------
        >>> cells = Dataset.from_arrays(np.zeros((5, 8, 8, 3), np.uint8), [0, 1, 1, 0, 1])
        >>> [labels.numpy().tolist() for images, labels in cells.to_tf(batch=2)]
        [[0, 1], [1, 0], [1]]
        """
        from .exchange.tf import to_tf

        return to_tf(self.plan, batch, shuffle, seed)

    def to_torch(self, *, transform: Callable[[Any], Any] | None = None) -> TorchDataset:
        """A map-style data set for PyTorch, which a DataLoader reads batch by batch.

        Parameters
        ----------
        transform : callable, optional
            What each image goes through, as in torchvision.

        Returns
        -------
        torch.utils.data.Dataset
            Of images (3, height, width) uint8, channels first as in torchvision, and labels, int;
            with `classes`, the class names, and `targets`, the labels.

        Examples
        --------
        >>> cells = Dataset.from_arrays(np.zeros((5, 8, 6, 3), np.uint8), [0, 1, 1, 0, 1])
        >>> image, label = cells.to_torch()[1]
        >>> image.shape, label
        (torch.Size([3, 8, 6]), 1)
        """
        from .exchange.pytorch import to_torch

        return to_torch(self.plan, transform)

    def to_hf(self, *, cache_dir: str | Path | None = None) -> datasets.Dataset:
        """The images, made once, as a data set of Hugging Face's `datasets`.

        It lies on disk, in the cache of that library; the same data set is found there again. To
        keep the files where you want them: `write(..., format="parquet")`.

        Parameters
        ----------
        cache_dir : str or Path, optional
            Default: that of `datasets`.

        Returns
        -------
        datasets.Dataset
            With the columns image (PNG), label (of named classes), id, copy, and group where there
            are groups.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> cells = Dataset.from_arrays(np.zeros((3, 8, 8, 3), np.uint8), ["b", "a", "b"])
        >>> with TemporaryDirectory() as folder:
        ...     cells.to_hf(cache_dir=folder).features["label"].names
        ['a', 'b']
        """
        from .exchange.hf import to_hf

        return to_hf(self.plan, cache_dir)

    def to_pandas(self) -> pd.DataFrame:
        """One row an image: what `table` has, and what was done to it.

        These are the columns of `index.parquet` but for the places of the images: a column for
        each parameter of each step, empty where the step left an image alone. The images of steps
        that have not been written yet are made for it.

        Examples
        --------
        >>> from cellprep import Jitter, Recipe
        >>> cells = Dataset.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), [0, 1])
        >>> list(Recipe([Jitter(rotation=90)])(cells).to_pandas())
        ['id', 'copy', 'label', 'class_name', 'jitter.rotation', 'jitter.shift_x', ...]
        """
        from .exchange.tables import to_pandas

        return to_pandas(self.plan)

    @classmethod
    def from_tf(
        cls,
        data: tf.data.Dataset,
        *,
        class_names: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Dataset:
        """A data set over all of a `tf.data.Dataset`, which is read into memory.

        Parameters
        ----------
        data : tf.data.Dataset
            Of pairs (image, label) or of dicts with `image` and `label`, as tensorflow_datasets
            gives them; in batches or not.
        class_names, ids, groups
            As in `from_arrays`. Default: the `class_names` that `data` has, if any.

        Examples
        --------
        >>> cells = Dataset.from_arrays(np.zeros((3, 8, 8, 3), np.uint8), [0, 1, 1])
        >>> Dataset.from_tf(cells.to_tf(batch=2))
        Dataset(3 images of 8x8, 2 classes, in memory)
        """
        from .exchange.tf import from_tf

        return cls(from_tf(data, class_names, ids, groups))

    @classmethod
    def from_torch(
        cls,
        data: Any,
        *,
        class_names: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Dataset:
        """A data set over a map-style torch data set, such as those of torchvision.

        All of it is looked at once, for labels and digests; images are read again when they are
        asked for, and refused if they are others then.

        Parameters
        ----------
        data : torch.utils.data.Dataset
            Of pairs (image, label): an image is a tensor (3, height, width), a Pillow image or an
            array (height, width, 3), uint8.
        class_names, ids, groups
            As in `from_arrays`. Default: the `classes` that `data` has, if any.

        Examples
        --------
        >>> cells = Dataset.from_arrays(np.zeros((3, 8, 8, 3), np.uint8), ["b", "a", "b"])
        >>> Dataset.from_torch(cells.to_torch()).counts()
        {'a': 1, 'b': 2}
        """
        from .exchange.pytorch import from_torch

        return cls(from_torch(data, class_names, ids, groups))

    @classmethod
    def from_hf(
        cls,
        data: datasets.Dataset,
        *,
        image: str | None = None,
        label: str | None = None,
        id: str | None = None,
        group: str | None = None,
        size: int | tuple[int, int] | None = None,
    ) -> Dataset:
        """A data set over one of Hugging Face's `datasets`; images are read when asked for.

        Parameters
        ----------
        data : datasets.Dataset
        image, label : str, optional
            The two columns. Default: those that are of the types Image and ClassLabel, or called
            so. Images in a column `mask` are taken as drawn masks.
        id, group : str, optional
            What each image is called, and what must stay together. Default: the columns `id`,
            where it tells the rows apart (with `copy`, if there is one), and `group`; else the row
            number, and no groups.
        size : int or (height, width), optional
            What every image is resized to.

        Examples
        --------
        >>> import datasets
        >>> pictures = [{"bytes": encoded, "path": None} for encoded in (b"no PNG", b"nor this")]
        >>> data = datasets.Dataset.from_dict({"image": pictures, "label": ["b", "a"]})
        >>> Dataset.from_hf(data, size=64).counts()
        {'a': 1, 'b': 1}
        """
        from .exchange.hf import from_hf

        return cls(from_hf(data, image, label, id, group, size))

    @classmethod
    def from_pandas(
        cls,
        table: pd.DataFrame,
        *,
        file: str = "file",
        label: str = "label",
        id: str | None = None,
        group: str | None = None,
        class_names: Sequence[str] | None = None,
        root: str | Path | None = None,
        size: int | tuple[int, int] | None = None,
    ) -> Dataset:
        """A data set from a table of image files; they are read when asked for.

        Parameters
        ----------
        table : DataFrame
        file, label : str
            The columns of paths and of labels.
        id, group : str, optional
            What each image is called, and what must stay together. Default: the columns `id`,
            where it tells the rows apart (with `copy`, if there is one), and `group`; else the
            path, and no groups.
        class_names : sequence of str, optional
            As in `from_arrays`.
        root : str or Path, optional
            The folder, or URL, that the paths are relative to. Default: the current folder.
        size : int or (height, width), optional
            What every image is resized to.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"path": ["a/1.png", "a/2.png"], "kind": ["mono", "baso"]})
        >>> Dataset.from_pandas(table, file="path", label="kind", size=96)
        Dataset(2 images of 96x96, 2 classes, from a)
        """
        from .exchange.tables import from_pandas

        return cls(from_pandas(table, file, label, id, group, class_names, root, size))

    # -- other data sets from it -------------------------------------------------------------

    def then(self, move: Move) -> Dataset:
        """This data set with one more move on its plan, made when it is needed."""
        return Dataset(self.source, self, move)

    def readable(self) -> Dataset:
        """This data set without the images that cannot be read; they are listed in `bad`.

        Every step sees only the readable images, as if the others had never been there.
        """
        return self if self.source.trusted or self._only_readable else self._readable

    @cached_property
    def _readable(self) -> Dataset:
        if self._before is None or self._move is None:
            return Dataset(self.source, _only_readable=True)
        before = self._before.readable()
        return self if before is self._before else before.then(self._move)


def as_dataset(
    images: Dataset | ArrayLike, labels: ArrayLike | None = None, ids: ArrayLike | None = None
) -> tuple[Dataset, NDArray[Any]]:
    """The data set itself, or one over arrays, and the label values that its numbers stand for.

    Unlike `Dataset.from_arrays` it takes any numbers; without labels all images are of class 0.
    """
    if isinstance(images, Dataset):
        if labels is not None:
            raise CellprepError("a Dataset has its own labels; pass no others with it")
        return images, np.array(images.class_names)
    checked = check_images(images)
    n = len(checked)
    values = read_labels(np.zeros(n, np.int64) if labels is None else labels, n, empty=True)
    found, codes = np.unique(values, return_inverse=True)
    names = [str(name) for name in found.tolist()]
    return Dataset.from_arrays(checked, codes, class_names=names, ids=ids), found


def _fixed(column: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written to."""
    view = column.view()
    view.flags.writeable = False
    return view


def check_dataset(dataset: object) -> None:
    """Refuse what is not a Dataset, such as the arrays of one."""
    if not isinstance(dataset, Dataset):
        raise CellprepError(
            f"a Dataset is needed, got {type(dataset).__name__}; make one with "
            "cellprep.read(path) or Dataset.from_arrays(images, labels)"
        )
