"""What an earlier write recorded in its manifest: images, steps, recipe, versions."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import tomli_w

from .._version import __version__
from ..formats.manifest import to_json
from ..formats.written import load_manifest
from ..plan.plan import Plan
from ..steps.recipe import Recipe


@dataclass(frozen=True)
class Recorded:
    """The optional entries of a manifest.

    Reading images does not need them, so they were not validated: values of another type are
    ignored.
    """

    source_counts: dict[str, int] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    changes: list[tuple[str, int, int, str]] = field(default_factory=list)
    versions: list[tuple[str, str]] = field(default_factory=list)
    blank: int = 0

    @classmethod
    def of(cls, path: Path | None) -> Recorded:
        if path is None:
            return cls()
        manifest = load_manifest(path)
        counts, bad, changes = (manifest.get(name) for name in ("held", "bad", "changes"))
        versions = manifest["made_of"].get("versions")
        columns = {"step": str, "rows_in": int, "rows_out": int, "why": str}
        return cls(
            {k: v for k, v in counts.items() if type(v) is int and 0 <= v < 2**53}
            if isinstance(counts, dict)
            else {},
            {k: str(v) for k, v in bad.items()} if isinstance(bad, dict) else {},
            [
                (change["step"], change["rows_in"], change["rows_out"], change["why"])
                for change in (changes if isinstance(changes, list) else [])
                if isinstance(change, dict)
                and all(type(change.get(name)) is kind for name, kind in columns.items())
            ],
            [(k, str(v)) for k, v in versions.items()] if isinstance(versions, dict) else [],
            len(blank) if isinstance(blank := manifest.get("blank"), list) else 0,
        )


def recipe_text(plan: Plan, recipe: Recipe | None, written: bool) -> tuple[str, str]:
    """A heading, and the steps as TOML."""
    if recipe is not None:
        return "The recipe that this page tries out", recipe.to_toml()
    # a recipe has no epoch: it is an argument of `Dataset.epoch`
    saved = [
        {"step": step["step"], **{k: v for k, v in step.items() if k != "epoch"}}
        for step in plan.saved
    ]
    if not saved:
        return "", ""
    seed = saved[0].get("seed", 0)
    table: dict[str, Any] = {"steps": saved}
    if all(step.get("seed", 0) == seed for step in saved):
        plain = [{k: v for k, v in step.items() if k != "seed"} for step in saved]
        table = {"seed": seed, "steps": plain}
    try:
        text = tomli_w.dumps(table)
    except TypeError:  # settings from a damaged manifest
        text = to_json(table)
    return "The recipe that made this set" if written else "The steps of this set", text


def versions(recorded: Recorded) -> list[tuple[str, str]]:
    """Versions of the libraries that wrote the set and of those that made the page."""
    current = {"cellprep": __version__, "numpy": np.__version__, "pillow": PIL.__version__}
    found = [(f"{name}, which wrote the set", version) for name, version in recorded.versions]
    found += [(f"{name}, which made this page", version) for name, version in current.items()]
    return [*found, ("Python", platform.python_version())]
