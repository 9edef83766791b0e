"""Binary masks: holes, connected components, and morphology with a disc.

Neighbours are the four that share a side. Beyond the border lies nothing: erosion does not eat
into a cell that the image cuts. Components are joined from runs of equal pixels in a row, which
are far fewer than pixels.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Binary = NDArray[np.bool_] | NDArray[np.uint8]


@nb.njit(cache=True, nogil=True)
def work(h: int, w: int, radius: int) -> tuple[Array, Array, Array, Array]:
    """Room for the runs of a mask, for a mask on the way, and for discs up to `radius`."""
    runs = np.empty((4, h * ((w + 1) // 2)), np.int32)
    first = np.empty(h + 1, np.int32)
    padded = np.empty((3, (h + 2 * radius) * (w + 2 * radius)), np.uint8)
    return runs, first, np.empty((h, w), np.uint8), padded


@nb.njit(cache=True, nogil=True)
def _find(parent: Array, i: Any) -> Any:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@nb.njit(cache=True, nogil=True)
def _runs(mask: Array, value: int, runs: Array, first: Array) -> int:
    """The runs of `value`: where each starts, where it stops, and the first of its component.

    Runs stand in reading order; those of row y begin at ``first[y]``. Components are joined in a
    forest whose roots are the smallest [Rosenfeld 1966].
    """
    h, w = mask.shape
    start, stop, root = runs[0], runs[1], runs[2]
    made = 0
    above = 0
    # 1 where a pixel is another than the one before it; most words of eight pixels are 0
    edges = np.zeros((w + 7) // 8 * 8, np.uint8)
    after, words = edges[1:w], edges.view(np.uint64)
    for y in range(h):
        here = made
        first[y] = made
        row = mask[y]
        edges[0] = row[0] ^ np.uint8(1 - value)
        for x in range(w - 1):
            after[x] = row[x + 1] ^ row[x]
        inside = False
        for j in range(len(words)):
            word, x = words[j], 8 * j
            while word:
                if word & np.uint64(1):
                    if inside:
                        stop[made] = x
                        made += 1
                    else:
                        start[made] = x
                    inside = not inside
                word >>= np.uint64(8)
                x += 1
        if inside:
            stop[made] = w
            made += 1
        over = above
        for i in range(here, made):
            root[i] = i
            while over < here and stop[over] <= start[i]:
                over += 1
            j = over
            while j < here and start[j] < stop[i]:
                a, b = _find(root, i), _find(root, j)
                root[max(a, b)] = min(a, b)
                j += 1
        above = here
    first[h] = made
    for i in range(made):
        root[i] = root[root[i]]
    return made


@nb.njit(cache=True, nogil=True)
def fill(mask: Array, runs: Array, first: Array) -> None:
    """Set the regions of zeros that do not reach the border, in place."""
    h, w = mask.shape
    made = _runs(mask, 0, runs, first)
    start, stop, root, open_ = runs[0], runs[1], runs[2], runs[3]
    open_[:made] = 0
    for i in range(made):
        if i < first[1] or i >= first[h - 1] or start[i] == 0 or stop[i] == w:
            open_[root[i]] = 1
    for y in range(1, h - 1):
        for i in range(first[y], first[y + 1]):
            if not open_[root[i]]:
                mask[y, start[i] : stop[i]] = 1


@nb.njit(cache=True, nogil=True)
def keep_heaviest(mask: Array, weight: Array, least: Any, runs: Array, first: Array) -> float:
    """Leave the component with most pixels whose weight is `least` or more, in place.

    Among equals, all of them with none too, the one that has more pixels, then the one met first
    in reading order. Returns its share of the mask's pixels.
    """
    h = mask.shape[0]
    made = _runs(mask, 1, runs, first)
    start, stop, root, area = runs[0], runs[1], runs[2], runs[3]
    heavy = np.zeros(made, np.int32)
    area[:made] = 0
    total = 0
    for y in range(h):
        for i in range(first[y], first[y + 1]):
            size = stop[i] - start[i]
            area[root[i]] += size
            total += size
            if least > 0:
                count = np.int32(0)
                row = weight[y, start[i] : stop[i]]
                for x in range(size):
                    count += np.int32(row[x] >= least)
                heavy[root[i]] += count
    best = 0
    for i in range(made):
        if heavy[i] > heavy[best] or (heavy[i] == heavy[best] and area[i] > area[best]):
            best = i
    for y in range(h):
        for i in range(first[y], first[y + 1]):
            if root[i] != best:
                mask[y, start[i] : stop[i]] = 0
    return area[best] / total if made else 0.0


@nb.njit(cache=True, nogil=True)
def _copy(out: Array, other: Array) -> None:
    for i in range(len(out)):
        out[i] = other[i]


@nb.njit(cache=True, nogil=True)
def _both(out: Array, other: Array) -> None:
    for i in range(len(out)):
        out[i] &= other[i]


@nb.njit(cache=True, nogil=True)
def erode_by(mask: Array, radius: int, out: Array, room: Array) -> None:
    """`out` is 1 where a disc around the pixel finds nothing but ones.

    A disc is a stack of row segments that grow towards its middle row, so the mask eroded along
    its rows is made once and grown on the way. With a margin of ones all rows are one long line.
    `room` is (3, a) uint8, with a at least (h + 2 radius) * (w + 2 radius).
    """
    h, w = mask.shape
    wide = w + 2 * radius
    size = wide * (h + 2 * radius)
    whole, line, lasts = room[0, :size], room[1, :size], room[2, :size]
    whole[:] = 1
    for y in range(h):
        at = (y + radius) * wide + radius
        _copy(whole[at : at + w], mask[y])
    line[:] = whole
    lasts[:] = 1
    half = 0
    for off in range(radius, -1, -1):
        while (half + 1) * (half + 1) + off * off <= radius * radius + radius:
            half += 1
            _both(line[: size - half], whole[half:])
            _both(line[half:], whole[: size - half])
        down = off * wide
        _both(lasts[: size - down], line[down:])
        if off:
            _both(lasts[down:], line[: size - down])
    for y in range(h):
        at = (y + radius) * wide + radius
        _copy(out[y], lasts[at : at + w])


@nb.njit(cache=True, nogil=True)
def flip(mask: Array) -> None:
    """Ones for zeros, in place."""
    for y in range(mask.shape[0]):
        row = mask[y]
        for x in range(len(row)):
            row[x] ^= 1


@nb.njit(cache=True, nogil=True)
def dilate_by(mask: Array, radius: int, out: Array, room: Array) -> None:
    """`out` is 1 where a disc around the pixel finds a one; `mask` is turned over."""
    flip(mask)
    erode_by(mask, radius, out, room)
    flip(out)


@nb.njit(cache=True, nogil=True)
def _fill_all(masks: Array) -> None:
    n, h, w = masks.shape
    runs, first, _, _ = work(h, w, 0)
    for i in range(n):
        fill(masks[i], runs, first)


@nb.njit(cache=True, nogil=True)
def _largest_all(masks: Array) -> None:
    n, h, w = masks.shape
    runs, first, _, _ = work(h, w, 0)
    for i in range(n):
        keep_heaviest(masks[i], masks[i], 0, runs, first)


@nb.njit(cache=True, nogil=True)
def _erode_all(masks: Array, radius: int, out: Array) -> None:
    n, h, w = masks.shape
    _, _, _, room = work(h, w, radius)
    for i in range(n):
        erode_by(masks[i], radius, out[i], room)


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
    _fill_all(out)
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
    _largest_all(out)
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
    _erode_all(_bytes(masks), radius, out)
    return out.view(np.bool_)


def dilate(masks: Binary, radius: int) -> NDArray[np.bool_]:
    """Masks (n, h, w) and all that lies within a disc of `radius` of them (see `erode`).

    Examples
    --------
    >>> import numpy as np
    >>> dilate(np.array([[[0, 1, 0, 0, 0]]], np.uint8), 1)[0].astype(int).tolist()
    [[1, 1, 1, 0, 0]]
    """
    return ~erode(_bytes(masks) == 0, radius)


def opening(masks: Binary, radius: int) -> NDArray[np.bool_]:
    """Masks (n, h, w) less whatever a disc of `radius` does not fit into.

    Examples
    --------
    >>> import numpy as np
    >>> opening(np.array([[[1, 0, 1, 1, 1]]], np.uint8), 1)[0].astype(int).tolist()
    [[0, 0, 1, 1, 1]]
    """
    return dilate(erode(masks, radius), radius)
