"""The report: its statements are true, and its page is safe."""

from __future__ import annotations

import base64
import hashlib
import json
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

import cellprep as cp
from cellprep.cli import main
from cellprep.report import page
from cellprep.report.inspect import read_any
from cellprep.report.quality import FAULTS, qualities
from cellprep.synthetic import draw_cells

from .. import manifests
from .report_page import HOSTILE, RECIPE, SCRIPT, Page, colours, draw_mess, page_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    draw_mess(folder / "in")
    (folder / "in" / "recipe.toml").rename(folder / "recipe.toml")
    return folder


@pytest.fixture(scope="module")
def shown(folder):
    """The page of the messy folder, made by the command, with the command's output."""
    line = ["report", folder / "in", "-o", folder / "new" / "page.html"]
    line += ["--recipe", folder / "recipe.toml", "--json"]
    done = CliRunner().invoke(main, [str(word) for word in line])
    assert done.exit_code == 0, done.output
    found = Page((folder / "new" / "page.html").read_bytes().decode("utf-8"))
    found.summary = json.loads(done.stdout)
    return found


# -- contents ---------------------------------------------------------------------------------


def test_groups_equal_those_of_find_duplicates(folder, shown) -> None:
    cells = read_any(folder / "in")[0].readable()
    table = cp.find_duplicates(cells, near=4, symmetries=True)
    groups = {f"g{number}": rows for number, rows in table.groupby("group")}
    assert shown.data["groups"].keys() == groups.keys()
    fields = shown.data["fields"]
    for key, rows in groups.items():
        listed = pd.DataFrame(
            [shown.data["rows"][row] for row in shown.data["groups"][key]], columns=fields
        )
        for column in ("id", "copy", "class_name", "group", "relation", "symmetry", "distance"):
            assert listed[column].tolist() == rows[column].tolist(), column
        assert listed["conflict"].astype(bool).tolist() == rows["conflict"].tolist()
        np.testing.assert_allclose(listed["difference"], rows["difference"], atol=0.005)
    assert f"{len(table):,}repeated images, in {len(groups)} groups" in shown.text.replace("\n", "")
    assert {"exact", "symmetry", "near"} == set(table["relation"])


def test_group_members_are_listed_with_label_and_file(folder, shown) -> None:
    table = cp.find_duplicates(read_any(folder / "in")[0].readable(), near=4, symmetries=True)
    lines = set(shown.text.splitlines())
    for row in table.itertuples():
        assert f"{row.id} · {row.class_name}" in lines


def test_alerts_name_the_faulty_images(shown) -> None:
    found = shown.alerts()
    keys = [a["data-key"] for tag, a in shown.tags if tag == "article" and "data-key" in a]
    assert keys == list(shown.summary["attention"])
    assert found["empty"] == ["baso/empty.png"]
    assert found["dark"] == ["baso/dark.png"]
    assert found["blurred"] == ["baso/blurred.png"]
    assert found["odd"] == ["baso/wide.png"]
    assert set(found["conflict"]) >= {"baso/cell 00.png", f"baso/{SCRIPT}"}
    assert {"baso/cell 01.png", "baso/again.png"} <= set(found["repeat"])
    assert {"baso/turned.png", f"{HOSTILE}/near.png"} <= set(found["copies"])
    assert len(found["outlier"]) == 13
    for text in ("baso/cut.png", "is a GIF file by its content", "few (4)"):
        assert text in shown.text
    assert "2 files cannot be used" in shown.summary["attention"].values()
    high = [key for key in found if key in ("bad", "conflict", "outlier")]
    assert keys[: len(high)] == high  # most urgent first


def test_clean_set_has_no_alerts(tmp_path) -> None:
    cells = cp.Dataset.from_arrays(*draw_cells([20] * 8, side=48))
    made = cp.report(cells, tmp_path / "page.html", test=None)
    assert made.attention == {}
    text = Page(made.path.read_text("utf-8")).text
    assert "No problems found." in text
    for fine in ("no dark images", "no repeated images", "every file can be read"):
        assert f"✓ {fine}" in text


