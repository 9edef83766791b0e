"""Writing: a plan cut into parts, each complete or absent; the index and the manifest last."""

from __future__ import annotations

import glob
import io
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import PIL
import xxhash
from numpy.typing import ArrayLike, NDArray

from . import executors
from .arrays import Images
from .dataset import Dataset
from .draws import id_keys
from .errors import BadImagesError, CellprepError, in_range, one_of
from .formats import folder, manifest, npz, shards
from .formats.manifest import INDEX, MANIFEST, TEMPORARY, WORK, replacing, to_json
from .plan import Parameters, Plan
from .rows import Rows
from .steps.step import Step

FORMATS = ("shards", "npz", "folder")
_PLAN, _FILES = f"{WORK}/plan.json", f"{WORK}/files.parquet"


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
        Source id and cause of every image left out.
    seconds : float
    """

    path: Path
    rows: int
    resumed: int
    bad: Mapping[str, str]
    seconds: float

    def __str__(self) -> str:
        resumed = f" ({self.resumed:,} of them by an earlier run)" if self.resumed else ""
        bad = f", {len(self.bad):,} unreadable left out" if self.bad else ""
        return f"{self.rows:,} images{resumed}{bad} in {self.seconds:.1f} s: {self.path}"


def write(
    dataset: Dataset,
    path: str | Path,
    *,
    format: str | None = None,
    rows_per_shard: int = 1024,
    executor: str = "threads",
    workers: int | None = None,
    resume: bool = True,
    overwrite: bool = False,
    on_error: str = "raise",
    progress: bool = True,
) -> Written:
    """Make every image of a data set and write it, once, with a record of how it was made.

    The same data set gives the same bytes, whatever the executor, the number of workers and the
    interruptions on the way. Each part appears under its final name when it is complete, the index
    and `dataset.json` come last.

    Parameters
    ----------
    dataset : Dataset
    path : str or Path
        A folder that does not exist, is empty, or holds an unfinished write of the same data set;
        or a new `.npz` file.
    format : "shards", "npz" or "folder", optional
        Default: npz for a path that ends so, else shards.
    rows_per_shard : int
        Images a shard; what an interruption can cost.
    executor : "threads" or "processes"
    workers : int, optional
        Default: the cores that may be used.
    resume : bool
        Go on with an unfinished write of the same data set. A single npz file starts anew.
    overwrite : bool
        Replace another data set that cellprep wrote at this path; nothing else is ever replaced.
    on_error : "raise", "skip" or "quarantine"
        For source images that cannot be read: stop before anything is written, naming all of them;
        leave them out; or leave them out and copy the files to `quarantine/` in the output. Either
        way the rest is as if they had never been there. They are listed in `dataset.json`.
    progress : bool
        Show a bar for each stage where the output is a terminal.

    Returns
    -------
    Written

    Raises
    ------
    CellprepError
        When the path holds anything else, lies inside the source or cannot be written.
    BadImagesError
        Naming every image that cannot be read.
    """
    began = time.monotonic()
    path = Path(path)
    kind = format or ("npz" if path.suffix.lower() == ".npz" else "shards")
    one_of("format", kind, FORMATS)
    one_of("on_error", on_error, ("raise", "skip", "quarantine"))
    in_range("rows_per_shard", rows_per_shard, 1, 2**31, whole=True)
    if on_error == "quarantine" and kind == "npz":
        raise CellprepError(
            'on_error="quarantine" needs a folder to put the files in; choose '
            'another format, or "skip"'
        )
    _check_apart(path, dataset.source.path)
    with executors.using(executor, workers, progress):
        plan = dataset.readable().plan
        if plan.bad and on_error == "raise":
            raise BadImagesError(plan.bad, 'Mend them, or choose on_error="skip" or "quarantine"')
        if not len(plan):
            raise CellprepError(
                "no image is left to write; look at .removed() for what each step took out"
            )
        made_of = _made_of(plan, kind, rows_per_shard)
        try:
            finished = _clear_the_way(path, made_of, resume=resume, overwrite=overwrite)
            if finished:
                resumed = len(plan)
            elif kind == "npz":
                resumed = 0
                _write_npz(plan, path, made_of)
            else:
                resumed = _write_parts(plan, path, kind, rows_per_shard, made_of)
            if on_error == "quarantine" and plan.bad:
                _quarantine(plan, path / "quarantine")
        except OSError as error:
            raise CellprepError(
                f"cannot write {str(path)!r}: {error.strerror or error}; nothing "
                "half-written is left under a final name, the same write goes on "
                "from here"
            ) from error
    return Written(path, len(plan), resumed, plan.bad, time.monotonic() - began)


def _check_apart(path: Path, source: Path | None) -> None:
    if source is None:
        return
    target, origin = path.resolve(), source.resolve()
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


# -- is the path ours, and is it the same data set? --------------------------------------------


def _made_of(plan: Plan, kind: str, rows_per_shard: int) -> dict[str, Any]:
    """Everything that the bytes depend on; another value of it is another data set."""
    from . import __version__

    rows = xxhash.xxh3_128()
    columns = [plan.rows.id_keys, plan.rows.copies, plan.rows.labels]
    if plan.rows.groups is not None:
        columns.append(id_keys(plan.rows.groups))
    for column in columns:
        rows.update(np.ascontiguousarray(column).data)
    made_of = {
        "format": kind,
        "rows_per_shard": rows_per_shard,
        "steps": [dict(saved) for saved in plan.saved],
        "source": plan.source.identity(),
        "rows": rows.hexdigest(),
        "class_names": list(plan.class_names),
        "versions": {"cellprep": __version__, "numpy": np.__version__, "pillow": PIL.__version__},
    }
    return dict(json.loads(to_json(made_of)))  # as it will be read again


def _clear_the_way(
    path: Path, made_of: Mapping[str, Any], *, resume: bool, overwrite: bool
) -> bool:
    """Whether the data set stands there complete; else the path is free to write to."""
    if not path.exists() and not path.is_symlink():
        path.parent.mkdir(parents=True, exist_ok=True)
        return False
    if path.is_dir() and _is_empty(path):
        if made_of["format"] == "npz":
            _make_room(path)
        return False
    found, complete = _found(path)
    if found is None:
        raise CellprepError(
            f"{str(path)!r} holds something that cellprep did not write; choose "
            "another path, or move it away"
        )
    same = found == made_of
    if same and complete and resume and not overwrite:
        _check_complete(path)
        _sweep(path)
        return True
    if same and not complete and resume:
        return False
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
    if path.is_dir():
        _remove(path, found, for_a_file=made_of["format"] == "npz")
    elif made_of["format"] != "npz":  # a file takes the place of a file at the end
        path.unlink()
    return False


def _is_empty(path: Path) -> bool:
    """Whether a folder holds nothing, or only what a write leaves that was killed as it began."""
    if any(entry.name != WORK for entry in path.iterdir()):
        return False
    work = path / WORK
    return not work.is_dir() or all(entry.name.endswith(TEMPORARY) for entry in work.iterdir())


def _found(path: Path) -> tuple[dict[str, Any] | None, bool]:
    """What the data set at the path is made of (None: it is not ours), and if it is complete."""
    if path.is_file():
        whole = npz.manifest_of(path)
        return (None, False) if whole is None else (whole["made_of"], True)
    for name, complete in ((MANIFEST, True), (_PLAN, False)):
        file = path / name
        if file.is_file():
            try:
                saved = manifest.read_manifest(file.read_text("utf-8", "replace"), file)
            except CellprepError:
                return None, False
            return dict(saved["made_of"]), complete
    return None, False


def _check_complete(path: Path) -> None:
    if path.is_file():
        return
    saved = manifest.read_manifest((path / MANIFEST).read_text("utf-8"), path / MANIFEST)
    for part in saved["shards"]:
        if "file" in part and not (path / part["file"]).is_file():
            raise CellprepError(
                f"shard {part['file']!r} is missing from {str(path)!r}; write it "
                "again with overwrite=True"
            )


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
            for number, (a, b) in enumerate(zip(there, here, strict=False), 1):
                if a != b and a.get("step") == b.get("step"):
                    key = next(k for k in sorted({*a, *b}) if a.get(k) != b.get(k))
                    return (
                        f"step {number}, {a['step']}: {key} {a.get(key)} there, {b.get(key)} here"
                    )
            names = [
                ", ".join(s.get("step", "?") for s in steps) or "none" for steps in (there, here)
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
    files = shards.ShardWriter((0, 0, 0)).files(path) if found["format"] == "shards" else []
    named = (Path(name) for index in _lists(path) for name in index["file"].to_pylist())
    files += [path / name for name in named if not (name.is_absolute() or ".." in name.parts)]
    if for_a_file:
        ours = {*files, path / MANIFEST, path / INDEX}
        for file in path.rglob("*"):
            if not (file.is_dir() or file in ours or path / WORK in file.parents):
                raise CellprepError(
                    f"{str(path)!r} holds a file of yours, {file.name!r}; move it away to put one "
                    "file in the folder's place"
                )
    (path / WORK).mkdir(exist_ok=True)
    if (path / MANIFEST).is_file():
        os.replace(path / MANIFEST, path / _PLAN)  # first: from here on it is unfinished
    _unlink((path / WORK).glob("part-*.parquet"))
    _unlink([*files, *path.rglob(f".*{TEMPORARY}")])
    for parent in {file.parent for file in files} - {path}:
        with suppress(OSError):  # it holds files of the user
            parent.rmdir()
    _unlink([path / INDEX, path / _FILES])
    if for_a_file:
        _make_room(path)


def _make_room(path: Path) -> None:
    """Take away a folder in which nothing of the user is left."""
    shutil.rmtree(path / WORK, ignore_errors=True)
    path.rmdir()


def _unlink(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Delete what runs that were killed have left beside a file or in a folder."""
    _unlink(path.parent.glob(f".{glob.escape(path.name)}.*{TEMPORARY}"))
    if (path / WORK).is_dir():
        _unlink(path.rglob(f".*{TEMPORARY}"))
        shutil.rmtree(path / WORK)


