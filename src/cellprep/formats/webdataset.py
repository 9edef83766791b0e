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
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..arrays import Positions, check_ids, encode_labels, read_labels
from ..errors import CellprepError
from ..plan.rows import Rows
from ..plan.source import Size
from ..system.paths import atomic_write, open_binary, pieces
from .codec import MOST_BYTES, BadFileError, Encoded, check_size, encode, encode_mask
from .encoded import EncodedSource, file_states
from .format import Block, Contents, Format, WrittenShard
from .index import load_rows, locations_of
from .manifest import check_files, digests_of, history_of
from .stamps import Files, stamp
from .written import manifest_of_format, written_format

_IMAGES = ("png", "jpg", "jpeg", "bmp", "tif", "tiff")
_MASK = "mask.png"
_KEYS = ("label", "cls", "class", "class_name")
"""Keys under which the json of a sample may contain its label."""
_MOST_TEXT = 1 << 20


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


def read(path: Path, size: int | Size | None = None, label: str | None = None) -> EncodedSource:
    """The source of a tar file, of a folder of them, or of what `write` wrote."""
    resize_to = check_size(size)
    if path.is_dir() and written_format(path) is not None:
        return _read_written(path, resize_to)
    if path.name.lower().endswith((".tar.gz", ".tgz")):
        raise CellprepError(
            f"{str(path)!r} is compressed, which allows no random access; unpack it to a .tar "
            "first, for example with gunzip"
        )
    found = [path]
    if path.is_dir():
        found = sorted((file for file in path.iterdir() if file.suffix == ".tar"), key=str)
    files = tuple(file for file in found if file.is_file())
    if not files:
        raise CellprepError(f"{str(path)!r} has no .tar files")
    samples = [sample for number, file in enumerate(files) for sample in _samples(number, file)]
    if not samples:
        raise CellprepError(
            f"{str(path)!r} contains no images; a sample is KEY.png or KEY.jpg beside KEY.cls or "
            "KEY.json"
        )
    n = len(samples)
    ids = [sample.key for sample in samples]
    if len(set(ids)) < n:  # keys need to be unique in one tar file only
        ids = [f"{files[sample.file].stem}/{sample.key}" for sample in samples]
    values, class_names = _labels(samples, files, label)
    empty = class_names is not None
    codes, names = encode_labels(read_labels(values, n, empty=empty), class_names)
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
    return EncodedSource(store, path, Rows.of(check_ids(ids, n), codes), names, resize_to)


def _read_written(path: Path, size: Size | None) -> EncodedSource:
    manifest = manifest_of_format(path, "webdataset")
    index, rows = load_rows(path, manifest)
    check_files(path, manifest)
    locations = locations_of(path, manifest, index, "offset", "length")
    masks = None
    if manifest.get("masks"):
        masks = locations_of(path, manifest, index, "mask_offset", "mask_length")
    files = tuple(path / shard_name(number) for number in range(len(manifest["shards"])))
    store = TarStore(files, locations, masks, digests_of(manifest))
    height, width, _ = manifest["shape"]
    return EncodedSource(
        *(store, path, rows, tuple(manifest["class_names"]), size),
        *((height, width), history_of(manifest, path)),
    )


# -- tar files that cellprep did not write ------------------------------------------------------


@dataclass
class _Sample:
    """Members of the same key; images and masks are given by (offset, length)."""

    file: int
    key: str
    name: str = ""
    image: tuple[int, int] = (0, 0)
    mask: tuple[int, int] | None = None
    cls: str | None = None
    json: Any = None


def _samples(number: int, path: Path) -> list[_Sample]:
    """The samples with an image, from one pass over the headers of a tar file."""
    found: dict[str, _Sample] = {}
    try:
        with open_binary(path) as stream, tarfile.TarFile(fileobj=stream) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps them all
                split = re.fullmatch(r"(?:\./)?((?:.*/)?[^./]+)\.([^/]+)", member.name)
                if split is not None and member.isreg() and not member.issparse():
                    sample = found.setdefault(split[1], _Sample(number, split[1]))
                    _add_member(sample, member, split[2].lower(), stream)
            stream.seek(tar.offset)
            # tarfile takes anything but a header for the end of the file
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"no end mark at byte {tar.offset:,}")
    except CellprepError as error:
        raise CellprepError(f"{str(path)!r} {error}") from None
    except (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError) as error:
        raise CellprepError(
            f"{str(path)!r} is not a tar file, or a damaged one: {error}; copy it again"
        ) from error
    return [sample for sample in found.values() if sample.name]


