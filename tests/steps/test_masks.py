"""Masks that follow their images, annotated or automatic: moved, written, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp
from cellprep import cli
from cellprep.formats import shards
from cellprep.kernels.augment import affine, color, shift

NAMES = [str(n) for n in range(8)]
quick = settings(max_examples=40, deadline=None, derandomize=True)


def annotated_set(cells) -> tuple[cp.Dataset, np.ndarray]:
    """Synthetic cells with masks that no step would find: random blocks."""
    images, labels = cells
    rng = np.random.default_rng(4)
    masks = np.zeros(images.shape[:3], bool)
    for mask in masks:
        y, x = rng.integers(0, 30, 2)
        mask[y : y + 9 + y // 2, x : x + 12] = True
    return cp.Dataset.from_arrays(images, labels, NAMES, masks=masks), masks


@quick
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20), st.integers(0, 255))
def test_pixels_outside_the_mask_are_painted(seed, height, width, value) -> None:
    """At widths that are multiples of eight pixels and others; uniform and mixed runs."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3, height, width, 3), np.uint8)
    kept = rng.random((2, height, width)) < rng.choice([0, 0.05, 0.5, 0.95, 1])
    expected, rows = images.copy(), np.array([2, 0])
    for row, mask in zip(rows, kept, strict=True):
        expected[row][~mask] = value
    color.paint(images, rows, kept.view(np.uint8), np.uint8(value))
    np.testing.assert_array_equal(images, expected)


def painted(masks: np.ndarray) -> np.ndarray:
    return np.repeat(masks[..., None].astype(np.uint8) * 255, 3, axis=-1)


def painted_set(cells) -> tuple[cp.Dataset, np.ndarray]:
    """Images that are their own masks."""
    _, masks = annotated_set(cells)
    return cp.Dataset.from_arrays(painted(masks), cells[1], NAMES, masks=masks), masks


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# -- geometry ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        cp.Crop(20),
        cp.Crop(60, fill="reflect"),
        cp.Crop(60, fill=0),
        cp.Crop(31, center="image", fill="edge"),
        cp.Jitter(rotation=0, shift=0, zoom=0, flip="both"),
    ],
    ids=repr,
)
def test_mask_moves_as_its_painted_image_if_no_pixels_are_mixed(cells, step) -> None:
    made = cp.Recipe([step], seed=3)(painted_set(cells)[0])
    np.testing.assert_array_equal(painted(made.masks[:]), made.images[:])


def test_shears_and_translations_move_masks_by_the_nearest_pixel(cells) -> None:
    """Where two pixels are mixed along an axis, the nearer one has more weight."""
    dataset, masks = painted_set(cells)
    step = cp.RandAugment(copies=6, num_ops=1, magnitude=0.4, rate=1.0, keep_originals=False)
    made = cp.Recipe([step], seed=1)(dataset)
    images, record = made.plan.evaluate(np.arange(len(made)))
    names = record["rand_augment.op_1"].values.tolist()
    moved = np.array([name.startswith(("shear", "translation")) for name in names])
    assert 50 < moved.sum() < len(moved) - 50
    values = images[moved, ..., 0].astype(int)
    sure = np.abs(values - 127.5) > 1
    np.testing.assert_array_equal((values > 127)[sure], made.masks[moved][sure])
    np.testing.assert_array_equal(made.masks[~moved], np.repeat(masks, 6, axis=0)[~moved])


def test_operations_move_masks_in_sequence(cells) -> None:
    dataset, masks = annotated_set(cells)
    step = cp.RandAugment(copies=1, num_ops=3, rate=1.0, keep_originals=False)
    made = cp.Recipe([step], seed=1)(dataset)
    _, record = made.plan.evaluate(np.arange(len(made)))
    for n, mask in enumerate(masks.copy()):
        for slot in (1, 2, 3):
            name = record[f"rand_augment.op_{slot}"].values[n]
            value = record[f"rand_augment.value_{slot}"].values[n]
            lines = mask.T if name.endswith("y") else mask
            if name.startswith("shear"):
                shift.shift_mask(lines, np.float32(0), value)
            elif name.startswith("translation"):
                shift.shift_mask(lines, -value * np.float32(48), np.float32(0))
        np.testing.assert_array_equal(made.masks[n], mask)


