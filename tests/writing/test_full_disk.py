"""A disk that fills: the error says so, and the same write continues later."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from cellprep.errors import CellprepError

from .test_kills import NAMES, tree
from .test_kills import write as write_job
from .verify_helpers import write

resource = pytest.importorskip("resource", reason="Windows has no limit for the size of files")

MESSAGE = r"cannot write .*(No space left|File too large).*; free some space; no incomplete file"


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A file system of 1 MB."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(command).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("format", NAMES)
def test_a_full_disk_is_reported_and_the_write_can_be_resumed(format, small_disk, tmp_path):
    path, ballast = small_disk / "out", small_disk / "ballast"
    settings = {"rows_per_shard": 16, "masks": False}
    write_job(tmp_path / "reference", format, n=4, **settings)
    expected = tree(tmp_path / "reference")
    total = sum(map(len, expected.values()))
    assert total < 900_000
    for share in (0.02, 0.5, 0.95):
        ballast.write_bytes(bytes((1 << 20) - int(share * total) // 4096 * 4096 - 8192))
        with pytest.raises(CellprepError, match=MESSAGE) as caught:
            write_job(path, format, n=4, **settings)
        assert "\n" not in str(caught.value)
        for name, data in (tree(path) if path.exists() else {}).items():
            assert name.startswith(".cellprep") or data == expected[name]
        assert not list(small_disk.rglob("*.tmp"))
        ballast.unlink()
    write_job(path, format, n=4, **settings)
    assert tree(path) == expected
    assert list(small_disk.iterdir()) == [path]
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("format", NAMES)
def test_a_file_size_limit_is_reported(format, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(CellprepError, match=MESSAGE):
            write(tmp_path / "out", format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    write(tmp_path / "out", format)
    write(tmp_path / "reference", format)
    assert tree(tmp_path / "out") == tree(tmp_path / "reference")
