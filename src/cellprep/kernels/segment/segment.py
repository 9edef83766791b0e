"""Masks of the stained cell in each image, by K-Means of that image's own colours."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from .. import FOREGROUNDS, TARGETS
from .bits import pack, unpack
from .components import (
    common,
    dilate,
    dilate_by,
    erode_by,
    fill,
    keep_common,
    keep_heaviest,
    largest,
    outline,
    work,
)
from .kmeans import kmeans
from .spaces import scores_of, to_space

Array = NDArray[Any]

# The clusters and the space of "auto" where none are named
_DEFAULTS = {"cell": (4, "purple"), "nucleus": (3, "dark")}

# Roundness is that of an outline of pixel sides: a square has 1, a disc 0.79.
# A dark piece with a nucleus is the cell if it is this round, or this round and all there is.
_CELL, _ALONE, _ALL = 0.6, 0.5, 0.9
# One more purple cluster is the cell if its piece times its share is still this round; one fewer
# if the piece is this ragged and the rest is round and this much rounder.
_ROUND, _RAGGED, _ROUNDER = 0.4, 0.3, 1.3
# No cell covers this part of the image.
_LARGE = 0.5
# A piece hardly larger than its dark part has lost its cytoplasm. It is looked for in what is dark
# at all, red cells cut off by discs of so many parts in 96 of the side, if it comes out this round.
_BARE, _NECKS, _CUT = 1.15, (4, 6, 8), 0.65
# A nucleus is looked for among the pixels of the cell and a rim of so many parts in 96.
_RIM = 6

_BLOCK = 16


@nb.njit(cache=True, nogil=True)
def _means(pixels: Array, labels: Array, n_clusters: int) -> Array:
    """The mean colour of each image's clusters (n, k, 3); 0 of empty ones."""
    n, n_points = labels.shape
    out = np.zeros((n, n_clusters, 3), np.float32)
    # four tables, since neighbours mostly have one label and would wait for each other
    totals, counts = np.empty((4, n_clusters, 3), np.int64), np.empty((4, n_clusters), np.int64)
    for i in range(n):
        totals[:] = 0
        counts[:] = 0
        flat = pixels[i]
        for p in range(n_points):
            counts[p & 3, labels[i, p]] += 1
            for c in range(3):
                totals[p & 3, labels[i, p], c] += flat[p, c]
        total, count = totals.sum(axis=0), counts.sum(axis=0)
        for cluster in range(n_clusters):
            for c in range(3):
                out[i, cluster, c] = total[cluster, c] / max(count[cluster], 1)
    return out


@nb.njit(cache=True, nogil=True)
def _in_order(scores: Array, labels: Array) -> None:
    """Number clusters by their scores (n, k), 0 the lowest that is not empty."""
    n_clusters = scores.shape[1]
    counts = np.empty(n_clusters, np.int32)
    for n in range(len(labels)):
        row = labels[n]
        for c in range(n_clusters):
            count = np.int32(0)
            for p in range(len(row)):
                count += np.int32(row[p] == c)
            counts[c] = count
        old = row.copy()
        for c in range(n_clusters):
            rank = 0
            for d in range(n_clusters):
                gap = scores[n, d] - scores[n, c]
                rank += counts[c] > 0 and counts[d] > 0 and (gap < 0 or (gap == 0 and d < c))
            place = np.uint8(rank)
            for p in range(len(row)):
                row[p] = place if old[p] == c else row[p]


@nb.njit(cache=True, nogil=True)
def _close_up(labels: Array, n_clusters: int) -> None:
    """Number clusters that are in order already without those that are empty."""
    place = np.empty(n_clusters, np.uint8)
    for n in range(len(labels)):
        row = labels[n]
        used = 0
        for c in range(n_clusters):
            place[c] = used
            count = np.int32(0)
            for p in range(len(row)):
                count += np.int32(row[p] == c)
            used += int(count > 0)
        if used < n_clusters:
            for p in range(len(row)):
                row[p] = place[row[p]]


@nb.njit(cache=True, nogil=True)
def _piece(
    ranks: Array, lowest: Any, radius: int, heavy: Array, out: Array, room: Any
) -> tuple[int, float, float]:
    """The heaviest piece of the clusters from `lowest` up, holes filled, thin parts cut off.

    Returns its pixels, how round it is, and its share of all pieces.
    """
    _, full, discs, runs = room
    pack(ranks, np.uint8(lowest), out)
    fill(out, runs)
    erode_by(out, radius, full, discs)
    share = keep_heaviest(out, heavy, runs)
    dilate_by(out, radius, full, discs)
    area, sides = outline(out)
    return area, 16 * area / max(sides, 1) ** 2, share


