"""A recipe to begin with: every setting with its default, and what its docstring says of it."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

import tomli_w

from ..steps import Step

_HEAD = """\
# A recipe: what cellprep does to the images of a data set, step by step.
#
#     cellprep run {name} INPUT OUT --dry-run
#
# A setting that is left out has the value that stands here; false stands for none.
"""
_WORDS = {
    "None": "false",
    "True": "true",
    "False": "false",
    "bool": "true or false",
    "int": "whole number",
    "float": "number",
    "str": "text",
}


def step_kinds() -> dict[str, type[Step]]:
    """The steps that a recipe may have, by name."""
    return {kind.__name__: kind for kind in sorted(Step.__subclasses__(), key=lambda k: k.__name__)}


def template(kinds: Sequence[type[Step]], seed: int = 0, name: str = "recipe.toml") -> str:
    """The text of a recipe of these steps, with comments.

    >>> from cellprep.steps import Balance, Dedupe
    >>> print(template([Dedupe]))
    # A recipe: ...
    [[steps]]
    step = "Dedupe"
    <BLANKLINE>
    # "drop", "majority" or "keep". What to do with a group of equal images ...
    on_conflict = "drop"
    ...
    """
    others = [other for other, kind in step_kinds().items() if kind not in kinds]
    lines = [_HEAD.format(name=name), "# Of all random numbers.", f"seed = {seed}"]
    for kind in kinds:
        lines += ["", "", *_comment(_summary(kind)), "[[steps]]", f'step = "{kind.__name__}"']
        lines += _settings(kind, "steps")
    if others:
        more = f"Other steps: {', '.join(others)}. `cellprep recipe new - --steps {others[0]}`"
        lines += ["", "", *_comment(f"{more} shows one with its settings.")]
    return "\n".join(lines) + "\n"


def _settings(kind: type[Step], table: str) -> Iterator[str]:
    """Each setting under its comment; a step among them as a table, which TOML wants last."""
    said = _parameters(kind)
    defaults = {field.name: _default(field) for field in fields(kind)}
    for name, value in sorted(defaults.items(), key=lambda item: isinstance(item[1], Step)):
        yield from ("", *_comment(said[name]))
        if isinstance(value, Step):
            yield f"[{table}.{name}]"
            yield from _settings(type(value), f"{table}.{name}")
        else:
            yield tomli_w.dumps({name: False if value is None else value}).rstrip()


def _default(field: Field[Any]) -> Any:
    """The value of a setting that nobody sets; an example where it must be set."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.metadata["example"] if field.default is MISSING else field.default


def _summary(kind: type[Step]) -> str:
    return (inspect.getdoc(kind) or "").split("\n\n")[0]


def _parameters(kind: type[Step]) -> dict[str, str]:
    """What the docstring says of each setting: the values that it may have, and what it does."""
    text = (inspect.getdoc(kind) or "").partition("Parameters\n----------\n")[2]
    section = re.split(r"\n\n\w+\n---+\n", text)[0]
    entries = re.findall(r"^(\w+) : (.*)\n((?:    .*\n?|\n)*)", section + "\n", re.MULTILINE)
    return {name: _in_toml(f"{allowed}. {told}".strip()) for name, allowed, told in entries}


def _in_toml(text: str) -> str:
    """Python's words as TOML's; what may be left unset may be false."""
    text = text.replace(", optional.", " or false.", 1)
    for python, toml in _WORDS.items():
        text = re.sub(rf"\b{python}\b", toml, text)
    return text


def _comment(text: str) -> list[str]:
    plain = re.sub(r" ?\[\d+\]_", "", text.replace("`", ""))
    whole = " ".join(plain.split())
    return textwrap.wrap(whole, 80, initial_indent="# ", subsequent_indent="# ")
