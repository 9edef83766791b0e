"""A recipe to start from: every setting with its default, and its description as a comment."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

import tomli_w

from ..steps import Step
from ..steps.step import STEPS
from .step_docs import described_settings, summary

_HEAD = """\
# A recipe: what cellprep does to the images of a data set, step by step.
#
#     cellprep run {name} INPUT OUT --dry-run
#
# Settings left out take the default, which is shown here unless a comment says
# otherwise; false means none.
"""
RECOMMENDED: dict[str, dict[str, Any]] = {"RandAugment": {"operations": "wide"}}
"""Settings that a new recipe has instead of the defaults, by step; docs/results.md says why."""


def step_kinds() -> dict[str, type[Step]]:
    """The steps that a recipe may have, by name, those of other packages included."""
    return {name: STEPS[name] for name in sorted(STEPS)}


def template(kinds: Sequence[type[Step]], seed: int = 0, name: str = "recipe.toml") -> str:
    """The text of a recipe of these steps, with comments.

    >>> from cellprep.steps import Balance, Dedupe
    >>> print(template([Dedupe]))
    # A recipe: ...
    [[steps]]
    step = "Dedupe"
    <BLANKLINE>
    # "drop", "majority" or "keep". What to do with a group ...
    on_conflict = "drop"
    ...
    """
    others = [other for other, kind in step_kinds().items() if kind not in kinds]
    lines = [_HEAD.format(name=name), "# Seed of all random numbers.", f"seed = {seed}"]
    for kind in kinds:
        lines += ["", "", *_comment(summary(kind)), "[[steps]]", f'step = "{kind.__name__}"']
        lines += _settings(kind, "steps")
    if others:
        more = f"Other steps: {', '.join(others)}. `cellprep recipe new - --steps {others[0]}`"
        lines += ["", "", *_comment(f"{more} shows one with its settings.")]
    return "\n".join(lines) + "\n"


def _settings(kind: type[Step], table: str) -> Iterator[str]:
    """Each setting below its comment; a nested step as a table, which TOML requires to be last."""
    described = described_settings(kind)
    defaults = {field.name: _default(field) for field in fields(kind)}
    better = RECOMMENDED.get(kind.__name__, {})
    for name, value in sorted(defaults.items(), key=lambda item: isinstance(item[1], Step)):
        yield from ("", *_comment(described[name]))
        if name in better:
            yield from _comment(
                f"The default is {_toml(value)}. {_toml(better[name])} generalised better on "
                "12,000 blood cells (docs/results.md), and takes three times as long."
            )
            value = better[name]
        if isinstance(value, Step):
            yield f"[{table}.{name}]"
            yield from _settings(type(value), f"{table}.{name}")
        else:
            yield f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    """
    >>> _toml("wide"), _toml(None)
    ('"wide"', 'false')
    """
    text = tomli_w.dumps({"value": False if value is None else value})
    return text.partition("= ")[2].rstrip()


def _default(field: Field[Any]) -> Any:
    """The default of a setting; the example of one that has none."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.metadata["example"] if field.default is MISSING else field.default


def _comment(text: str) -> list[str]:
    plain = re.sub(r" ?\[\d+\]_", "", text.replace("`", ""))
    whole = " ".join(plain.split())
    return textwrap.wrap(whole, 80, initial_indent="# ", subsequent_indent="# ")
