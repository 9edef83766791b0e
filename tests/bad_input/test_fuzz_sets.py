"""Damaged data sets of any format are read, or refused in one line; nothing else changes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellprep as cp
from cellprep.formats import FORMATS
from cellprep.formats.manifest import INDEX, MANIFEST, manifest_bytes, read_manifest
from cellprep.system.paths import WORK

from .. import manifests
from .fuzz_helpers import (
    CELLS,
    RECIPE,
    changed_file,
    fuzzed,
    is_of_piece,
    put_files,
    reads_or_refuses,
    succeeds_or_prints_one_line,
    written,
)

FOLDERS = [kind for kind in FORMATS if not FORMATS[kind].is_file]
SETS = [*((kind, False) for kind in FORMATS), *((kind, True) for kind in FOLDERS)]
"""Formats, and whether the index is in pieces."""


@pytest.mark.parametrize(("kind", "in_pieces"), SETS)
@fuzzed(60)
@given(data=st.data())
def test_damaged_data_sets_are_read_or_refused(kind, in_pieces, tmp_path_factory, data):
    files = dict(written(kind, in_pieces))
    if not files:
        pytest.skip(f"the library for {kind} is not installed")
    suffixes = sorted({Path(name).suffix for name in files})
    suffix = data.draw(st.sampled_from(suffixes))
    name = data.draw(st.sampled_from([name for name in files if name.endswith(suffix)]))
    files[name] = data.draw(changed_file(name, files[name]))
    root = tmp_path_factory.getbasetemp() / f"{kind}-fuzzed"
    path = put_files(files, root)
    of_index = name.endswith(INDEX) or is_of_piece(name)
    if of_index and data.draw(st.booleans()):  # with its digest, to test other checks
        manifests.save_with_index(path, manifests.load(path))
    (root / "secret.png").write_bytes(b"mine")
    reads_or_refuses(path)
    command = data.draw(st.sampled_from(["inspect", "convert", "over"]))
    if command == "inspect":
        succeeds_or_prints_one_line("inspect", path)
    elif command == "convert":
        out = root / "out"
        succeeds_or_prints_one_line("convert", path, out, "--on-error", "skip", "--workers", 1)
    else:  # only files of the data set may be deleted, whatever names the damage produces
        with suppress(cp.CellprepError):
            cp.write(CELLS, path, format="shards", overwrite=True, progress=False, workers=1)
    assert (root / "secret.png").read_bytes() == b"mine"
    assert not (root.parent / "out").exists()


@pytest.mark.parametrize(("kind", "in_pieces"), [(k, pieces) for k, pieces in SETS if k in FOLDERS])
@fuzzed(25)
@given(data=st.data())
def test_damaged_unfinished_data_sets_are_resumed_or_refused(
    kind, in_pieces, tmp_path_factory, data
):
    files = dict(written(kind, in_pieces))
    if not files:
        pytest.skip(f"the library for {kind} is not installed")
    made_of = read_manifest(files[f"set/{MANIFEST}"], Path())
    plan = f"set/{WORK}/plan.json"
    files = {
        name: data for name, data in files.items() if name.split("/")[1] not in (MANIFEST, INDEX)
    }
    files[plan] = manifest_bytes(made_of)
    files[f"set/{WORK}/part-00000.arrow"] = data.draw(st.binary(max_size=20))
    files[plan] = data.draw(changed_file(plan, files[plan]))
    path = put_files(files, tmp_path_factory.getbasetemp() / f"{kind}-unfinished")
    for over in (False, True):
        with suppress(cp.CellprepError):
            made = RECIPE(CELLS)
            cp.write(made, path, format=kind, rows_per_shard=5, overwrite=over, progress=False)
