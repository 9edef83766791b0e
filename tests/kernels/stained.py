"""Images, strategies and settings that tests of the segmentation kernels share."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

quick = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


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
