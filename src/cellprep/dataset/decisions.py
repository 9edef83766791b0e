"""A person's decisions on single images: to keep, drop or relabel them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import one_form
from ..errors import CellprepError, nearest
from ..plan.digests import digest
from ..plan.plan import Plan
from ..system.paths import as_path
from .exchange.spreadsheets import unprotected
from .exchange.table_files import load_table
from .selection import check_known

Decision = dict[str, str]
"""What was decided on one image: the entries of `FIELDS` that are not empty."""

FIELDS = ("id", "decision", "label", "reason", "digest", "name")
"""The columns of a file of decisions; the first, second and fifth must be there."""
NEEDED = ("id", "decision", "digest")
KINDS = ("keep", "drop", "relabel")


def load_decisions(path: str | Path) -> tuple[Decision, ...]:
    """The decisions in a CSV file, checked."""
    path = as_path(path)
    if not path.is_file():
        raise CellprepError(f"there is no file {str(path)!r}; save the decisions of a report there")
    table = load_table(path)
    missing = [name for name in NEEDED if name not in table]
    if missing:
        raise CellprepError(
            f"{str(path)!r} has no column {missing[0]!r}; it needs {', '.join(NEEDED)}, got "
            f"{', '.join(map(str, table.columns))}"
        )
    rows = table[[name for name in FIELDS if name in table]].fillna("").to_dict("records")
    try:
        return checked(
            {name: unprotected(str(value)) for name, value in row.items()} for row in rows
        )
    except CellprepError as error:
        raise CellprepError(f"{str(path)!r}: {error}") from None


def checked(rows: Iterable[Any]) -> tuple[Decision, ...]:
    """Decisions without empty entries; one that is incomplete or repeated is refused."""
    found: dict[str, Decision] = {}
    for row in rows:
        if not isinstance(row, Mapping) or not all(isinstance(text, str) for text in row.values()):
            raise CellprepError(f"a decision must be a table of texts, got {row!r}")
        one = {str(name): one_form(text) for name, text in row.items() if text}
        _check(one)
        if one["id"] in found:
            raise CellprepError(f"there are two decisions on {one['id']!r}; keep one")
        found[one["id"]] = one
    return tuple(found.values())


def _check(one: Decision) -> None:
    for name in one:
        if name not in FIELDS:
            raise CellprepError(f"a decision has no {name!r}; {nearest(name, FIELDS)}")
    for name in NEEDED:
        if name not in one:
            of_image = f" of image {one['id']!r}" if "id" in one else ""
            raise CellprepError(f"a row{of_image} has no {name}; it needs {', '.join(NEEDED)}")
    id = one["id"]
    if one["decision"] not in KINDS:
        raise CellprepError(
            f"the decision on {id!r} must be {', '.join(KINDS[:-1])} or {KINDS[-1]}, got "
            f"{one['decision']!r}"
        )
    if not re.fullmatch("[0-9a-f]{32}", one["digest"]):
        raise CellprepError(
            f"the digest of {id!r} must be 32 hexadecimal digits, as a report saves it, got "
            f"{one['digest']!r}"
        )
    if one["decision"] == "relabel" and "label" not in one:
        raise CellprepError(f"the decision on {id!r} is to relabel it, but there is no label")
    if one["decision"] != "relabel" and "label" in one:
        raise CellprepError(
            f"the decision on {id!r} is to {one['decision']} it, but there is a label, "
            f"{one['label']!r}; only relabel has one"
        )


def decisions_on(plan: Plan, decisions: Sequence[Decision]) -> NDArray[np.int64]:
    """(n,) the decision on each row, a position in `decisions`, -1 for none.

    Copies share the decision on their image. Ids and classes that the data set does not have are
    refused, as are images that have changed. An image that is no longer there is no mistake.
    """
    number = {one["id"]: at for at, one in enumerate(decisions)}
    check_known(plan, number)
    for one in decisions:
        if one["decision"] == "relabel" and one["label"] not in plan.class_names:
            raise CellprepError(
                f"{one['id']!r} cannot be relabelled: there is no class {one['label']!r}; "
                f"{nearest(one['label'], plan.class_names)}"
            )
    which = np.array(
        [number.get(one_form(str(id)), -1) for id in plan.rows.ids.tolist()], dtype=np.int64
    )
    first = plan.rows.one_per_image()
    first = first[which[first] >= 0]
    digests = plan.keep(first).measure("digest", digest).rows.columns["digest"]
    now = hex_digests(digests)
    changed = [
        at for at, text in zip(which[first].tolist(), now, strict=True)
        if text != decisions[at]["digest"]
    ]  # fmt: skip
    if changed:
        one = decisions[changed[0]]
        raise CellprepError(
            f"the image {one['id']!r} is not the one that somebody decided to {one['decision']} "
            f"({len(changed):,} of {len(first):,} have another digest); decide again on a new "
            "report, with the same size=, and before steps that change pixels"
        )
    return which


def hex_digests(digests: NDArray[np.uint64]) -> list[str]:
    """Digests of images, (n, 2), as they are saved: 32 hexadecimal digits.

    >>> hex_digests(np.array([[1, 255]], np.uint64))
    ['0100000000000000ff00000000000000']
    """
    return [one.tobytes().hex() for one in np.ascontiguousarray(digests.astype("<u8"))]