@nb.njit(cache=True, nogil=True)
def _chosen(ranks: Array, lowest: int, n_clusters: int, dark: Array, radius: int, room: Any) -> Any:
    """The cell of one image, packed, from its clusters; `dark` holds one image's or none."""
    h, w = ranks.shape
    cell, other, heavy = room[0]
    large = _LARGE * h * w
    both = len(dark) > 0
    # of one type with what varies, or Numba compiles `_piece` twice
    stained = np.int64(1)
    if both:
        area, roundness, share = _piece(dark[0], stained, radius, heavy, cell, room)
        alone = roundness >= _ALONE and share >= _ALL
        if (roundness >= _CELL or alone) and area < large:
            return cell
    area, roundness, share = _piece(ranks, lowest, radius, heavy, cell, room)
    whole = roundness * share
    if lowest < n_clusters - 1 and whole < _RAGGED:
        a, r, s = _piece(ranks, lowest + 1, radius, heavy, other, room)
        if r * s > _ROUNDER * whole and r * s >= _ROUND:
            area, cell, other = a, other, cell
    if lowest > 1:
        a, r, s = _piece(ranks, lowest - 1, radius, heavy, other, room)
        if r * s >= _ROUND and a < large:
            area, cell, other = a, other, cell
    if both and area < _BARE * common(cell, heavy):
        for neck in _NECKS:
            wide = max(1, round(neck * min(h, w) / 96))
            a, r, s = _piece(dark[0], stained, wide, heavy, other, room)
            if r >= _CUT and area < a < large:
                return other
    return cell


@nb.njit(cache=True, nogil=True)
def _cells(
    purple: Array, lowest: int, n_clusters: int, dark: Array, radius: int, out: Array, choose: bool
) -> None:
    """The cell of each image from its clusters by purple and, unless `dark` is empty, by darkness.

    The clusters of darkness are background, what stains at all, and nuclei. Unless there is
    anything to `choose`, the cell is the largest piece of the purple.
    """
    n, h, w = purple.shape
    widest = max(radius, round(_NECKS[-1] * min(h, w) / 96)) if len(dark) else radius
    room = work(h, w, widest)
    cell, _, heavy = room[0]
    for i in range(n):
        if len(dark):
            pack(dark[i], np.uint8(2), heavy)
        if choose:
            cell = _chosen(purple[i], lowest, n_clusters, dark[i : i + 1], radius, room)
        else:
            _piece(purple[i], lowest, radius, heavy, cell, room)
        unpack(cell, out[i])


@nb.njit(cache=True, nogil=True)
def _opened(ranks: Array, lowest: int, radius: int, out: Array) -> None:
    """The clusters from `lowest` up of each image, holes filled and thin parts cut off."""
    n, h, w = ranks.shape
    (mask, cell, _), full, discs, runs = work(h, w, radius)
    for i in range(n):
        pack(ranks[i], np.uint8(lowest), mask)
        fill(mask, runs)
        pack(out[i], np.uint8(1), cell)
        keep_common(mask, cell)
        erode_by(mask, radius, full, discs)
        dilate_by(mask, radius, full, discs)
        unpack(mask, out[i])


def _mend(masks: NDArray[np.uint8], ranks: NDArray[np.uint8]) -> None:
    """The largest piece of the top cluster where a mask is empty or full; one colour: empty."""
    flat = masks.view(np.bool_).reshape(len(masks), -1)
    for i in np.flatnonzero(~flat.any(axis=1) | flat.all(axis=1)):
        masks[i] = largest(ranks[i : i + 1] == max(1, ranks[i].max()))[0]


def _radius(images: NDArray[Any]) -> int:
    """Of the disc that a part of a cell must hold: a ninety-sixth of the shorter side."""
    return max(1, round(min(int(images.shape[1]), int(images.shape[2])) / 96))


def _lowest(foreground: str, n_clusters: int) -> int:
    """Rank of the least dark cluster that is kept."""
    by_name = {"two-darkest": max(n_clusters - 2, 1), "not-brightest": 1}
    return by_name.get(foreground, n_clusters - 1)


def _ranked(images: NDArray[np.uint8], n_clusters: int, space: str, by: str) -> NDArray[np.uint8]:
    """The rank of each pixel's cluster (n, h, w), by `"purple"` or by `"dark"`."""
    n, h, w, _ = images.shape
    features = images if space == "rgb" else to_space(images, space)
    labels, centers = kmeans(features.reshape(n, h * w, -1), n_clusters)
    pixels = images.reshape(n, h * w, 3)
    _number(labels, centers, space, pixels, pixels, by)
    return labels.reshape(n, h, w)


