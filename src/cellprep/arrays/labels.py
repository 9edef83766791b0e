"""Checks of labels, class names, ids and groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CellprepError
from .kinds import Ids, Labels
from .values import plain


def read_labels(labels: ArrayLike, n: int, *, empty: bool = False) -> NDArray[Any]:
    """Labels as one value per image, `(n,)` int64 or str.

    `(n,)` and `(n, 1)` keep their values; a one-hot `(n, k >= 2)` becomes the index of its 1. Whole
    numbers stored as floats become int64, bytes become str. Columns of pandas and tensors are
    converted.

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
        not one-hot, and objects that are neither all text nor all numbers.

    Examples
    --------
    >>> read_labels([[2], [0]], 2)
    array([2, 0])
    >>> read_labels([[0, 1], [1, 0]], 2)
    array([1, 0])
    """
    array = plain(labels, "labels")
    got = f"got shape {array.shape}, dtype {array.dtype}"
    if array.ndim == 0 or len(array) != n:
        raise CellprepError(f"`labels` must have one label for each of the {n} images, {got}")
    if array.dtype.kind not in "iufbU":
        raise CellprepError(f"`labels` must be whole numbers or text, {got}")
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
    array = plain(ids, name)
    if array.dtype.kind == "u" and (array < 2**63).all():
        array = array.astype(np.int64)
    if array.shape != (n,) or array.dtype.kind not in "iU":
        raise CellprepError(
            f"`{name}` must have one whole number or text for each of the {n} images, "
            f"got shape {array.shape}, dtype {array.dtype}"
        )
    if array.dtype.kind == "i":
        return array.astype(np.int64)
    check_texts(array.tolist(), f"`{name}`")
    return array
