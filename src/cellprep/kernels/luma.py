"""Luminance as Pillow computes it, compiled."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def luma(red: Any, green: Any, blue: Any) -> Any:
    """Luminance of one pixel by ITU-R 601-2, rounded as in Pillow's `convert("L")`."""
    total = np.uint32(red) * np.uint32(19595)
    total += np.uint32(green) * np.uint32(38470)
    total += np.uint32(blue) * np.uint32(7471)
    return np.uint8((total + np.uint32(0x8000)) >> np.uint32(16))
