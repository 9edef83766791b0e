"""Formulas for one level, one offset, one position, shared by all code paths, compiled."""

from __future__ import annotations

import numpy as np

from ..arrays import Positions
from .compiling import kernel


@kernel(inline="always")
def to_level(value):
    """A float32 as the nearest level in 0-255, halves rounded up."""
    # by way of int32: processors convert a whole register of floats to it in one instruction
    return np.uint8(np.int32(min(max(value, np.float32(0)), np.float32(255)) + np.float32(0.5)))


@kernel(inline="always")
def linear(value, factor, offset):
    """value * factor + offset."""
    return to_level(np.float32(value) * factor + offset)


@kernel(inline="always")
def solarize(value, addition, threshold):
    """Add, clip to 255, then invert from the threshold up."""
    level = min(np.float32(value) + addition, np.float32(255))
    return to_level(level if level < threshold else np.float32(255) - level)


@kernel(inline="always")
def spread(value, mean, factor):
    """Scale the distance to the mean."""
    return to_level((np.float32(value) - mean) * factor + mean)


@kernel(inline="always")
def raise_by(value, levels):
    """value + levels."""
    return to_level(np.float32(value) + levels)


@kernel(inline="always")
def luma(red, green, blue):
    """ITU-R BT.601 luma of three float32."""
    return np.float32(0.2989) * red + np.float32(0.587) * green + np.float32(0.114) * blue


@kernel
def luma_level(red, green, blue):
    """ITU-R BT.601 luma of three levels, in fixed point as Pillow's `convert("L")`."""
    total = np.uint32(red) * np.uint32(19595)
    total += np.uint32(green) * np.uint32(38470)
    total += np.uint32(blue) * np.uint32(7471)
    return np.uint8((total + np.uint32(0x8000)) >> np.uint32(16))


@kernel(inline="always")
def fade(value, grey, factor):
    """`factor`, far below 2**23, of the way from a value to the grey one."""
    # clipped as integers, which processors do while they narrow them to bytes
    level = np.int32(value + factor * (grey - value) + np.float32(0.5))
    return np.uint8(min(max(level, np.int32(0)), np.int32(255)))


@kernel
def equalization_table(counts, total, table):
    """Fill the look-up table (256,) that equalises a channel, from its histogram."""
    rarest = total
    for value in range(256):
        if counts[value]:
            rarest = min(rarest, int(counts[value]))
    step = (total - rarest) // 255
    below = 0
    for value in range(256):
        table[value] = value if step == 0 else min((below + step // 2) // step, 255)
        below += int(counts[value])
    if step:
        table[0] = 0


@kernel(inline="always")
def split_offset(offset):
    """An offset as whole pixels and a remainder in units of 2**-15 pixels."""
    low = np.floor(offset)
    part = np.int32((offset - low) * np.float32(1 << 15) + np.float32(0.5))
    return np.int64(low), np.int16(min(part, np.int32((1 << 15) - 1)))


@kernel(inline="always")
def between(near, far, part):
    """`part` / 2**15 of the way from `near` to `far`, to the nearest level, halves rounded up."""
    way = np.int32(np.int32(far) - np.int32(near)) * np.int32(part)
    return np.uint8(np.int32(near) + np.int32((way + (1 << 14)) >> 15))


def border_indices(positions: Positions, side: int, fill: str | int) -> Positions:
    """The pixel to read for each position on an axis, counted in an image framed by one pixel.

    Inside the image that is the position plus 1. Outside it depends on `fill`: the mirrored
    ("reflect") or nearest ("edge") pixel, or 0, the frame, for a constant.
    """
    if fill == "reflect":
        positions = positions % (2 * side)
        return np.where(positions < side, positions, 2 * side - 1 - positions) + 1
    if fill == "edge":
        return positions.clip(0, side - 1) + 1
    return np.where((positions >= 0) & (positions < side), positions + 1, 0)
