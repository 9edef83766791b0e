"""Images that several tests of operations and corruptions share."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cellprep.arrays import Images

SIZES = [(28, 28), (96, 96), (64, 97), (224, 224)]


def resized(images: Images, height: int, width: int) -> Images:
    return np.stack([np.asarray(Image.fromarray(x).resize((width, height))) for x in images])


def noisy(height: int, width: int) -> Images:
    """Three images of uniform noise."""
    return np.random.default_rng(height).integers(0, 256, (3, height, width, 3), np.uint8)
