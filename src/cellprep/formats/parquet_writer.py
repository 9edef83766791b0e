"""Writing of Parquet files with PNG images, in small row groups."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..plan.rows import Rows
from ..system.paths import atomic_write, make_folder
from .codec import encode, encode_mask
from .format import Block, Contents, WrittenShard
from .parquet_columns import is_image, schema_of
from .stamps import Files, stamp

ROWS_PER_GROUP = 16
"""A whole row group is read for one image: more rows cost time, fewer rows enlarge the footer."""


def shard_name(number: int, shards: int) -> str:
    """
    >>> shard_name(0, 13)
    'data/train-00000-of-00013.parquet'
    """
    return f"data/train-{number:05d}-of-{shards:05d}.parquet"


@dataclass(frozen=True, eq=False)
class ParquetWriter:
    """Writes a shard as one Parquet file."""

    contents: Contents

    def begin(self, folder: Path) -> Files:
        return {}

    def write_shard(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenShard:
        rows = self.contents.shard_rows(number)
        name = shard_name(number, self.contents.shards)
        make_folder(folder / "data")
        with atomic_write(folder / name) as temporary:
            with temporary.open("xb") as stream, self._writer(stream) as out:
                waiting: list[tuple[bytes, bytes | None]] = []
                start = 0
                for images, masks in blocks:
                    for position, image in enumerate(images):
                        mask = None if masks is None else encode_mask(masks[position])
                        waiting.append((encode(image), mask))
                        if len(waiting) == ROWS_PER_GROUP:
                            self._write_group(out, rows, start, waiting)
                            start += len(waiting)
                            waiting.clear()
                if waiting:
                    self._write_group(out, rows, start, waiting)
            files = {name: stamp(temporary)}
        row = np.arange(len(rows), dtype=np.int32)
        columns = {
            "shard": np.full(len(rows), number, np.int32),
            "row_group": row // ROWS_PER_GROUP,
            "row": row % ROWS_PER_GROUP,
        }
        return WrittenShard(files, columns)

    def _writer(self, stream: Any) -> Any:
        import pyarrow.parquet as pq

        contents = self.contents
        schema = schema_of(contents.rows, contents.class_names, masks=contents.masks)
        plain = [name for name in schema.names if not is_image(schema.field(name).type)]
        return pq.ParquetWriter(
            *(stream, schema),
            compression="none",  # PNG files are compressed already
            use_dictionary=False,
            write_statistics=plain,
        )

    def _write_group(
        self, out: Any, rows: Rows, start: int, files: list[tuple[bytes, bytes | None]]
    ) -> None:
        """Write a row group of these images and masks."""
        import pyarrow as pa

        some = rows.take(np.arange(start, start + len(files)))
        images, masks = zip(*files, strict=True)
        columns = {"image": images, "mask": masks}
        known = {"label": some.labels, "id": some.ids, "copy": some.copies, "group": some.groups}
        arrays = [
            pa.array([{"bytes": data, "path": None} for data in columns[field.name]], field.type)
            if field.name in columns
            else pa.array(known[field.name], field.type)
            for field in out.schema
        ]
        out.write_table(pa.Table.from_arrays(arrays, schema=out.schema))


def shard_files(folder: Path) -> list[Path]:
    """The shards in a folder."""
    data = folder / "data"
    files = sorted(data.iterdir(), key=str) if data.is_dir() else []
    return [f for f in files if re.fullmatch(r"train-\d{5,}-of-\d{5,}\.parquet", f.name)]