@pytest.mark.parametrize("name", ["bccd", "wbc4/original", "bcisc"])
def test_real_photographs_are_not_flagged(data, name, tmp_path) -> None:
    """Real sets have no dark, blurred, empty or oddly sized image."""
    files = sorted((data / name).rglob("*.jp*g"))[::3]
    images = np.stack([np.asarray(Image.open(f).convert("RGB").resize((96, 96))) for f in files])
    cells = cp.Dataset.from_arrays(images, np.arange(len(images)) % 2)
    found = cp.report(cells, tmp_path / "page.html", near=None, symmetries=False).attention
    assert not found.keys() & {fault.name for fault in FAULTS}
    assert "odd" not in found


def test_contrast_and_sharpness_do_not_depend_on_brightness() -> None:
    images, _ = draw_cells([6] * 8, side=96, seed=2)
    plain = qualities(images)
    dimmed = qualities((images * 0.6).astype(np.uint8))
    np.testing.assert_allclose(dimmed[:, 0], plain[:, 0], rtol=0.05)
    np.testing.assert_allclose(dimmed[:, 2], plain[:, 2], rtol=0.15)
    np.testing.assert_allclose(dimmed[:, 1], 0.6 * plain[:, 1], rtol=0.02)


def test_sampled_operations_equal_those_written(tmp_path) -> None:
    """Sampled in advance without pixels, or read from the record: the same operations."""
    cells = cp.Dataset.from_arrays(*draw_cells([5] * 8, side=32))
    recipe = cp.Recipe([cp.Balance(60), cp.RandAugment(copies=2, num_ops=2)], seed=3)
    ahead = page_of(tmp_path / "ahead.html", cells, recipe=recipe)
    cp.write(recipe(cells), tmp_path / "out", progress=False)
    written = page_of(tmp_path / "written.html", cp.read(tmp_path / "out"))
    index = pd.read_parquet(tmp_path / "out" / "index.parquet")
    ops = pd.concat([index["rand_augment.op_1"], index["rand_augment.op_2"]]).dropna()
    for name, count in ops.value_counts().items():
        row = f"{name.replace('_', ' ')}{count:,}{100 * count / len(ops):.1f} %"
        assert row in ahead.text.replace("\n", "")
        assert row in written.text.replace("\n", "")
    assert f"{len(index):,} images: 40 originals and their augmented copies" in written.text
    for text in (
        "read by the recipe",
        "The recipe that made this set",
        "440 jittered copies added",
    ):
        assert text in written.text


def test_only_operations_of_the_step_are_listed(tmp_path) -> None:
    cells = cp.Dataset.from_arrays(*draw_cells([5] * 8, side=32))
    recipe = cp.Recipe([cp.RandAugment(copies=2, num_ops=1, operations=("contrast", "shear_x"))])
    planned = page_of(tmp_path / "planned.html", cells, recipe=recipe)
    cp.write(recipe(cells), tmp_path / "out", progress=False)
    written = page_of(tmp_path / "written.html", cp.read(tmp_path / "out"))
    for shown in (planned, written):
        assert "80 copies with 1 slot each" in shown.text
        assert f"with probability {10 / 11 / 2:.4f}" in shown.text
        assert "shear x" in shown.text
        assert "brightness" not in shown.text.partition("Sampled operations")[2].split("Gallery")[0]


def test_class_counts_before_and_after_the_recipe(folder, shown) -> None:
    cells = read_any(folder / "in")[0].readable()
    after = cp.Recipe.from_toml(RECIPE)(cells)
    text = shown.text.replace("\n", "")
    for name, count in cells.counts().items():
        assert f"{name}{count:,}{after.counts()[name]:,}" in text
    for step, rows_in, rows_out, _ in after.changes().itertuples(index=False):
        if step != "read":
            assert f"{step}: {rows_in:,} to {rows_out:,} images" in text


def test_steps_of_the_data_set_are_shown(tmp_path) -> None:
    cells = cp.Dataset.from_arrays(*draw_cells([6] * 8, side=32))
    made = cp.Recipe([cp.Dedupe(), cp.Crop(24)])(cells)
    found = page_of(tmp_path / "page.html", made)
    assert "crop: 48 to 48 images" in found.text
    assert 'step = "Crop"' in found.text
    assert "24×24" in found.text


