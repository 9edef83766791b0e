"""Synthetic microscope images of stained blood cells, for tests and examples.

Colours result from absorption, as in a stained smear: each layer (red cells, cytoplasm, granules,
nucleus) has a stain and a thickness and transmits `exp(-stain * thickness)` of the light, so
overlapping layers darken each other. Shapes are signed distances, negative inside. Lengths are
fractions of the image's side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

__all__ = ["CLASS_NAMES", "SMALLEST_MESS", "draw_cells", "draw_messy_set", "mess_counts"]

Images: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.int64]
Field: TypeAlias = NDArray[
    np.float32
]  # one value per pixel; or points (k, 2): x, y from the centre
Range: TypeAlias = tuple[float, float]
Colour: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class CellKind:
    """The appearance of one class; colours as seen on clear glass."""

    radius: Range
    body: Colour  # of the cytoplasm
    nucleus: Colour | None
    grain: Colour
    lobes: tuple[int, int] = (1, 1)  # minimum and maximum number; they are on a bent line
    lobe: Range = (0.5, 0.5)  # radius of a lobe relative to that of the cell
    waist: float = 1.0  # thickness between two lobes relative to a lobe
    line: float = 0.0  # length of the line through the lobes relative to the cell's radius
    bend: Range = (0.0, 0.0)  # bend of that line, in radians
    clumps: float = 0.2  # unevenness of the nucleus
    size: float = 0.008  # of a granule
    gap: float = 0.03  # between granules
    rich: float = 0.5  # staining of the granules
    over: float = 0.0  # visibility of granules over the nucleus
    pieces: tuple[int, int] = (1, 1)  # minimum and maximum number of fragments
    ragged: float = 0.012  # irregularity of the outline


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

# The 13,759 images of a course competition on blood cells: regular images of each class, and
# copies of two outlier images.
GOOD_COUNTS = (852, 2181, 1085, 2026, 849, 993, 2330, 1643)
OUTLIER_COPIES = 200  # of the first outlier under every label, of the second under one
OUTLIER_LABEL = CLASS_NAMES.index("monocyte")
SMALLEST_MESS, SMALLEST_SIDE = 400, 16


def draw_cells(counts: Sequence[int], *, side: int = 96, seed: int = 0) -> tuple[Images, Labels]:
    """Generate `counts[k]` cells of each class `k` of `CLASS_NAMES`, in that order.

    Image `i` of a class depends only on the seed, the class, `i` and `side`, so larger counts add
    images without changing the others. Another NumPy or processor may round a pixel differently.

    Parameters
    ----------
    counts : sequence of 8 int, the number of images of each class
    side : int, height and width in pixels, at least 16
    seed : int, at least 0

    Returns
    -------
    images : (n, side, side, 3) uint8, RGB, where n is the sum of `counts`
    labels : (n,) int64

    Examples
    --------
    >>> images, labels = draw_cells([0, 1, 0, 0, 0, 0, 2, 0], side=48)
    >>> images.shape, images.dtype, labels.tolist()
    ((3, 48, 48, 3), dtype('uint8'), [1, 6, 6])
    """
    if len(counts) != len(CLASS_NAMES) or min(counts) < 0:
        raise ValueError(f"`counts` must be {len(CLASS_NAMES)} numbers >= 0, got {list(counts)}")
    if side < SMALLEST_SIDE:
        raise ValueError(f"`side` must be at least {SMALLEST_SIDE} pixels, got {side}")
    labels = np.repeat(np.arange(len(CLASS_NAMES), dtype=np.int64), counts)
    images = np.empty((len(labels), side, side, 3), np.uint8)
    numbers = (number for count in counts for number in range(count))
    for image, label, number in zip(images, labels.tolist(), numbers, strict=True):
        rng = default_rng(SeedSequence(seed, spawn_key=(label, number)))
        image[:] = _draw_cell(KINDS[CLASS_NAMES[label]], side, rng)
    return images, labels


def draw_messy_set(n: int = 2400, *, side: int = 96, seed: int = 0) -> tuple[Images, Labels]:
    """Generate a set with the faults of a course competition's 13,759 images, in proportion.

    Besides regular cells it contains copies of a cartoon under every label and of a test card under
    the label monocyte; `mess_counts(n)` has the numbers. One cell of each class occurs twice.

    Parameters
    ----------
    n : int, at least 400
    side, seed : as in `draw_cells`

    Returns
    -------
    images : (n, side, side, 3) uint8, RGB, shuffled by the seed
    labels : (n,) int64

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
    """Scale the numbers of the competition's set to `n` images.

    Returns
    -------
    good : list of int
        Regular images of each class, including both images of its duplicate pair.
    cartoons : int
        Copies of the first outlier under each of the 8 labels, at least 2.
    cards : int
        Copies of the second outlier, all under one label, at least 5.

    Examples
    --------
    >>> mess_counts(2400)
    ([149, 380, 189, 353, 148, 173, 407, 286], 35, 35)
    """
    if n < SMALLEST_MESS:
        raise ValueError(f"`n` must be at least {SMALLEST_MESS} images, got {n}")
    whole = sum(GOOD_COUNTS) + (len(GOOD_COUNTS) + 1) * OUTLIER_COPIES
    copies = round(n * OUTLIER_COPIES / whole)
    first, second = max(2, copies), max(5, copies)
    # Rounding the cumulative sum, not each count, makes the counts add up.
    total = n - len(GOOD_COUNTS) * first - second
    ends = np.rint(np.cumsum([0, *GOOD_COUNTS]) * (total / sum(GOOD_COUNTS))).astype(int)
    return [int(count) for count in np.diff(ends)], first, second


