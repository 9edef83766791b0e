"""A flipped bit in the manifest or in the index is detected, in every format."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats import pieces
from cellprep.formats.index import load_record
from cellprep.formats.manifest import INDEX, MANIFEST, read_manifest

from .. import manifests
from ..bad_input.fuzz_helpers import MORE
from ..writing.test_kills import NAMES, tree
from ..writing.verify_helpers import FOLDERS, cells, write


def flipped(data: bytes, bit: int) -> bytes:
    """The bytes with one bit flipped."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def flips(file: Path, n: int, start: int = 0) -> Iterator[int]:
    """Flip one bit at a time, n at random, from byte `start` on; yields its number."""
    original = file.read_bytes()
    for bit in random.Random(n).sample(range(8 * start, 8 * len(original)), n):
        file.write_bytes(flipped(original, bit))
        yield bit
    file.write_bytes(original)


def test_any_flipped_bit_of_a_manifest_is_detected(tmp_path) -> None:
    write(tmp_path / "out")
    data = (tmp_path / "out" / MANIFEST).read_bytes()
    read_manifest(data, tmp_path)
    every = range(8 * len(data))
    near_digest = [*every[-300:], *every[8 * data.index(b'"layout"') :][:100]]
    for bit in [*random.Random(0).sample(every, 400 * MORE), *near_digest]:
        with pytest.raises(CellprepError):
            read_manifest(flipped(data, bit), tmp_path)
    for changed in (data[:-1], data + b"\n", b" " + data):
        with pytest.raises(CellprepError, match=r"does not match its own digest|not a manifest"):
            read_manifest(changed, tmp_path)


@pytest.mark.parametrize("format", FOLDERS)
def test_read_and_verify_detect_a_flipped_bit_of_the_manifest(format, tmp_path) -> None:
    path = tmp_path / "out"
    write(path, format)
    for bit in flips(path / MANIFEST, 10 * MORE):
        for use in (cp.read, cp.verify):
            with pytest.raises(CellprepError, match=re.escape(MANIFEST)) as error:
                use(path)
            assert "\n" not in str(error.value), bit
    assert not len(cp.verify(path))


def test_swapped_class_names_are_detected(tmp_path) -> None:
    path = tmp_path / "out"
    write(path)
    text = (path / MANIFEST).read_text()
    one, two = (f'"{name}"' for name in manifests.load(path)["class_names"][:2])
    (path / MANIFEST).write_text(text.replace(one, "?").replace(two, one).replace("?", two))
    for use in (cp.read, cp.verify):
        with pytest.raises(CellprepError, match="does not match its own digest"):
            use(path)


def use_of_everything(path: Path, next_to: Path) -> dict[str, Callable[[], object]]:
    """Each way to use a written data set, with a result that can be compared."""

    def read() -> object:
        found = cp.read(path)
        columns = (found.ids, found.labels, found.copies, *found.to_arrays())
        return found.class_names, [column.tobytes() for column in columns]

    def continue_from() -> object:
        shutil.rmtree(next_to, ignore_errors=True)
        cp.write(cp.read(path), next_to, progress=False, workers=1)
        return tree(next_to)

    return {
        "read": read,
        "replay": lambda: cp.replay(path, cells().chain[0]).tobytes(),
        "report": lambda: load_record(path),
        "write": continue_from,
    }


def outcome(use: Callable[[], object]) -> object:
    """The result, or how the use was refused."""
    try:
        return use()
    except CellprepError as error:
        return "refused in one line" if "\n" not in str(error) else error


@pytest.mark.parametrize("format", NAMES)
def test_a_flipped_bit_of_the_index_is_detected_or_harmless(format, tmp_path) -> None:
    """Of a data set that is one file: in everything after its images."""
    path = tmp_path / ("out" if format in FOLDERS else "out.npz")
    write(path, format)
    uses = use_of_everything(path, tmp_path / "next")
    intact = {name: use() for name, use in uses.items()}
    file, start = path / INDEX, 0
    if format not in FOLDERS:
        file, start = path, path.read_bytes().index(b"labels.npy")
    for bit in flips(file, 10 * MORE, start):
        if format in FOLDERS:
            assert list(cp.verify(path)["file"]) == [INDEX], bit
        for name, use in uses.items():
            assert outcome(use) in (intact[name], "refused in one line"), (bit, name)
    assert {name: use() for name, use in uses.items()} == intact


@pytest.mark.parametrize("format", FOLDERS)
def test_a_flipped_bit_of_a_piece_is_detected_or_harmless(format, tmp_path, monkeypatch) -> None:
    path = tmp_path / "out"
    monkeypatch.setattr(pieces, "SHARDS_PER_PIECE", 2)
    write(path, format)
    uses = use_of_everything(path, tmp_path / "next")
    intact = {name: use() for name, use in uses.items()}
    for name in (*pieces.piece_files(0), *pieces.piece_files(2)):
        for bit in flips(path / name, 2 * MORE):
            assert list(cp.verify(path)["file"]) == [name], bit
            for what, use in uses.items():
                assert outcome(use) in (intact[what], "refused in one line"), (bit, what)
    assert {name: use() for name, use in uses.items()} == intact
