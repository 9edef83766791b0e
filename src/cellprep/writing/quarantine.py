"""Copies of the files that cannot be read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..formats.stamps import Files, stamp
from ..formats.written import QUARANTINE
from ..plan.plan import Plan
from ..system.paths import canonical, copy, make_folder


def stamps_of_bad_files(plan: Plan) -> Files:
    """The stamps of the future copies; a later overwrite deletes these files and no others."""
    source, files = plan.source.path, {}
    for name in plan.bad:
        assert source is not None  # only files can be bad
        with suppress(OSError):  # unreadable even as bytes; dataset.json names it
            if (source / name).is_file():
                files[f"{QUARANTINE}/{name}"] = stamp(source / name)
    return files


def copy_bad_files(plan: Plan, path: Path) -> int:
    """Copy the bad files that are readable as bytes, and count them; the originals stay."""
    source, copied = plan.source.path, 0
    assert source is not None
    for name in plan.bad:
        file = path / QUARANTINE / name
        if canonical(source) not in canonical(source / name).parents:
            continue  # a link out of the folder: its target is not part of the input
        make_folder(file.parent)
        copied += copy(source / name, file)
    return copied
