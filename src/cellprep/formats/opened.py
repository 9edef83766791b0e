"""Which data set was opened: its location may contain another one by the time pixels are read."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CellprepError
from ..plan.source import History
from ..system.paths import file_version
from .manifest import DIGEST, MANIFEST
from .written import look_at

_LATELY = 1e-3  # seconds
_READ_AGAIN = "it was changed after it was opened, so read it again"


def changed(path: Path) -> CellprepError:
    """The error for a path that contains another data set than when it was opened."""
    return CellprepError(f"{str(path)!r} contains another data set now; {_READ_AGAIN}")


@dataclass(eq=False)
class OpenedSet:
    """A data set as it was when it was opened.

    Attributes
    ----------
    path : Path
    digest : str
        Of its manifest.
    file : Path
        The file that contains the manifest.
    """

    path: Path
    digest: str
    file: Path
    _version: str = field(default="", repr=False)
    """The last version of that file with this digest."""
    _checked: float = field(default=-math.inf, repr=False)

    def check(self) -> None:
        """Raise if the path contains anything else now: one look at a file, or one request.

        What was read before is then of the set that was opened: an overwrite deletes the manifest
        before anything else, and writes it last.
        """
        try:
            version = file_version(self.file)
            if version != self._version:
                self._check_manifest()
        except OSError as error:
            raise self._changed("is gone, or is being overwritten") from error
        self._version, self._checked = version, time.monotonic()

    def was_checked_lately(self) -> bool:
        """Whether the last check was less than a millisecond ago."""
        return 0 <= time.monotonic() - self._checked < _LATELY  # monotonic only within a process

    def _check_manifest(self) -> None:
        found = look_at(self.path)
        if found.manifest is None or not found.complete:
            raise self._changed("is damaged, or is being overwritten")
        if found.manifest[DIGEST] != self.digest:
            raise changed(self.path)

    def _changed(self, what: str) -> CellprepError:
        return CellprepError(f"{str(self.path)!r} {what}; {_READ_AGAIN}")


def history_of(manifest: Mapping[str, Any], path: Path, *, is_file: bool = False) -> History:
    """The steps that were applied before the data set at `path` was written.

    Its images are only those of this manifest: see `plan.source.check_unchanged`.
    """
    return History(
        tuple(manifest["recipe"]),
        manifest.get("multiplied_by"),
        tuple(manifest["stages"]),
        path,
        manifest.get("profile"),
        OpenedSet(path, manifest[DIGEST], path if is_file else path / MANIFEST),
        manifest.get("about", {}),
    )
