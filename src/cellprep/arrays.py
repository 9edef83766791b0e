"""What an image array and a label array are, and the check at the door.

Images are `(n, height, width, 3)` uint8 RGB everywhere behind these checks, labels `(n,)` int64
that index the class names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import CellprepError

Images = NDArray[np.uint8]
"""(n, height, width, 3), RGB, 0-255."""
Masks = NDArray[np.bool_]
"""(n, height, width), True on the cell."""
Labels = NDArray[np.int64]
"""(n,), an index into the class names."""
Positions = NDArray[np.intp]
"""(k,), places in a table of rows."""
Keys = NDArray[np.uint64]
"""(n,), one random-number key a row."""
Ids = NDArray[Any]
"""(n,), int64 or str: what a source calls its images."""


def check_images(images: ArrayLike, name: str = "images") -> Images:
    """Refuse what is not a batch of 8-bit RGB images; nothing is converted, nothing copied.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
        A memory map stays one.

    Raises
    ------
    CellprepError
        For another rank, channel count or dtype, and for no images or images of no pixels.

    Examples
    --------
    >>> check_images(np.zeros((2, 8, 8, 3), np.uint8)).shape
    (2, 8, 8, 3)
    """
    array = images if isinstance(images, np.ndarray) else np.asarray(images)
    got = f"got shape {array.shape}, dtype {array.dtype}"
    if array.ndim == 3 and array.shape[-1] == 3:
        raise CellprepError(
            f"`{name}` must be a batch (n, height, width, 3), {got}; one image is {name}[None]"
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
        raise CellprepError(f"`{name}` holds no images, {got}")
    if 0 in array.shape:
        raise CellprepError(f"`{name}` holds images of no pixels, {got}")
    if array.dtype != np.uint8:
        raise CellprepError(f"`{name}` must be uint8 in 0-255, {got}; {_to_uint8(array, name)}")
    return array


def _to_uint8(array: NDArray[Any], name: str) -> str:
    """How this array would become uint8, from a look at its values."""
    if array.dtype.kind not in "fiub":
        return "these are not numbers"
    few = np.asarray(array[: 1 + 1_000_000 // max(1, array[0].size)])
    if array.dtype.kind == "f" and not np.isfinite(few).all():
        return "it holds NaN or infinite values, mend them first"
    low, high = few.min(), few.max()
    seen = f"values seen: {low:g} to {high:g}"
    if array.dtype.kind in "fb" and low >= 0 and high <= 1:
        return f"{seen}; if 0-1 is meant, use np.rint({name} * 255).astype(np.uint8)"
    if low >= 0 and high <= 255:
        return f"{seen}; if 0-255 is meant, use np.rint({name}).astype(np.uint8)"
    if array.dtype.kind in "iu" and low >= 0:
        return f"{seen}; scale 16-bit images down first, e.g. ({name} >> 8).astype(np.uint8)"
    return f"{seen}; scale them to 0-255 first"


def check_masks(masks: ArrayLike, images: Images, name: str = "masks") -> Masks:
    """Masks of these images as (n, height, width) bool: any value but 0 is the cell.

    Examples
    --------
    >>> check_masks(np.full((2, 8, 8), 255, np.uint8), np.zeros((2, 8, 8, 3), np.uint8)).dtype
    dtype('bool')
    """
    array = masks if isinstance(masks, np.ndarray) else np.asarray(masks)
    if array.shape != images.shape[:3] or array.dtype.kind not in "bui":
        raise CellprepError(
            f"`{name}` must be {images.shape[:3]} bool, or whole numbers of which any but 0 is "
            f"the cell, got shape {array.shape}, dtype {array.dtype}"
        )
    return array if array.dtype == bool else array != 0


def read_labels(labels: ArrayLike, n: int, *, empty: bool = False) -> NDArray[Any]:
    """Labels as one value an image, `(n,)` int64 or str.

    `(n,)` and `(n, 1)` are read as they stand, a one-hot or bool `(n, k >= 2)` by the place of its
    one; whole numbers stored as floats become int64, bytes become str. `empty` allows a class of
    a one-hot that no image has, which the values cannot tell.

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
        raise CellprepError(f"`labels` must hold one label for each of the {n} images, {got}")
    if array.dtype.kind == "O":
        kinds = {type(value) for value in array.ravel()}
        if not kinds <= {str, np.str_}:
            raise CellprepError(
                "`labels` of objects must all be str, got "
                + ", ".join(sorted(kind.__name__ for kind in kinds))
            )
        array = array.astype(str)
    array = decoded(array, "labels")
    if array.dtype.kind not in "iufbUT":
        raise CellprepError(f"`labels` must be whole numbers or text, {got}")
    if array.dtype.kind == "T":
        array = np.array(array.tolist(), str)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.shape[1] >= 2 and array.dtype.kind != "U":
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            raise CellprepError(
                f"`labels` of two dimensions must be (n, 1) or one-hot (a single 1 "
                f"a row, the rest 0), {got}; for probabilities pass the argmax, "
                "for several labels an image choose one"
            )
        absent = np.flatnonzero(array.sum(axis=0) == 0)
        if len(absent) and not empty:
            raise CellprepError(
                f"one-hot `labels` have {array.shape[1]} classes, but no image has label "
                f"{absent[0]}; pass `class_names`, or leave its column out"
            )
        return np.asarray(array.argmax(axis=1), dtype=np.int64)
    if array.ndim != 1:
        raise CellprepError(f"`labels` must be (n,), (n, 1) or one-hot (n, classes), {got}")
    if array.dtype.kind == "U":
        return array
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
            "drop or renumber rows marked as unlabelled"
        )
    return whole


