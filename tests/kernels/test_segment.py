"""Kernels of segmentation: colour spaces, K-Means, components, morphology, and their masks."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest
import skimage.measure
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from cellprep.kernels.popcount import popcount
from cellprep.kernels.segment import bits, cell, components, morphology, spaces
from cellprep.kernels.segment.assignment import _assign_three, _assign_tiles, _assign_two
from cellprep.kernels.segment.kmeans import kmeans
from cellprep.kernels.segment.lloyd import lloyd
from cellprep.kernels.segment.segment import FOREGROUNDS, TARGETS, segment

BCISC = Path(__file__).resolve().parents[3] / "shared" / "data" / "bcisc"
quick = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
plasmas = st.sampled_from(((170, 130, 190), (200, 150, 150)))  # purple, or as red as the red cells
widths = st.sampled_from((1, 2, 31, 62, 63, 64, 65, 100, 127, 128, 129))


@pytest.fixture(scope="module")
def bcisc() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    if not BCISC.is_dir():
        pytest.skip(f"no photographs at {BCISC}")
    image_module = pytest.importorskip("PIL.Image")
    images, masks = [], []
    for path in sorted((BCISC / "images").glob("*.jpg")):
        with image_module.open(path) as image:
            images.append(np.asarray(image.convert("RGB").resize((96, 96), 4)))
        with image_module.open(BCISC / "masks" / f"{path.stem}.png") as mask:
            masks.append(np.asarray(mask.convert("L").resize((96, 96), 4)) > 127)
    return np.stack(images), np.stack(masks)


def cells(
    seed: int, n: int = 3, h: int = 40, w: int = 32, plasma: tuple[int, int, int] = (170, 130, 190)
) -> NDArray[np.uint8]:
    """Pale images with red cells and one purple cell each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    images = np.empty((n, h, w, 3))
    for image in images:
        image[:] = 225, 220, 228
        for color, radius, number in (((200, 150, 150), 5, 4), (plasma, 9, 1)):
            for _ in range(number):
                cy, cx = rng.uniform(8, h - 8), rng.uniform(8, w - 8)
                image[np.hypot(y - cy, x - cx) < radius] = color
        image[np.hypot(y - cy, x - cx) < 5] = 90, 40, 140
    return np.clip(images + rng.normal(0, 4, images.shape), 0, 255).astype(np.uint8)


def blobs(seed: int, n: int = 3, h: int = 23, w: int = 31) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    return rng.random((n, h, w)) < rng.uniform(0, 1, (n, 1, 1))


def packed(mask: NDArray[np.bool_], margin: int = 1) -> NDArray[np.uint64]:
    out = bits.empty_masks(1, *mask.shape, margin)[0]
    bits.pack(np.ascontiguousarray(mask).view(np.uint8), np.uint8(1), out)
    return out


