"""Drawn (synthetic) microscope photographs of stained blood cells, for tests and examples.

Nothing here is a photograph. A picture gets its colours the way a smear does: each layer (red
cells, cytoplasm, granules, nucleus) has a stain and a thickness, and light keeps
`exp(-stain * thickness)` of itself on its way through, so overlapping layers darken each other.
Shapes are signed distances, negative inside, in parts of the image's side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

Images: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.int64]
Field: TypeAlias = NDArray[np.float32]  # one value a pixel, or (k, 2) places: x, y from the middle
Range: TypeAlias = tuple[float, float]
Colour: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class CellKind:
    """How one class looks: lengths in parts of the image's side, colours as seen on white glass."""

    radius: Range
    body: Colour  # of the cytoplasm
    nucleus: Colour | None
    grain: Colour
    lobes: tuple[int, int] = (1, 1)  # fewest and most; they sit on a bent line
    lobe: Range = (0.5, 0.5)  # radius of a lobe, in parts of the cell's
    waist: float = 1.0  # thickness between two lobes, in parts of a lobe's
    line: float = 0.0  # length of the line through the lobes, in parts of the cell's radius
    bend: Range = (0.0, 0.0)  # how far that line turns, in radians
    clumps: float = 0.2  # how uneven the nucleus is
    size: float = 0.008  # of a granule
    gap: float = 0.03  # between granules
    rich: float = 0.5  # how strongly granules stain
    over: float = 0.0  # how much of them shows over the nucleus
    pieces: tuple[int, int] = (1, 1)  # fewest and most fragments
    ragged: float = 0.012  # how far the outline strays


# fmt: off
KINDS = {
    "basophil": CellKind(
        radius=(0.23, 0.27), body=(186, 160, 206), nucleus=(146, 108, 176), grain=(84, 42, 112),
        lobes=(2, 3), lobe=(0.40, 0.50), waist=0.7, line=0.7, bend=(1.0, 2.5), clumps=0.3,
        size=0.016, gap=0.046, rich=1.0, over=0.9),
    "eosinophil": CellKind(
        radius=(0.25, 0.29), body=(234, 190, 206), nucleus=(118, 76, 160), grain=(214, 92, 116),
        lobes=(2, 2), lobe=(0.36, 0.42), waist=0.25, line=1.05, bend=(0.4, 1.9),
        size=0.011, gap=0.030, rich=0.95, over=0.06),
    "erythroblast": CellKind(
        radius=(0.17, 0.21), body=(194, 164, 182), nucleus=(84, 52, 108), grain=(170, 150, 176),
        lobe=(0.50, 0.62), clumps=0.14, rich=0.15),
    "immature granulocyte": CellKind(
        radius=(0.30, 0.35), body=(182, 172, 214), nucleus=(152, 98, 176), grain=(128, 70, 150),
        lobes=(1, 2), lobe=(0.62, 0.70), waist=0.9, line=0.3, bend=(0.2, 1.2),
        gap=0.032, rich=0.6, over=0.25),
    "lymphocyte": CellKind(
        radius=(0.19, 0.23), body=(176, 188, 228), nucleus=(108, 70, 154), grain=(150, 90, 170),
        lobe=(0.74, 0.84), rich=0.1),
    "monocyte": CellKind(
        radius=(0.30, 0.36), body=(184, 180, 208), nucleus=(126, 86, 160), grain=(150, 120, 180),
        lobes=(2, 2), lobe=(0.28, 0.36), waist=0.95, line=1.5, bend=(2.6, 4.0),
        size=0.007, rich=0.25, ragged=0.020),
    "neutrophil": CellKind(
        radius=(0.25, 0.29), body=(234, 204, 216), nucleus=(106, 64, 154), grain=(196, 132, 176),
        lobes=(3, 5), lobe=(0.24, 0.30), waist=0.22, line=2.0, bend=(2.2, 4.6),
        size=0.007, gap=0.026),
    "platelet": CellKind(
        radius=(0.07, 0.11), body=(202, 180, 218), nucleus=None, grain=(122, 74, 158),
        size=0.010, gap=0.026, rich=0.9, pieces=(1, 3), ragged=0.024),
}
# fmt: on
CLASS_NAMES = tuple(KINDS)
RED_CELL: Colour = (222, 160, 156)

