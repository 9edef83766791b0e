"""From images to masks of the cell and its nucleus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from cellprep.kernels.segment import spaces
from cellprep.kernels.segment.kmeans import kmeans
from cellprep.kernels.segment.segment import FOREGROUNDS, TARGETS, segment

from .stained import cells, quick, seeds

plasmas = st.sampled_from(((170, 130, 190), (200, 150, 150)))  # purple, or as red as the red cells


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