def unpacked(mask: NDArray[np.uint64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    out = np.empty(shape, np.uint8)
    bits.unpack(mask, out)
    return out.view(np.bool_)


def check_components(masks: NDArray[np.bool_]) -> None:
    """Against SciPy's, on one set of buffers, since they are reused from image to image."""
    runs = components.buffers_for_runs(packed(masks[0]).size)
    for mask in masks:
        filled, largest = packed(mask), packed(mask)
        components.fill_holes(filled, runs)
        share = components.keep_heaviest(largest, largest.copy(), runs)
        expected, count = ndimage.label(mask)
        np.testing.assert_array_equal(unpacked(filled, mask.shape), ndimage.binary_fill_holes(mask))
        areas = np.bincount(expected.ravel(), minlength=count + 1)[1:]
        best = 1 + areas.argmax() if count else 1
        np.testing.assert_array_equal(unpacked(largest, mask.shape), expected == best)
        assert share == (areas.max() / areas.sum() if count else 0)
    every = masks.astype(np.uint8)
    cell.keep_largest(every)
    for mask, largest in zip(masks, every, strict=True):
        expected = skimage.measure.label(mask, connectivity=1)
        areas = np.bincount(expected.ravel(), minlength=2)[1:]
        np.testing.assert_array_equal(largest, expected == 1 + areas.argmax())


def check_morphology(masks: NDArray[np.bool_], radius: int) -> None:
    dy, dx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = dy**2 + dx**2 <= radius**2 + radius
    margin = max(radius, 1)
    discs = morphology.buffers_for_discs(*masks.shape[1:], margin)
    for mask in masks:
        eroded = ndimage.binary_erosion(mask, disc, border_value=1)
        dilated, both = packed(mask, margin), packed(mask, margin)
        morphology.dilate(dilated, radius, discs)
        np.testing.assert_array_equal(
            unpacked(dilated, mask.shape), ndimage.binary_dilation(mask, disc)
        )
        morphology.erode(both, radius, discs)
        np.testing.assert_array_equal(unpacked(both, mask.shape), eroded)
        morphology.dilate(both, radius, discs)
        np.testing.assert_array_equal(
            unpacked(both, mask.shape), ndimage.binary_dilation(eroded, disc)
        )
    every = masks.astype(np.uint8)
    cell.widen(every, radius)
    np.testing.assert_array_equal(every, [ndimage.binary_dilation(m, disc) for m in masks])


def inertia(points: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    return sum(
        float(((points[labels == c] - points[labels == c].mean(axis=0)) ** 2).sum())
        for c in np.unique(labels)
    )


def test_lab_equals_that_of_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    steps = np.arange(0, 256, 15).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, 18, -1, 3)
    lab = spaces.to_space(grid, "lab")
    np.testing.assert_allclose(lab, color.rgb2lab(grid), atol=0.02)
    np.testing.assert_array_equal(spaces.to_space(grid, "chroma"), lab[..., 1:])


def test_stain_is_green_and_saturation() -> None:
    color = pytest.importorskip("skimage.color")
    images = cells(0)
    stain = spaces.to_space(images, "stain")
    np.testing.assert_array_equal(stain[..., 0], images[..., 1])
    np.testing.assert_allclose(stain[..., 1] / 255, color.rgb2hsv(images)[..., 1], atol=1e-5)


def test_purple_does_not_depend_on_the_colour_of_the_light() -> None:
    images = cells(1)
    yellow = (images * np.array([1, 0.9, 0.5])).astype(np.uint8)
    gap = spaces.to_space(images, "purple") - spaces.to_space(yellow, "purple")
    assert np.abs(gap).max() < 6


def test_dark_is_red_and_green_relative_to_the_background() -> None:
    images = cells(2)
    white = np.maximum(np.percentile(images, 80, axis=(1, 2), method="inverted_cdf"), 1)
    light = (images * (255 / white)[:, None, None])[..., :2].mean(axis=-1)
    dark = spaces.to_space(images, "dark")[..., 0]
    np.testing.assert_allclose(dark, np.maximum(255 - light, 0), atol=1e-3)


@pytest.mark.parametrize("name", spaces.SPACES)
def test_spaces_are_finite_float32_and_do_not_change_their_input(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 3)).astype(np.uint8)
    images[1] = 0
    before = images.copy()
    out = spaces.to_space(images, name)
    assert out.dtype == np.float32
    assert out.shape[:3] == images.shape[:3]
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("space", spaces.SPACES)
@pytest.mark.parametrize("n_clusters", [2, 3, 4])
def test_inertia_is_as_low_as_that_of_scikit_learn(
    bcisc: tuple[NDArray[np.uint8], NDArray[np.bool_]], space: str, n_clusters: int
) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    features = spaces.to_space(bcisc[0][::45], space).reshape(6, 96 * 96, -1)
    labels, _ = kmeans(features, n_clusters)
    ratios = [
        inertia(points, label)
        / cluster.KMeans(n_clusters, n_init=10, random_state=0).fit(points).inertia_
        for points, label in zip(features, labels, strict=True)
    ]
    assert np.mean(ratios) <= 1.002


@quick
@given(seeds, st.integers(1, 3), st.integers(2, 8))
def test_kmeans_converges_to_a_fixed_point(seed: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 1, (1, 400, d)).astype(np.float32) + rng.integers(0, 3, (1, 400, 1))
    labels, centers = kmeans(points, k)
    sums = centers[0].sum(axis=1)
    assert (np.diff(sums) >= 0).all()
    # features are rounded to 1/4095 of their range, so ties may be broken either way
    step = np.ptp(points, axis=1).max() / 4095
    for c in np.unique(labels):
        np.testing.assert_allclose(
            centers[0, c], points[0][labels[0] == c].mean(axis=0), atol=2 * step
        )
    distance = np.linalg.norm(points[0][:, None] - centers[0], axis=2)
    own = distance[np.arange(400), labels[0]]
    assert (own <= distance.min(axis=1) + 4 * step).all()


@quick
@given(seeds, st.integers(1, 3), st.integers(2, 8))
def test_kmeans_finds_every_colour_if_there_are_few(seed: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    colors = rng.choice(256, (k, d), replace=False).astype(np.float32)
    share = rng.dirichlet(np.ones(k) * 0.5)
    points = colors[np.r_[np.arange(k), rng.choice(k, 500, p=share)]][None]
    labels, centers = kmeans(points, k)
    assert np.isfinite(centers).all()
    assert len(np.unique(labels)) == len(np.unique(points[0], axis=0))
    np.testing.assert_allclose(centers[0][labels[0]], points[0], atol=0.1)


@quick
@given(seeds, st.integers(1, 4), st.integers(2, 8))
def test_uint8_features_give_the_same_clusters_as_floats(seed: int, d: int, k: int) -> None:
    points = np.random.default_rng(seed).integers(0, 256, (2, 300, d)).astype(np.uint8)
    for levels, floats in zip(kmeans(points, k), kmeans(points.astype(np.float32), k), strict=True):
        np.testing.assert_array_equal(levels, floats)


def plain_pass(points: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """One pass in plain NumPy."""
    labels = ((points[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
    return np.stack([points[labels == c].mean(axis=0) for c in range(len(centers))])


@quick
@given(seeds, st.integers(2, 3), st.integers(2, 5), st.integers(40, 1500))
def test_a_pass_equals_one_in_numpy(seed: int, d: int, k: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 4096, (n, d))
    centers = points[rng.choice(n, k, replace=False)].astype(np.float32)
    sums, counts = np.empty((k, d), np.int64), np.empty(k, np.int64)
    made = centers.copy()
    lloyd(np.ascontiguousarray(points.T, np.int16), made, sums, counts, 1)
    if counts.all() and counts.sum() == n and len(np.unique(centers, axis=0)) == k:
        np.testing.assert_allclose(
            made, plain_pass(points, centers.astype(float)), rtol=1e-3, atol=2
        )


def test_kmeans_of_one_colour() -> None:
    labels, centers = kmeans(np.full((2, 100, 3), 7, np.float32), 5)
    assert not labels.any()
    assert (centers == 7).all()


@pytest.mark.parametrize("k", [1, 9])
def test_kmeans_refuses_other_numbers_of_clusters(k: int) -> None:
    with pytest.raises(ValueError, match="n_clusters"):
        kmeans(np.zeros((1, 9, 3), np.float32), k)


@quick
@given(seeds, st.integers(1, 30), widths)
def test_components_equal_those_of_scipy(seed: int, h: int, w: int) -> None:
    check_components(blobs(seed, 3, h, w))


@quick
@given(seeds, st.integers(1, 30), widths, st.integers(0, 6))
def test_morphology_equals_that_of_scipy(seed: int, h: int, w: int, radius: int) -> None:
    check_morphology(blobs(seed, 3, h, w), radius)


@pytest.mark.parametrize("radius", [40, 63, 64, 65])
def test_a_disc_may_be_larger_than_the_image(radius: int) -> None:
    masks = np.zeros((3, 7, 66), bool)
    masks[0, 3, 65] = masks[1:, 0, 1] = True
    check_morphology(np.concatenate([masks, ~masks]), radius)


@pytest.mark.parametrize("w", [8, 63, 64, 65, 130])
@pytest.mark.parametrize(
    "pattern",
    [
        lambda y, x: y < 0,
        lambda y, x: y >= 0,
        lambda y, x: (y + x) % 2 == 0,
        lambda y, x: x % 2 == 0,
        lambda y, x: y % 2 == 0,
        lambda y, x: np.maximum(abs(y - 10), abs(x - x.max() // 2)) % 3 == 0,
        lambda y, x: (y % 2 == 0) | (x == np.where(y % 4 == 1, 0, x.max())),
    ],
    ids=["empty", "full", "checkers", "columns", "rows", "rings", "snake"],
)
def test_patterns_give_the_same_result_as_scipy(pattern, w: int) -> None:
    mask = pattern(*np.mgrid[:21, :w])
    masks = np.stack([mask, ~mask, mask[::-1], mask[:, ::-1]])
    check_components(masks)
    check_morphology(masks, 2)


@quick
@given(seeds, st.integers(1, 9), widths, st.integers(1, 9))
def test_packed_masks_have_the_same_pixels(seed: int, h: int, w: int, margin: int) -> None:
    rng = np.random.default_rng(seed)
    values, least = rng.integers(0, 256, (2, h, w)).astype(np.uint8), np.uint8(rng.integers(1, 256))
    masks = values >= least
    one, other = packed = bits.empty_masks(2, h, w, margin)
    for mask, levels in zip(packed, values, strict=True):
        bits.pack(levels, least, mask)
    framed = np.unpackbits(one.view(np.uint8), axis=1, bitorder="little")
    np.testing.assert_array_equal(framed[margin:-margin, :w], masks[0])
    assert framed.sum() == masks[0].sum()
    assert framed.shape[1] >= w + margin
    out = np.empty((h, w), np.uint8)
    bits.unpack(one, out)
    np.testing.assert_array_equal(out, masks[0])

    padded = np.pad(masks[0].astype(int), 1)
    sides = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    assert bits.outline(one) == (masks[0].sum(), sides)
    assert bits.count_common(one, other) == (masks[0] & masks[1]).sum()


@quick
@given(seeds, st.integers(0, 255), st.integers(0, 255))
def test_operations_on_spans_equal_those_on_single_bits(seed: int, start: int, stop: int) -> None:
    start, stop = sorted((start, stop))
    string = np.random.default_rng(seed).integers(0, 2**64, 4, np.uint64)
    single = np.unpackbits(string.view(np.uint8), bitorder="little")
    assert bits.ones_in_span(string, start, stop) == single[start:stop].sum()
    assert [popcount(word) for word in string] == single.reshape(4, 64).sum(axis=1).tolist()
    position = np.uint64(start % 64)
    assert bits.lowest_one((string[0] | np.uint64(1)) << position) == position
    bits.flip_span(string, start, stop)
    single[start:stop] ^= 1
    np.testing.assert_array_equal(np.unpackbits(string.view(np.uint8), bitorder="little"), single)


def test_an_empty_mask_has_no_largest_component() -> None:
    masks = np.zeros((1, 9, 30), np.uint8)
    cell.keep_largest(masks)
    assert not masks.any()


@quick
@given(seeds, st.integers(8, 40), st.integers(8, 40))
def test_masks_do_not_depend_on_batch_or_order(seed: int, h: int, w: int) -> None:
    images = cells(seed, 3, max(h, 17), max(w, 17))[:, :h, :w]
    before = images.copy()
    for target in TARGETS:
        masks = segment(images, target=target)
        singles = [segment(image[None], target=target)[0] for image in images]
        np.testing.assert_array_equal(masks, singles)
        np.testing.assert_array_equal(segment(images[::-1], target=target), masks[::-1])
    np.testing.assert_array_equal(images, before)


def plain_piece(mask, radius, heavy):
    """`_piece` in SciPy: mask, roundness, share."""
    dy, dx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = dy**2 + dx**2 <= radius**2 + radius
    eroded = ndimage.binary_erosion(ndimage.binary_fill_holes(mask), disc, border_value=1)
    labels, count = ndimage.label(eroded)
    if not count:
        return eroded, 0.0, 0.0
    number = range(1, count + 1)
    weights = list(
        zip(
            [heavy[labels == c].sum() for c in number],
            [(labels == c).sum() for c in number],
            strict=True,
        )
    )
    best = 1 + max(range(count), key=weights.__getitem__)
    piece = ndimage.binary_dilation(labels == best, disc)
    padded = np.pad(piece, 1)
    sides = (padded[1:] ^ padded[:-1]).sum() + (padded[:, 1:] ^ padded[:, :-1]).sum()
    share = (labels == best).sum() / eroded.sum()
    return piece, 16 * piece.sum() / max(sides, 1) ** 2, share


def plain_cell(purple, dark):
    """The cell from four clusters of purple and three of darkness, step by step."""
    large, heavy = 0.5 * purple.size, dark >= 2
    cell, roundness, share = plain_piece(dark >= 1, 1, heavy)
    if cell.sum() < large and (roundness >= 0.6 or (roundness >= 0.5 and share >= 0.9)):
        return cell
    cell, roundness, share = plain_piece(purple >= 2, 1, heavy)
    whole = roundness * share
    if whole < 0.3:
        fewer, roundness, share = plain_piece(purple >= 3, 1, heavy)
        if roundness * share > 1.3 * whole and roundness * share >= 0.4:
            cell = fewer
    more, roundness, share = plain_piece(purple >= 1, 1, heavy)
    if roundness * share >= 0.4 and more.sum() < large:
        cell = more
    if cell.sum() < 1.15 * (cell & heavy).sum():
        for neck in (4, 6, 8):
            wider, roundness, _ = plain_piece(
                dark >= 1, max(1, round(neck * min(dark.shape) / 96)), heavy
            )
            if roundness >= 0.65 and cell.sum() < wider.sum() < large:
                return wider
    return cell


@quick
@given(seeds, st.integers(20, 60), st.integers(20, 140), st.integers(0, 12), plasmas)
def test_cell_equals_that_of_the_same_steps_in_scipy(
    seed: int, h: int, w: int, noise: int, plasma
) -> None:
    rng = np.random.default_rng(seed)
    images = cells(seed, 4, h, w, plasma).astype(float)
    images = np.clip(images + rng.normal(0, noise + 1e-9, images.shape), 0, 255).astype(np.uint8)
    purple, dark = (
        kmeans(spaces.to_space(images, name).reshape(4, -1, 1), k)[0].reshape(images.shape[:3])
        for name, k in (("purple", 4), ("dark", 3))
    )
    expected = [plain_cell(p, d) for p, d in zip(purple, dark, strict=True)]
    np.testing.assert_array_equal(segment(images), expected)


@quick
@given(seeds, st.integers(30, 70))
def test_nucleus_lies_within_its_cell(seed: int, w: int) -> None:
    images = cells(seed, 3, 40, w)
    nuclei = segment(images, n_clusters=8, foreground="not-brightest", target="nucleus")
    assert not (nuclei & ~segment(images)).any()


def test_largest_darkest_piece_is_the_cell_if_all_pieces_are_thin() -> None:
    images = np.full((1, 12, 70, 3), 230, np.uint8)
    images[0, 2, 3:60] = 150
    images[0, 6, 60:66] = images[0, 9, 3:6] = 20
    mask = segment(images, n_clusters=3, color_space="dark", foreground="darkest")[0]
    assert np.argwhere(mask).tolist() == [[6, x] for x in range(60, 66)]


def test_masks_do_not_depend_on_blocks() -> None:
    images = np.concatenate([cells(seed) for seed in range(45)])
    np.testing.assert_array_equal(segment(images)[60:70], segment(images[60:70]))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("color", [0, 128, 255])
def test_one_colour_gives_an_empty_mask(target: str, color: int) -> None:
    images = np.full((2, 12, 8, 3), color, np.uint8)
    images[1] = 255 - color, color, 77
    assert not segment(images, target=target).any()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seeds,
    st.integers(2, 8),
    st.sampled_from(spaces.SPACES),
    st.sampled_from(FOREGROUNDS),
    st.sampled_from(TARGETS),
    st.integers(2, 256),
    st.booleans(),
)
def test_masks_are_never_empty_or_full(
    seed: int, k: int, space: str, foreground: str, target: str, levels: int, grey: bool
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, levels, (2, 9, 13, 3)).astype(np.uint8)
    if grey:
        images[:] = images[..., :1]
    masks = segment(images, n_clusters=k, color_space=space, foreground=foreground, target=target)
    assert masks.any(axis=(1, 2)).all()
    assert not masks.all(axis=(1, 2)).any()


def test_masks_agree_with_annotated_photographs(
    bcisc: tuple[NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    images, annotated = bcisc
    masks = segment(images)
    assert masks.any(axis=(1, 2)).all()
    assert not masks.all(axis=(1, 2)).any()
    shared = (masks & annotated).sum(axis=(1, 2))
    dice = 2 * shared / (masks.sum(axis=(1, 2)) + annotated.sum(axis=(1, 2)))
    assert dice[::2].mean() >= 0.94
    assert dice[1::2].mean() >= 0.92
    nuclei = segment(images, target="nucleus")
    assert nuclei.any(axis=(1, 2)).all()
    assert (nuclei & ~masks).sum() <= 0.01 * nuclei.sum()
    green = images[..., 1].astype(float)
    assert green[nuclei].mean() < 0.8 * green[masks & ~nuclei].mean()


def test_isolated_cells_of_any_colour_are_found_whole() -> None:
    """Grey cytoplasm on a yellow background: not purple, but nothing else is stained."""
    y, x = np.mgrid[:64, :64]
    images = np.full((3, 64, 64, 3), (225, 205, 140), np.uint8)
    for image, color in zip(
        images, ((180, 170, 120), (190, 160, 130), (165, 170, 130)), strict=True
    ):
        image[np.hypot(y - 30, x - 34) < 20] = color
        image[np.hypot(y - 27, x - 36) < 9] = 80, 60, 110
    expected = np.hypot(y - 30, x - 34) < 20
    masks = segment(images)
    assert ((masks ^ expected).sum(axis=(1, 2)) < 0.03 * expected.sum()).all()


@pytest.mark.parametrize("setting", ["target", "foreground", "color_space"])
def test_unknown_names_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=f"`{setting}` must be one of"):
        segment(cells(0), **{setting: "whole"})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["spaces", "kmeans", "segment"])
def test_docstrings(name: str) -> None:
    assert not doctest.testmod(importlib.import_module(f"cellprep.kernels.segment.{name}")).failed


@quick
@given(seeds, st.integers(2, 3), st.integers(1, 1500))
def test_single_loops_assign_points_as_tiles_do(seed: int, k: int, n_points: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4096, (3, n_points)).astype(np.int16)
    centers = x[:, rng.integers(0, n_points, k)].T.astype(np.float32)  # some equal, some far
    found = []
    one_loop = _assign_two if k == 2 else _assign_three
    for way in (_assign_tiles, one_loop):
        sums, counts = np.zeros((k, 3), np.int64), np.zeros(k, np.int64)
        way(x, centers, sums, counts)
        found.append((sums.tolist(), counts.tolist()))
    assert found[0] == found[1]
