"""Writing of image folders: one PNG file per row, under readable and safe names."""

from __future__ import annotations

import itertools
import re
import unicodedata
import urllib.parse
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..arrays import one_form
from ..errors import CellprepError
from ..plan.rows import Rows
from ..system.paths import WORK, atomic_write, local_copy, make_folder, map_files
from ..system.platform import file_name
from .codec import SUFFIXES, encode, encode_mask
from .format import Block, Contents, WrittenShard
from .index import load_piece
from .manifest import CARDS, INDEX, MANIFEST
from .pieces import FOLDER, Shards
from .stamps import Files
from .untrusted import inside
from .written import look_at

MASKS = "masks"
_FILES = f"{WORK}/files.parquet"
"""Of an unfinished data set: the names of all its files."""


def file_names(rows: Rows, class_names: tuple[str, ...]) -> NDArray[Any]:
    """(n,) str: a readable and safe name for each row, such as `baso/cell7_aug_002.png`.

    >>> rows = Rows.of(np.array(["a/x.jpg", "a/x.jpg"]), np.zeros(2, int), np.array([0, 2]))
    >>> file_names(rows, ("a",)).tolist()
    ['a/x.png', 'a/x_aug_002.png']
    """
    folders = class_folders(class_names)
    plain = rows.ids.dtype.kind == "i"
    names = []
    for image, copy, label in zip(
        rows.ids.tolist(), rows.copies.tolist(), rows.labels.tolist(), strict=True
    ):
        stem = f"{image:07d}" if plain else one_form(image).removeprefix(f"{class_names[label]}/")
        if stem.lower().endswith(SUFFIXES):
            stem = stem.rpartition(".")[0]
        suffix = f"_aug_{copy:03d}.png" if copy else ".png"
        names.append(f"{folders[label]}/{file_name(_safe(stem) + suffix)}")
    folded = np.array([name.casefold() for name in names])  # some file systems ignore case
    _, which, counts = np.unique(folded, return_inverse=True, return_counts=True)
    for row in np.flatnonzero(counts[which] > 1):
        key = f"{rows.id_keys[row]:016x}"
        names[row] = f"{names[row].removesuffix('.png')}-{key}.png"
    return np.array(names)


def class_folders(class_names: tuple[str, ...]) -> list[str]:
    """A folder for each class: another one for each, also on file systems that ignore case.

    >>> class_folders(("blast", "Masks", "con", "a/b", "a__b"))
    ['blast', 'Masks_', 'con_', 'a__b-48f71e9475860604', 'a__b-5cf6a9a59439d85e']
    """
    # A class may have the name of a file or folder beside the class folders.
    reserved = [name.lower() for name in (INDEX, FOLDER, MANIFEST, *CARDS, MASKS, "quarantine")]
    folders = [file_name(_safe(name)) + "_" * (name.lower() in reserved) for name in class_names]
    often = Counter(folder.casefold() for folder in folders)
    return [
        f"{folder}-{xxhash.xxh3_64_hexdigest(name.encode(errors='surrogatepass'))}"
        if often[folder.casefold()] > 1
        else folder
        for folder, name in zip(folders, class_names, strict=True)
    ]


def _safe(name: str) -> str:
    """A readable file name that stays in its folder on any system."""
    kept = re.sub(r"[/\\]+", "__", one_form(name))
    kept = "".join(letter if _is_letter(letter) else _quoted(letter) for letter in kept)
    kept = kept.lstrip(".") or "_"
    encoded = kept.encode()
    if len(encoded) <= 150:  # file systems count bytes
        return kept
    return f"{encoded[:120].decode(errors='ignore')}-{xxhash.xxh3_64_hexdigest(encoded)}"


def _is_letter(letter: str) -> bool:
    """Whether it is a letter, digit or accent of any script but ours, which `quote` knows."""
    return not letter.isascii() and unicodedata.category(letter)[0] in "LMN"


def _quoted(letter: str) -> str:
    return urllib.parse.quote(
        letter, safe=" ()+,=@[]{}", encoding="utf-8", errors="surrogateescape"
    )


@dataclass(frozen=True, eq=False)
class FolderWriter:
    """Writes rows as PNG files, whose names are chosen for all rows beforehand."""

    contents: Contents

    @cached_property
    def _names(self) -> NDArray[Any]:
        return file_names(self.contents.rows, self.contents.class_names)

    def begin(self, folder: Path) -> Files:
        """Write the list of all files, which `overwrite` needs if the write is interrupted."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with atomic_write(folder / _FILES) as temporary:
            pq.write_table(pa.table({"file": self._names}), temporary)
        return {}

    def write_shard(self, folder: Path, number: int, blocks: Iterable[Block]) -> WrittenShard:
        """One PNG file per row; its mask, 0 and 255, has the same name in `masks/`."""
        start = number * self.contents.rows_per_shard
        names = self._names[start : start + self.contents.rows_per_shard]
        digests: dict[str, list[str]] = {}
        left = iter(names.tolist())
        for images, masks in blocks:
            of_block = list(itertools.islice(left, len(images)))
            digests.setdefault("xxh3_128", []).extend(
                map_files(_save, [folder / name for name in of_block], map(encode, images))
            )
            if masks is not None:
                paths = [folder / MASKS / name for name in of_block]
                digests.setdefault("masks_xxh3_128", []).extend(
                    map_files(_save, paths, map(encode_mask, masks))
                )
        columns = {name: np.array(values) for name, values in digests.items()}
        return WrittenShard({}, {"file": names, **columns})


def _save(path: Path, encoded: bytes) -> str:
    """Write a PNG file and return its digest."""
    make_folder(path.parent)
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded)
    return xxhash.xxh3_128_hexdigest(encoded)


def written_files(folder: Path) -> list[Path]:
    """All files that a writer has written or was about to write, and their masks.

    An index that the manifest does not refer to may name files of the user, and is not used.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest, tables = look_at(folder).manifest, []
    if manifest is not None:
        with suppress(CellprepError):
            shards = Shards(folder, manifest)
            for piece in shards.pieces:
                if piece.index in piece.files:
                    with suppress(CellprepError):  # the others still name files
                        tables.append(load_piece(shards, piece, record=False))
    with suppress(OSError, ValueError, pa.ArrowException), local_copy(folder / _FILES) as local:
        tables.append(pq.read_table(local))
    files = []
    for table in tables:
        named = table["file"].to_pylist() if "file" in table.column_names else []
        names = [name for name in named if isinstance(name, str) and inside(name)]
        files += [folder / name for name in names]
        files += [folder / MASKS / name for name in names]
    return files
