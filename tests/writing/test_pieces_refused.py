"""Damaged or foreign pieces are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cellprep as cp
from cellprep.errors import CellprepError
from cellprep.formats import pieces

from .. import manifests
from .helpers import assert_equal_sets
from .pieces_helpers import FILES, NAMES
from .verify_helpers import FOLDERS, cells, write


def restamped(path: Path, name: str, data: bytes) -> None:
    """Change a file of a piece, with its stamp, to test other checks."""
    (path / name).write_bytes(data)
    manifests.save_with_index(path, manifests.load(path))


def changed_entries(change: Callable[[list[Any]], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        entries = json.loads((path / NAMES[0][1]).read_text())["shards"]
        change(entries)
        restamped(path, NAMES[0][1], pieces.entries_bytes(entries))

    return apply


def changed_pieces(change: Callable[[list[Any]], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        saved = manifests.load(path)
        change(saved["pieces"])
        manifests.save(path, saved)

    return apply


STAMP = {"bytes": 1, "xxh3_128": ""}
BAD = {
    "no entries": lambda path: restamped(path, NAMES[0][1], bytes(99)),
    "no JSON": lambda path: restamped(path, NAMES[0][1], b"[" * 100_000),
    "not sealed": lambda path: restamped(path, NAMES[0][1], b'{"shards": []}' + b" " * 99),
    "fewer entries": changed_entries(lambda entries: entries.pop()),
    "other rows": changed_entries(lambda entries: entries[0].update(rows=4)),
    "negative rows": changed_entries(lambda entries: entries[0].update(rows=-1)),
    "outside": changed_entries(lambda entries: entries[0].update(files={"../secret": STAMP})),
    "no stamps": changed_entries(lambda entries: entries[0].update(files={"a": {}})),
    "no pieces": changed_pieces(lambda found: found.clear()),
    "one piece": changed_pieces(lambda found: found.__delitem__(slice(1, None))),
    "no rows": changed_pieces(lambda found: found[0].update(rows=0)),
    "no shards": changed_pieces(lambda found: found[0].update(shards=0)),
    "huge": changed_pieces(lambda found: [p.update(rows=2**60, shards=2**60) for p in found]),
    "huge last": changed_pieces(lambda found: found[-1].update(rows=2**60)),
    "unequal": changed_pieces(lambda found: found[1].update(rows=12)),
    "odd": changed_pieces(lambda found: [piece.update(shards=3) for piece in found]),
    "unnamed": changed_pieces(lambda found: found[1].pop("entries")),
    "text": changed_pieces(lambda found: found[1].update(index="x")),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("format", ["webdataset", "folder"])
def test_bad_pieces_are_refused_in_one_line(format, what, few, tmp_path):
    path = tmp_path / "out"
    write(path, format)
    (tmp_path / "secret").write_text("mine")
    BAD[what](path)
    only_entries = what in [*BAD][:8]
    for use in (cp.verify, cp.read, lambda path: write(path, format)):
        message = refusal(use, path)
        if format == "folder" and only_entries and use is cp.read:
            assert message is None  # it is read without them
        else:
            assert message is not None
            assert "\n" not in message
            assert (NAMES[0][1] in message) or not (only_entries and use is cp.read)
    if only_entries:
        write(path, overwrite=True)
        assert_equal_sets(cp.read(path), cells())
    assert (tmp_path / "secret").read_text() == "mine"


def refusal(use: Callable[[Path], object], path: Path) -> str | None:
    try:
        use(path)
    except CellprepError as error:
        return str(error)
    return None


@pytest.mark.parametrize("format", ["zarr", "tfrecord", "webdataset", "parquet"])
def test_entries_of_another_set_are_not_used(format, few, tmp_path):
    write(tmp_path / "out", format)
    write(tmp_path / "other", format, seed=4)
    (tmp_path / "other" / NAMES[1][1]).replace(tmp_path / "out" / NAMES[1][1])
    with pytest.raises(CellprepError, match="does not match its digest"):
        cp.read(tmp_path / "out")


@pytest.mark.parametrize("format", FOLDERS)
def test_pieces_of_another_set_are_not_used(format, few, tmp_path):
    path, other = tmp_path / "out", tmp_path / "other"
    write(path, format)
    write(other, format, seed=4)
    opened = cp.read(path)
    for name in FILES:
        (other / name).replace(path / name)
    with pytest.raises(CellprepError, match="does not match its digest"):
        cp.read(path).labels  # noqa: B018, some formats read no row before
    with pytest.raises(CellprepError, match="does not match its digest"):
        cp.write(cp.Recipe([cp.Jitter()])(opened), tmp_path / "next", progress=False)
