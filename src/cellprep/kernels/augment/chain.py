"""The ten operations of RandAugment, one after another on each image, compiled."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from ...arrays import Images, Masks, Positions
from .. import OPERATIONS
from ..avx512 import planes, vectors
from . import color, geometry

SKIP = len(OPERATIONS)


def chain(
    source: Images,
    places: Positions,
    out: Images,
    rows: Positions,
    operations: NDArray[np.int64],
    values: NDArray[np.float32],
    thresholds: NDArray[np.float32],
) -> None:
    """Send images through their operations, from one array to another or in place.

    Parameters
    ----------
    source : (n, height, width, 3) uint8
    places : (m,) int
        The images that are sent, once or several times.
    out : (k, height, width, 3) uint8
        May be `source`, if `rows` are `places`.
    rows : (m,) int
        Where the results go; none stands twice. One row of the others belongs to each.
    operations : (m, slots) int
        Places in `OPERATIONS`, or `SKIP`.
    values : (m, slots) float32
        The one parameter of an operation: solarization adds it (0-255); contrast and colour
        degeneration take it as their factor; brightness adds it as a part of the full range;
        shears move by it per pixel; translations by it as a part of the side, to the right or
        down. Auto contrast and equalization take none.
    thresholds : (m, slots) float32
        From where solarization inverts (0-255).
    """
    source = source.view()
    source.flags.writeable = False  # compiled once, whether or not the caller's may be written
    by_planes = vectors.SUPPORTED and out.shape[2] <= planes.WIDEST
    way = _by_planes if by_planes else _by_pixels
    way(source, places, out, rows, operations, values, thresholds)


def move(
    masks: Masks, rows: Positions, operations: NDArray[np.int64], values: NDArray[np.float32]
) -> Masks:
    """Masks after the shears and translations of `chain`, each pixel from the nearest."""
    _, height, width = masks.shape
    masks = masks.copy()
    still = np.float32(0)
    for row, ops, by in zip(rows.tolist(), operations.tolist(), values, strict=True):
        for operation, value in zip(ops, by, strict=True):
            if operation == 6:
                geometry.shift_mask(masks[row], still, value)
            elif operation == 7:
                geometry.shift_mask(masks[row].T, still, value)
            elif operation == 8:
                geometry.shift_mask(masks[row], -value * np.float32(width), still)
            elif operation == 9:
                geometry.shift_mask(masks[row].T, -value * np.float32(height), still)
    return masks


@nb.njit(cache=True, nogil=True)
def _by_pixels(source, places, out, rows, operations, values, thresholds):
    _, height, width, _ = out.shape
    still = np.float32(0)
    for i in range(len(rows)):
        image = out[rows[i]]
        image[:] = source[places[i]]
        for slot in range(operations.shape[1]):
            operation, value = operations[i, slot], values[i, slot]
            if operation == 0:
                color.auto_contrast(image)
            elif operation == 1:
                color.equalization(image)
            elif operation == 2:
                color.solarization(image, value, thresholds[i, slot])
            elif operation == 3:
                color.color_degeneration(image, value)
            elif operation == 4:
                color.contrast(image, value)
            elif operation == 5:
                color.brightness(image, value)
            elif operation == 6:
                geometry.shift_rows(image, still, value)
            elif operation == 7:
                geometry.shift_columns(image, still, value)
            elif operation == 8:
                geometry.shift_rows(image, -value * np.float32(width), still)
            elif operation == 9:
                geometry.shift_columns(image, -value * np.float32(height), still)


@nb.njit(cache=True, nogil=True)
def _by_planes(source, places, out, rows, operations, values, thresholds):
    _, height, width, _ = out.shape
    size, still = height * width, np.float32(0)
    held, free = planes.room(height, width), planes.room(height, width)
    mirror = planes.mirror(width)
    for i in range(len(rows)):
        planes.part(source[places[i]], held)
        for slot in range(operations.shape[1]):
            operation, value = operations[i, slot], values[i, slot]
            if operation == 0:
                planes.auto_contrast(held, size)
            elif operation == 1:
                planes.equalization(held, size)
            elif operation == 2:
                planes.solarization(held, value, thresholds[i, slot])
            elif operation == 3:
                planes.color_degeneration(held, value)
            elif operation == 4:
                planes.contrast(held, size, value)
            elif operation == 5:
                planes.brightness(held, value)
            elif operation == 6:
                planes.shift_rows(held, height, width, mirror, still, value, free)
            elif operation == 7:
                planes.shift_columns(held, height, width, still, value, free)
            elif operation == 8:
                by = -value * np.float32(width)
                planes.shift_rows(held, height, width, mirror, by, still, free)
            elif operation == 9:
                by = -value * np.float32(height)
                planes.shift_columns(held, height, width, by, still, free)
            if 6 <= operation <= 9:
                held, free = free, held
        planes.join(held, out[rows[i]])
