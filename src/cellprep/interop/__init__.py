"""Other people's tools, one file each: a data set as theirs, and theirs as a data set.

The library of a file is imported when the file is, or in the function that needs it; the methods of
`Dataset` that end here import the file.
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
