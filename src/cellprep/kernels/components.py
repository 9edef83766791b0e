"""Binary masks: holes, connected components, and morphology with a disc.

Neighbours are the four that share a side. Beyond the border lies nothing: erosion does not eat
into a cell that the image cuts.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Binary = NDArray[np.bool_] | NDArray[np.uint8]


@nb.njit(cache=True, nogil=True)
def _find(parent: Array, i: Any) -> Any:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@nb.njit(cache=True, nogil=True)
def _regions(mask: Array, out: Array, parent: Array) -> int:
    """Number the regions of equal value, zeros and ones alike, 0, 1, ... in reading order.

    Provisional numbers are joined in a forest whose roots are the smallest [Rosenfeld 1966].
    """
    h, w = mask.shape
    made = 0
    for y in range(h):
        for x in range(w):
            value = mask[y, x]
            left = x > 0 and mask[y, x - 1] == value
            up = y > 0 and mask[y - 1, x] == value
            if left:
                out[y, x] = out[y, x - 1]
                if up and mask[y - 1, x - 1] != value:
                    a, b = _find(parent, out[y, x - 1]), _find(parent, out[y - 1, x])
                    parent[max(a, b)] = min(a, b)
            elif up:
                out[y, x] = out[y - 1, x]
            else:
                out[y, x] = made
                parent[made] = made
                made += 1
    count = 0
    for i in range(made):
        if parent[i] == i:
            parent[i] = count
            count += 1
        else:
            parent[i] = parent[parent[i]]
    for y in range(h):
        for x in range(w):
            out[y, x] = parent[out[y, x]]
    return count


@nb.njit(cache=True, nogil=True)
def _fill(masks: Array) -> None:
    n, h, w = masks.shape
    parent = np.empty(h * w, np.int32)
    region = np.empty((h, w), np.int32)
    for i in range(n):
        mask = masks[i]
        count = _regions(mask, region, parent)
        parent[:count] = 0
        for y in range(h):
            parent[region[y, 0]] = parent[region[y, w - 1]] = 1
        for x in range(w):
            parent[region[0, x]] = parent[region[h - 1, x]] = 1
        for y in range(h):
            for x in range(w):
                if not parent[region[y, x]]:
                    mask[y, x] = 1


@nb.njit(cache=True, nogil=True)
def _largest(masks: Array) -> None:
    n, h, w = masks.shape
    parent = np.empty(h * w, np.int32)
    region = np.empty((h, w), np.int32)
    for i in range(n):
        mask = masks[i]
        area = np.zeros(_regions(mask, region, parent), np.int64)
        for y in range(h):
            for x in range(w):
                if mask[y, x]:
                    area[region[y, x]] += 1
        best = 0
        for r in range(len(area)):
            if area[r] > area[best]:
                best = r
        for y in range(h):
            for x in range(w):
                mask[y, x] = np.uint8(mask[y, x] and region[y, x] == best)


@nb.njit(cache=True, nogil=True)
def _erode(masks: Array, out: Array, radius: int, value: int) -> None:
    """Erode the pixels equal to `value` by a disc; `out` is 1 where they last.

    A disc is a stack of row segments: a pixel lasts if, in each row of the disc, its distance to
    the row's nearest other pixel exceeds the segment's half-width.
    """
    n, h, w = masks.shape
    room = np.empty((h, w), np.int16)
    far = 32767
    for i in range(n):
        for y in range(h):
            last = far
            for x in range(w):
                last = 0 if masks[i, y, x] != value else min(last + 1, far)
                room[y, x] = last
            last = far
            for x in range(w - 1, -1, -1):
                last = 0 if masks[i, y, x] != value else min(last + 1, far)
                if last < room[y, x]:
                    room[y, x] = last
        for y in range(h):
            row = out[i, y]
            row[:] = 1
            for dy in range(max(-radius, -y), min(radius, h - 1 - y) + 1):
                half = 0
                while (half + 1) * (half + 1) + dy * dy <= radius * radius + radius:
                    half += 1
                other = room[y + dy]
                for x in range(w):
                    row[x] &= np.uint8(other[x] > half)


def _bytes(masks: Binary) -> NDArray[np.uint8]:
    """A copy of 0s and 1s."""
    return np.array(masks, bool, order="C").view(np.uint8)


def fill_holes(masks: Binary) -> NDArray[np.bool_]:
    """Masks (n, h, w) with every region that does not reach the border filled.

    Examples
    --------
    >>> import numpy as np
    >>> int(fill_holes(np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]], np.uint8)).sum())
    9
    """
    out = _bytes(masks)
    _fill(out)
    return out.view(np.bool_)


def largest(masks: Binary) -> NDArray[np.bool_]:
    """Masks (n, h, w) with the largest component of each; an empty mask stays empty.

    Among equals the component that is met first in reading order.

    Examples
    --------
    >>> import numpy as np
    >>> largest(np.array([[[1, 0, 1], [0, 0, 1]]], np.uint8))[0].astype(int).tolist()
    [[0, 0, 1], [0, 0, 1]]
    """
    out = _bytes(masks)
    _largest(out)
    return out.view(np.bool_)


def erode(masks: Binary, radius: int) -> NDArray[np.bool_]:
    """Masks (n, h, w) less what lies within a disc of `radius` of the outside.

    The disc holds the offsets with dy^2 + dx^2 <= radius^2 + radius: a square of 3 for 1, a
    square of 5 without its corners for 2.

    Examples
    --------
    >>> import numpy as np
    >>> erode(np.array([[[0, 1, 1, 1, 1]]], np.uint8), 1)[0].astype(int).tolist()
    [[0, 0, 1, 1, 1]]
    """
    out = np.empty(masks.shape, np.uint8)
    _erode(_bytes(masks), out, radius, 1)
    return out.view(np.bool_)


def dilate(masks: Binary, radius: int) -> NDArray[np.bool_]:
    """Masks (n, h, w) and all that lies within a disc of `radius` of them (see `erode`).

    Examples
    --------
    >>> import numpy as np
    >>> dilate(np.array([[[0, 1, 0, 0, 0]]], np.uint8), 1)[0].astype(int).tolist()
    [[1, 1, 1, 0, 0]]
    """
    out = np.empty(masks.shape, np.uint8)
    _erode(_bytes(masks), out, radius, 0)
    return ~out.view(np.bool_)


def opening(masks: Binary, radius: int) -> NDArray[np.bool_]:
    """Masks (n, h, w) less whatever a disc of `radius` does not fit into.

    Examples
    --------
    >>> import numpy as np
    >>> opening(np.array([[[1, 0, 1, 1, 1]]], np.uint8), 1)[0].astype(int).tolist()
    [[0, 0, 1, 1, 1]]
    """
    return dilate(erode(masks, radius), radius)
