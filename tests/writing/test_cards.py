"""The data card and the Croissant description of a written set."""

import json
from pathlib import Path

import numpy as np
import pytest

import cellprep as cp

FOLDERS = ("shards", "folder", "webdataset", "parquet", "zarr", "tfrecord")
ABOUT = {"license": "CC BY 4.0", "source": "https://example.org/cells_1"}
_NASTY = "<script>alert(1)</script>|`x`"


def cells(n: int = 6, names: tuple[str, ...] = ("baso", "mono")) -> cp.Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)
    ids = [f"a/{number}.png" for number in range(n)]
    return cp.Dataset.from_arrays(pixels, np.arange(n) % len(names), names, ids=ids)


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.mark.parametrize("format", FOLDERS)
def test_mlcroissant_validates_every_format_and_reads_its_rows(tmp_path, format):
    mlc = pytest.importorskip("mlcroissant")
    masks = np.ones((6, 8, 8), bool)
    with_masks = cp.Dataset.from_arrays(
        cells().images, cells().labels, ("baso", _NASTY), ids=cells().ids, masks=masks
    )
    cp.write(with_masks, tmp_path / "out", format=format, masks=True, about=ABOUT, rows_per_shard=4)

    found = mlc.Dataset(tmp_path / "out" / "croissant.json")

    assert not found.metadata.issues.errors
    assert found.metadata.license == ["CC BY 4.0"]
    rows = list(found.records("rows"))
    assert [row["rows/id"].decode() for row in rows] == [f"a/{n}.png" for n in range(6)]
    assert [row["rows/label"] for row in rows] == [0, 1] * 3
    classes = list(found.records("classes"))
    assert [row["classes/name"] for row in classes] == ["baso", _NASTY]


@pytest.mark.parametrize("format", ["folder", "parquet"])
def test_mlcroissant_reads_the_images(tmp_path, format):
    mlc = pytest.importorskip("mlcroissant")
    cp.write(cells(), tmp_path / "out", format=format)

    images = [
        np.asarray(row["images/image"])
        for row in mlc.Dataset(tmp_path / "out" / "croissant.json").records("images")
    ]

    assert {image.tobytes() for image in images} == {image.tobytes() for image in cells().images}


def test_the_card_states_source_counts_removals_recipe_and_digests(tmp_path):
    recipe = cp.Recipe([cp.Dedupe(), cp.Balance()], seed=3)
    doubled = cp.Dataset.from_arrays(
        np.concatenate([cells().images, cells().images[:1]]), [0, 1, 0, 1, 0, 1, 0]
    )
    cp.write(recipe(doubled), tmp_path / "out", about=ABOUT)

    card = (tmp_path / "out/README.md").read_text("utf-8")

    assert "Source: <https://example.org/cells_1>" in card
    assert "Licence: CC BY 4.0" in card
    assert "| 0 | 0 | 4 | 3 |" in card
    assert "| dedupe | 7 | 6 | 1 repeats of an equal image |" in card
    assert 'Balance {"jitter"' in card
    manifest = json.loads((tmp_path / "out/dataset.json").read_text())
    assert manifest["shards"][0]["files"]["shard-00000.npy"]["xxh3_128"] in card


