"""Small pictures for a page, each once, as many and as large as it has room for."""

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
"""Of pictures, the largest that fit the page; smaller images stay as they are."""
_QUALITY = 75
_SAMPLE = 64
_RULE = 70  # bytes of a style rule around a picture


class Album:
    """The pictures that a page wants, in the order of their weight, no two equal."""

    def __init__(self) -> None:
        self.wanted: list[tuple[Dataset, int] | Images] = []
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.wanted)

    def row(self, dataset: Dataset, row: int, digest: NDArray[np.uint64]) -> int:
        """The number of the picture of a row whose digest is known; it is read later."""
        return self._numbered(digest, (dataset, row))

    def image(self, image: Images) -> int:
        """The number of the picture of an image that was made, kept small."""
        return self._numbered(digest(image[None])[0], np.asarray(_small(image, SIDES[0])))

    def _numbered(self, digest: NDArray[np.uint64], wanted: tuple[Dataset, int] | Images) -> int:
        number = self._numbers.setdefault(digest.tobytes(), len(self.wanted))
        if number == len(self.wanted):
            self.wanted.append(wanted)
        return number


def encode(album: Album, room: int) -> tuple[list[str], int]:
    """Data URIs of the first pictures, as many as fit into `room` bytes, and their longer side.

    The side is the largest at which all would fit, judged by a sample.
    """
    if not len(album):
        return [], SIDES[0]
    sample = _Encoding(album.wanted, SIDES)
    spread = np.unique(np.linspace(0, len(album) - 1, min(_SAMPLE, len(album))).astype(int))
    sizes = np.array([sample((place, place + 1))[0] for place in spread.tolist()], object)
    costs = [sum(len(uri) + _RULE for uri in column) / len(spread) for column in sizes.T]
    fitting = [side for side, cost in zip(SIDES, costs, strict=True) if cost * len(album) <= room]
    side = fitting[0] if fitting else SIDES[-1]
    uris: list[str] = []
    spans = executors.cut(len(album), 32)
    for batch in executors.run(_Encoding(album.wanted, (side,)), spans, "pictures"):
        for (uri,) in batch:
            room -= len(uri) + _RULE
            if room < 0:
                return uris, side
            uris.append(uri)
    return uris, side


@dataclass(frozen=True, eq=False)
class _Encoding:
    """Data URIs of a span of pictures, one a side."""

    wanted: Sequence[tuple[Dataset, int] | Images]
    sides: tuple[int, ...]

    def __call__(self, span: executors.Span) -> list[list[str]]:
        return [[_uri(image, side) for side in self.sides] for image in self._images(span)]

    def _images(self, span: executors.Span) -> list[Images]:
        return [
            item[0].images[item[1]] if isinstance(item, tuple) else item
            for item in self.wanted[slice(*span)]
        ]


def _small(image: Images, side: int) -> Image.Image:
    picture = Image.fromarray(image)
    picture.thumbnail((side, side))
    return picture


def _uri(image: Images, side: int) -> str:
    data = io.BytesIO()
    _small(image, side).save(data, "WEBP", quality=_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
