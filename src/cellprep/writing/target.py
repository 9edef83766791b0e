"""The state of a target path: may it be written to, and does it contain this data set already?"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from pathlib import Path

from ..errors import CellprepError
from ..formats import FORMATS
from ..formats.written import Found, is_empty, look_at
from ..plan.fingerprint import Fingerprint
from ..plan.source import Source
from ..system.paths import canonical, is_remote


class TargetState(enum.Enum):
    """What a target path contains, with regard to the data set that is to be written there."""

    ABSENT = "absent"
    """Nothing: no file, no folder, or an empty folder."""
    UNFINISHED = "unfinished"
    """This data set, partly written."""
    COMPLETE = "complete"
    """This data set, written to the end."""
    OTHER = "other"
    """Another data set that cellprep wrote, complete or not."""
    FOREIGN = "foreign"
    """Something that cellprep did not write; it is never replaced."""


def state_of(
    path: Path,
    fingerprint: Fingerprint,
    identity: Callable[[], str],
    is_same_source: Callable[[], bool],
) -> tuple[TargetState, Fingerprint | None]:
    """The state of a path, and the fingerprint of the data set there; nothing is changed.

    Parameters
    ----------
    fingerprint : Fingerprint
        Of the data set to be written, without its source.
    identity : callable
        Gives the identity of its source, which may take a while to compute.
    is_same_source : callable
        For an unfinished data set whose source is not recorded yet: whether its shards were made
        from the images of this source.
    """
    if not path.exists() and not path.is_symlink():
        return TargetState.ABSENT, None
    if path.is_dir() and is_empty(path):
        return TargetState.ABSENT, None
    found = look_at(path)
    there = fingerprint_of(found)
    if there is None:
        return TargetState.FOREIGN, None
    same = there == fingerprint.with_source(identity())
    if there == fingerprint.with_source(None):
        same = is_same_source()
    if not same:
        return TargetState.OTHER, there
    return TargetState.COMPLETE if found.complete else TargetState.UNFINISHED, there


def fingerprint_of(found: Found) -> Fingerprint | None:
    """The fingerprint of the data set that was found; None if there is none of a known format."""
    if found.manifest is None:
        return None
    there = Fingerprint.from_dict(found.manifest["made_of"])
    return there if isinstance(there.format, str) and there.format in FORMATS else None


def check_target(
    path: Path,
    fingerprint: Fingerprint,
    identity: Callable[[], str],
    is_same_source: Callable[[], bool],
    *,
    resume: bool,
    overwrite: bool,
) -> TargetState:
    """The state of a path that may be written to with these settings; any other is refused.

    A data set that must be replaced, even if it is the same one, counts as OTHER.
    """
    state, there = state_of(path, fingerprint, identity, is_same_source)
    if state is TargetState.ABSENT:
        if not path.exists():
            _check_writable(path)
        return state
    if there is None:
        damage = look_at(path).damage
        why = "" if damage is None else f" ({damage})"
        raise CellprepError(
            f"{str(path)!r} contains something that cellprep did not write{why}; choose another "
            "path, or move it away"
        )
    if state is TargetState.COMPLETE and resume and not overwrite:
        return state
    if state is TargetState.UNFINISHED and resume:
        return state
    if overwrite:
        return TargetState.OTHER
    if state is TargetState.OTHER:
        difference = there.difference(fingerprint.with_source(identity()))
        raise CellprepError(
            f"{str(path)!r} contains another data set ({difference}); choose another path, or "
            "overwrite=True to replace it"
        )
    raise CellprepError(
        f"{str(path)!r} contains this data set already; resume=True continues it, overwrite=True "
        "replaces it"
    )


def check_apart(path: Path, source: Source) -> None:
    """Refuse an output that is the input, is inside it or contains it."""
    if source.path is None:
        return
    target, origin = canonical(path), canonical(source.path)
    if target == origin:
        raise CellprepError(f"the output {str(path)!r} is the input itself; choose another path")
    if origin in target.parents and source.includes(target.relative_to(origin)):
        raise CellprepError(
            f"the output {str(path)!r} is inside the input {str(source.path)!r}; "
            "choose a path outside it"
        )
    if target in origin.parents and path.exists():
        raise CellprepError(
            f"the output {str(path)!r} contains the input {str(source.path)!r}; choose another path"
        )


def _check_writable(path: Path) -> None:
    if is_remote(path):
        return  # the first file that is written shows it
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise CellprepError(f"cannot write {str(path)!r}: {str(parent)!r} is a file")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise CellprepError(f"cannot write {str(path)!r}: {str(parent)!r} is not writable")
