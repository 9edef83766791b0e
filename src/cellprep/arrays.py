"""Types of arrays and the checks of arrays that users pass.

After these checks, images are `(n, height, width, 3)` uint8 RGB everywhere, and labels `(n,)` int64
indices of the class names. The names in `__all__` are public: steps of other packages may use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import CellprepError

__all__ = [
    "Ids",
    "Images",
    "Keys",
    "Labels",
    "Masks",
    "Positions",
    "as_slice",
    "check_ids",
    "check_images",
    "check_masks",
    "check_texts",
    "decode_text",
    "eight_bits",
    "encode_labels",
    "read_labels",
    "take",
    "writable",
]

Images = NDArray[np.uint8]
"""(n, height, width, 3), RGB, 0-255."""
Masks = NDArray[np.bool_]
"""(n, height, width), True on the cell."""
Labels = NDArray[np.int64]
"""(n,), an index into the class names."""
Positions = NDArray[np.intp]
"""(k,), indices into a table of rows."""
Keys = NDArray[np.uint64]
"""(n,), one random-number key per row."""
Ids = NDArray[Any]
"""(n,), int64 or str: the names of the images of a source."""


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
    array = images if isinstance(images, np.ndarray) else np.asarray(images)
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
    array = masks if isinstance(masks, np.ndarray) else np.asarray(masks)
    if array.shape != images.shape[:3] or array.dtype.kind not in "bui":
        raise CellprepError(
            f"`{name}` must have shape {images.shape[:3]} and be bool, or whole numbers that are "
            f"nonzero on the cell, got shape {array.shape}, dtype {array.dtype}"
        )
    return array if array.dtype == bool else array != 0


def read_labels(labels: ArrayLike, n: int, *, empty: bool = False) -> NDArray[Any]:
    """Labels as one value per image, `(n,)` int64 or str.

    `(n,)` and `(n, 1)` keep their values; a one-hot `(n, k >= 2)` becomes the index of its 1. Whole
    numbers stored as floats become int64, bytes become str.

    Parameters
    ----------
    labels : (n,), (n, 1) or one-hot (n, k)
    n : int
        The number of images.
    empty : bool
        Allow one-hot labels with a class that no image has.

    Raises
    ------
    CellprepError
        For another length or shape, NaN or fractional values, negative numbers, rows that are
        not one-hot, and objects that are not text.

    Examples
    --------
    >>> read_labels([[2], [0]], 2)
    array([2, 0])
    >>> read_labels([[0, 1], [1, 0]], 2)
    array([1, 0])
    """
    array = np.asarray(labels)
    got = f"got shape {array.shape}, dtype {array.dtype}"
    if array.ndim == 0 or len(array) != n:
        raise CellprepError(f"`labels` must have one label for each of the {n} images, {got}")
    if array.dtype.kind == "O":
        kinds = {type(value) for value in array.ravel()}
        if not kinds <= {str, np.str_}:
            raise CellprepError(
                "`labels` of dtype object must all be str, got "
                + ", ".join(sorted(kind.__name__ for kind in kinds))
            )
        array = array.astype(str)
    array = decode_text(array, "labels")
    if array.dtype.kind not in "iufbUT":
        raise CellprepError(f"`labels` must be whole numbers or text, {got}")
    if array.dtype.kind == "T":
        array = np.array(array.tolist(), str)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.shape[1] >= 2 and array.dtype.kind != "U":
        return _from_one_hot(array, got, empty)
    if array.ndim != 1:
        raise CellprepError(f"`labels` must be (n,), (n, 1) or one-hot (n, classes), {got}")
    return array if array.dtype.kind == "U" else _whole_numbers(array, got)


def _from_one_hot(array: NDArray[Any], got: str, empty: bool) -> Labels:
    if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
        raise CellprepError(
            "two-dimensional `labels` must be (n, 1) or one-hot (one 1 per row, the rest 0), "
            f"{got}; for probabilities pass the argmax, of several labels per image choose one"
        )
    absent = np.flatnonzero(array.sum(axis=0) == 0)
    if len(absent) and not empty:
        raise CellprepError(
            f"one-hot `labels` have {array.shape[1]} classes, but no image has label "
            f"{absent[0]}; pass `class_names` or remove that column"
        )
    return np.asarray(array.argmax(axis=1), dtype=np.int64)


def _whole_numbers(array: NDArray[Any], got: str) -> Labels:
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array % 1 == 0).all()):
        raise CellprepError(
            f"`labels` must be whole numbers, {got} with NaN, infinite or fractional values"
        )
    if array.dtype.kind in "uf" and (array >= 2**63).any():
        raise CellprepError(f"`labels` must be smaller than 2**63, the largest is {array.max()}")
    whole = array.astype(np.int64)
    if (whole < 0).any():
        raise CellprepError(
            f"`labels` must not be negative, the smallest is {whole.min()}; "
            "remove or renumber unlabelled rows"
        )
    return whole


def decode_text(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Bytes as text; any other array unchanged.

    >>> decode_text(np.array([b"mono", b"baso"]), "labels").tolist()
    ['mono', 'baso']
    """
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise CellprepError(f"`{name}` given as bytes must be UTF-8 text: {error}") from None


