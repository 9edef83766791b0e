"""Random damage to bytes, JSON and tables; `CELLPREP_FUZZ=100` tries 100 times as many cases."""

from __future__ import annotations

import copy
import io
import json
import math
import os
import re
import shutil
import struct
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

import cellprep as cp
from cellprep.cli import main
from cellprep.formats import pieces
from cellprep.formats.manifest import MANIFEST, manifest_bytes, sealed, to_json
from cellprep.formats.pieces import FOLDER

MORE = int(os.environ.get("CELLPREP_FUZZ", "1"))
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 9, 8, 3), np.uint8)
CELLS = cp.Dataset.from_arrays(IMAGES, list("aabbab"), groups=np.arange(6) // 2)
RECIPE = cp.Recipe([cp.Dedupe(), cp.Jitter(), cp.RandAugment(copies=1, num_ops=1)], seed=1)


def fuzzed(examples: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=examples * MORE,
        derandomize=MORE == 1,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        phases=list(Phase) if MORE == 1 else [Phase.generate],
    )


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["flip", "set", "cut", "insert", "repeat", "zero", "number"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 64),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def damaged(original: bytes, changes: list[tuple[str, float, int, int]]) -> bytes:
    """The bytes after some changes, each at a fraction of the length."""
    data = bytearray(original)
    for change, share, length, value in changes:
        at = int(share * len(data))
        region = data[at : at + length]
        if change == "flip" and region:
            data[at] ^= 1 << value % 8
        elif change == "set" and region:
            data[at] = value
        elif change == "cut":
            del data[at : at + (length if value % 4 else len(data))]
        elif change == "insert":
            data[at:at] = bytes([value]) * length
        elif change == "repeat":
            data[at:at] = region
        elif change == "zero":
            data[at : at + length] = bytes(len(region))
        elif change == "number" and len(data) - at >= 8:
            data[at : at + 8] = struct.pack("<q", (-1, 2**31, 2**62, 2**63 - 1)[value % 4])
    return bytes(data)


DEEP = json.loads("[" * 300 + "]" * 300)
# fmt: off
VALUES = st.sampled_from([
    None, True, -1, 0, 7, 10**30, 2**63, 2**40, -(2**63), math.nan, math.inf, 1e308, 0.5, "", "a",
    "../../out", "/etc/passwd", "\0", "\ud800", "x" * 5000, [], {}, [[]], [None], {"a": 1},
    [2**40] * 3, [8, 8, 3], [0, 0, 0], [-1, 8, 3], ["a", "a"], ["a", 3], DEEP,
])


def containers_and_keys(value: Any) -> list[tuple[Any, Any]]:
    """Every container below a JSON value, with each of its keys."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in list(inside):
        found.append((value, key))
        if isinstance(item, dict | list):
            found += containers_and_keys(item)
    return found


@st.composite
def changed_json(draw: Any, text: str) -> str:
    """A JSON text in which one or two values are changed or removed."""
    value = json.loads(text)
    for _ in range(draw(st.integers(1, 2))):
        container, key = draw(st.sampled_from(containers_and_keys(value) or [([value], 0)]))
        if draw(st.integers(0, 4)) == 0:
            del container[key]
        else:
            container[key] = copy.deepcopy(draw(VALUES))
    return json.dumps(value)


@st.composite
def changed_table(draw: Any, table: pa.Table) -> pa.Table:
    """A table with a column removed, of another type, with nulls or other values, or other rows."""
    how = draw(st.sampled_from(["drop", "type", "null", "value", "fewer", "more", "name"]))
    if how == "fewer":
        return table.slice(0, draw(st.integers(0, len(table) - 1)))
    if how == "more":
        return pa.concat_tables([table, table])
    number = draw(st.integers(0, table.num_columns - 1))
    name, n = table.column_names[number], len(table)
    if how == "drop":
        return table.drop_columns([name])
    if how == "name":
        return table.rename_columns([c + "x" * (c == name) for c in table.column_names])
    values = table[name].to_pylist()
    if how == "type":
        kinds = [[None] * n, ["x"] * n, [0.5] * n, [b"\xff"] * n, [[1]] * n, [True] * n]
        values = draw(st.sampled_from([*kinds, [{"a": 1}] * n, [math.nan] * n, [2**40] * n]))
    elif how == "null":
        values[draw(st.integers(0, n - 1))] = None
    elif isinstance(values[0], str):
        values[0] = draw(
            st.sampled_from(["", "/etc/passwd", "../../secret.png", "a\0b", "x" * 999])
        )
    elif type(values[0]) is int:
        values[0] = draw(st.sampled_from([-1, 2**31 - 1, 2**62, -(2**63)]))
        values = values if -(2**31) <= values[0] < 2**31 else pa.array(values, pa.int64())
    return table.set_column(number, name, pa.array(values))


@st.composite
def changed_file(draw: Any, name: str, original: bytes) -> bytes:
    """A file with damaged bytes or, if it is JSON or Parquet, with damaged values."""
    inside = draw(st.booleans())
    if inside and name.endswith((MANIFEST, "plan.json")):  # with its digest, to test other checks
        return manifest_bytes(json.loads(draw(changed_json(original.decode()))))
    if inside and is_of_piece(name) and name.endswith(".json"):
        return sealed(to_json(json.loads(draw(changed_json(original.decode())))).encode())
    if inside and name.endswith(".json"):
        return draw(changed_json(original.decode())).encode("utf-8", "surrogatepass")
    if inside and name.endswith(".parquet"):
        changed = pa.BufferOutputStream()
        pq.write_table(draw(changed_table(pq.read_table(io.BytesIO(original)))), changed)
        return changed.getvalue().to_pybytes()
    return damaged(original, draw(CHANGES))


def is_of_piece(name: str) -> bool:
    """Whether a file contains the rows or the entries of a piece."""
    return name.startswith(f"set/{FOLDER}/")


def reads_or_refuses(path: Path, **options: Any) -> None:
    """Reading, deduplicating and replaying a data set works, or is refused in one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd files
        for look in (read_all, deduplicate, replay):
            with suppress(cp.CellprepError):
                look(path, **options)


def read_all(path: Path, **options: Any) -> None:
    cells = cp.read(path, **options)
    try:
        cells.to_arrays(workers=1)
    except cp.BadImagesError:
        cells.readable().to_arrays(workers=1)
    cells.table()


def deduplicate(path: Path, **options: Any) -> None:
    cells = cp.read(path, **options).readable()
    cp.Recipe([cp.Dedupe()])(cells).removed()


def replay(path: Path, **options: Any) -> None:
    cp.replay(path, CELLS)


def succeeds_or_prints_one_line(*arguments: object) -> None:
    """The same for a command."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code in (0, 2), result.stderr
    assert result.exit_code == 0 or re.fullmatch(r"error: [^\n]+\n", result.stderr), result.stderr


@cache
def written(kind: str, in_pieces: bool = False) -> dict[str, bytes]:
    """The files of a small data set by name; none if the library of the format is missing."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if in_pieces:
            patch.setattr(pieces, "SHARDS_PER_PIECE", 1)
        path = Path(folder) / ("set.npz" if kind == "npz" else "set")
        try:
            cp.write(RECIPE(CELLS), path, format=kind, rows_per_shard=5, progress=False)
        except cp.CellprepError as error:
            if "pip install" not in str(error):
                raise
            return {}
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        return {
            str(file.relative_to(folder)): file.read_bytes() for file in files if file.is_file()
        }


def put_files(files: dict[str, bytes], root: Path) -> Path:
    """Put files below an empty folder; returns the path of the data set."""
    shutil.rmtree(root, ignore_errors=True)
    for name, contents in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(contents)
    return root / next(iter(files)).split("/")[0]


class Malicious:
    """Makes a folder when unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def header(shape: Any, kind: str = "|u1", order: bool = False, version: int = 1) -> bytes:
    text = str({"descr": kind, "fortran_order": order, "shape": shape}).encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text