@quick
@given(st.integers(0, 2**32 - 1), st.sampled_from(["reflect", "edge", 7]))
def test_jitter_moves_masks_by_the_nearest_pixel(seed: int, fill) -> None:
    rng = np.random.default_rng(seed)
    h, w = rng.integers(8, 40, 2)
    mask = rng.random((1, h, w)) < 0.5
    matrices = affine.similarity(
        (h, w),
        rotation=rng.uniform(-180, 180, 1).astype(np.float32),
        shift_x=rng.uniform(-0.3, 0.3, 1).astype(np.float32),
        shift_y=rng.uniform(-0.3, 0.3, 1).astype(np.float32),
        zoom=rng.uniform(0.5, 1.5, 1).astype(np.float32),
        flip_x=rng.random(1) < 0.5,
        flip_y=rng.random(1) < 0.5,
    )
    moved = mask.copy()
    affine.warp_masks(moved, np.arange(1), matrices, fill)
    made = moved[0]
    y, x = np.mgrid[:h, :w]
    at = np.einsum("ij,jyx->iyx", matrices[0], np.stack([x, y, np.ones_like(x)]))
    sure = (np.abs(at - np.floor(at) - 0.5) > 1e-6).all(axis=0)  # not halfway between two pixels
    nearest = np.floor(at + 0.5).astype(int)
    mode = {"reflect": "symmetric", "edge": "edge"}.get(fill, "constant")
    margin = 6 * max(h, w)
    padded = np.pad(mask[0], margin, mode=mode)
    expected = padded[nearest[1] + margin, nearest[0] + margin]
    np.testing.assert_array_equal(made[sure], expected[sure])


def test_jitter_moves_masks_as_opencv_does() -> None:
    cv2 = pytest.importorskip("cv2")
    masks = np.zeros((1, 64, 64), bool)
    masks[0, 20:44, 14:50] = True
    none, no = np.zeros(1, np.float32), np.zeros(1, bool)
    matrix = affine.similarity(
        *((64, 64),),
        rotation=none + 37,
        shift_x=none,
        shift_y=none,
        zoom=none + 1,
        flip_x=no,
        flip_y=no,
    )
    moved = masks.copy()
    affine.warp_masks(moved, np.arange(1), matrix, 0)
    made = moved[0]
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    other = cv2.warpAffine(masks[0].astype(np.uint8), matrix[0], (64, 64), flags=flags)
    assert (made != other.astype(bool)).sum() <= 4  # OpenCV rounds positions to 1/1024


def test_resized_crops_use_the_pixel_under_the_centre(cells) -> None:
    dataset, masks = annotated_set(cells)
    made = cp.Recipe([cp.Crop(30, center="image", resize_to=17)])(dataset)
    for mask, whole in zip(made.masks[:], masks, strict=True):
        window = Image.fromarray(whole[9:39, 9:39])
        np.testing.assert_array_equal(mask, window.resize((17, 17), Image.Resampling.NEAREST))


# -- in steps ----------------------------------------------------------------------


def test_annotated_masks_replace_automatic_ones(cells) -> None:
    dataset, masks = annotated_set(cells)
    made = cp.Recipe([cp.KMeansMask(background=9)])(dataset)
    np.testing.assert_array_equal(made.images[:], np.where(masks[..., None], cells[0], 9))
    np.testing.assert_array_equal(made.masks[:], masks)
    cropped = cp.Recipe([cp.Crop(24)])(dataset)
    assert cropped.masks[:].any(axis=(1, 2)).all()
    for size, shared in cp.crops(dataset, sizes=(24, 30)).items():
        alone = cp.Recipe([cp.Crop(size)])(dataset)
        np.testing.assert_array_equal(shared.images[:], alone.images[:])
        np.testing.assert_array_equal(shared.masks[:], alone.masks[:])


def test_empty_mask_counts_as_not_annotated(cells) -> None:
    images, labels = cells
    dataset = cp.Dataset.from_arrays(images, labels, NAMES, masks=np.zeros(images.shape[:3], bool))
    recipe = cp.Recipe([cp.Crop(40), cp.KMeansMask()])
    plain = recipe(cp.Dataset.from_arrays(images, labels, NAMES))
    np.testing.assert_array_equal(recipe(dataset).images[:], plain.images[:])


