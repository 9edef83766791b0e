"""Which files lock a data set, and whether the system or a lease does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .. import platform
from ..paths import LOCK, WORK, fenced, has_folders, is_remote, remove_folder
from .lease import Lease, lease, refuse_if_leased
from .system_lock import NoLocksError, refuse_if_locked, system_lock


@dataclass(frozen=True)
class StillWriter:
    """Raises, when it is called, once this process is no longer the only writer.

    It can be sent to other processes. A lock of the system cannot be lost, a lease can.
    """

    leases: tuple[Lease, ...] = ()

    def __call__(self) -> None:
        for one in self.leases:
            one()

    def again(self) -> None:
        """The same, without relying on an answer of a second ago."""
        for one in self.leases:
            one.forget()
            one()


@contextmanager
def only_writer(path: Path, *, is_file: bool) -> Iterator[StillWriter]:
    """Be the only writer of a data set; yields a function that raises once that is no longer true.

    A local path is locked by the system, which frees it however the process ends. Elsewhere a lease
    records who is writing, on which machine, and when it was last renewed. Inside the block, this
    thread changes no file once the lease is lost; others need `paths.fenced`.

    Raises
    ------
    CellprepError
        Naming the process that is writing there now.
    """
    beside, inside = _lock_files(path)
    with ExitStack() as stack:
        locks = []
        replaced = path.is_file()
        if replaced and not is_file:  # a folder takes its place, without a lock inside
            stack.callback(_remove_empty, [path / WORK])
        # Both, where a folder may replace a file or the other way round.
        if is_file or replaced or beside.exists():
            locks.append(stack.enter_context(_locked(beside, path)))
        if path.is_dir() or not (is_file or path.is_file()):
            locks.append(stack.enter_context(_locked(inside, path)))
        # A file takes the place of the folder that contains the second one.
        leases = [lock for lock in locks if lock is not None]
        check = StillWriter(tuple(leases[:1] if is_file else leases))
        if check.leases:
            stack.enter_context(fenced(check))
        try:
            yield check
        except Exception:
            check.again()  # whoever took over may have deleted what was being read
            raise


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
def _locked(lock: Path, path: Path) -> Iterator[Lease | None]:
    with ExitStack() as stack:
        if not is_remote(lock) or has_folders(lock):
            absent = (one for one in lock.parents if one.name == WORK or not one.exists())
            stack.callback(_remove_empty, [*absent])
        try:
            if not platform.has_system_locks(lock):
                raise NoLocksError
            stack.enter_context(system_lock(lock, path))
            held = None
        except NoLocksError:
            held = stack.enter_context(lease(lock, path))
        yield held


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it contains the data set now
            remove_folder(folder)
