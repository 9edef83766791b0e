"""Splits on disk: one rule for all formats of what is a training, validation or test set.

A name is that of a split if one of its words is: `TRAIN`, `cells-train-00000-of-00002.tfrecord`,
`x_test`. A name with the words of two splits is that of neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..errors import CellprepError, one_of

_WORDS = {
    "train": ("train", "training", "trn", "trainset", "traindata"),
    "val": ("val", "valid", "validation", "validate", "dev", "valset", "validset"),
    "test": ("test", "testing", "tst", "testset", "testdata", "eval", "evaluation", "holdout"),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
OTHER = "other"
"""The split of what is in none, where there are splits."""
ALL = "all"
"""The value of `part` that reads all splits together."""


def split_of(name: str) -> str | None:
    """The split that a file, folder or array is named after.

    >>> [split_of(name) for name in ("TRAIN", "x_test", "ValidSet-2", "eosinophil", "train_val")]
    ['train', 'test', 'val', None, None]
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    found = {_SPLIT_OF[word.lower()] for word in words if word.lower() in _SPLIT_OF}
    return found.pop() if len(found) == 1 else None


def split_of_file(name: str) -> str:
    """The split that is named in the folders of a file, the nearest first, or in its own name.

    >>> split_of_file("data/validation-00000-of-00001.parquet"), split_of_file("all.tar")
    ('val', 'other')
    """
    path = PurePosixPath(name)
    for part in (*path.parts[-2::-1], path.name):
        found = split_of(part)
        if found is not None:
            return found
    return OTHER


def in_order(splits: Iterable[str]) -> tuple[str, ...]:
    """Each split once: train, val, test, further ones, other.

    >>> in_order(["other", "test", "train", "test"])
    ('train', 'test', 'other')
    """
    order = (*_WORDS, *sorted({*splits} - {*_WORDS, OTHER}), OTHER)
    there = {*splits}
    return tuple(name for name in order if name in there)


def splits_of_folders(names: Iterable[str], containers: Iterable[str]) -> dict[str, str] | None:
    """The split of each of some folders side by side; None if they are classes.

    Parameters
    ----------
    names : iterable of str
        Of the folders with images in them, however deep.
    containers : iterable of str
        Those of them whose images are all in folders below.

    They are splits if all are named after splits, such as `TRAIN`, `TEST` and `TEST_SIMPLE`. Beside
    other folders, a name counts only if it is exactly that of a split (`train`, not `stress_test`),
    and a single one only if it contains folders: the class `train` has cars and buses beside it.
    """
    names, inside = sorted(names), {*containers}
    loose = {name: split_of(name) for name in names}
    exact = {name: _SPLIT_OF.get(name.strip("_- 0123456789").lower()) for name in names}
    named = {name for name in names if exact[name]}
    several = len({*loose.values()} - {None}) > 1
    if None not in loose.values() and (several or named):
        found = {name: str(split) for name, split in loose.items()}
    elif len({exact[name] for name in named}) > 1 or (named and named <= inside):
        found = {name: exact[name] or OTHER for name in names}
    else:
        return None
    return found | {
        name: name
        for name, split in found.items()
        if name not in named and any(found[exact_one] == split for exact_one in named)
        if split != OTHER
    }


def chosen(path: Path, part: str | None, splits: Iterable[str]) -> str | None:
    """The split to read, of those that were found; None where there are none."""
    found = in_order(splits)
    listed = ", ".join(found)
    if part is None and len(found) > 1:
        raise CellprepError(
            f"{str(path)!r} has the splits {listed}; choose one with part= (--part), or "
            f"part={ALL!r}, which keeps them as a column"
        )
    if part is None:
        return found[0] if found else None
    if not found:
        raise CellprepError(
            f"{str(path)!r} has no splits, such as folders named train and test; leave `part` "
            "(--part) out"
        )
    if isinstance(part, str) and part not in found:
        known = {name.casefold(): name for name in found}
        part = known.get(part.casefold(), _SPLIT_OF.get(part.lower(), part))
    if part != ALL:
        one_of("part", part, found)
    return part