# Brushes


@lru_cache(maxsize=4)
def _grid(side: int) -> Field:
    """The centres of the pixels, (2, side, side): x, then y, from -0.5 to 0.5."""
    line = ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)
    return np.stack(np.meshgrid(line, line))


@lru_cache(maxsize=8)
def _clouds(side: int, scale: float) -> Field:
    """A tile of smooth noise, mean 0 and standard deviation 1, larger than an image."""
    size = max(256, 2 * side)
    soft = np.exp(-2 * (np.pi * scale * side * np.fft.fftfreq(size)) ** 2)
    white = np.fft.fft2(default_rng(round(1e4 * scale)).standard_normal((size, size)))
    tile = np.fft.ifft2(white * soft * soft[:, None]).real
    return np.asarray(tile / tile.std(), np.float32)


def _noise(side: int, scale: float, rng: Generator) -> Field:
    """A random window of that tile: much faster than smoothing new noise."""
    tile = _clouds(side, scale)
    top, left = rng.integers(0, len(tile) - side, 2)
    return tile[top : top + side, left : left + side]


def _cover(distance: Field, softness: float = 2.0) -> Field:
    """The fraction of each pixel that a shape covers, with an edge `softness` pixels wide."""
    cover: Field = np.clip(0.5 - distance * (distance.shape[-1] / softness), 0, 1)
    return cover


def _discs(grid: Field, centres: Field, radii: Field) -> Field:
    """The distance to each of k discs, (k, side, side)."""
    x, y = grid[:, None] - centres.T[:, :, None, None]
    distances: Field = np.sqrt(x * x + y * y) - radii[:, None, None]
    return distances


def _merge(distances: Field, reach: float) -> Field:
    """The union of k shapes, with joints rounded over `reach`: a smooth minimum."""
    nearest = distances.min(axis=0)
    joined: Field = nearest - reach * np.log(np.exp((nearest - distances) / reach).sum(axis=0))
    return joined


def _line(distance: Field, width: float) -> Field:
    """A soft line along the edge of a shape, 1 on the edge itself."""
    line: Field = np.exp(-((distance / width) ** 2))
    return line


def _blur(fields: Field, sigma: float) -> Field:
    """Blur the last two axes with a Gaussian, truncated at 3 `sigma`, with edges repeated."""
    reach = max(1, round(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1, dtype=np.float32) / sigma) ** 2)
    weights /= weights.sum()
    # Shifted sums, not a matrix product: for small matrices starting BLAS threads costs more.
    for axis in (-1, -2):
        side = fields.shape[axis]
        pad = [(0, 0)] * fields.ndim
        pad[axis] = (reach, reach)
        padded = np.moveaxis(np.pad(fields, pad, "edge"), axis, 0)
        total = sum(weight * padded[k : k + side] for k, weight in enumerate(weights))
        fields = np.moveaxis(np.asarray(total, np.float32), 0, axis)
    return fields


