"""Two ways to run RandAugment's operations: our kernels, and keras-cv's layers."""

from __future__ import annotations

import numpy as np

from ..arrays import Images, Positions
from . import OPERATIONS
from .slots import Slots

ENGINES = ("native", "keras_cv")


def run(
    engine: str, source: Images, at: Positions, out: Images, to: Positions, slots: Slots
) -> None:
    """Send ``source[at]`` through its slots to ``out[to]``; `out` may be `source`.

    Parameters
    ----------
    engine : "native" or "keras_cv"
    source : (n, height, width, 3) uint8
    at : (m,) int
        An image may occur several times.
    out : (k, height, width, 3) uint8
        May be `source`, if `to` equals `at`.
    to : (m,) int
        All different.
    slots : Slots
        Of m images.
    """
    from ..kernels.planar import chain

    if engine == "keras_cv":
        from . import keras_cv

        out[to] = keras_cv.run(source[at], slots)
        return
    if np.isin(slots.operations, chain.NAMES).all():
        chain.run(source, at, out, to, slots.operations, slots.values)
    else:
        copy_rows(source, at, out, to)
        slots.run(OPERATIONS, out, to, chain.run, chain.NAMES)


def copy_rows(source: Images, at: Positions, out: Images, to: Positions) -> None:
    """``out[to] = source[at]``, which costs nothing where they are the same memory."""
    if out is not source:
        for row, target in zip(at.tolist(), to.tolist(), strict=True):  # without a copy in between
            out[target] = source[row]