def encode_labels(
    values: NDArray[Any], class_names: Sequence[str] | None
) -> tuple[Labels, tuple[str, ...]]:
    """Label values as int64 indices of class names.

    Text becomes its index in `class_names` (default: the sorted values). Numbers are indices
    already; without `class_names` they must use every number from 0 up.

    Parameters
    ----------
    values : (n,) int64 or str
        From `read_labels`.
    class_names : sequence of str or None

    Returns
    -------
    labels : (n,) int64
    class_names : tuple of str

    Examples
    --------
    >>> encode_labels(np.array(["b", "a", "b"]), None)
    (array([1, 0, 1]), ('a', 'b'))
    """
    if class_names is not None:
        names = tuple(str(name) for name in class_names)
        if len(set(names)) != len(names) or not names:
            raise CellprepError(f"`class_names` must be unique and not empty, got {list(names)}")
        check_texts(names, "`class_names`")
    if values.dtype.kind == "U":
        found, codes = np.unique(values, return_inverse=True)
        check_texts(found.tolist(), "`labels`")
        if class_names is None:
            return codes.astype(np.int64), tuple(found.tolist())
        missing = sorted(set(found.tolist()) - set(names))
        if missing:
            raise CellprepError(
                f"`labels` contain {missing[:3]}, `class_names` do not: {list(names)}"
            )
        index = np.array([names.index(name) for name in found.tolist()], dtype=np.int64)
        return index[codes], names
    high = int(values.max()) if len(values) else -1
    if class_names is not None:
        if high >= len(names):
            raise CellprepError(
                f"`labels` go up to {high}, but there are {len(names)} "
                f"`class_names` (0 to {len(names) - 1})"
            )
        return values, names
    used = np.unique(values)
    if len(used) != high + 1:
        absent = int((used != np.arange(len(used))).argmax())
        raise CellprepError(
            f"`labels` must use every number from 0 to {high}, but no image has "
            f"label {absent}; if that class is empty pass `class_names`, otherwise renumber with "
            "np.unique(labels, return_inverse=True)[1]"
        )
    return values, tuple(str(number) for number in range(high + 1))


def check_texts(texts: Sequence[str], name: str) -> None:
    """Refuse text that a table cannot store: NULs and surrogates (undecodable bytes).

    >>> check_texts(["Basophil 1"], "class names")
    """
    if not _is_storable(" ".join(texts)):
        wrong = next(text for text in texts if not _is_storable(text))
        shown = wrong.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        raise CellprepError(f"{name} must be UTF-8 text without NULs, got '{shown}'")


def _is_storable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def check_ids(ids: ArrayLike | None, n: int, name: str = "ids") -> Ids:
    """Ids, or groups, as `(n,)` int64 or str; the row numbers if None.

    >>> check_ids(["a/1.png", "a/2.png"], 2).tolist(), check_ids(None, 3).tolist()
    (['a/1.png', 'a/2.png'], [0, 1, 2])
    """
    if ids is None:
        return np.arange(n)
    array = np.asarray(ids)
    if array.dtype.kind == "O":
        kinds = {type(value) for value in array.ravel()}
        if not (kinds <= {str, np.str_} or kinds <= {int, np.int64}):
            raise CellprepError(
                f"`{name}` must all be text or all be whole numbers, none missing, got "
                + ", ".join(sorted(kind.__name__ for kind in kinds))
            )
        array = array.astype(np.int64 if kinds <= {int, np.int64} else str)
    if array.dtype.kind == "T":
        array = np.array(array.tolist(), str)
    if array.dtype.kind == "u" and (array < 2**63).all():
        array = array.astype(np.int64)
    array = decode_text(array, name)
    if array.shape != (n,) or array.dtype.kind not in "iU":
        raise CellprepError(
            f"`{name}` must have one whole number or text for each of the {n} images, "
            f"got shape {array.shape}, dtype {array.dtype}"
        )
    if array.dtype.kind == "i":
        return array.astype(np.int64)
    check_texts(array.tolist(), f"`{name}`")
    return array


def writable(images: Images) -> Images:
    """Images that may be changed in place: a copy if they are read-only, as those of a source.

    >>> images = np.zeros((1, 8, 8, 3), np.uint8)
    >>> writable(images) is images
    True
    """
    return images if images.flags.writeable else images.copy()


def as_slice(at: Positions) -> slice | None:
    """Consecutive positions as a slice; None if they are not consecutive.

    >>> as_slice(np.array([3, 4, 5]))
    slice(3, 6, None)
    """
    if not len(at) or at[-1] - at[0] != len(at) - 1:
        return None
    run = slice(int(at[0]), int(at[-1]) + 1)
    return run if len(at) == 1 or (at[1:] - at[:-1] == 1).all() else None


def take(array: NDArray[Any], at: Positions) -> NDArray[Any]:
    """The elements at these positions: a view if they are consecutive, otherwise a copy.

    >>> take(np.arange(10), np.array([3, 4, 5])).tolist()
    [3, 4, 5]
    """
    run = as_slice(at)
    return array[at if run is None else run]
