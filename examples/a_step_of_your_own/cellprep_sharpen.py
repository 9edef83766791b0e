"""A step and an operation for cellprep: sharpening by an unsharp mask."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from PIL import Image, ImageFilter

from cellprep.operations import Operation
from cellprep.steps import Range, Step


def sharpen(images, rows, strengths):
    """Sharpen the images (n, height, width, 3) at `rows` by a strength in percent, in place."""
    for row, percent in zip(rows, strengths, strict=True):
        unsharp = ImageFilter.UnsharpMask(radius=2, percent=int(percent))
        images[row] = np.asarray(Image.fromarray(images[row]).filter(unsharp))


@dataclass(frozen=True)
class Sharpen(Step):
    """Sharpen every image by a random strength.

    Parameters
    ----------
    most : float
        Largest strength in percent, in [0, 500].
    """

    most: Annotated[float, Range(0, 500)] = 150.0

    def sample(self, draw):
        return {"percent": draw.uniform("percent", 0, self.most)}

    def apply(self, images, percent):
        sharpen(images, range(len(images)), percent)
        return images


OPERATION = Operation("sharpen", sharpen, "a", strength=lambda sampled: 300 * sampled.normal)
