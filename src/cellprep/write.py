"""Writing: a plan cut into parts, each complete or absent; the index and the manifest last."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import executors
from .arrays import Images, Masks, check_texts
from .dataset import Dataset, check_dataset
from .destination import PLAN, check_apart, made_of, make_way, standing, sweep
from .errors import BadImagesError, CellprepError, in_range, one_of
from .formats import FORMATS, manifest
from .formats.format import Block, Contents, Files, PartWriter
from .formats.manifest import INDEX, MANIFEST, WORK, replacing, stamp, to_json
from .plan import Parameters, Plan, Record

if TYPE_CHECKING:
    import pyarrow as pa

_RECORDS_AT_ONCE = 64


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
    quarantined : int
        Bad files that were copied to `quarantine/`.
    """

    path: Path
    rows: int
    resumed: int
    bad: Mapping[str, str]
    seconds: float
    quarantined: int = 0

    def __str__(self) -> str:
        resumed = f" ({self.resumed:,} of them by an earlier run)" if self.resumed else ""
        skipped = len(self.bad) - self.quarantined
        return (
            f"{self.rows:,} images written{resumed}, {skipped:,} skipped, {self.quarantined:,} "
            f"quarantined, {self.seconds:.1f} s: {self.path}"
        )


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
    masks: bool = False,
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
        Each process gets the data set by pickle: quick for files, a copy for arrays in memory.
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
    masks : bool
        Write `dataset.masks` too: `masks-00000.npy` (n, height, width) bool beside each shard, PNG
        files of the same names in `masks/` for a folder, the array `masks` in an npz file. `read`
        gives them back.
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
    with executors.using(executor, workers, progress):
        job = plan_write(
            dataset,
            path,
            format=format,
            rows_per_shard=rows_per_shard,
            resume=resume,
            overwrite=overwrite,
            on_error=on_error,
            masks=masks,
        )
        return replace(job.run(), seconds=time.monotonic() - began)


@dataclass(frozen=True)
class Job:
    """A write that nothing speaks against, and of which nothing is done yet."""

    plan: Plan
    path: Path
    made_of: Mapping[str, Any]
    stands: str
    quarantine: bool

    def run(self) -> Written:
        """Do it."""
        began = time.monotonic()
        try:
            resumed, copied = self._write(), 0
            if self.quarantine:
                copied = _quarantine(self.plan, self.path / "quarantine")
        except OSError as error:
            raise CellprepError(
                f"cannot write {str(self.path)!r}: {error.strerror or error}; nothing "
                "half-written is left under a final name, the same write goes on "
                "from here"
            ) from error
        seconds = time.monotonic() - began
        return Written(self.path, len(self.plan), resumed, self.plan.bad, seconds, copied)

    def _write(self) -> int:
        """How many rows an earlier run had written."""
        if self.stands == "finished":
            sweep(self.path)
            return len(self.plan)
        make_way(self.path, self.made_of, self.stands)
        if FORMATS[self.made_of["format"]].is_file:
            _write_file(self.plan, self.path, self.made_of)
            return 0
        return _write_parts(self.plan, self.path, self.made_of)


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
) -> Job:
    """The job of a `write` with these settings: all that can be refused is refused here."""
    check_dataset(dataset)
    path = Path(path)
    kind = format or ("npz" if path.suffix.lower() == ".npz" else "shards")
    one_of("format", kind, FORMATS)
    one_of("on_error", on_error, ("raise", "skip", "quarantine"))
    in_range("rows_per_shard", rows_per_shard, 1, 2**31, whole=True)
    if on_error == "quarantine" and FORMATS[kind].is_file:
        raise CellprepError(
            'on_error="quarantine" needs a folder to put the files in; choose '
            'another format, or "skip"'
        )
    check_texts([str(path)], "the output path")
    check_apart(path, dataset.source.path)
    plan = dataset.readable().plan
    if plan.bad and on_error == "raise":
        raise BadImagesError(plan.bad, 'Mend them, or choose on_error="skip" or "quarantine"')
    if not len(plan):
        raise CellprepError(
            "no image is left to write; look at .removed() for what each step took out"
        )
    if masks and not plan.pixels.masked:
        raise CellprepError(
            "there are no masks to write: read drawn ones, as in read(..., masks=), or add a "
            "KMeansMask"
        )
    origin = made_of(plan, kind, rows_per_shard) | ({"masks": True} if masks else {})
    stands = standing(path, origin, resume=resume, overwrite=overwrite)
    return Job(plan, path, origin, stands, quarantine=on_error == "quarantine" and bool(plan.bad))


