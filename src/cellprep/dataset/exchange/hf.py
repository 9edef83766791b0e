"""The `datasets` library of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from ...arrays import Images, Positions
from ...errors import CellprepError, require
from ...formats.codec import check_size, encode
from ...formats.encoded import EncodedSource
from ...formats.manifest import to_json
from ...formats.parquet_columns import (
    features_of,
    image_column,
    label_column,
    mask_column,
    schema_of,
)
from ...plan.fingerprint import Fingerprint
from ...plan.plan import Plan
from ...system.executors import cut
from ...system.paths import file_version
from . import check_not_empty
from .tables import rows_of

if TYPE_CHECKING:
    import datasets

_INSTALL = "cellprep[hf]"
_WHAT = "the datasets.Dataset"


def to_hf(plan: Plan, cache_dir: str | Path | None) -> datasets.Dataset:
    """See `Dataset.to_hf`."""
    datasets = require("datasets", _INSTALL)
    check_not_empty(plan)
    rows, schema = plan.rows, schema_of(plan.rows, plan.class_names)
    known: dict[str, Any] = {
        "label": rows.labels,
        "id": rows.ids,
        "copy": rows.copies,
        "group": rows.groups,
    }

    def examples() -> Iterator[dict[str, Any]]:
        for (start, stop), files in plan.each(_encoded):
            columns = {name: known[name][start:stop].tolist() for name in schema.names[1:]}
            for image, *values in zip(files, *columns.values(), strict=True):
                row = dict(zip(columns, values, strict=True))
                yield {"image": {"bytes": image, "path": None}, **row}

    # The key of the cache of `datasets`: equal data sets are computed only once.
    fingerprint = Fingerprint.of(plan, "datasets", 1).with_source(plan.source.identity())
    identity = xxhash.xxh3_128_hexdigest(to_json(fingerprint.to_dict()).encode())
    try:
        return datasets.Dataset.from_generator(
            examples,
            features=datasets.Features.from_arrow_schema(schema),
            cache_dir=None if cache_dir is None else str(cache_dir),
            fingerprint=identity,
        )
    except datasets.exceptions.DatasetGenerationError as error:
        raise (error.__cause__ if isinstance(error.__cause__, CellprepError) else error) from None


def _encoded(images: Images) -> list[bytes]:
    return [encode(image) for image in images]


def _state(file: Path | bytes) -> bytes:
    """A text that changes when the image changes."""
    if isinstance(file, bytes):
        return xxhash.xxh3_128_digest(file)
    try:
        return f"{file}\0{file_version(file)}".encode("utf-8", "surrogateescape")
    except OSError:
        return f"{file}\0unreadable".encode("utf-8", "surrogateescape")


@dataclass(frozen=True, eq=False)
class HFStore:
    """Encoded images of a `datasets.Dataset`, or the files that it names."""

    table: Any
    """The columns with images, in Arrow format."""
    image: str
    mask: str | None

    @property
    def has_masks(self) -> bool:
        return self.mask is not None

    def identity(self) -> str:
        digest = xxhash.xxh3_128()
        for masks in (False, True)[: 1 + self.has_masks]:
            for span in cut(len(self.table), 256):
                for file in self.encoded(np.arange(*span), masks=masks):
                    digest.update(_state(file))
        return f"datasets {digest.hexdigest()}"

    def name(self, row: int) -> str:
        return f"row {row}"

    def encoded(self, at: Positions, *, masks: bool = False) -> Iterator[Path | bytes]:
        column = self.mask if masks else self.image
        for cell in self.table[at.tolist()][column].to_pylist() if len(at) else ():
            file = cell if isinstance(cell, dict) else {"bytes": cell}
            data, path = file["bytes"], file.get("path")
            yield Path(path) if data is None and path else data or b""


def from_hf(
    data: datasets.Dataset,
    image: str | None,
    label: str | None,
    id: str | None,
    group: str | None,
    size: int | tuple[int, int] | None,
) -> EncodedSource:
    """See `Dataset.from_hf`."""
    datasets = require("datasets", _INSTALL)
    if not isinstance(data, datasets.Dataset):
        raise CellprepError(
            f"`data` must be a datasets.Dataset, got {type(data).__name__}; choose one split and "
            'do not stream, as in load_dataset(..., split="train")'
        )
    if not len(data):
        raise CellprepError("`data` contains no images")
    schema = data.features.arrow_schema
    features = features_of(schema)
    image = image_column(schema, features, image, _WHAT)
    label = label_column(schema, features, label, _WHAT)
    mask = mask_column(schema)
    rest = [name for name in schema.names if name in (label, id, group, "id", "copy", "group")]
    table = data.select_columns(rest).with_format("pandas")[:]
    rows, names = rows_of(table, label, id, group, features.get(label, {}).get("names"), None)
    pictures = data.select_columns([image, *([mask] if mask else [])]).with_format("arrow")
    store = HFStore(pictures, image, mask)
    return EncodedSource(store, None, rows, names, check_size(size))
