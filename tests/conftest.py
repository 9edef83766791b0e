"""Images that the tests share, and where the real ones are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from cellprep.synthetic import draw_cells

settings.register_profile("cellprep", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("cellprep")


def pytest_runtest_setup(item: pytest.Item) -> None:
    mark = item.get_closest_marker("unix")
    if mark and os.name == "nt":
        pytest.skip(f"not on Windows: {mark.args[0]}")


_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real photographs."""
    if not _DATA.is_dir():
        pytest.skip(f"no real photographs: {_DATA} is absent")
    return _DATA


@pytest.fixture(scope="session")
def cells() -> tuple[np.ndarray, np.ndarray]:
    """Drawn cells, (40, 48, 48, 3), five of each class, and their labels."""
    return draw_cells([5] * 8, side=48, seed=3)


@pytest.fixture(scope="session")
def photographs(cells) -> np.ndarray:
    """Real photographs where they are, drawn cells elsewhere: (24, 96, 96, 3)."""
    files = sorted(_DATA.glob("bccd/*/*.jpg"))[::14][:24]
    if not files:
        return draw_cells([3] * 8, seed=1)[0]
    return np.stack([np.asarray(Image.open(f).convert("RGB").resize((96, 96))) for f in files])
