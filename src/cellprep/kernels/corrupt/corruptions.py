"""What a test set is corrupted by: named operations, one after another on each image."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...arrays import Images, Keys, Masks, Positions
from .. import OPERATIONS
from ..augment import affine, chain, color, geometry
from . import blur, marks, noise

Values = NDArray[np.float32]
"""One value an image, or (m, slots, 3): up to three an operation, called a, b and c."""

_FULL = 224
_MOVES = (
    "rotation",
    "flip",
    "translation",
    "translation_x",
    "translation_y",
    "shear_x",
    "shear_y",
    "zoom",
)
_COLORS = (
    "gain",
    "grey_contrast",
    "saturate",
    "hue",
    "posterize",
    "channel_shuffle",
    "channel_shift",
    "saturation",
)
# AugMix: three chains of one to three operations of nine
_MIXED = (
    "auto_contrast",
    "equalization",
    "posterize",
    "rotation",
    "solarization",
    "shear_x",
    "shear_y",
    "translation_x",
    "translation_y",
)
_LARGEST = (0, 0, 0, 30, 0, 0.3, 0.3, 1 / 3, 1 / 3)
_CHAINS, _DEPTH = 3, 3


def apply(
    images: Images, rows: Positions, operations: NDArray[np.str_], values: Values, seeds: Keys
) -> None:
    """Send some images through their operations, in place.

    Parameters
    ----------
    images : (n, height, width, 3) uint8
    rows : (m,) int
        The images that are changed; no image stands twice. One row of the others belongs to each.
    operations : (m, slots) str
        "none" leaves an image as it is.
    values : (m, slots, 3) float32
        What each operation takes, in the order of its own words.
    seeds : (m,) uint64
        What the random numbers within an image come from; every slot has its own.
    """
    each = noise.numbers(seeds, operations.shape[1])
    for slot in range(operations.shape[1]):
        for name in np.unique(operations[:, slot]).tolist():
            if name != "none":
                at = np.flatnonzero(operations[:, slot] == name)
                a, b, c = values[at, slot].T.copy()
                _send(name, images, rows[at], a, b, c, each[at, slot])


def move(masks: Masks, rows: Positions, operations: NDArray[np.str_], values: Values) -> Masks:
    """Masks after the moves of `apply`, each pixel from the nearest; all else leaves them."""
    masks = masks.copy()
    for slot in range(operations.shape[1]):
        for name in _MOVES:
            at = np.flatnonzero(operations[:, slot] == name)
            if len(at):
                a, b, _ = values[at, slot].T
                matrices = _matrices(name, masks.shape[1:3], a, b)
                masks = affine.warp_masks(masks, rows[at], matrices, "reflect")
    return masks


def _send(
    name: str, images: Images, rows: Positions, a: Values, b: Values, c: Values, seeds: Keys
) -> None:
    """All these rows through one operation."""
    side = images.shape[1:3]
    if name in _MOVES:
        affine.warp(images, rows, images, rows, _matrices(name, side, a, b), "reflect")
    elif name in OPERATIONS:
        code = np.full((len(rows), 1), OPERATIONS.index(name))
        added = np.zeros_like(a) if name == "solarization" else a
        chain.chain(images, rows, images, rows, code, added[:, None], a[:, None])
    elif name in _COLORS:
        _recolor(images, rows, _COLORS.index(name), a, b, c)
    elif name == "defocus_blur":
        blur.convolve(images, rows, blur.disks(a, min(side) / _FULL), "reflect")
    elif name == "motion_blur":
        blur.convolve(images, rows, blur.lines(a, b, c, min(side) / _FULL), "edge")
    elif name == "gaussian_blur":
        blur.gaussian_blur(images, rows, a * np.float32(min(side) / _FULL))
    else:
        _OTHERS[name](images, rows, a, b, c, seeds)


@nb.njit(cache=True, nogil=True)
def _recolor(images, rows, operation, a, b, c):
    for i in range(len(rows)):
        image = images[rows[i]]
        if operation == 0:
            color.gain(image, a[i])
        elif operation == 1:
            color.grey_contrast(image, a[i])
        elif operation == 2:
            color.saturate(image, a[i])
        elif operation == 3:
            color.hue(image, a[i])
        elif operation == 4:
            color.posterize(image, int(a[i]))
        elif operation == 5:
            color.channel_shuffle(image, int(a[i]))
        elif operation == 6:
            color.channel_shift(image, a[i], b[i], c[i])
        elif operation == 7:
            color.color_degeneration(image, np.float32(1) - a[i])


def _matrices(name: str, side: tuple[int, ...], a: Values, b: Values) -> NDArray[np.float64]:
    """Affine maps about the middle of the image, from the result to the image."""
    height, width = side
    still = np.zeros_like(a)
    matrices = affine.similarity(
        (height, width),
        rotation=a if name == "rotation" else still,
        shift_x=a if name in ("translation", "translation_x") else still,
        shift_y={"translation": b, "translation_y": a}.get(name, still),
        zoom=a if name == "zoom" else still + 1,
        flip_x=(a != 1) & (name == "flip"),
        flip_y=(a != 0) & (name == "flip"),
    )
    if name == "shear_x":
        matrices[:, 0, 1] = a
        matrices[:, 0, 2] = a * (1 - height) / 2
    elif name == "shear_y":
        matrices[:, 1, 0] = a
        matrices[:, 1, 2] = a * (1 - width) / 2
    return matrices


def _pixelate(
    images: Images, rows: Positions, a: Values, b: Values, c: Values, seeds: Keys
) -> None:
    """Shrunk by the factor and enlarged again, as Pillow does both with a box filter."""
    for factor in np.unique(a):
        geometry.pixelate(images, rows[a == factor], float(factor))


def _jpeg(images: Images, rows: Positions, a: Values, b: Values, c: Values, seeds: Keys) -> None:
    """Written as JPEG of this quality, 0 to 100, and read again, both by Pillow.

    Its blocks are 8 pixels, of colour 16, at every size of the image.
    """
    for row, quality in zip(rows.tolist(), a.tolist(), strict=True):
        file = BytesIO()
        Image.fromarray(images[row]).save(file, "JPEG", quality=int(quality))
        with Image.open(file) as read:
            images[row] = np.asarray(read)


def _augmix(images: Images, rows: Positions, a: Values, b: Values, c: Values, seeds: Keys) -> None:
    """The image and a mixture of three augmented ones, mixed, after AugMix [1]_.

    Each chain has one to three of nine operations, of a strength drawn up to `a`, where 1 is a
    rotation by 30 degrees, a shear of 0.3, a translation by a third of the side, a solarization of
    all values, a posterization to one bit. Weights are Dirichlet(1, 1, 1), the share of the
    mixture uniform.

    References
    ----------
    .. [1] D. Hendrycks, N. Mu, E. Cubuk, B. Zoph, J. Gilmer, B. Lakshminarayanan. AugMix: a simple
       data processing method to improve robustness and uncertainty. ICLR 2020. arXiv:1912.02781.
    """
    m, slots = len(rows), _CHAINS * _DEPTH
    drawn = np.split(noise.units(seeds, 7 + 3 * slots), [1, 4, 7, 7 + slots, 7 + 2 * slots], axis=1)
    share, weights, lengths = drawn[0], -np.log1p(-drawn[1]), 1 + np.floor(_DEPTH * drawn[2])
    which, strength, sign = (part.reshape(m, _CHAINS, _DEPTH) for part in drawn[3:])
    weights *= share / weights.sum(axis=1, keepdims=True)
    at = (which * len(_MIXED)).astype(np.int64)
    operations = np.where(np.arange(_DEPTH) < lengths[:, :, None], np.array(_MIXED)[at], "none")
    level = np.maximum(strength, 0.01) * a[:, None, None]
    values = np.zeros((m, _CHAINS, _DEPTH, 3), np.float32)
    values[..., 0] = np.select(
        [operations == "posterize", operations == "solarization"],
        [np.maximum(4 - np.floor(4 * level), 1), 256 - 256 * level],
        np.where(sign < 0.5, -level, level) * np.array(_LARGEST)[at],
    )
    made = np.repeat(images[rows], _CHAINS, axis=0)
    apply(
        made,
        np.arange(len(made)),
        operations.reshape(-1, _DEPTH),
        values.reshape(-1, _DEPTH, 3),
        np.repeat(seeds, _CHAINS),
    )
    _mix(images, rows, made, weights.astype(np.float32))


@nb.njit(cache=True, nogil=True)
def _mix(images, rows, made, weights):
    """Each image with its augmented ones, whose weights leave the rest to it."""
    m, chains = weights.shape
    for i in range(m):
        flat = images[rows[i]].reshape(images[0].size)
        first = made[chains * i].reshape(len(flat))
        second = made[chains * i + 1].reshape(len(flat))
        third = made[chains * i + 2].reshape(len(flat))
        by_first, by_second, by_third = weights[i]
        rest = np.float32(1) - by_first - by_second - by_third
        for j in range(len(flat)):
            value = rest * np.float32(flat[j]) + by_first * np.float32(first[j])
            value += by_second * np.float32(second[j]) + by_third * np.float32(third[j])
            flat[j] = color.to_level(value)


_OTHERS: dict[str, Callable[..., Any]] = {
    "pixelate": _pixelate,
    "jpeg": _jpeg,
    "augmix": _augmix,
    "stain_deposit": lambda images, rows, a, b, c, s: marks.stain_deposit(images, rows, a, b, s),
    "bubble": lambda images, rows, a, b, c, s: marks.bubbles(images, rows, a, b, s),
    "gaussian_noise": lambda images, rows, a, b, c, s: noise.gaussian_noise(images, rows, a, s),
    "cutout": lambda images, rows, a, b, c, s: marks.cutout(images, rows, a, s),
    "grid_mask": lambda images, rows, a, b, c, s: marks.grid_mask(images, rows, a, b, c, s),
}