def test_leaks_into_the_test_set_are_shown(tmp_path) -> None:
    images, labels = draw_cells([4] * 8, side=48, seed=1)
    train = cp.Dataset.from_arrays(images, labels)
    test = cp.Dataset.from_arrays(
        np.concatenate([images[:2], images[5:6, :, ::-1], draw_cells([1] * 8, side=48, seed=8)[0]]),
        [0, 0, 1, *range(8)],
        ids=[f"t{number}" for number in range(11)],
    )
    found = page_of(tmp_path / "page.html", train, test=test)
    assert found.alerts()["leak"] == ["t0", "t1", "t2"]
    assert "t2 · 1 · test set" in found.text
    assert "There are none." in page_of(tmp_path / "none.html", train).text


def test_command_shows_leaks_and_search_settings(tmp_path, folder) -> None:
    line = ["report", folder / "in", "-o", tmp_path / "page.html", "--test", folder / "in"]
    done = CliRunner().invoke(main, [*map(str, line), "--exact", "--size", "32"])
    assert done.exit_code == 0, done.output
    assert "of the test set also in this set" in done.output
    text = Page((tmp_path / "page.html").read_text("utf-8")).text
    assert "Duplicates: images with equal pixels." in text
    assert "32×32" in text


# -- safety ------------------------------------------------------------------------------------


def test_names_never_become_markup(shown) -> None:
    tags = {tag for tag, _ in shown.tags}
    assert not tags & {"img", "iframe", "link", "object", "base", "form", "audio"}
    assert len(shown.inside["script"]) == 2
    assert sum(tag == "h1" for tag, _ in shown.tags) == 1
    for _, attributes in shown.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href", "action", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert SCRIPT in shown.text
    assert f"{HOSTILE}/<h1>&quot;`${{1}}`.png" in shown.text
    assert "</" not in shown.inside["script"][0]


