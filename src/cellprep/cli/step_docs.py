"""Steps described in the terms of a recipe file: a summary, and what each setting may be and does.

Values come from the types of the settings, prose from the docstring.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_origin

from docstring_parser import Docstring, DocstringStyle, parse

from ..plan.profile import Profile
from ..steps import OneOf, Range, Step
from ..steps.settings import Option, options

_TOML = {"None": "false", "True": "true", "False": "false"}
_MANY = 2**31  # no limit that a user could meet


def summary(kind: type[Step]) -> str:
    """The first paragraph; the parser's short description is its first line alone."""
    found = _parsed(kind)
    first = found.short_description or ""
    if found.long_description and not found.blank_after_short_description:
        first += "\n" + found.long_description.split("\n\n")[0]
    return first


def described_settings(kind: type[Step]) -> dict[str, str]:
    """By setting: the values that it may have, and what it does."""
    prose = setting_prose(kind)
    return {
        name: f"{_one_of(allowed)}. {prose.get(name, '')}".strip()
        for name, allowed in options(cast(Any, kind)).items()
    }


def setting_prose(kind: type[Step]) -> dict[str, str]:
    """What the docstring says of each setting, with Python's constants replaced by TOML's."""
    return {
        one.arg_name: re.sub(
            r"\b(None|True|False)\b", lambda at: _TOML[at[0]], one.description or ""
        )
        for one in _parsed(kind).params
        if one.args[0] == "param"
    }


def _parsed(kind: type[Step]) -> Docstring:
    return parse(kind.__doc__ or "", style=DocstringStyle.NUMPYDOC)


def _one_of(allowed: Sequence[Option]) -> str:
    """The values that a setting may have.

    >>> _one_of([(str, OneOf("max", "min")), (int, Range(1, 5)), (type(None), None)])
    '"max", "min", whole number from 1 to 5 or false'
    """
    values = list(dict.fromkeys(value for option in allowed for value in _values(*option)))
    return " or ".join([", ".join(values[:-1]), values[-1]] if values[1:] else values)


def _values(kind: Any, constraint: OneOf | Range | None) -> list[str]:
    """A type and its constraint in words."""
    if isinstance(constraint, OneOf):
        return [f'"{word}"' for word in constraint]
    if isinstance(constraint, Range):
        number = "whole number" if kind is int else "number"
        low, high = constraint
        return [
            f"{number} of at least {low}" if high >= _MANY else f"{number} from {low} to {high}"
        ]
    if isinstance(kind, type) and issubclass(kind, Step):
        return [f"table of {kind.__name__}'s settings"]
    named = {bool: ["true", "false"], type(None): ["false"], str: ["text"], int: ["whole number"]}
    named |= {float: ["number"], Mapping: ["table"], tuple: ["list"]}
    named |= {Profile: ["table"], Path: ["text"]}
    return named.get(get_origin(kind) or kind, [kind.__name__])