# The competition's 13,759 images: good ones of each class, and copies of two outlier pictures.
GOOD_COUNTS = (852, 2181, 1085, 2026, 849, 993, 2330, 1643)
OUTLIER_COPIES = 200  # of the first picture under every label, of the second under one
OUTLIER_LABEL = CLASS_NAMES.index("monocyte")
SMALLEST_MESS, SMALLEST_SIDE = 400, 16


def draw_cells(counts: Sequence[int], *, side: int = 96, seed: int = 0) -> tuple[Images, Labels]:
    """Draw `counts[k]` cells of each class `k` of `CLASS_NAMES`, in that order.

    Image `i` of a class depends on the seed, the class, `i` and `side` alone, so asking for more
    keeps those already drawn. Another NumPy or processor may round a pixel differently.

    Parameters
    ----------
    counts : 8 integers, one for each class, 0 or more.
    side : height and width in pixels, 16 or more.
    seed : integer, 0 or more.

    Returns
    -------
    images : (n, side, side, 3) uint8, RGB, where n is the sum of `counts`.
    labels : (n,) int64.

    Examples
    --------
    >>> images, labels = draw_cells([0, 1, 0, 0, 0, 0, 2, 0], side=48)
    >>> images.shape, images.dtype, labels.tolist()
    ((3, 48, 48, 3), dtype('uint8'), [1, 6, 6])
    """
    if len(counts) != len(CLASS_NAMES) or min(counts) < 0:
        raise ValueError(f"`counts` must be {len(CLASS_NAMES)} numbers >= 0, got {list(counts)}.")
    if side < SMALLEST_SIDE:
        raise ValueError(f"`side` must be at least {SMALLEST_SIDE} pixels, got {side}.")
    labels = np.repeat(np.arange(len(CLASS_NAMES), dtype=np.int64), counts)
    images = np.empty((len(labels), side, side, 3), np.uint8)
    places = (place for count in counts for place in range(count))
    for image, label, place in zip(images, labels.tolist(), places, strict=True):
        rng = default_rng(SeedSequence(seed, spawn_key=(label, place)))
        image[:] = _draw_cell(KINDS[CLASS_NAMES[label]], side, rng)
    return images, labels


def draw_messy_set(n: int = 2400, *, side: int = 96, seed: int = 0) -> tuple[Images, Labels]:
    """Draw a set with the faults of a known competition's 13,759 images, in proportion.

    Beside good cells it holds a cartoon under every label and a test card under monocyte alone, as
    often as `mess_counts(n)` says. 8 of the good cells come twice, one in each class.

    Parameters
    ----------
    n : number of images, 400 or more.
    side, seed : as in `draw_cells`.

    Returns
    -------
    images : (n, side, side, 3) uint8, RGB, in an order shuffled by the seed.
    labels : (n,) int64.

    Examples
    --------
    >>> images, labels = draw_messy_set(400, side=16)
    >>> len(images), len(np.unique(images, axis=0))  # 48 + 6 outliers are 2 pictures, 8 are repeats
    (400, 340)
    """
    good, cartoons, cards = mess_counts(n)
    distinct = [count - 1 for count in good]
    cells, labels = draw_cells(distinct, side=side, seed=seed)
    gallery = np.concatenate([cells, [_cartoon(side), _test_card(side)]])
    firsts = np.cumsum([0, *distinct[:-1]])
    classes = np.arange(len(CLASS_NAMES))
    copies = cartoons * len(classes)
    rows = np.r_[: len(cells), firsts, [len(cells)] * copies, [len(cells) + 1] * cards]
    labels = np.r_[labels, classes, np.repeat(classes, cartoons), [OUTLIER_LABEL] * cards]
    order = default_rng(SeedSequence(seed, spawn_key=(len(classes),))).permutation(n)
    return gallery[rows[order]], labels[order]