def test_content_security_policy_allows_only_the_page_itself(shown) -> None:
    policy = dict(part.strip().split(" ", 1) for part in shown.csp().split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"

    def hashed(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    assert policy["script-src"] == hashed(shown.inside["script"][1])
    assert policy["style-src"].split() == [hashed(text) for text in shown.inside["style"]]


def test_file_names_that_are_not_utf8(tmp_path) -> None:
    """A file whose name is not UTF-8 is listed as bad."""
    images, _ = draw_cells([0, 3, 0, 0, 0, 0, 0, 0], side=32)
    for number, image in enumerate(images):
        (tmp_path / "in" / f"{number % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "in" / f"{number % 2}" / f"{number}.png")
    try:
        (tmp_path / "in" / "0" / "x\udcff.png").write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    cp.report(cp.read(tmp_path / "in"), tmp_path / "page.html")
    assert "0/x\\udcff.png" in (tmp_path / "page.html").read_text("utf-8")


PAIRS = [
    *((ink, ground, 4.5) for ink in ("ink", "muted", "accent") for ground in ("ground", "card")),
    *((name, f"{name}-ground", 4.5) for name in ("high", "medium", "low", "well")),
    *((name, "card", 4.5) for name in ("high", "medium")),
    ("on-accent", "accent", 4.5),
    ("ground", "ink", 4.5),
    ("ink", "line", 4.5),  # text in place of an omitted picture
    *((name, ground, 3.0) for name in ("edge", "quiet") for ground in ("ground", "card")),
]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_wcag_aa_contrast(shown, scheme) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    known = colours(shown.inside["style"][0])
    assert len(known) > 15
    for one, other, least in PAIRS:
        low, high = sorted(luminance(known[name][scheme]) for name in (one, other))
        assert (high + 0.05) / (low + 0.05) >= least, (one, other)


def test_every_picture_and_chart_has_a_text_alternative(shown) -> None:
    pictures = [a for tag, a in shown.tags if tag == "button" and "data-t" in a]
    assert len(pictures) > 50
    assert all(attributes["aria-label"] for attributes in pictures)
    names = {a.get("id") for _, a in shown.tags}
    charts = [a for tag, a in shown.tags if a.get("class") == "chart"]
    assert len(charts) == 5
    assert all(chart["aria-labelledby"] in names for chart in charts)
    ids = [a["id"] for _, a in shown.tags if "id" in a]
    assert len(ids) == len(set(ids))


# -- errors ------------------------------------------------------------------------------------


def test_failed_page_keeps_the_earlier_one(tmp_path, monkeypatch) -> None:
    cells = cp.Dataset.from_arrays(*draw_cells([2] * 8, side=24))
    (tmp_path / "page.html").write_text("earlier")

    def fails(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(page, "render", fails)
        with pytest.raises(MemoryError):
            cp.report(cells, tmp_path / "page.html")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("page.html", "earlier")
    ]
    cp.report(cells, tmp_path / "page.html")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_missing_library_names_its_extra(tmp_path, monkeypatch, module) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    cells = cp.Dataset.from_arrays(*draw_cells([2] * 8, side=24))
    with pytest.raises(cp.CellprepError, match=rf"{module}: pip install 'cellprep\[report\]'"):
        cp.report(cells, tmp_path / "page.html")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["absent"], "there is no file or folder 'absent'"),
        (["{folder}/recipe.toml"], "not a data set that can be read"),
        (["{folder}/in", "-o", "{folder}"], "is a folder; name the file to write"),
        (["{folder}/in", "--recipe", "absent.toml"], "there is no recipe file"),
        (["{folder}/in", "--near", "99"], "`--near` must be a whole number in [0, 24]"),
        (["{folder}/in", "--test", "absent"], "there is no file or folder 'absent'"),
        (["{folder}/in/few"], "outside its class folders"),
    ],
)
def test_unusable_input_is_refused_in_one_line(folder, line, message) -> None:
    arguments = [word.format(folder=folder) for word in line]
    done = CliRunner().invoke(main, ["report", *arguments])
    assert done.exit_code == 2, done.output
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_manifest_with_entries_of_the_wrong_type(tmp_path) -> None:
    """Entries that are only displayed are skipped; an unusable record is refused in one line."""
    cells = cp.Dataset.from_arrays(*draw_cells([4] * 8, side=24))
    cp.write(cp.Recipe([cp.RandAugment(copies=1)])(cells), tmp_path / "out", progress=False)
    saved = manifests.load(tmp_path / "out")
    changes = [*saved["changes"], 5, {"step": None}, {**saved["changes"][0], "why": [1]}]
    odd = {"held": {"a": "b"}, "bad": ["x"], "changes": changes}
    recipe = [{**saved["recipe"][0], "seed": [None]}]
    odd |= {"recipe": recipe, "made_of": {**saved["made_of"], "versions": 3}}
    manifests.save(tmp_path / "out", {**saved, **odd})
    found = page_of(tmp_path / "page.html", cp.read(tmp_path / "out"))
    assert "1 augmented copies beside each image" in found.text
    assert "read by the recipe" not in found.text
    assert "which wrote the set" not in found.text
    stages = [{**saved["stages"][0], "rate": "often"}]
    manifests.save(tmp_path / "out", {**saved, "stages": stages})
    with pytest.raises(cp.CellprepError, match=r"record of 'rand_augment'.*is damaged"):
        cp.report(cp.read(tmp_path / "out"), tmp_path / "page.html")


def test_invalid_arguments_are_refused(tmp_path) -> None:
    cells = cp.Dataset.from_arrays(*draw_cells([2] * 8, side=24))
    larger = cp.Dataset.from_arrays(*draw_cells([2] * 8, side=32))
    for settings, message in (
        ({"recipe": cp.Dedupe()}, "`recipe` must be a Recipe"),
        ({"test": draw_cells([2] * 8, side=24)[0]}, "expected a Dataset"),
        ({"test": larger}, "read both with the same size="),
        ({"hash": "phsh"}, "did you mean 'phash'"),
    ):
        with pytest.raises(cp.CellprepError, match=message):
            cp.report(cells, tmp_path / "page.html", **settings)
    nothing = cp.Recipe([cp.Dedupe(on_duplicate="drop")])(
        cp.Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
    )
    with pytest.raises(cp.CellprepError, match="no images left to show"):
        cp.report(nothing, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
