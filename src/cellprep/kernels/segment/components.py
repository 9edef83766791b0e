"""Binary masks: holes, connected components, and morphology with a disc.

Neighbours are the four that share a side. Beyond the border lies nothing: erosion does not eat
into a cell that the image cuts. Inside, masks are strings of bits (see `bits`). Components are
joined from runs of equal bits, which are far fewer than pixels.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from .bits import ALL, NONE, ONE, flip_span, lowest_one, ones, ones_in_span, pack, strings, unpack

Array = NDArray[Any]
Binary = NDArray[np.bool_] | NDArray[np.uint8]

# Of the type of a margin that varies, or Numba compiles `work` twice.
_THIN = np.int64(1)


@nb.njit(cache=True, nogil=True)
def work(h: int, w: int, margin: Any) -> tuple[Any, Array, Any, Any]:
    """Three empty masks, a full one, room for discs of a radius up to `margin`, and for runs."""
    made = strings(6, h, w, margin)
    full = made[3]
    pack(np.ones((h, w), np.uint8), np.uint8(1), full)
    most = 32 * full.size + 1
    runs = np.empty(2 * most, np.int64), np.empty(most, np.int64)
    return (made[0], made[1], made[2]), full, (made[4], made[5]), runs


@nb.njit(cache=True, nogil=True)
def _find(parent: Array, i: Any) -> Any:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@nb.njit(cache=True, nogil=True)
def _runs(bits: Array, turned: Any, runs: Any) -> int:
    """The runs of ones once bits are turned: where each starts and stops, and its component.

    Run i goes from ``end[2 * i]`` to before ``end[2 * i + 1]``, and ``root[i]`` is the first run of
    its component. Components are joined in a forest whose roots are the smallest [Rosenfeld 1966].
    """
    string, stride = bits.ravel(), 64 * bits.shape[1]
    end, root = runs
    ends = 0
    before = NONE
    for j in range(len(string)):
        word = string[j] ^ turned
        edges = word ^ (word << 1 | before)
        before = word >> 63
        while edges:
            end[ends] = 64 * j + lowest_one(edges)
            edges &= edges - ONE
            ends += 1
    end[ends] = 64 * len(string)
    made = (ends + 1) // 2
    above = 0
    for i in range(made):
        root[i] = i
        start, stop = end[2 * i] - stride, end[2 * i + 1] - stride
        while end[2 * above + 1] <= start:
            above += 1
        j = above
        while j < i and end[2 * j] < stop:
            a, b = _find(root, i), _find(root, j)
            root[max(a, b)] = min(a, b)
            j += 1
    for i in range(made):
        root[i] = root[root[i]]
    return made


@nb.njit(cache=True, nogil=True)
def fill(bits: Array, runs: Any) -> None:
    """Set the regions of zeros that do not reach the margin, where the first run lies."""
    string = bits.ravel()
    end, root = runs
    for i in range(_runs(bits, ALL, runs)):
        if root[i] > 0:
            flip_span(string, end[2 * i], end[2 * i + 1])


@nb.njit(cache=True, nogil=True)
def keep_heaviest(bits: Array, heavy: Array, runs: Any) -> float:
    """Leave the component with most pixels that are also in `heavy`.

    Among equals, all of them with none too, the one that has more pixels, then the one met first
    in reading order. Returns its share of the mask's pixels.
    """
    made = _runs(bits, NONE, runs)
    end, root = runs
    string, weights = bits.ravel(), heavy.ravel()
    area, weight = np.zeros(made, np.int64), np.zeros(made, np.int64)
    total = 0
    for i in range(made):
        start, stop = end[2 * i], end[2 * i + 1]
        area[root[i]] += stop - start
        total += stop - start
        weight[root[i]] += ones_in_span(weights, start, stop)
    best = 0
    for i in range(made):
        if weight[i] > weight[best] or (weight[i] == weight[best] and area[i] > area[best]):
            best = i
    for i in range(made):
        if root[i] != best:
            flip_span(string, end[2 * i], end[2 * i + 1])
    return area[best] / total if made else 0.0


@nb.njit(cache=True, nogil=True)
def outline(bits: Array) -> tuple[int, int]:
    """Pixels of a mask, and their sides that face a zero or the image's border."""
    string, words = bits.ravel(), bits.shape[1]
    here, before, above = string[words:], string[words - 1 :], string
    area, sides = 0, 0
    for j in range(len(here)):
        area += ones(here[j])
        sides += ones(here[j] ^ (here[j] << 1 | before[j] >> 63)) + ones(here[j] ^ above[j])
    return area, sides