def decoded(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Bytes as text; anything else as it is."""
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise CellprepError(f"`{name}` given as bytes must be text in UTF-8: {error}") from None


def encode_labels(
    values: NDArray[Any], class_names: Sequence[str] | None
) -> tuple[Labels, tuple[str, ...]]:
    """Label values as int64 indices of class names.

    Text is numbered by its place in `class_names` (sorted, if none are given); numbers are
    indices already, and without names they must use every number from 0 up.

    Examples
    --------
    >>> encode_labels(np.array(["b", "a", "b"]), None)
    (array([1, 0, 1]), ('a', 'b'))
    """
    if class_names is not None:
        names = tuple(str(name) for name in class_names)
        if len(set(names)) != len(names) or not names:
            raise CellprepError(f"`class_names` must be different names, got {list(names)}")
        check_texts(names, "`class_names`")
    if values.dtype.kind == "U":
        found, codes = np.unique(values, return_inverse=True)
        check_texts(found.tolist(), "`labels`")
        if class_names is None:
            return codes.astype(np.int64), tuple(found.tolist())
        missing = sorted(set(found.tolist()) - set(names))
        if missing:
            raise CellprepError(
                f"`labels` hold {missing[:3]}, which `class_names` does not: {list(names)}"
            )
        place = np.array([names.index(name) for name in found.tolist()], dtype=np.int64)
        return place[codes], names
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
            f"label {absent}; pass `class_names` (one name a number) if that "
            "class is empty, or renumber with np.unique(labels, "
            "return_inverse=True)[1]"
        )
    return values, tuple(str(number) for number in range(high + 1))


def check_texts(texts: Sequence[str], name: str) -> None:
    """Refuse text that no table can hold: a NUL, or bytes that were not UTF-8.

    >>> check_texts(["Basophil 1"], "class names")
    """
    if not _holds(" ".join(texts)):
        wrong = next(text for text in texts if not _holds(text))
        shown = wrong.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        raise CellprepError(f"{name} must be text in UTF-8 without NULs, got '{shown}'")


def _holds(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def check_ids(ids: ArrayLike | None, n: int, name: str = "ids") -> Ids:
    """Ids, or groups, as `(n,)` int64 or str; the row numbers if None."""
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
    array = decoded(array, name)
    if array.shape != (n,) or array.dtype.kind not in "iU":
        raise CellprepError(
            f"`{name}` must be one whole number or text for each of the {n} images, "
            f"got shape {array.shape}, dtype {array.dtype}"
        )
    if array.dtype.kind == "i":
        return array.astype(np.int64)
    check_texts(array.tolist(), f"`{name}`")
    return array


def own(images: Images) -> Images:
    """Images that may be changed: a copy of those that belong to a source, which are read-only."""
    return images if images.flags.writeable else images.copy()


def run_of(at: Positions) -> slice | None:
    """Places as a slice, where each is the one before it plus one.

    >>> run_of(np.array([3, 4, 5]))
    slice(3, 6, None)
    """
    if not len(at) or at[-1] - at[0] != len(at) - 1:
        return None
    run = slice(int(at[0]), int(at[-1]) + 1)
    return run if len(at) == 1 or (at[1:] - at[:-1] == 1).all() else None


def taken(array: NDArray[Any], at: Positions) -> NDArray[Any]:
    """What stands at some places: a view where they are a run, else a copy."""
    run = run_of(at)
    return array[at if run is None else run]
