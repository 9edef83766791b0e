"""Constraints on the settings of a step, given in the annotations of its fields.

`Literal["a", "b"]` lists choices, which editors then offer.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np

from ..errors import CellprepError, in_range, one_of


class Range(typing.NamedTuple):
    """A number in [low, high]; a whole number if its type is int."""

    low: float
    high: float


class OneOf(tuple[str, ...]):
    """One of several strings.

    >>> OneOf("one", "drop")
    ('one', 'drop')
    """

    def __new__(cls, *names: str) -> OneOf:
        return super().__new__(cls, names)


Option = tuple[Any, Any]
"""An allowed type of a setting, and its constraint or None."""


@cache
def options(kind: type) -> dict[str, tuple[Option, ...]]:
    """The allowed types of each setting of a step, with their constraints."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: tuple(_options(hints[field.name])) for field in fields(kind)}


def _options(hint: Any) -> Iterator[Option]:
    if get_origin(hint) is Annotated:
        base, *constraints = get_args(hint)
        yield base, constraints[0]
    elif get_origin(hint) is Literal:
        yield str, OneOf(*get_args(hint))
    elif get_origin(hint) in (typing.Union, types.UnionType):
        for option in get_args(hint):
            yield from _options(option)
    else:
        yield hint, None


def check(step: Any) -> None:
    """Convert settings to plain Python types, as recipe files need, and refuse invalid ones."""
    kind: Any = type(step)
    for name, allowed in options(kind).items():
        value = _plain(getattr(step, name))
        object.__setattr__(step, name, value)
        _check(name, value, allowed)


def _plain(value: Any) -> Any:
    """NumPy scalars as Python numbers; mappings as dicts with string keys; lists as tuples."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(one) for one in value)
    return value.item() if isinstance(value, np.generic) else value


def _check(name: str, value: Any, allowed: tuple[Option, ...]) -> None:
    plain: tuple[Any, ...] = tuple(
        get_origin(kind) or kind for kind, constraint in allowed if constraint is None
    )
    # True is an int to Python, but not to people
    if isinstance(value, plain) and (bool in plain or not isinstance(value, bool)):
        return
    words = next((one for _, one in allowed if isinstance(one, OneOf)), None)
    numbers = next((option for option in allowed if isinstance(option[1], Range)), None)
    if words is not None and (isinstance(value, str) or numbers is None):
        one_of(name, value, words)
    elif numbers is not None:
        kind, (low, high) = numbers
        in_range(name, value, low, high, whole=kind is int)
    else:
        shown = " or ".join(dict.fromkeys(_described(kind) for kind in plain))
        raise CellprepError(f"`{name}` must be {shown}, got {value!r}")


def _described(kind: type) -> str:
    named = {bool: "True or False", type(None): "None", str: "text", tuple: "a list"}
    return named.get(kind, f"a {kind.__name__}")