@nb.njit(cache=True, nogil=True)
def common(bits: Array, other: Array) -> int:
    """How many pixels two masks share."""
    string, others = bits.ravel(), other.ravel()
    total = 0
    for j in range(len(string)):
        total += ones(string[j] & others[j])
    return total


@nb.njit(cache=True, nogil=True)
def keep_common(bits: Array, other: Array) -> None:
    """Leave the pixels that two masks share."""
    string, others = bits.ravel(), other.ravel()
    for j in range(len(string)):
        string[j] &= others[j]


@nb.njit(cache=True, nogil=True)
def _join(string: Array, other: Array) -> None:
    for j in range(len(string)):
        string[j] |= other[j]


@nb.njit(cache=True, nogil=True)
def _join_moved(string: Array, other: Array, by: int) -> None:
    """Join what lies `by` bits before and after."""
    words, right = by >> 6, by & 63
    left = 63 - right  # and one more, since no word can be moved by 64
    near, far = other[words:], other[words + 1 :]
    later = string[words + 1 :]
    for j in range(len(far)):
        string[j] |= near[j] >> right | far[j] << 1 << left
    for j in range(len(far)):
        later[j] |= other[j + 1] << right | other[j] >> 1 >> left


@nb.njit(cache=True, nogil=True)
def dilate_by(bits: Array, radius: int, full: Array, discs: Any) -> None:
    """Set all within a disc of the ones.

    A disc is a stack of row segments that grow towards its middle row, so the mask spread along
    its rows is made once and grown on the way.
    """
    words = bits.shape[1]
    string, image, line, spread = bits.ravel(), full.ravel(), discs[0].ravel(), discs[1].ravel()
    size = len(string)
    line[:] = string
    spread[:] = 0
    half = 0
    for off in range(radius, -1, -1):
        while (half + 1) * (half + 1) + off * off <= radius * radius + radius:
            half += 1
            _join_moved(line, string, half)
        down = off * words
        _join(spread[: size - down], line[down:])
        _join(spread[down:], line[: size - down])
    for j in range(size):
        string[j] = spread[j] & image[j]


@nb.njit(cache=True, nogil=True)
def _turn(bits: Array, full: Array) -> None:
    """Ones for zeros."""
    string, image = bits.ravel(), full.ravel()
    for j in range(len(string)):
        string[j] ^= image[j]


@nb.njit(cache=True, nogil=True)
def erode_by(bits: Array, radius: int, full: Array, discs: Any) -> None:
    """Clear all within a disc of the image's zeros."""
    _turn(bits, full)
    dilate_by(bits, radius, full, discs)
    _turn(bits, full)


@nb.njit(cache=True, nogil=True)
def _fill_all(masks: Array) -> None:
    n, h, w = masks.shape
    (bits, _, _), _, _, runs = work(h, w, _THIN)
    for i in range(n):
        pack(masks[i], np.uint8(1), bits)
        fill(bits, runs)
        unpack(bits, masks[i])


@nb.njit(cache=True, nogil=True)
def _largest_all(masks: Array) -> None:
    n, h, w = masks.shape
    (bits, _, _), _, _, runs = work(h, w, _THIN)
    for i in range(n):
        pack(masks[i], np.uint8(1), bits)
        keep_heaviest(bits, bits, runs)
        unpack(bits, masks[i])


@nb.njit(cache=True, nogil=True)
def _dilate_all(masks: Array, radius: int) -> None:
    n, h, w = masks.shape
    (bits, _, _), full, discs, _ = work(h, w, max(radius, _THIN))
    for i in range(n):
        pack(masks[i], np.uint8(1), bits)
        dilate_by(bits, radius, full, discs)
        unpack(bits, masks[i])


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
    return ~dilate(_bytes(masks) == 0, radius)


def dilate(masks: Binary, radius: int) -> NDArray[np.bool_]:
    """Masks (n, h, w) and all that lies within a disc of `radius` of them (see `erode`).

    Examples
    --------
    >>> import numpy as np
    >>> dilate(np.array([[[0, 1, 0, 0, 0]]], np.uint8), 1)[0].astype(int).tolist()
    [[1, 1, 1, 0, 0]]
    """
    out = _bytes(masks)
    _dilate_all(out, radius)
    return out.view(np.bool_)


def opening(masks: Binary, radius: int) -> NDArray[np.bool_]:
    """Masks (n, h, w) less whatever a disc of `radius` does not fit into.

    Examples
    --------
    >>> import numpy as np
    >>> opening(np.array([[[1, 0, 1, 1, 1]]], np.uint8), 1)[0].astype(int).tolist()
    [[0, 0, 1, 1, 1]]
    """
    return dilate(erode(masks, radius), radius)