def mess_counts(n: int) -> tuple[list[int], int, int]:
    """Scale the competition's set to `n` images.

    Returns
    -------
    good : images of each class, both of its pair included.
    cartoons : copies of the first outlier under each of the 8 labels, 2 or more.
    cards : copies of the second, all under one label, 5 or more.

    Examples
    --------
    >>> mess_counts(2400)
    ([149, 380, 189, 353, 148, 173, 407, 286], 35, 35)
    """
    if n < SMALLEST_MESS:
        raise ValueError(f"`n` must be at least {SMALLEST_MESS} images, got {n}.")
    whole = sum(GOOD_COUNTS) + (len(GOOD_COUNTS) + 1) * OUTLIER_COPIES
    copies = round(n * OUTLIER_COPIES / whole)
    first, second = max(2, copies), max(5, copies)
    # Rounding the running total, not each count, makes the counts add up.
    total = n - len(GOOD_COUNTS) * first - second
    ends = np.rint(np.cumsum([0, *GOOD_COUNTS]) * (total / sum(GOOD_COUNTS))).astype(int)
    return [int(count) for count in np.diff(ends)], first, second


# Brushes


@lru_cache(maxsize=4)
def _grid(side: int) -> Field:
    """Return the middles of the pixels, (2, side, side): x, then y, from -0.5 to 0.5."""
    line = ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)
    return np.stack(np.meshgrid(line, line))


@lru_cache(maxsize=8)
def _clouds(side: int, scale: float) -> Field:
    """Return a tile of smooth noise, mean 0 and deviation 1, larger than an image."""
    size = max(256, 2 * side)
    soft = np.exp(-2 * (np.pi * scale * side * np.fft.fftfreq(size)) ** 2)
    white = np.fft.fft2(default_rng(round(1e4 * scale)).standard_normal((size, size)))
    tile = np.fft.ifft2(white * soft * soft[:, None]).real
    return np.asarray(tile / tile.std(), np.float32)


def _noise(side: int, scale: float, rng: Generator) -> Field:
    """Cut a window from the clouds at random: far cheaper than smoothing fresh noise."""
    tile = _clouds(side, scale)
    top, left = rng.integers(0, len(tile) - side, 2)
    return tile[top : top + side, left : left + side]


def _cover(distance: Field, softness: float = 2.0) -> Field:
    """Return how much of each pixel a shape covers, 0 to 1, its edge `softness` pixels wide."""
    cover: Field = np.clip(0.5 - distance * (distance.shape[-1] / softness), 0, 1)
    return cover


def _discs(grid: Field, places: Field, radii: Field) -> Field:
    """Return the distance to each of k discs, (k, side, side)."""
    x, y = grid[:, None] - places.T[:, :, None, None]
    distances: Field = np.sqrt(x * x + y * y) - radii[:, None, None]
    return distances


def _melt(distances: Field, reach: float) -> Field:
    """Join k shapes into one, their joints rounded over `reach`: a smooth minimum."""
    nearest = distances.min(axis=0)
    joined: Field = nearest - reach * np.log(np.exp((nearest - distances) / reach).sum(axis=0))
    return joined


def _line(distance: Field, width: float) -> Field:
    """Return a soft line along a shape's edge, 1 on the edge itself."""
    line: Field = np.exp(-((distance / width) ** 2))
    return line


def _blur(fields: Field, sigma: float) -> Field:
    """Blur the last two axes by a Gaussian of `sigma` pixels, cut off at three, edges repeated."""
    reach = max(1, round(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1, dtype=np.float32) / sigma) ** 2)
    weights /= weights.sum()
    # Shifted sums, not a matrix product: on small matrices BLAS threads cost far more than they do.
    for axis in (-1, -2):
        side = fields.shape[axis]
        pad = [(0, 0)] * fields.ndim
        pad[axis] = (reach, reach)
        padded = np.moveaxis(np.pad(fields, pad, "edge"), axis, 0)
        total = sum(weight * padded[k : k + side] for k, weight in enumerate(weights))
        fields = np.moveaxis(np.asarray(total, np.float32), 0, axis)
    return fields


def _turned(angle: float) -> Field:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)