@dataclass(frozen=True)
class _Part:
    """Makes and writes one part: the task of a worker."""

    plan: Plan
    folder: Path
    writer: PartWriter
    contents: Contents

    def __call__(self, span: executors.Span) -> None:
        number = span[0] // self.contents.rows_per_part
        record: list[Record] = []
        blocks = _made(self.plan, span, record, self.contents.masks)
        written = self.writer.write_part(self.folder, number, blocks)
        table = _index(self.plan, span, dict(written.columns), record)
        # The record after the images: where it stands, the part is complete.
        entry = {"rows": span[1] - span[0], "files": written.files}
        _save_record(_record_path(self.folder, number), table, entry)


def _made(plan: Plan, span: executors.Span, record: list[Record], masked: bool) -> Iterator[Block]:
    """The images of a span, block by block, and their masks; what made them goes to `record`.

    A block is gone when the next one is asked for: fresh memory costs as much as some of the steps.
    """
    start, stop = span
    spans = plan.spans(stop - start)
    room = np.empty((spans[0][1], *plan.shape), np.uint8)
    for first, last in spans:
        at = np.arange(start + first, start + last)
        masks = None
        if masked:
            images, made_by, masks = plan.evaluate_masked(at, room[: last - first])
        else:
            images, made_by = plan.evaluate(at, room[: last - first])
        record.append(made_by)
        yield images, masks


def _index(
    plan: Plan, span: executors.Span, columns: Parameters, records: list[Record]
) -> pa.Table:
    """The rows of the index for a span, with the records of its blocks.

    The record of an earlier write goes on in it.
    """
    at = np.arange(*span)
    table = {name: manifest.arrow_column(values) for name, values in columns.items()}
    past = plan.source.past.path
    record = manifest.load_record(past) if past is not None else None
    if record is not None:
        before = record.take(plan.origin(at))
        table |= dict(zip(before.column_names, before.columns, strict=True))
    for name in records[0]:
        blocks = zip(*(block[name] for block in records), strict=True)
        table[name] = manifest.arrow_column(*map(np.concatenate, blocks))
    return manifest.index_table(plan.rows.take(at), plan.class_names, table)


def _record_path(folder: Path, number: int) -> Path:
    return folder / WORK / f"part-{number:05d}.arrow"


def _save_record(path: Path, table: pa.Table, entry: Mapping[str, Any]) -> None:
    import pyarrow as pa

    table = table.replace_schema_metadata({"entry": to_json(entry)})
    with replacing(path) as temporary, pa.ipc.new_file(str(temporary), table.schema) as file:
        file.write_table(table)


