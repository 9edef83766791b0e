"""Masks of the stained cell in each image, by K-Means of that image's own colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import FOREGROUNDS, TARGETS
from .cell import find_cells, find_nuclei, keep_largest, widen
from .kmeans import kmeans
from .ranking import rank_clusters
from .spaces import to_space

# Number of clusters and colour space where neither is given.
_DEFAULTS = {"cell": (4, "purple"), "nucleus": (3, "dark")}
_RIM = 6  # width, in 96ths of the side, of the rim around a cell that its nucleus is compared with
_BLOCK = 16  # images per block, so that features and labels stay in cache


def _radius(images: NDArray[Any]) -> int:
    """Radius of the disc that every part of a cell must contain: 1/96 of the shorter side."""
    return max(1, round(min(int(images.shape[1]), int(images.shape[2])) / 96))


def _lowest(foreground: str, n_clusters: int) -> int:
    """Rank of the least dark cluster that is kept."""
    by_name = {"two-darkest": max(n_clusters - 2, 1), "not-brightest": 1}
    return by_name.get(foreground, n_clusters - 1)


def _ranks(images: NDArray[np.uint8], n_clusters: int, space: str, by: str) -> NDArray[np.uint8]:
    """The rank of each pixel's cluster (n, h, w), by `"purple"` or by `"dark"`."""
    n, h, w, _ = images.shape
    features = images if space == "rgb" else to_space(images, space)
    labels, centers = kmeans(features.reshape(n, h * w, -1), n_clusters)
    pixels = images.reshape(n, h * w, 3)
    rank_clusters(labels, centers, space, pixels, pixels, by)
    return labels.reshape(n, h, w)


def _replace_trivial(masks: NDArray[np.uint8], ranks: NDArray[np.uint8]) -> None:
    """Replace empty and full masks by the largest piece of the top cluster, if there is one."""
    flat = masks.view(np.bool_).reshape(len(masks), -1)
    for i in np.flatnonzero(~flat.any(axis=1) | flat.all(axis=1)):
        masks[i] = ranks[i] == max(1, ranks[i].max())
        keep_largest(masks[i : i + 1])


def _cells(
    images: NDArray[np.uint8], n_clusters: int | None, space: str | None, foreground: str
) -> NDArray[np.bool_]:
    clusters, by = n_clusters or _DEFAULTS["cell"][0], space or _DEFAULTS["cell"][1]
    out = np.empty(images.shape[:3], np.uint8)
    no_dark = np.empty((0, *out.shape[1:]), np.uint8)
    if foreground != "auto":
        ranks = _ranks(images, clusters, by, "dark")
        lowest = _lowest(foreground, clusters)
        find_cells(ranks, lowest, lowest, no_dark, _radius(images), out, False)
    else:
        ranks = _ranks(images, clusters, by, "purple")
        default = n_clusters is None and space is None
        dark = _ranks(images, *_DEFAULTS["nucleus"], "dark") if default else no_dark
        find_cells(ranks, (clusters + 1) // 2, clusters, dark, _radius(images), out, True)
    _replace_trivial(out, ranks)
    return out.view(np.bool_)


def _nuclei(
    images: NDArray[np.uint8], n_clusters: int | None, space: str | None, foreground: str
) -> NDArray[np.bool_]:
    clusters, by = n_clusters or _DEFAULTS["nucleus"][0], space or _DEFAULTS["nucleus"][1]
    n, h, w, _ = images.shape
    out = _cells(images, None, None, "auto").view(np.uint8)
    near = out.copy()
    widen(near, round(_RIM * min(h, w) / 96))
    near = near.reshape(n, h * w)
    features = to_space(images, by).reshape(n, h * w, -1)
    pixels = images.reshape(n, h * w, 3)
    ranks = np.zeros((n, h * w), np.uint8)
    for i in np.flatnonzero(near.any(axis=1)):
        at = np.flatnonzero(near[i])
        labels, centers = kmeans(features[i, at][None], clusters)
        rank_clusters(labels, centers, by, pixels[i, at][None], pixels[i : i + 1], "dark")
        ranks[i, at] = labels[0]
    find_nuclei(ranks.reshape(n, h, w), _lowest(foreground, clusters), _radius(images), out)
    _replace_trivial(out, ranks.reshape(n, h, w))
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

    Each image's pixels are clustered [1]_ and some of the clusters are kept. Holes are filled and
    parts thinner than 1/32 of the image are cut off. A cell is the connected piece with most of the
    darkest pixels; a nucleus may consist of several pieces, all within the cell.

    By default two clusterings look for the cell. The first has three clusters of darkness:
    background, all that stains, nuclei. If the stained piece that contains the nucleus is round,
    no red cell touches it, and it is the cell whatever its colour. Otherwise the second decides:
    four clusters of purple (background, red cells, cytoplasm, nucleus), whose more purple half is
    the cell. One more cluster is added if the piece then stays round and separate; one fewer is
    used if the piece is ragged and becomes round. If this finds the nucleus alone, the cytoplasm is
    as purple as red cells: then the cell is the stained piece again, cut off from red cells at
    its necks, provided that the result is round.

    Parameters
    ----------
    images : (n, h, w, 3) uint8
        RGB, h and w at least 8.
    n_clusters : int, optional
        2 to 8; by default as above for a cell, and 3 for a nucleus: surroundings, cytoplasm and
        nucleus, among the pixels of the cell and a rim around it.
    color_space : str, optional
        ``"rgb"``, ``"lab"``, ``"chroma"``, ``"stain"``, ``"purple"`` or ``"dark"`` (see
        `cellprep.kernels.segment.spaces.to_space`); by default as above for a cell, ``"dark"`` for
        a nucleus.
    foreground : str
        Which clusters are kept.

        - ``"auto"``: for a nucleus, the darkest. For a cell, as described above; if `n_clusters` or
          `color_space` is given, the more purple half of a single clustering.
        - ``"darkest"``, ``"two-darkest"``, ``"not-brightest"``: by the clusters' mean darkness.
    target : ``"cell"`` or ``"nucleus"``.

    Returns
    -------
    (n, h, w) bool. Never full. Empty only for an image of one colour, or of one value in
    `color_space` (``"purple"`` ignores red). If the steps above leave nothing or everything, the
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
    find = _cells if target == "cell" else _nuclei
    images = np.ascontiguousarray(images)
    out = np.empty(images.shape[:3], np.bool_)
    for start in range(0, len(images), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = find(images[block], n_clusters, color_space, foreground)
    return out
