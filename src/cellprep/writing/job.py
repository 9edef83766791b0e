"""A write that was checked and can be run: everything that can be refused is refused before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ..arrays import check_texts
from ..dataset.dataset import Dataset, check_dataset
from ..dataset.notebook import changes, contents, note, table, view
from ..dataset.read import read
from ..errors import BadImagesError, CellprepError, counted, in_range, one_of, require
from ..formats import FORMATS
from ..formats.manifest import MANIFEST
from ..formats.stamps import Files
from ..formats.written import load_manifest
from ..plan.fingerprint import Fingerprint
from ..plan.plan import Plan
from ..system import executors
from ..system.locks import StillWriter, check_free, only_writer
from ..system.paths import anchored, as_os_errors, as_path, check_shared, is_remote
from .about import check_about
from .check import Checked, check
from .clearing import check_links, make_way, needs_sweep, sweep
from .file_state import reads_fast
from .identity import identified_by_files, identity_of, written_from_source
from .output import cannot_write
from .quarantine import copy_bad_files, stamps_of_bad_files
from .repair import repair
from .shards import write_shards
from .single_file import write_file
from .single_pass import needs_no_pixels, withdraw, write_pending
from .target import TargetState, check_apart, check_target

Result = TypeVar("Result")
Manifest = Mapping[str, Any]
_REMEDY = 'Fix them, or use on_error="skip" or "quarantine"'


@dataclass(frozen=True)
class Written:
    """What a `write` did.

    Attributes
    ----------
    path : Path
    rows : int
        Images in the data set.
    resumed : int
        Of these, images that an earlier run had written.
    bad : dict
        File and cause of every image left out.
    seconds : float
    repaired : int
        Images written again because one of their files, or the index, was damaged.
    quarantined : int
        Bad files that were copied to `quarantine/`.
    unread : dict
        Name and cause of everything in the input that was not read (`Dataset.unread`).
    blank : tuple of (id, copy)
        Augmented copies that are of one colour, as if shifted out of the image. They are written,
        since every image gets the same number of copies; `dataset.json` lists them too.
    """

    path: Path
    rows: int
    resumed: int
    bad: Mapping[str, str]
    seconds: float
    repaired: int = 0
    quarantined: int = 0
    unread: Mapping[str, str] = field(default_factory=dict)
    blank: tuple[tuple[int | str, int], ...] = ()

    def __str__(self) -> str:
        details = [f"{self.resumed:,} of them by an earlier run"] * (self.resumed > 0)
        details += [f"{self.repaired:,} damaged and rewritten"] * (self.repaired > 0)
        before = f" ({', '.join(details)})" if details else ""
        skipped = len(self.bad) - self.quarantined
        unread = f", {counted(len(self.unread), 'file')} not read" if self.unread else ""
        if self.blank:
            unread += f", {counted(len(self.blank), 'copy', 'copies')} of one colour"
        return (
            f"{counted(self.rows, 'image')} written{before}, {skipped:,} skipped, "
            f"{self.quarantined:,} quarantined{unread}, {self.seconds:.1f} s: {self.path}"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the written images, and what was left out."""
        parts = []
        if not is_remote(self.path):
            try:
                steps = load_manifest(self.path)["changes"]
                did = [(c["step"], c["rows_in"], c["rows_out"], c["why"]) for c in steps]
                parts = [*contents(read(self.path)), changes(did)]
            except (CellprepError, OSError) as error:  # it was moved or replaced since
                parts.append(note(str(error)))
        for header, causes in (("bad image", self.bad), ("not read", self.unread)):
            if causes:
                parts.append(table((header, "why"), list(islice(causes.items(), 10))))
        if max(len(self.bad), len(self.unread)) > 10:
            parts.append(note("The first 10 are shown; `bad` and `unread` have all."))
        return view(str(self), parts)


def _blank_rows(manifest: Manifest) -> tuple[tuple[int | str, int], ...]:
    """The id and copy number of each blank copy; nothing was validated for reading images."""
    listed = manifest.get("blank")
    rows = listed if isinstance(listed, list) else []
    return tuple((row[0], row[1]) for row in rows if isinstance(row, list) and len(row) == 2)


