"""Photographs that tests of the segmentation kernels share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

BCISC = Path(__file__).resolve().parents[3] / "shared" / "data" / "bcisc"


@pytest.fixture(scope="module")
def bcisc() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    if not BCISC.is_dir():
        pytest.skip(f"no photographs at {BCISC}")
    image_module = pytest.importorskip("PIL.Image")
    images, masks = [], []
    for path in sorted((BCISC / "images").glob("*.jpg")):
        with image_module.open(path) as image:
            images.append(np.asarray(image.convert("RGB").resize((96, 96), 4)))
        with image_module.open(BCISC / "masks" / f"{path.stem}.png") as mask:
            masks.append(np.asarray(mask.convert("L").resize((96, 96), 4)) > 127)
    return np.stack(images), np.stack(masks)
