"""Masks of the stained cell in each image, by K-Means of that image's own colours."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from . import FOREGROUNDS, TARGETS, components
from .kmeans import kmeans
from .spaces import to_space

Array = NDArray[Any]

# The clusters and the space of "auto" where none are named
_DEFAULTS = {"cell": (4, "purple"), "nucleus": (3, "stain")}

# Roundness here is that of a mask's largest piece (a disc has 0.79, a square 1), times its share
# of the mask. One more cluster is taken for the cell if the whole is still this round and covers
# less than this part of the image; one fewer if the whole is this ragged and the rest much rounder.
_ROUND, _LARGE = 0.4, 0.5
_RAGGED, _ROUNDER = 0.3, 1.3

_BLOCK = 64


@nb.njit(cache=True, nogil=True)
def _ranks(scores: Array, labels: Array, n_clusters: int, out: Array) -> None:
    """Each pixel's cluster by the mean of its pixels' scores, 0 the lowest that is not empty."""
    total = np.empty(n_clusters, np.float64)
    count = np.empty(n_clusters, np.int64)
    place = np.empty(n_clusters, np.uint8)
    for n in range(len(labels)):
        total[:] = 0
        count[:] = 0
        for p in range(labels.shape[1]):
            total[labels[n, p]] += scores[n, p]
            count[labels[n, p]] += 1
        for c in range(n_clusters):
            rank = 0
            for d in range(n_clusters):
                if count[c] and count[d]:
                    gap = total[d] / count[d] - total[c] / count[c]
                    rank += gap < 0 or (gap == 0 and d < c)
            place[c] = np.uint8(rank)
        for p in range(labels.shape[1]):
            out[n, p] = place[labels[n, p]]


@nb.njit(cache=True, nogil=True)
def _outline(masks: Array, area: Array, edges: Array) -> None:
    """Pixels of each mask, and pixel sides on its outline; the image's border counts."""
    n, h, w = masks.shape
    for i in range(n):
        inside, changes = 0, 0
        for y in range(h):
            above = masks[i, max(y - 1, 0)]
            row = masks[i, y]
            at_border = 2 if h == 1 else int(y == 0 or y == h - 1)
            last = 0
            for x in range(w):
                inside += row[x]
                changes += (row[x] != last) + (row[x] != above[x]) + at_border * row[x]
                last = int(row[x])
            changes += last
        area[i] = inside
        edges[i] = changes


def _radius(images: NDArray[Any]) -> int:
    """Of the disc that a part of a cell must hold: a ninety-sixth of the shorter side."""
    return max(1, round(min(int(images.shape[1]), int(images.shape[2])) / 96))


def _lowest(foreground: str, n_clusters: int) -> int:
    """Rank of the least dark cluster that is kept."""
    by_name = {"two-darkest": max(n_clusters - 2, 1), "not-brightest": 1}
    return by_name.get(foreground, n_clusters - 1)


