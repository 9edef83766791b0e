"""Operations of RandAugment, one after another on each image, with the image in cache; compiled.

KerasCV's ten, and four of the same kind. The same bytes as the kernels of `augment`, which take one
operation at a time. Operations are numbered by their index in `NAMES`, in this file alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Positions
from .. import KERAS_CV
from ..compiling import kernel
from . import planes

NAMES = (*KERAS_CV, "saturation", "posterize", "invert", "color_cast", "none")


def run(
    source: Images,
    at: Positions,
    out: Images,
    to: Positions,
    operations: NDArray[np.str_],
    values: NDArray[np.float32],
) -> None:
    """Run the operations of each image, from one array to another or in place.

    Parameters
    ----------
    source : (n, height, width, 3) uint8
    at : (m,) int
        The images to change; an image may occur several times.
    out : (k, height, width, 3) uint8
        May be `source`, if `to` equals `at`.
    to : (m,) int
        Where the results go; all different.
    operations : (m, slots) str
    values : (m, slots, 3) float32
        The parameters of each operation, in the order of its kernel in `augment`.
    """
    names, inverse = np.unique(operations, return_inverse=True)
    numbers = np.array([NAMES.index(name) for name in names.tolist()])
    source = source.view()
    source.flags.writeable = False  # so that Numba compiles one version
    numbers = numbers[inverse.reshape(operations.shape)]
    _run(source, at, out, to, numbers, np.ascontiguousarray(values))


@kernel
def _run(source, at, out, to, operations, values):
    _, height, width, _ = out.shape
    size, still = height * width, np.float32(0)
    image, spare = planes.allocate(height, width), planes.allocate(height, width)
    table = np.empty(256, np.uint8)
    for i in range(len(to)):
        planes.separate(source[at[i]], image)
        for slot in range(operations.shape[1]):
            operation, value = operations[i, slot], values[i, slot, 0]
            if operation == 0:
                planes.auto_contrast(image, size, table)
            elif operation == 1:
                planes.equalization(image, size, table)
            elif operation == 2:
                planes.solarization(image, value, values[i, slot, 1], table)
            elif operation == 3:
                planes.color_degeneration(image, value)
            elif operation == 4:
                planes.contrast(image, size, value, table)
            elif operation == 5:
                planes.brightness(image, value, table)
            elif operation == 6:
                planes.shift_rows(image, height, width, still, value, spare)
            elif operation == 7:
                planes.shift_columns(image, height, width, still, value, spare)
            elif operation == 8:
                offset = -value * np.float32(width)
                planes.shift_rows(image, height, width, offset, still, spare)
            elif operation == 9:
                offset = -value * np.float32(height)
                planes.shift_columns(image, height, width, offset, still, spare)
            elif operation == 10:
                planes.color_degeneration(image, np.float32(1) - value)
            elif operation == 11:
                planes.posterize(image, value, table)
            elif operation == 12:
                planes.invert(image, table)
            elif operation == 13:
                planes.color_cast(image, values[i, slot], table)
            if 6 <= operation <= 9:
                image, spare = spare, image
        planes.join(image, out[to[i]])
