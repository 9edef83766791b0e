"""The command to run next, judged by the files in a folder."""

from __future__ import annotations

import itertools
import os
import shlex
from contextlib import suppress
from pathlib import Path

from ..dataset.exchange.table_files import is_table_of_files
from ..formats import FORMATS
from ..formats.codec import is_image_name
from ..formats.listing import is_of_the_system
from ..formats.written import written_format

# The answer comes at once wherever the command is run.
_MOST_FOLDERS = 200
_MOST_ENTRIES = 500


def next_step(folder: Path) -> tuple[str, str]:
    """A command that works as it is, and the reason for it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     next_step(Path(folder))
    ('cellprep demo', 'there are no images here')
    """
    folders = _folders(folder)
    sets = [one for one in folders if _is_set(folder / one)]
    models = [
        one / "model.keras" for one in folders if os.path.isfile(folder / one / "model.keras")
    ]
    named = {one.name: one for one in reversed(sets)}
    if models and "test" in named:
        command = _line("cellmodels evaluate", models[0], named["test"], "--shifted heavy")
        return command, f"{models[0]} is a trained model"
    if {"train", "val"} <= named.keys():
        command = _line("cellmodels train", named["train"], named["val"], Path("out/model"))
        return command, f"{named['train']} is a training set"
    if sets:
        return _line("cellprep report", sets[0], "-o report.html"), f"{sets[0]} is a data set"
    here = [Path(), *_entries(folder)]
    data = next((one for one in here if _is_data(folder / one)), None)
    if data is None:
        return "cellprep demo", "there are no images here"
    recipe = next((one for one in _entries(folder) if _is_recipe(folder / one)), None)
    if recipe is not None:
        command = _line("cellprep run", recipe, data, Path("out/train"), "--dry-run")
        return command, f"{recipe} is a recipe, and {data} contains images"
    shown = "this folder" if data == Path() else str(data)
    return _line("cellprep inspect", data), f"{shown} contains images"


def _line(command: str, *arguments: Path | str) -> str:
    words = (shlex.quote(str(one)) if isinstance(one, Path) else one for one in arguments)
    return " ".join([command, *words])


def _entries(folder: Path) -> list[Path]:
    """The first names in a folder, in order, as relative paths."""
    with suppress(OSError), os.scandir(folder) as found:
        names = [one.name for one in itertools.islice(found, _MOST_ENTRIES)]
        return [Path(name) for name in sorted(names) if not is_of_the_system(name)]
    return []


def _folders(root: Path) -> list[Path]:
    """A folder and the nearest folders in it, as relative paths; links are not followed."""
    found = [Path()]
    for inside in found:
        for name in _entries(root / inside):
            path = root / inside / name
            if len(found) < _MOST_FOLDERS and os.path.isdir(path) and not os.path.islink(path):
                found.append(inside / name)
    return found


def _is_set(path: Path) -> bool:
    with suppress(Exception):  # a manifest may be damaged in any way
        return written_format(path) is not None
    return False


def _is_data(path: Path) -> bool:
    """Whether it is a folder with class folders, or a file, that `cellprep inspect` reads."""
    if os.path.isdir(path):
        return any(
            is_image_name(one.name) for name in _entries(path) for one in _entries(path / name)
        )
    with suppress(Exception):  # a file may be damaged in any way
        return not is_image_name(path.name) and (
            is_table_of_files(path) or any(kind.looks_like(path) for kind in FORMATS.values())
        )
    return False


def _is_recipe(path: Path) -> bool:
    with suppress(OSError, UnicodeDecodeError):
        return path.suffix == ".toml" and "[[steps]]" in path.read_text("utf-8")
    return False
