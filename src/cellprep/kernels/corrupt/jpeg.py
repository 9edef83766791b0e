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
    size = images.shape[2], images.shape[1]
    for row, quality in zip(rows.tolist(), qualities.tolist(), strict=True):
        file = BytesIO()
        Image.frombytes("RGB", size, images[row]).save(file, "JPEG", quality=int(quality))
        # the decoder alone: `Image.open` would parse all headers in Python first
        decoded = Image.frombytes("RGB", size, file.getvalue(), "jpeg", "RGB", "")
        images[row] = np.asarray(decoded)