def _rotation(angle: float) -> Field:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)


def _grains(side: int, kind: CellKind, rng: Generator) -> Field:
    """Soft dots all over the image: a rotated lattice with random offsets and strengths."""
    lattice = np.mgrid[-0.75 : 0.75 : kind.gap, -0.75 : 0.75 : kind.gap].reshape(2, -1).T
    points = lattice @ _rotation(rng.uniform(0, np.pi))
    points += rng.normal(0, 0.3 * kind.gap, lattice.shape)
    points = (points[(np.abs(points) < 0.5 - 1 / side).all(axis=1)] + 0.5) * side - 0.5
    corner = points.astype(int)
    right, down = (points - corner).T
    weight = rng.uniform(0.4, 1.0, len(points))
    pixel = corner[:, 1] * side + corner[:, 0]
    at = np.concatenate([pixel, pixel + 1, pixel + side, pixel + side + 1])
    # A dot is divided among the four nearest pixels.
    shares = [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
    dots = np.bincount(at, (weight * shares).ravel(), side * side).reshape(side, side)
    sigma = kind.size * side
    return _blur(dots.astype(np.float32), sigma) * (2 * np.pi * sigma**2)


# Cells


def _nucleus(kind: CellKind, radius: float, rng: Generator) -> tuple[Field, Field]:
    """Discs along a bent line, large in lobes, small in between: centres (k, 2), radii (k,)."""
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
    centres = line.T - line.mean(axis=1) + rng.normal(0, 0.06 * radius, 2)
    excess = np.linalg.norm(centres, axis=1) / np.maximum(0.94 * radius - radii, 1e-3)
    centres /= np.maximum(excess, 1)[:, None]  # keep all discs inside the cell
    return centres.astype(np.float32), radii.astype(np.float32)


def _red_cells(grid: Field, middle: Field, radius: float, rng: Generator) -> Field:
    """The thickness of the red cells around a cell: discs, pale in the centre."""
    centres = rng.uniform(-0.62, 0.62, (40, 2)).astype(np.float32)
    radii = (rng.uniform(0.125, 0.150) * rng.uniform(0.9, 1.1, 40)).astype(np.float32)
    apart = np.linalg.norm(centres[:, None] - centres, axis=2) > 0.93 * (radii[:, None] + radii)
    free = np.linalg.norm(centres - middle, axis=1) > radius + 0.97 * radii
    kept: list[int] = []
    for i in np.flatnonzero(free).tolist():
        if apart[i, kept].all():
            kept.append(i)
    few = np.array(kept[: rng.integers(3, 15)], int)
    distance = _discs(grid, centres[few], radii[few])
    depth = np.maximum(-distance / radii[few, None, None], 0)  # 0 at the edge, 1 in the centre
    dip = np.clip(2.2 * depth - 0.5, 0, 1)
    pallor = rng.uniform(0.25, 0.6) * dip * dip * (3 - 2 * dip)
    thickness: Field = (_cover(distance) * (1 + 0.25 * np.exp(-8 * depth) - pallor)).sum(axis=0)
    return thickness


def _draw_cell(kind: CellKind, side: int, rng: Generator) -> Images:
    """One image: the shape of the cell, its stains, the light, the sensor."""
    grid = _grid(side)
    radius, middle = rng.uniform(*kind.radius), rng.normal(0, 0.022, 2).astype(np.float32)
    bumps = np.stack([_noise(side, 0.08, rng), _noise(side, 0.08, rng)])  # no cell is a circle
    own = grid + kind.ragged * bumps - middle[:, None, None]
    squeeze = np.array([[1], [rng.uniform(1, 1.12)]], np.float32)
    own = np.einsum("ij,jyx->iyx", squeeze * _rotation(rng.uniform(0, 2 * np.pi)), own)

    pieces = int(rng.integers(kind.pieces[0], kind.pieces[1] + 1))
    apart = rng.normal(0, 1.1 * radius, (pieces, 2)) * (pieces > 1)
    sizes = radius * (rng.uniform(0.7, 1.0, pieces) if pieces > 1 else np.ones(1))
    cell = _discs(own, apart.astype(np.float32), sizes.astype(np.float32)).min(axis=0)
    body = _cover(cell) * (1 + 0.16 * _noise(side, 0.02, rng) + 0.35 * _line(cell, 0.012))
    grains = kind.rich * _grains(side, kind, rng) * _cover(cell + kind.size)
    layers = [(_red_cells(grid + 0.008 * bumps, middle, radius * min(pieces, 2), rng), RED_CELL)]
    if kind.nucleus:
        nucleus = _merge(_discs(own, *_nucleus(kind, radius, rng)), 0.006)
        dense = _cover(nucleus)
        clumps = 1 + kind.clumps * _noise(side, 0.016, rng) + 0.25 * _line(nucleus, 0.014)
        layers.append((dense * np.maximum(clumps, 0.2), kind.nucleus))
        body, grains = body * (1 - 0.8 * dense), grains * (1 - (1 - kind.over) * dense)
    layers += [(body, kind.body), (grains, kind.grain)]

    dyes = rng.normal(1, 0.08) * rng.normal(1, 0.035, 3)  # staining differs between smears
    stains = -np.log(np.array([colour for _, colour in layers]) / 255) * dyes
    thickness = np.stack([field for field, _ in layers])
    through = np.exp(-np.einsum("kyx,kc->cyx", thickness, stains.astype(np.float32)))
    lamp = np.array([250, 236, 228]) * rng.normal(1, [0.012, 0.016, 0.022])
    slope = rng.normal(0, 0.06, (2, 1, 1)).astype(np.float32)
    light = 1 + (slope * grid - 0.12 * grid**2).sum(axis=0)  # brightest near the centre
    through *= light * lamp.astype(np.float32)[:, None, None]
    photo = _blur(through, rng.uniform(0.4, 0.8) * side / 96)
    photo += 2 * rng.standard_normal(photo.shape, np.float32)
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8).transpose(1, 2, 0)