def _grains(side: int, kind: CellKind, rng: Generator) -> Field:
    """Scatter soft dots over the whole image: a turned lattice, its places and strengths uneven."""
    lattice = np.mgrid[-0.75 : 0.75 : kind.gap, -0.75 : 0.75 : kind.gap].reshape(2, -1).T
    places = lattice @ _turned(rng.uniform(0, np.pi)) + rng.normal(0, 0.3 * kind.gap, lattice.shape)
    places = (places[(np.abs(places) < 0.5 - 1 / side).all(axis=1)] + 0.5) * side - 0.5
    corner = places.astype(int)
    right, down = (places - corner).T
    weight = rng.uniform(0.4, 1.0, len(places))
    pixel = corner[:, 1] * side + corner[:, 0]
    at = np.concatenate([pixel, pixel + 1, pixel + side, pixel + side + 1])
    # A dot between four pixels is shared among them.
    shares = [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
    dots = np.bincount(at, (weight * shares).ravel(), side * side).reshape(side, side)
    sigma = kind.size * side
    return _blur(dots.astype(np.float32), sigma) * (2 * np.pi * sigma**2)


# Cells


def _nucleus(kind: CellKind, radius: float, rng: Generator) -> tuple[Field, Field]:
    """Thread beads on a bent line, thick in lobes, thin between: places (k, 2), radii (k,)."""
    lobes = int(rng.integers(kind.lobes[0], kind.lobes[1] + 1))
    lobe = np.arange(lobes)
    along = np.linspace(0, lobes - 1, 5 * lobes - 4)
    bend = rng.uniform(*kind.bend) + 1e-3
    heading = bend * (along / max(lobes - 1, 1) - 0.5)
    line = np.stack([np.sin(heading), -np.cos(heading)]) * (kind.line * radius / bend)
    stray = rng.normal(0, 0.1 * kind.line * radius / lobes, (2, lobes))
    line += [np.interp(along, lobe, axis) for axis in stray]
    thick = kind.waist + (1 - kind.waist) * np.cos(np.pi * along) ** 2
    plump = rng.uniform(*kind.lobe) * radius * rng.uniform(0.88, 1.08, lobes)
    radii = thick * np.interp(along, lobe, plump)
    places = line.T - line.mean(axis=1) + rng.normal(0, 0.06 * radius, 2)
    out = np.linalg.norm(places, axis=1) / np.maximum(0.94 * radius - radii, 1e-3)
    places /= np.maximum(out, 1)[:, None]  # all of it stays inside the cell
    return places.astype(np.float32), radii.astype(np.float32)


def _red_cells(grid: Field, middle: Field, radius: float, rng: Generator) -> Field:
    """Return the thickness of the red cells around a cell: discs, pale in the middle."""
    places = rng.uniform(-0.62, 0.62, (40, 2)).astype(np.float32)
    radii = (rng.uniform(0.125, 0.150) * rng.uniform(0.9, 1.1, 40)).astype(np.float32)
    apart = np.linalg.norm(places[:, None] - places, axis=2) > 0.93 * (radii[:, None] + radii)
    free = np.linalg.norm(places - middle, axis=1) > radius + 0.97 * radii
    kept: list[int] = []
    for i in np.flatnonzero(free).tolist():
        if apart[i, kept].all():
            kept.append(i)
    few = np.array(kept[: rng.integers(3, 15)], int)
    distance = _discs(grid, places[few], radii[few])
    depth = np.maximum(-distance / radii[few, None, None], 0)  # 0 at the edge, 1 in the middle
    dip = np.clip(2.2 * depth - 0.5, 0, 1)
    pallor = rng.uniform(0.25, 0.6) * dip * dip * (3 - 2 * dip)
    thickness: Field = (_cover(distance) * (1 + 0.25 * np.exp(-8 * depth) - pallor)).sum(axis=0)
    return thickness


def _draw_cell(kind: CellKind, side: int, rng: Generator) -> Images:
    """Photograph one cell: its shape, what stains in it, the light, the sensor."""
    grid = _grid(side)
    radius, middle = rng.uniform(*kind.radius), rng.normal(0, 0.022, 2).astype(np.float32)
    bumps = np.stack([_noise(side, 0.08, rng), _noise(side, 0.08, rng)])  # no cell is a circle
    own = grid + kind.ragged * bumps - middle[:, None, None]
    squeeze = np.array([[1], [rng.uniform(1, 1.12)]], np.float32)
    own = np.einsum("ij,jyx->iyx", squeeze * _turned(rng.uniform(0, 2 * np.pi)), own)

    pieces = int(rng.integers(kind.pieces[0], kind.pieces[1] + 1))
    apart = rng.normal(0, 1.1 * radius, (pieces, 2)) * (pieces > 1)
    sizes = radius * (rng.uniform(0.7, 1.0, pieces) if pieces > 1 else np.ones(1))
    cell = _discs(own, apart.astype(np.float32), sizes.astype(np.float32)).min(axis=0)
    body = _cover(cell) * (1 + 0.16 * _noise(side, 0.02, rng) + 0.35 * _line(cell, 0.012))
    grains = kind.rich * _grains(side, kind, rng) * _cover(cell + kind.size)
    layers = [(_red_cells(grid + 0.008 * bumps, middle, radius * min(pieces, 2), rng), RED_CELL)]
    if kind.nucleus:
        nucleus = _melt(_discs(own, *_nucleus(kind, radius, rng)), 0.006)
        dense = _cover(nucleus)
        clumps = 1 + kind.clumps * _noise(side, 0.016, rng) + 0.25 * _line(nucleus, 0.014)
        layers.append((dense * np.maximum(clumps, 0.2), kind.nucleus))
        body, grains = body * (1 - 0.8 * dense), grains * (1 - (1 - kind.over) * dense)
    layers += [(body, kind.body), (grains, kind.grain)]

    dyes = rng.normal(1, 0.08) * rng.normal(1, 0.035, 3)  # no two smears are stained alike
    stains = -np.log(np.array([colour for _, colour in layers]) / 255) * dyes
    thickness = np.stack([field for field, _ in layers])
    through = np.exp(-np.einsum("kyx,kc->cyx", thickness, stains.astype(np.float32)))
    lamp = np.array([250, 236, 228]) * rng.normal(1, [0.012, 0.016, 0.022])
    slope = rng.normal(0, 0.06, (2, 1, 1)).astype(np.float32)
    light = 1 + (slope * grid - 0.12 * grid**2).sum(axis=0)  # brightest near the middle
    through *= light * lamp.astype(np.float32)[:, None, None]
    photo = _blur(through, rng.uniform(0.4, 0.8) * side / 96)
    photo += 2 * rng.standard_normal(photo.shape, np.float32)
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8).transpose(1, 2, 0)