def _largest_piece(
    kept: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """The largest piece of each mask, holes filled and thin parts cut off; how round, how large."""
    n, h, w = kept.shape
    opened = components.opening(components.fill_holes(kept), _radius(kept))
    piece = components.largest(opened)
    area, edges = np.empty(n), np.empty(n)
    _outline(piece.view(np.uint8), area, edges)
    share = area / np.maximum(opened.sum(axis=(1, 2)), 1)
    return piece, 16 * area / np.maximum(edges, 1) ** 2 * share, area / (h * w)


def _ranked(images: NDArray[np.uint8], n_clusters: int, space: str, by: str) -> NDArray[np.uint8]:
    """The rank of each pixel's cluster (n, h, w), by `"purple"` or by `"darkness"`."""
    n, h, w, _ = images.shape
    features = to_space(images, space)
    labels, _ = kmeans(features.reshape(n, h * w, -1), n_clusters)
    if by == "darkness":
        scores = -images[..., 1].astype(np.float32)
    else:
        scores = features if space == "purple" else to_space(images, "purple")
    ranks = np.empty_like(labels)
    _ranks(scores.reshape(n, h * w), labels, n_clusters, ranks)
    return ranks.reshape(n, h, w)


def _never_unsound(masks: NDArray[np.bool_], ranks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The largest piece of the top cluster where a mask is empty or full; one colour: empty."""
    highest = ranks.max(axis=(1, 2))
    unsound = np.flatnonzero(~masks.any(axis=(1, 2)) | masks.all(axis=(1, 2)))
    masks[unsound] = components.largest(ranks[unsound] == highest[unsound, None, None])
    masks[highest == 0] = False
    return masks


def _cell(
    images: NDArray[np.uint8], n_clusters: int, space: str, foreground: str
) -> NDArray[np.bool_]:
    if foreground != "auto":
        ranks = _ranked(images, n_clusters, space, "darkness")
        out, _, _ = _largest_piece(ranks >= _lowest(foreground, n_clusters))
        return _never_unsound(out, ranks)
    ranks = _ranked(images, n_clusters, space, "purple")
    lowest = (n_clusters + 1) // 2
    out, roundness, _ = _largest_piece(ranks >= lowest)
    if lowest < n_clusters - 1:
        ragged = np.flatnonzero(roundness < _RAGGED)
        fewer, rest, _ = _largest_piece(ranks[ragged] > lowest)
        better = (rest > _ROUNDER * roundness[ragged]) & (rest >= _ROUND)
        out[ragged[better]] = fewer[better]
    if lowest > 1:
        more, whole, size = _largest_piece(ranks >= lowest - 1)
        better = (whole >= _ROUND) & (size < _LARGE)
        out[better] = more[better]
    return _never_unsound(out, ranks)


def _nucleus(
    images: NDArray[np.uint8], n_clusters: int, space: str, foreground: str
) -> NDArray[np.bool_]:
    ranks = _ranked(images, n_clusters, space, "darkness")
    kept = components.fill_holes(ranks >= _lowest(foreground, n_clusters))
    cell = _cell(images, *_DEFAULTS["cell"], "auto")
    return _never_unsound(components.opening(kept & cell, _radius(images)), ranks)


def segment(
    images: NDArray[np.uint8],
    *,
    n_clusters: int | None = None,
    color_space: str | None = None,
    foreground: str = "auto",
    target: str = "cell",
) -> NDArray[np.bool_]:
    """Masks of the one cell, or of its nucleus, that each image shows.

    Each image's pixels fall into clusters [1]_; some of the clusters are kept; holes are filled
    (a region that the mask encloses), parts thinner than 1/32 of the image cut off, and the
    largest connected piece is the cell. A nucleus may lie in several pieces, all within the cell.

    Parameters
    ----------
    images : (n, h, w, 3) uint8, RGB, h and w at least 8.
    n_clusters : 2 to 8; by default 4 for a cell (background, red cells, cytoplasm, nucleus) and
        3 for a nucleus.
    color_space : ``"rgb"``, ``"lab"``, ``"chroma"``, ``"stain"`` or ``"purple"`` (see
        `cellprep.kernels.spaces.to_space`); by default ``"purple"`` for a cell, in which red
        cells are background, and ``"stain"`` for a nucleus, in which it is darkest.
    foreground : which clusters are kept.

        - ``"auto"``: for a nucleus, the darkest. For a cell, the more purple half, then one
          cluster more if the piece found stays round and alone (there are no red cells, so that
          cytoplasm took two clusters), or one fewer if it is ragged and would become round (the
          cell has no cytoplasm, so that red cells took its cluster).
        - ``"darkest"``, ``"two-darkest"``, ``"not-brightest"``: by the clusters' mean green.
    target : ``"cell"`` or ``"nucleus"``.

    Returns
    -------
    (n, h, w) bool. Never full. Empty only for an image of one colour (or whose colours are one in
    `color_space`: ``"purple"`` does not see red): where the steps above leave nothing or all, the
    mask is the largest piece of the darkest or most purple cluster.

    References
    ----------
    .. [1] S. Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28 (1982).

    Examples
    --------
    >>> import numpy as np
    >>> image = np.full((1, 16, 16, 3), 230, np.uint8)
    >>> image[0, 4:12, 4:12] = 120, 60, 160
    >>> segment(image)[0, 8].astype(int).tolist()
    [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    """
    if target not in TARGETS:
        raise ValueError(f"`target` must be one of {TARGETS}, got {target!r}.")
    if foreground not in FOREGROUNDS:
        raise ValueError(f"`foreground` must be one of {FOREGROUNDS}, got {foreground!r}.")
    clusters, space = _DEFAULTS[target]
    clusters = clusters if n_clusters is None else n_clusters
    space = space if color_space is None else color_space
    find = _cell if target == "cell" else _nucleus
    images = np.ascontiguousarray(images)
    out = np.empty(images.shape[:3], np.bool_)
    for start in range(0, len(images), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = find(images[block], clusters, space, foreground)
    return out
