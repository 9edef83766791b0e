"""`verify`: which files of a written data set are damaged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system import executors
from ..system.paths import as_path
from .check import check

if TYPE_CHECKING:
    import pandas as pd


def verify(
    path: str | Path,
    *,
    executor: str = "threads",
    workers: int | None = None,
    progress: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Check every file of a written data set against its recorded size and digest.

    Nothing is changed. The `write` that made the data set rewrites what is damaged.

    Parameters
    ----------
    path : str or Path
        A data set that `write` has finished.
    executor : "threads" or "processes"
    workers : int, optional
        Default: all cores available to this process.
    progress : bool
        Show a bar if the output is a terminal.
    storage_options : dict, optional
        Options for fsspec to open a URL. Default: its configuration and the environment.

    Returns
    -------
    pandas.DataFrame
        One row per damaged file: `file`, its name in the data set; `rows`, the number of images
        in it; `state`, "missing", "cut short", "too long", "wrong bytes" or "unreadable" with the
        reason. Files that cellprep did not write are ignored.

    Raises
    ------
    CellprepError
        If the path contains no data set that `write` has finished.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import cellprep as cp
    >>> cells = cp.Dataset.from_arrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = cp.write(cells, f"{folder}/out")
    ...     (written.path / "shard-00000.npy").unlink()
    ...     print(cp.verify(written.path))
                  file  rows    state
    0  shard-00000.npy     4  missing
    """
    import pandas as pd

    with executors.using(executor, workers, progress):
        checked = check(as_path(path, storage_options))
    rows = [(found.file, found.rows, found.state) for found in checked.damaged]
    return pd.DataFrame(rows, columns=["file", "rows", "state"])