@dataclass(frozen=True)
class Job:
    """A write that was checked, and of which nothing is done yet.

    Attributes
    ----------
    plan : Plan
    path : Path
    fingerprint : Fingerprint
        Of the data set, without its source.
    identity : callable
        Gives the identity of the source.
    target : TargetState
        Of the path, when the job was planned.
    check_target : callable
        Gives the state of the path now.
    quarantined : dict
        Stamps of the files to be copied to quarantine.
    dataset : Dataset
    unchecked : bool
        Whether the images are read for the first time when they are written, so that some may turn
        out to be bad.
    """

    plan: Plan
    path: Path
    fingerprint: Fingerprint
    identity: Callable[[], str]
    target: TargetState
    check_target: Callable[[], TargetState]
    quarantined: Files
    dataset: Dataset
    unchecked: bool = False

    def run(self) -> Written:
        """Write the data set."""
        began = time.perf_counter()
        try:
            with as_os_errors(self.path):
                resumed, repaired, copied, manifest = self._write()
        except OSError as error:
            raise CellprepError(
                f"{cannot_write(self.path, error)}; no incomplete file has a final name, and the "
                "same write continues from here"
            ) from error
        except BadImagesError as error:
            if not self.unchecked:
                raise
            causes = self.dataset.readable().plan.bad or error.causes
            raise BadImagesError(causes, _REMEDY) from None
        seconds = time.perf_counter() - began
        return Written(
            *(self.path, len(self.plan), resumed, self.plan.bad, seconds, repaired, copied),
            dict(self.plan.source.unread),
            _blank_rows(manifest),
        )

    def _write(self) -> tuple[int, int, int, Manifest]:
        """Rows that an earlier run had written, those that were damaged, copied bad files."""
        is_file, checked = FORMATS[self.fingerprint.format].is_file, None
        if self.target is TargetState.COMPLETE:
            checked = check(self.path, deep=reads_fast(self.path))
            if not (checked.damaged or needs_sweep(self.path) or self.quarantined):
                return len(self.plan), 0, 0, load_manifest(self.path)
        check_links(self.path)
        with only_writer(self.path, is_file=is_file) as still_writer:
            resumed, repaired, manifest = self._write_as(still_writer, checked)
            copied = copy_bad_files(self.plan, self.path) if self.quarantined else 0
            sweep(self.path)
            return resumed, repaired, copied, manifest

    def _write_as(
        self, still_writer: StillWriter, checked: Checked | None
    ) -> tuple[int, int, Manifest]:
        """Write what is missing, as the only writer."""
        is_file = FORMATS[self.fingerprint.format].is_file
        target = self.check_target()  # another process may have written since
        fingerprint = self._fingerprint(target)
        if target is TargetState.COMPLETE:
            checked = checked or check(self.path, deep=reads_fast(self.path))
            repaired, manifest = 0, load_manifest(self.path)
            if checked.damaged and is_file:
                write_file(self.plan, self.path, fingerprint)
                repaired = len(self.plan)
            elif checked.damaged:
                repaired = repair(self.plan, self.path, fingerprint, checked, still_writer)
            return len(self.plan) - repaired, repaired, manifest
        make_way(self.path, fingerprint, target)
        if is_file:
            return 0, 0, write_file(self.plan, self.path, fingerprint)
        return self._write_shards(fingerprint, still_writer)

    def _write_shards(
        self, fingerprint: Fingerprint, still_writer: StillWriter
    ) -> tuple[int, int, Manifest]:
        write = partial(
            write_shards, self.plan, self.path, fingerprint, self.quarantined, still_writer
        )
        if not self.unchecked:
            return write()
        try:
            return write(partial(write_pending, path=self.path, fingerprint=fingerprint))
        except BadImagesError:
            withdraw(self.path)
            raise

    def _fingerprint(self, target: TargetState) -> Fingerprint:
        """The fingerprint, without the source where the written files will identify it."""
        later = identified_by_files(self.plan, self.fingerprint.format) is not None
        if later and target is not TargetState.UNFINISHED:
            return self.fingerprint
        return self.fingerprint.with_source(self.identity())


