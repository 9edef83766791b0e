"""Flipped and turned duplicates."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import cellprep as cp
from cellprep.kernels import SYMMETRIES
from cellprep.kernels.hashing import symmetry, windows

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(2, 14), SEEDS)
def test_symmetries_are_found_and_named(height, width, n, seed) -> None:
    """On images of few values, many of them turned copies; non-squares have four symmetries."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 2, (n, height, width, 3), np.uint8)
    for i in range(1, n):
        if rng.random() < 0.6:
            turns = symmetry.symmetries_of(height, width)
            images[i] = symmetry.turned(images[rng.integers(i)][None], rng.choice(turns))[0]
    table = cp.find_duplicates(images, symmetries=True)
    turns = symmetry.symmetries_of(height, width)
    least = [min(symmetry.turned(x[None], g).tobytes() for g in turns) for x in images]
    expected = defaultdict(set)
    for number, name in enumerate(least):
        expected[name].add(number)
    groups = {frozenset(rows["id"]) for _, rows in table.groupby("group")}
    assert groups == {frozenset(numbers) for numbers in expected.values() if len(numbers) > 1}
    for _, rows in table.groupby("group"):
        first = images[rows["id"].iloc[0]][None]
        for number, name, relation in zip(
            rows["id"], rows["symmetry"], rows["relation"], strict=True
        ):
            same = symmetry.turned(first, SYMMETRIES.index(name))[0]
            np.testing.assert_array_equal(same, images[number])
            if number != rows["id"].iloc[0]:
                equal = np.array_equal(images[number], first[0])
                assert relation == ("exact" if equal else "symmetry")


@given(st.integers(0, 7), st.integers(0, 7), SEEDS)
def test_symmetries_form_a_group(one, two, seed) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, 5, 5, 3), np.uint8)
    both = symmetry.turned(symmetry.turned(images, one), two)
    np.testing.assert_array_equal(both, symmetry.turned(images, symmetry.after(one, two)))
    back = symmetry.turned(symmetry.turned(images, one), symmetry.INVERSE[one])
    np.testing.assert_array_equal(back, images)
    pillow = Image.fromarray(images[0])
    if one:
        pillow = pillow.transpose(Image.Transpose[SYMMETRIES[one].upper()])
    np.testing.assert_array_equal(pillow, symmetry.turned(images, one)[0])


@pytest.mark.parametrize("shape", [(96, 96), (7, 12), (50, 31)])
def test_signatures_turn_with_the_image(shape) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), np.uint8)
    small = windows.thumbnails(images)
    hashes = windows.window_hashes(small, 1)
    for one in symmetry.symmetries_of(*shape):
        other = np.ascontiguousarray(symmetry.turned(images, one))
        np.testing.assert_array_equal(symmetry.invariants(other), symmetry.invariants(images))
        turned_small = windows.thumbnails(other)
        np.testing.assert_array_equal(turned_small, symmetry.turned(small[..., None], one)[..., 0])
        found = windows.turned_hashes(hashes, one)
        expected = windows.window_hashes(turned_small, 1)
        np.testing.assert_array_equal(found[:, 0], expected[:, 0])
        np.testing.assert_array_equal(np.sort(found), np.sort(expected))


def test_equal_invariants_do_not_make_all_pairs_compared(monkeypatch) -> None:
    """300 orders of the same pixels, which have equal sums, and a flipped copy of each."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (36, 3), np.uint8)
    images = np.stack([rng.permutation(pixels).reshape(6, 6, 3) for _ in range(300)])
    images = np.concatenate([images, images[:, ::-1]])
    compared = []
    plain = symmetry.matching
    monkeypatch.setattr(
        symmetry, "matching", lambda a, b, at: compared.append(len(a)) or plain(a, b, at)
    )
    table = cp.find_duplicates(images, symmetries=True)
    assert table["group"].nunique() == 300
    assert sum(compared) < 10 * len(images)


def test_ten_thousand_equal_images_form_one_group() -> None:
    images = np.zeros((10_000, 6, 6, 3), np.uint8)
    images[:, 0, 0] = 9
    images[::2] = images[0, ::-1]
    table = cp.find_duplicates(images, symmetries=True, near=4)
    assert len(table) == 10_000
    assert table["group"].nunique() == 1
