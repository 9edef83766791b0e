"""Pictures for a page, each once, as many and as large as fit."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Images
from ..dataset.dataset import Dataset
from ..plan.digests import digest
from ..system import executors

SIDES = (256, 192, 128, 96, 64, 48)
"""Side lengths to choose from: the largest at which all pictures fit. Nothing is enlarged."""
_QUALITY = 75
_SAMPLE = 32
_RULE = 70  # bytes of the style rule around a picture


class Album:
    """The pictures of a page, most important first, no two equal."""

    def __init__(self) -> None:
        self.pictures: list[tuple[Dataset, int] | Images] = []
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def row(self, dataset: Dataset, row: int, digest: NDArray[np.uint64]) -> int:
        """Add the picture of a row with a known digest, to be read later; return its number."""
        return self._numbered(digest, (dataset, row))

    def image(self, image: Images) -> int:
        """Add a computed image, reduced in size; return its number."""
        return self._numbered(digest(image[None])[0], np.asarray(_small(image, SIDES[0])))

    def _numbered(self, digest: NDArray[np.uint64], picture: tuple[Dataset, int] | Images) -> int:
        number = self._numbers.setdefault(digest.tobytes(), len(self.pictures))
        if number == len(self.pictures):
            self.pictures.append(picture)
        return number


def encode(album: Album, space: int) -> tuple[list[str], int]:
    """Data URIs of the first pictures, as many as fit into `space` bytes, and their longer side.

    The side is the largest at which all pictures would fit, estimated from a sample.
    """
    if not len(album):
        return [], SIDES[0]
    spread = np.unique(np.linspace(0, len(album) - 1, min(_SAMPLE, len(album))).astype(int))
    for side in SIDES:
        encoding = _Encoding(album.pictures, side)
        sample = [len(encoding((at, at + 1))[0]) + _RULE for at in spread.tolist()]
        if np.mean(sample) * len(album) <= space:
            break
    uris: list[str] = []
    for batch in executors.run(encoding, executors.cut(len(album), 32), "pictures"):
        for uri in batch:
            space -= len(uri) + _RULE
            if space < 0:
                return uris, side
            uris.append(uri)
    return uris, side


@dataclass(frozen=True, eq=False)
class _Encoding:
    """Data URIs of a span of pictures."""

    pictures: Sequence[tuple[Dataset, int] | Images]
    side: int

    def __call__(self, span: executors.Span) -> list[str]:
        return [_uri(image, self.side) for image in self._images(span)]

    def _images(self, span: executors.Span) -> list[Images]:
        return [
            item[0].images[item[1]] if isinstance(item, tuple) else item
            for item in self.pictures[slice(*span)]
        ]


def _small(image: Images, side: int) -> Image.Image:
    picture = Image.fromarray(image)
    picture.thumbnail((side, side))
    return picture


def _uri(image: Images, side: int) -> str:
    data = io.BytesIO()
    _small(image, side).save(data, "WEBP", quality=_QUALITY, method=2)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
