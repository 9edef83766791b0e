"""What the docstring of a step says: its summary, and each setting in the terms of TOML."""

from __future__ import annotations

import re

from docstring_parser import Docstring, DocstringStyle, parse

from ..steps import Step

_TOML = {
    "None": "false",
    "True": "true",
    "False": "false",
    "bool": "true or false",
    "int": "whole number",
    "float": "number",
    "str": "text",
}


def summary(kind: type[Step]) -> str:
    """The first paragraph; the parser's short description is its first line alone."""
    found = _parsed(kind)
    first = found.short_description or ""
    if found.long_description and not found.blank_after_short_description:
        first += "\n" + found.long_description.split("\n\n")[0]
    return first


def described_settings(kind: type[Step]) -> dict[str, str]:
    """By setting: the values that it may have, and what it does."""
    return {
        one.arg_name: _in_toml(one.type_name or "", bool(one.is_optional), one.description or "")
        for one in _parsed(kind).params
        if one.args[0] == "param"
    }


def _parsed(kind: type[Step]) -> Docstring:
    return parse(kind.__doc__ or "", style=DocstringStyle.NUMPYDOC)


def _in_toml(allowed: str, optional: bool, text: str) -> str:
    """A description with Python's names replaced by TOML's; an optional setting may be false."""
    text = f"{allowed}{' or false' * optional}. {text}".strip()
    for python, toml in _TOML.items():
        text = re.sub(rf"\b{python}\b", toml, text)
    return text
