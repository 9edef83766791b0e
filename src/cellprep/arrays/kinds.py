"""Types of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""(n, height, width, 3), RGB, 0-255."""
Masks = NDArray[np.bool_]
"""(n, height, width), True on the cell."""
Labels = NDArray[np.int64]
"""(n,), an index into the class names."""
Positions = NDArray[np.intp]
"""(k,), indices into a table of rows."""
Keys = NDArray[np.uint64]
"""(n,), one random-number key per row."""
ClassNames = Sequence[str] | Mapping[Any, str]
"""The names of the classes, in order; or the name of each label value."""
Ids = NDArray[Any]
"""(n,), int64 or str: the names of the images of a source."""