def test_automatic_masks_equal_segment_and_are_moved_by_later_steps(cells) -> None:
    images, labels = cells
    dataset = cp.Dataset.from_arrays(images, labels, NAMES)
    made = cp.Recipe([cp.KMeansMask(), cp.Crop(40, center="image")])(dataset)
    np.testing.assert_array_equal(made.masks[:], cp.segment(images)[:, 4:44, 4:44])
    np.testing.assert_array_equal(made.masks[5], made.masks[5:6][0])
    assert made.masks[[]].shape == (0, 40, 40)
    assert made.masks.shape == (40, 40, 40)
    nuclei = cp.Recipe([cp.KMeansMask(), cp.KMeansMask(target="nucleus")])(dataset)
    twice = cp.segment(cp.kmeans_mask(images), target="nucleus")
    np.testing.assert_array_equal(nuclei.masks[:], twice)


def test_missing_masks_are_refused(cells, tmp_path) -> None:
    dataset = cp.Dataset.from_arrays(*cells, NAMES)
    with pytest.raises(cp.CellprepError, match="there are no masks"):
        dataset.masks[:]
    with pytest.raises(cp.CellprepError, match="no masks to write"):
        cp.write(dataset, tmp_path / "out", masks=True)
    with pytest.raises(
        cp.CellprepError, match=r"`masks` must have shape \(40, 48, 48\) and be bool"
    ):
        cp.Dataset.from_arrays(*cells, NAMES, masks=np.zeros((40, 48, 47), bool))


# -- writing and reading -------------------------------------------------------------------------

RECIPE = cp.Recipe(
    [cp.Balance(target=6), cp.KMeansMask(), cp.Crop(40), cp.RandAugment(copies=1)], seed=2
)


@pytest.mark.parametrize("name", ["out", "out.npz", "folder"])
@pytest.mark.parametrize("annotated", [True, False])
def test_masks_are_read_back_as_written(cells, tmp_path, name, annotated) -> None:
    dataset = annotated_set(cells)[0] if annotated else cp.Dataset.from_arrays(*cells, NAMES)
    made = RECIPE(dataset)
    kind = "folder" if name == "folder" else None
    cp.write(made, tmp_path / name, format=kind, rows_per_shard=40, masks=True, progress=False)
    again = cp.read(tmp_path / name)
    np.testing.assert_array_equal(again.masks[:], made.masks[:])
    np.testing.assert_array_equal(again.masks[[70, 3, 50]], made.masks[[70, 3, 50]])
    np.testing.assert_array_equal(again.images[:], made.images[:])
    np.testing.assert_array_equal(cp.replay(tmp_path / name, dataset), made.images[:])


def test_replay_uses_masks_of_an_earlier_written_set(cells, tmp_path) -> None:
    dataset = cp.Dataset.from_arrays(*cells, NAMES)
    cp.write(RECIPE(dataset), tmp_path / "one", masks=True, progress=False)
    second = cp.Recipe([cp.KMeansMask(background=50), cp.Crop(30)])(cp.read(tmp_path / "one"))
    cp.write(second, tmp_path / "two", masks=True, progress=False)
    np.testing.assert_array_equal(cp.replay(tmp_path / "two", dataset), second.images[:])