def test_class_names_cannot_add_markup_to_the_card(tmp_path):
    cp.write(cells(names=("baso", _NASTY)), tmp_path / "out", about={"name": "*<b>*\n# x"})

    card = (tmp_path / "out/README.md").read_text("utf-8")

    assert "<script>" not in card
    assert "<b>" not in card
    assert "\n# x" not in card
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;\|\`x\`" in card


def test_place_and_resuming_change_no_byte(tmp_path, monkeypatch):
    cp.write(cells(), tmp_path / "a", rows_per_shard=2)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cellprep.writing.cards.croissant", killed)
        with pytest.raises(KeyboardInterrupt):
            cp.write(cells(), tmp_path / "b/c", rows_per_shard=2)
    assert (tmp_path / "b/c/.cellprep/plan.json").exists()
    cp.write(cells(), tmp_path / "b/c", rows_per_shard=2)

    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b/c")


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "index.parquet"])
@pytest.mark.parametrize("format", ["shards", "folder"])
def test_a_damaged_card_is_reported_and_rewritten(tmp_path, name, format):
    folder = tmp_path / "out"
    cp.write(cells(), folder, format=format, about=ABOUT)
    before = bytes_of(folder)
    (folder / name).write_bytes(b"?")

    assert cp.verify(folder)["file"].tolist() == [name]
    cp.write(cells(), folder, format=format, about=ABOUT)

    assert bytes_of(folder) == before


def test_an_edited_or_missing_card_does_not_prevent_reading(tmp_path):
    cp.write(cells(), tmp_path / "out")
    (tmp_path / "out/README.md").write_text("mine")
    (tmp_path / "out/croissant.json").unlink()

    assert np.array_equal(cp.read(tmp_path / "out").images, cells().images)
    assert not cp.read(tmp_path / "out").unread


def test_an_edited_card_is_not_lost_when_a_set_is_overwritten(tmp_path):
    folder = tmp_path / "out"
    cp.write(cells(), folder)
    (folder / "README.md").write_text("mine")
    before = bytes_of(folder)

    with pytest.raises(cp.CellprepError, match=r"README.md' is yours or was edited"):
        cp.write(cells(4), folder, overwrite=True)

    assert {n: b for n, b in bytes_of(folder).items() if ".cellprep" not in n} == before
    (folder / "README.md").unlink()
    cp.write(cells(4), folder, overwrite=True)
    assert len(cp.read(folder)) == 4


def test_a_set_without_cards_is_read_and_continued(tmp_path):
    """As those of earlier versions."""
    from cellprep.formats.manifest import manifest_bytes, read_manifest

    folder = tmp_path / "out"
    cp.write(cells(), folder)
    manifest = read_manifest((folder / "dataset.json").read_bytes(), folder)
    del manifest["sha256"]
    for name in ("README.md", "croissant.json"):
        (folder / name).unlink()
        del manifest["files"][name]
    (folder / "dataset.json").write_bytes(manifest_bytes(manifest))

    assert len(cp.read(folder)) == 6
    assert cp.verify(folder).empty
    (folder / "shard-00000.npy").unlink()
    assert cp.write(cells(), folder).repaired == 6
    assert cp.verify(folder).empty


def test_statements_pass_to_sets_made_from_a_set(tmp_path):
    cp.write(cells(), tmp_path / "first", about=ABOUT)
    cp.write(cp.read(tmp_path / "first"), tmp_path / "all/train", about={"name": "Mine"})
    cp.write(cp.read(tmp_path / "first"), tmp_path / "all/test", about={"name": "Yours"})

    manifest = json.loads((tmp_path / "all/train/dataset.json").read_text())
    assert manifest["about"] == {**ABOUT, "name": "Mine"}
    cp.write(cp.read(tmp_path / "all", part="all"), tmp_path / "joined")
    assert json.loads((tmp_path / "joined/dataset.json").read_text())["about"] == ABOUT


def test_other_statements_are_another_data_set(tmp_path):
    cp.write(cells(), tmp_path / "out", about=ABOUT)

    with pytest.raises(cp.CellprepError, match=r"about .*CC BY 4\.0"):
        cp.write(cells(), tmp_path / "out", about={"license": "CC0"})


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"licence": "CC0"}, "did you mean 'license'"),
        ({"license": " "}, "license must be a text"),
        ({"license": 3}, "license must be a text"),
        ("CC0", "must be a dict"),
        ({"license": "\ud800"}, "UTF-8"),
    ],
)
def test_unusable_statements_are_refused(tmp_path, about, message):
    with pytest.raises(cp.CellprepError, match=message):
        cp.write(cells(), tmp_path / "out", about=about)
    assert not (tmp_path / "out").exists()


def test_the_command_line_takes_statements_from_a_file(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from cellprep.cli import main

    monkeypatch.chdir(tmp_path)
    cp.write(cells(), "cells.npz")
    Path("about.toml").write_text('license = "CC0-1.0"\n')
    Path("wrong.toml").write_text("CC0-1.0")

    def convert(out, about):
        return CliRunner().invoke(main, ["convert", "cells.npz", out, "--about", about])

    assert convert("out", "about.toml").exit_code == 0
    assert "Licence: CC0-1.0" in Path("out/README.md").read_text("utf-8")
    for about, message in (("none.toml", "cannot be read"), ("wrong.toml", "in TOML")):
        done = convert("other", about)
        assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
        assert message in done.output
    assert not Path("other").exists()