def plan_write(
    dataset: Dataset,
    path: str | Path,
    *,
    format: str | None = None,
    rows_per_shard: int = 1024,
    resume: bool = True,
    overwrite: bool = False,
    on_error: str = "raise",
    masks: bool = False,
    about: Mapping[str, str] | None = None,
    dry: bool = False,
) -> Job:
    """The job of a `write` with these settings.

    A small file is written to a URL to test it, unless the job will not be run (`dry`).
    """
    check_dataset(dataset)
    path = as_path(path)
    kind = format or ("npz" if path.suffix.lower() == ".npz" else "shards")
    _check_settings(kind, rows_per_shard, on_error)
    stated = check_about(about)
    check_texts([str(path)], "the output path")
    if path.name in ("", "..") and not is_remote(path):
        path = _named(path, kind)
    check_apart(path, dataset.source)
    if not executors.share_memory():
        check_shared(path, dataset.source.path)
    _responding(path, lambda: check_free(path))
    if is_remote(path) and not dry and _responding(path, lambda: not (path / MANIFEST).is_file()):
        _responding(path, lambda: _test_writing(path, kind))  # before hours of work
    unchecked = on_error == "raise" and not (dry or is_remote(path)) and needs_no_pixels(dataset)
    plan = dataset.plan if unchecked else dataset.readable().plan
    _check_plan(plan, on_error, masks)
    fingerprint = Fingerprint.of(plan, kind, rows_per_shard, masks=masks, about=stated)
    identity = cache(partial(identity_of, plan, kind, rows_per_shard))
    is_same_source = partial(written_from_source, path, plan, fingerprint)
    look = partial(
        check_target,
        *(path, fingerprint, identity, is_same_source),
        resume=resume,
        overwrite=overwrite,
    )
    target = _responding(path, look)
    if unchecked and target is TargetState.OTHER:  # it is deleted before anything is written
        unchecked, plan = False, dataset.readable().plan
        _check_plan(plan, on_error, masks)
    quarantined = stamps_of_bad_files(plan) if on_error == "quarantine" else {}
    return Job(*(plan, path, fingerprint, identity, target, look, quarantined, dataset, unchecked))


def _named(path: Path, kind: str) -> Path:
    """A path such as `.` by its name, beside which a lock can be."""
    found = anchored(path)
    if not found.name or FORMATS[kind].is_file:
        what = "is the root of all folders" if not found.name else f"is a folder, not a {kind} file"
        raise CellprepError(f"cannot write {str(path)!r}: it {what}; name what to write in it")
    return found


def _check_settings(kind: str, rows_per_shard: int, on_error: str) -> None:
    one_of("format", kind, FORMATS)
    for module in FORMATS[kind].needs:
        require(module, f"cellprep[{kind}]")
    one_of("on_error", on_error, ("raise", "skip", "quarantine"))
    in_range("rows_per_shard", rows_per_shard, 1, 2**31, whole=True)
    if on_error == "quarantine" and FORMATS[kind].is_file:
        raise CellprepError(
            'on_error="quarantine" needs a folder to copy the files to; choose '
            'another format, or "skip"'
        )


def _check_plan(plan: Plan, on_error: str, masks: bool) -> None:
    """Refuse bad images, as the setting demands, and a plan without images or masks."""
    if plan.bad and on_error == "raise":
        raise BadImagesError(plan.bad, _REMEDY)
    if plan.bad and on_error == "quarantine" and not plan.source.holds_files():
        raise CellprepError(
            'on_error="quarantine" copies files, but these images are stored in larger files; use '
            f'"skip". {BadImagesError(plan.bad)}'
        )
    if not len(plan):
        raise CellprepError("no image is left to write; .removed() lists what each step removed")
    if masks and not plan.pixels.masked:
        raise CellprepError(
            "there are no masks to write: read annotated ones, as in read(..., masks=), or add a "
            "KMeansMask"
        )


def _test_writing(path: Path, kind: str) -> None:
    """Write something small, so that a missing bucket or permission is reported now."""
    with only_writer(path, is_file=FORMATS[kind].is_file):
        pass


def _responding(path: Path, look: Callable[[], Result]) -> Result:
    """The result of looking at a path; a path that does not respond is reported in one line."""
    try:
        with as_os_errors(path):
            return look()
    except OSError as error:
        raise CellprepError(cannot_write(path, error)) from error
