"""AugMix: an image blended with three chains of operations [1]_.

Each chain has one to three of nine operations, of a strength sampled up to `a`, where 1 is a
rotation by 30 degrees, a shear of 0.3, a translation by a third of the side, a solarization of all
values, or a posterization to one bit. Weights are Dirichlet(1, 1, 1), the share of the mixture
uniform. What is sampled is recorded as JSON: `[[weight, [[operation, a, ...], ...]], ...]`, one
entry per chain.

References
----------
.. [1] D. Hendrycks, N. Mu, E. Cubuk, B. Zoph, J. Gilmer, B. Lakshminarayanan. AugMix: a simple data
   processing method to improve robustness and uncertainty. ICLR 2020. arXiv:1912.02781.
"""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from ..arrays import Images, Keys, Positions
from . import colors, moves
from .operation import NONE, Operation, Values
from .slots import Slots

_TABLE = {entry.name: entry for entry in (*colors.OPERATIONS, *moves.OPERATIONS)}
# Name, largest first parameter, and whether it is the second parameter instead.
_MIXED: tuple[tuple[str, float, bool], ...] = (
    ("auto_contrast", 0, False),
    ("equalization", 0, False),
    ("posterize", 0, False),
    ("rotation", 30, False),
    ("solarize_above", 0, False),
    ("centered_shear_x", 0.3, False),
    ("centered_shear_y", 0.3, False),
    ("translation", 1 / 3, False),
    ("translation", 1 / 3, True),
)
_CHAINS, _DEPTH = 3, 3


def sample(seeds: Keys, strengths: Values) -> NDArray[np.str_]:
    """(m,) str: the mixture of each image, from its seed and its largest strength.

    Examples
    --------
    >>> print(sample(np.array([7], np.uint64), np.float32([0.5]))[0])
    [[0.002...,[["posterize",3.0],["equalization",-0.0]]],...
    """
    from ..kernels.corrupt import noise

    m, slots = len(seeds), _CHAINS * _DEPTH
    units = noise.units(seeds, 7 + 3 * slots)
    share, weight, length, *each = np.split(units, [1, 4, 7, 7 + slots, 7 + 2 * slots], axis=1)
    exponential = -np.log1p(-weight)
    weights = (exponential * (share / exponential.sum(axis=1, keepdims=True))).astype(np.float32)
    lengths = 1 + np.floor(_DEPTH * length).astype(np.int64)
    choice, strength, sign = (part.reshape(m, _CHAINS, _DEPTH) for part in each)
    choice = (choice * len(_MIXED)).astype(np.int64)
    level = np.maximum(strength, 0.01) * strengths[:, None, None]
    names = np.array([name for name, _, _ in _MIXED])[choice]
    largest = np.array([most for _, most, _ in _MIXED])[choice]
    values = np.select(
        [names == "posterize", names == "solarize_above"],
        [np.maximum(4 - np.floor(4 * level), 1), 256 - 256 * level],
        np.where(sign < 0.5, -level, level) * largest,
    ).astype(np.float32)
    second = np.array([second for _, _, second in _MIXED])[choice]
    return np.array(
        [_mixture(weights[i], lengths[i], names[i], values[i], second[i]) for i in range(m)],
        dtype=np.str_,
    )


def _mixture(
    weights: Values,
    lengths: NDArray[np.int64],
    names: NDArray[np.str_],
    values: Values,
    second: NDArray[np.bool_],
) -> str:
    """The mixture of one image as JSON."""
    mixture = []
    for k, weight in enumerate(weights.tolist()):
        chain = [
            [name, *([0] if is_second else []), value]
            for name, value, is_second in zip(
                names[k].tolist(), values[k].tolist(), second[k], strict=True
            )
        ]
        mixture.append([weight, chain[: lengths[k]]])
    return json.dumps(mixture, separators=(",", ":"))


def _apply(images: Images, rows: Positions, details: NDArray[np.str_]) -> None:
    """Blend some images with their recorded mixtures, in place."""
    from ..kernels.corrupt.blend import blend

    operations = np.full((len(rows), _CHAINS, _DEPTH), NONE, "U32")
    values = np.zeros((len(rows), _CHAINS, _DEPTH, 3), np.float32)
    weights = np.empty((len(rows), _CHAINS), np.float32)
    for i, text in enumerate(details.tolist()):
        for k, (weight, chain) in enumerate(json.loads(text)):
            weights[i, k] = weight
            for d, (name, *parameters) in enumerate(chain):
                operations[i, k, d] = name
                values[i, k, d, : len(parameters)] = parameters
    versions = np.take(images, np.repeat(rows, _CHAINS), axis=0)
    slots = Slots(operations.reshape(-1, _DEPTH), values.reshape(-1, _DEPTH, 3))
    slots.run(_TABLE, versions, np.arange(len(versions)))
    blend(images, rows, versions, weights)


OPERATIONS = (Operation("augmix", _apply, "details", details=sample),)
