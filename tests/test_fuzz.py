"""Whatever bytes come: they are read, or refused in one line. Nothing is run, nothing is left.

`CELLPREP_FUZZ=100 pytest tests/test_fuzz.py` tries a hundred times as much, other things each time.
"""

from __future__ import annotations

import copy
import io
import json
import math
import os
import pickle
import re
import shutil
import struct
import warnings
import zipfile
import zlib
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
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp
from cellprep.cli import main
from cellprep.formats import FORMATS, npz
from cellprep.formats.manifest import INDEX, MANIFEST, read_manifest
from cellprep.system.paths import WORK

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


# -- damage ------------------------------------------------------------------------------------

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


def damaged(whole: bytes, changes: list[tuple[str, float, int, int]]) -> bytes:
    """The bytes after some changes, each at a share of the length."""
    data = bytearray(whole)
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
# fmt: on


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, held in list(inside):
        found.append((value, key))
        if isinstance(held, dict | list):
            found += places(held)
    return found


@st.composite
def changed_json(draw: Any, text: str) -> str:
    """A JSON text with other values at some keys, or without these."""
    value = json.loads(text)
    for _ in range(draw(st.integers(1, 2))):
        container, key = draw(st.sampled_from(places(value) or [([value], 0)]))
        if draw(st.integers(0, 4)) == 0:
            del container[key]
        else:
            container[key] = copy.deepcopy(draw(VALUES))
    return json.dumps(value)


@st.composite
def changed_table(draw: Any, table: pa.Table) -> pa.Table:
    """A table with a column less, of another type, with nulls or other values; or other rows."""
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
def changed_file(draw: Any, name: str, whole: bytes) -> bytes:
    """A file after damage to its bytes or, where these are understood, to what they say."""
    inside = draw(st.booleans())
    if inside and name.endswith(".json"):
        return draw(changed_json(whole.decode())).encode("utf-8", "surrogatepass")
    if inside and name.endswith(".parquet"):
        changed = pa.BufferOutputStream()
        pq.write_table(draw(changed_table(pq.read_table(io.BytesIO(whole)))), changed)
        return changed.getvalue().to_pybytes()
    return damaged(whole, draw(CHANGES))


# -- the property ------------------------------------------------------------------------------


def reads_or_refuses(path: Path, **options: Any) -> None:
    """Everything that looks at a data set either works or says in one line why not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd files
        for look in (whole, deduplicated, replayed):
            with suppress(cp.CellprepError):
                look(path, **options)


def whole(path: Path, **options: Any) -> None:
    cells = cp.read(path, **options)
    try:
        cells.to_arrays(workers=1)
    except cp.BadImagesError:
        cells.readable().to_arrays(workers=1)
    cells.table()


def deduplicated(path: Path, **options: Any) -> None:
    cells = cp.read(path, **options).readable()
    cp.Recipe([cp.Dedupe()])(cells).removed()


def replayed(path: Path, **options: Any) -> None:
    cp.replay(path, CELLS)


def says_one_line(*arguments: object) -> None:
    """The same of a command."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code in (0, 2), result.stderr
    assert result.exit_code == 0 or re.fullmatch(r"error: [^\n]+\n", result.stderr), result.stderr


# -- data sets in every format -----------------------------------------------------------------