# The two outliers: plainly no cells

GREEN, DARK, CREAM = (98, 178, 74), (34, 62, 38), (250, 250, 240)
FROG = (  # discs: x, y, radius, width in parts of height, colour; each drawn left and right
    (0.00, 0.52, 0.250, 1.50, (74, 148, 62)), (0.00, 0.11, 0.290, 1.35, GREEN),  # shoulders, head
    (0.00, 0.09, 0.205, 1.30, DARK), (0.00, 0.06, 0.205, 1.45, GREEN),  # what is left is a smile
    (0.20, -0.20, 0.145, 1.00, GREEN), (0.20, -0.21, 0.100, 1.00, CREAM),  # eyes
    (0.18, -0.20, 0.055, 1.00, DARK), (0.16, -0.22, 0.018, 1.00, CREAM),
    (0.29, 0.12, 0.045, 1.30, (240, 150, 140)), (0.04, 0.00, 0.012, 1.00, DARK),  # cheeks, nostrils
)  # fmt: skip


def _paint(picture: Field, cover: Field, colour: Colour) -> None:
    """Lay a colour over the covered part of a (side, side, 3) picture, in place."""
    picture += cover[..., None] * (np.array(colour, np.float32) - picture)


def _cartoon(side: int) -> Images:
    """Draw a smiling frog before a blue sky."""
    x, y = _grid(side)
    picture = np.stack([185 + 90 * y, 220 + 30 * y, np.full_like(y, 250)], axis=-1)
    for x0, y0, radius, wide, colour in FROG:
        for mirror in (-1, 1):
            _paint(picture, _cover(np.hypot((x - mirror * x0) / wide, y - y0) - radius), colour)
    return np.asarray(picture, np.uint8)


def _test_card(side: int) -> Images:
    """Draw a television test card: colour bars, a ramp of greys, a ring and a cross."""
    x, y = _grid(side)
    eighth = ((x + 0.5) * 8).astype(int)[..., None]
    bars = 30 + 190 * ((7 - eighth) >> np.array([1, 2, 0]) & 1)
    picture = np.where(y[..., None] < 0.2, bars, 30 + 27 * eighth).astype(np.float32)
    from_ring = np.hypot(x, y) - 0.38
    cross = np.maximum(np.minimum(np.abs(x), np.abs(y)) - 0.006, from_ring)
    _paint(picture, _cover(np.minimum(np.abs(from_ring) - 0.012, cross)), CREAM)
    return np.asarray(picture, np.uint8)
