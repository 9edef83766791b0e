"""Values in whatever form they come: objects, bytes, tensors, columns of pandas."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CellprepError


def as_array(values: ArrayLike) -> NDArray[Any]:
    """An array of what NumPy can convert, and of tensors with gradients or on another device.

    >>> as_array([1, 2])
    array([1, 2])
    """
    tensor: Any = values
    if hasattr(tensor, "detach"):
        return np.asarray(tensor.detach().cpu())
    return np.asarray(values)


def plain(values: ArrayLike, name: str) -> NDArray[Any]:
    """Labels or ids as an array of numbers or of str, in whatever form they come.

    Bytes become str, objects their common type; columns of pandas and tensors are converted.

    >>> plain(np.array([b"mono", b"baso"], object), "labels").tolist()
    ['mono', 'baso']
    """
    array = as_array(values)
    if array.dtype.kind == "O":
        array = _of_objects(array, name)
    if array.dtype.kind == "T":
        array = np.array(array.tolist(), str)
    return decode_text(array, name)


def _of_objects(array: NDArray[Any], name: str) -> NDArray[Any]:
    """An array of objects as one of their common type: text, whole numbers or floats."""
    flat = array.ravel().tolist()
    missing = next((row for row, value in enumerate(flat) if is_missing(value)), None)
    if missing is not None:
        raise CellprepError(
            f"`{name}` has no value in row {missing:,} (counted from 0); fill it in, or leave the "
            "row out"
        )
    if all(isinstance(value, str | bytes) for value in flat):
        texts = [text_of(value, name) for value in flat]
        return np.array(texts, str).reshape(array.shape)
    if all(isinstance(value, Real) for value in flat):
        return np.array(flat).reshape(array.shape)
    if len({np.shape(value) for value in flat}) == 1 and np.ndim(flat[0]):
        return plain([as_array(value) for value in flat], name)
    kinds = ", ".join(sorted({type(value).__name__ for value in flat}))
    raise CellprepError(
        f"`{name}` must all be text or all be numbers, got {kinds}; convert them with astype(str) "
        "or astype(int)"
    )


def is_missing(value: object) -> bool:
    """Whether a value is missing: None, NaN, NaT, pandas.NA.

    >>> is_missing(float("nan")), is_missing("NA")
    (True, False)
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def text_of(value: str | bytes, name: str) -> str:
    """Text, from bytes in UTF-8.

    >>> text_of(b"mono", "labels")
    'mono'
    """
    try:
        return str(value, "utf-8") if isinstance(value, bytes) else value
    except UnicodeDecodeError as error:
        raise CellprepError(f"`{name}` given as bytes must be UTF-8 text: {error}") from None


def decode_text(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Bytes as text; any other array unchanged.

    >>> decode_text(np.array([b"mono", b"baso"]), "labels").tolist()
    ['mono', 'baso']
    """
    if array.dtype.kind != "S":
        return array
    texts = [text_of(value, name) for value in array.ravel().tolist()]
    return np.array(texts, str).reshape(array.shape)