def test_same_bytes_for_any_workers_and_after_an_interruption(cells, tmp_path, monkeypatch) -> None:
    made = RECIPE(cp.Dataset.from_arrays(*cells, NAMES))
    whole, other, cut = tmp_path / "whole", tmp_path / "other", tmp_path / "cut"
    cp.write(made, whole, rows_per_shard=20, masks=True, workers=1, progress=False)
    cp.write(made, other, rows_per_shard=20, masks=True, executor="processes", progress=False)
    assert files(other) == files(whole)
    assert {f"masks-{n:05d}.npy" for n in range(4)} <= files(whole).keys()
    save = shards._save

    def killed(path, kind, shape, arrays):
        if path.name == "masks-00002.npy":
            raise KeyboardInterrupt
        return save(path, kind, shape, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            cp.write(made, cut, rows_per_shard=20, masks=True, workers=1, progress=False)
    resumed = cp.write(made, cut, rows_per_shard=20, masks=True, progress=False).resumed
    assert resumed >= 40
    assert files(cut) == files(whole)
    with pytest.raises(cp.CellprepError, match="masks True there"):
        cp.write(made, cut, rows_per_shard=20, progress=False)
    cp.write(made, cut, rows_per_shard=20, overwrite=True, progress=False)
    assert not list(cut.glob("masks-*"))


def test_overwriting_a_folder_replaces_its_masks(cells, tmp_path) -> None:
    made = RECIPE(cp.Dataset.from_arrays(*cells, NAMES))
    out = tmp_path / "out"
    cp.write(made, out, format="folder", masks=True, progress=False)
    (out / "masks" / "mine.txt").write_text("mine")
    cp.write(made, out, format="folder", overwrite=True, progress=False)
    assert [file.name for file in (out / "masks").rglob("*") if file.is_file()] == ["mine.txt"]


@pytest.fixture
def smears(cells, tmp_path) -> tuple[Path, np.ndarray]:
    """Images in class folders, all masks in one folder; one image has no mask."""
    images, labels = cells
    masks = annotated_set(cells)[1]
    (tmp_path / "masks").mkdir()
    for n, (image, mask, label) in enumerate(zip(images, masks, labels.tolist(), strict=True)):
        file = tmp_path / "images" / str(label) / f"cell{n:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
        if n != 3:
            Image.fromarray(mask.astype(np.uint8) * (1 + n)).save(tmp_path / "masks" / file.name)
    masks[3] = False
    return tmp_path, masks


def test_annotated_masks_are_matched_by_file_stem(smears) -> None:
    folder, masks = smears
    dataset = cp.read(folder / "images", masks=folder / "masks")
    np.testing.assert_array_equal(dataset.masks[:], masks)
    small = cp.read(folder / "images", masks=folder / "masks", size=31)
    nearest = [
        np.asarray(Image.fromarray(mask).resize((31, 31), Image.Resampling.NEAREST))
        for mask in masks
    ]
    np.testing.assert_array_equal(small.masks[:], nearest)
    assert small.source.identity() != cp.read(folder / "images", size=31).source.identity()


def test_unusable_masks_are_reported(smears) -> None:
    folder, _ = smears
    Image.new("L", (9, 9), 255).save(folder / "masks" / "cell05.png")
    (folder / "masks" / "cell07.png").write_bytes(b"no image")
    dataset = cp.read(folder / "images", masks=folder / "masks")
    with pytest.raises(cp.BadImagesError) as error:
        dataset.to_arrays()
    causes = " ".join(error.value.causes.values())
    assert len(error.value.causes) == 2
    assert "has a mask of 9x9 pixels" in causes
    assert "has a mask that is not an image file" in causes
    assert len(dataset.readable()) == 38
    (folder / "empty").mkdir()
    with pytest.raises(cp.CellprepError, match="has the stem of an image"):
        cp.read(folder / "images", masks=folder / "empty")
    with pytest.raises(cp.CellprepError, match="`masks` must be a folder"):
        cp.read(folder / "images", masks=folder / "none")


def test_masks_in_an_npz_are_chosen_by_name(cells, tmp_path) -> None:
    images, labels = cells
    masks = annotated_set(cells)[1]
    np.savez(tmp_path / "cells.npz", images=images, labels=labels, drawn=masks * np.uint8(255))
    dataset = cp.read(tmp_path / "cells.npz", masks="drawn")
    np.testing.assert_array_equal(dataset.masks[:], masks)
    with pytest.raises(cp.CellprepError, match=r"has no array 'drwn'.*'drawn'"):
        cp.read(tmp_path / "cells.npz", masks="drwn")


def test_masks_from_the_command_line(smears) -> None:
    folder, masks = smears
    recipe = folder / "recipe.toml"
    cp.Recipe([cp.KMeansMask()]).to_toml(recipe)
    given = [str(folder / "images"), str(folder / "out"), "--drawn", str(folder / "masks")]
    done = CliRunner().invoke(cli.main, ["run", str(recipe), *given, "--masks"])
    assert done.exit_code == 0, done.output
    found = cp.read(folder / "out").masks[:]
    known = masks.any(axis=(1, 2))
    np.testing.assert_array_equal(found[known], masks[known])
    assert found[~known].any()
