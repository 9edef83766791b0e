"""PyTorch, which is imported together with this module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import ArrayLike, NDArray

from ...arrays import (
    Images,
    Positions,
    check_ids,
    check_images,
    encode_labels,
    read_labels,
)
from ...errors import CellprepError, in_range, require
from ...plan.digests import digest
from ...plan.plan import Plan
from ...plan.rows import Rows
from ...plan.source import NO_HISTORY, BaseSource, History, Shape
from ..views import ImageView
from . import check_not_empty

torch: Any = require("torch", "torch")

Transform = Callable[[Any], Any]


class TorchDataset(torch.utils.data.Dataset):  # type: ignore[misc]  # imported at run time
    """Images as (3, height, width) uint8 tensors, and labels; returned by `Dataset.to_torch`.

    Attributes
    ----------
    classes : list of str
    targets : (n,) int64 tensor
    transform : callable or None
    """

    def __init__(self, plan: Plan, transform: Transform | None) -> None:
        self._plan = plan
        self._epoch = torch.tensor(plan.epoch).share_memory_()  # with workers that persist
        self.classes = list(plan.class_names)
        self.targets = torch.tensor(plan.rows.labels)
        self.transform = transform

    def set_epoch(self, epoch: int) -> None:
        """Let the images be those of another epoch, from the next pass of a DataLoader on.

        Call it before each pass, as for the samplers of PyTorch.
        """
        in_range("epoch", epoch, 0, 2**31, whole=True)
        self._plan = self._plan.at_epoch(epoch)
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        return self.__getitems__([at])[0]

    def __getitems__(self, at: Iterable[int]) -> list[tuple[Any, int]]:
        """A batch at once: DataLoader calls this."""
        rows = [int(row) for row in at]
        if self._epoch != self._plan.epoch:
            self._plan = self._plan.at_epoch(int(self._epoch))
        images = torch.from_numpy(ImageView(self._plan)[rows]).permute(0, 3, 1, 2)
        result = images if self.transform is None else map(self.transform, images)
        return list(zip(result, self.targets[rows].tolist(), strict=True))


def to_torch(plan: Plan, transform: Transform | None, epoch: int | None) -> TorchDataset:
    """See `Dataset.to_torch`."""
    check_not_empty(plan)
    if epoch is not None:
        in_range("epoch", epoch, 0, 2**31, whole=True)
    # Another plan, even for the same epoch, finds masks once and not in each pass.
    shared = plan.at_epoch(plan.epoch if epoch is None else epoch)
    # It is pickled for workers, which do not need the rows that steps removed.
    return TorchDataset(replace(shared, changes=()), transform)


@dataclass(frozen=True, eq=False)
class TorchSource(BaseSource):
    """Images of a map-style torch data set, read on demand."""

    items: Any
    digests: NDArray[np.uint64]
    """(n, 2), of the images as they were read first."""
    rows: Rows
    class_names: tuple[str, ...]
    shape: Shape
    path: Path | None = None
    history: History = NO_HISTORY
    trusted: bool = True
    has_masks: bool = False

    def identity(self) -> str:
        return f"torch {self.shape} {xxhash.xxh3_128_hexdigest(self.digests.tobytes())}"

    def images(self, at: Positions) -> Images:
        images = [_pixels(self.items[row][0]) for row in at.tolist()]
        digests = np.array([digest(image[None])[0] for image in images])
        changed = (digests != self.digests[at]).any(axis=1)
        if changed.any():
            raise CellprepError(
                f"item {at[changed.argmax()]} of the torch data set changed between two reads; "
                "remove random transforms from it, cellprep applies its own"
            )
        return np.stack(images)


def from_torch(
    data: Any,
    class_names: Sequence[str] | None,
    ids: ArrayLike | None,
    groups: ArrayLike | None,
) -> TorchSource:
    """See `Dataset.from_torch`."""
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise CellprepError(
            "`data` must be a map-style torch data set, with len() and indexing, got "
            f"{type(data).__name__}"
        )
    n = len(data)
    if not n:
        raise CellprepError("`data` contains no images")
    labels, digests = [], np.empty((n, 2), np.uint64)
    first: Any = _item(data, 0)[0].shape
    for row in range(n):
        pixels, label = _item(data, row)
        if pixels.shape != first:
            raise CellprepError(
                f"item {row} is {pixels.shape[0]}x{pixels.shape[1]} pixels, item 0 "
                f"{first[0]}x{first[1]}; resize them in the transform of the data set"
            )
        digests[row] = digest(pixels[None])[0]
        labels.append(label)
    names = class_names or getattr(data, "classes", None)
    values = read_labels(np.array(labels), n, empty=names is not None)
    codes, known = encode_labels(values, names)
    checked = None if groups is None else check_ids(groups, n, "groups")
    rows = Rows.of(check_ids(ids, n), codes, groups=checked)
    return TorchSource(data, digests, rows, known, first)


def _item(data: Any, row: int) -> tuple[Images, NDArray[Any]]:
    item = data[row]
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise CellprepError(
            f"items of `data` must be pairs (image, label), item {row} is of type "
            f"{type(item).__name__}"
        )
    return _pixels(item[0]), np.asarray(item[1])


def _pixels(image: Any) -> Images:
    """A tensor (3, height, width), a Pillow image or an array as (height, width, 3)."""
    array = np.asarray(image)
    if torch.is_tensor(image) and array.ndim == 3 and len(array) == 3:
        array = np.moveaxis(array, 0, -1)
    pixels: Images = check_images(array[None])[0]
    return pixels
