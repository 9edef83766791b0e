"""Writing something other than a data set, such as a page or a training, and its errors.

All of its public names are for `cellmodels` too.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..arrays import check_texts
from ..errors import CellprepError
from ..system import platform
from ..system.locks import only_writer
from ..system.paths import anchored, as_os_errors, as_path
from ..system.platform import extended, file_name, replace

__all__ = ["extended", "file_name", "replace", "writing_to"]


@contextmanager
def writing_to(path: str | Path, *, is_file: bool = False, then: str = "") -> Iterator[None]:
    """Be the only process that writes to a file or folder, with the lock that `write` uses.

    Parameters
    ----------
    path : str or Path
        A local path or a URL.
    is_file : bool
        Whether the output is one file.
    then : str
        Added to the error if it cannot be written: what to do.

    Raises
    ------
    CellprepError
        Naming the process that is writing there now, or why nothing can be written.
    """
    target = anchored(as_path(path))
    check_texts([str(target)], "the output path")
    try:
        with as_os_errors(target), only_writer(target, is_file=is_file):
            yield
    except OSError as error:
        raise CellprepError(cannot_write(target, error) + (f"; {then}" if then else "")) from error


def cannot_write(path: Path, error: OSError) -> str:
    """Why something could not be written, in one line."""
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    advice = "; free some space" if error.errno in full else ""
    if platform.in_use(error):
        advice = "; close the programs and notebooks that have files in it open"
    reason = " ".join(str(error.strerror or error).split())
    return f"cannot write {str(path)!r}: {reason}{advice}"
