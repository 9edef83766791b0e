"""WebDataset: tar files of samples; members of the same key, `KEY.png`, `KEY.cls`, are one sample.

Files are written and read with Python's tarfile: webdataset's own TarWriter gives equal bytes too,
but does not report the offsets of members, by which the index locates an image without a scan.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..arrays import ClassNames, Positions, check_ids, encode_labels, read_labels
from ..errors import CellprepError
from ..plan.rows import Rows
from ..plan.source import Size
from ..system.paths import atomic_write, pieces
from .codec import MOST_BYTES, BadFileError, Encoded, check_size, encode, encode_mask
from .encoded import EncodedSource, file_states
from .format import Block, Contents, Format, WrittenShard
from .index import load_rows, locations_of
from .listing import data_files, data_splits, holds_data_files
from .opened import history_of
from .pieces import Shards, check_files
from .stamps import Files, stamp
from .webdataset_samples import Sample, labels_of, samples_of, splits_inside
from .written import manifest_of_format, written_format


@dataclass(frozen=True, eq=False)
class TarStore:
    """The images in some tar files, by their offsets."""

    files: tuple[Path, ...]
    locations: NDArray[np.int64]
    """(n, 3): file, offset, length."""
    mask_locations: NDArray[np.int64] | None
    """The same; length 0 where there is no mask."""
    state: str
    names: tuple[str, ...] | None = None
    """The names of the members, where cellprep did not write the files."""

    @property
    def has_masks(self) -> bool:
        return self.mask_locations is not None

    def identity(self) -> str:
        return f"webdataset {self.state}"

    def name(self, row: int) -> str:
        number, offset, _ = self.locations[row].tolist()
        member = f"byte {offset:,}" if self.names is None else self.names[row]
        return f"{self.files[number].name}: {member}"

    def encoded(self, at: Positions, *, masks: bool = False) -> Iterator[Encoded]:
        locations = self.mask_locations if masks else self.locations
        assert locations is not None
        fit = locations[at, 2] <= MOST_BYTES
        files = pieces(self.files, locations[at[fit]])
        for length, fits in zip(locations[at, 2].tolist(), fit.tolist(), strict=True):
            if fits:
                yield next(files)
            else:
                yield BadFileError(f"has {length:,} bytes, more than any image that can be read")


def read(
    path: Path,
    size: int | Size | None = None,
    label: str | None = None,
    part: str | None = None,
    class_names: ClassNames | None = None,
) -> EncodedSource:
    """The source of a tar file, of a folder of them, or of what `write` wrote."""
    resize_to = check_size(size)
    if path.is_dir() and written_format(path) is not None:
        return _read_written(path, resize_to)
    if path.name.lower().endswith((".tar.gz", ".tgz")):
        raise CellprepError(
            f"{str(path)!r} is compressed, which allows no random access; unpack it to a .tar "
            "first, for example with gunzip"
        )
    found, left = data_files(path, _is_tar, part)
    files, unread = tuple(found), dict(left)
    if not files:
        raise CellprepError(f"{str(path)!r} has no .tar files")
    samples: list[Sample] = []
    for number, file in enumerate(files):
        samples += samples_of(number, file, unread)
    if not samples:
        raise CellprepError(
            f"{str(path)!r} contains no images; a sample is KEY.png or KEY.jpg beside KEY.cls or "
            "KEY.json"
        )
    if inside := splits_inside(samples):
        raise CellprepError(
            f"{str(path)!r} has the splits {', '.join(inside)} in the same files; write each "
            "to its own .tar file, named after it, or unpack them and read the folder with part="
        )
    n = len(samples)
    ids = [sample.key for sample in samples]
    if len(set(ids)) < n:  # keys need to be unique in one tar file only
        ids = [f"{files[sample.file].stem}/{sample.key}" for sample in samples]
    values, stored = labels_of(samples, files, label)
    codes, names = encode_labels(read_labels(values, n, empty=True), class_names, stored)
    has_masks = any(sample.mask for sample in samples)
    store = TarStore(
        files,
        np.array([(sample.file, *sample.image) for sample in samples], np.int64),
        np.array([(sample.file, *(sample.mask or (0, 0))) for sample in samples], np.int64)
        if has_masks
        else None,
        file_states(files),
        tuple(sample.name for sample in samples),
    )
    rows = Rows.of(check_ids(ids, n), codes)
    return EncodedSource(store, path, rows, names, resize_to, unread=tuple(unread.items()))


def _read_written(path: Path, size: Size | None) -> EncodedSource:
    manifest = manifest_of_format(path, "webdataset")
    index, rows = load_rows(path, manifest)
    check_files(path, manifest)
    locations = locations_of(path, manifest, index, "offset", "length")
    masks = None
    if manifest.get("masks"):
        masks = locations_of(path, manifest, index, "mask_offset", "mask_length")
    shards = Shards(path, manifest)
    files = tuple(path / shard_name(number) for number in range(len(shards)))
    store = TarStore(files, locations, masks, shards.identity())
    height, width, _ = manifest["shape"]
    return EncodedSource(
        *(store, path, rows, tuple(manifest["class_names"]), size),
        *((height, width), history_of(manifest, path)),
    )


# -- writing ----------------------------------------------------------------------------------


def shard_name(number: int) -> str:
    """
    >>> shard_name(7)
    'shard-00007.tar'
    """
    return f"shard-{number:05d}.tar"


@dataclass(frozen=True, eq=False)
class TarWriter:
    """Writes a shard as one tar file; keys are row numbers."""

    contents: Contents

    def begin(self, folder: Path) -> Files:
        return {}

    def write_shard(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenShard:
        path, rows = folder / shard_name(number), self.contents.shard_rows(number)
        first = number * self.contents.rows_per_shard
        locations: list[list[int]] = []
        with atomic_write(path) as temporary:
            with (
                temporary.open("xb") as stream,
                tarfile.TarFile(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
            ):
                add = partial(_add, tar, stream)
                for images, masks in blocks:
                    for position, image in enumerate(images):
                        row = len(locations)
                        key = f"{first + row:09d}"
                        add(f"{key}.cls", str(rows.labels[row]).encode())
                        add(f"{key}.json", self._json(rows, row))
                        found = [*add(f"{key}.png", encode(image))]
                        if masks is not None:
                            found += add(f"{key}.mask.png", encode_mask(masks[position]))
                        locations.append(found)
            files = {path.name: stamp(temporary)}
        names = ("offset", "length", "mask_offset", "mask_length")
        columns = dict(zip(names, np.array(locations, np.int64).T, strict=False))
        return WrittenShard(files, {"shard": np.full(len(rows), number, np.int32), **columns})

    def _json(self, rows: Rows, row: int) -> bytes:
        """The contents of `KEY.json`."""
        saved = {
            "id": rows.ids[row].item(),
            "copy": int(rows.copies[row]),
            "label": int(rows.labels[row]),
            "class_name": self.contents.class_names[rows.labels[row]],
        }
        if rows.groups is not None:
            saved["group"] = rows.groups[row].item()
        return json.dumps(saved, sort_keys=True).encode()


def _add(tar: tarfile.TarFile, stream: BinaryIO, name: str, data: bytes) -> tuple[int, int]:
    """Add a member without date or owner; offset and length of its data."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    start = stream.tell() + tarfile.BLOCKSIZE
    tar.addfile(member, io.BytesIO(data))
    tar.members.clear()  # type: ignore[attr-defined]  # else it keeps them all
    return start, len(data)


def shard_files(folder: Path) -> list[Path]:
    """The shards in a folder."""
    files = sorted(folder.iterdir(), key=str)
    return [file for file in files if re.fullmatch(r"shard-\d{5,}\.tar", file.name)]


def _is_tar(name: str) -> bool:
    return name.lower().endswith(".tar")


def splits(path: Path) -> dict[str, list[str]]:
    """The tar files of each split."""
    return data_splits(path, _is_tar)


def _looks_like(path: Path) -> bool:
    compressed = path.name.lower().endswith((".tar.gz", ".tgz")) and path.is_file()
    return compressed or holds_data_files(path, _is_tar)


FORMAT = Format(
    read,
    options=("size", "class_names", "label", "part"),
    looks_like=_looks_like,
    splits=splits,
    writer=TarWriter,
    files=shard_files,
    encoded=True,
)
