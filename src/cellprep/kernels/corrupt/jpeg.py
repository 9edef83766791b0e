"""Compression as JPEG."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...arrays import Images, Positions


def jpeg(images: Images, rows: Positions, qualities: NDArray[np.float32]) -> None:
    """Encode some images as JPEG of a quality in 0-100 and decode them again, in place, by Pillow.

    Its blocks measure 8 pixels, and 16 for colour, whatever the size of the image.
    """
    _, height, width, _ = images.shape
    for row, quality in zip(rows.tolist(), qualities.tolist(), strict=True):
        file = BytesIO()
        Image.fromarray(images[row]).save(file, "JPEG", quality=int(quality))
        # by the decoder alone: `Image.open` parses every header in Python first
        decoder = "jpeg", "RGB", ""
        images[row] = np.asarray(Image.frombytes("RGB", (width, height), file.getvalue(), *decoder))
