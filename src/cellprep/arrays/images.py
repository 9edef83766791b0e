"""Checks of images and masks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CellprepError
from .kinds import Images, Masks
from .values import as_array


def check_images(images: ArrayLike, name: str = "images") -> Images:
    """Refuse anything but a batch of 8-bit RGB images; nothing is converted or copied.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
        A memory map remains one.
    name : str
        What error messages call the array.

    Raises
    ------
    CellprepError
        For another rank, number of channels or dtype, and if there are no images or no pixels.

    Examples
    --------
    >>> check_images(np.zeros((2, 8, 8, 3), np.uint8)).shape
    (2, 8, 8, 3)
    """
    array = _as_batch(images, name)
    got = f"got shape {array.shape}, dtype {array.dtype}"
    if array.ndim == 3 and array.shape[-1] == 3:
        raise CellprepError(
            f"`{name}` must be a batch (n, height, width, 3), {got}; for one image pass "
            f"{name}[None]"
        )
    if array.ndim == 3 or (array.ndim == 4 and array.shape[-1] == 1):
        raise CellprepError(
            f"`{name}` must be RGB (n, height, width, 3), {got}; for grey images "
            f"repeat the channel: np.repeat({name}.reshape(*{name}.shape[:3], 1),"
            " 3, -1)"
        )
    if array.ndim == 4 and array.shape[-1] == 4:
        raise CellprepError(
            f"`{name}` must be RGB (n, height, width, 3), {got}; drop the alpha "
            f"channel if it carries nothing: {name}[..., :3]"
        )
    if array.ndim == 4 and array.shape[1] == 3 and array.shape[-1] != 3:
        raise CellprepError(
            f"`{name}` must have the channels last (n, height, width, 3), {got}; "
            f"use np.moveaxis({name}, 1, -1)"
        )
    if array.ndim != 4 or array.shape[-1] != 3:
        raise CellprepError(f"`{name}` must be (n, height, width, 3) uint8 RGB, {got}")
    if array.shape[0] == 0:
        raise CellprepError(f"`{name}` contains no images, {got}")
    if 0 in array.shape:
        raise CellprepError(f"`{name}` contains images without pixels, {got}")
    if array.dtype != np.uint8:
        raise CellprepError(f"`{name}` must be uint8 in 0-255, {got}; {_to_uint8(array, name)}")
    return array


def _as_batch(images: ArrayLike, name: str) -> NDArray[Any]:
    """Images given as one array, as a tensor, or one by one."""
    if isinstance(images, np.ndarray) and images.dtype.kind != "O":
        return images
    one_by_one = isinstance(images, list | tuple) or getattr(images, "dtype", None) == np.dtype(
        object
    )
    if not one_by_one:
        return as_array(images)
    items: Any = images
    each = [as_array(image) for image in items]
    sizes = Counter("x".join(map(str, image.shape)) for image in each)
    if len(sizes) > 1:
        found = ", ".join(f"{size} ({count:,})" for size, count in sizes.most_common(4))
        more = f" and {len(sizes) - 4:,} more" * (len(sizes) > 4)
        raise CellprepError(
            f"`{name}` must all have one shape, got {found}{more}; resize them, or save them as "
            "files and read these with cellprep.read(folder, size=...)"
        )
    return np.array(each)


def _to_uint8(array: NDArray[Any], name: str) -> str:
    """How to convert this array to uint8, judging from its values."""
    if array.dtype.kind not in "fiub":
        return "these are not numbers"
    blocks = _blocks(array)
    low = min(block.min() for block in blocks)  # NaN and infinity pass through one of the two
    high = max(block.max() for block in blocks)
    if not np.isfinite([low, high]).all():
        return "it contains NaN or infinite values, fix them first"
    seen = f"values found: {low:g} to {high:g}"
    if array.dtype.kind in "fb" and low >= 0 and high <= 1:
        return f"{seen}; if the range is 0-1, use np.rint({name} * 255).astype(np.uint8)"
    if array.dtype.kind == "f" and -1 <= low < 0 and high <= 1:
        return (
            f"{seen}; if the range is -1 to 1, use np.rint(({name} + 1) * 127.5).astype(np.uint8)"
        )
    if low >= 0 and high <= 255:
        return f"{seen}; if the range is 0-255, use np.rint({name}).astype(np.uint8)"
    if array.dtype.kind in "iu" and low >= 0:
        return f"{seen}; {eight_bits(name, int(high))}"
    shifted = f"({name} + {-float(low):g})" if low < 0 else name
    return (
        f"{seen}; scale all images alike, e.g. "
        f"np.rint({shifted} * (255 / {float(high) - min(float(low), 0):g})).astype(np.uint8)"
    )


def _blocks(array: NDArray[Any]) -> list[NDArray[Any]]:
    """The array in pieces; of one that is too large for memory, evenly spaced images."""
    step = 1 + array.nbytes // (1 << 30)
    return [np.asarray(array[at : at + 1]) for at in range(0, len(array), step)]


def eight_bits(name: str, high: int) -> str:
    """How to bring whole numbers up to `high` to 8 bits.

    >>> eight_bits("images", 4095)
    'they need 12 bits, so use (images >> 4).astype(np.uint8)'
    """
    bits = high.bit_length()
    return f"they need {bits} bits, so use ({name} >> {max(0, bits - 8)}).astype(np.uint8)"


def check_masks(masks: ArrayLike, images: Images, name: str = "masks") -> Masks:
    """Masks of these images as (n, height, width) bool: nonzero on the cell.

    Parameters
    ----------
    masks : (n, height, width) bool or int
    images : (n, height, width, 3) uint8
    name : str
        What error messages call the array.

    Examples
    --------
    >>> check_masks(np.full((2, 8, 8), 255, np.uint8), np.zeros((2, 8, 8, 3), np.uint8)).dtype
    dtype('bool')
    """
    array = _as_batch(masks, name)
    if array.shape != images.shape[:3] or array.dtype.kind not in "bui":
        raise CellprepError(
            f"`{name}` must have shape {images.shape[:3]} and be bool, or whole numbers that are "
            f"nonzero on the cell, got shape {array.shape}, dtype {array.dtype}"
            + f"; for masks in colours on black pass {name}.any(-1)"
            * (array.ndim == 4)
        )
    return array if array.dtype == bool else array != 0