# The two outliers, which are obviously not cells

GREEN, DARK, CREAM = (98, 178, 74), (34, 62, 38), (250, 250, 240)
FROG = (  # discs: x, y, radius, width in parts of height, colour; each drawn left and right
    (0.00, 0.52, 0.250, 1.50, (74, 148, 62)), (0.00, 0.11, 0.290, 1.35, GREEN),  # shoulders, head
    (0.00, 0.09, 0.205, 1.30, DARK), (0.00, 0.06, 0.205, 1.45, GREEN),  # the remainder is a smile
    (0.20, -0.20, 0.145, 1.00, GREEN), (0.20, -0.21, 0.100, 1.00, CREAM),  # eyes
    (0.18, -0.20, 0.055, 1.00, DARK), (0.16, -0.22, 0.018, 1.00, CREAM),
    (0.29, 0.12, 0.045, 1.30, (240, 150, 140)), (0.04, 0.00, 0.012, 1.00, DARK),  # cheeks, nostrils
)  # fmt: skip


def _paint(picture: Field, cover: Field, colour: Colour) -> None:
    """Blend a colour into the covered area of a (side, side, 3) picture, in place."""
    picture += cover[..., None] * (np.array(colour, np.float32) - picture)


def _cartoon(side: int) -> Images:
    """A smiling frog in front of a blue sky."""
    x, y = _grid(side)
    picture = np.stack([185 + 90 * y, 220 + 30 * y, np.full_like(y, 250)], axis=-1)
    for x0, y0, radius, wide, colour in FROG:
        for mirror in (-1, 1):
            _paint(picture, _cover(np.hypot((x - mirror * x0) / wide, y - y0) - radius), colour)
    return np.asarray(picture, np.uint8)


def _test_card(side: int) -> Images:
    """A television test card: colour bars, a grey ramp, a ring and a cross."""
    x, y = _grid(side)
    eighth = ((x + 0.5) * 8).astype(int)[..., None]
    bars = 30 + 190 * ((7 - eighth) >> np.array([1, 2, 0]) & 1)
    picture = np.where(y[..., None] < 0.2, bars, 30 + 27 * eighth).astype(np.float32)
    from_ring = np.hypot(x, y) - 0.38
    cross = np.maximum(np.minimum(np.abs(x), np.abs(y)) - 0.006, from_ring)
    _paint(picture, _cover(np.minimum(np.abs(from_ring) - 0.012, cross)), CREAM)
    return np.asarray(picture, np.uint8)
