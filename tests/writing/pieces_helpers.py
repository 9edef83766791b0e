"""The sets in pieces that the tests share: five shards in pieces of two (fixture `few`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cellprep as cp
from cellprep.dataset.decisions import hex_digests
from cellprep.formats import pieces
from cellprep.plan.digests import digest

from .verify_helpers import cells, write

ROWS, SHARDS = 24, 5
NAMES = [pieces.piece_files(number) for number in range(3)]
FILES = [name for names in NAMES for name in names]


def whole(path: Path, format: str = "shards", **options: Any) -> Path:
    """The same set without pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SHARDS_PER_PIECE", 4096)
        write(path, format, **options)
    return path


def grouped() -> cp.Dataset:
    """Decided rows of groups, and three copies of each."""
    images, labels = cells().chain[0].to_arrays()
    plain = cp.Dataset.from_arrays(images, labels, groups=np.arange(ROWS) // 2)
    found = hex_digests(digest(images[3:4]))[0]
    decided = cp.Decide([{"id": "3", "decision": "keep", "digest": found}])
    return cp.Recipe([decided, cp.RandAugment(copies=2)], seed=1)(plain)
