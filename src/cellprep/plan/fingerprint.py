"""What a data set is made from: two sets with the same fingerprint have the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import PIL
import xxhash
from numpy.typing import NDArray

from .._version import __version__
from ..system.paths import without_times
from .draws import id_keys
from .plan import Plan
from .rows import Rows


@dataclass(frozen=True)
class Fingerprint:
    """Everything that the bytes of a written data set depend on.

    It is saved under `made_of` in `dataset.json`. One that was read from there may contain values
    of any type, since the file may be damaged; it then differs from every other fingerprint.

    Attributes
    ----------
    format : str
    rows_per_shard : int
    steps : list of dict
        Every step and its settings, in order.
    rows : str
        Digest of the ids, copy numbers, labels, groups and splits of all rows.
    class_names : list of str
    versions : dict of str
        Version of each library that the bytes depend on.
    masks : bool
        Whether the masks are written too.
    about : dict of str
        What the writer states about the data set; that of its source if it was written, too.
    source : str or None
        Identity of the source images; None while it is unknown (see `writing.identity`).
    unknown : dict
        Entries of `made_of` that this version of cellprep does not know.
    """

    format: str
    rows_per_shard: int
    steps: Sequence[Mapping[str, Any]]
    rows: str
    class_names: Sequence[str]
    versions: Mapping[str, str]
    masks: bool = False
    about: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        plan: Plan,
        format: str,
        rows_per_shard: int,
        *,
        masks: bool = False,
        about: Mapping[str, str] | None = None,
    ) -> Fingerprint:
        """The fingerprint of what a plan would write, without the identity of its source."""
        versions = {"cellprep": __version__, "numpy": np.__version__, "pillow": PIL.__version__}
        # JSON turns tuples into lists: compare what will be read back
        steps = json.loads(json.dumps([dict(saved) for saved in plan.saved]))
        names = list(plan.class_names)
        rows, stated = _rows_digest(plan), {**plan.source.history.about, **(about or {})}
        return cls(format, rows_per_shard, steps, rows, names, versions, masks, stated)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Fingerprint:
        """The fingerprint that `to_dict` gave; entries that are missing become None."""
        known = {entry.name for entry in fields(cls)} - {"unknown"}
        values = {name: saved.get(name) for name in known}
        values |= {"masks": saved.get("masks", False), "about": saved.get("about", {})}
        unknown = {name: value for name, value in saved.items() if name not in known}
        return cls(**values, unknown=unknown)  # type: ignore[arg-type]  # checked by comparison

    def to_dict(self) -> dict[str, Any]:
        """As saved in `dataset.json`; `masks` and `about` only where there are any."""
        saved = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        del saved["unknown"]
        for name in ("masks", "about"):
            if not saved[name]:
                del saved[name]
        return {**saved, **self.unknown}

    def with_source(self, source: str | None) -> Fingerprint:
        """This fingerprint with the identity of the source images."""
        return replace(self, source=source)

    def difference(self, other: Fingerprint) -> str:
        """The first difference from another fingerprint, in words.

        >>> there, here = (
        ...     Fingerprint("npz", 9, [{"step": "Jitter", "seed": seed}], "", ["a"], {})
        ...     for seed in (1, 2)
        ... )
        >>> there.difference(here)
        'step 1, Jitter: seed 1 there, 2 here'
        """
        old, new = self.to_dict(), other.to_dict()
        first = ("versions", "steps")
        names = [*first, *sorted((new.keys() | old.keys()) - {*first})]
        for name in names:
            there, here = old.get(name), new.get(name)
            if there == here:
                continue
            if name == "rows":
                return "has other rows"
            if name == "source":
                return _difference_of_sources(there, here)
            if name == "versions" and isinstance(there, Mapping):
                return _difference_of_versions(there, other.versions)
            if name == "steps" and isinstance(there, list):
                return _difference_of_steps(there, other.steps)
            return f"{name} {there} there, {here} here"
        return "nothing"


def _rows_digest(plan: Plan) -> str:
    digest = xxhash.xxh3_128()
    none = plan.table.take(slice(0))
    columns: list[Callable[[Rows], NDArray[Any] | None]] = [
        lambda rows: rows.id_keys,
        lambda rows: rows.copies,
        lambda rows: rows.labels,
        lambda rows: None if rows.groups is None else id_keys(rows.groups),
        lambda rows: None if rows.parts is None else id_keys(rows.parts),
    ]
    for column in columns:
        if column(none) is not None:
            for _, rows in plan.table.blocks():
                digest.update(np.ascontiguousarray(column(rows)).data)
    return digest.hexdigest()


def _difference_of_sources(there: object, here: object) -> str:
    if without_times(str(there)) == without_times(str(here)):
        return (
            "made from files of the same names and sizes but with other times, as after a copy or "
            "a checkout; they may have changed"
        )
    return "made from other images"


def _difference_of_versions(there: Mapping[str, Any], here: Mapping[str, str]) -> str:
    libraries = dict.fromkeys([*here, *there])
    library = next(name for name in libraries if there.get(name) != here.get(name))
    return f"{library} {there.get(library)} there, {here.get(library)} here"


def _difference_of_steps(there: Sequence[Any], here: Sequence[Mapping[str, Any]]) -> str:
    there = [step if isinstance(step, dict) else {} for step in there]
    for number, (a, b) in enumerate(zip(there, here, strict=False), 1):
        if a != b and a.get("step") == b.get("step"):
            a, b = {"epoch": 0, **a}, {"epoch": 0, **b}
            key = next(key for key in sorted({*a, *b}) if a.get(key) != b.get(key))
            return f"step {number}, {a['step']}: {key} {a.get(key)} there, {b.get(key)} here"
    names = [
        ", ".join(str(step.get("step", "?")) for step in steps) or "none" for steps in (there, here)
    ]
    return f"steps {names[0]} there, {names[1]} here"