@cache
def written(kind: str) -> dict[str, bytes]:
    """The files of a small data set in a format, by their names; empty: its library is absent."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
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


def lay(files: dict[str, bytes], root: Path) -> Path:
    """The files below an empty folder; where the data set is."""
    shutil.rmtree(root, ignore_errors=True)
    for name, contents in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(contents)
    return root / next(iter(files)).split("/")[0]


@pytest.mark.parametrize("kind", FORMATS)
@fuzzed(60)
@given(data=st.data())
def test_damaged_sets_of_every_format(kind, tmp_path_factory, data):
    files = dict(written(kind))
    if not files:
        pytest.skip(f"the library for {kind} is not installed")
    suffixes = sorted({Path(name).suffix for name in files})
    suffix = data.draw(st.sampled_from(suffixes))
    name = data.draw(st.sampled_from([name for name in files if name.endswith(suffix)]))
    files[name] = data.draw(changed_file(name, files[name]))
    root = tmp_path_factory.getbasetemp() / f"{kind}-fuzzed"
    path = lay(files, root)
    (root / "secret.png").write_bytes(b"mine")
    reads_or_refuses(path)
    command = data.draw(st.sampled_from(["inspect", "convert", "over"]))
    if command == "inspect":
        says_one_line("inspect", path)
    elif command == "convert":
        out = root / "out"
        says_one_line("convert", path, out, "--on-error", "skip", "--workers", 1)
    else:  # only files of the set may go, wherever damaged names lead
        with suppress(cp.CellprepError):
            cp.write(CELLS, path, format="shards", overwrite=True, progress=False, workers=1)
    assert (root / "secret.png").read_bytes() == b"mine"
    assert not (root.parent / "out").exists()


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if not FORMATS[kind].is_file])
@fuzzed(25)
@given(data=st.data())
def test_a_damaged_unfinished_set_is_gone_on_with_or_refused(kind, tmp_path_factory, data):
    if not written(kind):
        pytest.skip(f"the library for {kind} is not installed")
    files = dict(written(kind))
    made_of = read_manifest(files[f"set/{MANIFEST}"].decode(), Path())
    plan = f"set/{WORK}/plan.json"
    files = {
        name: data for name, data in files.items() if name.split("/")[1] not in (MANIFEST, INDEX)
    }
    files[plan] = json.dumps(made_of).encode()
    files[f"set/{WORK}/part-00000.arrow"] = data.draw(st.binary(max_size=20))
    files[plan] = data.draw(changed_file(plan, files[plan]))
    path = lay(files, tmp_path_factory.getbasetemp() / f"{kind}-unfinished")
    for over in (False, True):
        with suppress(cp.CellprepError):
            made = RECIPE(CELLS)
            cp.write(made, path, format=kind, rows_per_shard=5, overwrite=over, progress=False)


# -- npz ---------------------------------------------------------------------------------------


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


SHAPES = st.one_of(
    st.just((6, 9, 8, 3)),
    st.lists(st.sampled_from([0, 1, 3, 6, 8, 9, 2**31, 2**62, 10**30, -1, -6]), max_size=6).map(
        tuple
    ),
)
# fmt: off
KINDS = st.sampled_from([
    "|u1", "<i8", "<f8", ">u2", "|O", "<U0", "<U4", "|S0", "|S5", "<U99999999", "|V0", "|V8", "|b1",
    "<M8[D]", "<c16", "[('a', '<i4')]", "[('a', 'O')]", "no", "(3,)u1", "<i8, <i8", "",
])
# fmt: on


@fuzzed(150)
@given(
    st.sampled_from(["images", "labels", "ids", "groups", "class_names", "copies", "masks"]),
    SHAPES,
    KINDS,
    st.booleans(),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]),
    st.one_of(st.none(), st.binary(max_size=300)),
)
def test_members_that_say_anything_of_themselves(
    tmp_path_factory, name, shape, kind, order, version, compression, body
):
    path = tmp_path_factory.getbasetemp() / "members.npz"
    ran = tmp_path_factory.getbasetemp() / "ran"
    members = {
        key: array
        for key, array in np.load(io.BytesIO(written("npz")["set.npz"])).items()
        if not isinstance(array, bytes)
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        for key, array in members.items():
            if key == name:
                continue
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{key}.npy", file.getvalue())
        if body is None:
            body = pickle.dumps(Malicious(str(ran)))
        archive.writestr(f"{name}.npy", header(shape, kind, order, version) + body)
    reads_or_refuses(path)
    reads_or_refuses(path, masks="masks")
    says_one_line("inspect", path)
    assert not ran.exists()


@pytest.mark.parametrize("body", [b"", b"cos\nmkdir\n(S'ran'\ntR.", pickle.dumps([1])])
def test_a_bare_pickle_is_no_member(body, tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("images.npy", body)
        archive.writestr("labels.npy", body)
    with pytest.raises(cp.CellprepError, match="is not a NumPy array"):
        cp.read(tmp_path / "bad.npz")


def test_a_member_that_would_fill_the_memory_is_refused(tmp_path):
    """1 GB of zeros in a few MB: its declared size is the limit of what is ever unpacked."""
    n = (1 << 30) // (96 * 96 * 3) + 1
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("images.npy", "w", force_zip64=True) as member:
            member.write(header((n, 96, 96, 3)))
            for _ in range(n):
                member.write(bytes(96 * 96 * 3))
        with file.open("labels.npy", "w") as member:
            np.save(member, np.arange(n) % 2)
    with pytest.raises(cp.CellprepError, match="more than 1 GB and 200-fold"):
        cp.read(tmp_path / "bomb.npz")


def test_more_than_a_member_declares_is_never_unpacked(tmp_path, monkeypatch):
    """The sizes in the archive are as false as its author likes."""
    np.savez_compressed(tmp_path / "good.npz", images=IMAGES, labels=np.arange(6) % 2)
    data = (tmp_path / "good.npz").read_bytes()
    size = struct.pack("<I", len(IMAGES.tobytes()) + 128)
    for false in (0, 100, 2**31, 2**32 - 2):
        path = tmp_path / f"{false}.npz"
        path.write_bytes(data.replace(size, struct.pack("<I", false)))
        assert path.read_bytes() != data
        with pytest.raises(cp.CellprepError):
            cp.read(path).to_arrays()


@pytest.mark.parametrize("spooled", [0, 1 << 30])
def test_compressed_arrays_are_the_same_in_memory_and_on_disk(spooled, tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_SPOOLED", spooled)
    labels = np.arange(6) % 2
    for order in "CF":
        np.savez_compressed(
            tmp_path / "set.npz", images=np.asarray(IMAGES, order=order), labels=labels
        )
        cells = cp.read(tmp_path / "set.npz")
        np.testing.assert_array_equal(cells.to_arrays()[0], IMAGES)
        np.testing.assert_array_equal(cells.images[[5, 0, 3]], IMAGES[[5, 0, 3]])


# -- image files -------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def pictures() -> dict[str, bytes]:
    picture, found = Image.fromarray(IMAGES[0]), {}
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in {
        **{"a.jpg": {"exif": exif}, "b.jpg": {"progressive": True}, "a.png": {}, "a.bmp": {}},
        **{"b.png": {"pnginfo": None, "exif": exif}, "a.tif": {}, "a.gif": {}},
        **{"b.tif": {"compression": "tiff_lzw"}, "c.tif": {"compression": "jpeg"}},
        "d.tif": {"compression": "tiff_adobe_deflate"},
    }.items():
        file = io.BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name[-3:].upper())
        picture.save(file, kind, **options)
        found[name] = file.getvalue()
    for mode in ("1", "L", "P", "LA", "RGBA"):
        file = io.BytesIO()
        picture.convert(mode).save(file, "PNG")
        found[f"{mode}.png"] = file.getvalue()
    return found


@fuzzed(250)
@given(st.sampled_from(sorted(pictures())), CHANGES, st.booleans())
def test_damaged_pictures(tmp_path_factory, name, changes, command):
    data = tmp_path_factory.getbasetemp() / "pictures"
    files = {f"pictures/{label}/good.png": pictures()["a.png"] for label in "ab"}
    files[f"pictures/b/{name}"] = damaged(pictures()[name], changes)
    lay(files, data)
    reads_or_refuses(data / "pictures")
    if command:
        says_one_line("inspect", data / "pictures")


@pytest.mark.parametrize("side", [10_001, 2**31 - 1])
def test_a_picture_of_too_many_pixels_is_refused_unseen(side, tmp_path):
    size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(10**6)))
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(IMAGES[0]).save(tmp_path / label / "good.png")
    (tmp_path / "b" / "bomb.png").write_bytes(bomb + chunk(b"IEND", b""))
    bad = cp.read(tmp_path).readable().bad
    assert list(bad) == ["b/bomb.png"]
    assert "limit of 100,000,000" in bad["b/bomb.png"] or "is damaged" in bad["b/bomb.png"]


# -- recipes -----------------------------------------------------------------------------------

TOML = cp.Recipe(
    [
        *(cp.Dedupe(near=4), cp.Balance(target={"a": 3, "b": 3}), cp.Crop(8, resize_to=9)),
        *(cp.KMeansMask(), cp.Jitter(), cp.RandAugment(copies=1)),
    ]
).to_toml()
SETTINGS = re.findall(r"^(\w+) = ", TOML, re.MULTILINE)
# fmt: off
TOML_VALUES = st.sampled_from([
    "-1", "0", "3", "1e308", "nan", "inf", "-inf", "0.5", "true", "false", '""', '"a"', "[]", "{}",
    "9223372036854775807", "-9223372036854775808", "99999999999999999999", "[[1]]", "{a = 1}",
    "1979-05-27", "1979-05-27T07:32:00", '"max"', '"keras_cv"', '["a"]', "{b = -1}", "[nan]",
    "{" + "a = {" * 50 + "}" * 51, '"\\u0000"',
])
# fmt: on


@fuzzed(150)
@given(st.data())
def test_damaged_recipes(tmp_path_factory, data):
    if data.draw(st.booleans()):
        text = damaged(TOML.encode(), data.draw(CHANGES))
    else:
        name, value = data.draw(st.sampled_from(SETTINGS)), data.draw(TOML_VALUES)
        text = re.sub(rf"(?m)^{name} = .*", lambda _: f"{name} = {value}", TOML).encode()
    path = tmp_path_factory.getbasetemp() / "recipe.toml"
    path.write_bytes(text)
    with suppress(cp.CellprepError):
        recipe = cp.Recipe.from_toml(path)
        assert cp.Recipe.from_toml(recipe.to_toml()) == recipe
        len(recipe(CELLS))
