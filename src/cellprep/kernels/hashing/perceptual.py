"""64-bit perceptual hashes, bit for bit those of the Python library imagehash."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images
from .. import HASHES
from .lanczos import rows_first

Hashes = NDArray[np.uint64]
"""(n,), one bit per cell of an 8x8 grid, row by row, most significant bit first. In hexadecimal
they are the strings that imagehash prints."""


def perceptual_hashes(images: Images, kind: str = "phash") -> Hashes:
    """(n,) uint64: the hash of each image by one of four definitions.

    "phash" marks low frequencies of the luminance above their median [1]_; "dhash" cells of an 8x8
    thumbnail that are lighter than their left neighbour; "ahash" cells lighter than the mean;
    "whash" coefficients of a Haar wavelet, without its mean, above their median. "phash" is
    compiled; imagehash computes the others, which takes several times longer.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
        Of any size, down to one pixel.
    kind : "phash", "dhash", "ahash" or "whash"

    References
    ----------
    .. [1] imagehash 4.3: `phash`, `dhash`, `average_hash` and `whash` with their defaults.

    Examples
    --------
    >>> image = np.zeros((1, 16, 16, 3), np.uint8)
    >>> image[:, :8, :8] = 255
    >>> [f"{hash:016x}" for hash in perceptual_hashes(image, "ahash").tolist()]
    ['f0f0f0f000000000']
    """
    assert kind in HASHES
    if kind == "phash":
        from .phash import phash

        return phash(images)
    bits = np.empty((len(images), 64), bool)
    for row, image in zip(bits, images, strict=True):
        row[:] = _imagehash_bits(image, kind)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def _imagehash_bits(image: NDArray[np.uint8], kind: str) -> NDArray[np.bool_]:
    """(64,) bool."""
    import imagehash
    from PIL import Image

    height, width, _ = image.shape
    scale = max(8, 2 ** (min(height, width).bit_length() - 1))  # imagehash's default for whash
    target_height = scale if kind == "whash" else 8
    target_width = {"dhash": 9, "ahash": 8, "whash": scale}[kind]
    picture = Image.fromarray(image).convert("L")
    if rows_first(height, width, target_height, target_width):
        # Pillow before 13 filters tall images in the other order, which rounds differently.
        picture = picture.resize((width, target_height), Image.Resampling.LANCZOS)
    if kind == "dhash":
        found = imagehash.dhash(picture)
    elif kind == "ahash":
        found = imagehash.average_hash(picture)
    else:
        found = imagehash.whash(picture, image_scale=scale)
    return np.asarray(found.hash).ravel()
