"""The methods of a `Dataset` that convert to and from arrays and other libraries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import ArrayLike

from ...arrays import Images, Labels
from ...plan.plan import Plan
from ...plan.source import ArraySource, Source
from ...system import executors
from ...system.paths import check_shared

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import tensorflow as tf

    from .pytorch import TorchDataset


@dataclass(frozen=True, eq=False, repr=False)
class Exchange(ABC):
    """Each method imports the file of its library when it is called, and the library with it."""

    source: Source

    @property
    @abstractmethod
    def plan(self) -> Plan: ...

    # -- NumPy -------------------------------------------------------------------------------

    @classmethod
    def from_arrays(
        cls,
        images: ArrayLike,
        labels: ArrayLike,
        class_names: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        masks: ArrayLike | None = None,
    ) -> Self:
        """A data set from arrays, which are neither copied nor changed.

        Parameters
        ----------
        images : (n, height, width, 3) uint8
            RGB, 0-255.
        labels : (n,), (n, 1) or one-hot (n, classes)
            Whole numbers or text; stored as int64 indices of the class names.
        class_names : sequence of str, optional
            Required if a class has no images. Default: the numbers, or the sorted text.
        ids : (n,) int or str, optional
            Unique names of the images; they determine all random numbers. Default: the row number.
        groups : (n,) int or str, optional
            What must stay together in a split, such as the patient or slide.
        masks : (n, height, width) bool or int, optional
            Your own masks, nonzero on the cell. KMeansMask and Crop use them instead of computing
            masks; an empty mask counts as unknown.

        Raises
        ------
        CellprepError
            For any other shape, dtype or range; the message says how to convert.
        """
        return cls(ArraySource.of(images, labels, class_names, ids, groups, masks))

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
        return images, self.plan.rows.labels.copy()

    # -- TensorFlow and Keras ----------------------------------------------------------------

    def to_tf(
        self,
        batch: int = 32,
        *,
        shuffle: bool = False,
        seed: int = 0,
        epochs: int | range | None = None,
    ) -> tf.data.Dataset:
        """Batches for Keras and TensorFlow, computed on demand, with prefetching.

        Parameters
        ----------
        batch : int
            Images per batch; the last batch may be smaller.
        shuffle : bool
            Shuffle all rows again for each pass over the batches.
        seed : int
            Seed of the shuffling: the k-th pass has the same order in every run.
        epochs : int or range, optional
            Fresh copies: the batches of this many epochs one after another, or of these, to resume
            (see `Dataset.epoch`). Keras needs to know where an epoch ends: `steps_per_epoch`.
            Default: the same images in each pass.

        Returns
        -------
        tf.data.Dataset
            Of images (b, height, width, 3) uint8 and labels (b,) int64.

        Examples
        --------
        >>> import numpy as np
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((5, 8, 8, 3), np.uint8), [0, 1, 1, 0, 1])
        >>> [labels.numpy().tolist() for images, labels in cells.to_tf(batch=2)]
        [[0, 1], [1, 0], [1]]
        """
        from .tf import to_tf

        return to_tf(self.plan, batch, shuffle, seed, epochs)

    @classmethod
    def from_tf(
        cls,
        data: tf.data.Dataset,
        *,
        class_names: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """A data set from a `tf.data.Dataset`, which is read into memory.

        Parameters
        ----------
        data : tf.data.Dataset
            Of pairs (image, label) or of dicts with `image` and `label`, as in tensorflow_datasets;
            batched or not.
        class_names, ids, groups
            As in `from_arrays`. Default: the `class_names` of `data`, if any.

        Examples
        --------
        >>> import numpy as np
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((3, 8, 8, 3), np.uint8), [0, 1, 1])
        >>> Dataset.from_tf(cells.to_tf(batch=2))
        Dataset(3 images of 8x8, 2 classes, in memory)
        """
        from .tf import from_tf

        return cls(from_tf(data, class_names, ids, groups))

    # -- PyTorch -----------------------------------------------------------------------------

    def to_torch(
        self, *, transform: Callable[[Any], Any] | None = None, epoch: int | None = None
    ) -> TorchDataset:
        """A map-style data set for PyTorch, which a DataLoader reads batch by batch.

        Parameters
        ----------
        transform : callable, optional
            Applied to each image, as in torchvision.
        epoch : int, optional
            Fresh copies: the images of this epoch (see `Dataset.epoch`).

        Returns
        -------
        torch.utils.data.Dataset
            Of images (3, height, width) uint8, channels first as in torchvision, and labels, int.
            `classes` has the class names, `targets` the labels; `set_epoch(n)` changes the
            epoch, also in workers that persist.

        Examples
        --------
        >>> import numpy as np
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((5, 8, 6, 3), np.uint8), [0, 1, 1, 0, 1])
        >>> image, label = cells.to_torch()[1]
        >>> image.shape, label
        (torch.Size([3, 8, 6]), 1)
        """
        from .pytorch import to_torch

        return to_torch(self.plan, transform, epoch)

    @classmethod
    def from_torch(
        cls,
        data: Any,
        *,
        class_names: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """A data set from a map-style torch data set, such as those of torchvision.

        Every image is read once, for its label and digest. Images are read again on demand, and
        refused if they have changed.

        Parameters
        ----------
        data : torch.utils.data.Dataset
            Of pairs (image, label): an image is a tensor (3, height, width), a Pillow image or an
            array (height, width, 3), uint8.
        class_names, ids, groups
            As in `from_arrays`. Default: the `classes` of `data`, if any.

        Examples
        --------
        >>> import numpy as np
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((3, 8, 8, 3), np.uint8), ["b", "a", "b"])
        >>> Dataset.from_torch(cells.to_torch()).counts()
        {'a': 1, 'b': 2}
        """
        from .pytorch import from_torch

        return cls(from_torch(data, class_names, ids, groups))

    # -- Hugging Face ------------------------------------------------------------------------

    def to_hf(self, *, cache_dir: str | Path | None = None) -> datasets.Dataset:
        """The images, computed once, as a data set of Hugging Face's `datasets`.

        It is stored in the disk cache of that library and reused for an equal data set. To choose
        where the files go, use `write(..., format="parquet")`.

        Parameters
        ----------
        cache_dir : str or Path, optional
            Default: that of `datasets`.

        Returns
        -------
        datasets.Dataset
            With the columns image (PNG), label (a ClassLabel), id, copy, and group if there are
            groups.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from cellprep import Dataset
        >>> cells = Dataset.from_arrays(np.zeros((3, 8, 8, 3), np.uint8), ["b", "a", "b"])
        >>> with TemporaryDirectory() as folder:
        ...     cells.to_hf(cache_dir=folder).features["label"].names
        ['a', 'b']
        """
        from .hf import to_hf

        return to_hf(self.plan, cache_dir)

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
    ) -> Self:
        """A data set from one of Hugging Face's `datasets`; images are read on demand.

        Parameters
        ----------
        data : datasets.Dataset
        image, label : str, optional
            Column names. Default: the columns of type Image and ClassLabel, or with the usual
            names. Images in a column `mask` are used as masks.
        id, group : str, optional
            Columns with the name of each image and with what must stay together. Default: the
            columns `id`, if it is unique (together with `copy`, if there is one), and `group`;
            otherwise the row number, and no groups.
        size : int or (height, width), optional
            Size to which every image is resized.

        Examples
        --------
        >>> import datasets
        >>> from cellprep import Dataset
        >>> pictures = [{"bytes": encoded, "path": None} for encoded in (b"no PNG", b"nor this")]
        >>> data = datasets.Dataset.from_dict({"image": pictures, "label": ["b", "a"]})
        >>> Dataset.from_hf(data, size=64).counts()
        {'a': 1, 'b': 1}
        """
        from .hf import from_hf

        return cls(from_hf(data, image, label, id, group, size))

    # -- pandas ------------------------------------------------------------------------------

    def to_pandas(self) -> pd.DataFrame:
        """One row per image: the columns of `table`, and what was done to the image.

        The columns are those of `index.parquet` except for file locations: one for each parameter
        of each step, empty where the step left an image unchanged. Images that are not yet written
        are computed for it.

        Examples
        --------
        >>> import numpy as np
        >>> from cellprep import Dataset, Jitter, Recipe
        >>> cells = Dataset.from_arrays(np.zeros((2, 8, 8, 3), np.uint8), [0, 1])
        >>> list(Recipe([Jitter(rotation=90)])(cells).to_pandas())
        ['id', 'copy', 'label', 'class_name', 'jitter.rotation', 'jitter.shift_x', ...]
        """
        from .tables import to_pandas

        return to_pandas(self.plan)

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
    ) -> Self:
        """A data set from a table of image files, which are read on demand.

        Parameters
        ----------
        table : DataFrame
        file, label : str
            The columns of paths and of labels.
        id, group : str, optional
            Columns with the name of each image and with what must stay together. Default: the
            columns `id`, if it is unique (together with `copy`, if there is one), and `group`;
            otherwise the path, and no groups.
        class_names : sequence of str, optional
            As in `from_arrays`.
        root : str or Path, optional
            The folder, or URL, that the paths are relative to. Default: the current folder.
        size : int or (height, width), optional
            Size to which every image is resized.

        Examples
        --------
        >>> import pandas as pd
        >>> from cellprep import Dataset
        >>> table = pd.DataFrame({"path": ["a/1.png", "a/2.png"], "kind": ["mono", "baso"]})
        >>> Dataset.from_pandas(table, file="path", label="kind", size=96)
        Dataset(2 images of 96x96, 2 classes, from a)
        """
        from .tables import from_pandas

        return cls(from_pandas(table, file, label, id, group, class_names, root, size))