def _lists(path: Path) -> Iterator[Any]:
    """The files that a format of one file an image has named, or was about to."""
    import pyarrow.parquet as pq

    for file in (path / INDEX, path / _FILES):
        if file.is_file() and "file" in pq.read_schema(file).names:
            yield pq.read_table(file, columns=["file"])


# -- the parts ---------------------------------------------------------------------------------


class PartWriter(Protocol):
    """What a format of many files gives."""

    def write_part(
        self, folder: Path, number: int, start: int, rows: Rows, images: Iterator[Images]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Write the rows; index columns that say where they lie, and the part's manifest entry."""


@dataclass(frozen=True)
class _Part:
    """Makes and writes one part: the task of a worker."""

    plan: Plan
    folder: Path
    writer: PartWriter
    rows_per_part: int

    def __call__(self, span: executors.Span) -> None:
        import pyarrow.parquet as pq

        start, stop = span
        number = start // self.rows_per_part
        rows = self.plan.rows.take(np.arange(start, stop))
        record: list[Parameters] = []
        images = _made(self.plan, span, record)
        columns, entry = self.writer.write_part(self.folder, number, start, rows, images)
        table = _index(self.plan, span, {**columns, **_joined(record)})
        table = table.replace_schema_metadata({"entry": to_json(entry)})
        # The record after the images: where it stands, the part is complete.
        with replacing(_record_path(self.folder, number)) as temporary:
            pq.write_table(table, temporary)


def _made(plan: Plan, span: executors.Span, record: list[Parameters]) -> Iterator[Images]:
    """The images of a span, block by block; what made them goes to `record`."""
    start, stop = span
    for first, last in plan.spans(stop - start):
        images, parameters = plan.evaluate(np.arange(start + first, start + last))
        record.append(parameters)
        yield images


def _joined(records: list[Parameters]) -> Parameters:
    """The records of consecutive blocks as one."""
    joined: Parameters = {}
    for name, first in records[0].items():
        columns = [record[name] for record in records]
        masked = np.ma.isMaskedArray(first)
        joined[name] = np.ma.concatenate(columns) if masked else np.concatenate(columns)  # type: ignore[no-untyped-call]
    return joined


def _index(plan: Plan, span: executors.Span, columns: Parameters) -> Any:
    at = np.arange(*span)
    source = plan.source.rows.copies
    if source.any():
        columns = {"source_copy": source[plan.origin(at)], **columns}
    return manifest.index_table(plan.rows.take(at), plan.class_names, columns)


def _record_path(folder: Path, number: int) -> Path:
    return folder / WORK / f"part-{number:05d}.parquet"


def _write_parts(
    plan: Plan, path: Path, kind: str, rows_per_part: int, made_of: Mapping[str, Any]
) -> int:
    """Write the parts that are missing, then index and manifest; how many rows were there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: PartWriter = (
        shards.ShardWriter(plan.shape)
        if kind == "shards"
        else folder.FolderWriter(folder.file_names(plan.rows, plan.class_names))
    )
    (path / WORK).mkdir(parents=True, exist_ok=True)
    with replacing(path / _PLAN) as temporary:
        temporary.write_text(to_json(_manifest(plan, made_of, [])), "utf-8")
    if isinstance(writer, folder.FolderWriter):
        with replacing(path / _FILES) as temporary:
            pq.write_table(pa.table({"file": writer.names}), temporary)
    spans = executors.cut(len(plan), rows_per_part)
    records = [_record_path(path, number) for number in range(len(spans))]
    missing = [span for span, record in zip(spans, records, strict=True) if not record.is_file()]
    for _ in executors.run(_Part(plan, path, writer, rows_per_part), missing, "writing"):
        pass
    entries = []
    with replacing(path / INDEX) as temporary:
        schema = pq.read_schema(records[0]).remove_metadata()
        with pq.ParquetWriter(temporary, schema) as index:
            for record in records:
                table = pq.read_table(record)
                entries.append(_entry(table.schema))
                index.write_table(table.replace_schema_metadata().cast(schema))
    with replacing(path / MANIFEST) as temporary:
        temporary.write_text(to_json(_manifest(plan, made_of, entries)), "utf-8")
    _sweep(path)
    return len(plan) - sum(stop - start for start, stop in missing)


def _entry(schema: Any) -> dict[str, Any]:
    return dict(json.loads(schema.metadata[b"entry"]))


def _write_npz(plan: Plan, path: Path, made_of: Mapping[str, Any]) -> None:
    """Blocks are made in parallel and streamed into the one file in order."""
    record: list[Parameters] = []

    def images() -> Iterator[Images]:
        for batch, parameters in executors.run(_Block(plan), plan.spans(), "writing"):
            record.append(parameters)
            yield batch

    def finish() -> tuple[dict[str, Any], bytes]:
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(_index(plan, (0, len(plan)), _joined(record)), buffer)
        return _manifest(plan, made_of, []), buffer.getvalue()

    npz.write_file(path, plan.rows, plan.class_names, plan.shape, images(), finish)
    _sweep(path)


@dataclass(frozen=True)
class _Block:
    plan: Plan

    def __call__(self, span: executors.Span) -> tuple[Images, Parameters]:
        return self.plan.evaluate(np.arange(*span))


def _manifest(
    plan: Plan, made_of: Mapping[str, Any], entries: list[dict[str, Any]]
) -> dict[str, Any]:
    counts = np.bincount(plan.rows.labels, minlength=len(plan.class_names)).tolist()
    return {
        "format": made_of["format"],
        "rows": len(plan),
        "shape": list(plan.shape),
        "class_names": list(plan.class_names),
        "counts": dict(zip(plan.class_names, counts, strict=True)),
        "recipe": made_of["steps"],
        "stages": [{"name": name, **step.to_dict()} for name, step in plan.stages],
        "multiplied_by": plan.multiplied_by,
        "changes": [
            {"step": c.step, "rows_in": c.rows_in, "rows_out": c.rows_out, "why": c.why}
            for c in plan.changes
        ],
        "bad": dict(plan.bad),
        "shards": entries,
        "made_of": dict(made_of),
    }


def _quarantine(plan: Plan, target: Path) -> None:
    """Copies of the bad files, in their folders; the files themselves stay where they are."""
    source = plan.source.path
    assert source is not None  # only files can be bad
    for name in plan.bad:
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(source / name, file)
        except OSError:
            continue  # it cannot be read at all; dataset.json names it


# -- back from the record ----------------------------------------------------------------------


def replay(path: str | Path, dataset: Dataset, at: ArrayLike | None = None) -> Images:
    """Make images again from their record alone: no draws, no recipe.

    Parameters
    ----------
    path : str or Path
        A folder that `write` made.
    dataset : Dataset
        What it was made from.
    at : (k,) int, optional
        Rows of the index. Default: all.

    Returns
    -------
    (k, height, width, 3) uint8
        Equal, byte for byte, to what was written.
    """
    import pyarrow.parquet as pq

    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise CellprepError(f"{str(path)!r} is not a folder that `write` has finished")
    saved = manifest.read_manifest((path / MANIFEST).read_text("utf-8"), path / MANIFEST)
    index = pq.read_table(path / INDEX)
    if at is not None:
        index = index.take(np.arange(len(index))[at])  # type: ignore[index]
    place = {
        row: i
        for i, row in enumerate(zip(dataset.ids.tolist(), dataset.copies.tolist(), strict=True))
    }
    names = index.column_names
    copies = index["source_copy"].to_pylist() if "source_copy" in names else [0] * len(index)
    try:
        rows = [place[row] for row in zip(index["id"].to_pylist(), copies, strict=True)]
    except KeyError as error:
        raise CellprepError(
            f"{str(path)!r} was made from image {error}, which the data set does "
            "not hold; pass the one that it was made from"
        ) from None
    images = dataset.images[rows]
    for stage in saved["stages"]:
        name = f"{stage['name']}."
        step: Any = Step.from_dict({k: v for k, v in stage.items() if k != "name"})
        columns = {
            column.removeprefix(name): index[column]
            for column in names
            if column.startswith(name) and "." not in column.removeprefix(name)
        }
        touched = np.ones(len(index), bool)
        for column in columns.values():
            touched &= column.is_valid().to_numpy()
        values = {key: _values(column.drop_null()) for key, column in columns.items()}
        changed = step.apply(images[touched], **values)
        if touched.all():
            images = changed
        else:
            images[touched] = changed
    return images


def _values(column: Any) -> NDArray[Any]:
    """A column of the index as the array that it was written from."""
    values: NDArray[Any] = column.to_numpy()
    return values.astype(np.str_) if values.dtype == object else values
