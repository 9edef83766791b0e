"""The place that a data set is written to: is it free, ours, and of the same data set?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..errors import CellprepError
from ..formats import FORMATS, manifest, npz
from ..formats.manifest import INDEX, MANIFEST
from ..plan.plan import Plan
from ..plan.source import ArraySource
from ..system.executors import cut
from ..system.locks import lock_beside
from ..system.paths import (
    LOCK,
    TEMPORARY,
    WORK,
    canonical,
    is_remote,
    leftovers,
    list_url,
    make_folder,
    move,
    read_bytes,
    remove_folder,
    remove_tree,
    sizes,
    unlink,
)
from .records import load_whole, record_path
from .verify import WHOLE, state

PLAN = f"{WORK}/plan.json"
"""Of an unfinished data set: what it is made of."""
QUARANTINE = "quarantine"
"""Copies of files that cannot be read."""


def check_apart(path: Path, source: Path | None) -> None:
    """Refuse an output that is the input, lies in it or holds it."""
    if source is None:
        return
    target, origin = canonical(path), canonical(source)
    if target == origin:
        raise CellprepError(f"the output {str(path)!r} is the input itself; choose another path")
    if origin in target.parents:
        raise CellprepError(
            f"the output {str(path)!r} lies inside the input {str(source)!r}; "
            "choose a path outside it"
        )
    if target in origin.parents and path.exists():
        raise CellprepError(
            f"the output {str(path)!r} holds the input {str(source)!r}; choose another path"
        )


def telling(plan: Plan, kind: str) -> ArraySource | None:
    """The arrays in memory that are written as they are, so that the files tell what they hold.

    To digest them takes a fifth of the time that they take to write, and the files are digested
    anyway. Until all are there, the record of each part says what that part was made from.
    """
    source = plan.source
    if isinstance(source, ArraySource) and source.path is None and not source.has_masks:
        return source if plan.is_unprocessed and FORMATS[kind].digest else None
    return None


def identity_of(plan: Plan, kind: str, rows_per_shard: int) -> str:
    """The identity of the source: where the files tell it, from what they would be."""
    source, digest = telling(plan, kind), FORMATS[kind].digest
    if source is None or digest is None:
        return plan.source.identity()
    return source.identity_of(source.digests(cut(len(plan), rows_per_shard), digest))


def standing(
    path: Path,
    made_of: Mapping[str, Any],
    plan: Plan,
    identity: Callable[[], str],
    *,
    resume: bool,
    overwrite: bool,
) -> str:
    """What stands at the path: "nothing", this data set "unfinished" or "finished", or "another".

    Nothing is touched. Whatever may not be written over is refused.
    """
    if not path.exists() and not path.is_symlink():
        _check_writable(path)
        return "nothing"
    if path.is_dir() and _is_empty(path):
        return "nothing"
    found, complete = _found(path)
    if found is None:
        raise CellprepError(
            f"{str(path)!r} holds something that cellprep did not write; choose "
            "another path, or move it away"
        )
    made_of = {**made_of, "source": identity()}
    if found == {**made_of, "source": None} and _seen_alike(path, made_of, plan):
        found = made_of
    same = found == made_of
    if same and complete and resume and not overwrite:
        return "finished"
    if same and not complete and resume:
        return "unfinished"
    if not overwrite:
        if same:
            raise CellprepError(
                f"{str(path)!r} holds this data set already; resume=True goes on "
                "with it, overwrite=True replaces it"
            )
        raise CellprepError(
            f"{str(path)!r} holds another data set ({difference(found, made_of)}); "
            "choose another path, or overwrite=True to replace it"
        )
    return "another"


def _seen_alike(path: Path, made_of: Mapping[str, Any], plan: Plan) -> bool:
    """Whether the parts that are there were made from the images that the source holds now.

    One whose record is damaged does not count, since it is made again.
    """
    source, digest = telling(plan, made_of["format"]), FORMATS[made_of["format"]].digest
    if source is None or digest is None:
        return False
    held = sizes(path / WORK)
    spans = {
        record_path(path, number): span
        for number, span in enumerate(cut(len(plan), made_of["rows_per_shard"]))
        if held(record_path(path, number).name) is not None
    }
    here = source.digests([*spans.values()], digest)
    return all(
        record is None or manifest.digests_of({"shards": [record[1]]}) == known
        for record, known in zip(load_whole([*spans]), here, strict=True)
    )


def make_way(path: Path, made_of: Mapping[str, Any], stands: str) -> None:
    """Make the path free to write to."""
    a_file = FORMATS[made_of["format"]].is_file
    if stands == "nothing":
        make_folder(path.parent)
        if a_file and path.is_dir():
            _make_room(path)
    elif stands == "another" and path.is_dir():
        found, _ = _found(path)
        assert found is not None
        _remove(path, found, for_a_file=a_file)
    elif stands == "another" and not a_file:  # a file takes the place of a file at the end
        unlink([path])


def _check_writable(path: Path) -> None:
    if is_remote(path):
        return  # whoever has the files says so when the first one comes
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise CellprepError(f"cannot write {str(path)!r}: {str(parent)!r} is a file")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise CellprepError(f"cannot write {str(path)!r}: {str(parent)!r} is not writable")


def _is_empty(path: Path) -> bool:
    """Whether a folder holds nothing, or only what a write leaves that was killed as it began."""
    if any(entry.name != WORK for entry in path.iterdir()):
        return False
    work = path / WORK
    return not work.is_dir() or all(
        entry.name.endswith(TEMPORARY) or entry.name == LOCK for entry in work.iterdir()
    )


def _found(path: Path) -> tuple[dict[str, Any] | None, bool]:
    """What the data set at the path is made of (None: it is not ours), and if it is complete."""
    if path.is_file():
        whole = npz.manifest_of(path)
        return (None, False) if whole is None else (_known(whole), True)
    for name, complete in ((MANIFEST, True), (PLAN, False)):
        file = path / name
        if file.is_file():
            try:
                text = read_bytes(file).decode("utf-8", "replace")
                saved = manifest.read_manifest(text, file)
            except CellprepError:
                return None, False
            return _known(saved), complete
    return None, False


def _known(saved: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a set is made of; None if that is no format of ours."""
    made_of = dict(saved["made_of"])
    kind = made_of.get("format")
    return made_of if isinstance(kind, str) and kind in FORMATS else None


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first thing in which two data sets differ, in words.

    >>> difference({"steps": [{"step": "Jitter", "seed": 1}]}, {"steps": [{"step": "Jitter",
    ... "seed": 2}]})
    'step 1, Jitter: seed 1 there, 2 here'
    """
    for name in sorted(new.keys() | old.keys(), key=lambda n: (n != "versions", n != "steps", n)):
        there, here = old.get(name), new.get(name)
        if there == here:
            continue
        if name == "versions" and isinstance(there, Mapping) and isinstance(here, Mapping):
            which = next(lib for lib in here if there.get(lib) != here[lib])
            return f"{which} {there.get(which)} there, {here[which]} here"
        if name == "steps" and isinstance(there, list) and isinstance(here, list):
            there = [step if isinstance(step, dict) else {} for step in there]
            for number, (a, b) in enumerate(zip(there, here, strict=False), 1):
                if a != b and a.get("step") == b.get("step"):
                    key = next(k for k in sorted({*a, *b}) if a.get(k) != b.get(k))
                    return (
                        f"step {number}, {a['step']}: {key} {a.get(key)} there, {b.get(key)} here"
                    )
            names = [
                ", ".join(str(s.get("step", "?")) for s in steps) or "none"
                for steps in (there, here)
            ]
            return f"steps {names[0]} there, {names[1]} here"
        if name in ("source", "rows"):
            return {"source": "made from other images", "rows": "of other rows"}[name]
        return f"{name} {there} there, {here} here"
    return "nothing"


def _remove(path: Path, found: Mapping[str, Any], *, for_a_file: bool) -> None:
    """Delete what cellprep wrote in a folder, and nothing else.

    What it is made of stands there to the end, so a run that is killed in here can be repeated.
    """
    files = FORMATS[found["format"]].files(path) + _copies_of_bad(path)
    if for_a_file:
        ours = {*files, path / MANIFEST, path / INDEX}
        for file in (
            (path / name for name in list_url(path)) if is_remote(path) else path.rglob("*")
        ):
            if not (file.is_dir() or file in ours or path / WORK in file.parents):
                raise CellprepError(
                    f"{str(path)!r} holds a file of yours, {file.name!r}; move it away to put one "
                    "file in the folder's place"
                )
    make_folder(path / WORK)
    if (path / MANIFEST).is_file():
        move(path / MANIFEST, path / PLAN)  # first: from here on it is unfinished
    work = list((path / WORK).iterdir())
    unlink(file for file in work if file.suffix == ".arrow")
    unlink([*files, *leftovers(path)])
    above = {folder for file in files for folder in takewhile(path.__ne__, file.parents)}
    for folder in sorted(above, key=str, reverse=True):
        with suppress(OSError):  # it holds files of the user, or is not there
            remove_folder(folder)
    unlink([path / INDEX, *(file for file in work if file.suffix == ".parquet")])
    if for_a_file:
        _make_room(path)


def _copies_of_bad(path: Path) -> list[Path]:
    """Those in quarantine, but for what somebody has changed since."""
    saved = next(file for file in (path / MANIFEST, path / PLAN) if file.is_file())
    text = read_bytes(saved).decode("utf-8", "replace")
    put = manifest.read_manifest(text, saved).get("quarantined", {})
    return [path / name for name, wanted in put.items() if state(path, name, wanted) == WHOLE]


def _make_room(path: Path) -> None:
    """Take away a folder in which nothing of the user is left."""
    if (path / WORK).is_dir():
        remove_tree(path / WORK)
    remove_folder(path)


def sweep(path: Path) -> None:
    """Delete what runs that were killed have left beside a file or in a folder."""
    unlink(leftovers(path.parent, of=path.name))
    if (path / WORK).is_dir():
        unlink(leftovers(path))
        remove_tree(path / WORK)


def littered(path: Path) -> bool:
    """Whether there is anything to sweep."""
    beside = lock_beside(path).exists() or bool(leftovers(path.parent, of=path.name))
    return beside or (path / WORK).is_dir()
