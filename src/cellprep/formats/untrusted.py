"""Limits and checks for files that may be damaged or made to do harm."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

from ..errors import CellprepError
from ..system.platform import is_below

MOST_PIXELS = 100_000_000
"""Of one image."""
_MOST_EXPANDED = 1 << 30
DAMAGED_ZIP = (
    *(zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, struct.error),
    *(NotImplementedError, RuntimeError, UnicodeDecodeError),
)
"""Errors of Python for a file that is no zip archive, or a truncated, altered or encrypted one."""
DAMAGED_NPY = (
    *(OSError, ValueError, EOFError, TypeError, SyntaxError, tokenize.TokenError),
    *(RecursionError, MemoryError, OverflowError, IndexError, AttributeError, KeyError),
)
"""Errors of NumPy for a damaged header, which is a Python literal."""


class BadFileError(Exception):
    """Why one file cannot be used."""


def is_text(text: str) -> bool:
    """Whether a table or a file name can contain it."""
    plain = text.isascii()  # as most names are
    return "\0" not in text and (plain or not any("\ud800" <= c <= "\udfff" for c in text))


def inside(name: str) -> bool:
    """Whether a file name that was read from data stays in its folder.

    >>> inside("a/1.png"), inside("../1.png"), inside("/1.png")
    (True, False, False)
    """
    return is_text(name) and is_below(name)


def check_expansion(info: zipfile.ZipInfo, path: Path) -> None:
    """Refuse a compressed member that expands to more than 1 GB and 200 times its size."""
    if info.file_size > max(_MOST_EXPANDED, 200 * info.compress_size):
        raise CellprepError(
            f"{info.filename!r} in {str(path)!r} would grow from {info.compress_size:,} to "
            f"{info.file_size:,} bytes, more than 1 GB and 200-fold; if you trust it, save it "
            "uncompressed (np.savez)"
        )