def _load_record(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        return table.replace_schema_metadata(), json.loads(table.schema.metadata[b"entry"])
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise CellprepError(
            f"{str(path)!r} is damaged ({error}); delete it, and the same write makes its part anew"
        ) from error


def _write_parts(plan: Plan, path: Path, origin: Mapping[str, Any]) -> int:
    """Write the parts that are missing, then index and manifest; how many rows were there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    make_writer = FORMATS[origin["format"]].writer
    assert make_writer is not None
    contents = _contents(plan, origin)
    writer = make_writer(contents)
    (path / WORK).mkdir(parents=True, exist_ok=True)
    with replacing(path / PLAN) as temporary:
        temporary.write_text(to_json(_manifest(plan, origin, [], {})), "utf-8")
    files = writer.begin(path)
    spans = executors.cut(len(plan), contents.rows_per_part)
    records = [_record_path(path, number) for number in range(len(spans))]
    missing = [span for span, record in zip(spans, records, strict=True) if not record.is_file()]
    part = _Part(replace(plan, changes=()), path, writer, contents)
    resumed = len(plan) - sum(stop - start for start, stop in missing)
    size = math.prod(plan.shape)
    for _ in executors.run(part, missing, "writing", image_bytes=size, done=resumed):
        pass
    entries: list[dict[str, Any]] = []
    with replacing(path / INDEX) as temporary:
        schema = _load_record(records[0])[0].schema
        with pq.ParquetWriter(temporary, schema) as index:
            for first, last in executors.cut(len(records), _RECORDS_AT_ONCE):
                tables, some = zip(*map(_load_record, records[first:last]), strict=True)
                index.write_table(pa.concat_tables(tables).unify_dictionaries())
                entries += some
    files[INDEX] = stamp(path / INDEX)
    with replacing(path / MANIFEST) as temporary:
        temporary.write_text(to_json(_manifest(plan, origin, entries, files)), "utf-8")
    sweep(path)
    return resumed


def _write_file(plan: Plan, path: Path, origin: Mapping[str, Any]) -> None:
    """Blocks are made in parallel and streamed into the one file in order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_file = FORMATS[origin["format"]].write_file
    assert write_file is not None
    contents = _contents(plan, origin)
    index: list[pa.Table] = []

    def blocks() -> Iterator[Block]:
        block, size = _Block(plan, contents.masks), math.prod(plan.shape)
        made = executors.run(block, plan.spans(), "writing", image_bytes=size)
        for images, masks, table in made:
            index.append(table)
            yield images, masks

    def finish() -> tuple[dict[str, Any], bytes]:
        buffer = io.BytesIO()
        pq.write_table(pa.concat_tables(index).unify_dictionaries(), buffer)
        return _manifest(plan, origin, [], {}), buffer.getvalue()

    write_file(path, contents, blocks(), finish)
    sweep(path)


@dataclass(frozen=True)
class _Block:
    """Makes the images of a block, and their rows of the index."""

    plan: Plan
    masks: bool

    def __call__(self, span: executors.Span) -> tuple[Images, Masks | None, Any]:
        found = None
        if self.masks:
            images, made_by, found = self.plan.evaluate_masked(np.arange(*span))
        else:
            images, made_by = self.plan.evaluate(np.arange(*span))
        return images, found, _index(self.plan, span, {}, [made_by])


def _contents(plan: Plan, origin: Mapping[str, Any]) -> Contents:
    return Contents(
        *(plan.rows, plan.class_names, plan.shape, origin["rows_per_shard"], "masks" in origin)
    )


def _manifest(
    plan: Plan, origin: Mapping[str, Any], entries: list[dict[str, Any]], files: Files
) -> dict[str, Any]:
    counts = np.bincount(plan.rows.labels, minlength=len(plan.class_names)).tolist()
    drawn = plan.pixels.drawn
    return {
        "format": origin["format"],
        "masks": "masks" in origin,
        "rows": len(plan),
        "shape": list(plan.shape),
        "class_names": list(plan.class_names),
        "counts": dict(zip(plan.class_names, counts, strict=True)),
        "recipe": origin["steps"],
        "stages": [
            *plan.source.past.stages,
            *(
                {"name": name, **step.to_dict(), **({"known_masks": True} if drawn else {})}
                for name, step in plan.stages
            ),
        ],
        "multiplied_by": plan.multiplied_by,
        "changes": [
            {"step": c.step, "rows_in": c.rows_in, "rows_out": c.rows_out, "why": c.why}
            for c in plan.changes
        ],
        "bad": dict(plan.bad),
        "shards": entries,
        "files": files,
        "made_of": dict(origin),
    }


def _quarantine(plan: Plan, target: Path) -> int:
    """Copy the bad files, as far as they can be read; how many. The files stay where they are."""
    source = plan.source.path
    assert source is not None  # only files can be bad
    copied, top = 0, source.resolve()
    for name in plan.bad:
        file = target / name
        if top not in Path(os.path.realpath(source / name)).parents:
            continue  # a link that leads elsewhere: what lies there was not given to us
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(source / name, file)
        except OSError:
            continue  # it cannot be read at all; dataset.json names it
        copied += 1
    return copied
