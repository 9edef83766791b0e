"""Other people's tools, one file each: a data set as theirs, and theirs as a data set.

Nothing imports these files but the methods of `Dataset` that end here, when they are called.
"""

from __future__ import annotations

from ..dataset import Dataset
from ..errors import CellprepError


def check_not_empty(dataset: Dataset) -> None:
    """Refuse what no model can be trained on."""
    if not len(dataset):
        raise CellprepError(
            "no image is left to hand on; look at .removed() for what each step took out"
        )
