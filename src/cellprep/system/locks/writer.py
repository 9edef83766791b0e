"""Which files lock a data set, and whether the system or a lease does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .. import platform
from ..paths import LOCK, WORK, remove_folder
from .lease import lease, refuse_if_leased
from .system_lock import NoLocksError, refuse_if_locked, system_lock


@contextmanager
def only_writer(path: Path, *, is_file: bool) -> Iterator[Callable[[], None]]:
    """Be the only writer of a data set; yields a function that raises once that is no longer true.

    A local path is locked by the system, which frees it however the process ends. Elsewhere a lease
    records who is writing, on which machine, and when it was last renewed.

    Raises
    ------
    CellprepError
        Naming the process that is writing there now.
    """
    beside, inside = _lock_files(path)
    with ExitStack() as stack:
        checks = []
        # Both, where a folder may replace a file or the other way round.
        if is_file or path.is_file() or beside.exists():
            checks.append(stack.enter_context(_locked(beside, path)))
        if path.is_dir() or not (is_file or path.is_file()):
            checks.append(stack.enter_context(_locked(inside, path)))

        def check() -> None:
            for one in checks:
                one()

        yield check


def check_free(path: Path) -> None:
    """Refuse a path that another process is writing to; nothing is changed."""
    for lock in _lock_files(path):
        try:
            if not platform.has_system_locks(lock):
                raise NoLocksError
            refuse_if_locked(lock, path)
        except NoLocksError:
            refuse_if_leased(lock, path)


def _lock_files(path: Path) -> tuple[Path, Path]:
    """The lock of a single file, and that of a folder, whose parent may be read-only."""
    return lock_beside(path), path / WORK / LOCK


def lock_beside(path: Path) -> Path:
    """The lock of a data set in a single file."""
    return path.with_name(f".{path.name}.cellprep.{LOCK}")


@contextmanager
def _locked(lock: Path, path: Path) -> Iterator[Callable[[], None]]:
    made = [folder for folder in lock.parents if folder.name == WORK or not folder.exists()]
    with ExitStack() as stack:
        stack.callback(_remove_empty, made)
        try:
            if not platform.has_system_locks(lock):
                raise NoLocksError
            check = stack.enter_context(system_lock(lock, path))
        except NoLocksError:
            check = stack.enter_context(lease(lock, path))
        yield check


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it contains the data set now
            remove_folder(folder)
