"""MixUp and CutMix: part of another image, and the same part of its label.

Keras' layers are not used. They mix within a batch, so an image depends on the batch size; their
random numbers are a state that a checkpoint would have to keep; `keras.layers.CutMix` samples its
alpha, once per batch, and gives the label the share of a box before it is rounded to pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellprep.arrays import Images


@dataclass(frozen=True)
class Mixes:
    """What each image of an epoch receives from another one, in the order of the epoch.

    Attributes
    ----------
    boxes : (n, 4) int32
        Top, bottom, left and right of the part that is mixed: for MixUp the whole image.
    opacity : (n,) float32
        Of the other image in that part, in [0, 1]; for CutMix 1.
    """

    boxes: NDArray[np.int32]
    opacity: NDArray[np.float32]

    def __getitem__(self, rows: slice) -> Mixes:
        """The mixes of a batch."""
        return Mixes(self.boxes[rows], self.opacity[rows])

    def images(self, images: Images, others: Images) -> Images:
        """(b, height, width, 3) uint8: each image mixed with the other one, rounded halves up."""
        top, bottom, left, right = self.boxes.T[:, :, None, None]
        y, x = np.ogrid[: images.shape[1], : images.shape[2]]
        inside = (top <= y) & (y < bottom) & (left <= x) & (x < right)
        share = (inside * self.opacity[:, None, None])[..., None]
        mixed = images + share * (others.astype(np.float32) - images)
        rounded: Images = (mixed + np.float32(0.5)).astype(np.uint8)
        return rounded

    def shares(self, height: int, width: int) -> NDArray[np.float32]:
        """(b,) float32: the share of the other image's label."""
        top, bottom, left, right = self.boxes.T
        area = (bottom - top) * (right - left) / (height * width)
        found: NDArray[np.float32] = (self.opacity * area).astype(np.float32)
        return found


def sample_mixes(
    n: int, height: int, width: int, *, mixup: float, cutmix: float, seed: int, epoch: int
) -> Mixes | None:
    """Sample the mixes of an epoch, one draw per image; None if both settings are 0.

    With both settings, each image is mixed by one of the two, with equal probability.

    Parameters
    ----------
    n : int
        Number of images.
    height, width : int
    mixup : float
        MixUp [1]_: the other image's opacity is sampled from Beta(mixup, mixup).
    cutmix : float
        CutMix [2]_: the area of the box is sampled from Beta(cutmix, cutmix), its centre from the
        whole image. The box ends at the border.
    seed, epoch : int
        The result depends on nothing else, so a resumed training samples the same.

    References
    ----------
    .. [1] H. Zhang et al. mixup: Beyond Empirical Risk Minimization. ICLR 2018.
    .. [2] S. Yun et al. CutMix. ICCV 2019.

    Examples
    --------
    >>> mixes = sample_mixes(1000, 96, 96, mixup=0.2, cutmix=1.0, seed=0, epoch=0)
    >>> float((mixes.opacity == 1).mean().round(1))
    0.5
    """
    if not mixup and not cutmix:
        return None
    random = np.random.default_rng((seed, epoch, 1))  # 1: other numbers than those of dropout
    cut = random.random(n) < (0.5 if mixup and cutmix else float(cutmix > 0))
    opacity = np.where(cut, 1, random.beta(mixup or 1, mixup or 1, n))
    side = np.sqrt(random.beta(cutmix or 1, cutmix or 1, n))
    box = []
    for length in (height, width):
        middle = random.integers(0, length, n)
        half = np.rint(side * length / 2)
        box += [np.where(cut, np.maximum(middle - half, 0), 0)]
        box += [np.where(cut, np.minimum(middle + half, length), length)]
    return Mixes(np.stack(box, axis=1).astype(np.int32), opacity.astype(np.float32))
