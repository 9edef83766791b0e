"""Which clusters make up the cell: fill, cut, keep one piece, compare pieces by their roundness.

Roundness is 16 area / perimeter^2, with the perimeter in pixel sides: 1 for a square, 0.79 for a
disc.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiling import kernel
from .bits import count_common, empty_masks, intersect, outline, pack, unpack
from .components import buffers_for_runs, fill_holes, keep_heaviest
from .morphology import buffers_for_discs, dilate, erode

Array = NDArray[Any]

# A dark piece with a nucleus is the cell if it is this round, or less round but nearly all
# that is dark.
_ROUND_DARK, _ROUND_ALONE, _ALONE = 0.6, 0.5, 0.9
# With one more purple cluster the piece is the cell if its roundness times its share still reaches
# the first value. With one fewer it is if the piece was more ragged than the second, and the new
# one reaches the first and is better by the third as a factor.
_ROUND, _RAGGED, _ROUNDER = 0.4, 0.3, 1.3
# No cell is larger than this fraction of the image.
_LARGE = 0.5
# A piece hardly larger than its dark part has lost its cytoplasm. It is then looked for in all that
# is dark, with red cells cut off by discs of these radii, in 96ths of the side, if the result is
# this round.
_BARE, _NECKS, _ROUND_CUT = 1.15, (4, 6, 8), 0.65

# A variable of the type of a varying margin, or Numba would compile `_buffers` twice.
_THIN = np.int64(1)


@kernel
def _buffers(h: int, w: int, margin: Any) -> tuple[Any, Any, Any]:
    """Three packed masks, buffers for discs of a radius up to `margin`, and for runs."""
    masks = empty_masks(3, h, w, margin)
    discs = buffers_for_discs(h, w, margin)
    return (masks[0], masks[1], masks[2]), discs, buffers_for_runs(masks[0].size)


@kernel
def _piece(
    ranks: Array, lowest: Any, radius: int, heavy: Array, out: Array, buffers: Any
) -> tuple[int, float, float]:
    """The heaviest piece of the clusters from `lowest` up, holes filled, thin parts cut off.

    Returns its area, its roundness and its share of all pieces.
    """
    _, discs, runs = buffers
    pack(ranks, np.uint8(lowest), out)
    fill_holes(out, runs)
    erode(out, radius, discs)
    share = keep_heaviest(out, heavy, runs)
    dilate(out, radius, discs)
    area, sides = outline(out)
    return area, 16 * area / max(sides, 1) ** 2, share


@kernel
def _best_piece(
    ranks: Array, lowest: int, n_clusters: int, dark: Array, radius: int, buffers: Any
) -> Any:
    """The cell of one image, packed, from its clusters; `dark` (1, h, w) may be empty."""
    h, w = ranks.shape
    cell, other, heavy = buffers[0]
    large = _LARGE * h * w
    both = len(dark) > 0
    stained = np.int64(1)  # of the type of `lowest`, or Numba would compile `_piece` twice
    if both:
        area, roundness, share = _piece(dark[0], stained, radius, heavy, cell, buffers)
        alone = roundness >= _ROUND_ALONE and share >= _ALONE
        if (roundness >= _ROUND_DARK or alone) and area < large:
            return cell
    area, roundness, share = _piece(ranks, lowest, radius, heavy, cell, buffers)
    whole = roundness * share
    if lowest < n_clusters - 1 and whole < _RAGGED:
        a, r, s = _piece(ranks, lowest + 1, radius, heavy, other, buffers)
        if r * s > _ROUNDER * whole and r * s >= _ROUND:
            area, cell, other = a, other, cell
    if lowest > 1:
        a, r, s = _piece(ranks, lowest - 1, radius, heavy, other, buffers)
        if r * s >= _ROUND and a < large:
            area, cell, other = a, other, cell
    if both and area < _BARE * count_common(cell, heavy):
        for neck in _NECKS:
            wide = max(1, round(neck * min(h, w) / 96))
            a, r, s = _piece(dark[0], stained, wide, heavy, other, buffers)
            if r >= _ROUND_CUT and area < a < large:
                return other
    return cell


@kernel
def find_cells(
    purple: Array, lowest: int, n_clusters: int, dark: Array, radius: int, out: Array, choose: bool
) -> None:
    """Write to `out` the cell of each image, from its ranks of purple and of darkness, if given.

    The clusters of darkness are background, all that stains, and nuclei. Unless `choose` allows
    other clusters, the cell is the heaviest piece of the purple ones from `lowest` up.
    """
    n, h, w = purple.shape
    widest = max(radius, round(_NECKS[-1] * min(h, w) / 96)) if len(dark) else radius
    buffers = _buffers(h, w, widest)
    cell, _, heavy = buffers[0]
    for i in range(n):
        if len(dark):
            pack(dark[i], np.uint8(2), heavy)
        if choose:
            cell = _best_piece(purple[i], lowest, n_clusters, dark[i : i + 1], radius, buffers)
        else:
            _piece(purple[i], lowest, radius, heavy, cell, buffers)
        unpack(cell, out[i])


@kernel
def find_nuclei(ranks: Array, lowest: int, radius: int, masks: Array) -> None:
    """Replace cells by their clusters from `lowest` up, holes filled and thin parts cut off."""
    n, h, w = ranks.shape
    (nucleus, cell, _), discs, runs = _buffers(h, w, radius)
    for i in range(n):
        pack(ranks[i], np.uint8(lowest), nucleus)
        fill_holes(nucleus, runs)
        pack(masks[i], np.uint8(1), cell)
        intersect(nucleus, cell)
        erode(nucleus, radius, discs)
        dilate(nucleus, radius, discs)
        unpack(nucleus, masks[i])


@kernel
def keep_largest(masks: Array) -> None:
    """Clear all components of each mask (n, h, w) but the largest."""
    n, h, w = masks.shape
    (bits, _, _), _, runs = _buffers(h, w, _THIN)
    for i in range(n):
        pack(masks[i], np.uint8(1), bits)
        keep_heaviest(bits, bits, runs)
        unpack(bits, masks[i])


@kernel
def widen(masks: Array, radius: int) -> None:
    """Dilate each mask (n, h, w) with a disc."""
    n, h, w = masks.shape
    (bits, _, _), discs, _ = _buffers(h, w, max(radius, _THIN))
    for i in range(n):
        pack(masks[i], np.uint8(1), bits)
        dilate(bits, radius, discs)
        unpack(bits, masks[i])