def _number(
    labels: NDArray[np.uint8],
    centers: NDArray[np.float32],
    space: str,
    pixels: NDArray[np.uint8],
    images: NDArray[np.uint8],
    by: str,
) -> None:
    """Number the clusters of some pixels (n, p, 3) of images by how dark or purple they are."""
    n_clusters = centers.shape[1]
    if space == by:
        _close_up(labels, n_clusters)
    else:
        colors = centers if space == "rgb" else _means(pixels, labels, n_clusters)
        _in_order(scores_of(images, colors, by == "dark"), labels)


def _cell(
    images: NDArray[np.uint8], n_clusters: int | None, space: str | None, foreground: str
) -> NDArray[np.bool_]:
    clusters, by = n_clusters or _DEFAULTS["cell"][0], space or _DEFAULTS["cell"][1]
    out = np.empty(images.shape[:3], np.uint8)
    no_dark = np.empty((0, *out.shape[1:]), np.uint8)
    if foreground != "auto":
        ranks = _ranked(images, clusters, by, "dark")
        lowest = _lowest(foreground, clusters)
        _cells(ranks, lowest, lowest, no_dark, _radius(images), out, False)
    else:
        ranks = _ranked(images, clusters, by, "purple")
        plain = n_clusters is None and space is None
        dark = _ranked(images, *_DEFAULTS["nucleus"], "dark") if plain else no_dark
        _cells(ranks, (clusters + 1) // 2, clusters, dark, _radius(images), out, True)
    _mend(out, ranks)
    return out.view(np.bool_)


def _nucleus(
    images: NDArray[np.uint8], n_clusters: int | None, space: str | None, foreground: str
) -> NDArray[np.bool_]:
    clusters, by = n_clusters or _DEFAULTS["nucleus"][0], space or _DEFAULTS["nucleus"][1]
    n, h, w, _ = images.shape
    out = _cell(images, None, None, "auto").view(np.uint8)
    near = dilate(out, round(_RIM * min(h, w) / 96)).reshape(n, h * w)
    features = to_space(images, by).reshape(n, h * w, -1)
    pixels = images.reshape(n, h * w, 3)
    ranks = np.zeros((n, h * w), np.uint8)
    for i in np.flatnonzero(near.any(axis=1)):
        at = np.flatnonzero(near[i])
        labels, centers = kmeans(features[i, at][None], clusters)
        _number(labels, centers, by, pixels[i, at][None], pixels[i : i + 1], "dark")
        ranks[i, at] = labels[0]
    _opened(ranks.reshape(n, h, w), _lowest(foreground, clusters), _radius(images), out)
    _mend(out, ranks.reshape(n, h, w))
    return out.view(np.bool_)


def segment(
    images: NDArray[np.uint8],
    *,
    n_clusters: int | None = None,
    color_space: str | None = None,
    foreground: str = "auto",
    target: str = "cell",
) -> NDArray[np.bool_]:
    """Masks of the one cell, or of its nucleus, that each image shows.

    Each image's pixels fall into clusters [1]_ and some of the clusters are kept; holes are filled
    (a region that the mask encloses) and parts thinner than 1/32 of the image cut off. A cell is
    the connected piece with most of the darkest pixels; a nucleus may lie in several pieces, all
    within the cell.

    By default two clusterings look for the cell. The first has three clusters of darkness:
    background, all that stains, nuclei. Where the stained piece that holds the nucleus is round,
    no red cell touches it, and it is the cell whatever its colour. Elsewhere the second counts:
    four clusters of purple (background, red cells, cytoplasm, nucleus), whose more purple half is
    the cell; one cluster more where that piece stays round and alone, one fewer where the piece is
    ragged and would become round. If nothing but the nucleus is found so, the cytoplasm has the
    red cells' purple: then it is the stained piece once more, cut off from the red cells at its
    necks, if that is round.

    Parameters
    ----------
    images : (n, h, w, 3) uint8, RGB, h and w at least 8.
    n_clusters : 2 to 8; by default as above for a cell, and 3 for a nucleus: what surrounds the
        cell, cytoplasm, nucleus, among the pixels of the cell and a rim around it.
    color_space : ``"rgb"``, ``"lab"``, ``"chroma"``, ``"stain"``, ``"purple"`` or ``"dark"`` (see
        `cellprep.kernels.spaces.to_space`); by default as above for a cell, ``"dark"`` for a
        nucleus.
    foreground : which clusters are kept.

        - ``"auto"``: for a nucleus, the darkest. For a cell, the rule above; where `n_clusters` or
          `color_space` is named there is one clustering, of which the more purple half counts.
        - ``"darkest"``, ``"two-darkest"``, ``"not-brightest"``: by the clusters' mean darkness.
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
    find = _cell if target == "cell" else _nucleus
    images = np.ascontiguousarray(images)
    out = np.empty(images.shape[:3], np.bool_)
    for start in range(0, len(images), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = find(images[block], n_clusters, color_space, foreground)
    return out
