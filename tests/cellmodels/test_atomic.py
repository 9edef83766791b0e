"""Files that appear under their name only once they are complete."""

from __future__ import annotations

import pytest

from cellmodels.atomic import atomic_write


def test_a_failed_write_keeps_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("complete")
        assert not path.exists()
    with pytest.raises(RuntimeError, match="interrupted"):
        interrupted_write(path)
    assert path.read_text() == "complete"
    assert list(path.parent.iterdir()) == [path]


def interrupted_write(path):
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("interrupted")
