"""Checks of labels, class names, ids and groups."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CellprepError
from .kinds import ClassNames, Ids, Labels
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
    values: NDArray[Any],
    class_names: ClassNames | None,
    stored: Sequence[str] | None = None,
) -> tuple[Labels, tuple[str, ...]]:
    """Label values as int64 indices of class names.

    Text becomes its index in `class_names` (default: the sorted values). Numbers are indices
    already; without `class_names` they must use every number from 0 up. The two Unicode forms of a
    name are the same name.

    Parameters
    ----------
    values : (n,) int64 or str
        From `read_labels`.
    class_names : sequence of str, or mapping of label values to str, or None
        A mapping, such as `{1: "baso", 2: "mono"}`, is for numbers that do not begin at 0.
    stored : sequence of str, optional
        The names that a file has for its numbers.

    Returns
    -------
    labels : (n,) int64
    class_names : tuple of str

    Examples
    --------
    >>> encode_labels(np.array(["b", "a", "b"]), None)
    (array([1, 0, 1]), ('a', 'b'))
    >>> encode_labels(np.array([2, 1]), {1: "baso", 2: "mono"})
    (array([1, 0]), ('baso', 'mono'))
    """
    if isinstance(class_names, Mapping):
        return _by_mapping(values, class_names)
    if class_names is None:
        class_names = stored
    elif stored is not None and values.dtype.kind == "i":
        values = np.array([*stored], str)[_checked(values, stored)]
    names = None if class_names is None else check_class_names(class_names)
    if values.dtype.kind == "U":
        return _index_of_texts(values, names)
    if names is not None:
        return _checked(values, names), names
    used = np.unique(values)
    high = int(used[-1]) if len(used) else -1
    if len(used) != high + 1:
        absent = int((used != np.arange(len(used))).argmax())
        listed = ", ".join(f'{number}: "..."' for number in used[:3].tolist())
        raise CellprepError(
            f"`labels` must use every number from 0 to {high}, but no image has label {absent}; "
            f"name the classes with class_names=[...], or number by number: "
            f"class_names={{{listed}{', ...' * (len(used) > 3)}}}"
        )
    return values, tuple(str(number) for number in range(high + 1))


def check_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Class names in one Unicode form; refused unless they are unique.

    >>> check_class_names(["mono", "baso"])
    ('mono', 'baso')
    """
    if isinstance(class_names, str):
        raise CellprepError(f"`class_names` must be a sequence of names, got {class_names!r}")
    names = tuple(one_form(str(name)) for name in class_names)
    if len(set(names)) != len(names) or not names:
        raise CellprepError(f"`class_names` must be unique and not empty, got {list(names)}")
    check_texts(names, "`class_names`")
    return names


def one_form(text: str) -> str:
    """Text in the composed Unicode form: a Mac writes file names in the other one.

    >>> len("e\u0301osinophile"), len(one_form("e\u0301osinophile"))
    (12, 11)
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _index_of_texts(
    values: NDArray[Any], names: tuple[str, ...] | None
) -> tuple[Labels, tuple[str, ...]]:
    found, codes = np.unique(values, return_inverse=True)
    check_texts(found.tolist(), "`labels`")
    texts = [one_form(text) for text in found.tolist()]
    known = tuple(sorted({*texts})) if names is None else names
    missing = sorted({*texts} - {*known})
    if missing:
        raise CellprepError(f"`labels` contain {missing[:3]}, `class_names` do not: {list(known)}")
    number = {name: index for index, name in enumerate(known)}
    index = np.array([number[text] for text in texts], dtype=np.int64)
    return index[codes], known


def _checked(values: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
    """Numbers that are indices of these names."""
    high = int(values.max()) if len(values) else -1
    if high >= len(names):
        raise CellprepError(
            f"`labels` go up to {high}, but there are {len(names)} `class_names` (0 to "
            f"{len(names) - 1}); for labels that begin at 1 pass "
            'class_names={1: "...", 2: "...", ...}'
        )
    return values


def _by_mapping(
    values: NDArray[Any], class_names: Mapping[Any, str]
) -> tuple[Labels, tuple[str, ...]]:
    """Labels by a mapping of their values to names; several values may have one name."""
    order = dict.fromkeys(class_names.values())
    names = check_class_names([*order])
    text = values.dtype.kind == "U"
    number = {
        one_form(str(value)) if text else str(value): names.index(one_form(str(name)))
        for value, name in class_names.items()
    }
    found, codes = np.unique(values, return_inverse=True)
    texts = [one_form(str(value)) for value in found.tolist()]
    missing = [value for value in texts if value not in number]
    if missing:
        raise CellprepError(
            f"`labels` contain {', '.join(missing[:3])}, but `class_names` has no name for it; it "
            f"names {', '.join(number)}"
        )
    return np.array([number[value] for value in texts], np.int64)[codes], names


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
    if name == "groups" and not all(text.isascii() for text in array.tolist()):
        return np.array([one_form(text) for text in array.tolist()])
    return array