def _add_member(sample: _Sample, member: tarfile.TarInfo, suffix: str, stream: BinaryIO) -> None:
    """Add a member to its sample, unless it is neither image, mask nor label."""
    location = (member.offset_data, member.size)
    if suffix in _IMAGES:
        if sample.name:
            raise CellprepError(
                f"has two images of sample {sample.key!r}, {sample.name!r} and "
                f"{member.name!r}; give each its own key"
            )
        sample.name, sample.image = member.name, location
    elif suffix == _MASK:
        sample.mask = location
    elif suffix in ("cls", "json"):
        if member.size > _MOST_TEXT:
            raise CellprepError(
                f"has {member.name!r} of {member.size:,} bytes, too many for a label; remove it"
            )
        stream.seek(member.offset_data)
        try:
            text = stream.read(member.size).decode("utf-8")
            if suffix == "cls":
                sample.cls = text.strip()
            else:
                sample.json = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CellprepError(
                f"has {member.name!r}, which is not valid {suffix}: {error}"
            ) from None


def _labels(
    samples: list[_Sample], files: tuple[Path, ...], key: str | None
) -> tuple[list[Any], list[str] | None]:
    """The labels, from the first source with one for every sample; names of numeric labels."""
    values: dict[str, list[Any]] = {
        "json": [_of_json(sample, (key,) if key else _KEYS) for sample in samples],
        "cls": [sample.cls for sample in samples],
        "folder": [sample.key.rpartition("/")[0].rpartition("/")[2] or None for sample in samples],
    }
    order = ("json",) if key else ("cls", "json", "folder")
    found = next((values[kind] for kind in order if None not in values[kind]), None)
    if found is None:
        kind = min(order, key=lambda kind: values[kind].count(None))
        sample = samples[values[kind].index(None)]
        expected = f"{key!r} in its json" if key else "KEY.cls, label in KEY.json or class/KEY.png"
        raise CellprepError(
            f"{str(files[sample.file])!r} has no label for sample {sample.key!r}; expected "
            f"{expected}, or another entry of the json named with label="
        )
    if all(isinstance(value, str) and value.isdecimal() for value in found):
        found = [int(value) for value in found]
    if not all(isinstance(value, int) for value in found):
        return [str(value) for value in found], None
    return found, _names(found, [_of_json(sample, ("class_name",)) for sample in samples])


def _names(labels: list[int], name_of_each: list[Any]) -> list[str] | None:
    """The names of numeric labels, if each label has its own name."""
    names = dict(zip(labels, name_of_each, strict=True))
    pairs = {*zip(labels, name_of_each, strict=True)}
    if not (len(pairs) == len(names) == len({*names.values()}) and min(names) >= 0):
        return None
    if max(names) > len(labels) or not all(isinstance(name, str) for name in names.values()):
        return None
    return [names.get(number, str(number)) for number in range(max(names) + 1)]


def _of_json(sample: _Sample, keys: tuple[str, ...]) -> Any:
    """The first of these entries that is a number or text."""
    entries = sample.json if isinstance(sample.json, dict) else {"label": sample.json}
    found = (entries.get(key) for key in keys)
    return next((value for value in found if isinstance(value, int | str)), None)


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
        with (
            atomic_write(path) as temporary,
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
                        found += add(f"{key}.{_MASK}", encode_mask(masks[position]))
                    locations.append(found)
        names = ("offset", "length", "mask_offset", "mask_length")
        columns = dict(zip(names, np.array(locations, np.int64).T, strict=False))
        files = {path.name: stamp(path)}
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


def _looks_like(path: Path) -> bool:
    if path.is_file():
        return path.name.lower().endswith((".tar", ".tar.gz", ".tgz"))
    entries = list(path.iterdir()) if path.is_dir() else []
    folders = any(entry.is_dir() and not entry.name.startswith(".") for entry in entries)
    return not folders and any(entry.suffix == ".tar" for entry in entries)


FORMAT = Format(
    read,
    options=("size", "label"),
    looks_like=_looks_like,
    writer=TarWriter,
    files=shard_files,
    encoded=True,
)
