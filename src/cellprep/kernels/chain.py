"""The ten operations of RandAugment, one after another on each image, compiled."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ..arrays import Images
from . import OPERATIONS, color, geometry

SKIP = len(OPERATIONS)


def chain(
    images: Images,
    operations: NDArray[np.int64],
    values: NDArray[np.float32],
    thresholds: NDArray[np.float32],
) -> Images:
    """Images after their operations.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    operations : (n, slots) int
        Places in `OPERATIONS`, or `SKIP`.
    values : (n, slots) float32
        The one parameter of an operation: solarization adds it (0-255); contrast and colour
        degeneration take it as their factor; brightness adds it as a part of the full range;
        shears move by it per pixel; translations by it as a part of the side, to the right or
        down. Auto contrast and equalization take none.
    thresholds : (n, slots) float32
        From where solarization inverts (0-255).

    Returns
    -------
    (n, height, width, 3) uint8
    """
    out = np.empty_like(images)
    _chain(images, operations, values, thresholds, out)
    return out


@nb.njit(cache=True, nogil=True)
def _chain(images, operations, values, thresholds, out):
    n, height, width, _ = images.shape
    counts = np.empty((3, 256), np.int32)
    table = np.empty((3, 256), np.uint8)
    here = np.empty((height, width, 3), np.uint8)
    there = np.empty((height, width, 3), np.uint8)
    for i in range(n):
        here[:] = images[i]
        for slot in range(operations.shape[1]):
            operation, value = operations[i, slot], values[i, slot]
            if operation == 10:
                continue
            if operation == 3:
                color.color_degeneration(here, value, there)
            elif operation == 6:
                geometry.shift_rows(here, np.float32(0), value, there)
            elif operation == 7:
                geometry.shift_columns(here, np.float32(0), value, there)
            elif operation == 8:
                geometry.shift_rows(here, -value * np.float32(width), np.float32(0), there)
            elif operation == 9:
                geometry.shift_columns(here, -value * np.float32(height), np.float32(0), there)
            else:
                if operation == 0 or operation == 1 or operation == 4:
                    color.histograms(here, counts)
                if operation == 0:
                    color.auto_contrast_table(counts, table)
                elif operation == 1:
                    color.equalization_table(counts, table)
                elif operation == 2:
                    color.solarization_table(value, thresholds[i, slot], table)
                elif operation == 4:
                    color.contrast_table(counts, value, table)
                else:
                    color.brightness_table(value, table)
                color.map_values(here, table, there)
            here, there = there, here
        out[i] = here
