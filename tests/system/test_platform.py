"""What differs between operating systems: this system's way and the portable fallback."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys

import pytest

from cellprep.system import platform


def test_usable_cores_are_all_cores_without_affinity(monkeypatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert platform.usable_cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert platform.usable_cores() == 1


@pytest.mark.parametrize("has_fallocate", [True, False])
def test_reserved_space_does_not_change_the_size_of_a_file(has_fallocate, tmp_path, monkeypatch):
    if not has_fallocate:
        monkeypatch.setattr(platform, "_fallocate", lambda: None)
    with open(tmp_path / "file", "wb") as file:
        platform.reserve(file, 1 << 20)
        file.write(b"short")
    assert (tmp_path / "file").read_bytes() == b"short"


def test_released_pages_can_be_read_again(tmp_path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * mmap.PAGESIZE)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert platform.can_release(mapped) == hasattr(mapped, "madvise")
        if platform.can_release(mapped):
            platform.release(mapped)
        assert mapped[:] == path.read_bytes()


def test_only_ended_processes_have_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert platform.has_ended(process.pid)
    assert not platform.has_ended(os.getpid())


def test_urls_have_no_system_locks(tmp_path) -> None:
    upath = pytest.importorskip("upath")
    assert platform.has_system_locks(tmp_path)
    assert not platform.has_system_locks(upath.UPath("memory://cells"))


def test_an_exclusive_lock_excludes_all_others(tmp_path) -> None:
    first, second = (platform.open_to_lock(tmp_path / "lock", create=True) for _ in range(2))
    platform.lock(first, exclusive=True)
    for exclusive in (True, False):
        with pytest.raises(BlockingIOError):
            platform.lock(second, exclusive=exclusive)
    os.close(first)
    platform.lock(second, exclusive=True)
    os.close(second)
