"""TFRecord: files of `tf.train.Example`, which the index locates for random access."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import ClassNames, Images, Masks, Positions, check_ids, encode_labels, read_labels
from ..errors import CellprepError, nearest
from ..plan.rows import Rows
from ..plan.source import NO_HISTORY, BaseSource, History, Shape, Size
from ..system.paths import open_binary, pieces
from .codec import check_size
from .encoded import EncodedSource, file_states
from .format import Block, Contents, Format, WrittenShard
from .index import load_rows, locations_of
from .listing import data_files, data_splits, holds_data_files
from .opened import history_of
from .pieces import Shards, check_files
from .stamps import Files, save
from .tfrecord_example import FRAME, checksum, example_type, value_of
from .tfrecord_example import framed as _framed
from .written import manifest_of_format, written_format

_NAMES = re.compile(r"[^.].*\.(tfrecords?|tfrec|tfr|record)(-\d+-of-\d+)?", re.IGNORECASE)
# -- reading ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Records:
    """The records of some files."""

    files: tuple[Path, ...]
    locations: NDArray[np.int64]
    """(n, 3): file, offset, length."""

    def examples(self, at: Positions) -> Iterator[tuple[int, Any]]:
        """The Example of each row in `at` and its position there, file by file."""
        order = np.argsort(self.locations[at, 0], kind="stable")
        locations = self.locations[at[order]]
        found = zip(order.tolist(), locations.tolist(), pieces(self.files, locations), strict=True)
        for position, (number, start, length), data in found:
            yield position, _parse(data, length, self.files[number], start)

    def name(self, row: int) -> str:
        """File and position of a row, for people."""
        number, start, _ = self.locations[row].tolist()
        return f"{self.files[number].name} at byte {start}"


def _parse(data: bytes, length: int, file: Path, start: int) -> Any:
    """The Example of a record."""
    inside = data[12:-4]
    if len(data) != length or data != _framed(inside):
        raise CellprepError(
            f"{str(file)!r} is truncated or damaged at byte {start}; copy it or write it again"
        )
    try:
        return example_type().FromString(inside)
    except Exception as error:  # protobuf raises what its implementation does
        raise CellprepError(
            f"{str(file)!r} has no tf.train.Example at byte {start}: {error}"
        ) from error


def _scan(file: Path) -> Iterator[tuple[int, int, Any]]:
    """Offset, length and Example of every record of a file."""
    start = 0
    with open_binary(file) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        while start < size:
            head = stream.read(12)
            if head[:2] in (b"\x1f\x8b", b"\x78\x9c", b"\x78\x01", b"\x78\xda"):
                raise CellprepError(f"{str(file)!r} is compressed; unpack it first (gunzip)")
            length = int.from_bytes(head[:8], "little") + FRAME
            if head[8:] != checksum(head[:8]):
                what = "is damaged" if start else "is not a TFRecord file, or a damaged one,"
                raise CellprepError(f"{str(file)!r} {what} at byte {start}; copy it again")
            data = head + stream.read(length - 12) if start + length <= size else b""
            yield start, length, _parse(data, length, file, start)
            start += length


@dataclass(frozen=True, eq=False)
class RecordSource(BaseSource):
    """Images stored as raw pixels in records."""

    path: Path
    records: Records
    rows: Rows
    class_names: tuple[str, ...]
    shape: Shape
    state: str
    """A text that changes when the files change."""
    image: str = "image"
    has_masks: bool = False
    history: History = NO_HISTORY
    trusted: bool = True

    def identity(self) -> str:
        return f"tfrecord {self.state}"

    def images(self, at: Positions) -> Images:
        return self._read(at, self.image, np.empty((len(at), *self.shape), np.uint8))

    def masks(self, at: Positions) -> Masks:
        out = np.empty((len(at), *self.shape[:2]), np.uint8)
        return np.asarray(self._read(at, "mask", out) != 0)

    def _read(self, at: Positions, name: str, out: NDArray[np.uint8]) -> NDArray[np.uint8]:
        for position, example in self.records.examples(at):
            data = value_of(example, name)
            if not isinstance(data, bytes) or len(data) != out[position].size:
                raise CellprepError(
                    f"{self.records.name(int(at[position]))} in {str(self.path)!r} has no {name!r} "
                    f"of {out[position].size} bytes; it is damaged, write the data set again"
                )
            out[position] = np.frombuffer(data, np.uint8).reshape(out[position].shape)
        return out


@dataclass(frozen=True, eq=False)
class RecordStore:
    """Images stored in records as files (PNG, JPEG, ...): the Store of an EncodedSource."""

    records: Records
    image: str
    has_masks: bool = False

    def encoded(self, at: Positions, *, masks: bool = False) -> Iterator[bytes]:
        found = dict(self.records.examples(at))
        for position in range(len(at)):
            yield value_of(found[position], self.image)

    def name(self, row: int) -> str:
        return self.records.name(row)

    def identity(self) -> str:
        return f"tfrecord {file_states(self.records.files)}"


def read(
    path: Path,
    size: int | Size | None = None,
    image: str = "image",
    label: str = "label",
    part: str | None = None,
    class_names: ClassNames | None = None,
) -> RecordSource | EncodedSource:
    """The source of a folder that `write(format="tfrecord")` wrote, or of any TFRecords of images.

    Files that cellprep did not write are scanned once for labels and the locations of records.
    """
    if path.is_dir() and written_format(path) is not None:
        return _read_written(path, size)
    listed, unread = data_files(path, _is_record_file, part)
    files = tuple(listed)
    if not files:
        raise CellprepError(f"{str(path)!r} has no TFRecord files (*.tfrecord)")
    found, locations, raw_shapes = _read_labels(files, image, label)
    if not found:
        raise CellprepError(f"{str(path)!r} has no records; copy it again")
    records = Records(files, np.array(locations, np.int64))
    rows, names = _rows(found, label, class_names)
    if raw_shapes == {None}:
        store = RecordStore(records, image)
        return EncodedSource(store, path, rows, names, check_size(size), unread=unread)
    if len(raw_shapes) > 1:
        raise CellprepError(
            f"{str(path)!r} contains images of several sizes as raw pixels; write them as PNG"
        )
    _refuse_size(size, path)
    shape, state = raw_shapes.pop(), file_states(files)
    return RecordSource(path, records, rows, names, shape, state, image, unread=unread)


def _read_labels(
    files: tuple[Path, ...], image: str, label: str
) -> tuple[list[dict[str, Any]], list[tuple[int, int, int]], set[Any]]:
    """Label, name and id of every record, its location, and the shapes of raw images.

    Encoded images have the shape None.
    """
    found: list[dict[str, Any]] = []
    locations: list[tuple[int, int, int]] = []
    raw_shapes: set[Any] = set()
    for number, file in enumerate(files):
        for nth, (start, length, example) in enumerate(_scan(file)):
            values = {name: value_of(example, name) for name in example.features.feature}
            for name in (image, label):
                if values.get(name) is None:
                    raise CellprepError(
                        f"the record at byte {start} of {str(file)!r} has no feature {name!r}; "
                        f"{nearest(name, sorted(values))}; name both with image= and label="
                    )
            pixels = values[image]
            if not isinstance(pixels, bytes):
                raise CellprepError(
                    f"feature {image!r} in {str(file)!r} must be the bytes of one image"
                )
            shape: list[Any] = [values.get("height"), values.get("width"), 3]
            known = all(isinstance(side, int) and side > 0 for side in shape)
            is_raw = known and len(pixels) == math.prod(shape)
            raw_shapes.add(tuple(shape) if is_raw else None)
            locations.append((number, start, length))
            kept = {"label": values[label], "name": f"{file.name}:{nth}"}
            found.append(kept | {key: values.get(key) for key in ("class_name", "id", "copy")})
    return found, locations, raw_shapes


def _refuse_size(size: object, path: Path) -> None:
    if size is not None:
        raise CellprepError(
            f"`size` is for encoded images, but those of {str(path)!r} are raw pixels; resize with "
            "Crop(..., resize_to=)"
        )


def _is_record_file(name: str) -> bool:
    return _NAMES.fullmatch(name) is not None


def splits(path: Path) -> dict[str, list[str]]:
    """The files of each split."""
    return data_splits(path, _is_record_file)


def _rows(
    found: list[dict[str, Any]], label: str, given: ClassNames | None
) -> tuple[Rows, tuple[str, ...]]:
    """Rows and class names; ids, copies and names where they are stored as cellprep does."""

    def column(name: str) -> NDArray[Any] | None:
        values = [row[name] for row in found]
        if {type(value) for value in values} == {bytes}:
            values = [value.decode("utf-8", "surrogateescape") for value in values]
        try:
            return None if None in values else np.array(values)
        except ValueError:
            return None

    n, values = len(found), column("label")
    if values is None or len({type(row["label"]) for row in found}) > 1:
        raise CellprepError(f"feature {label!r} must be one whole number or text in every record")
    texts, names = column("class_name"), None
    if texts is not None and texts.dtype.kind == "U" and values.dtype.kind == "i":
        by_label = dict(zip(values.ravel().tolist(), texts.tolist(), strict=False))
        if max(by_label) < 1 << 16:  # one of several files may have no image of a class
            names = [by_label.get(k, str(k)) for k in range(max(by_label) + 1)]
    codes, class_names = encode_labels(read_labels(values, n), given, names)
    ids, copies = column("id"), column("copy")
    if ids is None or copies is None or len({*zip(ids, copies, strict=True)}) < n:
        ids, copies = np.array([row["name"] for row in found]), None
    return Rows.of(check_ids(ids, n), codes, copies), class_names


def _read_written(path: Path, size: object) -> RecordSource:
    _refuse_size(size, path)
    manifest = manifest_of_format(path, "tfrecord")
    index, rows = load_rows(path, manifest)
    check_files(path, manifest)
    shards = Shards(path, manifest)
    files = tuple(path / shard_name(number) for number in range(len(shards)))
    locations = locations_of(path, manifest, index, "offset", "length", least=FRAME)
    records = Records(files, locations)
    height, width, channels = manifest["shape"]
    return RecordSource(
        path,
        records,
        rows,
        tuple(manifest["class_names"]),
        (height, width, channels),
        shards.identity(),
        has_masks=bool(manifest.get("masks")),
        history=history_of(manifest, path),
    )


# -- writing ----------------------------------------------------------------------------------


def shard_name(number: int) -> str:
    """
    >>> shard_name(7)
    'shard-00007.tfrecord'
    """
    return f"shard-{number:05d}.tfrecord"


@dataclass(frozen=True, eq=False)
class RecordWriter:
    """Writes a shard as one file of Examples.

    Images are raw bytes: `tf.reshape(tf.io.decode_raw(x["image"], tf.uint8), (height, width, 3))`.
    As PNG they would take half the space, but four times as long to read in every epoch.
    """

    contents: Contents

    def begin(self, folder: Path) -> Files:
        return {}

    def write_shard(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenShard:
        lengths: list[int] = []

        def records() -> Iterator[bytes]:
            for features in self._features(number, blocks):
                example = example_type()()
                for name, value in features.items():
                    feature = example.features.feature[name]
                    kind = feature.int64_list if isinstance(value, int) else feature.bytes_list
                    kind.value.append(value)
                record = _framed(example.SerializeToString(deterministic=True))
                lengths.append(len(record))
                yield record

        name = shard_name(number)
        files = {name: save(folder / name, records())}
        length = np.array(lengths, np.int64)
        shard = np.full(len(length), number, np.int32)
        return WrittenShard(
            files, {"shard": shard, "offset": length.cumsum() - length, "length": length}
        )

    def _features(self, number: int, blocks: Iterable[Block]) -> Iterator[dict[str, Any]]:
        rows, (height, width, _) = self.contents.shard_rows(number), self.contents.shape
        columns = [
            rows.labels.tolist(),
            rows.ids.tolist(),
            rows.copies.tolist(),
            [None] * len(rows) if rows.groups is None else rows.groups.tolist(),
        ]
        left = zip(*columns, strict=True)
        for images, masks in blocks:
            for position, image in enumerate(images):
                label, name, copy, group = next(left)
                features = {
                    "image": image.tobytes(),
                    "height": height,
                    "width": width,
                    "label": label,
                    "class_name": self.contents.class_names[label],
                    "id": name,
                    "copy": copy,
                }
                if group is not None:
                    features["group"] = group
                if masks is not None:
                    features["mask"] = masks[position].tobytes()
                yield {
                    key: value.encode() if isinstance(value, str) else value
                    for key, value in features.items()
                }


def _describe(contents: Contents) -> dict[str, Any]:
    """For the manifest: type, shape and encoding of each feature."""
    height, width, _ = contents.shape
    number = {"dtype": "int64", "shape": [], "encoding": "int64"}
    text = {"dtype": "string", "shape": [], "encoding": "utf-8"}
    rows = contents.rows
    features: dict[str, Any] = {
        "image": {"dtype": "uint8", "shape": [height, width, 3], "encoding": "raw"},
        **dict.fromkeys(("height", "width", "label", "copy"), number),
        "class_name": text,
        "id": text if rows.ids.dtype.kind == "U" else number,
    }
    if rows.groups is not None:
        features["group"] = text if rows.groups.dtype.kind == "U" else number
    if contents.masks:
        features["mask"] = {"dtype": "uint8", "shape": [height, width], "encoding": "raw"}
    return {"features": features}


def _written_files(folder: Path) -> list[Path]:
    found = [file for file in folder.iterdir() if file.suffix == ".tfrecord"]
    return [file for file in found if re.fullmatch(r"shard-\d{5,}\.tfrecord", file.name)]


FORMAT = Format(
    read,
    options=("size", "class_names", "image", "label", "part"),
    looks_like=lambda path: holds_data_files(path, _is_record_file),
    splits=splits,
    writer=RecordWriter,
    files=_written_files,
    needs=("google.protobuf", "google_crc32c"),
    describe=_describe,
)
