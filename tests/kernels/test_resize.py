"""Resized images have Pillow's bytes, whoever resizes them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

import cellprep as cp
from cellprep.kernels import resize as resizing
from cellprep.kernels import triangle

SIDES = st.one_of(st.integers(1, 40), st.integers(1, 400))
BILINEAR = Image.Resampling.BILINEAR


def noise(height: int, width: int, seed: int = 0, n: int = 1):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


@pytest.fixture
def soon(monkeypatch):
    """Compiled code is used from the first image."""
    monkeypatch.setattr(resizing, "_seen", Counter())
    monkeypatch.setattr(resizing, "_FEW", 0)


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 99))
def test_compiled_passes_are_pillows(height, width, to_height, to_width, seed) -> None:
    images = noise(height, width, seed)
    along_rows = Image.fromarray(images[0]).resize((to_width, height), BILINEAR)
    both = np.asarray(along_rows.resize((to_width, to_height), BILINEAR))
    assert (triangle.resize(images, to_height, to_width)[0] == both).all()


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 99))
def test_the_bytes_are_pillows_in_whichever_order_it_works(
    height, width, to_height, to_width, seed
) -> None:
    images = noise(height, width, seed, n=2)
    made = resizing.resize(images, to_height, to_width)
    if resizing._as_pillow(height, width, to_height, to_width):
        made = triangle.resize(images, to_height, to_width)
    for image, found in zip(images, made, strict=True):
        expected = Image.fromarray(image).resize((to_width, to_height), BILINEAR)
        assert (found == np.asarray(expected)).all()


@pytest.mark.parametrize("sizes", [(240, 320, 96, 96), (360, 363, 96, 96), (72, 72, 96, 96)])
def test_usual_sizes_are_resized_by_compiled_code(sizes, soon, monkeypatch) -> None:
    images = noise(*sizes[:2], n=3)
    expected = resizing._by_pillow(images, *sizes[2:])
    assert resizing._as_pillow(*sizes)
    monkeypatch.delattr(resizing, "_by_pillow")
    assert (resizing.resize(images, *sizes[2:]) == expected).all()


@pytest.mark.parametrize("shape", [(40_000, 1), (1, 40_000), (30_000, 3)])
def test_thousands_of_weights_do_not_overflow(shape) -> None:
    images = np.full((1, *shape, 3), 255, np.uint8)
    assert (triangle.resize(images, 1, 1) == 255).all()


def test_rows_outside_the_image_are_never_read() -> None:
    """The last image ends where its memory ends; a neighbour's bytes must not matter."""
    for height in range(1, 10):
        memory = noise(height, 7, n=3)
        alone = triangle.resize(memory[1:2].copy(), 4, 5)
        for value in (0, 255):
            memory[[0, 2]] = value
            assert (triangle.resize(memory[1:2], 4, 5) == alone).all()


def test_where_pillow_works_in_another_order_it_is_used(soon, monkeypatch) -> None:
    monkeypatch.setattr(triangle, "resize", lambda images, height, width: images[:, :1, :1])
    resizing._as_pillow.cache_clear()
    images = noise(30, 20)
    made = resizing.resize(images, 10, 10)
    resizing._as_pillow.cache_clear()
    assert (made[0] == np.asarray(Image.fromarray(images[0]).resize((10, 10), BILINEAR))).all()


@pytest.mark.parametrize("channels", ["RGB", "L"])
def test_a_folder_has_the_same_pixels_either_way(channels, tmp_path, monkeypatch) -> None:
    for number, image in enumerate(noise(50, 61, n=6)):
        name = tmp_path / "ab"[number % 2] / f"{number}.{('jpg', 'png')[number // 3]}"
        name.parent.mkdir(exist_ok=True)
        Image.fromarray(image).convert(channels).save(name)
    expected = cp.read(tmp_path, size=24).to_arrays()[0]
    monkeypatch.setattr(resizing, "_seen", Counter())
    monkeypatch.setattr(resizing, "_FEW", 0)
    assert resizing._as_pillow(50, 61, 24, 24)
    monkeypatch.delattr(resizing, "_by_pillow")
    assert (cp.read(tmp_path, size=24).to_arrays()[0] == expected).all()


FEW = """
import sys
import numpy as np
from cellprep.kernels.resize import resize
images = np.zeros((2_001, 2, 2, 3), np.uint8)
for n in (2_000, 1):
    resize(images[:n], 3, 3)
    print("numba" in sys.modules)
"""


def test_a_small_set_does_not_wait_for_numba() -> None:
    command = [sys.executable, "-c", FEW]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]
